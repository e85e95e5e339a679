/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: the one struct that knows every real part. */
#ifndef OAK_SERVER_INTERNAL_H
#define OAK_SERVER_INTERNAL_H

#include "api/api.h"
#include "gateway/gateway.h"
#include "oakum/jsonrpc.h"
#include "oakum/services.h"
#include "observe/observe.h"
#include "os/os.h"
#include "peer/peer.h"
#include "replica/replica.h"
#include "server/config.h"
#include "server/identity.h"
#include "server/logsink.h"
#include "server/secure.h"
#include "server/slow.h"
#include "server/sniff.h"

#define LISTENERS_MAX (4 * OAK_CONFIG_URLS_MAX + 1)

#define HOSTS_MAX       64
#define HOSTS_BYTES_MAX 4096

struct server {
    struct oak_config config;
    struct identity identity;
    struct logsink sink;
    const struct oak_log *log;
    const struct oak_loop *port;
    const struct oak_disk *disk;
    struct oak_clock clock;
    struct oak_os_faults *faults; /* NULL: as always */

    struct oak_os_loop *loop;
    struct oak_os_actor *log_writer;
    struct oak_os_actor *worker;
    struct oak_os_actor *hasher; /* of passwords: nothing that is urgent waits behind them */
    struct oak_os_actor *scribe; /* of snapshots for clients */
    struct oak_jwt *jwt;         /* NULL: simple tokens */
    struct oak_os_lock *lock;
    struct oak_store *store;
    struct oak_journal *journal;
    struct oak_replica *replica;
    struct oak_rpc_server *client_rpc;
    struct oak_rpc_server *peer_rpc;
    struct oak_peers *peers;
    struct oak_api *api;
    struct oak_health *health;
    struct oak_reflection *reflection;  /* NULL: not asked for */
    struct oak_jsonrpc_server *jsonrpc; /* NULL: not asked for */
    struct oak_http_server *client_http;
    struct oak_http_server *metrics_http;
    struct oak_gateway *gateway;
    struct oak_transcode *etcd_gateway; /* NULL: not asked for */
    struct oak_observe *observe;
    struct oak_api_member members[OAK_CONFIG_MEMBERS_MAX];
    char scratch_dir[4096]; /* files of such snapshots */

    struct secure secure;
    struct slow slow;
    struct sniff client_sniff;
    struct sniff peer_sniff;
    struct sniff metrics_sniff;
    struct sniff http_sniff;
    struct oak_listener *listeners[LISTENERS_MAX];
    const char *hosts[HOSTS_MAX]; /* of --host-whitelist, which is cut in `hosts_text` */
    char hosts_text[HOSTS_BYTES_MAX];
    const struct oak_net *listener_nets[LISTENERS_MAX]; /* that each belongs to */
    size_t listener_count;

    struct oak_timer drain_timer;
    bool draining;
    bool resigned; /* the replica has handed over what it led */
    bool journal_closed;
    bool removed; /* other members say that it was, and it stops */
};

/* wire.c: parts made in order, and unmade in reverse; safe on a half-made server. */
int server__make(struct server *s, struct oak_errbuf *e);
void server__unmake(struct server *s);
/* listen.c */
int server__listen(struct server *s, struct oak_errbuf *e);
void server__listen_stop(struct server *s);
/* members.c: of the replica: the connections follow. */
void server__members_changed(void *user, const struct oak_raft_config *config);
/* join.c: ids of the cluster that is there, for the rows of --initial-cluster. */
OAK_MUST_USE int server__join(struct server *s, struct oak_config_cluster *cluster,
                              struct oak_errbuf *e);
/* data.c: the data directory: made, locked, and whose it is. */
int server__data_open(struct server *s, struct oak_errbuf *e);
/* ... and those above it that are missing. */
OAK_MUST_USE int server__directory_make(const struct oak_disk *disk, const char *dir,
                                        struct oak_errbuf *e);
/* restored.c: nobody starts in what an interrupted restore has left. */
OAK_MUST_USE int server__restored_check(const struct server *s, struct oak_errbuf *e);
/* waldir.c: where the log is, from a member's birth on; NULL in *out: in the data directory. */
int server__wal_dir(const struct server *s, const char **out, struct oak_errbuf *e);
/* What the file <data>/wal-dir says, "" when there is none. */
OAK_MUST_USE int server__wal_dir_told(const struct oak_disk *disk, const char *path, char *out,
                                      size_t size);
/* mend.c: the store, opened; a damaged one is set aside when there are peers to fill a new one. */
int server__store_open(struct server *s, struct oak_errbuf *e);
/* Damage was found in it: the next start sets it aside. */
void server__store_suspect(const struct server *s);
bool server__may_repair(const struct server *s);
/* tokens.c: how --auth-token makes tokens. */
int server__tokens_make(struct server *s, struct oak_errbuf *e);
/* server.c */
/* Another member says that this one was removed. */
void server__removed(void *user, uint64_t peer);
void server__fatal(void *user, int error, const char *text);

#endif
