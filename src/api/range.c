/* SPDX-License-Identifier: Apache-2.0 */
/* range.c: etcdserverpb.KV/Range. What takes little memory is built and sent; what takes much goes
 * from the store to the socket in pieces.
 *
 * Happy path   small: one read, one message
 *              large: 1 the revision is pinned 2 its size is measured 3 the message's head goes
 *              out 4 pieces follow as the client takes them; 2 and 4 in steps, between which the
 *              loop does other things
 * Can fail     as reading does. A failure in the middle of a large one cuts it off: the client sees
 *              that, and no part of it.
 * Invariants   a large one holds one step beside what its call has queued. Where calls are carried
 *              otherwise than by a stream of gRPC, which takes whole messages, all is held.
 * Thread       the loop's.
 */
#include "api/internal.h"

/* A large one. Lies in the call's memory. */
struct pieces {
    struct api_call *call;
    struct oak_kv_pieces *range;
    struct oak_timer timer; /* the next step */
    struct oak_buf step;
    Etcdserverpb__ResponseHeader header;
    bool sending; /* it is measured, and the head is out */
    bool more;
};

static struct pieces *pieces_of(struct oak_stub_call *stub)
{
    return ((struct api_call *)oak_stub_data(stub))->held;
}

static void pieces_closed(struct api_call *call)
{
    struct pieces *p = call->held;
    const struct oak_loop *loop = call->api->options.loop;
    loop->timers.stop(loop->timers.user, &p->timer);
    oak_kv_pieces_close(p->range);
    oak_buf_fini(&p->step);
    OAK_ASSERT_GT(call->api->pieces, 0);
    call->api->pieces--;
}

static void step_soon(struct pieces *p)
{
    const struct oak_loop *loop = p->call->api->options.loop;
    loop->timers.set(loop->timers.user, &p->timer, loop->clock.mono_ns(loop->clock.user));
}

/* The response's first field. */
static int header_put(struct pieces *p, struct oak_buf *out)
{
    Etcdserverpb__RangeResponse head = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    head.header = &p->header;
    size_t size = etcdserverpb__range_response__get_packed_size(&head);
    int error = oak_buf_reserve(out, size);
    if (error == 0) {
        out->size += etcdserverpb__range_response__pack(&head, out->data + out->size);
    }
    return error;
}

static int measure(struct pieces *p)
{
    bool more = false;
    int error = oak_kv_pieces_measure(p->range, OAK_RANGE_STEP_BYTES_MAX, &more);
    if (error != 0 || more) {
        return error;
    }
    error = header_put(p, &p->step);
    if (error == 0) {
        error =
            oak_stub_reply_open(p->call->stub, p->step.size + (size_t)oak_kv_pieces_size(p->range));
    }
    p->sending = error == 0;
    return error;
}

/* One step. What fails here ends the call. */
static void step(struct oak_timer *timer)
{
    struct pieces *p = OAK_CONTAINER_OF(timer, struct pieces, timer);
    int error = 0;
    if (!p->sending) {
        error = measure(p);
    } else {
        if (p->more) {
            error = oak_kv_pieces_next(p->range, OAK_RANGE_STEP_BYTES_MAX, &p->step, &p->more);
        }
        error = error != 0 ? error : oak_stub_reply_part(p->call->stub, oak_buf_bytes(&p->step));
        oak_buf_clear(&p->step);
    }
    if (error != 0) {
        api__fail(p->call, error);
    } else if (p->more && oak_stub_queued(p->call->stub) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        step_soon(p);
    }
}

static void pieces_writable(void *user, struct oak_stub_call *stub)
{
    (void)user;
    struct pieces *p = pieces_of(stub);
    if (p->more) {
        step_soon(p);
    }
}

static int pieces_begin(struct api_call *call, const Etcdserverpb__RangeRequest *request)
{
    struct oak_api *api = call->api;
    struct oak_kv *kv = oak_replica_kv(api->options.replica);
    if (api->pieces >= OAK_RANGES_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    struct pieces *p = oak_arena_zalloc(api__arena(call), sizeof(*p));
    if (p == NULL) {
        return OAK_ENOMEM;
    }
    int error = oak_kv_pieces_open(kv, request, &p->range);
    if (error != 0) {
        return error;
    }
    p->call = call;
    p->timer.fire = step;
    p->more = true;
    etcdserverpb__response_header__init(&p->header);
    api__header(api, &p->header);
    p->header.revision = oak_kv_state(kv)->revision;
    call->held = p;
    call->closed = pieces_closed;
    api->pieces++;
    oak_stub_on_writable(call->stub, pieces_writable);
    step_soon(p);
    return 0;
}

/* Nothing of a response that turns out to be too large to be held stays in memory. */
static int range_held(struct api_call *call, const Etcdserverpb__RangeRequest *request,
                      size_t bytes_max, Etcdserverpb__RangeResponse **response)
{
    struct oak_arena *arena = api__arena(call);
    const struct oak_arena_mark mark = oak_arena_mark(arena);
    size_t ceiling = arena->ceiling;
    arena->ceiling = OAK_MIN(ceiling, arena->total + bytes_max);
    int error = oak_kv_range(oak_replica_kv(call->api->options.replica), request, arena, response);
    arena->ceiling = ceiling;
    if (error != 0) {
        oak_arena_rewind(arena, mark);
    }
    return error;
}

static void range_ready(struct oak_replica_request *replica_request, int error,
                        const struct oak_kv_result *result)
{
    struct api_call *call = api__call_of(replica_request);
    const Etcdserverpb__RangeRequest *request = (const Etcdserverpb__RangeRequest *)call->message;
    Etcdserverpb__RangeResponse *response = NULL;
    (void)result;
    bool in_pieces = oak_kv_range_in_pieces(request) && oak_stub_takes_parts(call->stub);
    error = error != 0 ? error : api__permit_again(call);
    if (error == 0) {
        size_t held = in_pieces ? OAK_RANGE_HELD_BYTES_MAX : OAK_RESPONSE_BYTES_MAX;
        error = range_held(call, request, held, &response);
    }
    if (api__read_later(call, error, range_ready)) {
        return;
    }
    if (error == OAK_ELIMIT && in_pieces) {
        error = pieces_begin(call, request);
    }
    if (error != 0) {
        api__fail(call, error);
    } else if (response != NULL) {
        api__answer_with_header(call, &response->base);
    }
}

void api__range(void *user, struct oak_stub_call *stub, const Etcdserverpb__RangeRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    if (call == NULL) {
        return;
    }
    int error = oak_kv_check_range(request);
    if (error != 0) {
        api__fail(call, error);
    } else if (request->serializable) {
        range_ready(&call->request, 0, NULL);
    } else {
        api__read(call, range_ready);
    }
}
