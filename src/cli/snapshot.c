/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c: `oakum snapshot`: which of its commands is meant.
 *
 * Thread  the main one.
 */
#include "cli/internal.h"

struct entry {
    const char *name;
    const char *summary;
    int (*run)(int argc, char *const *argv);
};

static const struct entry commands[] = {
    {"restore", "make a data directory of a snapshot", cli__snapshot_restore},
};

int cli__snapshot(int argc, char *const *argv)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    for (size_t i = 0; i < OAK_COUNT_OF(commands); i++) {
        if (strcmp(commands[i].name, word) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (!help) {
        fprintf(stderr, "oakum snapshot: there is no command \"%.64s\"; see --help\n", word);
        return CLI__EXIT_MISUSED;
    }
    printf("Snapshots: files of etcd's format, which Oakum and etcd both make and take.\n\n"
           "Usage:\n  oakum snapshot COMMAND [flags]\n\nCommands:\n");
    for (size_t i = 0; i < OAK_COUNT_OF(commands); i++) {
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    printf("\noakum snapshot COMMAND --help tells more.\n");
    return CLI__EXIT_OK;
}
