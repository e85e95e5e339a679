/* SPDX-License-Identifier: Apache-2.0 */
/* services.h: services that every gRPC server may have: health and reflection.
 *
 * Each is added to a server, and freed by hand once that server is freed.
 *
 * Threads: the server's loop.
 */
#ifndef OAKUM_SERVICES_H
#define OAKUM_SERVICES_H

#include "oakum/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- grpc.health.v1.Health: Check, List, Watch ------------------------------------------------- */

/* Numbers of the protocol. */
enum oak_health_status {
    OAK_HEALTH_UNKNOWN = 0,
    OAK_HEALTH_SERVING = 1,
    OAK_HEALTH_NOT_SERVING = 2,
};

struct oak_health;

/* The server as a whole, whose name is "", serves from now on; of other names nothing is known
 * until they are set: Check answers NOT_FOUND, Watch SERVICE_UNKNOWN until there is more to say.
 * OAK_EEXIST, OAK_ENOMEM: then, too, free it only behind the server. */
OAK_API OAK_MUST_USE int oak_health_add(struct oak_rpc_server *server, struct oak_health **out);
/* Who watches is told of a change at once. The name is copied. OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_health_set(struct oak_health *health, const char *service,
                                        enum oak_health_status status);
/* The name that channels with the policy oakum_leader ask for. */
#define OAK_HEALTH_LEADER "oakum.Leader"
/* The same for a service that only one of several servers serves at a time, the one that leads:
 * SERVING or NOT_SERVING, and in which term that is so, which orders what they say. Who watches is
 * told of a new term too. Channels with that policy go by it (channel.h); those of other libraries
 * can by round_robin with a healthCheckConfig. OAK_ENOMEM: never for a name that was set before. */
OAK_API OAK_MUST_USE int oak_health_set_leader(struct oak_health *health, const char *service,
                                               bool leads, uint64_t term);
/* Before a server drains: everything is NOT_SERVING, and stays so. */
OAK_API void oak_health_shut_down(struct oak_health *health);
OAK_API void oak_health_free(struct oak_health *health);

/* -- grpc.reflection.v1 and v1alpha: ServerReflection ------------------------------------------ */

struct oak_reflection;

/* Tells of all services of the server that generated code has added (stub.h), also of those that
 * are added later; of others it knows the name. OAK_EEXIST, OAK_ENOMEM: then, too, free it only
 * behind the server. */
OAK_API OAK_MUST_USE int oak_reflection_add(struct oak_rpc_server *server,
                                            struct oak_reflection **out);
OAK_API void oak_reflection_free(struct oak_reflection *reflection);

#ifdef __cplusplus
}
#endif

#endif
