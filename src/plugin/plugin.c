/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.c: a request of protoc to a response.
 *
 * Happy path   1 decode the request; 2 a schema of all its files; 3 for each file to be generated
 *              a model, and of it header and source; 4 encode the response
 * Can fail     the request (OAK_EFORMAT, OAK_ELIMIT) or memory: an error. The .proto files or
 *              options: a response that says so, and that protoc shows.
 * Invariants   a response has files or an error, never both.
 * Thread       any.
 */
#include <stdio.h>
#include <stdlib.h>

#include "plugin/internal.h"

/* CodeGeneratorResponse.Feature: `optional` in proto3 changes nothing in services. */
#define FEATURE_PROTO3_OPTIONAL 1

/* Of one request; protoc sends all files that those to be generated import. */
struct run {
    struct oak_arena arena;
    const Oakschema__GeneratorRequest *request;
    struct oak_bytes *files;
    struct oak_schema *schema;
    Oakschema__GeneratedFile *made; /* two for each file to be generated */
    size_t made_count;
    struct oak_errbuf why;
};

static int decode(struct run *r, struct oak_bytes bytes)
{
    ProtobufCMessage *message;
    int error =
        oak_pb_unpack(&oakschema__generator_request__descriptor, bytes, &r->arena, &message);
    if (error != 0) {
        return error;
    }
    const Oakschema__GeneratorRequest *request = (const Oakschema__GeneratorRequest *)message;
    r->request = request;
    r->files = oak_arena_alloc(&r->arena, (request->n_proto_file + 1) * sizeof(r->files[0]));
    r->made =
        oak_arena_zalloc(&r->arena, 2 * (request->n_file_to_generate + 1) * sizeof(r->made[0]));
    if (r->files == NULL || r->made == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < request->n_proto_file; i++) {
        r->files[i] = oak_pb_bytes(request->proto_file[i]);
    }
    return oak_schema_new(r->files, request->n_proto_file, &r->schema);
}

/* Take over a text as the content of a file. */
static int made_add(struct run *r, const struct model *model, const char *suffix, struct text *t)
{
    plugin__put(t, "%c", '\0');
    char *name = oak_arena_alloc(&r->arena, model->stem.size + 16);
    if (t->error != 0 || name == NULL) {
        oak_buf_fini(&t->buf);
        return t->error != 0 ? t->error : OAK_ELIMIT;
    }
    snprintf(name, model->stem.size + 16, "%.*s%s", (int)model->stem.size,
             (const char *)model->stem.data, suffix);
    Oakschema__GeneratedFile *file = &r->made[r->made_count++];
    oakschema__generated_file__init(file);
    file->name = name;
    file->content = (char *)t->buf.data;
    return 0;
}

static int generate(struct run *r, const char *name)
{
    size_t file;
    if (!oak_schema_find_file(r->schema, oak_bytes_str(name), &file)) {
        snprintf(r->why.text, sizeof(r->why.text), "%.200s: protoc did not send this file", name);
        return OAK_EINVAL;
    }
    const struct input input = {.schema = r->schema, .files = r->files, .arena = &r->arena};
    struct model model;
    int error = plugin__model(&input, file, &model, &r->why);
    if (error != 0) {
        return error;
    }
    struct text header = {0};
    plugin__header(&model, &header);
    error = made_add(r, &model, ".oak.h", &header);
    if (error == 0) {
        struct text source = {0};
        plugin__source(&input, &model, &source);
        error = made_add(r, &model, ".oak.c", &source);
    }
    return error;
}

static int generate_all(struct run *r)
{
    const Oakschema__GeneratorRequest *request = r->request;
    if (request->parameter != NULL && request->parameter[0] != '\0') {
        snprintf(r->why.text, sizeof(r->why.text),
                 "unknown option \"%.100s\": protoc-gen-oakum takes none", request->parameter);
        return OAK_EINVAL;
    }
    int error = 0;
    for (size_t i = 0; i < request->n_file_to_generate && error == 0; i++) {
        error = generate(r, request->file_to_generate[i]);
    }
    return error;
}

static int encode(struct run *r, bool failed, struct oak_buf *out)
{
    Oakschema__GeneratorResponse response = OAKSCHEMA__GENERATOR_RESPONSE__INIT;
    response.has_supported_features = true;
    response.supported_features = FEATURE_PROTO3_OPTIONAL;
    response.error = failed ? r->why.text : NULL;
    response.n_file = failed ? 0 : r->made_count;
    response.file = oak_arena_alloc(&r->arena, (r->made_count + 1) * sizeof(response.file[0]));
    if (response.file == NULL) {
        return OAK_ELIMIT;
    }
    for (size_t i = 0; i < r->made_count; i++) {
        response.file[i] = &r->made[i];
    }
    size_t size = oakschema__generator_response__get_packed_size(&response);
    int error = size <= OAK_PLUGIN_BYTES_MAX ? oak_buf_reserve(out, size) : OAK_ELIMIT;
    if (error == 0) {
        out->size += oakschema__generator_response__pack(&response, out->data + out->size);
    }
    return error;
}

int oak_plugin_run(struct oak_bytes request, struct oak_buf *response)
{
    if (request.size > OAK_PLUGIN_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    struct run r = {0};
    oak_arena_init(&r.arena, 64 * OAK_KIB, OAK_SCHEMA_BYTES_MAX);
    int error = decode(&r, request);
    if (error == 0) {
        error = generate_all(&r);
        if (error == 0 || error == OAK_EINVAL) {
            error = encode(&r, error != 0, response);
        }
    }
    for (size_t i = 0; i < r.made_count; i++) {
        free(r.made[i].content);
    }
    oak_schema_free(r.schema);
    oak_arena_fini(&r.arena);
    return error;
}
