/* SPDX-License-Identifier: Apache-2.0 */
/* config_test.c: configurations and their majorities, against dumb twins on all small inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/prng.h"
#include "raft/internal.h"

/* -- majorities -------------------------------------------------------------------------------- */

static uint64_t quorum_value_slowly(const uint64_t *values, size_t count)
{
    uint64_t best = 0;
    for (size_t i = 0; i < count; i++) {
        size_t reach = 0;
        for (size_t j = 0; j < count; j++) {
            reach += values[j] >= values[i];
        }
        if (2 * reach > count && values[i] > best) {
            best = values[i];
        }
    }
    return best;
}

static void quorum_equals_its_slow_twin_on_all_small_inputs(void **state)
{
    (void)state;
    for (size_t count = 0; count <= 6; count++) {
        size_t total = 1;
        for (size_t i = 0; i < count; i++) {
            total *= 4;
        }
        for (size_t n = 0; n < total; n++) {
            uint64_t values[6];
            size_t rest = n;
            for (size_t i = 0; i < count; i++) {
                values[i] = rest % 4;
                rest /= 4;
            }
            assert_int_equal(raft__quorum_value(values, count), quorum_value_slowly(values, count));
        }
    }
}

static void tally_is_decided_exactly_when_nothing_can_change_it(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 9; count++) {
        for (size_t granted = 0; granted <= count; granted++) {
            for (size_t rejected = 0; granted + rejected <= count; rejected++) {
                size_t open = count - granted - rejected;
                bool sure = 2 * granted > count;
                bool possible = 2 * (granted + open) > count;
                enum raft__tally expected = sure       ? RAFT__WON
                                            : possible ? RAFT__PENDING
                                                       : RAFT__LOST;
                assert_int_equal(raft__quorum_tally(granted, rejected, count), expected);
            }
        }
    }
    assert_int_equal(raft__quorum_tally(0, 0, 0), RAFT__LOST);
}

/* -- majorities of two halves ------------------------------------------------------------------ */

#define MEMBERS 4

static size_t half_size(const unsigned *halves, unsigned half)
{
    size_t count = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        count += (halves[i] & half) != 0;
    }
    return count;
}

/* Do those with `yes` make a majority of each half? */
static bool both_agree(const unsigned *halves, const bool *yes)
{
    for (unsigned half = RAFT__INCOMING; half <= RAFT__OUTGOING; half++) {
        size_t count = 0;
        for (size_t i = 0; i < MEMBERS; i++) {
            count += (halves[i] & half) != 0 && yes[i];
        }
        size_t size = half_size(halves, half);
        if ((size > 0 || half == RAFT__INCOMING) && 2 * count <= size) {
            return false;
        }
    }
    return true;
}

static void digits(size_t n, size_t base, unsigned *out)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        out[i] = (unsigned)(n % base);
        n /= base;
    }
}

static void a_value_counts_when_majorities_of_both_halves_reach_it(void **state)
{
    (void)state;
    for (size_t h = 0; h < 256; h++) {
        unsigned halves[MEMBERS];
        digits(h, 4, halves);
        for (size_t n = 0; n < 256; n++) {
            unsigned values[MEMBERS];
            digits(n, 4, values);
            struct raft__values v;
            raft__values_init(&v);
            uint64_t best = 0;
            for (size_t i = 0; i < MEMBERS; i++) {
                raft__values_add(&v, halves[i], values[i]);
                bool reach[MEMBERS];
                for (size_t j = 0; j < MEMBERS; j++) {
                    reach[j] = values[j] >= values[i];
                }
                if (both_agree(halves, reach)) {
                    best = OAK_MAX(best, values[i]);
                }
            }
            assert_int_equal(raft__values_quorum(&v), best);
        }
    }
}

static void votes_are_decided_exactly_when_nothing_can_change_them(void **state)
{
    (void)state;
    for (size_t h = 0; h < 256; h++) {
        unsigned halves[MEMBERS];
        digits(h, 4, halves);
        struct oak_raft_config c = {
            .voter_count = (uint32_t)half_size(halves, RAFT__INCOMING),
            .voter_outgoing_count = (uint32_t)half_size(halves, RAFT__OUTGOING),
        };
        for (size_t n = 0; n < 81; n++) {
            unsigned said[MEMBERS]; /* nothing, yes, no */
            digits(n, 3, said);
            struct raft__votes votes = {0};
            bool yes[MEMBERS];
            bool possible[MEMBERS];
            for (size_t i = 0; i < MEMBERS; i++) {
                raft__votes_add(&votes, halves[i], said[i] == 1, said[i] == 2);
                yes[i] = said[i] == 1;
                possible[i] = said[i] != 2;
            }
            enum raft__tally expected = both_agree(halves, yes)        ? RAFT__WON
                                        : both_agree(halves, possible) ? RAFT__PENDING
                                                                       : RAFT__LOST;
            assert_int_equal(raft__votes_tally(&votes, &c), expected);
        }
    }
}

/* -- the steps of a change --------------------------------------------------------------------- */

#define IDS 5

/* `n` in base 3 gives each id its part: none, learner, voter. */
static struct oak_raft_config config_of(size_t n)
{
    struct oak_raft_config c = {.lease_ms = (uint32_t)n};
    for (uint64_t id = 1; id <= IDS; id++) {
        if (n % 3 == 1) {
            c.learners[c.learner_count++] = id;
        } else if (n % 3 == 2) {
            c.voters[c.voter_count++] = id;
        }
        n /= 3;
    }
    return c;
}

static void every_change_goes_through_both_halves_and_ends_as_wanted(void **state)
{
    (void)state;
    for (size_t a = 0; a < 243; a++) {
        struct oak_raft_config from = config_of(a);
        for (size_t b = 0; b < 243 && from.voter_count > 0; b++) {
            struct oak_raft_config target = config_of(b);
            if (target.voter_count == 0) {
                continue;
            }
            struct oak_raft_config next;
            raft__config_enter(&from, &target, &next);
            assert_int_equal(oak_raft_config_check(&next), OAK_RAFT_OK);
            bool same_voters = memcmp(from.voters, target.voters, sizeof(from.voters)) == 0;
            assert_int_equal(raft__config_joint(&next), !same_voters);
            uint64_t ids[OAK_RAFT_MEMBERS_MAX];
            size_t count = raft__config_members(&next, ids);
            size_t expected = 0;
            for (uint64_t id = 1; id <= IDS; id++) {
                unsigned old = raft__config_halves(&from, id);
                unsigned new = raft__config_halves(&target, id);
                assert_int_equal(raft__config_halves(&next, id),
                                 new | (same_voters ? 0 : old << 1));
                if (new != 0 || raft__config_learns(&target, id) || (!same_voters && old != 0)) {
                    assert_int_equal(ids[expected], id);
                    expected++;
                }
            }
            assert_int_equal(count, expected);
            if (raft__config_joint(&next)) {
                struct oak_raft_config end;
                raft__config_leave(&next, &end);
                assert_memory_equal(&end, &target, sizeof(end));
            } else {
                assert_memory_equal(&next, &target, sizeof(next));
            }
        }
    }
}

/* -- bytes ------------------------------------------------------------------------------------- */

static void a_configuration_survives_as_bytes(void **state)
{
    (void)state;
    struct oak_raft_config c = {
        .voter_count = 2,
        .voters = {1, UINT64_MAX},
        .voter_outgoing_count = 2,
        .voters_outgoing = {1, 7},
        .learner_count = 1,
        .learners = {9},
        .learner_next_count = 1,
        .learners_next = {7},
        .lease_ms = 500,
        .drift_ppm = 1000,
    };
    uint8_t bytes[OAK_RAFT_CONFIG_BYTES_MAX];
    size_t size = oak_raft_config_encode(&c, bytes);
    assert_int_equal(size, 16 + 8 * 6);
    struct oak_raft_config back;
    assert_int_equal(oak_raft_config_decode(bytes, size, &back), OAK_RAFT_OK);
    assert_memory_equal(&c, &back, sizeof(c));
    assert_int_equal(oak_raft_config_decode(bytes, size - 1, &back), OAK_RAFT_EINVAL);
    assert_int_equal(oak_raft_config_decode(NULL, 0, &back), OAK_RAFT_EINVAL);
    /* Whatever is believed is written as it was read. */
    struct oak_prng prng;
    oak_prng_init(&prng, 3);
    size_t believed = 0;
    for (int i = 0; i < 200000; i++) {
        uint8_t bad[sizeof(bytes)];
        memcpy(bad, bytes, size);
        for (uint64_t n = oak_prng_below(&prng, 3); n > 0; n--) {
            bad[oak_prng_below(&prng, size)] = (uint8_t)oak_prng_below(&prng, 12);
        }
        size_t cut = oak_prng_below(&prng, 4) == 0 ? oak_prng_below(&prng, size + 1) : size;
        if (oak_raft_config_decode(bad, cut, &back) == OAK_RAFT_OK) {
            uint8_t again[OAK_RAFT_CONFIG_BYTES_MAX];
            assert_int_equal(oak_raft_config_encode(&back, again), cut);
            assert_memory_equal(again, bad, cut);
            believed++;
        }
    }
    assert_true(believed > 1000);
}

static void what_breaks_the_rules_is_refused(void **state)
{
    (void)state;
    const struct oak_raft_config good = {
        .voter_count = 2,
        .voters = {1, 2},
        .voter_outgoing_count = 2,
        .voters_outgoing = {2, 3},
        .learner_count = 1,
        .learners = {4},
        .learner_next_count = 1,
        .learners_next = {3},
    };
    assert_int_equal(oak_raft_config_check(&good), OAK_RAFT_OK);
    struct oak_raft_config bad;
#define REFUSED(change)                                                 \
    do {                                                                \
        bad = good;                                                     \
        change;                                                         \
        assert_int_equal(oak_raft_config_check(&bad), OAK_RAFT_EINVAL); \
    } while (0)
    REFUSED(bad.voter_count = 0);
    REFUSED(bad.voters[0] = 0);
    REFUSED(bad.voters[0] = 2);
    REFUSED(bad.voters_outgoing[1] = 2);
    REFUSED(bad.voter_outgoing_count = 0); /* learners_next make no sense then */
    REFUSED(bad.learners[0] = 1);
    REFUSED(bad.learners[0] = 3);
    REFUSED(bad.learners_next[0] = 2); /* it stays a voter */
    REFUSED(bad.learners_next[0] = 4); /* it was none */
    REFUSED(bad.voter_count = OAK_RAFT_MEMBERS_MAX + 1);
    REFUSED(bad.learner_count = UINT32_MAX);
    REFUSED(bad.drift_ppm = 1000000);
#undef REFUSED
    bad = (struct oak_raft_config){.voter_count = 9, .voter_outgoing_count = 8};
    for (uint64_t i = 0; i < 9; i++) {
        bad.voters[i] = i + 1;
        bad.voters_outgoing[i] = i + 9; /* one of them stays */
    }
    assert_int_equal(oak_raft_config_check(&bad), OAK_RAFT_OK);
    for (uint64_t i = 0; i < 8; i++) {
        bad.voters_outgoing[i] = i + 10;
    }
    assert_int_equal(oak_raft_config_check(&bad), OAK_RAFT_EINVAL); /* 17 members */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quorum_equals_its_slow_twin_on_all_small_inputs),
        cmocka_unit_test(tally_is_decided_exactly_when_nothing_can_change_it),
        cmocka_unit_test(a_value_counts_when_majorities_of_both_halves_reach_it),
        cmocka_unit_test(votes_are_decided_exactly_when_nothing_can_change_them),
        cmocka_unit_test(every_change_goes_through_both_halves_and_ends_as_wanted),
        cmocka_unit_test(a_configuration_survives_as_bytes),
        cmocka_unit_test(what_breaks_the_rules_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
