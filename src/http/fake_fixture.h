/* SPDX-License-Identifier: Apache-2.0 */
/* fake_fixture.h: a loop and a stream for tests: time goes when the test says so, bytes are in
 * memory. */
#ifndef OAK_HTTP_FAKE_FIXTURE_H
#define OAK_HTTP_FAKE_FIXTURE_H

#include <stdlib.h>

#include "port/port.h"

struct fake_loop {
    struct oak_loop port;
    uint64_t now_ns;
    struct oak_list tasks;
    struct oak_list timers;
};

struct fake_stream {
    struct oak_stream base;
    struct oak_stream_handler handler;
    struct oak_buf out;  /* what the peer has received */
    struct oak_buf held; /* queued while `blocked` */
    bool blocked;        /* the peer takes nothing */
    bool broken;         /* the peer is gone, unnoticed */
    bool paused;
    bool closing;
    bool now;
    bool ended; /* closed() was called */
};

static inline uint64_t fake_now(void *user)
{
    return ((struct fake_loop *)user)->now_ns;
}

static inline void fake_timer_stop(void *user, struct oak_timer *timer)
{
    (void)user;
    if (timer->running) {
        oak_list_remove(&timer->link);
        timer->running = false;
    }
}

static inline void fake_timer_set(void *user, struct oak_timer *timer, uint64_t due_ns)
{
    struct fake_loop *loop = user;
    fake_timer_stop(user, timer);
    timer->due_ns = due_ns;
    timer->running = true;
    oak_list_push(&loop->timers, &timer->link);
}

static inline void fake_post(void *user, struct oak_task *task)
{
    oak_list_push(&((struct fake_loop *)user)->tasks, &task->link);
}

static inline void fake_loop_init(struct fake_loop *loop)
{
    *loop = (struct fake_loop){.now_ns = 1000};
    oak_list_init(&loop->tasks);
    oak_list_init(&loop->timers);
    loop->port.clock = (struct oak_clock){.mono_ns = fake_now, .wall_ns = fake_now, .user = loop};
    loop->port.timers =
        (struct oak_timers){.set = fake_timer_set, .stop = fake_timer_stop, .user = loop};
    loop->port.exec = (struct oak_exec){.post = fake_post, .user = loop};
}

static inline void fake_loop_tasks(struct fake_loop *loop)
{
    for (struct oak_list *at = oak_list_pop(&loop->tasks); at != NULL;
         at = oak_list_pop(&loop->tasks)) {
        struct oak_task *task = OAK_LIST_ENTRY(at, struct oak_task, link);
        task->run(task);
    }
}

/* Let time pass, and fire what gets due, in order. */
static inline void fake_loop_pass(struct fake_loop *loop, uint64_t ns)
{
    uint64_t until = loop->now_ns + ns;
    for (;;) {
        struct oak_timer *first = NULL;
        for (struct oak_list *at = loop->timers.next; at != &loop->timers; at = at->next) {
            struct oak_timer *timer = OAK_LIST_ENTRY(at, struct oak_timer, link);
            if (timer->due_ns <= until && (first == NULL || timer->due_ns < first->due_ns)) {
                first = timer;
            }
        }
        if (first == NULL) {
            break;
        }
        loop->now_ns = OAK_MAX(loop->now_ns, first->due_ns);
        fake_timer_stop(loop, first);
        first->fire(first);
        fake_loop_tasks(loop);
    }
    loop->now_ns = until;
}

static inline struct fake_stream *fake_of(struct oak_stream *s)
{
    return OAK_CONTAINER_OF(s, struct fake_stream, base);
}

static inline void fake_handle(struct oak_stream *s, const struct oak_stream_handler *handler)
{
    fake_of(s)->handler = *handler;
}

static inline int fake_write(struct oak_stream *base, struct oak_bytes bytes)
{
    struct fake_stream *s = fake_of(base);
    if (s->closing || s->broken) {
        s->closing = true;
        return OAK_ECLOSED;
    }
    return oak_buf_append(s->blocked ? &s->held : &s->out, bytes.data, bytes.size);
}

static inline size_t fake_queued(struct oak_stream *s)
{
    return fake_of(s)->held.size;
}

static inline void fake_pause(struct oak_stream *s, bool paused)
{
    fake_of(s)->paused = paused;
}

static inline void fake_close(struct oak_stream *s, bool now)
{
    fake_of(s)->closing = true;
    fake_of(s)->now |= now;
}

static inline const char *fake_peer_name(struct oak_stream *s)
{
    (void)s;
    return "fake:1";
}

static inline void fake_stream_init(struct fake_stream *s)
{
    static const struct oak_stream_ops ops = {
        .handle = fake_handle,
        .write = fake_write,
        .queued = fake_queued,
        .pause = fake_pause,
        .close = fake_close,
        .peer_name = fake_peer_name,
    };
    *s = (struct fake_stream){.base.ops = &ops};
}

static inline void fake_stream_fini(struct fake_stream *s)
{
    oak_buf_fini(&s->out);
    oak_buf_fini(&s->held);
}

/* The stream's `closed`, if it is due: at once, or when nothing is queued. */
static inline void fake_stream_settle(struct fake_stream *s)
{
    if (s->closing && !s->ended && (s->now || s->broken || s->held.size == 0)) {
        s->ended = true;
        s->handler.closed(s->handler.user, 0);
    }
}

/* Bytes of the peer, as the loop would deliver them. */
static inline void fake_stream_feed(struct fake_stream *s, struct oak_bytes bytes)
{
    if (!s->closing && !s->ended) {
        s->handler.data(s->handler.user, bytes);
    }
}

/* The peer takes up to `size` bytes of what is queued. */
static inline void fake_stream_take(struct fake_stream *s, size_t size)
{
    size = OAK_MIN(size, s->held.size);
    if (size == 0) {
        return;
    }
    int error = oak_buf_append(&s->out, s->held.data, size);
    OAK_ASSERT(error == 0);
    oak_buf_consume(&s->held, size);
    if (s->held.size == 0 && !s->closing) {
        s->handler.drained(s->handler.user);
    }
}

#endif
