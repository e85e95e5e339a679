/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: frames as bytes.
 *
 *      0       2       3      4        8         16      24     32     40      48       56
 *      +-------+-------+------+--------+---------+-------+------+------+-------+--------+------+
 *      | magic |version| kind | crc32c | cluster | group | from | to   | boot  | to_boot| body |
 *      +-------+-------+------+--------+---------+-------+------+------+-------+--------+------+
 *
 * Little endian. The checksum covers everything behind it. Bodies are drawn above their functions.
 * Decoding believes nothing: every count is held against the bytes that are there.
 */
#include "peer/peer.h"

#define MAGIC       0x4b4fu /* "OK" */
#define VERSION     1
#define HEADER_SIZE 56
#define CRC_AT      4
#define CRC_FROM    8
#define LOAD_US_MAX (86400ull * 1000000)

static uint8_t *put_u64s(uint8_t *p, const uint64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++, p += 8) {
        oak_put_u64(p, values[i]);
    }
    return p;
}

/* type u8, u8 of 1 reject + 2 transfer + 4 doubtful, priority u8, a zero byte, u32 entries; term,
 * index, log_term, commit, read_seq, hint_index, hint_term; then each entry: term u64, type u8, 3
 * zero bytes, size u32, payload. The wire never carries OAK_RAFT_MSG_SNAPSHOT: chunks do, and the
 * receiver makes it. */
#define RAFT_FIXED (8 + 7 * 8)
#define RAFT_ENTRY 16

static int raft_encode(const struct oak_raft_msg *m, struct oak_buf *out)
{
    OAK_ASSERT(m->type != OAK_RAFT_MSG_SNAPSHOT);
    size_t size = RAFT_FIXED;
    for (size_t i = 0; i < m->entry_count; i++) {
        size += RAFT_ENTRY + (size_t)m->entries[i].size;
    }
    int error = oak_buf_reserve(out, size);
    if (error != 0) {
        return error;
    }
    uint8_t *p = out->data + out->size;
    memset(p, 0, 8);
    p[0] = (uint8_t)m->type;
    p[1] = (uint8_t)((m->reject ? 1 : 0) | (m->transfer ? 2 : 0) | (m->doubtful ? 4 : 0));
    p[2] = m->priority;
    oak_put_u32(p + 4, (uint32_t)m->entry_count);
    const uint64_t fixed[] = {m->term,     m->index,      m->log_term, m->commit,
                              m->read_seq, m->hint_index, m->hint_term};
    p = put_u64s(p + 8, fixed, OAK_COUNT_OF(fixed));
    for (size_t i = 0; i < m->entry_count; i++) {
        const struct oak_raft_entry *entry = &m->entries[i];
        memset(p, 0, RAFT_ENTRY);
        oak_put_u64(p, entry->term);
        p[8] = (uint8_t)entry->type;
        oak_put_u32(p + 12, entry->size);
        if (entry->size > 0) {
            memcpy(p + RAFT_ENTRY, entry->data, entry->size);
        }
        p += RAFT_ENTRY + entry->size;
    }
    out->size += size;
    OAK_ASSERT(p == out->data + out->size);
    return 0;
}

static int raft_entries_read(struct oak_reader *r, struct oak_arena *arena, uint32_t count,
                             struct oak_raft_msg *m)
{
    if (count > oak_reader_left(r) / RAFT_ENTRY) {
        return OAK_EFORMAT;
    }
    struct oak_raft_entry *entries = oak_arena_alloc(arena, sizeof(*entries) * count);
    if (entries == NULL) {
        return OAK_ELIMIT;
    }
    for (uint32_t i = 0; i < count; i++) {
        entries[i].index = m->index + 1 + i;
        entries[i].term = oak_read_u64(r);
        uint8_t type = oak_read_u8(r);
        (void)oak_read_bytes(r, 3);
        entries[i].size = oak_read_u32(r);
        entries[i].data = oak_read_bytes(r, entries[i].size).data;
        if (r->failed || type > OAK_RAFT_ENTRY_CONFIG) {
            return OAK_EFORMAT;
        }
        entries[i].type = (enum oak_raft_entry_type)type;
    }
    m->entries = entries;
    m->entry_count = count;
    return 0;
}

static int raft_decode(struct oak_reader *r, struct oak_arena *arena,
                       const struct oak_peer_address *address, struct oak_raft_msg *m)
{
    uint8_t type = oak_read_u8(r);
    uint8_t flags = oak_read_u8(r);
    m->reject = (flags & 1) != 0;
    m->transfer = (flags & 2) != 0;
    m->doubtful = (flags & 4) != 0;
    m->priority = oak_read_u8(r);
    (void)oak_read_u8(r);
    uint32_t count = oak_read_u32(r);
    m->from = address->from;
    m->to = address->to;
    m->term = oak_read_u64(r);
    m->index = oak_read_u64(r);
    m->log_term = oak_read_u64(r);
    m->commit = oak_read_u64(r);
    m->read_seq = oak_read_u64(r);
    m->hint_index = oak_read_u64(r);
    m->hint_term = oak_read_u64(r);
    if (r->failed || type == 0 || type >= OAK_RAFT_MSG_END_ || type == OAK_RAFT_MSG_SNAPSHOT) {
        return OAK_EFORMAT;
    }
    if (m->index > UINT64_MAX / 2) {
        return OAK_EFORMAT;
    }
    m->type = (enum oak_raft_msg_type)type;
    return count == 0 ? 0 : raft_entries_read(r, arena, count, m);
}

/* transfer, offset, term, snapshot index, snapshot term; u8 last, a zero byte, u16 bytes of the
 * configuration; the configuration, as the Raft core encodes it; data. */
static int chunk_encode(const struct oak_peer_chunk *c, struct oak_buf *out)
{
    const uint64_t fixed[] = {c->transfer, c->offset, c->term, c->snapshot.index, c->snapshot.term};
    uint8_t config[OAK_RAFT_CONFIG_BYTES_MAX];
    size_t config_size = oak_raft_config_encode(&c->snapshot.config, config);
    uint8_t head[sizeof(fixed) + 4] = {0};
    uint8_t *p = put_u64s(head, fixed, OAK_COUNT_OF(fixed));
    p[0] = c->last ? 1 : 0;
    oak_put_u16(p + 2, (uint16_t)config_size);
    int error = oak_buf_append(out, head, sizeof(head));
    if (error == 0) {
        error = oak_buf_append(out, config, config_size);
    }
    return error != 0 ? error : oak_buf_append(out, c->data.data, c->data.size);
}

static int chunk_decode(struct oak_reader *r, struct oak_peer_chunk *c)
{
    c->transfer = oak_read_u64(r);
    c->offset = oak_read_u64(r);
    c->term = oak_read_u64(r);
    c->snapshot.index = oak_read_u64(r);
    c->snapshot.term = oak_read_u64(r);
    c->last = oak_read_u8(r) != 0;
    (void)oak_read_u8(r);
    size_t config_size = oak_read_u16(r);
    struct oak_bytes config = oak_read_bytes(r, config_size);
    if (r->failed ||
        oak_raft_config_decode(config.data, config.size, &c->snapshot.config) != OAK_RAFT_OK) {
        return OAK_EFORMAT;
    }
    c->data = oak_read_bytes(r, oak_reader_left(r));
    return r->failed || c->data.size > OAK_SNAPSHOT_CHUNK_BYTES_MAX ? OAK_EFORMAT : 0;
}

#define MEMORY_VALUES 5

static uint8_t *memory_put(uint8_t *p, const struct oak_peer_memory *m)
{
    const uint64_t values[MEMORY_VALUES] = {m->number, m->run, m->term, m->vote, m->index};
    return put_u64s(p, values, MEMORY_VALUES);
}

static struct oak_peer_memory memory_read(struct oak_reader *r)
{
    struct oak_peer_memory m;
    m.number = oak_read_u64(r);
    m.run = oak_read_u64(r);
    m.term = oak_read_u64(r);
    m.vote = oak_read_u64(r);
    m.index = oak_read_u64(r);
    return m;
}

/* seq, heard, excused; u8 past, u8 of 1 told + 2 met + 4 voter, 6 zero bytes; the memories of me,
 * of you, and the tale, each number, run, term, vote, index; the group's index and, where that is
 * not 0, its configuration. */
#define HELLO_BYTES (5 * 8 + 3 * MEMORY_VALUES * 8)

static int hello_encode(const struct oak_peer_hello *h, struct oak_buf *out)
{
    uint8_t b[HELLO_BYTES + OAK_RAFT_CONFIG_BYTES_MAX] = {0};
    oak_put_u64(b, h->seq);
    oak_put_u64(b + 8, h->heard);
    oak_put_u64(b + 16, h->excused);
    b[24] = (uint8_t)h->past;
    b[25] = (uint8_t)((h->told ? 1 : 0) | (h->met ? 2 : 0) | (h->voter ? 4 : 0));
    uint8_t *p = memory_put(b + 32, &h->me);
    p = memory_put(p, &h->of_you);
    p = memory_put(p, &h->tale);
    oak_put_u64(p, h->group_index);
    p += 8;
    OAK_ASSERT(p == b + HELLO_BYTES);
    p += h->group_index != 0 ? oak_raft_config_encode(&h->group, p) : 0;
    return oak_buf_append(out, b, (size_t)(p - b));
}

static int hello_decode(struct oak_reader *r, struct oak_peer_hello *h)
{
    h->seq = oak_read_u64(r);
    h->heard = oak_read_u64(r);
    h->excused = oak_read_u64(r);
    uint8_t past = oak_read_u8(r);
    uint8_t flags = oak_read_u8(r);
    h->told = (flags & 1) != 0;
    h->met = (flags & 2) != 0;
    h->voter = (flags & 4) != 0;
    (void)oak_read_bytes(r, 6);
    h->me = memory_read(r);
    h->of_you = memory_read(r);
    h->tale = memory_read(r);
    h->group_index = oak_read_u64(r);
    struct oak_bytes group = oak_read_bytes(r, oak_reader_left(r));
    bool sound = h->group_index == 0
                     ? group.size == 0
                     : oak_raft_config_decode(group.data, group.size, &h->group) == OAK_RAFT_OK;
    if (!sound || r->failed || past >= OAK_PEER_PAST_END_ || h->me.number == 0 ||
        h->me.number == UINT64_MAX || h->of_you.number == UINT64_MAX) {
        return OAK_EFORMAT;
    }
    h->past = (enum oak_peer_past)past;
    return 0;
}

/* FORWARD: seq, commands.  REFUSED: seq, u32 of -error.  CHUNK_ACK: transfer, offset, index, u8
 * flags, 3 zero bytes.  LOAD: sync_us, lag_us, u8 weary, u8 scarce, 2 zero bytes. */
/* number, id; u8 1: renew, 7 zero bytes */
#define LEASE_ASK_BYTES 24

int oak_peer_lease_ask_add(struct oak_buf *items, const struct oak_peer_lease_ask *a)
{
    uint8_t b[LEASE_ASK_BYTES] = {0};
    oak_put_u64(b, a->number);
    oak_put_u64(b + 8, (uint64_t)a->id);
    b[16] = a->renew ? 1 : 0;
    return oak_buf_append(items, b, sizeof(b));
}

bool oak_peer_lease_ask_next(struct oak_reader *items, struct oak_peer_lease_ask *out)
{
    if (oak_reader_left(items) < LEASE_ASK_BYTES) {
        return false;
    }
    out->number = oak_read_u64(items);
    out->id = (int64_t)oak_read_u64(items);
    out->renew = oak_read_u8(items) != 0;
    (void)oak_read_bytes(items, 7);
    return true;
}

/* number, index, ttl, left; u8 1: again, 7 zero bytes */
#define LEASE_TOLD_BYTES 40

int oak_peer_lease_told_add(struct oak_buf *items, const struct oak_peer_lease_told *t)
{
    uint8_t b[LEASE_TOLD_BYTES] = {0};
    oak_put_u64(b, t->number);
    oak_put_u64(b + 8, t->index);
    oak_put_u64(b + 16, (uint64_t)t->ttl_s);
    oak_put_u64(b + 24, (uint64_t)t->left_ns);
    b[32] = t->again ? 1 : 0;
    return oak_buf_append(items, b, sizeof(b));
}

bool oak_peer_lease_told_next(struct oak_reader *items, struct oak_peer_lease_told *out)
{
    if (oak_reader_left(items) < LEASE_TOLD_BYTES) {
        return false;
    }
    out->number = oak_read_u64(items);
    out->index = oak_read_u64(items);
    out->ttl_s = (int64_t)oak_read_u64(items);
    out->left_ns = (int64_t)oak_read_u64(items);
    out->again = oak_read_u8(items) != 0;
    (void)oak_read_bytes(items, 7);
    return true;
}

static int lease_items_decode(struct oak_reader *r, size_t each, struct oak_peer_lease_items *out)
{
    size_t size = oak_reader_left(r);
    out->bytes = oak_read_bytes(r, size);
    return size == 0 || size % each != 0 || size / each > OAK_LEASE_ASKS_MAX ? OAK_EFORMAT : 0;
}

static int body_encode(const struct oak_peer_frame *f, struct oak_buf *out)
{
    uint8_t b[28] = {0};
    int error;
    switch (f->kind) {
    case OAK_PEER_RAFT:
        return raft_encode(&f->u.raft, out);
    case OAK_PEER_FORWARD:
        oak_put_u64(b, f->u.forward.seq);
        error = oak_buf_append(out, b, 8);
        return error != 0
                   ? error
                   : oak_buf_append(out, f->u.forward.commands.data, f->u.forward.commands.size);
    case OAK_PEER_REFUSED:
        oak_put_u64(b, f->u.refused.seq);
        oak_put_u32(b + 8, (uint32_t)-f->u.refused.error);
        return oak_buf_append(out, b, 12);
    case OAK_PEER_CHUNK:
        return chunk_encode(&f->u.chunk, out);
    case OAK_PEER_CHUNK_ACK:
        oak_put_u64(b, f->u.ack.transfer);
        oak_put_u64(b + 8, f->u.ack.offset);
        oak_put_u64(b + 16, f->u.ack.index);
        b[24] = (uint8_t)((f->u.ack.installed ? 1 : 0) | (f->u.ack.refused ? 2 : 0) |
                          (f->u.ack.gap ? 4 : 0) | (f->u.ack.wait ? 8 : 0));
        return oak_buf_append(out, b, 28);
    case OAK_PEER_CHAIN:
        oak_put_u64(b, f->u.chain.index);
        oak_put_u64(b + 8, f->u.chain.chain);
        return oak_buf_append(out, b, 16);
    case OAK_PEER_HELLO:
        return hello_encode(&f->u.hello, out);
    case OAK_PEER_LEASE_ASK:
    case OAK_PEER_LEASE_TOLD:
        return oak_buf_append(out, f->u.leases.bytes.data, f->u.leases.bytes.size);
    case OAK_PEER_LOAD:
        oak_put_u64(b, f->u.load.sync_us);
        oak_put_u64(b + 8, f->u.load.lag_us);
        b[16] = f->u.load.weary ? 1 : 0;
        b[17] = f->u.load.scarce ? 1 : 0;
        return oak_buf_append(out, b, 20);
    }
    OAK_UNREACHABLE("frame kind");
}

int oak_peer_encode(const struct oak_peer_frame *frame, struct oak_buf *out)
{
    size_t start = out->size;
    uint8_t header[HEADER_SIZE] = {0};
    oak_put_u16(header, MAGIC);
    header[2] = VERSION;
    header[3] = (uint8_t)frame->kind;
    const struct oak_peer_address *a = &frame->address;
    const uint64_t fixed[] = {a->cluster, a->group, a->from, a->to, a->boot, a->to_boot};
    put_u64s(header + CRC_FROM, fixed, OAK_COUNT_OF(fixed));
    int error = oak_buf_append(out, header, sizeof(header));
    if (error == 0) {
        error = body_encode(frame, out);
    }
    if (error != 0) {
        out->size = start;
        return error;
    }
    uint8_t *f = out->data + start;
    oak_put_u32(f + CRC_AT, oak_crc32c(0, f + CRC_FROM, out->size - start - CRC_FROM));
    return 0;
}

static int body_decode(struct oak_reader *r, struct oak_arena *arena, struct oak_peer_frame *out)
{
    switch (out->kind) {
    case OAK_PEER_RAFT:
        return raft_decode(r, arena, &out->address, &out->u.raft);
    case OAK_PEER_FORWARD:
        out->u.forward.seq = oak_read_u64(r);
        out->u.forward.commands = oak_read_bytes(r, oak_reader_left(r));
        break;
    case OAK_PEER_REFUSED: {
        out->u.refused.seq = oak_read_u64(r);
        uint32_t place = oak_read_u32(r);
        out->u.refused.error = place == (uint32_t)-OAK_ETOOMANYREQUESTS ? OAK_ETOOMANYREQUESTS
                               : place == (uint32_t)-OAK_ENOSPACE       ? OAK_ENOSPACE
                                                                        : OAK_ENOTLEADER;
        break;
    }
    case OAK_PEER_CHUNK:
        return chunk_decode(r, &out->u.chunk);
    case OAK_PEER_CHUNK_ACK: {
        out->u.ack.transfer = oak_read_u64(r);
        out->u.ack.offset = oak_read_u64(r);
        out->u.ack.index = oak_read_u64(r);
        uint8_t flags = oak_read_u8(r);
        (void)oak_read_bytes(r, 3);
        out->u.ack.installed = (flags & 1) != 0;
        out->u.ack.refused = (flags & 2) != 0;
        out->u.ack.gap = (flags & 4) != 0;
        out->u.ack.wait = (flags & 8) != 0;
        break;
    }
    case OAK_PEER_CHAIN:
        out->u.chain.index = oak_read_u64(r);
        out->u.chain.chain = oak_read_u64(r);
        break;
    case OAK_PEER_HELLO:
        return hello_decode(r, &out->u.hello);
    case OAK_PEER_LEASE_ASK:
        return lease_items_decode(r, LEASE_ASK_BYTES, &out->u.leases);
    case OAK_PEER_LEASE_TOLD:
        return lease_items_decode(r, LEASE_TOLD_BYTES, &out->u.leases);
    case OAK_PEER_LOAD:
        out->u.load.sync_us = oak_read_u64(r);
        out->u.load.lag_us = oak_read_u64(r);
        /* A day is as bad as for ever, and sums of it don't overflow. */
        out->u.load.sync_us = OAK_MIN(out->u.load.sync_us, LOAD_US_MAX);
        out->u.load.lag_us = OAK_MIN(out->u.load.lag_us, LOAD_US_MAX);
        out->u.load.weary = oak_read_u8(r) != 0;
        out->u.load.scarce = oak_read_u8(r) != 0;
        (void)oak_read_bytes(r, 2);
        break;
    default:
        return OAK_EFORMAT;
    }
    return r->failed ? OAK_EFORMAT : 0;
}

int oak_peer_decode(struct oak_bytes bytes, struct oak_arena *arena, struct oak_peer_frame *out)
{
    *out = (struct oak_peer_frame){0};
    if (bytes.size < HEADER_SIZE || oak_get_u16(bytes.data) != MAGIC || bytes.data[2] != VERSION) {
        return OAK_EFORMAT;
    }
    uint32_t crc = oak_crc32c(0, bytes.data + CRC_FROM, bytes.size - CRC_FROM);
    if (crc != oak_get_u32(bytes.data + CRC_AT)) {
        return OAK_ECORRUPT;
    }
    struct oak_reader r = oak_reader(bytes);
    (void)oak_read_bytes(&r, 3);
    out->kind = (enum oak_peer_kind)oak_read_u8(&r);
    (void)oak_read_u32(&r);
    struct oak_peer_address *a = &out->address;
    a->cluster = oak_read_u64(&r);
    a->group = oak_read_u64(&r);
    a->from = oak_read_u64(&r);
    a->to = oak_read_u64(&r);
    a->boot = oak_read_u64(&r);
    a->to_boot = oak_read_u64(&r);
    int error = body_decode(&r, arena, out);
    return error != 0 ? error : (oak_reader_left(&r) != 0 ? OAK_EFORMAT : 0);
}
