/* SPDX-License-Identifier: Apache-2.0 */
/* flow.h: how much may be on the way to a peer (flow.c). */
#ifndef OAK_RAFT_FLOW_H
#define OAK_RAFT_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What may be on the way on any path, whatever was measured: on one of 1 Mbit/s it delays a
 * heartbeat by a quarter of a second. */
#define RAFT__FLOW_FLOOR ((size_t)32 * 1024)
/* What may be on the way while the path's round trip is measured. */
#define RAFT__FLOW_SOUNDING ((size_t)2 * 1024)

/* An append that is sent and not acknowledged. */
struct raft__flight {
    uint64_t end; /* the last entry in the message */
    size_t bytes; /* of payloads */
    size_t entries;
    size_t cost; /* payloads, and RAFT__ENTRY_OVERHEAD for each entry */
    /* As it was sent: flow.c's. */
    uint64_t sent_us;
    uint64_t delivered;     /* flow's, ... */
    uint64_t acked_us;      /* ... likewise ... */
    uint64_t acked_sent_us; /* ... and likewise */
    bool alone;             /* little was ahead of it */
    bool hungry;            /* the log had no more to send */
};

/* What was measured of the path to a peer. Cost counts as bytes. */
struct raft__flow {
    uint64_t base_us;     /* the round trip of a path that is not queued on; 0: not known */
    uint64_t base_at_us;  /* when it was confirmed */
    bool unsure;          /* it is to be measured now */
    uint64_t rate_now;    /* bytes a second: the largest of these rounds ... */
    uint64_t rate_before; /* ... and of those before them */
    uint64_t round;       /* a round trip ends when something sent behind this is acknowledged */
    uint32_t rounds;
    uint64_t delivered;     /* acknowledged in all */
    uint64_t acked_us;      /* when the last of it was */
    uint64_t acked_sent_us; /* and when that had been sent */
    uint64_t hungry_until;  /* what is sent up to here met a log with no more to send */
};

/* At the most `ceiling`. */
size_t raft__flow_window(const struct raft__flow *f, size_t ceiling, uint64_t now_us);
/* `flight` (its cost is set) leaves with `ahead` on the way; `hungry`: the log has no more. */
void raft__flow_sent(struct raft__flow *f, struct raft__flight *flight, size_t ahead, bool hungry,
                     uint64_t now_us);
/* An acknowledgement of `cost` bytes, `newest` the last of them. */
void raft__flow_acked(struct raft__flow *f, const struct raft__flight *newest, size_t cost,
                      uint64_t now_us);
void raft__flow_broken(struct raft__flow *f);
uint64_t raft__flow_rate(const struct raft__flow *f); /* bytes a second; 0: not known */

#endif
