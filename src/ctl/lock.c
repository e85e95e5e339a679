/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c: lock and elect: a turn, held for as long as a command runs or until a signal comes.
 *
 * Happy path   1 a session, a turn in it, the wait for it 2 its key is shown, or a command runs
 *              that finds it in its environment 3 the command's end, or a signal: the lease is
 *              revoked, and the key goes with it
 * Can fail     it can't be had: told. It is lost while it is held: told, and the command is asked
 *              to end (SIGTERM), and made to, for somebody else may hold it now.
 * Invariants   signals go to the command; the lock is held until it has ended.
 */
#include "ctl/internal.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define LOCK_TTL_S  10
#define ELECT_TTL_S 60
/* For a command to end by itself when the lock is lost. */
#define GRACE_NS UINT64_C(5000000000)

struct holding {
    struct ctl *c;
    struct oak_client_session *session;
    struct oak_client_turn *turn;
    int64_t revision; /* the fencing token */
    bool ready;
    bool held;
    bool lost;
    bool gone; /* and its session */
    int error; /* that it was lost for */
    bool stop; /* a signal came */
    const char *const *argv;
    struct oak_os_child *child; /* NULL: none runs */
    int code;                   /* of the command */
    struct oak_timer grace;
    bool revoked;
};

static void wake(struct holding *h)
{
    oak_os_loop_stop(h->c->os);
}

static void turns(const struct holding *h)
{
    oak_os_loop_run(h->c->os);
}

/* -- what comes -------------------------------------------------------------------------------- */

static void grace_fire(struct oak_timer *timer)
{
    struct holding *h = OAK_CONTAINER_OF(timer, struct holding, grace);
    if (h->child != NULL) {
        int error = oak_os_child_kill(h->child, SIGKILL);
        (void)error;
    }
}

static void lose(struct holding *h, int error)
{
    if (h->lost) {
        return;
    }
    h->lost = true;
    h->error = error;
    h->turn = NULL;
    if (h->child != NULL) {
        const struct oak_loop *loop = oak_os_loop_port(h->c->os);
        ctl__error(0, "the lock is lost (%s): another may hold it now; the command is stopped",
                   oak_error_text(error));
        if (oak_os_child_kill(h->child, SIGTERM) == 0) {
            loop->timers.set(loop->timers.user, &h->grace,
                             loop->clock.mono_ns(loop->clock.user) + GRACE_NS);
        }
    }
    wake(h);
}

static void session_ready(void *user, struct oak_client_session *session, int64_t lease)
{
    struct holding *h = user;
    (void)session;
    (void)lease;
    h->ready = true;
    wake(h);
}

static void session_lost(void *user, struct oak_client_session *session, int error)
{
    struct holding *h = user;
    (void)session;
    h->gone = true;
    lose(h, error);
}

static void turn_held(void *user, struct oak_client_turn *turn, int64_t revision)
{
    struct holding *h = user;
    (void)turn;
    h->held = true;
    h->revision = revision;
    wake(h);
}

static void turn_lost(void *user, struct oak_client_turn *turn, int error)
{
    (void)turn;
    lose(user, error);
}

/* A terminal has told the command too. */
static void signalled(void *user, int number)
{
    struct holding *h = user;
    bool told = number == SIGINT && isatty(STDIN_FILENO) == 1;
    h->stop = true;
    if (h->child != NULL && !told) {
        int error = oak_os_child_kill(h->child, number);
        (void)error; /* it has ended: that is told next */
    }
    wake(h);
}

static void command_ended(void *user, int64_t code, int number)
{
    struct holding *h = user;
    h->child = NULL;
    h->code = number != 0 ? 128 + number : (int)code;
    (void)ctl__run_well(h->argv, code, number);
    wake(h);
}

/* -- to have it, and to give it back ----------------------------------------------------------- */

static const struct oak_client_session_callbacks session_callbacks = {.ready = session_ready,
                                                                      .lost = session_lost};
static const struct oak_client_turn_callbacks turn_callbacks = {.held = turn_held,
                                                                .lost = turn_lost};

static int hold_fail(const struct holding *h, int error)
{
    if (h->stop) {
        return ctl__error(CTL__FAILED, "interrupted before its turn came");
    }
    struct ctl__reply reply = {.error = error};
    return ctl__reply_error(&reply);
}

/* Wait for the turn. False: told. */
static bool hold(struct holding *h, const char *name, const char *value, int64_t ttl_s, int *code)
{
    struct oak_client *client = ctl__client(h->c, code);
    if (client == NULL) {
        return false;
    }
    if (name[0] == '\0' || name[strlen(name) - 1] == '/') {
        *code = ctl__error(CTL__BAD_ARGS, "a name is not empty, and has no slash at its end");
        return false;
    }
    int error = oak_os_loop_on_signal(h->c->os, signalled, h);
    error = error != 0 ? error
                       : oak_client_session_new(client, ttl_s, &session_callbacks, h, &h->session);
    while (error == 0 && !h->ready && !h->lost && !h->stop) {
        turns(h);
    }
    if (error == 0 && h->ready && !h->lost && !h->stop) {
        error = oak_client_turn(h->session, oak_bytes_str(name), oak_bytes_str(value),
                                &turn_callbacks, h, &h->turn);
    }
    while (error == 0 && !h->held && !h->lost && !h->stop) {
        turns(h);
    }
    error = error != 0 ? error : h->error;
    if (error == 0 && h->held && !h->lost) {
        return true;
    }
    *code = hold_fail(h, error);
    return false;
}

static void revoked(void *user, const struct oak_client_answer *answer)
{
    struct holding *h = user;
    (void)answer; /* if it could not be done, the lease ends by itself */
    h->revoked = true;
    wake(h);
}

/* What it rests on goes. */
static void release(struct holding *h)
{
    if (h->c->os != NULL) {
        const struct oak_loop *loop = oak_os_loop_port(h->c->os);
        loop->timers.stop(loop->timers.user, &h->grace);
    }
    if (h->session == NULL) {
        return;
    }
    if (h->gone || !h->ready) {
        oak_client_session_free(h->session);
        return;
    }
    int error = oak_client_session_end(h->session, h->c->options.command_ns, revoked, h, NULL);
    while (error == 0 && !h->revoked) {
        turns(h);
    }
}

/* Show its key, as `get` does. */
static int key_show(struct holding *h)
{
    static const struct ctl__method range = {"etcdserverpb.KV", "Range",
                                             &etcdserverpb__range_response__descriptor, true};
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct oak_bytes key = oak_arena_dup(&h->c->arena, oak_client_turn_key(h->turn));
    int code = CTL__FAILED;
    request.key = oak_proto_binary(key);
    const Etcdserverpb__RangeResponse *response = ctl__ask(h->c, &range, &request.base, &code);
    if (response == NULL) {
        return code;
    }
    if (response->n_kvs == 0) {
        return ctl__error(CTL__FAILED, "lock lost on init");
    }
    code = ctl__show(h->c, &ctl__get_view, &response->base, NULL);
    fflush(stdout);
    return code;
}

/* Until a signal comes, or it is lost. */
static int keep(struct holding *h, const char *lost)
{
    int code = h->lost ? CTL__OK : key_show(h);
    while (code == CTL__OK && !h->stop && !h->lost) {
        turns(h);
    }
    if (h->lost) {
        ctl__error(0, "%s", lost);
        fprintf(stderr, "  %s; another may hold it now\n", oak_error_text(h->error));
        return CTL__FAILED;
    }
    return code;
}

/* -- lock -------------------------------------------------------------------------------------- */

static int command_run(struct holding *h)
{
    struct oak_bytes key = oak_client_turn_key(h->turn);
    char *words[2] = {NULL, NULL};
    bool good =
        asprintf(&words[0], "ETCD_LOCK_KEY=%.*s", (int)key.size, (const char *)key.data) >= 0;
    good = good && asprintf(&words[1], "ETCD_LOCK_REV=%" PRId64, h->revision) >= 0;
    h->code = CTL__FAILED;
    if (good && ctl__run(h->c, h->argv, (const char *const *)words, OAK_COUNT_OF(words), true,
                         command_ended, h, &h->child)) {
        while (h->child != NULL) {
            turns(h);
        }
    }
    free(words[0]);
    free(words[1]);
    return h->lost ? CTL__FAILED : h->code;
}

/* NAME and the command: words before "--", and those behind it. */
static const char **words_join(struct ctl *c, const struct ctl__words *words)
{
    size_t rest = 0;
    while (words->rest != NULL && words->rest[rest] != NULL) {
        rest++;
    }
    const char **out = oak_arena_zalloc(&c->arena, (words->count + rest + 1) * sizeof(*out));
    for (size_t i = 0; out != NULL && i < words->count + rest; i++) {
        out[i] = i < words->count ? words->at[i] : words->rest[i - words->count];
    }
    return out;
}

int ctl__lock(struct ctl *c, int argc, char *const *argv)
{
    int64_t ttl_s = LOCK_TTL_S;
    const struct oak_args_flag flags[] = {
        {"ttl", '\0', OAK_ARGS_SIGNED, &ttl_s, 0, 0, "SECONDS",
         "how long it is held when we have gone without a word (default 10)"},
    };
    const struct oak_args_command command = {
        .name = "lock",
        .summary = "Hold a lock while a command runs; without one, until a signal comes.",
        .operands = "NAME [COMMAND ARGS]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .rest = true,
        .more = "COMMAND finds ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment: a number that\n"
                "grows from holder to holder. Its exit code is ours. If the lock is lost, it is\n"
                "told to end (SIGTERM), and made to after five seconds.\n\n"
                "Examples:\n"
                "  oakum lock backup -- /usr/local/bin/backup --full\n"
                "  oakum lock job sh -- -c 'echo revision $ETCD_LOCK_REV'\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    const char **all = words_join(c, &words);
    if (all == NULL || all[0] == NULL) {
        return ctl__error(CTL__BAD_ARGS, "lock takes a lock name argument and an optional command "
                                         "to execute");
    }
    struct holding h = {.c = c, .argv = all + 1, .grace.fire = grace_fire};
    if (hold(&h, all[0], "", ttl_s, &code)) {
        code = h.argv[0] != NULL ? command_run(&h) : keep(&h, "session expired");
    }
    release(&h);
    return code;
}

/* -- elect ------------------------------------------------------------------------------------- */

struct observing {
    struct ctl *c;
    struct oak_client_watcher *watcher;
    struct oak_client_header header; /* as long as the watcher has heard nothing */
    int code;
    bool done;
    bool ended; /* by itself */
};

static void leads(void *user, struct oak_client_observer *observer,
                  const struct oak_client_kv *leader)
{
    struct observing *o = user;
    struct oak_client_header known = oak_client_watcher_header(o->watcher);
    const struct oak_client_header *h = known.cluster_id != 0 ? &known : &o->header;
    (void)observer;
    if (leader == NULL) {
        return;
    }
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    Etcdserverpb__RangeResponse response = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    Mvccpb__KeyValue *kvs[] = {&kv};
    header.cluster_id = h->cluster_id;
    header.member_id = h->member_id;
    header.revision = h->revision;
    header.raft_term = h->raft_term;
    kv.key = oak_proto_binary(leader->key);
    kv.value = oak_proto_binary(leader->value);
    kv.create_revision = leader->create_revision;
    kv.mod_revision = leader->mod_revision;
    kv.version = leader->version;
    kv.lease = leader->lease;
    response.header = &header;
    response.kvs = kvs;
    response.n_kvs = 1;
    int code = ctl__show(o->c, &ctl__get_view, &response.base, NULL);
    if (fflush(stdout) != 0 || code != CTL__OK) {
        o->code = code != CTL__OK ? code : CTL__IO;
        o->done = true;
        oak_os_loop_stop(o->c->os);
    }
}

static void observe_ended(void *user, struct oak_client_observer *observer, int error)
{
    struct observing *o = user;
    struct ctl__reply reply = {.error = error};
    (void)observer;
    o->code = ctl__reply_error(&reply);
    o->done = true;
    o->ended = true;
    oak_os_loop_stop(o->c->os);
}

static void observe_signalled(void *user, int number)
{
    struct observing *o = user;
    (void)number;
    o->done = true;
    oak_os_loop_stop(o->c->os);
}

static int observe(struct ctl *c, const char *name)
{
    static const struct oak_client_observer_callbacks callbacks = {.leads = leads,
                                                                   .ended = observe_ended};
    static const struct ctl__method range = {"etcdserverpb.KV", "Range",
                                             &etcdserverpb__range_response__descriptor, true};
    struct observing o = {.c = c};
    struct oak_client_observer *observer;
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str(name));
    request.count_only = true;
    const Etcdserverpb__RangeResponse *now = ctl__ask(c, &range, &request.base, &o.code);
    if (now == NULL) {
        return o.code;
    }
    o.header = (struct oak_client_header){.cluster_id = now->header->cluster_id,
                                          .member_id = now->header->member_id,
                                          .revision = now->header->revision,
                                          .raft_term = now->header->raft_term};
    int error = oak_os_loop_on_signal(c->os, observe_signalled, &o);
    error = error != 0 ? error : oak_client_watcher_new(ctl__client(c, &o.code), &o.watcher);
    error = error != 0
                ? error
                : oak_client_observe(o.watcher, oak_bytes_str(name), &callbacks, &o, &observer);
    if (error != 0) {
        o.code = ctl__error(error == OAK_EINVAL ? CTL__BAD_ARGS : CTL__FAILED, "%s",
                            error == OAK_EINVAL ? "a name is not empty, and has no slash at its end"
                                                : oak_error_text(error));
        oak_client_watcher_free(o.watcher);
        return o.code;
    }
    o.code = CTL__OK;
    while (!o.done) {
        oak_os_loop_run(c->os);
    }
    if (!o.ended) {
        oak_client_observer_end(observer);
    }
    oak_client_watcher_free(o.watcher);
    return o.code;
}

int ctl__elect(struct ctl *c, int argc, char *const *argv)
{
    bool listen = false;
    const struct oak_args_flag flags[] = {
        {"listen", 'l', OAK_ARGS_BOOL, &listen, 0, 0, NULL, "show who leads, as it changes"},
    };
    const struct oak_args_command command = {
        .name = "elect",
        .summary = "Lead an election, from the moment one's turn comes until a signal does.",
        .operands = "NAME [VALUE]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "VALUE is what others see of who leads: its address, for example.\n\n"
                "Examples:\n"
                "  oakum elect scheduler 10.0.0.5:8080\n"
                "  oakum elect -l scheduler\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count != 1 && words.count != 2) {
        return ctl__error(CTL__BAD_ARGS, "elect takes one election name argument and an optional "
                                         "proposal argument");
    }
    if ((words.count == 1) != listen) {
        return ctl__error(CTL__BAD_ARGS, "%s",
                          listen ? "proposal given but -l is set"
                                 : "no proposal argument but -l not set");
    }
    if (listen) {
        return observe(c, words.at[0]);
    }
    struct holding h = {.c = c, .grace.fire = grace_fire};
    if (hold(&h, words.at[0], words.at[1], ELECT_TTL_S, &code)) {
        code = keep(&h, "elect: session expired");
    }
    release(&h);
    return code;
}
