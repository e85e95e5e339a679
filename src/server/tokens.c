/* SPDX-License-Identifier: Apache-2.0 */
/* tokens.c: what --auth-token says, and its keys, read once at the start. */
#include "server/internal.h"

static int file_read(const struct oak_disk *disk, const char *path, struct oak_buf *out,
                     struct oak_errbuf *e)
{
    struct oak_file *file = NULL;
    uint64_t size = 0;
    size_t got = 0;
    if (path[0] == '\0') {
        return 0;
    }
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error != 0) {
        return oak_fail(e, error, "--auth-token: %s: %s", path, oak_error_text(error));
    }
    error = disk->size(disk->user, file, &size);
    if (error == 0 && size > OAK_TLS_FILE_BYTES_MAX) {
        error = OAK_ELIMIT;
    }
    if (error == 0) {
        error = oak_buf_reserve(out, (size_t)size + 1);
    }
    if (error == 0) {
        error = disk->read(disk->user, file, 0, out->data, (size_t)size, &got);
        out->size = got;
    }
    disk->close(disk->user, file);
    return error == 0 ? 0 : oak_fail(e, error, "--auth-token: %s: %s", path, oak_error_text(error));
}

/* What was read of a key. */
static void wipe(struct oak_buf *key)
{
    if (key->data != NULL) {
        explicit_bzero(key->data, key->capacity);
    }
    oak_buf_fini(key);
}

int server__tokens_make(struct server *s, struct oak_errbuf *e)
{
    struct oak_token_options options;
    struct oak_buf public_key = {0};
    struct oak_buf private_key = {0};
    int error = oak_token_options_parse(s->config.auth_token, &options, e);
    if (error != 0) {
        return oak_fail_in(e, error, "--auth-token");
    }
    if (!options.jwt) {
        return 0;
    }
    error = file_read(s->disk, options.public_key, &public_key, e);
    if (error == 0) {
        error = file_read(s->disk, options.private_key, &private_key, e);
    }
    if (error == 0) {
        error = oak_jwt_new(&options, oak_buf_bytes(&public_key), oak_buf_bytes(&private_key),
                            &s->jwt, e);
        error = error != 0 ? oak_fail_in(e, error, "--auth-token") : 0;
    }
    wipe(&public_key);
    wipe(&private_key);
    return error;
}
