/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: one simulation: nodes, clients, what breaks, and who watches. */
#ifndef OAK_SIM_INTERNAL_H
#define OAK_SIM_INTERNAL_H

#include "peer/peer.h"
#include "replica/replica.h"
#include "check/check.h"
#include "sim/sim.h"
#include "sim/world.h"

#define SIM_CLIENTS_MAX 8
#define SIM_BURST_MAX   200

struct sim;

/* What was seen last of a node's snapshots, in this life. */
struct transfer_seen {
    bool receiving;
    uint64_t resumed, rewound;
};

struct node {
    struct sim *sim;
    int index;
    uint64_t id;
    char dir[32];
    struct oak_store *store;
    struct oak_journal *journal;
    struct oak_replica *replica; /* NULL: down */
    bool fatal;                  /* the replica has asked for its end */
    bool closing;                /* the replica closes, then its journal */
    struct oak_log log;
    uint64_t promised;    /* the highest term it has promised anything in, in any life */
    uint64_t acked;       /* index last acknowledged to a leader, */
    uint64_t acked_term;  /* in this term */
    uint64_t died_term;   /* its term when it crashed last */
    uint64_t commit_seen; /* in this life */
    uint64_t applied_seen;
    bool installing_seen;
    struct transfer_seen transfer;
};

/* A client does one operation at a time. */
struct client {
    struct sim *sim;
    int index;
    struct oak_replica_request request;
    struct oak_buf packed;
    struct oak_arena arena; /* for a read's answer */
    char key[32];
    struct oak_store_range range; /* of a read that tells of its key alone */
    struct oak_kv_reach reach;
    size_t op; /* in the history */
    bool busy;
    bool arrived;      /* the replica knows the request */
    uint64_t answered; /* operations with a known end in the second phase */
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

/* What the seed has drawn for this run. */
struct plan {
    int nodes;
    int clients;
    unsigned keys;
    uint64_t think_ms;    /* between two operations of a client */
    uint64_t crash_ms;    /* mean time between two of each; 0: none in this run */
    uint64_t blackout_ms; /* all nodes at once */
    uint64_t partition_ms;
    uint64_t pause_ms;
    bool churn;          /* leaders die soon after they are elected */
    uint64_t weather_ms; /* new rates of the network, a slow disk */
    unsigned loss_max, repeat_max;
    uint64_t delay_max_ms;
    size_t flush_bytes;
    size_t tail_entries;
    size_t append_bytes;
    uint64_t segment_bytes;
    bool read_heavy;
    enum ambush_kind ambush;
    struct transfer_plan transfer;
};

/* An ambush in play: who is who in it. */
struct ambush {
    unsigned stage;
    uint64_t since_ns; /* the stage began */
    uint64_t term;     /* of the last leader that mattered */
    uint64_t common;   /* the last index that all had */
    int first, ally, rival, voter;
    unsigned pair; /* first and ally, as bits */
    struct oak_replica_request burst[SIM_BURST_MAX];
};

/* model.c */
struct model_key {
    char key[32];
    size_t key_size;
    char value[24];
    size_t value_size;
    int64_t create, mod;
    int64_t version; /* 0: no such key */
};

struct model_kv {
    struct model_key *keys;
    size_t count;
    size_t capacity;
    uint64_t index;
    int64_t revision;
};

/* What is known of one applied entry. */
struct entry_known {
    uint64_t term;
    int64_t revision; /* behind it */
    uint32_t crc;
    uint32_t size;
};

/* clocks.c: what the members know of leases; zeros: there are none. */
struct sim_leases {
    uint32_t lease_ms;
    uint32_t drift_ppm;
    uint32_t clock_error_ms;
    bool wishes; /* each member, when it leads, makes its own the group's */
    uint32_t wish_ms[SIM_NODES_MAX];
    uint64_t handover_until_ns; /* of the trap in clocks.c */
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
    uint64_t changes; /* done */
};

struct sim {
    const struct oak_sim_options *options;
    struct oak_sim_report *report;
    struct world world;
    struct plan plan;
    struct sim_leases leases;
    struct node nodes[SIM_NODES_MAX];
    struct client clients[SIM_CLIENTS_MAX];
    struct history history;
    struct entry_known *entries; /* by index */
    size_t entry_count;
    struct oak_buf chains;  /* u64 by index: the state's hash where a batch ended; 0: none did */
    struct oak_buf leaders; /* u64 by term: who led it; 0: nobody seen */
    struct oak_buf votes;   /* u64 by term and node: whom it voted for */
    struct model_kv model;
    struct oak_arena frame_arena;
    struct ambush ambush;
    struct members members;
    struct oak_prng transfer_prng;
    uint64_t value;     /* of the last put */
    uint64_t moment;    /* order of calls and returns */
    uint64_t settle_ns; /* second phase: since */
    bool settling;
    bool failed;
};

/* sim.c */
/* A checker speaks: the first text is kept. */
void sim__fail(struct sim *s, const char *format, ...) OAK_PRINTF(2, 3);
void sim__trace(struct sim *s, const char *format, ...) OAK_PRINTF(2, 3);

/* clocks.c */
void sim__clocks_draw(struct sim *s);
void sim__clocks_start(struct sim *s);

/* node.c */
void sim__node_init(struct sim *s, int index);
void sim__node_start(struct node *n);
/* Power is cut, now. */
void sim__node_crash(struct node *n);
/* After an event of this node: has it died or asked for its end? */
void sim__node_look(struct node *n);

/* client.c */
void sim__client_init(struct sim *s, int index);
void sim__client_stop(struct client *c);
/* The number that a value stands for. */
uint64_t sim__value_of(struct oak_bytes value);
/* The node is gone: whoever waited there does not know what came of it. */
void sim__clients_lost(struct sim *s, int node);

/* nemesis.c */
void sim__plan_draw(struct sim *s);
void sim__nemesis_start(struct sim *s);
void sim__heal(struct sim *s);
/* A leader has been elected: in a run with churn it won't live long. */
void sim__leader_new(struct node *n);
/* A node has begun to install a snapshot: it may die in it. */
void sim__install_new(struct node *n);

/* ambush.c */
void sim__ambush_plan(struct plan *plan, struct oak_prng *p);
/* After each event: is it time to cut or to join? */
void sim__ambush_look(struct sim *s);

/* members.c */
void sim__members_plan(struct sim *s);
void sim__members_start(struct sim *s);
/* Who the node thinks is in the group when it is born. */
void sim__members_bootstrap(const struct sim *s, int node, struct oak_raft_config *out);
/* Everybody votes, and knows it. All nodes are up. */
bool sim__members_whole(const struct sim *s);
/* After each event of a node that is up. */
void sim__members_look(struct node *n);

/* transfer.c */
void sim__transfer_plan(struct sim *s);
void sim__transfer_options(const struct sim *s, struct oak_replica_options *o);
/* Onto the wire, which may flip a bit. */
void sim__transfer_send(struct node *n, int to, struct oak_bytes frame);
/* After each event of a node that is up: how do its snapshots come along? */
void sim__transfer_look(struct node *n);

/* promise.c */
void sim__promise_watch(struct node *n, struct oak_bytes frame);
/* It has started again: is there what it acknowledged? */
void sim__promise_started(struct node *n);

/* model.c */
/* Indexes come in order, without a gap. Returns the revision behind it. */
int64_t sim__model_apply(struct model_kv *m, uint64_t index, struct oak_bytes entry);
/* NULL: no such key. */
const struct model_key *sim__model_find(const struct model_kv *m, struct oak_bytes key);
void sim__model_fini(struct model_kv *m);

/* check.c */
/* The u64 at `place` of a table that grows with zeros. */
uint8_t *sim__cell(struct oak_buf *table, uint64_t place);
void sim__check_applied(struct node *n, uint64_t index, uint64_t term, struct oak_bytes entry);
void sim__check_step(struct node *n);
/* All nodes have applied the same and hold the same. */
bool sim__settled(struct sim *s);
void sim__check_equal(struct sim *s);
/* One last read of every key, into the history. */
void sim__check_reads(struct sim *s);

#endif
