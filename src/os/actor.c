/* SPDX-License-Identifier: Apache-2.0 */
/* actor.c: a thread that runs the tasks posted to it, in order, and may block in them.
 *
 * Happy path   1 post: into the list, wake the thread if it waits
 *              2 the thread takes the whole list
 *              3 runs it without the lock
 * Can fail     oak_os_actor_new, for want of memory or threads.
 * Invariants   posts of one thread run in their order. After `closing`, the thread ends only when
 *              the list is empty.
 * Thread       `run` is the actor's; the rest is any thread's, under the lock.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/internal.h"

struct oak_os_actor {
    pthread_t thread;
    char name[16];
    pthread_mutex_t lock; /* protects what follows */
    pthread_cond_t more;
    struct oak_list posted;
    bool waiting;
    bool closing;
};

/* Move the posted tasks to `batch`, waiting for some. False: there are none, and there will be
 * none. */
static bool take(struct oak_os_actor *a, struct oak_list *batch)
{
    oak_list_init(batch);
    pthread_mutex_lock(&a->lock);
    while (oak_list_empty(&a->posted) && !a->closing) {
        a->waiting = true;
        pthread_cond_wait(&a->more, &a->lock);
        a->waiting = false;
    }
    bool any = !oak_list_empty(&a->posted);
    if (any) {
        *batch = a->posted;
        batch->next->prev = batch;
        batch->prev->next = batch;
        oak_list_init(&a->posted);
    }
    pthread_mutex_unlock(&a->lock);
    return any;
}

static void *thread_main(void *arg)
{
    struct oak_os_actor *a = arg;
    pthread_setname_np(pthread_self(), a->name);
    struct oak_list batch;
    while (take(a, &batch)) {
        for (struct oak_list *at = oak_list_pop(&batch); at != NULL; at = oak_list_pop(&batch)) {
            struct oak_task *task = OAK_LIST_ENTRY(at, struct oak_task, link);
            task->run(task);
        }
    }
    return NULL;
}

static void post(void *user, struct oak_task *task)
{
    struct oak_os_actor *a = user;
    OAK_ASSERT(task->run != NULL);
    pthread_mutex_lock(&a->lock);
    oak_list_push(&a->posted, &task->link);
    if (a->waiting) {
        pthread_cond_signal(&a->more);
    }
    pthread_mutex_unlock(&a->lock);
}

int oak_os_actor_new(const char *name, struct oak_os_actor **out)
{
    struct oak_os_actor *a = calloc(1, sizeof(*a));
    if (a == NULL) {
        return OAK_ENOMEM;
    }
    snprintf(a->name, sizeof(a->name), "%s", name);
    oak_list_init(&a->posted);
    int rc = pthread_mutex_init(&a->lock, NULL);
    OAK_ASSERT(rc == 0);
    rc = pthread_cond_init(&a->more, NULL);
    OAK_ASSERT(rc == 0);
    /* Signals are for the thread that has a loop for them; the new thread takes this mask over. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&a->thread, NULL, thread_main, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        pthread_cond_destroy(&a->more);
        pthread_mutex_destroy(&a->lock);
        free(a);
        return OAK_ENOMEM;
    }
    *out = a;
    return 0;
}

struct oak_exec oak_os_actor_exec(struct oak_os_actor *actor)
{
    return (struct oak_exec){.post = post, .user = actor};
}

void oak_os_actor_close(struct oak_os_actor *a)
{
    if (a == NULL) {
        return;
    }
    OAK_ASSERT(!pthread_equal(pthread_self(), a->thread));
    pthread_mutex_lock(&a->lock);
    a->closing = true;
    pthread_cond_signal(&a->more);
    pthread_mutex_unlock(&a->lock);
    int rc = pthread_join(a->thread, NULL);
    OAK_ASSERT(rc == 0);
    OAK_ASSERT(oak_list_empty(&a->posted));
    pthread_cond_destroy(&a->more);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
