/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the kv room share. */
#ifndef OAK_KV_INTERNAL_H
#define OAK_KV_INTERNAL_H

#include "base/zoo.h"
#include "kv/kv.h"

/* A transaction and the operation that holds the next one are two levels of nesting. */
#define KV_TXN_DEPTH_MAX (OAK_PROTO_DEPTH_MAX / 2 + 1)

/* Shorter names for the variants of an operation. */
enum kv__op {
    KV_OP_NONE = ETCDSERVERPB__REQUEST_OP__REQUEST__NOT_SET,
    KV_OP_RANGE = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE,
    KV_OP_PUT = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT,
    KV_OP_DELETE = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE,
    KV_OP_TXN = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN,
};

/* A member that was removed. */
struct kv__gone {
    uint64_t id;
    uint64_t applied; /* before its removal */
};

struct oak_kv {
    struct oak_store *store;
    const struct oak_log *log;
    size_t txn_ops_max;
    size_t request_bytes_max;
    struct oak_store_state state; /* with the open batch */
    bool batch_open;
    bool skipping;            /* the last entry had been applied before */
    struct oak_arena scratch; /* one command: decoding and working memory; never a response */
    struct oak_buf value;     /* a value that outlives the next call to the store */
    struct oak_buf keys;      /* keys that a delete is about to remove */
    struct oak_buf name;      /* of a lease's key in the store */
    uint64_t leases_max;
    uint64_t lease_count;
    void (*lease_changed)(void *user, const struct oak_kv_lease *lease);
    void *lease_user;
    struct oak_arena member_memory;
    struct oak_kv_member *members;
    size_t member_count;
    struct kv__gone *gone;
    size_t gone_count;
    uint64_t members_version;
    struct oak_kv_alarm alarms[OAK_ALARMS_MAX];
    size_t alarm_count;
    char downgrade[24];
    struct oak_authz *authz;
    void (*token_granted)(void *user, const struct oak_authz_who *who, struct oak_bytes digest);
    void *user;
    struct oak_kv_counters counters;
    struct oak_kv_feed feed; /* `changed` NULL: nobody */
};

/* One command (or read) at work. `base` is the revision before it; once it has changed something
 * the revision is base + 1. */
struct kv__run {
    struct oak_kv *kv;
    struct oak_arena *arena; /* of the response */
    bool want;               /* a response is wanted */
    bool full;               /* ... but the arena had no room for it: changes go on without */
    int64_t base;
    int64_t changes; /* the next sub-revision */
};

static inline int64_t kv__run_revision(const struct kv__run *run)
{
    return run->base + (run->changes > 0 ? 1 : 0);
}
static inline bool kv__run_building(const struct kv__run *run)
{
    return run->want && !run->full;
}

/* Every function below that returns an int returns 0 or what ends the process (a broken store, no
 * memory), unless it says otherwise. What a client is told goes to an out-parameter. */

/* What a client of this kind of command sends, and is answered by; NULL for no such kind, and for
 * no answer. */
struct kv__shape {
    const ProtobufCMessageDescriptor *request;
    const ProtobufCMessageDescriptor *response;
};
/* command.c. False: there is no such kind. */
bool kv__shape(int kind, struct kv__shape *out);

/* -- kv.c -------------------------------------------------------------------------------------- */
/* The request of a command, in kv->scratch. Returns OAK_ENOMEM or 0; *told: what is wrong with it.
 */
OAK_MUST_USE int kv__decode(struct oak_kv *kv, const struct oak_kv_command *command,
                            ProtobufCMessage **message, int *told);

/* -- respond.c: responses in the arena; NULL sets run->full ------------------------------------ */
void *kv__message_new(struct kv__run *run, const ProtobufCMessageDescriptor *descriptor);
Etcdserverpb__ResponseHeader *kv__header_new(struct kv__run *run);
/* A copy of a pair; without its value when `keys_only`. */
Mvccpb__KeyValue *kv__pair_new(struct kv__run *run, const struct oak_store_kv *from,
                               bool keys_only);
/* Pairs, growing. */
struct kv__pairs {
    Mvccpb__KeyValue **items;
    size_t count;
    size_t capacity;
};
void kv__pairs_add(struct kv__run *run, struct kv__pairs *pairs, const struct oak_store_kv *from,
                   bool keys_only);

/* -- walk.c: the operations of a transaction and of those nested in it, without recursion ------ */
enum kv__branch {
    KV_BRANCH_SUCCESS,
    KV_BRANCH_FAILURE,
    KV_BRANCH_BOTH, /* success, then failure */
};
struct kv__list {
    Etcdserverpb__RequestOp **ops;
    size_t count;
};
struct kv__level {
    struct kv__list lists[2];
    size_t list_count;
    size_t list; /* the one at work */
    size_t next; /* in it */
};
struct kv__walk {
    size_t depth; /* levels in use; of the operation that `next` gave: index of its level + 1 */
    struct kv__level levels[KV_TXN_DEPTH_MAX];
};
void kv__walk_init(struct kv__walk *w);
/* Go through a branch of `txn` before anything else. False when nested too deep. */
OAK_MUST_USE bool kv__walk_enter(struct kv__walk *w, const Etcdserverpb__TxnRequest *txn,
                                 enum kv__branch branch);
/* The next operation, NULL at the end. A nested transaction is given once; the caller enters it. */
const Etcdserverpb__RequestOp *kv__walk_next(struct kv__walk *w);
/* The variant of an operation; KV_OP_NONE also when it is announced but absent, or unknown. */
enum kv__op kv__op_kind(const Etcdserverpb__RequestOp *op);

/* -- check.c, overlap.c: by looking at the request alone --------------------------------------- */
/* As oak_kv_check but for the size; working memory comes from `arena`. Returns what the client is
 * told, or OAK_ENOMEM. */
OAK_MUST_USE int kv__check(size_t txn_ops_max, enum oak_kv_kind kind,
                           const ProtobufCMessage *message, struct oak_arena *arena);
/* 0, OAK_EDUPLICATEKEY, OAK_ENOMEM. */
OAK_MUST_USE int kv__overlap_check(const Etcdserverpb__TxnRequest *txn, struct oak_arena *arena);

/* -- range.c ----------------------------------------------------------------------------------- */
/* Keys of a request as the store wants them. False: no key can be in it. */
OAK_MUST_USE bool kv__range_of(ProtobufCBinaryData key, ProtobufCBinaryData range_end,
                               struct oak_store_range *out);
/* What a range at `revision` is answered by: 0, OAK_EFUTUREREV or OAK_ECOMPACTED. */
OAK_MUST_USE int kv__revision_check(const struct oak_kv *kv, int64_t revision);
/* The four bounds on revisions; 0 is off. */
bool kv__range_passes(const Etcdserverpb__RangeRequest *r, const struct oak_store_kv *kv);
/* The request is checked and its revision readable. *out is NULL when the run is full. */
OAK_MUST_USE int kv__range(struct kv__run *run, const Etcdserverpb__RangeRequest *request,
                           Etcdserverpb__RangeResponse **out);
/* -- sort.c ------------------------------------------------------------------------------------ */
/* Stable. `scratch` has room for `count` pointers. */
typedef int kv__order_fn(const void *a, const void *b, int how);
void kv__sort(void **items, size_t count, void **scratch, kv__order_fn *order, int how);

/* -- write.c ----------------------------------------------------------------------------------- */
enum kv__put_where {
    KV_PUT_ALONE,
    KV_PUT_IN_TXN,
};
/* What stands against a put on the state as it is: *told is 0, OAK_ELEASENOTFOUND,
 * OAK_EKEYNOTFOUND. `gone`: an earlier operation of the same transaction removes the key. */
OAK_MUST_USE int kv__put_check(struct oak_kv *kv, const Etcdserverpb__PutRequest *request,
                               enum kv__put_where where, bool gone, int *told);
/* Both have been checked. *out is NULL without a response. */
OAK_MUST_USE int kv__put(struct kv__run *run, const Etcdserverpb__PutRequest *request,
                         Etcdserverpb__PutResponse **out);
OAK_MUST_USE int kv__delete(struct kv__run *run, const Etcdserverpb__DeleteRangeRequest *request,
                            Etcdserverpb__DeleteRangeResponse **out);

/* One key that lives and belongs to `lease` (0: to none). `current`: the key as it is, or NULL:
 * then the feed needs it found. */
OAK_MUST_USE int kv__remove(struct kv__run *run, struct oak_bytes key, int64_t lease,
                            const struct oak_store_kv *current);

/* -- leases.c ---------------------------------------------------------------------------------- */
OAK_MUST_USE int kv__leases_load(struct oak_kv *kv);
/* A key leaves a lease and joins another; 0: none. */
OAK_MUST_USE int kv__lease_move(struct oak_kv *kv, struct oak_bytes key, int64_t from, int64_t to);
/* *told: 0, OAK_ELEASEEXISTS, OAK_ETOOMANYREQUESTS. */
OAK_MUST_USE int kv__lease_grant(struct kv__run *run,
                                 const Etcdserverpb__LeaseGrantRequest *request,
                                 Etcdserverpb__LeaseGrantResponse **out, int *told);
/* *told: 0, OAK_ELEASENOTFOUND. */
OAK_MUST_USE int kv__lease_revoke(struct kv__run *run,
                                  const Etcdserverpb__LeaseRevokeRequest *request,
                                  Etcdserverpb__LeaseRevokeResponse **out, int *told);
OAK_MUST_USE int kv__lease_checkpoint(struct oak_kv *kv,
                                      const Etcdserverpb__LeaseCheckpointRequest *request);

/* -- feed.c ------------------------------------------------------------------------------------ */
/* Does the feed want the pair before a change of this key? */
bool kv__feed_wants(const struct oak_kv *kv, struct oak_bytes key);
/* A change that is about to be written. `current`: the key as it is, with its value if the feed
 * wants the pair before; NULL: it isn't there. What the store has lent is gone afterwards. */
OAK_MUST_USE int kv__feed_tell(struct kv__run *run, bool deleted, const struct oak_store_kv *kv,
                               const struct oak_store_kv *current);

/* -- txn.c, compare.c -------------------------------------------------------------------------- */
/* The outcomes of the transactions that will run, in the order in which a walk meets them. */
struct kv__path {
    bool *taken;
    size_t count;
};
/* On the state as it is. */
OAK_MUST_USE int kv__compares(struct oak_kv *kv, const Etcdserverpb__TxnRequest *txn, bool *holds);
/* Checked by kv__check. *told is what the client is told when nothing was changed. */
OAK_MUST_USE int kv__txn(struct kv__run *run, const Etcdserverpb__TxnRequest *request,
                         Etcdserverpb__TxnResponse **out, int *told);

/* -- compact.c, members.c ---------------------------------------------------------------------- */
/* *told: 0, OAK_ECOMPACTED, OAK_EFUTUREREV. */
void kv__compact(struct kv__run *run, const Etcdserverpb__CompactionRequest *request,
                 Etcdserverpb__CompactionResponse **out, int *told);
/* *told: 0, OAK_EINVAL, OAK_EREQUESTTOOLARGE, OAK_ELIMIT, OAK_EMEMBERNOTFOUND (it was removed).
 * `bytes` is the message as it came. */
OAK_MUST_USE int kv__publish(struct oak_kv *kv, const Etcdserverpb__Member *member,
                             struct oak_bytes bytes, int *told);
OAK_MUST_USE int kv__member_urls(struct oak_kv *kv, const Etcdserverpb__Member *member,
                                 struct oak_bytes bytes, int *told);
void kv__members_init(struct oak_kv *kv);
/* Read what is known of members from the store. OAK_ECORRUPT, OAK_ENOMEM, OAK_EIO. */
OAK_MUST_USE int kv__members_load(struct oak_kv *kv);

/* -- auth.c, permit.c -------------------------------------------------------------------------- */

static inline bool kv__is_auth(enum oak_kv_kind kind)
{
    return kind >= OAK_KV_AUTH_ENABLE && kind <= OAK_KV_ROLE_FORBID;
}
/* By looking at the request alone: 0, OAK_EINVAL. */
OAK_MUST_USE int kv__auth_check(enum oak_kv_kind kind, const ProtobufCMessage *message);
/* *told as oak_authz's changes have it. */
OAK_MUST_USE int kv__auth(struct kv__run *run, const struct oak_kv_command *command,
                          const ProtobufCMessage *message, ProtobufCMessage **response, int *told);
/* Read users and roles from the store. OAK_ECORRUPT, OAK_ENOMEM, OAK_EIO. */
OAK_MUST_USE int kv__auth_load(struct oak_kv *kv);
/* *told: what stands against it, as oak_kv_permit. */
OAK_MUST_USE int kv__permit(struct oak_kv *kv, const struct oak_kv_command *command,
                            const ProtobufCMessage *message, int *told);

/* -- alarms.c ---------------------------------------------------------------------------------- */
OAK_MUST_USE int kv__alarms_load(struct oak_kv *kv);
/* Does an alarm stand against this command? 0, OAK_ENOSPACE, OAK_ECORRUPTCLUSTER. */
int kv__alarms_check(const struct oak_kv *kv, enum oak_kv_kind kind,
                     const ProtobufCMessage *message);
/* *told: 0, OAK_ELIMIT. */
OAK_MUST_USE int kv__alarm(struct kv__run *run, const Etcdserverpb__AlarmRequest *request,
                           Etcdserverpb__AlarmResponse **out, int *told);
/* *told: 0, OAK_EDOWNGRADEFORMAT, OAK_EDOWNGRADEINPROCESS. */
OAK_MUST_USE int kv__downgrade(struct kv__run *run, const Etcdserverpb__DowngradeRequest *request,
                               Etcdserverpb__DowngradeResponse **out, int *told);

/* -- records.c: each reads the pairs that its file writes ---------------------------------------
 */
/* False: the pair is none of its own. *error: OAK_ECORRUPT, OAK_ENOMEM; it is 0 before. */
typedef bool kv__record_fn(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                           struct oak_kv_record *out, int *error);
kv__record_fn kv__lease_record;
kv__record_fn kv__auth_record;
kv__record_fn kv__alarm_record;
kv__record_fn kv__member_record;
/* oak_kv_record_write() of theirs. */
typedef int kv__record_write_fn(const struct oak_kv_record *record, struct oak_buf *key,
                                struct oak_buf *data);
kv__record_write_fn kv__lease_record_write;
kv__record_write_fn kv__auth_record_write;
kv__record_write_fn kv__alarm_record_write;

#endif
