/* SPDX-License-Identifier: Apache-2.0 */
/* sync.c: a cluster that is open: its thread, its loop, and how work gets there and back.
 *
 * Happy path   1 open: a runtime, a client on it, a thread that runs it
 *              2 a thread of the program posts a job and waits
 *              3 the loop runs it; sooner or later something there finishes it, and the thread
 *                goes on
 *              4 close: the loop returns, all that lives on it goes, what waits is told
 * Can fail     1, by what the options say, or for want of memory, threads, descriptors. 2 needs
 *              nothing that could fail: a job lies on its poster's stack.
 * Invariants   no callback of the client runs under the lock, and none of the program's runs on the
 *              loop: so a thread that waits never waits for itself. A job is finished once. The
 *              memory goes with the last one who knows of it.
 * Thread       the loop's, where it says so; else the program's.
 */
#include "sync/internal.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define SECOND_NS ((uint64_t)1000 * 1000 * 1000)

/* -- time -------------------------------------------------------------------------------------- */

uint64_t sync__call_timeout(const struct oak_sync *sync, uint64_t timeout_ns)
{
    return timeout_ns != 0 ? OAK_MIN(timeout_ns, SYNC_TIMEOUT_NS_MAX) : sync->call_timeout_ns;
}

struct timespec sync__until(uint64_t timeout_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = OAK_MIN(timeout_ns, SYNC_TIMEOUT_NS_MAX) + (uint64_t)now.tv_nsec;
    now.tv_sec += (time_t)(ns / SECOND_NS);
    now.tv_nsec = (long)(ns % SECOND_NS);
    return now;
}

void sync__cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    int rc = pthread_cond_init(cond, &attr);
    OAK_ASSERT(rc == 0);
    pthread_condattr_destroy(&attr);
}

/* -- jobs -------------------------------------------------------------------------------------- */

void sync__finish(struct sync_job *job, int error)
{
    struct oak_sync *sync = job->sync;
    pthread_mutex_lock(&sync->lock);
    OAK_ASSERT(!job->finished);
    job->finished = true;
    job->error = error;
    pthread_cond_signal(&job->told); /* under the lock: then it is gone */
    pthread_mutex_unlock(&sync->lock);
}

static void jobs_take(struct oak_sync *sync, struct oak_list *out)
{
    struct oak_list *node;
    oak_list_init(out);
    pthread_mutex_lock(&sync->lock);
    sync->kicked = false;
    while ((node = oak_list_pop(&sync->jobs)) != NULL) {
        oak_list_push(out, node);
    }
    pthread_mutex_unlock(&sync->lock);
}

static void jobs_run(struct oak_task *task)
{
    struct oak_sync *sync = OAK_CONTAINER_OF(task, struct oak_sync, kick);
    struct oak_list jobs;
    struct oak_list *node;
    jobs_take(sync, &jobs);
    while ((node = oak_list_pop(&jobs)) != NULL) {
        struct sync_job *job = OAK_LIST_ENTRY(node, struct sync_job, link);
        job->run(job);
    }
}

int sync__post(struct oak_sync *sync, struct sync_job *job)
{
    if (sync->closed) {
        return OAK_ECLOSED;
    }
    job->sync = sync;
    oak_list_push(&sync->jobs, &job->link);
    if (!sync->kicked) {
        const struct oak_exec *exec = &oak_runtime_loop(sync->rt)->exec;
        sync->kicked = true;
        exec->post(exec->user, &sync->kick);
    }
    return 0;
}

int sync__run(struct oak_sync *sync, struct sync_job *job)
{
    sync__cond_init(&job->told);
    pthread_mutex_lock(&sync->lock);
    sync->refs++;
    int error = sync__post(sync, job);
    if (error == 0) {
        while (!job->finished) {
            pthread_cond_wait(&job->told, &sync->lock);
        }
        error = job->error;
    }
    while (error == OAK_ECLOSED && sync->closed && !sync->ended) {
        pthread_cond_wait(&sync->over, &sync->lock);
    }
    pthread_mutex_unlock(&sync->lock);
    pthread_cond_destroy(&job->told);
    sync__unref(sync);
    return error;
}

/* -- handles ----------------------------------------------------------------------------------- */

void sync__handle_init(struct oak_sync *sync, struct sync_handle *handle,
                       void (*stop)(struct sync_handle *handle))
{
    handle->sync = sync;
    handle->stop = stop;
    sync__cond_init(&handle->told);
    sync__ref(sync);
}

void sync__handle_begin(struct sync_handle *handle)
{
    oak_list_push(&handle->sync->handles, &handle->link);
}

void sync__handle_end(struct sync_handle *handle, int error)
{
    pthread_mutex_lock(&handle->sync->lock);
    handle->error = handle->error != 0 ? handle->error : error;
    pthread_cond_broadcast(&handle->told);
    pthread_mutex_unlock(&handle->sync->lock);
}

/* On the loop. */
static void handle_stop(struct sync_handle *handle)
{
    if (oak_list_linked(&handle->link)) {
        oak_list_remove(&handle->link);
        handle->stop(handle);
    }
}

struct stop_job {
    struct sync_job job;
    struct sync_handle *handle;
};

static void stop_run(struct sync_job *job)
{
    handle_stop(OAK_CONTAINER_OF(job, struct stop_job, job)->handle);
    sync__finish(job, 0);
}

void sync__handle_fini(struct sync_handle *handle)
{
    struct stop_job stop = {.job.run = stop_run, .handle = handle};
    struct oak_sync *sync = handle->sync;
    int error = sync__run(sync, &stop.job);
    OAK_ASSERT(error == 0 || error == OAK_ECLOSED); /* closed: it was stopped with the loop */
    pthread_mutex_lock(&sync->lock);
    handle->error = handle->error != 0 ? handle->error : OAK_ECLOSED;
    pthread_cond_broadcast(&handle->told);
    while (handle->inside > 0) {
        pthread_cond_wait(&handle->told, &sync->lock);
    }
    pthread_mutex_unlock(&sync->lock);
    pthread_cond_destroy(&handle->told);
    sync__unref(sync);
}

void sync__handle_close(struct sync_handle *handle)
{
    pthread_mutex_lock(&handle->sync->lock);
    handle->closing = true;
    pthread_cond_broadcast(&handle->told);
    pthread_mutex_unlock(&handle->sync->lock);
}

int sync__handle_error(struct sync_handle *handle)
{
    pthread_mutex_lock(&handle->sync->lock);
    int error = handle->error;
    pthread_mutex_unlock(&handle->sync->lock);
    return error;
}

void sync__handle_enter(struct sync_handle *handle)
{
    pthread_mutex_lock(&handle->sync->lock);
    handle->inside++;
}

void sync__handle_leave(struct sync_handle *handle)
{
    struct oak_sync *sync = handle->sync;
    if (--handle->inside == 0) {
        pthread_cond_broadcast(&handle->told); /* whoever frees it may wait for that */
    }
    pthread_mutex_unlock(&sync->lock);
}

bool sync__handle_wait(struct sync_handle *handle, const struct timespec *until)
{
    return pthread_cond_timedwait(&handle->told, &handle->sync->lock, until) == 0;
}

int sync__handle_lost(struct sync_handle *handle, uint64_t timeout_ns)
{
    const struct timespec until = sync__until(timeout_ns);
    sync__handle_enter(handle);
    bool in_time = timeout_ns > 0;
    while (handle->error == 0 && !handle->closing && in_time) {
        in_time = sync__handle_wait(handle, &until);
    }
    int error = handle->error == 0 && handle->closing ? OAK_ECLOSED : handle->error;
    sync__handle_leave(handle);
    return error;
}

/* -- the loop's thread ------------------------------------------------------------------------- */

static void handles_stop(struct oak_sync *sync)
{
    while (!oak_list_empty(&sync->handles)) {
        struct sync_handle *handle = OAK_LIST_ENTRY(sync->handles.next, struct sync_handle, link);
        handle_stop(handle);
        sync__handle_end(handle, OAK_ECLOSED);
    }
}

static void jobs_leave(struct oak_sync *sync)
{
    struct oak_list jobs;
    struct oak_list *node;
    jobs_take(sync, &jobs);
    while ((node = oak_list_pop(&jobs)) != NULL) {
        struct sync_job *job = OAK_LIST_ENTRY(node, struct sync_job, link);
        if (job->left != NULL) {
            job->left(job);
        } else {
            sync__finish(job, OAK_ECLOSED);
        }
    }
}

static void *thread_main(void *arg)
{
    struct oak_sync *sync = arg;
    oak_runtime_run(sync->rt);
    sync->leaving = true;
    jobs_leave(sync);
    handles_stop(sync);
    oak_client_free(sync->client); /* what waits for an answer is told */
    oak_runtime_free(sync->rt);    /* a kick that is under way finds no jobs */
    pthread_mutex_lock(&sync->lock);
    sync->ended = true;
    pthread_cond_broadcast(&sync->over);
    pthread_mutex_unlock(&sync->lock);
    return NULL;
}

static int thread_start(struct oak_sync *sync)
{
    /* Signals are for the program's threads; the new one takes this mask over. */
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&sync->thread, NULL, thread_main, sync);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? 0 : OAK_EIO;
}

/* -- life -------------------------------------------------------------------------------------- */

static void sync_destroy(struct oak_sync *sync)
{
    pthread_cond_destroy(&sync->over);
    pthread_mutex_destroy(&sync->lock);
    free(sync);
}

void sync__ref(struct oak_sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    sync->refs++;
    pthread_mutex_unlock(&sync->lock);
}

void sync__unref(struct oak_sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    bool last = --sync->refs == 0;
    pthread_mutex_unlock(&sync->lock);
    if (last) {
        sync_destroy(sync);
    }
}

/* Does TLS come into it, and is it said without contradiction? */
static int tls_wanted(const char *endpoints, const struct oak_sync_options *o, bool *wanted,
                      struct oak_errbuf *e)
{
    *wanted = o->ca_file != NULL || o->cert_file != NULL || o->key_file != NULL ||
              o->server_name != NULL || strstr(endpoints, "https://") != NULL;
    if (o->client.net != NULL) {
        return oak_fail(e, OAK_EINVAL, "a network belongs to a loop, and this one has its own");
    }
    if (*wanted && strstr(endpoints, "http://") != NULL) {
        return oak_fail(e, OAK_EINVAL, "an endpoint with http:// beside TLS: nothing may go there");
    }
    return 0;
}

static int client_open(struct oak_sync *sync, const char *endpoints,
                       const struct oak_sync_options *o, struct oak_errbuf *e)
{
    struct oak_client_options options = o->client;
    bool tls;
    int error = tls_wanted(endpoints, o, &tls, e);
    if (error == 0 && tls) {
        const struct oak_tls_material material = {
            .ca.file = o->ca_file, .certificate.file = o->cert_file, .key.file = o->key_file};
        error = oak_runtime_tls_files(sync->rt, &material, o->server_name, SYNC_TLS_FILES_NS,
                                      &options.net, e);
    }
    return error == 0
               ? oak_client_new(oak_runtime_loop(sync->rt), endpoints, &options, &sync->client, e)
               : error;
}

int oak_sync_open(const char *endpoints, const struct oak_sync_options *options,
                  struct oak_sync **out, struct oak_errbuf *e)
{
    static const struct oak_sync_options none;
    const struct oak_sync_options *o = options != NULL ? options : &none;
    struct oak_sync *sync = calloc(1, sizeof(*sync));
    if (sync == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM));
    }
    int rc = pthread_mutex_init(&sync->lock, NULL);
    OAK_ASSERT(rc == 0);
    sync__cond_init(&sync->over);
    oak_list_init(&sync->jobs);
    oak_list_init(&sync->handles);
    sync->kick.run = jobs_run;
    sync->refs = 1;
    sync->call_timeout_ns =
        o->client.call_timeout_ns != 0 ? o->client.call_timeout_ns : SYNC_CALL_NS;
    sync->watch_bytes = o->watch_bytes != 0 ? o->watch_bytes : SYNC_WATCH_BYTES;
    int error = oak_runtime_new(&sync->rt);
    bool told = false;
    if (error == 0) {
        error = client_open(sync, endpoints, o, e);
        told = error != 0;
    }
    if (error == 0) {
        error = thread_start(sync);
    }
    if (error != 0) {
        oak_client_free(sync->client);
        oak_runtime_free(sync->rt);
        sync_destroy(sync);
        return told ? error : oak_fail(e, error, "%s", oak_error_text(error));
    }
    *out = sync;
    return 0;
}

void oak_sync_close(struct oak_sync *sync)
{
    pthread_mutex_lock(&sync->lock);
    if (!sync->closed) {
        sync->closed = true;
        oak_runtime_stop(sync->rt);
    }
    while (!sync->ended) {
        pthread_cond_wait(&sync->over, &sync->lock);
    }
    pthread_mutex_unlock(&sync->lock);
}

void oak_sync_free(struct oak_sync *sync)
{
    if (sync != NULL) {
        oak_sync_close(sync);
        int rc = pthread_join(sync->thread, NULL);
        OAK_ASSERT(rc == 0);
        sync__unref(sync);
    }
}
