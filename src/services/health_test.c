/* SPDX-License-Identifier: Apache-2.0 */
/* health_test.c: grpc.health.v1.Health, by its own typed client. */
#include <stdio.h>

#include "stub/test_echo.h"

#include <grpc/health/v1/health.oak.h>

#include "oakum/services.h"

typedef Grpc__Health__V1__HealthCheckRequest check_request;
typedef Grpc__Health__V1__HealthCheckResponse check_response;
typedef Grpc__Health__V1__HealthListRequest list_request;
typedef Grpc__Health__V1__HealthListResponse list_response;

#define SERVICE_UNKNOWN 3

struct fixture {
    struct world w;
    struct oak_health *health;
};

static const struct demo__v1__echo_handlers nothing = {.newer_say = NULL};

static int set_up(void **state)
{
    static struct fixture f;
    world_open(&f.w, &nothing, NULL);
    assert_int_equal(oak_health_add(f.w.server, &f.health), 0);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    world_close(&f->w);
    oak_health_free(f->health);
    return 0;
}

/* -- the client -------------------------------------------------------------------------------- */

struct heard {
    int count;
    int last;
    int done;
    enum oak_rpc_code code;
    bool pause;
    uint64_t term; /* that came with the last; 0: none did */
};

static void check_done(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                       const check_response *response)
{
    (void)call;
    struct heard *h = user;
    h->done++;
    h->code = status->code;
    h->last = response != NULL ? (int)response->status : -1;
}

static int check(struct fixture *f, const char *name, enum oak_rpc_code *code)
{
    struct heard h = {0};
    check_request request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)(uintptr_t)name;
    assert_int_equal(
        grpc__health__v1__health__check__call(f->w.client, &request, NULL, check_done, &h, NULL),
        0);
    fake_run(&f->w.loop);
    assert_int_equal(h.done, 1);
    *code = h.code;
    return h.last;
}

static void watch_message(void *user, struct oak_stub_call *call, const check_response *response)
{
    struct heard *h = user;
    h->count++;
    h->last = (int)response->status;
    h->term = 0;
    for (size_t i = 0; i < response->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &response->base.unknown_fields[i];
        assert_int_equal(field->tag, 1001);
        assert_int_equal(field->wire_type, PROTOBUF_C_WIRE_TYPE_VARINT);
        for (size_t at = field->len; at > 0; at--) {
            h->term = h->term << 7 | (field->data[at - 1] & 0x7f);
        }
    }
    if (h->pause) {
        oak_stub_pause(call, true);
    }
}

static void watch_closed(void *user, struct oak_stub_call *call,
                         const struct oak_rpc_status *status)
{
    (void)call;
    struct heard *h = user;
    h->done++;
    h->code = status->code;
}

static const struct grpc__health__v1__health__watch__callbacks watching = {.message = watch_message,
                                                                           .closed = watch_closed};

static struct oak_stub_call *watch(struct fixture *f, const char *name, struct heard *h)
{
    check_request request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    request.service = (char *)(uintptr_t)name;
    struct oak_stub_call *call;
    assert_int_equal(
        grpc__health__v1__health__watch__call(f->w.client, &request, NULL, &watching, h, &call), 0);
    fake_run(&f->w.loop);
    return call;
}

/* -- tests ------------------------------------------------------------------------------------- */

static void a_server_serves_from_the_start(void **state)
{
    struct fixture *f = *state;
    enum oak_rpc_code code;
    assert_int_equal(check(f, "", &code), OAK_HEALTH_SERVING);
    assert_int_equal(code, OAK_RPC_OK);
    assert_int_equal(check(f, "demo.v1.Echo", &code), -1);
    assert_int_equal(code, OAK_RPC_NOT_FOUND);
}

static void what_is_set_is_answered(void **state)
{
    struct fixture *f = *state;
    enum oak_rpc_code code;
    assert_int_equal(oak_health_set(f->health, "demo.v1.Echo", OAK_HEALTH_NOT_SERVING), 0);
    assert_int_equal(check(f, "demo.v1.Echo", &code), OAK_HEALTH_NOT_SERVING);
    assert_int_equal(oak_health_set(f->health, "demo.v1.Echo", OAK_HEALTH_SERVING), 0);
    assert_int_equal(check(f, "demo.v1.Echo", &code), OAK_HEALTH_SERVING);
    assert_int_equal(oak_health_set(f->health, "", OAK_HEALTH_NOT_SERVING), 0);
    assert_int_equal(check(f, "", &code), OAK_HEALTH_NOT_SERVING);
    assert_int_equal(check(f, "demo.v1.Echo", &code), OAK_HEALTH_SERVING);
}

static void who_watches_hears_each_change_once(void **state)
{
    struct fixture *f = *state;
    struct heard whole = {0};
    struct heard echo = {0};
    struct oak_stub_call *a = watch(f, "", &whole);
    struct oak_stub_call *b = watch(f, "demo.v1.Echo", &echo);
    assert_int_equal(whole.last, OAK_HEALTH_SERVING);
    assert_int_equal(echo.last, SERVICE_UNKNOWN);
    assert_int_equal(oak_health_set(f->health, "", OAK_HEALTH_SERVING), 0);
    assert_int_equal(oak_health_set(f->health, "other", OAK_HEALTH_SERVING), 0);
    fake_run(&f->w.loop);
    assert_int_equal(whole.count, 1);
    assert_int_equal(echo.count, 1);
    assert_int_equal(oak_health_set(f->health, "demo.v1.Echo", OAK_HEALTH_SERVING), 0);
    fake_run(&f->w.loop);
    assert_int_equal(echo.count, 2);
    assert_int_equal(echo.last, OAK_HEALTH_SERVING);
    oak_stub_cancel(b);
    fake_run(&f->w.loop);
    assert_int_equal(echo.done, 1);
    assert_int_equal(oak_health_set(f->health, "demo.v1.Echo", OAK_HEALTH_NOT_SERVING), 0);
    assert_int_equal(oak_health_set(f->health, "", OAK_HEALTH_NOT_SERVING), 0);
    fake_run(&f->w.loop);
    assert_int_equal(echo.count, 2);
    assert_int_equal(whole.count, 2);
    assert_int_equal(whole.last, OAK_HEALTH_NOT_SERVING);
    oak_stub_cancel(a);
    fake_run(&f->w.loop);
    assert_int_equal(whole.done, 1);
}

static void once_shut_down_nothing_serves_again(void **state)
{
    struct fixture *f = *state;
    enum oak_rpc_code code;
    struct heard h = {0};
    struct oak_stub_call *call = watch(f, "", &h);
    oak_health_shut_down(f->health);
    fake_run(&f->w.loop);
    assert_int_equal(h.last, OAK_HEALTH_NOT_SERVING);
    assert_int_equal(oak_health_set(f->health, "", OAK_HEALTH_SERVING), 0);
    assert_int_equal(oak_health_set(f->health, "new", OAK_HEALTH_SERVING), 0);
    fake_run(&f->w.loop);
    assert_int_equal(h.count, 2);
    assert_int_equal(check(f, "new", &code), OAK_HEALTH_NOT_SERVING);
    oak_stub_cancel(call);
    fake_run(&f->w.loop);
}

static void a_watcher_that_does_not_read_is_cut_off(void **state)
{
    struct fixture *f = *state;
    struct heard h = {.pause = true};
    watch(f, "", &h);
    for (int i = 0; i < 2000000 && h.done == 0; i++) {
        enum oak_health_status s = i % 2 == 0 ? OAK_HEALTH_NOT_SERVING : OAK_HEALTH_SERVING;
        assert_int_equal(oak_health_set(f->health, "", s), 0);
        if (i % 10000 == 0) {
            fake_run(&f->w.loop);
        }
    }
    assert_int_equal(h.done, 1);
    assert_int_equal(h.code, OAK_RPC_CANCELLED);
}

/* -- List -------------------------------------------------------------------------------------- */

struct listed {
    int done;
    enum oak_rpc_code code;
    size_t count;
    int whole; /* of "" */
};

static void list_done(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                      const list_response *response)
{
    (void)call;
    struct listed *l = user;
    l->done++;
    l->code = status->code;
    l->count = response != NULL ? response->n_statuses : 0;
    for (size_t i = 0; i < l->count; i++) {
        if (response->statuses[i]->key[0] == '\0') {
            l->whole = (int)response->statuses[i]->value->status;
        }
    }
}

static void list(struct fixture *f, struct listed *l)
{
    list_request request = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    *l = (struct listed){0};
    assert_int_equal(
        grpc__health__v1__health__list__call(f->w.client, &request, NULL, list_done, l, NULL), 0);
    fake_run(&f->w.loop);
    assert_int_equal(l->done, 1);
}

static void all_can_be_listed_up_to_a_hundred(void **state)
{
    struct fixture *f = *state;
    struct listed l;
    list(f, &l);
    assert_int_equal(l.count, 1);
    assert_int_equal(l.whole, OAK_HEALTH_SERVING);
    for (int i = 1; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%d", i);
        assert_int_equal(oak_health_set(f->health, name, OAK_HEALTH_NOT_SERVING), 0);
    }
    list(f, &l);
    assert_int_equal(l.code, OAK_RPC_OK);
    assert_int_equal(l.count, 100);
    assert_int_equal(oak_health_set(f->health, "one more", OAK_HEALTH_SERVING), 0);
    list(f, &l);
    assert_int_equal(l.code, OAK_RPC_RESOURCE_EXHAUSTED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
static void who_leads_is_told_with_its_term(void **state)
{
    struct fixture *f = *state;
    static struct heard h; /* watches until the end */
    enum oak_rpc_code code;
    watch(f, OAK_HEALTH_LEADER, &h);
    assert_int_equal(h.last, SERVICE_UNKNOWN);
    assert_int_equal(h.term, 0);
    assert_int_equal(oak_health_set_leader(f->health, OAK_HEALTH_LEADER, false, 5), 0);
    fake_run(&f->w.loop);
    assert_int_equal(h.last, OAK_HEALTH_NOT_SERVING);
    assert_int_equal(h.term, 5);
    assert_int_equal(oak_health_set_leader(f->health, OAK_HEALTH_LEADER, true, 300), 0);
    assert_int_equal(oak_health_set_leader(f->health, OAK_HEALTH_LEADER, true, 300), 0);
    fake_run(&f->w.loop);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.last, OAK_HEALTH_SERVING);
    assert_int_equal(h.term, 300);
    assert_int_equal(check(f, OAK_HEALTH_LEADER, &code), OAK_HEALTH_SERVING);
    assert_int_equal(oak_health_set_leader(f->health, OAK_HEALTH_LEADER, true, UINT64_MAX), 0);
    fake_run(&f->w.loop);
    assert_int_equal(h.count, 4); /* a new term is news */
    assert_true(h.term == UINT64_MAX);
    oak_health_shut_down(f->health);
    fake_run(&f->w.loop);
    assert_int_equal(h.last, OAK_HEALTH_NOT_SERVING);
    assert_int_equal(oak_health_set_leader(f->health, OAK_HEALTH_LEADER, true, 7), 0);
    fake_run(&f->w.loop);
    assert_int_equal(h.last, OAK_HEALTH_NOT_SERVING); /* and stays so */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_server_serves_from_the_start),          TEST(what_is_set_is_answered),
        TEST(who_watches_hears_each_change_once),      TEST(once_shut_down_nothing_serves_again),
        TEST(a_watcher_that_does_not_read_is_cut_off), TEST(all_can_be_listed_up_to_a_hundred),
        TEST(who_leads_is_told_with_its_term),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
