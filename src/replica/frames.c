/* SPDX-License-Identifier: Apache-2.0 */
/* frames.c: frames of other members, in and out.
 *
 * What comes in is checked (checksum, cluster, group, addressee) before it is believed; what is
 * malformed is logged and dropped: the sender repeats what matters.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#include "base/zoo.h"

struct remote *replica__remote(struct oak_replica *r, uint64_t id)
{
    for (size_t i = 0; i < r->remote_count; i++) {
        if (r->remotes[i].id == id) {
            return &r->remotes[i];
        }
    }
    return NULL;
}

void replica__send_to(struct oak_replica *r, uint64_t to, uint64_t to_boot, bool bulk,
                      struct oak_peer_frame *frame)
{
    frame->address = (struct oak_peer_address){
        .cluster = r->options.cluster,
        .group = r->options.group,
        .from = r->options.id,
        .to = to,
        .boot = r->boot,
        .to_boot = to_boot,
    };
    oak_buf_clear(&r->frame);
    if (oak_peer_encode(frame, &r->frame) != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "no memory for a frame: dropped");
        return;
    }
    r->options.transport.send(r->options.transport.user, to, bulk, oak_buf_bytes(&r->frame));
}

void replica__send(struct oak_replica *r, uint64_t to, bool bulk, struct oak_peer_frame *frame)
{
    const struct remote *remote = replica__remote(r, to);
    replica__send_to(r, to, remote != NULL ? remote->boot : 0, bulk, frame);
}

static bool addressed(const struct oak_replica *r, const struct oak_peer_address *a)
{
    return a->cluster == r->options.cluster && a->group == r->options.group &&
           a->to == r->options.id && a->from != r->options.id;
}

static void raft_handle(struct oak_replica *r, struct remote *remote,
                        const struct oak_peer_frame *frame)
{
    if (!replica__hello_admits(r, remote, frame->address.boot)) {
        return; /* as if lost */
    }
    replica__hello_note(r, remote, &frame->u.raft);
    oak_raft_clock(r->raft, replica__now(r) / 1000);
    int error = oak_raft_step(r->raft, &frame->u.raft);
    if (error == OAK_RAFT_EHALTED) {
        replica__halt_raft(r);
    } else if (error != 0) {
        oak_log(r->options.log, OAK_LOG_WARN, "a message of member %016llx was ignored: %s",
                (unsigned long long)remote->id, oak_raft_error_text(error));
    }
}

static void frame_handle(struct oak_replica *r, struct remote *remote, struct oak_peer_frame *frame)
{
    switch (frame->kind) {
    case OAK_PEER_RAFT:
        raft_handle(r, remote, frame);
        break;
    case OAK_PEER_HELLO:
        replica__hello_take(r, remote, frame);
        break;
    case OAK_PEER_FORWARD:
        replica__forward_take(r, remote, frame);
        break;
    case OAK_PEER_REFUSED:
        if (frame->address.to_boot == r->boot && frame->u.refused.seq != 0) {
            int told = frame->u.refused.error == OAK_ENOTLEADER ? OAK_ELEADERCHANGED
                                                                : frame->u.refused.error;
            replica__forwards_fail(r, frame->u.refused.seq, told);
        }
        break;
    case OAK_PEER_CHUNK:
        replica__chunk_take(r, remote->id, &frame->u.chunk);
        break;
    case OAK_PEER_CHAIN:
        replica__chain_take(r, remote, &frame->u.chain);
        break;
    case OAK_PEER_LOAD:
        replica__load_note(r, remote, &frame->u.load);
        break;
    case OAK_PEER_CHUNK_ACK:
        replica__snapshot_ack(r, remote->id, &frame->u.ack);
        break;
    case OAK_PEER_LEASE_ASK:
        replica__lease_ask_take(r, remote, frame);
        break;
    case OAK_PEER_LEASE_TOLD:
        replica__lease_told_take(r, frame);
        break;
    }
}

/* A frame of another run: the next one, or an earlier one whose frame comes late. What was taken of
 * that run's forwards is still known. */
static void run_switch(struct remote *remote, uint64_t boot)
{
    struct remote_run *place = &remote->runs[remote->run_next];
    uint64_t forward_seq = 0;
    for (size_t i = 0; i < OAK_REMOTE_RUNS_MAX; i++) {
        if (remote->runs[i].boot == boot && !OAK_BUG(late_run_is_new)) {
            place = &remote->runs[i];
            forward_seq = place->forward_seq;
        }
    }
    if (place == &remote->runs[remote->run_next]) {
        remote->run_next = (remote->run_next + 1) % OAK_REMOTE_RUNS_MAX;
    }
    *place = (struct remote_run){.boot = remote->boot, .forward_seq = remote->forward_seq};
    remote->boot = boot;
    remote->forward_seq = forward_seq;
}

void oak_replica_receive(struct oak_replica *r, struct oak_bytes bytes)
{
    OAK_ASSERT(!r->pumping);
    if (r->closing || r->failed) {
        return;
    }
    struct oak_peer_frame frame;
    int error = oak_peer_decode(bytes, &r->frame_arena, &frame);
    if (error != 0 || !addressed(r, &frame.address)) {
        oak_log(r->options.log, OAK_LOG_WARN, "a frame of %zu bytes was dropped: %s", bytes.size,
                error != 0 ? oak_error_text(error) : "it is not addressed to this member");
        oak_arena_reset(&r->frame_arena);
        return;
    }
    struct remote *remote = replica__remote_admit(r, frame.address.from);
    if (remote != NULL) {
        if (remote->boot != frame.address.boot) {
            run_switch(remote, frame.address.boot);
        }
        remote->reachable = true;
        frame_handle(r, remote, &frame);
    }
    oak_arena_reset(&r->frame_arena);
}

void oak_replica_lost(struct oak_replica *r, uint64_t peer)
{
    struct remote *remote = replica__remote(r, peer);
    if (remote != NULL) {
        remote->lost = true;
        remote->reachable = false;
    }
}
