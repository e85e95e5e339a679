/* SPDX-License-Identifier: Apache-2.0 */
/* client.h: calls that wait. The library never blocks; here a function runs the loop until what it
 * waits for has happened, so that a case reads from top to bottom. */
#ifndef TESTS_INTEROP_CLIENT_H
#define TESTS_INTEROP_CLIENT_H

#include "oakum/channel.h"
#include "tests/interop/interop.h"

struct client {
    struct oak_os_loop *os;
    struct interop_net net;
    struct oak_channel *channel;
    const struct interop_flag *flags;
};

/* A message that came. */
struct flight_message {
    struct flight_message *next;
    bool compressed;
    size_t size;
    uint8_t bytes[];
};

/* A call, and what came of it. */
struct flight {
    struct client *client;
    struct oak_rpc_call *call;
    struct flight_message *first;
    struct flight_message **last;
    bool closed;
    enum oak_rpc_code code;
    char message[512];
    char initial[64]; /* the echoed header, and the echoed trailer */
    size_t initial_size;
    char trailing[64];
    size_t trailing_size;
};

enum compress { AS_IS, COMPRESSED };

void client_open(struct client *client);
void client_close(struct client *client);

struct flight_options {
    const char *service; /* NULL: grpc.testing.TestService */
    uint64_t timeout_ns;
    bool echo;       /* with metadata to be sent back */
    bool compresses; /* some of its messages will be */
};
void flight_begin(struct flight *f, struct client *client, const char *method,
                  struct flight_options options);
/* False: the call has ended. */
bool flight_send(struct flight *f, const ProtobufCMessage *message, enum compress compress);
/* The next message, to be freed with protobuf_c_message_free_unpacked; NULL: none will come. */
ProtobufCMessage *flight_receive(struct flight *f, const ProtobufCMessageDescriptor *type,
                                 bool *compressed);
/* Wait for the end. */
void flight_end(struct flight *f);
/* Forget messages that nobody took. */
void flight_free(struct flight *f);

void flight_check(const struct flight *f, enum oak_rpc_code code);

#endif
