/* SPDX-License-Identifier: Apache-2.0 */
/* config_test.c: files, the cluster to be born, ids, and the table itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "server/config_internal.h"
#include "server/sha1.h"

static const char *const no_env[] = {NULL};

/* -- SHA-1 and ids ----------------------------------------------------------------------------- */

static void sha1_is(const char *text, size_t times, const char *hex)
{
    struct server__sha1 h;
    server__sha1_init(&h);
    for (size_t i = 0; i < times; i++) {
        server__sha1_add(&h, text, strlen(text));
    }
    uint8_t digest[SERVER__SHA1_BYTES];
    server__sha1_end(&h, digest);
    char got[2 * SERVER__SHA1_BYTES + 1];
    for (size_t i = 0; i < sizeof(digest); i++) {
        snprintf(got + 2 * i, 3, "%02x", digest[i]);
    }
    assert_string_equal(got, hex);
}

static void sha1_gives_the_published_digests(void **state)
{
    (void)state; /* RFC 3174, section 7.3 */
    sha1_is("abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d");
    sha1_is("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    sha1_is("a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    sha1_is("0123456701234567012345670123456701234567012345670123456701234567", 10,
            "dea356a2cddd90c7a7ecedc5ebb563934f460452");
    sha1_is("", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

/* What etcd 3 prints for its own default member, and for the cluster of its Procfile. */
static void ids_are_those_that_etcd_derives(void **state)
{
    (void)state;
    const char *argv[] = {"oakum", NULL};
    struct oak_config_input input = {.argc = 1, .argv = argv, .env = no_env};
    struct oak_config c;
    struct oak_config_cluster cluster;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_config_load(&input, &c, &e), 0);
    assert_int_equal(oak_config_bootstrap(&c, &cluster, &e), 0);
    assert_int_equal(cluster.member_count, 1);
    assert_true(cluster.self_id == 0x8e9e05c52164694dull);
    assert_true(cluster.id == 0xcdf818194e3a8c32ull);
    oak_config_fini(&c);

    const char *three[] = {"oakum",
                           "--name=infra2",
                           "--initial-cluster-token=etcd-cluster-1",
                           "--initial-advertise-peer-urls=http://127.0.0.1:22380",
                           "--initial-cluster=infra1=http://127.0.0.1:12380,infra2=http://"
                           "127.0.0.1:22380,infra3=http://127.0.0.1:32380",
                           NULL};
    input = (struct oak_config_input){.argc = 5, .argv = three, .env = no_env};
    assert_int_equal(oak_config_load(&input, &c, &e), 0);
    assert_int_equal(oak_config_bootstrap(&c, &cluster, &e), 0);
    assert_int_equal(cluster.member_count, 3);
    assert_true(cluster.id == 0xef37ad9dc622a7c4ull);
    assert_true(cluster.self_id == 0x91bc3c398fb3c146ull);
    assert_true(cluster.members[0].id == 0x8211f1d0f64f3269ull);
    assert_true(cluster.members[2].id == 0xfd422379fda50e48ull);
    assert_string_equal(cluster.members[2].name, "infra3");
    assert_string_equal(cluster.members[2].peer_urls.items[0], "http://127.0.0.1:32380");
    oak_config_fini(&c);
}

static void a_member_may_have_several_urls_and_their_order_does_not_matter(void **state)
{
    (void)state;
    const char *argv[] = {"oakum", "--name=a",
                          "--initial-advertise-peer-urls=http://b:2,http://a:1",
                          "--initial-cluster=a=http://b:2,c=http://c:1,a=http://a:1", NULL};
    const char *turned[] = {"oakum", "--name=a",
                            "--initial-advertise-peer-urls=http://a:1,http://b:2",
                            "--initial-cluster=c=http://c:1,a=http://a:1,a=http://b:2", NULL};
    uint64_t self[2];
    for (int i = 0; i < 2; i++) {
        struct oak_config_input input = {.argc = 4, .argv = i == 0 ? argv : turned, .env = no_env};
        struct oak_config c;
        struct oak_config_cluster cluster;
        struct oak_errbuf e = {0};
        assert_int_equal(oak_config_load(&input, &c, &e), 0);
        assert_int_equal(oak_config_bootstrap(&c, &cluster, &e), 0);
        assert_int_equal(cluster.member_count, 2);
        self[i] = cluster.self_id;
        oak_config_fini(&c);
    }
    assert_true(self[0] == self[1]);
}

static void bootstrap_fails(const char *cluster_flag, const char *expected)
{
    const char *argv[] = {"oakum", "--name=a", "--initial-advertise-peer-urls=http://a:1",
                          cluster_flag, NULL};
    struct oak_config_input input = {.argc = 4, .argv = argv, .env = no_env};
    struct oak_config c;
    struct oak_config_cluster cluster;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_config_load(&input, &c, &e), 0);
    assert_true(oak_config_bootstrap(&c, &cluster, &e) < 0);
    if (strstr(e.text, expected) == NULL) {
        print_message("got: %s\n", e.text);
        assert_non_null(strstr(e.text, expected));
    }
    oak_config_fini(&c);
}

static void a_cluster_that_does_not_fit_the_member_is_refused(void **state)
{
    (void)state;
    bootstrap_fails("--initial-cluster=b=http://a:1", "couldn't find local name \"a\"");
    bootstrap_fails("--initial-cluster=a=http://a:2", "missing from --initial-advertise-peer-urls");
    bootstrap_fails("--initial-cluster=a=http://a:1,a=http://a:2",
                    "--initial-cluster has a=http://a:2");
    bootstrap_fails("--initial-cluster=a=http://a:1,b=http://a:1", "duplicate url http://a:1");
    bootstrap_fails("--initial-cluster=a", "is not a row such as");
    bootstrap_fails("--initial-cluster==http://a:1", "is not a row such as");
    bootstrap_fails("--initial-cluster=a=ftp://a:1",
                    "--initial-cluster: \"ftp://a:1\" is not a URL");
    bootstrap_fails("--initial-cluster=a=ftp://a:1", "is not a URL");
    struct oak_buf many = {0};
    assert_int_equal(oak_buf_printf(&many, "--initial-cluster="), 0);
    for (int i = 0; i <= OAK_CONFIG_MEMBERS_MAX; i++) {
        assert_int_equal(oak_buf_printf(&many, "m%d=http://m:%d,", i, i), 0);
    }
    assert_int_equal(oak_buf_append(&many, "", 1), 0);
    bootstrap_fails((const char *)many.data, "more than 16 members");
    oak_buf_fini(&many);
}

static void an_advertised_url_that_the_row_lacks_is_refused(void **state)
{
    (void)state;
    const char *argv[] = {"oakum", "--name=a",
                          "--initial-advertise-peer-urls=http://a:1,http://a:2",
                          "--initial-cluster=a=http://a:1", NULL};
    struct oak_config_input input = {.argc = 4, .argv = argv, .env = no_env};
    struct oak_config c;
    struct oak_config_cluster cluster;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_config_load(&input, &c, &e), 0);
    assert_int_equal(oak_config_bootstrap(&c, &cluster, &e), OAK_EINVAL);
    assert_non_null(strstr(e.text, "--initial-advertise-peer-urls has http://a:2"));
    oak_config_fini(&c);
}

/* -- files ------------------------------------------------------------------------------------- */

/* Load a file of this text. Beside it are a flag and a variable, which the file must silence. */
static int load_text(const char *text, struct oak_config *c, struct oak_errbuf *e)
{
    char path[] = "/tmp/oakum-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    const char *argv[] = {"oakum", "--name=by-flag", "--config-file", path, NULL};
    const char *env[] = {"ETCD_LOG_LEVEL=debug", "ETCD_NAME=by-variable", NULL};
    struct oak_config_input input = {.argc = 4, .argv = argv, .env = env};
    *e = (struct oak_errbuf){0};
    int error = oak_config_load(&input, c, e);
    unlink(path);
    return error;
}

static void a_file_replaces_flags_and_variables(void **state)
{
    (void)state;
    struct oak_config c;
    struct oak_errbuf e;
    assert_int_equal(load_text("data-dir: /var/lib/x\n", &c, &e), 0);
    assert_string_equal(c.name, "default");
    assert_string_equal(c.data_dir, "/var/lib/x");
    assert_int_equal(c.log_level, OAK_LOG_INFO);
    assert_string_equal(c.initial_cluster, "default=http://localhost:2380");
    oak_config_fini(&c);
}

static void a_file_gives_every_kind_of_value(void **state)
{
    (void)state;
    struct oak_config c;
    struct oak_errbuf e;
    const char *text = "# a member\n"
                       "name: 'n1'\n"
                       "listen-client-urls: http://10.0.0.1:2379,http://127.0.0.1:2379\n"
                       "advertise-client-urls: http://n1:2379\n"
                       "heartbeat-interval: 50\n"
                       "election-timeout: 500\n"
                       "unsafe-no-fsync: true\n"
                       "log-outputs: [stdout, stderr]\n"
                       "log-format: console\n"
                       "initial-cluster-state: existing\n"
                       "compaction-sleep-interval: 10000000\n"
                       "watch-progress-notify-interval: 600000000000\n"
                       "wal-dir:\n"
                       "experimental-snapshot-catch-up-entries: 77\n"
                       "experimental-store: memory\n"
                       "client-transport-security:\n"
                       "  cert-file: ''\n"
                       "  client-cert-auth: false\n"
                       "  allowed-cn: []\n"
                       "something-new: {a: [1, {b: c}], d: e}\n"
                       "cert-file: not-a-key-of-a-file\n";
    assert_int_equal(load_text(text, &c, &e), 0);
    assert_string_equal(c.name, "n1");
    assert_int_equal(c.listen_client_urls.count, 2);
    assert_string_equal(c.listen_client_urls.items[0], "http://10.0.0.1:2379");
    assert_int_equal(c.heartbeat_interval_ms, 50);
    assert_int_equal(c.election_timeout_ms, 500);
    assert_true(c.unsafe_no_fsync);
    assert_true(c.log_to_stdout && c.log_to_stderr);
    assert_int_equal(c.log_format, OAK_CONFIG_LOG_CONSOLE);
    assert_int_equal(c.initial_cluster_state, OAK_CONFIG_CLUSTER_EXISTING);
    assert_int_equal(c.snapshot_catchup_entries, 77);
    assert_int_equal(c.store, OAK_CONFIG_STORE_MEMORY);
    assert_int_equal(c.warning_count, 2);
    assert_non_null(strstr(c.warnings[0], "something-new"));
    assert_non_null(strstr(c.warnings[1], "cert-file"));
    oak_config_fini(&c);
}

static void sections_of_a_file_stand_for_flags(void **state)
{
    (void)state;
    struct oak_config c;
    struct oak_errbuf e;
    const char *text = "listen-client-urls: https://127.0.0.1:1\n"
                       "advertise-client-urls: https://127.0.0.1:1\n"
                       "cipher-suites: [TLS_A, TLS_B]\n"
                       "tls-min-version: TLS1.2\n"
                       "client-transport-security:\n"
                       "  cert-file: c\n"
                       "  key-file: k\n"
                       "  client-cert-auth: true\n"
                       "  trusted-ca-file: ca\n"
                       "  allowed-cn: [a, b]\n"
                       "  crl-file: no key of etcd's\n"
                       "peer-transport-security:\n"
                       "  cert-file: pc\n"
                       "  key-file: pk\n"
                       "  client-cert-file: pcc\n"
                       "  client-key-file: pck\n"
                       "  client-cert-auth: true\n"
                       "  trusted-ca-file: pca\n"
                       "  allowed-hostname: [h]\n"
                       "  skip-client-san-verification: true\n";
    assert_int_equal(load_text(text, &c, &e), 0);
    assert_string_equal(c.client_tls.cert_file, "c");
    assert_string_equal(c.client_tls.key_file, "k");
    assert_string_equal(c.client_tls.trusted_ca_file, "ca");
    assert_string_equal(c.client_tls.allowed_names, "a,b");
    assert_string_equal(c.client_tls.crl_file, "");
    assert_true(c.client_tls.client_cert_auth && c.peer_tls.client_cert_auth);
    assert_string_equal(c.peer_tls.cert_file, "pc");
    assert_string_equal(c.peer_tls.client_cert_file, "pcc");
    assert_string_equal(c.peer_tls.trusted_ca_file, "pca");
    assert_string_equal(c.peer_tls.allowed_hosts, "h");
    assert_true(c.peer_tls.skip_san);
    assert_string_equal(c.cipher_suites, "TLS_A,TLS_B");
    /* The unknown key, and two peer URLs by http beside certificates that they don't use. */
    assert_int_equal(c.warning_count, 3);
    assert_non_null(strstr(c.warnings[0], "client-transport-security.crl-file is not known"));
    oak_config_fini(&c);
}

static void a_file_may_be_json_or_empty(void **state)
{
    (void)state;
    struct oak_config c;
    struct oak_errbuf e;
    assert_int_equal(load_text("{\"name\": \"j\", \"max-txn-ops\": 7}", &c, &e), 0);
    assert_string_equal(c.name, "j");
    assert_int_equal(c.max_txn_ops, 7);
    oak_config_fini(&c);
    assert_int_equal(load_text("", &c, &e), 0);
    assert_string_equal(c.data_dir, "default.etcd");
    oak_config_fini(&c);
    assert_int_equal(load_text("# nothing\n---\n", &c, &e), 0);
    oak_config_fini(&c);
}

static void file_fails(const char *text, int error, const char *expected)
{
    struct oak_config c;
    struct oak_errbuf e;
    int got = load_text(text, &c, &e);
    if (got != error || strstr(e.text, expected) == NULL) {
        print_message("got: %s\n", e.text);
        assert_int_equal(got, error);
        assert_non_null(strstr(e.text, expected));
    }
    assert_false(c.misused);
    oak_config_fini(&c);
}

static void a_bad_file_is_refused_with_its_place(void **state)
{
    (void)state;
    file_fails("name: [a\n", OAK_EFORMAT, "line 2, column 1");
    file_fails("- name\n", OAK_EFORMAT, "a configuration is a mapping");
    file_fails("name\n", OAK_EFORMAT, "a configuration is a mapping");
    file_fails("name: {a: b}\n", OAK_EFORMAT, "line 1: a value or a list is expected");
    file_fails("log-outputs: [[a]]\n", OAK_EFORMAT, "a list here holds plain values");
    file_fails("[a, b]: c\n", OAK_EFORMAT, "a key is expected");
    file_fails("a: &x 1\nname: *x\n", OAK_EFORMAT, "references");
    file_fails("name: a\nname: b\n", OAK_EFORMAT, "line 2: a key that was already given");
    file_fails("name: \"a\\0b\"\n", OAK_EFORMAT, "zero byte");
    file_fails("heartbeat-interval: 100ms\n", OAK_EINVAL, "heartbeat-interval: \"100ms\" is not");
    file_fails("corrupt-check-time: 5s\n", OAK_EINVAL, "whole number of nanoseconds");
    file_fails("listen-client-urls: http://127.0.0.1:1\n", OAK_EINVAL,
               "--advertise-client-urls is required");
    file_fails("client-transport-security: {cert-file: a.pem}\n", OAK_EINVAL,
               "give both --cert-file and --key-file");
    file_fails("client-transport-security: {client-cert-auth: perhaps}\n", OAK_EINVAL,
               "client-transport-security.client-cert-auth: \"perhaps\" is neither");
    file_fails("peer-transport-security: {allowed-cn: [a]}\n", OAK_EINVAL,
               "--peer-cert-allowed-cn: give --peer-trusted-ca-file too");
    file_fails("client-transport-security: {allowed-cn: [a]}\n", OAK_EINVAL,
               "--client-transport-security.allowed-cn: give --trusted-ca-file too");
    file_fails("discovery-config: {token: x}\n", OAK_EUNIMPLEMENTED,
               "discovery-config.token: not supported yet");
    file_fails("peer-transport-security: yes please\n", OAK_EFORMAT, "a section is expected");
    char deep[400];
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "x: ", 3);
    deep[sizeof(deep) - 1] = '\0';
    file_fails(deep, OAK_EFORMAT, "nested too deep");
}

static void a_file_that_is_not_there_or_too_long_is_refused(void **state)
{
    (void)state;
    const char *argv[] = {"oakum", "--config-file=/nonexistent/oakum.yaml", NULL};
    struct oak_config_input input = {.argc = 2, .argv = argv, .env = no_env};
    struct oak_config c;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_config_load(&input, &c, &e), OAK_ENOENT);
    assert_non_null(strstr(e.text, "/nonexistent/oakum.yaml"));
    oak_config_fini(&c);
    char *text = malloc(OAK_CONFIG_FILE_BYTES_MAX + 2);
    memset(text, '#', OAK_CONFIG_FILE_BYTES_MAX + 1);
    text[OAK_CONFIG_FILE_BYTES_MAX + 1] = '\0';
    file_fails(text, OAK_ELIMIT, "is it the right file?");
    free(text);
}

static void a_file_can_be_named_by_a_variable(void **state)
{
    (void)state;
    const char *argv[] = {"oakum", NULL};
    const char *env[] = {"ETCD_CONFIG_FILE=/nonexistent/oakum.yaml", NULL};
    struct oak_config_input input = {.argc = 1, .argv = argv, .env = env};
    struct oak_config c;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_config_load(&input, &c, &e), OAK_ENOENT);
    oak_config_fini(&c);
    env[0] = "ETCD_CONFIG_FILE=";
    assert_int_equal(oak_config_load(&input, &c, &e), 0);
    assert_null(c.config_file);
    oak_config_fini(&c);
}

/* -- the table --------------------------------------------------------------------------------- */

static void every_row_is_sound(void **state)
{
    (void)state;
    size_t count;
    const struct config__row *rows = config__rows(&count);
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, 1 * OAK_MIB);
    for (size_t i = 0; i < count; i++) {
        struct config__value value;
        struct oak_errbuf e = {0};
        bool by_alias;
        assert_ptr_equal(config__row_find(oak_bytes_str(rows[i].name), &by_alias), &rows[i]);
        assert_false(by_alias);
        assert_true(rows[i].fate == CONFIG__LEGACY ||
                    config__value_read(&arena, &rows[i], rows[i].value, CONFIG__FORM_FLAG, &value,
                                       &e) == 0);
        assert_true(rows[i].fate == CONFIG__LEGACY || strlen(rows[i].help) > 0);
        assert_true((rows[i].fate == CONFIG__LATER) == (rows[i].why != NULL));
        assert_true((rows[i].kind == CONFIG__CHOICE) == (rows[i].choices != NULL));
        assert_true(rows[i].kind != CONFIG__INT || rows[i].min < rows[i].max);
        assert_true(strlen(rows[i].name) < 60);
    }
    oak_arena_fini(&arena);
}

static void the_help_names_every_flag(void **state)
{
    (void)state;
    size_t count;
    const struct config__row *rows = config__rows(&count);
    struct oak_buf text = {0};
    assert_int_equal(oak_config_help(&text), 0);
    assert_int_equal(oak_buf_append(&text, "", 1), 0);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(strstr((const char *)text.data, rows[i].name));
    }
    oak_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1_gives_the_published_digests),
        cmocka_unit_test(ids_are_those_that_etcd_derives),
        cmocka_unit_test(a_member_may_have_several_urls_and_their_order_does_not_matter),
        cmocka_unit_test(a_cluster_that_does_not_fit_the_member_is_refused),
        cmocka_unit_test(an_advertised_url_that_the_row_lacks_is_refused),
        cmocka_unit_test(a_file_replaces_flags_and_variables),
        cmocka_unit_test(a_file_gives_every_kind_of_value),
        cmocka_unit_test(sections_of_a_file_stand_for_flags),
        cmocka_unit_test(a_file_may_be_json_or_empty),
        cmocka_unit_test(a_bad_file_is_refused_with_its_place),
        cmocka_unit_test(a_file_that_is_not_there_or_too_long_is_refused),
        cmocka_unit_test(a_file_can_be_named_by_a_variable),
        cmocka_unit_test(every_row_is_sound),
        cmocka_unit_test(the_help_names_every_flag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
