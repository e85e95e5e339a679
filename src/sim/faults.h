/* SPDX-License-Identifier: Apache-2.0 */
/* faults.h: single faults, each with a number, so that a run can be repeated with some of them.
 *
 * The schedule of a run is drawn before it begins, each kind from a generator of its own: the n-th
 * fault of a seed comes at the same moment and with the same dice whichever others are left out.
 * Faults that follow from what the cluster does are numbered by kind ("churn.3").
 */
#ifndef OAK_SIM_FAULTS_H
#define OAK_SIM_FAULTS_H

#include "sim/sim.h"

/* A fault's number: its place in the schedule, or behind its kind. */
#define FAULT_ID(kind, n) (((uint32_t)(kind) + 1) << 24 | (uint32_t)(n))

struct fault {
    uint32_t id; /* scheduled: from 1; else FAULT_ID */
    enum oak_sim_fault kind;
    uint64_t at_ns;
    uint64_t dice; /* seed of its own generator */
};

/* "17", "churn.3". */
#define FAULT_TEXT_MAX 32
void fault_text(uint32_t id, char out[FAULT_TEXT_MAX]);
/* One of those from *text on, up to a comma; *text is moved behind it. 0: not understood. */
uint32_t fault_parse(const char **text);

#endif
