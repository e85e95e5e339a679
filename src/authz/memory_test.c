/* SPDX-License-Identifier: Apache-2.0 */
/* memory_test.c: each allocation fails once: what happens is OAK_ENOMEM, nothing leaks, and nothing
 * is allowed that was not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "authz/authz.h"

#define S(text) oak_bytes_str(text)

struct counted {
    size_t made;   /* so far */
    size_t fails;  /* which one; 0: none */
    size_t blocks; /* now */
};

static void *resize(void *user, void *p, size_t size)
{
    struct counted *c = user;
    struct oak_alloc libc = oak_alloc_libc();
    if (size == 0) {
        c->blocks -= p != NULL ? 1 : 0;
        return libc.resize(libc.user, p, 0);
    }
    if (++c->made == c->fails) {
        return NULL;
    }
    c->blocks += p == NULL ? 1 : 0;
    return libc.resize(libc.user, p, size);
}

/* Some of everything; the first error. */
static int story(struct oak_authz *a)
{
    const struct oak_authz_permission one = {.access = OAK_AUTHZ_READ, .key = S("k"), .end = S("")};
    const struct oak_authz_permission two = {
        .access = OAK_AUTHZ_READWRITE, .key = S("l"), .end = S("m")};
    int error = oak_authz_user_add(a, S("root"), S("hash"), false);
    error = error != 0 ? error : oak_authz_user_grant(a, S("root"), S("root"));
    error = error != 0 ? error : oak_authz_enable(a);
    error = error != 0 ? error : oak_authz_role_add(a, S("r"));
    error = error != 0 ? error : oak_authz_role_permit(a, S("r"), &one);
    error = error != 0 ? error : oak_authz_role_permit(a, S("r"), &two);
    error = error != 0 ? error : oak_authz_user_add(a, S("u"), S("hash"), false);
    error = error != 0 ? error : oak_authz_user_grant(a, S("u"), S("r"));
    error = error != 0 ? error : oak_authz_user_password(a, S("u"), S("other"));
    const struct oak_authz_who who = {.user = S("u"), .revision = oak_authz_settings(a)->revision};
    error = error != 0 ? error : oak_authz_permit(a, &who, OAK_AUTHZ_READ, S("l"), S("m"));
    return error;
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    size_t failures = 0;
    int error = OAK_ENOMEM;
    while (error == OAK_ENOMEM) {
        struct counted c = {.fails = ++failures};
        const struct oak_alloc alloc = {.resize = resize, .user = &c};
        struct oak_authz *a = NULL;
        error = oak_authz_new(alloc, &a);
        if (error == 0) {
            error = story(a);
            oak_authz_free(a);
        }
        assert_int_equal(c.blocks, 0);
        /* A table that could not be made smaller stays as it was: that is no failure. */
        if (error == 0 && c.made >= failures) {
            error = OAK_ENOMEM;
        }
    }
    assert_int_equal(error, 0);
    assert_in_range(failures, 15, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
