/* SPDX-License-Identifier: Apache-2.0 */
/* guest.c: in some runs there are users: a warden, who is root, turns auth on and off, and gives a
 * guest's role, its permissions and the guest itself, and takes them away; and guests who put and
 * delete keys, permitted or not. All other clients of such a run are root.
 *
 * As in the api, who asks is judged when it asks, by what its member knows, and again when it is
 * applied: what a member makes of a command is held against the model (model_auth.c). A guest logs
 * in, and goes on by its token for as long as its member takes that for good.
 *
 * Checker  auth   users, roles, permissions or tokens are not to a member what they are to the
 *                 model. And since the model refuses what a user may not do where it stands in the
 *                 log, a write that takes effect behind a revocation makes a member's revision
 *                 another one than the model's.
 *
 * One run in four has them, none with a trap.
 */
#include <inttypes.h>
#include <stdio.h>

#include "sim/internal.h"

#define DEADLINE_NS (3000 * SIM_MS)
#define ROOT        "root"
#define GUEST       "guest"

static void guest_next(struct guest *u);

enum step {
    STEP_ROOT,   /* adds root, */
    STEP_RULES,  /* and gives it its role */
    STEP_BEGINS, /* so many come first, in this order */
    STEP_ON = STEP_BEGINS,
    STEP_GUEST,
    STEP_ROLE,
    STEP_PLAYS,
    STEP_PERMIT,
    STEP_FORBID,
    STEP_PLAYS_NOT,
    STEP_NO_GUEST,
    STEP_NO_ROLE,
    STEP_OFF,
    STEP_WRITES, /* a guest's */
};

static struct oak_authz_who root_at(struct oak_kv *kv)
{
    return (struct oak_authz_who){
        .user = oak_bytes_str(ROOT),
        .revision = oak_authz_settings(oak_kv_authz(kv))->revision,
    };
}

struct oak_authz_who sim__who(const struct member *m)
{
    struct oak_authz_who nobody = {.revision = 0};
    return m->group->sim->plan.guests > 0 ? root_at(oak_replica_kv(m->replica)) : nobody;
}

/* -- answers ----------------------------------------------------------------------------------- */

static void end(struct guest *u, bool known, int error)
{
    OAK_ASSERT(u->busy);
    u->busy = false;
    sim__trace(u->sim, "g%d step %u at n%d: %s", u->index, u->step, u->node + 1,
               !known       ? "no answer"
               : error == 0 ? "done"
                            : oak_error_name(error));
    if (known) {
        u->sim->report->operations++;
    }
    guest_next(u);
}

/* What a command is told once it is applied, by any member. */
static bool is_told(int error)
{
    static const int told[] = {
        0,
        OAK_EUSEREXIST,
        OAK_EUSERNOTFOUND,
        OAK_EROLEEXIST,
        OAK_EROLENOTFOUND,
        OAK_EROLENOTGRANTED,
        OAK_EPERMISSIONNOTGRANTED,
        OAK_EPERMISSIONDENIED,
        OAK_EAUTHOLDREVISION,
    };
    bool is = false;
    for (size_t i = 0; i < OAK_COUNT_OF(told); i++) {
        is = is || told[i] == error;
    }
    return is;
}

static void done(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct guest *u = OAK_CONTAINER_OF(request, struct guest, request);
    (void)result;
    if (is_told(error) && u->step == u->sim->warden_begun && u->step < STEP_BEGINS) {
        u->sim->warden_begun++;
    }
    end(u, is_told(error), error);
}

/* -- requests ---------------------------------------------------------------------------------- */

static int propose(struct guest *u, struct oak_replica *replica, enum oak_kv_kind kind,
                   const ProtobufCMessage *message)
{
    int error = oak_kv_check(oak_replica_kv(replica), kind, message);
    OAK_ASSERT_EQ(error, 0);
    oak_buf_clear(&u->packed);
    error = oak_buf_reserve(&u->packed, protobuf_c_message_get_packed_size(message));
    OAK_ASSERT_EQ(error, 0);
    u->packed.size = protobuf_c_message_pack(message, u->packed.data);
    return oak_replica_propose(replica, kind, oak_buf_bytes(&u->packed), &u->request);
}

static ProtobufCBinaryData letter_key(unsigned letter, char out[16])
{
    snprintf(out, 16, GUEST "/%c", (char)('a' + letter));
    return oak_proto_binary(oak_bytes_str(out));
}

/* As the api: by its token, and if that may do it. Else there is nothing to ask for. */
static int write_send(struct guest *u, struct oak_replica *replica)
{
    struct oak_kv *kv = oak_replica_kv(replica);
    struct oak_authz_who *who = &u->request.who;
    char from[16], to[16];
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__DeleteRangeRequest remove = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    bool puts = u->end == 0;
    put.key = remove.key = letter_key(u->letter, from);
    remove.range_end = letter_key(u->end, to);
    put.value = oak_proto_binary(oak_bytes_str(GUEST));
    const ProtobufCMessage *message = puts ? &put.base : &remove.base;
    who->user = oak_bytes_str(GUEST);
    who->revision = u->token;
    if (u->token == 0 || !oak_kv_token_holds(kv, who)) {
        u->old_token = u->token;
        u->token = oak_authz_settings(oak_kv_authz(kv))->revision;
    }
    who->revision = oak_authz_settings(oak_kv_authz(kv))->revision;
    int error = oak_kv_permit(kv, who, message);
    return error != 0 ? error : propose(u, replica, puts ? OAK_KV_PUT : OAK_KV_DELETE, message);
}

static int user_send(struct guest *u, struct oak_replica *replica)
{
    char root[] = ROOT, guest[] = GUEST;
    char *name = u->step == STEP_ROOT || u->step == STEP_RULES ? root : guest;
    Etcdserverpb__AuthUserAddRequest add = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    Etcdserverpb__AuthUserDeleteRequest remove = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    Etcdserverpb__AuthUserRevokeRoleRequest revoke =
        ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
    options.no_password = true;
    add.options = &options;
    add.name = remove.name = grant.user = grant.role = revoke.name = revoke.role = name;
    switch (u->step) {
    case STEP_ROOT:
    case STEP_GUEST:
        return propose(u, replica, OAK_KV_USER_ADD, &add.base);
    case STEP_NO_GUEST:
        return propose(u, replica, OAK_KV_USER_DELETE, &remove.base);
    case STEP_RULES:
    case STEP_PLAYS:
        return propose(u, replica, OAK_KV_USER_GRANT, &grant.base);
    default:
        OAK_ASSERT_EQ(u->step, STEP_PLAYS_NOT);
        return propose(u, replica, OAK_KV_USER_REVOKE, &revoke.base);
    }
}

static int role_send(struct guest *u, struct oak_replica *replica)
{
    char name[] = GUEST;
    const struct sim_permission *p = &sim_permissions[u->perm];
    Etcdserverpb__AuthRoleAddRequest add = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    Etcdserverpb__AuthRoleDeleteRequest remove = ETCDSERVERPB__AUTH_ROLE_DELETE_REQUEST__INIT;
    Etcdserverpb__AuthRoleGrantPermissionRequest permit =
        ETCDSERVERPB__AUTH_ROLE_GRANT_PERMISSION_REQUEST__INIT;
    Etcdserverpb__AuthRoleRevokePermissionRequest forbid =
        ETCDSERVERPB__AUTH_ROLE_REVOKE_PERMISSION_REQUEST__INIT;
    Authpb__Permission permission = AUTHPB__PERMISSION__INIT;
    permission.permtype = AUTHPB__PERMISSION__TYPE__WRITE;
    permission.key = forbid.key = oak_proto_binary(oak_bytes_str(p->from));
    permission.range_end = forbid.range_end = oak_proto_binary(oak_bytes_str(p->to));
    permit.perm = &permission;
    add.name = remove.role = permit.name = forbid.role = name;
    switch (u->step) {
    case STEP_ROLE:
        return propose(u, replica, OAK_KV_ROLE_ADD, &add.base);
    case STEP_NO_ROLE:
        return propose(u, replica, OAK_KV_ROLE_DELETE, &remove.base);
    case STEP_PERMIT:
        return propose(u, replica, OAK_KV_ROLE_PERMIT, &permit.base);
    default:
        OAK_ASSERT_EQ(u->step, STEP_FORBID);
        return propose(u, replica, OAK_KV_ROLE_FORBID, &forbid.base);
    }
}

static int step_send(struct guest *u, struct member *m)
{
    static const Etcdserverpb__AuthEnableRequest on = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
    static const Etcdserverpb__AuthDisableRequest off = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
    u->request.who = sim__who(m);
    switch (u->step) {
    case STEP_WRITES:
        return write_send(u, m->replica);
    case STEP_ON:
        return propose(u, m->replica, OAK_KV_AUTH_ENABLE, &on.base);
    case STEP_OFF:
        return propose(u, m->replica, OAK_KV_AUTH_DISABLE, &off.base);
    case STEP_ROLE:
    case STEP_NO_ROLE:
    case STEP_PERMIT:
    case STEP_FORBID:
        return role_send(u, m->replica);
    default:
        return user_send(u, m->replica);
    }
}

/* -- lives ------------------------------------------------------------------------------------- */

static void step_draw(struct guest *u)
{
    /* Of a hundred; more is given than is taken away. */
    static const unsigned shares[] = {
        [STEP_ON] = 20,     [STEP_GUEST] = 10, [STEP_ROLE] = 10,     [STEP_PLAYS] = 14,
        [STEP_PERMIT] = 20, [STEP_FORBID] = 8, [STEP_PLAYS_NOT] = 8, [STEP_NO_GUEST] = 4,
        [STEP_NO_ROLE] = 3, [STEP_OFF] = 3,
    };
    struct oak_prng *p = &u->prng;
    u->perm = (unsigned)oak_prng_below(p, SIM_PERMISSIONS);
    u->letter = (unsigned)oak_prng_below(p, SIM_GUEST_LETTERS);
    u->end = oak_prng_chance(p, 1, 4)
                 ? u->letter + 1 + (unsigned)oak_prng_below(p, SIM_GUEST_LETTERS - u->letter)
                 : 0;
    if (u->index > 0) {
        u->step = STEP_WRITES;
        return;
    }
    u->step = u->sim->warden_begun;
    if (u->step < STEP_BEGINS) {
        return;
    }
    unsigned dice = (unsigned)oak_prng_below(p, 100);
    while (dice >= shares[u->step]) {
        dice -= shares[u->step++];
    }
}

static void arrive_event(struct world *w, struct event *e)
{
    struct guest *u = e->arg;
    struct node *n = &u->sim->nodes[u->node];
    (void)w;
    OAK_ASSERT(u->busy && !u->arrived);
    u->arrived = true;
    int error = !n->up || n->fatal ? OAK_ESTOPPED : step_send(u, &n->members[u->group->index]);
    if (error != 0) {
        end(u, false, error);
    }
}

static void guest_event(struct world *w, struct event *e)
{
    struct guest *u = e->arg;
    struct sim *s = u->sim;
    OAK_ASSERT(!u->busy);
    if (s->settling) {
        return;
    }
    u->node = (int)oak_prng_below(&u->prng, (uint64_t)w->node_count);
    if (!s->nodes[u->node].up) {
        guest_next(u);
        return;
    }
    step_draw(u);
    u->busy = true;
    u->arrived = false;
    const struct sim_clock *clock = &w->machines[u->node].clock;
    u->request = (struct oak_replica_request){
        .done = done, .deadline_ns = sim_clock_mono(clock, w->now_ns) + DEADLINE_NS};
    world_at(w, w->now_ns + SIM_MS / 10, u->node, arrive_event, u, oak_bytes(NULL, 0), 0);
}

static void guest_next(struct guest *u)
{
    struct world *w = &u->sim->world;
    uint64_t mean_ms = u->index > 0 ? 60 : u->sim->warden_begun < STEP_BEGINS ? 50 : 500;
    uint64_t wait = SIM_MS + oak_prng_below(&u->prng, 2 * mean_ms * SIM_MS);
    world_at(w, w->now_ns + wait, -1, guest_event, u, oak_bytes(NULL, 0), 0);
}

void sim__guests_lost(struct sim *s, int node)
{
    for (int i = 0; i < s->plan.guests; i++) {
        struct guest *u = &s->guests[i];
        if (u->busy && u->node == node) {
            OAK_ASSERT(!u->arrived);
            end(u, false, 0);
        }
    }
}

void sim__guests_start(struct sim *s)
{
    for (int i = 0; i < s->plan.guests; i++) {
        struct guest *u = &s->guests[i];
        *u = (struct guest){.sim = s, .index = i, .group = &s->groups[0]};
        oak_prng_init(&u->prng, s->options->seed * 17 + (uint64_t)i + 0x6775657374);
        guest_next(u);
    }
}

void sim__guests_stop(struct sim *s)
{
    for (int i = 0; i < s->plan.guests; i++) {
        oak_buf_fini(&s->guests[i].packed);
    }
}

/* -- what members have ------------------------------------------------------------------------- */

/* Not with each event. */
#define LOOKS_APART 32

/* Does it hold where it should, and nowhere else? */
static bool token_right(const struct oak_kv *kv, const struct model_auth *a, uint64_t revision)
{
    const struct oak_authz_who who = {.user = oak_bytes_str(GUEST), .revision = revision};
    bool holds = a->enabled && a->guest && revision >= a->guest_since && revision >= a->disabled_at;
    return oak_kv_token_holds(kv, &who) == holds;
}

void sim__guests_look(struct member *m)
{
    struct sim *s = m->group->sim;
    const struct model_auth *a = &m->group->model.auth;
    struct oak_kv *kv = oak_replica_kv(m->replica);
    if (s->plan.guests == 0 || m->group->index != 0 || m->looks % LOOKS_APART != 0 ||
        oak_kv_state(kv)->applied != m->group->model.index || a->revision == 0) {
        return;
    }
    const struct oak_authz_settings *settings = oak_authz_settings(oak_kv_authz(kv));
    if (settings->enabled != a->enabled || settings->revision != a->revision) {
        sim__fail(
            s, "auth: to %s it is %s at revision %" PRIu64 ", by the log's commands %s at %" PRIu64,
            m->name, settings->enabled ? "on" : "off", settings->revision,
            a->enabled ? "on" : "off", a->revision);
        return;
    }
    const struct oak_authz_who who = {.user = oak_bytes_str(GUEST), .revision = a->revision};
    for (unsigned letter = 0; letter < SIM_GUEST_LETTERS; letter++) {
        char key[16];
        struct oak_bytes bytes = oak_proto_bytes(letter_key(letter, key));
        int error = oak_kv_permit_keys(kv, &who, OAK_AUTHZ_WRITE, bytes, oak_bytes(NULL, 0));
        if ((error == 0) != (!a->enabled || sim__model_guest_may(a, letter, 0))) {
            sim__fail(s, "auth: by %s a guest may%s write %s, by the log's commands the opposite",
                      m->name, error == 0 ? "" : " not", key);
            return;
        }
    }
    for (int i = 1; i < s->plan.guests; i++) {
        const struct guest *u = &s->guests[i];
        if ((u->token != 0 && !token_right(kv, a, u->token)) ||
            (u->old_token != 0 && !token_right(kv, a, u->old_token))) {
            sim__fail(s,
                      "auth: to %s tokens of revision %" PRIu64 " and %" PRIu64
                      " are not what they should be",
                      m->name, u->token, u->old_token);
        }
    }
}
