/* SPDX-License-Identifier: Apache-2.0 */
/* metadata_test.c: what is said beside messages: pairs in their order, names, statuses with
 * details. */
#include <stdio.h>

#include "rpc/test_attack.h"
#include "rpc/test_script.h"

/* -- a handler that looks ---------------------------------------------------------------------- */

struct look {
    struct oak_buf headers; /* "name=value;" of what was iterated over */
    struct oak_buf trailers;
    struct oak_buf details;
    char text[5000];
    char authority[64];
    enum oak_rpc_code code;
    int closed;
    struct oak_rpc_call *call;
};

static void list(const struct oak_rpc_call *call, enum oak_rpc_part part, struct oak_buf *out)
{
    struct oak_rpc_pair pair;
    size_t at = 0;
    oak_buf_clear(out);
    while (oak_rpc_call_metadata_next(call, part, &at, &pair)) {
        assert_int_equal(oak_buf_append(out, pair.name.data, pair.name.size), 0);
        assert_int_equal(oak_buf_append(out, "=", 1), 0);
        assert_int_equal(oak_buf_append(out, pair.value.data, pair.value.size), 0);
        assert_int_equal(oak_buf_append(out, ";", 1), 0);
    }
    assert_false(oak_rpc_call_metadata_next(call, part, &at, &pair));
}

static bool is(const struct oak_buf *b, const char *text)
{
    return oak_bytes_eq(oak_buf_bytes(b), oak_bytes_str(text));
}

static void look_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)b;
    struct look *l = user;
    list(call, OAK_RPC_TRAILERS, &l->trailers);
    assert_int_equal(l->trailers.size, 0); /* not yet */
}

static void look_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct look *l = user;
    l->closed++;
    l->code = status->code;
    l->call = NULL;
    list(call, OAK_RPC_HEADERS, &l->headers);
    list(call, OAK_RPC_TRAILERS, &l->trailers);
    oak_buf_clear(&l->details);
    assert_int_equal(oak_buf_append(&l->details, status->details.data, status->details.size), 0);
    assert_true(status->message.size < sizeof(l->text));
    if (status->message.size > 0) {
        memcpy(l->text, status->message.data, status->message.size);
    }
    l->text[status->message.size] = '\0';
}

static const struct oak_rpc_handler looker = {.message = look_message, .closed = look_closed};

static void look_start(void *user, struct oak_rpc_call *call)
{
    struct look *l = user;
    l->call = call;
    list(call, OAK_RPC_HEADERS, &l->headers);
    struct oak_bytes authority = oak_rpc_call_authority(call);
    assert_true(authority.size < sizeof(l->authority));
    memcpy(l->authority, authority.data, authority.size);
    l->authority[authority.size] = '\0';
    oak_rpc_call_handle(call, &looker, l);
}

static void look_fini(struct look *l)
{
    oak_buf_fini(&l->headers);
    oak_buf_fini(&l->trailers);
    oak_buf_fini(&l->details);
}

static void look_add(struct oak_rpc_server *server, struct look *l)
{
    const struct oak_rpc_method method = {
        .service = "t.Look", .name = "Bidi", .kind = OAK_RPC_BIDI, .start = look_start, .user = l};
    assert_int_equal(oak_rpc_server_add(server, &method), 0);
}

static void look_call(struct pair *p, const struct oak_rpc_pair *pairs, size_t count,
                      struct look *l)
{
    struct oak_rpc_request request = {.service = "t.Look",
                                      .method = "Bidi",
                                      .metadata = pairs,
                                      .metadata_count = count,
                                      .handler = &looker,
                                      .user = l};
    l->closed = 0;
    assert_int_equal(oak_rpc_conn_call(p->client_conn, &request, p->now_ns, &l->call), 0);
    pair_run(p);
}

static struct oak_rpc_pair text_pair(const char *name, const char *value)
{
    return (struct oak_rpc_pair){oak_bytes_str(name), oak_bytes_str(value)};
}

/* -- pairs ------------------------------------------------------------------------------------- */

static void every_pair_comes_in_its_order(void **state)
{
    (void)state;
    struct pair p;
    struct look server = {0};
    struct look client = {0};
    pair_open(&p, NULL, NULL);
    look_add(p.server, &server);
    const struct oak_rpc_pair pairs[] = {text_pair("a", "1"), text_pair("b-bin", "x,y"),
                                         text_pair("a", "2"), text_pair("b-bin", "z"),
                                         text_pair("c", "")};
    look_call(&p, pairs, OAK_COUNT_OF(pairs), &client);
    assert_true(is(&server.headers,
                   "user-agent=oakum-grpc/" OAK_TEST_VERSION ";a=1;b-bin=x,y;a=2;b-bin=z;c=;"));
    assert_string_equal(server.authority, "server:2");
    assert_true(oak_bytes_eq(oak_rpc_call_authority(client.call), oak_bytes_str("server:2")));
    assert_int_equal(oak_rpc_call_add_header(server.call, text_pair("h", "1")), 0);
    assert_int_equal(oak_rpc_call_add_header(server.call, text_pair("h", "2")), 0);
    assert_int_equal(oak_rpc_call_add_trailer(server.call, text_pair("t", "3")), 0);
    assert_int_equal(oak_rpc_call_add_trailer(server.call, text_pair("h", "4")), 0);
    assert_int_equal(
        oak_rpc_call_add_trailer(server.call, text_pair("grpc-retry-pushback-ms", "70")), 0);
    assert_int_equal(oak_rpc_call_add_trailer(server.call, text_pair("grpc-status", "70")),
                     OAK_EINVAL);
    send_text(server.call, "message");
    pair_run(&p);
    oak_rpc_call_finish(server.call, OAK_RPC_OK, NULL);
    pair_run(&p);
    assert_int_equal(client.closed, 1);
    assert_true(is(&client.headers, "h=1;h=2;"));
    assert_true(is(&client.trailers, "t=3;h=4;grpc-retry-pushback-ms=70;"));
    look_fini(&server);
    look_fini(&client);
    pair_close(&p);
}

static void an_answer_that_is_only_a_status_has_only_trailers(void **state)
{
    (void)state;
    struct pair p;
    struct look server = {0};
    struct look client = {0};
    pair_open(&p, NULL, NULL);
    look_add(p.server, &server);
    look_call(&p, NULL, 0, &client);
    assert_int_equal(oak_rpc_call_add_header(server.call, text_pair("h", "1")), 0);
    assert_int_equal(oak_rpc_call_add_trailer(server.call, text_pair("t", "2")), 0);
    oak_rpc_call_finish(server.call, OAK_RPC_ABORTED, NULL);
    pair_run(&p);
    assert_int_equal(client.code, OAK_RPC_ABORTED);
    assert_int_equal(client.headers.size, 0);
    assert_true(is(&client.trailers, "h=1;t=2;"));
    look_fini(&server);
    look_fini(&client);
    pair_close(&p);
}

static void joined_binary_values_come_one_by_one(void **state)
{
    (void)state;
    struct attack a;
    struct look l = {0};
    attack_open(&a, NULL);
    look_add(a.server, &l);
    const struct field joined = {"k-bin", "YQ,YmI=,,Y2Nj"};
    request(&a, 1, "/t.Look/Bidi", 0, &joined, 1);
    assert_int_equal(strike(&a), 0);
    assert_true(is(&l.headers, "k-bin=a;k-bin=bb;k-bin=;k-bin=ccc;"));
    assert_string_equal(l.authority, "a");
    oak_rpc_call_finish(l.call, OAK_RPC_OK, NULL);
    attack_close(&a);
    look_fini(&l);
}

static void a_request_through_a_proxy_of_http_1_names_a_host(void **state)
{
    (void)state;
    struct attack a;
    struct look l = {0};
    attack_open(&a, NULL);
    look_add(a.server, &l);
    const struct field fields[] = {{":method", "POST"},
                                   {":scheme", "http"},
                                   {":path", "/t.Look/Bidi"},
                                   {"host", "store.example"},
                                   {"content-type", "application/grpc"},
                                   {"te", "trailers"}};
    uint8_t bytes[512];
    size_t size = block(&a, fields, OAK_COUNT_OF(fields), bytes, sizeof(bytes));
    frame(&a, HEADERS, END_HEADERS, 1, bytes, size);
    assert_int_equal(strike(&a), 0);
    assert_string_equal(l.authority, "store.example");
    attack_close(&a);
    look_fini(&l);
}

static void headers_of_a_first_informational_answer_are_not_the_answers(void **state)
{
    (void)state;
    struct script s;
    struct look l = {0};
    struct oak_rpc_conn *conn;
    const struct script_field hint[] = {{":status", "103"}, {"link", "</style.css>"}};
    const struct script_field head[] = {
        {":status", "200"}, {"content-type", "application/grpc"}, {"h", "1"}};
    const struct oak_rpc_request request = {
        .service = "s", .method = "m", .handler = &looker, .user = &l};
    script_open(&s);
    script_settings(&s, UINT32_MAX);
    assert_int_equal(oak_rpc_conn_new(NULL, NULL, "", SECOND, &conn), 0);
    assert_int_equal(oak_rpc_conn_feed(conn, oak_buf_bytes(&s.out), SECOND), 0);
    oak_buf_clear(&s.out);
    assert_int_equal(oak_rpc_conn_call(conn, &request, SECOND, &l.call), 0);
    script_hear(&s, oak_rpc_conn_take(conn));
    assert_int_equal(script_heard(&s, "HEADERS 1", ":authority=localhost"), 1);
    script_fields(&s, 1, 0, hint, 2);
    script_fields(&s, 1, 0, head, 3);
    script_message(&s, 1, "hello");
    script_tail(&s, 1, "0");
    assert_int_equal(oak_rpc_conn_feed(conn, oak_buf_bytes(&s.out), SECOND), 0);
    script_hear(&s, oak_rpc_conn_take(conn));
    assert_int_equal(script_heard(&s, "RST_STREAM 1 0", NULL), 1); /* it was not half-closed */
    assert_int_equal(l.closed, 1);
    assert_int_equal(l.code, OAK_RPC_OK);
    assert_true(is(&l.headers, "h=1;"));
    assert_int_equal(l.trailers.size, 0);
    oak_rpc_conn_free(conn);
    script_close(&s);
    look_fini(&l);
}

static void a_client_says_who_it_is_and_whom_it_means(void **state)
{
    (void)state;
    char long_name[200];
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    const struct oak_rpc_options options[] = {
        {.authority = "store.example:443", .user_agent = "shop/7"},
        {.user_agent = "evil\r\nx: \x7f\xc3"},
        {.user_agent = long_name},
    };
    const char *const agents[] = {"shop/7 ", "evil??x: ?? ", NULL};
    for (size_t i = 0; i < OAK_COUNT_OF(options); i++) {
        struct pair p;
        struct look server = {0};
        struct look client = {0};
        pair_open(&p, NULL, &options[i]);
        look_add(p.server, &server);
        look_call(&p, NULL, 0, &client);
        char wanted[300];
        if (agents[i] != NULL) {
            snprintf(wanted, sizeof(wanted), "user-agent=%soakum-grpc/" OAK_TEST_VERSION ";",
                     agents[i]);
        } else {
            snprintf(wanted, sizeof(wanted), "user-agent=%.128s oakum-grpc/" OAK_TEST_VERSION ";",
                     long_name);
        }
        assert_true(is(&server.headers, wanted));
        assert_string_equal(server.authority, i == 0 ? "store.example:443" : "server:2");
        pair_close(&p);
        look_fini(&server);
        look_fini(&client);
    }
}

/* -- statuses ---------------------------------------------------------------------------------- */

static void a_status_carries_details(void **state)
{
    (void)state;
    uint8_t bytes[300];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)i;
    }
    for (size_t size = 0; size <= sizeof(bytes); size += 1 + size / 3) {
        for (int with_message = 0; with_message < 2; with_message++) {
            struct pair p;
            struct look server = {0};
            struct look client = {0};
            pair_open(&p, NULL, NULL);
            look_add(p.server, &server);
            look_call(&p, NULL, 0, &client);
            if (with_message == 1) {
                send_text(server.call, "message");
            }
            assert_int_equal(oak_rpc_call_finish_details(server.call, OAK_RPC_NOT_FOUND, "a text",
                                                         oak_bytes(bytes, size)),
                             0);
            pair_run(&p);
            assert_int_equal(client.closed, 1);
            assert_int_equal(client.code, OAK_RPC_NOT_FOUND);
            assert_string_equal(client.text, "a text");
            assert_true(oak_bytes_eq(oak_buf_bytes(&client.details), oak_bytes(bytes, size)));
            pair_close(&p);
            look_fini(&server);
            look_fini(&client);
        }
    }
}

static void details_that_are_too_large_leave_the_call_open(void **state)
{
    (void)state;
    static const uint8_t bytes[70000];
    struct pair p;
    struct look server = {0};
    struct look client = {0};
    pair_open(&p, NULL, NULL);
    look_add(p.server, &server);
    look_call(&p, NULL, 0, &client);
    struct oak_bytes details = oak_bytes(bytes, sizeof(bytes));
    struct oak_rpc_call *call = server.call;
    assert_int_equal(oak_rpc_call_finish_details(call, OAK_RPC_ABORTED, "too much", details),
                     OAK_ELIMIT);
    pair_run(&p);
    assert_int_equal(client.closed, 0);
    details.size = 1000;
    assert_int_equal(oak_rpc_call_finish_details(call, OAK_RPC_ABORTED, "less", details), 0);
    assert_int_equal(oak_rpc_call_finish_details(call, OAK_RPC_ABORTED, "again", details),
                     OAK_ECLOSED);
    pair_run(&p);
    assert_int_equal(client.closed, 1);
    assert_string_equal(client.text, "less");
    assert_int_equal(client.details.size, 1000);
    pair_close(&p);
    look_fini(&server);
    look_fini(&client);
}

/* What gRPC's interoperability tests send; and a text that is cut, between two characters. */
static void texts_of_a_status_are_unicode(void **state)
{
    (void)state;
    static const char special[] =
        "\t\ntest with whitespace\r\nand Unicode BMP \xe2\x98\xba and non-BMP \xf0\x9f\x98\x88\t\n";
    char smiles[6001];
    for (size_t i = 0; i + 3 < sizeof(smiles); i += 3) {
        memcpy(smiles + i, "\xe2\x98\xba", 3);
    }
    smiles[6000] = '\0';
    const char *const texts[] = {special, smiles};
    for (size_t i = 0; i < OAK_COUNT_OF(texts); i++) {
        struct pair p;
        struct look server = {0};
        struct look client = {0};
        pair_open(&p, NULL, NULL);
        look_add(p.server, &server);
        look_call(&p, NULL, 0, &client);
        oak_rpc_call_finish(server.call, OAK_RPC_UNKNOWN, texts[i]);
        pair_run(&p);
        assert_int_equal(client.closed, 1);
        size_t size = strlen(client.text);
        assert_int_equal(size, i == 0 ? sizeof(special) - 1 : 4095);
        assert_memory_equal(client.text, texts[i], size);
        pair_close(&p);
        look_fini(&server);
        look_fini(&client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_comes_in_its_order),
        cmocka_unit_test(an_answer_that_is_only_a_status_has_only_trailers),
        cmocka_unit_test(joined_binary_values_come_one_by_one),
        cmocka_unit_test(a_request_through_a_proxy_of_http_1_names_a_host),
        cmocka_unit_test(headers_of_a_first_informational_answer_are_not_the_answers),
        cmocka_unit_test(a_client_says_who_it_is_and_whom_it_means),
        cmocka_unit_test(a_status_carries_details),
        cmocka_unit_test(details_that_are_too_large_leave_the_call_open),
        cmocka_unit_test(texts_of_a_status_are_unicode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
