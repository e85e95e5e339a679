/* SPDX-License-Identifier: Apache-2.0 */
/* kv.h: the replicated state machine: commands in, results out, the same on every replica.
 *
 * Law: same commands, same contents and same answers everywhere: no clock, no hash order, no
 * locale, no float. Every failure of a command is a result, never an assertion. The semantics are
 * etcd's v3 KV.
 *
 *     oak_kv_begin(kv)
 *     oak_kv_apply(kv, index, term, bytes, &arena, &result) ...   // one for each entry
 *     oak_kv_end(kv)                                              // one store batch for all
 *
 * Threads: the replica's.
 */
#ifndef OAK_KV_H
#define OAK_KV_H

#include "authz/authz.h"
#include "port/port.h"
#include "proto/proto.h"
#include "store/store.h"

struct oak_kv;

/* What a command asks. Numbers are written to the log: never reuse one. */
enum oak_kv_kind {
    OAK_KV_PUT = 1,     /* etcdserverpb.PutRequest         -> PutResponse */
    OAK_KV_DELETE = 2,  /* etcdserverpb.DeleteRangeRequest -> DeleteRangeResponse */
    OAK_KV_TXN = 3,     /* etcdserverpb.TxnRequest         -> TxnResponse */
    OAK_KV_COMPACT = 4, /* etcdserverpb.CompactionRequest  -> CompactionResponse */
    OAK_KV_PUBLISH = 5, /* etcdserverpb.Member: what a member tells of itself; no response */
    /* etcdserverpb.LeaseGrantRequest, with an ID       -> LeaseGrantResponse */
    OAK_KV_LEASE_GRANT = 6,
    OAK_KV_LEASE_REVOKE = 7,     /* etcdserverpb.LeaseRevokeRequest -> LeaseRevokeResponse */
    OAK_KV_LEASE_CHECKPOINT = 8, /* etcdserverpb.LeaseCheckpointRequest; no response */
    OAK_KV_ALARM = 9,            /* etcdserverpb.AlarmRequest        -> AlarmResponse */
    /* etcdserverpb.Member: its peer URLs, and whether it stays a learner; without URLs: it was
     * removed. No response. */
    OAK_KV_MEMBER_URLS = 10,
    OAK_KV_COMPACT_OWN = 12, /* as COMPACT, of the cluster itself: no user is asked for */
    OAK_KV_DOWNGRADE = 11,   /* etcdserverpb.DowngradeRequest    -> DowngradeResponse */

    /* Of etcdserverpb.Auth: each takes the request of its name and gives its response. A password
     * is in none of them: hashedPassword is its bcrypt hash, and no base64. */
    OAK_KV_AUTH_ENABLE = 16,
    OAK_KV_AUTH_DISABLE = 17,
    OAK_KV_AUTH_TOKEN = 18, /* authpb.TokenGrant -> AuthenticateResponse, the token left out */
    OAK_KV_USER_ADD = 19,
    OAK_KV_USER_DELETE = 20,
    OAK_KV_USER_PASSWORD = 21,
    OAK_KV_USER_GRANT = 22,
    OAK_KV_USER_REVOKE = 23,
    OAK_KV_ROLE_ADD = 24,
    OAK_KV_ROLE_DELETE = 25,
    OAK_KV_ROLE_PERMIT = 26, /* AuthRoleGrantPermissionRequest */
    OAK_KV_ROLE_FORBID = 27, /* AuthRoleRevokePermissionRequest */
    OAK_KV_KIND_END_
};

/* A command as it stands in a log entry: 24 bytes of header, then the request as it came.
 *
 *     0        1      2          8               16              24
 *     +--------+------+----------+---------------+---------------+-----------
 *     | version| kind | reserved | origin (LE)   | id (LE)       | request ...
 *     +--------+------+----------+---------------+---------------+-----------
 *
 * `origin` is the member that proposed it and `id` its number there: the origin finds the waiting
 * client by it.
 *
 * That is version 1. Version 2 says for whom it is, too, and as of which revision of users and
 * roles that was known, between header and request:
 *
 *     24               32          34
 *     +----------------+-----------+---------+-----------
 *     | revision (LE)  | size (LE) | user ...| request ...
 *     +----------------+-----------+---------+-----------
 */
#define OAK_KV_HEADER_BYTES 24
/* With the longest user. */
#define OAK_KV_HEADER_BYTES_MAX (OAK_KV_HEADER_BYTES + 10 + OAK_AUTH_NAME_BYTES_MAX)
struct oak_kv_command {
    enum oak_kv_kind kind;
    uint64_t origin;
    uint64_t id;
    struct oak_authz_who who; /* no user: nobody asked for it, or auth was off */
    struct oak_bytes request; /* borrowed, as the user is */
};
/* Of the header; the request goes behind it. */
size_t oak_kv_header_bytes(const struct oak_kv_command *c);
/* Writes so many to `out`. */
void oak_kv_command_encode(const struct oak_kv_command *c, uint8_t *out);
/* OAK_EFORMAT when the bytes are no command. */
OAK_MUST_USE int oak_kv_command_decode(struct oak_bytes bytes, struct oak_kv_command *out);

/* A lease as it is replicated. */
struct oak_kv_lease {
    int64_t id;
    int64_t ttl_s;       /* granted */
    int64_t remaining_s; /* of that, as a leader wrote it down last; 0: all of it */
};

struct oak_kv_options {
    struct oak_store *store;   /* owned by the caller, used by kv alone */
    const struct oak_log *log; /* may be NULL */
    uint32_t txn_ops_max;      /* 0: OAK_TXN_OPS_MAX; the same on every member */
    size_t request_bytes_max;  /* 0: OAK_REQUEST_BYTES_MAX; for oak_kv_check */
    /* A password was right: whoever shows the token of this digest is `who`, as long as
     * oak_kv_token_holds. Called while applying; may be NULL. */
    void (*token_granted)(void *user, const struct oak_authz_who *who, struct oak_bytes digest);
    void *user;
    uint64_t leases_max; /* 0: OAK_LEASES_MAX; the same on every member */
    /* A lease is granted, its remaining time is written down, or (ttl_s 0) it is revoked. Within
     * oak_kv_apply, whose store batch is still to come. NULL for none. */
    void (*lease_changed)(void *user, const struct oak_kv_lease *lease);
    void *lease_user;
};

OAK_MUST_USE int oak_kv_new(const struct oak_kv_options *options, struct oak_kv **out,
                            struct oak_errbuf *e);
void oak_kv_free(struct oak_kv *kv);
/* The store was replaced (a snapshot was restored): read its state anew. */
OAK_MUST_USE int oak_kv_reload(struct oak_kv *kv);

/* -- before proposing -------------------------------------------------------------------------- */

/* What can be refused by looking at the request alone, in etcd's order: empty keys, value or lease
 * provided beside ignore_*, sort options, too many operations, duplicate keys in a transaction; at
 * last its size (OAK_EREQUESTTOOLARGE). `message` is the decoded request of that kind. Any thread.
 */
OAK_MUST_USE int oak_kv_check(const struct oak_kv *kv, enum oak_kv_kind kind,
                              const ProtobufCMessage *message);
OAK_MUST_USE int oak_kv_check_range(const Etcdserverpb__RangeRequest *request);
/* A transaction of plain ranges only, which needs no log (etcd: "read-only"); *serializable when
 * every range in it asks for that and there is at least one. */
bool oak_kv_txn_is_read(const Etcdserverpb__TxnRequest *request, bool *serializable);

/* -- who may do what --------------------------------------------------------------------------- */

/* Users, roles and permissions as they are applied here; to be read. */
const struct oak_authz *oak_kv_authz(const struct oak_kv *kv);
static inline bool oak_kv_auth_enabled(const struct oak_kv *kv)
{
    return oak_authz_settings(oak_kv_authz(kv))->enabled;
}
/* What stands against this request: a Range, one about leases, or that of a command, which is asked
 * again when it is applied. The errors of oak_authz_permit() and oak_authz_permit_root(),
 * OAK_EFORMAT (nested too deep). */
OAK_MUST_USE int oak_kv_permit(struct oak_kv *kv, const struct oak_authz_who *who,
                               const ProtobufCMessage *request);
/* The same for keys. */
OAK_MUST_USE int oak_kv_permit_keys(struct oak_kv *kv, const struct oak_authz_who *who,
                                    enum oak_authz_access access, struct oak_bytes key,
                                    struct oak_bytes range_end);
/* Is what was proved by a password at this revision still good: is auth on, the user there, and its
 * password the same? */
bool oak_kv_token_holds(const struct oak_kv *kv, const struct oak_authz_who *who);

/* -- applying ---------------------------------------------------------------------------------- */

struct oak_kv_result {
    struct oak_kv_command command;
    int error; /* one of OAK_E...: what the client is told */
    /* The response in the arena, its header filled but for cluster_id, member_id and raft_term;
     * NULL on error, and where `want_response` was false. */
    ProtobufCMessage *response;
};

/* Who hears of each change: watches. All is called from within the functions of this room, and
 * calls none of them. */
struct oak_kv_feed {
    /* Shall `previous` be found for a change of this key? */
    bool (*wants_previous)(void *user, struct oak_bytes key);
    /* It is being made, in order of (main, sub); of a delete, key and mod_rev count. `previous`:
     * the pair as of the revision before; NULL: there was none, or nobody wants it. */
    void (*changed)(void *user, bool deleted, const struct oak_store_kv *kv,
                    const struct oak_store_kv *previous);
    /* The batch with all that was told since the last time is in the store. */
    void (*committed)(void *user, const struct oak_store_state *state);
    /* The state is another one (oak_kv_reload): what led to it was not told. */
    void (*replaced)(void *user, const struct oak_store_state *state);
    void *user;
};
/* Between batches. NULL: nobody, at any time. */
void oak_kv_set_feed(struct oak_kv *kv, const struct oak_kv_feed *feed);

OAK_MUST_USE int oak_kv_begin(struct oak_kv *kv);
/* Apply one entry; their indexes rise, and what is at or below state.applied is skipped (error 0,
 * no response). An empty `entry` (a new leader's no-op) only moves the applied index. The response,
 * and nothing else, lives in `arena`, which the caller resets: when it has no room the command is
 * applied all the same and its error is OAK_ELIMIT. An entry that is no command, or does not
 * decode, gives an error and changes nothing but the applied index. A nonzero return is fatal (the
 * store failed, or there is no memory): end the process. */
OAK_MUST_USE int oak_kv_apply(struct oak_kv *kv, uint64_t index, uint64_t term,
                              struct oak_bytes entry, bool want_response, struct oak_arena *arena,
                              struct oak_kv_result *result);
OAK_MUST_USE int oak_kv_end(struct oak_kv *kv);

/* -- reading (between batches) ----------------------------------------------------------------- */

/* As etcd's Range on the state as it is applied here. The response lives in the arena. Besides what
 * oak_kv_check_range refuses: OAK_EFUTUREREV, OAK_ECOMPACTED, OAK_ELIMIT (no room in the arena),
 * and what the store fails by. */
OAK_MUST_USE int oak_kv_range(struct oak_kv *kv, const Etcdserverpb__RangeRequest *request,
                              struct oak_arena *arena, Etcdserverpb__RangeResponse **out);
/* A range whose answer need not be held: of more than one key, in order of key. It is open while
 * others write and compact, and sees its revision all the same. Checked by the caller:
 *
 *     open; measure until there is no more; size; next until there is no more; close
 *
 * Each step walks about `bytes` of pairs. `size` is what `next` will append in all: the encoded
 * RangeResponse, but for the header. OAK_EAGAIN, of a step: the contents were replaced by a
 * snapshot's; else as oak_kv_range(). Close before the kv is freed; NULL is nothing. */
struct oak_kv_pieces;
bool oak_kv_range_in_pieces(const Etcdserverpb__RangeRequest *request);
OAK_MUST_USE int oak_kv_pieces_open(struct oak_kv *kv, const Etcdserverpb__RangeRequest *request,
                                    struct oak_kv_pieces **out);
OAK_MUST_USE int oak_kv_pieces_measure(struct oak_kv_pieces *p, size_t bytes, bool *more);
uint64_t oak_kv_pieces_size(const struct oak_kv_pieces *p);
OAK_MUST_USE int oak_kv_pieces_next(struct oak_kv_pieces *p, size_t bytes, struct oak_buf *out,
                                    bool *more);
/* Instead of measure and next, in one walk. */
OAK_MUST_USE int oak_kv_pieces_stream(struct oak_kv_pieces *p, size_t bytes, struct oak_buf *out,
                                      bool *more);
void oak_kv_pieces_close(struct oak_kv_pieces *p);
/* A transaction that oak_kv_txn_is_read; OAK_EINVAL when it isn't. Checked as oak_kv_check does. */
OAK_MUST_USE int oak_kv_txn_read(struct oak_kv *kv, const Etcdserverpb__TxnRequest *request,
                                 struct oak_arena *arena, Etcdserverpb__TxnResponse **out);

/* What a read answers by. */
struct oak_kv_reach {
    const struct oak_store_range *ranges; /* the keys it may look at */
    size_t count;
    bool old_revisions; /* it asks for a revision, so it may find that compacted */
};
/* Might doing this entry change what such a read answers, its header's revision left aside? NULL:
 * the read tells of everything, the revision too. For entries behind the applied ones; between
 * batches. False is certain, true is not. */
bool oak_kv_touches(struct oak_kv *kv, struct oak_bytes entry, const struct oak_kv_reach *reach);

/* State of what is applied, uncommitted batch included. */
const struct oak_store_state *oak_kv_state(const struct oak_kv *kv);

/* What is known of members beside their votes, in order of id; borrowed until the next apply. A
 * publication with neither name nor client URL forgets the member. */
struct oak_kv_member {
    uint64_t id;
    bool published;   /* by itself: it has been there */
    bool said;        /* a leader has told of it: it was added, or changed */
    bool learner;     /* ... and it is to stay one */
    const char *name; /* "" before it has published itself */
    const char *const *client_urls;
    size_t client_url_count;
    const char *const *peer_urls;
    size_t peer_url_count;
};
size_t oak_kv_members(const struct oak_kv *kv, const struct oak_kv_member **out);
/* Rises each time that any of it may have changed. */
uint64_t oak_kv_members_version(const struct oak_kv *kv);
/* NULL: nothing is known. */
const struct oak_kv_member *oak_kv_member(const struct oak_kv *kv, uint64_t id);
/* It was removed, as far back as is remembered. */
bool oak_kv_member_gone(const struct oak_kv *kv, uint64_t id);

/* Alarms that are on in the cluster; borrowed until the next apply. Kinds are those of
 * etcdserverpb.AlarmType. */
struct oak_kv_alarm {
    uint64_t member;
    int kind;
};
size_t oak_kv_alarms(const struct oak_kv *kv, const struct oak_kv_alarm **out);
bool oak_kv_alarmed(const struct oak_kv *kv, int kind);
/* What a command may add to the store, as etcd counts it for its quota; checked as oak_kv_check
 * does. 0: it takes no space. */
uint64_t oak_kv_cost(enum oak_kv_kind kind, const ProtobufCMessage *message);
/* The version to which a downgrade was announced; "": none was. Borrowed until the next apply. */
const char *oak_kv_downgrade(const struct oak_kv *kv);

/* False: there is no such lease. */
bool oak_kv_lease(const struct oak_kv *kv, int64_t id, struct oak_kv_lease *out);
/* All of them, in order of id; `each` returns false to stop. */
void oak_kv_leases(const struct oak_kv *kv,
                   bool (*each)(void *arg, const struct oak_kv_lease *lease), void *arg);
uint64_t oak_kv_lease_count(const struct oak_kv *kv);
/* The keys that go with a lease, in order, borrowed for the call. */
void oak_kv_lease_keys(const struct oak_kv *kv, int64_t id,
                       bool (*each)(void *arg, struct oak_bytes key), void *arg);

/* What a pair of the store's meta says, for who makes another thing of a state than a kv. */
enum oak_kv_record_kind {
    OAK_KV_RECORD_OTHER, /* what follows from the rest, or is Oakum's own */
    OAK_KV_RECORD_LEASE,
    OAK_KV_RECORD_LEASED, /* a key goes with a lease: `name`, and lease.id alone */
    OAK_KV_RECORD_AUTH,   /* is it on, and the revision of users and roles */
    OAK_KV_RECORD_USER,
    OAK_KV_RECORD_ROLE,
    OAK_KV_RECORD_ALARM,
    OAK_KV_RECORD_DOWNGRADE,
    OAK_KV_RECORD_MEMBER_GONE,
};
struct oak_kv_record {
    enum oak_kv_record_kind kind;
    struct oak_kv_lease lease;
    bool auth_enabled;
    uint64_t auth_revision;
    uint64_t auth_numbers;    /* given out to users and roles so far */
    uint64_t number;          /* of a user or a role, its own, from 1 */
    struct oak_bytes name;    /* of a user or a role; of a downgrade, its version */
    struct oak_bytes message; /* authpb.User, authpb.Role */
    struct oak_kv_alarm alarm;
    uint64_t member;
};
/* Borrowed from the pair, and from `arena`. OAK_ECORRUPT, OAK_ENOMEM. Any thread. */
OAK_MUST_USE int oak_kv_record_read(struct oak_bytes key, struct oak_bytes data,
                                    struct oak_arena *arena, struct oak_kv_record *out);
/* The pair that says so, of a lease, a key of one, auth, a user, a role or an alarm: what a kv that
 * starts from it believes, whoever wrote it. OAK_EINVAL: none of those; OAK_ENOMEM. Any thread. */
OAK_MUST_USE int oak_kv_record_write(const struct oak_kv_record *record, struct oak_buf *key,
                                     struct oak_buf *data);

/* Leases by their time to live: up to 1, 2, 4 ... seconds, and more. */
#define OAK_KV_TTL_BUCKETS 25
/* Since start, on this member: operations done, those in transactions too. A range in a transaction
 * counts where it is answered. An event is a key put or removed. */
struct oak_kv_counters {
    uint64_t puts, deletes, ranges, txns, events;
    uint64_t pieces; /* ranges in pieces that are open now */
    uint64_t leases_granted, leases_revoked;
    uint64_t lease_ttls[OAK_KV_TTL_BUCKETS];
    uint64_t lease_ttl_sum; /* seconds */
};
void oak_kv_counters(const struct oak_kv *kv, struct oak_kv_counters *out);

#endif
