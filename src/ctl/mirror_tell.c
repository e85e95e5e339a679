/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_tell.c: what a mirror says: a line for what has happened, on stdout; where it is, on a
 * terminal in one line that is written anew, on stderr; with --output json all of it as lines of
 * JSON on stdout, {"event":...}. */
#include "ctl/mirror.h"

#include <stdarg.h>
#include <unistd.h>

#define TICK_NS    UINT64_C(1000000000)
#define CLEAR_LINE "\r\033[K"

static const char *phase_name(const struct mirror *m)
{
    return m->state.phase == MIRROR_COPIES ? "copy" : "follow";
}

/* {"event":..., where it is, and what else there is */
static void line_json(const struct mirror *m, const char *event, double rate, const char *text)
{
    struct oak_buf out = {0};
    int64_t lag = OAK_MAX(m->source_revision - m->state.revision, 0);
    int error = oak_buf_printf(&out,
                               "{\"event\":\"%s\",\"phase\":\"%s\",\"cluster\":\"%" PRIx64
                               "\",\"revision\":%" PRId64 ",\"source_revision\":%" PRId64
                               ",\"lag\":%" PRId64 ",\"keys\":%" PRIu64 ",\"changes\":%" PRIu64
                               ",\"transactions\":%" PRIu64 ",\"changes_per_second\":%.1f",
                               event, phase_name(m), m->state.cluster, m->state.revision,
                               m->source_revision, lag, m->keys, m->changes, m->transactions, rate);
    if (text != NULL) {
        error = error != 0 ? error : oak_buf_printf(&out, ",\"text\":");
        error = error != 0 ? error : ctl__json_text(&out, oak_bytes_str(text));
    }
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
    fflush(stdout);
}

void mirror__say(struct mirror *m, const char *event, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (m->lines) {
        line_json(m, event, 0, text);
        return;
    }
    fputs(m->terminal ? CLEAR_LINE : "", stderr);
    fprintf(m->quiet ? stderr : stdout, "%s\n", text);
    fflush(stdout);
}

void mirror__tick(struct mirror *m, bool now)
{
    uint64_t at = mirror__now(m);
    if (!now && at - m->told_ns < TICK_NS) {
        return;
    }
    double seconds = (double)(at - m->told_ns) / (double)TICK_NS;
    double rate = m->told_ns == 0 ? 0 : (double)(m->changes - m->told_changes) / seconds;
    m->told_ns = at;
    m->told_changes = m->changes;
    if (m->lines) {
        line_json(m, "at", rate, NULL);
    } else if (m->terminal && m->state.phase == MIRROR_COPIES) {
        fprintf(stderr,
                CLEAR_LINE "copying as of revision %" PRId64 ": %" PRIu64 " of %" PRIu64
                           " keys, %.0f changes/s",
                m->state.revision, m->keys, m->keys_all, rate);
    } else if (m->terminal) {
        fprintf(stderr, CLEAR_LINE "revision %" PRId64 ", %" PRId64 " behind, %.0f changes/s",
                m->state.revision, OAK_MAX(m->source_revision - m->state.revision, 0), rate);
    }
}

void mirror__found_say(struct mirror *m, const char *event, const struct mirror_found *f)
{
    bool equal = f->missing == 0 && f->different == 0 && f->extra == 0;
    mirror__say(m, event,
                "as of revision %" PRId64 " the source has %" PRIu64 " keys (hash "
                "%08" PRIx32 "), the destination %" PRIu64 " (hash %08" PRIx32 "): %s: %" PRIu64
                " missing, %" PRIu64 " different, %" PRIu64 " too many",
                f->revision, f->from.keys, f->from.hash, f->to.keys, f->to.hash,
                equal ? "equal" : "not equal", f->missing, f->different, f->extra);
}
