/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c: the addresses of a name.
 *
 * Happy path   1 parse
 *              2 look the host up, or the servers of a service (srv.c), in libuv's thread pool
 *              3 write down each address once, in the order of the system's preference (RFC 6724)
 *              4 `done`
 * Can fail     at the call: OAK_EINVAL, OAK_ENOMEM, OAK_ECLOSED. Later, by `done`:
 *              OAK_EUNRESOLVED, OAK_EDEADLINE, OAK_ENOMEM, OAK_ECLOSED (loop freed).
 * Invariants   `done` is called once, from the loop. A look-up can't always be recalled: its memory
 *              waits for it.
 * Thread       the loop's.
 */
#include <netdb.h>
#include <stdlib.h>

#include "os/internal.h"

struct os_resolve {
    struct oak_list link; /* in loop->resolves, until `done` */
    struct oak_os_loop *loop;
    void (*done)(void *arg, int error, const char *const *addresses, size_t count);
    void *arg;
    struct oak_timer timer; /* the end of the time, or an answer that needs no look-up */
    uv_getaddrinfo_t lookup;
    uv_work_t work;           /* instead of it, for a service */
    struct os_srv_query *srv; /* the thread's while looking up; NULL: a host */
    bool looking_up;
    bool over; /* `done` was called */
    int error; /* to be told by the timer; 0: `address` is the answer */
    struct os_address address;
};

static void query_free(struct os_resolve *r)
{
    OAK_ASSERT(r->over);
    if (!r->looking_up) { /* else lookup_cb or service_cb comes back here */
        os__srv_free(r->srv);
        free(r);
    }
}

static void finish(struct os_resolve *r, int error, const char *const *addresses, size_t count)
{
    OAK_ASSERT(!r->over);
    OAK_ASSERT((error == 0) == (count > 0));
    r->over = true;
    r->loop->port.timers.stop(r->loop, &r->timer);
    oak_list_remove(&r->link);
    if (r->looking_up) {
        uv_cancel(r->srv != NULL ? (uv_req_t *)&r->work : (uv_req_t *)&r->lookup);
    }
    r->done(r->arg, error, addresses, count);
    query_free(r);
}

static void timer_fire(struct oak_timer *timer)
{
    struct os_resolve *r = OAK_CONTAINER_OF(timer, struct os_resolve, timer);
    if (r->looking_up || r->error != 0) {
        finish(r, r->looking_up ? OAK_EDEADLINE : r->error, NULL, 0);
        return;
    }
    char name[OS_ADDRESS_BYTES];
    const char *const names[] = {name};
    os__address_name((struct sockaddr *)&r->address.ip, name, sizeof(name));
    finish(r, 0, names, 1);
}

static bool is_ip(const struct addrinfo *at)
{
    return at->ai_family == AF_INET || at->ai_family == AF_INET6;
}

/* The texts of what was found, and the array that points at them, in one piece; NULL without
 * memory. */
static char **names_new(const struct addrinfo *found, size_t *count)
{
    size_t most = 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        most += is_ip(at);
    }
    char **names = malloc(most * (sizeof(char *) + OS_ADDRESS_BYTES) + 1);
    if (names == NULL) {
        return NULL;
    }
    char *text = (char *)(names + most);
    *count = 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (!is_ip(at)) {
            continue;
        }
        os__address_name(at->ai_addr, text, OS_ADDRESS_BYTES);
        bool known = false;
        for (size_t i = 0; i < *count; i++) {
            known = known || strcmp(names[i], text) == 0;
        }
        if (!known) {
            names[(*count)++] = text;
            text += OS_ADDRESS_BYTES;
        }
    }
    return names;
}

static void lookup_cb(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct os_resolve *r = OAK_CONTAINER_OF(request, struct os_resolve, lookup);
    r->looking_up = false;
    if (r->over) {
        query_free(r);
    } else if (status != 0) {
        finish(r, oak_os_error(status), NULL, 0);
    } else {
        size_t count = 0;
        char **names = names_new(found, &count);
        int error = count > 0 ? 0 : names == NULL ? OAK_ENOMEM : OAK_EUNRESOLVED;
        finish(r, error, (const char *const *)names, count);
        free(names);
    }
    uv_freeaddrinfo(found);
}

static void service_go(uv_work_t *work)
{
    os__srv_query(OAK_CONTAINER_OF(work, struct os_resolve, work)->srv);
}

static void service_cb(uv_work_t *work, int status)
{
    struct os_resolve *r = OAK_CONTAINER_OF(work, struct os_resolve, work);
    struct os_srv_query *q = r->srv;
    r->looking_up = false;
    if (r->over) {
        query_free(r);
    } else if (status != 0 || q->error != 0) {
        finish(r, status != 0 ? oak_os_error(status) : q->error, NULL, 0);
    } else {
        finish(r, 0, (const char *const *)q->addresses, q->count);
    }
}

void os__resolve_server(struct oak_os_loop *loop, const struct sockaddr_in *server)
{
    loop->srv_server = server != NULL ? *server : (struct sockaddr_in){0};
}

/* "srv:_service._proto.name" */
static int service_parse(struct os_resolve *r, const char *name)
{
    size_t size = strlen(name);
    if (size == 0 || size >= OS_SRV_NAME_BYTES || name[0] != '_') {
        return OAK_EINVAL;
    }
    r->srv = calloc(1, sizeof(*r->srv));
    if (r->srv == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(r->srv->name, name, size + 1);
    return 0;
}

static int name_parse(struct os_resolve *r, const char *name)
{
    static const char srv[] = "srv:";
    if (strncmp(name, srv, sizeof(srv) - 1) == 0) {
        return service_parse(r, name + sizeof(srv) - 1);
    }
    int error = os__address_parse(name, &r->address, NULL);
    bool host = !r->address.unix_path && r->address.host[0] != '\0';
    return error == 0 && !host ? OAK_EINVAL : error;
}

/* Begin to look it up. Of libuv, or 0. */
static int lookup_start(struct os_resolve *r)
{
    struct oak_os_loop *loop = r->loop;
    if (r->srv != NULL) {
        uint64_t seed;
        loop->port.entropy.fill(loop->port.entropy.user, &seed, sizeof(seed));
        oak_prng_init(&r->srv->prng, seed);
        r->srv->server = loop->srv_server;
        return uv_queue_work(&loop->uv, &r->work, service_go, service_cb);
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    return uv_getaddrinfo(&loop->uv, &r->lookup, lookup_cb, r->address.host, r->address.port,
                          &hints);
}

int os__resolve(void *user, const char *name, uint64_t timeout_ns,
                void (*done)(void *arg, int error, const char *const *addresses, size_t count),
                void *arg)
{
    struct oak_os_loop *loop = user;
    OAK_ASSERT(done != NULL);
    if (loop->freeing) {
        return OAK_ECLOSED;
    }
    struct os_resolve *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return OAK_ENOMEM;
    }
    int error = name_parse(r, name);
    if (error != 0) {
        free(r);
        return error;
    }
    r->loop = loop;
    r->done = done;
    r->arg = arg;
    r->timer.fire = timer_fire;
    oak_list_push(&loop->resolves, &r->link);
    if (!r->address.literal) {
        int rc = lookup_start(r);
        r->looking_up = rc == 0;
        r->error = oak_os_error(rc);
    }
    uint64_t now = loop->port.clock.mono_ns(loop->port.clock.user);
    uint64_t due = now > UINT64_MAX - timeout_ns ? UINT64_MAX : now + timeout_ns;
    loop->port.timers.set(loop, &r->timer, r->looking_up ? due : now);
    return 0;
}

void os__resolves_fail(struct oak_os_loop *loop, int error)
{
    while (!oak_list_empty(&loop->resolves)) {
        finish(OAK_LIST_ENTRY(loop->resolves.next, struct os_resolve, link), error, NULL, 0);
    }
}
