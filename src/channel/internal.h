/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the channel room share. See README.md for the order to read them
 * in. */
#ifndef OAK_CHANNEL_INTERNAL_H
#define OAK_CHANNEL_INTERNAL_H

#include "oakum/channel.h"
#include "port/port.h"

/* -- limits of this room: number, unit, reason ------------------------------------------------- */

/* Addresses of a target: a name with more is cut to as many. A round-robin over them is as many
 * connections. */
#define CHANNEL_ADDRESSES_MAX 256u
/* Of a unix socket's path: what the kernel takes. */
#define CHANNEL_UNIX_BYTES_MAX 107

/* -- target.c: what a target's text means ------------------------------------------------------ */

struct channel_target {
    struct oak_buf addresses; /* `count` texts, each with a NUL, as port.h's connect takes them */
    size_t count;
    bool lookup;         /* the one address is a name to be looked up */
    char authority[256]; /* what the server is called; "": each address for itself */
};

/* OAK_EINVAL (the reason is in `e`, which may be NULL), OAK_ENOMEM. */
OAK_MUST_USE int channel__target_parse(const char *text, unsigned default_port,
                                       struct channel_target *out, struct oak_errbuf *e);
void channel__target_fini(struct channel_target *t);

#endif
