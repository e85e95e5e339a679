/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_test.c: web tokens by each method: taken back, and refused when anything about them is wrong.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "token/test_keys.h"

#define SECOND UINT64_C(1000000000)
#define NOW    (UINT64_C(1800000000) * SECOND)

static const char *const names[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
                                    "ES384", "ES512", "HS256", "HS384", "HS512", "EdDSA"};

static const struct oak_authz_who ann = {.user = {.data = (const uint8_t *)"ann", .size = 3},
                                         .revision = 7};

static struct oak_jwt *jwt_new(const char *method, struct oak_bytes public_key,
                               struct oak_bytes private_key)
{
    struct oak_token_options options = {.jwt = true, .ttl_s = 60};
    struct oak_jwt *j = NULL;
    struct oak_errbuf e = {.text = ""};
    (void)snprintf(options.method, sizeof(options.method), "%s", method);
    int error = oak_jwt_new(&options, public_key, private_key, &j, &e);
    if (error != 0) {
        assert_int_equal(error, OAK_EINVAL);
        assert_true(e.text[0] != '\0');
        return NULL;
    }
    return j;
}

static int verify(const struct oak_jwt *j, struct oak_bytes token, uint64_t at)
{
    uint8_t name[OAK_AUTH_NAME_BYTES_MAX];
    struct oak_authz_who who = {.revision = 0};
    int error = oak_jwt_verify(j, token, at, name, &who);
    if (error == 0) {
        assert_true(oak_bytes_eq(who.user, ann.user));
        assert_int_equal(who.revision, 7);
    } else {
        assert_int_equal(error, OAK_EINVALIDAUTHTOKEN);
        assert_int_equal(who.user.size, 0);
    }
    return error;
}

static void each_method_takes_its_own_tokens_and_no_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        const struct token_method *method = token__method(names[i]);
        struct test_keys keys;
        struct test_keys others;
        test_keys_make(&keys, method);
        test_keys_make(&others, method);
        if (method->family == TOKEN_HS) {
            others.private_key.data[0] ^= 1;
        }
        struct oak_jwt *j = jwt_new(names[i], oak_bytes(NULL, 0), oak_buf_bytes(&keys.private_key));
        struct oak_jwt *other =
            jwt_new(names[i], oak_bytes(NULL, 0), oak_buf_bytes(&others.private_key));
        assert_true(j != NULL && other != NULL);
        struct oak_buf token = {0};
        assert_true(oak_jwt_signs(j));
        assert_int_equal(oak_jwt_sign(j, &ann, NOW, &token), 0);
        assert_in_range(token.size, 100, OAK_AUTH_TOKEN_BYTES_MAX);
        assert_int_equal(verify(j, oak_buf_bytes(&token), NOW), 0);
        assert_int_equal(verify(j, oak_buf_bytes(&token), NOW + 59 * SECOND), 0);
        assert_int_equal(verify(j, oak_buf_bytes(&token), NOW + 60 * SECOND),
                         OAK_EINVALIDAUTHTOKEN);
        assert_int_equal(verify(other, oak_buf_bytes(&token), NOW), OAK_EINVALIDAUTHTOKEN);
        if (method->family != TOKEN_HS) {
            /* With the public key alone tokens are taken, and none are made. */
            struct oak_jwt *reader =
                jwt_new(names[i], oak_buf_bytes(&keys.public_key), oak_bytes(NULL, 0));
            struct oak_buf none = {0};
            assert_non_null(reader);
            assert_false(oak_jwt_signs(reader));
            assert_int_equal(oak_jwt_sign(reader, &ann, NOW, &none), OAK_EUNIMPLEMENTED);
            assert_int_equal(verify(reader, oak_buf_bytes(&token), NOW), 0);
            oak_jwt_free(reader);
            assert_null(jwt_new(names[i], oak_buf_bytes(&others.public_key),
                                oak_buf_bytes(&keys.private_key)));
        }
        /* Each letter counts; the last ones of a part may have bits that say nothing, which are
         * refused too. */
        for (size_t k = 0; k < token.size; k += 1 + token.size / 64) {
            uint8_t kept = token.data[k];
            token.data[k] = kept == 'A' ? 'B' : 'A';
            assert_int_equal(verify(j, oak_buf_bytes(&token), NOW), OAK_EINVALIDAUTHTOKEN);
            token.data[k] = kept;
        }
        for (size_t k = 0; k < token.size; k += 1 + token.size / 64) {
            assert_int_equal(verify(j, oak_bytes(token.data, k), NOW), OAK_EINVALIDAUTHTOKEN);
        }
        oak_buf_fini(&token);
        oak_jwt_free(j);
        oak_jwt_free(other);
        test_keys_fini(&keys);
        test_keys_fini(&others);
    }
}

static void keys_of_another_kind_are_refused(void **state)
{
    (void)state;
    struct test_keys rsa, p256, ed;
    test_keys_make(&rsa, token__method("RS256"));
    test_keys_make(&p256, token__method("ES256"));
    test_keys_make(&ed, token__method("EdDSA"));
    const struct oak_bytes none = {0};
    assert_null(jwt_new("RS256", none, oak_buf_bytes(&p256.private_key)));
    assert_null(jwt_new("PS256", none, oak_buf_bytes(&ed.private_key)));
    assert_null(jwt_new("ES256", none, oak_buf_bytes(&rsa.private_key)));
    assert_null(jwt_new("ES384", none, oak_buf_bytes(&p256.private_key)));
    assert_null(jwt_new("EdDSA", none, oak_buf_bytes(&p256.private_key)));
    assert_null(jwt_new("RS256", none, none));
    assert_null(jwt_new("RS256", none, oak_bytes_str("no key")));
    assert_null(jwt_new("RS256", oak_bytes_str("no key"), none));
    assert_null(jwt_new("HS256", none, oak_bytes_str("too short to be a secret")));
    test_keys_fini(&rsa);
    test_keys_fini(&p256);
    test_keys_fini(&ed);
}

/* -- claims, by a secret that the test knows --------------------------------------------------- */

static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/* A token of these parts, signed as it should be. */
static void token_of(const char *header, const char *claims, struct oak_buf *out)
{
    struct token_keys keys;
    uint8_t signature[TOKEN_SIGNATURE_BYTES];
    size_t size = 0;
    assert_int_equal(token__keys_load(&keys, token__method("HS256"), oak_bytes(NULL, 0),
                                      oak_bytes_str(secret), NULL),
                     0);
    oak_buf_clear(out);
    assert_int_equal(token__base64_put(out, oak_bytes_str(header)), 0);
    assert_int_equal(oak_buf_append(out, ".", 1), 0);
    assert_int_equal(token__base64_put(out, oak_bytes_str(claims)), 0);
    assert_int_equal(token__sign(&keys, oak_buf_bytes(out), signature, &size), 0);
    assert_int_equal(oak_buf_append(out, ".", 1), 0);
    assert_int_equal(token__base64_put(out, oak_bytes(signature, size)), 0);
    token__keys_fini(&keys);
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define GOOD   "{\"username\":\"ann\",\"revision\":7,\"exp\":1800000010}"

static void signed_or_not_what_is_wrong_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *claims;
        bool good;
    } rows[] = {
        {HEADER, GOOD, true},
        {"{\"alg\":\"HS256\"}", GOOD, true},
        {HEADER, "{\"username\":\"ann\",\"revision\":7.0,\"exp\":1800000010.5,\"x\":[]}", true},
        {HEADER, "{\"username\":\"ann\",\"revision\":7,\"exp\":1800000010,\"nbf\":1800000000}",
         true},
        {HEADER, "{\"username\":\"ann\",\"revision\":7,\"exp\":1800000010,\"nbf\":1800000001}",
         false},
        {HEADER, "{\"username\":\"ann\",\"revision\":7,\"exp\":1800000010,\"nbf\":\"0\"}", false},
        {"{\"alg\":\"none\"}", GOOD, false},
        {"{\"alg\":\"RS256\"}", GOOD, false},
        {"{\"alg\":\"hs256\"}", GOOD, false},
        {"{\"alg\":256}", GOOD, false},
        {"{}", GOOD, false},
        {"[]", GOOD, false},
        {"", GOOD, false},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", GOOD, false},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", GOOD, false},
        {HEADER, "{\"username\":\"ann\",\"revision\":7,\"exp\":1800000000}", false},
        {HEADER, "{\"username\":\"ann\",\"revision\":7,\"exp\":\"1800000010\"}", false},
        {HEADER, "{\"username\":\"ann\",\"revision\":7}", false},
        {HEADER, "{\"username\":\"ann\",\"exp\":1800000010}", false},
        {HEADER, "{\"username\":\"ann\",\"revision\":-1,\"exp\":1800000010}", false},
        {HEADER, "{\"username\":\"ann\",\"revision\":1e300,\"exp\":1800000010}", false},
        {HEADER, "{\"username\":\"ann\",\"revision\":\"7\",\"exp\":1800000010}", false},
        {HEADER, "{\"revision\":7,\"exp\":1800000010}", false},
        {HEADER, "{\"username\":\"\",\"revision\":7,\"exp\":1800000010}", false},
        {HEADER, "{\"username\":7,\"revision\":7,\"exp\":1800000010}", false},
        {HEADER, "null", false},
        {HEADER, "", false},
        {HEADER, "{\"username\":\"ann\"", false},
    };
    struct oak_jwt *j = jwt_new("HS256", oak_bytes(NULL, 0), oak_bytes_str(secret));
    struct oak_buf token = {0};
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        token_of(rows[i].header, rows[i].claims, &token);
        int expected = rows[i].good ? 0 : OAK_EINVALIDAUTHTOKEN;
        if (verify(j, oak_buf_bytes(&token), NOW) != expected) {
            fail_msg("row %zu: %s %s", i, rows[i].header, rows[i].claims);
        }
    }
    oak_buf_fini(&token);
    oak_jwt_free(j);
}

static void a_public_key_is_no_secret(void **state)
{
    (void)state;
    /* One who has the public key signs with it as if it were a secret, and says so. */
    struct test_keys keys;
    test_keys_make(&keys, token__method("RS256"));
    struct oak_jwt *j = jwt_new("RS256", oak_buf_bytes(&keys.public_key), oak_bytes(NULL, 0));
    struct oak_jwt *forger = jwt_new("HS256", oak_bytes(NULL, 0), oak_buf_bytes(&keys.public_key));
    assert_true(j != NULL && forger != NULL);
    struct oak_buf token = {0};
    assert_int_equal(oak_jwt_sign(forger, &ann, NOW, &token), 0);
    assert_int_equal(verify(j, oak_buf_bytes(&token), NOW), OAK_EINVALIDAUTHTOKEN);
    oak_buf_fini(&token);
    oak_jwt_free(j);
    oak_jwt_free(forger);
    test_keys_fini(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_method_takes_its_own_tokens_and_no_others),
        cmocka_unit_test(keys_of_another_kind_are_refused),
        cmocka_unit_test(signed_or_not_what_is_wrong_is_refused),
        cmocka_unit_test(a_public_key_is_no_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
