/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void oak_log(const struct oak_log *log, enum oak_log_level level, const char *format, ...)
{
    if (log == NULL || log->write == NULL || level < log->level) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log->write(log->user, level, text);
}
