/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"

#include <stdlib.h>

static void *libc_resize(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

struct oak_alloc oak_alloc_libc(void)
{
    return (struct oak_alloc){.resize = libc_resize};
}
