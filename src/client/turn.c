/* SPDX-License-Identifier: Apache-2.0 */
/* turn.c: one of a line: locks and elections.
 *
 * Happy path   1 a transaction makes the key, unless it is there, and reads the oldest of the line
 *              2 it is ours: `held`
 *              3 else the next older one is looked for, and watched until it goes; and again
 *              4 none is older: our key is looked at once more: `held`
 * Can fail     an answer that does not come: made again behind a pause, for the lease is the bound:
 *              who may not have made it is in line all the same. What is refused: `lost`.
 * Invariants   at most one of call, watch and timer is at work. The key goes with the turn: what
 *              can't be deleted goes with the lease. A turn that ends while its key is being made
 *              stays until that is answered, without callbacks.
 * Thread       the loop's.
 *
 * Source: package concurrency of etcd's client, by what it does to keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/session.h"

struct oak_client_turn {
    struct oak_list link;
    struct oak_client_session *session;
    const struct oak_client_turn_callbacks *callbacks;
    void *user;
    struct oak_buf key; /* "name/" and the lease in hex */
    size_t prefix_size; /* "name/" */
    struct oak_buf value;
    int64_t revision; /* of the key's creation; 0: not known */
    bool joining;     /* the transaction that makes the key is under way */
    bool held;        /* it has its turn */
    struct oak_client_call *call;
    struct oak_client_watch *watch;
    struct oak_timer timer;
    void (*step)(struct oak_client_turn *turn); /* what is made again */
};

static struct oak_bytes prefix_of(const struct oak_client_turn *turn)
{
    return oak_bytes(turn->key.data, turn->prefix_size);
}

static void nothing(void *user, const struct oak_client_answer *answer)
{
    (void)user;
    (void)answer;
}

/* Nothing of it is at work any more. */
static void turn_rest(struct oak_client_turn *turn)
{
    const struct oak_loop *loop = turn->session->client->loop;
    loop->timers.stop(loop->timers.user, &turn->timer);
    if (turn->call != NULL) {
        turn->call->done = nothing;
        oak_client_cancel(turn->call);
        turn->call = NULL;
    }
    if (turn->watch != NULL) {
        oak_client_watch_end(turn->watch);
        turn->watch = NULL;
    }
}

static void turn_free(struct oak_client_turn *turn)
{
    turn_rest(turn);
    oak_list_remove(&turn->link);
    oak_buf_fini(&turn->key);
    oak_buf_fini(&turn->value);
    free(turn);
}

static void turn_lost(struct oak_client_turn *turn, int error)
{
    turn_rest(turn);
    if (turn->callbacks != NULL) {
        turn->callbacks->lost(turn->user, turn, error);
    }
    turn_free(turn);
}

void client__turn_lost(struct oak_client_session *session, int error)
{
    turn_lost(OAK_LIST_ENTRY(session->turns.next, struct oak_client_turn, link), error);
}

void client__turns_drop(struct oak_client_session *session)
{
    while (!oak_list_empty(&session->turns)) {
        turn_free(OAK_LIST_ENTRY(session->turns.next, struct oak_client_turn, link));
    }
}

/* -- steps ------------------------------------------------------------------------------------- */

static void timer_fire(struct oak_timer *timer)
{
    struct oak_client_turn *turn = OAK_CONTAINER_OF(timer, struct oak_client_turn, timer);
    turn->step(turn);
}

bool client__passing(int error)
{
    switch (error) {
    case OAK_EUNREACHABLE:
    case OAK_EDEADLINE:
    case OAK_ENOLEADER:
    case OAK_ELEADERCHANGED:
    case OAK_ESTOPPED:
    case OAK_ETIMEOUT:
    case OAK_ETIMEOUTLEADERFAIL:
    case OAK_ETIMEOUTCONNLOST:
    case OAK_ETOOMANYREQUESTS:
    case OAK_EAGAIN:
    case OAK_ENOMEM:
    case OAK_ELIMIT:
        return true;
    default:
        return false;
    }
}

static void turn_again(struct oak_client_turn *turn, int error)
{
    const struct oak_loop *loop = turn->session->client->loop;
    if (!client__passing(error)) {
        turn_lost(turn, error);
        return;
    }
    turn->timer.fire = timer_fire;
    loop->timers.set(loop->timers.user, &turn->timer,
                     client__now(turn->session->client) + CLIENT_AGAIN_NS);
}

static void turn_do(struct oak_client_turn *turn, const struct oak_client_op *op,
                    oak_client_done *done)
{
    int error = oak_client_do(turn->session->client, op, 0, done, turn, &turn->call);
    if (error != 0) {
        turn->joining = false;
        turn_again(turn, error);
    }
}

static void look(struct oak_client_turn *turn);
static void confirm(struct oak_client_turn *turn);

static void step_to(struct oak_client_turn *turn, void (*step)(struct oak_client_turn *turn))
{
    turn->step = step;
    step(turn);
}

static void turn_held(struct oak_client_turn *turn)
{
    turn->held = true;
    turn->callbacks->held(turn->user, turn, turn->revision);
}

/* -- 4: is our key still there? ---------------------------------------------------------------- */

static void confirmed(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_turn *turn = user;
    turn->call = NULL;
    if (answer->error != 0) {
        turn_again(turn, answer->error);
    } else if (answer->result.kv_count == 0 ||
               answer->result.kvs[0].create_revision != turn->revision) {
        turn_lost(turn, OAK_EKEYNOTFOUND);
    } else {
        turn_held(turn);
    }
}

static void confirm(struct oak_client_turn *turn)
{
    const struct oak_client_op get = oak_client_get(oak_buf_bytes(&turn->key));
    turn_do(turn, &get, confirmed);
}

/* -- 3: who is before us ----------------------------------------------------------------------- */

static void before_changed(void *user, struct oak_client_watch *watch,
                           const struct oak_client_changes *changes)
{
    struct oak_client_turn *turn = user;
    for (size_t i = 0; i < changes->count; i++) {
        if (changes->events[i].deleted) {
            oak_client_watch_end(watch);
            turn->watch = NULL;
            step_to(turn, look);
            return;
        }
    }
}

/* Compacted: what happened to it can be seen by looking. */
static void before_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                         int64_t compacted)
{
    struct oak_client_turn *turn = user;
    (void)watch;
    (void)message;
    (void)compacted;
    turn->watch = NULL;
    turn->step = look;
    turn_again(turn, error == OAK_ECOMPACTED ? OAK_EAGAIN : error);
}

static const struct oak_client_watch_callbacks before_callbacks = {.changes = before_changed,
                                                                   .ended = before_ended};

static void looked(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_turn *turn = user;
    turn->call = NULL;
    if (answer->error != 0) {
        turn_again(turn, answer->error);
        return;
    }
    if (answer->result.kv_count == 0) {
        step_to(turn, confirm);
        return;
    }
    const struct oak_client_watch_options options = {
        .key = answer->result.kvs[0].key, .revision = answer->header.revision + 1, .no_puts = true};
    int error =
        oak_client_watch(turn->session->watcher, &options, &before_callbacks, turn, &turn->watch);
    if (error != 0) {
        turn_again(turn, error);
    }
}

static void look(struct oak_client_turn *turn)
{
    struct oak_client_op get = oak_client_get(prefix_of(turn));
    get.span = OAK_CLIENT_PREFIX;
    get.max_create_revision = turn->revision - 1;
    get.order = OAK_CLIENT_DESCEND;
    get.by = OAK_CLIENT_CREATE;
    get.limit = 1;
    get.keys_only = true;
    turn_do(turn, &get, looked);
}

/* -- 1: into the line -------------------------------------------------------------------------- */

/* What can't be deleted goes with the lease. */
static void leave(struct oak_client_turn *turn)
{
    const struct oak_client_op del = oak_client_delete(oak_buf_bytes(&turn->key));
    int error = oak_client_do(turn->session->client, &del, 0, nothing, NULL, NULL);
    (void)error;
    turn_free(turn);
}

static void joined(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_turn *turn = user;
    turn->call = NULL;
    turn->joining = false;
    if (turn->callbacks == NULL) {
        leave(turn);
        return;
    }
    if (answer->error != 0) {
        turn_again(turn, answer->error);
        return;
    }
    const struct oak_client_result *results = answer->result.results;
    if (answer->result.result_count != 2 || results[1].kv_count != 1) {
        turn_lost(turn, OAK_EREMOTE);
        return;
    }
    /* The key was there: ours, from an attempt whose answer did not come. */
    bool found = !answer->result.succeeded && results[0].kv_count == 1;
    turn->revision = found ? results[0].kvs[0].create_revision : answer->header.revision;
    if (results[1].kvs[0].create_revision == turn->revision) {
        turn_held(turn);
    } else {
        step_to(turn, look);
    }
}

static void join(struct oak_client_turn *turn)
{
    struct oak_bytes key = oak_buf_bytes(&turn->key);
    struct oak_client_op oldest = oak_client_get(prefix_of(turn));
    oldest.span = OAK_CLIENT_PREFIX;
    oldest.order = OAK_CLIENT_ASCEND;
    oldest.by = OAK_CLIENT_CREATE;
    oldest.limit = 1;
    struct oak_client_op put = oak_client_put(key, oak_buf_bytes(&turn->value));
    put.lease = turn->session->id;
    const struct oak_client_op make[] = {put, oldest};
    const struct oak_client_op there[] = {oak_client_get(key), oldest};
    const struct oak_client_compare none = {.key = key, .target = OAK_CLIENT_CREATE};
    const struct oak_client_txn txn = {.compares = &none,
                                       .compare_count = 1,
                                       .success = make,
                                       .success_count = 2,
                                       .failure = there,
                                       .failure_count = 2};
    const struct oak_client_op op = oak_client_transact(&txn);
    turn->joining = true;
    turn_do(turn, &op, joined);
}

/* -- while it is held -------------------------------------------------------------------------- */

static int proclaim_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__TxnResponse *r = (const Etcdserverpb__TxnResponse *)message;
    if (!r->succeeded) {
        return OAK_ENOTELECTED;
    }
    if (r->n_responses != 1 ||
        r->responses[0]->response_case != ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT) {
        return OAK_EREMOTE;
    }
    return client__put_result(&call->arena, r->responses[0]->response_put, &call->answer.result);
}

int oak_client_proclaim(struct oak_client_turn *turn, struct oak_bytes value, uint64_t timeout_ns,
                        oak_client_done *done, void *user, struct oak_client_call **out)
{
    const struct oak_bytes key = oak_buf_bytes(&turn->key);
    const struct oak_client_compare ours = {
        .key = key, .target = OAK_CLIENT_CREATE, .number = turn->revision};
    struct oak_client_op put = oak_client_put(key, value);
    put.lease = turn->session->id;
    const struct oak_client_txn txn = {
        .compares = &ours, .compare_count = 1, .success = &put, .success_count = 1};
    const struct oak_client_op op = oak_client_transact(&txn);
    return turn->held
               ? client__do(turn->session->client, &op, proclaim_fill, timeout_ns, done, user, out)
               : OAK_ENOTELECTED;
}

/* -- the door ---------------------------------------------------------------------------------- */

bool client__line_name(struct oak_bytes name)
{
    return name.size > 0 && name.data[name.size - 1] != '/';
}

int oak_client_turn(struct oak_client_session *session, struct oak_bytes name,
                    struct oak_bytes value, const struct oak_client_turn_callbacks *callbacks,
                    void *user, struct oak_client_turn **out)
{
    if (!client__line_name(name)) {
        return OAK_EINVAL;
    }
    if (session->lease == NULL) {
        return OAK_ECLOSED;
    }
    struct oak_client_turn *turn = calloc(1, sizeof(*turn));
    if (turn == NULL) {
        return OAK_ENOMEM;
    }
    turn->session = session;
    turn->callbacks = callbacks;
    turn->user = user;
    turn->prefix_size = name.size + 1;
    oak_list_push(&session->turns, &turn->link);
    int error = oak_buf_append(&turn->key, name.data, name.size);
    if (error == 0) {
        error = oak_buf_printf(&turn->key, "/%" PRIx64, (uint64_t)session->id);
    }
    if (error == 0) {
        error = oak_buf_append(&turn->value, value.data, value.size);
    }
    if (error != 0) {
        turn_free(turn);
        return error;
    }
    *out = turn;
    turn->step = join;
    turn->timer.fire = timer_fire; /* from the loop: what can't begin is told by `lost` */
    const struct oak_loop *loop = session->client->loop;
    loop->timers.set(loop->timers.user, &turn->timer, client__now(session->client));
    return 0;
}

void oak_client_turn_end(struct oak_client_turn *turn)
{
    if (turn->joining) {
        turn->callbacks = NULL; /* or the key would be made behind its deletion */
    } else {
        leave(turn);
    }
}

struct oak_bytes oak_client_turn_key(const struct oak_client_turn *turn)
{
    return oak_buf_bytes(&turn->key);
}
