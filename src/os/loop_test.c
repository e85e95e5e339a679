/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the loop: timers, posts, hooks, stop; and of actors. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

#define MS ((uint64_t)1000000)

struct world {
    struct oak_os_loop *loop;
    const struct oak_loop *port;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(oak_os_loop_new(&w->loop), 0);
    w->port = oak_os_loop_port(w->loop);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_os_loop_free(w->loop);
    free(w);
    return 0;
}

static uint64_t now_ns(const struct world *w)
{
    return w->port->clock.mono_ns(w->port->clock.user);
}

/* -- timers ------------------------------------------------------------------------------------ */

struct shot {
    struct oak_timer timer;
    struct world *world;
    struct shots *all;
};

struct shots {
    struct shot shot[1000];
    struct shot *fired[1000];
    size_t count;
    size_t want;
};

static void shot_fire(struct oak_timer *timer)
{
    struct shot *s = OAK_CONTAINER_OF(timer, struct shot, timer);
    assert_false(timer->running);
    assert_true(now_ns(s->world) >= timer->due_ns);
    s->all->fired[s->all->count++] = s;
    if (s->all->count == s->all->want) {
        oak_os_loop_stop(s->world->loop);
    }
}

static void timers_fire_in_the_order_of_being_due(void **state)
{
    struct world *w = *state;
    struct shots *all = calloc(1, sizeof(*all));
    struct oak_prng prng;
    oak_prng_init(&prng, 7);
    uint64_t start = now_ns(w);
    for (size_t i = 0; i < 1000; i++) {
        all->shot[i] = (struct shot){.timer.fire = shot_fire, .world = w, .all = all};
        w->port->timers.set(w->port->timers.user, &all->shot[i].timer,
                            start + oak_prng_below(&prng, 20 * MS));
    }
    /* Move some, stop others: half of the thousand are left. */
    for (size_t i = 0; i < 1000; i += 2) {
        w->port->timers.stop(w->port->timers.user, &all->shot[i].timer);
        assert_false(all->shot[i].timer.running);
    }
    for (size_t i = 1; i < 1000; i += 4) {
        w->port->timers.set(w->port->timers.user, &all->shot[i].timer,
                            start + oak_prng_below(&prng, 20 * MS));
    }
    all->want = 500;
    oak_os_loop_run(w->loop);
    assert_int_equal(all->count, 500);
    for (size_t i = 1; i < all->count; i++) {
        assert_true(all->fired[i - 1]->timer.due_ns <= all->fired[i]->timer.due_ns);
    }
    free(all);
}

static void a_heap_of_timers_agrees_with_a_sorted_list(void **state)
{
    struct world *w = *state;
    struct shots *all = calloc(1, sizeof(*all));
    struct oak_prng prng;
    oak_prng_init(&prng, 99);
    uint64_t past = now_ns(w) - 1000000;
    size_t set = 0;
    for (size_t i = 0; i < 1000; i++) {
        all->shot[i] = (struct shot){.timer.fire = shot_fire, .world = w, .all = all};
    }
    for (size_t step = 0; step < 20000; step++) {
        struct shot *s = &all->shot[oak_prng_below(&prng, 1000)];
        if (oak_prng_chance(&prng, 1, 3)) {
            set -= s->timer.running;
            w->port->timers.stop(w->port->timers.user, &s->timer);
        } else {
            set += !s->timer.running;
            w->port->timers.set(w->port->timers.user, &s->timer,
                                past + oak_prng_below(&prng, 1000));
        }
    }
    all->want = set;
    oak_os_loop_run(w->loop);
    assert_int_equal(all->count, set);
    for (size_t i = 1; i < all->count; i++) {
        assert_true(all->fired[i - 1]->timer.due_ns <= all->fired[i]->timer.due_ns);
    }
    free(all);
}

struct again {
    struct oak_timer timer;
    struct oak_task task;
    struct world *world;
    int count;
    int tasks;
};

static void again_fire(struct oak_timer *timer)
{
    struct again *a = OAK_CONTAINER_OF(timer, struct again, timer);
    a->count++;
    a->world->port->timers.set(a->world->port->timers.user, timer, 0);
}

static void again_task(struct oak_task *task)
{
    struct again *a = OAK_CONTAINER_OF(task, struct again, task);
    if (++a->tasks == 3) {
        a->world->port->timers.stop(a->world->port->timers.user, &a->timer);
        oak_os_loop_stop(a->world->loop);
    } else {
        a->world->port->exec.post(a->world->port->exec.user, task);
    }
}

static void a_timer_that_is_always_due_does_not_keep_the_loop(void **state)
{
    struct world *w = *state;
    struct again a = {.timer.fire = again_fire, .task.run = again_task, .world = w};
    w->port->timers.set(w->port->timers.user, &a.timer, 0);
    w->port->exec.post(w->port->exec.user, &a.task);
    assert_int_equal(a.count, 0); /* nothing runs inside the calls */
    oak_os_loop_run(w->loop);
    assert_int_equal(a.tasks, 3);
    assert_int_equal(a.count, 3);
}

/* -- posts ------------------------------------------------------------------------------------- */

#define POSTERS 4
#define POSTS   5000

struct note {
    struct oak_task task;
    struct diary *diary;
    int poster;
    int number;
};

struct diary {
    struct oak_exec exec;
    struct oak_os_loop *loop; /* to stop when all came; NULL for an actor */
    struct note notes[POSTERS][POSTS];
    int next[POSTERS];
    int total;
    bool out_of_order;
};

static void note_run(struct oak_task *task)
{
    struct note *n = OAK_CONTAINER_OF(task, struct note, task);
    struct diary *d = n->diary;
    d->out_of_order |= d->next[n->poster] != n->number;
    d->next[n->poster] = n->number + 1;
    if (++d->total == POSTERS * POSTS && d->loop != NULL) {
        oak_os_loop_stop(d->loop);
    }
}

struct poster {
    pthread_t thread;
    struct diary *diary;
    int number;
};

static void *poster_main(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++) {
        struct note *n = &p->diary->notes[p->number][i];
        *n = (struct note){
            .task.run = note_run, .diary = p->diary, .poster = p->number, .number = i};
        p->diary->exec.post(p->diary->exec.user, &n->task);
    }
    return NULL;
}

static void posters_start(struct poster *posters, struct diary *d)
{
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.diary = d, .number = i};
        assert_int_equal(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]), 0);
    }
}

static void posters_join(struct poster *posters)
{
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
    }
}

static void posts_of_many_threads_keep_the_order_of_each(void **state)
{
    struct world *w = *state;
    struct diary *d = calloc(1, sizeof(*d));
    d->exec = w->port->exec;
    d->loop = w->loop;
    struct poster posters[POSTERS];
    posters_start(posters, d);
    oak_os_loop_run(w->loop);
    posters_join(posters);
    assert_int_equal(d->total, POSTERS * POSTS);
    assert_false(d->out_of_order);
    free(d);
}

static void an_actor_runs_everything_in_order_before_it_closes(void **state)
{
    (void)state;
    struct diary *d = calloc(1, sizeof(*d));
    struct oak_os_actor *actor;
    assert_int_equal(oak_os_actor_new("a-name-longer-than-the-kernel-takes", &actor), 0);
    d->exec = oak_os_actor_exec(actor);
    struct poster posters[POSTERS];
    posters_start(posters, d);
    posters_join(posters);
    oak_os_actor_close(actor);
    assert_int_equal(d->total, POSTERS * POSTS);
    assert_false(d->out_of_order);
    free(d);
}

struct chain {
    struct oak_task task;
    struct oak_exec exec;
    int left;
};

static void chain_run(struct oak_task *task)
{
    struct chain *c = OAK_CONTAINER_OF(task, struct chain, task);
    if (--c->left > 0) {
        c->exec.post(c->exec.user, task);
    }
}

static void a_closing_actor_runs_what_its_last_tasks_post(void **state)
{
    (void)state;
    struct oak_os_actor *actor;
    assert_int_equal(oak_os_actor_new("chain", &actor), 0);
    struct chain c = {.task.run = chain_run, .exec = oak_os_actor_exec(actor), .left = 1000};
    c.exec.post(c.exec.user, &c.task);
    oak_os_actor_close(actor);
    assert_int_equal(c.left, 0);
    oak_os_actor_close(NULL);
}

static void a_freed_loop_has_run_what_was_posted_to_it(void **state)
{
    (void)state;
    struct oak_os_loop *loop;
    assert_int_equal(oak_os_loop_new(&loop), 0);
    const struct oak_loop *port = oak_os_loop_port(loop);
    struct chain c = {.task.run = chain_run, .exec = port->exec, .left = 10};
    c.exec.post(c.exec.user, &c.task);
    oak_os_loop_free(loop);
    assert_int_equal(c.left, 0);
    oak_os_loop_free(NULL);
}

/* Two loops, each in its thread, throw one task to and fro: each waits between, and must be woken.
 */
struct ball {
    struct oak_task task;
    struct oak_os_loop *loops[2];
    int at;
    int left;
};

static void ball_run(struct oak_task *task)
{
    struct ball *b = OAK_CONTAINER_OF(task, struct ball, task);
    if (b->left-- == 0) {
        oak_os_loop_stop(b->loops[0]);
        oak_os_loop_stop(b->loops[1]);
        return;
    }
    b->at = 1 - b->at;
    const struct oak_exec *exec = &oak_os_loop_port(b->loops[b->at])->exec;
    exec->post(exec->user, task);
}

static void *loop_main(void *loop)
{
    oak_os_loop_run(loop);
    return NULL;
}

static void a_waiting_loop_is_woken_by_every_post(void **state)
{
    struct world *w = *state;
    struct ball b = {.task.run = ball_run, .loops[0] = w->loop, .left = 5000};
    assert_int_equal(oak_os_loop_new(&b.loops[1]), 0);
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, loop_main, b.loops[1]), 0);
    w->port->exec.post(w->port->exec.user, &b.task);
    oak_os_loop_run(w->loop);
    pthread_join(other, NULL);
    oak_os_loop_free(b.loops[1]);
    assert_int_equal(b.left, -1);
}

static void a_stop_before_the_run_ends_its_first_round(void **state)
{
    struct world *w = *state;
    struct chain c = {.task.run = chain_run, .exec = w->port->exec, .left = 1};
    c.exec.post(c.exec.user, &c.task);
    oak_os_loop_stop(w->loop);
    oak_os_loop_run(w->loop);
    assert_int_equal(c.left, 0);
    oak_os_loop_stop(w->loop); /* and it can be run again */
    oak_os_loop_run(w->loop);
}

/* -- hooks ------------------------------------------------------------------------------------- */

struct hook {
    struct oak_after after;
    struct oak_task task;
    struct world *world;
    struct hook *remove; /* from inside the hook */
    struct hook *add;    /* likewise */
    char name;
    int posts; /* tasks to post from the hook */
    int task_runs;
    char *trace;
};

static void trace_add(char *trace, char c)
{
    size_t size = strlen(trace);
    assert_true(size < 60);
    trace[size] = c;
    trace[size + 1] = '\0';
}

static void hook_run(struct oak_after *after)
{
    struct hook *h = OAK_CONTAINER_OF(after, struct hook, after);
    trace_add(h->trace, h->name);
    if (h->remove != NULL) {
        h->world->port->after_remove(h->world->port->user, &h->remove->after);
        h->remove = NULL;
    }
    if (h->add != NULL) {
        h->world->port->after_add(h->world->port->user, &h->add->after);
        h->add = NULL;
    }
    if (h->posts > 0) {
        h->posts--;
        h->world->port->exec.post(h->world->port->exec.user, &h->task);
    } else {
        oak_os_loop_stop(h->world->loop);
    }
}

static void hook_task(struct oak_task *task)
{
    struct hook *h = OAK_CONTAINER_OF(task, struct hook, task);
    trace_add(h->trace, 't');
}

static void what_a_hook_posts_gets_another_round_at_once(void **state)
{
    struct world *w = *state;
    char trace[64] = "";
    struct hook h = {.after.run = hook_run,
                     .task.run = hook_task,
                     .world = w,
                     .name = 'h',
                     .posts = 3,
                     .trace = trace};
    w->port->after_add(w->port->user, &h.after);
    oak_os_loop_run(w->loop); /* would wait for ever if the posts did not count */
    assert_string_equal(trace, "hththth");
    w->port->after_remove(w->port->user, &h.after);
    w->port->after_remove(w->port->user, &h.after); /* twice is once */
}

static void hooks_run_in_order_and_may_remove_each_other(void **state)
{
    struct world *w = *state;
    char trace[64] = "";
    struct hook h[4];
    for (int i = 0; i < 4; i++) {
        h[i] = (struct hook){.after.run = hook_run,
                             .task.run = hook_task,
                             .world = w,
                             .name = (char)('a' + i),
                             .trace = trace};
        w->port->after_add(w->port->user, &h[i].after);
    }
    h[0].remove = &h[1]; /* the next one */
    h[2].remove = &h[2]; /* itself */
    oak_os_loop_run(w->loop);
    assert_string_equal(trace, "acd");
    oak_os_loop_run(w->loop);
    oak_os_loop_stop(w->loop);
    assert_string_equal(trace, "acdad");
}

static void a_hook_that_the_last_hook_adds_runs_in_the_same_round(void **state)
{
    struct world *w = *state;
    char trace[64] = "";
    struct hook h[3];
    for (int i = 0; i < 3; i++) {
        h[i] = (struct hook){.after.run = hook_run,
                             .task.run = hook_task,
                             .world = w,
                             .name = (char)('a' + i),
                             .trace = trace};
    }
    w->port->after_add(w->port->user, &h[0].after);
    h[0].add = &h[1];
    h[1].add = &h[2];
    h[2].remove = &h[2];      /* the last of the round, gone from it */
    oak_os_loop_run(w->loop); /* stopped by the first hook: there is no further round */
    assert_string_equal(trace, "abc");
    oak_os_loop_run(w->loop);
    assert_string_equal(trace, "abcab");
    w->port->after_remove(w->port->user, &h[1].after);
    h[0].remove = &h[0];
    h[0].add = &h[0]; /* itself, anew: one more turn */
    oak_os_loop_run(w->loop);
    assert_string_equal(trace, "abcabaa");
}

/* -- clock and chance -------------------------------------------------------------------------- */

static void the_clock_goes_on_and_chance_is_not_twice_the_same(void **state)
{
    struct world *w = *state;
    uint64_t before = now_ns(w);
    assert_true(now_ns(w) >= before);
    /* After 2020: the wall clock counts nanoseconds since 1970. */
    assert_true(w->port->clock.wall_ns(w->port->clock.user) > (uint64_t)1577836800 * 1000 * MS);
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    w->port->entropy.fill(w->port->entropy.user, a, sizeof(a));
    w->port->entropy.fill(w->port->entropy.user, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(timers_fire_in_the_order_of_being_due),
        T(a_heap_of_timers_agrees_with_a_sorted_list),
        T(a_timer_that_is_always_due_does_not_keep_the_loop),
        T(posts_of_many_threads_keep_the_order_of_each),
        T(an_actor_runs_everything_in_order_before_it_closes),
        T(a_closing_actor_runs_what_its_last_tasks_post),
        T(a_freed_loop_has_run_what_was_posted_to_it),
        T(a_waiting_loop_is_woken_by_every_post),
        T(a_stop_before_the_run_ends_its_first_round),
        T(what_a_hook_posts_gets_another_round_at_once),
        T(hooks_run_in_order_and_may_remove_each_other),
        T(a_hook_that_the_last_hook_adds_runs_in_the_same_round),
        T(the_clock_goes_on_and_chance_is_not_twice_the_same),
    };
    return cmocka_run_group_tests_name("os/loop", tests, NULL, NULL);
}
