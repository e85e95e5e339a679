/* SPDX-License-Identifier: Apache-2.0 */
/* join.c: a member that joins a cluster which is there (--initial-cluster-state existing).
 *
 * It was announced there by its peer URLs before. Its flags name all members; the cluster says
 * their ids, its own, and which of them this one is.
 *
 * Happy path   1 ask each member of --initial-cluster in turn, at its peer port, who is in
 *              2 give each row of --initial-cluster the id of the member with the same URLs
 * Can fail     nobody answers; the rows are not who is in: the text says which.
 * Thread       start-up's, on a loop of its own.
 */
#include "server/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define ASK_NS          (2 * 1000000000ull)
#define ARENA_BYTES_MAX (16 * OAK_MIB)

struct question {
    struct oak_os_loop *loop;
    struct secure secure; /* for URLs that say TLS */
    struct oak_arena arena;
    ProtobufCMessage *response;
    bool over;
    char why[160];
};

static void answer(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct question *q = user;
    (void)call;
    if (oak_proto_unpack(&etcdserverpb__member_list_response__descriptor, bytes, &q->arena,
                         &q->response) != 0) {
        q->response = NULL;
        snprintf(q->why, sizeof(q->why), "it answers what is no list of members");
    }
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct question *q = user;
    (void)call;
    if (status->code != OAK_RPC_OK) {
        q->response = NULL;
        snprintf(q->why, sizeof(q->why), "%s: %.*s", oak_rpc_code_name(status->code),
                 (int)OAK_MIN(status->message.size, (size_t)100),
                 (const char *)status->message.data);
    }
    q->over = true;
    oak_os_loop_stop(q->loop);
}

static const struct oak_rpc_handler handler = {.message = answer, .closed = closed};

/* False: no answer, and q->why. */
static bool ask(struct question *q, const char *url)
{
    const struct oak_loop *port = oak_os_loop_port(q->loop);
    const struct oak_rpc_subchannel_options options = {
        .connect_timeout_ns = ASK_NS,
        .net = oak_config_url_is_secure(url) ? secure_net(&q->secure, SECURE_OUT) : NULL,
    };
    struct oak_config_place place;
    const struct oak_rpc_request request = {
        .service = "etcdserverpb.Cluster",
        .method = "MemberList",
        .timeout_ns = ASK_NS,
        .handler = &handler,
        .user = q,
    };
    struct oak_rpc_subchannel *channel = NULL;
    struct oak_rpc_call *call = NULL;
    q->over = false;
    q->response = NULL;
    snprintf(q->why, sizeof(q->why), "it does not answer");
    oak_config_url_place(url, &place);
    int error = oak_rpc_subchannel_new(port, place.text, &options, &channel);
    if (error == 0) {
        error = oak_rpc_subchannel_call(channel, &request, &call);
    }
    if (error == 0) {
        error = oak_rpc_call_send(call, oak_bytes(NULL, 0)); /* a request with nothing in it */
        oak_rpc_call_half_close(call);
        while (!q->over) {
            oak_os_loop_run(q->loop);
        }
    } else {
        snprintf(q->why, sizeof(q->why), "%s", oak_error_text(error));
    }
    oak_rpc_subchannel_free(channel);
    return error == 0 && q->response != NULL;
}

static bool is_at(const struct oak_config_member *row, const Etcdserverpb__Member *member)
{
    size_t found = 0;
    for (size_t i = 0; i < member->n_peerurls; i++) {
        for (size_t k = 0; k < row->peer_urls.count; k++) {
            found += strcmp(member->peerurls[i], row->peer_urls.items[k]) == 0 ? 1 : 0;
        }
    }
    return found == member->n_peerurls && found == row->peer_urls.count;
}

static void sort_by_id(struct oak_config_cluster *cluster)
{
    for (size_t i = 1; i < cluster->member_count; i++) {
        for (size_t k = i; k > 0 && cluster->members[k - 1].id > cluster->members[k].id; k--) {
            struct oak_config_member held = cluster->members[k];
            cluster->members[k] = cluster->members[k - 1];
            cluster->members[k - 1] = held;
        }
    }
}

static int match(const struct server *s, const Etcdserverpb__MemberListResponse *list,
                 struct oak_config_cluster *cluster, struct oak_errbuf *e)
{
    if (list->header == NULL || list->n_members != cluster->member_count) {
        return oak_fail(e, OAK_EINVAL,
                        "--initial-cluster names %zu members, and the cluster has %zu: name all of "
                        "them, this one too (member count is unequal)",
                        cluster->member_count, list->n_members);
    }
    for (size_t i = 0; i < cluster->member_count; i++) {
        struct oak_config_member *row = &cluster->members[i];
        row->id = 0;
        for (size_t k = 0; k < list->n_members; k++) {
            row->id = is_at(row, list->members[k]) ? list->members[k]->id : row->id;
        }
        if (row->id == 0) {
            return oak_fail(e, OAK_EINVAL,
                            "--initial-cluster: no member of the cluster has the peer URLs of "
                            "%.64s (%.200s%s): announce this one by `member add` first, and name "
                            "the others as `member list` does",
                            row->name, row->peer_urls.items[0],
                            row->peer_urls.count > 1 ? ", ..." : "");
        }
        if (strcmp(row->name, s->config.name) == 0) {
            cluster->self_id = row->id;
        }
    }
    cluster->id = list->header->cluster_id;
    sort_by_id(cluster);
    return 0;
}

static int secure_begin(struct server *s, struct question *q,
                        const struct oak_config_cluster *cluster, struct oak_errbuf *e)
{
    bool peers = false;
    for (size_t i = 0; i < cluster->member_count; i++) {
        peers = peers || oak_config_url_is_secure(cluster->members[i].peer_urls.items[0]);
    }
    const struct oak_loop *port = oak_os_loop_port(q->loop);
    q->secure = (struct secure){
        .config = &s->config, .loop = port, .log = s->log, .disk = s->disk, .worker = port->exec};
    return secure_make(&q->secure, peers, e);
}

/* Until one answers. */
static int ask_all(const struct server *s, struct question *q,
                   const struct oak_config_cluster *cluster, struct oak_errbuf *e)
{
    int error = oak_fail(e, OAK_ENOENT,
                         "--initial-cluster-state=existing: --initial-cluster names nobody but "
                         "this member: name those that are there");
    for (size_t i = 0; i < cluster->member_count; i++) {
        const struct oak_config_member *row = &cluster->members[i];
        bool self = strcmp(row->name, s->config.name) == 0;
        for (size_t k = 0; !self && k < row->peer_urls.count; k++) {
            const char *url = row->peer_urls.items[k];
            if (ask(q, url)) {
                return 0;
            }
            oak_log(s->log, OAK_LOG_WARN, "can't ask %s who is in the cluster: %s", url, q->why);
            error = oak_fail(e, OAK_EUNREACHABLE,
                             "could not retrieve cluster information from the given URLs: none of "
                             "--initial-cluster answers; the last one, %.200s: %.100s",
                             url, q->why);
        }
    }
    return error;
}

int server__join(struct server *s, struct oak_config_cluster *cluster, struct oak_errbuf *e)
{
    struct question q = {0};
    int error = oak_os_loop_new(&q.loop);
    if (error != 0) {
        return oak_fail(e, error, "can't make an event loop: %s", oak_error_text(error));
    }
    oak_arena_init(&q.arena, 16 * OAK_KIB, ARENA_BYTES_MAX);
    error = secure_begin(s, &q, cluster, e);
    error = error != 0 ? error : ask_all(s, &q, cluster, e);
    if (error == 0) {
        error = match(s, (const Etcdserverpb__MemberListResponse *)q.response, cluster, e);
    }
    secure_stop(&q.secure);
    secure_unmake(&q.secure);
    oak_os_loop_free(q.loop);
    oak_arena_fini(&q.arena);
    return error;
}
