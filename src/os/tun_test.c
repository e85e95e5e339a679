/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of network namespaces and of interfaces in them. Where the kernel or our rights don't allow
 * them, they say so and pass: what is tested then is that the refusal is a code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

struct side {
    struct world *world;
    struct oak_os_space *space;
    struct oak_os_tun *tun;
};

struct world {
    struct oak_os_loop *loop;
    struct oak_os_space *home;
    struct side sides[2];
    size_t carried;
    bool cut;
    int error;
    struct oak_timer timer;
};

/* Two sides: what one sends, the other gets. */
static void carry(void *user, struct oak_bytes packet)
{
    struct side *from = user;
    struct world *w = from->world;
    if (packet.size >= 20 && packet.data[0] >> 4 == 4 && !w->cut) {
        struct side *to = from == &w->sides[0] ? &w->sides[1] : &w->sides[0];
        w->carried++;
        (void)oak_os_tun_send(to->tun, packet);
    }
}

static void accepted(void *arg, struct oak_stream *stream)
{
    (void)arg;
    stream->ops->close(stream, true);
}

static void data(void *user, struct oak_bytes bytes)
{
    (void)user;
    (void)bytes;
}
static void drained(void *user)
{
    (void)user;
}
static void closed(void *user, int error)
{
    (void)user;
    (void)error;
}

static void connected(void *arg, int error, struct oak_stream *stream)
{
    static const struct oak_stream_handler deaf = {
        .data = data, .drained = drained, .closed = closed};
    struct world *w = arg;
    w->error = error;
    if (error == 0) {
        stream->ops->handle(stream, &deaf);
        stream->ops->close(stream, true);
    }
    oak_os_loop_stop(w->loop);
}

static int reach(struct world *w, uint64_t timeout_ns)
{
    const struct oak_loop *port = oak_os_loop_port(w->loop);
    struct oak_errbuf e;
    assert_int_equal(oak_os_space_enter(w->sides[0].space, &e), 0);
    w->error = 1;
    int error = port->net.connect(port->net.user, "10.9.8.2:7000", timeout_ns, connected, w);
    assert_int_equal(oak_os_space_enter(w->home, &e), 0);
    assert_int_equal(error, 0);
    while (w->error == 1) {
        oak_os_loop_run(w->loop);
    }
    return w->error;
}

static bool side_make(struct world *w, size_t i)
{
    static const char *const addresses[] = {"10.9.8.1", "10.9.8.2"};
    struct oak_errbuf e;
    struct side *side = &w->sides[i];
    side->world = w;
    int error = oak_os_space_new(&side->space, &e);
    if (error == 0) {
        assert_int_equal(oak_os_space_enter(side->space, &e), 0);
        error = oak_os_tun_open(w->loop, addresses[i], carry, side, &side->tun, &e);
        struct oak_errbuf back;
        assert_int_equal(oak_os_space_enter(w->home, &back), 0);
    }
    if (error != 0) {
        print_message("not allowed here: %s\n", e.text);
        assert_true(error == OAK_EPERM || error == OAK_ENOENT || error == OAK_EIO ||
                    error == OAK_EINVAL);
    }
    return error == 0;
}

static void two_spaces_are_joined_by_a_wire_that_can_be_cut(void **state)
{
    (void)state;
    struct world w = {.cut = false};
    struct oak_errbuf e;
    assert_int_equal(oak_os_loop_new(&w.loop), 0);
    assert_int_equal(oak_os_space_here(&w.home, &e), 0);
    if (side_make(&w, 0) && side_make(&w, 1)) {
        const struct oak_loop *port = oak_os_loop_port(w.loop);
        struct oak_listener *listener = NULL;
        assert_int_equal(oak_os_space_enter(w.sides[1].space, &e), 0);
        int error =
            port->net.listen(port->net.user, "10.9.8.2:7000", accepted, NULL, &listener, &e);
        struct oak_errbuf back;
        assert_int_equal(oak_os_space_enter(w.home, &back), 0);
        assert_int_equal(error, 0);
        assert_int_equal(reach(&w, UINT64_C(10000000000)), 0);
        assert_true(w.carried >= 3); /* a handshake */
        w.cut = true;
        assert_int_equal(reach(&w, 50000000), OAK_EDEADLINE);
        port->net.listener_close(port->net.user, listener);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(w.sides); i++) {
        oak_os_tun_close(w.sides[i].tun);
        oak_os_space_free(w.sides[i].space);
    }
    oak_os_loop_free(w.loop);
    oak_os_space_free(w.home);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_spaces_are_joined_by_a_wire_that_can_be_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
