/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: a connected socket as struct oak_stream.
 *
 *     open ──close, later──► ending ──flushed──► shut ──peer's end or patience──► closing ──► gone
 *      │ └──peer's end──────► ending ──flushed────────────────────────────────────►  ▲
 *      └──error, close now───────────────────────────────────────────────────────────┘
 *
 * Happy path   write: 1 to the socket at once 2 the rest into `waiting` 3 one write of libuv
 *              takes all of `waiting` as `sending` 4 when it is out, the next, or `drained`
 * Can fail     an error of the socket or want of memory closes the stream: `closed` tells, from
 *              the loop.
 * Invariants   one write is under way at most; `waiting` is empty unless one is. `closed` comes
 *              once, after every other callback, never from inside a call.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "os/internal.h"

static struct os_stream *of_base(struct oak_stream *base)
{
    return OAK_CONTAINER_OF(base, struct os_stream, base);
}

static void closed_cb(uv_handle_t *handle)
{
    struct os_stream *s = handle->data;
    OAK_ASSERT(s->closing);
    OAK_ASSERT(!s->in_flight);
    oak_list_remove(&s->link);
    if (s->accepted) {
        OAK_ASSERT_GT(s->loop->accepted, 0u);
        s->loop->accepted--;
    }
    if (s->handled) {
        s->handler.closed(s->handler.user, s->error);
    }
    oak_buf_fini(&s->sending);
    oak_buf_fini(&s->waiting);
    free(s);
}

void os__stream_close(struct os_stream *s, int error)
{
    if (s->closing) {
        return;
    }
    s->closing = true;
    s->error = error;
    s->loop->port.timers.stop(s->loop, &s->patience);
    uv_close(&s->uv.any, closed_cb);
}

static size_t stream_queued(struct oak_stream *base)
{
    struct os_stream *s = of_base(base);
    size_t sending = s->in_flight ? uv_stream_get_write_queue_size(&s->uv.stream) : 0;
    return sending + s->waiting.size;
}

static void patience_set(struct os_stream *s, uint64_t ns)
{
    const struct oak_clock *clock = &s->loop->port.clock;
    s->left_before = stream_queued(&s->base);
    s->dropped = false;
    s->loop->port.timers.set(s->loop, &s->patience, clock->mono_ns(clock->user) + ns);
}

/* A closing stream: the peer takes nothing more of what is queued, or does not end its side. */
static void patience_fire(struct oak_timer *timer)
{
    struct os_stream *s = OAK_CONTAINER_OF(timer, struct os_stream, patience);
    OAK_ASSERT(s->ending);
    if (s->shut && (!s->dropped || s->lingered == OS_LINGER_TIMES)) {
        os__stream_close(s, 0);
    } else if (s->shut) {
        s->lingered++;
        patience_set(s, OS_LINGER_NS);
    } else if (stream_queued(&s->base) < s->left_before) {
        patience_set(s, OS_FLUSH_NS);
    } else {
        os__stream_close(s, OAK_ECLOSED);
    }
}

static void shutdown_cb(uv_shutdown_t *request, int status)
{
    struct os_stream *s = request->data;
    if (status != 0) {
        os__stream_close(s, 0);
    }
}

/* Everything is out: send our end, and let the peer send its own. */
static void end_flushed(struct os_stream *s)
{
    OAK_ASSERT(s->ending);
    OAK_ASSERT(!s->in_flight);
    s->shutdown.data = s;
    if (s->peer_ended || uv_shutdown(&s->shutdown, &s->uv.stream, shutdown_cb) != 0) {
        os__stream_close(s, 0);
        return;
    }
    s->shut = true;
    patience_set(s, OS_LINGER_NS);
}

static void end_begin(struct os_stream *s)
{
    s->ending = true;
    if (s->in_flight) {
        patience_set(s, OS_FLUSH_NS);
    } else {
        end_flushed(s);
    }
}

static void alloc_cb(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    (void)suggested;
    struct os_stream *s = handle->data;
    out->base = (char *)s->loop->read_buffer;
    out->len = OS_READ_BYTES;
}

static void read_cb(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct os_stream *s = stream->data;
    if (got > 0) {
        if (s->ending) {
            s->dropped = true;
        } else {
            s->handler.data(s->handler.user, oak_bytes(buffer->base, (size_t)got));
        }
    } else if (got == UV_EOF) {
        uv_read_stop(stream);
        s->peer_ended = true;
        if (!s->ending) {
            end_begin(s);
        } else if (!s->in_flight) {
            os__stream_close(s, 0);
        }
    } else if (got < 0) {
        /* A reset after our end was sent is the peer's way to end: nothing was lost. */
        os__stream_close(s, s->shut ? 0 : oak_os_error((int)got));
    }
}

static void stream_handle(struct oak_stream *base, const struct oak_stream_handler *handler)
{
    struct os_stream *s = of_base(base);
    OAK_ASSERT(handler->data != NULL);
    OAK_ASSERT(handler->closed != NULL);
    s->handler = *handler;
    if (s->handled) {
        return;
    }
    s->handled = true;
    if (!s->closing && !s->ending) {
        int rc = uv_read_start(&s->uv.stream, alloc_cb, read_cb);
        if (rc != 0) {
            os__stream_close(s, oak_os_error(rc));
        }
    }
}

static void write_cb(uv_write_t *request, int status);

static void flush(struct os_stream *s)
{
    OAK_ASSERT(!s->in_flight);
    struct oak_buf spare = s->sending;
    s->sending = s->waiting;
    s->waiting = spare;
    uv_buf_t all = {.base = (char *)s->sending.data, .len = s->sending.size};
    s->write.data = s;
    int rc = uv_write(&s->write, &s->uv.stream, &all, 1, write_cb);
    if (rc != 0) {
        os__stream_close(s, oak_os_error(rc));
        return;
    }
    s->in_flight = true;
}

static void write_cb(uv_write_t *request, int status)
{
    struct os_stream *s = request->data;
    OAK_ASSERT(s->in_flight);
    s->in_flight = false;
    oak_buf_clear(&s->sending);
    if (s->sending.capacity > OS_KEEP_BYTES) {
        oak_buf_fini(&s->sending);
    }
    if (s->closing) {
        return;
    }
    if (status != 0) {
        os__stream_close(s, oak_os_error(status)); /* also behind the peer's end: bytes were lost */
    } else if (s->waiting.size > 0) {
        flush(s);
    } else if (s->ending) {
        end_flushed(s);
    } else if (s->handled && s->handler.drained != NULL) {
        s->handler.drained(s->handler.user);
    }
}

/* What the socket takes of the pieces at once. False: it is broken, and the stream closes. */
static bool write_now(struct os_stream *s, const struct oak_bytes *pieces, size_t count,
                      size_t *sent)
{
    uv_buf_t now[OAK_STREAM_PIECES_MAX];
    for (size_t i = 0; i < count; i++) {
        now[i] = (uv_buf_t){.base = (char *)(uintptr_t)pieces[i].data, .len = pieces[i].size};
    }
    int rc = uv_try_write(&s->uv.stream, now, (unsigned)count);
    if (rc < 0 && rc != UV_EAGAIN) {
        os__stream_close(s, oak_os_error(rc));
        return false;
    }
    *sent = rc > 0 ? (size_t)rc : 0;
    return true;
}

static int stream_write_pieces(struct oak_stream *base, const struct oak_bytes *pieces,
                               size_t count)
{
    struct os_stream *s = of_base(base);
    OAK_ASSERT_LE(count, OAK_STREAM_PIECES_MAX);
    size_t left = 0;
    size_t sent = 0;
    for (size_t i = 0; i < count; i++) {
        left += pieces[i].size;
    }
    if (s->closing || s->ending) {
        return OAK_ECLOSED;
    }
    if (left == 0) {
        return 0;
    }
    if (!s->in_flight && !write_now(s, pieces, count, &sent)) {
        return OAK_ECLOSED;
    }
    left -= sent;
    if (left == 0) {
        return 0;
    }
    int error = oak_buf_reserve(&s->waiting, left);
    for (size_t i = 0; i < count && error == 0; i++) {
        size_t gone = OAK_MIN(sent, pieces[i].size);
        error = oak_buf_append(&s->waiting, pieces[i].data + gone, pieces[i].size - gone);
        sent -= gone;
    }
    if (error != 0) {
        os__stream_close(s, OAK_ENOMEM);
        return OAK_ECLOSED;
    }
    if (!s->in_flight) {
        flush(s);
    }
    return s->closing ? OAK_ECLOSED : 0;
}

static int stream_write(struct oak_stream *base, struct oak_bytes bytes)
{
    return stream_write_pieces(base, &bytes, 1);
}

static void stream_pause(struct oak_stream *base, bool paused)
{
    struct os_stream *s = of_base(base);
    if (s->closing || s->ending || !s->handled) {
        return;
    }
    if (paused) {
        uv_read_stop(&s->uv.stream);
        return;
    }
    int rc = uv_read_start(&s->uv.stream, alloc_cb, read_cb);
    if (rc != 0 && rc != UV_EALREADY) {
        os__stream_close(s, oak_os_error(rc));
    }
}

static void stream_close(struct oak_stream *base, bool now)
{
    struct os_stream *s = of_base(base);
    if (now) {
        os__stream_close(s, 0);
        return;
    }
    if (s->closing || s->ending) {
        return;
    }
    /* Read on even if paused: what comes is dropped, and the peer's end is seen. */
    int rc = uv_read_start(&s->uv.stream, alloc_cb, read_cb);
    if (rc != 0 && rc != UV_EALREADY) {
        os__stream_close(s, 0);
        return;
    }
    end_begin(s);
}

static const char *stream_peer_name(struct oak_stream *base)
{
    return of_base(base)->peer;
}

static const struct oak_process *stream_process(struct oak_stream *base)
{
    struct os_stream *s = of_base(base);
    return s->process_known ? &s->process : NULL;
}

static const struct oak_stream_ops stream_ops = {
    .handle = stream_handle,
    .write = stream_write,
    .write_pieces = stream_write_pieces,
    .queued = stream_queued,
    .pause = stream_pause,
    .close = stream_close,
    .peer_name = stream_peer_name,
    .process = stream_process,
};

struct os_stream *os__stream_new(struct oak_os_loop *loop, bool unix_path)
{
    struct os_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    int rc =
        unix_path ? uv_pipe_init(&loop->uv, &s->uv.pipe, 0) : uv_tcp_init(&loop->uv, &s->uv.tcp);
    OAK_ASSERT(rc == 0);
    s->base.ops = &stream_ops;
    s->loop = loop;
    s->patience.fire = patience_fire;
    s->uv.any.data = s;
    oak_list_push(&loop->streams, &s->link);
    return s;
}

/* Asked once, when it is sure to be there: the kernel keeps it as of the connect. */
static void process_learn(struct os_stream *s)
{
    uv_os_fd_t fd;
    struct ucred other = {0};
    socklen_t size = sizeof(other);
    if (uv_fileno(&s->uv.any, &fd) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &size) != 0 || size != sizeof(other)) {
        return;
    }
    s->process = (struct oak_process){.pid = other.pid, .uid = other.uid, .gid = other.gid};
    s->process_known = true;
}

void os__stream_connected(struct os_stream *s, const char *unix_path)
{
    if (unix_path != NULL) {
        snprintf(s->peer, sizeof(s->peer), "unix:%s", unix_path);
        process_learn(s);
        return;
    }
    struct sockaddr_storage ip = {0};
    int size = sizeof(ip);
    uv_tcp_getpeername(&s->uv.tcp, (struct sockaddr *)&ip, &size);
    os__address_name((struct sockaddr *)&ip, s->peer, sizeof(s->peer));
    /* Batches are ours to form: what is written leaves. Without it, slower but right. */
    uv_tcp_nodelay(&s->uv.tcp, 1);
    /* A peer that went without a word is found by the kernel, where nothing is sent for days. */
    uv_tcp_keepalive(&s->uv.tcp, 1, OS_KEEPALIVE_S);
}
