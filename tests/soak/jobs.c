/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.c: what clients do: calls of all kinds, read slowly, cancelled, timed out, refused, and
 * their channels closed under them.
 *
 * A job is one call, drawn from the seed. Each may end only as its kind may, or as the end of its
 * channel makes it end; anything else fails the soak.
 */
#include "tests/soak/soak.h"

enum kind { UNARY, DOWNLOAD, UPLOAD, DUPLEX, CANCEL, LATE, STATUS, UNKNOWN, KINDS };

static const char *const kind_names[KINDS] = {"unary",  "download", "upload", "duplex",
                                              "cancel", "late",     "status", "unknown"};

/* -- channels ---------------------------------------------------------------------------------- */

void soak_channel_open(struct soak *s, uint32_t which)
{
    struct soak_channel *c = &s->channels[which];
    bool tls = which % 2 == 1;
    const struct oak_channel_options options = {
        .net = tls ? oak_tls_net_port(s->tls.net) : NULL,
        .rpc = {.receive_bytes_max = INTEROP_MESSAGE_BYTES_MAX},
        .connect_timeout_ns = 60 * SOAK_SECOND,
        .call_timeout_ns = OAK_RPC_NEVER_NS,
        .progress_timeout_ns = 60 * SOAK_SECOND,
    };
    struct oak_errbuf e = {{0}};
    c->age++;
    if (oak_channel_new(s->loop, tls ? s->home.tls : s->home.plain, &options, &c->channel, &e) !=
        0) {
        interop_fail("no channel: %s", e.text);
    }
}

void soak_channel_close(struct soak *s, uint32_t which)
{
    struct oak_channel *channel = s->channels[which].channel;
    s->channels[which].channel = NULL; /* its calls end now, and may */
    oak_channel_free(channel);
}

/* -- sending ----------------------------------------------------------------------------------- */

static void send(struct soak_job *job, const ProtobufCMessage *message)
{
    uint8_t *to = oak_rpc_call_send_into(job->call, protobuf_c_message_get_packed_size(message));
    if (to != NULL) { /* otherwise the call has ended, or its channel */
        protobuf_c_message_pack(message, to);
    }
}

static void payload_draw(struct soak_job *job, Grpc__Testing__Payload *payload)
{
    interop_payload(payload, job->size);
    for (size_t i = 0; !job->compressed && i < payload->body.len; i += 8) {
        payload->body.data[i] = (uint8_t)oak_prng_u64(&job->soak->prng);
    }
}

static void unary_send(struct soak_job *job, const Grpc__Testing__EchoStatus *status)
{
    Grpc__Testing__SimpleRequest request = GRPC__TESTING__SIMPLE_REQUEST__INIT;
    Grpc__Testing__BoolValue compressed = GRPC__TESTING__BOOL_VALUE__INIT;
    Grpc__Testing__Payload payload;
    payload_draw(job, &payload);
    compressed.value = job->compressed;
    request.payload = &payload;
    request.response_size = (int32_t)job->wanted;
    request.response_compressed = &compressed;
    request.response_status = (Grpc__Testing__EchoStatus *)(uintptr_t)status;
    send(job, &request.base);
    oak_rpc_call_half_close(job->call);
    free(payload.body.data);
}

/* Ask for `count` answers of the job's size, each after so many microseconds. */
static void output_send(struct soak_job *job, uint32_t count, int32_t interval_us)
{
    Grpc__Testing__StreamingOutputCallRequest request =
        GRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Grpc__Testing__ResponseParameters parameters[32];
    Grpc__Testing__ResponseParameters *list[32];
    Grpc__Testing__BoolValue compressed = GRPC__TESTING__BOOL_VALUE__INIT;
    compressed.value = job->compressed;
    for (uint32_t i = 0; i < count; i++) {
        grpc__testing__response_parameters__init(&parameters[i]);
        parameters[i].size = (int32_t)job->size;
        parameters[i].interval_us = interval_us;
        parameters[i].compressed = &compressed;
        list[i] = &parameters[i];
    }
    request.response_parameters = list;
    request.n_response_parameters = count;
    send(job, &request.base);
}

static void upload_go(struct soak_job *job)
{
    while (job->left > 0 && oak_rpc_call_queued(job->call) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        Grpc__Testing__StreamingInputCallRequest request =
            GRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
        Grpc__Testing__Payload payload;
        payload_draw(job, &payload);
        request.payload = &payload;
        job->left--;
        send(job, &request.base);
        free(payload.body.data);
    }
    if (job->left == 0) {
        oak_rpc_call_half_close(job->call);
    }
}

/* -- what happens ------------------------------------------------------------------------------ */

static void wait(struct soak_job *job, uint64_t ns)
{
    const struct oak_loop *loop = job->soak->loop;
    loop->timers.set(loop->timers.user, &job->timer, loop->clock.mono_ns(loop->clock.user) + ns);
}

static void timer_fired(struct oak_timer *timer)
{
    struct soak_job *job = OAK_CONTAINER_OF(timer, struct soak_job, timer);
    if (job->call == NULL) {
        return;
    }
    if (job->kind == CANCEL) {
        oak_rpc_call_cancel(job->call);
    } else {
        oak_rpc_call_pause(job->call, false);
    }
}

static void on_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct soak_job *job = user;
    job->got += bytes.size;
    if (job->kind == DUPLEX && job->left > 0) {
        job->left--;
        output_send(job, 1, 0);
    } else if (job->kind == DUPLEX) {
        oak_rpc_call_half_close(call);
    } else if (job->kind == DOWNLOAD && job->left > 0) {
        job->left--;
        oak_rpc_call_pause(call, true);
        wait(job, job->wait_ns);
    } else if (job->kind == CANCEL && job->wait_ns == 0) {
        oak_rpc_call_cancel(call);
    }
}

static void on_writable(void *user, struct oak_rpc_call *call)
{
    struct soak_job *job = user;
    (void)call;
    if (job->kind == UPLOAD) {
        upload_go(job);
    }
}

static bool end_is_right(const struct soak_job *job, enum oak_rpc_code code)
{
    const struct soak_channel *c = &job->soak->channels[job->channel];
    if (c->channel == NULL || c->age != job->age) {
        return true; /* its channel ended under it */
    }
    switch (job->kind) {
    case CANCEL:
        return code == OAK_RPC_CANCELLED || code == OAK_RPC_OK;
    case LATE:
        return code == OAK_RPC_DEADLINE_EXCEEDED;
    case STATUS:
        return code == OAK_RPC_ABORTED;
    case UNKNOWN:
        return code == OAK_RPC_UNIMPLEMENTED;
    default:
        return code == OAK_RPC_OK && job->got >= job->wanted;
    }
}

static void on_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct soak_job *job = user;
    struct soak *s = job->soak;
    (void)call;
    job->call = NULL;
    s->loop->timers.stop(s->loop->timers.user, &job->timer);
    if (!end_is_right(job, status->code)) {
        interop_fail(
            "a call of kind %s ended with %s: %.*s, after %" PRIu64 " of %" PRIu64 " bytes",
            kind_names[job->kind], oak_rpc_code_name(status->code), (int)status->message.size,
            (const char *)status->message.data, job->got, job->wanted);
    }
    s->ends[status->code]++;
    s->done++;
    s->open--;
    if (s->leak > 0) {
        void *volatile forgotten = malloc(s->leak);
        (void)forgotten;
    }
    oak_os_loop_stop(s->os); /* soak_round begins the next one, outside of all callbacks */
}

static const struct oak_rpc_handler handler = {
    .message = on_message, .writable = on_writable, .closed = on_closed};

/* -- a job ------------------------------------------------------------------------------------- */

static uint32_t size_draw(struct oak_prng *prng)
{
    static const uint32_t sizes[] = {0, 1, 100, 4000, 20000, 70000, SOAK_LARGEST};
    uint32_t size = sizes[oak_prng_below(prng, OAK_COUNT_OF(sizes))];
    return size + (uint32_t)oak_prng_below(prng, 50);
}

static void job_draw(struct soak_job *job)
{
    struct oak_prng *prng = &job->soak->prng;
    job->kind = (uint32_t)oak_prng_below(prng, KINDS);
    job->channel = (uint32_t)oak_prng_below(prng, SOAK_CHANNELS);
    job->age = job->soak->channels[job->channel].age;
    job->size = size_draw(prng);
    job->left = (uint32_t)oak_prng_below(prng, 5);
    job->wait_ns = oak_prng_below(prng, 4) * SOAK_MS;
    job->compressed = oak_prng_chance(prng, 1, 3);
    job->got = 0;
    job->wanted = job->kind == UNARY ? size_draw(prng) : 0;
}

static void job_send(struct soak_job *job)
{
    Grpc__Testing__EchoStatus status = GRPC__TESTING__ECHO_STATUS__INIT;
    uint32_t count = 1 + job->left;
    switch (job->kind) {
    case UNARY:
        unary_send(job, NULL);
        break;
    case DOWNLOAD:
        job->wanted = (uint64_t)count * job->size;
        output_send(job, count, 0);
        oak_rpc_call_half_close(job->call);
        break;
    case UPLOAD:
        upload_go(job);
        break;
    case DUPLEX:
        job->wanted = (uint64_t)count * job->size;
        output_send(job, 1, 0);
        break;
    case CANCEL:
        output_send(job, 8, 500);
        if (job->wait_ns > 0) {
            wait(job, job->wait_ns);
        }
        break;
    case LATE:
        output_send(job, 2, 60000000);
        break;
    case STATUS:
        status.code = OAK_RPC_ABORTED;
        status.message = (char *)(uintptr_t) "as it was asked for\r\n";
        unary_send(job, &status);
        break;
    default:
        unary_send(job, NULL);
    }
}

static void job_begin(struct soak_job *job)
{
    static const char *const methods[KINDS] = {
        [UNARY] = "UnaryCall",           [DOWNLOAD] = "StreamingOutputCall",
        [UPLOAD] = "StreamingInputCall", [DUPLEX] = "FullDuplexCall",
        [CANCEL] = "FullDuplexCall",     [LATE] = "FullDuplexCall",
        [STATUS] = "UnaryCall",          [UNKNOWN] = "NothingLikeThis",
    };
    struct soak *s = job->soak;
    job_draw(job);
    const struct oak_rpc_request request = {
        .service = "grpc.testing.TestService",
        .method = methods[job->kind],
        .kind = interop_kind(methods[job->kind]),
        .timeout_ns = job->kind == LATE ? (1 + job->left) * SOAK_MS : 0,
        .encoding = job->compressed ? OAK_RPC_GZIP : OAK_RPC_IDENTITY,
        .handler = &handler,
        .user = job,
    };
    int error = oak_channel_call(s->channels[job->channel].channel, &request, &job->call);
    if (error != 0) {
        interop_fail("a call can't begin: %s", oak_error_text(error));
    }
    s->open++;
    job_send(job);
}

/* Now and then a channel goes, with whatever is on it. Not from inside one of its callbacks. */
static void churn(struct soak *s)
{
    if (oak_prng_chance(&s->prng, 1, 40)) {
        uint32_t which = (uint32_t)oak_prng_below(&s->prng, SOAK_CHANNELS);
        soak_channel_close(s, which);
        soak_channel_open(s, which);
        s->churned++;
    }
}

void soak_round(struct soak *s, uint64_t count)
{
    s->quota = count;
    while (s->quota > 0 || s->open > 0) {
        for (size_t i = 0; i < SOAK_JOBS && s->quota > 0; i++) {
            if (s->jobs[i].call == NULL) {
                s->jobs[i].soak = s;
                s->jobs[i].timer.fire = timer_fired;
                s->quota--;
                churn(s);
                job_begin(&s->jobs[i]);
            }
        }
        oak_os_loop_run(s->os);
    }
}
