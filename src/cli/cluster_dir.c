/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_dir.c: the directory of `oakum up`: made, its logs shown, removed.
 *
 *   DIR/ports   what each server listens on
 *   DIR/n1/     data of the first server
 *   DIR/n1.log  its output
 */
#include "cli/cluster.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_BYTES 4096
#define TAIL_LINES 20

int cli__cluster_place(struct cli__cluster *c, const char *path, struct oak_errbuf *e)
{
    if (path == NULL) {
        const char *base = getenv("TMPDIR");
        bool usable = base != NULL && base[0] == '/' && strlen(base) < CLI__PATH_BYTES_MAX - 64;
        snprintf(c->dir, sizeof(c->dir), "%s/oakum-up-XXXXXX", usable ? base : "/tmp");
        if (mkdtemp(c->dir) == NULL) {
            return oak_fail(e, OAK_EIO, "%s: %s", c->dir, strerror(errno));
        }
        c->temporary = true;
    } else {
        char *whole = NULL;
        if (mkdir(path, 0700) == 0 || errno == EEXIST) {
            whole = realpath(path, NULL);
        }
        if (whole == NULL || strlen(whole) > sizeof(c->dir) - 64) {
            int error = oak_fail(e, OAK_EIO, "%.256s: %s", path,
                                 whole == NULL ? strerror(errno) : "the path is too long");
            free(whole);
            return error;
        }
        snprintf(c->dir, sizeof(c->dir), "%s", whole);
        free(whole);
    }
    return 0;
}

void cli__tree_remove(const char *path)
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

void cli__cluster_clean(struct cli__cluster *c)
{
    if (c->temporary) {
        cli__tree_remove(c->dir);
    }
}

void cli__tail_print(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    char text[TAIL_BYTES + 1];
    if (fseek(file, -TAIL_BYTES, SEEK_END) != 0) {
        rewind(file);
    }
    size_t size = fread(text, 1, TAIL_BYTES, file);
    fclose(file);
    size_t start = size;
    for (int lines = 0; start > 0; start--) {
        if (text[start - 1] == '\n' && start != size && ++lines == TAIL_LINES) {
            break;
        }
    }
    fprintf(stderr, "  the end of %s:\n", path);
    text[size] = '\0';
    for (char *line = text + start; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        fprintf(stderr, "  | %.*s\n", (int)length, line);
        line += length + (line[length] == '\n' ? 1 : 0);
    }
}
