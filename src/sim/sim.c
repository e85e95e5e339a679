/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c: one run: draw a plan, let things break, heal a majority, heal all, check.
 */
#include "sim/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define PHASE_MS_PLAIN 60000

void sim__fail(struct sim *s, const char *format, ...)
{
    if (s->failed) {
        return;
    }
    s->failed = true;
    s->report->verdict = OAK_SIM_FAILED;
    va_list args;
    va_start(args, format);
    vsnprintf(s->report->what, sizeof(s->report->what), format, args);
    va_end(args);
    s->report->failed_ms = s->world.now_ns / SIM_MS;
    sim__tell(s, "** %s", s->report->what);
    sim__story_write(s);
}

static void deliver(struct world *w, int to, int from, int group, struct oak_bytes frame)
{
    struct sim *s = w->user;
    (void)from;
    if (s->nodes[to].up && !s->nodes[to].fatal) {
        oak_replica_receive(s->nodes[to].members[group].replica, frame);
    }
}

bool sim__step(struct sim *s)
{
    if (!world_step(&s->world)) {
        sim__fail(s, "nothing is left to happen: every timer is gone");
        return false;
    }
    int touched = s->world.touched;
    for (int i = 0; i < s->world.node_count && !s->failed; i++) {
        if (touched < 0 || touched == i) {
            sim__node_look(&s->nodes[i], s->world.touched_group);
        }
    }
    if (!s->failed) {
        sim__ambush_look(s);
    }
    return !s->failed;
}

static void history_judge(struct group *g)
{
    struct sim *s = g->sim;
    char what[sizeof(s->report->what) - 32];
    size_t undecided;
    if (!history_check(&g->history, what, sizeof(what), &undecided)) {
        sim__fail(s, "linearizability: %s", what);
    }
    if (!history_revisions(&g->history, what, sizeof(what))) {
        sim__fail(s, "revisions: %s", what);
    }
    if (undecided > 0) {
        sim__trace(s, "-- %zu keys were too tangled to be judged", undecided);
    }
}

static void watches_judge(struct group *g)
{
    struct sim *s = g->sim;
    for (int i = 0; i < s->world.node_count && !s->failed; i++) {
        if (s->nodes[i].up) {
            sim__watches_check(&s->nodes[i].members[g->index]);
        }
    }
}

static void groups_judge(struct sim *s)
{
    for (int g = 0; g < s->plan.groups && !s->failed; g++) {
        sim__check_equal(&s->groups[g]);
        if (!s->failed) {
            sim__check_reads(&s->groups[g]);
            history_judge(&s->groups[g]);
        }
        if (!s->failed) {
            watches_judge(&s->groups[g]);
        }
    }
}

static void snapshots_count(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        for (int g = 0; g < s->plan.groups && s->nodes[i].up; g++) {
            struct oak_replica_status status;
            oak_replica_status(s->nodes[i].members[g].replica, &status);
            s->report->snapshots += status.snapshots_received;
        }
    }
}

/* -- making and ending ------------------------------------------------------------------------- */

void sim__groups_make(struct sim *s)
{
    s->groups = calloc((size_t)s->plan.groups, sizeof(*s->groups));
    OAK_ASSERT(s->groups != NULL);
    for (int g = 0; g < s->plan.groups; g++) {
        s->groups[g] = (struct group){.sim = s, .index = g, .id = (uint64_t)g + 1};
        sim__leases_init(&s->groups[g]);
    }
}

static void group_fini(struct group *g)
{
    history_fini(&g->history);
    lease_book_fini(&g->leases);
    oak_buf_fini(&g->chains);
    oak_buf_fini(&g->leaders);
    oak_buf_fini(&g->watched);
    oak_buf_fini(&g->votes);
    sim__model_fini(&g->model);
    struct oak_alloc a = g->sim->options->alloc;
    a.resize(a.user, g->entries, 0);
}

void sim__groups_free(struct sim *s)
{
    for (int g = 0; g < s->plan.groups; g++) {
        group_fini(&s->groups[g]);
    }
    free(s->groups);
}

static void sim_begin(struct sim *s)
{
    oak_arena_init(&s->frame_arena, 4096, OAK_MIB);
    sim__plan_draw(s);
    world_init(&s->world, s->options->seed, s->plan.nodes);
    s->world.deliver = deliver;
    s->world.user = s;
    sim__transfer_plan(s);
    sim__members_plan(s);
    sim__clocks_draw(s);
    sim__schedule_draw(s);
    sim__groups_make(s);
    for (int i = 0; i < s->plan.nodes; i++) {
        sim__node_init(s, i);
        sim__node_start(&s->nodes[i]);
    }
    for (int i = 0; i < s->plan.clients; i++) {
        sim__client_init(s, i);
    }
    sim__lessees_start(s);
    sim__guests_start(s);
    sim__nemesis_start(s);
    sim__members_start(s);
}

static void report_end(struct sim *s)
{
    struct oak_sim_report *r = s->report;
    snapshots_count(s);
    r->nodes = (uint64_t)s->plan.nodes;
    r->clients = (uint64_t)s->plan.clients;
    r->groups = (uint64_t)s->plan.groups;
    r->events = s->world.steps;
    r->digest = s->world.digest;
    r->simulated_ms = s->world.now_ns / SIM_MS - 1000;
    r->frames_lost = s->world.frames_lost;
    r->frames_repeated = s->world.frames_repeated;
    r->partitions += r->faults[OAK_SIM_PARTITION];
    r->pauses += r->faults[OAK_SIM_PAUSE];
}

static void sim_end(struct sim *s)
{
    s->settling = true;
    for (int i = 0; i < s->world.node_count; i++) {
        sim__node_crash(&s->nodes[i]);
        sim__node_fini(&s->nodes[i]);
    }
    for (int i = 0; i < s->plan.clients; i++) {
        sim__client_stop(&s->clients[i]);
    }
    sim__lessees_stop(s);
    sim__guests_stop(s);
    world_fini(&s->world);
    sim__groups_free(s);
    sim__lapse_fini(s);
    free(s->faults);
    oak_arena_fini(&s->frame_arena);
    s->options->alloc.resize(s->options->alloc.user, s, 0);
}

void oak_sim_run(const struct oak_sim_options *options, struct oak_sim_report *report)
{
    struct sim *s = options->alloc.resize(options->alloc.user, NULL, sizeof(*s));
    OAK_ASSERT(s != NULL);
    *s = (struct sim){.options = options, .report = report};
    *report = (struct oak_sim_report){.verdict = OAK_SIM_PASSED};
    sim_begin(s);
    uint64_t ms = options->simulated_ms != 0 ? options->simulated_ms : PHASE_MS_PLAIN;
    uint64_t until = s->world.now_ns + ms * SIM_MS;
    while (!s->failed && s->world.now_ns < until && sim__step(s)) {
    }
    if (!s->failed) {
        sim__phase_core(s);
    }
    if (!s->failed) {
        sim__phase_settle(s);
    }
    if (!s->failed) {
        sim__lapse_end(s);
        groups_judge(s);
    }
    report_end(s);
    uint64_t crashes = report->crashes;
    sim_end(s);
    report->crashes = crashes;
}
