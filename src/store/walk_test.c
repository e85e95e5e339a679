/* SPDX-License-Identifier: Apache-2.0 */
/* walk_test.c: a walk gives what was committed when it began, in order, and nothing else. */
#include "store/test_help.h"

struct seen {
    struct oak_buf text;
    int fail_at; /* record that is answered by an error; -1: none */
    int count;
};

static int tell(struct seen *seen, const char *line)
{
    if (seen->count++ == seen->fail_at) {
        return OAK_ELIMIT;
    }
    return oak_buf_append(&seen->text, line, strlen(line));
}

static int see_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    char line[128];
    snprintf(line, sizeof(line), "%.*s=%.*s ", (int)key.size, (const char *)key.data,
             (int)data.size, (const char *)data.data);
    return tell(arg, line);
}

static int see_version(void *arg, struct oak_store_rev rev, bool deleted,
                       const struct oak_store_kv *kv)
{
    char line[128];
    snprintf(line, sizeof(line), "%.*s@%lld.%lld%s%.*s ", (int)kv->key.size,
             (const char *)kv->key.data, (long long)rev.main, (long long)rev.sub,
             deleted ? " gone" : ":", (int)kv->value.size, (const char *)kv->value.data);
    return tell(arg, line);
}

static struct oak_store_walk *begin(struct test_store *t, struct seen *seen)
{
    const struct oak_store_visitor visitor = {
        .meta = see_meta, .version = see_version, .arg = seen};
    struct oak_store_walk *w = NULL;
    assert_int_equal(oak_store_walk_begin(t->s, &visitor, &w), 0);
    return w;
}

static void fill(struct test_store *t)
{
    test_put(t, 2, "a", "one", 2, 1);
    test_put(t, 3, "b", "two", 3, 1);
    test_put(t, 4, "a", "three", 2, 2);
    test_del(t, 5, "b");
    assert_int_equal(oak_store_meta_put(t->s, oak_bytes_str("m"), oak_bytes_str("n")), 0);
    test_commit(t, 9, 5, -1);
}

static void expect(struct seen *seen, const char *text)
{
    assert_true(oak_bytes_eq(oak_buf_bytes(&seen->text), oak_bytes_str(text)));
    oak_buf_fini(&seen->text);
}

static void it_is_one_view_whatever_is_written(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        struct seen seen = {.fail_at = -1};
        test_store_init(&t, &test_engines[engine]);
        fill(&t);
        struct oak_store_walk *w = begin(&t, &seen);
        assert_int_equal(oak_store_walk_state(w)->applied, 9);
        assert_int_equal(oak_store_walk_error(w), OAK_EAGAIN);
        test_put(&t, 6, "c", "late", 6, 1);
        test_commit(&t, 10, 6, 4);
        test_reclaim_all(&t, 100);
        while (!oak_store_walk_run(w, 1)) {
        }
        assert_int_equal(oak_store_walk_error(w), 0);
        assert_int_equal(oak_store_walk_state(w)->revision, 5);
        oak_store_walk_end(w);
        expect(&seen, "m=n a@4.0:three a@2.0:one b@5.0 gone b@3.0:two ");
        test_store_fini(&t);
    }
}

static void what_the_floor_hides_is_left_out(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        struct seen seen = {.fail_at = -1};
        test_store_init(&t, &test_engines[engine]);
        fill(&t);
        test_commit(&t, 10, 5, 4);
        struct oak_store_walk *w = begin(&t, &seen);
        assert_true(oak_store_walk_run(w, SIZE_MAX));
        assert_int_equal(oak_store_walk_error(w), 0);
        oak_store_walk_end(w);
        expect(&seen, "m=n a@4.0:three b@5.0 gone b@3.0:two ");
        test_store_fini(&t);
    }
}

static void a_visitor_that_fails_ends_it(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        for (int at = 0; at < 5; at += 2) {
            struct test_store t;
            struct seen seen = {.fail_at = at};
            test_store_init(&t, &test_engines[engine]);
            fill(&t);
            struct oak_store_walk *w = begin(&t, &seen);
            assert_true(oak_store_walk_run(w, SIZE_MAX));
            assert_true(oak_store_walk_run(w, SIZE_MAX));
            assert_int_equal(oak_store_walk_error(w), OAK_ELIMIT);
            assert_int_equal(seen.count, at + 1);
            oak_store_walk_end(w);
            oak_buf_fini(&seen.text);
            test_store_fini(&t);
        }
    }
}

/* Other contents take the place of those that are walked. */
static void it_goes_on_through_a_restore(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        struct test_store other;
        struct seen seen = {.fail_at = -1};
        test_store_init(&t, &test_engines[engine]);
        test_store_init(&other, &test_engines[engine]);
        fill(&t);
        test_put(&other, 2, "z", "other", 2, 1);
        test_commit(&other, 30, 2, -1);
        struct oak_buf stream = test_snapshot(&other, 1000);
        struct oak_store_walk *w = begin(&t, &seen);
        assert_false(oak_store_walk_run(w, 1));
        assert_int_equal(test_restore(&t, oak_buf_bytes(&stream), 1000), 0);
        assert_string_equal(test_get(&t, "z", 0), "other");
        while (!oak_store_walk_run(w, 1)) {
        }
        assert_int_equal(oak_store_walk_error(w), 0);
        oak_store_walk_end(w);
        expect(&seen, "m=n a@4.0:three a@2.0:one b@5.0 gone b@3.0:two ");
        oak_buf_fini(&stream);
        test_store_fini(&other);
        test_store_fini(&t);
    }
}

static void one_that_is_given_up_leaves_nothing_behind(void **state)
{
    (void)state;
    for (size_t engine = 0; engine < TEST_ENGINES; engine++) {
        struct test_store t;
        struct seen seen = {.fail_at = -1};
        test_store_init(&t, &test_engines[engine]);
        fill(&t);
        struct oak_store_walk *w = begin(&t, &seen);
        assert_false(oak_store_walk_run(w, 1));
        oak_store_walk_end(w);
        oak_buf_fini(&seen.text);
        test_store_fini(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_one_view_whatever_is_written),
        cmocka_unit_test(what_the_floor_hides_is_left_out),
        cmocka_unit_test(a_visitor_that_fails_ends_it),
        cmocka_unit_test(it_goes_on_through_a_restore),
        cmocka_unit_test(one_that_is_given_up_leaves_nothing_behind),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}
