/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the backup room share. */
#ifndef OAK_BACKUP_INTERNAL_H
#define OAK_BACKUP_INTERNAL_H

#include "backup/backup.h"
#include "sort/sort.h"

/* In the order in which their names sort, and so in the file. */
enum backup__bucket {
    BACKUP_ALARM,
    BACKUP_AUTH,
    BACKUP_AUTH_ROLES,
    BACKUP_AUTH_USERS,
    BACKUP_CLUSTER,
    BACKUP_KEY,
    BACKUP_LEASE,
    BACKUP_MEMBERS,
    BACKUP_MEMBERS_REMOVED,
    BACKUP_META,
    BACKUP_BUCKETS,
};
const char *backup__bucket_name(enum backup__bucket bucket);

/* -- records.c: pairs as etcd has them --------------------------------------------------------- */

/* Each encodes into `buf`, anew, and adds. */
OAK_MUST_USE int backup__add_version(struct oak_sorter *s, struct oak_buf *buf,
                                     struct oak_store_rev rev, bool deleted,
                                     const struct oak_store_kv *kv);
OAK_MUST_USE int backup__add_record(struct oak_sorter *s, struct oak_buf *buf,
                                    const struct oak_kv_record *record);
/* What is known beside the store's records: members, versions, where in the log this is. */
OAK_MUST_USE int backup__add_facts(struct oak_sorter *s, struct oak_buf *buf,
                                   const struct oak_backup_options *options,
                                   const struct oak_store_state *state);

#endif
