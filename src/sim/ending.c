/* SPDX-License-Identifier: Apache-2.0 */
/* ending.c: may a node end itself, or refuse to start, for the reason that it gives?
 *
 *   its machine has died              any reason: every call fails
 *   a call on its log, its snapshots  when it says that this is what it could not write: and then
 *   or its store failed (OAK_EIO)     it must, soon: what a failed sync dropped is gone
 *   its disk was full (OAK_ENOSPC)    never while it runs; it may refuse to start
 *   durable bytes were damaged        it may refuse to start, and name files of the damaged part
 *
 * All else is a failure of the run: that a disk has failed once excuses nothing that it did not
 * cause.
 */
#include "sim/internal.h"

/* Tasks that stand still, and the machine's sleep, are over by then. */
#define GOES_ON_MS 30000

#define WAL   (1u << SIM_DISK_WAL)
#define SNAP  (1u << SIM_DISK_SNAP)
#define STORE (1u << SIM_DISK_STORE)
#define REST  (1u << SIM_DISK_REST) /* and directories in which others are made */

struct reason {
    const char *text; /* how it begins, what a replica gives for its end, */
    unsigned parts;   /* and the files of which a call has failed then */
};

static const struct reason reasons[] = {
    {"writing the log: ", WAL},
    {"writing a snapshot: ", SNAP | REST},
    {"reading a part of a snapshot: ", SNAP},
    {"building from a snapshot: ", STORE},
    {"installing a snapshot: ", STORE},
    {"flushing the store: ", STORE},
    {"removing the file newborn: ", REST},
    {"writing what is remembered of the members: ", REST},
};

static const struct sim_disk *disk_of(const struct node *n)
{
    return n->sim->world.machines[n->index].disk;
}

/* A call on one of these files has failed with this error, since its power was cut last. */
static bool failed(const struct node *n, int error, unsigned parts)
{
    bool any = false;
    for (int i = 0; i < SIM_DISK_PARTS && (error == OAK_EIO || error == OAK_ENOSPC); i++) {
        bool here = sim_disk_failed_ns(disk_of(n), error, (enum sim_disk_part)i) != 0;
        any = any || (here && (parts >> i & 1) != 0);
    }
    return any;
}

bool sim__end_is_legal(const struct node *n, int error, const char *text)
{
    unsigned parts = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(reasons); i++) {
        bool says = strncmp(text, reasons[i].text, strlen(reasons[i].text)) == 0;
        parts |= says ? reasons[i].parts : 0;
    }
    return sim_disk_died(disk_of(n)) || (error == OAK_EIO && failed(n, error, parts));
}

/* The files that a refusal speaks of. */
static unsigned parts_named(const char *text)
{
    bool store = strstr(text, "/store") != NULL || strstr(text, "the store in ") != NULL;
    return (strstr(text, "/wal") != NULL ? WAL : 0) | (strstr(text, "/snap") != NULL ? SNAP : 0) |
           (store ? STORE : 0);
}

enum sim_refusal sim__refusal(const struct node *n, int error, const char *text)
{
    unsigned named = parts_named(text);
    /* A sector that belongs to another group's file may be in its place. */
    bool other =
        error == OAK_EINVAL && n->misdirected && strstr(text, " belongs to group ") != NULL;
    if (sim_disk_died(disk_of(n))) {
        return SIM_REFUSAL_LATER;
    }
    if ((error == OAK_ECORRUPT || other) && (n->rotten & named) != 0) {
        return SIM_REFUSAL_FOR_EVER;
    }
    return failed(n, error, named | REST) ? SIM_REFUSAL_LATER : SIM_REFUSAL_WRONG;
}

void sim__end_look(struct node *n)
{
    struct sim *s = n->sim;
    static const char *const names[SIM_DISK_PARTS] = {"log", "snapshots", "store", "directory"};
    for (int part = 0; part < SIM_DISK_PARTS; part++) {
        uint64_t failed = sim_disk_failed_ns(disk_of(n), OAK_EIO, (enum sim_disk_part)part);
        if (failed != 0 && s->world.now_ns - failed > GOES_ON_MS * SIM_MS) {
            sim__fail(
                s, "failed writes: node %d goes on %d s after a sync or a write of its %s failed",
                n->index + 1, GOES_ON_MS / 1000, names[part]);
        }
    }
}
