/* SPDX-License-Identifier: Apache-2.0 */
/* test_loop.h: for tests of this room: a loop on one thread whose clock the test turns, and streams
 * that are two buffers. A stream may be told to block (nothing leaves it) or to break. */
#ifndef OAK_RPC_TEST_LOOP_H
#define OAK_RPC_TEST_LOOP_H

#include <stdlib.h>

#include "port/port.h"

struct fake_stream {
    struct oak_stream base;
    struct fake_loop *loop;
    struct fake_stream *other;                /* NULL once it is gone */
    const struct oak_stream_handler *handler; /* NULL until there is: */
    struct oak_stream_handler own;
    struct oak_buf queue; /* written here, not yet with the other */
    bool blocked;         /* by the test: nothing leaves `queue` */
    bool paused;
    bool closing; /* once the queue is empty */
    bool close_now;
    bool was_full; /* something stayed in the queue: `drained` is owed */
    int error;
    int writes;
    int joined; /* writes in pieces */
    bool gone;
    const struct oak_identity *identity; /* of the other */
    const struct oak_process *process;   /* likewise */
};

struct fake_loop {
    struct oak_loop port;
    uint64_t now_ns;
    struct oak_list timers;
    struct oak_list hooks;
    struct oak_list tasks;
    struct fake_stream *streams[64];
    size_t stream_count;
    int connects;
    int connect_error; /* the next connects fail with it */
    void (*connect_done)(void *arg, int error, struct oak_stream *s);
    void *connect_arg;
    /* Gets the other end of each connect. */
    void (*accepted)(void *arg, struct oak_stream *s);
    void *accepted_arg;
    struct fake_stream *client_end; /* the newest */
    struct fake_stream *server_end;
    /* Set: told before and after what this loop asks memory for, which is not to fail. */
    void (*hold)(bool on);
    /* Set: streams count as encrypted, and this is whom a server's peer has proved to be. */
    const struct oak_identity *client_identity;
    /* Which process each end takes its peer for. */
    const struct oak_process *client_process;
    const struct oak_process *server_process;
};

static uint64_t fake_now(void *user)
{
    return ((struct fake_loop *)user)->now_ns;
}

static void fake_fill(void *user, void *out, size_t size)
{
    (void)user;
    memset(out, 7, size);
}

static void fake_timer_stop(void *user, struct oak_timer *timer)
{
    (void)user;
    if (timer->running) {
        timer->running = false;
        oak_list_remove(&timer->link);
    }
}

static void fake_timer_set(void *user, struct oak_timer *timer, uint64_t due_ns)
{
    struct fake_loop *loop = user;
    fake_timer_stop(loop, timer);
    timer->due_ns = due_ns;
    timer->running = true;
    oak_list_push(&loop->timers, &timer->link);
}

static void fake_after_add(void *user, struct oak_after *after)
{
    struct fake_loop *loop = user;
    oak_list_push(&loop->hooks, &after->link);
}

static void fake_after_remove(void *user, struct oak_after *after)
{
    (void)user;
    oak_list_remove(&after->link);
}

static void fake_post(void *user, struct oak_task *task)
{
    oak_list_push(&((struct fake_loop *)user)->tasks, &task->link);
}

static inline void fake_hold(const struct fake_loop *loop, bool on)
{
    if (loop->hold != NULL) {
        loop->hold(on);
    }
}

static void fake_handle(struct oak_stream *s, const struct oak_stream_handler *handler)
{
    struct fake_stream *f = (struct fake_stream *)s;
    f->own = *handler;
    f->handler = &f->own;
}

static int fake_write(struct oak_stream *s, struct oak_bytes bytes)
{
    struct fake_stream *f = (struct fake_stream *)s;
    OAK_ASSERT(!f->gone);
    if (f->closing || f->other == NULL) {
        return OAK_ECLOSED;
    }
    f->writes++;
    fake_hold(f->loop, true);
    int error = oak_buf_append(&f->queue, bytes.data, bytes.size);
    fake_hold(f->loop, false);
    OAK_ASSERT_EQ(error, 0);
    f->was_full = f->was_full || f->blocked;
    return 0;
}

static int fake_write_pieces(struct oak_stream *s, const struct oak_bytes *pieces, size_t count)
{
    struct fake_stream *f = (struct fake_stream *)s;
    OAK_ASSERT_LE(count, OAK_STREAM_PIECES_MAX);
    int error = 0;
    f->joined++;
    for (size_t i = 0; i < count && error == 0; i++) {
        error = fake_write(s, pieces[i]);
        f->writes -= i > 0;
    }
    return error;
}

static size_t fake_queued(struct oak_stream *s)
{
    struct fake_stream *f = (struct fake_stream *)s;
    return f->blocked ? f->queue.size : 0; /* else the kernel has it */
}

static void fake_pause(struct oak_stream *s, bool paused)
{
    ((struct fake_stream *)s)->paused = paused;
}

static void fake_close(struct oak_stream *s, bool now)
{
    struct fake_stream *f = (struct fake_stream *)s;
    OAK_ASSERT(!f->gone);
    f->closing = true;
    f->close_now = f->close_now || now;
}

static const char *fake_peer_name(struct oak_stream *s)
{
    (void)s;
    return "fake:1";
}

static const struct oak_process *fake_process(struct oak_stream *s)
{
    return ((struct fake_stream *)s)->process;
}

static const struct oak_stream_ops fake_ops = {.handle = fake_handle,
                                               .write = fake_write,
                                               .write_pieces = fake_write_pieces,
                                               .queued = fake_queued,
                                               .pause = fake_pause,
                                               .close = fake_close,
                                               .peer_name = fake_peer_name,
                                               .process = fake_process};

static const struct oak_identity *fake_identity(struct oak_stream *s)
{
    return ((struct fake_stream *)s)->identity;
}

static const struct oak_stream_ops fake_secure_ops = {.handle = fake_handle,
                                                      .write = fake_write,
                                                      .queued = fake_queued,
                                                      .pause = fake_pause,
                                                      .close = fake_close,
                                                      .peer_name = fake_peer_name,
                                                      .identity = fake_identity};

static inline struct fake_stream *fake_stream_new(struct fake_loop *loop)
{
    fake_hold(loop, true);
    struct fake_stream *f = calloc(1, sizeof(*f));
    fake_hold(loop, false);
    OAK_ASSERT(f != NULL && loop->stream_count < OAK_COUNT_OF(loop->streams));
    f->base.ops = &fake_ops;
    f->loop = loop;
    loop->streams[loop->stream_count++] = f;
    return f;
}

static int fake_connect(void *user, const char *address, uint64_t timeout_ns,
                        void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    (void)address;
    (void)timeout_ns;
    struct fake_loop *loop = user;
    OAK_ASSERT(loop->connect_done == NULL);
    loop->connects++;
    loop->connect_done = done;
    loop->connect_arg = arg;
    return 0;
}

static inline void fake_loop_init(struct fake_loop *loop)
{
    *loop = (struct fake_loop){.now_ns = 1000};
    oak_list_init(&loop->timers);
    oak_list_init(&loop->hooks);
    oak_list_init(&loop->tasks);
    loop->port = (struct oak_loop){
        .clock = {.mono_ns = fake_now, .wall_ns = fake_now, .user = loop},
        .entropy = {.fill = fake_fill},
        .timers = {.set = fake_timer_set, .stop = fake_timer_stop, .user = loop},
        .exec = {.post = fake_post, .user = loop},
        .net = {.connect = fake_connect, .user = loop},
        .after_add = fake_after_add,
        .after_remove = fake_after_remove,
        .user = loop,
    };
}

static inline void fake_finish_connect(struct fake_loop *loop)
{
    void (*done)(void *, int, struct oak_stream *) = loop->connect_done;
    loop->connect_done = NULL;
    if (loop->connect_error != 0) {
        done(loop->connect_arg, loop->connect_error, NULL);
        return;
    }
    struct fake_stream *a = fake_stream_new(loop);
    struct fake_stream *b = fake_stream_new(loop);
    a->other = b;
    b->other = a;
    if (loop->client_identity != NULL) {
        a->base.ops = &fake_secure_ops;
        b->base.ops = &fake_secure_ops;
        b->identity = loop->client_identity;
    }
    a->process = loop->server_process;
    b->process = loop->client_process;
    loop->client_end = a;
    loop->server_end = b;
    fake_hold(loop, true);
    loop->accepted(loop->accepted_arg, &b->base);
    fake_hold(loop, false);
    done(loop->connect_arg, 0, &a->base);
}

/* Move bytes, then tell what was closed. True: something happened. */
static inline bool fake_stream_turn(struct fake_stream *f)
{
    bool any = false;
    struct fake_stream *to = f->other;
    if (f->queue.size > 0 && !f->blocked && !f->close_now && to != NULL && !to->gone &&
        !to->paused) {
        struct oak_buf b = f->queue;
        f->queue = (struct oak_buf){0};
        to->handler->data(to->handler->user, oak_buf_bytes(&b));
        oak_buf_fini(&b);
        any = true;
    }
    if (f->was_full && f->queue.size == 0) {
        f->was_full = false;
        f->handler->drained(f->handler->user);
        any = true;
    }
    bool over = f->close_now || (f->closing && f->queue.size == 0) || to == NULL || f->error != 0;
    if (over) {
        f->gone = true;
        if (to != NULL) {
            to->other = NULL;
        }
        f->handler->closed(f->handler->user, f->error);
        any = true;
    }
    return any;
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

/* One round: events, timers, tasks, hooks (also those added meanwhile). True: something happened.
 */
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
    for (struct oak_list *at = oak_list_pop(&loop->tasks); at != NULL;
         at = oak_list_pop(&loop->tasks)) {
        struct oak_task *task = OAK_LIST_ENTRY(at, struct oak_task, link);
        task->run(task);
        any = true;
    }
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
    fake_run(loop);
}

static inline void fake_loop_fini(struct fake_loop *loop)
{
    fake_run(loop);
    OAK_ASSERT(oak_list_empty(&loop->timers));
    OAK_ASSERT(oak_list_empty(&loop->hooks));
    for (size_t i = 0; i < loop->stream_count; i++) {
        OAK_ASSERT(loop->streams[i]->gone);
        oak_buf_fini(&loop->streams[i]->queue);
        free(loop->streams[i]);
    }
}

#endif
