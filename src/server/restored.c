/* SPDX-License-Identifier: Apache-2.0 */
/* restored.c: a data directory that is made from a snapshot of etcd, for a member to start in.
 *
 * Happy path   1 the file is checked, before anything else is touched
 *              2 the mark: the file `restoring`, durably; a server does not start beside it
 *              3 the store is filled, as what entry 1 of the log has led to
 *              4 the log: it begins behind entry 1, of term 1, in which nobody has voted
 *              5 `newborn`, so that a second restore of the same member, into a group that the
 *                first one has been part of, ends instead of voting again; then the identity
 *              6 the mark goes: it is a member's
 * Can fail     the flags, the file, the disk. What was made goes again; with what a crash has left
 *              goes on the next run, and nobody else: what was read and sorted is in `restore`, all
 *              else is made anew.
 * Invariants   all members that are restored from one file, with the same flags for the cluster,
 *              have the same store and the same log.
 * Thread       one; blocks on the disk.
 */
#include "server/internal.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "wal/wal.h"

#define PATH_BYTES_MAX 4096
#define MARK           "restoring"
#define SCRATCH        "restore"
#define RAFT_GROUP     1
/* Where the log of the new cluster begins. */
#define FIRST_INDEX 1
#define FIRST_TERM  1
#define ARGUMENTS   9
#define MOMENT_NS   (20 * 1000000ull)

struct restored {
    const struct oak_server_restore *options;
    struct server *server; /* of which only the configuration, disk, lock and store are used */
    struct oak_config_cluster cluster;
    struct oak_errbuf *e;
    bool made;     /* the directory */
    bool again;    /* an interrupted one has left something in it */
    bool marked;   /* what is in it is ours */
    bool log_ours; /* and so is what is in --wal-dir */
};

static int path_make(const struct restored *r, const char *name, char *out)
{
    int size = snprintf(out, PATH_BYTES_MAX, "%s/%s", r->server->config.data_dir, name);
    return size >= 0 && size < PATH_BYTES_MAX
               ? 0
               : oak_fail(r->e, OAK_EINVAL, "--data-dir is too long");
}

static int failed(const struct restored *r, int error, const char *path)
{
    return error == 0 ? 0 : oak_fail(r->e, error, "%.900s: %s", path, oak_error_text(error));
}

int server__restored_check(const struct server *s, struct oak_errbuf *e)
{
    char path[PATH_BYTES_MAX];
    struct oak_file *file = NULL;
    int size = snprintf(path, sizeof(path), "%s/" MARK, s->config.data_dir);
    if (size < 0 || size >= PATH_BYTES_MAX) {
        return oak_fail(e, OAK_EINVAL, "--data-dir is too long");
    }
    int error = s->disk->open(s->disk->user, path, OAK_FILE_READ, &file);
    if (error != 0) {
        return error == OAK_ENOENT ? 0
                                   : oak_fail(e, error, "%.900s: %s", path, oak_error_text(error));
    }
    s->disk->close(s->disk->user, file);
    return oak_fail(
        e, OAK_EINVAL,
        "%.300s holds what a restore has left that was interrupted: run it again, which "
        "goes on with it, or remove the directory",
        s->config.data_dir);
}

/* -- names in a directory ---------------------------------------------------------------------- */

struct names {
    struct oak_buf text; /* each ends with NUL */
    const char *dir;
    int error;
};

static void name_note(void *arg, const char *name)
{
    struct names *n = arg;
    /* What mkfs leaves is nobody's data. */
    if (n->error == 0 && strcmp(name, "lost+found") != 0) {
        n->error = oak_buf_printf(&n->text, "%s/%s%c", n->dir, name, '\0');
    }
}

static int names_list(const struct oak_disk *disk, const char *dir, struct names *out)
{
    *out = (struct names){.dir = dir};
    int error = disk->list(disk->user, dir, name_note, out);
    return error != 0 ? error : out->error;
}

/* Files, and with `deeper` directories of files. */
static int emptied(const struct oak_disk *disk, const char *dir, bool deeper)
{
    struct names names;
    int error = names_list(disk, dir, &names);
    for (size_t at = 0; error == 0 && at < names.text.size;) {
        const char *path = (const char *)names.text.data + at;
        error = disk->remove(disk->user, path);
        if (error != 0 && deeper) {
            struct names below;
            error = names_list(disk, path, &below);
            for (size_t i = 0; error == 0 && i < below.text.size;) {
                const char *file = (const char *)below.text.data + i;
                error = disk->remove(disk->user, file);
                i += strlen(file) + 1;
            }
            oak_buf_fini(&below.text);
            error = error != 0 ? error : disk->remove(disk->user, path);
        }
        at += strlen(path) + 1;
    }
    oak_buf_fini(&names.text);
    return error == OAK_ENOENT ? 0 : error;
}

/* A directory below, with what is in it. */
static int folder_remove(const struct restored *r, const char *name)
{
    const struct oak_disk *disk = r->server->disk;
    char path[PATH_BYTES_MAX];
    int error = path_make(r, name, path);
    error = error != 0 ? error : emptied(disk, path, true);
    error = error != 0 ? error : disk->remove(disk->user, path);
    return error == OAK_ENOENT ? 0 : error;
}

/* What a restore has made but the work that can be gone on with. */
static int made_remove(const struct restored *r)
{
    static const char *const folders[] = {"store", "wal"};
    static const char *const files[] = {"wal-dir", "newborn", "identity.part", "identity"};
    const struct server *s = r->server;
    char path[PATH_BYTES_MAX];
    int error = r->log_ours ? emptied(s->disk, s->config.wal_dir, false) : 0;
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(folders); i++) {
        error = folder_remove(r, folders[i]);
    }
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(files); i++) {
        error = path_make(r, files[i], path);
        error = error != 0 ? error : s->disk->remove(s->disk->user, path);
        error = error == OAK_ENOENT ? 0 : error;
    }
    return error;
}

/* All of it; the mark goes last. */
static int swept(const struct restored *r)
{
    static const char *const last[] = {MARK, "LOCK"};
    const struct oak_disk *disk = r->server->disk;
    char path[PATH_BYTES_MAX];
    int error = made_remove(r);
    error = error != 0 ? error : folder_remove(r, SCRATCH);
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(last); i++) {
        error = path_make(r, last[i], path);
        error = error != 0 ? error : disk->remove(disk->user, path);
        error = error == OAK_ENOENT ? 0 : error;
    }
    return error;
}

/* -- the directory ----------------------------------------------------------------------------- */

static bool there(const struct oak_disk *disk, const char *path)
{
    struct oak_file *file = NULL;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error == 0) {
        disk->close(disk->user, file);
    }
    return error == 0;
}

/* OAK_EEXIST: somebody's. */
static int empty_check(const struct restored *r, const char *dir)
{
    struct names names;
    int error = names_list(r->server->disk, dir, &names);
    size_t size = names.text.size;
    oak_buf_fini(&names.text);
    if (error == 0 && size > 0) {
        return oak_fail(r->e, OAK_EEXIST,
                        "%.900s is not empty: a restore makes a new member, and takes nobody's "
                        "directory for it; name another one, or move what is there away",
                        dir);
    }
    return error == OAK_ENOENT ? 0 : failed(r, error, dir);
}

/* --wal-dir has nothing in it, or what the restore has left there that was interrupted. */
static int wal_dir_take(struct restored *r)
{
    const char *dir = r->server->config.wal_dir;
    char path[PATH_BYTES_MAX];
    char told[PATH_BYTES_MAX];
    if (dir[0] == '\0') {
        return 0;
    }
    int error = path_make(r, "wal-dir", path);
    error = error != 0
                ? error
                : failed(r, server__wal_dir_told(r->server->disk, path, told, sizeof(told)), path);
    if (error == 0 && strcmp(told, dir) != 0) {
        error = empty_check(r, dir);
    }
    r->log_ours = error == 0;
    return error;
}

static int mark_put(struct restored *r)
{
    const struct oak_disk *disk = r->server->disk;
    char path[PATH_BYTES_MAX];
    struct oak_file *file = NULL;
    int error = path_make(r, MARK, path);
    if (error != 0) {
        return error;
    }
    error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    error = error != 0 ? error : disk->sync_dir(disk->user, r->server->config.data_dir);
    r->marked = error == 0;
    return failed(r, error, path);
}

static int directory_take(struct restored *r)
{
    struct server *s = r->server;
    char mark[PATH_BYTES_MAX];
    int error = path_make(r, MARK, mark);
    if (error != 0) {
        return error;
    }
    struct names names;
    r->made = names_list(s->disk, s->config.data_dir, &names) == OAK_ENOENT;
    oak_buf_fini(&names.text);
    r->again = there(s->disk, mark);
    error = r->again ? 0 : empty_check(r, s->config.data_dir);
    error = error != 0 ? error : wal_dir_take(r);
    error = error != 0 ? error : server__directory_make(s->disk, s->config.data_dir, r->e);
    error = error != 0 ? error : oak_os_lock_dir(s->config.data_dir, &s->lock, r->e);
    if (error == 0 && r->again) {
        r->marked = true;
        return failed(r, made_remove(r), s->config.data_dir);
    }
    error = error != 0 ? error : mark_put(r);
    if (error == 0 && s->config.wal_dir[0] != '\0') {
        error = server__directory_make(s->disk, s->config.wal_dir, r->e);
    }
    return error;
}

/* -- what is in it ----------------------------------------------------------------------------- */

struct moment {
    struct oak_timer timer;
    struct oak_os_loop *loop;
};

static void moment_over(struct oak_timer *timer)
{
    oak_os_loop_stop(OAK_CONTAINER_OF(timer, struct moment, timer)->loop);
}

/* RocksDB merges files, and tells nobody when it is through. */
static void pause_a_moment(void *user)
{
    struct moment m = {.timer.fire = moment_over};
    (void)user;
    if (oak_os_loop_new(&m.loop) != 0) {
        return;
    }
    const struct oak_loop *port = oak_os_loop_port(m.loop);
    port->timers.set(port->timers.user, &m.timer,
                     port->clock.mono_ns(port->clock.user) + MOMENT_NS);
    oak_os_loop_run(m.loop);
    oak_os_loop_free(m.loop);
}

static int scratch_make(const struct restored *r, const char *scratch)
{
    const struct oak_disk *disk = r->server->disk;
    int error = r->again && !r->options->begin_anew ? 0 : folder_remove(r, SCRATCH);
    return failed(r, error != 0 ? error : disk->make_dir(disk->user, scratch), scratch);
}

static int store_make(struct restored *r, struct oak_restore_result *out)
{
    struct server *s = r->server;
    char scratch[PATH_BYTES_MAX];
    int error = path_make(r, SCRATCH, scratch);
    error = error != 0 ? error : server__store_open(s, r->e);
    if (error != 0) {
        return error;
    }
    const struct oak_restore_options options = {
        .disk = s->disk,
        .path = r->options->file,
        .scratch = scratch,
        .store = s->store,
        .index = FIRST_INDEX,
        .term = FIRST_TERM,
        .bump_revision = r->options->bump_revision,
        .mark_compacted = r->options->mark_compacted,
        .resume = r->again && !r->options->begin_anew,
        .resumed = r->options->resumed,
        .pause = pause_a_moment,
        .progress = r->options->progress,
    };
    error = scratch_make(r, scratch);
    error = error != 0 ? error : oak_restore_fill(&options, out, r->e);
    oak_store_close(s->store);
    s->store = NULL;
    return error != 0 ? error : failed(r, folder_remove(r, SCRATCH), scratch);
}

static int log_make(struct restored *r)
{
    struct server *s = r->server;
    const char *wal_dir = NULL;
    char path[PATH_BYTES_MAX];
    uint8_t whose[OAK_JOURNAL_META_BYTES];
    int error = path_make(r, "wal", path);
    error = error != 0 ? error : server__wal_dir(s, &wal_dir, r->e);
    if (error != 0) {
        return error;
    }
    oak_journal_meta(r->cluster.id, r->cluster.self_id, whose);
    const struct oak_wal_options options = {
        .disk = s->disk,
        .dir = wal_dir != NULL ? wal_dir : path,
        .meta = oak_bytes(whose, sizeof(whose)),
    };
    const struct oak_wal_record records[] = {
        {.type = OAK_WAL_SNAPSHOT, .group = RAFT_GROUP, .index = FIRST_INDEX, .term = FIRST_TERM},
        {.type = OAK_WAL_HARD_STATE,
         .group = RAFT_GROUP,
         .term = FIRST_TERM,
         .commit = FIRST_INDEX},
    };
    struct oak_wal *wal = NULL;
    error = oak_wal_open(&options, &wal, r->e);
    if (error != 0) {
        return error;
    }
    for (size_t i = 0; error == 0 && i < OAK_COUNT_OF(records); i++) {
        error = oak_wal_append(wal, &records[i]);
    }
    error = error != 0 ? error : oak_wal_commit(wal);
    error = error != 0 ? error : oak_wal_prepare(wal);
    oak_wal_close(wal);
    return failed(r, error, options.dir);
}

static int newborn_make(struct restored *r)
{
    const struct oak_disk *disk = r->server->disk;
    char path[PATH_BYTES_MAX];
    struct oak_file *file = NULL;
    int error = path_make(r, "newborn", path);
    if (error != 0 || r->cluster.member_count < 2) {
        return error;
    }
    error = disk->open(disk->user, path, OAK_FILE_CREATE, &file);
    if (error == 0) {
        error = disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    return failed(r, error, path);
}

/* From here on a server starts in it. */
static int mark_take(struct restored *r)
{
    const struct server *s = r->server;
    char path[PATH_BYTES_MAX];
    int error = path_make(r, MARK, path);
    error = error != 0 ? error : s->disk->sync_dir(s->disk->user, s->config.data_dir);
    error = error != 0 ? error : s->disk->remove(s->disk->user, path);
    return failed(r, error != 0 ? error : s->disk->sync_dir(s->disk->user, s->config.data_dir),
                  s->config.data_dir);
}

/* -- the flags --------------------------------------------------------------------------------- */

static int config_make(struct restored *r)
{
    const struct oak_server_restore *o = r->options;
    const struct {
        const char *flag;
        const char *value;
    } rows[] = {
        {"--data-dir", o->data_dir},
        {"--wal-dir", o->wal_dir},
        {"--name", o->name},
        {"--initial-cluster", o->initial_cluster},
        {"--initial-cluster-token", o->initial_cluster_token},
        {"--initial-advertise-peer-urls", o->initial_advertise_peer_urls},
    };
    const char *argv[ARGUMENTS * 2] = {"oakum"};
    /* The flags are all that counts, but that the store is the one of the servers to come. */
    char store[64] = "OAKUM_STORE=";
    const char *kind = getenv("OAKUM_STORE");
    const char *env[] = {kind != NULL && kind[0] != '\0' ? store : NULL, NULL};
    (void)snprintf(store, sizeof(store), "OAKUM_STORE=%s", kind != NULL ? kind : "");
    int argc = 1;
    for (size_t i = 0; i < OAK_COUNT_OF(rows); i++) {
        if (rows[i].value != NULL) {
            argv[argc++] = rows[i].flag;
            argv[argc++] = rows[i].value;
        }
    }
    const struct oak_config_input input = {.argc = argc, .argv = argv, .env = env};
    int error = oak_config_load(&input, &r->server->config, r->e);
    error = error != 0 ? error : oak_config_bootstrap(&r->server->config, &r->cluster, r->e);
    if (error == 0 && (o->bump_revision > 0) != o->mark_compacted) {
        error = oak_fail(r->e, OAK_EINVAL,
                         "--bump-revision and --mark-compacted go together: clients that know a "
                         "revision learn by the one that they have to read anew because of the "
                         "other");
    }
    return error;
}

static int run(struct restored *r, struct oak_server_restored *out)
{
    const struct oak_server_restore *o = r->options;
    struct server *s = r->server;
    int error = config_make(r);
    if (error == 0) {
        error = oak_restore_check(s->disk, o->file,
                                  o->skip_hash_check ? OAK_RESTORE_DIGEST_IGNORED
                                                     : OAK_RESTORE_DIGEST_NEEDED,
                                  &o->progress, r->e);
    }
    error = error != 0 ? error : directory_take(r);
    error = error != 0 ? error : store_make(r, &out->state);
    error = error != 0 ? error : log_make(r);
    error = error != 0 ? error : newborn_make(r);
    if (error == 0) {
        error =
            identity_create(s->disk, s->config.data_dir, s->config.name, &r->cluster, false, r->e);
    }
    error = error != 0 ? error : mark_take(r);
    if (error != 0 && r->marked) {
        (void)swept(r); /* what stays has the mark still, and the next run tries again */
    }
    if (error != 0 && r->made && s->lock != NULL) {
        char lock[PATH_BYTES_MAX];
        struct oak_errbuf ignored = *r->e;
        if (path_make(r, "LOCK", lock) == 0) {
            (void)s->disk->remove(s->disk->user, lock);
        }
        *r->e = ignored;
        (void)s->disk->remove(s->disk->user, s->config.data_dir);
    }
    if (error == 0) {
        (void)snprintf(out->data_dir, sizeof(out->data_dir), "%s", s->config.data_dir);
        (void)snprintf(out->name, sizeof(out->name), "%s", s->config.name);
        out->member = r->cluster.self_id;
        out->cluster = r->cluster.id;
        out->members = r->cluster.member_count;
    }
    return error;
}

int oak_server_restore(const struct oak_server_restore *options, struct oak_server_restored *out,
                       struct oak_errbuf *e)
{
    *out = (struct oak_server_restored){0};
    struct restored *r = calloc(1, sizeof(*r));
    struct server *s = calloc(1, sizeof(*s));
    int error = OAK_ENOMEM;
    if (r != NULL && s != NULL) {
        s->disk = oak_os_disk();
        *r = (struct restored){.options = options, .server = s, .e = e};
        error = run(r, out);
        if (s->lock != NULL) {
            oak_os_unlock_dir(s->lock);
        }
        oak_config_fini(&s->config);
    }
    free(s);
    free(r);
    return error;
}
