/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: what a user asks for: checked, and copied, for a pair of credentials that outlives
 * what it was made from.
 *
 * Happy path   1 check what contradicts itself
 *              2 copy names into the arena
 *              3 sort suites of TLS 1.3 from those of 1.2
 * Can fail     OAK_EINVAL, with the reason; OAK_ENOMEM.
 * Invariants   nothing in `tls->options` points at what the user gave; its material is empty,
 *              because that can be replaced, and lies apart.
 * Thread       the maker's.
 */
#include <stdlib.h>

#include <openssl/err.h>

#include "tls/internal.h"

/* Perfect forward secrecy and authenticated encryption, by the fastest first: what browsers and Go
 * have of TLS 1.2 since they dropped CBC. */
#define CIPHERS                                                  \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* -- material ---------------------------------------------------------------------------------- */

bool tls__pem_given(const struct oak_tls_pem *pem)
{
    return pem->file != NULL || pem->bytes.size > 0;
}

static void *bytes_dup(const void *data, size_t size)
{
    void *copy = malloc(size);
    if (copy != NULL) {
        memcpy(copy, data, size);
    }
    return copy;
}

static int pem_copy(struct oak_tls_pem *to, const struct oak_tls_pem *from)
{
    if (from->file != NULL) {
        to->file = bytes_dup(from->file, strlen(from->file) + 1);
        return to->file == NULL ? OAK_ENOMEM : 0;
    }
    if (from->bytes.size > 0) {
        to->bytes.data = bytes_dup(from->bytes.data, from->bytes.size);
        to->bytes.size = to->bytes.data == NULL ? 0 : from->bytes.size;
        return to->bytes.data == NULL ? OAK_ENOMEM : 0;
    }
    return 0;
}

static void pem_fini(struct oak_tls_pem *pem)
{
    free((void *)(uintptr_t)pem->file);
    if (pem->bytes.data != NULL) {
        OPENSSL_cleanse((void *)(uintptr_t)pem->bytes.data, pem->bytes.size);
        free((void *)(uintptr_t)pem->bytes.data);
    }
    *pem = (struct oak_tls_pem){0};
}

int tls__material_copy(struct oak_tls_material *to, const struct oak_tls_material *from)
{
    *to = (struct oak_tls_material){0};
    int error = pem_copy(&to->certificate, &from->certificate);
    error = error != 0 ? error : pem_copy(&to->key, &from->key);
    error = error != 0 ? error : pem_copy(&to->ca, &from->ca);
    error = error != 0 ? error : pem_copy(&to->crl, &from->crl);
    if (error != 0) {
        tls__material_fini(to);
    }
    return error;
}

void tls__material_fini(struct oak_tls_material *material)
{
    pem_fini(&material->certificate);
    pem_fini(&material->key);
    pem_fini(&material->ca);
    pem_fini(&material->crl);
}

/* -- checks ------------------------------------------------------------------------------------ */

static int check_server(const struct oak_tls_options *o, struct oak_errbuf *e)
{
    if (o->client_certificate == OAK_TLS_CLIENT_NONE &&
        (o->allowed_common_name_count > 0 || o->allowed_host_count > 0)) {
        return oak_fail(e, OAK_EINVAL,
                        "TLS: allowed names mean nothing unless clients show a certificate");
    }
    if (o->insecure_skip_verify || o->server_name != NULL) {
        return oak_fail(e, OAK_EINVAL, "TLS: how to verify a server is for clients to say");
    }
    return 0;
}

static int check_client(const struct oak_tls_options *o, struct oak_errbuf *e)
{
    if (o->client_certificate != OAK_TLS_CLIENT_NONE || o->allowed_common_name_count > 0 ||
        o->allowed_host_count > 0) {
        return oak_fail(e, OAK_EINVAL, "TLS: how to verify clients is for a server to say");
    }
    if (o->insecure_skip_verify && o->report == NULL) {
        return oak_fail(e, OAK_EINVAL,
                        "TLS: without verification somebody must be told: set `report`");
    }
    return 0;
}

static int check(const struct oak_tls_options *o, struct oak_errbuf *e)
{
    if (o->version_min > OAK_TLS_VERSION_1_3 || o->version_max > OAK_TLS_VERSION_1_3) {
        return oak_fail(e, OAK_EINVAL, "TLS: an unknown version");
    }
    if (o->version_max != OAK_TLS_VERSION_ANY && o->version_min > o->version_max) {
        return oak_fail(e, OAK_EINVAL, "TLS: the least version is above the greatest");
    }
    return o->role == OAK_TLS_SERVER ? check_server(o, e) : check_client(o, e);
}

/* -- copies ------------------------------------------------------------------------------------ */

static const char *name_copy(struct oak_tls *tls, const char *name)
{
    return (const char *)oak_arena_dup(&tls->memory, oak_bytes(name, strlen(name) + 1)).data;
}

static int names_copy(struct oak_tls *tls, const char *const **names, size_t count)
{
    if (count == 0) {
        *names = NULL;
        return 0;
    }
    const char **copies = oak_arena_alloc(&tls->memory, count * sizeof(*copies));
    if (copies == NULL) {
        return OAK_ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        copies[i] = name_copy(tls, (*names)[i]);
        if (copies[i] == NULL) {
            return OAK_ENOMEM;
        }
    }
    *names = copies;
    return 0;
}

/* Each protocol behind a byte that tells its length (RFC 7301, section 3.1). */
static int protocols_take(struct oak_tls *tls, struct oak_errbuf *e)
{
    static const char *const usual[] = {"h2"};
    struct oak_tls_options *o = &tls->options;
    const char *const *names = o->protocol_count == 0 ? usual : o->protocols;
    size_t count = o->protocol_count == 0 ? 1 : o->protocol_count;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        if (length == 0 || length > 255) {
            return oak_fail(e, OAK_EINVAL, "TLS: \"%.32s\" is no name of a protocol", names[i]);
        }
        size += 1 + length;
    }
    uint8_t *at = oak_arena_alloc(&tls->memory, size);
    if (at == NULL) {
        return OAK_ENOMEM;
    }
    tls->alpn = oak_bytes(at, size);
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(names[i]);
        *at++ = (uint8_t)length;
        memcpy(at, names[i], length);
        at += length;
        tls->http1 = tls->http1 || strcmp(names[i], "http/1.1") == 0;
    }
    o->protocols = NULL;
    o->protocol_count = 0;
    return 0;
}

static int list_add(struct oak_buf *list, const char *name)
{
    return oak_buf_printf(list, "%s%s", list->size == 0 ? "" : ":", name);
}

/* OpenSSL's name of a suite; NULL when it knows none of this name. */
static const char *suite_known(SSL_CTX *scratch, const char *name)
{
    const char *own = name;
    if (strncmp(name, "TLS_", 4) == 0) {
        own = OPENSSL_cipher_name(name);
    }
    bool newest = strncmp(own, "TLS_", 4) == 0;
    bool known = strchr(own, ':') == NULL && (newest ? SSL_CTX_set_ciphersuites(scratch, own)
                                                     : SSL_CTX_set_cipher_list(scratch, own)) == 1;
    ERR_clear_error();
    return known ? own : NULL;
}

static int suites_sort(struct oak_tls *tls, SSL_CTX *scratch, struct oak_buf *old,
                       struct oak_buf *new, struct oak_errbuf *e)
{
    const struct oak_tls_options *o = &tls->options;
    for (size_t i = 0; i < o->cipher_suite_count; i++) {
        const char *own = suite_known(scratch, o->cipher_suites[i]);
        if (own == NULL) {
            return oak_fail(e, OAK_EINVAL, "TLS: unknown cipher suite \"%.100s\"",
                            o->cipher_suites[i]);
        }
        int error = list_add(strncmp(own, "TLS_", 4) == 0 ? new : old, own);
        if (error != 0) {
            return error;
        }
    }
    return 0;
}

static int suites_take(struct oak_tls *tls, struct oak_errbuf *e)
{
    struct oak_buf old = {0};
    struct oak_buf new = {0};
    SSL_CTX *scratch = SSL_CTX_new(TLS_method());
    int error = scratch == NULL ? OAK_ENOMEM : suites_sort(tls, scratch, &old, &new, e);
    if (error == 0) {
        tls->ciphers = CIPHERS;
        if (old.size > 0) {
            tls->ciphers = name_copy(tls, (const char *)old.data);
        }
        if (new.size > 0) {
            tls->suites = name_copy(tls, (const char *)new.data);
        }
        bool missing = tls->ciphers == NULL || (new.size > 0 && tls->suites == NULL);
        error = missing ? OAK_ENOMEM : 0;
    }
    SSL_CTX_free(scratch);
    oak_buf_fini(&old);
    oak_buf_fini(&new);
    tls->options.cipher_suites = NULL;
    tls->options.cipher_suite_count = 0;
    return error;
}

static int pem_check(const struct oak_tls_pem *pem, struct oak_errbuf *e)
{
    if (pem->file != NULL && pem->bytes.size > 0) {
        return oak_fail(e, OAK_EINVAL, "TLS: both a file (%.200s) and bytes", pem->file);
    }
    return 0;
}

int tls__material_check(const struct oak_tls_options *o, const struct oak_tls_material *m,
                        struct oak_errbuf *e)
{
    int error = pem_check(&m->certificate, e);
    error = error != 0 ? error : pem_check(&m->key, e);
    error = error != 0 ? error : pem_check(&m->ca, e);
    error = error != 0 ? error : pem_check(&m->crl, e);
    if (error != 0) {
        return error;
    }
    if (tls__pem_given(&m->certificate) != tls__pem_given(&m->key)) {
        return oak_fail(e, OAK_EINVAL, "TLS: a certificate and its key come together");
    }
    if (tls__pem_given(&m->crl) && !tls__pem_given(&m->ca)) {
        return oak_fail(e, OAK_EINVAL, "TLS: a revocation list needs the CA that signed it");
    }
    if (o->role == OAK_TLS_SERVER && !tls__pem_given(&m->certificate)) {
        return oak_fail(e, OAK_EINVAL, "TLS: a server needs a certificate and its key");
    }
    if (o->client_certificate != OAK_TLS_CLIENT_NONE && !tls__pem_given(&m->ca)) {
        return oak_fail(e, OAK_EINVAL,
                        "TLS: to verify clients' certificates, say which CA issues them");
    }
    return 0;
}

int tls__options_take(struct oak_tls *tls, const struct oak_tls_options *options,
                      struct oak_errbuf *e)
{
    struct oak_tls_options *o = &tls->options;
    int error = check(options, e);
    error = error != 0 ? error : tls__material_check(options, &options->material, e);
    if (error != 0) {
        return error;
    }
    *o = *options;
    o->material = (struct oak_tls_material){0};
    error = names_copy(tls, &o->allowed_common_names, o->allowed_common_name_count);
    error = error != 0 ? error : names_copy(tls, &o->allowed_hosts, o->allowed_host_count);
    if (error == 0 && o->server_name != NULL) {
        o->server_name = name_copy(tls, o->server_name);
        error = o->server_name == NULL ? OAK_ENOMEM : 0;
    }
    error = error != 0 ? error : protocols_take(tls, e);
    error = error != 0 ? error : suites_take(tls, e);
    if (o->handshake_ns == 0) {
        o->handshake_ns = OAK_TLS_HANDSHAKE_MS_MAX * (TLS_SECOND_NS / 1000);
    }
    if (o->handshakes_max == 0) {
        o->handshakes_max = OAK_TLS_HANDSHAKES_MAX;
    }
    return error;
}
