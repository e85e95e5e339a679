/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c: etcdserverpb.Maintenance/Snapshot: the state of this member as the file of etcd's
 * database, in messages of 32 KiB, and its SHA-256 in a last one.
 *
 *            over                 read             the client takes more
 *     MAKING ────▶ (made) ──▶ READING ────▶ (sent) ─────────────────────▶ READING
 *        │ piece                  │ the digest was sent, or anything failed
 *        └──▶ MAKING              └────▶ DROPPING ──▶ gone
 *
 * Happy path   1 a view of the store, on the loop 2 an actor that may take its time makes the file,
 *              a piece at a time 3 it reads a blob, which is sent, and the next one once the client
 *              has taken what is queued 4 the files go, at the actor too
 * Can fail     too many at a time; little space on the disk, at the start or later, so that a
 *              snapshot never takes what the log needs; the disk, the store. What fails ends the
 *              call, before a single byte or in the middle, where the client sees by the status,
 *              the remaining bytes and the missing digest that it has no snapshot.
 * Invariants   a client that is gone stops the work at the end of a piece. One that reads slowly
 *              holds one blob and its queue, and nobody else back.
 * Thread       the loop's, but `work`: the actor's.
 */
#include "api/internal.h"

#include <stdlib.h>

#include "backup/backup.h"

enum stage {
    MAKING,
    READING,
    DROPPING,
};

struct api_snapshot {
    struct oak_task task;
    struct oak_api *api;
    struct oak_list link;
    struct api_call *call; /* NULL: nobody wants it any more */
    struct oak_backup *backup;
    enum stage stage;
    bool busy;     /* it is the actor's */
    bool over;     /* MAKING: that was the last piece */
    int error;     /* READING */
    size_t got;    /* into `blob` */
    uint64_t size; /* of the file */
    uint64_t left; /* of the file; 0: what comes now is the digest */
    uint8_t blob[OAK_BACKUP_BLOB_BYTES_MAX];
};

static void snapshot_free(struct api_snapshot *s)
{
    OAK_ASSERT(s->call == NULL && !s->busy);
    OAK_ASSERT_GT(s->api->snapshot_count, 0);
    s->api->snapshot_count--;
    oak_list_remove(&s->link);
    oak_backup_free(s->backup);
    free(s);
}

static void back(struct oak_task *task);

static void work(struct oak_task *task)
{
    struct api_snapshot *s = OAK_CONTAINER_OF(task, struct api_snapshot, task);
    const struct oak_loop *loop = s->api->options.loop;
    if (s->stage == MAKING) {
        s->over = oak_backup_run(s->backup, OAK_BACKUP_PIECE_BYTES_MAX);
    } else if (s->stage == READING) {
        s->error = oak_backup_read(s->backup, s->blob, sizeof(s->blob), &s->got);
    } else {
        oak_backup_drop(s->backup);
    }
    s->task = (struct oak_task){.run = back};
    loop->exec.post(loop->exec.user, &s->task);
}

static void post(struct api_snapshot *s, enum stage stage)
{
    const struct oak_exec *scribe = &s->api->options.scribe;
    OAK_ASSERT(!s->busy);
    s->stage = stage;
    s->busy = true;
    s->task = (struct oak_task){.run = work};
    scribe->post(scribe->user, &s->task);
}

/* Nobody wants it: what is on disk goes. */
static void drop(struct api_snapshot *s)
{
    oak_backup_release(s->backup);
    post(s, DROPPING);
}

/* The call has no more to do with it. */
static struct api_call *leave(struct api_snapshot *s)
{
    struct api_call *call = s->call;
    call->closed = NULL;
    call->held = NULL;
    s->call = NULL;
    if (!s->busy) {
        drop(s);
    }
    return call;
}

static void fail(struct api_snapshot *s, int error)
{
    oak_log(s->api->options.log, OAK_LOG_WARN, "a snapshot for a client was given up: %s",
            oak_error_text(error));
    api__fail(leave(s), error);
}

static bool disk_is_scarce(const struct oak_api *api)
{
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    return status.disk_scarce;
}

static void made(struct api_snapshot *s)
{
    int error = oak_backup_made(s->backup, &s->size);
    s->left = s->size;
    oak_backup_release(s->backup);
    s->stage = READING;
    if (error != 0) {
        fail(s, error);
    } else {
        post(s, READING);
    }
}

static void send(struct api_snapshot *s)
{
    Etcdserverpb__SnapshotResponse response = ETCDSERVERPB__SNAPSHOT_RESPONSE__INIT;
    OAK_ASSERT_GT(s->got, 0);
    bool digest = s->left == 0;
    s->left -= digest ? 0 : s->got;
    response.remaining_bytes = s->left;
    response.blob = oak_proto_binary(oak_bytes(s->blob, s->got));
    response.version = (char *)(uintptr_t)s->api->options.storage_version;
    int error = oak_stub_reply(s->call->stub, &response.base);
    if (error != 0) {
        fail(s, error);
    } else if (digest) {
        oak_log(s->api->options.log, OAK_LOG_INFO, "a client was sent a snapshot of %llu bytes",
                (unsigned long long)s->size);
        oak_stub_finish(leave(s)->stub, OAK_RPC_OK, NULL);
    } else if (oak_stub_queued(s->call->stub) <= OAK_RPC_QUEUE_HIGH_BYTES) {
        post(s, READING);
    }
}

static void back(struct oak_task *task)
{
    struct api_snapshot *s = OAK_CONTAINER_OF(task, struct api_snapshot, task);
    s->busy = false;
    if (s->stage == DROPPING) {
        snapshot_free(s);
    } else if (s->call == NULL) {
        drop(s);
    } else if (s->stage == MAKING && s->over) {
        made(s);
    } else if (s->stage == MAKING && disk_is_scarce(s->api)) {
        fail(s, OAK_ENOSPC);
    } else if (s->stage == MAKING) {
        post(s, MAKING);
    } else if (s->error != 0) {
        fail(s, s->error);
    } else {
        send(s);
    }
}

static void writable(void *user, struct oak_stub_call *stub)
{
    struct api_snapshot *s = ((struct api_call *)oak_stub_data(stub))->held;
    (void)user;
    if (s != NULL && !s->busy && s->stage == READING) {
        post(s, READING);
    }
}

static void closed(struct api_call *call)
{
    struct api_snapshot *s = call->held;
    s->call = NULL;
    if (!s->busy) {
        drop(s);
    }
}

static int begin(struct api_call *call)
{
    struct oak_api *api = call->api;
    Etcdserverpb__Member **members = NULL;
    size_t count = 0;
    if (api->snapshots_stopped) {
        return OAK_ESTOPPED;
    }
    if (api->snapshot_count >= OAK_BACKUPS_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    if (disk_is_scarce(api)) {
        return OAK_ENOSPC;
    }
    int error = api__members(api, api__arena(call), &members, &count);
    struct api_snapshot *s = error == 0 ? calloc(1, sizeof(*s)) : NULL;
    if (s == NULL) {
        return error != 0 ? error : OAK_ENOMEM;
    }
    const struct oak_backup_options options = {
        .disk = api->options.disk,
        .dir = api->options.scratch_dir,
        .number = api->snapshot_number++,
        .store = api->options.store,
        .members = members,
        .member_count = count,
        .version = api->options.storage_version,
    };
    error = oak_backup_new(&options, &s->backup);
    if (error != 0) {
        free(s);
        return error;
    }
    s->api = api;
    s->call = call;
    call->held = s;
    call->closed = closed;
    api->snapshot_count++;
    oak_list_push(&api->snapshots, &s->link);
    oak_stub_on_writable(call->stub, writable);
    post(s, MAKING);
    return 0;
}

void api__snapshot(void *user, struct oak_stub_call *stub,
                   const Etcdserverpb__SnapshotRequest *request)
{
    struct api_call *call = api__begin(user, stub, &request->base);
    int error = call == NULL ? 0 : begin(call);
    if (error != 0) {
        api__fail(call, error);
    }
}

void api__snapshots_stop(struct oak_api *api)
{
    api->snapshots_stopped = true;
    for (struct oak_list *at = api->snapshots.next; at != &api->snapshots; at = at->next) {
        struct api_snapshot *s = OAK_LIST_ENTRY(at, struct api_snapshot, link);
        if (s->call != NULL) {
            fail(s, OAK_ESTOPPED);
        }
    }
}
