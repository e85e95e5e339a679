/* SPDX-License-Identifier: Apache-2.0 */
/* share.c: bytes that many calls send, held once.
 *
 * Happy path   a message's head goes into the call's `out`; of its shared bytes the call notes
 *              where they lie, and before which byte of `out` they leave. Whoever takes the call's
 *              bytes gets them in their order. The last who holds the bytes frees them.
 * Can fail     for want of memory: the note of a share, new bytes.
 * Invariants   shared_left is the sum of what the notes have left; their places are in order, and
 *              within what is left of `out`. Shared bytes do not change once a call sends them.
 * Thread       that of the connections whose calls send them: all of one loop.
 */
#include "rpc/internal.h"

struct oak_rpc_shared {
    uint32_t holders;
    size_t size;
    uint8_t data[];
};

/* Of a call: what it has left to send of some shared bytes. */
struct share {
    struct oak_rpc_shared *of;
    size_t place; /* in `out`: before that byte */
    size_t from, left;
};

struct oak_rpc_shared *oak_rpc_shared_new(size_t size)
{
    OAK_ASSERT_LE(size, SIZE_MAX - sizeof(struct oak_rpc_shared));
    struct oak_rpc_shared *shared = rpc__resize(NULL, sizeof(*shared) + size);
    if (shared != NULL) {
        shared->holders = 1;
        shared->size = size;
    }
    return shared;
}

uint8_t *oak_rpc_shared_data(struct oak_rpc_shared *shared)
{
    return shared->data;
}

void rpc__shared_hold(struct oak_rpc_shared *shared)
{
    OAK_ASSERT(shared->holders > 0 && shared->holders < UINT32_MAX);
    shared->holders++;
}

void oak_rpc_shared_drop(struct oak_rpc_shared *shared)
{
    OAK_ASSERT_GT(shared->holders, 0u);
    if (--shared->holders == 0) {
        rpc__resize(shared, 0);
    }
}

/* -- of a call --------------------------------------------------------------------------------- */

static struct share *shares_of(const struct oak_rpc_call *call)
{
    return (struct share *)(void *)call->shares.data;
}

static size_t count_of(const struct oak_rpc_call *call)
{
    return call->shares.size / sizeof(struct share);
}

int rpc__share_reserve(struct oak_rpc_call *call)
{
    /* Those that have left make room. */
    if (call->shares_done > 0 && call->shares_done >= count_of(call) - call->shares_done) {
        oak_buf_consume(&call->shares, call->shares_done * sizeof(struct share));
        call->shares_done = 0;
    }
    return oak_buf_reserve(&call->shares, sizeof(struct share));
}

void rpc__share_add(struct oak_rpc_call *call, struct oak_rpc_shared *of, struct oak_bytes bytes)
{
    OAK_ASSERT(bytes.data >= of->data && bytes.size > 0);
    const struct share share = {.of = of,
                                .place = call->out.size,
                                .from = (size_t)(bytes.data - of->data),
                                .left = bytes.size};
    OAK_ASSERT(share.from <= of->size && bytes.size <= of->size - share.from);
    int error = oak_buf_append(&call->shares, &share, sizeof(share));
    OAK_ASSERT_EQ(error, 0); /* there is room */
    rpc__shared_hold(of);
    call->shared_left += bytes.size;
}

size_t rpc__call_queued(const struct oak_rpc_call *call)
{
    OAK_ASSERT_LE(call->out_at, call->out.size);
    return call->out.size - call->out_at + call->shared_left;
}

struct oak_bytes rpc__out_next(const struct oak_rpc_call *call, size_t most,
                               struct oak_rpc_shared **of)
{
    const struct share *next =
        call->shares_done < count_of(call) ? &shares_of(call)[call->shares_done] : NULL;
    size_t end = next != NULL ? next->place : call->out.size;
    OAK_ASSERT(call->out_at <= end && end <= call->out.size);
    if (next != NULL && call->out_at == end) {
        *of = next->of;
        return oak_bytes(next->of->data + next->from, OAK_MIN(next->left, most));
    }
    *of = NULL;
    return oak_bytes(call->out.data + call->out_at, OAK_MIN(end - call->out_at, most));
}

void rpc__out_taken(struct oak_rpc_call *call, const struct oak_rpc_shared *of, size_t size)
{
    if (of == NULL) {
        call->out_at += size;
        return;
    }
    struct share *share = &shares_of(call)[call->shares_done];
    OAK_ASSERT(share->of == of && size <= share->left && size <= call->shared_left);
    share->from += size;
    share->left -= size;
    call->shared_left -= size;
    if (share->left == 0) {
        call->shares_done++;
        oak_rpc_shared_drop(share->of);
    }
}

void rpc__out_moved(struct oak_rpc_call *call)
{
    for (size_t i = call->shares_done; i < count_of(call); i++) {
        struct share *share = &shares_of(call)[i];
        OAK_ASSERT_GE(share->place, call->out_at);
        share->place -= call->out_at;
    }
    call->out_at = 0;
}

void rpc__shares_drop(struct oak_rpc_call *call)
{
    for (size_t i = call->shares_done; i < count_of(call); i++) {
        oak_rpc_shared_drop(shares_of(call)[i].of);
    }
    oak_buf_clear(&call->shares);
    call->shares_done = 0;
    call->shared_left = 0;
}
