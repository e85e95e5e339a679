/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation of health and reflection fails once, with calls on both: every
 * call is told its end, and all memory is given back. */
#include "rpc/test_memory.h"

#include "stub/test_echo.h"

#include <grpc/health/v1/health.oak.h>
#include <grpc/reflection/v1/reflection.oak.h>

#include "oakum/services.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
#define REQUEST(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name

struct tally {
    int started;
    int ended;
    int messages;
};

static void serve(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    (void)request;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct demo__v1__echo_handlers echo = {.say = serve};

/* -- the client -------------------------------------------------------------------------------- */

static void ended(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    (void)status;
    ((struct tally *)user)->ended++;
}

static void checked(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                    const Grpc__Health__V1__HealthCheckResponse *response)
{
    ((struct tally *)user)->messages += response != NULL;
    ended(user, call, status);
}

static void listed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status,
                   const Grpc__Health__V1__HealthListResponse *response)
{
    ((struct tally *)user)->messages += response != NULL;
    ended(user, call, status);
}

static void watched(void *user, struct oak_stub_call *call,
                    const Grpc__Health__V1__HealthCheckResponse *response)
{
    (void)call;
    (void)response;
    ((struct tally *)user)->messages++;
}

static void reflected(void *user, struct oak_stub_call *call,
                      const Grpc__Reflection__V1__ServerReflectionResponse *response)
{
    (void)call;
    (void)response;
    ((struct tally *)user)->messages++;
}

static const struct grpc__health__v1__health__watch__callbacks watching = {.message = watched,
                                                                           .closed = ended};
static const struct grpc__reflection__v1__server_reflection__server_reflection_info__callbacks
    reflecting = {.message = reflected, .closed = ended};

static int call_on_conn(void *channel, const struct oak_rpc_request *request,
                        struct oak_rpc_call **out)
{
    return oak_rpc_conn_call(channel, request, 1, out);
}

static void ask_reflection(struct oak_stub_client client, struct tally *t)
{
    char file[] = "demo/echo.proto";
    char symbol[] = "demo.v1.Echo";
    reflection_request requests[3];
    for (size_t i = 0; i < OAK_COUNT_OF(requests); i++) {
        grpc__reflection__v1__server_reflection_request__init(&requests[i]);
    }
    requests[0].message_request_case = REQUEST(FILE_BY_FILENAME);
    requests[0].file_by_filename = file;
    requests[1].message_request_case = REQUEST(LIST_SERVICES);
    requests[1].list_services = symbol;
    requests[2].message_request_case = REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE);
    requests[2].all_extension_numbers_of_type = symbol;
    struct oak_stub_call *call;
    if (grpc__reflection__v1__server_reflection__server_reflection_info__call(
            client, NULL, &reflecting, t, &call) != 0) {
        return;
    }
    t->started++;
    for (size_t i = 0; i < OAK_COUNT_OF(requests); i++) {
        OAK_MAYBE(grpc__reflection__v1__server_reflection__server_reflection_info__send(
                      call, &requests[i]) != 0);
    }
    oak_stub_half_close(call);
}

static void ask(struct oak_stub_client client, struct tally *t)
{
    Grpc__Health__V1__HealthCheckRequest check = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthListRequest list = GRPC__HEALTH__V1__HEALTH_LIST_REQUEST__INIT;
    t->started +=
        grpc__health__v1__health__check__call(client, &check, NULL, checked, t, NULL) == 0;
    t->started += grpc__health__v1__health__list__call(client, &list, NULL, listed, t, NULL) == 0;
    t->started +=
        grpc__health__v1__health__watch__call(client, &check, NULL, &watching, t, NULL) == 0;
    ask_reflection(client, t);
}

static bool carry(struct oak_rpc_conn *from, struct oak_rpc_conn *to)
{
    struct oak_bytes b = oak_rpc_conn_take(from);
    if (b.size > 0) {
        OAK_MAYBE(oak_rpc_conn_feed(to, b, 1) != 0);
    }
    return b.size > 0;
}

static void talk(struct oak_rpc_server *server, struct oak_health *health, struct tally *t)
{
    struct oak_rpc_conn *c = NULL;
    struct oak_rpc_conn *s = NULL;
    if (oak_rpc_conn_new(NULL, NULL, "server", 1, &c) == 0 &&
        oak_rpc_conn_new(server, NULL, "client", 1, &s) == 0) {
        ask((struct oak_stub_client){.call = call_on_conn, .channel = c}, t);
        for (int i = 0; i < 100 && (carry(c, s) || carry(s, c)); i++) {
        }
        OAK_MAYBE(oak_health_set(health, "demo.v1.Echo", OAK_HEALTH_SERVING) != 0);
        oak_health_shut_down(health);
        for (int i = 0; i < 100 && (carry(c, s) || carry(s, c)); i++) {
        }
    }
    oak_rpc_conn_free(c);
    oak_rpc_conn_free(s);
    assert_int_equal(t->started, t->ended);
}

static void conversation(struct tally *t)
{
    struct oak_rpc_server *server;
    struct oak_health *health = NULL;
    struct oak_reflection *reflection = NULL;
    if (oak_rpc_server_new(NULL, NULL, &server) != 0) {
        return;
    }
    if (oak_health_add(server, &health) == 0 && oak_reflection_add(server, &reflection) == 0 &&
        demo__v1__echo_add(server, &echo, NULL) == 0) {
        talk(server, health, t);
    }
    oak_rpc_server_free(server);
    oak_health_free(health);
    oak_reflection_free(reflection);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct tally t = {0};
    conversation(&t);
    assert_int_equal(t.started, 4);
    assert_int_equal(t.messages, 1 + 1 + 2 + 3);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        t = (struct tally){0};
        conversation(&t);
        if (!memory_end()) {
            break;
        }
        fail_at++;
    }
    assert_true(fail_at > 100 || !MEMORY_COUNTS);
    print_message("%ld allocations failed, one at a time\n", fail_at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
