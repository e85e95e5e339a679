/* SPDX-License-Identifier: Apache-2.0 */
/* refusal_test.c: what no honest member and no sane host would say is refused, and changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "raft/internal.h"

static void *resize(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

static void take_all(struct oak_raft *r)
{
    while (oak_raft_has_output(r)) {
        const struct oak_raft_output *out = oak_raft_take(r);
        uint64_t applied = out->apply_count > 0 ? out->apply[out->apply_count - 1].index : 0;
        oak_raft_persisted(r, out->persist.token);
        oak_raft_applied(r, applied);
    }
}

/* Member 1 of 3 in term 3, which 2 leads: ten entries of that term, five of them committed. */
static struct oak_raft *follower(void)
{
    struct oak_raft_options o = {.id = 1, .seed = 3, .alloc = {resize, NULL}};
    o.snapshot.config = (struct oak_raft_config){.voter_count = 3, .voters = {1, 2, 3}};
    struct oak_raft *r = NULL;
    assert_int_equal(oak_raft_new(&o, &r), OAK_RAFT_OK);
    (void)oak_raft_tick(r, 1000);
    struct oak_raft_entry entries[10];
    for (uint64_t i = 0; i < 10; i++) {
        entries[i] = (struct oak_raft_entry){
            .index = i + 1, .term = 3, .type = OAK_RAFT_ENTRY_DATA, .size = 1, .data = "x"};
    }
    struct oak_raft_msg m = {.type = OAK_RAFT_MSG_APPEND,
                             .from = 2,
                             .to = 1,
                             .term = 3,
                             .commit = 5,
                             .entries = entries,
                             .entry_count = 10};
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    take_all(r);
    return r;
}

static struct oak_raft *leader(void)
{
    struct oak_raft *r = follower();
    assert_int_equal(oak_raft_campaign(r), OAK_RAFT_OK);
    take_all(r);
    struct oak_raft_msg m = {.type = OAK_RAFT_MSG_PRE_VOTE_REPLY, .from = 3, .to = 1, .term = 4};
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    take_all(r);
    m.type = OAK_RAFT_MSG_VOTE_REPLY;
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    take_all(r);
    struct oak_raft_status s;
    oak_raft_status(r, &s);
    assert_int_equal(s.role, OAK_RAFT_LEADER);
    return r;
}

static void refused(struct oak_raft *r, const struct oak_raft_msg *m, size_t row)
{
    struct oak_raft_status before;
    struct oak_raft_status after;
    memset(&before, 0, sizeof(before));
    memset(&after, 0, sizeof(after));
    oak_raft_status(r, &before);
    uint64_t deadline_ms = r->deadline_ms;
    if (oak_raft_step(r, m) != OAK_RAFT_EINVAL) {
        fail_msg("row %zu was taken", row);
    }
    oak_raft_status(r, &after);
    assert_int_equal(before.term, after.term);
    assert_int_equal(before.last, after.last);
    assert_int_equal(before.commit, after.commit);
    assert_int_equal(before.role, after.role);
    assert_int_equal(before.leader, after.leader);
    assert_int_equal(deadline_ms, r->deadline_ms);
    assert_false(oak_raft_has_output(r));
}

#define BIG (RAFT__NUMBER_MAX + 1)
#define M(t, ...)                                             \
    {                                                         \
        .type = t, .from = 2, .to = 1, .term = 3, __VA_ARGS__ \
    }
#define APPEND(...) M(OAK_RAFT_MSG_APPEND, .index = 10, .log_term = 3, __VA_ARGS__)

static void all_refused(const struct oak_raft_msg *rows, size_t count)
{
    struct oak_raft *r = follower();
    for (size_t i = 0; i < count; i++) {
        refused(r, &rows[i], i);
    }
    oak_raft_free(r);
}

static void malformed_messages_are_refused(void **state)
{
    (void)state;
    static const struct oak_raft_entry good = {.index = 11, .term = 3, .type = OAK_RAFT_ENTRY_DATA};
    const struct oak_raft_msg rows[] = {
        M((enum oak_raft_msg_type)0),
        M(OAK_RAFT_MSG_END_),
        {.type = OAK_RAFT_MSG_HEARTBEAT, .from = 0, .to = 1, .term = 3},
        {.type = OAK_RAFT_MSG_HEARTBEAT, .from = 1, .to = 1, .term = 3},
        {.type = OAK_RAFT_MSG_HEARTBEAT, .from = 2, .to = 3, .term = 3},
        {.type = OAK_RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = 0},
        {.type = OAK_RAFT_MSG_HEARTBEAT, .from = 2, .to = 1, .term = BIG},
        M(OAK_RAFT_MSG_HEARTBEAT, .index = BIG),
        M(OAK_RAFT_MSG_HEARTBEAT, .commit = BIG),
        M(OAK_RAFT_MSG_HEARTBEAT, .log_term = 4),
        M(OAK_RAFT_MSG_HEARTBEAT, .hint_term = 4),
        M(OAK_RAFT_MSG_HEARTBEAT, .entries = &good, .entry_count = 1),
        M(OAK_RAFT_MSG_APPEND, .index = 10),
        M(OAK_RAFT_MSG_APPEND, .log_term = 3),
        M(OAK_RAFT_MSG_VOTE, .index = 10),
        M(OAK_RAFT_MSG_PRE_VOTE, .log_term = 3),
        M(OAK_RAFT_MSG_APPEND_REPLY, .index = 3, .hint_index = 4),
        M(OAK_RAFT_MSG_READ),
        M(OAK_RAFT_MSG_SNAPSHOT),
        M(OAK_RAFT_MSG_SNAPSHOT, .snapshot = {.index = 20, .term = 3}),
        M(OAK_RAFT_MSG_SNAPSHOT,
          .snapshot = {.index = 20, .term = 4, .config = {.voter_count = 1, .voters = {1}}}),
        M(OAK_RAFT_MSG_SNAPSHOT,
          .snapshot = {.index = 20, .term = 3, .config = {.voter_count = 1, .voters = {0}}}),
    };
    all_refused(rows, OAK_COUNT_OF(rows));
}

static void malformed_entries_are_refused(void **state)
{
    (void)state;
    static const struct oak_raft_entry good = {.index = 11, .term = 3, .type = OAK_RAFT_ENTRY_DATA};
    static const struct oak_raft_entry gap = {.index = 12, .term = 3, .type = OAK_RAFT_ENTRY_DATA};
    static const struct oak_raft_entry old = {.index = 11, .term = 2, .type = OAK_RAFT_ENTRY_DATA};
    static const struct oak_raft_entry late = {.index = 11, .term = 4, .type = OAK_RAFT_ENTRY_DATA};
    static const struct oak_raft_entry hollow = {
        .index = 11, .term = 3, .type = OAK_RAFT_ENTRY_DATA, .size = 1};
    static const struct oak_raft_entry odd = {
        .index = 11, .term = 3, .type = (enum oak_raft_entry_type)9};
    static const struct oak_raft_entry garbled = {
        .index = 11, .term = 3, .type = OAK_RAFT_ENTRY_CONFIG, .size = 1, .data = "?"};
    static const struct oak_raft_entry fat = {
        .index = 11, .term = 3, .type = OAK_RAFT_ENTRY_NOOP, .size = 3, .data = "???"};
    const struct oak_raft_msg rows[] = {
        APPEND(.entry_count = 1),
        APPEND(.entries = &good, .entry_count = SIZE_MAX),
        APPEND(.entries = &gap, .entry_count = 1),
        APPEND(.entries = &old, .entry_count = 1),
        APPEND(.entries = &late, .entry_count = 1),
        APPEND(.entries = &hollow, .entry_count = 1),
        APPEND(.entries = &odd, .entry_count = 1),
        APPEND(.entries = &garbled, .entry_count = 1),
        APPEND(.entries = &fat, .entry_count = 1),
    };
    all_refused(rows, OAK_COUNT_OF(rows));
}

static void what_contradicts_the_log_halts_and_is_kept(void **state)
{
    (void)state;
    static const struct oak_raft_entry other = {.index = 5, .term = 4, .type = OAK_RAFT_ENTRY_DATA};
    const struct {
        struct oak_raft_msg m;
        enum oak_raft_contradiction what;
        uint64_t index;
    } rows[] = {
        {{.type = OAK_RAFT_MSG_HEARTBEAT, .from = 3, .to = 1, .term = 3}, OAK_RAFT_TWO_LEADERS, 0},
        {M(OAK_RAFT_MSG_HEARTBEAT, .commit = 11), OAK_RAFT_LOG_LOST, 11},
        {M(OAK_RAFT_MSG_APPEND, .index = 4, .log_term = 2), OAK_RAFT_COMMITTED_DIFFERS, 4},
        {M(OAK_RAFT_MSG_APPEND, .index = 9, .log_term = 2), OAK_RAFT_LEADER_DIFFERS, 9},
        {{.type = OAK_RAFT_MSG_APPEND,
          .from = 3,
          .to = 1,
          .term = 4,
          .index = 4,
          .log_term = 3,
          .entries = &other,
          .entry_count = 1},
         OAK_RAFT_COMMITTED_DIFFERS,
         5},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        struct oak_raft *r = follower();
        struct oak_raft_evidence e;
        assert_false(oak_raft_evidence(r, &e));
        assert_int_equal(oak_raft_step(r, &rows[i].m), OAK_RAFT_EHALTED);
        assert_true(oak_raft_evidence(r, &e));
        assert_int_equal(e.what, rows[i].what);
        assert_int_equal(e.index, rows[i].index);
        assert_int_equal(e.from, rows[i].m.from);
        assert_int_equal(e.term, 3);
        assert_int_equal(oak_raft_tick(r, 100000), OAK_RAFT_EHALTED);
        assert_false(oak_raft_has_output(r));
        oak_raft_free(r);
    }
}

static void a_leader_refuses_answers_to_what_it_never_said(void **state)
{
    (void)state;
    struct oak_raft *r = leader();
    const struct oak_raft_msg rows[] = {
        {.type = OAK_RAFT_MSG_APPEND_REPLY, .from = 2, .to = 1, .term = 4, .index = 12},
        {.type = OAK_RAFT_MSG_APPEND_REPLY, .from = 2, .to = 1, .term = 4, .read_seq = 9},
        {.type = OAK_RAFT_MSG_HEARTBEAT_REPLY, .from = 2, .to = 1, .term = 4, .read_seq = 9},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        refused(r, &rows[i], i);
    }
    oak_raft_free(r);
}

static void answers_that_nobody_takes_have_a_limit(void **state)
{
    (void)state;
    struct oak_raft *r = follower();
    struct oak_raft_msg m = {.type = OAK_RAFT_MSG_PRE_VOTE, .from = 3, .to = 1, .term = 4};
    for (size_t i = 0; i < RAFT__REPLIES_MAX; i++) {
        assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    }
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_ENOMEM);
    take_all(r);
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    oak_raft_free(r);
}

static void a_host_is_told_what_can_not_be(void **state)
{
    (void)state;
    struct oak_raft *r = follower();
    struct oak_raft_entry e;
    struct oak_raft_config config = *oak_raft_config(r);
    assert_int_equal(oak_raft_compact(r, 6), OAK_RAFT_ERANGE); /* not applied */
    assert_false(oak_raft_entry_at(r, 11, &e));
    assert_true(oak_raft_entry_at(r, 10, &e));
    assert_int_equal(e.index, 10);
    assert_int_equal(oak_raft_transfer(r, 0), OAK_RAFT_ENOTLEADER);
    assert_int_equal(oak_raft_change(r, &config, NULL, NULL), OAK_RAFT_ENOTLEADER);
    assert_int_equal(oak_raft_propose(r, "x", 1, NULL, NULL), OAK_RAFT_ENOTLEADER);
    oak_raft_free(r);

    r = leader();
    uint64_t index = 0;
    uint64_t term = 0;
    assert_int_equal(oak_raft_transfer(r, 7), OAK_RAFT_EINVAL);
    assert_int_equal(oak_raft_propose(r, "x", 1, &index, &term), OAK_RAFT_OK);
    assert_int_equal(index, 12);
    assert_int_equal(term, 4);
    assert_int_equal(oak_raft_change(r, &config, NULL, NULL), OAK_RAFT_EPENDING);
    struct oak_raft_msg m = {
        .type = OAK_RAFT_MSG_APPEND_REPLY, .from = 2, .to = 1, .term = 4, .index = 12};
    take_all(r);
    assert_int_equal(oak_raft_step(r, &m), OAK_RAFT_OK);
    take_all(r);
    assert_int_equal(oak_raft_change(r, &config, NULL, NULL), OAK_RAFT_EINVAL); /* in force */
    /* Sixteen members at once are too many while the old ones have a say beside the new ones. */
    config.learner_count = OAK_RAFT_MEMBERS_MAX - 2;
    for (uint64_t i = 0; i < config.learner_count; i++) {
        config.learners[i] = 10 + i;
    }
    assert_int_equal(oak_raft_change(r, &config, NULL, NULL), OAK_RAFT_EINVAL);
    config.voter_count = 2; /* sixteen, but 3 has a vote until this is through */
    assert_int_equal(oak_raft_change(r, &config, NULL, NULL), OAK_RAFT_EINVAL);
    uint8_t bytes[OAK_RAFT_CONFIG_BYTES_MAX];
    size_t size = oak_raft_config_encode(&config, bytes);
    struct oak_raft_config decoded;
    assert_int_equal(oak_raft_config_decode(bytes, size, &decoded), OAK_RAFT_OK);
    bytes[1] = OAK_RAFT_MEMBERS_MAX + 1;
    assert_int_equal(oak_raft_config_decode(bytes, size, &decoded), OAK_RAFT_EINVAL);
    config.voter_count = 3;
    config.learner_count = 1;
    assert_int_equal(oak_raft_change(r, &config, &index, &term), OAK_RAFT_OK);
    assert_int_equal(index, 13);
    assert_int_equal(term, 4);
    oak_raft_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_messages_are_refused),
        cmocka_unit_test(malformed_entries_are_refused),
        cmocka_unit_test(what_contradicts_the_log_halts_and_is_kept),
        cmocka_unit_test(a_leader_refuses_answers_to_what_it_never_said),
        cmocka_unit_test(answers_that_nobody_takes_have_a_limit),
        cmocka_unit_test(a_host_is_told_what_can_not_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
