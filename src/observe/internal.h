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

/* One metric without labels. */
struct observe_row {
    const char *name;
    const char *type;
    const char *help;
    double value;
};
#define OBSERVE_GAUGE   "gauge"
#define OBSERVE_COUNTER "counter"
OAK_MUST_USE int observe__rows(struct oak_buf *out, const struct observe_row *row, size_t count);
/* metrics_lease.c */
OAK_MUST_USE int observe__lease_rows(struct oak_observe *o, struct oak_buf *out);
/* metrics.c: the page, appended to `out`. OAK_ENOMEM. */
OAK_MUST_USE int observe__metrics(struct oak_observe *o, struct oak_buf *out);
/* health.c */
void observe__health(void *user, struct oak_http_request *http);
void observe__livez(void *user, struct oak_http_request *http);
void observe__readyz(void *user, struct oak_http_request *http);

#endif
