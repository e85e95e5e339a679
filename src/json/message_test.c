/* SPDX-License-Identifier: Apache-2.0 */
/* message_test.c: messages of protobuf from JSON and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <demo/json.pb-c.h>
#include <demo/json2.pb-c.h>

#include "json/json.h"

static struct oak_arena arena;
static struct oak_json_problem problem;

static int decode_as(const ProtobufCMessageDescriptor *type, const char *json,
                     ProtobufCMessage **out)
{
    if (oak_json_check(oak_bytes_str(json), &problem) != 0) {
        fail_msg("%s: %s", json, problem.text);
    }
    struct oak_json_reader r = oak_json_reader(oak_bytes_str(json));
    oak_arena_reset(&arena);
    return oak_json_to_pb(&r, type, NULL, &arena, out, &problem);
}

static int decode(const char *json, Demo__Json__All **out)
{
    ProtobufCMessage *message = NULL;
    int error = decode_as(&demo__json__all__descriptor, json, &message);
    *out = (Demo__Json__All *)message;
    return error;
}

/* Through bytes of protobuf and back into JSON. */
static void becomes_as(const ProtobufCMessageDescriptor *type, const char *json, const char *wanted)
{
    ProtobufCMessage *message = NULL;
    ProtobufCMessage *back = NULL;
    struct oak_buf packed = {0};
    struct oak_buf out = {0};
    if (decode_as(type, json, &message) != 0) {
        fail_msg("%s: %s", json, problem.text);
    }
    assert_int_equal(oak_buf_reserve(&packed, protobuf_c_message_get_packed_size(message) + 1), 0);
    packed.size = protobuf_c_message_pack(message, packed.data);
    assert_int_equal(oak_pb_unpack(type, oak_buf_bytes(&packed), &arena, &back), 0);
    assert_int_equal(oak_json_from_pb(&out, back, NULL, 1 << 20), 0);
    assert_int_equal(oak_json_check(oak_buf_bytes(&out), &problem), 0);
    assert_int_equal(oak_buf_append(&out, "", 1), 0);
    assert_string_equal(out.data, wanted);
    oak_buf_fini(&out);
    oak_buf_fini(&packed);
}

static void becomes(const char *json, const char *wanted)
{
    becomes_as(&demo__json__all__descriptor, json, wanted);
}

static void stays(const char *json)
{
    becomes(json, json);
}

static void refused(const char *json, const char *why)
{
    Demo__Json__All *all;
    int error = decode(json, &all);
    if (error != OAK_EFORMAT) {
        fail_msg("%s was taken", json);
    }
    assert_string_equal(problem.text, why);
}

static void scalars_have_the_forms_of_protobuf(void **state)
{
    (void)state;
    stays("{}");
    stays("{\"aInt32\":-2147483648,\"aSint32\":2147483647,\"aSfixed32\":-1,\"aUint32\":4294967295,"
          "\"aFixed32\":1}");
    stays("{\"aInt64\":\"-9223372036854775808\",\"aSint64\":\"9223372036854775807\","
          "\"aSfixed64\":\"-1\",\"aUint64\":\"18446744073709551615\",\"aFixed64\":\"1\"}");
    stays("{\"aFloat\":1.5,\"aDouble\":0.1,\"aBool\":true,\"aString\":\"\\\"\xe2\x98\xba\\n\","
          "\"aBytes\":\"AP+/\",\"aColor\":\"DEEP_BLUE\"}");
    stays("{\"aFloat\":\"NaN\",\"aDouble\":\"-Infinity\"}");
    stays("{\"aFloat\":3.4028235e+38,\"aDouble\":1.7976931348623157e+308}");
    stays("{\"aFloat\":0.1,\"aDouble\":4.94065645841247e-324}");
    stays("{\"aColor\":77}"); /* one that a newer sender knows */
}

static void what_means_the_same_is_taken(void **state)
{
    (void)state;
    becomes(" { \"a_int32\" : \"5\" , \"a_int64\" : 6 } ", "{\"aInt32\":5,\"aInt64\":\"6\"}");
    becomes("{\"aInt32\":1e2,\"aUint64\":1.0,\"aInt64\":\"-3.0E1\"}",
            "{\"aInt32\":100,\"aInt64\":\"-30\",\"aUint64\":\"1\"}");
    becomes("{\"aInt32\":-0,\"aUint32\":\"0\",\"aBool\":false,\"aString\":\"\",\"aBytes\":\"\","
            "\"aColor\":\"NONE\",\"manyInt32\":[],\"counts\":{}}",
            "{}");
    becomes("{\"aDouble\":\"1.5\",\"aFloat\":\"Infinity\"}", "{\"aFloat\":\"Infinity\","
                                                             "\"aDouble\":1.5}");
    becomes("{\"aBytes\":\"AP-_\",\"aColor\":-7}",
            "{\"aBytes\":\"AP+/\",\"aColor\":\"DEEP_BLUE\"}");
    becomes("{\"aMessage\":null,\"aInt32\":null,\"manyInt32\":null,\"when\":null}", "{}");
}

static void nothing_else_is(void **state)
{
    (void)state;
    static const char no[] = "it does not take this value";
    static const struct {
        const char *field;
        const char *values[14];
    } cases[] = {
        {"aInt32",
         {"2147483648", "-2147483649", "1.5", "\"\"", "\" 1\"", "\"1 \"", "\"0x1\"", "true", "{}",
          "[]", "\"+1\"", "1e10", "\"NaN\""}},
        {"aUint32", {"-1", "4294967296", "\"-1\"", "1e-1"}},
        {"aInt64",
         {"9223372036854775808", "\"-9223372036854775809\"", "1e300", "9007199254740993.0",
          "\"99999999999999999999999\""}},
        {"aUint64", {"18446744073709551616", "-1", "\"18446744073709551616\""}},
        {"aFloat", {"3.5e38", "\"nan\"", "true", "\"1.5f\"", "\"Inf\"", "\"1,5\""}},
        {"aDouble", {"1e309", "\"\"", "\"1..2\"", "\"--1\"", "\"0x1p3\"", "\"infinity\""}},
        {"aBool", {"1", "\"true\"", "0", "{}"}},
        {"aString", {"1", "true", "[]", "\"a\\u0000b\""}},
        {"aBytes", {"\"*\"", "\"A\"", "1", "true"}},
        {"aColor", {"\"GREEN\"", "\"red\"", "1.5", "true", "\"\""}},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        char snake[32] = {0};
        char why[160];
        size_t size = 0;
        for (const char *at = cases[i].field; *at != '\0'; at++) {
            bool capital = *at >= 'A' && *at <= 'Z';
            snake[size] = '_';
            size += capital;
            snake[size++] = capital ? (char)(*at - 'A' + 'a') : *at;
        }
        snprintf(why, sizeof(why), "demo.json.All.%s: %s", snake, no);
        for (size_t n = 0; cases[i].values[n] != NULL; n++) {
            char json[160];
            snprintf(json, sizeof(json), "{\"%s\":%s}", cases[i].field, cases[i].values[n]);
            refused(json, why);
        }
    }
}

static void messages_lists_and_maps_lie_in_each_other(void **state)
{
    (void)state;
    stays("{\"aMessage\":{\"aMessage\":{\"aInt32\":1}},\"manyInt32\":[1,0,-1],"
          "\"manyStrings\":[\"a\",\"\",\"c\"],\"manyMessages\":[{},{\"aBool\":true}],"
          "\"manyColors\":[\"NONE\",\"RED\"],\"manyBytes\":[\"\",\"AA==\"]}");
    stays("{\"counts\":{\"\":\"0\",\"a\\n\":\"-5\"},\"byNumber\":{\"-1\":{},\"7\":{\"counts\":{"
          "\"x\":\"1\"}}},\"byBool\":{\"true\":\"yes\",\"false\":\"\"},"
          "\"colorByName\":{\"a\":\"RED\",\"b\":\"NONE\"}}");
    stays("{\"manyDoubles\":[0,0.5,\"NaN\"]}");
    becomes("{\"manyInt32\":[1,2,3,4,5,6,7,8,9,10,11,12,13]}",
            "{\"manyInt32\":[1,2,3,4,5,6,7,8,9,10,11,12,13]}");
    refused("{\"manyInt32\":1}", "demo.json.All.many_int32: it is an array");
    refused("{\"manyInt32\":[null]}", "demo.json.All.many_int32: null in a list");
    refused("{\"manyInt32\":[1,\"x\"]}", "demo.json.All.many_int32: it does not take this value");
    refused("{\"counts\":[]}", "demo.json.All.counts: it is an object");
    refused("{\"counts\":{\"a\":null}}", "demo.json.All.CountsEntry.value: null in a map");
    refused("{\"byNumber\":{\"x\":{}}}",
            "demo.json.All.ByNumberEntry.key: it does not take this value");
    refused("{\"byBool\":{\"1\":\"\"}}",
            "demo.json.All.ByBoolEntry.key: it does not take this value");
    refused("{\"aMessage\":[]}", "demo.json.All: it is an object");
    refused("[]", "demo.json.All: it is an object");
}

static void presence_is_kept(void **state)
{
    (void)state;
    stays("{\"chosenText\":\"\"}");
    stays("{\"chosenNumber\":\"0\"}");
    stays("{\"chosenMessage\":{}}");
    stays("{\"chosenColor\":\"NONE\"}");
    stays("{\"aMessage\":{}}");
    refused("{\"chosenText\":\"\",\"chosenNumber\":1}",
            "demo.json.All.chosen_number: another one of its oneof is given");
    refused("{\"aInt32\":1,\"a_int32\":1}", "demo.json.All.a_int32: it is given twice");
    refused("{\"manyInt32\":[1],\"manyInt32\":[2]}", "demo.json.All.many_int32: it is given twice");
    refused("{\"nobody\":1}", "demo.json.All.nobody: there is no such field");
    refused("{\"aint32\":1}", "demo.json.All.aint32: there is no such field");
}

static void presence_of_proto2_is_kept(void **state)
{
    (void)state;
    const ProtobufCMessageDescriptor *old = &demo__json2__old__descriptor;
    static const char *const same[] = {
        "{\"must\":0}",
        "{\"must\":1,\"maybeInt32\":0,\"maybeString\":\"\",\"maybeBool\":false}",
        "{\"must\":1,\"maybeMessage\":{\"must\":0},\"maybeBytes\":\"\"}",
        "{\"must\":0,\"withDefault\":\"\"}",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(same); i++) {
        becomes_as(old, same[i], same[i]);
    }
    becomes_as(old, "{}", "{\"must\":0}");
}

static void names_are_those_of_protobuf(void **state)
{
    (void)state;
    stays("{\"ID\":1,\"peerURLs\":[\"a\"],\"OddName\":2}");
    becomes("{\"_odd__name_\":2}", "{\"OddName\":2}");
    becomes("{\"a\\u005fint32\":2}", "{\"aInt32\":2}");
    refused("{\"id\":1}", "demo.json.All.id: there is no such field");
}

static void known_messages_have_their_own_form(void **state)
{
    (void)state;
    stays("{\"when\":\"1970-01-01T00:00:00Z\"}");
    stays("{\"when\":\"2026-11-26T12:34:56.250Z\",\"long\":\"1.500s\"}");
    stays("{\"when\":\"0001-01-01T00:00:00Z\",\"long\":\"-315576000000s\"}");
    stays("{\"when\":\"9999-12-31T23:59:59.999999999Z\",\"long\":\"-0.000000001s\"}");
    stays("{\"when\":\"1600-02-29T00:00:00.000001Z\",\"long\":\"0s\"}");
    becomes("{\"when\":\"2000-02-29t01:00:00.1+01:30\"}",
            "{\"when\":\"2000-02-28T23:30:00.100Z\"}");
    stays("{\"mask\":\"a,bC.dEf\"}");
    becomes("{\"mask\":\"\"}", "{\"mask\":\"\"}");
    stays("{\"wrappedString\":\"\",\"wrappedInt64\":\"0\",\"wrappedBool\":false}");
    becomes("{\"wrappedString\":null,\"wrappedInt64\":5}", "{\"wrappedInt64\":\"5\"}");
    static const char *const times[] = {
        "",
        "2026-11-26",
        "2026-11-26T12:00:00",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00Zx",
        "0000-12-31T23:59:59Z",
        "0001-01-01T00:00:00+00:01",
        "10000-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(times); i++) {
        char json[80];
        snprintf(json, sizeof(json), "{\"when\":\"%s\"}", times[i]);
        refused(json, "google.protobuf.Timestamp: it is not written so");
    }
    static const char *const durations[] = {
        "", "s", "1", "1.s", ".5s", "--1s", "+1s", "315576000001s", "1.0000000000s", "1s "};
    for (size_t i = 0; i < OAK_COUNT_OF(durations); i++) {
        char json[80];
        snprintf(json, sizeof(json), "{\"long\":\"%s\"}", durations[i]);
        refused(json, "google.protobuf.Duration: it is not written so");
    }
    refused("{\"mask\":\"a_b\"}", "google.protobuf.FieldMask: it is not written so");
    refused("{\"mask\":\"a,,b\"}", "google.protobuf.FieldMask: it is not written so");
    refused("{\"when\":5}", "google.protobuf.Timestamp: it is a string");
    refused("{\"wrappedBool\":1}", "google.protobuf.BoolValue.value: it does not take this value");
    Demo__Json__All *all;
    assert_int_equal(decode("{\"any\":{}}", &all), OAK_EUNIMPLEMENTED);
    assert_string_equal(problem.text, "google.protobuf.Any: not understood here");
}

static void what_can_not_be_written_is_not_half_written(void **state)
{
    (void)state;
    Demo__Json__All all = DEMO__JSON__ALL__INIT;
    Google__Protobuf__Timestamp when = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    struct oak_buf out = {0};
    assert_int_equal(oak_buf_append(&out, "kept", 4), 0);
    all.a_int32 = 1;
    all.when = &when;
    when.nanos = -1;
    assert_int_equal(oak_json_from_pb(&out, &all.base, NULL, 1000), OAK_EFORMAT);
    when.nanos = 0;
    when.seconds = INT64_MIN;
    assert_int_equal(oak_json_from_pb(&out, &all.base, NULL, 1000), OAK_EFORMAT);
    all.when = NULL;
    all.any = &any;
    assert_int_equal(oak_json_from_pb(&out, &all.base, NULL, 1000), OAK_EUNIMPLEMENTED);
    all.any = NULL;
    assert_int_equal(oak_json_from_pb(&out, &all.base, NULL, 15), OAK_ELIMIT);
    assert_int_equal(out.size, 4);
    assert_int_equal(oak_json_from_pb(&out, &all.base, NULL, 16), 0);
    assert_true(oak_bytes_eq(oak_buf_bytes(&out), oak_bytes_str("kept{\"aInt32\":1}")));
    oak_buf_fini(&out);
}

static void a_form_names_fields_as_they_are_and_passes_over_others(void **state)
{
    (void)state;
    static const char json[] = "{\"a_int32\":1,\"new\":{\"a\":[{}]},\"aMessage\":{\"x\":null}}";
    const struct oak_json_form form = {.proto_names = true, .skip_unknown = true};
    struct oak_json_reader r = oak_json_reader(oak_bytes_str(json));
    ProtobufCMessage *message = NULL;
    struct oak_buf out = {0};
    assert_int_equal(
        oak_json_to_pb(&r, &demo__json__all__descriptor, &form, &arena, &message, &problem), 0);
    assert_int_equal(oak_json_from_pb(&out, message, &form, 1000), 0);
    assert_true(
        oak_bytes_eq(oak_buf_bytes(&out), oak_bytes_str("{\"a_int32\":1,\"a_message\":{}}")));
    oak_buf_fini(&out);
    /* What is a field has to fit all the same. */
    r = oak_json_reader(oak_bytes_str("{\"a_int32\":\"x\"}"));
    assert_int_equal(
        oak_json_to_pb(&r, &demo__json__all__descriptor, &form, &arena, &message, &problem),
        OAK_EFORMAT);
}

static void the_arena_bounds_what_a_message_takes(void **state)
{
    (void)state;
    static char json[4000];
    struct oak_arena small;
    ProtobufCMessage *message = NULL;
    size_t size = (size_t)snprintf(json, sizeof(json), "{\"manyMessages\":[{}");
    for (int i = 0; i < 1000; i++) {
        size += (size_t)snprintf(json + size, sizeof(json) - size, ",{}");
    }
    snprintf(json + size, sizeof(json) - size, "]}");
    oak_arena_init(&small, 1024, 64 * OAK_KIB);
    struct oak_json_reader r = oak_json_reader(oak_bytes_str(json));
    assert_int_equal(
        oak_json_to_pb(&r, &demo__json__all__descriptor, NULL, &small, &message, &problem),
        OAK_ELIMIT);
    assert_null(message);
    assert_string_equal(problem.text, "the message would be too large");
    oak_arena_fini(&small);
}

static void the_deepest_text_is_read_and_written(void **state)
{
    (void)state;
    char json[OAK_JSON_DEPTH_MAX * 16];
    size_t size = 0;
    for (int i = 0; i < OAK_JSON_DEPTH_MAX - 1; i++) {
        size += (size_t)snprintf(json + size, sizeof(json) - size, "{\"aMessage\":");
    }
    size += (size_t)snprintf(json + size, sizeof(json) - size, "{}");
    for (int i = 0; i < OAK_JSON_DEPTH_MAX - 1; i++) {
        size += (size_t)snprintf(json + size, sizeof(json) - size, "}");
    }
    stays(json);
}

static int setup(void **state)
{
    (void)state;
    oak_arena_init(&arena, 4096, 16 * OAK_MIB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    oak_arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_have_the_forms_of_protobuf),
        cmocka_unit_test(what_means_the_same_is_taken),
        cmocka_unit_test(nothing_else_is),
        cmocka_unit_test(messages_lists_and_maps_lie_in_each_other),
        cmocka_unit_test(presence_is_kept),
        cmocka_unit_test(presence_of_proto2_is_kept),
        cmocka_unit_test(names_are_those_of_protobuf),
        cmocka_unit_test(known_messages_have_their_own_form),
        cmocka_unit_test(what_can_not_be_written_is_not_half_written),
        cmocka_unit_test(a_form_names_fields_as_they_are_and_passes_over_others),
        cmocka_unit_test(the_arena_bounds_what_a_message_takes),
        cmocka_unit_test(the_deepest_text_is_read_and_written),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
