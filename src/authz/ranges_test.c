/* SPDX-License-Identifier: Apache-2.0 */
/* ranges_test.c: bounds, joined ranges and what they hold, against a model that knows every key.
 *
 * Keys are made of few bytes, so that the model can try each of them: up to three for permissions
 * and requests, and one more for the gaps between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authz/internal.h"

#define BYTES     4
#define KEYS_MAX  400
#define RANGES    12
#define ROUNDS    20000
#define FRAGMENTS 4

struct key {
    uint8_t bytes[BYTES];
    size_t size;
};

static const uint8_t alphabet[] = {0x00, 'a', 'b', 0xff};

static struct oak_bytes of(const struct key *k)
{
    return oak_bytes(k->bytes, k->size);
}

/* All keys of one to BYTES letters; the last letter, ff, in the first place alone. */
static size_t universe(struct key *out)
{
    size_t count = 0;
    size_t first = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(alphabet); i++) {
        out[count++] = (struct key){.bytes = {alphabet[i]}, .size = 1};
    }
    for (size_t size = 2; size <= BYTES; size++) {
        size_t end = count;
        for (size_t i = first; i < end; i++) {
            for (size_t k = 0; k + 1 < OAK_COUNT_OF(alphabet); k++) {
                struct key longer = out[i];
                longer.bytes[longer.size++] = alphabet[k];
                OAK_ASSERT_LT(count, KEYS_MAX);
                out[count++] = longer;
            }
        }
        first = end;
    }
    return count;
}

static struct key random_key(struct oak_prng *prng)
{
    struct key k = {.size = 1 + oak_prng_below(prng, BYTES - 1)};
    for (size_t i = 0; i < k.size; i++) {
        k.bytes[i] = alphabet[oak_prng_below(prng, i == 0 ? 4 : 3)];
    }
    return k;
}

/* A range's end: none, open, or a key. */
static struct key random_end(struct oak_prng *prng)
{
    uint64_t kind = oak_prng_below(prng, 8);
    if (kind < 3) {
        return (struct key){.size = 0};
    }
    return kind == 3 ? (struct key){.bytes = {0}, .size = 1} : random_key(prng);
}

/* Is `key` what (from, end) speaks of? As the API has it, said in another way than the room's. */
static bool speaks_of(const struct key *from, const struct key *end, const struct key *key)
{
    bool point = end->size == 0;
    bool open = end->size == 1 && end->bytes[0] == 0;
    if (!point && !open && oak_bytes_cmp(of(end), of(from)) <= 0) {
        point = true; /* judged by its first key */
    }
    if (point) {
        return oak_bytes_eq(of(from), of(key));
    }
    return oak_bytes_cmp(of(from), of(key)) <= 0 && (open || oak_bytes_cmp(of(key), of(end)) < 0);
}

static void joined_ranges_hold_what_a_model_says(void **state)
{
    (void)state;
    static struct key keys[KEYS_MAX];
    size_t key_count = universe(keys);
    struct oak_prng prng;
    oak_prng_init(&prng, 20261126);
    size_t held = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct key from[RANGES], end[RANGES];
        struct authz_range ranges[RANGES];
        size_t count = oak_prng_below(&prng, RANGES + 1);
        for (size_t i = 0; i < count; i++) {
            from[i] = random_key(&prng);
            end[i] = random_end(&prng);
            ranges[i] = authz__range(of(&from[i]), of(&end[i]));
        }
        size_t kept = authz__merge(ranges, count);
        for (size_t i = 1; i < kept; i++) {
            assert_true(authz__bound_cmp(&ranges[i - 1].to, &ranges[i].from) < 0);
        }
        const struct authz_ranges merged = {.items = ranges, .count = kept};
        struct key a = random_key(&prng);
        struct key b = random_end(&prng);
        bool all = true;
        for (size_t k = 0; all && k < key_count; k++) {
            bool found = !speaks_of(&a, &b, &keys[k]);
            for (size_t i = 0; !found && i < count; i++) {
                found = speaks_of(&from[i], &end[i], &keys[k]);
            }
            all = found;
        }
        /* What is open goes on behind the longest key of the model. */
        bool b_open = b.size == 1 && b.bytes[0] == 0;
        bool open = !b_open;
        for (size_t i = 0; !open && i < count; i++) {
            open = end[i].size == 1 && end[i].bytes[0] == 0;
        }
        const struct authz_range wanted = authz__range(of(&a), of(&b));
        assert_int_equal(authz__covers(&merged, &wanted), all && open);
        held += all && open ? 1 : 0;
    }
    assert_in_range(held, ROUNDS / 20, ROUNDS - ROUNDS / 20); /* both answers are tried */
}

static void the_key_behind_a_key_is_its_with_a_zero_byte(void **state)
{
    (void)state;
    const struct authz_bound behind_a = {.key = oak_bytes("a", 1), .behind = true};
    const struct authz_bound a = {.key = oak_bytes("a", 1)};
    const struct authz_bound a0 = {.key = oak_bytes("a\0", 2)};
    const struct authz_bound a00 = {.key = oak_bytes("a\0\0", 3)};
    const struct authz_bound a1 = {.key = oak_bytes("a\1", 2)};
    const struct authz_bound b = {.key = oak_bytes("b", 1)};
    const struct authz_bound open = {.open = true};
    assert_int_equal(authz__bound_cmp(&behind_a, &a0), 0);
    assert_int_equal(authz__bound_cmp(&a0, &behind_a), 0);
    assert_true(authz__bound_cmp(&behind_a, &a) > 0);
    assert_true(authz__bound_cmp(&a, &behind_a) < 0);
    assert_true(authz__bound_cmp(&behind_a, &a00) < 0);
    assert_true(authz__bound_cmp(&behind_a, &a1) < 0);
    assert_true(authz__bound_cmp(&b, &behind_a) > 0);
    assert_true(authz__bound_cmp(&open, &b) > 0);
    assert_true(authz__bound_cmp(&behind_a, &open) < 0);
    assert_int_equal(authz__bound_cmp(&open, &open), 0);
}

static bool held(const struct oak_bytes (*grants)[2], size_t count, struct oak_bytes key,
                 struct oak_bytes end)
{
    struct authz_range ranges[FRAGMENTS];
    for (size_t i = 0; i < count; i++) {
        ranges[i] = authz__range(grants[i][0], grants[i][1]);
    }
    const struct authz_ranges merged = {.items = ranges, .count = authz__merge(ranges, count)};
    const struct authz_range wanted = authz__range(key, end);
    return authz__covers(&merged, &wanted);
}

#define B(text) oak_bytes(text, sizeof(text) - 1)

static void neighbours_join_and_gaps_do_not(void **state)
{
    (void)state;
    const struct oak_bytes joined[][2] = {{B("b"), B("c")}, {B("a"), B("b")}};
    assert_true(held(joined, 2, B("a"), B("c")));
    assert_true(held(joined, 2, B("azz"), B("ba")));
    assert_false(held(joined, 2, B("a"), B("c\0")));
    assert_false(held(joined, 2, B("`"), B("b")));
    assert_false(held(joined, 2, B("c"), B("")));
    const struct oak_bytes gap[][2] = {{B("a"), B("b")}, {B("b\0"), B("c")}};
    assert_false(held(gap, 2, B("a"), B("c")));
    assert_true(held(gap, 2, B("a"), B("b")));
    assert_false(held(gap, 2, B("b"), B("")));
    assert_true(held(gap, 2, B("b\0"), B("")));
    const struct oak_bytes closed[][2] = {{B("a"), B("b")}, {B("b"), B("")}, {B("b\0"), B("c")}};
    assert_true(held(closed, 3, B("a"), B("c")));
}

static void the_end_of_all_keys_is_held_by_an_open_grant_alone(void **state)
{
    (void)state;
    const struct oak_bytes far[][2] = {{B("a"), B("\xff\xff\xff")}};
    assert_false(held(far, 1, B("a"), B("\0")));
    const struct oak_bytes open[][2] = {{B("a"), B("\0")}};
    assert_true(held(open, 1, B("a"), B("\0")));
    assert_true(held(open, 1, B("b"), B("\0")));
    assert_true(held(open, 1, B("a"), B("\xff\xff\xff\xff")));
    assert_false(held(open, 1, B("\0"), B("\0")));
    const struct oak_bytes all[][2] = {{B("\0"), B("\0")}};
    assert_true(held(all, 1, B("\0"), B("\0")));
    assert_true(held(all, 1, B("\0"), B("")));
    /* [k, "\0") would be empty if the zero byte were a key like others (GHSA-xg4h-6gfc-h4m8). */
    const struct oak_bytes one[][2] = {{B("k"), B("")}};
    assert_false(held(one, 1, B("k"), B("\0")));
    assert_true(held(one, 1, B("k"), B("")));
    assert_true(held(one, 1, B("k"), B("k\0")));
    assert_false(held(one, 1, B("k"), B("k\1")));
}

static void a_range_that_holds_nothing_is_judged_by_its_first_key(void **state)
{
    (void)state;
    const struct oak_bytes one[][2] = {{B("k"), B("l")}};
    assert_true(held(one, 1, B("k"), B("k")));
    assert_true(held(one, 1, B("kk"), B("a")));
    assert_false(held(one, 1, B("m"), B("a")));
    assert_false(held(one, 0, B("k"), B("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_key_behind_a_key_is_its_with_a_zero_byte),
        cmocka_unit_test(neighbours_join_and_gaps_do_not),
        cmocka_unit_test(the_end_of_all_keys_is_held_by_an_open_grant_alone),
        cmocka_unit_test(a_range_that_holds_nothing_is_judged_by_its_first_key),
        cmocka_unit_test(joined_ranges_hold_what_a_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
