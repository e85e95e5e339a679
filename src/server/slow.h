/* SPDX-License-Identifier: Apache-2.0 */
/* slow.h: requests that took longer than --warning-unary-request-duration are logged.
 *
 * Threads: the loop's.
 */
#ifndef OAK_SERVER_SLOW_H
#define OAK_SERVER_SLOW_H

#include "oakum/rpc.h"
#include "port/port.h"
#include "server/tally.h"

struct slow {
    const struct oak_log *log;
    const struct oak_clock *clock;
    uint64_t max_ns; /* 0: nothing is slow */
    struct tally tally;
    struct oak_rpc_interceptor interceptor; /* for the options of a server */
};

/* `log` and `clock` are borrowed. */
void slow_init(struct slow *slow, const struct oak_log *log, const struct oak_clock *clock,
               uint64_t max_ns);

#endif
