/* SPDX-License-Identifier: Apache-2.0 */
/* read.c: the bytes of certificates and keys, and a hash that tells whether they have changed.
 *
 * Happy path   read each file whole; hash what was read, with its size before it.
 * Can fail     OAK_ENOENT, OAK_EPERM, OAK_EIO, OAK_ELIMIT, OAK_ENOMEM; the errbuf names the file.
 * Invariants   what was read is overwritten before its memory is given back.
 * Thread       any that may block. OpenSSL reads the files: this room calls no system.
 */
#include <errno.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "tls/internal.h"

#define STEP_BYTES ((size_t)16 * 1024)

static int error_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return OAK_ENOENT;
    case EACCES:
    case EPERM:
        return OAK_EPERM;
    case ENOMEM:
        return OAK_ENOMEM;
    default:
        return OAK_EIO;
    }
}

static int file_fail(const char *path, struct oak_errbuf *e)
{
    char text[TLS_REASON_BYTES];
    unsigned long code = ERR_peek_error(); /* the first: the system's */
    int number = ERR_SYSTEM_ERROR(code) ? ERR_GET_REASON(code) : 0;
    int error = oak_fail(e, error_of(number), "%.300s: %s", path,
                         number != 0 ? strerror(number) : tls__openssl_text(text, sizeof(text)));
    ERR_clear_error();
    return error;
}

static int file_read_open(BIO *file, const char *path, struct oak_buf *out, struct oak_errbuf *e)
{
    for (;;) {
        int error = oak_buf_reserve(out, STEP_BYTES);
        if (error != 0) {
            return error;
        }
        size_t got = 0;
        int rc = BIO_read_ex(file, out->data + out->size, STEP_BYTES, &got);
        out->size += got;
        if (rc != 1 && ERR_peek_error() != 0) {
            return file_fail(path, e);
        }
        if (rc != 1 || got == 0) {
            return 0;
        }
        if (out->size > OAK_TLS_FILE_BYTES_MAX) {
            return oak_fail(e, OAK_ELIMIT, "%.300s: more than %zu MiB", path,
                            OAK_TLS_FILE_BYTES_MAX / OAK_MIB);
        }
    }
}

static int file_read(const char *path, struct oak_buf *out, struct oak_errbuf *e)
{
    ERR_clear_error();
    BIO *file = BIO_new_file(path, "rb");
    if (file == NULL) {
        return file_fail(path, e);
    }
    int error = file_read_open(file, path, out, e);
    BIO_free(file);
    return error;
}

static int pem_read(const struct oak_tls_pem *pem, EVP_MD_CTX *hash, struct oak_buf *out,
                    struct oak_errbuf *e)
{
    int error = 0;
    if (pem->file != NULL) {
        error = file_read(pem->file, out, e);
    } else {
        error = oak_buf_append(out, pem->bytes.data, pem->bytes.size);
    }
    if (error != 0) {
        return error;
    }
    uint8_t size[8];
    oak_put_u64(size, out->size);
    bool hashed = EVP_DigestUpdate(hash, size, sizeof(size)) == 1 &&
                  (out->size == 0 || EVP_DigestUpdate(hash, out->data, out->size) == 1);
    return hashed ? 0 : OAK_ENOMEM;
}

int tls__read(const struct oak_tls_material *m, struct tls_read *out, struct oak_errbuf *e)
{
    *out = (struct tls_read){0};
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    bool ready = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
    int error = ready ? 0 : OAK_ENOMEM;
    error = error != 0 ? error : pem_read(&m->certificate, hash, &out->certificate, e);
    error = error != 0 ? error : pem_read(&m->key, hash, &out->key, e);
    error = error != 0 ? error : pem_read(&m->ca, hash, &out->ca, e);
    error = error != 0 ? error : pem_read(&m->crl, hash, &out->crl, e);
    if (error == 0 && EVP_DigestFinal_ex(hash, out->hash, NULL) != 1) {
        error = OAK_ENOMEM;
    }
    EVP_MD_CTX_free(hash);
    if (error != 0) {
        tls__read_fini(out);
    }
    return error;
}

static void overwrite(struct oak_buf *b)
{
    if (b->capacity > 0) {
        OPENSSL_cleanse(b->data, b->capacity);
    }
    oak_buf_fini(b);
}

void tls__read_fini(struct tls_read *read)
{
    overwrite(&read->certificate);
    overwrite(&read->key);
    overwrite(&read->ca);
    overwrite(&read->crl);
}
