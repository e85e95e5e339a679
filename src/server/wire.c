/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c: the parts, made from the ground up and unmade in reverse. Nothing here decides anything.
 */
#include "server/internal.h"

#include <stdio.h>

#define OWN_VERSION OAK_VERSION

static int fail(struct oak_errbuf *e, int error, const char *what)
{
    return error == 0 ? 0 : oak_fail(e, error, "can't make %s: %s", what, oak_error_text(error));
}

static void transport_send(void *user, uint64_t to, bool bulk, struct oak_bytes frame)
{
    struct server *s = user;
    oak_peers_send(s->peers, to, bulk, frame);
}

static void peers_received(void *user, struct oak_bytes frame)
{
    struct server *s = user;
    if (s->replica != NULL) {
        oak_replica_receive(s->replica, frame);
    }
}

static void peers_lost(void *user, uint64_t peer)
{
    struct server *s = user;
    if (s->replica != NULL) {
        oak_replica_lost(s->replica, peer);
    }
}

static bool peers_gone(void *user, uint64_t peer)
{
    const struct server *s = user;
    return s->replica != NULL && oak_kv_member_gone(oak_replica_kv(s->replica), peer);
}

static bool peers_admit(void *user, const struct oak_identity *identity, const char *from,
                        const char *url)
{
    const struct server *s = user;
    return s->config.peer_tls.skip_san || secure_admit(identity, from, url);
}

static int secure_begin(struct server *s, struct oak_errbuf *e)
{
    bool peers = false;
    for (size_t i = 0; i < s->identity.member_count; i++) {
        peers = peers || oak_config_url_is_secure(s->identity.members[i].peer_urls.items[0]);
    }
    s->secure = (struct secure){
        .config = &s->config,
        .loop = s->port,
        .log = s->log,
        .disk = s->disk,
        .worker = oak_os_actor_exec(s->worker),
    };
    return secure_make(&s->secure, peers, e);
}

static int peers_make(struct server *s)
{
    const struct oak_peers_options options = {
        .loop = s->port,
        .log = s->log,
        .server = s->peer_rpc,
        .cluster = s->identity.cluster,
        .id = s->identity.self,
        .received = peers_received,
        .lost = peers_lost,
        .gone = peers_gone,
        .removed = server__removed,
        .secure = secure_net(&s->secure, SECURE_OUT),
        .admit = peers_admit,
        .user = s,
    };
    return oak_peers_new(&options, &s->peers);
}

/* How far the state machine is, for the repair of a damaged log. */
static bool applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    const struct server *s = user;
    const struct oak_store_state *state = oak_store_state(s->store);
    *index = state->applied;
    *term = state->applied_term;
    return group == 1;
}

static int journal_make(struct server *s, struct oak_errbuf *e)
{
    const char *wal_dir = NULL;
    int error = server__wal_dir(s, &wal_dir, e);
    if (error != 0) {
        return error;
    }
    const struct oak_journal_options options = {
        .loop = s->port,
        .writer = oak_os_actor_exec(s->log_writer),
        .disk = s->disk,
        .log = s->log,
        .dir = s->config.data_dir,
        .wal_dir = wal_dir,
        .cluster = s->identity.cluster,
        .member = s->identity.self,
        .no_sync = s->config.unsafe_no_fsync,
        .applied = server__may_repair(s) ? applied : NULL,
        .user = s,
        .scrub_rate = s->config.scrub_rate,
        .scrub_rest_ms = s->config.scrub_interval_ms,
    };
    return oak_journal_open(&options, &s->journal, e);
}

/* Clients that look for the leader watch this (docs/guide/grpc.md). */
static void leadership(void *user, bool leads, uint64_t term)
{
    struct server *s = user;
    if (s->health != NULL) {
        int error = oak_health_set_leader(s->health, OAK_HEALTH_LEADER, leads, term);
        OAK_ASSERT_EQ(error, 0); /* the name is known by now */
    }
}

static void token_granted(void *user, const struct oak_authz_who *who, struct oak_bytes digest)
{
    struct server *s = user;
    if (s->api != NULL) {
        oak_api_token_granted(s->api, who, digest);
    }
}

static int replica_make(struct server *s, struct oak_errbuf *e)
{
    struct oak_replica_options options = {
        .cluster = s->identity.cluster,
        .id = s->identity.self,
        .group = 1,
        .name = s->config.name,
        .client_urls = s->config.advertise_client_urls.items,
        .client_url_count = s->config.advertise_client_urls.count,
        .heartbeat_ms = (uint32_t)s->config.heartbeat_interval_ms,
        .election_ms = (uint32_t)s->config.election_timeout_ms,
        .priority = (uint8_t)s->config.leader_priority,
        .lease_wanted = s->config.lease_reads_given,
        .lease_ms = (uint32_t)s->config.lease_reads_ms,
        .drift_ppm = (uint32_t)s->config.clock_drift_ppm,
        .clock_error_ms = (uint32_t)s->config.clock_error_ms,
        .lease_checkpoint_ns = s->config.lease_checkpoint_ns != 0 ? s->config.lease_checkpoint_ns
                                                                  : OAK_REPLICA_UNLIMITED,
        .txn_ops_max = (uint32_t)s->config.max_txn_ops,
        .request_bytes_max = s->config.max_request_bytes,
        .log_tail_entries = s->config.snapshot_catchup_entries,
        .log_away_ms = OAK_MAX(s->config.log_away_ns / 1000000, (uint64_t)1),
        .keeps_leadership = !s->config.leader_handover,
        .waits_for_nobody = !s->config.pushback,
        .snapshot_send_rate = s->config.snapshot_send_rate != 0 ? s->config.snapshot_send_rate
                                                                : OAK_REPLICA_UNLIMITED,
        .repair = true,
        .scrub_rate = s->config.scrub_rate,
        .scrub_rest_ms = s->config.scrub_interval_ms,
        .loop = s->port,
        .journal = s->journal,
        .worker = oak_os_actor_exec(s->worker),
        .disk = s->disk,
        .dir = s->config.data_dir,
        .store = s->store,
        .transport = {.send = transport_send, .user = s},
        .log = s->log,
        .members_changed = server__members_changed,
        .leadership = leadership,
        .token_granted = token_granted,
        .fatal = server__fatal,
        .user = s,
    };
    for (size_t i = 0; i < s->identity.member_count; i++) {
        const struct oak_config_member *m = &s->identity.members[i];
        if (!s->identity.joined) {
            options.bootstrap.voters[options.bootstrap.voter_count++] = m->id;
        }
        if (m->id == s->identity.self) {
            options.peer_urls = m->peer_urls.items;
            options.peer_url_count = m->peer_urls.count;
        }
    }
    int error = oak_replica_open(&options, &s->replica, e);
    oak_journal_recovered_drop(s->journal);
    if (error == 0) {
        server__members_changed(s, oak_replica_config(s->replica));
    }
    return error;
}

static int api_peer_call(void *user, uint64_t member, const struct oak_rpc_request *request,
                         struct oak_rpc_call **out)
{
    struct server *s = user;
    return oak_peers_call(s->peers, member, request, out);
}

static uint64_t api_connected_ns(void *user, uint64_t member)
{
    const struct server *s = user;
    struct oak_peer_stats rows[OAK_PEERS_MAX];
    size_t count = OAK_MIN(oak_peers_stats(s->peers, rows, OAK_PEERS_MAX), (size_t)OAK_PEERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == member && rows[i].connected) {
            return rows[i].connected_ns;
        }
    }
    return 0;
}

static uint64_t api_member_id(const char *const *urls, size_t count, const char *tail)
{
    const struct oak_config_urls list = {.items = (const char **)(uintptr_t)urls, .count = count};
    return oak_config_member_id(&list, tail);
}

static int services_make(struct server *s)
{
    for (size_t i = 0; i < s->identity.member_count; i++) {
        const struct oak_config_member *m = &s->identity.members[i];
        s->members[i] = (struct oak_api_member){
            .id = m->id,
            .peer_urls = m->peer_urls.items,
            .peer_url_count = m->peer_urls.count,
        };
    }
    const struct oak_api_options options = {
        .loop = s->port,
        .log = s->log,
        .server = s->client_rpc,
        .replica = s->replica,
        .store = s->store,
        .cluster = s->identity.cluster,
        .id = s->identity.self,
        .members = s->members,
        .member_count = s->identity.member_count,
        .version = OAK_CONFIG_ETCD_VERSION,
        .storage_version = OAK_CONFIG_ETCD_CLUSTER_VERSION,
        .election_ms = (uint32_t)s->config.election_timeout_ms,
        .watch_progress_ns = s->config.watch_progress_ns,
        .request_bytes_max = s->config.max_request_bytes,
        .hasher = oak_os_actor_exec(s->hasher),
        .scribe = oak_os_actor_exec(s->scribe),
        .disk = s->disk,
        .scratch_dir = s->scratch_dir,
        .bcrypt_cost = (unsigned)s->config.bcrypt_cost,
        .token_ttl_ns = s->config.auth_token_ttl_s * UINT64_C(1000000000),
        .jwt = s->jwt,
        .client_cert_auth = s->config.client_tls.client_cert_auth,
        .quota_bytes = s->config.quota_bytes,
        .compaction_mode = s->config.auto_compaction_mode == OAK_CONFIG_COMPACTION_PERIODIC
                               ? OAK_API_COMPACTION_PERIODIC
                               : OAK_API_COMPACTION_REVISION,
        .compaction_retention = s->config.auto_compaction,
        .strict_reconfig = s->config.strict_reconfig_check,
        .learners_max = s->config.max_learners,
        .peer_server = s->peer_rpc,
        .peer_call = api_peer_call,
        .connected_ns = api_connected_ns,
        .url_read = oak_config_url_read,
        .member_id = api_member_id,
        .user = s,
    };
    int error = oak_api_new(&options, &s->api);
    if (error == 0) {
        error = oak_health_add(s->client_rpc, &s->health);
    }
    if (error == 0) {
        struct oak_replica_status status;
        oak_replica_status(s->replica, &status);
        error = oak_health_set_leader(s->health, OAK_HEALTH_LEADER,
                                      status.raft.leader == s->identity.self, status.raft.term);
    }
    if (error == 0 && s->config.grpc_reflection) {
        error = oak_reflection_add(s->client_rpc, &s->reflection);
    }
    if (error == 0 && s->config.jsonrpc_listen[0] != '\0') {
        const struct oak_jsonrpc_options door = {.request_bytes_max = s->config.max_request_bytes +
                                                                      OAK_REQUEST_OVERHEAD_BYTES};
        error = oak_jsonrpc_server_new(s->port, s->client_rpc, &door, &s->jsonrpc);
    }
    return error;
}

static void secure_ask(void *user, struct oak_observe_secure out[OAK_OBSERVE_ENDS])
{
    const struct server *s = user;
    secure_tell(&s->secure, out);
}

static void process_ask(void *user, struct oak_observe_process *out)
{
    struct oak_os_usage usage;
    (void)user;
    oak_os_usage(&usage);
    *out = (struct oak_observe_process){
        .rss_bytes = usage.rss_bytes,
        .virtual_bytes = usage.virtual_bytes,
        .cpu_ns = usage.cpu_ns,
        .open_files = usage.open_files,
        .open_files_max = usage.open_files_max,
        .started_at_ns = usage.started_at_ns,
    };
}

/* The commas of --host-whitelist, cut. */
static void hosts_take(struct server *s)
{
    size_t count = 0;
    char *at = s->hosts_text;
    snprintf(at, sizeof(s->hosts_text), "%s", s->config.host_whitelist);
    while (*at != '\0' && count < HOSTS_MAX) {
        size_t size = strcspn(at, ",");
        char *next = at[size] == ',' ? at + size + 1 : at + size;
        at[size] = '\0';
        if (strcmp(at, "*") == 0) {
            return;
        }
        s->hosts[count] = at;
        count++;
        at = next;
    }
    if (count > 0) {
        oak_http_server_hosts(s->client_http, s->hosts, count);
    }
}

static void watches_ask(void *user, struct oak_observe_watches *out)
{
    const struct server *s = user;
    struct oak_watch_stats stats;
    uint64_t pending;
    oak_api_watches(s->api, &stats, &pending);
    *out = (struct oak_observe_watches){
        .streams = stats.streams,
        .watchers = stats.watchers,
        .behind = stats.behind,
        .pending = pending,
        .events = stats.events,
        .responses = stats.responses,
        .memory_bytes = stats.memory_bytes,
    };
}

/* As etcd: an empty list is that of all. */
static void origins_take(struct server *s)
{
    const char *origins = s->config.cors;
    oak_http_server_origins(s->client_http, origins[0] != '\0' ? origins : "*");
}

static int http_make(struct server *s)
{
    const struct oak_gateway_options gateway = {
        .loop = s->port, .log = s->log, .server = NULL, .replica = s->replica, .api = s->api};
    struct oak_observe_options observe = {
        .loop = s->port,
        .log = s->log,
        .replica = s->replica,
        .store = s->store,
        .clients = s->client_rpc,
        .jsonrpc = s->jsonrpc,
        .peers = s->peers,
        .cluster = s->identity.cluster,
        .id = s->identity.self,
        .quota_bytes = s->config.quota_bytes,
        .version = OAK_CONFIG_ETCD_VERSION,
        .cluster_version = OAK_CONFIG_ETCD_CLUSTER_VERSION,
        .own_version = OWN_VERSION,
        .process = process_ask,
        .watches = watches_ask,
        .secure = secure_ask,
        .user = s,
    };
    int error = oak_http_server_new(s->port, s->log, &s->client_http);
    if (error == 0) {
        hosts_take(s);
        origins_take(s);
        error = oak_http_server_new(s->port, s->log, &s->metrics_http);
    }
    if (error == 0) {
        struct oak_gateway_options here = gateway;
        here.server = s->client_http;
        error = oak_gateway_new(&here, &s->gateway);
    }
    if (error == 0 && s->config.grpc_gateway) {
        error = oak_gateway_etcd_new(s->port, s->client_http, s->client_rpc,
                                     s->config.max_request_bytes + OAK_REQUEST_OVERHEAD_BYTES,
                                     &s->etcd_gateway);
    }
    observe.gateway = s->etcd_gateway;
    if (error == 0) {
        error = oak_observe_new(&observe, &s->observe);
    }
    if (error == 0) {
        error = oak_observe_routes(s->observe, s->client_http);
    }
    return error != 0 ? error : oak_observe_routes(s->observe, s->metrics_http);
}

static struct oak_rpc_options client_rpc_options(const struct server *s)
{
    const struct oak_config *c = &s->config;
    struct oak_rpc_options rpc = {
        .receive_bytes_max = c->max_request_bytes + OAK_REQUEST_OVERHEAD_BYTES,
        .streams_max = (uint32_t)OAK_MIN(c->max_concurrent_streams, OAK_STREAMS_MAX),
        .interceptors = &s->slow.interceptor,
        .interceptor_count = 1,
        .limits.keepalive_ns = c->grpc_keepalive_interval_ns,
        .limits.keepalive_timeout_ns = c->grpc_keepalive_timeout_ns,
        .limits.ping_min_ns = c->grpc_keepalive_min_ns,
    };
    if (c->grpc_keepalive_min_given) {
        rpc.limits.ping_calls_min_ns = c->grpc_keepalive_min_ns;
    }
    return rpc;
}

int server__make(struct server *s, struct oak_errbuf *e)
{
    int error = fail(e, oak_os_loop_new(&s->loop), "the event loop");
    if (error != 0) {
        return error;
    }
    oak_os_loop_clock(s->loop, s->clock);
    s->port = oak_os_loop_port(s->loop);
    if (s->config.socket_reuse_port) {
        oak_os_loop_share_ports(s->loop);
    }
    slow_init(&s->slow, s->log, &s->port->clock, s->config.slow_request_ns);
    const struct oak_rpc_options rpc = client_rpc_options(s);
    /* Frames of peers hold a whole append, or the largest entry. */
    const struct oak_rpc_options peer_rpc = {.receive_bytes_max = 2 * OAK_APPEND_BYTES_MAX +
                                                                  2 * s->config.max_request_bytes};
    error = fail(e, oak_rpc_server_new(s->port, &rpc, &s->client_rpc), "the gRPC server");
    if (error == 0) {
        error = fail(e, oak_rpc_server_new(s->port, &peer_rpc, &s->peer_rpc), "the peer server");
    }
    if (error == 0) {
        error = fail(e, oak_os_actor_new("log", &s->log_writer), "the log writer's thread");
    }
    if (error == 0) {
        error = fail(e, oak_os_actor_new("worker", &s->worker), "the worker's thread");
    }
    if (error == 0) {
        error = fail(e, oak_os_actor_new("passwords", &s->hasher), "the hasher's thread");
    }
    if (error == 0) {
        error = fail(e, oak_os_actor_new("backups", &s->scribe), "the thread of backups");
    }
    error = error != 0 ? error : server__tokens_make(s, e);
    error = error != 0 ? error : secure_begin(s, e);
    error = error != 0 ? error : server__store_open(s, e);
    error = error != 0 ? error : fail(e, peers_make(s), "the connections to peers");
    error = error != 0 ? error : journal_make(s, e);
    error = error != 0 ? error : replica_make(s, e);
    error = error != 0 ? error : fail(e, services_make(s), "the services");
    return error != 0 ? error : fail(e, http_make(s), "the HTTP routes");
}

void server__unmake(struct server *s)
{
    /* Replica and journal are closed, the connections are drained, the loop stands still. What has
     * timers or posts to the loop goes before it. */
    secure_stop(&s->secure);
    oak_peers_free(s->peers);
    if (s->api != NULL) {
        oak_api_free(s->api);
    }
    if (s->gateway != NULL) {
        oak_gateway_free(s->gateway);
    }
    if (s->observe != NULL) {
        oak_observe_free(s->observe);
    }
    oak_transcode_free(s->etcd_gateway);
    oak_http_server_free(s->client_http);
    oak_http_server_free(s->metrics_http);
    oak_jsonrpc_server_free(s->jsonrpc);
    oak_rpc_server_free(s->client_rpc);
    oak_health_free(s->health);
    oak_reflection_free(s->reflection);
    oak_rpc_server_free(s->peer_rpc);
    oak_os_actor_close(s->log_writer);
    oak_os_actor_close(s->worker);
    oak_os_actor_close(s->hasher);
    oak_os_actor_close(s->scribe);
    oak_jwt_free(s->jwt);
    secure_unmake(&s->secure);
    if (s->loop != NULL) {
        oak_os_loop_free(s->loop);
    }
    if (s->store != NULL) {
        oak_store_close(s->store);
    }
    oak_os_unlock_dir(s->lock);
    oak_os_faults_close(s->faults);
    identity_fini(&s->identity);
    oak_config_fini(&s->config);
}
