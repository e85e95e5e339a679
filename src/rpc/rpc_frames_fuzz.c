/* SPDX-License-Identifier: Apache-2.0 */
/* rpc_frames_fuzz.c: bytes into a connection of a server or of a client with calls open.
 *
 * The first byte chooses the side, whether the preface is given, the size of the pieces, and
 * whether the server has hardly room for anything. A handler of each kind answers, pauses, cancels
 * and finishes by what the messages say. An interceptor watches.
 */
#include "oakum/rpc.h"
#include "port/port.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    int started;
    int closed;
    int watched; /* calls that the interceptor knows to be open */
};

static void fuzz_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    uint8_t what = bytes.size > 0 ? bytes.data[0] & 7 : 0;
    if (what == 1) {
        oak_rpc_call_pause(call, true);
    } else if (what == 2) {
        oak_rpc_call_cancel(call);
    } else if (what == 3) {
        oak_rpc_call_pause(call, true);
        oak_rpc_call_pause(call, false);
    }
    int error = oak_rpc_call_send(call, bytes);
    OAK_MAYBE(error != 0);
}

static void server_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    fuzz_message(user, call, bytes);
    if (bytes.size > 0 && (bytes.data[0] & 8) != 0) {
        oak_rpc_call_finish(call, OAK_RPC_ABORTED, "asked for");
    }
}

static void server_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)user;
    struct oak_bytes details = oak_rpc_call_authority(call);
    int error = oak_rpc_call_finish_details(call, OAK_RPC_OK, NULL, details);
    OAK_MAYBE(error != 0);
}

/* Every pair lies in the call's memory, whatever came. */
static void walk(const struct oak_rpc_call *call)
{
    struct oak_rpc_pair pair;
    size_t sum = 0;
    for (int part = 0; part < 2; part++) {
        size_t at = 0;
        while (oak_rpc_call_metadata_next(call, (enum oak_rpc_part)part, &at, &pair)) {
            OAK_ASSERT(pair.name.size > 0 && pair.name.data[0] != ':');
            sum += pair.value.size > 0 ? pair.value.data[pair.value.size - 1] : 1u;
        }
    }
    OAK_MAYBE(sum > 0);
}

/* The interceptor has been told the beginning and the end of the same calls. */
static struct oak_rpc_verdict watch_start(void *user, struct oak_rpc_call *call, void *state)
{
    struct told *told = user;
    uint32_t *mark = state;
    OAK_ASSERT_EQ(*mark, 0);
    *mark = 77;
    told->watched++;
    walk(call);
    struct oak_bytes refuse = oak_rpc_call_metadata(call, "r");
    return (struct oak_rpc_verdict){refuse.data != NULL ? OAK_RPC_ABORTED : OAK_RPC_OK, NULL};
}

static void watch_closed(void *user, struct oak_rpc_call *call, void *state,
                         const struct oak_rpc_status *status)
{
    struct told *told = user;
    const uint32_t *mark = state;
    OAK_ASSERT_EQ(*mark, 77);
    OAK_ASSERT_LE(status->code, OAK_RPC_UNAUTHENTICATED);
    told->watched--;
    walk(call);
}

static void fuzz_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct told *told = user;
    OAK_ASSERT_LE(status->code, OAK_RPC_UNAUTHENTICATED);
    told->closed++;
}

static const struct oak_rpc_handler server_handler = {
    .message = server_message, .half_closed = server_half_closed, .closed = fuzz_closed};
static const struct oak_rpc_handler client_handler = {.message = fuzz_message,
                                                      .closed = fuzz_closed};

static void fuzz_start(void *user, struct oak_rpc_call *call)
{
    struct told *told = user;
    told->started++;
    oak_rpc_call_handle(call, &server_handler, told);
    int error = oak_rpc_call_compress(call, OAK_RPC_DEFLATE);
    OAK_MAYBE(error != 0); /* the peer may not take it */
}

static void drain(struct oak_rpc_conn *conn)
{
    for (int i = 0; i < 1000 && oak_rpc_conn_take(conn).size > 0; i++) {
    }
}

static void feed(struct oak_rpc_conn *conn, struct oak_bytes bytes, size_t piece)
{
    uint64_t now_ns = 1;
    size_t at = 0;
    int error = 0;
    while (at < bytes.size && error == 0) {
        size_t count = OAK_MIN(piece, bytes.size - at);
        error = oak_rpc_conn_feed(conn, oak_bytes(bytes.data + at, count), now_ns);
        at += count;
        now_ns += 10000000;
        uint64_t next_ns;
        oak_rpc_conn_tick(conn, now_ns, &next_ns);
        drain(conn);
    }
}

static void server_input(struct told *told, struct oak_bytes bytes, bool preface, bool narrow,
                         size_t piece)
{
    struct oak_rpc_server *server;
    struct oak_rpc_conn *conn = NULL;
    const struct oak_rpc_method methods[] = {
        {.service = "s", .name = "u", .kind = OAK_RPC_UNARY, .start = fuzz_start, .user = told},
        {.service = "s", .name = "b", .kind = OAK_RPC_BIDI, .start = fuzz_start, .user = told},
    };
    const struct oak_rpc_interceptor watch = {.state_bytes = sizeof(uint32_t),
                                              .start = watch_start,
                                              .closed = watch_closed,
                                              .user = told};
    struct oak_rpc_options options = {.interceptors = &watch, .interceptor_count = 1};
    if (narrow) {
        options.receive_bytes_max = 64;
        options.limits = (struct oak_rpc_limits){.connection_handlers_max = 2,
                                                 .rate_per_second = 50,
                                                 .age_max_ns = 200000000,
                                                 .age_grace_ns = 1500000000,
                                                 .stall_ns = 40000000,
                                                 .memory_bytes_max = 40000};
    }
    if (oak_rpc_server_new(NULL, &options, &server) != 0) {
        return;
    }
    if (oak_rpc_server_add(server, &methods[0]) == 0 &&
        oak_rpc_server_add(server, &methods[1]) == 0 &&
        oak_rpc_conn_new(server, NULL, "", 1, &conn) == 0) {
        if (preface) {
            static const char text[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
            feed(conn, oak_bytes(text, 33), 33);
        }
        feed(conn, bytes, piece);
    }
    oak_rpc_conn_free(conn);
    OAK_ASSERT_EQ(told->watched, 0);
    oak_rpc_server_free(server);
}

static void client_input(struct told *told, struct oak_bytes bytes, bool preface, size_t piece)
{
    struct oak_rpc_conn *conn;
    if (oak_rpc_conn_new(NULL, NULL, "", 1, &conn) != 0) {
        return;
    }
    if (preface) {
        static const char settings[] = "\0\0\0\4\0\0\0\0\0";
        feed(conn, oak_bytes(settings, 9), 9);
    }
    for (int i = 0; i < 4; i++) {
        const struct oak_rpc_request request = {.service = "s",
                                                .method = "b",
                                                .timeout_ns = i == 3 ? 50000000 : 0,
                                                .encoding = (enum oak_rpc_encoding)(i % 3),
                                                .handler = &client_handler,
                                                .user = told};
        struct oak_rpc_call *call;
        if (oak_rpc_conn_call(conn, &request, 1, &call) == 0) {
            told->started++;
            int error = oak_rpc_call_send(call, oak_bytes_str("hello"));
            OAK_MAYBE(error != 0);
            if (i % 2 == 0) {
                oak_rpc_call_half_close(call);
            }
        }
    }
    drain(conn);
    feed(conn, bytes, piece);
    oak_rpc_conn_free(conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct told told = {0};
    struct oak_bytes bytes = oak_bytes(data + 1, size - 1);
    bool preface = (data[0] & 2) != 0;
    size_t piece = (data[0] & 4) != 0 ? (size_t)(data[0] >> 3) + 1 : size;
    if ((data[0] & 1) != 0) {
        client_input(&told, bytes, preface, piece);
    } else {
        server_input(&told, bytes, preface, (data[0] & 8) != 0, piece);
    }
    OAK_ASSERT_EQ(told.started, told.closed);
    return 0;
}
