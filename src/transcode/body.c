/* SPDX-License-Identifier: Apache-2.0 */
/* body.c: the body of a request: messages as JSON, one behind the other.
 *
 * Happy path   where a message ends is found → it is checked, decoded, packed → the handler has it
 *              as bytes, as if it had come by gRPC.
 * Can fail     what is no JSON or not that message, or too large. The first message fails before
 *              the method knows of a call; a later one ends the call.
 * Invariants   nothing is delivered to a call that is paused, finished, or whose client doesn't
 *              read what was answered before. Of a method that takes one message, what is behind
 *              it is not looked at, as in etcd.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "transcode/internal.h"

/* Messages that a call is given in one round of the loop. */
#define ROUND_MESSAGES 128

static const struct oak_json_form form = {.proto_names = true, .skip_unknown = true};

static int refuse(struct transcode_failure *failure, int error, struct oak_json_problem *room)
{
    switch (error) {
    case OAK_EFORMAT:
    case OAK_EUNIMPLEMENTED:
        failure->code = OAK_RPC_INVALID_ARGUMENT;
        break;
    case OAK_ELIMIT:
        failure->code = OAK_RPC_RESOURCE_EXHAUSTED;
        break;
    default:
        failure->code = OAK_RPC_RESOURCE_EXHAUSTED;
        snprintf(room->text, sizeof(room->text), "the server is out of memory");
        break;
    }
    failure->text = oak_bytes_str(room->text);
    return error == OAK_EUNIMPLEMENTED ? OAK_EFORMAT : error;
}

/* Up to the end of the next value, which goes off `rest`. 1; 0: there is none. OAK_EFORMAT,
 * OAK_ELIMIT and `room`. */
static int value_cut(struct oak_bytes *rest, struct oak_bytes *value, struct oak_json_problem *room)
{
    struct oak_json_frame frame = {0};
    size_t used;
    while (rest->size > 0 && (*rest->data == ' ' || (*rest->data >= '\t' && *rest->data <= '\r'))) {
        *rest = oak_bytes(rest->data + 1, rest->size - 1);
    }
    if (rest->size == 0) {
        return 0;
    }
    int found = oak_json_frame(&frame, *rest, &used);
    if (found != 1) {
        snprintf(room->text, sizeof(room->text), "%s",
                 found == OAK_ELIMIT ? "the message is nested too deep"
                 : found == 0        ? "the body ends within a message"
                                     : "the body is messages as JSON objects");
        return found == 0 ? OAK_EFORMAT : found;
    }
    *value = oak_bytes(rest->data, used);
    *rest = oak_bytes(rest->data + used, rest->size - used);
    return 1;
}

static int value_pack(struct oak_transcode *door, const struct oak_rpc_method *method,
                      struct oak_bytes value, struct oak_buf *out, struct oak_json_problem *room)
{
    ProtobufCMessage *message;
    int error = oak_json_check(value, room);
    if (error != 0) {
        return error;
    }
    struct oak_json_reader r = oak_json_reader(value);
    oak_arena_reset(&door->arena);
    door->arena.ceiling = door->arena.total + value.size + OAK_DECODE_BYTES_MAX;
    error = oak_json_to_pb(&r, method->stub->request, &form, &door->arena, &message, room);
    if (error != 0) {
        return error;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    size_t most = door->options.request_bytes_max;
    if (size > most) {
        snprintf(room->text, sizeof(room->text),
                 "grpc: received message larger than max (%zu vs. %zu)", size, most);
        return OAK_ELIMIT;
    }
    error = oak_buf_reserve(out, size + 1);
    if (error == 0) {
        out->size = protobuf_c_message_pack(message, out->data);
        OAK_ASSERT_EQ(out->size, size);
    }
    return error;
}

int transcode__body_next(struct oak_transcode *door, const struct oak_rpc_method *method,
                         struct oak_bytes *rest, struct oak_buf *out, struct oak_json_problem *room,
                         struct transcode_failure *failure)
{
    struct oak_bytes value;
    room->text[0] = '\0';
    int found = value_cut(rest, &value, room);
    int error = found == 1 ? value_pack(door, method, value, out, room) : OAK_MIN(found, 0);
    oak_arena_reset(&door->arena);
    return error != 0 ? refuse(failure, error, room) : found;
}

/* -- delivering -------------------------------------------------------------------------------- */

static bool may_deliver(const struct transcode_call *call)
{
    return !call->paused && !call->finished && !call->half_closed &&
           transcode__call_queued(call) < TRANSCODE_QUEUE_HIGH_BYTES;
}

/* The next message for the handler, as transcode__body_next has it. */
static int next(struct transcode_call *call, struct oak_buf *out, struct oak_json_problem *room,
                struct transcode_failure *failure)
{
    if (call->first_waits) {
        call->first_waits = false;
        *out = call->first;
        call->first = (struct oak_buf){0};
        return 1;
    }
    return transcode__takes_more(call->method)
               ? transcode__body_next(call->door, call->method, &call->rest, out, room, failure)
               : 0;
}

void transcode__body_feed(struct transcode_call *call)
{
    struct oak_rpc_call *rpc = oak_rpc_call_of(&call->base);
    struct oak_json_problem room;
    struct transcode_failure failure;
    for (int n = 0; may_deliver(call); n++) {
        if (n == ROUND_MESSAGES) {
            transcode__call_mark(call); /* others want the loop, too */
            return;
        }
        struct oak_buf message = {0};
        int found = next(call, &message, &room, &failure);
        if (found == 1) {
            call->door->traffic.received++;
            call->handler->message(call->user, rpc, oak_buf_bytes(&message));
        } else if (found == 0) {
            call->half_closed = true;
            oak_http_body_drop(call->http); /* an answer may go on for days */
            if (call->handler->half_closed != NULL) {
                call->handler->half_closed(call->user, rpc);
            }
        } else {
            transcode__call_finish(call, failure.code, failure.text);
        }
        oak_buf_fini(&message);
    }
}
