/* SPDX-License-Identifier: Apache-2.0 */
/* quorum.c: the arithmetic of majorities.
 *
 * Pure functions of small arrays. quorum_test.c compares them with a dumb twin on every small
 * input. Thread: any.
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
