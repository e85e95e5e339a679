/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: calls that block until they are answered.
 *
 * Happy path   1 what is asked lies on the caller's stack, borrowed, as the caller waits
 *              2 the loop asks  3 the answer is kept, and the caller goes on with it
 * Can fail     what client.h says; OAK_ENOMEM for the keeping of an answer.
 * Invariants   each ends by its deadline, which the client sees to, or with the loop.
 * Thread       `begin` and `answered` are the loop's; the rest is the caller's.
 */
#include "sync/internal.h"

/* What is asked, of those that take no more than this. */
struct call {
    struct sync_call call;
    const struct oak_client_op *op;
    const struct oak_client_admin *admin;
    const char *service;
    const char *method;
    struct oak_bytes bytes; /* a request, or a name */
    int64_t number;         /* a revision, a time in seconds */
    int64_t id;
    bool flag;
};

void sync__answered(void *user, const struct oak_client_answer *answer)
{
    struct sync_call *call = user;
    int error = call->job.sync->leaving ? OAK_ECLOSED : answer->error;
    if (call->out != NULL && error != OAK_ECLOSED) {
        *call->out = oak_client_answer_keep(answer);
        error = error == 0 && *call->out == NULL ? OAK_ENOMEM : error;
    }
    sync__finish(&call->job, error);
}

static void call_run(struct sync_job *job)
{
    struct sync_call *call = OAK_CONTAINER_OF(job, struct sync_call, job);
    int error = call->begin(call, job->sync->client);
    if (error != 0) {
        sync__finish(job, error);
    }
}

int sync__call(struct oak_sync *sync, struct sync_call *call)
{
    call->job.run = call_run;
    call->timeout_ns = sync__call_timeout(sync, call->timeout_ns);
    if (call->out != NULL) {
        *call->out = NULL;
    }
    return sync__run(sync, &call->job);
}

/* -- each of them ------------------------------------------------------------------------------ */

static int begin_do(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_do(client, c->op, call->timeout_ns, sync__answered, call, NULL);
}

int oak_sync_do(struct oak_sync *sync, const struct oak_client_op *op, uint64_t timeout_ns,
                struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_do, .timeout_ns = timeout_ns, .out = out},
                        .op = op};
    return sync__call(sync, &call.call);
}

static int begin_compact(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_compact(client, c->number, c->flag, call->timeout_ns, sync__answered, call,
                              NULL);
}

int oak_sync_compact(struct oak_sync *sync, int64_t revision, bool physical, uint64_t timeout_ns,
                     struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_compact, .timeout_ns = timeout_ns, .out = out},
                        .number = revision,
                        .flag = physical};
    return sync__call(sync, &call.call);
}

static int begin_administer(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_administer(client, c->admin, call->timeout_ns, sync__answered, call, NULL);
}

int oak_sync_administer(struct oak_sync *sync, const struct oak_client_admin *admin,
                        uint64_t timeout_ns, struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_administer, .timeout_ns = timeout_ns, .out = out},
                        .admin = admin};
    return sync__call(sync, &call.call);
}

static int begin_ask(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_ask(client, c->service, c->method, c->flag, c->bytes, call->timeout_ns,
                          sync__answered, call, NULL);
}

int oak_sync_ask(struct oak_sync *sync, const char *service, const char *method, bool read,
                 struct oak_bytes request, uint64_t timeout_ns, struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_ask, .timeout_ns = timeout_ns, .out = out},
                        .service = service,
                        .method = method,
                        .flag = read,
                        .bytes = request};
    return sync__call(sync, &call.call);
}

static int begin_grant(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_grant(client, c->number, c->id, call->timeout_ns, sync__answered, call, NULL);
}

int oak_sync_grant(struct oak_sync *sync, int64_t ttl_s, int64_t id, uint64_t timeout_ns,
                   struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_grant, .timeout_ns = timeout_ns, .out = out},
                        .number = ttl_s,
                        .id = id};
    return sync__call(sync, &call.call);
}

static int begin_revoke(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_revoke(client, c->id, call->timeout_ns, sync__answered, call, NULL);
}

int oak_sync_revoke(struct oak_sync *sync, int64_t id, uint64_t timeout_ns,
                    struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_revoke, .timeout_ns = timeout_ns, .out = out},
                        .id = id};
    return sync__call(sync, &call.call);
}

static int begin_left(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_time_to_live(client, c->id, c->flag, call->timeout_ns, sync__answered, call,
                                   NULL);
}

int oak_sync_time_to_live(struct oak_sync *sync, int64_t id, bool keys, uint64_t timeout_ns,
                          struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_left, .timeout_ns = timeout_ns, .out = out},
                        .id = id,
                        .flag = keys};
    return sync__call(sync, &call.call);
}

static int begin_leader(struct sync_call *call, struct oak_client *client)
{
    const struct call *c = OAK_CONTAINER_OF(call, struct call, call);
    return oak_client_leader(client, c->bytes, call->timeout_ns, sync__answered, call, NULL);
}

int oak_sync_leader(struct oak_sync *sync, struct oak_bytes name, uint64_t timeout_ns,
                    struct oak_client_answer **out)
{
    struct call call = {.call = {.begin = begin_leader, .timeout_ns = timeout_ns, .out = out},
                        .bytes = name};
    return sync__call(sync, &call.call);
}
