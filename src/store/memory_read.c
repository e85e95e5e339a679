/* SPDX-License-Identifier: Apache-2.0 */
/* memory_read.c: the memory engine's file, read and checked: at start, and by the scrub.
 *
 * Format       "store": 24 bytes of header, then the snapshot stream in chunks, then an empty
 *              chunk.
 *
 *                  0           8                  16          20         24
 *                  +-----------+------------------+-----------+----------+
 *                  | "OAKMEM01"| group (LE)       | version 1 | CRC-32C  |
 *                  +-----------+------------------+-----------+----------+
 *                  | size (LE) | CRC-32C (LE)     | bytes ... |   chunk, size > 0
 *                  | 0         | CRC-32C of all chunks' bytes |   the last: nothing follows
 *
 * Can fail     OAK_ECORRUPT for what no flush has written; OAK_EINVAL: another group's, or of
 *              another version; OAK_ENOENT, OAK_EIO, OAK_ENOMEM.
 * Thread       any: a flush puts another file in its place, and never writes to it.
 */
#include "store/memory.h"

#include <stdlib.h>

static int read_exactly(const struct oak_disk *disk, struct oak_file *file, uint64_t at, void *out,
                        size_t size)
{
    size_t got = 0;
    int error = disk->read(disk->user, file, at, out, size, &got);
    return error != 0 ? error : got == size ? 0 : OAK_ECORRUPT;
}

static int read_header(const struct memory *m, struct oak_file *file, struct oak_errbuf *e)
{
    uint8_t header[MEMORY_FILE_HEADER_BYTES];
    int error = read_exactly(m->base.disk, file, 0, header, sizeof(header));
    if (error != 0) {
        return error;
    }
    if (memcmp(header, MEMORY_FILE_MAGIC, 8) != 0 ||
        oak_get_u32(header + 20) != oak_crc32c(0, header, 20)) {
        return OAK_ECORRUPT;
    }
    if (oak_get_u32(header + 16) != MEMORY_FILE_VERSION) {
        return oak_fail(e, OAK_EINVAL, "store: %s has format version %u, this program reads %u",
                        m->path, (unsigned)oak_get_u32(header + 16), (unsigned)MEMORY_FILE_VERSION);
    }
    if (oak_get_u64(header + 8) != m->group) {
        return oak_fail(e, OAK_EINVAL, "store: %s belongs to group %llu, not %llu", m->path,
                        (unsigned long long)oak_get_u64(header + 8), (unsigned long long)m->group);
    }
    return 0;
}

static int read_chunks(const struct oak_disk *disk, struct oak_file *file, memory_chunk_fn *each,
                       void *arg, uint8_t *chunk)
{
    uint64_t at = MEMORY_FILE_HEADER_BYTES;
    uint32_t all = 0;
    for (;;) {
        uint8_t head[MEMORY_FILE_CHUNK_HEAD];
        int error = read_exactly(disk, file, at, head, sizeof(head));
        if (error != 0) {
            return error;
        }
        at += sizeof(head);
        size_t size = oak_get_u32(head);
        uint32_t crc = oak_get_u32(head + 4);
        if (size == 0) {
            uint64_t whole = 0;
            error = disk->size(disk->user, file, &whole);
            return error != 0 ? error : crc == all && whole == at ? 0 : OAK_ECORRUPT;
        }
        if (size > MEMORY_FILE_CHUNK_BYTES) {
            return OAK_ECORRUPT;
        }
        error = read_exactly(disk, file, at, chunk, size);
        if (error == 0 && oak_crc32c(0, chunk, size) != crc) {
            error = OAK_ECORRUPT;
        }
        if (error == 0 && each != NULL) {
            error = each(arg, oak_bytes(chunk, size));
        }
        if (error != 0) {
            return error;
        }
        all = oak_crc32c(all, chunk, size);
        at += size;
    }
}

int memory__read(const struct memory *m, memory_chunk_fn *each, void *arg, uint64_t *bytes,
                 struct oak_errbuf *e)
{
    const struct oak_disk *disk = m->base.disk;
    struct oak_file *file;
    uint8_t *chunk = malloc(MEMORY_FILE_CHUNK_BYTES);
    if (chunk == NULL) {
        return OAK_ENOMEM;
    }
    int error = disk->open(disk->user, m->path, OAK_FILE_READ, &file);
    if (error == 0) {
        error = read_header(m, file, e);
        error = error != 0 ? error : read_chunks(disk, file, each, arg, chunk);
        error = error != 0 ? error : disk->size(disk->user, file, bytes);
        disk->close(disk->user, file);
    }
    free(chunk);
    return error;
}

/* -- scrub: the whole file in one piece, whatever is asked for --------------------------------- */

int memory__scrub_begin(struct oak_store *s, struct oak_store_scrub **out)
{
    (void)s;
    *out = calloc(1, sizeof(**out));
    return *out == NULL ? OAK_ENOMEM : 0;
}

void memory__scrub_run(struct oak_store_scrub *scrub, size_t bytes)
{
    const struct memory *m = OAK_CONTAINER_OF(scrub->store, struct memory, base);
    uint64_t size;
    (void)bytes;
    scrub->error = memory__read(m, NULL, NULL, &size, NULL);
    /* There is none before the first flush; and nobody else can have put this one there. */
    scrub->error = scrub->error == OAK_ENOENT   ? 0
                   : scrub->error == OAK_EINVAL ? OAK_ECORRUPT
                                                : scrub->error;
    scrub->whole = true;
}

void memory__scrub_free(struct oak_store_scrub *scrub)
{
    free(scrub);
}
