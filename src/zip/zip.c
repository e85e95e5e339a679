/* SPDX-License-Identifier: Apache-2.0 */
/* zip.c: zlib behind two functions.
 *
 * Happy path   pack: one deflate into as much room as the message has, so that what does not become
 *              smaller is found out without a larger buffer. unpack: inflate into room that doubles
 *              up to the limit.
 * Can fail     what is packed is damaged or too large; no memory.
 * Invariants   the buffer of unpack never has more than 2 * (limit + 1) bytes of room that were not
 *              there before. A state is reset before each message, so that no message sees another.
 * Thread       the owner's.
 */
#include <zlib.h>

#include "zip/zip.h"

/* Speed before size: on texts a third of level 6's time for a tenth more bytes (measured with zlib
 * 1.2.13), and what one message takes, all others of its thread wait for. */
#define LEVEL Z_BEST_SPEED
/* The largest window that both forms know; 16 more says gzip to zlib. */
#define WINDOW_BITS 15
#define GZIP_BITS   16
/* zlib's default: 256 KiB for a packer in all. */
#define MEMORY_LEVEL 8
/* Texts become four times larger; the first guess of how large. */
#define GROWTH      4
#define FIRST_BYTES 1024

static void *memory(void *p, size_t size)
{
    struct oak_alloc alloc = oak_alloc_libc();
    return alloc.resize(alloc.user, p, size);
}

static void *zlib_alloc(void *user, uInt count, uInt size)
{
    (void)user;
    return memory(NULL, (size_t)count * size); /* zlib's own sizes: far from an overflow */
}

static void zlib_free(void *user, void *p)
{
    (void)user;
    memory(p, 0);
}

static z_stream *state_new(void)
{
    z_stream *z = memory(NULL, sizeof(*z));
    if (z != NULL) {
        *z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free};
    }
    return z;
}

static int bits_of(enum oak_zip_form form)
{
    return form == OAK_ZIP_GZIP ? WINDOW_BITS + GZIP_BITS : WINDOW_BITS;
}

/* Input that zlib's counters hold. Sizes of messages are below 2 GiB. */
static void input_set(z_stream *z, struct oak_bytes in)
{
    OAK_ASSERT_LE(in.size, (size_t)INT32_MAX);
    z->next_in = (z_const Bytef *)(uintptr_t)in.data; /* read only, whatever the type says */
    z->avail_in = (uInt)in.size;
}

void oak_zip_fini(struct oak_zip *zip)
{
    for (size_t i = 0; i < OAK_ZIP_FORMS; i++) {
        if (zip->packers[i] != NULL) {
            deflateEnd(zip->packers[i]);
            memory(zip->packers[i], 0);
        }
    }
    if (zip->unpacker != NULL) {
        inflateEnd(zip->unpacker);
        memory(zip->unpacker, 0);
    }
    *zip = (struct oak_zip){0};
}

/* -- packing ----------------------------------------------------------------------------------- */

static z_stream *packer(struct oak_zip *zip, enum oak_zip_form form)
{
    z_stream *z = zip->packers[form];
    if (z != NULL) {
        int rc = deflateReset(z);
        OAK_ASSERT_EQ(rc, Z_OK);
        return z;
    }
    z = state_new();
    if (z == NULL) {
        return NULL;
    }
    int rc = deflateInit2(z, LEVEL, Z_DEFLATED, bits_of(form), MEMORY_LEVEL, Z_DEFAULT_STRATEGY);
    if (rc != Z_OK) {
        memory(z, 0);
        return NULL;
    }
    zip->packers[form] = z;
    return z;
}

int oak_zip_pack(struct oak_zip *zip, enum oak_zip_form form, struct oak_bytes raw,
                 struct oak_buf *out)
{
    OAK_ASSERT_LT(form, OAK_ZIP_FORMS);
    if (raw.size == 0) {
        return OAK_ELIMIT;
    }
    z_stream *z = packer(zip, form);
    if (z == NULL || oak_buf_reserve(out, raw.size) != 0) {
        return OAK_ENOMEM;
    }
    input_set(z, raw);
    z->next_out = out->data + out->size;
    z->avail_out = (uInt)raw.size - 1;
    if (deflate(z, Z_FINISH) != Z_STREAM_END) {
        return OAK_ELIMIT;
    }
    OAK_ASSERT_EQ(z->avail_in, 0);
    out->size += raw.size - 1 - z->avail_out;
    return 0;
}

/* -- unpacking --------------------------------------------------------------------------------- */

static z_stream *unpacker(struct oak_zip *zip, enum oak_zip_form form)
{
    z_stream *z = zip->unpacker;
    if (z != NULL) {
        return inflateReset2(z, bits_of(form)) == Z_OK ? z : NULL;
    }
    z = state_new();
    if (z == NULL) {
        return NULL;
    }
    if (inflateInit2(z, bits_of(form)) != Z_OK) {
        memory(z, 0);
        return NULL;
    }
    zip->unpacker = z;
    return z;
}

/* Room for what comes next: as much again as has come, and one byte past the limit at most, by
 * which too much is found out. */
static int room_make(struct oak_buf *out, size_t done, size_t first, size_t limit)
{
    size_t wanted = done == 0 ? first : done;
    return oak_buf_reserve(out, OAK_MIN(wanted, limit + 1 - done));
}

int oak_zip_unpack(struct oak_zip *zip, enum oak_zip_form form, struct oak_bytes packed,
                   size_t limit, struct oak_buf *out)
{
    OAK_ASSERT_LT(form, OAK_ZIP_FORMS);
    OAK_ASSERT_LE(limit, (size_t)INT32_MAX);
    z_stream *z = unpacker(zip, form);
    if (z == NULL) {
        return OAK_ENOMEM;
    }
    input_set(z, packed);
    size_t before = out->size;
    size_t first = OAK_MAX(packed.size * GROWTH, (size_t)FIRST_BYTES);
    int rc = Z_OK;
    int error = 0;
    while (rc == Z_OK && error == 0) {
        size_t done = out->size - before;
        if (done > limit) {
            error = OAK_ELIMIT;
        } else if (room_make(out, done, first, limit) != 0) {
            error = OAK_ENOMEM;
        } else {
            size_t room = OAK_MIN(out->capacity - out->size, limit + 1 - done);
            z->next_out = out->data + out->size;
            z->avail_out = (uInt)room;
            rc = inflate(z, Z_NO_FLUSH);
            out->size += room - z->avail_out;
        }
    }
    if (error == 0 && rc == Z_STREAM_END) {
        bool more = out->size - before > limit;
        error = more ? OAK_ELIMIT : z->avail_in > 0 ? OAK_EFORMAT : 0;
    } else if (error == 0) {
        error = rc == Z_MEM_ERROR ? OAK_ENOMEM : OAK_EFORMAT; /* Z_BUF_ERROR: cut off */
    }
    if (error != 0) {
        out->size = before;
    }
    return error;
}
