/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: changes that wait for the program, in a queue with an end.
 *
 * Happy path   1 a watch with a stream of its own: its opener goes on when it stands
 *              2 changes come, and are kept in the queue
 *              3 the queue is full: the stream is held back; half empty: it goes on
 *              4 the program takes them
 * Can fail     2, for want of memory: the watch ends, for it tells all or nothing. What the server
 *              refuses, and a compaction, are how it ended, told behind the last changes.
 * Invariants   no more than the limit and one message is kept. Who goes on is asked for once at a
 *              time, by a job that lies in the watch.
 * Thread       callbacks and jobs are the loop's; the rest is the program's.
 */
#include <stdlib.h>

#include "sync/internal.h"

struct kept {
    struct oak_list link;
    struct oak_client_changes *changes;
    size_t bytes;
};

/* -- on the loop ------------------------------------------------------------------------------- */

static size_t changes_bytes(const struct oak_client_changes *changes)
{
    size_t bytes = sizeof(struct kept) + sizeof(*changes);
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *e = &changes->events[i];
        bytes += sizeof(*e) + e->kv.key.size + e->kv.value.size;
        if (e->previous != NULL) {
            bytes += sizeof(*e->previous) + e->previous->key.size + e->previous->value.size;
        }
    }
    return bytes;
}

static void watch_began(void *user, struct oak_client_watch *watch, int64_t revision)
{
    struct oak_sync_watch *w = user;
    (void)watch;
    (void)revision;
    pthread_mutex_lock(&w->handle.sync->lock);
    w->began = true;
    pthread_cond_broadcast(&w->handle.told);
    pthread_mutex_unlock(&w->handle.sync->lock);
}

static struct kept *kept_new(const struct oak_client_changes *changes)
{
    struct kept *kept = calloc(1, sizeof(*kept));
    if (kept != NULL) {
        kept->bytes = changes_bytes(changes);
        kept->changes = oak_client_changes_keep(changes);
    }
    if (kept != NULL && kept->changes == NULL) {
        free(kept);
        return NULL;
    }
    return kept;
}

static void watch_changes(void *user, struct oak_client_watch *watch,
                          const struct oak_client_changes *changes)
{
    struct oak_sync_watch *w = user;
    struct kept *kept = kept_new(changes);
    if (kept == NULL) {
        oak_client_watch_end(watch);
        w->watch = NULL;
        sync__handle_end(&w->handle, OAK_ENOMEM);
        return;
    }
    pthread_mutex_lock(&w->handle.sync->lock);
    oak_list_push(&w->queue, &kept->link);
    w->bytes += kept->bytes;
    bool full = w->bytes >= w->handle.sync->watch_bytes;
    w->held = w->held || full;
    pthread_cond_signal(&w->handle.told);
    pthread_mutex_unlock(&w->handle.sync->lock);
    if (full) {
        oak_client_watcher_pause(w->watcher, true);
    }
}

static void watch_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    struct oak_sync_watch *w = user;
    (void)watch;
    (void)message;
    w->watch = NULL;
    pthread_mutex_lock(&w->handle.sync->lock);
    w->compacted = compacted;
    pthread_mutex_unlock(&w->handle.sync->lock);
    sync__handle_end(&w->handle, error);
}

static const struct oak_client_watch_callbacks callbacks = {
    .began = watch_began, .changes = watch_changes, .ended = watch_ended};

static void watch_stop(struct sync_handle *handle)
{
    struct oak_sync_watch *w = OAK_CONTAINER_OF(handle, struct oak_sync_watch, handle);
    oak_client_watcher_free(w->watcher);
    w->watcher = NULL;
    w->watch = NULL;
}

static void resume_run(struct sync_job *job)
{
    struct oak_sync_watch *w = OAK_CONTAINER_OF(job, struct oak_sync_watch, resume);
    pthread_mutex_lock(&w->handle.sync->lock);
    w->resuming = false;
    w->held = false;
    pthread_mutex_unlock(&w->handle.sync->lock);
    if (w->watcher != NULL) {
        oak_client_watcher_pause(w->watcher, false);
    }
}

static void resume_left(struct sync_job *job)
{
    (void)job;
}

/* -- the door ---------------------------------------------------------------------------------- */

struct watch_job {
    struct sync_job job;
    struct oak_sync_watch *watch;
    const struct oak_client_watch_options *options;
};

static void watch_run(struct sync_job *job)
{
    struct watch_job *j = OAK_CONTAINER_OF(job, struct watch_job, job);
    struct oak_sync_watch *w = j->watch;
    int error = oak_client_watcher_new(job->sync->client, &w->watcher);
    if (error == 0) {
        error = oak_client_watch(w->watcher, j->options, &callbacks, w, &w->watch);
    }
    if (error == 0) {
        sync__handle_begin(&w->handle);
    } else {
        watch_stop(&w->handle);
    }
    sync__finish(job, error);
}

static int watch_wait(struct oak_sync_watch *w, uint64_t timeout_ns)
{
    struct oak_sync *sync = w->handle.sync;
    const struct timespec until = sync__until(sync__call_timeout(sync, timeout_ns));
    sync__handle_enter(&w->handle);
    bool in_time = true;
    while (!w->began && w->handle.error == 0 && in_time) {
        in_time = sync__handle_wait(&w->handle, &until);
    }
    int error = w->began ? 0 : w->handle.error != 0 ? w->handle.error : OAK_EDEADLINE;
    sync__handle_leave(&w->handle);
    return error;
}

int oak_sync_watch(struct oak_sync *sync, const struct oak_client_watch_options *options,
                   uint64_t timeout_ns, struct oak_sync_watch **out)
{
    struct oak_sync_watch *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    oak_list_init(&w->queue);
    w->resume.run = resume_run;
    w->resume.left = resume_left;
    sync__handle_init(sync, &w->handle, watch_stop);
    struct watch_job job = {.job.run = watch_run, .watch = w, .options = options};
    int error = sync__run(sync, &job.job);
    if (error == 0) {
        error = watch_wait(w, timeout_ns);
    }
    if (error != 0) {
        oak_sync_watch_free(w);
        return error;
    }
    *out = w;
    return 0;
}

/* Under the lock. */
static struct oak_client_changes *queue_take(struct oak_sync_watch *w)
{
    struct kept *kept = OAK_LIST_ENTRY(oak_list_pop(&w->queue), struct kept, link);
    struct oak_client_changes *changes = kept->changes;
    w->bytes -= kept->bytes;
    free(kept);
    if (w->held && !w->resuming && w->bytes <= w->handle.sync->watch_bytes / 2) {
        w->resuming = sync__post(w->handle.sync, &w->resume) == 0;
    }
    return changes;
}

int oak_sync_watch_next(struct oak_sync_watch *w, uint64_t timeout_ns,
                        struct oak_client_changes **out)
{
    const struct timespec until = sync__until(timeout_ns);
    *out = NULL;
    sync__handle_enter(&w->handle);
    bool in_time = timeout_ns > 0;
    while (oak_list_empty(&w->queue) && w->handle.error == 0 && !w->handle.closing && in_time) {
        in_time = sync__handle_wait(&w->handle, &until);
    }
    int error = w->handle.closing      ? OAK_ECLOSED
                : w->handle.error != 0 ? w->handle.error
                                       : OAK_EDEADLINE;
    if (!w->handle.closing && !oak_list_empty(&w->queue)) {
        *out = queue_take(w);
        error = 0;
    }
    sync__handle_leave(&w->handle);
    return error;
}

int64_t oak_sync_watch_compacted(struct oak_sync_watch *w)
{
    pthread_mutex_lock(&w->handle.sync->lock);
    int64_t compacted = w->compacted;
    pthread_mutex_unlock(&w->handle.sync->lock);
    return compacted;
}

void oak_sync_watch_close(struct oak_sync_watch *w)
{
    sync__handle_close(&w->handle);
}

void oak_sync_watch_free(struct oak_sync_watch *w)
{
    if (w == NULL) {
        return;
    }
    sync__handle_fini(&w->handle);
    struct oak_list *node;
    while ((node = oak_list_pop(&w->queue)) != NULL) {
        struct kept *kept = OAK_LIST_ENTRY(node, struct kept, link);
        oak_client_changes_free(kept->changes);
        free(kept);
    }
    free(w);
}
