/* SPDX-License-Identifier: Apache-2.0 */
/* logfile.h: a file that log lines are appended to, rotated by size if wanted.
 *
 * A file that has grown too long is renamed, "etcd.log" to "etcd-2026-01-31T12-00-00.000.log", and
 * a new one begun; of those renamed, the oldest are removed.
 *
 * Threads: any; a line is written under a lock.
 */
#ifndef OAK_SERVER_LOGFILE_H
#define OAK_SERVER_LOGFILE_H

#include "port/port.h"
#include "server/config.h"

struct logfile;

/* `rotation` (may be NULL) and `path` are borrowed. OAK_ENOENT, OAK_EPERM and the like: `e` names
 * the file. */
OAK_MUST_USE int logfile_open(const char *path, const struct oak_config_rotation *rotation,
                              struct oak_clock clock, struct logfile **out, struct oak_errbuf *e);
/* What can't be written is lost, and told once on stderr. */
void logfile_write(struct logfile *file, const char *line, size_t size);
/* NULL is fine. */
void logfile_close(struct logfile *file);

#endif
