/* SPDX-License-Identifier: Apache-2.0 */
/* pieces_test.c: a range in pieces is, byte by byte, the range in one; whatever is written and
 * compacted between two steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"
#include "wal/test_disk.h"

#define KEYS 300

typedef Etcdserverpb__RangeRequest range_request;

static ProtobufCBinaryData text(const char *s)
{
    return (ProtobufCBinaryData){.len = strlen(s), .data = (uint8_t *)(uintptr_t)s};
}

static void write_some(struct node *n, struct oak_prng *prng, int count)
{
    for (int i = 0; i < count; i++) {
        char key[16];
        static uint8_t value[3000];
        snprintf(key, sizeof(key), "k%03u", (unsigned)oak_prng_below(prng, KEYS));
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__DeleteRangeRequest del = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
        put.key = text(key);
        put.value = (ProtobufCBinaryData){.len = oak_prng_below(prng, 3000), .data = value};
        memset(value, (int)oak_prng_below(prng, 256), put.value.len);
        del.key = text(key);
        bool removes = oak_prng_below(prng, 5) == 0;
        struct oak_kv_result result = removes ? node_apply(n, OAK_KV_DELETE, &del.base)
                                              : node_apply(n, OAK_KV_PUT, &put.base);
        assert_int_equal(result.error, 0);
        node_commit(n);
        oak_arena_reset(&n->arena);
    }
}

/* All that can be given back is. */
static void compact_here(struct node *n)
{
    Etcdserverpb__CompactionRequest compact = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    compact.revision = oak_kv_state(n->kv)->revision;
    assert_int_equal(node_apply(n, OAK_KV_COMPACT, &compact.base).error, 0);
    node_commit(n);
    bool more = true;
    while (more) {
        assert_int_equal(oak_store_reclaim(n->store, 1000, &more), 0);
    }
}

static range_request random_range(struct node *n, struct oak_prng *prng, char from[8], char to[8])
{
    range_request r = ETCDSERVERPB__RANGE_REQUEST__INIT;
    int64_t revision = oak_kv_state(n->kv)->revision;
    int64_t floor = OAK_MAX(oak_kv_state(n->kv)->compacted, 1);
    snprintf(from, 8, "k%03u", (unsigned)oak_prng_below(prng, KEYS));
    snprintf(to, 8, "k%03u", (unsigned)oak_prng_below(prng, KEYS));
    r.key = text(from);
    r.range_end = text(to);
    if (oak_prng_below(prng, 3) == 0) {
        r.range_end = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)(uintptr_t) ""};
    }
    if (oak_prng_below(prng, 2) == 0) {
        r.limit = (int64_t)oak_prng_below(prng, KEYS);
    }
    if (oak_prng_below(prng, 2) == 0) {
        r.revision = floor + (int64_t)oak_prng_below(prng, (uint64_t)(revision - floor) + 1);
    }
    r.keys_only = oak_prng_below(prng, 4) == 0;
    if (oak_prng_below(prng, 3) == 0) {
        r.sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    }
    if (oak_prng_below(prng, 4) == 0) {
        r.min_mod_revision = (int64_t)oak_prng_below(prng, (uint64_t)revision);
    }
    return r;
}

/* As one message, without its header. */
static struct oak_bytes in_one(struct node *n, const range_request *r)
{
    Etcdserverpb__RangeResponse *response = NULL;
    assert_int_equal(oak_kv_range(n->kv, r, &n->arena, &response), 0);
    response->header = NULL;
    size_t size = etcdserverpb__range_response__get_packed_size(response);
    uint8_t *data = malloc(size + 1);
    assert_non_null(data);
    etcdserverpb__range_response__pack(response, data);
    oak_arena_reset(&n->arena);
    return oak_bytes(data, size);
}

static void pieces_are_the_whole(void **state)
{
    (void)state;
    struct node n;
    struct oak_prng prng;
    size_t steps = 0;
    node_open(&n, 0);
    oak_prng_init(&prng, 11);
    write_some(&n, &prng, 1000);
    for (int round = 0; round < 300; round++) {
        char from[8];
        char to[8];
        range_request r = random_range(&n, &prng, from, to);
        struct oak_kv_pieces *p = NULL;
        struct oak_buf got = {0};
        assert_true(oak_kv_range_in_pieces(&r));
        struct oak_bytes want = in_one(&n, &r);
        assert_int_equal(oak_kv_pieces_open(n.kv, &r, &p), 0);
        memset(from, 'x', sizeof(from)); /* the request need not live */
        memset(to, 'x', sizeof(to));
        bool streaming = round % 3 == 0;
        bool measuring = !streaming;
        bool more = true;
        while (more) {
            size_t bytes = 1 + (size_t)oak_prng_below(&prng, 20000);
            write_some(&n, &prng, 2);
            if (oak_prng_below(&prng, 8) == 0) {
                compact_here(&n);
            }
            assert_int_equal(streaming   ? oak_kv_pieces_stream(p, bytes, &got, &more)
                             : measuring ? oak_kv_pieces_measure(p, bytes, &more)
                                         : oak_kv_pieces_next(p, bytes, &got, &more),
                             0);
            if (measuring && !more) {
                assert_int_equal(oak_kv_pieces_size(p), want.size);
                measuring = false;
                more = true;
            }
            steps++;
        }
        assert_int_equal(got.size, want.size);
        assert_true(want.size == 0 || memcmp(got.data, want.data, want.size) == 0);
        oak_kv_pieces_close(p);
        oak_buf_fini(&got);
        free((void *)(uintptr_t)want.data);
    }
    assert_true(steps > 2500);
    node_close(&n);
}

static void what_is_not_there_is_told(void **state)
{
    (void)state;
    struct node n;
    struct oak_prng prng;
    struct oak_kv_pieces *p = NULL;
    node_open(&n, 0);
    oak_prng_init(&prng, 11);
    write_some(&n, &prng, 50);
    compact_here(&n);
    write_some(&n, &prng, 5);
    range_request r = ETCDSERVERPB__RANGE_REQUEST__INIT;
    r.key = text("a");
    assert_false(oak_kv_range_in_pieces(&r)); /* one key */
    r.range_end = text("z");
    r.count_only = true;
    assert_false(oak_kv_range_in_pieces(&r));
    r.count_only = false;
    r.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__MOD;
    assert_false(oak_kv_range_in_pieces(&r));
    r.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY;
    r.revision = 2;
    assert_int_equal(oak_kv_pieces_open(n.kv, &r, &p), OAK_ECOMPACTED);
    r.revision = 1000;
    assert_int_equal(oak_kv_pieces_open(n.kv, &r, &p), OAK_EFUTUREREV);
    assert_null(p);
    oak_kv_pieces_close(p);
    node_close(&n);
}

/* A snapshot takes the place of what was pinned. */
static void contents_that_are_replaced_end_it(void **state)
{
    (void)state;
    struct node n;
    struct oak_prng prng;
    struct oak_kv_pieces *p = NULL;
    struct oak_store_snapshot *snap = NULL;
    struct oak_store_restore *restore = NULL;
    uint8_t bytes[4096];
    size_t got = 1;
    bool more = false;
    struct test_disk disk;
    test_disk_init(&disk, 1);
    const struct oak_store_options options = {.disk = &disk.port, .dir = "here"};
    struct oak_store *store = NULL;
    assert_int_equal(oak_store_open_memory(&options, &store, NULL), 0);
    node_open_on(&n, store, 0);
    oak_prng_init(&prng, 3);
    write_some(&n, &prng, 100);
    range_request r = ETCDSERVERPB__RANGE_REQUEST__INIT;
    r.key = text("a");
    r.range_end = text("z");
    assert_int_equal(oak_kv_pieces_open(n.kv, &r, &p), 0);
    assert_int_equal(oak_kv_pieces_measure(p, 10, &more), 0);
    assert_true(more);
    assert_int_equal(oak_store_snapshot_open(n.store, &snap), 0);
    assert_int_equal(oak_store_restore_begin(n.store, &restore), 0);
    while (got > 0) {
        assert_int_equal(oak_store_snapshot_read(snap, bytes, sizeof(bytes), &got), 0);
        assert_int_equal(oak_store_restore_write(restore, oak_bytes(bytes, got)), 0);
    }
    oak_store_snapshot_close(snap);
    assert_int_equal(oak_store_restore_finish(restore), 0);
    assert_int_equal(oak_kv_reload(n.kv), 0);
    assert_int_equal(oak_kv_pieces_measure(p, 10, &more), OAK_EAGAIN);
    oak_kv_pieces_close(p);
    node_close(&n);
    test_disk_fini(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_the_whole),
        cmocka_unit_test(what_is_not_there_is_told),
        cmocka_unit_test(contents_that_are_replaced_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
