/* SPDX-License-Identifier: Apache-2.0 */
/* kv_bench.c: what a put costs in the state machine, on the memory engine.
 *
 *     bench_kv [puts] [bytes of the value] [keys]
 *
 * Prints the time of a put by part: the whole; what the store takes of it (the same gets and puts
 * without the machine); and what is left, which is the machine's own.
 */
#include <stdio.h>
#include <time.h>

#include "kv/kv_fixture.h"

#define BATCH 64

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void key_fill(char *key, uint64_t number)
{
    snprintf(key, 24, "key/%018" PRIu64, number);
}

static double run_machine(uint64_t puts, size_t value_bytes, uint64_t keys)
{
    struct node n;
    struct oak_prng prng;
    char key[24];
    node_open(&n, 0);
    oak_prng_init(&prng, 1);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.value = (ProtobufCBinaryData){.len = value_bytes, .data = calloc(1, value_bytes + 1)};
    put.key = (ProtobufCBinaryData){.len = 22, .data = (uint8_t *)key};
    struct oak_bytes entries[BATCH];
    double spent = 0;
    for (uint64_t done = 0; done < puts; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            key_fill(key, oak_prng_below(&prng, keys));
            entries[i] = entry_of(OAK_KV_PUT, &put.base);
        }
        double start = now_us();
        for (int i = 0; i < BATCH; i++) {
            struct oak_kv_result result = node_apply_entry(&n, entries[i]);
            OAK_ASSERT(result.error == 0 && result.response != NULL);
        }
        node_commit(&n);
        oak_arena_reset(&n.arena);
        spent += now_us() - start;
        for (int i = 0; i < BATCH; i++) {
            free((void *)(uintptr_t)entries[i].data);
        }
    }
    free(put.value.data);
    node_close(&n);
    return spent / (double)puts;
}

static double run_store(uint64_t puts, size_t value_bytes, uint64_t keys)
{
    struct node n;
    struct oak_prng prng;
    char key[BATCH][24];
    node_open(&n, 0);
    oak_prng_init(&prng, 1);
    uint8_t *value = calloc(1, value_bytes + 1);
    struct oak_store_state state = *oak_store_state(n.store);
    double spent = 0;
    for (uint64_t done = 0; done < puts; done += BATCH) {
        for (int i = 0; i < BATCH; i++) {
            key_fill(key[i], oak_prng_below(&prng, keys));
        }
        double start = now_us();
        for (int i = 0; i < BATCH; i++) {
            struct oak_store_kv kv = {.version = 0};
            int error = oak_store_get(n.store, oak_bytes(key[i], 22), 0, &kv);
            kv.key = oak_bytes(key[i], 22);
            kv.value = oak_bytes(value, value_bytes);
            kv.mod_rev = ++state.revision;
            kv.create_rev = error == 0 ? kv.create_rev : kv.mod_rev;
            kv.version++;
            error = oak_store_put(n.store, (struct oak_store_rev){.main = kv.mod_rev}, &kv);
            OAK_ASSERT_EQ(error, 0);
        }
        state.applied += BATCH;
        int error = oak_store_commit(n.store, &state);
        OAK_ASSERT_EQ(error, 0);
        spent += now_us() - start;
    }
    free(value);
    node_close(&n);
    return spent / (double)puts;
}

int main(int argc, char **argv)
{
    uint64_t puts = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    size_t value_bytes = argc > 2 ? strtoull(argv[2], NULL, 10) : 256;
    uint64_t keys = argc > 3 ? strtoull(argv[3], NULL, 10) : 10000;
    puts = (puts + BATCH - 1) / BATCH * BATCH;
    if (keys == 0) {
        fprintf(stderr, "bench_kv [puts] [bytes of the value] [keys > 0]\n");
        return 2;
    }
    /* The better of three rounds of each, in turn: other programs only ever add. */
    double whole = run_machine(puts, value_bytes, keys);
    double store = run_store(puts, value_bytes, keys);
    for (int round = 0; round < 2; round++) {
        double again = run_machine(puts, value_bytes, keys);
        whole = OAK_MIN(whole, again);
        again = run_store(puts, value_bytes, keys);
        store = OAK_MIN(store, again);
    }
    printf("%" PRIu64 " puts of %zu B on %" PRIu64 " keys, batches of %d, memory engine\n", puts,
           value_bytes, keys, BATCH);
    printf("put: %.3f us, of which the store %.3f us, the machine %.3f us\n", whole, store,
           whole - store);
    return 0;
}
