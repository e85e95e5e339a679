/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h: who a data directory belongs to: the file <data-dir>/identity.
 *
 * Written once, when the member is born; from then on it and not the --initial-cluster flags says
 * who is in the cluster. Plain text, one fact a line:
 *
 *     oakum-identity 1
 *     cluster 6e3bd23ae5f1eae0
 *     member 8211f1d0f64f3269
 *     name infra1
 *     joined
 *     peer 8211f1d0f64f3269 infra1 http://127.0.0.1:2380
 *     ...
 *
 * "joined" is there when the member joined a cluster that was there.
 *
 * Threads: start-up's.
 */
#ifndef OAK_SERVER_IDENTITY_H
#define OAK_SERVER_IDENTITY_H

#include "port/port.h"
#include "server/config.h"

/* URLs of all members together. */
#define IDENTITY_URLS_MAX (OAK_CONFIG_MEMBERS_MAX * OAK_CONFIG_URLS_MAX)

struct identity {
    uint64_t cluster;
    uint64_t self;
    const char *name;
    bool joined; /* a cluster that was there: the members are those it told of then */
    struct oak_config_member members[OAK_CONFIG_MEMBERS_MAX]; /* sorted by id */
    size_t member_count;
    struct oak_arena arena; /* holds the texts */
};

/* Read <dir>/identity. OAK_ENOENT when there is none (a member to be born), OAK_ECORRUPT. fini is
 * owed in any case. */
OAK_MUST_USE int identity_load(const struct oak_disk *disk, const char *dir, struct identity *out,
                               struct oak_errbuf *e);
/* Write it durably. Texts of `cluster` are borrowed. */
OAK_MUST_USE int identity_create(const struct oak_disk *disk, const char *dir, const char *name,
                                 const struct oak_config_cluster *cluster, bool joined,
                                 struct oak_errbuf *e);
void identity_fini(struct identity *identity);

#endif
