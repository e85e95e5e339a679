/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of `os` share. */
#ifndef OAK_OS_INTERNAL_H
#define OAK_OS_INTERNAL_H

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <pthread.h>
#include <uv.h>

#include "os/os.h"

/* One read takes at most this much: large enough that a busy socket costs few calls, small enough
 * to stay in the second-level cache while the handler works on it. One buffer serves all streams of
 * the loop, because a handler is done with the bytes when it returns. */
#define OS_READ_BYTES (128 * OAK_KIB)
/* A write buffer larger than this is given back once it is empty: 16384 idle connections must not
 * each keep their worst moment. */
#define OS_KEEP_BYTES (64 * OAK_KIB)
/* A closing stream whose queue has not moved for this long is cut off. */
#define OS_FLUSH_NS ((uint64_t)5 * 1000 * 1000 * 1000)
/* After our last byte, wait this long for the peer's end: closing a socket with unread bytes in it
 * would make the kernel reset the connection, and the peer might never see our last answer. A peer
 * that still sends gets as much again, up to so many times. */
#define OS_LINGER_NS    ((uint64_t)1000 * 1000 * 1000)
#define OS_LINGER_TIMES 10
/* Longest address text with its ending NUL: a unix path has 107 bytes, a host name 253. */
#define OS_ADDRESS_BYTES 280
/* The kernel asks a silent peer whether it is there after so long, as etcd has it; ten answers that
 * don't come in as many seconds end the connection. */
#define OS_KEEPALIVE_S 30

struct oak_os_loop {
    struct oak_loop port;
    uv_loop_t uv;
    uv_prepare_t prepare; /* the round: right before the loop waits */
    uv_check_t check;     /* right after it has waited */
    uv_idle_t idle;       /* running: the loop must not wait */
    uv_async_t wake;      /* from other threads */
    uv_timer_t alarm;     /* for the first of `timers` */
    uv_signal_t signals[2];
    void (*signalled)(void *user, int signal);
    void *signal_user;
    struct oak_timer *timers; /* root of a pairing heap, see timers.c */
    size_t timer_count;
    uint64_t alarm_due_ns; /* what `alarm` is set for; 0 for nothing */
    struct oak_list hooks;
    struct oak_list *hook_next; /* while hooks run: the one to run next */
    struct oak_list streams;
    struct oak_list listeners;
    struct oak_list connects;
    struct oak_list resolves;
    struct sockaddr_in srv_server; /* family 0: the system's */
    struct oak_list children;
    bool share_ports;
    size_t accepted;
    size_t accepted_max; /* OAK_CONNECTIONS_MAX; a test makes do with fewer */
    uint8_t *read_buffer;
    bool freeing;         /* nothing new may be opened */
    pthread_mutex_t lock; /* protects what follows; nothing else is locked while it is held */
    struct oak_list posted;
    bool waiting; /* the loop waits or is about to: a post must wake it */
    bool stop;
};

/* -- timers.c ---------------------------------------------------------------------------------- */
void os__timers_port(struct oak_os_loop *loop);
/* Fire what is due. A timer set meanwhile waits for the next round. */
void os__timers_fire(struct oak_os_loop *loop);
/* Set the alarm for the first timer; true when it is due already. */
bool os__timers_arm(struct oak_os_loop *loop);

/* -- address.c --------------------------------------------------------------------------------- */
struct os_address {
    bool unix_path;
    bool literal;                /* `host` is an IP address, and is in `ip` */
    char host[OS_ADDRESS_BYTES]; /* without brackets; or the path, or "@name" */
    char port[6];                /* decimal */
    struct sockaddr_storage ip;
};

/* OAK_EINVAL, with the reason in `e` (may be NULL). */
int os__address_parse(const char *text, struct os_address *out, struct oak_errbuf *e);
/* "127.0.0.1:2379", "[::1]:2379". */
void os__address_name(const struct sockaddr *ip, char *out, size_t size);

/* -- stream.c ---------------------------------------------------------------------------------- */
struct os_connect;

union os_handle {
    uv_handle_t any;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
};

struct os_stream {
    struct oak_stream base;
    union os_handle uv;
    struct oak_os_loop *loop;
    struct oak_list link; /* in loop->streams */
    struct oak_stream_handler handler;
    uv_write_t write;
    uv_shutdown_t shutdown;
    uv_connect_t connect;
    struct os_connect *attempt; /* while connecting */
    struct oak_buf sending;     /* in the write under way */
    struct oak_buf waiting;     /* to go next */
    struct oak_timer patience;  /* while ending */
    size_t left_before;         /* queued when `patience` was set */
    int error;                  /* for `closed` */
    bool handled;               /* a handler was installed */
    bool accepted;              /* counted in loop->accepted */
    bool in_flight;             /* `write` is under way */
    bool ending; /* no more data to the handler, no more writes; close once flushed */
    bool peer_ended;
    bool shut;    /* our end is sent: lingering */
    bool dropped; /* bytes came since `patience` was set, and were dropped */
    int lingered; /* times `patience` was set for the peer's end */
    bool closing; /* uv_close was called */
    bool process_known;
    struct oak_process process; /* at the other end of a unix socket */
    char peer[OS_ADDRESS_BYTES];
};

/* A stream whose socket is not yet connected, in loop->streams; NULL without memory. */
struct os_stream *os__stream_new(struct oak_os_loop *loop, bool unix_path);
/* The socket is connected: learn the peer's name. */
void os__stream_connected(struct os_stream *s, const char *unix_path);
/* Close now; `closed` follows, with `error`, if a handler is there. */
void os__stream_close(struct os_stream *s, int error);

/* -- abstract.c: "@name", for a pipe that was made and not opened; codes of libuv ------------- */
int os__abstract_connect(uv_pipe_t *pipe, const char *name);
int os__abstract_bind(uv_pipe_t *pipe, const char *name);

/* -- listen.c, connect.c ----------------------------------------------------------------------- */
int os__listen(void *user, const char *address, void (*accepted)(void *arg, struct oak_stream *s),
               void *arg, struct oak_listener **out, struct oak_errbuf *e);
void os__listener_close(void *user, struct oak_listener *listener);
const char *os__listener_name(void *user, struct oak_listener *listener);
void os__listeners_close(struct oak_os_loop *loop);

int os__connect(void *user, const char *address, uint64_t timeout_ns,
                void (*done)(void *arg, int error, struct oak_stream *s), void *arg);
/* The attempt of this stream has come to its end. */
void os__connect_result(uv_connect_t *request, int status);
void os__connects_fail(struct oak_os_loop *loop, int error);

/* -- srv.c ------------------------------------------------------------------------------------- */

/* Servers of one service, and addresses of all of them, that are taken from an answer. */
#define OS_SRV_RECORDS_MAX   64
#define OS_SRV_ADDRESSES_MAX 128
#define OS_SRV_NAME_BYTES    256

struct os_srv {
    uint16_t priority, weight, port;
    char host[NS_MAXDNAME];
};

struct os_srv_query {
    char name[OS_SRV_NAME_BYTES];
    struct sockaddr_in server; /* to be asked instead of the system's; family 0: none */
    struct oak_prng prng;
    int error;
    char *addresses[OS_SRV_ADDRESSES_MAX];
    size_t count;
};

/* The records of a DNS answer, `most` of them. OAK_EFORMAT. */
OAK_MUST_USE int os__srv_parse(struct oak_bytes answer, struct os_srv *out, size_t most,
                               size_t *count);
void os__srv_order(struct os_srv *records, size_t count, struct oak_prng *prng);
/* Blocks; fills in `error` or the addresses. */
void os__srv_query(struct os_srv_query *q);
void os__srv_free(struct os_srv_query *q);

/* -- resolve.c --------------------------------------------------------------------------------- */
/* For tests: who is asked for SRV records instead of the system's servers. NULL: nobody. */
void os__resolve_server(struct oak_os_loop *loop, const struct sockaddr_in *server);
int os__resolve(void *user, const char *name, uint64_t timeout_ns,
                void (*done)(void *arg, int error, const char *const *addresses, size_t count),
                void *arg);
void os__resolves_fail(struct oak_os_loop *loop, int error);

/* -- child.c ----------------------------------------------------------------------------------- */
void os__children_leave(struct oak_os_loop *loop);

#endif
