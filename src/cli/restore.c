/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c: `oakum import` and `oakum snapshot restore`: a data directory from etcd's snapshot.
 *
 * They are one thing: restore has the name and the flags of etcdutl's command; import also takes
 * the data directory of an etcd that is stopped.
 *
 * Can fail  what the server's room says, which names the file, the place in it, and what to do.
 * Thread    the main one.
 */
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/server.h"

#define PATH_BYTES_MAX 4096

static void json_print(const struct oak_server_restored *made)
{
    char member[24];
    char cluster[24];
    const struct oak_restore_result *s = &made->state;
    snprintf(member, sizeof(member), "%" PRIx64, made->member);
    snprintf(cluster, sizeof(cluster), "%" PRIx64, made->cluster);
    json_t *all = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "data_dir",
        made->data_dir, "name", made->name, "member_id", member, "cluster_id", cluster, "members",
        (json_int_t)made->members, "revision", (json_int_t)s->revision, "compact_revision",
        (json_int_t)s->compacted, "versions", (json_int_t)s->versions, "leases",
        (json_int_t)s->leases, "users", (json_int_t)s->users, "roles", (json_int_t)s->roles,
        "alarms", (json_int_t)s->alarms, "auth_enabled", s->auth_enabled, "resumed", s->resumed);
    json_dumpf(all, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    json_decref(all);
}

static void text_print(const struct oak_server_restored *made)
{
    const struct oak_restore_result *s = &made->state;
    printf("%s holds member %" PRIx64 " (%s) of cluster %" PRIx64 ", which has %zu member%s\n",
           made->data_dir, made->member, made->name, made->cluster, made->members,
           made->members == 1 ? "" : "s");
    printf("revision %" PRId64 ", %" PRIu64 " versions", s->revision, s->versions);
    if (s->compacted >= 0) {
        printf(", compacted at %" PRId64, s->compacted);
    }
    printf("; %" PRIu64 " leases, %" PRIu64 " users, %" PRIu64 " roles, auth is %s\n", s->leases,
           s->users, s->roles, s->auth_enabled ? "on" : "off");
    if (s->alarms > 0) {
        printf("%" PRIu64 " alarms came along and refuse writes: look at them with `etcdctl alarm "
               "list`, and disarm them once their cause is gone\n",
               s->alarms);
    }
}

/* The database in the data directory of an etcd, which must not be running. */
static int database_of(const struct oak_args_command *command, const char *path, char *out,
                       bool *directory)
{
    static const char *const below[] = {"member/snap/db", "snap/db"};
    struct stat st;
    *directory = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    snprintf(out, PATH_BYTES_MAX, "%s", path);
    if (!*directory) {
        return 0;
    }
    int fd = -1;
    for (size_t i = 0; fd < 0 && i < OAK_COUNT_OF(below); i++) {
        snprintf(out, PATH_BYTES_MAX, "%.4000s/%s", path, below[i]);
        fd = open(out, O_RDONLY | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR) {
            return oak_args_complain(command, CLI__EXIT_FAILED, "%.512s: %s", out, strerror(errno));
        }
    }
    if (fd < 0) {
        return oak_args_complain(command, CLI__EXIT_FAILED,
                                 "%.512s is no data directory of etcd: there is no member/snap/db "
                                 "in it",
                                 path);
    }
    int busy = flock(fd, LOCK_SH | LOCK_NB);
    close(fd);
    return busy == 0 ? 0
                     : oak_args_complain(command, CLI__EXIT_FAILED,
                                         "an etcd is running in %.512s: stop it first, or import "
                                         "what `etcdctl snapshot save` makes of it",
                                         path);
}

static void resumed(void *user, uint64_t done, uint64_t total)
{
    cli__progress_end(user); /* its line: it is drawn again with the next step */
    if (done == 0) {
        fprintf(stderr, "oakum: a run before this one was interrupted, and has left nothing that "
                        "can be gone on with: it begins anew\n");
        return;
    }
    fprintf(stderr,
            "oakum: a run before this one was interrupted when %" PRIu64
            " %% of the file were read: it goes on from there\n",
            total > 0 ? done * 100 / total : 0);
}

static int restore(const struct oak_args_command *command, struct oak_server_restore *o,
                   const char *source, bool as_json)
{
    char path[PATH_BYTES_MAX];
    bool directory = false;
    int code = database_of(command, source, path, &directory);
    if (code != 0) {
        return code;
    }
    struct cli__progress progress;
    struct oak_server_restored made;
    struct oak_errbuf e = {{0}};
    cli__progress_init(&progress);
    o->file = path;
    o->skip_hash_check = o->skip_hash_check || directory;
    o->resumed = resumed;
    o->progress = (struct oak_restore_progress){.tell = cli__progress_tell, .user = &progress};
    int error = oak_server_restore(o, &made, &e);
    cli__progress_end(&progress);
    if (error != 0) {
        return oak_args_complain(
            command, error == OAK_EINVAL ? CLI__EXIT_MISUSED : CLI__EXIT_FAILED, "%s", e.text);
    }
    if (as_json) {
        json_print(&made);
    } else {
        text_print(&made);
    }
    return CLI__EXIT_OK;
}

#define EXAMPLES                                                                                   \
    "Run it for each member, with the same FILE, --initial-cluster and --initial-cluster-token,\n" \
    "then start them all. The new cluster has the old one's keys at the old revisions, its\n"      \
    "history since the last compaction, leases, users and roles. The directory is whole after\n"   \
    "it, or as it was before; one that is not empty is refused. When it was interrupted, run it\n" \
    "again: it goes on with what was read and sorted. Exit code 1: the file is not what it\n"      \
    "should be, and the message says what is wrong and where.\n"                                   \
    "json: {data_dir, name, member_id, cluster_id, members, revision, compact_revision,\n"         \
    "versions, leases, users, roles, alarms, auth_enabled, resumed}.\n\n"

static int run(const char *name, const char *summary, const char *operands, const char *more,
               int argc, char *const *argv)
{
    struct oak_server_restore o = {.file = NULL};
    const char *output = "simple";
    const struct oak_args_flag flags[] = {
        {"data-dir", '\0', OAK_ARGS_TEXT, &o.data_dir, 0, 0, "DIR",
         "the directory to make (default NAME.etcd)"},
        {"wal-dir", '\0', OAK_ARGS_TEXT, &o.wal_dir, 0, 0, "DIR",
         "put the log here (default: in the data directory)"},
        {"name", '\0', OAK_ARGS_TEXT, &o.name, 0, 0, "NAME",
         "of this member (default \"default\")"},
        {"initial-cluster", '\0', OAK_ARGS_TEXT, &o.initial_cluster, 0, 0, "LIST",
         "all members, as name=peer-url,... (default: this one alone)"},
        {"initial-cluster-token", '\0', OAK_ARGS_TEXT, &o.initial_cluster_token, 0, 0, "TEXT",
         "of the new cluster (default etcd-cluster)"},
        {"initial-advertise-peer-urls", '\0', OAK_ARGS_TEXT, &o.initial_advertise_peer_urls, 0, 0,
         "LIST", "where this member hears its peers (default http://localhost:2380)"},
        {"skip-hash-check", '\0', OAK_ARGS_BOOL, &o.skip_hash_check, 0, 0, NULL,
         "take a file without a SHA-256, or with a wrong one"},
        {"bump-revision", '\0', OAK_ARGS_NUMBER, &o.bump_revision, 0, INT64_MAX, "N",
         "raise the revision by so much, so that what clients know is old"},
        {"mark-compacted", '\0', OAK_ARGS_BOOL, &o.mark_compacted, 0, 0, NULL,
         "... and history ends there, so that they notice; with --bump-revision"},
        {"no-resume", '\0', OAK_ARGS_BOOL, &o.begin_anew, 0, 0, NULL,
         "begin anew, whatever an interrupted run has left"},
        {"output", 'o', OAK_ARGS_TEXT, &output, 0, 0, "FORM", "simple or json (default simple)"},
        {"write-out", 'w', OAK_ARGS_TEXT, &output, 0, 0, "FORM", "the same"},
    };
    const struct oak_args_command command = {
        .name = name,
        .summary = summary,
        .operands = operands,
        .operands_max = 1,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = more,
    };
    const char *operand = NULL;
    size_t count;
    char *const *rest;
    int code;
    if (!oak_args_parse(&command, argc, argv, &operand, &count, &rest, &code)) {
        return code;
    }
    if (count == 0) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "which file? See oakum %s --help",
                                 name);
    }
    bool as_json = strcmp(output, "json") == 0;
    if (!as_json && strcmp(output, "simple") != 0) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "--output is simple or json");
    }
    return restore(&command, &o, operand, as_json);
}

int cli__import(int argc, char *const *argv)
{
    return run("import",
               "Make a data directory from etcd's: from a snapshot, or from that of an "
               "etcd that is stopped.",
               "FILE|DIR",
               EXAMPLES "Examples:\n"
                        "  etcdctl snapshot save etcd.db && oakum import etcd.db --data-dir m1\n"
                        "  oakum import /var/lib/etcd --data-dir /var/lib/oakum --name m1 \\\n"
                        "      --initial-cluster m1=http://10.0.0.1:2380,m2=http://... \\\n"
                        "      --initial-advertise-peer-urls http://10.0.0.1:2380\n",
               argc, argv);
}

int cli__snapshot_restore(int argc, char *const *argv)
{
    return run("snapshot restore",
               "Make a data directory for a member of a new cluster from a "
               "snapshot, Oakum's or etcd's.",
               "FILE",
               EXAMPLES "Example:\n"
                        "  oakum snapshot restore backup.db --data-dir m1 --name m1 \\\n"
                        "      --initial-cluster m1=http://10.0.0.1:2380,m2=http://... \\\n"
                        "      --initial-advertise-peer-urls http://10.0.0.1:2380\n",
               argc, argv);
}
