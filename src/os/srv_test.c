/* SPDX-License-Identifier: Apache-2.0 */
/* srv_test.c: SRV records: answers by bytes, their order, and a look-up of a server of our own. */
#include "os/ends_fixture.h"
#include "os/srv_fixture.h"

#define SERVICE "_grpc._tcp.example.org"

/* -- answers ----------------------------------------------------------------------------------- */

static void records_are_read_and_other_types_passed_over(void **state)
{
    (void)state;
    struct answer a;
    struct os_srv out[8];
    size_t count = 99;
    begin(&a, SERVICE, 4);
    record(&a, 10, 5, 2379, "one.example.org");
    record(&a, 0, 0, 1, "two.example.org");
    record(&a, 20, 0, 443, ""); /* not offered */
    record(&a, 1, 2, 3, "no.srv");
    a.bytes[a.size - 14 - 10 + 1] = ns_t_txt; /* of the last one */
    assert_int_equal(os__srv_parse(oak_bytes(a.bytes, a.size), out, 8, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(out[0].priority, 10);
    assert_int_equal(out[0].weight, 5);
    assert_int_equal(out[0].port, 2379);
    assert_string_equal(out[0].host, "one.example.org");
    assert_string_equal(out[1].host, "two.example.org");
    assert_int_equal(os__srv_parse(oak_bytes(a.bytes, a.size), out, 1, &count), 0);
    assert_int_equal(count, 1);
}

/* Every cut and every flipped bit: read, or refused, within bounds (the sanitizers look on). */
static void damaged_answers_are_refused_or_read_within_bounds(void **state)
{
    (void)state;
    struct answer a;
    struct os_srv out[8];
    size_t count;
    begin(&a, SERVICE, 2);
    record(&a, 10, 5, 2379, "one.example.org");
    record(&a, 10, 5, 2380, "two.example.org");
    for (size_t size = 0; size < a.size; size++) {
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, a.bytes, size);
        assert_int_equal(os__srv_parse(oak_bytes(exact, size), out, 8, &count), OAK_EFORMAT);
        free(exact);
    }
    for (size_t bit = 0; bit < a.size * 8; bit++) {
        uint8_t *exact = malloc(a.size);
        memcpy(exact, a.bytes, a.size);
        exact[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int error = os__srv_parse(oak_bytes(exact, a.size), out, 8, &count);
        assert_true(error == 0 || error == OAK_EFORMAT);
        assert_true(count <= 8);
        free(exact);
    }
}

/* -- their order ------------------------------------------------------------------------------- */

static void the_lowest_priority_is_first_and_weights_are_shares(void **state)
{
    (void)state;
    struct oak_prng prng;
    unsigned first[3] = {0};
    oak_prng_init(&prng, 5);
    for (int i = 0; i < 4000; i++) {
        struct os_srv r[] = {
            {.priority = 9, .weight = 60000, .host = "late"},
            {.priority = 1, .weight = 1, .host = "0"},
            {.priority = 1, .weight = 0, .host = "2"},
            {.priority = 1, .weight = 3, .host = "1"},
        };
        os__srv_order(r, OAK_COUNT_OF(r), &prng);
        assert_string_equal(r[3].host, "late");
        first[r[0].host[0] - '0']++;
    }
    /* Of 0 to 4, one falls to the one without a weight. */
    assert_in_range(first[2], 700, 900);
    assert_in_range(first[0], 700, 900);
    assert_in_range(first[1], 2200, 2600);
}

/* -- a look-up --------------------------------------------------------------------------------- */

struct told {
    struct oak_os_loop *loop;
    int calls;
    int error;
    char text[256];
};

static void told_it(void *arg, int error, const char *const *addresses, size_t count)
{
    struct told *t = arg;
    t->calls++;
    t->error = error;
    for (size_t i = 0; i < count; i++) {
        strncat(t->text, addresses[i], sizeof(t->text) - strlen(t->text) - 1);
        strncat(t->text, " ", sizeof(t->text) - strlen(t->text) - 1);
    }
    oak_os_loop_stop(t->loop);
}

static struct told look_up(const struct answer *answer)
{
    struct server s = {.answer = *answer};
    struct told t = {0};
    struct sockaddr_in name = server_start(&s);
    assert_int_equal(oak_os_loop_new(&t.loop), 0);
    os__resolve_server(t.loop, &name);
    const struct oak_net *net = &oak_os_loop_port(t.loop)->net;
    assert_int_equal(net->resolve(net->user, "srv:" SERVICE, 30 * SECOND, told_it, &t), 0);
    oak_os_loop_run(t.loop);
    assert_int_equal(t.calls, 1);
    oak_os_loop_free(t.loop);
    server_stop(&s);
    return t;
}

static void a_service_has_the_addresses_of_its_servers(void **state)
{
    (void)state;
    struct answer a;
    begin(&a, SERVICE, 3);
    record(&a, 2, 0, 2380, "127.0.0.2");
    record(&a, 1, 0, 2379, "127.0.0.1");
    record(&a, 3, 0, 2379, "127.0.0.1"); /* again */
    struct told t = look_up(&a);
    assert_int_equal(t.error, 0);
    assert_string_equal(t.text, "127.0.0.1:2379 127.0.0.2:2380 ");
}

static void a_service_that_is_not_offered_has_none(void **state)
{
    (void)state;
    struct answer a;
    begin(&a, SERVICE, 1);
    record(&a, 0, 0, 0, "");
    assert_int_equal(look_up(&a).error, OAK_EUNRESOLVED);
    begin(&a, SERVICE, 0);
    assert_int_equal(look_up(&a).error, OAK_EUNRESOLVED);
}

static void names_that_are_none_are_refused_at_the_call(void **state)
{
    (void)state;
    struct told t = {0};
    char large[300] = "srv:_";
    memset(large + 5, 'x', sizeof(large) - 6);
    assert_int_equal(oak_os_loop_new(&t.loop), 0);
    const struct oak_net *net = &oak_os_loop_port(t.loop)->net;
    const char *const bad[] = {"srv:", "srv:example.org", large};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(net->resolve(net->user, bad[i], SECOND, told_it, &t), OAK_EINVAL);
    }
    assert_int_equal(t.calls, 0);
    oak_os_loop_free(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read_and_other_types_passed_over),
        cmocka_unit_test(damaged_answers_are_refused_or_read_within_bounds),
        cmocka_unit_test(the_lowest_priority_is_first_and_weights_are_shares),
        cmocka_unit_test(a_service_has_the_addresses_of_its_servers),
        cmocka_unit_test(a_service_that_is_not_offered_has_none),
        cmocka_unit_test(names_that_are_none_are_refused_at_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
