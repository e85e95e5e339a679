/* SPDX-License-Identifier: Apache-2.0 */
/* reply.c: replies as text, a line each; a batch's is one array.
 *
 * Happy path   a finished call's message is decoded, and written as JSON into what the flush will
 *              send, or into its batch.
 * Can fail     a message that is not what its method says, or too large, becomes an error in the
 *              reply's place. No memory for that either: the connection ends.
 * Invariants   a text that could not be written whole leaves nothing behind.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include "jsonrpc/internal.h"

static struct oak_buf *begin(struct jsonrpc_conn *c, struct jsonrpc_batch *batch)
{
    return batch != NULL ? &batch->out : &c->out;
}

static int put(struct oak_buf *out, const char *text)
{
    return oak_buf_append(out, text, strlen(text));
}

/* As it was written, but on one line: between the values of an array there may be others. */
static int put_id(struct oak_buf *out, const struct jsonrpc_return *back)
{
    if (back->id.size == 0) {
        return put(out, "null");
    }
    size_t at = out->size;
    int error = oak_buf_append(out, back->id.data, back->id.size);
    for (; at < out->size; at++) {
        bool breaks = out->data[at] == '\n' || out->data[at] == '\r';
        out->data[at] = breaks ? ' ' : out->data[at];
    }
    return error;
}

/* The reply that begins at `start` is whole, or goes. */
static void end(struct jsonrpc_conn *c, struct jsonrpc_batch *batch, struct oak_buf *out,
                size_t start, int error)
{
    if (error == 0) {
        error = put(out, batch != NULL ? "," : "\n");
    }
    if (error != 0) {
        out->size = start;
        c->broken = true;
    } else if (batch != NULL) {
        c->batch_bytes += out->size - start;
    }
}

/* -- errors ------------------------------------------------------------------------------------ */

struct failure {
    int code;
    struct oak_bytes text;
    bool is_status; /* of gRPC, with: */
    enum oak_rpc_code status;
    struct oak_bytes details;
};

/* 1.0: the error is a text. */
static int put_old(struct oak_buf *out, const struct jsonrpc_return *back, const struct failure *f)
{
    struct oak_buf text = {0};
    int error = 0;
    if (f->is_status) {
        error = oak_buf_printf(&text, "rpc error: code = %s desc = ", oak_rpc_code_name(f->status));
    }
    error = error != 0 ? error : oak_buf_append(&text, f->text.data, f->text.size);
    error = error != 0 ? error : put(out, "{\"id\":");
    error = error != 0 ? error : put_id(out, back);
    error = error != 0 ? error : put(out, ",\"result\":null,\"error\":");
    error = error != 0 ? error : oak_json_put_string(out, oak_buf_bytes(&text));
    error = error != 0 ? error : put(out, "}");
    oak_buf_fini(&text);
    return error;
}

static int put_data(struct oak_buf *out, const struct failure *f)
{
    int error = oak_buf_printf(out, ",\"data\":{\"code\":%d,\"status\":\"%s\"", (int)f->status,
                               oak_rpc_code_name(f->status));
    if (error == 0 && f->details.size > 0) {
        error = put(out, ",\"details\":");
        error = error != 0 ? error : oak_json_put_base64(out, f->details);
    }
    return error != 0 ? error : put(out, "}");
}

static int put_new(struct oak_buf *out, const struct jsonrpc_return *back, const struct failure *f)
{
    int error =
        oak_buf_printf(out, "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":%d,\"message\":", f->code);
    error = error != 0 ? error : oak_json_put_string(out, f->text);
    if (error == 0 && f->is_status) {
        error = put_data(out, f);
    }
    error = error != 0 ? error : put(out, "},\"id\":");
    error = error != 0 ? error : put_id(out, back);
    return error != 0 ? error : put(out, "}");
}

static void reply_failure(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                          struct jsonrpc_batch *batch, const struct failure *f)
{
    if (back->silent) {
        return;
    }
    struct oak_buf *out = begin(c, batch);
    size_t start = out->size;
    end(c, batch, out, start, back->old ? put_old(out, back, f) : put_new(out, back, f));
}

void jsonrpc__reply_error(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                          struct jsonrpc_batch *batch, int code, const char *text)
{
    const struct failure f = {.code = code, .text = oak_bytes_str(text)};
    c->server->traffic.refused++;
    reply_failure(c, back, batch, &f);
}

static struct failure failure_of(enum oak_rpc_code status, struct oak_bytes text)
{
    return (struct failure){.code = (int)JSONRPC_STATUS - (int)status,
                            .text = text,
                            .is_status = true,
                            .status = status};
}

void jsonrpc__reply_status(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                           struct jsonrpc_batch *batch, enum oak_rpc_code code, const char *text)
{
    const struct failure f = failure_of(code, oak_bytes_str(text));
    c->server->traffic.refused++;
    reply_failure(c, back, batch, &f);
}

/* -- results ----------------------------------------------------------------------------------- */

static int put_message(struct jsonrpc_call *call, struct oak_buf *out)
{
    struct oak_jsonrpc_server *server = call->conn->server;
    ProtobufCMessage *message;
    oak_arena_reset(&server->arena);
    server->arena.ceiling = OAK_RESPONSE_BYTES_MAX;
    int error = oak_pb_unpack(call->method->stub->response, oak_buf_bytes(&call->out),
                              &server->arena, &message);
    if (error == 0) {
        error = oak_json_from_pb(out, message, NULL, out->size + server->options.reply_bytes_max);
    }
    oak_arena_reset(&server->arena);
    return error;
}

static int put_result(struct jsonrpc_call *call, struct oak_buf *out)
{
    const struct jsonrpc_return *back = &call->back;
    int error;
    if (back->old) {
        error = put(out, "{\"id\":");
        error = error != 0 ? error : put_id(out, back);
        error = error != 0 ? error : put(out, ",\"result\":");
        error = error != 0 ? error : put_message(call, out);
        return error != 0 ? error : put(out, ",\"error\":null}");
    }
    error = put(out, "{\"jsonrpc\":\"2.0\",\"result\":");
    error = error != 0 ? error : put_message(call, out);
    error = error != 0 ? error : put(out, ",\"id\":");
    error = error != 0 ? error : put_id(out, back);
    return error != 0 ? error : put(out, "}");
}

/* The status that a result has come to, when it can't be sent. */
static struct failure failure_of_result(int error)
{
    switch (error) {
    case OAK_EFORMAT:
    case OAK_EUNIMPLEMENTED:
        return failure_of(OAK_RPC_INTERNAL, oak_bytes_str("the reply can't be written as JSON"));
    case OAK_ELIMIT:
        return failure_of(OAK_RPC_RESOURCE_EXHAUSTED, oak_bytes_str("the reply is too large"));
    default:
        return failure_of(OAK_RPC_RESOURCE_EXHAUSTED, oak_bytes_str("the server is out of memory"));
    }
}

void jsonrpc__reply_call(struct jsonrpc_call *call)
{
    struct jsonrpc_conn *c = call->conn;
    struct jsonrpc_batch *batch = call->batch;
    OAK_ASSERT(call->finished && !c->broken);
    if (call->back.silent) {
        return;
    }
    struct failure f = failure_of(call->code, oak_buf_bytes(&call->status_text));
    f.details = oak_buf_bytes(&call->details);
    if (call->code == OAK_RPC_OK) {
        struct oak_buf *out = begin(c, batch);
        size_t start = out->size;
        bool room = jsonrpc__room_for_text(c, call->out.size);
        int error = room ? put_result(call, out) : OAK_ELIMIT;
        if (error == 0) {
            end(c, batch, out, start, 0);
            return;
        }
        out->size = start;
        f = failure_of_result(error);
        if (!room) {
            f.text = oak_bytes_str("the reply has no place: the client doesn't read those before");
        }
        call->code = f.status;
        oak_buf_clear(&call->status_text);
    }
    reply_failure(c, &call->back, batch, &f);
}

void jsonrpc__batch_drop(struct jsonrpc_batch *batch)
{
    OAK_ASSERT_GT(batch->open, 0u);
    batch->open--;
    if (batch->open == 0) {
        oak_buf_fini(&batch->out);
        free(batch);
    }
}

void jsonrpc__batch_done(struct jsonrpc_conn *c, struct jsonrpc_batch *batch)
{
    size_t size = batch->out.size;
    if (batch->open == 1) {
        OAK_ASSERT_LE(size - 1, c->batch_bytes);
        c->batch_bytes -= size - 1; /* its bracket did not count */
    }
    if (batch->open == 1 && size > 1) { /* else all were notifications */
        OAK_ASSERT_EQ(batch->out.data[size - 1], ',');
        batch->out.data[size - 1] = ']';
        size_t start = c->out.size;
        end(c, NULL, &c->out, start, oak_buf_append(&c->out, batch->out.data, size));
    }
    jsonrpc__batch_drop(batch);
}
