/* SPDX-License-Identifier: Apache-2.0 */
/* net.c: a namespace for each node and one for us, joined by wires that we carry packet by packet.
 *
 *   n1 10.77.0.1 ──┐
 *   n2 10.77.0.2 ──┼── this process: looks at who sends to whom, drops, holds back, hands on
 *   …              │
 *   us 10.77.0.254 ┘   clients: never disturbed
 *
 * Happy path   a packet of IPv4 from one side → the link between the two → the other side
 * Can fail     opening, where namespaces or TUN devices are not allowed: all is undone, and the
 *              caller goes on without.
 * Invariants   a packet is sent at once, held by a timer, or dropped. At most HELD_MAX are held.
 *              What comes late overtakes, as on a real network.
 * Thread       the loop's. The thread lives in our namespace until the net is closed.
 */
#include "chaos/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define NETWORK  "10.77.0."
#define OUR_PART 254
/* Past it packets are lost, as in a router whose buffer is full: some 30 MB. */
#define HELD_MAX 16384
#define US       OAK_CHAOS_NODES_MAX

struct end {
    struct chaos *chaos;
    int index; /* of the node; US */
    struct oak_os_space *space;
    struct oak_os_tun *tun;
};

struct packet {
    struct chaos__net *net;
    struct oak_list link; /* in net->held */
    struct oak_timer timer;
    struct end *to;
    size_t size;
    uint8_t bytes[];
};

struct chaos__net {
    struct oak_os_space *home; /* where we came from */
    bool away;
    struct end ends[OAK_CHAOS_NODES_MAX + 1];
    struct oak_list held;
    size_t held_count;
};

static void packet_drop(struct packet *p)
{
    oak_list_remove(&p->link);
    p->net->held_count--;
    free(p);
}

static void packet_due(struct oak_timer *timer)
{
    struct packet *p = OAK_CONTAINER_OF(timer, struct packet, timer);
    (void)oak_os_tun_send(p->to->tun, oak_bytes(p->bytes, p->size)); /* no room: lost */
    packet_drop(p);
}

static void packet_hold(struct chaos *c, struct end *to, struct oak_bytes bytes, uint64_t delay_ns)
{
    struct chaos__net *net = c->net;
    struct packet *p = net->held_count < HELD_MAX ? malloc(sizeof(*p) + bytes.size) : NULL;
    if (p == NULL) {
        return;
    }
    *p = (struct packet){.net = net, .to = to, .size = bytes.size};
    memcpy(p->bytes, bytes.data, bytes.size);
    p->timer.fire = packet_due;
    oak_list_push(&net->held, &p->link);
    net->held_count++;
    const struct oak_timers *timers = &c->crowd.loop->timers;
    timers->set(timers->user, &p->timer, crowd_now(&c->crowd) + delay_ns);
}

/* RFC 791: version and length of the header, then from byte 12 source and destination. */
static void packet_came(void *user, struct oak_bytes bytes)
{
    struct end *from = user;
    struct chaos *c = from->chaos;
    if (bytes.size < 20 || bytes.data[0] >> 4 != 4) {
        return;
    }
    int last = bytes.data[19];
    int index = last == OUR_PART ? US : last - 1;
    struct end *to = index == US || (index >= 0 && index < c->count) ? &c->net->ends[index] : NULL;
    if (to == NULL || to->tun == NULL) {
        return;
    }
    if (from->index != US && to->index != US) {
        const struct chaos__link *link = &c->links[from->index][to->index];
        if (link->cut || (link->loss > 0 && oak_prng_chance(&c->prng, link->loss, 1000))) {
            return;
        }
        if (link->delay_ns > 0) {
            uint64_t more = oak_prng_below(&c->prng, link->delay_ns);
            packet_hold(c, to, bytes, link->delay_ns + more);
            return;
        }
    }
    (void)oak_os_tun_send(to->tun, bytes);
}

static int end_open(struct chaos *c, int index, struct oak_errbuf *e)
{
    struct end *end = &c->net->ends[index];
    char address[32];
    end->chaos = c;
    end->index = index;
    snprintf(address, sizeof(address), NETWORK "%d", index == US ? OUR_PART : index + 1);
    int error = oak_os_space_new(&end->space, e);
    error = error != 0 ? error : oak_os_space_enter(end->space, e);
    c->net->away = c->net->away || error == 0;
    return error != 0 ? error
                      : oak_os_tun_open(c->crowd.os, address, packet_came, end, &end->tun, e);
}

int chaos__net_open(struct chaos *c, struct oak_errbuf *e)
{
    struct chaos__net *net = calloc(1, sizeof(*net));
    if (net == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    c->net = net;
    oak_list_init(&net->held);
    int error = oak_os_space_here(&net->home, e);
    for (int i = 0; i < c->count && error == 0; i++) {
        error = end_open(c, i, e);
    }
    error = error != 0 ? error : end_open(c, US, e); /* the last one: here we stay */
    if (error != 0) {
        chaos__net_close(c);
        return error;
    }
    for (int i = 0; i < c->count; i++) {
        struct chaos__node *n = &c->nodes[i];
        snprintf(n->client_address, sizeof(n->client_address), NETWORK "%d:2379", i + 1);
        snprintf(n->peer_address, sizeof(n->peer_address), NETWORK "%d:2380", i + 1);
        memcpy(n->advertised, n->peer_address, sizeof(n->advertised));
    }
    return 0;
}

void chaos__net_close(struct chaos *c)
{
    struct chaos__net *net = c->net;
    struct oak_errbuf e;
    if (net == NULL) {
        return;
    }
    while (!oak_list_empty(&net->held)) {
        struct packet *p = OAK_LIST_ENTRY(net->held.next, struct packet, link);
        c->crowd.loop->timers.stop(c->crowd.loop->timers.user, &p->timer);
        packet_drop(p);
    }
    if (net->away) { /* who may not leave may not enter either */
        int back = oak_os_space_enter(net->home, &e);
        OAK_ASSERT_EQ(back, 0); /* we came from there */
    }
    for (size_t i = 0; i < OAK_COUNT_OF(net->ends); i++) {
        oak_os_tun_close(net->ends[i].tun);
        oak_os_space_free(net->ends[i].space);
    }
    oak_os_space_free(net->home);
    free(net);
    c->net = NULL;
}

int chaos__net_within(struct chaos__node *n,
                      int (*start)(struct chaos__node *n, struct oak_errbuf *e),
                      struct oak_errbuf *e)
{
    struct chaos__net *net = n->chaos->net;
    if (net == NULL) {
        return start(n, e);
    }
    struct oak_errbuf why;
    int error = oak_os_space_enter(net->ends[n->index].space, e);
    error = error != 0 ? error : start(n, e);
    int back = oak_os_space_enter(net->ends[US].space, &why);
    OAK_ASSERT_EQ(back, 0); /* we were there a moment ago */
    return error;
}
