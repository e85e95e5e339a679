/* SPDX-License-Identifier: Apache-2.0 */
/* config_yaml_fuzz.c: any bytes as a configuration file. Either an explained error, or a
 * configuration that passes its own check and can be born or refused. */
#include "server/config_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const argv[] = {"oakum", NULL};
    static const char *const env[] = {NULL};
    struct oak_config_input input = {.argc = 1, .argv = argv, .env = env};
    struct oak_config config;
    struct oak_errbuf e = {0};
    int error = oak_config_load(&input, &config, &e);
    OAK_ASSERT_EQ(error, 0);
    struct config__loader l = {.config = &config, .e = &e};
    error = config__yaml_read(&l, oak_bytes(data, size));
    if (error == 0) {
        error = config__check(&l);
    }
    OAK_IMPLIES(error != 0, e.text[0] != '\0');
    if (error == 0) {
        struct oak_config_cluster cluster;
        if (oak_config_bootstrap(&config, &cluster, &e) == 0) {
            OAK_ASSERT_GT(cluster.member_count, 0);
        }
    }
    oak_config_fini(&config);
    return 0;
}
