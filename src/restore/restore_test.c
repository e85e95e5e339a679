/* SPDX-License-Identifier: Apache-2.0 */
/* restore_test.c: what is in etcd's file is in the store, and nothing else; what fails on the way
 * is told, and leaks nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/test_failing.h"
#include "restore/test_file.h"

/* -- a store that is filled -------------------------------------------------------------------- */

struct filled {
    struct test_disk disk;
    struct oak_store *store;
    struct oak_restore_result result;
    struct oak_errbuf e;
    bool resume;
    int told; /* how far an earlier run had come */
    uint64_t done;
};

static void filled_begin(struct filled *f, const struct test_pair *pairs)
{
    *f = (struct filled){.store = NULL};
    test_disk_init(&f->disk, 1);
    (void)test_file_write(&f->disk.port, pairs, TEST_PAIRS);
    test_disk_cut(&f->disk, TEST_DISK_KEEP_ALL); /* it is durable */
    f->store = test_store(&f->disk.port, "store");
}

static void on_resumed(void *user, uint64_t done, uint64_t total)
{
    struct filled *f = user;
    assert_in_range(done, 0, total);
    f->told++;
    f->done = done;
}

/* Memory for two pairs, so that all is on disk. */
static int fill(struct filled *f, uint64_t bump, bool mark)
{
    const struct oak_restore_options options = {
        .disk = &f->disk.port,
        .path = TEST_FILE,
        .scratch = "scratch",
        .store = f->store,
        .index = 1,
        .term = 1,
        .bump_revision = bump,
        .mark_compacted = mark,
        .sort_bytes = 160,
        .runs_merged = 2,
        .resume = f->resume,
        .resumed = on_resumed,
        .progress.user = f,
    };
    return oak_restore_fill(&options, &f->result, &f->e);
}

static void no_run_is_left(const struct filled *f)
{
    for (size_t i = 0; test_disk_name(&f->disk, i) != NULL; i++) {
        assert_null(strstr(test_disk_name(&f->disk, i), ".run"));
    }
}

static void filled_end(struct filled *f)
{
    oak_store_close(f->store);
    assert_int_equal(f->disk.open_files, 0);
    test_disk_fini(&f->disk);
}

static bool see_version(void *arg, struct oak_store_rev rev, bool deleted,
                        const struct oak_store_kv *kv)
{
    assert_int_equal(oak_buf_printf(arg, "%c@%d.%d%s%.*s/%d ", kv->key.data[0], (int)rev.main,
                                    (int)rev.sub, deleted ? " gone" : "=", (int)kv->value.size,
                                    (const char *)kv->value.data, (int)kv->lease),
                     0);
    return true;
}

static void see_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct oak_arena arena;
    struct oak_kv_record r;
    oak_arena_init(&arena, OAK_KIB, OAK_MIB);
    assert_int_equal(oak_kv_record_read(key, data, &arena, &r), 0);
    assert_int_equal(oak_buf_printf(arg, "%d:%d,%d,%d,%.*s,%d,%d,%d ", (int)r.kind, (int)r.lease.id,
                                    (int)r.lease.ttl_s, (int)r.lease.remaining_s, (int)r.name.size,
                                    (const char *)r.name.data, (int)r.number, (int)r.auth_revision,
                                    (int)r.auth_numbers),
                     0);
    oak_arena_fini(&arena);
}

static void expect_text(struct oak_buf *text, const char *expected)
{
    assert_int_equal(oak_buf_append(text, "", 1), 0);
    assert_string_equal((const char *)text->data, expected);
    oak_buf_fini(text);
}

static void expect_all(const struct filled *f)
{
    struct oak_buf text = {0};
    struct oak_store_kv kv;
    assert_int_equal(f->result.revision, 8);
    assert_int_equal(f->result.compacted, 3);
    assert_int_equal(f->result.versions, 7);
    assert_int_equal(oak_store_durable(f->store), 1);
    const struct oak_store_state *s = oak_store_state(f->store);
    assert_true(s->applied == 1 && s->applied_term == 1 && s->revision == 8 && s->compacted == 3);
    assert_int_equal(oak_store_changes(f->store, 3, 8, see_version, &text), 0);
    expect_text(&text, "a@3.0=2/0 b@3.1=3/0 b@4.0 gone/0 c@5.0=4/7 a@6.0=5/0 d@7.0=6/9 ");
    assert_int_equal(oak_store_get(f->store, oak_bytes_str("a"), 5, &kv), 0);
    assert_int_equal(kv.create_rev, 2);
    assert_int_equal(kv.version, 2);
    /* Alarm, roles, auth, users, leases, and the one key whose lease is there. */
    assert_int_equal(oak_store_meta_each(f->store, see_meta, &text), 0);
    expect_text(&text, "6:0,0,0,,0,0,0 5:0,0,0,reader,1,0,0 5:0,0,0,root,2,0,0 3:0,0,0,,0,12,4 "
                       "4:0,0,0,ann,3,0,0 4:0,0,0,root,4,0,0 1:7,100,40,,0,0,0 1:8,100,0,,0,0,0 "
                       "2:7,0,0,c,0,0,0 ");
}

static void all_of_it_is_in_the_store(void **state)
{
    (void)state;
    struct filled f;
    filled_begin(&f, test_pairs);
    assert_int_equal(fill(&f, 0, false), 0);
    no_run_is_left(&f);
    expect_all(&f);
    assert_true(f.told == 0 && !f.result.resumed);
    filled_end(&f);
}

static void the_revision_is_raised_and_history_ends_there(void **state)
{
    (void)state;
    struct filled f;
    struct oak_buf text = {0};
    filled_begin(&f, test_pairs);
    assert_int_equal(fill(&f, 1000, true), 0);
    assert_int_equal(f.result.revision, 1008);
    assert_int_equal(oak_store_state(f.store)->compacted, 1008);
    assert_int_equal(oak_store_changes(f.store, 1008, 1008, see_version, &text), 0);
    assert_int_equal(text.size, 0);
    filled_end(&f);
    filled_begin(&f, test_pairs);
    assert_int_equal(fill(&f, INT64_MAX - 7, true), OAK_EINVAL);
    assert_non_null(strstr(f.e.text, "--bump-revision"));
    filled_end(&f);
}

static void two_are_the_same(void **state)
{
    (void)state;
    struct filled f[2];
    struct oak_buf text[2] = {{0}, {0}};
    for (int i = 0; i < 2; i++) {
        struct oak_store_snapshot *snap = NULL;
        uint8_t piece[256];
        size_t got = 1;
        filled_begin(&f[i], test_pairs);
        assert_int_equal(fill(&f[i], 0, false), 0);
        assert_int_equal(oak_store_snapshot_open(f[i].store, &snap), 0);
        while (got > 0) {
            assert_int_equal(oak_store_snapshot_read(snap, piece, sizeof(piece), &got), 0);
            assert_int_equal(oak_buf_append(&text[i], piece, got), 0);
        }
        oak_store_snapshot_close(snap);
        filled_end(&f[i]);
    }
    assert_int_equal(text[0].size, text[1].size);
    assert_memory_equal(text[0].data, text[1].data, text[0].size);
    oak_buf_fini(&text[0]);
    oak_buf_fini(&text[1]);
}

/* -- runs that are interrupted ----------------------------------------------------------------- */

/* It was, and begins again with a store that has nothing. */
static void interrupted(struct filled *f, enum test_disk_cut how)
{
    oak_store_close(f->store);
    test_disk_cut(&f->disk, how);
    f->store = test_store(&f->disk.port, "again");
    f->resume = true;
}

/* The power goes at each call to the disk in turn. */
static void it_is_gone_on_with_wherever_it_ended(void **state)
{
    (void)state;
    size_t anew = 0, resumed = 0, places = 0;
    uint64_t before = 0;
    for (uint64_t at = 0;; at++) {
        struct filled f;
        filled_begin(&f, test_pairs);
        f.disk.cut_at = f.disk.calls + at;
        bool failed = fill(&f, 0, false) != 0;
        if (failed) {
            interrupted(&f, TEST_DISK_KEEP_RANDOM);
            assert_int_equal(fill(&f, 0, false), 0);
            expect_all(&f);
            assert_true(f.told == 1 && f.result.resumed == (f.done > 0));
            anew += f.result.resumed ? 0 : 1;
            resumed += f.result.resumed ? 1 : 0;
            places += f.result.resumed && f.done != before ? 1 : 0;
            before = f.done;
        }
        filled_end(&f);
        if (!failed) {
            break;
        }
    }
    assert_true(anew > 5 && resumed > 20 && places > 2);
}

/* What an interrupted run has left, when it had read all: runs, and the place. */
static void leave_place(struct filled *f)
{
    filled_begin(f, test_pairs);
    for (uint64_t at = 40; f->result.versions == 0; at++) {
        filled_end(f);
        filled_begin(f, test_pairs);
        f->disk.cut_at = f->disk.calls + at;
        assert_int_equal(fill(f, 0, false), OAK_EIO);
    }
    interrupted(f, TEST_DISK_KEEP_ALL);
}

static void what_another_file_or_damage_left_is_not_gone_on_with(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct filled f;
        size_t size = 0;
        leave_place(&f);
        const uint8_t *place = test_disk_peek(&f.disk, "scratch/place", &size);
        uint8_t other = (uint8_t)~place[size / 2];
        if (kind == 1) {
            test_disk_poke(&f.disk, "scratch/place", size / 2, &other, 1);
        } else if (kind == 2) {
            test_disk_shorten(&f.disk, "scratch/place", size / 2);
        } else if (kind == 3) { /* the SHA-256 behind the file, which nobody checks here */
            (void)test_disk_peek(&f.disk, TEST_FILE, &size);
            test_disk_poke(&f.disk, TEST_FILE, size - 1, &other, 1);
        }
        assert_int_equal(fill(&f, 0, false), 0);
        expect_all(&f);
        assert_int_equal(f.result.resumed, kind == 0);
        filled_end(&f);
    }
}

static void it_begins_anew_where_that_is_wanted(void **state)
{
    (void)state;
    struct filled f;
    leave_place(&f);
    f.resume = false;
    assert_int_equal(fill(&f, 0, false), 0);
    expect_all(&f);
    assert_true(f.told == 0 && !f.result.resumed);
    filled_end(&f);
}

/* -- what is wrong, and where ------------------------------------------------------------------ */

static void what_is_wrong_is_told_with_its_place(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* pair that is another one */
        struct test_pair pair;
        const char *told;
    } rows[] = {
        {8, {"key", REV("\2", "\0"), TEXT("\x0a\x7f")}, "bucket \"key\", revision 2_0 (page "},
        {8, {"key", REV("\2", "\0"), TEXT("\x0a\x7f")}, "no mvccpb.KeyValue"},
        {8, {"key", REV("\2", "\0"), TEXT("\x10\2\x18\2\x20\1")}, "empty key"},
        {8, {"key", REV("\2", "\0"), PUT("a", "\2", "\3", "\1", "1")}, "of another revision"},
        {8, {"key", REV("\2", "\0"), PUT("a", "\3", "\2", "\1", "1")}, "numbers are none"},
        {8, {"key", REV("\2", "\0"), PUT("a", "\2", "\2", "\0", "1")}, "numbers are none"},
        {8, {"key", REV("\0", "\0"), PUT("a", "\2", "\2", "\1", "1")}, "its key is no revision"},
        {15, {"key", TEXT("\1"), TEXT("")}, "bucket \"key\", key 01 (page"},
        {11, {"key", TEXT("\0\0\0\0\0\0\0\4_\0\0\0\0\0\0\0\0u"), TEXT("")}, "no revision"},
        {11, {"key", END("\4", "\0"), TEXT("")}, "empty key"},
        {16, {"lease", TEXT("\0\0\0\0\0\0\0\7"), TEXT("\x08\6")}, "leasepb.Lease"},
        {17, {"lease", TEXT("\7"), TEXT("\x08\7")}, "bucket \"lease\", key 07"},
        {0, {"alarm", TEXT("\x08\x05"), TEXT("")}, "an alarm of no kind"},
        {0, {"alarm", TEXT("\x0b"), TEXT("")}, "no etcdserverpb.AlarmMember"},
        {2, {"auth", TEXT("authRevision"), TEXT("12")}, "bucket \"auth\", key \"authRevision\""},
        {3, {"authRoles", TEXT("reader"), TEXT("\x0a\1x")}, "authpb.Role"},
        {3,
         {"authRoles", TEXT("reader"), TEXT("\x0a\6reader\x12\5\x08\7\x12\1k")},
         "none that a role can have"},
        {5, {"authUsers", TEXT("ann"), TEXT("\x0a\3bob")}, "bucket \"authUsers\", key \"ann\""},
        {5, {"authUsers", TEXT("ann"), TEXT("\x0a\3ann\x1a\1z\x1a\1y")}, "authpb.User"},
        {22, {"meta", TEXT("finishedCompactRev"), TEXT("1")}, "its value is no revision"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        struct filled f;
        struct test_pair pairs[TEST_PAIRS];
        memcpy(pairs, test_pairs, sizeof(pairs));
        pairs[rows[i].at] = rows[i].pair;
        filled_begin(&f, pairs);
        assert_int_equal(fill(&f, 0, false), OAK_ECORRUPT);
        if (strstr(f.e.text, rows[i].told) == NULL) {
            fail_msg("row %zu: %s", i, f.e.text);
        }
        assert_int_equal(oak_store_state(f.store)->applied, 0);
        no_run_is_left(&f);
        filled_end(&f);
    }
}

static void another_programs_database_is_told_from_etcds(void **state)
{
    (void)state;
    static const struct test_pair foreign[] = {{"widgets", TEXT("k"), TEXT("v")}};
    struct test_disk d;
    struct oak_restore_status status;
    struct oak_errbuf e;
    test_disk_init(&d, 1);
    (void)test_file_write(&d.port, foreign, 1);
    assert_int_equal(oak_restore_check(&d.port, TEST_FILE, OAK_RESTORE_DIGEST_NEEDED, NULL, &e), 0);
    assert_int_equal(oak_restore_status(&d.port, TEST_FILE, NULL, &status, &e), OAK_EFORMAT);
    assert_non_null(strstr(e.text, "no bucket \"key\""));
    test_disk_fini(&d);
}

/* -- what fails -------------------------------------------------------------------------------- */

static void each_call_to_the_disk_may_fail(void **state)
{
    (void)state;
    struct filled f;
    for (uint64_t at = 0;; at++) {
        filled_begin(&f, test_pairs);
        f.disk.fail_at = f.disk.calls + at;
        f.disk.fail_error = at % 2 == 0 ? OAK_ENOSPC : OAK_EIO;
        int error = fill(&f, 0, false);
        bool failed = f.disk.calls > f.disk.fail_at;
        assert_true(failed || error == 0);
        assert_true(error == 0 || (f.e.text[0] != '\0' && oak_store_durable(f.store) == 0));
        filled_end(&f);
        if (!failed) {
            assert_true(at > 20);
            return;
        }
    }
}

static void each_allocation_may_fail_after(void (*begin)(struct filled *f))
{
    size_t told = 0;
    for (uint64_t at = 0;; at++) {
        struct filled f;
        begin(&f);
        test_fail_from_here(at);
        int error = fill(&f, 0, false);
        bool failed = test_has_failed();
        /* Without memory for its name a run stays, which harms nobody. */
        assert_true(error == 0 || (failed && error == OAK_ENOMEM));
        assert_true(error == 0 || strstr(f.e.text, TEST_FILE) != NULL);
        told += error != 0 ? 1 : 0;
        filled_end(&f);
        if (!failed) {
            assert_true(told > 50);
            return;
        }
    }
}

static void begin_anew(struct filled *f)
{
    filled_begin(f, test_pairs);
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    each_allocation_may_fail_after(begin_anew);
    each_allocation_may_fail_after(leave_place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_is_in_the_store),
        cmocka_unit_test(the_revision_is_raised_and_history_ends_there),
        cmocka_unit_test(two_are_the_same),
        cmocka_unit_test(it_is_gone_on_with_wherever_it_ended),
        cmocka_unit_test(what_another_file_or_damage_left_is_not_gone_on_with),
        cmocka_unit_test(it_begins_anew_where_that_is_wanted),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(another_programs_database_is_told_from_etcds),
        cmocka_unit_test(each_call_to_the_disk_may_fail),
        cmocka_unit_test(each_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("restore", tests, NULL, NULL);
}
