/* SPDX-License-Identifier: Apache-2.0 */
/* health.c: grpc.health.v1.Health (gRPC "Health Checking Protocol"). The server as a whole, "",
 * serves from the moment it answers at all; other names are unknown, as etcd's are.
 */
#include "api/internal.h"

typedef Grpc__Health__V1__HealthCheckRequest health_request;
typedef Grpc__Health__V1__HealthCheckResponse health_response;

static bool named(const struct api_call *call)
{
    const health_request *request = (const health_request *)call->message;
    return request->service != NULL && request->service[0] != '\0';
}

static void check_handle(struct api_call *call)
{
    if (named(call)) {
        call->answered = true;
        oak_rpc_call_finish(call->rpc, OAK_RPC_NOT_FOUND, "unknown service");
        return;
    }
    health_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    api__answer(call, &response.base);
}

/* One message now; the stream stays open until the client or the server goes. */
static void watch_handle(struct api_call *call)
{
    health_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = named(call)
                          ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN
                          : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
    api__answer(call, &response.base);
}

#define SERVICE "grpc.health.v1.Health"
const struct api_method api__health_methods[2] = {
    {SERVICE, "Check", OAK_RPC_UNARY, &grpc__health__v1__health_check_request__descriptor,
     check_handle},
    {SERVICE, "Watch", OAK_RPC_SERVER_STREAM, &grpc__health__v1__health_check_request__descriptor,
     watch_handle},
};
