/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: what a server was told, by flags, by variables or by a file, checked.
 *
 *     struct oak_config config;
 *     int code;
 *     if (!oak_config_start(argc, argv, environ, &config, &code)) {
 *         return code;                                // help, version or an error: all said
 *     }
 *     ... when the data directory is empty:
 *     struct oak_config_cluster cluster;
 *     int error = oak_config_bootstrap(&config, &cluster, &e);
 *     ...
 *     oak_config_fini(&config);
 *
 * The flags, their defaults, bounds, help and fate are rows of one table, config_table.c. etcd's
 * rules of precedence hold: a file replaces flags and variables, a variable beside its flag is an
 * error.
 *
 * Threads: any one.
 */
#ifndef OAK_SERVER_CONFIG_H
#define OAK_SERVER_CONFIG_H

#include "base/base.h"

/* The version of the etcd API that the server serves: --version, /version and Status tell it. */
#define OAK_CONFIG_ETCD_VERSION         "3.6.14"
#define OAK_CONFIG_ETCD_CLUSTER_VERSION "3.6.0"
/* Bytes of a configuration file: a hundred short lines; past this it is the wrong file. */
#define OAK_CONFIG_FILE_BYTES_MAX (1 * OAK_MIB)
/* URLs in one list, and members in an initial cluster. */
#define OAK_CONFIG_URLS_MAX      16
#define OAK_CONFIG_MEMBERS_MAX   OAK_PEERS_MAX
#define OAK_CONFIG_LOG_FILES_MAX 8

enum oak_config_action {
    OAK_CONFIG_SERVE,
    OAK_CONFIG_HELP,    /* --help */
    OAK_CONFIG_VERSION, /* --version */
};

enum oak_config_cluster_state {
    OAK_CONFIG_CLUSTER_NEW,
    OAK_CONFIG_CLUSTER_EXISTING,
};

enum oak_config_store {
    OAK_CONFIG_STORE_ROCKS,
    OAK_CONFIG_STORE_MEMORY, /* history is kept by the log alone, and lost where it is compacted */
};

enum oak_config_compaction {
    OAK_CONFIG_COMPACTION_PERIODIC,
    OAK_CONFIG_COMPACTION_REVISION,
};

enum oak_config_log_format {
    OAK_CONFIG_LOG_JSON,
    OAK_CONFIG_LOG_CONSOLE,
};

/* "http://host:port" each (or https, or "unix://path", "unixs://path"), sorted, without repeats. */
struct oak_config_urls {
    const char **items;
    size_t count;
};

/* How a file of log lines is rotated. 0: no limit. */
struct oak_config_rotation {
    uint32_t max_mb;    /* of the file that is written; never 0 */
    uint32_t max_days;  /* of those that were renamed */
    uint32_t max_files; /* of them */
    bool local_time;    /* in their names */
    bool compress;
};

/* In the order of enum oak_tls_version. */
enum oak_config_tls_version {
    OAK_CONFIG_TLS_ANY,
    OAK_CONFIG_TLS_1_2,
    OAK_CONFIG_TLS_1_3,
};

/* etcd's feature gates. */
enum oak_config_gate {
    OAK_CONFIG_GATE_INITIAL_CORRUPT_CHECK,
    OAK_CONFIG_GATE_COMPACT_HASH_CHECK,
    OAK_CONFIG_GATE_LEASE_CHECKPOINT,
    OAK_CONFIG_GATE_LEASE_CHECKPOINT_PERSIST,
    OAK_CONFIG_GATE_STOP_ON_DEFRAG,
    OAK_CONFIG_GATE_SHARED_BUFFER,
    OAK_CONFIG_GATE_LOCAL_ADDRESS,
    OAK_CONFIG_GATE_FAST_KEEPALIVE,
    OAK_CONFIG_GATE_PRIORITY,
    OAK_CONFIG_GATES,
};

/* What one family of flags says of TLS: of that with clients, or of that with other members. Files
 * and lists that were not given are "". */
struct oak_config_tls {
    const char *cert_file;
    const char *key_file;
    const char *client_cert_file; /* of peers: shown where this member is the client */
    const char *client_key_file;
    const char *trusted_ca_file;
    const char *crl_file;
    /* With commas between: a client's certificate must be good for one of the hosts, or bear one of
     * the common names. */
    const char *allowed_hosts;
    const char *allowed_names;
    bool client_cert_auth;
    bool auto_tls;
    bool skip_san; /* of peers: any name will do that the authority has signed */
};

/* All memory is the config's until oak_config_fini. Times are in the unit that the name ends in. */
struct oak_config {
    enum oak_config_action action;

    const char *name;
    const char *data_dir; /* "<name>.etcd" unless told */
    struct oak_config_urls listen_client_urls;
    struct oak_config_urls listen_peer_urls;
    struct oak_config_urls listen_metrics_urls;     /* may be empty */
    struct oak_config_urls listen_client_http_urls; /* not empty: HTTP is served there alone */
    const char *wal_dir;                            /* "": in the data directory */
    const char *cors;           /* origins of pages that may ask by HTTP, with commas; "*": any */
    const char *host_whitelist; /* hosts that http is asked for by, with commas; "*": any */
    bool memory_mlock;
    bool socket_reuse_port;
    uint64_t grpc_keepalive_min_ns; /* between two PINGs of a client */
    uint64_t grpc_keepalive_interval_ns;
    uint64_t grpc_keepalive_timeout_ns;
    bool grpc_keepalive_min_given;
    uint64_t slow_request_ns; /* what takes longer is logged; 0: nothing */
    uint64_t heartbeat_interval_ms;
    uint64_t election_timeout_ms;
    uint64_t snapshot_send_rate;       /* bytes in a second of all snapshots sent; 0: no limit */
    uint64_t snapshot_catchup_entries; /* entries kept behind a snapshot for slow followers */
    uint64_t log_away_ns;              /* the log is kept for a member that is silent for less */
    uint64_t scrub_rate;               /* bytes of the log in a second; 0: none */
    uint64_t scrub_interval_ms;        /* from the end of a pass to the next */
    uint64_t max_request_bytes;
    uint64_t max_txn_ops;
    uint64_t watch_progress_ns;      /* between two notices of progress to a watcher */
    uint64_t max_concurrent_streams; /* of one connection; never over OAK_STREAMS_MAX */

    const char *auth_token; /* "simple" or "jwt,...", as given */
    uint64_t auth_token_ttl_s;
    uint64_t bcrypt_cost;

    struct oak_config_urls advertise_client_urls;
    struct oak_config_urls initial_advertise_peer_urls;
    const char *initial_cluster; /* "a=http://…,b=http://…": see oak_config_bootstrap */
    bool initial_cluster_given;  /* not derived from the name and the peer URLs */
    const char *initial_cluster_token;
    enum oak_config_cluster_state initial_cluster_state;
    bool strict_reconfig_check; /* changes of the group that could cost its quorum are refused */
    uint64_t max_learners;
    int64_t quota_backend_bytes; /* as given; the next one says what it means */
    uint64_t quota_bytes;        /* 0: none */
    enum oak_config_compaction auto_compaction_mode;
    const char *auto_compaction_retention; /* as given; the next one says what it means */
    uint64_t auto_compaction;              /* nanoseconds, or revisions; 0: never */

    struct oak_config_tls client_tls;
    struct oak_config_tls peer_tls;
    const char *cipher_suites; /* commas between; "": the usual ones */
    enum oak_config_tls_version tls_min_version;
    enum oak_config_tls_version tls_max_version;
    uint64_t self_signed_years;

    enum oak_log_level log_level;
    enum oak_config_log_format log_format;
    const char *log_outputs; /* as given; the next five say what it means */
    bool log_to_stdout;
    bool log_to_stderr;
    bool log_to_journal;
    const char *log_files[OAK_CONFIG_LOG_FILES_MAX];
    size_t log_file_count;
    bool log_rotate; /* then there is one file and nothing else */
    const char *log_rotation_text;
    struct oak_config_rotation log_rotation;

    const char *feature_gates;    /* as given; what it means, with older flags, is in `gates` */
    bool gates[OAK_CONFIG_GATES]; /* on */
    bool unsafe_no_fsync;
    const char *fault_control; /* os.h, "faults on demand"; "" for none */
    uint64_t leader_priority;  /* up to 255 */
    bool grpc_reflection;      /* the server tells of its services */
    bool grpc_gateway;
    const char *jsonrpc_listen; /* "host:port"; "" for none */
    bool leader_handover;       /* a leader much slower than the others lets one of them lead */
    bool pushback;              /* clients are slowed while a member that is behind catches up */
    bool lease_reads_given;     /* the next two are to be the cluster's */
    uint64_t lease_reads_ms;    /* 0: reads by lease are off */
    uint64_t clock_drift_ppm;
    uint64_t clock_error_ms;      /* of the time of day; 0: not known */
    uint64_t lease_checkpoint_ns; /* between two notes of what is left of a lease; 0: none */
    enum oak_config_store store;

    const char *config_file; /* where it came from; NULL without one */

    /* What an operator should know and the server should log once it can: flags without effect,
     * variables nobody knows. */
    const char **warnings;
    size_t warning_count;

    bool misused; /* the error is one of usage: exit code 2, and the usage on stderr */
    struct oak_arena arena;
};

/* What the caller was given. `argv[0]` is skipped. `env` ends with NULL. Borrowed for the call. */
struct oak_config_input {
    int argc;
    const char *const *argv;
    const char *const *env;
};

/* Read and check everything. On an error `e` names the flag and says what to do, and `out` tells
 * only `misused`. fini is owed in either case. OAK_EINVAL, OAK_ENOENT and OAK_EPERM (the file),
 * OAK_ELIMIT, OAK_EFORMAT (the file), OAK_ENOMEM, OAK_EIO. */
OAK_MUST_USE int oak_config_load(const struct oak_config_input *input, struct oak_config *out,
                                 struct oak_errbuf *e);
void oak_config_fini(struct oak_config *config);

/* Load, and answer help, version and errors on stdout and stderr as etcd does. True: serve. False:
 * end with *exit_code (nothing is owed then). */
bool oak_config_start(int argc, char *const *argv, char *const *env, struct oak_config *out,
                      int *exit_code);

/* The flags as text: the whole help, or the few lines of usage. `out` is appended to. OAK_ENOMEM.
 */
OAK_MUST_USE int oak_config_help(struct oak_buf *out);
const char *oak_config_usage(void);
/* The four lines of --version. */
const char *oak_config_version(void);

/* -- the cluster to be born -------------------------------------------------------------------- */

struct oak_config_member {
    uint64_t id;
    const char *name;
    struct oak_config_urls peer_urls;
};

struct oak_config_cluster {
    uint64_t id;
    uint64_t self_id;
    struct oak_config_member members[OAK_CONFIG_MEMBERS_MAX]; /* sorted by id */
    size_t member_count;
};

/* Read --initial-cluster, for a member whose data directory is empty (else it is not looked at, as
 * etcd does). Its own row must be there with exactly its --initial-advertise-peer-urls.
 * Memory belongs to the config. OAK_EINVAL, OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int oak_config_bootstrap(struct oak_config *config, struct oak_config_cluster *out,
                                      struct oak_errbuf *e);

/* etcd's ids: the first eight bytes of SHA-1 over the sorted URLs and `tail` (the cluster's token
 * for members of the first hour, the decimal unix time for those that were added later) ... */
uint64_t oak_config_member_id(const struct oak_config_urls *sorted_urls, const char *tail);
/* ... and over the members' ids in ascending order. */
uint64_t oak_config_cluster_id(const uint64_t *ids, size_t count);

/* -- TLS --------------------------------------------------------------------------------------- */

/* A certificate is given by its file. */
bool oak_config_tls_has_certificate(const struct oak_config_tls *tls);
/* Who comes must show a certificate. */
bool oak_config_tls_asks(const struct oak_config_tls *tls);

/* -- addresses --------------------------------------------------------------------------------- */

/* A URL as a client gives it, in the form that those above have; NULL: it is none, or there is no
 * memory. */
const char *oak_config_url_read(struct oak_arena *arena, const char *text);
/* The part of one of the URLs above that is behind its scheme: "host:port", or a path. */
const char *oak_config_url_address(const char *url);
/* https, or unixs: TLS is spoken there. */
bool oak_config_url_is_secure(const char *url);
/* Where that is, as a network takes it: "host:port" or "unix:path". */
struct oak_config_place {
    char text[320];
};
void oak_config_url_place(const char *url, struct oak_config_place *out);
/* Commas between, for logs. OAK_ENOMEM. */
OAK_MUST_USE int oak_config_urls_text(const struct oak_config_urls *urls, struct oak_buf *out);

#endif
