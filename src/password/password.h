/* SPDX-License-Identifier: Apache-2.0 */
/* password.h: passwords as bcrypt hashes, made and checked.
 *
 * Either takes as long as its cost says (10: some 60 ms), and so belongs on a worker.
 *
 * Threads: any.
 */
#ifndef OAK_PASSWORD_H
#define OAK_PASSWORD_H

#include "base/base.h"

/* "$2b$10$", 22 characters of salt, 31 of hash, and the ending NUL. */
#define OAK_PASSWORD_HASH_BYTES 61
#define OAK_PASSWORD_SALT_BYTES 16
#define OAK_PASSWORD_COST_MIN   4
#define OAK_PASSWORD_COST_MAX   31

/* `salt` is unpredictable. OAK_EPASSWORDTOOLONG, OAK_ENOMEM, OAK_EINVAL (the cost). */
OAK_MUST_USE int oak_password_hash(const char *password, unsigned cost,
                                   const uint8_t salt[OAK_PASSWORD_SALT_BYTES],
                                   char out[OAK_PASSWORD_HASH_BYTES]);
/* Is it the password of this hash? 0, OAK_EAUTHFAILED, OAK_ENOMEM. A hash that is none fails as a
 * wrong password does. */
OAK_MUST_USE int oak_password_check(const char *password, struct oak_bytes hash);
/* A bcrypt hash by its form: what oak_password_check can do something with. */
bool oak_password_is_hash(struct oak_bytes text);

#endif
