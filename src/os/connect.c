/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c: reach an address within a time.
 *
 * Happy path   1 parse
 *              2 look the host up, in libuv's thread pool
 *              3 try its addresses one after the other
 *              4 `done` with a stream
 * Can fail     at the call: OAK_EINVAL, OAK_ENOMEM. Later, by `done`: OAK_EREFUSED,
 *              OAK_EUNREACHABLE, OAK_EUNRESOLVED, OAK_EDEADLINE, OAK_ENOENT (unix), OAK_ENOMEM,
 *              OAK_ECLOSED (loop freed).
 * Invariants   `done` is called once, from the loop: what fails inside the call is told by a
 *              timer that is due at once. A look-up can't always be recalled: the attempt's
 *              memory waits for it.
 * Thread       the loop's.
 */
#include <netdb.h>
#include <stdlib.h>

#include "os/internal.h"

struct os_connect {
    struct oak_list link; /* in loop->connects, until `done` */
    struct oak_os_loop *loop;
    void (*done)(void *arg, int error, struct oak_stream *s);
    void *arg;
    struct oak_timer timer; /* the end of the time, or a failure to be told */
    uv_getaddrinfo_t lookup;
    bool looking_up;
    bool over;      /* `done` was called */
    bool connected; /* at once: to be told by the timer */
    struct addrinfo *found;
    struct addrinfo *next; /* in `found`: the address to try next */
    struct os_stream *stream;
    struct os_address address;
    int error; /* of the last try; 0: none yet */
};

static void attempt_free(struct os_connect *c)
{
    OAK_ASSERT(c->over);
    if (c->looking_up) {
        return; /* lookup_cb comes back here */
    }
    uv_freeaddrinfo(c->found);
    free(c);
}

static void finish(struct os_connect *c, int error, struct os_stream *s)
{
    OAK_ASSERT(!c->over);
    c->over = true;
    c->loop->port.timers.stop(c->loop, &c->timer);
    oak_list_remove(&c->link);
    if (c->stream != NULL) {
        c->stream->attempt = NULL;
        if (s == NULL) {
            os__stream_close(c->stream, 0);
        }
    }
    if (c->looking_up) {
        uv_cancel((uv_req_t *)&c->lookup);
    }
    c->done(c->arg, error, s == NULL ? NULL : &s->base);
    attempt_free(c);
}

static void timer_fire(struct oak_timer *timer)
{
    struct os_connect *c = OAK_CONTAINER_OF(timer, struct os_connect, timer);
    if (c->connected) {
        struct os_stream *s = c->stream;
        os__stream_connected(s, c->address.host);
        finish(c, 0, s);
        return;
    }
    bool trying = c->stream != NULL || c->looking_up;
    finish(c, trying ? OAK_EDEADLINE : c->error, NULL);
}

/* Start on one address. False: `c->error` says why not. */
static bool try_ip(struct os_connect *c, const struct sockaddr *ip)
{
    struct os_stream *s = os__stream_new(c->loop, false);
    if (s == NULL) {
        c->error = OAK_ENOMEM;
        return false;
    }
    int rc = uv_tcp_connect(&s->connect, &s->uv.tcp, ip, os__connect_result);
    if (rc != 0) {
        c->error = oak_os_error(rc);
        os__stream_close(s, 0);
        return false;
    }
    s->attempt = c;
    c->stream = s;
    return true;
}

static bool try_unix(struct os_connect *c)
{
    struct os_stream *s = os__stream_new(c->loop, true);
    if (s == NULL) {
        c->error = OAK_ENOMEM;
        return false;
    }
    if (c->address.host[0] == '@') {
        int rc = os__abstract_connect(&s->uv.pipe, c->address.host);
        if (rc != 0) {
            c->error = oak_os_error(rc);
            os__stream_close(s, 0);
            return false;
        }
        c->connected = true;
    }
    s->attempt = c;
    c->stream = s;
    if (!c->connected) {
        uv_pipe_connect(&s->connect, &s->uv.pipe, c->address.host, os__connect_result);
    }
    return true;
}

/* Start on the next address that lets itself be started on. False when there is none. */
static bool try_next(struct os_connect *c)
{
    while (c->next != NULL) {
        const struct addrinfo *at = c->next;
        c->next = at->ai_next;
        if (try_ip(c, at->ai_addr)) {
            return true;
        }
    }
    return false;
}

void os__connect_result(uv_connect_t *request, int status)
{
    struct os_stream *s = OAK_CONTAINER_OF(request, struct os_stream, connect);
    struct os_connect *c = s->attempt;
    if (c == NULL) {
        OAK_ASSERT(s->closing);
        return;
    }
    OAK_ASSERT(c->stream == s);
    if (status == 0) {
        os__stream_connected(s, c->address.unix_path ? c->address.host : NULL);
        finish(c, 0, s);
        return;
    }
    c->error = oak_os_error(status);
    c->stream = NULL;
    s->attempt = NULL;
    os__stream_close(s, 0);
    if (!try_next(c)) {
        finish(c, c->error, NULL);
    }
}

static void lookup_cb(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct os_connect *c = OAK_CONTAINER_OF(request, struct os_connect, lookup);
    c->looking_up = false;
    c->found = found;
    c->next = found;
    if (c->over) {
        attempt_free(c);
        return;
    }
    if (status != 0) {
        finish(c, oak_os_error(status), NULL);
    } else if (!try_next(c)) {
        finish(c, c->error != 0 ? c->error : OAK_EUNRESOLVED, NULL);
    }
}

/* False: `c->error` says why. */
static bool start(struct os_connect *c)
{
    if (c->address.unix_path) {
        return try_unix(c);
    }
    if (c->address.literal) {
        return try_ip(c, (struct sockaddr *)&c->address.ip);
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    int rc = uv_getaddrinfo(&c->loop->uv, &c->lookup, lookup_cb, c->address.host, c->address.port,
                            &hints);
    c->looking_up = rc == 0;
    c->error = oak_os_error(rc);
    return rc == 0;
}

int os__connect(void *user, const char *address, uint64_t timeout_ns,
                void (*done)(void *arg, int error, struct oak_stream *s), void *arg)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(done != NULL);
    if (loop->freeing) {
        return OAK_ECLOSED;
    }
    struct os_connect *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return OAK_ENOMEM;
    }
    int error = os__address_parse(address, &c->address, NULL);
    if (error == 0 && !c->address.unix_path && c->address.host[0] == '\0') {
        error = OAK_EINVAL;
    }
    if (error != 0) {
        free(c);
        return error;
    }
    c->loop = loop;
    c->done = done;
    c->arg = arg;
    c->timer.fire = timer_fire;
    oak_list_push(&loop->connects, &c->link);
    uint64_t now = loop->port.clock.mono_ns(loop->port.clock.user);
    uint64_t due = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    loop->port.timers.set(loop, &c->timer, start(c) && !c->connected ? due : now);
    return 0;
}

void os__connects_fail(struct oak_os_loop *loop, int error)
{
    while (!oak_list_empty(&loop->connects)) {
        finish(OAK_LIST_ENTRY(loop->connects.next, struct os_connect, link), error, NULL);
    }
}
