/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_open.c: RocksDB's options, and the directory: databases 1, 2, ... and a file that names
 * one.
 *
 * Format       dir/current: 24 bytes: "OAKROCK1", number u64, CRC-32C of the encoded group u32,
 * CRC-32C of the first 20 u32 (little endian). It is written whole under another name, synced and
 * renamed: the switch from one database to another, as a restore makes it, is that rename.
 *              dir/<number>/: RocksDB's own files. Any number but the current one is left over.
 *              dir/restoring-...: of a restore (rocks_restore.c), or left over.
 *
 * Memory       memory_bytes: 3/6 write buffers (three, of which one is usually in use), 1/6 block
 * cache with index and filter blocks in it, 1/3 the cache of newest versions.
 *
 * Can fail     OAK_ECORRUPT with the file and what to do; OAK_EIO, OAK_ENOSPC.
 * Thread       the owner's.
 */
#include "store/rocks.h"

#include <stdio.h>
#include <stdlib.h>

/* RocksDB's kPersistedTier, which its C interface gives no name. */
#define READ_TIER_PERSISTED 2
/* Above its highest level of log lines, HEADER_LEVEL. */
#define INFO_LOG_NONE 6

#define CURRENT_MAGIC "OAKROCK1"
#define CURRENT_BYTES 24

/* -- the part of a key that the Bloom filters know --------------------------------------------- */

static void prefix_done(void *state)
{
    (void)state;
}
static const char *prefix_name(void *state)
{
    (void)state;
    return "oakum.key";
}
static unsigned char prefix_in_domain(void *state, const char *key, size_t size)
{
    (void)state;
    const uint8_t *k = (const uint8_t *)key;
    return size > 0 && size >= (size_t)k[0] + 2 + 2 + ROCKS_REV_BYTES &&
           k[1 + k[0]] == ROCKS_VERSION;
}
static unsigned char prefix_in_range(void *state, const char *key, size_t size)
{
    (void)state;
    (void)key;
    (void)size;
    return 0;
}
static char *prefix_of(void *state, const char *key, size_t size, size_t *prefix_size)
{
    (void)state;
    *prefix_size = size - ROCKS_REV_BYTES;
    /* RocksDB's C interface wants a pointer that it does not write through. */
    union {
        const char *in;
        char *out;
    } same = {.in = key};
    return same.out;
}

/* -- options ----------------------------------------------------------------------------------- */

static void set_table(struct rocks *r, size_t memory)
{
    rocksdb_lru_cache_options_t *lru = rocksdb_lru_cache_options_create();
    rocksdb_lru_cache_options_set_capacity(lru, memory / 8);
    rocksdb_lru_cache_options_set_num_shard_bits(lru, 1); /* two threads at most are at it */
    r->blocks = rocksdb_cache_create_lru_opts(lru);
    rocksdb_lru_cache_options_destroy(lru);
    r->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(r->table, r->blocks);
    rocksdb_block_based_options_set_block_size(r->table, 4 * OAK_KIB);
    rocksdb_block_based_options_set_format_version(r->table, 5);
    rocksdb_block_based_options_set_filter_policy(r->table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_block_based_options_set_whole_key_filtering(r->table, 0);
    /* In pieces of a block's size: a whole index of a file would push out everything else. */
    rocksdb_block_based_options_set_index_type(
        r->table, rocksdb_block_based_table_index_type_two_level_index_search);
    rocksdb_block_based_options_set_partition_filters(r->table, 1);
    rocksdb_block_based_options_set_metadata_block_size(r->table, 4 * OAK_KIB);
    rocksdb_block_based_options_set_pin_top_level_index_and_filter(r->table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(r->table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(r->table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(r->table, 1);
    rocksdb_options_set_block_based_table_factory(r->options, r->table);
}

static void set_options(struct rocks *r, size_t memory)
{
    rocksdb_options_t *o = r->options;
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_paranoid_checks(o, 1);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_max_open_files(o, 256);
    rocksdb_options_set_write_buffer_size(o, memory / 8);
    rocksdb_options_set_max_write_buffer_number(o, ROCKS_MEMTABLES_MAX);
    rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.05);
    rocksdb_options_set_prefix_extractor(
        o, rocksdb_slicetransform_create(NULL, prefix_done, prefix_of, prefix_in_domain,
                                         prefix_in_range, prefix_name));
    rocksdb_options_set_compaction_style(o, rocksdb_level_compaction);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_target_file_size_base(o, ROCKS_FILE_BYTES);
    rocksdb_options_set_max_bytes_for_level_base(o, 64 * OAK_MIB);
    rocksdb_options_set_compression(o, rocksdb_lz4_compression);
    /* Late rather than never: the owner must not wait for a compaction. */
    rocksdb_options_set_level0_file_num_compaction_trigger(o, 4);
    rocksdb_options_set_level0_slowdown_writes_trigger(o, ROCKS_LEVEL0_SLOW);
    rocksdb_options_set_level0_stop_writes_trigger(o, 2 * ROCKS_LEVEL0_SLOW);
    rocksdb_options_set_soft_pending_compaction_bytes_limit(o, 0);
    rocksdb_options_set_hard_pending_compaction_bytes_limit(o, 0);
    rocksdb_options_set_bytes_per_sync(o, 1 * OAK_MIB);
    /* Nothing: with a full disk its log file ends the process, where assertions are on (Debian).
     * What it would say that matters comes as errors, and into our log. */
    rocksdb_options_set_info_log_level(o, INFO_LOG_NONE);
    rocksdb_options_set_keep_log_file_num(o, 1);
    rocksdb_options_set_stats_dump_period_sec(o, 0);
    rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
}

int rocks__options(struct rocks *r, const struct oak_store_options *options)
{
    size_t memory = options->memory_bytes != 0 ? options->memory_bytes : 64 * OAK_MIB;
    memory = OAK_MAX(memory, 1 * OAK_MIB);
    r->options = rocksdb_options_create();
    r->read_point = rocksdb_readoptions_create();
    r->read_order = rocksdb_readoptions_create();
    r->read_files = rocksdb_readoptions_create();
    r->write = rocksdb_writeoptions_create();
    r->batch = rocksdb_writebatch_create();
    r->sort_bytes = memory / 8;
    set_table(r, memory);
    set_options(r, memory);
    rocksdb_readoptions_set_prefix_same_as_start(r->read_point, 1);
    rocksdb_readoptions_set_max_skippable_internal_keys(r->read_point, ROCKS_SKIP_MAX);
    rocksdb_readoptions_set_total_order_seek(r->read_order, 1);
    rocksdb_readoptions_set_read_tier(r->read_files, READ_TIER_PERSISTED);
    rocksdb_writeoptions_disable_WAL(r->write, 1);
    return rocks__cache_init(&r->cache, memory / 2);
}

void rocks__options_free(struct rocks *r)
{
    if (r->options == NULL) {
        return;
    }
    rocksdb_writebatch_destroy(r->batch);
    rocksdb_writeoptions_destroy(r->write);
    rocksdb_readoptions_destroy(r->read_point);
    rocksdb_readoptions_destroy(r->read_order);
    rocksdb_readoptions_destroy(r->read_files);
    rocksdb_options_destroy(r->options);
    rocksdb_block_based_options_destroy(r->table);
    rocksdb_cache_destroy(r->blocks);
}

/* -- databases --------------------------------------------------------------------------------- */

static char *db_path(const struct rocks *r, uint64_t number)
{
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)number);
    return store__path(r->dir, name);
}

int rocks__db_open(const struct rocks *r, uint64_t number, struct rocks_db **out,
                   struct oak_errbuf *e)
{
    struct rocks_db *db = calloc(1, sizeof(*db));
    char *path = db_path(r, number);
    if (db == NULL || path == NULL) {
        free(db);
        free(path);
        return oak_fail(e, OAK_ENOMEM, "store: %s", oak_error_text(OAK_ENOMEM));
    }
    *db = (struct rocks_db){.path = path, .refs = 1};
    char *said = NULL;
    db->db = rocksdb_open(r->options, path, &said);
    int error = 0;
    if (said != NULL) {
        char why[512];
        snprintf(why, sizeof(why), "%s", said);
        error = rocks__failed(r->base.log, "open", said);
        oak_fail(e, error,
                 error == OAK_ENOSPC
                     ? "store: can't open the database %s: %s: start again once there is space for "
                       "it; nothing in %s is lost"
                     : "store: can't open the database %s: %s. If it is damaged, move %s away and "
                       "start again: the contents come back from the log, or from another member",
                 path, why, r->dir);
    } else {
        error = r->base.disk->sync_dir(r->base.disk->user, r->dir);
        if (error != 0) {
            oak_fail(e, error, "store: can't sync %s: %s", r->dir, oak_error_text(error));
            rocksdb_close(db->db);
        }
    }
    if (error != 0) {
        free(path);
        free(db);
        return error;
    }
    *out = db;
    return 0;
}

static void db_destroy(const struct rocks *r, const char *path)
{
    char *said = NULL;
    rocksdb_destroy_db(r->options, path, &said);
    if (said != NULL) {
        oak_log(r->base.log, OAK_LOG_WARN, "store: can't remove %s, which is not needed: %s", path,
                said);
        rocksdb_free(said);
    }
}

void rocks__db_unref(const struct rocks *r, struct rocks_db *db)
{
    OAK_ASSERT_GT(db->refs, 0U);
    db->refs--;
    if (db->refs > 0) {
        return;
    }
    rocksdb_close(db->db);
    if (db->doomed) {
        db_destroy(r, db->path);
    }
    free(db->path);
    free(db);
}

/* -- which one is current ---------------------------------------------------------------------- */

struct listing {
    struct rocks *r;
    bool sweep;
    uint64_t found;
};

/* Of a restore that was interrupted. */
static void sweep_file(const struct rocks *r, const char *name)
{
    const struct oak_disk *disk = r->base.disk;
    char *path = store__path(r->dir, name);
    int error = path == NULL ? OAK_ENOMEM : disk->remove(disk->user, path);
    if (error != 0) {
        oak_log(r->base.log, OAK_LOG_WARN, "store: can't remove %s%s, which is not needed: %s",
                r->dir, name, oak_error_text(error));
    }
    free(path);
}

static void list_each(void *arg, const char *name)
{
    struct listing *l = arg;
    uint64_t number = 0;
    if (l->sweep && strncmp(name, ROCKS_RESTORING, sizeof(ROCKS_RESTORING) - 1) == 0) {
        sweep_file(l->r, name);
        return;
    }
    size_t digits = 0;
    while (name[digits] >= '0' && name[digits] <= '9' && digits < 18) {
        number = number * 10 + (uint64_t)(name[digits] - '0');
        digits++;
    }
    if (digits == 0 || name[digits] != '\0') {
        return;
    }
    l->found++;
    if (!l->sweep || number == l->r->number) {
        return;
    }
    rocks__sweep_one(l->r, number);
}

void rocks__sweep_one(const struct rocks *r, uint64_t number)
{
    OAK_ASSERT_NE(number, r->number);
    char *path = db_path(r, number);
    if (path != NULL) {
        db_destroy(r, path);
        free(path);
    }
}

static int list_databases(struct rocks *r, bool sweep, uint64_t *found)
{
    struct listing l = {.r = r, .sweep = sweep};
    int error = r->base.disk->list(r->base.disk->user, r->dir, list_each, &l);
    *found = l.found;
    return error;
}

void rocks__sweep(struct rocks *r)
{
    uint64_t found;
    if (list_databases(r, true, &found) != 0) {
        oak_log(r->base.log, OAK_LOG_WARN, "store: can't list %s to tidy it up", r->dir);
    }
}

/* Stands in the file to catch a directory that was moved to the wrong place. */
static uint32_t group_mark(const struct rocks *r)
{
    return oak_crc32c(0, r->group.bytes, r->group.size);
}

static int stage_as(const struct rocks *r, const char *path, uint64_t number)
{
    const struct oak_disk *disk = r->base.disk;
    uint8_t bytes[CURRENT_BYTES];
    memcpy(bytes, CURRENT_MAGIC, 8);
    oak_put_u64(bytes + 8, number);
    oak_put_u32(bytes + 16, group_mark(r));
    oak_put_u32(bytes + 20, oak_crc32c(0, bytes, 20));
    struct oak_file *file;
    int error = disk->remove(disk->user, path);
    if (error != 0 && error != OAK_ENOENT) {
        return error;
    }
    error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error != 0) {
        return error;
    }
    error = disk->write(disk->user, file, 0, bytes, CURRENT_BYTES);
    if (error == 0) {
        error = disk->sync(disk->user, file);
    }
    disk->close(disk->user, file);
    return error;
}

int rocks__current_stage(const struct rocks *r, uint64_t number)
{
    char *path = store__path(r->dir, "current.part");
    int error = path == NULL ? OAK_ENOMEM : stage_as(r, path, number);
    free(path);
    return error;
}

int rocks__current_switch(const struct rocks *r)
{
    const struct oak_disk *disk = r->base.disk;
    char *from = store__path(r->dir, "current.part");
    char *to = store__path(r->dir, "current");
    int error = from == NULL || to == NULL ? OAK_ENOMEM : disk->rename(disk->user, from, to);
    free(from);
    free(to);
    return error == 0 ? disk->sync_dir(disk->user, r->dir) : error;
}

static int current_make(struct rocks *r, struct oak_errbuf *e)
{
    uint64_t found;
    int error = list_databases(r, false, &found);
    if (error == 0 && found > 0) {
        return oak_fail(
            e, OAK_ECORRUPT,
            "store: %s holds a database but no file \"current\"; move the directory away "
            "and start again: the contents come back from the log, or from another member",
            r->dir);
    }
    if (error == 0) {
        r->number = 1;
        error = rocks__current_stage(r, r->number);
        error = error != 0 ? error : rocks__current_switch(r);
    }
    return error == 0
               ? 0
               : oak_fail(e, error, "store: can't set up %s: %s", r->dir, oak_error_text(error));
}

int rocks__current_read(struct rocks *r, struct oak_errbuf *e)
{
    const struct oak_disk *disk = r->base.disk;
    uint8_t bytes[CURRENT_BYTES + 1];
    size_t got = 0;
    char *path = store__path(r->dir, "current");
    if (path == NULL) {
        return oak_fail(e, OAK_ENOMEM, "store: %s", oak_error_text(OAK_ENOMEM));
    }
    struct oak_file *file;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    free(path);
    if (error == OAK_ENOENT) {
        return current_make(r, e);
    }
    if (error == 0) {
        error = disk->read(disk->user, file, 0, bytes, sizeof(bytes), &got);
        disk->close(disk->user, file);
    }
    if (error != 0) {
        return oak_fail(e, error, "store: can't read %scurrent: %s", r->dir, oak_error_text(error));
    }
    if (got != CURRENT_BYTES || memcmp(bytes, CURRENT_MAGIC, 8) != 0 ||
        oak_get_u32(bytes + 20) != oak_crc32c(0, bytes, 20)) {
        return oak_fail(e, OAK_ECORRUPT,
                        "store: %scurrent is damaged; move the directory away and start again: the "
                        "contents come back from the log, or from another member",
                        r->dir);
    }
    if (oak_get_u32(bytes + 16) != group_mark(r)) {
        return oak_fail(e, OAK_EINVAL, "store: %s belongs to another group", r->dir);
    }
    r->number = oak_get_u64(bytes + 8);
    return 0;
}

/* -- what is in it ----------------------------------------------------------------------------- */

static int load_metas(struct rocks *r)
{
    int error = rocks__kind_key(&r->group, ROCKS_META, oak_bytes(NULL, 0), &r->key);
    rocksdb_iterator_t *it = rocksdb_create_iterator(r->db->db, r->read_order);
    if (error == 0) {
        rocksdb_iter_seek(it, (const char *)r->key.data, r->key.size);
    }
    while (error == 0 && rocksdb_iter_valid(it)) {
        size_t key_size = 0;
        size_t data_size = 0;
        const char *key = rocksdb_iter_key(it, &key_size);
        const char *data = rocksdb_iter_value(it, &data_size);
        size_t skip = r->key.size;
        if (key_size < skip || memcmp(key, r->key.data, skip) != 0) {
            break;
        }
        if (key_size - skip > STORE_META_KEY_MAX || data_size == 0) {
            error = OAK_ECORRUPT;
            break;
        }
        error = store__meta_put(&r->base.meta, oak_bytes(key + skip, key_size - skip),
                                oak_bytes(data, data_size));
        rocksdb_iter_next(it);
    }
    if (error == 0) {
        char *said = NULL;
        rocksdb_iter_get_error(it, &said);
        error = said == NULL ? 0 : rocks__failed(r->base.log, "read", said);
    }
    rocksdb_iter_destroy(it);
    store__meta_commit(&r->base.meta);
    return error;
}

void rocks__adopt(struct rocks *r, const struct rocks_state *state)
{
    store__adopt(&r->base, &state->state, state->keys);
    r->committed_keys = state->keys;
    r->reclaimed = state->reclaimed;
    r->reclaim_at = (struct oak_store_rev){0};
    r->reclaiming_floor = -1;
    r->reclaimed_floor = -1;
}

int rocks__load(struct rocks *r, struct oak_errbuf *e)
{
    const struct rocks_state empty = {.state = r->base.state};
    rocks__adopt(r, &empty);
    int error = rocks__kind_key(&r->group, ROCKS_STATE, oak_bytes(NULL, 0), &r->key);
    if (error != 0) {
        return oak_fail(e, error, "store: %s", oak_error_text(error));
    }
    char *said = NULL;
    size_t size = 0;
    char *bytes =
        rocksdb_get(r->db->db, r->read_order, (const char *)r->key.data, r->key.size, &size, &said);
    if (said != NULL) {
        error = rocks__failed(r->base.log, "read", said);
    } else if (bytes != NULL) {
        struct rocks_state state;
        error = rocks__state_decode(oak_bytes(bytes, size), &state);
        if (error == 0) {
            rocks__adopt(r, &state);
        }
        rocksdb_free(bytes);
    }
    if (error == 0) {
        error = load_metas(r);
    }
    return error == 0
               ? 0
               : oak_fail(e, error,
                          "store: the database in %s can't be read: %s; move it away and start "
                          "again: the contents come back from the log, or from another member",
                          r->dir, oak_error_text(error));
}
