/* SPDX-License-Identifier: Apache-2.0 */
/* socket_test.c: TLS over real sockets: with OpenSSL's own programs at the other end, and with gRPC
 * inside. */
#include <stdio.h>
#include <unistd.h>

#include "rpc/test_pair.h"

#include "oakum/tls.h"
#include "os/os.h"
#include "tls/test_certs.h"

enum { CA, SERVER_CERT, SERVER_KEY, CLIENT_CERT, CLIENT_KEY, OUTPUT, SOCKET, FILES };

struct world {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    char dir[64];
    char files[FILES][96];
    struct oak_tls *server_tls;
    struct oak_tls *client_tls;
    struct oak_tls_net *server_net;
    struct oak_tls_net *client_net;
    struct oak_listener *listener;
    struct oak_timer again;
    struct oak_stream *stream;
    struct oak_buf got;
    int accepted;
    int closed;
    int error;
    bool exited;
    int64_t exit_code;
    char report[256];
};

/* -- files ------------------------------------------------------------------------------------- */

static void file_write(const char *path, struct oak_buf *b)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b->data, 1, b->size, f), b->size);
    assert_int_equal(fclose(f), 0);
    oak_buf_fini(b);
}

static void files_write(struct world *w)
{
    static const char *const names[FILES] = {"ca.crt",     "server.crt", "server.key", "client.crt",
                                             "client.key", "output",     "socket"};
    snprintf(w->dir, sizeof(w->dir), "/tmp/oak-tls-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    for (size_t i = 0; i < FILES; i++) {
        snprintf(w->files[i], sizeof(w->files[i]), "%s/%s", w->dir, names[i]);
    }
    struct cert_pair ca = cert_pair_new(&(struct cert_wanted){.common_name = "ca", .ca = true});
    struct cert_pair ends[2] = {
        cert_pair_new(&(struct cert_wanted){.common_name = "server",
                                            .names = "DNS:localhost,IP:127.0.0.1",
                                            .usage = "serverAuth",
                                            .issuer = &ca}),
        cert_pair_new(
            &(struct cert_wanted){.common_name = "client", .usage = "clientAuth", .issuer = &ca}),
    };
    struct oak_buf b = {0};
    pem_cert(&b, &ca);
    file_write(w->files[CA], &b);
    for (int i = 0; i < 2; i++) {
        pem_cert(&b, &ends[i]);
        file_write(w->files[SERVER_CERT + 2 * i], &b);
        pem_key(&b, &ends[i]);
        file_write(w->files[SERVER_KEY + 2 * i], &b);
        cert_pair_free(&ends[i]);
    }
    cert_pair_free(&ca);
}

/* -- the world --------------------------------------------------------------------------------- */

static void reported(void *user, const char *peer, int error, const char *text)
{
    (void)peer;
    (void)error;
    struct world *w = user;
    snprintf(w->report, sizeof(w->report), "%s", text);
}

static void stop_if_over(struct world *w)
{
    if (w->exited && w->closed == w->accepted) {
        oak_os_loop_stop(w->os);
    }
}

static struct oak_tls *tls_of(struct world *w, enum oak_tls_role role)
{
    bool server = role == OAK_TLS_SERVER;
    struct oak_tls_options o = {
        .role = role,
        .client_certificate = server ? OAK_TLS_CLIENT_REQUIRED : OAK_TLS_CLIENT_NONE,
        .material = {.ca.file = w->files[CA],
                     .certificate.file = w->files[server ? SERVER_CERT : CLIENT_CERT],
                     .key.file = w->files[server ? SERVER_KEY : CLIENT_KEY]},
        .report = reported,
        .user = w,
    };
    struct oak_tls *tls;
    struct oak_errbuf e = {0};
    int error = oak_tls_new(&o, &tls, &e);
    assert_string_equal(e.text, "");
    assert_int_equal(error, 0);
    return tls;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_int_equal(oak_os_loop_new(&w->os), 0);
    w->loop = oak_os_loop_port(w->os);
    files_write(w);
    w->server_tls = tls_of(w, OAK_TLS_SERVER);
    w->client_tls = tls_of(w, OAK_TLS_CLIENT);
    assert_int_equal(oak_tls_net_new(w->server_tls, w->loop, NULL, NULL, &w->server_net), 0);
    assert_int_equal(oak_tls_net_new(w->client_tls, w->loop, NULL, NULL, &w->client_net), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    oak_tls_net_free(w->server_net);
    oak_tls_net_free(w->client_net);
    oak_tls_free(w->server_tls);
    oak_tls_free(w->client_tls);
    oak_os_loop_free(w->os);
    for (size_t i = 0; i < FILES; i++) {
        unlink(w->files[i]);
    }
    assert_int_equal(rmdir(w->dir), 0);
    oak_buf_fini(&w->got);
    free(w);
    return 0;
}

/* -- OpenSSL's programs ------------------------------------------------------------------------ */

static void exited(void *user, int64_t code, int signal)
{
    struct world *w = user;
    assert_int_equal(signal, 0);
    w->exited = true;
    w->exit_code = code;
    stop_if_over(w);
}

static void start(struct world *w, const char *command)
{
    const char *const argv[] = {"sh", "-c", command, NULL};
    const struct oak_os_child_options o = {
        .argv = argv, .directory = w->dir, .output = w->files[OUTPUT], .exited = exited, .user = w};
    struct oak_os_child *child;
    struct oak_errbuf e = {0};
    unlink(w->files[OUTPUT]);
    w->exited = false;
    assert_int_equal(oak_os_child_spawn(w->os, &o, &child, &e), 0);
}

/* Does what the program has printed contain `text`? */
static bool printed(struct world *w, const char *text)
{
    char all[16384] = {0};
    FILE *f = fopen(w->files[OUTPUT], "rb");
    assert_non_null(f);
    size_t size = fread(all, 1, sizeof(all) - 1, f);
    fclose(f);
    for (size_t i = 0; i < size; i++) {
        all[i] = all[i] == '\0' ? ' ' : all[i];
    }
    return strstr(all, text) != NULL;
}

static void pong_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    assert_int_equal(oak_buf_append(&w->got, bytes.data, bytes.size), 0);
    if (w->got.size == 4) {
        assert_int_equal(w->stream->ops->write(w->stream, oak_bytes_str("pong\n")), 0);
        w->stream->ops->close(w->stream, false);
    }
}

static void pong_closed(void *user, int error)
{
    struct world *w = user;
    w->closed++;
    w->error = error;
    stop_if_over(w);
}

static void pong_accepted(void *arg, struct oak_stream *s)
{
    struct world *w = arg;
    w->accepted++;
    w->stream = s;
    assert_string_equal(s->ops->identity(s)->common_name, "client");
    const struct oak_stream_handler handler = {.data = pong_data, .closed = pong_closed, .user = w};
    s->ops->handle(s, &handler);
}

struct case_ {
    const char *arguments; /* of s_client */
    bool taken;
    const char *report; /* of ours, when not */
};

static void s_client_is_served(void **state)
{
    struct world *w = *state;
    static const struct case_ cases[] = {
        {"-cert client.crt -key client.key -alpn h2 -tls1_2", true, NULL},
        {"-cert client.crt -key client.key -alpn h2 -tls1_3", true, NULL},
        {"-cert client.crt -key client.key -alpn http/1.1,h2 -tls1_3 -groups P-256", true, NULL},
        {"-cert client.crt -key client.key -alpn http/1.1", false, "ALPN"},
        {"-cert client.crt -key client.key", false, ""},
        {"-alpn h2 -tls1_2", false, "did not return a certificate"},
        {"-alpn h2 -tls1_3", false, "did not return a certificate"},
        {"-cert server.crt -key server.key -alpn h2", false, "purpose"},
        {"-cert client.crt -key client.key -alpn h2 -tls1_1", false, ""},
        {"-cert client.crt -key client.key -alpn h2 -tls1_2 -cipher AES128-SHA", false,
         "no shared cipher"},
    };
    const struct oak_net *net = oak_tls_net_port(w->server_net);
    struct oak_errbuf e = {0};
    assert_int_equal(net->listen(net->user, "127.0.0.1:0", pong_accepted, w, &w->listener, &e), 0);
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        char command[512];
        snprintf(command, sizeof(command),
                 "printf ping | openssl s_client -connect %s -CAfile ca.crt -verify_return_error "
                 "-verify_hostname localhost -quiet %s",
                 net->listener_name(net->user, w->listener), cases[i].arguments);
        oak_buf_clear(&w->got);
        w->report[0] = '\0';
        int before = w->accepted;
        start(w, command);
        oak_os_loop_run(w->os);
        if (w->accepted - before != cases[i].taken || (w->exit_code == 0) != cases[i].taken ||
            printed(w, "pong") != cases[i].taken) {
            fail_msg("%s: \"%s\"", cases[i].arguments, w->report);
        }
        if (cases[i].taken) {
            assert_int_equal(w->got.size, 4);
            assert_int_equal(w->error, 0);
        } else if (strstr(w->report, cases[i].report) == NULL) {
            fail_msg("%s: \"%s\"", cases[i].arguments, w->report);
        }
    }
    net->listener_close(net->user, w->listener);
}

/* -- s_server ---------------------------------------------------------------------------------- */

static void rev_data(void *user, struct oak_bytes bytes)
{
    struct world *w = user;
    assert_int_equal(oak_buf_append(&w->got, bytes.data, bytes.size), 0);
    if (w->got.size == 6) {
        w->stream->ops->close(w->stream, false);
    }
}

static void rev_closed(void *user, int error)
{
    struct world *w = user;
    w->closed++;
    w->error = error;
    stop_if_over(w);
}

static void rev_connect(struct oak_timer *timer);

static void rev_connected(void *arg, int error, struct oak_stream *s)
{
    struct world *w = arg;
    if (error == OAK_ENOENT || error == OAK_EREFUSED) { /* it does not yet listen */
        uint64_t now = w->loop->clock.mono_ns(w->loop->clock.user);
        w->again.fire = rev_connect;
        w->loop->timers.set(w->loop->timers.user, &w->again, now + 10 * 1000 * 1000);
        return;
    }
    w->error = error;
    if (error != 0) {
        return;
    }
    w->accepted++;
    w->stream = s;
    assert_string_equal(s->ops->identity(s)->common_name, "server");
    const struct oak_process *process = s->ops->process(s); /* of the socket below */
    assert_non_null(process);
    assert_int_not_equal(process->pid, getpid());
    assert_int_equal(process->uid, geteuid());
    const struct oak_stream_handler handler = {.data = rev_data, .closed = rev_closed, .user = w};
    s->ops->handle(s, &handler);
    assert_int_equal(s->ops->write(s, oak_bytes_str("hello\n")), 0);
}

static void rev_connect(struct oak_timer *timer)
{
    struct world *w = OAK_CONTAINER_OF(timer, struct world, again);
    const struct oak_net *net = oak_tls_net_port(w->client_net);
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", w->files[SOCKET]);
    assert_int_equal(net->connect(net->user, address, 60 * SECOND, rev_connected, w), 0);
}

static void s_server_is_spoken_to(void **state)
{
    struct world *w = *state;
    static const struct case_ cases[] = {
        {"-alpn h2 -tls1_2", true, NULL},
        {"-alpn h2 -tls1_3", true, NULL},
        {"-alpn h2 -tls1_3 -Verify 2 -verify_return_error -CAfile ca.crt", true, NULL},
        {"-alpn h2 -tls1_2 -Verify 2 -verify_return_error -CAfile ca.crt", true, NULL},
        {"-tls1_3", false, "no protocol in common"},
        {"-alpn http/1.1", false, "no protocol in common"},
        {"-alpn h2 -cert client.crt -key client.key", false, "purpose"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        char command[512];
        snprintf(command, sizeof(command),
                 "openssl s_server -unix socket -cert server.crt -key server.key -rev -naccept 1 "
                 "%s",
                 cases[i].arguments);
        oak_buf_clear(&w->got);
        unlink(w->files[SOCKET]);
        w->report[0] = '\0';
        int before = w->accepted;
        start(w, command);
        rev_connect(&w->again);
        oak_os_loop_run(w->os);
        if (w->accepted - before != cases[i].taken) {
            fail_msg("%s: \"%s\"", cases[i].arguments, w->report);
        }
        if (cases[i].taken) {
            assert_int_equal(w->got.size, 6);
            assert_memory_equal(w->got.data, "olleh\n", 6);
            assert_int_equal(w->error, 0);
        } else {
            assert_int_equal(w->error, OAK_ETLS);
            if (strstr(w->report, cases[i].report) == NULL) {
                fail_msg("%s: \"%s\"", cases[i].arguments, w->report);
            }
        }
    }
}

/* -- gRPC -------------------------------------------------------------------------------------- */

struct talk {
    struct world *w;
    struct oak_rpc_server *server;
    struct oak_rpc_subchannel *sub;
    struct echo echo;
    struct recorder r;
    struct oak_after stop;
    int left;
    int answered;
    bool over;
};

static void who_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    (void)user;
    (void)call;
    (void)bytes;
}

static void who_over(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)user;
    (void)call;
    (void)status;
}

static const struct oak_rpc_handler who_server_handler = {.message = who_message,
                                                          .closed = who_over};

static void who_start(void *user, struct oak_rpc_call *call)
{
    (void)user;
    const struct oak_identity *client = oak_rpc_call_identity(call);
    oak_rpc_call_handle(call, &who_server_handler, NULL);
    oak_rpc_call_finish(call, client != NULL ? OAK_RPC_ABORTED : OAK_RPC_UNAUTHENTICATED,
                        client != NULL ? client->common_name : "who?");
}

static void talk_next(struct talk *t);

static void talk_message(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct talk *t = user;
    recorder_message(&t->r, call, bytes);
}

static void talk_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct talk *t = user;
    recorder_closed(&t->r, call, status);
    assert_int_equal(t->r.code, OAK_RPC_OK);
    assert_int_equal(t->r.messages, 1);
    recorder_fini(&t->r);
    t->r = (struct recorder){0};
    t->answered++;
    talk_next(t);
}

static const struct oak_rpc_handler talk_handler = {.message = talk_message, .closed = talk_closed};

/* One call after the other, of all sizes; now and then everything is read again. */
static void talk_next(struct talk *t)
{
    static const size_t sizes[] = {0, 10, 5000, 70000, 1500000};
    if (t->left == 0) {
        oak_os_loop_stop(t->w->os);
        return;
    }
    if (t->left % 20 == 0) {
        struct oak_errbuf e = {0};
        assert_int_equal(oak_tls_reload(t->w->server_tls, &e), 0);
        assert_int_equal(oak_tls_reload(t->w->client_tls, &e), 0);
    }
    const struct oak_rpc_request request = {.service = "t.Echo",
                                            .method = "Unary",
                                            .timeout_ns = 60 * SECOND,
                                            .handler = &talk_handler,
                                            .user = t};
    size_t size = sizes[t->left % (int)OAK_COUNT_OF(sizes)];
    t->left--;
    assert_int_equal(oak_rpc_subchannel_call(t->sub, &request, &t->r.call), 0);
    uint8_t *to = oak_rpc_call_send_into(t->r.call, size);
    assert_non_null(to);
    memset(to, 5, size);
    oak_rpc_call_half_close(t->r.call);
}

static void who_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    (void)call;
    struct talk *t = user;
    assert_int_equal(status->code, OAK_RPC_ABORTED);
    assert_true(oak_bytes_eq(status->message, oak_bytes_str("client")));
    talk_next(t);
}

static void talk_accepted(void *arg, struct oak_stream *s)
{
    struct talk *t = arg;
    assert_int_equal(oak_rpc_serve(t->server, s, oak_bytes(NULL, 0)), 0);
}

static void talk_end(struct oak_after *after)
{
    struct talk *t = OAK_CONTAINER_OF(after, struct talk, stop);
    if (t->over && oak_rpc_server_connections(t->server) == 0) {
        oak_os_loop_stop(t->w->os);
    }
}

static void grpc_goes_through_it_and_knows_its_client(void **state)
{
    struct talk t = {.w = *state, .left = 200, .stop.run = talk_end};
    const struct oak_loop *loop = t.w->loop;
    const struct oak_net *net = oak_tls_net_port(t.w->server_net);
    struct oak_errbuf e = {0};
    assert_int_equal(oak_rpc_server_new(loop, NULL, &t.server), 0);
    echo_add(t.server, &t.echo);
    const struct oak_rpc_method who = {
        .service = "t.Who", .name = "Who", .kind = OAK_RPC_UNARY, .start = who_start};
    assert_int_equal(oak_rpc_server_add(t.server, &who), 0);
    assert_int_equal(net->listen(net->user, "127.0.0.1:0", talk_accepted, &t, &t.w->listener, &e),
                     0);
    const struct oak_rpc_subchannel_options o = {.net = oak_tls_net_port(t.w->client_net)};
    const char *address = net->listener_name(net->user, t.w->listener);
    assert_int_equal(oak_rpc_subchannel_new(loop, address, &o, &t.sub), 0);
    static const struct oak_rpc_handler who_handler = {.message = talk_message,
                                                       .closed = who_closed};
    const struct oak_rpc_request request = {
        .service = "t.Who", .method = "Who", .handler = &who_handler, .user = &t};
    struct oak_rpc_call *call;
    assert_int_equal(oak_rpc_subchannel_call(t.sub, &request, &call), 0);
    assert_int_equal(oak_rpc_call_send(call, oak_bytes(NULL, 0)), 0);
    oak_rpc_call_half_close(call);
    oak_os_loop_run(t.w->os);
    assert_int_equal(t.answered, 200);
    oak_rpc_subchannel_free(t.sub);
    t.over = true;
    loop->after_add(loop->user, &t.stop);
    oak_os_loop_run(t.w->os);
    loop->after_remove(loop->user, &t.stop);
    net->listener_close(net->user, t.w->listener);
    oak_rpc_server_free(t.server);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(s_client_is_served),
        T(s_server_is_spoken_to),
        T(grpc_goes_through_it_and_knows_its_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
