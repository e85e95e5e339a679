/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: what a run leaves in its report's directory.
 *
 *   timeline.svg   the picture (svg.c)
 *   faults.txt     every fault: when, for how long, what
 *   history.txt    every operation, for who wants to judge it anew
 *
 * A line of history.txt is "kind client node life key arg expect result version revision call ret";
 * call and ret are moments, ret is "-" when the end is not known.
 * Can fail     the directory or a file can't be written: told by its name.
 */
#include "chaos/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kinds[] = {
    [OP_PUT] = "put",   [OP_GET] = "get",     [OP_DELETE] = "delete",
    [OP_CAS] = "cas",   [OP_MOVE] = "move",   [OP_LOOK] = "look",
    [OP_PEEK] = "peek", [OP_SWEEP] = "sweep", [OP_TRIM] = "trim"};

static int failed(struct oak_errbuf *e, const char *path)
{
    return oak_fail(e, OAK_EIO, "%.300s: %s", path, strerror(errno));
}

static void faults_write(const struct chaos *c, FILE *file)
{
    fprintf(file, "# seed %" PRIu64 ", %d nodes: seconds from the start, seconds long, what\n",
            c->options->seed, c->count);
    for (size_t i = 0; i < c->event_count; i++) {
        const struct chaos__event *event = &c->events[i];
        char text[128];
        chaos__fault_text(&event->fault, event->target, text, sizeof(text));
        uint64_t end_ms = event->end_ms == UINT64_MAX ? event->begin_ms : event->end_ms;
        fprintf(file, "%8.2f %6.2f  %s\n", (double)event->begin_ms / 1000,
                (double)(end_ms - event->begin_ms) / 1000, text);
    }
}

static void history_write(const struct chaos *c, FILE *file)
{
    for (size_t i = 0; i < c->history.count; i++) {
        const struct op *op = &c->history.ops[i];
        fprintf(file,
                "%s %d %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64
                " %" PRIu64,
                kinds[op->kind], op->client, op->node, op->life, op->key, op->arg, op->expect,
                op->result, op->version, op->revision, op->call);
        if (op->ret == UINT64_MAX) {
            fputs(" -\n", file);
        } else {
            fprintf(file, " %" PRIu64 "\n", op->ret);
        }
    }
}

static void picture_write(const struct chaos *c, FILE *file)
{
    struct oak_buf svg = {0};
    if (chaos__svg(c, &svg) == 0) {
        fwrite(svg.data, 1, svg.size, file);
    } else {
        errno = ENOMEM;
    }
    oak_buf_fini(&svg);
}

static int file_write(const struct chaos *c, const char *name,
                      void (*write)(const struct chaos *c, FILE *file), char *path, size_t size,
                      struct oak_errbuf *e)
{
    snprintf(path, size, "%s/%s", c->options->report_dir, name);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return failed(e, path);
    }
    write(c, file);
    bool good = ferror(file) == 0;
    return fclose(file) == 0 && good ? 0 : failed(e, path);
}

int chaos__report_write(struct chaos *c, struct oak_errbuf *e)
{
    char path[CHAOS_PATH_BYTES];
    const char *dir = c->options->report_dir;
    if (strlen(dir) > CHAOS_PATH_BYTES - 32) {
        return oak_fail(e, OAK_EINVAL, "the report's directory has too long a name");
    }
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        return failed(e, dir);
    }
    int error = file_write(c, "faults.txt", faults_write, path, sizeof(path), e);
    error = error != 0 ? error : file_write(c, "history.txt", history_write, path, sizeof(path), e);
    error =
        error != 0 ? error : file_write(c, "timeline.svg", picture_write, path, sizeof(path), e);
    if (error == 0) {
        snprintf(c->report->timeline, sizeof(c->report->timeline), "%s", path);
    }
    return error;
}
