/* SPDX-License-Identifier: Apache-2.0 */
/* libraft_bench.c: the work of raft_bench.c, done by Debian's libraft (canonical/raft): three
 * servers in one process, entries of the same size, as many a batch, applied at all three.
 *
 *     bench_libraft [ENTRY_BYTES [BATCHES]]
 *
 * Its raft_io is a table of functions. This one has a queue for a disk and a network: writes finish
 * and messages arrive when the queue is run, in order, without delay. As the interface asks, a
 * proposal's memory is handed over (one allocation an entry), and what a server receives is memory
 * of its own: one allocation for the entries and one for all their payloads. A snapshot of nothing
 * is taken every thousand entries, because only that compacts its log.
 *
 * It differs in one thing: a follower learns of a commit with the next batch, so a batch takes four
 * messages, not six. Not part of the default build: it needs libraft-dev. */
#include <raft.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERVERS   3
#define BATCH_MAX 64
#define QUEUE_MAX 1024

/* Something that has happened and is to be told. */
struct event {
    enum { SENT, RECEIVED, WRITTEN, SNAPSHOT_WRITTEN } what;
    int server; /* to whom */
    void *request;
    struct raft_message message;
};

struct world;

struct server {
    struct raft raft;
    struct raft_io io;
    struct raft_fsm fsm;
    struct world *world;
    int at;
    uint64_t applied;
    raft_io_tick_cb tick;
    raft_io_recv_cb recv;
};

struct world {
    struct server servers[SERVERS];
    struct event queue[QUEUE_MAX];
    size_t first;
    size_t count;
    raft_time now_ms;
    uint64_t messages;
    size_t entry_bytes;
};

static const char *const addresses[SERVERS] = {"1", "2", "3"};

static struct event *event_add(struct server *s, int server, void *request)
{
    struct world *w = s->world;
    if (w->count == QUEUE_MAX) {
        (void)fprintf(stderr, "the queue is full\n");
        abort();
    }
    struct event *e = &w->queue[(w->first + w->count) % QUEUE_MAX];
    w->count++;
    e->server = server;
    e->request = request;
    return e;
}

static int io_init(struct raft_io *io, raft_id id, const char *address)
{
    (void)io;
    (void)id;
    (void)address;
    return 0;
}

static void io_close(struct raft_io *io, raft_io_close_cb cb)
{
    cb(io);
}

/* Every server begins with the configuration as its first entry, as raft_bootstrap() leaves it. */
static int io_load(struct raft_io *io, raft_term *term, raft_id *voted_for,
                   struct raft_snapshot **snapshot, raft_index *start_index,
                   struct raft_entry **entries, size_t *n_entries)
{
    (void)io;
    struct raft_configuration c;
    raft_configuration_init(&c);
    *term = 1;
    *voted_for = 0;
    *snapshot = NULL;
    *start_index = 1;
    *entries = raft_calloc(1, sizeof(**entries));
    *n_entries = 1;
    int e = *entries == NULL ? RAFT_NOMEM : 0;
    for (raft_id id = 1; e == 0 && id <= SERVERS; id++) {
        e = raft_configuration_add(&c, id, addresses[id - 1], RAFT_VOTER);
    }
    if (e == 0) {
        (*entries)[0].term = 1;
        (*entries)[0].type = RAFT_CHANGE;
        e = raft_configuration_encode(&c, &(*entries)[0].buf);
        (*entries)[0].batch = (*entries)[0].buf.base;
    }
    raft_configuration_close(&c);
    return e;
}

static int io_start(struct raft_io *io, unsigned msecs, raft_io_tick_cb tick, raft_io_recv_cb recv)
{
    struct server *s = io->data;
    (void)msecs;
    s->tick = tick;
    s->recv = recv;
    return 0;
}

static int io_bootstrap(struct raft_io *io, const struct raft_configuration *conf)
{
    (void)io;
    (void)conf;
    return 0;
}

static int io_set_term(struct raft_io *io, raft_term term)
{
    (void)io;
    (void)term;
    return 0;
}

static int io_set_vote(struct raft_io *io, raft_id server_id)
{
    (void)io;
    (void)server_id;
    return 0;
}

/* The receiver owns its copy of the entries. */
static int entries_copy(struct raft_append_entries *a)
{
    const struct raft_entry *from = a->entries;
    size_t bytes = 0;
    a->entries = NULL;
    for (unsigned i = 0; i < a->n_entries; i++) {
        bytes += from[i].buf.len;
    }
    if (a->n_entries == 0) {
        return 0;
    }
    a->entries = raft_malloc(a->n_entries * sizeof(*from));
    char *batch = raft_malloc(bytes + 1);
    if (a->entries == NULL || batch == NULL) {
        return RAFT_NOMEM;
    }
    char *at = batch;
    for (unsigned i = 0; i < a->n_entries; i++) {
        a->entries[i] = from[i];
        a->entries[i].buf.base = at;
        a->entries[i].batch = batch;
        memcpy(at, from[i].buf.base, from[i].buf.len);
        at += from[i].buf.len;
    }
    return 0;
}

static int io_send(struct raft_io *io, struct raft_io_send *req, const struct raft_message *message,
                   raft_io_send_cb cb)
{
    struct server *s = io->data;
    req->cb = cb;
    s->world->messages++;
    struct event *e = event_add(s, (int)message->server_id - 1, NULL);
    e->what = RECEIVED;
    e->message = *message;
    e->message.server_id = (raft_id)s->at + 1;
    e->message.server_address = addresses[s->at];
    int error =
        message->type == RAFT_IO_APPEND_ENTRIES ? entries_copy(&e->message.append_entries) : 0;
    event_add(s, s->at, req)->what = SENT;
    return error;
}

static int io_append(struct raft_io *io, struct raft_io_append *req,
                     const struct raft_entry entries[], unsigned n, raft_io_append_cb cb)
{
    struct server *s = io->data;
    (void)entries;
    (void)n;
    req->cb = cb;
    event_add(s, s->at, req)->what = WRITTEN;
    return 0;
}

static int io_truncate(struct raft_io *io, raft_index index)
{
    (void)io;
    (void)index;
    return 0;
}

static int io_snapshot_put(struct raft_io *io, unsigned trailing, struct raft_io_snapshot_put *req,
                           const struct raft_snapshot *snapshot, raft_io_snapshot_put_cb cb)
{
    struct server *s = io->data;
    (void)trailing;
    (void)snapshot;
    req->cb = cb;
    event_add(s, s->at, req)->what = SNAPSHOT_WRITTEN;
    return 0;
}

static int io_snapshot_get(struct raft_io *io, struct raft_io_snapshot_get *req,
                           raft_io_snapshot_get_cb cb)
{
    (void)io;
    (void)req;
    (void)cb;
    return RAFT_NOTFOUND; /* nobody lags here */
}

static raft_time io_time(struct raft_io *io)
{
    struct server *s = io->data;
    return s->world->now_ms;
}

static int io_random(struct raft_io *io, int min, int max)
{
    struct server *s = io->data;
    return min + (max - min) * s->at / SERVERS; /* the first one campaigns first */
}

static int fsm_apply(struct raft_fsm *fsm, const struct raft_buffer *buf, void **result)
{
    struct server *s = fsm->data;
    (void)buf;
    *result = NULL;
    s->applied++;
    return 0;
}

static int fsm_snapshot(struct raft_fsm *fsm, struct raft_buffer *bufs[], unsigned *n_bufs)
{
    (void)fsm;
    *bufs = raft_calloc(1, sizeof(**bufs));
    *n_bufs = 1;
    if (*bufs == NULL || ((*bufs)->base = raft_calloc(1, 8)) == NULL) {
        return RAFT_NOMEM;
    }
    (*bufs)->len = 8;
    return 0;
}

static int fsm_restore(struct raft_fsm *fsm, struct raft_buffer *buf)
{
    (void)fsm;
    raft_free(buf->base);
    return 0;
}

/* Tell everything that has happened, until nothing happens any more. */
static void run(struct world *w)
{
    while (w->count > 0) {
        struct event e = w->queue[w->first];
        w->first = (w->first + 1) % QUEUE_MAX;
        w->count--;
        switch (e.what) {
        case SENT:
            ((struct raft_io_send *)e.request)->cb(e.request, 0);
            break;
        case RECEIVED:
            w->servers[e.server].recv(&w->servers[e.server].io, &e.message);
            break;
        case WRITTEN:
            ((struct raft_io_append *)e.request)->cb(e.request, 0);
            break;
        case SNAPSHOT_WRITTEN:
        default:
            ((struct raft_io_snapshot_put *)e.request)->cb(e.request, 0);
            break;
        }
    }
}

static void pass(struct world *w, raft_time ms)
{
    for (raft_time i = 0; i < ms; i += 10) {
        w->now_ms += 10;
        for (int s = 0; s < SERVERS; s++) {
            w->servers[s].tick(&w->servers[s].io);
        }
        run(w);
    }
}

static int server_start(struct world *w, int at)
{
    struct server *s = &w->servers[at];
    s->world = w;
    s->at = at;
    s->fsm = (struct raft_fsm){.version = 1,
                               .data = s,
                               .apply = fsm_apply,
                               .snapshot = fsm_snapshot,
                               .restore = fsm_restore};
    s->io = (struct raft_io){.version = 1,
                             .data = s,
                             .init = io_init,
                             .close = io_close,
                             .load = io_load,
                             .start = io_start,
                             .bootstrap = io_bootstrap,
                             .recover = io_bootstrap,
                             .set_term = io_set_term,
                             .set_vote = io_set_vote,
                             .send = io_send,
                             .append = io_append,
                             .truncate = io_truncate,
                             .snapshot_put = io_snapshot_put,
                             .snapshot_get = io_snapshot_get,
                             .time = io_time,
                             .random = io_random};
    int e = raft_init(&s->raft, &s->io, &s->fsm, (raft_id)at + 1, addresses[at]);
    if (e == 0) {
        raft_set_snapshot_threshold(&s->raft, 1000);
        raft_set_snapshot_trailing(&s->raft, 1000);
        raft_set_pre_vote(&s->raft, true);
        e = raft_start(&s->raft);
    }
    return e;
}

static void applied(struct raft_apply *req, int status, void *result)
{
    (void)result;
    if (status != 0) {
        (void)fprintf(stderr, "a proposal failed: %s\n", raft_strerror(status));
        abort();
    }
    *(bool *)req->data = true;
}

/* One batch: allocated and filled as its owner would, proposed, and run until it is applied. */
static int batch_run(struct world *w, const char *payload, unsigned n)
{
    struct raft_buffer bufs[BATCH_MAX];
    bool done = false;
    struct raft_apply req = {.data = &done};
    for (unsigned i = 0; i < n; i++) {
        bufs[i].len = w->entry_bytes;
        bufs[i].base = raft_malloc(w->entry_bytes);
        if (bufs[i].base == NULL) {
            return 1;
        }
        memcpy(bufs[i].base, payload, w->entry_bytes);
    }
    if (raft_apply(&w->servers[0].raft, &req, bufs, n, applied) != 0) {
        return 1;
    }
    run(w);
    return done ? 0 : 1;
}

static double cpu_now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int measure(struct world *w, unsigned batch, uint64_t batches)
{
    char *payload = calloc(1, w->entry_bytes + 1);
    uint64_t before = w->servers[0].applied;
    int failed = payload == NULL;
    w->messages = 0;
    double start = cpu_now();
    for (uint64_t b = 0; failed == 0 && b < batches; b++) {
        failed = batch_run(w, payload, batch);
    }
    double seconds = cpu_now() - start;
    uint64_t messages = w->messages;
    pass(w, 300); /* the followers hear of the last commit */
    uint64_t entries = w->servers[0].applied - before;
    free(payload);
    if (failed || entries != batches * batch || w->servers[1].applied != w->servers[0].applied ||
        w->servers[2].applied != w->servers[0].applied) {
        (void)fprintf(stderr, "not all was applied\n");
        return 1;
    }
    (void)printf("%4u entries of %zu bytes a batch: %6.0f ns an entry, %6.0f ns a batch, "
                 "%.1f messages a batch\n",
                 batch, w->entry_bytes, seconds * 1e9 / (double)entries,
                 seconds * 1e9 / (double)batches, (double)messages / (double)batches);
    return 0;
}

int main(int argc, char **argv)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return 1;
    }
    w->entry_bytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 256;
    uint64_t batches = argc > 2 ? strtoull(argv[2], NULL, 10) : 20000;
    for (int s = 0; s < SERVERS; s++) {
        if (server_start(w, s) != 0) {
            (void)fprintf(stderr, "a server doesn't start: %s\n", w->servers[s].raft.errmsg);
            return 1;
        }
    }
    pass(w, 5000);
    if (raft_state(&w->servers[0].raft) != RAFT_LEADER) {
        (void)fprintf(stderr, "the first server doesn't lead\n");
        return 1;
    }
    /* The servers end with the process: closing them is not what is measured. */
    return measure(w, 1, batches) || measure(w, 8, batches) || measure(w, BATCH_MAX, batches);
}
