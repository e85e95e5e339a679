/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.h: the cluster that `oakum up` runs: servers as children of this process. */
#ifndef OAK_CLI_CLUSTER_H
#define OAK_CLI_CLUSTER_H

#include "cli/internal.h"

#define CLI__NODES_MAX      7
#define CLI__PATH_BYTES_MAX 512

struct cli__cluster;

struct cli__node {
    struct cli__cluster *cluster;
    char name[16];
    unsigned client_port;
    unsigned peer_port;
    char endpoint[32]; /* "127.0.0.1:2379" */
    char dir[CLI__PATH_BYTES_MAX];
    char log[CLI__PATH_BYTES_MAX];
    struct oak_os_child *child; /* NULL: not running */
    int pid;
    struct cli__get get; /* /health */
    bool healthy;
};

struct cli__cluster {
    const struct oak_args_command *command;
    struct oak_os_loop *loop;
    const struct oak_loop *port;
    const char *program; /* what to run: ourselves */
    char *const *extra;  /* further flags for every server, NULL-ended; NULL for none */
    char dir[CLI__PATH_BYTES_MAX];
    bool temporary; /* dir is ours to remove */
    bool moved;     /* a usual port was taken */
    struct cli__node nodes[CLI__NODES_MAX];
    size_t count;
    struct oak_timer timer;
    bool time_up;
    bool stopping; /* by us or by a signal: ends are expected */
    int signals;
    size_t running;
};

/* Choose ports: those of an earlier run in the same directory; base, base + 1, …; or the usual ones
 * (2379 and 2380, 22379 and 22380, …) where they are free, and any others where not. */
int cli__cluster_ports(struct cli__cluster *c, unsigned base, struct oak_errbuf *e);
/* Make the directory (`path` NULL: a temporary one) and the nodes' names and paths. */
int cli__cluster_place(struct cli__cluster *c, const char *path, struct oak_errbuf *e);
/* Start all servers. */
int cli__cluster_start(struct cli__cluster *c, struct oak_errbuf *e);
/* Wait until each says that it is healthy. OAK_EDEADLINE; OAK_ECLOSED when one ended or a signal
 * came. */
int cli__cluster_wait(struct cli__cluster *c, uint64_t timeout_ns, struct oak_errbuf *e);
/* SIGTERM, and SIGKILL for those that take too long. Returns when all are gone. */
void cli__cluster_stop(struct cli__cluster *c);
/* Remove a temporary directory. */
void cli__cluster_clean(struct cli__cluster *c);

/* Remove what is below `path`, and it. */
void cli__tree_remove(const char *path);
/* The last lines of a file on stderr. */
void cli__tail_print(const char *path);

#endif
