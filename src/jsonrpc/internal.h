/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the jsonrpc room share.
 *
 * A connection owns calls. A call is one request that a method was given; to the method it is a
 * struct oak_rpc_call like any other. It ends in one place, jsonrpc__call_end: when its reply has
 * been written, or its connection is gone.
 */
#ifndef OAK_JSONRPC_INTERNAL_H
#define OAK_JSONRPC_INTERNAL_H

#include "json/json.h"
#include "oakum/carrier.h"
#include "oakum/jsonrpc.h"
#include "oakum/stub.h"
#include "port/port.h"

/* -- limits of this room ----------------------------------------------------------------------- */

#define JSONRPC_SECOND_NS ((uint64_t)1000 * 1000 * 1000)
/* From the first byte of a request to its last: the largest in this time is 35 KiB/s. */
#define JSONRPC_MESSAGE_NS (120 * JSONRPC_SECOND_NS)
/* A peer that takes nothing of what is queued for this long is cut off. */
#define JSONRPC_WRITE_NS (30 * JSONRPC_SECOND_NS)
/* What is queued when a connection is closed has this long to leave. */
#define JSONRPC_LINGER_NS (5 * JSONRPC_SECOND_NS)
/* With more than this queued, no new request is begun. */
#define JSONRPC_QUEUE_HIGH_BYTES (256 * OAK_KIB)
/* An id is given back as it was written, and kept until then. */
#define JSONRPC_ID_BYTES_MAX ((size_t)1024)
/* A name of a method, of which errors tell a part. */
#define JSONRPC_NAME_BYTES_MAX ((size_t)512)
/* The text of a status that a reply carries. */
#define JSONRPC_STATUS_BYTES_MAX (16 * OAK_KIB)
/* A buffer that grew past this is not kept. */
#define JSONRPC_KEEP_BYTES (64 * OAK_KIB)

/* Codes of the specification; those of gRPC's statuses are JSONRPC_STATUS less their number. */
enum jsonrpc_code {
    JSONRPC_PARSE = -32700,
    JSONRPC_REQUEST = -32600,
    JSONRPC_METHOD = -32601,
    JSONRPC_PARAMS = -32602,
    JSONRPC_STATUS = -32000,
};

/* -- a request --------------------------------------------------------------------------------- */

/* How a request is answered. */
struct jsonrpc_return {
    struct oak_bytes id; /* as it was written; empty: null */
    bool old;            /* by 1.0 */
    bool silent;         /* a notification: not at all */
};

/* Several that are answered by one array. */
struct jsonrpc_batch {
    struct oak_buf out; /* what is there of it */
    size_t open;        /* requests that are not answered */
};

/* -- a call ------------------------------------------------------------------------------------ */

struct jsonrpc_call {
    struct oak_rpc_call_base base;
    struct oak_list link; /* conn->open, then conn->done */
    struct jsonrpc_conn *conn;
    struct jsonrpc_batch *batch; /* NULL: by itself */
    const struct oak_rpc_method *method;
    const struct oak_rpc_handler *handler;
    void *user;
    struct oak_rpc_follower *followers;
    uint64_t deadline_ns; /* 0: none */
    struct jsonrpc_return back;
    size_t cost;       /* bytes of its text: counted in conn->cost */
    struct oak_buf in; /* the request, until it is delivered */
    struct oak_buf out;
    struct oak_buf path; /* "/service/method" */
    struct oak_buf status_text;
    struct oak_buf details;
    struct oak_buf states; /* of the interceptors, one behind the other */
    uint8_t chain_count;   /* interceptors whose start it passed */
    enum oak_rpc_code code;
    bool answered; /* it has a message in `out` */
    bool finishing;
    bool finished;
    bool delivered;
    bool paused;
    uint8_t id[]; /* what back.id is */
};

/* Give a request to its method; `text` is that of the message it came in. OAK_ENOMEM: no. */
OAK_MUST_USE int jsonrpc__call_start(struct jsonrpc_conn *conn, const struct oak_rpc_method *method,
                                     const struct jsonrpc_return *back, struct jsonrpc_batch *batch,
                                     struct oak_buf *request, size_t cost);
void jsonrpc__call_finish(struct jsonrpc_call *call, enum oak_rpc_code code, const char *text);
/* What was held back while the call was paused. */
void jsonrpc__call_deliver(struct jsonrpc_call *call);
/* Tell the handler `closed`, and free it. */
void jsonrpc__call_end(struct jsonrpc_call *call, enum oak_rpc_code code);

/* -- chain.c: interceptors --------------------------------------------------------------------- */

/* OAK_ENOMEM. The call may have been finished. */
OAK_MUST_USE int jsonrpc__chain_start(struct jsonrpc_call *call);
/* False: the call has been finished. */
bool jsonrpc__chain_received(struct jsonrpc_call *call, struct oak_bytes message);
bool jsonrpc__chain_sent(struct jsonrpc_call *call, size_t size);
void jsonrpc__chain_finish(struct jsonrpc_call *call, enum oak_rpc_code code);
void jsonrpc__chain_closed(struct jsonrpc_call *call, const struct oak_rpc_status *status);

/* -- a connection ------------------------------------------------------------------------------ */

struct jsonrpc_conn {
    struct oak_list link; /* server->conns */
    struct oak_list dirty_link;
    struct oak_jsonrpc_server *server;
    struct oak_stream *stream;
    struct oak_list open; /* calls, by their start and so by their deadline */
    struct oak_list done; /* finished, not replied to */
    size_t calls;         /* of both */
    size_t cost;          /* text of all of them */
    size_t batch_bytes;   /* text in batches that are not answered */
    size_t reply_bytes;   /* messages of calls that are answered, and not replied to */
    struct oak_json_frame frame;
    struct oak_buf in;    /* the text that is coming */
    struct oak_buf ahead; /* came while there was too much under way */
    size_t charged;       /* of both, to the server */
    struct oak_buf out;   /* replies of this round */
    uint64_t begun_ns;    /* when that text began, or could go on */
    uint64_t moved_ns;    /* when something last came or went */
    uint64_t written;     /* bytes given to the stream */
    uint64_t taken;       /* of them, what had left at: */
    uint64_t stall_ns;    /* 0: nothing was queued */
    struct oak_stream_handler handler;
    struct oak_timer timer;
    bool old;     /* the last request was of 1.0 */
    bool paused;  /* the stream is */
    bool resumed; /* a call is no longer paused */
    bool ending;  /* no more is read: close when all is answered */
    bool closing; /* the stream was told to close */
    bool broken;  /* close at once */
};

/* There is something to write, to read on, or to close. */
void jsonrpc__conn_mark(struct jsonrpc_conn *c);
/* Close it: now, or once what is queued has left. Its calls end with it. */
void jsonrpc__conn_close(struct jsonrpc_conn *c, bool now);

/* -- message.c: what came ---------------------------------------------------------------------- */

/* One text: a request or a batch. */
void jsonrpc__message(struct jsonrpc_conn *c, struct oak_bytes text);
/* What came is no JSON, or too much: say so, and end the connection. */
void jsonrpc__refuse_stream(struct jsonrpc_conn *c, enum jsonrpc_code code, const char *text);

/* -- reply.c: what goes ------------------------------------------------------------------------ */

/* Each breaks the connection when there is no memory. */
void jsonrpc__reply_error(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                          struct jsonrpc_batch *batch, int code, const char *text);
/* A status of gRPC for what came to no method. */
void jsonrpc__reply_status(struct jsonrpc_conn *c, const struct jsonrpc_return *back,
                           struct jsonrpc_batch *batch, enum oak_rpc_code code, const char *text);
/* Of a finished call. */
void jsonrpc__reply_call(struct jsonrpc_call *call);
/* A request of the batch was answered, or needs no answer. */
void jsonrpc__batch_done(struct jsonrpc_conn *c, struct jsonrpc_batch *batch);
/* One of its requests will never be. */
void jsonrpc__batch_drop(struct jsonrpc_batch *batch);

/* -- server.c ---------------------------------------------------------------------------------- */

struct oak_jsonrpc_server {
    const struct oak_loop *loop;
    const struct oak_rpc_server *methods;
    struct oak_jsonrpc_options options; /* no zeros */
    struct oak_list conns;
    size_t conn_count;
    struct oak_list dirty;
    struct oak_after after; /* added while `dirty` is not empty */
    struct oak_timer soon;  /* brings a round, when this one's hooks may be over */
    struct oak_timer grace;
    struct oak_arena arena; /* of one request or reply */
    size_t held;            /* text of requests that are not whole, or wait */
    size_t calls;           /* under way, of all connections */
    struct oak_jsonrpc_traffic traffic;
    bool draining;
};

/* Of a name as a client wrote it. NULL: `why` says why not. */
const struct oak_rpc_method *jsonrpc__find(const struct oak_jsonrpc_server *server,
                                           struct oak_bytes name, char *why, size_t why_size);
/* Is there room for so much more to wait to leave: for a message, besides others; for a text? */
bool jsonrpc__room_for_message(const struct jsonrpc_conn *c, size_t size);
bool jsonrpc__room_for_text(const struct jsonrpc_conn *c, size_t size);
/* A stream's end. */
void jsonrpc__conn_gone(struct jsonrpc_conn *c);
/* conn.c: write, read on, close. */
void jsonrpc__conn_flush(struct jsonrpc_conn *c);

static inline uint64_t jsonrpc__now_ns(const struct oak_jsonrpc_server *server)
{
    return server->loop->clock.mono_ns(server->loop->clock.user);
}

#endif
