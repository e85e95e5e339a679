/* SPDX-License-Identifier: Apache-2.0 */
/* builder.c: a transaction that grows.
 *
 * Happy path   compares and operations are copied into lists that double, in one arena for all of
 *              a transaction with those within it. A whole transaction that is given as an
 *              operation becomes one that grew, level by level.
 * Can fail     for want of memory, and by nesting too deep: kept, and told at the end.
 * Invariants   the first error stays. An operation's `txn` is that of its own builder, which lies
 *              still as long as the outer one.
 * Thread       its caller's; nothing is shared.
 */
#include <stdlib.h>

#include "client/internal.h"

/* The lists of a transaction as they grow; the client encodes no more than this at once. */
#define BUILDER_BYTES_MAX (512 * OAK_MIB)

struct op_list {
    struct oak_client_op *ops;
    size_t count;
    size_t room;
};

struct root;

struct oak_client_builder {
    struct root *root;
    struct oak_list link; /* while `from` is to be copied */
    const struct oak_client_txn *from;
    unsigned depth;
    struct oak_client_compare *compares;
    size_t compare_count;
    size_t compare_room;
    struct op_list success;
    struct op_list failure;
    struct oak_client_txn txn; /* what it has come to */
};

struct root {
    struct oak_client_builder builder;
    struct oak_arena arena;
    int error;
};

static void fail(struct root *root, int error)
{
    root->error = root->error != 0 ? root->error : error;
}

static void *take(struct root *root, size_t size)
{
    void *memory = oak_arena_zalloc(&root->arena, size);
    if (memory == NULL) {
        fail(root, OAK_ENOMEM);
    }
    return memory;
}

static struct oak_bytes copy(struct root *root, struct oak_bytes bytes)
{
    const struct oak_bytes copied = oak_arena_dup(&root->arena, bytes);
    if (copied.data == NULL && bytes.size > 0) {
        fail(root, OAK_ENOMEM);
    }
    return copied;
}

/* Room for one more behind `count` of `size` bytes each. */
static bool grow(struct root *root, void **list, size_t count, size_t *room, size_t size)
{
    if (root->error != 0 || count < *room) {
        return root->error == 0;
    }
    size_t more = OAK_MAX(2 * count, 8);
    void *grown = take(root, more * size);
    if (grown == NULL) {
        return false;
    }
    if (count > 0) {
        memcpy(grown, *list, count * size);
    }
    *list = grown;
    *room = more;
    return true;
}

static void compare_add(struct oak_client_builder *b, const struct oak_client_compare *compare)
{
    void *list = b->compares;
    if (grow(b->root, &list, b->compare_count, &b->compare_room, sizeof(*compare))) {
        b->compares = list;
        struct oak_client_compare *to = &b->compares[b->compare_count++];
        *to = *compare;
        to->key = copy(b->root, compare->key);
        to->end = copy(b->root, compare->end);
        to->value = copy(b->root, compare->value);
        b->txn.compares = b->compares;
        b->txn.compare_count = b->compare_count;
    }
}

/* A transaction within it, that is empty. */
static struct oak_client_builder *inner_new(struct oak_client_builder *b)
{
    if (b->depth + 1 == OAK_CLIENT_DEPTH_MAX) {
        fail(b->root, OAK_EINVAL);
        return NULL;
    }
    struct oak_client_builder *inner = take(b->root, sizeof(*inner));
    if (inner != NULL) {
        inner->root = b->root;
        inner->depth = b->depth + 1;
    }
    return inner;
}

/* The copy of an operation but for its transaction, which it says, if it has one, by a builder that
 * is to be filled; NULL: there is none, or it failed. */
static struct oak_client_builder *op_add(struct oak_client_builder *b, bool then,
                                         const struct oak_client_op *op)
{
    struct op_list *list = then ? &b->success : &b->failure;
    struct oak_client_builder *inner = NULL;
    void *ops = list->ops;
    if (!grow(b->root, &ops, list->count, &list->room, sizeof(*op))) {
        return NULL;
    }
    list->ops = ops;
    struct oak_client_op *to = &list->ops[list->count];
    *to = *op;
    to->key = copy(b->root, op->key);
    to->end = copy(b->root, op->end);
    to->value = copy(b->root, op->value);
    if (op->kind == OAK_CLIENT_TXN) {
        inner = inner_new(b);
        to->txn = inner != NULL ? &inner->txn : NULL;
    }
    if (b->root->error != 0) {
        return NULL;
    }
    list->count++;
    b->txn.success = b->success.ops;
    b->txn.success_count = b->success.count;
    b->txn.failure = b->failure.ops;
    b->txn.failure_count = b->failure.count;
    return inner;
}

static void ops_add(struct oak_client_builder *b, bool then, const struct oak_client_op *ops,
                    size_t count, struct oak_list *todo)
{
    for (size_t i = 0; i < count; i++) {
        struct oak_client_builder *inner = op_add(b, then, &ops[i]);
        if (inner != NULL && ops[i].txn != NULL) {
            inner->from = ops[i].txn;
            oak_list_push(todo, &inner->link);
        }
    }
}

/* An operation, with the transactions in it. */
static void op_add_whole(struct oak_client_builder *b, bool then, const struct oak_client_op *op)
{
    struct oak_list todo;
    struct oak_list *node;
    if (b == NULL) {
        return;
    }
    oak_list_init(&todo);
    ops_add(b, then, op, 1, &todo);
    while ((node = oak_list_pop(&todo)) != NULL) {
        struct oak_client_builder *inner = OAK_LIST_ENTRY(node, struct oak_client_builder, link);
        const struct oak_client_txn *from = inner->from;
        for (size_t i = 0; i < from->compare_count; i++) {
            compare_add(inner, &from->compares[i]);
        }
        ops_add(inner, true, from->success, from->success_count, &todo);
        ops_add(inner, false, from->failure, from->failure_count, &todo);
    }
}

/* -- the door ---------------------------------------------------------------------------------- */

struct oak_client_builder *oak_client_txn_new(void)
{
    struct root *root = calloc(1, sizeof(*root));
    if (root == NULL) {
        return NULL;
    }
    oak_arena_init(&root->arena, CLIENT_CHUNK_BYTES, BUILDER_BYTES_MAX);
    root->builder.root = root;
    return &root->builder;
}

void oak_client_txn_free(struct oak_client_builder *b)
{
    if (b != NULL && b->depth == 0) {
        struct root *root = b->root;
        oak_arena_fini(&root->arena);
        free(root);
    }
}

void oak_client_txn_if(struct oak_client_builder *b, struct oak_client_compare compare)
{
    if (b != NULL) {
        compare_add(b, &compare);
    }
}

void oak_client_txn_then(struct oak_client_builder *b, struct oak_client_op op)
{
    op_add_whole(b, true, &op);
}

void oak_client_txn_else(struct oak_client_builder *b, struct oak_client_op op)
{
    op_add_whole(b, false, &op);
}

struct oak_client_builder *oak_client_txn_then_txn(struct oak_client_builder *b)
{
    const struct oak_client_op op = {.kind = OAK_CLIENT_TXN};
    return b != NULL ? op_add(b, true, &op) : NULL;
}

struct oak_client_builder *oak_client_txn_else_txn(struct oak_client_builder *b)
{
    const struct oak_client_op op = {.kind = OAK_CLIENT_TXN};
    return b != NULL ? op_add(b, false, &op) : NULL;
}

int oak_client_txn_op(const struct oak_client_builder *b, struct oak_client_op *out)
{
    if (b == NULL) {
        return OAK_ENOMEM;
    }
    if (b->root->error != 0 || b->depth > 0) {
        return b->root->error != 0 ? b->root->error : OAK_EINVAL;
    }
    *out = oak_client_transact(&b->txn);
    return 0;
}
