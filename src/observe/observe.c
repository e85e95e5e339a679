/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c: the routes, /version and /metrics. */
#include <stdio.h>
#include <stdlib.h>

#include "observe/internal.h"

static void version_handle(void *user, struct oak_http_request *http)
{
    const struct oak_observe *o = user;
    char body[256];
    int size = snprintf(body, sizeof(body),
                        "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\",\"storage\":\"%s\"}",
                        o->options.version, o->options.cluster_version, o->options.cluster_version);
    OAK_ASSERT(size > 0 && (size_t)size < sizeof(body));
    const struct oak_http_answer answer = {
        .status = 200,
        .content_type = "application/json",
        .body = oak_bytes(body, (size_t)size),
    };
    oak_http_reply(http, &answer);
}

static void metrics_handle(void *user, struct oak_http_request *http)
{
    struct oak_buf page = {0};
    struct oak_http_answer answer = {.status = 503};
    if (observe__metrics(user, &page) == 0) {
        answer = (struct oak_http_answer){
            .status = 200,
            .content_type = "text/plain; version=0.0.4; charset=utf-8",
            .body = oak_buf_bytes(&page),
        };
    }
    oak_http_reply(http, &answer);
    oak_buf_fini(&page);
}

int oak_observe_new(const struct oak_observe_options *options, struct oak_observe **out)
{
    struct oak_observe *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return OAK_ENOMEM;
    }
    o->options = *options;
    *out = o;
    return 0;
}

int oak_observe_routes(struct oak_observe *o, struct oak_http_server *server)
{
    const struct oak_http_route routes[] = {
        {OAK_HTTP_GET, "/health", observe__health, o},
        {OAK_HTTP_GET, "/livez", observe__livez, o},
        {OAK_HTTP_GET, "/livez/*", observe__livez, o},
        {OAK_HTTP_GET, "/readyz", observe__readyz, o},
        {OAK_HTTP_GET, "/readyz/*", observe__readyz, o},
        {OAK_HTTP_GET, "/version", version_handle, o},
        {OAK_HTTP_GET, "/metrics", metrics_handle, o},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(routes); i++) {
        int error = oak_http_server_add(server, &routes[i]);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

void oak_observe_free(struct oak_observe *o)
{
    OAK_ASSERT_EQ(o->open_checks, 0);
    free(o);
}
