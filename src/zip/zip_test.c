/* SPDX-License-Identifier: Apache-2.0 */
/* zip_test.c: what is packed comes back; what is damaged, cut off or too large does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "zip/zip.h"

static const enum oak_zip_form forms[] = {OAK_ZIP_GZIP, OAK_ZIP_ZLIB};

/* Bytes that repeat with a period: they pack well, and every place of them is told from others. */
static struct oak_buf pattern(size_t size)
{
    struct oak_buf b = {0};
    assert_int_equal(oak_buf_reserve(&b, size), 0);
    for (size_t i = 0; i < size; i++) {
        b.data[i] = (uint8_t)(i % 17 + i / 251 % 7 * 20);
    }
    b.size = size;
    return b;
}

static void what_is_packed_comes_back(void **state)
{
    (void)state;
    struct oak_zip zip = {0};
    for (size_t f = 0; f < OAK_COUNT_OF(forms); f++) {
        for (size_t size = 600; size < 3000000; size *= 3) {
            struct oak_buf raw = pattern(size);
            struct oak_buf packed = {0};
            struct oak_buf back = {0};
            assert_int_equal(oak_buf_append(&packed, "<", 1), 0);
            assert_int_equal(oak_buf_append(&back, "<", 1), 0);
            assert_int_equal(oak_zip_pack(&zip, forms[f], oak_buf_bytes(&raw), &packed), 0);
            assert_true(packed.size < size);
            struct oak_bytes p = oak_bytes(packed.data + 1, packed.size - 1);
            assert_int_equal(oak_zip_unpack(&zip, forms[f], p, size, &back), 0);
            assert_int_equal(back.size, size + 1);
            assert_int_equal(back.data[0], '<');
            assert_memory_equal(back.data + 1, raw.data, size);
            oak_buf_fini(&raw);
            oak_buf_fini(&packed);
            oak_buf_fini(&back);
        }
    }
    oak_zip_fini(&zip);
}

static void what_would_not_be_smaller_is_not_packed(void **state)
{
    (void)state;
    struct oak_zip zip = {0};
    struct oak_prng prng;
    uint8_t noise[5000];
    oak_prng_init(&prng, 3);
    for (size_t i = 0; i < sizeof(noise); i++) {
        noise[i] = (uint8_t)oak_prng_between(&prng, 0, 255);
    }
    struct oak_buf out = {0};
    for (size_t size = 0; size < sizeof(noise); size += 7) {
        assert_int_equal(oak_zip_pack(&zip, OAK_ZIP_GZIP, oak_bytes(noise, size), &out),
                         OAK_ELIMIT);
        assert_int_equal(out.size, 0);
    }
    struct oak_buf raw = pattern(5000); /* and the packer has taken no harm */
    assert_int_equal(oak_zip_pack(&zip, OAK_ZIP_GZIP, oak_buf_bytes(&raw), &out), 0);
    oak_buf_fini(&raw);
    oak_buf_fini(&out);
    oak_zip_fini(&zip);
}

static void unpacking_stops_at_its_limit(void **state)
{
    (void)state;
    struct oak_zip zip = {0};
    const size_t size = 20 * OAK_MIB;
    struct oak_buf raw = {0};
    struct oak_buf bomb = {0};
    struct oak_buf back = {0};
    assert_int_equal(oak_buf_reserve(&raw, size), 0);
    memset(raw.data, 0, size);
    raw.size = size;
    assert_int_equal(oak_zip_pack(&zip, OAK_ZIP_GZIP, oak_buf_bytes(&raw), &bomb), 0);
    assert_true(bomb.size < size / 200);
    const size_t limits[] = {0, 1, 1023, 1024, 1025, OAK_MIB, size - 1};
    for (size_t i = 0; i < OAK_COUNT_OF(limits); i++) {
        struct oak_buf out = {0};
        assert_int_equal(oak_zip_unpack(&zip, OAK_ZIP_GZIP, oak_buf_bytes(&bomb), limits[i], &out),
                         OAK_ELIMIT);
        assert_int_equal(out.size, 0);
        assert_true(out.capacity <= OAK_MAX(2 * (limits[i] + 1), (size_t)64));
        oak_buf_fini(&out);
    }
    assert_int_equal(oak_zip_unpack(&zip, OAK_ZIP_GZIP, oak_buf_bytes(&bomb), size, &back), 0);
    assert_int_equal(back.size, size);
    oak_buf_fini(&raw);
    oak_buf_fini(&bomb);
    oak_buf_fini(&back);
    oak_zip_fini(&zip);
}

static void nothing_damaged_is_believed(void **state)
{
    (void)state;
    struct oak_zip zip = {0};
    for (size_t f = 0; f < OAK_COUNT_OF(forms); f++) {
        struct oak_buf raw = pattern(1000);
        struct oak_buf packed = {0};
        struct oak_buf out = {0};
        assert_int_equal(oak_zip_pack(&zip, forms[f], oak_buf_bytes(&raw), &packed), 0);
        for (size_t size = 0; size < packed.size; size++) { /* cut off */
            assert_int_equal(
                oak_zip_unpack(&zip, forms[f], oak_bytes(packed.data, size), 1000, &out),
                OAK_EFORMAT);
        }
        enum oak_zip_form other = forms[OAK_COUNT_OF(forms) - 1 - f];
        assert_int_equal(oak_zip_unpack(&zip, other, oak_buf_bytes(&packed), 1000, &out),
                         OAK_EFORMAT);
        packed.data[packed.size / 2] ^= 16; /* the checksum at the end knows, if nothing before */
        int error = oak_zip_unpack(&zip, forms[f], oak_buf_bytes(&packed), 1000, &out);
        assert_true(error == OAK_EFORMAT || error == OAK_ELIMIT);
        packed.data[packed.size / 2] ^= 16;
        assert_int_equal(oak_buf_append(&packed, "x", 1), 0);
        assert_int_equal(oak_zip_unpack(&zip, forms[f], oak_buf_bytes(&packed), 1000, &out),
                         OAK_EFORMAT);
        packed.size--;
        assert_int_equal(out.size, 0);
        assert_int_equal(oak_zip_unpack(&zip, forms[f], oak_buf_bytes(&packed), 1000, &out), 0);
        assert_int_equal(out.size, 1000);
        oak_buf_fini(&raw);
        oak_buf_fini(&packed);
        oak_buf_fini(&out);
    }
    oak_zip_fini(&zip);
}

static void an_empty_message_may_come_packed(void **state)
{
    (void)state;
    static const uint8_t empty[] = {0x78, 0x9c, 0x03, 0x00, 0x00, 0x00, 0x00, 0x01};
    struct oak_zip zip = {0};
    struct oak_buf out = {0};
    assert_int_equal(oak_zip_unpack(&zip, OAK_ZIP_ZLIB, oak_bytes(empty, sizeof(empty)), 0, &out),
                     0);
    assert_int_equal(out.size, 0);
    assert_int_equal(oak_zip_unpack(&zip, OAK_ZIP_ZLIB, oak_bytes(NULL, 0), 10, &out), OAK_EFORMAT);
    oak_buf_fini(&out);
    oak_zip_fini(&zip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back),
        cmocka_unit_test(what_would_not_be_smaller_is_not_packed),
        cmocka_unit_test(unpacking_stops_at_its_limit),
        cmocka_unit_test(nothing_damaged_is_believed),
        cmocka_unit_test(an_empty_message_may_come_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
