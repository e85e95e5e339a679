/* SPDX-License-Identifier: Apache-2.0 */
/* snap.h: snapshot files: a header, checksummed chunks, a trailer; written whole, then given their
 * name.
 *
 * A snapshot that is being received lives under "<group>-<index>-<term>.part" and becomes
 * "<group>-<index>-<term>.snap" (16 hexadecimal digits each) only when every chunk is there, the
 * file is synced and renamed and the directory synced. So a name that ends in .snap is always
 * whole; it is verified all the same, header and trailer at open, chunk by chunk while reading.
 *
 * A part file outlives its process: the header names the transfer that it is of, and the chunks'
 * checksums tell how far it is whole, so that the receiver goes on behind that. A group has at most
 * one.
 *
 * The content is opaque here: `store` makes it and takes it back.
 * docs/internals/snapshot-format.md.
 *
 * Threads: one owner each (a worker); calls block on the disk.
 */
#ifndef OAK_SNAP_H
#define OAK_SNAP_H

#include "port/port.h"

#define OAK_SNAP_CONFIG_BYTES_MAX 1024u

/* Raft's view of it: index, term, and an encoded configuration, at most 1 KiB; and which transfer
 * brings it: the member that sends, its number of the sending, and the term it led in then. */
struct oak_snap_meta {
    uint64_t group;
    uint64_t index;
    uint64_t term;
    uint64_t from;
    uint64_t transfer;
    uint64_t lead;
    struct oak_bytes config; /* borrowed by begin; owned by the reader on open */
};

struct oak_snap_writer;
struct oak_snap_reader;

/* Start a file; the group's older part file is removed. OAK_EIO, OAK_ENOSPC, OAK_ENOMEM. */
OAK_MUST_USE int oak_snap_begin(const struct oak_disk *disk, const char *dir,
                                const struct oak_snap_meta *meta, struct oak_snap_writer **out);
/* What the group's part file says it is, by its header alone; `config` holds what meta->config
 * points to. OAK_ENOENT: there is none; what does not even have a whole header is removed. */
OAK_MUST_USE int oak_snap_part(const struct oak_disk *disk, const char *dir, uint64_t group,
                               struct oak_snap_meta *meta,
                               uint8_t config[OAK_SNAP_CONFIG_BYTES_MAX]);
/* Go on with the group's part file behind its last whole chunk: all of it is read and checked, and
 * what follows is cut off. OAK_ENOENT. */
OAK_MUST_USE int oak_snap_resume(const struct oak_disk *disk, const char *dir, uint64_t group,
                                 struct oak_snap_writer **out);
/* Bytes of data in the file. */
uint64_t oak_snap_offset(const struct oak_snap_writer *w);
/* Append a chunk, at most OAK_SNAPSHOT_CHUNK_BYTES_MAX (else OAK_ELIMIT); an empty one is nothing.
 * After another failure only abort may follow: writes give OAK_EFATAL. */
OAK_MUST_USE int oak_snap_write(struct oak_snap_writer *w, struct oak_bytes chunk);
/* What was written survives a loss of power, so that resume finds it. As write after a failure. */
OAK_MUST_USE int oak_snap_sync(struct oak_snap_writer *w);
/* Make it durable and give it its name. Frees the writer either way. After a failure the part file
 * is gone, or the whole one is there without its name being durable. */
OAK_MUST_USE int oak_snap_finish(struct oak_snap_writer *w);
/* Drop the part file and free the writer. */
void oak_snap_abort(struct oak_snap_writer *w);
/* Leave the part file for resume and free the writer. */
void oak_snap_keep(struct oak_snap_writer *w);
/* Remove the group's part files. */
OAK_MUST_USE int oak_snap_discard(const struct oak_disk *disk, const char *dir, uint64_t group);

/* The newest whole snapshot of `group` in `dir`; OAK_ENOENT when there is none. */
OAK_MUST_USE int oak_snap_newest(const struct oak_disk *disk, const char *dir, uint64_t group,
                                 struct oak_snap_reader **out, struct oak_errbuf *e);
const struct oak_snap_meta *oak_snap_meta(const struct oak_snap_reader *r);
/* The next chunk, valid until the next call; size 0 at the end (and only then everything was
 * verified). OAK_ECORRUPT, OAK_EIO. */
OAK_MUST_USE int oak_snap_read(struct oak_snap_reader *r, struct oak_bytes *chunk);
void oak_snap_close(struct oak_snap_reader *r);

/* Remove all whole snapshots of `group` with an index below `index`. */
OAK_MUST_USE int oak_snap_purge(const struct oak_disk *disk, const char *dir, uint64_t group,
                                uint64_t index);

#endif
