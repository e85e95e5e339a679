/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c: sending a snapshot of the state machine to a member that the log can't serve.
 *
 * Happy path   1 take the store's snapshot as it is applied now
 *              2 (worker) read a chunk
 *              3 send it, bulk
 *              4 the receiver acknowledges its offset: next chunk
 *              5 the last one is acknowledged as installed: tell Raft
 * Can fail     a chunk or its acknowledgement is lost: sent again every RESEND_NS; after
 *              TRIES_MAX, or a refusal, or a read error, the sending ends and Raft probes and
 *              asks again.
 * Limits       one chunk under way for a receiver, OAK_SNAPSHOT_SENDS_MAX receivers.
 * Threads      the loop's; the slot's source, chunk, size and error are the worker's while busy.
 */
#include "replica/internal.h"

#define RESEND_NS (500 * 1000 * 1000ull)
#define TRIES_MAX 40

static void sending_end(struct sending *s, bool ok)
{
    struct oak_replica *r = s->replica;
    OAK_ASSERT(!s->busy);
    oak_store_snapshot_close(s->source);
    s->source = NULL;
    if (r->closing) {
        return;
    }
    oak_log(r->options.log, ok ? OAK_LOG_INFO : OAK_LOG_WARN,
            "snapshot at index %llu to member %016llx: %s", (unsigned long long)s->meta.index,
            (unsigned long long)s->peer, ok ? "installed" : "not sent");
    r->counters.snapshots_sent += ok ? 1 : 0;
    oak_raft_snapshot_sent(r->raft, s->peer, s->meta.index, ok);
}

static void chunk_send(struct sending *s)
{
    struct oak_raft_status status;
    oak_raft_status(s->replica->raft, &status);
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHUNK,
        .u.chunk = {.transfer = s->transfer,
                    .offset = s->offset,
                    .term = status.term,
                    .last = s->last,
                    .snapshot = s->meta,
                    .data = oak_bytes(s->chunk, s->size)},
    };
    s->resend_ns = replica__now(s->replica) + RESEND_NS;
    replica__send(s->replica, s->peer, true, &frame);
}

static void read_go(struct oak_task *task)
{
    struct sending *s = OAK_CONTAINER_OF(task, struct sending, go);
    s->size = 0;
    size_t got = 1;
    s->error = 0;
    while (s->error == 0 && got > 0 && s->size < OAK_SNAPSHOT_CHUNK_BYTES_MAX) {
        s->error = oak_store_snapshot_read(s->source, s->chunk + s->size,
                                           OAK_SNAPSHOT_CHUNK_BYTES_MAX - s->size, &got);
        s->size += got;
    }
    s->last = got == 0;
    const struct oak_exec *loop = &s->replica->options.loop->exec;
    loop->post(loop->user, &s->back);
}

static void read_back(struct oak_task *task)
{
    struct sending *s = OAK_CONTAINER_OF(task, struct sending, back);
    struct oak_replica *r = s->replica;
    s->busy = false;
    if (replica__close_check(r)) {
        return;
    }
    if (s->error != 0 || s->dropped) {
        sending_end(s, false);
        replica__install_go(r, 0);
        return;
    }
    s->tries = 0;
    chunk_send(s);
}

static void read_start(struct sending *s)
{
    s->busy = true;
    s->go.run = read_go;
    s->back.run = read_back;
    s->replica->options.worker.post(s->replica->options.worker.user, &s->go);
}

static struct sending *slot_free(struct oak_replica *r, uint64_t peer)
{
    struct sending *found = NULL;
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        if (r->sendings[i].source == NULL) {
            found = &r->sendings[i];
        } else if (r->sendings[i].peer == peer) {
            return NULL;
        }
    }
    return found;
}

void replica__snapshot_start(struct oak_replica *r, const struct oak_raft_snapshot_want *want)
{
    struct sending *s = slot_free(r, want->peer);
    const struct oak_store_state *state = oak_kv_state(r->kv);
    struct oak_alloc libc = oak_alloc_libc();
    if (s == NULL || r->installing.active || state->applied < want->index_min) {
        oak_raft_snapshot_sent(r->raft, want->peer, want->index_min, false);
        return;
    }
    if (s->chunk == NULL) {
        s->chunk = libc.resize(libc.user, NULL, OAK_SNAPSHOT_CHUNK_BYTES_MAX);
    }
    if (s->chunk == NULL || oak_store_snapshot_open(r->options.store, &s->source) != 0) {
        s->source = NULL;
        oak_raft_snapshot_sent(r->raft, want->peer, want->index_min, false);
        return;
    }
    s->replica = r;
    s->peer = want->peer;
    s->meta = (struct oak_raft_snapshot){
        .index = state->applied,
        .term = state->applied_term,
        .config = r->config_applied,
    };
    r->options.loop->entropy.fill(r->options.loop->entropy.user, &s->transfer, sizeof(s->transfer));
    s->offset = 0;
    s->dropped = false;
    s->last = false;
    oak_log(r->options.log, OAK_LOG_INFO, "sending a snapshot at index %llu to member %016llx",
            (unsigned long long)s->meta.index, (unsigned long long)s->peer);
    read_start(s);
}

void replica__snapshot_ack(struct oak_replica *r, uint64_t from,
                           const struct oak_peer_chunk_ack *ack)
{
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->source == NULL || s->busy || s->peer != from || s->transfer != ack->transfer) {
            continue;
        }
        if (ack->refused || ack->installed) {
            sending_end(s, ack->installed);
        } else if (ack->offset == s->offset + s->size && !s->last) {
            s->offset = ack->offset;
            read_start(s);
        }
        return;
    }
}

void replica__snapshot_tick(struct oak_replica *r)
{
    uint64_t now = replica__now(r);
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->source == NULL || s->busy || now < s->resend_ns) {
            continue;
        }
        s->tries++;
        if (s->tries > TRIES_MAX) {
            sending_end(s, false);
        } else {
            chunk_send(s);
        }
    }
}

bool replica__snapshots_drop(struct oak_replica *r)
{
    bool gone = true;
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->source != NULL && s->busy) {
            s->dropped = true;
            gone = false;
        } else if (s->source != NULL) {
            sending_end(s, false);
        }
    }
    return gone;
}

uint64_t replica__snapshot_index(const struct oak_replica *r, uint64_t peer)
{
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        if (r->sendings[i].source != NULL && r->sendings[i].peer == peer) {
            return r->sendings[i].meta.index;
        }
    }
    return 0;
}

void replica__snapshot_fini(struct oak_replica *r)
{
    struct oak_alloc libc = oak_alloc_libc();
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        struct sending *s = &r->sendings[i];
        if (s->source != NULL) {
            sending_end(s, false);
        }
        libc.resize(libc.user, s->chunk, 0);
    }
}
