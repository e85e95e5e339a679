/* SPDX-License-Identifier: Apache-2.0 */
/* config_table.c: every flag of the server, once.
 *
 * A row gives a flag's name, kind, default, bounds, help and fate. Flags, variables, files, the
 * help and the check of values all read it; none of them knows a flag by itself (config_check.c
 * knows the rules that span several). A flag of etcd whose work is not done yet is LATER: it is
 * refused by name, unless it is given the value that changes nothing, so that nobody believes to
 * run with it.
 *
 * LIVE(name, kind, field, default, group, help, ...)     sets a field of struct oak_config
 * INERT(name, kind, default, group, help, ...)           taken, checked, changes nothing here
 * LATER(name, kind, default, group, why, help, ...)      refused
 * LEGACY(name, kind)                                     etcd takes and ignores it; so do we
 *
 * Defaults and names are etcd's (etcd 3.6 "Configuration options").
 */
#include "oakum/raft.h"
#include "server/config_internal.h"

#include <stddef.h>

#define MEMBER     "Member"
#define CLUSTERING "Clustering"
#define SECURITY   "Security"
#define AUTH       "Authentication"
#define MONITORING "Monitoring"
#define LOGGING    "Logging"
#define FEATURES   "Features"
#define UNSAFE     "Unsafe"
#define STORE      "Store"
#define OTHER      "Other"

#define WHY_LATER "not supported yet in this version; leave it out"
#define WHY_DISCOVERY \
    "discovery is not supported yet in this version; name the members by --initial-cluster"
#define WHY_V2      "etcd's API of version 2 is not part of this server; leave it out"
#define WHY_TRACING "tracing is not supported yet in this version; leave it out"
#define WHY_DEBUG   "packages of etcd are not here; give --log-level=debug"
#define WHY_PREVOTE "elections always ask first here; leave it out"

#define LIVE(n, k, f, v, g, ...)                                                                  \
    {                                                                                             \
        .name = (n), .kind = CONFIG__##k, .fate = CONFIG__LIVE,                                   \
        .offset = offsetof(struct oak_config, f), .value = (v), .group = (g), .help = __VA_ARGS__ \
    }
#define INERT(n, k, v, g, ...)                                                               \
    {                                                                                        \
        .name = (n), .kind = CONFIG__##k, .fate = CONFIG__INERT, .value = (v), .group = (g), \
        .help = __VA_ARGS__                                                                  \
    }
#define LATER(n, k, v, g, w, ...)                                                            \
    {                                                                                        \
        .name = (n), .kind = CONFIG__##k, .fate = CONFIG__LATER, .value = (v), .group = (g), \
        .why = (w), .help = __VA_ARGS__                                                      \
    }
#define LEGACY(n, k)                                                                          \
    {                                                                                         \
        .name = (n), .kind = CONFIG__##k, .fate = CONFIG__LEGACY, .value = "", .group = OTHER \
    }
#define COMMAND(n, k, v, ...)                                                                    \
    {                                                                                            \
        .name = (n), .kind = CONFIG__##k, .fate = CONFIG__COMMAND, .value = (v), .group = OTHER, \
        .help = __VA_ARGS__                                                                      \
    }

static const struct config__row rows[] = {
    LIVE("name", TEXT, name, "default", MEMBER,
         "human-readable name of this member; its row in --initial-cluster"),
    LIVE("data-dir", TEXT, data_dir, "", MEMBER,
         "directory of the data; made when absent. Default: <name>.etcd"),
    LIVE("listen-peer-urls", LISTEN, listen_peer_urls, "http://localhost:2380", MEMBER,
         "addresses to listen on for other members", .min = 1),
    LIVE("listen-client-urls", LISTEN, listen_client_urls, "http://localhost:2379", MEMBER,
         "addresses to listen on for clients: gRPC and HTTP", .min = 1),
    LIVE("heartbeat-interval", INT, heartbeat_interval_ms, "100", MEMBER,
         "milliseconds between a leader's heartbeats", .min = 1, .max = 10000),
    LIVE("election-timeout", INT, election_timeout_ms, "1000", MEMBER,
         "milliseconds without a leader before an election; at least five heartbeats", .min = 1,
         .max = 50000),
    LIVE("snapshot-catchup-entries", INT, snapshot_catchup_entries, "5000", MEMBER,
         "entries kept behind a snapshot, for followers that lag",
         .alias = "experimental-snapshot-catchup-entries", .max = INT32_MAX),
    LIVE("experimental-log-away-time", DURATION, log_away_ns, "10s", MEMBER,
         "how long the log is kept for a member that is silent; one that is back later may need a "
         "snapshot"),
    LIVE("experimental-snapshot-send-rate", INT, snapshot_send_rate, "67108864", MEMBER,
         "bytes a second of all snapshots that this member sends to others; 0: no limit",
         .max = INT64_MAX),
    LIVE("experimental-scrub-rate", INT, scrub_rate, "262144", MEMBER,
         "bytes of log and store, each, that are read again and checked in a second; 0: none",
         .max = (int64_t)OAK_SCRUB_BYTES_A_SECOND_MAX),
    LIVE("experimental-scrub-interval", INT, scrub_interval_ms, "600000", MEMBER,
         "milliseconds between two passes of that over either", .max = INT32_MAX),
    LIVE("experimental-grpc-reflection", BOOL, grpc_reflection, "false", MEMBER,
         "tell clients of the services that there are: grpcurl and the like need no files then",
         .env = "OAKUM_GRPC_REFLECTION"),
    LIVE("experimental-jsonrpc-listen", TEXT, jsonrpc_listen, "", MEMBER,
         "host:port where the methods of the client port are served by JSON-RPC too; \"\": nowhere",
         .env = "OAKUM_JSONRPC_LISTEN"),
    LIVE("max-request-bytes", INT, max_request_bytes, "1572864", MEMBER,
         "bytes of the largest request", .min = 1, .max = (int64_t)OAK_REQUEST_BYTES_MAX),
    LIVE("max-txn-ops", INT, max_txn_ops, "128", MEMBER,
         "operations in one branch of a transaction", .min = 1, .max = 10000),
    LIVE("max-concurrent-streams", INT, max_concurrent_streams, "4294967295", MEMBER,
         "open streams on one connection; over 4096 counts as 4096", .min = 1, .max = UINT32_MAX),
    INERT("snapshot-count", INT, "10000", MEMBER,
          "applied entries between two snapshots; here the bytes of log decide", .min = 1,
          .max = INT32_MAX),
    LIVE("enable-grpc-gateway", BOOL, grpc_gateway, "true", MEMBER,
         "serve etcd's JSON gateway: the methods of gRPC as paths under /v3"),
    LIVE("wal-dir", TEXT, wal_dir, "", MEMBER,
         "directory of the log, if it is not in --data-dir; from a member's birth on"),
    LIVE("quota-backend-bytes", INT, quota_backend_bytes, "0", MEMBER,
         "bytes of the store on disk beyond which nothing is let in; 0: 2 GiB; negative: no limit",
         .min = INT64_MIN, .max = INT64_MAX),
    LIVE("listen-client-http-urls", LISTEN, listen_client_http_urls, "", MEMBER,
         "addresses for HTTP alone; those of --listen-client-urls are for gRPC alone then"),
    LIVE("memory-mlock", BOOL, memory_mlock, "false", MEMBER, "keep all memory in memory",
         .alias = "experimental-memory-mlock"),
    LIVE("socket-reuse-port", BOOL, socket_reuse_port, "false", MEMBER,
         "share ports with other processes (SO_REUSEPORT)"),
    INERT("socket-reuse-address", BOOL, "false", MEMBER, "always on here"),
    LIVE("grpc-keepalive-min-time", DURATION, grpc_keepalive_min_ns, "5s", MEMBER,
         "shortest time between two pings of a client; by default, of one without open calls"),
    LIVE("grpc-keepalive-interval", DURATION, grpc_keepalive_interval_ns, "2h", MEMBER,
         "silence of a client after which the server pings it"),
    LIVE("grpc-keepalive-timeout", DURATION, grpc_keepalive_timeout_ns, "20s", MEMBER,
         "time for an answer to that, before the connection is closed"),
    INERT("initial-election-tick-advance", BOOL, "true", MEMBER, "shorten the first election"),
    INERT("max-snapshots", INT, "5", MEMBER, "snapshot files to keep", .max = INT32_MAX),
    INERT("max-wals", INT, "5", MEMBER, "log files to keep", .max = INT32_MAX),
    INERT("backend-bbolt-freelist-type", CHOICE, "map", MEMBER, "of etcd's own store",
          .alias = "experimental-backend-bbolt-freelist-type", .choices = "array|map"),
    INERT("backend-batch-interval", DURATION, "0s", MEMBER, "of etcd's own store"),
    INERT("backend-batch-limit", INT, "0", MEMBER, "of etcd's own store", .max = INT32_MAX),
    INERT("raft-read-timeout", DURATION, "5s", MEMBER, "of etcd's own peer protocol"),
    INERT("raft-write-timeout", DURATION, "5s", MEMBER, "of etcd's own peer protocol"),
    LIVE("feature-gates", TEXT, feature_gates, "", MEMBER,
         "Name=true,Other=false: etcd's feature gates; those that can't be on here are refused"),

    LIVE("initial-advertise-peer-urls", URLS, initial_advertise_peer_urls, "http://localhost:2380",
         CLUSTERING, "where other members find this one", .min = 1),
    LIVE("initial-cluster", TEXT, initial_cluster, "", CLUSTERING,
         "name=url,… of all members when the cluster is born. Default: this member alone"),
    LIVE("initial-cluster-state", CHOICE, initial_cluster_state, "new", CLUSTERING,
         "new, or existing to join one", .choices = "new|existing"),
    LIVE("initial-cluster-token", TEXT, initial_cluster_token, "etcd-cluster", CLUSTERING,
         "sets clusters with equal addresses apart"),
    LIVE("advertise-client-urls", URLS, advertise_client_urls, "http://localhost:2379", CLUSTERING,
         "where clients find this member", .min = 1),
    LIVE("strict-reconfig-check", BOOL, strict_reconfig_check, "true", CLUSTERING,
         "refuse changes of the group that could cost its quorum"),
    LATER("pre-vote", BOOL, "true", CLUSTERING, WHY_PREVOTE,
          "ask before an election; always on here"),
    LIVE("auto-compaction-retention", TEXT, auto_compaction_retention, "0", CLUSTERING,
         "history to keep: hours or a duration such as 30m, or revisions; 0: all of it"),
    LIVE("auto-compaction-mode", CHOICE, auto_compaction_mode, "periodic", CLUSTERING,
         "periodic or revision", .choices = "periodic|revision"),
    INERT("v2-deprecation", CHOICE, "write-only", CLUSTERING, "fate of etcd's API of version 2",
          .choices = "not-yet|write-only|write-only-drop-data|gone"),
    LIVE("max-learners", INT, max_learners, "1", CLUSTERING,
         "members that stay learners, at one time", .alias = "experimental-max-learners", .min = 1,
         .max = 16),
    LATER("discovery", TEXT, "", CLUSTERING, WHY_DISCOVERY, "URL of etcd's old discovery service"),
    LATER("discovery-proxy", TEXT, "", CLUSTERING, WHY_DISCOVERY, "HTTP proxy for it"),
    LATER("discovery-token", TEXT, "", CLUSTERING, WHY_DISCOVERY, "token of the discovery service"),
    LATER("discovery-endpoints", TEXT, "", CLUSTERING, WHY_DISCOVERY,
          "endpoints of the discovery service"),
    LATER("discovery-srv", TEXT, "", CLUSTERING, WHY_DISCOVERY, "DNS name to look members up by"),
    LATER("discovery-srv-name", TEXT, "", CLUSTERING, WHY_DISCOVERY, "suffix of that name"),
    LATER("discovery-cert", TEXT, "", CLUSTERING, WHY_DISCOVERY, "TLS for discovery"),
    LATER("discovery-key", TEXT, "", CLUSTERING, WHY_DISCOVERY, "TLS for discovery"),
    LATER("discovery-cacert", TEXT, "", CLUSTERING, WHY_DISCOVERY, "TLS for discovery"),
    LATER("discovery-user", TEXT, "", CLUSTERING, WHY_DISCOVERY, "user for discovery"),
    LATER("discovery-password", TEXT, "", CLUSTERING, WHY_DISCOVERY, "password for discovery"),
    INERT("discovery-fallback", CHOICE, "exit", CLUSTERING, "what to do when discovery fails",
          .choices = "exit|proxy"),
    INERT("discovery-dial-timeout", DURATION, "2s", CLUSTERING, "of discovery"),
    INERT("discovery-request-timeout", DURATION, "5s", CLUSTERING, "of discovery"),
    INERT("discovery-keepalive-time", DURATION, "2s", CLUSTERING, "of discovery"),
    INERT("discovery-keepalive-timeout", DURATION, "6s", CLUSTERING, "of discovery"),
    INERT("discovery-insecure-transport", BOOL, "true", CLUSTERING, "of discovery"),
    INERT("discovery-insecure-skip-tls-verify", BOOL, "false", CLUSTERING, "of discovery"),

    LIVE("cert-file", TEXT, client_tls.cert_file, "", SECURITY,
         "certificate of this member, for https:// and unixs:// of clients and metrics"),
    LIVE("key-file", TEXT, client_tls.key_file, "", SECURITY, "its key"),
    LIVE("client-cert-auth", BOOL, client_tls.client_cert_auth, "false", SECURITY,
         "let in clients with a certificate of --trusted-ca-file alone"),
    INERT("client-cert-file", TEXT, "", SECURITY,
          "of the connection of etcd's gateway to its own server; there is none here"),
    INERT("client-key-file", TEXT, "", SECURITY, "its key"),
    LIVE("trusted-ca-file", TEXT, client_tls.trusted_ca_file, "", SECURITY,
         "authority that signed the certificates of clients, which all of them need then"),
    LIVE("client-crl-file", TEXT, client_tls.crl_file, "", SECURITY,
         "certificates of clients that were revoked"),
    LIVE("client-cert-allowed-hostname", TEXT, client_tls.allowed_hosts, "", SECURITY,
         "names, one of which a client's certificate must be good for"),
    LIVE("auto-tls", BOOL, client_tls.auto_tls, "false", SECURITY,
         "make a certificate for clients, if none is given"),
    LIVE("peer-cert-file", TEXT, peer_tls.cert_file, "", SECURITY,
         "certificate of this member for other members"),
    LIVE("peer-key-file", TEXT, peer_tls.key_file, "", SECURITY, "its key"),
    LIVE("peer-client-cert-auth", BOOL, peer_tls.client_cert_auth, "false", SECURITY,
         "let in members with a certificate of --peer-trusted-ca-file alone"),
    LIVE("peer-client-cert-file", TEXT, peer_tls.client_cert_file, "", SECURITY,
         "certificate that is shown to other members, if not --peer-cert-file"),
    LIVE("peer-client-key-file", TEXT, peer_tls.client_key_file, "", SECURITY, "its key"),
    LIVE("peer-trusted-ca-file", TEXT, peer_tls.trusted_ca_file, "", SECURITY,
         "authority that signed the certificates of members"),
    LIVE("peer-crl-file", TEXT, peer_tls.crl_file, "", SECURITY,
         "certificates of members that were revoked"),
    LIVE("peer-cert-allowed-hostname", TEXT, peer_tls.allowed_hosts, "", SECURITY,
         "names, one of which a member's certificate must be good for"),
    LIVE("peer-auto-tls", BOOL, peer_tls.auto_tls, "false", SECURITY,
         "make a certificate for other members, if none is given; theirs are not verified then"),
    LIVE("peer-cert-allowed-cn", TEXT, peer_tls.allowed_names, "", SECURITY,
         "common names, one of which a member's certificate must bear"),
    LIVE("peer-skip-client-san-verification", BOOL, peer_tls.skip_san, "false", SECURITY,
         "do not hold the names in a member's certificate against its peer URL",
         .alias = "experimental-peer-skip-client-san-verification"),
    LIVE("self-signed-cert-validity", INT, self_signed_years, "1", SECURITY,
         "years that a certificate made by --auto-tls or --peer-auto-tls is good for", .min = 1,
         .max = 1000),
    LIVE("cipher-suites", TEXT, cipher_suites, "", SECURITY,
         "cipher suites of TLS, by IANA's names, with commas between"),
    LIVE("tls-min-version", CHOICE, tls_min_version, "TLS1.2", SECURITY, "lowest version of TLS",
         .choices = "|TLS1.2|TLS1.3"),
    LIVE("tls-max-version", CHOICE, tls_max_version, "", SECURITY, "highest version of TLS",
         .choices = "|TLS1.2|TLS1.3"),
    LIVE("cors", TEXT, cors, "*", SECURITY,
         "origins, with commas, whose pages a browser lets ask by HTTP; \"*\": any"),
    LIVE("host-whitelist", TEXT, host_whitelist, "*", SECURITY,
         "hosts, by which HTTP without TLS may be asked for; others get 421"),

    LIVE("auth-token", TEXT, auth_token, "simple", AUTH,
         "simple, or jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=10m"),
    LIVE("bcrypt-cost", INT, bcrypt_cost, "10", AUTH,
         "work of hashing a password; one more is twice as much", .min = 4, .max = 31),
    LIVE("auth-token-ttl", INT, auth_token_ttl_s, "300", AUTH,
         "seconds that a simple token lives from its last use", .min = 1, .max = INT32_MAX),

    LIVE("listen-metrics-urls", LISTEN, listen_metrics_urls, "", MONITORING,
         "further addresses for /metrics and health"),
    INERT("metrics", CHOICE, "basic", MONITORING, "detail of the metrics",
          .choices = "basic|extensive"),
    INERT("enable-pprof", BOOL, "false", MONITORING, "etcd's profiler; there is none here"),
    LATER("enable-distributed-tracing", BOOL, "false", MONITORING, WHY_TRACING,
          "send traces by OTLP", .alias = "experimental-enable-distributed-tracing"),
    INERT("distributed-tracing-address", TEXT, "localhost:4317", MONITORING, "collector of traces",
          .alias = "experimental-distributed-tracing-address"),
    INERT("distributed-tracing-service-name", TEXT, "etcd", MONITORING, "name in traces",
          .alias = "experimental-distributed-tracing-service-name"),
    INERT("distributed-tracing-instance-id", TEXT, "", MONITORING, "instance in traces",
          .alias = "experimental-distributed-tracing-instance-id"),
    INERT("distributed-tracing-sampling-rate", INT, "0", MONITORING, "traces in a million requests",
          .alias = "experimental-distributed-tracing-sampling-rate", .max = 1000000),

    INERT("logger", CHOICE, "zap", LOGGING, "etcd's logger", .choices = "zap|capnslog"),
    LATER("debug", BOOL, "false", LOGGING, WHY_DEBUG, "etcd's older way to log more"),
    LATER("log-package-levels", TEXT, "", LOGGING, WHY_DEBUG, "levels of etcd's packages"),
    LIVE("log-outputs", TEXT, log_outputs, "default", LOGGING,
         "default (stderr), stderr, stdout, systemd/journal, or files, with commas between"),
    LIVE("log-level", CHOICE, log_level, "info", LOGGING,
         "debug, info, warn, error (panic and fatal count as error)",
         .choices = "debug|info|warn|error|panic|fatal"),
    LIVE("log-format", CHOICE, log_format, "json", LOGGING, "json or console",
         .choices = "json|console"),
    LIVE("enable-log-rotation", BOOL, log_rotate, "false", LOGGING,
         "rotate the log's file, which must be the only output"),
    LIVE("log-rotation-config-json", TEXT, log_rotation_text,
         "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": false, "
         "\"compress\": false}",
         LOGGING, "how: megabytes of a file, days and number of those kept (0: all)"),
    LIVE("warning-unary-request-duration", DURATION, slow_request_ns, "300ms", LOGGING,
         "a request that takes longer is logged; 0: none",
         .alias = "experimental-warning-unary-request-duration"),
    INERT("warning-apply-duration", DURATION, "100ms", LOGGING,
          "an apply slower than this is logged", .alias = "experimental-warning-apply-duration"),

    INERT("corrupt-check-time", DURATION, "0s", FEATURES,
          "time between comparisons of the members' data, which are compared all the time here",
          .alias = "experimental-corrupt-check-time"),
    INERT("compact-hash-check-time", DURATION, "1m", FEATURES,
          "time between comparisons of compacted data",
          .alias = "experimental-compact-hash-check-time"),
    INERT("compaction-batch-limit", INT, "1000", FEATURES, "of etcd's own store",
          .alias = "experimental-compaction-batch-limit", .max = INT32_MAX),
    INERT("compaction-sleep-interval", DURATION, "10ms", FEATURES, "of etcd's own store",
          .alias = "experimental-compaction-sleep-interval"),
    LIVE("watch-progress-notify-interval", DURATION, watch_progress_ns, "10m", FEATURES,
         "time between progress notices to a watcher that asked for them; less than 100ms is 100ms",
         .alias = "experimental-watch-progress-notify-interval"),
    INERT("bootstrap-defrag-threshold-megabytes", INT, "0", FEATURES, "of etcd's own store",
          .alias = "experimental-bootstrap-defrag-threshold-megabytes", .max = INT32_MAX),
    INERT("downgrade-check-time", DURATION, "5s", FEATURES, "time between checks for a downgrade",
          .alias = "experimental-downgrade-check-time"),
    LIVE("experimental-initial-corrupt-check", BOOL, gates[OAK_CONFIG_GATE_INITIAL_CORRUPT_CHECK],
         "false", FEATURES, "a feature gate's older name"),
    LIVE("experimental-compact-hash-check-enabled", BOOL, gates[OAK_CONFIG_GATE_COMPACT_HASH_CHECK],
         "false", FEATURES, "a feature gate's older name"),
    LIVE("experimental-enable-lease-checkpoint", BOOL, gates[OAK_CONFIG_GATE_LEASE_CHECKPOINT],
         "false", FEATURES, "a feature gate's older name"),
    LIVE("experimental-enable-lease-checkpoint-persist", BOOL,
         gates[OAK_CONFIG_GATE_LEASE_CHECKPOINT_PERSIST], "false", FEATURES,
         "a feature gate's older name"),
    LIVE("experimental-stop-grpc-service-on-defrag", BOOL, gates[OAK_CONFIG_GATE_STOP_ON_DEFRAG],
         "false", FEATURES, "a feature gate's older name"),
    LIVE("experimental-txn-mode-write-with-shared-buffer", BOOL,
         gates[OAK_CONFIG_GATE_SHARED_BUFFER], "true", FEATURES, "a feature gate's older name"),
    LATER("enable-v2", BOOL, "false", FEATURES, WHY_V2, "etcd's API of version 2"),
    LATER("experimental-enable-v2v3", TEXT, "", FEATURES, WHY_V2, "etcd's API of version 2",
          .alias = "enable-v2v3"),
    INERT("proxy-dial-timeout", INT, "1000", FEATURES, "of that proxy", .max = INT32_MAX),
    INERT("proxy-failure-wait", INT, "5000", FEATURES, "of that proxy", .max = INT32_MAX),
    INERT("proxy-read-timeout", INT, "0", FEATURES, "of that proxy", .max = INT32_MAX),
    INERT("proxy-refresh-interval", INT, "30000", FEATURES, "of that proxy", .max = INT32_MAX),
    INERT("proxy-write-timeout", INT, "5000", FEATURES, "of that proxy", .max = INT32_MAX),
    INERT("wait-cluster-ready-timeout", DURATION, "5s", FEATURES,
          "of etcd's start; clients are served here once the member has joined",
          .alias = "experimental-wait-cluster-ready-timeout"),
    LATER("proxy", CHOICE, "off", FEATURES, WHY_V2, "etcd's proxy of version 2",
          .choices = "off|readonly|on"),

    LATER("force-new-cluster", BOOL, "false", UNSAFE, WHY_LATER,
          "keep the data, forget the other members"),
    LIVE("unsafe-no-fsync", BOOL, unsafe_no_fsync, "false", UNSAFE,
         "do not sync the log: what was acknowledged may be lost"),

    LIVE("experimental-store", CHOICE, store, "rocks", STORE,
         "rocks, or memory: nothing but the log is kept on disk", .env = "OAKUM_STORE",
         .choices = "rocks|memory"),
    LIVE("experimental-fault-control", TEXT, fault_control, "", UNSAFE,
         "file by which the process that started this one breaks its disk and clock; for oakum "
         "chaos",
         .env = ""),
    LIVE("experimental-leader-priority", INT, leader_priority, "0", CLUSTERING,
         "0 to 255: the members with the highest lead while they can",
         .env = "OAKUM_LEADER_PRIORITY", .max = 255),
    LIVE("experimental-leader-handover", BOOL, leader_handover, "true", CLUSTERING,
         "a leader much slower than the others lets one of them lead",
         .env = "OAKUM_LEADER_HANDOVER"),
    LIVE("experimental-pushback", BOOL, pushback, "true", CLUSTERING,
         "clients are slowed while a member that is behind catches up", .env = "OAKUM_PUSHBACK"),
    LIVE("experimental-lease-reads", INT, lease_reads_ms, "0", CLUSTERING,
         "milliseconds of the lease by which a leader reads without asking the others; a leader "
         "that is told makes it the cluster's; 0: none",
         .env = "OAKUM_LEASE_READS", .max = OAK_RAFT_LEASE_MS_MAX),
    LIVE("experimental-clock-drift-ppm", INT, clock_drift_ppm, "120000", CLUSTERING,
         "with --experimental-lease-reads: how far the rate of any member's clock may be off, in "
         "millionths",
         .env = "OAKUM_CLOCK_DRIFT_PPM", .max = OAK_RAFT_DRIFT_PPM_MAX),
    LIVE("experimental-clock-error-ms", INT, clock_error_ms, "0", CLUSTERING,
         "milliseconds that any member's time of day may be off true time, for reads by the lease "
         "of the leader before; 0: not known, no such reads",
         .env = "OAKUM_CLOCK_ERROR_MS", .max = 60000),
    LIVE("experimental-lease-checkpoint-interval", DURATION, lease_checkpoint_ns, "5m", CLUSTERING,
         "time between two notes in the log of what is left of a client's lease that lives longer; "
         "less than 1s is 1s, 0: none, and a new leader lets each live its whole time anew",
         .env = "OAKUM_LEASE_CHECKPOINT_INTERVAL"),
    COMMAND("config-file", TEXT, "", "YAML or JSON file that replaces all flags and variables"),
    COMMAND("version", BOOL, "false", "print the version and exit", .env = ""),
    COMMAND("help", BOOL, "false", "print this help and exit", .env = ""),
    COMMAND("h", BOOL, "false", "print this help and exit", .env = ""),
    LEGACY("cluster-active-size", TEXT),
    LEGACY("cluster-remove-delay", TEXT),
    LEGACY("cluster-sync-interval", TEXT),
    LEGACY("config", TEXT),
    LEGACY("force", BOOL),
    LEGACY("max-result-buffer", TEXT),
    LEGACY("max-retry-attempts", TEXT),
    LEGACY("peer-heartbeat-interval", TEXT),
    LEGACY("peer-election-timeout", TEXT),
    LEGACY("retry-interval", TEXT),
    LEGACY("snapshot", BOOL),
    LEGACY("v", BOOL),
    LEGACY("vv", BOOL),
};
OAK_STATIC_ASSERT(OAK_COUNT_OF(rows) <= CONFIG__ROWS_MAX, "the loader has room for every row");

const struct config__row *config__rows(size_t *count)
{
    *count = OAK_COUNT_OF(rows);
    return rows;
}

static bool is(const char *name, struct oak_bytes text)
{
    return name != NULL && oak_bytes_eq(oak_bytes_str(name), text);
}

const struct config__row *config__row_find(struct oak_bytes name, bool *by_alias)
{
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        if (is(rows[i].name, name) || is(rows[i].alias, name)) {
            *by_alias = !is(rows[i].name, name);
            return &rows[i];
        }
    }
    return NULL;
}
