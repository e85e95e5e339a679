/* SPDX-License-Identifier: Apache-2.0 */
/* scene.c: see scene.h. Real replicas on simulated machines; links that carry so many bytes a
 * second, each stream in its order, as a connection does; clients that keep a number of puts under
 * way with whoever leads.
 *
 * Checkers  laggard   in the last third of the run the slow follower never lacked more than what is
 *                     held for it, and in all it was sent two snapshots at the most
 *           memory    no member's log was ever over what is held, what is under way, and a tail
 *           slow ...  another leads within MOVED_MS of the trouble's begin, and nobody else after
 *           all slow  one leader from the begin to the end
 *           ends      no put waited for longer than its deadline, whoever stepped down meanwhile
 *           answers   never did ten seconds pass without one.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "peer/peer.h"
#include "replica/replica.h"
#include "sim/scene.h"
#include "sim/world.h"

#define NODES       3
#define RUN_MS      60000
#define TROUBLE_MS  5000
#define MOVED_MS    8000
#define PUTS        64
#define DEADLINE_MS 7000 /* the default: 5 s and two election time-outs */
#define VALUE_BYTES 1000
#define KEYS        50
#define TAIL        200
#define HELD        1500
#define LANE_BYTES  (16 * OAK_MIB)
#define FAST        125000000u
#define SLOW        150000u /* bytes a second: half of the load */

struct scene;

struct scene_put {
    struct scene *scene;
    struct oak_replica_request request;
    bool busy;
    int node;
    uint64_t since_ns;
};

struct scene_node {
    struct scene *scene;
    int index;
    char dir[32];
    struct oak_log log;
    struct oak_store *store;
    struct oak_journal *journal;
    struct oak_replica *replica;
    bool up;
    uint64_t lane_ns[NODES][2]; /* when the lane to a node has carried all it was given */
    uint64_t leads_term;
};

struct scene {
    enum scene_kind kind;
    bool trace;
    struct scene_report *report;
    struct world world;
    struct scene_node nodes[NODES];
    struct scene_put puts[PUTS];
    uint64_t rates[NODES]; /* into each node, bytes a second */
    uint64_t put_gap_ns;
    uint64_t number;
    int slow;            /* who is */
    uint64_t trouble_ns; /* since when; 0: not yet */
    uint64_t answered_ns;
    int leader; /* the last that was seen; -1: none */
};

const char *scene_name(enum scene_kind kind)
{
    static const char *const names[] = {"laggard",  "dead_one", "slow_disk", "hung_disk",
                                        "slow_cpu", "all_slow", "minority"};
    return names[kind];
}

static void wrong(struct scene *s, const char *format, ...) OAK_PRINTF(2, 3);
static void wrong(struct scene *s, const char *format, ...)
{
    if (s->report->what[0] == '\0') {
        va_list args;
        va_start(args, format);
        vsnprintf(s->report->what, sizeof(s->report->what), format, args);
        va_end(args);
    }
}

static uint64_t at_ms(const struct scene *s)
{
    return s->world.now_ns / SIM_MS - 1000;
}

static void log_line(void *user, enum oak_log_level level, const char *text)
{
    const struct scene_node *n = user;
    (void)level;
    if (n->scene->trace) {
        printf("%6" PRIu64 " n%d | %s\n", at_ms(n->scene), n->index + 1, text);
    }
}

/* -- links ------------------------------------------------------------------------------------- */

static void frame_event(struct world *w, struct event *e)
{
    struct scene_node *n = e->arg;
    (void)w;
    if (n->up) {
        oak_replica_receive(n->replica, e->bytes);
    }
}

/* A stream keeps its order; both streams to a member have half of its link each. */
static void frame_send(void *user, uint64_t to, bool bulk, struct oak_bytes frame)
{
    struct scene_node *n = user;
    struct scene *s = n->scene;
    struct world *w = &s->world;
    int receiver = (int)to - 1;
    uint64_t rate = s->rates[receiver] / 2;
    uint64_t *lane = &n->lane_ns[receiver][bulk ? 1 : 0];
    *lane = OAK_MAX(*lane, w->now_ns);
    if ((*lane - w->now_ns) / 1000 * rate / 1000000 > LANE_BYTES) {
        return; /* as peers.c does */
    }
    *lane += frame.size * 1000000000u / rate;
    world_at(w, *lane + SIM_MS / 5, receiver, frame_event, &s->nodes[receiver], frame, n->index);
}

/* -- nodes ------------------------------------------------------------------------------------- */

static void on_fatal(void *user, int error, const char *text)
{
    struct scene_node *n = user;
    if (n->up) {
        wrong(n->scene, "node %d ended itself: %s (%s)", n->index + 1, text, oak_error_name(error));
    }
}

static void parts_open(struct scene_node *n, struct oak_errbuf *e)
{
    struct scene *s = n->scene;
    struct machine *m = &s->world.machines[n->index];
    const struct oak_disk *disk = sim_disk_port(m->disk);
    char store_dir[64];
    snprintf(n->dir, sizeof(n->dir), "/node%d", n->index + 1);
    snprintf(store_dir, sizeof(store_dir), "%s/store", n->dir);
    const struct oak_store_options store = {
        .disk = disk, .log = &n->log, .dir = store_dir, .group = 1};
    int error = oak_store_open_memory(&store, &n->store, e);
    OAK_ASSERT_EQ(error, 0);
    const struct oak_journal_options journal = {.loop = &m->loop,
                                                .writer = m->log_writer,
                                                .disk = disk,
                                                .log = &n->log,
                                                .dir = n->dir,
                                                .cluster = 7,
                                                .member = (uint64_t)n->index + 1};
    error = oak_journal_open(&journal, &n->journal, e);
    OAK_ASSERT_EQ(error, 0);
    static const char *const urls[] = {"http://scene"};
    const struct oak_replica_options options = {
        .cluster = 7,
        .id = (uint64_t)n->index + 1,
        .group = 1,
        .name = n->dir,
        .client_urls = urls,
        .client_url_count = 1,
        .bootstrap = {.voter_count = NODES, .voters = {1, 2, 3}},
        .log_tail_entries = TAIL,
        .log_held_entries = HELD,
        .loop = &m->loop,
        .journal = n->journal,
        .worker = m->worker,
        .disk = disk,
        .dir = n->dir,
        .store = n->store,
        .transport = {.send = frame_send, .user = n},
        .log = &n->log,
        .fatal = on_fatal,
        .user = n,
    };
    error = oak_replica_open(&options, &n->replica, e);
    OAK_ASSERT_EQ(error, 0);
    oak_journal_recovered_drop(n->journal);
}

static void node_start(struct scene *s, int index)
{
    struct scene_node *n = &s->nodes[index];
    struct oak_errbuf e = {.text = ""};
    *n = (struct scene_node){.scene = s, .index = index};
    n->log = (struct oak_log){.write = log_line, .user = n, .level = OAK_LOG_INFO};
    world_boot(&s->world, index);
    parts_open(n, &e);
    n->up = true;
}

static void journal_closed(void *user)
{
    struct scene_node *n = user;
    n->journal = NULL;
}

static void replica_closed(void *user)
{
    struct scene_node *n = user;
    n->replica = NULL;
    oak_journal_close(n->journal, journal_closed, n);
}

static void node_stop(struct scene_node *n)
{
    if (!n->up) {
        return;
    }
    n->up = false;
    sim_disk_die(n->scene->world.machines[n->index].disk);
    oak_replica_close(n->replica, replica_closed, n);
    world_kill(&n->scene->world, n->index);
    OAK_ASSERT(n->journal == NULL);
    oak_store_close(n->store);
}

/* -- clients ----------------------------------------------------------------------------------- */

static void put_done(struct oak_replica_request *request, int error,
                     const struct oak_kv_result *result)
{
    struct scene_put *p = OAK_CONTAINER_OF(request, struct scene_put, request);
    (void)result;
    p->busy = false;
    if (error == 0) {
        p->scene->report->puts++;
        p->scene->answered_ns = p->scene->world.now_ns;
    }
}

static void put_send(struct scene *s, struct scene_put *p)
{
    uint8_t packed[VALUE_BYTES + 64];
    char key[24];
    uint8_t value[VALUE_BYTES] = {0};
    snprintf(key, sizeof(key), "key%d", (int)(s->number++ % KEYS));
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str(key));
    put.value = oak_proto_binary(oak_bytes(value, sizeof(value)));
    OAK_ASSERT_LE(etcdserverpb__put_request__get_packed_size(&put), sizeof(packed));
    size_t size = etcdserverpb__put_request__pack(&put, packed);
    p->request = (struct oak_replica_request){.done = put_done};
    p->busy = true;
    p->node = s->leader;
    p->since_ns = s->world.now_ns;
    if (oak_replica_propose(s->nodes[s->leader].replica, OAK_KV_PUT, oak_bytes(packed, size),
                            &p->request) != 0) {
        p->busy = false;
        s->report->refused++;
    }
}

/* On the leader's machine; a client with nobody to ask waits. */
static void put_event(struct world *w, struct event *e)
{
    struct scene *s = e->arg;
    for (size_t i = 0; i < PUTS; i++) {
        if (!s->puts[i].busy && s->leader >= 0 && s->nodes[s->leader].up) {
            put_send(s, &s->puts[i]);
            break;
        }
    }
    world_at(w, w->now_ns + s->put_gap_ns, -1, put_event, s, oak_bytes(NULL, 0), 0);
}

/* -- trouble ----------------------------------------------------------------------------------- */

static void pulse_event(struct world *w, struct event *e)
{
    struct scene *s = e->arg;
    w->machines[s->slow].paused_until_ns = w->now_ns + 160 * SIM_MS;
    world_at(w, w->now_ns + 200 * SIM_MS, -1, pulse_event, s, oak_bytes(NULL, 0), 0);
}

static void trouble_begin(struct scene *s)
{
    struct world *w = &s->world;
    s->trouble_ns = w->now_ns;
    s->slow = s->kind >= SCENE_SLOW_DISK ? s->leader : (s->leader + 1) % NODES;
    switch (s->kind) {
    case SCENE_DEAD_ONE:
        node_stop(&s->nodes[(s->leader + 2) % NODES]);
        s->rates[s->slow] = SLOW;
        break;
    case SCENE_MINORITY:
        node_stop(&s->nodes[(s->leader + 1) % NODES]);
        node_stop(&s->nodes[(s->leader + 2) % NODES]);
        break;
    case SCENE_LAGGARD:
        s->rates[s->slow] = SLOW;
        break;
    case SCENE_SLOW_DISK:
        w->machines[s->slow].log_ns = 300 * SIM_MS;
        break;
    case SCENE_HUNG_DISK:
        w->machines[s->slow].log_ns = 3600 * 1000 * SIM_MS;
        break;
    case SCENE_SLOW_CPU:
        pulse_event(w, &(struct event){.arg = s});
        break;
    case SCENE_ALL_SLOW:
        break;
    }
    if (s->trace) {
        printf("%6" PRIu64 " -- %s, n%d\n", at_ms(s), scene_name(s->kind), s->slow + 1);
    }
}

/* -- checkers ---------------------------------------------------------------------------------- */

static void leader_look(struct scene *s, struct scene_node *n,
                        const struct oak_replica_status *status)
{
    if (status->raft.role != OAK_RAFT_LEADER || status->raft.term <= n->leads_term) {
        return;
    }
    n->leads_term = status->raft.term;
    s->leader = n->index;
    s->report->leaders++;
    if (s->trouble_ns != 0 && n->index != s->slow && s->report->moved_ms == 0) {
        s->report->moved_ms = (s->world.now_ns - s->trouble_ns) / SIM_MS;
    }
}

static void memory_look(struct scene *s, const struct scene_node *n,
                        const struct oak_replica_status *status)
{
    s->report->log_bytes = OAK_MAX(s->report->log_bytes, (uint64_t)status->raft.log_bytes);
    size_t most = HELD + TAIL + PUTS + 100;
    if (status->raft.last + 1 - status->raft.first > most) {
        wrong(s, "memory: node %d holds %" PRIu64 " entries of its log, over %zu", n->index + 1,
              status->raft.last + 1 - status->raft.first, most);
    }
}

static void lag_look(struct scene *s)
{
    if (s->kind != SCENE_LAGGARD || at_ms(s) < RUN_MS * 2 / 3) {
        return;
    }
    struct oak_replica_status leader, laggard;
    oak_replica_status(s->nodes[s->leader].replica, &leader);
    oak_replica_status(s->nodes[s->slow].replica, &laggard);
    if (leader.raft.last > laggard.raft.last + HELD || laggard.snapshots_received > 2) {
        wrong(s,
              "progress: at %" PRIu64 " ms node %d lacks %" PRIu64 " entries, after %" PRIu64
              " snapshots: it never catches up",
              at_ms(s), s->slow + 1, leader.raft.last - laggard.raft.last,
              laggard.snapshots_received);
    }
}

/* Whatever happens, a request ends: by its answer, or soon behind its deadline. */
static void puts_look(struct scene *s)
{
    for (size_t i = 0; i < PUTS; i++) {
        const struct scene_put *p = &s->puts[i];
        if (p->busy && s->nodes[p->node].up &&
            s->world.now_ns - p->since_ns > (DEADLINE_MS + 1000) * SIM_MS) {
            wrong(s, "ends: a put of node %d waits since %" PRIu64 " ms", p->node + 1,
                  (uint64_t)(p->since_ns / SIM_MS - 1000));
        }
    }
}

static void look(struct scene *s)
{
    puts_look(s);
    for (int i = 0; i < NODES; i++) {
        struct scene_node *n = &s->nodes[i];
        struct oak_replica_status status;
        if (n->up) {
            oak_replica_status(n->replica, &status);
            leader_look(s, n, &status);
            memory_look(s, n, &status);
        }
    }
    if (s->trouble_ns == 0 && s->leader >= 0 && at_ms(s) >= TROUBLE_MS) {
        trouble_begin(s);
    }
    lag_look(s);
    bool moves = s->kind >= SCENE_SLOW_DISK && s->kind < SCENE_ALL_SLOW;
    if (moves && s->trouble_ns != 0 && s->report->moved_ms == 0 &&
        s->world.now_ns - s->trouble_ns > MOVED_MS * SIM_MS) {
        wrong(s, "gray: node %d, %s, still leads after %d ms", s->slow + 1, scene_name(s->kind),
              MOVED_MS);
    }
    if (s->answered_ns != 0 && s->world.now_ns - s->answered_ns > 10000 * SIM_MS) {
        wrong(s, "availability: no client was answered for ten seconds before %" PRIu64 " ms",
              at_ms(s));
    }
}

static void judge(struct scene *s)
{
    for (int i = 0; i < NODES; i++) {
        struct oak_replica_status status;
        if (s->nodes[i].up) {
            oak_replica_status(s->nodes[i].replica, &status);
            s->report->snapshots += status.snapshots_received;
        }
    }
    uint64_t most = s->kind >= SCENE_SLOW_DISK && s->kind < SCENE_ALL_SLOW ? 2 : 1;
    if (s->report->leaders > most) {
        wrong(s, "calm: %" PRIu64 " leaders were elected, %" PRIu64 " would do", s->report->leaders,
              most);
    }
    if (s->answered_ns == 0 || s->report->puts < RUN_MS / 1000) {
        wrong(s, "availability: only %" PRIu64 " puts were answered", s->report->puts);
    }
}

void scene_run(enum scene_kind kind, uint64_t seed, bool trace, struct scene_report *report)
{
    struct oak_alloc libc = oak_alloc_libc();
    struct scene *s = libc.resize(libc.user, NULL, sizeof(*s));
    OAK_ASSERT(s != NULL);
    *report = (struct scene_report){.what = ""};
    *s = (struct scene){.kind = kind, .trace = trace, .report = report, .leader = -1, .slow = -1};
    world_init(&s->world, seed, NODES);
    s->put_gap_ns = SIM_MS * 7 / 2; /* 285 a second: 300 KB */
    for (int i = 0; i < NODES; i++) {
        s->rates[i] = FAST;
        node_start(s, i);
        if (kind == SCENE_ALL_SLOW) {
            s->world.machines[i].log_ns = 300 * SIM_MS;
        }
    }
    for (size_t i = 0; i < PUTS; i++) {
        s->puts[i].scene = s;
    }
    world_at(&s->world, s->world.now_ns, -1, put_event, s, oak_bytes(NULL, 0), 0);
    while (s->report->what[0] == '\0' && at_ms(s) < RUN_MS) {
        bool more = world_step(&s->world);
        OAK_ASSERT(more);
        look(s);
    }
    if (s->report->what[0] == '\0') {
        judge(s);
    }
    for (int i = 0; i < NODES; i++) {
        node_stop(&s->nodes[i]);
    }
    world_fini(&s->world);
    libc.resize(libc.user, s, 0);
}
