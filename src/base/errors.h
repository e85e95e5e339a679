/* SPDX-License-Identifier: Apache-2.0 */
/* errors.h: the classes of the error codes of common.h, and how a failure is told.
 *
 * Three kinds of failure, three answers: our own bug is an assertion (assert.h); the world
 * (disk full, peer gone, bad request) is a code, handled and tested; damage has codes of its own
 * and poisons the room that met it. errno is translated in `os` and goes no higher.
 */
#ifndef OAK_BASE_ERRORS_H
#define OAK_BASE_ERRORS_H

#include "oakum/common.h"

#include "base/compiler.h"

enum oak_error_class {
    OAK_CLASS_RETRY,
    OAK_CLASS_CALLER,
    OAK_CLASS_LIMIT,
    OAK_CLASS_CORRUPT,
    OAK_CLASS_FATAL,
};

enum oak_error_class oak_error_class_of(int error);

/* Fill `e` (may be NULL) and return `error`, so that a caller can write
 * `return oak_fail(e, OAK_EINVAL, "...", ...)`. */
int oak_fail(struct oak_errbuf *e, int error, const char *format, ...) OAK_PRINTF(3, 4);
/* Put "what: " before the text that is already in `e`. Returns `error`. */
int oak_fail_in(struct oak_errbuf *e, int error, const char *what);

#endif
