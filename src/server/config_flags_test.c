/* SPDX-License-Identifier: Apache-2.0 */
/* config_flags_test.c: flags and variables, and the rules between them. */
#include "server/config_fixture.h"

static void without_anything_the_defaults_are_etcds(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL, NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.action, OAK_CONFIG_SERVE);
    assert_string_equal(a.c.name, "default");
    assert_string_equal(a.c.data_dir, "default.etcd");
    assert_string_equal(a.c.listen_client_urls.items[0], "http://localhost:2379");
    assert_string_equal(a.c.listen_peer_urls.items[0], "http://localhost:2380");
    assert_string_equal(a.c.initial_cluster, "default=http://localhost:2380");
    assert_string_equal(a.c.initial_cluster_token, "etcd-cluster");
    assert_int_equal(a.c.initial_cluster_state, OAK_CONFIG_CLUSTER_NEW);
    assert_int_equal(a.c.heartbeat_interval_ms, 100);
    assert_int_equal(a.c.election_timeout_ms, 1000);
    assert_int_equal(a.c.snapshot_catchup_entries, 5000);
    assert_int_equal(a.c.log_away_ns, OAK_LOG_AWAY_MS * 1000000ull);
    assert_int_equal(a.c.snapshot_send_rate, OAK_SNAPSHOT_SEND_BYTES_A_SECOND_MAX);
    assert_int_equal(a.c.scrub_rate, OAK_SCRUB_BYTES_A_SECOND);
    assert_int_equal(a.c.scrub_interval_ms, OAK_SCRUB_REST_MS);
    assert_int_equal(a.c.max_request_bytes, 1572864);
    assert_int_equal(a.c.max_txn_ops, 128);
    assert_int_equal(a.c.max_concurrent_streams, OAK_STREAMS_MAX);
    assert_int_equal(a.c.listen_metrics_urls.count, 0);
    assert_int_equal(a.c.log_level, OAK_LOG_INFO);
    assert_int_equal(a.c.log_format, OAK_CONFIG_LOG_JSON);
    assert_true(a.c.log_to_stderr && !a.c.log_to_stdout);
    assert_false(a.c.unsafe_no_fsync);
    assert_int_equal(a.c.store, OAK_CONFIG_STORE_ROCKS);
    assert_int_equal(a.c.warning_count, 0);
    oak_config_fini(&a.c);
}

static void flags_are_read_in_gos_three_forms(void **state)
{
    (void)state;
    struct attempt a;
    load(&a,
         WORDS("-name", "x", "--data-dir", "/d", "--heartbeat-interval=20", "-election-timeout=200",
               "--unsafe-no-fsync", "--enable-grpc-gateway=f", "--log-level=fatal", "--name=y",
               "--snapshot-count=5"),
         NULL);
    assert_int_equal(a.error, 0);
    assert_string_equal(a.c.name, "y");
    assert_string_equal(a.c.data_dir, "/d");
    assert_int_equal(a.c.heartbeat_interval_ms, 20);
    assert_true(a.c.unsafe_no_fsync);
    assert_false(a.c.grpc_gateway);
    assert_int_equal(a.c.warning_count, 1);
    assert_int_equal(a.c.log_level, OAK_LOG_ERROR);
    oak_config_fini(&a.c);
    load(&a, WORDS("--name=a=b"), NULL); /* only the first = divides */
    expect(&a, OAK_EINVAL, false, "--name");
    load(&a, WORDS("--data-dir=a=b"), NULL);
    assert_string_equal(a.c.data_dir, "a=b");
    oak_config_fini(&a.c);
}

static void a_word_that_is_no_flag_is_refused_without_usage(void **state)
{
    (void)state;
    refused(WORDS("gateway"), NULL, OAK_EINVAL, "\"gateway\" is not a valid flag");
    refused(WORDS("--unsafe-no-fsync", "true"), NULL, OAK_EINVAL, "\"true\" is not a valid flag");
    refused(WORDS("--", "--name=x"), NULL, OAK_EINVAL, "\"--name=x\" is not a valid flag");
    refused(WORDS("-"), NULL, OAK_EINVAL, "\"-\" is not a valid flag");
}

static void a_flag_that_cannot_be_read_is_a_misuse(void **state)
{
    (void)state;
    misused(WORDS("--nmae=x"), "flag provided but not defined: -nmae");
    misused(WORDS("--name"), "flag needs an argument: -name");
    misused(WORDS("--=x"), "bad flag syntax: --=x");
    misused(WORDS("---name=x"), "bad flag syntax: ---name=x");
    misused(WORDS("--unsafe-no-fsync=maybe"), "--unsafe-no-fsync: \"maybe\" is neither");
    misused(WORDS("--heartbeat-interval=1s"), "--heartbeat-interval: \"1s\" is not a whole number");
    misused(WORDS("--heartbeat-interval=0"), "from 1 to 10000");
    misused(WORDS("--heartbeat-interval="), "is not a whole number");
    misused(WORDS("--max-txn-ops=99999999999999999999"), "is not a whole number");
    misused(WORDS("--max-request-bytes=1572865"), "from 1 to 1572864");
    misused(WORDS("--election-timeout=50001"), "from 1 to 50000");
    misused(WORDS("--initial-cluster-state=old"), "\"old\" is none of new|existing");
    misused(WORDS("--initial-cluster-state=ne"), "\"ne\" is none of new|existing");
    misused(WORDS("--compaction-sleep-interval=5"), "is not a duration");
    misused(WORDS("--version=perhaps"), "neither true nor false");
}

static void urls_must_be_whole_and_listeners_local(void **state)
{
    (void)state;
    misused(WORDS("--listen-peer-urls=localhost:2380"), "is not a URL");
    misused(WORDS("--listen-peer-urls=http://0.0.0.0"), "host:port");
    misused(WORDS("--listen-peer-urls=http://0.0.0.0:70000"), "host:port");
    misused(WORDS("--listen-peer-urls=http://0.0.0.0:2380/"), "must not contain a path");
    misused(WORDS("--listen-peer-urls=http://example.com:2380"),
            "expected IP in URL for binding (http://example.com:2380)");
    misused(WORDS("--listen-peer-urls=http://:2380"), "the host is missing");
    misused(WORDS("--listen-peer-urls=http://[::1:2380"), "the host is missing or malformed");
    misused(WORDS("--listen-peer-urls="), "at least one URL");
    misused(WORDS("--listen-peer-urls=http://[::1]:1,http://[::1]:1"), "is given twice");
    misused(WORDS("--listen-peer-urls=http://127.0.0.1:1,"), "\"\" is not a URL");
    misused(WORDS("--listen-peer-urls=ftp://127.0.0.1:1"), "is not a URL");
    misused(WORDS("--listen-peer-urls=unix://"), "the path of the socket is missing");
    struct attempt a;
    load(&a,
         WORDS("--listen-peer-urls= HTTP://[::1]:2380 ,http://0.0.0.0:2380",
               "--initial-advertise-peer-urls=http://any.name:1"),
         NULL);
    assert_int_equal(a.error, 0);
    assert_string_equal(a.c.listen_peer_urls.items[0], "http://0.0.0.0:2380");
    assert_string_equal(a.c.listen_peer_urls.items[1], "http://[::1]:2380");
    assert_string_equal(oak_config_url_address(a.c.listen_peer_urls.items[1]), "[::1]:2380");
    struct oak_buf text = {0};
    assert_int_equal(oak_config_urls_text(&a.c.listen_peer_urls, &text), 0);
    assert_true(
        oak_bytes_eq(oak_buf_bytes(&text), oak_bytes_str("http://0.0.0.0:2380,http://[::1]:2380")));
    oak_buf_fini(&text);
    oak_config_fini(&a.c);
}

static void urls_of_tls_and_of_sockets_have_their_places(void **state)
{
    (void)state;
    struct attempt a;
    load(&a,
         WORDS("--listen-client-urls=HTTPS://127.0.0.1:1,unix:///run/e.sock,unixs://a:1,http://"
               "[::1]:2",
               "--advertise-client-urls=https://any.name:1", "--auto-tls"),
         NULL);
    assert_int_equal(a.error, 0);
    static const struct {
        const char *url;
        const char *place;
        bool secure;
    } wanted[] = {
        {"http://[::1]:2", "[::1]:2", false},
        {"https://127.0.0.1:1", "127.0.0.1:1", true},
        {"unix:///run/e.sock", "unix:/run/e.sock", false},
        {"unixs://a:1", "unix:a:1", true},
    };
    assert_int_equal(a.c.listen_client_urls.count, OAK_COUNT_OF(wanted));
    for (size_t i = 0; i < OAK_COUNT_OF(wanted); i++) {
        struct oak_config_place place;
        assert_string_equal(a.c.listen_client_urls.items[i], wanted[i].url);
        oak_config_url_place(wanted[i].url, &place);
        assert_string_equal(place.text, wanted[i].place);
        assert_int_equal(oak_config_url_is_secure(wanted[i].url), wanted[i].secure);
    }
    oak_config_fini(&a.c);
}

static void help_and_version_end_the_reading(void **state)
{
    (void)state;
    static const char *const words[] = {"-h", "--help", "-help", "--help=true"};
    struct attempt a;
    for (size_t i = 0; i < OAK_COUNT_OF(words); i++) {
        load(&a, WORDS(words[i], "--nonsense"), NULL);
        assert_int_equal(a.error, 0);
        assert_int_equal(a.c.action, OAK_CONFIG_HELP);
        oak_config_fini(&a.c);
    }
    load(&a, WORDS("--version", "--name=x"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.action, OAK_CONFIG_VERSION);
    oak_config_fini(&a.c);
    misused(WORDS("--version", "--nonsense"), "not defined");
    assert_non_null(strstr(oak_config_version(), "etcd Version: 3.6.14\n"));
}

static void variables_set_what_flags_do_not(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, WORDS("--name=x"),
         WORDS("ETCD_DATA_DIR=/d", "ETCD_ELECTION_TIMEOUT=", "ETCD_MAX_TXN_OPS=9",
               "OAKUM_STORE=memory", "PATH=/bin", "ETCDCTL_API=3"));
    assert_int_equal(a.error, 0);
    assert_string_equal(a.c.name, "x");
    assert_string_equal(a.c.data_dir, "/d");
    assert_int_equal(a.c.election_timeout_ms, 1000);
    assert_int_equal(a.c.max_txn_ops, 9);
    assert_int_equal(a.c.store, OAK_CONFIG_STORE_MEMORY);
    assert_int_equal(a.c.warning_count, 0);
    oak_config_fini(&a.c);
    refused(NULL, WORDS("ETCD_MAX_TXN_OPS=many"), OAK_EINVAL, "ETCD_MAX_TXN_OPS: \"many\"");
    refused(NULL, WORDS("OAKUM_STORE=disk"), OAK_EINVAL, "OAKUM_STORE: \"disk\" is none of");
}

static void a_variable_beside_its_flag_is_a_conflict(void **state)
{
    (void)state;
    const char *text = "conflicting environment variable is shadowed by corresponding command-line";
    refused(WORDS("--name=x"), WORDS("ETCD_NAME=x"), OAK_EINVAL, text);
    refused(WORDS("--name=x"), WORDS("ETCD_NAME="), OAK_EINVAL, "ETCD_NAME");
    refused(WORDS("--experimental-store=rocks"), WORDS("OAKUM_STORE=rocks"), OAK_EINVAL, text);
    refused(WORDS("--force"), WORDS("ETCD_FORCE=1"), OAK_EINVAL, text);
    refused(WORDS("--experimental-max-learners=1"), WORDS("ETCD_EXPERIMENTAL_MAX_LEARNERS=1"),
            OAK_EINVAL, text);
}

static void unknown_variables_are_only_warned_about(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL, WORDS("ETCD_ROOT_PASSWORD=secret", "ETCD_VERSION=3.5", "ETCD_HELP=1"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 3);
    assert_non_null(
        strstr(a.c.warnings[0], "unrecognized environment variable ETCD_ROOT_PASSWORD"));
    assert_null(strstr(a.c.warnings[0], "secret"));
    oak_config_fini(&a.c);
}

static void what_cannot_be_done_yet_is_refused_by_name(void **state)
{
    (void)state;
    refused(NULL, WORDS("ETCD_FORCE_NEW_CLUSTER=true"), OAK_EUNIMPLEMENTED,
            "ETCD_FORCE_NEW_CLUSTER: not");
    refused(WORDS("--discovery-srv=example.com"), NULL, OAK_EUNIMPLEMENTED, "--discovery-srv");
    refused(WORDS("--auto-compaction-retention=soon"), NULL, OAK_EINVAL, "no number of hours");
    refused(WORDS("--auto-compaction-mode=revision", "--auto-compaction-retention=5m"), NULL,
            OAK_EINVAL, "no number of revisions");
    refused(WORDS("--auto-compaction-retention=10001"), NULL, OAK_EINVAL, "at most 10000 hours");
    refused(WORDS("--feature-gates=PriorityRequest=true"), NULL, OAK_EUNIMPLEMENTED,
            "PriorityRequest is not supported yet");
    refused(WORDS("--pre-vote=false"), NULL, OAK_EUNIMPLEMENTED, "--pre-vote");
}

static void values_that_change_nothing_are_taken(void **state)
{
    (void)state;
    struct attempt a;
    load(&a,
         WORDS("--cert-file=", "--client-cert-auth=false", "--quota-backend-bytes=-1",
               "--auto-compaction-retention=0", "--corrupt-check-time=0", "--pre-vote",
               "--watch-progress-notify-interval=600s", "--snapshot=true", "-v",
               "--feature-gates=LeaseCheckpoint=false,TxnModeWriteWithSharedBuffer=true"),
         WORDS("ETCD_KEY_FILE=", "ETCD_AUTO_TLS=false"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 2); /* the two that etcd ignores as well */
    oak_config_fini(&a.c);
    load(&a, WORDS("--max-wals=9", "--backend-batch-interval=50ms"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 2);
    assert_non_null(strstr(a.c.warnings[0], "--max-wals: accepted, but it changes nothing"));
    oak_config_fini(&a.c);
}

static void rules_between_flags_hold(void **state)
{
    (void)state;
    refused(WORDS("--listen-client-urls=http://127.0.0.1:1"), NULL, OAK_EINVAL,
            "--advertise-client-urls is required when --listen-client-urls is set explicitly");
    refused(NULL, WORDS("ETCD_LISTEN_CLIENT_URLS=http://127.0.0.1:1"), OAK_EINVAL,
            "--advertise-client-urls is required");
    refused(WORDS("--heartbeat-interval=201"), NULL, OAK_EINVAL,
            "--election-timeout[1000ms] should be at least as 5 times as "
            "--heartbeat-interval[201ms]");
    refused(WORDS("--name="), NULL, OAK_EINVAL, "--name: give a name");
    refused(WORDS("--name=a,b"), NULL, OAK_EINVAL, "--name: give a name");
    refused(WORDS("--listen-peer-urls=http://127.0.0.1:2379"), NULL, OAK_EINVAL,
            "--listen-client-urls and --listen-peer-urls both name");
    refused(WORDS("--listen-metrics-urls=http://localhost:2379"), NULL, OAK_EINVAL,
            "--listen-metrics-urls and --listen-client-urls both name");
}

static void what_is_left_of_leases_is_written_down_unless_it_is_put_off(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL, NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.lease_checkpoint_ns, (uint64_t)OAK_LEASE_CHECKPOINT_MS * 1000000);
    oak_config_fini(&a.c);
    load(&a, WORDS("--experimental-lease-checkpoint-interval=0"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.lease_checkpoint_ns, 0);
    oak_config_fini(&a.c);
    load(&a, NULL, WORDS("OAKUM_LEASE_CHECKPOINT_INTERVAL=90s"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.lease_checkpoint_ns, UINT64_C(90000000000));
    oak_config_fini(&a.c);
    misused(WORDS("--experimental-lease-checkpoint-interval=-1s"),
            "--experimental-lease-checkpoint-interval");
}

static void leases_for_reads_are_off_unless_they_are_asked_for(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL, NULL);
    assert_int_equal(a.error, 0);
    assert_false(a.c.lease_reads_given);
    assert_int_equal(a.c.lease_reads_ms, 0);
    assert_int_equal(a.c.clock_error_ms, 0);
    oak_config_fini(&a.c);
    /* 0 is a wish too: to have them off. */
    load(&a, WORDS("--experimental-lease-reads=0"), NULL);
    assert_int_equal(a.error, 0);
    assert_true(a.c.lease_reads_given);
    oak_config_fini(&a.c);
    load(&a, WORDS("--experimental-clock-error-ms=20"),
         WORDS("OAKUM_LEASE_READS=1500", "OAKUM_CLOCK_DRIFT_PPM=500"));
    assert_int_equal(a.error, 0);
    assert_true(a.c.lease_reads_given);
    assert_int_equal(a.c.lease_reads_ms, 1500);
    assert_int_equal(a.c.clock_drift_ppm, 500);
    assert_int_equal(a.c.clock_error_ms, 20);
    oak_config_fini(&a.c);
    misused(WORDS("--experimental-lease-reads=60001"), "--experimental-lease-reads");
    misused(WORDS("--experimental-clock-drift-ppm=500001"), "--experimental-clock-drift-ppm");
    misused(WORDS("--experimental-clock-error-ms=60001"), "--experimental-clock-error-ms");
    refused(WORDS("--experimental-clock-drift-ppm=100"), NULL, OAK_EINVAL,
            "give --experimental-lease-reads too");
}

static void a_member_may_be_preferred_as_leader(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL, NULL);
    assert_int_equal(a.c.leader_priority, 0);
    oak_config_fini(&a.c);
    load(&a, WORDS("--experimental-leader-priority=255"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.leader_priority, 255);
    oak_config_fini(&a.c);
    load(&a, NULL, WORDS("OAKUM_LEADER_PRIORITY=7"));
    assert_int_equal(a.c.leader_priority, 7);
    oak_config_fini(&a.c);
    misused(WORDS("--experimental-leader-priority=256"), "--experimental-leader-priority");
    misused(WORDS("--experimental-leader-priority=-1"), "--experimental-leader-priority");
}

static void listeners_may_all_ask_for_any_port(void **state)
{
    (void)state;
    struct attempt a;
    load(&a,
         WORDS("--listen-client-urls=http://127.0.0.1:0", "--listen-peer-urls=http://127.0.0.1:0",
               "--advertise-client-urls=http://a:1"),
         NULL);
    assert_int_equal(a.error, 0);
    oak_config_fini(&a.c);
}

static void a_lone_member_is_its_own_cluster(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, WORDS("--name=n", "--initial-advertise-peer-urls=http://h:1,http://g:1"), NULL);
    assert_int_equal(a.error, 0);
    assert_string_equal(a.c.initial_cluster, "n=http://g:1,n=http://h:1");
    assert_string_equal(a.c.data_dir, "n.etcd");
    struct oak_config_cluster cluster;
    assert_int_equal(oak_config_bootstrap(&a.c, &cluster, &a.e), 0);
    assert_int_equal(cluster.member_count, 1);
    oak_config_fini(&a.c);
}

static void a_file_forgives_flags_that_it_replaces(void **state)
{
    (void)state;
    refused(WORDS("--discovery=a", "--config-file=/nonexistent/file"), NULL, OAK_ENOENT,
            "/nonexistent/file");
}

static void durations_are_read_as_go_reads_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"5s", 5000000000},
        {"1h30m", 5400000000000},
        {"300ms", 300000000},
        {"1.5s", 1500000000},
        {"10us", 10000},
        {"7ns", 7},
        {"1m0s", 60000000000},
        {"2µs", 2000},
    };
    static const char *const bad[] = {"",    "5",  "s",    "-1s",        "1x",
                                      "1s ", ".s", "1e3s", "9999999999h"};
    int64_t ns;
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        assert_true(config__duration_read(good[i].text, &ns));
        assert_true(ns == good[i].ns);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_false(config__duration_read(bad[i], &ns));
    }
}

static void warnings_are_bounded(void **state)
{
    (void)state;
    static char names[200][32];
    const char *env[201] = {NULL};
    for (int i = 0; i < 200; i++) {
        snprintf(names[i], sizeof(names[i]), "ETCD_X%d=1", i);
        env[i] = names[i];
    }
    struct attempt a;
    load(&a, NULL, env);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 64);
    oak_config_fini(&a.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_the_defaults_are_etcds),
        cmocka_unit_test(flags_are_read_in_gos_three_forms),
        cmocka_unit_test(a_word_that_is_no_flag_is_refused_without_usage),
        cmocka_unit_test(a_flag_that_cannot_be_read_is_a_misuse),
        cmocka_unit_test(urls_must_be_whole_and_listeners_local),
        cmocka_unit_test(urls_of_tls_and_of_sockets_have_their_places),
        cmocka_unit_test(help_and_version_end_the_reading),
        cmocka_unit_test(variables_set_what_flags_do_not),
        cmocka_unit_test(a_variable_beside_its_flag_is_a_conflict),
        cmocka_unit_test(unknown_variables_are_only_warned_about),
        cmocka_unit_test(what_cannot_be_done_yet_is_refused_by_name),
        cmocka_unit_test(values_that_change_nothing_are_taken),
        cmocka_unit_test(rules_between_flags_hold),
        cmocka_unit_test(a_member_may_be_preferred_as_leader),
        cmocka_unit_test(what_is_left_of_leases_is_written_down_unless_it_is_put_off),
        cmocka_unit_test(leases_for_reads_are_off_unless_they_are_asked_for),
        cmocka_unit_test(listeners_may_all_ask_for_any_port),
        cmocka_unit_test(a_lone_member_is_its_own_cluster),
        cmocka_unit_test(a_file_forgives_flags_that_it_replaces),
        cmocka_unit_test(durations_are_read_as_go_reads_them),
        cmocka_unit_test(warnings_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
