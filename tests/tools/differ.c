/* SPDX-License-Identifier: Apache-2.0 */
/* differ.c: the same random requests to two servers of etcd's API, and their answers compared.
 *
 *     differ ENDPOINT ENDPOINT [--seed N] [--requests N]
 *
 * Both stores are empty at the start. Each request goes to both, as the same bytes; its answers are
 * compared field by field, apart from ids and terms, with status code and message. The first
 * difference is told with the request, and ends the program with code 1; code 2 means that a
 * server could not be asked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "oakum/rpc.h"
#include "tests/tools/differ.h"

#define TIMEOUT_NS      (60 * UINT64_C(1000000000))
#define ARENA_BYTES_MAX (256 * OAK_MIB)
#define SIDES           2

static const struct {
    const char *name;
    const ProtobufCMessageDescriptor *response;
} methods[DIFFER_METHODS] = {
    [DIFFER_RANGE] = {"Range", &etcdserverpb__range_response__descriptor},
    [DIFFER_PUT] = {"Put", &etcdserverpb__put_response__descriptor},
    [DIFFER_DELETE] = {"DeleteRange", &etcdserverpb__delete_range_response__descriptor},
    [DIFFER_TXN] = {"Txn", &etcdserverpb__txn_response__descriptor},
    [DIFFER_COMPACT] = {"Compact", &etcdserverpb__compaction_response__descriptor},
};

/* One of the two servers, and its answer to the current request. */
struct side {
    const char *endpoint;
    struct differ *differ;
    struct oak_rpc_subchannel *channel;
    struct oak_arena arena;
    ProtobufCMessage *response;
    struct oak_buf packed; /* normalised */
    int error;
    enum oak_rpc_code code;
    char message[512];
};

struct differ {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct side sides[SIDES];
    struct differ_world world;
    struct oak_arena arena;
    enum differ_method method;
    ProtobufCMessage *request;
    struct oak_buf bytes;
    size_t open;
    uint64_t seed;
    uint64_t requests;
    uint64_t answered[DIFFER_METHODS];
    uint64_t refused[DIFFER_METHODS];
};

static void on_message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct side *side = user;
    (void)rpc;
    side->error = oak_proto_unpack(methods[side->differ->method].response, bytes, &side->arena,
                                   &side->response);
}

static void on_closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct side *side = user;
    (void)rpc;
    side->code = status->code;
    snprintf(side->message, sizeof(side->message), "%.*s", (int)OAK_MIN(status->message.size, 500),
             (const char *)status->message.data);
    if (--side->differ->open == 0) {
        oak_os_loop_stop(side->differ->os);
    }
}

static const struct oak_rpc_handler handler = {.message = on_message, .closed = on_closed};

static int send(struct differ *d, struct side *side)
{
    const struct oak_rpc_request request = {
        .service = "etcdserverpb.KV",
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
    for (size_t i = 0; error == 0 && i < SIDES; i++) {
        error = send(d, &d->sides[i]);
    }
    while (error == 0 && d->open > 0) {
        oak_os_loop_run(d->os);
    }
    return error;
}

/* The server could be asked, and what it said can be read. */
static bool is_answer(const struct side *side)
{
    return side->error == 0 && side->code != OAK_RPC_UNAVAILABLE &&
           side->code != OAK_RPC_DEADLINE_EXCEEDED &&
           (side->code == OAK_RPC_OK) == (side->response != NULL);
}

static int side_pack(struct differ *d, struct side *side)
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

static void tell(const struct differ *d, uint64_t number)
{
    printf("request %" PRIu64 " of seed %" PRIu64 ", at revision %" PRId64 ", compacted at %" PRId64
           ":\n%s {\n",
           number, d->seed, d->world.revision, d->world.compacted, methods[d->method].name);
    differ_print(d->request, 1);
    printf("}\n");
    for (size_t i = 0; i < SIDES; i++) {
        const struct side *side = &d->sides[i];
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

/* What the next requests should know. Every response's first field is its header. */
static void learn(struct differ *d)
{
    const struct side *side = &d->sides[0];
    if (side->response == NULL) {
        d->refused[d->method]++;
        return;
    }
    d->answered[d->method]++;
    const uint8_t *base = (const uint8_t *)side->response;
    const ProtobufCFieldDescriptor *field = &side->response->descriptor->fields[0];
    const Etcdserverpb__ResponseHeader *header =
        *(const Etcdserverpb__ResponseHeader *const *)(const void *)(base + field->offset);
    if (header != NULL) {
        d->world.revision = header->revision;
    }
    if (d->method == DIFFER_COMPACT) {
        d->world.compacted = ((const Etcdserverpb__CompactionRequest *)d->request)->revision;
    }
}

/* 0: equal. 1: told. 2: told, and no fault of the answers. */
static int step(struct differ *d, uint64_t number)
{
    oak_arena_reset(&d->arena);
    d->request = differ_make(&d->world, &d->arena, &d->method);
    struct side *a = &d->sides[0];
    struct side *b = &d->sides[1];
    if (d->request == NULL || ask(d) != 0 || side_pack(d, a) != 0 || side_pack(d, b) != 0) {
        fprintf(stderr, "differ: request %" PRIu64 " could not be sent\n", number);
        return 2;
    }
    if (!is_answer(a) || !is_answer(b)) {
        tell(d, number);
        return 2;
    }
    if (a->code != b->code || strcmp(a->message, b->message) != 0 ||
        !oak_bytes_eq(oak_buf_bytes(&a->packed), oak_buf_bytes(&b->packed))) {
        tell(d, number);
        return 1;
    }
    learn(d);
    return 0;
}

static int run(struct differ *d)
{
    int code = 0;
    for (uint64_t n = 1; code == 0 && n <= d->requests; n++) {
        code = step(d, n);
    }
    if (code == 0) {
        printf("%" PRIu64 " requests of seed %" PRIu64 " were answered equally:", d->requests,
               d->seed);
        for (size_t i = 0; i < DIFFER_METHODS; i++) {
            printf(" %s %" PRIu64 " (and %" PRIu64 " refused)", methods[i].name, d->answered[i],
                   d->refused[i]);
        }
        printf("\n");
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
        } else if (sides == SIDES) {
            return false;
        } else {
            d->sides[sides++].endpoint = argv[i];
        }
    }
    return sides == SIDES;
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
    int error = 0;
    for (size_t i = 0; i < SIDES; i++) {
        struct side *side = &d.sides[i];
        const struct oak_rpc_subchannel_options options = {
            .rpc = {.receive_bytes_max = ARENA_BYTES_MAX}};
        side->differ = &d;
        oak_arena_init(&side->arena, 64 * OAK_KIB, ARENA_BYTES_MAX);
        if (error == 0) {
            error = oak_rpc_subchannel_new(d.loop, side->endpoint, &options, &side->channel);
        }
    }
    int code = error == 0 ? run(&d) : 2;
    for (size_t i = 0; i < SIDES; i++) {
        if (d.sides[i].channel != NULL) {
            oak_rpc_subchannel_free(d.sides[i].channel);
        }
        oak_arena_fini(&d.sides[i].arena);
        oak_buf_fini(&d.sides[i].packed);
    }
    oak_os_loop_free(d.os);
    oak_arena_fini(&d.arena);
    oak_buf_fini(&d.bytes);
    return code;
}
