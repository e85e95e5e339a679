/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c: answers, whole or in pieces.
 *
 * Happy path   head and body leave by one write; what the socket does not take, the stream queues
 * Can fail     the peer is gone, or there is no memory: then the connection breaks off, and the
 *              handler's duty is still done.
 * Invariants   one answer to a request, of the length that its head tells.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/internal.h"

/* No body goes with these, whatever the handler gave. */
static bool is_bodiless(int status)
{
    return status < 200 || status == 204 || status == 304;
}

static const char *reason_of(int status)
{
    /* nginx's, which who speaks of a client that is gone has taken over: in no table of HTTP. */
    return status == 499 ? "Client Closed Request" : http_status_str((enum http_status)status);
}

/* Status line and headers up to the empty line. `length`: "Content-Length: ..." or what stands for
 * it. */
static int head_write(struct oak_buf *out, const struct oak_http_request *r,
                      const struct oak_http_answer *a, const char *length, const char *connection)
{
    OAK_ASSERT(a->status >= 200 && a->status <= 599);
    size_t extra = a->extra == NULL ? 0 : strlen(a->extra);
    OAK_ASSERT(extra == 0 || (extra > 2 && memcmp(a->extra + extra - 2, "\r\n", 2) == 0));
    const char *type = a->content_type == NULL ? "text/plain; charset=utf-8" : a->content_type;
    int error = oak_buf_printf(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%s%s", a->status,
                               reason_of(a->status), type, length, connection);
    error = error != 0 ? error : http__access_write(out, r);
    return error != 0 ? error : oak_buf_printf(out, "%s\r\n", a->extra == NULL ? "" : a->extra);
}

static const char *connection_header(const struct oak_http_request *r, bool keep)
{
    if (!keep) {
        return "Connection: close\r\n";
    }
    return r->old ? "Connection: keep-alive\r\n" : "";
}

int http__answer_write(struct http_conn *c, const struct oak_http_request *r,
                       const struct oak_http_answer *answer, bool keep)
{
    char length[64] = "";
    bool bodiless = is_bodiless(answer->status);
    if (!bodiless) {
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", answer->body.size);
    }
    struct oak_buf out = {0};
    int error = head_write(&out, r, answer, length, connection_header(r, keep));
    if (error == 0 && !bodiless && !(r != NULL && r->head_only)) {
        error = oak_buf_append(&out, answer->body.data, answer->body.size);
    }
    if (error == 0) {
        error = http__conn_write(c, oak_buf_bytes(&out));
    }
    oak_buf_fini(&out);
    return error;
}

/* The handler has done its duty: the request goes back to its connection. */
static void give_back(struct http_conn *c, struct oak_http_request *r)
{
    OAK_ASSERT(c->request == r);
    c->owed = false;
    c->request = NULL;
    http__body_release(c);
    http__request_drop(c, r);
}

static void finish(struct http_conn *c, struct oak_http_request *r, bool keep, bool broken)
{
    give_back(c, r);
    if (c->state == HTTP_STATE_CLOSING) {
        return; /* drained or freed meanwhile; `closed` is on its way */
    }
    if (broken) {
        http__conn_close(c, true);
    } else {
        http__conn_replied(c, keep);
    }
}

void oak_http_reply(struct oak_http_request *r, const struct oak_http_answer *answer)
{
    struct http_conn *c = r->conn;
    OAK_ASSERT(!r->begun);
    if (c == NULL) {
        http__request_free(r);
        return;
    }
    bool keep = r->keep_alive && c->server != NULL && !c->server->draining;
    int error = OAK_ECLOSED;
    if (c->state != HTTP_STATE_CLOSING) {
        error = http__answer_write(c, r, answer, keep);
    }
    finish(c, r, keep, error != 0);
}

/* -- in pieces --------------------------------------------------------------------------------- */

/* Append one piece in its framing. */
static int piece_append(const struct oak_http_request *r, struct oak_buf *out,
                        struct oak_bytes piece)
{
    if (piece.size == 0 || r->head_only) {
        return 0; /* an empty chunk would be the last */
    }
    int error = r->chunked ? oak_buf_printf(out, "%zx\r\n", piece.size) : 0;
    if (error == 0) {
        error = oak_buf_append(out, piece.data, piece.size);
    }
    return error == 0 && r->chunked ? oak_buf_append(out, "\r\n", 2) : error;
}

/* Send, and watch that the peer takes it. */
static int piece_send(struct http_conn *c, const struct oak_buf *out)
{
    int error = out->size == 0 ? 0 : http__conn_write(c, oak_buf_bytes(out));
    if (error == 0 && c->stream->ops->queued(c->stream) > 0 && !c->timer.running) {
        http__conn_watch_writing(c);
    }
    return error;
}

static bool is_reachable(const struct oak_http_request *r)
{
    return r->conn != NULL && r->conn->state == HTTP_STATE_BUSY;
}

void oak_http_begin(struct oak_http_request *r, const struct oak_http_answer *answer)
{
    OAK_ASSERT(!r->begun);
    OAK_ASSERT(!is_bodiless(answer->status));
    r->begun = true;
    if (!is_reachable(r)) {
        return;
    }
    struct http_conn *c = r->conn;
    r->chunked = !r->old;
    r->keep_alive = r->keep_alive && r->chunked && !c->server->draining;
    struct oak_buf out = {0};
    int error = head_write(&out, r, answer, r->chunked ? "Transfer-Encoding: chunked\r\n" : "",
                           connection_header(r, r->keep_alive));
    if (error == 0) {
        error = piece_append(r, &out, answer->body);
    }
    if (error == 0) {
        error = piece_send(c, &out);
    }
    oak_buf_fini(&out);
    if (error != 0) {
        http__conn_close(c, true);
    }
}

int oak_http_write(struct oak_http_request *r, struct oak_bytes piece)
{
    OAK_ASSERT(r->begun);
    if (!is_reachable(r)) {
        return OAK_ECLOSED;
    }
    size_t before = oak_http_queued(r);
    if (before > OAK_OUTBOUND_BYTES_MAX || piece.size > OAK_OUTBOUND_BYTES_MAX - before) {
        return OAK_ELIMIT;
    }
    struct oak_buf out = {0};
    int error = piece_append(r, &out, piece);
    if (error == 0) {
        error = piece_send(r->conn, &out);
    }
    oak_buf_fini(&out);
    return error;
}

size_t oak_http_queued(const struct oak_http_request *r)
{
    return is_reachable(r) ? r->conn->stream->ops->queued(r->conn->stream) : 0;
}

void oak_http_end(struct oak_http_request *r)
{
    OAK_ASSERT(r->begun);
    struct http_conn *c = r->conn;
    if (c == NULL) {
        http__request_free(r);
        return;
    }
    int error = OAK_ECLOSED;
    if (is_reachable(r)) {
        bool last = r->chunked && !r->head_only;
        error = last ? http__conn_write(c, oak_bytes_str("0\r\n\r\n")) : 0;
    }
    finish(c, r, r->keep_alive, error != 0);
}

void oak_http_abort(struct oak_http_request *r)
{
    OAK_ASSERT(r->begun);
    struct http_conn *c = r->conn;
    if (c == NULL) {
        http__request_free(r);
    } else {
        finish(c, r, false, true);
    }
}

void oak_http_watch(struct oak_http_request *r,
                    void (*changed)(void *user, struct oak_http_request *r), void *user)
{
    r->changed = changed;
    r->changed_user = user;
}
