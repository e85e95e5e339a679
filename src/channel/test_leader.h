/* SPDX-License-Identifier: Apache-2.0 */
/* test_leader.h: for tests of oakum_leader: three servers of which the test says what each says of
 * itself, and calls that find out who gets them. */
#ifndef OAK_CHANNEL_TEST_LEADER_H
#define OAK_CHANNEL_TEST_LEADER_H

#include "channel/internal.h"
#include "channel/test_world.h"

#define OPTIONS (struct oak_channel_options)
#define A       0
#define B       1
#define C       2

/* HealthCheckResponse: SERVING or NOT_SERVING, and in which term. */
#define LEADS(term)   "\x08\x01\xc8\x3e" term
#define FOLLOWS(term) "\x08\x02\xc8\x3e" term

static const char *const names[] = {"a:1", "b:2", "c:3"};

/* The newest connection to a server. */
static inline size_t peer_at(struct world *w, int server)
{
    for (size_t i = w->peers.count; i > 0; i--) {
        if (strcmp(w->reached[i - 1], names[server]) == 0) {
            return i - 1;
        }
    }
    fail_msg("nobody has connected to %s", names[server]);
    return 0;
}

static inline void three_servers(struct world *w, struct oak_channel_options o)
{
    o.policy = "oakum_leader";
    world_open(w, "static:a:1,b:2,c:3", o);
    oak_channel_connect(w->channel);
    run(w);
    for (int i = A; i <= C; i++) {
        assert_int_equal(heard(w, peer_at(w, i), 1, ":path=/grpc.health.v1.Health/Watch"), 1);
    }
    assert_string_equal(w->told, "CR");
}

/* The first word of a server's watch, or a further one. */
static inline void tell_first(struct world *w, int server, const char *message)
{
    script_head(&peer_of(w, peer_at(w, server))->s, 1);
    script_message(&peer_of(w, peer_at(w, server))->s, 1, message);
    say(w, peer_at(w, server));
}

static inline void tell(struct world *w, int server, const char *message)
{
    script_message(&peer_of(w, peer_at(w, server))->s, 1, message);
    say(w, peer_at(w, server));
}

/* NULL: nobody. */
static inline void believed(struct world *w, const char *name)
{
    const char *leader = oak_channel_leader(w->channel);
    if ((leader == NULL) != (name == NULL) || (name != NULL && strcmp(leader, name) != 0)) {
        fail_msg("%s is believed to lead, not %s", leader != NULL ? leader : "nobody",
                 name != NULL ? name : "nobody");
    }
}

/* Which stream of a connection has heard the newest call that has not been answered; 0: none. */
static inline uint32_t newest(struct world *w, size_t index, uint32_t below)
{
    uint32_t id = 0;
    for (uint32_t i = 3; i < below; i += 2) {
        id = heard(w, index, i, ":path=/t.Echo/Unary") > 0 ? i : id;
    }
    return id;
}

/* Make a call: who gets it? */
static inline int place(struct world *w, struct recorder *r, uint32_t *id)
{
    uint32_t before[3];
    for (int i = A; i <= C; i++) {
        before[i] = newest(w, peer_at(w, i), 200);
    }
    ask(w, r);
    run(w);
    for (int i = A; i <= C; i++) {
        *id = newest(w, peer_at(w, i), 200);
        if (*id != before[i]) {
            return i;
        }
    }
    *id = 0;
    return -1;
}

/* Make a call and answer it. */
static inline int asked(struct world *w)
{
    struct recorder r;
    uint32_t id;
    int who = place(w, &r, &id);
    assert_true(who >= 0);
    answer(w, peer_at(w, who), id);
    ended(&r, OAK_RPC_OK);
    return who;
}

/* Make a call that this server refuses to answer. */
static inline void fails_at(struct world *w, int server)
{
    struct recorder r;
    uint32_t id;
    assert_int_equal(place(w, &r, &id), server);
    script_refuse(&peer_of(w, peer_at(w, server))->s, id, "14", NULL, NULL);
    say(w, peer_at(w, server));
    ended(&r, OAK_RPC_UNAVAILABLE);
}

/* So many calls: which servers got some of them, as bits? */
static inline int asked_bits(struct world *w, int calls)
{
    int bits = 0;
    for (int i = 0; i < calls; i++) {
        bits |= 1 << asked(w);
    }
    return bits;
}

#define ALL (1 << A | 1 << B | 1 << C)

#endif
