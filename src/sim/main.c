/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the command `oakum sim`: what it is told, and then search.c. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim/search.h"

static const char usage[] =
    "Run a whole cluster on one thread, from one seed, with faults, and check what it does.\n"
    "\n"
    "Usage:\n"
    "  oakum sim [--seed N] [--seeds N] [--seconds N] [--simulated-seconds N] [--jobs N]\n"
    "            [--bug NAME] [--trace] [--shrink] [--output text|json] [--quiet]\n"
    "            [--only-faults LIST] [--until MS] [--nodes N] [--clients N] [--groups N]\n"
    "\n"
    "Flags:\n"
    "  --seed N               the first seed; without it, one is taken from the clock and printed\n"
    "  --seeds N              run N seeds, one after the other (default 1 with --seed)\n"
    "  --seconds N            go on with further seeds for N seconds (default 10 without --seed)\n"
    "  --simulated-seconds N  length of the phase with faults (default 60)\n"
    "  --jobs N               processes that run seeds side by side (default: one a processor, "
    "when\n"
    "                         there is more than one seed)\n"
    "  --shrink               make a failing run smaller: fewer faults, less time, fewer nodes\n"
    "  --only-faults LIST     of the faults only these, by their numbers (3,17,churn.2), or none\n"
    "  --until MS             length of the phase with faults, in milliseconds\n"
    "  --nodes, --clients, --groups N\n"
    "                         instead of what the seed draws\n"
    "  --bug NAME             wake a deliberate bug (a build with -DOAK_ZOO=ON; `oakum zoo` lists "
    "them)\n"
    "  --trace                print what happens, line by line\n"
    "  --output FORM          text or json, a line for each run (default text)\n"
    "  --quiet                print only failures and totals\n"
    "  --help                 this text\n"
    "\n"
    "Ends at the first failure, with exit code 1 and the command that replays it.\n"
    "\n"
    "Example:\n"
    "  oakum sim --seed 42 --trace\n";

static bool number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}

static bool bug_named(const char *name, enum oak_bug *out)
{
    for (int i = OAK_BUG_NONE + 1; i < OAK_BUG_COUNT; i++) {
        if (strcmp(oak_bug_name((enum oak_bug)i), name) == 0) {
            *out = (enum oak_bug)i;
            return true;
        }
    }
    return false;
}

/* "3,17,churn.2", or "none". */
static bool faults_read(struct search *a, const char *text)
{
    a->only_given = true;
    a->only_count = 0;
    free(a->only);
    a->only = calloc(strlen(text) + 1, sizeof(*a->only));
    OAK_ASSERT(a->only != NULL);
    if (strcmp(text, "none") == 0) {
        return true;
    }
    while (*text != '\0') {
        uint32_t id = fault_parse(&text);
        if (id == 0) {
            return false;
        }
        a->only[a->only_count++] = id;
    }
    return a->only_count > 0;
}

/* One option with its value. False: not understood. */
static bool option(struct search *a, const char *name, const char *value)
{
    uint64_t n = 0;
    if (strcmp(name, "--seed") == 0) {
        a->seed_given = true;
        return number(value, &a->seed);
    }
    if (strcmp(name, "--seeds") == 0) {
        return number(value, &a->seeds) && a->seeds > 0;
    }
    if (strcmp(name, "--seconds") == 0) {
        return number(value, &a->seconds) && a->seconds > 0;
    }
    if (strcmp(name, "--simulated-seconds") == 0) {
        a->simulated_ms = 0;
        bool good = number(value, &n) && n > 0 && n <= 86400;
        a->simulated_ms = n * 1000;
        return good;
    }
    if (strcmp(name, "--jobs") == 0) {
        return number(value, &a->jobs) && a->jobs >= 1 && a->jobs <= SEARCH_JOBS_MAX;
    }
    if (strcmp(name, "--until") == 0) {
        return number(value, &a->simulated_ms) && a->simulated_ms > 0;
    }
    if (strcmp(name, "--nodes") == 0) {
        return number(value, &a->nodes) && a->nodes >= 1 && a->nodes <= SIM_NODES_MAX;
    }
    if (strcmp(name, "--clients") == 0) {
        return number(value, &a->clients) && a->clients >= 1 && a->clients <= SIM_CLIENTS_MAX;
    }
    if (strcmp(name, "--groups") == 0) {
        return number(value, &a->groups) && a->groups >= 1 && a->groups <= SIM_GROUPS_MAX;
    }
    if (strcmp(name, "--only-faults") == 0) {
        return faults_read(a, value);
    }
    if (strcmp(name, "--bug") == 0) {
        return bug_named(value, &a->bug);
    }
    if (strcmp(name, "--output") == 0) {
        a->json = strcmp(value, "json") == 0;
        return a->json || strcmp(value, "text") == 0;
    }
    return false;
}

/* 0: go on; 1: help was asked for; -1: bad usage, said. */
static int arguments_read(int argc, char *const *argv, struct search *a)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--shrink") == 0) {
            a->shrink = true;
        } else if (strcmp(argv[i], "--trace") == 0) {
            a->trace = true;
        } else if (strcmp(argv[i], "--quiet") == 0) {
            a->quiet = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 1;
        } else if (i + 1 < argc && option(a, argv[i], argv[i + 1])) {
            i++;
        } else {
            fprintf(stderr,
                    "oakum sim: %s is not understood, or its value is not; see oakum sim --help\n",
                    argv[i]);
            return -1;
        }
    }
#if !defined(OAK_ZOO)
    if (a->bug != OAK_BUG_NONE) {
        fprintf(stderr, "oakum sim: --bug needs a build with -DOAK_ZOO=ON (make zoo makes one)\n");
        return -1;
    }
#endif
    return 0;
}

int oak_sim_main(int argc, char *const *argv)
{
    struct search a = {0};
    int read = arguments_read(argc, argv, &a);
    if (read != 0) {
        free(a.only);
        return read > 0 ? 0 : 2;
    }
    if (!a.seed_given) {
        a.seed = search_seed();
    }
    a.seeds = a.seeds != 0 ? a.seeds : a.seed_given && a.seconds == 0 ? 1 : UINT64_MAX;
    a.seconds = a.seconds == 0 && a.seeds == UINT64_MAX ? 10 : a.seconds;
#if defined(OAK_ZOO)
    oak_bug_awake = a.bug;
#endif
    int code = search_run(&a);
    free(a.only);
    return code;
}
