/* SPDX-License-Identifier: Apache-2.0 */
/* zoo.h: the bug zoo. A deliberate bug is compiled in only with -DOAK_ZOO=ON, and even then sleeps
 * until it is named. The simulator must catch each one: a checker that has never caught anything
 * is not trusted. In a normal build OAK_BUG(x) is the constant false.
 */
#ifndef OAK_BASE_ZOO_H
#define OAK_BASE_ZOO_H

#include <stdbool.h>

/* X(name, what is wrong while it is awake) */
enum oak_bug {
    OAK_BUG_NONE,
#define X(name, text) OAK_BUG_##name,
#include "base/zoo.def"
#undef X
    OAK_BUG_COUNT
};

#if defined(OAK_ZOO)
extern enum oak_bug oak_bug_awake;
#define OAK_BUG(name) (oak_bug_awake == OAK_BUG_##name)
#else
#define OAK_BUG(name) false
#endif

const char *oak_bug_name(enum oak_bug bug);
const char *oak_bug_text(enum oak_bug bug);

#endif
