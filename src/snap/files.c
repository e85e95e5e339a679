/* SPDX-License-Identifier: Apache-2.0 */
/* files.c: what reading a whole file and going on with a part share: the directory, a header, a
 * chunk.
 *
 * Can fail     OAK_ECORRUPT: a byte is not what was written.
 * Invariants   a scan moves only over what its checksum held for
 * Thread       one owner; blocks on the disk
 */
#include "snap/internal.h"

#include <stdlib.h>

/* -- the directory ----------------------------------------------------------------------------- */

static void name_found(void *arg, const char *text)
{
    struct snap__listing *l = arg;
    struct snap__name name;
    if (l->error != 0 || !snap__name_parse(text, &name) || name.group != l->group) {
        return;
    }
    if (l->count == l->capacity) {
        size_t capacity = l->capacity * 2 + 8;
        struct snap__name *names = realloc(l->names, capacity * sizeof(*names));
        if (names == NULL) {
            l->error = OAK_ENOMEM;
            return;
        }
        l->names = names;
        l->capacity = capacity;
    }
    l->names[l->count++] = name;
}

int snap__list(const struct oak_disk *disk, const char *dir, uint64_t group,
               struct snap__listing *out)
{
    *out = (struct snap__listing){.group = group};
    int error = disk->list(disk->user, dir, name_found, out);
    error = error != 0 ? error : out->error;
    return error == OAK_ENOENT ? 0 : error;
}

int snap__remove(const struct oak_disk *disk, const char *dir, const struct snap__name *name)
{
    char path[SNAP__PATH_BYTES];
    int error = snap__path(dir, name, path);
    error = error != 0 ? error : disk->remove(disk->user, path);
    return error == OAK_ENOENT ? 0 : error;
}

bool snap__newer(const struct snap__name *a, const struct snap__name *b)
{
    return a->index > b->index || (a->index == b->index && a->term > b->term);
}

/* Of one kind, all with an index below `below`. */
static int kind_remove(const struct oak_disk *disk, const char *dir, uint64_t group,
                       enum snap__kind kind, uint64_t below)
{
    OAK_ASSERT(disk != NULL && dir != NULL);
    struct snap__listing l;
    int error = snap__list(disk, dir, group, &l);
    for (size_t i = 0; error == 0 && i < l.count; i++) {
        if (l.names[i].kind == kind && l.names[i].index < below) {
            error = snap__remove(disk, dir, &l.names[i]);
        }
    }
    free(l.names);
    return error;
}

int oak_snap_purge(const struct oak_disk *disk, const char *dir, uint64_t group, uint64_t index)
{
    return kind_remove(disk, dir, group, SNAP__WHOLE, index);
}

int oak_snap_discard(const struct oak_disk *disk, const char *dir, uint64_t group)
{
    return kind_remove(disk, dir, group, SNAP__PART, UINT64_MAX);
}

/* -- a file from its start --------------------------------------------------------------------- */

int snap__scan_bytes(const struct snap__scan *s, uint64_t offset, void *out, size_t size)
{
    size_t got = 0;
    int error = s->disk->read(s->disk->user, s->file, offset, out, size, &got);
    return error != 0 ? error : got == size ? 0 : OAK_ECORRUPT;
}

int snap__scan_header(struct snap__scan *s, const struct snap__name *name,
                      struct oak_snap_meta *meta, uint8_t config[SNAP__CONFIG_BYTES_MAX])
{
    uint8_t fixed[SNAP__HEADER_BYTES];
    uint32_t config_size = 0;
    uint32_t checksum = 0;
    int error = snap__scan_bytes(s, 0, fixed, sizeof(fixed));
    if (error != 0) {
        return error;
    }
    if (!snap__header_get(fixed, meta, &config_size, &checksum)) {
        return OAK_ECORRUPT;
    }
    error = snap__scan_bytes(s, SNAP__HEADER_BYTES, config, config_size);
    if (error != 0) {
        return error;
    }
    meta->config = oak_bytes(config, config_size);
    s->offset = SNAP__HEADER_BYTES + config_size;
    s->sum = (struct snap__trailer){.chain = checksum};
    bool whole = snap__header_checksum(fixed, meta->config) == checksum &&
                 meta->group == name->group && meta->index == name->index &&
                 meta->term == name->term;
    return whole ? 0 : OAK_ECORRUPT;
}

int snap__scan_chunk(struct snap__scan *s, bool trusting)
{
    uint8_t header[SNAP__CHUNK_HEADER];
    uint32_t size = 0;
    uint32_t checksum = 0;
    int error = snap__scan_bytes(s, s->offset, header, sizeof(header));
    if (error != 0) {
        return error;
    }
    if (!snap__chunk_get(header, s->sum.chunks, &size, &checksum)) {
        return OAK_ECORRUPT;
    }
    oak_buf_clear(&s->data);
    error = oak_buf_reserve(&s->data, size);
    error = error != 0 ? error
                       : snap__scan_bytes(s, s->offset + SNAP__CHUNK_HEADER, s->data.data, size);
    if (error != 0) {
        return error;
    }
    struct oak_bytes data = oak_bytes(s->data.data, size);
    if (!trusting && snap__chunk_checksum(header, data, s->sum.chain) != checksum) {
        return OAK_ECORRUPT;
    }
    s->data.size = size;
    s->sum.chain = checksum;
    s->sum.chunks++;
    s->sum.bytes += size;
    s->offset += SNAP__CHUNK_HEADER + size;
    return 0;
}
