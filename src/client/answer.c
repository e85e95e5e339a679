/* SPDX-License-Identifier: Apache-2.0 */
/* answer.c: what a server said, in the client's terms. */
#include "client/internal.h"

int client__error_of_text(struct oak_bytes message)
{
    static const int errors[] = {
#define X(name, class, grpc, text) OAK_##name,
#include "oakum/errors.def"
#undef X
    };
    for (size_t i = 0; i < OAK_COUNT_OF(errors); i++) {
        if (oak_bytes_eq(message, oak_bytes_str(oak_error_text(errors[i])))) {
            return errors[i];
        }
    }
    return 0;
}

int client__error(enum oak_rpc_code code, struct oak_bytes message)
{
    static const int by_code[] = {
        [OAK_RPC_CANCELLED] = OAK_ECANCELED,
        [OAK_RPC_UNKNOWN] = OAK_EREMOTE,
        [OAK_RPC_INVALID_ARGUMENT] = OAK_EINVAL,
        [OAK_RPC_DEADLINE_EXCEEDED] = OAK_EDEADLINE,
        [OAK_RPC_NOT_FOUND] = OAK_ENOENT,
        [OAK_RPC_ALREADY_EXISTS] = OAK_EEXIST,
        [OAK_RPC_PERMISSION_DENIED] = OAK_EPERM,
        [OAK_RPC_RESOURCE_EXHAUSTED] = OAK_ELIMIT,
        [OAK_RPC_FAILED_PRECONDITION] = OAK_EREMOTE,
        [OAK_RPC_ABORTED] = OAK_EAGAIN,
        [OAK_RPC_OUT_OF_RANGE] = OAK_EREMOTE,
        [OAK_RPC_UNIMPLEMENTED] = OAK_EUNIMPLEMENTED,
        [OAK_RPC_INTERNAL] = OAK_EREMOTE,
        [OAK_RPC_UNAVAILABLE] = OAK_EUNREACHABLE,
        [OAK_RPC_DATA_LOSS] = OAK_ECORRUPT,
        [OAK_RPC_UNAUTHENTICATED] = OAK_EPERM,
    };
    if (code == OAK_RPC_OK) {
        return 0;
    }
    int error = client__error_of_text(message);
    if (error == 0 && (size_t)code < OAK_COUNT_OF(by_code)) {
        error = by_code[code];
    }
    return error != 0 ? error : OAK_EREMOTE;
}

/* -- responses --------------------------------------------------------------------------------- */

/* The header is the field 1 of each response of the API. */
#define HEADER_FIELD 1

void client__header(const Etcdserverpb__ResponseHeader *header, struct oak_client_header *out)
{
    if (header != NULL) {
        *out = (struct oak_client_header){.cluster_id = header->cluster_id,
                                          .member_id = header->member_id,
                                          .revision = header->revision,
                                          .raft_term = header->raft_term};
    }
}

static void header_read(const ProtobufCMessage *message, struct oak_client_header *out)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, HEADER_FIELD);
    const Etcdserverpb__ResponseHeader *header;
    OAK_ASSERT(field != NULL && field->descriptor == &etcdserverpb__response_header__descriptor);
    memcpy(&header, (const uint8_t *)message + field->offset, sizeof(header));
    client__header(header, out);
}

int client__decode(struct oak_client_call *call, struct oak_bytes bytes)
{
    struct oak_client_answer *answer = &call->answer;
    if (call->method.response == NULL) {
        answer->response = oak_arena_dup(&call->arena, bytes);
        return answer->response.data == NULL && bytes.size > 0 ? OAK_ENOMEM : 0;
    }
    ProtobufCMessage *message;
    int error = oak_proto_unpack(call->method.response, bytes, &call->arena, &message);
    if (error != 0) {
        return error == OAK_EFORMAT ? OAK_EREMOTE : error;
    }
    header_read(message, &answer->header);
    return call->method.fill != NULL ? call->method.fill(call, message) : 0;
}

/* -- results ----------------------------------------------------------------------------------- */

void client__kv(const Mvccpb__KeyValue *kv, struct oak_client_kv *out)
{
    *out = (struct oak_client_kv){.key = oak_proto_bytes(kv->key),
                                  .value = oak_proto_bytes(kv->value),
                                  .create_revision = kv->create_revision,
                                  .mod_revision = kv->mod_revision,
                                  .version = kv->version,
                                  .lease = kv->lease};
}

static int kvs_read(struct oak_arena *arena, Mvccpb__KeyValue *const *kvs, size_t count,
                    struct oak_client_result *out)
{
    struct oak_client_kv *all = NULL;
    if (count > 0) {
        all = oak_arena_alloc(arena, count * sizeof(*all));
        if (all == NULL) {
            return OAK_ELIMIT;
        }
    }
    for (size_t i = 0; i < count; i++) {
        client__kv(kvs[i], &all[i]);
    }
    out->kvs = all;
    out->kv_count = count;
    return 0;
}

int client__range_result(struct oak_arena *arena, const Etcdserverpb__RangeResponse *response,
                         struct oak_client_result *out)
{
    *out = (struct oak_client_result){
        .kind = OAK_CLIENT_GET, .count = response->count, .more = response->more};
    return kvs_read(arena, response->kvs, response->n_kvs, out);
}

int client__put_result(struct oak_arena *arena, const Etcdserverpb__PutResponse *response,
                       struct oak_client_result *out)
{
    *out = (struct oak_client_result){.kind = OAK_CLIENT_PUT};
    return kvs_read(arena, &response->prev_kv, response->prev_kv != NULL ? 1 : 0, out);
}

int client__delete_result(struct oak_arena *arena,
                          const Etcdserverpb__DeleteRangeResponse *response,
                          struct oak_client_result *out)
{
    *out = (struct oak_client_result){.kind = OAK_CLIENT_DELETE, .count = response->deleted};
    return kvs_read(arena, response->prev_kvs, response->n_prev_kvs, out);
}
