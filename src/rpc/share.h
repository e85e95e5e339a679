/* SPDX-License-Identifier: Apache-2.0 */
/* share.h: bytes that many calls send, held once (share.c). */
#ifndef OAK_RPC_SHARE_H
#define OAK_RPC_SHARE_H

#include "oakum/rpc.h"

void rpc__shared_hold(struct oak_rpc_shared *shared);
/* Room for one more share; then, behind what is in `out`, the share. OAK_ENOMEM. */
OAK_MUST_USE int rpc__share_reserve(struct oak_rpc_call *call);
void rpc__share_add(struct oak_rpc_call *call, struct oak_rpc_shared *of, struct oak_bytes bytes);
/* Bytes that have not been taken, of `out` and of shares. */
size_t rpc__call_queued(const struct oak_rpc_call *call);
/* The next of them that lie together, and whose they are: NULL: `out`'s. And they were taken. */
struct oak_bytes rpc__out_next(const struct oak_rpc_call *call, size_t most,
                               struct oak_rpc_shared **of);
void rpc__out_taken(struct oak_rpc_call *call, const struct oak_rpc_shared *of, size_t size);
/* What was taken of `out` is gone from it: it begins where out_at was, which is 0 now. */
void rpc__out_moved(struct oak_rpc_call *call);
/* All that is left of them. */
void rpc__shares_drop(struct oak_rpc_call *call);

#endif
