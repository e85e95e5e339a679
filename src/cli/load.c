/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: the load generator.
 *
 * Happy path   1 one request is encoded, once
 *              2 all connections come up
 *              3 every client writes its key into that request and sends it
 *              4 an answer is counted, its client queued
 *              5 once a round, the queued clients send again
 *              6 the end: no more sends, wait for what is under way
 * Can fail     connecting: an error. A request: counted by its status, and its client rests 10
 *              ms, so that a dead server is not met with a storm.
 * Invariants   a client has at most one request under way. `busy` counts those. Why queued an
 *              answer's callback may not start a call on its own connection (rpc.h).
 */
#include "cli/load.h"

#include <stdlib.h>

#define CONNECT_NS (5 * CLI__SECOND_NS)
#define REST_NS    (10 * CLI__MS_NS)

struct run;

struct conn {
    struct oak_rpc_subchannel *line; /* to one endpoint; or, with a policy, */
    struct oak_channel *channel;     /* to all of them */
    struct run *run;
    const char *endpoint;
    bool up;
};

struct client {
    struct oak_list link; /* in run->ready or run->resting, or none */
    struct conn *conn;
    uint64_t sent_ns;
};

struct run {
    const struct cli__load_options *o;
    struct cli__load_result *out;
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct conn *conns;
    struct client *clients;
    struct oak_list ready;
    struct oak_list resting;
    struct oak_after after;
    struct oak_timer timer; /* connecting, then the end */
    struct oak_timer rest;
    struct oak_buf request;
    size_t key_at;
    size_t end_at;
    struct oak_prng prng;
    uint64_t started;
    uint64_t busy;
    uint64_t up;
    uint64_t next_key;
    bool sending; /* new requests may leave */
    bool timed_out;
};

static uint64_t now(const struct run *r)
{
    return r->loop->clock.mono_ns(r->loop->clock.user);
}

void cli__key_write(uint8_t *out, size_t size, uint64_t n)
{
    for (size_t i = size; i > 0; i--) {
        out[i - 1] = (uint8_t)('0' + n % 10);
        n /= 10;
    }
}

int cli__request_encode(const struct cli__load_options *options, struct oak_buf *out,
                        size_t *key_at, size_t *end_at)
{
    size_t key_bytes = options->key_bytes;
    size_t more = options->op == CLI__LOAD_PUT ? options->value_bytes : key_bytes;
    uint8_t *zeros = calloc(1, OAK_MAX(key_bytes, more) + 1);
    if (zeros == NULL) {
        return OAK_ENOMEM;
    }
    ProtobufCBinaryData key = {.len = key_bytes, .data = zeros};
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    put.key = key;
    put.value = (ProtobufCBinaryData){.len = options->value_bytes, .data = zeros};
    range.key = key;
    range.serializable = options->serializable;
    if (options->span > 1) {
        range.range_end = key;
    }
    const ProtobufCMessage *message = options->op == CLI__LOAD_PUT ? &put.base : &range.base;
    memset(zeros, '0', OAK_MAX(key_bytes, more));
    size_t size = protobuf_c_message_get_packed_size(message);
    oak_buf_clear(out);
    int error = oak_buf_reserve(out, size);
    if (error == 0) {
        protobuf_c_message_pack(message, out->data);
        out->size = size;
        /* Tag, length (two bytes from 128 on), key; then the same for the end of a range. */
        size_t head = key_bytes < 128 ? 2 : 3;
        *key_at = head;
        *end_at = options->op == CLI__LOAD_RANGE && options->span > 1 ? 2 * head + key_bytes : 0;
    }
    free(zeros);
    return error;
}

static void message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct client *client = user;
    (void)call;
    client->conn->run->out->answer_bytes += bytes.size;
}

static void note_failure(struct run *r, struct oak_bytes text)
{
    if (r->out->failure[0] == '\0') {
        snprintf(r->out->failure, sizeof(r->out->failure), "%.*s", (int)OAK_MIN(text.size, 255),
                 (const char *)text.data);
    }
}

static void rest(struct run *r, struct client *client)
{
    if (oak_list_empty(&r->resting)) {
        r->loop->timers.set(r->loop->timers.user, &r->rest, now(r) + REST_NS);
    }
    oak_list_push(&r->resting, &client->link);
}

static void closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct client *client = user;
    struct run *r = client->conn->run;
    (void)call;
    r->busy--;
    unsigned code = OAK_MIN((unsigned)status->code, CLI__LOAD_CODES_MAX - 1u);
    r->out->codes[code]++;
    if (status->code == OAK_RPC_OK) {
        cli__histogram_add(&r->out->latency, now(r) - client->sent_ns);
        oak_list_push(&r->ready, &client->link);
    } else {
        note_failure(r, status->message);
        rest(r, client);
    }
}

static const struct oak_rpc_handler handler = {.message = message, .closed = closed};

static void key_next(struct run *r)
{
    const struct cli__load_options *o = r->o;
    uint64_t key = o->in_order ? r->next_key++ % o->keys : oak_prng_below(&r->prng, o->keys);
    cli__key_write(r->request.data + r->key_at, o->key_bytes, key);
    if (r->end_at != 0) {
        cli__key_write(r->request.data + r->end_at, o->key_bytes, key + o->span);
    }
}

static void send_one(struct run *r, struct client *client)
{
    struct oak_rpc_request request = {
        .service = "etcdserverpb.KV",
        .method = r->o->op == CLI__LOAD_PUT ? "Put" : "Range",
        .timeout_ns = r->o->timeout_ns,
        .handler = &handler,
        .user = client,
    };
    struct oak_rpc_call *call = NULL;
    struct conn *conn = client->conn;
    int error = conn->channel != NULL ? oak_channel_call(conn->channel, &request, &call)
                                      : oak_rpc_subchannel_call(conn->line, &request, &call);
    if (error != 0) {
        r->out->unsent++;
        note_failure(r, oak_bytes_str(oak_error_text(error)));
        rest(r, client);
        return;
    }
    r->busy++;
    r->started++;
    client->sent_ns = now(r);
    key_next(r);
    if (oak_rpc_call_send(call, oak_buf_bytes(&r->request)) != 0) {
        oak_rpc_call_cancel(call);
        return;
    }
    oak_rpc_call_half_close(call);
}

/* Once a round: whoever has its answer asks again. */
static void round_end(struct oak_after *after)
{
    struct run *r = OAK_CONTAINER_OF(after, struct run, after);
    if (r->sending && r->o->stop != NULL && *r->o->stop) {
        r->sending = false;
    }
    while (r->sending && !oak_list_empty(&r->ready)) {
        if (r->o->total != 0 && r->started == r->o->total) {
            r->sending = false;
            break;
        }
        send_one(r, OAK_LIST_ENTRY(oak_list_pop(&r->ready), struct client, link));
    }
    if (!r->sending && r->busy == 0) {
        oak_os_loop_stop(r->os);
    }
}

static void rested(struct oak_timer *timer)
{
    struct run *r = OAK_CONTAINER_OF(timer, struct run, rest);
    while (!oak_list_empty(&r->resting)) {
        oak_list_push(&r->ready, oak_list_pop(&r->resting));
    }
}

static void time_up(struct oak_timer *timer)
{
    struct run *r = OAK_CONTAINER_OF(timer, struct run, timer);
    r->timed_out = true;
    r->sending = false;
    oak_os_loop_stop(r->os);
}

static void line_state(void *user, bool connected)
{
    struct conn *conn = user;
    if (connected && !conn->up) {
        conn->up = true;
        conn->run->up++;
        oak_os_loop_stop(conn->run->os);
    }
}

static void channel_state(void *user, enum oak_channel_state state)
{
    line_state(user, state == OAK_CHANNEL_READY);
}

static int channel_open(struct run *r, struct conn *c, struct oak_errbuf *e)
{
    const struct oak_channel_options options = {.policy = r->o->policy,
                                                .backoff_max_ns = CLI__SECOND_NS,
                                                .progress_timeout_ns = OAK_RPC_NEVER_NS,
                                                .attempts_max = 1, /* what fails is counted */
                                                .state = channel_state,
                                                .user = c};
    const struct cli__endpoints *endpoints = r->o->endpoints;
    char target[CLI__ENDPOINTS_MAX * sizeof(endpoints->items[0]) + sizeof("static:")] = "static:";
    size_t used = strlen(target);
    for (size_t i = 0; i < endpoints->count; i++) {
        used += (size_t)snprintf(target + used, sizeof(target) - used, "%s%s", i == 0 ? "" : ",",
                                 endpoints->items[i]);
    }
    int error = oak_channel_new(r->loop, target, &options, &c->channel, e);
    if (error == 0) {
        oak_channel_connect(c->channel);
    }
    return error;
}

static int line_open(struct run *r, struct conn *c, struct oak_errbuf *e)
{
    const struct oak_rpc_subchannel_options options = {
        .backoff_max_ns = CLI__SECOND_NS, .state = line_state, .user = c};
    int error = oak_rpc_subchannel_new(r->loop, c->endpoint, &options, &c->line);
    return error == 0 ? 0 : oak_fail(e, error, "%s: %s", c->endpoint, oak_error_text(error));
}

static int connect_all(struct run *r, struct oak_errbuf *e)
{
    r->timer.fire = time_up;
    r->loop->timers.set(r->loop->timers.user, &r->timer, now(r) + CONNECT_NS);
    for (uint64_t i = 0; i < r->o->conns; i++) {
        struct conn *c = &r->conns[i];
        c->run = r;
        c->endpoint = r->o->endpoints->items[i % r->o->endpoints->count];
        int error = r->o->policy != NULL ? channel_open(r, c, e) : line_open(r, c, e);
        if (error != 0) {
            return error;
        }
    }
    while (r->up < r->o->conns && !r->timed_out && (r->o->stop == NULL || !*r->o->stop)) {
        oak_os_loop_run(r->os);
    }
    r->loop->timers.stop(r->loop->timers.user, &r->timer);
    for (uint64_t i = 0; i < r->o->conns; i++) {
        if (!r->conns[i].up) {
            return oak_fail(e, OAK_EDEADLINE, "%s does not answer: is a server there?",
                            r->conns[i].endpoint);
        }
    }
    return 0;
}

static void drive(struct run *r)
{
    uint64_t started_ns = now(r);
    /* They begin rested, from inside the loop: what is sent outside would wait for its first event.
     */
    for (uint64_t i = 0; i < r->o->clients; i++) {
        r->clients[i].conn = &r->conns[i % r->o->conns];
        oak_list_push(&r->resting, &r->clients[i].link);
    }
    r->loop->timers.set(r->loop->timers.user, &r->rest, started_ns);
    r->timed_out = false;
    if (r->o->duration_ns != 0) {
        r->loop->timers.set(r->loop->timers.user, &r->timer, started_ns + r->o->duration_ns);
    }
    r->sending = true;
    while (r->sending || r->busy > 0) {
        oak_os_loop_run(r->os);
    }
    r->out->took_ns = now(r) - started_ns;
    r->loop->timers.stop(r->loop->timers.user, &r->timer);
    r->loop->timers.stop(r->loop->timers.user, &r->rest);
}

int cli__load_run(struct oak_os_loop *loop, const struct cli__load_options *options,
                  struct cli__load_result *out, struct oak_errbuf *e)
{
    struct run r = {.o = options, .out = out, .os = loop, .loop = oak_os_loop_port(loop)};
    OAK_ASSERT(options->clients > 0 && options->conns > 0 && options->keys > 0);
    OAK_ASSERT(options->total != 0 || options->duration_ns != 0);
    *out = (struct cli__load_result){0};
    oak_list_init(&r.ready);
    oak_list_init(&r.resting);
    oak_prng_init(&r.prng, options->seed);
    r.rest.fire = rested;
    r.after.run = round_end;
    r.conns = calloc(options->conns, sizeof(*r.conns));
    r.clients = calloc(options->clients, sizeof(*r.clients));
    int error = r.conns == NULL || r.clients == NULL ? OAK_ENOMEM : 0;
    if (error == 0) {
        error = cli__request_encode(options, &r.request, &r.key_at, &r.end_at);
    }
    if (error == 0) {
        /* Before the channels' own hooks, so that what it sends leaves in the same round. */
        r.loop->after_add(r.loop->user, &r.after);
        error = connect_all(&r, e);
        if (error == 0) {
            drive(&r);
        }
        r.loop->after_remove(r.loop->user, &r.after);
    } else {
        oak_fail(e, error, "%s", oak_error_text(error));
    }
    for (uint64_t i = 0; r.conns != NULL && i < options->conns; i++) {
        oak_channel_free(r.conns[i].channel);
        if (r.conns[i].line != NULL) {
            oak_rpc_subchannel_free(r.conns[i].line);
        }
    }
    oak_buf_fini(&r.request);
    free(r.conns);
    free(r.clients);
    return error;
}
