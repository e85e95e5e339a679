/* SPDX-License-Identifier: Apache-2.0 */
/* answers_fuzz.c: a server answers as it likes: whatever it says, each call ends once, what it is
 * told can be read, kept and freed, and nothing is left when the client is.
 *
 * Input: a byte of flags (1: the client has a user), then what the server says, piece by piece: a
 * byte of what to do and to whom, two of size (little endian), and so many bytes. What, by the low
 * bits: 0 a message; 1 end with a status, the first byte its code; 2 nothing; 3 a message, and the
 * next piece too, on a stream. To whom, by the others: the method in the table below whose turn it
 * is. Behind its last piece, a method is silent.
 */
#include <stdlib.h>

#include "client/internal.h"
#include "rpc/test_loop.h"

#define SECOND   ((uint64_t)1000000000)
#define KEPT_MAX 64
#define METHODS  13

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A method, and what it has still to say, among what others have. */
struct served {
    unsigned index;
    bool stream;
    struct oak_bytes rest;
};

struct world {
    struct fake_loop loop;
    struct oak_rpc_server *server;
    struct oak_client *client;
    struct oak_client_watcher *watcher;
    struct oak_client_session *session;
    struct oak_client_turn *turn;
    struct oak_client_observer *observer;
    struct oak_client_watch *watches[2];
    struct oak_client_lease *lease;
    struct served served[METHODS];
    int begun;
    int ended;
    size_t touched; /* a sum of all bytes that were told, so that they are read */
    struct oak_client_answer *answers[KEPT_MAX];
    struct oak_client_changes *changes[KEPT_MAX];
    size_t answer_count;
    size_t change_count;
};

/* -- the server -------------------------------------------------------------------------------- */

/* The next piece of a method. */
static bool piece_take(struct served *s, uint8_t *what, struct oak_bytes *piece)
{
    while (s->rest.size >= 3) {
        const uint8_t *at = s->rest.data;
        size_t size = OAK_MIN((size_t)oak_get_u16(at + 1), s->rest.size - 3);
        s->rest = oak_bytes(at + 3 + size, s->rest.size - 3 - size);
        if ((at[0] >> 2) % METHODS == s->index) {
            *what = at[0] & 3;
            *piece = oak_bytes(at + 3, size);
            return true;
        }
    }
    return false;
}

static void answer(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct served *s = user;
    uint8_t what;
    struct oak_bytes piece;
    (void)bytes;
    while (piece_take(s, &what, &piece) && what != 2) {
        if (what == 1) {
            char text[64] = "";
            memcpy(text, piece.data, OAK_MIN(piece.size, sizeof(text) - 1));
            oak_rpc_call_finish(call, (enum oak_rpc_code)((uint8_t)text[0] % 17),
                                piece.size > 0 ? text + 1 : NULL);
            return;
        }
        if (oak_rpc_call_send(call, piece) != 0) {
            return;
        }
        if (!s->stream) {
            oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
            return;
        }
        if (what != 3) {
            return;
        }
    }
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static void start(void *user, struct oak_rpc_call *call)
{
    static const struct oak_rpc_handler handler = {.message = answer, .closed = closed};
    oak_rpc_call_handle(call, &handler, user);
}

static void accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    int error = oak_rpc_serve(w->server, s, oak_bytes(NULL, 0));
    OAK_ASSERT_EQ(error, 0);
}

static void serve(struct world *w, struct oak_bytes input)
{
    static const struct {
        const char *service;
        const char *name;
        bool stream;
    } methods[METHODS] = {
        {"etcdserverpb.KV", "Range", false},
        {"etcdserverpb.KV", "Put", false},
        {"etcdserverpb.KV", "DeleteRange", false},
        {"etcdserverpb.KV", "Txn", false},
        {"etcdserverpb.KV", "Compact", false},
        {"etcdserverpb.Lease", "LeaseGrant", false},
        {"etcdserverpb.Lease", "LeaseRevoke", false},
        {"etcdserverpb.Lease", "LeaseTimeToLive", false},
        {"etcdserverpb.Lease", "LeaseKeepAlive", true},
        {"etcdserverpb.Watch", "Watch", true},
        {"etcdserverpb.Auth", "Authenticate", false},
        {"etcdserverpb.Auth", "UserList", false},
        {"etcdserverpb.Auth", "RoleGet", false},
    };
    for (unsigned i = 0; i < METHODS; i++) {
        struct served *s = &w->served[i];
        *s = (struct served){.index = i, .stream = methods[i].stream, .rest = input};
        const struct oak_rpc_method method = {.service = methods[i].service,
                                              .name = methods[i].name,
                                              .kind = s->stream ? OAK_RPC_BIDI : OAK_RPC_UNARY,
                                              .start = start,
                                              .user = s};
        int error = oak_rpc_server_add(w->server, &method);
        OAK_ASSERT_EQ(error, 0);
    }
}

/* -- what is told is read ---------------------------------------------------------------------- */

static void touch(struct world *w, struct oak_bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        w->touched += bytes.data[i];
    }
}

static void touch_kv(struct world *w, const struct oak_client_kv *kv)
{
    touch(w, kv->key);
    touch(w, kv->value);
}

static void touch_result(struct world *w, const struct oak_client_result *r)
{
    for (size_t i = 0; i < r->kv_count; i++) {
        touch_kv(w, &r->kvs[i]);
    }
    for (size_t i = 0; i < r->result_count; i++) {
        touch_result(w, &r->results[i]);
    }
}

static void touch_answer(struct world *w, const struct oak_client_answer *a)
{
    OAK_ASSERT(a->message != NULL);
    touch(w, oak_bytes_str(a->message));
    touch_result(w, &a->result);
    touch(w, a->response);
    for (size_t i = 0; i < a->key_count; i++) {
        touch(w, a->keys[i]);
    }
    for (size_t i = 0; i < a->name_count; i++) {
        touch(w, a->names[i]);
    }
    for (size_t i = 0; i < a->permission_count; i++) {
        touch(w, a->permissions[i].key);
        touch(w, a->permissions[i].end);
    }
}

static void touch_changes(struct world *w, const struct oak_client_changes *c)
{
    for (size_t i = 0; i < c->count; i++) {
        touch_kv(w, &c->events[i].kv);
        if (c->events[i].previous != NULL) {
            touch_kv(w, c->events[i].previous);
        }
    }
}

static void done(void *user, const struct oak_client_answer *a)
{
    struct world *w = user;
    w->ended++;
    touch_answer(w, a);
    if (w->answer_count < KEPT_MAX) {
        w->answers[w->answer_count] = oak_client_answer_keep(a);
        OAK_ASSERT(w->answers[w->answer_count] != NULL);
        w->answer_count++;
    }
}

static void watch_changes(void *user, struct oak_client_watch *watch,
                          const struct oak_client_changes *c)
{
    struct world *w = user;
    OAK_ASSERT(watch == w->watches[0] || watch == w->watches[1]);
    touch_changes(w, c);
    if (w->change_count < KEPT_MAX) {
        w->changes[w->change_count] = oak_client_changes_keep(c);
        OAK_ASSERT(w->changes[w->change_count] != NULL);
        w->change_count++;
    }
}

static void watch_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    struct world *w = user;
    OAK_MAYBE(compacted);
    OAK_ASSERT(error != 0);
    touch(w, oak_bytes_str(message));
    w->watches[watch == w->watches[0] ? 0 : 1] = NULL;
}

static void lease_lost(void *user, struct oak_client_lease *lease, int error)
{
    struct world *w = user;
    OAK_ASSERT(lease == w->lease && error != 0);
    w->lease = NULL;
}

static void leads(void *user, struct oak_client_observer *o, const struct oak_client_kv *leader)
{
    OAK_MAYBE(o);
    if (leader != NULL) {
        touch_kv(user, leader);
    }
}

static void observer_ended(void *user, struct oak_client_observer *o, int error)
{
    struct world *w = user;
    OAK_ASSERT(o == w->observer && error != 0);
    w->observer = NULL;
}

static void turn_held(void *user, struct oak_client_turn *turn, int64_t revision)
{
    struct world *w = user;
    OAK_MAYBE(revision);
    w->begun += oak_client_proclaim(turn, oak_bytes_str("v"), 0, done, w, NULL) == 0;
}

static void turn_lost(void *user, struct oak_client_turn *turn, int error)
{
    struct world *w = user;
    OAK_ASSERT(turn == w->turn && error != 0);
    w->turn = NULL;
}

static void session_ready(void *user, struct oak_client_session *session, int64_t lease)
{
    static const struct oak_client_turn_callbacks callbacks = {.held = turn_held,
                                                               .lost = turn_lost};
    struct world *w = user;
    OAK_MAYBE(lease);
    int error = oak_client_turn(session, oak_bytes_str("line"), oak_bytes_str("me"), &callbacks, w,
                                &w->turn);
    OAK_ASSERT_EQ(error, 0);
}

static void session_lost(void *user, struct oak_client_session *session, int error)
{
    struct world *w = user;
    OAK_ASSERT(session == w->session && error != 0);
    oak_client_session_free(session);
    w->session = NULL;
}

/* -- the program ------------------------------------------------------------------------------- */

static void calls_begin(struct world *w)
{
    const struct oak_client_op get = oak_client_get(oak_bytes_str("k"));
    const struct oak_client_op put = oak_client_put(oak_bytes_str("k"), oak_bytes_str("v"));
    const struct oak_client_op del = oak_client_delete(oak_bytes_str("k"));
    const struct oak_client_txn inner = {.success = &get, .success_count = 1};
    const struct oak_client_op ops[] = {get, put, del, oak_client_transact(&inner)};
    const struct oak_client_txn txn = {.success = ops, .success_count = OAK_COUNT_OF(ops)};
    const struct oak_client_op all[] = {get, put, del, oak_client_transact(&txn)};
    for (size_t i = 0; i < OAK_COUNT_OF(all); i++) {
        w->begun += oak_client_do(w->client, &all[i], 0, done, w, NULL) == 0;
    }
    w->begun += oak_client_compact(w->client, 1, false, 0, done, w, NULL) == 0;
    w->begun += oak_client_grant(w->client, 9, 0, 0, done, w, NULL) == 0;
    w->begun += oak_client_time_to_live(w->client, 9, true, 0, done, w, NULL) == 0;
    w->begun += oak_client_leader(w->client, oak_bytes_str("line"), 0, done, w, NULL) == 0;
    const struct oak_client_admin admins[] = {{.verb = OAK_CLIENT_USER_LIST},
                                              {.verb = OAK_CLIENT_ROLE_GET, .role = "r"}};
    for (size_t i = 0; i < OAK_COUNT_OF(admins); i++) {
        w->begun += oak_client_administer(w->client, &admins[i], 0, done, w, NULL) == 0;
    }
    w->begun += oak_client_ask(w->client, "etcdserverpb.KV", "Range", true, oak_bytes(NULL, 0), 0,
                               done, w, NULL) == 0;
}

static void streams_begin(struct world *w)
{
    static const struct oak_client_watch_callbacks watch = {.changes = watch_changes,
                                                            .ended = watch_ended};
    static const struct oak_client_lease_callbacks lease = {.lost = lease_lost};
    static const struct oak_client_observer_callbacks observer = {.leads = leads,
                                                                  .ended = observer_ended};
    static const struct oak_client_session_callbacks session = {.ready = session_ready,
                                                                .lost = session_lost};
    const struct oak_client_watch_options options[2] = {
        {.key = oak_bytes_str("k"), .span = OAK_CLIENT_PREFIX, .revision = 3},
        {.key = oak_bytes_str("k"), .progress = true}};
    int error = oak_client_watcher_new(w->client, &w->watcher);
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(options); i++) {
        error = oak_client_watch(w->watcher, &options[i], &watch, w, &w->watches[i]);
    }
    if (error == 0) {
        error = oak_client_keep(w->client, 5, 9, &lease, w, &w->lease);
    }
    if (error == 0) {
        error = oak_client_observe(w->watcher, oak_bytes_str("line"), &observer, w, &w->observer);
    }
    if (error == 0) {
        error = oak_client_session_new(w->client, 9, &session, w, &w->session);
    }
    OAK_ASSERT_EQ(error, 0); /* also behind all that was said until now */
}

static void end(struct world *w)
{
    oak_client_session_free(w->session);
    if (w->observer != NULL) {
        oak_client_observer_end(w->observer);
    }
    oak_client_watcher_free(w->watcher);
    oak_client_free(w->client);
    OAK_ASSERT_EQ(w->begun, w->ended);
    fake_run(&w->loop);
    oak_rpc_server_free(w->server);
    fake_loop_fini(&w->loop);
    while (w->answer_count > 0) {
        touch_answer(w, w->answers[--w->answer_count]);
        oak_client_answer_free(w->answers[w->answer_count]);
    }
    while (w->change_count > 0) {
        touch_changes(w, w->changes[--w->change_count]);
        oak_client_changes_free(w->changes[w->change_count]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.begun = 0};
    if (size < 1) {
        return 0;
    }
    fake_loop_init(&w.loop);
    w.loop.accepted = accepted;
    w.loop.accepted_arg = &w;
    int error = oak_rpc_server_new(&w.loop.port, NULL, &w.server);
    OAK_ASSERT_EQ(error, 0);
    serve(&w, oak_bytes(data + 1, size - 1));
    const struct oak_client_options options = {.policy = "pick_first",
                                               .user = (data[0] & 1) != 0 ? "u" : NULL};
    error = oak_client_new(&w.loop.port, "fake:1", &options, &w.client, NULL);
    OAK_ASSERT_EQ(error, 0);
    calls_begin(&w);
    fake_run(&w.loop);
    streams_begin(&w);
    for (int i = 0; i < 12; i++) { /* leases end, pauses are over, calls are late */
        fake_run(&w.loop);
        fake_advance(&w.loop, SECOND);
    }
    end(&w);
    return 0;
}
