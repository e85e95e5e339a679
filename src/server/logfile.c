/* SPDX-License-Identifier: Apache-2.0 */
/* logfile.c: a file of log lines, and its rotation.
 *
 * Happy path   a line that would make the file too long: 1 it is renamed, with the time in its name
 *              2 a new one is opened 3 those renamed that are too many or too old are removed
 * Can fail     a disk that is full, a directory that is gone: the line is lost, the next is tried;
 *              a file that can't be renamed grows on.
 * Invariants   a line is in one file, whole, unless the disk is full. Names are removed only if
 *              they are the file's own with a time in it.
 * Thread       any, one at a time by the lock.
 */
#include "server/logfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/os.h"

#define PATH_BYTES_MAX 4096
/* "-2026-01-31T12-00-00.000" */
#define STAMP_BYTES 24
#define DAY_S       86400

struct logfile {
    const char *path;
    const struct oak_config_rotation *rotation;
    struct oak_clock clock;
    pthread_mutex_t lock; /* protects what follows */
    int fd;
    uint64_t bytes;
    bool told; /* that a line was lost */
};

static int file_open(struct logfile *f)
{
    f->fd = open(f->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    struct stat about = {0};
    f->bytes = f->fd >= 0 && fstat(f->fd, &about) == 0 ? (uint64_t)about.st_size : 0;
    return f->fd >= 0 ? 0 : oak_os_error(errno);
}

int logfile_open(const char *path, const struct oak_config_rotation *rotation,
                 struct oak_clock clock, struct logfile **out, struct oak_errbuf *e)
{
    struct logfile *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return oak_fail(e, OAK_ENOMEM, "out of memory");
    }
    *f = (struct logfile){.path = path, .rotation = rotation, .clock = clock};
    int error = strlen(path) < PATH_BYTES_MAX - 2 * STAMP_BYTES ? file_open(f) : OAK_EINVAL;
    if (error != 0) {
        free(f);
        return oak_fail(e, error, "--log-outputs: can't open %.300s: %s", path,
                        oak_error_text(error));
    }
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return 0;
}

void logfile_close(struct logfile *f)
{
    if (f == NULL) {
        return;
    }
    if (f->fd >= 0) {
        close(f->fd);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* -- names ------------------------------------------------------------------------------------- */

/* The path up to the extension of its last part, or up to its end. */
static size_t stem_size(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash != NULL ? slash : path, '.');
    return dot != NULL ? (size_t)(dot - path) : strlen(path);
}

static void stamp(const struct logfile *f, time_t seconds, unsigned ms, char *out, size_t size)
{
    struct tm tm = {0};
    if (f->rotation->local_time) {
        localtime_r(&seconds, &tm);
    } else {
        gmtime_r(&seconds, &tm);
    }
    out[0] = '-';
    size_t length = 1 + strftime(out + 1, size - 1, "%Y-%m-%dT%H-%M-%S", &tm);
    snprintf(out + length, size - length, ".%03u", ms);
}

static bool is_stamp(const char *text)
{
    static const char form[] = "-dddd-dd-ddTdd-dd-dd.ddd";
    OAK_STATIC_ASSERT(sizeof(form) - 1 == STAMP_BYTES, "the form is as long as a stamp");
    for (size_t i = 0; i < STAMP_BYTES; i++) {
        bool digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == 'd' ? !digit : text[i] != form[i]) {
            return false;
        }
    }
    return true;
}

/* -- rotation ---------------------------------------------------------------------------------- */

struct old {
    const struct logfile *file;
    const char *name; /* the last part of the path */
    size_t stem;      /* of the name */
};

/* Is `name` one of ours that was renamed? Its stamp. */
static const char *stamp_of(const struct old *o, const char *name)
{
    size_t rest = strlen(o->name) - o->stem;
    bool fits = strlen(name) == o->stem + STAMP_BYTES + rest &&
                strncmp(name, o->name, o->stem) == 0 && is_stamp(name + o->stem) &&
                strcmp(name + o->stem + STAMP_BYTES, o->name + o->stem) == 0;
    return fits ? name + o->stem : NULL;
}

/* How many renamed ones are newer than this stamp. Few files: a walk for each is cheap. */
static size_t newer_count(const struct old *o, const char *dir, const char *than)
{
    size_t count = 0;
    DIR *d = opendir(dir);
    for (const struct dirent *at; d != NULL && (at = readdir(d)) != NULL;) {
        const char *s = stamp_of(o, at->d_name);
        count += s != NULL && strncmp(s, than, STAMP_BYTES) > 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return count;
}

static void prune(const struct logfile *f, time_t now)
{
    const struct oak_config_rotation *r = f->rotation;
    char dir[PATH_BYTES_MAX], oldest[STAMP_BYTES + 8], path[2 * PATH_BYTES_MAX];
    const char *slash = strrchr(f->path, '/');
    const char *name = slash != NULL ? slash + 1 : f->path;
    snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - f->path) + 1 : 1,
             slash != NULL ? f->path : ".");
    struct old o = {.file = f, .name = name, .stem = stem_size(name)};
    stamp(f, now - (time_t)r->max_days * DAY_S, 0, oldest, sizeof(oldest));
    DIR *d = r->max_files > 0 || r->max_days > 0 ? opendir(dir) : NULL;
    for (const struct dirent *at; d != NULL && (at = readdir(d)) != NULL;) {
        const char *s = stamp_of(&o, at->d_name);
        bool old = s != NULL && r->max_days > 0 && strncmp(s, oldest, STAMP_BYTES) < 0;
        bool many = s != NULL && r->max_files > 0 && newer_count(&o, dir, s) >= r->max_files;
        if (old || many) {
            snprintf(path, sizeof(path), "%s/%s", dir, at->d_name);
            OAK_MAYBE(unlink(path) == 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static void rotate(struct logfile *f)
{
    char path[PATH_BYTES_MAX], when[STAMP_BYTES + 8];
    size_t stem = stem_size(f->path);
    uint64_t now_ns = f->clock.wall_ns(f->clock.user);
    time_t now = (time_t)(now_ns / 1000000000);
    stamp(f, now, (unsigned)(now_ns / 1000000 % 1000), when, sizeof(when));
    snprintf(path, sizeof(path), "%.*s%.*s%s", (int)stem, f->path, STAMP_BYTES, when,
             f->path + stem);
    if (rename(f->path, path) != 0) {
        return; /* it grows on */
    }
    close(f->fd);
    OAK_MAYBE(file_open(f) == 0);
    prune(f, now);
}

void logfile_write(struct logfile *f, const char *line, size_t size)
{
    pthread_mutex_lock(&f->lock);
    uint64_t max = f->rotation != NULL ? (uint64_t)f->rotation->max_mb * OAK_MIB : UINT64_MAX;
    if (f->bytes > 0 && f->bytes + size > max) {
        rotate(f);
    }
    if (f->fd < 0) {
        OAK_MAYBE(file_open(f) == 0);
    }
    ssize_t done = f->fd >= 0 ? write(f->fd, line, size) : -1;
    f->bytes += done > 0 ? (uint64_t)done : 0;
    if (done != (ssize_t)size && !f->told) {
        fprintf(stderr, "log lines are lost: %s can't be written\n", f->path);
    }
    f->told = done != (ssize_t)size;
    pthread_mutex_unlock(&f->lock);
}
