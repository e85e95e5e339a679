/* SPDX-License-Identifier: Apache-2.0 */
/* channel.h: a gRPC client of a target: where it is, which of its addresses a call goes to, and
 * whether a call that failed is made again.
 *
 * Targets.
 *     host:port, dns:host:port, dns:///host:port   looked up by the loop's network, again when
 *                                                  connecting fails or the server says goodbye
 *     srv:///_service._proto.name                  the same of the servers that SRV records name,
 *                                                  by their priorities and weights (RFC 2782)
 *     ipv4:1.2.3.4:80,5.6.7.8:90                   a list; ipv6:[::1]:80,[::2]:80 the same
 *     static:a:1,b:2                               a list of names, each connected to as it is
 *     unix:path, unix:///path, unix-abstract:name  a socket file, or a name without a file
 *     passthrough:///host:port                     one address of whatever form: the network's
 *                                                  connect gets it as it is
 *
 * A channel has no connection until its first call (or oak_channel_connect). From then on it is
 * CONNECTING, READY, or in TRANSIENT_FAILURE while all addresses fail, which it leaves when one
 * of them is READY. A call made in TRANSIENT_FAILURE ends with UNAVAILABLE, or waits if it asks to;
 * in the other states it waits for a connection, up to its deadline. Past the streams that the
 * server allows on its connections, calls wait too, and never fail for that.
 *
 * Policies. pick_first keeps to the first address that can be connected to: it tries IPv6 and IPv4
 * in turn, the next address at once when one fails and beside it when it has not answered for 250
 * ms, and closes those that come late. round_robin connects to all and takes turns; with a
 * healthCheckConfig in the service config, over those whose servers say by grpc.health.v1.Health
 * (Watch, on the same connection; interceptors see it) that they are SERVING, or have no health
 * service.
 *
 * oakum_leader is for servers of which one leads, and that all take calls. It connects to all, asks
 * each on its connection by grpc.health.v1.Health (Watch) whether it serves "oakum.Leader" (or the
 * serviceName of {"loadBalancingConfig": [{"oakum_leader": {"serviceName": "..."}}]}), and sends
 * all calls to the one that does; while none does, or its streams have run out, all take turns. Of
 * several the one with the highest term is believed (a varint, field 1001 of the response; without
 * it, who said so last). A claim is doubted for a second, and longer each time, when a call that it
 * was given fails with UNAVAILABLE: the others take turns then. Attempts beside a first one
 * (hedging) go to others too. What a server says is never a condition for calls.
 *
 * Again. What the server has surely not begun is made again at once, unseen. What failed with a
 * status is made again as the service config says; without a word from it, calls marked idempotent
 * that failed with UNAVAILABLE, and any that the server refused to look at, up to three attempts, a
 * second and then two apart, ± 20 %. The server may ask for another pause or for none
 * (grpc-retry-pushback-ms), and a budget ends it when much fails. An attempt is the last one as
 * soon as anything of an answer has come, or when more was sent than is kept for repeating it. A
 * method with a hedging policy is not waited for: another attempt starts beside the first.
 *
 * A call of a kind that has one response (request.kind) and ends with OK without one, or gets a
 * second, has failed with INTERNAL.
 *
 * The call that a handler sees is one, whatever becomes of its attempts, and is used by the
 * oak_rpc_call_* functions like any other. Interceptors (options.rpc) see each attempt, not the
 * call: see rpc.h.
 *
 * Sources: gRPC's "naming", "service_config", "connectivity-semantics-and-api",
 * "connection-backoff" and "wait-for-ready" documents; gRFC A6, A9, A17, A61, A62.
 *
 * Threads: the loop's; nothing is shared.
 */
#ifndef OAKUM_CHANNEL_H
#define OAKUM_CHANNEL_H

#include "oakum/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

struct oak_channel;

enum oak_channel_state {
    OAK_CHANNEL_IDLE,
    OAK_CHANNEL_CONNECTING,
    OAK_CHANNEL_READY,
    OAK_CHANNEL_TRANSIENT_FAILURE,
    OAK_CHANNEL_SHUTDOWN,
};
/* "READY": as metrics and logs write it. */
OAK_API const char *oak_channel_state_name(enum oak_channel_state state);

/* Zeros mean what stands behind them. OAK_RPC_NEVER_NS for a time: none. */
struct oak_channel_options {
    /* Streams come from here, and names are looked up here: the loop's own network, unless tls.h
     * made one that encrypts. Borrowed for as long as the channel. */
    const struct oak_net *net;
    const char *service_config; /* JSON, as gRPC has it; NULL: none */
    /* Where the service config names none: "pick_first" (NULL: this), "round_robin",
     * "oakum_leader". */
    const char *policy;
    struct oak_rpc_options rpc;   /* its authority NULL: the name in the target */
    uint64_t connect_timeout_ns;  /* one address, until it speaks HTTP/2; 0: 1 s */
    uint64_t call_timeout_ns;     /* unary calls that name none; 0: 5 s */
    uint64_t progress_timeout_ns; /* nothing moves that is owed; 0: 3 s */
    uint64_t backoff_first_ns;    /* after a connect that failed, each 1.6 times the last; 0: 1 s */
    uint64_t backoff_max_ns;      /* 0: 120 s */
    uint64_t resolve_pause_ns;    /* between two look-ups, at the least; 0: 30 s */
    uint64_t keepalive_ns;        /* PING when nothing came for so long; 0: never */
    uint64_t keepalive_timeout_ns; /* 0: 20 s */
    bool keepalive_always;         /* also while no call is open */
    uint64_t idle_ns;              /* without a call for so long: IDLE again; 0: 30 minutes */
    uint32_t connections_max;      /* to one address, when streams run out; 0: 1 */
    /* Of one call, at most 5; 0: 3. 1: only what the server has surely not begun is made again. */
    uint32_t attempts_max;
    size_t replay_bytes_max; /* kept of what a call has sent, to send it again; 0: 1 MiB */
    /* Sent by calls that wait for a connection or a stream, all together: past it, they can't send
     * (OAK_ELIMIT). 0: 64 MiB */
    size_t waiting_bytes_max;
    void (*state)(void *user, enum oak_channel_state state); /* as oak_channel_watch */
    void *user;
};

/* OAK_EINVAL when the target, the policy or the service config is not understood: `e` (may be NULL)
 * says where. OAK_ENOMEM. `loop` and what `options` borrow must outlive the channel; the rest of
 * `options` is copied. */
OAK_API OAK_MUST_USE int oak_channel_new(const struct oak_loop *loop, const char *target,
                                         const struct oak_channel_options *options,
                                         struct oak_channel **out, struct oak_errbuf *e);
/* Ends all its calls (CANCELLED), then its connections; memory goes once the loop has run. Not
 * from a callback of the channel or of its calls. */
OAK_API void oak_channel_free(struct oak_channel *channel);

OAK_API enum oak_channel_state oak_channel_state(const struct oak_channel *channel);
/* Why it is in TRANSIENT_FAILURE; "" when it never was. */
OAK_API const char *oak_channel_error(const struct oak_channel *channel);
/* oakum_leader: the address of who is believed to lead. NULL: nobody is, or it is another policy.
 * Valid until the loop goes on. */
OAK_API const char *oak_channel_leader(const struct oak_channel *channel);
/* Be told each change of state, from the loop. One watcher; `fn` NULL: none. */
OAK_API void oak_channel_watch(struct oak_channel *channel,
                               void (*fn)(void *user, enum oak_channel_state state), void *user);
/* Leave IDLE without a call; elsewhere, try again now what waits for its back-off. */
OAK_API void oak_channel_connect(struct oak_channel *channel);

/* Make a call. `request` is copied. timeout_ns 0: call_timeout_ns for a unary call, none for
 * others; fail_fast: don't even wait while CONNECTING. OAK_ENOMEM, OAK_ELIMIT (a name or
 * metadata too large, or too many calls), OAK_ECLOSED (fail_fast). On success `closed` will come,
 * and not before this has returned. */
OAK_API OAK_MUST_USE int oak_channel_call(struct oak_channel *channel,
                                          const struct oak_rpc_request *request,
                                          struct oak_rpc_call **out);

/* Counted since the channel was made, but for the last two. */
struct oak_channel_stats {
    uint64_t calls;
    uint64_t attempts;    /* that were given to a connection */
    uint64_t retries;     /* of those, made again after a status */
    uint64_t transparent; /* made again because the server had not begun them */
    uint64_t hedges;      /* made beside another one */
    uint64_t throttled;   /* not made, for want of budget */
    uint64_t connects;    /* begun */
    uint64_t connect_failures;
    uint64_t lookups;
    uint32_t calls_waiting; /* for a connection, a stream, or their next attempt */
    uint32_t connections;   /* ready */
};
OAK_API void oak_channel_stats(const struct oak_channel *channel, struct oak_channel_stats *out);

#ifdef __cplusplus
}
#endif

#endif
