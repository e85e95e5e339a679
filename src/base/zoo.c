/* SPDX-License-Identifier: Apache-2.0 */
#include "base/zoo.h"

#include "base/assert.h"

#if defined(OAK_ZOO)
enum oak_bug oak_bug_awake = OAK_BUG_NONE;
#endif

static const char *const names[] = {
    "none",
#define X(name, text) #name,
#include "base/zoo.def"
#undef X
};

static const char *const texts[] = {
    "no bug is awake",
#define X(name, text) text,
#include "base/zoo.def"
#undef X
};

const char *oak_bug_name(enum oak_bug bug)
{
    OAK_ASSERT(bug < OAK_BUG_COUNT);
    return names[bug];
}

const char *oak_bug_text(enum oak_bug bug)
{
    OAK_ASSERT(bug < OAK_BUG_COUNT);
    return texts[bug];
}
