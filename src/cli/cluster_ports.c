/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_ports.c: where the servers of `oakum up` listen.
 *
 * Happy path   the ports that etcd's own example of a local cluster uses, so that copied commands
 *              work.
 * Can fail     ports of --base-port, or of an earlier run in the same directory, that are taken:
 *              OAK_EINUSE. They can't be exchanged: members know each other by them. A port that
 *              is free now may be taken a moment later: the server then says so and ends.
 */
#include "cli/cluster.h"

#include <stdlib.h>

static void refuse(void *arg, struct oak_stream *stream)
{
    (void)arg;
    stream->ops->close(stream, true);
}

/* Can `port` be bound? 0 asks for any: *port then has the one that was found. */
static bool port_free(struct cli__cluster *c, unsigned *port)
{
    char address[32];
    struct oak_listener *listener = NULL;
    snprintf(address, sizeof(address), "127.0.0.1:%u", *port);
    if (c->port->net.listen(c->port->net.user, address, refuse, NULL, &listener, NULL) != 0) {
        return false;
    }
    const char *colon = strrchr(c->port->net.listener_name(c->port->net.user, listener), ':');
    if (*port == 0 && colon != NULL) {
        *port = (unsigned)strtoul(colon + 1, NULL, 10);
    }
    c->port->net.listener_close(c->port->net.user, listener);
    return *port != 0;
}

static bool port_used(const struct cli__cluster *c, unsigned port)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->nodes[i].client_port == port || c->nodes[i].peer_port == port) {
            return true;
        }
    }
    return false;
}

static int port_find(struct cli__cluster *c, unsigned *out, struct oak_errbuf *e)
{
    for (int tries = 0; tries < 100; tries++) {
        unsigned port = 0;
        if (port_free(c, &port) && !port_used(c, port)) {
            *out = port;
            return 0;
        }
    }
    return oak_fail(e, OAK_EINUSE, "no free port is to be had");
}

static int port_must(struct cli__cluster *c, unsigned port, const char *why, struct oak_errbuf *e)
{
    return port_free(c, &port)
               ? 0
               : oak_fail(e, OAK_EINUSE, "port %u (%s) is taken; end what uses it", port, why);
}

/* "client peer" a line, written by the run that made the directory. False: there is none. */
static bool ports_read(struct cli__cluster *c)
{
    char path[CLI__PATH_BYTES_MAX + 16];
    snprintf(path, sizeof(path), "%s/ports", c->dir);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t count = 0;
    unsigned client;
    unsigned peer;
    while (count < CLI__NODES_MAX && fscanf(file, "%5u %5u", &client, &peer) == 2) {
        if (client > 0 && client <= 65535 && peer > 0 && peer <= 65535) {
            c->nodes[count].client_port = client;
            c->nodes[count].peer_port = peer;
            count++;
        }
    }
    fclose(file);
    c->count = count > 0 ? count : c->count;
    return count > 0;
}

static int ports_write(const struct cli__cluster *c, struct oak_errbuf *e)
{
    char path[CLI__PATH_BYTES_MAX + 16];
    snprintf(path, sizeof(path), "%s/ports", c->dir);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return oak_fail(e, OAK_EIO, "%s cannot be written", path);
    }
    for (size_t i = 0; i < c->count; i++) {
        fprintf(file, "%u %u\n", c->nodes[i].client_port, c->nodes[i].peer_port);
    }
    return fclose(file) == 0 ? 0 : oak_fail(e, OAK_EIO, "%s cannot be written", path);
}

static int ports_choose(struct cli__cluster *c, unsigned base, struct oak_errbuf *e)
{
    static const unsigned usual[CLI__NODES_MAX] = {2379, 22379, 32379, 42379, 52379, 62379, 12379};
    for (size_t i = 0; i < c->count; i++) {
        struct cli__node *node = &c->nodes[i];
        unsigned client = base != 0 ? base + 2 * (unsigned)i : usual[i];
        unsigned peer = client + 1;
        int error = 0;
        if (base != 0) {
            error = port_must(c, client, "by --base-port", e);
            error = error != 0 ? error : port_must(c, peer, "by --base-port", e);
        } else if (!port_free(c, &client) || !port_free(c, &peer)) {
            c->moved = true;
            error = port_find(c, &client, e);
            node->client_port = client;
            error = error != 0 ? error : port_find(c, &peer, e);
        }
        if (error != 0) {
            return error;
        }
        node->client_port = client;
        node->peer_port = peer;
    }
    return ports_write(c, e);
}

int cli__cluster_ports(struct cli__cluster *c, unsigned base, struct oak_errbuf *e)
{
    int error = 0;
    if (ports_read(c)) {
        for (size_t i = 0; i < c->count && error == 0; i++) {
            error = port_must(c, c->nodes[i].client_port, "of the last run in this directory", e);
            if (error == 0) {
                error = port_must(c, c->nodes[i].peer_port, "of the last run in this directory", e);
            }
        }
    } else {
        error = ports_choose(c, base, e);
    }
    for (size_t i = 0; i < c->count; i++) {
        snprintf(c->nodes[i].endpoint, sizeof(c->nodes[i].endpoint), "127.0.0.1:%u",
                 c->nodes[i].client_port);
    }
    return error;
}
