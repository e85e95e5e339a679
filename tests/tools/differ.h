/* SPDX-License-Identifier: Apache-2.0 */
/* differ.h: what the parts of the random differential test share. */
#ifndef OAK_TESTS_DIFFER_H
#define OAK_TESTS_DIFFER_H

#include "oakum/rpc.h"
#include "os/os.h"
#include "proto/proto.h"

#define DIFFER_SIDES   2
#define DIFFER_STREAMS 2
#define DIFFER_WATCHES 6
#define DIFFER_LEASES  5

enum differ_method {
    DIFFER_RANGE,
    DIFFER_PUT,
    DIFFER_DELETE,
    DIFFER_TXN,
    DIFFER_COMPACT,
    DIFFER_LEASE_GRANT,
    DIFFER_LEASE_REVOKE,
    DIFFER_LEASE_TIME_TO_LIVE,
    DIFFER_LEASE_LEASES,
    DIFFER_LEASE_KEEP_ALIVE,
    DIFFER_HASH_KV,
    DIFFER_METHODS,
};

/* What the generator knows of the stores: requests about revisions aim near the newest. */
struct differ_world {
    struct oak_prng prng;
    int64_t revision;
    int64_t compacted;
    bool ignoring; /* puts of the current transaction may ignore; then no delete is open-ended */
};

struct differ;
struct differ_side;

/* A Watch stream. What answers a request on it is kept until it was compared; what a watch hears
 * goes to the watch. */
struct differ_stream {
    struct differ_side *side;
    struct oak_rpc_call *call;
    struct oak_arena arena;
    struct oak_buf answer;
    bool answered;
    const char *fault; /* what no correct server sends */
};

/* One of the two servers, and its answer to the current request. */
struct differ_side {
    const char *endpoint;
    struct differ *differ;
    struct oak_rpc_subchannel *channel;
    struct oak_arena arena;
    ProtobufCMessage *response;
    struct oak_buf packed; /* normalised */
    int error;
    enum oak_rpc_code code;
    char message[512];
    struct differ_stream streams[DIFFER_STREAMS];
};

/* What one side told of a watch since it was compared last: responses packed one behind the other,
 * which as one message are the response that has all of their events. */
struct differ_heard {
    struct oak_buf packed;
    int64_t last; /* the newest revision whose events have come */
    bool partly;  /* the response was a fragment: its revision may go on */
    bool cancelled;
};

struct differ_watch {
    bool open;
    size_t stream;
    int64_t id;
    int64_t start;
    int filter; /* of FilterType; -1: none */
    size_t key_size;
    uint8_t key[8];
    struct differ_heard heard[DIFFER_SIDES];
};

enum differ_watching {
    DIFFER_CREATE,
    DIFFER_CANCEL,
    DIFFER_PROGRESS,
    DIFFER_WATCHINGS,
};

struct differ {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct differ_side sides[DIFFER_SIDES];
    struct differ_world world;
    struct oak_arena arena;
    struct oak_arena aside; /* of requests that listening needs */
    enum differ_method method;
    ProtobufCMessage *request;
    struct oak_buf bytes;
    size_t open;
    uint64_t seed;
    uint64_t requests;
    uint64_t number; /* of the current request, of any kind */
    uint64_t answered[DIFFER_METHODS];
    uint64_t refused[DIFFER_METHODS];

    struct differ_watch watches[DIFFER_WATCHES];
    int64_t next_watch;
    uint64_t watched[DIFFER_WATCHINGS];
    uint64_t events;
    struct oak_timer timer;
    bool late;
};

/* A request to both, and its answers compared. Here and below: 0: equal; 1: a difference, which is
 * told; 2: told, and no fault of the answers. */
int differ_exchange(struct differ *d, enum differ_method method, ProtobufCMessage *request);
/* The next thing that is done with watches, by chance. */
int differ_watch_step(struct differ *d);
/* Compare what all watches have heard: each hears of one more change, so that what it heard until
 * then is whole. */
int differ_watch_listen(struct differ *d);
void differ_watch_fini(struct differ *d);

/* The next request, in the arena. NULL without memory. */
ProtobufCMessage *differ_make(struct differ_world *world, struct oak_arena *arena,
                              enum differ_method *method);
void *differ_message(struct oak_arena *arena, const ProtobufCMessageDescriptor *descriptor);
bool differ_chance(struct differ_world *world, uint64_t percent);
ProtobufCBinaryData differ_key(struct differ_world *world, struct oak_arena *arena);
ProtobufCBinaryData differ_end(struct differ_world *world, struct oak_arena *arena,
                               ProtobufCBinaryData key, unsigned percent);

/* Take out of a response what may differ between two correct servers: ids and terms, the order
 * of pairs that a request's own sort target does not tell apart, what is left of a lease. */
void differ_normalise(enum differ_method method, const ProtobufCMessage *request,
                      ProtobufCMessage *response);
Etcdserverpb__ResponseHeader *differ_header(const ProtobufCMessage *response);
void differ_header_clean(Etcdserverpb__ResponseHeader *header);

/* Any message as text, for people. */
void differ_print(const ProtobufCMessage *message, unsigned indent);

#endif
