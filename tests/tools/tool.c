/* SPDX-License-Identifier: Apache-2.0 */
/* tool.c: arguments of the tests' programs, keys and values. */
#include "tests/tools/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

bool tool_crowd(struct crowd *c, const char *endpoints)
{
    struct oak_errbuf e;
    int error = crowd_open(c, &e);
    for (const char *at = endpoints; *at != '\0' && error == 0;) {
        size_t size = strcspn(at, ",");
        char address[128];
        snprintf(address, sizeof(address), "%.*s", (int)OAK_MIN(size, sizeof(address) - 1), at);
        error = crowd_connect(c, address, &e);
        at += size + (at[size] == ',' ? 1 : 0);
    }
    if (error != 0) {
        fprintf(stderr, "%s\n", e.text);
    }
    return error == 0 && c->endpoint_count > 0;
}

void tool_key(uint64_t i, char out[TOOL_KEY_BYTES + 1])
{
    snprintf(out, TOOL_KEY_BYTES + 1, "key%08" PRIu64, i % 100000000);
}

void tool_value(uint64_t i, uint8_t *out, size_t size)
{
    struct oak_prng prng;
    oak_prng_init(&prng, i);
    for (size_t at = 0; at < size; at++) {
        out[at] = (uint8_t)('a' + oak_prng_below(&prng, 26));
    }
}

bool tool_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-';
}
