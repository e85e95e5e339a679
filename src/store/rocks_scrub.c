/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_scrub.c: every block of RocksDB's files is read again, and its checksum looked at.
 *
 * RocksDB checks a block when it reads it, and its C interface has no call that reads all of them.
 * So a walk over all keys, of any kind and group, does it: it leads through every block of data
 * that is in use, and through the index. What it does not read are filters: one that is damaged
 * lets a search look where nothing is, no more.
 *
 * Happy path   1 (owner) the place where the last piece ended, and a reference to the database
 *              2 (worker) an iterator from there, over so many bytes; then the key it stands at
 *              3 (owner) that is the next place; none is left: the pass is over.
 *              An iterator keeps files and memtables from going: it lives for one piece only.
 * Can fail     OAK_ENOMEM; what RocksDB says, OAK_ECORRUPT above all.
 * Invariants   what the block cache holds is not read from the disk; nothing read here stays in
 *              it.
 * Thread       begin, free: the owner's. Run: any.
 */
#include "store/rocks.h"

#include <stdlib.h>

/* Of a file at a time. */
#define AHEAD_BYTES (64 * OAK_KIB)

struct rocks_scrub {
    struct oak_store_scrub base;
    struct rocks_db *db; /* referenced */
    rocksdb_readoptions_t *options;
    struct oak_buf at;
};

int rocks__scrub_begin(struct oak_store *s, struct oak_store_scrub **out)
{
    struct rocks *r = rocks__of(s);
    struct rocks_scrub *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return OAK_ENOMEM;
    }
    if (oak_buf_append(&c->at, r->scrubbed.data, r->scrubbed.size) != 0) {
        free(c);
        return OAK_ENOMEM;
    }
    c->db = r->db;
    c->db->refs++;
    c->options = rocksdb_readoptions_create();
    rocksdb_readoptions_set_total_order_seek(c->options, 1);
    rocksdb_readoptions_set_verify_checksums(c->options, 1);
    rocksdb_readoptions_set_fill_cache(c->options, 0);
    rocksdb_readoptions_set_readahead_size(c->options, AHEAD_BYTES);
    *out = &c->base;
    return 0;
}

void rocks__scrub_run(struct oak_store_scrub *base, size_t bytes)
{
    struct rocks_scrub *c = OAK_CONTAINER_OF(base, struct rocks_scrub, base);
    rocksdb_iterator_t *it = rocksdb_create_iterator(c->db->db, c->options);
    size_t seen = 0;
    rocksdb_iter_seek(it, (const char *)c->at.data, c->at.size);
    while (seen < bytes && rocksdb_iter_valid(it)) {
        size_t key = 0;
        size_t value = 0;
        (void)rocksdb_iter_key(it, &key);
        (void)rocksdb_iter_value(it, &value);
        seen += key + value;
        rocksdb_iter_next(it);
    }
    oak_buf_clear(&c->at);
    base->whole = !rocksdb_iter_valid(it);
    if (!base->whole) {
        size_t size = 0;
        const char *key = rocksdb_iter_key(it, &size);
        base->error = oak_buf_append(&c->at, key, size);
    } else {
        char *said = NULL;
        rocksdb_iter_get_error(it, &said);
        base->error = said == NULL ? 0 : rocks__failed(base->store->log, "scrub", said);
    }
    rocksdb_iter_destroy(it);
}

void rocks__scrub_free(struct oak_store_scrub *base)
{
    struct rocks_scrub *c = OAK_CONTAINER_OF(base, struct rocks_scrub, base);
    struct rocks *r = rocks__of(base->store);
    if (base->error == 0 && c->db == r->db) {
        struct oak_buf old = r->scrubbed;
        r->scrubbed = c->at;
        c->at = old;
    }
    rocksdb_readoptions_destroy(c->options);
    rocks__db_unref(r, c->db);
    oak_buf_fini(&c->at);
    free(c);
}
