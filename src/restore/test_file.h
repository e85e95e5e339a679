/* SPDX-License-Identifier: Apache-2.0 */
/* test_file.h: a small snapshot as etcd has it, whose pairs a test may change. */
#ifndef OAK_RESTORE_TEST_FILE_H
#define OAK_RESTORE_TEST_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "bolt/bolt.h"
#include "restore/internal.h"
#include "wal/test_disk.h"

#define TEST_FILE "etcd.db"
#define TEXT(s)                             \
    {                                       \
        (const uint8_t *)(s), sizeof(s) - 1 \
    }

struct test_pair {
    const char *bucket;
    struct oak_bytes key;
    struct oak_bytes value;
};

/* Revision `main`_`sub`, as text. */
#define REV(main, sub) TEXT("\0\0\0\0\0\0\0" main "_\0\0\0\0\0\0\0" sub)
#define END(main, sub) TEXT("\0\0\0\0\0\0\0" main "_\0\0\0\0\0\0\0" sub "t")
/* mvccpb.KeyValue of a one-letter key. */
#define PUT(key, created, modified, version, value) \
    TEXT("\x0a\1" key "\x10" created "\x18" modified "\x20" version "\x2a\1" value)
#define LEASED(key, created, modified, version, value, lease) \
    TEXT("\x0a\1" key "\x10" created "\x18" modified "\x20" version "\x2a\1" value "\x30" lease)

#define TEST_PAIRS 25
/* "a": put at 2, 3 and 6; "b": put at 3_1, deleted at 4; "c": put at 5 with lease 7; "d": with
 * lease 9, which is not there. Compacted at 3. */
static const struct test_pair test_pairs[TEST_PAIRS] = {
    {"alarm", TEXT("\x08\x05\x10\1"), TEXT("")},
    {"auth", TEXT("authEnabled"), TEXT("\1")},
    {"auth", TEXT("authRevision"), TEXT("\0\0\0\0\0\0\0\x0c")},
    {"authRoles", TEXT("reader"), TEXT("\x0a\6reader\x12\7\x08\0\x12\1k\x1a\0")},
    {"authRoles", TEXT("root"), TEXT("\x0a\4root")},
    {"authUsers", TEXT("ann"), TEXT("\x0a\3ann\x12\4hash\x1a\6reader")},
    {"authUsers", TEXT("root"), TEXT("\x0a\4root\x12\4hash\x1a\4root")},
    {"cluster", TEXT("clusterVersion"), TEXT("3.4.0")},
    {"key", REV("\2", "\0"), PUT("a", "\2", "\2", "\1", "1")},
    {"key", REV("\3", "\0"), PUT("a", "\2", "\3", "\2", "2")},
    {"key", REV("\3", "\1"), PUT("b", "\3", "\3", "\1", "3")},
    {"key", END("\4", "\0"),
     TEXT("\x0a\1"
          "b")},
    {"key", REV("\5", "\0"), LEASED("c", "\5", "\5", "\1", "4", "\7")},
    {"key", REV("\6", "\0"), PUT("a", "\2", "\6", "\3", "5")},
    {"key", REV("\7", "\0"), LEASED("d", "\7", "\7", "\1", "6", "\x09")},
    {"key", REV("\x08", "\0"), TEXT("")},
    {"lease", TEXT("\0\0\0\0\0\0\0\7"), TEXT("\x08\7\x10\x64\x18\x28")},
    {"lease", TEXT("\0\0\0\0\0\0\0\x08"), TEXT("\x08\x08\x10\x64")},
    {"members", TEXT("1"), TEXT("{}")},
    {"members_removed", TEXT("2"), TEXT("removed")},
    {"meta", TEXT("confState"), TEXT("{}")},
    {"meta", TEXT("consistent_index"), TEXT("\0\0\0\0\0\0\0\x09")},
    {"meta", TEXT("finishedCompactRev"), REV("\2", "\0")},
    {"meta", TEXT("scheduledCompactRev"), REV("\3", "\0")},
    {"meta", TEXT("storageVersion"), TEXT("3.6.0")},
};

/* Behind it, what it is. */
static inline void test_digest_append(const struct oak_disk *disk, uint64_t size)
{
    struct oak_file *f = NULL;
    uint8_t digest[EVP_MAX_MD_SIZE];
    uint8_t *bytes = malloc((size_t)size);
    size_t got = 0;
    bool fine = bytes != NULL && disk->open(disk->user, TEST_FILE, OAK_FILE_WRITE, &f) == 0 &&
                disk->read(disk->user, f, 0, bytes, (size_t)size, &got) == 0 && got == size &&
                EVP_Digest(bytes, (size_t)size, digest, NULL, EVP_sha256(), NULL) == 1 &&
                disk->write(disk->user, f, size, digest, OAK_RESTORE_DIGEST_BYTES) == 0;
    OAK_ASSERT(fine);
    disk->close(disk->user, f);
    free(bytes);
}

/* Bytes of the database. */
static inline uint64_t test_file_write(const struct oak_disk *disk, const struct test_pair *pairs,
                                       size_t count)
{
    struct oak_bolt_writer *w = NULL;
    const char *bucket = "";
    uint64_t size = 0;
    int error = oak_bolt_create(disk, TEST_FILE, &w);
    OAK_ASSERT_EQ(error, 0);
    for (size_t i = 0; error == 0 && i < count; i++) {
        if (strcmp(bucket, pairs[i].bucket) != 0) {
            bucket = pairs[i].bucket;
            error = oak_bolt_bucket(w, oak_bytes_str(bucket));
        }
        error = error != 0 ? error : oak_bolt_put(w, pairs[i].key, pairs[i].value);
    }
    OAK_ASSERT_EQ(error, 0);
    error = oak_bolt_finish(w, &size);
    OAK_ASSERT_EQ(error, 0);
    test_digest_append(disk, size);
    return size;
}

/* A store of the memory engine, in a directory of its own. */
static inline struct oak_store *test_store(const struct oak_disk *disk, const char *dir)
{
    const struct oak_store_options options = {.disk = disk, .dir = dir};
    struct oak_errbuf e;
    struct oak_store *s = NULL;
    int error = oak_store_open_memory(&options, &s, &e);
    OAK_ASSERT_EQ(error, 0);
    return s;
}

#endif
