/* SPDX-License-Identifier: Apache-2.0 */
/* peers.c: frames between processes, over gRPC streams.
 *
 * For each member there is one channel with two client streams, /oakum.Peer/Urgent and
 * /oakum.Peer/Bulk: a stream's messages are frames, and no answers come back on it. A stream names
 * the cluster and the two members in its metadata, so that a member of another cluster, or a wrong
 * address, is refused with a reason before any frame. A frame that can't leave now is dropped: Raft
 * repeats what matters.
 *
 * Thread: the replica's loop.
 */
#include "peer/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVICE "oakum.Peer"
/* Frames queued to one member on one stream: one window of appends, and as much again. */
#define QUEUE_BYTES_MAX (2 * OAK_INFLIGHT_BYTES_MAX)
/* Four tries in the shortest election time-out: a member that is back is heard before it can
 * disturb. */
#define RECONNECT_MAX_NS (250 * 1000 * 1000ull)

#define URL_BYTES_MAX 320
/* A stream that is refused is tried again with the next frame; the log has one line in so long. */
#define TELL_NS (10 * 1000000000ull)

enum lane_kind {
    LANE_URGENT,
    LANE_BULK,
    LANE_COUNT,
};

static const char *const lane_names[LANE_COUNT] = {"Urgent", "Bulk"};

struct lane {
    struct peer *peer;
    struct oak_rpc_call *call; /* NULL: not open */
};

struct peer {
    struct oak_peers *peers;
    struct oak_rpc_subchannel *channel; /* NULL: it could not be made */
    char *url;
    struct lane lanes[LANE_COUNT];
    struct oak_peer_stats stats;
    uint64_t told_ns; /* that it refused us was logged then */
};

struct oak_peers {
    struct oak_peers_options options;
    size_t count;
    struct peer *rows[OAK_PEERS_MAX];
    uint64_t told_ns; /* that we refused somebody was logged then */
};

/* Is it time to say again what may happen many times in a second? */
static bool told_again(const struct oak_peers *peers, uint64_t *told_ns)
{
    const struct oak_clock *clock = &peers->options.loop->clock;
    uint64_t now = clock->mono_ns(clock->user);
    bool again = *told_ns == 0 || now - *told_ns >= TELL_NS;
    *told_ns = again ? now : *told_ns;
    return again;
}

static void lane_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    /* The protocol has no answers; a peer that sends some is of a later version: ignore them. */
    (void)user;
    (void)call;
    (void)bytes;
}

/* With this code a stream is refused of a member that was removed. */
#define GONE_CODE OAK_RPC_PERMISSION_DENIED
#define GONE_TEXT "the member has been permanently removed from the cluster"

static void lane_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct lane *lane = user;
    struct oak_peers *peers = lane->peer->peers;
    OAK_ASSERT(lane->call == call);
    lane->call = NULL;
    bool gone =
        status->code == GONE_CODE && oak_bytes_eq(status->message, oak_bytes_str(GONE_TEXT));
    if (gone && peers->options.removed != NULL) {
        peers->options.removed(peers->options.user, lane->peer->stats.id);
        return;
    }
    if (status->code != OAK_RPC_UNAVAILABLE && status->code != OAK_RPC_CANCELLED &&
        told_again(peers, &lane->peer->told_ns)) {
        oak_log(peers->options.log, OAK_LOG_WARN,
                "member %016" PRIx64 " refused our stream: %s: %.*s", lane->peer->stats.id,
                oak_rpc_code_name(status->code), (int)OAK_MIN(status->message.size, (size_t)200),
                (const char *)status->message.data);
    }
}

static const struct oak_rpc_handler lane_handler = {
    .message = lane_message,
    .closed = lane_closed,
};

static int lane_open(struct lane *lane, enum lane_kind kind)
{
    struct peer *peer = lane->peer;
    char cluster[24], from[24], to[24];
    snprintf(cluster, sizeof(cluster), "%016" PRIx64, peer->peers->options.cluster);
    snprintf(from, sizeof(from), "%016" PRIx64, peer->peers->options.id);
    snprintf(to, sizeof(to), "%016" PRIx64, peer->stats.id);
    const struct oak_rpc_pair metadata[] = {
        {oak_bytes_str("oakum-cluster"), oak_bytes_str(cluster)},
        {oak_bytes_str("oakum-from"), oak_bytes_str(from)},
        {oak_bytes_str("oakum-to"), oak_bytes_str(to)},
    };
    const struct oak_rpc_request request = {
        .service = SERVICE,
        .method = lane_names[kind],
        .metadata = metadata,
        .metadata_count = OAK_COUNT_OF(metadata),
        .fail_fast = true,
        .handler = &lane_handler,
        .user = lane,
    };
    return oak_rpc_subchannel_call(peer->channel, &request, &lane->call);
}

static void channel_state(void *user, bool connected)
{
    struct peer *peer = user;
    const struct oak_peers_options *o = &peer->peers->options;
    if (peer->stats.connected == connected) {
        return;
    }
    peer->stats.connected = connected;
    peer->stats.connected_ns = o->loop->clock.mono_ns(o->loop->clock.user);
    oak_log(o->log, connected ? OAK_LOG_INFO : OAK_LOG_WARN, "%s member %016" PRIx64,
            connected ? "connected to" : "lost the connection to", peer->stats.id);
    if (!connected) {
        o->lost(o->user, peer->stats.id);
    }
}

static struct peer *peer_find(const struct oak_peers *peers, uint64_t id)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->rows[i]->stats.id == id) {
            return peers->rows[i];
        }
    }
    return NULL;
}

/* Where a URL leads, and over which network. */
static int url_read(const struct oak_peers *peers, const char *url, char *address, size_t size,
                    const struct oak_net **net)
{
    static const struct {
        const char *scheme;
        const char *before; /* the address */
        bool secure;
    } schemes[] = {
        {"http://", "", false},
        {"https://", "", true},
        {"unix://", "unix:", false},
        {"unixs://", "unix:", true},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(schemes); i++) {
        size_t length = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, length) != 0) {
            continue;
        }
        *net = schemes[i].secure ? peers->options.secure : &peers->options.loop->net;
        int got = snprintf(address, size, "%s%s", schemes[i].before, url + length);
        return *net == NULL ? OAK_EUNIMPLEMENTED : got < (int)size ? 0 : OAK_EINVAL;
    }
    return OAK_EINVAL;
}

static int peer_connect(struct peer *peer, const char *url)
{
    char address[URL_BYTES_MAX];
    const struct oak_net *net = NULL;
    int error = url_read(peer->peers, url, address, sizeof(address), &net);
    if (error != 0) {
        return error;
    }
    const struct oak_rpc_subchannel_options options = {
        .net = net,
        .backoff_max_ns = RECONNECT_MAX_NS,
        .keepalive_ns = 5000 * 1000 * 1000ull,
        .keepalive_timeout_ns = 5000 * 1000 * 1000ull,
        .state = channel_state,
        .user = peer,
    };
    char *kept = strdup(url);
    struct oak_rpc_subchannel *channel = NULL;
    error = kept == NULL
                ? OAK_ENOMEM
                : oak_rpc_subchannel_new(peer->peers->options.loop, address, &options, &channel);
    if (error != 0) {
        free(kept);
        return error;
    }
    free(peer->url);
    peer->url = kept;
    peer->channel = channel;
    return 0;
}

/* The streams of a channel that is freed end before that returns. */
static void peer_disconnect(struct peer *peer)
{
    struct oak_rpc_subchannel *channel = peer->channel;
    peer->channel = NULL;
    if (channel != NULL) {
        oak_rpc_subchannel_free(channel);
    }
    channel_state(peer, false);
}

int oak_peers_set(struct oak_peers *peers, uint64_t id, const char *url)
{
    OAK_ASSERT_NE(id, peers->options.id);
    struct peer *peer = peer_find(peers, id);
    if (peer != NULL && peer->channel != NULL && strcmp(peer->url, url) == 0) {
        return 0;
    }
    if (peer != NULL) {
        peer_disconnect(peer);
        return peer_connect(peer, url);
    }
    if (peers->count == OAK_PEERS_MAX) {
        return OAK_ELIMIT;
    }
    peer = calloc(1, sizeof(*peer));
    if (peer == NULL) {
        return OAK_ENOMEM;
    }
    peer->peers = peers;
    peer->stats.id = id;
    for (int i = 0; i < LANE_COUNT; i++) {
        peer->lanes[i].peer = peer;
    }
    int error = peer_connect(peer, url);
    if (error != 0) {
        free(peer);
        return error;
    }
    peers->rows[peers->count++] = peer;
    return 0;
}

static void peer_free(struct peer *peer)
{
    if (peer->channel != NULL) {
        oak_rpc_subchannel_free(peer->channel);
    }
    free(peer->url);
    free(peer);
}

void oak_peers_prune(struct oak_peers *peers, bool (*keep)(void *arg, uint64_t id), void *arg)
{
    size_t kept = 0;
    for (size_t i = 0; i < peers->count; i++) {
        if (keep(arg, peers->rows[i]->stats.id)) {
            peers->rows[kept++] = peers->rows[i];
        } else {
            peer_free(peers->rows[i]);
        }
    }
    peers->count = kept;
}

int oak_peers_call(struct oak_peers *peers, uint64_t to, const struct oak_rpc_request *request,
                   struct oak_rpc_call **out)
{
    struct peer *peer = peer_find(peers, to);
    return peer == NULL || peer->channel == NULL
               ? OAK_ECLOSED
               : oak_rpc_subchannel_call(peer->channel, request, out);
}

void oak_peers_send(struct oak_peers *peers, uint64_t to, bool bulk, struct oak_bytes frame)
{
    struct peer *peer = peer_find(peers, to);
    if (peer == NULL || peer->channel == NULL) {
        return;
    }
    enum lane_kind kind = bulk ? LANE_BULK : LANE_URGENT;
    struct lane *lane = &peer->lanes[kind];
    if (lane->call == NULL && lane_open(lane, kind) != 0) {
        lane->call = NULL;
        peer->stats.sent_failures++;
        return;
    }
    if (oak_rpc_call_queued(lane->call) > QUEUE_BYTES_MAX ||
        oak_rpc_call_send(lane->call, frame) != 0) {
        peer->stats.sent_failures++;
        return;
    }
    peer->stats.sent_bytes += frame.size;
}

/* -- the serving side: streams of other members ------------------------------------------------ */

/* Sixteen hex digits; 0: something else. */
static uint64_t sender_of(const struct oak_rpc_call *call)
{
    struct oak_bytes from = oak_rpc_call_metadata(call, "oakum-from");
    char text[17] = {0};
    if (from.size != 16) {
        return 0;
    }
    memcpy(text, from.data, 16);
    return strspn(text, "0123456789abcdef") == 16 ? strtoull(text, NULL, 16) : 0;
}

static bool gone_told(struct oak_peers *peers, struct oak_rpc_call *call, uint64_t from)
{
    const struct oak_peers_options *o = &peers->options;
    if (o->gone == NULL || !o->gone(o->user, from)) {
        return false;
    }
    oak_rpc_call_finish(call, GONE_CODE, GONE_TEXT);
    oak_log(o->log, OAK_LOG_WARN,
            "refused a stream from member %016" PRIx64 " (%s): it was removed from the cluster",
            from, oak_rpc_call_peer(call));
    return true;
}

static void served_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct oak_peers *peers = user;
    uint64_t from = sender_of(call);
    struct peer *peer = peer_find(peers, from);
    if (peer != NULL) {
        peer->stats.received_bytes += bytes.size;
    } else if (gone_told(peers, call, from)) {
        return;
    }
    peers->options.received(peers->options.user, bytes);
}

static void served_half_closed(void *user, struct oak_rpc_call *call)
{
    (void)user;
    oak_rpc_call_finish(call, OAK_RPC_OK, NULL);
}

static void served_closed(void *user, struct oak_rpc_call *call,
                          const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler served_handler = {
    .message = served_message,
    .half_closed = served_half_closed,
    .closed = served_closed,
};

static bool metadata_is(const struct oak_rpc_call *call, const char *name, uint64_t id)
{
    char text[24];
    snprintf(text, sizeof(text), "%016" PRIx64, id);
    return oak_bytes_eq(oak_rpc_call_metadata(call, name), oak_bytes_str(text));
}

/* Has the other end proved to be who its stream says it is? */
static bool admitted(const struct oak_peers *peers, const struct oak_rpc_call *call)
{
    const struct oak_identity *identity = oak_rpc_call_identity(call);
    if (identity == NULL || peers->options.admit == NULL) {
        return true;
    }
    const char *url = NULL;
    for (size_t i = 0; i < peers->count; i++) {
        if (metadata_is(call, "oakum-from", peers->rows[i]->stats.id)) {
            url = peers->rows[i]->url;
        }
    }
    return peers->options.admit(peers->options.user, identity, oak_rpc_call_peer(call), url);
}

static void refuse(struct oak_peers *peers, struct oak_rpc_call *call, enum oak_rpc_code code,
                   const char *text, const char *why)
{
    if (told_again(peers, &peers->told_ns)) {
        oak_log(peers->options.log, OAK_LOG_WARN, "refused a stream from %s: %s",
                oak_rpc_call_peer(call), why);
    }
    oak_rpc_call_finish(call, code, text);
}

static void served_start(void *user, struct oak_rpc_call *call)
{
    struct oak_peers *peers = user;
    oak_rpc_call_handle(call, &served_handler, peers);
    if (!metadata_is(call, "oakum-cluster", peers->options.cluster)) {
        refuse(peers, call, OAK_RPC_FAILED_PRECONDITION, "etcdserver: cluster ID mismatch",
               "it belongs to another cluster (--initial-cluster and --initial-cluster-token must "
               "be the same on all members)");
    } else if (!metadata_is(call, "oakum-to", peers->options.id)) {
        refuse(peers, call, OAK_RPC_FAILED_PRECONDITION,
               "this address is another member's: check the peer URLs",
               "it looks for another member at this address: check the peer URLs");
    } else if (!admitted(peers, call)) {
        refuse(peers, call, OAK_RPC_PERMISSION_DENIED,
               "the certificate is not good for the host of this member's peer URL",
               "its certificate is good neither for the host of the peer URL of the member that "
               "it says it is, nor for the address that it comes from "
               "(--peer-skip-client-san-verification forgives it)");
    } else {
        (void)gone_told(peers, call, sender_of(call));
    }
}

int oak_peers_new(const struct oak_peers_options *options, struct oak_peers **out)
{
    struct oak_peers *peers = calloc(1, sizeof(*peers));
    if (peers == NULL) {
        return OAK_ENOMEM;
    }
    peers->options = *options;
    for (int i = 0; i < LANE_COUNT; i++) {
        const struct oak_rpc_method method = {
            .service = SERVICE,
            .name = lane_names[i],
            .kind = OAK_RPC_CLIENT_STREAM,
            .start = served_start,
            .user = peers,
        };
        int error = oak_rpc_server_add(options->server, &method);
        if (error != 0) {
            free(peers);
            return error;
        }
    }
    *out = peers;
    return 0;
}

void oak_peers_free(struct oak_peers *peers)
{
    if (peers == NULL) {
        return;
    }
    for (size_t i = 0; i < peers->count; i++) {
        peer_free(peers->rows[i]);
    }
    free(peers);
}

size_t oak_peers_stats(const struct oak_peers *peers, struct oak_peer_stats *rows, size_t capacity)
{
    for (size_t i = 0; i < peers->count && i < capacity; i++) {
        rows[i] = peers->rows[i]->stats;
    }
    return peers->count;
}
