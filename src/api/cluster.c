/* SPDX-License-Identifier: Apache-2.0 */
/* cluster.c: etcdserverpb.Cluster: who is in it.
 *
 * Ids and peer URLs are the configuration's; a member's name and client URLs are what it published
 * through the log: empty until it has (etcd's "unstarted").
 */
#include "api/internal.h"

static Etcdserverpb__Member *member_new(struct api_call *call, const struct oak_api_member *from)
{
    Etcdserverpb__Member *member = oak_arena_alloc(api__arena(call), sizeof(*member));
    if (member == NULL) {
        return NULL;
    }
    etcdserverpb__member__init(member);
    member->id = from->id;
    member->n_peerurls = from->peer_url_count;
    member->peerurls = (char **)(uintptr_t)from->peer_urls;
    const struct oak_kv_member *published;
    size_t count = oak_kv_members(oak_replica_kv(call->api->options.replica), &published);
    for (size_t i = 0; i < count; i++) {
        if (published[i].id == from->id) {
            member->name = (char *)(uintptr_t)published[i].name;
            member->n_clienturls = published[i].client_url_count;
            member->clienturls = (char **)(uintptr_t)published[i].client_urls;
        }
    }
    return member;
}

static void list_ready(struct oak_replica_request *request, int error,
                       const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(request);
    (void)result;
    if (error != 0) {
        api__fail(call, error);
        return;
    }
    const struct oak_api_options *o = &call->api->options;
    Etcdserverpb__MemberListResponse response = ETCDSERVERPB__MEMBER_LIST_RESPONSE__INIT;
    Etcdserverpb__Member *members[OAK_PEERS_MAX];
    OAK_ASSERT_LE(o->member_count, OAK_PEERS_MAX);
    for (size_t i = 0; i < o->member_count; i++) {
        members[i] = member_new(call, &o->members[i]);
        if (members[i] == NULL) {
            api__fail(call, OAK_ENOMEM);
            return;
        }
    }
    response.header = api__header_new(call);
    if (response.header == NULL) {
        api__fail(call, OAK_ENOMEM);
        return;
    }
    response.header->revision = 0; /* etcd leaves it out of the cluster service's headers */
    response.n_members = o->member_count;
    response.members = members;
    api__answer(call, &response.base);
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

const struct etcdserverpb__cluster_handlers api__cluster = {.member_list = member_list};
