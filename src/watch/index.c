/* SPDX-License-Identifier: Apache-2.0 */
/* index.c: the nodes of keys and ranges that are watched, and those that a key falls into.
 *
 * Happy path   an exact key is found by hash. Ranges stand in a treap in order of (key, end); each
 *              of its nodes knows which node of its subtree reaches furthest, so that subtrees that
 *              end before a key are passed over: O(log n + matches) for a key.
 * Can fail     for want of memory: no node is made. A table that can't grow goes on with longer
 *              chains.
 * Invariants   one node for each key and each range; its heat is at most its parent's.
 * Thread       the room's.
 */
#include "watch/internal.h"

#define EXACT_SLOTS_MIN 64u

static struct watch__range *range_of(struct watch__node *n)
{
    OAK_ASSERT(n->range);
    return OAK_CONTAINER_OF(n, struct watch__range, node);
}

/* Of a node without its bytes. */
static size_t head_size(bool range)
{
    return range ? sizeof(struct watch__range) : sizeof(struct watch__node);
}

static struct oak_bytes key_of(const struct watch__node *n)
{
    return oak_bytes((const uint8_t *)n + head_size(n->range), n->key_size);
}

static struct oak_bytes end_of(const struct watch__range *r)
{
    return oak_bytes((const uint8_t *)(r + 1) + r->node.key_size, r->end_size);
}

/* -- exact keys -------------------------------------------------------------------------------- */

static struct watch__node **bucket_of(const struct oak_watch *w, struct oak_bytes key)
{
    return &w->exact[watch__hash(w, key) & (w->exact_slots - 1)];
}

static struct watch__node *exact_find(const struct oak_watch *w, struct oak_bytes key)
{
    if (w->exact_count == 0) {
        return NULL;
    }
    struct watch__node *n = *bucket_of(w, key);
    while (n != NULL && !oak_bytes_eq(key_of(n), key)) {
        n = n->chained;
    }
    return n;
}

static void exact_resize(struct oak_watch *w, size_t slots)
{
    struct watch__node **old = w->exact;
    size_t old_slots = w->exact_slots;
    struct watch__node **fresh = watch__alloc(w, slots * sizeof(struct watch__node *));
    if (fresh == NULL) {
        return;
    }
    memset(fresh, 0, slots * sizeof(struct watch__node *));
    w->exact = fresh;
    w->exact_slots = slots;
    for (size_t i = 0; i < old_slots; i++) {
        for (struct watch__node *n = old[i]; n != NULL;) {
            struct watch__node *next = n->chained;
            struct watch__node **bucket = bucket_of(w, key_of(n));
            n->chained = *bucket;
            *bucket = n;
            n = next;
        }
    }
    watch__free(w, old, old_slots * sizeof(struct watch__node *));
}

static bool exact_add(struct oak_watch *w, struct watch__node *n)
{
    if (w->exact_count >= w->exact_slots) {
        exact_resize(w, OAK_MAX(EXACT_SLOTS_MIN, w->exact_slots * 2));
    }
    if (w->exact_slots == 0) {
        return false;
    }
    struct watch__node **bucket = bucket_of(w, key_of(n));
    n->chained = *bucket;
    *bucket = n;
    w->exact_count++;
    return true;
}

static void exact_remove(struct oak_watch *w, struct watch__node *n)
{
    struct watch__node **at = bucket_of(w, key_of(n));
    while (*at != n) {
        OAK_ASSERT(*at != NULL);
        at = &(*at)->chained;
    }
    *at = n->chained;
    w->exact_count--;
    if (w->exact_slots > EXACT_SLOTS_MIN && w->exact_count < w->exact_slots / 8) {
        exact_resize(w, w->exact_slots / 2);
    }
}

/* -- ranges ------------------------------------------------------------------------------------ */

static int end_cmp(const struct watch__range *a, const struct watch__range *b)
{
    if (a->open_end || b->open_end) {
        return (int)a->open_end - (int)b->open_end;
    }
    return oak_bytes_cmp(end_of(a), end_of(b));
}

static int range_cmp(const struct oak_watch_range *range, const struct watch__range *n)
{
    int order = oak_bytes_cmp(range->key, key_of(&n->node));
    if (order != 0) {
        return order;
    }
    if (range->open_end || n->open_end) {
        return (int)range->open_end - (int)n->open_end;
    }
    return oak_bytes_cmp(range->range_end, end_of(n));
}

static void reach_update(struct watch__range *n)
{
    n->reach = n;
    if (n->left != NULL && end_cmp(n->left->reach, n->reach) > 0) {
        n->reach = n->left->reach;
    }
    if (n->right != NULL && end_cmp(n->right->reach, n->reach) > 0) {
        n->reach = n->right->reach;
    }
}

/* Where the tree holds `n`. */
static struct watch__range **place_of(struct oak_watch *w, const struct watch__range *n)
{
    if (n->parent == NULL) {
        return &w->root;
    }
    return n->parent->left == n ? &n->parent->left : &n->parent->right;
}

/* `n` takes its parent's place, and its parent becomes its child. */
static void rotate_up(struct oak_watch *w, struct watch__range *n)
{
    struct watch__range *p = n->parent;
    OAK_ASSERT(p != NULL);
    *place_of(w, p) = n;
    n->parent = p->parent;
    struct watch__range *inner;
    if (p->left == n) {
        inner = n->right;
        n->right = p;
        p->left = inner;
    } else {
        inner = n->left;
        n->left = p;
        p->right = inner;
    }
    if (inner != NULL) {
        inner->parent = p;
    }
    p->parent = n;
    reach_update(p);
    reach_update(n);
}

static void reach_update_up(struct watch__range *n)
{
    for (; n != NULL; n = n->parent) {
        reach_update(n);
    }
}

static struct watch__range *range_find(const struct oak_watch *w,
                                       const struct oak_watch_range *range)
{
    struct watch__range *n = w->root;
    while (n != NULL) {
        int order = range_cmp(range, n);
        if (order == 0) {
            return n;
        }
        n = order < 0 ? n->left : n->right;
    }
    return NULL;
}

static void range_add(struct oak_watch *w, struct watch__range *n,
                      const struct oak_watch_range *range)
{
    struct watch__range **at = &w->root;
    while (*at != NULL) {
        n->parent = *at;
        int order = range_cmp(range, *at);
        OAK_ASSERT_NE(order, 0);
        at = order < 0 ? &(*at)->left : &(*at)->right;
    }
    *at = n;
    n->heat = (uint32_t)oak_prng_u64(&w->prng);
    while (n->parent != NULL && n->heat > n->parent->heat) {
        rotate_up(w, n);
    }
    reach_update_up(n);
    w->range_count++;
}

static void range_remove(struct oak_watch *w, struct watch__range *n)
{
    while (n->left != NULL || n->right != NULL) {
        bool left = n->right == NULL || (n->left != NULL && n->left->heat > n->right->heat);
        rotate_up(w, left ? n->left : n->right);
    }
    *place_of(w, n) = NULL;
    reach_update_up(n->parent);
    w->range_count--;
}

static bool reaches(const struct watch__range *n, struct oak_bytes key)
{
    return n->open_end || oak_bytes_cmp(key, end_of(n)) < 0;
}

/* In order, without a stack: where it comes from tells what is left to do at a node. */
static void ranges_of(const struct oak_watch *w, struct oak_bytes key,
                      bool (*each)(void *arg, struct watch__node *node), void *arg)
{
    struct watch__range *n = w->root;
    const struct watch__range *from = NULL;
    while (n != NULL) {
        struct watch__range *next = n->parent;
        bool entered = from == n->parent;
        if (entered && !reaches(n->reach, key)) {
            /* none of this subtree */
        } else if (entered && n->left != NULL) {
            next = n->left;
        } else if (entered || from == n->left) {
            if (oak_bytes_cmp(key_of(&n->node), key) <= 0) {
                if (reaches(n, key) && !each(arg, &n->node)) {
                    return;
                }
                next = n->right != NULL ? n->right : next;
            }
        }
        from = n;
        n = next;
    }
}

/* -- both -------------------------------------------------------------------------------------- */

size_t watch__node_bytes(const struct watch__node *n)
{
    const struct watch__range *r = (const struct watch__range *)(const void *)n;
    return (size_t)n->key_size + (n->range ? r->end_size : 0);
}

static size_t node_size(const struct watch__node *n)
{
    return head_size(n->range) + watch__node_bytes(n);
}

/* A node that is in no table yet; NULL without memory. */
static struct watch__node *node_new(struct oak_watch *w, const struct oak_watch_range *range,
                                    bool is_range)
{
    size_t end_size = range->open_end ? 0 : range->range_end.size;
    OAK_ASSERT_GT(range->key.size, 0u);
    OAK_ASSERT_LE(range->key.size + end_size, UINT32_MAX);
    uint8_t *memory = watch__alloc(w, head_size(is_range) + range->key.size + end_size);
    if (memory == NULL) {
        return NULL;
    }
    struct watch__node *n = (struct watch__node *)(void *)memory;
    memset(n, 0, head_size(is_range));
    n->key_size = (uint32_t)range->key.size;
    n->range = is_range;
    oak_list_init(&n->synced);
    oak_list_init(&n->behind);
    if (is_range) {
        range_of(n)->end_size = (uint32_t)end_size;
        range_of(n)->open_end = range->open_end;
    }
    memory += head_size(is_range);
    memcpy(memory, range->key.data, range->key.size);
    if (end_size > 0) {
        memcpy(memory + range->key.size, range->range_end.data, end_size);
    }
    return n;
}

struct watch__node *watch__node_of(struct oak_watch *w, const struct oak_watch_range *range)
{
    bool is_range = range->open_end || range->range_end.size > 0;
    if (is_range) {
        struct watch__range *found = range_find(w, range);
        if (found != NULL) {
            return &found->node;
        }
    } else {
        struct watch__node *found = exact_find(w, range->key);
        if (found != NULL) {
            return found;
        }
    }
    struct watch__node *n = node_new(w, range, is_range);
    if (n == NULL) {
        return NULL;
    }
    if (is_range) {
        range_add(w, range_of(n), range);
    } else if (!exact_add(w, n)) {
        watch__free(w, n, node_size(n));
        return NULL;
    }
    return n;
}

void watch__node_drop(struct oak_watch *w, struct watch__node *n)
{
    OAK_ASSERT(oak_list_empty(&n->synced) && oak_list_empty(&n->behind));
    OAK_ASSERT_EQ(n->previous, 0u);
    OAK_ASSERT_EQ(n->first, 0u); /* no batch speaks of it */
    if (n->range) {
        range_remove(w, range_of(n));
    } else {
        exact_remove(w, n);
    }
    watch__free(w, n, node_size(n));
}

void watch__nodes_of(const struct oak_watch *w, struct oak_bytes key,
                     bool (*each)(void *arg, struct watch__node *node), void *arg)
{
    struct watch__node *exact = exact_find(w, key);
    if (exact == NULL || each(arg, exact)) {
        ranges_of(w, key, each, arg);
    }
}

void watch__index_fini(struct oak_watch *w)
{
    OAK_ASSERT_EQ(w->exact_count, 0u);
    OAK_ASSERT_EQ(w->range_count, 0u);
    watch__free(w, w->exact, w->exact_slots * sizeof(struct watch__node *));
    w->exact = NULL;
    w->exact_slots = 0;
}
