/* SPDX-License-Identifier: Apache-2.0 */
/* test_peer.h: for tests: servers written frame by frame (test_script.h), at the other ends of the
 * streams of a fake loop (test_loop.h). */
#ifndef OAK_RPC_TEST_PEER_H
#define OAK_RPC_TEST_PEER_H

#include "rpc/test_script.h"
#include "rpc/test_loop.h"

struct peer {
    struct script s;
    struct oak_stream *stream; /* NULL once it is closed */
    struct oak_stream_handler handler;
};

struct peers {
    struct peer all[16]; /* in the order of their accepting */
    size_t count;
    uint32_t streams; /* told in SETTINGS at once; UINT32_MAX: no limit; 0: say no SETTINGS */
};

static inline void peer_data(void *user, struct oak_bytes b)
{
    script_hear(&((struct peer *)user)->s, b);
}

static inline void peer_drained(void *user)
{
    (void)user;
}

static inline void peer_closed(void *user, int error)
{
    (void)error;
    ((struct peer *)user)->stream = NULL;
}

/* Send what the script has to say. */
static inline void peer_say(struct peer *p)
{
    assert_non_null(p->stream);
    assert_int_equal(p->stream->ops->write(p->stream, oak_buf_bytes(&p->s.out)), 0);
    oak_buf_clear(&p->s.out);
}

static inline void peer_accept(void *arg, struct oak_stream *stream)
{
    struct peers *peers = arg;
    assert_true(peers->count < OAK_COUNT_OF(peers->all));
    struct peer *p = &peers->all[peers->count++];
    script_open(&p->s);
    p->stream = stream;
    p->handler = (struct oak_stream_handler){
        .data = peer_data, .drained = peer_drained, .closed = peer_closed, .user = p};
    stream->ops->handle(stream, &p->handler);
    if (peers->streams != 0) {
        script_settings(&p->s, peers->streams);
        peer_say(p);
    }
}

static inline void peer_hang_up(struct peer *p)
{
    if (p->stream != NULL) {
        p->stream->ops->close(p->stream, true);
    }
}

/* The newest. */
static inline struct peer *peer_last(struct peers *peers)
{
    assert_true(peers->count > 0);
    return &peers->all[peers->count - 1];
}

static inline void peers_close(struct peers *peers)
{
    for (size_t i = 0; i < peers->count; i++) {
        script_close(&peers->all[i].s);
    }
}

#endif
