/* SPDX-License-Identifier: Apache-2.0 */
/* saved.c: a sorter that another run of the program can go on with.
 *
 * Format       little endian: numbers given to runs u64, the largest pair u64, runs u32, and of
 *              each its number u64 and size u64.
 * Happy path   1 what is in memory becomes a run, and runs are described
 *              2 the caller makes that durable, and only then those go that it does not name
 *              3 another run of the program loads it: what older descriptions named is removed, and
 *                what came behind this one is written over.
 * Can fail     the disk, memory; a run that is not there as it was described: nothing is loaded.
 * Thread       one at a time.
 */
#include "sort/internal.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 20
#define RUN_BYTES  16
/* Far more than there can be of anything that fits on a disk. */
#define NUMBERS_MAX ((uint64_t)1 << 24)

void oak_sorter_keep(struct oak_sorter *s)
{
    OAK_ASSERT(s->count == 0 && sort__run_count(s) == 0);
    s->keeps = true;
}

bool oak_sorter_has_merged(const struct oak_sorter *s)
{
    return !s->narrowing && s->spent.size > 0;
}

bool oak_sorter_has_runs(const struct oak_sorter *s)
{
    return sort__run_count(s) > 0;
}

int oak_sorter_save(struct oak_sorter *s, struct oak_buf *out)
{
    OAK_ASSERT(s->keeps && !s->narrowing && s->merge.inputs == NULL);
    int error = s->block != NULL ? sort__spill(s) : 0;
    size_t count = sort__run_count(s);
    error = error != 0 ? error : oak_buf_reserve(out, HEAD_BYTES + count * RUN_BYTES);
    if (error != 0) {
        return error;
    }
    uint8_t *p = out->data + out->size;
    oak_put_u64(p, s->numbers);
    oak_put_u64(p + 8, s->largest);
    oak_put_u32(p + 16, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        struct run run;
        memcpy(&run, s->runs.data + i * sizeof(run), sizeof(run));
        oak_put_u64(p + HEAD_BYTES + i * RUN_BYTES, run.number);
        oak_put_u64(p + HEAD_BYTES + i * RUN_BYTES + 8, run.size);
    }
    out->size += HEAD_BYTES + count * RUN_BYTES;
    return 0;
}

void oak_sorter_saved(struct oak_sorter *s)
{
    sort__runs_remove(s, &s->spent);
}

/* Is it there, as large as it was? */
static int run_check(const struct oak_sorter *s, const struct run *run)
{
    struct oak_file *file = NULL;
    uint64_t size = 0;
    int error = sort__run_open(s->disk, s->base, run->number, OAK_FILE_READ, &file);
    if (error == 0) {
        error = s->disk->size(s->disk->user, file, &size);
        s->disk->close(s->disk->user, file);
    }
    return error == OAK_ENOENT || (error == 0 && size != run->size) ? OAK_ECORRUPT : error;
}

static bool is_named(const struct oak_sorter *s, uint64_t number)
{
    bool named = false;
    for (size_t at = 0; at < s->runs.size; at += sizeof(struct run)) {
        struct run run;
        memcpy(&run, s->runs.data + at, sizeof(run));
        named = named || run.number == number;
    }
    return named;
}

int oak_sorter_load(struct oak_sorter *s, struct oak_reader *in)
{
    OAK_ASSERT(s->keeps && s->count == 0 && sort__run_count(s) == 0);
    uint64_t numbers = oak_read_u64(in);
    uint64_t largest = oak_read_u64(in);
    uint32_t count = oak_read_u32(in);
    int error = numbers > NUMBERS_MAX ? OAK_ECORRUPT : 0;
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        struct run run;
        run.number = oak_read_u64(in);
        run.size = oak_read_u64(in);
        error = in->failed || run.number >= numbers ? OAK_ECORRUPT : run_check(s, &run);
        error = error != 0 ? error : oak_buf_append(&s->runs, &run, sizeof(run));
    }
    error = error == 0 && in->failed ? OAK_ECORRUPT : error;
    if (error != 0) {
        oak_buf_fini(&s->runs); /* the files are nobody's */
        return error;
    }
    for (uint64_t number = 0; number < numbers; number++) {
        if (!is_named(s, number)) {
            (void)sort__run_remove(s->disk, s->base, number);
        }
    }
    s->numbers = numbers;
    s->largest = (size_t)largest;
    return 0;
}
