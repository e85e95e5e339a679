/* SPDX-License-Identifier: Apache-2.0 */
/* voters.h: majorities and configurations as values, for the files of the Raft core. Pure functions
 * of their arguments. */
#ifndef OAK_RAFT_VOTERS_H
#define OAK_RAFT_VOTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "oakum/raft.h"

/* -- quorum.c: majorities ---------------------------------------------------------------------- */

/* Whose majorities a member belongs to, as bits. A learner has none. */
enum { RAFT__INCOMING = 1, RAFT__OUTGOING = 2 };

enum raft__tally { RAFT__PENDING, RAFT__WON, RAFT__LOST };

/* The largest value that a majority of the `count` values reaches; 0 of none. */
uint64_t raft__quorum_value(const uint64_t *values, size_t count);
enum raft__tally raft__quorum_tally(size_t granted, size_t rejected, size_t count);

/* One value of each voter, by halves. */
struct raft__values {
    size_t count[2];
    uint64_t of[2][OAK_RAFT_MEMBERS_MAX];
};
static inline void raft__values_init(struct raft__values *v)
{
    v->count[0] = 0;
    v->count[1] = 0;
}
static inline void raft__values_add(struct raft__values *v, unsigned halves, uint64_t value)
{
    if ((halves & RAFT__INCOMING) != 0) {
        OAK_ASSERT_LT(v->count[0], (size_t)OAK_RAFT_MEMBERS_MAX);
        v->of[0][v->count[0]++] = value;
    }
    if ((halves & RAFT__OUTGOING) != 0) {
        OAK_ASSERT_LT(v->count[1], (size_t)OAK_RAFT_MEMBERS_MAX);
        v->of[1][v->count[1]++] = value;
    }
}
/* The largest value that a majority of each half reaches. */
uint64_t raft__values_quorum(const struct raft__values *v);

/* Votes, by halves. */
struct raft__votes {
    size_t granted[2];
    size_t rejected[2];
};
void raft__votes_add(struct raft__votes *v, unsigned halves, bool granted, bool rejected);
/* Won in all halves, or lost in one. */
enum raft__tally raft__votes_tally(const struct raft__votes *v,
                                   const struct oak_raft_config *config);

/* -- config.c: configurations as values -------------------------------------------------------- */

/* Of an entry of type CONFIG: has anybody a vote, too. */
OAK_MUST_USE int raft__config_entry_decode(const struct oak_raft_entry *e,
                                           struct oak_raft_config *out);
/* Is its type known, and its payload what the type promises? */
OAK_MUST_USE int raft__entry_check(const struct oak_raft_entry *e);
bool raft__config_joint(const struct oak_raft_config *c);
/* Of simple ones. */
bool raft__config_same(const struct oak_raft_config *a, const struct oak_raft_config *b);
/* RAFT__INCOMING, RAFT__OUTGOING, both or none. */
unsigned raft__config_halves(const struct oak_raft_config *c, uint64_t id);
bool raft__config_learns(const struct oak_raft_config *c, uint64_t id);
/* Everybody, sorted. `ids` holds OAK_RAFT_MEMBERS_MAX. Returns how many. */
size_t raft__config_members(const struct oak_raft_config *c, uint64_t *ids);
/* The first step from `from` to `target`: joint, unless the voters stay. It may name too many
 * members: check it. */
void raft__config_enter(const struct oak_raft_config *from, const struct oak_raft_config *target,
                        struct oak_raft_config *out);
/* The second step. */
void raft__config_leave(const struct oak_raft_config *joint, struct oak_raft_config *out);

#endif
