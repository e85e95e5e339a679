/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: is the file whole, and what etcd's `snapshot status` tells of it.
 *
 * A snapshot is a database, whose size is a multiple of 512 bytes, and the SHA-256 of it. Where the
 * two do not fit the database is walked, so that what is wrong can be named; a byte of a value that
 * has changed is found by the SHA-256 alone.
 *
 * Can fail     the disk; OAK_ENOMEM, for whatever OpenSSL fails by; the file: `e` tells what.
 * Thread       one; blocks on the disk.
 */
#include "restore/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#define SECTOR_BYTES 512
#define READ_BYTES   (256 * OAK_KIB)

/* -- all pairs of all buckets ------------------------------------------------------------------ */

struct summing {
    struct oak_restore_status *out;
    int64_t compacted; /* each key has one version at the most up to there */
    int64_t keys;
};

static void sum(struct oak_restore_status *out, struct oak_bytes bytes)
{
    out->hash = oak_crc32c(out->hash, bytes.data, bytes.size);
}

/* A key begins with the version that the compaction has left of it, or with its first one. */
static int version_see(struct restore__source *s, struct oak_bytes value, struct summing *sums)
{
    struct restore__version v;
    const char *what = NULL;
    if (restore__version_read(s->key, value, &v, &what) != 0) {
        return restore__source_wrong(s, what);
    }
    bool kept = v.rev.main <= sums->compacted;
    sums->out->revision = v.rev.main;
    if (!v.empty && v.deleted) {
        sums->keys -= kept ? 0 : 1;
    } else if (!v.empty) {
        sums->keys += kept || v.kv.version == 1 ? 1 : 0;
    }
    return 0;
}

static int pair_see(struct restore__source *s, struct oak_bytes value, struct summing *sums)
{
    struct oak_restore_status *out = sums->out;
    if (strcmp(s->bucket, "meta") == 0 && oak_bytes_eq(s->key, oak_bytes_str("storageVersion"))) {
        size_t size = OAK_MIN(value.size, sizeof(out->version) - 1);
        memcpy(out->version, value.data, size);
        out->version[size] = '\0';
    }
    sum(out, s->key);
    sum(out, value);
    return strcmp(s->bucket, "key") == 0 ? version_see(s, value, sums) : 0;
}

/* How far a compaction is through. */
static int compacted_find(struct restore__source *s, int64_t *out)
{
    struct oak_bytes value;
    *out = -1;
    int error = restore__source_bucket(s, "meta", true);
    while (error == 0 && (error = restore__source_next(s, &value)) == 0) {
        struct oak_store_rev rev;
        if (oak_bytes_eq(s->key, oak_bytes_str("finishedCompactRev"))) {
            error = restore__revision_read(value, &rev)
                        ? 0
                        : restore__source_wrong(s, "its value is no revision");
            *out = error == 0 ? rev.main : *out;
        }
    }
    return error == OAK_ENOENT ? 0 : error;
}

static int walk(struct restore__source *s, struct oak_restore_status *out)
{
    struct summing sums = {.out = out};
    struct oak_buf name = {0};
    struct oak_buf bucket = {0};
    s->doing = "reading";
    int error = compacted_find(s, &sums.compacted);
    while (error == 0) {
        error = oak_bolt_bucket_after(s->db, oak_buf_bytes(&name), &bucket);
        oak_buf_clear(&name);
        error = error != 0 ? error : oak_buf_append(&name, bucket.data, bucket.size);
        error = error != 0 ? error : oak_buf_append(&bucket, "", 1);
        if (error != 0) {
            break;
        }
        struct oak_bytes value;
        sum(out, oak_buf_bytes(&name));
        error = restore__source_bucket(s, (const char *)bucket.data, true);
        while (error == 0 && (error = restore__source_next(s, &value)) == 0) {
            error = pair_see(s, value, &sums);
        }
        error = error == OAK_ENOENT ? 0 : error;
    }
    if (error == OAK_ECORRUPT && s->e->text[0] == '\0') {
        error = oak_fail(s->e, error, "%s: %s", s->path, oak_bolt_why(s->db));
    }
    oak_buf_fini(&name);
    oak_buf_fini(&bucket);
    out->total_keys = (uint64_t)OAK_MAX(sums.keys, (int64_t)0);
    return error == OAK_ENOENT ? 0 : error;
}

int oak_restore_status(const struct oak_disk *disk, const char *path,
                       const struct oak_restore_progress *progress, struct oak_restore_status *out,
                       struct oak_errbuf *e)
{
    struct restore__source s;
    *out = (struct oak_restore_status){0};
    e->text[0] = '\0';
    int error = restore__source_open(&s, disk, path, progress, e);
    if (error == 0) {
        out->total_size = oak_bolt_bytes(s.db);
        error = restore__source_bucket(&s, "key", true);
        error = error != 0 ? error : walk(&s, out);
        restore__source_close(&s);
    }
    return error == 0 || e->text[0] != '\0'
               ? error
               : oak_fail(e, error, "%s: %s", path, oak_error_text(error));
}

/* -- the SHA-256 behind it --------------------------------------------------------------------- */

struct file {
    const struct oak_disk *disk;
    const struct oak_restore_progress *progress;
    struct oak_file *file;
    uint64_t size; /* of the database */
};

static int digest_make(const struct file *f, uint8_t *buffer, EVP_MD_CTX *context, uint8_t *out)
{
    uint64_t told = 0;
    unsigned size = 0;
    int error = EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 ? 0 : OAK_ENOMEM;
    for (uint64_t at = 0; error == 0 && at < f->size;) {
        size_t want = (size_t)OAK_MIN((uint64_t)READ_BYTES, f->size - at);
        size_t got = 0;
        error = f->disk->read(f->disk->user, f->file, at, buffer, want, &got);
        error = error == 0 && got < want ? OAK_EIO : error;
        if (error == 0 && EVP_DigestUpdate(context, buffer, got) != 1) {
            error = OAK_ENOMEM;
        }
        at += got;
        if (f->progress != NULL && f->progress->tell != NULL && at - told >= RESTORE_STEP_BYTES) {
            told = at;
            f->progress->tell(f->progress->user, "checking", at, f->size);
        }
    }
    if (error == 0 && EVP_DigestFinal_ex(context, out, &size) != 1) {
        error = OAK_ENOMEM;
    }
    OAK_ASSERT(error != 0 || size == OAK_RESTORE_DIGEST_BYTES);
    return error;
}

static int digest_check(const struct file *f, bool *same)
{
    uint8_t made[EVP_MAX_MD_SIZE];
    uint8_t told[OAK_RESTORE_DIGEST_BYTES];
    size_t got = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t *buffer = malloc(READ_BYTES);
    int error = context == NULL || buffer == NULL ? OAK_ENOMEM : 0;
    error = error != 0 ? error : digest_make(f, buffer, context, made);
    error = error != 0 ? error
                       : f->disk->read(f->disk->user, f->file, f->size, told, sizeof(told), &got);
    error = error == 0 && got < sizeof(told) ? OAK_EIO : error;
    *same = error == 0 && memcmp(made, told, sizeof(told)) == 0;
    EVP_MD_CTX_free(context);
    free(buffer);
    return error;
}

/* What is wrong with a file that is not what it was, if it can be said. */
static int wrong(const struct file *f, const char *path, const char *what, struct oak_errbuf *e)
{
    struct oak_restore_status ignored;
    struct oak_errbuf why = {{0}};
    int error = oak_restore_status(f->disk, path, NULL, &ignored, &why);
    if (error != 0) {
        size_t skip = strlen(path) + 2; /* the path is said once */
        return oak_fail(e, error == OAK_EFORMAT ? OAK_EFORMAT : OAK_ECORRUPT, "%s: %s; %s", path,
                        what, strlen(why.text) > skip ? why.text + skip : why.text);
    }
    return oak_fail(e, OAK_ECORRUPT,
                    "%s: %s; all its pages hold together, so what has changed is within a key or a "
                    "value, or in a page that is not in use",
                    path, what);
}

static int whole(const struct file *f, const char *path, uint64_t size,
                 enum oak_restore_digest digest, struct oak_errbuf *e)
{
    bool same = false;
    bool skip = digest == OAK_RESTORE_DIGEST_IGNORED;
    if (size % SECTOR_BYTES != 0 && size % SECTOR_BYTES != OAK_RESTORE_DIGEST_BYTES) {
        char what[128];
        (void)snprintf(what, sizeof(what),
                       "it has %" PRIu64 " bytes, which no snapshot has: it was cut short, or is "
                       "something else",
                       size);
        return wrong(f, path, what, e);
    }
    if (size % SECTOR_BYTES == 0) {
        return digest != OAK_RESTORE_DIGEST_NEEDED
                   ? 0
                   : wrong(f, path,
                           "it has no SHA-256 behind it: cut short, or copied from a data "
                           "directory (--skip-hash-check takes it then)",
                           e);
    }
    int error = skip ? 0 : digest_check(f, &same);
    if (error != 0) {
        return oak_fail(e, error, "%s: %s", path, oak_error_text(error));
    }
    return skip || same ? 0 : wrong(f, path, "its content is not what its SHA-256 says", e);
}

int oak_restore_check(const struct oak_disk *disk, const char *path, enum oak_restore_digest digest,
                      const struct oak_restore_progress *progress, struct oak_errbuf *e)
{
    struct file f = {.disk = disk, .progress = progress};
    uint64_t size = 0;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &f.file);
    error = error != 0 ? error : disk->size(disk->user, f.file, &size);
    if (error == 0) {
        f.size = size - size % SECTOR_BYTES;
        error = whole(&f, path, size, digest, e);
    } else {
        (void)oak_fail(e, error, "%s: %s", path, oak_error_text(error));
    }
    if (f.file != NULL) {
        disk->close(disk->user, f.file);
    }
    return error;
}
