/* SPDX-License-Identifier: Apache-2.0 */
/* logsink.h: log lines to stderr or stdout, as etcd's JSON lines or as text for a console.
 *
 * Threads: any; a line is written by one call.
 */
#ifndef OAK_SERVER_LOGSINK_H
#define OAK_SERVER_LOGSINK_H

#include "port/port.h"
#include "server/config.h"

struct logsink {
    struct oak_log log; /* hand this to the rooms */
    struct oak_clock clock;
    bool json;
    bool to_stdout;
    bool to_stderr;
};

void logsink_init(struct logsink *sink, const struct oak_config *config, struct oak_clock clock);

#endif
