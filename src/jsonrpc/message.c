/* SPDX-License-Identifier: Apache-2.0 */
/* message.c: a text is a request of 1.0 or 2.0, or a batch; its message becomes protobuf.
 *
 * Happy path   checked → taken apart → the method is found → params are decoded, packed, and given
 *              to it.
 * Can fail     all of it, and each failure is answered, but for that of a notification. What is no
 *              JSON ends the connection: where the next text would begin is a guess.
 * Invariants   what is walked was checked. An array is counted before any of it is begun.
 * Source       JSON-RPC 1.0 and 2.0 specifications; Go's net/rpc/jsonrpc.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jsonrpc/internal.h"

/* The members of a request, as they stand; data NULL: there is none. */
enum member { MEMBER_VERSION, MEMBER_METHOD, MEMBER_PARAMS, MEMBER_ID, MEMBERS };

struct request {
    struct oak_bytes member[MEMBERS];
    struct jsonrpc_return back;
    const char *wrong; /* set: it is none */
};

static enum json_kind {
    KIND_NONE,
    KIND_STRING,
    KIND_NUMBER,
    KIND_NULL,
    KIND_OTHER
} kind_of(struct oak_bytes value)
{
    if (value.data == NULL) {
        return KIND_NONE;
    }
    struct oak_json_reader r = oak_json_reader(value);
    switch (oak_json_type(&r)) {
    case OAK_JSON_STRING:
        return KIND_STRING;
    case OAK_JSON_NUMBER:
        return KIND_NUMBER;
    case OAK_JSON_NULL:
        return KIND_NULL;
    default:
        return KIND_OTHER;
    }
}

/* -- taking apart ------------------------------------------------------------------------------ */

static void wrong(struct request *q, const char *what)
{
    q->wrong = q->wrong != NULL ? q->wrong : what;
}

/* Members that nobody knows are passed over. OAK_ENOMEM. */
static int members_read(struct oak_json_reader *r, struct oak_arena *arena, struct request *out)
{
    static const char *const names[MEMBERS] = {"jsonrpc", "method", "params", "id"};
    struct oak_bytes raw, name;
    oak_json_enter(r);
    while (oak_json_member(r, &raw)) {
        if (oak_json_unescape(raw, arena, &name) != 0) {
            return OAK_ENOMEM;
        }
        struct oak_bytes value = oak_json_skip(r);
        for (size_t i = 0; i < MEMBERS; i++) {
            if (!oak_bytes_eq(name, oak_bytes_str(names[i]))) {
                continue;
            }
            if (out->member[i].data != NULL) {
                wrong(out, "a member is given twice");
            }
            out->member[i] = value;
        }
    }
    return 0;
}

static void id_read(struct request *q)
{
    struct oak_bytes id = q->member[MEMBER_ID];
    enum json_kind kind = kind_of(id);
    if (id.size > JSONRPC_ID_BYTES_MAX) {
        wrong(q, "\"id\" is longer than 1024 bytes");
    } else if (q->back.old && kind == KIND_NONE) {
        wrong(q, "\"id\" is missing; null is that of a notification");
    } else if (!q->back.old && kind == KIND_OTHER) {
        wrong(q, "\"id\" is a string, a number or null");
    } else {
        q->back.id = id;
        q->back.silent = kind == (q->back.old ? KIND_NULL : KIND_NONE);
    }
}

/* What kind of a request it is, and how it is answered. OAK_ENOMEM. */
static int request_read(struct oak_json_reader *r, struct oak_arena *arena, bool in_batch,
                        struct request *q)
{
    *q = (struct request){0};
    if (oak_json_type(r) != OAK_JSON_OBJECT) {
        (void)oak_json_skip(r);
        wrong(q, "a request is an object");
        return 0;
    }
    int error = members_read(r, arena, q);
    if (error != 0) {
        return error;
    }
    struct oak_bytes version = q->member[MEMBER_VERSION];
    bool is_old = version.data == NULL || oak_bytes_eq(version, oak_bytes_str("\"1.0\""));
    q->back.old = is_old && !in_batch;
    if (is_old && in_batch) {
        wrong(q, "requests of a batch are of 2.0: \"jsonrpc\":\"2.0\"");
    } else if (!is_old && !oak_bytes_eq(version, oak_bytes_str("\"2.0\""))) {
        wrong(q, "\"jsonrpc\" is \"2.0\", or it is not there");
    }
    id_read(q);
    struct oak_bytes method = q->member[MEMBER_METHOD];
    if (kind_of(method) != KIND_STRING) {
        wrong(q, "\"method\" is a string");
    } else if (method.size > JSONRPC_NAME_BYTES_MAX) {
        wrong(q, "\"method\" is longer than 512 bytes");
    }
    if (q->wrong != NULL) {
        q->back.silent = false; /* what is no request is no notification */
    }
    return 0;
}

/* -- params ------------------------------------------------------------------------------------ */

/* To the message, or to nothing at all. False: `problem` says what is wrong. */
static bool params_enter(const struct request *q, struct oak_json_reader *r, bool *nothing,
                         struct oak_json_problem *problem)
{
    struct oak_bytes params = q->member[MEMBER_PARAMS];
    *nothing = params.data == NULL;
    if (*nothing) {
        return true;
    }
    *r = oak_json_reader(params);
    enum oak_json_type type = oak_json_type(r);
    if (type == OAK_JSON_OBJECT && !q->back.old) {
        return true;
    }
    if (type != OAK_JSON_ARRAY) {
        snprintf(problem->text, sizeof(problem->text), "\"params\" is an array of one message%s",
                 q->back.old ? "" : ", or the message");
        return false;
    }
    oak_json_enter(r);
    *nothing = !oak_json_element(r);
    if (*nothing) {
        return true;
    }
    struct oak_json_reader rest = *r;
    (void)oak_json_skip(&rest);
    if (oak_json_element(&rest)) {
        snprintf(problem->text, sizeof(problem->text), "\"params\" has more than one message");
        return false;
    }
    *nothing = oak_json_type(r) == OAK_JSON_NULL;
    return true;
}

/* The request as protobuf. OAK_EFORMAT and `problem`; OAK_ELIMIT; OAK_ENOMEM. */
static int params_pack(struct oak_jsonrpc_server *server, const struct request *q,
                       const ProtobufCMessageDescriptor *descriptor, struct oak_buf *out,
                       struct oak_json_problem *problem)
{
    struct oak_json_reader r;
    bool nothing;
    if (!params_enter(q, &r, &nothing, problem)) {
        return OAK_EFORMAT;
    }
    if (nothing) {
        return 0; /* a message without fields */
    }
    ProtobufCMessage *message;
    struct oak_arena *arena = &server->arena;
    arena->ceiling = arena->total + q->member[MEMBER_PARAMS].size + OAK_DECODE_BYTES_MAX;
    int error = oak_json_to_pb(&r, descriptor, NULL, arena, &message, problem);
    if (error == OAK_EUNIMPLEMENTED) {
        snprintf(problem->text, sizeof(problem->text), "it has a type that JSON can't give here");
        return OAK_EFORMAT;
    }
    if (error != 0) {
        return error;
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > server->options.request_bytes_max) {
        return OAK_ELIMIT;
    }
    error = oak_buf_reserve(out, size + 1);
    if (error == 0) {
        out->size = protobuf_c_message_pack(message, out->data);
        OAK_ASSERT_EQ(out->size, size);
    }
    return error;
}

/* -- a request --------------------------------------------------------------------------------- */

static void refuse_memory(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                          struct jsonrpc_batch *batch)
{
    jsonrpc__reply_status(c, back, batch, OAK_RPC_RESOURCE_EXHAUSTED,
                          "the server is out of memory");
}

/* True: a method has it, which will answer. */
static bool request_call(struct jsonrpc_conn *c, const struct request *q,
                         struct jsonrpc_batch *batch, size_t cost)
{
    struct oak_jsonrpc_server *server = c->server;
    const struct jsonrpc_return *back = &q->back;
    struct oak_bytes name = q->member[MEMBER_METHOD];
    struct oak_json_problem problem = {.text = ""};
    if (server->calls >= OAK_HANDLERS_MAX) {
        jsonrpc__reply_status(c, back, batch, OAK_RPC_UNAVAILABLE,
                              "the server is working on too many calls");
        return false;
    }
    struct oak_json_reader r = oak_json_reader(name);
    if (oak_json_unescape(oak_json_raw_string(&r), &server->arena, &name) != 0) {
        refuse_memory(c, back, batch);
        return false;
    }
    char why[600];
    const struct oak_rpc_method *method = jsonrpc__find(server, name, why, sizeof(why));
    if (method == NULL) {
        jsonrpc__reply_error(c, back, batch, JSONRPC_METHOD, why);
        return false;
    }
    struct oak_buf packed = {0};
    int error = params_pack(server, q, method->stub->request, &packed, &problem);
    if (error == 0) {
        error = jsonrpc__call_start(c, method, back, batch, &packed, cost);
    }
    oak_buf_fini(&packed);
    if (error == OAK_EFORMAT) {
        jsonrpc__reply_error(c, back, batch, JSONRPC_PARAMS, problem.text);
    } else if (error == OAK_ELIMIT) {
        jsonrpc__reply_status(c, back, batch, OAK_RPC_RESOURCE_EXHAUSTED,
                              "the request is too large");
    } else if (error != 0) {
        refuse_memory(c, back, batch);
    }
    return error == 0;
}

/* The next value is a request. True: it will be answered later. */
static bool request_take(struct jsonrpc_conn *c, struct oak_json_reader *r,
                         struct jsonrpc_batch *batch, size_t cost)
{
    struct oak_arena *arena = &c->server->arena;
    struct request q;
    const uint8_t *begin = r->at;
    oak_arena_reset(arena);
    arena->ceiling = OAK_DECODE_BYTES_MAX;
    int error = request_read(r, arena, batch != NULL, &q);
    c->old = q.back.old;
    if (error != 0) {
        refuse_memory(c, &q.back, batch);
        return false;
    }
    if (q.wrong != NULL) {
        jsonrpc__reply_error(c, &q.back, batch, JSONRPC_REQUEST, q.wrong);
        return false;
    }
    return request_call(c, &q, batch, OAK_MIN(cost, (size_t)(r->at - begin)));
}

/* -- a text ------------------------------------------------------------------------------------ */

static const struct jsonrpc_return nobody = {0};

static size_t elements(struct oak_json_reader r)
{
    size_t count = 0;
    oak_json_enter(&r);
    while (oak_json_element(&r)) {
        (void)oak_json_skip(&r);
        count++;
    }
    return count;
}

static void batch_take(struct jsonrpc_conn *c, struct oak_json_reader *r, size_t cost)
{
    size_t count = elements(*r);
    c->old = false;
    if (count == 0) {
        jsonrpc__reply_error(c, &nobody, NULL, JSONRPC_REQUEST, "the batch is empty");
        return;
    }
    if (count > c->server->options.batch_max) {
        char text[96];
        snprintf(text, sizeof(text), "the batch has %zu requests; %u are allowed", count,
                 c->server->options.batch_max);
        jsonrpc__reply_error(c, &nobody, NULL, JSONRPC_REQUEST, text);
        return;
    }
    struct jsonrpc_batch *batch = calloc(1, sizeof(*batch));
    if (batch == NULL || oak_buf_append(&batch->out, "[", 1) != 0) {
        free(batch);
        refuse_memory(c, &nobody, NULL);
        return;
    }
    batch->open = count;
    oak_json_enter(r);
    while (oak_json_element(r)) {
        if (!request_take(c, r, batch, cost)) {
            jsonrpc__batch_done(c, batch);
        }
    }
}

void jsonrpc__message(struct jsonrpc_conn *c, struct oak_bytes text)
{
    struct oak_json_problem problem;
    if (oak_json_check(text, &problem) != 0) {
        jsonrpc__refuse_stream(c, JSONRPC_PARSE, problem.text);
        return;
    }
    struct oak_json_reader r = oak_json_reader(text);
    if (oak_json_type(&r) == OAK_JSON_ARRAY) {
        batch_take(c, &r, text.size);
    } else {
        OAK_MAYBE(request_take(c, &r, NULL, text.size));
    }
}

void jsonrpc__refuse_stream(struct jsonrpc_conn *c, enum jsonrpc_code code, const char *text)
{
    const struct jsonrpc_return back = {.old = c->old};
    jsonrpc__reply_error(c, &back, NULL, (int)code, text);
    c->ending = true;
}
