/* SPDX-License-Identifier: Apache-2.0 */
/* mirror.h: what the pieces of a mirror share.
 *
 * A mirror keeps the keys of one cluster, the source, at another, the destination: first all of
 * them as of one revision (mirror_copy.c), then each change (mirror_follow.c). How far it is, its
 * state, is a key at the destination, which each of its transactions reads, compares and writes
 * (mirror_state.c): what is written and that it was written can't differ, and of two mirrors one
 * is refused. mirror.c has the verbs and goes on after failures; mirror_tell.c tells.
 *
 * Keys are known by their suffix: what is behind --prefix at the source, and behind --dest-prefix
 * at the destination. Functions give 0 or an OAK_E code; what has failed is in m->why.
 *
 * Threads: the loop's, which turns while something is waited for.
 */
#ifndef OAK_CTL_MIRROR_H
#define OAK_CTL_MIRROR_H

#include "ctl/internal.h"

/* Below it are the states of mirrors, of either side: never copied, compared or deleted. */
#define MIRROR_ROOT "oakum/mirror/"
/* Of a transaction, unless one operation alone has more; less than a server takes by default. */
#define MIRROR_BYTES_MAX ((size_t)1024 * OAK_KIB)
#define MIRROR_OPS_MAX   128

enum mirror_phase { MIRROR_COPIES, MIRROR_FOLLOWS };

struct mirror_state {
    enum mirror_phase phase;
    uint64_t cluster; /* of the source */
    uint64_t run;     /* who wrote it: a number that each run draws */
    /* All up to here is at the destination; while it is copied: as of which revision. */
    int64_t revision;
    uint64_t part;     /* changes of the revision behind it that are there too */
    struct oak_buf at; /* while it is copied: all suffixes up to this one are there */
    int64_t version;   /* mod_revision of the key that has it; 0: there is none */
};

/* Operations of one transaction to be, with what they point to. */
struct mirror_batch {
    struct oak_client_op ops[MIRROR_OPS_MAX];
    size_t count;
    size_t bytes;
    struct oak_arena arena;
};

struct mirror {
    struct ctl *c;
    struct ctl__link *to_link;
    struct oak_client *from;
    struct oak_client *to;
    struct oak_bytes prefix;     /* at the source */
    struct oak_bytes prefix_end; /* of the keys that begin with it */
    struct oak_bytes to_prefix;  /* at the destination */
    struct oak_bytes to_prefix_end;
    char *key;      /* that has the state; NULL: it is kept in memory alone */
    bool overwrite; /* the destination may have keys that go */
    bool deletes;   /* what the source does not have goes */
    bool joins;     /* revisions may share a transaction when there are many */
    uint64_t run;
    uint64_t to_cluster;
    struct mirror_state state;
    struct mirror_batch batch;
    size_t ops_max; /* of a transaction, the state's included */
    size_t bytes_max;
    bool stop;  /* a signal came */
    bool begun; /* the state is ours */
    struct oak_timer timer;
    struct oak_timer hurry;       /* behind a signal: nobody waits for an answer any more */
    struct oak_client_call *call; /* NULL: none is under way */
    bool hurried;                 /* one was given up: it may have been done */
    char why[512];

    /* for who looks on */
    bool lines; /* JSON, a line for each */
    bool terminal;
    bool quiet; /* stdout is for numbers */
    int64_t source_revision;
    uint64_t keys;         /* looked at, of this pass */
    uint64_t keys_all;     /* that the source had when it began */
    uint64_t changes;      /* keys put and deleted, since the beginning */
    uint64_t transactions; /* that made them */
    uint64_t told_changes;
    uint64_t told_ns;
};

/* -- mirror.c ---------------------------------------------------------------------------------- */

/* Ask, and wait; the answer is to be freed by oak_client_answer_free(). */
OAK_MUST_USE int mirror__do(struct mirror *m, struct oak_client *client,
                            const struct oak_client_op *op, struct oak_client_answer **out);
/* What went wrong where. Returns `error`. */
int mirror__fail(struct mirror *m, int error, const char *format, ...) OAK_PRINTF(3, 4);
/* Until something happens, or the time has passed. */
void mirror__wait(struct mirror *m, uint64_t ns);
uint64_t mirror__now(const struct mirror *m);

/* -- mirror_state.c ---------------------------------------------------------------------------- */

int mirror__state_write(const struct mirror_state *s, struct oak_bytes prefix, struct oak_buf *out);
/* OAK_EFORMAT; `prefix` is what was written. */
OAK_MUST_USE int mirror__state_read(struct oak_bytes text, struct mirror_state *s,
                                    struct oak_buf *prefix);
/* Read it, and make it ours; a first one begins with a copy. */
OAK_MUST_USE int mirror__claim(struct mirror *m);
/* Do what is in the batch, and go to `next`, in one transaction; the batch is empty then.
 * OAK_EREQUESTTOOLARGE: nothing was done, and bytes_max or ops_max are smaller now. */
OAK_MUST_USE int mirror__apply(struct mirror *m, const struct mirror_state *next);
/* It goes from the destination. */
OAK_MUST_USE int mirror__state_remove(struct mirror *m);

/* Is this suffix mirrored? */
bool mirror__counts(const struct mirror *m, struct oak_bytes suffix);
bool mirror__batch_has_room(const struct mirror *m, size_t bytes);
/* A change to the suffix; `value` NULL deletes it. OAK_ENOMEM. */
OAK_MUST_USE int mirror__batch_add(struct mirror *m, struct oak_bytes suffix,
                                   const struct oak_bytes *value);
void mirror__batch_clear(struct mirror *m);

/* -- mirror_copy.c ----------------------------------------------------------------------------- */

struct mirror_sum {
    uint64_t keys;
    uint32_t hash; /* CRC-32C over sizes, suffixes and values */
};

/* What a walk over both sides has found. */
struct mirror_found {
    struct mirror_sum from;
    struct mirror_sum to;
    int64_t revision; /* of the source */
    uint64_t missing;
    uint64_t different;
    uint64_t extra; /* at the destination alone */
};

/* Make the destination what the source is now, from where it was left, and follow from there. */
OAK_MUST_USE int mirror__copy(struct mirror *m, struct mirror_found *found);
/* Compare the destination with the source as of the state, and change nothing. */
OAK_MUST_USE int mirror__compare(struct mirror *m, struct mirror_found *found);
/* How far the source is: one key is asked for. */
OAK_MUST_USE int mirror__source_revision(struct mirror *m, int64_t *revision);
/* The same, its cluster, and how many keys there are. */
OAK_MUST_USE int mirror__look(struct mirror *m, int64_t *revision, uint64_t *cluster);
/* Are there keys that count at the destination? */
OAK_MUST_USE int mirror__is_empty(struct mirror *m, bool *empty);

/* -- mirror_follow.c --------------------------------------------------------------------------- */

/* Each change, until a signal comes (0), or something fails. OAK_ECOMPACTED: what is next is gone;
 * m->why has what there is. */
OAK_MUST_USE int mirror__follow(struct mirror *m);

/* -- mirror_leases.c --------------------------------------------------------------------------- */

/* Give the keys at the destination the leases that those of the source have. */
OAK_MUST_USE int mirror__leases(struct mirror *m, uint64_t *count);

/* -- mirror_tell.c ----------------------------------------------------------------------------- */

/* Something has happened: a line. */
void mirror__say(struct mirror *m, const char *event, const char *format, ...) OAK_PRINTF(3, 4);
/* Now and then: where it is. */
void mirror__tick(struct mirror *m, bool now);
void mirror__found_say(struct mirror *m, const char *event, const struct mirror_found *found);

#endif
