/* SPDX-License-Identifier: Apache-2.0 */
/* lease.c: the decisions: what begins, what is renewed, what is due.
 *
 * Happy path   1 promote: every lease begins
 *              2 keepalives put its end off
 *              3 its time is up: it is due, its revocation is proposed, and applied
 * Can fail     a grant: OAK_ENOMEM, nothing changed.
 * Invariants   an end is only ever put off; one whose revocation is proposed is not renewed; what
 *              is written down of a lease is never more than it has left, and is taken back before
 *              a keepalive is answered.
 */
#include "base/errors.h"
#include "base/limits.h"
#include "base/zoo.h"
#include "lease/internal.h"

#define NS_A_SECOND UINT64_C(1000000000)
/* Revocations that may be caught up with at once, after a time without: a quarter of a second's. */
#define BURST_NS (NS_A_SECOND / 4)

OAK_STATIC_ASSERT(OAK_LEASE_TTL_S_MAX <= INT64_MAX / 1000000000, "a life fits into nanoseconds");

static uint64_t life_ns(int64_t seconds)
{
    OAK_ASSERT(seconds >= 1 && seconds <= OAK_LEASE_TTL_S_MAX);
    return (uint64_t)seconds * NS_A_SECOND;
}

int oak_lease_new(const struct oak_lease_options *options, struct oak_lease_table **out)
{
    OAK_ASSERT_GT(options->revokes_a_second, 0);
    struct oak_lease_table *l =
        options->alloc.resize(options->alloc.user, NULL, sizeof(struct oak_lease_table));
    *out = l;
    if (l == NULL) {
        return OAK_ENOMEM;
    }
    *l = (struct oak_lease_table){.options = *options};
    return 0;
}

void oak_lease_free(struct oak_lease_table *l)
{
    if (l != NULL) {
        lease__clear(l);
        (void)l->options.alloc.resize(l->options.alloc.user, l, 0);
    }
}

bool oak_lease_leads(const struct oak_lease_table *l)
{
    return l->leads;
}

/* It ends then, and what is left of it is written down at times until then. */
static void begin(struct oak_lease_table *l, struct lease_row *row, uint64_t now, uint64_t end)
{
    uint64_t pace = l->options.checkpoint_ns;
    lease__wait(l, LEASE_END, row, end);
    if (pace > 0 && end - now > pace) {
        lease__wait(l, LEASE_NOTE, row, now + pace);
    } else {
        lease__unwait(l, LEASE_NOTE, row);
    }
}

void oak_lease_promote(struct oak_lease_table *l, uint64_t now_ns, uint64_t slack_ns)
{
    OAK_ASSERT(!l->leads);
    l->leads = true;
    l->spent_ns = now_ns;
    for (uint32_t i = 0; i < l->count; i++) {
        struct lease_row *row = &l->rows[i];
        int64_t left = row->remaining_s > 0 ? row->remaining_s : row->ttl_s;
        left += OAK_BUG(lease_rest_is_added) && row->remaining_s > 0 ? row->ttl_s : 0;
        if (OAK_BUG(lease_never_ends)) {
            continue;
        }
        begin(l, row, now_ns, now_ns + life_ns(left) + slack_ns);
    }
    lease__sort(l, LEASE_END);
    /* Those whose keepalives went to the old leader shall find time to renew here: a pile is spread
     * behind its first. */
    uint64_t apart = NS_A_SECOND * 4 / (3 * (uint64_t)l->options.revokes_a_second);
    uint64_t free_ns = 0;
    for (uint32_t i = 0; i < l->heaps[LEASE_END].count; i++) {
        struct lease_row *row = &l->rows[l->heaps[LEASE_END].rows[i]];
        uint64_t end = row->when[LEASE_END];
        row->when[LEASE_END] = end > free_ns ? end : free_ns; /* still in order: a heap */
        free_ns = row->when[LEASE_END] + apart;
    }
}

void oak_lease_demote(struct oak_lease_table *l)
{
    l->leads = false;
    lease__clear(l);
}

/* -- what is replicated ------------------------------------------------------------------------ */

int oak_lease_grant(struct oak_lease_table *l, uint64_t now_ns, int64_t id, int64_t ttl_s,
                    int64_t remaining_s)
{
    struct lease_row *row = NULL;
    int error = lease__add(l, id, &row);
    if (error != 0) {
        return error;
    }
    row->ttl_s = ttl_s;
    row->remaining_s = remaining_s;
    if (l->leads) {
        begin(l, row, now_ns, now_ns + life_ns(ttl_s));
    }
    return 0;
}

void oak_lease_revoked(struct oak_lease_table *l, int64_t id)
{
    struct lease_row *row = lease__find(l, id);
    if (row != NULL) {
        lease__drop(l, row);
    }
}

void oak_lease_checkpointed(struct oak_lease_table *l, int64_t id, int64_t remaining_s)
{
    struct lease_row *row = lease__find(l, id);
    if (row != NULL) {
        row->remaining_s = remaining_s;
        row->take_backs -= remaining_s == 0 && row->take_backs > 0 ? 1 : 0;
    }
}

void oak_lease_taking_back(struct oak_lease_table *l, int64_t id)
{
    struct lease_row *row = lease__find(l, id);
    OAK_ASSERT(l->leads && row != NULL);
    row->take_backs++;
}

/* -- clients ----------------------------------------------------------------------------------- */

enum oak_lease_fate oak_lease_look(const struct oak_lease_table *l, uint64_t now_ns, int64_t id,
                                   struct oak_lease_answer *out)
{
    OAK_ASSERT(l->leads);
    *out = (struct oak_lease_answer){0};
    const struct lease_row *row = lease__find(l, id);
    if (row == NULL) {
        return OAK_LEASE_UNKNOWN;
    }
    uint64_t end = row->when[LEASE_END];
    out->ttl_s = row->ttl_s;
    out->left_ns = end >= now_ns ? (int64_t)(end - now_ns) : -(int64_t)(now_ns - end);
    out->revoked_at = row->revoked_at;
    out->written_down = row->remaining_s > 0;
    return row->revoked_at != 0 || end <= now_ns ? OAK_LEASE_ENDING : OAK_LEASE_ALIVE;
}

enum oak_lease_fate oak_lease_renew(struct oak_lease_table *l, uint64_t now_ns, int64_t id,
                                    struct oak_lease_answer *out)
{
    enum oak_lease_fate fate = oak_lease_look(l, now_ns, id, out);
    if (OAK_BUG(lease_revived) && fate == OAK_LEASE_ENDING) {
        fate = OAK_LEASE_ALIVE;
    }
    if (fate == OAK_LEASE_ALIVE) {
        struct lease_row *row = lease__find(l, id);
        uint64_t end = now_ns + life_ns(row->ttl_s);
        /* Behind a promotion it may have been given more than that. */
        begin(l, row, now_ns, end > row->when[LEASE_END] ? end : row->when[LEASE_END]);
    }
    return fate;
}

size_t oak_lease_ids(struct oak_lease_table *l, int64_t *out, size_t capacity)
{
    lease__sort(l, LEASE_END);
    const struct lease_heap *heap = &l->heaps[LEASE_END];
    for (uint32_t i = 0; i < heap->count && i < capacity; i++) {
        out[i] = l->rows[heap->rows[i]].id;
    }
    return heap->count;
}

/* -- what is due ------------------------------------------------------------------------------- */

bool oak_lease_due(struct oak_lease_table *l, uint64_t now_ns, int64_t *id)
{
    OAK_ASSERT(l->leads);
    const struct lease_row *row = lease__next(l, LEASE_END);
    if (row == NULL || row->when[LEASE_END] > now_ns) {
        return false;
    }
    *id = row->id;
    return l->spent_ns <= now_ns;
}

void oak_lease_revoking(struct oak_lease_table *l, uint64_t now_ns, int64_t id, uint64_t index)
{
    struct lease_row *row = lease__find(l, id);
    OAK_ASSERT(row != NULL);
    OAK_ASSERT_GT(index, 0);
    OAK_ASSERT_EQ(row->revoked_at, 0);
    uint64_t since = now_ns > BURST_NS ? now_ns - BURST_NS : 0;
    l->spent_ns = OAK_MAX(l->spent_ns, since) + NS_A_SECOND / l->options.revokes_a_second;
    row->revoked_at = index;
    lease__unwait(l, LEASE_END, row);
    lease__unwait(l, LEASE_NOTE, row);
}

bool oak_lease_checkpoint_due(struct oak_lease_table *l, uint64_t now_ns, int64_t *id,
                              int64_t *remaining_s)
{
    OAK_ASSERT(l->leads);
    struct lease_row *row;
    while ((row = lease__next(l, LEASE_NOTE)) != NULL && row->take_backs > 0 &&
           row->when[LEASE_NOTE] <= now_ns) {
        lease__wait(l, LEASE_NOTE, row, now_ns + l->options.checkpoint_ns);
    }
    if (row == NULL || row->when[LEASE_NOTE] > now_ns) {
        return false;
    }
    uint64_t left = row->when[LEASE_END] > now_ns ? row->when[LEASE_END] - now_ns : 1;
    int64_t seconds = (int64_t)((left + NS_A_SECOND - 1) / NS_A_SECOND);
    row->remaining_s = OAK_MIN(seconds, row->ttl_s);
    *id = row->id;
    *remaining_s = row->remaining_s;
    if (left > l->options.checkpoint_ns) {
        lease__wait(l, LEASE_NOTE, row, now_ns + l->options.checkpoint_ns);
    } else {
        lease__unwait(l, LEASE_NOTE, row);
    }
    return true;
}
