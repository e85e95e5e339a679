/* SPDX-License-Identifier: Apache-2.0 */
/* config_fuzz.c: any text is a service config or refused with the reason; its rules are found, and
 * keep to what gRFC A6 demands of them. */
#include <stdlib.h>

#include "channel/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct channel_config *c)
{
    for (size_t i = 0; i < c->name_count; i++) {
        const char *path = c->names[i].path;
        const struct channel_rule *rule = c->names[i].rule;
        OAK_ASSERT(path[0] == '\0' || path[0] == '/');
        OAK_ASSERT(i == 0 || strcmp(c->names[i - 1].path, path) < 0);
        OAK_ASSERT(rule->retry.attempts_max == 0 || rule->hedge.attempts_max == 0);
        OAK_ASSERT(rule->retry.attempts_max <= CHANNEL_ATTEMPTS_MAX);
        OAK_ASSERT(rule->retry.attempts_max == 0 || rule->retry.codes != 0);
        const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;
        if (slash != NULL && strchr(slash + 1, '/') == NULL) {
            char *service = strndup(path + 1, (size_t)(slash - path) - 1);
            OAK_ASSERT(service != NULL);
            OAK_ASSERT(channel__config_find(c, service, slash + 1) == rule);
            free(service);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    OAK_ASSERT(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    struct channel_config c;
    struct oak_errbuf e = {{0}};
    int error = channel__config_read(text, &c, &e);
    if (error == 0) {
        check(&c);
        channel__config_fini(&c);
    } else {
        OAK_ASSERT(e.text[0] != '\0' && c.names == NULL);
    }
    free(text);
    return 0;
}
