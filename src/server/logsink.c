/* SPDX-License-Identifier: Apache-2.0 */
/* logsink.c: one line an event: {"level":"info","ts":"2026-01-31T12:00:00.000000Z","msg":"..."}, or
 * 2026-01-31T12:00:00.000000Z info ... */
#include "server/logsink.h"

#include <stdio.h>
#include <time.h>

#include "os/os.h"

#define LINE_BYTES 2304

static const char *level_name(enum oak_log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    return names[level];
}

/* As syslog counts. */
static int priority(enum oak_log_level level)
{
    static const int numbers[] = {7, 6, 4, 3};
    return numbers[level];
}

static size_t escape(const char *text, char *out, size_t capacity)
{
    size_t size = 0;
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0' && size + 7 < capacity;
         p++) {
        if (*p == '"' || *p == '\\') {
            out[size++] = '\\';
            out[size++] = (char)*p;
        } else if (*p < 0x20) {
            size += (size_t)snprintf(out + size, capacity - size, "\\u%04x", *p);
        } else {
            out[size++] = (char)*p;
        }
    }
    out[size] = '\0';
    return size;
}

static void stamp(const struct logsink *sink, char *out, size_t capacity)
{
    uint64_t now = sink->clock.wall_ns(sink->clock.user);
    time_t seconds = (time_t)(now / 1000000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t size = strftime(out, capacity, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + size, capacity - size, ".%06uZ", (unsigned)(now / 1000 % 1000000));
}

static void write_line(void *user, enum oak_log_level level, const char *text)
{
    const struct logsink *sink = user;
    char when[64], escaped[LINE_BYTES - 128], line[LINE_BYTES];
    stamp(sink, when, sizeof(when));
    if (sink->json) {
        escape(text, escaped, sizeof(escaped));
        snprintf(line, sizeof(line), "{\"level\":\"%s\",\"ts\":\"%s\",\"msg\":\"%s\"}\n",
                 level_name(level), when, escaped);
    } else {
        snprintf(line, sizeof(line), "%s %-5s %s\n", when, level_name(level), text);
    }
    for (size_t i = 0; i < sink->file_count; i++) {
        logfile_write(sink->files[i], line, strlen(line));
    }
    bool told = sink->to_journal && oak_os_journal_send(NULL, priority(level), "oakum", text) == 0;
    if (sink->to_stderr || (sink->to_journal && !told)) {
        fputs(line, stderr);
    }
    if (sink->to_stdout) {
        fputs(line, stdout);
        fflush(stdout);
    }
}

int logsink_init(struct logsink *sink, const struct oak_config *config, struct oak_clock clock,
                 struct oak_errbuf *e)
{
    *sink = (struct logsink){
        .log = {.write = write_line, .user = sink, .level = config->log_level},
        .clock = clock,
        .json = config->log_format == OAK_CONFIG_LOG_JSON,
        .to_stdout = config->log_to_stdout,
        .to_stderr = config->log_to_stderr,
        .to_journal = config->log_to_journal,
    };
    const struct oak_config_rotation *rotation = config->log_rotate ? &config->log_rotation : NULL;
    for (size_t i = 0; i < config->log_file_count; i++) {
        int error =
            logfile_open(config->log_files[i], rotation, clock, &sink->files[sink->file_count], e);
        if (error != 0) {
            sink->to_stderr = true;
            return error;
        }
        sink->file_count++;
    }
    return 0;
}

void logsink_fini(struct logsink *sink)
{
    for (size_t i = 0; i < sink->file_count; i++) {
        logfile_close(sink->files[i]);
    }
    sink->file_count = 0;
}
