/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.h: a loop, listeners and timers: what a program needs that has no loop of its own.
 *
 *     struct oak_runtime *rt;
 *     oak_runtime_new(&rt);
 *     oak_rpc_server_new(oak_runtime_loop(rt), NULL, &server);
 *     ... add methods (rpc.h), or services made from .proto files (stub.h) ...
 *     oak_runtime_listen(rt, server, "0.0.0.0:50051", NULL, &listener, &e);
 *     oak_runtime_drain_on_signal(rt, 5 * OAK_RUNTIME_SECOND_NS);
 *     oak_runtime_run(rt);
 *     oak_runtime_close(rt);
 *     oak_rpc_server_free(server);
 *     oak_runtime_free(rt);
 *
 * Everything happens on the thread that runs the loop, in callbacks that must not block. To come in
 * from another thread: oak_runtime_post().
 *
 * Threads: a runtime belongs to the thread that runs it, and to its maker before that. Any thread
 * may call oak_runtime_post() and oak_runtime_stop(). A program may have several, each for itself:
 * what lives on the loop of one is not for another.
 */
#ifndef OAKUM_RUNTIME_H
#define OAKUM_RUNTIME_H

#include "oakum/jsonrpc.h"
#include "oakum/rpc.h"
#include "oakum/tls.h"

#ifdef __cplusplus
extern "C" {
#endif

#define OAK_RUNTIME_SECOND_NS ((uint64_t)1000 * 1000 * 1000)

struct oak_runtime;

/* OAK_ENOMEM, or OAK_EIO when the system gives no descriptors. */
OAK_API OAK_MUST_USE int oak_runtime_new(struct oak_runtime **out);
/* Closes all that is open: listeners, and connections, whose calls end with UNAVAILABLE; runs what
 * was posted; forgets timers. Not from inside the loop, and it can't be run any more. Subchannels
 * and channels are freed before it, servers behind it. */
OAK_API void oak_runtime_close(struct oak_runtime *rt);
/* Closes it, unless that was done, and frees it: behind all that lived on its loop. NULL is fine.
 */
OAK_API void oak_runtime_free(struct oak_runtime *rt);
/* Serve until stopped. May be called again after it returned. */
OAK_API void oak_runtime_run(struct oak_runtime *rt);
/* Let run return after the round it is in; before a run, let the next one return after its first.
 * Any thread, but not a signal's handler: see oak_runtime_on_signal(). */
OAK_API void oak_runtime_stop(struct oak_runtime *rt);
/* For what takes a loop: servers, subchannels, channels. Valid until freed. */
OAK_API const struct oak_loop *oak_runtime_loop(struct oak_runtime *rt);
/* The monotonic clock, by which deadlines and timers go. Any thread. */
OAK_API uint64_t oak_runtime_now_ns(const struct oak_runtime *rt);

/* -- work and time ----------------------------------------------------------------------------- */

/* Call `fn` on the loop, behind what was posted before. Any thread. OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_runtime_post(struct oak_runtime *rt, void (*fn)(void *user),
                                          void *user);

struct oak_runtime_timer;
/* Call `fn` once, in `delay_ns` from now. `out` (may be NULL) is good for cancelling until then.
 * OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_runtime_after(struct oak_runtime *rt, uint64_t delay_ns,
                                           void (*fn)(void *user), void *user,
                                           struct oak_runtime_timer **out);
OAK_API void oak_runtime_cancel(struct oak_runtime_timer *timer);

/* Call `fn` from the loop, where everything may be done, on SIGINT and SIGTERM. `fn` NULL: no
 * longer. One runtime of a process. */
OAK_API OAK_MUST_USE int oak_runtime_on_signal(struct oak_runtime *rt,
                                               void (*fn)(void *user, int signal), void *user);

/* -- servers ----------------------------------------------------------------------------------- */

struct oak_runtime_listener;

/* Serve what connects to `address`: "host:port" (":2379" is every address of the machine), a port 0
 * being any that is free, "[v6]:port", "unix:path". With `tls` (may be NULL), which is that of a
 * server, over TLS alone. `server` lives until the runtime is closed. OAK_EINVAL, OAK_EINUSE,
 * OAK_EPERM, OAK_EUNRESOLVED, OAK_ENOMEM: `e` (may be NULL) names the address. */
OAK_API OAK_MUST_USE int oak_runtime_listen(struct oak_runtime *rt, struct oak_rpc_server *server,
                                            const char *address, struct oak_tls *tls,
                                            struct oak_runtime_listener **out,
                                            struct oak_errbuf *e);
/* The same for a door of JSON-RPC, which is freed behind the runtime's close, before the server
 * whose methods it has. */
OAK_API OAK_MUST_USE int oak_runtime_listen_jsonrpc(struct oak_runtime *rt,
                                                    struct oak_jsonrpc_server *server,
                                                    const char *address, struct oak_tls *tls,
                                                    struct oak_runtime_listener **out,
                                                    struct oak_errbuf *e);
/* "127.0.0.1:40123": as bound. Valid until closed. */
OAK_API const char *oak_runtime_listener_name(struct oak_runtime_listener *listener);
/* Accept no more; connections stay. Never needed: the runtime closes them. */
OAK_API void oak_runtime_listener_close(struct oak_runtime_listener *listener);

/* Close all listeners, let the calls of all servers that had one come to their end, those that take
 * longer than `grace_ns` cut off, then stop. */
OAK_API void oak_runtime_drain(struct oak_runtime *rt, uint64_t grace_ns);
/* The same on the first SIGINT or SIGTERM; on the second, stop at once. In the place of
 * oak_runtime_on_signal(). */
OAK_API OAK_MUST_USE int oak_runtime_drain_on_signal(struct oak_runtime *rt, uint64_t grace_ns);

/* -- TLS --------------------------------------------------------------------------------------- */

/* A network for clients that connects over TLS: for the options of a subchannel or a channel. `tls`
 * is that of a client. `server_name` (may be NULL): see oak_tls_net_new(). Valid until the runtime
 * is freed. OAK_EINVAL, OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_runtime_tls_net(struct oak_runtime *rt, struct oak_tls *tls,
                                             const char *server_name, const struct oak_net **out);
/* The same of files, in one step: whom a client trusts, and what it shows (tls.h). They are looked
 * at every `every_ns`, and read again when they have changed; 0: never. OAK_EINVAL, OAK_ENOENT and
 * the like: `e` (may be NULL) names the file. */
OAK_API OAK_MUST_USE int oak_runtime_tls_files(struct oak_runtime *rt,
                                               const struct oak_tls_material *files,
                                               const char *server_name, uint64_t every_ns,
                                               const struct oak_net **out, struct oak_errbuf *e);
/* Look every `every_ns` whether its files have changed, and load them if so, on a thread that may
 * block. `fn` (may be NULL) is told on the loop when they were loaded (0), or why they could not be
 * (then all stays as it was). Until the runtime is freed. OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_runtime_tls_watch(struct oak_runtime *rt, struct oak_tls *tls,
                                               uint64_t every_ns,
                                               void (*fn)(void *user, int error, const char *text),
                                               void *user);

#ifdef __cplusplus
}
#endif

#endif
