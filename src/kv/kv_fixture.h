/* SPDX-License-Identifier: Apache-2.0 */
/* kv_fixture.h: one state machine on the memory engine, commands for it, and responses as text.
 * Included by tests, fuzzers and the benchmark. */
#ifndef OAK_KV_FIXTURE_H
#define OAK_KV_FIXTURE_H

#include <inttypes.h>
#include <stdlib.h>

#include "kv/kv.h"

/* -- a disk with nothing on it: the memory engine asks it once, when it opens ---------------------
 */

OAK_UNUSED static int no_open(void *user, const char *path, enum oak_file_mode mode,
                              struct oak_file **out)
{
    (void)user, (void)path, (void)mode, (void)out;
    return OAK_ENOENT;
}
OAK_UNUSED static int no_dir(void *user, const char *path)
{
    (void)user, (void)path;
    return 0;
}
OAK_UNUSED static int no_file(void *user, const char *path)
{
    (void)user, (void)path;
    return OAK_ENOENT;
}
static const struct oak_disk no_disk = {
    .open = no_open, .make_dir = no_dir, .sync_dir = no_dir, .remove = no_file};

/* -- one node ---------------------------------------------------------------------------------- */

#define NODE_LEASES_MAX 8

struct node {
    struct oak_store *store;
    struct oak_kv *kv;
    struct oak_arena arena;
    uint64_t index;
    bool open; /* a batch is */
    /* For whom commands are, and as of which revision of users and roles; 0: the one there is. */
    struct oak_bytes user;
    uint64_t user_revision;
};

/* On a store of the caller's, which node_close closes. */
OAK_UNUSED static void node_open_on(struct node *n, struct oak_store *store, size_t txn_ops_max)
{
    *n = (struct node){.store = store};
    struct oak_kv_options kv = {
        .store = store, .txn_ops_max = (uint32_t)txn_ops_max, .leases_max = NODE_LEASES_MAX};
    int error = oak_kv_new(&kv, &n->kv, NULL);
    OAK_ASSERT_EQ(error, 0);
    oak_arena_init(&n->arena, 64 * OAK_KIB, 256 * OAK_MIB);
}

OAK_UNUSED static void node_open(struct node *n, size_t txn_ops_max)
{
    struct oak_store_options options = {.disk = &no_disk, .dir = "nowhere"};
    struct oak_store *store = NULL;
    int error = oak_store_open_memory(&options, &store, NULL);
    OAK_ASSERT_EQ(error, 0);
    node_open_on(n, store, txn_ops_max);
}

OAK_UNUSED static void node_close(struct node *n)
{
    oak_kv_free(n->kv);
    oak_store_close(n->store);
    oak_arena_fini(&n->arena);
}

OAK_UNUSED static void node_commit(struct node *n)
{
    if (n->open) {
        int error = oak_kv_end(n->kv);
        OAK_ASSERT_EQ(error, 0);
        n->open = false;
    }
}

/* The next entry of the log; the batch stays open. */
OAK_UNUSED static struct oak_kv_result node_apply_entry(struct node *n, struct oak_bytes entry)
{
    if (!n->open) {
        int error = oak_kv_begin(n->kv);
        OAK_ASSERT_EQ(error, 0);
        n->open = true;
    }
    struct oak_kv_result result;
    int error = oak_kv_apply(n->kv, ++n->index, 1, entry, true, &n->arena, &result);
    OAK_ASSERT_EQ(error, 0);
    return result;
}

/* An entry that holds `message`, for `who`; free its data. */
OAK_UNUSED static struct oak_bytes entry_for(const struct oak_authz_who *who, enum oak_kv_kind kind,
                                             const ProtobufCMessage *message)
{
    const struct oak_kv_command command = {.kind = kind, .origin = 7, .id = 42, .who = *who};
    size_t head = oak_kv_header_bytes(&command);
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *data = malloc(head + size);
    OAK_ASSERT(data != NULL);
    oak_kv_command_encode(&command, data);
    protobuf_c_message_pack(message, data + head);
    return oak_bytes(data, head + size);
}

OAK_UNUSED static struct oak_bytes entry_of(enum oak_kv_kind kind, const ProtobufCMessage *message)
{
    const struct oak_authz_who nobody = {.revision = 0};
    return entry_for(&nobody, kind, message);
}

OAK_UNUSED static struct oak_authz_who node_who(const struct node *n)
{
    uint64_t now = oak_authz_settings(oak_kv_authz(n->kv))->revision;
    return (struct oak_authz_who){.user = n->user,
                                  .revision = n->user_revision != 0 ? n->user_revision : now};
}

OAK_UNUSED static struct oak_kv_result node_apply(struct node *n, enum oak_kv_kind kind,
                                                  const ProtobufCMessage *message)
{
    const struct oak_authz_who who = node_who(n);
    struct oak_bytes entry = entry_for(&who, kind, message);
    struct oak_kv_result result = node_apply_entry(n, entry);
    free((void *)(uintptr_t)entry.data);
    result.command.request = oak_bytes(NULL, 0);
    return result;
}

/* -- text -------------------------------------------------------------------------------------- */

#define SAY(out, ...)                                 \
    do {                                              \
        int said_ = oak_buf_printf(out, __VA_ARGS__); \
        OAK_ASSERT_EQ(said_, 0);                      \
    } while (0)

OAK_UNUSED static void say_bytes(struct oak_buf *out, ProtobufCBinaryData b)
{
    if (b.len == 0) {
        SAY(out, "\"\"");
    }
    for (size_t i = 0; i < b.len; i++) {
        bool plain = b.data[i] > ' ' && b.data[i] < 127 && b.data[i] != '\\';
        if (plain) {
            SAY(out, "%c", b.data[i]);
        } else {
            SAY(out, "\\x%02x", b.data[i]);
        }
    }
}

/* key=value create/mod/version */
OAK_UNUSED static void say_pair(struct oak_buf *out, const Mvccpb__KeyValue *kv)
{
    say_bytes(out, kv->key);
    SAY(out, "=");
    say_bytes(out, kv->value);
    SAY(out, " %" PRId64 "/%" PRId64 "/%" PRId64, kv->create_revision, kv->mod_revision,
        kv->version);
    if (kv->lease != 0) {
        SAY(out, " lease %" PRId64, kv->lease);
    }
}

OAK_UNUSED static void say_header(struct oak_buf *out, const Etcdserverpb__ResponseHeader *h)
{
    OAK_ASSERT(h != NULL);
    OAK_ASSERT(h->cluster_id == 0 && h->member_id == 0 && h->raft_term == 0);
    if (h->revision != 0) {
        SAY(out, " @%" PRId64, h->revision);
    }
}

OAK_UNUSED static void say_response(struct oak_buf *out, const ProtobufCMessage *m);

OAK_UNUSED static void say_pairs(struct oak_buf *out, Mvccpb__KeyValue **pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        SAY(out, " (");
        say_pair(out, pairs[i]);
        SAY(out, ")");
    }
}

OAK_UNUSED static void say_txn(struct oak_buf *out, const Etcdserverpb__TxnResponse *r)
{
    SAY(out, "txn");
    say_header(out, r->header);
    SAY(out, r->succeeded ? " yes" : " no");
    for (size_t i = 0; i < r->n_responses; i++) {
        SAY(out, " [");
        const Etcdserverpb__ResponseOp *op = r->responses[i];
        switch (op->response_case) {
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
            say_response(out, &op->response_range->base);
            break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
            say_response(out, &op->response_put->base);
            break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
            say_response(out, &op->response_delete_range->base);
            break;
        case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
            OAK_ASSERT_EQ(op->response_txn->header->revision, 0);
            say_response(out, &op->response_txn->base);
            break;
        default:
            OAK_UNREACHABLE("a response that is none");
        }
        SAY(out, "]");
    }
}

OAK_UNUSED static void say_response(struct oak_buf *out, const ProtobufCMessage *m)
{
    if (m->descriptor == &etcdserverpb__put_response__descriptor) {
        const Etcdserverpb__PutResponse *r = (const Etcdserverpb__PutResponse *)m;
        SAY(out, "put");
        say_header(out, r->header);
        Mvccpb__KeyValue *prev = r->prev_kv;
        say_pairs(out, &prev, prev != NULL ? 1 : 0);
    } else if (m->descriptor == &etcdserverpb__delete_range_response__descriptor) {
        const Etcdserverpb__DeleteRangeResponse *r = (const Etcdserverpb__DeleteRangeResponse *)m;
        SAY(out, "del");
        say_header(out, r->header);
        SAY(out, " %" PRId64, r->deleted);
        say_pairs(out, r->prev_kvs, r->n_prev_kvs);
    } else if (m->descriptor == &etcdserverpb__range_response__descriptor) {
        const Etcdserverpb__RangeResponse *r = (const Etcdserverpb__RangeResponse *)m;
        SAY(out, "range");
        say_header(out, r->header);
        SAY(out, " %" PRId64 "%s", r->count, r->more ? " more" : "");
        say_pairs(out, r->kvs, r->n_kvs);
    } else if (m->descriptor == &etcdserverpb__compaction_response__descriptor) {
        SAY(out, "compact");
        say_header(out, ((const Etcdserverpb__CompactionResponse *)m)->header);
    } else if (m->descriptor == &etcdserverpb__lease_grant_response__descriptor) {
        const Etcdserverpb__LeaseGrantResponse *r = (const Etcdserverpb__LeaseGrantResponse *)m;
        SAY(out, "grant");
        say_header(out, r->header);
        SAY(out, " %" PRId64 " ttl %" PRId64, r->id, r->ttl);
    } else if (m->descriptor == &etcdserverpb__lease_revoke_response__descriptor) {
        SAY(out, "revoke");
        say_header(out, ((const Etcdserverpb__LeaseRevokeResponse *)m)->header);
    } else if (m->descriptor == &etcdserverpb__txn_response__descriptor) {
        say_txn(out, (const Etcdserverpb__TxnResponse *)m);
    } else {
        /* One with nothing but a header. */
        const ProtobufCFieldDescriptor *field = &m->descriptor->fields[0];
        const uint8_t *at = (const uint8_t *)m + field->offset;
        SAY(out, "done");
        say_header(out, *(Etcdserverpb__ResponseHeader *const *)(const void *)at);
    }
}

/* id ttl remaining (key)..., one lease behind the other. */
struct lease_say {
    struct oak_buf *out;
    const struct oak_kv *kv;
};
OAK_UNUSED static bool say_lease_key(void *arg, struct oak_bytes key)
{
    struct oak_buf *out = arg;
    SAY(out, " ");
    say_bytes(out, oak_proto_binary(key));
    return true;
}
OAK_UNUSED static bool say_lease(void *arg, const struct oak_kv_lease *lease)
{
    const struct lease_say *say = arg;
    SAY(say->out, " (%" PRId64 " ttl %" PRId64, lease->id, lease->ttl_s);
    if (lease->remaining_s != 0) {
        SAY(say->out, " left %" PRId64, lease->remaining_s);
    }
    oak_kv_lease_keys(say->kv, lease->id, say_lease_key, say->out);
    SAY(say->out, ")");
    return true;
}
OAK_UNUSED static void say_leases(struct oak_buf *out, const struct oak_kv *kv)
{
    struct lease_say say = {.out = out, .kv = kv};
    SAY(out, "%" PRIu64, oak_kv_lease_count(kv));
    oak_kv_leases(kv, say_lease, &say);
}

OAK_UNUSED static void say_outcome(struct oak_buf *out, int error, const ProtobufCMessage *m)
{
    if (error != 0) {
        SAY(out, "%s", oak_error_name(error));
    } else if (m != NULL) {
        say_response(out, m);
    } else {
        SAY(out, "ok");
    }
}

#endif
