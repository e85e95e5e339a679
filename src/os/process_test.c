/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of signals, figures about the process, the service manager, and children. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "os/os.h"

struct world {
    struct oak_os_loop *loop;
    const struct oak_loop *port;
    char dir[64];
    int signal;
    int signals;
    int64_t code;
    int child_signal;
    int exits;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(oak_os_loop_new(&w->loop), 0);
    w->port = oak_os_loop_port(w->loop);
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-os-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_os_loop_free(w->loop);
    char path[128];
    snprintf(path, sizeof(path), "%s/out", w->dir);
    unlink(path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

static void on_signal(void *user, int signal)
{
    struct world *w = user;
    w->signal = signal;
    w->signals++;
    oak_os_loop_stop(w->loop);
}

static void signals_come_from_the_loop(void **state)
{
    struct world *w = *state;
    assert_int_equal(oak_os_loop_on_signal(w->loop, on_signal, w), 0);
    assert_int_equal(raise(SIGTERM), 0);
    assert_int_equal(w->signals, 0);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->signal, SIGTERM);
    assert_int_equal(raise(SIGINT), 0);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->signal, SIGINT);
    assert_int_equal(w->signals, 2);
    assert_int_equal(oak_os_loop_on_signal(w->loop, NULL, NULL), 0);
}

static void figures_about_the_process_are_there(void **state)
{
    struct world *w = *state;
    struct oak_os_usage a;
    oak_os_usage(&a);
    assert_true(a.rss_bytes > 64 * 1024);
    assert_true(a.virtual_bytes >= a.rss_bytes);
    assert_true(a.open_files >= 3 && a.open_files < a.open_files_max);
    uint64_t wall = w->port->clock.wall_ns(w->port->clock.user);
    assert_true(a.started_at_ns <= wall + 1000000000u);
    assert_true(a.started_at_ns + (uint64_t)3600 * 1000000000u > wall);
    struct oak_os_loop *more;
    assert_int_equal(oak_os_loop_new(&more), 0);
    struct oak_os_usage b;
    oak_os_usage(&b);
    assert_true(b.open_files > a.open_files);
    assert_true(b.cpu_ns >= a.cpu_ns);
    oak_os_loop_free(more);
    uint64_t raised = oak_os_files_raise();
    oak_os_usage(&b);
    assert_true(b.open_files_max == raised && raised >= a.open_files_max);
}

static void notify_reaches(const char *socket_name, const struct sockaddr_un *address, size_t size)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)address, (socklen_t)size), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", socket_name, 1), 0);
    assert_int_equal(oak_os_notify("READY=1"), 0);
    char text[64];
    assert_int_equal(recv(fd, text, sizeof(text), 0), 7);
    assert_memory_equal(text, "READY=1", 7);
    close(fd);
}

static void the_journal_gets_lines_in_its_own_form(void **state)
{
    struct world *w = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/journal", w->dir);
    assert_int_equal(oak_os_journal_send(address.sun_path, 4, "oakum", "x"), OAK_ENOENT);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(oak_os_journal_send(address.sun_path, 4, "oakum", "two\nPRIORITY=0"), 0);
    char text[256] = {0};
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "PRIORITY=4\nSYSLOG_IDENTIFIER=oakum\nMESSAGE=two PRIORITY=0\n");
    char *large = malloc(100000);
    assert_non_null(large);
    memset(large, 'x', 99999);
    large[99999] = '\0';
    assert_int_equal(oak_os_journal_send(address.sun_path, 4, "oakum", large), 0);
    assert_int_equal(recv(fd, large, 100000, 0), 8192);
    assert_int_equal(large[8191], '\n');
    free(large);
    close(fd);
    assert_int_equal(unlink(address.sun_path), 0);
}

static void the_service_manager_is_told(void **state)
{
    struct world *w = *state;
    unsetenv("NOTIFY_SOCKET");
    assert_int_equal(oak_os_notify("READY=1"), 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/out", w->dir);
    notify_reaches(address.sun_path, &address, sizeof(address));
    char name[64];
    snprintf(name, sizeof(name), "@oak-test-%ld", (long)getpid());
    memset(address.sun_path, 0, sizeof(address.sun_path));
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    notify_reaches(name, &address, offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    assert_int_equal(oak_os_notify("READY=1"), OAK_EINVAL);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1), 0);
    assert_int_equal(oak_os_notify("READY=1"), OAK_ENOENT);
    unsetenv("NOTIFY_SOCKET");
}

static void on_exit_of_child(void *user, int64_t code, int signal)
{
    struct world *w = user;
    w->code = code;
    w->child_signal = signal;
    w->exits++;
    oak_os_loop_stop(w->loop);
}

static void a_child_runs_with_its_own_output_and_environment(void **state)
{
    struct world *w = *state;
    char output[128];
    snprintf(output, sizeof(output), "%s/out", w->dir);
    const char *argv[] = {"/bin/sh", "-c", "echo $OAK_WORD; pwd >&2; exit 7", NULL};
    const char *env[] = {"OAK_WORD=acorn", NULL};
    struct oak_os_child_options options = {.argv = argv,
                                           .env = env,
                                           .directory = "/",
                                           .output = output,
                                           .exited = on_exit_of_child,
                                           .user = w};
    struct oak_os_child *child = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_os_child_spawn(w->loop, &options, &child, &e), 0);
    assert_true(oak_os_child_pid(child) > 0);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->exits, 1);
    assert_int_equal(w->code, 7);
    assert_int_equal(w->child_signal, 0);
    FILE *file = fopen(output, "r");
    char text[64] = "";
    size_t got = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    assert_int_equal(got, strlen("acorn\n/\n"));
    assert_string_equal(text, "acorn\n/\n");
}

static void a_child_can_be_killed(void **state)
{
    struct world *w = *state;
    const char *argv[] = {"cat", "/dev/zero", NULL};
    struct oak_os_child_options options = {.argv = argv, .exited = on_exit_of_child, .user = w};
    struct oak_os_child *child = NULL;
    assert_int_equal(oak_os_child_spawn(w->loop, &options, &child, NULL), 0);
    assert_int_equal(oak_os_child_kill(child, SIGKILL), 0);
    oak_os_loop_run(w->loop);
    assert_int_equal(w->exits, 1);
    assert_int_equal(w->child_signal, SIGKILL);
}

static void a_program_that_is_not_there_is_named(void **state)
{
    struct world *w = *state;
    const char *argv[] = {"/no/such/program", NULL};
    struct oak_os_child_options options = {.argv = argv, .exited = on_exit_of_child, .user = w};
    struct oak_os_child *child = NULL;
    struct oak_errbuf e = {0};
    assert_int_equal(oak_os_child_spawn(w->loop, &options, &child, &e), OAK_ENOENT);
    assert_null(child);
    assert_non_null(strstr(e.text, "/no/such/program"));
    options.output = "/no/such/directory/out";
    assert_int_equal(oak_os_child_spawn(w->loop, &options, &child, &e), OAK_ENOENT);
    assert_non_null(strstr(e.text, options.output));
    assert_int_equal(w->exits, 0);
}

static void a_child_outlives_the_loop_untold(void **state)
{
    struct world *w = *state;
    const char *argv[] = {"cat", "/dev/zero", NULL};
    struct oak_os_child_options options = {.argv = argv, .exited = on_exit_of_child, .user = w};
    struct oak_os_child *child = NULL;
    struct oak_os_loop *loop = NULL;
    assert_int_equal(oak_os_loop_new(&loop), 0);
    assert_int_equal(oak_os_child_spawn(loop, &options, &child, NULL), 0);
    pid_t pid = oak_os_child_pid(child);
    oak_os_loop_free(loop);
    assert_int_equal(w->exits, 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(signals_come_from_the_loop),
        T(figures_about_the_process_are_there),
        T(the_journal_gets_lines_in_its_own_form),
        T(the_service_manager_is_told),
        T(a_child_runs_with_its_own_output_and_environment),
        T(a_child_can_be_killed),
        T(a_program_that_is_not_there_is_named),
        T(a_child_outlives_the_loop_untold),
    };
    return cmocka_run_group_tests_name("os/process", tests, NULL, NULL);
}
