/* SPDX-License-Identifier: Apache-2.0 */
/* session.c: a lease for as long as the program lives.
 *
 * Happy path   1 granted  2 kept alive: `ready`  3 freed: revoked
 * Can fail     1 is made again by nobody: `lost`. The lease ends: turns are told, then `lost`.
 * Invariants   the end of the lease is counted from the asking for it on. A grant that is answered
 *              when the session is gone is revoked.
 * Thread       the loop's.
 */
#include "client/session.h"

#include <stdlib.h>

#define TTL_S 60

static void nothing(void *user, const struct oak_client_answer *answer)
{
    (void)user;
    (void)answer;
}

/* What nobody uses any more is left to its time if this fails. */
static void revoke(struct oak_client *client, int64_t id)
{
    int error = oak_client_revoke(client, id, 0, nothing, NULL, NULL);
    (void)error;
}

static void session_lost(struct oak_client_session *session, int error)
{
    session->lease = NULL;
    while (!oak_list_empty(&session->turns)) {
        client__turn_lost(session, error);
    }
    session->callbacks->lost(session->user, session, error);
}

static void lease_lost(void *user, struct oak_client_lease *lease, int error)
{
    (void)lease;
    session_lost(user, error);
}

static const struct oak_client_lease_callbacks lease_callbacks = {.lost = lease_lost};

static void granted(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_session *session = user;
    session->grant = NULL;
    int error = answer->error;
    if (error == 0) {
        session->id = answer->lease;
        error = client__keep(session->client, session->id, answer->ttl_s, session->asked_ns,
                             &lease_callbacks, session, &session->lease);
    }
    if (error != 0) {
        session_lost(session, error);
    } else {
        session->callbacks->ready(session->user, session, session->id);
    }
}

int oak_client_session_new(struct oak_client *client, int64_t ttl_s,
                           const struct oak_client_session_callbacks *callbacks, void *user,
                           struct oak_client_session **out)
{
    struct oak_client_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return OAK_ENOMEM;
    }
    session->client = client;
    session->callbacks = callbacks;
    session->user = user;
    session->asked_ns = client__now(client);
    oak_list_init(&session->turns);
    int error = oak_client_watcher_new(client, &session->watcher);
    if (error == 0) {
        error = oak_client_grant(client, ttl_s > 0 ? ttl_s : TTL_S, 0, 0, granted, session,
                                 &session->grant);
    }
    if (error != 0) {
        oak_client_watcher_free(session->watcher);
        free(session);
        return error;
    }
    *out = session;
    return 0;
}

/* The grant of a session that is gone: who would keep it? */
static void granted_late(void *user, const struct oak_client_answer *answer)
{
    struct oak_client *client = user;
    if (answer->error == 0 && !client->closing) {
        revoke(client, answer->lease);
    }
}

/* Its lease, if it has one, is left to whoever asks. */
static int64_t session_drop(struct oak_client_session *session)
{
    int64_t id = session->lease != NULL ? session->id : 0;
    if (session->grant != NULL) {
        session->grant->done = granted_late;
        session->grant->user = session->client;
    }
    client__turns_drop(session);
    oak_client_watcher_free(session->watcher);
    if (session->lease != NULL) {
        oak_client_lease_leave(session->lease);
    }
    free(session);
    return id;
}

void oak_client_session_free(struct oak_client_session *session)
{
    if (session != NULL) {
        struct oak_client *client = session->client;
        int64_t id = session_drop(session);
        if (id != 0) {
            revoke(client, id);
        }
    }
}

int oak_client_session_end(struct oak_client_session *session, uint64_t timeout_ns,
                           oak_client_done *done, void *user, struct oak_client_call **out)
{
    struct oak_client *client = session->client;
    int64_t id = session_drop(session);
    return id != 0 ? oak_client_revoke(client, id, timeout_ns, done, user, out) : OAK_ECLOSED;
}
