/* SPDX-License-Identifier: Apache-2.0 */
/* shrink.c: a failing run made smaller, so that a person can read it.
 *
 * What is left out is tried: a kind of faults, half of the faults, a quarter, ... single ones
 * (delta debugging: Zeller and Hildebrandt 2002); then clients, nodes. A step
 * is kept when the same checker speaks. Each try is a process of its own, for an assertion may be
 * what fails. Every fault keeps its moment and its dice when others are left out (plan.c), so most
 * of a run stays what it was.
 */
#include "sim/search.h"

#include <stdio.h>
#include <stdlib.h>

#define TRIES_MAX   400
#define SECONDS_MAX 300

struct shrink {
    shrink_try *once;
    struct oak_sim_options now; /* the smallest run that fails */
    uint32_t only[OAK_SIM_FIRED_MAX];
    uint8_t kinds[OAK_SIM_FIRED_MAX];
    size_t count;
    char name[64]; /* the checker's */
    struct oak_sim_report *report;
    double start;
    unsigned tries;
};

/* What stands before the first colon or number of a failure's text. */
static void name_of(const char *what, char *out, size_t size)
{
    size_t length = strcspn(what, ":0123456789");
    snprintf(out, size, "%.*s", (int)OAK_MIN(length, size - 1), what);
}

/* Does it fail like this, too? Then it is the smallest one that is known. */
static bool keep(struct shrink *s, const struct oak_sim_options *o)
{
    char name[sizeof(s->name)];
    if (s->tries >= TRIES_MAX || search_now() - s->start > SECONDS_MAX) {
        return false;
    }
    s->tries++;
    s->once(o, s->report);
    name_of(s->report->what, name, sizeof(name));
    if (s->report->verdict == OAK_SIM_PASSED || strcmp(name, s->name) != 0) {
        return false;
    }
    s->now = *o;
    return true;
}

/* Leave out what `out` says of the faults that are left. */
static bool leave_out(struct shrink *s, const bool *out)
{
    static const uint32_t none[1];
    uint32_t *only = calloc(s->count + 1, sizeof(*only));
    OAK_ASSERT(only != NULL);
    struct oak_sim_options o = s->now;
    o.only_count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (!out[i]) {
            only[o.only_count++] = s->only[i];
        }
    }
    o.only = only;
    bool good = o.only_count < s->count && keep(s, &o);
    if (good) {
        size_t kept = 0;
        for (size_t i = 0; i < s->count; i++) {
            s->only[kept] = s->only[i];
            s->kinds[kept] = s->kinds[i];
            kept += out[i] ? 0 : 1;
        }
        s->count = kept;
        s->now.only = s->count > 0 ? s->only : none;
        s->now.only_count = s->count;
    }
    free(only);
    return good;
}

static void kinds_leave_out(struct shrink *s)
{
    bool *out = calloc(OAK_SIM_FIRED_MAX, sizeof(*out));
    OAK_ASSERT(out != NULL);
    for (int kind = 0; kind < OAK_SIM_FAULTS; kind++) {
        for (size_t i = 0; i < s->count; i++) {
            out[i] = s->kinds[i] == kind;
        }
        (void)leave_out(s, out);
    }
    free(out);
}

static void singles_leave_out(struct shrink *s)
{
    bool *out = calloc(OAK_SIM_FIRED_MAX, sizeof(*out));
    OAK_ASSERT(out != NULL);
    for (size_t size = (s->count + 1) / 2; size > 0 && s->count > 0; size /= 2) {
        for (size_t from = 0; from < s->count;) {
            for (size_t i = 0; i < s->count; i++) {
                out[i] = i >= from && i < from + size;
            }
            from += leave_out(s, out) ? 0 : size;
        }
    }
    free(out);
}

static void time_cut(struct shrink *s, uint64_t failed_ms)
{
    struct oak_sim_options o = s->now;
    if (failed_ms > 1000 && failed_ms - 1000 + 1 < s->now.simulated_ms) {
        o.simulated_ms = failed_ms - 1000 + 1;
        (void)keep(s, &o);
        return;
    }
    for (unsigned parts = 1; parts < 8; parts++) {
        o = s->now;
        o.simulated_ms = s->now.simulated_ms * 3 / 4;
        if (!keep(s, &o)) {
            return;
        }
    }
}

static void size_cut(struct shrink *s)
{
    for (int nodes = 1; nodes < (int)s->report->nodes; nodes += 2) {
        struct oak_sim_options o = s->now;
        o.nodes = nodes;
        if (keep(s, &o)) {
            break;
        }
    }
    for (int clients = 1; clients < SIM_CLIENTS_MAX; clients++) {
        struct oak_sim_options o = s->now;
        o.clients = clients;
        if (keep(s, &o)) {
            break;
        }
    }
}

bool shrink_find(const struct oak_sim_options *failing, shrink_try *once, struct shrunken *out)
{
    struct shrink *s = calloc(1, sizeof(*s));
    struct oak_sim_report *report = calloc(1, sizeof(*report));
    OAK_ASSERT(s != NULL && report != NULL);
    *s = (struct shrink){.once = once, .now = *failing, .report = report, .start = search_now()};
    s->now.trace = false;
    s->now.simulated_ms = failing->simulated_ms != 0 ? failing->simulated_ms : 60000;
    once(&s->now, report);
    bool fails = report->verdict == OAK_SIM_FAILED;
    uint64_t failed_ms = report->failed_ms;
    name_of(report->what, s->name, sizeof(s->name));
    s->count = report->fired_count;
    memcpy(s->only, report->fired, sizeof(s->only));
    memcpy(s->kinds, report->fired_kinds, sizeof(s->kinds));
    s->now.only = s->only;
    s->now.only_count = s->count;
    if (fails) {
        time_cut(s, failed_ms);
        kinds_leave_out(s);
        singles_leave_out(s);
        size_cut(s);
    }
    out->options = s->now;
    memcpy(out->only, s->only, sizeof(out->only));
    out->options.only = out->only;
    out->tries = s->tries;
    free(report);
    free(s);
    return fails;
}

void shrink_run(const struct search *a, const struct oak_sim_options *failing)
{
    struct shrunken *small = calloc(1, sizeof(*small));
    struct oak_sim_report *report = calloc(1, sizeof(*report));
    OAK_ASSERT(small != NULL && report != NULL);
    double start = search_now();
    if (shrink_find(failing, search_try, small)) {
        struct oak_buf flags = {0};
        search_try(&small->options, report);
        search_flags(a, &small->options, &flags);
        fprintf(stderr,
                "shrunk  to %zu faults in %u tries, %.0f s\nreplay  oakum sim%.*s --trace\n%s",
                small->options.only_count, small->tries, search_now() - start, (int)flags.size,
                (const char *)flags.data, report->story);
        oak_buf_fini(&flags);
    }
    free(report);
    free(small);
}
