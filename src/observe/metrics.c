/* SPDX-License-Identifier: Apache-2.0 */
/* metrics.c: the page of /metrics, in Prometheus' text format (version 0.0.4).
 *
 * Every name is etcd's where etcd has one; what is Oakum's own begins with "oakum_". Nothing is
 * listed that nothing feeds.
 */
#include <inttypes.h>

#include "observe/internal.h"

/* One metric without labels. `type` is "gauge" or "counter". */
static int one(struct oak_buf *out, const char *name, const char *type, const char *help,
               double value)
{
    return oak_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type,
                          name, value);
}

int observe__rows(struct oak_buf *out, const struct observe_row *row, size_t count)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = one(out, row[i].name, row[i].type, row[i].help, row[i].value);
    }
    return error;
}

#define G OBSERVE_GAUGE
#define C OBSERVE_COUNTER

static int read_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    const struct oak_raft_config *config = oak_replica_config(o->options.replica);
    const struct observe_row list[] = {
        {"oakum_reads_by_lease_total", C, "Linearizable reads answered by this leader's lease.",
         (double)s.reads_leased},
        {"oakum_reads_inherited_total", C,
         "Linearizable reads answered by the lease of the leader before.",
         (double)s.reads_inherited},
        {"oakum_reads_by_index_total", C, "Linearizable reads that waited for a read index.",
         (double)s.reads_indexed},
        {"oakum_reads_fallen_back_total", C,
         "Those of them that a leader with leases had no lease for.", (double)s.reads_fallen_back},
        {"oakum_read_rounds_total", C, "Read indexes asked for, each for all reads that waited.",
         (double)s.reads_asked},
        {"oakum_lease_seconds", G, "Length of the cluster's lease for reads; 0: none.",
         config->lease_ms / 1e3},
        {"oakum_lease_drift_ratio", G, "Bound on the drift of clocks that goes with it.",
         config->drift_ppm / 1e6},
        {"oakum_lease_left_seconds", G, "How long this leader's lease still holds; 0: it has none.",
         (double)s.raft.lease_left_ms / 1e3},
        {"oakum_commit_deferred", G,
         "Whether this new leader waits for the end of the last one's lease.",
         s.raft.commit_deferred},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

/* It is to stay one, and has no vote yet. */
static bool is_learner(const struct oak_observe *o)
{
    const struct oak_raft_config *config = oak_replica_config_applied(o->options.replica);
    const struct oak_kv_member *known =
        oak_kv_member(oak_replica_kv(o->options.replica), o->options.id);
    bool learns = false;
    for (uint32_t i = 0; i < config->learner_count; i++) {
        learns = learns || config->learners[i] == o->options.id;
    }
    return learns && known != NULL && known->learner;
}

static int raft_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    const struct oak_kv_alarm *alarms;
    const struct observe_row list[] = {
        {"etcd_server_has_leader", G, "Whether a leader is known: 1 yes, 0 no.",
         s.raft.leader != 0},
        {"etcd_server_is_leader", G, "Whether this member leads: 1 yes, 0 no.",
         s.raft.role == OAK_RAFT_LEADER},
        {"etcd_server_is_learner", G, "Whether this member is a learner: 1 yes, 0 no.",
         is_learner(o)},
        {"oakum_alarms", G, "Alarms of the cluster that are on.",
         (double)oak_kv_alarms(oak_replica_kv(o->options.replica), &alarms)},
        {"etcd_server_leader_changes_seen_total", C, "Changes of leader seen.",
         (double)s.leader_changes},
        {"etcd_server_proposals_committed_total", G, "Index of the newest committed entry.",
         (double)s.raft.commit},
        {"etcd_server_proposals_applied_total", G, "Index of the newest applied entry.",
         (double)s.applied},
        {"etcd_server_proposals_pending", G, "Requests that wait for consensus.",
         (double)s.pending},
        {"etcd_server_proposals_failed_total", C, "Proposals that failed.",
         (double)s.proposals_failed},
        {"etcd_server_read_indexes_failed_total", C, "Linearizable reads that failed.",
         (double)s.reads_failed},
        {"etcd_server_health_success", C, "Health checks that passed.", (double)o->health_success},
        {"etcd_server_health_failures", C, "Health checks that failed.",
         (double)o->health_failures},
        {"oakum_raft_term", G, "Term of this member.", (double)s.raft.term},
        {"oakum_raft_log_bytes", G, "Payload bytes of the log in memory.",
         (double)s.raft.log_bytes},
        {"oakum_pushback_active", G, "Whether clients are slowed so that a member catches up.",
         s.laggard != 0},
        {"oakum_pushback_bytes_per_second", G, "What clients may propose meanwhile; 0: no limit.",
         (double)s.pace},
        {"oakum_pushback_delayed_total", C, "Proposals that waited, or were refused, for it.",
         (double)s.paced},
        {"oakum_leader_handovers_total", C, "Times this member let another lead, being too slow.",
         (double)s.handovers},
        {"oakum_member_sync_seconds", G,
         "Time of a batch of the log until it is durable, smoothed.", (double)s.sync_us / 1e6},
        {"oakum_member_lag_seconds", G, "How late this member's timers fire, smoothed.",
         (double)s.lag_us / 1e6},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int disk_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    const struct observe_row list[] = {
        {"oakum_disk_free_bytes", G, "Bytes free where the log is; 0: not known.",
         s.disk_free_bytes == UINT64_MAX ? 0 : (double)s.disk_free_bytes},
        {"oakum_nospace", G, "1: the alarm NOSPACE is on.", s.disk_scarce ? 1 : 0},
        {"oakum_store_full", G, "1: the store found no space on its disk, and tries again.",
         s.store_full ? 1 : 0},
        {"oakum_store_waiting_bytes", G, "Bytes applied that wait in memory because of that.",
         (double)s.store_waiting},
        {"oakum_log_scrubs_total", C, "Passes of the scrub over the log on disk.",
         (double)s.scrubs},
        {"oakum_log_scrub_seconds", G, "From the begin of the scrub's last pass to its end.",
         (double)s.scrub_ns / 1e9},
        {"oakum_log_damaged", G, "1: the scrub has found damage, and nobody can repair it.",
         s.log_damaged ? 1 : 0},
        {"oakum_store_scrubs_total", C, "Passes of the scrub over the store's files.",
         (double)s.store_scrubs},
        {"oakum_store_scrub_seconds", G, "From the begin of its last pass to its end.",
         (double)s.store_scrub_ns / 1e9},
        {"oakum_store_damaged", G, "1: damage was found in the store, and nobody can repair it.",
         s.store_damaged ? 1 : 0},
        {"oakum_in_doubt", G, "1: this member lost part of its log and does not vote.",
         s.raft.in_doubt ? 1 : 0},
        {"oakum_forgot", G,
         "1: this member's disk is an older one: it promises nothing until it has no vote.",
         s.mute ? 1 : 0},
        {"oakum_members_remembered", G, "Other members whose runs this one remembers, on its disk.",
         (double)oak_replica_remembered(o->options.replica)},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int snapshot_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    const struct observe_row list[] = {
        {"oakum_snapshots_sent_total", C, "Snapshots sent to members, and installed there.",
         (double)s.snapshots_sent},
        {"oakum_snapshot_sends_total", C, "Snapshots that this member has begun to send.",
         (double)s.snapshot_sends},
        {"oakum_snapshot_rewinds_total", C,
         "Times a receiver of a snapshot wanted again what had been sent.",
         (double)s.snapshot_rewinds},
        {"oakum_snapshot_sent_bytes_total", C, "Bytes of snapshots sent, repeated ones included.",
         (double)s.snapshot_sent_bytes},
        {"oakum_snapshots_received_total", C, "Snapshots received.", (double)s.snapshots_received},
        {"oakum_snapshot_received_bytes_total", C, "Bytes of snapshots received.",
         (double)s.snapshot_received_bytes},
        {"oakum_snapshots_resumed_total", C,
         "Snapshots gone on with after a restart of this member.", (double)s.snapshots_resumed},
        {"oakum_snapshots_refused_total", C, "Snapshots given up for want of space, or damage.",
         (double)s.snapshots_refused},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int store_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_store_stats s;
    struct oak_kv_counters k;
    const struct oak_kv *kv = oak_replica_kv(o->options.replica);
    oak_store_stats(o->options.store, &s);
    oak_kv_counters(kv, &k);
    const struct observe_row list[] = {
        {"etcd_mvcc_db_total_size_in_bytes", G, "Bytes of the store on disk.",
         (double)s.disk_bytes},
        {"etcd_mvcc_db_total_size_in_use_in_bytes", G, "Bytes of the store in use.",
         (double)s.live_bytes},
        {"etcd_server_quota_backend_bytes", G, "Quota of the store in bytes; 0: none.",
         (double)o->options.quota_bytes},
        {"etcd_mvcc_put_total", C, "Puts applied.", (double)k.puts},
        {"etcd_mvcc_delete_total", C, "Deletes applied.", (double)k.deletes},
        {"etcd_mvcc_range_total", C, "Ranges read.", (double)k.ranges},
        {"oakum_ranges_in_pieces", G, "Large ranges on their way from the store to their clients.",
         (double)k.pieces},
        {"etcd_mvcc_txn_total", C, "Transactions applied.", (double)k.txns},
        {"etcd_debugging_mvcc_keys_total", G, "Keys, estimated.", (double)s.keys},
        {"etcd_debugging_mvcc_events_total", C, "Changes of keys.", (double)k.events},
        {"etcd_debugging_mvcc_current_revision", G, "Revision of the store.",
         (double)oak_kv_state(kv)->revision},
        {"etcd_debugging_mvcc_compact_revision", G, "Compaction floor.",
         (double)oak_kv_state(kv)->compacted},
        {"etcd_debugging_auth_revision", G, "Revision of users and roles.",
         (double)oak_authz_settings(oak_kv_authz(kv))->revision},
        {"oakum_store_memory_bytes", G, "Caches and buffers of the store.", (double)s.memory_bytes},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int watch_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_observe_watches w;
    o->options.watches(o->options.user, &w);
    const struct observe_row list[] = {
        {"etcd_debugging_mvcc_watch_stream_total", G, "Open streams of watchers.",
         (double)w.streams},
        {"etcd_debugging_mvcc_watcher_total", G, "Watchers.", (double)w.watchers},
        {"etcd_debugging_mvcc_slow_watcher_total", G,
         "Watchers that are behind and served from the store.", (double)w.behind},
        {"etcd_debugging_mvcc_pending_events_total", G,
         "Events sent to streams that have not been written out whole.", (double)w.pending},
        {"oakum_watch_events_sent_total", C, "Events sent to watchers.", (double)w.events},
        {"oakum_watch_responses_sent_total", C, "Responses that brought them.",
         (double)w.responses},
        {"oakum_watch_memory_bytes", G, "Memory of watchers and what they name.",
         (double)w.memory_bytes},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int tls_families(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_observe_secure ends[OAK_OBSERVE_ENDS];
    static const struct {
        const char *name;
        const char *type;
        const char *help;
        size_t offset;
    } list[] = {
        {"oakum_tls_handshakes_total", C, "Handshakes of TLS that succeeded.",
         offsetof(struct oak_observe_secure, handshakes)},
        {"oakum_tls_failed_total", C, "Handshakes and connections that TLS broke off.",
         offsetof(struct oak_observe_secure, failed)},
        {"oakum_tls_reloads_total", C, "Times that changed files were loaded.",
         offsetof(struct oak_observe_secure, reloads)},
        {"oakum_tls_reloads_failed_total", C, "Times that changed files could not be used.",
         offsetof(struct oak_observe_secure, reloads_failed)},
        {"oakum_tls_certificate_expiry_seconds", G,
         "When our certificate ends, in seconds since 1970 UTC; 0: there is none.",
         offsetof(struct oak_observe_secure, certificate_s)},
        {"oakum_tls_ca_expiry_seconds", G,
         "When the first authority trusted ends, in seconds since 1970 UTC; 0: there is none.",
         offsetof(struct oak_observe_secure, ca_s)},
        {"oakum_tls_crl_expiry_seconds", G,
         "When the first revocation list is to be renewed, in seconds since 1970 UTC; 0: none.",
         offsetof(struct oak_observe_secure, crl_s)},
    };
    o->options.secure(o->options.user, ends);
    int error = 0;
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(list); i++) {
        error = oak_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", list[i].name, list[i].help,
                               list[i].name, list[i].type);
        for (size_t k = 0; error == 0 && k < OAK_OBSERVE_ENDS; k++) {
            uint64_t value;
            memcpy(&value, (const char *)&ends[k] + list[i].offset, sizeof(value));
            error = oak_buf_printf(out, "%s{end=\"%s\"} %" PRIu64 "\n", list[i].name, ends[k].end,
                                   value);
        }
    }
    return error;
}

static int process_rows(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_observe_process p;
    struct oak_rpc_traffic t;
    o->options.process(o->options.user, &p);
    oak_rpc_server_traffic(o->options.clients, &t);
    const struct observe_row list[] = {
        {"etcd_network_client_grpc_received_bytes_total", C, "Bytes received from gRPC clients.",
         (double)t.received_bytes},
        {"etcd_network_client_grpc_sent_bytes_total", C, "Bytes sent to gRPC clients.",
         (double)t.sent_bytes},
        {"oakum_network_busy_refused_total", C, "Calls refused: too many were being worked on.",
         (double)t.refused_busy},
        {"oakum_network_rate_refused_total", C, "Calls refused: their client calls too often.",
         (double)t.refused_rate},
        {"oakum_network_memory_bytes", G, "What the connections of gRPC clients cost.",
         (double)t.memory_bytes},
        {"oakum_network_shed_total", C, "Idle connections closed to save memory.", (double)t.shed},
        {"oakum_network_aged_total", C, "Connections asked to go for their age, or being idle.",
         (double)t.aged},
        {"oakum_network_stalled_total", C, "Calls reset: their peer made no progress.",
         (double)t.stalled},
        {"oakum_network_abuse_closed_total", C, "Connections ended for abuse of HTTP/2.",
         (double)t.abuse_closed},
        {"process_cpu_seconds_total", C, "User and system time.", (double)p.cpu_ns / 1e9},
        {"process_resident_memory_bytes", G, "Resident memory.", (double)p.rss_bytes},
        {"process_virtual_memory_bytes", G, "Virtual memory.", (double)p.virtual_bytes},
        {"process_open_fds", G, "Open files.", (double)p.open_files},
        {"process_max_fds", G, "Limit of open files.", (double)p.open_files_max},
        {"process_start_time_seconds", G, "Start, in seconds since 1970 UTC.",
         (double)p.started_at_ns / 1e9},
        {"os_fd_used", G, "Open files.", (double)p.open_files},
        {"os_fd_limit", G, "Limit of open files.", (double)p.open_files_max},
    };
    return observe__rows(out, list, OAK_COUNT_OF(list));
}

static int sync_histogram(struct oak_observe *o, struct oak_buf *out)
{
    static const char name[] = "etcd_disk_wal_fsync_duration_seconds";
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    const uint64_t *counts = oak_replica_sync_histogram(o->options.replica);
    int error = oak_buf_printf(out,
                               "# HELP %s Time to make a batch of the log durable.\n# TYPE %s "
                               "histogram\n",
                               name, name);
    uint64_t total = 0;
    double bound = 0.001;
    for (size_t i = 0; error == 0 && i + 1 < OAK_JOURNAL_BUCKETS; i++, bound *= 2) {
        total += counts[i];
        error = oak_buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, bound, total);
    }
    total += counts[OAK_JOURNAL_BUCKETS - 1];
    if (error == 0) {
        error = oak_buf_printf(
            out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %.9f\n%s_count %" PRIu64 "\n", name,
            total, name, (double)s.sync_ns_total / 1e9, name, total);
    }
    return error;
}

static const char *kind_name(enum oak_rpc_kind kind)
{
    static const char *const names[] = {"unary", "client_stream", "server_stream", "bidi_stream"};
    return names[kind];
}

static int method_row(struct oak_buf *out, const char *name, const struct oak_rpc_method *m,
                      const char *code, uint64_t value)
{
    return oak_buf_printf(
        out, "%s{%s%s%sgrpc_method=\"%s\",grpc_service=\"%s\",grpc_type=\"%s\"} %" PRIu64 "\n",
        name, code != NULL ? "grpc_code=\"" : "", code != NULL ? code : "",
        code != NULL ? "\"," : "", m->name, m->service, kind_name(m->kind), value);
}

static int handled_rows(struct oak_buf *out, const struct oak_rpc_method_stats *s)
{
    int error = 0;
    for (size_t code = 0; error == 0 && code < OAK_COUNT_OF(s->handled); code++) {
        error = method_row(out, "grpc_server_handled_total", s->method,
                           oak_rpc_code_name((enum oak_rpc_code)code), s->handled[code]);
    }
    return error;
}

static int family(struct oak_buf *out, const char *name, const char *help)
{
    return oak_buf_printf(out, "# HELP %s %s\n# TYPE %s counter\n", name, help, name);
}

static int method_families(struct oak_observe *o, struct oak_buf *out)
{
    const struct oak_rpc_method_stats *stats;
    size_t count = oak_rpc_server_stats(o->options.clients, &stats);
    int error = family(out, "grpc_server_started_total", "Calls begun.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error =
            method_row(out, "grpc_server_started_total", stats[i].method, NULL, stats[i].started);
    }
    error =
        error != 0 ? error : family(out, "grpc_server_handled_total", "Calls ended, by status.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = handled_rows(out, &stats[i]);
    }
    error =
        error != 0 ? error : family(out, "grpc_server_msg_received_total", "Messages received.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = method_row(out, "grpc_server_msg_received_total", stats[i].method, NULL,
                           stats[i].received);
    }
    error = error != 0 ? error : family(out, "grpc_server_msg_sent_total", "Messages sent.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = method_row(out, "grpc_server_msg_sent_total", stats[i].method, NULL, stats[i].sent);
    }
    return error;
}

static int abuse_family(struct oak_observe *o, struct oak_buf *out)
{
    static const char name[] = "oakum_network_abuse_total";
    struct oak_rpc_traffic t;
    oak_rpc_server_traffic(o->options.clients, &t);
    int error = family(out, name, "Connections ended for abuse of HTTP/2, by its kind.");
    for (int i = 0; error == 0 && i < OAK_RPC_ABUSES; i++) {
        const char *kind = oak_rpc_abuse_name((enum oak_rpc_abuse)i);
        error = oak_buf_printf(out, "%s{kind=\"%s\"} %" PRIu64 "\n", name, kind, t.abuse[i]);
    }
    return error;
}

/* Without a door all is 0. */
static int jsonrpc_families(struct oak_observe *o, struct oak_buf *out)
{
    static const char name[] = "oakum_jsonrpc_handled_total";
    const struct oak_jsonrpc_server *door = o->options.jsonrpc;
    struct oak_jsonrpc_traffic t = {0};
    if (door != NULL) {
        oak_jsonrpc_server_traffic(door, &t);
    }
    const struct observe_row list[] = {
        {"oakum_jsonrpc_connections", G, "Connections of JSON-RPC.",
         door != NULL ? (double)oak_jsonrpc_server_connections(door) : 0},
        {"oakum_jsonrpc_received_bytes_total", C, "Bytes received by JSON-RPC.",
         (double)t.received_bytes},
        {"oakum_jsonrpc_sent_bytes_total", C, "Bytes sent by JSON-RPC.", (double)t.sent_bytes},
        {"oakum_jsonrpc_started_total", C, "Calls of JSON-RPC begun.", (double)t.started},
        {"oakum_jsonrpc_refused_total", C,
         "Requests of JSON-RPC that came to no method: malformed, unknown, too large.",
         (double)t.refused},
        {"oakum_jsonrpc_abandoned_total", C,
         "Calls of JSON-RPC whose connection ended before their answer.", (double)t.abandoned},
    };
    int error = observe__rows(out, list, OAK_COUNT_OF(list));
    error = error != 0 ? error : family(out, name, "Calls of JSON-RPC ended, by status.");
    for (size_t code = 0; error == 0 && code < OAK_COUNT_OF(t.handled); code++) {
        error = oak_buf_printf(out, "%s{grpc_code=\"%s\"} %" PRIu64 "\n", name,
                               oak_rpc_code_name((enum oak_rpc_code)code), t.handled[code]);
    }
    return error;
}

/* Without a gateway all is 0. */
static int gateway_families(struct oak_observe *o, struct oak_buf *out)
{
    static const char name[] = "oakum_gateway_handled_total";
    struct oak_transcode_traffic t = {0};
    if (o->options.gateway != NULL) {
        oak_transcode_traffic(o->options.gateway, &t);
    }
    const struct observe_row list[] = {
        {"oakum_gateway_calls", G, "Calls of the JSON gateway under way.", (double)t.calls},
        {"oakum_gateway_started_total", C, "Calls of the JSON gateway begun.", (double)t.started},
        {"oakum_gateway_refused_total", C,
         "Requests of the JSON gateway that came to no method: malformed, unknown, too large.",
         (double)t.refused},
        {"oakum_gateway_abandoned_total", C,
         "Calls of the JSON gateway whose client went away before their end.", (double)t.abandoned},
        {"oakum_gateway_msg_received_total", C, "Messages of the JSON gateway received.",
         (double)t.received},
        {"oakum_gateway_msg_sent_total", C, "Messages of the JSON gateway sent.", (double)t.sent},
    };
    int error = observe__rows(out, list, OAK_COUNT_OF(list));
    error = error != 0 ? error : family(out, name, "Calls of the JSON gateway ended, by status.");
    for (size_t code = 0; error == 0 && code < OAK_COUNT_OF(t.handled); code++) {
        error = oak_buf_printf(out, "%s{grpc_code=\"%s\"} %" PRIu64 "\n", name,
                               oak_rpc_code_name((enum oak_rpc_code)code), t.handled[code]);
    }
    return error;
}

static int peer_families(struct oak_observe *o, struct oak_buf *out)
{
    struct oak_peer_stats peers[OAK_PEERS_MAX];
    size_t count = o->options.peers == NULL
                       ? 0
                       : oak_peers_stats(o->options.peers, peers, OAK_COUNT_OF(peers));
    int error = family(out, "etcd_network_peer_sent_bytes_total", "Bytes sent to a member.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = oak_buf_printf(
            out, "etcd_network_peer_sent_bytes_total{To=\"%" PRIx64 "\"} %" PRIu64 "\n",
            peers[i].id, peers[i].sent_bytes);
    }
    error = error != 0 ? error
                       : family(out, "etcd_network_peer_received_bytes_total",
                                "Bytes received from a member.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = oak_buf_printf(
            out, "etcd_network_peer_received_bytes_total{From=\"%" PRIx64 "\"} %" PRIu64 "\n",
            peers[i].id, peers[i].received_bytes);
    }
    error = error != 0 ? error
                       : family(out, "etcd_network_peer_sent_failures_total",
                                "Frames that could not be sent to a member.");
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = oak_buf_printf(
            out, "etcd_network_peer_sent_failures_total{To=\"%" PRIx64 "\"} %" PRIu64 "\n",
            peers[i].id, peers[i].sent_failures);
    }
    return error;
}

static const struct oak_raft_peer_status *follower_find(const struct oak_raft_peer_status *rows,
                                                        size_t count, uint64_t id)
{
    static const struct oak_raft_peer_status unknown;
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == id) {
            return &rows[i];
        }
    }
    return &unknown;
}

static int follower_row(struct oak_buf *out, const char *name, const char *help, uint64_t id,
                        bool head, double value)
{
    int error = head ? oak_buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name) : 0;
    return error != 0 ? error
                      : oak_buf_printf(out, "%s{To=\"%" PRIx64 "\"} %.17g\n", name, id, value);
}

/* How a leader sees the others; elsewhere all is 0. */
static int follower_families(struct oak_observe *o, struct oak_buf *out)
{
    static const char *const list[][2] = {
        {"oakum_follower_lag_entries", "Entries that a member lacks, as its leader knows."},
        {"oakum_follower_window_bytes", "What may be on the way to a member."},
        {"oakum_follower_round_trip_seconds", "Round trip to a member and its disk."},
        {"oakum_follower_bytes_per_second", "Rate at which a member acknowledges."},
    };
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    size_t count = oak_replica_peers(o->options.replica, peers, OAK_COUNT_OF(peers));
    const struct oak_raft_config *config = oak_replica_config(o->options.replica);
    struct oak_replica_status s;
    oak_replica_status(o->options.replica, &s);
    int error = 0;
    for (size_t m = 0; m < OAK_COUNT_OF(list); m++) {
        bool head = true;
        for (uint32_t i = 0; error == 0 && i < config->voter_count + config->learner_count; i++) {
            uint64_t id = i < config->voter_count ? config->voters[i]
                                                  : config->learners[i - config->voter_count];
            const struct oak_raft_peer_status *p = follower_find(peers, count, id);
            const double values[] = {p->id != 0 ? (double)(s.raft.last - p->match) : 0,
                                     (double)p->window_bytes, (double)p->round_trip_us / 1e6,
                                     (double)p->bytes_a_second};
            if (id != o->options.id) {
                error = follower_row(out, list[m][0], list[m][1], id, head, values[m]);
                head = false;
            }
        }
    }
    return error;
}

static int identity_rows(struct oak_observe *o, struct oak_buf *out)
{
    return oak_buf_printf(
        out,
        "# HELP etcd_server_id This member's id.\n# TYPE etcd_server_id gauge\n"
        "etcd_server_id{server_id=\"%" PRIx64 "\"} 1\n"
        "# HELP etcd_server_version The version of the API that is served.\n"
        "# TYPE etcd_server_version gauge\netcd_server_version{server_version=\"%s\"} 1\n"
        "# HELP etcd_cluster_version The cluster's version.\n# TYPE etcd_cluster_version gauge\n"
        "etcd_cluster_version{cluster_version=\"%.3s\"} 1\n"
        "# HELP oakum_version Oakum's own version.\n# TYPE oakum_version gauge\n"
        "oakum_version{version=\"%s\"} 1\n",
        o->options.id, o->options.version, o->options.cluster_version, o->options.own_version);
}

int observe__metrics(struct oak_observe *o, struct oak_buf *out)
{
    int error = raft_rows(o, out);
    error = error != 0 ? error : disk_rows(o, out);
    error = error != 0 ? error : snapshot_rows(o, out);
    error = error != 0 ? error : read_rows(o, out);
    error = error != 0 ? error : store_rows(o, out);
    error = error != 0 ? error : watch_rows(o, out);
    error = error != 0 ? error : observe__lease_rows(o, out);
    error = error != 0 ? error : sync_histogram(o, out);
    error = error != 0 ? error : peer_families(o, out);
    error = error != 0 ? error : follower_families(o, out);
    error = error != 0 ? error : method_families(o, out);
    error = error != 0 ? error : abuse_family(o, out);
    error = error != 0 ? error : jsonrpc_families(o, out);
    error = error != 0 ? error : tls_families(o, out);
    error = error != 0 ? error : gateway_families(o, out);
    error = error != 0 ? error : process_rows(o, out);
    return error != 0 ? error : identity_rows(o, out);
}
