/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of `sync` share: a cluster that is open, and what crosses between the
 * program's threads and the loop's. */
#ifndef OAK_SYNC_INTERNAL_H
#define OAK_SYNC_INTERNAL_H

#include <pthread.h>

#include "oakum/runtime.h"
#include "oakum/sync.h"
#include "port/port.h"

/* -- limits of this room ----------------------------------------------------------------------- */

/* Changes of one watch that nobody has taken, before the servers keep the rest. One message more
 * may come: a server's fragment. */
#define SYNC_WATCH_BYTES OAK_MIB
/* Of calls that name no time, as in client.h. */
#define SYNC_CALL_NS (5 * OAK_RUNTIME_SECOND_NS)
/* Timeouts that are longer have no end. */
#define SYNC_TIMEOUT_NS_MAX ((uint64_t)INT64_MAX / 4)
/* Files of TLS are looked at so often. */
#define SYNC_TLS_FILES_NS (10 * OAK_RUNTIME_SECOND_NS)

/* -- objects ----------------------------------------------------------------------------------- */

/* A piece of work for the loop. It is the poster's until then, and again when it is finished. */
struct sync_job {
    struct oak_list link;               /* sync->jobs */
    void (*run)(struct sync_job *job);  /* on the loop, without the lock */
    void (*left)(struct sync_job *job); /* the loop has ended: instead; NULL: finish, OAK_ECLOSED */
    struct oak_sync *sync;
    pthread_cond_t told;
    bool finished;
    int error;
};

struct oak_sync {
    pthread_mutex_t lock; /* of all that says so here, and in handles */
    pthread_t thread;
    pthread_cond_t over;
    /* Under the lock */
    unsigned refs; /* the owner's, each handle's, and of each thread that is inside */
    bool closed;
    bool ended; /* the loop is gone */
    bool kicked;
    struct oak_list jobs; /* posted, and not run */
    struct oak_task kick;
    /* The loop's */
    struct oak_runtime *rt;
    struct oak_client *client;
    struct oak_list handles;
    bool leaving; /* it has returned: what is ended now is closed */
    /* These never change */
    size_t watch_bytes;
    uint64_t call_timeout_ns;
};

/* What lives on the loop and is held by the program. */
struct sync_handle {
    struct oak_list link; /* sync->handles: the loop's */
    struct oak_sync *sync;
    /* On the loop, without the lock: whatever of it lives there goes. Once. */
    void (*stop)(struct sync_handle *handle);
    pthread_cond_t told; /* something of it has changed */
    /* Under the lock */
    int error;       /* it has ended, by this */
    bool closing;    /* who waits in it, or comes to, is told OAK_ECLOSED */
    unsigned inside; /* threads of the program that wait in it */
};

struct oak_sync_watch {
    struct sync_handle handle;
    /* The loop's */
    struct oak_client_watcher *watcher;
    struct oak_client_watch *watch; /* NULL: it has ended */
    struct sync_job resume;
    /* Under the lock */
    struct oak_list queue;
    size_t bytes;
    bool began;
    bool held;     /* the stream is held back */
    bool resuming; /* `resume` is posted */
    int64_t compacted;
};

struct oak_sync_observer {
    struct sync_handle handle;
    /* The loop's */
    struct oak_client_watcher *watcher;
    struct oak_client_observer *observer; /* NULL: it has ended */
    /* Under the lock */
    struct oak_client_changes *latest; /* NULL: it was taken */
};

struct oak_sync_lease {
    struct sync_handle handle;
    struct oak_client_lease *lease; /* the loop's; NULL: it is lost */
};

struct oak_sync_turn {
    struct sync_handle handle;
    /* The loop's */
    struct oak_client_session *session; /* NULL: it is lost, or given up */
    struct oak_client_turn *turn;       /* NULL: not asked for, or lost */
    struct oak_bytes name;              /* the caller's, until it is asked for */
    struct oak_bytes value;
    /* Under the lock until it is held; never changed from then on */
    bool held;
    int64_t revision;
    uint8_t *key;
    size_t key_size;
};

/* sync.c */
/* Let it run on the loop, and wait until it is finished: its error. OAK_ECLOSED: it is not run, and
 * the loop has ended. */
OAK_MUST_USE int sync__run(struct oak_sync *sync, struct sync_job *job);
/* On the loop: its poster goes on. */
void sync__finish(struct sync_job *job, int error);
/* Under the lock: the same without waiting; OAK_ECLOSED: it is not run. */
OAK_MUST_USE int sync__post(struct oak_sync *sync, struct sync_job *job);
void sync__ref(struct oak_sync *sync);
/* The last one frees it. */
void sync__unref(struct oak_sync *sync);
void sync__cond_init(pthread_cond_t *cond);

/* On the program's thread. */
void sync__handle_init(struct oak_sync *sync, struct sync_handle *handle,
                       void (*stop)(struct sync_handle *handle));
/* On the loop: it lives there from now on. */
void sync__handle_begin(struct sync_handle *handle);
/* On the program's thread: it lives there no more, and who was inside has left: what remains of it
 * is the caller's to free. */
void sync__handle_fini(struct sync_handle *handle);
/* Waits of it end with OAK_ECLOSED, and so do later ones; it is all there until it is freed. */
void sync__handle_close(struct sync_handle *handle);
/* On the loop: it has ended, unless it had. */
void sync__handle_end(struct sync_handle *handle, int error);
/* How it has ended; 0: it has not. */
int sync__handle_error(struct sync_handle *handle);
/* Take the lock, to wait in it; and leave it with the lock. */
void sync__handle_enter(struct sync_handle *handle);
void sync__handle_leave(struct sync_handle *handle);
/* Between them: wait for a change. False: the time is over. */
bool sync__handle_wait(struct sync_handle *handle, const struct timespec *until);
/* The moment at which this timeout is over. */
struct timespec sync__until(uint64_t timeout_ns);
/* How it ended, if it does within this time; else 0. */
int sync__handle_lost(struct sync_handle *handle, uint64_t timeout_ns);
/* Of a call: what it is if it is 0, and never past the end of time. */
uint64_t sync__call_timeout(const struct oak_sync *sync, uint64_t timeout_ns);

/* call.c: a call to the servers */
struct sync_call {
    struct sync_job job;
    /* On the loop: ask, with sync__answered and the call as its `user`. */
    int (*begin)(struct sync_call *call, struct oak_client *client);
    struct oak_client_answer **out; /* may be NULL */
    uint64_t timeout_ns;
};
OAK_MUST_USE int sync__call(struct oak_sync *sync, struct sync_call *call);
void sync__answered(void *user, const struct oak_client_answer *answer);

#endif
