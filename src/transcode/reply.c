/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c: answers: one message as JSON, or a stream of them as lines; statuses as errors.
 *
 * Happy path   a message that waits becomes text, the text leaves in pieces, as long as the client
 *              takes them; then the next. When the call is finished and all has left, so ends the
 *              answer.
 * Can fail     a message that is not what its method says, or too large as text: an error in its
 *              place. No memory for the connection: it breaks off.
 * Invariants   text of one message at a time is held. The head of an answer leaves with its first
 *              message, so that an error before it has its status of HTTP.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "transcode/internal.h"

static const char json_type[] = "application/json";
static const struct oak_json_form form = {.proto_names = true, .skip_unknown = true};

/* -- statuses ---------------------------------------------------------------------------------- */

static const struct {
    int status;
    const char *reason;
} of_http[] = {
    [OAK_RPC_OK] = {200, "OK"},
    [OAK_RPC_CANCELLED] = {499, "Client Closed Request"},
    [OAK_RPC_UNKNOWN] = {500, "Internal Server Error"},
    [OAK_RPC_INVALID_ARGUMENT] = {400, "Bad Request"},
    [OAK_RPC_DEADLINE_EXCEEDED] = {504, "Gateway Timeout"},
    [OAK_RPC_NOT_FOUND] = {404, "Not Found"},
    [OAK_RPC_ALREADY_EXISTS] = {409, "Conflict"},
    [OAK_RPC_PERMISSION_DENIED] = {403, "Forbidden"},
    [OAK_RPC_RESOURCE_EXHAUSTED] = {429, "Too Many Requests"},
    [OAK_RPC_FAILED_PRECONDITION] = {400, "Bad Request"},
    [OAK_RPC_ABORTED] = {409, "Conflict"},
    [OAK_RPC_OUT_OF_RANGE] = {400, "Bad Request"},
    [OAK_RPC_UNIMPLEMENTED] = {501, "Not Implemented"},
    [OAK_RPC_INTERNAL] = {500, "Internal Server Error"},
    [OAK_RPC_UNAVAILABLE] = {503, "Service Unavailable"},
    [OAK_RPC_DATA_LOSS] = {500, "Internal Server Error"},
    [OAK_RPC_UNAUTHENTICATED] = {401, "Unauthorized"},
};

static int put(struct oak_buf *out, const char *text)
{
    return oak_buf_append(out, text, strlen(text));
}

static int put_failure(struct oak_buf *out, const struct transcode_failure *f)
{
    int error = put(out, "{\"error\":");
    error = error != 0 ? error : oak_json_put_string(out, f->text);
    error = error != 0 ? error : put(out, ",\"message\":");
    error = error != 0 ? error : oak_json_put_string(out, f->text);
    return error != 0 ? error : oak_buf_printf(out, ",\"code\":%d}", (int)f->code);
}

/* As the versions of etcd have it: newer clients look at `code`, older ones at `grpc_code`. */
static int put_stream_failure(struct oak_buf *out, const struct transcode_failure *f)
{
    int error = oak_buf_printf(out, "{\"error\":{\"grpc_code\":%d,\"http_code\":%d,\"message\":",
                               (int)f->code, of_http[f->code].status);
    error = error != 0 ? error : oak_json_put_string(out, f->text);
    return error != 0 ? error
                      : oak_buf_printf(out, ",\"http_status\":\"%s\",\"code\":%d}}\n",
                                       of_http[f->code].reason, (int)f->code);
}

/* The whole answer. Without memory for its body it has none. */
static void reply(struct oak_http_request *http, int status, const char *headers,
                  struct oak_bytes body)
{
    const struct oak_http_answer answer = {
        .status = status, .content_type = json_type, .extra = headers, .body = body};
    oak_http_reply(http, &answer);
}

void transcode__reply_as(struct oak_http_request *http, int status, const char *headers,
                         const struct transcode_failure *failure)
{
    struct oak_buf out = {0};
    if (put_failure(&out, failure) != 0) {
        oak_buf_clear(&out);
    }
    reply(http, status, headers, oak_buf_bytes(&out));
    oak_buf_fini(&out);
}

void transcode__reply_failure(struct oak_http_request *http, const char *headers,
                              const struct transcode_failure *failure)
{
    transcode__reply_as(http, of_http[failure->code].status, headers, failure);
}

/* -- messages as text -------------------------------------------------------------------------- */

/* The call has come to another end than its method thinks: what waits is not sent. */
static void spoil(struct transcode_call *call, enum oak_rpc_code code, const char *text)
{
    oak_buf_fini(&call->out);
    call->out_at = 0;
    call->finished = true;
    call->code = code;
    oak_buf_clear(&call->status_text);
    if (put(&call->status_text, text) != 0) {
        oak_buf_clear(&call->status_text);
    }
}

static void spoil_by(struct transcode_call *call, int error)
{
    switch (error) {
    case OAK_EFORMAT:
    case OAK_EUNIMPLEMENTED:
        spoil(call, OAK_RPC_INTERNAL, "the answer can't be written as JSON");
        break;
    case OAK_ELIMIT:
        spoil(call, OAK_RPC_RESOURCE_EXHAUSTED, "the answer is too large");
        break;
    default:
        spoil(call, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        break;
    }
}

/* Append one message to the text. Nothing is appended when it fails. */
static int message_write(struct transcode_call *call, struct oak_bytes bytes)
{
    struct oak_transcode *door = call->door;
    bool line = !transcode__is_single(call);
    struct oak_buf *text = &call->text;
    size_t start = text->size;
    ProtobufCMessage *message;
    oak_arena_reset(&door->arena);
    door->arena.ceiling = OAK_RESPONSE_BYTES_MAX;
    size_t room = door->options.held_bytes_max - OAK_MIN(door->held, door->options.held_bytes_max);
    size_t most = start + OAK_MIN(door->options.reply_bytes_max, room + text->capacity);
    int error = oak_pb_unpack(call->method->stub->response, bytes, &door->arena, &message);
    error = error != 0 || !line ? error : put(text, "{\"result\":");
    error = error != 0 ? error : oak_json_from_pb(text, message, &form, most);
    error = error != 0 || !line ? error : put(text, "}\n");
    oak_arena_reset(&door->arena);
    text->size = error != 0 ? start : text->size;
    return error;
}

/* The next message that waits. False: the call has been spoiled. */
static bool text_next(struct transcode_call *call)
{
    OAK_ASSERT_EQ(call->text.size, 0u);
    OAK_ASSERT_LE(call->out_at + TRANSCODE_LENGTH_BYTES, call->out.size);
    const uint8_t *at = call->out.data + call->out_at;
    size_t size = oak_get_u32(at);
    OAK_ASSERT_LE(size, call->out.size - call->out_at - TRANSCODE_LENGTH_BYTES);
    int error = message_write(call, oak_bytes(at + TRANSCODE_LENGTH_BYTES, size));
    if (error != 0) {
        spoil_by(call, error);
    } else {
        call->out_at += TRANSCODE_LENGTH_BYTES + size;
    }
    if (call->out_at == call->out.size) {
        oak_buf_clear(&call->out);
        call->out_at = 0;
        if (call->out.capacity > TRANSCODE_KEEP_BYTES) {
            oak_buf_fini(&call->out);
        }
    }
    transcode__call_charge(call);
    return error == 0;
}

/* -- leaving ----------------------------------------------------------------------------------- */

static const char *headers_of(struct transcode_call *call)
{
    return call->headers.size > 0 ? (const char *)call->headers.data : NULL;
}

enum pace {
    PACE_DONE,  /* all has left */
    PACE_WAITS, /* for the client */
    PACE_BROKEN,
};

static enum pace text_leave(struct transcode_call *call)
{
    while (call->text_at < call->text.size) {
        if (call->begun && oak_http_queued(call->http) >= TRANSCODE_QUEUE_HIGH_BYTES) {
            return PACE_WAITS;
        }
        size_t size = OAK_MIN(call->text.size - call->text_at, TRANSCODE_PIECE_BYTES);
        struct oak_bytes piece = oak_bytes(call->text.data + call->text_at, size);
        int error = 0;
        if (!call->begun) {
            const struct oak_http_answer answer = {
                .status = 200, .content_type = json_type, .extra = headers_of(call), .body = piece};
            oak_http_begin(call->http, &answer);
            call->begun = true;
        } else {
            error = oak_http_write(call->http, piece);
        }
        if (error != 0) {
            return error == OAK_ECLOSED ? PACE_WAITS : PACE_BROKEN; /* it will be told */
        }
        call->text_at += size;
        call->moved_ns = transcode__now_ns(call->door);
    }
    oak_buf_clear(&call->text);
    call->text_at = 0;
    if (call->text.capacity > TRANSCODE_KEEP_BYTES) {
        oak_buf_fini(&call->text);
    }
    transcode__call_charge(call);
    return PACE_DONE;
}

static enum pace all_leave(struct transcode_call *call)
{
    for (;;) {
        enum pace pace = text_leave(call);
        if (pace != PACE_DONE || call->out.size == 0) {
            return pace;
        }
        if (!text_next(call)) {
            return PACE_DONE; /* but for the error */
        }
    }
}

/* The answer of a finished call is over, with its status. */
static void answer_end(struct transcode_call *call)
{
    struct oak_http_request *http = call->http;
    const struct transcode_failure f = {call->code, oak_buf_bytes(&call->status_text)};
    bool single = transcode__is_single(call);
    struct oak_buf line = {0};
    call->http = NULL;
    if (f.code != OAK_RPC_OK && !single && put_stream_failure(&line, &f) != 0) {
        oak_buf_clear(&line);
    }
    if (call->begun) {
        /* What could not be told of is not to be taken for a good end. */
        bool whole = f.code == OAK_RPC_OK ||
                     (line.size > 0 && oak_http_write(http, oak_buf_bytes(&line)) == 0);
        if (whole) {
            oak_http_end(http);
        } else {
            oak_http_abort(http);
        }
    } else if (f.code != OAK_RPC_OK && single) {
        transcode__reply_failure(http, headers_of(call), &f);
    } else {
        reply(http, of_http[f.code].status, headers_of(call), oak_buf_bytes(&line));
    }
    oak_buf_fini(&line);
    transcode__call_end(call, f.code);
}

/* A single answer leaves whole where it is not large. True: it has, and the call has ended. */
static bool single_leaves(struct transcode_call *call)
{
    if (call->code != OAK_RPC_OK) {
        oak_buf_fini(&call->out); /* the status came behind the message */
        call->out_at = 0;
    }
    if (call->code == OAK_RPC_OK && call->out.size > 0 && text_next(call) &&
        call->text.size <= TRANSCODE_QUEUE_HIGH_BYTES) {
        struct oak_http_request *http = call->http;
        call->http = NULL;
        reply(http, 200, headers_of(call), oak_buf_bytes(&call->text));
        transcode__call_end(call, OAK_RPC_OK);
        return true;
    }
    return false;
}

void transcode__reply_flush(struct transcode_call *call)
{
    OAK_ASSERT(call->http != NULL);
    bool single = transcode__is_single(call);
    if (single && call->finished && !call->begun && single_leaves(call)) {
        return;
    }
    enum pace pace = !single || call->finished ? all_leave(call) : PACE_DONE;
    transcode__call_measure(call); /* text is larger than what it was made of */
    if (pace == PACE_BROKEN) {
        struct oak_http_request *http = call->http;
        call->http = NULL;
        oak_http_abort(http);
        transcode__call_end(call, OAK_RPC_CANCELLED);
        return;
    }
    if (pace == PACE_WAITS) {
        return;
    }
    if (call->finished) {
        answer_end(call);
        return;
    }
    if (call->high && transcode__call_queued(call) <= OAK_RPC_QUEUE_LOW_BYTES) {
        call->high = false;
        if (call->handler->writable != NULL) {
            call->handler->writable(call->user, oak_rpc_call_of(&call->base));
        }
    }
    transcode__body_feed(call);
}
