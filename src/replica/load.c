/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: how this member fares, told to the leader; and, on a leader, whether one of the followers
 * should lead instead (gray.c decides).
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#define TELL_NS 500000000ull

static void tell(struct oak_replica *r, uint64_t leader, uint64_t now)
{
    const struct remote *remote = replica__remote(r, leader);
    if (remote == NULL || !remote->reachable || now - r->load_told_ns < TELL_NS) {
        return;
    }
    struct gray_load own = gray_load_of(&r->meter, now);
    r->load_told_ns = now;
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_LOAD,
        .u.load = {.sync_us = own.sync_us,
                   .lag_us = own.lag_us,
                   .weary = now < r->gray.weary_ns,
                   .scarce = replica__space_scarce(r)},
    };
    replica__send(r, leader, false, &frame);
}

void replica__load_note(struct oak_replica *r, struct remote *from,
                        const struct oak_peer_load *load)
{
    from->load = (struct gray_load){.sync_us = load->sync_us,
                                    .lag_us = load->lag_us,
                                    .weary = load->weary,
                                    .scarce = load->scarce};
    from->load_ns = replica__now(r);
}

/* A follower may lead when it has a vote, is there, and lacks nothing that is committed. */
static size_t followers_fill(const struct oak_replica *r, const struct oak_raft_status *status,
                             struct gray_follower *rows)
{
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    size_t count = oak_raft_peers(r->raft, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        const struct oak_raft_peer_status *p = &peers[i];
        rows[i] = (struct gray_follower){
            .id = p->id,
            .fit = !p->learner && p->active && p->state == OAK_RAFT_PEER_REPLICATE &&
                   p->match >= status->commit,
        };
        for (size_t k = 0; k < r->remote_count; k++) {
            if (r->remotes[k].id == p->id) {
                rows[i].load = r->remotes[k].load;
                rows[i].told_ns = r->remotes[k].load_ns;
            }
        }
    }
    return count;
}

void replica__load_tick(struct oak_replica *r, uint64_t late_ns)
{
    struct oak_raft_status status;
    struct gray_follower rows[OAK_PEERS_MAX];
    uint64_t now = replica__now(r);
    oak_raft_status(r->raft, &status);
    gray_tick(&r->meter, late_ns);
    if (status.role != OAK_RAFT_LEADER) {
        gray_rest(&r->gray);
        tell(r, status.leader, now);
        return;
    }
    const struct gray_view view = {
        .now_ns = now,
        .stuck_ns = 1000000ull * r->options.election_ms,
        .own = gray_load_of(&r->meter, now),
        .away_ns = r->meter.token != 0 ? now - r->meter.token_ns : 0,
        .followers = rows,
        .count = followers_fill(r, &status, rows),
    };
    if (!r->options.keeps_leadership && replica__space_handover(r, rows, view.count)) {
        return;
    }
    uint64_t to = r->options.keeps_leadership ? 0 : gray_decide(&r->gray, &view);
    if (to == 0) {
        return;
    }
    int error = oak_raft_transfer(r->raft, to);
    oak_log(r->options.log, OAK_LOG_WARN,
            "this member's log takes %llu ms a batch and its loop is %llu ms late: member %016llx "
            "shall lead%s%s",
            (unsigned long long)view.own.sync_us / 1000, (unsigned long long)view.own.lag_us / 1000,
            (unsigned long long)to, error != 0 ? ": " : "",
            error != 0 ? oak_raft_error_text(error) : "");
    r->counters.handovers += error == 0 ? 1 : 0;
}
