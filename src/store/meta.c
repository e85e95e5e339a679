/* SPDX-License-Identifier: Apache-2.0 */
/* meta.c: named values outside the history, in a tree of their own.
 *
 * A value of the open batch stands on top of the committed one as a second version, whose revision
 * is the batch's number; commit drops what is below. Removing is a tombstone until the commit. Both
 * engines keep all of them in memory: that is where the state machine looks its leases up.
 *
 * Can fail     OAK_ENOMEM, nothing changed.
 * Invariants   at most two versions a key: one committed, one of the open batch.
 * Thread       the owner's.
 */
#include "store/internal.h"

#include <stdlib.h>

void store__meta_fini(struct store_meta *m)
{
    store__tree_clear(&m->tree);
    free(m->touched);
    *m = (struct store_meta){0};
}

static int make_room(struct store_meta *m)
{
    if (m->touched_count < m->touched_room) {
        return 0;
    }
    size_t room = OAK_MAX((size_t)16, m->touched_room * 2);
    struct store_key **touched = realloc(m->touched, room * sizeof(struct store_key *));
    if (touched == NULL) {
        return OAK_ENOMEM;
    }
    m->touched = touched;
    m->touched_room = room;
    return 0;
}

int store__meta_put(struct store_meta *m, struct oak_bytes key, struct oak_bytes data)
{
    int error = make_room(m);
    if (error != 0) {
        return error;
    }
    struct store_key *old = store__tree_find(&m->tree, key);
    struct store_version *top = old != NULL ? old->newest : NULL;
    struct store_version *replaced = top != NULL && top->rev.main > m->batch ? top : NULL;
    struct oak_store_rev rev = {.main = m->batch + 1,
                                .sub = replaced != NULL ? replaced->rev.sub + 1 : 0};
    struct store_item item = {
        .rev = rev, .deleted = data.size == 0, .kv = {.key = key, .value = data}};
    struct store_version *made;
    error = store__tree_push(&m->tree, &item, &made);
    if (error != 0) {
        return error;
    }
    if (replaced != NULL) {
        store__tree_drop(&m->tree, replaced);
    } else {
        m->touched[m->touched_count++] = made->key;
    }
    return 0;
}

const struct store_version *store__meta_find(const struct store_meta *m, struct oak_bytes key)
{
    const struct store_key *found = store__tree_find(&m->tree, key);
    return found == NULL || found->newest->deleted ? NULL : found->newest;
}

void store__meta_commit(struct store_meta *m)
{
    for (size_t i = 0; i < m->touched_count; i++) {
        struct store_version *top = m->touched[i]->newest;
        OAK_ASSERT_EQ(top->rev.main, m->batch + 1);
        if (top->older != NULL) {
            store__tree_drop(&m->tree, top->older);
        }
        OAK_ASSERT(top->older == NULL);
        if (top->deleted) {
            store__tree_drop(&m->tree, top);
        }
    }
    m->touched_count = 0;
    m->batch++;
}

void store__meta_each(const struct store_meta *m, bool committed,
                      bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                      void *arg)
{
    struct store_cursor c;
    for (store__cursor_first(&m->tree, &c); c.key != NULL; store__cursor_next(&c)) {
        struct store_version *v = c.key->newest;
        if (committed && v->rev.main > m->batch) {
            v = v->older;
        }
        if (v != NULL && !v->deleted &&
            !each(arg, store__key_bytes(c.key), oak_bytes(v->value, v->value_size))) {
            return;
        }
    }
}

void store__meta_scan(const struct store_meta *m, struct oak_bytes prefix, struct oak_bytes from,
                      bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                      void *arg)
{
    struct store_cursor c;
    store__cursor_seek(&m->tree, &c, from);
    for (; c.key != NULL; store__cursor_next(&c)) {
        struct oak_bytes key = store__key_bytes(c.key);
        if (key.size < prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0) {
            return;
        }
        const struct store_version *v = c.key->newest;
        if (!v->deleted && !each(arg, key, oak_bytes(v->value, v->value_size))) {
            return;
        }
    }
}
