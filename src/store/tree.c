/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c: an ordered tree of keys, each with a chain of versions, newest first.
 *
 * A B+tree: leaves hold pointers to keys and are linked both ways, branches hold children with the
 * lowest key that each may contain. seps[0] of a branch is unused: whatever is below seps[1] is
 * child 0. A node is freed when it becomes empty and never merged before: keys vanish only by
 * reclaim, and what is written in a range once is mostly written there again.
 *
 *     branch  seps  [ - | f | m ]          every key in child i is >= seps[i] and < seps[i + 1]
 *             child [ 0 | 1 | 2 ]
 *     leaf    keys  [ a b d ] <-> [ f g ] <-> [ m p z ]
 *
 * A separator points at a living key: when the first key of a leaf goes, the separator that may
 * point at it is moved on to the key behind it (raise_separator).
 *
 * Can fail     OAK_ENOMEM, before anything has changed.
 * Invariants   keys strictly rising along the leaves; no empty node; a chain is never empty.
 * Thread       the owner's.
 */
#include "store/internal.h"

#include <stdlib.h>

#define TREE_FANOUT 32
/* 16 keys in the emptiest half of a split, 16^12 keys in all: never reached. */
#define TREE_HEIGHT_MAX 13

struct store_leaf {
    struct store_leaf *prev;
    struct store_leaf *next;
    unsigned count;
    struct store_key *keys[TREE_FANOUT];
};

struct tree_branch {
    unsigned count;
    struct store_key *seps[TREE_FANOUT];
    void *children[TREE_FANOUT];
};

/* The way from the root to a leaf: path[0] is the root. */
struct tree_path {
    struct tree_branch *branch[TREE_HEIGHT_MAX];
    unsigned at[TREE_HEIGHT_MAX];
    unsigned count;
};

/* The number of keys in keys[first, count) that are <= `key` (or < it), plus first. */
static unsigned search(struct store_key *const *keys, unsigned first, unsigned count,
                       struct oak_bytes key, bool or_equal)
{
    unsigned low = first;
    unsigned high = count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = oak_bytes_cmp(store__key_bytes(keys[middle]), key);
        if (order < 0 || (or_equal && order == 0)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct store_leaf *descend(const struct store_tree *t, struct oak_bytes key,
                                  struct tree_path *path)
{
    OAK_ASSERT(t->root != NULL);
    OAK_ASSERT_LT(t->height, TREE_HEIGHT_MAX);
    void *node = t->root;
    path->count = 0;
    for (unsigned level = t->height; level > 1; level--) {
        struct tree_branch *b = node;
        unsigned at = search(b->seps, 1, b->count, key, true) - 1;
        path->branch[path->count] = b;
        path->at[path->count] = at;
        path->count++;
        node = b->children[at];
    }
    return node;
}

struct store_key *store__tree_find(const struct store_tree *t, struct oak_bytes key)
{
    struct store_cursor c;
    store__cursor_seek(t, &c, key);
    return c.key != NULL && oak_bytes_eq(store__key_bytes(c.key), key) ? c.key : NULL;
}

/* -- inserting --------------------------------------------------------------------------------- */

/* The nodes that one insertion may need, allocated before anything changes. */
struct tree_spare {
    struct store_leaf *leaf;
    struct tree_branch *branch[TREE_HEIGHT_MAX];
    unsigned branches;
};

static void spare_free(struct tree_spare *spare)
{
    free(spare->leaf);
    for (unsigned i = 0; i < spare->branches; i++) {
        free(spare->branch[i]);
    }
}

static int spare_take(struct tree_spare *spare, const struct store_tree *t,
                      const struct tree_path *path, const struct store_leaf *leaf)
{
    *spare = (struct tree_spare){0};
    if (leaf != NULL && leaf->count < TREE_FANOUT) {
        return 0;
    }
    spare->leaf = calloc(1, sizeof(*spare->leaf));
    if (spare->leaf == NULL) {
        return OAK_ENOMEM;
    }
    unsigned wanted = 0;
    unsigned level = path->count;
    while (leaf != NULL && level > 0 && path->branch[level - 1]->count == TREE_FANOUT) {
        wanted++;
        level--;
    }
    /* Every node on the way is full: the root splits too, and gets a parent. */
    if (leaf != NULL && level == 0) {
        wanted++;
    }
    OAK_ASSERT_LT(t->height + 1, TREE_HEIGHT_MAX);
    for (unsigned i = 0; i < wanted; i++) {
        spare->branch[i] = calloc(1, sizeof(*spare->branch[i]));
        if (spare->branch[i] == NULL) {
            spare->branches = i;
            spare_free(spare);
            return OAK_ENOMEM;
        }
    }
    spare->branches = wanted;
    return 0;
}

/* Where to cut a full node when something goes in at `at`: in the middle, but behind everything
 * when the insertion is at the end, so that keys that come in order leave full nodes behind. */
static unsigned cut_of(unsigned at)
{
    return at == TREE_FANOUT ? TREE_FANOUT : TREE_FANOUT / 2;
}

static void leaf_put(struct store_leaf *leaf, unsigned at, struct store_key *key)
{
    OAK_ASSERT_LT(leaf->count, TREE_FANOUT);
    OAK_ASSERT_LE(at, leaf->count);
    memmove(&leaf->keys[at + 1], &leaf->keys[at], (leaf->count - at) * sizeof(leaf->keys[0]));
    leaf->keys[at] = key;
    leaf->count++;
}

static void branch_put(struct tree_branch *b, unsigned at, struct store_key *sep, void *child)
{
    OAK_ASSERT_LT(b->count, TREE_FANOUT);
    OAK_ASSERT_LE(at, b->count);
    size_t behind = b->count - at;
    memmove(&b->seps[at + 1], &b->seps[at], behind * sizeof(b->seps[0]));
    memmove(&b->children[at + 1], &b->children[at], behind * sizeof(b->children[0]));
    b->seps[at] = sep;
    b->children[at] = child;
    b->count++;
}

/* `right` has come into being beside the child that `path` leads to: tell the parents. */
static void insert_right(struct store_tree *t, struct tree_path *path, struct store_key *sep,
                         void *right, struct tree_spare *spare)
{
    while (path->count > 0) {
        path->count--;
        struct tree_branch *b = path->branch[path->count];
        unsigned at = path->at[path->count] + 1;
        if (b->count < TREE_FANOUT) {
            branch_put(b, at, sep, right);
            return;
        }
        OAK_ASSERT_GT(spare->branches, 0U);
        struct tree_branch *other = spare->branch[--spare->branches];
        unsigned cut = cut_of(at);
        other->count = TREE_FANOUT - cut;
        memcpy(other->seps, &b->seps[cut], other->count * sizeof(b->seps[0]));
        memcpy(other->children, &b->children[cut], other->count * sizeof(b->children[0]));
        b->count = cut;
        if (at < cut) {
            branch_put(b, at, sep, right);
        } else {
            branch_put(other, at - cut, sep, right);
        }
        sep = other->seps[0];
        right = other;
    }
    OAK_ASSERT_EQ(spare->branches, 1U);
    struct tree_branch *root = spare->branch[--spare->branches];
    root->count = 2;
    root->children[0] = t->root;
    root->children[1] = right;
    root->seps[1] = sep;
    t->root = root;
    t->height++;
}

static void leaf_split(struct store_tree *t, struct store_leaf *leaf, unsigned at,
                       struct store_key *key, struct tree_path *path, struct tree_spare *spare)
{
    struct store_leaf *right = spare->leaf;
    spare->leaf = NULL;
    unsigned cut = cut_of(at);
    right->count = TREE_FANOUT - cut;
    memcpy(right->keys, &leaf->keys[cut], right->count * sizeof(leaf->keys[0]));
    leaf->count = cut;
    if (at < cut) {
        leaf_put(leaf, at, key);
    } else {
        leaf_put(right, at - cut, key);
    }
    right->prev = leaf;
    right->next = leaf->next;
    leaf->next = right;
    if (right->next != NULL) {
        right->next->prev = right;
    } else {
        t->last = right;
    }
    insert_right(t, path, right->keys[0], right, spare);
}

static int tree_insert(struct store_tree *t, struct store_key *key)
{
    struct tree_path path = {0};
    struct tree_spare spare;
    struct store_leaf *leaf = NULL;
    unsigned at = 0;
    if (t->root != NULL) {
        leaf = descend(t, store__key_bytes(key), &path);
        at = search(leaf->keys, 0, leaf->count, store__key_bytes(key), false);
        OAK_ASSERT(at == leaf->count ||
                   oak_bytes_cmp(store__key_bytes(leaf->keys[at]), store__key_bytes(key)) > 0);
    }
    int error = spare_take(&spare, t, &path, leaf);
    if (error != 0) {
        return error;
    }
    if (leaf == NULL) {
        t->root = t->first = t->last = spare.leaf;
        t->height = 1;
        leaf_put(spare.leaf, 0, key);
    } else if (leaf->count < TREE_FANOUT) {
        leaf_put(leaf, at, key);
    } else {
        leaf_split(t, leaf, at, key, &path, &spare);
        OAK_ASSERT_EQ(spare.branches, 0U);
    }
    t->keys++;
    return 0;
}

static uint64_t version_bytes(const struct store_version *v)
{
    return sizeof(*v) + v->value_size;
}

int store__tree_push(struct store_tree *t, const struct store_item *item,
                     struct store_version **out)
{
    size_t value_size = item->deleted ? 0 : item->kv.value.size;
    struct store_version *v = malloc(sizeof(*v) + value_size);
    if (v == NULL) {
        return OAK_ENOMEM;
    }
    *v = (struct store_version){.rev = item->rev, .deleted = item->deleted};
    if (!item->deleted) {
        v->create_rev = item->kv.create_rev;
        v->version = item->kv.version;
        v->lease = item->kv.lease;
        v->value_size = value_size;
        if (value_size > 0) {
            memcpy(v->value, item->kv.value.data, value_size);
        }
    }
    struct store_key *key = store__tree_find(t, item->kv.key);
    if (key == NULL) {
        key = malloc(sizeof(*key) + item->kv.key.size);
        if (key == NULL) {
            free(v);
            return OAK_ENOMEM;
        }
        key->newest = NULL;
        key->size = item->kv.key.size;
        if (key->size > 0) {
            memcpy(key->bytes, item->kv.key.data, key->size);
        }
        int error = tree_insert(t, key);
        if (error != 0) {
            free(key);
            free(v);
            return error;
        }
        t->bytes += sizeof(*key) + key->size;
    }
    OAK_ASSERT(key->newest == NULL || store__rev_cmp(key->newest->rev, v->rev) < 0);
    v->key = key;
    v->older = key->newest;
    if (v->older != NULL) {
        v->older->newer = v;
    }
    key->newest = v;
    t->bytes += version_bytes(v);
    if (out != NULL) {
        *out = v;
    }
    return 0;
}

/* -- removing ---------------------------------------------------------------------------------- */

/* The lowest key below path->branch[level..] has changed to `sep`: its separator stands in the
 * nearest parent where the way does not go through child 0. */
static void raise_separator(struct tree_path *path, unsigned level, struct store_key *sep)
{
    while (level > 0) {
        level--;
        if (path->at[level] > 0) {
            path->branch[level]->seps[path->at[level]] = sep;
            return;
        }
    }
}

static void leaf_unlink(struct store_tree *t, struct store_leaf *leaf)
{
    if (leaf->prev != NULL) {
        leaf->prev->next = leaf->next;
    } else {
        t->first = leaf->next;
    }
    if (leaf->next != NULL) {
        leaf->next->prev = leaf->prev;
    } else {
        t->last = leaf->prev;
    }
    free(leaf);
}

/* The child that `path` leads to is gone. */
static void remove_child(struct store_tree *t, struct tree_path *path)
{
    unsigned level = path->count;
    while (level > 0) {
        level--;
        struct tree_branch *b = path->branch[level];
        unsigned at = path->at[level];
        if (b->count == 1) {
            free(b);
            continue;
        }
        size_t behind = b->count - at - 1;
        memmove(&b->seps[at], &b->seps[at + 1], behind * sizeof(b->seps[0]));
        memmove(&b->children[at], &b->children[at + 1], behind * sizeof(b->children[0]));
        b->count--;
        if (at == 0) {
            raise_separator(path, level, b->seps[0]);
        }
        break;
    }
    if (t->first == NULL) {
        OAK_ASSERT(t->last == NULL);
        t->root = NULL;
        t->height = 0;
    }
}

static void tree_remove(struct store_tree *t, struct store_key *key)
{
    struct tree_path path;
    struct store_leaf *leaf = descend(t, store__key_bytes(key), &path);
    unsigned at = search(leaf->keys, 0, leaf->count, store__key_bytes(key), false);
    OAK_ASSERT_LT(at, leaf->count);
    OAK_ASSERT(leaf->keys[at] == key);
    size_t behind = leaf->count - at - 1;
    memmove(&leaf->keys[at], &leaf->keys[at + 1], behind * sizeof(leaf->keys[0]));
    leaf->count--;
    t->keys--;
    if (leaf->count == 0) {
        leaf_unlink(t, leaf);
        remove_child(t, &path);
    } else if (at == 0) {
        raise_separator(&path, path.count, leaf->keys[0]);
    }
    while (t->height > 1 && ((struct tree_branch *)t->root)->count == 1) {
        struct tree_branch *root = t->root;
        t->root = root->children[0];
        t->height--;
        free(root);
    }
}

void store__tree_drop(struct store_tree *t, struct store_version *v)
{
    struct store_key *key = v->key;
    if (v->newer != NULL) {
        v->newer->older = v->older;
    } else {
        OAK_ASSERT(key->newest == v);
        key->newest = v->older;
    }
    if (v->older != NULL) {
        v->older->newer = v->newer;
    }
    OAK_ASSERT_GE(t->bytes, version_bytes(v));
    t->bytes -= version_bytes(v);
    free(v);
    if (key->newest == NULL) {
        tree_remove(t, key);
        t->bytes -= sizeof(*key) + key->size;
        free(key);
    }
}

static void free_key(struct store_key *key)
{
    struct store_version *v = key->newest;
    while (v != NULL) {
        struct store_version *older = v->older;
        free(v);
        v = older;
    }
    free(key);
}

/* Branches are freed level by level from the top: the children of one level are reached through a
 * chain made of their own seps[0], which is unused otherwise. */
static void free_branches(struct store_tree *t)
{
    struct tree_branch *head = t->height > 1 ? t->root : NULL;
    for (unsigned level = t->height; level > 1; level--) {
        struct tree_branch *below = NULL;
        while (head != NULL) {
            struct tree_branch *b = head;
            head = (void *)b->seps[0];
            for (unsigned i = 0; level > 2 && i < b->count; i++) {
                struct tree_branch *child = b->children[i];
                child->seps[0] = (void *)below;
                below = child;
            }
            free(b);
        }
        head = below;
    }
}

void store__tree_clear(struct store_tree *t)
{
    if (t->height > 1) {
        ((struct tree_branch *)t->root)->seps[0] = NULL;
        free_branches(t);
    }
    struct store_leaf *leaf = t->first;
    while (leaf != NULL) {
        struct store_leaf *next = leaf->next;
        for (unsigned i = 0; i < leaf->count; i++) {
            free_key(leaf->keys[i]);
        }
        free(leaf);
        leaf = next;
    }
    *t = (struct store_tree){0};
}

/* -- reading ----------------------------------------------------------------------------------- */

struct store_version *store__version_at(const struct store_key *key, int64_t rev)
{
    struct store_version *v = key->newest;
    while (rev > 0 && v != NULL && v->rev.main > rev) {
        v = v->older;
    }
    return v;
}

void store__version_item(const struct store_version *v, struct store_item *out)
{
    *out = (struct store_item){
        .rev = v->rev,
        .deleted = v->deleted,
        .kv = {.key = store__key_bytes(v->key),
               .value = oak_bytes(v->value, v->value_size),
               .create_rev = v->create_rev,
               .mod_rev = v->rev.main,
               .version = v->version,
               .lease = v->lease},
    };
}

static void cursor_settle(struct store_cursor *c)
{
    c->key = c->leaf != NULL ? c->leaf->keys[c->at] : NULL;
}

void store__cursor_seek(const struct store_tree *t, struct store_cursor *c, struct oak_bytes key)
{
    *c = (struct store_cursor){0};
    if (t->root == NULL) {
        return;
    }
    struct tree_path path;
    c->leaf = descend(t, key, &path);
    c->at = search(c->leaf->keys, 0, c->leaf->count, key, false);
    if (c->at == c->leaf->count) {
        c->leaf = c->leaf->next;
        c->at = 0;
    }
    cursor_settle(c);
}

void store__cursor_seek_before(const struct store_tree *t, struct store_cursor *c,
                               struct oak_bytes key)
{
    store__cursor_seek(t, c, key);
    if (c->key == NULL) {
        store__cursor_last(t, c);
    } else {
        store__cursor_prev(c);
    }
}

void store__cursor_first(const struct store_tree *t, struct store_cursor *c)
{
    *c = (struct store_cursor){.leaf = t->first};
    cursor_settle(c);
}

void store__cursor_last(const struct store_tree *t, struct store_cursor *c)
{
    *c = (struct store_cursor){.leaf = t->last, .at = t->last != NULL ? t->last->count - 1 : 0};
    cursor_settle(c);
}

void store__cursor_next(struct store_cursor *c)
{
    OAK_ASSERT(c->key != NULL);
    c->at++;
    if (c->at == c->leaf->count) {
        c->leaf = c->leaf->next;
        c->at = 0;
    }
    cursor_settle(c);
}

void store__cursor_prev(struct store_cursor *c)
{
    OAK_ASSERT(c->key != NULL);
    if (c->at == 0) {
        c->leaf = c->leaf->prev;
        c->at = c->leaf != NULL ? c->leaf->count - 1 : 0;
    } else {
        c->at--;
    }
    cursor_settle(c);
}
