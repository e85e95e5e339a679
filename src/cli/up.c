/* SPDX-License-Identifier: Apache-2.0 */
/* up.c: `oakum up`: a cluster on this machine, for trying things out.
 *
 * Happy path   1 a directory and ports
 *              2 a child for each server
 *              3 all healthy
 *              4 say where they
 * are 5 with --demo, write on one and read on another  6 until Ctrl-C, stop them, clean up Can fail
 * ports, starting, health: told with the end of the log of the server that failed.
 */
#include "cli/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define HEALTH_NS (60 * CLI__SECOND_NS)
#define DEMO_NS   (10 * CLI__SECOND_NS)

struct options {
    uint64_t count;
    uint64_t base_port;
    const char *data_dir;
    bool demo;
    bool keep;
};

static void signal_came(void *user, int signal)
{
    struct cli__cluster *c = user;
    (void)signal;
    c->stopping = true;
    c->signals++;
    oak_os_loop_stop(c->loop);
}

static void endpoints_text(const struct cli__cluster *c, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < c->count && used < size; i++) {
        int wrote =
            snprintf(out + used, size - used, "%s%s", i == 0 ? "" : ",", c->nodes[i].endpoint);
        used += wrote < 0 ? 0 : (size_t)wrote;
    }
}

static void nodes_print(const struct cli__cluster *c)
{
    const char *cells[(CLI__NODES_MAX + 1) * 5] = {"NODE", "PID", "CLIENTS", "PEERS", "LOG"};
    char texts[CLI__NODES_MAX][3][32];
    for (size_t i = 0; i < c->count; i++) {
        const struct cli__node *node = &c->nodes[i];
        snprintf(texts[i][0], sizeof(texts[i][0]), "%d", node->pid);
        snprintf(texts[i][1], sizeof(texts[i][1]), "%u", node->peer_port);
        const char **row = cells + (i + 1) * 5;
        row[0] = node->name;
        row[1] = texts[i][0];
        row[2] = node->endpoint;
        row[3] = texts[i][1];
        row[4] = node->log;
    }
    cli__table_print(stdout, cells, c->count + 1, 5);
    if (c->moved) {
        printf("\nSome of the usual ports (2379, 2380, 22379, ...) are taken, so others were "
               "chosen.\n");
    }
}

static void hints_print(const struct cli__cluster *c)
{
    char endpoints[CLI__NODES_MAX * 32];
    endpoints_text(c, endpoints, sizeof(endpoints));
    printf("\nTry:\n"
           "  export ETCDCTL_ENDPOINTS=%s    # of oakum's verbs, and of etcdctl's\n"
           "  oakum put greeting hello && oakum get greeting\n"
           "  oakum endpoint status --cluster -w table\n"
           "  oakum repl                      # a shell, with completion\n"
           "  curl -s %s/health\n"
           "  kill -9 %d    # one member may fail; the others go on\n"
           "\nCtrl-C stops all.%s\n",
           endpoints, c->nodes[0].endpoint, c->nodes[0].pid,
           c->temporary ? " The data is then removed (--keep, --data-dir: not)." : "");
    fflush(stdout);
}

/* Write on the first node, read on the last. */
static int demo(struct cli__cluster *c)
{
    static char key[] = "greeting";
    static char value[] = "hello from a replicated log";
    const struct cli__node *writer = &c->nodes[0];
    const struct cli__node *reader = &c->nodes[c->count - 1];
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str(key));
    put.value = oak_proto_binary(oak_bytes_str(value));
    struct cli__call write = {.endpoint = writer->endpoint,
                              .service = "etcdserverpb.KV",
                              .method = "Put",
                              .request = &put.base,
                              .response_type = &etcdserverpb__put_response__descriptor};
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = put.key;
    struct cli__call read = {.endpoint = reader->endpoint,
                             .service = "etcdserverpb.KV",
                             .method = "Range",
                             .request = &range.base,
                             .response_type = &etcdserverpb__range_response__descriptor};
    int code = CLI__EXIT_FAILED;
    printf("\nput %s on %s ...", key, writer->name);
    fflush(stdout);
    if (!cli__calls(c->loop, &write, 1, DEMO_NS)) {
        printf(" failed\n");
        oak_args_complain(c->command, 0, "%s", write.text.text);
        cli__calls_fini(&write, 1);
        return code;
    }
    const Etcdserverpb__PutResponse *put_answer = (const Etcdserverpb__PutResponse *)write.response;
    printf(" done: revision %" PRId64 ", in %.1f ms\nget %s on %s ...",
           put_answer->header == NULL ? 0 : put_answer->header->revision,
           (double)write.took_ns / 1e6, key, reader->name);
    fflush(stdout);
    bool answered = cli__calls(c->loop, &read, 1, DEMO_NS);
    const Etcdserverpb__RangeResponse *got = (const Etcdserverpb__RangeResponse *)read.response;
    if (!answered) {
        printf(" failed\n");
        oak_args_complain(c->command, 0, "%s", read.text.text);
    } else if (got->n_kvs != 1 ||
               !oak_bytes_eq(oak_proto_bytes(got->kvs[0]->value), oak_bytes_str(value))) {
        printf(" failed: it is not what was written\n");
    } else {
        printf(" \"%.*s\", in %.1f ms\n", (int)got->kvs[0]->value.len,
               (const char *)got->kvs[0]->value.data, (double)read.took_ns / 1e6);
        code = CLI__EXIT_OK;
    }
    cli__calls_fini(&write, 1);
    cli__calls_fini(&read, 1);
    return code;
}

/* From a directory to the end of the servers. */
static int serve(struct cli__cluster *c, const struct options *o)
{
    struct oak_errbuf e = {0};
    int error = cli__cluster_start(c, &e);
    if (error == 0) {
        error = cli__cluster_wait(c, HEALTH_NS, &e);
    }
    if (error != 0) {
        bool asked = c->signals > 0;
        if (error == OAK_EDEADLINE) {
            cli__tail_print(c->nodes[0].log);
        }
        cli__cluster_stop(c);
        return asked ? CLI__EXIT_OK : oak_args_complain(c->command, CLI__EXIT_FAILED, "%s", e.text);
    }
    printf("%zu %s up, data in %s\n\n", c->count, c->count == 1 ? "server is" : "servers are",
           c->dir);
    nodes_print(c);
    int code = CLI__EXIT_OK;
    bool go_on = true;
    if (o->demo) {
        code = demo(c);
        go_on = isatty(STDIN_FILENO) == 1;
    }
    if (go_on) {
        hints_print(c);
        while (!c->stopping && c->running > 0) {
            oak_os_loop_run(c->loop);
        }
        if (c->running == 0 && !c->stopping) {
            code = oak_args_complain(c->command, CLI__EXIT_FAILED, "all servers have ended");
        }
    }
    fflush(stdout);
    cli__cluster_stop(c);
    return code;
}

static int run(struct cli__cluster *c, const struct options *o)
{
    struct oak_errbuf e = {0};
    char program[CLI__PATH_BYTES_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size < 0) {
        return oak_args_complain(c->command, CLI__EXIT_FAILED, "/proc/self/exe: %s",
                                 strerror(errno));
    }
    program[size] = '\0';
    c->program = program;
    int error = oak_os_loop_on_signal(c->loop, signal_came, c);
    if (error != 0) {
        return oak_args_complain(c->command, CLI__EXIT_FAILED, "%s", oak_error_text(error));
    }
    error = cli__cluster_place(c, o->data_dir, &e);
    if (error == 0) {
        error = cli__cluster_ports(c, (unsigned)o->base_port, &e);
    }
    if (error == 0 && c->count != o->count) {
        error = oak_fail(&e, OAK_EINVAL,
                         "%s holds a cluster of %zu: say -n %zu, or name another directory", c->dir,
                         c->count, c->count);
    }
    int code =
        error == 0 ? serve(c, o) : oak_args_complain(c->command, CLI__EXIT_FAILED, "%s", e.text);
    if (c->temporary && o->keep) {
        printf("kept: %s\n", c->dir);
    } else {
        cli__cluster_clean(c);
    }
    return code;
}

int cli__up(int argc, char *const *argv)
{
    struct options o = {.count = 3};
    const struct oak_args_flag flags[] = {
        {"nodes", 'n', OAK_ARGS_NUMBER, &o.count, 1, CLI__NODES_MAX, "N",
         "servers (default 3, at most 7)"},
        {"data-dir", '\0', OAK_ARGS_TEXT, &o.data_dir, 0, 0, "DIR",
         "keep data and logs there, and go on from there (default: temporary)"},
        {"base-port", '\0', OAK_ARGS_NUMBER, &o.base_port, 1024, 65500, "PORT",
         "clients on PORT, PORT+2, ...; peers on PORT+1, ..."},
        {"demo", '\0', OAK_ARGS_BOOL, &o.demo, 0, 0, NULL,
         "write on one and read on another; ends by itself without a terminal"},
        {"keep", '\0', OAK_ARGS_BOOL, &o.keep, 0, 0, NULL, "do not remove a temporary directory"},
    };
    const struct oak_args_command command = {
        .name = "up",
        .summary = "Start a cluster on this machine, for trying things out.",
        .operands = "",
        .rest = true,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more =
            "Flags behind -- go to every server. The usual ports are 2379 and 2380, 22379 and\n"
            "22380, ...; others are chosen where they are taken.\n\n"
            "Examples:\n  oakum up\n  oakum up -n 5 --data-dir ./cluster -- --log-level debug\n",
    };
    struct cli__cluster *c = calloc(1, sizeof(*c));
    size_t count;
    int code;
    if (c == NULL || oak_os_loop_new(&c->loop) != 0) {
        free(c);
        return oak_args_complain(&command, CLI__EXIT_FAILED, "out of memory or descriptors");
    }
    c->command = &command;
    c->port = oak_os_loop_port(c->loop);
    if (oak_args_parse(&command, argc, argv, NULL, &count, &c->extra, &code)) {
        c->count = (size_t)o.count;
        code = run(c, &o);
    }
    oak_os_loop_free(c->loop);
    free(c);
    return code;
}
