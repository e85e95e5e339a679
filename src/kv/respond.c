/* SPDX-License-Identifier: Apache-2.0 */
/* respond.c: responses, built in the caller's arena.
 *
 * What has become of the state must not depend on how much memory one member gives to answers. So a
 * failed allocation here changes nothing but the answer: run->full is set, the rest of the command
 * runs without building, and the client is told OAK_ELIMIT.
 *
 * Invariants   once full, always full: no half of a response is given out.
 * Thread       the replica's.
 */
#include "kv/internal.h"

void *kv__message_new(struct kv__run *run, const ProtobufCMessageDescriptor *descriptor)
{
    if (!kv__run_building(run)) {
        return NULL;
    }
    ProtobufCMessage *message = oak_arena_alloc(run->arena, descriptor->sizeof_message);
    if (message == NULL) {
        run->full = true;
        return NULL;
    }
    protobuf_c_message_init(descriptor, message);
    return message;
}

Etcdserverpb__ResponseHeader *kv__header_new(struct kv__run *run)
{
    Etcdserverpb__ResponseHeader *header =
        kv__message_new(run, &etcdserverpb__response_header__descriptor);
    if (header != NULL) {
        header->revision = kv__run_revision(run);
    }
    return header;
}

Mvccpb__KeyValue *kv__pair_new(struct kv__run *run, const struct oak_store_kv *from, bool keys_only)
{
    if (!kv__run_building(run)) {
        return NULL;
    }
    OAK_ASSERT_GT(from->version, 0);
    OAK_ASSERT_LE(from->create_rev, from->mod_rev);
    size_t value_size = keys_only ? 0 : from->value.size;
    Mvccpb__KeyValue *pair =
        oak_arena_alloc(run->arena, sizeof(*pair) + from->key.size + value_size);
    if (pair == NULL) {
        run->full = true;
        return NULL;
    }
    mvccpb__key_value__init(pair);
    uint8_t *bytes = (uint8_t *)(pair + 1);
    memcpy(bytes, from->key.data, from->key.size);
    pair->key = (ProtobufCBinaryData){.len = from->key.size, .data = bytes};
    if (value_size > 0) {
        memcpy(bytes + from->key.size, from->value.data, value_size);
        pair->value = (ProtobufCBinaryData){.len = value_size, .data = bytes + from->key.size};
    }
    pair->create_revision = from->create_rev;
    pair->mod_revision = from->mod_rev;
    pair->version = from->version;
    pair->lease = from->lease;
    return pair;
}

void kv__pairs_add(struct kv__run *run, struct kv__pairs *pairs, const struct oak_store_kv *from,
                   bool keys_only)
{
    OAK_ASSERT_LE(pairs->count, pairs->capacity);
    if (kv__run_building(run) && pairs->count == pairs->capacity) {
        /* The old table stays behind in the arena: twice the room in all. */
        size_t capacity = pairs->capacity == 0 ? 16 : 2 * pairs->capacity;
        Mvccpb__KeyValue **items = oak_arena_alloc(run->arena, capacity * sizeof(*items));
        if (items == NULL) {
            run->full = true;
            return;
        }
        if (pairs->count > 0) {
            memcpy(items, pairs->items, pairs->count * sizeof(*items));
        }
        pairs->items = items;
        pairs->capacity = capacity;
    }
    Mvccpb__KeyValue *pair = kv__pair_new(run, from, keys_only);
    if (pair != NULL) {
        pairs->items[pairs->count++] = pair;
    }
}
