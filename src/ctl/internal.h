/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the verbs share: flags, a client, one request at a time, and how an answer is
 * shown.
 *
 * A verb is a function with its table of flags. It begins (ctl__begin), asks (ctl__ask), shows
 * (ctl__show), and returns its exit code. What failed is told where it failed: on stderr, "Error: "
 * and the server's own words, as etcdctl has it, and a line of what to do about it.
 *
 * Threads: the main one; the loop turns while something is waited for.
 */
#ifndef OAK_CTL_INTERNAL_H
#define OAK_CTL_INTERNAL_H

#include <inttypes.h>
#include <stdio.h>

#include "args/args.h"
#include "ctl/ctl.h"
#include "oakum/client.h"
#include "json/json.h"
#include "os/os.h"
#include "port/port.h"
#include "proto/proto.h"

/* etcdctl's own. */
enum ctl__exit {
    CTL__OK = 0,
    CTL__FAILED = 1,
    CTL__NO_CONNECTION = 2,
    CTL__BAD_INPUT = 3,   /* what was read from stdin */
    CTL__BAD_FEATURE = 4, /* a flag with a value that it does not take */
    CTL__INTERRUPTED = 5,
    CTL__IO = 6,
    CTL__BAD_ARGS = 128,
};

enum ctl__format {
    CTL__SIMPLE,
    CTL__JSON,
    CTL__FIELDS,
    CTL__TABLE,
    CTL__PROTOBUF,
};

/* Words of one verb, of one endpoint list, and what one answer may take. */
#define CTL__OPERANDS_MAX       64
#define CTL__ENDPOINTS_MAX      32
#define CTL__ENDPOINT_BYTES_MAX ((size_t)256)
#define CTL__ANSWER_BYTES_MAX   ((size_t)INT32_MAX)
/* A value, or a transaction, that is read from stdin. */
#define CTL__INPUT_BYTES_MAX (64 * OAK_MIB)

/* Flags that all verbs have: options.c. */
struct ctl__options {
    struct oak_args_list endpoints;
    const char *format;
    const char *user;
    const char *password;
    const char *token;
    const char *cert;
    const char *key;
    const char *cacert;
    const char *discovery_srv;
    const char *discovery_srv_name;
    const char *context;           /* NULL: the one that is in use */
    const char *context_endpoints; /* what that one says */
    uint64_t dial_ns;
    uint64_t command_ns;
    uint64_t keepalive_ns;
    uint64_t keepalive_timeout_ns;
    uint64_t request_bytes_max;
    uint64_t response_bytes_max;
    bool hex;
    bool debug;
    bool insecure_transport;
    bool insecure_discovery;
    bool insecure_skip_verify;
};

struct ctl__endpoints {
    char items[CTL__ENDPOINTS_MAX][CTL__ENDPOINT_BYTES_MAX]; /* as they were given */
    size_t count;
    const char *server_name; /* by TLS, all prove to be this; NULL: each to be its host */
};

struct ctl__link; /* connect.c: a client of some endpoints, and what it needs */

struct ctl {
    struct ctl__options options;
    enum ctl__format format;
    bool values_only; /* simple: without keys */
    bool hex_ids;     /* json: --hex is for ids too: of members */
    bool in_txn;      /* the words are a line of a transaction: no options of all verbs */
    bool as_etcdctl;  /* that is the program's name: no word means more than it does there */
    const struct oak_args_command *command;

    struct oak_os_loop *os;
    struct ctl__link *link; /* to all endpoints; NULL until it is needed */
    struct oak_arena arena; /* answers, and what the verb keeps until its end */

    char password[OAK_CLIENT_NAME_BYTES_MAX + 1]; /* that a terminal was asked for, once */
};

struct ctl__words {
    const char *at[CTL__OPERANDS_MAX];
    size_t count;
    char *const *rest; /* behind "--", if the command wants it */
};

/* -- verbs ------------------------------------------------------------------------------------- */

/* Each gets the words from its own name's last word on. */
typedef int ctl__verb(struct ctl *c, int argc, char *const *argv);
ctl__verb ctl__get, ctl__put, ctl__del, ctl__txn, ctl__compaction;
ctl__verb ctl__lease_keep_alive, ctl__lock, ctl__elect, ctl__watch, ctl__mirror, ctl__make_mirror;
ctl__verb ctl__context_add, ctl__context_use, ctl__context_remove, ctl__context_list;
ctl__verb ctl__lease_grant, ctl__lease_revoke, ctl__lease_timetolive, ctl__lease_list;
ctl__verb ctl__endpoint_health, ctl__endpoint_status, ctl__endpoint_hashkv;
ctl__verb ctl__member_add, ctl__member_remove, ctl__member_update, ctl__member_promote;
ctl__verb ctl__member_list;
ctl__verb ctl__alarm_list, ctl__alarm_disarm, ctl__defrag, ctl__move_leader;
ctl__verb ctl__downgrade_validate, ctl__downgrade_enable, ctl__downgrade_cancel;
ctl__verb ctl__check_perf, ctl__check_datascale;
ctl__verb ctl__auth_enable, ctl__auth_disable, ctl__auth_status;
ctl__verb ctl__user_add, ctl__user_delete, ctl__user_get, ctl__user_list, ctl__user_passwd;
ctl__verb ctl__user_grant_role, ctl__user_revoke_role;
ctl__verb ctl__role_add, ctl__role_delete, ctl__role_get, ctl__role_list;
ctl__verb ctl__role_grant_permission, ctl__role_revoke_permission;

/* Does it have verbs of two words? */
bool ctl__is_group(const char *word);
/* What all verbs need; `fini` ends the connections. */
void ctl__init(struct ctl *c);
void ctl__fini(struct ctl *c);
/* The first keys that begin with `prefix`, in the arena; 0 also when nobody answers. */
size_t ctl__keys_find(struct ctl *c, const char *prefix, Mvccpb__KeyValue ***out);

ctl__verb ctl__export, ctl__snapshot_save, ctl__snapshot_status;

/* -- options ----------------------------------------------------------------------------------- */

#define CTL__OPTIONS_COUNT 23
/* The table of them, over `o`. */
void ctl__options_flags(struct ctl__options *o, struct oak_args_flag *out);
/* What holds without any flag, what the context says (`context`: its name, if a flag has it), and
 * the environment (ETCDCTL_ENDPOINTS ...). False: told, with an exit code. */
bool ctl__options_begin(struct ctl *c, const char *context, int *code);
/* contexts.c: what a context says goes to the options. False: told. */
bool ctl__contexts_apply(struct ctl *c, const char *flag, int *code);
/* The names there are. */
void ctl__contexts_each(void (*each)(void *user, const char *name), void *user);
/* where.c: the servers that are meant, one by one; the records of a domain are looked up. */
bool ctl__endpoints_read(struct ctl *c, struct ctl__endpoints *out, int *code);
/* "srv:_etcd-client._tcp.DOMAIN": the servers of --discovery-srv, as a client looks them up, and
 * again when it loses them. */
#define CTL__SRV_BYTES_MAX 512
bool ctl__srv_name(const struct ctl__options *o, char *out, size_t size, int *code);

/* Read the words of a verb, and what all verbs have. False: it ends with *code. */
bool ctl__begin(struct ctl *c, const struct oak_args_command *command, int argc, char *const *argv,
                struct ctl__words *words, int *code);

/* "Error: text", a line on stderr. Returns `code`. */
int ctl__error(int code, const char *format, ...) OAK_PRINTF(2, 3);
/* The id of a lease or member, in hexadecimal. False: told. */
bool ctl__hex_read(const char *text, const char *what, uint64_t *out, int *code);
/* The one operand, as such an id. */
bool ctl__id_read(const struct ctl *c, const struct ctl__words *words, const char *what,
                  uint64_t *out, int *code);
/* KEY [RANGE_END], and what --prefix and --from-key make of it. */
bool ctl__keys_read(struct ctl *c, const struct ctl__words *words, bool prefix, bool from_key,
                    ProtobufCBinaryData *key, ProtobufCBinaryData *end, int *code);
/* Are there so many operands? False: told, with what the verb wants. */
bool ctl__words_are(const struct ctl *c, const struct ctl__words *words, size_t count,
                    const char *wants, int *code);
/* A line without its end; a terminal does not show it, and is asked. */
bool ctl__password_ask(const char *prompt, char *out, size_t size, int *code);
/* All of stdin, into the arena. */
bool ctl__stdin_read(struct ctl *c, struct oak_bytes *out, int *code);

/* -- asking ------------------------------------------------------------------------------------ */

struct ctl__method {
    const char *service; /* "etcdserverpb.KV" */
    const char *name;
    const ProtobufCMessageDescriptor *response;
    bool read; /* may be made twice */
};

struct ctl__reply {
    int error; /* 0, or an OAK_E code */
    enum oak_rpc_code code;
    char text[512];             /* why it failed */
    ProtobufCMessage *response; /* in the arena */
    uint64_t took_ns;
};

/* The client of all endpoints; NULL: told, with an exit code. */
struct oak_client *ctl__client(struct ctl *c, int *code);
/* What shows who asks, in the arena; empty: nothing need be shown. False: told. */
bool ctl__token(struct ctl *c, struct oak_bytes *out, int *code);
/* Is TLS meant? An endpoint without a scheme goes by the flags. */
bool ctl__wants_tls(const struct ctl__options *o, const char *const *endpoints, size_t count);
/* One of this endpoint alone; by TLS it proves to be `server_name` (NULL: its host). Freed by
 * ctl__unlink. */
struct ctl__link *ctl__link_to(struct ctl *c, const char *endpoint, const char *server_name,
                               int *code);
/* One of all endpoints, beside the one that all verbs have. */
struct ctl__link *ctl__link_new(struct ctl *c, int *code);
struct oak_client *ctl__link_client(struct ctl__link *link);
/* One without a client: the network to speak HTTP/1 with this endpoint. */
struct ctl__link *ctl__link_http(struct ctl *c, const char *endpoint, const char *server_name,
                                 int *code);
const struct oak_net *ctl__link_net(struct ctl *c, struct ctl__link *link);
void ctl__unlink(struct ctl__link *link);

/* Ask, and wait. What came of it is in `reply`; nothing is told. */
void ctl__try(struct ctl *c, struct oak_client *client, const struct ctl__method *method,
              const ProtobufCMessage *request, struct ctl__reply *reply);
/* The same of all endpoints; a failure is told. Gives the response, or NULL and an exit code. */
const void *ctl__ask(struct ctl *c, const struct ctl__method *method,
                     const ProtobufCMessage *request, int *code);
/* Why it failed. */
const char *ctl__reply_text(const struct ctl__reply *reply);
/* Tell a failure, and what to do about it. Returns the exit code. */
int ctl__reply_error(const struct ctl__reply *reply);

/* A request that is under way. It stays where it is until it is done. */
struct ctl__pending {
    struct ctl *c;
    const struct ctl__method *method;
    struct ctl__reply *reply;
    uint64_t began_ns;
    bool done;
};
void ctl__send(struct ctl *c, struct oak_client *client, const struct ctl__method *method,
               const ProtobufCMessage *request, struct ctl__pending *out, struct ctl__reply *reply);
void ctl__wait(struct ctl__pending *pending);

/* Each endpoint alone, with a client of its own; each.c. */
struct ctl__each {
    struct ctl__endpoints at;
    struct ctl__link *links[CTL__ENDPOINTS_MAX];
    struct ctl__reply replies[CTL__ENDPOINTS_MAX];
    bool left_out[CTL__ENDPOINTS_MAX]; /* is not asked, and keeps its reply */
};
/* The endpoints that are meant, or with `cluster` those that the members tell. NULL: told, with an
 * exit code. */
struct ctl__each *ctl__each_new(struct ctl *c, bool cluster, int *code);
void ctl__each_free(struct ctl__each *each);
/* Ask all at the same time, and wait for all. */
void ctl__each_ask(struct ctl *c, struct ctl__each *each, const struct ctl__method *method,
                   const ProtobufCMessage *request);

/* -- commands of the user's -------------------------------------------------------------------- */

/* Run argv, whose output is ours, with these "NAME=value" in its environment too. False: told. */
bool ctl__run(struct ctl *c, const char *const *argv, const char *const *more, size_t count,
              bool input, void (*exited)(void *user, int64_t code, int signal), void *user,
              struct oak_os_child **out);
/* Tell how it ended, unless it ended well. True: it did. */
bool ctl__run_well(const char *const *argv, int64_t code, int signal);

/* Lines of stdin, while the loop turns. */
struct ctl__lines;
/* `line` gets each without its end, from the loop; NULL: that was the last. */
bool ctl__lines_new(struct ctl *c, void (*line)(void *user, const char *text), void *user,
                    struct ctl__lines **out, int *code);
/* Not from `line`. NULL is fine. */
void ctl__lines_free(struct ctl__lines *lines);

/* -- showing ----------------------------------------------------------------------------------- */

/* How an answer looks in each format. `about` is what the verb knows beside it. NULL: as it says
 * there. */
typedef void ctl__shower(struct ctl *c, const void *message, const void *about);
struct ctl__view {
    ctl__shower *simple;
    ctl__shower *json;   /* NULL: the message, as etcdctl has it */
    ctl__shower *fields; /* NULL: not in this format */
    ctl__shower *table;  /* NULL: not in this format */
};

int ctl__show(struct ctl *c, const struct ctl__view *view, const ProtobufCMessage *message,
              const void *about);
/* ctl__ask, and ctl__show of what was answered. Returns the exit code. */
int ctl__ask_and_show(struct ctl *c, const struct ctl__method *method,
                      const ProtobufCMessage *request, const struct ctl__view *view,
                      const void *about);
/* The same for an answer without anything in it: what was done is said, in the format simple. */
int ctl__ask_and_say(struct ctl *c, const struct ctl__method *method,
                     const ProtobufCMessage *request, const char *said);

/* json.c: as Go's encoding/json writes etcd's messages. With `hex`, ids are hexadecimal texts. */
int ctl__json_message(struct oak_buf *out, const ProtobufCMessage *message, bool hex);
int ctl__json_text(struct oak_buf *out, struct oak_bytes text);
/* A member of an object that Go writes from a struct: a comma before it if it is not the first. */
int ctl__json_name(struct oak_buf *out, const char *name);
/* "{" and the members of a header: what follows are names, and "}". */
int ctl__json_header(struct oak_buf *out, const Etcdserverpb__ResponseHeader *header);
void ctl__json_print(const struct oak_buf *text, int error);

/* text.c: texts as Go's fmt has them, and sizes as etcdctl's tables do. In the arena; "" without
 * memory for them. */
const char *ctl__printf(struct ctl *c, const char *format, ...) OAK_PRINTF(2, 3);
const char *ctl__duration(struct ctl *c, uint64_t ns);   /* 1.5s, 823.4µs */
const char *ctl__byte_size(struct ctl *c, int64_t size); /* 20 kB */
const char *ctl__joined(struct ctl *c, char *const *items, size_t count, const char *between);
/* Go's %q; \x6b\x65\x79; and keys with their values, a line each. */
void ctl__quoted_print(struct oak_bytes text);
void ctl__quoted_write(FILE *out, struct oak_bytes text);
void ctl__bytes_print(const struct ctl *c, struct oak_bytes bytes);
void ctl__kv_print(const struct ctl *c, const Mvccpb__KeyValue *kv);

/* fields.c */
void ctl__fields_header(const struct ctl *c, const Etcdserverpb__ResponseHeader *header);
void ctl__fields_kv(const struct ctl *c, const char *before, const Mvccpb__KeyValue *kv);
/* "Name" : 17, or in hexadecimal: of a member or cluster. */
void ctl__fields_id(const struct ctl *c, const char *name, uint64_t id);
/* "Name" : 17, or as 16 hexadecimal digits. */
void ctl__fields_lease(const struct ctl *c, const char *name, int64_t id);

/* "Name" : "text", quoted. */
void ctl__fields_text(const char *name, const char *text);

/* table.c: a frame around columns. Cells are rows × columns texts; titles become capitals. */
void ctl__table_print(const char *const *titles, size_t columns, const char *const *cells,
                      size_t rows);
/* The same cells in the format "simple": a line for each row. */
void ctl__rows_print(size_t columns, const char *const *cells, size_t rows);

/* role.c: what a role permits. */
int ctl__role_show(struct ctl *c, const char *name);

/* kv.c: the end of all that begin with `key`; a zero byte: everything behind it. */
ProtobufCBinaryData ctl__prefix_end(struct ctl *c, struct oak_bytes key);
/* For transactions: a request by the words of put, get and del, in the arena. */
bool ctl__put_read(struct ctl *c, int argc, char *const *argv, Etcdserverpb__PutRequest *out,
                   int *code);
bool ctl__get_read(struct ctl *c, int argc, char *const *argv, Etcdserverpb__RangeRequest *out,
                   int *code);
bool ctl__del_read(struct ctl *c, int argc, char *const *argv,
                   Etcdserverpb__DeleteRangeRequest *out, int *code);
/* and what came of them */
extern const struct ctl__view ctl__put_view, ctl__get_view, ctl__del_view;

#endif
