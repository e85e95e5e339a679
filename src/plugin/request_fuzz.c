/* SPDX-License-Identifier: Apache-2.0 */
/* request_fuzz.c: any bytes are a request or an error; what is answered decodes, and holds files or
 * an error. */
#include <stdlib.h>

#include "plugin/plugin.h"
#include "schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_buf response = {0};
    if (oak_plugin_run(oak_bytes(data, size), &response) == 0) {
        Oakschema__GeneratorResponse *r =
            oakschema__generator_response__unpack(NULL, response.size, response.data);
        OAK_ASSERT(r != NULL);
        OAK_ASSERT(r->error == NULL || r->n_file == 0);
        OAK_ASSERT_EQ(r->n_file % 2, 0);
        oakschema__generator_response__free_unpacked(r, NULL);
    }
    oak_buf_fini(&response);
    return 0;
}
