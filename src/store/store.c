/* SPDX-License-Identifier: Apache-2.0 */
/* store.c: the door: what both engines have in common, and the way to the engine.
 *
 * Happy path   1 check that the call is allowed now
 *              2 the engine does it
 *              3 keep the books (newest revision, live keys, state, durable index)
 * Can fail     as the engine does. A failed commit or an input/output error poisons: from then on
 *              every write is OAK_EFATAL, because what the disk holds is unknown. A full disk is
 *              neither: what found no space is whole in memory, and is written anew, into other
 *              files, when there is some.
 * Invariants   revisions rise from write to write; state.revision and state.compacted never fall;
 *              durable <= state.applied.
 *              What a worker may do beside the owner is in beside.c.
 * Thread       the owner's.
 */
#include "store/internal.h"

#include <stdlib.h>

void store__init(struct oak_store *s, const struct store_ops *ops,
                 const struct oak_store_options *options)
{
    s->ops = ops;
    s->disk = options->disk;
    s->log = options->log;
    oak_list_init(&s->pins);
    const struct oak_store_state empty = {.revision = 1, .compacted = -1};
    store__adopt(s, &empty, 0);
}

void store__adopt(struct oak_store *s, const struct oak_store_state *state, uint64_t keys)
{
    s->state = *state;
    s->durable = state->applied;
    s->keys = keys;
    s->pending = 0;
    s->last = (struct oak_store_rev){.main = state->revision, .sub = INT64_MAX};
    s->committed = s->last;
    s->full = false;
    s->waiting = 0;
    s->damaged = false;
}

void store__fini(struct oak_store *s)
{
    store__meta_fini(&s->meta);
}

char *store__path(const char *dir, const char *name)
{
    struct oak_buf b = {0};
    if (oak_buf_printf(&b, "%s/%s", dir, name) != 0 || oak_buf_append(&b, "", 1) != 0) {
        oak_buf_fini(&b);
        return NULL;
    }
    return (char *)b.data;
}

int store__make_dir(const struct oak_store_options *options, struct oak_errbuf *e)
{
    if (options->disk == NULL || options->dir == NULL || options->dir[0] == '\0') {
        return oak_fail(e, OAK_EINVAL, "store: a disk and a directory are needed");
    }
    const struct oak_disk *disk = options->disk;
    int error = disk->make_dir(disk->user, options->dir);
    if (error != 0) {
        return oak_fail(e, error, "store: can't make the directory %s: %s", options->dir,
                        oak_error_text(error));
    }
    size_t length = strlen(options->dir);
    while (length > 1 && options->dir[length - 1] == '/') {
        length--;
    }
    while (length > 0 && options->dir[length - 1] != '/') {
        length--;
    }
    struct oak_buf parent = {0};
    error = length == 0 ? oak_buf_append(&parent, ".", 2)
                        : oak_buf_printf(&parent, "%.*s", (int)length, options->dir);
    if (error == 0 && length > 0) {
        error = oak_buf_append(&parent, "", 1);
    }
    if (error == 0) {
        error = disk->sync_dir(disk->user, (const char *)parent.data);
    }
    oak_buf_fini(&parent);
    return error == 0 ? 0
                      : oak_fail(e, error, "store: can't sync the directory above %s: %s",
                                 options->dir, oak_error_text(error));
}

bool store__sieve_keeps(struct store_sieve *sieve, int64_t floor, int64_t main, bool deleted)
{
    bool keep = main >= floor || (!sieve->covered && !deleted);
    sieve->covered = sieve->covered || main <= floor;
    return keep;
}

size_t store__bounds_size(const struct oak_store_range *range)
{
    return range->from.size + OAK_MAX(range->to.size, range->from.size + 1);
}

void store__bounds_set(struct store_bounds *b, const struct oak_store_range *range, uint8_t *room)
{
    *b = (struct store_bounds){.low = oak_bytes(room, range->from.size),
                               .open_end = range->open_end};
    if (range->from.size > 0) {
        memcpy(room, range->from.data, range->from.size);
        room += range->from.size;
    }
    if (range->open_end) {
        return;
    }
    if (range->to.size > 0) {
        memcpy(room, range->to.data, range->to.size);
        b->high = oak_bytes(room, range->to.size);
        return;
    }
    /* One key: nothing lies between it and itself with a zero byte behind. */
    if (range->from.size > 0) {
        memcpy(room, range->from.data, range->from.size);
    }
    room[range->from.size] = 0;
    b->high = oak_bytes(room, range->from.size + 1);
}

void oak_store_close(struct oak_store *s)
{
    if (s == NULL) {
        return;
    }
    OAK_ASSERT_EQ(s->scans, 0U);
    OAK_ASSERT_EQ(s->snapshots, 0U);
    OAK_ASSERT(!s->flushing && !s->scrubbing);
    s->ops->close(s);
}

const struct oak_store_state *oak_store_state(const struct oak_store *s)
{
    return &s->state;
}

uint64_t oak_store_durable(const struct oak_store *s)
{
    return s->durable;
}

/* -- writing ----------------------------------------------------------------------------------- */

int store__write_check(const struct oak_store *s)
{
    OAK_ASSERT_EQ(s->scans, 0U);
    return s->poisoned ? OAK_EFATAL : 0;
}

/* In memory a version takes about so much beside its bytes. */
#define WAITING_OVERHEAD 128

static void waiting_note(struct oak_store *s, size_t bytes)
{
    s->waiting += s->full ? bytes + WAITING_OVERHEAD : 0;
}

bool oak_store_full(const struct oak_store *s, size_t *waiting)
{
    if (waiting != NULL) {
        *waiting = s->waiting;
    }
    return s->full;
}

static int write_item(struct oak_store *s, const struct store_item *item)
{
    OAK_ASSERT(store__rev_cmp(s->last, item->rev) < 0);
    if (item->kv.key.size == 0 || item->kv.key.size > STORE_PAIR_BYTES_MAX ||
        item->kv.value.size > STORE_PAIR_BYTES_MAX - item->kv.key.size) {
        return OAK_EINVAL;
    }
    int error = store__write_check(s);
    if (error == 0) {
        error = s->ops->write(s, item);
    }
    if (error == 0) {
        s->last = item->rev;
        s->pending++;
        waiting_note(s, item->kv.key.size + item->kv.value.size);
    }
    return error;
}

int oak_store_put(struct oak_store *s, struct oak_store_rev rev, const struct oak_store_kv *kv)
{
    OAK_ASSERT_EQ(kv->mod_rev, rev.main);
    OAK_ASSERT_GE(kv->version, 1);
    OAK_ASSERT(kv->create_rev >= 1 && kv->create_rev <= rev.main);
    const struct store_item item = {.rev = rev, .kv = *kv};
    int error = write_item(s, &item);
    if (error == 0 && kv->version == 1) {
        s->keys++;
    }
    return error;
}

int oak_store_del(struct oak_store *s, struct oak_store_rev rev, struct oak_bytes key)
{
    const struct store_item item = {
        .rev = rev, .deleted = true, .kv = {.key = key, .mod_rev = rev.main}};
    int error = write_item(s, &item);
    if (error == 0) {
        OAK_ASSERT_GT(s->keys, 0U);
        s->keys--;
    }
    return error;
}

int oak_store_meta_put(struct oak_store *s, struct oak_bytes key, struct oak_bytes data)
{
    if (key.size > STORE_META_KEY_MAX || data.size > STORE_META_DATA_MAX) {
        return OAK_EINVAL;
    }
    int error = store__write_check(s);
    if (error == 0) {
        error = s->ops->meta_put(s, key, data);
    }
    if (error == 0) {
        s->pending++;
        waiting_note(s, key.size + data.size);
    }
    return error;
}

struct meta_call {
    void (*each)(void *arg, struct oak_bytes key, struct oak_bytes data);
    void *arg;
};

static bool meta_call_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct meta_call *call = arg;
    call->each(call->arg, key, data);
    return true;
}

int oak_store_meta_each(struct oak_store *s,
                        void (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                        void *arg)
{
    struct meta_call call = {.each = each, .arg = arg};
    store__meta_each(&s->meta, false, meta_call_each, &call);
    return 0;
}

int oak_store_meta_get(struct oak_store *s, struct oak_bytes key, struct oak_bytes *data)
{
    const struct store_version *v = store__meta_find(&s->meta, key);
    *data = v != NULL ? oak_bytes(v->value, v->value_size) : oak_bytes(NULL, 0);
    return v != NULL ? 0 : OAK_ENOENT;
}

void oak_store_meta_scan(struct oak_store *s, struct oak_bytes prefix, struct oak_bytes from,
                         bool (*each)(void *arg, struct oak_bytes key, struct oak_bytes data),
                         void *arg)
{
    OAK_ASSERT_GT(prefix.size, 0U);
    store__meta_scan(&s->meta, prefix, from.data != NULL ? from : prefix, each, arg);
}

int oak_store_commit(struct oak_store *s, const struct oak_store_state *state)
{
    OAK_ASSERT_GE(state->applied, s->state.applied);
    OAK_ASSERT_GE(state->revision, s->state.revision);
    OAK_ASSERT_GE(state->compacted, s->state.compacted);
    OAK_ASSERT_LE(state->compacted, state->revision);
    OAK_ASSERT_LE(s->last.main, state->revision);
    int error = store__write_check(s);
    if (error != 0) {
        return error;
    }
    error = s->ops->commit(s, state);
    if (error != 0) {
        s->poisoned = true;
        oak_log(s->log, OAK_LOG_ERROR, "store: commit at index %llu failed: %s",
                (unsigned long long)state->applied, oak_error_text(error));
        return error;
    }
    store__meta_commit(&s->meta);
    s->state = *state;
    s->committed = s->last;
    s->pending = 0;
    return 0;
}

/* -- reading ----------------------------------------------------------------------------------- */

/* A disk that can't give back what it has is as one that gives back something else. */
int store__read_note(struct oak_store *s, int error)
{
    s->damaged = s->damaged || error == OAK_ECORRUPT || error == OAK_EIO;
    return error;
}

bool oak_store_damaged(const struct oak_store *s)
{
    return s->damaged;
}

int oak_store_get(struct oak_store *s, struct oak_bytes key, int64_t rev, struct oak_store_kv *out)
{
    *out = (struct oak_store_kv){0};
    return store__read_note(s, s->ops->get(s, key, rev, false, out));
}

int oak_store_head(struct oak_store *s, struct oak_bytes key, struct oak_store_kv *out)
{
    *out = (struct oak_store_kv){0};
    return store__read_note(s, s->ops->get(s, key, 0, true, out));
}

int oak_store_scan_open(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                        bool keys_only, bool descend, struct oak_store_scan **out)
{
    *out = NULL;
    int error = store__read_note(s, s->ops->scan_open(s, range, rev, keys_only, descend, out));
    if (error == 0) {
        OAK_ASSERT((*out)->store == s);
        s->scans++;
    }
    return error;
}

int oak_store_scan_next(struct oak_store_scan *scan, struct oak_store_kv *out)
{
    *out = (struct oak_store_kv){0};
    return store__read_note(scan->store, scan->store->ops->scan_next(scan, out));
}

void oak_store_scan_close(struct oak_store_scan *scan)
{
    if (scan == NULL) {
        return;
    }
    OAK_ASSERT_GT(scan->store->scans, 0U);
    scan->store->scans--;
    scan->store->ops->scan_close(scan);
}

int oak_store_count(struct oak_store *s, const struct oak_store_range *range, int64_t rev,
                    uint64_t *out)
{
    *out = 0;
    /* Every key of the newest state: the books have it. */
    bool lowest = range->from.size == 0 || (range->from.size == 1 && range->from.data[0] == 0);
    if (rev == 0 && range->open_end && lowest) {
        *out = s->keys;
        return 0;
    }
    struct oak_store_scan *scan;
    int error = oak_store_scan_open(s, range, rev, true, false, &scan);
    if (error != 0) {
        return error;
    }
    struct oak_store_kv kv;
    uint64_t count = 0;
    while ((error = oak_store_scan_next(scan, &kv)) == 0) {
        count++;
    }
    oak_store_scan_close(scan);
    if (error != OAK_ENOENT) {
        return error;
    }
    *out = count;
    return 0;
}

int oak_store_changes(struct oak_store *s, int64_t from, int64_t to,
                      bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                   const struct oak_store_kv *kv),
                      void *arg)
{
    OAK_ASSERT_GE(from, s->state.compacted);
    return store__read_note(s, s->ops->changes(s, from, to, NULL, each, arg));
}

int oak_store_changes_of(struct oak_store *s, int64_t from, int64_t to, oak_store_want_fn *want,
                         bool (*each)(void *arg, struct oak_store_rev rev, bool deleted,
                                      const struct oak_store_kv *kv),
                         void *arg)
{
    OAK_ASSERT_GE(from, s->state.compacted);
    OAK_ASSERT(want != NULL);
    return store__read_note(s, s->ops->changes(s, from, to, want, each, arg));
}

/* -- housekeeping ------------------------------------------------------------------------------ */

void oak_store_pin(struct oak_store *s, struct oak_store_pin *pin, int64_t rev)
{
    OAK_ASSERT(!oak_store_pin_held(pin));
    OAK_ASSERT_GE(rev, s->state.compacted);
    pin->rev = rev;
    oak_list_push(&s->pins, &pin->link);
}

void oak_store_unpin(struct oak_store_pin *pin)
{
    if (oak_store_pin_held(pin)) {
        oak_list_remove(&pin->link);
    }
}

bool oak_store_pin_held(const struct oak_store_pin *pin)
{
    return oak_list_linked(&pin->link);
}

/* The floor, or the oldest revision that is held below it. */
static int64_t reclaim_floor(const struct oak_store *s)
{
    int64_t floor = s->state.compacted;
    for (const struct oak_list *at = s->pins.next; at != &s->pins; at = at->next) {
        floor = OAK_MIN(floor, OAK_LIST_ENTRY(at, const struct oak_store_pin, link)->rev);
    }
    return floor;
}

int oak_store_reclaim(struct oak_store *s, size_t steps, bool *more)
{
    *more = false;
    int error = store__write_check(s);
    if (error != 0 || s->state.compacted < 0 || s->full) {
        return error;
    }
    error = s->ops->reclaim(s, reclaim_floor(s), steps, more);
    if (error == OAK_ENOSPC) {
        s->full = true;
        return 0;
    }
    s->damaged = s->damaged || error == OAK_ECORRUPT;
    s->poisoned = s->poisoned || error == OAK_EIO;
    return error;
}

int oak_store_squeeze_begin(struct oak_store *s, struct oak_store_squeeze **out)
{
    *out = NULL;
    if (s->full) {
        return OAK_ENOSPC;
    }
    return s->ops->squeeze_begin == NULL ? 0 : s->ops->squeeze_begin(s, out);
}

void oak_store_squeeze_run(struct oak_store_squeeze *q)
{
    if (q != NULL) {
        q->ops->squeeze_run(q);
    }
}

void oak_store_squeeze_end(struct oak_store_squeeze *q)
{
    if (q != NULL) {
        q->ops->squeeze_free(q);
    }
}

void oak_store_stats(struct oak_store *s, struct oak_store_stats *out)
{
    *out = (struct oak_store_stats){.keys = s->keys};
    s->ops->stats(s, out);
}
