/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c: one run: draw a plan, let things break, heal, wait for calm, check.
 *
 * The second phase ends when every node has applied everything, twice in a row with answers to
 * clients between, or fails when that takes longer than SETTLE_MS of virtual time.
 */
#include "sim/internal.h"

#include <stdarg.h>
#include <stdio.h>

#define PHASE_MS_PLAIN 60000
#define SETTLE_MS      60000
/* Answers that each client must have had in the second phase. */
#define SETTLE_ANSWERS 3

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
    sim__trace(s, "** %s", s->report->what);
}

void sim__trace(struct sim *s, const char *format, ...)
{
    if (!s->options->trace) {
        return;
    }
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    printf("%10.3f %s\n", (double)s->world.now_ns / 1e9, text);
}

static void deliver(struct world *w, int to, int from, struct oak_bytes frame)
{
    struct sim *s = w->user;
    (void)from;
    if (s->nodes[to].replica != NULL && !s->nodes[to].fatal) {
        oak_replica_receive(s->nodes[to].replica, frame);
    }
}

static bool step(struct sim *s)
{
    if (!world_step(&s->world)) {
        sim__fail(s, "nothing is left to happen: every timer is gone");
        return false;
    }
    int touched = s->world.touched;
    for (int i = 0; i < s->world.node_count && !s->failed; i++) {
        if (touched < 0 || touched == i) {
            sim__node_look(&s->nodes[i]);
        }
    }
    if (!s->failed) {
        sim__ambush_look(s);
    }
    return !s->failed;
}

static bool calm(struct sim *s)
{
    for (int i = 0; i < s->plan.clients; i++) {
        if (s->clients[i].answered < SETTLE_ANSWERS) {
            return false;
        }
    }
    return sim__settled(s);
}

static void phase_two(struct sim *s)
{
    sim__heal(s);
    for (int i = 0; i < s->plan.clients; i++) {
        s->clients[i].answered = 0;
    }
    uint64_t until = s->world.now_ns + SETTLE_MS * SIM_MS;
    while (!s->failed && !calm(s)) {
        if (s->world.now_ns > until) {
            sim__fail(s,
                      "liveness: %d s after all faults ended, not all nodes are equal or not all "
                      "clients are answered",
                      SETTLE_MS / 1000);
            return;
        }
        (void)step(s);
    }
}

static void history_judge(struct sim *s)
{
    char what[sizeof(s->report->what)];
    size_t undecided;
    if (!history_check(&s->history, what, sizeof(what), &undecided)) {
        sim__fail(s, "linearizability: %s", what);
    }
    if (!history_revisions(&s->history, what, sizeof(what))) {
        sim__fail(s, "revisions: %s", what);
    }
    if (undecided > 0) {
        sim__trace(s, "-- %zu keys were too tangled to be judged", undecided);
    }
}

static void snapshots_count(struct sim *s)
{
    for (int i = 0; i < s->world.node_count; i++) {
        struct oak_replica_status status;
        if (s->nodes[i].replica != NULL) {
            oak_replica_status(s->nodes[i].replica, &status);
            s->report->snapshots += status.snapshots_received;
        }
    }
}

static void sim_end(struct sim *s)
{
    s->settling = true;
    for (int i = 0; i < s->world.node_count; i++) {
        sim__node_crash(&s->nodes[i]);
    }
    for (int i = 0; i < s->plan.clients; i++) {
        sim__client_stop(&s->clients[i]);
    }
    world_fini(&s->world);
    history_fini(&s->history);
    oak_buf_fini(&s->chains);
    oak_buf_fini(&s->leaders);
    oak_buf_fini(&s->votes);
    oak_arena_fini(&s->frame_arena);
    sim__model_fini(&s->model);
    s->options->alloc.resize(s->options->alloc.user, s->entries, 0);
    s->options->alloc.resize(s->options->alloc.user, s, 0);
}

void oak_sim_run(const struct oak_sim_options *options, struct oak_sim_report *report)
{
    struct sim *s = options->alloc.resize(options->alloc.user, NULL, sizeof(*s));
    OAK_ASSERT(s != NULL);
    *s = (struct sim){.options = options, .report = report};
    *report = (struct oak_sim_report){.verdict = OAK_SIM_PASSED};
    oak_arena_init(&s->frame_arena, 4096, OAK_MIB);
    sim__plan_draw(s);
    sim__transfer_plan(s);
    sim__members_plan(s);
    world_init(&s->world, options->seed, s->plan.nodes);
    sim__clocks_draw(s);
    s->world.deliver = deliver;
    s->world.user = s;
    report->nodes = (uint64_t)s->plan.nodes;
    for (int i = 0; i < s->plan.nodes; i++) {
        sim__node_init(s, i);
        sim__node_start(&s->nodes[i]);
    }
    for (int i = 0; i < s->plan.clients; i++) {
        sim__client_init(s, i);
    }
    sim__nemesis_start(s);
    sim__members_start(s);
    uint64_t ms = options->simulated_ms != 0 ? options->simulated_ms : PHASE_MS_PLAIN;
    uint64_t until = s->world.now_ns + ms * SIM_MS;
    while (!s->failed && s->world.now_ns < until && step(s)) {
    }
    if (!s->failed) {
        phase_two(s);
    }
    if (!s->failed) {
        sim__check_equal(s);
    }
    if (!s->failed) {
        sim__check_reads(s);
        history_judge(s);
    }
    snapshots_count(s);
    report->events = s->world.steps;
    report->simulated_ms = s->world.now_ns / SIM_MS - 1000;
    report->frames_lost = s->world.frames_lost;
    report->frames_repeated = s->world.frames_repeated;
    uint64_t crashes = report->crashes;
    sim_end(s);
    report->crashes = crashes;
}
