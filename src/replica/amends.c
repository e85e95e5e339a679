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
 * Can fail     nothing: what can't be done now is tried with the next tick, by whoever leads then.
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

static void vote_change(struct oak_replica *r, uint64_t id, bool votes)
{
    const struct oak_raft_config *now = oak_raft_config(r->raft);
    if (r->changing.request != NULL || now->voter_outgoing_count > 0) {
        return;
    }
    struct oak_raft_config target = *now;
    if (votes) {
        id_remove(target.learners, &target.learner_count, id);
        id_add(target.voters, &target.voter_count, id);
    } else {
        id_remove(target.voters, &target.voter_count, id);
        id_add(target.learners, &target.learner_count, id);
    }
    if (oak_raft_change(r->raft, &target, NULL, NULL) == OAK_RAFT_OK) {
        oak_log(r->options.log, OAK_LOG_WARN,
                votes
                    ? "member %016llx has caught up with what it had forgotten, and gets its vote "
                      "again"
                    : "member %016llx has forgotten what it promised: it loses its vote until it "
                      "has caught up",
                (unsigned long long)id);
    }
}

static void excuse(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct memory *m = OAK_CONTAINER_OF(request, struct memory, read);
    struct oak_replica *r = m->replica;
    (void)result;
    m->asking = false;
    struct remote *remote = replica__remote(r, m->about);
    if (error != 0 || r->failed || remote == NULL || remote->it.past != OAK_PEER_FORGOT ||
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

void replica__amends_tick(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    for (size_t i = 0; status.role == OAK_RAFT_LEADER && i < r->remote_count; i++) {
        const struct remote *remote = &r->remotes[i];
        bool votes = replica__config_votes(oak_raft_config(r->raft), remote->id);
        bool learns = !votes && replica__config_names(oak_raft_config(r->raft), remote->id);
        if (!remote->it.accepted) {
            continue;
        }
        if (remote->it.past == OAK_PEER_FORGOT && votes) {
            vote_change(r, remote->id, false);
        } else if (remote->it.past == OAK_PEER_FORGOT && learns) {
            excuse_begin(r, remote);
        } else if (remote->it.past == OAK_PEER_WHOLE && learns) {
            vote_change(r, remote->id, true);
        }
    }
}
