/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h: what members say to each other: the frames, and the streams that carry them.
 *
 * A frame is one message between two members, checksummed end to end (frame.c draws it). Frames may
 * be lost, repeated and reordered by whatever carries them; the layers above live with that. `boot`
 * numbers one run of a process: what was meant for an earlier run of the receiver can be told.
 *
 * struct oak_peers carries frames between real processes: to each member one gRPC stream for small
 * urgent frames (votes, heartbeats, acknowledgements, appends) and one for bulk (snapshot chunks),
 * so that the first never wait behind the second. The simulator carries the same frames in its own
 * way.
 *
 * Threads: the replica's loop.
 */
#ifndef OAK_PEER_H
#define OAK_PEER_H

#include "oakum/raft.h"
#include "port/port.h"
#include "oakum/rpc.h"

enum oak_peer_kind {
    OAK_PEER_RAFT = 1,        /* a message of the Raft core */
    OAK_PEER_FORWARD = 2,     /* commands for the leader to propose */
    OAK_PEER_REFUSED = 3,     /* a forward that was not proposed: its number, and why */
    OAK_PEER_CHUNK = 4,       /* a piece of a snapshot */
    OAK_PEER_CHUNK_ACK = 5,   /* how far the receiver of a snapshot has got */
    OAK_PEER_LOAD = 8,        /* how the sender fares; to its leader */
    OAK_PEER_CHAIN = 9,       /* a leader tells the running hash of its state at an index */
    OAK_PEER_HELLO = 10,      /* who the sender is, and what it remembers of the receiver */
    OAK_PEER_LEASE_ASK = 11,  /* clients' leases: keepalives and questions, for the leader */
    OAK_PEER_LEASE_TOLD = 12, /* its answers */
};

struct oak_peer_address {
    uint64_t cluster;
    uint64_t group;
    uint64_t from;
    uint64_t to;
    uint64_t boot;    /* the sender's run */
    uint64_t to_boot; /* the receiver's run as the sender knows it; 0: not known */
};

/* Commands, one after the other, each as a u32 length and its bytes. */
struct oak_peer_forward {
    uint64_t seq; /* rises with every forward of one run of the sender; taken once, in order */
    struct oak_bytes commands;
};

struct oak_peer_refused {
    uint64_t seq;
    int error; /* OAK_ENOTLEADER, OAK_ETOOMANYREQUESTS, OAK_ENOSPACE */
};

/* Empty, it asks where its receiver is: at offset 0 it is the offer of a new transfer, else
 * everything before `offset` has been sent. */
struct oak_peer_chunk {
    uint64_t transfer; /* names one sending; of one run of a sender they rise in the low 24 bits */
    uint64_t offset;   /* of `data` in the stream */
    uint64_t term;     /* that the sender led in when the transfer began */
    bool last;         /* the stream ends with `data` */
    struct oak_raft_snapshot snapshot;
    struct oak_bytes data;
};

struct oak_peer_chunk_ack {
    uint64_t transfer;
    uint64_t offset; /* everything before it has been written */
    bool installed;  /* what it holds is here, durably: nothing is missing */
    bool refused;    /* failed here: stop sending, try another time */
    bool gap;        /* what came lies behind `offset`, which is the next that is wanted */
    bool wait;       /* another transfer, of a snapshot at `index`, goes first */
    uint64_t index;
};

/* As a member measures itself, smoothed. */
struct oak_peer_load {
    uint64_t sync_us; /* a batch of the log until it is durable */
    uint64_t lag_us;  /* how late its timers fire */
    bool weary;       /* it wants no leadership for now */
    bool scarce;      /* little space is left on its disk */
};

struct oak_peer_chain {
    uint64_t index; /* applied */
    uint64_t chain; /* oak_store_state */
};

/* What is remembered of a member: which of its runs was the last one heard of, and what it had on
 * disk for sure: this term or a higher one; in it this vote, if not 0, and the log up to this
 * index. All zeros: it was never heard of. */
struct oak_peer_memory {
    uint64_t number; /* of the run, from 1 */
    uint64_t run;    /* the boot of its frames */
    uint64_t term;
    uint64_t vote;
    uint64_t index;
};

enum oak_peer_past {
    OAK_PEER_SOUND,  /* it knows all that it has promised */
    OAK_PEER_FORGOT, /* it doesn't, and promises nothing until it has no vote */
    OAK_PEER_WHOLE,  /* it lost its vote because of that, and has caught up: it may have it again */
    OAK_PEER_PAST_END_,
};

struct oak_peer_hello {
    uint64_t seq;   /* rises within a run: what comes late is known from what is new */
    uint64_t heard; /* the newest of this run of the receiver that has come; 0: none has */
    struct oak_peer_memory me;     /* the sender; its run is that of the frame */
    struct oak_peer_memory of_you; /* what it remembers of the receiver */
    /* What the receiver has told, and the sender has found in its own past; if `told`. */
    struct oak_peer_memory tale;
    bool told;
    bool met; /* each remembers the other's run: nothing is asked for */
    /* The receiver votes by the sender's configuration, or did until the sender took its vote
     * because it forgot. */
    bool voter;
    enum oak_peer_past past;
    /* Not 0: the receiver, in its run of this number, has no vote in the group, as the sender found
     * after it had heard that the receiver forgot. */
    uint64_t excused;
    /* The group as of this index, which is committed; 0: the sender knows of none. */
    uint64_t group_index;
    struct oak_raft_config group;
};

/* One of those that a frame asks about. */
struct oak_peer_lease_ask {
    uint64_t number; /* of the asker's run: the answer has it too */
    int64_t id;
    bool renew; /* a keepalive; else a question */
};
struct oak_peer_lease_told {
    uint64_t number;
    /* Nothing can be said yet: ask again once `index` is applied (0: in a while). */
    bool again;
    uint64_t index; /* up to which the leader's state was applied when it answered */
    int64_t ttl_s;  /* granted; 0: there is no such lease */
    int64_t left_ns;
};
/* Many of them in a frame, one behind the other, as bytes. */
struct oak_peer_lease_items {
    struct oak_bytes bytes;
};
/* OAK_ENOMEM. */
OAK_MUST_USE int oak_peer_lease_ask_add(struct oak_buf *items, const struct oak_peer_lease_ask *a);
OAK_MUST_USE int oak_peer_lease_told_add(struct oak_buf *items,
                                         const struct oak_peer_lease_told *t);
/* The next one; the frame has been decoded, so that all are whole. False: no more. */
bool oak_peer_lease_ask_next(struct oak_reader *items, struct oak_peer_lease_ask *out);
bool oak_peer_lease_told_next(struct oak_reader *items, struct oak_peer_lease_told *out);

struct oak_peer_frame {
    enum oak_peer_kind kind;
    struct oak_peer_address address;
    union {
        struct oak_raft_msg raft;
        struct oak_peer_forward forward;
        struct oak_peer_refused refused;
        struct oak_peer_chunk chunk;
        struct oak_peer_chunk_ack ack;
        struct oak_peer_load load;
        struct oak_peer_chain chain;
        struct oak_peer_hello hello;
        struct oak_peer_lease_items leases; /* of either kind */
    } u;
};

/* Append the frame's bytes to `out`. OAK_ENOMEM. */
OAK_MUST_USE int oak_peer_encode(const struct oak_peer_frame *frame, struct oak_buf *out);
/* Decode; everything points into `bytes`, but Raft's entries, which are put into `arena`.
 * OAK_EFORMAT (malformed), OAK_ECORRUPT (checksum), OAK_ELIMIT (arena). */
OAK_MUST_USE int oak_peer_decode(struct oak_bytes bytes, struct oak_arena *arena,
                                 struct oak_peer_frame *out);

/* -- carrying frames between processes --------------------------------------------------------- */

struct oak_peers;

struct oak_peers_options {
    const struct oak_loop *loop;
    const struct oak_log *log;
    struct oak_rpc_server *server; /* its peer service is added here; for the peer port */
    uint64_t cluster;
    uint64_t id;
    /* A frame has come: not decoded yet, borrowed for the call. */
    void (*received)(void *user, struct oak_bytes frame);
    /* Encrypted connections to members whose URL is https; NULL: there are none. */
    const struct oak_net *secure;
    /* Is whoever has proved to be `identity`, and comes from the address `from`, the member whose
     * peer URL this is (NULL: of none that is known)? Asked of those alone who have proved
     * something. NULL: everyone is. */
    bool (*admit)(void *user, const struct oak_identity *identity, const char *from,
                  const char *url);
    /* The connection to `peer` broke. */
    void (*lost)(void *user, uint64_t peer);
    /* Was this member removed from the group? Then it is told so. NULL: nobody was. */
    bool (*gone)(void *user, uint64_t peer);
    /* `peer` says that this member was. May be NULL. */
    void (*removed)(void *user, uint64_t peer);
    void *user;
};

struct oak_peer_stats {
    uint64_t id;
    bool connected;
    uint64_t connected_ns; /* since when, on the loop's clock */
    uint64_t sent_bytes;
    uint64_t sent_failures; /* frames dropped: not connected, or the queue was full */
    uint64_t received_bytes;
};

OAK_MUST_USE int oak_peers_new(const struct oak_peers_options *options, struct oak_peers **out);
void oak_peers_free(struct oak_peers *peers);
/* Connect to a member, or to where it is from now on: its peer URL tells. OAK_EINVAL (it is no
 * URL), OAK_EUNIMPLEMENTED (https, and there is no `secure`), OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int oak_peers_set(struct oak_peers *peers, uint64_t id, const char *url);
/* Leave all members alone that `keep` doesn't want. */
void oak_peers_prune(struct oak_peers *peers, bool (*keep)(void *arg, uint64_t id), void *arg);
/* A call of another service to a member, on the same connection. OAK_ECLOSED: there is none to it;
 * and as oak_rpc_subchannel_call. */
OAK_MUST_USE int oak_peers_call(struct oak_peers *peers, uint64_t to,
                                const struct oak_rpc_request *request, struct oak_rpc_call **out);
/* Send or drop. */
void oak_peers_send(struct oak_peers *peers, uint64_t to, bool bulk, struct oak_bytes frame);
/* Fills up to `capacity` rows; returns how many there are. */
size_t oak_peers_stats(const struct oak_peers *peers, struct oak_peer_stats *rows, size_t capacity);

#endif
