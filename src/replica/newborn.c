/* SPDX-License-Identifier: Apache-2.0 */
/* newborn.c: a member that starts with nothing, and may have been there before.
 *
 * A data directory that is lost looks like a first start. What remembers is the group: every member
 * publishes itself through the log before anything else. So a member that starts with nothing
 * leaves the file `newborn` behind, and does not publish itself until it has looked:
 *
 * First start  1 the file, durably, before the log has anything of this member
 *              2 a leader is there: a linearizable read, so that what is applied here holds all
 *                that was committed before this start
 *              3 nobody of this id has published itself: the file goes, durably, and this member
 *                publishes itself.
 * Lost data    3 it has, and in this directory it never did; or its leader names entries that it
 *                acknowledged: this member ends, and does so at every start.
 *              docs/internals/repair.md says what that is enough for, and what not.
 * Can fail     the disk: the process ends. A read: it is asked again.
 * Invariants   while the file is there, nothing was published from this directory.
 * Thread       the loop's; the file goes on the worker, and comes at start-up.
 */
#include "replica/internal.h"

#include <stdio.h>

#define PATH_BYTES_MAX 4096
#define KNOWN                                                                                      \
    "the group knows this member from before, and its data directory is new: what it promised is " \
    "forgotten"

static int path_make(const struct oak_replica *r, char *out)
{
    int size = snprintf(out, PATH_BYTES_MAX, "%s/newborn", r->options.dir);
    return size < 0 || size >= PATH_BYTES_MAX ? OAK_EINVAL : 0;
}

static bool bootstraps(const struct oak_replica *r)
{
    const struct oak_raft_config *c = &r->options.bootstrap;
    bool voter = false;
    for (uint32_t i = 0; i < c->voter_count; i++) {
        voter = voter || c->voters[i] == r->options.id;
    }
    return voter && c->voter_count > 1;
}

static bool is_published(const struct oak_replica *r)
{
    const struct oak_kv_member *it = oak_kv_member(r->kv, r->options.id);
    return it != NULL && it->published;
}

int replica__newborn_begin(struct oak_replica *r, bool empty, struct oak_errbuf *e)
{
    const struct oak_disk *disk = r->options.disk;
    char path[PATH_BYTES_MAX];
    struct oak_file *file = NULL;
    int error = path_make(r, path);
    if (error == 0) {
        bool create = empty && bootstraps(r);
        error = disk->open(disk->user, path, create ? OAK_FILE_CREATE : OAK_FILE_READ, &file);
        r->newborn.open = error == 0 || (create && error == OAK_EEXIST);
        if (error == 0) {
            error = create ? disk->sync(disk->user, file) : 0;
            disk->close(disk->user, file);
        }
        error = error == (create ? OAK_EEXIST : OAK_ENOENT) ? 0 : error;
        error = error == 0 && create ? disk->sync_dir(disk->user, r->options.dir) : error;
    }
    return error == 0 ? 0
                      : oak_fail(e, error, "the file newborn in %.900s: %s", r->options.dir,
                                 oak_error_text(error));
}

int replica__newborn_check(const struct oak_replica *r, struct oak_errbuf *e)
{
    return !r->newborn.open || !is_published(r)
               ? 0
               : oak_fail(e, OAK_EINUSE,
                          KNOWN ". Remove it from the cluster, and add it again as a new member "
                                "with an empty data directory");
}

bool replica__newborn_caught(struct oak_replica *r, bool empty)
{
    if (r->newborn.open || empty) {
        replica__fatal(r, OAK_EINUSE, KNOWN ", and its id is");
    }
    return r->newborn.open || empty;
}

static void gone_go(struct oak_task *task)
{
    struct newborn *n = OAK_CONTAINER_OF(task, struct newborn, go);
    const struct oak_replica_options *o = &n->replica->options;
    char path[PATH_BYTES_MAX];
    n->error = path_make(n->replica, path);
    n->error = n->error != 0 ? n->error : o->disk->remove(o->disk->user, path);
    n->error = n->error != 0 ? n->error : o->disk->sync_dir(o->disk->user, o->dir);
    o->loop->exec.post(o->loop->exec.user, &n->back);
}

static void gone_back(struct oak_task *task)
{
    struct newborn *n = OAK_CONTAINER_OF(task, struct newborn, back);
    n->busy = false;
    if (replica__close_check(n->replica)) {
        return;
    }
    if (n->error != 0) {
        replica__fatal(n->replica, n->error, "removing the file newborn");
        return;
    }
    n->open = false;
    replica__publish(n->replica);
}

static void looked(struct oak_replica_request *request, int error,
                   const struct oak_kv_result *result)
{
    struct newborn *n = OAK_CONTAINER_OF(request, struct newborn, read);
    (void)result;
    n->asking = false;
    if (error == 0 && !n->replica->failed && !is_published(n->replica)) {
        n->busy = true;
        n->replica->options.worker.post(n->replica->options.worker.user, &n->go);
    }
}

void replica__newborn_tick(struct oak_replica *r)
{
    struct newborn *n = &r->newborn;
    if (!n->open || n->busy) {
        return;
    }
    n->replica = r;
    n->go.run = gone_go;
    n->back.run = gone_back;
    if (is_published(r)) {
        (void)replica__newborn_caught(r, false);
    } else if (!n->asking && r->leader_seen != 0) {
        n->read = (struct oak_replica_request){.done = looked};
        n->asking = oak_replica_read(r, &n->read) == 0;
    }
}
