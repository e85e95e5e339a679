/* SPDX-License-Identifier: Apache-2.0 */
/* check.h: what clients did and saw, and whether one order explains it.
 *
 * An operation has a call and a return. One whose end is not known (time-out, lost connection) may
 * have happened at any later time, or never. Linearizable means: there is an order of the
 * operations that respects real time (a return before another's call) and in which every result is
 * what the model gives (Herlihy and Wing 1990). The search is Wing and Gong's with Lowe's memory of
 * states already tried ("Testing for linearizability", 2017), for each key by itself
 * (P-compositionality).
 */
#ifndef OAK_CHECK_H
#define OAK_CHECK_H

#include "base/base.h"

enum op_kind {
    OP_PUT,    /* arg: the value written */
    OP_GET,    /* sees value and version; 0 and 0: no such key */
    OP_DELETE, /* result: 1 when a key was removed */
    OP_CAS,    /* expect -> arg; result: 1 when it was exchanged */
    /* Over two keys; the checker of single keys leaves them out. */
    OP_MOVE, /* a token goes from the key that has it to the other */
    OP_LOOK, /* sees both keys at once: one of them has it */
    OP_PEEK, /* a serializable GET: what one node has, perhaps stale */
    /* Over many keys. */
    OP_SWEEP, /* puts some, or removes a range of them */
    OP_TRIM,  /* compacts history */
};

/* Values are numbers, each written at most once; 0 stands for "no such key". */
struct op {
    enum op_kind kind;
    int client;
    int node;
    int life; /* of the node, from 1 on; 0: not known */
    uint64_t key;
    uint64_t arg;
    uint64_t expect;
    uint64_t result;  /* GET: value; DELETE, CAS: 0 or 1 */
    uint64_t version; /* GET */
    int64_t revision; /* in the answer's header; 0: not known */
    uint64_t call;    /* moments: all different, in real order */
    uint64_t ret;     /* UINT64_MAX: not known whether it happened */
};

struct history {
    struct op *ops;
    size_t count;
    size_t capacity;
};

/* Returns the place of the new operation. */
size_t history_add(struct history *h, const struct op *op);
void history_fini(struct history *h);

/* True when every key's history is linearizable. Else `what` (size bytes) tells of the first key
 * that is not, with its operations. `*undecided` counts keys whose search was given up after its
 * budget. */
bool history_check(const struct history *h, char *what, size_t size, size_t *undecided);

/* True when the revisions that answers named fit real time: no two writes share one, a write's is
 * above that of everything answered before its call, a read's is not below. */
bool history_revisions(const struct history *h, char *what, size_t size);

/* True when what serializable reads saw makes sense: a value was written to that key, by a put or
 * an exchange that was called before the read's return; and what one node in one life answers to
 * reads never goes back. */
bool history_peeks(const struct history *h, char *what, size_t size);

/* -- leases of clients (leases.c) -------------------------------------------------------------- */

/* What is known of one. Times are those of one true clock. */
struct lease_fate {
    int64_t id;
    int64_t ttl_s;        /* as an answer said last; 0: not known */
    uint64_t promised_ns; /* it lives up to then */
    uint64_t ending_ns;   /* somebody has asked for its end; UINT64_MAX: nobody */
    uint64_t gone_ns;     /* an answer said that it is gone; UINT64_MAX: none did */
    int64_t left_ns;      /* as an answer said last, */
    uint64_t left_era;    /* in this era; 0: it does not count */
    bool renewed;         /* or asked to be */
};

struct lease_book {
    struct lease_fate *fates;
    size_t count;
    size_t capacity;
    uint32_t fast_ppm; /* by which the clock that ends leases may be faster than the true one */
    uint64_t slack_ns; /* that a new leader adds */
};

/* From the call of something to its return. */
struct lease_span {
    uint64_t call_ns, ret_ns;
};

void lease_book_fini(struct lease_book *b);
/* NULL: nothing was told of it. */
struct lease_fate *lease_book_find(const struct lease_book *b, int64_t id);

/* Each that returns false has found a contradiction, and told of it in `what`. `who` says so. */

/* It was granted, or renewed, for so long. */
bool lease_book_promised(struct lease_book *b, int64_t id, int64_t ttl_s,
                         const struct lease_span *at, char *what, size_t size);
/* It lived at some moment of `at`. */
bool lease_book_alive(struct lease_book *b, int64_t id, const struct lease_span *at,
                      const char *who, char *what, size_t size);
/* It did not live at some moment up to `ret_ns`, and never will again. */
bool lease_book_gone(struct lease_book *b, int64_t id, uint64_t ret_ns, const char *who, char *what,
                     size_t size);
/* Somebody asks for its end: it may be gone from now on. */
void lease_book_end_asked(struct lease_book *b, int64_t id, uint64_t now_ns);
/* Somebody asks to renew it: more may be left of it from now on. */
void lease_book_renewing(struct lease_book *b, int64_t id);
/* So much was left of it. `era`: the leader that decided when the question was put, and when it was
 * answered; 0: not known, or another. */
bool lease_book_left(struct lease_book *b, int64_t id, int64_t left_ns, uint64_t era, char *what,
                     size_t size);

#endif
