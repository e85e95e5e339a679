/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the program `oakum`: which command is meant.
 *
 * Without a command, or with a server's flag in its place, it is a server, as etcd is; a verb of
 * etcdctl is one here too, and its flags may stand before it. Under the names etcd and etcdctl it
 * is nothing but that, so that a link can stand in for etcd's own programs.
 */
#include "cli/internal.h"
#include "ctl/ctl.h"
#include "server/server.h"
#include "sim/sim.h"

#ifndef OAK_VERSION
#error "OAK_VERSION comes from the build"
#endif

static int help(int argc, char *const *argv);
static int version(int argc, char *const *argv);

static const struct cli__entry commands[] = {
    {"up", "start a cluster on this machine, for trying things out", cli__up, true},
    {"status", "show who leads, and how far each server is", cli__status, true},
    {"import", "make a data directory from etcd's snapshot or data directory", cli__import, true},
    {"snapshot", "restore a snapshot; save and status are below", cli__snapshot, false},
    {"bench", "put load on a cluster, and measure it", cli__bench, true},
    {"chaos", "break a cluster of real processes on purpose, and judge it", cli__chaos, true},
    {"sim", "run a whole cluster on one thread, with faults, and check it", oak_sim_main, false},
    {"zoo", "see the simulator catch deliberate bugs, or list them", oak_zoo_main, false},
    {"repl", "a shell of these commands, with history and completion", cli__repl, true},
    {"completion", "complete commands and keys in a shell", cli__completion, true},
    {"version", "print the version", version, false},
    {"help", "this text, or the help of a command", help, false},
};

static const struct cli__entry *find(const char *name)
{
    for (size_t i = 0; i < OAK_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

struct meant {
    struct oak_args_nearest nearest;
    char word[64]; /* a verb is gone when it was told */
};

static void verb_try(void *user, const char *word, const char *summary)
{
    struct meant *meant = user;
    const char *before = meant->nearest.found;
    (void)summary;
    oak_args_nearest_try(&meant->nearest, word);
    if (meant->nearest.found != before) {
        snprintf(meant->word, sizeof(meant->word), "%s", word);
        meant->nearest.found = meant->word;
    }
}

static int unknown(const char *name)
{
    struct meant meant;
    oak_args_nearest_begin(&meant.nearest, name);
    for (size_t i = 0; i < OAK_COUNT_OF(commands); i++) {
        oak_args_nearest_try(&meant.nearest, commands[i].name);
    }
    oak_ctl_words_each(NULL, verb_try, &meant);
    bool near = meant.nearest.found != NULL;
    fprintf(stderr, "oakum: there is no command \"%.64s\"%s%s%s; see oakum help\n", name,
            near ? " (is " : "", near ? meant.nearest.found : "", near ? " meant?)" : "");
    return CLI__EXIT_MISUSED;
}

static int help_whole(void)
{
    printf(
        "oakum is a replicated, strongly consistent store for keys and values that speaks etcd's "
        "API.\n\n"
        "Usage:\n"
        "  oakum [flags]            a server; oakum --help lists its flags\n"
        "  oakum COMMAND [flags]    oakum COMMAND --help tells more, with examples\n\n"
        "Servers:\n");
    for (size_t i = 0; i < OAK_COUNT_OF(commands); i++) {
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    }
    oak_ctl_help();
    puts(
        "\noakum help COMMAND has flags and examples, oakum help verbs a line for each verb, oakum "
        "help\noptions the flags that all verbs have: --endpoints, --output, --user ...");
    return CLI__EXIT_OK;
}

static int help(int argc, char *const *argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "version") == 0) {
        return help_whole();
    }
    if (strcmp(argv[1], "verbs") == 0) {
        oak_ctl_verbs_help();
        return CLI__EXIT_OK;
    }
    if (strcmp(argv[1], "options") == 0) {
        oak_ctl_options_help();
        return CLI__EXIT_OK;
    }
    static char flag[] = "--help";
    char *words[] = {argv[1], argc > 2 ? argv[2] : flag, flag, NULL};
    const struct cli__entry *entry = find(argv[1]);
    if (entry == NULL && oak_ctl_is_verb(argv[1])) {
        return oak_ctl_main(3, words, false);
    }
    return entry == NULL ? unknown(argv[1]) : entry->run(3, words);
}

static int version(int argc, char *const *argv)
{
    (void)argc;
    (void)argv;
    printf("oakum " OAK_VERSION "\n");
    return CLI__EXIT_OK;
}

/* What scripts read of etcdctl: the version whose API is spoken. */
static int etcdctl_version(void)
{
    const char *etcd = oak_server_etcd_version();
    int minor = (int)(strrchr(etcd, '.') - etcd);
    printf("etcdctl version: %s\nAPI version: %.*s\nOakum version: " OAK_VERSION "\n", etcd, minor,
           etcd);
    return CLI__EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "oakum";
    bool etcdctl = strcmp(name, "etcdctl") == 0;
    if (etcdctl && argc < 2) {
        oak_ctl_help();
        return CLI__EXIT_OK;
    }
    if (strcmp(name, "etcd") == 0 || argc < 2) {
        return oak_server_main(argc, argv);
    }
    if (etcdctl && strcmp(argv[1], "version") == 0) {
        return etcdctl_version();
    }
    const struct cli__entry *entry = find(argv[1]);
    if (entry != NULL) {
        return entry->run(argc - 1, argv + 1);
    }
    if (strcmp(argv[1], "__complete") == 0) {
        return cli__complete(commands, OAK_COUNT_OF(commands), argc - 1, argv + 1);
    }
    if (etcdctl || oak_ctl_is_verb(argv[1]) || oak_ctl_is_meant(argc, argv)) {
        return oak_ctl_main(argc - 1, argv + 1, etcdctl);
    }
    bool flag = argv[1][0] == '-' || argv[1][0] == '\0';
    return flag ? oak_server_main(argc, argv) : unknown(argv[1]);
}
