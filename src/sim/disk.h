/* SPDX-License-Identifier: Apache-2.0 */
/* disk.h: a machine's disk, and what may be done to it. */
#ifndef OAK_SIM_DISK_H
#define OAK_SIM_DISK_H

#include "port/port.h"

struct sim_disk;
struct world;

/* Calls that change something. */
enum sim_disk_call {
    SIM_DISK_CREATE,
    SIM_DISK_WRITE,
    SIM_DISK_SYNC,
    SIM_DISK_TRUNCATE,
    SIM_DISK_RENAME,
    SIM_DISK_REMOVE,
    SIM_DISK_SYNC_DIR,
    SIM_DISK_CALLS,
};

/* Files by what is in them. */
enum sim_disk_part {
    SIM_DISK_WAL,
    SIM_DISK_SNAP,
    SIM_DISK_STORE,
    SIM_DISK_REST,
    SIM_DISK_PARTS,
};

/* Which of them a path, or a text with a path in it, names. */
enum sim_disk_part sim_disk_part_of(const char *path);

/* Power is cut at the count-th call of a kind whose path has `part` in it: before it has had any
 * effect, or behind its whole effect. */
struct sim_disk_trap {
    enum sim_disk_call call;
    const char *part; /* "/wal", "/snap", "/store" */
    bool after;
    unsigned count;
};

struct sim_disk *sim_disk_new(struct world *w);
void sim_disk_free(struct sim_disk *d);
const struct oak_disk *sim_disk_port(struct sim_disk *d);
/* Power is gone: each sector written and not synced is kept, lost or torn by chance, names not
 * synced likewise. Open files are closed, and no fault that was set is set any more, but that the
 * disk is full. */
void sim_disk_crash(struct sim_disk *d);
/* After `calls` more calls the machine dies inside that call: it and all later ones fail with
 * OAK_ECLOSED, and `died` is set, until sim_disk_crash. */
void sim_disk_die_after(struct sim_disk *d, uint64_t calls);
void sim_disk_die_at(struct sim_disk *d, const struct sim_disk_trap *trap);
void sim_disk_die(struct sim_disk *d);
bool sim_disk_died(const struct sim_disk *d);
uint64_t sim_disk_lost(const struct sim_disk *d);

/* The n-th sync, or write, from now on fails with OAK_EIO; 0: none does. What a failed sync did not
 * write is called clean from then on: another sync succeeds, and the bytes are gone with the
 * power. */
void sim_disk_fail(struct sim_disk *d, unsigned sync, unsigned write);
/* No more than `room` bytes may be added: past it, OAK_ENOSPC. */
void sim_disk_fill(struct sim_disk *d, size_t room);
void sim_disk_empty(struct sim_disk *d);
/* No fault is set any more; what is damaged stays damaged. */
void sim_disk_heal(struct sim_disk *d);
/* When a call on a file of this part first failed with OAK_EIO, or OAK_ENOSPC, since the power was
 * cut last: the world's time; 0: none has. */
uint64_t sim_disk_failed_ns(const struct sim_disk *d, int error, enum sim_disk_part part);

/* What became certain before `before_ns` is damaged: a bit of it is turned, or (`misdirected`) a
 * sector of the same kind of file, as well formed as it is, stands in its place. `part` chooses the
 * files. Returns the path, NULL when there is nothing to damage. */
const char *sim_disk_rot(struct sim_disk *d, struct oak_prng *p, const char *part,
                         uint64_t before_ns, bool misdirected);

/* All that is certain on a disk, as it is now; of a machine that is off it may be put back. */
struct sim_disk_image;
struct sim_disk_image *sim_disk_image_take(const struct sim_disk *d);
void sim_disk_image_put(struct sim_disk *d, const struct sim_disk_image *image);
void sim_disk_image_free(struct sim_disk_image *image);
/* It is replaced by an empty one. */
void sim_disk_wipe(struct sim_disk *d);
/* Is there a file whose path ends so? */
bool sim_disk_image_has(const struct sim_disk_image *image, const char *end);

#endif
