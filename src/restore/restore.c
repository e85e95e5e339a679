/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c: from etcd's file to a store.
 *
 * Happy path   1 "meta": how far history was compacted
 *              2 "key": each version goes to one sorter; each record of the other buckets to
 *                another. With each run of versions that is written, how far that was (place.c): a
 *                run behind one that was interrupted begins there
 *              3 versions come out by key, the newest first, and fill the store; a key whose newest
 *                names a lease is noted in the second sorter
 *              4 its records become pairs of meta, and with them goes the index in the log: a store
 *                that has the index has everything
 *              5 a flush
 * Can fail     the file, as `e` says; disk, store, memory. Nothing is gone on with.
 * Invariants   two stores that are filled from the same file with the same options are the same.
 *              A key goes with a lease that is there, or with none.
 * Source       what etcd does at a start, and etcdutl's restore: the compaction that was begun
 *              counts as done; the revision is no lower than it; of a revision that was raised
 *              (--bump-revision) there is an empty pair left.
 * Thread       one; blocks on the disk.
 */
#include "restore/internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES   (4 * OAK_KIB)
#define ARENA_CEILING (64 * OAK_MIB)
/* Pairs of meta in a commit. */
#define METAS_BATCH 1024
/* Of records, beside the versions. */
#define METAS_SORT_BYTES (4 * OAK_MIB)

struct restore {
    const struct oak_restore_options *o;
    struct oak_restore_result *result;
    struct oak_errbuf *e;
    struct restore__source source;
    struct restore__place place;
    struct oak_sorter versions;
    struct oak_sorter metas; /* bucket 0: records; 1: keys of leases, whose lease must be there */
    struct oak_buf name;
    struct oak_buf data;
    struct oak_buf key;
    struct oak_arena arena;
    struct oak_authz *authz; /* what users and roles have to be */
    int64_t last;            /* the newest revision in the file */
    uint64_t number;
    char base[2][1024];
};

static int failed(const struct restore *r, int error, const char *doing)
{
    return error == 0
               ? 0
               : oak_fail(r->e, error, "%s: %s: %s", r->o->path, doing, oak_error_text(error));
}

/* -- what is in the file ----------------------------------------------------------------------- */

static int compacted_read(struct restore *r)
{
    static const char *const names[] = {"finishedCompactRev", "scheduledCompactRev"};
    struct oak_bytes value;
    int error = restore__source_bucket(&r->source, "meta", true);
    r->result->compacted = -1;
    while (error == 0 && (error = restore__source_next(&r->source, &value)) == 0) {
        for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(names); i++) {
            struct oak_store_rev rev;
            if (!oak_bytes_eq(r->source.key, oak_bytes_str(names[i]))) {
                continue;
            }
            if (!restore__revision_read(value, &rev)) {
                error = restore__source_wrong(&r->source, "its value is no revision");
            } else {
                r->result->compacted = OAK_MAX(r->result->compacted, rev.main);
            }
        }
    }
    return error == OAK_ENOENT ? 0 : error;
}

static int place_save(struct restore *r)
{
    return failed(r, restore__place_save(&r->place, &r->versions),
                  "writing down how far it has come");
}

static int version_take(struct restore *r, const struct restore__version *v)
{
    int error = restore__row_put(v, &r->key, &r->data);
    const struct oak_sorter_pair pair = {.key = oak_buf_bytes(&r->key),
                                         .value = oak_buf_bytes(&r->data)};
    if (error == 0 && oak_sorter_is_full(&r->versions, &pair)) {
        error = place_save(r);
        if (error != 0) {
            return error;
        }
    }
    error = error != 0 ? error : oak_sorter_add(&r->versions, &pair);
    return failed(r, error, "sorting versions");
}

/* From the place that an earlier run has come to. */
static int versions_seek(struct restore *r)
{
    int error = restore__source_bucket(&r->source, "key", true);
    r->last = r->place.last;
    r->source.done = r->source.told = r->place.done;
    if (error == 0 && r->place.key_size > 0) {
        error = restore__source_skip(&r->source, oak_bytes(r->place.key, r->place.key_size));
    }
    return error;
}

static int versions_read(struct restore *r)
{
    struct oak_bytes value;
    int error = versions_seek(r);
    if (r->place.all) {
        return error;
    }
    while (error == 0 && (error = restore__source_next(&r->source, &value)) == 0) {
        struct restore__version v;
        const char *what = NULL;
        error = restore__version_read(r->source.key, value, &v, &what);
        if (error != 0) {
            return restore__source_wrong(&r->source, what);
        }
        error = v.empty ? 0 : version_take(r, &v);
        r->last = v.rev.main;
        restore__place_note(&r->place, r->source.key, r->last, r->source.done);
    }
    error = error == OAK_ENOENT ? 0 : error;
    if (error != 0 || !oak_sorter_has_runs(&r->versions)) {
        return error;
    }
    r->place.all = true;
    return place_save(r);
}

static int record_add(struct restore *r, const struct oak_kv_record *record)
{
    int error = oak_kv_record_write(record, &r->name, &r->data);
    const struct oak_sorter_pair pair = {.bucket = record->kind == OAK_KV_RECORD_LEASED ? 1 : 0,
                                         .key = oak_buf_bytes(&r->name),
                                         .value = oak_buf_bytes(&r->data)};
    error = error != 0 ? error : oak_sorter_add(&r->metas, &pair);
    return failed(r, error, "sorting records");
}

static int lease_take(struct restore *r, struct oak_bytes value)
{
    struct oak_kv_record record = {.kind = OAK_KV_RECORD_LEASE};
    if (!restore__lease_read(r->source.key, value, &record.lease)) {
        return restore__source_wrong(&r->source, "its value is not the leasepb.Lease of that key");
    }
    r->result->leases++;
    return record_add(r, &record);
}

static int alarm_take(struct restore *r, struct oak_bytes value)
{
    struct oak_kv_record record = {.kind = OAK_KV_RECORD_ALARM};
    (void)value;
    if (!restore__alarm_read(r->source.key, &record.alarm)) {
        return restore__source_wrong(&r->source, "it is no etcdserverpb.AlarmMember");
    }
    if (record.alarm.kind == 0 || r->result->alarms == OAK_ALARMS_MAX) {
        return restore__source_wrong(&r->source, record.alarm.kind == 0
                                                     ? "an alarm of no kind"
                                                     : "there are too many alarms");
    }
    r->result->alarms++;
    return record_add(r, &record);
}

static int user_take(struct restore *r, struct oak_bytes value)
{
    ProtobufCMessage *message = NULL;
    int error = oak_proto_unpack(&authpb__user__descriptor, value, &r->arena, &message);
    const Authpb__User *user = (const Authpb__User *)message;
    size_t count = error == 0 ? user->n_roles : 0;
    struct oak_bytes *roles = oak_arena_alloc(&r->arena, (count + 1) * sizeof(*roles));
    error = roles == NULL ? OAK_ENOMEM : error;
    for (size_t i = 0; error == 0 && i < count; i++) {
        roles[i] = oak_bytes_str(user->roles[i]);
    }
    if (error == 0) {
        const struct oak_authz_user loaded = {.number = r->number + 1,
                                              .name = oak_proto_bytes(user->name),
                                              .hash = oak_proto_bytes(user->password),
                                              .roles = roles,
                                              .role_count = count};
        error = oak_authz_load_user(r->authz, &loaded);
    }
    if (error == OAK_ENOMEM) {
        return failed(r, error, "reading a user");
    }
    if (error != 0 || !oak_bytes_eq(oak_proto_bytes(user->name), r->source.key)) {
        return restore__source_wrong(&r->source, "its value is not the authpb.User of that name");
    }
    const struct oak_kv_record record = {
        .kind = OAK_KV_RECORD_USER, .number = ++r->number, .name = r->source.key, .message = value};
    r->result->users++;
    return record_add(r, &record);
}

/* Old etcds let in permissions for ranges that end before they begin: they permit nothing. */
static bool permits(const Authpb__Permission *p)
{
    struct oak_bytes key = oak_proto_bytes(p->key);
    struct oak_bytes end = oak_proto_bytes(p->range_end);
    bool open = end.size == 1 && end.data[0] == 0;
    return end.size == 0 ? key.size > 0 : open || oak_bytes_cmp(key, end) < 0;
}

static int permissions_load(struct restore *r, Authpb__Role *role)
{
    size_t kept = 0;
    struct oak_authz_permission *permissions =
        oak_arena_alloc(&r->arena, (role->n_keypermission + 1) * sizeof(*permissions));
    for (size_t i = 0; permissions != NULL && i < role->n_keypermission; i++) {
        Authpb__Permission *p = role->keypermission[i];
        if (permits(p)) {
            permissions[kept] =
                (struct oak_authz_permission){.access = (enum oak_authz_access)p->permtype,
                                              .key = oak_proto_bytes(p->key),
                                              .end = oak_proto_bytes(p->range_end)};
            role->keypermission[kept++] = p;
        }
    }
    role->n_keypermission = kept;
    const struct oak_authz_role loaded = {.number = r->number + 1,
                                          .name = oak_proto_bytes(role->name),
                                          .permissions = permissions,
                                          .permission_count = kept};
    return permissions == NULL ? OAK_ENOMEM : oak_authz_load_role(r->authz, &loaded);
}

static int role_take(struct restore *r, struct oak_bytes value)
{
    ProtobufCMessage *message = NULL;
    int error = oak_proto_unpack(&authpb__role__descriptor, value, &r->arena, &message);
    if (error == OAK_ENOMEM) {
        return failed(r, error, "reading a role");
    }
    Authpb__Role *role = (Authpb__Role *)message;
    if (error != 0 || !oak_bytes_eq(oak_proto_bytes(role->name), r->source.key)) {
        return restore__source_wrong(&r->source, "its value is not the authpb.Role of that name");
    }
    error = permissions_load(r, role);
    if (error != 0) {
        return error == OAK_ENOMEM
                   ? failed(r, error, "reading a role")
                   : restore__source_wrong(&r->source, "its permissions are none that a role can "
                                                       "have");
    }
    size_t size = protobuf_c_message_get_packed_size(message);
    oak_buf_clear(&r->key);
    error = oak_buf_reserve(&r->key, size);
    if (error != 0) {
        return failed(r, error, "reading a role");
    }
    r->key.size = protobuf_c_message_pack(message, r->key.data);
    const struct oak_kv_record record = {.kind = OAK_KV_RECORD_ROLE,
                                         .number = ++r->number,
                                         .name = r->source.key,
                                         .message = oak_buf_bytes(&r->key)};
    r->result->roles++;
    return record_add(r, &record);
}

static int bucket_take(struct restore *r, const char *bucket,
                       int (*take)(struct restore *r, struct oak_bytes value))
{
    struct oak_bytes value;
    int error = restore__source_bucket(&r->source, bucket, false);
    while (error == 0 && (error = restore__source_next(&r->source, &value)) == 0) {
        oak_arena_reset(&r->arena);
        error = take(r, value);
    }
    return error == OAK_ENOENT ? 0 : error;
}

/* After users and roles: it says how many numbers were given out. */
static int auth_take(struct restore *r)
{
    struct oak_kv_record record = {.kind = OAK_KV_RECORD_AUTH};
    struct oak_bytes value;
    int error = restore__source_bucket(&r->source, "auth", false);
    while (error == 0 && (error = restore__source_next(&r->source, &value)) == 0) {
        if (oak_bytes_eq(r->source.key, oak_bytes_str("authEnabled"))) {
            record.auth_enabled = value.size == 1 && value.data[0] == 1;
        } else if (oak_bytes_eq(r->source.key, oak_bytes_str("authRevision"))) {
            if (value.size != 8) {
                return restore__source_wrong(&r->source, "its value is no number of eight bytes");
            }
            record.auth_revision = oak_get_be64(value.data);
        }
    }
    if (error != OAK_ENOENT) {
        return error;
    }
    r->result->auth_enabled = record.auth_enabled;
    record.auth_revision = OAK_MAX(record.auth_revision, (uint64_t)1);
    record.auth_numbers = r->number;
    return record_add(r, &record);
}

static int file_read(struct restore *r)
{
    r->source.doing = "reading";
    int error = compacted_read(r);
    error = error != 0 ? error : versions_read(r);
    error = error != 0 ? error : bucket_take(r, "lease", lease_take);
    error = error != 0 ? error : bucket_take(r, "alarm", alarm_take);
    error = error != 0 ? error : bucket_take(r, "authRoles", role_take);
    error = error != 0 ? error : bucket_take(r, "authUsers", user_take);
    return error != 0 ? error : auth_take(r);
}

/* -- into the store ---------------------------------------------------------------------------- */

static int revision_set(struct restore *r)
{
    struct oak_restore_result *result = r->result;
    result->revision = OAK_MAX(OAK_MAX(r->last, (int64_t)1), result->compacted);
    if (r->o->bump_revision > (uint64_t)(INT64_MAX - result->revision)) {
        return oak_fail(r->e, OAK_EINVAL,
                        "--bump-revision %llu: %lld is the newest revision, and there are no such "
                        "numbers behind it",
                        (unsigned long long)r->o->bump_revision, (long long)result->revision);
    }
    result->revision += (int64_t)r->o->bump_revision;
    if (r->o->mark_compacted) {
        result->compacted = result->revision;
    }
    return 0;
}

static int sorted(struct restore *r, struct oak_sorter *s, const char *doing)
{
    bool more = true;
    int error = oak_sorter_seal(s);
    r->source.doing = doing;
    r->source.done = r->source.told = 0;
    while (error == 0 && more) {
        error = oak_sorter_narrow(s, RESTORE_STEP_BYTES, &more);
        if (more) {
            restore__tell(&r->source, RESTORE_STEP_BYTES);
        }
        if (error == 0 && oak_sorter_has_merged(s)) {
            error = restore__place_save(&r->place, s);
        }
    }
    r->source.done = r->source.told = 0;
    return failed(r, error, doing);
}

static int leased_note(struct restore *r, const struct restore__version *v)
{
    const struct oak_kv_record record = {
        .kind = OAK_KV_RECORD_LEASED, .lease.id = v->kv.lease, .name = v->kv.key};
    return record_add(r, &record);
}

static int versions_put(struct restore *r, struct oak_store_fill *fill)
{
    struct oak_buf before = {0};
    struct oak_sorter_pair pair;
    int error;
    while ((error = oak_sorter_next(&r->versions, &pair)) == 0) {
        struct restore__version v;
        error = restore__row_get(&pair, &r->key, &v);
        error = error != 0 ? error : oak_store_fill_put(fill, v.rev, v.deleted, &v.kv);
        if (error != 0) {
            break;
        }
        bool newest = before.size == 0 || !oak_bytes_eq(oak_buf_bytes(&before), v.kv.key);
        if (newest) {
            oak_buf_clear(&before);
            error = oak_buf_append(&before, v.kv.key.data, v.kv.key.size);
        }
        if (error == 0 && newest && !v.deleted && v.kv.lease != 0) {
            error = leased_note(r, &v);
        }
        if (error != 0) {
            break;
        }
        r->result->versions++;
        restore__tell(&r->source, pair.key.size + pair.value.size);
    }
    oak_buf_fini(&before);
    return error == OAK_ENOENT ? 0 : error;
}

static int store_fill(struct restore *r)
{
    const struct oak_store_state state = {.revision = r->result->revision,
                                          .compacted = r->result->compacted};
    struct oak_store_fill *fill = NULL;
    int error = sorted(r, &r->versions, "sorting");
    if (error != 0) {
        return error;
    }
    r->source.doing = "writing";
    error = oak_store_fill_begin(r->o->store, &state, &fill);
    if (error == 0) {
        error = versions_put(r, fill);
        if (error == 0) {
            error = oak_store_fill_end(fill);
        } else {
            oak_store_fill_abort(fill);
        }
    }
    return failed(r, error, "filling the store");
}

/* Is the lease there that a key wants to go with? Records come first. */
static bool leased_fits(struct restore *r, const struct oak_sorter_pair *pair)
{
    struct oak_kv_record record;
    struct oak_bytes data;
    int error = oak_kv_record_read(pair->key, pair->value, &r->arena, &record);
    OAK_ASSERT(error == 0 && record.kind == OAK_KV_RECORD_LEASED);
    const struct oak_kv_record lease = {.kind = OAK_KV_RECORD_LEASE, .lease.id = record.lease.id};
    error = oak_kv_record_write(&lease, &r->name, &r->data);
    return error == 0 && oak_store_meta_get(r->o->store, oak_buf_bytes(&r->name), &data) == 0;
}

static int metas_put(struct restore *r)
{
    struct oak_store_state state = *oak_store_state(r->o->store);
    struct oak_sorter_pair pair;
    size_t batch = 0;
    int error = sorted(r, &r->metas, "sorting records");
    if (error != 0) {
        return error;
    }
    while ((error = oak_sorter_next(&r->metas, &pair)) == 0) {
        if (pair.bucket == 0 || leased_fits(r, &pair)) {
            error = oak_store_meta_put(r->o->store, pair.key, pair.value);
            error = error == 0 && ++batch % METAS_BATCH == 0 ? oak_store_commit(r->o->store, &state)
                                                             : error;
        }
        if (error != 0) {
            break;
        }
    }
    if (error == OAK_ENOENT) {
        state.applied = r->o->index;
        state.applied_term = r->o->term;
        error = oak_store_commit(r->o->store, &state);
    }
    return failed(r, error, "filling the store");
}

static int store_flush(struct restore *r)
{
    uint64_t durable = 0;
    int error;
    do {
        struct oak_store_flush *flush = NULL;
        error = oak_store_flush_begin(r->o->store, &flush);
        if (error == 0) {
            oak_store_flush_run(flush);
            error = oak_store_flush_end(flush, &durable);
        }
        if (error == OAK_EAGAIN && r->o->pause != NULL) {
            r->o->pause(r->o->progress.user);
        }
    } while (error == OAK_EAGAIN);
    OAK_ASSERT(error != 0 || durable == r->o->index);
    return failed(r, error, "writing the store to the disk");
}

/* -- the door ---------------------------------------------------------------------------------- */

static int sorters_init(struct restore *r)
{
    const struct oak_restore_options *o = r->o;
    size_t room = o->sort_bytes != 0 ? o->sort_bytes : OAK_BACKUP_SORT_BYTES_MAX;
    size_t fan = o->runs_merged != 0 ? o->runs_merged : OAK_BACKUP_RUNS_MAX;
    int error = 0;
    for (int i = 0; i < 2; i++) {
        int size = snprintf(r->base[i], sizeof(r->base[i]), "%s/%d", o->scratch, i);
        error = size < 0 || (size_t)size >= sizeof(r->base[i]) ? OAK_EINVAL : error;
    }
    error = error != 0 ? error : oak_sorter_init(&r->versions, o->disk, r->base[0], room, fan);
    error = error != 0 ? error
                       : oak_sorter_init(&r->metas, o->disk, r->base[1],
                                         OAK_MIN(room, (size_t)METAS_SORT_BYTES), fan);
    if (error == 0) {
        oak_sorter_keep(&r->versions);
    }
    return failed(r, error, "making room to sort in");
}

static int place_find(struct restore *r)
{
    const struct oak_restore_options *o = r->o;
    int error = restore__place_init(&r->place, o->disk, o->scratch, o->path);
    if (error != 0 || !o->resume) {
        return failed(r, error, "reading it");
    }
    error = restore__place_load(&r->place, &r->versions);
    if (error != 0 && error != OAK_ENOENT) {
        return failed(r, error, "reading what an interrupted run has left");
    }
    r->result->resumed = error == 0;
    if (o->resumed != NULL) {
        o->resumed(o->progress.user, r->place.done, oak_bolt_bytes(r->source.db));
    }
    return 0;
}

int oak_restore_fill(const struct oak_restore_options *options, struct oak_restore_result *out,
                     struct oak_errbuf *e)
{
    OAK_ASSERT_GT(options->index, 0);
    struct restore *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return oak_fail(e, OAK_ENOMEM, "%s: no memory to read it", options->path);
    }
    *out = (struct oak_restore_result){0};
    *r = (struct restore){.o = options, .result = out, .e = e};
    oak_arena_init(&r->arena, ARENA_BYTES, ARENA_CEILING);
    int error =
        restore__source_open(&r->source, options->disk, options->path, &options->progress, e);
    error = error != 0 ? error : sorters_init(r);
    error = error != 0 ? error : place_find(r);
    error =
        error != 0 ? error : failed(r, oak_authz_new(oak_alloc_libc(), &r->authz), "reading users");
    error = error != 0 ? error : file_read(r);
    error = error != 0 ? error : revision_set(r);
    error = error != 0 ? error : store_fill(r);
    error = error != 0 ? error : metas_put(r);
    error = error != 0 ? error : store_flush(r);
    restore__place_fini(&r->place);
    oak_sorter_fini(&r->versions);
    oak_sorter_fini(&r->metas);
    restore__source_close(&r->source);
    if (r->authz != NULL) {
        oak_authz_free(r->authz);
    }
    oak_arena_fini(&r->arena);
    oak_buf_fini(&r->name);
    oak_buf_fini(&r->data);
    oak_buf_fini(&r->key);
    free(r);
    return error;
}
