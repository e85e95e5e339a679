/* SPDX-License-Identifier: Apache-2.0 */
/* where_test.c: which servers are meant: given ones, or those of a domain's SRV records. */
#include "os/srv_fixture.h"

#include "ctl/internal.h"

static struct ctl c;

static int set_up(void **state)
{
    (void)state;
    c = (struct ctl){.options = {.command_ns = 30 * SECOND,
                                 .insecure_transport = true,
                                 .insecure_discovery = true}};
    ctl__init(&c);
    assert_int_equal(oak_os_loop_new(&c.os), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ctl__fini(&c);
    return 0;
}

/* What is read while a server of DNS gives this answer: to one question, of that name. */
static bool look_up(const struct answer *answer, struct ctl__endpoints *out, int *code)
{
    struct server s = {.answer = *answer};
    struct sockaddr_in name = server_start(&s);
    os__resolve_server(c.os, &name);
    bool good = ctl__endpoints_read(&c, out, code);
    server_stop(&s);
    return good;
}

static void servers_of_a_domain_are_each_an_endpoint(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool tls;
        const char *service;
    } cases[] = {
        {NULL, false, "_etcd-client._tcp.example.org"},
        {"blue", false, "_etcd-client-blue._tcp.example.org"},
        {NULL, true, "_etcd-client-ssl._tcp.example.org"},
        {"blue", true, "_etcd-client-ssl-blue._tcp.example.org"},
    };
    static char given[] = "127.0.0.9:1";
    c.options.discovery_srv = "example.org";
    c.options.endpoints = (struct oak_args_list){.items = {given}, .count = 1};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct answer a;
        struct ctl__endpoints at;
        int code = -1;
        c.options.discovery_srv_name = cases[i].name;
        c.options.insecure_transport = !cases[i].tls;
        begin(&a, cases[i].service, 2);
        record(&a, 2, 0, 2381, "127.0.0.2");
        record(&a, 1, 0, 2379, "127.0.0.1");
        assert_true(look_up(&a, &at, &code));
        assert_int_equal(at.count, 2);
        assert_string_equal(at.items[0], "127.0.0.1:2379");
        assert_string_equal(at.items[1], "127.0.0.2:2381");
        assert_string_equal(at.server_name, "example.org");
    }
}

static void a_domain_that_names_no_servers_is_told_and_none_is_asked(void **state)
{
    (void)state;
    struct answer a;
    struct ctl__endpoints at;
    int code = -1;
    c.options.discovery_srv = "example.org";
    begin(&a, "_etcd-client._tcp.example.org", 0);
    assert_false(look_up(&a, &at, &code));
    assert_int_equal(code, CTL__FAILED);
}

static void more_servers_than_there_is_room_for_are_refused(void **state)
{
    (void)state;
    struct ctl__endpoints at;
    int code = -1;
    c.options.discovery_srv = "example.org";
    for (unsigned count = CTL__ENDPOINTS_MAX; count <= CTL__ENDPOINTS_MAX + 1; count++) {
        struct answer a;
        begin(&a, "_etcd-client._tcp.example.org", count);
        for (unsigned i = 0; i < count; i++) {
            record(&a, i, 0, 2379 + i, "127.0.0.1");
        }
        assert_int_equal(look_up(&a, &at, &code), count == CTL__ENDPOINTS_MAX);
    }
    assert_int_equal(code, CTL__FAILED);
}

static void without_a_domain_they_are_those_that_were_given(void **state)
{
    (void)state;
    static char given[] = "127.0.0.9:1,unix:x";
    struct ctl__endpoints at;
    int code = -1;
    c.options.endpoints = (struct oak_args_list){.items = {given}, .count = 1};
    assert_true(ctl__endpoints_read(&c, &at, &code));
    assert_int_equal(at.count, 2);
    assert_string_equal(at.items[1], "unix:x");
    assert_null(at.server_name);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(servers_of_a_domain_are_each_an_endpoint),
        T(a_domain_that_names_no_servers_is_told_and_none_is_asked),
        T(more_servers_than_there_is_room_for_are_refused),
        T(without_a_domain_they_are_those_that_were_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
