/* SPDX-License-Identifier: Apache-2.0 */
/* replica.h: one member at work: Raft, its log on disk, and the state machine, wired together.
 *
 * The replica is an actor on one loop. It owns the Raft core and the state machine, hands batches
 * to the journal, frames to the transport, and long work to a worker; all of them are given to
 * it, so that the simulator runs the same code.
 *
 * What waits for what (asserted in pump.c):
 *   a message that promises durability   for the log writer's sync (inside the Raft core)
 *   applying an entry                    for its commit, and for its sync here
 *   a client's answer                    for the store's batch that holds its effect
 *   a linearizable read                  for a read index or a lease, then until that index is
 * applied
 *   releasing the log on disk            for the store's flush
 *   telling Raft of a snapshot           for its file to be durable, and the store to be built
 *                                        beside the old one
 *   switching to it                      for the log's mark of it
 *
 * Threads: its loop's. The callbacks of requests run on it, never from inside the call that made
 * them.
 */
#ifndef OAK_REPLICA_H
#define OAK_REPLICA_H

#include "journal/journal.h"
#include "kv/kv.h"
#include "oakum/raft.h"
#include "peer/peer.h"
#include "port/port.h"
#include "store/store.h"

struct oak_replica;

/* Sends a frame (peer.h) to a member, or loses it. `bulk`: it may wait behind others. Borrowed
 * bytes. */
struct oak_replica_transport {
    void (*send)(void *user, uint64_t to, bool bulk, struct oak_bytes frame);
    void *user;
};

#define OAK_REPLICA_UNLIMITED UINT64_MAX

struct oak_replica_options {
    uint64_t cluster;
    uint64_t id;
    uint64_t group;
    /* What this member publishes of itself through the log. Borrowed for its life. */
    const char *name;
    const char *const *client_urls;
    size_t client_url_count;
    const char *const *peer_urls; /* those it was born with; they count until others are said */
    size_t peer_url_count;

    /* Who is in the group from the start. Nobody: this member waits until a leader finds it. */
    struct oak_raft_config bootstrap;
    /* A store or a snapshot that is lost puts the member in doubt, and its peers give it the state
     * anew (docs/internals/repair.md). Not for a group of one. */
    bool repair;
    /* The store is read again, so many bytes a second (0: never), with a rest behind each pass. */
    uint64_t scrub_rate;
    uint64_t scrub_rest_ms;
    uint32_t heartbeat_ms; /* 0: 100 */
    uint32_t election_ms;  /* 0: 1000 */
    /* Who should lead (raft.h); a leader hands over to a better one after ten election time-outs.
     */
    uint8_t priority;
    /* Every member's wall clock is within this of true time, by whatever keeps it so. 0: nobody
     * promises that, and a new leader reads nothing by its predecessor's lease. */
    uint32_t clock_error_ms;
    /* Once in each term that it leads, this member makes these the configuration's, where they
     * differ. `bootstrap` must not name them instead: it would have to be the same everywhere, and
     * what is changed through the log is so by itself. */
    bool lease_wanted;
    uint32_t lease_ms;
    uint32_t drift_ppm;
    /* How often what is left of a client's lease that lives longer is written down. 0:
     * OAK_LEASE_CHECKPOINT_MS; less than OAK_LEASE_CHECKPOINT_MS_MIN is that;
     * OAK_REPLICA_UNLIMITED: never. */
    uint64_t lease_checkpoint_ns;
    uint32_t txn_ops_max;     /* 0: OAK_TXN_OPS_MAX */
    size_t request_bytes_max; /* 0: OAK_REQUEST_BYTES_MAX */
    size_t flush_bytes;       /* of log between two flushes of the store; 0: 32 MiB */
    size_t store_waiting_max; /* applied to a store that is full; 0: OAK_STORE_WAITING_BYTES_MAX */
    size_t append_bytes_max;  /* of entries in one message to a follower; 0:
                                         OAK_APPEND_BYTES_MAX */
    size_t log_held_entries;  /* kept for one that catches up; 0:
                                         OAK_LOG_HELD_ENTRIES_MAX */
    size_t log_tail_entries;  /* kept for slow followers; 0: OAK_LOG_TAIL_ENTRIES_MAX */
    /* The log is kept for a follower that is silent for less, or for less than an election
     * time-out; 0: OAK_LOG_AWAY_MS. */
    uint64_t log_away_ms;
    /* Bytes of the log, 0 each for the limit of that name: kept for slow followers; kept for one
     * that catches up; proposed and not committed; sent to one follower and not acknowledged; in a
     * follower's memory, at least what is held and twice what may be uncommitted. */
    size_t log_tail_bytes;
    size_t log_held_bytes;
    size_t uncommitted_bytes;
    size_t inflight_bytes;
    size_t log_bytes;
    uint32_t
        note_ms; /* between two times that all are told how far this member is; 0: OAK_NOTE_MS */
    bool keeps_leadership; /* however slow its disk or CPU is */
    bool waits_for_nobody; /* clients are never slowed for a follower */
    /* Of snapshots, 0 each for the limit of that name: bytes of a chunk, of a sender's window, sent
     * in a second, received between two syncs. */
    size_t snapshot_chunk_bytes;
    size_t snapshot_window_bytes;
    uint64_t snapshot_send_rate; /* OAK_REPLICA_UNLIMITED: no limit */
    size_t snapshot_sync_bytes;

    const struct oak_loop *loop;
    struct oak_journal
        *journal;           /* open; of all groups of the process. Owned by the caller, who closes
                                    it after the replica is freed */
    struct oak_exec worker; /* an actor that may block, for snapshots and flushes */
    const struct oak_disk *disk;
    const char *dir; /* <dir>/snap is made below it. Borrowed for its life */
    struct oak_store
        *store; /* open; owned by the caller, who closes it after the replica is freed */
    struct oak_replica_transport transport;
    const struct oak_log *log;
    /* The configuration in force is another one (also one that may yet be cut off), or what is
     * known of members is: the transport must reach whom it names. Borrowed for the call; the first
     * one comes from within oak_replica_open(). NULL for none. */
    void (*members_changed)(void *user, const struct oak_raft_config *config);
    /* This member has come to lead in `term`, or another one has, or nobody. NULL for none. */
    void (*leadership)(void *user, bool leads, uint64_t term);
    /* Each entry as it is applied, in order (checkers, sinks), empty unless it was proposed as a
     * command; NULL for none. */
    void (*applied)(void *user, uint64_t index, uint64_t term, struct oak_bytes entry);
    /* As kv's option of that name; with `user`. NULL for none. */
    void (*token_granted)(void *user, const struct oak_authz_who *who, struct oak_bytes digest);
    /* The process must end: what is on disk is unknown, or the state is proven wrong. Called once.
     */
    void (*fatal)(void *user, int error, const char *text);
    void *user;
};

/* Recover (blocks on the disk) and start. `e` says what is wrong and what to do. */
OAK_MUST_USE int oak_replica_open(const struct oak_replica_options *options,
                                  struct oak_replica **out, struct oak_errbuf *e);
/* Stop: every waiting request ends with OAK_ESTOPPED; then, once the log writer and the worker have
 * given back what they hold, `closed` is called from the loop and the replica is gone. */
void oak_replica_close(struct oak_replica *r, void (*closed)(void *user), void *user);

/* A frame came in from the transport. */
void oak_replica_receive(struct oak_replica *r, struct oak_bytes frame);
/* The transport lost its connection to `peer`. */
void oak_replica_lost(struct oak_replica *r, uint64_t peer);

/* -- requests: embed one, keep it until `done` or forget ----------------------------------------
 */

struct oak_replica_request {
    /* Set by the caller. `result` is NULL on error; else borrowed for the call: a response with its
     * header whole. */
    void (*done)(struct oak_replica_request *request, int error,
                 const struct oak_kv_result *result);
    uint64_t deadline_ns; /* monotonic; 0: the default (5 s + 2 election time-outs) */
    /* A command: for whom it is, borrowed for the call; zeroed: auth is off, or nobody asked. */
    struct oak_authz_who who;
    /* A read: what it answers by, borrowed until its end; NULL: everything, the revision too. */
    const struct oak_kv_reach *reach;
    /* The replica's. */
    uint64_t id;
    uint64_t forward_seq;
    struct oak_list link;
    int state;
};

/* Propose a command. The request's bytes are copied; they have passed oak_kv_check. On error `done`
 * is not called: OAK_EREQUESTTOOLARGE, OAK_ETOOMANYREQUESTS, OAK_ESTOPPED, OAK_ENOMEM. */
OAK_MUST_USE int oak_replica_propose(struct oak_replica *r, enum oak_kv_kind kind,
                                     struct oak_bytes bytes, struct oak_replica_request *request);
/* `done` shall not be called any more (the client is gone). What was proposed may still happen. */
void oak_replica_forget(struct oak_replica *r, struct oak_replica_request *request);

/* Wait until this member has applied everything that was committed when the call was made: then
 * done(error 0, NULL) and the state may be read. OAK_ETOOMANYREQUESTS, OAK_ESTOPPED. */
OAK_MUST_USE int oak_replica_read(struct oak_replica *r, struct oak_replica_request *request);

/* May a linearizable read be done on the state as it is here, at once, before this turn of the loop
 * goes on? True by a lease alone (raft.h); false says nothing: oak_replica_read then. The call is
 * the moment at which the read counts: make it when the read has come, not before. `reach` as in a
 * request. */
bool oak_replica_read_now(struct oak_replica *r, const struct oak_kv_reach *reach);

/* etcd's hash of the history (HashKV): embed one, keep it until `done` or forget. */
struct oak_replica_hash {
    /* Set by the caller. */
    void (*done)(struct oak_replica_hash *hash, int error);
    int64_t revision; /* as of this one; 0: the newest; then the one it was */
    /* The answer. */
    int64_t compacted;
    uint32_t hash;
    /* The replica's. */
    struct oak_list link;
    bool waits;
};
/* Worked out beside everything else. done() may tell: OAK_ECOMPACTED; OAK_EAGAIN: something that
 * goes first needed the store; and what reading it fails by. The call itself: OAK_EFUTUREREV,
 * OAK_ECOMPACTED, OAK_ETOOMANYREQUESTS, OAK_ESTOPPED. */
OAK_MUST_USE int oak_replica_hash(struct oak_replica *r, struct oak_replica_hash *hash);
void oak_replica_hash_forget(struct oak_replica *r, struct oak_replica_hash *hash);
/* The store gives space back, in the background. */
void oak_replica_squeeze(struct oak_replica *r);
/* -- leases of clients: embed one, keep it until `done` or forget --------------------------------
 */

/* A keepalive, or a question how long a lease has left. The leader answers, with its leadership
 * confirmed after the question was put. */
struct oak_replica_lease {
    /* Set by the caller; the answer counts where `error` is 0. */
    void (*done)(struct oak_replica_lease *ask, int error);
    int64_t id;
    bool renew;           /* a keepalive */
    uint64_t deadline_ns; /* monotonic; 0: the default, as of a request */
    /* The answer: what was granted (0: there is no such lease), and what is left of it: below 0
     * just before it is revoked. This member has applied what a question was answered by. */
    int64_t ttl_s;
    int64_t left_ns;
    /* The replica's. */
    struct oak_replica *replica;
    struct oak_replica_request read;
    struct oak_list link;
    uint64_t number;
    uint64_t term;
    uint64_t index;
    uint64_t sent_ns;
    bool answered;
    int state;
};

/* Ask. `done` may tell: OAK_ETIMEOUT and its kin: nobody could answer in time. On error of the call
 * itself it is not called: OAK_ETOOMANYREQUESTS, OAK_ESTOPPED. */
OAK_MUST_USE int oak_replica_lease_ask(struct oak_replica *r, struct oak_replica_lease *ask);
/* `done` shall not be called any more. */
void oak_replica_lease_forget(struct oak_replica *r, struct oak_replica_lease *ask);
/* The shortest life that a lease is granted, in seconds: one and a half election time-outs, so that
 * a keepalive finds a leader before it ends. */
int64_t oak_replica_lease_ttl_min(const struct oak_replica *r);
/* Ids of leases in the order in which they will end, up to `capacity`; *count: how many there are.
 * False: another member decides that. */
bool oak_replica_lease_ids(struct oak_replica *r, int64_t *out, size_t capacity, size_t *count);

/* Make `target` the configuration, as oak_raft_change() says; on the leader only. done(error 0,
 * NULL) once all of it is applied here, the leaving of the joint configuration too. `done` may
 * tell: OAK_ENOTLEADER; OAK_EAGAIN: another change is under way, or the leader is too new;
 * OAK_ELEARNERNOTREADY: a new voter is no learner yet, has not caught up, or has forgotten what it
 * promised; OAK_EINVAL; OAK_ELEADERCHANGED: it did not happen; OAK_ETIMEOUT: it may still happen.
 * The call itself: OAK_ESTOPPED, OAK_EAGAIN, OAK_EINVAL. */
OAK_MUST_USE int oak_replica_reconfigure(struct oak_replica *r,
                                         const struct oak_raft_config *target,
                                         struct oak_replica_request *request);

/* Hand leadership to `to` (0: to the best), as oak_raft_transfer() says; watch the status. While it
 * lasts, commands wait. OAK_ENOTLEADER, OAK_ESTOPPED. */
OAK_MUST_USE int oak_replica_transfer(struct oak_replica *r, uint64_t to);
/* Before a member that goes is closed: hand over what it leads. `resigned` is called from the loop
 * once it does not lead, or nobody can take over, or an election time-out has passed; it may close
 * the replica. If that is closed before, it is not called. */
void oak_replica_resign(struct oak_replica *r, void (*resigned)(void *user), void *user);

/* -- looking ----------------------------------------------------------------------------------- */

struct oak_kv *oak_replica_kv(struct oak_replica *r);

struct oak_replica_status {
    struct oak_raft_status raft;
    uint64_t cluster;
    uint64_t leader_changes; /* seen since start */
    uint64_t pending;        /* requests waiting */
    uint64_t proposals_failed;
    uint64_t reads_failed;
    uint64_t reads_leased;            /* answered here by an own lease, without a round */
    uint64_t reads_inherited;         /* ... by a predecessor's */
    uint64_t reads_asked;             /* rounds and questions begun, for one read or many */
    uint64_t reads_indexed;           /* reads that waited for one of those */
    uint64_t reads_fallen_back;       /* ... on a leader with leases: none answered them */
    uint64_t leases_renewed;          /* by this member as a leader: keepalives, */
    uint64_t leases_expired;          /* what it proposed as revoked, */
    uint64_t lease_checkpoints;       /* and wrote down of what was left of one */
    uint64_t snapshots_sent;          /* and installed there */
    uint64_t snapshot_sends;          /* begun */
    uint64_t snapshot_rewinds;        /* a receiver wanted again what had been sent */
    uint64_t snapshot_sent_bytes;     /* repeated ones included */
    uint64_t snapshot_received_bytes; /* that were wanted */
    uint64_t snapshots_received;
    uint64_t snapshots_resumed; /* a part file of an earlier life was gone on with */
    uint64_t snapshots_refused; /* for want of space, or damage */
    uint64_t snapshots_damaged; /* a whole file was not what was sent */
    uint64_t syncs;             /* of the log that all groups share */
    uint64_t sync_ns_total;     /* time spent in them */
    uint64_t applied;           /* by the state machine */
    /* On a leader: whom clients wait for because it catches up (0: nobody), what they may propose
     * meanwhile (bytes a second), and how often one had to wait or was refused since the start. */
    uint64_t laggard;
    uint64_t pace;
    uint64_t paced;
    /* How this member fares, smoothed: a batch of the log until it is durable, and how late its
     * timers fire; and how often it let another lead because of that. */
    uint64_t sync_us;
    uint64_t lag_us;
    uint64_t handovers;
    uint64_t disk_free_bytes; /* where the log is; UINT64_MAX: not known */
    uint64_t scrubs;          /* passes over the log on disk */
    uint64_t scrub_ns;        /* the last one took; 0: none yet */
    bool log_damaged;         /* found by it, with nobody to repair it */
    uint64_t store_scrubs;    /* passes over the store */
    uint64_t store_scrub_ns;  /* the last one took; 0: none yet */
    bool store_damaged;       /* found by anybody, with nobody to repair it */
    bool disk_scarce;         /* the alarm NOSPACE: little space is left, or store_full */
    bool store_full;          /* the store has found no space, and tries again */
    uint64_t store_waiting;   /* bytes that wait in memory because of that */
    uint64_t entries_held;    /* committed ones that can't be applied yet */
    enum oak_peer_past past;  /* does it know what it has promised? SOUND: also after a crash */
    bool mute;                /* it doesn't, and promises nothing for now */
    bool receiving;           /* a snapshot is coming into its file */
    bool installing;          /* one was taken and is not in the store yet */
};
void oak_replica_status(const struct oak_replica *r, struct oak_replica_status *out);
/* The configuration in force, and the one that is applied: who is in the group as of the state. */
const struct oak_raft_config *oak_replica_config(const struct oak_replica *r);
const struct oak_raft_config *oak_replica_config_applied(const struct oak_replica *r);
/* Rows of the Raft core's peers; on a leader. `ready`: oak_replica_reconfigure() would take it. */
size_t oak_replica_peers(const struct oak_replica *r, struct oak_raft_peer_status *rows,
                         size_t capacity);

/* This run of this member, and what it has on disk for sure. */
struct oak_peer_memory oak_replica_past(struct oak_replica *r);
/* What this member remembers of another one, on its disk; false: nothing. */
bool oak_replica_remembers(struct oak_replica *r, uint64_t id, struct oak_peer_memory *out);
/* Of how many others in the group it does. */
size_t oak_replica_remembered(const struct oak_replica *r);

/* OAK_JOURNAL_BUCKETS of them; see struct oak_journal_stats. */
const uint64_t *oak_replica_sync_histogram(const struct oak_replica *r);

#endif
