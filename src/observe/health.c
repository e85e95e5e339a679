/* SPDX-License-Identifier: Apache-2.0 */
/* health.c: /health as etcd has it since 3.3, and /livez and /readyz as it has them since 3.4.29.
 *
 * A check that needs the quorum waits for a read index, so that the answer means that this member
 * can serve a linearizable read now. Others answer at once.
 *
 * Source: the etcd v3 documentation, "Monitoring"; paths, parameters and texts are its.
 */
#include <stdio.h>
#include <stdlib.h>

#include "observe/internal.h"

/* In the order in which they are listed. */
enum check_kind {
    CHECK_DATA_CORRUPTION,
    CHECK_SERIALIZABLE,
    CHECK_LINEARIZABLE,
    CHECK_NON_LEARNER,
    CHECK_COUNT,
};

static const char *const check_names[CHECK_COUNT] = {
    "data_corruption",
    "serializable_read",
    "linearizable_read",
    "non_learner",
};

/* A request that waits for a read index. */
struct check {
    struct oak_observe *observe;
    struct oak_http_request *http;
    struct oak_replica_request request;
    unsigned wanted; /* bits of enum check_kind */
    bool classic;    /* answer as /health */
    const char *root;
};

static void classic_reply(struct check *c, const char *reason)
{
    char body[256];
    int size = snprintf(body, sizeof(body), "{\"health\":\"%s\",\"reason\":\"%s\"}",
                        reason == NULL ? "true" : "false", reason == NULL ? "" : reason);
    const struct oak_http_answer answer = {
        .status = reason == NULL ? 200 : 503,
        .content_type = "application/json",
        .body = oak_bytes(body, (size_t)size),
    };
    oak_http_reply(c->http, &answer);
}

static void listed_reply(struct check *c, int error)
{
    struct oak_buf body = {0};
    bool good = error == 0;
    bool verbose = oak_http_query(c->http, "verbose", 0).data != NULL;
    int built = 0;
    for (unsigned i = 0; built == 0 && i < CHECK_COUNT; i++) {
        if ((c->wanted & 1u << i) == 0) {
            continue;
        }
        if (i == CHECK_LINEARIZABLE && error != 0) {
            built =
                oak_buf_printf(&body, "[-]%s failed: %s\n", check_names[i], oak_error_text(error));
        } else if (verbose || !good) {
            built = oak_buf_printf(&body, "[+]%s ok\n", check_names[i]);
        }
    }
    if (built == 0 && (verbose || !good)) {
        built = oak_buf_printf(&body, good ? "ok\n" : "%s check failed\n", c->root);
    } else if (built == 0) {
        built = oak_buf_append(&body, "ok\n", 3);
    }
    const struct oak_http_answer answer = {
        .status = built == 0 && good ? 200 : 503,
        .extra = "X-Content-Type-Options: nosniff\r\n",
        .body = oak_buf_bytes(&body),
    };
    oak_http_reply(c->http, &answer);
    oak_buf_fini(&body);
}

static void check_end(struct check *c, int error)
{
    struct oak_observe *o = c->observe;
    if (error == 0) {
        o->health_success++;
    } else {
        o->health_failures++;
    }
    if (c->classic) {
        char reason[128];
        snprintf(reason, sizeof(reason), "RANGE ERROR:%s", oak_error_text(error));
        classic_reply(c, error == 0 ? NULL : error == OAK_ENOLEADER ? "RAFT NO LEADER" : reason);
    } else {
        listed_reply(c, error);
    }
    o->open_checks--;
    free(c);
}

static void read_done(struct oak_replica_request *request, int error,
                      const struct oak_kv_result *result)
{
    (void)result;
    check_end(OAK_CONTAINER_OF(request, struct check, request), error);
}

static bool leader_known(const struct oak_observe *o)
{
    struct oak_replica_status status;
    oak_replica_status(o->options.replica, &status);
    return status.raft.leader != 0;
}

/* The name of an alarm that is on and not excluded; NULL: none is. */
static const char *alarm_on(const struct oak_observe *o, const struct oak_http_request *http)
{
    struct oak_replica_status status;
    const struct oak_kv_alarm *alarms;
    oak_replica_status(o->options.replica, &status);
    size_t count = oak_kv_alarms(oak_replica_kv(o->options.replica), &alarms);
    bool nospace = status.disk_scarce;
    bool corrupt = false;
    for (size_t i = 0; i < count; i++) {
        nospace = nospace || alarms[i].kind == ETCDSERVERPB__ALARM_TYPE__NOSPACE;
        corrupt = corrupt || alarms[i].kind == ETCDSERVERPB__ALARM_TYPE__CORRUPT;
    }
    struct oak_bytes name;
    for (size_t n = 0; (name = oak_http_query(http, "exclude", n)).data != NULL; n++) {
        nospace = nospace && !oak_bytes_eq(name, oak_bytes_str("NOSPACE"));
        corrupt = corrupt && !oak_bytes_eq(name, oak_bytes_str("CORRUPT"));
    }
    return nospace ? "ALARM NOSPACE" : corrupt ? "ALARM CORRUPT" : NULL;
}

static void check_start(struct oak_observe *o, struct oak_http_request *http, unsigned wanted,
                        const char *root)
{
    struct check *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        const struct oak_http_answer none = {.status = 503};
        oak_http_reply(http, &none);
        return;
    }
    c->observe = o;
    c->http = http;
    c->wanted = wanted;
    c->classic = root == NULL;
    c->root = root;
    o->open_checks++;
    if ((wanted & 1u << CHECK_LINEARIZABLE) == 0) {
        check_end(c, 0);
        return;
    }
    int error = OAK_ENOLEADER;
    if (leader_known(o)) {
        c->request.done = read_done;
        error = oak_replica_read(o->options.replica, &c->request);
    }
    if (error != 0) {
        check_end(c, error);
    }
}

void observe__health(void *user, struct oak_http_request *http)
{
    struct oak_observe *o = user;
    const char *reason = alarm_on(o, http);
    if (reason != NULL) {
        struct check alarm = {.http = http};
        o->health_failures++;
        classic_reply(&alarm, reason);
        return;
    }
    bool local = oak_bytes_eq(oak_http_query(http, "serializable", 0), oak_bytes_str("true"));
    check_start(user, http, local ? 0 : 1u << CHECK_LINEARIZABLE, NULL);
}

/* The checks of a root, less those excluded, or the one that the path names; 0: it names none. */
static unsigned checks_wanted(const struct oak_http_request *http, unsigned all)
{
    struct oak_bytes one = oak_http_rest(http);
    unsigned wanted = all;
    for (unsigned i = 0; i < CHECK_COUNT; i++) {
        struct oak_bytes name = oak_bytes_str(check_names[i]);
        if (one.size > 0 && !oak_bytes_eq(one, name)) {
            wanted &= ~(1u << i);
        }
        struct oak_bytes excluded;
        for (size_t n = 0; (excluded = oak_http_query(http, "exclude", n)).data != NULL; n++) {
            if (oak_bytes_eq(excluded, name)) {
                wanted &= ~(1u << i);
            }
        }
    }
    return wanted;
}

static void listed(struct oak_observe *o, struct oak_http_request *http, unsigned all,
                   const char *root)
{
    unsigned wanted = checks_wanted(http, all);
    if (wanted == 0 && oak_http_rest(http).size > 0) {
        const struct oak_http_answer unknown = {.status = 404,
                                                .body = oak_bytes_str("404 page not found\n")};
        oak_http_reply(http, &unknown);
        return;
    }
    check_start(o, http, wanted, root);
}

void observe__livez(void *user, struct oak_http_request *http)
{
    listed(user, http, 1u << CHECK_SERIALIZABLE, "livez");
}

void observe__readyz(void *user, struct oak_http_request *http)
{
    listed(user, http, (1u << CHECK_COUNT) - 1, "readyz");
}
