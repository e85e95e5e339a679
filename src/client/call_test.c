/* SPDX-License-Identifier: Apache-2.0 */
/* call_test.c: requests and answers, who the client is, and how calls end. */
#include "client/test_world.h"

static const struct oak_client_options somebody = {.user = "u", .password = "pw"};

static void an_answer_is_told_once_whole(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    world_open(&w, NULL);
    get(&w, &t);
    run(&w);
    told_is(&t, 0);
    assert_string_equal(t.value, "3+0@7");
    assert_int_equal(t.header.revision, 9);
    assert_int_equal(t.number, 3);
    assert_true(t.more);
    asked(&w, "range: ");
    world_close(&w);
}

/* key+range_end, in bytes, as the server sees them; and the key of an empty span. */
static void spans_are_ranges_of_the_api(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        enum oak_client_span span;
        const char *seen;
    } cases[] = {
        {"key", OAK_CLIENT_ONE, "3+0@7"},
        {"key", OAK_CLIENT_PREFIX, "3+3@7"},
        {"k\xff\xff", OAK_CLIENT_PREFIX, "3+1@7"},
        {"\xff", OAK_CLIENT_PREFIX, "1+1@7"},
        {"", OAK_CLIENT_PREFIX, "1+1@7"},
        {"", OAK_CLIENT_FROM, "1+1@7"},
        {"key", OAK_CLIENT_FROM, "3+1@7"},
        {"a", OAK_CLIENT_UNTIL, "1+2@7"},
        {"", OAK_CLIENT_ONE, "0+0@7"},
    };
    struct world w;
    world_open(&w, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct told t = {0};
        struct oak_client_op op = oak_client_get(oak_bytes_str(cases[i].key));
        op.span = cases[i].span;
        op.end = oak_bytes_str("zz");
        assert_int_equal(oak_client_do(w.client, &op, 0, told_done, &t, NULL), 0);
        run(&w);
        told_is(&t, 0);
        assert_string_equal(t.value, cases[i].seen);
    }
    world_close(&w);
}

static void what_no_server_understands_is_not_sent(void **state)
{
    (void)state;
    struct world w;
    struct told t = {0};
    world_open(&w, NULL);
    struct oak_client_op put = oak_client_put(oak_bytes_str("k"), oak_bytes_str("v"));
    put.span = OAK_CLIENT_PREFIX;
    assert_int_equal(oak_client_do(w.client, &put, 0, told_done, &t, NULL), OAK_EINVAL);
    struct oak_client_op order = oak_client_get(oak_bytes_str("k"));
    order.by = OAK_CLIENT_LEASE;
    assert_int_equal(oak_client_do(w.client, &order, 0, told_done, &t, NULL), OAK_EINVAL);
    struct oak_client_txn txns[OAK_CLIENT_DEPTH_MAX + 1];
    struct oak_client_op ops[OAK_CLIENT_DEPTH_MAX + 1];
    for (size_t i = 0; i <= OAK_CLIENT_DEPTH_MAX; i++) {
        txns[i] =
            (struct oak_client_txn){.success = i > 0 ? &ops[i - 1] : NULL, .success_count = i > 0};
        ops[i] = oak_client_transact(&txns[i]);
    }
    assert_int_equal(oak_client_do(w.client, &ops[OAK_CLIENT_DEPTH_MAX], 0, told_done, &t, NULL),
                     OAK_EINVAL);
    const struct oak_client_compare compare = {.target = OAK_CLIENT_KEY};
    const struct oak_client_txn bad = {.compares = &compare, .compare_count = 1};
    const struct oak_client_op op = oak_client_transact(&bad);
    assert_int_equal(oak_client_do(w.client, &op, 0, told_done, &t, NULL), OAK_EINVAL);
    run(&w);
    assert_int_equal(t.count, 0);
    asked(&w, "");
    world_close(&w);
}

static void endpoints_that_are_none_are_told(void **state)
{
    (void)state;
    static const char *const texts[] = {"",       "a:1,,b:2", "http://",        "a b:1",
                                        "a:1/v3", "user@a:1", "a:1,https://b:2"};
    struct fake_loop loop;
    fake_loop_init(&loop);
    for (size_t i = 0; i < OAK_COUNT_OF(texts); i++) {
        struct oak_client *client;
        struct oak_errbuf e = {{0}};
        assert_int_equal(oak_client_new(&loop.port, texts[i], NULL, &client, &e), OAK_EINVAL);
        assert_non_null(strstr(e.text, "127.0.0.1:2379"));
    }
    static const char *const good[] = {"a:1", "http://a:1/,b:2", "ipv4:1.2.3.4:5"};
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        struct oak_client *client;
        assert_int_equal(oak_client_new(&loop.port, good[i], NULL, &client, NULL), 0);
        oak_client_free(client);
    }
    const struct oak_client_options encrypted = {.net = &loop.port.net};
    struct oak_client *safe;
    assert_int_equal(oak_client_new(&loop.port, "https://b:2", &encrypted, &safe, NULL), 0);
    oak_client_free(safe);
    const struct oak_client_options both = {.user = "u", .token = "t"};
    struct oak_client *client;
    assert_int_equal(oak_client_new(&loop.port, "a:1", &both, &client, NULL), OAK_EINVAL);
    fake_loop_fini(&loop);
}

static void a_status_is_one_of_our_codes(void **state)
{
    (void)state;
    static const struct {
        enum oak_rpc_code code;
        const char *text;
        int error;
    } cases[] = {
        {OAK_RPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted",
         OAK_ECOMPACTED},
        {OAK_RPC_OUT_OF_RANGE, "something else", OAK_EREMOTE},
        {OAK_RPC_RESOURCE_EXHAUSTED, "", OAK_ELIMIT},
        {OAK_RPC_INTERNAL, "boom", OAK_EREMOTE},
    };
    struct world w;
    world_open(&w, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct told t;
        w.code = cases[i].code;
        w.text = cases[i].text;
        get(&w, &t);
        run(&w);
        told_is(&t, cases[i].error);
        assert_string_equal(t.message, cases[i].text);
    }
    world_close(&w);
}

static void a_call_ends_at_its_deadline_by_cancelling_or_with_the_client(void **state)
{
    (void)state;
    struct world w;
    struct told late;
    struct told cancelled;
    struct told left;
    world_open(&w, NULL);
    w.hold = true;
    get(&w, &late);
    pass(&w, 5 * SECOND + SECOND / 10);
    told_is(&late, OAK_EDEADLINE);
    oak_client_cancel(get(&w, &cancelled));
    assert_int_equal(cancelled.count, 0);
    run(&w);
    told_is(&cancelled, OAK_ECANCELED);
    get(&w, &left);
    run(&w);
    w.heard[0] = '\0';
    oak_client_free(w.client);
    told_is(&left, OAK_ECANCELED);
    w.client = NULL;
    world_close(&w);
}

static void without_a_server_a_call_waits_and_is_told_why(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    world_open(&w, NULL);
    w.loop.connect_error = OAK_EREFUSED;
    get(&w, &t);
    pass(&w, 4 * SECOND);
    assert_int_equal(t.count, 0);
    pass(&w, 2 * SECOND);
    told_is(&t, OAK_EUNREACHABLE);
    assert_non_null(strstr(t.message, "refused"));
    get(&w, &t);
    w.loop.connect_error = 0; /* there it is */
    pass(&w, 4 * SECOND);
    told_is(&t, 0);
    world_close(&w);

    const struct oak_client_options hasty = {.fail_fast = true};
    world_open(&w, &hasty);
    w.loop.connect_error = OAK_EREFUSED;
    get(&w, &t);
    run(&w);
    told_is(&t, OAK_EUNREACHABLE);
    world_close(&w);
}

/* -- who it is --------------------------------------------------------------------------------- */

static void calls_wait_for_one_token(void **state)
{
    (void)state;
    struct world w;
    struct told a;
    struct told b;
    world_open(&w, &somebody);
    w.auth = true;
    w.login_hold = true;
    get(&w, &a);
    get(&w, &b);
    run(&w);
    asked(&w, "login:u/pw ");
    login_answer(&w, w.login);
    run(&w);
    told_is(&a, 0);
    told_is(&b, 0);
    asked(&w, "range:T1 range:T1 ");
    world_close(&w);
}

static void a_token_that_has_ended_is_had_anew_once_for_all(void **state)
{
    (void)state;
    struct world w;
    struct told a;
    struct told b;
    world_open(&w, &somebody);
    w.auth = true;
    get(&w, &a);
    run(&w);
    asked(&w, "login:u/pw range:T1 ");
    w.tokens = 5; /* T1 is good no more */
    get(&w, &a);
    get(&w, &b);
    run(&w);
    told_is(&a, 0);
    told_is(&b, 0);
    asked(&w, "range:T1 range:T1 login:u/pw range:T6 range:T6 ");
    world_close(&w);
}

static void a_server_that_refuses_each_token_is_believed_in_the_end(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    world_open(&w, &somebody);
    w.text = oak_error_text(OAK_EINVALIDAUTHTOKEN);
    w.code = OAK_RPC_UNAUTHENTICATED;
    get(&w, &t);
    run(&w);
    told_is(&t, OAK_EINVALIDAUTHTOKEN);
    asked(&w, "login:u/pw range:T1 login:u/pw range:T2 login:u/pw range:T3 ");
    world_close(&w);
}

static void without_auth_nobody_needs_a_token(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    world_open(&w, &somebody);
    w.login_text = oak_error_text(OAK_EAUTHNOTENABLED);
    get(&w, &t);
    run(&w);
    told_is(&t, 0);
    asked(&w, "login:u/pw range: ");
    get(&w, &t);
    run(&w);
    asked(&w, "range: "); /* it is not asked for again */
    w.login_text = NULL;
    w.auth = true; /* until auth is enabled */
    get(&w, &t);
    run(&w);
    told_is(&t, 0);
    asked(&w, "range: login:u/pw range:T1 ");
    world_close(&w);
}

static void a_login_that_is_refused_is_told_to_all_that_wait_and_tried_again(void **state)
{
    (void)state;
    struct world w;
    struct told a;
    struct told b;
    world_open(&w, &somebody);
    w.auth = true;
    w.login_text = "no";
    get(&w, &a);
    get(&w, &b);
    run(&w);
    told_is(&a, OAK_EREMOTE);
    told_is(&b, OAK_EREMOTE);
    assert_string_equal(a.message, "no");
    asked(&w, "login:u/pw ");
    w.login_text = NULL;
    get(&w, &a);
    run(&w);
    told_is(&a, 0);
    world_close(&w);
}

static void who_waits_for_a_token_can_be_cancelled_and_has_a_deadline(void **state)
{
    (void)state;
    struct world w;
    struct told cancelled;
    struct told late = {0};
    struct told left;
    world_open(&w, &somebody);
    w.login_hold = true;
    oak_client_cancel(get(&w, &cancelled));
    run(&w);
    told_is(&cancelled, OAK_ECANCELED);
    const struct oak_client_op op = oak_client_get(oak_bytes_str("k"));
    assert_int_equal(oak_client_do(w.client, &op, SECOND, told_done, &late, NULL), 0);
    pass(&w, SECOND);
    told_is(&late, OAK_EDEADLINE);
    get(&w, &left);
    oak_client_free(w.client);
    told_is(&left, OAK_ECANCELED);
    w.client = NULL;
    asked(&w, "login:u/pw ");
    oak_stub_finish(w.login, OAK_RPC_UNAVAILABLE, NULL);
    world_close(&w);
}

static void a_token_that_no_call_can_show_is_refused(void **state)
{
    (void)state;
    static const char *const tokens[] = {"T 1", "T1\n", "\x80", "T1\x7f"};
    for (size_t i = 0; i < OAK_COUNT_OF(tokens); i++) {
        struct world w;
        struct told t;
        world_open(&w, &somebody);
        w.login_token = tokens[i];
        get(&w, &t);
        run(&w);
        told_is(&t, OAK_EREMOTE);
        asked(&w, "login:u/pw ");
        const struct oak_client_options given = {.token = tokens[i]};
        struct oak_client *none;
        struct oak_errbuf e = {{0}};
        assert_int_equal(oak_client_new(&w.loop.port, "fake:1", &given, &none, &e), OAK_EINVAL);
        assert_non_null(strstr(e.text, "token"));
        world_close(&w);
    }
}

static void a_token_that_was_given_is_shown(void **state)
{
    (void)state;
    struct world w;
    struct told t;
    const struct oak_client_options given = {.token = "T7"};
    world_open(&w, &given);
    w.auth = true;
    w.tokens = 7;
    get(&w, &t);
    run(&w);
    told_is(&t, 0);
    w.tokens = 8; /* nobody can have another one */
    get(&w, &t);
    run(&w);
    told_is(&t, OAK_EINVALIDAUTHTOKEN);
    asked(&w, "range:T7 range:T7 ");
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_is_told_once_whole),
        cmocka_unit_test(spans_are_ranges_of_the_api),
        cmocka_unit_test(what_no_server_understands_is_not_sent),
        cmocka_unit_test(endpoints_that_are_none_are_told),
        cmocka_unit_test(a_status_is_one_of_our_codes),
        cmocka_unit_test(a_call_ends_at_its_deadline_by_cancelling_or_with_the_client),
        cmocka_unit_test(without_a_server_a_call_waits_and_is_told_why),
        cmocka_unit_test(calls_wait_for_one_token),
        cmocka_unit_test(a_token_that_has_ended_is_had_anew_once_for_all),
        cmocka_unit_test(a_server_that_refuses_each_token_is_believed_in_the_end),
        cmocka_unit_test(without_auth_nobody_needs_a_token),
        cmocka_unit_test(a_login_that_is_refused_is_told_to_all_that_wait_and_tried_again),
        cmocka_unit_test(who_waits_for_a_token_can_be_cancelled_and_has_a_deadline),
        cmocka_unit_test(a_token_that_no_call_can_show_is_refused),
        cmocka_unit_test(a_token_that_was_given_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
