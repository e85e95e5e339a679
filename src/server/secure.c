/* SPDX-License-Identifier: Apache-2.0 */
/* secure.c: TLS of a server: credentials, networks, files that change, and what is told of peers
 * that were refused.
 *
 * Happy path   a look at the files: 1 the timer fires
 *              2 the worker reads them, and loads what has changed
 *              3 back on the loop: what changed is logged, the timer is set again
 * Can fail     2: told, once as long as it fails for the same reason; what was loaded stays.
 * Invariants   the task is with the worker, or the timer is set, until `stopped`. Who is refused
 *              can't fill the log: so many lines in a while, and a count of the rest.
 * Thread       the loop's, but for `look`.
 */
#include "server/secure.h"

#include <stdio.h>
#include <stdlib.h>

/* etcd reads a certificate at each handshake; this is as good for who renews one, and cheap: a few
 * small files. */
#define LOOK_NS        1000000000ull
#define YEAR_S         (365ull * 86400)
#define PATH_BYTES_MAX 4096
#define LIST_MAX       64 /* suites, or names */
#define HOSTS_MAX      (4 * OAK_CONFIG_URLS_MAX + 2)

static const char *const ends[SECURE_ENDS] = {"clients", "peers", "other members"};

/* -- peers that are refused -------------------------------------------------------------------- */

static void reported(void *user, const char *peer, int error, const char *text)
{
    struct secure_end *end = user;
    const struct secure *s = end->secure;
    if (error == 0) {
        oak_log(s->log, OAK_LOG_DEBUG, "TLS with %s at %s: %s", end->what, peer, text);
        return;
    }
    uint64_t now = s->loop->clock.mono_ns(s->loop->clock.user);
    uint32_t missed;
    if (!tally_tell(&end->refusals, now, &missed)) {
        return;
    }
    if (missed > 0) {
        oak_log(s->log, OAK_LOG_WARN, "TLS with %s: %u more connections failed before", end->what,
                missed);
    }
    bool out = end == &s->ends[SECURE_OUT];
    oak_log(s->log, OAK_LOG_WARN,
            out ? "TLS: no connection to the member at %s: %s"
                : "TLS: rejected connection from %s: %s (%s)",
            peer, text, end->what);
}

/* -- files that change ------------------------------------------------------------------------- */

static void timer_set(struct secure *s)
{
    const struct oak_clock *clock = &s->loop->clock;
    s->loop->timers.set(s->loop->timers.user, &s->timer, clock->mono_ns(clock->user) + LOOK_NS);
}

static void look_told(struct oak_task *task)
{
    struct secure *s = OAK_CONTAINER_OF(task, struct secure, task);
    if (s->stopped) {
        return;
    }
    for (int i = 0; i < SECURE_ENDS; i++) {
        struct secure_end *end = &s->ends[i];
        bool again = strcmp(end->text.text, end->told.text) == 0;
        if (end->tls != NULL && end->error != 0 && !again) {
            end->told = end->text;
            oak_log(s->log, OAK_LOG_ERROR,
                    "TLS with %s: what is in the files now can't be used, and what was there "
                    "before stays: %s",
                    end->what, end->text.text);
        } else if (end->tls != NULL && end->changed) {
            oak_log(s->log, OAK_LOG_INFO, "TLS with %s: certificates were loaded again", end->what);
        }
        if (end->error == 0) {
            end->told.text[0] = '\0';
        }
    }
    timer_set(s);
}

/* On the worker. */
static void look(struct oak_task *task)
{
    struct secure *s = OAK_CONTAINER_OF(task, struct secure, task);
    for (int i = 0; i < SECURE_ENDS; i++) {
        struct secure_end *end = &s->ends[i];
        if (end->tls != NULL) {
            end->error = oak_tls_reload_if_changed(end->tls, &end->changed, &end->text);
        }
    }
    s->task.run = look_told;
    s->loop->exec.post(s->loop->exec.user, &s->task);
}

static void timer_fire(struct oak_timer *timer)
{
    struct secure *s = OAK_CONTAINER_OF(timer, struct secure, timer);
    s->task.run = look;
    s->worker.post(s->worker.user, &s->task);
}

/* -- certificates of our own making ------------------------------------------------------------ */

static int file_write(const struct oak_disk *disk, const char *path, const char *text)
{
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error == OAK_EEXIST) {
        error = disk->remove(disk->user, path);
        error = error != 0 ? error : disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    }
    if (error == 0) {
        error = disk->write(disk->user, file, 0, text, strlen(text));
        error = error != 0 ? error : disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    return error;
}

/* The host of a URL, without port and brackets, at `at`; its end. */
static char *host_put(char *at, const char *url)
{
    struct oak_config_place place;
    oak_config_url_place(url, &place);
    const char *host = place.text;
    size_t size = strlen(host);
    if (strncmp(host, "unix:", 5) == 0) {
        host = "localhost";
        size = strlen(host);
    } else if (host[0] == '[') {
        host++;
        size = strcspn(host, "]");
    } else {
        size = strcspn(host, ":");
    }
    memcpy(at, host, size);
    at[size] = '\0';
    return at + size + 1;
}

static size_t hosts_add(const char **hosts, size_t count, char **at,
                        const struct oak_config_urls *urls)
{
    for (size_t i = 0; i < urls->count && count < HOSTS_MAX; i++) {
        hosts[count] = *at;
        *at = host_put(*at, urls->items[i]);
        count++;
    }
    return count;
}

static int self_sign(struct secure *s, bool peers, const char *cert_path, const char *key_path)
{
    const struct oak_config *c = s->config;
    char *text = malloc(HOSTS_MAX * sizeof(struct oak_config_place));
    if (text == NULL) {
        return OAK_ENOMEM;
    }
    const char *hosts[HOSTS_MAX] = {"localhost", "127.0.0.1"};
    char *at = text;
    size_t count = hosts_add(hosts, 2, &at, peers ? &c->listen_peer_urls : &c->listen_client_urls);
    count = hosts_add(hosts, count, &at,
                      peers ? &c->initial_advertise_peer_urls : &c->advertise_client_urls);
    count = peers ? count : hosts_add(hosts, count, &at, &c->listen_metrics_urls);
    count = peers ? count : hosts_add(hosts, count, &at, &c->listen_client_http_urls);
    struct oak_tls_self_signed made = {0};
    int error = oak_tls_self_sign(hosts, count, c->self_signed_years * YEAR_S, &made);
    free(text);
    if (error == 0) {
        error = file_write(s->disk, cert_path, made.certificate);
        error = error != 0 ? error : file_write(s->disk, key_path, made.key);
        oak_tls_self_signed_fini(&made);
    }
    return error;
}

struct automatic {
    char cert[PATH_BYTES_MAX];
    char key[PATH_BYTES_MAX];
};

/* Where etcd has them: <data>/fixtures/client and …/peer. */
static int automatic_paths(const struct secure *s, bool peers, struct automatic *out)
{
    const struct oak_disk *disk = s->disk;
    char dir[PATH_BYTES_MAX - 16];
    const char *own = peers ? "peer" : "client";
    int size = snprintf(dir, sizeof(dir), "%s/fixtures/%s", s->config->data_dir, own);
    if (size < 0 || (size_t)size >= sizeof(dir)) {
        return OAK_EINVAL;
    }
    char *end = dir + size - strlen(own) - 1;
    *end = '\0';
    int error = disk->make_dir(disk->user, dir);
    *end = '/';
    error = error != 0 ? error : disk->make_dir(disk->user, dir);
    if (error == 0) {
        snprintf(out->cert, sizeof(out->cert), "%s/cert.pem", dir);
        snprintf(out->key, sizeof(out->key), "%s/key.pem", dir);
    }
    return error;
}

/* -- making ------------------------------------------------------------------------------------ */

/* Cut a list at its commas; `text` is changed. */
static size_t list_cut(char *text, const char **items)
{
    size_t count = 0;
    for (char *at = text; *at != '\0' && count < LIST_MAX;) {
        size_t size = strcspn(at, ",");
        char *next = at[size] == ',' ? at + size + 1 : at + size;
        at[size] = '\0';
        if (size > 0) {
            items[count] = at;
            count++;
        }
        at = next;
    }
    return count;
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void options_begin(struct secure *s, enum secure_end_kind kind, struct oak_tls_options *o)
{
    OAK_STATIC_ASSERT((int)OAK_CONFIG_TLS_1_3 == (int)OAK_TLS_VERSION_1_3, "one order of versions");
    static const char *const both[] = {"http/1.1", "h2"};
    const struct oak_config *c = s->config;
    const struct oak_config_tls *t = kind == SECURE_CLIENTS ? &c->client_tls : &c->peer_tls;
    *o = (struct oak_tls_options){
        .role = kind == SECURE_OUT ? OAK_TLS_CLIENT : OAK_TLS_SERVER,
        .version_min = (enum oak_tls_version)c->tls_min_version,
        .version_max = (enum oak_tls_version)c->tls_max_version,
        .report = reported,
        .user = &s->ends[kind],
    };
    o->material.ca.file = or_null(t->trusted_ca_file);
    o->material.crl.file = or_null(t->crl_file);
    if (kind == SECURE_OUT && oak_config_tls_has_certificate(t) && t->client_cert_file[0] != '\0') {
        o->material.certificate.file = t->client_cert_file;
        o->material.key.file = t->client_key_file;
    } else {
        o->material.certificate.file = or_null(t->cert_file);
        o->material.key.file = or_null(t->key_file);
    }
    if (kind != SECURE_OUT && oak_config_tls_asks(t)) {
        o->client_certificate = OAK_TLS_CLIENT_REQUIRED;
    }
    if (kind == SECURE_CLIENTS) {
        /* Who speaks gRPC offers HTTP/2 alone; who offers both wants a page, and those are HTTP/1.1
         * here. */
        o->protocols = both;
        o->protocol_count = OAK_COUNT_OF(both);
    }
}

/* Nothing was given, but asked for: a certificate of our own. Others' are not verified then. */
static int automatic_take(struct secure *s, enum secure_end_kind kind, struct automatic *paths,
                          struct oak_tls_options *o, struct oak_errbuf *e)
{
    bool peers = kind != SECURE_CLIENTS;
    int error = automatic_paths(s, peers, paths);
    if (error == 0) {
        o->material.certificate.file = paths->cert;
        o->material.key.file = paths->key;
        o->insecure_skip_verify = kind == SECURE_OUT;
        struct oak_tls *there = NULL;
        struct oak_errbuf ignored;
        if (oak_tls_new(o, &there, &ignored) != 0) {
            error = self_sign(s, peers, paths->cert, paths->key);
        }
        oak_tls_free(there);
    }
    return error == 0 ? 0
                      : oak_fail(e, error, "%s: can't make a certificate in %s/fixtures: %s",
                                 peers ? "--peer-auto-tls" : "--auto-tls", s->config->data_dir,
                                 oak_error_text(error));
}

static int end_make(struct secure *s, enum secure_end_kind kind, struct oak_errbuf *e)
{
    const struct oak_config *c = s->config;
    const struct oak_config_tls *t = kind == SECURE_CLIENTS ? &c->client_tls : &c->peer_tls;
    struct secure_end *end = &s->ends[kind];
    struct oak_tls_options o;
    struct automatic paths;
    const char *suites[LIST_MAX], *hosts[LIST_MAX], *names[LIST_MAX];
    char *copies[] = {strdup(c->cipher_suites), strdup(t->allowed_hosts), strdup(t->allowed_names)};
    int error = copies[0] == NULL || copies[1] == NULL || copies[2] == NULL ? OAK_ENOMEM : 0;
    if (error == 0) {
        options_begin(s, kind, &o);
        o.cipher_suites = suites;
        o.cipher_suite_count = list_cut(copies[0], suites);
        if (kind != SECURE_OUT) {
            o.allowed_hosts = hosts;
            o.allowed_host_count = list_cut(copies[1], hosts);
            o.allowed_common_names = names;
            o.allowed_common_name_count = list_cut(copies[2], names);
        }
        if (t->auto_tls && !oak_config_tls_has_certificate(t)) {
            error = automatic_take(s, kind, &paths, &o, e);
        }
        error = error != 0 ? error : oak_tls_new(&o, &end->tls, e);
        if (error == 0) {
            error = oak_tls_net_new(end->tls, s->loop, NULL, NULL, &end->net);
        }
    }
    for (size_t i = 0; i < OAK_COUNT_OF(copies); i++) {
        free(copies[i]);
    }
    return error;
}

static bool any_secure(const struct oak_config_urls *urls)
{
    for (size_t i = 0; i < urls->count; i++) {
        if (oak_config_url_is_secure(urls->items[i])) {
            return true;
        }
    }
    return false;
}

int secure_make(struct secure *s, bool peers_secure, struct oak_errbuf *e)
{
    const struct oak_config *c = s->config;
    const bool wanted[SECURE_ENDS] = {
        any_secure(&c->listen_client_urls) || any_secure(&c->listen_metrics_urls) ||
            any_secure(&c->listen_client_http_urls),
        any_secure(&c->listen_peer_urls),
        peers_secure || any_secure(&c->listen_peer_urls) ||
            oak_config_tls_has_certificate(&c->peer_tls),
    };
    int error = 0;
    bool any = false;
    for (int i = 0; i < SECURE_ENDS && error == 0; i++) {
        s->ends[i].secure = s;
        s->ends[i].what = ends[i];
        error = wanted[i] ? end_make(s, (enum secure_end_kind)i, e) : 0;
        any = any || wanted[i];
    }
    s->timer.fire = timer_fire;
    if (error == 0 && any) {
        timer_set(s);
    }
    return error;
}

const struct oak_net *secure_net(const struct secure *s, enum secure_end_kind end)
{
    return s->ends[end].net != NULL ? oak_tls_net_port(s->ends[end].net) : NULL;
}

void secure_tell(const struct secure *s, struct oak_observe_secure out[SECURE_ENDS])
{
    OAK_STATIC_ASSERT((int)SECURE_ENDS == OAK_OBSERVE_ENDS, "all ends are told of");
    static const char *const names[SECURE_ENDS] = {"clients", "peers", "out"};
    for (int i = 0; i < SECURE_ENDS; i++) {
        struct oak_tls_counts counts = {0};
        struct oak_tls_expiry expiry = {0};
        if (s->ends[i].tls != NULL) {
            oak_tls_counts(s->ends[i].tls, &counts);
            oak_tls_expiry(s->ends[i].tls, &expiry);
        }
        out[i] = (struct oak_observe_secure){
            .end = names[i],
            .handshakes = counts.handshakes,
            .failed = counts.failed,
            .reloads = counts.reloads,
            .reloads_failed = counts.reloads_failed,
            .certificate_s = expiry.certificate_s,
            .ca_s = expiry.ca_s,
            .crl_s = expiry.crl_s,
        };
    }
}

/* The host of "host:port" or "[v6]:port". */
static void host_of(const char *address, char *out, size_t size)
{
    const char *end = strrchr(address, ':');
    size_t length = end != NULL ? (size_t)(end - address) : strlen(address);
    if (address[0] == '[') {
        address++;
        length = strcspn(address, "%]");
    }
    snprintf(out, size, "%.*s", (int)OAK_MIN(length, size - 1), address);
}

bool secure_admit(const struct oak_identity *identity, const char *from, const char *url)
{
    char host[sizeof(struct oak_config_place)];
    bool names = false;
    host_of(from, host, sizeof(host));
    if (oak_tls_identity_is_host(identity, host, &names) || !names) {
        return true;
    }
    if (url == NULL) {
        return false;
    }
    host_of(oak_config_url_address(url), host, sizeof(host));
    return oak_tls_identity_is_host(identity, host, NULL);
}

void secure_stop(struct secure *s)
{
    s->stopped = true;
    if (s->loop != NULL) {
        s->loop->timers.stop(s->loop->timers.user, &s->timer);
    }
}

void secure_unmake(struct secure *s)
{
    for (int i = 0; i < SECURE_ENDS; i++) {
        oak_tls_net_free(s->ends[i].net);
        oak_tls_free(s->ends[i].tls);
        s->ends[i].net = NULL;
        s->ends[i].tls = NULL;
    }
}
