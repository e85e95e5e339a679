/* SPDX-License-Identifier: Apache-2.0 */
/* stream.c: a byte stream with TLS inside, over another byte stream.
 *
 *     handshake ──done──► open ──close; peer's close_notify; error──► ending ──below closed──► gone
 *         └──error, too late, peer gone────────────────────────────────►
 *
 * Happy path   1 what the stream below brings goes through OpenSSL: the handshake first
 *              2 the owner gets the stream; from then on clear text goes to its handler
 *              3 what the owner writes is encrypted into net->cipher, and written below at once
 *              4 close in order: close_notify, then the stream below is closed in order
 * Can fail     TLS (OAK_ETLS, told to `report`): the peer gets an alert, the stream ends. The end
 *              of the stream below without close_notify is OAK_ETRUNCATED: somebody on the way may
 *              have cut it. Want of memory ends the stream.
 * Invariants   net->cipher is empty whenever a callback is made or a call of ours returns. Clear
 *              text waits in OpenSSL or as `held` only while we are paused or have no handler, and
 *              then the stream below is paused. No callback comes from inside a call.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "tls/internal.h"

static struct tls_stream *of_base(struct oak_stream *base)
{
    return OAK_CONTAINER_OF(base, struct tls_stream, base);
}

/* Send what OpenSSL has written. If the stream below refuses it, its `closed` will tell. */
static int flush(struct tls_stream *s)
{
    struct oak_buf *cipher = &s->net->cipher;
    if (cipher->size == 0) {
        return 0;
    }
    int error = s->under->ops->write(s->under, oak_buf_bytes(cipher));
    oak_buf_clear(cipher);
    if (cipher->capacity > 2 * TLS_PLAIN_BYTES) {
        oak_buf_fini(cipher);
    }
    return error;
}

static void resume_cancel(struct tls_stream *s)
{
    if (s->resuming) {
        s->resuming = false;
        s->net->loop->after_remove(s->net->loop->user, &s->resume);
    }
}

/* Nothing more to the owner, and nothing from it; the stream below closes. */
static void end(struct tls_stream *s, int error, bool now)
{
    OAK_ASSERT(s->state != TLS_ENDING);
    s->state = TLS_ENDING;
    s->error = error;
    resume_cancel(s);
    oak_buf_fini(&s->held);
    s->in = oak_bytes(NULL, 0);
    s->under->ops->close(s->under, now);
}

/* An open stream can't go on. */
static void broken(struct tls_stream *s, int error, const char *reason)
{
    flush(s); /* the alert */
    atomic_fetch_add(&s->net->tls->failed, 1);
    tls__net_report(s->net, s->peer, error, reason);
    end(s, error, false);
}

static void broken_tls(struct tls_stream *s)
{
    char reason[TLS_REASON_BYTES];
    if (s->flooded) {
        snprintf(reason, sizeof(reason), "too many messages behind the handshake");
    } else {
        tls__reason(s->ssl, reason, sizeof(reason));
    }
    broken(s, OAK_ETLS, reason);
}

/* Our side of an end in order. */
static void end_in_order(struct tls_stream *s)
{
    ERR_clear_error();
    int rc = SSL_shutdown(s->ssl);
    OAK_MAYBE(rc < 0);
    flush(s);
    end(s, 0, false);
}

/* -- reading ----------------------------------------------------------------------------------- */

static bool wants_data(const struct tls_stream *s)
{
    return s->state == TLS_OPEN && s->handled && !s->paused;
}

static void deliver(struct tls_stream *s, size_t size)
{
    flush(s); /* an answer of OpenSSL's own: the handler may write to other streams */
    s->post_bytes += size;
    while (s->post_bytes >= TLS_POST_MESSAGES_EVERY && s->post_left < TLS_POST_MESSAGES_MAX) {
        s->post_bytes -= TLS_POST_MESSAGES_EVERY;
        s->post_left++;
    }
    s->post_bytes = OAK_MIN(s->post_bytes, TLS_POST_MESSAGES_EVERY);
    s->handler.data(s->handler.user, oak_bytes(s->net->plain, size));
}

enum got { GOT_DATA, GOT_NOTHING, GOT_END, GOT_ERROR };

/* Fill net->plain as far as what is there goes. */
static enum got read_some(struct tls_stream *s, size_t *size)
{
    *size = 0;
    while (*size < TLS_PLAIN_BYTES) {
        size_t got = 0;
        ERR_clear_error();
        if (SSL_read_ex(s->ssl, s->net->plain + *size, TLS_PLAIN_BYTES - *size, &got) == 1) {
            *size += got;
            continue;
        }
        switch (SSL_get_error(s->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
            if (s->flooded) {
                return GOT_ERROR;
            }
            if (s->in.size == 0) {
                return GOT_NOTHING;
            }
            break; /* it has read something that was no data */
        case SSL_ERROR_ZERO_RETURN:
            return GOT_END;
        default:
            return GOT_ERROR;
        }
    }
    return GOT_DATA;
}

/* Read `in`, as long as the owner wants data. What is left of it is the caller's to keep. */
static void read_all(struct tls_stream *s)
{
    enum got got = GOT_DATA;
    while (got == GOT_DATA && wants_data(s)) {
        size_t size = 0;
        got = read_some(s, &size);
        if (size > 0) {
            deliver(s, size);
        }
    }
    if (s->state != TLS_OPEN) {
        return; /* the handler has closed it */
    }
    if (got == GOT_END) {
        end_in_order(s);
    } else if (got == GOT_ERROR) {
        broken_tls(s);
    } else {
        flush(s);
    }
}

/* Read what is held and what came just now, and hold what is left. */
static void read_new(struct tls_stream *s, struct oak_bytes bytes)
{
    if (s->held.size > 0 && oak_buf_append(&s->held, bytes.data, bytes.size) != 0) {
        broken(s, OAK_ENOMEM, "out of memory");
        return;
    }
    bool from_held = s->held.size > 0;
    s->in = from_held ? oak_buf_bytes(&s->held) : bytes;
    read_all(s);
    if (s->state != TLS_OPEN) {
        return;
    }
    struct oak_bytes left = s->in;
    s->in = oak_bytes(NULL, 0);
    if (from_held) {
        oak_buf_consume(&s->held, s->held.size - left.size);
    } else if (oak_buf_append(&s->held, left.data, left.size) != 0) {
        broken(s, OAK_ENOMEM, "out of memory");
        return;
    }
    if (s->held.size == 0) {
        oak_buf_fini(&s->held);
    }
    if (!wants_data(s)) {
        s->under->ops->pause(s->under, true);
    }
}

static void resume_run(struct oak_after *after)
{
    struct tls_stream *s = OAK_CONTAINER_OF(after, struct tls_stream, resume);
    resume_cancel(s);
    if (!wants_data(s)) {
        return;
    }
    read_new(s, oak_bytes(NULL, 0));
    if (wants_data(s)) {
        s->under->ops->pause(s->under, false);
    }
}

/* The owner wants data (again): from the loop, not from inside its call. */
static void resume_soon(struct tls_stream *s)
{
    if (wants_data(s) && !s->resuming) {
        s->resuming = true;
        s->net->loop->after_add(s->net->loop->user, &s->resume);
    }
}

/* -- the handshake ----------------------------------------------------------------------------- */

static void handshake_over(struct tls_stream *s)
{
    const struct oak_timers *timers = &s->net->loop->timers;
    timers->stop(timers->user, &s->due);
    if (s->listener != NULL) {
        tls__net_handshake_over(s);
    }
}

void tls__stream_fail(struct tls_stream *s, int error, const char *reason)
{
    OAK_ASSERT(s->state == TLS_HANDSHAKE);
    handshake_over(s);
    atomic_fetch_add(&s->net->tls->failed, 1);
    tls__net_report(s->net, s->peer, error, reason);
    if (s->under == NULL) {
        s->state = TLS_ENDING;
    } else {
        end(s, error, error != OAK_ETLS); /* behind an alert, if there is one */
    }
    if (s->done != NULL) {
        void (*done)(void *, int, struct oak_stream *) = s->done;
        s->done = NULL;
        done(s->arg, error, NULL);
    }
}

static void due_fire(struct oak_timer *timer)
{
    struct tls_stream *s = OAK_CONTAINER_OF(timer, struct tls_stream, due);
    tls__stream_fail(s, OAK_EDEADLINE, "no handshake in time");
}

/* The owner gets the stream. */
static void handshake_done(struct tls_stream *s)
{
    const struct oak_tls *tls = s->net->tls;
    if (!tls__protocol_agreed(tls, s->ssl)) {
        tls__stream_fail(s, OAK_ETLS, "no protocol in common (ALPN)");
        return;
    }
    if (tls__identity_new(tls, s->ssl, &s->identity) != 0) {
        tls__stream_fail(s, OAK_ENOMEM, "out of memory");
        return;
    }
    handshake_over(s);
    s->state = TLS_OPEN;
    s->post_left = TLS_POST_MESSAGES_MAX;
    atomic_fetch_add(&s->net->tls->handshakes, 1);
    if (tls->options.insecure_skip_verify) {
        tls__net_report(s->net, s->peer, 0,
                        "the server's certificate is not verified: anyone may be it");
    }
    if (s->done != NULL) {
        void (*done)(void *, int, struct oak_stream *) = s->done;
        s->done = NULL;
        done(s->arg, 0, &s->base);
    } else {
        struct tls_listener *l = s->listener; /* `accepted` may close it */
        s->listener = NULL;
        l->accepted(l->arg, &s->base);
    }
}

static void handshake_step(struct tls_stream *s)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    int got = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(s->ssl, rc);
    char reason[TLS_REASON_BYTES];
    if (rc != 1 && got != SSL_ERROR_WANT_READ) {
        tls__reason(s->ssl, reason, sizeof(reason));
    }
    flush(s); /* also the alert of a failure */
    if (rc == 1) {
        handshake_done(s);
    } else if (got != SSL_ERROR_WANT_READ) {
        tls__stream_fail(s, OAK_ETLS, reason);
    }
}

/* OpenSSL tells of each message: behind the handshake they are counted, because each costs us work
 * and some an answer, and the peer next to nothing. */
static void message_seen(int written, int version, int type, const void *data, size_t size,
                         SSL *ssl, void *arg)
{
    (void)version;
    (void)data;
    (void)size;
    (void)ssl;
    struct tls_stream *s = arg;
    if (written || type != SSL3_RT_HANDSHAKE || s->state != TLS_OPEN) {
        return;
    }
    if (s->post_left == 0) {
        s->flooded = true;
    } else {
        s->post_left--;
    }
}

/* -- the stream below -------------------------------------------------------------------------- */

static void under_data(void *user, struct oak_bytes bytes)
{
    struct tls_stream *s = user;
    if (s->state == TLS_HANDSHAKE) {
        s->in = bytes;
        handshake_step(s);
        bytes = s->in; /* what came behind the handshake */
        s->in = oak_bytes(NULL, 0);
    }
    if (s->state == TLS_OPEN) {
        read_new(s, bytes);
    }
}

static void under_drained(void *user)
{
    struct tls_stream *s = user;
    if (s->state == TLS_OPEN && s->handled && s->handler.drained != NULL) {
        s->handler.drained(s->handler.user);
    }
}

static void stream_free(struct tls_stream *s)
{
    OAK_ASSERT(!s->resuming);
    OAK_ASSERT(!s->due.running);
    struct oak_tls_net *net = s->net;
    SSL_free(s->ssl);
    oak_buf_fini(&s->held);
    free(s->identity);
    free(s);
    tls__net_unref(net);
}

static void under_closed(void *user, int error)
{
    struct tls_stream *s = user;
    s->under = NULL;
    if (s->state == TLS_HANDSHAKE) {
        tls__stream_fail(s, error != 0 ? error : OAK_ETLS, "the peer left within the handshake");
    } else if (s->state == TLS_OPEN) {
        s->state = TLS_ENDING;
        s->error = error != 0 ? error : OAK_ETRUNCATED;
        resume_cancel(s);
    } else if (s->error == 0) {
        s->error = error;
    }
    if (s->handled) {
        s->handler.closed(s->handler.user, s->error);
    }
    stream_free(s);
}

/* -- what the owner does ----------------------------------------------------------------------- */

static void stream_handle(struct oak_stream *base, const struct oak_stream_handler *handler)
{
    struct tls_stream *s = of_base(base);
    OAK_ASSERT(handler->data != NULL);
    OAK_ASSERT(handler->closed != NULL);
    s->handler = *handler;
    if (!s->handled) {
        s->handled = true;
        resume_soon(s);
    }
}

static int stream_write(struct oak_stream *base, struct oak_bytes bytes)
{
    struct tls_stream *s = of_base(base);
    OAK_ASSERT_EQ(s->net->cipher.size, 0);
    while (s->state == TLS_OPEN && bytes.size > 0) {
        size_t piece = OAK_MIN(bytes.size, TLS_PLAIN_BYTES);
        size_t put = 0;
        ERR_clear_error();
        if (SSL_write_ex(s->ssl, bytes.data, piece, &put) != 1) {
            broken_tls(s);
            break;
        }
        OAK_ASSERT_EQ(put, piece);
        bytes = oak_bytes(bytes.data + put, bytes.size - put);
        if (flush(s) != 0) {
            return OAK_ECLOSED;
        }
    }
    return s->state == TLS_OPEN ? 0 : OAK_ECLOSED;
}

static size_t stream_queued(struct oak_stream *base)
{
    struct tls_stream *s = of_base(base);
    return s->under == NULL ? 0 : s->under->ops->queued(s->under);
}

static void stream_pause(struct oak_stream *base, bool paused)
{
    struct tls_stream *s = of_base(base);
    if (s->state != TLS_OPEN || s->paused == paused) {
        return;
    }
    s->paused = paused;
    if (paused) {
        s->under->ops->pause(s->under, true);
    } else {
        resume_soon(s);
    }
}

static void stream_close(struct oak_stream *base, bool now)
{
    struct tls_stream *s = of_base(base);
    if (s->state == TLS_ENDING) {
        if (now && s->under != NULL) {
            s->under->ops->close(s->under, true);
        }
    } else if (now) {
        end(s, 0, true);
    } else {
        end_in_order(s);
    }
}

static const char *stream_peer_name(struct oak_stream *base)
{
    return of_base(base)->peer;
}

static const struct oak_identity *stream_identity(struct oak_stream *base)
{
    return of_base(base)->identity;
}

static const struct oak_process *stream_process(struct oak_stream *base)
{
    const struct tls_stream *s = of_base(base);
    return s->process_known ? &s->process : NULL;
}

static const struct oak_stream_ops stream_ops = {
    .handle = stream_handle,
    .write = stream_write,
    .queued = stream_queued,
    .pause = stream_pause,
    .close = stream_close,
    .peer_name = stream_peer_name,
    .identity = stream_identity,
    .process = stream_process,
};

/* -- new --------------------------------------------------------------------------------------- */

/* Everything of OpenSSL's. False: no memory, or a name that can't be verified. */
static bool ssl_setup(struct tls_stream *s, const char *name)
{
    const struct oak_tls *tls = s->net->tls;
    const struct oak_clock *clock = &s->net->loop->clock;
    BIO *bio = tls__bio_new(tls->bio, s);
    if (bio == NULL) {
        return false;
    }
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_msg_callback(s->ssl, message_seen);
    SSL_set_msg_callback_arg(s->ssl, s);
    tls__verify_time(s->ssl, clock->wall_ns(clock->user));
    if (tls->options.role == OAK_TLS_SERVER) {
        SSL_set_accept_state(s->ssl);
        return true;
    }
    SSL_set_connect_state(s->ssl);
    return tls__verify_name(s->ssl, name) == 0;
}

struct tls_stream *tls__stream_new(struct oak_tls_net *net, struct oak_stream *under,
                                   const char *name, uint64_t due_ns)
{
    struct tls_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->base.ops = &stream_ops;
    s->net = net;
    s->due.fire = due_fire;
    s->resume.run = resume_run;
    oak_list_init(&s->link);
    snprintf(s->peer, sizeof(s->peer), "%s", under->ops->peer_name(under));
    const struct oak_process *process =
        under->ops->process != NULL ? under->ops->process(under) : NULL;
    if (process != NULL) { /* a copy: the stream below may go first */
        s->process = *process;
        s->process_known = true;
    }
    s->ssl = tls__ssl_new(net->tls);
    if (s->ssl == NULL || !ssl_setup(s, name)) {
        SSL_free(s->ssl);
        free(s);
        return NULL;
    }
    tls__net_ref(net);
    s->under = under;
    const struct oak_stream_handler handler = {
        .data = under_data, .drained = under_drained, .closed = under_closed, .user = s};
    under->ops->handle(under, &handler);
    net->loop->timers.set(net->loop->timers.user, &s->due, due_ns);
    return s;
}

void tls__stream_begin(struct tls_stream *s)
{
    handshake_step(s);
}
