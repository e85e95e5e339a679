/* SPDX-License-Identifier: Apache-2.0 */
/* script_fixture.h: the requests of a script, read. script_test.c tells how they are written. */
#ifndef OAK_KV_SCRIPT_FIXTURE_H
#define OAK_KV_SCRIPT_FIXTURE_H

#include <stdio.h>

#include "kv/kv_fixture.h"

/* -- parsing ----------------------------------------------------------------------------------- */

struct parser {
    const char *at;
    struct oak_arena *arena;
};

static void blanks(struct parser *p)
{
    while (*p->at == ' ') {
        p->at++;
    }
}

static bool at_word(struct parser *p)
{
    blanks(p);
    return *p->at != '\0' && *p->at != '(' && *p->at != ')';
}

static bool take(struct parser *p, char c)
{
    blanks(p);
    if (*p->at != c) {
        return false;
    }
    p->at++;
    return true;
}

static ProtobufCBinaryData word(struct parser *p)
{
    if (!at_word(p)) {
        fail_msg("a word is missing before: %s", p->at);
    }
    uint8_t *out = oak_arena_alloc(p->arena, strlen(p->at) + 1);
    size_t size = 0;
    while (at_word(p) && p->at[0] != ' ') {
        if (p->at[0] == '"' && p->at[1] == '"') {
            p->at += 2;
        } else if (p->at[0] == '\\' && p->at[1] == 'x') {
            unsigned byte = 0;
            (void)sscanf(p->at + 2, "%2x", &byte);
            out[size++] = (uint8_t)byte;
            p->at += 4;
        } else {
            out[size++] = (uint8_t)*p->at++;
        }
        if (*p->at == ' ') {
            break;
        }
    }
    out[size] = 0;
    return (ProtobufCBinaryData){.data = out, .len = size};
}

static const char *text(struct parser *p)
{
    return (const char *)word(p).data;
}

static bool take_word(struct parser *p, const char *expected)
{
    blanks(p);
    size_t size = strlen(expected);
    bool ends = strncmp(p->at, expected, size) == 0 &&
                (p->at[size] == ' ' || p->at[size] == ')' || p->at[size] == '\0');
    p->at += ends ? size : 0;
    return ends;
}

static bool take_number(struct parser *p, const char *name, int64_t *out)
{
    blanks(p);
    size_t size = strlen(name);
    if (strncmp(p->at, name, size) != 0 || p->at[size] != '=') {
        return false;
    }
    p->at += size + 1;
    *out = strtoll(p->at, (char **)(uintptr_t)&p->at, 10);
    return true;
}

/* name=one of the words, or a number. */
static bool take_choice(struct parser *p, const char *name, const char *const *choices, int *out)
{
    int64_t number = 0;
    const char *before = p->at;
    if (!take_number(p, name, &number)) {
        return false;
    }
    *out = (int)number;
    p->at = before;
    blanks(p);
    p->at += strlen(name) + 1;
    const char *value = text(p);
    for (int i = 0; choices[i] != NULL; i++) {
        if (strcmp(value, choices[i]) == 0) {
            *out = i;
        }
    }
    return true;
}

static void *message(struct parser *p, const ProtobufCMessageDescriptor *d)
{
    ProtobufCMessage *m = oak_arena_alloc(p->arena, d->sizeof_message);
    protobuf_c_message_init(d, m);
    return m;
}

static Etcdserverpb__PutRequest *parse_put(struct parser *p)
{
    Etcdserverpb__PutRequest *r = message(p, &etcdserverpb__put_request__descriptor);
    r->key = word(p);
    r->value = word(p);
    while (at_word(p)) {
        if (take_word(p, "prev")) {
            r->prev_kv = true;
        } else if (take_word(p, "ignore_value")) {
            r->ignore_value = true;
        } else if (take_word(p, "ignore_lease")) {
            r->ignore_lease = true;
        } else if (!take_number(p, "lease", &r->lease)) {
            fail_msg("what is this: %s", p->at);
        }
    }
    return r;
}

static Etcdserverpb__DeleteRangeRequest *parse_del(struct parser *p)
{
    Etcdserverpb__DeleteRangeRequest *r =
        message(p, &etcdserverpb__delete_range_request__descriptor);
    r->key = word(p);
    r->prev_kv = take_word(p, "prev");
    if (!r->prev_kv && at_word(p)) {
        r->range_end = word(p);
        r->prev_kv = take_word(p, "prev");
    }
    return r;
}

static bool parse_range_option(struct parser *p, Etcdserverpb__RangeRequest *r)
{
    static const char *const orders[] = {"none", "ascend", "descend", NULL};
    static const char *const targets[] = {"key", "version", "create", "mod", "value", NULL};
    int choice = 0;
    if (take_word(p, "keys")) {
        r->keys_only = true;
    } else if (take_word(p, "count")) {
        r->count_only = true;
    } else if (take_word(p, "serializable")) {
        r->serializable = true;
    } else if (take_choice(p, "order", orders, &choice)) {
        r->sort_order = (Etcdserverpb__RangeRequest__SortOrder)choice;
    } else if (take_choice(p, "target", targets, &choice)) {
        r->sort_target = (Etcdserverpb__RangeRequest__SortTarget)choice;
    } else {
        return take_number(p, "limit", &r->limit) || take_number(p, "rev", &r->revision) ||
               take_number(p, "min_mod", &r->min_mod_revision) ||
               take_number(p, "max_mod", &r->max_mod_revision) ||
               take_number(p, "min_create", &r->min_create_revision) ||
               take_number(p, "max_create", &r->max_create_revision);
    }
    return true;
}

static Etcdserverpb__RangeRequest *parse_range(struct parser *p)
{
    Etcdserverpb__RangeRequest *r = message(p, &etcdserverpb__range_request__descriptor);
    r->key = word(p);
    while (at_word(p)) {
        if (!parse_range_option(p, r)) {
            r->range_end = word(p);
        }
    }
    return r;
}

static Etcdserverpb__Compare *parse_compare(struct parser *p)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease"};
    static const char operators[] = {'=', '>', '<', '!'};
    Etcdserverpb__Compare *c = message(p, &etcdserverpb__compare__descriptor);
    const char *target = text(p);
    for (int i = 0; i < 5; i++) {
        if (strcmp(target, targets[i]) == 0) {
            c->target = (Etcdserverpb__Compare__CompareTarget)i;
        }
    }
    c->key = word(p);
    blanks(p);
    if (strchr("=<>!", *p->at) == NULL) {
        c->range_end = word(p);
        blanks(p);
    }
    for (int i = 0; i < 4; i++) {
        if (*p->at == operators[i]) {
            c->result = (Etcdserverpb__Compare__CompareResult)i;
        }
    }
    (void)word(p);
    static const Etcdserverpb__Compare__TargetUnionCase cases[] = {
        ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION,
        ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE,
        ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE,
    };
    if (take_word(p, "nothing")) {
        return c;
    }
    c->target_union_case = cases[c->target];
    if (c->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
        c->value = word(p);
    } else {
        c->version = strtoll(text(p), NULL, 10);
    }
    return c;
}

static Etcdserverpb__TxnRequest *parse_txn(struct parser *p);

static Etcdserverpb__RequestOp *parse_op(struct parser *p)
{
    Etcdserverpb__RequestOp *op = message(p, &etcdserverpb__request_op__descriptor);
    if (take_word(p, "put")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        op->request_put = parse_put(p);
    } else if (take_word(p, "del")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        op->request_delete_range = parse_del(p);
    } else if (take_word(p, "range")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        op->request_range = parse_range(p);
    } else if (take_word(p, "txn")) {
        op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
        op->request_txn = parse_txn(p);
    } else if (!take_word(p, "nothing")) {
        fail_msg("no operation: %s", p->at);
    }
    return op;
}

static size_t parse_ops(struct parser *p, Etcdserverpb__RequestOp ***out)
{
    size_t count = 0;
    *out = oak_arena_alloc(p->arena, 64 * sizeof(**out));
    while (take(p, '(')) {
        (*out)[count++] = parse_op(p);
        assert_true(take(p, ')'));
    }
    return count;
}

static Etcdserverpb__TxnRequest *parse_txn(struct parser *p)
{
    Etcdserverpb__TxnRequest *r = message(p, &etcdserverpb__txn_request__descriptor);
    while (take(p, '(')) {
        if (take_word(p, "if")) {
            r->compare = oak_arena_alloc(p->arena, 64 * sizeof(*r->compare));
            while (take(p, '(')) {
                r->compare[r->n_compare++] = parse_compare(p);
                assert_true(take(p, ')'));
            }
        } else if (take_word(p, "then")) {
            r->n_success = parse_ops(p, &r->success);
        } else if (take_word(p, "else")) {
            r->n_failure = parse_ops(p, &r->failure);
        }
        if (!take(p, ')')) {
            fail_msg("a ) is missing before: %s", p->at);
        }
    }
    return r;
}

#endif
