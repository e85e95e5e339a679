/* SPDX-License-Identifier: Apache-2.0 */
/* request_fuzz.c: any path, header and body: every call that a method is given ends, what comes
 * back is answers of HTTP whose text is JSON, and the door goes without a rest.
 *
 * The first byte says which path, the second how the text is cut; up to the first empty line come
 * headers, then the body. */
#include "json/json.h"
#include "rpc/test_loop.h"
#include "transcode/transcode.h"

#include <demo/echo.oak.h>

typedef Demo__Types__V1__Text text_message;

struct run {
    size_t got;
    int started;
    int closed;
    bool over;
};

static void closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    ((struct run *)user)->closed++;
}

static void say(void *user, struct oak_stub_call *call, const text_message *request)
{
    ((struct run *)user)->started++;
    oak_stub_on_closed(call, closed);
    if (request->inner != NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, request->text);
    } else if (request->n_numbers == 0) {
        OAK_MAYBE(demo__v1__echo__say__reply(call, request) != 0);
    }
}

static void start(void *user, struct oak_stub_call *call)
{
    (void)call;
    ((struct run *)user)->started++;
}

static void talk(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    OAK_MAYBE(demo__v1__echo__talk__reply(call, request) != 0);
    if (request->inner != NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, request->text);
    }
}

static const struct demo__v1__echo_handlers handlers = {
    .say = say,
    .talk = {.start = start, .message = talk, .closed = closed},
};

static const struct oak_transcode_route routes[] = {
    {"say", "demo.v1.Echo", "Say"},
    {"talk", "demo.v1.Echo", "Talk"},
    {"none", "demo.v1.Echo", "None"},
};

static void data(void *user, struct oak_bytes bytes)
{
    struct run *r = user;
    OAK_ASSERT(r->got > 0 || bytes.data[0] == 'H');
    r->got += bytes.size;
}

static void drained(void *user)
{
    (void)user;
}

static void gone(void *user, int error)
{
    (void)error;
    ((struct run *)user)->over = true;
}

static void request_write(struct oak_buf *out, const uint8_t *bytes, size_t size)
{
    static const char *const paths[] = {"say", "talk", "none", "", "say?a=b"};
    size_t head = 0;
    while (head + 4 <= size && memcmp(bytes + head, "\r\n\r\n", 4) != 0) {
        head++;
    }
    size_t body = head + 4 <= size ? head + 4 : size;
    int error = oak_buf_printf(out, "POST /v3/%s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n",
                               paths[size % OAK_COUNT_OF(paths)], size - body);
    OAK_ASSERT(error == 0 && oak_buf_append(out, bytes, head) == 0);
    OAK_ASSERT(oak_buf_append(out, "\r\n\r\n", head > 0 ? 4 : 2) == 0);
    OAK_ASSERT(oak_buf_append(out, bytes + body, size - body) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 2) {
        return 0;
    }
    static const char *const prefixes[] = {"/v3/"};
    struct run r = {.over = false};
    struct fake_loop loop;
    struct oak_http_server *http;
    struct oak_rpc_server *methods;
    struct oak_transcode *door;
    fake_loop_init(&loop);
    OAK_ASSERT(oak_http_server_new(&loop.port, NULL, &http) == 0);
    OAK_ASSERT(oak_rpc_server_new(&loop.port, NULL, &methods) == 0);
    OAK_ASSERT(demo__v1__echo_add(methods, &handlers, &r) == 0);
    const struct oak_transcode_options options = {.loop = &loop.port,
                                                  .http = http,
                                                  .methods = methods,
                                                  .prefixes = prefixes,
                                                  .prefix_count = 1,
                                                  .routes = routes,
                                                  .route_count = OAK_COUNT_OF(routes),
                                                  .request_bytes_max = 2000,
                                                  .reply_bytes_max = 500};
    OAK_ASSERT(oak_transcode_new(&options, &door) == 0);
    struct fake_stream *near = fake_stream_new(&loop);
    struct fake_stream *far = fake_stream_new(&loop);
    near->other = far;
    far->other = near;
    const struct oak_stream_handler handler = {
        .data = data, .drained = drained, .closed = gone, .user = &r};
    fake_handle(&far->base, &handler);
    OAK_ASSERT(oak_http_serve(http, &near->base, oak_bytes(NULL, 0)) == 0);
    struct oak_buf text = {0};
    request_write(&text, bytes + 1, size - 1);
    size_t piece = 1 + (size_t)bytes[0] * 8;
    for (size_t at = 0; at < text.size && !r.over; at += piece) {
        struct oak_bytes next = oak_bytes(text.data + at, OAK_MIN(piece, text.size - at));
        OAK_MAYBE(fake_write(&far->base, next) != 0);
        near->blocked = at % 2 == 1;
        fake_run(&loop);
    }
    near->blocked = false;
    fake_run(&loop);
    if (!r.over) {
        fake_close(&far->base, true);
    }
    fake_run(&loop);
    OAK_ASSERT_EQ(r.started, r.closed);
    oak_transcode_free(door);
    oak_http_server_free(http);
    oak_rpc_server_free(methods);
    fake_loop_fini(&loop);
    oak_buf_fini(&text);
    return 0;
}
