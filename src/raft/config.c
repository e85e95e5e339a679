/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: configurations as values: what is a sound one, its bytes, and the steps of a change.
 *
 *      0       1       2        3          4            5     8        12        16
 *      +-------+-------+--------+----------+------------+-----+--------+---------+-----
 *      |version| voters|learners| outgoing | learn next |  0  |lease_ms|drift_ppm| ids
 *      +-------+-------+--------+----------+------------+-----+--------+---------+-----
 *
 * Little endian; five bytes of version and counts, three of zero, then the ids as u64, list after
 * list in the order of the counts. The size must fit exactly. What carries it (records, frames,
 * files) has a checksum of its own.
 *
 *     simple A ──voters differ──▶ joint A,B ──left──▶ simple B
 *        └──────only learners or the lease differ────────▲
 *
 * Can fail     decode and check, by EINVAL; nothing else.
 * Thread       any; pure functions of their arguments.
 */
#include "raft/internal.h"

#include "base/bytes.h"

#define VERSION   1
#define HEAD_SIZE 16

static bool ids_sorted(const uint64_t *ids, uint32_t count)
{
    uint64_t before = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] <= before) {
            return false;
        }
        before = ids[i];
    }
    return true;
}

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

/* Keeps the order. */
static void ids_add(uint64_t *ids, uint32_t *count, uint64_t id)
{
    OAK_ASSERT_LT(*count, (uint32_t)OAK_RAFT_MEMBERS_MAX);
    uint32_t at = *count;
    while (at > 0 && ids[at - 1] > id) {
        ids[at] = ids[at - 1];
        at--;
    }
    ids[at] = id;
    (*count)++;
}

static bool lists_check(const struct oak_raft_config *c)
{
    return c->voter_count <= OAK_RAFT_MEMBERS_MAX && c->learner_count <= OAK_RAFT_MEMBERS_MAX &&
           c->voter_outgoing_count <= OAK_RAFT_MEMBERS_MAX &&
           c->learner_next_count <= OAK_RAFT_MEMBERS_MAX && ids_sorted(c->voters, c->voter_count) &&
           ids_sorted(c->learners, c->learner_count) &&
           ids_sorted(c->voters_outgoing, c->voter_outgoing_count) &&
           ids_sorted(c->learners_next, c->learner_next_count);
}

int oak_raft_config_check(const struct oak_raft_config *c)
{
    if (!lists_check(c) || c->lease_ms > OAK_RAFT_LEASE_MS_MAX ||
        c->drift_ppm > OAK_RAFT_DRIFT_PPM_MAX) {
        return OAK_RAFT_EINVAL;
    }
    bool joint = c->voter_outgoing_count > 0;
    if (joint ? c->voter_count == 0 : c->learner_next_count > 0) {
        return OAK_RAFT_EINVAL;
    }
    uint32_t members = c->voter_count + c->learner_count;
    for (uint32_t i = 0; i < c->learner_count; i++) {
        if (ids_have(c->voters, c->voter_count, c->learners[i]) ||
            ids_have(c->voters_outgoing, c->voter_outgoing_count, c->learners[i])) {
            return OAK_RAFT_EINVAL;
        }
    }
    for (uint32_t i = 0; i < c->learner_next_count; i++) {
        if (ids_have(c->voters, c->voter_count, c->learners_next[i]) ||
            !ids_have(c->voters_outgoing, c->voter_outgoing_count, c->learners_next[i])) {
            return OAK_RAFT_EINVAL;
        }
    }
    for (uint32_t i = 0; i < c->voter_outgoing_count; i++) {
        members += !ids_have(c->voters, c->voter_count, c->voters_outgoing[i]);
    }
    return members <= OAK_RAFT_MEMBERS_MAX ? OAK_RAFT_OK : OAK_RAFT_EINVAL;
}

static uint8_t *ids_put(uint8_t *p, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, p += 8) {
        oak_put_u64(p, ids[i]);
    }
    return p;
}

static const uint8_t *ids_get(const uint8_t *p, uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, p += 8) {
        ids[i] = oak_get_u64(p);
    }
    return p;
}

size_t oak_raft_config_encode(const struct oak_raft_config *c, uint8_t *out)
{
    OAK_ASSERT(oak_raft_config_check(c) == OAK_RAFT_OK);
    memset(out, 0, HEAD_SIZE);
    out[0] = VERSION;
    out[1] = (uint8_t)c->voter_count;
    out[2] = (uint8_t)c->learner_count;
    out[3] = (uint8_t)c->voter_outgoing_count;
    out[4] = (uint8_t)c->learner_next_count;
    oak_put_u32(out + 8, c->lease_ms);
    oak_put_u32(out + 12, c->drift_ppm);
    uint8_t *p = ids_put(out + HEAD_SIZE, c->voters, c->voter_count);
    p = ids_put(p, c->learners, c->learner_count);
    p = ids_put(p, c->voters_outgoing, c->voter_outgoing_count);
    p = ids_put(p, c->learners_next, c->learner_next_count);
    size_t size = (size_t)(p - out);
    OAK_ASSERT_LE(size, (size_t)OAK_RAFT_CONFIG_BYTES_MAX);
    return size;
}

int oak_raft_config_decode(const void *data, size_t size, struct oak_raft_config *out)
{
    memset(out, 0, sizeof(*out));
    const uint8_t *p = data;
    if (size < HEAD_SIZE || p[0] != VERSION || p[5] != 0 || p[6] != 0 || p[7] != 0) {
        return OAK_RAFT_EINVAL;
    }
    for (size_t i = 1; i <= 4; i++) {
        if (p[i] > OAK_RAFT_MEMBERS_MAX) {
            return OAK_RAFT_EINVAL;
        }
    }
    if (size != HEAD_SIZE + 8 * ((size_t)p[1] + p[2] + p[3] + p[4])) {
        return OAK_RAFT_EINVAL;
    }
    out->voter_count = p[1];
    out->learner_count = p[2];
    out->voter_outgoing_count = p[3];
    out->learner_next_count = p[4];
    out->lease_ms = oak_get_u32(p + 8);
    out->drift_ppm = oak_get_u32(p + 12);
    p = ids_get(p + HEAD_SIZE, out->voters, out->voter_count);
    p = ids_get(p, out->learners, out->learner_count);
    p = ids_get(p, out->voters_outgoing, out->voter_outgoing_count);
    (void)ids_get(p, out->learners_next, out->learner_next_count);
    return oak_raft_config_check(out);
}

int raft__config_entry_decode(const struct oak_raft_entry *e, struct oak_raft_config *out)
{
    int error = oak_raft_config_decode(e->data, e->size, out);
    /* A group of nobody could decide nothing ever again. */
    return error == OAK_RAFT_OK && out->voter_count == 0 ? OAK_RAFT_EINVAL : error;
}

int raft__entry_check(const struct oak_raft_entry *e)
{
    struct oak_raft_config config;
    if (e->size > 0 && e->data == NULL) {
        return OAK_RAFT_EINVAL;
    }
    switch (e->type) {
    case OAK_RAFT_ENTRY_NOOP:
        return e->size == 0 || e->size == RAFT__NOOP_BYTES ? OAK_RAFT_OK : OAK_RAFT_EINVAL;
    case OAK_RAFT_ENTRY_DATA:
        return OAK_RAFT_OK;
    case OAK_RAFT_ENTRY_CONFIG:
        return raft__config_entry_decode(e, &config);
    default:
        return OAK_RAFT_EINVAL;
    }
}

bool raft__config_joint(const struct oak_raft_config *c)
{
    return c->voter_outgoing_count > 0;
}

static bool voters_same(const struct oak_raft_config *a, const struct oak_raft_config *b)
{
    return a->voter_count == b->voter_count &&
           memcmp(a->voters, b->voters, a->voter_count * sizeof(a->voters[0])) == 0;
}

/* Of simple ones. */
bool raft__config_same(const struct oak_raft_config *a, const struct oak_raft_config *b)
{
    OAK_ASSERT(!raft__config_joint(a));
    OAK_ASSERT(!raft__config_joint(b));
    return voters_same(a, b) && a->learner_count == b->learner_count &&
           memcmp(a->learners, b->learners, a->learner_count * sizeof(a->learners[0])) == 0 &&
           a->lease_ms == b->lease_ms && a->drift_ppm == b->drift_ppm;
}

unsigned raft__config_halves(const struct oak_raft_config *c, uint64_t id)
{
    unsigned halves = ids_have(c->voters, c->voter_count, id) ? RAFT__INCOMING : 0;
    if (ids_have(c->voters_outgoing, c->voter_outgoing_count, id)) {
        halves |= RAFT__OUTGOING;
    }
    return halves;
}

bool raft__config_learns(const struct oak_raft_config *c, uint64_t id)
{
    return ids_have(c->learners, c->learner_count, id);
}

size_t raft__config_members(const struct oak_raft_config *c, uint64_t *ids)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        ids_add(ids, &count, c->voters[i]);
    }
    for (uint32_t i = 0; i < c->learner_count; i++) {
        ids_add(ids, &count, c->learners[i]);
    }
    for (uint32_t i = 0; i < c->voter_outgoing_count; i++) {
        if (!ids_have(c->voters, c->voter_count, c->voters_outgoing[i])) {
            ids_add(ids, &count, c->voters_outgoing[i]);
        }
    }
    return count;
}

void raft__config_enter(const struct oak_raft_config *from, const struct oak_raft_config *target,
                        struct oak_raft_config *out)
{
    OAK_ASSERT(!raft__config_joint(from));
    OAK_ASSERT(!raft__config_joint(target));
    *out = *target;
    if (voters_same(from, target)) {
        return;
    }
    out->voter_outgoing_count = from->voter_count;
    memcpy(out->voters_outgoing, from->voters, sizeof(out->voters_outgoing));
    /* A voter that becomes a learner keeps its vote in the old half until that is left. */
    out->learner_count = 0;
    for (uint32_t i = 0; i < target->learner_count; i++) {
        uint64_t id = target->learners[i];
        if (ids_have(from->voters, from->voter_count, id)) {
            ids_add(out->learners_next, &out->learner_next_count, id);
        } else {
            ids_add(out->learners, &out->learner_count, id);
        }
    }
}

void raft__config_leave(const struct oak_raft_config *joint, struct oak_raft_config *out)
{
    OAK_ASSERT(raft__config_joint(joint));
    *out = *joint;
    for (uint32_t i = 0; i < joint->learner_next_count; i++) {
        ids_add(out->learners, &out->learner_count, joint->learners_next[i]);
    }
    out->voter_outgoing_count = 0;
    out->learner_next_count = 0;
    memset(out->voters_outgoing, 0, sizeof(out->voters_outgoing));
    memset(out->learners_next, 0, sizeof(out->learners_next));
    OAK_ASSERT(oak_raft_config_check(out) == OAK_RAFT_OK);
}
