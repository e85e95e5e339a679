/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: one node of the cluster: real replicas on a simulated machine, and their one journal.
 *
 * A crash: the disk dies, the replicas and then the journal are closed against the dead disk (so
 * that their memory is freed, and their closing paths are run with failing calls), the machine's
 * events are lost, and what was not synced is decided by chance. A node that can't start again
 * although its disk kept its promises is a failure of the run.
 */
#include "sim/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define CLUSTER 77

static struct sim_disk *disk_of(const struct node *n)
{
    return n->sim->world.machines[n->index].disk;
}

struct member *sim__first(struct sim *s, int node)
{
    return &s->nodes[node].members[0];
}

static void log_line(void *user, enum oak_log_level level, const char *text)
{
    struct node *n = user;
    (void)level;
    sim__trace(n->sim, "n%d | %s", n->index + 1, text);
}

static void frame_send(void *user, uint64_t to, bool bulk, struct oak_bytes frame)
{
    struct member *m = user;
    struct node *n = m->node;
    (void)bulk;
    OAK_ASSERT(to >= 1 && sim__place_of(to) < n->sim->world.node_count);
    if (!sim_disk_died(disk_of(n))) {
        sim__promise_watch(m, frame);
        sim__transfer_send(m, sim__place_of(to), frame);
    }
}

static void on_fatal(void *user, int error, const char *text)
{
    struct member *m = user;
    struct node *n = m->node;
    n->fatal = true;
    if (!sim__end_is_legal(n, error, text)) {
        sim__fail(n->sim, "%s ended itself: %s (%s)", m->name, text, oak_error_name(error));
    } else if (!sim_disk_died(disk_of(n))) {
        sim__tell(n->sim, "n%d ends itself: %s", n->index + 1, text);
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
    n->members = calloc((size_t)s->plan.groups, sizeof(*n->members));
    OAK_ASSERT(n->members != NULL);
    for (int g = 0; g < s->plan.groups; g++) {
        struct member *m = &n->members[g];
        *m = (struct member){.node = n, .group = &s->groups[g]};
        if (s->plan.groups == 1) {
            snprintf(m->name, sizeof(m->name), "node %d", index + 1);
            snprintf(m->dir, sizeof(m->dir), "%s", n->dir);
        } else {
            snprintf(m->name, sizeof(m->name), "node %d, group %d", index + 1, g + 1);
            snprintf(m->dir, sizeof(m->dir), "/node%d/group%d", index + 1, g + 1);
        }
    }
}

void sim__node_fini(struct node *n)
{
    free(n->members);
}

/* -- down -------------------------------------------------------------------------------------- */

static void restart_event(struct world *w, struct event *e)
{
    struct node *n = e->arg;
    (void)w;
    if (!n->up && !n->held && !n->dead && !n->sim->failed) {
        sim__node_start(n);
    }
}

void sim__node_restart(struct node *n, uint64_t ms)
{
    struct world *w = &n->sim->world;
    world_at(w, w->now_ns + ms * SIM_MS, -1, restart_event, n, oak_bytes(NULL, 0), 0);
}

static void restart_later(struct node *n)
{
    struct world *w = &n->sim->world;
    uint64_t most = (n->sim->plan.has[OAK_SIM_CHURN] || n->sim->settling ? 400 : 4000) * SIM_MS;
    uint64_t wait = 10 * SIM_MS + oak_prng_below(&w->prng, most);
    world_at(w, w->now_ns + wait, -1, restart_event, n, oak_bytes(NULL, 0), 0);
}

static void on_journal_closed(void *user)
{
    struct node *n = user;
    n->journal = NULL;
}

static void journal_close(struct node *n)
{
    if (n->journal != NULL && n->open == 0) {
        oak_journal_close(n->journal, on_journal_closed, n);
    }
}

static void on_replica_closed(void *user)
{
    struct node *n = user;
    OAK_ASSERT_GT(n->open, 0);
    n->open--;
    journal_close(n);
}

/* It may go down before anything was looked at: with all that its start has read. */
static void memory_last_look(struct member *m)
{
    struct oak_replica_status status;
    if (m->replica != NULL) {
        oak_replica_status(m->replica, &status);
        sim__memory_look(m, &status);
    }
}

/* All that runs is closed; what is on its disk now is what the next start finds. */
static void machine_off(struct node *n)
{
    struct sim *s = n->sim;
    const bool was_up = n->up;
    for (int g = 0; g < s->plan.groups; g++) {
        sim__watches_close(&n->members[g]);
        memory_last_look(&n->members[g]);
    }
    const size_t heap = sim__heap_bytes();
    n->up = false;
    n->open = 0;
    for (int g = 0; g < s->plan.groups; g++) {
        n->open += n->members[g].replica != NULL ? 1 : 0;
    }
    if (n->open == 0) {
        journal_close(n);
    }
    for (int g = 0; g < s->plan.groups; g++) {
        struct oak_replica *replica = n->members[g].replica;
        n->members[g].replica = NULL;
        if (replica != NULL) {
            oak_replica_close(replica, on_replica_closed, n);
        }
    }
    sim__clients_lost(s, n->index);
    sim__lessees_lost(s, n->index);
    sim__guests_lost(s, n->index);
    world_kill(&s->world, n->index);
    OAK_ASSERT(n->journal == NULL && n->open == 0);
    for (int g = 0; g < s->plan.groups; g++) {
        if (n->members[g].store != NULL) {
            oak_store_close(n->members[g].store);
            n->members[g].store = NULL;
        }
    }
    if (was_up) {
        sim__memory_check(n, heap, sim__heap_bytes());
    }
    struct sim_disk *disk = disk_of(n);
    s->report->writes_lost -= sim_disk_lost(disk);
    sim_disk_crash(disk);
    s->report->writes_lost += sim_disk_lost(disk);
}

/* Its peers hear of it at once, later by their own time-outs, or when they try to send. */
static void peers_tell(struct node *n)
{
    struct sim *s = n->sim;
    if (s->settling || !oak_prng_chance(&s->world.prng, 1, 2)) {
        return;
    }
    for (int i = 0; i < s->world.node_count; i++) {
        if (i != n->index) {
            sim__link_reset(s, n->index, i);
        }
    }
}

void sim__node_crash(struct node *n)
{
    struct sim *s = n->sim;
    if (!n->up) {
        return;
    }
    for (int g = 0; g < s->plan.groups; g++) {
        struct oak_replica_status status;
        oak_replica_status(n->members[g].replica, &status);
        n->members[g].died_term = status.raft.term;
        s->report->reads_leased += status.reads_leased;
        s->report->reads_inherited += status.reads_inherited;
    }
    s->report->crashes++;
    sim__tell(s, "n%d crashes", n->index + 1);
    sim_disk_die(disk_of(n));
    /* The clients of a node that dies hear nothing: their requests end as "not known". */
    machine_off(n);
    peers_tell(n);
    restart_later(n);
}

/* -- up ---------------------------------------------------------------------------------------- */

/* How far the state machine is, for the repair of a damaged log. */
static bool store_applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    const struct node *n = user;
    for (int g = 0; g < n->sim->plan.groups; g++) {
        const struct member *m = &n->members[g];
        if (m->group->id == group && m->store != NULL) {
            const struct oak_store_state *state = oak_store_state(m->store);
            *index = state->applied;
            *term = state->applied_term;
            return true;
        }
    }
    return false;
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
    int error = oak_journal_open(&options, &n->journal, e);
    if (error != 0) {
        n->journal = NULL;
    }
    return error;
}

static int replica_open(struct member *m, struct oak_errbuf *e)
{
    struct node *n = m->node;
    struct sim *s = n->sim;
    struct machine *machine = &s->world.machines[n->index];
    static const char *const urls[] = {"http://sim"};
    struct oak_replica_options options = {
        .cluster = CLUSTER,
        .id = n->id,
        .group = m->group->id,
        .name = n->dir,
        .client_urls = urls,
        .client_url_count = 1,
        .heartbeat_ms = SIM_HEARTBEAT_MS,
        .election_ms = SIM_ELECTION_MS,
        .priority = s->plan.priority[n->index],
        .flush_bytes = s->plan.flush_bytes,
        .store_waiting_max = s->plan.flush_bytes,
        .append_bytes_max = s->plan.append_bytes,
        .log_tail_entries = s->plan.tail_entries,
        .note_ms = s->plan.note_ms,
        .lease_checkpoint_ns = s->plan.lease_checkpoint_ms * SIM_MS,
        .log_held_entries = s->plan.limits.held_entries,
        .log_away_ms = s->plan.limits.away_ms,
        .log_tail_bytes = s->plan.limits.tail_bytes,
        .log_held_bytes = s->plan.limits.held_bytes,
        .uncommitted_bytes = s->plan.limits.uncommitted_bytes,
        .inflight_bytes = s->plan.limits.inflight_bytes,
        .log_bytes = s->plan.limits.log_bytes,
        .repair = true,
        .loop = &machine->loop,
        .journal = n->journal,
        .worker = machine->worker,
        .disk = sim_disk_port(machine->disk),
        .dir = m->dir,
        .store = m->store,
        .transport = {.send = frame_send, .user = m},
        .log = &n->log,
        .applied = on_applied,
        .fatal = on_fatal,
        .user = m,
    };
    sim__transfer_options(s, &options);
    sim__members_bootstrap(s, n->index, &options.bootstrap);
    options.bootstrap.lease_ms = s->leases.lease_ms;
    options.bootstrap.drift_ppm = s->leases.drift_ppm;
    options.clock_error_ms = s->leases.clock_error_ms;
    options.lease_wanted = s->leases.wishes;
    options.lease_ms = s->leases.wish_ms[m->node->index];
    options.drift_ppm = s->leases.drift_ppm;
    int error = oak_replica_open(&options, &m->replica, e);
    if (error != 0) {
        m->replica = NULL;
    }
    return error;
}

static int store_open(struct member *m, struct oak_errbuf *e)
{
    char store_dir[64];
    snprintf(store_dir, sizeof(store_dir), "%s/store", m->dir);
    const struct oak_store_options store = {.disk = sim_disk_port(disk_of(m->node)),
                                            .log = &m->node->log,
                                            .dir = store_dir,
                                            .group = m->group->id};
    m->commit_seen = 0;
    m->applied_seen = 0;
    m->installing_seen = false;
    m->most = (struct memory_most){0};
    m->transfer = (struct transfer_seen){0};
    m->config_seen = m->config_commit_seen = m->led_seen = 0;
    m->voters_seen = (struct voters){0};
    int error = oak_store_open_memory(&store, &m->store, e);
    if (error != 0) {
        m->store = NULL;
    }
    return error;
}

/* The stores first: the repair of the log asks how far they are. */
static int parts_open(struct node *n, struct oak_errbuf *e)
{
    int error = 0;
    for (int g = 0; error == 0 && g < n->sim->plan.groups; g++) {
        error = store_open(&n->members[g], e);
    }
    error = error == 0 ? journal_open(n, e) : error;
    for (int g = 0; error == 0 && g < n->sim->plan.groups; g++) {
        error = replica_open(&n->members[g], e);
        if (error == 0) {
            sim__watches_open(&n->members[g]);
        }
    }
    if (n->journal != NULL) {
        oak_journal_recovered_drop(n->journal);
    }
    return error;
}

/* It could not start: its machine died in the middle of it, or its disk let it down. */
static void start_failed(struct node *n, int error, const char *text)
{
    struct sim *s = n->sim;
    switch (sim__refusal(n, error, text)) {
    case SIM_REFUSAL_FOR_EVER:
        sim__tell(s, "n%d refuses to start, and stays down: %s", n->index + 1, text);
        n->dead = true;
        break;
    case SIM_REFUSAL_LATER:
        break;
    case SIM_REFUSAL_WRONG:
        sim__fail(s, "node %d can't start again: %s (%s)", n->index + 1, text,
                  oak_error_name(error));
        break;
    }
    sim_disk_die(disk_of(n));
    machine_off(n);
    if (!n->dead) {
        restart_later(n);
    }
}

void sim__node_start(struct node *n)
{
    struct sim *s = n->sim;
    struct oak_errbuf e = {.text = ""};
    OAK_ASSERT(!n->up && !n->dead);
    world_boot(&s->world, n->index);
    n->fatal = false;
    sim__start_new(n);
    int error = parts_open(n, &e);
    sim__tell(s, "n%d starts%s%s", n->index + 1, error == 0 ? "" : ": ", e.text);
    if (error != 0) {
        start_failed(n, error, e.text);
        return;
    }
    n->up = true;
    for (int g = 0; g < s->plan.groups; g++) {
        struct oak_replica_status status;
        oak_replica_status(n->members[g].replica, &status);
        sim__lapse_start(&n->members[g], &status);
        enum lapse lapse = n->members[g].lapse;
        if (status.raft.in_doubt && !n->rotten && lapse == LAPSE_NONE) {
            sim__fail(s, "%s is in doubt about its log, and its disk kept its promises",
                      n->members[g].name);
        }
        if (!status.raft.in_doubt && (lapse == LAPSE_NONE || lapse == LAPSE_EXCUSED)) {
            sim__promise_started(&n->members[g]);
        }
    }
}

/* -- looking ----------------------------------------------------------------------------------- */

void sim__node_look(struct node *n, int group)
{
    struct sim *s = n->sim;
    if (!n->up) {
        return;
    }
    if (n->fatal || sim_disk_died(disk_of(n))) {
        sim__node_crash(n);
        return;
    }
    sim__end_look(n);
    if (group >= 0) {
        sim__check_step(&n->members[group]);
        return;
    }
    /* Of many groups a few are looked at each time; who leads is told by frames too. */
    int count = OAK_MIN(4, s->plan.groups);
    for (int i = 0; i < count && n->up; i++) {
        int g = s->plan.groups <= 4 ? i : (int)(s->turn++ % (unsigned)s->plan.groups);
        sim__check_step(&n->members[g]);
    }
}
