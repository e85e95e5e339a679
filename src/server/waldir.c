/* SPDX-License-Identifier: Apache-2.0 */
/* waldir.c: where the log of a member is. It is chosen once, at its birth, and written into the
 * file <data>/wal-dir: a member that came up with another log, an empty one, would have forgotten
 * its votes.
 *
 * Thread: start-up's; blocks on the disk.
 */
#include <stdio.h>

#include "server/internal.h"

#define PATH_BYTES_MAX 4096

int server__wal_dir_told(const struct oak_disk *disk, const char *path, char *out, size_t size)
{
    struct oak_file *file = NULL;
    size_t got = 0;
    out[0] = '\0';
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error == OAK_ENOENT) {
        return 0;
    }
    if (error == 0) {
        error = disk->read(disk->user, file, 0, out, size - 1, &got);
        disk->close(disk->user, file);
        out[got] = '\0';
        out[strcspn(out, "\n")] = '\0';
    }
    return error;
}

static int told_write(const struct oak_disk *disk, const char *dir, const char *path,
                      const char *text)
{
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->write(disk->user, file, 0, text, strlen(text));
        error = error != 0 ? error : disk->write(disk->user, file, strlen(text), "\n", 1);
        error = error != 0 ? error : disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    return error != 0 ? error : disk->sync_dir(disk->user, dir);
}

static void seen(void *arg, const char *name)
{
    bool *wal = arg;
    *wal = *wal || strcmp(name, "wal") == 0;
}

int server__wal_dir(const struct server *s, const char **out, struct oak_errbuf *e)
{
    const struct oak_disk *disk = s->disk;
    const char *dir = s->config.data_dir;
    const char *wanted = s->config.wal_dir;
    char path[PATH_BYTES_MAX], told[PATH_BYTES_MAX];
    bool inside = false;
    int size = snprintf(path, sizeof(path), "%s/wal-dir", dir);
    int error = size < PATH_BYTES_MAX && strlen(wanted) < PATH_BYTES_MAX ? 0 : OAK_EINVAL;
    error = error != 0 ? error : server__wal_dir_told(disk, path, told, sizeof(told));
    error = error != 0 ? error : disk->list(disk->user, dir, seen, &inside);
    if (error == 0 && told[0] == '\0' && !inside && wanted[0] != '\0') {
        error = told_write(disk, dir, path, wanted);
    } else if (error == 0 && strcmp(told, wanted) != 0) {
        return told[0] != '\0'
                   ? oak_fail(e, OAK_EINVAL, "the log of this member is in %s: give --wal-dir=%s",
                              told, told)
                   : oak_fail(e, OAK_EINVAL,
                              "the log of this member is in %s/wal: leave --wal-dir out", dir);
    }
    *out = wanted[0] != '\0' ? wanted : NULL;
    return error == 0 ? 0 : oak_fail(e, error, "can't read %s: %s", path, oak_error_text(error));
}
