/* SPDX-License-Identifier: Apache-2.0 */
/* observe.h: what operators and probes ask over HTTP: /health, /livez, /readyz, /version, /metrics.
 *
 * Paths, texts, metric names and buckets are etcd's, so that its dashboards, alerts and probes work
 * unchanged; a metric exists only when something feeds it. docs/reference/metrics.md lists them.
 *
 * Threads: the loop's.
 */
#ifndef OAK_OBSERVE_H
#define OAK_OBSERVE_H

#include "http/http.h"
#include "peer/peer.h"
#include "replica/replica.h"
#include "oakum/jsonrpc.h"
#include "oakum/rpc.h"
#include "port/port.h"
#include "transcode/transcode.h"

/* The process as the kernel sees it; handed in, because this room calls no operating system. */
struct oak_observe_process {
    uint64_t rss_bytes;
    uint64_t virtual_bytes;
    uint64_t cpu_ns;
    uint64_t open_files;
    uint64_t open_files_max;
    uint64_t started_at_ns; /* since 1970 UTC */
};

/* The Watch service; handed in, because this room knows no services. */
struct oak_observe_watches {
    uint64_t streams;
    uint64_t watchers;
    uint64_t behind;  /* watchers that are served from the store */
    uint64_t pending; /* events that were sent and may not have left, at most */
    uint64_t events;  /* sent */
    uint64_t responses;
    uint64_t memory_bytes;
};

/* TLS at one of the ends of this server, as told since its start. */
struct oak_observe_secure {
    const char *end; /* "clients" */
    uint64_t handshakes;
    uint64_t failed;
    uint64_t reloads; /* of files that had changed */
    uint64_t reloads_failed;
    /* When what is in use ends, in seconds since 1970; 0: there is none. */
    uint64_t certificate_s;
    uint64_t ca_s;
    uint64_t crl_s;
};
#define OAK_OBSERVE_ENDS 3

struct oak_observe_options {
    const struct oak_loop *loop;
    const struct oak_log *log;
    struct oak_replica *replica;
    struct oak_store *store;
    const struct oak_rpc_server *clients;     /* the client port's server */
    const struct oak_jsonrpc_server *jsonrpc; /* NULL: there is no door */
    const struct oak_transcode *gateway;      /* etcd's; NULL: there is none */
    const struct oak_peers *peers;            /* NULL for a single member without any */
    uint64_t cluster;
    uint64_t id;
    uint64_t quota_bytes;        /* 0: none */
    const char *version;         /* etcd's, "3.6.14" */
    const char *cluster_version; /* "3.6.0" */
    const char *own_version;     /* Oakum's */
    void (*process)(void *user, struct oak_observe_process *out);
    void (*watches)(void *user, struct oak_observe_watches *out);
    void (*secure)(void *user, struct oak_observe_secure out[OAK_OBSERVE_ENDS]);
    void *user;
};

struct oak_observe;

OAK_MUST_USE int oak_observe_new(const struct oak_observe_options *options,
                                 struct oak_observe **out);
/* Add the routes to a server: the client port's, and those of --listen-metrics-urls. */
OAK_MUST_USE int oak_observe_routes(struct oak_observe *observe, struct oak_http_server *server);
void oak_observe_free(struct oak_observe *observe);

#endif
