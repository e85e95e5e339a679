/* SPDX-License-Identifier: Apache-2.0 */
/* srv.c: a service's servers, as its SRV records name them.
 *
 * Happy path   1 ask for the records, by the system's resolver
 *              2 put them in the order of RFC 2782: by priority, and by weighted dice within one
 *              3 look each one's host up; each address once.
 * Can fail     OAK_EUNRESOLVED: there are none, or none of their hosts has an address. OAK_EFORMAT:
 *              that is no answer. OAK_ENOMEM.
 * Thread       one of libuv's pool: nothing here belongs to the loop.
 *
 * Sources: RFC 2782, RFC 1035.
 */
#include <netdb.h>
#include <resolv.h>
#include <stdlib.h>

#include "os/internal.h"

/* An answer over TCP may have 64 KiB. */
#define ANSWER_BYTES_MAX 65535
#define HEAD_BYTES       12
/* Behind a question's name: type and class; behind a record's also its time and the size of its
 * data; in that, before the host's name. */
#define QUESTION_BYTES   4
#define RECORD_BYTES     10
#define RDATA_HEAD_BYTES 6

/* Past a name, and `more` bytes behind it that have to be there; NULL: they are not. */
static const uint8_t *name_skip(struct oak_bytes all, const uint8_t *at, size_t more)
{
    const uint8_t *end = all.data + all.size;
    int size = dn_skipname(at, end);
    bool there = size >= 0 && (size_t)(end - at) - (size_t)size >= more;
    return there ? at + size + more : NULL;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static bool srv_read(struct oak_bytes all, const uint8_t *data, size_t size, struct os_srv *out)
{
    if (size <= RDATA_HEAD_BYTES) {
        return false;
    }
    out->priority = (uint16_t)get16(data);
    out->weight = (uint16_t)get16(data + 2);
    out->port = (uint16_t)get16(data + 4);
    return dn_expand(all.data, all.data + all.size, data + RDATA_HEAD_BYTES, out->host,
                     sizeof(out->host)) >= 0;
}

int os__srv_parse(struct oak_bytes answer, struct os_srv *out, size_t most, size_t *count)
{
    *count = 0;
    if (answer.size < HEAD_BYTES) {
        return OAK_EFORMAT;
    }
    const uint8_t *end = answer.data + answer.size;
    const uint8_t *at = answer.data + HEAD_BYTES;
    for (unsigned left = get16(answer.data + 4); left > 0 && at != NULL; left--) {
        at = name_skip(answer, at, QUESTION_BYTES);
    }
    for (unsigned left = get16(answer.data + 6); left > 0 && at != NULL; left--) {
        at = name_skip(answer, at, RECORD_BYTES);
        size_t size = at != NULL ? get16(at - 2) : 0;
        if (at == NULL || (size_t)(end - at) < size) {
            return OAK_EFORMAT;
        }
        bool srv = get16(at - RECORD_BYTES) == ns_t_srv; /* the name may have other names, too */
        if (srv && *count < most) {
            if (!srv_read(answer, at, size, &out[*count])) {
                return OAK_EFORMAT;
            }
            *count += out[*count].host[0] != '\0'; /* the root: decidedly not offered */
        }
        at += size;
    }
    return at != NULL ? 0 : OAK_EFORMAT;
}

static int by_priority(const void *a, const void *b)
{
    const struct os_srv *x = a;
    const struct os_srv *y = b;
    if (x->priority != y->priority) {
        return x->priority < y->priority ? -1 : 1;
    }
    return (x->weight != 0) - (y->weight != 0); /* those of no weight first, as the RFC has it */
}

void os__srv_order(struct os_srv *records, size_t count, struct oak_prng *prng)
{
    qsort(records, count, sizeof(*records), by_priority);
    for (size_t next = 0; next < count; next++) {
        uint64_t sum = 0;
        size_t end = next;
        for (; end < count && records[end].priority == records[next].priority; end++) {
            sum += records[end].weight;
        }
        uint64_t dice = oak_prng_below(prng, sum + 1);
        size_t chosen = next;
        for (uint64_t run = records[next].weight; run < dice; run += records[chosen].weight) {
            chosen++;
        }
        OAK_ASSERT_LT(chosen, end);
        struct os_srv it = records[chosen];
        memmove(&records[next + 1], &records[next], (chosen - next) * sizeof(it));
        records[next] = it;
    }
}

/* The addresses of one server, behind those that are there. */
static int host_add(struct os_srv_query *q, const struct os_srv *srv)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char port[6];
    snprintf(port, sizeof(port), "%u", srv->port);
    if (getaddrinfo(srv->host, port, &hints, &found) != 0) {
        return 0; /* the others may do */
    }
    int error = 0;
    for (const struct addrinfo *at = found; at != NULL && error == 0; at = at->ai_next) {
        bool room = q->count < OS_SRV_ADDRESSES_MAX;
        if (room && (at->ai_family == AF_INET || at->ai_family == AF_INET6)) {
            char name[OS_ADDRESS_BYTES];
            os__address_name(at->ai_addr, name, sizeof(name));
            bool known = false;
            for (size_t i = 0; i < q->count; i++) {
                known = known || strcmp(q->addresses[i], name) == 0;
            }
            q->addresses[q->count] = known ? NULL : strdup(name);
            error = !known && q->addresses[q->count] == NULL ? OAK_ENOMEM : 0;
            q->count += !known && error == 0;
        }
    }
    freeaddrinfo(found);
    return error;
}

static int answer_get(struct os_srv_query *q, uint8_t *answer, size_t *size)
{
    struct __res_state state = {0};
    if (res_ninit(&state) != 0) {
        return OAK_EUNRESOLVED;
    }
    if (q->server.sin_family == AF_INET) {
        state.nscount = 1;
        state.nsaddr_list[0] = q->server;
        state.retry = 1;
    }
    int got = res_nquery(&state, q->name, ns_c_in, ns_t_srv, answer, ANSWER_BYTES_MAX);
    res_nclose(&state);
    *size = got > 0 ? OAK_MIN((size_t)got, (size_t)ANSWER_BYTES_MAX) : 0;
    return got > 0 ? 0 : OAK_EUNRESOLVED;
}

void os__srv_query(struct os_srv_query *q)
{
    struct os_srv records[OS_SRV_RECORDS_MAX];
    size_t size = 0;
    size_t count = 0;
    uint8_t *answer = malloc(ANSWER_BYTES_MAX);
    q->error = answer == NULL ? OAK_ENOMEM : answer_get(q, answer, &size);
    if (q->error == 0) {
        q->error = os__srv_parse(oak_bytes(answer, size), records, OS_SRV_RECORDS_MAX, &count);
    }
    free(answer);
    if (q->error == 0) {
        os__srv_order(records, count, &q->prng);
    }
    for (size_t i = 0; i < count && q->error == 0; i++) {
        q->error = host_add(q, &records[i]);
    }
    if (q->error == 0 && q->count == 0) {
        q->error = OAK_EUNRESOLVED;
    }
}

void os__srv_free(struct os_srv_query *q)
{
    for (size_t i = 0; q != NULL && i < q->count; i++) {
        free(q->addresses[i]);
    }
    free(q);
}
