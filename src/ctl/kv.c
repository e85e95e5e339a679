/* SPDX-License-Identifier: Apache-2.0 */
/* kv.c: get, put, del, compaction. */
#include "ctl/internal.h"

#include <ctype.h>
#include <stdlib.h>

static const struct ctl__method range_method = {"etcdserverpb.KV", "Range",
                                                &etcdserverpb__range_response__descriptor, true};
static const struct ctl__method put_method = {"etcdserverpb.KV", "Put",
                                              &etcdserverpb__put_response__descriptor, false};
static const struct ctl__method delete_method = {
    "etcdserverpb.KV", "DeleteRange", &etcdserverpb__delete_range_response__descriptor, false};
static const struct ctl__method compact_method = {
    "etcdserverpb.KV", "Compact", &etcdserverpb__compaction_response__descriptor, false};

static ProtobufCBinaryData binary(const char *text)
{
    return oak_proto_binary(oak_bytes_str(text));
}

/* -- which keys -------------------------------------------------------------------------------- */

ProtobufCBinaryData ctl__prefix_end(struct ctl *c, struct oak_bytes key)
{
    ProtobufCBinaryData end;
    int error = oak_proto_prefix_end(&c->arena, key, &end);
    OAK_ASSERT_EQ(error, 0); /* no memory for a key: there is nothing left to try */
    return end;
}

bool ctl__keys_read(struct ctl *c, const struct ctl__words *words, bool prefix, bool from_key,
                    ProtobufCBinaryData *key, ProtobufCBinaryData *end, int *code)
{
    if (words->count == 0 || words->count > 2) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "%s wants a key, and may have the end of a range behind "
                           "it",
                           c->command->name);
        return false;
    }
    if (prefix && from_key) {
        *code = ctl__error(CTL__BAD_ARGS, "`--prefix` and `--from-key` cannot be set at the same "
                                          "time, choose one");
        return false;
    }
    if (words->count == 2 && (prefix || from_key)) {
        *code = ctl__error(CTL__BAD_ARGS, "too many arguments, only accept one argument when "
                                          "`--prefix` or `--from-key` is set");
        return false;
    }
    const char *text = words->at[0];
    bool open = from_key || (prefix && text[0] == '\0');
    *key =
        (prefix || from_key) && text[0] == '\0' ? oak_proto_binary(oak_bytes("", 1)) : binary(text);
    *end = open                ? oak_proto_binary(oak_bytes("", 1))
           : prefix            ? ctl__prefix_end(c, oak_bytes_str(text))
           : words->count == 2 ? binary(words->at[1])
                               : binary("");
    return true;
}

/* -- get --------------------------------------------------------------------------------------- */

static bool word_is(const char *text, const char *name)
{
    for (; *text != '\0' && toupper((unsigned char)*text) == *name; text++) {
        name++;
    }
    return *text == '\0' && *name == '\0';
}

/* The number of a word among these; -1: none. */
static int word_among(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (word_is(text, names[i])) {
            return (int)i;
        }
    }
    return -1;
}

static bool sort_read(const char *order, const char *by, Etcdserverpb__RangeRequest *out, int *code)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND"};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"};
    int o = word_among(order, orders, OAK_COUNT_OF(orders));
    int t = by[0] == '\0' ? 0 : word_among(by, targets, OAK_COUNT_OF(targets));
    if (o < 0) {
        *code = ctl__error(CTL__BAD_FEATURE, "bad sort order %s: ASCEND or DESCEND", order);
        return false;
    }
    if (t < 0) {
        *code = ctl__error(CTL__BAD_FEATURE,
                           "bad sort target %s: CREATE, KEY, MODIFY, VALUE or VERSION", by);
        return false;
    }
    /* The numbers are those of the API. */
    out->sort_order = (Etcdserverpb__RangeRequest__SortOrder)o;
    out->sort_target = (Etcdserverpb__RangeRequest__SortTarget)t;
    /* etcd's own client has it so: what is sorted by key, upwards, is not sorted. */
    if (t == 0 && o == 1) {
        out->sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
    }
    return true;
}

static bool bounds_check(const Etcdserverpb__RangeRequest *r, int *code)
{
    bool created = r->max_create_revision == 0 || r->min_create_revision <= r->max_create_revision;
    bool changed = r->max_mod_revision == 0 || r->min_mod_revision <= r->max_mod_revision;
    if (!created || !changed) {
        *code = ctl__error(CTL__BAD_FEATURE,
                           "--min-%s-rev is above --max-%s-rev: nothing can be "
                           "between them",
                           created ? "mod" : "create", created ? "mod" : "create");
    }
    return created && changed;
}

/* Words that contradict each other. */
static bool get_check(const struct ctl *c, const char *consistency,
                      const Etcdserverpb__RangeRequest *r, int *code)
{
    if (strcmp(consistency, "l") != 0 && strcmp(consistency, "s") != 0) {
        *code =
            ctl__error(CTL__BAD_FEATURE, "unknown consistency flag \"%s\": l or s", consistency);
        return false;
    }
    if (r->keys_only && r->count_only) {
        *code = ctl__error(CTL__BAD_ARGS, "`--keys-only` and `--count-only` cannot be set at the "
                                          "same time, choose one");
        return false;
    }
    if (c->values_only && c->format != CTL__SIMPLE) {
        *code = ctl__error(CTL__BAD_ARGS, "print-value-only is only for `--write-out=simple`");
        return false;
    }
    return bounds_check(r, code);
}

bool ctl__get_read(struct ctl *c, int argc, char *const *argv, Etcdserverpb__RangeRequest *out,
                   int *code)
{
    const char *consistency = "l";
    const char *order = "";
    const char *by = "";
    bool prefix = false;
    bool from_key = false;
    bool keys_only = false;
    bool count_only = false;
    etcdserverpb__range_request__init(out);
    const struct oak_args_flag flags[] = {
        {"prefix", '\0', OAK_ARGS_BOOL, &prefix, 0, 0, NULL, "all keys that begin with KEY"},
        {"from-key", '\0', OAK_ARGS_BOOL, &from_key, 0, 0, NULL, "KEY, and all behind it"},
        {"limit", '\0', OAK_ARGS_SIGNED, &out->limit, 0, 0, "N", "at most so many (0: all)"},
        {"rev", '\0', OAK_ARGS_SIGNED, &out->revision, 0, 0, "REVISION", "as it was then (0: now)"},
        {"order", '\0', OAK_ARGS_TEXT, &order, 0, 0, "ORDER", "ASCEND or DESCEND"},
        {"sort-by", '\0', OAK_ARGS_TEXT, &by, 0, 0, "WHAT",
         "CREATE, KEY, MODIFY, VALUE or VERSION"},
        {"consistency", '\0', OAK_ARGS_TEXT, &consistency, 0, 0, "l|s",
         "l: what is true now; s: what the server that is asked knows"},
        {"keys-only", '\0', OAK_ARGS_BOOL, &keys_only, 0, 0, NULL, "without values"},
        {"count-only", '\0', OAK_ARGS_BOOL, &count_only, 0, 0, NULL, "how many there are"},
        {"print-value-only", '\0', OAK_ARGS_BOOL, &c->values_only, 0, 0, NULL,
         "without keys (simple)"},
        {"min-create-rev", '\0', OAK_ARGS_SIGNED, &out->min_create_revision, 0, 0, "REVISION",
         "those created then, or later"},
        {"max-create-rev", '\0', OAK_ARGS_SIGNED, &out->max_create_revision, 0, 0, "REVISION",
         "those created until then"},
        {"min-mod-rev", '\0', OAK_ARGS_SIGNED, &out->min_mod_revision, 0, 0, "REVISION",
         "those changed last then, or later"},
        {"max-mod-rev", '\0', OAK_ARGS_SIGNED, &out->max_mod_revision, 0, 0, "REVISION",
         "those changed last until then"},
    };
    const struct oak_args_command command = {
        .name = "get",
        .summary = "Show a key, or a range of keys: KEY and all before RANGE_END.",
        .operands = "KEY [RANGE_END]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum get greeting\n"
                "  oakum get --prefix users/ --keys-only\n"
                "  oakum get --prefix users/ --limit 10 --sort-by MODIFY --order DESCEND\n"
                "  oakum get greeting --rev 17 --output json\n",
    };
    struct ctl__words words;
    if (!ctl__begin(c, &command, argc, argv, &words, code) ||
        !ctl__keys_read(c, &words, prefix, from_key, &out->key, &out->range_end, code) ||
        !sort_read(order, by, out, code)) {
        return false;
    }
    out->serializable = strcmp(consistency, "s") == 0;
    out->keys_only = keys_only;
    out->count_only = count_only;
    return get_check(c, consistency, out, code);
}

static void get_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__RangeResponse *r = message;
    const Etcdserverpb__RangeRequest *asked = about;
    for (size_t i = 0; i < r->n_kvs; i++) {
        ctl__kv_print(c, r->kvs[i]);
    }
    if (asked != NULL && asked->count_only) {
        printf("%" PRId64 "\n", r->count);
    }
}

static void get_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__RangeResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_kvs; i++) {
        ctl__fields_kv(c, "", r->kvs[i]);
    }
    printf("\"More\" : %s\n\"Count\" : %" PRId64 "\n", r->more ? "true" : "false", r->count);
}

const struct ctl__view ctl__get_view = {.simple = get_simple, .fields = get_fields};

int ctl__get(struct ctl *c, int argc, char *const *argv)
{
    Etcdserverpb__RangeRequest request;
    int code;
    if (!ctl__get_read(c, argc, argv, &request, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &range_method, &request.base, &ctl__get_view, &request);
}

/* -- put --------------------------------------------------------------------------------------- */

/* The value: a word, or stdin without one and for "-". A line of a transaction has its own. */
static bool value_read(struct ctl *c, const struct ctl__words *words, ProtobufCBinaryData *out,
                       int *code)
{
    bool from_stdin = words->count < 2 || (strcmp(words->at[1], "-") == 0 && !c->as_etcdctl);
    if (!from_stdin || c->in_txn) {
        *out = binary(words->count < 2 ? "" : words->at[1]);
        return words->count >= 2;
    }
    struct oak_bytes value;
    if (!ctl__stdin_read(c, &value, code)) {
        return false;
    }
    *out = oak_proto_binary(value);
    return value.size > 0;
}

bool ctl__put_read(struct ctl *c, int argc, char *const *argv, Etcdserverpb__PutRequest *out,
                   int *code)
{
    const char *lease = "0";
    bool previous = false;
    bool ignore_value = false;
    bool ignore_lease = false;
    etcdserverpb__put_request__init(out);
    const struct oak_args_flag flags[] = {
        {"lease", '\0', OAK_ARGS_TEXT, &lease, 0, 0, "ID", "of this lease, in hexadecimal"},
        {"prev-kv", '\0', OAK_ARGS_BOOL, &previous, 0, 0, NULL, "show what was there before"},
        {"ignore-value", '\0', OAK_ARGS_BOOL, &ignore_value, 0, 0, NULL, "the value stays"},
        {"ignore-lease", '\0', OAK_ARGS_BOOL, &ignore_lease, 0, 0, NULL, "the lease stays"},
    };
    const struct oak_args_command command = {
        .name = "put",
        .summary = "Set a key.",
        .operands = "KEY [VALUE]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Without VALUE, or with - in its place, the value is what stdin has. A word that\n"
                "begins with - stands behind --.\n\n"
                "Examples:\n"
                "  oakum put greeting hello\n"
                "  oakum put config - < config.yaml\n"
                "  oakum put offset -- -5\n"
                "  oakum put worker/7 alive --lease 694d5765fc71500b\n",
    };
    struct ctl__words words;
    if (!ctl__begin(c, &command, argc, argv, &words, code)) {
        return false;
    }
    if (words.count == 0 || words.count > 2) {
        *code = ctl__error(CTL__BAD_ARGS, "put wants a key and a value, or a key and the value on "
                                          "stdin");
        return false;
    }
    if (ignore_value && words.count > 1) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "put command needs only 1 argument when 'ignore-value' is set");
        return false;
    }
    uint64_t id;
    *code = CTL__OK;
    if (!ignore_value && !value_read(c, &words, &out->value, code)) {
        if (*code == CTL__OK) {
            *code = ctl__error(CTL__BAD_ARGS, "put has no value: none behind the key, and stdin is "
                                              "empty");
        }
        return false;
    }
    if (!ctl__hex_read(lease, "lease", &id, code)) {
        return false;
    }
    out->key = binary(words.at[0]);
    out->lease = (int64_t)id;
    out->prev_kv = previous;
    out->ignore_value = ignore_value;
    out->ignore_lease = ignore_lease;
    return true;
}

static void put_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__PutResponse *r = message;
    (void)about;
    puts("OK");
    if (r->prev_kv != NULL) {
        ctl__kv_print(c, r->prev_kv);
    }
}

static void put_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__PutResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    if (r->prev_kv != NULL) {
        ctl__fields_kv(c, "Prev", r->prev_kv);
    }
}

const struct ctl__view ctl__put_view = {.simple = put_simple, .fields = put_fields};

int ctl__put(struct ctl *c, int argc, char *const *argv)
{
    Etcdserverpb__PutRequest request;
    int code;
    if (!ctl__put_read(c, argc, argv, &request, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &put_method, &request.base, &ctl__put_view, NULL);
}

/* -- del --------------------------------------------------------------------------------------- */

bool ctl__del_read(struct ctl *c, int argc, char *const *argv,
                   Etcdserverpb__DeleteRangeRequest *out, int *code)
{
    bool prefix = false;
    bool from_key = false;
    bool range = false;
    bool previous = false;
    etcdserverpb__delete_range_request__init(out);
    const struct oak_args_flag flags[] = {
        {"prefix", '\0', OAK_ARGS_BOOL, &prefix, 0, 0, NULL, "all keys that begin with KEY"},
        {"from-key", '\0', OAK_ARGS_BOOL, &from_key, 0, 0, NULL, "KEY, and all behind it"},
        {"range", '\0', OAK_ARGS_BOOL, &range, 0, 0, NULL,
         "a range is meant; nothing here waits without it"},
        {"prev-kv", '\0', OAK_ARGS_BOOL, &previous, 0, 0, NULL, "show what was deleted"},
    };
    const struct oak_args_command command = {
        .name = "del",
        .summary = "Delete a key, or a range of keys: KEY and all before RANGE_END. Shows how many "
                   "went.",
        .operands = "KEY [RANGE_END]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum del greeting\n"
                "  oakum del --prefix users/ --prev-kv\n",
    };
    struct ctl__words words;
    if (!ctl__begin(c, &command, argc, argv, &words, code) ||
        !ctl__keys_read(c, &words, prefix, from_key, &out->key, &out->range_end, code)) {
        return false;
    }
    out->prev_kv = previous;
    return true;
}

static void del_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__DeleteRangeResponse *r = message;
    (void)about;
    printf("%" PRId64 "\n", r->deleted);
    for (size_t i = 0; i < r->n_prev_kvs; i++) {
        ctl__kv_print(c, r->prev_kvs[i]);
    }
}

static void del_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__DeleteRangeResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    printf("\"Deleted\" : %" PRId64 "\n", r->deleted);
    for (size_t i = 0; i < r->n_prev_kvs; i++) {
        ctl__fields_kv(c, "Prev", r->prev_kvs[i]);
    }
}

const struct ctl__view ctl__del_view = {.simple = del_simple, .fields = del_fields};

int ctl__del(struct ctl *c, int argc, char *const *argv)
{
    Etcdserverpb__DeleteRangeRequest request;
    int code;
    if (!ctl__del_read(c, argc, argv, &request, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &delete_method, &request.base, &ctl__del_view, NULL);
}

/* -- compaction -------------------------------------------------------------------------------- */

int ctl__compaction(struct ctl *c, int argc, char *const *argv)
{
    bool physical = false;
    const struct oak_args_flag flags[] = {
        {"physical", '\0', OAK_ARGS_BOOL, &physical, 0, 0, NULL,
         "come back only when it is gone from disk"},
    };
    const struct oak_args_command command = {
        .name = "compaction",
        .summary = "Forget what was before a revision; what is now stays.",
        .operands = "REVISION",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum compaction 1024\n",
    };
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    char *end = NULL;
    request.revision = words.count == 1 ? strtoll(words.at[0], &end, 10) : 0;
    if (words.count != 1 || end == words.at[0] || *end != '\0') {
        return ctl__error(words.count == 1 ? CTL__FAILED : CTL__BAD_ARGS,
                          "compaction wants a revision, such as 1024");
    }
    request.physical = physical;
    if (ctl__ask(c, &compact_method, &request.base, &code) == NULL) {
        return code;
    }
    printf("compacted revision %" PRId64 "\n", request.revision);
    return CTL__OK;
}
