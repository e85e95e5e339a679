/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c: leases that are kept, locks, elections.
 *
 * Happy path   1 a session is asked for, and in it, when it is ready, a turn
 *              2 it is held: who waits goes on
 *              3 ended: the lease is revoked, and the answer to that is waited for
 * Can fail     1: told, and nothing is left. Its time is over before 2: the session is given up,
 *              and with it the place in the line. Lost behind 2: kept for who asks.
 * Invariants   a lost session is freed as soon as it has told so. Name and value are the caller's,
 *              who waits until they are needed no more.
 * Thread       callbacks and jobs are the loop's; the rest is the program's.
 */
#include <stdlib.h>

#include "sync/internal.h"

/* -- leases ------------------------------------------------------------------------------------ */

static void lease_lost(void *user, struct oak_client_lease *lease, int error)
{
    struct oak_sync_lease *l = user;
    (void)lease;
    l->lease = NULL;
    sync__handle_end(&l->handle, error);
}

static const struct oak_client_lease_callbacks lease_callbacks = {.lost = lease_lost};

static void lease_stop(struct sync_handle *handle)
{
    struct oak_sync_lease *l = OAK_CONTAINER_OF(handle, struct oak_sync_lease, handle);
    if (l->lease != NULL) {
        oak_client_lease_leave(l->lease);
        l->lease = NULL;
    }
}

struct keep_job {
    struct sync_job job;
    struct oak_sync_lease *lease;
    int64_t id;
    int64_t ttl_s;
};

static void keep_run(struct sync_job *job)
{
    struct keep_job *j = OAK_CONTAINER_OF(job, struct keep_job, job);
    struct oak_sync_lease *l = j->lease;
    int error = oak_client_keep(job->sync->client, j->id, j->ttl_s, &lease_callbacks, l, &l->lease);
    if (error == 0) {
        sync__handle_begin(&l->handle);
    }
    sync__finish(job, error);
}

int oak_sync_keep(struct oak_sync *sync, int64_t id, int64_t ttl_s, struct oak_sync_lease **out)
{
    struct oak_sync_lease *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return OAK_ENOMEM;
    }
    sync__handle_init(sync, &l->handle, lease_stop);
    struct keep_job job = {.job.run = keep_run, .lease = l, .id = id, .ttl_s = ttl_s};
    int error = sync__run(sync, &job.job);
    if (error != 0) {
        oak_sync_lease_free(l);
        return error;
    }
    *out = l;
    return 0;
}

int oak_sync_lease_lost(struct oak_sync_lease *l, uint64_t timeout_ns)
{
    return sync__handle_lost(&l->handle, timeout_ns);
}

void oak_sync_lease_close(struct oak_sync_lease *l)
{
    sync__handle_close(&l->handle);
}

void oak_sync_lease_free(struct oak_sync_lease *l)
{
    if (l != NULL) {
        sync__handle_fini(&l->handle);
        free(l);
    }
}

/* -- turns, on the loop ------------------------------------------------------------------------ */

static void turn_held(void *user, struct oak_client_turn *turn, int64_t revision)
{
    struct oak_sync_turn *t = user;
    const struct oak_bytes key = oak_client_turn_key(turn);
    uint8_t *copy = malloc(key.size);
    if (copy == NULL) {
        sync__handle_end(&t->handle, OAK_ENOMEM);
        return;
    }
    memcpy(copy, key.data, key.size);
    pthread_mutex_lock(&t->handle.sync->lock);
    t->held = true;
    t->revision = revision;
    t->key = copy;
    t->key_size = key.size;
    pthread_cond_broadcast(&t->handle.told);
    pthread_mutex_unlock(&t->handle.sync->lock);
}

static void turn_lost(void *user, struct oak_client_turn *turn, int error)
{
    struct oak_sync_turn *t = user;
    (void)turn;
    t->turn = NULL;
    sync__handle_end(&t->handle, error);
}

static const struct oak_client_turn_callbacks turn_callbacks = {.held = turn_held,
                                                                .lost = turn_lost};

static void session_ready(void *user, struct oak_client_session *session, int64_t lease)
{
    struct oak_sync_turn *t = user;
    (void)lease;
    int error = oak_client_turn(session, t->name, t->value, &turn_callbacks, t, &t->turn);
    if (error != 0) {
        sync__handle_end(&t->handle, error);
    }
}

static void session_lost(void *user, struct oak_client_session *session, int error)
{
    struct oak_sync_turn *t = user;
    oak_client_session_free(session);
    t->session = NULL;
    sync__handle_end(&t->handle, error);
}

static const struct oak_client_session_callbacks session_callbacks = {.ready = session_ready,
                                                                      .lost = session_lost};

static void turn_stop(struct sync_handle *handle)
{
    struct oak_sync_turn *t = OAK_CONTAINER_OF(handle, struct oak_sync_turn, handle);
    oak_client_session_free(t->session);
    t->session = NULL;
    t->turn = NULL;
}

/* -- turns, of the program --------------------------------------------------------------------- */

struct turn_job {
    struct sync_job job;
    struct oak_sync_turn *turn;
    int64_t ttl_s;
};

static void turn_run(struct sync_job *job)
{
    struct turn_job *j = OAK_CONTAINER_OF(job, struct turn_job, job);
    struct oak_sync_turn *t = j->turn;
    int error =
        oak_client_session_new(job->sync->client, j->ttl_s, &session_callbacks, t, &t->session);
    if (error == 0) {
        sync__handle_begin(&t->handle);
    }
    sync__finish(job, error);
}

static int turn_wait(struct oak_sync_turn *t, uint64_t timeout_ns)
{
    struct oak_sync *sync = t->handle.sync;
    const struct timespec until = sync__until(sync__call_timeout(sync, timeout_ns));
    sync__handle_enter(&t->handle);
    bool in_time = true;
    while (!t->held && t->handle.error == 0 && in_time) {
        in_time = sync__handle_wait(&t->handle, &until);
    }
    int error = t->handle.error != 0 ? t->handle.error : t->held ? 0 : OAK_EDEADLINE;
    sync__handle_leave(&t->handle);
    return error;
}

static void turn_free(struct oak_sync_turn *t)
{
    sync__handle_fini(&t->handle);
    free(t->key);
    free(t);
}

int oak_sync_campaign(struct oak_sync *sync, struct oak_bytes name, struct oak_bytes value,
                      int64_t ttl_s, uint64_t timeout_ns, struct oak_sync_turn **out)
{
    struct oak_sync_turn *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return OAK_ENOMEM;
    }
    t->name = name;
    t->value = value;
    sync__handle_init(sync, &t->handle, turn_stop);
    struct turn_job job = {.job.run = turn_run, .turn = t, .ttl_s = ttl_s};
    int error = sync__run(sync, &job.job);
    if (error == 0) {
        error = turn_wait(t, timeout_ns);
    }
    if (error != 0) {
        turn_free(t);
        return error;
    }
    *out = t;
    return 0;
}

int oak_sync_lock(struct oak_sync *sync, struct oak_bytes name, int64_t ttl_s, uint64_t timeout_ns,
                  struct oak_sync_turn **out)
{
    return oak_sync_campaign(sync, name, oak_bytes(NULL, 0), ttl_s, timeout_ns, out);
}

int oak_sync_turn_lost(struct oak_sync_turn *t, uint64_t timeout_ns)
{
    return sync__handle_lost(&t->handle, timeout_ns);
}

int64_t oak_sync_turn_revision(const struct oak_sync_turn *t)
{
    return t->revision;
}

struct oak_bytes oak_sync_turn_key(const struct oak_sync_turn *t)
{
    return oak_bytes(t->key, t->key_size);
}

/* -- while it is held, and its end ------------------------------------------------------------- */

struct held_job {
    struct sync_call call;
    struct oak_sync_turn *turn;
    struct oak_bytes value;
};

static int held_do(struct oak_sync_turn *t, struct held_job *job)
{
    sync__handle_enter(&t->handle);
    pthread_mutex_unlock(&t->handle.sync->lock);
    int error = sync__call(t->handle.sync, &job->call);
    pthread_mutex_lock(&t->handle.sync->lock);
    sync__handle_leave(&t->handle);
    return error;
}

static int proclaim_begin(struct sync_call *call, struct oak_client *client)
{
    struct held_job *j = OAK_CONTAINER_OF(call, struct held_job, call);
    (void)client;
    return j->turn->turn == NULL ? OAK_ENOTELECTED
                                 : oak_client_proclaim(j->turn->turn, j->value, call->timeout_ns,
                                                       sync__answered, call, NULL);
}

int oak_sync_proclaim(struct oak_sync_turn *t, struct oak_bytes value, uint64_t timeout_ns,
                      struct oak_client_answer **out)
{
    struct held_job job = {.call = {.begin = proclaim_begin, .timeout_ns = timeout_ns, .out = out},
                           .turn = t,
                           .value = value};
    return held_do(t, &job);
}

static int end_begin(struct sync_call *call, struct oak_client *client)
{
    struct held_job *j = OAK_CONTAINER_OF(call, struct held_job, call);
    struct oak_client_session *session = j->turn->session;
    (void)client;
    j->turn->session = NULL;
    j->turn->turn = NULL;
    return session == NULL
               ? OAK_ELEASENOTFOUND
               : oak_client_session_end(session, call->timeout_ns, sync__answered, call, NULL);
}

void oak_sync_turn_close(struct oak_sync_turn *t)
{
    sync__handle_close(&t->handle);
}

int oak_sync_turn_end(struct oak_sync_turn *t, uint64_t timeout_ns)
{
    if (t == NULL) {
        return 0;
    }
    struct held_job job = {.call = {.begin = end_begin, .timeout_ns = timeout_ns}, .turn = t};
    int lost = sync__handle_error(&t->handle);
    int error = sync__call(t->handle.sync, &job.call);
    turn_free(t);
    return lost != 0 ? lost : error;
}
