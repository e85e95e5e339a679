/* SPDX-License-Identifier: Apache-2.0 */
/* carrier.h: calls that are carried elsewhere than in a stream of a connection of rpc.h.
 *
 * A channel makes a call again, a gateway has it from somewhere else. Whoever uses it sees a struct
 * oak_rpc_call all the same. Such a carrier has a struct of its own whose first member is a struct
 * oak_rpc_call_base; a pointer to that is the call, and the functions of rpc.h do what its table
 * says:
 *
 *     struct my_call {
 *         struct oak_rpc_call_base base;      // first; base.ops is set before anybody sees it
 *         struct oak_rpc_follower *followers; // NULL: nobody follows it
 *     };
 *     method->start(method->user, oak_rpc_call_of(&mine->base));
 *     mine->handler->closed(mine->user, oak_rpc_call_of(&mine->base), &status); // last, then
 *     oak_rpc_followers_tell(&mine->followers);
 *
 * Threads: as rpc.h.
 */
#ifndef OAKUM_CARRIER_H
#define OAKUM_CARRIER_H

#include "oakum/rpc.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Server functions of a client's call, and the other way round, may be NULL. */
struct oak_rpc_call_ops {
    void (*handle)(struct oak_rpc_call *call, const struct oak_rpc_handler *handler, void *user);
    int (*send)(struct oak_rpc_call *call, struct oak_bytes message);
    uint8_t *(*send_into)(struct oak_rpc_call *call, size_t size);
    void (*half_close)(struct oak_rpc_call *call);
    void (*finish)(struct oak_rpc_call *call, enum oak_rpc_code code, const char *message);
    void (*cancel)(struct oak_rpc_call *call);
    void (*pause)(struct oak_rpc_call *call, bool paused);
    size_t (*queued)(const struct oak_rpc_call *call);
    int (*add_header)(struct oak_rpc_call *call, struct oak_rpc_pair pair);
    int (*add_trailer)(struct oak_rpc_call *call, struct oak_rpc_pair pair);
    struct oak_bytes (*metadata)(const struct oak_rpc_call *call, const char *name);
    uint64_t (*deadline_ns)(const struct oak_rpc_call *call);
    struct oak_bytes (*path)(const struct oak_rpc_call *call);
    const char *(*peer)(const struct oak_rpc_call *call);
    const struct oak_identity *(*identity)(const struct oak_rpc_call *call);
    bool (*owed)(const struct oak_rpc_call *call);
    uint64_t (*moved_ns)(const struct oak_rpc_call *call);
    /* Those from here on may all be NULL: OAK_EUNIMPLEMENTED, or nothing. */
    int (*finish_details)(struct oak_rpc_call *call, enum oak_rpc_code code, const char *message,
                          struct oak_bytes details);
    bool (*metadata_next)(const struct oak_rpc_call *call, enum oak_rpc_part part, size_t *at,
                          struct oak_rpc_pair *out);
    struct oak_bytes (*authority)(const struct oak_rpc_call *call);
    int (*follow)(struct oak_rpc_call *call, struct oak_rpc_follower *follower);
    int (*compress)(struct oak_rpc_call *call, enum oak_rpc_encoding encoding);
    void (*compress_messages)(struct oak_rpc_call *call, bool on);
    bool (*compressed)(const struct oak_rpc_call *call);
    const struct oak_process *(*process)(const struct oak_rpc_call *call);
};

/* What every call begins with; `ops` NULL: a stream of a connection of this room. */
struct oak_rpc_call_base {
    const struct oak_rpc_call_ops *ops;
};

static inline struct oak_rpc_call *oak_rpc_call_of(struct oak_rpc_call_base *base)
{
    return (struct oak_rpc_call *)(void *)base;
}

/* -- who follows a call ------------------------------------------------------------------------ */

/* A carrier keeps those who follow its call in a list: a pointer to the first, NULL when there is
 * none. `follow` of a call that has not ended joins it; one who leaves needs no list. */
OAK_API void oak_rpc_followers_join(struct oak_rpc_follower **list,
                                    struct oak_rpc_follower *follower);
/* The call has ended, and its handler was told: so is each, and follows no more. */
OAK_API void oak_rpc_followers_tell(struct oak_rpc_follower **list);

#ifdef __cplusplus
}
#endif

#endif
