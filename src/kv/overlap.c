/* SPDX-License-Identifier: Apache-2.0 */
/* overlap.c: keys that one transaction changes twice.
 *
 * Each branch of the outermost transaction (the root list) is looked at by itself. In it:
 *
 * - Two puts of one key are refused, unless they part in the two branches of one nested
 *   transaction, of which only one can run.
 * - A put and a delete that covers it are refused when the delete comes before the put, where a
 * list counts as: its own deletes, then its nested transactions in their order, then its own puts.
 * So what stands in a list meets all that is nested in it, either way; of two nested transactions
 * of one list, a delete in the earlier meets a put in the later, but not the reverse. Those that
 * part in the two branches of one nested transaction never meet. This is etcd's rule to the letter.
 * - A delete with the range end "\0" counts as the literal interval [key, "\0"), which is empty:
 *   clients of etcd may rely on that. Deletes may overlap each other.
 *
 * A request of the largest size holds some hundred thousand operations, so that comparing all pairs
 * would stall every member. Puts are sorted by key, those of one key in order of the walk; it is
 * enough to compare neighbours, because of three in that order the outer two part where one of the
 * two pairs of neighbours parts. Deletes are swept along with the puts, from the first key of each
 * to its end. The lists are numbered in that order, so that the lists nested in one are an
 * interval; a tree of counts tells how many of the deletes that cover the key at hand stand in an
 * interval.
 *
 * Happy path   1 count
 *              2 collect
 *              3 sort and look n log n, and n times the depth
 * Can fail     OAK_EDUPLICATEKEY, OAK_ENOMEM (the arena).
 * Thread       any.
 */
#include "kv/internal.h"

/* A list of operations: one branch of a transaction. */
struct list {
    size_t parent; /* the list that holds the transaction; of the root: itself */
    size_t txn;    /* number of the transaction: two lists share one */
    size_t depth;
    bool is_second; /* the failure branch; the success branch is the list before it */
    size_t begin;   /* its number, and */
    size_t end;     /* one past the last number nested in it */
    size_t next;    /* while they are given: the next number in it */
};

struct put {
    struct oak_bytes key;
    size_t list;
};

struct del {
    struct oak_bytes from;
    struct oak_bytes end; /* empty: `from` alone */
    size_t list;
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
        enum kv__op kind = kv__op_kind(op);
        if (kind == KV_OP_PUT) {
            size_t i = f->put_count++;
            if (fill) {
                f->puts[i] =
                    (struct put){.key = oak_proto_bytes(op->request_put->key), .list = list};
            }
        } else if (kind == KV_OP_DELETE) {
            size_t i = f->del_count++;
            if (fill) {
                f->dels[i] =
                    (struct del){.from = oak_proto_bytes(op->request_delete_range->key),
                                 .end = oak_proto_bytes(op->request_delete_range->range_end),
                                 .list = list};
            }
        } else if (kind == KV_OP_TXN) {
            size_t id = f->list_count;
            size_t txn = ++f->txn_count;
            f->list_count += 2;
            if (fill) {
                f->lists[id] = (struct list){.parent = list, .txn = txn, .depth = walk.depth};
                f->lists[id + 1] = f->lists[id];
                f->lists[id + 1].is_second = true;
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

/* By where they are over: a range at its end, a single key behind it. */
static int order_ends(const void *left, const void *right, int how)
{
    const struct del *a = left;
    const struct del *b = right;
    (void)how;
    bool single = a->end.size == 0;
    int order = oak_bytes_cmp(single ? a->from : a->end, b->end.size == 0 ? b->from : b->end);
    return order != 0 ? order : (int)single - (int)(b->end.size == 0);
}

/* No key from `key` on is covered by it. */
static bool del_is_over(const struct del *del, struct oak_bytes key)
{
    return del->end.size == 0 ? oak_bytes_cmp(del->from, key) < 0
                              : oak_bytes_cmp(del->end, key) <= 0;
}

/* A parent comes before its children, and they in their order: first how many lists are in each,
 * then the numbers. */
static void number_lists(struct list *lists, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        lists[i].end = 1;
    }
    for (size_t i = count; i-- > 1;) {
        OAK_ASSERT_LT(lists[i].parent, i);
        lists[lists[i].parent].end += lists[i].end;
    }
    for (size_t i = 0; i < count; i++) {
        struct list *parent = &lists[lists[i].parent];
        size_t size = lists[i].end;
        lists[i].begin = i == 0 ? 0 : parent->next;
        parent->next = i == 0 ? 0 : parent->next + size;
        lists[i].next = lists[i].begin + 1;
        lists[i].end = lists[i].begin + size;
    }
}

/* The deletes that cover the key at hand, by the number of their list: a tree of partial sums
 * (P. Fenwick, "A New Data Structure for Cumulative Frequency Tables", 1994). */
struct counts {
    size_t *sums; /* from 1 */
    size_t size;
};

static void counts_add(struct counts *c, size_t at, bool more)
{
    OAK_ASSERT_LT(at, c->size);
    for (size_t i = at + 1; i <= c->size; i += i & (~i + 1)) {
        OAK_ASSERT(more || c->sums[i] > 0);
        c->sums[i] = more ? c->sums[i] + 1 : c->sums[i] - 1;
    }
}

/* How many stand below `end`. */
static size_t counts_below(const struct counts *c, size_t end)
{
    OAK_ASSERT_LE(end, c->size);
    size_t sum = 0;
    for (size_t i = end; i > 0; i &= i - 1) {
        sum += c->sums[i];
    }
    return sum;
}

/* The deletes on their way along the keys. */
struct sweep {
    void **begins; /* by first key */
    void **ends;   /* by last key */
    size_t count;
    size_t begun;
    size_t ended;
    struct counts counts;
};

/* Keys only rise from call to call. No delete has its end before its first key. */
static void sweep_to(struct sweep *s, const struct found *f, struct oak_bytes key)
{
    for (; s->begun < s->count; s->begun++) {
        const struct del *del = s->begins[s->begun];
        if (oak_bytes_cmp(del->from, key) > 0) {
            break;
        }
        counts_add(&s->counts, f->lists[del->list].begin, true);
    }
    for (; s->ended < s->count; s->ended++) {
        const struct del *del = s->ends[s->ended];
        if (!del_is_over(del, key)) {
            break;
        }
        counts_add(&s->counts, f->lists[del->list].begin, false);
    }
}

/* Whether one of the deletes that cover the key comes before a put in `list`, and may run with it.
 */
static bool sweep_meets(const struct sweep *s, const struct found *f, size_t list)
{
    size_t before = counts_below(&s->counts, f->lists[list].end);
    for (size_t at = list; before > 0 && at != 0; at = f->lists[at].parent) {
        if (f->lists[at].is_second) { /* the first branch runs without this one */
            before -= counts_below(&s->counts, f->lists[at - 1].end) -
                      counts_below(&s->counts, f->lists[at - 1].begin);
        }
    }
    return before > 0;
}

static int sweep_init(struct sweep *s, const struct found *f, struct oak_arena *arena)
{
    *s = (struct sweep){.counts = {.size = f->list_count}};
    s->begins = oak_arena_alloc(arena, 2 * f->del_count * sizeof(*s->begins));
    s->ends = oak_arena_alloc(arena, 2 * f->del_count * sizeof(*s->ends));
    s->counts.sums = oak_arena_zalloc(arena, (f->list_count + 1) * sizeof(*s->counts.sums));
    if (s->begins == NULL || s->ends == NULL || s->counts.sums == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < f->del_count; i++) {
        struct del *del = &f->dels[i];
        if (del->end.size == 0 || oak_bytes_cmp(del->from, del->end) < 0) {
            s->begins[s->count] = del;
            s->ends[s->count] = del;
            s->count++;
        }
    }
    kv__sort(s->begins, s->count, s->begins + f->del_count, order_dels, 0);
    kv__sort(s->ends, s->count, s->ends + f->del_count, order_ends, 0);
    return 0;
}

static int look(const struct found *f, struct oak_arena *arena)
{
    struct sweep sweep;
    void **puts = oak_arena_alloc(arena, 2 * f->put_count * sizeof(*puts));
    int error = puts == NULL ? OAK_ENOMEM : sweep_init(&sweep, f, arena);
    if (error != 0) {
        return error;
    }
    for (size_t i = 0; i < f->put_count; i++) {
        puts[i] = &f->puts[i];
    }
    kv__sort(puts, f->put_count, puts + f->put_count, order_puts, 0);
    number_lists(f->lists, f->list_count);
    for (size_t i = 0; i < f->put_count; i++) {
        const struct put *put = puts[i];
        const struct put *before = i > 0 ? puts[i - 1] : NULL;
        if (before != NULL && oak_bytes_eq(before->key, put->key) &&
            lists_meet(f, before->list, put->list)) {
            return OAK_EDUPLICATEKEY;
        }
        sweep_to(&sweep, f, put->key);
        if (sweep_meets(&sweep, f, put->list)) {
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
