/* SPDX-License-Identifier: Apache-2.0 */
/* twin_test.c: all engines and an array that keeps every version for ever are given the same random
 * operations; whatever is asked of them must have the same answer. */
#include "store/test_help.h"

enum { KEYS = 80, VERSIONS_MAX = 6000, METAS = 12, META_NAME_MAX = 300, STATES_MAX = 4000 };

struct model_version {
    unsigned key;
    struct oak_store_rev rev;
    bool deleted;
    int64_t create_rev, version, lease;
    unsigned value_size;
    uint8_t value_byte;
};
struct model {
    uint8_t key[KEYS][4];
    size_t key_size[KEYS];
    struct model_version versions[VERSIONS_MAX]; /* in order of revision */
    size_t count;
    uint8_t meta[METAS]; /* size of the value; 0: none */
    struct oak_store_state state;
    int64_t main; /* newest, open batch included */
};

struct twin {
    struct model *m;
    struct test_store stores[TEST_ENGINES];
    struct oak_prng prng;
    uint8_t value[512];
};

static struct oak_bytes key_of(const struct model *m, unsigned i)
{
    return oak_bytes(m->key[i], m->key_size[i]);
}

/* Keys of one to four bytes with the bytes that an encoding may stumble over, in order. */
static void model_init(struct model *m, struct oak_prng *prng)
{
    static const uint8_t alphabet[] = {0, 1, 'a', 'b', 0xfe, 0xff};
    memset(m, 0, sizeof(*m));
    m->state = (struct oak_store_state){.revision = 1, .compacted = -1};
    m->main = 1;
    for (unsigned count = 0; count < KEYS;) {
        uint8_t key[4];
        size_t size = 1 + oak_prng_below(prng, 4);
        for (size_t i = 0; i < size; i++) {
            key[i] = alphabet[oak_prng_below(prng, sizeof(alphabet))];
        }
        unsigned at = 0;
        while (at < count && oak_bytes_cmp(key_of(m, at), oak_bytes(key, size)) < 0) {
            at++;
        }
        if (at < count && oak_bytes_eq(key_of(m, at), oak_bytes(key, size))) {
            continue;
        }
        memmove(m->key[at + 1], m->key[at], (count - at) * sizeof(m->key[0]));
        memmove(&m->key_size[at + 1], &m->key_size[at], (count - at) * sizeof(size_t));
        memcpy(m->key[at], key, size);
        m->key_size[at] = size;
        count++;
    }
}

static const struct model_version *model_at(const struct model *m, unsigned key, int64_t rev)
{
    for (size_t i = m->count; i > 0; i--) {
        const struct model_version *v = &m->versions[i - 1];
        if (v->key == key && (rev == 0 || v->rev.main <= rev)) {
            return v->deleted ? NULL : v;
        }
    }
    return NULL;
}

static void check_kv(const struct twin *t, const struct model_version *v,
                     const struct oak_store_kv *kv, bool with_value)
{
    assert_true(oak_bytes_eq(kv->key, key_of(t->m, v->key)));
    assert_int_equal(kv->mod_rev, v->rev.main);
    assert_int_equal(kv->create_rev, v->create_rev);
    assert_int_equal(kv->version, v->version);
    assert_int_equal(kv->lease, v->lease);
    if (with_value) {
        assert_int_equal(kv->value.size, v->value_size);
        for (size_t i = 0; i < kv->value.size; i++) {
            assert_int_equal(kv->value.data[i], v->value_byte);
        }
    }
}

/* -- writing ----------------------------------------------------------------------------------- */

static void do_write(struct twin *t, int64_t sub)
{
    struct model *m = t->m;
    unsigned key = (unsigned)oak_prng_below(&t->prng, KEYS);
    const struct model_version *old = model_at(m, key, 0);
    struct model_version *v = &m->versions[m->count++];
    assert_true(m->count < VERSIONS_MAX);
    *v = (struct model_version){.key = key, .rev = {.main = m->main, .sub = sub}};
    if (old != NULL && oak_prng_chance(&t->prng, 1, 3)) {
        v->deleted = true;
        for (size_t i = 0; i < TEST_ENGINES; i++) {
            assert_int_equal(oak_store_del(t->stores[i].s, v->rev, key_of(m, key)), 0);
        }
        return;
    }
    v->create_rev = old != NULL ? old->create_rev : m->main;
    v->version = old != NULL ? old->version + 1 : 1;
    v->lease = oak_prng_chance(&t->prng, 1, 4) ? (int64_t)oak_prng_u64(&t->prng) : 0;
    v->value_size = (unsigned)oak_prng_below(&t->prng, oak_prng_chance(&t->prng, 1, 8) ? 500 : 20);
    v->value_byte = (uint8_t)oak_prng_u64(&t->prng);
    memset(t->value, v->value_byte, v->value_size);
    const struct oak_store_kv kv = {.key = key_of(m, key),
                                    .value = oak_bytes(t->value, v->value_size),
                                    .create_rev = v->create_rev,
                                    .mod_rev = m->main,
                                    .version = v->version,
                                    .lease = v->lease};
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        assert_int_equal(oak_store_put(t->stores[i].s, v->rev, &kv), 0);
    }
}

/* Every third has a name of some length, and every second the prefix "m1". */
static struct oak_bytes meta_name(unsigned meta, uint8_t name[META_NAME_MAX])
{
    memset(name, 'x', META_NAME_MAX);
    name[0] = 'm';
    name[1] = meta < METAS / 2 ? '0' : '1';
    name[2] = (uint8_t)meta;
    return oak_bytes(name, meta % 3 == 0 ? META_NAME_MAX : 3);
}

static void do_meta(struct twin *t)
{
    unsigned meta = (unsigned)oak_prng_below(&t->prng, METAS);
    uint8_t room[META_NAME_MAX];
    struct oak_bytes name = meta_name(meta, room);
    uint8_t size = (uint8_t)oak_prng_below(&t->prng, 5);
    memset(t->value, size, size);
    t->m->meta[meta] = size;
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        assert_int_equal(oak_store_meta_put(t->stores[i].s, name, oak_bytes(t->value, size)), 0);
    }
}

static void do_commit(struct twin *t)
{
    struct model *m = t->m;
    m->state.applied += 1 + oak_prng_below(&t->prng, 3);
    m->state.applied_term = m->state.applied / 100;
    m->state.revision = m->main;
    m->state.chain = oak_prng_u64(&t->prng);
    if (oak_prng_chance(&t->prng, 1, 10)) {
        int64_t low = OAK_MAX(m->state.compacted, (int64_t)0);
        m->state.compacted = (int64_t)oak_prng_between(&t->prng, (uint64_t)low, (uint64_t)m->main);
    }
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        assert_int_equal(oak_store_commit(t->stores[i].s, &m->state), 0);
    }
}

/* -- asking ------------------------------------------------------------------------------------ */

static int64_t some_revision(struct twin *t)
{
    if (oak_prng_chance(&t->prng, 1, 2)) {
        return 0;
    }
    int64_t low = OAK_MAX(t->m->state.compacted, (int64_t)1);
    return (int64_t)oak_prng_between(&t->prng, (uint64_t)low, (uint64_t)t->m->main);
}

static void ask_get(struct twin *t)
{
    unsigned key = (unsigned)oak_prng_below(&t->prng, KEYS);
    int64_t rev = some_revision(t);
    const struct model_version *v = model_at(t->m, key, rev);
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        struct oak_store_kv kv;
        int error = oak_store_get(t->stores[i].s, key_of(t->m, key), rev, &kv);
        assert_int_equal(error, v == NULL ? OAK_ENOENT : 0);
        if (v != NULL) {
            check_kv(t, v, &kv, true);
        }
        const struct model_version *newest = model_at(t->m, key, 0);
        error = oak_store_head(t->stores[i].s, key_of(t->m, key), &kv);
        assert_int_equal(error, newest == NULL ? OAK_ENOENT : 0);
        if (newest != NULL) {
            check_kv(t, newest, &kv, false);
        }
    }
}

static bool in_range(const struct oak_store_range *r, struct oak_bytes key)
{
    if (r->open_end || r->to.size > 0) {
        return oak_bytes_cmp(key, r->from) >= 0 && (r->open_end || oak_bytes_cmp(key, r->to) < 0);
    }
    return oak_bytes_eq(key, r->from);
}

static void ask_scan_of(struct twin *t, struct test_store *s, const struct oak_store_range *range,
                        int64_t rev)
{
    bool keys_only = oak_prng_chance(&t->prng, 1, 3);
    bool descend = oak_prng_chance(&t->prng, 1, 2);
    bool leave_early = oak_prng_chance(&t->prng, 1, 5);
    struct oak_store_scan *scan;
    struct oak_store_kv kv;
    uint64_t expected = 0;
    assert_int_equal(oak_store_scan_open(s->s, range, rev, keys_only, descend, &scan), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned key = descend ? KEYS - 1 - i : i;
        const struct model_version *v = model_at(t->m, key, rev);
        if (v == NULL || !in_range(range, key_of(t->m, key))) {
            continue;
        }
        expected++;
        if (leave_early && expected > 3) {
            continue;
        }
        assert_int_equal(oak_store_scan_next(scan, &kv), 0);
        check_kv(t, v, &kv, !keys_only);
    }
    if (!leave_early) {
        assert_int_equal(oak_store_scan_next(scan, &kv), OAK_ENOENT);
        assert_int_equal(oak_store_scan_next(scan, &kv), OAK_ENOENT);
    }
    oak_store_scan_close(scan);
    uint64_t count;
    assert_int_equal(oak_store_count(s->s, range, rev, &count), 0);
    assert_int_equal(count, expected);
}

static void ask_scan(struct twin *t)
{
    struct oak_store_range range = {0};
    if (oak_prng_chance(&t->prng, 4, 5)) {
        range.from = key_of(t->m, (unsigned)oak_prng_below(&t->prng, KEYS));
    }
    range.open_end = range.from.size == 0 || oak_prng_chance(&t->prng, 1, 4);
    if (!range.open_end && oak_prng_chance(&t->prng, 2, 3)) {
        range.to = key_of(t->m, (unsigned)oak_prng_below(&t->prng, KEYS));
    }
    int64_t rev = some_revision(t);
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        ask_scan_of(t, &t->stores[i], &range, rev);
    }
}

struct change_walk {
    const struct twin *t;
    size_t next;
    int64_t to;
    unsigned left;
};

static bool change_seen(void *arg, struct oak_store_rev rev, bool deleted,
                        const struct oak_store_kv *kv)
{
    struct change_walk *w = arg;
    assert_true(w->next < w->t->m->count);
    const struct model_version *v = &w->t->m->versions[w->next++];
    assert_int_equal(rev.main, v->rev.main);
    assert_int_equal(rev.sub, v->rev.sub);
    assert_true(rev.main <= w->to);
    assert_int_equal(deleted, v->deleted);
    if (deleted) {
        assert_true(oak_bytes_eq(kv->key, key_of(w->t->m, v->key)));
        assert_int_equal(kv->mod_rev, v->rev.main);
    } else {
        check_kv(w->t, v, kv, true);
    }
    return --w->left > 0;
}

static void ask_changes(struct twin *t)
{
    const struct model *m = t->m;
    int64_t low = OAK_MAX(m->state.compacted, (int64_t)1);
    int64_t from = (int64_t)oak_prng_between(&t->prng, (uint64_t)low, (uint64_t)m->main + 1);
    int64_t to = (int64_t)oak_prng_between(&t->prng, (uint64_t)from, (uint64_t)m->main + 2);
    size_t first = 0;
    while (first < m->count && m->versions[first].rev.main < from) {
        first++;
    }
    size_t end = first;
    while (end < m->count && m->versions[end].rev.main <= to) {
        end++;
    }
    unsigned limit = oak_prng_chance(&t->prng, 1, 4) ? 3 : 1000000;
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        struct change_walk w = {.t = t, .next = first, .to = to, .left = limit};
        assert_int_equal(oak_store_changes(t->stores[i].s, from, to, change_seen, &w), 0);
        assert_int_equal(w.next - first, OAK_MIN(end - first, (size_t)limit));
    }
}

/* The same, of those keys alone that have an even number. */
static enum oak_store_want change_wanted(void *arg, struct oak_store_rev rev, struct oak_bytes key)
{
    struct change_walk *w = arg;
    assert_true(w->next < w->t->m->count);
    const struct model_version *v = &w->t->m->versions[w->next];
    assert_int_equal(rev.main, v->rev.main);
    assert_int_equal(rev.sub, v->rev.sub);
    assert_true(oak_bytes_eq(key, key_of(w->t->m, v->key)));
    if (w->left == 0) {
        return OAK_STORE_STOP;
    }
    if (v->key % 2 == 1) {
        w->next++;
        return OAK_STORE_SKIP;
    }
    return OAK_STORE_TAKE;
}

static bool change_taken(void *arg, struct oak_store_rev rev, bool deleted,
                         const struct oak_store_kv *kv)
{
    struct change_walk *w = arg;
    assert_int_equal(w->t->m->versions[w->next].key % 2, 0);
    (void)change_seen(arg, rev, deleted, kv);
    return true;
}

static void ask_changes_of(struct twin *t)
{
    const struct model *m = t->m;
    int64_t low = OAK_MAX(m->state.compacted, (int64_t)1);
    int64_t from = (int64_t)oak_prng_between(&t->prng, (uint64_t)low, (uint64_t)m->main + 1);
    size_t first = 0;
    while (first < m->count && m->versions[first].rev.main < from) {
        first++;
    }
    unsigned limit = oak_prng_chance(&t->prng, 1, 4) ? 3 : 1000000;
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        struct change_walk w = {.t = t, .next = first, .to = m->main, .left = limit};
        assert_int_equal(
            oak_store_changes_of(t->stores[i].s, from, m->main, change_wanted, change_taken, &w),
            0);
        assert_true(w.left == 0 || w.next == m->count);
    }
}

struct meta_walk {
    const struct model *m;
    unsigned next;
    unsigned left; /* of a scan: how many to take */
};
static void meta_seen(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct meta_walk *w = arg;
    while (w->next < METAS && w->m->meta[w->next] == 0) {
        w->next++;
    }
    assert_true(w->next < METAS);
    uint8_t room[META_NAME_MAX];
    assert_true(oak_bytes_eq(key, meta_name(w->next, room)));
    assert_int_equal(data.size, w->m->meta[w->next]);
    assert_int_equal(data.data[0], data.size);
    w->next++;
}

static bool meta_scanned(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct meta_walk *w = arg;
    meta_seen(w, key, data);
    return --w->left > 0;
}

/* A scan of one prefix, from some name on, and one value. */
static void ask_meta(struct twin *t)
{
    unsigned from = (unsigned)oak_prng_below(&t->prng, METAS);
    unsigned high = from < METAS / 2 ? METAS / 2 : METAS;
    uint8_t room[META_NAME_MAX];
    struct oak_bytes name = meta_name(from, room);
    bool all = oak_prng_chance(&t->prng, 1, 4);
    unsigned most = 1 + (unsigned)oak_prng_below(&t->prng, METAS);
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        struct meta_walk w = {.m = t->m, .next = all ? high - METAS / 2 : from, .left = most};
        oak_store_meta_scan(t->stores[i].s, oak_bytes(name.data, 2),
                            all ? oak_bytes(NULL, 0) : name, meta_scanned, &w);
        while (w.left > 0 && w.next < high && t->m->meta[w.next] == 0) {
            w.next++;
        }
        assert_true(w.left == 0 || w.next == high);
        struct oak_bytes data;
        int error = oak_store_meta_get(t->stores[i].s, name, &data);
        assert_int_equal(error, t->m->meta[from] == 0 ? OAK_ENOENT : 0);
        assert_int_equal(data.size, t->m->meta[from]);
    }
}

static void ask_rest(struct twin *t)
{
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        struct meta_walk w = {.m = t->m};
        assert_int_equal(oak_store_meta_each(t->stores[i].s, meta_seen, &w), 0);
        while (w.next < METAS && t->m->meta[w.next] == 0) {
            w.next++;
        }
        assert_int_equal(w.next, METAS);
        const struct oak_store_state *s = oak_store_state(t->stores[i].s);
        assert_int_equal(s->applied, t->m->state.applied);
        assert_int_equal(s->applied_term, t->m->state.applied_term);
        assert_int_equal(s->revision, t->m->state.revision);
        assert_int_equal(s->compacted, t->m->state.compacted);
        assert_int_equal(s->chain, t->m->state.chain);
    }
}

static void ask_something(struct twin *t)
{
    switch (oak_prng_below(&t->prng, 4)) {
    case 0:
    case 1:
        ask_get(t);
        break;
    case 2:
        ask_scan(t);
        break;
    default:
        ask_changes(t);
        ask_changes_of(t);
        break;
    }
}

/* -- housekeeping ------------------------------------------------------------------------------ */

static void do_flush_and_reopen(struct twin *t)
{
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        test_store_flush(&t->stores[i]);
        test_store_reopen(&t->stores[i]);
        assert_int_equal(oak_store_durable(t->stores[i].s), t->m->state.applied);
    }
}

/* All snapshots are the same bytes, and each store takes back another's. */
static void do_snapshot(struct twin *t)
{
    struct oak_buf all[TEST_ENGINES];
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        all[i] = test_snapshot(&t->stores[i], 1 + oak_prng_below(&t->prng, 3000));
        assert_true(oak_bytes_eq(oak_buf_bytes(&all[0]), oak_buf_bytes(&all[i])));
    }
    if (oak_prng_chance(&t->prng, 1, 2)) {
        for (size_t i = 0; i < TEST_ENGINES; i++) {
            struct oak_bytes stream = oak_buf_bytes(&all[(i + 1) % TEST_ENGINES]);
            size_t step = 1 + oak_prng_below(&t->prng, 3000);
            assert_int_equal(test_restore(&t->stores[i], stream, step), 0);
            assert_int_equal(oak_store_durable(t->stores[i].s), t->m->state.applied);
            if (oak_prng_chance(&t->prng, 1, 2)) {
                test_store_reopen(&t->stores[i]);
            }
        }
    }
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        oak_buf_fini(&all[i]);
    }
}

static void do_housekeeping(struct twin *t)
{
    bool more;
    switch (oak_prng_below(&t->prng, 20)) {
    case 0:
        do_flush_and_reopen(t);
        break;
    case 1:
        do_snapshot(t);
        break;
    default:
        for (size_t i = 0; i < TEST_ENGINES; i++) {
            size_t steps = 1 + oak_prng_below(&t->prng, 60);
            assert_int_equal(oak_store_reclaim(t->stores[i].s, steps, &more), 0);
        }
        break;
    }
}

static void run_twin(uint64_t seed, unsigned batches)
{
    struct twin *t = calloc(1, sizeof(*t));
    t->m = calloc(1, sizeof(*t->m));
    oak_prng_init(&t->prng, seed);
    model_init(t->m, &t->prng);
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        test_store_init(&t->stores[i], &test_engines[i]);
    }
    for (unsigned batch = 0; batch < batches; batch++) {
        unsigned operations = (unsigned)oak_prng_below(&t->prng, 4);
        for (unsigned i = 0; i < operations; i++) {
            t->m->main++;
            int64_t subs = 1 + (int64_t)oak_prng_below(&t->prng, 4);
            for (int64_t sub = 0; sub < subs; sub++) {
                do_write(t, sub);
                ask_get(t);
            }
            ask_something(t);
        }
        if (oak_prng_chance(&t->prng, 1, 4)) {
            do_meta(t);
        }
        ask_something(t);
        ask_meta(t);
        do_commit(t);
        ask_something(t);
        ask_rest(t);
        if (oak_prng_chance(&t->prng, 1, 4)) {
            do_housekeeping(t);
            ask_something(t);
        }
    }
    for (size_t i = 0; i < TEST_ENGINES; i++) {
        test_store_fini(&t->stores[i]);
    }
    free(t->m);
    free(t);
}

static void engines_and_a_plain_array_agree_on_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run_twin(seed, 400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_and_a_plain_array_agree_on_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
