/* SPDX-License-Identifier: Apache-2.0 */
/* restore_fuzz.c: pairs from outside in a sound database: they fill a store, or are told what is
 * wrong with them.
 *
 * The input is pairs: bucket (1), bytes of the key (1), of the value (1), and both. They are put in
 * order, so that a database can be made of them. */
#include "restore/test_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PAIRS_MAX 64

static const char *const buckets[] = {"alarm", "auth",  "authRoles", "authUsers",
                                      "key",   "lease", "meta"};

static void must(bool held)
{
    if (!held) {
        abort();
    }
}

static int order(const void *a, const void *b)
{
    const struct test_pair *x = a;
    const struct test_pair *y = b;
    int by_bucket = strcmp(x->bucket, y->bucket);
    return by_bucket != 0 ? by_bucket : oak_bytes_cmp(x->key, y->key);
}

static size_t pairs_read(const uint8_t *data, size_t size, struct test_pair *out)
{
    struct oak_reader r = oak_reader(oak_bytes(data, size));
    size_t count = 0;
    while (count + 2 < PAIRS_MAX && oak_reader_left(&r) > 3) {
        struct test_pair *p = &out[count];
        p->bucket = buckets[oak_read_u8(&r) % OAK_COUNT_OF(buckets)];
        size_t key = oak_read_u8(&r);
        size_t value = oak_read_u8(&r);
        p->key = oak_read_bytes(&r, key);
        p->value = oak_read_bytes(&r, value);
        if (r.failed) {
            break;
        }
        count += key > 0 ? 1 : 0;
    }
    /* Both buckets that must be there. */
    out[count++] = (struct test_pair){"key", REV("\1", "\0"), PUT("a", "\1", "\1", "\1", "1")};
    out[count++] = (struct test_pair){"meta", TEXT("term"), TEXT("1")};
    qsort(out, count, sizeof(*out), order);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++) {
        if (order(&out[kept - 1], &out[i]) != 0) {
            out[kept++] = out[i];
        }
    }
    return kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct test_pair pairs[PAIRS_MAX];
    struct test_disk d;
    struct oak_errbuf e = {{0}};
    struct oak_restore_status status;
    struct oak_restore_result result;
    test_disk_init(&d, 1);
    (void)test_file_write(&d.port, pairs, pairs_read(data, size, pairs));
    must(oak_restore_check(&d.port, TEST_FILE, OAK_RESTORE_DIGEST_NEEDED, NULL, &e) == 0);
    int error = oak_restore_status(&d.port, TEST_FILE, NULL, &status, &e);
    must(error == 0 || (error == OAK_ECORRUPT && e.text[0] != '\0'));
    struct oak_store *store = test_store(&d.port, "store");
    const struct oak_restore_options options = {.disk = &d.port,
                                                .path = TEST_FILE,
                                                .scratch = "scratch",
                                                .store = store,
                                                .index = 1,
                                                .term = 1,
                                                .sort_bytes = 4096};
    e.text[0] = '\0';
    error = oak_restore_fill(&options, &result, &e);
    must(error == 0 || (error == OAK_ECORRUPT && e.text[0] != '\0'));
    if (error == 0) {
        /* What starts from it believes all of it. */
        const struct oak_kv_options kv_options = {.store = store};
        struct oak_kv *kv = NULL;
        must(oak_kv_new(&kv_options, &kv, &e) == 0);
        oak_kv_free(kv);
    }
    oak_store_close(store);
    must(d.open_files == 0);
    test_disk_fini(&d);
    return 0;
}
