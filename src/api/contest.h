/* SPDX-License-Identifier: Apache-2.0 */
/* contest.h: who comes first: keys below one name, in the order in which they were created.
 *
 * A lock or an election is a name. Whoever takes part has a key below it, NAME/LEASE with the lease
 * as etcd's client writes it (hexadecimal, of a negative one behind a minus), and the key that was
 * created first is the holder's, or the leader's. The keys are ordinary ones: a client's own code
 * may take part by the same rule.
 *
 * Threads: the store's owner's.
 */
#ifndef OAK_API_CONTEST_H
#define OAK_API_CONTEST_H

#include "proto/proto.h"
#include "store/store.h"

struct api_contest {
    struct oak_bytes prefix; /* NAME/ */
    struct oak_bytes end;    /* behind all that begin with it: NAME0 */
    struct oak_bytes key;    /* NAME/LEASE */
};

/* In memory of the arena. OAK_ENOMEM. */
OAK_MUST_USE int api__contest_of(struct oak_arena *arena, struct oak_bytes name, int64_t lease,
                                 struct api_contest *out);
/* What is the first of all, in `key`; OAK_ENOENT, or what the store fails by. */
OAK_MUST_USE int api__contest_first(struct oak_store *store, const struct api_contest *contest,
                                    struct oak_buf *key);
/* The last of those that were created before `create_rev`. */
OAK_MUST_USE int api__contest_before(struct oak_store *store, const struct api_contest *contest,
                                     int64_t create_rev, struct oak_buf *key);

/* What is the first of all, whole; its bytes are the store's, until it is called again. */
OAK_MUST_USE int api__contest_leader(struct oak_store *store, const struct api_contest *contest,
                                     Mvccpb__KeyValue *out);

/* A transaction on one key, if it is still the one that was created at `create_rev` (0: if there is
 * none). Its parts point to each other: it stays where it is. Bytes are borrowed. */
struct api_claim {
    Etcdserverpb__TxnRequest txn;
    Etcdserverpb__Compare compare, *compares[1];
    Etcdserverpb__RequestOp then, *thens[1];
    Etcdserverpb__RequestOp otherwise, *otherwises[1];
    Etcdserverpb__PutRequest put;
    Etcdserverpb__DeleteRangeRequest remove;
    Etcdserverpb__RangeRequest look;
};
/* Put it; else, with `look`, say what is there. */
void api__claim_put(struct api_claim *claim, struct oak_bytes key, int64_t create_rev,
                    struct oak_bytes value, int64_t lease, bool look);
void api__claim_remove(struct api_claim *claim, struct oak_bytes key, int64_t create_rev);

#endif
