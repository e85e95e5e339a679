/* SPDX-License-Identifier: Apache-2.0 */
/* health.c: round_robin asks each connection whether its server can serve, oakum_leader whether it
 * leads.
 *
 * Happy path   1 a connection is READY: Watch of grpc.health.v1.Health on it
 *              2 SERVING comes, and the line counts as READY; anything else, and it doesn't
 *              3 the connection goes: so does the watch
 * Can fail     the watch ends: the line has failed until the next one says SERVING. That begins at
 *              once if the last one lived and answered, else after a back-off. A server without the
 *              method (UNIMPLEMENTED) counts as healthy. What can't be understood ends the watch.
 * Invariants   one watch a line at most; it is none of line->calls. Who uses a line asks for its
 *              state by channel__line_state.
 * Thread       the loop's; these callbacks come from inside connections: what follows is done by
 *              the channel's turn.
 *
 * Sources: gRFC A17; grpc/health/v1/health.proto; protobuf's encoding. The two messages are so
 * small that they are written and read here: this room knows nothing of protobuf.
 */
#include <stdio.h>

#include "channel/internal.h"

#define STATUS_SERVING 1
/* Who leads serves this, unless the service config names another (services.h has the name too). */
#define LEADER_NAME "oakum.Leader"
/* Of a HealthCheckResponse, behind what the protocol has: in which term that is so. */
#define FIELD_TERM 1001

/* -- the messages ------------------------------------------------------------------------------ */

size_t channel__health_request(const char *service, uint8_t out[CHANNEL_HEALTH_REQUEST_MAX])
{
    size_t size = strlen(service);
    OAK_ASSERT(size <= CHANNEL_HEALTH_NAME_MAX);
    if (size == 0) {
        return 0;
    }
    size_t at = 0;
    out[at++] = 1 << 3 | 2; /* field 1, bytes */
    if (size >= 0x80) {
        out[at++] = (uint8_t)(size | 0x80);
    }
    out[at++] = (uint8_t)(size >= 0x80 ? size >> 7 : size);
    memcpy(out + at, service, size);
    return at + size;
}

static bool varint_read(struct oak_bytes *b, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && b->size > 0; shift += 7) {
        uint8_t byte = b->data[0];
        *b = oak_bytes(b->data + 1, b->size - 1);
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool field_skip(struct oak_bytes *b, unsigned type)
{
    uint64_t size = type == 1 ? 8 : 4;
    switch (type) {
    case 0:
        return varint_read(b, &size);
    case 2:
        if (!varint_read(b, &size)) {
            return false;
        }
        break;
    case 1:
    case 5:
        break;
    default:
        return false;
    }
    if (size > b->size) {
        return false;
    }
    *b = oak_bytes(b->data + size, b->size - (size_t)size);
    return true;
}

bool channel__health_response(struct oak_bytes b, bool *serving, uint64_t *term)
{
    *serving = false;
    *term = 0;
    while (b.size > 0) {
        uint64_t tag;
        uint64_t status;
        if (!varint_read(&b, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) {
            return false;
        }
        if (tag == (1 << 3 | 0)) {
            if (!varint_read(&b, &status)) {
                return false;
            }
            *serving = (uint32_t)status == STATUS_SERVING;
        } else if (tag == (FIELD_TERM << 3 | 0)) {
            if (!varint_read(&b, term)) {
                return false;
            }
        } else if (!field_skip(&b, tag & 7)) {
            return false;
        }
    }
    return true;
}

/* -- what is known of a line ------------------------------------------------------------------- */

/* Whose status is asked for; NULL: nobody's. */
static const char *wanted(const struct oak_channel *channel)
{
    const struct channel_config *config = &channel->config;
    if (channel->policy == CHANNEL_LEADER) {
        return config->leader_name != NULL ? config->leader_name : LEADER_NAME;
    }
    return channel->policy == CHANNEL_ROUND_ROBIN ? config->health_name : NULL;
}

/* Is a connection of no use unless its server says that it serves? */
static bool is_condition(const struct oak_channel *channel)
{
    return channel->policy == CHANNEL_ROUND_ROBIN && channel->config.health_name != NULL;
}

enum oak_rpc_subchannel_state channel__line_state(const struct channel_line *line)
{
    if (line->state != OAK_RPC_SUBCHANNEL_READY || !is_condition(line->channel)) {
        return line->state;
    }
    static const enum oak_rpc_subchannel_state states[] = {
        [CHANNEL_HEALTH_UNKNOWN] = OAK_RPC_SUBCHANNEL_CONNECTING,
        [CHANNEL_HEALTH_GOOD] = OAK_RPC_SUBCHANNEL_READY,
        [CHANNEL_HEALTH_BAD] = OAK_RPC_SUBCHANNEL_FAILED,
    };
    return states[line->watch.health];
}

static void become(struct channel_line *line, enum channel_health health, const char *why)
{
    struct oak_channel *channel = line->channel;
    if (line->backend == NULL || channel->closing) {
        return;
    }
    if (health == CHANNEL_HEALTH_BAD && is_condition(channel)) {
        channel__error_say(channel, line->backend->address, why);
    }
    if (line->watch.health != health) {
        line->watch.health = health;
        channel__turn_soon(channel);
    }
}

/* What it says of whether it leads; what is older than what it has said is no news. */
static void claim(struct channel_line *line, bool leads, uint64_t term)
{
    struct channel_watch *w = &line->watch;
    if (term < w->term || line->backend == NULL || line->channel->closing) {
        return;
    }
    if (leads && (w->health != CHANNEL_HEALTH_GOOD || term > w->term)) {
        w->claim = ++line->channel->claims;
        channel__turn_soon(line->channel);
    }
    w->term = term;
    become(line, leads ? CHANNEL_HEALTH_GOOD : CHANNEL_HEALTH_BAD, "");
}

/* -- the watch --------------------------------------------------------------------------------- */

static void start(struct channel_line *line);

static void start_later(struct channel_line *line)
{
    struct oak_channel *channel = line->channel;
    const struct oak_channel_options *o = &channel->options;
    uint64_t base_ns = line->watch.backoff_ns;
    base_ns = OAK_MIN(base_ns != 0 ? base_ns : o->backoff_first_ns, o->backoff_max_ns);
    line->watch.backoff_ns = base_ns + base_ns * 3 / 5;
    uint64_t delay_ns =
        oak_prng_between(&channel->prng, base_ns - base_ns / 5, base_ns + base_ns / 5);
    channel__timer_set(channel, &line->watch.retry, channel__now(channel) + delay_ns);
}

static void watch_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes message)
{
    struct channel_line *line = user;
    if (line->watch.dropped) {
        return;
    }
    bool serving;
    uint64_t term;
    if (!channel__health_response(message, &serving, &term)) {
        oak_rpc_call_cancel(rpc);
        return;
    }
    line->watch.answered = true;
    if (!is_condition(line->channel)) {
        claim(line, serving, term);
        return;
    }
    become(line, serving ? CHANNEL_HEALTH_GOOD : CHANNEL_HEALTH_BAD, "the server is not serving");
}

static void watch_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    (void)rpc;
    struct channel_line *line = user;
    struct channel_watch *w = &line->watch;
    bool dropped = w->dropped;
    w->rpc = NULL;
    if (line->backend == NULL || line->state != OAK_RPC_SUBCHANNEL_READY) {
        return;
    }
    if (dropped) { /* it was of the connection before */
        start(line);
        return;
    }
    if (status->code == OAK_RPC_UNIMPLEMENTED) {
        become(line, is_condition(line->channel) ? CHANNEL_HEALTH_GOOD : CHANNEL_HEALTH_BAD, "");
        return;
    }
    become(line, CHANNEL_HEALTH_BAD, "its health is not known");
    uint64_t lived_ns = channel__now(line->channel) - w->begun_ns;
    if (w->answered) {
        w->backoff_ns = 0;
    }
    if (w->answered && lived_ns >= line->channel->options.backoff_first_ns) {
        channel__timer_set(line->channel, &w->retry, channel__now(line->channel));
    } else {
        start_later(line);
    }
}

static const struct oak_rpc_handler watch_handler = {
    .message = watch_message,
    .closed = watch_closed,
};

static void start(struct channel_line *line)
{
    struct channel_watch *w = &line->watch;
    OAK_ASSERT(w->rpc == NULL && line->backend != NULL);
    const struct oak_rpc_request request = {
        .service = "grpc.health.v1.Health",
        .method = "Watch",
        .kind = OAK_RPC_SERVER_STREAM,
        .handler = &watch_handler,
        .user = line,
    };
    uint8_t bytes[CHANNEL_HEALTH_REQUEST_MAX];
    size_t size = channel__health_request(wanted(line->channel), bytes);
    w->dropped = false;
    w->answered = false;
    w->term = 0;
    w->begun_ns = channel__now(line->channel);
    int error = oak_rpc_subchannel_call(line->sub, &request, &w->rpc);
    if (error != 0) {
        w->rpc = NULL;
        become(line, CHANNEL_HEALTH_BAD, oak_error_text(error));
        start_later(line);
        return;
    }
    if (oak_rpc_call_send(w->rpc, oak_bytes(bytes, size)) != 0) {
        oak_rpc_call_cancel(w->rpc); /* its end follows */
        return;
    }
    oak_rpc_call_half_close(w->rpc);
}

static void retry_fire(struct oak_timer *timer)
{
    struct channel_line *line = OAK_CONTAINER_OF(timer, struct channel_line, watch.retry);
    if (line->watch.rpc == NULL) {
        start(line);
    }
}

void channel__health_start(struct channel_line *line)
{
    if (wanted(line->channel) == NULL) {
        return;
    }
    struct channel_watch *w = &line->watch;
    w->health = CHANNEL_HEALTH_UNKNOWN;
    w->backoff_ns = 0;
    w->retry.fire = retry_fire;
    if (w->rpc == NULL) { /* else its end starts the next */
        start(line);
    }
}

void channel__health_stop(struct channel_line *line)
{
    struct channel_watch *w = &line->watch;
    channel__timer_stop(line->channel, &w->retry);
    if (w->rpc != NULL && !w->dropped) {
        w->dropped = true;
        oak_rpc_call_cancel(w->rpc);
    }
}
