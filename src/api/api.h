/* SPDX-License-Identifier: Apache-2.0 */
/* api.h: the etcd v3 services that this version serves.
 *
 *     etcdserverpb.KV           Range Put DeleteRange Txn Compact
 *     etcdserverpb.Watch        Watch
 *     etcdserverpb.Auth         all of it
 *     etcdserverpb.Lease        LeaseGrant LeaseRevoke LeaseKeepAlive LeaseTimeToLive LeaseLeases
 *     etcdserverpb.Cluster      all of it; at the peer port too, where members ask their leader
 *     etcdserverpb.Maintenance  all of it
 *     v3lockpb.Lock             all of it
 *     v3electionpb.Election     all of it
 *
 * A method that is not here is not registered: the client hears UNIMPLEMENTED with grpc-go's text.
 * Handlers validate, ask the replica, and translate back; the semantics live in `kv`.
 *
 * Threads: the loop's.
 */
#ifndef OAK_API_H
#define OAK_API_H

#include "api/compactor.h"
#include "replica/replica.h"
#include "watch/watch.h"
#include "oakum/rpc.h"
#include "port/port.h"
#include "token/token.h"

/* A member as this one was told of it at its birth: where it is, until the log says it. */
struct oak_api_member {
    uint64_t id;
    const char *const *peer_urls;
    size_t peer_url_count;
};

struct oak_api_options {
    const struct oak_loop *loop;
    const struct oak_log *log;
    struct oak_rpc_server *server; /* the services are added here */
    struct oak_replica *replica;
    struct oak_store *store; /* for sizes, and snapshots */
    uint64_t cluster;
    uint64_t id;
    const struct oak_api_member *members; /* sorted by id; borrowed for the life of the api */
    size_t member_count;
    const char *version;         /* what Status says: clients and Kubernetes parse it */
    const char *storage_version; /* "3.6.0" */
    uint32_t election_ms;        /* 0: 1000 */
    uint64_t watch_progress_ns;  /* between two notices of progress; 0: OAK_WATCH_PROGRESS_MS */
    size_t request_bytes_max;    /* 0: OAK_REQUEST_BYTES_MAX */
    /* Passwords are hashed here: an actor that may be busy for a while. */
    struct oak_exec hasher;
    /* Snapshots are made and read here: another such actor. Their files are below `scratch_dir`. */
    struct oak_exec scribe;
    const struct oak_disk *disk;
    const char *scratch_dir;
    unsigned bcrypt_cost;      /* 0: 10 */
    uint64_t token_ttl_ns;     /* of simple tokens; 0: 300 s */
    const struct oak_jwt *jwt; /* instead of simple tokens; borrowed; NULL: not */
    bool client_cert_auth;     /* the name in a client's certificate is its user */

    uint64_t quota_bytes; /* --quota-backend-bytes; 0: none */
    /* --auto-compaction-mode and -retention: nanoseconds, or revisions; 0: never. */
    enum oak_api_compaction compaction_mode;
    uint64_t compaction_retention;
    /* Changes of the group: by --strict-reconfig-check and --max-learners. */
    bool strict_reconfig;
    uint64_t learners_max;
    /* Members ask their leader here, by the same service; NULL: nobody does. */
    struct oak_rpc_server *peer_server;
    /* A call to another member's peer port; OAK_ECLOSED: there is no connection to it. NULL: there
     * is nobody to call. */
    int (*peer_call)(void *user, uint64_t member, const struct oak_rpc_request *request,
                     struct oak_rpc_call **out);
    /* Since when there is a connection to a member, on the loop's clock; 0: there is none. */
    uint64_t (*connected_ns)(void *user, uint64_t member);
    /* A peer URL in its one form; NULL: it is none. */
    const char *(*url_read)(struct oak_arena *arena, const char *text);
    /* The id of a member of these URLs, sorted. */
    uint64_t (*member_id)(const char *const *urls, size_t count, const char *tail);
    void *user;
};

struct oak_api;

/* OAK_ENOMEM, OAK_EEXIST: then, too, free what is given, unless it is NULL: some services may have
 * been added. */
OAK_MUST_USE int oak_api_new(const struct oak_api_options *options, struct oak_api **out);
/* Streams that would not end by themselves end now: before the server is drained. */
void oak_api_stop(struct oak_api *api);
/* *pending: events that were sent and may not have left, at most. */
void oak_api_watches(const struct oak_api *api, struct oak_watch_stats *out, uint64_t *pending);
/* Before the end: what is under way is given up. True: nothing is any more; else ask again. */
bool oak_api_settle(struct oak_api *api);
/* All calls must be closed: drain the server first, and settled,
 * and wait while it is busy. */
void oak_api_free(struct oak_api *api);
/* Passwords are being hashed, or a snapshot is under way. */
bool oak_api_busy(const struct oak_api *api);
/* The replica's callback of that name. */
void oak_api_token_granted(struct oak_api *api, const struct oak_authz_who *who,
                           struct oak_bytes digest);

/* Who a request of another door is: by the value of its header Authorization (data NULL: none).
 * `name` has room for OAK_AUTH_NAME_BYTES_MAX and holds the user's bytes. 0, and nobody where auth
 * is off or nothing was shown; OAK_EINVALIDAUTHTOKEN, OAK_EAUTHOLDREVISION. */
OAK_MUST_USE int oak_api_who(struct oak_api *api, struct oak_bytes token, uint8_t *name,
                             struct oak_authz_who *out);
/* May it do what this request asks? Ask when it comes, and a read again when it is done. What
 * oak_kv_permit says. */
OAK_MUST_USE int oak_api_permit(struct oak_api *api, const struct oak_authz_who *who,
                                const ProtobufCMessage *request);

#endif
