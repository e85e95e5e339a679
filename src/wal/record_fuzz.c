/* SPDX-License-Identifier: Apache-2.0 */
/* record_fuzz.c: bytes from outside as a segment: open answers and never crashes.
 *
 * The first byte chooses: even, the bytes are the file as they are; odd, they are cut into the
 * records of frames with true checksums, so that what lies behind the checksums is reached too. */
#include <stdlib.h>

#include "wal/internal.h"
#include "wal/test_disk.h"

#define SEGMENT  8192u
#define SEGMENTS 2u

static bool applied(void *user, uint64_t group, uint64_t *index, uint64_t *term)
{
    (void)user;
    *index = group % 8;
    *term = *index != 0;
    return group < 64;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Frames of at most 1 KiB of input each, over two segments. */
static void frames_make(uint8_t *segments, const uint8_t *data, size_t size)
{
    uint32_t chain = 1;
    uint64_t batch = 1;
    uint64_t offset = SEGMENT;
    uint64_t seq = 0;
    while (size > 2 && seq < SEGMENTS + 1) {
        size_t used = OAK_MIN((size_t)(data[0] * 8u), (size - 2) / 8 * 8);
        bool last = (data[1] & 1) != 0;
        uint32_t frame =
            (uint32_t)(WAL__FRAME_HEADER + used + WAL__ALIGN - 1) / WAL__ALIGN * WAL__ALIGN;
        if (offset + frame > SEGMENT || (data[1] & 2) != 0) {
            if (seq == SEGMENTS) {
                return;
            }
            seq++;
            const struct wal__segment_header h = {.seq = seq,
                                                  .segment_bytes = SEGMENT,
                                                  .prev_end = seq == 1 ? 0 : offset,
                                                  .batch = batch,
                                                  .salt = chain};
            wal__segment_header_put(segments + (seq - 1) * SEGMENT, &h);
            offset = WAL__SEGMENT_HEADER;
        }
        uint8_t *at = segments + (seq - 1) * SEGMENT + offset;
        memcpy(at + WAL__FRAME_HEADER, data + 2, used);
        struct wal__frame f = {.batch = batch,
                               .first_seq = 1,
                               .size = frame,
                               .used = (uint32_t)used,
                               .last = last,
                               .salt = chain,
                               .chain = chain,
                               .repeats = data[1] >> 4};
        struct wal__segment_header h;
        if (wal__segment_header_get(segments + (seq - 1) * SEGMENT, seq, &h)) {
            f.salt = h.salt;
        }
        wal__frame_put(at, seq, offset, &f);
        if ((data[1] & 4) != 0) {
            at[WAL__FRAME_HEADER] ^= 1; /* a hole */
        }
        chain = f.checksum;
        batch += last;
        offset += frame;
        data += 2 + used;
        size -= 2 + used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    struct test_disk d;
    test_disk_init(&d, 1);
    uint8_t *segments = calloc(SEGMENTS, SEGMENT);
    if (segments == NULL) {
        abort();
    }
    if ((data[0] & 1) != 0) {
        frames_make(segments, data + 1, size - 1);
    } else {
        memcpy(segments, data + 1, OAK_MIN(size - 1, (size_t)SEGMENTS * SEGMENT));
    }
    const char *const names[SEGMENTS] = {"log/0000000000000001.wal", "log/0000000000000002.wal"};
    for (size_t i = 0; i < SEGMENTS; i++) {
        struct oak_file *file;
        if (d.port.open(&d, names[i], OAK_FILE_CREATE, &file) != 0 ||
            d.port.write(&d, file, 0, segments + i * SEGMENT, SEGMENT) != 0) {
            abort();
        }
        d.port.close(&d, file);
    }
    const struct oak_wal_options o = {.disk = &d.port,
                                      .dir = "log",
                                      .meta = oak_bytes_str("m"),
                                      .segment_bytes = SEGMENT,
                                      .applied = (data[0] & 2) != 0 ? applied : NULL};
    struct oak_wal *wal;
    struct oak_errbuf e = {{0}};
    int error = oak_wal_open(&o, &wal, &e);
    if (error == 0) {
        const struct oak_wal_record r = {.type = OAK_WAL_HARD_STATE, .group = 1, .term = 1};
        if (oak_wal_append(wal, &r) == 0 && oak_wal_commit(wal) != 0) {
            abort();
        }
        oak_wal_close(wal);
    } else if (e.text[0] == '\0') {
        abort();
    }
    test_disk_fini(&d);
    free(segments);
    return 0;
}
