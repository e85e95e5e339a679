/* SPDX-License-Identifier: Apache-2.0 */
/* ranges.c: what the permissions of a user's roles come to: ranges that do not touch, in order.
 *
 * A single key is the range from it to the least key behind it, so that all is ranges: [a, b) and
 * the key b together hold [a, b] without a gap. Ranges are sorted by their begin; whoever begins
 * no later than the range before it ends is joined to it. Then a range that is wanted lies in one
 * of them, found by halving, or in none.
 *
 * Can fail     OAK_ENOMEM: nothing merged.
 * Invariants   merged tables borrow keys of roles: none outlives a change of a role.
 * Thread       the owner's.
 */
#include "authz/internal.h"

/* The key behind `key`, which is a zero byte longer, and another one. */
static int behind_cmp(struct oak_bytes key, struct oak_bytes other)
{
    if (oak_bytes_cmp(key, other) >= 0) {
        return 1;
    }
    bool next = other.size == key.size + 1 && other.data[key.size] == 0 &&
                (key.size == 0 || memcmp(key.data, other.data, key.size) == 0);
    return next ? 0 : -1;
}

int authz__bound_cmp(const struct authz_bound *a, const struct authz_bound *b)
{
    if (a->open || b->open) {
        return (int)a->open - (int)b->open;
    }
    if (a->behind == b->behind) {
        return oak_bytes_cmp(a->key, b->key);
    }
    return a->behind ? behind_cmp(a->key, b->key) : -behind_cmp(b->key, a->key);
}

struct authz_range authz__range(struct oak_bytes key, struct oak_bytes end)
{
    struct authz_range range = {.from.key = key, .to.key = end};
    if (end.size == 1 && end.data[0] == 0) {
        range.to.open = true;
    } else if (end.size == 0 || oak_bytes_cmp(key, end) >= 0) {
        range.to.key = key;
        range.to.behind = true;
    }
    return range;
}

static void swap(struct authz_range *a, struct authz_range *b)
{
    struct authz_range kept = *a;
    *a = *b;
    *b = kept;
}

/* Heap sort by begin: no memory, and no bad order of input. */
static void sift(struct authz_range *ranges, size_t at, size_t count)
{
    while (2 * at + 1 < count) {
        size_t child = 2 * at + 1;
        if (child + 1 < count &&
            authz__bound_cmp(&ranges[child].from, &ranges[child + 1].from) < 0) {
            child++;
        }
        if (authz__bound_cmp(&ranges[at].from, &ranges[child].from) >= 0) {
            return;
        }
        swap(&ranges[at], &ranges[child]);
        at = child;
    }
}

static void sort(struct authz_range *ranges, size_t count)
{
    for (size_t i = count / 2; i > 0; i--) {
        sift(ranges, i - 1, count);
    }
    for (size_t i = count; i > 1; i--) {
        swap(&ranges[0], &ranges[i - 1]);
        sift(ranges, 0, i - 1);
    }
}

size_t authz__merge(struct authz_range *ranges, size_t count)
{
    sort(ranges, count);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct authz_range *last = kept > 0 ? &ranges[kept - 1] : NULL;
        if (last == NULL || authz__bound_cmp(&ranges[i].from, &last->to) > 0) {
            ranges[kept++] = ranges[i];
        } else if (authz__bound_cmp(&ranges[i].to, &last->to) > 0) {
            last->to = ranges[i].to;
        }
    }
    return kept;
}

bool authz__covers(const struct authz_ranges *ranges, const struct authz_range *wanted)
{
    size_t low = 0; /* how many begin no later */
    size_t high = ranges->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (authz__bound_cmp(&ranges->items[middle].from, &wanted->from) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool behind = OAK_BUG(permission_takes_end) && low > 0 &&
                  oak_bytes_eq(ranges->items[low - 1].to.key, wanted->to.key);
    return low > 0 && (behind || authz__bound_cmp(&ranges->items[low - 1].to, &wanted->to) >= 0);
}

/* -- of a user --------------------------------------------------------------------------------- */

static size_t gather(const struct oak_authz *a, const struct authz_user *user,
                     enum oak_authz_access access, struct authz_range *out)
{
    size_t count = 0;
    for (size_t i = 0; i < user->view.role_count; i++) {
        const struct authz_role *role = authz__role(a, user->view.roles[i]);
        for (size_t k = 0; role != NULL && k < role->view.permission_count; k++) {
            const struct oak_authz_permission *p = &role->view.permissions[k];
            if (p->access != access && p->access != OAK_AUTHZ_READWRITE) {
                continue;
            }
            if (out != NULL) {
                out[count] = authz__range(p->key, p->end);
            }
            count++;
        }
    }
    return count;
}

static int merge_one(struct oak_authz *a, struct authz_user *user, enum oak_authz_access access)
{
    struct authz_ranges *ranges = &user->ranges[access];
    size_t count = gather(a, user, access, NULL);
    if (count == 0) {
        return 0;
    }
    ranges->items = authz__resize(a, NULL, count * sizeof(*ranges->items));
    if (ranges->items == NULL) {
        return OAK_ENOMEM;
    }
    (void)gather(a, user, access, ranges->items);
    ranges->count = authz__merge(ranges->items, count);
    struct authz_range *smaller =
        authz__resize(a, ranges->items, ranges->count * sizeof(*ranges->items));
    ranges->items = smaller != NULL ? smaller : ranges->items;
    a->merged_bytes += ranges->count * sizeof(*ranges->items);
    return 0;
}

int authz__merged(struct oak_authz *a, struct authz_user *user)
{
    if (user->merged) {
        return 0;
    }
    if (a->merged_bytes > OAK_AUTH_MERGED_BYTES_MAX) {
        authz__unmerge_all(a);
    }
    user->merged = true;
    int error = merge_one(a, user, OAK_AUTHZ_READ);
    if (error == 0) {
        error = merge_one(a, user, OAK_AUTHZ_WRITE);
    }
    if (error != 0) {
        authz__unmerge(a, user);
    }
    return error;
}

void authz__unmerge(struct oak_authz *a, struct authz_user *user)
{
    for (size_t i = 0; user->merged && i < OAK_COUNT_OF(user->ranges); i++) {
        size_t bytes = user->ranges[i].count * sizeof(struct authz_range);
        OAK_ASSERT_GE(a->merged_bytes, bytes);
        a->merged_bytes -= bytes;
        authz__free(a, user->ranges[i].items);
        user->ranges[i] = (struct authz_ranges){0};
    }
    user->merged = false;
}

void authz__unmerge_all(struct oak_authz *a)
{
    for (size_t i = 0; i < a->user_count; i++) {
        authz__unmerge(a, a->users[i]);
    }
    OAK_ASSERT_EQ(a->merged_bytes, 0);
}
