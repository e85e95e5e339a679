/* SPDX-License-Identifier: Apache-2.0 */
/* model_fixture.h: a history that is kept whole, streams that are slow, and what each watcher must
 * have been sent, by going through all of the history for each: nothing clever. */
#ifndef OAK_WATCH_MODEL_FIXTURE_H
#define OAK_WATCH_MODEL_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "proto/proto.h"
#include "watch/internal.h"

#define KEYS         14
#define HISTORY_MAX  60000
#define STREAMS      6
#define WATCHERS_MAX 4000

struct model_change {
    int64_t revision;
    int key;
    bool deleted;
    int64_t create, version;
    int value;
    bool value_long;
};

struct model_watcher {
    bool used, dead;
    int stream;
    int64_t id;
    char key[8];
    size_t key_size;
    char end[8];
    size_t end_size;
    int64_t start;
    bool no_put, no_delete, prev_kv, fragment, progress;
    size_t at;       /* into the history: what is before was sent, or is not its affair */
    int64_t sent_to; /* nothing before this is owed */
};

struct model_stream {
    struct oak_watch_stream base;
    size_t room; /* responses that it takes before it is full */
};

struct model {
    struct oak_watch *w;
    struct oak_prng prng;
    struct model_change *history;
    size_t count;
    size_t revealed; /* of them are committed */
    int64_t revision, compacted;
    int64_t key_create[KEYS], key_version[KEYS];
    struct model_stream streams[STREAMS];
    struct model_watcher watchers[WATCHERS_MAX];
    size_t watcher_count;
    uint64_t events, cancelled;
    size_t kept;         /* bytes that are kept for others who are sent them */
    uint64_t kept_again; /* times that another was sent such */
    bool history_fails;
    /* The allocator. */
    uint64_t allocations;
    uint64_t fail_at;     /* this one and all behind it; 0: none */
    uint32_t fail_one_in; /* by chance; 0: none */
    int64_t blocks;
};

static void *model_resize(void *user, void *p, size_t size)
{
    struct model *m = user;
    if (size == 0) {
        m->blocks -= p != NULL;
        free(p);
        return NULL;
    }
    m->allocations++;
    if ((m->fail_at != 0 && m->allocations >= m->fail_at) ||
        (m->fail_one_in != 0 && oak_prng_below(&m->prng, m->fail_one_in) == 0)) {
        return NULL;
    }
    m->blocks += p == NULL;
    return realloc(p, size);
}

/* -- keys, values, versions -------------------------------------------------------------------- */

static const char *const model_keys[KEYS] = {"a",  "aa", "ab",  "b",    "ba", "bb", "c",
                                             "ca", "d",  "d/1", "d/22", "e",  "f",  "\xff"};

static struct oak_bytes model_value(const struct model_change *c, char *out, size_t size)
{
    int n = snprintf(out, size, "value %d", c->value);
    if (c->value_long) {
        memset(out + n, 'x', 300);
        n += 300;
    }
    return oak_bytes(out, (size_t)n);
}

static struct oak_watch_pair model_pair(const struct model_change *c, char *text, size_t size)
{
    struct oak_watch_pair pair = {.key = oak_bytes_str(model_keys[c->key]), .mod_rev = c->revision};
    if (!c->deleted) {
        pair.value = model_value(c, text, size);
        pair.create_rev = c->create;
        pair.version = c->version;
        pair.lease = c->value % 3;
    }
    return pair;
}

/* The version of a key as of a revision; NULL: it was not there. */
static const struct model_change *model_at(const struct model *m, int key, int64_t revision)
{
    for (size_t i = m->count; i-- > 0;) {
        const struct model_change *c = &m->history[i];
        if (c->key == key && c->revision <= revision) {
            return c->deleted ? NULL : c;
        }
    }
    return NULL;
}

static int model_history(void *user, int64_t from, int64_t to, oak_watch_want_fn *want,
                         oak_watch_take_fn *take, void *arg)
{
    struct model *m = user;
    char text[400];
    assert_true(from >= m->compacted);
    assert_true(to <= m->revision);
    if (m->history_fails) {
        return OAK_EIO;
    }
    for (size_t i = 0; i < m->count; i++) {
        const struct model_change *c = &m->history[i];
        if (c->revision < from || c->revision > to) {
            continue;
        }
        enum oak_watch_want w = want(arg, c->revision, oak_bytes_str(model_keys[c->key]));
        if (w == OAK_WATCH_STOP) {
            return 0;
        }
        if (w == OAK_WATCH_TAKE) {
            struct oak_watch_pair pair = model_pair(c, text, sizeof(text));
            take(arg, c->deleted, &pair);
        }
    }
    return 0;
}

static int model_history_at(void *user, struct oak_bytes key, int64_t revision,
                            struct oak_watch_pair *out)
{
    static char text[400];
    struct model *m = user;
    assert_true(revision >= m->compacted);
    for (int k = 0; k < KEYS; k++) {
        if (oak_bytes_eq(key, oak_bytes_str(model_keys[k]))) {
            const struct model_change *c = model_at(m, k, revision);
            if (c != NULL) {
                *out = model_pair(c, text, sizeof(text));
                return 0;
            }
        }
    }
    return OAK_ENOENT;
}

/* -- what a watcher is owed -------------------------------------------------------------------- */

static bool model_wants(const struct model_watcher *w, const struct model_change *c)
{
    struct oak_bytes key = oak_bytes_str(model_keys[c->key]);
    struct oak_bytes from = w->key_size == 0 ? oak_bytes("\0", 1) : oak_bytes(w->key, w->key_size);
    struct oak_bytes end = oak_bytes(w->end, w->end_size);
    bool open = w->end_size == 1 && w->end[0] == 0;
    bool in = w->end_size == 0
                  ? oak_bytes_eq(key, from)
                  : oak_bytes_cmp(key, from) >= 0 && (open || oak_bytes_cmp(key, end) < 0);
    return in && c->revision >= w->start && !(c->deleted ? w->no_delete : w->no_put);
}

/* The next change that it is owed, of those that are committed; NULL: none. */
static const struct model_change *model_owed(const struct model *m, struct model_watcher *w)
{
    while (w->at < m->revealed && !model_wants(w, &m->history[w->at])) {
        w->at++;
    }
    return w->at < m->revealed ? &m->history[w->at] : NULL;
}

static void model_event_check(const struct model *m, const struct model_watcher *w,
                              const struct model_change *c, const Mvccpb__Event *e)
{
    char text[400];
    struct oak_watch_pair pair = model_pair(c, text, sizeof(text));
    assert_int_equal(e->type, c->deleted ? MVCCPB__EVENT__EVENT_TYPE__DELETE
                                         : MVCCPB__EVENT__EVENT_TYPE__PUT);
    assert_true(oak_bytes_eq(oak_proto_bytes(e->kv->key), pair.key));
    assert_true(oak_bytes_eq(oak_proto_bytes(e->kv->value), pair.value));
    assert_int_equal(e->kv->mod_revision, c->revision);
    assert_int_equal(e->kv->create_revision, pair.create_rev);
    assert_int_equal(e->kv->version, pair.version);
    assert_int_equal(e->kv->lease, pair.lease);
    bool is_new = !c->deleted && c->create == c->revision;
    const struct model_change *before =
        w->prev_kv && !is_new ? model_at(m, c->key, c->revision - 1) : NULL;
    if (before == NULL) {
        assert_null(e->prev_kv);
        return;
    }
    if (e->prev_kv == NULL) {
        assert_true(c->revision - 1 < m->compacted); /* the only excuse */
        return;
    }
    pair = model_pair(before, text, sizeof(text));
    assert_true(oak_bytes_eq(oak_proto_bytes(e->prev_kv->value), pair.value));
    assert_int_equal(e->prev_kv->mod_revision, before->revision);
    assert_int_equal(e->prev_kv->version, before->version);
}

static struct model_watcher *model_find(struct model *m, int stream, int64_t id)
{
    for (size_t i = 0; i < m->watcher_count; i++) {
        struct model_watcher *w = &m->watchers[i];
        if (w->used && w->stream == stream && w->id == id) {
            return w;
        }
    }
    return NULL;
}

/* Bytes that several watchers are sent, as they were when the first was. */
struct model_kept {
    size_t size;
    uint8_t data[];
};

static void model_keep(struct model *m, const struct oak_watch_response *r)
{
    if (r->kept == NULL) {
        return;
    }
    if (*r->kept == NULL) {
        struct model_kept *made = malloc(sizeof(*made) + r->bytes.size);
        assert_non_null(made);
        made->size = r->bytes.size;
        memcpy(made->data, r->bytes.data, r->bytes.size);
        *r->kept = made;
        m->kept++;
        return;
    }
    const struct model_kept *kept = *r->kept;
    assert_int_equal(kept->size, r->bytes.size);
    assert_memory_equal(kept->data, r->bytes.data, kept->size);
    m->kept_again++;
}

static void model_forget(void *user, void *kept)
{
    struct model *m = user;
    assert_true(m->kept > 0);
    m->kept--;
    free(kept);
}

static bool model_send(void *user, struct oak_watch_stream *base,
                       const struct oak_watch_response *r)
{
    struct model *m = user;
    struct model_stream *s = OAK_CONTAINER_OF(base, struct model_stream, base);
    struct model_watcher *w = model_find(m, (int)(s - m->streams), r->watch_id);
    assert_non_null(w);
    assert_false(w->dead);
    if (s->room == 0) {
        return false;
    }
    s->room--;
    model_keep(m, r);
    if (r->cancelled) {
        assert_int_equal(r->compacted, m->compacted);
        assert_int_equal(r->revision, 0);
        assert_true(w->sent_to < m->compacted);
        w->dead = true;
        m->cancelled++;
        return true;
    }
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, r->bytes.size, r->bytes.data);
    assert_non_null(response);
    assert_int_equal(response->n_events, r->events);
    assert_true(r->events > 0); /* filters leave no empty responses */
    assert_int_equal(r->revision, m->revision);
    for (size_t i = 0; i < response->n_events; i++) {
        const struct model_change *c = model_owed(m, w);
        assert_non_null(c);
        model_event_check(m, w, c, response->events[i]);
        w->at++;
        w->sent_to = c->revision;
    }
    etcdserverpb__watch_response__free_unpacked(response, NULL);
    m->events += r->events;
    assert_true(!r->fragment || w->fragment);
    const struct model_change *next = model_owed(m, w);
    if (!r->fragment) {
        assert_true(next == NULL || next->revision > w->sent_to); /* whole revisions */
        w->sent_to++;
    }
    return true;
}

/* -- what happens ------------------------------------------------------------------------------ */

static void model_open(struct model *m, uint64_t seed, size_t fragment_bytes)
{
    memset(m, 0, sizeof(*m));
    oak_prng_init(&m->prng, seed);
    m->history = calloc(HISTORY_MAX, sizeof(*m->history));
    assert_non_null(m->history);
    m->revision = 1;
    m->compacted = -1;
    const struct oak_watch_options options = {
        .alloc = {.resize = model_resize, .user = m},
        .seed = {seed, ~seed},
        .revision = 1,
        .compacted = -1,
        .fragment_bytes = fragment_bytes,
        .response_bytes = seed % 2 == 0 ? 300 : 0,
        .step_changes = seed % 3 == 0 ? 10 : 0,
        .cursors = seed % 4 == 0 ? 3 : 0,
        .stream_watchers_max = 300,
        .watchers_max = 900,
        .send = model_send,
        .forget = model_forget,
        .changes = model_history,
        .at = model_history_at,
        .user = m,
    };
    assert_int_equal(oak_watch_new(&options, &m->w), 0);
    for (int i = 0; i < STREAMS; i++) {
        oak_watch_stream_begin(m->w, &m->streams[i].base);
        m->streams[i].room = 1000000;
    }
}

static void model_stream_end(struct model *m, int stream)
{
    oak_watch_stream_end(m->w, &m->streams[stream].base);
    for (size_t i = 0; i < m->watcher_count; i++) {
        m->watchers[i].used = m->watchers[i].used && m->watchers[i].stream != stream;
    }
}

static void model_close(struct model *m)
{
    for (int i = 0; i < STREAMS; i++) {
        model_stream_end(m, i);
    }
    oak_watch_free(m->w);
    assert_int_equal(m->blocks, 0);
    free(m->history);
}

/* One change at the next revision, told to the room unless it is `silent`. */
static void model_change(struct model *m, int64_t revision, int key, bool deleted, bool silent)
{
    if (deleted && m->key_version[key] == 0) {
        return;
    }
    assert_true(m->count < HISTORY_MAX);
    struct model_change *c = &m->history[m->count];
    *c = (struct model_change){.revision = revision, .key = key, .deleted = deleted};
    if (deleted) {
        m->key_version[key] = 0;
    } else {
        m->key_create[key] = m->key_version[key] == 0 ? revision : m->key_create[key];
        m->key_version[key]++;
        c->create = m->key_create[key];
        c->version = m->key_version[key];
        c->value = (int)m->count;
        c->value_long = m->count % 7 == 0;
    }
    m->count++;
    if (silent) {
        return;
    }
    char text[400];
    char text_before[400];
    struct oak_watch_pair pair = model_pair(c, text, sizeof(text));
    struct oak_watch_pair previous = {0};
    const struct model_change *before = NULL;
    if (oak_watch_wants_previous(m->w, pair.key)) {
        before = model_at(m, key, revision - 1);
    }
    if (before != NULL) {
        previous = model_pair(before, text_before, sizeof(text_before));
    }
    oak_watch_changed(m->w, deleted, &pair, before != NULL ? &previous : NULL);
}

static void model_commit(struct model *m, int64_t revision, bool silent)
{
    m->revision = revision;
    m->revealed = m->count;
    if (silent) {
        oak_watch_replaced(m->w, m->revision, m->compacted);
    } else {
        oak_watch_published(m->w, m->revision, m->compacted);
    }
    assert_int_equal(m->kept, 0); /* beyond the call */
}

static enum oak_watch_verdict model_create(struct model *m, struct model_watcher w)
{
    const struct oak_watch_request request = {
        .key = oak_bytes(w.key, w.key_size),
        .range_end = oak_bytes(w.end, w.end_size),
        .start_revision = w.start,
        .watch_id = w.id,
        .prev_kv = w.prev_kv,
        .fragment = w.fragment,
        .progress = w.progress,
        .no_put = w.no_put,
        .no_delete = w.no_delete,
    };
    assert_true(m->watcher_count < WATCHERS_MAX);
    enum oak_watch_verdict verdict =
        oak_watch_create(m->w, &m->streams[w.stream].base, &request, &w.id);
    if (verdict == OAK_WATCH_CREATED) {
        assert_null(model_find(m, w.stream, w.id));
        w.used = true;
        w.start = w.start == 0 ? m->revision + 1 : w.start;
        w.sent_to = w.start;
        m->watchers[m->watcher_count++] = w;
    }
    return verdict;
}

static inline struct model_watcher model_watcher(int stream, const char *key, const char *end,
                                                 int64_t start)
{
    struct model_watcher w = {.stream = stream, .start = start};
    w.key_size = strlen(key);
    w.end_size = strlen(end);
    memcpy(w.key, key, w.key_size);
    memcpy(w.end, end, w.end_size);
    return w;
}

static void model_drain(struct model *m, int stream, size_t room)
{
    m->streams[stream].room = room;
    if (room > 0) {
        oak_watch_drained(m->w, &m->streams[stream].base);
    }
}

/* Everything that a synced stream is owed has been sent. */
static void model_sync_check(struct model *m)
{
    for (int s = 0; s < STREAMS; s++) {
        if (oak_watch_stream_sync(m->w, &m->streams[s].base) != OAK_WATCH_SYNCED) {
            continue;
        }
        for (size_t i = 0; i < m->watcher_count; i++) {
            struct model_watcher *w = &m->watchers[i];
            if (w->used && !w->dead && w->stream == s) {
                assert_null(model_owed(m, w));
                assert_true(w->start <= m->revision + 1);
            }
        }
    }
}

/* All streams are read from now on: nothing may be left. */
static void model_settle(struct model *m)
{
    for (int i = 0; i < STREAMS; i++) {
        model_drain(m, i, 1000000);
    }
    for (int i = 0; i < 200000 && oak_watch_due(m->w); i++) {
        assert_int_equal(oak_watch_step(m->w), 0);
    }
    assert_false(oak_watch_due(m->w));
    for (size_t i = 0; i < m->watcher_count; i++) {
        struct model_watcher *w = &m->watchers[i];
        if (w->used && !w->dead) {
            assert_null(model_owed(m, w));
        }
    }
    model_sync_check(m);
}

#endif
