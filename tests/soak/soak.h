/* SPDX-License-Identifier: Apache-2.0 */
/* soak.h: what the files of the soak share. README.md says what it is. */
#ifndef TESTS_SOAK_SOAK_H
#define TESTS_SOAK_SOAK_H

#include <inttypes.h>

#include "oakum/channel.h"
#include "tests/interop/service.h"

#define SOAK_MS     UINT64_C(1000000)
#define SOAK_SECOND (1000 * SOAK_MS)

/* -- meter.c: memory, and the verdict on it ---------------------------------------------------- */

/* What a process has at a quiet moment: what its allocator and the kernel count. */
struct soak_sample {
    uint64_t used;
    uint64_t rss;
};

struct soak_sample soak_measure(void);

/* Is the least of the second half of the figures within `allowed` of the least of the first half?
 * What comes and goes between two quiet moments only adds to a figure; what stays raises its floor.
 * The answer goes to stdout, with the name. */
bool soak_flat(const char *what, const uint64_t *figures, size_t count, uint64_t allowed);

/* -- home.c: the server, in a process of its own ----------------------------------------------- */

/* The certificates of one run: made in it, and gone with it. */
struct soak_certs {
    struct oak_buf ca;
    struct oak_buf certificate;
    struct oak_buf key;
};
void soak_certs_make(struct soak_certs *certs);
#define SOAK_HOST "soak.test"

/* Where it serves. */
struct soak_home {
    char plain[64];
    char tls[64];
};
/* Serve until SIGTERM, or until the parent is gone; the addresses go to `fd`. */
_Noreturn void soak_serve(const struct soak_certs *certs, int fd);

/* What the server answers to Meter/Read. */
struct soak_report {
    struct soak_sample sample;
    uint64_t connections;
    uint64_t streams;
};
#define SOAK_METER "oakum.soak.Meter"

/* -- jobs.c: what clients do ------------------------------------------------------------------- */

#define SOAK_CHANNELS 6
#define SOAK_JOBS     48     /* at once */
#define SOAK_LARGEST  300000 /* bytes of payload, and a few more */

struct soak;

struct soak_channel {
    struct oak_channel *channel;
    uint32_t age; /* changes with each that is made anew */
};

struct soak_job {
    struct soak *soak;
    struct oak_rpc_call *call; /* NULL once closed */
    struct oak_timer timer;
    uint32_t kind;
    uint32_t channel;
    uint32_t age;     /* of the channel, when it began */
    uint32_t left;    /* messages to send, or to be slow about */
    uint32_t size;    /* of a message */
    uint64_t wait_ns; /* of slow readers, and before a cancel */
    uint64_t got;     /* bytes of payload */
    uint64_t wanted;
    bool compressed;
};

struct soak {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct interop_net tls;
    struct soak_home home;
    struct oak_prng prng;
    struct soak_channel channels[SOAK_CHANNELS];
    struct soak_job jobs[SOAK_JOBS];
    struct oak_rpc_subchannel *control;
    uint64_t quota; /* jobs of this round that are yet to begin */
    uint64_t open;  /* jobs that have begun and are not closed */
    uint64_t done;
    uint64_t ends[17]; /* by status */
    uint64_t churned;  /* channels made anew with calls on them */
    uint64_t leak;     /* bytes that each job forgets, to see the verdict fail */
};

void soak_channel_open(struct soak *s, uint32_t which);
void soak_channel_close(struct soak *s, uint32_t which);
/* Run `count` jobs to their ends. */
void soak_round(struct soak *s, uint64_t count);

#endif
