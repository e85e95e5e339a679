/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of replica share.
 *
 * Every struct here belongs to the loop's thread, but the parts of a job while it is away (`busy`):
 * those belong to the actor that runs it.
 */
#ifndef OAK_REPLICA_INTERNAL_H
#define OAK_REPLICA_INTERNAL_H

#include "peer/peer.h"
#include "replica/gray.h"
#include "replica/pace.h"
#include "replica/replica.h"
#include "snap/snap.h"

/* Where a request stands. */
enum replica_request_state {
    REQUEST_IDLE,
    REQUEST_GATHERED,  /* its command waits for a leader to be known */
    REQUEST_PROPOSED,  /* in our own log */
    REQUEST_FORWARDED, /* sent to the leader */
    REQUEST_CHANGING,  /* of the configuration */
    REQUEST_READ_NEW,  /* a read that has no read index asked for */
    REQUEST_READ_SENT, /* `id` is its read's number */
    REQUEST_READ_WAIT, /* `id` is the index that must be applied */
};

/* A snapshot that is being sent to one member: one chunk under way at a time. */
struct sending {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_store_snapshot *source; /* NULL: the slot is free */
    struct oak_raft_snapshot meta;
    uint64_t peer;
    uint64_t transfer;
    uint64_t offset; /* of the chunk in `chunk` */
    uint8_t *chunk;  /* OAK_SNAPSHOT_CHUNK_BYTES_MAX */
    size_t size;
    uint64_t resend_ns;
    unsigned tries;
    bool last;
    bool busy; /* the worker reads */
    bool dropped;
    int error;
};

/* A snapshot that is being received into a file. */
struct receiving {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_snap_writer *writer;
    struct oak_raft_snapshot meta;
    uint64_t from;
    uint64_t transfer;
    uint64_t term;
    uint64_t offset;
    struct oak_buf chunk;
    struct oak_buf config;
    bool active;
    bool last;
    bool busy;
    int error;
};

/* A received snapshot on its way from its file into the store. */
struct installing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_snap_reader *reader;
    struct oak_store_restore *restore;
    struct oak_raft_snapshot meta;
    struct oak_bytes chunk;
    uint64_t purge_below;
    uint64_t token; /* the log batch that must be durable first */
    bool durable;   /* it is */
    bool active;
    bool busy;
    int error;
    /* Committed entries that came out of Raft meanwhile. */
    struct oak_raft_entry *held;
    size_t held_count;
    size_t held_capacity;
};

struct flushing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_store_flush *flush;
    size_t bytes; /* applied since the last flush began */
    bool busy;
};

struct remote {
    uint64_t id;
    uint64_t boot;        /* of its last frame; 0: none yet */
    uint64_t forward_seq; /* the last forward taken from this run of it */
    bool reachable;       /* a frame came since its connection was last lost */
    bool lost;            /* to be told to Raft */
    struct gray_load load;
    uint64_t load_ns; /* when it told it last; 0: never */
};

/* A change of the configuration that somebody waits for. */
struct changing {
    struct oak_replica_request *request; /* NULL: none */
    struct oak_raft_config target;
    uint64_t index; /* of its first entry; 0: not proposed yet */
    uint64_t term;
    bool lost; /* another entry was applied in its place */
};

struct oak_replica {
    struct oak_replica_options options;
    struct oak_raft *raft;
    struct oak_journal *journal;
    struct oak_journal_group log;
    struct oak_kv *kv;
    char *snap_dir;

    uint64_t boot;
    uint64_t counter; /* of requests; its low part is the slot */
    uint64_t oldest;  /* no request with a smaller counter waits */
    uint64_t pending;
    struct oak_replica_request **slots; /* OAK_PENDING_REQUESTS_MAX */
    struct oak_buf gathered;            /* commands: u64 id, u32 size, bytes */
    uint64_t forward_seq;
    struct pace pace;
    struct gray_meter meter;
    struct gray gray;
    uint64_t load_told_ns;
    struct oak_buf held; /* forwards that wait for the pace: u64 from, boot, seq, u32 size, bytes */
    struct oak_list reads_new;
    struct oak_list reads_sent;
    struct oak_list reads_wait;
    size_t reads_pending;

    struct remote remotes[OAK_PEERS_MAX];
    size_t remote_count;
    struct oak_raft_config config_applied; /* as the store holds it */
    uint64_t config_index;                 /* of the one that the rows of remotes follow */
    bool config_followed;                  /* they follow one */
    struct changing changing;

    struct sending sendings[OAK_SNAPSHOT_SENDS_MAX];
    struct receiving receiving;
    struct installing installing;
    struct flushing flushing;

    struct oak_arena apply_arena;
    struct oak_arena frame_arena;
    struct oak_buf frame;

    struct oak_timer tick;
    struct oak_after after;
    struct oak_replica_request publish;
    bool publishing;
    uint64_t publish_again_ns;
    uint64_t applied_term_seen;
    uint64_t leader_seen;
    struct oak_replica_status counters;

    bool pumping;
    bool failed;
    bool closing;
    bool close_posted;
    struct oak_task close_task;
    void (*closed)(void *user);
    void *closed_user;
};

/* pump.c */
void replica__pump(struct oak_replica *r);
uint64_t replica__now(const struct oak_replica *r);
/* The process must end. */
void replica__fatal(struct oak_replica *r, int error, const char *what);
bool replica__idle(const struct oak_replica *r);
/* A job is back: true while the replica closes, which goes on when it was the last one. */
bool replica__close_check(struct oak_replica *r);

/* recover.c */
int replica__recover(struct oak_replica *r, struct oak_errbuf *e);

/* apply.c */
void replica__apply(struct oak_replica *r, const struct oak_raft_entry *entries, size_t count);
void replica__reads_serve(struct oak_replica *r);

/* requests.c */
struct oak_replica_request *replica__request_take(struct oak_replica *r, uint64_t id);
const struct oak_replica_request *replica__request_find(const struct oak_replica *r, uint64_t id);
void replica__request_end(struct oak_replica *r, struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result);
void replica__dispatch(struct oak_replica *r);
void replica__reads_ask(struct oak_replica *r);
void replica__reads_done(struct oak_replica *r, const struct oak_raft_read_done *done);
void replica__requests_expire(struct oak_replica *r);
void replica__requests_stop(struct oak_replica *r);
/* Requests proposed here under a term below `term` can't commit any more. */
void replica__requests_overtaken(struct oak_replica *r, uint64_t term);
/* Requests forwarded: those with `seq` (0: all of them) end with `error`. */
void replica__forwards_fail(struct oak_replica *r, uint64_t seq, int error);
/* Commands that another member forwarded. */
void replica__forward_take(struct oak_replica *r, struct remote *from,
                           const struct oak_peer_frame *frame);
void replica__publish(struct oak_replica *r);

/* Propose commands that another member forwarded, or answer that they are refused. */
void replica__forward_propose(struct oak_replica *r, uint64_t from, uint64_t seq,
                              struct oak_bytes commands);

void replica__forward_refuse(struct oak_replica *r, uint64_t from, uint64_t seq, int error);

/* load.c: how this member fares, and whether another should lead. `late_ns`: how late the tick
 * came. */
void replica__load_tick(struct oak_replica *r, uint64_t late_ns);
void replica__load_note(struct oak_replica *r, struct remote *from,
                        const struct oak_peer_load *load);

/* hold.c: the pace of proposals while a follower catches up */
void replica__pace_tick(struct oak_replica *r);
/* The commands of a forward wait for their turn. */
void replica__forward_hold(struct oak_replica *r, const struct remote *from, uint64_t seq,
                           struct oak_bytes commands);
/* Those whose turn has come, or that this member can't propose any more. */
void replica__held_release(struct oak_replica *r);
/* lease.c */
struct oak_raft_now replica__clocks(const struct oak_replica *r);
/* Before a tick: what the core is to know of the shared clock. */
void replica__wall_tell(struct oak_replica *r);
/* New reads that a lease answers, and those of followers. */
void replica__reads_by_lease(struct oak_replica *r);

uint64_t replica__default_deadline(const struct oak_replica *r);

/* members.c */
/* What the store holds as the configuration; an old one is given the one of its birth. */
int replica__config_load(struct oak_replica *r);
/* A snapshot was installed: the store tells what it brought. */
int replica__config_installed(struct oak_replica *r, const struct oak_raft_snapshot *snapshot);
/* Into the store's open batch. */
int replica__config_apply(struct oak_replica *r, const struct oak_raft_entry *entry);
/* The row of a member that speaks; NULL: there is no room for strangers. */
struct remote *replica__remote_admit(struct oak_replica *r, uint64_t id);
/* Has the configuration in force changed? */
void replica__members_follow(struct oak_replica *r);
void replica__change_dispatch(struct oak_replica *r);
void replica__change_note(struct oak_replica *r, const struct oak_raft_entry *entry);
/* A batch has been applied. */
void replica__change_applied(struct oak_replica *r);
void replica__change_forget(struct oak_replica *r, struct oak_replica_request *request);
void replica__change_expire(struct oak_replica *r, uint64_t now, int error);

/* frames.c */
struct remote *replica__remote(struct oak_replica *r, uint64_t id);
/* Encode and send: kind and body are set in `frame`, the address is filled here. */
void replica__send(struct oak_replica *r, uint64_t to, bool bulk, struct oak_peer_frame *frame);

/* writer.c */
int replica__log_add(struct oak_replica *r, const struct oak_raft_persist *persist);
void replica__log_durable(struct oak_journal_group *g, uint64_t token, int error);

/* transfer.c (sending), receive.c (receiving and installing) */
void replica__snapshot_start(struct oak_replica *r, const struct oak_raft_snapshot_want *want);
void replica__snapshot_ack(struct oak_replica *r, uint64_t from,
                           const struct oak_peer_chunk_ack *ack);
void replica__snapshot_tick(struct oak_replica *r);
/* End all sendings: the store is about to be replaced. False while the worker still reads for one.
 */
bool replica__snapshots_drop(struct oak_replica *r);
/* The index of the snapshot that is being sent to this member; 0: none is. */
uint64_t replica__snapshot_index(const struct oak_replica *r, uint64_t peer);
void replica__snapshot_fini(struct oak_replica *r);
void replica__chunk_take(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk);
/* Raft took the snapshot; install it once `token` is durable: install_go is told each token as it
 * becomes so (0: something that stood in the way is gone). */
void replica__install_want(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                           uint64_t token);
void replica__install_go(struct oak_replica *r, uint64_t durable_token);
int replica__install_hold(struct oak_replica *r, const struct oak_raft_entry *entries,
                          size_t count);
void replica__receive_fini(struct oak_replica *r);

/* flush.c */
void replica__flush_check(struct oak_replica *r);
void replica__compact_check(struct oak_replica *r);

#endif
