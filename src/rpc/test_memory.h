/* SPDX-License-Identifier: Apache-2.0 */
/* test_memory.h: for tests that let each allocation fail once, those of libraries too.
 *
 *     for (long n = 0; memory_begin(n); n++) { conversation(); if (!memory_end()) break; }
 *
 * Threads may ask at once; what a thread that is exempt asks for does not count, and never fails.
 *
 * It stands between the program and glibc's allocator, so it says nothing under sanitizers, which
 * do the same: there memory_begin is false at once. Include it in one file of a test. */
#ifndef OAK_RPC_TEST_MEMORY_H
#define OAK_RPC_TEST_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/base.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#endif

/* Set by a thread that is a part of the test, and not of what it tries. */
static OAK_UNUSED _Thread_local bool memory_exempt;

#if !defined(UNDER_SANITIZER)
static atomic_flag memory_busy = ATOMIC_FLAG_INIT; /* of what follows */
static volatile bool counting;
static volatile long countdown;
static volatile bool failed_one;
static volatile bool ours_only; /* set by the test: what libraries ask for does not fail */
static volatile int held;       /* what the test itself asks for meanwhile does not count */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void __libc_free(void *p);

extern const char __executable_start;
extern const char etext;

/* Blocks that the program itself asked for (all of oak is linked into it), and not a library. */
static void *volatile blocks[4096];
static volatile size_t live;

static bool is_ours(const void *caller)
{
    return (const char *)caller >= &__executable_start && (const char *)caller < &etext;
}

static void memory_enter(void)
{
    while (atomic_flag_test_and_set_explicit(&memory_busy, memory_order_acquire)) {
    }
}

static void memory_leave(void)
{
    atomic_flag_clear_explicit(&memory_busy, memory_order_release);
}

static void block_add(void *p, const void *caller)
{
    if (!counting || held > 0 || memory_exempt || p == NULL || !is_ours(caller)) {
        return;
    }
    memory_enter();
    size_t at = 0;
    while (at < live && blocks[at] != p) {
        at++;
    }
    OAK_ASSERT_LT(live, OAK_COUNT_OF(blocks));
    blocks[at] = p;
    live += at == live;
    memory_leave();
}

static void block_remove(const void *p)
{
    if (live == 0) {
        return;
    }
    memory_enter();
    for (size_t i = 0; i < live; i++) {
        if (blocks[i] == p) {
            blocks[i] = blocks[live - 1];
            live--;
            break;
        }
    }
    memory_leave();
}

/* The one at which the countdown ends, and only that. */
static bool fails(const void *caller)
{
    if (!counting || held > 0 || memory_exempt || (ours_only && !is_ours(caller))) {
        return false;
    }
    memory_enter();
    bool now = countdown == 0;
    countdown--;
    failed_one = failed_one || now;
    memory_leave();
    return now;
}

OAK_API void *malloc(size_t size)
{
    void *p = fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
    block_add(p, __builtin_return_address(0));
    return p;
}

OAK_API void *calloc(size_t count, size_t size)
{
    void *p = fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
    block_add(p, __builtin_return_address(0));
    return p;
}

OAK_API void *realloc(void *p, size_t size)
{
    void *q = fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
    if (q != NULL) {
        block_remove(p);
        block_add(q, __builtin_return_address(0));
    }
    return q;
}

OAK_API void free(void *p)
{
    block_remove(p);
    __libc_free(p);
}

/* From here on the allocation that comes behind `at` others fails; below 0: none. */
static bool memory_begin(long at)
{
    OAK_ASSERT_LT(at, 100000);
    countdown = at;
    failed_one = false;
    live = 0;
    counting = true;
    return true;
}

/* All that the program itself asked for was given back. False: nothing failed, so all were tried.
 */
static bool memory_end(void)
{
    counting = false;
    assert_int_equal(live, 0);
    return failed_one;
}
/* Blocks that the program itself asked for since then, and has not given back. */
static inline size_t memory_live(void)
{
    return live;
}
static inline void memory_hold(void)
{
    held++;
}
static inline void memory_release(void)
{
    held--;
}
#define MEMORY_COUNTS true
#else
static OAK_UNUSED bool ours_only;
static bool memory_begin(long at)
{
    (void)at;
    return false;
}
static bool memory_end(void)
{
    return false;
}
static inline size_t memory_live(void)
{
    return 0;
}
static inline void memory_hold(void)
{
}
static inline void memory_release(void)
{
}
#define MEMORY_COUNTS false
#endif

#endif
