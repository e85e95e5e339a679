/* SPDX-License-Identifier: Apache-2.0 */
/* get.c: one HTTP GET, and a look into what /metrics gives.
 *
 * Happy path   1 connect
 *              2 send an HTTP/1.0 request, so that the answer is neither chunked nor kept alive
 *              3 gather until the server closes
 *              4 cut status and body
 * Can fail     connecting, the time limit, an answer that is no HTTP or too long: `error`.
 * Invariants   `done` is called once. The stream outlives a fini: it is then closed without a
 *              listener.
 */
#include "cli/internal.h"

#include <stdlib.h>

static void settle(struct cli__get *get)
{
    if (get->decided && get->stream == NULL && !get->connecting && !get->finished) {
        get->finished = true;
        if (get->done != NULL) {
            get->done(get);
        }
        oak_os_loop_stop(get->os);
    }
}

/* The outcome is known; what is still open closes now. */
static void decide(struct cli__get *get, int error)
{
    if (!get->decided) {
        get->decided = true;
        get->error = error;
        if (error == 0) {
            get->error = cli__http_read(oak_buf_bytes(&get->bytes), &get->status, &get->body);
        }
        get->loop->timers.stop(get->loop->timers.user, &get->timer);
        if (get->stream != NULL) {
            get->stream->ops->close(get->stream, true);
        }
    }
    settle(get);
}

static void got_data(void *user, struct oak_bytes bytes)
{
    struct cli__get *get = user;
    if (get->decided) {
        return;
    }
    int error = oak_buf_append(&get->bytes, bytes.data, bytes.size);
    if (error == 0 && get->bytes.size > CLI__GET_BYTES_MAX) {
        error = OAK_ELIMIT;
    }
    if (error != 0) {
        decide(get, error);
    }
}

static void drained(void *user)
{
    (void)user;
}

static void closed(void *user, int error)
{
    struct cli__get *get = user;
    get->stream = NULL;
    decide(get, error);
}

static const struct oak_stream_handler handler = {
    .data = got_data,
    .drained = drained,
    .closed = closed,
};

static void connected(void *arg, int error, struct oak_stream *stream)
{
    struct cli__get *get = arg;
    get->connecting = false;
    if (error != 0) {
        decide(get, error);
        return;
    }
    struct oak_stream_handler mine = handler;
    mine.user = get;
    get->stream = stream;
    stream->ops->handle(stream, &mine);
    if (get->decided) {
        stream->ops->close(stream, true);
        return;
    }
    char head[512];
    int size = snprintf(head, sizeof(head), "GET %.128s HTTP/1.0\r\nHost: %.128s\r\n\r\n",
                        get->path, get->endpoint);
    error = stream->ops->write(stream, oak_bytes(head, (size_t)size));
    if (error != 0) {
        decide(get, error);
    }
}

/* The time is up, or (told by `error`) connecting could not even begin. */
static void timed_out(struct oak_timer *timer)
{
    struct cli__get *get = OAK_CONTAINER_OF(timer, struct cli__get, timer);
    decide(get, get->error != 0 ? get->error : OAK_EDEADLINE);
}

void cli__get_start(struct oak_os_loop *loop, struct cli__get *get, uint64_t timeout_ns)
{
    get->os = loop;
    get->loop = oak_os_loop_port(loop);
    get->finished = false;
    get->decided = false;
    get->stream = NULL;
    get->timer = (struct oak_timer){.fire = timed_out};
    oak_buf_clear(&get->bytes);
    const struct oak_loop *l = get->loop;
    uint64_t now = l->clock.mono_ns(l->clock.user);
    get->error = l->net.connect(l->net.user, get->endpoint, timeout_ns, connected, get);
    get->connecting = get->error == 0;
    l->timers.set(l->timers.user, &get->timer, get->error == 0 ? now + timeout_ns : now);
}

void cli__gets(struct oak_os_loop *loop, struct cli__get *gets, size_t count, uint64_t timeout_ns)
{
    for (size_t i = 0; i < count; i++) {
        cli__get_start(loop, &gets[i], timeout_ns);
    }
    for (size_t i = 0; i < count; i++) {
        while (!gets[i].finished) {
            oak_os_loop_run(loop);
        }
    }
}

void cli__get_fini(struct cli__get *get)
{
    OAK_ASSERT(get->stream == NULL && !get->connecting);
    oak_buf_fini(&get->bytes);
}

int cli__http_read(struct oak_bytes text, int *status, struct oak_bytes *body)
{
    static const char end[] = "\r\n\r\n";
    const uint8_t *mark = text.size == 0 ? NULL : memmem(text.data, text.size, end, 4);
    if (mark == NULL || text.size < 12 || memcmp(text.data, "HTTP/1.", 7) != 0) {
        return OAK_EFORMAT;
    }
    *status = 0;
    for (size_t i = 9; i < 12; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return OAK_EFORMAT;
        }
        *status = *status * 10 + (text.data[i] - '0');
    }
    size_t head = (size_t)(mark - text.data) + 4;
    *body = oak_bytes(text.data + head, text.size - head);
    return 0;
}

bool cli__metric_find(struct oak_bytes text, const char *name, double *out)
{
    size_t name_size = strlen(name);
    size_t at = 0;
    while (at < text.size) {
        const uint8_t *line = text.data + at;
        const uint8_t *end = memchr(line, '\n', text.size - at);
        size_t size = end == NULL ? text.size - at : (size_t)(end - line);
        at += size + 1;
        if (size <= name_size + 1 || memcmp(line, name, name_size) != 0 || line[name_size] != ' ') {
            continue;
        }
        char number[64];
        size_t number_size = OAK_MIN(size - name_size - 1, sizeof(number) - 1);
        memcpy(number, line + name_size + 1, number_size);
        number[number_size] = '\0';
        char *stop;
        *out = strtod(number, &stop);
        return stop != number;
    }
    return false;
}
