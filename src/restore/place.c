/* SPDX-License-Identifier: Apache-2.0 */
/* place.c: how far the reading of a file has come, for the next run where this one is interrupted.
 *
 * Format       scratch/place, little endian: "OAKPLAC1", the CRC-32C of all behind it u32, whose
 *              file (32 bytes), whether all is read u8, bytes read u64, the newest revision u64,
 *              the last key's size u8 and itself, the sorter (sort/saved.c).
 * Happy path   1 runs are on the disk, and their names
 *              2 the place is written beside, synced, and renamed over the one before
 *              3 files that only the one before named go.
 * Whose file   a SHA-256 of its size, of what lies in front (the two meta pages, with the number of
 *              the transaction that made them), and of what lies behind (the SHA-256 that `snapshot
 *              save` puts there).
 * Can fail     the disk, memory. A place that can't be read, or is of another file, is none.
 * Invariants   at every moment the place that is there can be gone on from.
 * Thread       one; blocks on the disk.
 */
#include "restore/internal.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#define MAGIC      "OAKPLAC1"
#define CRC_AT     8
#define BODY_AT    12
#define HEAD_BYTES (BODY_AT + RESTORE_WHOSE_BYTES + 1 + 8 + 8 + 1)
/* A page is no larger, and the meta pages are the first two. */
#define FRONT_BYTES (128 * OAK_KIB)
#define BACK_BYTES  (64 * OAK_KIB)
/* Far more runs than there can be. */
#define PLACE_BYTES_MAX OAK_MIB

/* -- whose ------------------------------------------------------------------------------------- */

static int part_sum(const struct oak_disk *disk, struct oak_file *file, uint64_t from, size_t size,
                    EVP_MD_CTX *sum)
{
    size_t got = 0;
    uint8_t *bytes = malloc(size);
    int error = bytes == NULL ? OAK_ENOMEM : disk->read(disk->user, file, from, bytes, size, &got);
    if (error == 0 && EVP_DigestUpdate(sum, bytes, got) != 1) {
        error = OAK_ENOMEM;
    }
    free(bytes);
    return error;
}

static int file_sum(const struct oak_disk *disk, struct oak_file *file, EVP_MD_CTX *sum,
                    uint8_t out[RESTORE_WHOSE_BYTES])
{
    uint64_t size = 0;
    uint8_t head[8];
    int error = disk->size(disk->user, file, &size);
    oak_put_u64(head, size);
    if (error == 0 && (EVP_DigestInit_ex(sum, EVP_sha256(), NULL) != 1 ||
                       EVP_DigestUpdate(sum, head, sizeof(head)) != 1)) {
        error = OAK_ENOMEM;
    }
    error = error != 0 ? error : part_sum(disk, file, 0, FRONT_BYTES, sum);
    error = error != 0
                ? error
                : part_sum(disk, file, size - OAK_MIN(size, (uint64_t)BACK_BYTES), BACK_BYTES, sum);
    if (error == 0 && EVP_DigestFinal_ex(sum, out, NULL) != 1) {
        error = OAK_ENOMEM;
    }
    return error;
}

int restore__place_init(struct restore__place *p, const struct oak_disk *disk, const char *scratch,
                        const char *path)
{
    struct oak_file *file = NULL;
    *p = (struct restore__place){.disk = disk, .scratch = scratch};
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    int error = sum == NULL ? OAK_ENOMEM : disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error == 0) {
        error = file_sum(disk, file, sum, p->whose);
        disk->close(disk->user, file);
    }
    EVP_MD_CTX_free(sum);
    error = error != 0 ? error : oak_buf_printf(&p->path, "%s/place%c", scratch, '\0');
    return error != 0 ? error : oak_buf_printf(&p->part, "%s/place.part%c", scratch, '\0');
}

void restore__place_fini(struct restore__place *p)
{
    if (p->path.size > 0) {
        (void)p->disk->remove(p->disk->user, (const char *)p->path.data);
    }
    oak_buf_fini(&p->path);
    oak_buf_fini(&p->part);
    oak_buf_fini(&p->text);
}

/* -- written ----------------------------------------------------------------------------------- */

void restore__place_note(struct restore__place *p, struct oak_bytes key, int64_t last,
                         uint64_t done)
{
    OAK_ASSERT_LE(key.size, sizeof(p->key));
    memcpy(p->key, key.data, key.size);
    p->key_size = (uint8_t)key.size;
    p->last = last;
    p->done = done;
}

static int text_make(struct restore__place *p, struct oak_sorter *sorter)
{
    struct oak_buf *text = &p->text;
    oak_buf_clear(text);
    int error = oak_buf_reserve(text, HEAD_BYTES + sizeof(p->key));
    if (error != 0) {
        return error;
    }
    uint8_t *at = text->data + BODY_AT;
    memcpy(text->data, MAGIC, CRC_AT);
    memcpy(at, p->whose, sizeof(p->whose));
    at += sizeof(p->whose);
    at[0] = p->all ? 1 : 0;
    oak_put_u64(at + 1, p->done);
    oak_put_u64(at + 9, (uint64_t)p->last);
    at[17] = p->key_size;
    memcpy(at + 18, p->key, p->key_size);
    text->size = (size_t)HEAD_BYTES + p->key_size;
    error = oak_sorter_save(sorter, text);
    if (error == 0) {
        oak_put_u32(text->data + CRC_AT, oak_crc32c(0, text->data + BODY_AT, text->size - BODY_AT));
    }
    return error;
}

static int part_write(const struct restore__place *p)
{
    const struct oak_disk *disk = p->disk;
    const char *part = (const char *)p->part.data;
    struct oak_file *file = NULL;
    int error = disk->remove(disk->user, part);
    error = error == OAK_ENOENT ? 0 : error;
    error = error != 0 ? error : disk->open(disk->user, part, OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->write(disk->user, file, 0, p->text.data, p->text.size);
        error = error != 0 ? error : disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    return error != 0 ? error : disk->sync_dir(disk->user, p->scratch);
}

int restore__place_save(struct restore__place *p, struct oak_sorter *sorter)
{
    const struct oak_disk *disk = p->disk;
    int error = text_make(p, sorter);
    error = error != 0 ? error : part_write(p);
    error = error != 0
                ? error
                : disk->rename(disk->user, (const char *)p->part.data, (const char *)p->path.data);
    error = error != 0 ? error : disk->sync_dir(disk->user, p->scratch);
    if (error == 0) {
        oak_sorter_saved(sorter);
    }
    return error;
}

/* -- read -------------------------------------------------------------------------------------- */

static int text_read(struct restore__place *p)
{
    const struct oak_disk *disk = p->disk;
    struct oak_file *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    oak_buf_clear(&p->text);
    int error = disk->open(disk->user, (const char *)p->path.data, OAK_FILE_READ, &file);
    if (error != 0) {
        return error;
    }
    error = disk->size(disk->user, file, &size);
    error = error == 0 && (size < HEAD_BYTES || size > PLACE_BYTES_MAX) ? OAK_ENOENT : error;
    error = error != 0 ? error : oak_buf_reserve(&p->text, (size_t)size);
    error = error != 0 ? error : disk->read(disk->user, file, 0, p->text.data, (size_t)size, &got);
    p->text.size = error == 0 ? got : 0;
    disk->close(disk->user, file);
    return error == 0 && got < HEAD_BYTES ? OAK_ENOENT : error;
}

static bool is_ours(const struct restore__place *p)
{
    const uint8_t *text = p->text.data;
    return memcmp(text, MAGIC, CRC_AT) == 0 &&
           oak_get_u32(text + CRC_AT) == oak_crc32c(0, text + BODY_AT, p->text.size - BODY_AT) &&
           memcmp(text + BODY_AT, p->whose, sizeof(p->whose)) == 0;
}

/* Of what use it was says the place alone. */
static void left_remove(void *arg, const char *name)
{
    const struct restore__place *p = arg;
    struct oak_buf path = {0};
    if (oak_buf_printf(&path, "%s/%s%c", p->scratch, name, '\0') == 0) {
        (void)p->disk->remove(p->disk->user, (const char *)path.data);
    }
    oak_buf_fini(&path);
}

static int place_take(struct restore__place *p, struct oak_sorter *sorter)
{
    struct oak_reader in = oak_reader(oak_buf_bytes(&p->text));
    (void)oak_read_bytes(&in, BODY_AT + sizeof(p->whose));
    bool all = oak_read_u8(&in) != 0;
    uint64_t done = oak_read_u64(&in);
    int64_t last = (int64_t)oak_read_u64(&in);
    struct oak_bytes key = oak_read_bytes(&in, oak_read_u8(&in));
    int error = in.failed || key.size > sizeof(p->key) ? OAK_ENOENT : oak_sorter_load(sorter, &in);
    if (error == 0) {
        restore__place_note(p, key, last, done);
        p->all = all;
    }
    return error == OAK_ECORRUPT ? OAK_ENOENT : error;
}

int restore__place_load(struct restore__place *p, struct oak_sorter *sorter)
{
    int error = text_read(p);
    error = error == 0 && !is_ours(p) ? OAK_ENOENT : error;
    error = error != 0 ? error : place_take(p, sorter);
    if (error == OAK_ENOENT) {
        int listed = p->disk->list(p->disk->user, p->scratch, left_remove, p);
        error = listed == 0 || listed == OAK_ENOENT ? error : listed;
    }
    return error;
}
