/* SPDX-License-Identifier: Apache-2.0 */
/* plugin.h: protoc-gen-oakum: C for the services of .proto files, beside protoc-c's messages.
 *
 * protoc starts the program with a CodeGeneratorRequest on standard input and takes a
 * CodeGeneratorResponse from standard output. For each file.proto it makes file.oak.h and
 * file.oak.c, which stand on oakum/stub.h; same input, same bytes.
 */
#ifndef OAK_PLUGIN_H
#define OAK_PLUGIN_H

#include "base/base.h"

/* A request is refused when it is larger, and so is a response. */
#define OAK_PLUGIN_BYTES_MAX (256 * OAK_MIB)

/* Append the response to a request. What can't be made of the .proto files is said in the response;
 * an error is of the request itself: OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int oak_plugin_run(struct oak_bytes request, struct oak_buf *response);

#endif
