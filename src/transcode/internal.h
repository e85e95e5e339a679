/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the transcode room share.
 *
 * A call is one request of HTTP; to the method it is a struct oak_rpc_call like any other. It ends
 * in one place, transcode__call_end: when its answer was given to the connection, or that is gone.
 */
#ifndef OAK_TRANSCODE_INTERNAL_H
#define OAK_TRANSCODE_INTERNAL_H

#include "json/json.h"
#include "oakum/carrier.h"
#include "oakum/stub.h"
#include "transcode/transcode.h"

/* With so much queued for a client, no more of what waits is made text. */
#define TRANSCODE_QUEUE_HIGH_BYTES ((size_t)OAK_RPC_QUEUE_HIGH_BYTES)
/* Text leaves in pieces of so much. */
#define TRANSCODE_PIECE_BYTES (64 * OAK_KIB)
/* A text that grew past this is not kept for the next message. */
#define TRANSCODE_KEEP_BYTES (64 * OAK_KIB)
/* The text of a status. */
#define TRANSCODE_STATUS_BYTES_MAX (16 * OAK_KIB)
/* Before each message that waits: its size. */
#define TRANSCODE_LENGTH_BYTES 4

/* A refusal or a status: what is said to the client. */
struct transcode_failure {
    enum oak_rpc_code code;
    struct oak_bytes text;
};

struct transcode_call {
    struct oak_rpc_call_base base;
    struct oak_list link; /* door->calls */
    struct oak_list dirty_link;
    struct oak_transcode *door;
    struct oak_http_request *http; /* NULL: answered */
    const struct oak_rpc_method *method;
    const struct oak_rpc_handler *handler;
    void *user;
    struct oak_rpc_follower *followers;
    struct oak_timer deadline;
    uint64_t deadline_ns; /* 0: none */
    uint64_t moved_ns;    /* something last came or left */
    struct oak_buf path;  /* "/service/method" */
    struct oak_buf meta;  /* headers.c */

    struct oak_bytes rest; /* of the body: what was not delivered */
    struct oak_buf first;  /* the first message, until it is */
    bool first_waits;
    bool half_closed; /* the handler was told */
    bool paused;

    struct oak_buf out;  /* messages that wait: size, bytes */
    size_t out_at;       /* what is before it has become text */
    struct oak_buf text; /* what is becoming the answer */
    size_t text_at;      /* what is before it has left */
    size_t held;         /* of both, to the door */
    bool high;           /* `writable` is owed */
    bool answered;       /* it has a message */
    bool begun;          /* the answer has, in pieces */
    bool finished;       /* with: */
    enum oak_rpc_code code;
    struct oak_buf status_text;
    struct oak_buf headers; /* lines that go with the answer's */
};

/* Has the method one answer, and not a stream of them? */
static inline bool transcode__is_single(const struct transcode_call *call)
{
    return call->method->kind == OAK_RPC_UNARY || call->method->kind == OAK_RPC_CLIENT_STREAM;
}

/* Does the request go on behind its first message? */
static inline bool transcode__takes_more(const struct oak_rpc_method *method)
{
    return method->kind == OAK_RPC_CLIENT_STREAM || method->kind == OAK_RPC_BIDI;
}

/* -- call.c ------------------------------------------------------------------------------------ */

/* Give a request to its method. OAK_ENOMEM: no; then, as after OAK_EFORMAT and OAK_ELIMIT,
 * `failure` says what to answer, in `room`. */
OAK_MUST_USE int transcode__call_start(struct oak_transcode *door, struct oak_http_request *http,
                                       const struct oak_rpc_method *method,
                                       struct oak_json_problem *room,
                                       struct transcode_failure *failure);
void transcode__call_finish(struct transcode_call *call, enum oak_rpc_code code,
                            struct oak_bytes text);
/* Tell the handler `closed`, and free it. The request of HTTP has been answered. */
void transcode__call_end(struct transcode_call *call, enum oak_rpc_code code);
/* What it holds has changed. */
void transcode__call_charge(struct transcode_call *call);
size_t transcode__call_queued(const struct transcode_call *call);
/* More may be queued than before: a method that sees too much of it waits for `writable`. */
void transcode__call_measure(struct transcode_call *call);

/* -- body.c: what came ------------------------------------------------------------------------- */

/* The next message of a body, packed into `out`. 1: there is one; 0: the body is at its end.
 * OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM: `failure` says what to answer, in `room`. */
int transcode__body_next(struct oak_transcode *door, const struct oak_rpc_method *method,
                         struct oak_bytes *rest, struct oak_buf *out, struct oak_json_problem *room,
                         struct transcode_failure *failure);
/* Deliver what can be. */
void transcode__body_feed(struct transcode_call *call);

/* -- headers.c: metadata ----------------------------------------------------------------------- */

/* Pairs of the request's headers, one behind the other. OAK_EFORMAT and `room`; OAK_ENOMEM. */
OAK_MUST_USE int transcode__meta_read(const struct oak_http_request *http, struct oak_arena *arena,
                                      struct oak_buf *out, struct oak_json_problem *room);
bool transcode__meta_next(struct oak_bytes meta, size_t *at, struct oak_rpc_pair *out);
/* Of "Grpc-Timeout": 0: there is none. OAK_EFORMAT and `room`. */
OAK_MUST_USE int transcode__timeout_read(const struct oak_http_request *http, uint64_t *out_ns,
                                         struct oak_json_problem *room);
/* A pair as a header of the answer. OAK_EINVAL, OAK_ENOMEM. */
OAK_MUST_USE int transcode__header_write(struct oak_buf *out, struct oak_rpc_pair pair);

/* -- reply.c: what goes ------------------------------------------------------------------------ */

/* Let leave what can. The call may have ended. */
void transcode__reply_flush(struct transcode_call *call);
/* Answer a request that no method has. */
void transcode__reply_failure(struct oak_http_request *http, const char *headers,
                              const struct transcode_failure *failure);
/* The same, with a status of HTTP that is not its code's. */
void transcode__reply_as(struct oak_http_request *http, int status, const char *headers,
                         const struct transcode_failure *failure);

/* -- door.c ------------------------------------------------------------------------------------ */

struct transcode_route {
    struct oak_transcode_route route;
    const struct oak_rpc_method *method; /* once it was found */
};

struct oak_transcode {
    struct oak_transcode_options options; /* no zeros */
    struct transcode_route *routes;
    struct oak_list calls;
    struct oak_list dirty;
    struct oak_after after; /* added while `dirty` is not empty */
    struct oak_timer soon;  /* brings a round, when this one's hooks may be over */
    struct oak_arena arena; /* of one message */
    size_t held;            /* of all calls */
    bool flushing;          /* the hook runs */
    struct oak_transcode_traffic traffic;
};

/* There is something to write, to deliver, or to end. */
void transcode__call_mark(struct transcode_call *call);
void transcode__call_clean(struct transcode_call *call);

static inline uint64_t transcode__now_ns(const struct oak_transcode *door)
{
    return door->options.loop->clock.mono_ns(door->options.loop->clock.user);
}

#endif
