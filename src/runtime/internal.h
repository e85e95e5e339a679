/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of `runtime` share. */
#ifndef OAK_RUNTIME_INTERNAL_H
#define OAK_RUNTIME_INTERNAL_H

#include "oakum/runtime.h"
#include "os/os.h"
#include "port/port.h"

struct oak_runtime {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_list timers; /* set and not fired */
    struct oak_list listeners;
    struct oak_list servers; /* that had a listener, each once */
    struct oak_list nets;    /* encrypted ones, for clients */
    struct oak_list watches;
    struct oak_os_actor *worker; /* reads the files of watches; NULL until there is one */
    struct oak_after drained;    /* looks whether it has come to that, while draining */
    bool draining;
    bool closed;
    uint64_t signal_grace_ns;
};

/* -- runtime.c --------------------------------------------------------------------------------- */
/* The timer of the loop, set to go off in `delay_ns`. */
void runtime__timer_set(struct oak_runtime *rt, struct oak_timer *timer, uint64_t delay_ns);

/* -- listen.c ---------------------------------------------------------------------------------- */
void runtime__listeners_close(struct oak_runtime *rt);
/* Once the loop is closed. */
void runtime__servers_free(struct oak_runtime *rt);

/* -- encrypt.c --------------------------------------------------------------------------------- */
void runtime__nets_free(struct oak_runtime *rt);
/* No more is read; what was posted back is still to run. */
void runtime__watches_stop(struct oak_runtime *rt);
/* Once the loop is closed. */
void runtime__watches_free(struct oak_runtime *rt);

#endif
