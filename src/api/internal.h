/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one call in the hands of the api. */
#ifndef OAK_API_INTERNAL_H
#define OAK_API_INTERNAL_H

#include <proto/election.oak.h>
#include <proto/lock.oak.h>
#include <proto/rpc.oak.h>

#include "api/api.h"
#include "api/compactor.h"
#include "api/contest.h"
#include "api/ear.h"
#include "api/guard.h"
#include "oakum/stub.h"
#include "watch/watch.h"

/* Lies in the memory of its stub call, beside the request, and goes with it. */
struct api_call {
    struct oak_api *api;
    struct oak_stub_call *stub;
    const ProtobufCMessage *message; /* the request */
    struct oak_replica_request request;
    /* The client has gone, or was answered: what the handler holds goes. NULL: it holds nothing. */
    void (*closed)(struct api_call *call);
    void *held;
    struct api_hashing *hashing; /* of its password, under way */
    struct oak_bytes bytes;      /* of the request, while its token is waited for */
    bool waited;                 /* ... once */
    bool confirmed;              /* a read: it was asked for by api__read */
    struct api_change *change;   /* of the group, that it waits for; NULL: none */
    struct oak_replica_hash hash;
    struct oak_list refused_link; /* of the quota's */
    struct oak_timer timer;       /* MoveLeader's, */
    uint64_t until_ns;            /* and its deadline */
};

/* quota.c */
struct api_quota {
    uint64_t size;    /* of the store, when it was looked at last */
    uint64_t since;   /* what was let in since then */
    uint64_t look_ns; /* the next time */
    struct oak_replica_request request;
    bool raising;            /* the alarm */
    struct oak_list refused; /* calls that are told when it is on */
};

/* compactor.c */
struct api_compaction {
    struct api_compactor compactor;
    struct oak_timer timer;
    struct oak_replica_request request;
    int64_t revision; /* that is asked for */
    bool asked;
};

/* A stream that ends when its member has had no leader for some time. Embed it. */
struct api_follower {
    struct oak_list link;
    void (*lost)(struct api_follower *follower);
};

struct api_leader {
    struct oak_list followers;
    struct oak_timer timer;
    unsigned without; /* looks in a row that found none */
};

/* The Watch service (watch.c, watch_feed.c, watch_send.c). */
struct api_watch {
    struct oak_watch *room;
    struct oak_list streams;
    struct oak_list asking; /* streams whose client waits for a notice of progress */
    struct oak_list ears;   /* of the api itself */
    struct oak_timer step;
    struct oak_prng prng;
    uint64_t term; /* of the headers of what is being sent */
    bool stopped;
};

/* Calls that wait for their turn (turn.c), and those that are leaving. */
struct api_turns {
    struct oak_list list;
    size_t count;
    size_t bytes; /* of their names and values */
};

struct oak_api {
    struct oak_api_options options;
    struct api_leader leader;
    struct api_watch watch;
    struct api_turns turns;
    size_t pieces; /* ranges under way in pieces */
    struct oak_token_table *tokens;
    size_t hashing;        /* passwords */
    uint64_t audit_at_ns;  /* a second of the audit begins */
    uint64_t audit_lines;  /* in it */
    uint64_t audit_hidden; /* lines that it had no room for */
    struct oak_api *home;  /* itself, but for `door` */
    /* What the peer port has for the user of its handlers: calls there are other members'. */
    struct oak_api *door;
    bool peer; /* this is it */
    /* Of home: */
    struct oak_list changes;
    size_t change_count;
    struct api_change *at_work; /* on a leader, one at a time; NULL: none */
    struct api_quota quota;
    struct api_compaction compaction;
    struct oak_list snapshots; /* that clients are sent */
    size_t snapshot_count;
    uint64_t snapshot_number; /* of the next one */
    bool snapshots_stopped;
};

/* call.c */
/* A handler begins. NULL: the call has been refused. The request of the replica is forgotten when
 * the client goes. */
struct api_call *api__begin(void *user, struct oak_stub_call *stub,
                            const ProtobufCMessage *message);
/* A learner has no streams but a snapshot's, and few calls. */
bool api__is_learner(const struct oak_api *api);
/* Each ends the call. */
void api__answer(struct api_call *call, const ProtobufCMessage *response);
/* The response has a header with its revision alone: the rest is filled in. */
void api__answer_with_header(struct api_call *call, ProtobufCMessage *response);
void api__fail(struct api_call *call, int error);
/* Where the response is built. */
struct oak_arena *api__arena(struct api_call *call);
/* Fill cluster, member and term; the revision is the handler's. */
void api__header(const struct oak_api *api, Etcdserverpb__ResponseHeader *header);
/* A new header in the call's arena, with the current revision; NULL without memory. */
Etcdserverpb__ResponseHeader *api__header_new(struct api_call *call);
typedef void api__ready_fn(struct oak_replica_request *request, int error,
                           const struct oak_kv_result *result);
/* Call `ready`, at once by a lease or once there is a read index; the call fails by itself if
 * neither can be had. What is answered tells of the revision, in its header: of all keys. */
void api__read(struct api_call *call, api__ready_fn *ready);
/* For a serializable read that failed by `error`: a revision that its client was told by another
 * member may not have come here yet. Then the read is asked for once more, by api__read, and true
 * comes back: what it says then is final. */
bool api__read_later(struct api_call *call, int error, api__ready_fn *ready);
/* Check a command, and propose it: `bytes` are those of `message`. Answers or fails the call. */
void api__propose(struct api_call *call, enum oak_kv_kind kind, const ProtobufCMessage *message,
                  struct oak_bytes bytes);
/* The same without a call: the request's `done` is told. What the check or the replica refuses;
 * OAK_ENOSPACE: the quota does, and the alarm is being raised. */
OAK_MUST_USE int api__propose_for(struct oak_api *api, enum oak_kv_kind kind,
                                  const ProtobufCMessage *message, struct oak_bytes bytes,
                                  struct oak_replica_request *request);
/* ... of a message made here, packed into memory of the arena, which has it back. */
OAK_MUST_USE int api__propose_made(struct oak_api *api, struct oak_arena *arena,
                                   enum oak_kv_kind kind, const ProtobufCMessage *message,
                                   struct oak_replica_request *request);
/* The call is told what one of these two has refused. */
void api__refuse(struct api_call *call, int error);
/* The header of a response. */
Etcdserverpb__ResponseHeader *api__header_of(const ProtobufCMessage *response);
/* The call of a request whose `done` runs. */
struct api_call *api__call_of(struct oak_replica_request *request);

/* kv.c: propose the call's request; its answer is the command's. */
void api__write(struct api_call *call, enum oak_kv_kind kind);

/* quota.c: would it go beyond the quota? Then the alarm is raised, and the call told when it is on.
 * Forget: one that waits for that is gone. */
bool api__quota_refuses(struct oak_api *api, uint64_t cost);
void api__quota_raise(struct oak_api *api);
void api__quota_refuse(struct api_call *call);
void api__quota_forget(struct api_call *call);

/* snapshot.c */
void api__snapshot(void *user, struct oak_stub_call *stub,
                   const Etcdserverpb__SnapshotRequest *request);
/* They end, and no other begins. */
void api__snapshots_stop(struct oak_api *api);

/* lease.c: an id for a lease that this member grants. */
int64_t api__lease_choose(const struct oak_api *api);

/* turn.c: those whose client has gone are given up. */
void api__turns_drop(struct oak_api *api);

/* observe.c: the stream of leaders */
void api__observe(void *user, struct oak_stub_call *stub,
                  const V3electionpb__LeaderRequest *request);

/* move.c */
void api__move_leader(void *user, struct oak_stub_call *stub,
                      const Etcdserverpb__MoveLeaderRequest *request);

/* compactor.c */
OAK_MUST_USE int api__compaction_start(struct oak_api *api);
void api__compaction_stop(struct oak_api *api);

/* cluster.c */
/* Whom a configuration names, in order, into OAK_PEERS_MAX places. */
size_t api__member_ids(const struct oak_raft_config *config, uint64_t *out);
/* The members as clients see them; texts are borrowed until something is applied. */
OAK_MUST_USE int api__members(const struct oak_api *api, struct oak_arena *arena,
                              Etcdserverpb__Member ***out, size_t *count);
/* One of them. */
void api__member_fill(const struct oak_api *api, uint64_t id, Etcdserverpb__Member *member);
/* A header without a revision; NULL without memory. */
Etcdserverpb__ResponseHeader *api__cluster_header(struct api_call *call);

/* keepalive.c: the stream of keepalives */
void api__keepalive_start(void *user, struct oak_stub_call *stub);
void api__keepalive_message(void *user, struct oak_stub_call *stub,
                            const Etcdserverpb__LeaseKeepAliveRequest *request);
void api__keepalive_half_closed(void *user, struct oak_stub_call *stub);
void api__keepalive_closed(void *user, struct oak_stub_call *stub,
                           const struct oak_rpc_status *status);

/* leader.c */
void api__leader_init(struct oak_api *api);
void api__leader_fini(struct oak_api *api);
/* Does the client of a call want none without a leader? */
bool api__leader_wanted(const struct oak_stub_call *stub);
bool api__leader_known(const struct oak_api *api);
/* `lost` is called once, when three looks in a row, an election time-out apart, found no leader. */
void api__leader_follow(struct oak_api *api, struct api_follower *follower);
/* It follows no more; nothing, if it doesn't. */
void api__leader_leave(struct oak_api *api, struct api_follower *follower);

/* -- watches ----------------------------------------------------------------------------------- */

/* One stream of the Watch service; in the memory of its call. */
struct watch_stream {
    struct api_listener base;
    struct oak_api *api;
    struct oak_stub_call *stub;
    struct oak_list link;
    struct oak_list asking_link;
    struct oak_timer progress;
    struct api_follower follower;
    uint64_t pending; /* events that were sent since its queue was last seen empty */
    bool ended;       /* it was told how; nothing more is sent */
    bool paused;      /* its requests wait until it is read from */
};

/* watch_feed.c: the room of watches, between the state machine and the store. */
OAK_MUST_USE int api__watch_open(struct oak_api *api);
void api__watch_close(struct oak_api *api);
/* Somebody may be behind: see to it soon. */
void api__watch_kick(struct oak_api *api);
/* watch_send.c */
/* What is sent from here on has the header of now. */
void api__watch_header_renew(struct oak_api *api);
/* A response without events; `reason` may be NULL. What can't be sent ends the stream. */
struct watch_notice {
    int64_t id;
    int64_t revision;
    bool created;
    bool cancelled;
    const char *reason;
};
void api__watch_notice(struct watch_stream *s, const struct watch_notice *notice);
bool api__watch_heard(struct api_listener *listener, const struct oak_watch_response *response);
void api__watch_forget(void *user, void *kept);
/* Does it take more? Once it doesn't, it tells when it does again. */
bool api__watch_takes(const struct watch_stream *s);
/* watch.c */
void api__watch_end(struct watch_stream *s, enum oak_rpc_code code, const char *text);
/* Answer those that wait for a notice of progress and can have one. */
void api__watch_progress(struct oak_api *api);

extern const struct etcdserverpb__watch_handlers api__watch;
/* range.c */
void api__range(void *user, struct oak_stub_call *stub, const Etcdserverpb__RangeRequest *request);
void api__range_stream(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__RangeRequest *request);
/* who.c, permit.c: every method passes here, before its handler, and no other place allows or
 * denies. */
struct api_who {
    struct oak_authz_who who; /* its user lies in `name`; an empty one: nobody */
    enum oak_authz_session session;
    struct oak_token *token; /* a simple one; until something is applied */
    uint8_t name[OAK_AUTH_NAME_BYTES_MAX];
};
/* By the call's token, else by the client's certificate. Nobody while auth is off. OAK_EAGAIN: the
 * token may be one that this member is to hear of (oak_replica_read waits for that).
 * OAK_EINVALIDAUTHTOKEN, OAK_EAUTHOLDREVISION. */
OAK_MUST_USE int api__who(struct oak_api *api, const struct oak_stub_call *stub,
                          struct api_who *out);
/* Whoever was known when its call began, as of now: who it is still holds. Nobody stays nobody.
 * OAK_EINVALIDAUTHTOKEN: its user is gone, or has another password. */
OAK_MUST_USE int api__who_renew(const struct oak_api *api, struct oak_authz_who *who);
/* May the client of this stub do what `request` asks? What it is told if not: any of oak_kv_permit.
 * The identity is that of the call's start; of a stream, ask for each request. */
OAK_MUST_USE int api__permit(struct oak_api *api, const struct oak_stub_call *stub,
                             const ProtobufCMessage *request);
/* The same for a call that has begun, once more, when it reads: permissions may have changed. */
OAK_MUST_USE int api__permit_again(const struct api_call *call);
/* The same for one that has waited long, by whoever it was: api__who_renew's errors, too. */
OAK_MUST_USE int api__permit_later(struct oak_api *api, struct oak_authz_who *who,
                                   const ProtobufCMessage *request);
/* The same for the create of a watch, on the range as it will be watched: 0, or what api__permit
 * says. */
OAK_MUST_USE int api__permit_watch(struct oak_api *api, const struct oak_stub_call *stub,
                                   struct oak_bytes key, struct oak_bytes range_end);
/* What a watch that is refused is told, as grpc-go renders the error. Static. */
const char *api__permit_watch_text(int error);
/* One line for what was refused, unless there are too many. */
void api__audit(struct oak_api *api, const struct oak_stub_call *stub, const struct api_who *who,
                const char *what);
/* A handler begins: is it let through, and for whom is what it proposes? False: the call was
 * refused, or waits for its token and begins again. */
bool api__admit(struct api_call *call);

/* login.c */
void api__hashing_forget(struct api_call *call);
void api__authenticate(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__AuthenticateRequest *request);
/* Call `hashed` with the hash of the password, from the loop, unless the client has gone; or fail
 * the call. */
void api__hash(struct api_call *call, const char *password,
               void (*hashed)(struct api_call *call, const char *hash));

/* change.c */
enum api_change_kind {
    API_CHANGE_ADD,
    API_CHANGE_REMOVE,
    API_CHANGE_UPDATE,
    API_CHANGE_PROMOTE,
};
/* What a call asks for; of ADD and UPDATE the URLs, of the others the id alone. */
struct api_change_of {
    uint64_t id;
    bool learner;
    char *const *urls;
    size_t url_count;
};
/* Answers the call, or fails it, now or later. */
void api__change_begin(struct api_call *call, enum api_change_kind kind,
                       const struct api_change_of *of);
/* Its call is gone. */
void api__change_leave(struct api_change *change);
/* They end; those that another member was asked for, once it has answered or the client is gone. */
void api__changes_stop(struct oak_api *home);

extern const struct etcdserverpb__kv_handlers api__kv;
extern const struct etcdserverpb__auth_handlers api__auth;
extern const struct etcdserverpb__lease_handlers api__lease;
extern const struct etcdserverpb__cluster_handlers api__cluster;
extern const struct etcdserverpb__maintenance_handlers api__maintenance;
extern const struct v3lockpb__lock_handlers api__lock;
extern const struct v3electionpb__election_handlers api__election;

#endif
