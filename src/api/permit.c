/* SPDX-License-Identifier: Apache-2.0 */
/* permit.c: THE place that allows or denies. Every handler begins with it, by api__begin; streams
 * ask it for each of their requests.
 *
 * What a method needs stands in one table, by the type of its request. A type that is not there
 * needs root: a method that is added and forgotten here is closed, not open. Requests on keys are
 * judged by kv, which judges them once more when they are applied; what is read is judged again at
 * the moment of reading.
 *
 * A client's session moves by the table of authz: it proves who it is, then each call is allowed or
 * denied. A move that the table does not have is refused. What is refused is told to the audit: one
 * line each in the log, bounded in number, without a token or a password.
 *
 * Source  etcd v3 API, "Auth", who may do what.
 * Thread  the loop's.
 */
#include "api/internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Lines of the audit in a second. */
#define AUDIT_LINES 20
#define SECOND_NS   UINT64_C(1000000000)

struct asker {
    struct oak_kv *kv;
    const struct oak_authz_who *who;
};

/* -- needs ------------------------------------------------------------------------------------- */

static int keys(const struct asker *a, const ProtobufCMessage *request)
{
    return oak_kv_permit(a->kv, a->who, request);
}

static int anybody(const struct asker *a, const ProtobufCMessage *request)
{
    (void)request;
    return oak_authz_permit_any(oak_kv_authz(a->kv), a->who);
}

static int root(const struct asker *a, const ProtobufCMessage *request)
{
    (void)request;
    return oak_authz_permit_root(oak_kv_authz(a->kv), a->who);
}

static int user_itself(const struct asker *a, const ProtobufCMessage *request)
{
    const char *name = ((const Etcdserverpb__AuthUserGetRequest *)request)->name;
    return oak_authz_permit_self(oak_kv_authz(a->kv), a->who, oak_bytes_str(name));
}

static int role_holder(const struct asker *a, const ProtobufCMessage *request)
{
    const char *role = ((const Etcdserverpb__AuthRoleGetRequest *)request)->role;
    return oak_authz_permit_holder(oak_kv_authz(a->kv), a->who, oak_bytes_str(role));
}

static int alarm(const struct asker *a, const ProtobufCMessage *request)
{
    const Etcdserverpb__AlarmRequest *r = (const Etcdserverpb__AlarmRequest *)request;
    bool looks = r->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    return looks ? anybody(a, request) : root(a, request);
}

/* -- needs of locks and elections -------------------------------------------------------------- */

/* Whoever takes part puts its key, by the rules of puts, and looks at those of all others. Without
 * a lease its key is not known yet: any of them. */
static int takes_part(const struct asker *a, ProtobufCBinaryData name, int64_t lease)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    struct api_contest contest;
    struct oak_arena arena;
    oak_arena_init(&arena, 256, 3 * name.len + OAK_KIB);
    int error = api__contest_of(&arena, oak_proto_bytes(name), lease, &contest);
    error = error != 0
                ? error
                : oak_kv_permit_keys(a->kv, a->who, OAK_AUTHZ_READ, contest.prefix, contest.end);
    if (error == 0 && lease == 0) {
        error = oak_kv_permit_keys(a->kv, a->who, OAK_AUTHZ_WRITE, contest.prefix, contest.end);
    } else if (error == 0) {
        put.key = oak_proto_binary(contest.key);
        put.lease = lease;
        error = keys(a, &put.base);
    }
    oak_arena_fini(&arena);
    return error;
}

static int lock(const struct asker *a, const ProtobufCMessage *request)
{
    const V3lockpb__LockRequest *r = (const V3lockpb__LockRequest *)request;
    return takes_part(a, r->name, r->lease);
}

static int campaign(const struct asker *a, const ProtobufCMessage *request)
{
    const V3electionpb__CampaignRequest *r = (const V3electionpb__CampaignRequest *)request;
    return takes_part(a, r->name, r->lease);
}

static int unlock(const struct asker *a, const ProtobufCMessage *request)
{
    const V3lockpb__UnlockRequest *r = (const V3lockpb__UnlockRequest *)request;
    return oak_kv_permit_keys(a->kv, a->who, OAK_AUTHZ_WRITE, oak_proto_bytes(r->key),
                              oak_bytes(NULL, 0));
}

static int leader(const struct asker *a, const ProtobufCMessage *request)
{
    const V3electionpb__LeaderRequest *r = (const V3electionpb__LeaderRequest *)request;
    struct api_contest contest;
    struct oak_arena arena;
    oak_arena_init(&arena, 256, 3 * r->name.len + OAK_KIB);
    int error = api__contest_of(&arena, oak_proto_bytes(r->name), 0, &contest);
    error = error != 0
                ? error
                : oak_kv_permit_keys(a->kv, a->who, OAK_AUTHZ_READ, contest.prefix, contest.end);
    oak_arena_fini(&arena);
    return error;
}

/* A transaction that looks at the leader's key first. One without is refused as what it is. */
static int leads(const struct asker *a, const V3electionpb__LeaderKey *key,
                 const ProtobufCMessage *change)
{
    if (key == NULL) {
        return anybody(a, change);
    }
    int error = oak_kv_permit_keys(a->kv, a->who, OAK_AUTHZ_READ, oak_proto_bytes(key->key),
                                   oak_bytes(NULL, 0));
    return error != 0 ? error : keys(a, change);
}

static int proclaim(const struct asker *a, const ProtobufCMessage *request)
{
    const V3electionpb__LeaderKey *key = ((const V3electionpb__ProclaimRequest *)request)->leader;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    if (key != NULL) {
        put.key = key->key;
        put.lease = key->lease;
    }
    return leads(a, key, &put.base);
}

static int resign(const struct asker *a, const ProtobufCMessage *request)
{
    const V3electionpb__LeaderKey *key = ((const V3electionpb__ResignRequest *)request)->leader;
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    if (key != NULL) {
        remove.key = key->key;
    }
    return leads(a, key, &remove.base);
}

/* -- the table --------------------------------------------------------------------------------- */

typedef int need_fn(const struct asker *a, const ProtobufCMessage *request);

static need_fn *need_of(const ProtobufCMessageDescriptor *type)
{
    static const struct {
        const ProtobufCMessageDescriptor *type;
        need_fn *need;
    } table[] = {
        {&etcdserverpb__range_request__descriptor, keys},
        {&etcdserverpb__put_request__descriptor, keys},
        {&etcdserverpb__delete_range_request__descriptor, keys},
        {&etcdserverpb__txn_request__descriptor, keys},
        {&etcdserverpb__lease_grant_request__descriptor, anybody},
        {&etcdserverpb__lease_revoke_request__descriptor, keys},
        {&etcdserverpb__lease_keep_alive_request__descriptor, keys},
        {&etcdserverpb__lease_time_to_live_request__descriptor, keys},
        {&etcdserverpb__lease_leases_request__descriptor, keys},
        {&etcdserverpb__member_list_request__descriptor, anybody},
        {&etcdserverpb__status_request__descriptor, anybody},
        {&etcdserverpb__alarm_request__descriptor, alarm},
        {&v3lockpb__lock_request__descriptor, lock},
        {&v3lockpb__unlock_request__descriptor, unlock},
        {&v3electionpb__campaign_request__descriptor, campaign},
        {&v3electionpb__proclaim_request__descriptor, proclaim},
        {&v3electionpb__leader_request__descriptor, leader},
        {&v3electionpb__resign_request__descriptor, resign},
        {&etcdserverpb__auth_user_get_request__descriptor, user_itself},
        {&etcdserverpb__auth_role_get_request__descriptor, role_holder},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(table); i++) {
        if (table[i].type == type) {
            return table[i].need;
        }
    }
    return root;
}

/* It asks for an identity, and has none yet. */
static bool is_login(const ProtobufCMessage *request)
{
    return request->descriptor == &etcdserverpb__authenticate_request__descriptor;
}

/* -- the audit --------------------------------------------------------------------------------- */

/* A name that a client chose, fit for a line. */
static void printable(struct oak_bytes name, char *out, size_t room)
{
    size_t size = OAK_MIN(name.size, room - 1);
    for (size_t i = 0; i < size; i++) {
        out[i] = name.data[i] >= ' ' && name.data[i] < 127 ? (char)name.data[i] : '?';
    }
    out[size] = '\0';
}

static bool audit_has_room(struct oak_api *api)
{
    uint64_t now = api->options.loop->clock.mono_ns(api->options.loop->clock.user);
    if (now - api->audit_at_ns >= SECOND_NS) {
        if (api->audit_hidden > 0) {
            oak_log(api->options.log, OAK_LOG_WARN, "audit: %" PRIu64 " more were refused",
                    api->audit_hidden);
        }
        api->audit_at_ns = now;
        api->audit_lines = 0;
        api->audit_hidden = 0;
    }
    bool room = api->audit_lines < AUDIT_LINES;
    api->audit_lines += room ? 1 : 0;
    api->audit_hidden += room ? 0 : 1;
    return room;
}

void api__audit(struct oak_api *api, const struct oak_stub_call *stub, const struct api_who *who,
                const char *what)
{
    const struct oak_rpc_call *rpc = oak_stub_rpc(stub);
    if (rpc == NULL || !audit_has_room(api)) {
        return;
    }
    char user[64];
    char path[96];
    printable(who->who.user, user, sizeof(user));
    printable(oak_rpc_call_path(rpc), path, sizeof(path));
    oak_log(api->options.log, OAK_LOG_WARN, "audit: refused: %s by %s%s from %s (%s): %s", path,
            user[0] != '\0' ? "user " : "nobody", user[0] != '\0' ? user : "",
            oak_rpc_call_peer(rpc), oak_authz_session_name(who->session), what);
}

/* -- the decision ------------------------------------------------------------------------------ */

/* What came of it moves the session; an illegal move is a refusal, too. */
static int settle(struct oak_api *api, const struct oak_stub_call *stub, struct api_who *who,
                  int verdict)
{
    if (!oak_kv_auth_enabled(oak_replica_kv(api->options.replica))) {
        return verdict;
    }
    enum oak_authz_event event = verdict == 0 ? OAK_AUTHZ_ALLOW : OAK_AUTHZ_DENY;
    if (oak_authz_session_step(&who->session, event) != 0) {
        char what[96];
        (void)snprintf(what, sizeof(what), "a session that is %s can't %s",
                       oak_authz_session_name(who->session), oak_authz_event_name(event));
        api__audit(api, stub, who, what);
        return OAK_EPERMISSIONDENIED;
    }
    if (who->token != NULL) {
        who->token->session = who->session;
    }
    if (verdict != 0) {
        api__audit(api, stub, who, oak_error_text(verdict));
    }
    return verdict;
}

static int judge(struct oak_api *api, const struct oak_authz_who *who,
                 const ProtobufCMessage *request)
{
    const struct asker asker = {.kv = oak_replica_kv(api->options.replica), .who = who};
    return need_of(request->descriptor)(&asker, request);
}

int api__permit(struct oak_api *api, const struct oak_stub_call *stub,
                const ProtobufCMessage *request)
{
    struct api_who who;
    int error = api__who(api, stub, &who);
    if (error == 0) {
        error = judge(api, &who.who, request);
    }
    return settle(api, stub, &who, error == OAK_EAGAIN ? OAK_EINVALIDAUTHTOKEN : error);
}

int oak_api_permit(struct oak_api *api, const struct oak_authz_who *who,
                   const ProtobufCMessage *request)
{
    return judge(api, who, request);
}

int api__permit_again(const struct api_call *call)
{
    return judge(call->api, &call->request.who, call->message);
}

int api__permit_later(struct oak_api *api, struct oak_authz_who *who,
                      const ProtobufCMessage *request)
{
    int error = api__who_renew(api, who);
    return error != 0 ? error : judge(api, who, request);
}

int api__permit_watch(struct oak_api *api, const struct oak_stub_call *stub, struct oak_bytes key,
                      struct oak_bytes range_end)
{
    struct api_who who;
    int error = api__who(api, stub, &who);
    if (error == 0) {
        error = oak_kv_permit_keys(oak_replica_kv(api->options.replica), &who.who, OAK_AUTHZ_READ,
                                   key, range_end);
    }
    return settle(api, stub, &who, error == OAK_EAGAIN ? OAK_EINVALIDAUTHTOKEN : error);
}

const char *api__permit_watch_text(int error)
{
#define RENDERED(code, text) "rpc error: code = " code " desc = etcdserver: " text
    switch (error) {
    case OAK_EINVALIDAUTHTOKEN:
        return RENDERED("Unauthenticated", "invalid auth token");
    case OAK_EAUTHOLDREVISION:
        return RENDERED("InvalidArgument", "revision of auth store is old");
    case OAK_EUSEREMPTY:
        return RENDERED("InvalidArgument", "user name is empty");
    case OAK_EPERMISSIONDENIED:
        return RENDERED("PermissionDenied", "permission denied");
    default:
        return oak_error_text(error);
    }
#undef RENDERED
}

/* -- calls ------------------------------------------------------------------------------------- */

static void token_waited(struct oak_replica_request *request, int error,
                         const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    if (error != 0) {
        api__fail(call, error);
    } else {
        oak_stub_again(call->stub, call->message, call->bytes);
    }
}

/* Until this member has applied all that is committed: a token that was given out is, and a
 * permission. */
static void token_wait(struct api_call *call)
{
    call->waited = true;
    call->bytes = oak_arena_dup(api__arena(call), oak_stub_bytes(call->stub));
    call->request.done = token_waited;
    call->request.deadline_ns = 0;
    int error = call->bytes.data == NULL && oak_stub_bytes(call->stub).size > 0
                    ? OAK_ENOMEM
                    : oak_replica_read(call->api->options.replica, &call->request);
    if (error != 0) {
        api__fail(call, error);
    }
}

bool api__admit(struct api_call *call)
{
    struct oak_api *api = call->api;
    if (!oak_kv_auth_enabled(oak_replica_kv(api->options.replica)) || is_login(call->message)) {
        return true;
    }
    struct api_who who;
    int error = api__who(api, call->stub, &who);
    if (error == OAK_EAGAIN && !call->waited) {
        token_wait(call);
        return false;
    }
    if (error == 0) {
        error = judge(api, &who.who, call->message);
        /* What another member was told to allow may not be applied here yet. */
        if (error == OAK_EPERMISSIONDENIED && !call->waited) {
            token_wait(call);
            return false;
        }
    }
    error = settle(api, call->stub, &who, error == OAK_EAGAIN ? OAK_EINVALIDAUTHTOKEN : error);
    if (error == 0) {
        call->request.who.revision = who.who.revision;
        call->request.who.user = oak_arena_dup(api__arena(call), who.who.user);
        error = call->request.who.user.data == NULL ? OAK_ENOMEM : 0;
    }
    if (error != 0) {
        api__fail(call, error);
    }
    return error == 0;
}
