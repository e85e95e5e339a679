/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the commands of the program share.
 *
 * Exit codes: 0 done, 1 it failed, 2 the command was not understood. Results go to stdout,
 * everything else to stderr.
 *
 * Threads: the main one. A command runs one loop (os.h), again and again, until what it waits for
 * is there: callbacks only note what came and stop the loop.
 */
#ifndef OAK_CLI_INTERNAL_H
#define OAK_CLI_INTERNAL_H

#include <stdio.h>

#include "args/args.h"
#include "os/os.h"
#include "proto/proto.h"
#include "oakum/channel.h"
#include "oakum/rpc.h"
#include "port/port.h"

enum cli__exit {
    CLI__EXIT_OK = 0,
    CLI__EXIT_FAILED = 1,
    CLI__EXIT_MISUSED = OAK_ARGS_EXIT_MISUSED,
};

#define CLI__SECOND_NS UINT64_C(1000000000)
#define CLI__MS_NS     UINT64_C(1000000)

/* Endpoints that one command talks to: seven members, and some room. */
#define CLI__ENDPOINTS_MAX 32

/* -- commands ---------------------------------------------------------------------------------- */

struct cli__entry {
    const char *name;
    const char *summary;
    int (*run)(int argc, char *const *argv);
    bool has_flags; /* read by oak_args_parse() */
};

/* Each gets the words from its own name on. */
int cli__up(int argc, char *const *argv);
int cli__status(int argc, char *const *argv);
int cli__bench(int argc, char *const *argv);
int cli__chaos(int argc, char *const *argv);
int cli__snapshot(int argc, char *const *argv);
int cli__snapshot_restore(int argc, char *const *argv);
int cli__import(int argc, char *const *argv);
int cli__repl(int argc, char *const *argv);
int cli__completion(int argc, char *const *argv);
/* What the last word could become: "word", a tab, what it means, a line each. */
int cli__complete(const struct cli__entry *commands, size_t command_count, int argc,
                  char *const *argv);

/* -- endpoints --------------------------------------------------------------------------------- */

struct cli__endpoints {
    char items[CLI__ENDPOINTS_MAX][128]; /* "host:port" */
    size_t count;
};

/* "http://a:1,b:2"; NULL or empty: $ETCDCTL_ENDPOINTS, or 127.0.0.1:2379. OAK_EINVAL, OAK_ELIMIT,
 * OAK_EUNIMPLEMENTED (https). */
int cli__endpoints_read(const char *text, struct cli__endpoints *out, struct oak_errbuf *e);

/* -- one-shot calls ---------------------------------------------------------------------------- */

/* One unary call. Set the first part; the rest is the result. */
struct cli__call {
    const char *endpoint;
    const char *service;
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;

    int error;                  /* 0, or OAK_E…: of the transport, or of decoding */
    enum oak_rpc_code status;   /* with error 0 */
    ProtobufCMessage *response; /* with error 0 and status OK; lives in `arena` */
    struct oak_errbuf text;     /* why it failed, for a person */
    uint64_t took_ns;

    struct oak_arena arena;
    struct oak_channel *channel;
    struct cli__calls *run;
    bool done;
};

/* Make all calls at once, each on a connection of its own, and wait for all. A host that refuses
 * the connection fails its call at once. True: every call has its response. `fini` is owed for
 * each. */
bool cli__calls(struct oak_os_loop *loop, struct cli__call *calls, size_t count,
                uint64_t timeout_ns);
void cli__calls_fini(struct cli__call *calls, size_t count);

/* -- one HTTP GET ------------------------------------------------------------------------------ */

/* Answers longer than this are refused: /metrics of etcd has some 150 KiB. */
#define CLI__GET_BYTES_MAX (8 * OAK_MIB)

struct cli__get {
    const char *endpoint; /* "host:port" */
    const char *path;
    void (*done)(struct cli__get *get); /* from the loop, once; NULL: look at `finished` */
    void *user;

    bool finished;         /* and nothing of it is left in the loop */
    int error;             /* OAK_E…; 0: an answer is there */
    int status;            /* 200 */
    struct oak_bytes body; /* within `bytes` */
    struct oak_buf bytes;

    const struct oak_loop *loop;
    struct oak_os_loop *os;
    struct oak_stream *stream;
    struct oak_timer timer;
    bool connecting;
    bool decided;
};

/* Start it. `get` stays where it is until done; then start it again, or fini. */
void cli__get_start(struct oak_os_loop *loop, struct cli__get *get, uint64_t timeout_ns);
/* All of them, and wait. */
void cli__gets(struct oak_os_loop *loop, struct cli__get *gets, size_t count, uint64_t timeout_ns);
void cli__get_fini(struct cli__get *get);
/* Cut an HTTP answer into status and body. OAK_EFORMAT. */
int cli__http_read(struct oak_bytes text, int *status, struct oak_bytes *body);

/* The value of a metric without labels in Prometheus' text; false when it is not there. */
bool cli__metric_find(struct oak_bytes text, const char *name, double *out);

/* -- processor time ---------------------------------------------------------------------------- */

/* Seconds used by the processes "17,18,19", together. False: one of them is not there. */
bool cli__cpu_pids_seconds(const char *pids, double *out);
/* Seconds used by the servers at the endpoints, together, by their own metrics. */
bool cli__cpu_endpoints_seconds(struct oak_os_loop *loop, const struct cli__endpoints *endpoints,
                                double *out);

/* -- tables ------------------------------------------------------------------------------------ */

/* Print rows of cells in columns as wide as their widest cell. `cells` has rows × columns texts;
 * NULL counts as empty. */
void cli__table_print(FILE *out, const char *const *cells, size_t rows, size_t columns);
/* "12.3 MB", in `out` of at least 32 bytes. */
const char *cli__size_text(uint64_t bytes, char *out);

/* -- progress ---------------------------------------------------------------------------------- */

/* A line on stderr, where that is a terminal. */
struct cli__progress {
    bool shown;
    bool drawn;
    const char *what; /* that is drawn */
    uint64_t drawn_ns;
    struct oak_clock clock;
};
void cli__progress_init(struct cli__progress *p);
/* `user` is it: as struct oak_restore_progress wants it. `what` is kept. */
void cli__progress_tell(void *user, const char *what, uint64_t done, uint64_t total);
/* The line goes. */
void cli__progress_end(struct cli__progress *p);

#endif
