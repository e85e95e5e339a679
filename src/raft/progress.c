/* SPDX-License-Identifier: Apache-2.0 */
/* progress.c: what a leader knows of one peer, and how much it may send.
 *
 *              acknowledged                  window moves
 *      PROBE ───────────────▶ REPLICATE ◀──────────┐
 *        ▲  ◀─────────────── │  │   └──────────────┘
 *        │   refused, broken │  │
 *        │ sent or failed    │  │ needs what is compacted
 *        └──────── SNAPSHOT ◀┴──┘ (from PROBE too)
 *
 * PROBE looks for the place where the logs agree: one append at a time, the next with the answer or
 * the heartbeat. REPLICATE sends ahead, within a window of bytes, entries and messages that flow.c
 * tunes. SNAPSHOT sends heartbeats only, until the host reports or the peer acknowledges something
 * the log still reaches.
 *
 * Invariants   match < next; the window is empty outside REPLICATE.
 * Thread       the core's.
 */
#include "raft/internal.h"

static void window_clear(struct raft__window *w)
{
    w->first = 0;
    w->count = 0;
    w->bytes = 0;
    w->entries = 0;
    w->cost = 0;
    raft__flow_broken(&w->flow);
}

bool raft__peer_active(const struct oak_raft *r, const struct raft__peer *p)
{
    return p->heard && r->now_ms - p->heard_ms < r->election_ms;
}

void raft__peer_probe(struct raft__peer *p, uint64_t next)
{
    OAK_ASSERT_GT(next, p->match);
    p->state = OAK_RAFT_PEER_PROBE;
    p->next = next;
    p->probe_sent = false;
    p->probe_unanswered = false;
    p->nudge = false;
    p->commit_sent = 0;
    window_clear(&p->window);
}

void raft__peer_lead(struct raft__peer *p, uint64_t last, uint64_t now_ms)
{
    p->match = 0;
    p->window.flow = (struct raft__flow){0};
    p->window.ramp = 0;
    raft__peer_probe(p, last + 1);
    /* A new leader gives everybody one election time-out to be heard. */
    p->heard_ms = now_ms;
    p->heard = p->vote == RAFT__VOTE_GRANTED;
    p->doubtful = false;
    p->heartbeat_due = false;
    p->vote_due = false;
    p->read_acked = 0;
    p->read_asked = 0;
    p->read_answer = 0;
}

void raft__peer_replicate(struct raft__peer *p)
{
    OAK_ASSERT_EQ(p->window.count, 0u);
    p->state = OAK_RAFT_PEER_REPLICATE;
    p->next = p->match + 1;
    p->nudge = false;
}

void raft__peer_snapshot(struct raft__peer *p, uint64_t index_min)
{
    raft__peer_probe(p, p->match + 1);
    p->state = OAK_RAFT_PEER_SNAPSHOT;
    p->snapshot_min = index_min;
}

void raft__peer_acked(struct raft__peer *p, uint64_t index, uint64_t log_base, uint64_t now_us)
{
    if (index < p->match) {
        return; /* an old one that was overtaken */
    }
    p->match = index;
    p->next = OAK_MAX(p->next, index + 1);
    switch (p->state) {
    case OAK_RAFT_PEER_PROBE:
        raft__peer_replicate(p);
        break;
    case OAK_RAFT_PEER_REPLICATE:
        raft__window_free(&p->window, index, now_us);
        break;
    case OAK_RAFT_PEER_SNAPSHOT:
        /* However it got there: once the log reaches it, it needs no snapshot any more. */
        if (index >= log_base) {
            raft__peer_replicate(p);
        }
        break;
    default:
        OAK_UNREACHABLE("three states");
    }
    OAK_ASSERT_LT(p->match, p->next);
}

void raft__peer_lost(struct raft__peer *p, uint64_t has, uint64_t next)
{
    OAK_ASSERT_LE(has, p->match);
    OAK_ASSERT_GT(next, has);
    if (OAK_BUG(doubt_not_started_over)) {
        return;
    }
    p->match = has;
    /* A snapshot that is on its way brings it further than any probe. */
    if (p->state != OAK_RAFT_PEER_SNAPSHOT) {
        raft__peer_probe(p, next);
    }
}

bool raft__peer_rejected(struct raft__peer *p, uint64_t rejected, uint64_t retry)
{
    OAK_ASSERT_LE(retry, rejected);
    if (p->state == OAK_RAFT_PEER_SNAPSHOT || rejected <= p->match) {
        return false;
    }
    if (p->state == OAK_RAFT_PEER_PROBE && rejected != p->next - 1) {
        return false; /* not the answer to the probe that is out */
    }
    /* `rejected` itself was refused: try below it in any case. What was sent behind it is refused
     * too. When messages overtake each other that happens all the time, and a whole window that was
     * sent again for each would be overtaken again: so it grows anew, from one. */
    p->window.ramp = p->state == OAK_RAFT_PEER_REPLICATE ? 1 : p->window.ramp;
    uint64_t next = OAK_MAX(OAK_MIN(rejected, retry + 1), p->match + 1);
    raft__peer_probe(p, next);
    return true;
}

static size_t left(size_t limit, size_t taken)
{
    return taken < limit ? limit - taken : 0;
}

bool raft__window_room(const struct raft__window *w, size_t bytes, const struct raft__room *limits,
                       uint64_t now_us, struct raft__room *room)
{
    OAK_ASSERT_LE(w->count, w->capacity);
    *room = (struct raft__room){0};
    if (w->count == w->capacity || (w->ramp != 0 && w->count >= w->ramp)) {
        return false;
    }
    size_t tuned = raft__flow_window(&w->flow, limits->cost, now_us);
    room->bytes = left(limits->bytes, w->bytes);
    room->entries = left(limits->entries, w->entries);
    room->cost = left(tuned, w->cost);
    /* Four messages a window: a single one would have to arrive whole before the next begins. */
    bool one = bytes + RAFT__ENTRY_OVERHEAD <= room->cost;
    room->cost = OAK_MIN(room->cost, OAK_MAX(tuned / 4, (size_t)1));
    /* One entry always fits an empty window. */
    return w->count == 0 || (one && bytes <= room->bytes && room->entries > 0);
}

void raft__window_push(struct raft__window *w, uint64_t end, size_t entries, size_t bytes,
                       bool hungry, uint64_t now_us)
{
    OAK_ASSERT_LT(w->count, w->capacity);
    OAK_ASSERT_GT(entries, 0u);
    struct raft__flight *f = &w->flights[(w->first + w->count) % w->capacity];
    *f = (struct raft__flight){.end = end,
                               .bytes = bytes,
                               .entries = entries,
                               .cost = bytes + entries * RAFT__ENTRY_OVERHEAD};
    raft__flow_sent(&w->flow, f, w->cost, hungry, now_us);
    w->count++;
    w->bytes += bytes;
    w->entries += entries;
    w->cost += f->cost;
}

void raft__window_free(struct raft__window *w, uint64_t acked, uint64_t now_us)
{
    const struct raft__flight *newest = NULL;
    size_t cost = 0;
    while (w->count > 0 && w->flights[w->first].end <= acked) {
        newest = &w->flights[w->first];
        OAK_ASSERT_GE(w->bytes, newest->bytes);
        OAK_ASSERT_GE(w->cost, newest->cost);
        w->bytes -= newest->bytes;
        w->entries -= newest->entries;
        w->cost -= newest->cost;
        cost += newest->cost;
        w->first = (w->first + 1) % w->capacity;
        w->count--;
        w->ramp += w->ramp != 0 ? 1 : 0;
    }
    w->ramp = w->ramp < w->capacity ? w->ramp : 0;
    if (newest != NULL) {
        raft__flow_acked(&w->flow, newest, cost, now_us);
    }
}
