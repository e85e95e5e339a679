/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of snap share. docs/internals/snapshot-format.md draws the bytes. */
#ifndef OAK_SNAP_INTERNAL_H
#define OAK_SNAP_INTERNAL_H

#include "snap/snap.h"

#define SNAP__HEADER_BYTES     72u
#define SNAP__CONFIG_BYTES_MAX OAK_SNAP_CONFIG_BYTES_MAX
#define SNAP__CHUNK_HEADER     16u
#define SNAP__TRAILER_BYTES    40u
#define SNAP__DIR_BYTES_MAX    900u
#define SNAP__PATH_BYTES       1024u

enum snap__kind { SNAP__WHOLE, SNAP__PART };

/* What a file's name says. */
struct snap__name {
    enum snap__kind kind;
    uint64_t group;
    uint64_t index;
    uint64_t term;
};

/* -- format.c ---------------------------------------------------------------------------------- */

/* OAK_EINVAL: the directory's name is too long. */
OAK_MUST_USE int snap__path(const char *dir, const struct snap__name *name,
                            char out[SNAP__PATH_BYTES]);
/* The directory that holds `dir`. */
void snap__parent(const char *dir, char out[SNAP__PATH_BYTES]);
/* False: not one of ours. */
bool snap__name_parse(const char *text, struct snap__name *out);

/* The header with the configuration behind it, and the checksum that starts the chain. */
OAK_MUST_USE int snap__header_put(struct oak_buf *out, const struct oak_snap_meta *meta,
                                  uint32_t *chain);
/* Read the fixed part: size of the configuration behind it. False: not a header. */
bool snap__header_get(const uint8_t *fixed, struct oak_snap_meta *out, uint32_t *config_size,
                      uint32_t *checksum);
/* Checksum of a whole header. */
uint32_t snap__header_checksum(const uint8_t *fixed, struct oak_bytes config);

/* The checksum of a chunk is the chain's next value: it covers all chunks before it. */
uint32_t snap__chunk_put(uint8_t header[SNAP__CHUNK_HEADER], uint64_t number, struct oak_bytes data,
                         uint32_t chain);
/* Size and checksum of the chunk `number`. False: not its header. */
bool snap__chunk_get(const uint8_t header[SNAP__CHUNK_HEADER], uint64_t number, uint32_t *size,
                     uint32_t *checksum);
uint32_t snap__chunk_checksum(const uint8_t header[SNAP__CHUNK_HEADER], struct oak_bytes data,
                              uint32_t chain);

struct snap__trailer {
    uint64_t chunks;
    uint64_t bytes; /* of all chunks' data */
    uint32_t chain;
};

void snap__trailer_put(uint8_t out[SNAP__TRAILER_BYTES], const struct snap__trailer *t);
bool snap__trailer_get(const uint8_t in[SNAP__TRAILER_BYTES], struct snap__trailer *out);

/* -- writer.c ---------------------------------------------------------------------------------- */

struct oak_snap_writer {
    const struct oak_disk *disk;
    struct oak_file *file;
    struct snap__name name; /* of the whole file */
    char dir[SNAP__DIR_BYTES_MAX + 1];
    uint64_t offset; /* in the file, of the next byte */
    struct snap__trailer sum;
    struct oak_buf buf; /* one chunk with its header */
    bool named;         /* the part file's name is durable */
    bool failed;
};

/* Without a file yet; NULL without memory. */
struct oak_snap_writer *snap__writer_new(const struct oak_disk *disk, const char *dir,
                                         const struct snap__name *name);
void snap__writer_free(struct oak_snap_writer *w);

/* -- files.c ----------------------------------------------------------------------------------- */

/* The files of one group. */
struct snap__listing {
    uint64_t group;
    struct snap__name *names;
    size_t count;
    size_t capacity;
    int error;
};

/* Names in no set order; no directory is an empty one. `names` is freed by the caller, also after
 * an error. */
OAK_MUST_USE int snap__list(const struct oak_disk *disk, const char *dir, uint64_t group,
                            struct snap__listing *out);
/* A file that is not there is removed. */
OAK_MUST_USE int snap__remove(const struct oak_disk *disk, const char *dir,
                              const struct snap__name *name);
/* `a` is of a later state than `b`. */
bool snap__newer(const struct snap__name *a, const struct snap__name *b);

/* A file while it is read from its start; `data` is what was read last. */
struct snap__scan {
    const struct oak_disk *disk;
    struct oak_file *file;
    uint64_t offset; /* of the next byte */
    struct snap__trailer sum;
    struct oak_buf data;
};

/* Exactly `size` bytes, or OAK_ECORRUPT. */
OAK_MUST_USE int snap__scan_bytes(const struct snap__scan *s, uint64_t offset, void *out,
                                  size_t size);
/* The header, which must agree with `name`; `config` holds what `meta` points to. OAK_ECORRUPT. */
OAK_MUST_USE int snap__scan_header(struct snap__scan *s, const struct snap__name *name,
                                   struct oak_snap_meta *meta,
                                   uint8_t config[SNAP__CONFIG_BYTES_MAX]);
/* The next chunk, into `data`. OAK_ECORRUPT when its checksum does not hold; `s` stays before it.
 * `trusting` believes its bytes without: a mistake for the zoo. */
OAK_MUST_USE int snap__scan_chunk(struct snap__scan *s, bool trusting);

#endif
