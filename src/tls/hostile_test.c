/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_test.c: peers that are silent, speak something else, or make work for nothing. */
#include <openssl/err.h>

#include "tls/test_world.h"

#include "tls/internal.h"

/* -- silence ----------------------------------------------------------------------------------- */

static void raw_data(void *user, struct oak_bytes bytes)
{
    struct end *e = user;
    assert_int_equal(oak_buf_append(&e->got, bytes.data, bytes.size), 0);
}

static void raw_handle(struct end *e, struct fake_stream *s)
{
    const struct oak_stream_handler handler = {
        .data = raw_data, .drained = end_drained, .closed = end_closed, .user = e};
    e->stream = &s->base;
    e->opened++;
    s->base.ops->handle(&s->base, &handler);
}

static void a_client_that_says_nothing_is_cut_off(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    raw_handle(&w.c, fake_arrive(&w.loop));
    fake_advance(&w.loop, 9 * SECOND);
    assert_int_equal(w.c.closed, 0);
    assert_int_equal(end_write(&w.c, oak_bytes("\x16\x03\x01\x01", 4)), 0); /* is no handshake */
    fake_run(&w.loop);
    fake_advance(&w.loop, 1 * SECOND);
    assert_int_equal(w.c.closed, 1);
    assert_int_equal(w.s.report_error, OAK_EDEADLINE);
    assert_string_equal(w.s.report, "no handshake in time");
    assert_int_equal(w.s.opened, 0);
    world_close(&w);
}

static void a_server_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        struct world w;
        world_init(&w);
        w.client_options.handshake_ns = own ? 3 * SECOND : 60 * SECOND; /* connect gives 20 s */
        world_open(&w);
        w.loop.server_alone = true;
        world_connect(&w, "localhost:443");
        raw_handle(&w.s, w.loop.raw);
        fake_run(&w.loop);
        fake_advance(&w.loop, (own ? 2 : 19) * SECOND);
        assert_int_equal(w.c.error, 0);
        fake_advance(&w.loop, 1 * SECOND);
        assert_int_equal(w.c.error, OAK_EDEADLINE);
        assert_int_equal(w.c.report_error, OAK_EDEADLINE);
        assert_true(w.s.got.size > 100); /* the hello */
        assert_int_equal(w.s.closed, 1);
        world_close(&w);
    }
}

static void with_one_too_many_the_oldest_handshake_ends(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.server_options.handshakes_max = 3;
    world_open(&w);
    struct end silent[4] = {0};
    for (size_t i = 0; i < 4; i++) {
        raw_handle(&silent[i], fake_arrive(&w.loop));
        fake_advance(&w.loop, SECOND);
        assert_int_equal(silent[0].closed, i == 3);
    }
    assert_int_equal(w.s.report_error, OAK_ELIMIT);
    assert_int_equal(w.s.reports, 1);
    /* Who makes his handshake is let in, whoever else waits. */
    w.s.reports = w.s.report_error = 0;
    world_connect(&w, "localhost:443");
    assert_int_equal(silent[1].closed, 1);
    w.s.report_error = 0;
    world_converse(&w);
    assert_int_equal(silent[2].closed + silent[3].closed, 0);
    fake_advance(&w.loop, 20 * SECOND);
    assert_int_equal(silent[2].closed + silent[3].closed, 2);
    assert_int_equal(w.s.closed, 0);
    world_close(&w);
}

static void a_client_that_leaves_within_its_handshake_is_told_of(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    raw_handle(&w.c, fake_arrive(&w.loop));
    end_close(&w.c, true);
    fake_run(&w.loop);
    assert_int_equal(w.s.report_error, OAK_ETLS);
    assert_non_null(strstr(w.s.report, "left within the handshake"));
    world_close(&w);
}

/* -- other languages --------------------------------------------------------------------------- */

static void who_speaks_something_else_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        const char *reason;
    } cases[] = {
        {"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "speaks HTTP without TLS"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "does not speak TLS"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"},
        {"\x16\x03\x01\x50\x01", "packet length too long"},
        {"\x16\x03\x01\x00\x04\x02\xff\xff\xff", "unexpected message"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        world_open(&w);
        raw_handle(&w.c, fake_arrive(&w.loop));
        size_t size = cases[i].says[0] == '\x16' ? (i == 3 ? 5 : 9) : strlen(cases[i].says);
        assert_int_equal(end_write(&w.c, oak_bytes(cases[i].says, size)), 0);
        fake_run(&w.loop);
        if (w.s.report_error != OAK_ETLS || strstr(w.s.report, cases[i].reason) == NULL) {
            fail_msg("case %zu: \"%s\"", i, w.s.report);
        }
        assert_int_equal(w.c.closed, 1);
        world_close(&w);
    }
}

static void a_server_that_does_not_speak_tls_is_told_of(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    w.loop.server_alone = true;
    world_connect(&w, "localhost:443");
    raw_handle(&w.s, w.loop.raw);
    assert_int_equal(end_say(&w.s, "HTTP/1.1 400 Bad Request\r\n\r\n"), 0);
    fake_run(&w.loop);
    assert_int_equal(w.c.error, OAK_ETLS);
    assert_non_null(strstr(w.c.report, "does not speak TLS"));
    world_close(&w);
}

static void a_changed_byte_ends_the_connection(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t v = 0; v < OAK_COUNT_OF(versions); v++) {
        struct world w;
        world_init(&w);
        w.client_options.version_max = versions[v];
        world_open(&w);
        world_connect(&w, "localhost:443");
        struct oak_buf *below = &w.loop.client_end->queue;
        assert_int_equal(end_say(&w.c, "good"), 0);
        assert_int_equal(end_say(&w.c, "bad!"), 0);
        below->data[below->size - 1] ^= 1;
        fake_run(&w.loop);
        assert_got(&w.s, "good");
        assert_int_equal(w.s.closed, 1);
        assert_int_equal(w.s.error, OAK_ETLS);
        assert_non_null(strstr(w.s.report, "bad record mac"));
        assert_int_equal(w.c.closed, 1);
        assert_int_equal(w.c.error, OAK_ETLS);
        assert_non_null(strstr(w.c.report, "alert bad record mac"));
        world_close(&w);
    }
}

/* -- work for nothing -------------------------------------------------------------------------- */

static SSL *ssl_of(const struct end *e)
{
    return OAK_CONTAINER_OF(e->stream, struct tls_stream, base)->ssl;
}

/* Send what the test has made OpenSSL write. */
static void push(const struct end *e)
{
    struct tls_stream *s = OAK_CONTAINER_OF(e->stream, struct tls_stream, base);
    assert_true(s->net->cipher.size > 0);
    assert_int_equal(s->under->ops->write(s->under, oak_buf_bytes(&s->net->cipher)), 0);
    oak_buf_clear(&s->net->cipher);
}

static void keys_update(const struct end *e, int times, int kind)
{
    for (int i = 0; i < times; i++) {
        assert_int_equal(SSL_key_update(ssl_of(e), kind), 1);
        assert_int_equal(SSL_do_handshake(ssl_of(e)), 1);
    }
    push(e);
}

static void new_keys_are_taken_and_a_flood_of_them_is_not(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    keys_update(&w.c, 20, SSL_KEY_UPDATE_REQUESTED);
    fake_run(&w.loop);
    world_converse(&w);
    keys_update(&w.c, 11, SSL_KEY_UPDATE_REQUESTED);
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 0);
    keys_update(&w.c, 3, SSL_KEY_UPDATE_REQUESTED);
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 1);
    assert_int_equal(w.s.error, OAK_ETLS);
    assert_non_null(strstr(w.s.report, "too many messages"));
    world_close(&w);
}

static void new_keys_with_data_between_them_are_no_flood(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    size_t size = OAK_MIB + 1;
    uint8_t *bytes = calloc(1, size);
    for (int i = 0; i < 40; i++) {
        keys_update(&w.c, 1, SSL_KEY_UPDATE_NOT_REQUESTED);
        assert_int_equal(end_write(&w.c, oak_bytes(bytes, size)), 0);
        fake_run(&w.loop);
        assert_int_equal(w.s.got.size, size);
        oak_buf_clear(&w.s.got);
    }
    free(bytes);
    keys_update(&w.c, 32,
                SSL_KEY_UPDATE_NOT_REQUESTED); /* what was saved up is no more than at the start */
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 0);
    keys_update(&w.c, 1, SSL_KEY_UPDATE_NOT_REQUESTED);
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 1);
    world_close(&w);
}

static void what_was_saved_up_has_an_end(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    size_t size = 5 * OAK_MIB;
    uint8_t *bytes = calloc(1, size);
    assert_int_equal(end_write(&w.c, oak_bytes(bytes, size)), 0);
    free(bytes);
    fake_run(&w.loop);
    assert_int_equal(w.s.got.size, size);
    keys_update(&w.c, 32, SSL_KEY_UPDATE_NOT_REQUESTED);
    assert_int_equal(end_say(&w.c, "x"), 0);
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 0);
    keys_update(&w.c, 3, SSL_KEY_UPDATE_NOT_REQUESTED);
    fake_run(&w.loop);
    assert_int_equal(w.s.closed, 1);
    world_close(&w);
}

static void echo(struct end *e, struct oak_bytes bytes)
{
    assert_int_equal(e->stream->ops->write(e->stream, bytes), 0);
}

static void an_answer_to_new_keys_leaves_before_the_data_is_told(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    world_open(&w);
    world_connect(&w, "localhost:443");
    w.s.on_data = echo; /* writes while the answer would still wait */
    keys_update(&w.c, 2, SSL_KEY_UPDATE_REQUESTED);
    assert_int_equal(end_say(&w.c, "hello"), 0);
    fake_run(&w.loop);
    assert_got(&w.c, "hello");
    world_close(&w);
}

static void a_client_does_not_renegotiate_for_a_server(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.client_options.version_max = OAK_TLS_VERSION_1_2;
    world_open(&w);
    world_connect(&w, "localhost:443");
    SSL_clear_options(ssl_of(&w.s), SSL_OP_NO_RENEGOTIATION);
    SSL *client = ssl_of(&w.c);
    assert_int_equal(SSL_renegotiate(ssl_of(&w.s)), 1);
    SSL_do_handshake(ssl_of(&w.s));
    push(&w.s);
    fake_round(&w.loop);
    assert_int_equal(SSL_num_renegotiations(client), 0);
    fake_run(&w.loop);
    world_close(&w);
}

static void nobody_renegotiates(void **state)
{
    (void)state;
    struct world w;
    world_init(&w);
    w.client_options.version_max = OAK_TLS_VERSION_1_2;
    world_open(&w);
    world_connect(&w, "localhost:443");
    SSL_clear_options(ssl_of(&w.c), SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(ssl_of(&w.c)), 1);
    SSL_do_handshake(ssl_of(&w.c));
    push(&w.c);
    fake_run(&w.loop);
    assert_int_equal(w.c.closed, 1); /* it was told no, and can't go on */
    assert_int_equal(w.c.error, OAK_ETLS);
    assert_non_null(strstr(w.c.report, "no renegotiation"));
    struct oak_tls_counts counts;
    oak_tls_counts(w.server_tls, &counts);
    assert_int_equal(counts.handshakes, 1);
    world_close(&w);
}

static void nothing_is_left_to_resume_by(void **state)
{
    (void)state;
    static const enum oak_tls_version versions[] = {OAK_TLS_VERSION_1_2, OAK_TLS_VERSION_1_3};
    for (size_t v = 0; v < OAK_COUNT_OF(versions); v++) {
        struct world w;
        world_init(&w);
        w.client_options.version_max = versions[v];
        world_open(&w);
        world_connect(&w, "localhost:443");
        world_converse(&w);
        const SSL_SESSION *session = SSL_get0_session(ssl_of(&w.c));
        assert_false(SSL_SESSION_has_ticket(session));
        unsigned id_size = 0;
        SSL_SESSION_get_id(session, &id_size);
        OAK_MAYBE(id_size > 0);
        assert_false(SSL_SESSION_is_resumable(session) && versions[v] == OAK_TLS_VERSION_1_3);
        world_close(&w);
    }
}

/* -- heaps of certificates --------------------------------------------------------------------- */

static void long_chain(struct world *w, size_t count)
{
    struct oak_buf *chain = &w->pem[w->pem_count++];
    struct oak_buf links = {0};
    struct cert_pair above = {0};
    for (size_t i = 0; i < count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "link %zu", i);
        struct cert_pair link = cert_pair_new(&(struct cert_wanted){
            .common_name = name, .ca = true, .issuer = i == 0 ? &w->ca : &above});
        struct oak_buf longer = {0};
        pem_cert(&longer, &link);
        assert_int_equal(oak_buf_append(&longer, links.data, links.size), 0);
        oak_buf_fini(&links);
        links = longer;
        cert_pair_free(&above);
        above = link;
    }
    struct cert_pair p =
        cert_pair_new(&(struct cert_wanted){.common_name = "client", .issuer = &above});
    pem_cert(chain, &p);
    assert_int_equal(oak_buf_append(chain, links.data, links.size), 0);
    w->client_options.material.certificate.bytes = oak_buf_bytes(chain);
    w->client_options.material.key.bytes = world_key(w, &p);
    oak_buf_fini(&links);
    cert_pair_free(&above);
    cert_pair_free(&p);
}

static void chains_have_an_end(void **state)
{
    (void)state;
    static const struct {
        size_t links;
        const char *reason; /* NULL: accepted */
    } cases[] = {{8, NULL}, {9, "certificate chain too long"}, {300, "excessive message size"}};
    for (size_t i = 0; i < OAK_COUNT_OF(cases); i++) {
        struct world w;
        world_init(&w);
        long_chain(&w, cases[i].links);
        w.server_options.client_certificate = OAK_TLS_CLIENT_REQUIRED;
        world_open(&w);
        world_connect(&w, "localhost:443");
        if (cases[i].reason == NULL) {
            world_converse(&w);
        } else {
            assert_int_equal(w.s.opened, 0);
            if (strstr(w.s.report, cases[i].reason) == NULL) {
                fail_msg("%zu links: \"%s\"", cases[i].links, w.s.report);
            }
        }
        world_close(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_that_says_nothing_is_cut_off),
        cmocka_unit_test(a_server_that_says_nothing_is_given_up),
        cmocka_unit_test(with_one_too_many_the_oldest_handshake_ends),
        cmocka_unit_test(a_client_that_leaves_within_its_handshake_is_told_of),
        cmocka_unit_test(who_speaks_something_else_is_told_apart),
        cmocka_unit_test(a_server_that_does_not_speak_tls_is_told_of),
        cmocka_unit_test(a_changed_byte_ends_the_connection),
        cmocka_unit_test(new_keys_are_taken_and_a_flood_of_them_is_not),
        cmocka_unit_test(new_keys_with_data_between_them_are_no_flood),
        cmocka_unit_test(what_was_saved_up_has_an_end),
        cmocka_unit_test(an_answer_to_new_keys_leaves_before_the_data_is_told),
        cmocka_unit_test(a_client_does_not_renegotiate_for_a_server),
        cmocka_unit_test(nobody_renegotiates),
        cmocka_unit_test(nothing_is_left_to_resume_by),
        cmocka_unit_test(chains_have_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
