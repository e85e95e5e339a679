/* SPDX-License-Identifier: Apache-2.0 */
/* space.c: what a member does whose disk is nearly full, or full.
 *
 * While less is free than the reserve (limits.h), or the store has found no space, it is an alarm:
 *   a leader       hands leadership to a follower that has space; if none has, it refuses what
 *                  would take more space, with etcd's "database space exceeded". What gives space
 *                  back (deletes, compaction) is taken, until log or store find none any more.
 *   a follower     goes on. Once its log finds no space, what it is sent waits in memory (bounded
 *                  as for any slow follower), and it lags.
 *   a full store   keeps what is applied in memory, bounded, then entries wait in the log
 *                  (apply.c). Its flush is tried again (flush.c). Reads are answered from what is
 *                  applied.
 * When space is back, all of it ends by itself.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

/* What a follower told of itself longer ago than that says nothing. */
#define TOLD_NS 3000000000ull
/* So often at most is leadership handed on for want of space. */
#define AGAIN_NS 30000000000ull

bool replica__space_scarce(const struct oak_replica *r)
{
    return oak_journal_stats(r->journal)->scarce || oak_store_full(r->options.store, NULL);
}

bool replica__space_refuses(const struct oak_replica *r, struct oak_bytes command)
{
    struct oak_kv_command decoded;
    if (!replica__space_scarce(r) || oak_kv_command_decode(command, &decoded) != 0) {
        return false;
    }
    bool full = oak_journal_stats(r->journal)->full || oak_store_full(r->options.store, NULL);
    return full || decoded.kind == OAK_KV_PUT || decoded.kind == OAK_KV_TXN ||
           decoded.kind == OAK_KV_LEASE_GRANT;
}

bool replica__space_refuses_any(const struct oak_replica *r, struct oak_bytes commands)
{
    struct oak_reader in = oak_reader(commands);
    bool refuses = false;
    while (!refuses && !in.failed && oak_reader_left(&in) > 0) {
        uint32_t size = oak_read_u32(&in);
        struct oak_bytes command = oak_read_bytes(&in, size);
        refuses = !in.failed && replica__space_refuses(r, command);
    }
    return refuses;
}

bool replica__space_handover(struct oak_replica *r, const struct gray_follower *rows, size_t count)
{
    uint64_t now = replica__now(r);
    bool lately = r->space_handed_ns != 0 && now - r->space_handed_ns < AGAIN_NS;
    if (!replica__space_scarce(r) || lately) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct gray_follower *f = &rows[i];
        if (f->fit && f->told_ns != 0 && now - f->told_ns < TOLD_NS && !f->load.scarce) {
            r->space_handed_ns = now;
            int error = oak_raft_transfer(r->raft, f->id);
            oak_log(r->options.log, OAK_LOG_WARN,
                    "little space is left on this member's disk: member %016llx shall lead%s%s",
                    (unsigned long long)f->id, error != 0 ? ": " : "",
                    error != 0 ? oak_raft_error_text(error) : "");
            r->counters.handovers += error == 0 ? 1 : 0;
            return true;
        }
    }
    return false;
}
