/* SPDX-License-Identifier: Apache-2.0 */
/* disk_internal.h: the parts of a simulated disk: disk.c keeps them, disk_fault.c breaks them. */
#ifndef OAK_SIM_DISK_INTERNAL_H
#define OAK_SIM_DISK_INTERNAL_H

#include "sim/world.h"

#define SECTOR 512

enum sector_state {
    SECTOR_CLEAN,
    SECTOR_DIRTY,
    SECTOR_GONE, /* its sync failed: the cache says clean, the disk never got it */
};

struct inode {
    struct oak_buf now;
    struct oak_buf sure;
    uint8_t *dirty;      /* enum sector_state for each sector of the longer of both */
    uint64_t *synced_ns; /* when each became certain last; 0: never */
    size_t dirty_count;
    unsigned names; /* in both directories, and open files */
};

struct name {
    char path[256];
    struct inode *inode;
};

struct directory {
    struct name *names;
    size_t count;
    size_t capacity;
};

enum change_kind {
    CHANGE_CREATE,
    CHANGE_RENAME,
    CHANGE_REMOVE,
};

struct change {
    enum change_kind kind;
    char path[256];
    char to[256];
    struct inode *inode; /* CREATE */
};

struct oak_file {
    struct sim_disk *disk;
    struct inode *inode;
    char path[256];
};

struct sim_disk {
    struct world *world;
    struct oak_disk port;
    struct directory now;
    struct directory sure;
    struct change *changes; /* since the last sync_dir */
    size_t change_count;
    size_t change_capacity;
    uint64_t calls;
    uint64_t die_at; /* 0: never */
    bool died;
    uint64_t lost;
    struct sim_disk_trap trap; /* count 0: none */
    unsigned syncs_fail;       /* the n-th sync from now on fails; 0: none does */
    unsigned writes_fail;
    bool full;
    size_t room; /* bytes that may be added while it is full */
    /* When the first call on each part failed, since the last power cut; 0: none has. */
    uint64_t io_failed_ns[SIM_DISK_PARTS];
    uint64_t full_failed_ns[SIM_DISK_PARTS];
};

/* What becomes of a call. */
enum fate {
    FATE_GOES_ON,
    FATE_DIES,       /* the machine loses its power in it; a part of it may have happened */
    FATE_DIES_AFTER, /* ... behind it: all of it has happened, and nobody is told */
    FATE_FAILS,      /* OAK_EIO */
    FATE_FULL,       /* OAK_ENOSPC */
};

/* A call that changes something is about to happen; `grows` by so many bytes. */
enum fate disk__fate(struct sim_disk *d, enum sim_disk_call call, const char *path, size_t grows);
/* All files are gone; none is open. */
void disk__clear(struct sim_disk *d);
/* A file, as if it had been written and synced now. */
void disk__file_add(struct sim_disk *d, const char *path, struct oak_bytes bytes);
/* What the caller of a call that did not go on gets. */
int disk__error(enum fate fate);

#endif
