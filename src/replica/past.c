/* SPDX-License-Identifier: Apache-2.0 */
/* past.c: see past.h. */
#include "replica/past.h"

#include "base/zoo.h"

#define MAGIC      0x747361706b616fULL /* "oakpast" */
#define SEQ_AT     8
#define CRC_AT     16
#define STATE_AT   20
#define RUNS_AT    24
#define ROWS_AT    28
#define HEAD_BYTES 32
#define VOTELESS   0x100u /* a flag in the state */
#define RUN_BYTES  40
#define ROW_BYTES  48

OAK_STATIC_ASSERT(HEAD_BYTES + PAST_RUNS_MAX * RUN_BYTES + OAK_PEERS_MAX * ROW_BYTES <=
                      PAST_SLOT_BYTES,
                  "all of it fits a slot");

void past_begin(struct past *p, uint64_t run, const struct past_run *end)
{
    uint64_t number = 1;
    if (p->run_count > 0) {
        struct past_run *before = past_present(p);
        before->term = end->term;
        before->vote = end->vote;
        before->last = end->last;
        number = before->number + 1;
    }
    if (p->run_count == PAST_RUNS_MAX) {
        memmove(p->runs, p->runs + 1, (PAST_RUNS_MAX - 1) * sizeof(p->runs[0]));
        p->run_count--;
    }
    p->runs[p->run_count++] = (struct past_run){.number = number, .run = run};
}

struct past_run *past_present(struct past *p)
{
    OAK_ASSERT_GT(p->run_count, 0);
    return &p->runs[p->run_count - 1];
}

static bool run_covers(const struct past_run *r, const struct oak_peer_memory *told)
{
    if (r->term != told->term) {
        return r->term > told->term;
    }
    return (told->vote == 0 || told->vote == r->vote) && told->index <= r->last;
}

bool past_covers(const struct past *p, const struct oak_peer_memory *told)
{
    if (told->number == 0 || OAK_BUG(rollback_believed)) {
        return true;
    }
    const struct past_run *present = &p->runs[p->run_count - 1];
    if (told->number >= present->number) {
        return told->run == present->run;
    }
    for (size_t i = 0; i + 1 < p->run_count; i++) {
        if (p->runs[i].number == told->number) {
            return p->runs[i].run == told->run && run_covers(&p->runs[i], told);
        }
    }
    /* Numbers may have been passed over (hello.c); a run that never was is no run of ours. */
    return told->number < p->runs[0].number;
}

struct past_memory *past_find(struct past *p, uint64_t id)
{
    for (size_t i = 0; i < OAK_COUNT_OF(p->memories); i++) {
        if (p->memories[i].id == id) {
            return &p->memories[i];
        }
    }
    return NULL;
}

bool past_note(struct oak_peer_memory *m, uint64_t term, uint64_t vote, uint64_t index)
{
    if (term < m->term) {
        return false;
    }
    if (term > m->term) {
        m->term = term;
        m->vote = vote;
        m->index = index;
        return true;
    }
    bool news = index > m->index || (m->vote == 0 && vote != 0);
    m->vote = m->vote != 0 ? m->vote : vote;
    m->index = OAK_MAX(m->index, index);
    return news;
}

static uint8_t *put_all(uint8_t *p, const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++, p += 8) {
        oak_put_u64(p, values[i]);
    }
    return p;
}

static uint32_t slot_crc(const uint8_t *slot)
{
    uint32_t crc = oak_crc32c(0, slot + SEQ_AT, CRC_AT - SEQ_AT);
    return oak_crc32c(crc, slot + STATE_AT, PAST_SLOT_BYTES - STATE_AT);
}

void past_encode(const struct past *p, uint8_t slot[PAST_SLOT_BYTES])
{
    memset(slot, 0, PAST_SLOT_BYTES);
    oak_put_u64(slot, MAGIC);
    oak_put_u64(slot + SEQ_AT, p->seq);
    oak_put_u32(slot + STATE_AT, (uint32_t)p->state | (p->voteless ? VOTELESS : 0));
    oak_put_u32(slot + RUNS_AT, (uint32_t)p->run_count);
    uint8_t *at = slot + HEAD_BYTES;
    for (size_t i = 0; i < p->run_count; i++) {
        const struct past_run *r = &p->runs[i];
        const uint64_t values[] = {r->number, r->run, r->term, r->vote, r->last};
        at = put_all(at, values, OAK_COUNT_OF(values));
    }
    uint32_t rows = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(p->memories); i++) {
        const struct past_memory *m = &p->memories[i];
        const uint64_t values[] = {m->id,      m->at.number, m->at.run,
                                   m->at.term, m->at.vote,   m->at.index};
        if (m->id != 0 && m->at.number != 0) {
            at = put_all(at, values, OAK_COUNT_OF(values));
            rows++;
        }
    }
    oak_put_u32(slot + ROWS_AT, rows);
    oak_put_u32(slot + CRC_AT, slot_crc(slot));
}

bool past_decode(const uint8_t slot[PAST_SLOT_BYTES], struct past *out)
{
    *out = (struct past){.seq = oak_get_u64(slot + SEQ_AT)};
    uint32_t word = oak_get_u32(slot + STATE_AT);
    uint32_t state = word & ~VOTELESS;
    uint32_t runs = oak_get_u32(slot + RUNS_AT);
    uint32_t rows = oak_get_u32(slot + ROWS_AT);
    if (oak_get_u64(slot) != MAGIC || oak_get_u32(slot + CRC_AT) != slot_crc(slot) ||
        state >= OAK_PEER_PAST_END_ || runs > PAST_RUNS_MAX || rows > OAK_PEERS_MAX) {
        return false;
    }
    out->state = out->state_saved = (enum oak_peer_past)state;
    out->voteless = (word & VOTELESS) != 0;
    struct oak_reader r = oak_reader(oak_bytes(slot + HEAD_BYTES, PAST_SLOT_BYTES - HEAD_BYTES));
    for (; out->run_count < runs; out->run_count++) {
        struct past_run *run = &out->runs[out->run_count];
        run->number = oak_read_u64(&r);
        run->run = oak_read_u64(&r);
        run->term = oak_read_u64(&r);
        run->vote = oak_read_u64(&r);
        run->last = oak_read_u64(&r);
    }
    for (uint32_t i = 0; i < rows; i++) {
        struct past_memory *m = &out->memories[i];
        m->id = oak_read_u64(&r);
        m->at.number = oak_read_u64(&r);
        m->at.run = oak_read_u64(&r);
        m->at.term = oak_read_u64(&r);
        m->at.vote = oak_read_u64(&r);
        m->at.index = oak_read_u64(&r);
        m->saved = m->at;
    }
    return !r.failed;
}
