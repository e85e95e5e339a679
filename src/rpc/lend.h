/* SPDX-License-Identifier: Apache-2.0 */
/* lend.h: what is written from where it lies (lend.c). */
#ifndef OAK_RPC_LEND_H
#define OAK_RPC_LEND_H

#include "oakum/rpc.h"
#include "rpc/limits.h"

struct rpc_pool;

/* A piece of some call's `out`, or of what it shares, that goes before byte `at` of what is
 * gathered. */
struct rpc_lent_piece {
    size_t at;
    struct oak_bytes bytes;
};

/* Of one take, until it is written: then it is given back. */
struct rpc_lent {
    uint64_t turn; /* counts takes, from 1 */
    size_t bytes;  /* of all pieces */
    size_t count;
    size_t buffer_count;
    struct rpc_lent_piece pieces[RPC_LENT_MAX];
    struct oak_buf buffers[RPC_LENT_MAX]; /* those that their calls have no use for any more */
    size_t shared_count;
    struct oak_rpc_shared *shared[RPC_LENT_MAX]; /* held until then */
};

/* These bytes, the next of its `out` or of what it shares, go into what is gathered: false, if they
 * have to be copied there. */
bool rpc__lend(struct oak_rpc_call *call, struct oak_bytes bytes, struct oak_rpc_shared *of);
/* What was lent stays as it is: `out` is empty from here on. */
void rpc__lent_leave(struct oak_rpc_call *call);
/* The same, but what was not taken of `out` stays, in a buffer of its own. OAK_ENOMEM. */
OAK_MUST_USE int rpc__lent_part(struct oak_rpc_call *call);
bool rpc__is_lent(const struct oak_rpc_call *call);
/* All of it was written: a new take may begin. */
void rpc__lent_return(struct rpc_lent *lent, struct rpc_pool *pool);
/* What was gathered and what was lent, in their order; `out` has OAK_STREAM_PIECES_MAX. */
size_t rpc__lent_pieces(const struct rpc_lent *lent, struct oak_bytes gathered,
                        struct oak_bytes *out);

#endif
