/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: one run, from an empty directory to a verdict: read this first.
 *
 *   starting   every node answers and knows a leader
 *   breaking   the faults of a round begin and end  ─┐ until the time is over,
 *   healing    every node must acknowledge something ─┘ or something was wrong
 *   closing    clients come to rest
 *   reading    everything is read through every node, and compared
 *   stopping   every node ends at SIGTERM
 *   done       the history is judged, the report written
 *
 * A tick twenty times a second moves all that; nothing waits anywhere else.
 * Can fail     whatever keeps a run from its faults is an error; from then on, what goes wrong is a
 *              violation. The first one ends the run.
 * Thread       the caller's.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define TICK_NS     (50 * CROWD_MS)
#define STARTING_NS (60 * CHAOS_SECOND_NS)
#define CLOSING_NS  (20 * CHAOS_SECOND_NS)
#define STOPPING_NS (30 * CHAOS_SECOND_NS)

static uint64_t in_phase_ns(const struct chaos *c)
{
    return crowd_now(&c->crowd) - c->phase_ns;
}

static void phase_set(struct chaos *c, enum chaos__phase phase)
{
    c->phase = phase;
    c->phase_ns = crowd_now(&c->crowd);
}

static void round_next(struct chaos *c)
{
    chaos__plan_round(&c->plan, &c->round);
    for (size_t i = 0; i < CHAOS_ROUND_FAULTS; i++) {
        c->round_events[i] = SIZE_MAX;
        c->round_ended[i] = false;
    }
    c->report->rounds++;
    phase_set(c, CHAOS_BREAKING);
}

/* A fault that takes processes away is on. */
static bool processes_held(const struct chaos *c)
{
    for (size_t i = 0; i < c->round.count; i++) {
        if (c->round.faults[i].kind <= OAK_CHAOS_DISK_ERROR && c->round_events[i] != SIZE_MAX &&
            !c->round_ended[i]) {
            return true;
        }
    }
    return false;
}

static void start_those_down(struct chaos *c)
{
    struct oak_errbuf e;
    for (int i = 0; i < c->count; i++) {
        struct chaos__node *n = &c->nodes[i];
        /* One that ended on its own account stays down: its run is over. */
        if (n->child == NULL && (n->ordered || c->report->violation_count == 0) &&
            chaos__node_start(n, &e) != 0) {
            chaos__violation(c, "%s can't be started again: %s", n->name, e.text);
        }
    }
}

static void round_end(struct chaos *c)
{
    for (size_t i = 0; i < c->round.count; i++) {
        if (c->round_events[i] != SIZE_MAX && !c->round_ended[i]) {
            chaos__fault_end(c, c->round_events[i]);
            c->round_ended[i] = true;
        }
    }
}

static void starting_tick(struct chaos *c)
{
    int ready = 0;
    for (int i = 0; i < c->count; i++) {
        ready += c->nodes[i].role >= CHAOS_ROLE_FOLLOWER ? 1 : 0;
    }
    if (ready == c->count) {
        c->start_ns = crowd_now(&c->crowd);
        chaos__clients_start(c);
        round_next(c);
    } else if (c->report->violation_count > 0 || c->crowd.stopping) {
        c->failure = oak_fail(c->failure_text, OAK_ECLOSED, "the cluster did not start: %.400s",
                              c->crowd.stopping ? "stopped by a signal" : c->report->violations[0]);
        phase_set(c, CHAOS_DONE);
    } else if (in_phase_ns(c) > STARTING_NS) {
        c->failure = oak_fail(c->failure_text, OAK_EDEADLINE,
                              "only %d of %d nodes know a leader; their logs are in %.300s", ready,
                              c->count, c->dir);
        phase_set(c, CHAOS_DONE);
    }
}

static void breaking_tick(struct chaos *c)
{
    uint64_t ms = in_phase_ns(c) / CROWD_MS;
    size_t ended = 0;
    for (size_t i = 0; i < c->round.count; i++) {
        const struct chaos__fault *f = &c->round.faults[i];
        if (c->round_events[i] == SIZE_MAX && ms >= f->start_ms) {
            c->round_events[i] = chaos__fault_begin(c, f);
        } else if (!c->round_ended[i] && ms >= f->start_ms + f->length_ms) {
            chaos__fault_end(c, c->round_events[i]);
            c->round_ended[i] = true;
        }
        ended += c->round_ended[i] ? 1 : 0;
    }
    if (!processes_held(c)) {
        start_those_down(c);
    }
    if (ended == c->round.count) {
        for (int i = 0; i < c->count; i++) {
            c->nodes[i].progressed = false;
        }
        c->recovered = false;
        phase_set(c, CHAOS_HEALING);
    }
}

static void closing_begin(struct chaos *c)
{
    round_end(c);
    start_those_down(c);
    c->ending = true;
    c->report->seconds = (double)(crowd_now(&c->crowd) - c->start_ns) / 1e9;
    phase_set(c, CHAOS_CLOSING);
}

static void healing_tick(struct chaos *c)
{
    int progressed = 0;
    uint64_t took_ms = in_phase_ns(c) / CROWD_MS;
    start_those_down(c);
    for (int i = 0; i < c->count; i++) {
        progressed += c->nodes[i].progressed ? 1 : 0;
    }
    if (progressed == c->count && !c->recovered) {
        c->recovered = true;
        c->report->slowest_recovery_ms = OAK_MAX(c->report->slowest_recovery_ms, took_ms);
    }
    if (progressed == c->count && took_ms >= c->round.quiet_ms) {
        if (chaos__now_ms(c) >= c->options->seconds * 1000) {
            closing_begin(c);
        } else {
            round_next(c);
        }
        return;
    }
    if (took_ms * CROWD_MS > CHAOS_PROGRESS_NS) {
        for (int i = 0; i < c->count; i++) {
            if (!c->nodes[i].progressed) {
                chaos__violation(c,
                                 "progress: %s has acknowledged nothing for %" PRIu64
                                 " s after all faults had ended",
                                 c->nodes[i].name, (uint64_t)(CHAOS_PROGRESS_NS / CHAOS_SECOND_NS));
            }
        }
    }
}

static void stopping_begin(struct chaos *c)
{
    phase_set(c, CHAOS_STOPPING);
    for (int i = 0; i < c->count; i++) {
        chaos__node_signal(&c->nodes[i], SIGTERM);
    }
}

static void stopping_tick(struct chaos *c)
{
    if (chaos__nodes_down(c)) {
        phase_set(c, CHAOS_DONE);
    } else if (in_phase_ns(c) > STOPPING_NS) {
        for (int i = 0; i < c->count; i++) {
            if (c->nodes[i].child != NULL) {
                chaos__violation(c, "%s does not end at SIGTERM within %" PRIu64 " s",
                                 c->nodes[i].name, (uint64_t)(STOPPING_NS / CHAOS_SECOND_NS));
            }
        }
        phase_set(c, CHAOS_DONE); /* the rest is chaos__nodes_fini's */
    }
}

static void closing_tick(struct chaos *c)
{
    start_those_down(c); /* one that was asked to stop may just have ended */
    if (!chaos__clients_idle(c) && in_phase_ns(c) <= CLOSING_NS) {
        return;
    }
    if (c->report->violation_count > 0) {
        stopping_begin(c); /* what it would say now adds nothing */
    } else {
        phase_set(c, CHAOS_READING);
        chaos__final_start(c);
    }
}

static void reading_tick(struct chaos *c)
{
    bool late = in_phase_ns(c) > CHAOS_PROGRESS_NS;
    if (late && !c->reading_done) {
        chaos__final_missed(c);
    }
    if (late || c->reading_done || c->report->violation_count > 0) {
        stopping_begin(c);
    } else {
        start_those_down(c);
    }
}

static void progress_tell(struct chaos *c)
{
    uint64_t now = crowd_now(&c->crowd);
    if (c->options->progress == NULL || now - c->told_ns < CHAOS_SECOND_NS || c->start_ns == 0) {
        return;
    }
    char text[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < c->round.count && c->phase == CHAOS_BREAKING; i++) {
        if (c->round_events[i] != SIZE_MAX && !c->round_ended[i] && used + 1 < sizeof(text)) {
            const struct chaos__event *event = &c->events[c->round_events[i]];
            char one[128];
            chaos__fault_text(&event->fault, event->target, one, sizeof(one));
            int wrote =
                snprintf(text + used, sizeof(text) - used, "%s%s", used == 0 ? "" : "; ", one);
            used += wrote < 0 ? 0 : (size_t)wrote;
        }
    }
    const struct oak_chaos_progress progress = {
        .seconds = chaos__now_ms(c) / 1000,
        .faults = c->report->fault_count,
        .operations = c->report->operations,
        .now = text,
    };
    c->told_ns = now;
    c->options->progress(c->options->user, &progress);
}

static void tick_fire(struct oak_timer *timer)
{
    struct chaos *c = OAK_CONTAINER_OF(timer, struct chaos, tick);
    bool breaking = c->phase == CHAOS_BREAKING || c->phase == CHAOS_HEALING;
    if (breaking && (c->crowd.stopping || c->report->violation_count > 0)) {
        c->report->interrupted = c->crowd.stopping;
        closing_begin(c);
    }
    if (c->crowd.signals > 1) {
        c->report->interrupted = true;
        phase_set(c, CHAOS_DONE); /* somebody is in a hurry: what is there is judged */
    }
    switch (c->phase) {
    case CHAOS_STARTING:
        starting_tick(c);
        break;
    case CHAOS_BREAKING:
        breaking_tick(c);
        break;
    case CHAOS_HEALING:
        healing_tick(c);
        break;
    case CHAOS_CLOSING:
        closing_tick(c);
        break;
    case CHAOS_READING:
        reading_tick(c);
        break;
    case CHAOS_STOPPING:
        stopping_tick(c);
        break;
    case CHAOS_DONE:
        break;
    }
    if (c->start_ns != 0 && c->phase <= CHAOS_HEALING) {
        chaos__sample_tick(c);
    }
    progress_tell(c);
    const struct oak_timers *timers = &c->crowd.loop->timers;
    timers->set(timers->user, &c->tick, crowd_now(&c->crowd) + TICK_NS);
    if (c->phase == CHAOS_DONE) {
        crowd_stop(&c->crowd);
    }
}

/* -- before and after -------------------------------------------------------------------------- */

/* Namespaces if they may be had, else streams on the loopback; what then can't be had is told. */
static int network_open(struct chaos *c, struct oak_errbuf *e)
{
    struct oak_errbuf why = {.text = "--loopback was given"};
    uint32_t loss = UINT32_C(1) << OAK_CHAOS_LOSS;
    if (!c->options->loopback && chaos__net_open(c, &why) == 0) {
        c->report->namespaces = true;
        return 0;
    }
    snprintf(c->report->left_out, sizeof(c->report->left_out),
             "no network namespaces (%.300s): servers and their partitions are on the loopback%s",
             why.text, (c->kinds & loss) != 0 ? "; left out: loss" : "");
    c->kinds &= ~loss;
    return chaos__proxy_open(c, e);
}

static int world_open(struct chaos *c, struct oak_errbuf *e)
{
    int error = crowd_open(&c->crowd, e);
    error = error != 0 ? error : chaos__dir_make(c, e);
    error = error != 0 ? error : network_open(c, e);
    error = error != 0 ? error : chaos__nodes_place(c, e);
    if (error == 0 && c->kinds == 0) {
        error = oak_fail(e, OAK_EINVAL, "none of these faults can be had here: %.400s",
                         c->report->left_out);
    }
    if (error != 0) {
        return error;
    }
    chaos__plan_init(&c->plan, c->options->seed, c->count, c->kinds);
    for (int i = 0; i < c->count && error == 0; i++) {
        error = chaos__node_start(&c->nodes[i], e);
    }
    for (int i = 0; i < c->count && error == 0; i++) {
        error = crowd_connect(&c->crowd, c->nodes[i].client_address, e);
    }
    return error;
}

static void world_close(struct chaos *c)
{
    struct oak_chaos_report *r = c->report;
    bool started = c->nodes[0].life > 0 && !c->crowd.stopping;
    bool keep = r->violation_count > 0 || (c->failure != 0 && started);
    if (keep) {
        snprintf(r->data_dir, sizeof(r->data_dir), "%s", c->dir);
    }
    chaos__dir_end(c, keep);
    free(c->events);
    free(c->samples);
    free(c->latencies);
    free(c->terms);
    history_fini(&c->history);
}

static void loop_close(struct chaos *c)
{
    if (c->crowd.os == NULL) {
        return;
    }
    chaos__nodes_fini(c);
    c->crowd.loop->timers.stop(c->crowd.loop->timers.user, &c->tick);
    chaos__proxy_close(c);
    chaos__net_close(c);
    crowd_fini(&c->crowd); /* every call and stream ends here, before its memory goes */
    chaos__proxy_free(c);
    chaos__watch_fini(c);
    chaos__final_fini(c);
    chaos__clients_fini(c);
}

static void tally(struct chaos *c)
{
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        c->report->kind_count += c->report->faults[i] > 0 ? 1 : 0;
    }
}

int oak_chaos_run(const struct oak_chaos_options *options, struct oak_chaos_report *report,
                  struct oak_errbuf *e)
{
    OAK_ASSERT(options->nodes > 0 && options->nodes <= OAK_CHAOS_NODES_MAX);
    OAK_ASSERT(options->seconds > 0 && options->seconds <= OAK_CHAOS_SECONDS_MAX);
    struct chaos *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    *report = (struct oak_chaos_report){.seed = options->seed};
    c->options = options;
    c->report = report;
    c->count = (int)options->nodes;
    c->kinds = chaos__plan_kinds(options->kinds, c->count);
    c->failure_text = e;
    oak_prng_init(&c->prng, options->seed);
    c->failure = world_open(c, e);
    if (c->failure == 0) {
        phase_set(c, CHAOS_STARTING);
        chaos__watch_start(c);
        c->tick.fire = tick_fire;
        tick_fire(&c->tick);
        while (c->phase != CHAOS_DONE) {
            crowd_run(&c->crowd);
        }
    }
    loop_close(c);
    if (c->failure == 0) {
        tally(c);
        chaos__judge(c);
        c->failure = chaos__report_write(c, e);
    }
    int error = c->failure;
    world_close(c);
    free(c);
    return error;
}
