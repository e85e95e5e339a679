/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c: the leader pushes back on clients so that a follower that is behind can catch up.
 *
 * A leader keeps a part of its log for a follower that is behind. When clients propose faster than
 * it follows, that part is used up, it gets a snapshot, and while that travels the log runs away
 * from it again: a snapshot after each snapshot, for as long as the load lasts. Here the load is
 * slowed, before that part is used up.
 *
 * Happy path   1 a follower is half of that part behind, gets on, and the gap does not shrink
 *              2 clients get three quarters of what it takes in, at least the floor
 *              3 each period in which the gap does not shrink: a quarter less
 *              4 it is within a quarter of that part: an eighth of the old rate more each period,
 *                until the old rate is reached and the pace is off.
 * Who is not waited for: one that is away, one that has not got on for STUCK_NS, and for
 * GIVEN_UP_NS one that could not catch up although clients were held at the floor for PATIENCE_NS.
 * The floor    half of the rate before, when a majority and one more voter are close without the
 *              laggard, or it is a learner: losing it costs little. Else a tenth: the next failure
 *              would stop the group.
 *
 * Thread: the loop's. Pure.
 */
#include "replica/pace.h"

#include "base/zoo.h"

#define SECOND_NS 1000000000ull
#define PERIOD_NS (SECOND_NS / 4)
/* Two seconds of leadership: what clients ask of a leader just elected is no measure. */
#define MEASURED_PERIODS 8u
#define STUCK_NS         (3 * SECOND_NS)
#define PATIENCE_NS      (60 * SECOND_NS)
#define GIVEN_UP_NS      (600 * SECOND_NS)
/* Bytes a second: so that a second of it in nanoseconds fits 64 bits. */
#define RATE_MAX 10000000000ull
/* Of what is held for a follower, in thousandths. */
#define FILL_BEGIN 500u
#define FILL_END   250u

void pace_reset(struct pace *p)
{
    *p = (struct pace){.delayed = p->delayed};
}

static struct pace_row *row_of(struct pace *p, uint64_t id)
{
    struct pace_row *free = NULL;
    for (size_t i = 0; i < OAK_PEERS_MAX; i++) {
        if (p->rows[i].id == id) {
            return &p->rows[i];
        }
        if (p->rows[i].id == 0 && free == NULL) {
            free = &p->rows[i];
        }
    }
    return free;
}

/* Members that left make room. */
static void rows_sweep(struct pace *p, const struct pace_view *v)
{
    for (size_t i = 0; i < OAK_PEERS_MAX; i++) {
        bool there = false;
        for (size_t k = 0; k < v->count; k++) {
            there = there || v->followers[k].id == p->rows[i].id;
        }
        if (!there) {
            p->rows[i] = (struct pace_row){0};
        }
    }
}

static uint64_t gap_of(const struct pace_view *v, const struct pace_follower *f)
{
    return v->last > f->has ? v->last - f->has : 0;
}

/* How much of what is held for it a follower needs. */
static uint64_t fill_of(const struct pace_view *v, const struct pace_follower *f)
{
    uint64_t gap = gap_of(v, f);
    uint64_t entry = v->log_entries > 0 ? v->log_bytes / v->log_entries : 0;
    uint64_t by_entries = gap * 1000 / OAK_MAX(v->held_entries, (size_t)1);
    uint64_t by_bytes = gap * entry * 1000 / OAK_MAX(v->held_bytes, (size_t)1);
    return OAK_MAX(by_entries, by_bytes);
}

/* Does it get on, and may it be waited for? */
static bool row_note(struct pace_row *row, const struct pace_view *v, const struct pace_follower *f)
{
    if (row->id != f->id) {
        *row = (struct pace_row){.id = f->id, .progress = f->progress, .has = f->has};
        row->gap = UINT64_MAX; /* the first look only notes it */
    }
    if (row->progress != f->progress) {
        row->progress = f->progress;
        row->progress_ns = v->now_ns;
    }
    return f->active && row->progress_ns != 0 && v->now_ns - row->progress_ns < STUCK_NS &&
           v->now_ns >= row->given_up_until_ns;
}

/* Whoever is furthest behind of those that are waited for; NULL: nobody is behind. */
static const struct pace_follower *furthest(struct pace *p, const struct pace_view *v)
{
    const struct pace_follower *found = NULL;
    uint64_t most = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct pace_follower *f = &v->followers[i];
        struct pace_row *row = row_of(p, f->id);
        if (row != NULL && row_note(row, v, f) && fill_of(v, f) > most) {
            most = fill_of(v, f);
            found = f;
        }
    }
    return found;
}

/* Without the laggard, could one more voter fail? */
static bool spare(const struct pace_view *v, const struct pace_follower *laggard)
{
    size_t voters = 1, close = 1; /* this member */
    for (size_t i = 0; i < v->count; i++) {
        const struct pace_follower *f = &v->followers[i];
        voters += f->voter ? 1 : 0;
        close += f->voter && f != laggard && f->active && fill_of(v, f) < FILL_END ? 1 : 0;
    }
    return !laggard->voter || close > voters / 2 + 1;
}

static void begin(struct pace *p, const struct pace_view *v, const struct pace_follower *f,
                  uint64_t follows)
{
    p->laggard = f->id;
    p->peak = p->incoming;
    p->floor = spare(v, f) ? p->peak / 2 : p->peak / 10;
    p->floor = OAK_MAX(p->floor, (uint64_t)OAK_PACE_BYTES_MIN);
    /* One that took in nothing just now, though it did lately: half, to begin with. */
    uint64_t rate = follows > 0 ? OAK_MIN(follows, p->peak) / 4 * 3 : p->peak / 2;
    p->rate = OAK_MAX(rate, p->floor);
    p->tokens = 0;
    p->filled_ns = v->now_ns;
}

static void adjust(struct pace *p, struct pace_row *row, const struct pace_view *v,
                   const struct pace_follower *f)
{
    uint64_t gap = gap_of(v, f);
    if (fill_of(v, f) < FILL_END) {
        row->strain_ns = 0;
        p->rate += OAK_MAX(p->peak / 8, (uint64_t)1);
        p->laggard = p->rate >= p->peak ? 0 : p->laggard;
    } else if (gap >= row->gap) {
        row->strain_ns += p->rate <= p->floor ? PERIOD_NS : 0;
        p->rate = OAK_MAX(p->rate / 4 * 3, p->floor);
    }
    if (row->strain_ns >= PATIENCE_NS) {
        row->strain_ns = 0;
        row->given_up_until_ns = v->now_ns + GIVEN_UP_NS;
        p->laggard = 0;
    }
}

void pace_look(struct pace *p, const struct pace_view *v)
{
    OAK_ASSERT_LE(v->count, (size_t)OAK_PEERS_MAX);
    uint64_t elapsed = v->now_ns - p->looked_ns;
    if (elapsed < PERIOD_NS) {
        return;
    }
    if (p->looked_ns != 0) {
        p->incoming = OAK_MAX(p->taken * SECOND_NS / elapsed, p->incoming / 8 * 7);
        p->periods = OAK_MIN(p->periods + 1, MEASURED_PERIODS);
    }
    p->looked_ns = v->now_ns;
    p->taken = 0;
    rows_sweep(p, v);
    const struct pace_follower *f = furthest(p, v);
    struct pace_row *row = f != NULL ? row_of(p, f->id) : NULL;
    if (f == NULL) {
        p->laggard = 0;
    } else if (p->laggard != 0) {
        p->laggard = f->id;
        adjust(p, row, v, f);
    } else if (p->periods == MEASURED_PERIODS && fill_of(v, f) >= FILL_BEGIN &&
               gap_of(v, f) >= row->gap) {
        uint64_t entry = v->log_entries > 0 ? v->log_bytes / v->log_entries : 0;
        uint64_t follows = (f->has - OAK_MIN(row->has, f->has)) * (entry + OAK_PACE_ENTRY_BYTES);
        begin(p, v, f, follows * SECOND_NS / elapsed);
    }
    for (size_t i = 0; i < v->count; i++) {
        struct pace_row *noted = row_of(p, v->followers[i].id);
        if (noted != NULL) {
            noted->gap = gap_of(v, &v->followers[i]);
            noted->has = v->followers[i].has;
        }
    }
}

static void tokens_fill(struct pace *p, uint64_t now_ns)
{
    uint64_t rate = OAK_MIN(p->rate, RATE_MAX);
    uint64_t elapsed = now_ns - p->filled_ns;
    if (elapsed >= SECOND_NS) {
        p->filled_ns = now_ns - SECOND_NS;
        elapsed = SECOND_NS;
    }
    uint64_t new = rate *elapsed / SECOND_NS;
    if (new > 0) {
        /* The fraction of a byte that is left over counts the next time. */
        p->filled_ns += new *SECOND_NS / rate;
        /* What an idle tenth of a second leaves, no more. */
        p->tokens = OAK_MIN(p->tokens + (int64_t) new, (int64_t)(rate / 10));
    }
}

bool pace_admit(struct pace *p, uint64_t now_ns, size_t bytes)
{
    size_t cost = bytes + OAK_PACE_ENTRY_BYTES;
    if (p->laggard != 0 && !OAK_BUG(no_pushback)) {
        tokens_fill(p, now_ns);
        if (p->tokens <= 0) {
            p->delayed++;
            return false;
        }
        p->tokens -= (int64_t)cost; /* a large one is paid back by those behind it */
    }
    p->taken += cost;
    return true;
}

size_t pace_backlog(const struct pace *p)
{
    return p->laggard != 0 ? (size_t)p->rate : SIZE_MAX;
}
