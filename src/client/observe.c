/* SPDX-License-Identifier: Apache-2.0 */
/* observe.c: who leads: now, and from now on.
 *
 * Happy path   1 the oldest key of the line is looked for: it is told, if it was not
 *              2 it is watched from there on: what it proclaims is told, until it goes; back to 1
 *              3 there is none: told, and the line is watched until somebody comes; back to 1
 * Can fail     what may come to more later is made again behind a pause; a watch that ends at a
 *              compaction is begun by looking. All else: `ended`.
 * Invariants   at most one of call, watch and timer is at work. Nothing is told twice, for what was
 *              told last is known by its revision.
 * Thread       the loop's.
 *
 * Source: package concurrency of etcd's client, by what it does to keys.
 */
#include <stdlib.h>

#include "client/session.h"

/* Nothing was told yet. */
#define UNTOLD (-1)

struct oak_client_observer {
    struct oak_client_watcher *watcher;
    struct oak_client *client;
    const struct oak_client_observer_callbacks *callbacks; /* NULL: ended while it tells */
    void *user;
    struct oak_buf line; /* "name/" */
    struct oak_client_call *call;
    struct oak_client_watch *watch;
    struct oak_timer timer;
    int64_t told; /* the revision of who was told last; 0: nobody; or UNTOLD */
    bool telling;
};

/* The oldest key of a line: who has its turn. */
static struct oak_client_op oldest_of(struct oak_bytes line)
{
    struct oak_client_op get = oak_client_get(line);
    get.span = OAK_CLIENT_PREFIX;
    get.order = OAK_CLIENT_ASCEND;
    get.by = OAK_CLIENT_CREATE;
    get.limit = 1;
    return get;
}

static int line_make(struct oak_buf *line, struct oak_bytes name)
{
    if (!client__line_name(name)) {
        return OAK_EINVAL;
    }
    int error = oak_buf_append(line, name.data, name.size);
    return error == 0 ? oak_buf_append(line, "/", 1) : error;
}

/* -- now --------------------------------------------------------------------------------------- */

static int leader_fill(struct oak_client_call *call, const ProtobufCMessage *message)
{
    const Etcdserverpb__RangeResponse *r = (const Etcdserverpb__RangeResponse *)message;
    return r->n_kvs == 0 ? OAK_ENOLEADERELECTED
                         : client__range_result(&call->arena, r, &call->answer.result);
}

int oak_client_leader(struct oak_client *client, struct oak_bytes name, uint64_t timeout_ns,
                      oak_client_done *done, void *user, struct oak_client_call **out)
{
    struct oak_buf line = {0};
    int error = line_make(&line, name);
    if (error == 0) {
        const struct oak_client_op get = oldest_of(oak_buf_bytes(&line));
        error = client__do(client, &get, leader_fill, timeout_ns, done, user, out);
    }
    oak_buf_fini(&line);
    return error;
}

/* -- an observer's life ------------------------------------------------------------------------ */

static void nothing(void *user, const struct oak_client_answer *answer)
{
    (void)user;
    (void)answer;
}

static void watch_leave(struct oak_client_observer *o)
{
    if (o->watch != NULL) {
        oak_client_watch_end(o->watch);
        o->watch = NULL;
    }
}

static void observer_free(struct oak_client_observer *o)
{
    const struct oak_loop *loop = o->client->loop;
    loop->timers.stop(loop->timers.user, &o->timer);
    if (o->call != NULL) {
        o->call->done = nothing;
        oak_client_cancel(o->call);
    }
    watch_leave(o);
    oak_buf_fini(&o->line);
    free(o);
}

/* False: whoever was told has ended it. */
static bool tell(struct oak_client_observer *o, const struct oak_client_kv *leader)
{
    int64_t revision = leader != NULL ? leader->mod_revision : 0;
    if (revision == o->told) {
        return true;
    }
    o->told = revision;
    o->telling = true;
    o->callbacks->leads(o->user, o, leader);
    o->telling = false;
    if (o->callbacks == NULL) {
        observer_free(o);
        return false;
    }
    return true;
}

static void again(struct oak_client_observer *o, int error)
{
    const struct oak_loop *loop = o->client->loop;
    if (client__passing(error)) {
        loop->timers.set(loop->timers.user, &o->timer, client__now(o->client) + CLIENT_AGAIN_NS);
        return;
    }
    o->callbacks->ended(o->user, o, error);
    observer_free(o);
}

/* -- from now on ------------------------------------------------------------------------------- */

static void look(struct oak_client_observer *o);

static void changed(void *user, struct oak_client_watch *watch,
                    const struct oak_client_changes *changes)
{
    struct oak_client_observer *o = user;
    bool leads = o->told != 0;
    (void)watch;
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *event = &changes->events[i];
        if (!leads || event->deleted) {
            watch_leave(o);
            look(o);
            return;
        }
        if (!tell(o, &event->kv)) {
            return;
        }
    }
}

/* Compacted: what happened can be seen by looking. */
static void ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                  int64_t compacted)
{
    struct oak_client_observer *o = user;
    (void)watch;
    (void)message;
    (void)compacted;
    o->watch = NULL;
    again(o, error == OAK_ECOMPACTED ? OAK_EAGAIN : error);
}

static const struct oak_client_watch_callbacks watch_callbacks = {.changes = changed,
                                                                  .ended = ended};

static void looked(void *user, const struct oak_client_answer *answer)
{
    struct oak_client_observer *o = user;
    o->call = NULL;
    if (answer->error != 0) {
        again(o, answer->error);
        return;
    }
    const struct oak_client_kv *leader =
        answer->result.kv_count > 0 ? &answer->result.kvs[0] : NULL;
    if (!tell(o, leader)) {
        return;
    }
    struct oak_client_watch_options options = {.revision = answer->header.revision + 1};
    if (leader != NULL) {
        options.key = leader->key;
    } else {
        options.key = oak_buf_bytes(&o->line);
        options.span = OAK_CLIENT_PREFIX;
        options.no_deletes = true;
    }
    int error = oak_client_watch(o->watcher, &options, &watch_callbacks, o, &o->watch);
    if (error != 0) {
        again(o, error);
    }
}

static void look(struct oak_client_observer *o)
{
    const struct oak_client_op get = oldest_of(oak_buf_bytes(&o->line));
    int error = oak_client_do(o->client, &get, 0, looked, o, &o->call);
    if (error != 0) {
        again(o, error);
    }
}

static void timer_fire(struct oak_timer *timer)
{
    look(OAK_CONTAINER_OF(timer, struct oak_client_observer, timer));
}

/* -- the door ---------------------------------------------------------------------------------- */

int oak_client_observe(struct oak_client_watcher *watcher, struct oak_bytes name,
                       const struct oak_client_observer_callbacks *callbacks, void *user,
                       struct oak_client_observer **out)
{
    struct oak_client_observer *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return OAK_ENOMEM;
    }
    *o = (struct oak_client_observer){.watcher = watcher,
                                      .client = client__watcher_client(watcher),
                                      .callbacks = callbacks,
                                      .user = user,
                                      .timer.fire = timer_fire,
                                      .told = UNTOLD};
    int error = line_make(&o->line, name);
    if (error != 0) {
        observer_free(o);
        return error;
    }
    const struct oak_loop *loop = o->client->loop;
    loop->timers.set(loop->timers.user, &o->timer, client__now(o->client));
    *out = o;
    return 0;
}

void oak_client_observer_end(struct oak_client_observer *o)
{
    if (o->telling) {
        o->callbacks = NULL;
    } else {
        observer_free(o);
    }
}
