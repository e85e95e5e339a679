/* SPDX-License-Identifier: Apache-2.0 */
/* memory_file.c: the memory engine's snapshots, and the file it flushes to.
 *
 * Happy path   flush: 1 the owner makes the stream in a buffer 2 a worker writes store.part,
 *              syncs it, renames it to store, syncs the directory. So a "store" is always whole.
 * Can fail     writing: OAK_ENOSPC leaves the older file; OAK_EIO. Reading: OAK_ECORRUPT names
 *              the file.
 * Invariants   a worker touches only its own flush or snapshot, never the tree.
 *              A restore writes store.next and renames that.
 * Thread       as store.h says: begin, open, adopt: the owner's. The rest: any.
 */
#include "store/memory.h"

#include <stdlib.h>

#include "base/zoo.h"

struct memory_flush {
    struct oak_store_flush base;
    struct oak_buf stream;
    uint64_t file_bytes;
};
struct memory_snapshot {
    struct oak_store_snapshot base;
    struct oak_buf stream;
    size_t given;
};

/* -- making the stream ------------------------------------------------------------------------- */

struct stream_build {
    struct store_stream_out out;
    struct oak_buf *buf;
    int error;
};

static bool build_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct stream_build *b = arg;
    if (OAK_BUG(store_loses_leased) && key.size > 7 && memcmp(key.data, "leased/", 7) == 0) {
        return true;
    }
    b->error = store__stream_meta(&b->out, key, data, b->buf);
    return b->error == 0;
}

/* Newest committed first, without what the floor hides. */
static int build_key(struct stream_build *b, const struct store_key *key, int64_t floor,
                     struct oak_store_rev committed)
{
    struct store_sieve sieve = {0};
    for (const struct store_version *v = key->newest; v != NULL; v = v->older) {
        if (store__rev_cmp(v->rev, committed) > 0 ||
            !store__sieve_keeps(&sieve, floor, v->rev.main, v->deleted)) {
            continue;
        }
        struct store_item item;
        store__version_item(v, &item);
        int error = store__stream_version(&b->out, &item, b->buf);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int build_stream(const struct store_tree *tree, const struct store_meta *meta,
                        const struct oak_store_state *state, struct oak_store_rev committed,
                        struct oak_buf *buf)
{
    struct stream_build b = {.buf = buf};
    b.error = store__stream_state(&b.out, state, buf);
    if (b.error == 0) {
        store__meta_each(meta, true, build_meta, &b);
    }
    struct store_cursor c;
    store__cursor_first(tree, &c);
    while (b.error == 0 && c.key != NULL) {
        b.error = build_key(&b, c.key, state->compacted, committed);
        store__cursor_next(&c);
    }
    return b.error != 0 ? b.error : store__stream_end(&b.out, buf);
}

static int build_committed(const struct memory *m, struct oak_buf *buf)
{
    return build_stream(&m->data.tree, &m->base.meta, &m->base.state, m->base.committed, buf);
}

/* -- writing the file -------------------------------------------------------------------------- */

static int write_chunks(const struct oak_disk *disk, struct oak_file *file, struct oak_bytes stream,
                        uint64_t *size)
{
    uint64_t at = MEMORY_FILE_HEADER_BYTES;
    uint32_t all = 0;
    uint8_t head[MEMORY_FILE_CHUNK_HEAD];
    size_t done = 0;
    while (done < stream.size) {
        size_t part = OAK_MIN(stream.size - done, MEMORY_FILE_CHUNK_BYTES);
        const uint8_t *bytes = stream.data + done;
        all = oak_crc32c(all, bytes, part);
        oak_put_u32(head, (uint32_t)part);
        oak_put_u32(head + 4, oak_crc32c(0, bytes, part));
        int error = disk->write(disk->user, file, at, head, sizeof(head));
        if (error == 0) {
            error = disk->write(disk->user, file, at + sizeof(head), bytes, part);
        }
        if (error != 0) {
            return error;
        }
        at += sizeof(head) + part;
        done += part;
    }
    oak_put_u32(head, 0);
    oak_put_u32(head + 4, all);
    *size = at + sizeof(head);
    return disk->write(disk->user, file, at, head, sizeof(head));
}

/* A whole file under another name, synced. */
static int write_temp(const struct memory *m, const char *path, struct oak_bytes stream,
                      uint64_t *size)
{
    const struct oak_disk *disk = m->base.disk;
    struct oak_file *file;
    int error = disk->remove(disk->user, path);
    if (error != 0 && error != OAK_ENOENT) {
        return error;
    }
    error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error != 0) {
        return error;
    }
    uint8_t header[MEMORY_FILE_HEADER_BYTES];
    memcpy(header, MEMORY_FILE_MAGIC, 8);
    oak_put_u64(header + 8, m->group);
    oak_put_u32(header + 16, MEMORY_FILE_VERSION);
    oak_put_u32(header + 20, oak_crc32c(0, header, 20));
    error = disk->write(disk->user, file, 0, header, sizeof(header));
    if (error == 0) {
        error = write_chunks(disk, file, stream, size);
    }
    if (error == 0) {
        error = disk->sync(disk->user, file);
    }
    disk->close(disk->user, file);
    return error;
}

/* Replace the file by one that holds `stream`. Touches of `m` only what never changes. */
static int write_file(const struct memory *m, struct oak_bytes stream, uint64_t *size)
{
    const struct oak_disk *disk = m->base.disk;
    int error = write_temp(m, m->temp, stream, size);
    if (error == 0) {
        error = disk->rename(disk->user, m->temp, m->path);
    }
    if (error == 0) {
        return disk->sync_dir(disk->user, m->dir);
    }
    if (disk->remove(disk->user, m->temp) != 0) {
        oak_log(m->base.log, OAK_LOG_WARN, "store: %s is left behind; the next flush replaces it",
                m->temp);
    }
    return error;
}

int memory__flush_begin(struct oak_store *s, struct oak_store_flush **out)
{
    struct memory_flush *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return OAK_ENOMEM;
    }
    f->base.store = s;
    int error = build_committed(OAK_CONTAINER_OF(s, struct memory, base), &f->stream);
    if (error != 0) {
        memory__flush_free(&f->base);
        return error;
    }
    *out = &f->base;
    return 0;
}

void memory__flush_run(struct oak_store_flush *base)
{
    struct memory_flush *f = OAK_CONTAINER_OF(base, struct memory_flush, base);
    const struct memory *m = OAK_CONTAINER_OF(base->store, struct memory, base);
    base->error = write_file(m, oak_buf_bytes(&f->stream), &f->file_bytes);
    base->durable = base->error == 0 ? base->applied : 0;
}

void memory__flush_free(struct oak_store_flush *base)
{
    struct memory_flush *f = OAK_CONTAINER_OF(base, struct memory_flush, base);
    if (base->done && base->error == 0) {
        OAK_CONTAINER_OF(base->store, struct memory, base)->file_bytes = f->file_bytes;
    }
    oak_buf_fini(&f->stream);
    free(f);
}

/* -- snapshots --------------------------------------------------------------------------------- */

int memory__snapshot_open(struct oak_store *s, struct oak_store_snapshot **out)
{
    struct memory_snapshot *snap = calloc(1, sizeof(*snap));
    if (snap == NULL) {
        return OAK_ENOMEM;
    }
    int error = build_committed(OAK_CONTAINER_OF(s, struct memory, base), &snap->stream);
    if (error != 0) {
        memory__snapshot_close(&snap->base);
        return error;
    }
    *out = &snap->base;
    return 0;
}

int memory__snapshot_read(struct oak_store_snapshot *base, uint8_t *out, size_t capacity,
                          size_t *got)
{
    struct memory_snapshot *snap = OAK_CONTAINER_OF(base, struct memory_snapshot, base);
    *got = OAK_MIN(capacity, snap->stream.size - snap->given);
    if (*got > 0) {
        memcpy(out, snap->stream.data + snap->given, *got);
        snap->given += *got;
    }
    return 0;
}

void memory__snapshot_rewind(struct oak_store_snapshot *base)
{
    OAK_CONTAINER_OF(base, struct memory_snapshot, base)->given = 0;
}

void memory__snapshot_close(struct oak_store_snapshot *base)
{
    struct memory_snapshot *snap = OAK_CONTAINER_OF(base, struct memory_snapshot, base);
    oak_buf_fini(&snap->stream);
    free(snap);
}

/* -- taking a stream back ---------------------------------------------------------------------- */

/* New contents in the making. The stream gives a key's versions newest first, the tree wants them
 * oldest first: they are gathered until the next key. */
struct memory_restore {
    struct oak_store_restore base;
    struct store_stream_in in;
    struct memory_data data;
    struct store_meta meta;
    struct oak_store_state state;
    struct oak_buf bytes; /* key, then values, of the versions gathered */
    struct gathered {
        struct store_item item; /* its key is the first bytes; its value is at `value_at` */
        size_t value_at;
    } * gathered;
    size_t gathered_count;
    size_t gathered_room;
    uint64_t keys;
    uint64_t file_bytes;
    bool file; /* the file `next` is there */
};

static int restore_flush_key(struct memory_restore *r)
{
    for (size_t i = r->gathered_count; i > 0; i--) {
        struct gathered *g = &r->gathered[i - 1];
        g->item.kv.key.data = r->bytes.data;
        g->item.kv.value.data = r->bytes.data + g->value_at;
        int error = memory__data_push(&r->data, &g->item);
        if (error != 0) {
            return error;
        }
    }
    if (r->gathered_count > 0 && !r->gathered[0].item.deleted) {
        r->keys++;
    }
    r->gathered_count = 0;
    oak_buf_clear(&r->bytes);
    return 0;
}

static int restore_state(void *arg, const struct oak_store_state *state)
{
    struct memory_restore *r = arg;
    r->state = *state;
    return 0;
}

static int restore_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct memory_restore *r = arg;
    return store__meta_put(&r->meta, key, data);
}

static int restore_version(void *arg, const struct store_item *item)
{
    struct memory_restore *r = arg;
    int error = 0;
    if (r->gathered_count > 0) {
        size_t size = r->gathered[0].item.kv.key.size;
        if (!oak_bytes_eq(oak_bytes(r->bytes.data, size), item->kv.key)) {
            error = restore_flush_key(r);
        }
    }
    if (error == 0 && r->gathered_count == r->gathered_room) {
        size_t room = OAK_MAX((size_t)16, r->gathered_room * 2);
        struct gathered *more = realloc(r->gathered, room * sizeof(*more));
        if (more == NULL) {
            return OAK_ENOMEM;
        }
        r->gathered = more;
        r->gathered_room = room;
    }
    if (error == 0 && r->gathered_count == 0) {
        error = oak_buf_append(&r->bytes, item->kv.key.data, item->kv.key.size);
    }
    size_t value_at = r->bytes.size;
    if (error == 0) {
        error = oak_buf_append(&r->bytes, item->kv.value.data, item->kv.value.size);
    }
    if (error == 0) {
        r->gathered[r->gathered_count++] = (struct gathered){.item = *item, .value_at = value_at};
    }
    return error;
}

static int by_revision(const void *a, const void *b)
{
    const struct store_version *const *x = a;
    const struct store_version *const *y = b;
    return store__rev_cmp((*x)->rev, (*y)->rev);
}

/* The stream is whole: put the changes into the order of their revisions, and let go of those below
 * the floor, whose versions stay until something newer covers them. Two versions at one revision
 * are damage that no checksum of the stream shows. */
static int restore_settle(struct memory_restore *r)
{
    int error = store__stream_finish(&r->in);
    if (error == 0) {
        error = restore_flush_key(r);
    }
    if (error != 0) {
        return error;
    }
    store__meta_commit(&r->meta);
    struct memory_changes *c = &r->data.changes;
    if (c->end == 0) {
        return 0;
    }
    qsort(c->at, c->end, sizeof(struct store_version *), by_revision);
    for (size_t i = 1; i < c->end; i++) {
        if (store__rev_cmp(c->at[i - 1]->rev, c->at[i]->rev) == 0) {
            return OAK_ECORRUPT;
        }
    }
    while (c->first < c->end && c->at[c->first]->rev.main < r->state.compacted) {
        c->first++;
    }
    return 0;
}

static void restore_init(struct memory_restore *r, struct memory *m)
{
    *r = (struct memory_restore){.base.store = &m->base};
    const struct store_stream_sink sink = {
        .state = restore_state, .meta = restore_meta, .version = restore_version, .arg = r};
    store__stream_in_init(&r->in, &sink);
}

static void restore_fini(struct memory_restore *r)
{
    store__stream_in_fini(&r->in);
    memory__data_clear(&r->data);
    store__meta_fini(&r->meta);
    oak_buf_fini(&r->bytes);
    free(r->gathered);
}

/* The contents change hands; what was there before goes with `r`. */
static void restore_adopt(struct memory_restore *r, struct memory *m)
{
    struct memory_data data = m->data;
    struct store_meta meta = m->base.meta;
    m->data = r->data;
    m->base.meta = r->meta;
    r->data = data;
    r->meta = meta;
    store__adopt(&m->base, &r->state, r->keys);
}

int memory__restore_begin(struct oak_store *s, struct oak_store_restore **out)
{
    struct memory_restore *r = malloc(sizeof(*r));
    if (r == NULL) {
        return OAK_ENOMEM;
    }
    restore_init(r, OAK_CONTAINER_OF(s, struct memory, base));
    *out = &r->base;
    return 0;
}

int memory__restore_write(struct oak_store_restore *base, struct oak_bytes bytes)
{
    return store__stream_feed(&OAK_CONTAINER_OF(base, struct memory_restore, base)->in, bytes);
}

int memory__restore_prepare(struct oak_store_restore *base)
{
    struct memory_restore *r = OAK_CONTAINER_OF(base, struct memory_restore, base);
    const struct memory *m = OAK_CONTAINER_OF(base->store, struct memory, base);
    struct oak_buf stream = {0};
    int error = restore_settle(r);
    if (error == 0) {
        const struct oak_store_rev all = {.main = INT64_MAX, .sub = INT64_MAX};
        error = build_stream(&r->data.tree, &r->meta, &r->state, all, &stream);
    }
    if (error == 0) {
        r->file = true;
        error = write_temp(m, m->next, oak_buf_bytes(&stream), &r->file_bytes);
    }
    oak_buf_fini(&stream);
    return error;
}

int memory__restore_commit(struct oak_store_restore *base)
{
    struct memory_restore *r = OAK_CONTAINER_OF(base, struct memory_restore, base);
    const struct memory *m = OAK_CONTAINER_OF(base->store, struct memory, base);
    int error = m->base.disk->rename(m->base.disk->user, m->next, m->path);
    r->file = error != 0;
    return error != 0 ? error : m->base.disk->sync_dir(m->base.disk->user, m->dir);
}

void memory__restore_adopt(struct oak_store_restore *base)
{
    struct memory_restore *r = OAK_CONTAINER_OF(base, struct memory_restore, base);
    struct memory *m = OAK_CONTAINER_OF(base->store, struct memory, base);
    m->file_bytes = r->file_bytes;
    restore_adopt(r, m);
}

void memory__restore_free(struct oak_store_restore *base)
{
    struct memory_restore *r = OAK_CONTAINER_OF(base, struct memory_restore, base);
    const struct memory *m = OAK_CONTAINER_OF(base->store, struct memory, base);
    int error = r->file ? m->base.disk->remove(m->base.disk->user, m->next) : 0;
    if (error != 0 && error != OAK_ENOENT) {
        oak_log(m->base.log, OAK_LOG_WARN, "store: %s is left behind; the next restore replaces it",
                m->next);
    }
    restore_fini(r);
    free(r);
}

/* -- loading ----------------------------------------------------------------------------------- */

static int load_chunk(void *arg, struct oak_bytes bytes)
{
    struct memory_restore *r = arg;
    return store__stream_feed(&r->in, bytes);
}

static int load_contents(struct memory *m, struct oak_errbuf *e)
{
    struct memory_restore *r = malloc(sizeof(*r));
    if (r == NULL) {
        return OAK_ENOMEM;
    }
    restore_init(r, m);
    int error = memory__read(m, load_chunk, r, &m->file_bytes, e);
    if (error == 0) {
        error = restore_settle(r);
    }
    if (error == 0) {
        restore_adopt(r, m);
    }
    restore_fini(r);
    free(r);
    return error;
}

int memory__load(struct memory *m, struct oak_errbuf *e)
{
    const struct oak_disk *disk = m->base.disk;
    (void)disk->remove(disk->user, m->next); /* a crash came before its commit */
    int error = load_contents(m, e);
    if (error == OAK_ENOENT) {
        return 0;
    }
    if (error == OAK_ECORRUPT) {
        return oak_fail(
            e, error,
            "store: %s is damaged; move it away and start again: the contents come back "
            "from the log, or from another member",
            m->path);
    }
    if (error != 0 && error != OAK_EINVAL) {
        return oak_fail(e, error, "store: can't read %s: %s", m->path, oak_error_text(error));
    }
    return error;
}
