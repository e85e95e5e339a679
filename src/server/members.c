/* SPDX-License-Identifier: Apache-2.0 */
/* members.c: the connections to peers follow who is in the group, and where they are.
 *
 * Who: the configuration in force; as long as there is none, in a member that joins, those it was
 * told of. Where: what the log says; before it says anything, what this member was told at its
 * birth. A URL that is not known yet comes with the log.
 *
 * Thread  the loop's.
 */
#include "server/internal.h"

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

static bool is_named(void *arg, uint64_t id)
{
    const struct oak_raft_config *c = arg;
    return ids_have(c->voters, c->voter_count, id) ||
           ids_have(c->voters_outgoing, c->voter_outgoing_count, id) ||
           ids_have(c->learners, c->learner_count, id);
}

static const char *url_of(const struct server *s, uint64_t id)
{
    const struct oak_kv_member *known = oak_kv_member(oak_replica_kv(s->replica), id);
    if (known != NULL && known->peer_url_count > 0) {
        return known->peer_urls[0];
    }
    for (size_t i = 0; i < s->identity.member_count; i++) {
        const struct oak_config_member *m = &s->identity.members[i];
        if (m->id == id && m->peer_urls.count > 0) {
            return m->peer_urls.items[0];
        }
    }
    return NULL;
}

static void connect_to(struct server *s, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *url = ids[i] == s->identity.self ? NULL : url_of(s, ids[i]);
        int error = url == NULL ? 0 : oak_peers_set(s->peers, ids[i], url);
        if (error != 0) {
            oak_log(s->log, OAK_LOG_ERROR, "can't connect to member %016llx at %s: %s",
                    (unsigned long long)ids[i], url, oak_error_text(error));
        }
    }
}

void server__members_changed(void *user, const struct oak_raft_config *config)
{
    struct server *s = user;
    if (s->replica == NULL) {
        return; /* it is being opened; wire.c calls again */
    }
    struct oak_raft_config named = *config;
    for (size_t i = 0; config->voter_count == 0 && i < s->identity.member_count; i++) {
        named.learners[named.learner_count++] = s->identity.members[i].id;
    }
    oak_peers_prune(s->peers, is_named, &named);
    connect_to(s, named.voters, named.voter_count);
    connect_to(s, named.voters_outgoing, named.voter_outgoing_count);
    connect_to(s, named.learners, named.learner_count);
}
