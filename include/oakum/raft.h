/* SPDX-License-Identifier: Apache-2.0 */
/* raft.h: a Raft consensus core that does no I/O.
 *
 * Time, messages, proposals and completions go in; work comes out as data. The core holds one
 * member of one group. It never calls out, never blocks, never reads a clock, and takes its memory
 * and its randomness from the caller, so that the same code runs in a server, in a simulator and in
 * a test.
 *
 *     oak_raft_new(&options, &r);              // with what was recovered from disk
 *     for (;;) {
 *         ... oak_raft_tick(r, now_ms); oak_raft_step(r, &msg); oak_raft_propose(r, ...);
 *         const struct oak_raft_output *out = oak_raft_take(r);
 *         start writing out->persist;          // later: oak_raft_persisted(r, out->persist.token)
 *         send out->send;                      // may leave now
 *         apply out->apply;                    // later: oak_raft_applied(r, index)
 *         answer out->reads, start out->snapshots
 *     }
 *
 * The rule of durability is kept by the core, not by its host: a message that promises that
 * something is on disk (a vote, an acknowledgement) is withheld inside until oak_raft_persisted()
 * has reported the write it depends on, and comes out of a later take.
 *
 * Memory of outputs. Everything an output points to belongs to the core. `send`, `reads`,
 * `snapshots` and all arrays are valid until the next call of any function of the core but the ones
 * that take a const core. The payload bytes of `persist.entries` stay valid until
 * oak_raft_persisted() has been called with that or a later token, those of `apply` until
 * oak_raft_applied() covers them (payloads only: copy the entry structs if you keep them). Another
 * thread may read the payloads meanwhile.
 *
 * Membership. Who votes is an entry of the log like any other, but it counts from the moment it is
 * in the log, committed or not, and an entry that is cut off counts no more. oak_raft_change()
 * tells the leader who shall be in the group; the core goes there through joint consensus (both the
 * old and the new majority decide) and leaves it by itself. All members may change in one step.
 *
 * Threads: none. One core, one thread at a time.
 *
 * Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014),
 * section 6 (joint consensus); Ongaro's dissertation (2014), sections 3.10 (leadership transfer),
 * 4.2.1 (catching up before joining), 4.2.2 (removing the leader), 4.2.3 (check quorum), 4.3 (joint
 * consensus), 6.4 (read index), 9.6 (pre-vote), 10.2.1 (writing to the leader's disk in parallel);
 * Ongaro, "bug in single-server membership changes" (2015): no change before a commit of the
 * leader's own term; Davis, Demirbas and Deng, "LeaseGuard: Raft Leases Done Right" (2025, arXiv
 * 2512.15659).
 */
#ifndef OAKUM_RAFT_H
#define OAKUM_RAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OAK_RAFT_API __attribute__((visibility("default")))
#else
#define OAK_RAFT_API
#endif

/* Members of one group: voters of both halves and learners together. */
#define OAK_RAFT_MEMBERS_MAX 16
/* The largest encoding of a configuration. */
#define OAK_RAFT_CONFIG_BYTES_MAX (16 + 8 * 4 * OAK_RAFT_MEMBERS_MAX)
/* A new leader may have to wait as long before it commits anything. */
#define OAK_RAFT_LEASE_MS_MAX  60000
#define OAK_RAFT_DRIFT_PPM_MAX 500000

enum oak_raft_error {
    OAK_RAFT_OK = 0,
    OAK_RAFT_ENOMEM = -1, /* no memory; nothing changed */
    OAK_RAFT_EINVAL = -2, /* bad options, or a message no member of this group would send */
    OAK_RAFT_ENOTLEADER =
        -3,              /* only a leader takes proposals; see oak_raft_status() for who leads */
    OAK_RAFT_EBUSY = -4, /* uncommitted bytes are at their limit; try again after a commit */
    OAK_RAFT_ETOOLARGE = -5,  /* the entry is over entry_bytes_max */
    OAK_RAFT_ENOLEADER = -6,  /* no leader is known to ask */
    OAK_RAFT_ERANGE = -7,     /* an index that is compacted, or not yet applied */
    OAK_RAFT_EPENDING = -8,   /* another change is under way, or the leader is too new: try again */
    OAK_RAFT_ENOTREADY = -9,  /* a member has not caught up: try again later */
    OAK_RAFT_ETRANSFER = -10, /* leadership is being handed over: ask again in a moment */
    OAK_RAFT_EHALTED = -11,   /* what must not happen has: see oak_raft_evidence() */
};

enum oak_raft_role {
    OAK_RAFT_FOLLOWER,
    OAK_RAFT_PRE_CANDIDATE,
    OAK_RAFT_CANDIDATE,
    OAK_RAFT_LEADER,
};

enum oak_raft_entry_type {
    OAK_RAFT_ENTRY_NOOP = 0,   /* a leader's own: its first, and later ones that keep its lease.
                                Nothing to apply; its payload, if any, is the core's (lease.c) */
    OAK_RAFT_ENTRY_DATA = 1,   /* what was proposed */
    OAK_RAFT_ENTRY_CONFIG = 2, /* who is in the group from here on: oak_raft_config_decode() */
};

/* One entry of the log. `data` is the payload; the core looks only into configurations. */
struct oak_raft_entry {
    uint64_t index; /* from 1 */
    uint64_t term;
    enum oak_raft_entry_type type;
    uint32_t size;
    const void *data;
};

/* What must survive a crash beside the log, written as one. */
struct oak_raft_hard_state {
    uint64_t term;
    uint64_t vote;   /* whom this member voted for in `term`; 0 for nobody */
    uint64_t commit; /* a hint that saves work at start; need not be synced by itself */
};

/* Who is in the group. Each list is sorted by id, without repeats; ids are not 0; a voter of either
 * half is no learner; all lists together name at most OAK_RAFT_MEMBERS_MAX members.
 *
 * With voter_outgoing_count != 0 it is a joint configuration, on the way from `voters_outgoing` to
 * `voters`: whatever is decided needs a majority of each. `learners_next` are those outgoing voters
 * that become learners when it is left. Hosts give simple ones; the core makes the joint ones.
 *
 * And what all members have to know alike for reads by lease: a leader may answer without asking
 * anybody for lease_ms after it made an entry that committed; drift_ppm bounds how far any member's
 * monotonic clock may run fast or slow against true time, in millionths. */
struct oak_raft_config {
    uint32_t voter_count;
    uint32_t learner_count;
    uint32_t voter_outgoing_count;
    uint32_t learner_next_count;
    uint64_t voters[OAK_RAFT_MEMBERS_MAX];
    uint64_t learners[OAK_RAFT_MEMBERS_MAX];
    uint64_t voters_outgoing[OAK_RAFT_MEMBERS_MAX];
    uint64_t learners_next[OAK_RAFT_MEMBERS_MAX];
    uint32_t lease_ms;  /* 0: no leases; at most OAK_RAFT_LEASE_MS_MAX */
    uint32_t drift_ppm; /* at most OAK_RAFT_DRIFT_PPM_MAX */
};

/* What a snapshot stands for: everything applied up to and with `index`. */
struct oak_raft_snapshot {
    uint64_t index; /* 0: none */
    uint64_t term;
    struct oak_raft_config config;
};

enum oak_raft_msg_type {
    OAK_RAFT_MSG_PRE_VOTE = 1,   /* would you vote for me? index, log_term: my last entry */
    OAK_RAFT_MSG_PRE_VOTE_REPLY, /* reject */
    OAK_RAFT_MSG_VOTE,           /* index, log_term: the candidate's last entry */
    OAK_RAFT_MSG_VOTE_REPLY,     /* reject */
    OAK_RAFT_MSG_APPEND, /* index, log_term: previous entry; commit; read_seq; entries (may be none)
                          */
    OAK_RAFT_MSG_APPEND_REPLY, /* index: durable match, or (reject) the refused previous index with
                                  hint_index, hint_term; read_seq echoed */
    OAK_RAFT_MSG_HEARTBEAT,    /* commit (never beyond what the receiver acknowledged); read_seq */
    OAK_RAFT_MSG_HEARTBEAT_REPLY, /* read_seq echoed; index: durable match, if doubtful */
    OAK_RAFT_MSG_SNAPSHOT,   /* the receiver's host holds all of `snapshot` durably: install it.
                                from, term: who took it and the term it led in then; what it holds
                                is taken even when that term has passed */
    OAK_RAFT_MSG_READ,       /* a follower asks for a read index; read_seq: its own counter */
    OAK_RAFT_MSG_READ_REPLY, /* read_seq echoed; index; hint_index: where the leader's log ended as
                                the round began; reject: ask again later */
    /* Stand now: the leader hands over. `index`: nobody reads by a lease but by an entry behind
     * it; 0: who knows. */
    OAK_RAFT_MSG_TIMEOUT_NOW,
    OAK_RAFT_MSG_END_
};

/* A message between members. Fields that a type does not name are 0. The host encodes and decodes
 * it; the core checks everything in it that it relies on. `entries` and their payloads are borrowed
 * for the call (in) or valid as told above (out). Entries in a message follow each other from index
 * + 1. */
struct oak_raft_msg {
    enum oak_raft_msg_type type;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    uint64_t index;
    uint64_t log_term;
    uint64_t commit;
    uint64_t read_seq;
    uint64_t hint_index; /* a rejection: probe at or below this index ... */
    uint64_t hint_term;  /* ... where the rejecter's log has this term */
    bool reject;
    bool transfer;    /* VOTE: the leader has told the candidate to stand */
    uint8_t priority; /* the sender's; HEARTBEAT: the highest among those who could take over */
    /* APPEND_REPLY, HEARTBEAT_REPLY: the sender is in doubt (see the options): what it acknowledged
     * in an earlier life may be gone, and counts from `index` anew. */
    bool doubtful;
    const struct oak_raft_entry *entries;
    size_t entry_count;
    struct oak_raft_snapshot snapshot;
};

/* Memory handed in. As realloc: p NULL allocates; size 0 frees and returns NULL. */
struct oak_raft_alloc {
    void *(*resize)(void *user, void *p, size_t size);
    void *user;
};

struct oak_raft_options {
    uint64_t id;    /* this member, not 0 */
    uint64_t group; /* for the host's own records; the core only carries it */
    /* Of the generator that spreads election time-outs and numbers a follower's read questions.
     * Give a fresh one at every start: an answer meant for an earlier life must match no question
     * of this one. */
    uint64_t seed;
    struct oak_raft_alloc alloc;

    /* Milliseconds of the host's monotonic clock, as given to oak_raft_tick(). The election
     * time-out is drawn anew each time from [election_ms, 2 * election_ms). election_ms >= 3 *
     * heartbeat_ms. */
    uint32_t heartbeat_ms; /* 0: 100 */
    uint32_t election_ms;  /* 0: 1000 */

    /* Who should lead. A member lets others of higher priority stand first, as far as it knows of
     * any that could: for at most four election time-outs, so that any majority elects somebody.
     * All 0: nobody is preferred. */
    uint8_t priority;
    /* A leader hands over to a member of higher priority that has caught up, once it has led, or
     * has last tried, for so long. 0: never. */
    uint32_t priority_calm_ms;

    /* Limits in bytes and counts; 0 takes the default. */
    size_t entry_bytes_max;      /* 2 MiB: one payload */
    size_t append_bytes_max;     /* 1 MiB: payloads in one append message (one entry always fits) */
    size_t append_entries_max;   /* 4096: entries in one append message */
    size_t inflight_bytes_max;   /* 8 MiB: sent to one follower and not acknowledged */
    size_t inflight_entries_max; /* 65536: likewise, in entries */
    size_t inflight_messages_max; /* 256: appends sent to one follower and not acknowledged */
    size_t uncommitted_bytes_max; /* 64 MiB: proposed and not committed, on a leader */
    size_t log_bytes_max;   /* 256 MiB: the log in memory of a follower, with 64 bytes an entry: it
                               ignores appends past it. At least twice uncommitted_bytes_max */
    size_t apply_bytes_max; /* 4 MiB: payloads in one output's `apply` (one entry always fits) */

    /* What was recovered from disk. On a first start: zeros, and `snapshot` {index 0, the group's
     * bootstrap configuration}. `entries` follow each other from snapshot.index + 1; payloads are
     * copied. `applied` >= snapshot.index: what the state machine has already applied durably.
     * Everything given here counts as durable. The commit hint never outruns the log on disk, so a
     * hint or an `applied` behind the last entry means that the end of the log is lost: EINVAL. A
     * state machine that was restored from a snapshot whose record did not reach the log is ahead
     * of it too: then give that snapshot, and no entries.
     * `snapshot.config` is the configuration as of `applied`, not as of snapshot.index: the newest
     * that came out of `apply` up to there, or came with the snapshot. Entries up to `applied`
     * don't count for it any more; those above take effect in their order. */
    struct oak_raft_hard_state hard_state;
    struct oak_raft_snapshot snapshot;
    const struct oak_raft_entry *entries;
    size_t entry_count;
    uint64_t applied;
    /* Part of the log that was durable once is lost. `hard_state` has the newest term and vote (a
     * member that lost those too must never come back under its id); its commit hint is not
     * believed, and the entries are what is left. The member follows and acknowledges what it has,
     * but neither votes nor campaigns until its log holds all that it can have acknowledged before:
     * then a batch says `doubt_lifted`. The host keeps the doubt on disk until that batch is. */
    bool in_doubt;
};

/* Write all of this, in this order, then one sync, then oak_raft_persisted(token). Batches complete
 * in the order of their tokens; up to 64 may be under way, past that the next one gathers. A batch
 * with nothing in it has token 0. */
struct oak_raft_persist {
    uint64_t token;
    /* A snapshot to install first: the log up to its index is replaced by it (an older log is
     * dropped, a longer one that matches is kept behind it), and the state machine must be restored
     * from it. */
    const struct oak_raft_snapshot *restore;
    bool restore_keeps_log; /* the log continues behind the snapshot: its entries stay valid */
    bool hard_state_changed;
    struct oak_raft_hard_state hard_state;
    /* An entry whose index is already in the log on disk replaces it and everything behind it. */
    const struct oak_raft_entry *entries;
    size_t entry_count;
    bool doubt_lifted; /* write down behind the entries that the log is known again */
    bool must_sync; /* false: only the commit hint changed; it may be written with the next batch */
};

/* Reads that were asked for with oak_raft_read(). They complete in the order of their sequence
 * numbers: one row stands for all numbers up to and with `seq` that were not answered before. */
struct oak_raft_read_done {
    uint64_t seq;
    uint64_t index; /* serve the read once applied >= index */
    bool lost;      /* leadership changed or no answer came: ask again */
};

/* A peer can't be served from the log. Send it a snapshot of the state machine at any index from
 * `index_min` (what this core has applied will do), have its host make it durable and then step a
 * OAK_RAFT_MSG_SNAPSHOT there; tell this core how it went with oak_raft_snapshot_sent(). */
struct oak_raft_snapshot_want {
    uint64_t peer;
    uint64_t index_min;
};

/* What the host's clocks say at this moment: read for this call, after what it asks about. */
struct oak_raft_now {
    uint64_t mono_ms; /* of the clock that oak_raft_tick() is given; counts suspended time */
    /* The latest that it can be by a clock all members share within a known error, in milliseconds
     * since any moment; 0: there is no such clock, or its error is not known. */
    uint64_t wall_latest_ms;
};

enum oak_raft_lease_kind {
    OAK_RAFT_LEASE_NONE,      /* ask by oak_raft_read() */
    OAK_RAFT_LEASE_OWN,       /* any read may be served once applied >= index */
    OAK_RAFT_LEASE_INHERITED, /* ... but for one that an entry in limbo may bear on: it waits */
};

struct oak_raft_lease {
    enum oak_raft_lease_kind kind;
    uint64_t index;
    /* INHERITED: entries limbo_first .. limbo_last may have been committed by an earlier leader.
     * None when first > last. */
    uint64_t limbo_first;
    uint64_t limbo_last;
};

struct oak_raft_output {
    struct oak_raft_persist persist;
    const struct oak_raft_msg *send; /* may leave now */
    size_t send_count;
    const struct oak_raft_entry *apply; /* committed, durable here, in order, each once */
    size_t apply_count;
    const struct oak_raft_read_done *reads;
    size_t read_count;
    const struct oak_raft_snapshot_want *snapshots;
    size_t snapshot_count;
};

struct oak_raft_status {
    uint64_t id;
    uint64_t group;
    enum oak_raft_role role;
    uint64_t term;
    uint64_t vote;
    uint64_t leader; /* 0: unknown */
    uint64_t commit;
    uint64_t applied; /* reported by oak_raft_applied() */
    uint64_t first;   /* index of the oldest entry in memory; last + 1 when there is none */
    uint64_t last;    /* index of the newest entry */
    uint64_t last_term;
    uint64_t durable; /* index up to which this member's log is on disk */
    /* What any later start finds, if the disk keeps what it has: this term or a higher one; in it
     * this vote, if one was given, and the log up to this index at the least. */
    uint64_t kept_term;
    uint64_t kept_vote;
    uint64_t kept_index;
    uint64_t transfer;     /* leader: to whom it hands over; 0: to nobody */
    uint64_t config_index; /* of the entry, or snapshot, that brought the configuration in force */
    bool in_doubt;         /* no votes until the log is known again; see the options */
    size_t log_bytes;      /* payload bytes held in memory */
    size_t uncommitted_bytes;
    uint64_t lease_left_ms; /* a leader: how long its lease holds, as of the last tick; 0: none */
    bool commit_deferred; /* a new leader that commits nothing until the last one's lease is over */
};

/* How a leader sees one peer. */
struct oak_raft_peer_status {
    uint64_t id;
    uint64_t match; /* known to be durable there */
    uint64_t next;  /* the next entry to send */
    bool learner;
    bool leaving;       /* has a vote in the outgoing half only */
    bool active;        /* heard from within the last election time-out */
    uint64_t silent_ms; /* since it was heard last, or since this member leads */
    bool ready;         /* a learner that has caught up: it may be made a voter */
    uint8_t priority;
    bool doubtful; /* it said last that it is in doubt: it has no vote to give */
    enum { OAK_RAFT_PEER_PROBE, OAK_RAFT_PEER_REPLICATE, OAK_RAFT_PEER_SNAPSHOT } state;
    size_t inflight_bytes;
    size_t inflight_entries;
    /* What was measured of the path to it, and what may be on the way because of it (64 bytes an
     * entry are added to its payload in both). 0: nothing was acknowledged yet. */
    size_t window_bytes;
    uint64_t round_trip_us;
    uint64_t bytes_a_second;
};

/* What must not happen, and has. The core has stopped. */
enum oak_raft_contradiction {
    OAK_RAFT_SOUND = 0,
    OAK_RAFT_TWO_LEADERS,       /* `from` says that it leads in `term`, and so does `leader` */
    OAK_RAFT_COMMITTED_DIFFERS, /* `from` leads and has another entry at a committed `index` */
    OAK_RAFT_LEADER_DIFFERS,    /* ... at an `index` at which it has shown this one before */
    OAK_RAFT_LOG_LOST, /* this member acknowledged `index` to `from`, and its log ends before it */
};

struct oak_raft_evidence {
    enum oak_raft_contradiction what;
    uint64_t from; /* who sent the message that showed it */
    uint64_t leader;
    uint64_t term;      /* this member's */
    uint64_t term_from; /* the message's */
    uint64_t index;
    uint64_t entry_term_here; /* of the entry at `index`; 0: not known */
    uint64_t entry_term_there;
    uint64_t commit;
    uint64_t last;
};

struct oak_raft;

/* Make a core. `options` and all it points to are borrowed for the call.
 * EINVAL: the recovered state contradicts itself; the core names no disk, so the host explains.
 * ENOMEM. */
OAK_RAFT_API int oak_raft_new(const struct oak_raft_options *options, struct oak_raft **out);
OAK_RAFT_API void oak_raft_free(struct oak_raft *r);

/* Time has come to `now_ms`. Call at least every heartbeat_ms / 2, with a clock that never goes
 * back (a call with an older time changes nothing). The first call sets the start. A long gap (a
 * paused process) counts as what it is: a leader that was away for an election time-out steps down
 * by check quorum before it does anything else. */
OAK_RAFT_API int oak_raft_tick(struct oak_raft *r, uint64_t now_ms);

/* The same clock, in microseconds. It is used for nothing but measuring how long messages are on
 * their way, and how much may be on the way because of that (below the inflight limits). Call it
 * before messages are stepped and before output is taken; a host that never does gets the limits
 * themselves. An older time changes nothing. */
OAK_RAFT_API void oak_raft_clock(struct oak_raft *r, uint64_t now_us);

/* A message has come. EINVAL: it was malformed; it is ignored.
 * ENOMEM: it is ignored, as if lost (also when a thousand answers wait to be taken). EHALTED: it
 * shows that a vote or an acknowledgement was lost or forged, here or elsewhere: two leaders in a
 * term, a leader that contradicts what is committed. Nothing can be trusted any more: this core
 * does no further work, whatever is called. Keep oak_raft_evidence(), tell people, and end. */
OAK_RAFT_API int oak_raft_step(struct oak_raft *r, const struct oak_raft_msg *msg);

/* Append to the log, if this member leads. The payload is copied. *index and *term (may be NULL)
 * name the entry: it is committed when an entry of that index comes out of `apply`, provided it has
 * that term. ENOTLEADER, EBUSY, ETOOLARGE, ENOMEM. */
OAK_RAFT_API int oak_raft_propose(struct oak_raft *r, const void *data, size_t size,
                                  uint64_t *index, uint64_t *term);

/* Propose `target` as the configuration: a simple one, checked. It is in force as soon as it is in
 * the log here. A change of voters, be it of one, goes through a joint configuration: with two
 * majorities at every step the proof is the same for any change, and one path is tested instead of
 * two. When the joint entry has committed, the leader (this one or the next) appends the leaving
 * one by itself; the change is done when that one comes out of `apply`: a configuration with no
 * outgoing voters. A change of learners or of the lease alone needs no second phase. *index and
 * *term (may be NULL) name the first entry.
 *
 * A new voter must be a learner that has caught up (`ready` in oak_raft_peers()): a voter with an
 * empty log, or one that does not exist, would only put the majority further away. A leader that is
 * not among the new voters leads until it is left out for good, not counting itself, and steps
 * down. ENOTLEADER; EINVAL: malformed, or what is in force already; EPENDING: a change is under
 * way, or this leader has committed nothing in its term yet; ENOTREADY; ENOMEM. */
OAK_RAFT_API int oak_raft_change(struct oak_raft *r, const struct oak_raft_config *target,
                                 uint64_t *index, uint64_t *term);

/* Ask for a read index (linearizable read). *seq numbers the request; the answer comes in `reads`.
 * Only reads asked for before a confirmation round began are answered by it. On a follower the
 * leader is asked. ENOLEADER when none is known. A read asked of a leader that has not committed in
 * its own term yet waits. */
OAK_RAFT_API int oak_raft_read(struct oak_raft *r, uint64_t *seq);

/* -- reads by lease (lease_ms of the configuration; docs/internals/reads.md has the proof) ----- */

/* May a read that was asked for before `now` was read off the clocks be served without asking
 * anybody? Serve it from the state machine once it has applied out->index. */
OAK_RAFT_API void oak_raft_lease(struct oak_raft *r, const struct oak_raft_now *now,
                                 struct oak_raft_lease *out);

/* By an own lease, answer all reads that wait here, those of followers too: they come out of the
 * next take. Without one nothing changes, and the next take begins a round. Call it before a take.
 * False: nothing was answered. */
OAK_RAFT_API bool oak_raft_lease_grant(struct oak_raft *r, const struct oak_raft_now *now);

/* The earliest that it can be by the shared clock (see oak_raft_now); 0: not known any more. Call
 * it before each tick. A leader writes it into the entries that keep its lease. */
OAK_RAFT_API void oak_raft_wall(struct oak_raft *r, uint64_t earliest_ms);

/* The entry at `index`, to look at until the next call that is not const; false when it is
 * compacted or not there. */
OAK_RAFT_API bool oak_raft_entry_at(const struct oak_raft *r, uint64_t index,
                                    struct oak_raft_entry *out);

/* The work that has gathered. Valid as told at the top. Call it after every burst of inputs, and
 * again while oak_raft_has_output() says so. */
OAK_RAFT_API const struct oak_raft_output *oak_raft_take(struct oak_raft *r);
OAK_RAFT_API bool oak_raft_has_output(const struct oak_raft *r);

/* Everything up to and with the batch of `token` is durable. A token of a batch whose entries were
 * replaced meanwhile is recognised: only what is still in the log counts. */
OAK_RAFT_API void oak_raft_persisted(struct oak_raft *r, uint64_t token);

/* The state machine has applied everything up to `index` (as given by `apply` or `restore`). */
OAK_RAFT_API void oak_raft_applied(struct oak_raft *r, uint64_t index);

/* Drop the log up to and with `index` from memory. The host calls it when a snapshot or the state
 * machine holds that much durably, and keeps what slow followers may need. ERANGE: not applied yet,
 * or gone. */
OAK_RAFT_API int oak_raft_compact(struct oak_raft *r, uint64_t index);

/* The term of the entry at `index`: true when it is known (in the log, or the last one compacted).
 */
OAK_RAFT_API bool oak_raft_term_at(const struct oak_raft *r, uint64_t index, uint64_t *term);

/* A snapshot at `index` has been sent to `peer` whole (ok) or the sending has failed. */
OAK_RAFT_API void oak_raft_snapshot_sent(struct oak_raft *r, uint64_t peer, uint64_t index,
                                         bool ok);

/* It has turned out that this member may have promised more in an earlier life than it has now:
 * from here on it is as one that was started `in_doubt`. A leader steps down; what was about to be
 * promised is not. */
OAK_RAFT_API void oak_raft_doubt(struct oak_raft *r);

/* The connection to `peer` broke: what was in flight may be lost; go back to probing. */
OAK_RAFT_API void oak_raft_unreachable(struct oak_raft *r, uint64_t peer);

/* Start an election now, without waiting for the time-out (a single-member group at start; tests),
 * with its pre-vote. On a leader nothing happens. EINVAL: this member has no vote, or is in doubt.
 * ENOMEM. */
OAK_RAFT_API int oak_raft_campaign(struct oak_raft *r);

/* Hand leadership to `to`; 0: to the best of the voters that are there, by priority first, then by
 * what they have. Until it is done, or an election time-out has passed, this leader takes no
 * proposals and no changes (ETRANSFER) and answers no read by lease; then it goes on as before. It
 * is done when this member does not lead any more; oak_raft_status() tells. ENOTLEADER; EINVAL:
 * `to` has no vote to come; EPENDING: another transfer is under way; ENOTREADY: it is not there. */
OAK_RAFT_API int oak_raft_transfer(struct oak_raft *r, uint64_t to);

OAK_RAFT_API void oak_raft_status(const struct oak_raft *r, struct oak_raft_status *out);
/* The configuration in force: the newest in the log, committed or not. What belongs to a snapshot
 * is the one applied last instead (the host keeps it from `apply` and `restore`). */
OAK_RAFT_API const struct oak_raft_config *oak_raft_config(const struct oak_raft *r);
/* Fills up to `capacity` rows, sorted by id, on a leader (none elsewhere). Returns how many. */
OAK_RAFT_API size_t oak_raft_peers(const struct oak_raft *r, struct oak_raft_peer_status *rows,
                                   size_t capacity);

/* What has halted this core; false: nothing has. */
OAK_RAFT_API bool oak_raft_evidence(const struct oak_raft *r, struct oak_raft_evidence *out);
OAK_RAFT_API const char *oak_raft_contradiction_text(enum oak_raft_contradiction what);

/* A configuration as bytes: in entries, snapshots, files and frames alike. encode writes at most
 * OAK_RAFT_CONFIG_BYTES_MAX and returns how many; decode takes exactly `size` bytes and believes
 * nothing: EINVAL. check: EINVAL when the rules at the struct are broken. */
OAK_RAFT_API size_t oak_raft_config_encode(const struct oak_raft_config *config, uint8_t *out);
OAK_RAFT_API int oak_raft_config_decode(const void *data, size_t size, struct oak_raft_config *out);
OAK_RAFT_API int oak_raft_config_check(const struct oak_raft_config *config);

/* "follower", ... */
OAK_RAFT_API const char *oak_raft_role_name(enum oak_raft_role role);
OAK_RAFT_API const char *oak_raft_error_text(int error);

#ifdef __cplusplus
}
#endif
#endif
