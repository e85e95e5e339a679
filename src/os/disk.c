/* SPDX-License-Identifier: Apache-2.0 */
/* disk.c: files, blocking.
 *
 * Happy path   one call, one system call; short counts are carried on, EINTR is tried again, but
 *              for sync: a sync that failed is never tried again, whatever the reason.
 * Can fail     everything, with the codes of port.h.
 * Invariants   only regular files are opened: a FIFO would block, a directory can't be written.
 * Thread       any; a file by one at a time.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "os/internal.h"

/* The kernel moves at most 2 GiB - 4 KiB a call. */
#define MOVE_BYTES ((size_t)1024 * OAK_MIB)

struct oak_file {
    int fd;
};

static int disk_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    (void)user;
    int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    flags |= mode == OAK_FILE_READ ? O_RDONLY : O_RDWR;
    flags |= mode == OAK_FILE_CREATE ? O_CREAT | O_EXCL : 0;
    struct oak_file *file = malloc(sizeof(*file));
    if (file == NULL) {
        return OAK_ENOMEM;
    }
    do {
        file->fd = open(path, flags, 0600);
    } while (file->fd < 0 && errno == EINTR);
    if (file->fd < 0) {
        int error = errno == ENXIO ? OAK_EINVAL : oak_os_error(errno); /* ENXIO: a FIFO */
        free(file);
        return error;
    }
    struct stat about;
    int error = fstat(file->fd, &about) != 0 ? oak_os_error(errno)
                : !S_ISREG(about.st_mode)    ? OAK_EINVAL
                                             : 0;
    if (error != 0) {
        close(file->fd);
        free(file);
        return error;
    }
    *out = file;
    return 0;
}

static void disk_close(void *user, struct oak_file *file)
{
    (void)user;
    if (file != NULL) {
        close(file->fd); /* what it could report was reported by sync */
        free(file);
    }
}

static int disk_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                     size_t *got)
{
    (void)user;
    uint8_t *at = out;
    *got = 0;
    if (offset > INT64_MAX || size > INT64_MAX - offset) {
        return OAK_EINVAL;
    }
    while (*got < size) {
        size_t left = size - *got;
        ssize_t n = pread(file->fd, at + *got, OAK_MIN(left, MOVE_BYTES), (off_t)(offset + *got));
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return oak_os_error(errno);
        }
        *got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int disk_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                      size_t size)
{
    (void)user;
    const uint8_t *at = data;
    if (offset > INT64_MAX || size > INT64_MAX - offset) {
        return OAK_EINVAL;
    }
    size_t done = 0;
    while (done < size) {
        size_t left = size - done;
        ssize_t n = pwrite(file->fd, at + done, OAK_MIN(left, MOVE_BYTES), (off_t)(offset + done));
        if (n < 0 && errno != EINTR) {
            return oak_os_error(errno);
        }
        if (n == 0) {
            return OAK_EIO;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int disk_sync(void *user, struct oak_file *file)
{
    (void)user;
    /* Whatever the reason, even a full disk: the pages are marked clean and may be gone. */
    return fdatasync(file->fd) == 0 ? 0 : OAK_EIO;
}

static int disk_size(void *user, struct oak_file *file, uint64_t *out)
{
    (void)user;
    struct stat about;
    if (fstat(file->fd, &about) != 0) {
        return oak_os_error(errno);
    }
    *out = (uint64_t)about.st_size;
    return 0;
}

static int disk_truncate(void *user, struct oak_file *file, uint64_t size)
{
    (void)user;
    if (size > INT64_MAX) {
        return OAK_EINVAL;
    }
    int rc;
    do {
        rc = ftruncate(file->fd, (off_t)size);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 ? 0 : oak_os_error(errno);
}

static int disk_rename(void *user, const char *from, const char *to)
{
    (void)user;
    return rename(from, to) == 0 ? 0 : oak_os_error(errno);
}

static int disk_remove(void *user, const char *path)
{
    (void)user;
    if (unlink(path) == 0) {
        return 0;
    }
    if (errno == EISDIR || errno == EPERM) {
        return rmdir(path) == 0 ? 0 : oak_os_error(errno);
    }
    return oak_os_error(errno);
}

static int disk_make_dir(void *user, const char *path)
{
    (void)user;
    if (mkdir(path, 0700) == 0) {
        return 0;
    }
    struct stat about;
    if (errno == EEXIST && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        return 0;
    }
    return oak_os_error(errno);
}

static int disk_sync_dir(void *user, const char *path)
{
    (void)user;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return oak_os_error(errno);
    }
    int error = fsync(fd) == 0 ? 0 : OAK_EIO;
    close(fd);
    return error;
}

/* The names are gathered first: the callback may create and remove. */
static int names_read(DIR *dir, struct oak_buf *names)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return oak_os_error(errno);
        }
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
            continue;
        }
        if (oak_buf_append(names, name, strlen(name) + 1) != 0) {
            return OAK_ENOMEM;
        }
    }
}

static int disk_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                     void *arg)
{
    (void)user;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return oak_os_error(errno);
    }
    struct oak_buf names = {0};
    int error = names_read(dir, &names);
    closedir(dir);
    for (size_t at = 0; error == 0 && at < names.size;) {
        const char *name = (const char *)names.data + at;
        at += strlen(name) + 1;
        each(arg, name);
    }
    oak_buf_fini(&names);
    return error;
}

static int disk_space(void *user, const char *path, uint64_t *free_bytes)
{
    (void)user;
    struct statvfs about;
    int failed;
    do {
        failed = statvfs(path, &about);
    } while (failed != 0 && errno == EINTR);
    if (failed != 0) {
        return oak_os_error(errno);
    }
    /* What is kept for the superuser is not ours. */
    *free_bytes = (uint64_t)about.f_bavail * (uint64_t)about.f_frsize;
    return 0;
}

const struct oak_disk *oak_os_disk(void)
{
    static const struct oak_disk disk = {
        .open = disk_open,
        .close = disk_close,
        .read = disk_read,
        .write = disk_write,
        .sync = disk_sync,
        .size = disk_size,
        .truncate = disk_truncate,
        .rename = disk_rename,
        .remove = disk_remove,
        .make_dir = disk_make_dir,
        .sync_dir = disk_sync_dir,
        .list = disk_list,
        .space = disk_space,
    };
    return &disk;
}
