/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one run: nodes, the wires between them, clients, what breaks, and who watches.
 *
 * Times are on our monotonic clock; those that end in _ms count from the first fault.
 */
#ifndef OAK_CHAOS_INTERNAL_H
#define OAK_CHAOS_INTERNAL_H

#include "chaos/chaos.h"
#include "chaos/crowd.h"
#include "check/check.h"

#define CHAOS_SECOND_NS  UINT64_C(1000000000)
#define CHAOS_PATH_BYTES 512
/* Two clients a node: one may wait for an answer that does not come while the other asks. */
#define CHAOS_CLIENTS_MAX (2 * OAK_CHAOS_NODES_MAX)
/* After a round's faults every node must acknowledge something within this: several elections, a
 * recovery and a snapshot on a machine that is busy with other things. */
#define CHAOS_PROGRESS_NS (60 * CHAOS_SECOND_NS)
/* How far a monotonic clock may run wrong: below what reads by lease allow for (drift_ppm of
 * oakum/raft.h), five times a bad quartz. */
#define CHAOS_DRIFT_PPM_MAX 500
/* One column of the picture's strips and lanes. */
#define CHAOS_SAMPLE_MS 250

struct chaos;

/* -- plan.c ------------------------------------------------------------------------------------ */

#define CHAOS_TARGET_LEADER (-1) /* who leads when it begins */
#define CHAOS_TARGET_ALL    (-2)
#define CHAOS_ROUND_FAULTS  3

struct chaos__fault {
    enum oak_chaos_kind kind;
    int target;
    uint32_t mask;     /* who is on one side */
    int64_t amount;    /* by kind: ms, permille, ppm, seconds, direction */
    uint64_t start_ms; /* in the round */
    uint64_t length_ms;
};

struct chaos__round {
    struct chaos__fault faults[CHAOS_ROUND_FAULTS];
    size_t count;
    uint64_t quiet_ms; /* behind it */
};

/* Deals rounds for ever, the same ones for the same seed, nodes and kinds. Every kind comes before
 * any comes twice. */
struct chaos__plan {
    struct oak_prng prng;
    int nodes;
    enum oak_chaos_kind deck[OAK_CHAOS_KINDS];
    size_t deck_size;
    size_t dealt;
};

/* The kinds that make sense with so many nodes are kept. */
uint32_t chaos__plan_kinds(uint32_t kinds, int nodes);
void chaos__plan_init(struct chaos__plan *plan, uint64_t seed, int nodes, uint32_t kinds);
void chaos__plan_round(struct chaos__plan *plan, struct chaos__round *out);
/* "node 2 is killed", into `out`; `target` as it turned out. */
void chaos__fault_text(const struct chaos__fault *fault, int target, char *out, size_t size);

/* -- nodes ------------------------------------------------------------------------------------- */

enum chaos__role {
    CHAOS_ROLE_DOWN,
    CHAOS_ROLE_PAUSED,
    CHAOS_ROLE_SILENT, /* gives no answer */
    CHAOS_ROLE_LOST,   /* knows no leader */
    CHAOS_ROLE_FOLLOWER,
    CHAOS_ROLE_LEADER,
};

struct chaos__node {
    struct chaos *chaos;
    int index;
    char name[8];
    char dir[CHAOS_PATH_BYTES];
    char log[CHAOS_PATH_BYTES];
    char page[CHAOS_PATH_BYTES];
    char client_address[64]; /* where it listens */
    char peer_address[64];
    char advertised[64]; /* where its peers find it: peer_address, or a proxy before it */
    struct oak_os_faults *faults;
    struct oak_os_child *child; /* NULL: down */
    int life;                   /* counts its starts */
    bool paused;
    bool ordered;              /* its end is our doing */
    uint64_t may_end_until_ns; /* a fault of its disk may make it end itself */
    bool progressed;           /* has acknowledged something that was asked after the healing */
    bool whole;                /* final reads: done */

    struct crowd_call status; /* asked again and again */
    enum chaos__role role;
    uint64_t term;
    uint64_t answered_ns; /* the last time */
    struct crowd_call final;
    uint64_t digest;
    int64_t revision;
};

int chaos__nodes_place(struct chaos *c, struct oak_errbuf *e);
int chaos__node_start(struct chaos__node *n, struct oak_errbuf *e);
/* SIGKILL, SIGTERM, SIGSTOP, SIGCONT. What has ended already is left alone. */
void chaos__node_signal(struct chaos__node *n, int signal);
bool chaos__nodes_down(const struct chaos *c);
void chaos__nodes_fini(struct chaos *c);
/* Who leads by the newest answers; -1: nobody. */
int chaos__leader(const struct chaos *c);

/* -- the network ------------------------------------------------------------------------------- */

/* From one node to another. */
struct chaos__link {
    bool cut;
    unsigned loss;     /* packets of a thousand */
    uint64_t delay_ns; /* and up to as much again */
};

struct chaos__net;
struct chaos__proxy;

/* net.c: a namespace for each node and one for us, and the wires. OAK_E… when it is not allowed;
 * nothing is left then. */
int chaos__net_open(struct chaos *c, struct oak_errbuf *e);
void chaos__net_close(struct chaos *c);
/* Run `start` where the node lives. */
int chaos__net_within(struct chaos__node *n,
                      int (*start)(struct chaos__node *n, struct oak_errbuf *e),
                      struct oak_errbuf *e);
/* proxy.c: the same by streams on the loopback. */
int chaos__proxy_open(struct chaos *c, struct oak_errbuf *e);
void chaos__proxy_close(struct chaos *c);
/* Behind the loop's end. */
void chaos__proxy_free(struct chaos *c);
/* Links have changed: what was held may go on. */
void chaos__proxy_changed(struct chaos *c);

/* -- faults.c ---------------------------------------------------------------------------------- */

struct chaos__event {
    struct chaos__fault fault;
    int target; /* as it turned out */
    uint64_t begin_ms;
    uint64_t end_ms; /* UINT64_MAX: still on */
};

/* Returns its place in c->events. */
size_t chaos__fault_begin(struct chaos *c, const struct chaos__fault *fault);
void chaos__fault_end(struct chaos *c, size_t event);

/* -- clients.c, watch.c ------------------------------------------------------------------------ */

struct chaos__client {
    struct crowd_call call;
    struct chaos *chaos;
    int index;
    int life;
    struct op op;
    bool idle;
    char key[32], arg[24], expect[24];
};

void chaos__clients_start(struct chaos *c);
/* All have come to rest after c->closing. */
bool chaos__clients_idle(const struct chaos *c);
void chaos__clients_fini(struct chaos *c);
/* pairs.c: OP_MOVE and OP_LOOK. */
void chaos__pair_send(struct chaos__client *client, uint64_t timeout_ns);
void chaos__pair_judge(struct chaos *c, const struct op *op, const Etcdserverpb__TxnResponse *txn);
/* The number that one of our values is. */
uint64_t chaos__value_read(const Mvccpb__KeyValue *kv);

void chaos__watch_start(struct chaos *c);
void chaos__watch_fini(struct chaos *c);
void chaos__sample_tick(struct chaos *c);

/* A column of the picture. */
struct chaos__sample {
    uint8_t roles[OAK_CHAOS_NODES_MAX];
    uint32_t done;   /* operations that ended well in it */
    uint32_t failed; /* and that did not */
    uint32_t worst_us;
    uint32_t median_us;
};

/* -- judge.c ----------------------------------------------------------------------------------- */

/* Read everything through every node, then compare what each has by itself. */
void chaos__final_start(struct chaos *c);
/* Past the bound, with c->reading_done still false: what is missing is a violation. */
void chaos__final_missed(struct chaos *c);
void chaos__final_fini(struct chaos *c);
/* The logs' word on who led, and the history. */
void chaos__judge(struct chaos *c);
/* A leader of a term, as somebody says. */
void chaos__leader_claim(struct chaos *c, uint64_t term, uint64_t id, const char *source);
void chaos__violation(struct chaos *c, const char *format, ...) OAK_PRINTF(2, 3);

/* -- report.c, svg.c --------------------------------------------------------------------------- */

int chaos__report_write(struct chaos *c, struct oak_errbuf *e);
/* The whole picture, as text. */
int chaos__svg(const struct chaos *c, struct oak_buf *out);

/* -- one run ----------------------------------------------------------------------------------- */

enum chaos__phase {
    CHAOS_STARTING,
    CHAOS_BREAKING, /* the faults of a round */
    CHAOS_HEALING,  /* until every node has answered */
    CHAOS_CLOSING,  /* clients come to rest */
    CHAOS_READING,
    CHAOS_STOPPING,
    CHAOS_DONE,
};

struct chaos__term {
    uint64_t term;
    uint64_t leader;
};

struct chaos {
    const struct oak_chaos_options *options;
    struct oak_chaos_report *report;
    struct crowd crowd;
    char dir[CHAOS_PATH_BYTES];
    struct chaos__node nodes[OAK_CHAOS_NODES_MAX];
    int count;
    size_t running;

    struct chaos__net *net;     /* NULL: everything is on the loopback */
    struct chaos__proxy *proxy; /* NULL: none */
    struct chaos__link links[OAK_CHAOS_NODES_MAX][OAK_CHAOS_NODES_MAX];
    struct oak_prng prng; /* of packets and clients: not the plan's */

    uint32_t kinds;
    struct chaos__plan plan;
    struct chaos__round round;
    size_t round_events[CHAOS_ROUND_FAULTS]; /* SIZE_MAX: not begun; then its place in `events` */
    bool round_ended[CHAOS_ROUND_FAULTS];
    enum chaos__phase phase;
    struct oak_timer tick;
    uint64_t start_ns; /* of faults; 0 before */
    uint64_t phase_ns; /* when this phase began */
    uint64_t told_ns;  /* progress */
    bool recovered;    /* every node has answered since the healing */
    bool ending;       /* no client asks any more */
    bool reading_own;  /* final reads: each by itself */
    bool reading_done;
    int failure; /* could not run, for this reason */
    struct oak_errbuf *failure_text;

    struct chaos__event *events;
    size_t event_count;
    size_t event_capacity;
    struct chaos__sample *samples;
    size_t sample_count;
    size_t sample_capacity;
    uint32_t *latencies; /* of the sample that grows, in µs */
    size_t latency_count;
    size_t latency_capacity;

    struct chaos__client clients[CHAOS_CLIENTS_MAX];
    size_t client_count;
    struct history history;
    uint64_t value;
    uint64_t keys; /* below this are all that were used */
    uint64_t lately[4];
    uint64_t write_ns; /* the last acknowledged one */

    struct chaos__term *terms; /* sorted */
    size_t term_count;
    size_t term_capacity;
};

static inline uint64_t chaos__now_ms(const struct chaos *c)
{
    return c->start_ns == 0 ? 0 : (crowd_now(&c->crowd) - c->start_ns) / CROWD_MS;
}

/* dir.c: the run's directory, and what earlier runs that were killed have left. */
int chaos__dir_make(struct chaos *c, struct oak_errbuf *e);
void chaos__dir_end(struct chaos *c, bool keep);

#endif
