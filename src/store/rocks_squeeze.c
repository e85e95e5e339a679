/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_squeeze.c: space that nothing is in any more is given back.
 *
 * What is in memory goes to disk, without what was removed again; then RocksDB is told that all of
 * its files are worth merging, which it does by itself, with the threads it has for that.
 *
 * Can fail  any of it: nothing is lost, and it is only said.
 * Thread    begin and free: the owner's. run: the worker's.
 */
#include "store/rocks.h"

#include <stdlib.h>

struct rocks_squeeze {
    struct oak_store_squeeze base;
    const struct oak_log *log;
    const struct rocks *r;
    struct rocks_db *db;
};

int rocks__squeeze_begin(struct oak_store *s, struct oak_store_squeeze **out)
{
    struct rocks *r = rocks__of(s);
    int error = rocks__write_out(r);
    if (error != 0) {
        return error;
    }
    struct rocks_squeeze *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return OAK_ENOMEM;
    }
    q->base.ops = s->ops;
    q->log = s->log;
    q->r = r;
    q->db = r->db;
    q->db->refs++;
    *out = &q->base;
    return 0;
}

void rocks__squeeze_run(struct oak_store_squeeze *base)
{
    struct rocks_squeeze *q = OAK_CONTAINER_OF(base, struct rocks_squeeze, base);
    char *said = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(q->db->db, options, &said);
    rocksdb_flushoptions_destroy(options);
    if (said == NULL) {
        rocksdb_suggest_compact_range(q->db->db, NULL, 0, NULL, 0, &said);
    }
    if (said != NULL) {
        oak_log(q->log, OAK_LOG_WARN, "the store can't give space back now: %s", said);
        rocksdb_free(said);
    }
}

void rocks__squeeze_free(struct oak_store_squeeze *base)
{
    struct rocks_squeeze *q = OAK_CONTAINER_OF(base, struct rocks_squeeze, base);
    rocks__db_unref(q->r, q->db);
    free(q);
}
