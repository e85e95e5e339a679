/* SPDX-License-Identifier: Apache-2.0 */
/* feed.c: telling of changes as they are made.
 *
 * Happy path   a change is told just before it is written, while the version before it is at hand.
 * Can fail     finding the pair of the revision before, when its key has been changed in this
 *              revision already: the store, which is fatal.
 * Invariants   what is told is written, or the process ends. The feed changes nothing of the state.
 * Thread       the replica's.
 */
#include "kv/internal.h"

void oak_kv_set_feed(struct oak_kv *kv, const struct oak_kv_feed *feed)
{
    OAK_ASSERT(feed == NULL || !kv->batch_open);
    kv->feed = feed != NULL ? *feed : (struct oak_kv_feed){0};
}

bool kv__feed_wants(const struct oak_kv *kv, struct oak_bytes key)
{
    return kv->feed.changed != NULL && kv->feed.wants_previous(kv->feed.user, key);
}

int kv__feed_tell(struct kv__run *run, bool deleted, const struct oak_store_kv *kv,
                  const struct oak_store_kv *current)
{
    const struct oak_kv_feed *feed = &run->kv->feed;
    if (feed->changed == NULL) {
        return 0;
    }
    const struct oak_store_kv *previous = NULL;
    struct oak_store_kv found;
    if (kv__feed_wants(run->kv, kv->key)) {
        previous = current;
        /* An earlier operation of this revision may have changed the key. */
        bool touched = current != NULL ? current->mod_rev > run->base : run->changes > 0;
        if (touched) {
            int error = oak_store_get(run->kv->store, kv->key, run->base, &found);
            if (error != 0 && error != OAK_ENOENT) {
                return error;
            }
            previous = error == 0 ? &found : NULL;
        }
    }
    feed->changed(feed->user, deleted, kv, previous);
    return 0;
}
