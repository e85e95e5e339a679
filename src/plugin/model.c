/* SPDX-License-Identifier: Apache-2.0 */
/* model.c: from what protoc says of a file to what is to be written, with every name checked.
 *
 * Happy path   1 names of the file; 2 its services and their methods; 3 comments, in one pass over
 *              the source information; 4 the files that it needs, in protoc's order
 * Can fail     what can't be generated, told with file, service and method; OAK_ENOMEM, OAK_ELIMIT.
 * Invariants   whatever a model holds may be written into C as it is, but for comments.
 * Thread       any.
 */
#include <stdarg.h>
#include <stdio.h>

#include "plugin/internal.h"

/* Numbers in google/protobuf/descriptor.proto. */
#define FILE_SERVICE   6 /* FileDescriptorProto.service */
#define SERVICE_METHOD 2 /* ServiceDescriptorProto.method */
#define TYPE_GROUP     10

/* Services of a file, and methods of a service: each is compared with all others. */
#define NAMES_MAX 4096u

OAK_PRINTF(2, 3) static int wrong(struct oak_errbuf *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof(why->text), format, args);
    va_end(args);
    return OAK_EINVAL;
}

static const char *named(const char *name)
{
    return name != NULL && name[0] != '\0' ? name : "?";
}

/* -- types ------------------------------------------------------------------------------------- */

/* `type` is ".demo.v1.SayRequest". */
static int resolve(const struct input *in, const char *where, const char *type, struct name *c,
                   struct name *low, struct oak_errbuf *why)
{
    if (type == NULL || type[0] != '.') {
        return wrong(why, "%s: a type that is no full name", where);
    }
    const struct oak_schema_symbol *symbol = oak_schema_find(in->schema, oak_bytes_str(type + 1));
    if (symbol == NULL || symbol->kind != OAK_SCHEMA_MESSAGE) {
        return wrong(why, "%s: %.100s is no message", where, type + 1);
    }
    const Oakschema__File *file = oak_schema_file(in->schema, symbol->file);
    if (!plugin__name_c(file, symbol->name, c) || !plugin__name_lower(file, symbol->name, low)) {
        return wrong(why, "%s: %.100s is too long a name, or can't be one in C", where, type + 1);
    }
    return 0;
}

/* -- services ---------------------------------------------------------------------------------- */

static enum kind kind_of(const Oakschema__Method *m)
{
    if (m->client_streaming) {
        return m->server_streaming ? KIND_BIDI : KIND_CLIENT_STREAM;
    }
    return m->server_streaming ? KIND_SERVER_STREAM : KIND_UNARY;
}

static int model_method(const struct input *in, const char *service, const Oakschema__Method *from,
                        struct method *m, struct oak_errbuf *why)
{
    char where[300];
    snprintf(where, sizeof(where), "%.180s: method %.80s", service, named(from->name));
    m->name = named(from->name);
    m->kind = kind_of(from);
    m->idempotent = from->options != NULL && from->options->idempotency_level > 0;
    if (from->name == NULL || !plugin__name_member(from->name, &m->member)) {
        return wrong(why, "%s: the name is too long, or can't be one in C", where);
    }
    if (plugin__is_keyword(m->member.text)) {
        return wrong(why,
                     "%s: protoc-c makes a member \"%s\" of it, which is a word of C: rename it",
                     where, m->member.text);
    }
    int error = resolve(in, where, from->input_type, &m->request, &m->request_lower, why);
    if (error == 0) {
        error = resolve(in, where, from->output_type, &m->response, &m->response_lower, why);
    }
    return error;
}

/* Two names of the .proto that are one in C. */
static int clash(const char *where, const char *a, const char *b, const char *c,
                 struct oak_errbuf *why)
{
    return wrong(why, "%s: %.80s and %.80s are both %.100s in C: rename one", where, a, b, c);
}

static int model_service(const struct input *in, const Oakschema__File *file,
                         const Oakschema__Service *from, struct service *s, struct oak_errbuf *why)
{
    char where[200];
    snprintf(where, sizeof(where), "%.90s: service %.80s", file->name, named(from->name));
    bool scoped = file->package != NULL && file->package[0] != '\0';
    if (from->n_method > NAMES_MAX) {
        return wrong(why, "%s: it has more than %u methods", where, NAMES_MAX);
    }
    char *full = oak_arena_alloc(in->arena, PLUGIN_NAME_BYTES);
    s->methods = oak_arena_zalloc(in->arena, (from->n_method + 1) * sizeof(s->methods[0]));
    if (full == NULL || s->methods == NULL) {
        return OAK_ELIMIT;
    }
    int size = snprintf(full, PLUGIN_NAME_BYTES, "%s%s%s", scoped ? file->package : "",
                        scoped ? "." : "", from->name != NULL ? from->name : "");
    bool fits = size > 0 && size < PLUGIN_NAME_BYTES;
    s->full = oak_bytes(full, fits ? (size_t)size : 0);
    if (!fits || !plugin__name_lower(file, s->full, &s->lower)) {
        return wrong(why, "%s: the name is too long, or can't be one in C", where);
    }
    for (size_t i = 0; i < from->n_method; i++) {
        struct method *m = &s->methods[i];
        int error = model_method(in, where, from->method[i], m, why);
        if (error != 0) {
            return error;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(s->methods[j].member.text, m->member.text) == 0) {
                return clash(where, s->methods[j].name, m->name, m->member.text, why);
            }
        }
        s->method_count++;
    }
    return 0;
}

static int model_services(const struct input *in, const Oakschema__File *file, struct model *out,
                          struct oak_errbuf *why)
{
    if (file->n_service > NAMES_MAX) {
        return wrong(why, "%.100s: it has more than %u services", file->name, NAMES_MAX);
    }
    out->services = oak_arena_zalloc(in->arena, (file->n_service + 1) * sizeof(out->services[0]));
    if (out->services == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < file->n_service; i++) {
        struct service *s = &out->services[i];
        int error = model_service(in, file, file->service[i], s, why);
        if (error != 0) {
            return error;
        }
        for (size_t j = 0; j < i; j++) {
            if (strcmp(out->services[j].lower.text, s->lower.text) == 0) {
                return clash(file->name, file->service[j]->name, file->service[i]->name,
                             s->lower.text, why);
            }
        }
        out->service_count++;
    }
    return 0;
}

static void model_comments(const Oakschema__File *file, struct model *out)
{
    const Oakschema__SourceInfo *info = file->source_code_info;
    for (size_t i = 0; info != NULL && i < info->n_location; i++) {
        const Oakschema__Location *at = info->location[i];
        bool service = at->n_path == 2 || (at->n_path == 4 && at->path[2] == SERVICE_METHOD);
        if (!service || at->path[0] != FILE_SERVICE || at->path[1] < 0 ||
            (size_t)at->path[1] >= out->service_count) {
            continue;
        }
        struct service *s = &out->services[at->path[1]];
        if (at->n_path == 2) {
            s->comment = at->leading_comments;
        } else if (at->path[3] >= 0 && (size_t)at->path[3] < s->method_count) {
            s->methods[at->path[3]].comment = at->leading_comments;
        }
    }
}

/* -- the file ---------------------------------------------------------------------------------- */

/* protoc lists a file behind those it imports: one pass from its place to the front finds all. */
static int model_needed(const struct input *in, size_t self, struct model *out,
                        struct oak_errbuf *why)
{
    bool *marks = oak_arena_zalloc(in->arena, self + 1);
    size_t *needed = oak_arena_alloc(in->arena, (self + 1) * sizeof(needed[0]));
    if (marks == NULL || needed == NULL) {
        return OAK_ELIMIT;
    }
    marks[self] = true;
    for (size_t i = self + 1; i-- > 0;) {
        const Oakschema__File *file = oak_schema_file(in->schema, i);
        for (size_t j = 0; marks[i] && j < file->n_dependency; j++) {
            size_t import;
            bool found =
                oak_schema_find_file(in->schema, oak_bytes_str(file->dependency[j]), &import);
            if (!found || import >= i) {
                return wrong(why, "%.100s: protoc did not send %.100s, which it imports, before it",
                             named(file->name), file->dependency[j]);
            }
            marks[import] = true;
        }
    }
    for (size_t i = 0; i <= self; i++) {
        if (marks[i]) {
            needed[out->needed_count++] = i;
        }
    }
    out->needed = needed;
    return 0;
}

static int check_groups(const Oakschema__File *file, struct oak_errbuf *why)
{
    for (size_t i = 0; i < file->n_message_type; i++) {
        const Oakschema__Message *m = file->message_type[i];
        for (size_t j = 0; j < m->n_field; j++) {
            if (m->field[j]->type == TYPE_GROUP) {
                return wrong(why,
                             "%.100s: message %.80s: field %.80s is a group, which neither "
                             "protoc-c nor this plugin can make C of: use a message",
                             file->name, named(m->name), named(m->field[j]->name));
            }
        }
    }
    return 0;
}

int plugin__model(const struct input *in, size_t at, struct model *out, struct oak_errbuf *why)
{
    const Oakschema__File *file = oak_schema_file(in->schema, at);
    *out = (struct model){.name = file->name};
    if (file->name == NULL || !plugin__is_path(file->name) ||
        !plugin__name_file(file->name, &out->guard)) {
        return wrong(why, "%.200s: the file's name is too long, or can't be included by C",
                     named(file->name));
    }
    const Oakschema__CFileOptions *options =
        file->options != NULL ? file->options->pb_c_file : NULL;
    if (file->n_service > 0 && options != NULL && options->no_generate) {
        return wrong(why,
                     "%.100s: it has services, and (pb_c_file).no_generate forbids protoc-c "
                     "to make their messages",
                     file->name);
    }
    static const char suffix[] = ".proto";
    size_t size = strlen(file->name);
    size_t cut = sizeof(suffix) - 1;
    bool ends = size > cut && strcmp(file->name + size - cut, suffix) == 0;
    out->stem = oak_bytes(file->name, ends ? size - cut : size);
    int error = check_groups(file, why);
    if (error == 0) {
        error = model_services(in, file, out, why);
    }
    if (error == 0) {
        error = model_needed(in, at, out, why);
    }
    if (error == 0) {
        model_comments(file, out);
    }
    return error;
}
