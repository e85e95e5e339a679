/* SPDX-License-Identifier: Apache-2.0 */
/* simple_test.c: letters, the table of simple tokens, base64, and the value of --auth-token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "token/internal.h"

static struct oak_bytes digest_of(int i, uint8_t *room)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "token %d", i);
    assert_int_equal(oak_token_digest(oak_bytes(text, (size_t)size), room), 0);
    return oak_bytes(room, OAK_TOKEN_DIGEST_BYTES);
}

static void letters_are_letters_and_parse_back(void **state)
{
    (void)state;
    struct oak_prng prng;
    oak_prng_init(&prng, 1);
    for (int round = 0; round < 1000; round++) {
        uint8_t random[OAK_TOKEN_RANDOM_BYTES];
        char letters[OAK_TOKEN_LETTERS + 1];
        char token[64];
        for (size_t i = 0; i < sizeof(random); i++) {
            random[i] = round == 0 ? 0xff : (uint8_t)oak_prng_u64(&prng);
        }
        oak_token_letters(random, letters);
        (void)snprintf(token, sizeof(token), "%s.%d", letters, round);
        struct oak_bytes found;
        uint64_t index = 0;
        assert_true(oak_token_parse(oak_bytes_str(token), &found, &index));
        assert_true(oak_bytes_eq(found, oak_bytes_str(letters)));
        assert_int_equal(index, round);
    }
}

static void what_is_no_token_does_not_parse(void **state)
{
    (void)state;
    static const char *const none[] = {
        "",
        ".",
        "abcdefghijklmnop",
        "abcdefghijklmnop.",
        "abcdefghijklmno.1",
        "abcdefghijklmnopq.1",
        "abcdefghijklmno1.1",
        "abcdefghijklmnop.x",
        "abcdefghijklmnop.-1",
        "abcdefghijklmnop.18446744073709551616",
        "abcdefghijklmnop.999999999999999999999999",
    };
    struct oak_bytes letters;
    uint64_t index = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(none); i++) {
        assert_false(oak_token_parse(oak_bytes_str(none[i]), &letters, &index));
    }
    assert_true(
        oak_token_parse(oak_bytes_str("abcdefghijklmnop.18446744073709551615"), &letters, &index));
    assert_true(index == UINT64_MAX);
}

static void a_token_lives_from_its_last_use(void **state)
{
    (void)state;
    struct oak_token_table *t = NULL;
    uint8_t one[OAK_TOKEN_DIGEST_BYTES];
    uint8_t two[OAK_TOKEN_DIGEST_BYTES];
    const struct oak_authz_who who = {.user = oak_bytes_str("ann"), .revision = 7};
    assert_int_equal(oak_token_table_new(100, 0, &t), 0);
    assert_int_equal(oak_token_add(t, digest_of(1, one), &who, 1000), 0);
    assert_int_equal(oak_token_add(t, digest_of(2, two), &who, 1000), 0);
    struct oak_token *token = oak_token_find(t, digest_of(1, one), 1099);
    assert_non_null(token);
    assert_true(oak_bytes_eq(token->who.user, oak_bytes_str("ann")));
    assert_int_equal(token->who.revision, 7);
    assert_int_equal(token->session, OAK_AUTHZ_AUTHENTICATED);
    assert_null(oak_token_find(t, digest_of(2, two), 1100));
    assert_int_equal(oak_token_count(t), 1);
    assert_non_null(oak_token_find(t, digest_of(1, one), 1198));
    assert_null(oak_token_find(t, digest_of(1, one), 1298));
    assert_int_equal(oak_token_count(t), 0);
    assert_int_equal(oak_token_add(t, oak_bytes("short", 5), &who, 1), OAK_EINVAL);
    oak_token_table_free(t);
}

static void a_full_table_forgets_what_ends_first(void **state)
{
    (void)state;
    struct oak_token_table *t = NULL;
    uint8_t room[OAK_TOKEN_DIGEST_BYTES];
    const struct oak_authz_who who = {.user = oak_bytes_str("ann"), .revision = 7};
    assert_int_equal(oak_token_table_new(UINT64_MAX / 2, 1000, &t), 0);
    for (int i = 0; i < 1500; i++) {
        assert_int_equal(oak_token_add(t, digest_of(i, room), &who, (uint64_t)i), 0);
        assert_int_equal(oak_token_add(t, digest_of(i, room), &who, (uint64_t)i), 0);
    }
    assert_int_equal(oak_token_count(t), 1000);
    for (int i = 0; i < 1500; i++) {
        bool known = oak_token_find(t, digest_of(i, room), 2000) != NULL;
        assert_int_equal(known, i >= 500);
    }
    struct oak_token *token = oak_token_find(t, digest_of(700, room), 2000);
    oak_token_remove(t, token);
    assert_null(oak_token_find(t, digest_of(700, room), 2000));
    assert_int_equal(oak_token_count(t), 999);
    oak_token_table_free(t);
}

static void base64_is_taken_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *bytes; /* NULL: refused */
    } rows[] = {
        {"", ""},        {"Zg==", "f"},        {"Zm8=", "fo"},
        {"Zm9v", "foo"}, {"Zm9vYg==", "foob"}, {"+/+/", "\xfb\xff\xbf"},
        {"Zg", NULL},    {"Zg=", NULL},        {"Zh==", NULL},
        {"Zm9=", NULL},  {"Z", NULL},          {"Zm9v\n", NULL},
        {"====", NULL},  {"-_-_", NULL},       {"Zm9v====", NULL},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        uint8_t out[16];
        size_t size = 0;
        bool taken = oak_token_base64(rows[i].text, out, sizeof(out), &size);
        assert_int_equal(taken, rows[i].bytes != NULL);
        if (taken) {
            assert_true(oak_bytes_eq(oak_bytes(out, size), oak_bytes_str(rows[i].bytes)));
        }
    }
    uint8_t small[2];
    size_t size = 0;
    assert_false(oak_token_base64("Zm9v", small, sizeof(small), &size));
    /* Every length, there and back, for URLs. */
    struct oak_prng prng;
    oak_prng_init(&prng, 2);
    for (size_t length = 0; length < 100; length++) {
        uint8_t bytes[100];
        uint8_t back[100];
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)oak_prng_u64(&prng);
        }
        struct oak_buf text = {0};
        assert_int_equal(token__base64_put(&text, oak_bytes(bytes, length)), 0);
        assert_true(token__base64_get(oak_buf_bytes(&text), back, sizeof(back), &size));
        assert_true(oak_bytes_eq(oak_bytes(bytes, length), oak_bytes(back, size)));
        oak_buf_fini(&text);
    }
}

static void the_flag_is_understood_or_explained(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "jwt",
        "jwt,",
        "JWT,sign-method=RS256",
        "simpler",
        "jwt,sign-method=RS256",
        "jwt,priv-key=k",
        "jwt,sign-method=none,priv-key=k",
        "jwt,sign-method=RS257,priv-key=k",
        "jwt,sign-method=RS256,priv-key=",
        "jwt,sign-method=RS256,priv-key=k,ttl=",
        "jwt,sign-method=RS256,priv-key=k,ttl=0s",
        "jwt,sign-method=RS256,priv-key=k,ttl=10",
        "jwt,sign-method=RS256,priv-key=k,ttl=m",
        "jwt,sign-method=RS256,priv-key=k,color=red",
    };
    struct oak_token_options o;
    struct oak_errbuf e;
    for (size_t i = 0; i < OAK_COUNT_OF(bad); i++) {
        e.text[0] = '\0';
        assert_int_equal(oak_token_options_parse(bad[i], &o, &e), OAK_EINVAL);
        assert_true(e.text[0] != '\0');
    }
    assert_int_equal(oak_token_options_parse("simple", &o, &e), 0);
    assert_false(o.jwt);
    assert_int_equal(oak_token_options_parse(
                         "jwt,pub-key=/a/p,priv-key=/a/k,sign-method=ES512,ttl=1h30m5s", &o, &e),
                     0);
    assert_true(o.jwt);
    assert_string_equal(o.method, "ES512");
    assert_string_equal(o.public_key, "/a/p");
    assert_string_equal(o.private_key, "/a/k");
    assert_int_equal(o.ttl_s, 5405);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_are_letters_and_parse_back),
        cmocka_unit_test(what_is_no_token_does_not_parse),
        cmocka_unit_test(a_token_lives_from_its_last_use),
        cmocka_unit_test(a_full_table_forgets_what_ends_first),
        cmocka_unit_test(base64_is_taken_strictly),
        cmocka_unit_test(the_flag_is_understood_or_explained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
