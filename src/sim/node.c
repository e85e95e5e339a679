/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: one node of the cluster: the real replica on a simulated machine.
 *
 * A crash: the disk dies, the replica is closed against the dead disk (so that its memory is freed,
 * and its closing path is run with failing calls), the machine's events are lost, and what was not
 * synced is decided by chance. A node that can't start again although its disk kept its promises is
 * a failure of the run.
 */
#include <stdarg.h>
#include <stdio.h>

#include "sim/internal.h"

#define CLUSTER 77
#define GROUP   1

static void log_line(void *user, enum oak_log_level level, const char *text)
{
    struct node *n = user;
    (void)level;
    sim__trace(n->sim, "n%d | %s", n->index + 1, text);
}

static void frame_send(void *user, uint64_t to, bool bulk, struct oak_bytes frame)
{
    struct node *n = user;
    (void)bulk;
    OAK_ASSERT(to >= 1 && to <= (uint64_t)n->sim->world.node_count);
    if (n->replica != NULL || !sim_disk_died(n->sim->world.machines[n->index].disk)) {
        sim__promise_watch(n, frame);
        sim__transfer_send(n, (int)to - 1, frame);
    }
}

static void on_fatal(void *user, int error, const char *text)
{
    struct node *n = user;
    n->fatal = true;
    if (!sim_disk_died(n->sim->world.machines[n->index].disk)) {
        sim__fail(n->sim, "node %d ended itself: %s (%s)", n->index + 1, text,
                  oak_error_name(error));
    }
}

static void on_applied(void *user, uint64_t index, uint64_t term, struct oak_bytes entry)
{
    sim__check_applied(user, index, term, entry);
}

void sim__node_init(struct sim *s, int index)
{
    struct node *n = &s->nodes[index];
    *n = (struct node){.sim = s, .index = index, .id = (uint64_t)index + 1};
    snprintf(n->dir, sizeof(n->dir), "/node%d", index + 1);
    n->log = (struct oak_log){.write = log_line, .user = n, .level = OAK_LOG_INFO};
}

static void restart_event(struct world *w, struct event *e)
{
    struct node *n = e->arg;
    (void)w;
    if (n->replica == NULL && !n->sim->failed) {
        sim__node_start(n);
    }
}

static void restart_later(struct node *n)
{
    struct world *w = &n->sim->world;
    uint64_t most = (n->sim->plan.churn ? 400 : 4000) * SIM_MS;
    uint64_t wait = 10 * SIM_MS + oak_prng_below(&w->prng, most);
    world_at(w, w->now_ns + wait, -1, restart_event, n, oak_bytes(NULL, 0), 0);
}

static void on_closed(void *user)
{
    struct node *n = user;
    n->journal = NULL;
}

static void on_replica_closed(void *user)
{
    struct node *n = user;
    oak_journal_close(n->journal, on_closed, n);
}

/* The machine died while it started, or before: what is on its disk now is what the next start
 * finds. */
static void machine_off(struct node *n)
{
    struct sim_disk *disk = n->sim->world.machines[n->index].disk;
    if (n->journal != NULL && !n->closing) {
        oak_journal_close(n->journal, on_closed, n);
    }
    n->closing = false;
    world_kill(&n->sim->world, n->index);
    OAK_ASSERT(n->journal == NULL);
    if (n->store != NULL) {
        oak_store_close(n->store);
        n->store = NULL;
    }
    n->sim->report->writes_lost -= sim_disk_lost(disk);
    sim_disk_crash(disk);
    n->sim->report->writes_lost += sim_disk_lost(disk);
}

/* How far the state machine is, for the repair of a damaged log. */
static bool store_applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    const struct node *n = user;
    const struct oak_store_state *state = oak_store_state(n->store);
    *index = state->applied;
    *term = state->applied_term;
    return group == GROUP;
}

static int journal_open(struct node *n, struct oak_errbuf *e)
{
    struct machine *m = &n->sim->world.machines[n->index];
    const struct oak_journal_options options = {
        .loop = &m->loop,
        .writer = m->log_writer,
        .disk = sim_disk_port(m->disk),
        .log = &n->log,
        .dir = n->dir,
        .cluster = CLUSTER,
        .member = n->id,
        .segment_bytes = n->sim->plan.segment_bytes,
        .applied = store_applied,
        .user = n,
    };
    return oak_journal_open(&options, &n->journal, e);
}

static int parts_open(struct node *n, struct oak_errbuf *e)
{
    struct sim *s = n->sim;
    struct machine *m = &s->world.machines[n->index];
    char store_dir[64];
    snprintf(store_dir, sizeof(store_dir), "%s/store", n->dir);
    const struct oak_store_options store = {
        .disk = sim_disk_port(m->disk), .log = &n->log, .dir = store_dir, .group = GROUP};
    int error = oak_store_open_memory(&store, &n->store, e);
    if (error != 0) {
        n->store = NULL;
        return error;
    }
    error = journal_open(n, e);
    if (error != 0) {
        n->journal = NULL;
        return error;
    }
    static const char *const urls[] = {"http://sim"};
    struct oak_replica_options options = {
        .cluster = CLUSTER,
        .id = n->id,
        .group = GROUP,
        .name = n->dir,
        .client_urls = urls,
        .client_url_count = 1,
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .flush_bytes = s->plan.flush_bytes,
        .append_bytes_max = s->plan.append_bytes,
        .log_tail_entries = s->plan.tail_entries,
        .repair = true,
        .loop = &m->loop,
        .journal = n->journal,
        .worker = m->worker,
        .disk = sim_disk_port(m->disk),
        .dir = n->dir,
        .store = n->store,
        .transport = {.send = frame_send, .user = n},
        .log = &n->log,
        .applied = on_applied,
        .fatal = on_fatal,
        .user = n,
    };
    sim__transfer_options(s, &options);
    sim__members_bootstrap(s, n->index, &options.bootstrap);
    options.bootstrap.lease_ms = s->leases.lease_ms;
    options.bootstrap.drift_ppm = s->leases.drift_ppm;
    options.clock_error_ms = s->leases.clock_error_ms;
    options.lease_wanted = s->leases.wishes;
    options.lease_ms = s->leases.wish_ms[n->index];
    options.drift_ppm = s->leases.drift_ppm;
    error = oak_replica_open(&options, &n->replica, e);
    oak_journal_recovered_drop(n->journal);
    return error;
}

void sim__node_start(struct node *n)
{
    struct sim *s = n->sim;
    struct machine *m = &s->world.machines[n->index];
    struct oak_errbuf e = {.text = ""};
    world_boot(&s->world, n->index);
    n->fatal = false;
    n->commit_seen = 0;
    n->applied_seen = 0;
    n->installing_seen = false;
    n->transfer = (struct transfer_seen){0};
    if (!s->settling && oak_prng_chance(&s->world.prng, 1, 10)) {
        sim_disk_die_after(m->disk, 1 + oak_prng_below(&s->world.prng, 40));
    }
    int error = parts_open(n, &e);
    sim__trace(s, "n%d starts%s%s", n->index + 1, error == 0 ? "" : ": ", e.text);
    if (error != 0) {
        n->replica = NULL;
        if (!sim_disk_died(m->disk)) {
            sim__fail(s, "node %d can't start again: %s", n->index + 1, e.text);
        }
        machine_off(n);
        restart_later(n);
        return;
    }
    struct oak_replica_status status;
    oak_replica_status(n->replica, &status);
    if (status.raft.in_doubt) {
        sim__fail(s, "node %d is in doubt about its log, and its disk kept its promises",
                  n->index + 1);
    }
    sim__promise_started(n);
}

void sim__node_crash(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_replica *replica = n->replica;
    if (replica == NULL) {
        return;
    }
    struct oak_replica_status status;
    oak_replica_status(replica, &status);
    n->died_term = status.raft.term;
    s->report->reads_leased += status.reads_leased;
    s->report->reads_inherited += status.reads_inherited;
    s->report->crashes++;
    sim__trace(s, "n%d crashes", n->index + 1);
    sim_disk_die(s->world.machines[n->index].disk);
    n->replica = NULL;
    n->closing = true;
    /* The clients of a node that dies hear nothing: their requests end as "not known". */
    oak_replica_close(replica, on_replica_closed, n);
    sim__clients_lost(s, n->index);
    machine_off(n);
    restart_later(n);
}

void sim__node_look(struct node *n)
{
    if (n->replica == NULL) {
        return;
    }
    if (n->fatal || sim_disk_died(n->sim->world.machines[n->index].disk)) {
        sim__node_crash(n);
        return;
    }
    sim__check_step(n);
    sim__members_look(n);
    sim__transfer_look(n);
}
