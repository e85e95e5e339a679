/* SPDX-License-Identifier: Apache-2.0 */
/* journal.c: batches of log records of all groups, between the loop and the log writer.
 *
 * Happy path   1 records gather in `next`
 *              2 swap to `away`, post
 *              3 (log writer) append all, one write, one sync, then release what is needed no more
 *              4 back on the loop: each group that had something in it is told
 *              5 whatever gathered meanwhile goes next
 * Can fail     any error of the log, and then for good: a failed write or sync leaves unknown what
 *              is on disk.
 * Invariants   one batch is away at a time; a group's records are in `away` only while it is
 *              `away`.
 * Threads      the loop's; `away`, `prepare_away`, `away_error` and `sync_ns` are the log writer's
 *              while busy.
 */
#include "journal/journal.h"

#include "base/zoo.h"

#include <stdio.h>

#define LOOK_NS  1000000000ull
#define RETRY_NS 100000000ull

struct released {
    uint64_t group;
    uint64_t index;
};

struct batch {
    struct oak_wal_record *records;
    size_t count;
    size_t capacity;
    struct released *released; /* room for every group that has joined */
    size_t released_count;
    size_t released_capacity;
};

struct oak_journal {
    struct oak_journal_options options;
    struct oak_wal *wal;
    char *dir;
    struct oak_task go;   /* runs on the log writer */
    struct oak_task back; /* runs on the loop */
    struct oak_task end;
    struct oak_list groups;
    size_t group_count;
    struct batch next;
    struct batch away;
    bool wanted;  /* `next` has something that must be synced */
    bool prepare; /* put an empty batch behind the last one */
    bool prepare_away;
    bool unproven; /* the last batch has none behind it */
    bool busy;
    size_t appended; /* of `away`, when the rest waits for space; the log writer's while busy */
    bool look;       /* at the space that is left */
    bool look_away;
    bool giving_up;
    bool scrub;
    bool scrub_away;
    int scrub_error; /* the log writer's while busy, as the next two */
    struct oak_errbuf scrub_text;
    uint64_t scrub_passes;
    uint64_t scrubbed_ns;
    uint64_t scrub_rested; /* behind this pass */
    uint64_t scrub_begun_ns;
    uint64_t looked_ns;
    uint64_t free_bytes; /* the log writer's while busy */
    bool closing;
    int error;      /* of the log: it is at its end */
    int away_error; /* of the batch that is away */
    uint64_t written_ns;
    uint64_t sync_ns;
    struct oak_journal_stats stats;
    void (*closed)(void *user);
    void *closed_user;
};

static uint64_t now_ns(const struct oak_journal *j)
{
    return j->options.loop->clock.mono_ns(j->options.loop->clock.user);
}

static void *resize(void *p, size_t size)
{
    struct oak_alloc libc = oak_alloc_libc();
    return libc.resize(libc.user, p, size);
}

void oak_journal_meta(uint64_t cluster, uint64_t member, uint8_t out[OAK_JOURNAL_META_BYTES])
{
    memset(out, 0, OAK_JOURNAL_META_BYTES);
    memcpy(out, "oakum2", 6);
    oak_put_u64(out + 8, cluster);
    oak_put_u64(out + 16, member);
}

int oak_journal_open(const struct oak_journal_options *options, struct oak_journal **out,
                     struct oak_errbuf *e)
{
    bool own = options->wal_dir == NULL;
    const char *base = own ? options->dir : options->wal_dir;
    size_t size = strlen(base) + sizeof("/wal");
    struct oak_journal *j = resize(NULL, sizeof(*j));
    if (j == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    *j = (struct oak_journal){
        .options = *options, .free_bytes = UINT64_MAX, .stats.free_bytes = UINT64_MAX};
    oak_list_init(&j->groups);
    j->dir = resize(NULL, size);
    if (j->dir == NULL) {
        (void)resize(j, 0);
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    snprintf(j->dir, size, "%s%s", base, own ? "/wal" : "");
    uint8_t meta[OAK_JOURNAL_META_BYTES];
    oak_journal_meta(options->cluster, options->member, meta);
    const struct oak_wal_options wal = {
        .disk = options->disk,
        .log = options->log,
        .dir = j->dir,
        .meta = oak_bytes(meta, sizeof(meta)),
        .segment_bytes = options->segment_bytes,
        .no_sync = options->no_sync,
        .applied = options->applied,
        .user = options->user,
    };
    int error = oak_wal_open(&wal, &j->wal, e);
    if (error != 0) {
        (void)resize(j->dir, 0);
        (void)resize(j, 0);
        return error;
    }
    *out = j;
    return 0;
}

const struct oak_wal_group *oak_journal_recovered(const struct oak_journal *j, uint64_t group)
{
    size_t count;
    const struct oak_wal_group *groups = oak_wal_recovered(j->wal, &count);
    for (size_t i = 0; i < count; i++) {
        if (groups[i].group == group) {
            return &groups[i];
        }
    }
    return NULL;
}

void oak_journal_recovered_drop(struct oak_journal *j)
{
    oak_wal_recovered_drop(j->wal);
}

bool oak_journal_created(const struct oak_journal *j)
{
    struct oak_wal_stats stats;
    oak_wal_stats(j->wal, &stats);
    return stats.created;
}

const char *oak_journal_dir(const struct oak_journal *j)
{
    return j->dir;
}

bool oak_journal_no_sync(const struct oak_journal *j)
{
    return j->options.no_sync;
}

const struct oak_journal_stats *oak_journal_stats(const struct oak_journal *j)
{
    return &j->stats;
}

/* -- groups ------------------------------------------------------------------------------------ */

void oak_journal_join(struct oak_journal *j, struct oak_journal_group *g)
{
    OAK_ASSERT(g->durable != NULL);
    OAK_ASSERT(!j->closing);
    g->link = (struct oak_list){0};
    g->back = (struct oak_list){0};
    oak_list_push(&j->groups, &g->link);
    j->group_count++;
}

bool oak_journal_busy(const struct oak_journal_group *g)
{
    return g->away;
}

void oak_journal_leave(struct oak_journal *j, struct oak_journal_group *g)
{
    OAK_ASSERT(!g->away);
    size_t kept = 0;
    for (size_t i = 0; i < j->next.count; i++) {
        if (j->next.records[i].group != g->group) {
            j->next.records[kept++] = j->next.records[i];
        }
    }
    j->next.count = kept;
    g->release = 0;
    if (oak_list_linked(&g->back)) {
        oak_list_remove(&g->back);
    }
    oak_list_remove(&g->link);
    OAK_ASSERT_GT(j->group_count, 0u);
    j->group_count--;
}

int oak_journal_add(struct oak_journal *j, struct oak_journal_group *g,
                    const struct oak_wal_record *record)
{
    struct batch *b = &j->next;
    OAK_ASSERT_EQ(record->group, g->group);
    OAK_ASSERT(!j->closing);
    if (j->error != 0) {
        return OAK_EFATAL;
    }
    if (b->count == b->capacity) {
        size_t capacity = OAK_MAX((size_t)64, b->capacity * 2);
        void *grown = resize(b->records, capacity * sizeof(*b->records));
        if (grown == NULL) {
            return OAK_ENOMEM;
        }
        b->records = grown;
        b->capacity = capacity;
    }
    b->records[b->count++] = *record;
    return 0;
}

void oak_journal_mark(struct oak_journal *j, struct oak_journal_group *g, uint64_t token,
                      bool must_sync)
{
    OAK_ASSERT_GT(token, g->token_last);
    g->token_last = token;
    g->token_next = token;
    j->wanted = j->wanted || must_sync;
}

void oak_journal_release(struct oak_journal *j, struct oak_journal_group *g, uint64_t index)
{
    g->release = OAK_MAX(g->release, index);
    j->wanted = true;
}

/* -- on the log writer ------------------------------------------------------------------------- */

static int commit(struct oak_journal *j)
{
    const struct oak_clock *clock = &j->options.loop->clock;
    uint64_t start = clock->mono_ns(clock->user);
    int error = oak_wal_commit(j->wal);
    j->sync_ns += clock->mono_ns(clock->user) - start;
    return error;
}

static int write_all(struct oak_journal *j)
{
    const struct batch *b = &j->away;
    for (; j->appended < b->count; j->appended++) {
        size_t i = j->appended;
        int error = oak_wal_append(j->wal, &b->records[i]);
        if (error == OAK_ELIMIT && i > 0) {
            /* More groups than one batch has room for: in two. */
            error = commit(j);
            error = error != 0 ? error : oak_wal_append(j->wal, &b->records[i]);
        }
        if (error != 0) {
            return error;
        }
    }
    return b->count > 0 ? commit(j) : 0;
}

/* What one look reads: the rate's share, in whole sectors. */
static size_t scrub_step(const struct oak_journal *j)
{
    uint64_t rate = OAK_MIN(j->options.scrub_rate, (uint64_t)OAK_SCRUB_BYTES_A_SECOND_MAX);
    return (size_t)OAK_MAX(rate * OAK_SCRUB_STEP_MS / 1000, (uint64_t)(4 * OAK_KIB));
}

static void writer_go(struct oak_task *task)
{
    struct oak_journal *j = OAK_CONTAINER_OF(task, struct oak_journal, go);
    j->sync_ns = 0;
    const struct oak_disk *disk = j->options.disk;
    uint64_t segment =
        j->options.segment_bytes != 0 ? j->options.segment_bytes : OAK_WAL_SEGMENT_BYTES;
    if (j->look_away && disk->space != NULL &&
        disk->space(disk->user, j->dir, &j->free_bytes) != 0) {
        j->free_bytes = UINT64_MAX; /* then it is the writes that tell */
    }
    int error = j->stats.full && j->free_bytes < segment ? OAK_ENOSPC : write_all(j);
    for (size_t i = 0; error == 0 && i < j->away.released_count; i++) {
        error = oak_wal_release(j->wal, j->away.released[i].group, j->away.released[i].index);
    }
    if (error == 0 && j->prepare_away) {
        error = oak_wal_prepare(j->wal);
        error = error == OAK_ENOSPC ? 0 : error; /* no spare segment: the log goes on without */
    }
    if (error == 0 && j->scrub_away) {
        struct oak_wal_stats stats;
        j->scrub_error = oak_wal_scrub(j->wal, scrub_step(j), &j->scrub_text);
        oak_wal_stats(j->wal, &stats);
        j->scrub_passes = stats.scrubs;
    }
    j->away_error = error;
    const struct oak_exec *loop = &j->options.loop->exec;
    loop->post(loop->user, &j->back);
}

/* -- on the loop ------------------------------------------------------------------------------- */

static void sync_note(struct oak_journal *j)
{
    size_t bucket = 0;
    while (bucket + 1 < OAK_JOURNAL_BUCKETS && j->sync_ns > (1000000ull << bucket)) {
        bucket++;
    }
    j->stats.histogram[bucket]++;
    j->stats.syncs++;
    j->stats.sync_ns_total += j->sync_ns;
    j->stats.sync_ns_last = j->sync_ns;
    j->written_ns = now_ns(j);
}

static void end_run(struct oak_task *task)
{
    struct oak_journal *j = OAK_CONTAINER_OF(task, struct oak_journal, end);
    OAK_ASSERT(!j->busy);
    void (*closed)(void *user) = j->closed;
    void *user = j->closed_user;
    oak_wal_close(j->wal);
    (void)resize(j->next.records, 0);
    (void)resize(j->next.released, 0);
    (void)resize(j->away.records, 0);
    (void)resize(j->away.released, 0);
    (void)resize(j->dir, 0);
    (void)resize(j, 0);
    closed(user);
}

static void end_check(struct oak_journal *j)
{
    if (j->error == 0) {
        oak_journal_prove(j, 0);
    }
    if (!j->busy) {
        j->end.run = end_run;
        j->options.loop->exec.post(j->options.loop->exec.user, &j->end);
    }
}

/* What the log writer has seen of the space that is left. */
static void space_note(struct oak_journal *j)
{
    struct oak_journal_stats *s = &j->stats;
    bool full = j->error == OAK_ENOSPC;
    s->free_bytes = j->free_bytes;
    if (full != s->full) {
        oak_log(j->options.log, full ? OAK_LOG_ERROR : OAK_LOG_WARN,
                full ? "no space left on the device of %s: what is to be written waits for it"
                     : "there is space again on the device of %s: what waited is written",
                j->dir);
        s->full = full;
    }
    uint64_t enough = s->scarce ? OAK_DISK_RELIEF_BYTES : OAK_DISK_RESERVE_BYTES;
    bool scarce = full || j->free_bytes < enough;
    if (scarce != s->scarce) {
        oak_log(j->options.log, scarce ? OAK_LOG_ERROR : OAK_LOG_WARN,
                scarce ? "alarm NOSPACE: %llu bytes are left for %s: new writes are refused"
                       : "alarm NOSPACE is over: %llu bytes are left for %s",
                (unsigned long long)j->free_bytes, j->dir);
        s->scarce = scarce;
    }
}

/* Damage that the scrub has found ends the process when others can repair it: the next start does,
 * as any start would. A log that is alone works on: it would not start again. */
static void scrub_note(struct oak_journal *j)
{
    bool damage = j->scrub_error != 0 && j->scrub_error != OAK_ENOMEM;
    j->scrub_away = false;
    if (j->scrub_passes > j->stats.scrubs) {
        j->stats.scrub_ns = now_ns(j) - j->scrub_begun_ns;
    }
    j->stats.scrubs = j->scrub_passes;
    if (damage && !j->stats.damaged) {
        j->stats.damaged = true;
        oak_log(j->options.log, OAK_LOG_ERROR, "damage in the log: %s", j->scrub_text.text);
        if (j->options.applied != NULL && j->error == 0) {
            j->error = OAK_EFATAL;
        }
    }
}

static void writer_back(struct oak_task *task)
{
    struct oak_journal *j = OAK_CONTAINER_OF(task, struct oak_journal, back);
    OAK_ASSERT(j->busy);
    j->busy = false;
    j->error = j->away_error;
    scrub_note(j);
    space_note(j);
    if (j->error == OAK_ENOSPC && !j->giving_up && !j->closing) {
        j->error = 0;
        return; /* nothing of it was written: it stays away, and a tick tries it again */
    }
    if (j->away.count > 0) {
        sync_note(j);
    }
    j->unproven = !j->prepare_away && (j->unproven || j->away.count > 0);
    j->away.count = 0;
    j->away.released_count = 0;
    j->appended = 0;
    if (j->closing) {
        end_check(j);
        return;
    }
    /* A group that is told may begin the next batch: all of this one are taken down first. */
    struct oak_list told;
    oak_list_init(&told);
    for (struct oak_list *at = j->groups.next; at != &j->groups; at = at->next) {
        struct oak_journal_group *g = OAK_LIST_ENTRY(at, struct oak_journal_group, link);
        if (g->away || j->error != 0) {
            g->away = false;
            g->token_back = g->token_away;
            g->token_away = 0;
            oak_list_push(&told, &g->back);
        }
    }
    while (!oak_list_empty(&told)) {
        struct oak_journal_group *g =
            OAK_LIST_ENTRY(oak_list_pop(&told), struct oak_journal_group, back);
        bool early = OAK_BUG(journal_tells_next) && g->token_away != 0;
        uint64_t token = early ? g->token_away : g->token_back;
        g->durable(g, j->error == 0 ? token : 0, j->error);
    }
    oak_journal_kick(j);
}

/* Room for what every group may release, before anything is moved. */
static bool released_reserve(struct oak_journal *j)
{
    struct batch *b = &j->next;
    if (j->group_count > b->released_capacity) {
        void *grown = resize(b->released, j->group_count * sizeof(*b->released));
        if (grown == NULL) {
            return false; /* they go another time */
        }
        b->released = grown;
        b->released_capacity = j->group_count;
    }
    return true;
}

static void groups_take(struct oak_journal *j)
{
    struct batch *b = &j->next;
    bool room = released_reserve(j);
    for (struct oak_list *at = j->groups.next; at != &j->groups; at = at->next) {
        struct oak_journal_group *g = OAK_LIST_ENTRY(at, struct oak_journal_group, link);
        if (g->token_next != 0) {
            g->token_away = g->token_next;
            g->token_next = 0;
            g->away = true;
        }
        if (g->release != 0 && room) {
            b->released[b->released_count++] =
                (struct released){.group = g->group, .index = g->release};
            g->release = 0;
        }
    }
}

static void away_post(struct oak_journal *j)
{
    OAK_ASSERT(!j->busy);
    j->look_away = j->look;
    j->look = false;
    j->scrub_away = j->scrub && j->away.count == 0;
    j->scrub = j->scrub && !j->scrub_away;
    j->busy = true;
    j->go.run = writer_go;
    j->back.run = writer_back;
    j->options.writer.post(j->options.writer.user, &j->go);
}

void oak_journal_kick(struct oak_journal *j)
{
    if (j->busy || j->error != 0) {
        return;
    }
    if (j->stats.full) {
        if (j->look) {
            away_post(j); /* the same batch */
        }
        return;
    }
    if (!j->wanted && !j->prepare) {
        if (j->look || j->scrub) {
            j->prepare_away = false;
            away_post(j); /* nothing is away: only the look, or the scrub */
        }
        return;
    }
    groups_take(j);
    struct batch gathered = j->next;
    j->next = j->away;
    j->away = gathered;
    OAK_ASSERT_EQ(j->next.count, 0u);
    j->wanted = false;
    j->prepare_away = j->prepare;
    j->prepare = false;
    away_post(j);
}

static void scrub_tick(struct oak_journal *j)
{
    uint64_t passes = j->stats.scrubs;
    uint64_t pause_ms = passes > j->scrub_rested ? j->options.scrub_rest_ms : OAK_SCRUB_STEP_MS;
    if (j->options.scrub_rate == 0 || j->stats.damaged || j->busy ||
        now_ns(j) - j->scrubbed_ns < 1000000ull * pause_ms) {
        return;
    }
    if (passes > j->scrub_rested || j->scrub_begun_ns == 0) {
        j->scrub_begun_ns = now_ns(j);
    }
    j->scrub_rested = passes;
    j->scrubbed_ns = now_ns(j);
    j->scrub = true;
    oak_journal_kick(j);
}

void oak_journal_tick(struct oak_journal *j)
{
    scrub_tick(j);
    /* A look costs a system call on the writer's thread; what waits for space waits not long. */
    uint64_t pause = j->stats.full ? RETRY_NS : LOOK_NS;
    if (j->options.disk->space == NULL && !j->stats.full) {
        return; /* nobody can say */
    }
    if (now_ns(j) - j->looked_ns >= pause) {
        j->looked_ns = now_ns(j);
        j->look = true;
        oak_journal_kick(j);
    }
}

void oak_journal_give_up(struct oak_journal *j)
{
    if (j->stats.full) {
        j->giving_up = true;
        j->look = true;
        oak_journal_kick(j);
    }
}

void oak_journal_prove(struct oak_journal *j, uint64_t quiet_ns)
{
    if (j->unproven && !j->busy && j->error == 0 && now_ns(j) - j->written_ns >= quiet_ns) {
        j->prepare = true;
        oak_journal_kick(j);
    }
}

void oak_journal_close(struct oak_journal *j, void (*closed)(void *user), void *user)
{
    OAK_ASSERT(!j->closing);
    OAK_ASSERT_EQ(j->group_count, 0u);
    j->closing = true;
    j->closed = closed;
    j->closed_user = user;
    if (!j->busy) {
        end_check(j);
    }
}
