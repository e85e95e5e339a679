/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: the bytes of a bolt file; docs/internals/bolt-format.md draws them. All numbers are
 * little endian. */
#ifndef OAK_BOLT_INTERNAL_H
#define OAK_BOLT_INTERNAL_H

#include "bolt/bolt.h"

#define BOLT_PAGE_BYTES    4096u /* what we write; a file says what it has */
#define BOLT_PAGE_HEAD     16u   /* id u64, kind u16, count u16, overflow u32 */
#define BOLT_ELEMENT_BYTES 16u   /* of a leaf and of a branch alike */
#define BOLT_BUCKET_HEAD   16u   /* root u64, sequence u64 */
#define BOLT_META_BYTES    64u   /* behind the head of its page */
#define BOLT_MAGIC         0xed0cdaedu
#define BOLT_VERSION       2u
#define BOLT_META_PAGES    2u
#define BOLT_FREELIST_PAGE 2u

#define BOLT_KIND_BRANCH   0x01u
#define BOLT_KIND_LEAF     0x02u
#define BOLT_KIND_META     0x04u
#define BOLT_KIND_FREELIST 0x10u
#define BOLT_FLAG_BUCKET   0x01u /* of a leaf's element: its value is a bucket */

/* Levels of a tree: 4 KiB pages with two keys each would hold 2^24 pages in so many. */
#define BOLT_DEPTH_MAX 24u

struct bolt__page_head {
    uint64_t id;
    uint16_t kind;
    uint16_t count;
    uint32_t overflow; /* pages that belong to it behind the first */
};
void bolt__page_head_put(uint8_t out[BOLT_PAGE_HEAD], const struct bolt__page_head *head);
void bolt__page_head_get(const uint8_t in[BOLT_PAGE_HEAD], struct bolt__page_head *head);

struct bolt__meta {
    uint32_t page_bytes;
    uint64_t root; /* page of the bucket of buckets */
    uint64_t freelist;
    uint64_t pages; /* one more than the highest that may be in use */
    uint64_t txid;
};
/* The whole page's first bytes: head and meta. */
#define BOLT_META_PAGE_BYTES (BOLT_PAGE_HEAD + BOLT_META_BYTES)
void bolt__meta_put(uint8_t out[BOLT_META_PAGE_BYTES], uint64_t id, const struct bolt__meta *meta);
/* OAK_EFORMAT: not a meta page at all; OAK_ECORRUPT: it was one. */
OAK_MUST_USE int bolt__meta_get(const uint8_t in[BOLT_META_PAGE_BYTES], struct bolt__meta *meta);

#endif
