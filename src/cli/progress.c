/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: how far a long work is, in one line that is written again and again; on a terminal
 * alone.
 *
 *     reading    [##########··········]  52 %  5.2 GB
 *
 * Thread  the main one.
 */
#include "cli/internal.h"

#include <stdlib.h>
#include <unistd.h>

#define BAR_CELLS 30
#define EVERY_NS  (100 * CLI__MS_NS)

void cli__progress_init(struct cli__progress *p)
{
    const char *term = getenv("TERM");
    *p = (struct cli__progress){
        .shown = isatty(STDERR_FILENO) == 1 && term != NULL && strcmp(term, "dumb") != 0,
        .clock = oak_os_clock(),
    };
}

void cli__progress_tell(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct cli__progress *p = user;
    if (!p->shown) {
        return;
    }
    uint64_t now = p->clock.mono_ns(p->clock.user);
    bool goes_on = p->drawn && strcmp(p->what, what) == 0 && done < total;
    if (goes_on && now - p->drawn_ns < EVERY_NS) {
        return;
    }
    char bar[BAR_CELLS + 1];
    char size[32];
    size_t full = total == 0 ? 0 : (size_t)((double)done / (double)total * BAR_CELLS);
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', OAK_MIN(full, (size_t)BAR_CELLS));
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r%-16s [%s] %3.0f %%  %s\x1b[K", what, bar,
            total == 0 ? 0.0 : 100.0 * (double)done / (double)total, cli__size_text(done, size));
    fflush(stderr);
    p->drawn = true;
    p->what = what;
    p->drawn_ns = now;
}

void cli__progress_end(struct cli__progress *p)
{
    if (p->drawn) {
        fprintf(stderr, "\r\x1b[K");
        fflush(stderr);
    }
    p->drawn = false;
}
