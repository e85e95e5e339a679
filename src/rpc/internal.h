/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the rpc room share. See README.md for the order to read them in.
 *
 * Two objects carry the room. A connection owns one nghttp2 session and the calls on it. A call is
 * one HTTP/2 stream, and lives from its first header (or from oak_rpc_conn_call) until two things
 * are true: its handler has been told `closed`, and nghttp2 has forgotten its stream. Whichever
 * comes first waits for the other, so neither the handler nor nghttp2 ever holds a dead pointer.
 */
#ifndef OAK_RPC_INTERNAL_H
#define OAK_RPC_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "oakum/carrier.h"
#include "port/port.h"
#include "rpc/lend.h"
#include "rpc/limits.h"
#include "rpc/share.h"
#include "zip/zip.h"

/* -- memory ------------------------------------------------------------------------------------ */

/* As realloc, through base. */
void *rpc__resize(void *p, size_t size);

/* Calls kept for reuse; one pool for all connections of a server or of a channel. */
struct block;

struct rpc_pool {
    struct oak_list spare;
    uint32_t spare_count;
    struct oak_buf fields; /* scratch: nghttp2_nv while headers are submitted */
    struct oak_buf text;   /* scratch: encoded values */
    struct oak_zip zip;
    struct block *blocks[RPC_POOLED_STEPS]; /* free ones, by size */
    size_t block_bytes;
    struct oak_buf large[RPC_LARGE_BUFFERS]; /* of messages that were large; empty */
    struct oak_buf packed; /* scratch: a message made smaller, one made whole again */
    struct oak_buf unpacked;
};

void rpc__pool_init(struct rpc_pool *pool);
void rpc__pool_fini(struct rpc_pool *pool);
/* An empty buffer for a large message: one that is kept takes its place, if there is one. And what
 * was used, empty again: kept for the next, or freed. */
void rpc__large_take(struct rpc_pool *pool, struct oak_buf *buffer);
void rpc__large_give(struct rpc_pool *pool, struct oak_buf *buffer);

/* -- memory.c: what connections cost ----------------------------------------------------------- */

/* Charge bytes to a connection and its server, and take them off again. */
void rpc__charge(struct oak_rpc_conn *conn, size_t bytes);
void rpc__discharge(struct oak_rpc_conn *conn, size_t bytes);
/* Is there room for more? Sheds idle connections if need be. */
bool rpc__memory_fits(struct oak_rpc_server *server);
/* A server's connection has no call open, from now on or no longer. */
void rpc__idle_begin(struct oak_rpc_conn *conn);
void rpc__idle_end(struct oak_rpc_conn *conn);
/* What the connection's session takes its memory from; and the end of what it left behind. */
nghttp2_mem rpc__memory(struct oak_rpc_conn *conn);
void rpc__memory_end(struct oak_rpc_conn *conn);
void rpc__blocks_fini(struct rpc_pool *pool);

/* -- headers.c --------------------------------------------------------------------------------- */

/* "5S" to nanoseconds. OAK_EFORMAT. Times past what 64 bits hold are cut to the largest. */
OAK_MUST_USE int rpc__timeout_parse(struct oak_bytes text, uint64_t *ns);
/* At most 8 digits and a unit, rounded up; `out` has RPC_TIMEOUT_TEXT_BYTES. The length. */
#define RPC_TIMEOUT_TEXT_BYTES 12
size_t rpc__timeout_format(uint64_t ns, char *out);
/* Append the encoding of a status message. OAK_ENOMEM. */
OAK_MUST_USE int rpc__percent_encode(struct oak_buf *out, struct oak_bytes text);
/* Append the decoding; what is no valid escape stays as it is. OAK_ENOMEM. */
OAK_MUST_USE int rpc__percent_decode(struct oak_buf *out, struct oak_bytes text);
/* Unpadded, as gRPC wants it. OAK_ENOMEM. */
OAK_MUST_USE int rpc__base64_encode(struct oak_buf *out, struct oak_bytes raw);
/* With or without padding. OAK_EFORMAT (out is as before), OAK_ENOMEM. */
OAK_MUST_USE int rpc__base64_decode(struct oak_buf *out, struct oak_bytes text);
bool rpc__name_is_binary(struct oak_bytes name);

/* Pairs in one buffer: two lengths, name, value; again and again. */
OAK_MUST_USE int rpc__pairs_add(struct oak_buf *pairs, struct oak_bytes name,
                                struct oak_bytes value);
/* As a peer sent it: a binary value is decoded, and cut at its commas. OAK_EFORMAT, OAK_ENOMEM. */
OAK_MUST_USE int rpc__pairs_add_wire(struct oak_buf *pairs, struct oak_bytes name,
                                     struct oak_bytes value);
/* As our user gave it: checked, a binary value encoded. OAK_EINVAL, OAK_ENOMEM. */
OAK_MUST_USE int rpc__pairs_add_user(struct oak_buf *pairs, struct oak_rpc_pair pair);
/* The first value of a name; data NULL when absent. */
struct oak_bytes rpc__pairs_find(const struct oak_buf *pairs, struct oak_bytes name);
/* The pair at *at, which moves on; false at the end. */
bool rpc__pairs_next(const struct oak_buf *pairs, size_t *at, struct oak_rpc_pair *out);

/* -- calls ------------------------------------------------------------------------------------- */

struct rpc_method {
    struct oak_rpc_method public;
    struct oak_rpc_method_stats *stats; /* in the server's table */
    size_t path_size;
    char path[]; /* "/service/name" */
};

/* Why a server refuses a call before it starts. */
enum rpc_refusal {
    RPC_REFUSE_NOTHING,
    RPC_REFUSE_METHOD,       /* not POST */
    RPC_REFUSE_CONTENT_TYPE, /* not gRPC */
    RPC_REFUSE_TIMEOUT,      /* grpc-timeout can't be read */
    RPC_REFUSE_BINARY,       /* a "-bin" value is no base64 */
    RPC_REFUSE_ENCODING,     /* a compression we don't have */
    RPC_REFUSE_MEMORY,
};

struct oak_rpc_call {
    struct oak_rpc_call_base base; /* without ops: a carrier's call is not of this struct */
    struct oak_list link;          /* conn->open, conn->waiting or pool->spare */
    struct oak_list ready_link;    /* conn->ready */
    struct oak_rpc_conn *conn;
    const struct oak_rpc_handler *handler; /* NULL before `start` and after `closed` */
    void *user;
    const struct rpc_method *method; /* server; NULL: unknown path */
    uint64_t deadline_ns;
    uint32_t heap_place; /* in conn->deadlines, from 1; 0: not there */
    int32_t stream_id;   /* 0: none yet, or no more */
    enum rpc_refusal refusal;
    enum oak_rpc_encoding encoding_in; /* of messages whose flag says that they are compressed */
    enum oak_rpc_encoding encoding_out;
    uint8_t chain_count;  /* interceptors whose start it passed */
    uint8_t accepts;      /* server: what the client takes, a bit for each encoding */
    uint32_t http_status; /* client */
    uint64_t moved_bytes; /* since it was last looked at for progress */
    uint64_t moved_ns;    /* when bytes of it last came or left; 0: never */

    bool counted : 1;          /* server: in the statistics */
    bool headers_due : 1;      /* submitted headers are in nghttp2's hands */
    bool headers_received : 1; /* the first block of headers is complete */
    bool content_ok : 1;       /* client: the answer is gRPC */
    bool post : 1;             /* server: the request method */
    bool bodiless : 1;         /* server: HEAD: an answer has no body */
    bool http_due : 1;         /* server: an answer of HTTP, once the request has come whole */
    bool plain : 1;            /* server: `out` is the body of such an answer */
    bool trailers_received : 1;
    bool trailers_begun : 1;
    bool status_received : 1; /* client: grpc-status was there */
    bool remote_closed : 1;   /* END_STREAM came, or RST_STREAM: the peer says nothing more */
    bool half_due : 1;        /* END_STREAM came, and the handler has not been told */
    bool local_done : 1;      /* we will queue nothing more: half-closed or finished */
    bool finished : 1;        /* server: a status was given */
    bool deferred : 1;        /* nghttp2 waits for oak_rpc_call_send or the end */
    bool paused : 1;
    bool deaf : 1;        /* what still comes is dropped */
    bool ended : 1;       /* `closed` was called */
    bool cancelled : 1;   /* by us; `closed` follows */
    bool over_mark : 1;   /* more than the high mark was queued */
    bool finishing : 1;   /* server: the interceptors are being told of the status */
    bool admitted : 1;    /* server: counted in the handlers of its connection and server */
    bool verdict_due : 1; /* client: an interceptor has ended it; `closed` follows */
    bool was_owed : 1;    /* at that look, its peer owed progress */
    bool compress : 1;    /* messages sent from here on */
    bool pack_due : 1;    /* the last message in `out`, which begins at pack_at, is to be packed */
    bool was_packed : 1;  /* the message that is being delivered came compressed */
    bool in_packed : 1;   /* what is in `in` is compressed */
    bool one_held : 1;    /* server: the only message waits in `in` for END_STREAM */
    bool waiting : 1;     /* client: in conn->waiting */
    bool sent : 1;        /* client: its headers have left */
    bool refused : 1;     /* client: the server did not look at it */
    bool was_reset : 1;   /* RST_STREAM is in nghttp2's hands */
    bool stream_gone : 1; /* client: nghttp2 closed it, and paused messages wait */
    bool malformed : 1;   /* server: it is no request of HTTP/2 (messaging.c), */
    bool star : 1;        /* server: its path is "*", */
    bool has_length : 1;  /* server: it has a content-length, */

    uint8_t http_seen;    /* server: and these headers, */
    uint64_t length_left; /* of which so much has not come */
    uint8_t prefix[5];    /* of the message that is coming */
    uint8_t prefix_used;
    uint32_t need;     /* its length, once the prefix is whole */
    uint32_t messages; /* received */
    size_t header_bytes;
    size_t charged_bytes; /* to its connection; what is left of it goes with the call */

    struct oak_buf meta;   /* received: pairs */
    size_t trailers_at;    /* client: of them, those from here on are trailers */
    struct oak_buf head;   /* to send in headers: pairs. Client: path and authority first */
    struct oak_buf tail;   /* to send in trailers: pairs */
    struct oak_buf out;    /* framed messages to send */
    size_t out_at;         /* taken of them */
    struct oak_buf shares; /* what goes between them, of bytes that others send too (share.c) */
    size_t shares_done;    /* taken of those */
    size_t shared_left;    /* bytes */
    size_t part_left;      /* of the message that is sent in parts */
    uint64_t lent_turn;    /* of the last take that something of `out` was lent to; 0: none */
    size_t pack_at;
    struct oak_buf in;         /* the message that is coming, behind its prefix */
    struct oak_buf *delivered; /* within `message`: where that lies in the same way; or NULL */
    struct oak_buf held;       /* DATA that came while paused */
    enum oak_rpc_code code;
    struct oak_buf status_text; /* decoded */
    struct oak_buf states;      /* of the interceptors, one behind the other */
    struct oak_rpc_follower following;
    struct oak_rpc_follower *followers;
    struct oak_rpc_work *works; /* that may outlive it */
};

/* NULL: a stream of one of our connections. Else the call is not of our struct, and its table says
 * what to do. */
static inline const struct oak_rpc_call_ops *rpc__carrier(const struct oak_rpc_call *call)
{
    return ((const struct oak_rpc_call_base *)(const void *)call)->ops;
}

/* Charge a call, and so its connection. */
void rpc__call_charge(struct oak_rpc_call *call, size_t bytes);
void rpc__call_discharge(struct oak_rpc_call *call, size_t bytes);
/* A clean call in the connection's `open` list, NULL without memory. */
struct oak_rpc_call *rpc__call_new(struct oak_rpc_conn *conn);
/* Tell the handler `closed`, once. The memory stays until the stream is gone. */
void rpc__call_end(struct oak_rpc_call *call, enum oak_rpc_code code, struct oak_bytes text);
/* Its stream is gone and it has ended: back to the pool. */
void rpc__call_release(struct oak_rpc_call *call);
/* Refuse what the peer does: a server finishes with the status, a client resets and ends. */
void rpc__call_refuse(struct oak_rpc_call *call, enum oak_rpc_code code, const char *text);
/* An interceptor ends it: a server finishes with the status, a client resets, and ends soon. */
void rpc__call_verdict(struct oak_rpc_call *call, struct oak_rpc_verdict verdict);
/* Drop what was queued to send, or what was received and not delivered. */
void rpc__call_drop_out(struct oak_rpc_call *call);
void rpc__call_drop_in(struct oak_rpc_call *call);
/* The deadline has passed. */
void rpc__call_expire(struct oak_rpc_call *call);
/* RST_STREAM, if there is a stream. */
void rpc__call_reset(struct oak_rpc_call *call, uint32_t error);
/* nghttp2 asks for bytes of a call. */
ssize_t rpc__call_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t length,
                       uint32_t *flags, nghttp2_data_source *source, void *user);
int rpc__call_write(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *framehd,
                    size_t length, nghttp2_data_source *source, void *user);
/* Look at the call again outside of nghttp2's callbacks; and that look, which may free the call. */
void rpc__call_ready(struct oak_rpc_call *call);
void rpc__call_look(struct oak_rpc_call *call);

/* -- frame.c: the 5-byte framing --------------------------------------------------------------- */

/* DATA of the call's stream; `last`: of a frame with END_STREAM. */
void rpc__frame_data(struct oak_rpc_call *call, struct oak_bytes bytes, bool last);
/* END_STREAM came. */
void rpc__frame_end(struct oak_rpc_call *call);
/* What has come of the message that is put together. */
size_t rpc__in_size(const struct oak_rpc_call *call);
/* Go on after a pause, if there is something to go on with. */
void rpc__frame_resume(struct oak_rpc_call *call);

/* -- pack.c: compression ----------------------------------------------------------------------- */

const char *rpc__encoding_name(enum oak_rpc_encoding encoding);
/* False: a name we don't know. */
bool rpc__encoding_parse(struct oak_bytes text, enum oak_rpc_encoding *out);
/* A list by commas: a bit for each that we know. */
uint8_t rpc__encodings_parse(struct oak_bytes list);
/* All that we know, as such a list. */
#define RPC_ENCODINGS "identity,gzip,deflate"
/* The message whose head stands at `at` in `out` is to be packed, once it has been filled. */
void rpc__pack_begin(struct oak_rpc_call *call, size_t at);
/* Pack what is due. */
void rpc__pack(struct oak_rpc_call *call);
/* What is in a packed message, or false: the call was refused. The buffer goes back in either case.
 */
bool rpc__unpack(struct oak_rpc_call *call, struct oak_bytes packed, struct oak_buf *out);
void rpc__unpack_end(struct oak_rpc_call *call, struct oak_buf used);

/* -- intercept.c: the chain -------------------------------------------------------------------- */

/* Each is told; *out is what stopped it, if anything did. OAK_ENOMEM. */
OAK_MUST_USE int rpc__chain_start(struct oak_rpc_call *call, struct oak_rpc_verdict *out);
/* False: the call has been ended. */
bool rpc__chain_received(struct oak_rpc_call *call, struct oak_bytes message);
bool rpc__chain_sent(struct oak_rpc_call *call, size_t size);
void rpc__chain_headers(struct oak_rpc_call *call);
void rpc__chain_finish(struct oak_rpc_call *call, enum oak_rpc_code code);
void rpc__chain_closed(struct oak_rpc_call *call, const struct oak_rpc_status *status);

/* -- admit.c, rates.c: may one more call begin? ------------------------------------------------ */

struct rpc_rates;

/* 16 bytes of secret for the hash. OAK_ENOMEM. */
OAK_MUST_USE int rpc__rates_new(uint32_t per_second, uint32_t burst, const uint64_t key[2],
                                struct rpc_rates **out);
void rpc__rates_free(struct rpc_rates *rates);
/* Take a token of the client. 0, or how long to wait for one. */
uint64_t rpc__rates_take(struct rpc_rates *rates, struct oak_bytes client, uint64_t now_ns);
uint64_t rpc__siphash(const uint64_t key[2], struct oak_bytes text);

/* False: it was refused. */
bool rpc__admit(struct oak_rpc_call *call);
/* The call has ended; the connection ends, and works that go on are no longer its own. */
void rpc__admit_end(struct oak_rpc_call *call);
void rpc__admit_forget(struct oak_rpc_conn *conn);

/* -- propagate.c: calls for the sake of others ------------------------------------------------- */

/* Deadline, tracing and cancellation of the request's parent. OAK_ECLOSED, OAK_ENOMEM. */
OAK_MUST_USE int rpc__propagate(struct oak_rpc_call *call, const struct oak_rpc_request *request);

/* -- deadlines.c: a heap of calls by deadline -------------------------------------------------- */

struct rpc_deadlines {
    struct oak_rpc_call **calls;
    uint32_t count;
    uint32_t capacity;
};

OAK_MUST_USE int rpc__deadlines_add(struct rpc_deadlines *d, struct oak_rpc_call *call);
/* Not there: nothing happens. */
void rpc__deadlines_remove(struct rpc_deadlines *d, struct oak_rpc_call *call);
void rpc__deadlines_fini(struct rpc_deadlines *d);

/* -- strict.c: frames that the RFC forbids and nghttp2 lets pass --------------------------------
 */

/* Streams that closed last, and ranges of ids that were skipped: what a peer that errs touches next
 * is near. */
#define RPC_STRICT_CLOSED  32
#define RPC_STRICT_SKIPPED 4

struct rpc_skipped {
    int32_t from; /* both are of the range; zeroed: none */
    int32_t to;
};

struct rpc_strict {
    int32_t last_id; /* of the newest stream; -1 before the first */
    uint32_t closed_count;
    uint32_t skipped_count;
    int32_t closed[RPC_STRICT_CLOSED]; /* 0: none */
    struct rpc_skipped skipped[RPC_STRICT_SKIPPED];
};

/* A header of a request, or of its trailers. True: it may be used. */
bool rpc__messaging_header(struct oak_rpc_call *call, struct oak_bytes name,
                           struct oak_bytes value);
/* False: the request as a whole is malformed; so much DATA may not come; it may not end here. */
bool rpc__messaging_request(const struct oak_rpc_call *call);
bool rpc__messaging_data(struct oak_rpc_call *call, size_t size);
bool rpc__messaging_end(const struct oak_rpc_call *call);

/* A client opened a stream; one closed on which the client had said its last word. */
void rpc__strict_opened(struct oak_rpc_conn *conn, int32_t stream_id);
void rpc__strict_closed(struct oak_rpc_conn *conn, int32_t stream_id);
/* A frame begins. NGHTTP2_NO_ERROR, or what the connection is to end with. */
uint32_t rpc__strict_head(const struct oak_rpc_conn *conn, const nghttp2_frame_hd *head);

/* -- abuse.c: what a peer may do how often ----------------------------------------------------- */

/* A token bucket. Zeroed: full at its first use. */
struct rpc_bucket {
    uint64_t filled_ns;
    uint32_t used;
};

struct rpc_guard {
    struct rpc_bucket resets; /* streams reset by the peer, or by us for its faults */
    struct rpc_bucket pings;
    struct rpc_bucket settings;
    struct rpc_bucket empties; /* DATA with nothing in it */
    struct rpc_bucket others;  /* PRIORITY, WINDOW_UPDATE, unknown */
    uint64_t ping_ns;          /* when the last came; 0: none, or forgiven */
    uint8_t ping_strikes;
    enum oak_rpc_abuse kind;
    const char *reason; /* set: the peer must go, and this is the debug data */
};

/* The peer has to go, for this: false. And one that went is counted. */
bool rpc__guard_refuse(struct oak_rpc_conn *conn, enum oak_rpc_abuse kind, const char *reason);
void rpc__guard_count(struct oak_rpc_traffic *traffic, enum oak_rpc_abuse kind);
/* A frame begins, a frame came, a reset left. False: the peer went too far, and guard->reason says
 * how. */
bool rpc__guard_head(struct oak_rpc_conn *conn, const nghttp2_frame_hd *head);
bool rpc__guard_frame(struct oak_rpc_conn *conn, const nghttp2_frame *frame);
bool rpc__guard_reset_sent(struct oak_rpc_conn *conn, uint32_t error);
bool rpc__guard_headers(struct oak_rpc_conn *conn, size_t header_bytes);
/* HEADERS or DATA left: PINGs that answer them (bandwidth probes) are no strikes. */
void rpc__guard_sent(struct oak_rpc_conn *conn);

/* -- bandwidth.c: how large windows have to be ------------------------------------------------- */

struct rpc_bandwidth {
    bool asked;        /* a PING is out */
    uint64_t asked_ns; /* since then, */
    uint64_t bytes;    /* and what came since; or since its answer */
    uint64_t best;     /* bytes a second, of all answers */
    uint64_t after_ns; /* no other PING before */
};

void rpc__bandwidth_data(struct oak_rpc_conn *conn, size_t size);
/* False: that PING was none of this file's. */
bool rpc__bandwidth_answer(struct oak_rpc_conn *conn, const uint8_t payload[8]);

/* -- connections ------------------------------------------------------------------------------- */

struct oak_rpc_conn {
    nghttp2_session *session;
    struct oak_rpc_server *server; /* NULL: client */
    struct rpc_pool *pool;         /* the server's, the channel's, or own_pool */
    struct rpc_pool own_pool;
    struct oak_rpc_options options; /* no zeros */
    struct oak_list open;           /* calls with a stream, or ended ones whose stream lingers */
    struct oak_list waiting;        /* client: calls without a stream yet, in order */
    struct oak_list ready;
    uint32_t open_count;
    uint32_t waiting_count;
    uint32_t handlers;          /* server: admitted calls, and `works` */
    struct oak_rpc_work *works; /* whose calls have ended */
    struct rpc_deadlines deadlines;
    struct oak_buf out;     /* for oak_rpc_conn_take */
    size_t gather_end;      /* enough, for a take in progress */
    struct oak_buf *gather; /* where a take in progress puts bytes */
    struct rpc_lent *lent;  /* of that take; NULL: nothing is lent */
    struct rpc_bandwidth bandwidth;
    size_t memory_bytes; /* all that is charged to it */
    struct block *aside;
    struct oak_list idle_link; /* server->idle */
    size_t held_bytes;         /* in `held` of its calls */
    size_t partial_bytes;      /* in `in` of its calls */
    size_t owed_bytes;         /* of the connection's window, kept back from the peer */
    uint64_t now_ns;
    uint64_t heard_ns;   /* last bytes from the peer */
    uint64_t begun_ns;   /* when the connection, and then a block of headers, began; 0: none open */
    uint64_t pinged_ns;  /* our PING is out since; 0: none */
    uint64_t idle_ns;    /* server: no call has been open since */
    uint64_t age_due_ns; /* server: when it is too old; 0: never */
    uint64_t stall_due_ns; /* server: when its calls are looked at for progress; 0: none is open */
    uint64_t drain_ns;     /* first GOAWAY of a drain was submitted; 0: no drain */
    uint64_t keepalive_ns; /* 0: never */
    uint64_t keepalive_timeout_ns;
    bool keepalive_calls_only;
    struct rpc_guard guard;
    struct rpc_strict strict;
    int broken;          /* an OAK_E code: say goodbye and go */
    bool starved;        /* nghttp2 got no memory: what it frees is laid aside */
    bool shed;           /* to save memory: not in the server's any more */
    bool goodbye_queued; /* the last GOAWAY was written by hand */
    bool settings_received;
    bool secure;   /* the stream below is encrypted */
    bool fruitful; /* client: an answer came */
    bool hurried;  /* client: the peer said that our PINGs are too many */
    bool going;    /* client: GOAWAY came, or ids ran out: start no more calls here */
    bool drain_final;
    bool outlived;  /* it drains because of its age, or was idle */
    uint32_t depth; /* inside feed, take or tick */
    /* There may be something to take. May be NULL. */
    void (*wake)(void *user);
    void *wake_user;
    const struct oak_identity *identity; /* of the peer, the stream's; NULL: unknown */
    const struct oak_process *process;   /* likewise */
    char authority[256];                 /* client */
    char user_agent[160];
    char peer[64];
};

/* What was given (NULL: nothing), defaults of that side and ceilings in place of zeros. */
struct oak_rpc_options rpc__options(const struct oak_rpc_options *given, bool server);
/* As oak_rpc_conn_new, with a shared pool (NULL: its own). */
OAK_MUST_USE int rpc__conn_new(struct oak_rpc_server *server, struct rpc_pool *pool,
                               const struct oak_rpc_options *options, const char *peer_name,
                               uint64_t now_ns, struct oak_rpc_conn **out);
void rpc__conn_wake(struct oak_rpc_conn *conn);
/* Look at the calls that asked for it. A look may ask for another one. */
void rpc__conn_looks(struct oak_rpc_conn *conn);
/* Append at most about RPC_TAKE_BYTES, what is lent included. `lent` NULL: nothing is. */
void rpc__conn_gather(struct oak_rpc_conn *conn, struct oak_buf *out, struct rpc_lent *lent);
/* By the take in progress so far. */
size_t rpc__conn_gathered(const struct oak_rpc_conn *conn);
/* The connection can't go on for want of memory or by abuse. */
void rpc__conn_break(struct oak_rpc_conn *conn, int error);
/* What a function of nghttp2 answered: want of memory breaks the connection, the rest (a stream
 * that is closing already) takes care of itself. */
void rpc__conn_check(struct oak_rpc_conn *conn, int rc);
/* Credit the connection's window for bytes that came; and take back what was held for a paused
 * call. */
void rpc__conn_received(struct oak_rpc_conn *conn, size_t size);
void rpc__conn_unhold(struct oak_rpc_conn *conn, size_t size);
/* A client's transport is there: its times begin. */
void rpc__conn_begin(struct oak_rpc_conn *conn, uint64_t now_ns,
                     const struct oak_rpc_subchannel_options *options);
/* End all calls that have started, or those that have not, with this status. */
void rpc__conn_end_open(struct oak_rpc_conn *conn, enum oak_rpc_code code, const char *text);
void rpc__conn_end_waiting(struct oak_rpc_conn *conn, enum oak_rpc_code code, const char *text);
/* First GOAWAY; the second follows by tick. */
void rpc__conn_drain(struct oak_rpc_conn *conn);
/* nghttp2's callbacks of the receiving side (inbound.c). */
void rpc__inbound_register(nghttp2_session_callbacks *callbacks);

/* -- stream.c: a connection over a byte stream --------------------------------------------------
 */

/* What a server or a channel has for all its connections. */
struct rpc_link;

struct rpc_links {
    const struct oak_loop *loop;
    struct oak_list all;    /* by rpc_link.link */
    struct oak_list dirty;  /* by rpc_link.dirty_link: to be flushed when the round ends */
    struct oak_after after; /* added while `dirty` is not empty */
    struct oak_timer soon;  /* see link_wake */
    struct oak_buf out;     /* gathered, written, forgotten */
    struct rpc_lent lent;   /* with it */
    struct oak_rpc_traffic *traffic;
    /* The stream is gone; calls are still there, to be moved. Then: they were ended, link is freed.
     */
    void (*lost)(struct rpc_links *links, struct rpc_link *link);
    void (*gone)(struct rpc_links *links);
    /* After a round's flush. */
    void (*flushed)(struct rpc_links *links);
};

/* One connection and its stream. */
struct rpc_link {
    struct oak_list link;
    struct oak_list dirty_link;
    struct rpc_links *links;
    struct oak_stream *stream; /* NULL: not connected yet, or gone */
    struct oak_rpc_conn *conn;
    struct oak_timer timer;
    struct oak_stream_handler handler;
    bool closing;
    bool stalled;         /* too much is queued: don't take; a server doesn't read either */
    size_t stalled_bytes; /* queued when it was last looked at */
    uint64_t stalled_ns;
};

void rpc__links_init(struct rpc_links *links, const struct oak_loop *loop);
void rpc__links_fini(struct rpc_links *links);
/* A link that owns `conn`, without a stream yet. NULL without memory (conn is then still yours). */
struct rpc_link *rpc__link_new(struct rpc_links *links, struct oak_rpc_conn *conn);
/* Attach the stream and start. */
void rpc__link_open(struct rpc_link *link, struct oak_stream *stream, struct oak_bytes early);
/* End the calls, then the stream: at once, or once what is queued has left. */
void rpc__link_close(struct rpc_link *link, bool now);
/* A link without a stream: end its calls and free it. */
void rpc__link_free(struct rpc_link *link);

/* -- server.c ---------------------------------------------------------------------------------- */

struct oak_rpc_server {
    const struct oak_loop *loop;
    struct oak_rpc_options options; /* no zeros */
    struct rpc_pool pool;
    struct rpc_method **methods;        /* method_count, in order of adding */
    struct oak_rpc_method_stats *stats; /* beside it */
    size_t method_count;
    struct rpc_method **index; /* by hash of the path, open addressing; a power of two */
    size_t index_size;
    struct oak_rpc_traffic traffic;
    struct rpc_links links;
    uint32_t link_count;
    struct oak_timer grace;
    bool draining;
    uint32_t handlers;       /* calls that are being worked on */
    struct rpc_rates *rates; /* NULL: no limit */
    struct oak_list idle;    /* connections without a call, the longest so first */
    struct oak_prng prng;    /* spreads the ages of connections */
};

const struct rpc_method *rpc__server_find(const struct oak_rpc_server *server,
                                          struct oak_bytes path);
/* A request's headers are complete: start the call or refuse it. */
void rpc__server_dispatch(struct oak_rpc_call *call);
/* A request that is not gRPC has come whole. */
void rpc__server_answer_http(struct oak_rpc_call *call);

/* -- client.c ---------------------------------------------------------------------------------- */

/* Start waiting calls while the peer takes more. */
void rpc__client_start(struct oak_rpc_conn *conn);
/* How many calls would start at once. */
size_t rpc__client_room(const struct oak_rpc_conn *conn);
/* Hand the waiting calls over to a fresh connection. */
void rpc__client_move_waiting(struct oak_rpc_conn *from, struct oak_rpc_conn *to);
/* A block of headers begins, and is complete. */
void rpc__client_headers_begin(struct oak_rpc_call *call, bool end_stream);
void rpc__client_headers(struct oak_rpc_call *call, bool end_stream);
/* Its stream closed: what status follows from what came. */
void rpc__client_finish(struct oak_rpc_call *call, uint32_t error);
enum oak_rpc_code rpc__code_of_http(uint32_t http_status);
enum oak_rpc_code rpc__code_of_reset(uint32_t error);

/* -- submit.c: headers and trailers to nghttp2 ------------------------------------------------- */

/* Each returns 0 or OAK_ENOMEM. */
OAK_MUST_USE int rpc__submit_request(struct oak_rpc_call *call);
OAK_MUST_USE int rpc__submit_headers(struct oak_rpc_call *call);
OAK_MUST_USE int rpc__submit_trailers(struct oak_rpc_call *call);
/* Headers and status in one, no message. */
OAK_MUST_USE int rpc__submit_trailers_only(struct oak_rpc_call *call);
/* An answer that is not gRPC, with what is queued as its body. */
OAK_MUST_USE int rpc__submit_http_status(struct oak_rpc_call *call, const char *status);

#endif
