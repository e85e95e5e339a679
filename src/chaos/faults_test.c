/* SPDX-License-Identifier: Apache-2.0 */
/* Each shape of a partition cuts what it should, and its end leaves nothing cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "chaos/internal.h"

#define NODES 5

struct world {
    struct chaos *c;
    struct oak_chaos_report report;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->c = calloc(1, sizeof(*w->c));
    w->c->report = &w->report;
    w->c->count = NODES;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    free(w->c->events);
    free(w->c);
    free(w);
    return 0;
}

/* The links of the fault, one "1" for each that is cut, row by row; then all must be mended. */
static void cuts(struct world *w, const struct chaos__fault *fault, char out[NODES * NODES + 1])
{
    char *at = out;
    size_t event = chaos__fault_begin(w->c, fault);
    for (int a = 0; a < NODES; a++) {
        for (int b = 0; b < NODES; b++) {
            *at++ = w->c->links[a][b].cut ? '1' : '0';
        }
    }
    *at = '\0';
    chaos__fault_end(w->c, event);
    for (int a = 0; a < NODES; a++) {
        for (int b = 0; b < NODES; b++) {
            const struct chaos__link *link = &w->c->links[a][b];
            assert_true(!link->cut && link->loss == 0 && link->delay_ns == 0);
        }
    }
}

static void each_partition_has_its_shape(void **state)
{
    static const struct {
        struct chaos__fault fault;
        const char *rows; /* from n1 to all, from n2 to all, … */
    } cases[] = {
        {{.kind = OAK_CHAOS_HALVES, .target = CHAOS_TARGET_ALL, .mask = 3},
         "00111"
         "00111"
         "11000"
         "11000"
         "11000"},
        {{.kind = OAK_CHAOS_ISOLATE, .target = 1, .mask = 1},
         "01000"
         "10111"
         "01000"
         "01000"
         "01000"},
        {{.kind = OAK_CHAOS_ONE_WAY, .target = 4, .amount = 0, .mask = 1},
         "00001"
         "00001"
         "00001"
         "00001"
         "00000"},
        {{.kind = OAK_CHAOS_ONE_WAY, .target = 4, .amount = 1, .mask = 1},
         "00000"
         "00000"
         "00000"
         "00000"
         "11110"},
        {{.kind = OAK_CHAOS_BRIDGE, .target = 2, .mask = 3},
         "00011"
         "00011"
         "00000"
         "11000"
         "11000"},
        {{.kind = OAK_CHAOS_BRIDGE, .target = 0, .mask = 30},
         "00000"
         "00111"
         "01000"
         "01000"
         "01000"},
        {{.kind = OAK_CHAOS_RING, .target = CHAOS_TARGET_ALL, .mask = 1},
         "00110"
         "00011"
         "10001"
         "11000"
         "01100"},
    };
    struct world *w = *state;
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        char found[NODES * NODES + 1];
        cuts(w, &cases[i].fault, found);
        assert_string_equal(found, cases[i].rows);
    }
    assert_int_equal(w->report.fault_count, OAK_COUNT_OF(cases));
    assert_int_equal(w->c->event_count, OAK_COUNT_OF(cases));
}

static void weather_is_everybodys_or_one_nodes(void **state)
{
    struct world *w = *state;
    const struct chaos__fault loss = {
        .kind = OAK_CHAOS_LOSS, .target = CHAOS_TARGET_ALL, .amount = 50, .mask = 1};
    const struct chaos__fault delay = {
        .kind = OAK_CHAOS_DELAY, .target = 3, .amount = 20, .mask = 1};
    size_t first = chaos__fault_begin(w->c, &loss);
    size_t second = chaos__fault_begin(w->c, &delay);
    for (int a = 0; a < NODES; a++) {
        for (int b = 0; b < NODES; b++) {
            bool touched = a != b && (a == 3 || b == 3);
            assert_int_equal(w->c->links[a][b].loss, a == b ? 0 : 50);
            assert_int_equal(w->c->links[a][b].delay_ns, touched ? 20 * CROWD_MS : 0);
        }
    }
    chaos__fault_end(w->c, first);
    assert_int_equal(w->c->links[0][3].loss, 0);
    assert_int_equal(w->c->links[0][3].delay_ns, 20 * CROWD_MS);
    chaos__fault_end(w->c, second);
    assert_int_equal(w->c->links[0][3].delay_ns, 0);
}

static void without_a_leader_some_node_stands_in(void **state)
{
    struct world *w = *state;
    const struct chaos__fault fault = {
        .kind = OAK_CHAOS_ISOLATE, .target = CHAOS_TARGET_LEADER, .mask = 8};
    size_t event = chaos__fault_begin(w->c, &fault);
    assert_in_range(w->c->events[event].target, 0, NODES - 1);
    chaos__fault_end(w->c, event);
    assert_int_not_equal(w->c->events[event].end_ms, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_partition_has_its_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(weather_is_everybodys_or_one_nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(without_a_leader_some_node_stands_in, setup, teardown),
    };
    return cmocka_run_group_tests_name("chaos/faults", tests, NULL, NULL);
}
