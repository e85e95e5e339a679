/* SPDX-License-Identifier: Apache-2.0 */
/* txn.c: a transaction, as lines of stdin: compares, an empty line, what is done if all hold, an
 * empty line, what is done otherwise, an empty line.
 *
 *     mod("key") > "0"
 *
 *     put key "new value"
 *
 *     get key
 *
 * Can fail     a line that is no compare or no request: told with the line; nothing is sent.
 */
#include "ctl/internal.h"

#include <stdlib.h>
#include <unistd.h>

#define LINES_MAX 4096 /* far above what a server takes by default: 128 */
#define WORDS_MAX 64

static const struct ctl__method txn_method = {"etcdserverpb.KV", "Txn",
                                              &etcdserverpb__txn_response__descriptor, false};

/* -- lines ------------------------------------------------------------------------------------- */

/* The next line without spaces around it, in the arena. False: stdin has ended, or there is no
 * memory; told. An end right behind a newline counts as an empty line: the last list needs none. */
static bool line_read(struct ctl *c, char **out, int *code)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t got = getline(&line, &room, stdin);
    struct oak_bytes text = oak_bytes("", 0);
    if (got >= 0) {
        text = oak_bytes(line, strlen(line));
    }
    while (text.size > 0 && text.data[text.size - 1] <= ' ') {
        text.size--;
    }
    while (text.size > 0 && text.data[0] <= ' ') {
        text = oak_bytes(text.data + 1, text.size - 1);
    }
    char *kept = oak_arena_alloc(&c->arena, text.size + 1);
    if (kept != NULL) {
        memcpy(kept, text.data, text.size);
        kept[text.size] = '\0';
    }
    free(line);
    *out = kept;
    if (got < 0 && ferror(stdin)) {
        *code = ctl__error(CTL__BAD_INPUT, "cannot read stdin");
        return false;
    }
    if (kept == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
    }
    return kept != NULL;
}

/* -- compares ---------------------------------------------------------------------------------- */

static bool number_read(const char *text, int64_t *out)
{
    char *end;
    *out = strtoll(text, &end, 10);
    return end != text && *end == '\0';
}

static bool relation_read(const char *text, Etcdserverpb__Compare *out)
{
    static const struct {
        const char *text;
        Etcdserverpb__Compare__CompareResult result;
    } known[] = {
        {"=", ETCDSERVERPB__COMPARE__COMPARE_RESULT__EQUAL},
        {"!=", ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL},
        {">", ETCDSERVERPB__COMPARE__COMPARE_RESULT__GREATER},
        {"<", ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        if (strcmp(text, known[i].text) == 0) {
            out->result = known[i].result;
            return true;
        }
    }
    return false;
}

/* What is compared, by its name, with the text `value`. */
static bool target_read(struct ctl *c, const char *name, const char *value,
                        Etcdserverpb__Compare *out)
{
    static const struct {
        const char *name;
        Etcdserverpb__Compare__CompareTarget target;
        Etcdserverpb__Compare__TargetUnionCase number;
    } known[] = {
        {"ver", ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION,
         ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION},
        {"version", ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION,
         ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION},
        {"c", ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE,
         ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION},
        {"create", ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE,
         ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION},
        {"m", ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD,
         ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION},
        {"mod", ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD,
         ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION},
        {"val", ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE,
         ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE},
        {"value", ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE,
         ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE},
        {"lease", ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE,
         ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE},
    };
    (void)c;
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        if (strcmp(name, known[i].name) != 0) {
            continue;
        }
        out->target = known[i].target;
        out->target_union_case = known[i].number;
        if (out->target == ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE) {
            out->value = oak_proto_binary(oak_bytes_str(value));
            return true;
        }
        /* The members of the union that are numbers share their place. */
        return number_read(value, &out->version);
    }
    return false;
}

/* mod("key") > "0" */
static Etcdserverpb__Compare *compare_read(struct ctl *c, char *line, int *code)
{
    Etcdserverpb__Compare *out = oak_arena_alloc(&c->arena, sizeof(*out));
    char *texts = oak_arena_alloc(&c->arena, strlen(line) + 2);
    if (out == NULL || texts == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return NULL;
    }
    etcdserverpb__compare__init(out);
    char *open = strchr(line, '(');
    char relation[3] = "";
    const char *at = open == NULL ? line : open + 1;
    const char *key = texts;
    bool good = open != NULL && oak_args_quoted(&at, &texts) == 0;
    const char *value = texts;
    at += good ? strspn(at, " ") : 0;
    good = good && *at++ == ')';
    at += good ? strspn(at, " ") : 0;
    size_t size = good ? strspn(at, "=!<>") : 0;
    good = good && size > 0 && size < sizeof(relation);
    if (good) {
        memcpy(relation, at, size);
        at += size + strspn(at + size, " ");
        good = oak_args_quoted(&at, &texts) == 0 && *at == '\0';
    }
    if (open != NULL) {
        *open = '\0';
    }
    if (good && relation_read(relation, out) && target_read(c, line, value, out)) {
        out->key = oak_proto_binary(oak_bytes_str(key));
        return out;
    }
    if (open != NULL) {
        *open = '(';
    }
    *code = ctl__error(CTL__BAD_INPUT,
                       "malformed comparison: %s; they look like mod(\"key\") > "
                       "\"0\", with ver, create, mod, val or lease, and =, !=, < or >",
                       line);
    return NULL;
}

/* -- requests ---------------------------------------------------------------------------------- */

static Etcdserverpb__RequestOp *request_read(struct ctl *c, char *line, int *code)
{
    char *words[WORDS_MAX + 1] = {NULL};
    size_t count = 0;
    Etcdserverpb__RequestOp *out = oak_arena_alloc(&c->arena, sizeof(*out));
    int error =
        out == NULL ? OAK_ENOMEM : oak_args_split(line, &c->arena, words, WORDS_MAX, &count);
    const char *verb = error == 0 && count > 0 ? words[0] : "";
    bool good = false;
    if (out != NULL) {
        etcdserverpb__request_op__init(out);
    }
    if (strcmp(verb, "put") == 0) {
        Etcdserverpb__PutRequest *put = oak_arena_alloc(&c->arena, sizeof(*put));
        good = put != NULL && ctl__put_read(c, (int)count, words, put, code);
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        out->request_put = put;
    } else if (strcmp(verb, "get") == 0) {
        Etcdserverpb__RangeRequest *get = oak_arena_alloc(&c->arena, sizeof(*get));
        good = get != NULL && ctl__get_read(c, (int)count, words, get, code);
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        out->request_range = get;
    } else if (strcmp(verb, "del") == 0 || strcmp(verb, "delete") == 0) {
        Etcdserverpb__DeleteRangeRequest *del = oak_arena_alloc(&c->arena, sizeof(*del));
        good = del != NULL && ctl__del_read(c, (int)count, words, del, code);
        out->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        out->request_delete_range = del;
    }
    if (!good) {
        *code = ctl__error(CTL__BAD_INPUT,
                           "invalid txn request: %s; it is get, put or del, as on "
                           "the command line",
                           line);
        return NULL;
    }
    return out;
}

/* One of the lists, up to an empty line. */
static bool list_read(struct ctl *c, bool compares, void ***out, size_t *count, int *code)
{
    *out = oak_arena_alloc(&c->arena, LINES_MAX * sizeof(void *));
    *count = 0;
    for (;;) {
        char *line;
        if (*out == NULL || !line_read(c, &line, code)) {
            return false;
        }
        if (line[0] == '\0') {
            return true;
        }
        if (*count == LINES_MAX) {
            *code = ctl__error(CTL__BAD_INPUT, "a transaction of more than %d lines", LINES_MAX);
            return false;
        }
        void *item =
            compares ? (void *)compare_read(c, line, code) : (void *)request_read(c, line, code);
        if (item == NULL) {
            return false;
        }
        (*out)[(*count)++] = item;
    }
}

/* -- what came of it --------------------------------------------------------------------------- */

static void each_show(struct ctl *c, const Etcdserverpb__ResponseOp *op, bool simple)
{
    const struct ctl__view *view = NULL;
    const void *message = NULL;
    switch (op->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        view = &ctl__get_view;
        message = op->response_range;
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        view = &ctl__put_view;
        message = op->response_put;
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        view = &ctl__del_view;
        message = op->response_delete_range;
        break;
    default:
        return; /* what was not asked for */
    }
    (simple ? view->simple : view->fields)(c, message, NULL);
}

static void txn_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__TxnResponse *r = message;
    (void)about;
    puts(r->succeeded ? "SUCCESS" : "FAILURE");
    for (size_t i = 0; i < r->n_responses; i++) {
        fputc('\n', stdout);
        each_show(c, r->responses[i], true);
    }
}

static void txn_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__TxnResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    printf("\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
    for (size_t i = 0; i < r->n_responses; i++) {
        each_show(c, r->responses[i], false);
    }
}

/* -- the verb ---------------------------------------------------------------------------------- */

static bool txn_read(struct ctl *c, bool interactive, Etcdserverpb__TxnRequest *out, int *code)
{
    static const char *const prompts[] = {
        "compares:", "success requests (get, put, del):", "failure requests (get, put, del):"};
    void **lists[3];
    size_t counts[3];
    for (int i = 0; i < 3; i++) {
        if (interactive) {
            puts(prompts[i]);
            fflush(stdout);
        }
        if (!list_read(c, i == 0, &lists[i], &counts[i], code)) {
            return false;
        }
    }
    out->compare = (Etcdserverpb__Compare **)lists[0];
    out->n_compare = counts[0];
    out->success = (Etcdserverpb__RequestOp **)lists[1];
    out->n_success = counts[1];
    out->failure = (Etcdserverpb__RequestOp **)lists[2];
    out->n_failure = counts[2];
    return true;
}

int ctl__txn(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {.simple = txn_simple, .fields = txn_fields};
    bool interactive = false;
    const struct oak_args_flag flags[] = {
        {"interactive", 'i', OAK_ARGS_BOOL, &interactive, 0, 0, NULL, "say what is wanted next"},
    };
    const struct oak_args_command command = {
        .name = "txn",
        .summary = "Read a transaction from stdin: conditions, what is done if all hold, and "
                   "what is done\notherwise, each list ended by an empty line. It happens at once.",
        .operands = "",
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "A condition compares ver, create, mod, val or lease of a key, by =, !=, < or "
                ">.\n\n"
                "Example: create a key unless it is there\n"
                "  oakum txn <<'END'\n"
                "  create(\"lock\") = \"0\"\n\n"
                "  put lock \"mine\"\n\n"
                "  get lock\n\n"
                "  END\n",
    };
    Etcdserverpb__TxnRequest request = ETCDSERVERPB__TXN_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    c->in_txn = true;
    bool read = txn_read(c, interactive, &request, &code);
    c->in_txn = false;
    c->values_only = false;
    if (!read) {
        return code;
    }
    return ctl__ask_and_show(c, &txn_method, &request.base, &view, NULL);
}
