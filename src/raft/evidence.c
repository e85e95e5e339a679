/* SPDX-License-Identifier: Apache-2.0 */
/* evidence.c: what must not happen has happened: stop, and keep what shows it.
 *
 * Two leaders in one term, a committed entry that a leader knows otherwise, an acknowledged one
 * that is gone: each means that some member forgot or forged a promise, and none of them can be
 * mended by going on. Every step after that may spread it. So the core notes what it saw, does
 * nothing more, and says so with every call; people decide.
 *
 * Thread       the core's.
 */
#include "raft/internal.h"

int raft__halt(struct oak_raft *r, enum oak_raft_contradiction what, const struct oak_raft_msg *m,
               uint64_t index, uint64_t term_there)
{
    OAK_ASSERT_NE(what, OAK_RAFT_SOUND);
    OAK_ASSERT_EQ(r->evidence.what, OAK_RAFT_SOUND);
    uint64_t here = 0;
    (void)raft__log_term(&r->log, index, &here);
    r->evidence = (struct oak_raft_evidence){
        .what = what,
        .from = m->from,
        .leader = r->leader,
        .term = r->term,
        .term_from = m->term,
        .index = index,
        .entry_term_here = here,
        .entry_term_there = term_there,
        .commit = r->commit,
        .last = raft__log_last(&r->log),
    };
    return OAK_RAFT_EHALTED;
}

bool oak_raft_evidence(const struct oak_raft *r, struct oak_raft_evidence *out)
{
    *out = r->evidence;
    return r->evidence.what != OAK_RAFT_SOUND;
}

const char *oak_raft_contradiction_text(enum oak_raft_contradiction what)
{
    static const char *const texts[] = {
        "nothing",
        "two leaders in one term",
        "a leader contradicts what is committed here",
        "a leader contradicts what it said before in its term",
        "entries that this member acknowledged are gone",
    };
    return (size_t)what < OAK_COUNT_OF(texts) ? texts[what] : "unknown";
}
