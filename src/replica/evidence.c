/* SPDX-License-Identifier: Apache-2.0 */
/* evidence.c: a state proven wrong halts this member, and what proves it is kept for people.
 *
 * Two things prove it. The Raft core has seen what must not happen (raft/evidence.c). Or the chain
 * of the leader's state differs from ours at an equal index: with each heartbeat's pace it tells
 * both, and a follower compares, now, from the ring of its last chains, or once it has applied that
 * far. With two values and no third, nobody knows which is right; the follower ends, because the
 * group can do without it.
 *
 * Kept: a line in the log, and <dir>/evidence-<seconds since 1970>.txt, made durable if the disk
 * lets us; then the process ends.
 *
 * Thread: the loop's. It blocks on the disk, once.
 */
#include "replica/internal.h"

#include <stdio.h>

static void evidence_write(struct oak_replica *r, const char *text)
{
    const struct oak_disk *disk = r->options.disk;
    const struct oak_clock *clock = &r->options.loop->clock;
    char path[1024];
    snprintf(path, sizeof(path), "%s/evidence-%llu.txt", r->options.dir,
             (unsigned long long)(clock->wall_ns(clock->user) / 1000000000));
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->write(disk->user, file, 0, text, strlen(text));
        if (error == 0) {
            error = disk->sync(disk->user, file);
        }
        disk->close(disk->user, file);
    }
    if (error == 0) {
        error = disk->sync_dir(disk->user, r->options.dir);
    }
    if (error != 0) {
        oak_log(r->options.log, OAK_LOG_ERROR, "%s can't be written: %s", path,
                oak_error_text(error));
    }
}

static void halt(struct oak_replica *r, const char *what, const char *text)
{
    if (r->failed) {
        return;
    }
    oak_log(r->options.log, OAK_LOG_ERROR, "%s", text);
    evidence_write(r, text);
    replica__fatal(r, OAK_ECORRUPTCLUSTER, what);
}

void replica__halt_raft(struct oak_replica *r)
{
    struct oak_raft_evidence e;
    bool halted = oak_raft_evidence(r->raft, &e);
    OAK_ASSERT(halted);
    if (replica__newborn_caught(r, false)) {
        return; /* no fault of a program: the data directory is another one */
    }
    char text[640];
    snprintf(text, sizeof(text),
             "%s: member %016llx, group %llu, in term %llu with leader %016llx, committed to index "
             "%llu, log to index %llu; a message of member %016llx in term %llu names index %llu "
             "with an entry of term %llu, here it is of term %llu\n",
             oak_raft_contradiction_text(e.what), (unsigned long long)r->options.id,
             (unsigned long long)r->options.group, (unsigned long long)e.term,
             (unsigned long long)e.leader, (unsigned long long)e.commit, (unsigned long long)e.last,
             (unsigned long long)e.from, (unsigned long long)e.term_from,
             (unsigned long long)e.index, (unsigned long long)e.entry_term_there,
             (unsigned long long)e.entry_term_here);
    halt(r, oak_raft_contradiction_text(e.what), text);
}

/* -- chains ------------------------------------------------------------------------------------ */

static void chain_compare(struct oak_replica *r, uint64_t index, uint64_t chain)
{
    const struct chain_at *ours = &r->chains.ring[index % CHAINS_MAX];
    if (ours->index != index || ours->chain == chain) {
        return;
    }
    char text[400];
    snprintf(text, sizeof(text),
             "states differ: member %016llx, group %llu: at index %llu the chain is %016llx here "
             "and %016llx at member %016llx, which leads\n",
             (unsigned long long)r->options.id, (unsigned long long)r->options.group,
             (unsigned long long)index, (unsigned long long)ours->chain, (unsigned long long)chain,
             (unsigned long long)r->chains.told_by);
    halt(r, "the state differs from the leader's", text);
}

void replica__chain_note(struct oak_replica *r)
{
    const struct oak_store_state *state = oak_kv_state(r->kv);
    struct chains *c = &r->chains;
    c->ring[state->applied % CHAINS_MAX] =
        (struct chain_at){.index = state->applied, .chain = state->chain};
}

void replica__chain_due(struct oak_replica *r)
{
    struct chains *c = &r->chains;
    if (c->told.index != 0 && c->told.index <= oak_kv_state(r->kv)->applied) {
        chain_compare(r, c->told.index, c->told.chain);
        c->told.index = 0;
    }
}

void replica__chain_take(struct oak_replica *r, const struct remote *from,
                         const struct oak_peer_chain *chain)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    if (status.leader != from->id || r->installing.active) {
        return;
    }
    struct chains *c = &r->chains;
    if (c->told.index != 0 && c->told.index > oak_kv_state(r->kv)->applied) {
        return; /* the one that waits comes first */
    }
    c->told = (struct chain_at){.index = chain->index, .chain = chain->chain};
    c->told_by = from->id;
    replica__chain_due(r);
}

void replica__chain_tick(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    uint64_t now = replica__now(r);
    const struct oak_store_state *state = oak_kv_state(r->kv);
    if (status.role != OAK_RAFT_LEADER || r->installing.active || state->applied == 0 ||
        now < r->chains.tell_ns) {
        return;
    }
    r->chains.tell_ns = now + 1000000ull * r->options.heartbeat_ms;
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_CHAIN,
        .u.chain = {.index = state->applied, .chain = state->chain},
    };
    for (size_t i = 0; i < r->remote_count; i++) {
        if (r->remotes[i].reachable) {
            replica__send(r, r->remotes[i].id, false, &frame);
        }
    }
}
