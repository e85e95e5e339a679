/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h: what the files of the memory engine share. */
#ifndef OAK_STORE_MEMORY_H
#define OAK_STORE_MEMORY_H

#include "store/internal.h"

/* Versions in the order of their revisions, oldest first: a ring's straight part, moved down when
 * the front has grown too long. */
struct memory_changes {
    struct store_version **at;
    size_t first;
    size_t end;
    size_t room;
};

/* The keys and their history; a restore builds a second one beside the first. */
struct memory_data {
    struct store_tree tree;
    struct memory_changes changes; /* those that reclaim has not passed */
    size_t reclaimed;              /* changes at the floor, from `first`, that were looked at */
};

struct memory {
    struct oak_store base;
    struct memory_data data;
    uint64_t group;
    char *dir;
    char *path; /* the file that flush writes */
    char *temp; /* its name while it is being written */
    char *next; /* the file of contents that a restore has prepared */
    uint64_t file_bytes;
};

/* Put a version into the data; revisions rise. */
OAK_MUST_USE int memory__data_push(struct memory_data *d, const struct store_item *item);
void memory__data_clear(struct memory_data *d);

extern const struct store_ops memory__ops;

/* -- memory_read.c ----------------------------------------------------------------------------- */

#define MEMORY_FILE_MAGIC        "OAKMEM01"
#define MEMORY_FILE_HEADER_BYTES 24
#define MEMORY_FILE_VERSION      1
#define MEMORY_FILE_CHUNK_HEAD   8
#define MEMORY_FILE_CHUNK_BYTES  (256 * OAK_KIB)

/* Borrowed bytes of the stream, in order. A nonzero return ends reading with it. */
typedef int memory_chunk_fn(void *arg, struct oak_bytes bytes);
/* Read the file that a flush has left, and check it; `each` may be NULL. *bytes: its size. */
OAK_MUST_USE int memory__read(const struct memory *m, memory_chunk_fn *each, void *arg,
                              uint64_t *bytes, struct oak_errbuf *e);
int memory__scrub_begin(struct oak_store *s, struct oak_store_scrub **out);
void memory__scrub_run(struct oak_store_scrub *scrub, size_t bytes);
void memory__scrub_free(struct oak_store_scrub *scrub);

/* -- memory_file.c ----------------------------------------------------------------------------- */

/* What the last flush left, if there is anything. */
OAK_MUST_USE int memory__load(struct memory *m, struct oak_errbuf *e);
int memory__flush_begin(struct oak_store *s, struct oak_store_flush **out);
void memory__flush_run(struct oak_store_flush *f);
void memory__flush_free(struct oak_store_flush *f);
int memory__snapshot_open(struct oak_store *s, struct oak_store_snapshot **out);
int memory__snapshot_read(struct oak_store_snapshot *snap, uint8_t *out, size_t capacity,
                          size_t *got);
void memory__snapshot_rewind(struct oak_store_snapshot *snap);
void memory__snapshot_close(struct oak_store_snapshot *snap);
int memory__restore_begin(struct oak_store *s, struct oak_store_restore **out);
int memory__restore_write(struct oak_store_restore *r, struct oak_bytes bytes);
int memory__restore_prepare(struct oak_store_restore *r);
int memory__restore_commit(struct oak_store_restore *r);
void memory__restore_adopt(struct oak_store_restore *r);
void memory__restore_free(struct oak_store_restore *r);

#endif
