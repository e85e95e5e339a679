/* SPDX-License-Identifier: Apache-2.0 */
/* observer.c: who leads: the latest, until it is taken.
 *
 * Happy path   each leader takes the place of the one that nobody has taken.
 * Can fail     for want of memory: it ends, for what it would tell is wrong from then on.
 * Thread       callbacks and jobs are the loop's; the rest is the program's.
 */
#include <stdlib.h>

#include "sync/internal.h"

static void leads(void *user, struct oak_client_observer *observer,
                  const struct oak_client_kv *leader)
{
    struct oak_sync_observer *o = user;
    const struct oak_client_event event = {
        .deleted = leader == NULL,
        .kv = leader != NULL ? *leader : (struct oak_client_kv){.mod_revision = 0}};
    const struct oak_client_changes changes = {
        .events = &event, .count = 1, .revision = event.kv.mod_revision};
    struct oak_client_changes *latest = oak_client_changes_keep(&changes);
    if (latest == NULL) {
        oak_client_observer_end(observer);
        o->observer = NULL;
        sync__handle_end(&o->handle, OAK_ENOMEM);
        return;
    }
    pthread_mutex_lock(&o->handle.sync->lock);
    oak_client_changes_free(o->latest);
    o->latest = latest;
    pthread_cond_signal(&o->handle.told);
    pthread_mutex_unlock(&o->handle.sync->lock);
}

static void ended(void *user, struct oak_client_observer *observer, int error)
{
    struct oak_sync_observer *o = user;
    (void)observer;
    o->observer = NULL;
    sync__handle_end(&o->handle, error);
}

static const struct oak_client_observer_callbacks callbacks = {.leads = leads, .ended = ended};

static void observer_stop(struct sync_handle *handle)
{
    struct oak_sync_observer *o = OAK_CONTAINER_OF(handle, struct oak_sync_observer, handle);
    if (o->observer != NULL) {
        oak_client_observer_end(o->observer);
    }
    oak_client_watcher_free(o->watcher);
    o->observer = NULL;
    o->watcher = NULL;
}

/* -- the door ---------------------------------------------------------------------------------- */

struct observe_job {
    struct sync_job job;
    struct oak_sync_observer *observer;
    struct oak_bytes name;
};

static void observe_run(struct sync_job *job)
{
    struct observe_job *j = OAK_CONTAINER_OF(job, struct observe_job, job);
    struct oak_sync_observer *o = j->observer;
    int error = oak_client_watcher_new(job->sync->client, &o->watcher);
    if (error == 0) {
        error = oak_client_observe(o->watcher, j->name, &callbacks, o, &o->observer);
    }
    if (error == 0) {
        sync__handle_begin(&o->handle);
    } else {
        observer_stop(&o->handle);
    }
    sync__finish(job, error);
}

int oak_sync_observe(struct oak_sync *sync, struct oak_bytes name, struct oak_sync_observer **out)
{
    struct oak_sync_observer *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return OAK_ENOMEM;
    }
    sync__handle_init(sync, &o->handle, observer_stop);
    struct observe_job job = {.job.run = observe_run, .observer = o, .name = name};
    int error = sync__run(sync, &job.job);
    if (error != 0) {
        oak_sync_observer_free(o);
        return error;
    }
    *out = o;
    return 0;
}

int oak_sync_observer_next(struct oak_sync_observer *o, uint64_t timeout_ns,
                           struct oak_client_changes **out)
{
    const struct timespec until = sync__until(timeout_ns);
    sync__handle_enter(&o->handle);
    bool in_time = timeout_ns > 0;
    while (o->latest == NULL && o->handle.error == 0 && !o->handle.closing && in_time) {
        in_time = sync__handle_wait(&o->handle, &until);
    }
    int error = o->handle.closing      ? OAK_ECLOSED
                : o->latest != NULL    ? 0
                : o->handle.error != 0 ? o->handle.error
                                       : OAK_EDEADLINE;
    *out = error == 0 ? o->latest : NULL;
    o->latest = error == 0 ? NULL : o->latest;
    sync__handle_leave(&o->handle);
    return error;
}

void oak_sync_observer_close(struct oak_sync_observer *o)
{
    sync__handle_close(&o->handle);
}

void oak_sync_observer_free(struct oak_sync_observer *o)
{
    if (o != NULL) {
        sync__handle_fini(&o->handle);
        oak_client_changes_free(o->latest);
        free(o);
    }
}
