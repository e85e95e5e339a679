/* SPDX-License-Identifier: Apache-2.0 */
/* zoo.c: every deliberate bug must be caught, each by a process of its own.
 *
 * A bug may also be caught by an assertion, which ends a process: so each is hunted in a child. The
 * seeds are fixed: a checker that catches an animal today and misses it tomorrow is a change to
 * look at.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/sim.h"

#if defined(OAK_ZOO)

#define SEEDS_MAX 3000

/* In the child: 0 caught by a checker, 1 not caught. An assertion ends it by SIGABRT. */
static int hunt(enum oak_bug bug, int report_fd)
{
    oak_bug_awake = bug;
    for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
        const struct oak_sim_options options = {.seed = seed, .alloc = oak_alloc_libc()};
        struct oak_sim_report report;
        dprintf(report_fd, "%" PRIu64 "\n", seed);
        oak_sim_run(&options, &report);
        if (report.verdict == OAK_SIM_FAILED) {
            dprintf(report_fd, "%.60s\n", report.what);
            return 0;
        }
    }
    return 1;
}

static bool animal_check(enum oak_bug bug)
{
    int ends[2];
    if (pipe(ends) != 0) {
        perror("pipe");
        return false;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        (void)!freopen("/dev/null", "w", stderr);
        _exit(hunt(bug, ends[1]));
    }
    close(ends[1]);
    FILE *lines = fdopen(ends[0], "r");
    char line[256], last[256] = "", seed[256] = "";
    while (lines != NULL && fgets(line, sizeof(line), lines) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        memcpy(strspn(line, "0123456789") == strlen(line) ? seed : last, line, sizeof(line));
    }
    if (lines != NULL) {
        fclose(lines);
    }
    int status = 0;
    waitpid(child, &status, 0);
    bool asserted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    bool caught = asserted || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    printf("%-24s %-10s seed %-5s %s\n", oak_bug_name(bug), caught ? "caught" : "NOT CAUGHT", seed,
           asserted ? "by an assertion" : last);
    return caught;
}

int oak_zoo_main(int argc, char *const *argv)
{
    unsigned passed = 0, failed = 0;
    for (int bug = OAK_BUG_NONE + 1; bug < OAK_BUG_COUNT; bug++) {
        if (argc > 1 && strcmp(argv[1], oak_bug_name((enum oak_bug)bug)) != 0) {
            continue;
        }
        bool caught = animal_check((enum oak_bug)bug);
        passed += caught ? 1 : 0;
        failed += caught ? 0 : 1;
    }
    if (passed + failed == 0) {
        fprintf(stderr, "oakum zoo: there is no bug named %s\n", argv[1]);
        return 2;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}

#else

int oak_zoo_main(int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    for (int bug = OAK_BUG_NONE + 1; bug < OAK_BUG_COUNT; bug++) {
        printf("%-24s %s\n", oak_bug_name((enum oak_bug)bug), oak_bug_text((enum oak_bug)bug));
    }
    fprintf(stderr, "oakum zoo: this build has no bugs in it; make zoo makes one that has\n");
    return 2;
}

#endif
