/* SPDX-License-Identifier: Apache-2.0 */
/* lincheck.c: is this history of clients linearizable, each key by itself, and do the revisions
 * that they were told fit real time over all keys? The simulator's checkers (check/check.h) on a
 * file.
 *
 *     lincheck FILE
 *
 * historian.c tells what a line is. The answer is a line of JSON; code 0: yes; 1: no, or some key
 * could not be decided; 2: the file can't be read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check/check.h"

static bool kind_read(const char *name, enum op_kind *out)
{
    static const char *const kinds[] = {
        [OP_PUT] = "put", [OP_GET] = "get", [OP_DELETE] = "delete", [OP_CAS] = "cas"};
    for (size_t i = 0; i < OAK_COUNT_OF(kinds); i++) {
        if (strcmp(name, kinds[i]) == 0) {
            *out = (enum op_kind)i;
            return true;
        }
    }
    return false;
}

static bool line_read(const char *line, struct op *op)
{
    char kind[16], ret[24];
    *op = (struct op){0};
    int fields = sscanf(line,
                        "%15s %d %d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
                        " %" SCNd64 " %" SCNu64 " %23s",
                        kind, &op->client, &op->node, &op->key, &op->arg, &op->expect, &op->result,
                        &op->version, &op->revision, &op->call, ret);
    if (fields != 11 || !kind_read(kind, &op->kind)) {
        return false;
    }
    op->ret = UINT64_MAX;
    return strcmp(ret, "-") == 0 || sscanf(ret, "%" SCNu64, &op->ret) == 1;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (file == NULL) {
        fprintf(stderr, "lincheck FILE: there is no such file\n");
        return 2;
    }
    struct history history = {0};
    char line[512];
    bool good = true;
    while (good && fgets(line, sizeof(line), file) != NULL) {
        struct op op;
        good = line_read(line, &op);
        if (good) {
            history_add(&history, &op);
        } else {
            fprintf(stderr, "lincheck: this line is no operation: %s", line);
        }
    }
    fclose(file);
    char what[1024] = "";
    size_t undecided = 0;
    bool linear = good && history_check(&history, what, sizeof(what), &undecided) &&
                  history_revisions(&history, what, sizeof(what));
    if (good) {
        printf("{\"linearizable\":%s,\"operations\":%zu,\"undecided\":%zu,\"what\":\"%s\"}\n",
               linear ? "true" : "false", history.count, undecided, what);
    }
    history_fini(&history);
    return !good ? 2 : linear && undecided == 0 ? 0 : 1;
}
