/* SPDX-License-Identifier: Apache-2.0 */
/* differ.c: the same random requests to two servers of etcd's API, and their answers compared.
 *
 *     differ ENDPOINT ENDPOINT [--seed N] [--requests N]
 *
 * Both stores are empty at the start. Each request goes to both, as the same bytes; its answers are
 * compared field by field, apart from ids and terms, with status code and message. Watches listen
 * meanwhile (differ_watch.c). At the end all pairs, the leases, and the hash of the history are
 * compared. The first difference is told with the request, and ends the program with code 1; code
 * 2 means that a server could not be asked. How far it is, it tells now and then.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/differ.h"

#define TIMEOUT_NS      (60 * UINT64_C(1000000000))
#define ARENA_BYTES_MAX (256 * OAK_MIB)
/* How often a long run says how far it is, in requests. */
#define TELL_EACH 20000

static const struct {
    const char *service;
    const char *name;
    const ProtobufCMessageDescriptor *response;
} methods[DIFFER_METHODS] = {
    [DIFFER_RANGE] = {"etcdserverpb.KV", "Range", &etcdserverpb__range_response__descriptor},
    [DIFFER_PUT] = {"etcdserverpb.KV", "Put", &etcdserverpb__put_response__descriptor},
    [DIFFER_DELETE] = {"etcdserverpb.KV", "DeleteRange",
                       &etcdserverpb__delete_range_response__descriptor},
    [DIFFER_TXN] = {"etcdserverpb.KV", "Txn", &etcdserverpb__txn_response__descriptor},
    [DIFFER_COMPACT] = {"etcdserverpb.KV", "Compact",
                        &etcdserverpb__compaction_response__descriptor},
    [DIFFER_LEASE_GRANT] = {"etcdserverpb.Lease", "LeaseGrant",
                            &etcdserverpb__lease_grant_response__descriptor},
    [DIFFER_LEASE_REVOKE] = {"etcdserverpb.Lease", "LeaseRevoke",
                             &etcdserverpb__lease_revoke_response__descriptor},
    [DIFFER_LEASE_TIME_TO_LIVE] = {"etcdserverpb.Lease", "LeaseTimeToLive",
                                   &etcdserverpb__lease_time_to_live_response__descriptor},
    [DIFFER_LEASE_LEASES] = {"etcdserverpb.Lease", "LeaseLeases",
                             &etcdserverpb__lease_leases_response__descriptor},
    [DIFFER_LEASE_KEEP_ALIVE] = {"etcdserverpb.Lease", "LeaseKeepAlive",
                                 &etcdserverpb__lease_keep_alive_response__descriptor},
    [DIFFER_HASH_KV] = {"etcdserverpb.Maintenance", "HashKV",
                        &etcdserverpb__hash_kvresponse__descriptor},
};

static void on_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct differ_side *side = user;
    (void)rpc;
    side->error = oak_proto_unpack(methods[side->differ->method].response, bytes, &side->arena,
                                   &side->response);
}

static void on_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct differ_side *side = user;
    (void)rpc;
    side->code = status->code;
    snprintf(side->message, sizeof(side->message), "%.*s", (int)OAK_MIN(status->message.size, 500),
             (const char *)status->message.data);
    if (--side->differ->open == 0) {
        oak_os_loop_stop(side->differ->os);
    }
}

static const struct oak_rpc_handler handler = {.message = on_message, .closed = on_closed};

static int send(struct differ *d, struct differ_side *side)
{
    const struct oak_rpc_request request = {
        .service = methods[d->method].service,
        .method = methods[d->method].name,
        .timeout_ns = TIMEOUT_NS,
        .handler = &handler,
        .user = side,
    };
    struct oak_rpc_call *rpc;
    oak_arena_reset(&side->arena);
    side->response = NULL;
    side->error = 0;
    int error = oak_rpc_subchannel_call(side->channel, &request, &rpc);
    if (error == 0) {
        d->open++;
        error = oak_rpc_call_send(rpc, oak_buf_bytes(&d->bytes));
        oak_rpc_call_half_close(rpc);
    }
    return error;
}

/* Ask both, and wait for both. */
static int ask(struct differ *d)
{
    size_t size = protobuf_c_message_get_packed_size(d->request);
    oak_buf_clear(&d->bytes);
    int error = oak_buf_reserve(&d->bytes, size + 1);
    if (error == 0) {
        d->bytes.size = protobuf_c_message_pack(d->request, d->bytes.data);
    }
    for (size_t i = 0; error == 0 && i < DIFFER_SIDES; i++) {
        error = send(d, &d->sides[i]);
    }
    while (error == 0 && d->open > 0) {
        oak_os_loop_run(d->os);
    }
    return error;
}

/* The server could be asked, and what it said can be read. */
static bool is_answer(const struct differ_side *side)
{
    return side->error == 0 && side->code != OAK_RPC_UNAVAILABLE &&
           side->code != OAK_RPC_DEADLINE_EXCEEDED &&
           (side->code == OAK_RPC_OK) == (side->response != NULL);
}

static int side_pack(struct differ *d, struct differ_side *side)
{
    oak_buf_clear(&side->packed);
    if (side->response == NULL) {
        return 0;
    }
    differ_normalise(d->method, d->request, side->response);
    size_t size = protobuf_c_message_get_packed_size(side->response);
    int error = oak_buf_reserve(&side->packed, size + 1);
    if (error == 0) {
        side->packed.size = protobuf_c_message_pack(side->response, side->packed.data);
    }
    return error;
}

static void tell(const struct differ *d)
{
    printf("request %" PRIu64 " of seed %" PRIu64 ", at revision %" PRId64 ", compacted at %" PRId64
           ":\n%s {\n",
           d->number, d->seed, d->world.revision, d->world.compacted, methods[d->method].name);
    differ_print(d->request, 1);
    printf("}\n");
    for (size_t i = 0; i < DIFFER_SIDES; i++) {
        const struct differ_side *side = &d->sides[i];
        printf("%s answers %s%s%s%s\n", side->endpoint, oak_rpc_code_name(side->code),
               side->message[0] != '\0' ? ": " : "", side->message,
               side->error != 0 ? " with bytes that can't be decoded" : "");
        if (side->response != NULL) {
            printf("{\n");
            differ_print(side->response, 1);
            printf("}\n");
        }
    }
}

/* What the next requests should know. */
static void learn(struct differ *d)
{
    const struct differ_side *side = &d->sides[0];
    if (side->response == NULL) {
        d->refused[d->method]++;
        return;
    }
    d->answered[d->method]++;
    const Etcdserverpb__ResponseHeader *header = differ_header(side->response);
    if (header != NULL) {
        d->world.revision = header->revision;
    }
    if (d->method == DIFFER_COMPACT) {
        d->world.compacted = ((const Etcdserverpb__CompactionRequest *)d->request)->revision;
    }
}

int differ_exchange(struct differ *d, enum differ_method method, ProtobufCMessage *request)
{
    struct differ_side *a = &d->sides[0];
    struct differ_side *b = &d->sides[1];
    d->method = method;
    d->request = request;
    d->number++;
    if (request == NULL || ask(d) != 0 || side_pack(d, a) != 0 || side_pack(d, b) != 0) {
        printf("request %" PRIu64 " of seed %" PRIu64 " could not be sent\n", d->number, d->seed);
        return 2;
    }
    if (!is_answer(a) || !is_answer(b)) {
        tell(d);
        return 2;
    }
    if (a->code != b->code || strcmp(a->message, b->message) != 0 ||
        !oak_bytes_eq(oak_buf_bytes(&a->packed), oak_buf_bytes(&b->packed))) {
        tell(d);
        return 1;
    }
    learn(d);
    return 0;
}

static int step(struct differ *d)
{
    if (oak_prng_chance(&d->world.prng, 1, 40)) {
        return differ_watch_step(d);
    }
    enum differ_method method;
    oak_arena_reset(&d->arena);
    ProtobufCMessage *request = differ_make(&d->world, &d->arena, &method);
    /* A compaction may overtake what a watch has not heard yet: it has heard all before. */
    int code = method == DIFFER_COMPACT ? differ_watch_listen(d) : 0;
    return code != 0 ? code : differ_exchange(d, method, request);
}

/* All pairs, all leases, the hash of the history: of what is left at the end. */
static int state_compare(struct differ *d)
{
    oak_arena_reset(&d->arena);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__HashKVRequest hash = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    Etcdserverpb__LeaseLeasesRequest leases = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    uint8_t first[] = {0};
    range.key = range.range_end = (ProtobufCBinaryData){.len = 1, .data = first};
    int code = differ_watch_listen(d);
    code = code != 0 ? code : differ_exchange(d, DIFFER_RANGE, &range.base);
    code = code != 0 ? code : differ_exchange(d, DIFFER_HASH_KV, &hash.base);
    code = code != 0 ? code : differ_exchange(d, DIFFER_LEASE_LEASES, &leases.base);
    for (int64_t id = 1; code == 0 && id <= DIFFER_LEASES; id++) {
        Etcdserverpb__LeaseTimeToLiveRequest left = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
        left.id = id;
        left.keys = true;
        code = differ_exchange(d, DIFFER_LEASE_TIME_TO_LIVE, &left.base);
    }
    return code;
}

static void counts_tell(const struct differ *d)
{
    printf("%" PRIu64 " requests of seed %" PRIu64 " were answered equally:", d->number, d->seed);
    for (size_t i = 0; i < DIFFER_METHODS; i++) {
        printf(" %s %" PRIu64 " (and %" PRIu64 " refused)", methods[i].name, d->answered[i],
               d->refused[i]);
    }
    printf(" watch created %" PRIu64 " cancelled %" PRIu64 " progress %" PRIu64
           ", events heard by each %" PRIu64 "\n",
           d->watched[DIFFER_CREATE], d->watched[DIFFER_CANCEL], d->watched[DIFFER_PROGRESS],
           d->events);
    fflush(stdout);
}

static int run(struct differ *d)
{
    int code = 0;
    uint64_t told = 0;
    while (code == 0 && d->number < d->requests) {
        code = step(d);
        if (code == 0 && d->number - told >= TELL_EACH) {
            counts_tell(d);
            told = d->number;
        }
    }
    code = code != 0 ? code : state_compare(d);
    if (code == 0) {
        counts_tell(d);
    }
    return code;
}

static bool number_read(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool arguments_read(struct differ *d, int argc, char **argv)
{
    size_t sides = 0;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--seed") == 0       ? &d->seed
                           : strcmp(argv[i], "--requests") == 0 ? &d->requests
                                                                : NULL;
        if (number != NULL) {
            if (++i == argc || !number_read(argv[i], number)) {
                return false;
            }
        } else if (sides == DIFFER_SIDES) {
            return false;
        } else {
            d->sides[sides++].endpoint = argv[i];
        }
    }
    return sides == DIFFER_SIDES;
}

int main(int argc, char **argv)
{
    static struct differ d = {.seed = 1, .requests = 20000};
    if (!arguments_read(&d, argc, argv)) {
        fprintf(stderr, "usage: differ HOST:PORT HOST:PORT [--seed N] [--requests N]\n");
        return 2;
    }
    if (oak_os_loop_new(&d.os) != 0) {
        return 2;
    }
    d.loop = oak_os_loop_port(d.os);
    d.world.revision = 1;
    oak_prng_init(&d.world.prng, d.seed);
    oak_arena_init(&d.arena, 64 * OAK_KIB, ARENA_BYTES_MAX);
    oak_arena_init(&d.aside, 64 * OAK_KIB, ARENA_BYTES_MAX);
    d.next_watch = 1;
    int error = 0;
    for (size_t i = 0; i < DIFFER_SIDES; i++) {
        struct differ_side *side = &d.sides[i];
        const struct oak_rpc_subchannel_options options = {
            .rpc = {.receive_bytes_max = ARENA_BYTES_MAX}};
        side->differ = &d;
        oak_arena_init(&side->arena, 64 * OAK_KIB, ARENA_BYTES_MAX);
        if (error == 0) {
            error = oak_rpc_subchannel_new(d.loop, side->endpoint, &options, &side->channel);
        }
    }
    int code = error == 0 ? run(&d) : 2;
    differ_watch_fini(&d);
    for (size_t i = 0; i < DIFFER_SIDES; i++) {
        if (d.sides[i].channel != NULL) {
            oak_rpc_subchannel_free(d.sides[i].channel);
        }
        oak_arena_fini(&d.sides[i].arena);
        oak_buf_fini(&d.sides[i].packed);
    }
    oak_os_loop_free(d.os);
    oak_arena_fini(&d.arena);
    oak_arena_fini(&d.aside);
    oak_buf_fini(&d.bytes);
    return code;
}
