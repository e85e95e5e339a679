/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the Raft core share. Door: oakum/raft.h.
 *
 * The core is state, not queues: what has to be said to a peer is a flag or a number in its row,
 * and messages are made of them when the host takes its output. So a take needs no memory, a
 * message is always made from the newest state, and proposals that gathered leave as one append.
 */
#ifndef OAK_RAFT_INTERNAL_H
#define OAK_RAFT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/zoo.h"
#include "oakum/raft.h"
#include "raft/flow.h"
#include "raft/voters.h"

/* Batches being written at one time; past it the next waits and grows. One sync is under way and
 * one gathers as a rule; 64 leaves a host room to stripe. */
#define RAFT__BATCHES_MAX 64
/* Read rounds under way; past it reads gather into the next. */
#define RAFT__ROUNDS_MAX 16
/* Messages in one output; the rest follows in the next. */
#define RAFT__SEND_MAX 32
/* Answers that wait for a take; past it a message is refused as if there were no memory. */
#define RAFT__REPLIES_MAX 1024
/* Moments that a leader remembers of its uncommitted entries, each at least a tick behind the last;
 * past it the next ones count as old as the last of these. */
#define RAFT__MARKS_MAX 32
/* What an entry without payload may carry: when it was made. */
#define RAFT__NOOP_BYTES 8
/* Terms and indexes beyond this are refused in messages, so that arithmetic on them can't wrap. */
#define RAFT__NUMBER_MAX ((uint64_t)1 << 62)
/* What an entry costs beside its payload, when uncommitted bytes are counted: empty proposals have
 * a limit too. */
#define RAFT__ENTRY_OVERHEAD 64

/* -- log.c: the entries in memory -------------------------------------------------------------- */

/* Stands in front of the payload's bytes. An entry's `data` points right behind it. */
struct raft__payload {
    struct raft__payload *next; /* in a chain of new payloads, or among the buried */
    uint64_t token;             /* buried: some batch up to this one may still read the bytes */
    uint64_t apply; /* buried: the state machine may read the bytes until it applied this */
};

/* Entries base + 1 .. base + count, in one piece of memory, so that outputs point straight into it.
 */
struct raft__log {
    struct oak_raft_alloc alloc;
    struct oak_raft_entry *slots;
    size_t capacity;
    size_t head; /* slots before it are free: compacted */
    size_t count;
    uint64_t base; /* the entry before the first; compacted, or a snapshot's */
    uint64_t base_term;
    size_t bytes;                /* of all payloads held */
    struct raft__payload *grave; /* removed while somebody could still read them, oldest first */
    struct raft__payload *grave_end; /* the newest */
};

/* What outputs may still point to, so that removal knows what to bury. */
struct raft__readers {
    uint64_t token;        /* the newest batch handed out and not persisted; 0: none */
    uint64_t apply_issued; /* handed out for applying */
    uint64_t applied;
};

void raft__log_init(struct raft__log *log, const struct oak_raft_alloc *alloc, uint64_t base,
                    uint64_t base_term);
void raft__log_fini(struct raft__log *log);
static inline uint64_t raft__log_last(const struct raft__log *log)
{
    return log->base + log->count;
}
static inline struct oak_raft_entry *raft__log_at(const struct raft__log *log, uint64_t index)
{
    OAK_ASSERT(index > log->base && index <= log->base + log->count);
    return &log->slots[log->head + (size_t)(index - log->base) - 1];
}
uint64_t raft__log_last_term(const struct raft__log *log);
/* False when `index` is compacted or not there yet. */
bool raft__log_term(const struct raft__log *log, uint64_t index, uint64_t *term);
/* Room for `extra` entries behind the last. OAK_RAFT_ENOMEM: nothing changed. */
OAK_MUST_USE int raft__log_reserve(struct raft__log *log, size_t extra);
/* A copy of the bytes, or NULL. Size 0 needs none: don't ask. */
struct raft__payload *raft__payload_new(const struct oak_raft_alloc *alloc, const void *data,
                                        size_t size);
void raft__payload_free(const struct oak_raft_alloc *alloc, struct raft__payload *payload);
/* Append one entry; takes the payload (NULL for none). Room was reserved. */
void raft__log_push(struct raft__log *log, uint64_t term, enum oak_raft_entry_type type,
                    struct raft__payload *payload, uint32_t size);
/* Remove `from` and everything behind it. */
void raft__log_truncate(struct raft__log *log, uint64_t from, const struct raft__readers *readers);
/* Remove everything up to and with `index`, whose term becomes the base's. */
void raft__log_compact(struct raft__log *log, uint64_t index, const struct raft__readers *readers);
/* Remove everything and stand at a snapshot. */
void raft__log_reset(struct raft__log *log, uint64_t base, uint64_t base_term,
                     const struct raft__readers *readers);
/* Free what is buried and read by nobody any more. */
void raft__log_sweep(struct raft__log *log, uint64_t persisted, uint64_t applied);
/* The largest index up to `index` whose term is at most `term`; the base at the least. */
uint64_t raft__log_find_term(const struct raft__log *log, uint64_t index, uint64_t term);

/* -- progress.c: what a leader knows of a peer ------------------------------------------------- */

enum raft__vote { RAFT__VOTE_NONE, RAFT__VOTE_GRANTED, RAFT__VOTE_REJECTED };

/* A ring in memory the raft owns. */
struct raft__window {
    struct raft__flight *flights;
    size_t capacity;
    size_t first;
    size_t count;
    size_t bytes;
    size_t entries;
    size_t cost;
    size_t ramp; /* messages that may be on the way after a refusal; 0: as many as fit */
    struct raft__flow flow;
};

/* What may be on the way to a peer, or go into one message. */
struct raft__room {
    size_t bytes; /* of payloads */
    size_t entries;
    size_t cost;
};

/* A learner's round (catchup.c). */
struct raft__catchup {
    uint64_t
        end; /* the round is over once it has this much; 0: there is nothing to catch up with */
    uint64_t since_ms;
    bool done; /* the last round was short enough */
};

/* One other member. */
struct raft__peer {
    uint64_t id;
    unsigned halves; /* of the configuration in which it votes */
    bool learner;    /* in none */
    struct raft__catchup catchup;

    int state; /* OAK_RAFT_PEER_... */
    uint64_t match;
    uint64_t next;         /* PROBE: to try; REPLICATE: behind what was sent; SNAPSHOT: unused */
    bool probe_sent;       /* PROBE: one is out; the next goes with the answer or the heartbeat */
    bool probe_unanswered; /* PROBE: go on without payloads, the peer may be away */
    bool nudge;            /* REPLICATE: say where we are, acknowledgements may have been lost */
    uint64_t commit_sent;  /* the largest commit index it was told of */
    uint64_t snapshot_min; /* SNAPSHOT: what the transfer under way must reach */
    struct raft__window window;

    bool doubtful; /* it said so last */
    bool heard;    /* in this term, since this member leads */
    uint64_t heard_ms;
    bool heartbeat_due;
    bool farewell_due;    /* not a leader any more: tell it what has committed in this term */
    bool timeout_now_due; /* tell it to stand */
    uint8_t priority;     /* as it told */

    enum raft__vote vote;
    bool vote_due; /* a (pre-)vote request waits to be sent */

    uint64_t read_acked;      /* the newest round it confirmed */
    uint64_t read_asked;      /* its newest request that is in no round yet; 0: none */
    uint64_t read_answer;     /* its newest request that is answered and not told; 0: none */
    uint64_t read_answer_at;  /* the read index of that answer */
    uint64_t read_answer_end; /* where our log ended as its round began */
};

/* Heard from within the last election time-out. */
bool raft__peer_active(const struct oak_raft *r, const struct raft__peer *p);
void raft__peer_lead(struct raft__peer *p, uint64_t last, uint64_t now_ms);
void raft__peer_probe(struct raft__peer *p, uint64_t next);
void raft__peer_replicate(struct raft__peer *p);
void raft__peer_snapshot(struct raft__peer *p, uint64_t index_min);
/* `match` grew or was confirmed: true if anything changed for what can be sent. */
void raft__peer_acked(struct raft__peer *p, uint64_t index, uint64_t log_base, uint64_t now_us);
/* It is in doubt and holds `has`, less than we thought: start over from there. */
void raft__peer_lost(struct raft__peer *p, uint64_t has, uint64_t next);
/* The peer refused an append behind `rejected`; `retry` is where to try again by the hints. False:
 * a stale refusal. */
bool raft__peer_rejected(struct raft__peer *p, uint64_t rejected, uint64_t retry);
/* What may leave now, under these limits and the path's. False: not even an entry of `bytes`. An
 * empty window has room for one entry of any size. */
bool raft__window_room(const struct raft__window *w, size_t bytes, const struct raft__room *limits,
                       uint64_t now_us, struct raft__room *room);
void raft__window_push(struct raft__window *w, uint64_t end, size_t entries, size_t bytes,
                       bool hungry, uint64_t now_us);
void raft__window_free(struct raft__window *w, uint64_t acked, uint64_t now_us);

/* -- catchup.c --------------------------------------------------------------------------------- */

void raft__catchup_start(const struct oak_raft *r, struct raft__peer *p);
/* Its match grew. */
void raft__catchup_acked(const struct oak_raft *r, struct raft__peer *p);
void raft__catchup_tick(const struct oak_raft *r, struct raft__peer *p);
bool raft__catchup_ready(const struct oak_raft *r, const struct raft__peer *p);

/* -- the core ---------------------------------------------------------------------------------- */

struct raft__config_at {
    uint64_t index; /* of the entry that brought it */
    struct oak_raft_config config;
};

struct raft__batch {
    uint64_t token;
    uint64_t end; /* how far the log is durable once it is written; sinks with truncation */
    bool hard_state;
    uint64_t term;
    uint64_t vote;
};

struct raft__reply {
    enum oak_raft_msg_type type;
    bool reject;
    bool doubtful;
    uint64_t to;
    uint64_t term;
    uint64_t index;
    uint64_t read_seq;
    uint64_t hint_index;
    uint64_t hint_term;
};

/* On a leader, a round of heartbeats that confirms leadership. On a follower, a question to the
 * leader. */
struct raft__round {
    uint64_t number; /* what the messages carry */
    uint64_t seq;    /* it answers this member's reads up to here */
    uint64_t index;  /* leader: the commit index as it began */
    uint64_t end;    /* leader: the last entry of its log as it began */
    uint64_t since_ms;
    uint64_t remote[OAK_RAFT_MEMBERS_MAX]; /* leader: per peer, the request it answers; 0: none */
};

struct raft__reads {
    uint64_t seq;       /* the newest read asked for */
    uint64_t rounded;   /* covered by a round */
    uint64_t answered;  /* given out, or lost */
    uint64_t since_ms;  /* when the oldest read that waits for a round was asked for */
    uint64_t lead_next; /* leader: the last round's number in this term */
    uint64_t ask_next;  /* follower: the last question's number; starts at random */
    struct raft__round rounds[RAFT__ROUNDS_MAX];
    size_t first;
    size_t count;
    struct oak_raft_read_done done[RAFT__ROUNDS_MAX + 2];
    size_t done_count;
};

/* An entry of this leader's and all behind it were made at `ms` or later. */
struct raft__mark {
    uint64_t index;
    uint64_t ms;
};

/* lease.c tells what it is all for. Times are of the host's monotonic clock, but for the walls. */
struct raft__lease {
    /* Any member: how young may the newest entry of the log be? */
    bool append_fresh;  /* entries came since the last tick: they count from the next one */
    uint64_t append_ms; /* no other entry came after this */
    /* Any member: no committed entry that says when it was made was made later; 0: none says. */
    uint64_t committed_wall_ms;
    uint64_t wall_ms; /* the earliest that it can be, as the host told last; 0: not known */

    /* A new leader that commits nothing yet. */
    bool defers;
    bool defer_fresh;  /* append_fresh, when it was elected */
    uint64_t defer_ms; /* append_ms, when it was elected */
    uint64_t defer_for_ms;
    uint64_t limbo_last; /* the last entry of an earlier term */

    /* A leader's own lease: entries of its term, some time apart, the oldest first; the first is
     * the newest one that has committed, if `held`. */
    struct raft__mark marks[RAFT__MARKS_MAX];
    size_t mark_first;
    size_t mark_count;
    bool held;
    uint64_t made_ms; /* its last entry */
    uint64_t walled;  /* its last entry that says when it was made; 0: none does */
    uint64_t walled_ms;
    /* A leader that hands over: its last entry when it gave its lease up. */
    uint64_t given_up;
    /* A candidate that its leader has told to stand, in the term before its own: no lease holds but
     * by an entry behind this one; 0: nobody says so. */
    uint64_t released;
    uint64_t released_term;
    bool asked; /* it was asked for reads, last at ... */
    uint64_t asked_ms;
};

/* doubt.c: a member that lost part of its log. */
struct raft__doubt {
    bool open;       /* no votes, no campaigns */
    bool lifted_due; /* to be written down */
    uint64_t asked;  /* the first question of this term; 0: none yet */
    uint64_t asked_ms;
    uint64_t until; /* answered in this term: the log must reach this far; 0: no answer yet */
};

struct oak_raft {
    uint64_t id;
    uint64_t group;
    struct oak_raft_alloc alloc;
    uint64_t random;
    uint32_t heartbeat_ms;
    uint32_t election_ms;
    size_t entry_bytes_max;
    size_t append_bytes_max;
    size_t append_entries_max;
    size_t inflight_messages_max;
    struct raft__room inflight; /* limits; its cost is the ceiling of what flow.c tunes */
    size_t uncommitted_bytes_max;
    size_t log_bytes_max;
    size_t apply_bytes_max;

    enum oak_raft_role role;
    uint64_t term;
    uint64_t vote;
    uint64_t leader;
    uint64_t commit;
    struct oak_raft_config config; /* in force: the newest in the log */
    uint64_t config_index;
    struct raft__config_at config_before;          /* in force again if that one is cut off */
    unsigned halves;                               /* of `config` in which this member votes */
    struct raft__peer peers[OAK_RAFT_MEMBERS_MAX]; /* sorted by id, without this member */
    size_t peer_count;
    struct raft__flight *spare[OAK_RAFT_MEMBERS_MAX]; /* windows of nobody, each for one peer */
    size_t spare_count;

    uint64_t transfer_to; /* leader: who shall lead; 0: nobody else */
    uint64_t transfer_since_ms;
    bool transfer_wanted; /* candidate: the leader has told it to stand */
    uint8_t priority;
    uint8_t priority_expected; /* not a leader: of those who stand first */
    uint32_t priority_calm_ms; /* 0: a leader stays, whatever its priority */
    uint64_t calm_ms;          /* leader: since when it leads undisturbed */

    struct oak_raft_evidence evidence; /* of what has halted this core */

    bool started; /* the first tick has come */
    uint64_t now_ms;
    uint64_t now_us;      /* at least now_ms; for measuring only */
    uint64_t heard_ms;    /* follower: when the leader was last heard */
    uint64_t deadline_ms; /* not a leader: when to campaign */
    uint64_t beat_ms;     /* the last beat */

    struct raft__log log;
    size_t uncommitted_bytes; /* leader: payloads behind commit */
    uint64_t staged;          /* the log up to here was handed out for writing */
    uint64_t durable;         /* ... and is on disk */
    uint64_t apply_issued;
    uint64_t applied;

    struct oak_raft_hard_state hard_staged;
    uint64_t hard_durable_term;
    uint64_t hard_durable_vote;
    bool hint_due; /* the commit hint may be written by itself */
    uint64_t token_issued;
    uint64_t token_persisted;
    struct raft__batch batches[RAFT__BATCHES_MAX];
    size_t batch_first;
    size_t batch_count;
    struct oak_raft_snapshot restore;
    bool restore_due; /* to be handed out */
    bool restore_keeps_log;
    uint64_t restore_token; /* being written, unless persisted */

    /* Follower, in this term: how far the log is known to equal the leader's, and what it was told.
     */
    uint64_t verified;
    uint64_t asked; /* by appends: an answer is due once this much is durable, or part of it */
    uint64_t acked; /* the largest answer given */
    bool ack_due;
    uint64_t append_read_seq;
    bool grant_due; /* the vote in `vote` is to be told, once durable */

    struct raft__doubt doubt;
    struct raft__reads reads;
    struct raft__lease lease;
    struct raft__reply *replies;
    size_t reply_capacity;
    size_t reply_first;
    size_t reply_count;

    struct oak_raft_output out;
    struct oak_raft_msg send[RAFT__SEND_MAX];
    struct oak_raft_snapshot out_restore;
    struct oak_raft_read_done out_reads[RAFT__ROUNDS_MAX + 2];
    struct oak_raft_snapshot_want out_snapshots[OAK_RAFT_MEMBERS_MAX];
};

/* recover.c */
OAK_MUST_USE int raft__options_check(const struct oak_raft_options *o);

/* change.c */
/* `count` windows that peers can be given without memory. */
OAK_MUST_USE int raft__flights_reserve(struct oak_raft *r, size_t count);
void raft__window_give(struct oak_raft *r, struct raft__peer *p);
/* All up to `index` is in `config`. */
void raft__config_start(struct oak_raft *r, uint64_t index, const struct oak_raft_config *config);
/* The entry at `index`, the newest, is a configuration. */
void raft__config_push(struct oak_raft *r, uint64_t index);
/* The log was cut: `from` and everything behind it is gone. */
void raft__config_cut(struct oak_raft *r, uint64_t from);
/* The log begins behind `snapshot` now; `keeps`: with what it had there. */
void raft__config_restore(struct oak_raft *r, const struct oak_raft_snapshot *snapshot, bool keeps);
/* The commit index of a leader grew, or time passed: go on with a change. The leader may step down.
 */
void raft__change_advance(struct oak_raft *r);

/* evidence.c */
/* `m` contradicts what is here at `index`, where its sender has an entry of `term_there`. */
OAK_MUST_USE int raft__halt(struct oak_raft *r, enum oak_raft_contradiction what,
                            const struct oak_raft_msg *m, uint64_t index, uint64_t term_there);
static inline bool raft__halted(const struct oak_raft *r)
{
    return r->evidence.what != OAK_RAFT_SOUND;
}

/* transfer.c */
/* Who should take over; NULL: nobody could. */
struct raft__peer *raft__transfer_best(struct oak_raft *r);
/* `p` may have all it needs to take over. */
void raft__transfer_advance(struct oak_raft *r, struct raft__peer *p);
void raft__transfer_end(struct oak_raft *r);
void raft__transfer_tick(struct oak_raft *r);
OAK_MUST_USE int raft__on_timeout_now(struct oak_raft *r, const struct oak_raft_msg *m);
/* The highest priority among those who could take over. */
uint8_t raft__priority_told(const struct oak_raft *r);
/* The time-out has come: is it somebody else's turn? */
bool raft__priority_waits(struct oak_raft *r);
void raft__priority_tick(struct oak_raft *r);

/* raft.c */
struct raft__peer *raft__peer_find(struct oak_raft *r, uint64_t id);
struct raft__readers raft__readers(const struct oak_raft *r);
void raft__commit_to(struct oak_raft *r, uint64_t index);

/* election.c: roles, terms, votes */
void raft__become_follower(struct oak_raft *r, uint64_t term, uint64_t leader);
bool raft__may_campaign(const struct oak_raft *r);
OAK_MUST_USE int raft__campaign(struct oak_raft *r);
/* Stand without asking whether it could be won: the leader wants it. */
OAK_MUST_USE int raft__campaign_now(struct oak_raft *r);
/* Votes came in, or this member's own became durable. */
void raft__election_check(struct oak_raft *r);
void raft__election_rearm(struct oak_raft *r);
bool raft__candidate_ready(const struct oak_raft *r);
/* Heard a leader so lately that nobody else's campaign is answered. */
bool raft__locked(const struct oak_raft *r, const struct oak_raft_msg *m);
void raft__on_vote(struct oak_raft *r, const struct oak_raft_msg *m);
void raft__on_vote_reply(struct oak_raft *r, const struct oak_raft_msg *m);

/* step.c */
OAK_MUST_USE int raft__reply_reserve(struct oak_raft *r);
void raft__reply(struct oak_raft *r, const struct raft__reply *reply);

/* replicate.c: the leader */
void raft__lead(struct oak_raft *r);
void raft__leader_tick(struct oak_raft *r);
void raft__commit_advance(struct oak_raft *r);
/* Has this leader committed in its own term? */
bool raft__commit_is_own(const struct oak_raft *r);
OAK_MUST_USE int raft__on_append_reply(struct oak_raft *r, const struct oak_raft_msg *m);
OAK_MUST_USE int raft__on_heartbeat_reply(struct oak_raft *r, const struct oak_raft_msg *m);
bool raft__peer_needs_snapshot(const struct oak_raft *r, const struct raft__peer *p);
bool raft__peer_wants_append(const struct oak_raft *r, const struct raft__peer *p);
/* Fill `m` with the next append for `p` and note it as sent. */
void raft__append_make(struct oak_raft *r, struct raft__peer *p, struct oak_raft_msg *m);

/* follower.c */
/* What an append will change, found and allocated before anything is changed. */
struct raft__intake {
    bool matches;      /* the previous entry is ours too */
    uint64_t conflict; /* remove from here; 0: nothing to remove */
    size_t skip;       /* entries that are here already */
    struct raft__payload *payloads;
};
OAK_MUST_USE int raft__intake_plan(struct oak_raft *r, const struct oak_raft_msg *m,
                                   struct raft__intake *intake);
void raft__on_append(struct oak_raft *r, const struct oak_raft_msg *m, struct raft__intake *intake);
void raft__on_heartbeat(struct oak_raft *r, const struct oak_raft_msg *m);
/* Does it contradict what is here? */
bool raft__snapshot_differs(const struct oak_raft *r, const struct oak_raft_msg *m);
/* `stale`: from a leader of an older term. What it holds is committed all the same. */
void raft__on_snapshot(struct oak_raft *r, const struct oak_raft_msg *m, bool stale);

/* read.c */
/* The asks are numbered from `base`, which no earlier life of this member may have used. */
void raft__reads_init(struct raft__reads *reads, uint64_t base);
bool raft__reads_can_begin(const struct oak_raft *r);
/* Begin the next round. On a follower: true, and `ask` is the question to send. */
bool raft__reads_begin(struct oak_raft *r, uint64_t *ask);
void raft__reads_confirm(struct oak_raft *r);
/* The peers changed: row i was row from[i], or is new (`none`). */
void raft__reads_rows(struct raft__reads *reads, const uint8_t *from, size_t count, size_t none);
void raft__reads_lose(struct oak_raft *r);
void raft__reads_expire(struct oak_raft *r);
void raft__on_read(struct oak_raft *r, const struct oak_raft_msg *m);
void raft__on_read_reply(struct oak_raft *r, const struct oak_raft_msg *m);
/* On a leader: does any read, of whomever, wait for a read index? */
bool raft__reads_waiting(const struct oak_raft *r);
/* All of them have it: the commit index as it is. */
void raft__reads_grant(struct oak_raft *r);

/* lease.c */
void raft__lease_init(struct oak_raft *r);
void raft__lease_received(struct oak_raft *r); /* entries came, or a snapshot */
void raft__lease_made(struct oak_raft *r);     /* this leader has pushed an entry */
/* Entries behind `before` have committed. */
void raft__lease_committed(struct oak_raft *r, uint64_t before);
/* Elected, and nothing pushed yet. */
void raft__lease_lead(struct oak_raft *r);
/* The lease is over, at once, until an entry made after this commits. */
void raft__lease_end(struct oak_raft *r);
/* Likewise, because leadership is to be handed on. */
void raft__lease_give_up(struct oak_raft *r);
/* What the next leader may be told: nobody reads by a lease but by an entry behind this one; 0: who
 * knows. */
uint64_t raft__lease_given_up(const struct oak_raft *r);
/* This member is told so, by the leader that it follows. */
void raft__lease_released(struct oak_raft *r, uint64_t last);
bool raft__lease_defers(const struct oak_raft *r);
/* Time has come: first this, ... */
void raft__lease_stamp(struct oak_raft *r);
/* ... then, if it still leads, this. */
void raft__lease_tick(struct oak_raft *r);
/* As of the last tick. */
uint64_t raft__lease_left(const struct oak_raft *r);
/* Push a leader's own entry. The room was reserved. */
void raft__noop_push(struct oak_raft *r);

/* doubt.c */
bool raft__doubt_asks(const struct oak_raft *r);
/* The number of the question to send. */
uint64_t raft__doubt_ask(struct oak_raft *r);
void raft__doubt_answered(struct oak_raft *r, const struct oak_raft_msg *m);
/* The log grew, or became durable: does it hold all that is needed? */
void raft__doubt_check(struct oak_raft *r);
void raft__doubt_term(struct oak_raft *r);
/* What this member can answer for in this term. */
uint64_t raft__doubt_holds(const struct oak_raft *r);

/* output.c */
/* The log was cut behind `end`: nothing further counts as written. */
void raft__written_clamp(struct oak_raft *r, uint64_t end);

/* splitmix64 (Steele, Lea, Flood 2014): small, and every seed is as good as another. */
static inline uint64_t raft__random(struct oak_raft *r)
{
    uint64_t z = r->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
