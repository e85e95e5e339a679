/* SPDX-License-Identifier: Apache-2.0 */
/* compact.c: raise the floor below which history can't be read.
 *
 * The new floor goes with the batch into the store and takes effect there; space comes back later
 * (oak_store_reclaim). In an empty store the floor is -1, so that compacting at 0 succeeds once, as
 * in etcd.
 *
 * Thread  the replica's.
 */
#include "kv/internal.h"

void kv__compact(struct kv__run *run, const Etcdserverpb__CompactionRequest *request,
                 Etcdserverpb__CompactionResponse **out, int *told)
{
    struct oak_store_state *state = &run->kv->state;
    OAK_ASSERT_LE(state->compacted, state->revision);
    *out = NULL;
    if (request->revision <= state->compacted && !OAK_BUG(floor_goes_back)) {
        *told = OAK_ECOMPACTED;
        return;
    }
    if (request->revision > state->revision) {
        *told = OAK_EFUTUREREV;
        return;
    }
    state->compacted = request->revision;
    if (OAK_BUG(floor_one_higher) && request->revision < state->revision) {
        state->compacted++;
    }
    *told = 0;
    Etcdserverpb__CompactionResponse *response =
        kv__message_new(run, &etcdserverpb__compaction_response__descriptor);
    if (response != NULL) {
        response->header = kv__header_new(run);
        *out = response;
    }
}
