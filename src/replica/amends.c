/* SPDX-License-Identifier: Apache-2.0 */
/* amends.c: a member that has forgotten what it promised loses its vote, and gets it again.
 *
 * What it promised was a voter's word. Once a majority without it has committed a configuration in
 * which it has no vote, that word binds nobody any more, and it may begin anew as any learner does.
 * It takes two changes of the configuration, which the leader makes by itself:
 *
 *    voter, mute ──(1)──▶ learner, mute ──(2)──▶ learner, in doubt ──(3)──▶ learner ──(4)──▶ voter
 *
 * Happy path   1 a leader hears that a voter forgot: it makes it a learner
 *              2 that is committed. A linearizable read, begun after it heard that: what is applied
 *                here then is no configuration of long ago. It tells the member, for that run alone
 *              3 the member follows, until its log holds all that the leader's did (raft/doubt.c)
 *              4 it says that it is whole, and is ready: the leader makes it a voter.
 * Likewise (4) for a member that was added as a voter: it begins as a learner, and gets its vote
 * once it has caught up; until then a majority has to do without it anyway.
 *
 * Can fail     nothing: what can't be done now is tried with the next tick, by whoever leads then.
 *              What it heard may be old: a member loses its vote only if it said that it forgot
 *              after a hello that this leader sent in its term, and once for each lapse.
 * Invariants   no member gets its vote here that did not say that it lost it by this.
 * Thread       the loop's.
 */
#include "replica/internal.h"

static void id_remove(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (ids[i] != id) {
            ids[kept++] = ids[i];
        }
    }
    *count = kept;
}

static void id_add(uint64_t *ids, uint32_t *count, uint64_t id)
{
    uint32_t at = *count;
    for (; at > 0 && ids[at - 1] > id; at--) {
        ids[at] = ids[at - 1];
    }
    ids[at] = id;
    (*count)++;
}

enum vote { VOTE_NONE, VOTE_FIRST, VOTE_AGAIN };

static const char *const vote_texts[] = {
    [VOTE_NONE] = "has forgotten what it promised: it loses its vote until it has caught up",
    [VOTE_FIRST] = "was added as a voter and has caught up: it gets its vote",
    [VOTE_AGAIN] = "has caught up with what it had forgotten, and gets its vote again",
};

static bool vote_change(struct oak_replica *r, uint64_t id, enum vote vote)
{
    const struct oak_raft_config *now = oak_raft_config(r->raft);
    if (r->changing.request != NULL || now->voter_outgoing_count > 0) {
        return false;
    }
    struct oak_raft_config target = *now;
    if (vote != VOTE_NONE) {
        id_remove(target.learners, &target.learner_count, id);
        id_add(target.voters, &target.voter_count, id);
    } else {
        id_remove(target.voters, &target.voter_count, id);
        id_add(target.learners, &target.learner_count, id);
    }
    bool done = oak_raft_change(r->raft, &target, NULL, NULL) == OAK_RAFT_OK;
    if (done) {
        oak_log(r->options.log, vote == VOTE_FIRST ? OAK_LOG_INFO : OAK_LOG_WARN,
                "member %016llx %s", (unsigned long long)id, vote_texts[vote]);
    }
    return done;
}

/* It forgot; or it did, and we have taken its vote when it had it again already. */
static bool is_to_be_excused(const struct remote *remote)
{
    return remote->it.past == OAK_PEER_FORGOT ||
           (remote->it.past == OAK_PEER_SOUND && remote->demoted);
}

static void excuse(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct memory *m = OAK_CONTAINER_OF(request, struct memory, read);
    struct oak_replica *r = m->replica;
    (void)result;
    m->asking = false;
    struct remote *remote = replica__remote(r, m->about);
    if (error != 0 || r->failed || remote == NULL || !is_to_be_excused(remote) ||
        remote->it.number != m->about_number ||
        replica__config_votes(&r->config_applied, remote->id)) {
        return;
    }
    remote->it.excused = m->about_number;
    replica__hello_send(r, remote);
}

static void excuse_begin(struct oak_replica *r, const struct remote *remote)
{
    struct memory *m = &r->memory;
    if (m->asking || remote->it.excused == remote->it.number) {
        return;
    }
    m->replica = r;
    m->about = remote->id;
    m->about_number = remote->it.number;
    m->read = (struct oak_replica_request){.done = excuse};
    m->asking = oak_replica_read(r, &m->read) == 0;
}

/* It was added as a voter, and learns until it has caught up. */
static void grow(struct oak_replica *r, const struct remote *remote)
{
    const struct oak_kv_member *known = oak_kv_member(r->kv, remote->id);
    struct oak_raft_peer_status rows[OAK_PEERS_MAX];
    if (known == NULL || !known->said || known->learner) {
        return;
    }
    size_t count = OAK_MIN(oak_replica_peers(r, rows, OAK_PEERS_MAX), (size_t)OAK_PEERS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (rows[i].id == remote->id && rows[i].ready) {
            (void)vote_change(r, remote->id, VOTE_FIRST);
        }
    }
}

static void amend(struct oak_replica *r, struct remote *remote)
{
    struct acquaintance *it = &remote->it;
    bool votes = replica__config_votes(oak_raft_config(r->raft), remote->id);
    bool learns = !votes && replica__config_names(oak_raft_config(r->raft), remote->id);
    bool fresh = it->heard > r->memory.lead_seq && it->excused != it->number;
    if (it->past == OAK_PEER_FORGOT && votes && fresh) {
        remote->demoted = vote_change(r, remote->id, VOTE_NONE) || remote->demoted;
    } else if (is_to_be_excused(remote) && learns) {
        excuse_begin(r, remote);
    } else if (it->past == OAK_PEER_WHOLE && learns) {
        (void)vote_change(r, remote->id, VOTE_AGAIN);
    } else if (learns && it->past == OAK_PEER_SOUND && !remote->demoted) {
        grow(r, remote);
    } else if (it->past == OAK_PEER_SOUND && votes) {
        remote->demoted = false;
    }
}

void replica__amends_tick(struct oak_replica *r)
{
    struct memory *m = &r->memory;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (status.role != OAK_RAFT_LEADER) {
        return;
    }
    if (m->lead_term != status.term) {
        m->lead_term = status.term;
        m->lead_seq = m->seq;
    }
    for (size_t i = 0; i < r->remote_count; i++) {
        if (r->remotes[i].it.accepted) {
            amend(r, &r->remotes[i]);
        }
    }
}
