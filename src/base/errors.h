/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h: error codes (0 is success, the rest negative), their texts and gRPC statuses.
 *
 * Three kinds of failure, three answers: our own bug is an assertion (assert.h); the world
 * (disk full, peer gone, bad request) is a code, handled and tested; damage has codes of its own
 * and poisons the room that met it. errno is translated in `os` and goes no higher.
 */
#ifndef OAK_BASE_ERRORS_H
#define OAK_BASE_ERRORS_H

#include <stddef.h>

#include "base/compiler.h"

enum oak_error_place_ {
    OAK_PLACE_OK_ = 0,
#define X(name, class, grpc, text) OAK_PLACE_##name##_,
#include "base/errors.def"
#undef X
    OAK_PLACE_END_
};

enum oak_error {
    OAK_OK = 0,
#define X(name, class, grpc, text) OAK_##name = -OAK_PLACE_##name##_,
#include "base/errors.def"
#undef X
};

enum oak_error_class {
    OAK_CLASS_RETRY,
    OAK_CLASS_CALLER,
    OAK_CLASS_LIMIT,
    OAK_CLASS_CORRUPT,
    OAK_CLASS_FATAL,
};

/* The text of a code; "ok" for 0. Static memory. */
const char *oak_error_text(int error);
/* The code's name without prefix, for logs: "ENOSPC". */
const char *oak_error_name(int error);
/* The gRPC status code of an error; 0 for 0. */
int oak_error_grpc(int error);
enum oak_error_class oak_error_class_of(int error);

/* An explanation for a person, filled by set-up, configuration and command-line paths: it names
 * the file, flag or offset and says what to do. The hot path carries codes only. */
struct oak_errbuf {
    char text[512];
};

/* Fill `e` (may be NULL) and return `error`, so that a caller can write
 * `return oak_fail(e, OAK_EINVAL, "...", ...)`. */
int oak_fail(struct oak_errbuf *e, int error, const char *format, ...) OAK_PRINTF(3, 4);
/* Put "what: " before the text that is already in `e`. Returns `error`. */
int oak_fail_in(struct oak_errbuf *e, int error, const char *what);

#endif
