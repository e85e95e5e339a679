/* SPDX-License-Identifier: Apache-2.0 */
/* target_test.c: texts of targets, and what they mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "channel/internal.h"

struct example {
    const char *text;
    const char *addresses; /* joined by spaces */
    const char *authority;
    bool lookup;
};

static void check(const struct example *x)
{
    struct channel_target t;
    struct oak_errbuf e = {{0}};
    int error = channel__target_parse(x->text, 443, &t, &e);
    if (error != 0) {
        fail_msg("%s: %s", x->text, e.text);
    }
    char joined[512] = "";
    size_t at = 0;
    for (size_t i = 0; i < t.count; i++) {
        const char *address = (const char *)t.addresses.data + at;
        size_t used = strlen(joined);
        snprintf(joined + used, sizeof(joined) - used, "%s%s", i == 0 ? "" : " ", address);
        at += strlen(address) + 1;
    }
    assert_int_equal(at, t.addresses.size);
    assert_string_equal(joined, x->addresses);
    assert_string_equal(t.authority, x->authority);
    assert_int_equal(t.lookup, x->lookup);
    channel__target_fini(&t);
}

static void a_target_means_a_name_or_a_list(void **state)
{
    (void)state;
    static const struct example examples[] = {
        {"db.example:2379", "db.example:2379", "db.example:2379", true},
        {"localhost", "localhost:443", "localhost", true},
        {"dns:db.example:1", "db.example:1", "db.example:1", true},
        {"dns:///db.example", "db.example:443", "db.example", true},
        {"dns", "dns:443", "dns", true},
        {"10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80", false},
        {"1.2.3.4.5:80", "1.2.3.4.5:80", "1.2.3.4.5:80", true},
        {"1.2.3.256:80", "1.2.3.256:80", "1.2.3.256:80", true},
        {"[::1]:80", "[::1]:80", "[::1]:80", false},
        {"dns:///[fe80::1%eth0]", "[fe80::1%eth0]:443", "[fe80::1%eth0]", false},
        {"::1", "[::1]:443", "::1", false},
        {"ipv4:1.2.3.4:80,5.6.7.8", "1.2.3.4:80 5.6.7.8:443", "", false},
        {"ipv6:[::1]:80,[::2]:90,::3", "[::1]:80 [::2]:90 [::3]:443", "", false},
        {"static:a:1,b:2,10.0.0.1:3", "a:1 b:2 10.0.0.1:3", "", false},
        {"unix:run/socket", "unix:run/socket", "", false},
        {"unix:/run/socket", "unix:/run/socket", "", false},
        {"unix:///run/socket", "unix:/run/socket", "", false},
        {"unix-abstract:oakum", "unix:@oakum", "", false},
        {"srv:///_grpc._tcp.db.example", "srv:_grpc._tcp.db.example", "db.example", true},
        {"srv:_etcd-client._tcp.org", "srv:_etcd-client._tcp.org", "org", true},
        {"passthrough:///db.example:80", "db.example:80", "", false},
        {"passthrough:10.0.0.1:80", "10.0.0.1:80", "", false},
        {"passthrough:///a name, [of] no/form", "a name, [of] no/form", "", false},
        {"passthrough:///unix:/run/socket", "unix:/run/socket", "", false},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(examples); i++) {
        check(&examples[i]);
    }
}

static void what_makes_no_sense_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"", "no host"},
        {":80", "no host"},
        {"a:", "no port"},
        {"a:b", "no port"},
        {"a:123456", "no port"},
        {"a b:1", "no host"},
        {"user@a:1", "no host"},
        {"[a]:1", "no host"},
        {"[::1:80", "no host"},
        {"http://a:1", "no such scheme"},
        {"dns://8.8.8.8/a:1", "not supported"},
        {"dns:///", "no host"},
        {"ipv4:a:1", "no IPv4 address"},
        {"ipv4:1.2.3.4:80,", "no host"},
        {"ipv4:[::1]:80", "no IPv4 address"},
        {"ipv6:1.2.3.4:80", "no IPv6 address"},
        {"static:a:1,,b:1", "no host"},
        {"unix:", "path"},
        {"unix://host/path", "unix:///path"},
        {"unix:@abstract", "path"},
        {"srv:///db.example", "_service._proto.name"},
        {"srv:///_grpc._tcp", "_service._proto.name"},
        {"srv:///_grpc._tcp.", "_service._proto.name"},
        {"srv:///_grpc.tcp.db", "_service._proto.name"},
        {"srv:///_grpc._tcp.db:80", "_service._proto.name"},
        {"srv://host/_grpc._tcp.db", "srv:///name"},
        {"passthrough:///", "an address"},
        {"passthrough:", "an address"},
        {"passthrough://host/a:1", "passthrough:///name"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct channel_target t;
        struct oak_errbuf e = {{0}};
        assert_int_equal(channel__target_parse(bad[i][0], 443, &t, &e), OAK_EINVAL);
        if (strstr(e.text, bad[i][1]) == NULL || strstr(e.text, bad[i][0]) == NULL) {
            fail_msg("\"%s\": %s", bad[i][0], e.text);
        }
        assert_null(t.addresses.data);
        assert_int_equal(channel__target_parse(bad[i][0], 443, &t, NULL), OAK_EINVAL);
    }
}

/* Of so many bytes in all, behind a scheme. */
static int parse_long(const char *scheme, const char *port, size_t size, struct oak_errbuf *e)
{
    char text[512];
    size_t head = strlen(scheme);
    size_t tail = strlen(port);
    memset(text, 'a', sizeof(text));
    memcpy(text, scheme, head);
    memcpy(text + head + size - tail, port, tail + 1);
    struct channel_target t;
    int error = channel__target_parse(text, 443, &t, e);
    if (error == 0) {
        assert_int_equal(strlen((const char *)t.addresses.data),
                         size + (tail == 0 ? strlen(":443") : 0));
        channel__target_fini(&t);
    }
    return error;
}

static void an_address_has_a_length_that_can_be_connected_to(void **state)
{
    (void)state;
    static const char *const schemes[] = {"", "dns:", "dns:///", "static:", "static:b:1,"};
    for (size_t i = 0; i < OAK_COUNT_OF(schemes); i++) {
        struct oak_errbuf e = {{0}};
        if (strchr(schemes[i], ',') == NULL) {
            assert_int_equal(parse_long(schemes[i], ":80", CHANNEL_ADDRESS_BYTES_MAX, &e), 0);
            assert_int_equal(parse_long(schemes[i], "", CHANNEL_ADDRESS_BYTES_MAX - 4, &e), 0);
        }
        assert_int_equal(parse_long(schemes[i], ":80", CHANNEL_ADDRESS_BYTES_MAX + 1, &e),
                         OAK_EINVAL);
        assert_non_null(strstr(e.text, "longer than 255 bytes"));
        assert_int_equal(parse_long(schemes[i], "", CHANNEL_ADDRESS_BYTES_MAX - 3, &e), OAK_EINVAL);
        assert_non_null(strstr(e.text, "longer than 255 bytes"));
    }
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct channel_target t;
    char text[8192] = "";
    memset(text, 'a', 300);
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), OAK_EINVAL);
    memcpy(text, "unix:", 5);
    text[5 + CHANNEL_UNIX_BYTES_MAX + 1] = '\0';
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), OAK_EINVAL);
    text[5 + CHANNEL_UNIX_BYTES_MAX] = '\0';
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), 0);
    channel__target_fini(&t);
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "passthrough:", 12);
    text[12 + CHANNEL_ADDRESS_BYTES_MAX + 1] = '\0';
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), OAK_EINVAL);
    text[12 + CHANNEL_ADDRESS_BYTES_MAX] = '\0';
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), 0);
    channel__target_fini(&t);
    size_t used = (size_t)snprintf(text, sizeof(text), "static:a:1");
    for (unsigned i = 1; i < CHANNEL_ADDRESSES_MAX; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, ",a:1");
    }
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), 0);
    assert_int_equal(t.count, CHANNEL_ADDRESSES_MAX);
    channel__target_fini(&t);
    snprintf(text + used, sizeof(text) - used, ",a:1");
    assert_int_equal(channel__target_parse(text, 443, &t, NULL), OAK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_means_a_name_or_a_list),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_the_reason),
        cmocka_unit_test(an_address_has_a_length_that_can_be_connected_to),
        cmocka_unit_test(what_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
