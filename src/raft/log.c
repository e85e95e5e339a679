/* SPDX-License-Identifier: Apache-2.0 */
/* log.c: the entries in memory.
 *
 * Entries stand in one piece of memory that slides: compaction moves `head`, appending goes on
 * behind, and when the end is reached the entries move down into the freed half or the memory
 * doubles. So a range of entries is an array, outputs point straight into it, and an append costs
 * O(1) amortised.
 *
 * A payload is one allocation. What is removed while a batch being written or the state machine may
 * still read its bytes is buried, and freed once both are done (raft__log_sweep).
 *
 * Can fail     only reserve and payload_new, for want of memory; they change nothing then.
 * Invariants   terms never fall with rising index; `bytes` is the sum of all sizes held.
 * Thread       the core's.
 */
#include "raft/internal.h"

void raft__log_init(struct raft__log *log, const struct oak_raft_alloc *alloc, uint64_t base,
                    uint64_t base_term)
{
    OAK_ASSERT(alloc->resize != NULL);
    *log = (struct raft__log){.alloc = *alloc, .base = base, .base_term = base_term};
}

static struct raft__payload *payload_of(const struct oak_raft_entry *entry)
{
    /* The payload's header stands right before the bytes; see raft__payload_new. */
    uintptr_t at = (uintptr_t)entry->data - sizeof(struct raft__payload);
    return (struct raft__payload *)at;
}

struct raft__payload *raft__payload_new(const struct oak_raft_alloc *alloc, const void *data,
                                        size_t size)
{
    OAK_ASSERT(size > 0);
    if (size > SIZE_MAX - sizeof(struct raft__payload)) {
        return NULL;
    }
    struct raft__payload *p = alloc->resize(alloc->user, NULL, sizeof(*p) + size);
    if (p == NULL) {
        return NULL;
    }
    p->next = NULL;
    memcpy(p + 1, data, size);
    return p;
}

void raft__payload_free(const struct oak_raft_alloc *alloc, struct raft__payload *payload)
{
    if (payload != NULL) {
        (void)alloc->resize(alloc->user, payload, 0);
    }
}

void raft__log_fini(struct raft__log *log)
{
    for (size_t i = 0; i < log->count; i++) {
        struct oak_raft_entry *e = &log->slots[log->head + i];
        if (e->data != NULL) {
            raft__payload_free(&log->alloc, payload_of(e));
        }
    }
    raft__log_sweep(log, UINT64_MAX, UINT64_MAX);
    if (log->slots != NULL) {
        (void)log->alloc.resize(log->alloc.user, log->slots, 0);
    }
    *log = (struct raft__log){0};
}

uint64_t raft__log_last_term(const struct raft__log *log)
{
    return log->count == 0 ? log->base_term : log->slots[log->head + log->count - 1].term;
}

bool raft__log_term(const struct raft__log *log, uint64_t index, uint64_t *term)
{
    if (index < log->base || index > raft__log_last(log)) {
        return false;
    }
    *term = index == log->base ? log->base_term : raft__log_at(log, index)->term;
    return true;
}

int raft__log_reserve(struct raft__log *log, size_t extra)
{
    if (log->capacity - log->head - log->count >= extra) {
        return OAK_RAFT_OK;
    }
    if (log->head >= log->count && log->capacity - log->count >= extra) {
        /* Moving costs no more than the compactions that made the room. */
        memmove(log->slots, log->slots + log->head, log->count * sizeof(log->slots[0]));
        log->head = 0;
        return OAK_RAFT_OK;
    }
    size_t capacity = log->capacity == 0 ? 64 : log->capacity;
    if (extra > SIZE_MAX / sizeof(log->slots[0]) / 4 - log->count - log->head) {
        return OAK_RAFT_ENOMEM;
    }
    while (capacity - log->head - log->count < extra) {
        capacity *= 2;
    }
    struct oak_raft_entry *slots =
        log->alloc.resize(log->alloc.user, log->slots, capacity * sizeof(slots[0]));
    if (slots == NULL) {
        return OAK_RAFT_ENOMEM;
    }
    log->slots = slots;
    log->capacity = capacity;
    return OAK_RAFT_OK;
}

void raft__log_push(struct raft__log *log, uint64_t term, enum oak_raft_entry_type type,
                    struct raft__payload *payload, uint32_t size)
{
    OAK_ASSERT_LT(log->head + log->count, log->capacity);
    OAK_ASSERT_GE(term, raft__log_last_term(log));
    OAK_ASSERT((payload == NULL) == (size == 0));
    log->slots[log->head + log->count] = (struct oak_raft_entry){
        .index = log->base + log->count + 1,
        .term = term,
        .type = type,
        .size = size,
        .data = payload == NULL ? NULL : payload + 1,
    };
    log->count++;
    log->bytes += size;
}

/* Free the entry's payload, or bury it while somebody may read it. */
static void remove_payload(struct raft__log *log, const struct oak_raft_entry *e,
                           const struct raft__readers *readers)
{
    if (e->data == NULL) {
        return;
    }
    OAK_ASSERT_GE(log->bytes, e->size);
    log->bytes -= e->size;
    struct raft__payload *p = payload_of(e);
    p->token = readers->token;
    p->apply = e->index <= readers->apply_issued && e->index > readers->applied ? e->index : 0;
    if (p->token == 0 && p->apply == 0) {
        raft__payload_free(&log->alloc, p);
        return;
    }
    p->next = NULL;
    if (log->grave == NULL) {
        log->grave = p;
    } else {
        log->grave_end->next = p;
    }
    log->grave_end = p;
}

void raft__log_sweep(struct raft__log *log, uint64_t persisted, uint64_t applied)
{
    /* Oldest first: tokens rise along the list, and both conditions are met in time, so one that
     * still waits may keep the ones behind it a little longer. */
    while (log->grave != NULL && log->grave->token <= persisted && log->grave->apply <= applied) {
        struct raft__payload *p = log->grave;
        log->grave = p->next;
        raft__payload_free(&log->alloc, p);
    }
    if (log->grave == NULL) {
        log->grave_end = NULL;
    }
}

void raft__log_truncate(struct raft__log *log, uint64_t from, const struct raft__readers *readers)
{
    OAK_ASSERT_GT(from, log->base);
    while (raft__log_last(log) >= from) {
        remove_payload(log, &log->slots[log->head + log->count - 1], readers);
        log->count--;
    }
}

void raft__log_compact(struct raft__log *log, uint64_t index, const struct raft__readers *readers)
{
    OAK_ASSERT_GE(index, log->base);
    OAK_ASSERT_LE(index, raft__log_last(log));
    uint64_t term = 0;
    bool known = raft__log_term(log, index, &term);
    OAK_ASSERT(known);
    while (log->base < index) {
        remove_payload(log, &log->slots[log->head], readers);
        log->head++;
        log->count--;
        log->base++;
    }
    log->base_term = term;
    if (log->count == 0) {
        log->head = 0;
    }
    /* Give memory back after a burst, but never the room of a candidate's first entry. */
    if (log->capacity >= 4096 && log->count < log->capacity / 8) {
        memmove(log->slots, log->slots + log->head, log->count * sizeof(log->slots[0]));
        log->head = 0;
        struct oak_raft_entry *slots =
            log->alloc.resize(log->alloc.user, log->slots, log->capacity / 4 * sizeof(slots[0]));
        if (slots != NULL) {
            log->slots = slots;
            log->capacity /= 4;
        }
    }
}

void raft__log_reset(struct raft__log *log, uint64_t base, uint64_t base_term,
                     const struct raft__readers *readers)
{
    for (size_t i = 0; i < log->count; i++) {
        remove_payload(log, &log->slots[log->head + i], readers);
    }
    log->head = 0;
    log->count = 0;
    log->base = base;
    log->base_term = base_term;
    OAK_ASSERT_EQ(log->bytes, 0u);
}

uint64_t raft__log_find_term(const struct raft__log *log, uint64_t index, uint64_t term)
{
    OAK_ASSERT_LE(index, raft__log_last(log));
    if (index <= log->base) {
        return log->base;
    }
    /* Terms never fall, so the entries of at most `term` are a prefix: halve. */
    size_t low = 0; /* entries known to be of at most `term` */
    size_t high = (size_t)(index - log->base);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->slots[log->head + middle].term <= term) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return log->base + low;
}
