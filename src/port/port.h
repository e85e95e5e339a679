/* SPDX-License-Identifier: Apache-2.0 */
/* port.h: the questions we ask the world, as small tables of functions.
 *
 * Law: no room above this one calls the operating system. `os` answers these questions with libuv,
 * threads and files; `sim` answers them with one thread and a seed. A new function here is a design
 * change with two implementations in the same commit.
 *
 * Everything is called from the thread that owns the object, unless it says otherwise. A callback
 * never runs from inside the call that registered it.
 */
#ifndef OAK_PORT_H
#define OAK_PORT_H

#include "base/base.h"

/* -- time and chance --------------------------------------------------------------------------- */

/* Nanoseconds. `mono` never goes back and counts time that the machine was suspended (R5 of the
 * read scenarios rests on it); `wall` is since 1970 UTC and may jump. Any thread. */
struct oak_clock {
    uint64_t (*mono_ns)(void *user);
    uint64_t (*wall_ns)(void *user);
    void *user;
};

/* Unpredictable bytes. Any thread. */
struct oak_entropy {
    void (*fill)(void *user, void *out, size_t size);
    void *user;
};

/* -- actors ------------------------------------------------------------------------------------ */

/* A piece of work for an actor. The poster owns the memory and may not touch it until `run` has
 * been called, on the actor's thread. Embed it. */
struct oak_task {
    struct oak_list link;
    void (*run)(struct oak_task *task);
};

/* An actor: runs the tasks posted to it one after the other, in the order of their posting.
 * `post` may be called from any thread and never blocks. A task posted to an actor that is being
 * closed is run before the close completes. */
struct oak_exec {
    void (*post)(void *user, struct oak_task *task);
    void *user;
};

/* A one-shot timer on the owner's loop. Embed it; zeroed is a stopped one. `due_ns` is on the
 * monotonic clock. Setting a running timer moves it. Stopping a stopped one does nothing. After
 * `fire` it is stopped. `impl` belongs to the implementation. */
struct oak_timer {
    void (*fire)(struct oak_timer *timer);
    uint64_t due_ns;
    struct oak_list link;
    size_t impl;
    bool running;
};

struct oak_timers {
    void (*set)(void *user, struct oak_timer *timer, uint64_t due_ns);
    void (*stop)(void *user, struct oak_timer *timer);
    void *user;
};

/* -- disk -------------------------------------------------------------------------------------- */

/* Blocking calls, made only by actors that may block: the log writer, workers, and start-up.
 * All paths are absolute or relative to the process, as the caller was given them.
 * Errors: OAK_EIO (what is on disk is unknown: poison and stop), OAK_ENOSPC (nothing of a failed
 * write may be believed), OAK_ENOENT, OAK_EEXIST, OAK_EPERM, OAK_ENOMEM, OAK_EINVAL (not a file).
 * What was written is durable only after `sync` of the file; a created, renamed or removed name
 * only after `sync_dir` of its directory. A failed sync is never tried again: the pages are gone.
 */
struct oak_file;

enum oak_file_mode {
    OAK_FILE_READ,   /* must exist */
    OAK_FILE_WRITE,  /* must exist; read and write */
    OAK_FILE_CREATE, /* must not exist; read and write */
};

struct oak_disk {
    int (*open)(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out);
    void (*close)(void *user, struct oak_file *file);
    /* Exactly `size` bytes, or fewer only at the end of the file: *got says how many. */
    int (*read)(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                size_t *got);
    /* All of it or an error. Extends the file. */
    int (*write)(void *user, struct oak_file *file, uint64_t offset, const void *data, size_t size);
    /* fdatasync: contents and whatever of the size is needed to read them back. */
    int (*sync)(void *user, struct oak_file *file);
    int (*size)(void *user, struct oak_file *file, uint64_t *out);
    int (*truncate)(void *user, struct oak_file *file, uint64_t size);
    int (*rename)(void *user, const char *from, const char *to);
    int (*remove)(void *user, const char *path);
    /* One level; an existing directory is success. Mode 0700. */
    int (*make_dir)(void *user, const char *path);
    int (*sync_dir)(void *user, const char *path);
    /* Each name in `path` but "." and "..", in no set order. */
    int (*list)(void *user, const char *path, void (*each)(void *arg, const char *name), void *arg);
    /* Bytes that can still be written below `path`. NULL: nobody knows. */
    int (*space)(void *user, const char *path, uint64_t *free_bytes);
    void *user;
};

/* -- byte streams ------------------------------------------------------------------------------ */

/* A connected stream, owned by one loop. The opener installs `handler` before it returns to the
 * loop. `data` bytes are valid during the callback. `closed` is called exactly once, last, with the
 * reason (0 when we or the peer closed in order); after it the stream is gone. */
struct oak_stream;

struct oak_stream_handler {
    void (*data)(void *user, struct oak_bytes bytes);
    /* What was queued has dwindled to nothing after a write that did not go out whole. */
    void (*drained)(void *user);
    void (*closed)(void *user, int error);
    void *user;
};

#define OAK_STREAM_PIECES_MAX 128

struct oak_stream_ops {
    void (*handle)(struct oak_stream *stream, const struct oak_stream_handler *handler);
    /* Queue the bytes (copied only if they can't leave at once). 0, or OAK_ECLOSED. The caller
     * bounds what it queues by `queued`. */
    int (*write)(struct oak_stream *stream, struct oak_bytes bytes);
    /* As write, of up to OAK_STREAM_PIECES_MAX pieces as if they lay behind each other. NULL in the
     * place of the function: nothing is won by it here, and whoever has pieces joins them. */
    int (*write_pieces)(struct oak_stream *stream, const struct oak_bytes *pieces, size_t count);
    size_t (*queued)(struct oak_stream *stream);
    /* Stop and start reading: back-pressure. */
    void (*pause)(struct oak_stream *stream, bool paused);
    /* Close once what is queued has left (`now` false) or at once. `closed` follows from the loop.
     */
    void (*close)(struct oak_stream *stream, bool now);
    /* "127.0.0.1:2379", static until closed. */
    const char *(*peer_name)(struct oak_stream *stream);
    /* Who the peer has proved to be, static until closed; NULL: it showed no certificate. NULL in
     * the place of the function: the stream is not encrypted. */
    const struct oak_identity *(*identity)(struct oak_stream *stream);
    /* The process at the other end, static until closed; NULL: unknown. NULL in the place of the
     * function: such streams never know. */
    const struct oak_process *(*process)(struct oak_stream *stream);
};

struct oak_stream {
    const struct oak_stream_ops *ops;
};

/* Opens and accepts streams. Addresses are "host:port", "[v6]:port" or "unix:path" ("unix:@name":
 * without a file, as Linux has it). */
struct oak_listener;

struct oak_net {
    /* Accept streams until the listener is closed. `accepted` gets each, ready for `handle`.
     * OAK_EINUSE when the address is taken, OAK_EINVAL when it can't be understood or is not ours;
     * the errbuf (may be NULL) names it. */
    int (*listen)(void *user, const char *address,
                  void (*accepted)(void *arg, struct oak_stream *s), void *arg,
                  struct oak_listener **out, struct oak_errbuf *e);
    void (*listener_close)(void *user, struct oak_listener *listener);
    /* "127.0.0.1:40123": the address as bound, so that port 0 can be used. Static until closed. */
    const char *(*listener_name)(void *user, struct oak_listener *listener);
    /* Connect within `timeout_ns`: `done` is called once from the loop with a stream or an error.
     */
    int (*connect)(void *user, const char *address, uint64_t timeout_ns,
                   void (*done)(void *arg, int error, struct oak_stream *s), void *arg);
    /* As connect, to an address that `resolve` gave for `name` ("host:port"): the other end has to
     * be `name`, not its address, where ends prove who they are. NULL in the place of the function:
     * here they don't, and connect does as well. */
    int (*connect_as)(void *user, const char *address, const char *name, uint64_t timeout_ns,
                      void (*done)(void *arg, int error, struct oak_stream *s), void *arg);
    /* The addresses of "host:port", or of the servers that SRV records name for a service,
     * "srv:_service._proto.name", as connect takes them, each once, the best first: `done` is
     * called once from the loop, with one or more, borrowed, or with an error (OAK_EUNRESOLVED).
     * NULL in the place of the function: names have no list here. */
    int (*resolve)(void *user, const char *name, uint64_t timeout_ns,
                   void (*done)(void *arg, int error, const char *const *addresses, size_t count),
                   void *arg);
    void *user;
};

/* Let code of the loop act once after each round of events, before the loop waits again: this is
 * where batches leave (proposals, log writes, replies). Hooks run in the order of their adding. */
struct oak_after {
    struct oak_list link;
    void (*run)(struct oak_after *after);
};

/* What a room gets of the loop it lives on. */
struct oak_loop {
    struct oak_clock clock;
    struct oak_entropy entropy;
    struct oak_timers timers;
    struct oak_exec exec; /* posts to this loop from any thread */
    struct oak_net net;
    /* A hook that another hook adds runs in the same round, behind those that are there; one that
     * is removed before its turn does not. A hook that hooks add again and again keeps the round
     * from ending. Removing one that is not added does nothing. */
    void (*after_add)(void *user, struct oak_after *after);
    void (*after_remove)(void *user, struct oak_after *after);
    void *user;
};

#endif
