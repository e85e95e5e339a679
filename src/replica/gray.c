/* SPDX-License-Identifier: Apache-2.0 */
/* gray.c: a leader whose disk or CPU is much slower than its followers' hands leadership over.
 *
 * Such a leader is neither dead nor well: it sends its heartbeats, nobody stands against it, and
 * all clients wait for its disk or its loop. Each member measures itself, followers tell their
 * leader, and the leader compares.
 *
 * Happy path   1 its own time (log batch and late ticks) is over FACTOR times the median of its fit
 *                followers, and FLOOR_US more
 *              2 for SUSTAINED_NS without a break
 *              3 the fit follower that fares best is to lead.
 * A disk that hangs: a batch is away for an election time-out while a fit follower's is not. At
 * once: the followers' majority commits without it, but it can't apply or answer.
 * No ping-pong: who has handed over neither does so again nor is a target for WEARY_NS, twice as
 * long each time, up to WEARY_MAX_NS; a quarter of an hour of calm leadership forgets one time. A
 * new leader waits SETTLE_NS: its measures are still those of a follower.
 * Nothing happens when all are equally slow, when nobody has told anything lately, and in a group
 * of one.
 *
 * Thread: the loop's. Pure.
 */
#include "replica/gray.h"

#include "base/zoo.h"

#define SECOND_NS    1000000000ull
#define FACTOR       4u
#define FLOOR_US     20000u
#define SUSTAINED_NS (3 * SECOND_NS)
#define SETTLE_NS    (5 * SECOND_NS)
#define FRESH_NS     (3 * SECOND_NS)
#define WEARY_NS     (30 * SECOND_NS)
#define WEARY_MAX_NS (960 * SECOND_NS)
#define CALM_NS      (900 * SECOND_NS)
/* A measure moves by a quarter of the way to each new one. */
#define SMOOTH 4

static uint64_t smoothed(uint64_t before, uint64_t now)
{
    return now > before ? before + (now - before) / SMOOTH : before - (before - now) / SMOOTH;
}

void gray_sync_begin(struct gray_meter *m, uint64_t token, uint64_t now_ns)
{
    if (m->token == 0) {
        m->token = token;
        m->token_ns = now_ns;
    }
}

void gray_sync_end(struct gray_meter *m, uint64_t token, uint64_t now_ns)
{
    if (m->token != 0 && token >= m->token) {
        m->sync_us = smoothed(m->sync_us, (now_ns - m->token_ns) / 1000);
        m->token = 0;
    }
}

void gray_tick(struct gray_meter *m, uint64_t late_ns)
{
    m->lag_us = smoothed(m->lag_us, late_ns / 1000);
}

static uint64_t away_us(const struct gray_meter *m, uint64_t now_ns)
{
    return m->token != 0 ? (now_ns - m->token_ns) / 1000 : 0;
}

struct gray_load gray_load_of(const struct gray_meter *m, uint64_t now_ns)
{
    return (struct gray_load){
        .sync_us = OAK_MAX(m->sync_us, away_us(m, now_ns)),
        .lag_us = m->lag_us,
    };
}

static uint64_t time_of(const struct gray_load *load)
{
    return load->sync_us + load->lag_us;
}

/* The fit followers' median (of two: the worse), and the best that wants to lead. */
static bool compare(const struct gray_view *v, uint64_t *median, const struct gray_follower **best)
{
    uint64_t sorted[OAK_PEERS_MAX];
    size_t count = 0;
    *best = NULL;
    for (size_t i = 0; i < v->count && count < OAK_COUNT_OF(sorted); i++) {
        const struct gray_follower *f = &v->followers[i];
        if (!f->fit || f->told_ns == 0 || v->now_ns - f->told_ns > FRESH_NS) {
            continue;
        }
        uint64_t time = time_of(&f->load);
        size_t at = count++;
        while (at > 0 && sorted[at - 1] > time) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = time;
        if (!f->load.weary && (*best == NULL || time < time_of(&(*best)->load))) {
            *best = f;
        }
    }
    *median = count > 0 ? sorted[count / 2] : 0;
    return *best != NULL;
}

static bool much_worse(uint64_t own, uint64_t other)
{
    return own > FACTOR * other && own > other + FLOOR_US;
}

static uint64_t hand_over(struct gray *g, const struct gray_view *v, uint64_t to)
{
    uint64_t rest = WEARY_NS << OAK_MIN(g->times, 5u);
    g->weary_ns = v->now_ns + OAK_MIN(rest, WEARY_MAX_NS);
    g->times++;
    g->worse_ns = 0;
    return to;
}

uint64_t gray_decide(struct gray *g, const struct gray_view *v)
{
    if (g->leads_ns == 0) {
        g->leads_ns = v->now_ns;
    }
    if (g->times > 0 && v->now_ns - g->leads_ns >= CALM_NS) {
        g->times--;
        g->leads_ns = v->now_ns;
    }
    uint64_t median = 0;
    const struct gray_follower *best = NULL;
    uint64_t own = time_of(&v->own);
    if (OAK_BUG(gray_ignored) || !compare(v, &median, &best) || v->now_ns < g->weary_ns) {
        g->worse_ns = 0;
        return 0;
    }
    if (v->away_ns > v->stuck_ns && much_worse(own, time_of(&best->load))) {
        return hand_over(g, v, best->id);
    }
    median = OAK_BUG(gray_among_gray) ? FLOOR_US / FACTOR : median;
    if (!much_worse(own, median) || v->now_ns - g->leads_ns < SETTLE_NS) {
        g->worse_ns = 0;
        return 0;
    }
    if (g->worse_ns == 0) {
        g->worse_ns = v->now_ns;
    }
    return v->now_ns - g->worse_ns >= SUSTAINED_NS ? hand_over(g, v, best->id) : 0;
}

void gray_rest(struct gray *g)
{
    g->leads_ns = 0;
    g->worse_ns = 0;
}
