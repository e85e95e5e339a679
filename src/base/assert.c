/* SPDX-License-Identifier: Apache-2.0 */
/* assert.c: how a process of ours dies when it finds that it was wrong about itself. */
#include "base/assert.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static oak_assert_hook_fn *hook_installed;

void oak_assert_hook_set(oak_assert_hook_fn *hook)
{
    hook_installed = hook;
}

static OAK_NORETURN void die(const char *text)
{
    oak_assert_hook_fn *hook = hook_installed;
    hook_installed = NULL; /* a hook that fails must not call itself */
    fprintf(stderr, "%s\n", text);
    if (hook != NULL) {
        hook(text);
    }
    abort();
}

void oak_assert_failed(const char *file, int line, const char *expr)
{
    char text[512];
    snprintf(text, sizeof(text), "%s:%d: assertion failed: %s", file, line, expr);
    die(text);
}

void oak_assert_failed_cmp(const char *file, int line, const char *expr, uint64_t a, uint64_t b)
{
    char text[512];
    snprintf(text, sizeof(text), "%s:%d: assertion failed: %s (%" PRIu64 " and %" PRIu64 ")", file,
             line, expr, a, b);
    die(text);
}
