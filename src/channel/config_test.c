/* SPDX-License-Identifier: Apache-2.0 */
/* config_test.c: service configs that are understood, and what is said of those that aren't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "channel/config.h"

#define SECOND ((uint64_t)1000000000)

static void read_config(const char *text, struct channel_config *c)
{
    struct oak_errbuf e = {{0}};
    if (channel__config_read(text, c, &e) != 0) {
        fail_msg("%s", e.text);
    }
}

static void no_config_has_nothing_to_say(void **state)
{
    (void)state;
    struct channel_config c;
    read_config(NULL, &c);
    assert_null(channel__config_find(&c, "a", "b"));
    channel__config_fini(&c);
    read_config("{}", &c);
    assert_null(channel__config_find(&c, "a", "b"));
    assert_false(c.policy_set);
    assert_int_equal(c.tokens_max, 0);
    channel__config_fini(&c);
    read_config("{\"more\":[1,2]}", &c);
    assert_null(c.health_name);
    channel__config_fini(&c);
}

static void whose_health_is_asked_for_is_a_name_or_nobody(void **state)
{
    (void)state;
    struct channel_config c;
    read_config("{\"healthCheckConfig\":{\"serviceName\":\"x\"}}", &c);
    assert_string_equal(c.health_name, "x");
    channel__config_fini(&c);
    read_config("{\"healthCheckConfig\":{\"serviceName\":\"\"}}", &c);
    assert_string_equal(c.health_name, "");
    channel__config_fini(&c);
    static const char *const none[] = {"{\"healthCheckConfig\":{}}",
                                       "{\"healthCheckConfig\":{\"serviceName\":null}}"};
    for (size_t i = 0; i < OAK_COUNT_OF(none); i++) {
        read_config(none[i], &c);
        assert_null(c.health_name);
        channel__config_fini(&c);
    }
    char text[512];
    char name[CHANNEL_HEALTH_NAME_MAX + 2] = "";
    memset(name, 'n', CHANNEL_HEALTH_NAME_MAX + 1);
    snprintf(text, sizeof(text), "{\"healthCheckConfig\":{\"serviceName\":\"%s\"}}", name);
    assert_int_equal(channel__config_read(text, &c, NULL), OAK_EINVAL);
    name[CHANNEL_HEALTH_NAME_MAX] = '\0';
    snprintf(text, sizeof(text), "{\"healthCheckConfig\":{\"serviceName\":\"%s\"}}", name);
    read_config(text, &c);
    assert_string_equal(c.health_name, name);
    channel__config_fini(&c);
}

/* The example of gRFC A6, with what else there is. */
static const char full[] =
    "{\"loadBalancingConfig\":[{\"grpclb\":{}},{\"round_robin\":{}},{\"pick_first\":{}}],"
    "\"retryThrottling\":{\"maxTokens\":10,\"tokenRatio\":0.1239},"
    "\"methodConfig\":["
    "{\"name\":[{\"service\":\"a.S\",\"method\":\"Get\"},{\"service\":\"a.T\"}],"
    "\"timeout\":\"1.5s\",\"waitForReady\":true,"
    "\"maxRequestMessageBytes\":100,\"maxResponseMessageBytes\":4294967295,"
    "\"retryPolicy\":{\"maxAttempts\":4,\"initialBackoff\":\"0.1s\",\"maxBackoff\":\"1s\","
    "\"backoffMultiplier\":2,\"retryableStatusCodes\":[\"UNAVAILABLE\",10,\"CANCELLED\"]}},"
    "{\"name\":[{\"service\":\"a.S\"}],\"hedgingPolicy\":{\"maxAttempts\":9,"
    "\"hedgingDelay\":\"0.000000005s\",\"nonFatalStatusCodes\":[14]}},"
    "{\"name\":[{}],\"timeout\":\"0s\",\"waitForReady\":false},"
    "{\"timeout\":\"5s\"}]}";

static void what_it_says_is_found_by_method_service_or_for_all(void **state)
{
    (void)state;
    struct channel_config c;
    read_config(full, &c);
    assert_int_equal(c.policy, CHANNEL_ROUND_ROBIN);
    assert_int_equal(c.tokens_max, 10000);
    assert_int_equal(c.token_ratio, 123);
    const struct channel_rule *get = channel__config_find(&c, "a.S", "Get");
    assert_true(get->timeout_set && get->timeout_ns == 3 * SECOND / 2);
    assert_true(get->wait_set && get->wait);
    assert_true(get->request_set && get->request_bytes_max == 100);
    assert_true(get->response_set && get->response_bytes_max == UINT32_MAX);
    assert_int_equal(get->retry.attempts_max, 4);
    assert_int_equal(get->retry.backoff_first_ns, SECOND / 10);
    assert_int_equal(get->retry.backoff_max_ns, SECOND);
    assert_true(get->retry.multiplier == 2.0);
    assert_int_equal(get->retry.codes, 1u << 14 | 1u << 10 | 1u << 1);
    assert_int_equal(get->hedge.attempts_max, 0);
    assert_ptr_equal(channel__config_find(&c, "a.T", "Get"), get);
    assert_ptr_equal(channel__config_find(&c, "a.T", ""), get);
    const struct channel_rule *put = channel__config_find(&c, "a.S", "Put");
    assert_false(put->timeout_set || put->wait_set || put->request_set || put->response_set);
    assert_int_equal(put->retry.attempts_max, 0);
    assert_int_equal(put->hedge.attempts_max, 5);
    assert_int_equal(put->hedge.delay_ns, 5);
    assert_int_equal(put->hedge.codes, 1u << 14);
    const struct channel_rule *rest = channel__config_find(&c, "b", "Get");
    assert_true(rest->timeout_set && rest->timeout_ns == 0);
    assert_true(rest->wait_set && !rest->wait);
    static const char *const others[][2] = {{"a.", "S"},  {"a.SS", "Get"}, {"a.R", "Get"}, {"", ""},
                                            {"a", "Get"}, {"z", ""},       {"a.U", "Get"}};
    for (size_t i = 0; i < OAK_COUNT_OF(others); i++) {
        assert_ptr_equal(channel__config_find(&c, others[i][0], others[i][1]), rest);
    }
    channel__config_fini(&c);
}

static void each_of_many_names_is_found(void **state)
{
    (void)state;
    struct oak_buf text = {0};
    assert_int_equal(oak_buf_printf(&text, "{\"methodConfig\":["), 0);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(oak_buf_printf(&text,
                                        "%s{\"name\":[{\"service\":\"s%d\",\"method\":\"m\"},"
                                        "{\"service\":\"s%d\"}],\"timeout\":\"%ds\"}",
                                        i == 0 ? "" : ",", i, i, i + 1),
                         0);
    }
    assert_int_equal(oak_buf_append(&text, "]}", 3), 0);
    struct channel_config c;
    read_config((const char *)text.data, &c);
    for (int i = 0; i < 500; i++) {
        char service[16];
        snprintf(service, sizeof(service), "s%d", i);
        const struct channel_rule *rule = channel__config_find(&c, service, "m");
        assert_int_equal(rule->timeout_ns, (uint64_t)(i + 1) * SECOND);
        assert_ptr_equal(channel__config_find(&c, service, "other"), rule);
    }
    assert_null(channel__config_find(&c, "s500", "m"));
    assert_null(channel__config_find(&c, "s", "m"));
    channel__config_fini(&c);
    oak_buf_fini(&text);
}

static void policies_have_two_places(void **state)
{
    (void)state;
    struct channel_config c;
    read_config("{\"loadBalancingPolicy\":\"PICK_FIRST\"}", &c);
    assert_true(c.policy_set && c.policy == CHANNEL_PICK_FIRST && !c.shuffle);
    channel__config_fini(&c);
    read_config("{\"loadBalancingPolicy\":\"nobody\",\"loadBalancingConfig\":"
                "[{\"pick_first\":{\"shuffleAddressList\":true}}]}",
                &c);
    assert_true(c.policy_set && c.policy == CHANNEL_PICK_FIRST && c.shuffle);
    channel__config_fini(&c);
}

#define METHOD(inner) "{\"methodConfig\":[{" inner "}]}"
#define RETRY(attempts, first, max, multiplier, codes)                               \
    METHOD("\"retryPolicy\":{\"maxAttempts\":" attempts ",\"initialBackoff\":" first \
           ",\"maxBackoff\":" max ",\"backoffMultiplier\":" multiplier               \
           ",\"retryableStatusCodes\":" codes "}")

static const char *const bad[][2] = {
    {"", "line 1"},
    {"{", "line 1"},
    {"{\"a\":1,\"a\":2}", "duplicate"},
    {"[]", "service config: an object"},
    {"{\"methodConfig\":{}}", "methodConfig: a list"},
    {"{\"methodConfig\":[{},1]}", "methodConfig[1]: an object"},
    {METHOD("\"name\":{}"), "methodConfig[0].name: a list"},
    {METHOD("\"name\":[{},3]"), "methodConfig[0].name[1]: an object"},
    {METHOD("\"name\":[{\"service\":3}]"), "name[0]: an object of service"},
    {METHOD("\"name\":[{\"method\":\"m\"}]"), "name[0].service: a name with a method"},
    {METHOD("\"name\":[{},{}]"), "{} has more than one"},
    {METHOD("\"name\":[{\"service\":\"s\"},{\"service\":\"s\",\"method\":\"\"}]"),
     "/s/ has more than one"},
    {METHOD("\"timeout\":1"), "methodConfig[0].timeout: a duration"},
    {METHOD("\"timeout\":\"1\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\".5s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"1.s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"-1s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"1.0000000001s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"315576000001s\""), "timeout: a duration"},
    {METHOD("\"timeout\":\"99999999999999999999999s\""), "timeout: a duration"},
    {METHOD("\"waitForReady\":1"), "waitForReady: true or false"},
    {METHOD("\"maxRequestMessageBytes\":-1"), "maxRequestMessageBytes: a number"},
    {METHOD("\"maxResponseMessageBytes\":4294967296"), "maxResponseMessageBytes: a number"},
    {METHOD("\"maxResponseMessageBytes\":1.5"), "maxResponseMessageBytes: a number"},
    {METHOD("\"retryPolicy\":{},\"hedgingPolicy\":{}"), "not both"},
    {METHOD("\"retryPolicy\":3"), "methodConfig[0].retryPolicy: an object"},
    {METHOD("\"hedgingPolicy\":3"), "methodConfig[0].hedgingPolicy: an object"},
    {METHOD("\"hedgingPolicy\":{}"), "hedgingPolicy.maxAttempts: a whole number"},
    {METHOD("\"hedgingPolicy\":{\"maxAttempts\":2,\"hedgingDelay\":2}"), "hedgingDelay: a"},
    {METHOD("\"hedgingPolicy\":{\"maxAttempts\":2,\"nonFatalStatusCodes\":2}"),
     "hedgingPolicy.nonFatalStatusCodes: a list"},
    {RETRY("1", "\"1s\"", "\"1s\"", "2", "[14]"), "retryPolicy.maxAttempts: a whole number"},
    {RETRY("2.5", "\"1s\"", "\"1s\"", "2", "[14]"), "maxAttempts: a whole number"},
    {RETRY("3", "\"0s\"", "\"1s\"", "2", "[14]"), "initialBackoff: it must be longer"},
    {RETRY("3", "null", "\"1s\"", "2", "[14]"), "initialBackoff: a duration"},
    {RETRY("3", "\"1s\"", "\"0.0s\"", "2", "[14]"), "maxBackoff: it must be longer"},
    {RETRY("3", "\"1s\"", "\"1s\"", "0", "[14]"), "backoffMultiplier: a number greater"},
    {RETRY("3", "\"1s\"", "\"1s\"", "\"2\"", "[14]"), "backoffMultiplier: a number greater"},
    {RETRY("3", "\"1s\"", "\"1s\"", "2", "[]"), "retryableStatusCodes: at least one"},
    {RETRY("3", "\"1s\"", "\"1s\"", "2", "[17]"), "retryableStatusCodes: a list"},
    {RETRY("3", "\"1s\"", "\"1s\"", "2", "[-1]"), "retryableStatusCodes: a list"},
    {RETRY("3", "\"1s\"", "\"1s\"", "2", "[\"unavailable\"]"), "retryableStatusCodes: a list"},
    {"{\"retryThrottling\":1}", "retryThrottling: an object"},
    {"{\"retryThrottling\":{\"maxTokens\":0,\"tokenRatio\":1}}", "maxTokens: a number"},
    {"{\"retryThrottling\":{\"maxTokens\":1001,\"tokenRatio\":1}}", "maxTokens: a number"},
    {"{\"retryThrottling\":{\"maxTokens\":10,\"tokenRatio\":0.0009}}", "tokenRatio: a number"},
    {"{\"retryThrottling\":{\"maxTokens\":10}}", "tokenRatio: a number"},
    {"{\"loadBalancingPolicy\":\"grpclb\"}", "loadBalancingPolicy: pick_first"},
    {"{\"healthCheckConfig\":[]}", "healthCheckConfig: an object"},
    {"{\"healthCheckConfig\":{\"serviceName\":7}}", "healthCheckConfig.serviceName: a text"},
    {"{\"loadBalancingPolicy\":7}", "loadBalancingPolicy: pick_first"},
    {"{\"loadBalancingConfig\":{}}", "loadBalancingConfig: a list"},
    {"{\"loadBalancingConfig\":[{\"a\":{},\"b\":{}}]}", "loadBalancingConfig: a list"},
    {"{\"loadBalancingConfig\":[{\"grpclb\":{}}]}", "loadBalancingConfig: pick_first"},
};

static void what_is_wrong_is_named_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        struct channel_config c;
        struct oak_errbuf e = {{0}};
        int error = channel__config_read(bad[i][0], &c, &e);
        if (error != OAK_EINVAL || strstr(e.text, bad[i][1]) == NULL) {
            fail_msg("%s: %d, \"%s\", not \"%s\"", bad[i][0], error, e.text, bad[i][1]);
        }
        assert_null(c.names);
        assert_int_equal(channel__config_read(bad[i][0], &c, NULL), OAK_EINVAL);
    }
    char *long_text = calloc(1, CHANNEL_CONFIG_BYTES_MAX + 2);
    memset(long_text, ' ', CHANNEL_CONFIG_BYTES_MAX + 1);
    struct channel_config c;
    assert_int_equal(channel__config_read(long_text, &c, NULL), OAK_EINVAL);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_config_has_nothing_to_say),
        cmocka_unit_test(whose_health_is_asked_for_is_a_name_or_nobody),
        cmocka_unit_test(what_it_says_is_found_by_method_service_or_for_all),
        cmocka_unit_test(each_of_many_names_is_found),
        cmocka_unit_test(policies_have_two_places),
        cmocka_unit_test(what_is_wrong_is_named_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
