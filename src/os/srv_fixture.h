/* SPDX-License-Identifier: Apache-2.0 */
/* srv_fixture.h: a DNS server that answers one question, and answers by bytes. */
#ifndef OAK_OS_SRV_FIXTURE_H
#define OAK_OS_SRV_FIXTURE_H

#include "os/ends_fixture.h"
#include "os/internal.h"

struct answer {
    uint8_t bytes[4096];
    size_t size;
};

static inline void put(struct answer *a, const void *bytes, size_t size)
{
    assert_true(a->size + size <= sizeof(a->bytes));
    memcpy(a->bytes + a->size, bytes, size);
    a->size += size;
}

static inline void put16(struct answer *a, unsigned value)
{
    const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};
    put(a, bytes, 2);
}

static inline void put_name(struct answer *a, const char *name)
{
    while (*name != '\0') {
        size_t size = strcspn(name, ".");
        uint8_t length = (uint8_t)size;
        put(a, &length, 1);
        put(a, name, size);
        name += size + (name[size] == '.');
    }
    put(a, "", 1);
}

/* The head of an answer to one question, and the question. */
static inline void begin(struct answer *a, const char *service, unsigned records)
{
    *a = (struct answer){0};
    put16(a, 7);
    put16(a, 0x8180);
    put16(a, 1);
    put16(a, records);
    put16(a, 0);
    put16(a, 0);
    put_name(a, service);
    put16(a, ns_t_srv);
    put16(a, ns_c_in);
}

static inline void record(struct answer *a, unsigned priority, unsigned weight, unsigned port,
                          const char *host)
{
    put16(a, 0xc00c); /* the question's name */
    put16(a, ns_t_srv);
    put16(a, ns_c_in);
    put16(a, 0);
    put16(a, 60);
    size_t length_at = a->size;
    put16(a, 0);
    put16(a, priority);
    put16(a, weight);
    put16(a, port);
    put_name(a, host);
    a->bytes[length_at + 1] = (uint8_t)(a->size - length_at - 2);
}

struct server {
    int fd;
    struct answer answer;
    pthread_t thread;
};

/* One question, answered with its number. */
static inline void *serve(void *arg)
{
    struct server *s = arg;
    uint8_t question[512];
    struct sockaddr_in from;
    socklen_t size = sizeof(from);
    ssize_t got = recvfrom(s->fd, question, sizeof(question), 0, (struct sockaddr *)&from, &size);
    if (got > 2) {
        memcpy(s->answer.bytes, question, 2);
        (void)!sendto(s->fd, s->answer.bytes, s->answer.size, 0, (struct sockaddr *)&from, size);
    }
    return NULL;
}

static inline struct sockaddr_in server_start(struct server *s)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    s->fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&name, &size), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
    return name;
}

static inline void server_stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#endif
