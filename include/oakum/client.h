/* SPDX-License-Identifier: Apache-2.0 */
/* client.h: a client of a cluster that speaks etcd's v3 API: Oakum's, or etcd's own.
 *
 *     static void done(void *user, const struct oak_client_answer *answer)
 *     {
 *         if (answer->error == 0 && answer->result.kv_count == 1) {
 *             ... answer->result.kvs[0].value ...
 *         }
 *     }
 *     oak_client_new(loop, "10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", NULL, &client, &e);
 *     const struct oak_client_op get = oak_client_get(oak_bytes_str("greeting"));
 *     oak_client_do(client, &get, 0, done, user, NULL);
 *
 * A client is a channel (channel.h) that knows who leads, where the servers say so, and what it
 * takes to be let in: it logs in when it has a user's name, sends the token with each call, and
 * logs in again when the token has ended. A call that was refused for its token is made once more.
 * While no server can be reached, calls wait, up to their deadlines.
 *
 * Again. Reads are made again after UNAVAILABLE, as channel.h has it. A write is made again only
 * when no server has begun it: one that ends with OAK_EUNREACHABLE, OAK_EDEADLINE or a time-out of
 * the server may have been done all the same.
 *
 * What a function is given is copied, and may be gone when it returns. What a callback is given is
 * borrowed, and gone when it returns. No callback runs from inside the function that asked for it,
 * but for those that oak_client_free() ends.
 *
 * Source: the etcd v3 API (rpc.proto).
 *
 * Threads: the loop's; nothing is shared.
 */
#ifndef OAKUM_CLIENT_H
#define OAKUM_CLIENT_H

#include "oakum/channel.h"

#ifdef __cplusplus
extern "C" {
#endif

struct oak_client;

/* Zeros mean what stands behind them. */
struct oak_client_options {
    /* As in channel.h: NULL is the loop's own network, without encryption. */
    const struct oak_net *net;
    const char *policy;            /* "oakum_leader" (NULL: this), "round_robin", "pick_first" */
    const char *user;              /* NULL: nobody's; a name of up to OAK_CLIENT_NAME_BYTES_MAX */
    const char *password;          /* of the user */
    const char *token;             /* one that was had otherwise (JWT); not with a user */
    const char *user_agent;        /* NULL: the library's */
    uint64_t connect_timeout_ns;   /* one address; 0: 1 s */
    uint64_t call_timeout_ns;      /* calls that name none; 0: 5 s */
    uint64_t keepalive_ns;         /* PING when nothing came for so long; 0: 10 s */
    uint64_t keepalive_timeout_ns; /* 0: 6 s */
    uint32_t attempts_max;         /* of a read, at most 5; 0: 3 */
    bool fail_fast; /* a call that finds no server fails at once, and does not wait for one */
    size_t response_bytes_max; /* 0: 2 GiB - 1, as etcd's client */
};

/* Bytes of a name, a password, a token. */
#define OAK_CLIENT_NAME_BYTES_MAX  ((size_t)1024)
#define OAK_CLIENT_TOKEN_BYTES_MAX ((size_t)16 * 1024)

/* `endpoints`: "host:port" with commas between, each with or without http:// before it, or with
 * https://, which is refused unless there is a `net`: it is that which encrypts. Or a target of
 * channel.h that has a scheme. No connection is made before the first call. OAK_EINVAL: `e` (may be
 * NULL) says what is not understood. OAK_ENOMEM. `loop` and `net` outlive the client. */
OAK_API OAK_MUST_USE int oak_client_new(const struct oak_loop *loop, const char *endpoints,
                                        const struct oak_client_options *options,
                                        struct oak_client **out, struct oak_errbuf *e);
/* Ends all that goes on: calls with OAK_ECANCELED, watches and leases without a word. NULL is fine.
 * Not from a callback. */
OAK_API void oak_client_free(struct oak_client *client);
/* The channel beneath, for its state and figures. */
OAK_API struct oak_channel *oak_client_channel(struct oak_client *client);

/* -- what comes back --------------------------------------------------------------------------- */

/* A key as of some revision. */
struct oak_client_kv {
    struct oak_bytes key;
    struct oak_bytes value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease; /* 0: none */
};

struct oak_client_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t raft_term;
};

enum oak_client_kind {
    OAK_CLIENT_GET,
    OAK_CLIENT_PUT,
    OAK_CLIENT_DELETE,
    OAK_CLIENT_TXN,
};

/* What an operation came to. */
struct oak_client_result {
    enum oak_client_kind kind;
    /* GET: what was found. PUT and DELETE with `previous`: what was there before. */
    const struct oak_client_kv *kvs;
    size_t kv_count;
    int64_t count; /* GET: keys in the range, whatever the limit. DELETE: keys that went. */
    bool more;     /* GET: the limit left some out */
    /* TXN: did all compares hold, and what came of the operations of that branch. */
    bool succeeded;
    const struct oak_client_result *results;
    size_t result_count;
};

enum oak_client_right {
    OAK_CLIENT_READ,
    OAK_CLIENT_WRITE,
    OAK_CLIENT_READWRITE,
};

/* What a role may do with some keys. */
struct oak_client_permission {
    enum oak_client_right right;
    struct oak_bytes key;
    struct oak_bytes end; /* empty: that key alone; one zero byte: it, and all behind it */
};

struct oak_client_answer {
    /* 0, or an OAK_E code: that of the server's text, where it has one of etcd's (OAK_ECOMPACTED),
     * else by its status: OAK_EUNREACHABLE for UNAVAILABLE, OAK_EREMOTE for what says no more. */
    int error;
    enum oak_rpc_code code;
    const char *message; /* "" with OK */
    struct oak_client_header header;
    struct oak_client_result result; /* of oak_client_do() */
    /* Of the calls for leases: */
    int64_t lease;                /* its id */
    int64_t ttl_s;                /* granted, or what is left of it; -1: it has ended */
    int64_t granted_s;            /* oak_client_time_to_live(): what it had at first */
    const struct oak_bytes *keys; /* oak_client_time_to_live(): those that go with it */
    size_t key_count;
    struct oak_bytes response; /* oak_client_ask(): the message, encoded */
    /* oak_client_administer(): */
    const struct oak_bytes *names; /* users, or roles */
    size_t name_count;
    const struct oak_client_permission *permissions;
    size_t permission_count;
    bool enabled;
};

typedef void oak_client_done(void *user, const struct oak_client_answer *answer);

/* Keep what a `done` was given: it may call this once, and nobody else may. What is returned is
 * the same answer, whole, until it is freed, on any thread. NULL: no memory. */
OAK_API struct oak_client_answer *oak_client_answer_keep(const struct oak_client_answer *answer);
/* NULL is fine. */
OAK_API void oak_client_answer_free(struct oak_client_answer *answer);

/* A call that goes on; gone when its `done` has returned. */
struct oak_client_call;
/* `done` follows, with OAK_ECANCELED. */
OAK_API void oak_client_cancel(struct oak_client_call *call);

/* -- keys -------------------------------------------------------------------------------------- */

/* Which keys an operation is about. */
enum oak_client_span {
    OAK_CLIENT_ONE,    /* `key` alone */
    OAK_CLIENT_PREFIX, /* all that begin with it; an empty one: all */
    OAK_CLIENT_FROM,   /* it, and all behind it */
    OAK_CLIENT_UNTIL,  /* it, and those before `end` */
};

enum oak_client_order {
    OAK_CLIENT_UNSORTED, /* by key, as the server has them */
    OAK_CLIENT_ASCEND,
    OAK_CLIENT_DESCEND,
};

enum oak_client_target {
    OAK_CLIENT_KEY, /* of an order alone */
    OAK_CLIENT_VERSION,
    OAK_CLIENT_CREATE,
    OAK_CLIENT_MOD,
    OAK_CLIENT_VALUE,
    OAK_CLIENT_LEASE, /* of a compare alone */
};

/* Zeros are what is usual: set what is not. */
struct oak_client_op {
    enum oak_client_kind kind;
    struct oak_bytes key;
    enum oak_client_span span;
    struct oak_bytes end; /* OAK_CLIENT_UNTIL */

    /* GET */
    int64_t revision; /* 0: now */
    int64_t limit;    /* 0: none */
    enum oak_client_order order;
    enum oak_client_target by;
    bool serializable; /* by whichever member it comes to, as far as that one knows */
    bool keys_only;
    bool count_only;
    int64_t min_mod_revision; /* 0: none, and so the others */
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;

    /* PUT */
    struct oak_bytes value;
    int64_t lease;   /* 0: none */
    bool keep_value; /* the key's value stays; `value` is empty */
    bool keep_lease; /* the key's lease stays; `lease` is 0 */

    bool previous; /* PUT, DELETE: tell what was there before */

    const struct oak_client_txn *txn; /* TXN */
};

enum oak_client_relation {
    OAK_CLIENT_EQUAL,
    OAK_CLIENT_GREATER,
    OAK_CLIENT_LESS,
    OAK_CLIENT_NOT_EQUAL,
};

/* A condition on a key, or on each key of a span. */
struct oak_client_compare {
    struct oak_bytes key;
    enum oak_client_span span;
    struct oak_bytes end;
    enum oak_client_target target; /* any but OAK_CLIENT_KEY */
    enum oak_client_relation relation;
    int64_t number;         /* what is compared with, */
    struct oak_bytes value; /* or this, for OAK_CLIENT_VALUE */
};

/* If all compares hold, the one list of operations is done, else the other; at once. */
struct oak_client_txn {
    const struct oak_client_compare *compares;
    size_t compare_count;
    const struct oak_client_op *success;
    size_t success_count;
    const struct oak_client_op *failure;
    size_t failure_count;
};

static inline struct oak_client_op oak_client_get(struct oak_bytes key)
{
    struct oak_client_op op;
    memset(&op, 0, sizeof(op));
    op.kind = OAK_CLIENT_GET;
    op.key = key;
    return op;
}

static inline struct oak_client_op oak_client_put(struct oak_bytes key, struct oak_bytes value)
{
    struct oak_client_op op;
    memset(&op, 0, sizeof(op));
    op.kind = OAK_CLIENT_PUT;
    op.key = key;
    op.value = value;
    return op;
}

static inline struct oak_client_op oak_client_delete(struct oak_bytes key)
{
    struct oak_client_op op;
    memset(&op, 0, sizeof(op));
    op.kind = OAK_CLIENT_DELETE;
    op.key = key;
    return op;
}

static inline struct oak_client_op oak_client_transact(const struct oak_client_txn *txn)
{
    struct oak_client_op op;
    memset(&op, 0, sizeof(op));
    op.kind = OAK_CLIENT_TXN;
    op.txn = txn;
    return op;
}

/* Do it, and tell `done`. timeout_ns 0: call_timeout_ns. `out` (may be NULL) is good for cancelling
 * it. OAK_EINVAL (what the server would not understand: nested deeper than OAK_CLIENT_DEPTH_MAX, a
 * span of a put), OAK_ENOMEM, OAK_ELIMIT, OAK_ECLOSED: then `done` is not called. */
OAK_API OAK_MUST_USE int oak_client_do(struct oak_client *client, const struct oak_client_op *op,
                                       uint64_t timeout_ns, oak_client_done *done, void *user,
                                       struct oak_client_call **out);
#define OAK_CLIENT_DEPTH_MAX 32

/* A transaction that grows, piece by piece. What it is given is copied, and so are transactions
 * within it. What went wrong meanwhile is told once, at the end, by oak_client_txn_op(): all other
 * functions do nothing from there on, and with NULL.
 *
 *     struct oak_client_builder *b = oak_client_txn_new();
 *     oak_client_txn_if(b, (struct oak_client_compare){.key = key, .target = OAK_CLIENT_VERSION});
 *     oak_client_txn_then(b, oak_client_put(key, value));
 *     oak_client_txn_else(b, oak_client_get(key));
 *     int error = oak_client_txn_op(b, &op);
 */
struct oak_client_builder;

/* NULL: no memory, which oak_client_txn_op() says too. */
OAK_API struct oak_client_builder *oak_client_txn_new(void);
/* And those within it. NULL is fine. */
OAK_API void oak_client_txn_free(struct oak_client_builder *builder);
/* One condition more; all of them must hold. */
OAK_API void oak_client_txn_if(struct oak_client_builder *builder,
                               struct oak_client_compare compare);
/* One operation more, for when they do, and for when one of them does not. */
OAK_API void oak_client_txn_then(struct oak_client_builder *builder, struct oak_client_op op);
OAK_API void oak_client_txn_else(struct oak_client_builder *builder, struct oak_client_op op);
/* The same of a transaction, which is empty, and grows by itself; it goes with the outer one. */
OAK_API struct oak_client_builder *oak_client_txn_then_txn(struct oak_client_builder *builder);
OAK_API struct oak_client_builder *oak_client_txn_else_txn(struct oak_client_builder *builder);
/* The outer one as an operation, for oak_client_do(): good until it grows or is freed. OAK_ENOMEM,
 * OAK_EINVAL (nested deeper than OAK_CLIENT_DEPTH_MAX, or it is not the outer one). */
OAK_API OAK_MUST_USE int oak_client_txn_op(const struct oak_client_builder *builder,
                                           struct oak_client_op *out);

/* Forget what was before `revision`; `physical`: and be told only when it is gone from disk. */
OAK_API OAK_MUST_USE int oak_client_compact(struct oak_client *client, int64_t revision,
                                            bool physical, uint64_t timeout_ns,
                                            oak_client_done *done, void *user,
                                            struct oak_client_call **out);

/* Any other method with one request and one response, by its name ("etcdserverpb.Cluster",
 * "MemberList"), as bytes: the same rights, the same care. `read`: it may be made twice. */
OAK_API OAK_MUST_USE int oak_client_ask(struct oak_client *client, const char *service,
                                        const char *method, bool read, struct oak_bytes request,
                                        uint64_t timeout_ns, oak_client_done *done, void *user,
                                        struct oak_client_call **out);

/* -- users and roles --------------------------------------------------------------------------- */

/* What is done; behind it, what it needs of struct oak_client_admin, and what its answer has. */
enum oak_client_verb {
    OAK_CLIENT_AUTH_ENABLE,
    OAK_CLIENT_AUTH_DISABLE,
    OAK_CLIENT_AUTH_STATUS,   /* enabled */
    OAK_CLIENT_USER_ADD,      /* user, password (NULL: it is known by a certificate alone) */
    OAK_CLIENT_USER_DELETE,   /* user */
    OAK_CLIENT_USER_PASSWORD, /* user, password: another one */
    OAK_CLIENT_USER_GRANT,    /* user, role */
    OAK_CLIENT_USER_REVOKE,   /* user, role */
    OAK_CLIENT_USER_GET,      /* user: names of its roles */
    OAK_CLIENT_USER_LIST,     /* names */
    OAK_CLIENT_ROLE_ADD,      /* role */
    OAK_CLIENT_ROLE_DELETE,   /* role */
    OAK_CLIENT_ROLE_GRANT,    /* role, right, and the keys */
    OAK_CLIENT_ROLE_REVOKE,   /* role, and the keys */
    OAK_CLIENT_ROLE_GET,      /* role: permissions */
    OAK_CLIENT_ROLE_LIST,     /* names */
};

struct oak_client_admin {
    enum oak_client_verb verb;
    const char *user;
    const char *password;
    const char *role;
    enum oak_client_right right;
    struct oak_bytes key;
    enum oak_client_span span;
    struct oak_bytes end;
};

/* OAK_EINVAL (a name that is needed is not there), and as oak_client_do(). */
OAK_API OAK_MUST_USE int oak_client_administer(struct oak_client *client,
                                               const struct oak_client_admin *admin,
                                               uint64_t timeout_ns, oak_client_done *done,
                                               void *user, struct oak_client_call **out);

/* -- watches ----------------------------------------------------------------------------------- */

/* A stream that any number of watches share. It is opened with the first, and opened again when it
 * breaks, also when its member has lost the leader: each watch goes on behind the last change that
 * was told, so that each is told once, in order. */
struct oak_client_watcher;
struct oak_client_watch;

/* OAK_ENOMEM. It is freed before the client. */
OAK_API OAK_MUST_USE int oak_client_watcher_new(struct oak_client *client,
                                                struct oak_client_watcher **out);
/* Its watches end without a word. NULL is fine. Not from a callback of it. */
OAK_API void oak_client_watcher_free(struct oak_client_watcher *watcher);
/* Take no more, or go on: what comes meanwhile is held back by the server. */
OAK_API void oak_client_watcher_pause(struct oak_client_watcher *watcher, bool paused);
/* Ask up to where all its watches have been told all: `changes` without any will say so. It is
 * forgotten if the stream breaks. OAK_ELIMIT, OAK_EAGAIN (it is not open now). */
OAK_API OAK_MUST_USE int oak_client_watcher_progress(struct oak_client_watcher *watcher);
/* That of what was heard last: in a callback, of what it tells. */
OAK_API struct oak_client_header
oak_client_watcher_header(const struct oak_client_watcher *watcher);

struct oak_client_event {
    bool deleted;            /* else put */
    struct oak_client_kv kv; /* deleted: its key and mod_revision alone */
    /* What was there before, if it was asked for and there was something; else NULL. */
    const struct oak_client_kv *previous;
};

struct oak_client_changes {
    const struct oak_client_event *events;
    size_t count; /* 0: nothing has changed up to `revision` */
    /* All up to here has been told, unless more of it follows. */
    int64_t revision;
    bool more;
};

/* A copy of what `changes` was given, whole, until it is freed, on any thread. NULL: no memory. */
OAK_API struct oak_client_changes *
oak_client_changes_keep(const struct oak_client_changes *changes);
/* NULL is fine. */
OAK_API void oak_client_changes_free(struct oak_client_changes *changes);

struct oak_client_watch_options {
    struct oak_bytes key;
    enum oak_client_span span;
    struct oak_bytes end;
    int64_t revision; /* the first whose changes are told; 0: the next one */
    bool previous;
    bool no_puts;
    bool no_deletes;
    bool progress; /* be told now and then also when nothing has changed */
};

struct oak_client_watch_callbacks {
    /* The watch stands, for the first time: what comes behind this revision will be told. May be
     * NULL. */
    void (*began)(void *user, struct oak_client_watch *watch, int64_t revision);
    void (*changes)(void *user, struct oak_client_watch *watch,
                    const struct oak_client_changes *changes);
    /* The last word, but not after oak_client_watch_end(): it was refused, or OAK_ECOMPACTED: what
     * it should tell next is gone, and the oldest revision that can be had is `compacted`. */
    void (*ended)(void *user, struct oak_client_watch *watch, int error, const char *message,
                  int64_t compacted);
};

/* OAK_EINVAL, OAK_ENOMEM. `callbacks` outlive it. */
OAK_API OAK_MUST_USE int oak_client_watch(struct oak_client_watcher *watcher,
                                          const struct oak_client_watch_options *options,
                                          const struct oak_client_watch_callbacks *callbacks,
                                          void *user, struct oak_client_watch **out);
/* It ends, and tells nothing more. From its own callbacks too, but for `ended`. */
OAK_API void oak_client_watch_end(struct oak_client_watch *watch);

/* -- leases ------------------------------------------------------------------------------------ */

/* A lease that ends `ttl_s` seconds after it was last kept alive; id 0: the server's choice. The
 * answer has its id and what was granted. */
OAK_API OAK_MUST_USE int oak_client_grant(struct oak_client *client, int64_t ttl_s, int64_t id,
                                          uint64_t timeout_ns, oak_client_done *done, void *user,
                                          struct oak_client_call **out);
/* It ends now, and its keys go. */
OAK_API OAK_MUST_USE int oak_client_revoke(struct oak_client *client, int64_t id,
                                           uint64_t timeout_ns, oak_client_done *done, void *user,
                                           struct oak_client_call **out);
/* What is left of it; with `keys` also which go with it. */
OAK_API OAK_MUST_USE int oak_client_time_to_live(struct oak_client *client, int64_t id, bool keys,
                                                 uint64_t timeout_ns, oak_client_done *done,
                                                 void *user, struct oak_client_call **out);

/* A lease that is kept alive, three times in its time, over one stream for all of a client, which
 * is opened again when it breaks. */
struct oak_client_lease;

struct oak_client_lease_callbacks {
    /* It was: what it has from now on. May be NULL. */
    void (*kept)(void *user, struct oak_client_lease *lease, int64_t ttl_s);
    /* It has ended (OAK_ELEASENOTFOUND), or may have, as nothing was heard of it for its time
     * (OAK_EDEADLINE), or it is not allowed. It is gone when this returns: what rested on it must
     * be left alone. */
    void (*lost)(void *user, struct oak_client_lease *lease, int error);
};

/* Keep a lease that was granted `ttl_s` a moment ago. OAK_EINVAL, OAK_ENOMEM. `callbacks` outlive
 * it. */
OAK_API OAK_MUST_USE int oak_client_keep(struct oak_client *client, int64_t id, int64_t ttl_s,
                                         const struct oak_client_lease_callbacks *callbacks,
                                         void *user, struct oak_client_lease **out);
/* That of what was heard last: in a callback, of what it tells. */
OAK_API struct oak_client_header oak_client_lease_header(const struct oak_client_lease *lease);
/* Leave it to its time, without a word more. Not from `lost`. */
OAK_API void oak_client_lease_leave(struct oak_client_lease *lease);

/* -- sessions, locks, elections ----------------------------------------------------------------
 *
 * The recipes of etcd's own clients (package concurrency), so that they exclude each other: whoever
 * waits has a key below the name, with the session's lease; the oldest of them has its turn.
 *
 * A lock is only as good as its lease: whoever stands still for longer than that has lost it, and
 * will be told when it is too late. What is changed under a lock should be changed by transactions
 * that compare the lock's key (oak_client_turn_key) by its create revision, or be refused by what
 * it is written to if it comes with a smaller revision than one before: a fencing token. */

/* A lease for as long as the program lives. */
struct oak_client_session;

struct oak_client_session_callbacks {
    /* It stands, with this lease. */
    void (*ready)(void *user, struct oak_client_session *session, int64_t lease);
    /* It could not be had, or has ended; all turns of it are lost, and told first. What remains is
     * to free it, from here or later. */
    void (*lost)(void *user, struct oak_client_session *session, int error);
};

/* `ttl_s` 0: 60 s. OAK_ENOMEM. `callbacks` outlive it; it is freed before the client. */
OAK_API OAK_MUST_USE int
oak_client_session_new(struct oak_client *client, int64_t ttl_s,
                       const struct oak_client_session_callbacks *callbacks, void *user,
                       struct oak_client_session **out);
/* Its lease is revoked, if the servers can be reached; its turns end without a word. NULL is fine.
 */
OAK_API void oak_client_session_free(struct oak_client_session *session);
/* The same, and `done` is told when its lease is revoked: the keys of its turns have gone with it.
 * OAK_ECLOSED (it has no lease), OAK_ENOMEM, OAK_ELIMIT: then `done` is not called; it is freed in
 * each case. */
OAK_API OAK_MUST_USE int oak_client_session_end(struct oak_client_session *session,
                                                uint64_t timeout_ns, oak_client_done *done,
                                                void *user, struct oak_client_call **out);

/* A place in the line for a name: of a lock, or of an election. */
struct oak_client_turn;

struct oak_client_turn_callbacks {
    /* It has its turn: it holds the lock, it is elected. `revision` grows from turn to turn: the
     * fencing token. */
    void (*held)(void *user, struct oak_client_turn *turn, int64_t revision);
    /* It could not be had, or is lost: OAK_EKEYNOTFOUND: its key is gone; or what its session was
     * lost for. It is gone when this returns; its session is not freed from here. */
    void (*lost)(void *user, struct oak_client_turn *turn, int error);
};

/* Wait for the turn, in a session that is ready; of the turns of one session for a name all have it
 * at the same time, for they have one key. `name` is not empty and has no slash at its end;
 * `value` is what others see of it (of an election: who it is; of a lock: empty).
 * OAK_EINVAL, OAK_ENOMEM, OAK_ECLOSED (the session is lost, or not ready). */
OAK_API OAK_MUST_USE int oak_client_turn(struct oak_client_session *session, struct oak_bytes name,
                                         struct oak_bytes value,
                                         const struct oak_client_turn_callbacks *callbacks,
                                         void *user, struct oak_client_turn **out);
/* Give it up: the lock is released, the candidate resigns, or waits no longer. Its key goes as soon
 * as the servers can be reached, at the latest with the lease. Not from `lost`. */
OAK_API void oak_client_turn_end(struct oak_client_turn *turn);
/* Its key, for compares; valid as long as the turn. */
OAK_API struct oak_bytes oak_client_turn_key(const struct oak_client_turn *turn);
/* Of an election: say something else, while elected. OAK_ENOTELECTED, from here or as the answer:
 * the turn is not held, or its key is not what it was: somebody else leads, or nobody does. Else as
 * a put (oak_client_do()). */
OAK_API OAK_MUST_USE int oak_client_proclaim(struct oak_client_turn *turn, struct oak_bytes value,
                                             uint64_t timeout_ns, oak_client_done *done, void *user,
                                             struct oak_client_call **out);

/* Who leads: the answer has the key and the value of who has its turn for this name;
 * OAK_ENOLEADERELECTED: nobody has. */
OAK_API OAK_MUST_USE int oak_client_leader(struct oak_client *client, struct oak_bytes name,
                                           uint64_t timeout_ns, oak_client_done *done, void *user,
                                           struct oak_client_call **out);

/* Be told who leads from now on: each that is elected, and each value that it proclaims, in order.
 * Those that were elected and gone while a server could not be reached may be left out; who leads
 * in the end is told. */
struct oak_client_observer;

struct oak_client_observer_callbacks {
    /* This one leads. NULL: nobody does. */
    void (*leads)(void *user, struct oak_client_observer *observer,
                  const struct oak_client_kv *leader);
    /* It is not allowed, or can't be had. It is gone when this returns. */
    void (*ended)(void *user, struct oak_client_observer *observer, int error);
};

/* OAK_EINVAL (the name, as of a turn), OAK_ENOMEM. `callbacks` outlive it; it is ended before its
 * watcher is freed. */
OAK_API OAK_MUST_USE int oak_client_observe(struct oak_client_watcher *watcher,
                                            struct oak_bytes name,
                                            const struct oak_client_observer_callbacks *callbacks,
                                            void *user, struct oak_client_observer **out);
/* It tells nothing more. From `leads` too, but not from `ended`. */
OAK_API void oak_client_observer_end(struct oak_client_observer *observer);

#ifdef __cplusplus
}
#endif

#endif
