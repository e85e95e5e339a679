/* SPDX-License-Identifier: Apache-2.0 */
/* sniff.c: the first bytes of a connection decide who serves it. */
#include "server/sniff.h"

#include <stdlib.h>

#define PREFACE       "PRI"
#define PREFACE_BYTES 3

struct guest {
    struct oak_list link;
    struct oak_timer timer;
    struct sniff *sniff;
    struct oak_stream *stream;
    uint8_t seen[PREFACE_BYTES];
    size_t size;
};

static void guest_free(struct guest *g)
{
    const struct oak_timers *timers = &g->sniff->loop->timers;
    timers->stop(timers->user, &g->timer);
    oak_list_remove(&g->link);
    free(g);
}

static void late(struct oak_timer *timer)
{
    struct guest *g = OAK_CONTAINER_OF(timer, struct guest, timer);
    g->stream->ops->close(g->stream, true); /* `closed` frees the guest */
}

static void guest_data(void *user, struct oak_bytes bytes)
{
    struct guest *g = user;
    size_t take = OAK_MIN(bytes.size, PREFACE_BYTES - g->size);
    memcpy(g->seen + g->size, bytes.data, take);
    g->size += take;
    bool may_be_http2 = memcmp(g->seen, PREFACE, g->size) == 0;
    if (may_be_http2 && g->size < PREFACE_BYTES) {
        return;
    }
    struct sniff *s = g->sniff;
    struct oak_stream *stream = g->stream;
    struct oak_buf early = {0};
    int error = oak_buf_append(&early, g->seen, g->size);
    if (error == 0) {
        error = oak_buf_append(&early, bytes.data + take, bytes.size - take);
    }
    if (error == 0 && may_be_http2 && s->rpc != NULL) {
        error = oak_rpc_serve(s->rpc, stream, oak_buf_bytes(&early));
    } else if (error == 0 && !may_be_http2 && s->http != NULL) {
        error = oak_http_serve(s->http, stream, oak_buf_bytes(&early));
    } else {
        error = OAK_EFORMAT;
    }
    oak_buf_fini(&early);
    if (error != 0) {
        stream->ops->close(stream, true); /* still ours: `closed` frees the guest */
    } else {
        guest_free(g);
    }
}

static void guest_closed(void *user, int error)
{
    (void)error;
    guest_free(user);
}

void sniff_init(struct sniff *s, const struct oak_loop *loop, struct oak_rpc_server *rpc,
                struct oak_http_server *http)
{
    *s = (struct sniff){.loop = loop, .rpc = rpc, .http = http};
    oak_list_init(&s->waiting);
}

static void closed_unwanted(void *user, int error)
{
    (void)user;
    (void)error;
}

static void data_unwanted(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}

void sniff_accept(void *arg, struct oak_stream *stream)
{
    struct sniff *s = arg;
    struct guest *g = calloc(1, sizeof(*g));
    if (g == NULL) {
        const struct oak_stream_handler unwanted = {.data = data_unwanted,
                                                    .closed = closed_unwanted};
        stream->ops->handle(stream, &unwanted);
        stream->ops->close(stream, true);
        return;
    }
    g->sniff = s;
    g->stream = stream;
    g->timer.fire = late;
    oak_list_push(&s->waiting, &g->link);
    const struct oak_stream_handler handler = {
        .data = guest_data, .closed = guest_closed, .user = g};
    stream->ops->handle(stream, &handler);
    const struct oak_clock *clock = &s->loop->clock;
    s->loop->timers.set(s->loop->timers.user, &g->timer, clock->mono_ns(clock->user) + SNIFF_NS);
}

void sniff_stop(struct sniff *s)
{
    for (struct oak_list *node = s->waiting.next; node != &s->waiting;) {
        struct guest *g = OAK_LIST_ENTRY(node, struct guest, link);
        node = node->next;
        g->stream->ops->close(g->stream, true);
    }
}
