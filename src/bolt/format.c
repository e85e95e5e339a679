/* SPDX-License-Identifier: Apache-2.0 */
/* format.c: heads of pages, and the two meta pages that tell where everything is. */
#include "bolt/internal.h"

void bolt__page_head_put(uint8_t out[BOLT_PAGE_HEAD], const struct bolt__page_head *head)
{
    oak_put_u64(out, head->id);
    oak_put_u16(out + 8, head->kind);
    oak_put_u16(out + 10, head->count);
    oak_put_u32(out + 12, head->overflow);
}

void bolt__page_head_get(const uint8_t in[BOLT_PAGE_HEAD], struct bolt__page_head *head)
{
    head->id = oak_get_u64(in);
    head->kind = oak_get_u16(in + 8);
    head->count = oak_get_u16(in + 10);
    head->overflow = oak_get_u32(in + 12);
}

/* FNV-1a of 64 bits, over a meta but its own checksum. */
static uint64_t checksum(const uint8_t *meta)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < BOLT_META_BYTES - 8; i++) {
        sum = (sum ^ meta[i]) * UINT64_C(0x100000001b3);
    }
    return sum;
}

void bolt__meta_put(uint8_t out[BOLT_META_PAGE_BYTES], uint64_t id, const struct bolt__meta *meta)
{
    const struct bolt__page_head head = {.id = id, .kind = BOLT_KIND_META};
    bolt__page_head_put(out, &head);
    uint8_t *p = out + BOLT_PAGE_HEAD;
    oak_put_u32(p, BOLT_MAGIC);
    oak_put_u32(p + 4, BOLT_VERSION);
    oak_put_u32(p + 8, meta->page_bytes);
    oak_put_u32(p + 12, 0); /* flags: none are defined */
    oak_put_u64(p + 16, meta->root);
    oak_put_u64(p + 24, 0); /* the root bucket's sequence: unused */
    oak_put_u64(p + 32, meta->freelist);
    oak_put_u64(p + 40, meta->pages);
    oak_put_u64(p + 48, meta->txid);
    oak_put_u64(p + 56, checksum(p));
}

int bolt__meta_get(const uint8_t in[BOLT_META_PAGE_BYTES], struct bolt__meta *meta)
{
    struct bolt__page_head head;
    bolt__page_head_get(in, &head);
    const uint8_t *p = in + BOLT_PAGE_HEAD;
    if (oak_get_u32(p) != BOLT_MAGIC || oak_get_u32(p + 4) != BOLT_VERSION) {
        return OAK_EFORMAT;
    }
    if ((head.kind & BOLT_KIND_META) == 0 || oak_get_u64(p + 56) != checksum(p)) {
        return OAK_ECORRUPT;
    }
    *meta = (struct bolt__meta){
        .page_bytes = oak_get_u32(p + 8),
        .root = oak_get_u64(p + 16),
        .freelist = oak_get_u64(p + 32),
        .pages = oak_get_u64(p + 40),
        .txid = oak_get_u64(p + 48),
    };
    return 0;
}
