/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h: for tests of this room: a channel on a loop that the test turns, over a network in
 * which the test says who can be connected to and what names mean. The servers are scripts
 * (rpc/test_peer.h). */
#ifndef OAK_CHANNEL_TEST_WORLD_H
#define OAK_CHANNEL_TEST_WORLD_H

#include <stdio.h>

#include "rpc/test_peer.h"
#include "oakum/channel.h"

#define IDLE       OAK_CHANNEL_IDLE
#define CONNECTING OAK_CHANNEL_CONNECTING
#define READY      OAK_CHANNEL_READY
#define FAILURE    OAK_CHANNEL_TRANSIENT_FAILURE

enum manner { ACCEPTS, REFUSES, SILENT };

struct connecting {
    char address[64];
    char name[64];
    void (*done)(void *arg, int error, struct oak_stream *s);
    void *arg;
    uint64_t due_ns;
};

struct world {
    struct fake_loop loop;
    struct peers peers;
    char reached[OAK_COUNT_OF(((struct peers *)0)->all)][64]; /* whose address each peer has */
    struct oak_net net;
    struct connecting connecting[16];
    size_t connecting_count;
    char tried[1024]; /* addresses, each with a space behind it */
    char last_name[64];
    const char *refusing[8]; /* addresses; "" for none */
    const char *silent[8];
    bool all_refuse;

    const char *dns[8]; /* what a name means; up to a NULL */
    int dns_error;
    int lookups;
    char looked_up[64];
    void (*found)(void *arg, int error, const char *const *addresses, size_t count);
    void *found_arg;
    bool dns_hold;

    struct oak_channel *channel;
    char told[64]; /* I, C, R, F: states that the watcher was told */
};

/* -- the network ------------------------------------------------------------------------------- */

static inline bool listed(const char *const *list, size_t count, const char *address)
{
    for (size_t i = 0; i < count; i++) {
        if (list[i] != NULL && strcmp(list[i], address) == 0) {
            return true;
        }
    }
    return false;
}

static inline int world_connect_as(void *user, const char *address, const char *name,
                                   uint64_t timeout_ns,
                                   void (*done)(void *arg, int error, struct oak_stream *s),
                                   void *arg)
{
    struct world *w = user;
    assert_true(w->connecting_count < OAK_COUNT_OF(w->connecting));
    struct connecting *c = &w->connecting[w->connecting_count++];
    *c = (struct connecting){.done = done, .arg = arg, .due_ns = w->loop.now_ns + timeout_ns};
    snprintf(c->address, sizeof(c->address), "%s", address);
    snprintf(w->last_name, sizeof(w->last_name), "%s", name);
    size_t used = strlen(w->tried);
    snprintf(w->tried + used, sizeof(w->tried) - used, "%s ", address);
    return 0;
}

static inline int world_connect(void *user, const char *address, uint64_t timeout_ns,
                                void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    return world_connect_as(user, address, "", timeout_ns, done, arg);
}

static inline int world_resolve(void *user, const char *name, uint64_t timeout_ns,
                                void (*done)(void *arg, int error, const char *const *addresses,
                                             size_t count),
                                void *arg)
{
    (void)timeout_ns;
    struct world *w = user;
    assert_null(w->found);
    w->lookups++;
    snprintf(w->looked_up, sizeof(w->looked_up), "%s", name);
    w->found = done;
    w->found_arg = arg;
    return 0;
}

static inline void world_accept(struct world *w, const struct connecting *c)
{
    struct fake_stream *a = fake_stream_new(&w->loop);
    struct fake_stream *b = fake_stream_new(&w->loop);
    a->other = b;
    b->other = a;
    snprintf(w->reached[w->peers.count], sizeof(w->reached[0]), "%s", c->address);
    peer_accept(&w->peers, &b->base);
    c->done(c->arg, 0, &a->base);
}

/* True: something happened. */
static inline bool connecting_turn(struct world *w, size_t i)
{
    struct connecting c = w->connecting[i];
    bool silent = listed(w->silent, OAK_COUNT_OF(w->silent), c.address);
    if (silent && c.due_ns > w->loop.now_ns) {
        return false;
    }
    w->connecting[i] = w->connecting[--w->connecting_count];
    bool refuses = w->all_refuse || listed(w->refusing, OAK_COUNT_OF(w->refusing), c.address);
    if (silent || refuses) {
        c.done(c.arg, silent ? OAK_EDEADLINE : OAK_EREFUSED, NULL);
    } else {
        world_accept(w, &c);
    }
    return true;
}

static inline bool net_turn(struct world *w)
{
    for (size_t i = 0; i < w->connecting_count; i++) {
        if (connecting_turn(w, i)) {
            return true;
        }
    }
    if (w->found != NULL && !w->dns_hold) {
        void (*found)(void *, int, const char *const *, size_t) = w->found;
        size_t count = 0;
        while (count < OAK_COUNT_OF(w->dns) && w->dns[count] != NULL) {
            count++;
        }
        w->found = NULL;
        found(w->found_arg, w->dns_error, w->dns, w->dns_error == 0 ? count : 0);
        return true;
    }
    return false;
}

static inline void run(struct world *w)
{
    bool any = true;
    while (any) {
        any = net_turn(w);
        any = fake_round(&w->loop) || any;
    }
}

/* Turn the clock in small steps, so that nothing is due long before it is looked at. */
static inline void pass(struct world *w, uint64_t ns)
{
    uint64_t end_ns = w->loop.now_ns + ns;
    run(w);
    while (w->loop.now_ns < end_ns) {
        w->loop.now_ns = OAK_MIN(end_ns, w->loop.now_ns + SECOND / 100);
        run(w);
    }
}

/* -- the channel ------------------------------------------------------------------------------- */

static inline void world_told(void *user, enum oak_channel_state state)
{
    struct world *w = user;
    size_t at = strlen(w->told);
    assert_true(at + 1 < sizeof(w->told));
    w->told[at] = "ICRFS"[state];
    w->told[at + 1] = '\0';
    assert_int_equal(state, oak_channel_state(w->channel));
}

static inline void world_open(struct world *w, const char *target, struct oak_channel_options o)
{
    *w = (struct world){.peers.streams = UINT32_MAX, .dns = {"10.0.0.1:80"}};
    fake_loop_init(&w->loop);
    w->loop.port.net = (struct oak_net){.connect = world_connect,
                                        .connect_as = world_connect_as,
                                        .resolve = world_resolve,
                                        .user = w};
    o.state = world_told;
    o.user = w;
    struct oak_errbuf e = {{0}};
    if (oak_channel_new(&w->loop.port, target, &o, &w->channel, &e) != 0) {
        fail_msg("%s", e.text);
    }
    assert_int_equal(oak_channel_state(w->channel), IDLE);
}

static inline void world_close(struct world *w)
{
    oak_channel_free(w->channel);
    w->dns_hold = false;
    w->all_refuse = true; /* connects that were still under way */
    memset(w->silent, 0, sizeof(w->silent));
    run(w);
    assert_int_equal(w->connecting_count, 0);
    fake_loop_fini(&w->loop);
    peers_close(&w->peers);
}

static inline struct oak_channel_stats stats(struct world *w)
{
    struct oak_channel_stats s;
    oak_channel_stats(w->channel, &s);
    return s;
}

/* -- calls ------------------------------------------------------------------------------------- */

/* Begin a call that records to `r`. */
static inline int begin(struct world *w, struct oak_rpc_request request, struct recorder *r)
{
    *r = (struct recorder){0};
    request.service = request.service != NULL ? request.service : "t.Echo";
    request.method = request.method != NULL ? request.method : "Unary";
    request.handler = request.handler != NULL ? request.handler : &recorder_handler;
    request.user = r;
    return oak_channel_call(w->channel, &request, &r->call);
}

/* A whole unary request. */
static inline void ask_with(struct world *w, struct oak_rpc_request request, struct recorder *r)
{
    assert_int_equal(begin(w, request, r), 0);
    send_text(r->call, "hello");
    oak_rpc_call_half_close(r->call);
}

static inline void ask(struct world *w, struct recorder *r)
{
    ask_with(w, (struct oak_rpc_request){0}, r);
}

static inline struct peer *peer_of(struct world *w, size_t index)
{
    assert_true(index < w->peers.count);
    return &w->peers.all[index];
}

static inline void say(struct world *w, size_t index)
{
    peer_say(peer_of(w, index));
    run(w);
}

static inline void answer(struct world *w, size_t index, uint32_t id)
{
    script_answer(&peer_of(w, index)->s, id, "hi");
    say(w, index);
}

static inline void hang_up(struct world *w, size_t index)
{
    peer_hang_up(peer_of(w, index));
    run(w);
}

/* How often a peer heard a request of this stream begin. */
static inline int heard(struct world *w, size_t index, uint32_t id, const char *word)
{
    char line[32];
    snprintf(line, sizeof(line), "HEADERS %u ", id);
    return script_heard(&peer_of(w, index)->s, line, word);
}

/* It has ended like this; the recorder is done with. */
static inline void ended(struct recorder *r, enum oak_rpc_code code)
{
    if (r->closed != 1 || r->code != code) {
        fail_msg("closed %d times, with %d \"%s\", not %d", r->closed, r->code, r->text, code);
    }
    recorder_fini(r);
}

#endif
