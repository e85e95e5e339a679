/* SPDX-License-Identifier: Apache-2.0 */
/* crowd.h: clients of a cluster: many on one loop, each with one call at a time, on one shared
 * connection to each endpoint. Programs of the tests use it too.
 *
 * A call's `done` runs from a hook at the end of a round, never from inside the connection: it may
 * send again, or rest. The moment of the answer is taken when it arrives.
 *
 * Threads: one.
 */
#ifndef OAK_CHAOS_CROWD_H
#define OAK_CHAOS_CROWD_H

#include "os/os.h"
#include "proto/proto.h"
#include "oakum/rpc.h"
#include "port/port.h"

#define CROWD_ENDPOINTS_MAX 8
#define CROWD_MS            UINT64_C(1000000)

struct crowd {
    struct oak_os_loop *os;
    const struct oak_loop *loop;
    struct oak_rpc_subchannel *channels[CROWD_ENDPOINTS_MAX];
    size_t endpoint_count;
    struct oak_list answered;
    struct oak_after after;
    struct oak_timer soon; /* brings a round for answers that came behind the hook's turn */
    uint64_t moment;       /* order of calls and answers */
    size_t open;           /* calls under way */
    bool stopping;         /* SIGTERM or SIGINT came, */
    int signals;           /* so often */
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

/* A loop, whose SIGINT and SIGTERM are noted. */
OAK_MUST_USE int crowd_open(struct crowd *c, struct oak_errbuf *e);
/* One more endpoint, "127.0.0.1:1"; it is reached as soon as it is there. */
OAK_MUST_USE int crowd_connect(struct crowd *c, const char *endpoint, struct oak_errbuf *e);
/* Safe on a half-open one. */
void crowd_fini(struct crowd *c);
/* Until crowd_stop(). */
void crowd_run(struct crowd *c);
void crowd_stop(struct crowd *c);
uint64_t crowd_now(const struct crowd *c);

void crowd_call_init(struct crowd *c, struct crowd_call *call);
void crowd_call_fini(struct crowd_call *call);
/* One call; `done` will come. Not connected: it ends at once, unsent. */
void crowd_ask(struct crowd_call *call, size_t endpoint, const char *service, const char *method,
               const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
               uint64_t timeout_ns);
/* Of etcdserverpb.KV. */
void crowd_send(struct crowd_call *call, size_t endpoint, const char *method,
                const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                uint64_t timeout_ns);
/* Call `rested` after `ns`. */
void crowd_rest(struct crowd_call *call, uint64_t ns, void (*rested)(struct crowd_call *call));

#endif
