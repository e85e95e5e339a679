/* SPDX-License-Identifier: Apache-2.0 */
/* golden_test.c: what is made of the .proto files that src/stub compiles, to the letter.
 * OAK_REWRITE=1 in the environment writes down what is made now. */
#include "plugin/test_request.h"

static struct oak_buf set; /* FileDescriptorSet of the files, by protoc */

static int set_up(void **state)
{
    (void)state;
    return file_read(OAK_DESCRIPTORS, &set) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    oak_buf_fini(&set);
    return 0;
}

static const char *const protos[] = {"demo/chosen.proto", "demo/echo.proto", "demo/names.proto",
                                     "demo/types.proto", "plain.proto"};

static Oakschema__GeneratorResponse *generate(void)
{
    struct oak_buf request = {0};
    for (size_t i = 0; i < OAK_COUNT_OF(protos); i++) {
        put_record(&request, REQUEST_GENERATE, oak_bytes_str(protos[i]));
    }
    put_files(&request, oak_buf_bytes(&set));
    Oakschema__GeneratorResponse *out = respond(&request);
    oak_buf_fini(&request);
    if (out->error != NULL) {
        fail_msg("%s", out->error);
    }
    return out;
}

/* "demo/echo.oak.h" is kept in testdata/demo-echo.oak.h.golden. */
static void golden_path(const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s.golden", OAK_TESTDATA, name);
    for (char *at = out + strlen(OAK_TESTDATA) + 1; *at != '\0'; at++) {
        *at = *at == '/' ? '-' : *at;
    }
}

/* Descriptors of protobuf's own files differ from one version of it to another. */
static bool has_foreign_bytes(const char *name)
{
    return strcmp(name, "demo/chosen.oak.c") == 0 || strcmp(name, "demo/names.oak.c") == 0;
}

static void compare(const Oakschema__GeneratedFile *file)
{
    char path[512];
    if (has_foreign_bytes(file->name)) {
        return;
    }
    golden_path(file->name, path, sizeof(path));
    if (getenv("OAK_REWRITE") != NULL) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(file->content, 1, strlen(file->content), f), strlen(file->content));
        assert_int_equal(fclose(f), 0);
        return;
    }
    struct oak_buf golden = {0};
    if (!file_read(path, &golden) ||
        !oak_bytes_eq(oak_buf_bytes(&golden), oak_bytes_str(file->content))) {
        fail_msg("%s is not as %s says; OAK_REWRITE=1 accepts it", file->name, path);
    }
    oak_buf_fini(&golden);
}

static void the_files_are_as_they_were(void **state)
{
    (void)state;
    Oakschema__GeneratorResponse *made = generate();
    assert_int_equal(made->n_file, 2 * OAK_COUNT_OF(protos));
    for (size_t i = 0; i < made->n_file; i++) {
        compare(made->file[i]);
    }
    oakschema__generator_response__free_unpacked(made, NULL);
}

static void the_same_is_made_twice(void **state)
{
    (void)state;
    Oakschema__GeneratorResponse *a = generate();
    Oakschema__GeneratorResponse *b = generate();
    assert_true(a->has_supported_features);
    for (size_t i = 0; i < a->n_file; i++) {
        assert_string_equal(a->file[i]->name, b->file[i]->name);
        assert_string_equal(a->file[i]->content, b->file[i]->content);
    }
    oakschema__generator_response__free_unpacked(a, NULL);
    oakschema__generator_response__free_unpacked(b, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_files_are_as_they_were),
        cmocka_unit_test(the_same_is_made_twice),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
