/* SPDX-License-Identifier: Apache-2.0 */
/* refuse_test.c: what can't be generated is told, and why; bytes that are no request are an error;
 * no allocation that fails is forgotten. */
#include "rpc/test_memory.h"

#include "plugin/test_request.h"

/* A file with one service of one method, of which each test spoils something. */
struct sample {
    Oakschema__File file;
    Oakschema__FileOptions options;
    Oakschema__CFileOptions c_options;
    Oakschema__Message message;
    Oakschema__Field field;
    Oakschema__Service service;
    Oakschema__Service second;
    Oakschema__Method method;
    Oakschema__Method other;
    Oakschema__Message *messages[1];
    Oakschema__Field *fields[1];
    Oakschema__Service *services[2];
    Oakschema__Method *methods[2];
    char *dependencies[1];
    const char *generate;
    const char *parameter;
};

/* protobuf-c has no const. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void sample_init(struct sample *s)
{
    *s = (struct sample){.generate = "demo.proto"};
    oakschema__file__init(&s->file);
    oakschema__file_options__init(&s->options);
    oakschema__cfile_options__init(&s->c_options);
    oakschema__message__init(&s->message);
    oakschema__field__init(&s->field);
    oakschema__service__init(&s->service);
    oakschema__service__init(&s->second);
    oakschema__method__init(&s->method);
    oakschema__method__init(&s->other);
    s->field.name = text("field");
    s->message.name = text("Text");
    s->message.n_field = 1;
    s->message.field = s->fields;
    s->fields[0] = &s->field;
    s->method.name = text("Say");
    s->method.input_type = text(".demo.Text");
    s->method.output_type = text(".demo.Text");
    s->other = s->method;
    s->other.name = text("Tell");
    s->methods[0] = &s->method;
    s->methods[1] = &s->other;
    s->service.name = text("Echo");
    s->service.n_method = 2;
    s->service.method = s->methods;
    s->second.name = text("Second");
    s->services[0] = &s->service;
    s->services[1] = &s->second;
    s->messages[0] = &s->message;
    s->options.pb_c_file = &s->c_options;
    s->file.name = text("demo.proto");
    s->file.package = text("demo");
    s->file.options = &s->options;
    s->file.n_message_type = 1;
    s->file.message_type = s->messages;
    s->file.n_service = 2;
    s->file.service = s->services;
}

static void sample_request(const struct sample *s, struct oak_buf *out)
{
    uint8_t packed[4096];
    size_t size = oakschema__file__get_packed_size(&s->file);
    assert_true(size <= sizeof(packed));
    oakschema__file__pack(&s->file, packed);
    put_record(out, REQUEST_GENERATE, oak_bytes_str(s->generate));
    if (s->parameter != NULL) {
        put_record(out, REQUEST_PARAMETER, oak_bytes_str(s->parameter));
    }
    put_record(out, REQUEST_FILE, oak_bytes(packed, size));
}

static void assert_refused(const struct sample *s, const char *why)
{
    struct oak_buf request = {0};
    sample_request(s, &request);
    Oakschema__GeneratorResponse *response = respond(&request);
    assert_non_null(response->error);
    assert_int_equal(response->n_file, 0);
    assert_string_equal(response->error, why);
    oakschema__generator_response__free_unpacked(response, NULL);
    oak_buf_fini(&request);
}

static void the_sample_itself_is_fine(void **state)
{
    (void)state;
    struct sample s;
    struct oak_buf request = {0};
    sample_init(&s);
    sample_request(&s, &request);
    Oakschema__GeneratorResponse *response = respond(&request);
    assert_null(response->error);
    assert_int_equal(response->n_file, 2);
    assert_string_equal(response->file[0]->name, "demo.oak.h");
    assert_string_equal(response->file[1]->name, "demo.oak.c");
    oakschema__generator_response__free_unpacked(response, NULL);
    oak_buf_fini(&request);
}

static void names_that_c_cannot_have_are_refused(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s);
    s.method.name = text("Switch");
    assert_refused(&s,
                   "demo.proto: service Echo: method Switch: protoc-c makes a member \"switch\" "
                   "of it, which is a word of C: rename it");
    sample_init(&s);
    s.other.name = text("say");
    assert_refused(&s, "demo.proto: service Echo: Say and say are both say in C: rename one");
    sample_init(&s);
    s.second.name = text("echo");
    assert_refused(&s, "demo.proto: Echo and echo are both demo__echo in C: rename one");
    sample_init(&s);
    s.method.name = text("Say(void); */");
    assert_refused(&s, "demo.proto: service Echo: method Say(void); */: the name is too long, or "
                       "can't be one in C");
    sample_init(&s);
    s.service.name = text("");
    assert_refused(&s, "demo.proto: service ?: the name is too long, or can't be one in C");
    sample_init(&s);
    s.file.package = text("de mo");
    assert_refused(&s, "demo.proto: service Echo: the name is too long, or can't be one in C");
    sample_init(&s);
    s.c_options.c_package = text("9");
    assert_refused(&s, "demo.proto: service Echo: the name is too long, or can't be one in C");
    sample_init(&s);
    s.file.name = text("de\"mo.proto");
    s.generate = s.file.name;
    assert_refused(&s, "de\"mo.proto: the file's name is too long, or can't be included by C");
}

static void types_that_are_not_there_are_refused(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s);
    s.method.input_type = text(".demo.Nothing");
    assert_refused(&s, "demo.proto: service Echo: method Say: demo.Nothing is no message");
    sample_init(&s);
    s.method.output_type = text(".demo.Echo");
    assert_refused(&s, "demo.proto: service Echo: method Say: demo.Echo is no message");
    sample_init(&s);
    s.method.output_type = NULL;
    assert_refused(&s, "demo.proto: service Echo: method Say: a type that is no full name");
    sample_init(&s);
    s.field.has_type = true;
    s.field.type = 10;
    assert_refused(&s, "demo.proto: message Text: field field is a group, which neither protoc-c "
                       "nor this plugin can make C of: use a message");
}

static void what_protoc_should_have_said_is_missed(void **state)
{
    (void)state;
    struct sample s;
    sample_init(&s);
    s.dependencies[0] = text("other.proto");
    s.file.dependency = s.dependencies;
    s.file.n_dependency = 1;
    assert_refused(&s, "demo.proto: protoc did not send other.proto, which it imports, before it");
    s.dependencies[0] = text("demo.proto");
    assert_refused(&s, "demo.proto: protoc did not send demo.proto, which it imports, before it");
    sample_init(&s);
    s.generate = "other.proto";
    assert_refused(&s, "other.proto: protoc did not send this file");
    sample_init(&s);
    s.parameter = "fast=true";
    assert_refused(&s, "unknown option \"fast=true\": protoc-gen-oakum takes none");
    sample_init(&s);
    s.c_options.has_no_generate = true;
    s.c_options.no_generate = true;
    assert_refused(&s, "demo.proto: it has services, and (pb_c_file).no_generate forbids protoc-c "
                       "to make their messages");
}

static void long_names_end_in_an_error_or_in_files(void **state)
{
    (void)state;
    static char name[4000];
    for (size_t size = 1; size < sizeof(name); size += 37) {
        memset(name, 'n', size);
        name[size] = '\0';
        for (int which = 0; which < 4; which++) {
            struct sample s;
            sample_init(&s);
            char **places[] = {&s.method.name, &s.service.name, &s.file.package, &s.file.name};
            *places[which] = name;
            s.file.n_service = which == 2 ? 0 : 2;
            s.generate = s.file.name;
            struct oak_buf request = {0};
            uint8_t packed[16384];
            size_t packed_size = oakschema__file__get_packed_size(&s.file);
            assert_true(packed_size <= sizeof(packed));
            oakschema__file__pack(&s.file, packed);
            put_record(&request, REQUEST_GENERATE, oak_bytes_str(s.generate));
            put_record(&request, REQUEST_FILE, oak_bytes(packed, packed_size));
            Oakschema__GeneratorResponse *response = respond(&request);
            assert_true((response->error == NULL) == (response->n_file == 2));
            oakschema__generator_response__free_unpacked(response, NULL);
            oak_buf_fini(&request);
        }
    }
}

static void half_a_request_is_an_error(void **state)
{
    (void)state;
    struct sample s;
    struct oak_buf request = {0};
    sample_init(&s);
    sample_request(&s, &request);
    for (size_t size = 0; size < request.size; size++) {
        struct oak_buf response = {0};
        int error = oak_plugin_run(oak_bytes(request.data, size), &response);
        bool whole = size == 0 || size == 2 + strlen(s.generate); /* between two records */
        assert_int_equal(error, whole ? 0 : OAK_EFORMAT);
        oak_buf_fini(&response);
    }
    oak_buf_fini(&request);
}

static void every_allocation_may_fail_once(void **state)
{
    (void)state;
    struct sample s;
    struct oak_buf request = {0};
    sample_init(&s);
    sample_request(&s, &request);
    long fail_at = 0;
    while (memory_begin(fail_at)) {
        struct oak_buf response = {0};
        int error = oak_plugin_run(oak_buf_bytes(&request), &response);
        oak_buf_fini(&response);
        if (!memory_end()) {
            assert_int_equal(error, 0);
            break;
        }
        assert_true(error == OAK_ENOMEM || error == OAK_ELIMIT);
        fail_at++;
    }
    assert_true(fail_at > 5 || !MEMORY_COUNTS);
    oak_buf_fini(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_itself_is_fine),
        cmocka_unit_test(names_that_c_cannot_have_are_refused),
        cmocka_unit_test(types_that_are_not_there_are_refused),
        cmocka_unit_test(what_protoc_should_have_said_is_missed),
        cmocka_unit_test(long_names_end_in_an_error_or_in_files),
        cmocka_unit_test(half_a_request_is_an_error),
        cmocka_unit_test(every_allocation_may_fail_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
