/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c: decode files, then sort all their names.
 *
 * Happy path   1 decode each file into the schema's arena
 *              2 walk each file twice: count the names, then write them down
 *              3 sort: files, symbols, extensions
 * Can fail     OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM from decoding; the last two from the tables.
 * Invariants   what is sorted by name is sorted by place in the input too, so that of two equal
 *              names the first is found, whatever the C library's qsort does.
 * Thread       any; nothing is written once it is made.
 */
#include "schema/schema.h"

#include <stdlib.h>

struct file_row {
    struct oak_bytes name;
    size_t file;
};

struct oak_schema {
    struct oak_arena arena;
    const Oakschema__File **files;
    struct file_row *by_name;
    size_t file_count;
    struct oak_schema_symbol *symbols;
    size_t symbol_count;
    struct oak_schema_extension *extensions;
    size_t extension_count;
};

static struct oak_bytes text(const char *s)
{
    return s == NULL ? oak_bytes(NULL, 0) : oak_bytes_str(s);
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* While tables are NULL, names are only counted. */
struct walk {
    struct oak_schema *schema;
    size_t file;
    bool write;
    int error;
};

/* "scope.name" in the arena. */
static struct oak_bytes join(struct walk *w, struct oak_bytes scope, const char *name)
{
    struct oak_bytes last = text(name);
    size_t dot = scope.size > 0 ? 1 : 0;
    uint8_t *out = oak_arena_alloc(&w->schema->arena, scope.size + dot + last.size + 1);
    if (out == NULL) {
        w->error = OAK_ELIMIT;
        return oak_bytes(NULL, 0);
    }
    if (scope.size > 0) {
        memcpy(out, scope.data, scope.size);
        out[scope.size] = '.';
    }
    if (last.size > 0) {
        memcpy(out + scope.size + dot, last.data, last.size);
    }
    size_t size = scope.size + dot + last.size;
    out[size] = '\0';
    return oak_bytes(out, size);
}

static struct oak_bytes add(struct walk *w, struct oak_bytes scope, const char *name,
                            enum oak_schema_kind kind)
{
    struct oak_schema *s = w->schema;
    size_t at = s->symbol_count++;
    if (!w->write) {
        return oak_bytes(NULL, 0);
    }
    struct oak_bytes full = join(w, scope, name);
    s->symbols[at] = (struct oak_schema_symbol){.name = full, .kind = kind, .file = w->file};
    return full;
}

static void add_enums(struct walk *w, struct oak_bytes scope, Oakschema__Enum *const *enums,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(w, scope, enums[i]->name, OAK_SCHEMA_ENUM);
        for (size_t j = 0; j < enums[i]->n_value; j++) {
            add(w, scope, enums[i]->value[j]->name, OAK_SCHEMA_VALUE);
        }
    }
}

static void add_extensions(struct walk *w, struct oak_bytes scope, Oakschema__Field *const *fields,
                           size_t count)
{
    struct oak_schema *s = w->schema;
    for (size_t i = 0; i < count; i++) {
        add(w, scope, fields[i]->name, OAK_SCHEMA_EXTENSION);
        size_t at = s->extension_count++;
        if (w->write) {
            struct oak_bytes extendee = text(fields[i]->extendee);
            if (extendee.size > 0 && extendee.data[0] == '.') {
                extendee = oak_bytes(extendee.data + 1, extendee.size - 1);
            }
            s->extensions[at] = (struct oak_schema_extension){
                .extendee = extendee, .number = fields[i]->number, .file = w->file};
        }
    }
}

/* What is named within a message, but for the messages within it. */
static void add_members(struct walk *w, struct oak_bytes full, const Oakschema__Message *m)
{
    for (size_t i = 0; i < m->n_field; i++) {
        add(w, full, m->field[i]->name, OAK_SCHEMA_FIELD);
    }
    for (size_t i = 0; i < m->n_oneof_decl; i++) {
        add(w, full, m->oneof_decl[i]->name, OAK_SCHEMA_ONEOF);
    }
    add_enums(w, full, m->enum_type, m->n_enum_type);
    add_extensions(w, full, m->extension, m->n_extension);
}

/* Messages and those within them, with a stack of our own: pb refuses deeper ones. */
static void add_messages(struct walk *w, struct oak_bytes package, const Oakschema__File *file)
{
    struct level {
        Oakschema__Message *const *messages;
        size_t count;
        size_t at;
        struct oak_bytes scope;
    } levels[OAK_PROTO_DEPTH_MAX];
    size_t depth = 1;
    levels[0] = (struct level){file->message_type, file->n_message_type, 0, package};
    while (depth > 0 && w->error == 0) {
        struct level *top = &levels[depth - 1];
        if (top->at == top->count) {
            depth--;
            continue;
        }
        const Oakschema__Message *m = top->messages[top->at++];
        struct oak_bytes full = add(w, top->scope, m->name, OAK_SCHEMA_MESSAGE);
        add_members(w, full, m);
        if (m->n_nested_type > 0) {
            OAK_ASSERT_LT(depth, OAK_PROTO_DEPTH_MAX);
            levels[depth++] = (struct level){m->nested_type, m->n_nested_type, 0, full};
        }
    }
}

static void add_file(struct walk *w, const Oakschema__File *file)
{
    struct oak_bytes package = text(file->package);
    add_messages(w, package, file);
    add_enums(w, package, file->enum_type, file->n_enum_type);
    add_extensions(w, package, file->extension, file->n_extension);
    for (size_t i = 0; i < file->n_service; i++) {
        const Oakschema__Service *service = file->service[i];
        struct oak_bytes full = add(w, package, service->name, OAK_SCHEMA_SERVICE);
        for (size_t j = 0; j < service->n_method; j++) {
            add(w, full, service->method[j]->name, OAK_SCHEMA_METHOD);
        }
    }
}

static int walk_all(struct oak_schema *s, bool write)
{
    struct walk w = {.schema = s, .write = write};
    s->symbol_count = 0;
    s->extension_count = 0;
    for (w.file = 0; w.file < s->file_count && w.error == 0; w.file++) {
        add_file(&w, s->files[w.file]);
    }
    return w.error;
}

/* -- order ------------------------------------------------------------------------------------- */

static int order(struct oak_bytes a, struct oak_bytes b, size_t file_a, size_t file_b)
{
    int names = oak_bytes_cmp(a, b);
    return names != 0 ? names : (file_a > file_b) - (file_a < file_b);
}

static int order_files(const void *a, const void *b)
{
    const struct file_row *x = a;
    const struct file_row *y = b;
    return order(x->name, y->name, x->file, y->file);
}

static int order_symbols(const void *a, const void *b)
{
    const struct oak_schema_symbol *x = a;
    const struct oak_schema_symbol *y = b;
    int names = order(x->name, y->name, x->file, y->file);
    return names != 0 ? names : (x->kind > y->kind) - (x->kind < y->kind);
}

static int order_extensions(const void *a, const void *b)
{
    const struct oak_schema_extension *x = a;
    const struct oak_schema_extension *y = b;
    int names = oak_bytes_cmp(x->extendee, y->extendee);
    int numbers = (x->number > y->number) - (x->number < y->number);
    return names != 0 ? names : numbers != 0 ? numbers : (x->file > y->file) - (x->file < y->file);
}

/* The first row, of `size` bytes each beginning with its name, that is not before `name`. */
static size_t lower_bound(const void *rows, size_t count, size_t size, struct oak_bytes name)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct oak_bytes there;
        memcpy(&there, (const uint8_t *)rows + middle * size, sizeof(there));
        if (oak_bytes_cmp(there, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}
OAK_STATIC_ASSERT(offsetof(struct file_row, name) == 0, "lower_bound reads it");
OAK_STATIC_ASSERT(offsetof(struct oak_schema_symbol, name) == 0, "lower_bound reads it");
OAK_STATIC_ASSERT(offsetof(struct oak_schema_extension, extendee) == 0, "lower_bound reads it");

/* -- making ------------------------------------------------------------------------------------ */

static int decode(struct oak_schema *s, const struct oak_bytes *files, size_t count)
{
    s->files = oak_arena_alloc(&s->arena, OAK_MAX(count, (size_t)1) * sizeof(s->files[0]));
    s->by_name = oak_arena_alloc(&s->arena, OAK_MAX(count, (size_t)1) * sizeof(s->by_name[0]));
    if (s->files == NULL || s->by_name == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        ProtobufCMessage *message;
        int error = oak_pb_unpack(&oakschema__file__descriptor, files[i], &s->arena, &message);
        if (error != 0) {
            return error;
        }
        s->files[i] = (const Oakschema__File *)message;
        s->by_name[i] = (struct file_row){.name = text(s->files[i]->name), .file = i};
        s->file_count++;
    }
    return 0;
}

static int index_names(struct oak_schema *s)
{
    int error = walk_all(s, false);
    if (error != 0) {
        return error;
    }
    s->symbols = oak_arena_alloc(&s->arena, s->symbol_count * sizeof(s->symbols[0]) + 1);
    s->extensions = oak_arena_alloc(&s->arena, s->extension_count * sizeof(s->extensions[0]) + 1);
    if (s->symbols == NULL || s->extensions == NULL) {
        return OAK_ENOMEM;
    }
    error = walk_all(s, true);
    if (error != 0) {
        return error;
    }
    qsort(s->by_name, s->file_count, sizeof(s->by_name[0]), order_files);
    qsort(s->symbols, s->symbol_count, sizeof(s->symbols[0]), order_symbols);
    qsort(s->extensions, s->extension_count, sizeof(s->extensions[0]), order_extensions);
    return 0;
}

int oak_schema_new(const struct oak_bytes *files, size_t count, struct oak_schema **out)
{
    struct oak_schema *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return OAK_ENOMEM;
    }
    oak_arena_init(&s->arena, 64 * OAK_KIB, OAK_SCHEMA_BYTES_MAX);
    int error = decode(s, files, count);
    if (error == 0) {
        error = index_names(s);
    }
    if (error != 0) {
        oak_schema_free(s);
        return error;
    }
    *out = s;
    return 0;
}

void oak_schema_free(struct oak_schema *schema)
{
    if (schema != NULL) {
        oak_arena_fini(&schema->arena);
        free(schema);
    }
}

/* -- finding ----------------------------------------------------------------------------------- */

size_t oak_schema_file_count(const struct oak_schema *schema)
{
    return schema->file_count;
}

const Oakschema__File *oak_schema_file(const struct oak_schema *schema, size_t file)
{
    OAK_ASSERT_LT(file, schema->file_count);
    return schema->files[file];
}

bool oak_schema_find_file(const struct oak_schema *schema, struct oak_bytes name, size_t *file)
{
    size_t at = lower_bound(schema->by_name, schema->file_count, sizeof(schema->by_name[0]), name);
    if (at == schema->file_count || !oak_bytes_eq(schema->by_name[at].name, name)) {
        return false;
    }
    *file = schema->by_name[at].file;
    return true;
}

const struct oak_schema_symbol *oak_schema_find(const struct oak_schema *schema,
                                                struct oak_bytes name)
{
    size_t at =
        lower_bound(schema->symbols, schema->symbol_count, sizeof(schema->symbols[0]), name);
    bool found = at < schema->symbol_count && oak_bytes_eq(schema->symbols[at].name, name);
    return found ? &schema->symbols[at] : NULL;
}

size_t oak_schema_extensions(const struct oak_schema *schema, struct oak_bytes extendee,
                             const struct oak_schema_extension **first)
{
    size_t size = sizeof(schema->extensions[0]);
    size_t at = lower_bound(schema->extensions, schema->extension_count, size, extendee);
    size_t end = at;
    while (end < schema->extension_count &&
           oak_bytes_eq(schema->extensions[end].extendee, extendee)) {
        end++;
    }
    *first = &schema->extensions[at];
    return end - at;
}
