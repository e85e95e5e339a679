/* SPDX-License-Identifier: Apache-2.0 */
/* range.c: read a range of keys as of a revision.
 *
 * Happy path   One key: one get. In order of key, either way: stream from the store, stop behind
 *              the limit, and let the store count what was not seen. By another target: gather
 *              all that pass the filters, sort, cut; with a limit, values are read only for those
 *              that are given out.
 * Can fail     Only the store: fatal for a command, an error for a read. No room in the arena
 *              makes the run full.
 * Invariants   `count` is the number of keys of the range at that revision, whatever limit and
 *              filters say; `more` is set only by the limit; header.revision is the newest
 *              revision, not the one that was read.
 * Thread       the replica's.
 */
#include "kv/internal.h"

struct plan {
    const Etcdserverpb__RangeRequest *request;
    struct oak_store_range range;
    int64_t rev;  /* for the store: 0 is the newest */
    size_t limit; /* SIZE_MAX: none */
    bool descend;
};

struct outcome {
    struct kv__pairs pairs;
    uint64_t count;
    bool more;
};

bool kv__range_of(ProtobufCBinaryData key, ProtobufCBinaryData range_end,
                  struct oak_store_range *out)
{
    OAK_ASSERT_GT(key.len, 0);
    *out = (struct oak_store_range){.from = oak_proto_bytes(key)};
    if (range_end.len == 0) {
        return true;
    }
    if (range_end.len == 1 && range_end.data[0] == 0) {
        out->open_end = true;
        return true;
    }
    out->to = oak_proto_bytes(range_end);
    return oak_bytes_cmp(out->from, out->to) < 0;
}

int kv__revision_check(const struct oak_kv *kv, int64_t revision)
{
    OAK_ASSERT_LE(kv->state.compacted, kv->state.revision);
    if (revision <= 0) {
        return 0;
    }
    if (revision > kv->state.revision) {
        return OAK_EFUTUREREV;
    }
    return revision < kv->state.compacted - (OAK_BUG(floor_not_heeded) ? 1 : 0) ? OAK_ECOMPACTED
                                                                                : 0;
}

bool kv__range_passes(const Etcdserverpb__RangeRequest *r, const struct oak_store_kv *kv)
{
    return !((r->max_mod_revision != 0 && kv->mod_rev > r->max_mod_revision) ||
             (r->min_mod_revision != 0 && kv->mod_rev < r->min_mod_revision) ||
             (r->max_create_revision != 0 && kv->create_rev > r->max_create_revision) ||
             (r->min_create_revision != 0 && kv->create_rev < r->min_create_revision));
}

static int count_range(struct kv__run *run, const struct plan *plan, uint64_t *out)
{
    if (plan->request->range_end.len != 0) {
        return oak_store_count(run->kv->store, &plan->range, plan->rev, out);
    }
    struct oak_store_kv found;
    int error = oak_store_get(run->kv->store, plan->range.from, plan->rev, &found);
    *out = error == 0 ? 1 : 0;
    return error == OAK_ENOENT ? 0 : error;
}

static int read_one(struct kv__run *run, const struct plan *plan, struct outcome *out)
{
    struct oak_store_kv found;
    int error = oak_store_get(run->kv->store, plan->range.from, plan->rev, &found);
    if (error != 0) {
        return error == OAK_ENOENT ? 0 : error;
    }
    out->count = 1;
    if (kv__range_passes(plan->request, &found)) {
        kv__pairs_add(run, &out->pairs, &found, plan->request->keys_only);
    }
    return 0;
}

/* In order of key. */
static int read_stream(struct kv__run *run, const struct plan *plan, struct outcome *out)
{
    struct oak_kv *kv = run->kv;
    bool keys_only = plan->request->keys_only;
    struct oak_store_scan *scan = NULL;
    int error =
        oak_store_scan_open(kv->store, &plan->range, plan->rev, keys_only, plan->descend, &scan);
    if (error != 0) {
        return error;
    }
    struct oak_store_kv found;
    while (!run->full && (error = oak_store_scan_next(scan, &found)) == 0) {
        out->count++;
        if (!kv__range_passes(plan->request, &found)) {
            continue;
        }
        if (out->pairs.count == plan->limit) {
            out->more = true;
            break;
        }
        kv__pairs_add(run, &out->pairs, &found, keys_only);
    }
    oak_store_scan_close(scan);
    if (error == 0 && out->more) {
        /* The scan was left early: the rest is counted without being read. */
        return oak_store_count(kv->store, &plan->range, plan->rev, &out->count);
    }
    return error == OAK_ENOENT ? 0 : error;
}

static int order_pairs(const void *left, const void *right, int how)
{
    const Mvccpb__KeyValue *a = left;
    const Mvccpb__KeyValue *b = right;
    switch (how) {
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
        return (a->version > b->version) - (a->version < b->version);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
        return (a->create_revision > b->create_revision) -
               (a->create_revision < b->create_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
        return (a->mod_revision > b->mod_revision) - (a->mod_revision < b->mod_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE:
        return oak_bytes_cmp(oak_proto_bytes(a->value), oak_proto_bytes(b->value));
    default:
        OAK_UNREACHABLE("pairs come from the store in order of key");
    }
}

static int order_pairs_down(const void *left, const void *right, int how)
{
    return order_pairs(right, left, how);
}

/* The values that the gathering left out. */
static int fetch_values(struct kv__run *run, const struct plan *plan, const struct outcome *out)
{
    for (size_t i = 0; i < out->pairs.count && !run->full; i++) {
        Mvccpb__KeyValue *pair = out->pairs.items[i];
        struct oak_store_kv found;
        int error = oak_store_get(run->kv->store, oak_proto_bytes(pair->key), plan->rev, &found);
        if (error != 0) {
            return error == OAK_ENOENT ? OAK_ECORRUPT : error; /* the scan gave it */
        }
        struct oak_bytes value = oak_arena_dup(run->arena, found.value);
        run->full = value.data == NULL && found.value.size > 0;
        pair->value = oak_proto_binary(value);
    }
    return 0;
}

static void sort_pairs(struct kv__run *run, const struct plan *plan, struct kv__pairs *pairs)
{
    void **items = oak_arena_alloc(run->arena, 2 * pairs->count * sizeof(*items));
    if (items == NULL) {
        run->full = true;
        return;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        items[i] = pairs->items[i];
    }
    kv__sort(items, pairs->count, items + pairs->count,
             plan->descend ? order_pairs_down : order_pairs, (int)plan->request->sort_target);
    for (size_t i = 0; i < pairs->count; i++) {
        pairs->items[i] = items[i];
    }
}

/* By a target other than the key. */
static int read_sorted(struct kv__run *run, const struct plan *plan, struct outcome *out)
{
    const Etcdserverpb__RangeRequest *request = plan->request;
    bool by_value = request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE;
    bool late_values = !by_value && !request->keys_only && plan->limit != SIZE_MAX;
    struct plan all = *plan;
    Etcdserverpb__RangeRequest gather = *request;
    gather.keys_only = !by_value && (request->keys_only || late_values);
    all.request = &gather;
    all.limit = SIZE_MAX;
    all.descend = false;
    int error = read_stream(run, &all, out);
    if (error != 0 || run->full) {
        return error;
    }
    struct kv__pairs *pairs = &out->pairs;
    sort_pairs(run, plan, pairs);
    if (pairs->count > plan->limit) {
        pairs->count = plan->limit;
        out->more = true;
    }
    for (size_t i = 0; by_value && request->keys_only && i < pairs->count; i++) {
        pairs->items[i]->value = (ProtobufCBinaryData){.len = 0};
    }
    return late_values ? fetch_values(run, plan, out) : 0;
}

static int read_planned(struct kv__run *run, const struct plan *plan, struct outcome *out)
{
    if (plan->request->count_only) {
        return count_range(run, plan, &out->count);
    }
    if (plan->request->range_end.len == 0) {
        return read_one(run, plan, out);
    }
    if (plan->request->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY) {
        return read_stream(run, plan, out);
    }
    return read_sorted(run, plan, out);
}

int kv__range(struct kv__run *run, const Etcdserverpb__RangeRequest *request,
              Etcdserverpb__RangeResponse **out)
{
    OAK_ASSERT_EQ(kv__revision_check(run->kv, request->revision), 0);
    *out = NULL;
    Etcdserverpb__RangeResponse *response =
        kv__message_new(run, &etcdserverpb__range_response__descriptor);
    if (response == NULL) {
        return 0;
    }
    run->kv->counters.ranges++;
    struct plan plan = {
        .request = request,
        .rev = request->revision <= 0 || request->revision == kv__run_revision(run)
                   ? 0
                   : request->revision,
        .limit = request->limit > 0 ? (size_t)request->limit : SIZE_MAX,
        .descend = request->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND,
    };
    struct outcome outcome = {.count = 0};
    if (kv__range_of(request->key, request->range_end, &plan.range)) {
        int error = read_planned(run, &plan, &outcome);
        if (error != 0) {
            return error;
        }
    }
    OAK_ASSERT(run->full || outcome.pairs.count <= outcome.count);
    response->n_kvs = outcome.pairs.count;
    response->kvs = outcome.pairs.items;
    response->count = (int64_t)outcome.count;
    response->more = outcome.more;
    response->header = kv__header_new(run);
    *out = response;
    return 0;
}

int oak_kv_range(struct oak_kv *kv, const Etcdserverpb__RangeRequest *request,
                 struct oak_arena *arena, Etcdserverpb__RangeResponse **out)
{
    *out = NULL;
    OAK_ASSERT(!kv->batch_open);
    int error = oak_kv_check_range(request);
    if (error == 0) {
        error = kv__revision_check(kv, request->revision);
    }
    if (error != 0) {
        return error;
    }
    struct kv__run run = {.kv = kv, .arena = arena, .want = true, .base = kv->state.revision};
    error = kv__range(&run, request, out);
    if (error == 0 && run.full) {
        *out = NULL;
        error = OAK_ELIMIT;
    }
    return error;
}
