/* SPDX-License-Identifier: Apache-2.0 */
/* reflection.c: grpc.reflection.v1 and v1alpha ServerReflection.
 *
 * Happy path   1 files of all services of the server are gathered, once more each time that some
 *              were added, and indexed by schema
 *              2 a request is looked up: by file, by symbol, by extension
 *              3 a file goes out with all that it imports, but for what this stream was sent before
 * Can fail     what is not found is answered, and the stream goes on; want of memory ends it.
 * Invariants   a client that does not read is not read from.
 * Source       gRPC's reflection protocol; what grpc-go's server says.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include <grpc/reflection/v1/reflection.oak.h>
#include <grpc/reflection/v1alpha/reflection.oak.h>

#include "oakum/services.h"
#include "oakum/stub.h"
#include "schema/schema.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

#define REQUEST(name)  GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

struct oak_reflection {
    struct oak_rpc_server *server;
    size_t known;            /* methods that the server had when the rest was made */
    uint64_t made;           /* how often it was made */
    struct oak_bytes *files; /* as they are sent, beside those of the schema */
    struct oak_schema *schema;
    /* v1alpha differs from v1 in its name alone: its calls are served with v1's messages. */
    struct oak_stub_service alpha;
    struct oak_stub_method alpha_method;
};

/* What a stream remembers. */
struct stream {
    uint64_t made; /* of the reflection, when `sent` began */
    bool *sent;    /* files */
};

/* One request being answered. */
struct answer {
    struct oak_reflection *r;
    struct oak_stub_call *call;
    reflection_response response;
    Grpc__Reflection__V1__FileDescriptorResponse files;
    Grpc__Reflection__V1__ExtensionNumberResponse numbers;
    Grpc__Reflection__V1__ListServiceResponse services;
    Grpc__Reflection__V1__ErrorResponse error;
    char text[256];
    bool no_memory;
};

/* -- what the server has ----------------------------------------------------------------------- */

static void index_drop(struct oak_reflection *r)
{
    oak_schema_free(r->schema);
    free(r->files);
    r->schema = NULL;
    r->files = NULL;
}

static size_t file_count(const struct oak_rpc_method_stats *methods, size_t count)
{
    size_t files = 0;
    for (size_t i = 0; i < count; i++) {
        const struct oak_stub_method *stub = methods[i].method->stub;
        files += stub != NULL ? stub->service->file_count : 0;
    }
    return files;
}

/* The files of a service, but for those that are there by name. */
static size_t add_files(const char **names, struct oak_bytes *files, size_t count,
                        const struct oak_stub_service *service)
{
    for (size_t i = 0; i < service->file_count; i++) {
        bool there = false;
        for (size_t j = 0; j < count && !there; j++) {
            there = strcmp(names[j], service->files[i].name) == 0;
        }
        if (!there) {
            names[count] = service->files[i].name;
            files[count++] = service->files[i].bytes;
        }
    }
    return count;
}

static int index_make(struct oak_reflection *r)
{
    const struct oak_rpc_method_stats *methods;
    size_t count = oak_rpc_server_stats(r->server, &methods);
    if (r->schema != NULL && r->known == count) {
        return 0;
    }
    index_drop(r);
    size_t most = file_count(methods, count) + 1;
    const char **names = calloc(most, sizeof(names[0]));
    r->files = calloc(most, sizeof(r->files[0]));
    size_t files = 0;
    const struct oak_stub_service *last = NULL;
    for (size_t i = 0; i < count && names != NULL && r->files != NULL; i++) {
        const struct oak_stub_method *stub = methods[i].method->stub;
        if (stub != NULL && stub->service != last) {
            last = stub->service;
            files = add_files(names, r->files, files, last);
        }
    }
    int error = names != NULL && r->files != NULL ? oak_schema_new(r->files, files, &r->schema)
                                                  : OAK_ENOMEM;
    free(names);
    if (error != 0) {
        index_drop(r);
        return error;
    }
    r->known = count;
    r->made++;
    return 0;
}

/* -- answers ----------------------------------------------------------------------------------- */

static void *memory(struct answer *a, size_t size)
{
    void *out = oak_stub_scratch(a->call, size + 1);
    a->no_memory = a->no_memory || out == NULL;
    return out;
}

static void not_found(struct answer *a, const char *what, const char *name)
{
    snprintf(a->text, sizeof(a->text), "%s not found: %.180s", what, name);
    grpc__reflection__v1__error_response__init(&a->error);
    a->error.error_code = OAK_RPC_NOT_FOUND;
    a->error.error_message = a->text;
    a->response.message_response_case = RESPONSE(ERROR_RESPONSE);
    a->response.error_response = &a->error;
}

/* What this stream was sent, as one flag a file. */
static bool *sent_files(struct answer *a)
{
    struct stream *stream = oak_stub_data(a->call);
    if (stream == NULL) {
        stream = oak_stub_alloc(a->call, sizeof(*stream));
        oak_stub_set_data(a->call, stream);
    }
    if (stream == NULL) {
        a->no_memory = true;
        return NULL;
    }
    if (stream->made != a->r->made) {
        stream->made = a->r->made;
        stream->sent = oak_stub_alloc(a->call, oak_schema_file_count(a->r->schema) + 1);
    }
    a->no_memory = a->no_memory || stream->sent == NULL;
    return stream->sent;
}

/* A file and all that it imports. */
static void answer_file(struct answer *a, size_t file)
{
    const struct oak_schema *schema = a->r->schema;
    size_t count = oak_schema_file_count(schema);
    bool *sent = sent_files(a);
    bool *wanted = memory(a, count);
    size_t *queue = memory(a, count * sizeof(queue[0]));
    ProtobufCBinaryData *out = memory(a, count * sizeof(out[0]));
    if (a->no_memory) {
        return;
    }
    grpc__reflection__v1__file_descriptor_response__init(&a->files);
    a->files.file_descriptor_proto = out;
    size_t end = 1;
    queue[0] = file;
    wanted[file] = true;
    for (size_t at = 0; at < end; at++) {
        if (at == 0 || !sent[queue[at]]) {
            sent[queue[at]] = true;
            out[a->files.n_file_descriptor_proto++] = oak_pb_binary(a->r->files[queue[at]]);
        }
        const Oakschema__File *from = oak_schema_file(schema, queue[at]);
        for (size_t i = 0; i < from->n_dependency; i++) {
            size_t import;
            bool there = oak_schema_find_file(schema, oak_bytes_str(from->dependency[i]), &import);
            if (there && !wanted[import]) {
                wanted[import] = true;
                queue[end++] = import;
            }
        }
    }
    a->response.message_response_case = RESPONSE(FILE_DESCRIPTOR_RESPONSE);
    a->response.file_descriptor_response = &a->files;
}

static void answer_filename(struct answer *a, const char *name)
{
    size_t file;
    if (oak_schema_find_file(a->r->schema, oak_bytes_str(name), &file)) {
        answer_file(a, file);
    } else {
        not_found(a, "file", name);
    }
}

/* Full names may begin with a dot. */
static struct oak_bytes full_name(const char *name)
{
    return oak_bytes_str(name[0] == '.' ? name + 1 : name);
}

static void answer_symbol(struct answer *a, const char *name)
{
    const struct oak_schema_symbol *symbol = oak_schema_find(a->r->schema, full_name(name));
    if (symbol != NULL) {
        answer_file(a, symbol->file);
    } else {
        not_found(a, "symbol", name);
    }
}

static bool is_message(const struct answer *a, const char *name)
{
    const struct oak_schema_symbol *symbol = oak_schema_find(a->r->schema, full_name(name));
    return symbol != NULL && symbol->kind == OAK_SCHEMA_MESSAGE;
}

static void answer_extension(struct answer *a, const Grpc__Reflection__V1__ExtensionRequest *asked)
{
    const struct oak_schema_extension *all;
    size_t count = oak_schema_extensions(a->r->schema, full_name(asked->containing_type), &all);
    for (size_t i = 0; i < count; i++) {
        if (all[i].number == asked->extension_number) {
            answer_file(a, all[i].file);
            return;
        }
    }
    char name[200];
    snprintf(name, sizeof(name), "%d of %.160s", asked->extension_number, asked->containing_type);
    not_found(a, "extension", name);
}

static void answer_numbers(struct answer *a, const char *type)
{
    if (!is_message(a, type)) {
        not_found(a, "message", type);
        return;
    }
    const struct oak_schema_extension *all;
    size_t count = oak_schema_extensions(a->r->schema, full_name(type), &all);
    int32_t *numbers = memory(a, count * sizeof(numbers[0]));
    grpc__reflection__v1__extension_number_response__init(&a->numbers);
    for (size_t i = 0; i < count && numbers != NULL; i++) {
        size_t *end = &a->numbers.n_extension_number;
        if (*end == 0 || numbers[*end - 1] != all[i].number) {
            numbers[(*end)++] = all[i].number;
        }
    }
    a->numbers.extension_number = numbers;
    a->numbers.base_type_name = (char *)(uintptr_t)type;
    a->response.message_response_case = RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE);
    a->response.all_extension_numbers_response = &a->numbers;
}

static int order_names(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

static void answer_services(struct answer *a)
{
    typedef Grpc__Reflection__V1__ServiceResponse service_response;
    const struct oak_rpc_method_stats *methods;
    size_t count = oak_rpc_server_stats(a->r->server, &methods);
    const char **names = memory(a, count * sizeof(names[0]));
    service_response *rows = memory(a, count * sizeof(rows[0]));
    service_response **pointers = memory(a, count * sizeof(pointers[0]));
    if (a->no_memory) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        names[i] = methods[i].method->service;
    }
    qsort(names, count, sizeof(names[0]), order_names);
    grpc__reflection__v1__list_service_response__init(&a->services);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && strcmp(names[i - 1], names[i]) == 0) {
            continue;
        }
        service_response *row = &rows[a->services.n_service];
        grpc__reflection__v1__service_response__init(row);
        row->name = (char *)(uintptr_t)names[i];
        pointers[a->services.n_service++] = row;
    }
    a->services.service = pointers;
    a->response.message_response_case = RESPONSE(LIST_SERVICES_RESPONSE);
    a->response.list_services_response = &a->services;
}

static void answer(struct answer *a, const reflection_request *request)
{
    switch (request->message_request_case) {
    case REQUEST(FILE_BY_FILENAME):
        answer_filename(a, request->file_by_filename);
        break;
    case REQUEST(FILE_CONTAINING_SYMBOL):
        answer_symbol(a, request->file_containing_symbol);
        break;
    case REQUEST(FILE_CONTAINING_EXTENSION):
        answer_extension(a, request->file_containing_extension);
        break;
    case REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE):
        answer_numbers(a, request->all_extension_numbers_of_type);
        break;
    case REQUEST(LIST_SERVICES):
        answer_services(a);
        break;
    default:
        oak_stub_finish(a->call, OAK_RPC_INVALID_ARGUMENT, "a request that asks for nothing known");
        break;
    }
}

/* -- the method -------------------------------------------------------------------------------- */

static void info_message(void *user, struct oak_stub_call *call, const reflection_request *request)
{
    struct answer a = {.r = user, .call = call};
    grpc__reflection__v1__server_reflection_response__init(&a.response);
    a.response.valid_host = request->host;
    a.response.original_request = (reflection_request *)(uintptr_t)request;
    if (index_make(a.r) == 0) {
        answer(&a, request);
    } else {
        a.no_memory = true;
    }
    if (a.no_memory) {
        oak_stub_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
    } else if (a.response.message_response_case != RESPONSE(_NOT_SET) &&
               grpc__reflection__v1__server_reflection__server_reflection_info__reply(
                   call, &a.response) != 0) {
        oak_stub_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "the client does not read");
    } else if (oak_stub_queued(call) > OAK_RPC_QUEUE_HIGH_BYTES) {
        oak_stub_pause(call, true);
    }
}

static void info_writable(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_pause(call, false);
}

static void info_half_closed(void *user, struct oak_stub_call *call)
{
    (void)user;
    oak_stub_finish(call, OAK_RPC_OK, NULL);
}

static const struct grpc__reflection__v1__server_reflection_handlers handlers = {
    .server_reflection_info = {.message = info_message,
                               .half_closed = info_half_closed,
                               .writable = info_writable},
};

/* -- the program's side ------------------------------------------------------------------------ */

static int alpha_add(struct oak_reflection *r)
{
    const struct oak_stub_service *alpha = &grpc__reflection__v1alpha__server_reflection_service;
    const struct oak_stub_service *v1 = &grpc__reflection__v1__server_reflection_service;
    OAK_ASSERT_EQ(alpha->method_count, 1);
    OAK_ASSERT_EQ(v1->method_count, 1);
    r->alpha_method = v1->methods[0];
    r->alpha_method.service = &r->alpha;
    r->alpha = *alpha;
    r->alpha.methods = &r->alpha_method;
    return oak_stub_add(r->server, &r->alpha, &handlers, sizeof(handlers), r);
}

int oak_reflection_add(struct oak_rpc_server *server, struct oak_reflection **out)
{
    struct oak_reflection *r = calloc(1, sizeof(*r));
    *out = r;
    if (r == NULL) {
        return OAK_ENOMEM;
    }
    r->server = server;
    int error = grpc__reflection__v1__server_reflection_add(server, &handlers, r);
    return error != 0 ? error : alpha_add(r);
}

void oak_reflection_free(struct oak_reflection *r)
{
    if (r != NULL) {
        index_drop(r);
        free(r);
    }
}
