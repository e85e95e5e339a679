/* SPDX-License-Identifier: Apache-2.0 */
/* load.h: a closed loop of clients: each sends its next request when its last is answered.
 *
 * Made to cost little: requests are built in place, answers are not decoded, one loop drives all.
 */
#ifndef OAK_CLI_LOAD_H
#define OAK_CLI_LOAD_H

#include "cli/histogram.h"
#include "cli/internal.h"

#define CLI__CLIENTS_MAX    100000
#define CLI__CONNS_MAX      10000
#define CLI__KEY_BYTES_MAX  1024
#define CLI__LOAD_CODES_MAX 17

enum cli__load_op {
    CLI__LOAD_PUT,
    CLI__LOAD_RANGE,
};

struct cli__load_options {
    enum cli__load_op op;
    const struct cli__endpoints *endpoints;
    uint64_t clients;
    uint64_t conns;
    uint64_t total; /* requests; 0: until duration_ns */
    uint64_t duration_ns;
    uint64_t timeout_ns; /* of one request */
    uint64_t key_bytes;
    uint64_t value_bytes;
    uint64_t keys;      /* different keys, drawn at random */
    uint64_t span;      /* RANGE: keys covered by one; 1: a single key */
    const char *policy; /* each connection is a channel to all endpoints; NULL: to one of them */
    bool in_order;      /* keys one after the other instead of drawn: to fill */
    bool serializable;
    uint64_t seed;
    const volatile bool *stop; /* set by a signal; NULL for none */
};

struct cli__load_result {
    struct cli__histogram latency;       /* of the requests that succeeded; nanoseconds */
    uint64_t codes[CLI__LOAD_CODES_MAX]; /* answers by gRPC status */
    uint64_t unsent;                     /* requests that the client side refused */
    uint64_t answer_bytes;
    uint64_t took_ns;
    char failure[256]; /* the first error's text */
};

/* Connect, then run; with a policy once one endpoint of each channel is connected to. OAK_EDEADLINE
 * when a connection is not up within 5 s, OAK_ENOMEM, OAK_EINVAL; the errbuf says which endpoint.
 * Requests that fail are counted, not returned. */
int cli__load_run(struct oak_os_loop *loop, const struct cli__load_options *options,
                  struct cli__load_result *out, struct oak_errbuf *e);

/* Decimal key number `n` in `size` bytes, zeros in front. Exposed for the test. */
void cli__key_write(uint8_t *out, size_t size, uint64_t n);
/* Encode a request with its first key zeroed. *key_at is where that key lies, *end_at the end of
 * the range (0: none). Exposed for the test. */
int cli__request_encode(const struct cli__load_options *options, struct oak_buf *out,
                        size_t *key_at, size_t *end_at);

#endif
