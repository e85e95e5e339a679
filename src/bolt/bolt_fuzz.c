/* SPDX-License-Identifier: Apache-2.0 */
/* bolt_fuzz.c: bytes from outside as a file: the reader answers and never crashes.
 *
 * The first byte chooses. Bit 0 set: the meta pages' checksums are made true, so that what lies
 * behind them is reached; and pages are 512 bytes, so that a short input has many. */
#include "bolt/test_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool held)
{
    if (!held) {
        abort();
    }
}

static void front_true(uint8_t *file, size_t size)
{
    const struct bolt__meta meta = {
        .page_bytes = 512, .root = 2 + (size > 3 ? file[0] % 8u : 0), .pages = size / 512};
    if (size >= BOLT_META_PAGE_BYTES) {
        bolt__meta_put(file, 0, &meta);
    }
}

static void walk(struct oak_bolt_reader *r, const char *bucket, const char *behind,
                 size_t file_bytes)
{
    struct oak_bytes key;
    struct oak_bytes value;
    size_t pairs = 0;
    unsigned sum = 0;
    int error = oak_bolt_seek(r, oak_bytes_str(bucket));
    error = error == 0 && behind != NULL ? oak_bolt_skip(r, oak_bytes_str(behind)) : error;
    while (error == 0 && (error = oak_bolt_next(r, &key, &value)) == 0) {
        must(key.size > 0 && key.size + value.size <= file_bytes);
        must(++pairs <= file_bytes);
        sum += key.data[0] + key.data[key.size - 1];
        sum += value.size > 0 ? value.data[value.size - 1] : 0u;
    }
    must(sum <= 3u * 255u * file_bytes);
    must(error == OAK_ENOENT || (error == OAK_ECORRUPT && oak_bolt_why(r)[0] != '\0'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct test_disk d;
    struct oak_file *f;
    struct oak_buf file = {0};
    test_disk_init(&d, 1);
    must(oak_buf_append(&file, data + 1, size - 1) == 0);
    if ((data[0] & 1) != 0) {
        front_true(file.data, file.size);
    }
    must(d.port.open(&d, TEST_FILE, OAK_FILE_CREATE, &f) == 0);
    must(d.port.write(&d, f, 0, file.data, file.size) == 0);
    d.port.close(&d, f);
    struct oak_bolt_reader *r = NULL;
    struct oak_errbuf e = {{0}};
    int error = oak_bolt_open(&d.port, TEST_FILE, &r, &e);
    if (error == 0) {
        walk(r, "key", NULL, file.size);
        walk(r, "key", "k", file.size);
        walk(r, "a", NULL, file.size);
        oak_bolt_close(r);
    } else {
        must(e.text[0] != '\0' && (error == OAK_ECORRUPT || error == OAK_EFORMAT));
    }
    must(d.open_files == 0);
    oak_buf_fini(&file);
    test_disk_fini(&d);
    return 0;
}
