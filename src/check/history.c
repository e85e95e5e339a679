/* SPDX-License-Identifier: Apache-2.0 */
/* history.c: the linearizability checker.
 *
 * The search walks a list of calls and returns in the order of time. It takes an operation out of
 * the list where the model allows its result, goes on from the front, and steps back when it meets
 * a return whose operation has not been taken. What has been tried (the set of operations taken,
 * and the model's state) is remembered, so that no state is walked from twice.
 */
#include "check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OPS_A_KEY_MAX 2048
#define WORDS_MAX     (OPS_A_KEY_MAX / 64)
/* A key whose search goes through more states is given up: of 300 runs two have such keys, and ten
 * times as many states decide a third of them, for a third of the time of all 300. */
#define TRIED_MAX 200000

/* What the model knows of one key. */
struct model {
    uint64_t value;   /* 0: absent */
    uint64_t version; /* puts since creation */
};

struct node {
    struct node *prev;
    struct node *next;
    struct node *match; /* a call's return; NULL for a return */
    const struct op *op;
    size_t place;
    uint64_t at;
};

struct frame {
    struct node *call;
    struct model before;
};

struct tried {
    uint64_t *slots; /* hashes; 0: empty */
    size_t capacity;
    size_t count;
};

size_t history_add(struct history *h, const struct op *op)
{
    if (h->count == h->capacity) {
        h->capacity = OAK_MAX((size_t)256, h->capacity * 2);
        h->ops = realloc(h->ops, h->capacity * sizeof(*h->ops));
        OAK_ASSERT(h->ops != NULL);
    }
    h->ops[h->count] = *op;
    return h->count++;
}

void history_fini(struct history *h)
{
    free(h->ops);
    *h = (struct history){0};
}

/* Whether `op` may take effect in this state with its result; then the state is moved on. An
 * operation without a known end may give any result. */
static bool model_step(struct model *m, const struct op *op)
{
    bool known = op->ret != UINT64_MAX;
    switch (op->kind) {
    case OP_PUT:
        m->version = m->value == 0 ? 1 : m->version + 1;
        m->value = op->arg;
        return true;
    case OP_GET:
        return !known || (m->value == op->result && (m->value == 0 || m->version == op->version));
    case OP_DELETE: {
        uint64_t removed = m->value != 0;
        *m = (struct model){0};
        return !known || removed == op->result;
    }
    case OP_CAS: {
        uint64_t swapped = m->value != 0 && m->value == op->expect;
        if (swapped) {
            m->value = op->arg;
            m->version++;
        }
        return !known || swapped == op->result;
    }
    case OP_MOVE:
    case OP_LOOK:
    case OP_PEEK:
    case OP_SWEEP:
    case OP_TRIM:
        break;
    }
    OAK_UNREACHABLE("operation");
}

/* -- the memory of what was tried -------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h ^= x + 0x9e3779b97f4a7c15u + (h << 6) + (h >> 2);
    h *= 0xff51afd7ed558ccdu;
    return h ^ (h >> 33);
}

static uint64_t state_hash(const uint64_t *taken, size_t words, const struct model *m)
{
    uint64_t h = mix(mix(1, m->value), m->version);
    for (size_t i = 0; i < words; i++) {
        h = mix(h, taken[i]);
    }
    return h == 0 ? 1 : h;
}

static void tried_grow(struct tried *t)
{
    struct tried old = *t;
    t->capacity = OAK_MAX((size_t)1024, old.capacity * 2);
    t->slots = calloc(t->capacity, sizeof(*t->slots));
    OAK_ASSERT(t->slots != NULL);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.slots[i] != 0) {
            size_t at = old.slots[i] & (t->capacity - 1);
            while (t->slots[at] != 0) {
                at = (at + 1) & (t->capacity - 1);
            }
            t->slots[at] = old.slots[i];
        }
    }
    free(old.slots);
}

/* True when `hash` is new. */
static bool tried_add(struct tried *t, uint64_t hash)
{
    if (t->count * 2 >= t->capacity) {
        tried_grow(t);
    }
    size_t at = hash & (t->capacity - 1);
    while (t->slots[at] != 0) {
        if (t->slots[at] == hash) {
            return false;
        }
        at = (at + 1) & (t->capacity - 1);
    }
    t->slots[at] = hash;
    t->count++;
    return true;
}

/* -- the list of calls and returns ------------------------------------------------------------- */

static int node_order(const void *a, const void *b)
{
    const struct node *x = *(const struct node *const *)a;
    const struct node *y = *(const struct node *const *)b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return x->place < y->place ? -1 : x->place > y->place;
}

static void node_unlink(struct node *n)
{
    n->prev->next = n->next;
    if (n->next != NULL) {
        n->next->prev = n->prev;
    }
}

static void node_relink(struct node *n)
{
    n->prev->next = n;
    if (n->next != NULL) {
        n->next->prev = n;
    }
}

static void take(struct node *call)
{
    node_unlink(call);
    node_unlink(call->match);
}

static void untake(struct node *call)
{
    node_relink(call->match);
    node_relink(call);
}

enum verdict {
    LINEARIZABLE,
    VIOLATED,
    UNDECIDED,
};

struct search {
    struct node head;
    struct node *nodes;
    struct node **order;
    struct frame *frames;
    size_t depth;
    uint64_t taken[WORDS_MAX];
    size_t words;
    struct tried tried;
    struct model model;
    size_t deepest; /* operations taken in the best attempt */
};

static enum verdict search_run(struct search *s)
{
    struct node *at = s->head.next;
    while (s->head.next != NULL) {
        if (at->match != NULL) { /* a call: try to let it happen here */
            struct model next = s->model;
            s->taken[at->place / 64] |= 1ull << (at->place % 64);
            if (model_step(&next, at->op) &&
                tried_add(&s->tried, state_hash(s->taken, s->words, &next))) {
                if (s->tried.count > TRIED_MAX) {
                    return UNDECIDED;
                }
                s->frames[s->depth++] = (struct frame){.call = at, .before = s->model};
                s->deepest = OAK_MAX(s->deepest, s->depth);
                s->model = next;
                take(at);
                at = s->head.next;
                continue;
            }
            s->taken[at->place / 64] &= ~(1ull << (at->place % 64));
            at = at->next;
            continue;
        }
        /* A return whose operation was not taken. One that has no known end need never happen. */
        if (at->op->ret == UINT64_MAX) {
            return LINEARIZABLE;
        }
        if (s->depth == 0) {
            return VIOLATED;
        }
        struct frame *top = &s->frames[--s->depth];
        s->model = top->before;
        s->taken[top->call->place / 64] &= ~(1ull << (top->call->place % 64));
        untake(top->call);
        at = top->call->next;
    }
    return LINEARIZABLE;
}

static enum verdict key_check(const struct op *const *ops, size_t count, size_t *deepest)
{
    struct search s = {.words = (count + 63) / 64};
    s.nodes = calloc(2 * count, sizeof(*s.nodes));
    s.order = calloc(2 * count, sizeof(struct node *));
    s.frames = calloc(count + 1, sizeof(*s.frames));
    OAK_ASSERT(s.nodes != NULL && s.order != NULL && s.frames != NULL);
    for (size_t i = 0; i < count; i++) {
        struct node *call = &s.nodes[2 * i];
        struct node *ret = &s.nodes[2 * i + 1];
        *call = (struct node){.match = ret, .op = ops[i], .place = i, .at = ops[i]->call};
        *ret = (struct node){.op = ops[i], .place = i, .at = ops[i]->ret};
        s.order[2 * i] = call;
        s.order[2 * i + 1] = ret;
    }
    qsort(s.order, 2 * count, sizeof(struct node *), node_order);
    struct node *last = &s.head;
    for (size_t i = 0; i < 2 * count; i++) {
        last->next = s.order[i];
        s.order[i]->prev = last;
        last = s.order[i];
    }
    enum verdict verdict = count == 0 ? LINEARIZABLE : search_run(&s);
    *deepest = s.deepest;
    free(s.nodes);
    free(s.order);
    free(s.frames);
    free(s.tried.slots);
    return verdict;
}

/* -- all keys ---------------------------------------------------------------------------------- */

static int op_order(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->call < y->call ? -1 : x->call > y->call;
}

static void tell(const struct op *const *ops, size_t count, size_t deepest, char *what, size_t size)
{
    static const char *const names[] = {"put", "get", "delete", "cas"};
    int used =
        snprintf(what, size,
                 "key %" PRIu64 " is not linearizable: at most %zu of its %zu operations fit "
                 "one order;",
                 ops[0]->key, deepest, count);
    size_t first = deepest > 3 ? deepest - 3 : 0;
    for (size_t i = first; i < count && i < first + 8 && used > 0 && (size_t)used < size; i++) {
        const struct op *op = ops[i];
        used += snprintf(what + used, size - (size_t)used,
                         " [client %d, node %d: %s %" PRIu64 " -> %" PRIu64 " v%" PRIu64
                         ", %" PRIu64 " to %" PRId64 "]",
                         op->client, op->node, names[op->kind], op->arg, op->result, op->version,
                         op->call, op->ret == UINT64_MAX ? -1 : (int64_t)op->ret);
    }
}

bool history_check(const struct history *h, char *what, size_t size, size_t *undecided)
{
    const struct op **ops = calloc(h->count + 1, sizeof(struct op *));
    OAK_ASSERT(ops != NULL);
    size_t count = 0;
    for (size_t i = 0; i < h->count; i++) {
        /* A read that gave no answer says nothing. */
        const struct op *op = &h->ops[i];
        if (op->kind <= OP_CAS && (op->kind != OP_GET || op->ret != UINT64_MAX)) {
            ops[count++] = op;
        }
    }
    qsort(ops, count, sizeof(struct op *), op_order);
    bool good = true;
    *undecided = 0;
    for (size_t i = 0; i < count && good;) {
        size_t end = i;
        while (end < count && ops[end]->key == ops[i]->key) {
            end++;
        }
        size_t deepest = 0;
        enum verdict verdict =
            end - i > OPS_A_KEY_MAX ? UNDECIDED : key_check(&ops[i], end - i, &deepest);
        if (verdict == VIOLATED) {
            tell(&ops[i], end - i, deepest, what, size);
            good = false;
        }
        *undecided += verdict == UNDECIDED ? 1 : 0;
        i = end;
    }
    free(ops);
    return good;
}

/* -- revisions --------------------------------------------------------------------------------- */

/* Whether it is known to have taken a revision of its own. */
static bool wrote(const struct op *op)
{
    switch (op->kind) {
    case OP_PUT:
    case OP_MOVE:
        return true;
    case OP_DELETE:
    case OP_CAS:
    case OP_SWEEP:
        return op->result != 0;
    case OP_GET:
    case OP_LOOK:
    case OP_PEEK:
    case OP_TRIM:
        break;
    }
    return false;
}

static int by_call(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int by_ret(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    return x->ret < y->ret ? -1 : x->ret > y->ret;
}

/* Writes by revision, then the rest. */
static int by_revision(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    if (wrote(x) != wrote(y)) {
        return wrote(x) ? -1 : 1;
    }
    return x->revision < y->revision ? -1 : x->revision > y->revision;
}

/* `calls` and `rets` are the same operations, in two orders. */
static bool order_check(const struct op *const *calls, const struct op *const *rets, size_t count,
                        char *what, size_t size)
{
    const struct op *newest = NULL;
    for (size_t i = 0, done = 0; i < count; i++) {
        const struct op *op = calls[i];
        while (done < count && rets[done]->ret < op->call) {
            if (newest == NULL || rets[done]->revision > newest->revision) {
                newest = rets[done];
            }
            done++;
        }
        int64_t least = newest == NULL ? 0 : newest->revision + (wrote(op) ? 1 : 0);
        if (op->revision < least) {
            snprintf(what, size,
                     "client %d at node %d was told revision %" PRId64
                     " by an operation called at moment %" PRIu64 ", but %" PRId64
                     " was told at moment %" PRIu64 " already (client %d, node %d)",
                     op->client, op->node, op->revision, op->call, newest->revision, newest->ret,
                     newest->client, newest->node);
            return false;
        }
    }
    return true;
}

bool history_revisions(const struct history *h, char *what, size_t size)
{
    const struct op **calls = calloc(2 * h->count + 1, sizeof(struct op *));
    OAK_ASSERT(calls != NULL);
    const struct op **rets = calls + h->count;
    size_t count = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct op *op = &h->ops[i];
        if (op->kind != OP_PEEK && op->ret != UINT64_MAX && op->revision != 0) {
            calls[count] = &h->ops[i];
            rets[count] = &h->ops[i];
            count++;
        }
    }
    qsort(calls, count, sizeof(struct op *), by_call);
    qsort(rets, count, sizeof(struct op *), by_ret);
    bool good = order_check(calls, rets, count, what, size);
    qsort(rets, count, sizeof(struct op *), by_revision);
    for (size_t i = 1; good && i < count && wrote(rets[i]); i++) {
        if (rets[i]->revision == rets[i - 1]->revision) {
            snprintf(what, size, "two writes were told the same revision, %" PRId64,
                     rets[i]->revision);
            good = false;
        }
    }
    free(calls);
    return good;
}
