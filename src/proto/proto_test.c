/* SPDX-License-Identifier: Apache-2.0 */
/* proto_test.c: messages decode as proto3 says, and bytes that must not be believed are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "proto/proto.h"

static struct oak_arena arena;

static int set_up(void **state)
{
    (void)state;
    oak_arena_init(&arena, 4096, OAK_DECODE_BYTES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    oak_arena_fini(&arena);
    return 0;
}

static int decode(const ProtobufCMessageDescriptor *d, const void *data, size_t size, void *out)
{
    ProtobufCMessage *message = NULL;
    int error = oak_proto_unpack(d, oak_bytes(data, size), &arena, &message);
    memcpy(out, &message, sizeof(message));
    return error;
}

static void a_put_decodes_with_every_field(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x0a, 1,    'k',  0x12, 2,    'v', 'w',  0x18,
                            0xac, 0x02, 0x20, 1,    0x28, 1,   0x30, 1};
    Etcdserverpb__PutRequest *put;
    assert_int_equal(decode(&etcdserverpb__put_request__descriptor, wire, sizeof(wire), &put), 0);
    assert_true(oak_bytes_eq(oak_proto_bytes(put->key), oak_bytes_str("k")));
    assert_true(oak_bytes_eq(oak_proto_bytes(put->value), oak_bytes_str("vw")));
    assert_int_equal(put->lease, 300);
    assert_true(put->prev_kv && put->ignore_value && put->ignore_lease);
}

static void an_empty_message_is_all_defaults(void **state)
{
    (void)state;
    Etcdserverpb__RangeRequest *range;
    assert_int_equal(decode(&etcdserverpb__range_request__descriptor, NULL, 0, &range), 0);
    assert_int_equal(range->key.len, 0);
    assert_int_equal(range->limit, 0);
    Etcdserverpb__Member *member;
    assert_int_equal(decode(&etcdserverpb__member__descriptor, NULL, 0, &member), 0);
    assert_string_equal(member->name, "");
}

static void fields_come_in_any_order_and_the_last_one_wins(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x12, 1, 'a', 0x18, 7, 0x0a, 1, 'k', 0x12, 2, 'b', 'c', 0x18, 9};
    Etcdserverpb__PutRequest *put;
    assert_int_equal(decode(&etcdserverpb__put_request__descriptor, wire, sizeof(wire), &put), 0);
    assert_true(oak_bytes_eq(oak_proto_bytes(put->value), oak_bytes_str("bc")));
    assert_int_equal(put->lease, 9);
}

static void the_last_variant_of_a_oneof_wins(void **state)
{
    (void)state;
    /* Compare: version = 3, then value = "v", then lease = 5. */
    const uint8_t wire[] = {0x20, 3, 0x3a, 1, 'v', 0x40, 5};
    Etcdserverpb__Compare *c;
    assert_int_equal(decode(&etcdserverpb__compare__descriptor, wire, sizeof(wire), &c), 0);
    assert_int_equal(c->target_union_case, ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE);
    assert_int_equal(c->lease, 5);
    /* RequestOp: a put of "a", then a range of "b". */
    const uint8_t op[] = {0x12, 3, 0x0a, 1, 'a', 0x0a, 3, 0x0a, 1, 'b'};
    Etcdserverpb__RequestOp *r;
    assert_int_equal(decode(&etcdserverpb__request_op__descriptor, op, sizeof(op), &r), 0);
    assert_int_equal(r->request_case, ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE);
    assert_true(oak_bytes_eq(oak_proto_bytes(r->request_range->key), oak_bytes_str("b")));
}

static void lists_of_a_singular_message_sent_twice_add_up(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x0a, 5,    0x12, 3,    0x0a, 1,   'a',  0x0a,
                            7,    0x12, 3,    0x0a, 1,    'b', 0x20, 1};
    Etcdserverpb__RangeStreamResponse *r;
    assert_int_equal(
        decode(&etcdserverpb__range_stream_response__descriptor, wire, sizeof(wire), &r), 0);
    assert_int_equal(r->range_response->n_kvs, 2);
    assert_int_equal(r->range_response->count, 1);
}

static void repeated_numbers_decode_packed_and_one_by_one(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x2a, 2, 0, 1, 0x28, 1};
    Etcdserverpb__WatchCreateRequest *w;
    assert_int_equal(
        decode(&etcdserverpb__watch_create_request__descriptor, wire, sizeof(wire), &w), 0);
    assert_int_equal(w->n_filters, 3);
    assert_int_equal(w->filters[0], ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT);
    assert_int_equal(w->filters[2], ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE);
}

static void unknown_fields_of_every_wire_type_are_skipped(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x98, 0x06, 0xff, 0x01,                      /* 99: varint */
                            0x99, 0x06, 1,    2,    3,    4, 5, 6, 7, 8, /* 99: eight bytes */
                            0x9a, 0x06, 2,    0xff, 0xff,                /* 99: bytes */
                            0x9d, 0x06, 1,    2,    3,    4,             /* 99: four bytes */
                            0x0a, 1,    'k'};
    Etcdserverpb__PutRequest *put;
    assert_int_equal(decode(&etcdserverpb__put_request__descriptor, wire, sizeof(wire), &put), 0);
    assert_true(oak_bytes_eq(oak_proto_bytes(put->key), oak_bytes_str("k")));
}

static void text_that_is_not_utf8_is_taken(void **state)
{
    (void)state;
    const uint8_t wire[] = {0x12, 2, 0xff, 0xc0};
    Etcdserverpb__Member *member;
    assert_int_equal(decode(&etcdserverpb__member__descriptor, wire, sizeof(wire), &member), 0);
    assert_string_equal(member->name, "\xff\xc0");
}

static void malformed_records_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t wire[12];
        size_t size;
    } cases[] = {
        {{0x0a}, 1},         /* no length */
        {{0x0a, 5, 'k'}, 3}, /* length past the end */
        {{0x02, 0}, 2},      /* field number 0 */
        {{0x0b, 0x0c}, 2},   /* a group */
        {{0x0e, 0}, 2},      /* wire type 6 */
        {{0x0f, 0}, 2},      /* wire type 7 */
        {{0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, 12},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0}, 7}, /* number past 2^29 */
        {{0x08, 1}, 2},                               /* key as a varint */
        {{0x1a, 1, 'k'}, 3},                          /* lease as bytes */
        {{0x1d, 1, 2, 3}, 4},                         /* four bytes, three there */
        {{0x99, 0x06, 1, 2, 3}, 5},                   /* eight bytes, three there */
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        Etcdserverpb__PutRequest *put;
        assert_int_equal(
            decode(&etcdserverpb__put_request__descriptor, cases[i].wire, cases[i].size, &put),
            OAK_EFORMAT);
        assert_null(put);
    }
}

static void lengths_of_two_gigabytes_and_more_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0x7fffffff,  0x80000000,         0xffffffff,
                                       0x100000001, 0x7fffffffffffffff, 0x8000000000000000,
                                       UINT64_MAX};
    for (size_t i = 0; i < OAK_COUNT_OF(lengths); i++) {
        uint8_t wire[16] = {0x0a};
        size_t size = 1;
        for (uint64_t rest = lengths[i]; size < 11; rest >>= 7) {
            wire[size++] = (uint8_t)(rest & 0x7f) | (rest >= 0x80 ? 0x80 : 0);
            if (rest < 0x80) {
                break;
            }
        }
        wire[size++] = 'k';
        void *message;
        assert_int_equal(decode(&etcdserverpb__put_request__descriptor, wire, size, &message),
                         OAK_EFORMAT);
        assert_int_equal(decode(&etcdserverpb__txn_request__descriptor, wire, size, &message),
                         OAK_EFORMAT);
        assert_int_equal(arena.total, 0);
    }
}

/* A transaction that holds a put, a compare and a nested transaction. */
static size_t pack_sample(uint8_t *out)
{
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__Compare *compares[] = {&compare};
    compare.key = oak_proto_binary(oak_bytes_str("key"));
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
    compare.value = oak_proto_binary(oak_bytes_str("value"));
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str("a"));
    Etcdserverpb__RequestOp put_op = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp *put_ops[] = {&put_op};
    put_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    put_op.request_put = &put;
    Etcdserverpb__TxnRequest inner = ETCDSERVERPB__TXN_REQUEST__INIT;
    inner.n_success = 1;
    inner.success = put_ops;
    Etcdserverpb__RequestOp inner_op = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp *inner_ops[] = {&inner_op};
    inner_op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    inner_op.request_txn = &inner;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    txn.n_compare = 1;
    txn.compare = compares;
    txn.n_failure = 1;
    txn.failure = inner_ops;
    return etcdserverpb__txn_request__pack(&txn, out);
}

static void a_message_cut_at_any_byte_is_refused_or_a_shorter_message(void **state)
{
    (void)state;
    uint8_t wire[128];
    size_t size = pack_sample(wire);
    size_t taken = 0;
    for (size_t cut = 0; cut <= size; cut++) {
        /* On the heap, so that a sanitizer sees a byte read too many. */
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, wire, cut);
        Etcdserverpb__TxnRequest *txn;
        int error = decode(&etcdserverpb__txn_request__descriptor, copy, cut, &txn);
        assert_true(error == 0 || error == OAK_EFORMAT);
        assert_true((error == 0) == (txn != NULL));
        taken += error == 0;
        free(copy);
        oak_arena_reset(&arena);
    }
    assert_int_equal(taken, 3); /* nothing, the compare alone, all of it */
}

/* `depth` messages in one another: Txn, RequestOp, Txn, ... Returns where it starts in `out`. */
static uint8_t *nest(uint8_t *out, size_t capacity, size_t depth)
{
    uint8_t *end = out + capacity;
    uint8_t *at = end;
    for (size_t level = depth; level > 1; level--) {
        size_t size = (size_t)(end - at);
        uint8_t length[10];
        size_t n = 0;
        do {
            length[n++] = (uint8_t)((size & 0x7f) | (size >= 0x80 ? 0x80 : 0));
            size >>= 7;
        } while (size > 0);
        at -= n;
        memcpy(at, length, n);
        /* A Txn (odd levels) stands in a RequestOp's field 4, a RequestOp in a Txn's field 2. */
        *--at = level % 2 == 1 ? 0x22 : 0x12;
    }
    return at;
}

static void nesting_up_to_the_limit_decodes_and_one_more_is_refused(void **state)
{
    (void)state;
    enum { CAPACITY = 200000 };
    static uint8_t room[CAPACITY];
    static const size_t depths[] = {1, 2, 3, OAK_PROTO_DEPTH_MAX, OAK_PROTO_DEPTH_MAX + 1, 20001};
    for (size_t i = 0; i < OAK_COUNT_OF(depths); i++) {
        uint8_t *at = nest(room, CAPACITY, depths[i]);
        Etcdserverpb__TxnRequest *txn;
        int error = decode(&etcdserverpb__txn_request__descriptor, at,
                           (size_t)(room + CAPACITY - at), &txn);
        assert_int_equal(error, depths[i] <= OAK_PROTO_DEPTH_MAX ? 0 : OAK_EFORMAT);
    }
}

static void depth_goes_down_again_between_siblings(void **state)
{
    (void)state;
    /* A thousand empty RequestOps beside one another are not deep. */
    uint8_t wire[2000];
    for (size_t i = 0; i < sizeof(wire); i += 2) {
        wire[i] = 0x12;
        wire[i + 1] = 0;
    }
    Etcdserverpb__TxnRequest *txn;
    assert_int_equal(decode(&etcdserverpb__txn_request__descriptor, wire, sizeof(wire), &txn), 0);
    assert_int_equal(txn->n_success, 1000);
}

static void a_message_over_the_ceiling_is_a_limit_and_not_a_format_error(void **state)
{
    (void)state;
    size_t size = OAK_REQUEST_BYTES_MAX;
    uint8_t *wire = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        wire[i] = 0x12;
        wire[i + 1] = 0;
    }
    Etcdserverpb__TxnRequest *txn;
    assert_int_equal(decode(&etcdserverpb__txn_request__descriptor, wire, size, &txn), OAK_ELIMIT);
    assert_null(txn);
    assert_true(arena.total <= arena.ceiling);
    free(wire);
}

static void a_value_of_a_whole_request_decodes_under_the_ceiling(void **state)
{
    (void)state;
    size_t size = OAK_REQUEST_BYTES_MAX;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.value.len = size - 16;
    put.value.data = calloc(1, put.value.len);
    uint8_t *wire = malloc(size);
    size_t packed = etcdserverpb__put_request__pack(&put, wire);
    Etcdserverpb__PutRequest *out;
    assert_int_equal(decode(&etcdserverpb__put_request__descriptor, wire, packed, &out), 0);
    assert_int_equal(out->value.len, put.value.len);
    free(wire);
    free(put.value.data);
}

static void the_end_of_a_prefix_is_the_first_key_behind_all_that_begin_with_it(void **state)
{
    (void)state;
    static const struct {
        const char *prefix;
        size_t size;
        const char *end;
        size_t end_size;
    } cases[] = {
        {"users/", 6, "users0", 6},
        {"a", 1, "b", 1},
        {"a\xfe", 2, "a\xff", 2},
        {"\x7f", 1, "\x80", 1},
        {"a\x00", 2, "a\x01", 2},
        {"\x00", 1, "\x01", 1},
        {"a\xff", 2, "b", 1}, /* "a\xff\xff" is among them, and "b" is behind */
        {"a\xff\xff\xff", 4, "b", 1},
        {"a\xff"
         "b",
         3,
         "a\xff"
         "c",
         3},
        {"a\xfe\xff", 3, "a\xff", 2},
        {"\xff", 1, "\x00", 1}, /* nothing is behind: the API's end of everything */
        {"\xff\xff\xff", 3, "\x00", 1},
        {"", 0, "\x00", 1},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct oak_bytes prefix = oak_bytes(cases[i].prefix, cases[i].size);
        struct oak_bytes wanted = oak_bytes(cases[i].end, cases[i].end_size);
        ProtobufCBinaryData end;
        assert_int_equal(oak_proto_prefix_end(&arena, prefix, &end), 0);
        assert_true(oak_bytes_eq(oak_proto_bytes(end), wanted));
    }
}

static void the_end_of_a_prefix_without_memory_is_no_end_of_other_keys(void **state)
{
    (void)state;
    struct oak_arena small;
    ProtobufCBinaryData end;
    oak_arena_init(&small, 64, 64);
    assert_non_null(oak_arena_alloc(&small, 64));
    assert_int_equal(oak_proto_prefix_end(&small, oak_bytes_str("users/"), &end), OAK_ENOMEM);
    assert_int_equal(oak_proto_prefix_end(&small, oak_bytes_str("\xff"), &end), 0); /* needs none */
    oak_arena_fini(&small);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(a_put_decodes_with_every_field),
        T(an_empty_message_is_all_defaults),
        T(fields_come_in_any_order_and_the_last_one_wins),
        T(the_last_variant_of_a_oneof_wins),
        T(lists_of_a_singular_message_sent_twice_add_up),
        T(repeated_numbers_decode_packed_and_one_by_one),
        T(unknown_fields_of_every_wire_type_are_skipped),
        T(text_that_is_not_utf8_is_taken),
        T(malformed_records_are_refused),
        T(lengths_of_two_gigabytes_and_more_are_refused),
        T(a_message_cut_at_any_byte_is_refused_or_a_shorter_message),
        T(nesting_up_to_the_limit_decodes_and_one_more_is_refused),
        T(depth_goes_down_again_between_siblings),
        T(a_message_over_the_ceiling_is_a_limit_and_not_a_format_error),
        T(a_value_of_a_whole_request_decodes_under_the_ceiling),
        T(the_end_of_a_prefix_is_the_first_key_behind_all_that_begin_with_it),
        T(the_end_of_a_prefix_without_memory_is_no_end_of_other_keys),
    };
    return cmocka_run_group_tests_name("proto", tests, NULL, NULL);
}
