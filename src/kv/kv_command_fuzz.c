/* SPDX-License-Identifier: Apache-2.0 */
/* kv_command_fuzz.c: a log of any entries is applied without a crash, and by two machines alike:
 * one with a batch for each entry and answers, one with all in a batch and none.
 *
 * Input: entries, each behind its length in two bytes. An odd length means that the entry is the
 * request of a command whose kind the first byte tells: of those on keys, and from 192 on of those
 * on users and roles, of which every other one is root's. Else it is the whole entry.
 */
#include "kv/kv_fixture.h"

#define ENTRIES_MAX 64

static struct oak_bytes entry_take(const uint8_t **data, size_t *size, uint8_t *room)
{
    size_t length = OAK_MIN((size_t)oak_get_u16(*data), *size - 2);
    const uint8_t *at = *data + 2;
    *data += 2 + length;
    *size -= 2 + length;
    if (length % 2 == 0) {
        return oak_bytes(at, length);
    }
    struct oak_kv_command command = {.kind = (enum oak_kv_kind)(1 + at[0] % 5)};
    if (at[0] >= 192) {
        command.kind = (enum oak_kv_kind)(OAK_KV_AUTH_ENABLE + at[0] / 2 % 12);
        command.who.user = oak_bytes("root", at[0] % 2 == 0 ? 4 : 0);
        command.who.revision = UINT64_MAX;
    }
    size_t head = oak_kv_header_bytes(&command);
    oak_kv_command_encode(&command, room);
    memcpy(room + head, at + 1, length - 1);
    return oak_bytes(room, head + length - 1);
}

static void read_all(struct node *n)
{
    Etcdserverpb__RangeRequest all = ETCDSERVERPB__RANGE_REQUEST__INIT;
    all.key = all.range_end = oak_proto_binary(oak_bytes("\0", 1));
    for (int target = 0; target <= 4; target++) {
        all.sort_target = (Etcdserverpb__RangeRequest__SortTarget)target;
        all.limit = target;
        Etcdserverpb__RangeResponse *response = NULL;
        int error = oak_kv_range(n->kv, &all, &n->arena, &response);
        OAK_ASSERT(error == 0 || error == OAK_ELIMIT);
    }
}

static uint64_t key_count(struct node *n, const struct oak_store_range *range)
{
    uint64_t count = 0;
    int error = oak_store_count(n->store, range, 0, &count);
    OAK_ASSERT_EQ(error, 0);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t room[OAK_KV_HEADER_BYTES_MAX + UINT16_MAX];
    struct node one, other;
    node_open(&one, 16);
    node_open(&other, 16);
    int error = oak_kv_begin(other.kv);
    OAK_ASSERT_EQ(error, 0);
    for (int i = 0; i < ENTRIES_MAX && size >= 2; i++) {
        struct oak_bytes entry = entry_take(&data, &size, room);
        const struct oak_store_range key = {.from = oak_bytes("k", 1)};
        const struct oak_kv_reach reach = {.ranges = &key, .count = 1};
        bool touches = oak_kv_touches(one.kv, entry, &reach);
        uint64_t before = key_count(&one, &key);
        struct oak_kv_result a = node_apply_entry(&one, entry);
        node_commit(&one);
        OAK_ASSERT(touches || key_count(&one, &key) == before);
        struct oak_kv_result b;
        error = oak_kv_apply(other.kv, ++other.index, 1, entry, false, NULL, &b);
        OAK_ASSERT_EQ(error, 0);
        OAK_ASSERT(a.error == b.error || a.error == OAK_ELIMIT);
        if (a.response != NULL) {
            OAK_ASSERT_GT(protobuf_c_message_get_packed_size(a.response), 0);
        }
        oak_arena_reset(&one.arena);
    }
    error = oak_kv_end(other.kv);
    OAK_ASSERT_EQ(error, 0);
    const struct oak_store_state *a = oak_store_state(one.store);
    const struct oak_store_state *b = oak_store_state(other.store);
    OAK_ASSERT_EQ(a->applied, b->applied);
    OAK_ASSERT_EQ(a->revision, b->revision);
    OAK_ASSERT_EQ(a->chain, b->chain);
    read_all(&one);
    node_close(&one);
    node_close(&other);
    return 0;
}
