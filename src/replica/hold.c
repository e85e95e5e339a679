/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c: the pace of proposals (pace.c), as this member sees its followers; and forwarded commands
 * that wait for their turn.
 *
 * While a follower catches up, what clients of this member propose stays gathered, and what other
 * members forward waits in `held`, in the order it came. Both are bounded; past the bound clients
 * are told "too many requests". A member that stops leading refuses what it holds: none of it was
 * proposed.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#define HELD_HEAD 28

/* The transfer's bytes count as progress, and the snapshot as what it will have. */
static struct pace_follower follower_of(const struct oak_replica *r,
                                        const struct oak_raft_peer_status *p)
{
    struct pace_follower f = {
        .id = p->id,
        .has = p->match,
        .progress = p->match,
        .voter = !p->learner,
        .active = p->active,
    };
    for (size_t i = 0; i < OAK_COUNT_OF(r->sendings); i++) {
        const struct sending *s = &r->sendings[i];
        if (p->state == OAK_RAFT_PEER_SNAPSHOT && s->state != SENDING_FREE && s->peer == p->id) {
            f.has = OAK_MAX(f.has, replica__snapshot_index(r, p->id));
            f.progress += s->acked;
        }
    }
    return f;
}

void replica__pace_tick(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (status.role != OAK_RAFT_LEADER || r->options.waits_for_nobody) {
        pace_reset(&r->pace);
        return;
    }
    struct oak_raft_peer_status peers[OAK_PEERS_MAX];
    struct pace_follower followers[OAK_PEERS_MAX];
    size_t count = oak_raft_peers(r->raft, peers, OAK_COUNT_OF(peers));
    for (size_t i = 0; i < count; i++) {
        followers[i] = follower_of(r, &peers[i]);
    }
    uint64_t before = r->pace.laggard;
    const struct pace_view view = {
        .now_ns = replica__now(r),
        .last = status.last,
        .log_bytes = status.log_bytes,
        .log_entries = (size_t)(status.last + 1 - status.first),
        .held_bytes = r->options.log_held_bytes,
        .held_entries = r->options.log_held_entries,
        .followers = followers,
        .count = count,
    };
    pace_look(&r->pace, &view);
    if (r->pace.laggard != before && r->pace.laggard != 0) {
        oak_log(r->options.log, OAK_LOG_WARN,
                "clients are slowed to %llu KiB/s so that member %016llx can catch up",
                (unsigned long long)r->pace.rate / 1024, (unsigned long long)r->pace.laggard);
    } else if (r->pace.laggard != before) {
        oak_log(r->options.log, OAK_LOG_INFO, "clients are no longer slowed");
    }
}

void replica__forward_hold(struct oak_replica *r, const struct remote *from, uint64_t seq,
                           struct oak_bytes commands)
{
    size_t most = OAK_MIN(OAK_PACE_HELD_BYTES_MAX, pace_backlog(&r->pace));
    uint8_t head[HELD_HEAD];
    oak_put_u64(head, from->id);
    oak_put_u64(head + 8, from->boot);
    oak_put_u64(head + 16, seq);
    oak_put_u32(head + 24, (uint32_t)commands.size);
    bool fits = r->held.size == 0 || r->held.size + commands.size <= most;
    if (!fits || oak_buf_reserve(&r->held, HELD_HEAD + commands.size) != 0) {
        replica__forward_refuse(r, from->id, seq, OAK_ETOOMANYREQUESTS);
        return;
    }
    int error = oak_buf_append(&r->held, head, sizeof(head));
    OAK_ASSERT_EQ(error, 0);
    error = oak_buf_append(&r->held, commands.data, commands.size);
    OAK_ASSERT_EQ(error, 0);
}

void replica__held_release(struct oak_replica *r)
{
    if (r->held.size == 0) {
        return;
    }
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    size_t at = 0;
    while (at < r->held.size) {
        const uint8_t *head = r->held.data + at;
        uint64_t from = oak_get_u64(head), seq = oak_get_u64(head + 16);
        struct oak_bytes commands = oak_bytes(head + HELD_HEAD, oak_get_u32(head + 24));
        const struct remote *remote = replica__remote(r, from);
        /* What an earlier run of the sender asked for, nobody waits for any more. */
        bool wanted = remote != NULL && remote->boot == oak_get_u64(head + 8);
        if (wanted && status.role != OAK_RAFT_LEADER) {
            replica__forward_refuse(r, from, seq, OAK_ENOTLEADER);
        } else if (wanted && pace_admit(&r->pace, replica__now(r), commands.size)) {
            replica__forward_propose(r, from, seq, commands);
        } else if (wanted) {
            break;
        }
        at += HELD_HEAD + commands.size;
    }
    if (at > 0) {
        r->held.size -= at;
        memmove(r->held.data, r->held.data + at, r->held.size);
    }
}
