/* SPDX-License-Identifier: Apache-2.0 */
/* reader.c: the pairs of a bucket, in order.
 *
 * Happy path   1 the newer sound one of the two meta pages tells where the bucket of buckets is
 *              2 seek: walk that one to the bucket's name, then go down to its first leaf
 *              3 next: the next element of the leaf, or up to a branch that has a next child and
 *                down from there
 * Can fail     the disk, memory, and whatever the bytes say: nothing of a page is used before it
 *              was found within bounds.
 * Invariants   a page is read once on a walk in a sound file; so a walk that has read more pages
 *              than the file has goes round in circles, and ends. Keys rise over the whole bucket.
 * Thread       one owner; blocks on the disk.
 */
#include "bolt/internal.h"

#include <inttypes.h>
#include <stdlib.h>

struct frame {
    uint64_t number; /* of the page; 0: it lies within a bucket's value */
    struct oak_buf page;
    struct bolt__page_head head;
    size_t next; /* element */
};

struct oak_bolt_reader {
    const struct oak_disk *disk;
    struct oak_file *file;
    uint64_t file_bytes;
    struct bolt__meta meta;
    struct frame frames[BOLT_DEPTH_MAX];
    size_t depth;
    uint64_t visits;
    uint64_t home; /* the page that has the bucket itself */
    struct oak_buf last;
    struct oak_errbuf why;
};

static int corrupt(struct oak_bolt_reader *r, uint64_t page, const char *what)
{
    page = page != 0 ? page : r->home;
    return oak_fail(&r->why, OAK_ECORRUPT, "page %" PRIu64 " (byte %" PRIu64 "): %s", page,
                    page * r->meta.page_bytes, what);
}

/* -- pages ------------------------------------------------------------------------------------- */

static int bytes_read(struct oak_bolt_reader *r, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    int error = r->disk->read(r->disk->user, r->file, offset, out, size, &got);
    if (error == 0 && got < size) {
        error = oak_fail(&r->why, OAK_ECORRUPT, "the file ends at byte %" PRIu64, offset + got);
    }
    return error;
}

/* Elements point behind themselves and within the page. */
static int elements_check(struct oak_bolt_reader *r, const struct frame *f)
{
    const struct oak_buf *page = &f->page;
    size_t count = f->head.count;
    bool leaf = f->head.kind == BOLT_KIND_LEAF;
    if (count * BOLT_ELEMENT_BYTES > page->size - BOLT_PAGE_HEAD) {
        return corrupt(r, f->number, "it has room for fewer elements than it says");
    }
    if (!leaf && count == 0) {
        return corrupt(r, f->number, "a branch without a child");
    }
    for (size_t i = 0; i < count; i++) {
        size_t at = BOLT_PAGE_HEAD + i * BOLT_ELEMENT_BYTES;
        const uint8_t *p = page->data + at;
        uint64_t from = at + oak_get_u32(p + (leaf ? 4 : 0));
        uint64_t size = leaf ? (uint64_t)oak_get_u32(p + 8) + oak_get_u32(p + 12)
                             : (uint64_t)oak_get_u32(p + 4);
        if (from + size > page->size) {
            return corrupt(r, f->number, "an element reaches beyond the page");
        }
    }
    return 0;
}

static int kind_check(struct oak_bolt_reader *r, const struct frame *f)
{
    if (f->head.kind != BOLT_KIND_LEAF && f->head.kind != BOLT_KIND_BRANCH) {
        return corrupt(r, f->number, "neither a leaf nor a branch");
    }
    return elements_check(r, f);
}

/* Go down to a page. */
static int push(struct oak_bolt_reader *r, uint64_t number)
{
    if (r->depth == BOLT_DEPTH_MAX) {
        return corrupt(r, number, "the tree is too deep");
    }
    if (number < BOLT_META_PAGES || number >= r->meta.pages || ++r->visits > r->meta.pages) {
        return corrupt(r, number,
                       number < r->meta.pages ? "the tree goes round in circles" : "no such page");
    }
    struct frame *f = &r->frames[r->depth];
    uint8_t head[BOLT_PAGE_HEAD];
    f->number = number;
    f->next = 0;
    int error = bytes_read(r, number * r->meta.page_bytes, head, sizeof(head));
    if (error != 0) {
        return error;
    }
    bolt__page_head_get(head, &f->head);
    uint64_t pages = 1 + (uint64_t)f->head.overflow;
    if (f->head.id != number) {
        return corrupt(r, number, "it says that it is another page");
    }
    if (pages > r->meta.pages - number || pages * r->meta.page_bytes > OAK_BOLT_PAGE_BYTES_MAX) {
        return corrupt(r, number, "it says that it is longer than it can be");
    }
    size_t size = (size_t)(pages * r->meta.page_bytes);
    oak_buf_clear(&f->page);
    error = oak_buf_reserve(&f->page, size);
    error = error != 0 ? error : bytes_read(r, number * r->meta.page_bytes, f->page.data, size);
    f->page.size = error == 0 ? size : 0;
    error = error != 0 ? error : kind_check(r, f);
    r->depth += error == 0 ? 1 : 0;
    return error;
}

/* ... to a leaf that lies in a bucket's value. */
static int push_inline(struct oak_bolt_reader *r, struct oak_bytes page)
{
    OAK_ASSERT_EQ(r->depth, 0);
    struct frame *f = &r->frames[0];
    if (page.size < BOLT_PAGE_HEAD) {
        return corrupt(r, 0, "a bucket's value is too short for a page");
    }
    *f = (struct frame){.page = f->page};
    bolt__page_head_get(page.data, &f->head);
    oak_buf_clear(&f->page);
    int error = oak_buf_append(&f->page, page.data, page.size);
    error = error != 0 ? error : kind_check(r, f);
    if (error == 0 && f->head.kind != BOLT_KIND_LEAF) {
        error = corrupt(r, 0, "a bucket's value holds a branch");
    }
    r->depth += error == 0 ? 1 : 0;
    return error;
}

struct element {
    uint32_t flags;
    struct oak_bytes key;
    struct oak_bytes value;
};

/* The next one of the leaves under what is open; OAK_ENOENT at the end. */
static int walk_next(struct oak_bolt_reader *r, struct element *out)
{
    while (r->depth > 0) {
        struct frame *f = &r->frames[r->depth - 1];
        if (f->next == f->head.count) {
            r->depth--;
            continue;
        }
        const uint8_t *p = f->page.data + BOLT_PAGE_HEAD + f->next * BOLT_ELEMENT_BYTES;
        f->next++;
        if (f->head.kind == BOLT_KIND_BRANCH) {
            int error = push(r, oak_get_u64(p + 8));
            if (error != 0) {
                return error;
            }
            continue;
        }
        out->flags = oak_get_u32(p);
        out->key = oak_bytes(p + oak_get_u32(p + 4), oak_get_u32(p + 8));
        out->value = oak_bytes(out->key.data + out->key.size, oak_get_u32(p + 12));
        if (out->key.size == 0 || oak_bytes_cmp(oak_buf_bytes(&r->last), out->key) >= 0) {
            return corrupt(r, f->number, "its keys do not rise");
        }
        oak_buf_clear(&r->last);
        return oak_buf_append(&r->last, out->key.data, out->key.size);
    }
    return OAK_ENOENT;
}

static void walk_begin(struct oak_bolt_reader *r)
{
    r->depth = 0;
    r->visits = 0;
    oak_buf_clear(&r->last);
}

/* -- the door ---------------------------------------------------------------------------------- */

int oak_bolt_seek(struct oak_bolt_reader *r, struct oak_bytes bucket)
{
    struct element e;
    walk_begin(r);
    int error = push(r, r->meta.root);
    while (error == 0) {
        error = walk_next(r, &e);
        if (error == 0 && oak_bytes_eq(e.key, bucket)) {
            break;
        }
    }
    if (error != 0) {
        r->depth = 0;
        return error;
    }
    if ((e.flags & BOLT_FLAG_BUCKET) == 0 || e.value.size < BOLT_BUCKET_HEAD) {
        return corrupt(r, r->frames[r->depth - 1].number, "a pair where a bucket should be");
    }
    uint64_t root = oak_get_u64(e.value.data);
    struct oak_buf page = {0};
    r->home = r->frames[r->depth - 1].number;
    if (root == 0) {
        /* It lies in a page that is about to be left. */
        error =
            oak_buf_append(&page, e.value.data + BOLT_BUCKET_HEAD, e.value.size - BOLT_BUCKET_HEAD);
    }
    walk_begin(r);
    if (error == 0) {
        error = root != 0 ? push(r, root) : push_inline(r, oak_buf_bytes(&page));
    }
    oak_buf_fini(&page);
    return error;
}

static struct oak_bytes element_key(const struct frame *f, size_t i)
{
    const uint8_t *p = f->page.data + BOLT_PAGE_HEAD + i * BOLT_ELEMENT_BYTES;
    bool leaf = f->head.kind == BOLT_KIND_LEAF;
    return leaf ? oak_bytes(p + oak_get_u32(p + 4), oak_get_u32(p + 8))
                : oak_bytes(p + oak_get_u32(p), oak_get_u32(p + 4));
}

int oak_bolt_skip(struct oak_bolt_reader *r, struct oak_bytes key)
{
    int error = 0;
    OAK_ASSERT_LE(r->depth, 1);
    while (error == 0 && r->depth > 0) {
        struct frame *f = &r->frames[r->depth - 1];
        while (f->next < f->head.count && oak_bytes_cmp(element_key(f, f->next), key) <= 0) {
            f->next++;
        }
        if (f->head.kind == BOLT_KIND_LEAF) {
            break;
        }
        /* A child begins with the key that its parent has for it: this is in the one before. */
        f->next = OAK_MAX(f->next, (size_t)1);
        const uint8_t *p = f->page.data + BOLT_PAGE_HEAD + (f->next - 1) * BOLT_ELEMENT_BYTES;
        error = push(r, oak_get_u64(p + 8));
    }
    oak_buf_clear(&r->last);
    return error != 0 ? error : oak_buf_append(&r->last, key.data, key.size);
}

int oak_bolt_next(struct oak_bolt_reader *r, struct oak_bytes *key, struct oak_bytes *value)
{
    struct element e;
    int error = walk_next(r, &e);
    if (error == 0 && (e.flags & BOLT_FLAG_BUCKET) != 0) {
        error = corrupt(r, r->frames[r->depth - 1].number, "a bucket where a pair should be");
    }
    if (error != 0) {
        r->depth = 0; /* it stays at its end */
        return error;
    }
    *key = e.key;
    *value = e.value;
    return 0;
}

int oak_bolt_bucket_after(struct oak_bolt_reader *r, struct oak_bytes name, struct oak_buf *out)
{
    struct element e;
    walk_begin(r);
    int error = push(r, r->meta.root);
    while (error == 0) {
        error = walk_next(r, &e);
        if (error == 0 && oak_bytes_cmp(e.key, name) > 0) {
            break;
        }
    }
    r->depth = 0;
    oak_buf_clear(out);
    return error != 0 ? error : oak_buf_append(out, e.key.data, e.key.size);
}

uint64_t oak_bolt_page(const struct oak_bolt_reader *r, uint64_t *byte)
{
    /* A bucket that lies in a page of the bucket of buckets has none of its own. */
    uint64_t page = r->depth > 0 ? r->frames[r->depth - 1].number : 0;
    page = page != 0 ? page : r->home;
    *byte = page * r->meta.page_bytes;
    return page;
}

uint64_t oak_bolt_bytes(const struct oak_bolt_reader *r)
{
    return r->meta.pages * r->meta.page_bytes;
}

const char *oak_bolt_why(const struct oak_bolt_reader *r)
{
    return r->why.text;
}

void oak_bolt_close(struct oak_bolt_reader *r)
{
    if (r == NULL) {
        return;
    }
    if (r->file != NULL) {
        r->disk->close(r->disk->user, r->file);
    }
    for (size_t i = 0; i < BOLT_DEPTH_MAX; i++) {
        oak_buf_fini(&r->frames[i].page);
    }
    oak_buf_fini(&r->last);
    free(r);
}

/* -- opening ----------------------------------------------------------------------------------- */

/* A meta page there, that says the same of the size of pages. */
static int meta_read(struct oak_bolt_reader *r, uint64_t offset, uint32_t page_bytes,
                     struct bolt__meta *meta)
{
    uint8_t bytes[BOLT_META_PAGE_BYTES];
    size_t got = 0;
    int error = r->disk->read(r->disk->user, r->file, offset, bytes, sizeof(bytes), &got);
    if (error != 0) {
        return error;
    }
    error = got < sizeof(bytes) ? OAK_EFORMAT : bolt__meta_get(bytes, meta);
    bool sized = error == 0 && meta->page_bytes >= 512 && meta->page_bytes <= 64 * OAK_KIB &&
                 (meta->page_bytes & (meta->page_bytes - 1)) == 0 &&
                 (page_bytes == 0 || meta->page_bytes == page_bytes);
    return error == 0 && !sized ? OAK_ECORRUPT : error;
}

static bool meta_counts(int error)
{
    return error == 0 || error == OAK_ECORRUPT;
}

/* The second meta page is one page behind the first; where that one is damaged its place is
 * searched for. */
static int meta_find(struct oak_bolt_reader *r)
{
    struct bolt__meta first = {.page_bytes = 0};
    struct bolt__meta second;
    int error = meta_read(r, 0, 0, &first);
    if (error != 0 && error != OAK_EFORMAT && error != OAK_ECORRUPT) {
        return error;
    }
    bool damaged = meta_counts(error);
    bool found = error == 0;
    r->meta = first;
    uint32_t size = found ? first.page_bytes : 512;
    uint32_t last = found ? first.page_bytes : 64 * (uint32_t)OAK_KIB;
    for (; size <= last; size *= 2) {
        error = meta_read(r, size, size, &second);
        damaged = damaged || meta_counts(error);
        if (error == 0 && (!found || second.txid > r->meta.txid)) {
            r->meta = second;
            found = true;
        } else if (error != 0 && error != OAK_EFORMAT && error != OAK_ECORRUPT) {
            return error;
        }
    }
    if (found) {
        return 0;
    }
    return damaged ? oak_fail(&r->why, OAK_ECORRUPT, "both meta pages are damaged")
                   : oak_fail(&r->why, OAK_EFORMAT, "it has no meta page: not such a database");
}

static int open_file(struct oak_bolt_reader *r, const char *path)
{
    int error = r->disk->open(r->disk->user, path, OAK_FILE_READ, &r->file);
    error = error != 0 ? error : r->disk->size(r->disk->user, r->file, &r->file_bytes);
    error = error != 0 ? error : meta_find(r);
    if (error == 0 && r->meta.pages > r->file_bytes / r->meta.page_bytes) {
        error = oak_fail(&r->why, OAK_ECORRUPT,
                         "it has %" PRIu64 " bytes and says that there are %" PRIu64
                         " pages of %" PRIu32 ": it was cut short",
                         r->file_bytes, r->meta.pages, r->meta.page_bytes);
    }
    return error;
}

int oak_bolt_open(const struct oak_disk *disk, const char *path, struct oak_bolt_reader **out,
                  struct oak_errbuf *e)
{
    *out = NULL;
    struct oak_bolt_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory to read %s", path);
    }
    r->disk = disk;
    int error = open_file(r, path);
    if (error != 0) {
        (void)oak_fail(e, error, "%s: %s", path,
                       r->why.text[0] != '\0' ? r->why.text : oak_error_text(error));
        oak_bolt_close(r);
        return error;
    }
    *out = r;
    return 0;
}
