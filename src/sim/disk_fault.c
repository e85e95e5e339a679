/* SPDX-License-Identifier: Apache-2.0 */
/* disk_fault.c: what goes wrong with a disk.
 *
 *   the machine dies   in the n-th call from now (a part of that call has happened), or right
 *                      before or behind the n-th call of a kind on files of a kind
 *   a sync fails       with OAK_EIO; the pages are dropped and called clean, as Linux does: the
 *                      next sync succeeds, and what was written is not on disk ("Can applications
 *                      recover from fsync failures?", Rebello and others 2020)
 *   a write fails      with OAK_EIO; a part of it may have happened
 *   the disk is full   OAK_ENOSPC for whatever would make a file longer, and for new files
 *   bytes rot          one bit of what was durable, or a sector that belongs elsewhere
 */
#include "sim/disk_internal.h"

/* The machine dies in this call, before it or behind it. */
static enum fate death(struct sim_disk *d, enum sim_disk_call call, const char *path)
{
    d->calls++;
    if (d->die_at != 0 && d->calls >= d->die_at) {
        d->died = true;
        return FATE_DIES;
    }
    struct sim_disk_trap *trap = &d->trap;
    if (trap->count == 0 || trap->call != call || strstr(path, trap->part) == NULL) {
        return FATE_GOES_ON;
    }
    trap->count--;
    if (trap->count > 0) {
        return FATE_GOES_ON;
    }
    d->died = true;
    return trap->after ? FATE_DIES_AFTER : FATE_DIES;
}

static bool counted_down(unsigned *count)
{
    if (*count == 0) {
        return false;
    }
    (*count)--;
    return *count == 0;
}

enum sim_disk_part sim_disk_part_of(const char *path)
{
    return strstr(path, "/wal") != NULL     ? SIM_DISK_WAL
           : strstr(path, "/snap") != NULL  ? SIM_DISK_SNAP
           : strstr(path, "/store") != NULL ? SIM_DISK_STORE
                                            : SIM_DISK_REST;
}

/* The first one counts. */
static void failed_note(const struct sim_disk *d, uint64_t *failed_ns, const char *path)
{
    uint64_t *at = &failed_ns[sim_disk_part_of(path)];
    *at = *at == 0 ? d->world->now_ns : *at;
}

enum fate disk__fate(struct sim_disk *d, enum sim_disk_call call, const char *path, size_t grows)
{
    enum fate fate = death(d, call, path);
    if (fate != FATE_GOES_ON) {
        return fate;
    }
    bool fails = false;
    if (call == SIM_DISK_SYNC || call == SIM_DISK_SYNC_DIR) {
        fails = counted_down(&d->syncs_fail);
    } else if (call == SIM_DISK_WRITE) {
        fails = counted_down(&d->writes_fail);
    }
    if (fails) {
        failed_note(d, d->io_failed_ns, path);
        return FATE_FAILS;
    }
    if (d->full && (grows > d->room || (call == SIM_DISK_CREATE && d->room == 0))) {
        d->room = 0;
        failed_note(d, d->full_failed_ns, path);
        return FATE_FULL;
    }
    d->room -= d->full ? grows : 0;
    return FATE_GOES_ON;
}

int disk__error(enum fate fate)
{
    switch (fate) {
    case FATE_GOES_ON:
        return 0;
    case FATE_DIES:
    case FATE_DIES_AFTER:
        return OAK_ECLOSED;
    case FATE_FAILS:
        return OAK_EIO;
    case FATE_FULL:
        return OAK_ENOSPC;
    }
    OAK_UNREACHABLE("fate");
}

void sim_disk_die_after(struct sim_disk *d, uint64_t calls)
{
    OAK_ASSERT_GT(calls, 0);
    d->die_at = d->calls + calls;
}

void sim_disk_die_at(struct sim_disk *d, const struct sim_disk_trap *trap)
{
    OAK_ASSERT_GT(trap->count, 0);
    d->trap = *trap;
}

void sim_disk_die(struct sim_disk *d)
{
    d->died = true;
}

bool sim_disk_died(const struct sim_disk *d)
{
    return d->died;
}

uint64_t sim_disk_lost(const struct sim_disk *d)
{
    return d->lost;
}

void sim_disk_fail(struct sim_disk *d, unsigned sync, unsigned write)
{
    d->syncs_fail = sync;
    d->writes_fail = write;
}

void sim_disk_fill(struct sim_disk *d, size_t room)
{
    d->full = true;
    d->room = room;
}

void sim_disk_empty(struct sim_disk *d)
{
    d->full = false;
}

void sim_disk_heal(struct sim_disk *d)
{
    d->full = false;
    d->die_at = 0;
    d->trap.count = 0;
    d->syncs_fail = 0;
    d->writes_fail = 0;
}

uint64_t sim_disk_failed_ns(const struct sim_disk *d, int error, enum sim_disk_part part)
{
    OAK_ASSERT(error == OAK_EIO || error == OAK_ENOSPC);
    return error == OAK_EIO ? d->io_failed_ns[part] : d->full_failed_ns[part];
}

/* -- rot --------------------------------------------------------------------------------------- */

static bool sector_old(const struct inode *inode, size_t s, uint64_t before_ns)
{
    return inode->dirty[s] == SECTOR_CLEAN && inode->synced_ns[s] != 0 &&
           inode->synced_ns[s] < before_ns && (s + 1) * SECTOR <= inode->sure.size &&
           (s + 1) * SECTOR <= inode->now.size;
}

/* The n-th sector that may be hit, of all files with `part` in their path. Returns how many there
 * are. */
static size_t sector_pick(struct sim_disk *d, const char *part, uint64_t before_ns, size_t n,
                          struct name **name, size_t *sector)
{
    size_t count = 0;
    for (size_t i = 0; i < d->sure.count; i++) {
        struct inode *inode = d->sure.names[i].inode;
        if (strstr(d->sure.names[i].path, part) == NULL) {
            continue;
        }
        for (size_t s = 0; s < inode->dirty_count; s++) {
            if (!sector_old(inode, s, before_ns)) {
                continue;
            }
            if (count == n) {
                *name = &d->sure.names[i];
                *sector = s;
            }
            count++;
        }
    }
    return count;
}

const char *sim_disk_rot(struct sim_disk *d, struct oak_prng *p, const char *part,
                         uint64_t before_ns, bool misdirected)
{
    struct name *hit = NULL, *other = NULL;
    size_t sector = 0, source = 0;
    size_t count = sector_pick(d, part, before_ns, SIZE_MAX, &hit, &sector);
    if (count == 0) {
        return NULL;
    }
    (void)sector_pick(d, part, before_ns, oak_prng_below(p, count), &hit, &sector);
    (void)sector_pick(d, part, before_ns, oak_prng_below(p, count), &other, &source);
    size_t at = sector * SECTOR;
    if (misdirected) {
        memmove(hit->inode->sure.data + at, other->inode->sure.data + source * SECTOR, SECTOR);
        memcpy(hit->inode->now.data + at, hit->inode->sure.data + at, SECTOR);
        return hit->path;
    }
    size_t byte = at + oak_prng_below(p, SECTOR);
    uint8_t bit = (uint8_t)(1u << oak_prng_below(p, 8));
    hit->inode->sure.data[byte] ^= bit;
    hit->inode->now.data[byte] ^= bit;
    return hit->path;
}
