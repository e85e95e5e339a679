/* SPDX-License-Identifier: Apache-2.0 */
/* Calls of a crowd end, also when nothing else goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chaos/crowd.h"

/* A socket that takes connections into its backlog and says nothing; its port. */
static int silent(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

struct lonely {
    struct crowd_call call;
    int ended;
};

static void ask(struct crowd_call *call)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    crowd_send(call, 0, "Put", &put.base, &etcdserverpb__put_response__descriptor, 5 * CROWD_MS);
}

static void ended(struct crowd_call *call)
{
    struct lonely *lonely = OAK_CONTAINER_OF(call, struct lonely, call);
    if (++lonely->ended == 3) {
        crowd_stop(call->crowd);
    } else {
        ask(call);
    }
}

/* The deadline is found out behind the turn of the crowd's hook, and nothing brings another round:
 * the call had ended, and nobody was told. This test would not end. */
static void a_call_that_runs_out_of_time_alone_is_told(void **state)
{
    (void)state;
    uint16_t port;
    int fd = silent(&port);
    struct crowd crowd;
    struct oak_errbuf e;
    char endpoint[32];
    snprintf(endpoint, sizeof(endpoint), "127.0.0.1:%u", (unsigned)port);
    assert_int_equal(crowd_open(&crowd, &e), 0);
    assert_int_equal(crowd_connect(&crowd, endpoint, &e), 0);
    struct lonely lonely = {.call.done = ended};
    crowd_call_init(&crowd, &lonely.call);
    crowd_rest(&lonely.call, 0, ask);
    crowd_run(&crowd);
    assert_int_equal(lonely.ended, 3);
    assert_int_equal(lonely.call.code, OAK_RPC_DEADLINE_EXCEEDED);
    crowd_call_fini(&lonely.call);
    crowd_fini(&crowd);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_that_runs_out_of_time_alone_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
