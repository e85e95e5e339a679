/* SPDX-License-Identifier: Apache-2.0 */
/* jsonrpc_test.c: a door of JSON-RPC as a program has it: by the public headers, over a socket. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include <demo/echo.oak.h>

#include "oakum/runtime.h"

struct json_client {
    struct oak_runtime *rt;
    int port;
    char got[128];
};

static void drain(void *user)
{
    oak_runtime_drain(user, 60 * OAK_RUNTIME_SECOND_NS);
}

static void say(void *user, struct oak_stub_call *call, const Demo__Types__V1__Text *request)
{
    (void)user;
    assert_int_equal(demo__v1__echo__say__reply(call, request), 0);
}

/* A client as simple as can be, on a thread of its own: it asks, reads a line, has the server
 * drain, and reads until the end. */
static void *json_client(void *user)
{
    static const char ask[] = "{\"method\":\"Echo.Say\",\"params\":[{\"text\":\"hi\"}],\"id\":1}";
    struct json_client *c = user;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)c->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
        write(fd, ask, sizeof(ask) - 1) == (ssize_t)sizeof(ask) - 1) {
        size_t size = 0;
        ssize_t n;
        bool told = false;
        while ((n = read(fd, c->got + size, sizeof(c->got) - 1 - size)) > 0) {
            size += (size_t)n;
            if (!told && memchr(c->got, '\n', size) != NULL) {
                told = oak_runtime_post(c->rt, drain, c->rt) == 0;
            }
        }
    } else if (oak_runtime_post(c->rt, drain, c->rt) != 0) {
        abort(); /* the loop would run for ever */
    }
    close(fd);
    return NULL;
}

static void a_door_of_json_rpc_is_served_and_drained(void **state)
{
    (void)state;
    static const struct demo__v1__echo_handlers handlers = {.say = say};
    struct json_client c = {0};
    struct oak_rpc_server *server;
    struct oak_jsonrpc_server *door;
    struct oak_runtime_listener *listener;
    struct oak_errbuf e;
    assert_int_equal(oak_runtime_new(&c.rt), 0);
    const struct oak_loop *loop = oak_runtime_loop(c.rt);
    assert_int_equal(oak_rpc_server_new(loop, NULL, &server), 0);
    assert_int_equal(demo__v1__echo_add(server, &handlers, NULL), 0);
    assert_int_equal(oak_jsonrpc_server_new(loop, server, NULL, &door), 0);
    assert_int_equal(oak_runtime_listen_jsonrpc(c.rt, door, "127.0.0.1:0", NULL, &listener, &e), 0);
    c.port = (int)strtol(strrchr(oak_runtime_listener_name(listener), ':') + 1, NULL, 10);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, json_client, &c), 0);
    oak_runtime_run(c.rt);
    assert_int_equal(oak_jsonrpc_server_connections(door), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(c.got, "{\"id\":1,\"result\":{\"text\":\"hi\"},\"error\":null}\n");
    oak_runtime_close(c.rt);
    oak_jsonrpc_server_free(door);
    oak_rpc_server_free(server);
    oak_runtime_free(c.rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_door_of_json_rpc_is_served_and_drained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
