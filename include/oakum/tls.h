/* SPDX-License-Identifier: Apache-2.0 */
/* tls.h: TLS for the streams of a network: credentials, and a decorator that encrypts a network.
 *
 *     struct oak_tls_options o = {.role = OAK_TLS_SERVER};
 *     o.material.certificate.file = "server.crt";
 *     o.material.key.file = "server.key";
 *     o.material.ca.file = "clients.crt";
 *     o.client_certificate = OAK_TLS_CLIENT_REQUIRED;
 *     struct oak_tls *tls;
 *     if (oak_tls_new(&o, &tls, &e) == 0) {
 *         oak_runtime_listen(rt, server, "0.0.0.0:2379", tls, &listener, &e); // runtime.h
 *
 * TLS 1.2 and 1.3 by OpenSSL; for 1.2 only ECDHE with AEAD ciphers unless told otherwise. Off for
 * good: renegotiation, compression, session tickets, resumption, early data. What is read from
 * files can be read again while connections live (oak_tls_reload).
 *
 * Errors of connections: OAK_ETLS (no handshake, or a broken record; `report` is told why),
 * OAK_ETRUNCATED (the peer's bytes ended without its saying so, close_notify: what came may be a
 * part), OAK_EDEADLINE (no handshake in time), and those of the network below.
 *
 * Threads: credentials may be shared by the loops of several threads, and loaded again from any; a
 * decorated network belongs to one loop.
 */
#ifndef OAKUM_TLS_H
#define OAKUM_TLS_H

#include "oakum/common.h"

#ifdef __cplusplus
extern "C" {
#endif

struct oak_loop;
struct oak_net;

/* -- credentials ------------------------------------------------------------------------------- */

enum oak_tls_role {
    OAK_TLS_CLIENT,
    OAK_TLS_SERVER,
};

/* What a server asks of its clients. */
enum oak_tls_client_certificate {
    OAK_TLS_CLIENT_NONE,     /* asks for none */
    OAK_TLS_CLIENT_IF_GIVEN, /* one that is given must be good */
    OAK_TLS_CLIENT_REQUIRED,
};

enum oak_tls_version {
    OAK_TLS_VERSION_ANY, /* as the least: 1.2; as the most: the newest */
    OAK_TLS_VERSION_1_2,
    OAK_TLS_VERSION_1_3,
};

/* PEM: the path of a file, which can be read again, or bytes, which are copied. */
struct oak_tls_pem {
    const char *file;
    struct oak_bytes bytes;
};

struct oak_tls_material {
    struct oak_tls_pem certificate; /* our own, with its intermediates behind it */
    struct oak_tls_pem key;         /* without a password */
    /* Whom to trust: any number of certificates, roots or not. None: a client trusts whom the
     * system trusts. */
    struct oak_tls_pem ca;
    struct oak_tls_pem crl; /* revocation lists (a file may also be DER) */
};

struct oak_tls_options {
    enum oak_tls_role role;
    struct oak_tls_material material;

    enum oak_tls_client_certificate client_certificate;
    /* A client's certificate, verified, must bear one of these common names, or be good for one of
     * these hosts (names or IP addresses; also those of a wildcard). Empty: any will do. */
    const char *const *allowed_common_names;
    size_t allowed_common_name_count;
    const char *const *allowed_hosts;
    size_t allowed_host_count;
    /* Without it, a certificate is refused when a list of its issuer names it. With it, also when
     * there is no list of its issuer, or only one past its time. */
    bool crl_strict;

    enum oak_tls_version version_min;
    enum oak_tls_version version_max;
    /* IANA's names (TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) or OpenSSL's. The suites of TLS 1.3
     * stay as they are unless one is named. */
    const char *const *cipher_suites;
    size_t cipher_suite_count;
    /* ALPN, the preferred one first; NULL: "h2" alone. A peer that speaks of no protocol is taken
     * if "http/1.1" is listed, which is what it will speak. */
    const char *const *protocols;
    size_t protocol_count;

    /* Client: the name or IP address that the server's certificate must be good for. NULL: the
     * host that is connected to, by the name that was looked up, if one was ("localhost" for
     * "unix:..."). */
    const char *server_name;
    /* Client: take any certificate. Whoever can reach the connection can read and change it; so
     * `report` must be there, and is told at each connection. */
    bool insecure_skip_verify;

    uint64_t handshake_ns; /* a peer's time for its handshake; 0: OAK_TLS_HANDSHAKE_MS_MAX */
    /* Server: handshakes under way at one time, in one network; one more ends the oldest. 0:
     * OAK_TLS_HANDSHAKES_MAX. */
    uint32_t handshakes_max;

    /* What went wrong with a peer ("certificate has expired"), for logs. `error` 0: a warning. May
     * be NULL. Called by the loop of the network; not to free anything from. */
    void (*report)(void *user, const char *peer, int error, const char *text);
    void *user;
};

struct oak_tls;
/* Options and bytes are copied; files are read (blocking), here and by reload. OAK_EINVAL (what is
 * in a file, or options that contradict each other), OAK_ENOENT, OAK_EPERM, OAK_EIO, OAK_ELIMIT (a
 * file over OAK_TLS_FILE_BYTES_MAX), OAK_ENOMEM; `e` (may be NULL) names the file and says what is
 * wrong with it. */
OAK_API OAK_MUST_USE int oak_tls_new(const struct oak_tls_options *options, struct oak_tls **out,
                                     struct oak_errbuf *e);
/* One more owner, who frees it too. Any thread. */
OAK_API struct oak_tls *oak_tls_ref(struct oak_tls *tls);
/* What was made with it keeps it until it has ended. NULL is fine. */
OAK_API void oak_tls_free(struct oak_tls *tls);

/* Read the files again. New handshakes go by what they say now; connections that are there stay. On
 * an error all stays as it was. Blocks for as long as small files and a key take, a millisecond: on
 * another thread than the loop's if that is too long. */
OAK_API OAK_MUST_USE int oak_tls_reload(struct oak_tls *tls, struct oak_errbuf *e);
/* The same if what the files say has changed since they were last read, with success or without:
 * the contents decide, not times. For a timer; runtime.h has one. */
OAK_API OAK_MUST_USE int oak_tls_reload_if_changed(struct oak_tls *tls, bool *changed,
                                                   struct oak_errbuf *e);
/* Go by other material from now on. On an error all stays as it was. */
OAK_API OAK_MUST_USE int
oak_tls_replace(struct oak_tls *tls, const struct oak_tls_material *material, struct oak_errbuf *e);

/* When what is in use ends, in seconds since 1970; 0: there is none. */
struct oak_tls_expiry {
    uint64_t certificate_s; /* ours, or an intermediate of it */
    uint64_t ca_s;          /* the first of those trusted that ends */
    uint64_t crl_s;         /* when the first list should have been renewed */
};
OAK_API void oak_tls_expiry(struct oak_tls *tls, struct oak_tls_expiry *out);

struct oak_tls_counts {
    uint64_t handshakes; /* that succeeded */
    uint64_t failed;     /* handshakes and connections that TLS broke off, of any reason */
    uint64_t reloads;    /* that changed something */
    uint64_t reloads_failed;
};
OAK_API void oak_tls_counts(struct oak_tls *tls, struct oak_tls_counts *out);

/* A certificate that is signed with its own key, and that key, both as PEM. */
struct oak_tls_self_signed {
    char *certificate;
    char *key;
};
/* Make them, for `seconds` from now, for these hosts (names or IP addresses) and both ends of TLS.
 * OAK_EINVAL, OAK_ENOMEM: then there is nothing to free. */
OAK_API OAK_MUST_USE int oak_tls_self_sign(const char *const *hosts, size_t count, uint64_t seconds,
                                           struct oak_tls_self_signed *out);
OAK_API void oak_tls_self_signed_fini(struct oak_tls_self_signed *made);

/* Is a certificate that was verified good for this host, a name or an IP address? False also when
 * it names no hosts at all: *names (may be NULL) tells whether it does. */
OAK_API bool oak_tls_identity_is_host(const struct oak_identity *identity, const char *host,
                                      bool *names);

/* -- an encrypted network ---------------------------------------------------------------------- */

/* Streams of `under` with TLS inside, as a network like any other. A server's listens: `accepted`
 * gets a stream once its handshake is done. A client's connects: `done` is called when the
 * handshake is done, within the time given to connect. What the peer's certificate says is the
 * stream's identity. A stream that is closed in order ends with close_notify, one that is closed at
 * once does not. */
struct oak_tls_net;

/* `under` NULL: the loop's own network. `server_name` (may be NULL) goes before that of the
 * options: for a client whose address is not its server's name. OAK_EINVAL, OAK_ENOMEM. */
OAK_API OAK_MUST_USE int oak_tls_net_new(struct oak_tls *tls, const struct oak_loop *loop,
                                         const struct oak_net *under, const char *server_name,
                                         struct oak_tls_net **out);
/* Closes its listeners. Streams and connects go on, and hold its memory until they end. */
OAK_API void oak_tls_net_free(struct oak_tls_net *net);
/* Valid until it is freed. */
OAK_API const struct oak_net *oak_tls_net_port(struct oak_tls_net *net);

#ifdef __cplusplus
}
#endif

#endif
