/* SPDX-License-Identifier: Apache-2.0 */
/* source.c: the pairs of etcd's file, with the place of each, for who has to say what is wrong.
 *
 * Can fail     the disk, memory; what the file is not: `e` tells bucket, key, page and byte.
 * Thread       one at a time; blocks on the disk.
 */
#include "restore/internal.h"

#include <inttypes.h>
#include <stdio.h>

/* Of a key, in a message. */
#define SHOWN_BYTES 64

int restore__source_open(struct restore__source *s, const struct oak_disk *disk, const char *path,
                         const struct oak_restore_progress *progress, struct oak_errbuf *e)
{
    *s = (struct restore__source){.path = path, .e = e, .progress = progress, .bucket = ""};
    return oak_bolt_open(disk, path, &s->db, e);
}

void restore__source_close(struct restore__source *s)
{
    oak_bolt_close(s->db);
    s->db = NULL;
}

void restore__tell(struct restore__source *s, uint64_t bytes)
{
    s->done += bytes;
    if (s->progress != NULL && s->progress->tell != NULL &&
        s->done - s->told >= RESTORE_STEP_BYTES) {
        uint64_t total = oak_bolt_bytes(s->db);
        s->told = s->done;
        s->progress->tell(s->progress->user, s->doing, OAK_MIN(s->done, total), total);
    }
}

/* What reading failed by. */
static int failed(const struct restore__source *s, int error)
{
    if (error == 0 || error == OAK_ENOENT) {
        return error;
    }
    const char *why = error == OAK_ECORRUPT ? oak_bolt_why(s->db) : oak_error_text(error);
    return oak_fail(s->e, error, "%s: bucket \"%s\": %s", s->path, s->bucket, why);
}

int restore__source_bucket(struct restore__source *s, const char *bucket, bool needed)
{
    s->bucket = bucket;
    s->key = oak_bytes(NULL, 0);
    int error = oak_bolt_seek(s->db, oak_bytes_str(bucket));
    if (error == OAK_ENOENT && needed) {
        return oak_fail(s->e, OAK_EFORMAT,
                        "%s: it has no bucket \"%s\": a database of that kind, but not etcd's",
                        s->path, bucket);
    }
    return error == OAK_ENOENT ? 0 : failed(s, error);
}

int restore__source_skip(struct restore__source *s, struct oak_bytes key)
{
    return failed(s, oak_bolt_skip(s->db, key));
}

int restore__source_next(struct restore__source *s, struct oak_bytes *value)
{
    int error = oak_bolt_next(s->db, &s->key, value);
    if (error == 0) {
        restore__tell(s, s->key.size + value->size);
    }
    return failed(s, error);
}

/* A revision as people know it; text as it is; anything else as hexadecimal digits. */
static void key_text(const struct restore__source *s, char *out, size_t size)
{
    struct oak_store_rev rev;
    bool plain = s->key.size > 0;
    for (size_t i = 0; i < s->key.size; i++) {
        plain = plain && s->key.data[i] >= ' ' && s->key.data[i] < 0x7f && s->key.data[i] != '"';
    }
    size_t shown = OAK_MIN(s->key.size, (size_t)SHOWN_BYTES);
    size_t revision = OAK_MIN(s->key.size, (size_t)17);
    if (strcmp(s->bucket, "key") == 0 &&
        restore__revision_read(oak_bytes(s->key.data, revision), &rev)) {
        (void)snprintf(out, size, "revision %" PRId64 "_%" PRId64, rev.main, rev.sub);
        return;
    }
    if (plain) {
        (void)snprintf(out, size, "key \"%.*s\"", (int)shown, (const char *)s->key.data);
        return;
    }
    int at = snprintf(out, size, "key ");
    for (size_t i = 0; i < shown; i++) {
        at += snprintf(out + at, size - (size_t)at, "%02x", s->key.data[i]);
    }
}

int restore__source_wrong(const struct restore__source *s, const char *what)
{
    char key[2 * SHOWN_BYTES + 16];
    uint64_t byte = 0;
    uint64_t page = oak_bolt_page(s->db, &byte);
    key_text(s, key, sizeof(key));
    return oak_fail(s->e, OAK_ECORRUPT,
                    "%s: bucket \"%s\", %s (page %" PRIu64 ", byte %" PRIu64 "): %s", s->path,
                    s->bucket, key, page, byte, what);
}
