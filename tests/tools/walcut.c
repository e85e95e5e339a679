/* SPDX-License-Identifier: Apache-2.0 */
/* walcut.c: a power cut within the last write of a log, at every byte of it.
 *
 *     walcut DATA_DIR CLUSTER MEMBER SEGMENT BEFORE START END
 *
 * DATA_DIR is a copy that may be changed. SEGMENT is the file of its log that holds the last batch,
 * from START to END; the batch before begins at BEFORE. CLUSTER and MEMBER are the ids, in
 * hexadecimal. For each byte k of the batch, all from k on is replaced, by zeros, and at each
 * sector's ends and every eighth byte also by noise, as a recycled file has it; then the log is
 * opened. It must hold what it held with the batch or what it held without it, nothing else, or be
 * refused with a message that names file, offset and what to do. Now and then a whole replica
 * recovers from it (with an empty store: the log reaches back to the beginning) and must end at the
 * same entry.
 *
 * At the end a line of JSON on stdout. Code 1: something else came out; stderr tells what.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "replica/replica.h"
#include "wal/wal.h"

#define REPLICA_EVERY 128

struct entry {
    uint64_t index;
    uint64_t term;
    uint32_t crc;
};

struct cutter {
    const struct oak_disk *disk;
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_os_actor *log_writer;
    struct oak_os_actor *worker;
    const char *dir;
    char wal_dir[1024];
    char file[1200];
    uint64_t cluster, member;
    uint64_t before, start, end;
    uint8_t *bytes; /* of the file as it was, from `before` to `end` and a sector behind it */
    size_t size;
    uint8_t *batch; /* as the cut leaves it */
    struct oak_prng prng;
    struct entry *entries; /* of the whole log */
    size_t whole_count;
    size_t without_count;
    uint64_t cuts, whole, without, refused, replicas;
    char refusal[512];
    bool closed;
};

static bool complain(const struct cutter *c, uint64_t at, const char *what)
{
    fprintf(stderr, "walcut: %s cut at %" PRIu64 ": %s\n", c->file, at, what);
    return false;
}

/* -- the file ---------------------------------------------------------------------------------- */

static bool file_io(struct cutter *c, bool write, uint64_t offset, uint8_t *data, size_t size)
{
    struct oak_file *file;
    size_t got = size;
    if (c->disk->open(c->disk->user, c->file, OAK_FILE_WRITE, &file) != 0) {
        return complain(c, offset, "the file can't be opened");
    }
    int error = write ? c->disk->write(c->disk->user, file, offset, data, size)
                      : c->disk->read(c->disk->user, file, offset, data, size, &got);
    c->disk->close(c->disk->user, file);
    return error == 0 && got == size ? true : complain(c, offset, "the file can't be used");
}

static bool file_restore(struct cutter *c)
{
    return file_io(c, true, c->before, c->bytes, c->size);
}

static bool file_cut(struct cutter *c, uint64_t at, bool noise)
{
    size_t size = (size_t)(c->end - c->start);
    size_t keep = (size_t)(at - c->start);
    memcpy(c->batch, c->bytes + (c->start - c->before), keep);
    memset(c->batch + keep, 0, size - keep);
    for (size_t i = keep; noise && i < size; i++) {
        c->batch[i] = (uint8_t)oak_prng_u64(&c->prng);
    }
    return file_io(c, true, c->start, c->batch, size);
}

/* -- the log ----------------------------------------------------------------------------------- */

static int log_open(struct cutter *c, struct oak_wal **out, struct oak_errbuf *e)
{
    /* The same identity as the replica writes: see META in replica/recover.c. */
    uint8_t meta[OAK_JOURNAL_META_BYTES];
    oak_journal_meta(c->cluster, c->member, meta);
    const struct oak_wal_options options = {
        .disk = c->disk, .dir = c->wal_dir, .meta = oak_bytes(meta, sizeof(meta))};
    return oak_wal_open(&options, out, e);
}

static struct entry entry_of(const struct oak_wal_record *r)
{
    return (struct entry){
        .index = r->index, .term = r->term, .crc = oak_crc32c(0, r->data.data, r->data.size)};
}

static bool log_learn(struct cutter *c)
{
    struct oak_wal *wal;
    struct oak_errbuf e = {.text = ""};
    size_t count = 0;
    if (log_open(c, &wal, &e) != 0) {
        return complain(c, c->end, e.text);
    }
    const struct oak_wal_group *groups = oak_wal_recovered(wal, &count);
    bool good = count == 1 && groups[0].entry_count > 0;
    if (good) {
        c->whole_count = groups[0].entry_count;
        c->entries = calloc(c->whole_count, sizeof(*c->entries));
        good = c->entries != NULL;
    }
    for (size_t i = 0; good && i < c->whole_count; i++) {
        c->entries[i] = entry_of(&groups[0].entries[i]);
    }
    oak_wal_close(wal);
    return good ? true : complain(c, c->end, "the log holds no entries of one group");
}

static bool is_prefix(const struct cutter *c, const struct oak_wal_group *g)
{
    for (size_t i = 0; i < g->entry_count && i < c->whole_count; i++) {
        struct entry found = entry_of(&g->entries[i]);
        const struct entry *wanted = &c->entries[i];
        if (found.index != wanted->index || found.term != wanted->term ||
            found.crc != wanted->crc) {
            return false;
        }
    }
    return g->entry_count <= c->whole_count;
}

static bool refusal_note(struct cutter *c, uint64_t at, const char *text)
{
    bool good = strstr(text, c->wal_dir) != NULL && strstr(text, "offset") != NULL;
    c->refused++;
    snprintf(c->refusal, sizeof(c->refusal), "%s", text);
    return good ? true : complain(c, at, text);
}

/* Open the log as the cut has left it. *count: the entries that are there. */
static bool log_judge(struct cutter *c, uint64_t at, size_t *count)
{
    struct oak_wal *wal;
    struct oak_errbuf e = {.text = ""};
    size_t groups = 0;
    *count = SIZE_MAX;
    int error = log_open(c, &wal, &e);
    if (error == OAK_ECORRUPT) {
        return refusal_note(c, at, e.text);
    }
    if (error != 0) {
        return complain(c, at, e.text);
    }
    const struct oak_wal_group *g = oak_wal_recovered(wal, &groups);
    bool prefix = groups == 1 && is_prefix(c, &g[0]);
    *count = groups == 1 ? g[0].entry_count : 0;
    oak_wal_close(wal);
    if (!prefix) {
        return complain(c, at, "an entry is not the one that was written");
    }
    if (at == c->start) {
        c->without_count = *count;
    }
    c->whole += *count == c->whole_count ? 1 : 0;
    c->without += *count == c->without_count ? 1 : 0;
    return *count == c->whole_count || *count == c->without_count
               ? true
               : complain(c, at, "a part of the batch is there");
}

/* -- a replica --------------------------------------------------------------------------------- */

static void frame_send(void *user, uint64_t to, bool bulk, struct oak_bytes frame)
{
    (void)user;
    (void)to;
    (void)bulk;
    (void)frame;
}

static void on_fatal(void *user, int error, const char *text)
{
    struct cutter *c = user;
    (void)error;
    complain(c, 0, text);
    exit(1);
}

static void on_closed(void *user)
{
    struct cutter *c = user;
    c->closed = true;
    oak_os_loop_stop(c->os);
}

static void closed_wait(struct cutter *c)
{
    while (!c->closed) {
        oak_os_loop_run(c->os);
    }
    c->closed = false;
}

static bool replica_judge(struct cutter *c, uint64_t at, size_t count)
{
    struct oak_store *store;
    struct oak_journal *journal = NULL;
    struct oak_replica *replica;
    struct oak_errbuf e = {.text = ""};
    const struct oak_log quiet = {.level = OAK_LOG_ERROR};
    char store_dir[1200];
    snprintf(store_dir, sizeof(store_dir), "%s/memory", c->dir);
    const struct oak_store_options store_options = {
        .disk = c->disk, .log = &quiet, .dir = store_dir, .group = 1};
    if (oak_store_open_memory(&store_options, &store, &e) != 0) {
        return complain(c, at, e.text);
    }
    const struct oak_journal_options journal_options = {
        .loop = c->loop,
        .writer = oak_os_actor_exec(c->log_writer),
        .disk = c->disk,
        .log = &quiet,
        .dir = c->dir,
        .cluster = c->cluster,
        .member = c->member,
    };
    if (oak_journal_open(&journal_options, &journal, &e) != 0) {
        oak_store_close(store);
        return complain(c, at, e.text);
    }
    struct oak_replica_options options = {
        .cluster = c->cluster,
        .id = c->member,
        .group = 1,
        .name = "walcut",
        .loop = c->loop,
        .journal = journal,
        .worker = oak_os_actor_exec(c->worker),
        .disk = c->disk,
        .dir = c->dir,
        .store = store,
        .transport = {.send = frame_send},
        .log = &quiet,
        .fatal = on_fatal,
        .user = c,
    };
    options.bootstrap.voters[options.bootstrap.voter_count++] = c->member;
    bool good = oak_replica_open(&options, &replica, &e) == 0;
    oak_journal_recovered_drop(journal);
    if (good) {
        struct oak_replica_status status;
        oak_replica_status(replica, &status);
        good = status.raft.last == c->entries[count - 1].index;
        snprintf(e.text, sizeof(e.text), "a replica ends at another index");
        oak_replica_close(replica, on_closed, c);
        closed_wait(c);
    }
    oak_journal_close(journal, on_closed, c);
    closed_wait(c);
    oak_store_close(store);
    c->replicas++;
    return good ? true : complain(c, at, e.text);
}

/* -- all cuts ---------------------------------------------------------------------------------- */

static bool cut_once(struct cutter *c, uint64_t at, bool noise)
{
    size_t count = 0;
    bool good = file_cut(c, at, noise) && log_judge(c, at, &count);
    if (good && count != SIZE_MAX && c->cuts % REPLICA_EVERY == 0) {
        good = replica_judge(c, at, count);
    }
    c->cuts++;
    return file_restore(c) && good;
}

static bool cut_all(struct cutter *c)
{
    for (uint64_t at = c->start; at <= c->end; at++) {
        uint64_t in_sector = at % 512;
        if (!cut_once(c, at, false)) {
            return false;
        }
        if ((in_sector < 2 || in_sector == 511 || at % 8 == 0) && !cut_once(c, at, true)) {
            return false;
        }
    }
    return true;
}

static bool hex(const char *text, uint64_t *out)
{
    return sscanf(text, "%" SCNx64, out) == 1;
}

static bool cutter_make(struct cutter *c, char *const *argv)
{
    c->dir = argv[1];
    snprintf(c->wal_dir, sizeof(c->wal_dir), "%s/wal", c->dir);
    snprintf(c->file, sizeof(c->file), "%s/%s", c->wal_dir, argv[4]);
    bool good = hex(argv[2], &c->cluster) && hex(argv[3], &c->member) &&
                sscanf(argv[5], "%" SCNu64, &c->before) == 1 &&
                sscanf(argv[6], "%" SCNu64, &c->start) == 1 &&
                sscanf(argv[7], "%" SCNu64, &c->end) == 1 && c->before < c->start &&
                c->start < c->end && c->end < 64 * OAK_MIB;
    if (!good) {
        return complain(c, 0, "numbers");
    }
    c->disk = oak_os_disk();
    c->size = (size_t)(c->end - c->before) + 512;
    c->bytes = malloc(c->size);
    c->batch = malloc((size_t)(c->end - c->start));
    oak_prng_init(&c->prng, 1);
    return c->bytes != NULL && c->batch != NULL && oak_os_loop_new(&c->os) == 0 &&
           oak_os_actor_new("log", &c->log_writer) == 0 &&
           oak_os_actor_new("worker", &c->worker) == 0 && log_learn(c) &&
           file_io(c, false, c->before, c->bytes, c->size);
}

int main(int argc, char **argv)
{
    static struct cutter c;
    if (argc != 8) {
        fprintf(stderr, "walcut DATA_DIR CLUSTER MEMBER SEGMENT BEFORE START END\n");
        return 2;
    }
    if (!cutter_make(&c, argv)) {
        return 1;
    }
    c.loop = oak_os_loop_port(c.os);
    bool good = cut_all(&c);
    printf("{\"cuts\":%" PRIu64 ",\"whole\":%" PRIu64 ",\"without\":%" PRIu64
           ",\"refused\":%" PRIu64 ",\"replicas\":%" PRIu64
           ",\"entries\":%zu,\"in_batch\":%zu,\"refusal\":\"%s\"}\n",
           c.cuts, c.whole, c.without, c.refused, c.replicas, c.whole_count,
           c.whole_count - c.without_count, c.refusal);
    oak_os_actor_close(c.log_writer);
    oak_os_actor_close(c.worker);
    oak_os_loop_free(c.os);
    free(c.entries);
    free(c.bytes);
    free(c.batch);
    return good ? 0 : 1;
}
