/* SPDX-License-Identifier: Apache-2.0 */
/* dir.c: the directory of a run, and what runs that were killed have left.
 *
 *   $TMPDIR/oakum-chaos-<pid>-XXXXXX/
 *     RUNNING   there while the run goes on
 *     n1/ n1.log n1.faults …
 *
 * A run that ends removes its directory, or RUNNING alone when it keeps it: something was wrong. A
 * directory with RUNNING whose process is gone was left by a run that was killed: it is removed by
 * the next one.
 */
#include "chaos/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "oakum-chaos-"

static void tree_remove(const char *path)
{
    char *roots[] = {(char *)(uintptr_t)path, NULL}; /* fts reads it only */
    FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (tree == NULL) {
        return;
    }
    for (FTSENT *at = fts_read(tree); at != NULL; at = fts_read(tree)) {
        if (at->fts_info == FTS_DP) {
            rmdir(at->fts_accpath);
        } else if (at->fts_info != FTS_D) {
            unlink(at->fts_accpath);
        }
    }
    fts_close(tree);
}

static const char *base(void)
{
    const char *wanted = getenv("TMPDIR");
    bool usable = wanted != NULL && wanted[0] == '/' && strlen(wanted) < CHAOS_PATH_BYTES / 2;
    return usable ? wanted : "/tmp";
}

/* Ours, of a process that is gone, and not kept on purpose. */
static bool left_over(const char *name, char *path, size_t size)
{
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0) {
        return false;
    }
    char *end;
    long pid = strtol(name + strlen(PREFIX), &end, 10);
    if (pid <= 0 || *end != '-' || kill((pid_t)pid, 0) == 0 || errno != ESRCH) {
        return false;
    }
    char mark[CHAOS_PATH_BYTES];
    struct stat about;
    int wrote = snprintf(path, size, "%s/%s", base(), name);
    int more = snprintf(mark, sizeof(mark), "%s/%s/RUNNING", base(), name);
    return wrote > 0 && (size_t)wrote < size && more > 0 && (size_t)more < sizeof(mark) &&
           lstat(mark, &about) == 0 && about.st_uid == geteuid();
}

static void left_overs_remove(void)
{
    DIR *dir = opendir(base());
    if (dir == NULL) {
        return;
    }
    for (const struct dirent *at = readdir(dir); at != NULL; at = readdir(dir)) {
        char path[CHAOS_PATH_BYTES];
        if (left_over(at->d_name, path, sizeof(path))) {
            tree_remove(path);
        }
    }
    closedir(dir);
}

int chaos__dir_make(struct chaos *c, struct oak_errbuf *e)
{
    char mark[CHAOS_PATH_BYTES + 16];
    left_overs_remove();
    snprintf(c->dir, sizeof(c->dir), "%s/" PREFIX "%ld-XXXXXX", base(), (long)getpid());
    if (mkdtemp(c->dir) == NULL) {
        int error = oak_fail(e, OAK_EIO, "%.300s: %s", c->dir, strerror(errno));
        c->dir[0] = '\0';
        return error;
    }
    snprintf(mark, sizeof(mark), "%s/RUNNING", c->dir);
    FILE *file = fopen(mark, "we");
    return file != NULL && fclose(file) == 0
               ? 0
               : oak_fail(e, OAK_EIO, "%.300s: %s", mark, strerror(errno));
}

void chaos__dir_end(struct chaos *c, bool keep)
{
    if (c->dir[0] == '\0') {
        return;
    }
    if (keep) {
        char mark[CHAOS_PATH_BYTES + 16];
        snprintf(mark, sizeof(mark), "%s/RUNNING", c->dir);
        unlink(mark);
    } else {
        tree_remove(c->dir);
    }
}
