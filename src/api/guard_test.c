/* SPDX-License-Identifier: Apache-2.0 */
/* guard_test.c: each guard of a change of the group, at its edge. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "api/guard.h"

static const char *const urls[] = {"http://a:1", "http://b:1", "http://c:1", "http://d:1"};

/* Voters 1 .. count, of which 1 asks; all well. */
static struct api_guard group(size_t count)
{
    struct api_guard g = {.count = count, .strict = true, .learners_max = 1};
    for (size_t i = 0; i < count; i++) {
        g.members[i] = (struct api_guard_member){.id = i + 1,
                                                 .started = true,
                                                 .self = i == 0,
                                                 .active = true,
                                                 .connected = true,
                                                 .urls = &urls[i],
                                                 .url_count = 1};
    }
    return g;
}

static const char *const fresh[] = {"http://e:1"};

static int add(const struct api_guard *g)
{
    return api__guard_add(g, fresh, 1, false);
}

static void a_voter_is_added_to_those_that_are_well(void **state)
{
    (void)state;
    for (size_t count = 1; count <= 4; count++) {
        struct api_guard g = group(count);
        assert_int_equal(add(&g), 0);
    }
}

static void a_voter_that_never_started_stands_in_the_way_of_the_next(void **state)
{
    (void)state;
    struct api_guard g = group(2);
    g.members[1].started = g.members[1].connected = g.members[1].active = false;
    assert_int_equal(add(&g), OAK_EMEMBERNOTENOUGHSTARTED);
    assert_int_equal(api__guard_add(&g, fresh, 1, true), OAK_EUNHEALTHY);
    g.strict = false;
    assert_int_equal(add(&g), 0);
    g = group(1);
    g.members[0].started = false;
    assert_int_equal(add(&g), OAK_EMEMBERNOTENOUGHSTARTED);
}

static void an_id_that_is_there_or_was_is_told_before_its_urls(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    g.id_taken = true;
    assert_int_equal(api__guard_add(&g, urls, 1, true), OAK_EMEMBEREXIST);
    g.id_gone = true;
    assert_int_equal(api__guard_add(&g, urls, 1, true), OAK_EMEMBERNOTFOUND);
    g.members[1].connected = false;
    assert_int_equal(api__guard_add(&g, urls, 1, true), OAK_EUNHEALTHY);
}

static void nobody_is_added_while_a_voter_is_away(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    g.members[2].connected = false;
    assert_int_equal(add(&g), OAK_EUNHEALTHY);
    assert_int_equal(api__guard_add(&g, fresh, 1, true), OAK_EUNHEALTHY);
    g.members[2].learner = true;
    assert_int_equal(add(&g), 0);
}

static void an_address_has_one_member(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    const char *const both[] = {"http://e:1", "http://c:1"};
    assert_int_equal(api__guard_add(&g, both, 2, false), OAK_EPEERURLEXIST);
    assert_int_equal(api__guard_update(&g, 1, both, 2), OAK_EPEERURLEXIST);
    assert_int_equal(api__guard_update(&g, 3, both, 2), 0);
    assert_int_equal(api__guard_update(&g, 9, both, 2), OAK_EMEMBERNOTFOUND);
}

static void learners_are_counted(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    assert_int_equal(api__guard_add(&g, fresh, 1, true), 0);
    g.members[2].learner = true;
    assert_int_equal(api__guard_add(&g, fresh, 1, true), OAK_ETOOMANYLEARNERS);
    assert_int_equal(api__guard_add(&g, fresh, 1, false), 0);
    g.learners_max = 2;
    assert_int_equal(api__guard_add(&g, fresh, 1, true), 0);
}

static void whom_the_others_need_is_not_removed(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    assert_int_equal(api__guard_remove(&g, 9), OAK_EMEMBERNOTFOUND);
    assert_int_equal(api__guard_remove(&g, 2), 0);
    assert_int_equal(api__guard_remove(&g, 1), 0);
    g.members[2].connected = g.members[2].active = false;
    assert_int_equal(api__guard_remove(&g, 2), OAK_EUNHEALTHY);
    assert_int_equal(api__guard_remove(&g, 1), OAK_EUNHEALTHY);
    assert_int_equal(api__guard_remove(&g, 3), 0); /* the one that is down */
    g.strict = false;
    assert_int_equal(api__guard_remove(&g, 2), 0);
    g.strict = true;
    g.members[2].started = false;
    assert_int_equal(api__guard_remove(&g, 2), OAK_EMEMBERNOTENOUGHSTARTED);
    assert_int_equal(api__guard_remove(&g, 3), 0);
}

static void the_last_voter_stays(void **state)
{
    (void)state;
    struct api_guard g = group(2);
    g.members[1].learner = true;
    assert_int_equal(api__guard_remove(&g, 1), OAK_EMEMBERNOTENOUGHSTARTED);
    assert_int_equal(api__guard_remove(&g, 2), 0);
    g.strict = false;
    assert_int_equal(api__guard_remove(&g, 1), OAK_EMEMBERNOTENOUGHSTARTED);
}

static void a_learner_is_promoted_once_it_has_caught_up(void **state)
{
    (void)state;
    struct api_guard g = group(3);
    assert_int_equal(api__guard_promote(&g, 9, true), OAK_EMEMBERNOTFOUND);
    assert_int_equal(api__guard_promote(&g, 3, true), OAK_EMEMBERNOTLEARNER);
    g.members[2].started = false;
    assert_int_equal(api__guard_promote(&g, 3, true), OAK_ELEARNERNOTREADY);
    g.members[2].started = true;
    g.members[2].learner = true;
    assert_int_equal(api__guard_promote(&g, 3, false), OAK_ELEARNERNOTREADY);
    assert_int_equal(api__guard_promote(&g, 3, true), 0);
    g.members[0].started = g.members[1].started = false;
    assert_int_equal(api__guard_promote(&g, 3, true), OAK_EMEMBERNOTENOUGHSTARTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_voter_is_added_to_those_that_are_well),
        cmocka_unit_test(a_voter_that_never_started_stands_in_the_way_of_the_next),
        cmocka_unit_test(an_id_that_is_there_or_was_is_told_before_its_urls),
        cmocka_unit_test(nobody_is_added_while_a_voter_is_away),
        cmocka_unit_test(an_address_has_one_member),
        cmocka_unit_test(learners_are_counted),
        cmocka_unit_test(whom_the_others_need_is_not_removed),
        cmocka_unit_test(the_last_voter_stays),
        cmocka_unit_test(a_learner_is_promoted_once_it_has_caught_up),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
