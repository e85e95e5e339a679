/* SPDX-License-Identifier: Apache-2.0 */
/* story.c: what a person reads: the trace, and the last lines that matter of a run that failed.
 *
 * Times are written as whole numbers: no floating point, so that a trace is the same everywhere.
 */
#include "sim/internal.h"

#include <stdarg.h>
#include <stdio.h>

static int time_write(const struct sim *s, char *out, size_t size)
{
    uint64_t ms = s->world.now_ns / SIM_MS;
    return snprintf(out, size, "%6llu.%03llu ", (unsigned long long)(ms / 1000),
                    (unsigned long long)(ms % 1000));
}

void sim__tell(struct sim *s, const char *format, ...)
{
    char *line = s->story.lines[s->story.count++ % SIM_STORY_LINES];
    int used = time_write(s, line, SIM_STORY_LINE);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, SIM_STORY_LINE - (size_t)used, format, args);
    va_end(args);
    if (s->options->trace) {
        puts(line);
    }
}

void sim__trace(struct sim *s, const char *format, ...)
{
    if (!s->options->trace) {
        return;
    }
    char text[1024];
    int used = time_write(s, text, sizeof(text));
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
    va_end(args);
    puts(text);
}

/* Who leads, as each node sees it. */
static void nodes_write(struct sim *s, struct oak_buf *out)
{
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (!s->nodes[i].up) {
            (void)!oak_buf_printf(out, "  n%d is down%s\n", i + 1,
                                  s->nodes[i].dead ? " for good: its disk is damaged" : "");
            continue;
        }
        oak_replica_status(sim__first(s, i)->replica, &status);
        (void)!oak_buf_printf(
            out,
            "  n%d %s, term %llu, leader %llu, log %llu to %llu, durable %llu, committed %llu, "
            "applied %llu%s\n",
            i + 1, oak_raft_role_name(status.raft.role), (unsigned long long)status.raft.term,
            (unsigned long long)status.raft.leader, (unsigned long long)status.raft.first,
            (unsigned long long)status.raft.last, (unsigned long long)status.raft.durable,
            (unsigned long long)status.raft.commit, (unsigned long long)status.applied,
            status.installing ? ", installing a snapshot" : "");
    }
}

void sim__story_write(struct sim *s)
{
    struct oak_buf out = {0};
    size_t first = s->story.count > SIM_STORY_LINES ? s->story.count - SIM_STORY_LINES : 0;
    for (size_t i = first; i < s->story.count; i++) {
        (void)!oak_buf_printf(&out, "  %s\n", s->story.lines[i % SIM_STORY_LINES]);
    }
    (void)!oak_buf_printf(&out, "at that moment:\n");
    nodes_write(s, &out);
    size_t size = OAK_MIN(out.size, sizeof(s->report->story) - 1);
    memcpy(s->report->story, out.data, size);
    s->report->story[size] = '\0';
    oak_buf_fini(&out);
}
