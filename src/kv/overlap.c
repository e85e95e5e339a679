/* SPDX-License-Identifier: Apache-2.0 */
/* overlap.c: keys that one transaction changes twice.
 *
 * Each branch of the outermost transaction (the root list) is looked at by itself. In it:
 *
 * - Two puts of one key are refused, unless they part in the two branches of one nested
 *   transaction, of which only one can run.
 * - A put and a delete that covers it are refused, wherever they stand and in either order, but for
 *   one case that etcd lets pass: the put in a nested transaction of the root list, the delete in a
 *   later one.
 * - A delete with the range end "\0" counts as the literal interval [key, "\0"), which is empty:
 *   clients of etcd may rely on that. Deletes may overlap each other.
 *
 * A request of the largest size holds some hundred thousand operations, so that comparing all pairs
 * would stall every member. Puts are sorted by key, those of one key in order of the walk; it is
 * enough to compare neighbours, because of three in that order the outer two part where one of the
 * two pairs of neighbours parts. Deletes are sorted by their first key and swept along with the
 * puts: a heap gives the earliest delete that covers the key at hand, and the rule above only asks
 * for the earliest.
 *
 * Happy path   1 count  2 collect  3 sort and look        n log n, and n times the depth
 * Can fail     OAK_EDUPLICATEKEY, OAK_ENOMEM (the arena).
 * Thread       any.
 */
#include "kv/internal.h"

/* A list of operations: one branch of a transaction. */
struct list {
    size_t parent; /* the list that holds the transaction; of the root: itself */
    size_t txn;    /* number of the transaction: two lists share one */
    size_t depth;
};

struct put {
    struct oak_bytes key;
    size_t list;
    size_t root_op; /* place in the root list of the operation that it is or is in */
};

struct del {
    struct oak_bytes from;
    struct oak_bytes end; /* empty: `from` alone */
    size_t rank;          /* 0: stands in the root list; else its root_op + 1 */
};

struct found {
    struct put *puts;
    size_t put_count;
    struct del *dels;
    size_t del_count;
    struct list *lists;
    size_t list_count;
    size_t txn_count;
};

/* Walk one branch; with `f->puts` NULL only count. */
static void walk_branch(const Etcdserverpb__TxnRequest *root, enum kv__branch branch,
                        struct found *f)
{
    bool fill = f->puts != NULL;
    struct kv__walk walk;
    size_t ids[KV_TXN_DEPTH_MAX + 1] = {0}; /* the first list of each depth */
    kv__walk_init(&walk);
    bool entered = kv__walk_enter(&walk, root, branch);
    OAK_ASSERT(entered);
    f->put_count = f->del_count = f->txn_count = 0;
    f->list_count = 1;
    const Etcdserverpb__RequestOp *op;
    while ((op = kv__walk_next(&walk)) != NULL) {
        size_t list = ids[walk.depth] + walk.levels[walk.depth - 1].list;
        size_t root_op = walk.levels[0].next - 1;
        enum kv__op kind = kv__op_kind(op);
        if (kind == KV_OP_PUT) {
            size_t i = f->put_count++;
            if (fill) {
                f->puts[i] = (struct put){
                    .key = oak_proto_bytes(op->request_put->key), .list = list, .root_op = root_op};
            }
        } else if (kind == KV_OP_DELETE) {
            size_t i = f->del_count++;
            if (fill) {
                f->dels[i] =
                    (struct del){.from = oak_proto_bytes(op->request_delete_range->key),
                                 .end = oak_proto_bytes(op->request_delete_range->range_end),
                                 .rank = walk.depth == 1 ? 0 : root_op + 1};
            }
        } else if (kind == KV_OP_TXN) {
            size_t id = f->list_count;
            size_t txn = ++f->txn_count;
            f->list_count += 2;
            if (fill) {
                f->lists[id] = (struct list){.parent = list, .txn = txn, .depth = walk.depth};
                f->lists[id + 1] = f->lists[id];
            }
            entered = kv__walk_enter(&walk, op->request_txn, KV_BRANCH_BOTH);
            OAK_ASSERT(entered);
            ids[walk.depth] = id;
        }
    }
}

/* Whether operations of these two lists may both run. */
static bool lists_meet(const struct found *f, size_t a, size_t b)
{
    while (f->lists[a].depth > f->lists[b].depth) {
        a = f->lists[a].parent;
    }
    while (f->lists[b].depth > f->lists[a].depth) {
        b = f->lists[b].parent;
    }
    while (a != b) {
        OAK_ASSERT_EQ(f->lists[a].depth, f->lists[b].depth);
        if (f->lists[a].txn == f->lists[b].txn) {
            return false;
        }
        a = f->lists[a].parent;
        b = f->lists[b].parent;
    }
    return true;
}

static int order_puts(const void *left, const void *right, int how)
{
    (void)how;
    return oak_bytes_cmp(((const struct put *)left)->key, ((const struct put *)right)->key);
}

static int order_dels(const void *left, const void *right, int how)
{
    (void)how;
    return oak_bytes_cmp(((const struct del *)left)->from, ((const struct del *)right)->from);
}

/* A heap of deletes: the lowest rank is at the top. */
struct heap {
    struct del **items;
    size_t count;
};

static void heap_push(struct heap *h, struct del *del)
{
    size_t at = h->count++;
    while (at > 0 && h->items[(at - 1) / 2]->rank > del->rank) {
        h->items[at] = h->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    h->items[at] = del;
}

static void heap_pop(struct heap *h)
{
    OAK_ASSERT_GT(h->count, 0);
    struct del *last = h->items[--h->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && h->items[child + 1]->rank < h->items[child]->rank) {
            child++;
        }
        if (h->items[child]->rank >= last->rank) {
            break;
        }
        h->items[at] = h->items[child];
        at = child;
    }
    h->items[at] = last;
}

/* No key from `key` on is covered by it. */
static bool del_is_over(const struct del *del, struct oak_bytes key)
{
    return del->end.size == 0 ? oak_bytes_cmp(del->from, key) < 0
                              : oak_bytes_cmp(del->end, key) <= 0;
}

/* The lowest rank among the deletes that cover `key`, SIZE_MAX when there is none. Keys only rise
 * from call to call; *next is the first delete that has not begun. */
static size_t rank_at(struct heap *heap, void **dels, size_t del_count, size_t *next,
                      struct oak_bytes key)
{
    while (*next < del_count) {
        struct del *del = dels[*next];
        if (oak_bytes_cmp(del->from, key) > 0) {
            break;
        }
        heap_push(heap, del);
        *next += 1;
    }
    while (heap->count > 0 && del_is_over(heap->items[0], key)) {
        heap_pop(heap);
    }
    return heap->count > 0 ? heap->items[0]->rank : SIZE_MAX;
}

static int look(const struct found *f, struct oak_arena *arena)
{
    void **puts = oak_arena_alloc(arena, 2 * f->put_count * sizeof(*puts));
    void **dels = oak_arena_alloc(arena, 2 * f->del_count * sizeof(*dels));
    struct heap heap = {.items = oak_arena_alloc(arena, f->del_count * sizeof(*heap.items))};
    if (puts == NULL || dels == NULL || heap.items == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < f->put_count; i++) {
        puts[i] = &f->puts[i];
    }
    for (size_t i = 0; i < f->del_count; i++) {
        dels[i] = &f->dels[i];
    }
    kv__sort(puts, f->put_count, puts + f->put_count, order_puts, 0);
    kv__sort(dels, f->del_count, dels + f->del_count, order_dels, 0);
    size_t next = 0;
    for (size_t i = 0; i < f->put_count; i++) {
        const struct put *put = puts[i];
        const struct put *before = i > 0 ? puts[i - 1] : NULL;
        if (before != NULL && oak_bytes_eq(before->key, put->key) &&
            lists_meet(f, before->list, put->list)) {
            return OAK_EDUPLICATEKEY;
        }
        size_t rank = rank_at(&heap, dels, f->del_count, &next, put->key);
        bool in_root = put->list == 0;
        if (rank != SIZE_MAX && (in_root || rank <= put->root_op + 1)) {
            return OAK_EDUPLICATEKEY;
        }
    }
    return 0;
}

static int check_branch(const Etcdserverpb__TxnRequest *txn, enum kv__branch branch,
                        struct oak_arena *arena)
{
    struct found f = {.puts = NULL};
    walk_branch(txn, branch, &f);
    if (f.put_count == 0 || (f.put_count == 1 && f.del_count == 0)) {
        return 0;
    }
    f.puts = oak_arena_alloc(arena, f.put_count * sizeof(*f.puts));
    f.dels = oak_arena_alloc(arena, f.del_count * sizeof(*f.dels));
    f.lists = oak_arena_alloc(arena, f.list_count * sizeof(*f.lists));
    if (f.puts == NULL || f.dels == NULL || f.lists == NULL) {
        return OAK_ENOMEM;
    }
    f.lists[0] = (struct list){.parent = 0};
    walk_branch(txn, branch, &f);
    return look(&f, arena);
}

int kv__overlap_check(const Etcdserverpb__TxnRequest *txn, struct oak_arena *arena)
{
    int error = check_branch(txn, KV_BRANCH_SUCCESS, arena);
    return error != 0 ? error : check_branch(txn, KV_BRANCH_FAILURE, arena);
}
