/* SPDX-License-Identifier: Apache-2.0 */
/* config_rules_test.c: families of flags with rules of their own: TLS, feature gates, the log. */
#include "server/config_fixture.h"

/* Listeners for clients with and without TLS, and where clients find them. */
#define HTTPS "--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://a:1"
#define HTTP  "--listen-client-urls=http://127.0.0.1:1", "--advertise-client-urls=http://a:1"
#define CERT  "--cert-file=c", "--key-file=k"

static void tls_is_whole_or_refused(void **state)
{
    (void)state;
    refused(WORDS(HTTPS), NULL, OAK_EINVAL,
            "TLS key/cert (--cert-file, --key-file) must be provided for client url "
            "https://127.0.0.1:1 of --listen-client-urls");
    refused(WORDS("--listen-peer-urls=https://127.0.0.1:1"), NULL, OAK_EINVAL, "--peer-cert-file");
    refused(WORDS("--listen-metrics-urls=https://127.0.0.1:1"), NULL, OAK_EINVAL,
            "of --listen-metrics-urls");
    refused(WORDS(HTTPS, "--cert-file=c"), NULL, OAK_EINVAL, "must both be present");
    refused(WORDS(HTTPS, "--key-file=c"), NULL, OAK_EINVAL, "must both be present");
    refused(WORDS("--peer-client-key-file=k"), NULL, OAK_EINVAL, "both absent");
    refused(WORDS(HTTPS, CERT, "--client-cert-auth"), NULL, OAK_EINVAL,
            "--client-cert-auth: give --trusted-ca-file too");
    refused(WORDS(HTTPS, CERT, "--client-crl-file=r"), NULL, OAK_EINVAL,
            "--client-crl-file: give --trusted-ca-file too");
    refused(WORDS("--peer-cert-allowed-cn=a"), NULL, OAK_EINVAL,
            "--peer-cert-allowed-cn: give --peer-trusted-ca-file too");
    refused(WORDS("--peer-trusted-ca-file=c", "--peer-cert-allowed-cn=a",
                  "--peer-cert-allowed-hostname=b"),
            NULL, OAK_EINVAL, "AllowedCNs and AllowedHostnames are mutually exclusive");
    refused(WORDS("--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"), NULL, OAK_EINVAL,
            "--tls-min-version (TLS1.3) is greater than --tls-max-version (TLS1.2)");
    refused(WORDS("--tls-min-version=TLS1.3", "--cipher-suites=TLS_X"), NULL, OAK_EINVAL,
            "cipher suites may not be configured when only TLS1.3 is enabled");
    misused(WORDS("--tls-min-version=TLS1.1"), "\"TLS1.1\" is none of");
}

static void tls_is_as_it_was_told(void **state)
{
    (void)state;
    struct attempt a;
    load(&a,
         WORDS(HTTPS, CERT, "--trusted-ca-file=ca", "--peer-auto-tls",
               "--cipher-suites=TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,TLS_B",
               "--experimental-peer-skip-client-san-verification"),
         WORDS("ETCD_TLS_MAX_VERSION=TLS1.3", "ETCD_CLIENT_CRL_FILE=r"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 0);
    assert_string_equal(a.c.client_tls.cert_file, "c");
    assert_string_equal(a.c.client_tls.crl_file, "r");
    assert_true(oak_config_tls_has_certificate(&a.c.client_tls));
    assert_true(oak_config_tls_asks(&a.c.client_tls)); /* a CA alone says so, as in etcd */
    assert_true(a.c.peer_tls.auto_tls && a.c.peer_tls.skip_san);
    assert_false(oak_config_tls_asks(&a.c.peer_tls));
    assert_string_equal(a.c.cipher_suites, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,TLS_B");
    assert_int_equal(a.c.tls_min_version, OAK_CONFIG_TLS_1_2);
    assert_int_equal(a.c.tls_max_version, OAK_CONFIG_TLS_1_3);
    oak_config_fini(&a.c);
    load(&a, WORDS(HTTP, CERT, "--trusted-ca-file=ca", "--client-cert-auth", "--auto-tls"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 3);
    assert_non_null(strstr(a.c.warnings[0], "--auto-tls: ignored, since --cert-file is given"));
    assert_non_null(strstr(a.c.warnings[1], "Ignored key/cert files"));
    assert_non_null(strstr(a.c.warnings[2], "Ignored client cert auth for this url"));
    oak_config_fini(&a.c);
}

static void gates_are_kept_refused_or_told_of(void **state)
{
    (void)state;
    refused(WORDS("--feature-gates=NoSuchGate=true"), NULL, OAK_EINVAL,
            "unrecognized feature gate: NoSuchGate");
    refused(WORDS("--feature-gates=AllBeta"), NULL, OAK_EINVAL, "give AllBeta=true or");
    refused(WORDS("--feature-gates=AllAlpha=true"), NULL, OAK_EUNIMPLEMENTED, "name gates one by");
    refused(WORDS("--feature-gates=SetMemberLocalAddr=true"), NULL, OAK_EUNIMPLEMENTED,
            "SetMemberLocalAddr is not supported");
    refused(WORDS("--feature-gates=CompactHashCheck=true",
                  "--experimental-compact-hash-check-enabled=false"),
            NULL, OAK_EINVAL, "cannot specify both flags");
    refused(WORDS("--experimental-initial-corrupt-check"),
            WORDS("ETCD_FEATURE_GATES=InitialCorruptCheck=false"), OAK_EINVAL,
            "please just use --feature-gates=InitialCorruptCheck=false");
    static const char *const quiet[] = {
        "--feature-gates=InitialCorruptCheck=true,CompactHashCheck=true",
        "--experimental-initial-corrupt-check=true",
        "--experimental-txn-mode-write-with-shared-buffer",
        "--feature-gates=AllAlpha=false,AllBeta=true",
        "--feature-gates=SetMemberLocalAddr=true,SetMemberLocalAddr=false", /* the last word */
    };
    struct attempt a;
    for (size_t i = 0; i < OAK_COUNT_OF(quiet); i++) {
        load(&a, WORDS(quiet[i]), NULL);
        assert_int_equal(a.error, 0);
        assert_int_equal(a.c.warning_count, 0);
        assert_true(a.c.gates[OAK_CONFIG_GATE_INITIAL_CORRUPT_CHECK]);
        assert_true(a.c.gates[OAK_CONFIG_GATE_SHARED_BUFFER]);
        assert_false(a.c.gates[OAK_CONFIG_GATE_PRIORITY]);
        oak_config_fini(&a.c);
    }
    load(&a,
         WORDS("--experimental-enable-lease-checkpoint",
               "--feature-gates=LeaseCheckpointPersist=true"),
         NULL);
    assert_int_equal(a.error, 0);
    assert_true(a.c.gates[OAK_CONFIG_GATE_LEASE_CHECKPOINT]);
    assert_true(a.c.gates[OAK_CONFIG_GATE_LEASE_CHECKPOINT_PERSIST]);
    oak_config_fini(&a.c);
    load(&a,
         WORDS("--feature-gates=AllBeta=false,FastLeaseKeepAlive=true",
               "--experimental-stop-grpc-service-on-defrag"),
         NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 2);
    assert_non_null(strstr(a.c.warnings[0], "StopGRPCServiceOnDefrag=true changes nothing"));
    assert_non_null(strstr(a.c.warnings[1], "TxnModeWriteWithSharedBuffer=false changes nothing"));
    assert_true(a.c.gates[OAK_CONFIG_GATE_FAST_KEEPALIVE]);
    oak_config_fini(&a.c);
}

static void log_lines_go_where_they_are_told_to(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, WORDS("--log-outputs=stderr,/a/b.log,systemd/journal,c.log"), NULL);
    assert_int_equal(a.error, 0);
    assert_true(a.c.log_to_stderr && a.c.log_to_journal && !a.c.log_to_stdout);
    assert_int_equal(a.c.log_file_count, 2);
    assert_string_equal(a.c.log_files[1], "c.log");
    oak_config_fini(&a.c);
    load(&a, WORDS("--log-outputs=a.log", "--enable-log-rotation"), NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.log_rotation.max_mb, 100);
    assert_int_equal(a.c.log_rotation.max_files, 0);
    oak_config_fini(&a.c);
    load(&a,
         WORDS("--log-outputs=a.log", "--enable-log-rotation",
               "--log-rotation-config-json={\"maxbackups\": 3, \"maxage\":2,\"localtime\":true, "
               "\"maxsize\": 7, \"other\": 1}"),
         NULL);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.log_rotation.max_mb, 7);
    assert_int_equal(a.c.log_rotation.max_files, 3);
    assert_int_equal(a.c.log_rotation.max_days, 2);
    assert_true(a.c.log_rotation.local_time);
    oak_config_fini(&a.c);
    refused(WORDS("--log-outputs=a,,b"), NULL, OAK_EINVAL, "--log-outputs: a name");
    refused(WORDS("--log-outputs=a,b,c,d,e,f,g,h,i"), NULL, OAK_ELIMIT, "more than 8 files");
    refused(WORDS("--enable-log-rotation"), NULL, OAK_EINVAL, "requires a single file path");
    refused(WORDS("--enable-log-rotation", "--log-outputs=a,b"), NULL, OAK_EINVAL, "single file");
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "maxsize: 1",
                                      "{\"maxsize\": -1}",
                                      "{\"maxsize\": \"x\"}",
                                      "{\"maxsize\": {}}",
                                      "{\"compress\": 1}"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        refused(
            WORDS("--enable-log-rotation", "--log-outputs=a", "--log-rotation-config-json", bad[i]),
            NULL, OAK_EINVAL, "invalid log rotation config");
    }
    refused(WORDS("--enable-log-rotation", "--log-outputs=a", "--log-rotation-config-json",
                  "{\"compress\": true}"),
            NULL, OAK_EUNIMPLEMENTED, "compress is not supported");
}

/* What deployments set by variables alone (section by section as their images do). */
static void the_variables_of_deployments_are_taken(void **state)
{
    (void)state;
    struct attempt a;
    load(&a, NULL,
         WORDS("ETCD_NAME=infra0", "ETCD_DATA_DIR=/var/lib/etcd", "ETCD_HEARTBEAT_INTERVAL=100",
               "ETCD_ELECTION_TIMEOUT=1000", "ETCD_TLS_MIN_VERSION=TLS1.2",
               "ETCD_CIPHER_SUITES=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,"
               "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
               "ETCD_SOCKET_REUSE_ADDRESS=true", "ETCD_ENABLE_PPROF=true",
               "ETCD_EXPERIMENTAL_WARNING_APPLY_DURATION=200ms",
               "ETCD_EXPERIMENTAL_WATCH_PROGRESS_NOTIFY_INTERVAL=5s",
               "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK=true", "ETCD_STRICT_RECONFIG_CHECK=true",
               "ETCD_INITIAL_CLUSTER_TOKEN=openshift-etcd", "ALL_ETCD_ENDPOINTS=https://a:2379",
               "ETCDCTL_CACERT=/ca.crt", "ETCD_IMAGE=quay.io/etcd"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 4); /* reuse, pprof, apply, and the image */
    assert_int_equal(a.c.tls_min_version, OAK_CONFIG_TLS_1_2);
    oak_config_fini(&a.c);
    load(&a, NULL,
         WORDS("ETCD_ROOT_PASSWORD=x", "ETCD_ON_K8S=yes", "ETCD_START_FROM_SNAPSHOT=no",
               "ETCD_TMP_DIR=/tmp", "ETCD_CLUSTER_DOMAIN=a.svc", "ETCD_DISASTER_RECOVERY=no",
               "ETCD_LOG_LEVEL=info", "ETCD_AUTO_TLS=false", "ETCD_CLIENT_CERT_AUTH=false",
               "ETCD_PEER_AUTO_TLS=false", "ETCD_TRUSTED_CA_FILE=", "ETCD_CERT_FILE=",
               "ETCD_KEY_FILE=", "ETCD_INITIAL_CLUSTER_STATE=new",
               "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379",
               "ETCD_ADVERTISE_CLIENT_URLS=http://e-0.e.svc:2379,http://e.svc:2379"));
    assert_int_equal(a.error, 0);
    assert_int_equal(a.c.warning_count, 6); /* those of the image's own scripts */
    for (size_t i = 0; i < a.c.warning_count; i++) {
        assert_non_null(strstr(a.c.warnings[i], "unrecognized environment variable"));
    }
    oak_config_fini(&a.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls_is_whole_or_refused),
        cmocka_unit_test(tls_is_as_it_was_told),
        cmocka_unit_test(gates_are_kept_refused_or_told_of),
        cmocka_unit_test(the_variables_of_deployments_are_taken),
        cmocka_unit_test(log_lines_go_where_they_are_told_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
