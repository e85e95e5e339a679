/* SPDX-License-Identifier: Apache-2.0 */
/* backup_test.c: what is in the file, and that nothing stays where it is not made: each call to the
 * disk and each allocation fails in its turn, and it is given up after each piece. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "backup/backup.h"
#include "base/test_failing.h"
#include "bolt/bolt.h"
#include "kv/kv_fixture.h"
#include "wal/test_disk.h"

#define HASH "$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define MADE "scratch/1.db"

/* -- a state with some of everything ----------------------------------------------------------- */

static void put(struct node *n, const char *key, const char *value, int64_t lease)
{
    Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
    r.key = oak_proto_binary(oak_bytes_str(key));
    r.value = oak_proto_binary(oak_bytes_str(value));
    r.lease = lease;
    assert_int_equal(node_apply(n, OAK_KV_PUT, &r.base).error, 0);
}

static void del(struct node *n, const char *key, const char *end)
{
    Etcdserverpb__DeleteRangeRequest r = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    r.key = oak_proto_binary(oak_bytes_str(key));
    r.range_end = oak_proto_binary(oak_bytes_str(end)); /* "": the key alone */
    assert_int_equal(node_apply(n, OAK_KV_DELETE, &r.base).error, 0);
}

static void compact(struct node *n, int64_t revision)
{
    Etcdserverpb__CompactionRequest r = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    r.revision = revision;
    assert_int_equal(node_apply(n, OAK_KV_COMPACT, &r.base).error, 0);
}

static void lease_grant(struct node *n)
{
    Etcdserverpb__LeaseGrantRequest r = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    r.id = 300;
    r.ttl = 60;
    assert_int_equal(node_apply(n, OAK_KV_LEASE_GRANT, &r.base).error, 0);
}

static void users(struct node *n)
{
    Etcdserverpb__AuthUserAddRequest user = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleAddRequest role = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    user.hashedpassword = (char *)(uintptr_t)HASH;
    user.name = (char *)(uintptr_t) "zoe"; /* not in the order of their numbers */
    assert_int_equal(node_apply(n, OAK_KV_USER_ADD, &user.base).error, 0);
    user.name = (char *)(uintptr_t) "ann";
    assert_int_equal(node_apply(n, OAK_KV_USER_ADD, &user.base).error, 0);
    role.name = (char *)(uintptr_t) "reader";
    assert_int_equal(node_apply(n, OAK_KV_ROLE_ADD, &role.base).error, 0);
}

static void alarm_raise(struct node *n)
{
    Etcdserverpb__AlarmRequest alarm = ETCDSERVERPB__ALARM_REQUEST__INIT;
    alarm.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    alarm.memberid = 5;
    alarm.alarm = ETCDSERVERPB__ALARM_TYPE__NOSPACE;
    assert_int_equal(node_apply(n, OAK_KV_ALARM, &alarm.base).error, 0);
}

static void fill(struct node *n)
{
    node_open(n, 0);
    lease_grant(n);
    put(n, "b", "one", 0);   /* 2 */
    put(n, "a", "two", 300); /* 3 */
    put(n, "b", "three", 0); /* 4 */
    del(n, "a", "c");        /* 5: both */
    put(n, "a", "four", 0);  /* 6 */
    users(n);
    node_commit(n);
}

/* -- the file as text -------------------------------------------------------------------------- */

static void say(struct oak_buf *out, struct oak_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (c > ' ' && c < 127) {
            SAY(out, "%c", c);
        } else {
            SAY(out, "\\%x", c);
        }
    }
}

static void say_revision(struct oak_buf *out, struct oak_bytes key)
{
    assert_true(key.size == 17 || key.size == 18);
    assert_int_equal(key.data[8], '_');
    SAY(out, "%d.%d", (int)oak_get_be64(key.data), (int)oak_get_be64(key.data + 9));
    say(out, oak_bytes(key.data + 17, key.size - 17));
}

static void bucket_is(const struct oak_disk *disk, const char *name, const char *text)
{
    struct oak_bolt_reader *r = NULL;
    struct oak_buf said = {0};
    struct oak_bytes key;
    struct oak_bytes value;
    assert_int_equal(oak_bolt_open(disk, MADE, &r, NULL), 0);
    assert_int_equal(oak_bolt_seek(r, oak_bytes_str(name)), 0);
    while (oak_bolt_next(r, &key, &value) == 0) {
        if (strcmp(name, "key") == 0) {
            say_revision(&said, key);
        } else {
            say(&said, key);
        }
        SAY(&said, " = ");
        say(&said, value);
        SAY(&said, "\n");
    }
    assert_string_equal(oak_bolt_why(r), "");
    oak_bolt_close(r);
    assert_int_equal(oak_buf_append(&said, "", 1), 0);
    assert_string_equal((const char *)said.data, text);
    oak_buf_fini(&said);
}

/* -- making one -------------------------------------------------------------------------------- */

static const char *const urls[] = {"http://one:2380", "http://\"two\":2380"};

static int begin(struct node *n, const struct oak_disk *disk, size_t sort_bytes,
                 struct oak_backup **out)
{
    Etcdserverpb__Member members[2];
    Etcdserverpb__Member *rows[] = {&members[0], &members[1]};
    for (size_t i = 0; i < 2; i++) {
        etcdserverpb__member__init(&members[i]);
        members[i].id = 0x10 + i;
        members[i].n_peerurls = i + 1;
        members[i].peerurls = (char **)(uintptr_t)urls;
    }
    members[0].name = (char *)(uintptr_t) "n1";
    members[0].n_clienturls = 1;
    members[0].clienturls = (char **)(uintptr_t)urls;
    members[1].islearner = true;
    const struct oak_backup_options options = {
        .disk = disk,
        .dir = "scratch",
        .number = 1,
        .store = n->store,
        .members = rows,
        .member_count = 2,
        .version = "3.6.0",
        .sort_bytes = sort_bytes,
        .runs_merged = 2,
    };
    return oak_backup_new(&options, out);
}

static int run(struct oak_backup *b, uint64_t *size)
{
    while (!oak_backup_run(b, 1)) {
    }
    oak_backup_release(b);
    return oak_backup_made(b, size);
}

static void end(struct oak_backup *b)
{
    oak_backup_release(b);
    oak_backup_drop(b);
    oak_backup_free(b);
}

static void the_file_has_what_etcd_looks_for(void **state)
{
    struct node n;
    struct test_disk d;
    struct oak_backup *b = NULL;
    uint64_t size = 0;
    (void)state;
    fill(&n);
    test_disk_init(&d, 1);
    alarm_raise(&n);
    node_commit(&n);
    assert_int_equal(begin(&n, &d.port, 0, &b), 0);
    del(&n, "a", ""); /* that is not in it */
    node_commit(&n);
    assert_int_equal(run(b, &size), 0);
    assert_int_equal(size % 512, 0);
    bucket_is(&d.port, "key",
              "2.0 = \\a\\1b\\10\\2\\18\\2\\20\\1*\\3one\n"
              "3.0 = \\a\\1a\\10\\3\\18\\3\\20\\1*\\3two0\\ac\\2\n"
              "4.0 = \\a\\1b\\10\\2\\18\\4\\20\\2*\\5three\n"
              "5.0t = \\a\\1a\n"
              "5.1t = \\a\\1b\n"
              "6.0 = \\a\\1a\\10\\6\\18\\6\\20\\1*\\4four\n");
    bucket_is(&d.port, "lease", "\\0\\0\\0\\0\\0\\0\\1, = \\8\\ac\\2\\10<\n");
    bucket_is(&d.port, "alarm", "\\8\\5\\10\\1 = \n");
    bucket_is(&d.port, "auth", "authEnabled = \\0\nauthRevision = \\0\\0\\0\\0\\0\\0\\0\\4\n");
    bucket_is(&d.port, "authUsers",
              "ann = \\a\\3ann\\12<" HASH "\"\\0\nzoe = \\a\\3zoe\\12<" HASH "\"\\0\n");
    bucket_is(&d.port, "authRoles", "reader = \\a\\6reader\n");
    bucket_is(&d.port, "cluster", "clusterVersion = 3.6.0\n");
    bucket_is(&d.port, "members",
              "10 = {\"id\":16,\"peerURLs\":[\"http://one:2380\"],\"name\":\"n1\","
              "\"clientURLs\":[\"http://one:2380\"]}\n"
              "11 = {\"id\":17,\"peerURLs\":[\"http://one:2380\","
              "\"http://\\u0022two\\u0022:2380\"],\"isLearner\":true}\n");
    bucket_is(&d.port, "members_removed", "");
    bucket_is(&d.port, "meta",
              "confState = {\"voters\":[16],\"learners\":[17],\"auto_leave\":false}\n"
              "consistent_index = \\0\\0\\0\\0\\0\\0\\0\\a\n"
              "storageVersion = 3.6.0\n"
              "term = \\0\\0\\0\\0\\0\\0\\0\\1\n");
    end(b);
    assert_null(test_disk_name(&d, 0));
    assert_int_equal(d.open_files, 0);
    assert_int_equal(d.syncs, 0);
    test_disk_fini(&d);
    node_close(&n);
}

static void history_ends_at_the_last_compaction(void **state)
{
    struct node n;
    struct test_disk d;
    struct oak_backup *b = NULL;
    uint64_t size = 0;
    (void)state;
    fill(&n);
    compact(&n, 5);
    node_commit(&n);
    test_disk_init(&d, 1);
    assert_int_equal(begin(&n, &d.port, 0, &b), 0);
    assert_int_equal(run(b, &size), 0);
    bucket_is(&d.port, "key",
              "5.0t = \\a\\1a\n"
              "5.1t = \\a\\1b\n"
              "6.0 = \\a\\1a\\10\\6\\18\\6\\20\\1*\\4four\n");
    bucket_is(&d.port, "meta",
              "confState = {\"voters\":[16],\"learners\":[17],\"auto_leave\":false}\n"
              "consistent_index = \\0\\0\\0\\0\\0\\0\\0\\a\n"
              "finishedCompactRev = \\0\\0\\0\\0\\0\\0\\0\\5_\\0\\0\\0\\0\\0\\0\\0\\0\n"
              "scheduledCompactRev = \\0\\0\\0\\0\\0\\0\\0\\5_\\0\\0\\0\\0\\0\\0\\0\\0\n"
              "storageVersion = 3.6.0\n"
              "term = \\0\\0\\0\\0\\0\\0\\0\\1\n");
    end(b);
    test_disk_fini(&d);
    node_close(&n);
}

/* Read it in blobs; the digest comes last, alone. */
static int read_all(struct oak_backup *b, size_t blob, struct oak_buf *out)
{
    uint8_t bytes[700];
    size_t got = 1;
    int error = 0;
    while (error == 0 && got > 0) {
        error = oak_backup_read(b, bytes, blob, &got);
        error = error != 0 ? error : oak_buf_append(out, bytes, got);
    }
    return error;
}

static void it_is_read_back_and_its_digest_behind_it(void **state)
{
    struct node n;
    struct test_disk d;
    struct oak_backup *b = NULL;
    struct oak_buf out = {0};
    uint8_t digest[OAK_BACKUP_DIGEST_BYTES];
    uint64_t size = 0;
    size_t file_size = 0;
    (void)state;
    fill(&n);
    test_disk_init(&d, 1);
    assert_int_equal(begin(&n, &d.port, 0, &b), 0);
    assert_int_equal(run(b, &size), 0);
    assert_int_equal(read_all(b, 700, &out), 0);
    const uint8_t *file = test_disk_peek(&d, MADE, &file_size);
    assert_int_equal(file_size, size);
    assert_int_equal(out.size, size + sizeof(digest));
    assert_memory_equal(out.data, file, size);
    assert_int_equal(EVP_Digest(file, size, digest, NULL, EVP_sha256(), NULL), 1);
    assert_memory_equal(out.data + size, digest, sizeof(digest));
    oak_buf_fini(&out);
    end(b);
    assert_int_equal(d.open_files, 0);
    test_disk_fini(&d);
    node_close(&n);
}

/* With less memory it takes runs on disk, and merging them; the file is the same. */
static void memory_makes_no_difference(void **state)
{
    static const size_t rooms[] = {64, 300, 1000};
    struct node n;
    struct test_disk d;
    struct oak_backup *b = NULL;
    uint64_t size = 0;
    size_t want_size;
    (void)state;
    fill(&n);
    test_disk_init(&d, 1);
    assert_int_equal(begin(&n, &d.port, 0, &b), 0);
    assert_int_equal(run(b, &size), 0);
    for (size_t i = 0; i < OAK_COUNT_OF(rooms); i++) {
        struct test_disk other;
        struct oak_backup *less = NULL;
        size_t got_size;
        test_disk_init(&other, 1);
        assert_int_equal(begin(&n, &other.port, rooms[i], &less), 0);
        assert_int_equal(run(less, &size), 0);
        const uint8_t *want = test_disk_peek(&d, MADE, &want_size);
        const uint8_t *got = test_disk_peek(&other, MADE, &got_size);
        assert_int_equal(got_size, want_size);
        assert_memory_equal(got, want, want_size);
        assert_null(test_disk_name(&other, 1)); /* the file alone is left */
        end(less);
        test_disk_fini(&other);
    }
    end(b);
    test_disk_fini(&d);
    node_close(&n);
}

static void one_that_is_given_up_leaves_nothing(void **state)
{
    struct node n;
    bool over = false;
    (void)state;
    fill(&n);
    for (size_t pieces = 0; !over; pieces++) {
        struct test_disk d;
        struct oak_backup *b = NULL;
        uint64_t size;
        test_disk_init(&d, 1);
        assert_int_equal(begin(&n, &d.port, 300, &b), 0);
        for (size_t i = 0; i < pieces && !over; i++) {
            over = oak_backup_run(b, 1);
        }
        assert_int_equal(oak_backup_made(b, &size), over ? 0 : OAK_EAGAIN);
        end(b);
        assert_null(test_disk_name(&d, 0));
        assert_int_equal(d.open_files, 0);
        test_disk_fini(&d);
    }
    node_close(&n);
}

/* All of it; 0, or the first error. */
static int whole(struct node *n, const struct oak_disk *disk)
{
    struct oak_backup *b = NULL;
    struct oak_buf out = {0};
    uint64_t size;
    int error = begin(n, disk, 300, &b);
    if (error != 0) {
        assert_null(b);
        return error;
    }
    error = run(b, &size);
    error = error != 0 ? error : read_all(b, 700, &out);
    oak_buf_fini(&out);
    end(b);
    return error;
}

static void each_call_to_the_disk_may_fail(void **state)
{
    struct node n;
    bool reached = true;
    size_t told = 0;
    (void)state;
    fill(&n);
    for (uint64_t at = 0; reached; at++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        d.fail_at = at;
        d.fail_error = at % 2 == 0 ? OAK_ENOSPC : OAK_EIO;
        int error = whole(&n, &d.port);
        assert_true(error == 0 || error == d.fail_error);
        told += error != 0 ? 1 : 0;
        reached = d.calls > at;
        assert_int_equal(d.open_files, 0);
        /* One name at most: what was to be removed by the call that failed. */
        assert_null(test_disk_name(&d, 1));
        d.fail_at = TEST_DISK_NEVER;
        assert_int_equal(oak_backup_clean(&d.port, "scratch"), 0);
        assert_null(test_disk_name(&d, 0));
        test_disk_fini(&d);
    }
    assert_true(told > 10);
    node_close(&n);
}

static void each_allocation_may_fail(void **state)
{
    struct node n;
    bool reached = true;
    size_t told = 0;
    (void)state;
    fill(&n);
    for (uint64_t at = 0; reached; at++) {
        struct test_disk d;
        test_disk_init(&d, 1);
        test_fail_from_here(at);
        int error = whole(&n, &d.port);
        reached = test_has_failed();
        assert_true(error == 0 || error == OAK_ENOMEM);
        told += error != 0 ? 1 : 0;
        assert_int_equal(d.open_files, 0);
        assert_int_equal(oak_backup_clean(&d.port, "scratch"), 0);
        assert_null(test_disk_name(&d, 0));
        test_disk_fini(&d);
    }
    assert_true(told > 50);
    node_close(&n);
}

static void a_start_removes_what_a_crash_has_left(void **state)
{
    struct test_disk d;
    (void)state;
    test_disk_init(&d, 1);
    assert_int_equal(oak_backup_clean(&d.port, "scratch"), 0); /* there is none */
    for (size_t i = 0; i < 3; i++) {
        char path[32];
        struct oak_file *f;
        snprintf(path, sizeof(path), "scratch/%zu-%zu.run", i, i);
        assert_int_equal(d.port.open(&d, path, OAK_FILE_CREATE, &f), 0);
        d.port.close(&d, f);
    }
    assert_int_equal(oak_backup_clean(&d.port, "scratch"), 0);
    assert_null(test_disk_name(&d, 0));
    test_disk_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_has_what_etcd_looks_for),
        cmocka_unit_test(history_ends_at_the_last_compaction),
        cmocka_unit_test(it_is_read_back_and_its_digest_behind_it),
        cmocka_unit_test(memory_makes_no_difference),
        cmocka_unit_test(one_that_is_given_up_leaves_nothing),
        cmocka_unit_test(each_call_to_the_disk_may_fail),
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(a_start_removes_what_a_crash_has_left),
    };
    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
