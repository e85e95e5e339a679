/* SPDX-License-Identifier: Apache-2.0 */
/* nemesis.c: faults are begun at their time, counted, told, and ended.
 *
 * A fault of the schedule is an event; one that lasts has an event for its end. A later fault of
 * the same kind takes over: then the earlier one's end changes nothing. A fault whose number was
 * not asked for (oak_sim_options.only) does not happen, and all others keep their moment and dice.
 */
#include "sim/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *text;
} kinds[OAK_SIM_FAULTS] = {
#define X(NAME, name, percent, low, high, text) [OAK_SIM_##NAME] = {#name, text},
#include "sim/faults.def"
#undef X
};

const char *oak_sim_fault_name(enum oak_sim_fault fault)
{
    OAK_ASSERT_LT(fault, OAK_SIM_FAULTS);
    return kinds[fault].name;
}

const char *oak_sim_fault_text(enum oak_sim_fault fault)
{
    OAK_ASSERT_LT(fault, OAK_SIM_FAULTS);
    return kinds[fault].text;
}

/* -- numbers ----------------------------------------------------------------------------------- */

void fault_text(uint32_t id, char out[FAULT_TEXT_MAX])
{
    uint32_t n = id & 0xffffff;
    if (id >> 24 == 0) {
        snprintf(out, FAULT_TEXT_MAX, "%u", n);
    } else {
        OAK_ASSERT_LE(id >> 24, OAK_SIM_FAULTS);
        snprintf(out, FAULT_TEXT_MAX, "%s.%u", kinds[(id >> 24) - 1].name, n);
    }
}

uint32_t fault_parse(const char **text)
{
    uint32_t above = 0;
    const char *p = *text;
    for (int i = 0; i < OAK_SIM_FAULTS; i++) {
        size_t size = strlen(kinds[i].name);
        if (strncmp(p, kinds[i].name, size) == 0 && p[size] == '.') {
            above = (uint32_t)(i + 1) << 24;
            p += size + 1;
            break;
        }
    }
    char *end;
    unsigned long n = strtoul(p, &end, 10);
    if (end == p || n == 0 || n > 0xffffff || (*end != ',' && *end != '\0')) {
        return 0;
    }
    *text = *end == ',' ? end + 1 : end;
    return above | (uint32_t)n;
}

static bool wanted(const struct sim *s, uint32_t id)
{
    for (size_t i = 0; i < s->options->only_count; i++) {
        if (s->options->only[i] == id) {
            return true;
        }
    }
    return s->options->only == NULL;
}

/* -- beginning and ending ---------------------------------------------------------------------- */

void sim__fault_tell(struct sim *s, enum oak_sim_fault kind, uint32_t id, const char *format, ...)
{
    struct oak_sim_report *r = s->report;
    r->faults[kind]++;
    if (r->fired_count < OAK_SIM_FIRED_MAX) {
        r->fired_kinds[r->fired_count] = (uint8_t)kind;
        r->fired[r->fired_count++] = id;
    }
    char number[FAULT_TEXT_MAX], text[256];
    fault_text(id, number);
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    sim__tell(s, "-- fault %s%s%s: %s", number, id >> 24 == 0 ? ", " : "",
              id >> 24 == 0 ? kinds[kind].name : "", text);
}

bool sim__reaction(struct sim *s, enum oak_sim_fault kind, unsigned parts, unsigned of,
                   struct oak_prng *p, uint32_t *id)
{
    if (!s->plan.has[kind] || s->settling) {
        return false;
    }
    uint32_t n = ++s->reactions[kind];
    *id = FAULT_ID(kind, n);
    oak_prng_init(p, (s->options->seed * 1000003 + (uint64_t)kind) * 1000003 + n);
    return oak_prng_chance(p, parts, of) && wanted(s, *id);
}

static void end_event(struct world *w, struct event *e)
{
    struct fault_end end;
    (void)w;
    OAK_ASSERT_EQ(e->bytes.size, sizeof(end));
    memcpy(&end, e->bytes.data, sizeof(end));
    /* What came later, or the end of all faults, has taken over. */
    if (!end.sim->settling && end.sim->in_force[end.kind] == end.id) {
        end.run(&end);
        end.sim->in_force[end.kind] = 0;
    }
}

void sim__fault_lasts(const struct fault_end *end, uint64_t ns)
{
    struct world *w = &end->sim->world;
    end->sim->in_force[end->kind] = end->id;
    world_at(w, w->now_ns + ns, -1, end_event, NULL, oak_bytes(end, sizeof(*end)), 0);
}

struct node *sim__node_any(struct sim *s, struct oak_prng *p)
{
    struct node *n = &s->nodes[oak_prng_below(p, (uint64_t)s->world.node_count)];
    return n->up ? n : NULL;
}

static void fault_event(struct world *w, struct event *e)
{
    static sim_fault_fn *const begin[OAK_SIM_FAULTS] = {
        [OAK_SIM_CRASH] = sim__fault_crash,
        [OAK_SIM_CRASH_CALL] = sim__fault_crash_call,
        [OAK_SIM_CRASH_STEP] = sim__fault_crash_step,
        [OAK_SIM_BLACKOUT] = sim__fault_blackout,
        [OAK_SIM_PARTITION] = sim__fault_partition,
        [OAK_SIM_RESET] = sim__fault_reset,
        [OAK_SIM_CLOG] = sim__fault_clog,
        [OAK_SIM_ECHO] = sim__fault_echo,
        [OAK_SIM_WEATHER] = sim__fault_weather,
        [OAK_SIM_PAUSE] = sim__fault_pause,
        [OAK_SIM_SLOW_NODE] = sim__fault_slow_node,
        [OAK_SIM_SLOW_DISK] = sim__fault_slow_disk,
        [OAK_SIM_STALL] = sim__fault_stall,
        [OAK_SIM_FULL_DISK] = sim__fault_full_disk,
        [OAK_SIM_SYNC_FAILS] = sim__fault_sync_fails,
        [OAK_SIM_WRITE_FAILS] = sim__fault_write_fails,
        [OAK_SIM_ROT] = sim__fault_rot,
        [OAK_SIM_MISDIRECT] = sim__fault_misdirect,
        [OAK_SIM_ROLLBACK] = sim__fault_rollback,
        [OAK_SIM_LOSS] = sim__fault_loss,
        [OAK_SIM_STROBE] = sim__fault_strobe,
        [OAK_SIM_FREEZE] = sim__fault_freeze,
        [OAK_SIM_SWAY] = sim__fault_sway,
        [OAK_SIM_BURST] = sim__fault_burst,
        [OAK_SIM_ABANDON] = sim__fault_abandon,
    };
    struct sim *s = w->user;
    const struct fault *f = e->arg;
    if (s->settling) {
        return;
    }
    struct oak_prng p;
    oak_prng_init(&p, f->dice);
    OAK_ASSERT(begin[f->kind] != NULL);
    begin[f->kind](s, f, &p);
}

void sim__nemesis_start(struct sim *s)
{
    struct world *w = &s->world;
    w->delay_min_ns = SIM_MS / 5;
    w->delay_spread_ns = SIM_MS;
    sim__clocks_start(s);
    w->recording = s->plan.has[OAK_SIM_ECHO];
    for (size_t i = 0; i < s->fault_count; i++) {
        if (wanted(s, s->faults[i].id)) {
            world_at(w, s->faults[i].at_ns, -1, fault_event, &s->faults[i], oak_bytes(NULL, 0), 0);
        }
    }
}

void sim__heal(struct sim *s)
{
    struct world *w = &s->world;
    s->settling = true;
    sim__network_heal(s);
    sim__clocks_heal(s);
    if (s->report->faults[OAK_SIM_LOSS] > 0) {
        sim__members_replace(s);
    }
    for (int i = 0; i < w->node_count; i++) {
        struct machine *m = &w->machines[i];
        m->log_ns = 2 * SIM_MS;
        m->worker_ns = 2 * SIM_MS;
        m->event_ns = 0;
        m->paused_until_ns = 0;
        m->doom = DOOM_NONE;
        sim_disk_heal(m->disk);
    }
}
