/* SPDX-License-Identifier: Apache-2.0 */
/* reflection_fuzz.c: any bytes as requests to ServerReflection, cut where a byte says so: each has
 * one answer, or the stream ends. */
#include <stdlib.h>

#include <demo/names.oak.h>
#include <grpc/reflection/v1/reflection.oak.h>

#include "oakum/services.h"
#include "oakum/stub.h"
#include "port/port.h"

struct run {
    int asked;
    int answered;
    int ended;
    enum oak_rpc_code code;
};

static void class(void *user, struct oak_stub_call *call, const Demo__Types__V1__Text *request)
{
    (void)user;
    (void)request;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static void raw_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)call;
    Grpc__Reflection__V1__ServerReflectionResponse *response =
        grpc__reflection__v1__server_reflection_response__unpack(NULL, bytes.size, bytes.data);
    OAK_ASSERT(response != NULL);
    OAK_ASSERT_NE(response->message_response_case, 0);
    grpc__reflection__v1__server_reflection_response__free_unpacked(response, NULL);
    ((struct run *)user)->answered++;
}

static void raw_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct run *r = user;
    r->ended++;
    r->code = status->code;
}

static const struct oak_rpc_handler raw_handler = {.message = raw_message, .closed = raw_closed};

static void ask(struct oak_rpc_conn *client, struct run *r, const uint8_t *data, size_t size)
{
    const struct oak_rpc_request request = {.service = "grpc.reflection.v1alpha.ServerReflection",
                                            .method = "ServerReflectionInfo",
                                            .handler = &raw_handler,
                                            .user = r};
    struct oak_rpc_call *call;
    OAK_ASSERT_EQ(oak_rpc_conn_call(client, &request, 1, &call), 0);
    while (size > 0) {
        size_t piece = OAK_MIN((size_t)data[0], size - 1);
        OAK_ASSERT_EQ(oak_rpc_call_send(call, oak_bytes(data + 1, piece)), 0);
        data += 1 + piece;
        size -= 1 + piece;
        r->asked++;
    }
    oak_rpc_call_half_close(call);
}

static bool carry(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    if (b.size > 0) {
        OAK_ASSERT_EQ(oak_rpc_conn_feed(to, b, 1), 0);
    }
    return b.size > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct demo__nested__pack__v2beta1__httpproxy_handlers names = {.class = class};
    struct run r = {0};
    struct oak_rpc_server *server;
    struct oak_reflection *reflection;
    struct oak_rpc_conn *c;
    struct oak_rpc_conn *s;
    OAK_ASSERT_EQ(oak_rpc_server_new(NULL, NULL, &server), 0);
    OAK_ASSERT_EQ(demo__nested__pack__v2beta1__httpproxy_add(server, &names, NULL), 0);
    OAK_ASSERT_EQ(oak_reflection_add(server, &reflection), 0);
    OAK_ASSERT_EQ(oak_rpc_conn_new(NULL, NULL, "server", 1, &c), 0);
    OAK_ASSERT_EQ(oak_rpc_conn_new(server, NULL, "client", 1, &s), 0);
    ask(c, &r, data, OAK_MIN(size, (size_t)4096));
    bool more = true;
    while (more) {
        more = carry(c, s);
        more = carry(s, c) || more;
    }
    OAK_ASSERT_EQ(r.ended, 1);
    OAK_ASSERT(r.code != OAK_RPC_OK || r.answered == r.asked);
    oak_rpc_conn_free(c);
    oak_rpc_conn_free(s);
    oak_rpc_server_free(server);
    oak_reflection_free(reflection);
    return 0;
}
