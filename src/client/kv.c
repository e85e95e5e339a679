/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: operations, as requests of the KV service; and what their responses say.
 *
 * Happy path   an operation becomes a message in an arena that goes when the call has its bytes.
 * Can fail     what the server would not understand is refused before it is sent: OAK_EINVAL.
 * Thread       the loop's.
 */
#include "client/internal.h"

#define ENCODE_BYTES_MAX (256 * OAK_MIB)

/* -- requests ---------------------------------------------------------------------------------- */

int client__range_request(struct oak_arena *arena, const struct oak_client_op *op,
                          Etcdserverpb__RangeRequest *out)
{
    etcdserverpb__range_request__init(out);
    if (op->by == OAK_CLIENT_LEASE) {
        return OAK_EINVAL;
    }
    out->limit = op->limit;
    out->revision = op->revision;
    out->sort_order = (Etcdserverpb__RangeRequest__SortOrder)op->order;
    out->sort_target = (Etcdserverpb__RangeRequest__SortTarget)op->by;
    out->serializable = op->serializable;
    out->keys_only = op->keys_only;
    out->count_only = op->count_only;
    out->min_mod_revision = op->min_mod_revision;
    out->max_mod_revision = op->max_mod_revision;
    out->min_create_revision = op->min_create_revision;
    out->max_create_revision = op->max_create_revision;
    const struct client_keys keys = {.key = op->key, .span = op->span, .end = op->end};
    return client__span(arena, &keys, &out->key, &out->range_end);
}

int client__put_request(const struct oak_client_op *op, Etcdserverpb__PutRequest *out)
{
    etcdserverpb__put_request__init(out);
    out->key = oak_proto_binary(op->key);
    out->value = oak_proto_binary(op->value);
    out->lease = op->lease;
    out->prev_kv = op->previous;
    out->ignore_value = op->keep_value;
    out->ignore_lease = op->keep_lease;
    return op->span == OAK_CLIENT_ONE ? 0 : OAK_EINVAL;
}

int client__delete_request(struct oak_arena *arena, const struct oak_client_op *op,
                           Etcdserverpb__DeleteRangeRequest *out)
{
    etcdserverpb__delete_range_request__init(out);
    out->prev_kv = op->previous;
    const struct client_keys keys = {.key = op->key, .span = op->span, .end = op->end};
    return client__span(arena, &keys, &out->key, &out->range_end);
}

/* -- responses --------------------------------------------------------------------------------- */

static int range_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    return client__range_result(&call->arena, (const Etcdserverpb__RangeResponse *)message,
                                &call->answer.result);
}

static int put_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    return client__put_result(&call->arena, (const Etcdserverpb__PutResponse *)message,
                              &call->answer.result);
}

static int delete_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    return client__delete_result(&call->arena, (const Etcdserverpb__DeleteRangeResponse *)message,
                                 &call->answer.result);
}

static int txn_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    return client__txn_result(&call->arena, (const Etcdserverpb__TxnResponse *)message,
                              &call->answer.result);
}

/* -- the door ---------------------------------------------------------------------------------- */

union request {
    ProtobufCMessage base;
    Etcdserverpb__RangeRequest range;
    Etcdserverpb__PutRequest put;
    Etcdserverpb__DeleteRangeRequest del;
    Etcdserverpb__TxnRequest txn;
};

static int request_make(struct oak_arena *arena, const struct oak_client_op *op, union request *out,
                        struct client_method *method)
{
    switch (op->kind) {
    case OAK_CLIENT_GET:
        method->name = "Range";
        method->read = true;
        method->response = &etcdserverpb__range_response__descriptor;
        method->fill = range_fill;
        return client__range_request(arena, op, &out->range);
    case OAK_CLIENT_PUT:
        method->name = "Put";
        method->response = &etcdserverpb__put_response__descriptor;
        method->fill = put_fill;
        return client__put_request(op, &out->put);
    case OAK_CLIENT_DELETE:
        method->name = "DeleteRange";
        method->response = &etcdserverpb__delete_range_response__descriptor;
        method->fill = delete_fill;
        return client__delete_request(arena, op, &out->del);
    case OAK_CLIENT_TXN:
        method->name = "Txn";
        method->response = &etcdserverpb__txn_response__descriptor;
        method->fill = txn_fill;
        return client__txn_request(arena, op->txn, &out->txn, &method->read);
    default:
        return OAK_EINVAL;
    }
}

int client__do(struct oak_client *client, const struct oak_client_op *op,
               int (*fill)(struct oak_client_call *call, const ProtobufCMessage *response),
               uint64_t timeout_ns, oak_client_done *done, void *user, struct oak_client_call **out)
{
    struct oak_arena arena;
    union request request;
    struct client_ask ask = {
        .method = {.service = "etcdserverpb.KV"},
        .request = &request.base,
        .timeout_ns = timeout_ns,
        .done = done,
        .user = user,
    };
    oak_arena_init(&arena, CLIENT_CHUNK_BYTES, ENCODE_BYTES_MAX);
    int error = request_make(&arena, op, &request, &ask.method);
    if (fill != NULL) {
        ask.method.fill = fill;
    }
    if (error == 0) {
        error = client__ask(client, &ask, out);
    }
    oak_arena_fini(&arena);
    return error;
}

int oak_client_do(struct oak_client *client, const struct oak_client_op *op, uint64_t timeout_ns,
                  oak_client_done *done, void *user, struct oak_client_call **out)
{
    return client__do(client, op, NULL, timeout_ns, done, user, out);
}

int oak_client_compact(struct oak_client *client, int64_t revision, bool physical,
                       uint64_t timeout_ns, oak_client_done *done, void *user,
                       struct oak_client_call **out)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    request.revision = revision;
    request.physical = physical;
    const struct client_ask ask = {
        .method = {.service = "etcdserverpb.KV",
                   .name = "Compact",
                   .response = &etcdserverpb__compaction_response__descriptor},
        .request = &request.base,
        .timeout_ns = timeout_ns,
        .done = done,
        .user = user,
    };
    return client__ask(client, &ask, out);
}
