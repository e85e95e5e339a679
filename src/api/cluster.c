/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c: etcdserverpb.Cluster: who is in it.
 *
 * Who, and who votes, says the configuration that is applied; names and URLs say the members and
 * their leader through the log. The name is empty before a member has published itself (etcd's
 * "unstarted"). A member that is added as a voter learns first, inside, and is no learner to
 * clients meanwhile.
 */
#include "api/internal.h"

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

size_t api__member_ids(const struct oak_raft_config *config, uint64_t *out)
{
    const uint64_t *lists[] = {config->voters, config->voters_outgoing, config->learners};
    const uint32_t counts[] = {config->voter_count, config->voter_outgoing_count,
                               config->learner_count};
    size_t count = 0;
    for (size_t k = 0; k < OAK_COUNT_OF(lists); k++) {
        for (uint32_t i = 0; i < counts[k]; i++) {
            size_t at = 0;
            while (at < count && out[at] < lists[k][i]) {
                at++;
            }
            if (at == count || out[at] != lists[k][i]) {
                OAK_ASSERT_LT(count, OAK_PEERS_MAX);
                memmove(&out[at + 1], &out[at], (count - at) * sizeof(*out));
                out[at] = lists[k][i];
                count++;
            }
        }
    }
    return count;
}

void api__member_fill(const struct oak_api *api, uint64_t id, Etcdserverpb__Member *member)
{
    struct oak_replica *replica = api->options.replica;
    const struct oak_raft_config *config = oak_replica_config_applied(replica);
    const struct oak_kv_member *known = oak_kv_member(oak_replica_kv(replica), id);
    etcdserverpb__member__init(member);
    member->id = id;
    for (size_t i = 0; i < api->options.member_count; i++) {
        if (api->options.members[i].id == id) {
            member->n_peerurls = api->options.members[i].peer_url_count;
            member->peerurls = (char **)(uintptr_t)api->options.members[i].peer_urls;
        }
    }
    if (known == NULL) {
        return;
    }
    member->name = (char *)(uintptr_t)known->name;
    member->n_clienturls = known->client_url_count;
    member->clienturls = (char **)(uintptr_t)known->client_urls;
    member->islearner = known->learner && ids_have(config->learners, config->learner_count, id);
    if (known->peer_url_count > 0) {
        member->n_peerurls = known->peer_url_count;
        member->peerurls = (char **)(uintptr_t)known->peer_urls;
    }
}

int api__members(const struct oak_api *api, struct oak_arena *arena, Etcdserverpb__Member ***out,
                 size_t *count)
{
    uint64_t ids[OAK_PEERS_MAX];
    *count = api__member_ids(oak_replica_config_applied(api->options.replica), ids);
    *out = oak_arena_alloc(arena, OAK_PEERS_MAX * sizeof(**out));
    Etcdserverpb__Member *rows = oak_arena_alloc(arena, OAK_PEERS_MAX * sizeof(*rows));
    if (*out == NULL || rows == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < *count; i++) {
        api__member_fill(api, ids[i], &rows[i]);
        (*out)[i] = &rows[i];
    }
    return 0;
}

Etcdserverpb__ResponseHeader *api__cluster_header(struct api_call *call)
{
    Etcdserverpb__ResponseHeader *header = api__header_new(call);
    if (header != NULL) {
        header->revision = 0; /* etcd leaves it out of the cluster service's headers */
    }
    return header;
}

static void list_ready(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    (void)result;
    if (error == 0) {
        error = api__members(call->api, api__arena(call), &response.members, &response.n_members);
    }
    response.header = error == 0 ? api__cluster_header(call) : NULL;
    if (error == 0 && response.header == NULL) {
        error = OAK_ENOMEM;
    }
    if (error != 0) {
        api__fail(call, error);
    } else {
        api__answer(call, &response.base);
    }
}

static void member_list(void *user, struct oak_stub_call *stub,
                        const Etcdserverpb__MemberListRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    if (request->linearizable) {
        api__read(call, list_ready);
    } else {
        list_ready(&call->request, 0, NULL);
    }
}

static void member_add(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__MemberAddRequest *request)
{
    const struct api_change_of of = {
        .learner = request->islearner, .urls = request->peerurls, .url_count = request->n_peerurls};
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__change_begin(call, API_CHANGE_ADD, &of);
    }
}

static void member_remove(void *user, struct oak_stub_call *stub,
                          const Etcdserverpb__MemberRemoveRequest *request)
{
    const struct api_change_of of = {.id = request->id};
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__change_begin(call, API_CHANGE_REMOVE, &of);
    }
}

static void member_update(void *user, struct oak_stub_call *stub,
                          const Etcdserverpb__MemberUpdateRequest *request)
{
    const struct api_change_of of = {
        .id = request->id, .urls = request->peerurls, .url_count = request->n_peerurls};
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__change_begin(call, API_CHANGE_UPDATE, &of);
    }
}

static void member_promote(void *user, struct oak_stub_call *stub,
                           const Etcdserverpb__MemberPromoteRequest *request)
{
    const struct api_change_of of = {.id = request->id};
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call != NULL) {
        api__change_begin(call, API_CHANGE_PROMOTE, &of);
    }
}

const struct etcdserverpb__cluster_handlers api__cluster = {
    .member_add = member_add,
    .member_remove = member_remove,
    .member_update = member_update,
    .member_list = member_list,
    .member_promote = member_promote,
};
