/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c: a bolt file from sorted pairs.
 *
 * Happy path   1 pairs gather in the open leaf; one that is full goes to the file, and its first
 *                key and number become an element of the branch above, which goes when it is full
 *              2 at a bucket's end what is open is closed from below; the last page is its root
 *              3 the leaf of the buckets, an empty freelist, and the two meta pages, which are
 *                written last, so that a file that was cut short is no file
 * Can fail     the disk, memory; the caller's order of keys. Then the file is removed.
 * Invariants   pages get numbers in the order in which they are written, without a gap. A page is
 *              longer than one only for a pair that is, or for two keys of a branch. Memory: one
 *              page a level, the largest pair, and what waits to be written.
 * Thread       one owner; blocks on the disk.
 */
#include "bolt/internal.h"

#include <stdlib.h>

/* Written together: a page at a time would be a system call for each 4 KiB. */
#define OUT_BYTES (256 * OAK_KIB)

/* One open page: elements, and the keys and values that they point to. */
struct level {
    struct oak_buf elements; /* BOLT_ELEMENT_BYTES each; positions are filled when it closes */
    struct oak_buf bytes;    /* keys and values */
    struct oak_buf first;    /* the first key */
    size_t count;
};

struct bucket {
    struct oak_buf name;
    uint64_t root; /* 0: it is empty */
};

struct oak_bolt_writer {
    const struct oak_disk *disk;
    char *path;
    struct oak_file *file;
    struct oak_buf out;
    uint64_t out_at; /* in the file, of the first byte that waits */
    uint64_t next;   /* page */
    struct level levels[BOLT_DEPTH_MAX];
    size_t depth; /* levels that have been used in this bucket */
    struct oak_buf last;
    struct bucket buckets[OAK_BOLT_BUCKETS_MAX];
    size_t bucket_count;
    bool failed;
};

/* -- pages to the file ------------------------------------------------------------------------- */

static int out_flush(struct oak_bolt_writer *w)
{
    int error = w->disk->write(w->disk->user, w->file, w->out_at, w->out.data, w->out.size);
    w->out_at += w->out.size;
    oak_buf_clear(&w->out);
    return error;
}

/* The pages that `head` and what is behind it fill; the rest of the last one is zeros. */
static int page_write(struct oak_bolt_writer *w, uint16_t kind, size_t count,
                      struct oak_bytes elements, struct oak_bytes bytes, uint64_t *number)
{
    size_t size = BOLT_PAGE_HEAD + elements.size + bytes.size;
    size_t pages = (size + BOLT_PAGE_BYTES - 1) / BOLT_PAGE_BYTES;
    OAK_ASSERT_LE(count, UINT16_MAX);
    const struct bolt__page_head head = {
        .id = w->next,
        .kind = kind,
        .count = (uint16_t)count,
        .overflow = (uint32_t)(pages - 1),
    };
    int error = oak_buf_reserve(&w->out, pages * BOLT_PAGE_BYTES);
    if (error != 0) {
        return error;
    }
    uint8_t *p = w->out.data + w->out.size;
    bolt__page_head_put(p, &head);
    if (elements.size > 0) {
        memcpy(p + BOLT_PAGE_HEAD, elements.data, elements.size);
        memcpy(p + BOLT_PAGE_HEAD + elements.size, bytes.data, bytes.size);
    }
    memset(p + size, 0, pages * BOLT_PAGE_BYTES - size);
    w->out.size += pages * BOLT_PAGE_BYTES;
    *number = w->next;
    w->next += pages;
    return w->out.size >= OUT_BYTES ? out_flush(w) : 0;
}

/* -- levels ------------------------------------------------------------------------------------ */

static void level_clear(struct level *l)
{
    oak_buf_clear(&l->elements);
    oak_buf_clear(&l->bytes);
    oak_buf_clear(&l->first);
    l->count = 0;
}

/* An element's position counts from itself; so far it counts from the first byte behind all. */
static void positions_set(struct level *l, bool leaf)
{
    for (size_t i = 0; i < l->count; i++) {
        uint8_t *p = l->elements.data + i * BOLT_ELEMENT_BYTES + (leaf ? 4 : 0);
        size_t behind = l->elements.size - i * BOLT_ELEMENT_BYTES;
        oak_put_u32(p, oak_get_u32(p) + (uint32_t)behind);
    }
}

static int element_add(struct level *l, const uint8_t element[BOLT_ELEMENT_BYTES],
                       struct oak_bytes key, struct oak_bytes value)
{
    int error = oak_buf_append(&l->elements, element, BOLT_ELEMENT_BYTES);
    error = error != 0 ? error : oak_buf_append(&l->bytes, key.data, key.size);
    error = error != 0 ? error : oak_buf_append(&l->bytes, value.data, value.size);
    if (error == 0 && l->count == 0) {
        error = oak_buf_append(&l->first, key.data, key.size);
    }
    l->count++;
    return error;
}

static int leaf_add(struct level *l, uint32_t flags, struct oak_bytes key, struct oak_bytes value)
{
    uint8_t element[BOLT_ELEMENT_BYTES];
    oak_put_u32(element, flags);
    oak_put_u32(element + 4, (uint32_t)l->bytes.size);
    oak_put_u32(element + 8, (uint32_t)key.size);
    oak_put_u32(element + 12, (uint32_t)value.size);
    return element_add(l, element, key, value);
}

/* The open page of this level to the file. */
static int level_close(struct oak_bolt_writer *w, size_t at, uint64_t *number)
{
    struct level *l = &w->levels[at];
    positions_set(l, at == 0);
    return page_write(w, at == 0 ? BOLT_KIND_LEAF : BOLT_KIND_BRANCH, l->count,
                      oak_buf_bytes(&l->elements), oak_buf_bytes(&l->bytes), number);
}

static int branch_add(struct level *l, struct oak_bytes key, uint64_t child)
{
    uint8_t element[BOLT_ELEMENT_BYTES];
    oak_put_u32(element, (uint32_t)l->bytes.size);
    oak_put_u32(element + 4, (uint32_t)key.size);
    oak_put_u64(element + 8, child);
    return element_add(l, element, key, oak_bytes(NULL, 0));
}

static bool level_fits(const struct level *l, size_t size)
{
    return BOLT_PAGE_HEAD + l->elements.size + l->bytes.size + BOLT_ELEMENT_BYTES + size <=
           BOLT_PAGE_BYTES;
}

/* The page of level `at` is closed, and the levels above are told: where one is full it is closed
 * too, holds the news as its first, and tells the next. */
static int level_rise(struct oak_bolt_writer *w, size_t at)
{
    uint64_t child = 0;
    int error = level_close(w, at, &child);
    struct oak_buf key = w->levels[at].first;
    w->levels[at].first = (struct oak_buf){0};
    level_clear(&w->levels[at]);
    bool closed = true;
    while (error == 0 && closed) {
        at++;
        if (at == BOLT_DEPTH_MAX) {
            error = OAK_ELIMIT;
            break;
        }
        struct level *l = &w->levels[at];
        w->depth = OAK_MAX(w->depth, at + 1);
        /* A branch of one child would narrow nothing, however long the keys. */
        closed = l->count >= 2 && !level_fits(l, key.size);
        uint64_t number = 0;
        struct oak_buf first = {0};
        if (closed) {
            error = level_close(w, at, &number);
            first = l->first;
            l->first = (struct oak_buf){0};
            level_clear(l);
        }
        error = error != 0 ? error : branch_add(l, oak_buf_bytes(&key), child);
        oak_buf_fini(&key);
        key = first;
        child = number;
    }
    oak_buf_fini(&key);
    return error;
}

/* Close all that is open in this bucket, the leaf first; *root: 0 when there was nothing. */
static int levels_finish(struct oak_bolt_writer *w, uint64_t *root)
{
    *root = 0;
    int error = 0;
    for (size_t at = 0; error == 0 && at < w->depth; at++) {
        OAK_ASSERT_GT(w->levels[at].count, 0);
        if (at + 1 < w->depth) {
            error = level_rise(w, at);
        } else {
            error = level_close(w, at, root);
            level_clear(&w->levels[at]);
        }
    }
    w->depth = 0;
    return error;
}

/* The caller's pairs, and those of the bucket of buckets. */
static int pair_add(struct oak_bolt_writer *w, uint32_t flags, struct oak_bytes key,
                    struct oak_bytes value)
{
    int error = 0;
    if (w->levels[0].count > 0 && !level_fits(&w->levels[0], key.size + value.size)) {
        error = level_rise(w, 0);
    }
    w->depth = OAK_MAX(w->depth, 1u);
    return error != 0 ? error : leaf_add(&w->levels[0], flags, key, value);
}

/* -- life -------------------------------------------------------------------------------------- */

static void writer_free(struct oak_bolt_writer *w)
{
    if (w->file != NULL) {
        w->disk->close(w->disk->user, w->file);
    }
    for (size_t i = 0; i < BOLT_DEPTH_MAX; i++) {
        oak_buf_fini(&w->levels[i].elements);
        oak_buf_fini(&w->levels[i].bytes);
        oak_buf_fini(&w->levels[i].first);
    }
    for (size_t i = 0; i < OAK_BOLT_BUCKETS_MAX; i++) {
        oak_buf_fini(&w->buckets[i].name);
    }
    oak_buf_fini(&w->out);
    oak_buf_fini(&w->last);
    free(w->path);
    free(w);
}

int oak_bolt_create(const struct oak_disk *disk, const char *path, struct oak_bolt_writer **out)
{
    *out = NULL;
    struct oak_bolt_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    w->disk = disk;
    w->path = strdup(path);
    /* The meta pages and the freelist have their places in front. */
    w->next = BOLT_FREELIST_PAGE + 1;
    w->out_at = w->next * BOLT_PAGE_BYTES;
    int error =
        w->path == NULL ? OAK_ENOMEM : disk->open(disk->user, path, OAK_FILE_CREATE, &w->file);
    if (error != 0) {
        writer_free(w);
        return error;
    }
    *out = w;
    return 0;
}

void oak_bolt_abort(struct oak_bolt_writer *w)
{
    if (w != NULL) {
        w->disk->close(w->disk->user, w->file);
        w->file = NULL;
        (void)w->disk->remove(w->disk->user, w->path); /* what stays has no meta page: no file */
        writer_free(w);
    }
}

static int bucket_end(struct oak_bolt_writer *w)
{
    return w->bucket_count == 0 ? 0 : levels_finish(w, &w->buckets[w->bucket_count - 1].root);
}

int oak_bolt_bucket(struct oak_bolt_writer *w, struct oak_bytes name)
{
    if (w->failed) {
        return OAK_EFATAL;
    }
    const struct bucket *before = w->bucket_count > 0 ? &w->buckets[w->bucket_count - 1] : NULL;
    if (name.size == 0 || name.size > OAK_BOLT_NAME_BYTES_MAX ||
        (before != NULL && oak_bytes_cmp(oak_buf_bytes(&before->name), name) >= 0)) {
        return OAK_EINVAL;
    }
    if (w->bucket_count == OAK_BOLT_BUCKETS_MAX) {
        return OAK_ELIMIT;
    }
    int error = bucket_end(w);
    if (error == 0) {
        error = oak_buf_append(&w->buckets[w->bucket_count].name, name.data, name.size);
    }
    w->bucket_count++;
    oak_buf_clear(&w->last);
    w->failed = error != 0;
    return error;
}

int oak_bolt_put(struct oak_bolt_writer *w, struct oak_bytes key, struct oak_bytes value)
{
    if (w->failed) {
        return OAK_EFATAL;
    }
    if (key.size > OAK_BOLT_KEY_BYTES_MAX || value.size > OAK_BOLT_VALUE_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    if (w->bucket_count == 0 || key.size == 0 || oak_bytes_cmp(oak_buf_bytes(&w->last), key) >= 0) {
        return OAK_EINVAL;
    }
    int error = pair_add(w, 0, key, value);
    oak_buf_clear(&w->last);
    error = error != 0 ? error : oak_buf_append(&w->last, key.data, key.size);
    w->failed = error != 0;
    return error;
}

/* A bucket's value: where its tree begins. An empty one holds an empty leaf in itself. */
static int bucket_put(struct oak_bolt_writer *w, const struct bucket *b)
{
    uint8_t value[BOLT_BUCKET_HEAD + BOLT_PAGE_HEAD] = {0};
    const struct bolt__page_head head = {.kind = BOLT_KIND_LEAF};
    oak_put_u64(value, b->root);
    bolt__page_head_put(value + BOLT_BUCKET_HEAD, &head);
    size_t size = b->root != 0 ? BOLT_BUCKET_HEAD : sizeof(value);
    return pair_add(w, BOLT_FLAG_BUCKET, oak_buf_bytes(&b->name), oak_bytes(value, size));
}

/* The bucket of buckets; an empty one is a page too. */
static int root_write(struct oak_bolt_writer *w, uint64_t *root)
{
    int error = bucket_end(w);
    for (size_t i = 0; error == 0 && i < w->bucket_count; i++) {
        error = bucket_put(w, &w->buckets[i]);
    }
    error = error != 0 ? error : levels_finish(w, root);
    if (error == 0 && *root == 0) {
        error = page_write(w, BOLT_KIND_LEAF, 0, oak_bytes(NULL, 0), oak_bytes(NULL, 0), root);
    }
    return error != 0 ? error : out_flush(w);
}

static int front_write(struct oak_bolt_writer *w, uint64_t root)
{
    uint8_t front[(BOLT_FREELIST_PAGE + 1) * BOLT_PAGE_BYTES] = {0};
    const struct bolt__page_head freelist = {.id = BOLT_FREELIST_PAGE, .kind = BOLT_KIND_FREELIST};
    bolt__page_head_put(front + BOLT_FREELIST_PAGE * BOLT_PAGE_BYTES, &freelist);
    for (uint64_t id = 0; id < BOLT_META_PAGES; id++) {
        const struct bolt__meta meta = {
            .page_bytes = BOLT_PAGE_BYTES,
            .root = root,
            .freelist = BOLT_FREELIST_PAGE,
            .pages = w->next,
            .txid = id,
        };
        bolt__meta_put(front + id * BOLT_PAGE_BYTES, id, &meta);
    }
    return w->disk->write(w->disk->user, w->file, 0, front, sizeof(front));
}

int oak_bolt_finish(struct oak_bolt_writer *w, uint64_t *bytes)
{
    uint64_t root = 0;
    int error = w->failed ? OAK_EFATAL : root_write(w, &root);
    *bytes = w->next * BOLT_PAGE_BYTES;
    error = error != 0 ? error : front_write(w, root);
    error = error != 0 ? error : w->disk->sync(w->disk->user, w->file);
    if (error != 0) {
        oak_bolt_abort(w);
        return error;
    }
    writer_free(w);
    return 0;
}
