/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the sort room share. */
#ifndef OAK_SORT_INTERNAL_H
#define OAK_SORT_INTERNAL_H

#include "sort/sort.h"

/* Sorted pairs in a file, named by its number. */
struct run {
    uint64_t number;
    uint64_t size;
};

OAK_MUST_USE int sort__run_open(const struct oak_disk *disk, const char *base, uint64_t number,
                                enum oak_file_mode mode, struct oak_file **out);
/* What can't be removed stays, and harms nobody; who cares asks. */
int sort__run_remove(const struct oak_disk *disk, const char *base, uint64_t number);
size_t sort__run_count(const struct oak_sorter *s);
/* Those that are named there, and the names. */
void sort__runs_remove(const struct oak_sorter *s, struct oak_buf *runs);
/* What has gathered becomes a run. */
OAK_MUST_USE int sort__spill(struct oak_sorter *s);

#endif
