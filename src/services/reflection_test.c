/* SPDX-License-Identifier: Apache-2.0 */
/* reflection_test.c: ServerReflection by its own typed client, of services whose files import
 * others. */
#include <stdio.h>

#include "stub/test_echo.h"

#include <demo/names.oak.h>
#include <grpc/reflection/v1/reflection.oak.h>
#include <grpc/reflection/v1alpha/reflection.oak.h>

#include "oakum/services.h"
#include "schema/schema.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest reflection_request;
typedef Grpc__Reflection__V1__ServerReflectionResponse reflection_response;

#define REQUEST(name)  GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define RESPONSE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name
#define REGISTER       "demo.NESTED_Pack.v2beta1.register"

/* One stream, and the last answer on it as text: names of files, services, numbers, an error. */
struct fixture {
    struct world w;
    struct oak_reflection *reflection;
    struct oak_stub_call *call;
    char answer[1024];
    int answers;
    int done;
    enum oak_rpc_code code;
};

static void note(struct fixture *f, const char *format, ...) OAK_PRINTF(2, 3);
static void note(struct fixture *f, const char *format, ...)
{
    size_t used = strlen(f->answer);
    va_list args;
    va_start(args, format);
    vsnprintf(f->answer + used, sizeof(f->answer) - used, format, args);
    va_end(args);
}

static void note_files(struct fixture *f, const Grpc__Reflection__V1__FileDescriptorResponse *files)
{
    struct oak_bytes bytes[16];
    assert_true(files->n_file_descriptor_proto <= OAK_COUNT_OF(bytes));
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        bytes[i] = oak_pb_bytes(files->file_descriptor_proto[i]);
    }
    struct oak_schema *schema;
    assert_int_equal(oak_schema_new(bytes, files->n_file_descriptor_proto, &schema), 0);
    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        const Oakschema__File *file = oak_schema_file(schema, i);
        assert_null(file->source_code_info);
        note(f, "%s%s", i == 0 ? "" : " ", file->name);
    }
    oak_schema_free(schema);
}

static void told(void *user, struct oak_stub_call *call, const reflection_response *response)
{
    (void)call;
    struct fixture *f = user;
    f->answers++;
    f->answer[0] = '\0';
    assert_non_null(response->original_request);
    switch (response->message_response_case) {
    case RESPONSE(FILE_DESCRIPTOR_RESPONSE):
        note_files(f, response->file_descriptor_response);
        break;
    case RESPONSE(ALL_EXTENSION_NUMBERS_RESPONSE):
        note(f, "%s:", response->all_extension_numbers_response->base_type_name);
        for (size_t i = 0; i < response->all_extension_numbers_response->n_extension_number; i++) {
            note(f, " %d", response->all_extension_numbers_response->extension_number[i]);
        }
        break;
    case RESPONSE(LIST_SERVICES_RESPONSE):
        for (size_t i = 0; i < response->list_services_response->n_service; i++) {
            note(f, "%s%s", i == 0 ? "" : " ", response->list_services_response->service[i]->name);
        }
        break;
    case RESPONSE(ERROR_RESPONSE):
        note(f, "%d %s", response->error_response->error_code,
             response->error_response->error_message);
        break;
    default:
        fail();
    }
}

static void closed(void *user, struct oak_stub_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct fixture *f = user;
    f->done++;
    f->code = status->code;
}

static const struct grpc__reflection__v1__server_reflection__server_reflection_info__callbacks
    callbacks = {.message = told, .closed = closed};

static void stream_begin(struct fixture *f)
{
    assert_int_equal(grpc__reflection__v1__server_reflection__server_reflection_info__call(
                         f->w.client, NULL, &callbacks, f, &f->call),
                     0);
}

static const char *ask(struct fixture *f, reflection_request request)
{
    int answers = f->answers;
    assert_int_equal(
        grpc__reflection__v1__server_reflection__server_reflection_info__send(f->call, &request),
        0);
    fake_run(&f->w.loop);
    assert_int_equal(f->answers, answers + 1);
    return f->answer;
}

static reflection_request request_init(void)
{
    reflection_request r = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;
    return r;
}

static const char *ask_file(struct fixture *f, const char *name)
{
    reflection_request r = request_init();
    r.message_request_case = REQUEST(FILE_BY_FILENAME);
    r.file_by_filename = (char *)(uintptr_t)name;
    return ask(f, r);
}

static const char *ask_symbol(struct fixture *f, const char *name)
{
    reflection_request r = request_init();
    r.message_request_case = REQUEST(FILE_CONTAINING_SYMBOL);
    r.file_containing_symbol = (char *)(uintptr_t)name;
    return ask(f, r);
}

static const char *ask_numbers(struct fixture *f, const char *name)
{
    reflection_request r = request_init();
    r.message_request_case = REQUEST(ALL_EXTENSION_NUMBERS_OF_TYPE);
    r.all_extension_numbers_of_type = (char *)(uintptr_t)name;
    return ask(f, r);
}

static const char *ask_extension(struct fixture *f, const char *name, int32_t number)
{
    Grpc__Reflection__V1__ExtensionRequest e = GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    e.containing_type = (char *)(uintptr_t)name;
    e.extension_number = number;
    reflection_request r = request_init();
    r.message_request_case = REQUEST(FILE_CONTAINING_EXTENSION);
    r.file_containing_extension = &e;
    return ask(f, r);
}

static const char *ask_services(struct fixture *f)
{
    reflection_request r = request_init();
    r.message_request_case = REQUEST(LIST_SERVICES);
    r.list_services = (char *)(uintptr_t) "";
    return ask(f, r);
}

/* -- the server -------------------------------------------------------------------------------- */

static void serve(void *user, struct oak_stub_call *call, const text_message *request)
{
    (void)user;
    (void)request;
    oak_stub_finish(call, OAK_RPC_UNAVAILABLE, NULL);
}

static int set_up(void **state)
{
    static struct fixture f;
    static const struct demo__v1__echo_handlers echo = {.say = serve};
    memset(&f, 0, sizeof(f));
    world_open(&f.w, &echo, NULL);
    assert_int_equal(oak_reflection_add(f.w.server, &f.reflection), 0);
    stream_begin(&f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    world_close(&f->w);
    oak_reflection_free(f->reflection);
    return 0;
}

static void names_add(struct fixture *f)
{
    static const struct demo__nested__pack__v2beta1__httpproxy_handlers names = {.class = serve};
    assert_int_equal(demo__nested__pack__v2beta1__httpproxy_add(f->w.server, &names, NULL), 0);
}

static void raw_start(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_cancel(call);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void services_are_listed_once_and_in_order(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(ask_services(f), "demo.v1.Echo grpc.reflection.v1.ServerReflection "
                                         "grpc.reflection.v1alpha.ServerReflection");
    const struct oak_rpc_method raw = {
        .service = "by.Hand", .name = "M", .kind = OAK_RPC_UNARY, .start = raw_start};
    assert_int_equal(oak_rpc_server_add(f->w.server, &raw), 0);
    names_add(f);
    assert_string_equal(ask_services(f), "by.Hand demo.NESTED_Pack.v2beta1.HTTPProxy demo.v1.Echo "
                                         "grpc.reflection.v1.ServerReflection "
                                         "grpc.reflection.v1alpha.ServerReflection");
    assert_string_equal(ask_symbol(f, "by.Hand"), "5 symbol not found: by.Hand");
}

static void a_file_comes_with_its_imports_unless_they_were_sent(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(ask_file(f, "demo/echo.proto"), "demo/echo.proto demo/types.proto");
    assert_string_equal(ask_file(f, "demo/echo.proto"), "demo/echo.proto");
    assert_string_equal(ask_file(f, "demo/types.proto"), "demo/types.proto");
    assert_string_equal(ask_file(f, "none.proto"), "5 file not found: none.proto");
    assert_string_equal(ask_file(f, ""), "5 file not found: ");
    /* Another stream knows nothing of that. */
    oak_stub_half_close(f->call);
    fake_run(&f->w.loop);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, OAK_RPC_OK);
    stream_begin(f);
    assert_string_equal(ask_file(f, "demo/echo.proto"), "demo/echo.proto demo/types.proto");
}

static void every_name_in_a_file_leads_to_it(void **state)
{
    struct fixture *f = *state;
    ask_file(f, "demo/echo.proto");
    const char *const names[] = {"demo.v1.Echo",         "demo.v1.Echo.Talk",
                                 ".demo.v1.Count",       "demo.v1.Count.Detail",
                                 "demo.v1.Count.detail", "demo.v1.Count.Detail.detail"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        assert_string_equal(ask_symbol(f, names[i]), "demo/echo.proto");
    }
    assert_string_equal(ask_symbol(f, "demo.types.v1.Text"), "demo/types.proto");
    assert_string_equal(ask_symbol(f, "demo.v1"), "5 symbol not found: demo.v1");
    assert_string_equal(ask_symbol(f, "demo.v1.Ech"), "5 symbol not found: demo.v1.Ech");
    assert_string_equal(ask_symbol(f, "demo.v1.Echo."), "5 symbol not found: demo.v1.Echo.");
}

static void services_that_come_later_are_there_too(void **state)
{
    struct fixture *f = *state;
    assert_string_equal(ask_symbol(f, REGISTER), "5 symbol not found: " REGISTER);
    ask_file(f, "demo/types.proto");
    names_add(f);
    assert_memory_equal(ask_symbol(f, REGISTER), "demo/names.proto ", 17);
    assert_non_null(strstr(f->answer, "google/protobuf/empty.proto"));
    assert_non_null(strstr(f->answer, "demo/types.proto")); /* what was sent is known no more */
    assert_string_equal(ask_symbol(f, "demo.v1.Echo"), "demo/echo.proto");
}

static void extensions_are_found_by_number(void **state)
{
    struct fixture *f = *state;
    names_add(f);
    assert_string_equal(ask_numbers(f, REGISTER), REGISTER ": 100");
    assert_string_equal(ask_numbers(f, "demo.types.v1.Text"), "demo.types.v1.Text:");
    assert_string_equal(ask_numbers(f, "demo.v1.Echo"), "5 message not found: demo.v1.Echo");
    assert_memory_equal(ask_extension(f, REGISTER, 100), "demo/names.proto ", 17);
    assert_string_equal(ask_extension(f, REGISTER, 101), "5 extension not found: 101 of " REGISTER);
    assert_string_equal(ask_extension(f, "nothing", 100), "5 extension not found: 100 of nothing");
    assert_string_equal(ask_symbol(f, "demo.NESTED_Pack.v2beta1.note"), "demo/names.proto");
}

static void a_request_for_nothing_ends_the_stream(void **state)
{
    struct fixture *f = *state;
    reflection_request r = request_init();
    assert_int_equal(
        grpc__reflection__v1__server_reflection__server_reflection_info__send(f->call, &r), 0);
    fake_run(&f->w.loop);
    assert_int_equal(f->answers, 0);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, OAK_RPC_INVALID_ARGUMENT);
}

static void a_client_that_does_not_read_is_not_read_from(void **state)
{
    struct fixture *f = *state;
    ask_file(f, "demo/echo.proto");
    f->answers = 0;
    reflection_request r = request_init();
    r.message_request_case = REQUEST(FILE_BY_FILENAME);
    r.file_by_filename = (char *)(uintptr_t) "demo/echo.proto";
    oak_stub_pause(f->call, true);
    int asked = 0;
    while (asked < 60000) {
        assert_int_equal(
            grpc__reflection__v1__server_reflection__server_reflection_info__send(f->call, &r), 0);
        asked++;
        if (asked % 100 == 0) {
            fake_run(&f->w.loop);
        }
    }
    assert_int_equal(f->answers, 0);
    assert_int_equal(f->done, 0);
    oak_stub_pause(f->call, false);
    fake_run(&f->w.loop);
    assert_int_equal(f->answers, asked);
    assert_int_equal(f->done, 0);
}

/* -- v1alpha ----------------------------------------------------------------------------------- */

static void alpha_told(void *user, struct oak_stub_call *call,
                       const Grpc__Reflection__V1alpha__ServerReflectionResponse *response)
{
    (void)call;
    struct fixture *f = user;
    f->answers++;
    assert_string_equal(response->valid_host, "here");
    assert_int_equal(response->list_services_response->n_service, 3);
}

static void the_older_name_is_served_as_well(void **state)
{
    struct fixture *f = *state;
    static const struct
        grpc__reflection__v1alpha__server_reflection__server_reflection_info__callbacks alpha = {
            .message = alpha_told, .closed = closed};
    Grpc__Reflection__V1alpha__ServerReflectionRequest r =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT;
    r.host = (char *)(uintptr_t) "here";
    r.message_request_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    r.list_services = (char *)(uintptr_t) "*";
    struct oak_stub_call *call;
    assert_int_equal(grpc__reflection__v1alpha__server_reflection__server_reflection_info__call(
                         f->w.client, NULL, &alpha, f, &call),
                     0);
    assert_int_equal(
        grpc__reflection__v1alpha__server_reflection__server_reflection_info__send(call, &r), 0);
    oak_stub_half_close(call);
    fake_run(&f->w.loop);
    assert_int_equal(f->answers, 1);
    assert_int_equal(f->done, 1);
    assert_int_equal(f->code, OAK_RPC_OK);
    assert_string_equal(ask_symbol(f, "grpc.reflection.v1alpha.ExtensionRequest"),
                        "grpc/reflection/v1alpha/reflection.proto");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(services_are_listed_once_and_in_order),
        TEST(a_file_comes_with_its_imports_unless_they_were_sent),
        TEST(every_name_in_a_file_leads_to_it),
        TEST(services_that_come_later_are_there_too),
        TEST(extensions_are_found_by_number),
        TEST(a_request_for_nothing_ends_the_stream),
        TEST(a_client_that_does_not_read_is_not_read_from),
        TEST(the_older_name_is_served_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
