/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.c: /api/v1/data, the key-value store as URLs.
 *
 * A request becomes the same protobuf request that a gRPC client would send, and goes the same way;
 * the answer comes back as JSON. A peer that hangs up meanwhile changes nothing: the reply goes
 * nowhere.
 */
#include "gateway/internal.h"

#include <stdlib.h>

#define PATH        "/api/v1/data"
#define LIMIT_PLAIN 100
#define LIMIT_MAX   10000

static struct gateway_call *call_of(struct oak_replica_request *request)
{
    return OAK_CONTAINER_OF(request, struct gateway_call, request);
}

static struct gateway_call *call_new(struct oak_gateway *gateway, struct oak_http_request *http)
{
    struct gateway_call *call = calloc(1, sizeof(*call));
    int error = call == NULL
                    ? OAK_ENOMEM
                    : oak_api_who(gateway->options.api, oak_http_header(http, "authorization"),
                                  call->user, &call->request.who);
    if (error != 0) {
        free(call);
        gateway__reply_failure(http, error);
        return NULL;
    }
    call->gateway = gateway;
    call->http = http;
    oak_arena_init(&call->arena, 4 * OAK_KIB, OAK_RESPONSE_BYTES_MAX);
    gateway->open_calls++;
    return call;
}

static void call_free(struct gateway_call *call)
{
    call->gateway->open_calls--;
    oak_arena_fini(&call->arena);
    oak_buf_fini(&call->scratch);
    free(call);
}

static void fail(struct gateway_call *call, int error)
{
    gateway__reply_failure(call->http, error);
    call_free(call);
}

/* -- writing ----------------------------------------------------------------------------------- */

static void put_done(struct oak_replica_request *request, int error,
                     const struct oak_kv_result *result)
{
    struct gateway_call *call = call_of(request);
    if (error != 0) {
        fail(call, error);
        return;
    }
    const Etcdserverpb__PutResponse *put = (const Etcdserverpb__PutResponse *)result->response;
    gateway__reply_json(call->http, 200,
                        json_pack("{s:I}", "revision", (json_int_t)put->header->revision));
    call_free(call);
}

static void delete_done(struct oak_replica_request *request, int error,
                        const struct oak_kv_result *result)
{
    struct gateway_call *call = call_of(request);
    if (error != 0) {
        fail(call, error);
        return;
    }
    const Etcdserverpb__DeleteRangeResponse *deleted =
        (const Etcdserverpb__DeleteRangeResponse *)result->response;
    if (deleted->deleted == 0) {
        gateway__reply_error(call->http, 404, "ENOENT", "there is no such key");
    } else {
        gateway__reply_json(call->http, 200,
                            json_pack("{s:I, s:I}", "deleted", (json_int_t)deleted->deleted,
                                      "revision", (json_int_t)deleted->header->revision));
    }
    call_free(call);
}

static void propose(struct gateway_call *call, enum oak_kv_kind kind,
                    const ProtobufCMessage *message)
{
    struct oak_replica *replica = call->gateway->options.replica;
    int error = oak_api_permit(call->gateway->options.api, &call->request.who, message);
    error = error != 0 ? error : oak_kv_check(oak_replica_kv(replica), kind, message);
    size_t size = protobuf_c_message_get_packed_size(message);
    error = error != 0 ? error : oak_buf_reserve(&call->scratch, size + 1);
    if (error == 0) {
        call->scratch.size = protobuf_c_message_pack(message, call->scratch.data);
        call->request.done = kind == OAK_KV_PUT ? put_done : delete_done;
        error = oak_replica_propose(replica, kind, oak_buf_bytes(&call->scratch), &call->request);
    }
    if (error != 0) {
        fail(call, error);
    }
}

/* What is not understood is not ignored: the caller meant something by it. */
static bool is_member_known(const char *name)
{
    static const char *const known[] = {"key", "key_base64", "value", "value_base64"};
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int put_read(struct gateway_call *call, const json_t *body, Etcdserverpb__PutRequest *put,
                    const char **why)
{
    struct oak_bytes key, value;
    if (!json_is_object(body)) {
        *why = "the body is a JSON object: {\"key\":\"...\",\"value\":\"...\"}";
        return OAK_EFORMAT;
    }
    for (void *member = json_object_iter((json_t *)(uintptr_t)body); member != NULL;
         member = json_object_iter_next((json_t *)(uintptr_t)body, member)) {
        if (!is_member_known(json_object_iter_key(member))) {
            *why = "the members are key or key_base64, and value or value_base64; there is another";
            return OAK_EFORMAT;
        }
    }
    int error = gateway__bytes_of(body, "key", &call->arena, &key, why);
    if (error == 0) {
        error = gateway__bytes_of(body, "value", &call->arena, &value, why);
    }
    if (error == OAK_ENOENT) {
        *why = "\"key\" and \"value\" are both needed";
    }
    if (error == 0) {
        put->key = oak_proto_binary(key);
        put->value = oak_proto_binary(value);
    }
    return error;
}

static void post_handle(void *user, struct oak_http_request *http)
{
    struct gateway_call *call = call_new(user, http);
    if (call == NULL) {
        return;
    }
    struct oak_bytes text = oak_http_body(http);
    json_error_t problem;
    json_t *body = gateway__json_parse(text, &problem);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    const char *why = problem.text;
    int error = body != NULL ? put_read(call, body, &put, &why) : OAK_EFORMAT;
    if (error != 0) {
        gateway__reply_error(http, 400, "EFORMAT", why);
        call_free(call);
    } else {
        propose(call, OAK_KV_PUT, &put.base);
    }
    json_decref(body);
}

static void delete_handle(void *user, struct oak_http_request *http)
{
    struct gateway_call *call = call_new(user, http);
    if (call == NULL) {
        return;
    }
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_http_rest(http));
    propose(call, OAK_KV_DELETE, &request.base);
}

/* -- reading ----------------------------------------------------------------------------------- */

static json_t *pair_json(struct gateway_call *call, const Mvccpb__KeyValue *kv)
{
    json_t *pair = json_object();
    if (pair == NULL ||
        gateway__json_bytes(pair, "key", oak_proto_bytes(kv->key), &call->arena) != 0 ||
        gateway__json_bytes(pair, "value", oak_proto_bytes(kv->value), &call->arena) != 0 ||
        json_object_set_new(pair, "create_revision", json_integer(kv->create_revision)) != 0 ||
        json_object_set_new(pair, "mod_revision", json_integer(kv->mod_revision)) != 0 ||
        json_object_set_new(pair, "version", json_integer(kv->version)) != 0) {
        json_decref(pair);
        return NULL;
    }
    return pair;
}

/* Where the next page begins: right behind `last`, in hex, because a URL can't carry every key. */
static json_t *next_json(struct gateway_call *call, struct oak_bytes last)
{
    static const char digits[] = "0123456789abcdef";
    char *hex = oak_arena_alloc(&call->arena, 2 * last.size + 3);
    if (hex == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < last.size; i++) {
        hex[2 * i] = digits[last.data[i] >> 4];
        hex[2 * i + 1] = digits[last.data[i] & 15];
    }
    memcpy(hex + 2 * last.size, "00", 3);
    return json_string(hex);
}

static int hex_digit(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The bytes of what next_json gave. OAK_EFORMAT, OAK_ENOMEM. */
static int next_read(struct gateway_call *call, struct oak_bytes hex, struct oak_bytes *out)
{
    uint8_t *bytes = oak_arena_alloc(&call->arena, hex.size / 2 + 1);
    if (bytes == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i + 1 < hex.size; i += 2) {
        int high = hex_digit(hex.data[i]);
        int low = hex_digit(hex.data[i + 1]);
        if (high < 0 || low < 0) {
            return OAK_EFORMAT;
        }
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *out = oak_bytes(bytes, hex.size / 2);
    return hex.size % 2 == 0 && hex.size > 0 ? 0 : OAK_EFORMAT;
}

static json_t *list_json(struct gateway_call *call, const Etcdserverpb__RangeResponse *found)
{
    json_t *list = json_array();
    json_t *object = json_pack("{s:I, s:I, s:b}", "revision", (json_int_t)found->header->revision,
                               "count", (json_int_t)found->count, "more", (int)found->more);
    for (size_t i = 0; i < found->n_kvs && list != NULL; i++) {
        if (json_array_append_new(list, pair_json(call, found->kvs[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    if (list == NULL || object == NULL || json_object_set_new(object, "items", list) != 0) {
        json_decref(object);
        return NULL;
    }
    if (found->more && found->n_kvs > 0) {
        json_t *next = next_json(call, oak_proto_bytes(found->kvs[found->n_kvs - 1]->key));
        if (next == NULL || json_object_set_new(object, "next", next) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static void read_ready(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct gateway_call *call = call_of(request);
    Etcdserverpb__RangeResponse *found = NULL;
    (void)result;
    if (error == 0) {
        error = oak_api_permit(call->gateway->options.api, &call->request.who, &call->range.base);
    }
    if (error == 0) {
        error = oak_kv_range(oak_replica_kv(call->gateway->options.replica), &call->range,
                             &call->arena, &found);
    }
    if (error != 0) {
        fail(call, error);
        return;
    }
    if (call->single && found->n_kvs == 0) {
        gateway__reply_error(call->http, 404, "ENOENT", "there is no such key");
    } else {
        gateway__reply_json(call->http, 200,
                            call->single ? pair_json(call, found->kvs[0]) : list_json(call, found));
    }
    call_free(call);
}

static void read_go(struct gateway_call *call)
{
    int error = oak_kv_check_range(&call->range);
    if (error == 0 &&
        oak_bytes_eq(oak_http_query(call->http, "serializable", 0), oak_bytes_str("true"))) {
        call->request.done = read_ready;
        read_ready(&call->request, 0, NULL);
        return;
    }
    if (error == 0) {
        call->request.done = read_ready;
        error = oak_replica_read(call->gateway->options.replica, &call->request);
    }
    if (error != 0) {
        fail(call, error);
    }
}

static void get_handle(void *user, struct oak_http_request *http)
{
    struct gateway_call *call = call_new(user, http);
    if (call == NULL) {
        return;
    }
    etcdserverpb__range_request__init(&call->range);
    call->single = true;
    call->range.key = oak_proto_binary(oak_http_rest(http));
    read_go(call);
}

/* A decimal number from 1 to LIMIT_MAX; LIMIT_PLAIN when absent; -1 when it is neither. */
static int64_t limit_read(struct oak_bytes text)
{
    if (text.data == NULL) {
        return LIMIT_PLAIN;
    }
    int64_t value = 0;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || value > LIMIT_MAX) {
            return -1;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    return text.size > 0 && value >= 1 && value <= LIMIT_MAX ? value : -1;
}

static void list_handle(void *user, struct oak_http_request *http)
{
    struct gateway_call *call = call_new(user, http);
    if (call == NULL) {
        return;
    }
    struct oak_bytes prefix = oak_http_query(http, "prefix", 0);
    struct oak_bytes from = oak_http_query(http, "from", 0);
    etcdserverpb__range_request__init(&call->range);
    call->range.limit = limit_read(oak_http_query(http, "limit", 0));
    if (call->range.limit < 0) {
        gateway__reply_error(http, 400, "EINVAL", "limit is a number from 1 to 10000");
        call_free(call);
        return;
    }
    struct oak_bytes next = oak_http_query(http, "next", 0);
    if (next.data != NULL && next_read(call, next, &from) != 0) {
        gateway__reply_error(http, 400, "EINVAL", "next is what the page before gave as \"next\"");
        call_free(call);
        return;
    }
    struct oak_bytes first = prefix.size > 0 ? prefix : oak_bytes("\0", 1);
    if (from.size > 0 && oak_bytes_cmp(from, first) > 0) {
        first = from;
    }
    call->range.key = oak_proto_binary(first);
    int error = oak_proto_prefix_end(&call->arena, prefix, &call->range.range_end);
    if (error != 0) {
        fail(call, error);
        return;
    }
    read_go(call);
}

static void all_handle(void *user, struct oak_http_request *http)
{
    if (oak_http_method(http) == OAK_HTTP_POST) {
        post_handle(user, http);
    } else {
        list_handle(user, http);
    }
}

static void one_handle(void *user, struct oak_http_request *http)
{
    if (oak_http_method(http) == OAK_HTTP_DELETE) {
        delete_handle(user, http);
    } else {
        get_handle(user, http);
    }
}

int oak_gateway_new(const struct oak_gateway_options *options, struct oak_gateway **out)
{
    struct oak_gateway *gateway = calloc(1, sizeof(*gateway));
    if (gateway == NULL) {
        return OAK_ENOMEM;
    }
    gateway->options = *options;
    const struct oak_http_route routes[] = {
        {OAK_HTTP_POST | OAK_HTTP_GET, PATH, all_handle, gateway},
        {OAK_HTTP_GET | OAK_HTTP_DELETE, PATH "/*", one_handle, gateway},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(routes); i++) {
        int error = oak_http_server_add(options->server, &routes[i]);
        if (error != 0) {
            free(gateway);
            return error;
        }
    }
    *out = gateway;
    return 0;
}

void oak_gateway_free(struct oak_gateway *gateway)
{
    OAK_ASSERT_EQ(gateway->open_calls, 0);
    free(gateway);
}
