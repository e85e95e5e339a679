/* SPDX-License-Identifier: Apache-2.0 */
/* common.h: what the headers of Oakum's libraries share: byte strings, errors, and what a peer
 * has proved to be. */
#ifndef OAKUM_COMMON_H
#define OAKUM_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define OAK_API          __attribute__((visibility("default")))
#define OAK_MUST_USE     __attribute__((warn_unused_result))
#define OAK_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define OAK_API
#define OAK_MUST_USE
#define OAK_PRINTF(f, a)
#endif

/* -- byte strings ------------------------------------------------------------------------------ */

/* A borrowed byte string. `data` may be NULL only when size is 0. */
struct oak_bytes {
    const uint8_t *data;
    size_t size;
};

static inline struct oak_bytes oak_bytes(const void *data, size_t size)
{
    struct oak_bytes b;
    b.data = (const uint8_t *)data;
    b.size = size;
    return b;
}

static inline struct oak_bytes oak_bytes_str(const char *text)
{
    return oak_bytes(text, strlen(text));
}

/* Order of unsigned bytes, a prefix before what it starts: <0, 0, >0. */
static inline int oak_bytes_cmp(struct oak_bytes a, struct oak_bytes b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool oak_bytes_eq(struct oak_bytes a, struct oak_bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* -- errors ------------------------------------------------------------------------------------ */

enum oak_error_place_ {
    OAK_PLACE_OK_ = 0,
#define X(name, class, grpc, text) OAK_PLACE_##name##_,
#include "oakum/errors.def"
#undef X
    OAK_PLACE_END_
};

/* 0 is success, the rest negative. errors.def has a line for each. */
enum oak_error {
    OAK_OK = 0,
#define X(name, class, grpc, text) OAK_##name = -OAK_PLACE_##name##_,
#include "oakum/errors.def"
#undef X
};

/* The text of a code; "ok" for 0. Static memory. */
OAK_API const char *oak_error_text(int error);
/* The code's name without prefix, for logs: "ENOSPC". */
OAK_API const char *oak_error_name(int error);
/* The gRPC status code of an error; 0 for 0. */
OAK_API int oak_error_grpc(int error);

/* An explanation for a person, filled by set-up, configuration and command-line paths: it names
 * the file, flag or offset and says what to do. The hot path carries codes only. */
struct oak_errbuf {
    char text[512];
};

/* -- identity ---------------------------------------------------------------------------------- */

/* What the other end of a connection has proved to be, by a certificate that was verified. */
struct oak_identity {
    const char *common_name;      /* of the subject; "" when it has none */
    const char *const *dns_names; /* subject alternative names */
    size_t dns_name_count;
    const char *const *uris;
    size_t uri_count;
    struct oak_bytes certificate; /* DER */
};

/* The process at the other end of a unix socket, as the kernel knows it: who connected, or who
 * listened there. It may have passed the socket on since, or have ended. */
struct oak_process {
    int32_t pid; /* 0: not visible from here, as of another container */
    uint32_t uid;
    uint32_t gid;
};

#ifdef __cplusplus
}
#endif

#endif
