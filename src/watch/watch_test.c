/* SPDX-License-Identifier: Apache-2.0 */
/* Random watchers, slow streams, compactions and snapshots against a model that keeps everything.
 */
#include "watch/model_fixture.h"

static struct model_watcher random_watcher(struct model *m)
{
    struct model_watcher w = {.stream = (int)oak_prng_below(&m->prng, STREAMS)};
    const char *key = model_keys[oak_prng_below(&m->prng, KEYS)];
    w.key_size = oak_prng_chance(&m->prng, 1, 15) ? 0 : strlen(key);
    memcpy(w.key, key, w.key_size);
    switch (oak_prng_below(&m->prng, 4)) {
    case 0:
        w.end_size = 1; /* all from the key on */
        break;
    case 1: {
        const char *end = model_keys[oak_prng_below(&m->prng, KEYS)];
        w.end_size = strlen(end);
        memcpy(w.end, end, w.end_size);
        break;
    }
    default:
        break;
    }
    int64_t low = OAK_MAX(m->compacted - 2, (int64_t)1);
    switch (oak_prng_below(&m->prng, 5)) {
    case 0:
        w.start = (int64_t)oak_prng_between(&m->prng, (uint64_t)low, (uint64_t)m->revision);
        break;
    case 1:
        w.start = m->revision + (int64_t)oak_prng_below(&m->prng, 6);
        break;
    default:
        break;
    }
    w.no_put = oak_prng_chance(&m->prng, 1, 6);
    w.no_delete = oak_prng_chance(&m->prng, 1, 6);
    w.prev_kv = oak_prng_chance(&m->prng, 1, 2);
    w.fragment = oak_prng_chance(&m->prng, 1, 3);
    w.id = oak_prng_chance(&m->prng, 1, 3) ? (int64_t)oak_prng_below(&m->prng, 40) : 0;
    return w;
}

static void random_create(struct model *m)
{
    struct model_watcher w = random_watcher(m);
    struct oak_bytes key = w.key_size == 0 ? oak_bytes("\0", 1) : oak_bytes(w.key, w.key_size);
    bool open = w.end_size == 1 && w.end[0] == 0;
    bool empty = w.end_size > 0 && !open && oak_bytes_cmp(key, oak_bytes(w.end, w.end_size)) >= 0;
    bool twice = w.id != 0 && model_find(m, w.stream, w.id) != NULL;
    enum oak_watch_verdict verdict = model_create(m, w);
    if (m->fail_one_in == 0) {
        assert_int_equal(verdict == OAK_WATCH_EMPTY_RANGE, empty);
        assert_int_equal(verdict == OAK_WATCH_DUPLICATE_ID, twice && !empty);
        assert_int_not_equal(verdict, OAK_WATCH_NO_MEMORY);
    }
}

static void random_batch(struct model *m)
{
    bool silent = oak_prng_chance(&m->prng, 1, 20); /* a snapshot brings it */
    int64_t revision = m->revision;
    size_t count = oak_prng_below(&m->prng, 4);
    for (size_t i = 0; i < count; i++) {
        revision++;
        size_t changes = oak_prng_chance(&m->prng, 1, 10) ? 12 : oak_prng_between(&m->prng, 1, 3);
        size_t before = m->count;
        int key = (int)oak_prng_below(&m->prng, KEYS);
        for (size_t k = 0; k < changes; k++) {
            model_change(m, revision, key, oak_prng_chance(&m->prng, 1, 3), silent);
            /* A key may be removed and put again in one revision. */
            key = oak_prng_chance(&m->prng, 1, 8) ? key : (key + 1) % KEYS;
        }
        revision -= m->count == before;
    }
    if (oak_prng_chance(&m->prng, 1, 30) && revision > 1) {
        int64_t low = OAK_MAX(m->compacted, (int64_t)1);
        m->compacted = (int64_t)oak_prng_between(&m->prng, (uint64_t)low, (uint64_t)revision);
    }
    model_commit(m, revision, silent);
}

static void random_turn(struct model *m)
{
    int stream = (int)oak_prng_below(&m->prng, STREAMS);
    switch (oak_prng_below(&m->prng, 12)) {
    case 0:
    case 1:
        random_create(m);
        break;
    case 2:
        if (m->watcher_count > 0) {
            struct model_watcher *w = &m->watchers[oak_prng_below(&m->prng, m->watcher_count)];
            bool was = w->used;
            bool known = oak_watch_cancel(m->w, &m->streams[w->stream].base, w->id);
            assert_true(known || !was);
            if (known) {
                model_find(m, w->stream, w->id)->used = false;
            }
        }
        break;
    case 3:
        if (oak_prng_chance(&m->prng, 1, 60)) {
            model_stream_end(m, stream);
            oak_watch_stream_begin(m->w, &m->streams[stream].base);
        }
        break;
    case 4:
        model_drain(m, stream, oak_prng_below(&m->prng, 30));
        break;
    case 5:
    case 6:
    case 7:
        m->history_fails = oak_prng_chance(&m->prng, 1, 20);
        if (oak_watch_due(m->w)) {
            int error = oak_watch_step(m->w);
            assert_true(error == 0 || m->history_fails || m->fail_one_in != 0);
        }
        m->history_fails = false;
        break;
    default:
        random_batch(m);
        break;
    }
    model_sync_check(m);
    assert_int_equal(m->kept, 0);
}

/* How often bytes were kept for another. */
static uint64_t random_run(uint64_t seed, uint32_t fail_one_in)
{
    static struct model m;
    model_open(&m, seed, 200 + seed % 400);
    m.fail_one_in = fail_one_in;
    for (int i = 0; i < STREAMS; i++) {
        m.streams[i].room = i < 2 ? 1000000 : 5;
    }
    while (m.count < 2500 && m.watcher_count < WATCHERS_MAX - 1) {
        random_turn(&m);
    }
    m.fail_one_in = 0;
    model_settle(&m);
    assert_true(m.events > (fail_one_in == 0 ? 1000u : 10u));
    model_close(&m);
    return m.kept_again;
}

static void every_watcher_is_sent_all_it_is_owed_once_and_in_order(void **state)
{
    (void)state;
    uint64_t kept = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        kept += random_run(seed, 0);
    }
    assert_true(kept > 100);
}

static void want_of_memory_loses_and_repeats_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed <= 120; seed++) {
        (void)random_run(seed, 3 + (uint32_t)(seed % 4) * 30);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_watcher_is_sent_all_it_is_owed_once_and_in_order),
        cmocka_unit_test(want_of_memory_loses_and_repeats_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
