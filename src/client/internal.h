/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: a client, and its calls. */
#ifndef OAK_CLIENT_INTERNAL_H
#define OAK_CLIENT_INTERNAL_H

#include "oakum/client.h"
#include "port/port.h"
#include "proto/proto.h"

/* -- limits of this room ----------------------------------------------------------------------- */

/* First memory of a call, and what its answer may take once decoded, beside its own size. */
#define CLIENT_CHUNK_BYTES      (4 * OAK_KIB)
#define CLIENT_DECODE_BYTES_MAX ((size_t)3 * 1024 * OAK_MIB)
/* How often a call that was refused for its token is made again. */
#define CLIENT_RENEWALS_MAX 2

/* -- objects ----------------------------------------------------------------------------------- */

struct client_method {
    const char *service;
    const char *name;
    bool read;   /* may be made twice */
    bool secret; /* its request is wiped */
    /* What its response is; NULL: it is kept as bytes. */
    const ProtobufCMessageDescriptor *response;
    /* Take more of it than its header into the answer; may be NULL. 0 or an OAK_E code. */
    int (*fill)(struct oak_client_call *call, const ProtobufCMessage *response);
};

/* Whoever waits for a token. `go`: it is there, or it was refused with this answer. */
struct client_waiter {
    struct oak_list link; /* client->waiting */
    void (*go)(struct client_waiter *waiter, const struct oak_client_answer *refusal);
};

struct oak_client_call {
    struct oak_list link; /* client->calls */
    struct client_waiter waiter;
    struct oak_client *client;
    struct client_method method;
    struct oak_buf request;
    struct oak_rpc_call *rpc; /* NULL: it waits for a token */
    struct oak_arena arena;   /* of the answer */
    struct oak_client_answer answer;
    oak_client_done *done;
    void *user;
    uint64_t deadline_ns;
    uint64_t token; /* number of the one it was made with */
    unsigned renewals;
    struct oak_timer timer; /* while it waits for one */
    bool login;             /* it is what asks for a token */
    bool answered;          /* a response came */
    bool cancelled;
};

struct oak_client {
    const struct oak_loop *loop;
    struct oak_channel *channel;
    uint64_t call_timeout_ns;
    char *user; /* NULL: none */
    char *password;
    char *token;                   /* NULL: none yet */
    uint64_t tokens;               /* as many were had, or thrown away */
    struct oak_client_call *login; /* asks for one; NULL: nobody does */
    struct oak_list calls;
    struct oak_list waiting;      /* for a token: struct client_waiter */
    struct client_keeper *keeper; /* of leases; NULL until there is one */
    bool fail_fast;
    bool closing;
};

/* call.c */
/* A call to be made; its request is `bytes` if `request` is NULL. */
struct client_ask {
    struct client_method method;
    const ProtobufCMessage *request;
    struct oak_bytes bytes;
    uint64_t timeout_ns;
    oak_client_done *done;
    void *user;
};
OAK_MUST_USE int client__ask(struct oak_client *client, const struct client_ask *ask,
                             struct oak_client_call **out);
/* The same without a token: to get one. */
OAK_MUST_USE int client__ask_nobody(struct oak_client *client, const struct client_ask *ask,
                                    struct oak_client_call **out);
uint64_t client__now(const struct oak_client *client);

/* login.c */
/* A text that is nobody else's business goes, if there is one. */
void client__wipe(char **text);
/* Can a call show it? Else no call could be made with it. */
bool client__token_sound(const char *token);
/* Is a token needed, and not there? */
bool client__token_wanted(const struct oak_client *client);
/* Wait for one. 0, or why it can't be asked for. */
OAK_MUST_USE int client__token_wait(struct oak_client *client, struct client_waiter *waiter);
/* All that wait are told. */
void client__waiters_go(struct oak_client *client, const struct oak_client_answer *refusal);
/* Was it refused for its token, and is it of use to ask for another one? */
bool client__token_refused(const struct oak_client *client, int error);
/* The one with this number is no longer any good. */
void client__token_drop(struct oak_client *client, uint64_t token);
/* The metadata that says who calls: 0 or 1 pair. */
size_t client__pair(const struct oak_client *client, struct oak_rpc_pair *pair);

/* answer.c */
/* The OAK_E code of a status. */
int client__error(enum oak_rpc_code code, struct oak_bytes message);
/* That of a text of etcd's; 0: it is none. */
int client__error_of_text(struct oak_bytes message);
/* As it is without one. */
void client__header(const Etcdserverpb__ResponseHeader *header, struct oak_client_header *out);
/* Borrowed. */
void client__kv(const Mvccpb__KeyValue *kv, struct oak_client_kv *out);
/* Take a response into the call's answer, by its method. What it points to lies in the call's
 * arena. OAK_EREMOTE, OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int client__decode(struct oak_client_call *call, struct oak_bytes bytes);
/* What a response to an operation says: OAK_ELIMIT, and OAK_EREMOTE for what makes no sense. */
OAK_MUST_USE int client__range_result(struct oak_arena *arena,
                                      const Etcdserverpb__RangeResponse *response,
                                      struct oak_client_result *out);
OAK_MUST_USE int client__put_result(struct oak_arena *arena,
                                    const Etcdserverpb__PutResponse *response,
                                    struct oak_client_result *out);
OAK_MUST_USE int client__delete_result(struct oak_arena *arena,
                                       const Etcdserverpb__DeleteRangeResponse *response,
                                       struct oak_client_result *out);

/* keep.c */
/* oak_client_keep() of a lease that was asked for at `since_ns`. */
OAK_MUST_USE int client__keep(struct oak_client *client, int64_t id, int64_t ttl_s,
                              uint64_t since_ns, const struct oak_client_lease_callbacks *callbacks,
                              void *user, struct oak_client_lease **out);
void client__keeper_free(struct oak_client *client);

/* span.c */
struct client_keys {
    struct oak_bytes key;
    enum oak_client_span span;
    struct oak_bytes end;
};
/* The range that means them; what is not borrowed of them lies in the arena. OAK_ENOMEM,
 * OAK_EINVAL. */
OAK_MUST_USE int client__span(struct oak_arena *arena, const struct client_keys *keys,
                              ProtobufCBinaryData *key, ProtobufCBinaryData *end);

/* watch.c */
struct oak_client *client__watcher_client(const struct oak_client_watcher *watcher);

/* kv.c: oak_client_do(), with another way to read the response, unless `fill` is NULL */
OAK_MUST_USE int
client__do(struct oak_client *client, const struct oak_client_op *op,
           int (*fill)(struct oak_client_call *call, const ProtobufCMessage *response),
           uint64_t timeout_ns, oak_client_done *done, void *user, struct oak_client_call **out);
/* Requests; OAK_EINVAL, OAK_ENOMEM */
OAK_MUST_USE int client__range_request(struct oak_arena *arena, const struct oak_client_op *op,
                                       Etcdserverpb__RangeRequest *out);
OAK_MUST_USE int client__put_request(const struct oak_client_op *op, Etcdserverpb__PutRequest *out);
OAK_MUST_USE int client__delete_request(struct oak_arena *arena, const struct oak_client_op *op,
                                        Etcdserverpb__DeleteRangeRequest *out);

/* txn.c */
/* *reads: it does nothing else, and may be made twice. */
OAK_MUST_USE int client__txn_request(struct oak_arena *arena, const struct oak_client_txn *txn,
                                     Etcdserverpb__TxnRequest *out, bool *reads);
OAK_MUST_USE int client__txn_result(struct oak_arena *arena,
                                    const Etcdserverpb__TxnResponse *response,
                                    struct oak_client_result *out);

#endif
