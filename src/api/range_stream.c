/* SPDX-License-Identifier: Apache-2.0 */
/* range_stream.c: etcdserverpb.KV/RangeStream: a range in many messages, as its client takes them.
 *
 * Happy path   1 the revision is pinned 2 a step is walked and sent as one message, and the next
 *              one once the client has taken what is queued; between two steps the loop does other
 *              things 3 the last message has the header, whether there is more, and the count: all
 *              of them merged are what Range answers
 * Can fail     as reading does, and at what etcd does not stream: another order, and filters by
 *              revision. What fails in the middle ends the call with a status.
 * Invariants   holds one step beside what its call has queued; its pairs are of one revision.
 * Thread       the loop's.
 */
#include "api/internal.h"

/* range_response of RangeStreamResponse: number and wire type. */
#define TAG_RANGE_RESPONSE 0x0a
#define TAG_BYTES_MAX      6

/* Lies in the call's memory. */
struct streaming {
    struct api_call *call;
    struct oak_kv_pieces *range;
    struct oak_timer timer; /* the next step */
    struct oak_buf step;
    Etcdserverpb__ResponseHeader header;
    bool more;
};

static void streaming_closed(struct api_call *call)
{
    struct streaming *s = call->held;
    const struct oak_loop *loop = call->api->options.loop;
    loop->timers.stop(loop->timers.user, &s->timer);
    oak_kv_pieces_close(s->range);
    oak_buf_fini(&s->step);
    OAK_ASSERT_GT(call->api->pieces, 0);
    call->api->pieces--;
}

static void step_soon(struct streaming *s)
{
    const struct oak_loop *loop = s->call->api->options.loop;
    loop->timers.set(loop->timers.user, &s->timer, loop->clock.mono_ns(loop->clock.user));
}

/* Behind the pairs: the order of fields is free. */
static int header_put(struct streaming *s)
{
    Etcdserverpb__RangeResponse head = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    head.header = &s->header;
    size_t size = etcdserverpb__range_response__get_packed_size(&head);
    int error = oak_buf_reserve(&s->step, size);
    if (error == 0) {
        s->step.size += etcdserverpb__range_response__pack(&head, s->step.data + s->step.size);
    }
    return error;
}

/* The step, as range_response of one message. */
static int step_send(struct streaming *s)
{
    uint8_t head[TAG_BYTES_MAX] = {TAG_RANGE_RESPONSE};
    size_t head_size = 1;
    for (size_t left = s->step.size; head_size == 1 || left > 0; left >>= 7) {
        OAK_ASSERT_LT(head_size, sizeof(head));
        head[head_size++] = (uint8_t)((left & 0x7f) | (left >= 0x80 ? 0x80 : 0));
    }
    struct oak_stub_call *stub = s->call->stub;
    int error = oak_stub_reply_open(stub, head_size + s->step.size);
    error = error != 0 ? error : oak_stub_reply_part(stub, oak_bytes(head, head_size));
    error = error != 0 ? error : oak_stub_reply_part(stub, oak_buf_bytes(&s->step));
    oak_buf_clear(&s->step);
    return error;
}

/* What fails here ends the call. */
static void step(struct oak_timer *timer)
{
    struct streaming *s = OAK_CONTAINER_OF(timer, struct streaming, timer);
    int error = oak_kv_pieces_stream(s->range, OAK_RANGE_STEP_BYTES_MAX, &s->step, &s->more);
    if (error == 0 && !s->more) {
        error = header_put(s);
    }
    if (error == 0 && (s->step.size > 0 || !s->more)) {
        error = step_send(s);
    }
    if (error != 0) {
        api__fail(s->call, error);
    } else if (!s->more) {
        oak_stub_finish(s->call->stub, OAK_RPC_OK, NULL);
    } else if (oak_stub_queued(s->call->stub) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        step_soon(s);
    }
}

static void writable(void *user, struct oak_stub_call *stub)
{
    (void)user;
    struct streaming *s = ((struct api_call *)oak_stub_data(stub))->held;
    if (s->more) {
        step_soon(s);
    }
}

static int streaming_begin(struct api_call *call, const Etcdserverpb__RangeRequest *request)
{
    struct oak_api *api = call->api;
    struct oak_kv *kv = oak_replica_kv(api->options.replica);
    if (api->pieces >= OAK_RANGES_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    struct streaming *s = oak_arena_zalloc(api__arena(call), sizeof(*s));
    if (s == NULL) {
        return OAK_ENOMEM;
    }
    Etcdserverpb__RangeRequest by_key = *request; /* without an order the target says nothing */
    by_key.sort_target = ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY;
    int error = oak_kv_pieces_open(kv, &by_key, &s->range);
    if (error != 0) {
        return error;
    }
    s->call = call;
    s->timer.fire = step;
    s->more = true;
    etcdserverpb__response_header__init(&s->header);
    api__header(api, &s->header);
    s->header.revision = oak_kv_state(kv)->revision;
    call->held = s;
    call->closed = streaming_closed;
    api->pieces++;
    oak_stub_on_writable(call->stub, writable);
    step_soon(s);
    return 0;
}

/* One key, or a number: one message. */
static int answer_held(struct api_call *call, const Etcdserverpb__RangeRequest *request)
{
    Etcdserverpb__RangeStreamResponse message = ETCDSERVERPB__RANGE_STREAM_RESPONSE__INIT;
    int error = oak_kv_range(oak_replica_kv(call->api->options.replica), request, api__arena(call),
                             &message.range_response);
    if (error != 0) {
        return error;
    }
    api__header(call->api, message.range_response->header);
    error = oak_stub_reply(call->stub, &message.base);
    if (error == 0) {
        oak_stub_finish(call->stub, OAK_RPC_OK, NULL);
    }
    return error;
}

static void stream_ready(struct oak_replica_request *replica_request, int error,
                         const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(replica_request);
    const Etcdserverpb__RangeRequest *request = (const Etcdserverpb__RangeRequest *)call->message;
    (void)result;
    error = error != 0 ? error : api__permit_again(call);
    if (error == 0) {
        bool held = request->range_end.len == 0 || request->count_only;
        error = held ? answer_held(call, request) : streaming_begin(call, request);
    }
    if (!api__read_later(call, error, stream_ready) && error != 0) {
        api__fail(call, error);
    }
}

/* NULL: it can be streamed. */
static const char *unstreamed(const Etcdserverpb__RangeRequest *r)
{
    bool ascends = r->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY &&
                   r->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    if (r->sort_order != ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE && !ascends) {
        return "RangeStream does not support custom sort orders";
    }
    bool filters = r->min_mod_revision != 0 || r->max_mod_revision != 0 ||
                   r->min_create_revision != 0 || r->max_create_revision != 0;
    return filters ? "RangeStream does not support revision filters" : NULL;
}

void api__range_stream(void *user, struct oak_stub_call *stub,
                       const Etcdserverpb__RangeRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    /* As all streams but that of a snapshot, whatever it asks for. */
    int error =
        api__is_learner(call->api) ? OAK_ENOTSUPPORTEDFORLEARNER : oak_kv_check_range(request);
    const char *not_so = unstreamed(request);
    if (error != 0) {
        api__fail(call, error);
    } else if (not_so != NULL) {
        oak_stub_finish(stub, OAK_RPC_UNIMPLEMENTED, not_so);
    } else if (request->serializable) {
        stream_ready(&call->request, 0, NULL);
    } else {
        api__read(call, stream_ready);
    }
}
