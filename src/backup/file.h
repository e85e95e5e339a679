/* SPDX-License-Identifier: Apache-2.0 */
/* file.h: one backup in the hands of its room: what backup.c makes and file.c reads. */
#ifndef OAK_BACKUP_FILE_H
#define OAK_BACKUP_FILE_H

#include "backup/internal.h"
#include "bolt/bolt.h"

enum backup__stage {
    BACKUP_WALK,
    BACKUP_NARROW,
    BACKUP_WRITE,
    BACKUP_OVER,
};

struct oak_backup {
    struct oak_disk disk; /* the caller's, but that nothing is synced */
    char *dir;
    char *base; /* of the names of runs */
    char *path; /* of the file */
    bool dir_made;
    enum backup__stage stage;
    int error; /* the first one */
    struct oak_store_walk *walk;
    struct oak_arena arena;
    struct oak_buf value; /* of the pair that is being made */
    struct oak_sorter sorter;
    struct oak_bolt_writer *writer;
    enum backup__bucket bucket; /* the next to be opened */
    bool whole;                 /* the file is there */
    uint64_t size;
    /* Reading it. */
    struct oak_file *file;
    uint64_t at;
    void *digest; /* OpenSSL's; NULL: nothing was read yet */
    bool told;    /* the digest, too */
};

void backup__file_close(struct oak_backup *b);

#endif
