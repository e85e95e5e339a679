/* SPDX-License-Identifier: Apache-2.0 */
/* bench.c: `oakum bench put|range`: load on a cluster (Oakum or etcd), and what it did.
 *
 * Happy path   1 read the options
 *              2 with --fill, write every key once
 *              3 look at the servers' processor time
 *              4 the load (load.c)
 *              5 look again
 *              6 report
 * Can fail     no server: exit code 1. Requests that fail are counted; any at all: exit code 1.
 */
#include "cli/load.h"

#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

struct bench {
    const struct oak_args_command *command;
    struct cli__load_options load;
    struct cli__endpoints endpoints;
    struct oak_os_loop *loop;
    const char *pids;
    bool fill;
    bool as_json;
    volatile bool stop;
    bool has_cpu;
    double cpu_seconds;     /* of the servers, during the load */
    double own_cpu_seconds; /* of this process */
};

static void stop_early(void *user, int signal)
{
    struct bench *b = user;
    if (b->stop) {
        _exit(128 + signal);
    }
    b->stop = true;
}

static uint64_t answered(const struct cli__load_result *r)
{
    return r->latency.count;
}

static uint64_t failed(const struct cli__load_result *r)
{
    uint64_t sum = r->unsent;
    for (size_t i = 1; i < OAK_COUNT_OF(r->codes); i++) {
        sum += r->codes[i];
    }
    return sum;
}

static double per_request_us(double seconds, const struct cli__load_result *r)
{
    return answered(r) == 0 ? 0 : seconds * 1e6 / (double)answered(r);
}

static double us(uint64_t ns)
{
    return (double)ns / 1000.0;
}

static const char *op_name(const struct bench *b)
{
    return b->load.op == CLI__LOAD_PUT ? "put" : "range";
}

static void text_print(const struct bench *b, const struct cli__load_result *r)
{
    double seconds = (double)r->took_ns / 1e9;
    const struct cli__histogram *h = &r->latency;
    printf("%s: %" PRIu64 " clients on %" PRIu64 " connections to %zu endpoints\n", op_name(b),
           b->load.clients, b->load.conns, b->endpoints.count);
    printf("  requests   %" PRIu64 " in %.2f s, %" PRIu64 " failed\n", answered(r), seconds,
           failed(r));
    printf("  rate       %.0f /s\n", (double)answered(r) / seconds);
    printf("  mean       %.1f us\n", cli__histogram_mean(h) / 1000.0);
    printf("  p50        %.1f us\n", us(cli__histogram_at(h, 50, 100)));
    printf("  p99        %.1f us\n", us(cli__histogram_at(h, 99, 100)));
    printf("  p99.9      %.1f us\n", us(cli__histogram_at(h, 999, 1000)));
    printf("  max        %.1f us\n", us(h->max));
    if (b->has_cpu) {
        printf("  CPU        %.1f us a request in the servers, %.1f us here\n",
               per_request_us(b->cpu_seconds, r), per_request_us(b->own_cpu_seconds, r));
    } else {
        printf("  CPU        %.1f us a request here; the servers' is not known (no /metrics: see "
               "--pids)\n",
               per_request_us(b->own_cpu_seconds, r));
    }
    for (size_t i = 1; i < OAK_COUNT_OF(r->codes); i++) {
        if (r->codes[i] > 0) {
            printf("  %-10s %" PRIu64 "\n", oak_rpc_code_name((enum oak_rpc_code)i), r->codes[i]);
        }
    }
    if (r->failure[0] != '\0') {
        printf("  the first failure said: %s\n", r->failure);
    }
}

static void json_print(const struct bench *b, const struct cli__load_result *r)
{
    double seconds = (double)r->took_ns / 1e9;
    const struct cli__histogram *h = &r->latency;
    json_t *codes = json_object();
    for (size_t i = 1; i < OAK_COUNT_OF(r->codes); i++) {
        if (r->codes[i] > 0) {
            json_object_set_new(codes, oak_rpc_code_name((enum oak_rpc_code)i),
                                json_integer((json_int_t)r->codes[i]));
        }
    }
    json_t *latency =
        json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "mean", cli__histogram_mean(h) / 1000.0, "min",
                  us(h->min), "p50", us(cli__histogram_at(h, 50, 100)), "p99",
                  us(cli__histogram_at(h, 99, 100)), "p99.9", us(cli__histogram_at(h, 999, 1000)),
                  "max", us(h->max));
    json_t *root =
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:o, s:o, s:f, s:s}", "op", op_name(b),
                  "clients", (json_int_t)b->load.clients, "connections", (json_int_t)b->load.conns,
                  "endpoints", (json_int_t)b->endpoints.count, "requests", (json_int_t)answered(r),
                  "failed", (json_int_t)failed(r), "seconds", seconds, "rate",
                  (double)answered(r) / seconds, "latency_us", latency, "failures", codes,
                  "client_cpu_us", per_request_us(b->own_cpu_seconds, r), "failure", r->failure);
    if (root != NULL) {
        json_object_set_new(root, "server_cpu_us",
                            b->has_cpu ? json_real(per_request_us(b->cpu_seconds, r))
                                       : json_null());
        json_dumpf(root, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
        json_decref(root);
    }
}

static bool servers_cpu(struct bench *b, double *out)
{
    return b->pids != NULL ? cli__cpu_pids_seconds(b->pids, out)
                           : cli__cpu_endpoints_seconds(b->loop, &b->endpoints, out);
}

/* Write every key once. */
static int fill(struct bench *b, struct cli__load_result *result)
{
    struct cli__load_options o = b->load;
    struct oak_errbuf e;
    o.op = CLI__LOAD_PUT;
    o.in_order = true;
    o.total = o.keys;
    o.duration_ns = 0;
    o.clients = OAK_MAX(o.clients, 100);
    fprintf(stderr, "writing %" PRIu64 " keys of %" PRIu64 " bytes\n", o.keys, o.value_bytes);
    if (cli__load_run(b->loop, &o, result, &e) != 0) {
        return oak_args_complain(b->command, CLI__EXIT_FAILED, "%s", e.text);
    }
    if (failed(result) > 0 && !b->stop) {
        return oak_args_complain(b->command, CLI__EXIT_FAILED, "filling: %" PRIu64 " failed: %s",
                                 failed(result), result->failure);
    }
    return CLI__EXIT_OK;
}

static int run(struct bench *b, struct cli__load_result *result)
{
    struct oak_errbuf e;
    if (b->fill) {
        int code = fill(b, result);
        if (code != CLI__EXIT_OK || b->stop) {
            return code;
        }
    }
    double before = 0;
    double after = 0;
    struct oak_os_usage own_before;
    struct oak_os_usage own_after;
    b->has_cpu = servers_cpu(b, &before);
    oak_os_usage(&own_before);
    if (cli__load_run(b->loop, &b->load, result, &e) != 0) {
        return oak_args_complain(b->command, CLI__EXIT_FAILED, "%s", e.text);
    }
    oak_os_usage(&own_after);
    b->has_cpu = b->has_cpu && servers_cpu(b, &after);
    b->cpu_seconds = after - before;
    b->own_cpu_seconds = (double)(own_after.cpu_ns - own_before.cpu_ns) / 1e9;
    if (b->as_json) {
        json_print(b, result);
    } else {
        text_print(b, result);
    }
    return failed(result) == 0 && answered(result) > 0 ? CLI__EXIT_OK : CLI__EXIT_FAILED;
}

static int loop_and_run(struct bench *b)
{
    oak_os_files_raise();
    struct cli__load_result *result = calloc(1, sizeof(*result));
    if (result == NULL || oak_os_loop_new(&b->loop) != 0) {
        free(result);
        return oak_args_complain(b->command, CLI__EXIT_FAILED, "out of memory or descriptors");
    }
    int code = CLI__EXIT_FAILED;
    if (oak_os_loop_on_signal(b->loop, stop_early, b) == 0) {
        code = run(b, result);
    }
    oak_os_loop_free(b->loop);
    free(result);
    return code;
}

/* What single flags can't tell. */
static int options_check(struct bench *b, const char *op, const char *output, const char *endpoints)
{
    struct cli__load_options *o = &b->load;
    struct oak_errbuf e;
    uint64_t room = 1;
    for (uint64_t i = 0; i < o->key_bytes && room < UINT64_MAX / 10; i++) {
        room *= 10;
    }
    if (strcmp(op, "put") != 0 && strcmp(op, "range") != 0) {
        return oak_args_complain(b->command, CLI__EXIT_MISUSED,
                                 "\"%.32s\" is neither put nor range", op);
    }
    if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0) {
        return oak_args_complain(b->command, CLI__EXIT_MISUSED, "--output is text or json");
    }
    if (o->keys + o->span > room) {
        return oak_args_complain(b->command, CLI__EXIT_MISUSED,
                                 "--keys %" PRIu64 " do not fit --key-size %" PRIu64, o->keys,
                                 o->key_bytes);
    }
    if (o->total != 0 && o->duration_ns != 0) {
        return oak_args_complain(b->command, CLI__EXIT_MISUSED,
                                 "give --total or --duration, not both");
    }
    if (cli__endpoints_read(endpoints, &b->endpoints, &e) != 0) {
        return oak_args_complain(b->command, CLI__EXIT_MISUSED, "--endpoints: %s", e.text);
    }
    o->op = strcmp(op, "put") == 0 ? CLI__LOAD_PUT : CLI__LOAD_RANGE;
    o->endpoints = &b->endpoints;
    o->stop = &b->stop;
    o->conns = OAK_MIN(o->conns, o->clients);
    o->duration_ns = o->total == 0 && o->duration_ns == 0 ? 10 : o->duration_ns;
    o->duration_ns *= CLI__SECOND_NS;
    o->timeout_ns *= CLI__SECOND_NS;
    b->as_json = strcmp(output, "json") == 0;
    return CLI__EXIT_OK;
}

static const char more[] =
    "Each client sends its next request when its last is answered. Keys are drawn at random. "
    "Works\n"
    "on etcd as well. Exit code 1 when any request failed. The servers' processor time comes from\n"
    "/metrics of the endpoints, so name all members to count all of them.\n"
    "json: {op, clients, connections, endpoints, requests, failed, seconds, rate, latency_us: "
    "{mean,\n"
    "min, p50, p99, p99.9, max}, failures, failure, client_cpu_us, server_cpu_us (null: not "
    "known)}.\n"
    "\n"
    "Examples:\n"
    "  oakum bench put --clients 100 --conns 10 --endpoints 127.0.0.1:2379,127.0.0.1:22379\n"
    "  oakum bench range --fill --keys 1000000 --span 1000 --total 10000\n";

int cli__bench(int argc, char *const *argv)
{
    struct bench b = {0};
    struct cli__load_options *o = &b.load;
    const char *endpoints = NULL;
    const char *output = "text";
    *o = (struct cli__load_options){.clients = 1,
                                    .conns = 1,
                                    .timeout_ns = 10,
                                    .key_bytes = 8,
                                    .value_bytes = 256,
                                    .keys = 100000,
                                    .span = 1,
                                    .seed = 1};
    const struct oak_args_flag flags[] = {
        {"endpoints", 'e', OAK_ARGS_TEXT, &endpoints, 0, 0, "A,B,C",
         "servers (default $ETCDCTL_ENDPOINTS, or 127.0.0.1:2379)"},
        {"clients", 'c', OAK_ARGS_NUMBER, &o->clients, 1, CLI__CLIENTS_MAX, "N",
         "clients at one time (default 1)"},
        {"conns", '\0', OAK_ARGS_NUMBER, &o->conns, 1, CLI__CONNS_MAX, "N",
         "connections they share, spread over the endpoints (default 1)"},
        {"total", 'n', OAK_ARGS_NUMBER, &o->total, 1, UINT64_MAX, "N", "end after N requests"},
        {"duration", 'd', OAK_ARGS_NUMBER, &o->duration_ns, 1, 86400, "SECONDS",
         "end after so long (default 10)"},
        {"timeout", '\0', OAK_ARGS_NUMBER, &o->timeout_ns, 1, 3600, "SECONDS",
         "of one request (default 10)"},
        {"key-size", '\0', OAK_ARGS_NUMBER, &o->key_bytes, 1, CLI__KEY_BYTES_MAX, "BYTES",
         "length of a key (default 8)"},
        {"val-size", '\0', OAK_ARGS_NUMBER, &o->value_bytes, 0, OAK_REQUEST_BYTES_MAX, "BYTES",
         "length of a value (default 256)"},
        {"keys", '\0', OAK_ARGS_NUMBER, &o->keys, 1, UINT64_C(1000000000000), "N",
         "different keys (default 100000)"},
        {"span", '\0', OAK_ARGS_NUMBER, &o->span, 1, 1000000, "N",
         "range: keys that one request covers (default 1)"},
        {"serializable", '\0', OAK_ARGS_BOOL, &o->serializable, 0, 0, NULL,
         "range: ask one server, perhaps stale"},
        {"policy", '\0', OAK_ARGS_TEXT, &o->policy, 0, 0, "NAME",
         "connections to all endpoints, by pick_first, round_robin or oakum_leader"},
        {"fill", '\0', OAK_ARGS_BOOL, &b.fill, 0, 0, NULL, "write every key once before"},
        {"seed", '\0', OAK_ARGS_NUMBER, &o->seed, 0, UINT64_MAX, "N",
         "of the keys drawn (default 1)"},
        {"output", 'o', OAK_ARGS_TEXT, &output, 0, 0, "FORM", "text or json (default text)"},
        {"pids", '\0', OAK_ARGS_TEXT, &b.pids, 0, 0, "A,B,C",
         "the servers' process ids: their CPU is then read from /proc"},
    };
    const struct oak_args_command command = {
        .name = "bench",
        .summary = "Put load on a cluster, and measure it.",
        .operands = "put|range",
        .operands_max = 1,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = more,
    };
    const char *op = NULL;
    size_t count;
    char *const *rest;
    int code;
    b.command = &command;
    if (!oak_args_parse(&command, argc, argv, &op, &count, &rest, &code)) {
        return code;
    }
    if (count != 1) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "say put or range; see --help");
    }
    code = options_check(&b, op, output, endpoints);
    return code == CLI__EXIT_OK ? loop_and_run(&b) : code;
}
