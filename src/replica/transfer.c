/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c: sending a snapshot of the state machine to a member that the log can't serve.
 *
 *              offer           go              installed there
 *     (free) ────────▶ OFFERED ─────▶ STREAMING ───────────────▶ (free), Raft is told
 *                        ▲  │  wait      │ wait
 *                        │  └─▶ WAITING ◀┘
 *                        └─────────┘ a second later
 *
 * Happy path   1 an empty chunk offers the snapshot
 *              2 the receiver says where it stands: the store's snapshot is opened, as it is then
 *              3 (worker) chunks are read into a window, and sent ahead of their acknowledgements
 *              4 what is written there leaves the window
 *              5 the receiver says that all is installed: tell Raft
 * Can fail     lost chunks: the receiver names the gap, or is asked after RESEND_NS; the sending
 *              goes back to where it stands, by the window or, after a restart there, by reading
 *              the store's snapshot anew. A receiver that is silent for
 *              OAK_SNAPSHOT_KEEP_MS_MAX, a refusal or a read error end the sending: Raft probes
 *              and asks again, and backoff_allows keeps the tries apart.
 * Invariants   a transfer's bytes are the same however often they are read: one view of the store.
 * Limits       a window of bytes for a receiver, OAK_SNAPSHOT_SENDS_MAX receivers, a token bucket
 *              for all of them (bucket_take).
 * Threads      the loop's; source, the slots' bytes and what `go` sets are the worker's while busy.
 */
#include "replica/internal.h"

#include "base/zoo.h"

#define RESEND_NS (500 * NS_A_MS)
#define RETRY_NS  (1000 * NS_A_MS)
#define NO_END    UINT64_MAX

static void sending_free(struct sending *s)
{
    OAK_ASSERT(!s->busy);
    oak_store_snapshot_close(s->source);
    s->source = NULL;
    s->state = SENDING_FREE;
}

static void sending_end(struct sending *s, bool ok, const char *why)
{
    struct oak_replica *r = s->replica;
    sending_free(s);
    if (r->closing) {
        return;
    }
    oak_log(r->options.log, ok ? OAK_LOG_INFO : OAK_LOG_WARN,
            "snapshot at index %llu to member %016llx: %s", (unsigned long long)s->meta.index,
            (unsigned long long)s->peer, why);
    r->counters.snapshots_sent += ok ? 1 : 0;
    /* Raft may have asked for more meanwhile, as a leader elected anew: it is too old then. */
    bool enough = s->meta.index >= s->index_min;
    oak_raft_snapshot_sent(r->raft, s->peer, OAK_MAX(s->meta.index, s->index_min), ok && enough);
}

/* -- the token bucket -------------------------------------------------------------------------- */

/* Bytes may go beyond what is there, once: a chunk is as large as it is. */
static bool bucket_take(struct oak_replica *r, size_t bytes)
{
    struct bucket *b = &r->bucket;
    uint64_t rate = r->options.snapshot_send_rate;
    if (rate == OAK_REPLICA_UNLIMITED) {
        return true;
    }
    uint64_t now = replica__now(r);
    uint64_t full = rate / 8;
    uint64_t since = OAK_MIN(now - b->filled_ns, 1000 * NS_A_MS);
    uint64_t more = (uint64_t)((double)rate * (double)since / 1e9);
    if (more > 0) {
        b->filled_ns = now;
        b->tokens = OAK_MIN(b->tokens + (int64_t)more, (int64_t)full);
    }
    if (b->tokens < 0) {
        return false;
    }
    b->tokens -= (int64_t)bytes;
    return true;
}

/* -- chunks out -------------------------------------------------------------------------------- */

static struct sending_chunk *chunk_at(struct sending *s, size_t n)
{
    OAK_ASSERT_LT(n, s->slots);
    return &s->chunks[(s->first + n) % s->slots];
}

/* Behind everything that was sent. */
static uint64_t sent_end(struct sending *s)
{
    if (s->sent == 0) {
        return s->count > 0 ? chunk_at(s, 0)->offset : s->read_end;
    }
    const struct sending_chunk *c = chunk_at(s, s->sent - 1);
    return c->offset + c->size;
}

static void chunk_send(struct sending *s, uint64_t offset, struct oak_bytes data)
{
    struct oak_replica *r = s->replica;
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHUNK,
        .u.chunk = {.transfer = s->transfer,
                    .offset = offset,
                    .term = s->lead,
                    .last = offset + data.size == s->end,
                    .snapshot = s->meta,
                    .data = data},
    };
    s->ask_ns = replica__now(r) + RESEND_NS;
    r->counters.snapshot_sent_bytes += data.size;
    replica__send(r, s->peer, true, &frame);
}

/* Where is the receiver? It answers in any case. */
static void ask(struct sending *s)
{
    chunk_send(s, sent_end(s), oak_bytes(NULL, 0));
}

static void window_clear(struct sending *s, uint64_t offset)
{
    s->first = s->count = s->sent = 0;
    s->read_end = offset;
    s->end = NO_END;
    s->end_told = false;
}

static void read_go(struct oak_task *task)
{
    struct sending *s = OAK_CONTAINER_OF(task, struct sending, go);
    struct sending_chunk *c = &s->reading;
    c->size = 0;
    size_t got = 1;
    s->error = oak_store_snapshot_seek(s->source, c->offset);
    while (s->error == 0 && got > 0 && c->size < s->chunk_bytes) {
        s->error = oak_store_snapshot_read(s->source, s->reading_to + c->size,
                                           s->chunk_bytes - c->size, &got);
        c->size += got;
    }
    s->reading_last = got == 0;
    const struct oak_exec *loop = &s->replica->options.loop->exec;
    loop->post(loop->user, &s->back);
}

static void stream_pump(struct sending *s);

static void read_back(struct oak_task *task)
{
    struct sending *s = OAK_CONTAINER_OF(task, struct sending, back);
    struct oak_replica *r = s->replica;
    s->busy = false;
    if (replica__close_check(r)) {
        return;
    }
    if (s->error != 0 || s->dropped) {
        sending_end(s, false, s->dropped ? "given up" : "the store can't be read");
        replica__install_go(r, 0);
        return;
    }
    /* Else the window has moved meanwhile: then it is read again. */
    if (s->reading.offset == s->read_end && s->end == NO_END) {
        if (s->reading.size > 0) {
            size_t at = (s->first + s->count) % s->slots;
            s->chunks[at] = s->reading;
            s->chunks[at].slot = s->reading_slot;
            s->count++;
            s->read_end += s->reading.size;
            s->top = OAK_MAX(s->top, s->read_end);
        }
        s->end = s->reading_last ? s->read_end : NO_END;
    }
    stream_pump(s);
}

/* A slot that no chunk of the window lies in. */
static size_t slot_free(struct sending *s)
{
    uint64_t used = 0;
    for (size_t i = 0; i < s->count; i++) {
        used |= 1ull << chunk_at(s, i)->slot;
    }
    size_t slot = 0;
    while ((used >> slot & 1) != 0) {
        slot++;
    }
    OAK_ASSERT_LT(slot, s->slots);
    return slot;
}

static void stream_pump(struct sending *s)
{
    struct oak_replica *r = s->replica;
    if (s->state != SENDING_STREAMING) {
        return;
    }
    while (s->sent < s->count) {
        const struct sending_chunk *c = chunk_at(s, s->sent);
        if (!bucket_take(r, c->size)) {
            break; /* the tick goes on */
        }
        s->sent++;
        chunk_send(s, c->offset, oak_bytes(s->memory + c->slot * s->chunk_bytes, c->size));
    }
    if (!s->busy && s->end == NO_END && s->count < s->slots) {
        s->reading = (struct sending_chunk){.offset = s->read_end};
        s->reading_slot = slot_free(s);
        s->reading_to = s->memory + s->reading_slot * s->chunk_bytes;
        s->go.run = read_go;
        s->back.run = read_back;
        s->busy = true;
        r->options.worker.post(r->options.worker.user, &s->go);
    }
    if (s->end != NO_END && s->sent == s->count && !s->end_told) {
        s->end_told = true;
        ask(s); /* the end may have been found behind the last chunk */
    }
}

/* -- beginning --------------------------------------------------------------------------------- */

static void offer(struct sending *s)
{
    struct oak_replica *r = s->replica;
    const struct oak_store_state *state = oak_kv_state(r->kv);
    s->state = SENDING_OFFERED;
    s->transfer = r->transfers_base | (++r->transfers & TRANSFER_COUNT_MASK);
    s->meta = (struct oak_raft_snapshot){
        .index = state->applied,
        .term = state->applied_term,
        .config = r->config_applied,
    };
    s->acked = s->top = 0;
    window_clear(s, 0);
    ask(s);
}

/* The receiver is ready: what it gets is the state as it is now. */
static void stream_begin(struct sending *s)
{
    struct oak_replica *r = s->replica;
    const struct oak_store_state *state = oak_kv_state(r->kv);
    if (r->installing.active || oak_store_snapshot_open(r->options.store, &s->source) != 0) {
        s->source = NULL;
        sending_end(s, false, "the store can't be read");
        return;
    }
    s->meta.index = state->applied;
    s->meta.term = OAK_BUG(snapshot_of_own_term) ? s->lead : state->applied_term;
    s->meta.config = r->config_applied;
    s->state = SENDING_STREAMING;
    s->held = 0;
    oak_log(r->options.log, OAK_LOG_INFO, "sending a snapshot at index %llu to member %016llx",
            (unsigned long long)s->meta.index, (unsigned long long)s->peer);
    stream_pump(s);
}

/* The peer's own, a free one, or one whose receiver is silent: it may be gone for good. */
static struct sending *sending_place(struct oak_replica *r)
{
    struct sending *idle = NULL;
    uint64_t now = replica__now(r);
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->state == SENDING_FREE && !s->busy) {
            return s;
        }
        if (!s->busy && now - s->heard_ns > OAK_SNAPSHOT_IDLE_MS_MAX * NS_A_MS &&
            (idle == NULL || s->heard_ns < idle->heard_ns)) {
            idle = s;
        }
    }
    if (idle != NULL) {
        sending_end(idle, false, "its receiver is silent, and another one waits");
    }
    return idle;
}

static size_t sending_at(const struct oak_replica *r, uint64_t peer)
{
    size_t i = 0;
    while (i < OAK_COUNT_OF(r->sendings) &&
           (r->sendings[i].state == SENDING_FREE || r->sendings[i].peer != peer)) {
        i++;
    }
    return i;
}

static struct sending *sending_to(struct oak_replica *r, uint64_t peer)
{
    size_t i = sending_at(r, peer);
    return i < OAK_COUNT_OF(r->sendings) ? &r->sendings[i] : NULL;
}

static bool memory_get(struct sending *s, struct oak_replica *r)
{
    struct oak_alloc libc = oak_alloc_libc();
    s->chunk_bytes = r->options.snapshot_chunk_bytes;
    s->slots = OAK_MIN(OAK_MAX(r->options.snapshot_window_bytes / s->chunk_bytes, (size_t)1),
                       (size_t)OAK_SNAPSHOT_WINDOW_CHUNKS_MAX);
    if (s->memory == NULL) {
        s->memory = libc.resize(libc.user, NULL, s->slots * s->chunk_bytes);
    }
    return s->memory != NULL;
}

/* Sendings to one member are kept apart, more and more while they follow each other. */
static bool backoff_allows(struct remote *to, uint64_t now)
{
    if (now < to->send_after_ns) {
        return false;
    }
    bool again = to->send_started_ns != 0 && now - to->send_started_ns < 60000 * NS_A_MS;
    to->sends = again ? OAK_MIN(to->sends + 1, 10u) : 0;
    uint64_t wait = OAK_MIN(RETRY_NS << to->sends, OAK_SNAPSHOT_BACKOFF_MS_MAX * NS_A_MS);
    to->send_started_ns = now;
    to->send_after_ns = now + wait;
    return true;
}

void replica__snapshot_start(struct oak_replica *r, const struct oak_raft_snapshot_want *want)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    struct sending *s = sending_to(r, want->peer);
    if (s != NULL) {
        /* It outlived a loss of leadership. It is finished first, however old: what it brings is
         * brought, and a newer one would be too old in turn. */
        s->index_min = OAK_MAX(s->index_min, want->index_min);
        return;
    }
    struct remote *to = replica__remote(r, want->peer);
    bool can = to != NULL && !r->installing.active &&
               oak_kv_state(r->kv)->applied >= want->index_min &&
               backoff_allows(to, replica__now(r));
    s = can ? sending_place(r) : NULL;
    if (s == NULL || !memory_get(s, r)) {
        oak_raft_snapshot_sent(r->raft, want->peer, want->index_min, false);
        return;
    }
    s->replica = r;
    s->peer = want->peer;
    s->lead = status.term;
    s->index_min = want->index_min;
    s->held = 0;
    s->dropped = false;
    s->heard_ns = replica__now(r);
    s->back_ns = 0;
    r->counters.snapshot_sends++;
    offer(s);
}

/* -- what the receiver says -------------------------------------------------------------------- */

/* Everything before `offset` is written there. */
static void window_advance(struct sending *s, uint64_t offset)
{
    s->acked = offset;
    while (s->count > 0 && chunk_at(s, 0)->offset + chunk_at(s, 0)->size <= offset) {
        s->first = (s->first + 1) % s->slots;
        s->count--;
        s->sent -= s->sent > 0 ? 1 : 0;
    }
    if (s->count == 0 ? s->read_end < offset : chunk_at(s, 0)->offset < offset) {
        window_clear(s, offset); /* it had got further before we went back */
    }
}

/* The receiver wants `offset` next: send from there, by what is in the window or read anew. */
static void window_back(struct sending *s, uint64_t offset)
{
    struct oak_replica *r = s->replica;
    uint64_t now = replica__now(r);
    if (offset == s->back_offset && now < s->back_ns + RESEND_NS) {
        return; /* each of the chunks behind the gap says so */
    }
    s->back_offset = offset;
    s->back_ns = now;
    s->end_told = false;
    r->counters.snapshot_rewinds++;
    for (size_t i = 0; i < s->count; i++) {
        if (chunk_at(s, i)->offset == offset) {
            s->sent = OAK_MIN(s->sent, i);
            return;
        }
    }
    if (offset != s->read_end || s->count > 0) {
        s->acked = offset;
        window_clear(s, offset);
    }
}

static void wait_for_another(struct sending *s, uint64_t index)
{
    if (s->state != SENDING_WAITING) {
        oak_log(s->replica->options.log, OAK_LOG_INFO,
                "member %016llx receives another snapshot, at index %llu: ours waits",
                (unsigned long long)s->peer, (unsigned long long)index);
    }
    oak_store_snapshot_close(s->source);
    s->source = NULL;
    s->state = SENDING_WAITING;
    s->held = index;
    s->ask_ns = replica__now(s->replica) + RETRY_NS;
}

void replica__snapshot_ack(struct oak_replica *r, uint64_t from,
                           const struct oak_peer_chunk_ack *ack)
{
    struct sending *s = sending_to(r, from);
    if (s == NULL || s->transfer != ack->transfer || s->state == SENDING_WAITING) {
        return;
    }
    s->heard_ns = replica__now(r);
    if (ack->installed || ack->refused || ack->wait) {
        if (s->busy) {
            return; /* it says so again */
        }
        if (ack->wait) {
            wait_for_another(s, ack->index);
        } else {
            sending_end(s, ack->installed, ack->installed ? "installed" : "refused there");
        }
        return;
    }
    if (s->state == SENDING_OFFERED) {
        stream_begin(s);
        return;
    }
    if (ack->offset > s->top) {
        return; /* nobody can have got so far */
    }
    if (ack->gap) {
        window_back(s, ack->offset);
    } else if (ack->offset > s->acked) {
        window_advance(s, ack->offset);
        s->ask_ns = s->heard_ns + RESEND_NS;
    }
    stream_pump(s);
}

/* -- time -------------------------------------------------------------------------------------- */

/* The log reaches it again: it needs no snapshot. */
static bool caught_up(const struct oak_replica *r, const struct sending *s)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    size_t count = oak_raft_peers(r->raft, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        if (peers[i].id == s->peer) {
            return peers[i].state == OAK_RAFT_PEER_REPLICATE;
        }
    }
    return false;
}

static void sending_tick(struct sending *s, uint64_t now)
{
    struct oak_raft_status status;
    oak_raft_status(s->replica->raft, &status);
    bool leads = status.role == OAK_RAFT_LEADER && status.term == s->lead;
    if (s->state != SENDING_STREAMING && (!leads || caught_up(s->replica, s))) {
        /* Raft does not wait for it any more; or does, elected anew, and asks again. */
        sending_free(s);
        oak_raft_snapshot_sent(s->replica->raft, s->peer, OAK_MAX(s->meta.index, s->index_min),
                               false);
    } else if (now - s->heard_ns > OAK_SNAPSHOT_KEEP_MS_MAX * NS_A_MS) {
        sending_end(s, false, "its receiver is silent");
    } else if (s->state == SENDING_WAITING && now >= s->ask_ns) {
        offer(s);
    } else if (s->state != SENDING_WAITING) {
        stream_pump(s);
        if (s->state != SENDING_FREE && now >= s->ask_ns) {
            ask(s);
        }
    }
}

void replica__snapshot_tick(struct oak_replica *r)
{
    uint64_t now = replica__now(r);
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->state != SENDING_FREE && !s->busy) {
            sending_tick(s, now);
        }
    }
}

bool replica__snapshots_drop(struct oak_replica *r)
{
    bool gone = true;
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->busy) {
            s->dropped = true;
            gone = false;
        } else if (s->state != SENDING_FREE) {
            sending_end(s, false, "given up for one that is received");
        }
    }
    return gone;
}

static const struct sending *sending_of(const struct oak_replica *r, uint64_t peer)
{
    size_t i = sending_at(r, peer);
    return i < OAK_COUNT_OF(r->sendings) ? &r->sendings[i] : NULL;
}

uint64_t replica__snapshot_index(const struct oak_replica *r, uint64_t peer)
{
    const struct sending *s = sending_of(r, peer);
    if (s == NULL) {
        return 0;
    }
    return s->held != 0 ? s->held : s->meta.index;
}

bool replica__snapshot_offered(const struct oak_replica *r, uint64_t peer)
{
    const struct sending *s = sending_of(r, peer);
    return s != NULL && s->state == SENDING_OFFERED && s->held == 0 &&
           replica__now(r) - s->heard_ns < r->options.log_away_ms * NS_A_MS;
}

uint64_t replica__snapshot_oldest(const struct oak_replica *r)
{
    uint64_t oldest = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        const struct sending *s = &r->sendings[i];
        if (s->state == SENDING_STREAMING && (oldest == 0 || s->meta.index < oldest)) {
            oldest = s->meta.index;
        }
    }
    return oldest;
}

void replica__snapshot_fini(struct oak_replica *r)
{
    struct oak_alloc libc = oak_alloc_libc();
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        if (r->sendings[i].state != SENDING_FREE) {
            sending_free(&r->sendings[i]);
        }
        libc.resize(libc.user, r->sendings[i].memory, 0);
    }
}
