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
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim/scene.h"
#include "sim/sim.h"

static const char usage[] =
    "See the simulator catch deliberate bugs: each one is set loose in a process of its own.\n"
    "\n"
    "Usage:\n"
    "  oakum zoo [BUG]\n"
    "\n"
    "Flags:\n"
    "  --help    this text\n"
    "\n"
    "Exit code 1 when one gets away. A build without bugs, as the usual one is, lists them and\n"
    "ends with code 2: make zoo makes one that has them.\n"
    "\n"
    "Example:\n"
    "  build-zoo/bin/oakum zoo vote_twice\n";

static bool help_wanted(int argc, char *const *argv)
{
    return argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
}

#if defined(OAK_ZOO)

#define SEEDS_MAX    3000 /* that are run */
#define HUNTERS      2    /* animals at a time */
#define TOLD_BYTES   512
#define SEED_SECONDS 60 /* of processor time; no seed takes as long: it hangs */

struct hunter {
    pid_t child; /* 0: the place is free */
    enum oak_bug bug;
    int told; /* what the child writes: its seeds, then what a checker said */
    double start;
};

struct toll {
    unsigned caught, missed;
};

/* A seed that hangs ends the child by a signal. How busy the machine is does not count. */
static void seed_clock_start(void)
{
    const struct itimerval clock = {.it_value.tv_sec = SEED_SECONDS};
    (void)setitimer(ITIMER_PROF, &clock, NULL);
}

/* Bugs of speed show where something is slow, and nowhere else. */
static bool scenes_catch(enum oak_bug bug, int told)
{
    static const enum oak_bug slow[] = {OAK_BUG_no_pushback, OAK_BUG_gray_ignored,
                                        OAK_BUG_log_held_for_ever, OAK_BUG_expiry_forgotten,
                                        OAK_BUG_gray_among_gray};
    bool hunted = false;
    for (size_t i = 0; i < OAK_COUNT_OF(slow); i++) {
        hunted = hunted || slow[i] == bug;
    }
    if (!hunted) {
        return false;
    }
    for (int kind = 0; kind < SCENE_COUNT; kind++) {
        struct scene_report report;
        seed_clock_start();
        (void)!ftruncate(told, 0);
        (void)!lseek(told, 0, SEEK_SET);
        dprintf(told, "1\n");
        scene_run((enum scene_kind)kind, 1, false, &report);
        if (report.what[0] != '\0') {
            dprintf(told, "%s: %.48s", scene_name((enum scene_kind)kind), report.what);
            return true;
        }
    }
    return false;
}

/* Bugs that can show only where there is something of a kind are hunted in such seeds alone. */
static bool lives_in(enum oak_bug bug, const struct oak_sim_options *options)
{
    static const struct {
        enum oak_bug bug;
        enum oak_sim_fault kind;
    } habitats[] = {
        {OAK_BUG_joint_one_majority, OAK_SIM_CHANGE},
        {OAK_BUG_joint_skipped, OAK_SIM_CHANGE},
        {OAK_BUG_config_not_rolled_back, OAK_SIM_CHANGE},
        {OAK_BUG_leaver_never_campaigns, OAK_SIM_CHANGE},
        {OAK_BUG_removed_leader_counts_itself, OAK_SIM_CHANGE},
        {OAK_BUG_learner_counts, OAK_SIM_CHANGE},
        {OAK_BUG_rollback_believed, OAK_SIM_ROLLBACK},
        {OAK_BUG_failed_write_survived, OAK_SIM_SYNC_FAILS},
        {OAK_BUG_doubt_ends_at_once, OAK_SIM_ROT},
        {OAK_BUG_doubt_not_started_over, OAK_SIM_ROT},
    };
    static const enum oak_bug of_leases[] = {
        OAK_BUG_lease_note_stays,   OAK_BUG_lease_revived,       OAK_BUG_lease_rest_is_added,
        OAK_BUG_lease_never_ends,   OAK_BUG_lease_keeps_key,     OAK_BUG_lease_granted_twice,
        OAK_BUG_revoke_takes_first, OAK_BUG_put_takes_any_lease, OAK_BUG_store_loses_leased,
    };
    static const enum oak_bug of_users[] = {
        OAK_BUG_auth_asked_once,          OAK_BUG_auth_old_revision,   OAK_BUG_auth_not_loaded,
        OAK_BUG_permission_takes_end,     OAK_BUG_role_is_still_held,  OAK_BUG_token_outlives_user,
        OAK_BUG_permission_outlives_role, OAK_BUG_token_outlives_auth,
    };
    bool lives = true;
    for (size_t i = 0; i < OAK_COUNT_OF(of_users); i++) {
        lives = lives && (of_users[i] != bug || oak_sim_has_guests(options));
    }
    for (size_t i = 0; i < OAK_COUNT_OF(of_leases); i++) {
        lives = lives && (of_leases[i] != bug || oak_sim_has_lessees(options));
    }
    for (size_t i = 0; i < OAK_COUNT_OF(habitats); i++) {
        lives = lives && (habitats[i].bug != bug || oak_sim_has(options, habitats[i].kind));
    }
    return lives;
}

/* Is it the seed that fails, and not the bug? */
static bool fails_without(const struct oak_sim_options *options, enum oak_bug bug)
{
    struct oak_sim_report report;
    oak_bug_awake = OAK_BUG_NONE;
    oak_sim_run(options, &report);
    oak_bug_awake = bug;
    return report.verdict == OAK_SIM_FAILED;
}

/* In the child: 0 caught by a checker, 1 not caught. An assertion ends it by SIGABRT. */
static int hunt(enum oak_bug bug, int told)
{
    oak_bug_awake = bug;
    if (scenes_catch(bug, told)) {
        return 0;
    }
    int run = 0;
    for (uint64_t seed = 1; run < SEEDS_MAX; seed++) {
        const struct oak_sim_options options = {.seed = seed, .alloc = oak_alloc_libc()};
        struct oak_sim_report report;
        if (!lives_in(bug, &options)) {
            continue;
        }
        run++;
        seed_clock_start();
        (void)!ftruncate(told, 0);
        (void)!lseek(told, 0, SEEK_SET);
        dprintf(told, "%" PRIu64 "\n", seed);
        oak_sim_run(&options, &report);
        if (report.verdict == OAK_SIM_FAILED && fails_without(&options, bug)) {
            continue; /* it proves nothing */
        }
        if (report.verdict == OAK_SIM_FAILED) {
            dprintf(told, "%.60s", report.what);
            return 0;
        }
    }
    return 1;
}

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool hunter_start(struct hunter *h, enum oak_bug bug)
{
    FILE *file = tmpfile();
    if (file == NULL) {
        perror("oakum zoo: a temporary file");
        return false;
    }
    int told = dup(fileno(file));
    fclose(file);
    fflush(stdout);
    *h = (struct hunter){.bug = bug, .told = told, .start = seconds_now()};
    h->child = fork();
    if (h->child == 0) {
        (void)!freopen("/dev/null", "w", stderr);
        _exit(hunt(bug, told));
    }
    return h->child > 0 && told >= 0;
}

/* A child has ended: say how. */
static void hunter_end(struct hunter *h, int status, struct toll *toll)
{
    char text[TOLD_BYTES] = "";
    ssize_t got = pread(h->told, text, sizeof(text) - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    close(h->told);
    size_t digits = strcspn(text, "\n");
    const char *what = text[digits] == '\n' ? text + digits + 1 : "";
    bool asserted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    bool caught = asserted || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
    printf("%-24s %-10s %5.1f s  seed %-4.*s %s\n", oak_bug_name(h->bug),
           caught ? "caught" : "NOT CAUGHT", seconds_now() - h->start, (int)digits, text,
           asserted ? "an assertion" : what);
    toll->caught += caught ? 1 : 0;
    toll->missed += caught ? 0 : 1;
    h->child = 0;
}

static void hunters_wait(struct hunter *hunters, struct toll *toll)
{
    int status = 0;
    pid_t child = wait(&status);
    for (size_t i = 0; i < HUNTERS; i++) {
        if (child > 0 && hunters[i].child == child) {
            hunter_end(&hunters[i], status, toll);
        }
    }
}

static struct hunter *hunter_free(struct hunter *hunters)
{
    for (size_t i = 0; i < HUNTERS; i++) {
        if (hunters[i].child == 0) {
            return &hunters[i];
        }
    }
    return NULL;
}

int oak_zoo_main(int argc, char *const *argv)
{
    if (help_wanted(argc, argv)) {
        fputs(usage, stdout);
        return 0;
    }
    struct hunter hunters[HUNTERS] = {0};
    struct toll toll = {0};
    double start = seconds_now();
    unsigned started = 0;
    for (int bug = OAK_BUG_NONE + 1; bug < OAK_BUG_COUNT; bug++) {
        if (argc > 1 && strcmp(argv[1], oak_bug_name((enum oak_bug)bug)) != 0) {
            continue;
        }
        struct hunter *h;
        while ((h = hunter_free(hunters)) == NULL) {
            hunters_wait(hunters, &toll);
        }
        if (!hunter_start(h, (enum oak_bug)bug)) {
            return 1;
        }
        started++;
    }
    while (toll.caught + toll.missed < started) {
        hunters_wait(hunters, &toll);
    }
    if (started == 0) {
        fprintf(stderr, "oakum zoo: there is no bug named %s\n", argv[1]);
        return 2;
    }
    printf("%.0f s\n", seconds_now() - start);
    printf("%u passed, %u failed\n", toll.caught, toll.missed);
    return toll.missed == 0 ? 0 : 1;
}

#else

int oak_zoo_main(int argc, char *const *argv)
{
    if (help_wanted(argc, argv)) {
        fputs(usage, stdout);
        return 0;
    }
    for (int bug = OAK_BUG_NONE + 1; bug < OAK_BUG_COUNT; bug++) {
        printf("%-24s %s\n", oak_bug_name((enum oak_bug)bug), oak_bug_text((enum oak_bug)bug));
    }
    fprintf(stderr, "oakum zoo: this build has no bugs in it; make zoo makes one that has\n");
    return 2;
}

#endif
