/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_copy.c: a walk over both sides at once, in the order of keys.
 *
 * Happy path   1 the source as of one revision, in pages; the destination, in pages too 2 what is
 *              missing or different at the destination is put, what is there alone is deleted; each
 *              transaction says up to where the walk came 3 the last one says: follow from here
 * Can fail     the source compacts that revision meanwhile: the walk begins anew with what is now;
 *              what is equal by then costs reading alone. A break: the walk goes on where it was.
 * Invariants   what lies before the state's `at` is as of the state's revision.
 */
#include "ctl/mirror.h"

/* Bytes of a page, roughly, and its first and largest number of keys. Large ones: etcd counts all
 * that is left of the range for each page. */
#define PAGE_BYTES    (8 * OAK_MIB)
#define PAGE_KEYS     INT64_C(32)
#define PAGE_KEYS_MAX INT64_C(32768)

/* Where a walk is on one side. */
struct cursor {
    struct mirror *m;
    struct oak_client *client;
    struct oak_bytes prefix;
    struct oak_bytes end; /* of the prefix */
    struct oak_buf next;  /* the first key of the next page */
    int64_t revision;     /* 0: what is there */
    int64_t limit;
    struct oak_client_answer *page;
    size_t at;
    struct oak_bytes suffix; /* of the key that it stands at */
    bool keys_only;
    bool done;
};

/* Before the first key behind `after`, or of all. */
static int cursor_begin(struct cursor *c, struct mirror *m, bool from, int64_t revision,
                        struct oak_bytes after)
{
    *c = (struct cursor){.m = m,
                         .client = from ? m->from : m->to,
                         .prefix = from ? m->prefix : m->to_prefix,
                         .end = from ? m->prefix_end : m->to_prefix_end,
                         .revision = revision,
                         .limit = PAGE_KEYS};
    int error = oak_buf_append(&c->next, c->prefix.data, c->prefix.size);
    error = error != 0 ? error : oak_buf_append(&c->next, after.data, after.size);
    if (error == 0 && (after.size > 0 || c->next.size == 0)) {
        error = oak_buf_append(&c->next, "", 1); /* the next key there can be */
    }
    return error == 0 ? 0 : mirror__fail(m, error, "%s", oak_error_text(error));
}

static void cursor_end(struct cursor *c)
{
    oak_client_answer_free(c->page);
    oak_buf_fini(&c->next);
}

static int page_fetch(struct cursor *c)
{
    struct oak_client_op get = oak_client_get(oak_buf_bytes(&c->next));
    get.span = OAK_CLIENT_UNTIL;
    get.end = c->end;
    get.revision = c->revision;
    get.limit = c->limit;
    get.keys_only = c->keys_only;
    oak_client_answer_free(c->page);
    c->page = NULL;
    c->at = 0;
    int error = mirror__do(c->m, c->client, &get, &c->page);
    if (error != 0) {
        return error;
    }
    const struct oak_client_result *r = &c->page->result;
    size_t bytes = 1;
    for (size_t i = 0; i < r->kv_count; i++) {
        bytes += r->kvs[i].key.size + r->kvs[i].value.size;
    }
    c->done = r->kv_count == 0;
    if (r->kv_count > 0) {
        struct oak_bytes last = r->kvs[r->kv_count - 1].key;
        int64_t fit = (int64_t)(r->kv_count * PAGE_BYTES / bytes) + 1;
        c->limit = OAK_MIN(OAK_MIN(fit, 4 * c->limit), PAGE_KEYS_MAX);
        c->next.size = 0;
        error = oak_buf_append(&c->next, last.data, last.size);
        error = error != 0 ? error : oak_buf_append(&c->next, "", 1);
    }
    return error == 0 ? 0 : mirror__fail(c->m, error, "%s", oak_error_text(error));
}

/* The key that it stands at; NULL: behind the last. */
static const struct oak_client_kv *cursor_kv(const struct cursor *c)
{
    return c->done ? NULL : &c->page->result.kvs[c->at];
}

/* To the next that counts, from the page or the next one. */
static int cursor_step(struct cursor *c, bool first)
{
    bool stand = first;
    while (!c->done) {
        if (c->page != NULL && !stand) {
            c->at++;
        }
        stand = false;
        while (!c->done && (c->page == NULL || c->at == c->page->result.kv_count)) {
            bool last = c->page != NULL && !c->page->result.more;
            int error = last ? 0 : page_fetch(c);
            c->done = c->done || last;
            if (error != 0) {
                return error;
            }
        }
        const struct oak_client_kv *kv = cursor_kv(c);
        if (kv != NULL) {
            c->suffix = oak_bytes(kv->key.data + c->prefix.size, kv->key.size - c->prefix.size);
            if (mirror__counts(c->m, c->suffix)) {
                return 0;
            }
        }
    }
    return 0;
}

/* -- what both have ---------------------------------------------------------------------------- */

static void sum_add(struct mirror_sum *sum, const struct cursor *c)
{
    const struct oak_client_kv *kv = cursor_kv(c);
    uint8_t sizes[8];
    oak_put_be32(sizes, (uint32_t)c->suffix.size);
    oak_put_be32(sizes + 4, (uint32_t)kv->value.size);
    sum->keys++;
    sum->hash = oak_crc32c(sum->hash, sizes, sizeof(sizes));
    sum->hash = oak_crc32c(sum->hash, c->suffix.data, c->suffix.size);
    sum->hash = oak_crc32c(sum->hash, kv->value.data, kv->value.size);
}

struct walk {
    struct mirror *m;
    struct mirror_found *found;
    struct cursor from;
    struct cursor to;
    struct mirror_state next; /* while it repairs */
    bool repairs;
};

static int walk_flush(struct walk *w)
{
    int error = w->m->batch.count > 0 ? mirror__apply(w->m, &w->next) : 0;
    mirror__tick(w->m, false);
    return error;
}

/* A change to where the walk stands; `value` NULL deletes. What does not fit goes first. */
static int walk_change(struct walk *w, struct oak_bytes suffix, const struct oak_bytes *value)
{
    struct mirror *m = w->m;
    int error = 0;
    if (!mirror__batch_has_room(m, suffix.size + (value != NULL ? value->size : 0))) {
        error = walk_flush(w);
    }
    error = error != 0 ? error : mirror__batch_add(m, suffix, value);
    w->next.at.size = 0;
    error = error != 0 ? error : oak_buf_append(&w->next.at, suffix.data, suffix.size);
    return error;
}

/* The smaller of both keys, or both if they are one; then past it. */
static int walk_one(struct walk *w)
{
    const struct oak_client_kv *from = cursor_kv(&w->from);
    const struct oak_client_kv *to = cursor_kv(&w->to);
    int order = from == NULL ? 1 : to == NULL ? -1 : oak_bytes_cmp(w->from.suffix, w->to.suffix);
    bool differs = order == 0 && oak_bytes_cmp(from->value, to->value) != 0;
    int error = 0;
    w->found->missing += order < 0;
    w->found->extra += order > 0;
    w->found->different += differs;
    if (w->repairs && (order < 0 || differs)) {
        error = walk_change(w, w->from.suffix, &from->value);
    } else if (w->repairs && order > 0 && w->m->deletes) {
        error = walk_change(w, w->to.suffix, NULL);
    }
    if (order <= 0) {
        w->m->keys++;
        sum_add(&w->found->from, &w->from);
        error = error != 0 ? error : cursor_step(&w->from, false);
    }
    if (order >= 0) {
        sum_add(&w->found->to, &w->to);
        error = error != 0 ? error : cursor_step(&w->to, false);
    }
    return error;
}

static int walk_all(struct walk *w, int64_t from, int64_t to, struct oak_bytes after)
{
    struct mirror *m = w->m;
    *w->found = (struct mirror_found){.revision = from};
    m->keys = 0;
    int error = cursor_begin(&w->from, m, true, from, after);
    error = error != 0 ? error : cursor_begin(&w->to, m, false, to, after);
    w->to.done = w->repairs && !m->deletes && m->key == NULL; /* etcdctl's puts all there is */
    error = error != 0 ? error : cursor_step(&w->from, true);
    error = error != 0 ? error : cursor_step(&w->to, true);
    while (error == 0 && !m->stop && (!w->from.done || !w->to.done)) {
        error = walk_one(w);
        mirror__tick(m, false);
    }
    cursor_end(&w->from);
    cursor_end(&w->to);
    return error;
}

/* -- the door ---------------------------------------------------------------------------------- */

int mirror__source_revision(struct mirror *m, int64_t *revision)
{
    bool all = m->prefix.size == 0;
    struct oak_client_op get = oak_client_get(all ? oak_bytes("", 1) : m->prefix);
    struct oak_client_answer *answer = NULL;
    get.count_only = true;
    int error = mirror__do(m, m->from, &get, &answer);
    if (error == 0) {
        *revision = answer->header.revision;
        m->source_revision = *revision;
    }
    oak_client_answer_free(answer);
    return error;
}

int mirror__look(struct mirror *m, int64_t *revision, uint64_t *cluster)
{
    struct oak_client_op get = oak_client_get(m->prefix);
    struct oak_client_answer *answer = NULL;
    get.span = OAK_CLIENT_PREFIX;
    get.count_only = true;
    int error = mirror__do(m, m->from, &get, &answer);
    if (error == 0) {
        *revision = answer->header.revision;
        *cluster = answer->header.cluster_id;
        m->source_revision = *revision;
        m->keys_all = (uint64_t)answer->result.count;
    }
    oak_client_answer_free(answer);
    return error;
}

int mirror__is_empty(struct mirror *m, bool *empty)
{
    struct cursor c;
    int error = cursor_begin(&c, m, false, 0, oak_bytes(NULL, 0));
    c.keys_only = true;
    error = error != 0 ? error : cursor_step(&c, true);
    *empty = error == 0 && c.done;
    cursor_end(&c);
    return error;
}

/* From the state's `at` on, as of the state's revision. */
static int copy_once(struct mirror *m, struct mirror_found *found)
{
    struct walk w = {.m = m, .found = found, .repairs = true, .next = m->state};
    struct oak_buf after = {0};
    int error = oak_buf_append(&after, m->state.at.data, m->state.at.size);
    w.next.at = (struct oak_buf){0};
    mirror__batch_clear(m);
    error = error != 0 ? error : walk_all(&w, m->state.revision, 0, oak_buf_bytes(&after));
    if (error == 0 && m->batch.count > 0) {
        error = walk_flush(&w);
    }
    if (error == 0 && !m->stop) {
        w.next.phase = MIRROR_FOLLOWS;
        w.next.at.size = 0;
        error = mirror__apply(m, &w.next);
    }
    oak_buf_fini(&after);
    oak_buf_fini(&w.next.at);
    return error;
}

int mirror__copy(struct mirror *m, struct mirror_found *found)
{
    for (;;) {
        int error = 0;
        if (m->state.revision == 0) {
            uint64_t cluster;
            struct mirror_state next = m->state;
            next.phase = MIRROR_COPIES;
            next.part = 0;
            next.at = (struct oak_buf){0};
            error = mirror__look(m, &next.revision, &cluster);
            error = error != 0 ? error : mirror__apply(m, &next);
        }
        error = error != 0 ? error : copy_once(m, found);
        if (error == OAK_ECOMPACTED) {
            mirror__say(m, "compacted",
                        "the source has compacted revision %" PRId64 " meanwhile: "
                        "both sides are compared as of what is now",
                        m->state.revision);
            m->state.revision = 0;
            m->state.at.size = 0;
        } else if (error != OAK_EREQUESTTOOLARGE) {
            return error;
        }
    }
}

int mirror__compare(struct mirror *m, struct mirror_found *found)
{
    struct walk w = {.m = m, .found = found};
    struct oak_client_answer *answer = NULL;
    const struct oak_client_op get = oak_client_get(oak_bytes_str(m->key));
    int error = mirror__do(m, m->to, &get, &answer);
    int64_t revision = error == 0 ? answer->header.revision : 0;
    oak_client_answer_free(answer);
    return error != 0 ? error : walk_all(&w, m->state.revision, revision, oak_bytes(NULL, 0));
}
