/* SPDX-License-Identifier: Apache-2.0 */
/* zip.h: whole messages made smaller and whole again, by zlib, under a limit.
 *
 * What comes from outside says nothing reliable of how large it becomes: unpacking stops at the
 * caller's limit, and memory grows with what has come out, never by what was promised.
 *
 * Errors: OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM. A failed function leaves `out` as it was.
 * Threads: one owner; any thread.
 */
#ifndef OAK_ZIP_ZIP_H
#define OAK_ZIP_ZIP_H

#include "base/base.h"

enum oak_zip_form {
    OAK_ZIP_GZIP, /* RFC 1952 */
    OAK_ZIP_ZLIB, /* RFC 1950: what HTTP and gRPC call "deflate" */
};
#define OAK_ZIP_FORMS 2

/* zlib's states, made when first needed and kept from message to message: 256 KiB for each form
 * that is packed, 40 KiB for unpacking. Zeroed is a valid one. */
struct oak_zip {
    void *packers[OAK_ZIP_FORMS];
    void *unpacker;
};

void oak_zip_fini(struct oak_zip *zip);
/* Append `raw`, packed. OAK_ELIMIT: that would not be smaller. OAK_ENOMEM. */
OAK_MUST_USE int oak_zip_pack(struct oak_zip *zip, enum oak_zip_form form, struct oak_bytes raw,
                              struct oak_buf *out);
/* Append what was packed, at most `limit` bytes of it. OAK_ELIMIT: it is more. OAK_EFORMAT:
 * damaged, cut off, of another form, or with something behind its end. OAK_ENOMEM. */
OAK_MUST_USE int oak_zip_unpack(struct oak_zip *zip, enum oak_zip_form form,
                                struct oak_bytes packed, size_t limit, struct oak_buf *out);

#endif
