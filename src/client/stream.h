/* SPDX-License-Identifier: Apache-2.0 */
/* stream.h: a stream of a service that lasts: opened as soon as it is wanted, and again whenever it
 * breaks. Watches and leases live on such. */
#ifndef OAK_CLIENT_STREAM_H
#define OAK_CLIENT_STREAM_H

#include "client/internal.h"

/* Pauses before it is opened again: none if it had been of use, else from the first to the most,
 * 1.6 times as long each time, 20 % of it by chance. */
#define CLIENT_PAUSE_FIRST_NS ((uint64_t)100 * 1000 * 1000)
#define CLIENT_PAUSE_MOST_NS  ((uint64_t)5 * 1000 * 1000 * 1000)

struct client_stream;

/* All are called from the loop. */
struct client_stream_events {
    /* It is open: send what it begins with. */
    void (*open)(struct client_stream *stream);
    void (*message)(struct client_stream *stream, struct oak_bytes bytes);
    /* What could not be sent may be now. */
    void (*writable)(struct client_stream *stream);
    /* It broke, and will be opened again. */
    void (*broken)(struct client_stream *stream);
    /* It can't be had, and is not tried again until it is wanted again. */
    void (*failed)(struct client_stream *stream, int error, const char *message);
};

struct client_stream {
    struct oak_client *client;
    const char *service;
    const char *method;
    const struct client_stream_events *events;
    struct oak_rpc_call *rpc; /* NULL: it is not open */
    struct client_waiter waiter;
    struct oak_timer timer;
    uint64_t pause_ns;
    uint64_t token;    /* number of the one it was opened with */
    unsigned renewals; /* of the token, since it was of use */
    bool heard;        /* something came over it */
    bool paused;
};

/* Open it, soon, unless it is open or about to be. */
void client__stream_want(struct client_stream *stream);
/* Not any more; nothing is called from here on. */
void client__stream_stop(struct client_stream *stream);
/* Send, if it is open: OAK_EAGAIN if not, OAK_ELIMIT: when it is writable. */
OAK_MUST_USE int client__stream_send(struct client_stream *stream, const ProtobufCMessage *message);
/* Something said over it that the token is refused: true: the stream is begun anew with another
 * one, as if it had broken. */
bool client__stream_renew(struct client_stream *stream, int error);
/* What it said makes no sense: as if it could not be had. */
void client__stream_fail(struct client_stream *stream, int error);
void client__stream_pause(struct client_stream *stream, bool paused);

#endif
