/* SPDX-License-Identifier: Apache-2.0 */
/* quorum.c: the arithmetic of majorities.
 *
 * In a joint configuration nothing is decided by one half alone (Raft section 6): of two values
 * that the halves reach, the smaller one counts; votes are won when both halves are, lost when one
 * is.
 *
 * Pure functions of small arrays. config_test.c compares them with dumb twins on every small input.
 * Thread: any.
 */
#include "raft/internal.h"

uint64_t raft__quorum_value(const uint64_t *values, size_t count)
{
    OAK_ASSERT_LE(count, (size_t)OAK_RAFT_MEMBERS_MAX);
    if (count == 0) {
        return 0;
    }
    uint64_t sorted[OAK_RAFT_MEMBERS_MAX]; /* falling */
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at > 0 && sorted[at - 1] < values[i]) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = values[i];
    }
    /* A majority is count / 2 + 1 members: the last of them in falling order is at count / 2. */
    return sorted[count / 2];
}

enum raft__tally raft__quorum_tally(size_t granted, size_t rejected, size_t count)
{
    OAK_ASSERT_LE(granted + rejected, count);
    size_t majority = count / 2 + 1;
    if (count > 0 && granted >= majority) {
        return RAFT__WON;
    }
    return count - rejected < majority ? RAFT__LOST : RAFT__PENDING;
}

uint64_t raft__values_quorum(const struct raft__values *v)
{
    uint64_t value = raft__quorum_value(v->of[0], v->count[0]);
    if (v->count[1] == 0 || OAK_BUG(joint_one_majority)) {
        return value;
    }
    return OAK_MIN(value, raft__quorum_value(v->of[1], v->count[1]));
}

void raft__votes_add(struct raft__votes *v, unsigned halves, bool granted, bool rejected)
{
    OAK_ASSERT(!(granted && rejected));
    for (size_t half = 0; half < 2; half++) {
        bool counts = (halves >> half & 1) != 0;
        v->granted[half] += counts && granted;
        v->rejected[half] += counts && rejected;
    }
}

enum raft__tally raft__votes_tally(const struct raft__votes *v,
                                   const struct oak_raft_config *config)
{
    enum raft__tally incoming =
        raft__quorum_tally(v->granted[0], v->rejected[0], config->voter_count);
    if (config->voter_outgoing_count == 0 || OAK_BUG(joint_one_majority)) {
        return incoming;
    }
    enum raft__tally outgoing =
        raft__quorum_tally(v->granted[1], v->rejected[1], config->voter_outgoing_count);
    if (incoming == RAFT__LOST || outgoing == RAFT__LOST) {
        return RAFT__LOST;
    }
    return incoming == RAFT__WON ? outgoing : RAFT__PENDING;
}
