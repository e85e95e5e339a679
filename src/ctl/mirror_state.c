/* SPDX-License-Identifier: Apache-2.0 */
/* mirror_state.c: how far a mirror is, at the destination, and what moves it.
 *
 * A line of text:
 *
 *     oakum mirror 1 follow from=00a1... run=5b72... revision=1024 part=0 prefix=757365 at=
 *
 * prefix and at are hexadecimal.
 *
 * Happy path   1 read it, and write it with our own number: from here on nobody else's transaction
 *              goes through 2 each transaction compares the key's revision with the one that we
 *              wrote last, and writes the key 3 the answer has the revision that it has now
 * Can fail     the answer is lost: it is read again, and says whether that transaction happened.
 *              Another mirror has written it: OAK_EINUSE. It is of another source, or another
 *              prefix: OAK_EINVAL.
 * Invariants   a change is at the destination if, and only if, the state says so.
 */
#include "ctl/mirror.h"

#include <stdlib.h>

/* -- the text ---------------------------------------------------------------------------------- */

static int hex_write(struct oak_buf *out, const char *name, struct oak_bytes bytes)
{
    int error = oak_buf_printf(out, " %s=", name);
    for (size_t i = 0; i < bytes.size && error == 0; i++) {
        error = oak_buf_printf(out, "%02x", bytes.data[i]);
    }
    return error;
}

int mirror__state_write(const struct mirror_state *s, struct oak_bytes prefix, struct oak_buf *out)
{
    int error = oak_buf_printf(out,
                               "oakum mirror 1 %s from=%016" PRIx64 " run=%016" PRIx64
                               " revision=%" PRId64 " part=%" PRIu64,
                               s->phase == MIRROR_COPIES ? "copy" : "follow", s->cluster, s->run,
                               s->revision, s->part);
    error = error != 0 ? error : hex_write(out, "prefix", prefix);
    return error != 0 ? error : hex_write(out, "at", oak_buf_bytes(&s->at));
}

static bool word_take(const char **at, const char *word)
{
    size_t size = strlen(word);
    bool there = strncmp(*at, word, size) == 0;
    *at += there ? size : 0;
    return there;
}

static bool number_take(const char **at, const char *name, int base, uint64_t *out)
{
    char *end = NULL;
    if (!word_take(at, name) || strspn(*at, "0123456789abcdef") == 0) {
        return false;
    }
    *out = strtoull(*at, &end, base);
    *at = end;
    return true;
}

static bool hex_take(const char **at, const char *name, struct oak_buf *out)
{
    static const char digits[] = "0123456789abcdef";
    bool good = word_take(at, name);
    out->size = 0;
    while (good && **at != '\0' && **at != ' ') {
        const char *high = strchr(digits, (*at)[0]);
        const char *low = (*at)[1] != '\0' ? strchr(digits, (*at)[1]) : NULL;
        good = high != NULL && low != NULL;
        if (good) {
            uint8_t byte = (uint8_t)((high - digits) << 4 | (low - digits));
            good = oak_buf_append(out, &byte, 1) == 0;
            *at += 2;
        }
    }
    return good;
}

int mirror__state_read(struct oak_bytes text, struct mirror_state *s, struct oak_buf *prefix)
{
    struct oak_buf copy = {0}; /* with a NUL behind it */
    uint64_t revision = 0;
    int error = oak_buf_append(&copy, text.data, text.size);
    error = error != 0 ? error : oak_buf_append(&copy, "", 1);
    if (error != 0) {
        oak_buf_fini(&copy);
        return error;
    }
    const char *at = (const char *)copy.data;
    bool good = word_take(&at, "oakum mirror 1 ");
    s->phase = good && word_take(&at, "copy") ? MIRROR_COPIES : MIRROR_FOLLOWS;
    good = good && (s->phase == MIRROR_COPIES || word_take(&at, "follow")) &&
           number_take(&at, " from=", 16, &s->cluster) && number_take(&at, " run=", 16, &s->run) &&
           number_take(&at, " revision=", 10, &revision) &&
           number_take(&at, " part=", 10, &s->part) && hex_take(&at, " prefix=", prefix) &&
           hex_take(&at, " at=", &s->at) && *at == '\0' && revision <= INT64_MAX;
    s->revision = good ? (int64_t)revision : 0;
    oak_buf_fini(&copy);
    return good ? 0 : OAK_EFORMAT;
}

/* -- which keys -------------------------------------------------------------------------------- */

static bool is_below_root(struct oak_bytes prefix, struct oak_bytes suffix)
{
    struct oak_bytes root = oak_bytes_str(MIRROR_ROOT);
    size_t first = OAK_MIN(prefix.size, root.size);
    size_t second = root.size - first;
    return memcmp(prefix.data, root.data, first) == 0 && suffix.size >= second &&
           memcmp(suffix.data, root.data + first, second) == 0;
}

bool mirror__counts(const struct mirror *m, struct oak_bytes suffix)
{
    return !is_below_root(m->prefix, suffix) && !is_below_root(m->to_prefix, suffix);
}

/* -- the batch --------------------------------------------------------------------------------- */

void mirror__batch_clear(struct mirror *m)
{
    m->batch.count = 0;
    m->batch.bytes = 0;
    oak_arena_reset(&m->batch.arena);
}

bool mirror__batch_has_room(const struct mirror *m, size_t bytes)
{
    size_t ops = m->ops_max - (m->key != NULL ? 1 : 0);
    return m->batch.count == 0 || (m->batch.count < ops && m->batch.bytes + bytes <= m->bytes_max);
}

int mirror__batch_add(struct mirror *m, struct oak_bytes suffix, const struct oak_bytes *value)
{
    struct mirror_batch *b = &m->batch;
    OAK_ASSERT(b->count < MIRROR_OPS_MAX);
    uint8_t *key = oak_arena_alloc(&b->arena, m->to_prefix.size + suffix.size + 1);
    if (key == NULL) {
        return mirror__fail(m, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM));
    }
    memcpy(key, m->to_prefix.data, m->to_prefix.size);
    memcpy(key + m->to_prefix.size, suffix.data, suffix.size);
    struct oak_bytes whole = oak_bytes(key, m->to_prefix.size + suffix.size);
    if (value == NULL) {
        b->ops[b->count] = oak_client_delete(whole);
    } else {
        struct oak_bytes copy = oak_arena_dup(&b->arena, *value);
        if (copy.data == NULL && value->size > 0) {
            return mirror__fail(m, OAK_ENOMEM, "%s", oak_error_text(OAK_ENOMEM));
        }
        b->ops[b->count] = oak_client_put(whole, copy);
    }
    b->bytes += whole.size + (value != NULL ? value->size : 0);
    b->count++;
    return 0;
}

/* -- transactions ------------------------------------------------------------------------------ */

static int state_take(struct mirror *m, const struct mirror_state *next, int64_t version)
{
    struct mirror_state *s = &m->state;
    if (next != s) {
        struct oak_buf at = s->at;
        at.size = 0;
        int error = oak_buf_append(&at, next->at.data, next->at.size);
        if (error != 0) {
            return mirror__fail(m, error, "%s", oak_error_text(error));
        }
        *s = *next;
        s->at = at;
    }
    s->version = version;
    return 0;
}

/* The batch and the state as one transaction: unless somebody has written the state. */
static int transact(struct mirror *m, const struct mirror_state *next, size_t count,
                    int64_t *version)
{
    struct oak_client_op ops[MIRROR_OPS_MAX + 1];
    struct oak_buf text = {0};
    struct oak_client_compare ours = {.target = OAK_CLIENT_MOD, .number = m->state.version};
    struct oak_client_txn txn = {.success = ops, .success_count = count};
    memcpy(ops, m->batch.ops, count * sizeof(*ops));
    int error = 0;
    if (m->key != NULL) {
        error = mirror__state_write(next, m->prefix, &text);
        ours.key = oak_bytes_str(m->key);
        ops[txn.success_count++] = oak_client_put(ours.key, oak_buf_bytes(&text));
        txn.compares = &ours;
        txn.compare_count = 1;
    }
    struct oak_client_answer *answer = NULL;
    const struct oak_client_op op = oak_client_transact(&txn);
    error = error != 0 ? error : mirror__do(m, m->to, &op, &answer);
    if (error == 0 && !answer->result.succeeded) {
        error = mirror__fail(m, OAK_EAGAIN, "the state at the destination has changed");
    }
    *version = error == 0 ? answer->header.revision : 0;
    oak_client_answer_free(answer);
    oak_buf_fini(&text);
    return error;
}

/* A server that takes less than we thought. */
static int shrink(struct mirror *m, int error)
{
    if (error == OAK_ETOOMANYOPS && m->ops_max > 2) {
        m->ops_max = OAK_MAX(m->ops_max / 2, 2);
        return OAK_EREQUESTTOOLARGE;
    }
    if (error == OAK_EREQUESTTOOLARGE && m->batch.count > 1) {
        m->bytes_max = OAK_MAX(m->batch.bytes / 2, 1);
        return OAK_EREQUESTTOOLARGE;
    }
    return error == OAK_EREQUESTTOOLARGE ? OAK_EINVAL : error;
}

int mirror__apply(struct mirror *m, const struct mirror_state *next)
{
    int64_t version = 0;
    size_t count = m->batch.count;
    int error = transact(m, next, count, &version);
    if (error == OAK_EREQUESTTOOLARGE && count == 1) {
        /* It is as large as a server takes, and the state does not fit in beside it: first the one,
         * which may be done twice, as nothing comes between. */
        struct oak_client_answer *answer = NULL;
        error = mirror__do(m, m->to, &m->batch.ops[0], &answer);
        oak_client_answer_free(answer);
        error = error != 0 ? error : transact(m, next, 0, &version);
    }
    if (error != 0) {
        error = shrink(m, error);
    }
    error = error != 0 ? error : state_take(m, next, version);
    if (error == 0) {
        m->changes += count;
        m->transactions += count > 0;
    }
    mirror__batch_clear(m);
    return error;
}

/* -- whose it is ------------------------------------------------------------------------------- */

static int state_fetch(struct mirror *m, struct mirror_state *s)
{
    struct oak_client_answer *answer = NULL;
    struct oak_buf prefix = {0};
    const struct oak_client_op get = oak_client_get(oak_bytes_str(m->key));
    int error = mirror__do(m, m->to, &get, &answer);
    m->to_cluster = error == 0 ? answer->header.cluster_id : 0;
    if (error == 0 && answer->result.kv_count > 0) {
        const struct oak_client_kv *kv = answer->result.kvs;
        error = mirror__state_read(kv->value, s, &prefix);
        s->version = kv->mod_revision;
        if (error != 0) {
            error = mirror__fail(m, OAK_EINVAL,
                                 "the key %s at the destination is no state of a "
                                 "mirror: delete it, or take another --dest-prefix",
                                 m->key);
        } else if (oak_bytes_cmp(oak_buf_bytes(&prefix), m->prefix) != 0) {
            error = mirror__fail(m, OAK_EINVAL,
                                 "the state at the destination (key %s) is of "
                                 "another --prefix",
                                 m->key);
        }
    }
    oak_client_answer_free(answer);
    oak_buf_fini(&prefix);
    return error;
}

/* The first time: there is nothing at the destination, or it may go. */
static int first_check(struct mirror *m)
{
    bool empty = true;
    int error = m->overwrite ? 0 : mirror__is_empty(m, &empty);
    if (error == 0 && !empty) {
        error = mirror__fail(m, OAK_EINVAL,
                             "the destination has keys already, and no mirror made "
                             "them: --overwrite makes it what the source is, and deletes the rest");
    }
    return error;
}

static bool begins_with(struct oak_bytes text, struct oak_bytes with)
{
    return text.size >= with.size && oak_bytes_eq(oak_bytes(text.data, with.size), with);
}

/* A mirror that sees what it puts goes on for ever. */
static int echo_check(struct mirror *m, uint64_t cluster)
{
    bool within = begins_with(m->prefix, m->to_prefix) || begins_with(m->to_prefix, m->prefix);
    return cluster != m->to_cluster || !within
               ? 0
               : mirror__fail(m, OAK_EINVAL,
                              "source and destination are one cluster, and the one "
                              "prefix is within the other");
}

/* Does what the state says fit to the source that is there? */
static int source_check(struct mirror *m, struct mirror_state *s)
{
    int64_t revision = 0;
    uint64_t cluster = 0;
    int error = mirror__look(m, &revision, &cluster);
    error = error != 0 ? error : echo_check(m, cluster);
    if (error != 0) {
        return error;
    }
    bool other = s->version != 0 && s->cluster != cluster;
    if (other && !m->overwrite) {
        return mirror__fail(m, OAK_EINVAL,
                            "the destination is a mirror of cluster %016" PRIx64
                            ", and this is %016" PRIx64 ": --overwrite begins anew",
                            s->cluster, cluster);
    }
    if (s->version != 0 && !other && s->revision > revision) {
        mirror__say(m, "back",
                    "the source went back from revision %" PRId64 " to %" PRId64
                    ": both sides are compared",
                    s->revision, revision);
        other = true;
    }
    if (other || s->version == 0) {
        s->phase = MIRROR_COPIES;
        s->revision = 0;
        s->part = 0;
        s->at.size = 0;
    }
    s->cluster = cluster;
    return 0;
}

int mirror__claim(struct mirror *m)
{
    struct mirror_state s = {.phase = MIRROR_COPIES};
    if (m->key == NULL) {
        int64_t revision = 0;
        return mirror__look(m, &revision, &m->state.cluster);
    }
    int error = state_fetch(m, &s);
    bool ours = m->begun && s.run == m->run;
    if (error == 0 && m->begun && !ours) {
        error = mirror__fail(m, OAK_EINUSE,
                             s.version == 0 ? "the state is gone from the destination"
                                            : "another mirror writes to this destination now");
    }
    error = error != 0 ? error : source_check(m, &s);
    if (error == 0 && s.version == 0) {
        error = first_check(m);
    }
    s.run = m->run;
    mirror__batch_clear(m);
    m->state.version = s.version;
    error = error != 0 ? error : mirror__apply(m, &s);
    m->begun = m->begun || error == 0;
    oak_buf_fini(&s.at);
    return error;
}

int mirror__state_remove(struct mirror *m)
{
    const struct oak_client_op gone = oak_client_delete(oak_bytes_str(m->key));
    struct oak_client_answer *answer = NULL;
    int error = mirror__do(m, m->to, &gone, &answer);
    oak_client_answer_free(answer);
    return error;
}
