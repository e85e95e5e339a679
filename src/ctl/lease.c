/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: lease grant, revoke, timetolive, list, keep-alive. In JSON they are as etcd's Go client
 * has them: the header's members among the others. */
#include "ctl/internal.h"

#include <stdlib.h>

static const struct ctl__method grant_method = {
    "etcdserverpb.Lease", "LeaseGrant", &etcdserverpb__lease_grant_response__descriptor, false};
static const struct ctl__method revoke_method = {
    "etcdserverpb.Lease", "LeaseRevoke", &etcdserverpb__lease_revoke_response__descriptor, false};
static const struct ctl__method time_to_live_method = {
    "etcdserverpb.Lease", "LeaseTimeToLive", &etcdserverpb__lease_time_to_live_response__descriptor,
    true};
static const struct ctl__method leases_method = {
    "etcdserverpb.Lease", "LeaseLeases", &etcdserverpb__lease_leases_response__descriptor, true};

/* "{" and the members of a header; what comes behind them begins with ctl__json_name. */
int ctl__json_header(struct oak_buf *out, const Etcdserverpb__ResponseHeader *header)
{
    static const Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    int error = ctl__json_message(out, header != NULL ? &header->base : &none.base, false);
    if (error == 0) {
        out->size--; /* its brace */
    }
    return error;
}

static int number_put(struct oak_buf *out, const char *name, int64_t number)
{
    int error = ctl__json_name(out, name);
    return error != 0 ? error : oak_buf_printf(out, "%" PRId64, number);
}

/* -- grant ------------------------------------------------------------------------------------- */

static void grant_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseGrantResponse *r = message;
    (void)c;
    (void)about;
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s)\n", r->id, r->ttl);
}

/* What a grant and a keepalive have in common; the caller ends it. */
static int lease_put(struct oak_buf *out, const Etcdserverpb__ResponseHeader *header, int64_t id,
                     int64_t ttl)
{
    int error = ctl__json_header(out, header);
    error = error != 0 ? error : number_put(out, "ID", id);
    return error != 0 ? error : number_put(out, "TTL", ttl);
}

static void grant_json(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseGrantResponse *r = message;
    struct oak_buf out = {0};
    (void)c;
    (void)about;
    int error = lease_put(&out, r->header, r->id, r->ttl);
    error = error != 0 ? error : ctl__json_name(&out, "Error");
    error = error != 0 ? error : ctl__json_text(&out, oak_bytes_str(r->error));
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void grant_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseGrantResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    ctl__fields_lease(c, "ID", r->id);
    printf("\"TTL\" : %" PRId64 "\n", r->ttl);
}

int ctl__lease_grant(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {grant_simple, grant_json, grant_fields, NULL};
    const struct oak_args_command command = {
        .name = "lease grant",
        .summary = "Make a lease: keys that are put with it go when nobody has kept it alive for "
                   "TTL seconds.",
        .operands = "TTL",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n"
                "  oakum lease grant 60\n"
                "  oakum put worker/7 alive --lease 694d5765fc71500b\n",
    };
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    char *end = NULL;
    request.ttl = words.count == 1 ? strtoll(words.at[0], &end, 10) : 0;
    if (words.count != 1 || end == words.at[0] || *end != '\0') {
        return ctl__error(CTL__BAD_ARGS, "lease grant wants a time in seconds, such as 60");
    }
    return ctl__ask_and_show(c, &grant_method, &request.base, &view, NULL);
}

/* -- revoke ------------------------------------------------------------------------------------ */

bool ctl__id_read(const struct ctl *c, const struct ctl__words *words, const char *what,
                  uint64_t *out, int *code)
{
    if (words->count != 1) {
        *code = ctl__error(CTL__BAD_ARGS, "%s wants the id of a %s", c->command->name, what);
        return false;
    }
    return ctl__hex_read(words->at[0], what, out, code);
}

static void revoke_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    (void)message;
    printf("lease %016" PRIx64 " revoked\n", *(const int64_t *)about);
}

static void revoke_fields(struct ctl *c, const void *message, const void *about)
{
    (void)about;
    ctl__fields_header(c, ((const Etcdserverpb__LeaseRevokeResponse *)message)->header);
}

int ctl__lease_revoke(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {revoke_simple, NULL, revoke_fields, NULL};
    const struct oak_args_command command = {
        .name = "lease revoke",
        .summary = "End a lease now; its keys go.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum lease revoke 694d5765fc71500b\n",
    };
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    struct ctl__words words;
    uint64_t id;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "lease", &id, &code)) {
        return code;
    }
    request.id = (int64_t)id;
    return ctl__ask_and_show(c, &revoke_method, &request.base, &view, &request.id);
}

/* -- timetolive -------------------------------------------------------------------------------- */

static void left_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseTimeToLiveResponse *r = message;
    (void)c;
    if (r->grantedttl == 0 && r->ttl == -1) {
        printf("lease %016" PRIx64 " already expired\n", r->id);
        return;
    }
    printf("lease %016" PRIx64 " granted with TTL(%" PRId64 "s), remaining(%" PRId64 "s)", r->id,
           r->grantedttl, r->ttl);
    if (*(const bool *)about) {
        fputs(", attached keys([", stdout);
        for (size_t i = 0; i < r->n_keys; i++) {
            fputs(i > 0 ? " " : "", stdout);
            fwrite(r->keys[i].data, 1, r->keys[i].len, stdout);
        }
        fputs("])", stdout);
    }
    fputc('\n', stdout);
}

static int keys_put(struct oak_buf *out, const Etcdserverpb__LeaseTimeToLiveResponse *r)
{
    if (r->n_keys == 0) {
        return oak_buf_printf(out, "null");
    }
    int error = 0;
    for (size_t i = 0; i < r->n_keys && error == 0; i++) {
        error = oak_buf_append(out, i == 0 ? "[" : ",", 1);
        error = error != 0 ? error : oak_json_put_base64(out, oak_proto_bytes(r->keys[i]));
    }
    return error != 0 ? error : oak_buf_append(out, "]", 1);
}

static void left_json(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseTimeToLiveResponse *r = message;
    struct oak_buf out = {0};
    (void)c;
    (void)about;
    int error = ctl__json_header(&out, r->header);
    error = error != 0 ? error : number_put(&out, "id", r->id);
    error = error != 0 ? error : number_put(&out, "ttl", r->ttl);
    error = error != 0 ? error : number_put(&out, "granted-ttl", r->grantedttl);
    error = error != 0 ? error : ctl__json_name(&out, "keys");
    error = error != 0 ? error : keys_put(&out, r);
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void left_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseTimeToLiveResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    ctl__fields_lease(c, "ID", r->id);
    printf("\"TTL\" : %" PRId64 "\n\"GrantedTTL\" : %" PRId64 "\n", r->ttl, r->grantedttl);
    for (size_t i = 0; i < r->n_keys; i++) {
        fputs("\"Key\" : ", stdout);
        ctl__quoted_print(oak_proto_bytes(r->keys[i]));
        fputc('\n', stdout);
    }
}

int ctl__lease_timetolive(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {left_simple, left_json, left_fields, NULL};
    bool keys = false;
    const struct oak_args_flag flags[] = {
        {"keys", '\0', OAK_ARGS_BOOL, &keys, 0, 0, NULL, "and which keys go with it"},
    };
    const struct oak_args_command command = {
        .name = "lease timetolive",
        .summary = "Show what is left of a lease.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum lease timetolive 694d5765fc71500b --keys\n",
    };
    Etcdserverpb__LeaseTimeToLiveRequest request = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    struct ctl__words words;
    uint64_t id;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "lease", &id, &code)) {
        return code;
    }
    request.id = (int64_t)id;
    request.keys = keys;
    return ctl__ask_and_show(c, &time_to_live_method, &request.base, &view, &keys);
}

/* -- list -------------------------------------------------------------------------------------- */

static void list_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    (void)c;
    (void)about;
    printf("found %zu leases\n", r->n_leases);
    for (size_t i = 0; i < r->n_leases; i++) {
        printf("%016" PRIx64 "\n", r->leases[i]->id);
    }
}

static void list_json(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    struct oak_buf out = {0};
    (void)c;
    (void)about;
    int error = ctl__json_header(&out, r->header);
    error = error != 0 ? error : ctl__json_name(&out, "leases");
    error = error != 0 ? error : oak_buf_append(&out, "[", 1);
    for (size_t i = 0; i < r->n_leases && error == 0; i++) {
        error = oak_buf_printf(&out, "%s{\"id\":%" PRId64 "}", i == 0 ? "" : ",", r->leases[i]->id);
    }
    error = error != 0 ? error : oak_buf_append(&out, "]}", 2);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void list_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseLeasesResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_leases; i++) {
        ctl__fields_lease(c, "ID", r->leases[i]->id);
    }
}

int ctl__lease_list(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {list_simple, list_json, list_fields, NULL};
    const struct oak_args_command command = {
        .name = "lease list",
        .summary = "List the leases.",
        .operands = "",
        .more = "Example:\n  oakum lease list\n",
    };
    Etcdserverpb__LeaseLeasesRequest request = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &leases_method, &request.base, &view, NULL);
}

/* -- keep-alive -------------------------------------------------------------------------------- */

struct keeping {
    struct ctl *c;
    int64_t id;
    bool once;
    bool done;
    int code;
};

static void kept_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseKeepAliveResponse *r = message;
    (void)c;
    (void)about;
    printf("lease %016" PRIx64 " keepalived with TTL(%" PRId64 ")\n", r->id, r->ttl);
}

static void kept_json(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseKeepAliveResponse *r = message;
    struct oak_buf out = {0};
    (void)c;
    (void)about;
    int error = lease_put(&out, r->header, r->id, r->ttl);
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void kept_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__LeaseKeepAliveResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    ctl__fields_lease(c, "ID", r->id);
    printf("\"TTL\" : %" PRId64 "\n", r->ttl);
}

static void keeping_end(struct keeping *k, int code)
{
    k->code = code;
    k->done = true;
    oak_os_loop_stop(k->c->os);
}

static void lease_kept(void *user, struct oak_client_lease *lease, int64_t ttl_s)
{
    static const struct ctl__view view = {kept_simple, kept_json, kept_fields, NULL};
    struct keeping *k = user;
    struct oak_client_header h = oak_client_lease_header(lease);
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__LeaseKeepAliveResponse r = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    if (k->done) {
        return;
    }
    header.cluster_id = h.cluster_id;
    header.member_id = h.member_id;
    header.revision = h.revision;
    header.raft_term = h.raft_term;
    r.header = &header;
    r.id = k->id;
    r.ttl = ttl_s;
    int code = ctl__show(k->c, &view, &r.base, NULL);
    code = fflush(stdout) == 0 ? code : ctl__error(CTL__IO, "cannot write to stdout");
    if (k->once || code != CTL__OK) {
        keeping_end(k, code);
    }
}

static void lease_lost(void *user, struct oak_client_lease *lease, int error)
{
    struct keeping *k = user;
    (void)lease;
    if (error == OAK_ELEASENOTFOUND && !k->once) {
        if (k->c->format == CTL__SIMPLE) {
            printf("lease %016" PRIx64 " expired or revoked.\n", k->id);
        }
        keeping_end(k, CTL__OK);
    } else if (error == OAK_EDEADLINE) {
        keeping_end(k, ctl__error(CTL__NO_CONNECTION,
                                  "nothing was heard of lease %016" PRIx64
                                  " for its time: it may have ended",
                                  k->id));
    } else {
        keeping_end(k, ctl__error(CTL__NO_CONNECTION, "%s", oak_error_text(error)));
    }
}

static int keep_alive_run(struct ctl *c, int64_t id, bool once)
{
    static const struct oak_client_lease_callbacks callbacks = {.kept = lease_kept,
                                                                .lost = lease_lost};
    struct keeping k = {.c = c, .id = id, .once = once};
    struct oak_client_lease *lease;
    struct oak_client *client = ctl__client(c, &k.code);
    if (client == NULL) {
        return k.code;
    }
    /* What it has is not known: so long we wait for the first answer. */
    int64_t patience_s = (int64_t)(c->options.command_ns / UINT64_C(1000000000));
    int error = oak_client_keep(client, id, OAK_MAX(patience_s, 1), &callbacks, &k, &lease);
    if (error != 0) {
        return ctl__error(CTL__BAD_ARGS, "%s", oak_error_text(error));
    }
    while (!k.done) {
        oak_os_loop_run(c->os);
    }
    return k.code;
}

int ctl__lease_keep_alive(struct ctl *c, int argc, char *const *argv)
{
    bool once = false;
    const struct oak_args_flag flags[] = {
        {"once", '\0', OAK_ARGS_BOOL, &once, 0, 0, NULL, "one time, and end"},
    };
    const struct oak_args_command command = {
        .name = "lease keep-alive",
        .summary = "Keep a lease alive until it ends or you do.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum lease keep-alive 694d5765fc71500b\n",
    };
    struct ctl__words words;
    uint64_t id;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "lease", &id, &code)) {
        return code;
    }
    return keep_alive_run(c, (int64_t)id, once);
}
