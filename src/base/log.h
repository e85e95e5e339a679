/* SPDX-License-Identifier: Apache-2.0 */
/* log.h: lines for operators, as data, through a sink that the program (or the simulator) sets.
 *
 * A line says what happened, to whom, and what follows. Values of users' keys are never logged.
 */
#ifndef OAK_BASE_LOG_H
#define OAK_BASE_LOG_H

#include "base/compiler.h"

enum oak_log_level {
    OAK_LOG_DEBUG,
    OAK_LOG_INFO,
    OAK_LOG_WARN,
    OAK_LOG_ERROR,
};

/* `text` is one finished line without its end. May be called from any thread of the sink's owner.
 */
struct oak_log {
    void (*write)(void *user, enum oak_log_level level, const char *text);
    void *user;
    enum oak_log_level level; /* lines below it are not formatted */
};

/* `log` may be NULL: the line is dropped. */
void oak_log(const struct oak_log *log, enum oak_log_level level, const char *format, ...)
    OAK_PRINTF(3, 4);

#endif
