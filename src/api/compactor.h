/* SPDX-License-Identifier: Apache-2.0 */
/* compactor.h: when history is compacted by itself, and at which revision.
 *
 *     periodic  the revision is noted ten times an hour, or ten times in the retention where that
 *               is shorter. Once a whole retention has passed, and from then on every hour (or
 *               retention), compact at what was the revision a retention ago.
 *     revision  every five minutes, compact at the revision that so many lie behind the newest.
 *
 * It decides by what it is told alone: the time, and the revision. Source: the etcd v3 API,
 * --auto-compaction-mode.
 */
#ifndef OAK_API_COMPACTOR_H
#define OAK_API_COMPACTOR_H

#include "base/base.h"

enum oak_api_compaction {
    OAK_API_COMPACTION_PERIODIC,
    OAK_API_COMPACTION_REVISION,
};

struct api_compactor {
    enum oak_api_compaction mode;
    uint64_t retention; /* nanoseconds, or revisions; 0: never */
    uint64_t step_ns;   /* between two notes */
    int64_t *notes;     /* a ring, PERIODIC */
    size_t room;        /* of it: one more than steps in a retention */
    size_t count, first;
    uint64_t success_ns; /* the last compaction, or the start */
    uint64_t pause_ns;   /* between two */
    int64_t last;        /* the revision compacted at last */
};

/* `revision` is the one now. OAK_ENOMEM. fini is owed in any case. */
OAK_MUST_USE int api__compactor_init(struct api_compactor *c, enum oak_api_compaction mode,
                                     uint64_t retention, uint64_t now_ns, int64_t revision);
void api__compactor_fini(struct api_compactor *c);
/* A step has passed. The revision to compact at; 0: none now. `leads`: this member does, and it is
 * for it to do. */
int64_t api__compactor_step(struct api_compactor *c, uint64_t now_ns, int64_t revision, bool leads);
/* It has been done. (If it was not, the next step asks for it again.) */
void api__compactor_done(struct api_compactor *c, uint64_t now_ns, int64_t revision);

#endif
