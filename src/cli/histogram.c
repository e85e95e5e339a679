/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c: log-linear buckets (the idea of HdrHistogram).
 *
 *   value            bucket
 *   0 … 127          the value itself
 *   2^e … 2^(e+1)-1  128 × (e - 6) + the seven bits below the highest       (e ≥ 7)
 */
#include "cli/histogram.h"

#include "base/base.h"

#define SUB_BITS 7
#define SUB      (1u << SUB_BITS)

size_t cli__histogram_bucket(uint64_t value)
{
    if (value < SUB) {
        return (size_t)value;
    }
    unsigned e = 63 - (unsigned)__builtin_clzll(value);
    size_t sub = (size_t)(value >> (e - SUB_BITS)) & (SUB - 1);
    return (size_t)SUB * (e - SUB_BITS + 1) + sub;
}

uint64_t cli__histogram_low(size_t bucket)
{
    OAK_ASSERT_LT(bucket, CLI__HISTOGRAM_BUCKETS);
    if (bucket < SUB) {
        return bucket;
    }
    size_t e = bucket / SUB + SUB_BITS - 1;
    return (uint64_t)(SUB + bucket % SUB) << (e - SUB_BITS);
}

void cli__histogram_add(struct cli__histogram *h, uint64_t value)
{
    h->counts[cli__histogram_bucket(value)]++;
    h->min = h->count == 0 ? value : OAK_MIN(h->min, value);
    h->max = OAK_MAX(h->max, value);
    h->count++;
    h->sum += value;
}

void cli__histogram_merge(struct cli__histogram *h, const struct cli__histogram *other)
{
    if (other->count == 0) {
        return;
    }
    for (size_t i = 0; i < CLI__HISTOGRAM_BUCKETS; i++) {
        h->counts[i] += other->counts[i];
    }
    h->min = h->count == 0 ? other->min : OAK_MIN(h->min, other->min);
    h->max = OAK_MAX(h->max, other->max);
    h->count += other->count;
    h->sum += other->sum;
}

uint64_t cli__histogram_at(const struct cli__histogram *h, uint64_t parts, uint64_t of)
{
    OAK_ASSERT(of > 0 && parts <= of);
    if (h->count == 0) {
        return 0;
    }
    uint64_t rank = (h->count * parts + of - 1) / of;
    uint64_t seen = 0;
    for (size_t i = 0; i < CLI__HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank && h->counts[i] > 0) {
            uint64_t low = cli__histogram_low(i);
            uint64_t width = i < SUB ? 1 : (uint64_t)1 << (i / SUB - 1);
            uint64_t middle = low + width / 2;
            return OAK_MAX(h->min, OAK_MIN(h->max, middle));
        }
    }
    OAK_UNREACHABLE("the buckets hold `count` values");
}

double cli__histogram_mean(const struct cli__histogram *h)
{
    return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}
