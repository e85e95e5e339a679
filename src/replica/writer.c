/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c: batches of log records between the Raft core and the log writer.
 *
 * Happy path   1 gather records in `next`
 *              2 swap to `away`, post
 *              3 (log writer) append all, one write, one sync
 *              4 back on the loop: oak_raft_persisted(token)
 *              5 whatever gathered meanwhile goes next
 * Can fail     any error of the log is fatal to the process (law 3).
 * Invariants   one batch is away at a time; payloads stay valid until its token is reported.
 * Threads      the loop's; `away`, `away_release`, `error` and `sync_ns` are the log writer's
 *              while busy.
 */
#include "replica/internal.h"

#include "base/zoo.h"

static int batch_push(struct writer_batch *b, const struct oak_wal_record *record)
{
    if (b->count == b->capacity) {
        size_t capacity = OAK_MAX((size_t)64, b->capacity * 2);
        struct oak_alloc libc = oak_alloc_libc();
        void *grown = libc.resize(libc.user, b->records, capacity * sizeof(*b->records));
        if (grown == NULL) {
            return OAK_ENOMEM;
        }
        b->records = grown;
        b->capacity = capacity;
    }
    b->records[b->count++] = *record;
    return 0;
}

static int restore_add(struct oak_replica *r, const struct oak_raft_persist *persist)
{
    const struct oak_wal_record record = {
        .type = OAK_WAL_SNAPSHOT,
        .keep_log = persist->restore_keeps_log,
        .group = r->options.group,
        .index = persist->restore->index,
        .term = persist->restore->term,
    };
    return batch_push(&r->writer.next, &record);
}

static int hard_state_add(struct oak_replica *r, const struct oak_raft_hard_state *hard)
{
    const struct oak_wal_record record = {
        .type = OAK_WAL_HARD_STATE,
        .group = r->options.group,
        .term = hard->term,
        .vote = hard->vote,
        .commit = hard->commit,
    };
    return batch_push(&r->writer.next, &record);
}

int replica__writer_add(struct oak_replica *r, const struct oak_raft_persist *persist)
{
    struct writer_batch *b = &r->writer.next;
    OAK_ASSERT_GT(persist->token, b->token);
    int error = persist->restore != NULL ? restore_add(r, persist) : 0;
    if (error == 0 && persist->hard_state_changed) {
        error = hard_state_add(r, &persist->hard_state);
    }
    for (size_t i = 0; error == 0 && i < persist->entry_count; i++) {
        const struct oak_raft_entry *entry = &persist->entries[i];
        const struct oak_wal_record record = {
            .type = OAK_WAL_ENTRY,
            .kind = (uint8_t)entry->type,
            .group = r->options.group,
            .index = entry->index,
            .term = entry->term,
            .data = oak_bytes(entry->data, entry->size),
        };
        error = batch_push(b, &record);
    }
    b->token = persist->token;
    b->must_sync = b->must_sync || persist->must_sync;
    return error;
}

/* On the log writer. */
static void writer_go(struct oak_task *task)
{
    struct writer *w = OAK_CONTAINER_OF(task, struct writer, go);
    const struct oak_clock *clock = &w->replica->options.loop->clock;
    struct oak_wal *wal = w->replica->wal;
    int error = 0;
    for (size_t i = 0; error == 0 && i < w->away.count; i++) {
        error = oak_wal_append(wal, &w->away.records[i]);
    }
    w->sync_ns = 0;
    if (error == 0 && w->away.count > 0) {
        uint64_t start = clock->mono_ns(clock->user);
        error = oak_wal_commit(wal);
        w->sync_ns = clock->mono_ns(clock->user) - start;
    }
    if (error == 0 && w->away_release != 0) {
        error = oak_wal_release(wal, w->replica->options.group, w->away_release);
    }
    if (error == 0 && w->away_prepare) {
        error = oak_wal_prepare(wal);
        error = error == OAK_ENOSPC ? 0 : error; /* no spare segment: the log goes on without */
    }
    w->error = error;
    const struct oak_exec *loop = &w->replica->options.loop->exec;
    loop->post(loop->user, &w->back);
}

static void sync_note(struct oak_replica *r, uint64_t ns)
{
    size_t bucket = 0;
    while (bucket + 1 < OAK_REPLICA_SYNC_BUCKETS && ns > (1000000ull << bucket)) {
        bucket++;
    }
    r->sync_histogram[bucket]++;
    r->counters.syncs++;
    r->counters.sync_ns_total += ns;
}

static void writer_back(struct oak_task *task)
{
    struct writer *w = OAK_CONTAINER_OF(task, struct writer, back);
    struct oak_replica *r = w->replica;
    OAK_ASSERT(w->busy);
    w->busy = false;
    if (w->error != 0) {
        replica__fatal(r, w->error, "writing the log");
    }
    uint64_t token = w->away.token;
    if (w->away.count > 0) {
        sync_note(r, w->sync_ns);
        w->written_ns = replica__now(r);
    }
    w->unproven = !w->away_prepare && (w->unproven || w->away.count > 0);
    w->away.count = 0;
    w->away.token = 0;
    w->away.must_sync = false;
    if (r->closing) {
        const struct oak_exec *loop = &r->options.loop->exec;
        replica__writer_prove(r, 0);
        if (replica__idle(r)) {
            loop->post(loop->user, &r->close_task);
        }
        return;
    }
    if (r->failed) {
        return;
    }
    if (token != 0) {
        oak_raft_persisted(r->raft, token);
        replica__install_go(r, token);
    }
    replica__pump(r);
}

void replica__writer_kick(struct oak_replica *r)
{
    struct writer *w = &r->writer;
    if (w->busy || (!w->next.must_sync && w->release == 0 && !w->prepare)) {
        return;
    }
    w->replica = r;
    w->go.run = writer_go;
    w->back.run = writer_back;
    struct writer_batch gathered = w->next;
    w->next = w->away;
    w->away = gathered;
    OAK_ASSERT_EQ(w->next.count, 0);
    w->away_release = w->release;
    w->release = 0;
    w->away_prepare = w->prepare;
    w->prepare = false;
    w->busy = true;
    r->options.log_writer.post(r->options.log_writer.user, &w->go);
}

void replica__writer_prove(struct oak_replica *r, uint64_t quiet_ns)
{
    struct writer *w = &r->writer;
    if (w->unproven && !w->busy && !r->failed && replica__now(r) - w->written_ns >= quiet_ns) {
        w->prepare = true;
        replica__writer_kick(r);
    }
}

void replica__writer_fini(struct oak_replica *r)
{
    OAK_ASSERT(!r->writer.busy);
    struct oak_alloc libc = oak_alloc_libc();
    libc.resize(libc.user, r->writer.next.records, 0);
    libc.resize(libc.user, r->writer.away.records, 0);
}
