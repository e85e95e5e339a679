/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: gRPC's service config, from JSON to rules.
 *
 * Happy path   text → jansson → the parts we know, checked → rules in an arena, their names sorted.
 * Can fail     OAK_EINVAL, with the place ("methodConfig[0].retryPolicy.maxAttempts") and what is
 *              wanted there; OAK_ENOMEM. Fields that we don't know are not looked at.
 * Invariants   names are unique; a rule never has both a retry and a hedging policy.
 * Thread       any.
 *
 * Sources: gRPC's service_config.proto and service_config.md, gRFC A6; durations as in protobuf's
 * JSON.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "channel/config.h"

#define CONFIG_SECOND_NS ((uint64_t)1000000000)
/* Protobuf's largest duration, in seconds. */
#define DURATION_SECONDS_MAX 315576000000u

struct reader {
    struct channel_config *config;
    struct oak_errbuf *e;
    char place[128]; /* of the object that is being read, with a point at its end */
};

/* What stands at `field` of the object that is being read is not what is wanted there. */
static int bad(struct reader *r, const char *field, const char *wanted)
{
    int size = (int)strlen(r->place) - (field[0] == '\0'); /* the object itself: no point */
    return oak_fail(r->e, OAK_EINVAL, "service config: %.*s%s: %s", size, r->place, field, wanted);
}

static size_t place_enter(struct reader *r, const char *field, size_t index, bool indexed)
{
    size_t before = strlen(r->place);
    char *at = r->place + before;
    size_t room = sizeof(r->place) - before;
    if (indexed) {
        snprintf(at, room, "%s[%zu].", field, index);
    } else {
        snprintf(at, room, "%s.", field);
    }
    return before;
}

static void place_leave(struct reader *r, size_t before)
{
    r->place[before] = '\0';
}

static void *keep(struct reader *r, size_t size)
{
    return oak_arena_zalloc(&r->config->arena, size);
}

/* -- values ------------------------------------------------------------------------------------ */

static const char duration_wanted[] = "a duration in seconds is wanted, as \"1.5s\"";

/* "1.5s". False: it is none. */
static bool duration_parse(const char *text, uint64_t *ns)
{
    uint64_t seconds = 0;
    uint64_t fraction = 0;
    uint64_t unit = CONFIG_SECOND_NS;
    const char *p = text;
    for (; *p >= '0' && *p <= '9'; p++) {
        seconds = seconds * 10 + (uint64_t)(*p - '0');
        if (seconds > DURATION_SECONDS_MAX) {
            return false;
        }
    }
    bool digits = p > text;
    if (digits && *p == '.') {
        for (p++; *p >= '0' && *p <= '9' && unit > 1; p++) {
            unit /= 10;
            fraction += (uint64_t)(*p - '0') * unit;
        }
        digits = unit < CONFIG_SECOND_NS;
    }
    *ns = seconds > UINT64_MAX / CONFIG_SECOND_NS - 1 ? OAK_RPC_NEVER_NS - 1
                                                      : seconds * CONFIG_SECOND_NS + fraction;
    return digits && p[0] == 's' && p[1] == '\0';
}

static int duration_read(struct reader *r, const json_t *object, const char *field, uint64_t *ns)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text != NULL && duration_parse(text, ns) ? 0 : bad(r, field, duration_wanted);
}

/* One that must be longer than nothing. */
static int duration_read_some(struct reader *r, const json_t *object, const char *field,
                              uint64_t *ns)
{
    int error = duration_read(r, object, field, ns);
    return error != 0 || *ns > 0 ? error : bad(r, field, "it must be longer than 0s");
}

static bool code_parse(const json_t *value, uint32_t *code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    if (json_is_integer(value)) {
        json_int_t number = json_integer_value(value);
        *code = (uint32_t)number;
        return number >= 0 && number < (json_int_t)OAK_COUNT_OF(names);
    }
    const char *text = json_string_value(value);
    for (uint32_t i = 0; text != NULL && i < OAK_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *code = i;
            return true;
        }
    }
    return false;
}

static int codes_read(struct reader *r, const json_t *object, const char *field, uint32_t *codes)
{
    const json_t *list = json_object_get(object, field);
    if (list == NULL) {
        return 0;
    }
    size_t count = json_array_size(list);
    bool fine = json_is_array(list);
    for (size_t i = 0; fine && i < count; i++) {
        uint32_t code = 0;
        fine = code_parse(json_array_get(list, i), &code);
        *codes |= fine ? 1u << code : 0;
    }
    return fine ? 0 : bad(r, field, "a list of status codes is wanted, as [\"UNAVAILABLE\"]");
}

static int attempts_read(struct reader *r, const json_t *object, uint32_t *attempts)
{
    const json_t *value = json_object_get(object, "maxAttempts");
    if (!json_is_integer(value) || json_integer_value(value) < 2) {
        return bad(r, "maxAttempts", "a whole number from 2 is wanted");
    }
    json_int_t number = json_integer_value(value);
    *attempts = (uint32_t)OAK_MIN(number, (json_int_t)CHANNEL_ATTEMPTS_MAX);
    return 0;
}

static int bytes_read(struct reader *r, const json_t *object, const char *field, bool *set,
                      uint32_t *bytes)
{
    const json_t *value = json_object_get(object, field);
    if (value == NULL) {
        return 0;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 0 || number > (json_int_t)UINT32_MAX) {
        return bad(r, field, "a number of bytes below 2^32 is wanted");
    }
    *set = true;
    *bytes = (uint32_t)number;
    return 0;
}

/* -- a method's rule --------------------------------------------------------------------------- */

static int retry_read(struct reader *r, const json_t *object, struct channel_retry *out)
{
    int error = attempts_read(r, object, &out->attempts_max);
    if (error == 0) {
        error = duration_read_some(r, object, "initialBackoff", &out->backoff_first_ns);
    }
    if (error == 0) {
        error = duration_read_some(r, object, "maxBackoff", &out->backoff_max_ns);
    }
    if (error == 0) {
        const json_t *value = json_object_get(object, "backoffMultiplier");
        out->multiplier = json_number_value(value);
        error = out->multiplier > 0
                    ? 0
                    : bad(r, "backoffMultiplier", "a number greater than 0 is wanted");
    }
    if (error == 0) {
        error = codes_read(r, object, "retryableStatusCodes", &out->codes);
    }
    return error == 0 && out->codes == 0
               ? bad(r, "retryableStatusCodes", "at least one status code is wanted")
               : error;
}

static int hedge_read(struct reader *r, const json_t *object, struct channel_hedge *out)
{
    int error = attempts_read(r, object, &out->attempts_max);
    if (error == 0 && json_object_get(object, "hedgingDelay") != NULL) {
        error = duration_read(r, object, "hedgingDelay", &out->delay_ns);
    }
    return error != 0 ? error : codes_read(r, object, "nonFatalStatusCodes", &out->codes);
}

static int policies_read(struct reader *r, const json_t *method, struct channel_rule *rule)
{
    const json_t *retry = json_object_get(method, "retryPolicy");
    const json_t *hedge = json_object_get(method, "hedgingPolicy");
    if (retry != NULL && hedge != NULL) {
        return bad(r, "hedgingPolicy", "a method has this or a retryPolicy, not both");
    }
    const char *field = retry != NULL ? "retryPolicy" : "hedgingPolicy";
    if (retry == NULL && hedge == NULL) {
        return 0;
    }
    if (!json_is_object(retry != NULL ? retry : hedge)) {
        return bad(r, field, "an object is wanted");
    }
    size_t before = place_enter(r, field, 0, false);
    int error =
        retry != NULL ? retry_read(r, retry, &rule->retry) : hedge_read(r, hedge, &rule->hedge);
    place_leave(r, before);
    return error;
}

static int rule_read(struct reader *r, const json_t *method, struct channel_rule *rule)
{
    const json_t *wait = json_object_get(method, "waitForReady");
    rule->wait_set = wait != NULL;
    rule->wait = json_is_true(wait);
    if (wait != NULL && !json_is_boolean(wait)) {
        return bad(r, "waitForReady", "true or false is wanted");
    }
    int error = 0;
    if (json_object_get(method, "timeout") != NULL) {
        rule->timeout_set = true;
        error = duration_read(r, method, "timeout", &rule->timeout_ns);
    }
    if (error == 0) {
        error = bytes_read(r, method, "maxRequestMessageBytes", &rule->request_set,
                           &rule->request_bytes_max);
    }
    if (error == 0) {
        error = bytes_read(r, method, "maxResponseMessageBytes", &rule->response_set,
                           &rule->response_bytes_max);
    }
    return error != 0 ? error : policies_read(r, method, rule);
}

/* A field of a name: missing is empty. False: it is no text. */
static bool name_part(const json_t *name, const char *field, const char **out)
{
    const json_t *value = json_object_get(name, field);
    *out = value == NULL || json_is_null(value) ? "" : json_string_value(value);
    return *out != NULL;
}

static int name_read(struct reader *r, const json_t *name, const struct channel_rule *rule)
{
    const char *service;
    const char *method;
    if (!json_is_object(name) || !name_part(name, "service", &service) ||
        !name_part(name, "method", &method)) {
        return bad(r, "", "an object of service and method is wanted");
    }
    if (service[0] == '\0' && method[0] != '\0') {
        return bad(r, "service", "a name with a method needs one");
    }
    size_t size = strlen(service) + strlen(method) + 3;
    char *path = keep(r, size);
    if (path == NULL) {
        return OAK_ENOMEM;
    }
    if (service[0] != '\0') {
        snprintf(path, size, "/%s/%s", service, method);
    }
    r->config->names[r->config->name_count++] = (struct channel_name){.path = path, .rule = rule};
    return 0;
}

static int method_read(struct reader *r, const json_t *method)
{
    struct channel_rule *rule = keep(r, sizeof(*rule));
    if (rule == NULL) {
        return OAK_ENOMEM;
    }
    int error = rule_read(r, method, rule);
    const json_t *names = json_object_get(method, "name");
    for (size_t i = 0; error == 0 && i < json_array_size(names); i++) {
        size_t before = place_enter(r, "name", i, true);
        error = name_read(r, json_array_get(names, i), rule);
        place_leave(r, before);
    }
    return error;
}

static int name_order(const void *a, const void *b)
{
    const struct channel_name *x = a;
    const struct channel_name *y = b;
    return strcmp(x->path, y->path);
}

/* How many names there are in all, or SIZE_MAX: what holds them is wrong, as `e` tells. */
static size_t names_count(struct reader *r, const json_t *methods)
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const json_t *method = json_array_get(methods, i);
        const json_t *names = json_object_get(method, "name");
        int error = 0;
        size_t before = place_enter(r, "methodConfig", i, true);
        if (!json_is_object(method)) {
            error = bad(r, "", "an object is wanted");
        } else if (names != NULL && !json_is_array(names)) {
            error = bad(r, "name", "a list is wanted");
        }
        place_leave(r, before);
        if (error != 0) {
            return SIZE_MAX;
        }
        count += json_array_size(names);
    }
    return count;
}

static int methods_read(struct reader *r, const json_t *methods)
{
    if (methods == NULL) {
        return 0;
    }
    if (!json_is_array(methods)) {
        return bad(r, "methodConfig", "a list is wanted");
    }
    size_t count = names_count(r, methods);
    if (count == SIZE_MAX) {
        return OAK_EINVAL;
    }
    struct channel_config *config = r->config;
    config->names = keep(r, (count + 1) * sizeof(*config->names));
    int error = config->names == NULL ? OAK_ENOMEM : 0;
    for (size_t i = 0; error == 0 && i < json_array_size(methods); i++) {
        size_t before = place_enter(r, "methodConfig", i, true);
        error = method_read(r, json_array_get(methods, i));
        place_leave(r, before);
    }
    if (error != 0) {
        return error;
    }
    qsort(config->names, config->name_count, sizeof(*config->names), name_order);
    for (size_t i = 1; i < config->name_count; i++) {
        if (strcmp(config->names[i - 1].path, config->names[i].path) == 0) {
            const char *path = config->names[i].path;
            return oak_fail(r->e, OAK_EINVAL,
                            "service config: methodConfig: %.200s has more than one",
                            path[0] == '\0' ? "{}" : path);
        }
    }
    return 0;
}

/* -- the rest ---------------------------------------------------------------------------------- */

/* Thousandths, as gRPC counts; what is left of the third digit is dropped. */
static bool thousandths_read(const json_t *value, double most, uint32_t *out)
{
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number > 0) || number > most) {
        return false;
    }
    *out = (uint32_t)(number * 1000 + 1e-6);
    return *out > 0;
}

static int throttle_read(struct reader *r, const json_t *object)
{
    if (object == NULL) {
        return 0;
    }
    if (!json_is_object(object)) {
        return bad(r, "retryThrottling", "an object is wanted");
    }
    if (!thousandths_read(json_object_get(object, "maxTokens"), CHANNEL_TOKENS_MAX,
                          &r->config->tokens_max)) {
        return bad(r, "retryThrottling.maxTokens",
                   "a number greater than 0 and at most 1000 is wanted");
    }
    if (!thousandths_read(json_object_get(object, "tokenRatio"), CHANNEL_TOKENS_MAX,
                          &r->config->token_ratio)) {
        return bad(r, "retryThrottling.tokenRatio", "a number from 0.001 is wanted");
    }
    return 0;
}

bool channel__policy_parse(const char *text, enum channel_policy *out)
{
    static const char *const names[][2] = {
        [CHANNEL_PICK_FIRST] = {"pick_first", "PICK_FIRST"},
        [CHANNEL_ROUND_ROBIN] = {"round_robin", "ROUND_ROBIN"},
        [CHANNEL_LEADER] = {"oakum_leader", "OAKUM_LEADER"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (strcmp(text, names[i][0]) == 0 || strcmp(text, names[i][1]) == 0) {
            *out = (enum channel_policy)i;
            return true;
        }
    }
    return false;
}

/* serviceName of an object at `place`; *out stays NULL where there is none. */
static int service_name_read(struct reader *r, const json_t *object, const char *place,
                             const char **out)
{
    const json_t *name = json_object_get(object, "serviceName");
    if (name == NULL || json_is_null(name)) {
        return 0;
    }
    size_t size = json_string_length(name);
    if (!json_is_string(name) || size > CHANNEL_HEALTH_NAME_MAX) {
        return bad(r, place,
                   "a text of at most 255 bytes is wanted, \"\" for the server as a whole");
    }
    char *copy = keep(r, size + 1);
    if (copy == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(copy, json_string_value(name), size);
    *out = copy;
    return 0;
}

static int policy_detail_read(struct reader *r, const json_t *detail)
{
    struct channel_config *config = r->config;
    config->policy_set = true;
    config->shuffle = config->policy == CHANNEL_PICK_FIRST &&
                      json_is_true(json_object_get(detail, "shuffleAddressList"));
    return config->policy == CHANNEL_LEADER
               ? service_name_read(r, detail, "loadBalancingConfig.oakum_leader.serviceName",
                                   &config->leader_name)
               : 0;
}

/* The first in the list that we know. */
static int policy_list_read(struct reader *r, const json_t *list)
{
    static const char wanted[] = "a list of objects is wanted, each of one policy";
    if (!json_is_array(list)) {
        return bad(r, "loadBalancingConfig", wanted);
    }
    struct channel_config *config = r->config;
    int error = 0;
    for (size_t i = 0; error == 0 && i < json_array_size(list); i++) {
        json_t *item = json_array_get(list, i); /* jansson iterates over what isn't const alone */
        if (json_object_size(item) != 1) {
            return bad(r, "loadBalancingConfig", wanted);
        }
        void *at = json_object_iter(item);
        const json_t *detail = json_object_iter_value(at);
        if (!config->policy_set &&
            channel__policy_parse(json_object_iter_key(at), &config->policy)) {
            error = policy_detail_read(r, detail);
        }
    }
    return error != 0 || config->policy_set ? error
                                            : bad(r, "loadBalancingConfig", CHANNEL_POLICIES);
}

static int policy_read(struct reader *r, const json_t *root)
{
    const json_t *list = json_object_get(root, "loadBalancingConfig");
    if (list != NULL) {
        return policy_list_read(r, list);
    }
    const json_t *name = json_object_get(root, "loadBalancingPolicy");
    if (name == NULL) {
        return 0;
    }
    const char *text = json_string_value(name);
    r->config->policy_set = text != NULL && channel__policy_parse(text, &r->config->policy);
    return r->config->policy_set ? 0 : bad(r, "loadBalancingPolicy", CHANNEL_POLICIES);
}

static int health_read(struct reader *r, const json_t *object)
{
    if (object == NULL) {
        return 0;
    }
    if (!json_is_object(object)) {
        return bad(r, "healthCheckConfig", "an object is wanted");
    }
    return service_name_read(r, object, "healthCheckConfig.serviceName", &r->config->health_name);
}

static int root_read(struct reader *r, const json_t *root)
{
    if (!json_is_object(root)) {
        return oak_fail(r->e, OAK_EINVAL, "service config: an object is wanted");
    }
    int error = methods_read(r, json_object_get(root, "methodConfig"));
    if (error == 0) {
        error = throttle_read(r, json_object_get(root, "retryThrottling"));
    }
    if (error == 0) {
        error = health_read(r, json_object_get(root, "healthCheckConfig"));
    }
    return error != 0 ? error : policy_read(r, root);
}

int channel__config_read(const char *text, struct channel_config *out, struct oak_errbuf *e)
{
    *out = (struct channel_config){0};
    if (text == NULL) {
        return 0;
    }
    size_t size = strlen(text);
    if (size > CHANNEL_CONFIG_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "service config: longer than %zu bytes",
                        CHANNEL_CONFIG_BYTES_MAX);
    }
    json_error_t problem;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL) {
        return json_error_code(&problem) == json_error_out_of_memory
                   ? OAK_ENOMEM
                   : oak_fail(e, OAK_EINVAL, "service config: line %d, column %d: %s", problem.line,
                              problem.column, problem.text);
    }
    struct reader r = {.config = out, .e = e};
    oak_arena_init(&out->arena, 4 * OAK_KIB, 8 * CHANNEL_CONFIG_BYTES_MAX);
    int error = root_read(&r, root);
    json_decref(root);
    if (error != 0) {
        channel__config_fini(out);
    }
    return error;
}

void channel__config_fini(struct channel_config *config)
{
    oak_arena_fini(&config->arena);
    *config = (struct channel_config){0};
}

/* -- looking up -------------------------------------------------------------------------------- */

static const struct channel_rule *find(const struct channel_config *config, const char *service,
                                       const char *method)
{
    size_t low = 0;
    size_t high = config->name_count;
    size_t service_size = strlen(service);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *path = config->names[middle].path;
        int order = path[0] == '\0' ? -1 : strncmp(path + 1, service, service_size);
        if (order == 0) {
            const char *rest = path + 1 + service_size;
            order = rest[0] == '/' ? strcmp(rest + 1, method) : (uint8_t)rest[0] - '/';
        }
        if (order == 0) {
            return config->names[middle].rule;
        }
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return NULL;
}

const struct channel_rule *channel__config_find(const struct channel_config *config,
                                                const char *service, const char *method)
{
    if (config->name_count == 0) {
        return NULL;
    }
    const struct channel_rule *rule = find(config, service, method);
    if (rule == NULL) {
        rule = find(config, service, "");
    }
    bool has_default = config->names[0].path[0] == '\0';
    return rule == NULL && has_default ? config->names[0].rule : rule;
}
