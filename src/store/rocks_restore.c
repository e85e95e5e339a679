/* SPDX-License-Identifier: Apache-2.0 */
/* rocks_restore.c: a stream taken in, into a database of its own beside the current one.
 *
 * A stream has versions in order of key, as the database has them. So each goes once to the file in
 * which it stays: tables are written beside the database, and it takes them in as they are, below
 * its lowest level. Through memtables each byte would be written several times, by flushes and
 * compactions. The changes records go by revision, which is no order of the stream's: they are
 * sorted on disk first.
 *
 * Happy path   1 dir/<n + 1> is made; versions fill tables, changes go to the sorter
 *              2 the end of the stream: the changes, cut into records, fill more tables; metas and
 *                state another
 *              3 the database takes all of them, in one step: each is on the disk by then
 *              4 "current" is renamed to name the new database
 *              5 the owner's pointers are switched
 *              6 the old one is dropped.
 * Format       tables: dir/restoring-<n + 1>-<i>.sst, runs of the sorter:
 *              dir/restoring-<n + 1>-<i>.run. A crash before 4 leaves the old database current,
 *              and what lies beside it is swept at open.
 * Can fail     OAK_ENOMEM, OAK_EIO, OAK_ENOSPC; OAK_ECORRUPT for a bad stream, nothing changed.
 * Invariants   a worker touches its own restore and its own files, and of the engine what never
 *              changes.
 * Thread       as store.h says: begin and adopt: the owner's. The rest: any.
 */
#include "store/rocks.h"

#include <stdio.h>
#include <stdlib.h>

#include "sort/sort.h"

/* A table has about so much: RocksDB's files of the lowest level have. */
#define TABLE_BYTES ROCKS_FILE_BYTES
/* Runs of changes that are read at a time, and what is merged of them in one step. */
#define RUNS_MAX   64
#define STEP_BYTES (64 * OAK_MIB)

struct rocks_restore {
    struct oak_store_restore base;
    struct store_stream_in in;
    struct rocks_db *db;  /* the new one, from the first write on */
    struct rocks_db *old; /* what was current before adopt, when nobody else reads it */
    uint64_t number;
    rocksdb_envoptions_t *env;
    rocksdb_sstfilewriter_t *table; /* being written, or NULL */
    uint64_t tables;                /* begun so far, each under its number */
    struct oak_sorter changes;
    char *runs; /* base of their names; NULL: there is no sorter yet */
    struct store_meta meta;
    struct rocks_state state;
    struct oak_buf last; /* key of the last version */
    struct oak_buf key;  /* scratch: the engine's is the owner's */
    struct oak_buf value;
    bool switched; /* "current" may name it: its files must stay */
};

static const struct rocks *engine(const struct rocks_restore *t)
{
    return rocks__of(t->base.store);
}

static int told(const struct rocks_restore *t, char *said)
{
    return said == NULL ? 0 : rocks__failed(engine(t)->base.log, "restore", said);
}

/* -- tables ------------------------------------------------------------------------------------ */

static char *table_path(const struct rocks_restore *t, uint64_t i)
{
    char name[64];
    snprintf(name, sizeof(name), ROCKS_RESTORING "%llu-%llu.sst", (unsigned long long)t->number,
             (unsigned long long)i);
    return store__path(engine(t)->dir, name);
}

static int table_open(struct rocks_restore *t)
{
    char *said = NULL;
    char *path = table_path(t, t->tables);
    if (path == NULL) {
        return OAK_ENOMEM;
    }
    t->table = rocksdb_sstfilewriter_create(t->env, engine(t)->options);
    t->tables++;
    rocksdb_sstfilewriter_open(t->table, path, &said);
    free(path);
    return told(t, said);
}

/* It is whole, and on the disk. */
static int table_close(struct rocks_restore *t)
{
    char *said = NULL;
    if (t->table == NULL) {
        return 0;
    }
    rocksdb_sstfilewriter_finish(t->table, &said);
    rocksdb_sstfilewriter_destroy(t->table);
    t->table = NULL;
    return told(t, said);
}

/* Behind what the open table has. */
static int table_put(struct rocks_restore *t, const struct oak_buf *key, struct oak_bytes value)
{
    char *said = NULL;
    uint64_t size = 0;
    int error = t->table == NULL ? table_open(t) : 0;
    if (error != 0) {
        return error;
    }
    rocksdb_sstfilewriter_put(t->table, (const char *)key->data, key->size,
                              (const char *)value.data, value.size, &said);
    if (said != NULL) {
        return told(t, said);
    }
    rocksdb_sstfilewriter_file_size(t->table, &size);
    return size < TABLE_BYTES ? 0 : table_close(t);
}

static void tables_remove(const struct rocks_restore *t)
{
    const struct oak_disk *disk = engine(t)->base.disk;
    for (uint64_t i = 0; i < t->tables; i++) {
        char *path = table_path(t, i);
        if (path != NULL) {
            (void)disk->remove(disk->user, path); /* what stays is swept at open */
            free(path);
        }
    }
}

/* They become files of the database, all or none. */
static int tables_take(struct rocks_restore *t)
{
    int error = 0;
    char *said = NULL;
    char **paths = calloc((size_t)t->tables, sizeof(*paths));
    for (uint64_t i = 0; paths != NULL && i < t->tables; i++) {
        paths[i] = table_path(t, i);
        error = paths[i] == NULL ? OAK_ENOMEM : error;
    }
    error = paths == NULL ? OAK_ENOMEM : error;
    if (error == 0) {
        rocksdb_ingestexternalfileoptions_t *how = rocksdb_ingestexternalfileoptions_create();
        rocksdb_ingestexternalfileoptions_set_move_files(how, 1);
        rocksdb_ingest_external_file(t->db->db, (const char *const *)paths, (size_t)t->tables, how,
                                     &said);
        rocksdb_ingestexternalfileoptions_destroy(how);
        error = told(t, said);
    }
    for (uint64_t i = 0; paths != NULL && i < t->tables; i++) {
        free(paths[i]);
    }
    free(paths);
    return error;
}

/* -- changes ----------------------------------------------------------------------------------- */

static int change_note(struct rocks_restore *t, const struct store_item *item)
{
    uint8_t rev[ROCKS_REV_BYTES];
    rocks__changes_rev(item->rev, rev);
    oak_buf_clear(&t->value);
    int error = rocks__change(item, item->rev.main, &t->value);
    const struct oak_sorter_pair pair = {.key = oak_bytes(rev, sizeof(rev)),
                                         .value = oak_buf_bytes(&t->value)};
    return error != 0 ? error : oak_sorter_add(&t->changes, &pair);
}

/* A record of changes that grows. */
struct record {
    struct oak_store_rev first;
    struct oak_store_rev last; /* of the change before, also when that is in another record */
    struct oak_buf bytes;
};

static int record_put(struct rocks_restore *t, struct record *record)
{
    int error =
        record->bytes.size == 0 ? 0 : rocks__changes_key(&engine(t)->group, record->first, &t->key);
    if (error == 0 && record->bytes.size > 0) {
        error = table_put(t, &t->key, oak_buf_bytes(&record->bytes));
    }
    oak_buf_clear(&record->bytes);
    return error;
}

/* Two versions at one revision: the stream was made by no store. */
static int record_add(struct rocks_restore *t, struct record *record,
                      const struct oak_sorter_pair *pair)
{
    struct oak_reader reader = oak_reader(pair->value);
    struct rocks_change change = {.rev = rocks__changes_rev_get(pair->key.data)};
    int error = rocks__change_decode(&reader, &change);
    if (error != 0 || store__rev_cmp(change.rev, record->last) <= 0) {
        return OAK_ECORRUPT;
    }
    const struct store_item item = {.rev = change.rev,
                                    .deleted = change.deleted,
                                    .kv = {.key = change.key, .version = change.first ? 1 : 2}};
    if (record->bytes.size == 0) {
        record->first = change.rev;
        record->last.main = 0;
    }
    error = rocks__change(&item, record->last.main, &record->bytes);
    record->last = change.rev;
    return error != 0 || record->bytes.size < ROCKS_CHANGES_BYTES ? error : record_put(t, record);
}

static int changes_put(struct rocks_restore *t)
{
    struct record record = {0};
    struct oak_sorter_pair pair;
    bool more = true;
    int error = oak_sorter_seal(&t->changes);
    while (error == 0 && more) {
        error = oak_sorter_narrow(&t->changes, STEP_BYTES, &more);
    }
    while (error == 0 && (error = oak_sorter_next(&t->changes, &pair)) == 0) {
        error = record_add(t, &record, &pair);
    }
    error = error == OAK_ENOENT ? record_put(t, &record) : error;
    oak_buf_fini(&record.bytes);
    return error;
}

/* -- what the stream has ----------------------------------------------------------------------- */

static int restore_state(void *arg, const struct oak_store_state *state)
{
    struct rocks_restore *t = arg;
    t->state = (struct rocks_state){.state = *state};
    return 0;
}

static int restore_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct rocks_restore *t = arg;
    return store__meta_put(&t->meta, key, data);
}

static int restore_version(void *arg, const struct store_item *item)
{
    struct rocks_restore *t = arg;
    if (t->last.size == 0 || !oak_bytes_eq(oak_buf_bytes(&t->last), item->kv.key)) {
        t->state.keys += item->deleted ? 0 : 1;
        oak_buf_clear(&t->last);
        int error = oak_buf_append(&t->last, item->kv.key.data, item->kv.key.size);
        if (error != 0) {
            return error;
        }
    }
    int error = rocks__version_key(&engine(t)->group, item->kv.key, item->rev, &t->key);
    if (error == 0) {
        error = rocks__value(item, &t->value);
    }
    if (error == 0) {
        error = table_put(t, &t->key, oak_buf_bytes(&t->value));
    }
    return error != 0 || item->rev.main < t->state.state.compacted ? error : change_note(t, item);
}

struct metas_put {
    struct rocks_restore *t;
    int error;
};

static bool meta_put(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct metas_put *m = arg;
    m->error = rocks__kind_key(&engine(m->t)->group, ROCKS_META, key, &m->t->key);
    m->error = m->error != 0 ? m->error : table_put(m->t, &m->t->key, data);
    return m->error == 0;
}

/* The state's kind is behind that of metas. */
static int metas_and_state_put(struct rocks_restore *t)
{
    struct metas_put metas = {.t = t};
    uint8_t value[ROCKS_STATE_BYTES];
    store__meta_each(&t->meta, false, meta_put, &metas);
    int error = metas.error != 0
                    ? metas.error
                    : rocks__kind_key(&engine(t)->group, ROCKS_STATE, oak_bytes(NULL, 0), &t->key);
    rocks__state(&t->state, value);
    return error != 0 ? error : table_put(t, &t->key, oak_bytes(value, sizeof(value)));
}

/* -- the door ---------------------------------------------------------------------------------- */

int rocks__restore_begin(struct oak_store *s, struct oak_store_restore **out)
{
    struct rocks_restore *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return OAK_ENOMEM;
    }
    t->base.store = s;
    t->number = rocks__of(s)->number + 1;
    t->env = rocksdb_envoptions_create();
    const struct store_stream_sink sink = {
        .state = restore_state, .meta = restore_meta, .version = restore_version, .arg = t};
    store__stream_in_init(&t->in, &sink);
    *out = &t->base;
    return 0;
}

static int sorter_open(struct rocks_restore *t)
{
    const struct rocks *r = engine(t);
    char name[64];
    snprintf(name, sizeof(name), ROCKS_RESTORING "%llu", (unsigned long long)t->number);
    t->runs = store__path(r->dir, name);
    return t->runs == NULL
               ? OAK_ENOMEM
               : oak_sorter_init(&t->changes, r->base.disk, t->runs, r->sort_bytes, RUNS_MAX);
}

/* With the first write, which is a worker's: opening a database takes its time. */
static int restore_open(struct rocks_restore *t)
{
    const struct rocks *r = engine(t);
    if (t->db != NULL) {
        return 0;
    }
    OAK_ASSERT(t->runs == NULL);
    int error = sorter_open(t);
    if (error != 0) {
        return error;
    }
    rocks__sweep_one(r, t->number);
    error = rocks__db_open(r, t->number, &t->db, NULL);
    if (error == 0) {
        t->db->doomed = true;
    }
    return error;
}

int rocks__restore_write(struct oak_store_restore *base, struct oak_bytes bytes)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    int error = restore_open(t);
    return error != 0 ? error : store__stream_feed(&t->in, bytes);
}

int rocks__restore_prepare(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    uint64_t applied = 0;
    int error = store__stream_finish(&t->in);
    error = error != 0 ? error : table_close(t);
    error = error != 0 ? error : changes_put(t);
    error = error != 0 ? error : table_close(t);
    error = error != 0 ? error : metas_and_state_put(t);
    error = error != 0 ? error : table_close(t);
    error = error != 0 ? error : tables_take(t);
    error = error != 0 ? error : rocks__applied_in_files(engine(t), t->db, &applied);
    if (error == 0 && applied != t->state.state.applied) {
        oak_log(engine(t)->base.log, OAK_LOG_ERROR,
                "store: the database says that it has taken what was restored, and has not");
        error = OAK_EIO;
    }
    return error != 0 ? error : rocks__current_stage(engine(t), t->number);
}

int rocks__restore_commit(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    t->switched = true;
    return rocks__current_switch(rocks__of(base->store));
}

void rocks__restore_adopt(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    struct rocks *r = rocks__of(base->store);
    struct rocks_db *old = r->db;
    rocks__point_drop(r);
    rocks__gathered_drop(r);
    r->db = t->db;
    r->db->doomed = false;
    t->db = NULL;
    r->number = t->number;
    struct store_meta meta = r->base.meta;
    r->base.meta = t->meta;
    t->meta = meta;
    store__meta_commit(&r->base.meta);
    rocks__cache_clear(&r->cache);
    oak_buf_clear(&r->scrubbed);
    rocks__adopt(r, &t->state);
    /* Closing it takes its time: that is left to `end`, unless a snapshot still reads it, whose
     * close is the last then. */
    old->doomed = true;
    if (old->refs == 1) {
        t->old = old;
    } else {
        old->refs--;
    }
}

void rocks__restore_free(struct oak_store_restore *base)
{
    struct rocks_restore *t = OAK_CONTAINER_OF(base, struct rocks_restore, base);
    const struct rocks *r = engine(t);
    if (t->db != NULL) {
        t->db->doomed = !t->switched;
        rocks__db_unref(r, t->db);
    }
    if (t->old != NULL) {
        rocks__db_unref(r, t->old);
    }
    if (t->table != NULL) {
        rocksdb_sstfilewriter_destroy(t->table);
    }
    rocksdb_envoptions_destroy(t->env);
    tables_remove(t);
    if (t->runs != NULL) {
        oak_sorter_fini(&t->changes);
    }
    free(t->runs);
    store__stream_in_fini(&t->in);
    store__meta_fini(&t->meta);
    oak_buf_fini(&t->last);
    oak_buf_fini(&t->key);
    oak_buf_fini(&t->value);
    free(t);
}
