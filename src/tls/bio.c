/* SPDX-License-Identifier: Apache-2.0 */
/* bio.c: OpenSSL's view of a stream: bytes that the loop brought, and a buffer that the loop will
 * send. Nothing blocks, and nothing is copied twice.
 *
 * Can fail     no memory for what is to be sent; a peer that floods (stream.c): both end the
 *              connection, because OpenSSL then sees an error that it can't try again.
 * Thread       the connection's loop.
 */
#include "tls/internal.h"

static int bio_read(BIO *bio, char *out, int size)
{
    struct tls_stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->flooded) {
        return -1;
    }
    if (s->in.size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = OAK_MIN((size_t)size, s->in.size);
    memcpy(out, s->in.data, take);
    s->in = oak_bytes(s->in.data + take, s->in.size - take);
    return (int)take;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct tls_stream *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return oak_buf_append(&s->net->cipher, data, (size_t)size) == 0 ? size : -1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio;
    (void)number;
    (void)p;
    return command == BIO_CTRL_FLUSH ? 1 : 0; /* it is sent when OpenSSL has come back */
}

static int bio_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

BIO_METHOD *tls__bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "oakum stream");
    if (m == NULL) {
        return NULL;
    }
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_ctrl(m, bio_ctrl);
    BIO_meth_set_create(m, bio_create);
    return m;
}

BIO *tls__bio_new(BIO_METHOD *method, struct tls_stream *s)
{
    BIO *bio = BIO_new(method);
    if (bio != NULL) {
        BIO_set_data(bio, s);
    }
    return bio;
}
