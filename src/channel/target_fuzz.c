/* SPDX-License-Identifier: Apache-2.0 */
/* target_fuzz.c: any text is a target or refused; what it means can be read back. */
#include <stdlib.h>

#include "channel/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    OAK_ASSERT(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    struct channel_target t;
    struct oak_errbuf e = {{0}};
    bool as_it_is = strncmp(text, "passthrough:", 12) == 0;
    int error = channel__target_parse(text, 443, &t, &e);
    if (error != 0) {
        OAK_ASSERT(e.text[0] != '\0' && t.addresses.data == NULL);
    } else {
        OAK_ASSERT(t.count > 0 && t.count <= CHANNEL_ADDRESSES_MAX);
        OAK_ASSERT(!t.lookup || t.count == 1);
        size_t at = 0;
        for (size_t i = 0; i < t.count; i++) {
            const char *address = (const char *)t.addresses.data + at;
            OAK_ASSERT(as_it_is ? address[0] != '\0' : strchr(address, ':') != NULL);
            at += strlen(address) + 1;
        }
        OAK_ASSERT_EQ(at, t.addresses.size);
        channel__target_fini(&t);
    }
    free(text);
    return 0;
}
