/* SPDX-License-Identifier: Apache-2.0 */
/* identity_test.c: the identity of a data directory comes back as it was, or is refused by line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "os/os.h"
#include "server/identity.h"

static char dir[64];
static char path[80];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/oakum-identity-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/identity", dir);
    return 0;
}

static int teardown(void **state)
{
    const struct oak_disk *disk = oak_os_disk();
    (void)state;
    (void)disk->remove(disk->user, path);
    return disk->remove(disk->user, dir);
}

static const char *urls_a[] = {"http://10.0.0.1:2380", "http://10.0.0.1:2390"};
static const char *urls_b[] = {"http://10.0.0.2:2380"};

static void create_as(bool joined)
{
    struct oak_config_cluster cluster = {.id = 7, .self_id = 0xabc, .member_count = 2};
    cluster.members[0] = (struct oak_config_member){
        .id = 0xabc, .name = "a", .peer_urls = {.items = urls_a, .count = 2}};
    cluster.members[1] = (struct oak_config_member){
        .id = 0xdef, .name = "b", .peer_urls = {.items = urls_b, .count = 1}};
    struct oak_errbuf e;
    assert_int_equal(identity_create(oak_os_disk(), dir, "a", &cluster, joined, &e), 0);
}

static void create(void)
{
    create_as(false);
}

static void what_was_written_comes_back(void **state)
{
    struct identity id;
    struct oak_errbuf e;
    (void)state;
    create();
    assert_int_equal(identity_load(oak_os_disk(), dir, &id, &e), 0);
    assert_int_equal(id.cluster, 7);
    assert_int_equal(id.self, 0xabc);
    assert_string_equal(id.name, "a");
    assert_int_equal(id.member_count, 2);
    assert_int_equal(id.members[0].peer_urls.count, 2);
    assert_string_equal(id.members[0].peer_urls.items[1], "http://10.0.0.1:2390");
    assert_string_equal(id.members[1].name, "b");
    assert_false(id.joined);
    identity_fini(&id);
}

static void who_joined_knows_it(void **state)
{
    struct identity id;
    struct oak_errbuf e;
    (void)state;
    create_as(true);
    assert_int_equal(identity_load(oak_os_disk(), dir, &id, &e), 0);
    assert_true(id.joined);
    assert_int_equal(id.member_count, 2);
    identity_fini(&id);
}

static void an_empty_directory_has_none(void **state)
{
    struct identity id;
    struct oak_errbuf e;
    (void)state;
    assert_int_equal(identity_load(oak_os_disk(), dir, &id, &e), OAK_ENOENT);
    identity_fini(&id);
}

static int load_text(const char *text, struct oak_errbuf *e)
{
    struct identity id;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    int error = identity_load(oak_os_disk(), dir, &id, e);
    identity_fini(&id);
    return error;
}

static void every_damaged_line_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"oakum-identity 2\n", "line 1"},
        {"oakum-identity 1\ncluster 0\n", "line 2"},
        {"oakum-identity 1\ncluster 7\nmember xyz\n", "line 3"},
        {"oakum-identity 1\ncluster 7\nmember 1\nname a\npeer 1 a\n", "line 5"},
        {"oakum-identity 1\ncluster 7\nmember 1\nname a\nnonsense 1\n", "line 5"},
        {"oakum-identity 1\ncluster 7\nmember 1\nname a\npeer 1 a http://h:1", "line 5"},
        {"oakum-identity 1\ncluster 7\nmember 1\nname a\n", "incomplete"},
        {"oakum-identity 1\ncluster 7\nmember 2\nname a\npeer 1 a http://h:1\n", "incomplete"},
        {"", "incomplete"},
    };
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        struct oak_errbuf e = {.text = ""};
        assert_int_equal(load_text(rows[i][0], &e), OAK_ECORRUPT);
        assert_non_null(strstr(e.text, rows[i][1]));
        assert_non_null(strstr(e.text, path));
    }
}

static void a_birth_cut_short_is_finished_by_the_next(void **state)
{
    char draft[96];
    (void)state;
    snprintf(draft, sizeof(draft), "%s.part", path);
    FILE *file = fopen(draft, "w");
    assert_non_null(file);
    fputs("oakum-iden", file);
    fclose(file);
    create();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_written_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(who_joined_knows_it, setup, teardown),
        cmocka_unit_test_setup_teardown(an_empty_directory_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(every_damaged_line_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(a_birth_cut_short_is_finished_by_the_next, setup, teardown),
    };
    return cmocka_run_group_tests_name("server/identity", tests, NULL, NULL);
}
