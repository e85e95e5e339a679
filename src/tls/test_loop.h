/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.h: for tests of this room: a loop on one thread whose clocks the test turns, and a
 * network of streams that are two buffers and are delivered in pieces as large as the test says. */
#ifndef OAK_TLS_TEST_LOOP_H
#define OAK_TLS_TEST_LOOP_H

#include <stdlib.h>
#include <time.h>

#include "port/port.h"

#define SECOND ((uint64_t)1000000000)

/* Around memory that the fakes need: a test that fails allocations defines these. */
#ifndef FAKE_HOLD
#define FAKE_HOLD()    ((void)0)
#define FAKE_RELEASE() ((void)0)
#endif

struct fake_stream {
    struct oak_stream base;
    struct fake_loop *loop;
    struct fake_stream *other; /* NULL once it is gone */
    struct oak_stream_handler handler;
    struct oak_buf queue; /* written here, not yet with the other */
    size_t sent;          /* of `queue` */
    bool handled;
    bool blocked;  /* by the test: nothing leaves `queue` */
    bool was_full; /* `drained` is owed */
    bool paused;
    bool closing; /* once the queue is empty */
    bool close_now;
    bool peer_ended;
    bool gone;
    int error; /* by the test: closes with it */
};

struct fake_loop {
    struct oak_loop port;
    uint64_t now_ns;
    uint64_t wall_ns;
    struct oak_list timers;
    struct oak_list hooks;
    struct fake_stream *streams[256];
    size_t stream_count;
    size_t piece; /* bytes in one delivery */
    void (*accepted)(void *arg, struct oak_stream *s);
    void *accepted_arg;
    void (*connect_done)(void *arg, int error, struct oak_stream *s);
    void *connect_arg;
    int connect_error;
    const char *looked_up;
    bool server_alone; /* a connect's other end is the test's, in `raw` */
    struct fake_stream *raw;
    struct fake_stream *client_end; /* the newest */
    struct fake_stream *server_end;
};

static inline uint64_t fake_now(void *user)
{
    return ((struct fake_loop *)user)->now_ns;
}

static inline uint64_t fake_wall(void *user)
{
    return ((struct fake_loop *)user)->wall_ns;
}

static inline void fake_timer_stop(void *user, struct oak_timer *timer)
{
    (void)user;
    if (timer->running) {
        timer->running = false;
        oak_list_remove(&timer->link);
    }
}

static inline void fake_timer_set(void *user, struct oak_timer *timer, uint64_t due_ns)
{
    struct fake_loop *loop = user;
    fake_timer_stop(loop, timer);
    timer->due_ns = due_ns;
    timer->running = true;
    oak_list_push(&loop->timers, &timer->link);
}

static inline void fake_after_add(void *user, struct oak_after *after)
{
    oak_list_push(&((struct fake_loop *)user)->hooks, &after->link);
}

static inline void fake_after_remove(void *user, struct oak_after *after)
{
    (void)user;
    if (oak_list_linked(&after->link)) {
        oak_list_remove(&after->link);
    }
}

static inline void fake_fill(void *user, void *out, size_t size)
{
    (void)user;
    memset(out, 7, size);
}

/* -- streams ----------------------------------------------------------------------------------- */

static inline struct fake_stream *fake_of(struct oak_stream *s)
{
    return OAK_CONTAINER_OF(s, struct fake_stream, base);
}

static inline void fake_handle(struct oak_stream *s, const struct oak_stream_handler *handler)
{
    fake_of(s)->handler = *handler;
    fake_of(s)->handled = true;
}

static inline int fake_write(struct oak_stream *s, struct oak_bytes bytes)
{
    struct fake_stream *f = fake_of(s);
    OAK_ASSERT(!f->gone);
    OAK_ASSERT_GT(bytes.size, 0);
    if (f->closing || f->close_now || f->peer_ended || f->error != 0) {
        return OAK_ECLOSED;
    }
    FAKE_HOLD();
    int error = oak_buf_append(&f->queue, bytes.data, bytes.size);
    FAKE_RELEASE();
    OAK_ASSERT_EQ(error, 0);
    f->was_full = f->was_full || f->blocked;
    return 0;
}

static inline size_t fake_queued(struct oak_stream *s)
{
    struct fake_stream *f = fake_of(s);
    return f->blocked ? f->queue.size - f->sent : 0; /* else the kernel has it */
}

static inline void fake_pause(struct oak_stream *s, bool paused)
{
    OAK_ASSERT(!fake_of(s)->gone);
    fake_of(s)->paused = paused;
}

static inline void fake_close(struct oak_stream *s, bool now)
{
    struct fake_stream *f = fake_of(s);
    OAK_ASSERT(!f->gone);
    f->closing = true;
    f->close_now = f->close_now || now;
}

static inline const char *fake_peer_name(struct oak_stream *s)
{
    (void)s;
    return "fake:1";
}

static inline struct fake_stream *fake_stream_new(struct fake_loop *loop)
{
    static const struct oak_stream_ops ops = {.handle = fake_handle,
                                              .write = fake_write,
                                              .queued = fake_queued,
                                              .pause = fake_pause,
                                              .close = fake_close,
                                              .peer_name = fake_peer_name};
    FAKE_HOLD();
    struct fake_stream *f = calloc(1, sizeof(*f));
    FAKE_RELEASE();
    OAK_ASSERT(f != NULL);
    OAK_ASSERT_LT(loop->stream_count, OAK_COUNT_OF(loop->streams));
    f->base.ops = &ops;
    f->loop = loop;
    loop->streams[loop->stream_count++] = f;
    return f;
}

/* Two ends; the caller hands them out. */
static inline void fake_pair(struct fake_loop *loop, struct fake_stream **a, struct fake_stream **b)
{
    *a = fake_stream_new(loop);
    *b = fake_stream_new(loop);
    (*a)->other = *b;
    (*b)->other = *a;
}

static inline void fake_gone(struct fake_stream *f, int error)
{
    f->gone = true;
    if (f->other != NULL) {
        f->other->peer_ended = true;
        f->other->other = NULL;
        f->other = NULL;
    }
    if (f->handled) {
        f->handler.closed(f->handler.user, error);
    }
}

/* One delivery. True: bytes moved. */
static inline bool fake_stream_move(struct fake_stream *f)
{
    struct fake_stream *to = f->other;
    size_t left = f->queue.size - f->sent;
    if (left == 0 || f->blocked || f->close_now || to == NULL || !to->handled) {
        return false;
    }
    if (to->closing) {
        f->sent = f->queue.size; /* lingering: dropped */
        return true;
    }
    if (to->paused) {
        return false;
    }
    size_t size = OAK_MIN(left, f->loop->piece);
    FAKE_HOLD();
    uint8_t *copy = malloc(size); /* so that whoever keeps the bytes is found out */
    FAKE_RELEASE();
    OAK_ASSERT(copy != NULL);
    memcpy(copy, f->queue.data + f->sent, size);
    f->sent += size;
    to->handler.data(to->handler.user, oak_bytes(copy, size));
    free(copy);
    return true;
}

static inline bool fake_stream_turn(struct fake_stream *f)
{
    bool any = fake_stream_move(f);
    if (f->sent == f->queue.size) {
        oak_buf_clear(&f->queue);
        f->sent = 0;
    }
    if (f->was_full && f->queue.size == 0 && !f->closing) {
        f->was_full = false;
        if (f->handled && f->handler.drained != NULL) {
            f->handler.drained(f->handler.user);
        }
        any = true;
    }
    bool flushed = f->closing && (f->queue.size == 0 || f->peer_ended);
    bool ended = f->peer_ended && (!f->paused || f->closing) && f->handled;
    if (f->error != 0 || f->close_now || flushed || ended) {
        fake_gone(f, f->closing ? 0 : f->error);
        any = true;
    }
    return any;
}

/* -- the network ------------------------------------------------------------------------------- */

static inline int fake_listen(void *user, const char *address,
                              void (*accepted)(void *arg, struct oak_stream *s), void *arg,
                              struct oak_listener **out, struct oak_errbuf *e)
{
    struct fake_loop *loop = user;
    if (strcmp(address, "taken") == 0) {
        return oak_fail(e, OAK_EINUSE, "taken: in use");
    }
    OAK_ASSERT(loop->accepted == NULL);
    loop->accepted = accepted;
    loop->accepted_arg = arg;
    *out = (struct oak_listener *)loop;
    return 0;
}

static inline void fake_listener_close(void *user, struct oak_listener *listener)
{
    struct fake_loop *loop = user;
    OAK_ASSERT(listener == (struct oak_listener *)loop);
    loop->accepted = NULL;
}

static inline const char *fake_listener_name(void *user, struct oak_listener *listener)
{
    OAK_ASSERT(listener == (struct oak_listener *)user);
    return "fake:443";
}

static inline int fake_connect(void *user, const char *address, uint64_t timeout_ns,
                               void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    (void)timeout_ns;
    struct fake_loop *loop = user;
    if (strcmp(address, "bad:bad") == 0) {
        return OAK_EINVAL;
    }
    OAK_ASSERT(loop->connect_done == NULL);
    loop->connect_done = done;
    loop->connect_arg = arg;
    return 0;
}

/* A network that looks names up: `looked_up` is what connect_as was told. */
static inline int fake_connect_as(void *user, const char *address, const char *name,
                                  uint64_t timeout_ns,
                                  void (*done)(void *arg, int error, struct oak_stream *s),
                                  void *arg)
{
    struct fake_loop *loop = user;
    loop->looked_up = name;
    return fake_connect(user, address, timeout_ns, done, arg);
}

static inline int fake_resolve(void *user, const char *name, uint64_t timeout_ns,
                               void (*done)(void *arg, int error, const char *const *addresses,
                                            size_t count),
                               void *arg)
{
    (void)user;
    (void)timeout_ns;
    done(arg, 0, &name, 1);
    return 0;
}

static inline void fake_finish_connect(struct fake_loop *loop)
{
    void (*done)(void *, int, struct oak_stream *) = loop->connect_done;
    loop->connect_done = NULL;
    if (loop->connect_error != 0) {
        done(loop->connect_arg, loop->connect_error, NULL);
        return;
    }
    fake_pair(loop, &loop->client_end, &loop->server_end);
    if (loop->accepted != NULL && !loop->server_alone) {
        loop->accepted(loop->accepted_arg, &loop->server_end->base);
    } else {
        loop->raw = loop->server_end;
    }
    done(loop->connect_arg, 0, &loop->client_end->base);
}

/* A peer that is the test itself connects: its end. */
static inline struct fake_stream *fake_arrive(struct fake_loop *loop)
{
    struct fake_stream *ours;
    fake_pair(loop, &ours, &loop->server_end);
    loop->accepted(loop->accepted_arg, &loop->server_end->base);
    return ours;
}

/* -- rounds ------------------------------------------------------------------------------------ */

static inline void fake_loop_init(struct fake_loop *loop)
{
    *loop = (struct fake_loop){
        .now_ns = 1000, .wall_ns = (uint64_t)time(NULL) * SECOND, .piece = SIZE_MAX};
    oak_list_init(&loop->timers);
    oak_list_init(&loop->hooks);
    loop->port = (struct oak_loop){
        .clock = {.mono_ns = fake_now, .wall_ns = fake_wall, .user = loop},
        .entropy = {.fill = fake_fill},
        .timers = {.set = fake_timer_set, .stop = fake_timer_stop, .user = loop},
        .net = {.listen = fake_listen,
                .listener_close = fake_listener_close,
                .listener_name = fake_listener_name,
                .connect = fake_connect,
                .user = loop},
        .after_add = fake_after_add,
        .after_remove = fake_after_remove,
        .user = loop,
    };
}

static inline bool fake_timers_fire(struct fake_loop *loop)
{
    bool any = false;
    struct oak_list *at = loop->timers.next;
    while (at != &loop->timers) {
        struct oak_timer *t = OAK_LIST_ENTRY(at, struct oak_timer, link);
        at = at->next;
        if (t->due_ns <= loop->now_ns) {
            fake_timer_stop(loop, t);
            t->fire(t);
            any = true;
            at = loop->timers.next;
        }
    }
    return any;
}

/* One round: events, timers, hooks. True: something happened. */
static inline bool fake_round(struct fake_loop *loop)
{
    bool any = false;
    if (loop->connect_done != NULL) {
        fake_finish_connect(loop);
        any = true;
    }
    for (size_t i = 0; i < loop->stream_count; i++) {
        if (!loop->streams[i]->gone) {
            any = fake_stream_turn(loop->streams[i]) || any;
        }
    }
    any = fake_timers_fire(loop) || any;
    while (!oak_list_empty(&loop->hooks)) {
        struct oak_after *after = OAK_LIST_ENTRY(loop->hooks.next, struct oak_after, link);
        after->run(after);
        any = true;
    }
    return any;
}

static inline void fake_run(struct fake_loop *loop)
{
    while (fake_round(loop)) {
    }
}

static inline void fake_advance(struct fake_loop *loop, uint64_t step_ns)
{
    loop->now_ns += step_ns;
    loop->wall_ns += step_ns;
    fake_run(loop);
}

/* All must have been closed by whoever had them. */
static inline void fake_loop_fini(struct fake_loop *loop)
{
    fake_run(loop);
    OAK_ASSERT(oak_list_empty(&loop->timers));
    OAK_ASSERT(oak_list_empty(&loop->hooks));
    for (size_t i = 0; i < loop->stream_count; i++) {
        OAK_ASSERT(loop->streams[i]->gone || !loop->streams[i]->handled);
        oak_buf_fini(&loop->streams[i]->queue);
        free(loop->streams[i]);
    }
}

#endif
