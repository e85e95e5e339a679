/* SPDX-License-Identifier: Apache-2.0 */
/* snap_fuzz.c: bytes from outside as a snapshot file: the reader answers and never crashes.
 *
 * The first byte chooses. Bit 1: a part file, to be gone on with. Bit 0 unset, the rest is the file
 * as it is; set, it is cut into chunks with true checksums behind a true header, with sizes,
 * numbers and counts that may lie, so that what lies behind the checksums is reached too. */
#include <stdlib.h>

#include "snap/internal.h"
#include "wal/test_disk.h"

#define DIR "snaps"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held) {
        abort();
    }
}

/* Each chunk: its size, whether its number lies, its bytes. What is left: the trailer is false. */
static void file_make(struct oak_buf *out, struct oak_bytes in)
{
    const uint8_t *at = in.data;
    const uint8_t *end = in.data + in.size;
    size_t config = at < end ? OAK_MIN((size_t)*at, in.size) : 0;
    const struct oak_snap_meta meta = {
        .group = 1, .index = 2, .term = 3, .config = oak_bytes(at, config)};
    at += config;
    struct snap__trailer t = {0};
    must(snap__header_put(out, &meta, &t.chain) == 0);
    while (end - at > 3) {
        size_t used = OAK_MIN((size_t)at[0] + 1, (size_t)(end - at) - 2);
        uint8_t header[SNAP__CHUNK_HEADER];
        uint64_t number = t.chunks + (at[1] == 255 ? 1 : 0);
        t.chain = snap__chunk_put(header, number, oak_bytes(at + 2, used), t.chain);
        must(oak_buf_append(out, header, sizeof(header)) == 0);
        must(oak_buf_append(out, at + 2, used) == 0);
        t.chunks++;
        t.bytes += used;
        at += 2 + used;
    }
    /* A chunk more and its header's worth of bytes less is the lie that the sizes do not show. */
    uint64_t lie = at < end ? *at & 3u : 0;
    t.chunks += lie;
    t.bytes -= lie * SNAP__CHUNK_HEADER;
    uint8_t trailer[SNAP__TRAILER_BYTES];
    snap__trailer_put(trailer, &t);
    must(oak_buf_append(out, trailer, sizeof(trailer)) == 0);
}

/* Read to the end: every byte is looked at, no more come than the file has. */
static void file_read(const struct oak_disk *disk, size_t file_bytes)
{
    struct oak_snap_reader *r = NULL;
    struct oak_errbuf e = {{0}};
    int error = oak_snap_newest(disk, DIR, 1, &r, &e);
    if (error != 0) {
        must(r == NULL && error == OAK_ECORRUPT && e.text[0] != '\0');
        return;
    }
    must(oak_snap_meta(r)->index == 2 && oak_snap_meta(r)->config.size <= SNAP__CONFIG_BYTES_MAX);
    struct oak_bytes chunk;
    size_t bytes = 0;
    unsigned sum = 0;
    while ((error = oak_snap_read(r, &chunk)) == 0 && chunk.size > 0) {
        bytes += chunk.size;
        must(bytes < file_bytes);
        for (size_t i = 0; i < chunk.size; i++) {
            sum += chunk.data[i];
        }
    }
    must(sum <= 255u * file_bytes);
    must(error == 0 || error == OAK_ECORRUPT);
    must(oak_snap_read(r, &chunk) == error && chunk.size == 0);
    oak_snap_close(r);
}

/* Go on with it: what is kept of it is whole, and one more chunk makes a whole file of it. */
static void part_resume(struct test_disk *d, size_t file_bytes)
{
    struct oak_snap_writer *w = NULL;
    int error = oak_snap_resume(&d->port, DIR, 1, &w);
    if (error != 0) {
        must(w == NULL && error == OAK_ENOENT && d->name_count == 0);
        return;
    }
    must(oak_snap_offset(w) < file_bytes);
    must(oak_snap_write(w, oak_bytes_str("more")) == 0);
    must(oak_snap_finish(w) == 0);
    struct oak_snap_reader *r = NULL;
    struct oak_bytes chunk;
    must(oak_snap_newest(&d->port, DIR, 1, &r, NULL) == 0);
    do {
        must(oak_snap_read(r, &chunk) == 0);
    } while (chunk.size > 0);
    oak_snap_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct test_disk d;
    test_disk_init(&d, 1);
    struct oak_buf file = {0};
    if ((data[0] & 1) != 0) {
        file_make(&file, oak_bytes(data + 1, size - 1));
    } else {
        must(oak_buf_append(&file, data + 1, size - 1) == 0);
    }
    const struct snap__name name = {
        .kind = (data[0] & 2) != 0 ? SNAP__PART : SNAP__WHOLE, .group = 1, .index = 2, .term = 3};
    char path[SNAP__PATH_BYTES];
    must(snap__path(DIR, &name, path) == 0);
    struct oak_file *f;
    must(d.port.open(&d, path, OAK_FILE_CREATE, &f) == 0);
    must(d.port.write(&d, f, 0, file.data, file.size) == 0);
    d.port.close(&d, f);
    if (name.kind == SNAP__WHOLE) {
        file_read(&d.port, file.size);
    } else {
        part_resume(&d, file.size);
    }
    must(d.open_files == 0);
    oak_buf_fini(&file);
    test_disk_fini(&d);
    return 0;
}
