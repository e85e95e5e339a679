/* SPDX-License-Identifier: Apache-2.0 */
/* request_fuzz.c: any bytes on a connection, cut anywhere, with handlers that answer now, later, in
 * pieces or never in time. The first byte chooses the cut, the handlers are chosen by the path. */
#include "http/fake_fixture.h"
#include "http/http.h"

struct world {
    struct fake_loop loop;
    struct fake_stream stream;
    struct oak_http_server *server;
    struct oak_http_request *held;
    uint8_t sum;
};

static void look(struct world *w, const struct oak_http_request *r)
{
    const struct oak_bytes all[] = {oak_http_path(r), oak_http_rest(r), oak_http_body(r),
                                    oak_http_query(r, "a", 0), oak_http_header(r, "host")};
    for (size_t i = 0; i < OAK_COUNT_OF(all); i++) {
        for (size_t at = 0; at < all[i].size; at++) {
            w->sum ^= all[i].data[at];
        }
    }
}

static void answer(struct oak_http_request *r)
{
    const struct oak_http_answer ok = {.status = 200, .body = oak_http_body(r)};
    oak_http_reply(r, &ok);
}

static void handle_now(void *user, struct oak_http_request *r)
{
    look(user, r);
    answer(r);
}

static void handle_later(void *user, struct oak_http_request *r)
{
    struct world *w = user;
    look(w, r);
    OAK_ASSERT(w->held == NULL);
    w->held = r;
}

static void handle_pieces(void *user, struct oak_http_request *r)
{
    const struct oak_http_answer ok = {.status = 200, .body = oak_http_path(r)};
    look(user, r);
    oak_http_begin(r, &ok);
    int error = oak_http_write(r, oak_bytes_str("piece"));
    if (error == 0) {
        oak_http_end(r);
    } else {
        oak_http_abort(r);
    }
}

static void held_answer(struct world *w)
{
    struct oak_http_request *r = w->held;
    if (r != NULL) {
        w->held = NULL;
        answer(r);
    }
}

static void feed(struct world *w, const uint8_t *data, size_t size)
{
    size_t step = 1 + data[0] % 64;
    for (size_t at = 1; at < size; at += step) {
        fake_stream_feed(&w->stream, oak_bytes(data + at, OAK_MIN(step, size - at)));
        fake_loop_tasks(&w->loop);
        if (data[at] % 3 == 0) {
            held_answer(w);
        }
        w->stream.blocked = data[at] % 16 == 0;
        if (!w->stream.blocked) {
            fake_stream_take(&w->stream, SIZE_MAX);
        }
        fake_loop_tasks(&w->loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct world w = {0};
    fake_loop_init(&w.loop);
    fake_stream_init(&w.stream);
    const struct oak_http_route routes[] = {
        {.methods = OAK_HTTP_GET | OAK_HTTP_POST, .path = "/*", .handle = handle_now, .user = &w},
        {.methods = OAK_HTTP_GET | OAK_HTTP_POST, .path = "/l", .handle = handle_later, .user = &w},
        {.methods = OAK_HTTP_GET | OAK_HTTP_POST,
         .path = "/p",
         .handle = handle_pieces,
         .user = &w},
    };
    int error = oak_http_server_new(&w.loop.port, NULL, &w.server);
    for (size_t i = 0; i < OAK_COUNT_OF(routes) && error == 0; i++) {
        error = oak_http_server_add(w.server, &routes[i]);
    }
    if (error == 0) {
        error = oak_http_serve(w.server, &w.stream.base, oak_bytes("", 0));
    }
    OAK_ASSERT(error == 0);
    feed(&w, data, size);
    fake_loop_pass(&w.loop, data[0] % 2 == 0 ? 0 : UINT64_MAX / 2);
    if (data[0] % 4 < 2) {
        held_answer(&w);
    }
    w.stream.closing = true;
    w.stream.now = true;
    fake_stream_settle(&w.stream);
    fake_loop_tasks(&w.loop);
    held_answer(&w);
    oak_http_server_free(w.server);
    OAK_ASSERT(oak_list_empty(&w.loop.timers));
    fake_stream_fini(&w.stream);
    return 0;
}
