/* SPDX-License-Identifier: Apache-2.0 */
/* config_fixture.h: load a configuration from words and variables, and what it should say. */
#ifndef OAK_SERVER_CONFIG_FIXTURE_H
#define OAK_SERVER_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the above first */
#include <cmocka.h>

#include "server/config_internal.h"

struct attempt {
    struct oak_config c;
    struct oak_errbuf e;
    int error;
};

/* Load from words and variables, each a list that ends with NULL; either may be NULL. */
static inline void load(struct attempt *a, const char *const *words, const char *const *env)
{
    static const char *const none[] = {NULL};
    const char *argv[32] = {"oakum"};
    int argc = 1;
    for (; words != NULL && *words != NULL; words++) {
        argv[argc++] = *words;
    }
    struct oak_config_input input = {.argc = argc, .argv = argv, .env = env != NULL ? env : none};
    a->e = (struct oak_errbuf){0};
    a->error = oak_config_load(&input, &a->c, &a->e);
    if (a->error != 0) {
        assert_true(a->e.text[0] != '\0');
    }
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void expect(struct attempt *a, int error, bool misused, const char *text)
{
    if (a->error != error || strstr(a->e.text, text) == NULL) {
        print_message("got %d: %s\n", a->error, a->e.text);
    }
    assert_int_equal(a->error, error);
    assert_int_equal(a->c.misused, misused);
    assert_non_null(strstr(a->e.text, text));
    oak_config_fini(&a->c);
}

/* A misuse: exit code 2. */
static inline void misused(const char *const *words, const char *text)
{
    struct attempt a;
    load(&a, words, NULL);
    expect(&a, OAK_EINVAL, true, text);
}

static inline void refused(const char *const *words, const char *const *env, int error,
                           const char *text)
{
    struct attempt a;
    load(&a, words, env);
    expect(&a, error, false, text);
}

#endif
