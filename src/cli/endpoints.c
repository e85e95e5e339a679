/* SPDX-License-Identifier: Apache-2.0 */
/* endpoints.c: the servers that a command talks to. */
#include "cli/internal.h"

#include <stdlib.h>

static int endpoint_read(const char *text, size_t size, struct cli__endpoints *out,
                         struct oak_errbuf *e)
{
    const char *host = text;
    if (size > 7 && strncmp(text, "http://", 7) == 0) {
        host += 7;
        size -= 7;
    } else if (size > 8 && strncmp(text, "https://", 8) == 0) {
        return oak_fail(e, OAK_EUNIMPLEMENTED, "%.*s: https is not supported yet in this version",
                        (int)OAK_MIN(size, 128), text);
    }
    if (size > 0 && host[size - 1] == '/') {
        size--;
    }
    char *kept = out->items[out->count];
    if (size == 0 || size >= sizeof(out->items[0])) {
        return oak_fail(e, OAK_EINVAL, "\"%.*s\" is not an endpoint such as 127.0.0.1:2379",
                        (int)OAK_MIN(size, 128), text);
    }
    memcpy(kept, host, size);
    kept[size] = '\0';
    const char *colon = strrchr(kept, ':');
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    bool port = digits > 0 && digits <= 5 && colon[1 + digits] == '\0' && colon != kept;
    if (!port || strpbrk(kept, "/ \"") != NULL || strtol(colon + 1, NULL, 10) > 65535) {
        return oak_fail(e, OAK_EINVAL, "\"%s\" is not an endpoint such as 127.0.0.1:2379", kept);
    }
    out->count++;
    return 0;
}

int cli__endpoints_read(const char *text, struct cli__endpoints *out, struct oak_errbuf *e)
{
    out->count = 0;
    if (text == NULL || text[0] == '\0') {
        text = getenv("ETCDCTL_ENDPOINTS");
    }
    if (text == NULL || text[0] == '\0') {
        text = "127.0.0.1:2379";
    }
    for (;;) {
        size_t size = strcspn(text, ",");
        if (out->count == CLI__ENDPOINTS_MAX) {
            return oak_fail(e, OAK_ELIMIT, "more than %d endpoints", CLI__ENDPOINTS_MAX);
        }
        int error = endpoint_read(text, size, out, e);
        if (error != 0 || text[size] == '\0') {
            return error;
        }
        text += size + 1;
    }
}
