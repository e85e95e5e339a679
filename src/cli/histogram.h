/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h: counts of durations in buckets that are never wider than 1/128 of their value, so
 * that any percentile is right within 0.8 %, in constant memory and time. */
#ifndef OAK_CLI_HISTOGRAM_H
#define OAK_CLI_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

/* 128 buckets for each power of two from 2^7 up, and 128 of width 1 below. */
#define CLI__HISTOGRAM_BUCKETS (58 * 128)

/* Zeroed is an empty one. Nanoseconds by use, but any unit will do. */
struct cli__histogram {
    uint64_t counts[CLI__HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum; /* 2^64 ns are 584 years */
    uint64_t min;
    uint64_t max;
};

void cli__histogram_add(struct cli__histogram *h, uint64_t value);
void cli__histogram_merge(struct cli__histogram *h, const struct cli__histogram *other);
/* The value that `parts` of `of` values do not pass: (h, 99, 100) is the 99th percentile. The
 * middle of its bucket, never outside min and max. 0 of an empty one. */
uint64_t cli__histogram_at(const struct cli__histogram *h, uint64_t parts, uint64_t of);
double cli__histogram_mean(const struct cli__histogram *h);

/* For tests. */
size_t cli__histogram_bucket(uint64_t value);
uint64_t cli__histogram_low(size_t bucket);

#endif
