/* SPDX-License-Identifier: Apache-2.0 */
/* os.h: port.h answered by the machine: libuv, threads and files. The only room that calls the
 * operating system.
 *
 *     struct oak_os_loop *loop;
 *     if (oak_os_loop_new(&loop) == 0) {
 *         const struct oak_loop *port = oak_os_loop_port(loop);   // hand this to the rooms
 *         port->net.listen(port->net.user, "127.0.0.1:2379", accepted, me, &listener, &e);
 *         oak_os_loop_run(loop);                                  // until oak_os_loop_stop()
 *         oak_os_loop_free(loop);
 *     }
 *
 * Threads: a loop belongs to the thread that runs it (and to its maker before that); only
 * oak_os_loop_stop and `exec.post` may be called from others. An actor's thread is its own. The
 * disk has no state. Nothing here is global.
 *
 * Errors of streams and connects: OAK_ECLOSED (reset, broken pipe), OAK_EREFUSED, OAK_EUNREACHABLE,
 * OAK_EUNRESOLVED (no such host), OAK_EDEADLINE (not connected in time), OAK_EPERM, OAK_ENOENT (no
 * such unix socket), OAK_ENOMEM.
 */
#ifndef OAK_OS_H
#define OAK_OS_H

#include "port/port.h"

/* -- the loop ---------------------------------------------------------------------------------- */

struct oak_os_loop;

/* OAK_ENOMEM, or OAK_EIO when the kernel gives no descriptors. */
OAK_MUST_USE int oak_os_loop_new(struct oak_os_loop **out);
/* Close what is still open (streams get `closed` with OAK_ECLOSED, pending connects and look-ups
 * `done`; children live on without us), and run the tasks still posted. Not from inside the loop,
 * and it can't be run any more. Its timers and hooks can still be set and stopped, for nothing: who
 * lived on it can be freed. */
void oak_os_loop_close(struct oak_os_loop *loop);
/* The same, unless it was done, then free. Timers and hooks that are still set are forgotten. */
void oak_os_loop_free(struct oak_os_loop *loop);
/* Serve until stopped. Each round: events of sockets, then timers that are due, then posted tasks,
 * then the hooks. May be called again after it returned. */
void oak_os_loop_run(struct oak_os_loop *loop);
/* Let `run` return after the round it is in; before a run, let the next one return after its first
 * round. Any thread. */
void oak_os_loop_stop(struct oak_os_loop *loop);
/* Everything of struct oak_loop; valid as long as the loop. */
const struct oak_loop *oak_os_loop_port(struct oak_os_loop *loop);
/* Streams that this loop has accepted and not yet closed. Past OAK_CONNECTIONS_MAX, new ones are
 * closed as they come. */
size_t oak_os_loop_accepted(const struct oak_os_loop *loop);
/* The clock that the loop and its timers go by; before anything is set on it. */
void oak_os_loop_clock(struct oak_os_loop *loop, struct oak_clock clock);
/* Listeners from now on share their port with those of other processes (SO_REUSEPORT). */
void oak_os_loop_share_ports(struct oak_os_loop *loop);
/* Call `fn` from the loop on SIGINT and SIGTERM; NULL stops it. One loop of a process. */
OAK_MUST_USE int oak_os_loop_on_signal(struct oak_os_loop *loop, void (*fn)(void *user, int signal),
                                       void *user);

/* The clock and the entropy alone, for code that has no loop. Any thread. */
struct oak_clock oak_os_clock(void);
struct oak_entropy oak_os_entropy(void);

/* -- actors with a thread of their own --------------------------------------------------------- */

struct oak_os_actor;

/* Start a thread, named `name` (15 bytes count), that runs posted tasks in order and may block. */
OAK_MUST_USE int oak_os_actor_new(const char *name, struct oak_os_actor **out);
struct oak_exec oak_os_actor_exec(struct oak_os_actor *actor);
/* Run everything posted, also what those tasks post, then join the thread and free. Blocks; not
 * from a task of the actor itself. NULL is fine. */
void oak_os_actor_close(struct oak_os_actor *actor);

/* -- disk -------------------------------------------------------------------------------------- */

/* Any thread; a file is used by one thread at a time. `remove` takes files and empty directories.
 */
const struct oak_disk *oak_os_disk(void);

struct oak_os_lock;

/* Make `path` ours alone among processes, by a lock on the file LOCK in it. OAK_EINUSE when another
 * process (named in `e`) has it, OAK_ENOENT, OAK_EPERM, OAK_EINVAL (not a directory), OAK_EIO. The
 * kernel drops the lock when the process ends, however it ends. */
OAK_MUST_USE int oak_os_lock_dir(const char *path, struct oak_os_lock **out, struct oak_errbuf *e);
void oak_os_unlock_dir(struct oak_os_lock *lock);

/* -- the process ------------------------------------------------------------------------------- */

/* What the kernel says about us, for metrics. A figure that it does not tell is 0. */
struct oak_os_usage {
    uint64_t rss_bytes;
    uint64_t virtual_bytes;
    uint64_t cpu_ns; /* user and system */
    uint64_t open_files;
    uint64_t open_files_max;
    uint64_t started_at_ns; /* since 1970 UTC */
};
void oak_os_usage(struct oak_os_usage *out);

/* Raise the limit of open files as far as we may. Returns the limit that then holds. */
uint64_t oak_os_files_raise(void);

/* Keep what this process has and will have in memory (mlockall). OAK_ELIMIT: its limit of locked
 * memory is not unlimited, and what comes later might find none; OAK_EPERM; OAK_ENOMEM. */
OAK_MUST_USE int oak_os_memory_lock(void);

/* Tell the service manager, if $NOTIFY_SOCKET names one: "READY=1", "STOPPING=1". Nothing to tell
 * is success. */
OAK_MUST_USE int oak_os_notify(const char *state);

/* One line to the system's journal (systemd-journald), with syslog's priority and the name of who
 * says it. `path` is its socket, NULL: the usual one. OAK_ENOENT and the like: there is none. */
OAK_MUST_USE int oak_os_journal_send(const char *path, int priority, const char *name,
                                     const char *text);

struct oak_os_child;

struct oak_os_child_options {
    const char *const *argv; /* NULL-ended; argv[0] is looked up in PATH */
    const char *const *env;  /* NULL-ended; NULL: ours */
    const char *directory;   /* NULL: ours */
    const char *output;      /* file to which stdout and stderr are appended; NULL: /dev/null */
    bool as_ours;            /* stdout and stderr are ours; `output` is NULL */
    bool input;              /* and stdin; else it is empty */
    /* The child has ended: by itself with `code`, or by `signal`. Called once, from the loop; after
     * it the child is gone. */
    void (*exited)(void *user, int64_t code, int signal);
    void *user;
};
/* OAK_ENOENT or OAK_EPERM when it can't be run or its output not opened; `e` names what. */
OAK_MUST_USE int oak_os_child_spawn(struct oak_os_loop *loop,
                                    const struct oak_os_child_options *options,
                                    struct oak_os_child **out, struct oak_errbuf *e);
/* OAK_ENOENT when it has ended. */
OAK_MUST_USE int oak_os_child_kill(struct oak_os_child *child, int signal);
int oak_os_child_pid(const struct oak_os_child *child);

/* -- network namespaces ------------------------------------------------------------------------ */

/* A network of its own for some processes (network_namespaces(7)). It has no name, and is gone when
 * neither a process nor a struct holds it. OAK_EPERM without CAP_SYS_ADMIN. */
struct oak_os_space;

/* A new one, with nothing but its loopback; this thread stays where it is. */
OAK_MUST_USE int oak_os_space_new(struct oak_os_space **out, struct oak_errbuf *e);
/* The one that this thread is in. */
OAK_MUST_USE int oak_os_space_here(struct oak_os_space **out, struct oak_errbuf *e);
/* Move this thread: sockets and children that it makes from now on are there. */
OAK_MUST_USE int oak_os_space_enter(const struct oak_os_space *space, struct oak_errbuf *e);
void oak_os_space_free(struct oak_os_space *space);

/* An interface whose packets go through this process: a wire that can be cut. */
struct oak_os_tun;
#define OAK_OS_PACKET_BYTES_MAX 2048 /* the interface's MTU is 1500 */

/* Make it in this thread's namespace, with an IPv4 address in a network of 24 bits. `packet` is
 * called from the loop with each packet that the namespace sends, valid for the call. OAK_EPERM,
 * OAK_ENOENT (the kernel has no such interfaces). */
OAK_MUST_USE int oak_os_tun_open(struct oak_os_loop *loop, const char *address,
                                 void (*packet)(void *user, struct oak_bytes packet), void *user,
                                 struct oak_os_tun **out, struct oak_errbuf *e);
/* False: dropped. */
bool oak_os_tun_send(struct oak_os_tun *tun, struct oak_bytes packet);
/* Before the loop is freed. NULL is fine. */
void oak_os_tun_close(struct oak_os_tun *tun);

/* -- faults on demand -------------------------------------------------------------------------- */

/* A page of memory that two processes share through a file: one breaks, its child is broken. For
 * tests of real processes (`oakum chaos`); a server takes part only with a flag of its own. */
struct oak_os_faults;

enum oak_os_fault {
    OAK_OS_FAULT_SYNC_DELAY_NS,  /* each sync takes so much longer */
    OAK_OS_FAULT_SYNC_ERROR,     /* 1: each sync fails with OAK_EIO, and has not happened */
    OAK_OS_FAULT_DISK_FULL,      /* OAK_OS_FULL_… */
    OAK_OS_FAULT_WALL_OFFSET_NS, /* the wall clock is wrong by so much */
    OAK_OS_FAULT_MONO_RATE_PPM,  /* the monotonic clock is faster by so much: signed */
    OAK_OS_FAULT_COUNT,
};
/* OAK_ENOSPC for what creates or grows a file; or for every write, as on a file system that writes
 * to new places only. */
#define OAK_OS_FULL_TO_GROW 1
#define OAK_OS_FULL_FOR_ALL 2

/* The breaker: make the file, which must not be there. No fault is on. */
OAK_MUST_USE int oak_os_faults_make(const char *path, struct oak_os_faults **out,
                                    struct oak_errbuf *e);
void oak_os_faults_set(struct oak_os_faults *faults, enum oak_os_fault which, int64_t value);
/* The broken: OAK_EFORMAT when it is no such file, OAK_EPERM when it is not our parent's. From here
 * on this process ends by SIGKILL when its parent does: nobody is left who would mend it. */
OAK_MUST_USE int oak_os_faults_join(const char *path, struct oak_os_faults **out,
                                    struct oak_errbuf *e);
/* As oak_os_disk() and oak_os_clock(), with the faults; they live as long as `faults`. */
const struct oak_disk *oak_os_faults_disk(const struct oak_os_faults *faults);
struct oak_clock oak_os_faults_clock(struct oak_os_faults *faults);
/* NULL is fine. The file stays. */
void oak_os_faults_close(struct oak_os_faults *faults);

/* -- errors of the system ---------------------------------------------------------------------- */

/* The code of an errno, and its text for messages. Any thread. */
int oak_os_error(int number);
const char *oak_os_errno_text(int number, char *out, size_t size);

#endif
