/* SPDX-License-Identifier: Apache-2.0 */
/* members.c: what members tell of themselves: a name, and URLs for clients.
 *
 * Kept in the store beside the history, under "member/" and the id in eight bytes, big endian, so
 * that they come back in order of id. The value is the message as it came in the command. A list in
 * memory mirrors it; it is built anew after each publication, which is once in a member's start.
 *
 * Can fail     a publication without an id, too long, or one too many: told, and nothing changes.
 * Invariants   the list holds what the store holds.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#define PREFIX       "member/"
#define PREFIX_BYTES (sizeof(PREFIX) - 1)
#define KEY_BYTES    (PREFIX_BYTES + 8)
/* Twice the text, and some fifteen bytes of table and struct for each byte of it at worst. */
#define MEMORY_MAX (32 * OAK_MEMBERS_MAX * OAK_MEMBER_BYTES_MAX)

static bool is_member_key(struct oak_bytes key)
{
    return key.size == KEY_BYTES && memcmp(key.data, PREFIX, PREFIX_BYTES) == 0;
}

struct load {
    struct oak_kv *kv;
    size_t room;
    int error;
};

static void count_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    (void)data;
    load->room += is_member_key(key) ? 1 : 0;
}

static void load_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    struct oak_kv *kv = load->kv;
    if (load->error != 0 || !is_member_key(key)) {
        return;
    }
    ProtobufCMessage *message = NULL;
    load->error =
        oak_proto_unpack(&etcdserverpb__member__descriptor, data, &kv->member_memory, &message);
    if (load->error != 0) {
        load->error = load->error == OAK_ENOMEM ? OAK_ENOMEM : OAK_ECORRUPT;
        return;
    }
    OAK_ASSERT_LT(kv->member_count, load->room);
    const Etcdserverpb__Member *member = (const Etcdserverpb__Member *)message;
    kv->members[kv->member_count++] = (struct oak_kv_member){
        .id = oak_get_be64(key.data + PREFIX_BYTES),
        .name = member->name,
        .client_urls = (const char *const *)member->clienturls,
        .client_url_count = member->n_clienturls,
    };
}

void kv__members_init(struct oak_kv *kv)
{
    oak_arena_init(&kv->member_memory, 4 * OAK_KIB, MEMORY_MAX);
}

int kv__members_load(struct oak_kv *kv)
{
    OAK_ASSERT_GT(kv->member_memory.ceiling, 0);
    struct load load = {.kv = kv};
    kv->members = NULL;
    kv->member_count = 0;
    oak_arena_reset(&kv->member_memory);
    int error = oak_store_meta_each(kv->store, count_each, &load);
    if (error != 0 || load.room == 0) {
        return error;
    }
    kv->members = oak_arena_zalloc(&kv->member_memory, load.room * sizeof(*kv->members));
    if (kv->members == NULL) {
        return OAK_ENOMEM;
    }
    error = oak_store_meta_each(kv->store, load_each, &load);
    OAK_ASSERT(error != 0 || load.error != 0 || kv->member_count == load.room);
    return error != 0 ? error : load.error;
}

size_t oak_kv_members(const struct oak_kv *kv, const struct oak_kv_member **out)
{
    *out = kv->members;
    return kv->member_count;
}

static bool is_known(const struct oak_kv *kv, uint64_t id)
{
    for (size_t i = 0; i < kv->member_count; i++) {
        if (kv->members[i].id == id) {
            return true;
        }
    }
    return false;
}

int kv__publish(struct oak_kv *kv, const Etcdserverpb__Member *member, struct oak_bytes bytes,
                int *told)
{
    *told = 0;
    bool known = is_known(kv, member->id);
    bool empty = member->name[0] == '\0' && member->n_clienturls == 0;
    if (member->id == 0) {
        *told = OAK_EINVAL;
    } else if (bytes.size > OAK_MEMBER_BYTES_MAX) {
        *told = OAK_EREQUESTTOOLARGE;
    } else if (!known && !empty && kv->member_count >= OAK_MEMBERS_MAX) {
        *told = OAK_ELIMIT;
    }
    if (*told != 0 || (empty && !known)) {
        return 0;
    }
    uint8_t key[KEY_BYTES];
    memcpy(key, PREFIX, PREFIX_BYTES);
    oak_put_be64(key + PREFIX_BYTES, member->id);
    int error = oak_store_meta_put(kv->store, oak_bytes(key, sizeof(key)),
                                   empty ? oak_bytes(NULL, 0) : bytes);
    return error != 0 ? error : kv__members_load(kv);
}
