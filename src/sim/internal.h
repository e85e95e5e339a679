/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one simulation: nodes, clients, what breaks, and who watches.
 *
 * A node is a process on a machine, with one log on disk. It holds a member of each group: the
 * replica, its store, and what is known of its promises. A group has the checkers' knowledge of
 * what is committed. Most runs have one group.
 */
#ifndef OAK_SIM_INTERNAL_H
#define OAK_SIM_INTERNAL_H

#include "check/check.h"
#include "peer/peer.h"
#include "replica/replica.h"
#include "sim/faults.h"
#include "sim/guest.h"
#include "sim/lessee.h"
#include "sim/model.h"
#include "sim/sim.h"
#include "sim/world.h"
#include "watch/watch.h"

#define SIM_CLIENTS_MAX 8
#define SIM_GROUPS_MAX  100
#define SIM_BURST_MAX   400

/* Of every node in every run. */
#define SIM_HEARTBEAT_MS 100
#define SIM_ELECTION_MS  1000

struct sim;
struct node;
struct group;

/* What was seen last of a member's snapshots, in this life. */
struct transfer_seen {
    bool receiving;
    uint64_t resumed, rewound;
};

/* Who votes, as bits of nodes; `outgoing` 0: not a joint configuration. */
struct voters {
    unsigned now, outgoing;
};

/* lapse.c */
enum lapse {
    LAPSE_NONE,
    LAPSE_ROLLED,  /* its disk is an older one, and it has not been told */
    LAPSE_MUTE,    /* it has */
    LAPSE_EXCUSED, /* it has no vote any more: it may begin anew */
};

/* The most that a member had in memory in this life, in bytes. */
struct memory_most {
    uint64_t log, store;
};

/* One node's part in one group. */
/* watches.c: who watches everything, and goes on doing so after a restart. */
#define SIM_VIEWERS     4
#define SIM_VIEWER_RICH 2 /* it takes pairs before, and fragments */
#define SIM_VIEWER_PUTS 3 /* it wants no deletes */
struct watch_viewer {
    struct oak_watch_stream stream;
    struct member *member;
    int64_t id;
    int64_t next;      /* the first revision that it has not heard of */
    int64_t gathering; /* the one that it is hearing of; 0: none */
    uint64_t hash;     /* of what it has heard of that */
    size_t room;       /* responses that it takes */
    bool cancelled;    /* it stands below the floor, and was told so */
};
struct watching {
    struct oak_watch *room; /* NULL: down */
    struct oak_after after;
    struct oak_prng prng;
    struct watch_viewer viewers[SIM_VIEWERS];
};

struct member {
    struct node *node;
    struct group *group;
    char name[48]; /* "node 2", "node 2, group 7" */
    char dir[48];
    struct oak_store *store;
    struct oak_replica *replica; /* NULL: down */
    uint64_t promised;           /* the highest term it has promised anything in, in any life */
    uint64_t acked;              /* index last acknowledged to a leader, */
    uint64_t acked_term;         /* in this term */
    uint64_t died_term;          /* its term when it crashed last */
    uint64_t commit_seen;        /* in this life */
    uint64_t applied_seen;
    bool installing_seen;
    struct transfer_seen transfer;
    /* Its configuration as it was seen last, and the term that it led in then (0: it did not). */
    struct voters voters_seen;
    uint64_t config_seen, config_commit_seen, led_seen;
    enum lapse lapse;
    unsigned looks; /* of the checkers */
    struct memory_most most;
    struct watching watching;
};

struct node {
    struct sim *sim;
    int index;
    uint64_t id;
    char dir[32];
    struct oak_journal *journal;
    struct member *members; /* one a group */
    bool up;
    bool fatal; /* a replica has asked for the process' end */
    bool held;  /* it stays down until it is let go */
    /* Damage was done to these parts of its disk, as bits: it may refuse to start, and then stays
     * down. */
    unsigned rotten;
    bool misdirected; /* by a sector of another file */
    bool dead;        /* it has refused */
    bool strange;     /* it lost its disk, and its new id is not in the group yet */
    int open;         /* replicas that are not closed yet */
    struct oak_log log;
};

/* sweep.c: room for a request over many keys. */
struct sweep {
    char keys[3][16];
    char value[24];
    Etcdserverpb__PutRequest puts[3];
    Etcdserverpb__RequestOp ops[3];
    Etcdserverpb__RequestOp *success[3];
    Etcdserverpb__TxnRequest txn;
    Etcdserverpb__DeleteRangeRequest remove;
    Etcdserverpb__CompactionRequest compact;
};

/* A client does one operation at a time, in one group. */
struct client {
    struct sim *sim;
    struct group *group;
    int index;
    struct oak_replica_request request;
    struct oak_buf packed;
    struct oak_buf value;   /* what it writes, with a zero behind it, */
    struct oak_buf expect;  /* and what it exchanges */
    struct oak_arena arena; /* for a read's answer */
    char key[32];
    struct oak_store_range range; /* of a read that tells of its key alone */
    struct oak_kv_reach reach;
    size_t op; /* in the history */
    bool busy;
    bool arrived;                 /* the replica knows the request */
    bool failed;                  /* its last operation had no answer */
    uint64_t answered;            /* operations with a known end in this phase */
    int64_t seen[SIM_GROUPS_MAX]; /* the newest revision in an answer, of each group */
};

/* ambush.c says what they are. */
enum ambush_kind {
    AMBUSH_NONE,
    AMBUSH_FIGURE_EIGHT,
    AMBUSH_LOST_TAIL,
    AMBUSH_SLEEPER,
};

/* transfer.c */
struct transfer_plan {
    uint64_t chunk_bytes;
    uint64_t window_chunks; /* in a sender's window */
    uint64_t sync_chunks;   /* between two syncs of a receiver */
    uint64_t rate;          /* bytes in a second; 0: as the program's default */
    unsigned trouble;       /* percent of the transfers that something happens to */
    unsigned damage;        /* frames in a thousand with a flipped bit */
};

/* clocks.c: what the members know of leases; zeros: there are none. */
struct sim_leases {
    uint32_t lease_ms;
    uint32_t drift_ppm;
    uint32_t clock_error_ms;
    bool wishes; /* each member, when it leads, makes its own the group's */
    uint32_t wish_ms[SIM_NODES_MAX];
    uint64_t handover_until_ns, nap_ns; /* of the trap in clocks.c */
};

/* Who is in the group, and who leads it, as the nemesis wants it (members.c). */
struct members {
    struct oak_prng prng;
    uint64_t change_ms;   /* mean time between two; 0: none in this run */
    uint64_t transfer_ms; /* likewise */
    unsigned cuts;        /* in the middle of so many of a hundred changes */
    int born;             /* so many nodes are in the group from the start; 0: all */
    struct oak_replica_request request;
    bool busy;
    int asked;         /* the node, */
    uint64_t asked_at; /* and its configuration's index then */
    uint64_t changes;  /* done */
};

/* Limits of the log, far below those of the program in half of the runs, so that they are come to.
 * Never 0. */
struct plan_limits {
    size_t held_entries;
    size_t tail_bytes, held_bytes, uncommitted_bytes, inflight_bytes, log_bytes;
    uint64_t away_ms; /* silence of a follower for which the log is kept */
};

/* What the seed has drawn for this run. */
struct plan {
    int nodes;
    int clients;
    int groups;
    uint8_t priority[SIM_NODES_MAX]; /* as leader */
    unsigned keys;
    uint64_t think_ms;                /* between two operations of a client */
    bool has[OAK_SIM_FAULTS];         /* kinds of faults */
    uint64_t mean_ms[OAK_SIM_FAULTS]; /* between two of each; 0: they don't follow the time */
    unsigned loss_max, repeat_max;
    uint64_t delay_max_ms;
    size_t flush_bytes;
    size_t tail_entries;
    size_t append_bytes;
    struct plan_limits limits;
    uint64_t segment_bytes;
    unsigned value_bytes_max; /* puts carry up to so much behind their number */
    bool read_heavy;
    bool storm;       /* clients that get no answer ask again at once */
    bool core;        /* before all faults end, only a connected majority is healed */
    uint32_t note_ms; /* between two times that members tell all how far they are; 0: as usual */
    unsigned victims; /* nodes whose disks may be damaged, as bits: a minority */
    int guests;       /* users, the warden among them */
    int lessees;      /* clients that hold leases; */
    uint32_t lease_checkpoint_ms; /* what is left of those is written down so often; 0: as usual */
    enum ambush_kind ambush;
    struct transfer_plan transfer;
};

/* lapse.c: a disk as it was, to be put back. */
struct rollback {
    struct sim_disk_image *image; /* NULL: none is kept */
    struct node *node;
    uint64_t member; /* its id then */
    uint32_t id;
    uint64_t taken_ns;
    unsigned tries;
    struct oak_peer_memory at[SIM_GROUPS_MAX]; /* how far the node was then, at the most */
};

/* Puts that nobody waits for. */
struct burst {
    struct oak_replica_request requests[SIM_BURST_MAX];
};

/* An ambush in play: who is who in it. */
struct ambush {
    unsigned stage;
    uint64_t since_ns; /* the stage began */
    uint64_t term;     /* of the last leader that mattered */
    uint64_t common;   /* the last index that all had */
    int first, ally, rival, voter;
    unsigned pair; /* first and ally, as bits */
};

/* What is known of one applied entry. */
struct entry_known {
    uint64_t term;
    int64_t revision; /* behind it */
    uint32_t crc;
    uint32_t size;
};

/* What is known of a group. */
struct group {
    struct sim *sim;
    int index;
    uint64_t id;
    struct history history;
    struct entry_known *entries; /* by index */
    size_t entry_count;
    struct oak_buf chains;  /* u64 by index: the state's hash where a batch ended; 0: none did */
    struct oak_buf leaders; /* u64 by term: who led it; 0: nobody seen */
    struct oak_buf votes;   /* u64 by term and node: whom it voted for */
    /* quorums.c: the newest configuration that is known to be committed, and as of which index; and
     * the highest term that somebody led in. */
    struct voters committed;
    uint64_t committed_at;
    uint64_t newest_term;
    struct model_kv model;
    struct lease_book leases;
    struct oak_buf watched; /* u64 by revision: a hash of what viewers heard; 0: none did */
};

/* Lines that a person wants to see when a run has failed. */
#define SIM_STORY_LINES 30
#define SIM_STORY_LINE  160

struct story {
    char lines[SIM_STORY_LINES][SIM_STORY_LINE];
    size_t count; /* ever told */
};

struct sim {
    const struct oak_sim_options *options;
    struct oak_sim_report *report;
    struct world world;
    struct plan plan;
    struct sim_leases leases;
    struct node nodes[SIM_NODES_MAX];
    struct group *groups;
    struct client clients[SIM_CLIENTS_MAX];
    struct lessee lessees[SIM_LESSEES_MAX];
    struct guest guests[SIM_GUESTS_MAX];
    unsigned warden_begun; /* of its first steps, how many are done */
    struct fault *faults;  /* the schedule */
    size_t fault_count;
    size_t fault_capacity;
    uint32_t reactions[OAK_SIM_FAULTS]; /* faults of each kind that followed from something */
    uint32_t in_force[OAK_SIM_FAULTS];  /* the last one that lasts, of each kind; by number */
    struct oak_arena frame_arena;
    struct ambush ambush;
    struct members members;
    struct oak_prng transfer_prng;
    struct burst burst;
    struct rollback rollback;
    struct story story;
    uint64_t value;     /* of the last put */
    uint64_t moment;    /* order of calls and returns */
    uint64_t settle_ns; /* second phase: since */
    unsigned core;      /* nodes that alone are healed, as bits; 0: all are, or none */
    unsigned turn;      /* whose turn it is to be looked at, of many groups */
    bool settling;
    bool failed;
};

/* sim.c */
/* A checker speaks: the first text is kept. */
void sim__fail(struct sim *s, const char *format, ...) OAK_PRINTF(2, 3);
/* Do the next event and look at what it has changed. False: a checker spoke. */
bool sim__step(struct sim *s);

void sim__groups_make(struct sim *s);
void sim__groups_free(struct sim *s);

/* story.c */
/* A line that matters: into the trace, and into the story of a failure. */
void sim__tell(struct sim *s, const char *format, ...) OAK_PRINTF(2, 3);
/* A line of the trace alone. */
void sim__trace(struct sim *s, const char *format, ...) OAK_PRINTF(2, 3);
void sim__story_write(struct sim *s);

/* plan.c */
void sim__plan_draw(struct sim *s);
/* The program's own. */
struct plan_limits sim__limits_usual(void);
/* The largest entry of a run: one of a burst, or a client's exchange of two values. */
size_t sim__entry_bytes_max(const struct plan *plan);
void sim__schedule_draw(struct sim *s);

/* nemesis.c */
void sim__nemesis_start(struct sim *s);
/* A fault that follows from something: does it happen in this run? Then `*p` are its dice, and its
 * number is `*id`. */
bool sim__reaction(struct sim *s, enum oak_sim_fault kind, unsigned parts, unsigned of,
                   struct oak_prng *p, uint32_t *id);
/* Count it, remember its number, tell what it does. */
void sim__fault_tell(struct sim *s, enum oak_sim_fault kind, uint32_t id, const char *format, ...)
    OAK_PRINTF(4, 5);
/* The end of a fault that lasts: `run` is called `ns` from now with what was given, unless another
 * of its kind has taken over. */
struct fault_end {
    void (*run)(const struct fault_end *end);
    struct sim *sim;
    uint32_t id;
    enum oak_sim_fault kind;
    int node;
};
void sim__fault_lasts(const struct fault_end *end, uint64_t ns);
/* No fault begins any more, and all that were in force are over. */
void sim__heal(struct sim *s);
/* A node that is up; NULL when the one drawn is not. */
struct node *sim__node_any(struct sim *s, struct oak_prng *p);

/* What begins a fault of each kind. */
typedef void sim_fault_fn(struct sim *s, const struct fault *f, struct oak_prng *p);
sim_fault_fn sim__fault_crash, sim__fault_crash_call, sim__fault_crash_step, sim__fault_blackout;
sim_fault_fn sim__fault_pause, sim__fault_slow_node;
sim_fault_fn sim__fault_partition, sim__fault_reset, sim__fault_clog, sim__fault_echo;
sim_fault_fn sim__fault_weather;
sim_fault_fn sim__fault_slow_disk, sim__fault_stall, sim__fault_full_disk, sim__fault_sync_fails;
sim_fault_fn sim__fault_write_fails, sim__fault_rot, sim__fault_misdirect;
sim_fault_fn sim__fault_burst, sim__fault_abandon, sim__fault_rollback, sim__fault_loss;
sim_fault_fn sim__fault_strobe, sim__fault_freeze, sim__fault_sway;

/* fault_node.c */
/* A leader has been elected: in a run with churn it won't live long. */
void sim__leader_new(struct node *n);
/* A node has begun to install a snapshot: it may die in it. */
void sim__install_new(struct node *n);
/* A node is about to start: it may die in it. */
void sim__start_new(struct node *n);

/* fault_net.c */
/* Connections between the two are lost, at both ends. */
void sim__link_reset(struct sim *s, int a, int b);
void sim__network_heal(struct sim *s);

/* node.c */
void sim__node_init(struct sim *s, int index);
void sim__node_start(struct node *n);
/* It starts so much later, if it is down then. */
void sim__node_restart(struct node *n, uint64_t ms);
/* Power is cut, now. */
void sim__node_crash(struct node *n);
/* After an event of this node: has it died or asked for its end? `group` -1: any may have changed.
 */
void sim__node_look(struct node *n, int group);
void sim__node_fini(struct node *n);
/* The node's member of the first group. */
struct member *sim__first(struct sim *s, int node);

/* ending.c */
/* A replica asks for its process' end, or a start fails: does what was done to its disk explain it?
 */
bool sim__end_is_legal(const struct node *n, int error, const char *text);
enum sim_refusal {
    SIM_REFUSAL_WRONG,
    SIM_REFUSAL_LATER,    /* another start may go well */
    SIM_REFUSAL_FOR_EVER, /* its disk is damaged */
};
enum sim_refusal sim__refusal(const struct node *n, int error, const char *text);
/* After each event of a node that is up: does it go on where it must have ended? */
void sim__end_look(struct node *n);

/* clocks.c */
void sim__clocks_draw(struct sim *s);
void sim__clocks_start(struct sim *s);
/* No wall clock goes astray any more; rates stay. */
void sim__clocks_heal(struct sim *s);

/* members.c */
void sim__members_plan(struct sim *s);
void sim__members_start(struct sim *s);
/* A node has another id: the group takes it in, and lets the old one go. */
void sim__members_replace(struct sim *s);
/* Who the node thinks is in the group when it is born. */
void sim__members_bootstrap(const struct sim *s, int node, struct oak_raft_config *out);
/* What was asked for is in a log, or is refused: no configuration comes into force any more that
 * nobody asks for now. */
void sim__members_settled(struct sim *s);
/* Everybody who lives votes, and knows it. All nodes that are not dead are up. */
bool sim__members_whole(struct sim *s);
/* After each event of a node that is up. */
void sim__members_look(struct member *m, const struct oak_replica_status *status);

/* quorums.c */
struct voters sim__voters_of(const struct oak_raft_config *c);
/* Do these nodes decide? */
bool sim__quorum(unsigned nodes, const struct voters *v);
/* Have any two quorums of both a node in common? */
bool sim__quorums_meet(const struct voters *a, const struct voters *b);
/* After each event of a node that is up. */
void sim__quorums_look(struct member *m, const struct oak_replica_status *status);

/* watches.c: the replica is open; before it is closed; at the end. */
void sim__watches_open(struct member *m);
void sim__watches_close(struct member *m);
void sim__watches_check(struct member *m);

/* transfer.c */
void sim__transfer_plan(struct sim *s);
void sim__transfer_options(const struct sim *s, struct oak_replica_options *o);
/* Onto the wire, which may flip a bit. */
void sim__transfer_send(struct member *m, int to, struct oak_bytes frame);
/* After each event of a node that is up: how do its snapshots come along? */
void sim__transfer_look(struct member *m, const struct oak_replica_status *status);

/* client.c */
void sim__client_init(struct sim *s, int index);
void sim__client_stop(struct client *c);
/* Go away without waiting for the answer; false: it waits for none. */
bool sim__client_abandon(struct client *c);
/* The number that a value stands for. */
uint64_t sim__value_of(struct oak_bytes value);
/* The node is gone: whoever waited there does not know what came of it. */
void sim__clients_lost(struct sim *s, int node);

/* burst.c */
/* Puts to a key that no client looks at, at one node, at once. What comes of them is all one. */
void sim__burst(struct member *m, size_t count, size_t value_bytes);

/* Of the node that has, or had, this id; -1: nobody's. A node's first id is its place from 1; with
 * each disk that it loses for good comes another. */
static inline int sim__place_of(uint64_t id)
{
    return id == 0 ? -1 : (int)((id - 1) % SIM_NODES_MAX);
}

/* lapse.c */
/* What this member has promised binds nobody any more. */
void sim__promises_void(struct member *m);
void sim__lapse_fini(struct sim *s);
/* Has it forgotten something in any group, and not been made whole yet? */
bool sim__lapse_is(const struct node *n);
bool sim__lapse_any(const struct sim *s);
/* It has started again. */
void sim__lapse_start(struct member *m, const struct oak_replica_status *status);
/* After each event of a node that is up. */
void sim__lapse_look(struct member *m, const struct oak_replica_status *status);
/* It says something by which it promises; `what` it does. */
void sim__lapse_promise(struct member *m, const char *what);
/* When all has ended. */
void sim__lapse_end(struct sim *s);

/* ambush.c */
void sim__ambush_plan(struct plan *plan, struct oak_prng *p);
/* After each event: is it time to cut or to join? */
void sim__ambush_look(struct sim *s);

/* liveness.c */
/* Only a connected majority is healed: it must lead and answer within a bound. */
void sim__phase_core(struct sim *s);
/* Nodes that clients ask meanwhile, as bits; 0: all. */
unsigned sim__core_asked(struct sim *s);
/* All faults end: all must become equal, and be answered. */
void sim__phase_settle(struct sim *s);

/* promise.c */
void sim__promise_watch(struct member *m, struct oak_bytes frame);
/* It has started again: is there what it acknowledged? */
void sim__promise_started(struct member *m);

/* sweep.c */
/* The request of an OP_SWEEP or OP_TRIM, valid until the next one; `seen`: a revision that there
 * is. */
const ProtobufCMessage *sim__sweep_make(struct sweep *w, const struct op *op, int64_t seen,
                                        enum oak_kv_kind *kind);

/* check.c */
/* The u64 at `place` of a table that grows with zeros. */
uint8_t *sim__cell(struct oak_buf *table, uint64_t place);
void sim__check_applied(struct member *m, uint64_t index, uint64_t term, struct oak_bytes entry);
/* A node says that it leads in this term. */
void sim__check_leads(struct member *m, uint64_t term);
void sim__check_step(struct member *m);

/* check_end.c */
/* All nodes that live have applied the same and hold the same. */
bool sim__settled(struct sim *s);
void sim__check_equal(struct group *g);
/* One last read of every key, into the history. */
void sim__check_reads(struct group *g);
/* Each revision of the history of changes is there, once. */
void sim__check_dense(struct member *m);

/* bounds.c */
/* Nothing is over its limit. */
void sim__check_bounds(struct member *m, const struct oak_replica_status *status);

/* memory.c */
/* Of the process, in use; 0: not known. */
size_t sim__heap_bytes(void);
void sim__memory_look(struct member *m, const struct oak_replica_status *status);
/* The node went down: the heap had, and has, so many bytes. */
void sim__memory_check(struct node *n, size_t before, size_t after);

#endif
