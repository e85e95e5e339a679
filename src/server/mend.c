/* SPDX-License-Identifier: Apache-2.0 */
/* mend.c: a store that is damaged is set aside, and the member fills a new one from its peers.
 *
 * Happy path   1 start-up opens the store; it is whole, and nothing here happens
 * Damage       1 it can't be opened, or an earlier run has found damage in it and left the file
 *                store.suspect behind
 *              2 the directory becomes store.damaged, a new store begins
 *              3 the replica sees that the log has given up what the store now lacks, and is in
 *                doubt until its leader has sent it a snapshot (docs/internals/repair.md).
 * Can fail     a cluster of one has no peers: it refuses. So does a second damage while the first
 *              is still set aside: somebody should look at that disk.
 * Thread       start-up's; store_suspect also on the loop, when the process ends.
 */
#include "server/internal.h"

#include <stdio.h>

#define PATH_BYTES_MAX 4096

static int path_make(const struct server *s, const char *name, char *out)
{
    int size = snprintf(out, PATH_BYTES_MAX, "%s/%s", s->config.data_dir, name);
    return size < 0 || size >= PATH_BYTES_MAX ? OAK_EINVAL : 0;
}

static bool file_there(const struct oak_disk *disk, const char *path)
{
    struct oak_file *file;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error == 0) {
        disk->close(disk->user, file);
    }
    return error == 0;
}

void server__store_suspect(const struct server *s)
{
    const struct oak_disk *disk = s->disk;
    char path[PATH_BYTES_MAX];
    struct oak_file *file;
    if (path_make(s, "store.suspect", path) == 0 &&
        disk->open(disk->user, path, OAK_FILE_CREATE, &file) == 0) {
        (void)disk->sync(disk->user, file);
        disk->close(disk->user, file);
        (void)disk->sync_dir(disk->user, s->config.data_dir);
    }
}

static int store_open(struct server *s, const char *dir, struct oak_errbuf *e)
{
    const struct oak_store_options options = {
        .disk = s->disk,
        .log = s->log,
        .dir = dir,
    };
    return s->config.store == OAK_CONFIG_STORE_MEMORY
               ? oak_store_open_memory(&options, &s->store, e)
               : oak_store_open_rocks(&options, &s->store, e);
}

static int set_aside(struct server *s, const char *dir, struct oak_errbuf *e)
{
    const struct oak_disk *disk = s->disk;
    char aside[PATH_BYTES_MAX];
    char suspect[PATH_BYTES_MAX];
    int error = path_make(s, "store.damaged", aside);
    error = error != 0 ? error : path_make(s, "store.suspect", suspect);
    if (error == 0) {
        error = disk->rename(disk->user, dir, aside);
        if (error != 0) {
            return oak_fail(e, error,
                            "the store in %.900s is damaged and can't be set aside as %.900s (%s): "
                            "an earlier one may be there; look at the disk, remove it, and start "
                            "again",
                            dir, aside, oak_error_text(error));
        }
        oak_log(s->log, OAK_LOG_ERROR,
                "the store was damaged: it is set aside as %s, and this member gets its state from "
                "the others. Look at the disk",
                aside);
        error = disk->remove(disk->user, suspect);
        error = error == OAK_ENOENT ? 0 : error;
        error = error != 0 ? error : disk->sync_dir(disk->user, s->config.data_dir);
    }
    return error == 0 ? 0
                      : oak_fail(e, error, "the data directory %.900s: %s", s->config.data_dir,
                                 oak_error_text(error));
}

bool server__may_repair(const struct server *s)
{
    return s->identity.member_count > 1;
}

int server__store_open(struct server *s, struct oak_errbuf *e)
{
    char dir[PATH_BYTES_MAX];
    char suspect[PATH_BYTES_MAX];
    if (path_make(s, "store", dir) != 0 || path_make(s, "store.suspect", suspect) != 0) {
        return oak_fail(e, OAK_EINVAL, "--data-dir is too long");
    }
    bool marked = file_there(s->disk, suspect);
    if (marked && !server__may_repair(s)) {
        return oak_fail(e, OAK_ECORRUPT,
                        "the store in %.900s is damaged: an earlier run has found it, and left the "
                        "file %.900s. A cluster of one can't get its state from others: restore a "
                        "backup",
                        dir, suspect);
    }
    int error = marked ? OAK_ECORRUPT : store_open(s, dir, e);
    if (error == OAK_ECORRUPT && server__may_repair(s)) {
        if (!marked) {
            oak_log(s->log, OAK_LOG_ERROR, "%s", e->text);
        }
        error = set_aside(s, dir, e);
        error = error != 0 ? error : store_open(s, dir, e);
    }
    return error;
}
