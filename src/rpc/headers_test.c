/* SPDX-License-Identifier: Apache-2.0 */
/* headers_test.c: what gRPC writes into header values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "rpc/internal.h"

static void timeouts_are_read_in_every_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1n", 1},
        {"2u", 2000},
        {"3m", 3000000},
        {"4S", 4 * RPC_SECOND_NS},
        {"5M", 300 * RPC_SECOND_NS},
        {"6H", 21600 * RPC_SECOND_NS},
        {"00000007S", 7 * RPC_SECOND_NS},
        {"0n", 0},
        {"99999999S", 99999999 * RPC_SECOND_NS},
        {"99999999H", UINT64_MAX},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(good); i++) {
        uint64_t ns = 0;
        assert_int_equal(rpc__timeout_parse(oak_bytes_str(good[i].text), &ns), 0);
        assert_true(ns == good[i].ns);
    }
    static const char *const bad[] = {"",     "S",          "1",   "1s",  "-1S",
                                      "1.5S", "123456789S", " 1S", "1S ", "0x1S"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        uint64_t ns = 42;
        assert_int_equal(rpc__timeout_parse(oak_bytes_str(bad[i]), &ns), OAK_EFORMAT);
        assert_true(ns == 42);
    }
}

static void a_written_timeout_is_never_shorter_and_hardly_longer(void **state)
{
    (void)state;
    struct oak_prng prng;
    oak_prng_init(&prng, 3);
    for (int i = 0; i < 20000; i++) {
        uint64_t ns = oak_prng_u64(&prng) >> oak_prng_below(&prng, 64);
        char text[RPC_TIMEOUT_TEXT_BYTES];
        size_t size = rpc__timeout_format(ns, text);
        assert_true(size <= 9);
        uint64_t back = 0;
        assert_int_equal(rpc__timeout_parse(oak_bytes(text, size), &back), 0);
        assert_true(back >= ns);
        assert_true(back - ns <= ns / 90000);
    }
}

static struct oak_bytes text_of(const struct oak_buf *b)
{
    return oak_buf_bytes(b);
}

static void percent_coding_gives_back_every_byte(void **state)
{
    (void)state;
    uint8_t all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (uint8_t)i;
    }
    struct oak_buf coded = {0};
    struct oak_buf back = {0};
    assert_int_equal(rpc__percent_encode(&coded, oak_bytes(all, sizeof(all))), 0);
    for (size_t i = 0; i < coded.size; i++) {
        assert_true(coded.data[i] >= ' ' && coded.data[i] <= '~');
    }
    assert_int_equal(rpc__percent_decode(&back, text_of(&coded)), 0);
    assert_true(oak_bytes_eq(text_of(&back), oak_bytes(all, sizeof(all))));
    oak_buf_clear(&coded);
    assert_int_equal(rpc__percent_encode(&coded, oak_bytes_str("50% \xc3\xbc~")), 0);
    assert_true(oak_bytes_eq(text_of(&coded), oak_bytes_str("50%25 %C3%BC~")));
    oak_buf_fini(&coded);
    oak_buf_fini(&back);
}

static void what_is_no_escape_stays_as_it_is(void **state)
{
    (void)state;
    static const char *const texts[] = {"%", "%4", "a%zz", "%G0", "100%"};
    for (size_t i = 0; i < OAK_COUNT_OF(texts); i++) {
        struct oak_buf back = {0};
        assert_int_equal(rpc__percent_decode(&back, oak_bytes_str(texts[i])), 0);
        assert_true(oak_bytes_eq(text_of(&back), oak_bytes_str(texts[i])));
        oak_buf_fini(&back);
    }
    struct oak_buf back = {0};
    assert_int_equal(rpc__percent_decode(&back, oak_bytes_str("%e2%98%BA")), 0);
    assert_true(oak_bytes_eq(text_of(&back), oak_bytes_str("\xe2\x98\xba")));
    oak_buf_fini(&back);
}

static void base64_follows_the_published_vectors(void **state)
{
    (void)state;
    /* RFC 4648, section 10; gRPC leaves the padding out. */
    static const char *const vectors[][3] = {
        {"", "", ""},
        {"f", "Zg", "Zg=="},
        {"fo", "Zm8", "Zm8="},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg", "Zm9vYg=="},
        {"fooba", "Zm9vYmE", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(vectors); i++) {
        struct oak_buf b = {0};
        assert_int_equal(rpc__base64_encode(&b, oak_bytes_str(vectors[i][0])), 0);
        assert_true(oak_bytes_eq(text_of(&b), oak_bytes_str(vectors[i][1])));
        for (int form = 1; form <= 2; form++) {
            oak_buf_clear(&b);
            assert_int_equal(rpc__base64_decode(&b, oak_bytes_str(vectors[i][form])), 0);
            assert_true(oak_bytes_eq(text_of(&b), oak_bytes_str(vectors[i][0])));
        }
        oak_buf_fini(&b);
    }
    static const char *const bad[] = {
        "A", "AAAAA", "Zg=", "Z===", "Zm8 ", "Zm-_", "=Zg=", "Zg==Zg=="};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct oak_buf b = {0};
        assert_int_equal(oak_buf_append(&b, "keep", 4), 0);
        assert_int_equal(rpc__base64_decode(&b, oak_bytes_str(bad[i])), OAK_EFORMAT);
        assert_true(oak_bytes_eq(text_of(&b), oak_bytes_str("keep")));
        oak_buf_fini(&b);
    }
}

static void pairs_are_found_by_name_the_first_one_first(void **state)
{
    (void)state;
    struct oak_buf pairs = {0};
    assert_int_equal(rpc__pairs_add(&pairs, oak_bytes_str("a"), oak_bytes_str("1")), 0);
    assert_int_equal(rpc__pairs_add(&pairs, oak_bytes_str("ab"), oak_bytes_str("")), 0);
    assert_int_equal(rpc__pairs_add(&pairs, oak_bytes_str("a"), oak_bytes_str("2")), 0);
    assert_true(oak_bytes_eq(rpc__pairs_find(&pairs, oak_bytes_str("a")), oak_bytes_str("1")));
    assert_non_null(rpc__pairs_find(&pairs, oak_bytes_str("ab")).data);
    assert_int_equal(rpc__pairs_find(&pairs, oak_bytes_str("ab")).size, 0);
    assert_null(rpc__pairs_find(&pairs, oak_bytes_str("abc")).data);
    size_t at = 0;
    struct oak_rpc_pair pair;
    int count = 0;
    while (rpc__pairs_next(&pairs, &at, &pair)) {
        count++;
    }
    assert_int_equal(count, 3);
    oak_buf_fini(&pairs);
}

static void joined_binary_values_are_cut_at_their_commas(void **state)
{
    (void)state;
    struct oak_buf pairs = {0};
    struct oak_bytes name = oak_bytes_str("k-bin");
    assert_int_equal(rpc__pairs_add_wire(&pairs, name, oak_bytes_str("Zg==,Zm8,,Zm9v")), 0);
    static const char *const wanted[] = {"f", "fo", "", "foo"};
    size_t at = 0;
    struct oak_rpc_pair pair;
    for (size_t i = 0; i < OAK_COUNT_OF(wanted); i++) {
        assert_true(rpc__pairs_next(&pairs, &at, &pair));
        assert_true(oak_bytes_eq(pair.name, name));
        assert_true(oak_bytes_eq(pair.value, oak_bytes_str(wanted[i])));
    }
    assert_false(rpc__pairs_next(&pairs, &at, &pair));
    size_t before = pairs.size;
    assert_int_equal(rpc__pairs_add_wire(&pairs, name, oak_bytes_str("Zg,!")), OAK_EFORMAT);
    assert_int_equal(pairs.size, before);
    oak_buf_fini(&pairs);
}

static void the_heap_gives_the_earliest_deadline_whatever_is_removed(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    struct rpc_deadlines d = {0};
    static struct oak_rpc_call calls[COUNT];
    struct oak_prng prng;
    oak_prng_init(&prng, 11);
    memset(calls, 0, sizeof(calls));
    for (int round = 0; round < 20000; round++) {
        struct oak_rpc_call *c = &calls[oak_prng_below(&prng, COUNT)];
        if (c->heap_place == 0) {
            c->deadline_ns = 1 + oak_prng_below(&prng, 1000);
            assert_int_equal(rpc__deadlines_add(&d, c), 0);
        } else {
            rpc__deadlines_remove(&d, c);
            rpc__deadlines_remove(&d, c); /* not there: nothing happens */
        }
        uint64_t earliest = UINT64_MAX;
        uint32_t count = 0;
        for (int i = 0; i < COUNT; i++) {
            if (calls[i].heap_place != 0) {
                count++;
                earliest = OAK_MIN(earliest, calls[i].deadline_ns);
            }
        }
        assert_int_equal(d.count, count);
        assert_true(count == 0 || d.calls[0]->deadline_ns == earliest);
    }
    while (d.count > 0) {
        rpc__deadlines_remove(&d, d.calls[d.count / 2]);
    }
    rpc__deadlines_fini(&d);
}

static void only_servers_bound_unfinished_messages_by_themselves(void **state)
{
    (void)state;
    const struct oak_rpc_options told = {.unfinished_bytes_max = 5};
    assert_true(rpc__options(NULL, false).unfinished_bytes_max == SIZE_MAX);
    assert_int_equal(rpc__options(NULL, true).unfinished_bytes_max, 64 << 20);
    assert_int_equal(rpc__options(&told, false).unfinished_bytes_max, 5);
    assert_int_equal(rpc__options(&told, true).unfinished_bytes_max, 5);
}

static void codes_follow_from_http_and_from_resets(void **state)
{
    (void)state;
    assert_int_equal(rpc__code_of_http(400), OAK_RPC_INTERNAL);
    assert_int_equal(rpc__code_of_http(401), OAK_RPC_UNAUTHENTICATED);
    assert_int_equal(rpc__code_of_http(403), OAK_RPC_PERMISSION_DENIED);
    assert_int_equal(rpc__code_of_http(404), OAK_RPC_UNIMPLEMENTED);
    assert_int_equal(rpc__code_of_http(429), OAK_RPC_UNAVAILABLE);
    assert_int_equal(rpc__code_of_http(502), OAK_RPC_UNAVAILABLE);
    assert_int_equal(rpc__code_of_http(503), OAK_RPC_UNAVAILABLE);
    assert_int_equal(rpc__code_of_http(504), OAK_RPC_UNAVAILABLE);
    assert_int_equal(rpc__code_of_http(500), OAK_RPC_UNKNOWN);
    assert_int_equal(rpc__code_of_reset(NGHTTP2_REFUSED_STREAM), OAK_RPC_UNAVAILABLE);
    assert_int_equal(rpc__code_of_reset(NGHTTP2_CANCEL), OAK_RPC_CANCELLED);
    assert_int_equal(rpc__code_of_reset(NGHTTP2_ENHANCE_YOUR_CALM), OAK_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(rpc__code_of_reset(NGHTTP2_INADEQUATE_SECURITY), OAK_RPC_PERMISSION_DENIED);
    assert_int_equal(rpc__code_of_reset(NGHTTP2_NO_ERROR), OAK_RPC_INTERNAL);
    assert_string_equal(oak_rpc_code_name(OAK_RPC_UNAVAILABLE), "Unavailable");
    assert_string_equal(oak_rpc_code_name(OAK_RPC_OK), "OK");
    assert_string_equal(oak_rpc_code_name((enum oak_rpc_code)99), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts_are_read_in_every_unit),
        cmocka_unit_test(a_written_timeout_is_never_shorter_and_hardly_longer),
        cmocka_unit_test(percent_coding_gives_back_every_byte),
        cmocka_unit_test(what_is_no_escape_stays_as_it_is),
        cmocka_unit_test(base64_follows_the_published_vectors),
        cmocka_unit_test(pairs_are_found_by_name_the_first_one_first),
        cmocka_unit_test(joined_binary_values_are_cut_at_their_commas),
        cmocka_unit_test(the_heap_gives_the_earliest_deadline_whatever_is_removed),
        cmocka_unit_test(only_servers_bound_unfinished_messages_by_themselves),
        cmocka_unit_test(codes_follow_from_http_and_from_resets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
