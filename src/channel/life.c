/* SPDX-License-Identifier: Apache-2.0 */
/* life.c: how a call begins, waits and ends.
 *
 * Happy path   1 channel__call_new copies the request
 *              2 it waits for a stream, or has one
 *              3 its attempt answers: channel__call_commit
 *              4 the attempt ends: channel__call_end tells `closed`
 *              5 its last attempt has ended: the memory goes back to the spare ones
 * Can fail     1, for want of memory. At any time the deadline passes, or nothing moves.
 * Invariants   `closed` comes exactly once, from the loop. A call is in channel->waiting exactly
 *              while it waits for a stream. One timer a call.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "channel/internal.h"

/* -- ending ------------------------------------------------------------------------------------ */

static struct oak_buf buffer_keep(struct oak_buf buffer)
{
    if (buffer.capacity > CHANNEL_SPARE_BUFFER_BYTES_MAX) {
        oak_buf_fini(&buffer);
    }
    oak_buf_clear(&buffer);
    return buffer;
}

void channel__kept_drop(struct channel_call *call)
{
    call->channel->kept_bytes -= call->kept.size;
    call->kept = buffer_keep(call->kept);
    if (oak_list_linked(&call->lazy_link)) {
        oak_list_remove(&call->lazy_link);
    }
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        call->attempts[i].given = 0;
    }
}

static void call_free(struct channel_call *call)
{
    oak_buf_fini(&call->texts);
    oak_buf_fini(&call->pairs);
    oak_buf_fini(&call->kept);
    channel__resize(call, 0);
}

static void to_spare(struct channel_call *call)
{
    struct oak_channel *channel = call->channel;
    OAK_ASSERT(!call->timer.running && !oak_list_linked(&call->wait_link));
    channel__kept_drop(call);
    oak_list_remove(&call->link);
    channel->call_count--;
    if (channel->spare_count >= CHANNEL_SPARE_CALLS_MAX) {
        call_free(call);
        return;
    }
    *call = (struct channel_call){.texts = buffer_keep(call->texts),
                                  .pairs = buffer_keep(call->pairs),
                                  .kept = buffer_keep(call->kept)};
    oak_list_init(&call->link);
    oak_list_push(channel->spare.next, &call->link); /* the last used is the next one */
    channel->spare_count++;
}

void channel__calls_fini(struct oak_channel *channel)
{
    OAK_ASSERT_EQ(channel->call_count, 0);
    struct oak_list *node;
    while ((node = oak_list_pop(&channel->spare)) != NULL) {
        call_free(OAK_LIST_ENTRY(node, struct channel_call, link));
    }
}

void channel__call_drop(struct channel_call *call)
{
    OAK_ASSERT_EQ(call->live, 0);
    oak_rpc_follower_leave(&call->following);
    to_spare(call);
}

void channel__call_release(struct channel_call *call)
{
    if (call->ended && call->live == 0) {
        to_spare(call);
    }
}

void channel__call_end(struct channel_call *call, const struct oak_rpc_status *status,
                       const struct oak_rpc_call *answer)
{
    OAK_ASSERT(!call->ended);
    struct oak_channel *channel = call->channel;
    call->ended = true;
    channel__timer_stop(channel, &call->timer);
    oak_rpc_follower_leave(&call->following);
    call->request.parent = NULL;
    if (oak_list_linked(&call->wait_link)) {
        oak_list_remove(&call->wait_link);
    }
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        channel__attempt_drop(&call->attempts[i]);
    }
    channel__kept_drop(call);
    channel->used_ns = channel__now(channel);
    call->answer = answer;
    call->handler->closed(call->user, oak_rpc_call_of(&call->base), status);
    oak_rpc_followers_tell(&call->followers);
    call->answer = NULL;
    channel__call_release(call);
}

void channel__call_fail(struct channel_call *call, enum oak_rpc_code code, const char *text)
{
    struct oak_rpc_status status = {.code = code,
                                    .message = oak_bytes_str(text),
                                    .reach = call->begun ? OAK_RPC_REACHED : OAK_RPC_UNSENT};
    channel__call_end(call, &status, call->answer);
}

/* -- attempts ---------------------------------------------------------------------------------- */

struct channel_attempt *channel__call_sole(struct channel_call *call)
{
    struct channel_attempt *sole = NULL;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        struct channel_attempt *a = &call->attempts[i];
        if (a->rpc == NULL || a->dropped) {
            continue;
        }
        if (sole != NULL) {
            return NULL;
        }
        sole = a;
    }
    return sole;
}

void channel__call_commit(struct channel_call *call, struct channel_attempt *winner)
{
    call->committed = true;
    call->again_ns = call->live > 0 ? 0 : call->again_ns;
    struct channel_attempt *keep = winner;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        struct channel_attempt *a = &call->attempts[i];
        if (keep == NULL && a->rpc != NULL) {
            keep = a;
        } else if (a != keep) {
            channel__attempt_drop(a);
        }
    }
}

/* -- time -------------------------------------------------------------------------------------- */

static void sooner(uint64_t *next_ns, uint64_t due_ns)
{
    if (due_ns != 0 && (*next_ns == 0 || due_ns < *next_ns)) {
        *next_ns = due_ns;
    }
}

void channel__call_arm(struct channel_call *call, uint64_t now_ns)
{
    uint64_t next_ns = call->deadline_ns;
    sooner(&next_ns, call->again_ns);
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        sooner(&next_ns, channel__attempt_look(&call->attempts[i], now_ns));
    }
    if (call->ended || call->cancelled || next_ns == 0) {
        return;
    }
    if (!call->timer.running ||
        next_ns < call->timer.due_ns) { /* else it fires, and is set again */
        channel__timer_set(call->channel, &call->timer, next_ns);
    }
}

static void expire(struct channel_call *call)
{
    char text[sizeof(call->channel->error) + 64] = "context deadline exceeded";
    if (oak_list_linked(&call->wait_link) && call->channel->error[0] != '\0') {
        snprintf(text, sizeof(text), "context deadline exceeded while waiting for a connection: %s",
                 call->channel->error);
    }
    channel__call_fail(call, OAK_RPC_DEADLINE_EXCEEDED, text);
}

static void stall_check(struct channel_call *call, uint64_t now_ns)
{
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        uint64_t due_ns = channel__attempt_due(&call->attempts[i]);
        if (due_ns != 0 && due_ns <= now_ns) {
            channel__attempt_stall(&call->attempts[i]);
        }
    }
}

static void timer_fire(struct oak_timer *timer)
{
    struct channel_call *call = OAK_CONTAINER_OF(timer, struct channel_call, timer);
    uint64_t now_ns = channel__now(call->channel);
    if (call->cancelled) {
        channel__call_fail(call, OAK_RPC_CANCELLED, "call canceled");
        return;
    }
    if (call->deadline_ns != 0 && call->deadline_ns <= now_ns) {
        expire(call);
        return;
    }
    stall_check(call, now_ns);
    if (call->again_ns != 0 && call->again_ns <= now_ns) {
        call->again_ns = 0;
        if (call->hedge != NULL) {
            channel__hedge(call, now_ns);
        } else {
            channel__call_place(call);
        }
    }
    channel__call_arm(call, now_ns);
}

/* -- beginning --------------------------------------------------------------------------------- */

static struct channel_call *fresh(struct oak_channel *channel)
{
    struct oak_list *node = oak_list_pop(&channel->spare);
    struct channel_call *call;
    if (node != NULL) {
        channel->spare_count--;
        call = OAK_LIST_ENTRY(node, struct channel_call, link);
    } else {
        call = channel__resize(NULL, sizeof(*call));
        if (call == NULL) {
            return NULL;
        }
        *call = (struct channel_call){0};
    }
    call->base.ops = &channel__call_ops;
    call->channel = channel;
    call->timer.fire = timer_fire;
    oak_list_init(&call->link);
    oak_list_init(&call->wait_link);
    oak_list_init(&call->lazy_link);
    oak_list_push(&channel->calls, &call->link);
    channel->call_count++;
    for (size_t i = 0; i < CHANNEL_ATTEMPTS_MAX; i++) {
        call->attempts[i].call = call;
    }
    return call;
}

/* What the texts of a request need: the path as one, and each name by itself. */
static size_t texts_size(const struct oak_rpc_request *r)
{
    size_t size = 2 * (strlen(r->service) + strlen(r->method)) + 5;
    for (size_t i = 0; i < r->metadata_count; i++) {
        size += r->metadata[i].name.size + r->metadata[i].value.size;
    }
    return size;
}

static const uint8_t *text_add(struct oak_buf *texts, const void *data, size_t size)
{
    const uint8_t *at = texts->data + texts->size;
    int error = oak_buf_append(texts, data, size);
    OAK_ASSERT_EQ(error, 0); /* room for it was made, so that `at` stays */
    return at;
}

static int request_copy(struct channel_call *call, const struct oak_rpc_request *given)
{
    size_t size = texts_size(given);
    size_t pairs_size = given->metadata_count * sizeof(struct oak_rpc_pair);
    if (size > CHANNEL_TEXT_BYTES_MAX || pairs_size > CHANNEL_TEXT_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    struct oak_buf *texts = &call->texts;
    int error = oak_buf_reserve(texts, size);
    if (error == 0) {
        error = oak_buf_reserve(&call->pairs, pairs_size);
    }
    if (error != 0) {
        return error;
    }
    size_t service_size = strlen(given->service);
    size_t method_size = strlen(given->method);
    text_add(texts, "/", 1);
    text_add(texts, given->service, service_size);
    text_add(texts, "/", 1);
    text_add(texts, given->method, method_size + 1);
    struct oak_rpc_request *r = &call->request;
    *r = *given;
    r->service = (const char *)text_add(texts, given->service, service_size + 1);
    r->method = (const char *)text_add(texts, given->method, method_size + 1);
    for (size_t i = 0; i < given->metadata_count; i++) {
        struct oak_rpc_pair pair = given->metadata[i];
        pair.name.data = text_add(texts, pair.name.data, pair.name.size);
        pair.value.data = text_add(texts, pair.value.data, pair.value.size);
        error = oak_buf_append(&call->pairs, &pair, sizeof(pair));
        OAK_ASSERT_EQ(error, 0);
    }
    r->metadata = (const struct oak_rpc_pair *)(const void *)call->pairs.data;
    return 0;
}

static const uint8_t *moved(const uint8_t *at, const struct oak_buf *from, const struct oak_buf *to)
{
    OAK_ASSERT(at >= from->data && at <= from->data + from->size);
    return to->data + (at - from->data);
}

/* The texts get more room, and what points into them follows. */
static int texts_grow(struct channel_call *call, size_t extra)
{
    struct oak_buf *texts = &call->texts;
    struct oak_rpc_request *r = &call->request;
    if (texts->capacity - texts->size >= extra) {
        return 0;
    }
    struct oak_buf larger = {0};
    int error = oak_buf_reserve(&larger, texts->size + extra);
    if (error != 0) {
        return error;
    }
    error = oak_buf_append(&larger, texts->data, texts->size);
    OAK_ASSERT_EQ(error, 0); /* there is room */
    struct oak_rpc_pair *pairs = (struct oak_rpc_pair *)(void *)call->pairs.data;
    for (size_t i = 0; i < r->metadata_count; i++) {
        pairs[i].name.data = moved(pairs[i].name.data, texts, &larger);
        pairs[i].value.data = moved(pairs[i].value.data, texts, &larger);
    }
    r->service = (const char *)moved((const uint8_t *)r->service, texts, &larger);
    r->method = (const char *)moved((const uint8_t *)r->method, texts, &larger);
    oak_buf_fini(texts);
    *texts = larger;
    return 0;
}

int channel__call_pair_room(struct channel_call *call, struct oak_rpc_pair pair)
{
    size_t size = pair.name.size + pair.value.size;
    size_t most = CHANNEL_TEXT_BYTES_MAX;
    if (size > most - call->texts.size || sizeof(pair) > most - call->pairs.size) {
        return OAK_ELIMIT;
    }
    int error = texts_grow(call, size);
    if (error == 0) {
        error = oak_buf_reserve(&call->pairs, sizeof(pair));
    }
    call->request.metadata = (const struct oak_rpc_pair *)(const void *)call->pairs.data;
    return error;
}

void channel__call_pair_add(struct channel_call *call, struct oak_rpc_pair pair)
{
    pair.name.data = text_add(&call->texts, pair.name.data, pair.name.size);
    pair.value.data = text_add(&call->texts, pair.value.data, pair.value.size);
    int error = oak_buf_append(&call->pairs, &pair, sizeof(pair));
    OAK_ASSERT_EQ(error, 0); /* there is room */
    call->request.metadata_count++;
}

/* The shorter of what the request and the rule say; else the channel's, for a unary call. */
static uint64_t timeout_of(const struct channel_call *call)
{
    uint64_t timeout_ns = call->request.timeout_ns;
    const struct channel_rule *rule = call->rule;
    if (rule != NULL && rule->timeout_set) {
        uint64_t set_ns = rule->timeout_ns;
        return timeout_ns == 0 ? set_ns : OAK_MIN(timeout_ns, set_ns);
    }
    if (timeout_ns == 0) {
        bool unary = call->request.kind == OAK_RPC_UNARY;
        return unary ? call->channel->options.call_timeout_ns : OAK_RPC_NEVER_NS;
    }
    return timeout_ns;
}

static void policies_set(struct channel_call *call)
{
    struct oak_channel *channel = call->channel;
    const struct oak_rpc_request *r = &call->request;
    const struct channel_rule *rule = channel__config_find(&channel->config, r->service, r->method);
    bool hedged = rule != NULL && rule->hedge.attempts_max > 0 && channel->options.attempts_max > 1;
    bool retried = rule != NULL && rule->retry.attempts_max > 0;
    call->rule = rule;
    call->hedge = hedged ? &rule->hedge : NULL;
    call->retry = retried ? &rule->retry : &channel->retry;
    call->backoff_ns = call->retry->backoff_first_ns;
    call->compress = r->encoding != OAK_RPC_IDENTITY;
    bool told = rule != NULL && rule->wait_set && rule->wait && !r->fail_fast;
    call->wait_for_ready = r->wait_for_ready || told;
    uint64_t given_ns = r->progress_ns;
    call->progress_ns = given_ns != 0 ? given_ns : channel->options.progress_timeout_ns;
}

static void parent_ended(struct oak_rpc_follower *following)
{
    struct channel_call *call = OAK_CONTAINER_OF(following, struct channel_call, following);
    call->request.parent = NULL;
    oak_rpc_call_cancel(oak_rpc_call_of(&call->base));
}

/* It ends with its parent, and has no more time than that. */
static int parent_follow(struct channel_call *call)
{
    struct oak_rpc_call *parent = call->request.parent;
    if (parent == NULL) {
        return 0;
    }
    uint64_t deadline_ns = oak_rpc_call_deadline_ns(parent);
    if (deadline_ns != 0 && (call->deadline_ns == 0 || deadline_ns < call->deadline_ns)) {
        call->deadline_ns = deadline_ns;
    }
    call->following.ended = parent_ended;
    return oak_rpc_call_follow(parent, &call->following);
}

int channel__call_new(struct oak_channel *channel, const struct oak_rpc_request *request,
                      struct channel_call **out)
{
    if (channel->call_count >= OAK_PENDING_REQUESTS_MAX) {
        return OAK_ELIMIT;
    }
    struct channel_call *call = fresh(channel);
    if (call == NULL) {
        return OAK_ENOMEM;
    }
    int error = request_copy(call, request);
    if (error != 0) {
        channel__call_drop(call);
        return error;
    }
    call->handler = request->handler;
    call->user = request->user;
    call->made = 1;
    policies_set(call);
    uint64_t timeout_ns = timeout_of(call);
    uint64_t now_ns = channel__now(channel);
    channel->used_ns = now_ns;
    call->deadline_ns = timeout_ns > UINT64_MAX - now_ns ? 0 : now_ns + timeout_ns;
    error = parent_follow(call);
    if (error != 0) {
        channel__call_drop(call);
        return error;
    }
    *out = call;
    return 0;
}
