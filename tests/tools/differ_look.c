/* SPDX-License-Identifier: Apache-2.0 */
/* differ_look.c: responses made comparable, and messages made readable. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/differ.h"

/* -- comparable -------------------------------------------------------------------------------- */

void differ_header_clean(Etcdserverpb__ResponseHeader *header)
{
    if (header != NULL) {
        header->cluster_id = 0;
        header->member_id = 0;
        header->raft_term = 0;
    }
}

/* Every response's first field. */
Etcdserverpb__ResponseHeader *differ_header(const ProtobufCMessage *response)
{
    const uint8_t *base = (const uint8_t *)response;
    const ProtobufCFieldDescriptor *field = &response->descriptor->fields[0];
    return *(Etcdserverpb__ResponseHeader *const *)(const void *)(base + field->offset);
}

static int order_of(const Mvccpb__KeyValue *a, const Mvccpb__KeyValue *b,
                    Etcdserverpb__RangeRequest__SortTarget target)
{
    switch (target) {
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VERSION:
        return (a->version > b->version) - (a->version < b->version);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__CREATE:
        return (a->create_revision > b->create_revision) -
               (a->create_revision < b->create_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD:
        return (a->mod_revision > b->mod_revision) - (a->mod_revision < b->mod_revision);
    case ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__VALUE:
        return oak_bytes_cmp(oak_proto_bytes(a->value), oak_proto_bytes(b->value));
    default:
        return oak_bytes_cmp(oak_proto_bytes(a->key), oak_proto_bytes(b->key));
    }
}

/* Pairs that the target does not tell apart may come in any order: here they come by key. */
static void ties_sort(Etcdserverpb__RangeResponse *response,
                      Etcdserverpb__RangeRequest__SortTarget target)
{
    Mvccpb__KeyValue **kvs = response->kvs;
    for (size_t i = 1; i < response->n_kvs; i++) {
        Mvccpb__KeyValue *kv = kvs[i];
        size_t at = i;
        while (at > 0 && order_of(kvs[at - 1], kv, target) == 0 &&
               oak_bytes_cmp(oak_proto_bytes(kvs[at - 1]->key), oak_proto_bytes(kv->key)) > 0) {
            kvs[at] = kvs[at - 1];
            at--;
        }
        kvs[at] = kv;
    }
}

/* A limit may cut anywhere among equals: of the last ones, only their number counts. */
static void cut_ties_blank(Etcdserverpb__RangeResponse *response,
                           Etcdserverpb__RangeRequest__SortTarget target)
{
    if (response->n_kvs == 0 || !response->more) {
        return;
    }
    const Mvccpb__KeyValue last = *response->kvs[response->n_kvs - 1];
    for (size_t i = response->n_kvs; i > 0 && order_of(response->kvs[i - 1], &last, target) == 0;
         i--) {
        Mvccpb__KeyValue blank = MVCCPB__KEY_VALUE__INIT;
        *response->kvs[i - 1] = blank;
    }
}

static void range_normalise(const Etcdserverpb__RangeRequest *request,
                            Etcdserverpb__RangeResponse *response)
{
    differ_header_clean(response->header);
    if (request->sort_target != ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY) {
        /* Without values, all pairs sorted by value look the same: each value is empty. */
        ties_sort(response, request->sort_target);
        cut_ties_blank(response, request->sort_target);
    }
}

static void txn_normalise(const Etcdserverpb__TxnRequest *request,
                          Etcdserverpb__TxnResponse *response)
{
    differ_header_clean(response->header);
    size_t count = response->succeeded ? request->n_success : request->n_failure;
    Etcdserverpb__RequestOp *const *ops = response->succeeded ? request->success : request->failure;
    for (size_t i = 0; i < count && i < response->n_responses; i++) {
        Etcdserverpb__ResponseOp *op = response->responses[i];
        if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE &&
            ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE) {
            range_normalise(ops[i]->request_range, op->response_range);
        } else if (op->response_case == ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN &&
                   ops[i]->request_case == ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN) {
            txn_normalise(ops[i]->request_txn, op->response_txn);
        }
    }
}

static int by_bytes(const void *a, const void *b)
{
    return oak_bytes_cmp(oak_proto_bytes(*(const ProtobufCBinaryData *)a),
                         oak_proto_bytes(*(const ProtobufCBinaryData *)b));
}

/* What is left of it passes by itself; its keys have no order. */
static void time_to_live_normalise(Etcdserverpb__LeaseTimeToLiveResponse *response)
{
    if (response->ttl > 0 && response->ttl <= response->grantedttl) {
        response->ttl = response->grantedttl;
    }
    if (response->n_keys > 0) {
        qsort(response->keys, response->n_keys, sizeof(*response->keys), by_bytes);
    }
}

static int by_lease(const void *a, const void *b)
{
    int64_t one = (*(Etcdserverpb__LeaseStatus *const *)a)->id;
    int64_t other = (*(Etcdserverpb__LeaseStatus *const *)b)->id;
    return (one > other) - (one < other);
}

static void leases_normalise(Etcdserverpb__LeaseLeasesResponse *response)
{
    if (response->n_leases > 0) {
        qsort(response->leases, response->n_leases, sizeof(*response->leases), by_lease);
    }
}

void differ_normalise(enum differ_method method, const ProtobufCMessage *request,
                      ProtobufCMessage *response)
{
    differ_header_clean(differ_header(response));
    switch (method) {
    case DIFFER_RANGE:
        range_normalise((const Etcdserverpb__RangeRequest *)request,
                        (Etcdserverpb__RangeResponse *)response);
        break;
    case DIFFER_TXN:
        txn_normalise((const Etcdserverpb__TxnRequest *)request,
                      (Etcdserverpb__TxnResponse *)response);
        break;
    case DIFFER_LEASE_TIME_TO_LIVE:
        time_to_live_normalise((Etcdserverpb__LeaseTimeToLiveResponse *)response);
        break;
    case DIFFER_LEASE_LEASES:
        leases_normalise((Etcdserverpb__LeaseLeasesResponse *)response);
        break;
    case DIFFER_HASH_KV:
        /* etcd has it from 3.6 on. */
        ((Etcdserverpb__HashKVResponse *)response)->hash_revision = 0;
        break;
    default:
        break;
    }
}

/* -- readable ---------------------------------------------------------------------------------- */

static void bytes_print(ProtobufCBinaryData bytes)
{
    putchar('"');
    for (size_t i = 0; i < bytes.len; i++) {
        if (isprint(bytes.data[i]) && bytes.data[i] != '"' && bytes.data[i] != '\\') {
            putchar(bytes.data[i]);
        } else {
            printf("\\x%02x", bytes.data[i]);
        }
    }
    putchar('"');
}

/* One value that is no message. */
static void scalar_print(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
        printf("%" PRId64, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        printf("%" PRIu64, *(const uint64_t *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        printf("%s", *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_BYTES:
        bytes_print(*(const ProtobufCBinaryData *)at);
        break;
    case PROTOBUF_C_TYPE_ENUM: {
        const ProtobufCEnumValue *value =
            protobuf_c_enum_descriptor_get_value(field->descriptor, *(const int *)at);
        printf("%s", value != NULL ? value->name : "?");
        break;
    }
    default:
        printf("?");
        break;
    }
}

/* Does it hold its default, which the wire leaves out? */
static bool is_default(const ProtobufCFieldDescriptor *field, const void *at)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)at == 0;
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)at;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_ENUM:
        return *(const int *)at == 0;
    default:
        return *(const void *const *)at == NULL;
    }
}

static void field_print(const ProtobufCFieldDescriptor *field, const void *at, unsigned indent)
{
    printf("%*s%s", (int)(2 * indent), "", field->name);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        printf(" {\n");
        differ_print(*(const ProtobufCMessage *const *)at, indent + 1);
        printf("%*s}\n", (int)(2 * indent), "");
    } else {
        printf(": ");
        scalar_print(field, at);
        printf("\n");
    }
}

void differ_print(const ProtobufCMessage *message, unsigned indent)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        const uint8_t *base = (const uint8_t *)message;
        const void *at = base + field->offset;
        const void *quantifier = base + field->quantifier_offset;
        if (field->label == PROTOBUF_C_LABEL_REPEATED) {
            const ProtobufCMessage *const *items = *(const ProtobufCMessage *const *const *)at;
            size_t count = *(const size_t *)quantifier;
            for (size_t n = 0; field->type == PROTOBUF_C_TYPE_MESSAGE && n < count; n++) {
                field_print(field, &items[n], indent);
            }
        } else if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            if (*(const uint32_t *)quantifier == field->id) {
                field_print(field, at, indent);
            }
        } else if (!is_default(field, at)) {
            field_print(field, at, indent);
        }
    }
}
