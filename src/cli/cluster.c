/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c: start the servers of `oakum up`, wait for their health, stop them.
 *
 * Happy path   spawn; ask /health of each, 20 times a second, until each says "true"; SIGTERM;
 *              wait.
 * Can fail     a server that ends by itself is told with the end of its log. One that does not
 *              end at SIGTERM within STOP_NS is killed.
 * Invariants   `running` counts the children that live. Every wait is a loop around
 *              oak_os_loop_run that looks at what the callbacks noted.
 */
#include "cli/cluster.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define HEALTH_STEP_NS (50 * CLI__MS_NS)
#define HEALTH_GET_NS  (2 * CLI__SECOND_NS)
#define STOP_NS        (10 * CLI__SECOND_NS)
#define ARGS_MAX       64
#define ENV_MAX        4096

extern char **environ;

static void timer_fired(struct oak_timer *timer)
{
    struct cli__cluster *c = OAK_CONTAINER_OF(timer, struct cli__cluster, timer);
    c->time_up = true;
    oak_os_loop_stop(c->loop);
}

static uint64_t now(const struct cli__cluster *c)
{
    return c->port->clock.mono_ns(c->port->clock.user);
}

static void timer_set(struct cli__cluster *c, uint64_t wait_ns)
{
    c->time_up = false;
    c->timer.fire = timer_fired;
    c->port->timers.set(c->port->timers.user, &c->timer, now(c) + wait_ns);
}

static void exited(void *user, int64_t code, int signal)
{
    struct cli__node *node = user;
    struct cli__cluster *c = node->cluster;
    node->child = NULL;
    c->running--;
    if (!c->stopping) {
        if (signal != 0) {
            oak_args_complain(c->command, 0, "%s (pid %d) was ended by signal %d", node->name,
                              node->pid, signal);
        } else {
            oak_args_complain(c->command, 0, "%s (pid %d) ended with code %" PRId64, node->name,
                              node->pid, code);
        }
        cli__tail_print(node->log);
    }
    oak_os_loop_stop(c->loop);
}

/* Ours without what would meddle with the servers' flags. */
static void env_make(const char **out)
{
    size_t count = 0;
    for (char **at = environ; *at != NULL && count + 1 < ENV_MAX; at++) {
        if (strncmp(*at, "ETCD_", 5) != 0) {
            out[count++] = *at;
        }
    }
    out[count] = NULL;
}

/* "n1=http://…,n2=http://…" */
static int cluster_text(const struct cli__cluster *c, struct oak_buf *out)
{
    int error = 0;
    for (size_t i = 0; i < c->count && error == 0; i++) {
        error = oak_buf_printf(out, "%s%s=http://127.0.0.1:%u", i == 0 ? "" : ",", c->nodes[i].name,
                               c->nodes[i].peer_port);
    }
    return error == 0 ? oak_buf_append(out, "", 1) : error;
}

static int node_start(struct cli__cluster *c, struct cli__node *node, const char *members,
                      struct oak_errbuf *e)
{
    char client[64];
    char peer[64];
    snprintf(client, sizeof(client), "http://127.0.0.1:%u", node->client_port);
    snprintf(peer, sizeof(peer), "http://127.0.0.1:%u", node->peer_port);
    const char *argv[ARGS_MAX] = {c->program, "--name",
                                  node->name, "--data-dir",
                                  node->dir,  "--listen-client-urls",
                                  client,     "--advertise-client-urls",
                                  client,     "--listen-peer-urls",
                                  peer,       "--initial-advertise-peer-urls",
                                  peer,       "--initial-cluster",
                                  members,    "--initial-cluster-token",
                                  "oakum-up", "--initial-cluster-state",
                                  "new"};
    size_t count = 19;
    for (char *const *at = c->extra; at != NULL && *at != NULL; at++) {
        if (count + 1 == ARGS_MAX) {
            return oak_fail(e, OAK_ELIMIT, "too many flags behind --");
        }
        argv[count++] = *at;
    }
    const char *env[ENV_MAX];
    env_make(env);
    struct oak_os_child_options options = {
        .argv = argv, .env = env, .output = node->log, .exited = exited, .user = node};
    int error = oak_os_child_spawn(c->loop, &options, &node->child, e);
    if (error == 0) {
        node->pid = oak_os_child_pid(node->child);
        c->running++;
    }
    return error;
}

int cli__cluster_start(struct cli__cluster *c, struct oak_errbuf *e)
{
    struct oak_buf members = {0};
    for (size_t i = 0; i < c->count; i++) {
        struct cli__node *node = &c->nodes[i];
        node->cluster = c;
        snprintf(node->name, sizeof(node->name), "n%zu", i + 1);
        int wrote = snprintf(node->dir, sizeof(node->dir), "%s/%s", c->dir, node->name);
        OAK_ASSERT_LT(wrote, (int)sizeof(node->dir));
        wrote = snprintf(node->log, sizeof(node->log), "%s/%s.log", c->dir, node->name);
        OAK_ASSERT_LT(wrote, (int)sizeof(node->log));
    }
    int error = cluster_text(c, &members);
    if (error != 0) {
        oak_fail(e, error, "%s", oak_error_text(error));
    }
    for (size_t i = 0; i < c->count && error == 0; i++) {
        error = node_start(c, &c->nodes[i], (const char *)members.data, e);
    }
    oak_buf_fini(&members);
    return error;
}

/* Ask everyone who is not yet healthy; how many are. */
static size_t health_ask(struct cli__cluster *c)
{
    struct cli__get *asked[CLI__NODES_MAX];
    size_t count = 0;
    size_t healthy = 0;
    for (size_t i = 0; i < c->count; i++) {
        struct cli__node *node = &c->nodes[i];
        if (!node->healthy) {
            node->get.endpoint = node->endpoint;
            node->get.path = "/health";
            cli__get_start(c->loop, &node->get, HEALTH_GET_NS);
            asked[count++] = &node->get;
        }
    }
    for (size_t i = 0; i < count; i++) {
        while (!asked[i]->finished) {
            oak_os_loop_run(c->loop);
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        struct cli__node *node = &c->nodes[i];
        static const char said[] = "\"health\":\"true\"";
        node->healthy = node->healthy || (node->get.error == 0 && node->get.status == 200 &&
                                          memmem(node->get.body.data, node->get.body.size, said,
                                                 sizeof(said) - 1) != NULL);
        healthy += node->healthy ? 1 : 0;
    }
    return healthy;
}

int cli__cluster_wait(struct cli__cluster *c, uint64_t timeout_ns, struct oak_errbuf *e)
{
    uint64_t deadline = now(c) + timeout_ns;
    int error = 0;
    while (health_ask(c) < c->count && error == 0) {
        if (c->running < c->count) {
            error = oak_fail(e, OAK_ECLOSED, "a server did not start");
        } else if (c->stopping) {
            error = oak_fail(e, OAK_ECLOSED, "stopped before the servers were up");
        } else if (now(c) >= deadline) {
            error =
                oak_fail(e, OAK_EDEADLINE,
                         "the servers are not healthy within %" PRIu64 " s; their logs are in %s",
                         timeout_ns / CLI__SECOND_NS, c->dir);
        } else {
            timer_set(c, HEALTH_STEP_NS);
            while (!c->time_up && !c->stopping && c->running == c->count) {
                oak_os_loop_run(c->loop);
            }
        }
    }
    for (size_t i = 0; i < c->count; i++) {
        cli__get_fini(&c->nodes[i].get);
    }
    return error;
}

static void signal_all(struct cli__cluster *c, int signal)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->nodes[i].child != NULL) {
            OAK_MAYBE(oak_os_child_kill(c->nodes[i].child, signal) !=
                      0); /* it may just have ended */
        }
    }
}

void cli__cluster_stop(struct cli__cluster *c)
{
    c->stopping = true;
    signal_all(c, SIGTERM);
    int signals = c->signals;
    timer_set(c, STOP_NS);
    while (c->running > 0 && !c->time_up && c->signals == signals) {
        oak_os_loop_run(c->loop);
    }
    c->port->timers.stop(c->port->timers.user, &c->timer);
    if (c->running > 0) {
        signal_all(c, SIGKILL);
    }
    while (c->running > 0) {
        oak_os_loop_run(c->loop);
    }
}
