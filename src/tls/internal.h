/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of `tls` share. */
#ifndef OAK_TLS_INTERNAL_H
#define OAK_TLS_INTERNAL_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "oakum/tls.h"
#include "port/port.h"

#define TLS_SECOND_NS ((uint64_t)1000 * 1000 * 1000)
#define TLS_HASH_SIZE 32 /* SHA-256 */
/* A name of a host has 253 bytes at the most; with a port, as an address. */
#define TLS_NAME_BYTES 280
/* What a reason may say. */
#define TLS_REASON_BYTES 256
/* Clear text is handed over in pieces of this size, and taken from a writer in pieces of it: four
 * records. */
#define TLS_PLAIN_BYTES (64 * OAK_KIB)
/* Messages of the handshake protocol that a peer may send after its handshake (key updates,
 * tickets, requests to renegotiate), before any data and for each piece of data. A peer updates its
 * keys once in many GiB. */
#define TLS_POST_MESSAGES_MAX   32
#define TLS_POST_MESSAGES_EVERY OAK_MIB

/* -- credentials.c ----------------------------------------------------------------------------- */

/* What was read from the material, ready for handshakes. Immutable. */
struct tls_loaded {
    SSL_CTX *ctx;
    struct oak_tls_expiry expiry;
};

struct oak_tls {
    atomic_int refs;
    /* Immutable from here ... */
    struct oak_arena memory; /* of the copies below */
    struct oak_tls_options options;
    struct oak_bytes alpn; /* `protocols` as they stand in a message */
    const char *ciphers;   /* OpenSSL's lists: of 1.2, and of 1.3; NULL: its own */
    const char *suites;
    bool http1; /* "http/1.1" is among `protocols` */
    BIO_METHOD *bio;
    /* ... to here. */
    CRYPTO_RWLOCK *load_lock; /* held while files are read: one at a time; before `lock` */
    struct oak_tls_material material;
    uint8_t tried[TLS_HASH_SIZE]; /* of what was read last, with success or without */
    CRYPTO_RWLOCK *lock;          /* protects `loaded` alone, and is never held for long */
    struct tls_loaded loaded;
    atomic_uint_least64_t handshakes;
    atomic_uint_least64_t failed;
    atomic_uint_least64_t reloads;
    atomic_uint_least64_t reloads_failed;
};

/* A new connection by what is loaded now; NULL without memory. */
SSL *tls__ssl_new(struct oak_tls *tls);

/* -- options.c --------------------------------------------------------------------------------- */
/* Check and copy the options into `tls`. */
int tls__options_take(struct oak_tls *tls, const struct oak_tls_options *options,
                      struct oak_errbuf *e);
/* Is it there at all? */
bool tls__pem_given(const struct oak_tls_pem *pem);
/* Is all there that these options need, and nothing twice? */
int tls__material_check(const struct oak_tls_options *o, const struct oak_tls_material *material,
                        struct oak_errbuf *e);
/* Copies with the bytes on the heap, which hold secrets; fini overwrites them. */
int tls__material_copy(struct oak_tls_material *to, const struct oak_tls_material *from);
void tls__material_fini(struct oak_tls_material *material);

/* -- read.c ------------------------------------------------------------------------------------ */

/* The bytes of the material, in memory; fini overwrites them. */
struct tls_read {
    struct oak_buf certificate;
    struct oak_buf key;
    struct oak_buf ca;
    struct oak_buf crl;
    uint8_t hash[TLS_HASH_SIZE];
};
int tls__read(const struct oak_tls_material *material, struct tls_read *out, struct oak_errbuf *e);
void tls__read_fini(struct tls_read *read);

/* -- load.c ------------------------------------------------------------------------------------ */
int tls__load(struct oak_tls *tls, const struct oak_tls_material *material,
              const struct tls_read *read, struct tls_loaded *out, struct oak_errbuf *e);

/* -- protocols.c ------------------------------------------------------------------------------- */
bool tls__protocols_setup(struct oak_tls *tls, SSL_CTX *ctx);
/* Have the two agreed, or is it one that is spoken by those who don't ask? */
bool tls__protocol_agreed(const struct oak_tls *tls, const SSL *ssl);

/* -- verify.c ---------------------------------------------------------------------------------- */
/* How certificates of peers are verified, for all connections of `ctx`. */
void tls__verify_setup(struct oak_tls *tls, SSL_CTX *ctx, bool crl);
/* The name that the server of this connection must prove, and the time by which certificates are
 * judged. OAK_EINVAL when it is no name. */
int tls__verify_name(SSL *ssl, const char *name);
void tls__verify_time(SSL *ssl, uint64_t wall_ns);
/* The host of an address; "localhost" for a path. False when it has none. */
bool tls__host_of(const char *address, char *out, size_t size);

/* -- reason.c ---------------------------------------------------------------------------------- */
/* The newest error that OpenSSL has noted, as a person reads it. */
const char *tls__openssl_text(char *out, size_t size);
/* Why the last step of a connection failed. */
void tls__reason(const SSL *ssl, char *out, size_t size);

/* -- identity.c -------------------------------------------------------------------------------- */
/* The subject's last common name in UTF-8, for OPENSSL_free; NULL when it has none. */
unsigned char *tls__common_name(const X509 *cert, size_t *size);
/* What the peer's certificate says, in one block for free(); *out is NULL when the peer has shown
 * none or it was not verified. OAK_ENOMEM. */
int tls__identity_new(const struct oak_tls *tls, const SSL *ssl, struct oak_identity **out);

/* -- bio.c ------------------------------------------------------------------------------------- */
struct tls_stream;
/* OpenSSL's input and output are bytes that are there, not a socket. NULL without memory. */
BIO_METHOD *tls__bio_method(void);
BIO *tls__bio_new(BIO_METHOD *method, struct tls_stream *s);

/* -- stream.c ---------------------------------------------------------------------------------- */
enum tls_state {
    TLS_HANDSHAKE, /* the owner has not got it yet */
    TLS_OPEN,
    TLS_ENDING, /* nothing comes or goes any more; the stream below is closing */
};

struct tls_stream {
    struct oak_stream base;
    struct oak_list link; /* in net->handshakes, while that of a server */
    struct oak_tls_net *net;
    struct oak_stream *under;
    SSL *ssl;
    enum tls_state state;
    struct oak_stream_handler handler;
    struct oak_bytes in;  /* what the stream below brought, while it is being read */
    struct oak_buf held;  /* what of that was not read, because we are paused */
    struct oak_timer due; /* the handshake's end */
    struct oak_after resume;
    /* How the handshake ends: an accepted stream goes to its listener, another one to `done`. */
    struct tls_listener *listener;
    void (*done)(void *arg, int error, struct oak_stream *s);
    void *arg;
    struct oak_identity *identity;
    struct oak_process process; /* of the stream below */
    bool process_known;
    uint32_t post_left; /* messages that may still come after the handshake */
    size_t post_bytes;  /* data since the last one was added */
    int error;          /* why it ends, for `closed` */
    bool handled;
    bool paused;
    bool flooded; /* `post_left` was used up */
    bool resuming;
    char peer[TLS_NAME_BYTES];
};

/* Take over `under`, and begin the handshake. NULL: no memory, or (client) `name` is none; then the
 * stream below is still the caller's. */
struct tls_stream *tls__stream_new(struct oak_tls_net *net, struct oak_stream *under,
                                   const char *name, uint64_t due_ns);
/* A client's first message: once `done` is set. */
void tls__stream_begin(struct tls_stream *s);
/* End a handshake: the peer is told nothing; `done` is called (a client's), `error` reported. */
void tls__stream_fail(struct tls_stream *s, int error, const char *reason);

/* -- net.c ------------------------------------------------------------------------------------- */
struct oak_tls_net {
    int refs;
    struct oak_tls *tls;
    const struct oak_loop *loop;
    struct oak_net under;
    struct oak_net port;
    struct oak_list handshakes; /* of a server, oldest first */
    size_t handshake_count;
    struct oak_list listeners;
    /* Shared by all streams: what is in them is gone before a callback is made. */
    uint8_t *plain;
    struct oak_buf cipher;
    char server_name[TLS_NAME_BYTES]; /* "" : that of the options, or of the address */
};

struct tls_listener {
    struct oak_list link; /* in net->listeners */
    struct oak_tls_net *net;
    struct oak_listener *under;
    void (*accepted)(void *arg, struct oak_stream *s);
    void *arg;
};

void tls__net_ref(struct oak_tls_net *net);
void tls__net_unref(struct oak_tls_net *net);
void tls__net_report(struct oak_tls_net *net, const char *peer, int error, const char *text);
/* A server's handshake has ended. */
void tls__net_handshake_over(struct tls_stream *s);

#endif
