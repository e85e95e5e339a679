/* SPDX-License-Identifier: Apache-2.0 */
/* The judge of a run sees what is planted: in histories, in logs, in what nodes claim. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "chaos/internal.h"

struct world {
    struct chaos *c;
    struct oak_chaos_report report;
    struct oak_chaos_options options;
    char dir[64];
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    w->c = calloc(1, sizeof(*w->c));
    w->c->options = &w->options;
    w->c->report = &w->report;
    w->c->count = 3;
    w->c->keys = 10;
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-judge-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    for (int i = 0; i < w->c->count; i++) {
        struct chaos__node *n = &w->c->nodes[i];
        n->chaos = w->c;
        n->index = i;
        snprintf(n->name, sizeof(n->name), "n%d", i + 1);
        snprintf(n->log, sizeof(n->log), "%s/n%d.log", w->dir, i + 1);
        FILE *file = fopen(n->log, "w");
        assert_non_null(file);
        fputs("2026-01-01T00:00:00Z info  member 00000000000000aa leads in term 3\n"
              "2026-01-01T00:00:01Z warn  no leader is known in term 4\n",
              file);
        fclose(file);
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < w->c->count; i++) {
        unlink(w->c->nodes[i].log);
    }
    assert_int_equal(rmdir(w->dir), 0);
    history_fini(&w->c->history);
    free(w->c->terms);
    free(w->c);
    free(w);
    return 0;
}

static void plant(struct world *w, const struct op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        history_add(&w->c->history, &ops[i]);
    }
    chaos__judge(w->c);
}

static bool says(const struct world *w, const char *what)
{
    return w->report.violation_count == 1 && strstr(w->report.violations[0], what) != NULL;
}

static void a_good_history_passes(void **state)
{
    struct world *w = *state;
    const struct op ops[] = {
        {.kind = OP_PUT, .key = 1, .arg = 10, .revision = 2, .call = 1, .ret = 2},
        {.kind = OP_PUT, .key = 1, .arg = 11, .revision = 3, .call = 3, .ret = UINT64_MAX},
        {.kind = OP_GET, .key = 1, .result = 10, .version = 1, .revision = 2, .call = 4, .ret = 5},
        {.kind = OP_PEEK, .key = 1, .life = 1, .revision = 1, .call = 6, .ret = 7},
    };
    plant(w, ops, OAK_COUNT_OF(ops));
    assert_int_equal(w->report.violation_count, 0);
    assert_int_equal(w->report.serializable_reads, 1);
    assert_int_equal(w->report.terms, 1);
}

static void a_stale_read_is_seen(void **state)
{
    struct world *w = *state;
    const struct op ops[] = {
        {.kind = OP_PUT, .key = 1, .arg = 10, .call = 1, .ret = 2},
        {.kind = OP_PUT, .key = 1, .arg = 11, .call = 3, .ret = 4},
        {.kind = OP_GET, .key = 1, .node = 2, .result = 10, .version = 1, .call = 5, .ret = 6},
    };
    plant(w, ops, OAK_COUNT_OF(ops));
    assert_true(says(w, "linearizability: key 1"));
}

static void an_acknowledged_write_that_is_lost_is_seen(void **state)
{
    struct world *w = *state;
    const struct op ops[] = {
        {.kind = OP_PUT, .key = 1, .arg = 10, .call = 1, .ret = 2},
        {.kind = OP_GET, .key = 1, .client = 1002, .node = 2, .call = 100, .ret = 101},
    };
    plant(w, ops, OAK_COUNT_OF(ops));
    assert_true(says(w, "linearizability: key 1"));
}

static void a_revision_that_is_told_twice_is_seen(void **state)
{
    struct world *w = *state;
    const struct op ops[] = {
        {.kind = OP_PUT, .key = 1, .arg = 10, .revision = 5, .call = 1, .ret = 3},
        {.kind = OP_PUT, .key = 2, .arg = 11, .revision = 5, .call = 2, .ret = 4},
    };
    plant(w, ops, OAK_COUNT_OF(ops));
    assert_true(says(w, "revisions: "));
}

static void a_serializable_read_of_what_nobody_wrote_is_seen(void **state)
{
    struct world *w = *state;
    const struct op ops[] = {
        {.kind = OP_PEEK, .key = 1, .life = 1, .result = 7, .revision = 5, .call = 1, .ret = 3},
    };
    plant(w, ops, OAK_COUNT_OF(ops));
    assert_true(says(w, "serializable reads: "));
}

static void two_keys_of_a_transaction_that_are_seen_apart_are_seen(void **state)
{
    struct world *w = *state;
    char digits[] = "7";
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__KeyValue *kvs[] = {&kv};
    Etcdserverpb__RangeResponse there = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__RangeResponse absent = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__ResponseOp steps[2] = {ETCDSERVERPB__RESPONSE_OP__INIT,
                                         ETCDSERVERPB__RESPONSE_OP__INIT};
    Etcdserverpb__ResponseOp *responses[2] = {&steps[0], &steps[1]};
    Etcdserverpb__TxnResponse txn = ETCDSERVERPB__TXN_RESPONSE__INIT;
    const struct op look = {.kind = OP_LOOK, .key = 3};
    kv.value = oak_proto_binary(oak_bytes_str(digits));
    there.n_kvs = 1;
    there.kvs = kvs;
    for (size_t i = 0; i < 2; i++) {
        steps[i].response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        steps[i].response_range = &there;
    }
    txn.n_responses = 2;
    txn.responses = responses;
    chaos__pair_judge(w->c, &look, &txn);
    assert_int_equal(w->report.violation_count, 0);
    steps[1].response_range = &absent;
    chaos__pair_judge(w->c, &look, &txn);
    assert_true(says(w, "transactions: "));
}

static void two_leaders_of_a_term_are_seen(void **state)
{
    struct world *w = *state;
    chaos__leader_claim(w->c, 7, 1, "n1");
    chaos__leader_claim(w->c, 5, 2, "n1");
    chaos__leader_claim(w->c, 6, 3, "n2");
    chaos__leader_claim(w->c, 7, 1, "n3");
    assert_int_equal(w->report.violation_count, 0);
    assert_int_equal(w->c->term_count, 3);
    chaos__leader_claim(w->c, 5, 3, "n2");
    assert_true(says(w, "one leader a term: term 5"));
}

static void two_leaders_of_a_term_in_the_logs_are_seen(void **state)
{
    struct world *w = *state;
    FILE *file = fopen(w->c->nodes[1].log, "a");
    assert_non_null(file);
    fputs("2026-01-01T00:00:02Z info  member 00000000000000bb leads in term 3\n", file);
    fclose(file);
    plant(w, NULL, 0);
    assert_true(says(w, "one leader a term: term 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_good_history_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stale_read_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(an_acknowledged_write_that_is_lost_is_seen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_revision_that_is_told_twice_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(a_serializable_read_of_what_nobody_wrote_is_seen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(two_keys_of_a_transaction_that_are_seen_apart_are_seen,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(two_leaders_of_a_term_are_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(two_leaders_of_a_term_in_the_logs_are_seen, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("chaos/judge", tests, NULL, NULL);
}
