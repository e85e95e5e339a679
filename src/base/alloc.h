/* SPDX-License-Identifier: Apache-2.0 */
/* alloc.h: memory handed in. Pure rooms allocate through this alone, so that a test can count
 * allocations and fail each in turn. */
#ifndef OAK_BASE_ALLOC_H
#define OAK_BASE_ALLOC_H

#include <stddef.h>

/* `resize` works as realloc: p NULL allocates, size 0 frees and returns NULL, else it resizes.
 * NULL when there is no memory (p is then still valid). */
struct oak_alloc {
    void *(*resize)(void *user, void *p, size_t size);
    void *user;
};

/* The C library's allocator. */
struct oak_alloc oak_alloc_libc(void);

#endif
