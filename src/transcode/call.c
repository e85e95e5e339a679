/* SPDX-License-Identifier: Apache-2.0 */
/* call.c: one request of HTTP in the hands of a method, which sees a struct oak_rpc_call.
 *
 * Happy path   1 the first message, metadata and deadline are read
 *              2 the method installs its handler, and is given message by message
 *              3 it answers, now or later; messages wait in `out`
 *              4 the flush at the end of the round makes text of them
 *              5 it finishes; when all has left the handler is told `closed`
 * Can fail     1 whatever came: answered, and the method never hears of it. 3 a message too large,
 *              too many of them.
 * Invariants   nothing but transcode__call_end frees a call, and that is never below its handler on
 *              the stack. What a call holds is counted in door->held.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "transcode/internal.h"

static struct transcode_call *call_of(struct oak_rpc_call *call)
{
    return (struct transcode_call *)(void *)call;
}

static const struct transcode_call *call_at(const struct oak_rpc_call *call)
{
    return (const struct transcode_call *)(const void *)call;
}

/* -- what it holds ----------------------------------------------------------------------------- */

void transcode__call_charge(struct transcode_call *call)
{
    size_t holds = call->out.capacity + call->text.capacity;
    OAK_ASSERT_LE(call->held, call->door->held);
    call->door->held = call->door->held - call->held + holds;
    call->held = holds;
}

size_t transcode__call_queued(const struct transcode_call *call)
{
    size_t waits = call->out.size - call->out_at + call->text.size - call->text_at;
    return waits + (call->begun ? oak_http_queued(call->http) : 0);
}

void transcode__call_measure(struct transcode_call *call)
{
    call->high = call->high || transcode__call_queued(call) >= TRANSCODE_QUEUE_HIGH_BYTES;
}

/* -- what the method may do -------------------------------------------------------------------- */

static void op_handle(struct oak_rpc_call *rpc, const struct oak_rpc_handler *handler, void *user)
{
    struct transcode_call *call = call_of(rpc);
    call->handler = handler;
    call->user = user;
}

/* Is there room for one more message? */
static bool has_room(const struct transcode_call *call, size_t size)
{
    const struct oak_transcode_options *options = &call->door->options;
    size_t queued = transcode__call_queued(call);
    bool first = queued == 0;
    return size <= options->reply_bytes_max && size <= UINT32_MAX &&
           (first || queued + size <= OAK_OUTBOUND_BYTES_MAX) && size <= options->held_bytes_max &&
           call->door->held <= options->held_bytes_max - size;
}

static uint8_t *op_send_into(struct oak_rpc_call *rpc, size_t size)
{
    struct transcode_call *call = call_of(rpc);
    if (call->finished || (call->answered && transcode__is_single(call)) || !has_room(call, size) ||
        oak_buf_reserve(&call->out, TRANSCODE_LENGTH_BYTES + size) != 0) {
        return NULL;
    }
    uint8_t *at = call->out.data + call->out.size;
    oak_put_u32(at, (uint32_t)size);
    call->out.size += TRANSCODE_LENGTH_BYTES + size;
    call->answered = true;
    call->door->traffic.sent++;
    transcode__call_charge(call);
    if (!transcode__is_single(call)) {
        transcode__call_measure(call);
        transcode__call_mark(call);
    }
    return at + TRANSCODE_LENGTH_BYTES;
}

static int op_send(struct oak_rpc_call *rpc, struct oak_bytes message)
{
    uint8_t *to = op_send_into(rpc, message.size);
    if (to == NULL) {
        return call_of(rpc)->finished ? OAK_ECLOSED : OAK_ELIMIT;
    }
    if (message.size > 0) {
        memcpy(to, message.data, message.size);
    }
    return 0;
}

void transcode__call_finish(struct transcode_call *call, enum oak_rpc_code code,
                            struct oak_bytes text)
{
    OAK_ASSERT_LE(code, OAK_RPC_UNAUTHENTICATED);
    if (call->finished) {
        return;
    }
    call->finished = true;
    call->code = code;
    if (code == OAK_RPC_OK && transcode__is_single(call) && !call->answered) {
        call->code = OAK_RPC_INTERNAL;
        text = oak_bytes_str("the method answered without a message");
    }
    size_t size = OAK_MIN(text.size, TRANSCODE_STATUS_BYTES_MAX);
    if (oak_buf_append(&call->status_text, text.data, size) != 0) {
        oak_buf_clear(&call->status_text); /* the code alone has to do */
    }
    transcode__call_mark(call);
}

static void op_finish(struct oak_rpc_call *rpc, enum oak_rpc_code code, const char *message)
{
    transcode__call_finish(call_of(rpc), code, oak_bytes_str(message != NULL ? message : ""));
}

/* Details have no place in the answer: code and text tell what there is. */
static int op_finish_details(struct oak_rpc_call *rpc, enum oak_rpc_code code, const char *message,
                             struct oak_bytes details)
{
    (void)details;
    if (call_of(rpc)->finished) {
        return OAK_ECLOSED;
    }
    op_finish(rpc, code, message);
    return 0;
}

static void op_cancel(struct oak_rpc_call *rpc)
{
    op_finish(rpc, OAK_RPC_CANCELLED, "the server has cancelled the call");
}

static void op_pause(struct oak_rpc_call *rpc, bool paused)
{
    struct transcode_call *call = call_of(rpc);
    call->paused = paused;
    if (!paused && !call->finished) {
        transcode__call_mark(call);
    }
}

static size_t op_queued(const struct oak_rpc_call *rpc)
{
    return transcode__call_queued(call_at(rpc));
}

static int op_add_header(struct oak_rpc_call *rpc, struct oak_rpc_pair pair)
{
    struct transcode_call *call = call_of(rpc);
    if (call->finished || call->begun) {
        return OAK_ECLOSED;
    }
    size_t size = pair.name.size + pair.value.size;
    if (size > OAK_HTTP_HEAD_BYTES_MAX || call->headers.size > OAK_HTTP_HEAD_BYTES_MAX - size) {
        return OAK_ELIMIT;
    }
    return transcode__header_write(&call->headers, pair);
}

/* There is no place for trailers behind an answer. */
static int op_add_trailer(struct oak_rpc_call *rpc, struct oak_rpc_pair pair)
{
    (void)pair;
    return call_of(rpc)->finished ? OAK_ECLOSED : 0;
}

static bool op_metadata_next(const struct oak_rpc_call *rpc, enum oak_rpc_part part, size_t *at,
                             struct oak_rpc_pair *out)
{
    return part == OAK_RPC_HEADERS &&
           transcode__meta_next(oak_buf_bytes(&call_at(rpc)->meta), at, out);
}

static struct oak_bytes op_metadata(const struct oak_rpc_call *rpc, const char *name)
{
    struct oak_rpc_pair pair;
    size_t at = 0;
    while (op_metadata_next(rpc, OAK_RPC_HEADERS, &at, &pair)) {
        if (oak_bytes_eq(pair.name, oak_bytes_str(name))) {
            return pair.value;
        }
    }
    return oak_bytes(NULL, 0);
}

static struct oak_bytes op_authority(const struct oak_rpc_call *rpc)
{
    const struct oak_http_request *http = call_at(rpc)->http;
    return http != NULL ? oak_http_header(http, "host") : oak_bytes(NULL, 0);
}

static uint64_t op_deadline_ns(const struct oak_rpc_call *rpc)
{
    return call_at(rpc)->deadline_ns;
}

static struct oak_bytes op_path(const struct oak_rpc_call *rpc)
{
    return oak_buf_bytes(&call_at(rpc)->path);
}

static const char *op_peer(const struct oak_rpc_call *rpc)
{
    const struct oak_http_request *http = call_at(rpc)->http;
    return http != NULL ? oak_http_peer_name(http) : "";
}

static const struct oak_identity *op_identity(const struct oak_rpc_call *rpc)
{
    const struct oak_http_request *http = call_at(rpc)->http;
    return http != NULL ? oak_http_identity(http) : NULL;
}

static const struct oak_process *op_process(const struct oak_rpc_call *rpc)
{
    const struct oak_http_request *http = call_at(rpc)->http;
    return http != NULL ? oak_http_process(http) : NULL;
}

static bool op_owed(const struct oak_rpc_call *rpc)
{
    return transcode__call_queued(call_at(rpc)) > 0; /* the request has come whole */
}

static uint64_t op_moved_ns(const struct oak_rpc_call *rpc)
{
    return call_at(rpc)->moved_ns;
}

static int op_follow(struct oak_rpc_call *rpc, struct oak_rpc_follower *follower)
{
    struct transcode_call *call = call_of(rpc);
    if (call->finished) {
        return OAK_ECLOSED;
    }
    oak_rpc_followers_join(&call->followers, follower);
    return 0;
}

static const struct oak_rpc_call_ops ops = {
    .handle = op_handle,
    .send = op_send,
    .send_into = op_send_into,
    .finish = op_finish,
    .cancel = op_cancel,
    .pause = op_pause,
    .queued = op_queued,
    .add_header = op_add_header,
    .add_trailer = op_add_trailer,
    .metadata = op_metadata,
    .deadline_ns = op_deadline_ns,
    .path = op_path,
    .peer = op_peer,
    .identity = op_identity,
    .owed = op_owed,
    .moved_ns = op_moved_ns,
    .finish_details = op_finish_details,
    .metadata_next = op_metadata_next,
    .authority = op_authority,
    .follow = op_follow,
    .process = op_process,
};

/* -- from start to end ------------------------------------------------------------------------- */

static void call_free(struct transcode_call *call)
{
    oak_buf_fini(&call->path);
    oak_buf_fini(&call->meta);
    oak_buf_fini(&call->first);
    oak_buf_fini(&call->out);
    oak_buf_fini(&call->text);
    oak_buf_fini(&call->status_text);
    oak_buf_fini(&call->headers);
    free(call);
}

static void deadline_fire(struct oak_timer *timer)
{
    struct transcode_call *call = OAK_CONTAINER_OF(timer, struct transcode_call, deadline);
    transcode__call_finish(call, OAK_RPC_DEADLINE_EXCEEDED,
                           oak_bytes_str("context deadline exceeded"));
}

/* The client has gone, or has taken what was queued. */
static void http_changed(void *user, struct oak_http_request *http)
{
    struct transcode_call *call = user;
    call->moved_ns = transcode__now_ns(call->door);
    if (!oak_http_gone(http)) {
        transcode__call_mark(call);
        return;
    }
    call->http = NULL;
    call->door->traffic.abandoned++;
    if (call->begun) {
        oak_http_abort(http);
    } else {
        const struct oak_http_answer nobody = {.status = 503};
        oak_http_reply(http, &nobody);
    }
    transcode__call_end(call, OAK_RPC_CANCELLED);
}

/* Metadata, deadline and the first message. */
static int request_read(struct transcode_call *call, uint64_t *timeout_ns,
                        struct oak_json_problem *room, struct transcode_failure *failure)
{
    struct oak_transcode *door = call->door;
    const struct oak_rpc_method *method = call->method;
    oak_arena_reset(&door->arena);
    door->arena.ceiling = door->arena.total + 2 * OAK_HTTP_HEAD_BYTES_MAX;
    int error = oak_buf_printf(&call->path, "/%s/%s", method->service, method->name);
    error = error != 0 ? error : transcode__timeout_read(call->http, timeout_ns, room);
    error = error != 0 ? error : transcode__meta_read(call->http, &door->arena, &call->meta, room);
    if (error != 0) {
        bool memory = error == OAK_ENOMEM;
        failure->code = memory ? OAK_RPC_RESOURCE_EXHAUSTED : OAK_RPC_INVALID_ARGUMENT;
        failure->text = oak_bytes_str(memory ? "the server is out of memory" : room->text);
        return error;
    }
    call->rest = oak_http_body(call->http);
    int found = transcode__body_next(door, method, &call->rest, &call->first, room, failure);
    /* A method that takes one message is given one, if it is one without fields. */
    call->first_waits = found == 1 || (found == 0 && !transcode__takes_more(method));
    return OAK_MIN(found, 0);
}

int transcode__call_start(struct oak_transcode *door, struct oak_http_request *http,
                          const struct oak_rpc_method *method, struct oak_json_problem *room,
                          struct transcode_failure *failure)
{
    uint64_t timeout_ns = 0;
    struct transcode_call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        failure->code = OAK_RPC_RESOURCE_EXHAUSTED;
        failure->text = oak_bytes_str("the server is out of memory");
        return OAK_ENOMEM;
    }
    call->base.ops = &ops;
    call->door = door;
    call->http = http;
    call->method = method;
    call->deadline.fire = deadline_fire;
    int error = request_read(call, &timeout_ns, room, failure);
    if (error != 0) {
        call_free(call);
        return error;
    }
    uint64_t now = transcode__now_ns(door);
    call->moved_ns = now;
    if (timeout_ns != 0) {
        const struct oak_timers *timers = &door->options.loop->timers;
        call->deadline_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
        if (call->deadline_ns != UINT64_MAX) {
            timers->set(timers->user, &call->deadline, call->deadline_ns);
        }
    }
    oak_list_push(&door->calls, &call->link);
    door->traffic.calls++;
    door->traffic.started++;
    oak_http_watch(http, http_changed, call);
    method->start(method->user, oak_rpc_call_of(&call->base));
    OAK_ASSERT(call->handler != NULL || call->finished);
    transcode__body_feed(call);
    return 0;
}

void transcode__call_end(struct transcode_call *call, enum oak_rpc_code code)
{
    struct oak_transcode *door = call->door;
    const struct oak_timers *timers = &door->options.loop->timers;
    bool whole = call->finished && code == call->code;
    const struct oak_rpc_status status = {.code = code,
                                          .message = whole ? oak_buf_bytes(&call->status_text)
                                                           : oak_bytes_str("the client has gone")};
    OAK_ASSERT(call->http == NULL);
    OAK_ASSERT_GT(door->traffic.calls, 0u);
    timers->stop(timers->user, &call->deadline);
    transcode__call_clean(call);
    oak_list_remove(&call->link);
    door->traffic.calls--;
    door->traffic.handled[code]++;
    call->finished = true; /* what its handler still says goes nowhere */
    call->begun = false;
    if (call->handler != NULL) {
        call->handler->closed(call->user, oak_rpc_call_of(&call->base), &status);
    }
    oak_rpc_followers_tell(&call->followers);
    transcode__call_clean(call);
    OAK_ASSERT_LE(call->held, door->held);
    door->held -= call->held;
    call_free(call);
}
