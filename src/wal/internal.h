/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of wal share. docs/internals/wal-format.md draws the bytes. */
#ifndef OAK_WAL_INTERNAL_H
#define OAK_WAL_INTERNAL_H

#include "wal/wal.h"

/* Frames start at multiples of this, so that a frame's header lies within one sector. */
#define WAL__ALIGN             512u
#define WAL__SEGMENT_HEADER    WAL__ALIGN
#define WAL__FRAME_HEADER      64u
#define WAL__RECORD_HEADER     32u
#define WAL__RECORD_ALIGN      8u
#define WAL__SEGMENT_BYTES_MIN 4096u
#define WAL__SEGMENT_BYTES_MAX (1024u * 1024u * 1024u)
#define WAL__META_BYTES_MAX    256u
#define WAL__SPARES_MAX        16u
#define WAL__DIR_BYTES_MAX     900u
#define WAL__PATH_BYTES        1024u
/* Every batch repeats term, vote and doubt of the groups that changed them in so many batches
 * before it, so that a hole of that size hides none of them. */
#define WAL__REPEATED_BATCHES 8u

OAK_STATIC_ASSERT(OAK_WAL_SEGMENT_BYTES % 4096 == 0, "segments are whole pages");

/* Record types beyond enum oak_wal_type: written by the log itself. */
enum { WAL__TYPE_GROUP = 5 };

/* -- record.c: bytes --------------------------------------------------------------------------- */

struct wal__segment_header {
    uint64_t seq;
    uint64_t segment_bytes;
    uint64_t prev_end; /* where the frames of the segment before end; 0 in the first */
    uint64_t batch;    /* of the first frame here */
    uint32_t part;     /* of the first frame here */
    uint32_t salt;     /* the chain value where this segment starts */
};

struct wal__frame {
    uint64_t batch;     /* consecutive */
    uint64_t first_seq; /* the oldest segment that was needed when this was written */
    uint32_t size;      /* whole frame, a multiple of WAL__ALIGN */
    uint32_t used;      /* bytes of records */
    uint32_t part;      /* from 0 within its batch */
    bool last;          /* the batch ends here */
    uint32_t salt;      /* the segment's */
    uint32_t chain;     /* checksum of the frame before */
    uint32_t repeats;   /* hard states that changed in so many batches before are repeated here */
    uint32_t checksum;  /* of this frame's header; set by put and get */
};

struct wal__record {
    uint8_t type;
    uint8_t kind;
    bool keep_log;
    uint64_t group;
    uint64_t index;
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t snapshot_index; /* GROUP */
    uint64_t snapshot_term;  /* GROUP */
    uint64_t last_term;      /* GROUP; its `index` is the last index */
    struct oak_bytes data;   /* ENTRY, META */
};

void wal__segment_header_put(uint8_t *sector, const struct wal__segment_header *h);
/* False: not a header of segment `seq`. */
bool wal__segment_header_get(const uint8_t *sector, uint64_t seq, struct wal__segment_header *out);
/* Complete the frame at `at`: records lie behind the header, the rest up to f->size is zeroed. */
void wal__frame_put(uint8_t *at, uint64_t seq, uint64_t offset, struct wal__frame *f);
/* Read the frame header at `offset` of a segment of `segment_bytes`. False: there is none. */
bool wal__frame_get(const uint8_t *segment, uint64_t segment_bytes, uint64_t seq, uint64_t offset,
                    struct wal__frame *out);
/* The same, of bytes that begin with the header. */
bool wal__frame_parse(const uint8_t *at, uint64_t segment_bytes, uint64_t seq, uint64_t offset,
                      struct wal__frame *out);
/* A checksum of what stands at `offset` begins with this. */
uint32_t wal__place_crc(uint64_t seq, uint64_t offset);
/* Whether the records behind a header that frame_get accepted are what was written. */
bool wal__frame_whole(const uint8_t *segment, uint64_t seq, uint64_t offset,
                      const struct wal__frame *f);
/* Bytes that the record takes, padding included. */
size_t wal__record_size(const struct wal__record *r);
OAK_MUST_USE int wal__record_put(struct oak_buf *out, const struct wal__record *r);
/* The next record; its data is borrowed. False: malformed. */
bool wal__record_get(struct oak_reader *in, struct wal__record *out);

/* -- state.c: what the records mean ------------------------------------------------------------ */

/* One group as of some record. `last` may lie below `snapshot_index`. */
struct wal__state {
    uint64_t term;
    uint64_t vote;
    uint64_t commit;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t last;
    uint64_t last_term;
    uint64_t in_doubt; /* 0 or 1; no padding, states are compared as bytes */
};

/* Entries found by recovery: items[head .. count), consecutive, all behind the snapshot. */
struct wal__entries {
    struct oak_wal_record *items;
    size_t head;
    size_t count;
    size_t capacity;
};

struct wal__group {
    uint64_t id;
    struct wal__state durable;
    struct wal__state next; /* with what was appended and not committed */
    uint64_t released;      /* entries up to here are asked for no more */
    bool on_disk;           /* a committed record names it */
    uint64_t changed;       /* the batch that last changed term, vote or doubt; 0: none */
    /* While a damaged log is read. */
    bool unsure;         /* a hole came, and no carried state since */
    uint64_t known_from; /* behind a hole: nothing is missing from here on; 0: not known */
    struct wal__entries entries;
};

/* The newest entry of a group that lies in a segment and is still part of its log. */
struct wal__mark {
    uint64_t group;
    uint64_t last;
};

struct wal__segment {
    uint64_t seq;
    struct wal__mark *marks;
    size_t mark_count;
    size_t mark_capacity;
};

/* 0, or OAK_EINVAL: the record cannot follow this state. */
OAK_MUST_USE int wal__state_check(const struct wal__state *s, const struct wal__record *r);
void wal__state_apply(struct wal__state *s, const struct wal__record *r);
struct wal__group *wal__group_find(struct oak_wal *wal, uint64_t id);
/* Find or make. OAK_ENOMEM, OAK_ELIMIT. */
OAK_MUST_USE int wal__group_get(struct oak_wal *wal, uint64_t id, struct wal__group **out);
/* Room for a mark of every group, so that wal__note() cannot fail. */
OAK_MUST_USE int wal__marks_reserve(struct oak_wal *wal, struct wal__segment *s);
/* A durable record lies in chain[at]: take it into `durable` and the marks. */
void wal__note(struct oak_wal *wal, size_t at, const struct wal__record *r);
/* Sequence number of the oldest segment that someone needs. */
uint64_t wal__first_needed(const struct oak_wal *wal);
OAK_MUST_USE int wal__entries_note(struct wal__entries *e, const struct wal__state *before,
                                   const struct wal__record *r);
void wal__entries_fini(struct wal__entries *e);

/* -- the log ----------------------------------------------------------------------------------- */

/* scrub.c: where it stands. */
struct wal__scrub {
    uint64_t seq; /* of the segment that is read, or was read last; 0: from the start */
    struct oak_file *file;
    uint64_t at, end; /* in it */
    uint64_t left;    /* of the frame */
    uint64_t frame;   /* where that began */
    uint32_t salt;
    uint32_t crc, checksum;
};

struct oak_wal {
    const struct oak_disk *disk;
    const struct oak_log *log;
    char dir[WAL__DIR_BYTES_MAX + 1];
    uint8_t meta[WAL__META_BYTES_MAX];
    size_t meta_size;
    uint64_t segment_bytes;
    uint32_t spares_wanted;
    bool no_sync;
    bool poisoned;

    struct wal__group *groups; /* sorted by id */
    size_t group_count;
    size_t group_capacity;

    struct wal__segment *chain; /* consecutive; those behind `current` are blank */
    size_t chain_count;
    size_t chain_capacity;
    size_t current;
    uint64_t spares[WAL__SPARES_MAX];
    size_t spare_count;
    uint64_t spare_next; /* name of the next spare */

    struct oak_file *file;  /* of the current segment */
    uint64_t offset;        /* where its next frame goes */
    uint64_t batch;         /* number of the next batch */
    uint32_t chain_value;   /* checksum of the last frame's header */
    uint32_t salt;          /* of the current segment */
    uint64_t claimed_first; /* first_seq of the last durable frame: older segments may go */
    bool proven;            /* the last batch is empty: losing it loses nothing */
    bool tolerant;          /* bytes that can't be read are zeros */
    bool (*applied)(void *user, uint64_t group, uint64_t *index, uint64_t *term);
    void *user;

    /* The batch being gathered: WAL__FRAME_HEADER bytes of room, then encoded records. */
    struct oak_buf pending;
    size_t pending_records;
    size_t pending_record_max; /* bytes of the largest */
    bool pending_hard_only;

    struct wal__scrub scrub;
    struct oak_wal_group *recovered;
    size_t recovered_count;
    struct oak_wal_stats stats;
};

/* -- segment.c: files -------------------------------------------------------------------------- */

enum wal__kind { WAL__CHAIN, WAL__SPARE, WAL__TEMP, WAL__DAMAGED, WAL__KINDS };

void wal__path(const struct oak_wal *wal, char out[WAL__PATH_BYTES], enum wal__kind kind,
               uint64_t id);
/* Whether `name` is one of ours. */
bool wal__name_parse(const char *name, enum wal__kind *kind, uint64_t *id);
/* A file full of zeros, synced, under its final name (the directory is not synced). `first` (may be
 * empty) stands at its start instead. OAK_ENOSPC leaves nothing behind. */
OAK_MUST_USE int wal__file_create(struct oak_wal *wal, enum wal__kind kind, uint64_t id,
                                  struct oak_bytes first);
/* Have `count` blank segments behind the current one. OAK_ENOSPC, OAK_ENOMEM: nothing of a batch
 * was written, try again. Anything else poisons. */
OAK_MUST_USE int wal__chain_extend(struct oak_wal *wal, size_t count);
OAK_MUST_USE int wal__chain_push(struct oak_wal *wal, uint64_t seq);
/* Take segments out of the chain that no durable frame needs: into the spares, or away. */
OAK_MUST_USE int wal__trim(struct oak_wal *wal);
OAK_MUST_USE int wal__sync_file(const struct oak_wal *wal, struct oak_file *file);
OAK_MUST_USE int wal__sync_dir(const struct oak_wal *wal);
/* Poison and return OAK_EIO. */
OAK_MUST_USE int wal__poison(struct oak_wal *wal, const char *what, int error);

/* -- batch.c: from records to the disk --------------------------------------------------------- */

/* Bytes that a segment's first frame spends before its first new record. */
size_t wal__carry_size(const struct oak_wal *wal);
OAK_MUST_USE int wal__carry_put(struct oak_buf *out, struct oak_bytes meta,
                                const struct wal__group *groups, size_t count);
/* The hard states that a batch repeats, into the pending batch, which is empty. OAK_ENOMEM. */
OAK_MUST_USE int wal__repeats_put(struct oak_wal *wal);
OAK_MUST_USE int wal__batch_write(struct oak_wal *wal);

/* scrub.c */
void wal__scrub_end(struct oak_wal *wal);

/* -- recover.c, scan.c ------------------------------------------------------------------------- */

OAK_MUST_USE int wal__recover(struct oak_wal *wal, struct oak_errbuf *e);
OAK_MUST_USE int wal__recovered_make(struct oak_wal *wal);

/* Where reading stands: the frame expected next. */
struct wal__place {
    size_t at;       /* in the chain */
    uint64_t offset; /* of the expected frame */
    uint64_t batch;
    uint32_t part;
    uint32_t chain;
    uint32_t salt;
};

/* Reading, from frame to frame. */
struct wal__walker {
    struct oak_wal *wal;
    struct oak_errbuf *e;
    uint8_t *bytes; /* the segment being read */
    struct wal__place next;
    /* Behind the last whole batch, and the frame that ends it. */
    struct wal__place tail;
    uint64_t tail_frame;
    bool tail_empty;
    bool any;
    uint64_t first_seq;
    struct oak_buf held; /* parts of a batch that goes on: chain place, size, records */
    bool record_seen;    /* in the batch being read: one that is neither carried nor repeated */
    bool judged;         /* the end is a torn one: the log is sound */
    bool lossy;          /* something was jumped over: a group that shows up may have been in it */
};

/* Stand at the first frame of the chain. */
OAK_MUST_USE int wal__walk_start(struct wal__walker *w);
/* Read until no frame follows. */
OAK_MUST_USE int wal__walk(struct wal__walker *w);
/* Read a damaged chain as far as it tells what is needed, and begin a new one with it. OAK_ECORRUPT
 * when it does not; nothing is changed then. */
OAK_MUST_USE int wal__repair(struct wal__walker *w);

/* No whole frame lies at `hole`, and `bytes` is its segment: is it the torn end of the last batch
 * (0), or damage (OAK_ECORRUPT)? Reads the segments behind it into `bytes`. OAK_EIO. */
OAK_MUST_USE int wal__hole_judge(struct oak_wal *wal, const struct wal__place *hole, uint8_t *bytes,
                                 struct oak_errbuf *e);
OAK_MUST_USE int wal__damage(const struct oak_wal *wal, uint64_t seq, uint64_t offset,
                             const char *what, struct oak_errbuf *e);
OAK_MUST_USE int wal__segment_read(const struct oak_wal *wal, uint64_t seq, uint8_t *bytes,
                                   struct oak_errbuf *e);
/* Make blank what a torn batch left behind `tail`, write the last whole frame (at `frame`) again,
 * and sync it. Leaves the tail's file open. */
OAK_MUST_USE int wal__tail_mend(struct oak_wal *wal, const struct wal__place *tail, uint64_t frame,
                                struct oak_errbuf *e);

#endif
