/* SPDX-License-Identifier: Apache-2.0 */
/* save.c: `oakum export` and `oakum snapshot save`: the state of one server, in a file of etcd's.
 *
 * Happy path   1 Maintenance/Snapshot: what comes goes to FILE.part as it comes
 *              2 the server has said that nothing is left; the part file is synced, read again, and
 *                is what the SHA-256 at its end says
 *              3 it gets its name, durably
 * Can fail     the server, the connection, the disk: told, and there is no part file after it. FILE
 *              is as it was before.
 * Invariants   FILE is never anything but a whole snapshot.
 * Source       etcdctl, which does the same, but for reading it again.
 */
#include "ctl/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "oakum/channel.h"
#include "restore/restore.h"

#define PATH_BYTES_MAX 4096
#define SHOW_NS        (100 * 1000000ull)
/* A database is a multiple of it, and a snapshot is not. */
#define DATABASE_UNIT_BYTES 512

struct saving {
    struct ctl *c;
    const char *path;
    char part[PATH_BYTES_MAX];
    int fd;
    uint64_t bytes;
    uint64_t left; /* as the last message said */
    uint64_t shown_ns;
    char version[64]; /* of the server's storage; "": it does not say */
    bool shows;       /* how far it is */
    bool done;
    int error; /* ours: errno of the file, or an OAK_E code */
    bool file_failed;
    struct oak_rpc_call *call;
    struct ctl__reply reply;
};

static uint64_t now(const struct ctl *c)
{
    const struct oak_loop *loop = oak_os_loop_port(c->os);
    return loop->clock.mono_ns(loop->clock.user);
}

static void progress_show(struct saving *s)
{
    uint64_t at = now(s->c);
    if (!s->shows || at - s->shown_ns < SHOW_NS) {
        return;
    }
    double total = (double)(s->bytes + s->left);
    s->shown_ns = at;
    fprintf(stderr, "\r%s: %.0f MB of %.0f MB, %.0f %%\x1b[K", s->path, (double)s->bytes / 1e6,
            total / 1e6, total > 0 ? 100.0 * (double)s->bytes / total : 0.0);
    fflush(stderr);
}

static void progress_end(const struct saving *s)
{
    if (s->shown_ns != 0) {
        fprintf(stderr, "\r\x1b[K");
        fflush(stderr);
    }
}

/* -- the stream -------------------------------------------------------------------------------- */

static int file_write(struct saving *s, const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t got = write(s->fd, data + at, size - at);
        if (got < 0 && errno != EINTR) {
            s->file_failed = true;
            return errno;
        }
        at += got > 0 ? (size_t)got : 0;
    }
    s->bytes += size;
    return 0;
}

static void message(void *user, struct oak_rpc_call *rpc, struct oak_bytes bytes)
{
    struct saving *s = user;
    ProtobufCMessage *decoded = NULL;
    if (s->error != 0) {
        return;
    }
    oak_arena_reset(&s->c->arena);
    s->error = oak_proto_unpack(&etcdserverpb__snapshot_response__descriptor, bytes, &s->c->arena,
                                &decoded);
    if (s->error == 0) {
        const Etcdserverpb__SnapshotResponse *part =
            (const Etcdserverpb__SnapshotResponse *)decoded;
        s->left = part->remaining_bytes;
        if (s->version[0] == '\0') {
            snprintf(s->version, sizeof(s->version), "%s", part->version);
        }
        s->error = file_write(s, part->blob.data, part->blob.len);
        progress_show(s);
    }
    if (s->error != 0) {
        oak_rpc_call_cancel(rpc);
    }
}

static void closed(void *user, struct oak_rpc_call *rpc, const struct oak_rpc_status *status)
{
    struct saving *s = user;
    (void)rpc;
    s->reply.code = status->code;
    s->reply.error = status->code == OAK_RPC_OK            ? 0
                     : status->code == OAK_RPC_UNAVAILABLE ? OAK_EUNREACHABLE
                                                           : OAK_EREMOTE;
    snprintf(s->reply.text, sizeof(s->reply.text), "%.*s", (int)OAK_MIN(status->message.size, 400),
             (const char *)status->message.data);
    s->done = true;
    oak_os_loop_stop(s->c->os);
}

/* All of it into the part file. */
static int stream_take(struct saving *s)
{
    static const struct oak_rpc_handler handler = {.message = message, .closed = closed};
    struct oak_bytes token;
    int code = CTL__FAILED;
    if (!ctl__token(s->c, &token, &code)) {
        return code;
    }
    const struct oak_rpc_pair shown = {.name = oak_bytes_str("token"), .value = token};
    const struct oak_rpc_request request = {
        .service = "etcdserverpb.Maintenance",
        .method = "Snapshot",
        .kind = OAK_RPC_SERVER_STREAM,
        .metadata = &shown,
        .metadata_count = token.size > 0 ? 1 : 0,
        .progress_ns = OAK_RPC_NEVER_NS, /* it is made first, which takes its time */
        .handler = &handler,
        .user = s,
    };
    int error = oak_channel_call(oak_client_channel(ctl__client(s->c, &code)), &request, &s->call);
    if (error != 0) {
        return ctl__error(CTL__FAILED, "%s", oak_error_text(error));
    }
    if (oak_rpc_call_send(s->call, oak_bytes(NULL, 0)) != 0) {
        oak_rpc_call_cancel(s->call);
    }
    oak_rpc_call_half_close(s->call);
    while (!s->done) {
        oak_os_loop_run(s->c->os);
    }
    progress_end(s);
    if (s->error != 0) {
        return ctl__error(s->file_failed ? CTL__IO : CTL__FAILED, "%s: %s", s->part,
                          s->file_failed ? strerror(s->error) : oak_error_text(s->error));
    }
    if (s->reply.error != 0) {
        return ctl__reply_error(&s->reply);
    }
    return s->left == 0
               ? CTL__OK
               : ctl__error(CTL__FAILED, "the server has ended with %" PRIu64 " bytes left to send",
                            s->left);
}

/* -- the file ---------------------------------------------------------------------------------- */

static int directory_sync(const char *path)
{
    char dir[PATH_BYTES_MAX];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL) {
        snprintf(dir, sizeof(dir), ".");
    } else {
        slash[slash == dir ? 1 : 0] = '\0';
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return failed == EINVAL ? 0 : failed; /* some file systems have no such thing */
}

static int file_finish(struct saving *s)
{
    struct oak_errbuf e = {{0}};
    if (fsync(s->fd) != 0) {
        return ctl__error(CTL__IO, "%s: %s", s->part, strerror(errno));
    }
    if (s->bytes % DATABASE_UNIT_BYTES == 0) {
        return ctl__error(CTL__FAILED, "the server has sent no SHA-256 behind %" PRIu64 " bytes",
                          s->bytes);
    }
    if (oak_restore_check(oak_os_disk(), s->part, OAK_RESTORE_DIGEST_NEEDED, NULL, &e) != 0) {
        return ctl__error(CTL__FAILED, "what came is not whole: %s", e.text);
    }
    if (rename(s->part, s->path) != 0) {
        return ctl__error(CTL__IO, "%s: %s", s->path, strerror(errno));
    }
    int failed = directory_sync(s->path);
    return failed == 0 ? CTL__OK : ctl__error(CTL__IO, "%s: %s", s->path, strerror(failed));
}

static int save(struct ctl *c, const char *path)
{
    struct saving s = {.c = c, .path = path, .shows = isatty(STDERR_FILENO) == 1};
    struct ctl__endpoints all;
    int code = CTL__BAD_ARGS;
    if (!ctl__endpoints_read(c, &all, &code)) {
        return code;
    }
    if (all.count != 1) {
        return ctl__error(CTL__INTERRUPTED,
                          "snapshot must be requested to one selected node, not multiple: give one "
                          "of them with --endpoints");
    }
    int size = snprintf(s.part, sizeof(s.part), "%s.part", path);
    if (size < 0 || size >= PATH_BYTES_MAX) {
        return ctl__error(CTL__BAD_ARGS, "the name of the file is too long");
    }
    s.fd = open(s.part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s.fd < 0) {
        return ctl__error(CTL__IO, "%s: %s", s.part, strerror(errno));
    }
    code = stream_take(&s);
    code = code == CTL__OK ? file_finish(&s) : code;
    close(s.fd);
    if (code != CTL__OK) {
        unlink(s.part);
        return code;
    }
    printf("Snapshot saved at %s\n", path);
    if (s.version[0] != '\0') {
        printf("Server version %s\n", s.version);
    }
    return CTL__OK;
}

static int run(struct ctl *c, const struct oak_args_command *command, int argc, char *const *argv)
{
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count != 1) {
        return ctl__error(CTL__BAD_ARGS, "%s expects one argument <filename>", command->name);
    }
    return save(c, words.at[0]);
}

#define MORE                                                                                      \
    "The keys with their history since the last compaction, leases, users and roles, as of one\n" \
    "revision, whatever is written meanwhile. etcd's tools and `oakum import` take the file.\n"   \
    "It gets its name once it is whole, checked and on the disk; until then it is FILE.part.\n"   \
    "What is interrupted begins anew: the API has no way to ask for the rest of a snapshot.\n\n"

int ctl__snapshot_save(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "snapshot save",
        .summary = "Write the state of a server into a file.",
        .operands = "FILE",
        .operands_max = CTL__OPERANDS_MAX,
        .more = MORE "Example:\n  oakum snapshot save backup.db --endpoints 10.0.0.1:2379\n",
    };
    return run(c, &command, argc, argv);
}

int ctl__export(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "export",
        .summary = "Write the state of a server, Oakum's or etcd's, into a file from which either "
                   "starts.",
        .operands = "FILE",
        .operands_max = CTL__OPERANDS_MAX,
        .more = MORE "Example, back to etcd:\n"
                     "  oakum export state.db --endpoints 10.0.0.1:2379\n"
                     "  etcdutl snapshot restore state.db --data-dir /var/lib/etcd ...\n",
    };
    return run(c, &command, argc, argv);
}
