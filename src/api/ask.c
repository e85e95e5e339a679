/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c: a change of the group, done by the leader for a client of this member.
 *
 * Happy path   the same call, to the leader's peer port; its answer, under our own header.
 * Can fail     It does not lead any more: nothing has happened, and the leader is looked for again.
 *              The connection is lost: what has happened is not known, and the client is told so.
 * Thread       the loop's.
 */
#include "api/change.h"

/* False: the answer is the client's. */
static bool asked_failed(struct api_change *c, const struct oak_rpc_status *status)
{
    struct oak_bytes text = status->message;
    c->asked = NULL;
    if (status->code == OAK_RPC_OK && c->call != NULL) {
        return false;
    }
    if (status->code == OAK_RPC_FAILED_PRECONDITION &&
        oak_bytes_eq(text, oak_bytes_str(oak_error_text(OAK_ENOTLEADER)))) {
        api__change_again(c, CHANGE_SEEK);
        return true;
    }
    char *copy = c->call != NULL ? oak_arena_zalloc(api__arena(c->call), text.size + 1) : NULL;
    bool ours = text.size > 11 && memcmp(text.data, "etcdserver:", 11) == 0;
    if (copy != NULL && ours) {
        memcpy(copy, text.data, text.size);
        oak_stub_finish(c->call->stub, status->code, copy);
    } else if (c->call != NULL) {
        api__fail(c->call, OAK_ETIMEOUTCONNLOST);
    }
    api__change_free(c);
    return true;
}

/* The leader's answer, under our own header. */
#define ASKED(name, type)                                                                         \
    static void name(void *user, struct oak_stub_call *stub, const struct oak_rpc_status *status, \
                     const type *response)                                                        \
    {                                                                                             \
        struct api_change *c = user;                                                              \
        (void)stub;                                                                               \
        if (asked_failed(c, status)) {                                                            \
            return;                                                                               \
        }                                                                                         \
        type mine = *response;                                                                    \
        mine.header = api__cluster_header(c->call);                                               \
        if (mine.header != NULL) {                                                                \
            api__answer(c->call, &mine.base);                                                     \
        } else {                                                                                  \
            api__fail(c->call, OAK_ENOMEM);                                                       \
        }                                                                                         \
        api__change_free(c);                                                                      \
    }
ASKED(asked_add, Etcdserverpb__MemberAddResponse)
ASKED(asked_remove, Etcdserverpb__MemberRemoveResponse)
ASKED(asked_update, Etcdserverpb__MemberUpdateResponse)
ASKED(asked_promote, Etcdserverpb__MemberPromoteResponse)

static int ask_call(void *channel, const struct oak_rpc_request *request, struct oak_rpc_call **out)
{
    const struct api_change *c = channel;
    const struct oak_api_options *o = &c->api->options;
    return o->peer_call == NULL ? OAK_ECLOSED : o->peer_call(o->user, c->asked_of, request, out);
}

void api__change_ask(struct api_change *c, uint64_t leader)
{
    const struct oak_stub_client client = {.call = ask_call, .channel = c};
    const struct oak_rpc_request how = {.timeout_ns = c->deadline_ns - api__change_now(c),
                                        .fail_fast = true};
    const ProtobufCMessage *m = c->call->message;
    int error = 0;
    c->stage = CHANGE_ASKED;
    c->asked_of = leader;
    switch (c->kind) {
    case API_CHANGE_ADD:
        error = etcdserverpb__cluster__member_add__call(
            client, (const Etcdserverpb__MemberAddRequest *)m, &how, asked_add, c, &c->asked);
        break;
    case API_CHANGE_REMOVE:
        error = etcdserverpb__cluster__member_remove__call(
            client, (const Etcdserverpb__MemberRemoveRequest *)m, &how, asked_remove, c, &c->asked);
        break;
    case API_CHANGE_UPDATE:
        error = etcdserverpb__cluster__member_update__call(
            client, (const Etcdserverpb__MemberUpdateRequest *)m, &how, asked_update, c, &c->asked);
        break;
    case API_CHANGE_PROMOTE:
        error = etcdserverpb__cluster__member_promote__call(
            client, (const Etcdserverpb__MemberPromoteRequest *)m, &how, asked_promote, c,
            &c->asked);
        break;
    }
    if (error != 0) {
        c->asked = NULL;
        api__change_again(c, CHANGE_SEEK);
    }
}
