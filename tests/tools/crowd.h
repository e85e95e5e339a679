/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.h: clients of a cluster for the chaos tests: many on one loop, each with one call at a
 * time, on one shared connection to each endpoint.
 *
 * A call's `done` runs from a hook at the end of a round, never from inside the connection: it may
 * send again, or rest. The moment of the answer is taken when it arrives.
 *
 * Threads: one.
 */
#ifndef TESTS_TOOLS_CROWD_H
#define TESTS_TOOLS_CROWD_H

#include "os/os.h"
#include "proto/proto.h"
#include "rpc/rpc.h"

#define CROWD_ENDPOINTS_MAX 8
#define CROWD_MS            UINT64_C(1000000)

struct crowd {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_rpc_channel *channels[CROWD_ENDPOINTS_MAX];
    size_t endpoint_count;
    struct oak_list answered;
    struct oak_after after;
    uint64_t moment; /* order of calls and answers */
    size_t open;     /* calls under way */
    bool stopping;   /* SIGTERM or SIGINT came */
};

struct crowd_call {
    struct crowd *crowd;
    void (*done)(struct crowd_call *call);
    /* Of the call that has ended. */
    bool unsent; /* it never left: nothing can have come of it */
    enum oak_rpc_code code;
    ProtobufCMessage *response; /* with OAK_RPC_OK; valid until the next send */
    size_t endpoint;
    uint64_t sent_ns;
    uint64_t done_ns;
    uint64_t call;
    uint64_t ret;

    const ProtobufCMessageDescriptor *type;
    struct oak_arena arena;
    struct oak_list link;
    struct oak_timer timer;
    void (*rested)(struct crowd_call *call);
};

/* `endpoints`: "127.0.0.1:1,127.0.0.1:2". Errors are told on stderr. */
bool crowd_init(struct crowd *c, const char *endpoints);
void crowd_fini(struct crowd *c);
/* Until crowd_stop(). */
void crowd_run(struct crowd *c);
void crowd_stop(struct crowd *c);
uint64_t crowd_now(const struct crowd *c);

void crowd_call_init(struct crowd *c, struct crowd_call *call);
void crowd_call_fini(struct crowd_call *call);
/* One call of etcdserverpb.KV; `done` will come. Not connected: it ends at once, unsent. */
void crowd_send(struct crowd_call *call, size_t endpoint, const char *method,
                const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                uint64_t timeout_ns);
/* Call `rested` after `ns`. */
void crowd_rest(struct crowd_call *call, uint64_t ns, void (*rested)(struct crowd_call *call));

/* Key and value number `i`: what is written can be told from the number alone. */
#define CROWD_KEY_BYTES 11
void crowd_key(uint64_t i, char out[CROWD_KEY_BYTES + 1]);
void crowd_value(uint64_t i, uint8_t *out, size_t size);

/* A decimal number, all of `text`. */
bool crowd_number(const char *text, uint64_t *out);

#endif
