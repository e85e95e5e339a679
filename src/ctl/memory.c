/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: the memory of a server's process, as its /metrics say.
 *
 * Happy path   1 connect, by TLS where the endpoint wants it 2 an HTTP/1.0 request, so that the
 *              answer is neither chunked nor kept alive 3 gather until the server closes 4 the line
 *              of the metric
 * Can fail     all of it: told.
 * Invariants   the stream is closed, and nothing of it left in the loop, before the answer is read.
 */
#include "ctl/load.h"

#include <stdlib.h>

#define METRIC           "\nprocess_resident_memory_bytes "
#define ANSWER_BYTES_MAX (8 * OAK_MIB) /* /metrics of etcd has some 150 KiB */

struct getting {
    struct ctl *c;
    const char *host; /* "a:1" */
    const struct oak_loop *loop;
    struct oak_stream *stream;
    struct oak_timer timer;
    struct oak_buf bytes;
    int error;
    bool connecting;
    bool decided;
};

static void settle(struct getting *g)
{
    if (g->decided && g->stream == NULL && !g->connecting) {
        oak_os_loop_stop(g->c->os);
    }
}

static void decide(struct getting *g, int error)
{
    if (!g->decided) {
        g->decided = true;
        g->error = error;
        g->loop->timers.stop(g->loop->timers.user, &g->timer);
        if (g->stream != NULL) {
            g->stream->ops->close(g->stream, true);
        }
    }
    settle(g);
}

static void got_data(void *user, struct oak_bytes bytes)
{
    struct getting *g = user;
    if (g->decided) {
        return;
    }
    int error = oak_buf_append(&g->bytes, bytes.data, bytes.size);
    if (error == 0 && g->bytes.size > ANSWER_BYTES_MAX) {
        error = OAK_ELIMIT;
    }
    if (error != 0) {
        decide(g, error);
    }
}

static void drained(void *user)
{
    (void)user;
}

static void closed(void *user, int error)
{
    struct getting *g = user;
    g->stream = NULL;
    decide(g, error);
}

static void connected(void *arg, int error, struct oak_stream *stream)
{
    struct getting *g = arg;
    const struct oak_stream_handler handler = {
        .data = got_data, .drained = drained, .closed = closed, .user = g};
    g->connecting = false;
    if (error != 0) {
        decide(g, error);
        return;
    }
    g->stream = stream;
    stream->ops->handle(stream, &handler);
    if (g->decided) {
        stream->ops->close(stream, true);
        return;
    }
    char head[512];
    int size =
        snprintf(head, sizeof(head), "GET /metrics HTTP/1.0\r\nHost: %.300s\r\n\r\n", g->host);
    error = stream->ops->write(stream, oak_bytes(head, (size_t)size));
    if (error != 0) {
        decide(g, error);
    }
}

static void timed_out(struct oak_timer *timer)
{
    decide(OAK_CONTAINER_OF(timer, struct getting, timer), OAK_EDEADLINE);
}

/* The answer, with a zero behind it. */
static int get(struct getting *g, const struct oak_net *net)
{
    uint64_t timeout_ns = g->c->options.command_ns;
    g->timer = (struct oak_timer){.fire = timed_out};
    g->connecting = true;
    int error = net->connect(net->user, g->host, timeout_ns, connected, g);
    if (error != 0) {
        return error;
    }
    g->loop->timers.set(g->loop->timers.user, &g->timer,
                        g->loop->clock.mono_ns(g->loop->clock.user) + timeout_ns);
    while (!g->decided || g->stream != NULL || g->connecting) {
        oak_os_loop_run(g->c->os);
    }
    return g->error != 0 ? g->error : oak_buf_append(&g->bytes, "", 1);
}

bool ctl__memory_of(struct ctl *c, const struct ctl__endpoints *at, double *out, int *code)
{
    const char *endpoint = at->items[0];
    struct ctl__link *link = ctl__link_http(c, endpoint, at->server_name, code);
    if (link == NULL) {
        return false;
    }
    const char *slashes = strstr(endpoint, "://");
    struct getting g = {
        .c = c,
        .host = slashes != NULL ? slashes + 3 : endpoint,
        .loop = oak_os_loop_port(c->os),
    };
    int error = get(&g, ctl__link_net(c, link));
    const char *line = error == 0 ? strstr((const char *)g.bytes.data, METRIC) : NULL;
    if (line != NULL) {
        *out = strtod(line + strlen(METRIC), NULL);
    } else {
        *code =
            ctl__error(CTL__FAILED, "%s/metrics does not tell process_resident_memory_bytes%s%s",
                       endpoint, error != 0 ? ": " : "", error != 0 ? oak_error_text(error) : "");
    }
    oak_buf_fini(&g.bytes);
    ctl__unlink(link);
    return line != NULL;
}
