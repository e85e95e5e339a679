/* SPDX-License-Identifier: Apache-2.0 */
/* load_test.c: requests that are encoded once and patched; endpoints; metrics; HTTP answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "cli/load.h"

static void a_patched_put_decodes_to_the_key_written_into_it(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 8, 127, 128, 300};
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        struct cli__load_options o = {
            .op = CLI__LOAD_PUT, .key_bytes = sizes[i], .value_bytes = 256, .span = 1};
        struct oak_buf request = {0};
        size_t key_at;
        size_t end_at;
        assert_int_equal(cli__request_encode(&o, &request, &key_at, &end_at), 0);
        assert_int_equal(end_at, 0);
        cli__key_write(request.data + key_at, sizes[i], 7);
        Etcdserverpb__PutRequest *put =
            etcdserverpb__put_request__unpack(NULL, request.size, request.data);
        assert_non_null(put);
        assert_int_equal(put->key.len, sizes[i]);
        assert_int_equal(put->key.data[sizes[i] - 1], '7');
        assert_int_equal(put->key.data[0], sizes[i] == 1 ? '7' : '0');
        assert_int_equal(put->value.len, 256);
        etcdserverpb__put_request__free_unpacked(put, NULL);
        oak_buf_fini(&request);
    }
}

static void a_patched_range_decodes_to_both_its_ends(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {8, 200};
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        struct cli__load_options o = {
            .op = CLI__LOAD_RANGE, .key_bytes = sizes[i], .span = 1000, .serializable = true};
        struct oak_buf request = {0};
        size_t key_at;
        size_t end_at;
        assert_int_equal(cli__request_encode(&o, &request, &key_at, &end_at), 0);
        cli__key_write(request.data + key_at, sizes[i], 12345);
        cli__key_write(request.data + end_at, sizes[i], 13345);
        Etcdserverpb__RangeRequest *range =
            etcdserverpb__range_request__unpack(NULL, request.size, request.data);
        assert_non_null(range);
        assert_memory_equal(range->key.data + sizes[i] - 5, "12345", 5);
        assert_int_equal(range->range_end.len, sizes[i]);
        assert_memory_equal(range->range_end.data + sizes[i] - 5, "13345", 5);
        assert_true(range->serializable);
        etcdserverpb__range_request__free_unpacked(range, NULL);
        oak_buf_fini(&request);
    }
}

static void endpoints_are_read_with_and_without_scheme(void **state)
{
    (void)state;
    struct cli__endpoints e;
    struct oak_errbuf text;
    assert_int_equal(cli__endpoints_read("http://a:1,b.c:65535,http://[::1]:3/", &e, &text), 0);
    assert_int_equal(e.count, 3);
    assert_string_equal(e.items[0], "a:1");
    assert_string_equal(e.items[1], "b.c:65535");
    assert_string_equal(e.items[2], "[::1]:3");
    static const char *const bad[] = {"a",    ":1",      "a:",    "a:x",      "a:65536",
                                      "a:1,", "http://", "a b:1", "ftp://a:1"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(cli__endpoints_read(bad[i], &e, &text), OAK_EINVAL);
    }
    assert_int_equal(cli__endpoints_read("https://a:1", &e, &text), OAK_EUNIMPLEMENTED);
}

static void without_endpoints_the_variable_of_etcdctl_counts(void **state)
{
    (void)state;
    struct cli__endpoints e;
    struct oak_errbuf text;
    unsetenv("ETCDCTL_ENDPOINTS");
    assert_int_equal(cli__endpoints_read(NULL, &e, &text), 0);
    assert_string_equal(e.items[0], "127.0.0.1:2379");
    setenv("ETCDCTL_ENDPOINTS", "x:9,y:8", 1);
    assert_int_equal(cli__endpoints_read(NULL, &e, &text), 0);
    assert_int_equal(e.count, 2);
    unsetenv("ETCDCTL_ENDPOINTS");
}

static void a_metric_is_found_by_its_whole_name(void **state)
{
    (void)state;
    struct oak_bytes text =
        oak_bytes_str("# HELP cpu_total x\ncpu_total_more 1\ncpu_total{a=\"b\"} 2\n"
                      "cpu_total 3.25\nlast 1e3");
    double value;
    assert_true(cli__metric_find(text, "cpu_total", &value));
    assert_true(value > 3.24 && value < 3.26);
    assert_true(cli__metric_find(text, "last", &value));
    assert_true(value > 999 && value < 1001);
    assert_false(cli__metric_find(text, "cpu", &value));
    assert_false(cli__metric_find(oak_bytes(NULL, 0), "cpu", &value));
    assert_false(cli__metric_find(oak_bytes_str("cpu \n"), "cpu", &value));
}

static void an_http_answer_is_cut_into_status_and_body(void **state)
{
    (void)state;
    int status;
    struct oak_bytes body;
    assert_int_equal(
        cli__http_read(oak_bytes_str("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello"), &status, &body), 0);
    assert_int_equal(status, 200);
    assert_true(oak_bytes_eq(body, oak_bytes_str("hello")));
    static const char *const bad[] = {"",         "HTTP/1.0 200 OK\r\n", "HTTP/1.0 2x0 OK\r\n\r\n",
                                      "\0\0\0\0", "HTTP/1.\r\n\r\n",     "SMTP/1.0 200 OK\r\n\r\n"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(cli__http_read(oak_bytes_str(bad[i]), &status, &body), OAK_EFORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_patched_put_decodes_to_the_key_written_into_it),
        cmocka_unit_test(a_patched_range_decodes_to_both_its_ends),
        cmocka_unit_test(endpoints_are_read_with_and_without_scheme),
        cmocka_unit_test(without_endpoints_the_variable_of_etcdctl_counts),
        cmocka_unit_test(a_metric_is_found_by_its_whole_name),
        cmocka_unit_test(an_http_answer_is_cut_into_status_and_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
