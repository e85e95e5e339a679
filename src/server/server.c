/* SPDX-License-Identifier: Apache-2.0 */
/* server.c: one member from its command line to its end.
 *
 * Start   configuration -> data directory -> parts (wire.c) -> ports -> serve
 * Stop    SIGINT or SIGTERM: no new connections, requests under way get DRAIN_NS to end, leadership
 *         is handed over (an election time-out at the most), the replica closes, then the journal
 *         (the log writer finishes what it has), then everything is unmade in reverse. A second
 *         signal ends the process at once: what was acknowledged is on disk anyway.
 * Fatal   a failed write or sync, or a state proven wrong: say so and end with code 1 at once,
 *         without touching the disk again. Start-up recovers.
 */
#include "server/server.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/zoo.h"
#include "server/internal.h"

#define DRAIN_NS      (2 * 1000000000ull)
#define DRAIN_STEP_NS (10 * 1000000ull)

extern char **environ;

static void replica_closed(void *user);

void server__fatal(void *user, int error, const char *text)
{
    struct server *s = user;
    const char *then = "what is on its disk is no longer certain, and a restart recovers from it";
    if (error == OAK_ECORRUPT) {
        server__store_suspect(s);
        then = server__may_repair(s)
                   ? "the next start sets the store aside and gets the state from the other members"
                   : "restore a backup, it is a cluster of one";
    }
    if (error == OAK_EINUSE) {
        then = "remove it from the cluster, and add it again as a new member with an empty data "
               "directory";
    }
    oak_log(s->log, OAK_LOG_ERROR, "%s. This member ends now: %s%s", text, then,
            error == OAK_ENOSPC ? " once there is space" : "");
    _exit(1);
}

/* Clients first, then the replica, then the peers: each is gone before what it stands on. */
static void drain_step(struct server *s)
{
    uint64_t now = s->port->clock.mono_ns(s->port->clock.user);
    size_t clients = oak_rpc_server_connections(s->client_rpc) +
                     oak_http_server_connections(s->client_http) +
                     oak_http_server_connections(s->metrics_http);
    clients += s->jsonrpc != NULL ? oak_jsonrpc_server_connections(s->jsonrpc) : 0;
    clients += oak_api_busy(s->api) ? 1 : 0;
    bool idle = oak_api_settle(s->api);
    if (clients == 0 && idle && s->resigned && s->replica != NULL) {
        struct oak_replica *replica = s->replica;
        s->replica = NULL;
        oak_replica_close(replica, replica_closed, s);
    }
    if (s->journal_closed && oak_rpc_server_connections(s->peer_rpc) == 0) {
        oak_os_loop_stop(s->loop);
        return;
    }
    s->port->timers.set(s->port->timers.user, &s->drain_timer, now + DRAIN_STEP_NS);
}

static void drain_fire(struct oak_timer *timer)
{
    drain_step(OAK_CONTAINER_OF(timer, struct server, drain_timer));
}

static void journal_closed(void *user)
{
    struct server *s = user;
    s->journal = NULL;
    s->journal_closed = true;
    oak_rpc_server_drain(s->peer_rpc, 0);
}

static void replica_closed(void *user)
{
    struct server *s = user;
    oak_journal_close(s->journal, journal_closed, s);
}

static void replica_resigned(void *user)
{
    struct server *s = user;
    s->resigned = true;
}

static void drain(struct server *s)
{
    if (oak_os_notify("STOPPING=1") != 0) {
        oak_log(s->log, OAK_LOG_DEBUG, "the service manager could not be told that we stop");
    }
    s->draining = true;
    server__listen_stop(s);
    oak_health_shut_down(s->health);
    oak_api_stop(s->api);
    oak_rpc_server_drain(s->client_rpc, DRAIN_NS);
    if (s->jsonrpc != NULL) {
        oak_jsonrpc_server_drain(s->jsonrpc, DRAIN_NS);
    }
    oak_http_server_drain(s->client_http, DRAIN_NS);
    oak_http_server_drain(s->metrics_http, DRAIN_NS);
    /* Requests that are under way are answered by the next leader, through this member. */
    oak_replica_resign(s->replica, replica_resigned, s);
    s->drain_timer.fire = drain_fire;
    drain_step(s);
}

static void stop_begin(void *user, int signal)
{
    struct server *s = user;
    if (s->draining) {
        oak_log(s->log, OAK_LOG_WARN, "signal %d again: ending at once", signal);
        _exit(1);
    }
    oak_log(s->log, OAK_LOG_INFO, "signal %d: stopping", signal);
    drain(s);
}

static void removed_stop(struct oak_timer *timer)
{
    struct server *s = OAK_CONTAINER_OF(timer, struct server, drain_timer);
    drain(s);
}

void server__removed(void *user, uint64_t peer)
{
    struct server *s = user;
    if (s->removed || s->draining) {
        return;
    }
    s->removed = true;
    oak_log(s->log, OAK_LOG_ERROR,
            "the member has been permanently removed from the cluster, as member %016llx says: it "
            "stops now, and will not start again. Its data directory %s can be removed; to come "
            "back it needs an empty one, and `member add`",
            (unsigned long long)peer, s->config.data_dir);
    /* Not from within the stream that told it. */
    s->drain_timer.fire = removed_stop;
    s->port->timers.set(s->port->timers.user, &s->drain_timer,
                        s->port->clock.mono_ns(s->port->clock.user));
}

static void start_report(const struct server *s)
{
    for (size_t i = 0; i < s->config.warning_count; i++) {
        oak_log(s->log, OAK_LOG_WARN, "%s", s->config.warnings[i]);
    }
    if (s->config.unsafe_no_fsync) {
        oak_log(s->log, OAK_LOG_WARN,
                "--unsafe-no-fsync: acknowledged writes can be lost in a power failure");
    }
    if (s->config.store == OAK_CONFIG_STORE_MEMORY) {
        oak_log(s->log, OAK_LOG_WARN, "--experimental-store=memory: all data is kept in memory");
    }
    oak_log(s->log, OAK_LOG_INFO, "member %016llx (%s) of cluster %016llx, %zu members, data in %s",
            (unsigned long long)s->identity.self, s->config.name,
            (unsigned long long)s->identity.cluster, s->identity.member_count, s->config.data_dir);
}

/* The machine as it is, or as who started us wants it to be. */
static int world_open(struct server *s, struct oak_errbuf *e)
{
    s->disk = oak_os_disk();
    s->clock = oak_os_clock();
    if (s->config.fault_control[0] == '\0') {
        return 0;
    }
    struct oak_errbuf why;
    int error = oak_os_faults_join(s->config.fault_control, &s->faults, &why);
    if (error != 0) {
        return oak_fail(e, error,
                        "--experimental-fault-control: %s; it is for oakum chaos: leave it out",
                        why.text);
    }
    s->disk = oak_os_faults_disk(s->faults);
    s->clock = oak_os_faults_clock(s->faults);
    oak_log(s->log, OAK_LOG_WARN,
            "--experimental-fault-control: another process breaks this member's disk and clock on "
            "purpose, and this one ends with it. Never use it with data that matters");
#if defined(OAK_ZOO)
    const char *bug = getenv("OAKUM_BUG");
    for (int i = OAK_BUG_NONE + 1; bug != NULL && i < OAK_BUG_COUNT; i++) {
        if (strcmp(bug, oak_bug_name((enum oak_bug)i)) == 0) {
            oak_bug_awake = (enum oak_bug)i;
            oak_log(s->log, OAK_LOG_WARN, "OAKUM_BUG: %s", oak_bug_text((enum oak_bug)i));
        }
    }
#endif
    return 0;
}

static int serve(struct server *s, struct oak_errbuf *e)
{
    int error = world_open(s, e);
    if (error == 0) {
        error = server__data_open(s, e);
    }
    if (error == 0) {
        error = server__make(s, e);
    }
    if (error == 0) {
        start_report(s);
        error = server__listen(s, e);
    }
    if (error == 0) {
        error = oak_os_loop_on_signal(s->loop, stop_begin, s);
    }
    if (error != 0) {
        return error;
    }
    if (oak_os_notify("READY=1") != 0) {
        oak_log(s->log, OAK_LOG_WARN, "the service manager could not be told that we are ready");
    }
    oak_os_loop_run(s->loop);
    return 0;
}

int oak_server_main(int argc, char **argv)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return 1;
    }
    int code;
    if (!oak_config_start(argc, argv, environ, &s->config, &code)) {
        free(s);
        return code;
    }
    struct oak_errbuf e = {.text = "unknown"};
    int error = logsink_init(&s->sink, &s->config, oak_os_clock(), &e);
    s->log = &s->sink.log;
    (void)oak_os_files_raise();
    int locked = error == 0 && s->config.memory_mlock ? oak_os_memory_lock() : 0;
    if (locked != 0) {
        error = locked;
        oak_fail(&e, error,
                 "--memory-mlock: %s; let the limit of locked memory be unlimited "
                 "(LimitMEMLOCK=infinity), and allow it to this user",
                 oak_error_text(error));
    }
    error = error != 0 ? error : serve(s, &e);
    if (error != 0) {
        oak_log(s->log, OAK_LOG_ERROR, "can't start: %s", e.text);
        /* Nothing was served: let the system take back what start-up had. */
        _exit(1);
    }
    oak_log(s->log, OAK_LOG_INFO, "stopped");
    server__unmake(s);
    logsink_fini(&s->sink);
    free(s);
    return 0;
}
