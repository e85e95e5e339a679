/* SPDX-License-Identifier: Apache-2.0 */
/* differ_watch.c: watches on streams of both servers, and what they hear compared.
 *
 * Happy path   1 a watch is created, the same on both, on one of a few streams; its answer compared
 *              2 it hears what other requests change, whenever that comes
 *              3 listening: each watched key is changed once more, and where no puts are heard it
 *                is deleted. A watch that heard of that has heard all before it. So does one that
 *                was cancelled, because what it asked for is compacted
 *              4 what both have heard is compared, event by event; a server may put events into
 *                few or many responses.
 * Can fail     A server sends what no correct one does, or nothing: told, and a difference.
 */
#include <inttypes.h>
#include <stdio.h>

#include "tests/tools/differ.h"

#define PATIENCE_NS     (60 * UINT64_C(1000000000))
#define ARENA_BYTES_MAX (64 * OAK_MIB)

/* -- what comes -------------------------------------------------------------------------------- */

static struct differ_watch *watch_find(struct differ *d, int64_t id)
{
    for (size_t i = 0; i < DIFFER_WATCHES; i++) {
        if (d->watches[i].open && d->watches[i].id == id) {
            return &d->watches[i];
        }
    }
    return NULL;
}

static int append(struct oak_buf *buf, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    int error = oak_buf_reserve(buf, size + 1);
    if (error == 0) {
        buf->size += protobuf_c_message_pack(message, buf->data + buf->size);
    }
    return error;
}

/* NULL, or what is wrong with it. */
static const char *events_take(struct differ_heard *heard, Etcdserverpb__WatchResponse *response)
{
    int64_t revision = heard->last;
    if (response->canceled || response->created || response->compact_revision != 0) {
        return "events in a response that tells something else";
    }
    for (size_t i = 0; i < response->n_events; i++) {
        int64_t next = response->events[i]->kv == NULL ? 0 : response->events[i]->kv->mod_revision;
        bool first = i == 0 && !heard->partly;
        if (next < revision || (first && next == heard->last)) {
            return "an event again, late, or apart from others of its revision";
        }
        revision = next;
    }
    if (response->header == NULL || response->header->revision < revision) {
        return "a header that is older than an event";
    }
    heard->last = revision;
    heard->partly = response->fragment;
    Etcdserverpb__WatchResponse kept = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    kept.n_events = response->n_events;
    kept.events = response->events;
    return append(&heard->packed, &kept.base) == 0 ? NULL : "more than there is memory for";
}

static const char *take(struct differ_stream *stream, Etcdserverpb__WatchResponse *response)
{
    struct differ *d = stream->side->differ;
    struct differ_watch *watch = watch_find(d, response->watch_id);
    struct differ_heard *heard = watch == NULL ? NULL : &watch->heard[stream->side - d->sides];
    if (response->n_events > 0) {
        return heard == NULL ? "events of no watch" : events_take(heard, response);
    }
    differ_header_clean(response->header);
    if (response->canceled && !response->created) {
        if (heard == NULL) {
            return "an end of no watch";
        }
        heard->cancelled = true;
        return append(&heard->packed, &response->base) == 0 ? NULL
                                                            : "more than there is memory for";
    }
    if (stream->answered) {
        return "an answer to nothing";
    }
    stream->answered = true;
    return append(&stream->answer, &response->base) == 0 ? NULL : "more than there is memory for";
}

static void on_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct differ_stream *stream = user;
    ProtobufCMessage *message = NULL;
    (void)rpc;
    oak_arena_reset(&stream->arena);
    int error = oak_proto_unpack(&etcdserverpb__watch_response__descriptor, bytes, &stream->arena,
                                 &message);
    const char *fault =
        error != 0 ? "what can't be decoded" : take(stream, (Etcdserverpb__WatchResponse *)message);
    stream->fault = stream->fault == NULL ? fault : stream->fault;
    oak_os_loop_stop(stream->side->differ->os);
}

static void on_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct differ_stream *stream = user;
    (void)rpc;
    (void)status;
    stream->call = NULL;
    stream->fault = stream->fault == NULL ? "the end of its stream" : stream->fault;
    oak_os_loop_stop(stream->side->differ->os);
}

static const struct oak_rpc_handler handler = {.message = on_message, .closed = on_closed};

/* -- requests ---------------------------------------------------------------------------------- */

static int stream_open(struct differ_side *side, struct differ_stream *stream)
{
    const struct oak_rpc_request request = {
        .service = "etcdserverpb.Watch", .method = "Watch", .handler = &handler, .user = stream};
    stream->side = side;
    oak_arena_init(&stream->arena, 64 * OAK_KIB, ARENA_BYTES_MAX);
    return oak_rpc_subchannel_call(side->channel, &request, &stream->call);
}

/* To this stream of both sides. */
static int request_send(struct differ *d, size_t stream_index, enum differ_watching what,
                        const Etcdserverpb__WatchRequest *request)
{
    int error = 0;
    d->number++;
    d->watched[what]++;
    oak_buf_clear(&d->bytes);
    error = append(&d->bytes, &request->base);
    for (size_t i = 0; error == 0 && i < DIFFER_SIDES; i++) {
        struct differ_stream *stream = &d->sides[i].streams[stream_index];
        stream->answered = false;
        oak_buf_clear(&stream->answer);
        error =
            stream->call != NULL || stream->fault != NULL ? 0 : stream_open(&d->sides[i], stream);
        if (error == 0 && stream->call != NULL) {
            error = oak_rpc_call_send(stream->call, oak_buf_bytes(&d->bytes));
        }
    }
    return error;
}

static void timer_fire(struct oak_timer *timer)
{
    struct differ *d = OAK_CONTAINER_OF(timer, struct differ, timer);
    d->late = true;
    oak_os_loop_stop(d->os);
}

/* The first thing on any stream that no correct server sends. */
static const struct differ_stream *fault_find(const struct differ *d)
{
    for (size_t i = 0; i < DIFFER_SIDES; i++) {
        for (size_t k = 0; k < DIFFER_STREAMS; k++) {
            if (d->sides[i].streams[k].fault != NULL) {
                return &d->sides[i].streams[k];
            }
        }
    }
    return NULL;
}

/* Run the loop until it is there. False: it did not come, or something else did. */
static bool await(struct differ *d, bool (*there)(const struct differ *d, const void *what),
                  const void *what)
{
    d->late = false;
    d->timer.fire = timer_fire;
    uint64_t now = d->loop->clock.mono_ns(d->loop->clock.user);
    d->loop->timers.set(d->loop->timers.user, &d->timer, now + PATIENCE_NS);
    while (!d->late && fault_find(d) == NULL && !there(d, what)) {
        oak_os_loop_run(d->os);
    }
    d->loop->timers.stop(d->loop->timers.user, &d->timer);
    return !d->late && fault_find(d) == NULL;
}

/* -- comparing --------------------------------------------------------------------------------- */

static void buf_tell(struct differ *d, const char *endpoint, const struct oak_buf *buf)
{
    ProtobufCMessage *message = NULL;
    printf("%s tells {\n", endpoint);
    if (oak_proto_unpack(&etcdserverpb__watch_response__descriptor, oak_buf_bytes(buf), &d->aside,
                         &message) == 0) {
        differ_print(message, 1);
    }
    printf("}\n");
}

static int watch_tell(struct differ *d, const char *what, const struct differ_watch *watch)
{
    const struct differ_stream *wrong = fault_find(d);
    printf("request %" PRIu64 " of seed %" PRIu64 ", at revision %" PRId64 ", compacted at %" PRId64
           ": %s\n",
           d->number, d->seed, d->world.revision, d->world.compacted, what);
    if (wrong != NULL) {
        printf("%s sends %s\n", wrong->side->endpoint, wrong->fault);
    } else if (d->late) {
        printf("waited for in vain\n");
    }
    for (size_t i = 0; watch != NULL && i < DIFFER_SIDES; i++) {
        printf("watch %" PRId64 " from %" PRId64 ", heard up to %" PRId64 "%s\n", watch->id,
               watch->start, watch->heard[i].last, watch->heard[i].cancelled ? ", cancelled" : "");
        buf_tell(d, d->sides[i].endpoint, &watch->heard[i].packed);
    }
    return 1;
}

static bool answers_are_there(const struct differ *d, const void *what)
{
    const size_t *stream = what;
    return d->sides[0].streams[*stream].answered && d->sides[1].streams[*stream].answered;
}

/* Send, and compare what answers it. */
static int answered(struct differ *d, size_t stream, enum differ_watching what,
                    const Etcdserverpb__WatchRequest *request)
{
    if (request_send(d, stream, what, request) != 0) {
        return 2;
    }
    const struct oak_buf *a = &d->sides[0].streams[stream].answer;
    const struct oak_buf *b = &d->sides[1].streams[stream].answer;
    if (await(d, answers_are_there, &stream) && oak_bytes_eq(oak_buf_bytes(a), oak_buf_bytes(b))) {
        return 0;
    }
    int code = watch_tell(d, "answers of a watch", NULL);
    differ_print(&request->base, 1);
    buf_tell(d, d->sides[0].endpoint, a);
    buf_tell(d, d->sides[1].endpoint, b);
    return code;
}

static int heard_compare(struct differ *d, struct differ_watch *watch)
{
    struct differ_heard *a = &watch->heard[0];
    struct differ_heard *b = &watch->heard[1];
    if (!oak_bytes_eq(oak_buf_bytes(&a->packed), oak_buf_bytes(&b->packed)) ||
        a->cancelled != b->cancelled) {
        return watch_tell(d, "what a watch has heard differs", watch);
    }
    ProtobufCMessage *all = NULL;
    oak_arena_reset(&d->aside);
    if (oak_proto_unpack(&etcdserverpb__watch_response__descriptor, oak_buf_bytes(&a->packed),
                         &d->aside, &all) != 0) {
        return 2;
    }
    d->events += ((const Etcdserverpb__WatchResponse *)all)->n_events;
    watch->open = !a->cancelled;
    oak_buf_clear(&a->packed);
    oak_buf_clear(&b->packed);
    return 0;
}

/* Who hears of a put and of the deletion behind it. */
struct changes {
    int64_t put;
    int64_t deleted; /* 0: there was none */
};

static bool has_heard(const struct differ_heard *heard, const struct differ_watch *watch,
                      const struct changes *changes)
{
    bool puts_only = watch->filter == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    int64_t until = puts_only || changes->deleted == 0 ? changes->put : changes->deleted;
    return heard->cancelled || watch->start > until || heard->last >= until;
}

static bool all_have_heard(const struct differ *d, const void *what)
{
    for (size_t i = 0; i < DIFFER_WATCHES; i++) {
        const struct differ_watch *watch = &d->watches[i];
        for (size_t k = 0; watch->open && k < DIFFER_SIDES; k++) {
            if (!has_heard(&watch->heard[k], watch, what)) {
                return false;
            }
        }
    }
    return true;
}

/* A put or a deletion of each watched key, all in one transaction. */
static int keys_change(struct differ *d, bool delete)
{
    oak_arena_reset(&d->aside);
    Etcdserverpb__TxnRequest *txn =
        differ_message(&d->aside, &etcdserverpb__txn_request__descriptor);
    Etcdserverpb__RequestOp **ops = oak_arena_zalloc(&d->aside, DIFFER_WATCHES * sizeof(*ops));
    if (txn == NULL || ops == NULL) {
        return 2;
    }
    txn->success = ops;
    for (size_t i = 0; i < DIFFER_WATCHES; i++) {
        const struct differ_watch *watch = &d->watches[i];
        bool skip = !watch->open;
        for (size_t k = 0; k < i; k++) {
            const struct differ_watch *other = &d->watches[k];
            skip = skip || (other->open && other->key_size == watch->key_size &&
                            memcmp(other->key, watch->key, watch->key_size) == 0);
        }
        if (skip) {
            continue;
        }
        Etcdserverpb__RequestOp *op =
            differ_message(&d->aside, &etcdserverpb__request_op__descriptor);
        ProtobufCBinaryData key = {.len = watch->key_size,
                                   .data = (uint8_t *)(uintptr_t)watch->key};
        if (op == NULL) {
            return 2;
        }
        op->request_delete_range =
            differ_message(&d->aside, delete ? &etcdserverpb__delete_range_request__descriptor
                                             : &etcdserverpb__put_request__descriptor);
        if (op->request_delete_range == NULL) {
            return 2;
        }
        if (delete) {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
            op->request_delete_range->key = key;
        } else {
            op->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
            op->request_put->key = key;
        }
        ops[txn->n_success++] = op;
    }
    return differ_exchange(d, DIFFER_TXN, &txn->base);
}

int differ_watch_listen(struct differ *d)
{
    struct changes changes = {0};
    bool any = false;
    bool deletes = false;
    for (size_t i = 0; i < DIFFER_WATCHES; i++) {
        const struct differ_watch *watch = &d->watches[i];
        any = any || watch->open;
        deletes =
            deletes || (watch->open &&
                        watch->filter == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT);
    }
    if (!any) {
        return 0;
    }
    int code = keys_change(d, false);
    changes.put = d->world.revision;
    if (code == 0 && deletes) {
        code = keys_change(d, true);
        changes.deleted = d->world.revision;
    }
    bool there = code == 0 && await(d, all_have_heard, &changes);
    for (size_t i = 0; code == 0 && i < DIFFER_WATCHES; i++) {
        struct differ_watch *watch = &d->watches[i];
        if (watch->open && !there &&
            !(has_heard(&watch->heard[0], watch, &changes) &&
              has_heard(&watch->heard[1], watch, &changes))) {
            code = watch_tell(d, "a watch has not heard of a change", watch);
        } else if (watch->open) {
            code = heard_compare(d, watch);
        }
    }
    return code == 0 && !there ? watch_tell(d, "a stream of watches", NULL) : code;
}

/* -- what is done with them -------------------------------------------------------------------- */

/* Mostly from now on; some in the future, some near what is compacted, some from before. None from
 * what is compacted itself: etcd 3.4 may lose a deletion that was made there (W10 of
 * docs/internals/track-record.md). */
static int64_t start_make(struct differ *d)
{
    struct differ_world *w = &d->world;
    uint64_t dice = oak_prng_below(&w->prng, 100);
    if (dice < 75) {
        return 0;
    }
    int64_t start = dice < 78   ? w->revision + 1 + (int64_t)oak_prng_below(&w->prng, 30)
                    : dice < 82 ? w->compacted + 1 - (int64_t)oak_prng_below(&w->prng, 3)
                                : w->revision - (int64_t)oak_prng_below(&w->prng, 60);
    return start > 0 && start != w->compacted ? start : w->compacted + 1;
}

static int create(struct differ *d, struct differ_watch *watch)
{
    struct differ_world *w = &d->world;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest c = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest__FilterType filter;
    oak_arena_reset(&d->arena);
    watch->stream = oak_prng_below(&w->prng, DIFFER_STREAMS);
    watch->filter = (int)oak_prng_below(&w->prng, 6);
    watch->filter = watch->filter < 2 ? watch->filter : -1;
    watch->id = d->next_watch++;
    c.key = differ_key(w, &d->arena);
    c.range_end = differ_end(w, &d->arena, c.key, 50);
    c.watch_id = watch->id;
    c.start_revision = watch->start = start_make(d);
    c.prev_kv = differ_chance(w, 40);
    c.fragment = differ_chance(w, 20);
    if (watch->filter >= 0) {
        filter = (Etcdserverpb__WatchCreateRequest__FilterType)watch->filter;
        c.n_filters = 1;
        c.filters = &filter;
    }
    /* An empty key is the first one there can be. */
    watch->key_size = OAK_MAX(c.key.len, (size_t)1);
    watch->key[0] = 0;
    memcpy(watch->key, c.key.data == NULL ? watch->key : c.key.data, c.key.len);
    watch->heard[0].last = watch->heard[1].last = 0;
    watch->heard[0].partly = watch->heard[1].partly = false;
    watch->heard[0].cancelled = watch->heard[1].cancelled = false;
    watch->open = true;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &c;
    int code = answered(d, watch->stream, DIFFER_CREATE, &request);
    ProtobufCMessage *said = NULL;
    const struct oak_buf *answer = &d->sides[0].streams[watch->stream].answer;
    if (code == 0 && oak_proto_unpack(&etcdserverpb__watch_response__descriptor,
                                      oak_buf_bytes(answer), &d->arena, &said) != 0) {
        code = 2;
    }
    /* One that is refused is created and cancelled in one response. */
    watch->open = code == 0 && !((const Etcdserverpb__WatchResponse *)said)->canceled;
    return code;
}

static bool is_cancelled(const struct differ *d, const void *what)
{
    const struct differ_watch *watch = what;
    (void)d;
    return watch->heard[0].cancelled && watch->heard[1].cancelled;
}

/* Nothing answers the cancellation of one that has been cancelled. */
static int cancel(struct differ *d, struct differ_watch *watch)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCancelRequest c = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    int code = differ_watch_listen(d);
    if (code != 0 || !watch->open) {
        return code;
    }
    c.watch_id = watch->id;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &c;
    if (request_send(d, watch->stream, DIFFER_CANCEL, &request) != 0) {
        return 2;
    }
    return await(d, is_cancelled, watch) ? heard_compare(d, watch)
                                         : watch_tell(d, "a watch is cancelled", watch);
}

/* A stream has watches, and none that begins later. etcd from 3.5 on, and Oakum, answer nothing
 * else. */
static bool can_progress(const struct differ *d, size_t stream)
{
    bool any = false;
    for (size_t i = 0; i < DIFFER_WATCHES; i++) {
        const struct differ_watch *watch = &d->watches[i];
        if (watch->open && watch->stream == stream) {
            if (watch->start > d->world.revision) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

/* Of a stream whose watches have all heard of all. */
static int progress(struct differ *d, size_t stream)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchProgressRequest p = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    int code = differ_watch_listen(d);
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &p;
    return code != 0 || !can_progress(d, stream) ? code
                                                 : answered(d, stream, DIFFER_PROGRESS, &request);
}

int differ_watch_step(struct differ *d)
{
    struct differ_watch *watch = &d->watches[oak_prng_below(&d->world.prng, DIFFER_WATCHES)];
    if (differ_chance(&d->world, 10)) {
        return progress(d, oak_prng_below(&d->world.prng, DIFFER_STREAMS));
    }
    return watch->open ? cancel(d, watch) : create(d, watch);
}

void differ_watch_fini(struct differ *d)
{
    for (size_t i = 0; i < DIFFER_SIDES; i++) {
        for (size_t k = 0; k < DIFFER_STREAMS; k++) {
            struct differ_stream *stream = &d->sides[i].streams[k];
            if (stream->call != NULL) {
                oak_rpc_call_cancel(stream->call);
            }
            oak_buf_fini(&stream->answer);
            if (stream->side != NULL) {
                oak_arena_fini(&stream->arena);
            }
        }
        for (size_t k = 0; k < DIFFER_WATCHES; k++) {
            oak_buf_fini(&d->watches[k].heard[i].packed);
        }
    }
}
