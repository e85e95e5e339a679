/* SPDX-License-Identifier: Apache-2.0 */
/* session.h: a session, as its turns know it. */
#ifndef OAK_CLIENT_SESSION_H
#define OAK_CLIENT_SESSION_H

#include "client/internal.h"

struct oak_client_session {
    struct oak_client *client;
    const struct oak_client_session_callbacks *callbacks;
    void *user;
    int64_t ttl_s;
    int64_t id; /* 0: not granted */
    uint64_t asked_ns;
    struct oak_client_call *grant;  /* under way; NULL: it isn't */
    struct oak_client_lease *lease; /* kept; NULL: it is not ready, or lost */
    struct oak_list turns;
    struct oak_client_watcher *watcher;
};

/* What failed, and may come to more later, is made again behind this pause. */
#define CLIENT_AGAIN_NS ((uint64_t)200 * 1000 * 1000)

/* turn.c: may the same come to more later? */
bool client__passing(int error);
/* Can a line have this name? */
bool client__line_name(struct oak_bytes name);
/* Its session is lost: it is told, and gone. */
void client__turn_lost(struct oak_client_session *session, int error);
/* Its session is freed: it is gone. */
void client__turns_drop(struct oak_client_session *session);

#endif
