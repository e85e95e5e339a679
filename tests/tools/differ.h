/* SPDX-License-Identifier: Apache-2.0 */
/* differ.h: what the parts of the random differential test share. */
#ifndef OAK_TESTS_DIFFER_H
#define OAK_TESTS_DIFFER_H

#include "proto/proto.h"

enum differ_method {
    DIFFER_RANGE,
    DIFFER_PUT,
    DIFFER_DELETE,
    DIFFER_TXN,
    DIFFER_COMPACT,
    DIFFER_METHODS,
};

/* What the generator knows of the stores: requests about revisions aim near the newest. */
struct differ_world {
    struct oak_prng prng;
    int64_t revision;
    int64_t compacted;
    bool ignoring; /* puts of the current transaction may ignore; then no delete is open-ended */
};

/* The next request, in the arena. NULL without memory. */
ProtobufCMessage *differ_make(struct differ_world *world, struct oak_arena *arena,
                              enum differ_method *method);

/* Take out of a response what may differ between two correct servers: ids and terms, and the order
 * of pairs that a request's own sort target does not tell apart. */
void differ_normalise(enum differ_method method, const ProtobufCMessage *request,
                      ProtobufCMessage *response);

/* Any message as text, for people. */
void differ_print(const ProtobufCMessage *message, unsigned indent);

#endif
