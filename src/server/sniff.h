/* SPDX-License-Identifier: Apache-2.0 */
/* sniff.h: one port, two protocols: HTTP/2 goes to gRPC, everything else to HTTP/1.1.
 *
 * The HTTP/2 connection preface (RFC 9113, section 3.4) begins with "PRI", which is no method of
 * HTTP/1: three bytes decide. A connection that sends nothing is closed after SNIFF_NS.
 *
 * Threads: the loop's.
 */
#ifndef OAK_SERVER_SNIFF_H
#define OAK_SERVER_SNIFF_H

#include "http/http.h"
#include "port/port.h"
#include "oakum/rpc.h"

#define SNIFF_NS (10 * 1000000000ull)

struct sniff {
    const struct oak_loop *loop;
    struct oak_rpc_server *rpc;   /* NULL: only HTTP/1.1; others are closed */
    struct oak_http_server *http; /* NULL: only gRPC; others are closed */
    struct oak_list waiting;      /* connections that have not shown what they speak */
};

void sniff_init(struct sniff *s, const struct oak_loop *loop, struct oak_rpc_server *rpc,
                struct oak_http_server *http);
/* For struct oak_net's listen: `arg` is the struct sniff. */
void sniff_accept(void *arg, struct oak_stream *stream);
/* Close those that wait. */
void sniff_stop(struct sniff *s);

#endif
