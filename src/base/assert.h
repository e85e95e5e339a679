/* SPDX-License-Identifier: Apache-2.0 */
/* assert.h: assertions that stay on in every build.
 *
 * They guard our own thinking, never bytes from outside: check those, return a code, then assert.
 * A failed assertion prints the expression (and, for the comparing forms, both values), hands the
 * text to the hook if one is set, and aborts. Expressions must have no side effects.
 */
#ifndef OAK_BASE_ASSERT_H
#define OAK_BASE_ASSERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

OAK_NORETURN void oak_assert_failed(const char *file, int line, const char *expr);
OAK_NORETURN void oak_assert_failed_cmp(const char *file, int line, const char *expr, uint64_t a,
                                        uint64_t b);

/* Called once with the failure text before abort(); NULL for none. Process-wide, set at start-up.
 * The one global of the program: there is only one way to die. */
typedef void oak_assert_hook_fn(const char *text);
void oak_assert_hook_set(oak_assert_hook_fn *hook);

#define OAK_ASSERT(x)                                  \
    do {                                               \
        if (OAK_UNLIKELY(!(x))) {                      \
            oak_assert_failed(__FILE__, __LINE__, #x); \
        }                                              \
    } while (0)
#define OAK_ASSERT_CMP_(a, op, b)                                                       \
    do {                                                                                \
        if (OAK_UNLIKELY(!((a)op(b)))) {                                                \
            oak_assert_failed_cmp(__FILE__, __LINE__, #a " " #op " " #b, (uint64_t)(a), \
                                  (uint64_t)(b));                                       \
        }                                                                               \
    } while (0)
#define OAK_ASSERT_EQ(a, b)     OAK_ASSERT_CMP_(a, ==, b)
#define OAK_ASSERT_NE(a, b)     OAK_ASSERT_CMP_(a, !=, b)
#define OAK_ASSERT_LE(a, b)     OAK_ASSERT_CMP_(a, <=, b)
#define OAK_ASSERT_LT(a, b)     OAK_ASSERT_CMP_(a, <, b)
#define OAK_ASSERT_GE(a, b)     OAK_ASSERT_CMP_(a, >=, b)
#define OAK_ASSERT_GT(a, b)     OAK_ASSERT_CMP_(a, >, b)
#define OAK_IMPLIES(a, b)       OAK_ASSERT(!(a) || (b))
#define OAK_UNREACHABLE(why)    oak_assert_failed(__FILE__, __LINE__, "unreachable: " why)
#define OAK_STATIC_ASSERT(x, m) _Static_assert(x, m)
/* Documents that a condition is sometimes true and sometimes not. */
#define OAK_MAYBE(x) ((void)(x))

#endif
