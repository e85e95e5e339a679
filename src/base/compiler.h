/* SPDX-License-Identifier: Apache-2.0 */
/* compiler.h: the only place that knows compiler extensions. */
#ifndef OAK_BASE_COMPILER_H
#define OAK_BASE_COMPILER_H

#include "oakum/common.h"

#define OAK_NORETURN    __attribute__((noreturn))
#define OAK_UNUSED      __attribute__((unused))
#define OAK_LIKELY(x)   __builtin_expect(!!(x), 1)
#define OAK_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The struct that embeds `ptr` as its member `field`. */
#define OAK_CONTAINER_OF(ptr, type, field) ((type *)(void *)((char *)(ptr)-offsetof(type, field)))

#define OAK_COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define OAK_MIN(a, b)       ((a) < (b) ? (a) : (b))
#define OAK_MAX(a, b)       ((a) > (b) ? (a) : (b))

#endif
