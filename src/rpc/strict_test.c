/* SPDX-License-Identifier: Apache-2.0 */
/* strict_test.c: what RFC 9113 and RFC 7541 forbid a client, by their sections, and what a server
 * must bear. The cases of h2spec that frames can tell are here, so that they need no h2spec. */
#include "rpc/test_attack.h"

/* What a step of a case sends, beside the types of HTTP/2. */
#define REQUEST 0xfe /* the headers of a call, with END_HEADERS */
#define STRIKE  0xff /* what there is so far, so that it is answered before what follows */

#define PUSH_PROMISE 5
#define UNKNOWN      0x16
#define PRIORITIZED  0x20

enum outcome { BORNE, STREAM, CONNECTION };

struct step {
    uint8_t type;
    uint8_t flags;
    uint32_t id;
    uint32_t size;
    const char *bytes;
};
#define F(type, flags, id, bytes)                 \
    {                                             \
        type, flags, id, sizeof(bytes) - 1, bytes \
    }
#define R(id, flags)                \
    {                               \
        REQUEST, flags, id, 0, NULL \
    }
#define S                     \
    {                         \
        STRIKE, 0, 0, 0, NULL \
    }

#define EIGHT "12345678"
#define ZERO4 "\0\0\0\0"
/* The block ":method: GET". */
#define METHOD "\x82"

struct frames_case {
    const char *rule;
    const char *what;
    struct step steps[4];
    enum outcome outcome;
    uint32_t code;
};

static const struct frames_case frames_cases[] = {
    {"4.1", "an unknown type", {F(UNKNOWN, 0xff, 0, "test")}, BORNE, 0},
    {"4.1", "an undefined flag", {F(PING, 0x16, 0, EIGHT)}, BORNE, 0},
    {"4.1", "the reserved bit", {F(PING, 0, 1u << 31, EIGHT)}, BORNE, 0},
    {"4.3",
     "PRIORITY within headers",
     {F(HEADERS, 0, 1, METHOD), F(PRIORITY, 0, 1, ZERO4 "\1")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"4.3",
     "HEADERS within headers",
     {F(HEADERS, 0, 1, METHOD), F(HEADERS, 4, 3, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1", "DATA, idle", {F(DATA, END_STREAM, 1, "test")}, CONNECTION, NGHTTP2_PROTOCOL_ERROR},
    {"5.1",
     "RST_STREAM, idle",
     {F(RST_STREAM, 0, 1, "\0\0\0\x8")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1",
     "WINDOW_UPDATE, idle",
     {F(WINDOW_UPDATE, 0, 1, "\0\0\0\x64")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1",
     "CONTINUATION, idle",
     {F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1", "PRIORITY, idle", {F(PRIORITY, 0, 1, ZERO4 "\1")}, BORNE, 0},
    {"5.1",
     "DATA, half-closed",
     {R(1, END_STREAM), F(DATA, END_STREAM, 1, "test")},
     CONNECTION,
     NGHTTP2_STREAM_CLOSED},
    {"5.1",
     "HEADERS, half-closed",
     {R(1, END_STREAM), R(1, END_STREAM)},
     CONNECTION,
     NGHTTP2_STREAM_CLOSED},
    {"5.1",
     "CONTINUATION, half-closed",
     {R(1, END_STREAM), F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1",
     "WINDOW_UPDATE, half-closed",
     {R(1, END_STREAM), F(WINDOW_UPDATE, 0, 1, "\0\0\0\x64")},
     BORNE,
     0},
    {"5.1", "PRIORITY, half-closed", {R(1, END_STREAM), F(PRIORITY, 0, 1, ZERO4 "\1")}, BORNE, 0},
    {"5.1",
     "HEADERS, after RST_STREAM",
     {R(1, 0), F(RST_STREAM, 0, 1, "\0\0\0\x8"), S, R(1, END_STREAM)},
     CONNECTION,
     NGHTTP2_STREAM_CLOSED},
    {"5.1",
     "CONTINUATION, after RST_STREAM",
     {R(1, 0), F(RST_STREAM, 0, 1, "\0\0\0\x8"), F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1",
     "HEADERS, closed",
     {R(1, END_STREAM), S, R(1, END_STREAM)},
     CONNECTION,
     NGHTTP2_STREAM_CLOSED},
    {"5.1",
     "CONTINUATION, closed",
     {R(1, END_STREAM), S, F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.1", "PRIORITY, closed", {R(1, END_STREAM), S, F(PRIORITY, 0, 1, ZERO4 "\1")}, BORNE, 0},
    /* 5.1 lets a server treat this as an error, or drop it: nghttp2 drops it. */
    {"5.1", "DATA, closed", {R(1, END_STREAM), S, F(DATA, 0, 1, "test")}, BORNE, 0},
    {"5.1",
     "DATA, after RST_STREAM",
     {R(1, 0), F(RST_STREAM, 0, 1, "\0\0\0\x8"), S, F(DATA, END_STREAM, 1, "test")},
     BORNE,
     0},
    {"5.1.1", "an even id", {R(2, END_STREAM)}, CONNECTION, NGHTTP2_PROTOCOL_ERROR},
    {"5.1.1",
     "a smaller id",
     {R(5, END_STREAM), S, R(3, END_STREAM)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.3.1",
     "HEADERS that depend on themselves",
     {F(HEADERS, PRIORITIZED | 4, 1, "\0\0\0\1\xff" METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"5.5",
     "an unknown type within headers",
     {F(HEADERS, 0, 1, METHOD), F(UNKNOWN, 0, 0, EIGHT)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.1",
     "DATA of no stream",
     {F(DATA, END_STREAM, 0, "test")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.1",
     "DATA with too much padding",
     {R(1, 0), F(DATA, PADDED | 1, 1, "\6test")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.2", "HEADERS of no stream", {F(HEADERS, 5, 0, METHOD)}, CONNECTION, NGHTTP2_PROTOCOL_ERROR},
    {"6.2",
     "HEADERS with too much padding",
     {F(HEADERS, PADDED | 5, 1, "\2" METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.3",
     "PRIORITY of no stream",
     {F(PRIORITY, 0, 0, ZERO4 "\1")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.3",
     "PRIORITY of four bytes",
     {R(1, 0), F(PRIORITY, 0, 1, ZERO4)},
     CONNECTION,
     NGHTTP2_FRAME_SIZE_ERROR},
    {"6.4",
     "RST_STREAM of no stream",
     {F(RST_STREAM, 0, 0, "\0\0\0\x8")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.4",
     "RST_STREAM of three bytes",
     {R(1, 0), F(RST_STREAM, 0, 1, "\0\0\0")},
     CONNECTION,
     NGHTTP2_FRAME_SIZE_ERROR},
    {"6.5",
     "an ACK with something in it",
     {F(SETTINGS, ACK, 0, "\0")},
     CONNECTION,
     NGHTTP2_FRAME_SIZE_ERROR},
    {"6.5",
     "SETTINGS of a stream",
     {F(SETTINGS, 0, 1, "\0\3\0\0\0\x64")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.5",
     "SETTINGS of three bytes",
     {F(SETTINGS, 0, 0, "\0\3\0")},
     CONNECTION,
     NGHTTP2_FRAME_SIZE_ERROR},
    {"6.5.2",
     "ENABLE_PUSH 2",
     {F(SETTINGS, 0, 0, "\0\2\0\0\0\2")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.5.2",
     "INITIAL_WINDOW_SIZE 2^31",
     {F(SETTINGS, 0, 0, "\0\4\x80\0\0\0")},
     CONNECTION,
     NGHTTP2_FLOW_CONTROL_ERROR},
    {"6.5.2",
     "MAX_FRAME_SIZE 2^14 - 1",
     {F(SETTINGS, 0, 0, "\0\5\0\0\x3f\xff")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.5.2",
     "MAX_FRAME_SIZE 2^24",
     {F(SETTINGS, 0, 0, "\0\5\1\0\0\0")},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.5.2", "an unknown setting", {F(SETTINGS, 0, 0, "\0\xff\0\0\0\1")}, BORNE, 0},
    {"6.6",
     "a push from a client",
     {F(PUSH_PROMISE, 4, 1, "\0\0\0\2" METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.7", "an ACK of no PING", {F(PING, ACK, 0, "invalid!")}, BORNE, 0},
    {"6.7", "PING of a stream", {F(PING, 0, 1, EIGHT)}, CONNECTION, NGHTTP2_PROTOCOL_ERROR},
    {"6.7", "PING of six bytes", {F(PING, 0, 0, "123456")}, CONNECTION, NGHTTP2_FRAME_SIZE_ERROR},
    {"6.8", "GOAWAY of a stream", {F(GOAWAY, 0, 1, EIGHT)}, CONNECTION, NGHTTP2_PROTOCOL_ERROR},
    {"6.9",
     "an increment of 0",
     {F(WINDOW_UPDATE, 0, 0, ZERO4)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.9",
     "an increment of 0 of a stream",
     {R(1, 0), F(WINDOW_UPDATE, 0, 1, ZERO4)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.9",
     "WINDOW_UPDATE of three bytes",
     {F(WINDOW_UPDATE, 0, 0, "\0\0\1")},
     CONNECTION,
     NGHTTP2_FRAME_SIZE_ERROR},
    {"6.9.1",
     "a window over 2^31 - 1",
     {F(WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff"), F(WINDOW_UPDATE, 0, 0, "\x7f\xff\xff\xff")},
     CONNECTION,
     NGHTTP2_FLOW_CONTROL_ERROR},
    {"6.9.1",
     "a window over 2^31 - 1 of a stream",
     {R(1, 0), F(WINDOW_UPDATE, 0, 1, "\x7f\xff\xff\xff"),
      F(WINDOW_UPDATE, 0, 1, "\x7f\xff\xff\xff")},
     STREAM,
     NGHTTP2_FLOW_CONTROL_ERROR},
    {"6.10",
     "CONTINUATION of no stream",
     {F(HEADERS, 0, 1, METHOD), F(CONTINUATION, END_HEADERS, 0, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.10",
     "CONTINUATION behind END_HEADERS",
     {R(1, 0), F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"6.10",
     "CONTINUATION behind DATA",
     {R(1, 0), F(DATA, 0, 1, "\0\0\0\0\0"), F(CONTINUATION, END_HEADERS, 1, METHOD)},
     CONNECTION,
     NGHTTP2_PROTOCOL_ERROR},
    {"7", "GOAWAY with an unknown code", {R(1, 0), F(GOAWAY, 0, 0, ZERO4 "\0\0\0\xff")}, BORNE, 0},
    {"7",
     "RST_STREAM with an unknown code",
     {R(1, 0), F(RST_STREAM, 0, 1, "\0\0\0\xff")},
     BORNE,
     0},
    {"8.1",
     "a second block without END_STREAM",
     {R(1, 0), R(1, 0)},
     STREAM,
     NGHTTP2_PROTOCOL_ERROR},
    {"8.1",
     "trailers with a pseudo-header",
     {R(1, 0), F(HEADERS, 5, 1, METHOD)},
     STREAM,
     NGHTTP2_PROTOCOL_ERROR},
    /* HPACK */
    {"7541 2.3.3",
     "an index beyond the tables",
     {F(HEADERS, 5, 1, "\xc6")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
    {"7541 4.2",
     "a change of size at the end",
     {F(HEADERS, 5, 1, METHOD "\x21")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
    {"7541 5.2",
     "padding of more than seven bits",
     {F(HEADERS, 5, 1, "\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
    {"7541 5.2",
     "padding of zeros",
     {F(HEADERS, 5, 1, "\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
    {"7541 5.2",
     "the end of a string in it",
     {F(HEADERS, 5, 1, "\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
    {"7541 6.1", "the index 0", {F(HEADERS, 5, 1, "\x80")}, CONNECTION, NGHTTP2_COMPRESSION_ERROR},
    {"7541 6.3",
     "a table larger than allowed",
     {F(HEADERS, 5, 1, "\x3f\xe1\xff\x03")},
     CONNECTION,
     NGHTTP2_COMPRESSION_ERROR},
};

static void step_do(struct attack *a, const struct step *step)
{
    if (step->type == REQUEST) {
        request(a, step->id, "/t.Echo/Bidi", step->flags, NULL, 0);
    } else if (step->type == STRIKE) {
        assert_int_equal(strike(a), 0);
    } else {
        frame(a, step->type, step->flags, step->id, step->bytes, step->size);
    }
}

/* The server goes on: it answers a PING. */
static void alive(struct attack *a)
{
    oak_buf_clear(&a->answer);
    frame(a, PING, 0, 0, "still up", 8);
    assert_int_equal(strike(a), 0);
    assert_true(answered(a, "still up"));
    assert_int_equal(last_code(a, GOAWAY), -1);
}

static void outcome_check(struct attack *a, const char *rule, const char *what,
                          enum outcome outcome, uint32_t code)
{
    assert_int_equal(strike(a), 0);
    int64_t stream = last_code(a, RST_STREAM);
    int64_t connection = last_code(a, GOAWAY);
    int64_t wanted_stream = outcome == STREAM ? (int64_t)code : -1;
    int64_t wanted_connection = outcome == CONNECTION ? (int64_t)code : -1;
    if (stream != wanted_stream || connection != wanted_connection) {
        fail_msg("%s, %s: RST_STREAM %d, GOAWAY %d; wanted %d, %d", rule, what, (int)stream,
                 (int)connection, (int)wanted_stream, (int)wanted_connection);
    }
    assert_int_equal(oak_rpc_conn_done(a->conn), outcome == CONNECTION);
    if (outcome != CONNECTION) {
        alive(a);
    }
}

static void forbidden_frames_end_what_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(frames_cases); i++) {
        const struct frames_case *c = &frames_cases[i];
        struct attack a;
        attack_open(&a, NULL);
        for (size_t n = 0; n < OAK_COUNT_OF(c->steps); n++) {
            if (c->steps[n].bytes != NULL || c->steps[n].type >= REQUEST) {
                step_do(&a, &c->steps[n]);
            }
        }
        outcome_check(&a, c->rule, c->what, c->outcome, c->code);
        attack_close(&a);
    }
}

static void oversized_frames_end_the_connection(void **state)
{
    (void)state;
    static const uint8_t zeros[16385];
    for (int headers = 0; headers < 2; headers++) {
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
        frame(&a, headers ? HEADERS : DATA, 5, 1, zeros, sizeof(zeros));
        outcome_check(&a, "4.2", "a frame over 2^14 bytes", CONNECTION, NGHTTP2_FRAME_SIZE_ERROR);
        attack_close(&a);
    }
}

/* A request of these fields and no more. */
#define AUTHORITY         \
    {                     \
        ":authority", "a" \
    }

static void malformed_requests_are_reset(void **state)
{
    (void)state;
    static const struct {
        const char *rule;
        struct field fields[7];
    } cases[] = {
        {"8.2.1",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"X-TEST", "ok"}}},
        {"8.3",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":test", "ok"}}},
        {"8.3",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":status", "200"}}},
        {"8.3",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {"x-test", "ok"}, {":path", "/"}}},
        {"8.2.2",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"connection", "k"}}},
        {"8.2.2",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"te", "deflate"}}},
        {"8.3.1", {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", ""}}},
        {"8.3.1", {AUTHORITY, {":scheme", "http"}, {":path", "/"}}},
        {"8.3.1", {AUTHORITY, {":method", "GET"}, {":path", "/"}}},
        {"8.3.1", {AUTHORITY, {":method", "GET"}, {":scheme", "http"}}},
        {"8.3.1",
         {AUTHORITY, {":method", "GET"}, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}}},
        {"8.3.1",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":scheme", "h"}, {":path", "/"}}},
        {"8.3.1",
         {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":path", "/"}}},
        {"8.3.1", {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "*"}}},
        {"8.3.1", {AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "a"}}},
        {"8.3.1", {AUTHORITY, AUTHORITY, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}}},
        {"8.3.1", {{":authority", "a b"}, {":method", "GET"}, {":scheme", "h"}, {":path", "/"}}},
        {"8.3.1", {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"no", "authority"}}},
        {"8.3", {AUTHORITY, {":method", ""}, {":scheme", "http"}, {":path", "/"}}},
        {"8.5", {AUTHORITY, {":method", "CONNECT"}, {":scheme", "http"}, {":path", "/"}}},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct attack a;
        uint8_t bytes[512];
        size_t count = 0;
        attack_open(&a, NULL);
        while (cases[i].fields[count].name != NULL) {
            count++;
        }
        size_t size = block(&a, cases[i].fields, count, bytes, sizeof(bytes));
        frame(&a, HEADERS, END_STREAM | END_HEADERS, 1, bytes, size);
        outcome_check(&a, cases[i].rule, cases[i].fields[count - 1].name, STREAM,
                      NGHTTP2_PROTOCOL_ERROR);
        attack_close(&a);
    }
}

/* What clients of etcd up to 3.4 call each endpoint by itself with, and others. */
static void an_authority_may_be_what_has_no_spaces(void **state)
{
    (void)state;
    static const struct field fields[][5] = {
        {{":authority", "http://10.0.0.1:2379"},
         {":method", "POST"},
         {":scheme", "http"},
         {":path", "/t.Echo/Bidi"}},
        {{":authority", "unix:///run/etcd.sock"},
         {":method", "POST"},
         {":scheme", "http"},
         {":path", "/t.Echo/Bidi"}},
        {{":method", "POST"}, {":scheme", "http"}, {":path", "/t.Echo/Bidi"}, {"host", "a"}},
        /* a regular header with a byte that is none is left out */
        {{":authority", "a"},
         {":method", "POST"},
         {":scheme", "http"},
         {":path", "/t.Echo/Bidi"},
         {"x", "a\x01"}},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(fields); i++) {
        struct attack a;
        uint8_t bytes[512];
        attack_open(&a, NULL);
        size_t count = fields[i][4].name == NULL ? 4 : 5;
        size_t size = block(&a, fields[i], count, bytes, sizeof(bytes));
        frame(&a, HEADERS, END_STREAM | END_HEADERS, 1, bytes, size);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(last_code(&a, RST_STREAM), -1);
        assert_true(answered(&a, "415"));
        attack_close(&a);
    }
}

static void a_length_that_lies_resets_the_stream(void **state)
{
    (void)state;
    static const struct field lie = {"content-length", "1"};
    static const struct field json[] = {{"content-length", "1"},
                                        {"content-type", "application/json"}};
    for (int kind = 0; kind < 4; kind++) {
        bool grpc = kind % 2 == 1;
        bool last = kind < 2; /* what is too much is not waited for */
        struct attack a;
        attack_open(&a, NULL);
        request(&a, 1, "/t.Echo/Bidi", 0, grpc ? &lie : json, grpc ? 1 : 2);
        assert_int_equal(strike(&a), 0); /* no answer of HTTP before the request is whole */
        assert_false(answered(&a, "415"));
        frame(&a, DATA, last ? END_STREAM : 0, 1, "\0\0\0\0\0", 5);
        outcome_check(&a, "8.1.1", "content-length", STREAM, NGHTTP2_PROTOCOL_ERROR);
        attack_close(&a);
    }
}

/* The memory of what was is short, and what it has forgotten is dropped in silence. */
static void streams_long_gone_are_not_an_error(void **state)
{
    (void)state;
    struct attack a;
    uint32_t id = 1;
    attack_open(&a, NULL);
    request(&a, id, "/t.Echo/Bidi", END_STREAM, NULL, 0);
    for (; id < 101; id += 4) { /* every other id is skipped */
        request(&a, id + 4, "/t.Echo/Bidi", END_STREAM, NULL, 0);
        assert_int_equal(strike(&a), 0);
        assert_int_equal(last_code(&a, RST_STREAM), -1);
    }
    request(&a, 3, "/t.Echo/Bidi", END_STREAM, NULL, 0);
    request(&a, 101, "/t.Echo/Bidi", 0, NULL, 0); /* and so is what is yet to come */
    outcome_check(&a, "5.1.1", "an id that was skipped long ago", CONNECTION,
                  NGHTTP2_STREAM_CLOSED);
    attack_close(&a);
}

/* What we alone have closed may still get all that was on its way. */
static void a_stream_that_the_server_closed_may_get_more(void **state)
{
    (void)state;
    struct attack a;
    const uint8_t finish[] = {0, 0, 0, 0, 2, ECHO_FINISH, OAK_RPC_ABORTED};
    attack_open(&a, NULL);
    request(&a, 1, "/t.Echo/Bidi", 0, NULL, 0);
    frame(&a, DATA, 0, 1, finish, sizeof(finish));
    assert_int_equal(strike(&a), 0);
    assert_int_equal(last_code(&a, RST_STREAM), NGHTTP2_NO_ERROR);
    oak_buf_clear(&a.answer);
    frame(&a, DATA, 0, 1, finish, sizeof(finish));
    request(&a, 1, "/t.Echo/Bidi", END_STREAM, NULL, 0);
    outcome_check(&a, "5.1", "frames behind our status", BORNE, 0);
    attack_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forbidden_frames_end_what_the_rfc_says),
        cmocka_unit_test(oversized_frames_end_the_connection),
        cmocka_unit_test(malformed_requests_are_reset),
        cmocka_unit_test(an_authority_may_be_what_has_no_spaces),
        cmocka_unit_test(a_length_that_lies_resets_the_stream),
        cmocka_unit_test(streams_long_gone_are_not_an_error),
        cmocka_unit_test(a_stream_that_the_server_closed_may_get_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
