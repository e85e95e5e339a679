/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_leases.c: at the end of a mirror, its keys get the leases that they have at the source.
 *
 * Not before: a lease at the destination would end by itself while its owner keeps the source's
 * alive, and take its keys with it.
 *
 * Happy path   1 the keys of the source that have one 2 a lease of the same id and of the whole
 *              time at the destination, unless it is there 3 the key's value stays, and it gets
 *              the lease
 * Can fail     a lease has ended meanwhile: its keys are left without.
 */
#include "ctl/mirror.h"

#include <stdlib.h>

#define PAGE_KEYS 512

struct waiting {
    struct mirror *m;
    struct oak_client_answer *answer;
    bool done;
};

static void answered(void *user, const struct oak_client_answer *answer)
{
    struct waiting *w = user;
    w->answer = oak_client_answer_keep(answer);
    w->done = true;
    oak_os_loop_stop(w->m->c->os);
}

static int settled(struct waiting *w, int error, const char *what)
{
    while (error == 0 && !w->done) {
        oak_os_loop_run(w->m->c->os);
    }
    if (error == 0) {
        error = w->answer == NULL ? OAK_ENOMEM : w->answer->error;
    }
    if (error != 0) {
        mirror__fail(w->m, error, "%s: %s", what,
                     w->answer != NULL ? w->answer->message : oak_error_text(error));
    }
    return error;
}

/* Seconds that it was granted; 0: it is no more. */
static int granted(struct mirror *m, int64_t id, int64_t *ttl_s)
{
    struct waiting w = {.m = m};
    int error = oak_client_time_to_live(m->from, id, false, 0, answered, &w, NULL);
    error = settled(&w, error, "a lease of the source");
    *ttl_s = error == 0 && w.answer->ttl_s >= 0 ? w.answer->granted_s : 0;
    oak_client_answer_free(w.answer);
    return error;
}

static int grant(struct mirror *m, int64_t id, int64_t ttl_s)
{
    struct waiting w = {.m = m};
    int error = oak_client_grant(m->to, ttl_s, id, 0, answered, &w, NULL);
    error = settled(&w, error, "a lease at the destination");
    oak_client_answer_free(w.answer);
    return error == OAK_ELEASEEXISTS ? 0 : error;
}

struct leases {
    struct mirror *m;
    int64_t *ids; /* those that were looked at; growing */
    bool *live;
    size_t count;
    uint64_t made;
};

/* Is this lease at the destination now? */
static int lease_bring(struct leases *l, int64_t id, bool *live)
{
    for (size_t i = 0; i < l->count; i++) {
        if (l->ids[i] == id) {
            *live = l->live[i];
            return 0;
        }
    }
    int64_t *ids = realloc(l->ids, (l->count + 1) * sizeof(*ids));
    l->ids = ids != NULL ? ids : l->ids;
    bool *lives = realloc(l->live, (l->count + 1) * sizeof(*lives));
    l->live = lives != NULL ? lives : l->live;
    if (ids == NULL || lives == NULL) {
        return mirror__fail(l->m, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM));
    }
    int64_t ttl_s = 0;
    int error = granted(l->m, id, &ttl_s);
    if (error == 0 && ttl_s > 0) {
        error = grant(l->m, id, ttl_s);
    }
    *live = ttl_s > 0;
    l->made += *live && error == 0;
    l->ids[l->count] = id;
    l->live[l->count++] = *live;
    return error;
}

static int key_give(struct leases *l, const struct oak_client_kv *kv)
{
    struct mirror *m = l->m;
    struct oak_bytes suffix =
        oak_bytes(kv->key.data + m->prefix.size, kv->key.size - m->prefix.size);
    struct oak_bytes nothing = oak_bytes(NULL, 0);
    bool live = false;
    if (kv->lease == 0 || !mirror__counts(m, suffix)) {
        return 0;
    }
    int error = lease_bring(l, kv->lease, &live);
    if (error != 0 || !live) {
        return error;
    }
    if (!mirror__batch_has_room(m, suffix.size)) {
        error = mirror__apply(m, &m->state);
    }
    error = error != 0 ? error : mirror__batch_add(m, suffix, &nothing);
    if (error == 0) {
        m->batch.ops[m->batch.count - 1].lease = kv->lease;
        m->batch.ops[m->batch.count - 1].keep_value = true;
    }
    return error;
}

int mirror__leases(struct mirror *m, uint64_t *count)
{
    struct leases l = {.m = m};
    struct oak_buf next = {0};
    bool more = true;
    int error = oak_buf_append(&next, m->prefix.data, m->prefix.size);
    if (next.size == 0) {
        error = error != 0 ? error : oak_buf_append(&next, "", 1);
    }
    mirror__batch_clear(m);
    while (error == 0 && more) {
        struct oak_client_answer *page = NULL;
        struct oak_client_op get = oak_client_get(oak_buf_bytes(&next));
        get.span = OAK_CLIENT_UNTIL;
        get.end = m->prefix_end;
        get.revision = m->state.revision;
        get.keys_only = true;
        get.limit = PAGE_KEYS;
        error = mirror__do(m, m->from, &get, &page);
        more = error == 0 && page->result.more;
        for (size_t i = 0; error == 0 && i < page->result.kv_count; i++) {
            struct oak_bytes key = page->result.kvs[i].key;
            error = key_give(&l, &page->result.kvs[i]);
            next.size = 0;
            error = error != 0 ? error : oak_buf_append(&next, key.data, key.size);
        }
        error = error != 0 ? error : oak_buf_append(&next, "", 1);
        oak_client_answer_free(page);
    }
    if (error == 0 && m->batch.count > 0) {
        error = mirror__apply(m, &m->state);
    }
    *count = l.made;
    free(l.ids);
    free(l.live);
    oak_buf_fini(&next);
    return error;
}
