/* SPDX-License-Identifier: Apache-2.0 */
/* password.c: bcrypt, by the C library's crypt.
 *
 * bcrypt reads 72 bytes of a password. One that is longer is refused: cut, two that differ behind
 * would be the same. Hashes of etcd ("$2a$") are checked too.
 *
 * Can fail     OAK_ENOMEM: the 32 KiB that crypt works in.
 * Invariants   what crypt has worked in is wiped: it holds what was made of the password. How long
 *              a comparison takes does not tell where two hashes differ.
 * Thread       any.
 */
#include "password/password.h"

#include <crypt.h>
#include <stdlib.h>

#define HEAD_BYTES (sizeof("$2b$10$") - 1)

static void work_free(struct crypt_data *work)
{
    if (work != NULL) {
        explicit_bzero(work, sizeof(*work));
    }
    free(work);
}

int oak_password_hash(const char *password, unsigned cost,
                      const uint8_t salt[OAK_PASSWORD_SALT_BYTES],
                      char out[OAK_PASSWORD_HASH_BYTES])
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (strlen(password) > OAK_AUTH_PASSWORD_BYTES_MAX) {
        return OAK_EPASSWORDTOOLONG;
    }
    if (cost < OAK_PASSWORD_COST_MIN || cost > OAK_PASSWORD_COST_MAX ||
        crypt_gensalt_rn("$2b$", cost, (const char *)salt, OAK_PASSWORD_SALT_BYTES, setting,
                         (int)sizeof(setting)) == NULL) {
        return OAK_EINVAL;
    }
    struct crypt_data *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return OAK_ENOMEM;
    }
    const char *hash = crypt_rn(password, setting, work, (int)sizeof(*work));
    size_t size = hash != NULL ? strlen(hash) : 0;
    int error = size + 1 == OAK_PASSWORD_HASH_BYTES ? 0 : OAK_ENOMEM;
    if (error == 0) {
        memcpy(out, hash, size + 1);
    }
    work_free(work);
    return error;
}

bool oak_password_is_hash(struct oak_bytes text)
{
    const uint8_t *t = text.data;
    if (text.size + 1 != OAK_PASSWORD_HASH_BYTES || t[0] != '$' || t[1] != '2' ||
        (t[2] != 'a' && t[2] != 'b' && t[2] != 'y') || t[3] != '$' || t[4] < '0' || t[4] > '3' ||
        t[5] < '0' || t[5] > '9' || t[6] != '$') {
        return false;
    }
    unsigned cost = (unsigned)(t[4] - '0') * 10 + (unsigned)(t[5] - '0');
    for (size_t i = HEAD_BYTES; i < text.size; i++) {
        bool letter = (t[i] >= 'a' && t[i] <= 'z') || (t[i] >= 'A' && t[i] <= 'Z');
        if (!letter && (t[i] < '.' || t[i] > '9')) {
            return false;
        }
    }
    return cost >= OAK_PASSWORD_COST_MIN && cost <= OAK_PASSWORD_COST_MAX;
}

/* As long for hashes that differ as for those that don't. */
static bool same(const uint8_t *a, const uint8_t *b, size_t size)
{
    volatile uint8_t differ = 0;
    for (size_t i = 0; i < size; i++) {
        differ |= (uint8_t)(a[i] ^ b[i]);
    }
    return differ == 0;
}

int oak_password_check(const char *password, struct oak_bytes hash)
{
    char setting[OAK_PASSWORD_HASH_BYTES];
    if (!oak_password_is_hash(hash) || strlen(password) > OAK_AUTH_PASSWORD_BYTES_MAX) {
        return OAK_EAUTHFAILED;
    }
    memcpy(setting, hash.data, hash.size);
    setting[hash.size] = '\0';
    struct crypt_data *work = calloc(1, sizeof(*work));
    if (work == NULL) {
        return OAK_ENOMEM;
    }
    const char *made = crypt_rn(password, setting, work, (int)sizeof(*work));
    bool right = made != NULL && strlen(made) == hash.size &&
                 same((const uint8_t *)made, hash.data, hash.size);
    work_free(work);
    return right ? 0 : OAK_EAUTHFAILED;
}
