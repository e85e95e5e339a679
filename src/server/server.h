/* SPDX-License-Identifier: Apache-2.0 */
/* server.h: the server: the real ports, wired to the rooms.
 *
 * One process is one member. Its threads: the loop (clients, peers, replica), the log writer, one
 * worker, and what RocksDB keeps for itself.
 */
#ifndef OAK_SERVER_H
#define OAK_SERVER_H

#include "restore/restore.h"

/* Parse the command line (argv[0] is the program), serve until SIGINT or SIGTERM, and return the
 * exit code: 0 after an orderly stop, 1 on a failure that was reported, 2 on bad usage. */
int oak_server_main(int argc, char **argv);
/* The version of etcd whose API it serves, as it tells it to clients: "3.6.14". */
const char *oak_server_etcd_version(void);

/* The data directory of a member of a new cluster, from etcd's snapshot. NULL: as the server's flag
 * of that name is when it is not given. */
struct oak_server_restore {
    const char *file;
    bool skip_hash_check;
    const char *data_dir;
    const char *wal_dir;
    const char *name;
    const char *initial_cluster;
    const char *initial_cluster_token;
    const char *initial_advertise_peer_urls;
    uint64_t bump_revision;
    bool mark_compacted;
    bool begin_anew; /* whatever an interrupted run has left */
    struct oak_restore_progress progress;
    /* There is something of an interrupted run, and so much of its work, of `total` bytes, can be
     * gone on with; NULL: nobody wants to know. */
    void (*resumed)(void *user, uint64_t done, uint64_t total);
};
struct oak_server_restored {
    char data_dir[1024];
    char name[256];
    uint64_t member;
    uint64_t cluster;
    size_t members;
    struct oak_restore_result state;
};
/* The directory is made, or is there and empty; it is whole after it, or as it was before.
 * OAK_EEXIST: there is something in it. Else as oak_restore_check() and oak_restore_fill(); `e`
 * says what to do. It blocks. */
OAK_MUST_USE int oak_server_restore(const struct oak_server_restore *options,
                                    struct oak_server_restored *out, struct oak_errbuf *e);

#endif
