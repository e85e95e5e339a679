/* SPDX-License-Identifier: Apache-2.0 */
/* each.c: every endpoint alone: what is asked of members, and not of the cluster.
 *
 * Happy path   1 the endpoints that are meant, or those that the members tell 2 a client for each
 *              3 all are asked at the same time, and all are waited for
 * Can fail     a list of members that can't be had: told. What an endpoint fails with is in its
 *              reply.
 */
#include "ctl/internal.h"

#include <stdlib.h>

static const struct ctl__method list_method = {
    "etcdserverpb.Cluster", "MemberList", &etcdserverpb__member_list_response__descriptor, true};

/* Where the members say that they serve clients. */
static bool of_cluster(struct ctl *c, struct ctl__endpoints *out, int *code)
{
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    const Etcdserverpb__MemberListResponse *r = ctl__ask(c, &list_method, &request.base, code);
    if (r == NULL) {
        return false;
    }
    out->count = 0;
    for (size_t i = 0; i < r->n_members; i++) {
        for (size_t k = 0; k < r->members[i]->n_clienturls; k++) {
            const char *url = r->members[i]->clienturls[k];
            if (out->count == CTL__ENDPOINTS_MAX || strlen(url) >= CTL__ENDPOINT_BYTES_MAX) {
                *code = ctl__error(CTL__FAILED,
                                   "the members have more than %d addresses for "
                                   "clients, or one of more than %zu bytes",
                                   CTL__ENDPOINTS_MAX, CTL__ENDPOINT_BYTES_MAX - 1);
                return false;
            }
            memcpy(out->items[out->count++], url, strlen(url) + 1);
        }
    }
    return true;
}

struct ctl__each *ctl__each_new(struct ctl *c, bool cluster, int *code)
{
    struct ctl__each *each = calloc(1, sizeof(*each));
    if (each == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return NULL;
    }
    bool good = cluster ? of_cluster(c, &each->at, code) : ctl__endpoints_read(c, &each->at, code);
    for (size_t i = 0; good && i < each->at.count; i++) {
        each->links[i] = ctl__link_to(c, each->at.items[i], each->at.server_name, code);
        good = each->links[i] != NULL;
    }
    if (!good) {
        ctl__each_free(each);
        return NULL;
    }
    return each;
}

void ctl__each_free(struct ctl__each *each)
{
    for (size_t i = 0; i < CTL__ENDPOINTS_MAX; i++) {
        ctl__unlink(each->links[i]);
    }
    free(each);
}

void ctl__each_ask(struct ctl *c, struct ctl__each *each, const struct ctl__method *method,
                   const ProtobufCMessage *request)
{
    struct ctl__pending pending[CTL__ENDPOINTS_MAX];
    for (size_t i = 0; i < each->at.count; i++) {
        if (!each->left_out[i]) {
            ctl__send(c, ctl__link_client(each->links[i]), method, request, &pending[i],
                      &each->replies[i]);
        }
    }
    for (size_t i = 0; i < each->at.count; i++) {
        if (!each->left_out[i]) {
            ctl__wait(&pending[i]);
        }
    }
}
