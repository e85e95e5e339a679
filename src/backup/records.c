/* SPDX-License-Identifier: Apache-2.0 */
/* records.c: what etcd has in the buckets of its database.
 *
 *     key              revision: main (8, big endian) '_' sub (8), 't' behind it for a delete
 *                                           -> mvccpb.KeyValue; of a delete its key alone
 *     lease            id (8, big endian)   -> leasepb.Lease
 *     auth             authEnabled (1), authRevision (8, big endian)
 *     authUsers        name                 -> authpb.User
 *     authRoles        name                 -> authpb.Role
 *     alarm            AlarmMember          -> nothing
 *     cluster          clusterVersion       -> "3.6.0"; downgrade -> JSON
 *     members          id in hex            -> JSON
 *     members_removed  id in hex            -> "removed"
 *     meta             consistent_index, term (8, big endian); confState (JSON); storageVersion;
 *                      scheduledCompactRev, finishedCompactRev: a revision
 *
 * Can fail  OAK_ENOMEM, and what the sorter fails by.
 * Source    the databases of etcd 3.4 and 3.7.
 * Thread    the sorter's.
 */
#include "backup/internal.h"

#include <inttypes.h>
#include <stdio.h>

#define REV_BYTES 17

const char *backup__bucket_name(enum backup__bucket bucket)
{
    static const char *const names[] = {
        [BACKUP_ALARM] = "alarm",
        [BACKUP_AUTH] = "auth",
        [BACKUP_AUTH_ROLES] = "authRoles",
        [BACKUP_AUTH_USERS] = "authUsers",
        [BACKUP_CLUSTER] = "cluster",
        [BACKUP_KEY] = "key",
        [BACKUP_LEASE] = "lease",
        [BACKUP_MEMBERS] = "members",
        [BACKUP_MEMBERS_REMOVED] = "members_removed",
        [BACKUP_META] = "meta",
    };
    OAK_ASSERT_LT(bucket, OAK_COUNT_OF(names));
    return names[bucket];
}

static int add(struct oak_sorter *s, enum backup__bucket bucket, struct oak_bytes key,
               struct oak_bytes value)
{
    const struct oak_sorter_pair pair = {.bucket = (uint8_t)bucket, .key = key, .value = value};
    return oak_sorter_add(s, &pair);
}

static int add_named(struct oak_sorter *s, enum backup__bucket bucket, const char *key,
                     struct oak_bytes value)
{
    return add(s, bucket, oak_bytes_str(key), value);
}

static int add_number(struct oak_sorter *s, enum backup__bucket bucket, const char *key,
                      uint64_t number)
{
    uint8_t value[8];
    oak_put_be64(value, number);
    return add_named(s, bucket, key, oak_bytes(value, sizeof(value)));
}

static int pack(struct oak_buf *buf, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    oak_buf_clear(buf);
    int error = oak_buf_reserve(buf, size);
    if (error == 0) {
        buf->size = protobuf_c_message_pack(message, buf->data);
    }
    return error;
}

static void revision_put(uint8_t out[REV_BYTES], struct oak_store_rev rev)
{
    oak_put_be64(out, (uint64_t)rev.main);
    out[8] = '_';
    oak_put_be64(out + 9, (uint64_t)rev.sub);
}

int backup__add_version(struct oak_sorter *s, struct oak_buf *buf, struct oak_store_rev rev,
                        bool deleted, const struct oak_store_kv *kv)
{
    uint8_t key[REV_BYTES + 1];
    Mvccpb__KeyValue message = MVCCPB__KEY_VALUE__INIT;
    revision_put(key, rev);
    key[REV_BYTES] = 't';
    message.key = oak_proto_binary(kv->key);
    if (!deleted) {
        message.create_revision = kv->create_rev;
        message.mod_revision = kv->mod_rev;
        message.version = kv->version;
        message.value = oak_proto_binary(kv->value);
        message.lease = kv->lease;
    }
    int error = pack(buf, &message.base);
    size_t size = deleted ? REV_BYTES + 1 : REV_BYTES;
    return error != 0 ? error : add(s, BACKUP_KEY, oak_bytes(key, size), oak_buf_bytes(buf));
}

/* -- what is kept beside the history ----------------------------------------------------------- */

static size_t field_put(uint8_t *out, uint8_t tag, int64_t number)
{
    size_t size = 0;
    uint64_t left = (uint64_t)number;
    if (number == 0) {
        return 0;
    }
    out[size++] = tag;
    for (; left >= 0x80; left >>= 7) {
        out[size++] = (uint8_t)(left | 0x80);
    }
    out[size++] = (uint8_t)left;
    return size;
}

/* leasepb.Lease: ID, TTL, RemainingTTL. */
static int add_lease(struct oak_sorter *s, const struct oak_kv_lease *lease)
{
    uint8_t key[8];
    uint8_t value[3 * 11];
    oak_put_be64(key, (uint64_t)lease->id);
    size_t size = field_put(value, 0x08, lease->id);
    size += field_put(value + size, 0x10, lease->ttl_s);
    size += field_put(value + size, 0x18, lease->remaining_s);
    return add(s, BACKUP_LEASE, oak_bytes(key, sizeof(key)), oak_bytes(value, size));
}

static int add_auth(struct oak_sorter *s, const struct oak_kv_record *record)
{
    const uint8_t enabled = record->auth_enabled ? 1 : 0;
    int error = add_named(s, BACKUP_AUTH, "authEnabled", oak_bytes(&enabled, 1));
    return error != 0 ? error : add_number(s, BACKUP_AUTH, "authRevision", record->auth_revision);
}

static int add_alarm(struct oak_sorter *s, struct oak_buf *buf, const struct oak_kv_alarm *alarm)
{
    Etcdserverpb__AlarmMember message = ETCDSERVERPB__ALARM_MEMBER__INIT;
    message.memberid = alarm->member;
    message.alarm = (Etcdserverpb__AlarmType)alarm->kind;
    int error = pack(buf, &message.base);
    return error != 0 ? error : add(s, BACKUP_ALARM, oak_buf_bytes(buf), oak_bytes(NULL, 0));
}

/* Text between quotes, as JSON has it. */
static int text_put(struct oak_buf *buf, struct oak_bytes text)
{
    int error = oak_buf_append(buf, "\"", 1);
    for (size_t i = 0; error == 0 && i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\' || c < ' ') {
            error = oak_buf_printf(buf, "\\u%04x", c);
        } else {
            error = oak_buf_append(buf, &c, 1);
        }
    }
    return error != 0 ? error : oak_buf_append(buf, "\"", 1);
}

static int add_downgrade(struct oak_sorter *s, struct oak_buf *buf, struct oak_bytes version)
{
    oak_buf_clear(buf);
    int error = oak_buf_printf(buf, "{\"target-version\":");
    error = error != 0 ? error : text_put(buf, version);
    error = error != 0 ? error : oak_buf_printf(buf, ",\"enabled\":true}");
    return error != 0 ? error : add_named(s, BACKUP_CLUSTER, "downgrade", oak_buf_bytes(buf));
}

static int add_gone(struct oak_sorter *s, uint64_t member)
{
    char key[24];
    (void)snprintf(key, sizeof(key), "%" PRIx64, member);
    return add_named(s, BACKUP_MEMBERS_REMOVED, key, oak_bytes_str("removed"));
}

int backup__add_record(struct oak_sorter *s, struct oak_buf *buf,
                       const struct oak_kv_record *record)
{
    switch (record->kind) {
    case OAK_KV_RECORD_LEASE:
        return add_lease(s, &record->lease);
    case OAK_KV_RECORD_AUTH:
        return add_auth(s, record);
    case OAK_KV_RECORD_USER:
        return add(s, BACKUP_AUTH_USERS, record->name, record->message);
    case OAK_KV_RECORD_ROLE:
        return add(s, BACKUP_AUTH_ROLES, record->name, record->message);
    case OAK_KV_RECORD_ALARM:
        return add_alarm(s, buf, &record->alarm);
    case OAK_KV_RECORD_DOWNGRADE:
        return add_downgrade(s, buf, record->name);
    case OAK_KV_RECORD_MEMBER_GONE:
        return add_gone(s, record->member);
    case OAK_KV_RECORD_LEASED: /* its newest version says so, too */
    case OAK_KV_RECORD_OTHER:
        break;
    }
    return 0;
}

/* -- what the store does not know -------------------------------------------------------------- */

static int urls_put(struct oak_buf *buf, const char *name, char *const *urls, size_t count)
{
    int error = oak_buf_printf(buf, ",\"%s\":[", name);
    for (size_t i = 0; error == 0 && i < count; i++) {
        error = i > 0 ? oak_buf_append(buf, ",", 1) : 0;
        error = error != 0 ? error : text_put(buf, oak_bytes_str(urls[i]));
    }
    return error != 0 ? error : oak_buf_append(buf, "]", 1);
}

static int add_member(struct oak_sorter *s, struct oak_buf *buf, const Etcdserverpb__Member *member)
{
    char key[24];
    oak_buf_clear(buf);
    (void)snprintf(key, sizeof(key), "%" PRIx64, member->id);
    int error = oak_buf_printf(buf, "{\"id\":%" PRIu64, member->id);
    error = error != 0 ? error : urls_put(buf, "peerURLs", member->peerurls, member->n_peerurls);
    if (error == 0 && member->islearner) {
        error = oak_buf_printf(buf, ",\"isLearner\":true");
    }
    if (error == 0 && member->name[0] != '\0') {
        error = oak_buf_printf(buf, ",\"name\":");
        error = error != 0 ? error : text_put(buf, oak_bytes_str(member->name));
    }
    if (error == 0 && member->n_clienturls > 0) {
        error = urls_put(buf, "clientURLs", member->clienturls, member->n_clienturls);
    }
    error = error != 0 ? error : oak_buf_append(buf, "}", 1);
    return error != 0 ? error : add_named(s, BACKUP_MEMBERS, key, oak_buf_bytes(buf));
}

/* Ids of the voters, or of the learners. */
static int ids_put(struct oak_buf *buf, const char *name, const struct oak_backup_options *options,
                   bool learners)
{
    size_t count = 0;
    int error = 0;
    for (size_t i = 0; error == 0 && i < options->member_count; i++) {
        const Etcdserverpb__Member *member = options->members[i];
        if ((member->islearner != 0) == learners) {
            error =
                count == 0 ? oak_buf_printf(buf, "\"%s\":[", name) : oak_buf_append(buf, ",", 1);
            error = error != 0 ? error : oak_buf_printf(buf, "%" PRIu64, member->id);
            count++;
        }
    }
    return error != 0 || count == 0 ? error : oak_buf_append(buf, "],", 2);
}

static int add_config(struct oak_sorter *s, struct oak_buf *buf,
                      const struct oak_backup_options *options)
{
    oak_buf_clear(buf);
    int error = oak_buf_append(buf, "{", 1);
    error = error != 0 ? error : ids_put(buf, "voters", options, false);
    error = error != 0 ? error : ids_put(buf, "learners", options, true);
    error = error != 0 ? error : oak_buf_printf(buf, "\"auto_leave\":false}");
    return error != 0 ? error : add_named(s, BACKUP_META, "confState", oak_buf_bytes(buf));
}

static int add_compacted(struct oak_sorter *s, int64_t compacted)
{
    uint8_t rev[REV_BYTES];
    revision_put(rev, (struct oak_store_rev){.main = compacted});
    int error = add_named(s, BACKUP_META, "scheduledCompactRev", oak_bytes(rev, sizeof(rev)));
    return error != 0
               ? error
               : add_named(s, BACKUP_META, "finishedCompactRev", oak_bytes(rev, sizeof(rev)));
}

int backup__add_facts(struct oak_sorter *s, struct oak_buf *buf,
                      const struct oak_backup_options *options, const struct oak_store_state *state)
{
    struct oak_bytes version = oak_bytes_str(options->version);
    int error = add_number(s, BACKUP_META, "consistent_index", state->applied);
    error = error != 0 ? error : add_number(s, BACKUP_META, "term", state->applied_term);
    error = error != 0 ? error : add_named(s, BACKUP_META, "storageVersion", version);
    error = error != 0 ? error : add_named(s, BACKUP_CLUSTER, "clusterVersion", version);
    error = error != 0 ? error : add_config(s, buf, options);
    if (error == 0 && state->compacted >= 0) {
        error = add_compacted(s, state->compacted);
    }
    for (size_t i = 0; error == 0 && i < options->member_count; i++) {
        error = add_member(s, buf, options->members[i]);
    }
    return error;
}
