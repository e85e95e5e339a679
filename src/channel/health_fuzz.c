/* SPDX-License-Identifier: Apache-2.0 */
/* health_fuzz.c: any bytes are a HealthCheckResponse or none; and whatever one says, the fields
 * that stand behind it are what counts. */
#include <stdlib.h>

#include "channel/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_behind(const uint8_t *data, size_t size)
{
    static const uint8_t behind[] = {0x08, 0x01, 0xc8, 0x3e, 0xac, 0x02};
    uint8_t *longer = malloc(size + sizeof(behind));
    OAK_ASSERT(longer != NULL);
    memcpy(longer, data, size);
    memcpy(longer + size, behind, sizeof(behind));
    bool serving;
    uint64_t term;
    bool fine = channel__health_response(oak_bytes(longer, size + sizeof(behind)), &serving, &term);
    OAK_ASSERT(fine && serving);
    OAK_ASSERT_EQ(term, 300);
    free(longer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1); /* of just that size: what is read past it is seen */
    OAK_ASSERT(copy != NULL);
    if (size > 0) {
        memcpy(copy + 1, data, size);
    }
    bool serving;
    uint64_t term;
    if (channel__health_response(oak_bytes(copy + 1, size), &serving, &term)) {
        check_behind(copy + 1, size);
    } else {
        OAK_MAYBE(serving || term != 0); /* what was read before it went wrong: for nobody */
    }
    free(copy);
    return 0;
}
