/* SPDX-License-Identifier: Apache-2.0 */
/* sync.h: the client of client.h for programs with threads of their own: each call blocks until it
 * is answered.
 *
 *     struct oak_sync *cluster;
 *     struct oak_client_answer *answer;
 *     oak_sync_open("10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", NULL, &cluster, &e);
 *     if (oak_sync_get(cluster, oak_bytes_str("greeting"), 0, &answer) == 0) {
 *         ... answer->result.kvs[0].value ...
 *     }
 *     oak_client_answer_free(answer);
 *     oak_sync_free(cluster);
 *
 * A cluster that is open has a thread and a loop of its own: leases are kept alive, watches go on
 * and locks are looked after while the program does something else. No function of the program is
 * ever called from that thread.
 *
 * Answers. `out` of a call is its answer, whole, also that of an error, where there is one; else
 * NULL. It is the caller's, who frees it by oak_client_answer_free(); where `out` is NULL, so is
 * the interest. What the call returns is the answer's error: 0, or an OAK_E code as in client.h.
 *
 * Time. timeout_ns of a call to the servers: 0 is call_timeout_ns of the options (5 s). Of what
 * waits for something to happen (oak_sync_watch_next(), oak_sync_observer_next(), ..._lost()): 0
 * only looks. OAK_SYNC_FOREVER of either: no end. A time that is over: OAK_EDEADLINE.
 *
 * The end. oak_sync_close() ends the loop: calls that are inside, and all that come later, return
 * OAK_ECLOSED; a lock that is still held goes with its lease. oak_sync_free() closes too, and the
 * caller's pointer is gone; calls that are inside return all the same, and what was made of it
 * (watches, leases, turns) is still the program's to free, in any order.
 *
 * Threads: any, at once, for everything. Whoever waits in a watch, a lease, a turn or an observer
 * that is freed returns with OAK_ECLOSED before it is gone; nobody begins to use it from there on.
 * So a thread that asks again and again is ended by ..._close(), behind which all that it asks is
 * answered by OAK_ECLOSED; it is joined, and then the thing is freed.
 * The child of fork() has nothing of it.
 */
#ifndef OAKUM_SYNC_H
#define OAKUM_SYNC_H

#include "oakum/client.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OAK_SYNC_FOREVER UINT64_MAX

struct oak_sync;

/* Zeros mean what stands behind them. */
struct oak_sync_options {
    struct oak_client_options client; /* `net` is NULL: see below */
    /* TLS, of endpoints with https:// before them, or if any of these is there: PEM files, which
     * are read again when they change. */
    const char *ca_file;     /* whom to trust; NULL: whom the system trusts */
    const char *cert_file;   /* shown to servers that ask for one, */
    const char *key_file;    /* and its key */
    const char *server_name; /* their certificates must be good for; NULL: the endpoint's host */
    /* Of a watch, what is kept of changes that nobody has taken: from there on the servers keep
     * them. 0: 1 MiB. */
    size_t watch_bytes;
};

/* `endpoints` as in client.h. It connects with the first call. OAK_EINVAL, OAK_ENOENT and the like
 * (a file of TLS): `e` (may be NULL) says what is wrong. OAK_ENOMEM, OAK_EIO: the system has no
 * memory, no thread, no descriptors. */
OAK_API OAK_MUST_USE int oak_sync_open(const char *endpoints,
                                       const struct oak_sync_options *options,
                                       struct oak_sync **out, struct oak_errbuf *e);
/* All that waits returns OAK_ECLOSED, and has been told so when this returns. May be repeated. */
OAK_API void oak_sync_close(struct oak_sync *sync);
/* NULL is fine. */
OAK_API void oak_sync_free(struct oak_sync *sync);

/* -- calls ------------------------------------------------------------------------------------- */

/* Any operation: oak_client_do(). */
OAK_API OAK_MUST_USE int oak_sync_do(struct oak_sync *sync, const struct oak_client_op *op,
                                     uint64_t timeout_ns, struct oak_client_answer **out);

/* The value of one key: answer->result.kvs[0], if there is one (kv_count). */
OAK_MUST_USE static inline int oak_sync_get(struct oak_sync *sync, struct oak_bytes key,
                                            uint64_t timeout_ns, struct oak_client_answer **out)
{
    const struct oak_client_op op = oak_client_get(key);
    return oak_sync_do(sync, &op, timeout_ns, out);
}

OAK_MUST_USE static inline int oak_sync_put(struct oak_sync *sync, struct oak_bytes key,
                                            struct oak_bytes value, uint64_t timeout_ns,
                                            struct oak_client_answer **out)
{
    const struct oak_client_op op = oak_client_put(key, value);
    return oak_sync_do(sync, &op, timeout_ns, out);
}

OAK_MUST_USE static inline int oak_sync_delete(struct oak_sync *sync, struct oak_bytes key,
                                               uint64_t timeout_ns, struct oak_client_answer **out)
{
    const struct oak_client_op op = oak_client_delete(key);
    return oak_sync_do(sync, &op, timeout_ns, out);
}

/* What has grown (oak_client_txn_new()); an error of its making comes back from here. */
OAK_MUST_USE static inline int oak_sync_txn(struct oak_sync *sync,
                                            const struct oak_client_builder *txn,
                                            uint64_t timeout_ns, struct oak_client_answer **out)
{
    struct oak_client_op op;
    int error = oak_client_txn_op(txn, &op);
    if (error != 0 && out != NULL) {
        *out = NULL;
    }
    return error != 0 ? error : oak_sync_do(sync, &op, timeout_ns, out);
}

/* As in client.h, each. */
OAK_API OAK_MUST_USE int oak_sync_compact(struct oak_sync *sync, int64_t revision, bool physical,
                                          uint64_t timeout_ns, struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_administer(struct oak_sync *sync,
                                             const struct oak_client_admin *admin,
                                             uint64_t timeout_ns, struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_ask(struct oak_sync *sync, const char *service,
                                      const char *method, bool read, struct oak_bytes request,
                                      uint64_t timeout_ns, struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_grant(struct oak_sync *sync, int64_t ttl_s, int64_t id,
                                        uint64_t timeout_ns, struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_revoke(struct oak_sync *sync, int64_t id, uint64_t timeout_ns,
                                         struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_time_to_live(struct oak_sync *sync, int64_t id, bool keys,
                                               uint64_t timeout_ns, struct oak_client_answer **out);
OAK_API OAK_MUST_USE int oak_sync_leader(struct oak_sync *sync, struct oak_bytes name,
                                         uint64_t timeout_ns, struct oak_client_answer **out);

/* -- watches ----------------------------------------------------------------------------------- */

/* Changes that wait for the program, in order, each once: a queue that is full holds back its own
 * watch, at the servers, and nothing else. */
struct oak_sync_watch;

/* Returns when the watch stands: what is changed from then on is told. An error: it was refused. */
OAK_API OAK_MUST_USE int oak_sync_watch(struct oak_sync *sync,
                                        const struct oak_client_watch_options *options,
                                        uint64_t timeout_ns, struct oak_sync_watch **out);
/* The next changes, which are the caller's (oak_client_changes_free()); without any, but a
 * revision: nothing has changed up to there. OAK_EDEADLINE: none in time. All else is how it ended,
 * behind the last changes: OAK_ECOMPACTED: what it should tell next is gone. */
OAK_API OAK_MUST_USE int oak_sync_watch_next(struct oak_sync_watch *watch, uint64_t timeout_ns,
                                             struct oak_client_changes **out);
/* Behind OAK_ECOMPACTED, the oldest revision that can be had: what is there as of that one is to be
 * read, and watched from the next one on. Else 0; but not behind OAK_ECLOSED, when it may be freed
 * already. */
OAK_API int64_t oak_sync_watch_compacted(struct oak_sync_watch *watch);
/* Nobody waits for its changes any more, now and later: OAK_ECLOSED; what is queued is dropped. */
OAK_API void oak_sync_watch_close(struct oak_sync_watch *watch);
/* NULL is fine. */
OAK_API void oak_sync_watch_free(struct oak_sync_watch *watch);

/* -- leases ------------------------------------------------------------------------------------ */

/* A lease that is kept alive from here on. */
struct oak_sync_lease;

/* Keep one that was granted `ttl_s` a moment ago. */
OAK_API OAK_MUST_USE int oak_sync_keep(struct oak_sync *sync, int64_t id, int64_t ttl_s,
                                       struct oak_sync_lease **out);
/* 0: it was not lost within this time. Else why it was: what rested on it must be left alone. */
OAK_API int oak_sync_lease_lost(struct oak_sync_lease *lease, uint64_t timeout_ns);
/* Nobody waits for its loss any more, now and later: OAK_ECLOSED. It is kept alive all the same. */
OAK_API void oak_sync_lease_close(struct oak_sync_lease *lease);
/* Leave it to its time. NULL is fine. */
OAK_API void oak_sync_lease_free(struct oak_sync_lease *lease);

/* -- locks and elections ----------------------------------------------------------------------- */

/* A lock that is held, or an election that was won: client.h says what that is worth. Each has a
 * lease of its own, so that threads of one program exclude each other too. */
struct oak_sync_turn;

/* Wait for the lock of this name. ttl_s 0: 60 s: so long others wait if the program is gone without
 * a word. An error, and OAK_EDEADLINE too: it is not held, and waited for no longer. */
OAK_API OAK_MUST_USE int oak_sync_lock(struct oak_sync *sync, struct oak_bytes name, int64_t ttl_s,
                                       uint64_t timeout_ns, struct oak_sync_turn **out);
/* Wait to be elected; `value` is what others see of who leads. */
OAK_API OAK_MUST_USE int oak_sync_campaign(struct oak_sync *sync, struct oak_bytes name,
                                           struct oak_bytes value, int64_t ttl_s,
                                           uint64_t timeout_ns, struct oak_sync_turn **out);
/* 0: it was not lost within this time. Else why it was: somebody else may have it. */
OAK_API int oak_sync_turn_lost(struct oak_sync_turn *turn, uint64_t timeout_ns);
/* Grows from turn to turn: the fencing token. */
OAK_API int64_t oak_sync_turn_revision(const struct oak_sync_turn *turn);
/* Its key, for compares by its create revision, which is that one. */
OAK_API struct oak_bytes oak_sync_turn_key(const struct oak_sync_turn *turn);
/* Of an election: say something else. OAK_ENOTELECTED: it is lost. */
OAK_API OAK_MUST_USE int oak_sync_proclaim(struct oak_sync_turn *turn, struct oak_bytes value,
                                           uint64_t timeout_ns, struct oak_client_answer **out);
/* Nobody waits for its loss any more, now and later: OAK_ECLOSED. It is held all the same. */
OAK_API void oak_sync_turn_close(struct oak_sync_turn *turn);
/* Release the lock, resign; the turn is freed in each case. 0: it was held until now, and the next
 * one has its turn. Else what it was lost for, or why its release is not sure: it goes with its
 * lease. NULL is fine. */
OAK_API int oak_sync_turn_end(struct oak_sync_turn *turn, uint64_t timeout_ns);

/* Who leads, from now on. */
struct oak_sync_observer;

OAK_API OAK_MUST_USE int oak_sync_observe(struct oak_sync *sync, struct oak_bytes name,
                                          struct oak_sync_observer **out);
/* Wait until it has changed since the last one of these, at first until it is known: changes (the
 * caller's) of one event: the key and the value of who leads, or `deleted`: nobody does. Only the
 * latest is kept. OAK_EDEADLINE: it has not changed in time; all else is how it ended. */
OAK_API OAK_MUST_USE int oak_sync_observer_next(struct oak_sync_observer *observer,
                                                uint64_t timeout_ns,
                                                struct oak_client_changes **out);
/* Nobody waits for it any more, now and later: OAK_ECLOSED. */
OAK_API void oak_sync_observer_close(struct oak_sync_observer *observer);
/* NULL is fine. */
OAK_API void oak_sync_observer_free(struct oak_sync_observer *observer);

#ifdef __cplusplus
}
#endif

#endif
