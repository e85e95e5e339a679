/* SPDX-License-Identifier: Apache-2.0 */
/* guard.c: see guard.h. Source: the etcd v3 API, "Cluster", and --strict-reconfig-check.
 *
 * Thread  any.
 */
#include "api/guard.h"

#include <string.h>

struct votes {
    size_t voters;
    size_t started;
    size_t connected;
};

/* Of the voters but `without`. */
static struct votes votes_count(const struct api_guard *g, uint64_t without)
{
    struct votes v = {0};
    for (size_t i = 0; i < g->count; i++) {
        const struct api_guard_member *m = &g->members[i];
        if (m->learner || m->id == without) {
            continue;
        }
        v.voters++;
        v.started += m->started ? 1 : 0;
        v.connected += m->self || m->connected ? 1 : 0;
    }
    return v;
}

const struct api_guard_member *api__guard_find(const struct api_guard *g, uint64_t id)
{
    for (size_t i = 0; i < g->count; i++) {
        if (g->members[i].id == id) {
            return &g->members[i];
        }
    }
    return NULL;
}

static bool url_taken(const struct api_guard *g, uint64_t except, const char *const *urls,
                      size_t url_count)
{
    for (size_t i = 0; i < g->count; i++) {
        const struct api_guard_member *m = &g->members[i];
        for (size_t k = 0; m->id != except && k < m->url_count; k++) {
            for (size_t j = 0; j < url_count; j++) {
                if (strcmp(m->urls[k], urls[j]) == 0) {
                    return true;
                }
            }
        }
    }
    return false;
}

int api__guard_add(const struct api_guard *g, const char *const *urls, size_t url_count,
                   bool learner)
{
    struct votes v = votes_count(g, 0);
    size_t learners = g->count - v.voters;
    /* One that is alone may have its second: without it there would be no way to grow. */
    bool second = v.voters == 1 && v.started == 1;
    if (g->strict && !learner && !second && v.started < (v.voters + 1) / 2 + 1) {
        return OAK_EMEMBERNOTENOUGHSTARTED;
    }
    if (g->strict && v.connected < v.voters) {
        return OAK_EUNHEALTHY;
    }
    /* Ids are made of URLs and the second: these are who asks twice within one. */
    if (g->id_gone) {
        return OAK_EMEMBERNOTFOUND;
    }
    if (g->id_taken) {
        return OAK_EMEMBEREXIST;
    }
    if (url_taken(g, 0, urls, url_count)) {
        return OAK_EPEERURLEXIST;
    }
    if (learner && learners >= g->learners_max) {
        return OAK_ETOOMANYLEARNERS;
    }
    return g->count < OAK_PEERS_MAX ? 0 : OAK_ELIMIT;
}

int api__guard_remove(const struct api_guard *g, uint64_t id)
{
    const struct api_guard_member *it = api__guard_find(g, id);
    if (it == NULL) {
        return OAK_EMEMBERNOTFOUND;
    }
    struct votes rest = votes_count(g, id);
    if (!it->learner && rest.voters == 0) {
        return OAK_EMEMBERNOTENOUGHSTARTED;
    }
    if (!g->strict || it->learner) {
        return 0;
    }
    if (rest.started < rest.voters / 2 + 1) {
        return OAK_EMEMBERNOTENOUGHSTARTED;
    }
    /* One that is down takes nothing from those that work. */
    if (!it->self && !it->active) {
        return 0;
    }
    struct votes all = votes_count(g, 0);
    return all.connected < 2 + (all.voters - 1) / 2 ? OAK_EUNHEALTHY : 0;
}

int api__guard_update(const struct api_guard *g, uint64_t id, const char *const *urls,
                      size_t url_count)
{
    if (api__guard_find(g, id) == NULL) {
        return OAK_EMEMBERNOTFOUND;
    }
    return url_taken(g, id, urls, url_count) ? OAK_EPEERURLEXIST : 0;
}

int api__guard_promote(const struct api_guard *g, uint64_t id, bool ready)
{
    const struct api_guard_member *it = api__guard_find(g, id);
    if (it == NULL) {
        return OAK_EMEMBERNOTFOUND;
    }
    /* As in etcd, who has not caught up is told that first, whatever it is. */
    if (!it->learner) {
        return it->started ? OAK_EMEMBERNOTLEARNER : OAK_ELEARNERNOTREADY;
    }
    if (!ready) {
        return OAK_ELEARNERNOTREADY;
    }
    struct votes v = votes_count(g, 0);
    if (g->strict && v.started + 1 < (v.voters + 1) / 2 + 1) {
        return OAK_EMEMBERNOTENOUGHSTARTED;
    }
    return 0;
}
