/* SPDX-License-Identifier: Apache-2.0 */
/* bolt.h: files of the embedded database that etcd keeps its state in (bbolt, format version 2):
 * written from sorted pairs, and read in order.
 *
 * A file is a B+tree of buckets; a bucket is a B+tree of pairs. That is all that etcd's own tools
 * ask of a snapshot, so a file made here is one that they take, and theirs can be read here. A
 * writer makes each page once, from the leaves up, and needs memory for one page a level.
 *
 * Source: format version 2 of go.etcd.io/bbolt, from the files that it writes;
 * docs/internals/bolt-format.md draws the bytes.
 *
 * Threads: one owner each (a worker); calls block on the disk.
 */
#ifndef OAK_BOLT_H
#define OAK_BOLT_H

#include "port/port.h"

struct oak_bolt_writer;
struct oak_bolt_reader;

/* Start a file, which must not exist. OAK_EEXIST, OAK_EIO, OAK_ENOSPC, OAK_ENOMEM. */
OAK_MUST_USE int oak_bolt_create(const struct oak_disk *disk, const char *path,
                                 struct oak_bolt_writer **out);
/* The pairs that follow are of this bucket; names only rise (OAK_EINVAL), are not empty, and there
 * are at most OAK_BOLT_BUCKETS_MAX (OAK_ELIMIT). */
OAK_MUST_USE int oak_bolt_bucket(struct oak_bolt_writer *w, struct oak_bytes name);
/* A pair of the bucket; keys only rise and are not empty (OAK_EINVAL), of at most
 * OAK_BOLT_KEY_BYTES_MAX; a value may be as large as OAK_BOLT_VALUE_BYTES_MAX (OAK_ELIMIT). After
 * another failure only abort may follow: calls give OAK_EFATAL. */
OAK_MUST_USE int oak_bolt_put(struct oak_bolt_writer *w, struct oak_bytes key,
                              struct oak_bytes value);
/* The tree's roots, the two meta pages, and a sync. *bytes: of the file. Frees the writer; a file
 * that failed is removed. */
OAK_MUST_USE int oak_bolt_finish(struct oak_bolt_writer *w, uint64_t *bytes);
/* Remove the file and free the writer. NULL is nothing. */
void oak_bolt_abort(struct oak_bolt_writer *w);

/* Open a file: one of its two meta pages at least must be sound, and the newer sound one counts.
 * OAK_ENOENT, OAK_ECORRUPT, OAK_EFORMAT where it is no such file; `e` says what is wrong and where.
 */
OAK_MUST_USE int oak_bolt_open(const struct oak_disk *disk, const char *path,
                               struct oak_bolt_reader **out, struct oak_errbuf *e);
/* Go to the first pair of a bucket. OAK_ENOENT, OAK_ECORRUPT, OAK_EIO, OAK_ENOMEM. */
OAK_MUST_USE int oak_bolt_seek(struct oak_bolt_reader *r, struct oak_bytes bucket);
/* Behind `key`, in the bucket that was just sought: next gives the first pair whose key is greater.
 * OAK_ECORRUPT, OAK_EIO, OAK_ENOMEM. */
OAK_MUST_USE int oak_bolt_skip(struct oak_bolt_reader *r, struct oak_bytes key);
/* The next pair, borrowed until the next call; OAK_ENOENT at the end of the bucket. A page is
 * checked before it is believed: its number, kind, bounds, the rise of keys. OAK_ECORRUPT. */
OAK_MUST_USE int oak_bolt_next(struct oak_bolt_reader *r, struct oak_bytes *key,
                               struct oak_bytes *value);
/* The name of the bucket that follows `name` in order, into `out`; OAK_ENOENT: it was the last. It
 * ends a walk, as seek does. */
OAK_MUST_USE int oak_bolt_bucket_after(struct oak_bolt_reader *r, struct oak_bytes name,
                                       struct oak_buf *out);
/* The page of the last pair, and where that begins in the file: for messages. */
uint64_t oak_bolt_page(const struct oak_bolt_reader *r, uint64_t *byte);
/* Bytes of all pages that may be in use. */
uint64_t oak_bolt_bytes(const struct oak_bolt_reader *r);
/* What was wrong, and where, after OAK_ECORRUPT; "" before. Lives as long as the reader. */
const char *oak_bolt_why(const struct oak_bolt_reader *r);
void oak_bolt_close(struct oak_bolt_reader *r);

#endif
