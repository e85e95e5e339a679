/* SPDX-License-Identifier: Apache-2.0 */
/* service.h: grpc.testing.TestService on our library, by generated code. */
#ifndef TESTS_INTEROP_SERVICE_H
#define TESTS_INTEROP_SERVICE_H

#include "tests/interop/interop.h"

struct interop_service {
    const struct oak_loop *loop;
    char id[32]; /* what a client is told that asks who answers */
    size_t open; /* streams that are not closed */
};

/* `service` stays in use as long as the server. */
void interop_service_add(struct interop_service *service, struct oak_rpc_server *server);

#endif
