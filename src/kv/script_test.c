/* SPDX-License-Identifier: Apache-2.0 */
/* script_test.c: runs the scripts in testdata: a request, "----", what is answered, a blank line.
 *
 *     put KEY VALUE [prev] [lease=N] [ignore_value] [ignore_lease]
 *     del KEY [END] [prev]
 *     range KEY [END] [limit=N] [rev=N] [order=none|ascend|descend|N]
 *           [target=key|version|create|mod|value|N] [keys] [count] [min_mod=N] [max_mod=N]
 *           [min_create=N] [max_create=N] [serializable]
 *     txn (if COMPARE...) (then (OP)...) (else (OP)...)      OP may be a txn
 *         COMPARE: (version|create|mod|value|lease KEY [END] =|!=|<|> OPERAND)
 *     read txn ...      a transaction that needs no log
 *     compact REVISION
 *     publish ID NAME URL...
 *     auth enable|disable
 *     user add NAME [HASH] | del NAME | passwd NAME HASH | grant NAME ROLE | revoke NAME ROLE
 *     role add NAME | del NAME | permit NAME ACCESS KEY [END] | forbid NAME KEY [END]
 *     as USER [rev=N]   whose the commands below are, as of a revision of users and roles
 *     may LINE          of a put, del, txn, range or leases, or keepalive=ID, look=ID (at a lease
 *                       and its keys): would it be let through?
 *     grant ID TTL, revoke ID, checkpoint ID SECONDS
 *     leases            each as (id ttl, what was left, its keys)
 *     members, users, state, reopen
 *
 * Words are separated by blanks; "" is empty, \x00 a byte. An answer is "kind @revision ..." with
 * pairs as (key=value create/mod/version), or the name of an error. A line that starts with # is a
 * comment. With the argument --rewrite the answers in the files are replaced by those that came.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "kv/kv_fixture.h"
#include "kv/script_fixture.h"

static bool rewriting;

/* -- running ----------------------------------------------------------------------------------- */

static void apply(struct node *n, enum oak_kv_kind kind, ProtobufCMessage *m, struct oak_buf *out)
{
    int checked = oak_kv_check(n->kv, kind, m);
    struct oak_kv_result result = node_apply(n, kind, m);
    node_commit(n);
    /* What the check refuses, applying refuses in the same way. */
    assert_true(checked == 0 || checked == result.error);
    say_outcome(out, result.error, result.response);
}

static void say_members(struct node *n, struct oak_buf *out)
{
    const struct oak_kv_member *members = NULL;
    size_t count = oak_kv_members(n->kv, &members);
    SAY(out, "%zu", count);
    for (size_t i = 0; i < count; i++) {
        SAY(out, " (%" PRIu64 " %s", members[i].id, members[i].name);
        for (size_t k = 0; k < members[i].client_url_count; k++) {
            SAY(out, " %s", members[i].client_urls[k]);
        }
        SAY(out, ")");
    }
}

static void publish(struct node *n, struct parser *p, struct oak_buf *out)
{
    Etcdserverpb__Member *m = message(p, &etcdserverpb__member__descriptor);
    m->id = strtoull(text(p), NULL, 10);
    m->name = (char *)(uintptr_t)text(p);
    m->clienturls = oak_arena_alloc(p->arena, 8 * sizeof(char *));
    while (at_word(p)) {
        m->clienturls[m->n_clienturls++] = (char *)(uintptr_t)text(p);
    }
    apply(n, OAK_KV_PUBLISH, &m->base, out);
}

static void read_txn(struct node *n, struct parser *p, struct oak_buf *out)
{
    assert_true(take_word(p, "txn"));
    Etcdserverpb__TxnRequest *r = parse_txn(p);
    Etcdserverpb__TxnResponse *response = NULL;
    bool serializable = false;
    bool is_read = oak_kv_txn_is_read(r, &serializable);
    SAY(out, is_read ? serializable ? "local " : "linearizable " : "");
    int error = oak_kv_txn_read(n->kv, r, &n->arena, &response);
    say_outcome(out, error, response != NULL ? &response->base : NULL);
}

/* -- users and roles --------------------------------------------------------------------------- */

/* Every request but one begins with a name and another text. */
struct named {
    const char *verb;
    enum oak_kv_kind kind;
    const ProtobufCMessageDescriptor *descriptor;
    const char *first;
    const char *second; /* may be NULL */
};

static void set_text(ProtobufCMessage *m, const char *field, const char *value)
{
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field_by_name(m->descriptor, field);
    assert_non_null(f);
    *(char **)(void *)((uint8_t *)m + f->offset) = (char *)(uintptr_t)value;
}

static void role_permit(struct node *n, struct parser *p, struct oak_buf *out)
{
    Etcdserverpb__AuthRoleGrantPermissionRequest *r =
        message(p, &etcdserverpb__auth_role_grant_permission_request__descriptor);
    r->name = (char *)(uintptr_t)text(p);
    if (at_word(p)) {
        r->perm = message(p, &authpb__permission__descriptor);
        const char *access = text(p);
        r->perm->permtype = strcmp(access, "read") == 0    ? AUTHPB__PERMISSION__TYPE__READ
                            : strcmp(access, "write") == 0 ? AUTHPB__PERMISSION__TYPE__WRITE
                                                           : AUTHPB__PERMISSION__TYPE__READWRITE;
        r->perm->key = word(p);
        r->perm->range_end = at_word(p) ? word(p) : r->perm->range_end;
    }
    apply(n, OAK_KV_ROLE_PERMIT, &r->base, out);
}

static void role_forbid(struct node *n, struct parser *p, struct oak_buf *out)
{
    Etcdserverpb__AuthRoleRevokePermissionRequest *r =
        message(p, &etcdserverpb__auth_role_revoke_permission_request__descriptor);
    r->role = (char *)(uintptr_t)text(p);
    r->key = word(p);
    r->range_end = at_word(p) ? word(p) : r->range_end;
    apply(n, OAK_KV_ROLE_FORBID, &r->base, out);
}

static void run_auth(struct node *n, struct parser *p, const char *noun, struct oak_buf *out)
{
#define REQUEST(name) &etcdserverpb__auth_##name##_request__descriptor
    static const struct named table[] = {
        {"auth enable", OAK_KV_AUTH_ENABLE, REQUEST(enable), NULL, NULL},
        {"auth disable", OAK_KV_AUTH_DISABLE, REQUEST(disable), NULL, NULL},
        {"user add", OAK_KV_USER_ADD, REQUEST(user_add), "name", "hashedPassword"},
        {"user del", OAK_KV_USER_DELETE, REQUEST(user_delete), "name", NULL},
        {"user passwd", OAK_KV_USER_PASSWORD, REQUEST(user_change_password), "name",
         "hashedPassword"},
        {"user clear", OAK_KV_USER_PASSWORD, REQUEST(user_change_password), "name", "password"},
        {"user grant", OAK_KV_USER_GRANT, REQUEST(user_grant_role), "user", "role"},
        {"user revoke", OAK_KV_USER_REVOKE, REQUEST(user_revoke_role), "name", "role"},
        {"role add", OAK_KV_ROLE_ADD, REQUEST(role_add), "name", NULL},
        {"role del", OAK_KV_ROLE_DELETE, REQUEST(role_delete), "role", NULL},
    };
    char verb[32];
    snprintf(verb, sizeof(verb), "%s %s", noun, text(p));
    if (strcmp(verb, "role permit") == 0) {
        role_permit(n, p, out);
    } else if (strcmp(verb, "role forbid") == 0) {
        role_forbid(n, p, out);
    }
    for (size_t i = 0; i < OAK_COUNT_OF(table); i++) {
        if (strcmp(table[i].verb, verb) == 0) {
            ProtobufCMessage *m = message(p, table[i].descriptor);
            if (table[i].first != NULL) {
                set_text(m, table[i].first, text(p));
            }
            if (table[i].second != NULL && at_word(p)) {
                set_text(m, table[i].second, text(p));
            }
            apply(n, table[i].kind, m, out);
        }
    }
}

static void say_users(struct node *n, struct oak_buf *out)
{
    const struct oak_authz *a = oak_kv_authz(n->kv);
    const struct oak_authz_settings *s = oak_authz_settings(a);
    SAY(out, "%s @%" PRIu64, s->enabled ? "on" : "off", s->revision);
    for (size_t i = 0; i < oak_authz_user_count(a); i++) {
        struct oak_authz_user user;
        oak_authz_user_at(a, i, &user);
        SAY(out, " (%.*s since %" PRIu64, (int)user.name.size, (const char *)user.name.data,
            user.since);
        for (size_t k = 0; k < user.role_count; k++) {
            SAY(out, " %.*s", (int)user.roles[k].size, (const char *)user.roles[k].data);
        }
        SAY(out, ")");
    }
    for (size_t i = 0; i < oak_authz_role_count(a); i++) {
        struct oak_authz_role role;
        oak_authz_role_at(a, i, &role);
        SAY(out, " [%.*s", (int)role.name.size, (const char *)role.name.data);
        for (size_t k = 0; k < role.permission_count; k++) {
            SAY(out, " %d:", (int)role.permissions[k].access);
            say_bytes(out, oak_proto_binary(role.permissions[k].key));
            SAY(out, "-");
            say_bytes(out, oak_proto_binary(role.permissions[k].end));
        }
        SAY(out, "]");
    }
}

static void say_may(struct node *n, struct parser *p, struct oak_buf *out)
{
    const struct oak_authz_who who = node_who(n);
    static Etcdserverpb__LeaseKeepAliveRequest keep = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    static Etcdserverpb__LeaseTimeToLiveRequest look =
        ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    static Etcdserverpb__LeaseLeasesRequest list = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    int64_t id = 0;
    look.keys = true;
    ProtobufCMessage *m = take_word(p, "put")                ? &parse_put(p)->base
                          : take_word(p, "del")              ? &parse_del(p)->base
                          : take_word(p, "txn")              ? &parse_txn(p)->base
                          : take_word(p, "leases")           ? &list.base
                          : take_number(p, "keepalive", &id) ? &keep.base
                          : take_number(p, "look", &id)      ? &look.base
                                                             : NULL;
    keep.id = look.id = id;
    if (m == NULL) {
        assert_true(take_word(p, "range"));
        m = &parse_range(p)->base;
    }
    int error = oak_kv_permit(n->kv, &who, m);
    SAY(out, "%s", error == 0 ? "yes" : oak_error_name(error));
}

static void set_user(struct node *n, struct parser *p, struct oak_buf *out)
{
    static char name[64];
    int64_t revision = 0;
    (void)snprintf(name, sizeof(name), "%s", text(p));
    (void)take_number(p, "rev", &revision);
    n->user = oak_bytes_str(name);
    n->user_revision = (uint64_t)revision;
    SAY(out, "ok");
}

/* False: it is not about users and roles. */
static bool run_auth_line(struct node *n, struct parser *p, struct oak_buf *out)
{
    static const char *const nouns[] = {"auth", "user", "role"};
    for (size_t i = 0; i < OAK_COUNT_OF(nouns); i++) {
        if (take_word(p, nouns[i])) {
            run_auth(n, p, nouns[i], out);
            return true;
        }
    }
    if (take_word(p, "as")) {
        set_user(n, p, out);
    } else if (take_word(p, "may")) {
        say_may(n, p, out);
    } else if (take_word(p, "users")) {
        say_users(n, out);
    } else {
        return false;
    }
    return true;
}

/* False: it is no request about a lease. */
static bool run_lease(struct node *n, struct parser *p, struct oak_buf *out)
{
    if (take_word(p, "grant")) {
        Etcdserverpb__LeaseGrantRequest r = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
        r.id = strtoll(text(p), NULL, 10);
        r.ttl = strtoll(text(p), NULL, 10);
        apply(n, OAK_KV_LEASE_GRANT, &r.base, out);
    } else if (take_word(p, "revoke")) {
        Etcdserverpb__LeaseRevokeRequest r = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
        r.id = strtoll(text(p), NULL, 10);
        apply(n, OAK_KV_LEASE_REVOKE, &r.base, out);
    } else if (take_word(p, "checkpoint")) {
        Etcdserverpb__LeaseCheckpoint c = ETCDSERVERPB__LEASE_CHECKPOINT__INIT;
        Etcdserverpb__LeaseCheckpoint *one = &c;
        Etcdserverpb__LeaseCheckpointRequest r = ETCDSERVERPB__LEASE_CHECKPOINT_REQUEST__INIT;
        c.id = strtoll(text(p), NULL, 10);
        c.remaining_ttl = strtoll(text(p), NULL, 10);
        r.checkpoints = &one;
        r.n_checkpoints = 1;
        apply(n, OAK_KV_LEASE_CHECKPOINT, &r.base, out);
    } else if (take_word(p, "leases")) {
        say_leases(out, n->kv);
    } else {
        return false;
    }
    return true;
}

static void run_line(struct node *n, const char *line, struct oak_buf *out)
{
    struct parser p = {.at = line, .arena = &n->arena};
    if (run_auth_line(n, &p, out) || run_lease(n, &p, out)) {
    } else if (take_word(&p, "put")) {
        apply(n, OAK_KV_PUT, &parse_put(&p)->base, out);
    } else if (take_word(&p, "del")) {
        apply(n, OAK_KV_DELETE, &parse_del(&p)->base, out);
    } else if (take_word(&p, "txn")) {
        apply(n, OAK_KV_TXN, &parse_txn(&p)->base, out);
    } else if (take_word(&p, "compact")) {
        Etcdserverpb__CompactionRequest r = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
        r.revision = strtoll(text(&p), NULL, 10);
        apply(n, OAK_KV_COMPACT, &r.base, out);
    } else if (take_word(&p, "range")) {
        Etcdserverpb__RangeResponse *response = NULL;
        int error = oak_kv_range(n->kv, parse_range(&p), &n->arena, &response);
        say_outcome(out, error, response != NULL ? &response->base : NULL);
    } else if (take_word(&p, "read")) {
        read_txn(n, &p, out);
    } else if (take_word(&p, "publish")) {
        publish(n, &p, out);
    } else if (take_word(&p, "members")) {
        say_members(n, out);
    } else if (take_word(&p, "state")) {
        const struct oak_store_state *s = oak_kv_state(n->kv);
        SAY(out, "applied %" PRIu64 " revision %" PRId64 " compacted %" PRId64, s->applied,
            s->revision, s->compacted);
    } else if (take_word(&p, "reopen")) {
        assert_int_equal(oak_kv_reload(n->kv), 0);
        SAY(out, "ok");
    } else {
        fail_msg("what is this: %s", line);
    }
    blanks(&p);
    if (*p.at != '\0') {
        fail_msg("left over in \"%s\": %s", line, p.at);
    }
}

static char *read_line(FILE *f, char *line, size_t capacity)
{
    if (fgets(line, (int)capacity, f) == NULL) {
        return NULL;
    }
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static void run_file(const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.txt", OAK_TESTDATA, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct node n;
    node_open(&n, 8);
    struct oak_buf whole = {0};
    struct oak_buf out = {0};
    char line[2048];
    char request[2048] = "";
    int wrong = 0;
    int number = 0;
    int steps = 0;
    while (read_line(f, line, sizeof(line)) != NULL) {
        number++;
        SAY(&whole, "%s\n", line);
        if (strcmp(line, "----") != 0) {
            /* A request may go over several lines; a blank or a comment begins anew. */
            size_t used = line[0] == '\0' || line[0] == '#' ? 0 : strlen(request);
            snprintf(request + used, sizeof(request) - used, "%s%s", used > 0 ? " " : "",
                     line[0] == '#' ? "" : line);
            continue;
        }
        oak_buf_clear(&out);
        run_line(&n, request, &out);
        steps++;
        SAY(&out, "%c", 0);
        if (read_line(f, line, sizeof(line)) == NULL) {
            line[0] = '\0';
        }
        number++;
        SAY(&whole, "%s\n", (const char *)out.data);
        if (strcmp(line, (const char *)out.data) != 0 && !rewriting) {
            print_error("%s:%d: %s\n  expected %s\n  got      %s\n", path, number, request, line,
                        (const char *)out.data);
            wrong++;
        }
        request[0] = '\0';
        oak_arena_reset(&n.arena);
    }
    fclose(f);
    node_close(&n);
    if (rewriting) {
        f = fopen(path, "w");
        assert_non_null(f);
        fwrite(whole.data, 1, whole.size, f);
        fclose(f);
    }
    oak_buf_fini(&whole);
    oak_buf_fini(&out);
    assert_int_equal(wrong, 0);
    assert_true(steps > 3);
}

static void script(void **state)
{
    run_file(*state);
}

int main(int argc, char **argv)
{
    rewriting = argc > 1 && strcmp(argv[1], "--rewrite") == 0;
    static const char *const names[] = {"put",   "delete",    "range",     "sort",    "txn",
                                        "check", "duplicate", "compare",   "compact", "members",
                                        "auth",  "lease",     "lease_auth"};
    struct CMUnitTest tests[OAK_COUNT_OF(names)];
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = script, .initial_state = (void *)(uintptr_t)names[i]};
    }
    return cmocka_run_group_tests_name("kv scripts", tests, NULL, NULL);
}
