/* SPDX-License-Identifier: Apache-2.0 */
/* backend.c: addresses, and connections to them.
 *
 * Happy path   a backend has one line, which connects when the policy says so; more of them when
 *              their streams run out. A line that the policy has no more use for is retired: it
 *              goes once its calls are done.
 * Can fail     want of memory: a backend or line is not there, and is made later.
 * Invariants   a line is freed by the channel's turn alone, never from inside its own callback. Its
 *              memory stays until its subchannel's is gone.
 * Thread       the loop's.
 */
#include "channel/internal.h"

/* -- lines ------------------------------------------------------------------------------------- */

static void line_retire(struct channel_line *line)
{
    OAK_ASSERT(line->backend != NULL && line->backend->line_count > 0);
    channel__health_stop(line);
    line->backend->line_count--;
    line->backend = NULL;
    oak_list_remove(&line->link);
    oak_list_push(&line->channel->retired, &line->link);
    channel__turn_soon(line->channel);
}

static void line_changed(void *user, enum oak_rpc_subchannel_state state, int error)
{
    struct channel_line *line = user;
    struct oak_channel *channel = line->channel;
    line->state = state;
    if (line->backend == NULL || channel->closing) {
        return;
    }
    if (state == OAK_RPC_SUBCHANNEL_READY) {
        channel__health_start(line);
    } else {
        channel__health_stop(line);
    }
    if (state == OAK_RPC_SUBCHANNEL_FAILED) {
        channel->stats.connect_failures++;
        channel__error_set(channel, line->backend->address, error);
        channel__timer_stop(channel, &channel->stagger); /* the next one need not wait */
    }
    bool lost = state == OAK_RPC_SUBCHANNEL_FAILED || error != 0; /* not: its back-off is over */
    if (lost) {
        channel__resolve(channel);
    }
    channel__balance(channel);
}

static void line_turned(void *user)
{
    struct oak_channel *channel = ((struct channel_line *)user)->channel;
    if (!oak_list_empty(&channel->waiting) && !channel->closing) {
        channel__balance(channel);
    }
}

static void line_gone(void *user)
{
    struct channel_line *line = user;
    struct oak_channel *channel = line->channel;
    OAK_ASSERT_EQ(line->calls, 0);
    channel__resize(line, 0);
    channel->line_count--;
    channel__free_if_over(channel);
}

/* NULL: the channel's error says why. */
static struct channel_line *line_new(struct oak_channel *channel, struct channel_backend *b)
{
    struct channel_line *line = channel__resize(NULL, sizeof(*line));
    if (line == NULL) {
        channel__error_set(channel, b->address, OAK_ENOMEM);
        return NULL;
    }
    *line = (struct channel_line){.channel = channel, .backend = b};
    const struct oak_channel_options *o = &channel->options;
    const struct channel_target *t = &channel->target;
    struct oak_rpc_subchannel_options options = {
        .rpc = o->rpc,
        .name = t->lookup ? (const char *)t->addresses.data : NULL,
        .connect_timeout_ns = o->connect_timeout_ns,
        .backoff_first_ns = o->backoff_first_ns,
        .backoff_max_ns = o->backoff_max_ns,
        .keepalive_ns = o->keepalive_ns,
        .keepalive_timeout_ns = o->keepalive_timeout_ns,
        .keepalive_calls_only = !o->keepalive_always,
        .on_demand = true,
        .changed = line_changed,
        .turned = line_turned,
        .gone = line_gone,
        .user = line,
    };
    if (options.rpc.authority == NULL && t->authority[0] != '\0') {
        options.rpc.authority = t->authority;
    }
    int error = oak_rpc_subchannel_new(&channel->loop, b->address, &options, &line->sub);
    if (error != 0) {
        channel__error_set(channel, b->address, error);
        channel__resize(line, 0);
        return NULL;
    }
    oak_list_init(&line->link);
    oak_list_push(&b->lines, &line->link);
    b->line_count++;
    channel->line_count++;
    return line;
}

void channel__line_release(struct channel_line *line)
{
    OAK_ASSERT_GT(line->calls, 0);
    line->calls--;
    if (line->backend == NULL && line->calls == 0) {
        channel__turn_soon(line->channel);
    }
}

void channel__lines_sweep(struct oak_channel *channel, bool all)
{
    struct oak_list *at = channel->retired.next;
    while (at != &channel->retired) {
        struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        at = at->next;
        if (line->calls == 0 || all) {
            oak_list_remove(&line->link);
            oak_rpc_subchannel_free(line->sub); /* line_gone follows, maybe at once */
        }
    }
}

/* -- backends ---------------------------------------------------------------------------------- */

static struct channel_line *first_line(const struct channel_backend *b,
                                       enum oak_rpc_subchannel_state state)
{
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        if (channel__line_state(line) == state) {
            return line;
        }
    }
    return NULL;
}

enum oak_rpc_subchannel_state channel__backend_state(const struct channel_backend *b)
{
    static const enum oak_rpc_subchannel_state order[] = {
        OAK_RPC_SUBCHANNEL_READY, OAK_RPC_SUBCHANNEL_CONNECTING, OAK_RPC_SUBCHANNEL_FAILED};
    for (size_t i = 0; i < OAK_COUNT_OF(order); i++) {
        if (first_line(b, order[i]) != NULL) {
            return order[i];
        }
    }
    return OAK_RPC_SUBCHANNEL_IDLE;
}

bool channel__backend_connect(struct oak_channel *channel, struct channel_backend *b)
{
    struct channel_line *line = first_line(b, OAK_RPC_SUBCHANNEL_IDLE);
    line = line != NULL ? line : line_new(channel, b);
    if (line == NULL) {
        return false;
    }
    channel->stats.connects++;
    line->state = OAK_RPC_SUBCHANNEL_CONNECTING;
    oak_rpc_subchannel_connect(line->sub);
    return true;
}

void channel__backend_hurry(struct channel_backend *b)
{
    if (channel__backend_state(b) != OAK_RPC_SUBCHANNEL_FAILED) {
        return;
    }
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        if (line->state == OAK_RPC_SUBCHANNEL_FAILED) { /* not: connected, but unhealthy */
            line->channel->stats.connects++;
            line->state = OAK_RPC_SUBCHANNEL_CONNECTING;
            oak_rpc_subchannel_connect(line->sub);
            return;
        }
    }
}

uint32_t channel__backend_ready(const struct channel_backend *b)
{
    uint32_t ready = 0;
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        const struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        ready += channel__line_state(line) == OAK_RPC_SUBCHANNEL_READY;
    }
    return ready;
}

struct channel_line *channel__backend_room(const struct channel_backend *b)
{
    struct channel_line *best = NULL;
    size_t most = 0;
    for (struct oak_list *at = b->lines.next; at != &b->lines; at = at->next) {
        struct channel_line *line = OAK_LIST_ENTRY(at, struct channel_line, link);
        bool ready = channel__line_state(line) == OAK_RPC_SUBCHANNEL_READY;
        size_t room = ready ? oak_rpc_subchannel_room(line->sub) : 0;
        if (room > most) {
            best = line;
            most = room;
        }
    }
    return best;
}

void channel__backend_retire(struct oak_channel *channel, struct channel_backend *b)
{
    (void)channel;
    while (!oak_list_empty(&b->lines)) {
        line_retire(OAK_LIST_ENTRY(b->lines.next, struct channel_line, link));
    }
}

/* -- the list of them -------------------------------------------------------------------------- */

static struct channel_backend *backend_find(struct oak_channel *channel, const char *address)
{
    for (struct oak_list *at = channel->backends.next; at != &channel->backends; at = at->next) {
        struct channel_backend *b = OAK_LIST_ENTRY(at, struct channel_backend, link);
        if (strcmp(b->address, address) == 0) {
            return b;
        }
    }
    return NULL;
}

static struct channel_backend *backend_new(struct oak_channel *channel, const char *address)
{
    size_t size = strlen(address) + 1;
    struct channel_backend *b = channel__resize(NULL, sizeof(*b) + size);
    if (b == NULL) {
        return NULL;
    }
    *b = (struct channel_backend){0};
    memcpy(b->address, address, size);
    oak_list_init(&b->lines);
    oak_list_push(&channel->backends, &b->link);
    channel->backend_count++;
    return b;
}

static void backend_free(struct oak_channel *channel, struct channel_backend *b)
{
    channel__backend_retire(channel, b);
    channel->selected = channel->selected == b ? NULL : channel->selected;
    channel->last = channel->last == b ? NULL : channel->last;
    channel->leader = channel->leader == b ? NULL : channel->leader;
    oak_list_remove(&b->link);
    channel->backend_count--;
    channel__resize(b, 0);
}

static void stale_drop(struct oak_channel *channel)
{
    struct oak_list *at = channel->backends.next;
    while (at != &channel->backends) {
        struct channel_backend *b = OAK_LIST_ENTRY(at, struct channel_backend, link);
        at = at->next;
        if (b->stale) {
            backend_free(channel, b);
        }
    }
}

static void stale_mark(struct oak_channel *channel)
{
    for (struct oak_list *at = channel->backends.next; at != &channel->backends; at = at->next) {
        OAK_LIST_ENTRY(at, struct channel_backend, link)->stale = true;
    }
}

int channel__backends_set(struct oak_channel *channel, const char *const *addresses, size_t count)
{
    int error = 0;
    uint16_t order[CHANNEL_ADDRESSES_MAX];
    count = OAK_MIN(count, (size_t)CHANNEL_ADDRESSES_MAX);
    channel__order(channel, addresses, order, count);
    stale_mark(channel);
    for (size_t i = 0; i < count; i++) {
        struct channel_backend *b = backend_find(channel, addresses[order[i]]);
        if (b == NULL) {
            b = backend_new(channel, addresses[order[i]]);
        } else if (b->stale) {
            oak_list_remove(&b->link);
            oak_list_push(&channel->backends, &b->link);
        }
        if (b != NULL) {
            b->stale = false;
            b->tried = false;
        } else {
            error = OAK_ENOMEM;
        }
    }
    stale_drop(channel);
    return error;
}

void channel__backends_drop(struct oak_channel *channel)
{
    stale_mark(channel);
    stale_drop(channel);
}
