/* SPDX-License-Identifier: Apache-2.0 */
/* secure.h: TLS of a server: to clients, and to other members.
 *
 * Each end has credentials of its own, made of the files that the flags name, and a network that
 * encrypts. Files that change are read again while the server runs.
 *
 * Threads: the loop's; files are read on the worker.
 */
#ifndef OAK_SERVER_SECURE_H
#define OAK_SERVER_SECURE_H

#include "oakum/tls.h"
#include "observe/observe.h"
#include "port/port.h"
#include "server/config.h"
#include "server/tally.h"

enum secure_end_kind {
    SECURE_CLIENTS, /* clients come to us, also for metrics */
    SECURE_PEERS,   /* other members come to us */
    SECURE_OUT,     /* we go to other members */
    SECURE_ENDS,
};

struct secure;

struct secure_end {
    struct secure *secure;
    const char *what;    /* "clients", for logs */
    struct oak_tls *tls; /* NULL: no TLS here */
    struct oak_tls_net *net;
    struct tally refusals;
    /* Of the last look at the files. */
    int error;
    bool changed;
    struct oak_errbuf text;
    struct oak_errbuf told; /* what was wrong with them, as it was logged; "" when nothing is */
};

struct secure {
    const struct oak_config *config;
    const struct oak_loop *loop;
    const struct oak_log *log;
    const struct oak_disk *disk;
    struct oak_exec worker;
    struct secure_end ends[SECURE_ENDS];
    struct oak_timer timer;
    struct oak_task task; /* to the worker, and back */
    bool stopped;
};

/* Credentials and networks of the ends that need them: those with URLs that say TLS. `config` to
 * `worker` are set; `peers_secure`: another member has such a URL. OAK_EINVAL and the like: `e`
 * names the file or flag and says what is wrong. */
OAK_MUST_USE int secure_make(struct secure *s, bool peers_secure, struct oak_errbuf *e);
/* The network of an end; NULL: it has no TLS. */
const struct oak_net *secure_net(const struct secure *s, enum secure_end_kind end);
/* For struct oak_peers_options: is the member of this URL, or who comes from this address, one of
 * the hosts that the certificate is good for? One that names no hosts is good for all. */
bool secure_admit(const struct oak_identity *identity, const char *from, const char *url);
/* For metrics: "clients" (of this server), "peers" (that come to it), "out" (where it goes). */
void secure_tell(const struct secure *s, struct oak_observe_secure out[SECURE_ENDS]);
/* Stop looking at files; then, once the worker has ended and before the loop is freed, unmake. */
void secure_stop(struct secure *s);
void secure_unmake(struct secure *s);

#endif
