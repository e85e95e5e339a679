/* SPDX-License-Identifier: Apache-2.0 */
/* guard.h: may the group be changed so? By looking at who is in it alone.
 *
 * The rules are etcd's. A member that is to vote and learns first, inside, counts as a voter:
 * whoever asks for a change thinks of it as one. The quorum itself is guarded below, by what the
 * Raft core takes as a voter; these guards keep an operator from asking for what could cost it.
 */
#ifndef OAK_API_GUARD_H
#define OAK_API_GUARD_H

#include "base/base.h"

struct api_guard_member {
    uint64_t id;
    bool learner; /* to stay one */
    bool started; /* it has published itself */
    bool self;
    bool active;    /* it is there now */
    bool connected; /* ... and has been for the last seconds */
    const char *const *urls;
    size_t url_count;
};

struct api_guard {
    struct api_guard_member members[OAK_PEERS_MAX];
    size_t count;
    bool strict; /* --strict-reconfig-check */
    uint64_t learners_max;
    /* Of one that is to be added: such a member was removed once; there is one. */
    bool id_gone;
    bool id_taken;
};

/* NULL: it is not among them. */
const struct api_guard_member *api__guard_find(const struct api_guard *g, uint64_t id);

/* Each gives 0, or what the client is told. `ready`: the learner has caught up. */
int api__guard_add(const struct api_guard *g, const char *const *urls, size_t url_count,
                   bool learner);
int api__guard_remove(const struct api_guard *g, uint64_t id);
int api__guard_update(const struct api_guard *g, uint64_t id, const char *const *urls,
                      size_t url_count);
int api__guard_promote(const struct api_guard *g, uint64_t id, bool ready);

#endif
