/* SPDX-License-Identifier: Apache-2.0 */
/* frame_test.c: frames come back as they went, and nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "peer/peer.h"

static struct oak_peer_frame sample_append(const struct oak_raft_entry *entries, size_t count)
{
    return (struct oak_peer_frame){
        .kind = OAK_PEER_RAFT,
        .address = {.cluster = 1, .group = 2, .from = 3, .to = 4, .boot = 5, .to_boot = 6},
        .u.raft = {.type = OAK_RAFT_MSG_APPEND,
                   .from = 3,
                   .to = 4,
                   .term = 7,
                   .index = 8,
                   .log_term = 6,
                   .commit = 5,
                   .read_seq = 9,
                   .transfer = true,
                   .priority = 200,
                   .entries = entries,
                   .entry_count = count},
    };
}

static const struct oak_raft_entry two[] = {
    {.index = 9, .term = 7, .type = OAK_RAFT_ENTRY_NOOP},
    {.index = 10, .term = 7, .type = OAK_RAFT_ENTRY_DATA, .size = 5, .data = "hello"},
};

static void an_append_comes_back_as_it_went(void **state)
{
    (void)state;
    struct oak_peer_frame in = sample_append(two, 2);
    struct oak_peer_frame out;
    struct oak_buf bytes = {0};
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    assert_int_equal(oak_peer_encode(&in, &bytes), 0);
    assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), 0);
    assert_int_equal(out.u.raft.entry_count, 2);
    assert_int_equal(out.u.raft.entries[1].index, 10);
    assert_memory_equal(out.u.raft.entries[1].data, "hello", 5);
    assert_int_equal(out.u.raft.read_seq, 9);
    assert_true(out.u.raft.transfer);
    assert_false(out.u.raft.reject);
    assert_int_equal(out.u.raft.priority, 200);
    assert_int_equal(out.address.to_boot, 6);
    oak_arena_fini(&arena);
    oak_buf_fini(&bytes);
}

static void every_cut_and_every_flip_is_refused(void **state)
{
    (void)state;
    struct oak_peer_frame in = sample_append(two, 2);
    struct oak_peer_frame out;
    struct oak_buf bytes = {0};
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    assert_int_equal(oak_peer_encode(&in, &bytes), 0);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        assert_int_not_equal(oak_peer_decode(oak_bytes(bytes.data, cut), &arena, &out), 0);
    }
    for (size_t i = 0; i < bytes.size; i++) {
        if (i == 3) {
            continue; /* the kind: told apart by the body's length, tested below */
        }
        bytes.data[i] ^= 0x40;
        assert_int_not_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), 0);
        bytes.data[i] ^= 0x40;
    }
    oak_arena_fini(&arena);
    oak_buf_fini(&bytes);
}

static void a_count_beyond_the_bytes_is_refused_before_it_is_allocated(void **state)
{
    (void)state;
    struct oak_peer_frame in = sample_append(NULL, 0);
    struct oak_peer_frame out;
    struct oak_buf bytes = {0};
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    assert_int_equal(oak_peer_encode(&in, &bytes), 0);
    oak_put_u32(bytes.data + 56 + 4, UINT32_MAX);
    oak_put_u32(bytes.data + 4, oak_crc32c(0, bytes.data + 8, bytes.size - 8));
    assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), OAK_EFORMAT);
    assert_int_equal(arena.total, 0);
    oak_arena_fini(&arena);
    oak_buf_fini(&bytes);
}

static void chunks_acks_forwards_refusals_and_loads_come_back(void **state)
{
    (void)state;
    struct oak_peer_frame frames[] = {
        {.kind = OAK_PEER_CHUNK,
         .u.chunk = {.transfer = 1,
                     .offset = 2,
                     .term = 3,
                     .last = true,
                     .snapshot = {.index = 4,
                                  .term = 2,
                                  .config = {.voter_count = 1,
                                             .voters = {9},
                                             .voter_outgoing_count = 1,
                                             .voters_outgoing = {8}}},
                     .data = {(const uint8_t *)"xyz", 3}}},
        {.kind = OAK_PEER_CHUNK,
         .u.chunk = {.transfer = 1,
                     .offset = 2,
                     .term = 3,
                     .snapshot = {.index = 4,
                                  .term = 2,
                                  .config = {.voter_count = 1, .voters = {9}}}}},
        {.kind = OAK_PEER_CHUNK_ACK, .u.ack = {.transfer = 1, .offset = 5, .installed = true}},
        {.kind = OAK_PEER_CHUNK_ACK, .u.ack = {.transfer = 1, .refused = true}},
        {.kind = OAK_PEER_CHUNK_ACK, .u.ack = {.transfer = 1, .offset = 5, .gap = true}},
        {.kind = OAK_PEER_CHUNK_ACK, .u.ack = {.transfer = 1, .wait = true, .index = 77}},
        {.kind = OAK_PEER_FORWARD, .u.forward = {.seq = 6, .commands = {(const uint8_t *)"cc", 2}}},
        {.kind = OAK_PEER_REFUSED, .u.refused = {.seq = 7, .error = OAK_ETOOMANYREQUESTS}},
        {.kind = OAK_PEER_CHAIN, .u.chain = {.index = 9, .chain = UINT64_MAX}},
        {.kind = OAK_PEER_LOAD, .u.load = {.sync_us = 8, .lag_us = 86400000000, .weary = true}},
    };
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    for (size_t i = 0; i < OAK_COUNT_OF(frames); i++) {
        struct oak_buf bytes = {0};
        struct oak_peer_frame out;
        assert_int_equal(oak_peer_encode(&frames[i], &bytes), 0);
        assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), 0);
        assert_int_equal(out.kind, frames[i].kind);
        struct oak_buf again = {0};
        assert_int_equal(oak_peer_encode(&out, &again), 0);
        assert_true(oak_bytes_eq(oak_buf_bytes(&bytes), oak_buf_bytes(&again)));
        oak_buf_fini(&bytes);
        oak_buf_fini(&again);
    }
    oak_arena_fini(&arena);
}

static void questions_and_answers_about_leases_come_back(void **state)
{
    (void)state;
    const struct oak_peer_lease_ask asks[] = {{.number = 1, .id = -7, .renew = true},
                                              {.number = 2, .id = INT64_MAX}};
    const struct oak_peer_lease_told tolds[] = {
        {.number = 3, .again = true, .index = UINT64_MAX},
        {.number = 4, .index = 5, .ttl_s = OAK_LEASE_TTL_S_MAX, .left_ns = -6}};
    struct oak_buf items[2] = {{0}, {0}};
    struct oak_peer_frame frames[2] = {{.kind = OAK_PEER_LEASE_ASK}, {.kind = OAK_PEER_LEASE_TOLD}};
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(oak_peer_lease_ask_add(&items[0], &asks[i]), 0);
        assert_int_equal(oak_peer_lease_told_add(&items[1], &tolds[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        struct oak_buf bytes = {0};
        struct oak_peer_frame out;
        struct oak_peer_lease_ask ask;
        struct oak_peer_lease_told told;
        frames[i].u.leases.bytes = oak_buf_bytes(&items[i]);
        assert_int_equal(oak_peer_encode(&frames[i], &bytes), 0);
        assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), 0);
        struct oak_reader in = oak_reader(out.u.leases.bytes);
        for (size_t k = 0; k < 2 && i == 0; k++) {
            assert_true(oak_peer_lease_ask_next(&in, &ask));
            assert_true(ask.number == asks[k].number && ask.id == asks[k].id &&
                        ask.renew == asks[k].renew);
        }
        for (size_t k = 0; k < 2 && i == 1; k++) {
            assert_true(oak_peer_lease_told_next(&in, &told));
            assert_true(told.number == tolds[k].number && told.again == tolds[k].again &&
                        told.index == tolds[k].index && told.ttl_s == tolds[k].ttl_s &&
                        told.left_ns == tolds[k].left_ns);
        }
        assert_false(oak_peer_lease_ask_next(&in, &ask));
        /* Half of one is none, and so is nothing. */
        frames[i].u.leases.bytes.size -= 1;
        oak_buf_clear(&bytes);
        assert_int_equal(oak_peer_encode(&frames[i], &bytes), 0);
        assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), OAK_EFORMAT);
        frames[i].u.leases.bytes.size = 0;
        oak_buf_clear(&bytes);
        assert_int_equal(oak_peer_encode(&frames[i], &bytes), 0);
        assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), OAK_EFORMAT);
        oak_buf_fini(&bytes);
        oak_buf_fini(&items[i]);
    }
    oak_arena_fini(&arena);
}

static const struct oak_peer_frame hello = {
    .kind = OAK_PEER_HELLO,
    .u.hello = {.seq = 1,
                .heard = 18,
                .me = {.number = 2, .run = 3, .term = 4, .vote = 5, .index = 6},
                .of_you = {.number = 7, .run = 8, .term = 9, .vote = 10, .index = 11},
                .tale = {.number = 12, .run = 13, .term = 14, .vote = 15, .index = 16},
                .told = true,
                .past = OAK_PEER_WHOLE,
                .excused = 17,
                .group_index = 19,
                .group = {.voters = {20, 21}, .voter_count = 2}},
};

static int hello_decoded(struct oak_peer_frame in, struct oak_peer_frame *out)
{
    struct oak_arena arena;
    struct oak_buf bytes = {0};
    oak_arena_init(&arena, 4096, OAK_MIB);
    assert_int_equal(oak_peer_encode(&in, &bytes), 0);
    int error = oak_peer_decode(oak_buf_bytes(&bytes), &arena, out);
    oak_buf_fini(&bytes);
    oak_arena_fini(&arena);
    return error;
}

static void a_hello_comes_back_as_it_went(void **state)
{
    (void)state;
    struct oak_peer_frame out;
    assert_int_equal(hello_decoded(hello, &out), 0);
    const struct oak_peer_hello *h = &out.u.hello;
    assert_true(h->seq == 1 && h->heard == 18 && h->told && !h->met && h->past == OAK_PEER_WHOLE &&
                h->excused == 17);
    assert_memory_equal(&h->me, &hello.u.hello.me, sizeof(h->me));
    assert_memory_equal(&h->of_you, &hello.u.hello.of_you, sizeof(h->of_you));
    assert_memory_equal(&h->tale, &hello.u.hello.tale, sizeof(h->tale));
    assert_int_equal(h->group_index, 19);
    assert_memory_equal(&h->group, &hello.u.hello.group, sizeof(h->group));
    struct oak_peer_frame in = hello;
    in.u.hello.group_index = 0; /* none */
    assert_int_equal(hello_decoded(in, &out), 0);
    assert_true(h->group_index == 0 && h->group.voter_count == 0);
}

static void a_hello_of_no_run_or_of_a_past_unheard_of_is_refused(void **state)
{
    (void)state;
    struct oak_peer_frame in = hello, out;
    in.u.hello.me.number = 0;
    assert_int_equal(hello_decoded(in, &out), OAK_EFORMAT);
    in.u.hello.me.number = UINT64_MAX; /* there is no next one */
    assert_int_equal(hello_decoded(in, &out), OAK_EFORMAT);
    in = hello;
    in.u.hello.of_you.number = UINT64_MAX;
    assert_int_equal(hello_decoded(in, &out), OAK_EFORMAT);
    in = hello;
    in.u.hello.past = OAK_PEER_PAST_END_;
    assert_int_equal(hello_decoded(in, &out), OAK_EFORMAT);
}

static void a_chunk_without_a_sound_configuration_is_refused(void **state)
{
    (void)state;
    struct oak_peer_frame in = {
        .kind = OAK_PEER_CHUNK,
        .u.chunk = {.snapshot = {.config = {.voter_count = 2, .voters = {1, 2}}}},
    };
    struct oak_peer_frame out;
    struct oak_buf bytes = {0};
    struct oak_arena arena;
    oak_arena_init(&arena, 4096, OAK_MIB);
    assert_int_equal(oak_peer_encode(&in, &bytes), 0);
    const size_t places[] = {56 + 42, 56 + 44, 56 + 45,
                             56 + 44 + 16}; /* size, version, count, id */
    for (size_t i = 0; i < OAK_COUNT_OF(places); i++) {
        uint8_t was = bytes.data[places[i]];
        bytes.data[places[i]] = 3;
        oak_put_u32(bytes.data + 4, oak_crc32c(0, bytes.data + 8, bytes.size - 8));
        assert_int_equal(oak_peer_decode(oak_buf_bytes(&bytes), &arena, &out), OAK_EFORMAT);
        bytes.data[places[i]] = was;
    }
    oak_arena_fini(&arena);
    oak_buf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_append_comes_back_as_it_went),
        cmocka_unit_test(every_cut_and_every_flip_is_refused),
        cmocka_unit_test(a_count_beyond_the_bytes_is_refused_before_it_is_allocated),
        cmocka_unit_test(chunks_acks_forwards_refusals_and_loads_come_back),
        cmocka_unit_test(questions_and_answers_about_leases_come_back),
        cmocka_unit_test(a_hello_comes_back_as_it_went),
        cmocka_unit_test(a_hello_of_no_run_or_of_a_past_unheard_of_is_refused),
        cmocka_unit_test(a_chunk_without_a_sound_configuration_is_refused),
    };
    return cmocka_run_group_tests_name("peer/frame", tests, NULL, NULL);
}
