/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of replica share.
 *
 * Every struct here belongs to the loop's thread, but the parts of a job while it is away (`busy`):
 * those belong to the actor that runs it.
 */
#ifndef OAK_REPLICA_INTERNAL_H
#define OAK_REPLICA_INTERNAL_H

#include "peer/peer.h"
#include "replica/beside.h"
#include "replica/gray.h"
#include "replica/leases.h"
#include "replica/pace.h"
#include "replica/past.h"
#include "replica/replica.h"
#include "snap/snap.h"

#define NS_A_MS 1000000ull

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

/* transfer.c draws the states. */
enum sending_state { SENDING_FREE, SENDING_OFFERED, SENDING_STREAMING, SENDING_WAITING };

struct sending_chunk {
    uint64_t offset;
    size_t size;
    size_t slot; /* of `memory` */
};

/* A snapshot that is being sent to one member. */
struct sending {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    enum sending_state state;
    struct oak_store_snapshot *source; /* STREAMING */
    struct oak_raft_snapshot meta;
    uint64_t peer;
    uint64_t transfer;
    uint64_t lead;      /* the term in which we led when it began */
    uint64_t index_min; /* what Raft asks for */
    uint64_t held;      /* the index of the snapshot that goes first; 0: ours */
    /* The window: chunks that were read, in the order of the stream; the first `sent` are out. */
    uint8_t *memory; /* `slots` of `chunk_bytes` */
    size_t chunk_bytes;
    size_t slots;
    struct sending_chunk chunks[OAK_SNAPSHOT_WINDOW_CHUNKS_MAX]; /* a ring from `first` */
    size_t first, count, sent;
    uint64_t acked;    /* everything before it is written there */
    uint64_t read_end; /* behind the last chunk of the window */
    uint64_t end;      /* of the stream; NO_END: not seen yet */
    uint64_t top;      /* the largest read_end there was */
    bool end_told;
    uint64_t ask_ns;   /* when to ask the receiver where it is, or to offer again */
    uint64_t heard_ns; /* of the receiver */
    uint64_t back_offset, back_ns;
    /* The worker's while busy. */
    struct sending_chunk reading;
    size_t reading_slot;
    uint8_t *reading_to;
    bool reading_last;
    int error;
    bool busy;
    bool dropped; /* to end once the worker is back */
};

/* What all sendings together may send. */
struct bucket {
    int64_t tokens; /* bytes; below 0: a chunk went beyond */
    uint64_t filled_ns;
};

/* receive.c draws the states. */
enum receiving_state { RECEIVING_NONE, RECEIVING_LEFT, RECEIVING_FILE };

/* A snapshot that is being received into a file. */
struct receiving {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    enum receiving_state state;
    struct oak_snap_writer *writer; /* the worker's while busy */
    struct oak_raft_snapshot meta;
    struct oak_buf config; /* of it, encoded */
    uint64_t from;
    uint64_t transfer;
    uint64_t lead;       /* the term in which `from` led when it began */
    uint64_t written;    /* everything before it is in the file */
    uint64_t expected;   /* the next that is wanted: behind written, `away` and `next` */
    uint64_t grown_ns;   /* when it last brought something, or the file grew */
    struct oak_buf next; /* what has come since the worker was given `away` */
    struct oak_buf away; /* the worker's while busy */
    uint64_t unsynced;   /* bytes; the worker's */
    bool last;           /* the stream ends with `next` */
    bool away_last;
    bool busy;
    int error;
};

/* install.c draws the states. */
enum installing_state {
    INSTALL_NONE,
    INSTALL_BUILDING,
    INSTALL_BUILT,
    INSTALL_TAKEN,
    INSTALL_COMMITTING,
};

/* A received snapshot on its way from its file into the store. */
struct installing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    enum installing_state state;
    bool active; /* Raft has taken it, and the store has not */
    struct oak_snap_reader *reader;
    struct oak_store_restore *restore;
    struct oak_raft_snapshot meta;
    uint64_t from;
    uint64_t transfer;
    uint64_t lead;
    uint64_t built_ns; /* BUILT since */
    uint64_t token;    /* the log batch that must be durable first; 0: not known yet */
    bool durable;      /* it is */
    bool whole;        /* the worker has built all of it */
    bool busy;
    int error;
};

/* Committed entries that can't be applied yet: a snapshot is being installed, or the store is full.
 * Their payloads are the core's. */
struct applying {
    struct oak_raft_entry *held;
    size_t held_first;
    size_t held_end;
    size_t held_capacity;
};

struct flushing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_store_flush *flush;
    size_t bytes;      /* applied since the last flush began */
    uint64_t after_ns; /* the last one failed for now: no other before; 0: none has */
    uint64_t released; /* the log up to there */
    bool full_told;    /* that the store is full */
    bool busy;
};

/* scrub.c */
struct scrubbing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_store_scrub *piece; /* the worker's while busy */
    size_t bytes;                  /* of a piece */
    uint64_t piece_ns;             /* when the last one began */
    uint64_t begun_ns;             /* this pass; 0: none is under way */
    bool damaged;                  /* found, and told */
    bool busy;
};

/* One run of a member's process. */
struct remote_run {
    uint64_t boot;        /* 0: none */
    uint64_t forward_seq; /* the last forward taken from it */
};

/* newborn.c */
struct newborn {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_replica_request read;
    bool open;   /* the file is there: nothing was published from this directory */
    bool asking; /* `read` is under way */
    bool busy;   /* looked at, and none: the file is on its way out */
    int error;
};

/* hello.c: how far a run of another member and this one know each other. */
struct acquaintance {
    uint64_t boot;   /* its run; 0: none yet */
    uint64_t number; /* of that run, as it says */
    uint64_t seq;    /* of its newest hello */
    uint64_t heard;  /* the newest of ours that it had heard then */
    enum oak_peer_past past;
    bool told;     /* it has told what it remembers of us, and we are content */
    bool known;    /* it remembers this run of ours, durably */
    bool accepted; /* we remember this run of it, durably */
    struct oak_peer_memory tale;
    uint64_t excused; /* its run of this number has no vote: to be told */
};

struct remote {
    uint64_t id;
    struct acquaintance it;
    bool knew;         /* it has remembered this run of ours before */
    bool demoted;      /* we took its vote because it forgot, and it has not had it again since */
    uint64_t hello_ns; /* when we said hello last; 0: never */
    uint64_t news_ns;  /* ... and when to a run that is none of the newest */
    uint64_t boot;     /* of its last frame; 0: none yet */
    uint64_t forward_seq;                        /* the last forward taken from this run of it */
    struct remote_run runs[OAK_REMOTE_RUNS_MAX]; /* the others that were heard of last */
    unsigned run_next;
    bool reachable; /* a frame came since its connection was last lost */
    bool lost;      /* to be told to Raft */
    struct gray_load load;
    uint64_t load_ns; /* when it told it last; 0: never */
    /* Snapshots to it: */
    unsigned sends;           /* that followed each other closely */
    uint64_t send_started_ns; /* the last one; 0: none yet */
    uint64_t send_after_ns;   /* no other before */
};

/* hello.c */
struct memory {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct past past;
    uint8_t slot[PAST_SLOT_BYTES]; /* the worker's while busy */
    bool empty;                    /* there was nothing of this member when it started */
    bool heard; /* members that make a majority with this one have told what they remember */
    /* The newest group that somebody knows to be committed, and this member votes in, and up to
     * where; 0: nobody has told of one. */
    uint64_t group_index;
    struct oak_raft_config group;
    bool excused;                 /* it forgot, and has no vote: it may follow a leader */
    bool busy;                    /* the slot is away */
    bool due;                     /* to be written at once, */
    bool changed;                 /* or when the time for notes comes */
    uint64_t seq;                 /* of our last hello */
    uint64_t note_ns;             /* not before */
    struct oak_peer_memory noted; /* what we had when we told all last */
    int error;
    /* amends.c: does a member that forgot have a vote still? */
    struct oak_replica_request read;
    bool asking;
    uint64_t lead_term;    /* the last one in which this member has led, */
    uint64_t lead_seq;     /* and its last hello before that */
    uint64_t about;        /* whom */
    uint64_t about_number; /* and which run of it */
};

/* Of how many applied entries the state's chain is remembered. */
#define CHAINS_MAX 1024

struct chain_at {
    uint64_t index; /* 0: none */
    uint64_t chain;
};

struct chains {
    struct chain_at ring[CHAINS_MAX]; /* by index */
    struct chain_at told;             /* by the leader; waits until it is applied here */
    uint64_t told_by;
    uint64_t tell_ns; /* the leader: not before */
};

/* A change of the configuration that somebody waits for. */
struct changing {
    struct oak_replica_request *request; /* NULL: none */
    struct oak_raft_config target;
    uint64_t index; /* of its first entry; 0: not proposed yet */
    uint64_t term;
    bool lost; /* another entry was applied in its place */
};

/* Leadership on its way to another member. */
struct handover {
    uint64_t to;                  /* 0: the best */
    bool wanted;                  /* the core is to be told */
    void (*resigned)(void *user); /* NULL: nobody waits */
    void *user;
    uint64_t until_ns;
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
    uint64_t space_handed_ns; /* leadership was let go for want of space; 0: never */
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
    uint64_t members_version;              /* of what is known of members, as it was told */
    struct changing changing;
    struct handover handover;
    struct chains chains;
    struct expiring expiring;
    struct keeping keeping;

    struct sending sendings[OAK_SNAPSHOT_SENDS_MAX];
    struct bucket bucket;
    uint64_t transfers_base; /* numbers of transfers: chance, and a count below it */
    uint64_t transfers;
    struct receiving receiving;
    struct installing installing;
    struct applying applying;
    struct flushing flushing;
    struct scrubbing scrubbing;
    struct hashing hashing;
    struct squeezing squeezing;
    struct newborn newborn;
    struct memory memory;

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
    uint64_t term_told; /* by options.leadership, and whether this member led then */
    bool leads_told;
    uint64_t lease_settled_term; /* in which this member, leading, has settled the lease */
    uint64_t lease_told_at;      /* index of the configuration whose difference was told */
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
/* No other member has a vote: nobody else has what this one has lost. */
bool replica__alone(const struct oak_replica *r);

/* newborn.c */
/* At start-up; `empty`: neither the log nor the store has anything of this member. */
int replica__newborn_begin(struct oak_replica *r, bool empty, struct oak_errbuf *e);
/* OAK_EINUSE: the data directory is new, the member is not. */
int replica__newborn_check(const struct oak_replica *r, struct oak_errbuf *e);
/* The group remembers this member, and its data directory doesn't: then it must end. `empty`: there
 * was nothing in it at this start, whoever was born in it. */
bool replica__newborn_caught(struct oak_replica *r, bool empty);
void replica__newborn_tick(struct oak_replica *r);

/* past_file.c */
/* At start-up, before anything is said. `end`: what is found of the run before. */
int replica__past_open(struct oak_replica *r, const struct past_run *end, bool empty,
                       struct oak_errbuf *e);
/* What is remembered here has changed, and must not wait. */
void replica__past_save(struct oak_replica *r);
/* Once more, what found no space. */
void replica__past_tick(struct oak_replica *r);

/* hello.c */
void replica__hello_take(struct oak_replica *r, struct remote *from,
                         const struct oak_peer_frame *frame);
/* May a message of the Raft core, of this run of it, be heard? Else a hello is due. */
bool replica__hello_admits(struct oak_replica *r, struct remote *from, uint64_t boot);
/* What a message of the core says of how far its sender is. */
void replica__hello_note(struct oak_replica *r, const struct remote *from,
                         const struct oak_raft_msg *m);
void replica__hello_tick(struct oak_replica *r);
void replica__hello_send(struct oak_replica *r, struct remote *to);
/* The file has been written: who can be heard now is told so. */
void replica__hello_accepted(struct oak_replica *r);
/* This member forgot, and has not been excused: it promises nothing. */
bool replica__hello_mute(const struct oak_replica *r);

/* members.c: its present run is known here, and knows what it promised. */
bool replica__may_vote(const struct oak_replica *r, uint64_t id);

/* amends.c: on a leader, members that forgot lose their vote, and get it again. */
void replica__amends_tick(struct oak_replica *r);

/* apply.c */
/* Now, or once they can be. */
void replica__apply(struct oak_replica *r, const struct oak_raft_entry *entries, size_t count);
/* What stood in the way of entries that wait may be gone. */
void replica__apply_release(struct oak_replica *r);
void replica__apply_fini(struct oak_replica *r);
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
bool replica__leases_on(const struct oak_replica *r);

/* lease_setting.c */
/* With each tick: what this member was told of the lease becomes the group's, if it leads. */
void replica__lease_settle(struct oak_replica *r);

uint64_t replica__default_deadline(const struct oak_replica *r);

/* members.c */
bool replica__config_votes(const struct oak_raft_config *c, uint64_t id);
bool replica__config_names(const struct oak_raft_config *c, uint64_t id);
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

/* evidence.c */
/* The Raft core has halted. */
void replica__halt_raft(struct oak_replica *r);
/* An entry has been applied. */
void replica__chain_note(struct oak_replica *r);
/* A batch has. */
void replica__chain_due(struct oak_replica *r);
void replica__chain_take(struct oak_replica *r, const struct remote *from,
                         const struct oak_peer_chain *chain);
void replica__chain_tick(struct oak_replica *r);

/* leadership.c */
void replica__handover_dispatch(struct oak_replica *r);
/* The last step of a tick: the replica may be closing behind it. */
void replica__resign_tick(struct oak_replica *r);

/* frames.c */
struct remote *replica__remote(struct oak_replica *r, uint64_t id);
/* Encode and send: kind and body are set in `frame`, the address is filled here. */
void replica__send(struct oak_replica *r, uint64_t to, bool bulk, struct oak_peer_frame *frame);
/* ... to this run of it. */
void replica__send_to(struct oak_replica *r, uint64_t to, uint64_t to_boot, bool bulk,
                      struct oak_peer_frame *frame);

/* writer.c */
int replica__log_add(struct oak_replica *r, const struct oak_raft_persist *persist);
void replica__log_durable(struct oak_journal_group *g, uint64_t token, int error);

/* transfer.c */
#define TRANSFER_COUNT_MASK 0xffffffull
void replica__snapshot_start(struct oak_replica *r, const struct oak_raft_snapshot_want *want);
void replica__snapshot_ack(struct oak_replica *r, uint64_t from,
                           const struct oak_peer_chunk_ack *ack);
void replica__snapshot_tick(struct oak_replica *r);
/* End all sendings: the store is about to be replaced. False while the worker still reads for one.
 */
bool replica__snapshots_drop(struct oak_replica *r);
/* The log behind this index is needed by the snapshot that is being sent to this member; 0: none
 * is. */
uint64_t replica__snapshot_index(const struct oak_replica *r, uint64_t peer);
/* It is offered for less than log_away_ms, and this member has not answered yet. */
bool replica__snapshot_offered(const struct oak_replica *r, uint64_t peer);
/* The least index of the snapshots that are being sent to anybody; 0: none is. */
uint64_t replica__snapshot_oldest(const struct oak_replica *r);
void replica__snapshot_fini(struct oak_replica *r);

/* receive.c */
void replica__chunk_take(struct oak_replica *r, uint64_t from, const struct oak_peer_chunk *chunk);
/* To the sender of a transfer: `fill` says what; transfer and address are set here. */
void replica__chunk_ack(struct oak_replica *r, uint64_t to, uint64_t transfer,
                        struct oak_peer_chunk_ack fill);
/* At start-up, behind recovery: what an earlier life left in files. */
OAK_MUST_USE int replica__receive_recover(struct oak_replica *r, struct oak_errbuf *e);
void replica__receive_tick(struct oak_replica *r);
void replica__receive_fini(struct oak_replica *r);

/* install.c */
/* The file of `meta` is whole and durable: build the store beside, and offer it to Raft. */
void replica__install_build(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                            uint64_t from, uint64_t transfer, uint64_t lead);
/* Raft puts its mark for it into the log with the batch `token`. */
void replica__install_want(struct oak_replica *r, const struct oak_raft_snapshot *meta,
                           uint64_t token);
/* Told each token as it becomes durable (0: something that stood in the way is gone). */
void replica__install_go(struct oak_replica *r, uint64_t durable_token);
void replica__install_tick(struct oak_replica *r);
void replica__install_fini(struct oak_replica *r);

/* space.c: is the alarm NOSPACE on? */
bool replica__space_scarce(const struct oak_replica *r);
/* Is this command refused, because little space is left? */
bool replica__space_refuses(const struct oak_replica *r, struct oak_bytes command);
bool replica__space_refuses_any(const struct oak_replica *r, struct oak_bytes commands);
/* On a leader: lets a follower lead that has space. */
bool replica__space_handover(struct oak_replica *r, const struct gray_follower *rows, size_t count);

/* scrub.c */
void replica__scrub_tick(struct oak_replica *r);
/* Has anything found damage in the store? Then it is not relied on any more. */
void replica__damage_look(struct oak_replica *r);

/* flush.c */
void replica__flush_check(struct oak_replica *r);
void replica__compact_check(struct oak_replica *r);

#endif
