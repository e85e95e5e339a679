/* SPDX-License-Identifier: Apache-2.0 */
/* main.c: the program protoc-gen-oakum, which protoc starts. */
#include <stdio.h>
#include <stdlib.h>

#include "plugin/plugin.h"

static int read_all(FILE *from, struct oak_buf *out)
{
    while (out->size <= OAK_PLUGIN_BYTES_MAX) {
        int error = oak_buf_reserve(out, 64 * OAK_KIB);
        if (error != 0) {
            return error;
        }
        size_t got = fread(out->data + out->size, 1, out->capacity - out->size, from);
        if (got == 0) {
            return ferror(from) ? OAK_EIO : 0;
        }
        out->size += got;
    }
    return OAK_ELIMIT;
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        fputs("protoc starts this program:\n"
              "    protoc --plugin=protoc-gen-oakum=PATH --oakum_out=DIR file.proto\n",
              stderr);
        return 2;
    }
    struct oak_buf request = {0};
    struct oak_buf response = {0};
    int error = read_all(stdin, &request);
    if (error == 0) {
        error = oak_plugin_run(oak_buf_bytes(&request), &response);
    }
    if (error == 0 &&
        (fwrite(response.data, 1, response.size, stdout) != response.size || fflush(stdout) != 0)) {
        error = OAK_EIO;
    }
    if (error != 0) {
        fprintf(stderr, "protoc-gen-oakum: %s\n", oak_error_text(error));
    }
    oak_buf_fini(&request);
    oak_buf_fini(&response);
    return error != 0;
}
