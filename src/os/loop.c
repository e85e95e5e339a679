/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: the life of a loop, its rounds, and work posted to it.
 *
 * Happy path   libuv waits; sockets' events run; then, before libuv waits again, the round: 1
 *              timers that are due 2 tasks posted before it 3 the hooks
 * Can fail     oak_os_loop_new, for want of memory or descriptors.
 * Invariants   the loop waits only when no task is posted and no timer is due: what a task, timer
 *              or hook posts runs in the next round, after the sockets had their turn. A hook
 *              sees the effects of everything that ran before it in the round; one that is added
 *              by a hook runs in that round.
 *
 * Thread       the loop's, but for post and stop: they take the lock, and wake a loop that waits. A
 * loop that is busy is not woken: it looks at the queue before it waits, under the same lock.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "os/internal.h"

static void wake_cb(uv_async_t *wake)
{
    (void)wake; /* the round does the work */
}

static void idle_cb(uv_idle_t *idle)
{
    (void)idle; /* that it runs keeps the loop from waiting */
}

static void wake(struct oak_os_loop *loop)
{
    int rc = uv_async_send(&loop->wake);
    OAK_ASSERT(rc == 0);
}

static void post(void *user, struct oak_task *task)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(task->run != NULL);
    pthread_mutex_lock(&loop->lock);
    oak_list_push(&loop->posted, &task->link);
    bool must_wake = loop->waiting;
    loop->waiting = false;
    if (must_wake) {
        /* Under the lock: once it is released, the task may have run, and the loop be freed. */
        wake(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

void oak_os_loop_stop(struct oak_os_loop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->stop = true;
    bool must_wake = loop->waiting;
    loop->waiting = false;
    if (must_wake) {
        wake(loop);
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Run the tasks that are posted now; what they post has to wait. */
static void tasks_run(struct oak_os_loop *loop)
{
    struct oak_list batch;
    oak_list_init(&batch);
    pthread_mutex_lock(&loop->lock);
    if (!oak_list_empty(&loop->posted)) {
        batch = loop->posted;
        batch.next->prev = &batch;
        batch.prev->next = &batch;
        oak_list_init(&loop->posted);
    }
    pthread_mutex_unlock(&loop->lock);
    for (struct oak_list *link = oak_list_pop(&batch); link != NULL; link = oak_list_pop(&batch)) {
        struct oak_task *task = OAK_LIST_ENTRY(link, struct oak_task, link);
        task->run(task);
    }
}

static void hooks_run(struct oak_os_loop *loop)
{
    for (struct oak_list *at = loop->hooks.next; at != &loop->hooks; at = loop->hook_next) {
        loop->hook_next = at->next;
        struct oak_after *after = OAK_LIST_ENTRY(at, struct oak_after, link);
        after->run(after);
    }
    loop->hook_next = NULL;
}

static void hook_add(void *user, struct oak_after *after)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(after->run != NULL);
    oak_list_push(&loop->hooks, &after->link);
    if (loop->hook_next == &loop->hooks) {
        loop->hook_next = &after->link; /* added by the last one: it still has this round */
    }
}

static void hook_remove(void *user, struct oak_after *after)
{
    struct oak_os_loop *loop = user;
    if (!oak_list_linked(&after->link)) {
        return;
    }
    if (loop->hook_next == &after->link) {
        loop->hook_next = after->link.next;
    }
    oak_list_remove(&after->link);
}

static void round_cb(uv_prepare_t *prepare)
{
    struct oak_os_loop *loop = prepare->data;
    os__timers_fire(loop);
    tasks_run(loop);
    hooks_run(loop);
    bool again = os__timers_arm(loop);
    pthread_mutex_lock(&loop->lock);
    again = again || !oak_list_empty(&loop->posted);
    bool stop = loop->stop;
    loop->waiting = !again && !stop;
    pthread_mutex_unlock(&loop->lock);
    if (stop) {
        uv_stop(&loop->uv);
    }
    int rc = again ? uv_idle_start(&loop->idle, idle_cb) : uv_idle_stop(&loop->idle);
    OAK_ASSERT(rc == 0);
}

static void waited_cb(uv_check_t *check)
{
    struct oak_os_loop *loop = check->data;
    pthread_mutex_lock(&loop->lock);
    loop->waiting = false;
    pthread_mutex_unlock(&loop->lock);
}

static void signal_cb(uv_signal_t *handle, int signal)
{
    struct oak_os_loop *loop = handle->data;
    if (loop->signalled != NULL) {
        loop->signalled(loop->signal_user, signal);
    }
}

int oak_os_loop_on_signal(struct oak_os_loop *loop, void (*fn)(void *user, int signal), void *user)
{
    static const int numbers[] = {SIGINT, SIGTERM};
    loop->signalled = fn;
    loop->signal_user = user;
    for (size_t i = 0; i < OAK_COUNT_OF(numbers); i++) {
        int rc = fn == NULL ? uv_signal_stop(&loop->signals[i])
                            : uv_signal_start(&loop->signals[i], signal_cb, numbers[i]);
        if (rc != 0) {
            return oak_os_error(rc);
        }
    }
    return 0;
}

/* The helpers of the loop. Every handle that was made is closed by the caller's walk. */
static int helpers_start(struct oak_os_loop *loop)
{
    int rc = uv_async_init(&loop->uv, &loop->wake, wake_cb);
    if (rc != 0) {
        return rc;
    }
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_check_init(&loop->uv, &loop->check);
    uv_idle_init(&loop->uv, &loop->idle);
    uv_timer_init(&loop->uv, &loop->alarm);
    loop->prepare.data = loop;
    loop->check.data = loop;
    loop->alarm.data = loop;
    for (size_t i = 0; i < OAK_COUNT_OF(loop->signals); i++) {
        rc = uv_signal_init(&loop->uv, &loop->signals[i]);
        if (rc != 0) {
            return rc;
        }
        loop->signals[i].data = loop;
    }
    uv_prepare_start(&loop->prepare, round_cb);
    uv_check_start(&loop->check, waited_cb);
    return 0;
}

static void port_fill(struct oak_os_loop *loop)
{
    loop->port.clock = oak_os_clock();
    loop->port.entropy = oak_os_entropy();
    os__timers_port(loop);
    loop->port.exec = (struct oak_exec){.post = post, .user = loop};
    loop->port.net = (struct oak_net){
        .listen = os__listen,
        .listener_close = os__listener_close,
        .listener_name = os__listener_name,
        .connect = os__connect,
        .resolve = os__resolve,
        .user = loop,
    };
    loop->port.after_add = hook_add;
    loop->port.after_remove = hook_remove;
    loop->port.user = loop;
}

static void helper_close(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle)) {
        uv_close(handle, NULL);
    }
}

int oak_os_loop_new(struct oak_os_loop **out)
{
    struct oak_os_loop *loop = calloc(1, sizeof(*loop));
    uint8_t *buffer = malloc(OS_READ_BYTES);
    int rc = loop == NULL || buffer == NULL ? UV_ENOMEM : uv_loop_init(&loop->uv);
    if (rc != 0) {
        free(buffer);
        free(loop);
        return oak_os_error(rc);
    }
    loop->read_buffer = buffer;
    loop->accepted_max = OAK_CONNECTIONS_MAX;
    oak_list_init(&loop->hooks);
    oak_list_init(&loop->streams);
    oak_list_init(&loop->listeners);
    oak_list_init(&loop->connects);
    oak_list_init(&loop->resolves);
    oak_list_init(&loop->children);
    oak_list_init(&loop->posted);
    rc = pthread_mutex_init(&loop->lock, NULL);
    OAK_ASSERT(rc == 0);
    port_fill(loop);
    rc = helpers_start(loop);
    if (rc != 0) {
        oak_os_loop_free(loop);
        return oak_os_error(rc);
    }
    *out = loop;
    return 0;
}

/* What `closed` and the last tasks post is owed its run, too. */
static void tasks_run_all(struct oak_os_loop *loop)
{
    while (!oak_list_empty(&loop->posted)) {
        tasks_run(loop);
    }
}

void oak_os_loop_close(struct oak_os_loop *loop)
{
    if (loop->freeing) {
        return;
    }
    loop->freeing = true;
    os__connects_fail(loop, OAK_ECLOSED);
    os__resolves_fail(loop, OAK_ECLOSED);
    os__listeners_close(loop);
    os__children_leave(loop);
    for (struct oak_list *at = loop->streams.next; at != &loop->streams; at = at->next) {
        os__stream_close(OAK_LIST_ENTRY(at, struct os_stream, link), OAK_ECLOSED);
    }
    uv_walk(&loop->uv, helper_close, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    pthread_mutex_lock(&loop->lock);
    loop->waiting = false; /* nor will it wait any more: a post needs no waking */
    pthread_mutex_unlock(&loop->lock);
    tasks_run_all(loop);
}

void oak_os_loop_free(struct oak_os_loop *loop)
{
    if (loop == NULL) {
        return;
    }
    oak_os_loop_close(loop);
    tasks_run_all(loop);
    int rc = uv_loop_close(&loop->uv);
    OAK_ASSERT(rc == 0);
    pthread_mutex_destroy(&loop->lock);
    free(loop->read_buffer);
    free(loop);
}

/* A write to a connection that the peer has reset raises SIGPIPE in the writing thread. It is held
 * off for as long as the loop runs, in its thread alone: the disposition of the signal belongs to
 * the program, which may be somebody else's. */
static bool pipe_signal_hold(sigset_t *before)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    return pthread_sigmask(SIG_BLOCK, &pipe, before) == 0;
}

static void pipe_signal_release(const sigset_t *before)
{
    if (sigismember(before, SIGPIPE) == 1) {
        return;
    }
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    struct timespec none = {0};
    while (sigtimedwait(&pipe, NULL, &none) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

void oak_os_loop_run(struct oak_os_loop *loop)
{
    sigset_t before;
    bool held = pipe_signal_hold(&before);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    pthread_mutex_lock(&loop->lock);
    loop->stop = false;
    loop->waiting = false;
    pthread_mutex_unlock(&loop->lock);
    if (held) {
        pipe_signal_release(&before);
    }
}

void oak_os_loop_clock(struct oak_os_loop *loop, struct oak_clock clock)
{
    OAK_ASSERT_EQ(loop->timer_count, 0u);
    loop->port.clock = clock;
}

const struct oak_loop *oak_os_loop_port(struct oak_os_loop *loop)
{
    return &loop->port;
}

size_t oak_os_loop_accepted(const struct oak_os_loop *loop)
{
    return loop->accepted;
}
