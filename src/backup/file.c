/* SPDX-License-Identifier: Apache-2.0 */
/* file.c: the file of a backup, read from its start to its end, and its SHA-256 behind it.
 *
 * Can fail     the disk; OAK_ENOMEM, for whatever OpenSSL fails by.
 * Invariants   each byte is read once, and is in the digest.
 * Thread       one at a time; blocks on the disk.
 */
#include "backup/file.h"

#include <openssl/evp.h>

static int file_open(struct oak_backup *b)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(digest);
        return OAK_ENOMEM;
    }
    b->digest = digest;
    return b->disk.open(b->disk.user, b->path, OAK_FILE_READ, &b->file);
}

static int digest_take(struct oak_backup *b, uint8_t *out, size_t *got)
{
    unsigned size = 0;
    if (EVP_DigestFinal_ex(b->digest, out, &size) != 1) {
        return OAK_ENOMEM;
    }
    OAK_ASSERT_EQ(size, OAK_BACKUP_DIGEST_BYTES);
    *got = size;
    b->told = true;
    return 0;
}

int oak_backup_read(struct oak_backup *b, uint8_t *out, size_t capacity, size_t *got)
{
    OAK_ASSERT(b->whole);
    OAK_ASSERT_GE(capacity, (size_t)OAK_BACKUP_DIGEST_BYTES);
    *got = 0;
    int error = b->digest == NULL ? file_open(b) : 0;
    if (error != 0 || b->told) {
        return error;
    }
    if (b->at == b->size) {
        return digest_take(b, out, got);
    }
    size_t want = (size_t)OAK_MIN((uint64_t)capacity, b->size - b->at);
    error = b->disk.read(b->disk.user, b->file, b->at, out, want, got);
    if (error == 0 && *got < want) {
        error = OAK_EIO; /* it is ours, and was as long as that */
    }
    if (error == 0 && EVP_DigestUpdate(b->digest, out, *got) != 1) {
        error = OAK_ENOMEM;
    }
    b->at += *got;
    return error;
}

void backup__file_close(struct oak_backup *b)
{
    if (b->file != NULL) {
        b->disk.close(b->disk.user, b->file);
        b->file = NULL;
    }
    EVP_MD_CTX_free(b->digest);
    b->digest = NULL;
}
