/* SPDX-License-Identifier: Apache-2.0 */
/* test_failing.h: allocations that fail, of a test's choice. For a test that is declared with
 * FAILING_ALLOC: the linker sends the allocations of its own and of the rooms here (--wrap); those
 * within shared libraries stay as they are. Included once.
 */
#ifndef OAK_BASE_TEST_FAILING_H
#define OAK_BASE_TEST_FAILING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test_failing {
    uint64_t count;
    uint64_t at; /* UINT64_MAX: never */
};
static struct test_failing test_failing = {.at = UINT64_MAX};

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool test_fails(void)
{
    return test_failing.count++ == test_failing.at;
}

void *__wrap_malloc(size_t size)
{
    return test_fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return test_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return test_fails() ? NULL : __real_realloc(p, size);
}

/* The allocation that comes behind `at` others fails. */
static void test_fail_from_here(uint64_t at)
{
    test_failing.at = test_failing.count + at;
}

/* Was there one? None fails from here on. */
static bool test_has_failed(void)
{
    bool was = test_failing.count > test_failing.at;
    test_failing.at = UINT64_MAX;
    return was;
}

#endif
