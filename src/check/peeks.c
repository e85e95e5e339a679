/* SPDX-License-Identifier: Apache-2.0 */
/* peeks.c: what serializable reads may see.
 *
 * Such a read is one node's own word, which may be old; but it can't be made up, and a node that
 * has applied a change does not forget it as long as it lives. After a restart it may: what it
 * applies again comes from its log.
 */
#include "check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define NODES_MAX 64

static int by_call(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    return x->call < y->call ? -1 : x->call > y->call;
}

static int by_ret(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    return x->ret < y->ret ? -1 : x->ret > y->ret;
}

static int by_value(const void *a, const void *b)
{
    const struct op *x = *(const struct op *const *)a;
    const struct op *y = *(const struct op *const *)b;
    return x->arg < y->arg ? -1 : x->arg > y->arg;
}

/* Reads of one node and life: none is told less than one that had returned before its call. */
static bool order_check(const struct op *const *calls, const struct op *const *rets, size_t count,
                        char *what, size_t size)
{
    const struct op *newest[NODES_MAX] = {NULL};
    for (size_t i = 0, done = 0; i < count; i++) {
        const struct op *op = calls[i];
        for (; done < count && rets[done]->ret < op->call; done++) {
            const struct op **at = &newest[rets[done]->node];
            if (*at == NULL || rets[done]->life > (*at)->life ||
                (rets[done]->life == (*at)->life && rets[done]->revision > (*at)->revision)) {
                *at = rets[done];
            }
        }
        const struct op *before = newest[op->node];
        if (before != NULL && before->life == op->life && op->revision < before->revision) {
            snprintf(what, size,
                     "node %d went back from revision %" PRId64 " (moment %" PRIu64 ") to %" PRId64
                     " (moment %" PRIu64 ") within one life",
                     op->node, before->revision, before->ret, op->revision, op->call);
            return false;
        }
    }
    return true;
}

static bool value_check(const struct op *peek, const struct op *const *writes, size_t count,
                        char *what, size_t size)
{
    const struct op wanted = {.arg = peek->result};
    const struct op *key = &wanted;
    const struct op *const *found = bsearch(&key, writes, count, sizeof(struct op *), by_value);
    if (found == NULL || (*found)->key != peek->key || (*found)->call > peek->ret) {
        snprintf(what, size,
                 "node %d gave %" PRIu64 " for key %" PRIu64 " at moment %" PRIu64
                 ", which nobody had written there",
                 peek->node, peek->result, peek->key, peek->ret);
        return false;
    }
    return true;
}

bool history_peeks(const struct history *h, char *what, size_t size)
{
    const struct op **calls = calloc(3 * h->count + 1, sizeof(struct op *));
    OAK_ASSERT(calls != NULL);
    const struct op **rets = calls + h->count;
    const struct op **writes = rets + h->count;
    size_t read_count = 0, write_count = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct op *op = &h->ops[i];
        bool read = op->kind == OP_PEEK || op->kind == OP_GET;
        if (read && op->ret != UINT64_MAX && op->life > 0 && op->node >= 0 &&
            op->node < NODES_MAX) {
            calls[read_count] = op;
            rets[read_count++] = op;
        }
        if (op->kind == OP_PUT || op->kind == OP_CAS) {
            writes[write_count++] = op;
        }
    }
    qsort(calls, read_count, sizeof(struct op *), by_call);
    qsort(rets, read_count, sizeof(struct op *), by_ret);
    qsort(writes, write_count, sizeof(struct op *), by_value);
    bool good = order_check(calls, rets, read_count, what, size);
    for (size_t i = 0; i < h->count && good; i++) {
        const struct op *op = &h->ops[i];
        if (op->kind == OP_PEEK && op->ret != UINT64_MAX && op->result != 0) {
            good = value_check(op, writes, write_count, what, size);
        }
    }
    free(calls);
    return good;
}
