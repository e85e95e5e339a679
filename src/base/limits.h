/* SPDX-License-Identifier: Apache-2.0 */
/* limits.h: every limit of the program, with its unit and the reason for the number.
 *
 * Names are OAK_<NOUN>_<UNIT>_MAX. What may be set by a flag says so; the number here is then the
 * default, and the flag's own row in the manual gives its ceiling.
 */
#ifndef OAK_BASE_LIMITS_H
#define OAK_BASE_LIMITS_H

#include "base/assert.h"

#define OAK_KIB ((size_t)1024)
#define OAK_MIB ((size_t)1024 * OAK_KIB)

/* -- requests ---------------------------------------------------------------------------------- */
/* A request as it goes to the log (--max-request-bytes; etcd's default). */
#define OAK_REQUEST_BYTES_MAX (1536 * OAK_KIB)
/* What a gRPC message may have beyond that: framing, metadata, base64 of a gateway (etcd's). */
#define OAK_REQUEST_OVERHEAD_BYTES (512 * OAK_KIB)
/* Operations in one branch of a transaction (--max-txn-ops; etcd's default). */
#define OAK_TXN_OPS_MAX 128
/* Nesting of messages when decoding. A Txn within a Txn costs two levels; etcd allows 100. */
#define OAK_PROTO_DEPTH_MAX 100
/* Memory that decoding one request may take: protobuf-c makes at most some ten times the wire
 * size of pointers and headers out of tiny fields. */
#define OAK_DECODE_BYTES_MAX (16 * OAK_REQUEST_BYTES_MAX)

/* A response held in memory while it is built. A client that asks for more than this in one piece
 * is told so. */
#define OAK_RESPONSE_BYTES_MAX (512 * OAK_MIB)
/* A range in order of key that takes more than this is not held: it is read twice, and goes from
 * the store to the socket in pieces. Most lists of a Kubernetes API server, 500 objects each, stay
 * below it. */
#define OAK_RANGE_HELD_BYTES_MAX (4 * OAK_MIB)
/* Of such a range, read between two turns of the loop: a fraction of a millisecond. */
#define OAK_RANGE_STEP_BYTES_MAX (256 * OAK_KIB)
/* Such ranges under way in a server: each may hold a step and what is queued, 600 KiB, and holds
 * old versions back from being reclaimed. */
#define OAK_RANGES_MAX 1024

/* -- replication ------------------------------------------------------------------------------- */
/* Voters and learners of one group. Seven voters is what is supported; the rest is room for change.
 */
#define OAK_PEERS_MAX 16
/* Earlier runs of a member whose forwards are remembered, so that one of theirs that comes late is
 * not taken twice: as many starts as may fit into the time that a frame is under way. */
#define OAK_REMOTE_RUNS_MAX 8
/* One log entry: a request, and its envelope. */
#define OAK_ENTRY_BYTES_MAX (OAK_REQUEST_BYTES_MAX + OAK_KIB)
/* Entries' bytes in one append message: large enough to amortise, small enough for a heartbeat
 * not to wait long behind it on a 1 Gbit/s link (1 MiB = 8 ms). */
#define OAK_APPEND_BYTES_MAX (1 * OAK_MIB)
/* Bytes and entries sent to one follower and not yet acknowledged: fills 1 Gbit/s at 60 ms round
 * trip. Below it, what is on the way is tuned to the path (docs/internals/flow.md). The entries are
 * those of 128 bytes in as many bytes. */
#define OAK_INFLIGHT_BYTES_MAX   (8 * OAK_MIB)
#define OAK_INFLIGHT_ENTRIES_MAX 65536
/* Bytes proposed and not committed: past it, proposals are refused with "too many requests". */
#define OAK_UNCOMMITTED_BYTES_MAX (64 * OAK_MIB)
/* Log kept in memory behind what is applied, for followers that lag: past it they get a snapshot.
 */
#define OAK_LOG_TAIL_BYTES_MAX   (16 * OAK_MIB)
#define OAK_LOG_TAIL_ENTRIES_MAX 20000
/* Log that a leader keeps beyond that tail for a follower that is there and catching up, has been
 * silent for less than OAK_LOG_AWAY_MS (--experimental-log-away-time), or is being sent a snapshot:
 * without it, under load, the log behind the snapshot is gone when the snapshot has arrived, and
 * the next one begins. Four tails: a snapshot of 1 GB takes 10 s on a 1 Gbit/s link, in which
 * 6 MB/s of writes come. Past it, the member gets another snapshot. */
#define OAK_LOG_HELD_BYTES_MAX   (4 * OAK_LOG_TAIL_BYTES_MAX)
#define OAK_LOG_HELD_ENTRIES_MAX 500000
/* A restart, or a disk that hangs, is over by then, mostly: the log costs less than a snapshot. */
#define OAK_LOG_AWAY_MS 10000
/* What clients may propose at the least while a follower catches up, bytes a second: a hundred and
 * more small puts. And what a command counts beside its bytes, as it does in the log. */
#define OAK_PACE_BYTES_MIN   (32 * OAK_KIB)
#define OAK_PACE_ENTRY_BYTES 64
/* Forwarded commands that wait in a leader for their turn meanwhile; past it they are refused. */
#define OAK_PACE_HELD_BYTES_MAX (8 * OAK_MIB)
/* Log in a follower's memory, with 64 bytes an entry: past it appends are ignored, until what is
 * applied is dropped. It comes to that only while its state machine stands still (a snapshot is
 * being installed). A leader keeps no more than what is held and what is uncommitted. */
#define OAK_LOG_BYTES_MAX (256 * OAK_MIB)
/* Leases of clients that are alive at one time, about 330 bytes each on the leader; past it a grant
 * is refused. */
#define OAK_LEASES_MAX 1048576
/* Keepalives and questions about leases in one frame to the leader: 96 KiB. */
#define OAK_LEASE_ASKS_MAX 4096
/* Keepalives of one stream that are not answered yet; past it no more is read of it. */
#define OAK_LEASE_KEEPALIVES_MAX 64
/* Revocations of leases that have expired, in a second (etcd's): a pile of them leaves clients'
 * writes their share. */
#define OAK_LEASE_REVOKES_A_SECOND_MAX 1000
/* What is left of a lease is written down in the log so often, if it lives longer (etcd's): a new
 * leader gives it that, and not its whole time again. Told otherwise, this often at most: what is
 * written down are seconds. */
#define OAK_LEASE_CHECKPOINT_MS     300000
#define OAK_LEASE_CHECKPOINT_MS_MIN 1000
/* Leases in one entry of that. */
#define OAK_LEASE_CHECKPOINTS_MAX 1000
/* The longest life that a lease is granted, in seconds (etcd's): 285 years. */
#define OAK_LEASE_TTL_S_MAX 9000000000
/* Members whose name and client URLs are remembered (those that left too, until they are
 * forgotten), and the bytes of what one publishes. */
#define OAK_MEMBERS_MAX      256
#define OAK_MEMBER_BYTES_MAX (16 * OAK_KIB)
/* Peer URLs of one member that is added or moved (as many as a flag takes), and such changes that
 * one member looks after at a time: people make them. */
#define OAK_MEMBER_URLS_MAX    16
#define OAK_MEMBER_CHANGES_MAX 64
/* Alarms that are on: two kinds of each member, and of those that have left. */
#define OAK_ALARMS_MAX 128
/* Snapshots that clients are being sent, or that are made for them: each takes disk for the state,
 * twice while it is made, and memory: pairs that are sorted in one piece, of which what is more
 * goes to disk as a run, and runs that are read at a time, 64 KiB of each (1 GiB is merged at
 * once). And what is made of one between two looks at whether anybody still wants it. */
#define OAK_BACKUPS_MAX            4
#define OAK_BACKUP_SORT_BYTES_MAX  (16 * OAK_MIB)
#define OAK_BACKUP_RUNS_MAX        64
#define OAK_BACKUP_PIECE_BYTES_MAX (2 * OAK_MIB)
/* Bytes of a snapshot in one message (etcd's). */
#define OAK_BACKUP_BLOB_BYTES_MAX (32 * OAK_KIB)
/* Versions that one pass of a hash of the history takes, 24 bytes each (24 MiB): of ten million,
 * it reads the store some fifteen times. And hashes that wait for their turn. */
#define OAK_HASH_VERSIONS_MAX (1024 * OAK_KIB)
#define OAK_HASHES_MAX        64
/* Revisions noted for --auto-compaction-retention: ten an hour for 10,000 hours. */
#define OAK_COMPACTION_NOTES_MAX 100001
/* The store's size on disk beyond which nothing is let in (--quota-backend-bytes; etcd's default).
 */
#define OAK_QUOTA_BYTES_MAX ((size_t)2048 * OAK_MIB)
/* Members that were removed and are told so when they come back: as many as a group that replaces
 * one a day does in three years. The oldest is forgotten first. */
#define OAK_MEMBERS_GONE_MAX 1024
/* Each member tells all others how far it has got, and writes down what they told, so often: what a
 * disk has lost that was put back to a younger state than that may go unnoticed. A small write and
 * a sync, by the worker. */
#define OAK_NOTE_MS 5000
/* Requests of clients that wait in one node for their commit. */
#define OAK_PENDING_REQUESTS_MAX 65536
/* Bytes of one chunk of a snapshot on the wire and in its file. */
#define OAK_SNAPSHOT_CHUNK_BYTES_MAX (256 * OAK_KIB)
/* Snapshots being sent by one node at one time, each holding a view of the store open. */
#define OAK_SNAPSHOT_SENDS_MAX 2
/* Of one sending, sent and not yet written by its receiver: fills 1 Gbit/s at 32 ms round trip. */
#define OAK_SNAPSHOT_WINDOW_BYTES_MAX  (4 * OAK_MIB)
#define OAK_SNAPSHOT_WINDOW_CHUNKS_MAX 64
/* All sendings of a node together, in a second (--experimental-snapshot-send-rate; 0: no limit):
 * half of a 1 Gbit/s link; the other half is the log's. */
#define OAK_SNAPSHOT_SEND_BYTES_A_SECOND_MAX (64 * OAK_MIB)
/* A receiver makes its file durable each time so much has come: what a crash can cost. */
#define OAK_SNAPSHOT_SYNC_BYTES_MAX (8 * OAK_MIB)
/* A sending whose receiver is silent is kept open so long: a restart and the recovery of its log.
 * It holds the log and the store's old versions back meanwhile. */
#define OAK_SNAPSHOT_KEEP_MS_MAX 60000
/* A transfer that brings nothing for so long is dead to its receiver: it takes another one instead;
 * and the sender gives the place of a receiver silent for so long to another that needs it. Ten
 * times the pace of probes. */
#define OAK_SNAPSHOT_IDLE_MS_MAX 5000
/* Between two sendings to one member: a second, doubled for each within a minute, up to this: six
 * in the first minute, then four a minute, however the receiver fails. */
#define OAK_SNAPSHOT_BACKOFF_MS_MAX 15000
/* Files of etcd's database (bolt): buckets in one (etcd has ten), a bucket's name, a key (a user's
 * key is within a request), a value (a request, and etcd's record around it), and a page with all
 * that belongs to it: two such pairs, and the rest of a page. */
#define OAK_BOLT_BUCKETS_MAX     32
#define OAK_BOLT_NAME_BYTES_MAX  256
#define OAK_BOLT_KEY_BYTES_MAX   (2 * OAK_MIB)
#define OAK_BOLT_VALUE_BYTES_MAX (64 * OAK_MIB)
#define OAK_BOLT_PAGE_BYTES_MAX  (160 * OAK_MIB)

/* -- log on disk ------------------------------------------------------------------------------- */
/* One segment. Written once in full and recycled: fdatasync on blocks that were written before
 * costs half of what it costs on a growing file. */
#define OAK_WAL_SEGMENT_BYTES    (16 * OAK_MIB)
#define OAK_WAL_RECORD_BYTES_MAX (OAK_ENTRY_BYTES_MAX + OAK_KIB)
/* One batch in memory, before its commit: all that may be uncommitted, and as much again. */
#define OAK_WAL_BATCH_BYTES_MAX (2 * OAK_UNCOMMITTED_BYTES_MAX)
/* Bytes free below which new writes are refused, and the alarm is raised, so that what was taken
 * finds its place: two segments, and a flush of the store (32 MiB). The alarm ends with a segment
 * more than that, so that it doesn't flutter. */
#define OAK_DISK_RESERVE_BYTES (4 * OAK_WAL_SEGMENT_BYTES)
#define OAK_DISK_RELIEF_BYTES  (OAK_DISK_RESERVE_BYTES + OAK_WAL_SEGMENT_BYTES)
/* What is applied to a store whose disk is full waits in memory, up to this; then entries wait in
 * the log. It is written in one go, 40 ms, when there is space. */
#define OAK_STORE_WAITING_BYTES_MAX (16 * OAK_MIB)
/* The scrub reads so much of the log in a second, and as much of the store, unless it is told
 * otherwise, a segment a minute, and at most; its share so often; and rests so long behind each
 * pass. */
#define OAK_SCRUB_BYTES_A_SECOND     (256 * OAK_KIB)
#define OAK_SCRUB_BYTES_A_SECOND_MAX (64 * OAK_MIB)
#define OAK_SCRUB_STEP_MS            250
#define OAK_SCRUB_REST_MS            (600 * 1000)
/* Damaged segments set aside, the newest ones: evidence, and no more than a minute's writing. */
#define OAK_WAL_DAMAGED_MAX 4
/* Raft groups that share one log. */
#define OAK_GROUPS_MAX 1024

/* -- connections ------------------------------------------------------------------------------- */
#define OAK_CONNECTIONS_MAX 16384
/* Streams a peer may have open on one connection. etcd sets no limit; clients queue past ours. */
#define OAK_STREAMS_MAX 4096
/* What the connections of one server may cost in memory: 64 KiB for each. */
#define OAK_CONNECTIONS_BYTES_MAX (64 * OAK_KIB * OAK_CONNECTIONS_MAX)
/* Calls that one server may be working on: about a KiB each before what they hold themselves. */
#define OAK_HANDLERS_MAX 262144
/* Decoded request header list, bytes (SETTINGS_MAX_HEADER_LIST_SIZE). */
#define OAK_HEADER_BYTES_MAX (64 * OAK_KIB)
/* Bytes queued for a connection whose peer does not read: past it, no more of its requests are
 * read. */
#define OAK_OUTBOUND_BYTES_MAX (8 * OAK_MIB)
/* HTTP/1.1: request line and headers, and a body for /api/v1/data (base of etcd's request limit).
 */
#define OAK_HTTP_HEAD_BYTES_MAX (64 * OAK_KIB)
#define OAK_HTTP_BODY_BYTES_MAX (4 * OAK_MIB)
/* Bodies of all connections of one server together: 64 of the largest. */
#define OAK_HTTP_BODIES_BYTES_MAX (256 * OAK_MIB)
/* The JSON gateway: the text of one message, which is base64 of what a client of gRPC takes by
 * default (4 MiB) many times over; and what is held of all answers under way, as messages and as
 * text. Past it calls get an error in the place of an answer. */
#define OAK_TRANSCODE_REPLY_BYTES_MAX (64 * OAK_MIB)
#define OAK_TRANSCODE_HELD_BYTES_MAX  (256 * OAK_MIB)
/* Nesting of JSON. */
#define OAK_JSON_DEPTH_MAX 100
/* JSON-RPC: connections of a door, calls under way on one, requests of one batch. Past the calls no
 * more is read. */
#define OAK_JSONRPC_CONNECTIONS_MAX 1024
#define OAK_JSONRPC_CALLS_MAX       1024
#define OAK_JSONRPC_BATCH_MAX       1024
/* The text of one request or batch: the largest request as base64, twice. And of one reply: base64
 * of what a client of gRPC takes by default (4 MiB) many times over. */
#define OAK_JSONRPC_MESSAGE_BYTES_MAX (4 * OAK_MIB)
#define OAK_JSONRPC_REPLY_BYTES_MAX   (64 * OAK_MIB)
/* The text of all calls that are under way on one connection; past it no more is read. */
#define OAK_JSONRPC_UNDERWAY_BYTES_MAX (16 * OAK_MIB)
/* Replies that wait to leave: of one connection, as messages (as text they may be twice as much),
 * which is the largest of them or a thousand of 64 KiB in one round; and of all. Past it calls get
 * an error in the place of a result. */
#define OAK_JSONRPC_REPLIES_BYTES_MAX OAK_JSONRPC_REPLY_BYTES_MAX
#define OAK_JSONRPC_QUEUED_BYTES_MAX  (128 * OAK_MIB)
/* What all connections of a door hold of requests that are not whole or wait: 16 of the largest. */
#define OAK_JSONRPC_HELD_BYTES_MAX (64 * OAK_MIB)
/* A call has this long to be answered: requests of the store take seconds at the worst. A
 * connection on which nothing is under way stays this long: Go's client does not connect again. */
#define OAK_JSONRPC_CALL_MS (60 * 1000)
#define OAK_JSONRPC_IDLE_MS (3600 * 1000)

/* -- watches ----------------------------------------------------------------------------------- */
/* Watchers of one server, some 300 bytes each, and of one stream; and the keys that they name. */
#define OAK_WATCHERS_MAX        1048576
#define OAK_STREAM_WATCHERS_MAX 262144
#define OAK_WATCH_KEY_BYTES_MAX (256 * OAK_MIB)
/* Between two notices of progress to a watcher that asked for them, at the most
 * (--watch-progress-notify-interval; etcd's default), and at the least. */
#define OAK_WATCH_PROGRESS_MS     (600 * 1000)
#define OAK_WATCH_PROGRESS_MS_MIN 100
/* Events of one batch that wait for its commit; past it the batch's watchers have them from the
 * store. */
#define OAK_WATCH_BATCH_BYTES_MAX (32 * OAK_MIB)
/* Events of a response that is cut where a watcher asked for fragments: etcd's, the largest
 * request and its overhead. */
#define OAK_WATCH_FRAGMENT_BYTES_MAX (OAK_REQUEST_BYTES_MAX + OAK_REQUEST_OVERHEAD_BYTES)

/* -- locks and elections ----------------------------------------------------------------------- */
/* Calls that wait in one member for their turn, about 2 KiB each with their watchers, and their
 * names and values together. */
#define OAK_TURNS_MAX      65536
#define OAK_TURN_BYTES_MAX (32 * OAK_MIB)

/* -- TLS --------------------------------------------------------------------------------------- */
/* A peer's time for its handshake: ten round trips of a second. */
#define OAK_TLS_HANDSHAKE_MS_MAX 10000
/* Handshakes under way at one time in one network, some 40 KiB each: 20 MiB. With one more, the
 * oldest ends: whoever fills them must do so within the time of a handshake, not of its limit. */
#define OAK_TLS_HANDSHAKES_MAX 512
/* The certificates that a peer shows (100 KiB, as OpenSSL has it), and how many lie between its own
 * and one that is trusted. */
#define OAK_TLS_CHAIN_BYTES_MAX (100 * OAK_KIB)
#define OAK_TLS_CHAIN_DEPTH_MAX 8
/* One file of certificates or revocations: a system's bundle has 240 KiB, a list of 100,000
 * revocations 4 MiB. */
#define OAK_TLS_FILE_BYTES_MAX (8 * OAK_MIB)

/* -- users, roles, tokens ---------------------------------------------------------------------- */
/* All of them stand in memory, some hundred bytes each, and one list of all names fits a message.
 */
#define OAK_AUTH_USERS_MAX 16384
#define OAK_AUTH_ROLES_MAX 16384
/* A name of a user or a role: what a line of a terminal shows. */
#define OAK_AUTH_NAME_BYTES_MAX 256
/* A role is written whole with each change of it, and a user's roles are merged into one table: at
 * the worst 64 Ki ranges. */
#define OAK_AUTH_ROLE_PERMISSIONS_MAX 1024
#define OAK_AUTH_USER_ROLES_MAX       64
/* The keys of one role's permissions together. */
#define OAK_AUTH_ROLE_BYTES_MAX (1 * OAK_MIB)
/* Merged tables that are kept, of all users together: past it all are made anew as needed. */
#define OAK_AUTH_MERGED_BYTES_MAX (32 * OAK_MIB)
/* What bcrypt reads of a password; a longer one would be cut, and so is refused. */
#define OAK_AUTH_PASSWORD_BYTES_MAX 72
/* Calls that wait for a password to be hashed: at 60 ms each (--bcrypt-cost 10), 8 s of work. */
#define OAK_AUTH_HASHES_MAX 128
/* Simple tokens that one member knows, some 400 bytes each; past it the one that ends first goes.
 */
#define OAK_AUTH_TOKENS_MAX 65536
/* A token as it comes with a call: a JWT signed by RSA of 4096 bits and its claims, twice. */
#define OAK_AUTH_TOKEN_BYTES_MAX (4 * OAK_KIB)

OAK_STATIC_ASSERT(OAK_APPEND_BYTES_MAX <= OAK_INFLIGHT_BYTES_MAX, "a message fits the window");
OAK_STATIC_ASSERT(OAK_ENTRY_BYTES_MAX <= OAK_INFLIGHT_BYTES_MAX,
                  "the largest entry fits the window");
OAK_STATIC_ASSERT(2 * OAK_UNCOMMITTED_BYTES_MAX + OAK_LOG_HELD_BYTES_MAX <= OAK_LOG_BYTES_MAX,
                  "what may be uncommitted, of two leaders, always has room");
OAK_STATIC_ASSERT((OAK_REQUEST_BYTES_MAX + OAK_REQUEST_OVERHEAD_BYTES) / 3 * 4 <=
                      OAK_JSONRPC_MESSAGE_BYTES_MAX,
                  "the largest request fits a message");
OAK_STATIC_ASSERT(2 * OAK_WAL_RECORD_BYTES_MAX <= OAK_WAL_SEGMENT_BYTES, "records fit a segment");

#endif
