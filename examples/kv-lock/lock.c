/* SPDX-License-Identifier: Apache-2.0 */
/* lock.c ENDPOINTS COUNTER: adds one to a counter of the cluster, under a lock. */
#include <oakum/sync.h>
#include <stdio.h>
#include <stdlib.h>

/* One more, provided that the lock is still ours when it is written. */
static int add_one(struct oak_sync *cluster, const struct oak_sync_turn *lock, struct oak_bytes key,
                   long *sum)
{
    struct oak_client_answer *answer;
    char text[32] = "0";
    int error = oak_sync_get(cluster, key, 0, &answer);
    if (error == 0 && answer->result.kv_count == 1) {
        const struct oak_bytes value = answer->result.kvs[0].value;
        snprintf(text, sizeof(text), "%.*s", (int)value.size, (const char *)value.data);
    }
    oak_client_answer_free(answer);
    if (error != 0) {
        return error;
    }
    *sum = strtol(text, NULL, 10) + 1;
    snprintf(text, sizeof(text), "%ld", *sum);
    struct oak_client_builder *txn = oak_client_txn_new();
    const struct oak_client_compare ours = {.key = oak_sync_turn_key(lock),
                                            .target = OAK_CLIENT_CREATE,
                                            .number = oak_sync_turn_revision(lock)};
    oak_client_txn_if(txn, ours);
    oak_client_txn_then(txn, oak_client_put(key, oak_bytes_str(text)));
    error = oak_sync_txn(cluster, txn, 0, &answer);
    if (error == 0 && !answer->result.succeeded) {
        error = OAK_ELEASENOTFOUND; /* lost meanwhile: nothing was written */
    }
    oak_client_answer_free(answer);
    oak_client_txn_free(txn);
    return error;
}

int main(int argc, char **argv)
{
    struct oak_errbuf e = {"usage: kv-lock ENDPOINTS COUNTER"};
    struct oak_sync *cluster;
    struct oak_sync_turn *lock;
    long sum = 0;
    if (argc != 3 || oak_sync_open(argv[1], NULL, &cluster, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    int error = oak_sync_lock(cluster, oak_bytes_str("kv-lock"), 10, OAK_SYNC_FOREVER, &lock);
    if (error == 0) {
        error = add_one(cluster, lock, oak_bytes_str(argv[2]), &sum);
        (void)oak_sync_turn_end(lock, 0); /* if not now, it goes with its lease */
    }
    oak_sync_free(cluster);
    if (error != 0) {
        return fprintf(stderr, "%s\n", oak_error_text(error)), 1;
    }
    return printf("%ld\n", sum), 0;
}
