/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAK_OBSERVE_INTERNAL_H
#define OAK_OBSERVE_INTERNAL_H

#include "observe/observe.h"

struct oak_observe {
    struct oak_observe_options options;
    size_t open_checks;
    uint64_t health_success;
    uint64_t health_failures;
};

/* metrics.c: the page, appended to `out`. OAK_ENOMEM. */
OAK_MUST_USE int observe__metrics(struct oak_observe *o, struct oak_buf *out);
/* health.c */
void observe__health(void *user, struct oak_http_request *http);
void observe__livez(void *user, struct oak_http_request *http);
void observe__readyz(void *user, struct oak_http_request *http);

#endif
