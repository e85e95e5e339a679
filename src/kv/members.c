/* SPDX-License-Identifier: Apache-2.0 */
/* members.c: what is known of members beside their votes: a name, and URLs for clients and peers.
 *
 * A member publishes its name and client URLs itself, at each start that changes them (PUBLISH);
 * the peer URLs it was born with go along. A leader says where a member listens for its peers, and
 * whether it is to stay a learner (MEMBER_URLS): when it is added, and when that is changed. What a
 * leader said counts before what the member was born with. A member that was removed leaves a mark,
 * by which its process is told, and its id never comes back.
 *
 * All of it is kept in the store beside the history, under a prefix and the id in eight bytes, big
 * endian, so that it comes back in order of id: "member/" the PUBLISH as it came, "peers/" the
 * MEMBER_URLS as it came, "gone/" the applied index at the removal. Lists in memory mirror it; they
 * are built anew after each of those commands, which are few.
 *
 * Can fail     a command without an id, too long, of a member that was removed, or one too many:
 *              told, and nothing changes.
 * Invariants   the lists hold what the store holds.
 * Thread       the replica's.
 */
#include "kv/internal.h"

#define PREFIX_BYTES_MAX 8
#define KEY_BYTES_MAX    (PREFIX_BYTES_MAX + 8)
/* Twice the text, and some fifteen bytes of table and struct for each byte of it at worst; of what
 * two commands said. */
#define MEMORY_MAX (2 * 32 * OAK_MEMBERS_MAX * OAK_MEMBER_BYTES_MAX)

#define PUBLISHED "member/"
#define SAID      "peers/"
#define GONE      "gone/"

static bool key_is(struct oak_bytes key, const char *prefix, uint64_t *id)
{
    size_t size = strlen(prefix);
    if (key.size != size + 8 || memcmp(key.data, prefix, size) != 0) {
        return false;
    }
    *id = oak_get_be64(key.data + size);
    return true;
}

static int key_put(struct oak_kv *kv, const char *prefix, uint64_t id, struct oak_bytes data)
{
    uint8_t key[KEY_BYTES_MAX];
    size_t size = strlen(prefix);
    OAK_ASSERT_LE(size, PREFIX_BYTES_MAX);
    memcpy(key, prefix, size);
    oak_put_be64(key + size, id);
    return oak_store_meta_put(kv->store, oak_bytes(key, size + 8), data);
}

/* -- the lists --------------------------------------------------------------------------------- */

struct load {
    struct oak_kv *kv;
    size_t room;
    size_t gone_room;
    int error;
};

static void count_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    uint64_t id;
    (void)data;
    load->room += key_is(key, PUBLISHED, &id) || key_is(key, SAID, &id) ? 1 : 0;
    load->gone_room += key_is(key, GONE, &id) ? 1 : 0;
}

static struct oak_kv_member *row_of(struct load *load, uint64_t id)
{
    struct oak_kv *kv = load->kv;
    size_t at = 0;
    while (at < kv->member_count && kv->members[at].id < id) {
        at++;
    }
    struct oak_kv_member *row = &kv->members[at];
    if (at < kv->member_count && row->id == id) {
        return row;
    }
    OAK_ASSERT_LT(kv->member_count, load->room);
    memmove(row + 1, row, (kv->member_count - at) * sizeof(*row));
    kv->member_count++;
    *row = (struct oak_kv_member){.id = id, .name = ""};
    return row;
}

static void load_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct load *load = arg;
    struct oak_kv *kv = load->kv;
    uint64_t id;
    if (load->error != 0) {
        return;
    }
    if (key_is(key, GONE, &id)) {
        OAK_ASSERT_LT(kv->gone_count, load->gone_room);
        load->error = data.size == 8 ? 0 : OAK_ECORRUPT;
        kv->gone[kv->gone_count++] =
            (struct kv__gone){.id = id, .applied = data.size == 8 ? oak_get_u64(data.data) : 0};
        return;
    }
    bool published = key_is(key, PUBLISHED, &id);
    if (!published && !key_is(key, SAID, &id)) {
        return;
    }
    ProtobufCMessage *message = NULL;
    load->error =
        oak_proto_unpack(&etcdserverpb__member__descriptor, data, &kv->member_memory, &message);
    if (load->error != 0) {
        load->error = load->error == OAK_ENOMEM ? OAK_ENOMEM : OAK_ECORRUPT;
        return;
    }
    const Etcdserverpb__Member *member = (const Etcdserverpb__Member *)message;
    struct oak_kv_member *row = row_of(load, id);
    if (published) {
        row->published = true;
        row->name = member->name;
        row->client_urls = (const char *const *)member->clienturls;
        row->client_url_count = member->n_clienturls;
    } else {
        row->said = true;
        row->learner = member->islearner;
    }
    /* "member/" comes before "peers/". */
    if (!published || row->peer_url_count == 0) {
        row->peer_urls = (const char *const *)member->peerurls;
        row->peer_url_count = member->n_peerurls;
    }
}

bool kv__member_record(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                       struct oak_kv_record *out, int *error)
{
    uint64_t id;
    (void)data;
    (void)arena;
    (void)error;
    if (!key_is(key, GONE, &id)) {
        return false;
    }
    out->kind = OAK_KV_RECORD_MEMBER_GONE;
    out->member = id;
    return true;
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
    kv->gone = NULL;
    kv->member_count = kv->gone_count = 0;
    kv->members_version++;
    oak_arena_reset(&kv->member_memory);
    int error = oak_store_meta_each(kv->store, count_each, &load);
    if (error != 0) {
        return error;
    }
    if (load.room > 0) {
        kv->members = oak_arena_zalloc(&kv->member_memory, load.room * sizeof(*kv->members));
    }
    if (load.gone_room > 0) {
        kv->gone = oak_arena_zalloc(&kv->member_memory, load.gone_room * sizeof(*kv->gone));
    }
    if ((load.room > 0 && kv->members == NULL) || (load.gone_room > 0 && kv->gone == NULL)) {
        return OAK_ENOMEM;
    }
    error = oak_store_meta_each(kv->store, load_each, &load);
    return error != 0 ? error : load.error;
}

size_t oak_kv_members(const struct oak_kv *kv, const struct oak_kv_member **out)
{
    *out = kv->members;
    return kv->member_count;
}

uint64_t oak_kv_members_version(const struct oak_kv *kv)
{
    return kv->members_version;
}

const struct oak_kv_member *oak_kv_member(const struct oak_kv *kv, uint64_t id)
{
    for (size_t i = 0; i < kv->member_count; i++) {
        if (kv->members[i].id == id) {
            return &kv->members[i];
        }
    }
    return NULL;
}

bool oak_kv_member_gone(const struct oak_kv *kv, uint64_t id)
{
    for (size_t i = 0; i < kv->gone_count; i++) {
        if (kv->gone[i].id == id) {
            return true;
        }
    }
    return false;
}

/* -- the commands ------------------------------------------------------------------------------ */

static int refusal(const struct oak_kv *kv, uint64_t id, struct oak_bytes bytes, bool adds)
{
    if (id == 0) {
        return OAK_EINVAL;
    }
    if (bytes.size > OAK_MEMBER_BYTES_MAX) {
        return OAK_EREQUESTTOOLARGE;
    }
    if (adds && oak_kv_member_gone(kv, id)) {
        return OAK_EMEMBERNOTFOUND;
    }
    bool more = adds && oak_kv_member(kv, id) == NULL;
    return more && kv->member_count >= OAK_MEMBERS_MAX ? OAK_ELIMIT : 0;
}

int kv__publish(struct oak_kv *kv, const Etcdserverpb__Member *member, struct oak_bytes bytes,
                int *told)
{
    bool empty = member->name[0] == '\0' && member->n_clienturls == 0;
    *told = refusal(kv, member->id, bytes, !empty);
    if (*told != 0 || (empty && oak_kv_member(kv, member->id) == NULL)) {
        return 0;
    }
    int error = key_put(kv, PUBLISHED, member->id, empty ? oak_bytes(NULL, 0) : bytes);
    if (error == 0 && empty) {
        error = key_put(kv, SAID, member->id, oak_bytes(NULL, 0));
    }
    return error != 0 ? error : kv__members_load(kv);
}

/* A mark for `id`; the oldest goes when there are too many. */
static int gone_put(struct oak_kv *kv, uint64_t id)
{
    const struct kv__gone *oldest = NULL;
    for (size_t i = 0; i < kv->gone_count; i++) {
        const struct kv__gone *g = &kv->gone[i];
        oldest = oldest == NULL || g->applied < oldest->applied ? g : oldest;
    }
    if (kv->gone_count >= OAK_MEMBERS_GONE_MAX) {
        int error = key_put(kv, GONE, oldest->id, oak_bytes(NULL, 0));
        if (error != 0) {
            return error;
        }
    }
    uint8_t at[8];
    oak_put_u64(at, kv->state.applied);
    return key_put(kv, GONE, id, oak_bytes(at, sizeof(at)));
}

int kv__member_urls(struct oak_kv *kv, const Etcdserverpb__Member *member, struct oak_bytes bytes,
                    int *told)
{
    bool goes = member->n_peerurls == 0;
    *told = refusal(kv, member->id, bytes, !goes);
    if (*told != 0 || (goes && oak_kv_member_gone(kv, member->id))) {
        return 0;
    }
    int error = key_put(kv, SAID, member->id, goes ? oak_bytes(NULL, 0) : bytes);
    if (error == 0 && goes) {
        error = key_put(kv, PUBLISHED, member->id, oak_bytes(NULL, 0));
        error = error != 0 ? error : gone_put(kv, member->id);
    }
    return error != 0 ? error : kv__members_load(kv);
}
