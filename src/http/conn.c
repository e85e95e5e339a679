/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c: a connection: input worked off request by request, times kept, an orderly end.
 *
 * Happy path   1 bytes come
 *              2 a request is whole
 *              3 its handler runs
 *              4 its answer leaves
 *              5 the next one, from what came ahead or from the stream
 * Can fail     the peer: its stream closes, and `closed_cb` is the only place where a connection
 *              ends.
 * Invariants   one request at a time is read or answered: answers are in order by construction.
 *              Input past HTTP_AHEAD_BYTES is not read while a request is answered. A handler
 *              never runs inside oak_http_serve or oak_http_reply, but from the loop.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/internal.h"

static uint64_t now_ns(const struct http_conn *c)
{
    return c->loop->clock.mono_ns(c->loop->clock.user);
}

static size_t queued(const struct http_conn *c)
{
    return c->stream->ops->queued(c->stream);
}

/* Bytes that the peer's side has taken, to be compared only: a stream that encrypts queues more
 * bytes than it was given. */
static uint64_t sent(const struct http_conn *c)
{
    return c->written - queued(c);
}

int http__conn_write(struct http_conn *c, struct oak_bytes bytes)
{
    int error = c->stream->ops->write(c->stream, bytes);
    c->written += error == 0 ? bytes.size : 0;
    return error;
}

void http__conn_watch_writing(struct http_conn *c)
{
    c->sent = sent(c);
    c->loop->timers.set(c->loop->timers.user, &c->timer, now_ns(c) + HTTP_WRITE_NS);
}

void http__conn_enter(struct http_conn *c, enum http_state state)
{
    static const uint64_t patience_ns[] = {
        [HTTP_STATE_IDLE] = HTTP_IDLE_NS,     [HTTP_STATE_HEAD] = HTTP_HEAD_NS,
        [HTTP_STATE_BODY] = HTTP_BODY_NS,     [HTTP_STATE_BUSY] = 0,
        [HTTP_STATE_WRITING] = HTTP_WRITE_NS, [HTTP_STATE_CLOSING] = 0,
    };
    OAK_ASSERT(c->state != HTTP_STATE_CLOSING);
    c->state = state;
    if (patience_ns[state] == 0) {
        c->loop->timers.stop(c->loop->timers.user, &c->timer);
        return;
    }
    c->sent = sent(c);
    c->loop->timers.set(c->loop->timers.user, &c->timer, now_ns(c) + patience_ns[state]);
}

void http__conn_close(struct http_conn *c, bool now)
{
    if (c->state != HTTP_STATE_CLOSING) {
        http__conn_enter(c, HTTP_STATE_CLOSING);
    }
    oak_buf_fini(&c->ahead);
    if (c->stream != NULL) {
        c->stream->ops->close(c->stream, now);
    }
}

void http__conn_fail(struct http_conn *c, int status)
{
    oak_log(c->server->log, OAK_LOG_DEBUG, "http: %s: request refused with %d",
            c->stream->ops->peer_name(c->stream), status);
    char text[64];
    int size = snprintf(text, sizeof(text), "%s\n", http_status_str((enum http_status)status));
    const struct oak_http_answer answer = {.status = status, .body = oak_bytes(text, (size_t)size)};
    int error = http__answer_write(c, c->request, &answer, false);
    http__conn_close(c, error != 0);
}

/* Timers of writing look for progress, the others for the end. */
static void timer_fire(struct oak_timer *timer)
{
    struct http_conn *c = OAK_CONTAINER_OF(timer, struct http_conn, timer);
    switch (c->state) {
    case HTTP_STATE_IDLE:
        http__conn_close(c, false);
        break;
    case HTTP_STATE_HEAD:
    case HTTP_STATE_BODY:
        http__conn_fail(c, 408);
        break;
    case HTTP_STATE_BUSY:
    case HTTP_STATE_WRITING:
        if (sent(c) == c->sent) {
            http__conn_close(c, true);
        } else {
            http__conn_watch_writing(c);
        }
        break;
    case HTTP_STATE_CLOSING:
        OAK_UNREACHABLE("a closing connection has no timer");
    }
}

static bool reads(const struct http_conn *c)
{
    return c->state == HTTP_STATE_IDLE || c->state == HTTP_STATE_HEAD ||
           c->state == HTTP_STATE_BODY;
}

static void request_whole(struct http_conn *c)
{
    struct oak_http_request *r = c->request;
    c->complete = false;
    int error = http__uri_parse(r);
    if (error != 0) {
        http__conn_fail(c, error == OAK_ENOMEM ? 503 : 400);
        return;
    }
    http__conn_enter(c, HTTP_STATE_BUSY);
    http__dispatch(c, r);
}

/* Work off what can be: gives how much was used. What is left then waits for an answer to leave. */
static size_t consume(struct http_conn *c, struct oak_bytes bytes)
{
    size_t used = 0;
    c->consuming = true;
    while (used < bytes.size && reads(c)) {
        used += http__parse(c, oak_bytes(bytes.data + used, bytes.size - used));
        if (c->status != 0) {
            http__conn_fail(c, c->status);
        } else if (c->complete) {
            request_whole(c);
        }
    }
    c->consuming = false;
    return used;
}

static void reading_set(struct http_conn *c)
{
    bool pause = c->ahead.size > HTTP_AHEAD_BYTES;
    if (pause != c->paused && c->state != HTTP_STATE_CLOSING) {
        c->paused = pause;
        c->stream->ops->pause(c->stream, pause);
    }
}

static void pump(struct http_conn *c)
{
    if (c->ahead.size > 0 && reads(c)) {
        size_t used = consume(c, oak_buf_bytes(&c->ahead));
        if (c->state == HTTP_STATE_CLOSING) {
            return;
        }
        oak_buf_consume(&c->ahead, used);
        if (c->ahead.size == 0 && c->ahead.capacity > HTTP_KEEP_BYTES) {
            oak_buf_fini(&c->ahead);
        }
    }
    reading_set(c);
}

static void pump_run(struct oak_task *task)
{
    struct http_conn *c = OAK_CONTAINER_OF(task, struct http_conn, pump);
    c->posted = false;
    if (c->stream == NULL) {
        free(c); /* closed meanwhile */
    } else if (c->state != HTTP_STATE_CLOSING) {
        pump(c);
    }
}

static void pump_post(struct http_conn *c)
{
    if (!c->posted) {
        c->posted = true;
        c->loop->exec.post(c->loop->exec.user, &c->pump);
    }
}

void http__conn_replied(struct http_conn *c, bool keep)
{
    OAK_ASSERT(c->state == HTTP_STATE_BUSY);
    OAK_ASSERT(c->request == NULL);
    if (!keep || c->server->draining) {
        http__conn_close(c, false);
        return;
    }
    http__conn_enter(c, queued(c) > 0 ? HTTP_STATE_WRITING : HTTP_STATE_IDLE);
    if (c->ahead.size > 0 && !c->consuming) {
        pump_post(c);
    }
}

static void data_cb(void *user, struct oak_bytes bytes)
{
    struct http_conn *c = user;
    if (c->state == HTTP_STATE_CLOSING) {
        return;
    }
    size_t used = c->ahead.size == 0 ? consume(c, bytes) : 0;
    if (c->state == HTTP_STATE_CLOSING || used == bytes.size) {
        return;
    }
    if (oak_buf_append(&c->ahead, bytes.data + used, bytes.size - used) != 0) {
        http__conn_close(c, true);
        return;
    }
    pump(c);
}

static void changed_tell(struct oak_http_request *r)
{
    if (r->changed != NULL) {
        r->changed(r->changed_user, r);
    }
}

static void drained_cb(void *user)
{
    struct http_conn *c = user;
    if (c->state == HTTP_STATE_WRITING) {
        http__conn_enter(c, HTTP_STATE_IDLE);
        pump(c);
    } else if (c->state == HTTP_STATE_BUSY && c->request->begun) {
        c->loop->timers.stop(c->loop->timers.user, &c->timer);
        changed_tell(c->request);
    }
}

static void closed_cb(void *user, int error)
{
    struct http_conn *c = user;
    struct oak_http_request *r = c->request;
    bool owed = c->owed;
    (void)error;
    c->loop->timers.stop(c->loop->timers.user, &c->timer);
    c->state = HTTP_STATE_CLOSING;
    c->stream = NULL;
    http__conn_gone(c);
    http__request_free(c->spare);
    c->spare = NULL;
    c->request = NULL;
    oak_buf_fini(&c->ahead);
    if (!c->posted) {
        free(c);
    }
    if (!owed) {
        http__request_free(r);
    } else {
        r->conn = NULL;
        changed_tell(r); /* last: it may end the request */
    }
}

int oak_http_serve(struct oak_http_server *server, struct oak_stream *stream,
                   struct oak_bytes early)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    if (c == NULL || (early.size > 0 && oak_buf_append(&c->ahead, early.data, early.size) != 0)) {
        free(c);
        return OAK_ENOMEM;
    }
    c->server = server;
    c->loop = server->loop;
    c->stream = stream;
    c->timer.fire = timer_fire;
    c->pump.run = pump_run;
    http__parse_init(c);
    oak_list_push(&server->conns, &c->link);
    server->conn_count++;
    const struct oak_stream_handler handler = {
        .data = data_cb, .drained = drained_cb, .closed = closed_cb, .user = c};
    stream->ops->handle(stream, &handler);
    http__conn_enter(c, HTTP_STATE_IDLE);
    if (early.size > 0) {
        pump_post(c);
    } else if (server->draining) {
        http__conn_close(c, false);
    }
    return 0;
}
