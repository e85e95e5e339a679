/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c: a client of the servers that are meant, made when a verb first asks.
 *
 * Happy path   1 who asks: name and password, which a terminal is asked for 2 credentials of TLS,
 *              if a flag or an endpoint wants it 3 the client; it connects with the first request
 * Can fail     files that are none, endpoints that are none, an unencrypted one beside encrypted
 *              ones: told.
 */
#include "ctl/internal.h"
#include "oakum/tls.h"

#include <signal.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

struct ctl__link {
    struct oak_client *client;
    struct oak_tls *tls;
    struct oak_tls_net *net;
    char user[OAK_CLIENT_NAME_BYTES_MAX + 1];
    char password[OAK_CLIENT_NAME_BYTES_MAX + 1];
};

struct oak_client *ctl__link_client(struct ctl__link *link)
{
    return link->client;
}

void ctl__unlink(struct ctl__link *link)
{
    if (link == NULL) {
        return;
    }
    oak_client_free(link->client);
    if (link->net != NULL) {
        oak_tls_net_free(link->net);
    }
    oak_tls_free(link->tls);
    explicit_bzero(link->password, sizeof(link->password));
    free(link);
}

/* -- who --------------------------------------------------------------------------------------- */

/* What the terminal was like: it is so again when a signal ends us while it shows nothing. */
static struct termios terminal_before;

static void terminal_restore(int number)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
    raise(number); /* which ends us, once this has returned */
}

/* A line of the terminal, which does not show it. */
static bool hidden_line(const char *prompt, char *out, size_t size)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    const struct sigaction restore = {.sa_handler = terminal_restore,
                                      .sa_flags = (int)SA_RESETHAND};
    struct sigaction others[OAK_COUNT_OF(ends)];
    struct termios quiet = terminal_before;
    for (size_t i = 0; i < OAK_COUNT_OF(ends); i++) {
        sigaction(ends[i], &restore, &others[i]);
    }
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    fprintf(stderr, "%s", prompt);
    fflush(stderr);
    bool got = fgets(out, (int)size, stdin) != NULL;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    fputc('\n', stderr);
    for (size_t i = 0; i < OAK_COUNT_OF(ends); i++) {
        sigaction(ends[i], &others[i], NULL);
    }
    return got;
}

bool ctl__password_ask(const char *prompt, char *out, size_t size, int *code)
{
    bool terminal = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
    bool got = terminal ? hidden_line(prompt, out, size) : fgets(out, (int)size, stdin) != NULL;
    if (!got) {
        *code = ctl__error(CTL__BAD_ARGS, "there is no password: stdin has ended");
        return false;
    }
    size_t length = strcspn(out, "\r\n");
    if (out[length] == '\0' && length + 1 == size) {
        *code = ctl__error(CTL__BAD_ARGS, "a password has at most %zu bytes", size - 2);
        explicit_bzero(out, size);
        return false;
    }
    out[length] = '\0';
    return true;
}

/* --user name, --user name:password, --password. */
static bool who(struct ctl *c, struct ctl__link *link, int *code)
{
    const struct ctl__options *o = &c->options;
    if (o->user == NULL) {
        if (o->password != NULL) {
            *code = ctl__error(CTL__BAD_ARGS, "--password is of a --user, and there is none");
        }
        return o->password == NULL;
    }
    const char *colon = o->password == NULL ? strchr(o->user, ':') : NULL;
    size_t size = colon == NULL ? strlen(o->user) : (size_t)(colon - o->user);
    const char *password = colon != NULL ? colon + 1 : o->password;
    if (size == 0 || size >= sizeof(link->user) ||
        (password != NULL && strlen(password) >= sizeof(link->password))) {
        *code = ctl__error(CTL__BAD_ARGS, "--user: a name has 1 to %zu bytes, a password as many",
                           OAK_CLIENT_NAME_BYTES_MAX);
        return false;
    }
    memcpy(link->user, o->user, size);
    if (password == NULL) { /* asked once, for all links */
        if (c->password[0] == '\0' &&
            !ctl__password_ask("Password: ", c->password, sizeof(c->password), code)) {
            return false;
        }
        password = c->password;
    }
    memcpy(link->password, password, strlen(password) + 1);
    return true;
}

/* -- encryption -------------------------------------------------------------------------------- */

static void tls_report(void *user, const char *peer, int error, const char *text)
{
    (void)user;
    fprintf(stderr, "%s: %s: %s\n", error == 0 ? "Warning" : "TLS", peer, text);
}

bool ctl__wants_tls(const struct ctl__options *o, const char *const *endpoints, size_t count)
{
    bool flags = o->cert != NULL || o->key != NULL || o->cacert != NULL ||
                 o->insecure_skip_verify || !o->insecure_transport;
    bool wanted = false;
    for (size_t i = 0; i < count; i++) {
        bool plain =
            strncmp(endpoints[i], "http://", 7) == 0 || strncmp(endpoints[i], "unix:", 5) == 0;
        wanted = wanted || strncmp(endpoints[i], "https://", 8) == 0 || (flags && !plain);
    }
    return wanted;
}

/* `protocol` NULL: gRPC's. */
static bool encrypt(struct ctl *c, struct ctl__link *link, const char *protocol,
                    const char *server_name, int *code)
{
    const struct ctl__options *o = &c->options;
    struct oak_tls_options options = {
        .role = OAK_TLS_CLIENT,
        .insecure_skip_verify = o->insecure_skip_verify,
        .server_name = server_name,
        .report = tls_report,
        .protocols = protocol != NULL ? &protocol : NULL,
        .protocol_count = protocol != NULL ? 1 : 0,
    };
    options.material.certificate.file = o->cert;
    options.material.key.file = o->key;
    options.material.ca.file = o->cacert;
    struct oak_errbuf e = {0};
    int error = oak_tls_new(&options, &link->tls, &e);
    if (error == 0) {
        error = oak_tls_net_new(link->tls, oak_os_loop_port(c->os), NULL, NULL, &link->net);
    }
    if (error != 0) {
        *code = ctl__error(CTL__BAD_ARGS, "TLS: %s",
                           e.text[0] != '\0' ? e.text : oak_error_text(error));
    }
    return error == 0;
}

/* -- the client -------------------------------------------------------------------------------- */

static bool client_new(struct ctl *c, struct ctl__link *link, const char *target, int *code)
{
    const struct ctl__options *o = &c->options;
    const struct oak_client_options options = {
        .net = link->net != NULL ? oak_tls_net_port(link->net) : NULL,
        .user = link->user[0] != '\0' ? link->user : NULL,
        .password = link->user[0] != '\0' ? link->password : NULL,
        .token = o->token,
        .connect_timeout_ns = o->dial_ns,
        .call_timeout_ns = o->command_ns,
        .keepalive_ns = o->keepalive_ns,
        .keepalive_timeout_ns = o->keepalive_timeout_ns,
        .fail_fast = true,
        .response_bytes_max = o->response_bytes_max,
    };
    struct oak_errbuf e = {0};
    int error = oak_client_new(oak_os_loop_port(c->os), target, &options, &link->client, &e);
    if (error != 0) {
        *code = ctl__error(CTL__BAD_ARGS, "%s", e.text[0] != '\0' ? e.text : oak_error_text(error));
    }
    return error == 0;
}

/* --debug: what the flags, the environment and the context came to. */
static void debug_print(const struct ctl__options *o, const char *target)
{
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags((struct ctl__options *)(uintptr_t)o, flags);
    fprintf(stderr, "endpoints=%s\n", target);
    for (size_t i = 0; i < CTL__OPTIONS_COUNT; i++) {
        const struct oak_args_flag *f = &flags[i];
        bool secret = f->target == &o->password || f->target == &o->user || f->target == &o->token;
        const char *text = f->kind == OAK_ARGS_TEXT ? *(const char *const *)f->target : NULL;
        if (f->kind == OAK_ARGS_TEXT) {
            fprintf(stderr, "%s=%s\n", f->name, text == NULL ? "" : secret ? "(not shown)" : text);
        } else if (f->kind == OAK_ARGS_BOOL) {
            fprintf(stderr, "%s=%s\n", f->name, *(const bool *)f->target ? "true" : "false");
        } else if (f->kind == OAK_ARGS_DURATION) {
            fprintf(stderr, "%s=%.3fs\n", f->name, (double)*(const uint64_t *)f->target / 1e9);
        } else if (f->kind == OAK_ARGS_NUMBER) {
            fprintf(stderr, "%s=%" PRIu64 "\n", f->name, *(const uint64_t *)f->target);
        }
    }
}

static struct ctl__link *link_new(struct ctl *c, const char *const *endpoints, size_t count,
                                  const char *server_name, int *code)
{
    struct oak_buf target = {0};
    struct ctl__link *link = calloc(1, sizeof(*link));
    int error = link == NULL ? OAK_ENOMEM : 0;
    if (error == 0 && c->os == NULL) {
        error = oak_os_loop_new(&c->os);
    }
    for (size_t i = 0; i < count && error == 0; i++) {
        error = oak_buf_printf(&target, "%s%s", i > 0 ? "," : "", endpoints[i]);
    }
    bool good = error == 0;
    if (!good) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(error));
    }
    if (good && c->options.debug) {
        debug_print(&c->options, (const char *)target.data);
        c->options.debug = false; /* once, whoever else is asked */
    }
    good = good && who(c, link, code);
    good = good && (!ctl__wants_tls(&c->options, endpoints, count) ||
                    encrypt(c, link, NULL, server_name, code));
    good = good && client_new(c, link, (const char *)target.data, code);
    oak_buf_fini(&target);
    if (!good) {
        ctl__unlink(link);
        return NULL;
    }
    return link;
}

struct ctl__link *ctl__link_to(struct ctl *c, const char *endpoint, const char *server_name,
                               int *code)
{
    return link_new(c, &endpoint, 1, server_name, code);
}

/* A client has one for its calls; a stream that is not its own shows one by itself. */
bool ctl__token(struct ctl *c, struct oak_bytes *out, int *code)
{
    static const struct ctl__method authenticate = {
        "etcdserverpb.Auth", "Authenticate", &etcdserverpb__authenticate_response__descriptor,
        true};
    struct ctl__reply reply;
    struct oak_client *client = ctl__client(c, code);
    *out = oak_bytes(NULL, 0);
    if (client == NULL) {
        return false;
    }
    if (c->link->user[0] == '\0') {
        *out = oak_bytes_str(c->options.token != NULL ? c->options.token : "");
        return true;
    }
    Etcdserverpb__AuthenticateRequest request = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    request.name = c->link->user;
    request.password = c->link->password;
    ctl__try(c, client, &authenticate, &request.base, &reply);
    if (reply.error == 0) {
        *out = oak_bytes_str(((const Etcdserverpb__AuthenticateResponse *)reply.response)->token);
    } else if (reply.error != OAK_EAUTHNOTENABLED) {
        *code = ctl__reply_error(&reply);
        return false;
    }
    return true;
}

/* By the domain's SRV records, which the client looks up again when it loses all of them. */
static struct ctl__link *link_by_dns(struct ctl *c, int *code)
{
    char target[CTL__SRV_BYTES_MAX];
    return ctl__srv_name(&c->options, target, sizeof(target), code)
               ? ctl__link_to(c, target, NULL, code)
               : NULL;
}

struct ctl__link *ctl__link_new(struct ctl *c, int *code)
{
    struct ctl__endpoints all;
    const char *list[CTL__ENDPOINTS_MAX];
    if (c->options.discovery_srv != NULL) {
        return link_by_dns(c, code);
    }
    if (!ctl__endpoints_read(c, &all, code)) {
        return NULL;
    }
    for (size_t i = 0; i < all.count; i++) {
        list[i] = all.items[i];
    }
    return link_new(c, list, all.count, NULL, code);
}

struct oak_client *ctl__client(struct ctl *c, int *code)
{
    if (c->link == NULL) {
        c->link = ctl__link_new(c, code);
    }
    return c->link == NULL ? NULL : c->link->client;
}

struct ctl__link *ctl__link_http(struct ctl *c, const char *endpoint, const char *server_name,
                                 int *code)
{
    struct ctl__link *link = calloc(1, sizeof(*link));
    if (link == NULL || (c->os == NULL && oak_os_loop_new(&c->os) != 0)) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        free(link);
        return NULL;
    }
    if (ctl__wants_tls(&c->options, &endpoint, 1) &&
        !encrypt(c, link, "http/1.1", server_name, code)) {
        ctl__unlink(link);
        return NULL;
    }
    return link;
}

const struct oak_net *ctl__link_net(struct ctl *c, struct ctl__link *link)
{
    return link->net != NULL ? oak_tls_net_port(link->net) : &oak_os_loop_port(c->os)->net;
}
