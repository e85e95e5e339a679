/* SPDX-License-Identifier: Apache-2.0 */
/* change.c: a change of the group, from the call of a client to its answer.
 *
 * Happy path   1 find who leads. Another member: ask it, by the same service on its peer port
 *              2 (the leader) one change at a time: guards
 *              3 what is to be known is said through the log, and the configuration is changed:
 *                  add      say its URLs, then make it a learner. One that is to vote gets its vote
 *                           from the leader once it has caught up (replica/amends.c)
 *                  update   say its URLs
 *                  promote  give it its vote, then say that it is no learner
 *                  remove   take it out, then say that it is gone
 *              4 answer with the members there are.
 * Can fail     No leader, another change under way, a leader that goes: tried again until the
 *              deadline, as long as nothing has happened. A client that goes away does not stop
 *              what it began. A leader that is to be removed lets another one lead first, and asks
 *              it.
 * Invariants   the quorum is the Raft core's: no voter comes in that has not caught up. A member
 *              with a vote never has an address that nobody was told.
 * Thread       the loop's.
 */
#include "api/change.h"

#include <stdio.h>
#include <stdlib.h>

#define STEP_NS     (50 * 1000000ull)
#define DEADLINE_NS (7 * 1000000000ull)
/* How long a member must have been there to count as well (etcd's number). */
#define CALM_NS (5 * 1000000000ull)

static void step(struct api_change *c);

uint64_t api__change_now(const struct api_change *c)
{
    const struct oak_clock *clock = &c->api->options.loop->clock;
    return clock->mono_ns(clock->user);
}

/* -- the end ----------------------------------------------------------------------------------- */

void api__change_free(struct api_change *c)
{
    const struct oak_timers *timers = &c->api->options.loop->timers;
    struct oak_api *home = c->api->home;
    timers->stop(timers->user, &c->again);
    if (home->at_work == c) {
        home->at_work = NULL;
    }
    if (c->call != NULL) {
        c->call->change = NULL;
    }
    oak_list_remove(&c->link);
    home->change_count--;
    oak_arena_fini(&c->memory);
    free(c);
}

static int answer_add(struct api_change *c, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__MemberAddResponse response = ETCDSERVERPB__MEMBER_ADD_RESPONSE__INIT;
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    int error = api__members(c->api, api__arena(c->call), &response.members, &response.n_members);
    if (error == 0) {
        response.header = header;
        member.id = c->id;
        member.n_peerurls = c->url_count;
        member.peerurls = (char **)(uintptr_t)c->urls;
        member.islearner = c->learner;
        response.member = &member;
        api__answer(c->call, &response.base);
    }
    return error;
}

/* The responses of the others are alike but for their types. */
static int answer_list(struct api_change *c, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__Member **members;
    size_t count;
    int error = api__members(c->api, api__arena(c->call), &members, &count);
    if (error != 0) {
        return error;
    }
    Etcdserverpb__MemberRemoveResponse removed = ETCDSERVERPB__MEMBER_REMOVE_RESPONSE__INIT;
    Etcdserverpb__MemberUpdateResponse updated = ETCDSERVERPB__MEMBER_UPDATE_RESPONSE__INIT;
    Etcdserverpb__MemberPromoteResponse promoted = ETCDSERVERPB__MEMBER_PROMOTE_RESPONSE__INIT;
    removed.header = updated.header = promoted.header = header;
    removed.members = updated.members = promoted.members = members;
    removed.n_members = updated.n_members = promoted.n_members = count;
    api__answer(c->call, c->kind == API_CHANGE_REMOVE   ? &removed.base
                         : c->kind == API_CHANGE_UPDATE ? &updated.base
                                                        : &promoted.base);
    return 0;
}

static void end(struct api_change *c, int error)
{
    if (c->call != NULL) {
        Etcdserverpb__ResponseHeader *header = error == 0 ? api__cluster_header(c->call) : NULL;
        if (error == 0) {
            error = header == NULL              ? OAK_ENOMEM
                    : c->kind == API_CHANGE_ADD ? answer_add(c, header)
                                                : answer_list(c, header);
        }
        if (error != 0) {
            api__fail(c->call, error);
        }
    }
    api__change_free(c);
}

static void again_fire(struct oak_timer *timer)
{
    step(OAK_CONTAINER_OF(timer, struct api_change, again));
}

void api__change_again(struct api_change *c, enum change_stage stage)
{
    const struct oak_timers *timers = &c->api->options.loop->timers;
    uint64_t now = api__change_now(c);
    c->stage = stage;
    if (now >= c->deadline_ns) {
        end(c, OAK_ETIMEOUT);
        return;
    }
    timers->set(timers->user, &c->again, now + STEP_NS);
}

/* -- on the leader ----------------------------------------------------------------------------- */

/* The id of a member that is added, as etcd makes it. */
static uint64_t id_make(const struct api_change *c)
{
    const struct oak_clock *clock = &c->api->options.loop->clock;
    char seconds[24];
    snprintf(seconds, sizeof(seconds), "%llu",
             (unsigned long long)(clock->wall_ns(clock->user) / 1000000000ull));
    return c->api->options.member_id(c->urls, c->url_count, seconds);
}

static void guard_look(const struct api_change *c, struct api_guard *g)
{
    const struct oak_api *api = c->api;
    const struct oak_api_options *o = &api->options;
    struct oak_raft_peer_status rows[OAK_PEERS_MAX];
    size_t row_count =
        OAK_MIN(oak_replica_peers(o->replica, rows, OAK_PEERS_MAX), (size_t)OAK_PEERS_MAX);
    uint64_t ids[OAK_PEERS_MAX];
    uint64_t now = api__change_now(c);
    *g = (struct api_guard){.strict = o->strict_reconfig, .learners_max = o->learners_max};
    g->count = api__member_ids(oak_replica_config_applied(o->replica), ids);
    g->id_gone = oak_kv_member_gone(oak_replica_kv(o->replica), c->id);
    g->id_taken = c->id == 0;
    for (size_t i = 0; i < g->count; i++) {
        struct api_guard_member *m = &g->members[i];
        Etcdserverpb__Member seen;
        g->id_taken = g->id_taken || ids[i] == c->id;
        api__member_fill(api, ids[i], &seen);
        m->id = ids[i];
        m->learner = seen.islearner;
        m->started = seen.name[0] != '\0';
        m->self = ids[i] == o->id;
        m->urls = (const char *const *)seen.peerurls;
        m->url_count = seen.n_peerurls;
        uint64_t since = o->connected_ns == NULL ? 0 : o->connected_ns(o->user, ids[i]);
        for (size_t k = 0; k < row_count; k++) {
            m->active = m->active || (rows[k].id == ids[i] && rows[k].active && since != 0);
        }
        m->connected = m->active && now - since >= CALM_NS;
    }
}

static bool is_ready(const struct oak_api *api, uint64_t id)
{
    struct oak_raft_peer_status rows[OAK_PEERS_MAX];
    size_t count = OAK_MIN(oak_replica_peers(api->options.replica, rows, OAK_PEERS_MAX),
                           (size_t)OAK_PEERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == id) {
            return rows[i].ready;
        }
    }
    return false;
}

static int guard(struct api_change *c)
{
    struct api_guard g;
    guard_look(c, &g);
    switch (c->kind) {
    case API_CHANGE_ADD:
        return api__guard_add(&g, c->urls, c->url_count, c->learner);
    case API_CHANGE_REMOVE:
        return api__guard_remove(&g, c->id);
    case API_CHANGE_UPDATE:
        return api__guard_update(&g, c->id, c->urls, c->url_count);
    case API_CHANGE_PROMOTE:
        return api__guard_promote(&g, c->id, is_ready(c->api, c->id));
    }
    OAK_UNREACHABLE("a kind of change without a guard");
}

static void said(struct oak_replica_request *request, int error, const struct oak_kv_result *result)
{
    struct api_change *c = OAK_CONTAINER_OF(request, struct api_change, request);
    (void)result;
    if (c->stage == CHANGE_UNDO) {
        end(c, c->error);
    } else if (error != 0 && c->stage == CHANGE_SETTLE && error != OAK_EMEMBERNOTFOUND) {
        /* The configuration has changed: what is said must follow. */
        api__change_again(c, CHANGE_SETTLE);
    } else if (error != 0) {
        end(c, error);
    } else if (c->stage == CHANGE_SAY && c->kind == API_CHANGE_ADD) {
        c->stage = CHANGE_CONFIG;
        step(c);
    } else {
        end(c, 0);
    }
}

/* Through the log: where it is and what it is to be; without URLs that it is gone. */
static void say(struct api_change *c, enum oak_kv_kind kind, bool with_urls, bool learner)
{
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    const struct oak_kv_member *known =
        oak_kv_member(oak_replica_kv(c->api->options.replica), c->id);
    member.id = c->id;
    member.islearner = learner;
    if (with_urls && c->url_count > 0) {
        member.n_peerurls = c->url_count;
        member.peerurls = (char **)(uintptr_t)c->urls;
    } else if (with_urls && known != NULL) {
        member.n_peerurls = known->peer_url_count;
        member.peerurls = (char **)(uintptr_t)known->peer_urls;
    }
    size_t size = etcdserverpb__member__get_packed_size(&member);
    uint8_t *packed = oak_arena_alloc(&c->memory, size);
    int error = packed == NULL ? OAK_ENOMEM : 0;
    if (error == 0) {
        etcdserverpb__member__pack(&member, packed);
        c->request = (struct oak_replica_request){.done = said};
        error = oak_replica_propose(c->api->options.replica, kind, oak_bytes(packed, size),
                                    &c->request);
    }
    if (error == OAK_ETOOMANYREQUESTS && c->stage != CHANGE_UNDO) {
        api__change_again(c, c->stage);
    } else if (error != 0) {
        end(c, c->stage == CHANGE_UNDO ? c->error : error);
    }
}

static void undo(struct api_change *c, int error)
{
    if (c->kind != API_CHANGE_ADD) {
        end(c, error);
        return;
    }
    c->stage = CHANGE_UNDO;
    c->error = error;
    say(c, OAK_KV_PUBLISH, false, false); /* with neither name nor URL: it is forgotten */
}

static void configured(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_change *c = OAK_CONTAINER_OF(request, struct api_change, request);
    (void)result;
    if (error == OAK_EAGAIN) {
        api__change_again(c, CHANGE_CONFIG);
    } else if (error == OAK_ETIMEOUT || error == OAK_ETIMEOUTLEADERFAIL) {
        end(c, error); /* it may still happen: what was said stays */
    } else if (error != 0) {
        undo(c, error == OAK_ENOTLEADER ? OAK_ELEADERCHANGED : error);
    } else if (c->kind == API_CHANGE_ADD) {
        end(c, 0);
    } else {
        c->stage = CHANGE_SETTLE;
        step(c);
    }
}

static void id_remove(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (ids[i] != id) {
            ids[kept++] = ids[i];
        }
    }
    *count = kept;
}

static void id_insert(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t at = *count;
    for (; at > 0 && ids[at - 1] > id; at--) {
        ids[at] = ids[at - 1];
    }
    ids[at] = id;
    (*count)++;
}

static void configure(struct api_change *c)
{
    struct oak_raft_config target = *oak_replica_config(c->api->options.replica);
    if (target.voter_outgoing_count != 0) {
        api__change_again(c, CHANGE_CONFIG);
        return;
    }
    id_remove(target.voters, &target.voter_count, c->id);
    id_remove(target.learners, &target.learner_count, c->id);
    if (c->kind == API_CHANGE_ADD) {
        id_insert(target.learners, &target.learner_count, c->id);
    } else if (c->kind == API_CHANGE_PROMOTE) {
        id_insert(target.voters, &target.voter_count, c->id);
    }
    c->request = (struct oak_replica_request){.done = configured};
    int error = oak_replica_reconfigure(c->api->options.replica, &target, &c->request);
    if (error == OAK_EAGAIN) {
        api__change_again(c, CHANGE_CONFIG);
    } else if (error != 0) {
        undo(c, error);
    }
}

/* We lead. True: on to the next stage. */
static bool begin(struct api_change *c)
{
    struct oak_api *home = c->api->home;
    if (home->at_work != NULL) {
        api__change_again(c, CHANGE_SEEK);
        return false;
    }
    if (c->kind == API_CHANGE_ADD) {
        c->id = id_make(c);
    }
    int error = guard(c);
    if (error == 0 && c->kind == API_CHANGE_REMOVE && c->id == c->api->options.id) {
        /* Somebody else does it. */
        error = oak_replica_transfer(c->api->options.replica, 0);
        if (error == 0) {
            api__change_again(c, CHANGE_SEEK);
            return false;
        }
    }
    if (error != 0) {
        end(c, error);
        return false;
    }
    home->at_work = c;
    bool says = c->kind == API_CHANGE_ADD || c->kind == API_CHANGE_UPDATE;
    c->stage = says ? CHANGE_SAY : CHANGE_CONFIG;
    return true;
}

static bool seek(struct api_change *c)
{
    if (c->call == NULL) {
        end(c, OAK_ECANCELED); /* nothing was begun */
        return false;
    }
    struct oak_replica_status status;
    oak_replica_status(c->api->options.replica, &status);
    if (status.raft.role == OAK_RAFT_LEADER && status.raft.transfer == 0) {
        return begin(c);
    }
    if (c->api->peer) {
        end(c, OAK_ENOTLEADER); /* who asked looks for the leader again */
    } else if (status.raft.leader == 0 || status.raft.role == OAK_RAFT_LEADER) {
        api__change_again(c, CHANGE_SEEK);
    } else {
        api__change_ask(c, status.raft.leader);
    }
    return false;
}

static bool learner_now(const struct api_change *c)
{
    const struct oak_kv_member *known =
        oak_kv_member(oak_replica_kv(c->api->options.replica), c->id);
    return c->kind == API_CHANGE_ADD ? c->learner : known != NULL && known->learner;
}

static void step(struct api_change *c)
{
    if (c->stage == CHANGE_SEEK && !seek(c)) {
        return;
    }
    switch (c->stage) {
    case CHANGE_SAY:
        say(c, OAK_KV_MEMBER_URLS, true, learner_now(c));
        return;
    case CHANGE_CONFIG:
        configure(c);
        return;
    case CHANGE_SETTLE:
        say(c, OAK_KV_MEMBER_URLS, c->kind == API_CHANGE_PROMOTE, false);
        return;
    case CHANGE_SEEK:
    case CHANGE_ASKED:
    case CHANGE_UNDO:
        break;
    }
    OAK_UNREACHABLE("a stage that waits for an answer");
}

/* -- from a call ------------------------------------------------------------------------------- */

static int urls_take(struct api_change *c, char *const *urls, size_t count)
{
    c->urls = oak_arena_alloc(&c->memory, (count + 1) * sizeof(*c->urls));
    if (c->urls == NULL) {
        return OAK_ENOMEM;
    }
    if (count == 0 || count > OAK_MEMBER_URLS_MAX) {
        return OAK_EMEMBERBADURLS;
    }
    for (size_t i = 0; i < count; i++) {
        const char *url = c->api->options.url_read(&c->memory, urls[i]);
        if (url == NULL) {
            return OAK_EMEMBERBADURLS;
        }
        size_t at = i;
        for (; at > 0 && strcmp(c->urls[at - 1], url) > 0; at--) {
            c->urls[at] = c->urls[at - 1];
        }
        c->urls[at] = url;
    }
    c->url_count = count;
    return 0;
}

void api__change_begin(struct api_call *call, enum api_change_kind kind,
                       const struct api_change_of *of)
{
    struct oak_api *home = call->api->home;
    struct api_change *c =
        home->change_count < OAK_MEMBER_CHANGES_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL) {
        api__fail(call, OAK_ETOOMANYREQUESTS);
        return;
    }
    c->api = call->api;
    c->call = call;
    c->kind = kind;
    c->id = of->id;
    c->learner = of->learner;
    c->again.fire = again_fire;
    c->deadline_ns = api__change_now(c) + DEADLINE_NS;
    oak_arena_init(&c->memory, 4 * OAK_KIB, 256 * OAK_KIB);
    oak_list_push(&home->changes, &c->link);
    home->change_count++;
    call->change = c;
    bool takes_urls = kind == API_CHANGE_ADD || kind == API_CHANGE_UPDATE;
    int error = takes_urls ? urls_take(c, of->urls, of->url_count) : 0;
    if (error != 0) {
        end(c, error);
    } else {
        step(c);
    }
}

void api__change_leave(struct api_change *c)
{
    c->call = NULL;
}

void api__changes_stop(struct oak_api *home)
{
    struct oak_list *at = home->changes.next;
    while (at != &home->changes) {
        struct api_change *c = OAK_LIST_ENTRY(at, struct api_change, link);
        at = at->next;
        if (c->asked == NULL) {
            oak_replica_forget(c->api->options.replica, &c->request);
            end(c, OAK_ESTOPPED);
        } else if (c->call == NULL) {
            oak_stub_cancel(c->asked); /* which ends it */
        }
        /* Else the leader's answer is waited for as long as the client does. */
    }
}
