/* SPDX-License-Identifier: Apache-2.0 */
/* script_test.c: runs the scripts in testdata: a request, "----", what is answered, a blank line.
 *
 *     put KEY VALUE [prev] [lease=N] [ignore_value] [ignore_lease]
 *     del KEY [END] [prev]
 *     range KEY [END] [limit=N] [rev=N] [order=none|ascend|descend|N]
 *           [target=key|version|create|mod|value|N] [keys] [count] [min_mod=N] [max_mod=N]
 *           [min_create=N] [max_create=N] [serializable]
 *     txn (if COMPARE...) (then (OP)...) (else (OP)...)      OP may be a txn
 *         COMPARE: (version|create|mod|value|lease KEY [END] =|!=|<|> OPERAND)
 *     read txn ...      a transaction that needs no log
 *     compact REVISION
 *     publish ID NAME URL...
 *     members, state, reopen
 *
 * Words are separated by blanks; "" is empty, \x00 a byte. An answer is "kind @revision ..." with
 * pairs as (key=value create/mod/version), or the name of an error. A line that starts with # is a
 * comment. With the argument --rewrite the answers in the files are replaced by those that came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"

static bool rewriting;

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

/* -- running ----------------------------------------------------------------------------------- */

static void apply(struct node *n, enum oak_kv_kind kind, ProtobufCMessage *m, struct oak_buf *out)
{
    int checked = oak_kv_check(n->kv, kind, m);
    struct oak_kv_result result = node_apply(n, kind, m);
    node_commit(n);
    /* What the check refuses, applying refuses in the same way. */
    assert_true(checked == 0 || checked == result.error);
    say_outcome(out, result.error, result.response);
}

static void say_members(struct node *n, struct oak_buf *out)
{
    const struct oak_kv_member *members = NULL;
    size_t count = oak_kv_members(n->kv, &members);
    SAY(out, "%zu", count);
    for (size_t i = 0; i < count; i++) {
        SAY(out, " (%" PRIu64 " %s", members[i].id, members[i].name);
        for (size_t k = 0; k < members[i].client_url_count; k++) {
            SAY(out, " %s", members[i].client_urls[k]);
        }
        SAY(out, ")");
    }
}

static void publish(struct node *n, struct parser *p, struct oak_buf *out)
{
    Etcdserverpb__Member *m = message(p, &etcdserverpb__member__descriptor);
    m->id = strtoull(text(p), NULL, 10);
    m->name = (char *)(uintptr_t)text(p);
    m->clienturls = oak_arena_alloc(p->arena, 8 * sizeof(char *));
    while (at_word(p)) {
        m->clienturls[m->n_clienturls++] = (char *)(uintptr_t)text(p);
    }
    apply(n, OAK_KV_PUBLISH, &m->base, out);
}

static void read_txn(struct node *n, struct parser *p, struct oak_buf *out)
{
    assert_true(take_word(p, "txn"));
    Etcdserverpb__TxnRequest *r = parse_txn(p);
    Etcdserverpb__TxnResponse *response = NULL;
    bool serializable = false;
    bool is_read = oak_kv_txn_is_read(r, &serializable);
    SAY(out, is_read ? serializable ? "local " : "linearizable " : "");
    int error = oak_kv_txn_read(n->kv, r, &n->arena, &response);
    say_outcome(out, error, response != NULL ? &response->base : NULL);
}

static void run_line(struct node *n, const char *line, struct oak_buf *out)
{
    struct parser p = {.at = line, .arena = &n->arena};
    if (take_word(&p, "put")) {
        apply(n, OAK_KV_PUT, &parse_put(&p)->base, out);
    } else if (take_word(&p, "del")) {
        apply(n, OAK_KV_DELETE, &parse_del(&p)->base, out);
    } else if (take_word(&p, "txn")) {
        apply(n, OAK_KV_TXN, &parse_txn(&p)->base, out);
    } else if (take_word(&p, "compact")) {
        Etcdserverpb__CompactionRequest r = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
        r.revision = strtoll(text(&p), NULL, 10);
        apply(n, OAK_KV_COMPACT, &r.base, out);
    } else if (take_word(&p, "range")) {
        Etcdserverpb__RangeResponse *response = NULL;
        int error = oak_kv_range(n->kv, parse_range(&p), &n->arena, &response);
        say_outcome(out, error, response != NULL ? &response->base : NULL);
    } else if (take_word(&p, "read")) {
        read_txn(n, &p, out);
    } else if (take_word(&p, "publish")) {
        publish(n, &p, out);
    } else if (take_word(&p, "members")) {
        say_members(n, out);
    } else if (take_word(&p, "state")) {
        const struct oak_store_state *s = oak_kv_state(n->kv);
        SAY(out, "applied %" PRIu64 " revision %" PRId64 " compacted %" PRId64, s->applied,
            s->revision, s->compacted);
    } else if (take_word(&p, "reopen")) {
        assert_int_equal(oak_kv_reload(n->kv), 0);
        SAY(out, "ok");
    } else {
        fail_msg("what is this: %s", line);
    }
    blanks(&p);
    if (*p.at != '\0') {
        fail_msg("left over in \"%s\": %s", line, p.at);
    }
}

static char *read_line(FILE *f, char *line, size_t capacity)
{
    if (fgets(line, (int)capacity, f) == NULL) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void run_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.txt", OAK_TESTDATA, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct node n;
    node_open(&n, 8);
    struct oak_buf whole = {0};
    struct oak_buf out = {0};
    char line[2048];
    char request[2048] = "";
    int wrong = 0;
    int number = 0;
    int steps = 0;
    while (read_line(f, line, sizeof(line)) != NULL) {
        number++;
        SAY(&whole, "%s\n", line);
        if (strcmp(line, "----") != 0) {
            /* A request may go over several lines; a blank or a comment begins anew. */
            size_t used = line[0] == '\0' || line[0] == '#' ? 0 : strlen(request);
            snprintf(request + used, sizeof(request) - used, "%s%s", used > 0 ? " " : "",
                     line[0] == '#' ? "" : line);
            continue;
        }
        oak_buf_clear(&out);
        run_line(&n, request, &out);
        steps++;
        SAY(&out, "%c", 0);
        if (read_line(f, line, sizeof(line)) == NULL) {
            line[0] = '\0';
        }
        number++;
        SAY(&whole, "%s\n", (const char *)out.data);
        if (strcmp(line, (const char *)out.data) != 0 && !rewriting) {
            print_error("%s:%d: %s\n  expected %s\n  got      %s\n", path, number, request, line,
                        (const char *)out.data);
            wrong++;
        }
        request[0] = '\0';
        oak_arena_reset(&n.arena);
    }
    fclose(f);
    node_close(&n);
    if (rewriting) {
        f = fopen(path, "w");
        assert_non_null(f);
        fwrite(whole.data, 1, whole.size, f);
        fclose(f);
    }
    oak_buf_fini(&whole);
    oak_buf_fini(&out);
    assert_int_equal(wrong, 0);
    assert_true(steps > 3);
}

static void script(void **state)
{
    run_file(*state);
}

int main(int argc, char **argv)
{
    rewriting = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    static const char *const names[] = {"put",   "delete",    "range",   "sort",    "txn",
                                        "check", "duplicate", "compare", "compact", "members"};
    struct CMUnitTest tests[OAK_COUNT_OF(names)];
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = script, .initial_state = (void *)(uintptr_t)names[i]};
    }
    return cmocka_run_group_tests_name("kv scripts", tests, NULL, NULL);
}
