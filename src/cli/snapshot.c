/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c: `oakum snapshot`: restore is a command of the server's side, the others are verbs of
 * etcdctl.
 *
 * Thread  the main one.
 */
#include "cli/internal.h"
#include "ctl/ctl.h"

int cli__snapshot(int argc, char *const *argv)
{
    const char *word = argc > 1 ? argv[1] : "--help";
    if (strcmp(word, "restore") == 0) {
        return cli__snapshot_restore(argc - 1, argv + 1);
    }
    if (strcmp(word, "--help") != 0 && strcmp(word, "-h") != 0) {
        return oak_ctl_main(argc, argv, false);
    }
    printf("Snapshots: files of etcd's format, which Oakum and etcd both make and take.\n\n"
           "Usage:\n  oakum snapshot COMMAND [flags]\n\nCommands:\n"
           "  save       write the state of a cluster into a file\n"
           "  status     show what is in a file\n"
           "  restore    make a data directory for a member of a new cluster from a file\n"
           "\noakum snapshot COMMAND --help tells more.\n");
    return CLI__EXIT_OK;
}
