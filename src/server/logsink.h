/* SPDX-License-Identifier: Apache-2.0 */
/* logsink.h: log lines to stderr, stdout, files or the system's journal, as etcd's JSON lines or as
 * text for a console.
 *
 * Threads: any; a line is written by one call.
 */
#ifndef OAK_SERVER_LOGSINK_H
#define OAK_SERVER_LOGSINK_H

#include "port/port.h"
#include "server/config.h"
#include "server/logfile.h"

struct logsink {
    struct oak_log log; /* hand this to the rooms */
    struct oak_clock clock;
    bool json;
    bool to_stdout;
    bool to_stderr;
    bool to_journal;
    struct logfile *files[OAK_CONFIG_LOG_FILES_MAX];
    size_t file_count;
};

/* Files that can't be opened: `e` names the first of them, and lines go where they can. */
OAK_MUST_USE int logsink_init(struct logsink *sink, const struct oak_config *config,
                              struct oak_clock clock, struct oak_errbuf *e);
void logsink_fini(struct logsink *sink);

#endif
