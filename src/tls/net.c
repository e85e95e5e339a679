/* SPDX-License-Identifier: Apache-2.0 */
/* net.c: an encrypted network over another one: listening and connecting.
 *
 * Happy path   listen: the network below accepts; a handshake begins; done, the listener gets the
 *              stream. connect: the network below connects; the handshake; `done`.
 * Can fail     connect: as the network below, or as the handshake (stream.c), within the time that
 *              was given for both. A server's handshake: only `report` is told.
 * Invariants   handshakes of a server are in `handshakes`, the oldest first, at most as many as the
 *              options say: with one more the oldest ends, so that who fills them keeps out only
 *              those who need longer than he takes to fill them again.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tls/internal.h"

struct tls_connect {
    struct oak_tls_net *net;
    uint64_t due_ns;
    void (*done)(void *arg, int error, struct oak_stream *s);
    void *arg;
    char name[TLS_NAME_BYTES];
};

static uint64_t now_of(const struct oak_tls_net *net)
{
    const struct oak_clock *clock = &net->loop->clock;
    return clock->mono_ns(clock->user);
}

static uint64_t later(uint64_t now_ns, uint64_t span_ns)
{
    return now_ns > UINT64_MAX - span_ns ? UINT64_MAX : now_ns + span_ns;
}

void tls__net_ref(struct oak_tls_net *net)
{
    OAK_ASSERT_GT(net->refs, 0);
    net->refs++;
}

void tls__net_unref(struct oak_tls_net *net)
{
    OAK_ASSERT_GT(net->refs, 0);
    if (--net->refs > 0) {
        return;
    }
    OAK_ASSERT(oak_list_empty(&net->handshakes));
    OAK_ASSERT(oak_list_empty(&net->listeners));
    OAK_ASSERT_EQ(net->cipher.size, 0);
    oak_buf_fini(&net->cipher);
    free(net->plain);
    oak_tls_free(net->tls);
    free(net);
}

void tls__net_report(struct oak_tls_net *net, const char *peer, int error, const char *text)
{
    const struct oak_tls_options *o = &net->tls->options;
    if (o->report != NULL) {
        o->report(o->user, peer, error, text);
    }
}

/* -- a stream that nobody will have ------------------------------------------------------------ */

static void drop_data(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

static void drop_closed(void *user, int error)
{
    (void)user;
    (void)error;
}

static void drop(struct oak_stream *under)
{
    const struct oak_stream_handler nobody = {.data = drop_data, .closed = drop_closed};
    under->ops->handle(under, &nobody);
    under->ops->close(under, true);
}

/* -- listening --------------------------------------------------------------------------------- */

void tls__net_handshake_over(struct tls_stream *s)
{
    struct oak_tls_net *net = s->net;
    OAK_ASSERT_GT(net->handshake_count, 0);
    oak_list_remove(&s->link);
    net->handshake_count--;
}

static void oldest_end(struct oak_tls_net *net)
{
    struct tls_stream *oldest = OAK_LIST_ENTRY(net->handshakes.next, struct tls_stream, link);
    tls__stream_fail(oldest, OAK_ELIMIT, "too many handshakes under way");
}

static void listener_accepted(void *arg, struct oak_stream *under)
{
    struct tls_listener *l = arg;
    struct oak_tls_net *net = l->net;
    const struct oak_tls_options *o = &net->tls->options;
    if (net->handshake_count >= o->handshakes_max) {
        oldest_end(net);
    }
    struct tls_stream *s = tls__stream_new(net, under, NULL, later(now_of(net), o->handshake_ns));
    if (s == NULL) {
        tls__net_report(net, under->ops->peer_name(under), OAK_ENOMEM, "out of memory");
        drop(under);
        return;
    }
    s->listener = l;
    oak_list_push(&net->handshakes, &s->link);
    net->handshake_count++;
}

static int net_listen(void *user, const char *address,
                      void (*accepted)(void *arg, struct oak_stream *s), void *arg,
                      struct oak_listener **out, struct oak_errbuf *e)
{
    struct oak_tls_net *net = user;
    if (net->tls->options.role != OAK_TLS_SERVER) {
        return oak_fail(e, OAK_EINVAL, "TLS: a client's credentials can't serve %s", address);
    }
    struct tls_listener *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%s: out of memory", address);
    }
    *l = (struct tls_listener){.net = net, .accepted = accepted, .arg = arg};
    int error = net->under.listen(net->under.user, address, listener_accepted, l, &l->under, e);
    if (error != 0) {
        free(l);
        return error;
    }
    tls__net_ref(net);
    oak_list_push(&net->listeners, &l->link);
    *out = (struct oak_listener *)l;
    return 0;
}

static void net_listener_close(void *user, struct oak_listener *listener)
{
    struct oak_tls_net *net = user;
    struct tls_listener *l = (struct tls_listener *)listener;
    OAK_ASSERT(l->net == net);
    net->under.listener_close(net->under.user, l->under);
    struct oak_list *at = net->handshakes.next;
    while (at != &net->handshakes) {
        struct tls_stream *s = OAK_LIST_ENTRY(at, struct tls_stream, link);
        at = at->next;
        if (s->listener == l) {
            tls__stream_fail(s, OAK_ECLOSED, "the listener was closed");
        }
    }
    oak_list_remove(&l->link);
    free(l);
    tls__net_unref(net);
}

static const char *net_listener_name(void *user, struct oak_listener *listener)
{
    struct oak_tls_net *net = user;
    return net->under.listener_name(net->under.user, ((struct tls_listener *)listener)->under);
}

/* -- connecting -------------------------------------------------------------------------------- */

static void connected(void *arg, int error, struct oak_stream *under)
{
    struct tls_connect *c = arg;
    struct oak_tls_net *net = c->net;
    if (error != 0) {
        c->done(c->arg, error, NULL);
    } else {
        uint64_t own_ns = later(now_of(net), net->tls->options.handshake_ns);
        struct tls_stream *s = tls__stream_new(net, under, c->name, OAK_MIN(c->due_ns, own_ns));
        if (s == NULL) {
            drop(under);
            c->done(c->arg, OAK_ENOMEM, NULL);
        } else {
            s->done = c->done;
            s->arg = c->arg;
            tls__stream_begin(s);
        }
    }
    free(c);
    tls__net_unref(net);
}

/* The name that the server must prove: the most special one that was given. */
static bool connect_name(const struct oak_tls_net *net, const char *address, char *out, size_t size)
{
    const char *given =
        net->server_name[0] != '\0' ? net->server_name : net->tls->options.server_name;
    if (given == NULL) {
        return tls__host_of(address, out, size);
    }
    return (size_t)snprintf(out, size, "%s", given) < size;
}

/* Connect below: to a name that is a list of addresses there, or to an address. */
static int under_connect(const struct oak_net *under, const char *address, const char *name,
                         uint64_t timeout_ns, struct tls_connect *c)
{
    if (name != NULL && under->connect_as != NULL) {
        return under->connect_as(under->user, address, name, timeout_ns, connected, c);
    }
    return under->connect(under->user, address, timeout_ns, connected, c);
}

static int net_connect_as(void *user, const char *address, const char *name, uint64_t timeout_ns,
                          void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    struct oak_tls_net *net = user;
    if (net->tls->options.role != OAK_TLS_CLIENT) {
        return OAK_EINVAL;
    }
    struct tls_connect *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return OAK_ENOMEM;
    }
    *c = (struct tls_connect){.net = net, .done = done, .arg = arg};
    c->due_ns = later(now_of(net), timeout_ns);
    const char *whose = name != NULL ? name : address;
    int error = connect_name(net, whose, c->name, sizeof(c->name)) ? 0 : OAK_EINVAL;
    if (error == 0) {
        error = under_connect(&net->under, address, name, timeout_ns, c);
    }
    if (error != 0) {
        free(c);
        return error;
    }
    tls__net_ref(net);
    return 0;
}

static int net_connect(void *user, const char *address, uint64_t timeout_ns,
                       void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    return net_connect_as(user, address, NULL, timeout_ns, done, arg);
}

static int net_resolve(void *user, const char *name, uint64_t timeout_ns,
                       void (*done)(void *arg, int error, const char *const *addresses,
                                    size_t count),
                       void *arg)
{
    struct oak_tls_net *net = user;
    return net->under.resolve(net->under.user, name, timeout_ns, done, arg);
}

/* -- new and free ------------------------------------------------------------------------------ */

int oak_tls_net_new(struct oak_tls *tls, const struct oak_loop *loop, const struct oak_net *under,
                    const char *server_name, struct oak_tls_net **out)
{
    bool named = server_name != NULL;
    if (named && (tls->options.role != OAK_TLS_CLIENT || server_name[0] == '\0' ||
                  strlen(server_name) >= TLS_NAME_BYTES)) {
        return OAK_EINVAL;
    }
    struct oak_tls_net *net = calloc(1, sizeof(*net));
    uint8_t *plain = malloc(TLS_PLAIN_BYTES);
    if (net == NULL || plain == NULL) {
        free(net);
        free(plain);
        return OAK_ENOMEM;
    }
    *net = (struct oak_tls_net){.refs = 1,
                                .tls = oak_tls_ref(tls),
                                .loop = loop,
                                .under = under != NULL ? *under : loop->net};
    net->port = (struct oak_net){
        .listen = net_listen,
        .listener_close = net_listener_close,
        .listener_name = net_listener_name,
        .connect = net_connect,
        .connect_as = net_connect_as,
        .resolve = net->under.resolve != NULL ? net_resolve : NULL,
        .user = net,
    };
    net->plain = plain;
    oak_list_init(&net->handshakes);
    oak_list_init(&net->listeners);
    snprintf(net->server_name, sizeof(net->server_name), "%s", named ? server_name : "");
    *out = net;
    return 0;
}

void oak_tls_net_free(struct oak_tls_net *net)
{
    if (net == NULL) {
        return;
    }
    struct oak_list *node;
    while ((node = net->listeners.next) != &net->listeners) {
        net_listener_close(net,
                           (struct oak_listener *)OAK_LIST_ENTRY(node, struct tls_listener, link));
    }
    tls__net_unref(net);
}

const struct oak_net *oak_tls_net_port(struct oak_tls_net *net)
{
    return &net->port;
}
