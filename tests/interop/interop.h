/* SPDX-License-Identifier: Apache-2.0 */
/* interop.h: what our interop client and server share: flags as the official interop programs have
 * them, and payloads. */
#ifndef TESTS_INTEROP_INTEROP_H
#define TESTS_INTEROP_INTEROP_H

#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "oakum/rpc.h"
#include "oakum/tls.h"

#include <test.pb-c.h>

#define INTEROP_ECHO_INITIAL  "x-grpc-test-echo-initial"
#define INTEROP_ECHO_TRAILING "x-grpc-test-echo-trailing-bin"
/* Larger than any message of a case. */
#define INTEROP_MESSAGE_BYTES_MAX (4 * OAK_MIB)

/* A flag is given as "--name=value" or, where it is true or false, as "--name". */
struct interop_flag {
    const char *name;
    const char *value; /* its default before, what was given after */
};
/* False, with a word on stderr: an unknown flag. */
bool interop_flags_read(struct interop_flag *flags, size_t count, int argc, char **argv);
const char *interop_text(const struct interop_flag *flags, const char *name);
bool interop_true(const struct interop_flag *flags, const char *name);
long interop_number(const struct interop_flag *flags, const char *name);

/* The loop's network, or TLS over it (--use_tls), as that of a loop that is the same otherwise. */
struct interop_net {
    struct oak_loop loop;
    struct oak_tls *tls;
    struct oak_tls_net *net;
};
void interop_report(void *user, const char *peer, int error, const char *text);
void interop_net_open(struct interop_net *net, const struct oak_loop *loop,
                      const struct oak_tls_options *options);
void interop_net_close(struct interop_net *net);

/* Of a method of grpc.testing.TestService; one that it has not is unary. */
enum oak_rpc_kind interop_kind(const char *method);
/* So many zeros; `body` is to be freed. */
void interop_payload(Grpc__Testing__Payload *payload, size_t size);
/* Say what went wrong, and end with code 1. */
_Noreturn void interop_fail(const char *format, ...) OAK_PRINTF(1, 2);

#endif
