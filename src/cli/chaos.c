/* SPDX-License-Identifier: Apache-2.0 */
/* chaos.c: `oakum chaos`: flags in, a verdict out. The run itself is the room `chaos`.
 *
 * Exit codes: 0 nothing was broken, 1 a promise was, 2 the command was not understood, 3 it could
 * not be run.
 */
#include "base/zoo.h"
#include "chaos/chaos.h"
#include "cli/internal.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <unistd.h>

#define EXIT_NOT_RUN 3

static void progress_print(void *user, const struct oak_chaos_progress *p)
{
    uint64_t seconds = *(const uint64_t *)user;
    fprintf(stderr,
            "\r\033[K%" PRIu64 "/%" PRIu64 " s  %" PRIu64 " faults  %" PRIu64 " ops  %.100s",
            p->seconds, seconds, p->faults, p->operations, p->now);
    fflush(stderr);
}

static void text_print(const struct oak_chaos_report *r)
{
    printf("seed %" PRIu64 ", %.0f s, %" PRIu64 " rounds, %" PRIu64 " faults of %" PRIu64
           " kinds, %s\n",
           r->seed, r->seconds, r->rounds, r->fault_count, r->kind_count,
           r->namespaces ? "in network namespaces" : "on the loopback");
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        if (r->faults[i] > 0) {
            printf("  %-18s %5" PRIu64 "  %s\n", oak_chaos_kind_name((enum oak_chaos_kind)i),
                   r->faults[i], oak_chaos_kind_text((enum oak_chaos_kind)i));
        }
    }
    printf("%" PRIu64 " operations answered, %" PRIu64 " without a known end; %" PRIu64
           " keys judged",
           r->operations, r->unknown, r->keys - r->undecided);
    if (r->undecided > 0) {
        printf(", %" PRIu64 " too tangled to judge", r->undecided);
    }
    printf("\n%" PRIu64 " terms with a leader, %" PRIu64
           " processes ended themselves as their fault demands\n"
           "longest time without a write %.2f s, slowest recovery of all nodes %.2f s\n",
           r->terms, r->ended, (double)r->longest_gap_ms / 1000,
           (double)r->slowest_recovery_ms / 1000);
    if (r->left_out[0] != '\0') {
        printf("%s\n", r->left_out);
    }
    for (size_t i = 0; i < r->violation_count; i++) {
        printf("FAILED  %s\n", r->violations[i]);
    }
    if (r->data_dir[0] != '\0') {
        printf("data and logs are kept in %s\n", r->data_dir);
    }
    printf("picture %s\n%s%s\n", r->timeline, r->violation_count == 0 ? "passed" : "FAILED",
           r->interrupted ? ", stopped early by a signal" : "");
}

static void json_print(const struct oak_chaos_report *r, uint64_t nodes)
{
    json_t *faults = json_object();
    json_t *violations = json_array();
    for (size_t i = 0; i < OAK_CHAOS_KINDS; i++) {
        if (r->faults[i] > 0) {
            json_object_set_new(faults, oak_chaos_kind_name((enum oak_chaos_kind)i),
                                json_integer((json_int_t)r->faults[i]));
        }
    }
    for (size_t i = 0; i < r->violation_count; i++) {
        json_array_append_new(violations, json_string(r->violations[i]));
    }
    json_t *root = json_pack("{s:s, s:o, s:b, s:I, s:I, s:f, s:b, s:s, s:I, s:I, s:I, s:o}",
                             "verdict", r->violation_count == 0 ? "passed" : "failed", "violations",
                             violations, "interrupted", r->interrupted, "seed", (json_int_t)r->seed,
                             "nodes", (json_int_t)nodes, "seconds", r->seconds, "namespaces",
                             r->namespaces, "left_out", r->left_out, "rounds",
                             (json_int_t)r->rounds, "fault_count", (json_int_t)r->fault_count,
                             "kind_count", (json_int_t)r->kind_count, "faults", faults);
    json_t *more = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "operations",
        (json_int_t)r->operations, "unknown", (json_int_t)r->unknown, "serializable_reads",
        (json_int_t)r->serializable_reads, "keys", (json_int_t)r->keys, "undecided",
        (json_int_t)r->undecided, "terms", (json_int_t)r->terms, "ended", (json_int_t)r->ended,
        "longest_gap_ms", (json_int_t)r->longest_gap_ms, "slowest_recovery_ms",
        (json_int_t)r->slowest_recovery_ms, "data_dir", r->data_dir, "timeline", r->timeline);
    if (root != NULL && more != NULL && json_object_update(root, more) == 0) {
        json_dumpf(root, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    }
    json_decref(root);
    json_decref(more);
}

static int run(const struct oak_args_command *command, struct oak_chaos_options *o, bool as_json)
{
    struct oak_chaos_report report;
    struct oak_errbuf e;
    char program[512];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (size < 0) {
        return oak_args_complain(command, EXIT_NOT_RUN, "/proc/self/exe: %s", strerror(errno));
    }
    program[size] = '\0';
    o->program = program;
    bool terminal = isatty(STDERR_FILENO) == 1;
    o->progress = terminal ? progress_print : NULL;
    o->user = &o->seconds;
    if (!as_json) {
        printf("seed %" PRIu64 "\n", o->seed);
        fflush(stdout);
    }
    int error = oak_chaos_run(o, &report, &e);
    if (terminal) {
        fprintf(stderr, "\r\033[K");
    }
    if (error != 0) {
        return oak_args_complain(command, EXIT_NOT_RUN, "%s", e.text);
    }
    if (as_json) {
        json_print(&report, o->nodes);
    } else {
        text_print(&report);
    }
    return report.violation_count == 0 ? CLI__EXIT_OK : CLI__EXIT_FAILED;
}

/* What single flags can't tell. */
static int options_check(const struct oak_args_command *command, struct oak_chaos_options *o,
                         const char *faults, const char *output)
{
    struct oak_errbuf e;
    if (strcmp(output, "text") != 0 && strcmp(output, "json") != 0) {
        return oak_args_complain(command, CLI__EXIT_MISUSED, "--output is text or json");
    }
    o->kinds = OAK_CHAOS_EVERYTHING;
    if (faults != NULL && oak_chaos_kinds_read(faults, &o->kinds, &e) != 0) {
        return oak_args_complain(command, CLI__EXIT_MISUSED, "--faults: %s; see --help", e.text);
    }
    size_t extra = 0;
    while (o->extra != NULL && o->extra[extra] != NULL) {
        extra++;
    }
    if (extra > OAK_CHAOS_EXTRA_MAX) {
        return oak_args_complain(command, CLI__EXIT_MISUSED, "too many flags behind --");
    }
    bool known = o->bug == NULL;
    for (int i = OAK_BUG_NONE + 1; i < OAK_BUG_COUNT && !known; i++) {
        known = strcmp(o->bug, oak_bug_name((enum oak_bug)i)) == 0;
    }
    if (!known) {
        return oak_args_complain(command, CLI__EXIT_MISUSED, "--bug: there is no bug named %.64s",
                                 o->bug);
    }
#if !defined(OAK_ZOO)
    if (o->bug != NULL) {
        return oak_args_complain(command, CLI__EXIT_MISUSED,
                                 "--bug needs a build with -DOAK_ZOO=ON (make zoo makes one)");
    }
#endif
    return CLI__EXIT_OK;
}

static const char more[] =
    "Faults, drawn from the seed, one to three at a time, then all heal and every node must come\n"
    "back: kill kill-all stop pause; disk-full disk-error disk-slow; partition-halves\n"
    "partition-isolate partition-one-way partition-bridge partition-ring; loss delay; clock-jump\n"
    "clock-drift. \"partition\" names all its shapes. Servers run in network namespaces of their\n"
    "own where that is allowed (as root), else on the loopback, without loss.\n"
    "Checked: each key's history has one order, nothing acknowledged is lost, all nodes end up\n"
    "equal, one leader a term, no process ends by itself, every node comes back.\n"
    "Exit code: 0 passed, 1 a promise was broken (data and logs are then kept), 2 not understood,\n"
    "3 it could not be run. DIR gets timeline.svg, faults.txt and history.txt.\n"
    "Flags behind -- go to every server.\n"
    "\n"
    "Examples:\n"
    "  oakum chaos --seconds 60\n"
    "  oakum chaos --seconds 60 -- --experimental-lease-reads 700\n"
    "  oakum chaos --seed 4711 --faults kill,partition --report ./report\n";

int cli__chaos(int argc, char *const *argv)
{
    struct oak_chaos_options o = {.nodes = 5, .seconds = 600, .report_dir = "oakum-chaos-report"};
    const char *faults = NULL;
    const char *output = "text";
    struct oak_clock clock = oak_os_clock();
    o.seed = clock.wall_ns(clock.user) / CLI__MS_NS;
    const struct oak_args_flag flags[] = {
        {"nodes", 'n', OAK_ARGS_NUMBER, &o.nodes, 1, OAK_CHAOS_NODES_MAX, "N",
         "servers (default 5, at most 7)"},
        {"seconds", 's', OAK_ARGS_NUMBER, &o.seconds, 1, OAK_CHAOS_SECONDS_MAX, "N",
         "how long to break things (default 600)"},
        {"seed", '\0', OAK_ARGS_NUMBER, &o.seed, 0, UINT64_MAX, "N",
         "the same faults again (default: from the clock, printed)"},
        {"faults", 'f', OAK_ARGS_TEXT, &faults, 0, 0, "A,B,C", "only these (default: all)"},
        {"loopback", '\0', OAK_ARGS_BOOL, &o.loopback, 0, 0, NULL,
         "no network namespaces, even where they are allowed"},
        {"report", 'r', OAK_ARGS_TEXT, &o.report_dir, 0, 0, "DIR",
         "where the report goes (default oakum-chaos-report)"},
        {"output", 'o', OAK_ARGS_TEXT, &output, 0, 0, "FORM", "text or json (default text)"},
        {"bug", '\0', OAK_ARGS_TEXT, &o.bug, 0, 0, "NAME",
         "wake a deliberate bug in every server (a build with -DOAK_ZOO=ON)"},
    };
    const struct oak_args_command command = {
        .name = "chaos",
        .summary = "Break a cluster of real processes on purpose, and judge what its clients saw.",
        .operands = "",
        .rest = true,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = more,
    };
    size_t count;
    char *const *rest;
    int code;
    if (!oak_args_parse(&command, argc, argv, NULL, &count, &rest, &code)) {
        return code;
    }
    o.extra = rest;
    code = options_check(&command, &o, faults, output);
    return code == CLI__EXIT_OK ? run(&command, &o, strcmp(output, "json") == 0) : code;
}
