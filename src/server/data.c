/* SPDX-License-Identifier: Apache-2.0 */
/* data.c: the data directory at start-up: made, locked against a second process, and checked to be
 * this member's. A directory of another cluster or member is refused before anything in it is
 * touched.
 */
#include "server/internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "backup/backup.h"

static int born(struct server *s, struct oak_errbuf *e)
{
    struct oak_config_cluster cluster;
    int error = oak_config_bootstrap(&s->config, &cluster, e);
    bool joins = s->config.initial_cluster_state == OAK_CONFIG_CLUSTER_EXISTING;
    if (error == 0 && joins) {
        error = server__join(s, &cluster, e);
    }
    if (error == 0) {
        error = identity_create(s->disk, s->config.data_dir, s->config.name, &cluster, joins, e);
    }
    identity_fini(&s->identity);
    return error != 0 ? error : identity_load(s->disk, s->config.data_dir, &s->identity, e);
}

/* What the flags say of the cluster, when they say it, must be what the directory says. */
static int checked(struct server *s, struct oak_errbuf *e)
{
    const struct identity *id = &s->identity;
    if (strcmp(s->config.name, id->name) != 0) {
        return oak_fail(e, OAK_EINVAL,
                        "the data directory %s belongs to the member named \"%s\", not to \"%s\": "
                        "give each member a --data-dir of its own",
                        s->config.data_dir, id->name, s->config.name);
    }
    struct oak_config_cluster cluster;
    struct oak_errbuf ignored;
    if (!s->config.initial_cluster_given || id->joined ||
        oak_config_bootstrap(&s->config, &cluster, &ignored) != 0) {
        return 0; /* as etcd: the flags of the first start are not needed any more */
    }
    if (cluster.id != id->cluster || cluster.self_id != id->self) {
        return oak_fail(e, OAK_EINVAL,
                        "the data directory %s belongs to member %016" PRIx64
                        " of cluster %016" PRIx64
                        ", but --initial-cluster and --initial-cluster-token describe member "
                        "%016" PRIx64 " of cluster %016" PRIx64
                        ": point --data-dir to this member's own directory, or to an empty one",
                        s->config.data_dir, id->self, id->cluster, cluster.self_id, cluster.id);
    }
    return 0;
}

/* The directory, with those above it that are missing. */
static int directory_make(const struct oak_disk *disk, const char *dir)
{
    char path[4096];
    size_t size = strlen(dir);
    if (size >= sizeof(path)) {
        return OAK_EINVAL;
    }
    int error = disk->make_dir(disk->user, dir);
    for (size_t i = 1; error == OAK_ENOENT && i < size; i++) {
        if (dir[i] != '/') {
            continue;
        }
        memcpy(path, dir, i);
        path[i] = '\0';
        error = disk->make_dir(disk->user, path);
        error = error == 0 ? OAK_ENOENT : error;
    }
    return error == OAK_ENOENT ? disk->make_dir(disk->user, dir) : error;
}

int server__directory_make(const struct oak_disk *disk, const char *dir, struct oak_errbuf *e)
{
    int error = directory_make(disk, dir);
    if (error == 0) {
        return 0;
    }
    const char *why = error == OAK_EEXIST ? "a file of that name is in the way"
                      : error == OAK_EINVAL
                          ? "what is above it is no directory, or the path is too "
                            "long"
                          : oak_error_text(error);
    return oak_fail(
        e, error,
        "--data-dir, --wal-dir: the directory %.300s can't be made: %s; name one that this user "
        "may write to",
        dir, why);
}

/* Where snapshots for clients are made. What a run that was killed has left is removed. */
static int scratch_open(struct server *s, struct oak_errbuf *e)
{
    int size = snprintf(s->scratch_dir, sizeof(s->scratch_dir), "%s/backup", s->config.data_dir);
    if (size < 0 || (size_t)size >= sizeof(s->scratch_dir)) {
        return oak_fail(e, OAK_EINVAL, "--data-dir is too long");
    }
    int error = oak_backup_clean(s->disk, s->scratch_dir);
    if (error != 0) {
        oak_log(s->log, OAK_LOG_WARN, "what is in %.300s can't be removed: %s", s->scratch_dir,
                oak_error_text(error));
    }
    return 0;
}

int server__data_open(struct server *s, struct oak_errbuf *e)
{
    const struct oak_disk *disk = s->disk;
    const char *dir = s->config.data_dir;
    int error = server__directory_make(disk, dir, e);
    if (error == 0 && s->config.wal_dir[0] != '\0') {
        error = server__directory_make(disk, s->config.wal_dir, e);
    }
    error = error != 0 ? error : oak_os_lock_dir(dir, &s->lock, e);
    error = error != 0 ? error : server__restored_check(s, e);
    if (error == 0) {
        error = identity_load(disk, dir, &s->identity, e);
        error = error == OAK_ENOENT ? born(s, e) : (error == 0 ? checked(s, e) : error);
    }
    return error != 0 ? error : scratch_open(s, e);
}
