/* SPDX-License-Identifier: Apache-2.0 */
/* testkit.h: hosts, disks and a network for tests of the Raft core, in one process and by hand.
 *
 * A node takes its core's output at once: batches wait until the test finishes them, messages until
 * the test delivers them, entries are applied on the spot. Every message is checked as it leaves: a
 * promise must be covered by the disk of its sender. Every entry applied is compared with what any
 * node applied before. A violation calls kit->fail and is remembered.
 */
#ifndef OAK_RAFT_TESTKIT_H
#define OAK_RAFT_TESTKIT_H

#include "base/prng.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/prng.h"
#include "oakum/raft.h"

#define KIT_NODES 8

struct kit_entry {
    uint64_t index;
    uint64_t term;
    enum oak_raft_entry_type type;
    uint32_t size;
    char *data;
    const char *lent;    /* the core's bytes; must stay readable while a batch is being written */
    uint64_t known_term; /* of who applied it first: it was committed in this term or before */
};

struct kit_disk {
    struct oak_raft_hard_state hard_state;
    struct oak_raft_snapshot snapshot;
    struct kit_entry *entries; /* behind the snapshot */
    size_t count;
    bool in_doubt;
};

/* A write under way. */
struct kit_batch {
    uint64_t token;
    bool restores;
    bool restore_keeps_log;
    struct oak_raft_snapshot restore;
    bool hard_state_changed;
    struct oak_raft_hard_state hard_state;
    struct kit_entry *entries;
    size_t count;
    bool doubt_lifted;
};

struct kit_node {
    uint64_t id;
    struct oak_raft *r; /* NULL: down */
    struct kit_disk disk;
    struct kit_batch *batches;
    size_t batch_count;
    uint64_t applied; /* of the state machine, which is durable */
    uint64_t now_ms;
    uint64_t wall_latest_ms; /* of a shared clock; 0: it has none */
    uint64_t commit_seen;
    enum oak_raft_role role_seen;
    uint64_t term_seen;
    struct oak_raft_options options; /* limits to make it with */
    struct oak_raft_config birth;    /* as of index 0 */
    uint64_t lives;
    /* Reads asked for in this life: what had committed anywhere by then, by sequence number. */
    uint64_t *read_floors;
    uint64_t read_count;
    uint64_t read_answered;
    size_t reads_ok;
    size_t reads_lost;
    size_t leases_ok;
    size_t leases_inherited;
};

struct kit_msg {
    struct oak_raft_msg m; /* owns entries and payloads */
};

struct kit {
    struct kit_node nodes[KIT_NODES];
    size_t node_count;
    struct oak_raft_config config;
    struct kit_msg *wire;
    size_t wire_count;
    /* What any node applied, by index from 1. */
    struct kit_entry *truth;
    uint64_t truth_count;
    uint64_t commit_max;
    uint64_t leaders[4096]; /* by term: who led */
    size_t failures;
    char first_failure[256];
    /* A line for each thing that happens; NULL for silence. */
    void (*say)(void *user, const char *line);
    void *user;
    size_t applied_total;
    size_t changes; /* joint configurations committed */
    size_t restored_total;
};

void kit_init(struct kit *kit);
void kit_fini(struct kit *kit);
/* Make the node with `id` (on a new disk with the kit's configuration), and its first life. */
struct kit_node *kit_add(struct kit *kit, uint64_t id, const struct oak_raft_options *limits);
/* The same, but it knows of no group: it waits to be found. */
struct kit_node *kit_join(struct kit *kit, uint64_t id, const struct oak_raft_options *limits);
struct kit_node *kit_find(struct kit *kit, uint64_t id);
/* What the node's state machine holds as the configuration, having applied up to `index`. */
struct oak_raft_config kit_config_at(const struct kit *kit, const struct kit_node *n,
                                     uint64_t index);
/* Lose memory. The first `batches` writes under way are on disk whole, of the next one `part` steps
 * (restore, hard state, then entries one by one). */
void kit_crash(struct kit *kit, struct kit_node *n, size_t batches, size_t part);
/* While it is down: what is behind `keep` is lost, and the node in doubt. With `keep` below the
 * snapshot everything is. */
void kit_damage(struct kit *kit, struct kit_node *n, uint64_t keep);
/* The same by chance, if a majority that knows its log is left, or nobody could ever lead. */
bool kit_damage_some(struct kit *kit, struct kit_node *n, struct oak_prng *p);
/* `applied_back`: how many applied entries the state machine forgets. */
int kit_start(struct kit *kit, struct kit_node *n, uint64_t applied_back);
/* Take output until there is none. */
void kit_take(struct kit *kit, struct kit_node *n);
/* Finish up to `count` writes. Returns how many. */
size_t kit_persist(struct kit *kit, struct kit_node *n, size_t count);
/* Hand the message at `at` to its receiver and take it off the wire (or leave it there: a
 * duplicate). */
int kit_deliver(struct kit *kit, size_t at, bool keep);
void kit_drop(struct kit *kit, size_t at);
int kit_tick(struct kit *kit, struct kit_node *n, uint64_t ms);
/* Every member gets a random part, most keep theirs; who is new begins as a learner. */
int kit_churn(struct kit *kit, struct kit_node *leader, struct oak_prng *prng);
int kit_propose(struct kit *kit, struct kit_node *n, const char *text);
int kit_read(struct kit *kit, struct kit_node *n, uint64_t *seq);
/* A read that is asked for and checked at this moment. Nothing that committed anywhere by now may
 * be missing in what it is served from. */
enum oak_raft_lease_kind kit_lease(struct kit *kit, struct kit_node *n);
/* All reads that wait at this leader, by its lease. */
bool kit_grant(struct kit *kit, struct kit_node *n);
/* A command of a script about clocks and leases (testkit_script.c tells them). False: not one. */
bool kit_clock_command(struct kit *kit, struct kit_node *n, const char *verb, uint64_t a,
                       uint64_t b);
int kit_compact(struct kit *kit, struct kit_node *n, uint64_t index);
/* Put a snapshot of what `from` has applied on the wire, as its host would when it is wanted. */
void kit_snapshot(struct kit *kit, struct kit_node *from, uint64_t to);
/* Compare all disks: entries of equal index and term are equal, and so is all before them. */
void kit_compare_disks(struct kit *kit);
void kit_describe(const struct oak_raft_msg *m, char *text, size_t size);
/* "1 2 3", "1 2 4 <- 1 2 3" when joint, "+5" a learner, "~3" one to be. */
void kit_config_describe(const struct oak_raft_config *c, char *text, size_t size);
bool kit_config_votes(const struct oak_raft_config *c, uint64_t id);
bool kit_config_has(const struct oak_raft_config *c, uint64_t id);
/* With the bug zoo compiled in, wake the animal that OAK_BUG in the environment names. */
void kit_wake_bug(void);

/* True time, and what each node's clocks make of it: a rate of its own within the bound on drift,
 * and a wall off by no more than its error. */
struct kit_clocks {
    bool on;
    uint64_t true_us;
    uint64_t wall_error_ms; /* 0: no shared clock */
    uint64_t rate_ppm[KIT_NODES];
    uint64_t wall_off_ms[KIT_NODES]; /* less than twice the error, of which one is taken off */
    uint64_t asleep_us[KIT_NODES];   /* until then it hears nothing and its ticks don't come */
};
/* Clocks and a lease, before the nodes are made. */
void kit_clocks_draw(struct kit_clocks *c, struct kit *kit, struct oak_prng *p);
/* The node looks at its clocks. */
void kit_clocks_read(const struct kit_clocks *c, const struct kit *kit, struct kit_node *n);
bool kit_clocks_asleep(const struct kit_clocks *c, size_t at);

/* Between the files of the kit. */
void *kit_grow(void *p, size_t count, size_t size);
void kit_say(struct kit *kit, const char *format, ...) OAK_PRINTF(2, 3);
void kit_fail(struct kit *kit, const char *format, ...) OAK_PRINTF(2, 3);
struct kit_entry kit_entry_dup(const struct oak_raft_entry *e);
bool kit_entry_same(const struct kit_entry *a, const struct kit_entry *b);
uint64_t kit_disk_last(const struct kit_disk *d);
void kit_send(struct kit *kit, struct kit_node *n, const struct oak_raft_msg *m);

#endif
