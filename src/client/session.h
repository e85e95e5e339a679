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

/* turn.c: its session is lost: it is told, and gone. */
void client__turn_lost(struct oak_client_session *session, int error);
/* Its session is freed: it is gone. */
void client__turns_drop(struct oak_client_session *session);

#endif
