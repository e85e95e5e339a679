/* SPDX-License-Identifier: Apache-2.0 */
/* sort.c: a merge sort from the bottom up: stable, no recursion, the same on every machine.
 *
 * Thread  any.
 */
#include "kv/internal.h"

/* Merge [low, middle) and [middle, high) of `from` into `to`. */
static void merge(void **from, void **to, size_t low, size_t middle, size_t high,
                  kv__order_fn *order, int how)
{
    OAK_ASSERT_LE(low, middle);
    OAK_ASSERT_LE(middle, high);
    size_t left = low;
    size_t right = middle;
    for (size_t i = low; i < high; i++) {
        bool take_left =
            left < middle && (right >= high || order(from[left], from[right], how) <= 0);
        to[i] = take_left ? from[left++] : from[right++];
    }
}

void kv__sort(void **items, size_t count, void **scratch, kv__order_fn *order, int how)
{
    void **from = items;
    void **to = scratch;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            merge(from, to, low, OAK_MIN(low + width, count), OAK_MIN(low + 2 * width, count),
                  order, how);
        }
        void **swap = from;
        from = to;
        to = swap;
    }
    if (from != items) {
        memcpy(items, from, count * sizeof(*items));
    }
}
