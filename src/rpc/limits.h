/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: limits of the rpc room that no option sets: number, unit, reason. */
#ifndef OAK_RPC_LIMITS_H
#define OAK_RPC_LIMITS_H

#include "base/base.h"

#define RPC_SECOND_NS ((uint64_t)1000000000)

/* Calls and their small buffers kept for reuse by a server or a channel: 1024 × about 1 KiB. */
#define RPC_SPARE_CALLS_MAX 1024u
/* A buffer larger than this goes back to the heap with its call. */
#define RPC_SPARE_BUFFER_BYTES_MAX (4 * OAK_KIB)
/* Buffers of large messages kept by a server or a channel for the next ones, and their size at
 * most: they would cost a page fault for every 4 KiB anew. */
#define RPC_LARGE_BUFFERS          4
#define RPC_LARGE_BUFFER_BYTES_MAX (2 * OAK_MIB + OAK_KIB)
/* nghttp2's blocks of up to so many times 64 bytes go round in the pool, up to so much of them:
 * those of 500 calls. */
#define RPC_POOLED_STEPS     16u
#define RPC_POOLED_BYTES_MAX (512 * OAK_KIB)
/* The same for the two buffers in which a server or a channel packs and unpacks messages. */
#define RPC_SCRATCH_BYTES_MAX (64 * OAK_KIB)
/* What may be on its way to us, of one stream and of a connection; a stream's grows up to the most
 * when the path carries more, and the connection's to half as much again: 4 MiB are 320 Mbit/s at a
 * round trip of 100 ms. */
#define RPC_WINDOW_BYTES            ((uint32_t)OAK_MIB)
#define RPC_WINDOW_CONNECTION_BYTES (4 * (uint32_t)OAK_MIB)
#define RPC_WINDOW_BYTES_MAX        (4 * (uint32_t)OAK_MIB)
/* How long it is not asked again what a path carries that has carried less than its window. */
#define RPC_BANDWIDTH_PAUSE_NS (1 * RPC_SECOND_NS)
/* Gathered by one take: large enough for one write a round, small enough for a fair loop. */
#define RPC_TAKE_BYTES (256 * OAK_KIB)
/* A frame of at least so many bytes is written from where its message lies, and not copied behind
 * the others; of one take at most so many frames. A piece costs the kernel about what copying 2 KiB
 * costs us. */
#define RPC_LEND_BYTES (8 * OAK_KIB)
#define RPC_LENT_MAX   (RPC_TAKE_BYTES / RPC_LEND_BYTES)
/* Received for paused calls of one connection: past it the peer gets no more of the connection's
 * window until some go on. */
#define RPC_HELD_BYTES_MAX (16 * OAK_MIB)
/* In messages of one connection of a server that have not come whole, unless it is told otherwise:
 * past it a call that needs more is refused. Holding back the window instead would stop the very
 * bytes that complete them. 30 of the largest. */
#define RPC_UNFINISHED_BYTES_MAX (64 * OAK_MIB)
/* Header lists this many times over the limit end the connection and not only the call. */
#define RPC_HEADER_ABUSE_FACTOR 16u
/* CONTINUATION frames behind one HEADERS: 64 KiB of headers need four. */
#define RPC_CONTINUATIONS_MAX 8u
/* Answers to PING and SETTINGS that wait because the peer doesn't read. */
#define RPC_OUTBOUND_ACKS_MAX 1000u
/* What a call may add to its headers, and to its trailers; and a status message, which is cut. */
#define RPC_PAIRS_BYTES_MAX  (64 * OAK_KIB)
#define RPC_STATUS_BYTES_MAX (4 * OAK_KIB)
/* The same encoded: three bytes for one, and the base64 of pairs is counted already. */
#define RPC_SEND_HEADER_BYTES_MAX (256 * OAK_KIB)
/* What a client's user says of itself. */
#define RPC_USER_AGENT_BYTES_MAX 128
/* Streams one client connection may open before it makes room for a new one (of 2^30). */
#define RPC_STREAM_ID_MAX ((int32_t)((1u << 31) - 1024u))
/* Before each message; before each frame of HTTP/2. */
#define RPC_FRAME_HEAD_BYTES       5
#define RPC_HTTP2_FRAME_HEAD_BYTES 9
/* A peer has this long to send its preface, or to end a block of headers it began. */
#define RPC_HANDSHAKE_NS (10 * RPC_SECOND_NS)
/* A call has to make so much progress, once it owes some, in so much time unless the server was
 * told otherwise: the first is next to nothing, the second longer than any pause of a client that
 * lives. */
#define RPC_PROGRESS_BYTES 1024u
#define RPC_CALL_STALL_NS  (300 * RPC_SECOND_NS)
/* A peer that takes nothing of what is queued for it this long while it is too much is let go. */
#define RPC_STALL_NS (60 * RPC_SECOND_NS)
/* A stream that was told to close once its bytes have left is cut after this long. */
#define RPC_LINGER_NS (5 * RPC_SECOND_NS)
/* Between the two GOAWAYs of a drain, for calls that are on their way. */
#define RPC_DRAIN_NS (1 * RPC_SECOND_NS)
/* A server looks after a connection that says nothing (etcd's values). */
#define RPC_SERVER_KEEPALIVE_NS  (7200 * RPC_SECOND_NS)
#define RPC_KEEPALIVE_TIMEOUT_NS (20 * RPC_SECOND_NS)
/* PINGs closer than this with no call open are strikes (etcd's value). */
#define RPC_PING_MIN_NS      (5 * RPC_SECOND_NS)
#define RPC_PING_STRIKES_MAX 2u

/* Clients whose rate of calls a server remembers, 16 bytes each; past it those that have been quiet
 * longest are forgotten, whose buckets are nearest to full. */
#define RPC_RATE_CLIENTS_MAX 32768u
/* When to come again, to a call that was refused because too many are being worked on. */
#define RPC_BUSY_PUSHBACK_NS (200 * 1000000u)
/* So that sums of times don't overflow: a century. */
#define RPC_AGE_MAX_NS (RPC_SECOND_NS * 86400 * 366 * 100)

#endif
