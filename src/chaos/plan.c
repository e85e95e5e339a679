/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c: which faults come, when and how hard, from the seed alone.
 *
 * A run is rounds: one to three faults at a time, of different families, so that none undoes the
 * other; then all heal, and the cluster must come back. The kinds are dealt from a shuffled deck:
 * a short run sees many kinds, a long one sees all of them equally often.
 * Invariants   nothing here looks at the cluster: the leader is a target by that name.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <stdio.h>

enum family {
    FAMILY_PROCESS, /* it goes, or stands still */
    FAMILY_CUT,     /* who can't reach whom */
    FAMILY_WEATHER, /* what arrives late or not at all */
    FAMILY_DISK,
    FAMILY_CLOCK,
};

struct kind {
    const char *name;
    const char *text;
    enum family family;
    int least_nodes;
    uint64_t shortest_ms, longest_ms;
};

static const struct kind kinds[OAK_CHAOS_KINDS] = {
    [OAK_CHAOS_KILL] = {"kill", "SIGKILL; started again later", FAMILY_PROCESS, 1, 300, 3000},
    [OAK_CHAOS_KILL_ALL] = {"kill-all", "SIGKILL to every node at once", FAMILY_PROCESS, 1, 200,
                            1200},
    [OAK_CHAOS_STOP] = {"stop", "SIGTERM; started again later", FAMILY_PROCESS, 1, 1500, 3500},
    [OAK_CHAOS_PAUSE] = {"pause", "SIGSTOP, and SIGCONT later", FAMILY_PROCESS, 1, 500, 4000},
    [OAK_CHAOS_FULL_DISK] = {"disk-full", "writes find no space", FAMILY_PROCESS, 1, 1500, 4000},
    [OAK_CHAOS_DISK_ERROR] = {"disk-error", "a sync fails", FAMILY_PROCESS, 1, 1000, 3000},
    [OAK_CHAOS_SLOW_DISK] = {"disk-slow", "syncs take long", FAMILY_DISK, 1, 1500, 5000},
    [OAK_CHAOS_HALVES] = {"partition-halves", "two sides that don't reach each other", FAMILY_CUT,
                          2, 1500, 5000},
    [OAK_CHAOS_ISOLATE] = {"partition-isolate", "one node alone", FAMILY_CUT, 2, 1500, 5000},
    [OAK_CHAOS_ONE_WAY] = {"partition-one-way", "one node hears nobody, or is heard by nobody",
                           FAMILY_CUT, 2, 1500, 5000},
    [OAK_CHAOS_BRIDGE] = {"partition-bridge", "two sides, and one node that reaches both",
                          FAMILY_CUT, 3, 1500, 5000},
    [OAK_CHAOS_RING] = {"partition-ring", "each node reaches its two neighbours only", FAMILY_CUT,
                        4, 1500, 5000},
    [OAK_CHAOS_LOSS] = {"loss", "packets are lost", FAMILY_WEATHER, 2, 1500, 5000},
    [OAK_CHAOS_DELAY] = {"delay", "packets come late, and overtake each other", FAMILY_WEATHER, 2,
                         1500, 5000},
    [OAK_CHAOS_CLOCK_JUMP] = {"clock-jump", "the wall clock is wrong", FAMILY_CLOCK, 1, 1500, 5000},
    [OAK_CHAOS_CLOCK_DRIFT] = {"clock-drift", "the monotonic clock runs too fast or too slow",
                               FAMILY_CLOCK, 1, 1500, 5000},
};

const char *oak_chaos_kind_name(enum oak_chaos_kind kind)
{
    OAK_ASSERT(kind < OAK_CHAOS_KINDS);
    return kinds[kind].name;
}

const char *oak_chaos_kind_text(enum oak_chaos_kind kind)
{
    OAK_ASSERT(kind < OAK_CHAOS_KINDS);
    return kinds[kind].text;
}

int oak_chaos_kinds_read(const char *text, uint32_t *out, struct oak_errbuf *e)
{
    *out = 0;
    for (const char *at = text;;) {
        size_t size = strcspn(at, ",");
        uint32_t found = 0;
        for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
            const char *name = kinds[i].name;
            /* A whole name, or its first word. */
            bool named = strncmp(name, at, size) == 0 && size > 0 &&
                         (name[size] == '\0' || name[size] == '-');
            if (named && (strlen(name) == size || kinds[i].family == FAMILY_CUT)) {
                found |= UINT32_C(1) << i;
            }
        }
        if (found == 0) {
            return oak_fail(e, OAK_EINVAL, "\"%.*s\" is no kind of fault", (int)OAK_MIN(size, 64),
                            at);
        }
        *out |= found;
        if (at[size] == '\0') {
            return 0;
        }
        at += size + 1;
    }
}

uint32_t chaos__plan_kinds(uint32_t wanted, int nodes)
{
    uint32_t kept = 0;
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        if (kinds[i].least_nodes <= nodes) {
            kept |= wanted & UINT32_C(1) << i;
        }
    }
    return kept;
}

void chaos__plan_init(struct chaos__plan *plan, uint64_t seed, int nodes, uint32_t wanted)
{
    OAK_ASSERT(nodes > 0 && nodes <= OAK_CHAOS_NODES_MAX);
    *plan = (struct chaos__plan){.nodes = nodes};
    oak_prng_init(&plan->prng, seed ^ 0x6f616b6368616f73u);
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        if ((wanted >> i & 1) != 0) {
            plan->deck[plan->deck_size++] = (enum oak_chaos_kind)i;
        }
    }
    plan->dealt = plan->deck_size;
}

static void shuffle(struct chaos__plan *plan)
{
    for (size_t i = plan->deck_size; i > 1; i--) {
        size_t other = (size_t)oak_prng_below(&plan->prng, i);
        enum oak_chaos_kind kind = plan->deck[i - 1];
        plan->deck[i - 1] = plan->deck[other];
        plan->deck[other] = kind;
    }
    plan->dealt = 0;
}

static int64_t sign(struct oak_prng *p, int64_t value)
{
    return oak_prng_chance(p, 1, 2) ? value : -value;
}

static int64_t amount_draw(struct oak_prng *p, enum oak_chaos_kind kind)
{
    switch (kind) {
    case OAK_CHAOS_FULL_DISK: /* to grow, or for all */
        return (int64_t)oak_prng_between(p, 1, 2);
    case OAK_CHAOS_SLOW_DISK: /* ms */
        return (int64_t)oak_prng_between(p, 20, 500);
    case OAK_CHAOS_ONE_WAY: /* 0: hears nobody; 1: is heard by nobody */
        return (int64_t)oak_prng_below(p, 2);
    case OAK_CHAOS_LOSS: /* of a thousand */
        return (int64_t)oak_prng_between(p, 20, 300);
    case OAK_CHAOS_DELAY: /* ms */
        return (int64_t)oak_prng_between(p, 5, 150);
    case OAK_CHAOS_CLOCK_JUMP: /* seconds */
        return sign(p, (int64_t)oak_prng_between(p, 1, 3600));
    case OAK_CHAOS_CLOCK_DRIFT: /* parts in a million: a bad quartz has 100 */
        return sign(p, (int64_t)oak_prng_between(p, 50, CHAOS_DRIFT_PPM_MAX));
    default:
        return 0;
    }
}

static void fault_draw(struct chaos__plan *plan, enum oak_chaos_kind kind, struct chaos__fault *out)
{
    struct oak_prng *p = &plan->prng;
    uint32_t everyone = (UINT32_C(1) << plan->nodes) - 1;
    int node = (int)oak_prng_below(p, (uint64_t)plan->nodes);
    bool leader = oak_prng_chance(p, 1, 2);
    *out = (struct chaos__fault){
        .kind = kind,
        .target = leader ? CHAOS_TARGET_LEADER : node,
        .mask = (uint32_t)oak_prng_between(p, 1, everyone > 1 ? everyone - 1 : 1),
        .amount = amount_draw(p, kind),
        .start_ms = oak_prng_below(p, 800),
        .length_ms = oak_prng_between(p, kinds[kind].shortest_ms, kinds[kind].longest_ms),
    };
    bool all = kind == OAK_CHAOS_KILL_ALL || kind == OAK_CHAOS_HALVES || kind == OAK_CHAOS_RING ||
               ((kind == OAK_CHAOS_LOSS || kind == OAK_CHAOS_DELAY) && !leader);
    if (all) {
        out->target = CHAOS_TARGET_ALL;
    }
}

static void deal(struct chaos__plan *plan, struct chaos__round *out)
{
    size_t want = (size_t)oak_prng_between(&plan->prng, 1, CHAOS_ROUND_FAULTS);
    while (plan->deck_size > 0 && out->count < want) {
        if (plan->dealt == plan->deck_size) {
            if (out->count > 0) {
                return; /* the next round begins with a new deck */
            }
            shuffle(plan);
        }
        enum oak_chaos_kind kind = plan->deck[plan->dealt];
        for (size_t i = 0; i < out->count; i++) {
            if (kinds[out->faults[i].kind].family == kinds[kind].family) {
                return; /* it comes first in the next round */
            }
        }
        plan->dealt++;
        fault_draw(plan, kind, &out->faults[out->count++]);
    }
}

/* In the order in which they begin: then they begin in it also when several are late. */
void chaos__plan_round(struct chaos__plan *plan, struct chaos__round *out)
{
    *out = (struct chaos__round){.quiet_ms = oak_prng_between(&plan->prng, 200, 1500)};
    deal(plan, out);
    for (size_t i = 1; i < out->count; i++) {
        struct chaos__fault fault = out->faults[i];
        size_t at = i;
        for (; at > 0 && out->faults[at - 1].start_ms > fault.start_ms; at--) {
            out->faults[at] = out->faults[at - 1];
        }
        out->faults[at] = fault;
    }
}

static void side_text(uint32_t mask, bool inside, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < OAK_CHAOS_NODES_MAX && used + 8 < size; i++) {
        if ((mask >> i & 1) == (inside ? 1u : 0u)) {
            used += (size_t)snprintf(out + used, size - used, "%sn%d", used == 0 ? "" : " ", i + 1);
        }
    }
}

void chaos__fault_text(const struct chaos__fault *f, int target, char *out, size_t size)
{
    char who[16] = "all nodes";
    char side[64];
    if (target >= 0) {
        snprintf(who, sizeof(who), "n%d", target + 1);
    }
    side_text(f->mask, true, side, sizeof(side));
    const char *name = kinds[f->kind].name;
    switch (f->kind) {
    case OAK_CHAOS_HALVES:
        snprintf(out, size, "%s: %s | the others", name, side);
        return;
    case OAK_CHAOS_BRIDGE:
        snprintf(out, size, "%s: %s reaches both sides, %s | the others", name, who, side);
        return;
    case OAK_CHAOS_ONE_WAY:
        snprintf(out, size, "%s: %s %s", name, who,
                 f->amount == 0 ? "hears nobody" : "is heard by nobody");
        return;
    case OAK_CHAOS_LOSS:
        snprintf(out, size, "%s: %.1f %%, %s", name, (double)f->amount / 10, who);
        return;
    case OAK_CHAOS_DELAY:
        snprintf(out, size, "%s: %" PRId64 " to %" PRId64 " ms, %s", name, f->amount, 2 * f->amount,
                 who);
        return;
    case OAK_CHAOS_SLOW_DISK:
        snprintf(out, size, "%s: %s, %" PRId64 " ms a sync", name, who, f->amount);
        return;
    case OAK_CHAOS_FULL_DISK:
        snprintf(out, size, "%s: %s, %s", name, who,
                 f->amount == 1 ? "files can't grow" : "no write fits");
        return;
    case OAK_CHAOS_CLOCK_JUMP:
        snprintf(out, size, "%s: %s, %+" PRId64 " s", name, who, f->amount);
        return;
    case OAK_CHAOS_CLOCK_DRIFT:
        snprintf(out, size, "%s: %s, %+" PRId64 " ppm", name, who, f->amount);
        return;
    default:
        snprintf(out, size, "%s: %s", name, who);
        return;
    }
}
