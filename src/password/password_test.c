/* SPDX-License-Identifier: Apache-2.0 */
/* password_test.c: hashes made here and elsewhere; what is none; passwords of every length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "password/password.h"

static const uint8_t salt[OAK_PASSWORD_SALT_BYTES] = "0123456789abcdef";

static void a_password_is_known_by_its_hash_and_no_other_is(void **state)
{
    (void)state;
    char hash[OAK_PASSWORD_HASH_BYTES];
    assert_int_equal(oak_password_hash("secret", 4, salt, hash), 0);
    assert_memory_equal(hash, "$2b$04$", 7);
    assert_int_equal(oak_password_check("secret", oak_bytes_str(hash)), 0);
    assert_int_equal(oak_password_check("secrets", oak_bytes_str(hash)), OAK_EAUTHFAILED);
    assert_int_equal(oak_password_check("", oak_bytes_str(hash)), OAK_EAUTHFAILED);
    hash[OAK_PASSWORD_HASH_BYTES - 2] ^= 1;
    assert_int_equal(oak_password_check("secret", oak_bytes_str(hash)), OAK_EAUTHFAILED);
}

static void the_same_password_has_another_hash_by_another_salt(void **state)
{
    (void)state;
    char one[OAK_PASSWORD_HASH_BYTES];
    char two[OAK_PASSWORD_HASH_BYTES];
    uint8_t other[OAK_PASSWORD_SALT_BYTES] = {0};
    assert_int_equal(oak_password_hash("secret", 4, salt, one), 0);
    assert_int_equal(oak_password_hash("secret", 4, other, two), 0);
    assert_memory_not_equal(one, two, sizeof(one));
}

static void hashes_of_others_are_checked(void **state)
{
    (void)state;
    /* From the test vectors that came with the first bcrypt of the Openwall project. */
    const char *u = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    assert_int_equal(oak_password_check("U*U", oak_bytes_str(u)), 0);
    assert_int_equal(oak_password_check("U*V", oak_bytes_str(u)), OAK_EAUTHFAILED);
}

static void a_long_password_is_refused_and_not_cut(void **state)
{
    (void)state;
    char longest[OAK_AUTH_PASSWORD_BYTES_MAX + 2];
    char hash[OAK_PASSWORD_HASH_BYTES];
    memset(longest, 'p', sizeof(longest));
    longest[OAK_AUTH_PASSWORD_BYTES_MAX] = '\0';
    assert_int_equal(oak_password_hash(longest, 4, salt, hash), 0);
    assert_int_equal(oak_password_check(longest, oak_bytes_str(hash)), 0);
    longest[OAK_AUTH_PASSWORD_BYTES_MAX] = 'p';
    longest[OAK_AUTH_PASSWORD_BYTES_MAX + 1] = '\0';
    assert_int_equal(oak_password_check(longest, oak_bytes_str(hash)), OAK_EAUTHFAILED);
    assert_int_equal(oak_password_hash(longest, 4, salt, hash), OAK_EPASSWORDTOOLONG);
}

static void what_is_no_hash_fails_as_a_wrong_password_does(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        "secret",
        "$2b$10$",
        "$1$abcdefgh$0123456789012345678901",
        "$2x$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2b$03$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2b$32$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2b$10$abcdefghijklmnopqrst!vABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
        "$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ012345",
    };
    for (size_t i = 0; i < OAK_COUNT_OF(none); i++) {
        assert_false(oak_password_is_hash(oak_bytes_str(none[i])));
        assert_int_equal(oak_password_check("secret", oak_bytes_str(none[i])), OAK_EAUTHFAILED);
    }
    assert_true(oak_password_is_hash(
        oak_bytes_str("$2b$10$abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUVWXYZ01234")));
    char hash[OAK_PASSWORD_HASH_BYTES];
    assert_int_equal(oak_password_hash("secret", 3, salt, hash), OAK_EINVAL);
    assert_int_equal(oak_password_hash("secret", 32, salt, hash), OAK_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_password_is_known_by_its_hash_and_no_other_is),
        cmocka_unit_test(the_same_password_has_another_hash_by_another_salt),
        cmocka_unit_test(hashes_of_others_are_checked),
        cmocka_unit_test(a_long_password_is_refused_and_not_cut),
        cmocka_unit_test(what_is_no_hash_fails_as_a_wrong_password_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
