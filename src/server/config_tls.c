/* SPDX-License-Identifier: Apache-2.0 */
/* config_tls.c: the rules of TLS that span several flags. What is in the files is looked at when
 * the server starts.
 *
 * Messages follow etcd's where scripts and people know them.
 * Can fail     OAK_EINVAL, naming the flags and what to do. OAK_ENOMEM.
 * Invariants   a URL that says TLS is never served without it.
 */
#include "server/config_internal.h"

/* The names of a family's flags. */
struct family {
    const struct oak_config_tls *tls;
    const struct oak_config_urls *urls;
    const char *who;    /* "client", "peer" */
    const char *listen; /* flags from here on */
    const char *cert;
    const char *key;
    const char *client_cert;
    const char *client_key;
    const char *auth;
    const char *ca;
    const char *crl;
    const char *hosts;
    const char *names; /* of a file's section, for clients */
    const char *automatic;
};

static bool is_set(const char *text)
{
    return text[0] != '\0';
}

bool oak_config_tls_has_certificate(const struct oak_config_tls *tls)
{
    return is_set(tls->cert_file);
}

/* Any authority named means that certificates are asked for, as in etcd. */
bool oak_config_tls_asks(const struct oak_config_tls *tls)
{
    return tls->client_cert_auth || is_set(tls->trusted_ca_file);
}

static int pairs_check(const struct family *f, struct oak_errbuf *e)
{
    const struct oak_config_tls *t = f->tls;
    if (is_set(t->cert_file) != is_set(t->key_file)) {
        return oak_fail(e, OAK_EINVAL,
                        "KeyFile and CertFile must both be present: give both --%s and --%s",
                        f->cert, f->key);
    }
    if (is_set(t->client_cert_file) != is_set(t->client_key_file)) {
        return oak_fail(e, OAK_EINVAL,
                        "ClientKeyFile and ClientCertFile must both be present or both absent: "
                        "give both --%s and --%s, or neither",
                        f->client_cert, f->client_key);
    }
    return 0;
}

static int authority_check(const struct family *f, struct oak_errbuf *e)
{
    const struct oak_config_tls *t = f->tls;
    if (is_set(t->trusted_ca_file)) {
        return 0;
    }
    const char *flag = t->client_cert_auth        ? f->auth
                       : is_set(t->crl_file)      ? f->crl
                       : is_set(t->allowed_hosts) ? f->hosts
                       : is_set(t->allowed_names) ? f->names
                                                  : NULL;
    return flag == NULL ? 0
                        : oak_fail(e, OAK_EINVAL,
                                   "--%s: give --%s too, the authority whose certificates are "
                                   "good; that of the whole system would let in the whole world",
                                   flag, f->ca);
}

/* What is listened on, held against what there is to show. */
static int urls_check(struct config__loader *l, const struct family *f,
                      const struct oak_config_urls *urls, const char *flag)
{
    bool has = is_set(f->tls->cert_file);
    for (size_t i = 0; i < urls->count; i++) {
        const char *url = urls->items[i];
        bool secure = oak_config_url_is_secure(url);
        if (secure && !has && !f->tls->auto_tls) {
            return oak_fail(l->e, OAK_EINVAL,
                            "TLS key/cert (--%s, --%s) must be provided for %s url %s of --%s",
                            f->cert, f->key, f->who, url, flag);
        }
        if (!secure && has && urls == f->urls) {
            config__warn(l->config,
                         "The scheme of %s url %s is not https while key/cert files are presented. "
                         "Ignored key/cert files.",
                         f->who, url);
        }
        if (!secure && f->tls->client_cert_auth && urls == f->urls) {
            config__warn(l->config,
                         "The scheme of %s url %s is not https while client cert auth (--%s) is "
                         "enabled. Ignored client cert auth for this url.",
                         f->who, url, f->auth);
        }
    }
    return 0;
}

static int family_check(struct config__loader *l, const struct family *f)
{
    int error = pairs_check(f, l->e);
    error = error != 0 ? error : authority_check(f, l->e);
    if (error == 0 && is_set(f->tls->allowed_hosts) && is_set(f->tls->allowed_names)) {
        error = oak_fail(l->e, OAK_EINVAL,
                         "AllowedCNs and AllowedHostnames are mutually exclusive: the common names "
                         "%.100s, and --%s",
                         f->tls->allowed_names, f->hosts);
    }
    if (error == 0 && f->tls->auto_tls && is_set(f->tls->cert_file)) {
        config__warn(l->config, "--%s: ignored, since --%s is given", f->automatic, f->cert);
    }
    return error != 0 ? error : urls_check(l, f, f->urls, f->listen);
}

/* Go knows two suites by names that are shorter than IANA's. */
static int suites_settle(struct oak_config *c, struct oak_errbuf *e)
{
    static const char *const shorter[] = {"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305",
                                          "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305"};
    struct oak_buf text = {0};
    int error = 0;
    for (const char *at = c->cipher_suites; *at != '\0' && error == 0;) {
        size_t size = strcspn(at, ",");
        bool is_short = false;
        for (size_t i = 0; i < OAK_COUNT_OF(shorter); i++) {
            is_short = is_short || oak_bytes_eq(oak_bytes(at, size), oak_bytes_str(shorter[i]));
        }
        error = oak_buf_printf(&text, "%s%.*s%s", text.size == 0 ? "" : ",", (int)size, at,
                               is_short ? "_SHA256" : "");
        at += size + (at[size] == ',' ? 1 : 0);
    }
    if (error == 0 && text.size > 0) {
        c->cipher_suites = config__keep(&c->arena, (const char *)text.data, text.size);
        error = c->cipher_suites == NULL ? OAK_ENOMEM : 0;
    }
    oak_buf_fini(&text);
    return error == 0 ? 0 : oak_fail(e, OAK_ENOMEM, "out of memory");
}

static int versions_check(const struct oak_config *c, struct oak_errbuf *e)
{
    if (c->tls_max_version != OAK_CONFIG_TLS_ANY && c->tls_min_version > c->tls_max_version) {
        return oak_fail(e, OAK_EINVAL,
                        "--tls-min-version (TLS1.3) is greater than --tls-max-version (TLS1.2)");
    }
    if (c->tls_min_version == OAK_CONFIG_TLS_1_3 && is_set(c->cipher_suites)) {
        return oak_fail(e, OAK_EINVAL,
                        "--cipher-suites: cipher suites may not be configured when only TLS1.3 is "
                        "enabled (--tls-min-version)");
    }
    return 0;
}

int config__tls_check(struct config__loader *l)
{
    struct oak_config *c = l->config;
    if (c->client_tls.allowed_names == NULL) {
        c->client_tls.allowed_names = ""; /* only a file can say it */
    }
    c->client_tls.client_cert_file = "";
    c->client_tls.client_key_file = "";
    const struct family clients = {&c->client_tls,
                                   &c->listen_client_urls,
                                   "client",
                                   "listen-client-urls",
                                   "cert-file",
                                   "key-file",
                                   "client-cert-file",
                                   "client-key-file",
                                   "client-cert-auth",
                                   "trusted-ca-file",
                                   "client-crl-file",
                                   "client-cert-allowed-hostname",
                                   "client-transport-security.allowed-cn",
                                   "auto-tls"};
    const struct family peers = {&c->peer_tls,
                                 &c->listen_peer_urls,
                                 "peer",
                                 "listen-peer-urls",
                                 "peer-cert-file",
                                 "peer-key-file",
                                 "peer-client-cert-file",
                                 "peer-client-key-file",
                                 "peer-client-cert-auth",
                                 "peer-trusted-ca-file",
                                 "peer-crl-file",
                                 "peer-cert-allowed-hostname",
                                 "peer-cert-allowed-cn",
                                 "peer-auto-tls"};
    int error = family_check(l, &clients);
    error = error != 0 ? error : family_check(l, &peers);
    if (error == 0) {
        error = urls_check(l, &clients, &c->listen_metrics_urls, "listen-metrics-urls");
    }
    if (error == 0) {
        error = urls_check(l, &clients, &c->listen_client_http_urls, "listen-client-http-urls");
    }
    if (c->jsonrpc_listen[0] != '\0' && oak_config_tls_asks(&c->client_tls)) {
        config__warn(c,
                     "--experimental-jsonrpc-listen: this door has no TLS, and asks nobody for the "
                     "certificates that --trusted-ca-file wants of clients");
    }
    error = error != 0 ? error : versions_check(c, l->e);
    return error != 0 ? error : suites_settle(c, l->e);
}
