/* SPDX-License-Identifier: Apache-2.0 */
/* alloc_test.c: every allocation of the core fails once.
 *
 * A script leads one core through each public function and each type of message. It runs once to
 * count the allocations, then once for each of them, with that one failing. The call it hits says
 * OAK_RAFT_ENOMEM, and all that the core is, is as before, byte by byte: only room that was
 * reserved may stay. The call is made again, the script goes on, and the core ends where the one
 * ended that had all the memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "raft/internal.h"

/* -- an allocator that counts, and fails when told --------------------------------------------- */

struct meter {
    size_t live;
    size_t calls;
    size_t fail_at; /* the call that fails, from 1; 0: none */
    bool failed;
};

static void *meter_resize(void *user, void *p, size_t size)
{
    struct meter *meter = user;
    if (size == 0) {
        meter->live -= p != NULL;
        free(p);
        return NULL;
    }
    meter->calls++;
    if (meter->calls == meter->fail_at) {
        meter->failed = true;
        return NULL;
    }
    meter->live += p == NULL;
    return realloc(p, size);
}

/* -- what a core is ---------------------------------------------------------------------------- */

struct image {
    struct oak_raft r; /* without what tells of memory alone */
    uint64_t contents; /* of the log, of waiting answers and of windows */
};

static uint64_t mix(uint64_t sum, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    }
    return sum;
}

static void image_take(const struct oak_raft *r, struct image *out)
{
    memcpy(&out->r, r, sizeof(*r));
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t i = 0; i < r->log.count; i++) {
        const struct oak_raft_entry *e = &r->log.slots[r->log.head + i];
        const uint64_t head[] = {e->index, e->term, (uint64_t)e->type, e->size};
        sum = mix(mix(sum, head, sizeof(head)), e->data, e->size);
    }
    for (size_t i = 0; i < r->reply_count; i++) {
        sum = mix(sum, &r->replies[r->reply_first + i], sizeof(r->replies[0]));
    }
    for (size_t i = 0; i < r->peer_count; i++) {
        const struct raft__window *w = &r->peers[i].window;
        for (size_t k = 0; k < w->count; k++) {
            sum = mix(sum, &w->flights[(w->first + k) % w->capacity], sizeof(w->flights[0]));
        }
        /* A window may have been given out ahead of need. */
        out->r.peers[i].window.flights = NULL;
        out->r.peers[i].window.capacity = 0;
    }
    out->contents = sum;
    out->r.log.slots = NULL;
    out->r.log.capacity = 0;
    out->r.log.head = 0;
    out->r.replies = NULL;
    out->r.reply_capacity = 0;
    out->r.reply_first = 0;
    memset(out->r.spare, 0, sizeof(out->r.spare));
    out->r.spare_count = 0;
}

static void images_equal(const struct image *a, const struct image *b, size_t at)
{
    const uint8_t *x = (const uint8_t *)a;
    const uint8_t *y = (const uint8_t *)b;
    for (size_t i = 0; i < sizeof(*a); i++) {
        if (x[i] != y[i]) {
            fail_msg("step %zu changed byte %zu of the core though it failed", at, i);
        }
    }
}

/* -- the script -------------------------------------------------------------------------------- */

struct run {
    struct oak_raft *r;
    struct meter meter;
    uint64_t now_ms;
    unsigned types;  /* of messages that were stepped, as bits */
    size_t failures; /* calls that said ENOMEM */
};

static const struct oak_raft_config first_config = {.voter_count = 3, .voters = {1, 2, 3}};
static const struct oak_raft_config later_config = {.voter_count = 3, .voters = {1, 2, 4}};

static struct oak_raft_options options(struct meter *meter)
{
    static const struct oak_raft_entry entries[] = {
        {.index = 1, .term = 1, .type = OAK_RAFT_ENTRY_DATA, .size = 3, .data = "one"},
        {.index = 2, .term = 1, .type = OAK_RAFT_ENTRY_DATA, .size = 3, .data = "two"},
    };
    struct oak_raft_options o = {.id = 1, .group = 5, .seed = 3};
    o.alloc = (struct oak_raft_alloc){.resize = meter_resize, .user = meter};
    o.snapshot.config = first_config;
    o.hard_state.term = 1;
    o.entries = entries;
    o.entry_count = 2;
    o.inflight_messages_max = 8;
    return o;
}

/* A step of the script: entries of an append are made of `index` and `count`. */
struct step {
    enum {
        STEP, /* a message: the fields below */
        TICK, /* `term` milliseconds later */
        TAKE, /* all that there is (or `count` times), written and applied at once */
        PROPOSE,
        READ,
        CHANGE, /* learners `index` .. `term` are in; with `reject`, voter 4 is not */
        COMPACT,
        CAMPAIGN,
        TRANSFER,
        REPORTS, /* what can't fail */
    } what;
    enum oak_raft_msg_type type;
    uint64_t from, term, index, log_term, count, commit;
    unsigned times; /* 0: once */
    bool reject;
};

#define TAKEN        \
    {                \
        .what = TAKE \
    }
#define MSG(t, f, ...)                                                 \
    {                                                                  \
        .what = STEP, .type = OAK_RAFT_MSG_##t, .from = f, __VA_ARGS__ \
    }

static const struct step script[] = {
    /* A follower: its log grows, is cut, grows by much, and refuses. */
    MSG(APPEND, 2, .term = 1, .index = 2, .log_term = 1, .count = 4),
    TAKEN,
    {.what = CAMPAIGN},
    MSG(APPEND, 3, .term = 2, .index = 4, .log_term = 1, .count = 3, .commit = 5),
    TAKEN,
    MSG(APPEND, 3, .term = 2, .index = 7, .log_term = 2, .count = 90, .commit = 90),
    TAKEN,
    MSG(APPEND, 3, .term = 2, .index = 200, .log_term = 2, .count = 1),
    MSG(HEARTBEAT, 3, .term = 2, .commit = 95),
    {.what = READ},
    TAKEN,
    MSG(READ_REPLY, 3, .term = 2, .index = 95),
    TAKEN,
    {.what = COMPACT, .index = 50},
    /* Answers wait: more and more. */
    MSG(PRE_VOTE, 2, .term = 3, .index = 1, .log_term = 1, .times = 40),
    {.what = TAKE, .count = 1},
    MSG(PRE_VOTE, 2, .term = 3, .index = 1, .log_term = 1, .times = 40),
    TAKEN,
    {.what = TICK, .term = 1100},
    MSG(VOTE, 2, .term = 3, .index = 97, .log_term = 2),
    TAKEN,
    /* A snapshot, with another configuration. */
    MSG(SNAPSHOT, 2, .term = 3, .index = 120),
    TAKEN,
    MSG(APPEND, 2, .term = 3, .index = 120, .log_term = 3, .count = 2, .commit = 121),
    TAKEN,
    /* It campaigns, by itself and when told, and leads. */
    {.what = TICK, .term = 2500},
    TAKEN,
    {.what = CAMPAIGN},
    TAKEN,
    MSG(PRE_VOTE_REPLY, 2, .term = 4),
    TAKEN,
    MSG(VOTE_REPLY, 2, .term = 4),
    TAKEN,
    MSG(APPEND_REPLY, 2, .term = 4, .index = 123),
    TAKEN,
    {.what = PROPOSE, .times = 150},
    TAKEN,
    MSG(HEARTBEAT_REPLY, 2, .term = 4),
    MSG(APPEND_REPLY, 4, .term = 4, .index = 123, .reject = true),
    MSG(APPEND_REPLY, 2, .term = 4, .index = 273),
    TAKEN,
    {.what = READ},
    MSG(READ, 2, .term = 4, .index = 0),
    TAKEN,
    /* Learners come; each needs a window. */
    {.what = CHANGE, .index = 5, .term = 8},
    TAKEN,
    MSG(APPEND_REPLY, 2, .term = 4, .index = 274),
    TAKEN,
    /* A voter goes: by way of a joint configuration, which is left without being asked. */
    {.what = CHANGE, .index = 5, .term = 8, .reject = true},
    TAKEN,
    MSG(APPEND_REPLY, 2, .term = 4, .index = 275),
    TAKEN,
    {.what = TICK, .term = 100},
    TAKEN,
    MSG(APPEND_REPLY, 2, .term = 4, .index = 276),
    TAKEN,
    {.what = COMPACT, .index = 200},
    {.what = REPORTS},
    MSG(PRE_VOTE, 4, .term = 4, .index = 1, .log_term = 1, .times = 40),
    MSG(APPEND, 4, .term = 3, .index = 1, .log_term = 1, .count = 0, .times = 3),
    TAKEN,
    MSG(APPEND_REPLY, 2, .term = 4, .index = 276),
    TAKEN,
    {.what = TRANSFER},
    TAKEN,
    /* It is deposed, and told to stand by the next leader. */
    MSG(APPEND, 2, .term = 5, .index = 276, .log_term = 4, .count = 40),
    TAKEN,
    MSG(TIMEOUT_NOW, 2, .term = 5),
    TAKEN,
};

static void take(struct oak_raft *r, uint64_t times)
{
    for (uint64_t n = 0; oak_raft_has_output(r) && (times == 0 || n < times); n++) {
        const struct oak_raft_output *out = oak_raft_take(r);
        uint64_t applied = out->apply_count > 0 ? out->apply[out->apply_count - 1].index : 0;
        uint64_t restored = out->persist.restore != NULL ? out->persist.restore->index : 0;
        oak_raft_persisted(r, out->persist.token);
        oak_raft_applied(r, applied > restored ? applied : restored);
    }
}

static int message_step(struct run *run, const struct step *s)
{
    struct oak_raft_entry entries[96];
    char payload[] = "payload";
    for (uint64_t i = 0; i < s->count; i++) {
        entries[i] = (struct oak_raft_entry){.index = s->index + 1 + i,
                                             .term = s->term,
                                             .type = OAK_RAFT_ENTRY_DATA,
                                             .size = (uint32_t)(i % 5),
                                             .data = payload};
    }
    struct oak_raft_msg m = {.type = s->type,
                             .from = s->from,
                             .to = 1,
                             .term = s->term,
                             .index = s->index,
                             .log_term = s->log_term,
                             .commit = s->commit,
                             .reject = s->reject,
                             .entries = entries,
                             .entry_count = s->count};
    if (s->type == OAK_RAFT_MSG_SNAPSHOT) {
        m.snapshot = (struct oak_raft_snapshot){.index = s->index, .term = s->term};
        m.snapshot.config = later_config;
    }
    if (s->type == OAK_RAFT_MSG_READ) {
        m.read_seq = 77;
    }
    if (s->type == OAK_RAFT_MSG_READ_REPLY) {
        m.read_seq = run->r->reads.ask_next;
    }
    run->types |= 1u << s->type;
    return oak_raft_step(run->r, &m);
}

static void reports(struct oak_raft *r)
{
    struct oak_raft_now now = {.mono_ms = r->now_ms};
    struct oak_raft_lease lease;
    oak_raft_clock(r, r->now_ms * 1000);
    oak_raft_wall(r, 0);
    oak_raft_lease(r, &now, &lease);
    assert_int_equal(lease.kind, OAK_RAFT_LEASE_NONE);
    assert_false(oak_raft_lease_grant(r, &now));
    oak_raft_snapshot_sent(r, 4, 200, false);
    oak_raft_unreachable(r, 2);
}

static int once(struct run *run, const struct step *s)
{
    struct oak_raft_config target = later_config;
    switch (s->what) {
    case STEP:
        return message_step(run, s);
    case TICK:
        run->now_ms += s->term;
        int e = oak_raft_tick(run->r, run->now_ms);
        run->now_ms += e == OAK_RAFT_ENOMEM; /* it is tried again with the next one */
        return e;
    case PROPOSE:
        return oak_raft_propose(run->r, "proposed", 8, NULL, NULL);
    case READ: {
        uint64_t seq = 0;
        return oak_raft_read(run->r, &seq);
    }
    case CHANGE:
        for (uint64_t id = s->index; id <= s->term; id++) {
            target.learners[target.learner_count++] = id;
        }
        target.voter_count -= s->reject;
        return oak_raft_change(run->r, &target, NULL, NULL);
    case COMPACT:
        return oak_raft_compact(run->r, s->index);
    case CAMPAIGN:
        return oak_raft_campaign(run->r);
    case TRANSFER:
        return oak_raft_transfer(run->r, 0);
    case REPORTS:
        reports(run->r);
        return OAK_RAFT_OK;
    case TAKE:
    default:
        take(run->r, s->count);
        return OAK_RAFT_OK;
    }
}

static void script_run(struct run *run, struct image *end)
{
    static struct image before;
    static struct image after;
    struct oak_raft_options o = options(&run->meter);
    int e = oak_raft_new(&o, &run->r);
    if (e != OAK_RAFT_OK) {
        assert_int_equal(e, OAK_RAFT_ENOMEM);
        assert_null(run->r);
        assert_int_equal(run->meter.live, 0);
        run->failures++;
        assert_int_equal(oak_raft_new(&o, &run->r), OAK_RAFT_OK);
    }
    run->now_ms = 1000;
    assert_int_equal(oak_raft_tick(run->r, run->now_ms), OAK_RAFT_OK);
    for (size_t at = 0; at < sizeof(script) / sizeof(script[0]); at++) {
        for (unsigned n = 0; n == 0 || n < script[at].times; n++) {
            image_take(run->r, &before);
            e = once(run, &script[at]);
            if (e == OAK_RAFT_ENOMEM) {
                image_take(run->r, &after);
                if (script[at].what != TICK) { /* time has passed all the same */
                    images_equal(&before, &after, at);
                }
                run->failures++;
                e = once(run, &script[at]);
            }
            if (e != OAK_RAFT_OK) {
                fail_msg("step %zu: %s", at, oak_raft_error_text(e));
            }
        }
    }
    image_take(run->r, end);
}

static void every_failed_allocation_leaves_all_as_it_was(void **state)
{
    (void)state;
    static struct image end;
    static struct run calm;
    static struct image expected;
    script_run(&calm, &expected);
    uint64_t contents = expected.contents;
    oak_raft_free(calm.r);
    assert_int_equal(calm.meter.live, 0);
    assert_int_equal(calm.failures, 0);
    /* Every type of message came. */
    assert_int_equal(calm.types, (1u << OAK_RAFT_MSG_END_) - 2);
    assert_true(calm.meter.calls > 150);
    size_t tolerated = 0;
    for (size_t n = 1; n <= calm.meter.calls; n++) {
        struct run run = {.meter = {.fail_at = n}};
        script_run(&run, &end);
        assert_true(run.meter.failed);
        /* Some are only wished for: to give memory back, or for what is tried again by itself. */
        tolerated += run.failures == 0;
        assert_int_equal(end.contents, contents);
        assert_int_equal(end.r.role, expected.r.role);
        assert_int_equal(end.r.term, expected.r.term);
        assert_int_equal(end.r.commit, expected.r.commit);
        assert_int_equal(end.r.applied, expected.r.applied);
        assert_int_equal(end.r.log.base, expected.r.log.base);
        assert_int_equal(end.r.config_index, expected.r.config_index);
        oak_raft_free(run.r);
        assert_int_equal(run.meter.live, 0);
    }
    (void)printf("%zu allocations, %zu of them missed in silence\n", calm.meter.calls, tolerated);
    assert_true(tolerated <= 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_leaves_all_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
