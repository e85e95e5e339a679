/* SPDX-License-Identifier: Apache-2.0 */
/* request_test.c: requests of both versions, byte by byte, and what comes back. */
#include "jsonrpc/test_door.h"

#define HI  "\"result\":{\"text\":\"hi\"}"
#define NEW "{\"jsonrpc\":\"2.0\","

static void test_old(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    /* as Go's client writes it, and as people do */
    door_ask(&d, "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"hi\"}],\"id\":0}\n",
             "{\"id\":0," HI ",\"error\":null}\n");
    assert_string_equal(d.path, "/demo.v1.Echo/Say");
    assert_string_equal(d.peer, "fake:1");
    assert_int_equal(d.deadline_ns, d.loop.now_ns + 60 * SECOND);
    door_ask(&d, " { \"id\" : [1, {}], \"params\" : [ ], \"method\" : \"demo.v1.Echo/Say\" } ",
             "{\"id\":[1, {}],\"result\":{},\"error\":null}\n");
    door_ask(&d, "{\"method\":\"Echo.Say\",\"params\":[],\"id\":[1,\r\n2]}\n",
             "{\"id\":[1,  2],\"result\":{},\"error\":null}\n");
    door_ask(&d, "{\"method\":\"demo.v1.Echo.Say\",\"params\":[null],\"id\":\"a\\u0000\"}",
             "{\"id\":\"a\\u0000\",\"result\":{},\"error\":null}\n");
    door_ask(&d,
             "{\"jsonrpc\":\"1.0\",\"method\":\"Echo.Say\",\"id\":18446744073709551615,"
             "\"params\":[{\"numbers\":[9007199254740993,\"-1\"],\"blob\":\"AQ==\"}]}",
             "{\"id\":18446744073709551615,\"result\":{\"blob\":\"AQ==\","
             "\"numbers\":[\"9007199254740993\",\"-1\"]},\"error\":null}\n");
    door_ask(&d, "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"fail\"}],\"id\":1}",
             "{\"id\":1,\"result\":null,"
             "\"error\":\"rpc error: code = DataLoss desc = it is \\\"lost\\\"\"}\n");
    door_close(&d);
}

static void test_new(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":\"x\"}",
             NEW HI ",\"id\":\"x\"}\n");
    door_ask(&d, NEW "\"method\":\"/demo.v1.Echo/Say\",\"params\":{},\"id\":1}",
             NEW "\"error\":{\"code\":-32601,\"message\":\"unknown method /demo.v1.Echo/Say\"},"
                 "\"id\":1}\n");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":[{\"text\":\"hi\"}],\"id\":-1.50e3}",
             NEW HI ",\"id\":-1.50e3}\n");
    door_ask(&d, NEW "\"method\":\"Ech\\u006f.Say\",\"id\":null}",
             NEW "\"result\":{},\"id\":null}\n");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":[],\"id\":2}",
             NEW "\"result\":{},\"id\":2}\n");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"fail\"},\"id\":3}",
             NEW "\"error\":{\"code\":-32015,\"message\":\"it is \\\"lost\\\"\",\"data\":"
                 "{\"code\":15,\"status\":\"DataLoss\"}},\"id\":3}\n");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"details\"},\"id\":4}",
             NEW "\"error\":{\"code\":-32010,\"message\":\"see there\",\"data\":"
                 "{\"code\":10,\"status\":\"Aborted\",\"details\":\"Af8=\"}},\"id\":4}\n");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"cancel\"},\"id\":5}",
             NEW "\"error\":{\"code\":-32001,\"message\":\"the server has cancelled the call\","
                 "\"data\":{\"code\":1,\"status\":\"Canceled\"}},\"id\":5}\n");
    door_close(&d);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reply;
    } cases[] = {
        {"{}", "{\"id\":null,\"result\":null,"
               "\"error\":\"\\\"id\\\" is missing; null is that of a notification\"}\n"},
        {"{\"id\":7}", "{\"id\":7,\"result\":null,\"error\":\"\\\"method\\\" is a string\"}\n"},
        {"{\"method\":\"Echo.Say\",\"params\":[]}",
         "{\"id\":null,\"result\":null,"
         "\"error\":\"\\\"id\\\" is missing; null is that of a notification\"}\n"},
        {"{\"method\":\"Echo.Say\",\"params\":{},\"id\":1}",
         "{\"id\":1,\"result\":null,\"error\":\"\\\"params\\\" is an array of one message\"}\n"},
        {"{\"method\":\"Echo.Say\",\"params\":[{},{}],\"id\":1}",
         "{\"id\":1,\"result\":null,\"error\":\"\\\"params\\\" has more than one message\"}\n"},
        {"{\"method\":\"Echo.Tell\",\"params\":[{}],\"id\":1}",
         "{\"id\":1,\"result\":null,\"error\":\"demo.v1.Echo/Tell streams, which JSON-RPC can't: "
         "it "
         "is for gRPC alone\"}\n"},
        {"{\"method\":\"Echo.Say\",\"id\":1,\"id\":2,\"params\":[{}]}",
         "{\"id\":2,\"result\":null,\"error\":\"a member is given twice\"}\n"},
        {NEW "\"method\":1,\"id\":1}",
         NEW "\"error\":{\"code\":-32600,\"message\":\"\\\"method\\\" is a string\"},\"id\":1}\n"},
        {NEW "\"method\":\"Echo.Say\",\"id\":{}}",
         NEW "\"error\":{\"code\":-32600,\"message\":\"\\\"id\\\" is a string, a number or null\"},"
             "\"id\":null}\n"},
        {"{\"jsonrpc\":2.0,\"method\":\"Echo.Say\",\"id\":1}", NEW
         "\"error\":{\"code\":-32600,\"message\":\"\\\"jsonrpc\\\" is \\\"2.0\\\", or it is not "
         "there\"},\"id\":1}\n"},
        {NEW "\"method\":\"Say\",\"id\":1}",
         NEW "\"error\":{\"code\":-32601,\"message\":\"unknown method Say\"},\"id\":1}\n"},
        {NEW "\"method\":\"\",\"id\":1}",
         NEW "\"error\":{\"code\":-32601,\"message\":\"unknown method \"},\"id\":1}\n"},
        {NEW "\"method\":\"Echo.Say\",\"params\":7,\"id\":1}", NEW
         "\"error\":{\"code\":-32602,\"message\":\"\\\"params\\\" is an array of one message, or "
         "the message\"},\"id\":1}\n"},
    };
    struct door d;
    door_open(&d, NULL);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        door_ask(&d, cases[i].text, cases[i].reply);
    }
    door_send(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"test\":1},\"id\":1}");
    assert_non_null(strstr((const char *)d.got.data, "\"code\":-32602"));
    assert_non_null(strstr((const char *)d.got.data, "test"));
    assert_false(d.closed);
    assert_int_equal(d.said, 0);
    assert_int_equal(door_traffic(&d).refused, OAK_COUNT_OF(cases) + 1);
    door_close(&d);
}

static void test_notifications(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    door_ask(&d, "{\"method\":\"Echo.Say\",\"params\":[{}],\"id\":null}", "");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"fail\"}}", "");
    assert_int_equal(d.said, 2);
    door_ask(&d, NEW "\"method\":\"Echo.Nothing\"}", "");
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":7}}", "");
    assert_int_equal(d.said, 2);
    struct oak_jsonrpc_traffic t = door_traffic(&d);
    assert_int_equal(t.started, 2);
    assert_int_equal(t.handled[OAK_RPC_OK], 1);
    assert_int_equal(t.handled[OAK_RPC_DATA_LOSS], 1);
    assert_int_equal(t.refused, 2);
    door_close(&d);
}

static void test_in_flight(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    door_ask(&d,
             "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"later\"}],\"id\":1}"
             "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"hi\"}],\"id\":2}" NEW
             "\"method\":\"Echo.Say\",\"params\":{\"text\":\"later\"},\"id\":3}",
             "{\"id\":2," HI ",\"error\":null}\n");
    assert_int_equal(d.later_count, 2);
    struct oak_stub_call *first = d.later[0];
    d.later[0] = d.later[1];
    d.later[1] = first;
    door_answer(&d, "hi");
    fake_run(&d.loop);
    door_expect(&d, NEW HI ",\"id\":3}\n");
    door_answer(&d, "hi");
    fake_run(&d.loop);
    door_expect(&d, "{\"id\":1," HI ",\"error\":null}\n");
    door_close(&d);
}

static void test_batches(void **state)
{
    (void)state;
    const struct oak_jsonrpc_options options = {.batch_max = 3};
    struct door d;
    door_open(&d, &options);
    door_ask(&d, "[]",
             NEW "\"error\":{\"code\":-32600,\"message\":\"the batch is empty\"},\"id\":null}\n");
    door_ask(&d, "[1, {}]",
             "[" NEW "\"error\":{\"code\":-32600,\"message\":\"a request is an object\"},"
             "\"id\":null}," NEW
             "\"error\":{\"code\":-32600,\"message\":\"requests of a batch are of 2.0: "
             "\\\"jsonrpc\\\":\\\"2.0\\\"\"},\"id\":null}]\n");
    door_ask(&d, "[" NEW "\"method\":\"Echo.Say\"}," NEW "\"method\":\"Echo.Say\"}]", "");
    assert_int_equal(d.said, 2);
    door_ask(&d, "[1,2,3,4]",
             NEW "\"error\":{\"code\":-32600,\"message\":\"the batch has 4 requests; 3 are "
                 "allowed\"},\"id\":null}\n");
    /* the reply waits for all of them */
    door_ask(&d,
             "[" NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"later\"},\"id\":1}," NEW
             "\"method\":\"Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":2}," NEW
             "\"method\":\"Echo.Say\",\"params\":{\"text\":\"hi\"}}]",
             "");
    door_answer(&d, "hi");
    fake_run(&d.loop);
    door_expect(&d, "[" NEW HI ",\"id\":2}," NEW HI ",\"id\":1}]\n");
    /* a batch whose connection ends goes with it */
    door_send(&d, "[" NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"later\"},\"id\":1}," NEW
                  "\"method\":\"Echo.Say\",\"params\":{\"text\":\"hi\"},\"id\":2}]");
    door_close(&d);
}

/* Every way to cut a stream of texts gives the same replies. */
static void test_pieces(void **state)
{
    (void)state;
    static const char text[] =
        "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"a}\\\"{\"}],\"id\":1}\r\n\t "
        "[" NEW "\"method\":\"Echo.Say\",\"params\":{},\"id\":2}]" NEW
        "\"method\":\"Echo.Say\",\"id\":3}";
    static const char reply[] = "{\"id\":1,\"result\":{\"text\":\"a}\\\"{\"},\"error\":null}\n[" NEW
                                "\"result\":{},\"id\":2}]\n" NEW "\"result\":{},\"id\":3}\n";
    struct door d;
    door_open(&d, NULL);
    for (size_t step = 1; step <= sizeof(text); step++) {
        for (size_t at = 0; at < sizeof(text) - 1; at += step) {
            door_write(&d, text + at, OAK_MIN(step, sizeof(text) - 1 - at));
        }
        door_expect(&d, reply);
    }
    door_close(&d);
}

/* -- names ------------------------------------------------------------------------------------- */

static void other_start(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_finish(call, OAK_RPC_UNIMPLEMENTED, NULL);
}

static void test_names(void **state)
{
    (void)state;
    struct door d;
    door_open(&d, NULL);
    struct oak_rpc_method other = {
        .service = "demo.v2.Echo", .name = "Say", .kind = OAK_RPC_UNARY, .start = other_start};
    assert_int_equal(oak_rpc_server_add(d.server, &other), 0);
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"id\":1}",
             NEW "\"error\":{\"code\":-32601,\"message\":\"more than one service is meant: "
                 "demo.v1.Echo and demo.v2.Echo have Say\"},\"id\":1}\n");
    door_ask(&d, NEW "\"method\":\"demo.v1.Echo.Say\",\"id\":1}", NEW "\"result\":{},\"id\":1}\n");
    door_ask(&d, NEW "\"method\":\"demo.v2.Echo.Say\",\"id\":1}",
             NEW
             "\"error\":{\"code\":-32601,\"message\":\"nothing is known here of the messages of "
             "demo.v2.Echo/Say\"},\"id\":1}\n");
    other.service =
        "Echo"; /* one without a package is meant by its name, whatever others there are */
    assert_int_equal(oak_rpc_server_add(d.server, &other), 0);
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"id\":1}",
             NEW
             "\"error\":{\"code\":-32601,\"message\":\"nothing is known here of the messages of "
             "Echo/Say\"},\"id\":1}\n");
    door_close(&d);
}

/* -- interceptors ------------------------------------------------------------------------------ */

struct watch {
    char log[256];
    enum oak_rpc_code code; /* of its verdict at the start */
};

static void note(struct watch *w, const char *what)
{
    size_t at = strlen(w->log);
    snprintf(w->log + at, sizeof(w->log) - at, "%s ", what);
}

static struct oak_rpc_verdict watch_start(void *user, struct oak_rpc_call *call, void *call_state)
{
    struct watch *w = user;
    assert_int_equal(*(uint64_t *)call_state, 0);
    *(uint64_t *)call_state = 7;
    assert_true(oak_rpc_call_path(call).size > 0);
    note(w, "start");
    return (struct oak_rpc_verdict){w->code, "not you"};
}

static struct oak_rpc_verdict watch_received(void *user, struct oak_rpc_call *call, void *s,
                                             struct oak_bytes message)
{
    (void)call;
    (void)s;
    (void)message;
    note(user, "received");
    return (struct oak_rpc_verdict){OAK_RPC_OK, NULL};
}

static struct oak_rpc_verdict watch_sent(void *user, struct oak_rpc_call *call, void *s,
                                         size_t size)
{
    (void)call;
    (void)s;
    (void)size;
    note(user, "sent");
    return (struct oak_rpc_verdict){OAK_RPC_OK, NULL};
}

static void watch_finish(void *user, struct oak_rpc_call *call, void *s, enum oak_rpc_code code)
{
    (void)call;
    (void)s;
    (void)code;
    note(user, "finish");
}

static void watch_closed(void *user, struct oak_rpc_call *call, void *s,
                         const struct oak_rpc_status *status)
{
    (void)call;
    assert_int_equal(*(uint64_t *)s, 7);
    note(user, oak_rpc_code_name(status->code));
}

static void inner_closed(void *user, struct oak_rpc_call *call, void *s,
                         const struct oak_rpc_status *status)
{
    (void)call;
    (void)s;
    (void)status;
    note(user, "inner");
}

static void test_interceptors(void **state)
{
    (void)state;
    struct watch w = {.code = OAK_RPC_OK};
    const struct oak_rpc_interceptor chain[] = {
        {.state_bytes = sizeof(uint64_t),
         .start = watch_start,
         .received = watch_received,
         .sent = watch_sent,
         .finish = watch_finish,
         .closed = watch_closed,
         .user = &w},
        {.state_bytes = 3, .closed = inner_closed, .user = &w}};
    const struct oak_jsonrpc_options options = {.interceptors = chain, .interceptor_count = 2};
    struct door d;
    door_open(&d, &options);
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"id\":1}", NEW "\"result\":{},\"id\":1}\n");
    assert_string_equal(w.log, "start received sent finish inner OK ");
    w = (struct watch){.code = OAK_RPC_PERMISSION_DENIED};
    door_ask(&d, NEW "\"method\":\"Echo.Say\",\"id\":1}",
             NEW "\"error\":{\"code\":-32007,\"message\":\"not you\",\"data\":{\"code\":7,"
                 "\"status\":\"PermissionDenied\"}},\"id\":1}\n");
    assert_string_equal(w.log, "start finish PermissionDenied ");
    assert_int_equal(d.said, 1);
    w = (struct watch){.code = OAK_RPC_OK};
    door_send(&d, NEW "\"method\":\"Echo.Say\",\"params\":{\"text\":\"later\"},\"id\":1}");
    door_hang_up(&d);
    assert_string_equal(w.log, "start received inner Canceled ");
    door_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old),          cmocka_unit_test(test_new),
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_notifications),
        cmocka_unit_test(test_in_flight),    cmocka_unit_test(test_batches),
        cmocka_unit_test(test_pieces),       cmocka_unit_test(test_names),
        cmocka_unit_test(test_interceptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
