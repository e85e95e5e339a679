/* SPDX-License-Identifier: Apache-2.0 */
/* sort.c: pairs put in order of bucket and key, in bounded memory.
 *
 * Pairs gather in a block of memory; one that is full is sorted and written as a run; all runs
 * together are read in order. While there are more runs than may be read at a time, the oldest are
 * merged into one.
 *
 * A pair, in memory and in a run   key size u32, value size u32 (little endian), bucket u8, key,
 *                                  value; in a run a CRC-32C of all that behind it
 *
 * Happy path   what fits in the block never goes to disk.
 * Can fail     the disk; memory; a run that is not read as it was written.
 * Invariants   a run's pairs rise. An input that is read to its end is removed at once. Memory: the
 *              block, or the buffers of those that are merged: each has 64 KiB and a pair, and
 *              there are fewer where pairs are large. Of one that keeps, what was saved last can be
 *              loaded at every moment.
 * Thread       one at a time.
 */
#include "sort/internal.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 9
#define CRC_BYTES  4
/* What is read of a run at a time, and written. */
#define READ_BYTES  (64 * OAK_KIB)
#define WRITE_BYTES (256 * OAK_KIB)

struct sort__input {
    struct oak_sorter *sorter;
    struct run run;
    struct oak_file *file; /* NULL: read to its end, and removed */
    uint64_t read;         /* of the file */
    struct oak_buf buf;
    size_t at;   /* in the buffer, of the pair it stands at */
    size_t size; /* of that pair, with its checksum */
    struct oak_sorter_pair pair;
};

/* -- pairs as bytes ---------------------------------------------------------------------------- */

static size_t pair_bytes(const struct oak_sorter_pair *p)
{
    return HEAD_BYTES + p->key.size + p->value.size;
}

static void pair_put(uint8_t *out, const struct oak_sorter_pair *p)
{
    oak_put_u32(out, (uint32_t)p->key.size);
    oak_put_u32(out + 4, (uint32_t)p->value.size);
    out[8] = p->bucket;
    memcpy(out + HEAD_BYTES, p->key.data, p->key.size);
    if (p->value.size > 0) {
        memcpy(out + HEAD_BYTES + p->key.size, p->value.data, p->value.size);
    }
}

static struct oak_sorter_pair pair_get(const uint8_t *in)
{
    size_t key = oak_get_u32(in);
    return (struct oak_sorter_pair){
        .bucket = in[8],
        .key = oak_bytes(in + HEAD_BYTES, key),
        .value = oak_bytes(in + HEAD_BYTES + key, oak_get_u32(in + 4)),
    };
}

static int pair_order(const struct oak_sorter_pair *a, const struct oak_sorter_pair *b)
{
    return a->bucket != b->bucket ? (a->bucket < b->bucket ? -1 : 1)
                                  : oak_bytes_cmp(a->key, b->key);
}

static int row_order(const void *a, const void *b)
{
    const struct oak_sorter_pair x = pair_get(*(const uint8_t *const *)a);
    const struct oak_sorter_pair y = pair_get(*(const uint8_t *const *)b);
    return pair_order(&x, &y);
}

/* -- runs -------------------------------------------------------------------------------------- */

static int run_path(const char *base, uint64_t number, struct oak_buf *out)
{
    int error = oak_buf_printf(out, "%s-%llu.run", base, (unsigned long long)number);
    return error != 0 ? error : oak_buf_append(out, "", 1);
}

int sort__run_remove(const struct oak_disk *disk, const char *base, uint64_t number)
{
    struct oak_buf path = {0};
    int error = run_path(base, number, &path);
    error = error != 0 ? error : disk->remove(disk->user, (const char *)path.data);
    oak_buf_fini(&path);
    return error;
}

int sort__run_open(const struct oak_disk *disk, const char *base, uint64_t number,
                   enum oak_file_mode mode, struct oak_file **out)
{
    struct oak_buf path = {0};
    int error = run_path(base, number, &path);
    error = error != 0 ? error : disk->open(disk->user, (const char *)path.data, mode, out);
    oak_buf_fini(&path);
    return error;
}

size_t sort__run_count(const struct oak_sorter *s)
{
    return s->runs.size / sizeof(struct run);
}

/* Runs that are read at a time. Each holds a pair of its own, so that there are fewer where pairs
 * are large: twice the block is what they may take together. */
static size_t fan_of(const struct oak_sorter *s)
{
    size_t by_size = s->largest == 0 ? s->fan : 2 * s->room / s->largest;
    return OAK_MAX(OAK_MIN(s->fan, by_size), (size_t)2);
}

static int output_open(struct oak_sorter *s)
{
    struct sort__output *o = &s->output;
    OAK_ASSERT(o->file == NULL);
    o->number = s->numbers++;
    o->at = 0;
    oak_buf_clear(&o->buf);
    int error = sort__run_open(s->disk, s->base, o->number, OAK_FILE_CREATE, &o->file);
    if (error == OAK_EEXIST) {
        /* Of an earlier run of the program, from behind what it had saved. */
        error = sort__run_remove(s->disk, s->base, o->number);
        error = error != 0 ? error
                           : sort__run_open(s->disk, s->base, o->number, OAK_FILE_CREATE, &o->file);
    }
    return error;
}

static int output_flush(struct oak_sorter *s)
{
    struct sort__output *o = &s->output;
    int error = s->disk->write(s->disk->user, o->file, o->at, o->buf.data, o->buf.size);
    o->at += o->buf.size;
    oak_buf_clear(&o->buf);
    return error;
}

static int output_add(struct oak_sorter *s, const struct oak_sorter_pair *p)
{
    struct oak_buf *buf = &s->output.buf;
    size_t size = pair_bytes(p);
    int error = oak_buf_reserve(buf, size + CRC_BYTES);
    if (error != 0) {
        return error;
    }
    uint8_t *at = buf->data + buf->size;
    pair_put(at, p);
    oak_put_u32(at + size, oak_crc32c(0, at, size));
    buf->size += size + CRC_BYTES;
    return buf->size >= WRITE_BYTES ? output_flush(s) : 0;
}

static void output_drop(struct oak_sorter *s)
{
    struct sort__output *o = &s->output;
    if (o->file != NULL) {
        s->disk->close(s->disk->user, o->file);
        o->file = NULL;
        (void)sort__run_remove(s->disk, s->base, o->number);
    }
    oak_buf_fini(&o->buf);
}

/* The run is whole, and one of those to be read. */
static int output_close(struct oak_sorter *s)
{
    struct sort__output *o = &s->output;
    int error = output_flush(s);
    error = error == 0 && s->keeps ? s->disk->sync(s->disk->user, o->file) : error;
    const struct run run = {.number = o->number, .size = o->at};
    error = error != 0 ? error : oak_buf_append(&s->runs, &run, sizeof(run));
    if (error != 0) {
        output_drop(s);
        return error;
    }
    s->disk->close(s->disk->user, o->file);
    o->file = NULL;
    oak_buf_fini(&o->buf);
    return 0;
}

/* -- gathering --------------------------------------------------------------------------------- */

int oak_sorter_init(struct oak_sorter *s, const struct oak_disk *disk, const char *base,
                    size_t room, size_t fan)
{
    OAK_ASSERT_GE(fan, (size_t)2);
    *s = (struct oak_sorter){.disk = disk, .base = base, .fan = fan};
    s->room = room / sizeof(void *) * sizeof(void *);
    s->block = malloc(s->room);
    return s->block == NULL ? OAK_ENOMEM : 0;
}

/* The n-th pointer, counted from the back. */
static uint8_t **row(const struct oak_sorter *s, size_t n)
{
    return (uint8_t **)(void *)(s->block + s->room) - 1 - n;
}

/* Where the pointers begin, which are in order from there once they are sorted. */
static uint8_t **rows_sort(struct oak_sorter *s)
{
    uint8_t **rows = s->count == 0 ? NULL : row(s, s->count - 1);
    if (s->count > 1) {
        qsort(rows, s->count, sizeof(*rows), row_order);
    }
    return rows;
}

int sort__spill(struct oak_sorter *s)
{
    if (s->count == 0) {
        return 0;
    }
    uint8_t **rows = rows_sort(s);
    int error = output_open(s);
    for (size_t i = 0; error == 0 && i < s->count; i++) {
        const struct oak_sorter_pair pair = pair_get(rows[i]);
        error = output_add(s, &pair);
    }
    s->used = s->count = 0;
    return error != 0 ? error : output_close(s);
}

/* One that is larger than the block is a run by itself. */
static int spill_one(struct oak_sorter *s, const struct oak_sorter_pair *pair)
{
    int error = output_open(s);
    error = error != 0 ? error : output_add(s, pair);
    return error != 0 ? error : output_close(s);
}

bool oak_sorter_is_full(const struct oak_sorter *s, const struct oak_sorter_pair *pair)
{
    return pair_bytes(pair) + sizeof(void *) > s->room - s->used - s->count * sizeof(void *);
}

int oak_sorter_add(struct oak_sorter *s, const struct oak_sorter_pair *pair)
{
    OAK_ASSERT(s->block != NULL);
    OAK_ASSERT_GT(pair->key.size, 0);
    size_t size = pair_bytes(pair);
    s->largest = OAK_MAX(s->largest, size);
    if (oak_sorter_is_full(s, pair)) {
        int error = sort__spill(s);
        if (error != 0) {
            return error;
        }
        if (size + sizeof(void *) > s->room) {
            return spill_one(s, pair);
        }
    }
    uint8_t *at = s->block + s->used;
    pair_put(at, pair);
    s->used += size;
    *row(s, s->count++) = at;
    return 0;
}

int oak_sorter_seal(struct oak_sorter *s)
{
    s->next = 0;
    if (sort__run_count(s) == 0) {
        (void)rows_sort(s);
        return 0;
    }
    int error = sort__spill(s);
    free(s->block);
    s->block = NULL;
    return error;
}

/* -- one input --------------------------------------------------------------------------------- */

static void input_close(struct sort__input *in)
{
    struct oak_sorter *s = in->sorter;
    if (in->file != NULL) {
        s->disk->close(s->disk->user, in->file);
        in->file = NULL;
        if (!s->keeps) {
            (void)sort__run_remove(s->disk, s->base, in->run.number);
        }
    }
    oak_buf_fini(&in->buf);
}

/* Have `size` bytes of the file in the buffer, from where it stands. */
static int input_have(struct sort__input *in, size_t size)
{
    if (in->buf.size - in->at >= size) {
        return 0;
    }
    oak_buf_consume(&in->buf, in->at);
    in->at = 0;
    size_t want = OAK_MAX(size - in->buf.size, (size_t)READ_BYTES);
    int error = oak_buf_reserve(&in->buf, want);
    while (error == 0 && in->buf.size < size) {
        size_t got = 0;
        error = in->sorter->disk->read(in->sorter->disk->user, in->file, in->read,
                                       in->buf.data + in->buf.size, want, &got);
        error = error == 0 && got == 0 ? OAK_ECORRUPT : error;
        in->read += got;
        in->buf.size += got;
        want -= got;
    }
    return error;
}

/* To the next pair. OAK_ENOENT: that was the last. */
static int input_next(struct sort__input *in)
{
    in->at += in->size;
    in->size = 0;
    if (in->at == in->buf.size && in->read == in->run.size) {
        input_close(in);
        return OAK_ENOENT;
    }
    int error = input_have(in, HEAD_BYTES);
    if (error != 0) {
        return error;
    }
    const uint8_t *head = in->buf.data + in->at;
    uint64_t size = (uint64_t)HEAD_BYTES + oak_get_u32(head) + oak_get_u32(head + 4) + CRC_BYTES;
    error = size > in->run.size ? OAK_ECORRUPT : input_have(in, (size_t)size);
    if (error != 0) {
        return error;
    }
    const uint8_t *at = in->buf.data + in->at;
    size_t crc_at = (size_t)size - CRC_BYTES;
    if (oak_get_u32(at + crc_at) != oak_crc32c(0, at, crc_at)) {
        return OAK_ECORRUPT;
    }
    in->pair = pair_get(at);
    in->size = (size_t)size;
    return 0;
}

/* -- merging ----------------------------------------------------------------------------------- */

/* The first one may have grown: it sinks. */
static void heap_sink(struct sort__merge *m)
{
    size_t at = 0;
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < m->heap_size; child++) {
            if (pair_order(&m->heap[child]->pair, &m->heap[least]->pair) < 0) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        struct sort__input *in = m->heap[at];
        m->heap[at] = m->heap[least];
        m->heap[least] = in;
        at = least;
    }
}

/* One more, at the end: it rises. */
static void heap_add(struct sort__merge *m, struct sort__input *in)
{
    size_t at = m->heap_size++;
    m->heap[at] = in;
    while (at > 0 && pair_order(&m->heap[at]->pair, &m->heap[(at - 1) / 2]->pair) < 0) {
        m->heap[at] = m->heap[(at - 1) / 2];
        m->heap[(at - 1) / 2] = in;
        at = (at - 1) / 2;
    }
}

static void merge_close(struct sort__merge *m)
{
    for (size_t i = 0; i < m->count; i++) {
        input_close(&m->inputs[i]);
    }
    free(m->inputs);
    free(m->heap);
    *m = (struct sort__merge){0};
}

/* Of the oldest `count` runs, which are its own from here on. */
static int merge_open(struct oak_sorter *s, size_t count)
{
    struct sort__merge *m = &s->merge;
    OAK_ASSERT(m->inputs == NULL);
    OAK_ASSERT_LE(count, sort__run_count(s));
    m->inputs = calloc(count, sizeof(*m->inputs));
    m->heap = calloc(count, sizeof(struct sort__input *));
    int error = m->inputs == NULL || m->heap == NULL ? OAK_ENOMEM : 0;
    while (error == 0 && m->count < count) {
        struct sort__input *in = &m->inputs[m->count];
        *in = (struct sort__input){.sorter = s};
        memcpy(&in->run, s->runs.data, sizeof(in->run));
        error = s->keeps ? oak_buf_append(&s->spent, &in->run, sizeof(in->run)) : 0;
        error = error != 0
                    ? error
                    : sort__run_open(s->disk, s->base, in->run.number, OAK_FILE_READ, &in->file);
        if (error != 0) {
            break;
        }
        oak_buf_consume(&s->runs, sizeof(in->run));
        m->count++;
        error = input_next(in);
        if (error == 0) {
            heap_add(m, in);
        }
    }
    if (error != 0) {
        merge_close(m);
    }
    return error == OAK_ENOENT ? OAK_ECORRUPT : error;
}

static int merge_next(struct sort__merge *m, struct oak_sorter_pair *out)
{
    if (m->taken) {
        int error = input_next(m->heap[0]);
        if (error != 0 && error != OAK_ENOENT) {
            return error;
        }
        if (error == OAK_ENOENT) {
            m->heap[0] = m->heap[--m->heap_size];
        }
        heap_sink(m);
    }
    m->taken = m->heap_size > 0;
    if (m->heap_size == 0) {
        return OAK_ENOENT;
    }
    *out = m->heap[0]->pair;
    return 0;
}

int oak_sorter_narrow(struct oak_sorter *s, size_t bytes, bool *more)
{
    int error = 0;
    size_t done = 0;
    const size_t fan = fan_of(s);
    while (error == 0 && done < bytes && (s->narrowing || sort__run_count(s) > fan)) {
        if (!s->narrowing) {
            /* No more than it takes, the last time. */
            error = merge_open(s, OAK_MIN(fan, sort__run_count(s) - fan + 1));
            error = error != 0 ? error : output_open(s);
            s->narrowing = true;
            continue;
        }
        struct oak_sorter_pair pair;
        error = merge_next(&s->merge, &pair);
        if (error == 0) {
            done += pair_bytes(&pair);
            error = output_add(s, &pair);
        } else if (error == OAK_ENOENT) {
            merge_close(&s->merge);
            s->narrowing = false;
            error = output_close(s);
            done = s->keeps ? bytes : done; /* it may want to be saved */
        }
    }
    *more = s->narrowing || sort__run_count(s) > fan;
    return error;
}

int oak_sorter_next(struct oak_sorter *s, struct oak_sorter_pair *out)
{
    if (s->block != NULL) {
        if (s->next == s->count) {
            return OAK_ENOENT;
        }
        *out = pair_get(*row(s, s->count - 1 - s->next));
        s->next++;
        return 0;
    }
    OAK_ASSERT(!s->narrowing);
    int error = s->merge.inputs == NULL ? merge_open(s, sort__run_count(s)) : 0;
    return error != 0 ? error : merge_next(&s->merge, out);
}

void sort__runs_remove(const struct oak_sorter *s, struct oak_buf *runs)
{
    for (size_t at = 0; at < runs->size; at += sizeof(struct run)) {
        struct run run;
        memcpy(&run, runs->data + at, sizeof(run));
        (void)sort__run_remove(s->disk, s->base, run.number);
    }
    oak_buf_fini(runs);
}

void oak_sorter_fini(struct oak_sorter *s)
{
    merge_close(&s->merge);
    output_drop(s);
    sort__runs_remove(s, &s->runs);
    sort__runs_remove(s, &s->spent);
    free(s->block);
    s->block = NULL;
}
