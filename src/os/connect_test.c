/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of addresses: listening on them, connecting to them, and being told why not. */
#include "os/ends_fixture.h"
#include "os/internal.h"

static void names_and_v6_are_understood(void **state)
{
    struct world *w = *state;
    listen_on(w, "localhost:0");
    char address[64];
    snprintf(address, sizeof(address), "localhost%s", strrchr(listener_name(w), ':'));
    converse(w, address);
}

static void no_host_is_every_address(void **state)
{
    struct world *w = *state;
    listen_on(w, ":0");
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1%s", strrchr(listener_name(w), ':'));
    converse(w, address);
}

static void unix_sockets_serve_and_leave_no_file(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/socket", w->dir);
    listen_on(w, address);
    assert_string_equal(listener_name(w), address);
    struct oak_listener *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(w->port->net.listen(w->port->net.user, address, accepted, w, &second, &e),
                     OAK_EINUSE);
    assert_non_null(strstr(e.text, address));
    converse(w, address);
    w->port->net.listener_close(w->port->net.user, w->listener);
    assert_int_equal(access(address + 5, F_OK), -1);
}

static void unix_sockets_may_have_a_name_without_a_file(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:@%s", w->dir);
    listen_on(w, address);
    assert_string_equal(listener_name(w), address);
    struct oak_listener *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(w->port->net.listen(w->port->net.user, address, accepted, w, &second, &e),
                     OAK_EINUSE);
    converse(w, address);
    struct failure f = {.world = w, .calling = true};
    assert_int_equal(
        w->port->net.connect(w->port->net.user, "unix:@no such name", SECOND, failed, &f), 0);
    f.calling = false;
    oak_os_loop_run(w->loop);
    assert_int_equal(f.error, OAK_EREFUSED);
}

/* Connect to a unix socket, say a byte, and stay until the other end hangs up. */
static pid_t visitor(const char *path)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) {
        return pid;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, OAK_MIN(strlen(path), sizeof(address.sun_path) - 1));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char byte = 'x';
    bool fine = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 0;
    _exit(fine ? 0 : 1);
}

static void hang_up_on_visitor(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    const struct oak_process *other = w->server.stream->ops->process(w->server.stream);
    assert_non_null(other);
    assert_int_equal(other->uid, geteuid());
    assert_int_equal(other->gid, getegid());
    w->visitor = other->pid;
    close_end(&w->server, false);
}

static void the_process_at_a_unix_socket_is_known(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/socket", w->dir);
    listen_on(w, address);
    w->on_server_data = hang_up_on_visitor;
    pid_t pid = visitor(address + 5);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->visitor, pid);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void look_at_the_listener(struct world *w)
{
    const struct oak_process *other = w->client.stream->ops->process(w->client.stream);
    w->visitor = other != NULL ? other->pid : 0;
    close_end(&w->client, false);
}

static void a_client_knows_who_listens_but_not_over_tcp(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:@%s", w->dir);
    w->on_client_open = look_at_the_listener;
    listen_on(w, address);
    connect_to(w, address);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->visitor, getpid());
    listen_on(w, "127.0.0.1:0");
    connect_to(w, listener_name(w));
    oak_os_loop_run(w->loop);
    assert_int_equal(w->client.closed, 2);
    assert_int_equal(w->visitor, 0);
}

static void the_socket_file_of_a_dead_process_is_taken_over(void **state)
{
    struct world *w = *state;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s/socket", w->dir);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", w->dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    close(fd);
    listen_on(w, address);
    converse(w, address);
}

/* -- what can't be listened on or reached ------------------------------------------------------ */

static void addresses_that_make_no_sense_are_refused(void **state)
{
    struct world *w = *state;
    static const char *const bad[] = {
        "",           "localhost",      "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:x",
        "::1:80",     "[1.2.3.4]:80",   "[::1:80",  "unix:",         "unix:@",
        "1.2.3.4:-1", "1.2.3.4:000080", "host:80 ", "[localhost]:80"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct oak_errbuf e = {0};
        assert_int_equal(
            w->port->net.listen(w->port->net.user, bad[i], accepted, w, &w->listener, &e),
            OAK_EINVAL);
        assert_non_null(strstr(e.text, bad[i]));
        assert_int_equal(w->port->net.connect(w->port->net.user, bad[i], SECOND, connected, w),
                         OAK_EINVAL);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 390, ":1", 3);
    assert_int_equal(
        w->port->net.listen(w->port->net.user, longest, accepted, w, &w->listener, NULL),
        OAK_EINVAL);
    memcpy(longest, "unix:", 5);
    assert_int_equal(
        w->port->net.listen(w->port->net.user, longest, accepted, w, &w->listener, NULL),
        OAK_EINVAL);
    assert_int_equal(w->port->net.connect(w->port->net.user, ":80", SECOND, connected, w),
                     OAK_EINVAL);
    /* TEST-NET-1: no machine has it. */
    assert_int_equal(
        w->port->net.listen(w->port->net.user, "192.0.2.1:0", accepted, w, &w->listener, NULL),
        OAK_EINVAL);
}

static void an_address_in_use_is_named(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    struct oak_listener *second = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(
        w->port->net.listen(w->port->net.user, listener_name(w), accepted, w, &second, &e),
        OAK_EINUSE);
    assert_null(second);
    assert_non_null(strstr(e.text, listener_name(w)));
}

static int connect_error(struct world *w, const char *address, uint64_t timeout_ns)
{
    struct failure f = {.world = w, .calling = true};
    assert_int_equal(w->port->net.connect(w->port->net.user, address, timeout_ns, failed, &f), 0);
    f.calling = false;
    oak_os_loop_run(w->loop);
    assert_int_equal(f.count, 1);
    return f.error;
}

/* A TCP port of this machine that nobody listens on: bound, so that nobody else takes it. */
static int bound_socket(char *address, size_t size)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in ip = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(ip);
    assert_int_equal(bind(fd, (struct sockaddr *)&ip, sizeof(ip)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&ip, &length), 0);
    snprintf(address, size, "127.0.0.1:%u", ntohs(ip.sin_port));
    return fd;
}

static void a_port_without_listener_refuses(void **state)
{
    struct world *w = *state;
    char address[64];
    int fd = bound_socket(address, sizeof(address));
    assert_int_equal(connect_error(w, address, 10 * SECOND), OAK_EREFUSED);
    char name[64];
    snprintf(name, sizeof(name), "localhost%s", strchr(address, ':'));
    assert_int_equal(connect_error(w, name, 10 * SECOND), OAK_EREFUSED);
    close(fd);
    char missing[128];
    snprintf(missing, sizeof(missing), "unix:%s/none", w->dir);
    assert_int_equal(connect_error(w, missing, 10 * SECOND), OAK_ENOENT);
}

static void a_host_that_does_not_answer_is_given_up_in_time(void **state)
{
    struct world *w = *state;
    char address[64];
    int fd = bound_socket(address, sizeof(address));
    assert_int_equal(listen(fd, 0), 0);
    int fillers[4]; /* a full queue: the kernel drops what comes after */
    for (size_t i = 0; i < OAK_COUNT_OF(fillers); i++) {
        fillers[i] = raw_connect(address, SOCK_NONBLOCK);
    }
    assert_int_equal(connect_error(w, address, SECOND / 100), OAK_EDEADLINE);
    for (size_t i = 0; i < OAK_COUNT_OF(fillers); i++) {
        close(fillers[i]);
    }
    close(fd);
}

static void a_name_that_nobody_has_is_unresolved(void **state)
{
    struct world *w = *state;
    int error = connect_error(w, "no-such-host.invalid:1", 30 * SECOND);
    assert_int_equal(error, OAK_EUNRESOLVED);
    struct oak_errbuf e = {0};
    assert_int_equal(w->port->net.listen(w->port->net.user, "no-such-host.invalid:1", accepted, w,
                                         &w->listener, &e),
                     OAK_EUNRESOLVED);
    assert_non_null(strstr(e.text, "no-such-host.invalid:1"));
}

/* -- looking up -------------------------------------------------------------------------------- */

struct found {
    struct world *world;
    int calls;
    int error;
    size_t count;
    char addresses[8][64];
    bool calling;
};

static void found_it(void *arg, int error, const char *const *addresses, size_t count)
{
    struct found *f = arg;
    assert_false(f->calling);
    f->calls++;
    f->error = error;
    f->count = count;
    for (size_t i = 0; i < count && i < OAK_COUNT_OF(f->addresses); i++) {
        snprintf(f->addresses[i], sizeof(f->addresses[i]), "%s", addresses[i]);
    }
    oak_os_loop_stop(f->world->loop);
}

static struct found look_up(struct world *w, const char *name)
{
    struct found f = {.world = w, .calling = true};
    const struct oak_net *net = &w->port->net;
    assert_int_equal(net->resolve(net->user, name, 30 * SECOND, found_it, &f), 0);
    f.calling = false;
    oak_os_loop_run(w->loop);
    assert_int_equal(f.calls, 1);
    return f;
}

static void a_name_has_addresses_each_once(void **state)
{
    struct world *w = *state;
    listen_on(w, "localhost:0");
    char name[64];
    snprintf(name, sizeof(name), "localhost%s", strrchr(listener_name(w), ':'));
    struct found f = look_up(w, name);
    assert_int_equal(f.error, 0);
    assert_true(f.count > 0 && f.count < OAK_COUNT_OF(f.addresses));
    bool there = false;
    for (size_t i = 0; i < f.count; i++) {
        there = there || strcmp(f.addresses[i], listener_name(w)) == 0;
        for (size_t other = 0; other < i; other++) {
            assert_string_not_equal(f.addresses[i], f.addresses[other]);
        }
    }
    assert_true(there);
    converse(w, listener_name(w));
}

static void an_address_is_its_own_answer(void **state)
{
    struct world *w = *state;
    struct found f = look_up(w, "127.0.0.1:00080");
    assert_int_equal(f.count, 1);
    assert_string_equal(f.addresses[0], "127.0.0.1:80");
    f = look_up(w, "[::1]:443");
    assert_int_equal(f.count, 1);
    assert_string_equal(f.addresses[0], "[::1]:443");
}

static void what_has_no_address_is_said_to_have_none(void **state)
{
    struct world *w = *state;
    const struct oak_net *net = &w->port->net;
    struct found f = look_up(w, "no-such-host.invalid:1");
    assert_int_equal(f.error, OAK_EUNRESOLVED);
    static const char *const bad[] = {"", "localhost", ":80", "unix:/a", "::1:80"};
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        assert_int_equal(net->resolve(net->user, bad[i], SECOND, found_it, &f), OAK_EINVAL);
    }
}

static void a_look_up_that_is_under_way_ends_with_its_loop(void **state)
{
    struct world *w = *state;
    const struct oak_net *net = &w->port->net;
    struct found f = {.world = w};
    assert_int_equal(net->resolve(net->user, "localhost:1", 30 * SECOND, found_it, &f), 0);
    assert_int_equal(net->resolve(net->user, "127.0.0.1:1", 30 * SECOND, found_it, &f), 0);
    oak_os_loop_free(w->loop);
    w->loop = NULL;
    assert_int_equal(f.calls, 2);
    assert_int_equal(f.error, OAK_ECLOSED);
}

/* -- limits ------------------------------------------------------------------------------------ */

static void *read_to_the_end(void *arg)
{
    char c = 0;
    return (void *)(intptr_t)read(*(int *)arg, &c, 1);
}

static void stop_when_talked_to(struct world *w, struct oak_bytes bytes)
{
    (void)bytes;
    oak_os_loop_stop(w->loop);
}

static void connections_past_the_limit_are_closed_as_they_come(void **state)
{
    struct world *w = *state;
    listen_on(w, "127.0.0.1:0");
    w->loop->accepted_max = 1;
    w->on_server_data = stop_when_talked_to;
    int first = raw_connect(listener_name(w), 0);
    int second = raw_connect(listener_name(w), 0);
    assert_int_equal(write(first, "x", 1), 1);
    oak_os_loop_run(w->loop);
    assert_int_equal(oak_os_loop_accepted(w->loop), 1);
    assert_int_equal(w->server.opened, 1);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_to_the_end, &second), 0);
    /* The loop runs on until the one that is served speaks again, behind the end of the other. */
    assert_int_equal(write(first, "x", 1), 1);
    oak_os_loop_run(w->loop);
    void *got = (void *)1;
    pthread_join(reader, &got);
    assert_true((intptr_t)got <= 0); /* an end or a reset, never a byte */
    /* Room again: the next one is served. */
    w->on_closed = NULL;
    close(first);
    oak_os_loop_run(w->loop);
    assert_int_equal(oak_os_loop_accepted(w->loop), 0);
    w->server.closed = 0;
    w->server.opened = 0;
    oak_buf_clear(&w->server.got);
    w->on_server_data = NULL;
    close(second);
    converse(w, listener_name(w));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(names_and_v6_are_understood),
        T(no_host_is_every_address),
        T(unix_sockets_serve_and_leave_no_file),
        T(unix_sockets_may_have_a_name_without_a_file),
        T(the_process_at_a_unix_socket_is_known),
        T(a_client_knows_who_listens_but_not_over_tcp),
        T(the_socket_file_of_a_dead_process_is_taken_over),
        T(addresses_that_make_no_sense_are_refused),
        T(an_address_in_use_is_named),
        T(a_port_without_listener_refuses),
        T(a_host_that_does_not_answer_is_given_up_in_time),
        T(a_name_that_nobody_has_is_unresolved),
        T(a_name_has_addresses_each_once),
        T(an_address_is_its_own_answer),
        T(what_has_no_address_is_said_to_have_none),
        T(a_look_up_that_is_under_way_ends_with_its_loop),
        T(connections_past_the_limit_are_closed_as_they_come),
    };
    return cmocka_run_group_tests_name("os/connect", tests, NULL, NULL);
}
