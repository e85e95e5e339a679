/* SPDX-License-Identifier: Apache-2.0 */
/* dump.c: all that the loader's keys are on one node, one line a key.
 *
 *     dump ENDPOINT linearizable|serializable
 *
 * First "revision N", then "number create_revision mod_revision version lease" for each key, in
 * order. The first page fixes the revision for all others. A value that is not what the loader
 * writes to that key is told, with code 1; code 2: the node could not be read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/tool.h"

#define TIMEOUT_NS (20000 * CROWD_MS)
#define PAGE       4000
#define TRIES_MAX  100

struct dump {
    struct crowd crowd;
    struct crowd_call call;
    bool serializable;
    uint8_t from[TOOL_KEY_BYTES + 2];
    size_t from_size;
    int64_t revision;
    unsigned tries;
    uint64_t wrong;
    int code;
};

static void page_ask(struct crowd_call *call)
{
    struct dump *d = OAK_CONTAINER_OF(call, struct dump, call);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = (ProtobufCBinaryData){.len = d->from_size, .data = d->from};
    range.range_end = oak_proto_binary(oak_bytes_str("kez"));
    range.limit = PAGE;
    range.revision = d->revision;
    range.serializable = d->serializable;
    crowd_send(call, 0, "Range", &range.base, &etcdserverpb__range_response__descriptor,
               TIMEOUT_NS);
}

static bool pair_print(const Mvccpb__KeyValue *kv)
{
    char key[TOOL_KEY_BYTES + 1] = "";
    uint64_t number = 0;
    if (kv->key.len != TOOL_KEY_BYTES) {
        fprintf(stderr, "dump: a key of %zu bytes\n", kv->key.len);
        return false;
    }
    memcpy(key, kv->key.data, TOOL_KEY_BYTES);
    uint8_t *wanted = malloc(kv->value.len + 1);
    bool good = wanted != NULL && tool_number(key + 3, &number);
    if (good) {
        tool_value(number, wanted, kv->value.len);
        good = kv->value.len == 0 || memcmp(wanted, kv->value.data, kv->value.len) == 0;
    }
    free(wanted);
    if (!good) {
        fprintf(stderr, "dump: %s holds another value\n", key);
    }
    printf("%" PRIu64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 "\n", number,
           kv->create_revision, kv->mod_revision, kv->version, kv->lease);
    return good;
}

static void page_done(struct crowd_call *call)
{
    struct dump *d = OAK_CONTAINER_OF(call, struct dump, call);
    if (call->code != OAK_RPC_OK) {
        if (++d->tries > TRIES_MAX) {
            fprintf(stderr, "dump: no answer: %s\n", oak_rpc_code_name(call->code));
            d->code = 2;
            crowd_stop(&d->crowd);
            return;
        }
        crowd_rest(call, 50 * CROWD_MS, page_ask);
        return;
    }
    const Etcdserverpb__RangeResponse *page = (const Etcdserverpb__RangeResponse *)call->response;
    if (d->revision == 0) {
        d->revision = page->header->revision;
        printf("revision %" PRId64 "\n", d->revision);
    }
    for (size_t i = 0; i < page->n_kvs; i++) {
        d->wrong += pair_print(page->kvs[i]) ? 0 : 1;
    }
    if (!page->more || page->n_kvs == 0) {
        d->code = d->wrong > 0 ? 1 : 0;
        crowd_stop(&d->crowd);
        return;
    }
    /* Behind the last key: itself and a zero byte. */
    const Mvccpb__KeyValue *last = page->kvs[page->n_kvs - 1];
    d->from_size = OAK_MIN(last->key.len, (size_t)TOOL_KEY_BYTES) + 1;
    memcpy(d->from, last->key.data, d->from_size - 1);
    d->from[d->from_size - 1] = 0;
    page_ask(call);
}

int main(int argc, char **argv)
{
    struct dump d = {.from = "key", .from_size = 3};
    bool good =
        argc == 3 && (strcmp(argv[2], "linearizable") == 0 || strcmp(argv[2], "serializable") == 0);
    if (!good || !tool_crowd(&d.crowd, argv[1])) {
        fprintf(stderr, "dump ENDPOINT linearizable|serializable\n");
        return 2;
    }
    d.serializable = strcmp(argv[2], "serializable") == 0;
    d.call.done = page_done;
    crowd_call_init(&d.crowd, &d.call);
    crowd_rest(&d.call, 0, page_ask);
    crowd_run(&d.crowd);
    crowd_call_fini(&d.call);
    crowd_fini(&d.crowd);
    return d.code;
}
