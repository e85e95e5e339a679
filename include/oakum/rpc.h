/* SPDX-License-Identifier: Apache-2.0 */
/* rpc.h: gRPC over HTTP/2, server and client: bytes in, bytes out.
 *
 * A connection (struct oak_rpc_conn) does no I/O: feed it what came, take what is to be sent, tell
 * it the time. It can be tested without sockets, run in a simulator, and driven by any loop. Over a
 * byte stream of a loop it is driven by oak_rpc_serve() for an accepted stream, and by a struct
 * oak_rpc_subchannel for a client that connects to one address, again and again.
 *
 * Calls. A call is one RPC on either side, all four kinds; messages are opaque bytes. Callbacks of
 * the installed handler tell what happens; a callback may use every oak_rpc_call_* function (also
 * finish or cancel its own call) and start calls, but may not feed, take, tick or free what it came
 * from. After `closed` the call's memory is gone.
 *
 * Flow control. Received bytes are credited back to the peer as the handler consumes them: by
 * default when `message` returns; a handler that holds a call back (oak_rpc_call_pause) stops the
 * peer by its window. Sent messages queue in the call; oak_rpc_call_queued() and `writable` tell a
 * producer when to go on.
 *
 * Deadlines. grpc-timeout from the peer is counted from its arrival; a call past its deadline is
 * closed with DEADLINE_EXCEEDED on both sides, whatever the handler does.
 *
 * Sources: gRPC "PROTOCOL-HTTP2" and "statuscodes" documents; RFC 9113; RFC 7541 by nghttp2.
 *
 * Threads: one loop each; nothing is shared.
 */
#ifndef OAKUM_RPC_H
#define OAKUM_RPC_H

#include "oakum/common.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The loop that all this runs on, streams of it, and how streams are opened: runtime.h gives them.
 */
struct oak_loop;
struct oak_stream;
struct oak_net;

/* gRPC status codes (their numbers are the protocol's). */
enum oak_rpc_code {
    OAK_RPC_OK = 0,
    OAK_RPC_CANCELLED = 1,
    OAK_RPC_UNKNOWN = 2,
    OAK_RPC_INVALID_ARGUMENT = 3,
    OAK_RPC_DEADLINE_EXCEEDED = 4,
    OAK_RPC_NOT_FOUND = 5,
    OAK_RPC_ALREADY_EXISTS = 6,
    OAK_RPC_PERMISSION_DENIED = 7,
    OAK_RPC_RESOURCE_EXHAUSTED = 8,
    OAK_RPC_FAILED_PRECONDITION = 9,
    OAK_RPC_ABORTED = 10,
    OAK_RPC_OUT_OF_RANGE = 11,
    OAK_RPC_UNIMPLEMENTED = 12,
    OAK_RPC_INTERNAL = 13,
    OAK_RPC_UNAVAILABLE = 14,
    OAK_RPC_DATA_LOSS = 15,
    OAK_RPC_UNAUTHENTICATED = 16,
};
/* "Unavailable": as metrics and logs write it. */
OAK_API const char *oak_rpc_code_name(enum oak_rpc_code code);

/* One pair of metadata; a name that ends in "-bin" carries raw bytes here (base64 is done inside).
 */
struct oak_rpc_pair {
    struct oak_bytes name; /* lower case */
    struct oak_bytes value;
};

/* Client: how far a call came. What the server has surely not begun may be made again. */
enum oak_rpc_reach {
    OAK_RPC_REACHED, /* the server may have acted on it */
    OAK_RPC_REFUSED, /* it was sent, and the server said that it did not look at it */
    OAK_RPC_UNSENT,  /* it never left */
};

struct oak_rpc_status {
    enum oak_rpc_code code;
    struct oak_bytes message; /* UTF-8, decoded; borrowed during the callback */
    /* Client: what the server said beside it (grpc-status-details-bin, by convention an encoded
     * google.rpc.Status), decoded; borrowed likewise. Empty: nothing. */
    struct oak_bytes details;
    enum oak_rpc_reach reach;
};

/* How messages are made smaller on the wire. "deflate" is zlib's form, as in HTTP. */
enum oak_rpc_encoding {
    OAK_RPC_IDENTITY = 0, /* not at all */
    OAK_RPC_GZIP = 1,
    OAK_RPC_DEFLATE = 2,
};

struct oak_rpc_call;

struct oak_rpc_handler {
    /* One whole message; the bytes are borrowed for the call. */
    void (*message)(void *user, struct oak_rpc_call *call, struct oak_bytes bytes);
    /* The peer will send no more messages (it may still receive). May be NULL. */
    void (*half_closed)(void *user, struct oak_rpc_call *call);
    /* What was queued has fallen below the low mark after having been over the high one. May be
     * NULL. */
    void (*writable)(void *user, struct oak_rpc_call *call);
    /* Client: the server's initial metadata is there. May be NULL. */
    void (*headers)(void *user, struct oak_rpc_call *call);
    /* Last callback, exactly once. Server: the call has ended: finished and delivered to the
     * transport (OK or the status given), cancelled by the peer, or lost. Client: the final status.
     */
    void (*closed)(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status);
};

/* Install the handler. On a server within `start`; a client gives it at the start of a call. */
OAK_API void oak_rpc_call_handle(struct oak_rpc_call *call, const struct oak_rpc_handler *handler,
                                 void *user);
/* Queue a message (copied). OAK_ECLOSED once the call ended, OAK_ELIMIT over the size limit (see
 * options) or when OAK_OUTBOUND_BYTES_MAX are queued, OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_rpc_call_send(struct oak_rpc_call *call, struct oak_bytes message);
/* As send, without the copy of a second buffer: gives `size` bytes to be filled before any other
 * call of this room. NULL as send fails. */
OAK_API uint8_t *oak_rpc_call_send_into(struct oak_rpc_call *call, size_t size);
/* Bytes that many calls of one loop send, such as an event for all who wait for it: they are held
 * once, and not copied where that can be avoided. Whoever makes them holds them, and so does each
 * call until they have left. NULL: no memory. They are written before the first call sends them,
 * and not again. */
struct oak_rpc_shared;
OAK_API struct oak_rpc_shared *oak_rpc_shared_new(size_t size);
OAK_API uint8_t *oak_rpc_shared_data(struct oak_rpc_shared *shared);
/* Its maker has no more use for them. */
OAK_API void oak_rpc_shared_drop(struct oak_rpc_shared *shared);
/* As send, of the message that `head`, which is copied, and `tail`, which is a part of `shared`,
 * make together. Neither is empty. A call that is compressed or carried elsewhere copies both; the
 * latter fails with OAK_ELIMIT, whatever it is that keeps it from sending. */
OAK_API OAK_MUST_USE int oak_rpc_call_send_shared(struct oak_rpc_call *call, struct oak_bytes head,
                                                  struct oak_rpc_shared *shared,
                                                  struct oak_bytes tail);
/* As send, of a message of `size` bytes, up to UINT32_MAX, that follow in parts, so that it need
 * never be held whole: queue some, and go on when `writable` says so. Nothing else may be sent
 * before all of it was; finish with OAK_RPC_OK neither. It is not compressed. The call may be
 * finished otherwise meanwhile; the client sees a message that was cut off. Errors as send, and
 * OAK_EUNIMPLEMENTED where the call is carried so that it can't be done (takes_parts() tells); a
 * part that failed may be sent again. */
OAK_API OAK_MUST_USE int oak_rpc_call_send_open(struct oak_rpc_call *call, size_t size);
OAK_API OAK_MUST_USE int oak_rpc_call_send_part(struct oak_rpc_call *call, struct oak_bytes part);
OAK_API bool oak_rpc_call_takes_parts(const struct oak_rpc_call *call);
/* As send, of the message that `message` has got from another call (of the same loop), or from the
 * same one: where it can be, it is passed on and not copied. After success its bytes are not to be
 * touched. */
OAK_API OAK_MUST_USE int oak_rpc_call_forward(struct oak_rpc_call *from, struct oak_bytes message,
                                              struct oak_rpc_call *to);
/* Compression. Each message is packed for itself, when it would become smaller by it. Don't
 * compress what mixes a secret with what an attacker chooses: the size on the wire would tell of
 * the secret.
 *
 * Server: the call's encoding, before its first message; its messages are compressed from here on.
 * OAK_EUNIMPLEMENTED: the client doesn't take it, nothing has changed. OAK_ECLOSED: the headers
 * have left, or the call has ended.
 *
 * Client: the same, instead of what its request said (`encoding`). What the server takes is not
 * known by then: one that lacks the encoding answers UNIMPLEMENTED. */
OAK_API OAK_MUST_USE int oak_rpc_call_compress(struct oak_rpc_call *call,
                                               enum oak_rpc_encoding encoding);
/* Either side: whether the messages sent from here on are compressed. Nothing changes for a call
 * whose encoding is identity. */
OAK_API void oak_rpc_call_compress_messages(struct oak_rpc_call *call, bool on);
/* Within `message`: did it come compressed? */
OAK_API bool oak_rpc_call_compressed(const struct oak_rpc_call *call);
/* Client: no more messages from us. */
OAK_API void oak_rpc_call_half_close(struct oak_rpc_call *call);
/* Server: end the call behind what is queued, with a status (`message` may be NULL). */
OAK_API void oak_rpc_call_finish(struct oak_rpc_call *call, enum oak_rpc_code code,
                                 const char *message);
/* The same, with details for programs beside the message for people: by convention an encoded
 * google.rpc.Status that repeats code and message. Copied. OAK_ECLOSED: it has ended already, or
 * OAK_ELIMIT, OAK_ENOMEM: then it has not ended. */
OAK_API OAK_MUST_USE int oak_rpc_call_finish_details(struct oak_rpc_call *call,
                                                     enum oak_rpc_code code, const char *message,
                                                     struct oak_bytes details);
/* Either side: end it now (RST_STREAM CANCEL). `closed` follows with CANCELLED. */
OAK_API void oak_rpc_call_cancel(struct oak_rpc_call *call);
/* Stop or go on delivering messages: back-pressure to the peer. */
OAK_API void oak_rpc_call_pause(struct oak_rpc_call *call, bool paused);
/* Bytes queued and not taken by the connection; and the marks that `writable` speaks of. */
#define OAK_RPC_QUEUE_HIGH_BYTES ((size_t)256 * 1024)
#define OAK_RPC_QUEUE_LOW_BYTES  ((size_t)64 * 1024)
OAK_API size_t oak_rpc_call_queued(const struct oak_rpc_call *call);
/* Metadata. Of the headers: on a server before the first message, on a client before they leave
 * (most often in an interceptor). Of the trailers: on a server, before finish. OAK_EINVAL: HTTP or
 * gRPC don't allow it; of a channel's call that has no connection yet, this is found once it has
 * one, and ends it with INTERNAL, as what its request brings. OAK_ECLOSED: too late. OAK_ELIMIT,
 * OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_rpc_call_add_header(struct oak_rpc_call *call,
                                                 struct oak_rpc_pair pair);
OAK_API OAK_MUST_USE int oak_rpc_call_add_trailer(struct oak_rpc_call *call,
                                                  struct oak_rpc_pair pair);
/* The request's metadata (server) or the response's headers and trailers (client): data NULL when
 * absent. */
OAK_API struct oak_bytes oak_rpc_call_metadata(const struct oak_rpc_call *call, const char *name);
/* All of it, one pair a time: *at starts at 0 and is not to be changed. False: no more. Pairs of
 * one name come one by one, in their order; binary values that a peer had joined by commas too.
 * Valid until the next callback. */
enum oak_rpc_part {
    OAK_RPC_HEADERS,  /* of the request (server), of the response (client) */
    OAK_RPC_TRAILERS, /* client; an answer that is only a status has nothing else */
};
OAK_API bool oak_rpc_call_metadata_next(const struct oak_rpc_call *call, enum oak_rpc_part part,
                                        size_t *at, struct oak_rpc_pair *out);
/* Whom the client meant to speak to (":authority", or "host" from HTTP/1 proxies); on a client what
 * it says. data NULL: nothing. */
OAK_API struct oak_bytes oak_rpc_call_authority(const struct oak_rpc_call *call);
/* When the call must have ended, on the monotonic clock; 0: no deadline. */
OAK_API uint64_t oak_rpc_call_deadline_ns(const struct oak_rpc_call *call);
/* "/etcdserverpb.KV/Put" */
OAK_API struct oak_bytes oak_rpc_call_path(const struct oak_rpc_call *call);
/* "127.0.0.1:4711", or "" without a transport. */
OAK_API const char *oak_rpc_call_peer(const struct oak_rpc_call *call);
/* What the peer's certificate, which was verified, says of it. NULL: it showed none, the connection
 * is not encrypted, or (within `closed`) gone. Valid during the callback. */
OAK_API const struct oak_identity *oak_rpc_call_identity(const struct oak_rpc_call *call);
/* The process at the other end, and whose it is: the kernel's word, on a unix socket, encrypted or
 * not. NULL: it is no unix socket, or (within `closed`) gone. Valid during the callback. */
OAK_API const struct oak_process *oak_rpc_call_process(const struct oak_rpc_call *call);
/* Something of it has come that is not whole, or waits for the peer to make room: the peer owes
 * progress. And when something of it last came or left, on the monotonic clock; 0: never. */
OAK_API bool oak_rpc_call_owed(const struct oak_rpc_call *call);
OAK_API uint64_t oak_rpc_call_moved_ns(const struct oak_rpc_call *call);

/* Somebody who wants to know that a call has ended. Embed it; zeroed but for `ended`, it follows
 * nobody. */
struct oak_rpc_follower {
    /* After the handler's `closed`; it follows no more. It may make, cancel and finish calls. */
    void (*ended)(struct oak_rpc_follower *follower);
    struct oak_rpc_follower *next;
    struct oak_rpc_follower **back;
};
/* Work of a server's handler that may go on when the call has been closed: until it ends, it counts
 * as a call that is being worked on. Embed it; it need not be set to anything before. */
struct oak_rpc_work {
    struct oak_rpc_work *next;
    struct oak_rpc_work **back;
    struct oak_rpc_conn *conn;
    struct oak_rpc_server *server;
};
OAK_API void oak_rpc_call_begin_work(struct oak_rpc_call *call, struct oak_rpc_work *work);
/* Before the server is freed. Once, or again: then nothing happens. */
OAK_API void oak_rpc_work_end(struct oak_rpc_work *work);
/* Follow a call of the same loop. OAK_ECLOSED: it has ended; OAK_EUNIMPLEMENTED. */
OAK_API OAK_MUST_USE int oak_rpc_call_follow(struct oak_rpc_call *call,
                                             struct oak_rpc_follower *follower);
/* Follow no more; nothing, if it doesn't. */
OAK_API void oak_rpc_follower_leave(struct oak_rpc_follower *follower);

/* -- interceptors ------------------------------------------------------------------------------ */

/* What an interceptor says to a call: OAK_RPC_OK, and it goes on; anything else, and it ends with
 * this status. `text` is copied; NULL is none. */
struct oak_rpc_verdict {
    enum oak_rpc_code code;
    const char *text;
};

/* Sees every call of a server, or of a client's connections, pass: authentication, metrics,
 * tracing, limits. Several make a chain, and the first is the outermost: what comes from outside
 * it sees first on a server and last on a client; what goes out the other way round.
 *
 * A server's see the calls that begin. One that is refused before that ends without them: what is
 * no gRPC, an unknown method, headers that are too large or can't be read, a deadline that has
 * passed, and what limits forbid. Those of a known method are counted in its statistics, and those
 * that limits forbid in oak_rpc_server_traffic().
 *
 * A client's belong to its connections: a channel's call that is made again is a call of its own to
 * them for each attempt, and what ends before it has a connection they never see. Whoever wants to
 * know of a channel's calls as its user makes them wraps oak_channel_call() and the handler.
 *
 * Each function may be NULL, and may use the functions of its call, but not send messages. `state`
 * points to state_bytes of its own, zeroed when the call begins, aligned for any type; NULL when it
 * asked for none.
 */
struct oak_rpc_interceptor {
    size_t state_bytes;
    /* A call begins. Server: its metadata is there, its method is known, and has not been told.
     * Client: nothing has left; headers may be added. What refuses here refuses before the method
     * or the server knows of the call. */
    struct oak_rpc_verdict (*start)(void *user, struct oak_rpc_call *call, void *state);
    /* A message has come, and will go to the handler, decompressed as it is here. */
    struct oak_rpc_verdict (*received)(void *user, struct oak_rpc_call *call, void *state,
                                       struct oak_bytes message);
    /* A message of this size is being queued, not compressed yet. */
    struct oak_rpc_verdict (*sent)(void *user, struct oak_rpc_call *call, void *state, size_t size);
    /* Server: the response's headers are about to leave, and may be added to. Client: they have
     * come (not when the answer is only a status). */
    void (*headers)(void *user, struct oak_rpc_call *call, void *state);
    /* Server: the handler has finished the call, or an interceptor has: trailers may be added. Not
     * for a call that is lost. */
    void (*finish)(void *user, struct oak_rpc_call *call, void *state, enum oak_rpc_code code);
    /* The call has ended: once for each whose start was passed, whatever that said. On a server
     * after the handler's, on a client before it; the outermost last. */
    void (*closed)(void *user, struct oak_rpc_call *call, void *state,
                   const struct oak_rpc_status *status);
    void *user;
};
#define OAK_RPC_INTERCEPTORS_MAX 32

/* -- server ------------------------------------------------------------------------------------ */

struct oak_stub_method;

enum oak_rpc_kind {
    OAK_RPC_UNARY,
    OAK_RPC_CLIENT_STREAM,
    OAK_RPC_SERVER_STREAM,
    OAK_RPC_BIDI,
};

struct oak_rpc_method {
    const char *service; /* "etcdserverpb.KV"; static */
    const char *name;    /* "Put"; static */
    enum oak_rpc_kind kind;
    /* A call has begun: install a handler. A unary call whose peer sends two messages or none is
     * refused inside, not here: INTERNAL, as grpc-go has it. (The table of "statuscodes" names
     * UNIMPLEMENTED, by which a client would take the method for missing.) */
    void (*start)(void *user, struct oak_rpc_call *call);
    void *user;
    /* What is known of its messages (stub.h), for reflection and the like; may be NULL. */
    const struct oak_stub_method *stub;
    /* The server forgets the method: it is being freed. May be NULL. */
    void (*release)(void *user);
};

/* What a server counts for each method (metrics). */
struct oak_rpc_method_stats {
    const struct oak_rpc_method *method;
    uint64_t started;
    uint64_t handled[17]; /* by status code */
    uint64_t received;    /* messages */
    uint64_t sent;
};

/* No end, for times where 0 means a default. */
#define OAK_RPC_NEVER_NS UINT64_MAX

/* What a server lets its clients do, beside what options bound. */
struct oak_rpc_limits {
    /* Calls that are being worked on, of one connection and of all. A call counts until its handler
     * was told `closed` and all work of it has ended (oak_rpc_call_begin_work), not only until its
     * stream is gone. Past the first RESOURCE_EXHAUSTED, past the second UNAVAILABLE; both with
     * grpc-retry-pushback-ms. 0: OAK_STREAMS_MAX, OAK_HANDLERS_MAX */
    uint32_t connection_handlers_max;
    uint32_t handlers_max;
    /* What all connections may cost: their state, headers and messages that are held, calls. Past
     * it the connections that have been without a call for the longest time are closed; when none
     * is left, what needs more is refused (RESOURCE_EXHAUSTED). 0: OAK_CONNECTIONS_BYTES_MAX */
    size_t memory_bytes_max;
    /* Calls that one client may begin in a second over time (0: no limit), and at once (0: as many
     * as in a second). Past it RESOURCE_EXHAUSTED, with the time until the next may come. */
    uint32_t rate_per_second;
    uint32_t rate_burst;
    /* Who the client of a call is: by its identity, or by metadata. Borrowed until it returns; an
     * empty one is not limited. NULL: the host that it comes from. */
    struct oak_bytes (*rate_key)(void *user, const struct oak_rpc_call *call);
    void *rate_user;
    /* A connection that is so old (a tenth more or less), or has had no call for so long, is asked
     * to go (GOAWAY); its calls may end, until the grace is over. 0: never, never, no end. */
    uint64_t age_max_ns;
    uint64_t idle_max_ns;
    uint64_t age_grace_ns;
    /* PING when nothing came for so long (0: 2 h; OAK_RPC_NEVER_NS), and let the connection go
     * when nothing comes then (0: 20 s). */
    uint64_t keepalive_ns;
    uint64_t keepalive_timeout_ns;
    /* A call that has begun a message and doesn't end it, or doesn't take what is queued for it,
     * has to make some progress in so much time (a KiB), or it is reset. 0: 5 min;
     * OAK_RPC_NEVER_NS */
    uint64_t stall_ns;
    /* A client's PINGs may come so close (0: 5 s) with no call open, and so with one (0: as it
     * likes). The third too early since we last answered a call ends the connection with GOAWAY
     * ENHANCE_YOUR_CALM, "too_many_pings". */
    uint64_t ping_min_ns;
    uint64_t ping_calls_min_ns;
};

struct oak_rpc_options {
    struct oak_rpc_limits limits; /* server */
    /* One message, before and after decompression; 0: OAK_REQUEST_BYTES_MAX +
     * OAK_REQUEST_OVERHEAD_BYTES */
    size_t receive_bytes_max;
    size_t send_bytes_max; /* one message, before compression; 0: 2 GiB - 1 */
    uint32_t streams_max;  /* peer's open streams on a connection; 0: OAK_STREAMS_MAX */
    /* A stream's receive window, at first, and how far it may grow when a path carries more than a
     * window in a round trip, which is measured by PINGs as data comes. 0 and 0: 1 MiB and 4 MiB. 0
     * for the second alone: as the first, and nothing is measured. */
    uint32_t window_bytes;
    uint32_t window_bytes_max;
    /* Of all streams; half as much again as a stream's, if that grows past it. 0: 4 MiB. */
    uint32_t connection_window_bytes;
    size_t header_bytes_max;  /* 0: OAK_HEADER_BYTES_MAX */
    uint32_t connections_max; /* server; 0: OAK_CONNECTIONS_MAX */
    /* Borrowed as long as what they are given to lives; at most OAK_RPC_INTERCEPTORS_MAX. */
    const struct oak_rpc_interceptor *interceptors;
    size_t interceptor_count;
    /* Messages of a connection that have not come whole, together: past it a call that needs more
     * is refused (RESOURCE_EXHAUSTED). 0: 64 MiB for a server; no limit for a client, whose peer
     * can't make it call. */
    size_t unfinished_bytes_max;
    /* Client. Both are borrowed as long as what they were given to lives. */
    const char *authority;  /* whom requests name; NULL: the address, or "localhost" */
    const char *user_agent; /* goes before "oakum-grpc/VERSION"; NULL: nothing. Cut at 128 bytes */
};

struct oak_rpc_server;
/* `loop` is borrowed: its clock, timers and after-hooks. NULL for a server whose connections are
 * all driven by hand (oak_rpc_conn_new). */
OAK_API OAK_MUST_USE int oak_rpc_server_new(const struct oak_loop *loop,
                                            const struct oak_rpc_options *options,
                                            struct oak_rpc_server **out);
/* All connections must be closed. */
OAK_API void oak_rpc_server_free(struct oak_rpc_server *server);
/* `method` is copied; OAK_EEXIST. */
OAK_API OAK_MUST_USE int oak_rpc_server_add(struct oak_rpc_server *server,
                                            const struct oak_rpc_method *method);
/* Serve a stream. On an error (OAK_ELIMIT: too many connections, OAK_ECLOSED: draining, OAK_ENOMEM)
 * it stays the caller's. `early` is what was already read from it (to tell HTTP/2 from HTTP/1). */
OAK_API OAK_MUST_USE int oak_rpc_serve(struct oak_rpc_server *server, struct oak_stream *stream,
                                       struct oak_bytes early);
/* GOAWAY to all, end them once their calls are done, and the rest after `grace_ns`. */
OAK_API void oak_rpc_server_drain(struct oak_rpc_server *server, uint64_t grace_ns);
OAK_API size_t oak_rpc_server_connections(const struct oak_rpc_server *server);
OAK_API size_t oak_rpc_server_stats(const struct oak_rpc_server *server,
                                    const struct oak_rpc_method_stats **out);
/* What a peer can do that costs us and gets it nowhere: past a pace of it, it has to go. */
enum oak_rpc_abuse {
    OAK_RPC_ABUSE_RESETS,        /* of streams: by itself, or by us for its errors */
    OAK_RPC_ABUSE_PINGS,         /* too many, or too early */
    OAK_RPC_ABUSE_SETTINGS,      /* too often, or too many in one frame */
    OAK_RPC_ABUSE_EMPTY,         /* DATA with nothing in it */
    OAK_RPC_ABUSE_CONTROL,       /* WINDOW_UPDATE, PRIORITY, unknown frames */
    OAK_RPC_ABUSE_UNREAD,        /* it asks, and doesn't read the answers */
    OAK_RPC_ABUSE_CONTINUATIONS, /* of one block of headers */
    OAK_RPC_ABUSE_HEADERS,       /* many times larger than they may be */
    OAK_RPC_ABUSE_SLOW,          /* with its preface, or a block of headers */
    OAK_RPC_ABUSE_STALLED,       /* takes nothing of a lot that is queued */
};
#define OAK_RPC_ABUSES 10
/* "resets": as metrics write it. */
OAK_API const char *oak_rpc_abuse_name(enum oak_rpc_abuse kind);

struct oak_rpc_traffic {
    uint64_t received_bytes;
    uint64_t sent_bytes;
    uint64_t refused_busy; /* calls, because too many were being worked on */
    uint64_t refused_rate; /* calls of clients that call too often */
    uint64_t memory_bytes; /* what connections cost now */
    uint64_t shed;         /* connections closed to save memory */
    uint64_t aged;         /* connections asked to go for their age, or being idle */
    uint64_t stalled;      /* calls whose peer made no progress, see limits */
    uint64_t abuse_closed; /* connections ended for abuse, of each kind: */
    uint64_t abuse[OAK_RPC_ABUSES];
};
OAK_API void oak_rpc_server_traffic(const struct oak_rpc_server *server,
                                    struct oak_rpc_traffic *out);

/* -- client ------------------------------------------------------------------------------------ */

/* A subchannel: one address, one connection at a time, reconnected with back-off (1 s × 1.6 up to
 * 20 s, ± 20 %; first attempt at once). A call made while it connects waits, up to its deadline. */
struct oak_rpc_subchannel;

/* Of a subchannel that connects on demand. */
enum oak_rpc_subchannel_state {
    OAK_RPC_SUBCHANNEL_IDLE,
    OAK_RPC_SUBCHANNEL_CONNECTING,
    OAK_RPC_SUBCHANNEL_READY,
    OAK_RPC_SUBCHANNEL_FAILED, /* until the back-off is over: then it is IDLE */
};

/* Texts, also those of `rpc`, are borrowed for as long as the subchannel. */
struct oak_rpc_subchannel_options {
    struct oak_rpc_options rpc;
    /* Where streams come from, borrowed; NULL: the loop's own network. tls.h makes encrypted ones.
     */
    const struct oak_net *net;
    const char *name;              /* whose address it is, where ends prove who they are; or NULL */
    uint64_t connect_timeout_ns;   /* 0: 1 s */
    uint64_t backoff_first_ns;     /* 0: 1 s */
    uint64_t backoff_max_ns;       /* 0: 20 s; members that wait for each other set it low */
    uint64_t keepalive_ns;         /* PING when nothing came for so long; 0: never */
    uint64_t keepalive_timeout_ns; /* 0: 20 s */
    bool keepalive_calls_only;     /* no PING while no call is open */
    /* For one who picks among several: connect when told to, and don't again by oneself. Calls may
     * be made only while READY, which is when the server has said how many streams it takes; one
     * that has not left when the connection goes ends with it. */
    bool on_demand;
    /* The connection is up (true) or lost. Not to free the subchannel from, and so the others. May
     * be NULL. */
    void (*state)(void *user, bool connected);
    /* On demand: each change that oak_rpc_subchannel_connect did not make, and why. */
    void (*changed)(void *user, enum oak_rpc_subchannel_state state, int error);
    /* On demand: a round is over in which something happened on it. There may be room for calls. */
    void (*turned)(void *user);
    /* Its memory is gone. */
    void (*gone)(void *user);
    void *user;
};

OAK_API OAK_MUST_USE int oak_rpc_subchannel_new(const struct oak_loop *loop, const char *address,
                                                const struct oak_rpc_subchannel_options *options,
                                                struct oak_rpc_subchannel **out);
/* Ends all its calls (CANCELLED), then the connection; memory goes once the loop has run. */
OAK_API void oak_rpc_subchannel_free(struct oak_rpc_subchannel *channel);
OAK_API bool oak_rpc_subchannel_connected(const struct oak_rpc_subchannel *channel);
/* On demand: from IDLE, or from FAILED without waiting for the back-off, to CONNECTING. `changed`
 * will tell the rest. In other states nothing happens. */
OAK_API void oak_rpc_subchannel_connect(struct oak_rpc_subchannel *channel);
OAK_API enum oak_rpc_subchannel_state
oak_rpc_subchannel_state(const struct oak_rpc_subchannel *channel);
/* Calls that would start at once; 0 when it is not READY. */
OAK_API size_t oak_rpc_subchannel_room(const struct oak_rpc_subchannel *channel);

struct oak_rpc_request {
    const char *service;
    const char *method;
    uint64_t timeout_ns; /* 0: none; of a channel, its default */
    const struct oak_rpc_pair *metadata;
    size_t metadata_count;
    bool fail_fast; /* UNAVAILABLE at once when not connected, instead of waiting */
    /* Of the messages we send; the answer's is the server's choice. */
    enum oak_rpc_encoding encoding;
    /* A call for whose sake this one is made, most often one that a server is working on; of the
     * same loop. NULL: none. When it ends, this one is cancelled; the earlier of their deadlines
     * holds; headers of tracing (traceparent and its kin) are passed on, unless `metadata` has
     * them. One that has ended: OAK_ECLOSED. */
    struct oak_rpc_call *parent;
    /* What follows matters to a channel alone (channel.h). */
    bool wait_for_ready; /* wait for a connection also while all connecting fails */
    bool idempotent;     /* made twice it does what it does once: it may be made again */
    enum oak_rpc_kind kind;
    uint64_t progress_ns; /* 0: the channel's */
    /* How many attempts at the same came before: not 0, the server is told. A channel sets it. */
    uint32_t previous_attempts;
    const struct oak_rpc_handler *handler;
    void *user;
};
/* OAK_ENOMEM, OAK_ELIMIT, or OAK_ECLOSED (fail_fast and not connected). On success `closed` will
 * come. */
OAK_API OAK_MUST_USE int oak_rpc_subchannel_call(struct oak_rpc_subchannel *channel,
                                                 const struct oak_rpc_request *request,
                                                 struct oak_rpc_call **out);

/* -- the connection, without a transport ------------------------------------------------------- */

struct oak_rpc_conn;
/* `server` set: a server's side; NULL: a client's. */
OAK_API OAK_MUST_USE int oak_rpc_conn_new(struct oak_rpc_server *server,
                                          const struct oak_rpc_options *options,
                                          const char *peer_name, uint64_t now_ns,
                                          struct oak_rpc_conn **out);
/* Closes all its calls (UNAVAILABLE). */
OAK_API void oak_rpc_conn_free(struct oak_rpc_conn *conn);
/* Bytes from the peer. An error means: send what take gives, then close the transport. */
OAK_API OAK_MUST_USE int oak_rpc_conn_feed(struct oak_rpc_conn *conn, struct oak_bytes bytes,
                                           uint64_t now_ns);
/* The next bytes for the peer, valid until the next call on this connection; empty: nothing now. */
OAK_API struct oak_bytes oak_rpc_conn_take(struct oak_rpc_conn *conn);
/* Deadlines and keepalive; *next_ns is when to come again (0: not needed). */
OAK_API void oak_rpc_conn_tick(struct oak_rpc_conn *conn, uint64_t now_ns, uint64_t *next_ns);
/* Nothing more will come or go: close the transport. */
OAK_API bool oak_rpc_conn_done(const struct oak_rpc_conn *conn);
OAK_API OAK_MUST_USE int oak_rpc_conn_call(struct oak_rpc_conn *conn,
                                           const struct oak_rpc_request *request, uint64_t now_ns,
                                           struct oak_rpc_call **out);

#ifdef __cplusplus
}
#endif

#endif
