/* SPDX-License-Identifier: Apache-2.0 */
/* cache_test.c: the ring of newest versions, made small, against an array: it may forget, but never
 * lie. */
#include "store/rocks.h"
#include "store/test_help.h"

enum { KEYS = 4000, VALUE_MAX = 3000, RING_BYTES = 256 * 1024 };

struct expected {
    int64_t main, create, version, lease;
    size_t value_size;
    bool deleted;
};

static struct oak_bytes key_of(unsigned i, char *room)
{
    int n = snprintf(room, 2000, "key/%u/%0*u", i, i % 50 == 0 ? (int)(i % 1500) : 3, i);
    return oak_bytes(room, (size_t)n);
}

static void check(struct rocks_cache *c, const struct expected *all, unsigned i, unsigned *known,
                  unsigned *wholes)
{
    char room[2000];
    struct store_item item;
    bool whole;
    struct oak_bytes key = key_of(i, room);
    if (!rocks__cache_get(c, key, &item, &whole)) {
        return;
    }
    const struct expected *e = &all[i];
    ++*known;
    *wholes += whole;
    assert_int_not_equal(e->main, 0);
    assert_int_equal(item.rev.main, e->main);
    assert_int_equal(item.rev.sub, i % 7);
    assert_int_equal(item.deleted, e->deleted);
    assert_true(oak_bytes_eq(item.kv.key, key));
    if (item.deleted) {
        return;
    }
    assert_int_equal(item.kv.create_rev, e->create);
    assert_int_equal(item.kv.version, e->version);
    assert_int_equal(item.kv.lease, e->lease);
    assert_int_equal(item.kv.value.size, whole ? e->value_size : 0);
    for (size_t k = 0; k < item.kv.value.size; k++) {
        assert_int_equal(item.kv.value.data[k], (uint8_t)e->main);
    }
}

static void put(struct rocks_cache *c, struct expected *all, unsigned i, int64_t main,
                struct oak_prng *prng)
{
    static uint8_t value[VALUE_MAX];
    char room[2000];
    struct expected *e = &all[i];
    *e = (struct expected){.main = main, .deleted = oak_prng_chance(prng, 1, 10)};
    struct store_item item = {.rev = {.main = main, .sub = i % 7}, .deleted = e->deleted};
    item.kv.key = key_of(i, room);
    item.kv.mod_rev = main;
    if (!e->deleted) {
        e->create = 1 + (int64_t)oak_prng_below(prng, (uint64_t)main);
        e->version = 1 + (int64_t)(oak_prng_u64(prng) >> oak_prng_between(prng, 2, 62));
        e->lease = oak_prng_chance(prng, 1, 3) ? (int64_t)oak_prng_u64(prng) : 0;
        e->value_size = oak_prng_below(prng, oak_prng_chance(prng, 1, 4) ? VALUE_MAX : 100);
        memset(value, (int)(uint8_t)main, e->value_size);
        item.kv.create_rev = e->create;
        item.kv.version = e->version;
        item.kv.lease = e->lease;
        item.kv.value = oak_bytes(value, e->value_size);
    }
    rocks__cache_put(c, &item);
    unsigned known = 0;
    unsigned wholes = 0;
    check(c, all, i, &known, &wholes);
    if (item.kv.key.size <= 1024) {
        assert_int_equal(known, 1);
        assert_int_equal(wholes, item.deleted || e->value_size <= 2048);
    }
}

static void the_ring_may_forget_but_never_lies(void **state)
{
    (void)state;
    struct expected *all = calloc(KEYS, sizeof(*all));
    struct rocks_cache c;
    struct oak_prng prng;
    unsigned known = 0;
    unsigned wholes = 0;
    oak_prng_init(&prng, 11);
    assert_int_equal(rocks__cache_init(&c, RING_BYTES), 0);
    for (int64_t main = 1; main < 200000; main++) {
        put(&c, all, (unsigned)oak_prng_below(&prng, KEYS), main, &prng);
        /* Some keys are asked for much more than others. */
        check(&c, all, (unsigned)oak_prng_below(&prng, oak_prng_chance(&prng, 1, 2) ? 50 : KEYS),
              &known, &wholes);
        if (main % 70000 == 0) {
            rocks__cache_clear(&c);
            memset(all, 0, KEYS * sizeof(*all));
        }
    }
    known = wholes = 0;
    unsigned hot = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        check(&c, all, i, &known, &wholes);
        hot = i == 49 ? known : hot;
    }
    /* More headers than values stay, and what is asked for stays rather than the rest. */
    assert_true(known > 2 * wholes);
    assert_true(wholes > 50);
    assert_true(hot > 30);
    assert_true(known < KEYS);
    rocks__cache_fini(&c);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ring_may_forget_but_never_lies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
