/* SPDX-License-Identifier: Apache-2.0 */
/* change.h: one change of the group in the hands of change.c and ask.c. */
#ifndef OAK_API_CHANGE_H
#define OAK_API_CHANGE_H

#include "api/internal.h"

enum change_stage {
    CHANGE_SEEK,   /* who leads? */
    CHANGE_ASKED,  /* another member, or the log */
    CHANGE_SAY,    /* through the log what the change is about */
    CHANGE_CONFIG, /* make it the configuration's */
    CHANGE_SETTLE, /* through the log what it has come to */
    CHANGE_UNDO,   /* forget what was said */
};

struct api_change {
    struct oak_list link;
    struct oak_api *api;
    struct api_call *call; /* NULL: its client is gone */
    enum api_change_kind kind;
    enum change_stage stage;
    uint64_t id;
    bool learner;
    const char **urls; /* sorted; in `memory` */
    size_t url_count;
    struct oak_arena memory;
    struct oak_timer again;
    struct oak_replica_request request;
    struct oak_stub_call *asked;
    uint64_t asked_of; /* whose connection the call is made on */
    uint64_t deadline_ns;
    int error; /* what the client is told behind CHANGE_UNDO */
};

/* change.c */
uint64_t api__change_now(const struct api_change *c);
void api__change_free(struct api_change *c);
/* Once more in a moment, from this stage; past the deadline it ends. */
void api__change_again(struct api_change *c, enum change_stage stage);

/* ask.c: the leader is another member: it does it, and its answer is the client's. */
void api__change_ask(struct api_change *c, uint64_t leader);

#endif
