/* SPDX-License-Identifier: Apache-2.0 */
/* past_file.c: the file `past`: a member's own runs, and what it remembers of others.
 *
 * Happy path   1 two slots; the newer one that is whole counts
 *              2 a write goes over the older one, and is synced, by the worker; one at a time, and
 *                what changes meanwhile goes with the next
 *              3 what is on disk is told to whom it concerns (hello.c).
 * Can fail     no space, where a file system needs some to write over: tried again, and nothing
 *              that waits for the disk is said before. Anything else: the process ends.
 * Invariants   one of the slots is whole, at every moment.
 * Thread       the loop's; the slot is the worker's while busy.
 */
#include "replica/internal.h"

#include <stdio.h>

#define PATH_BYTES_MAX 4096

static int path_make(const struct oak_replica *r, char *out)
{
    int size = snprintf(out, PATH_BYTES_MAX, "%s/past", r->options.dir);
    return size < 0 || size >= PATH_BYTES_MAX ? OAK_EINVAL : 0;
}

static int slot_write(const struct oak_replica *r, struct oak_file *file)
{
    const struct oak_disk *disk = r->options.disk;
    const uint8_t *slot = r->memory.slot;
    uint64_t place = r->memory.past.seq % 2 * PAST_SLOT_BYTES;
    int error = disk->write(disk->user, file, place, slot, PAST_SLOT_BYTES);
    return error != 0 ? error : disk->sync(disk->user, file);
}

/* The slot, and which runs of others are on disk once it is. */
static void slot_make(struct oak_replica *r)
{
    struct past *p = &r->memory.past;
    p->seq++;
    past_encode(p, r->memory.slot);
    p->state_saving = p->state;
    for (size_t i = 0; i < OAK_COUNT_OF(p->memories); i++) {
        p->memories[i].saving = p->memories[i].at;
    }
    r->memory.due = false;
    r->memory.changed = false;
}

static void slot_saved(struct oak_replica *r)
{
    struct past *p = &r->memory.past;
    if (p->state_saved != p->state_saving) {
        p->state_saved = p->state_saving;
        r->memory.note_ns = 0;                         /* it is said at once, */
        r->memory.noted = (struct oak_peer_memory){0}; /* to all */
    }
    for (size_t i = 0; i < OAK_COUNT_OF(p->memories); i++) {
        p->memories[i].saved = p->memories[i].saving;
    }
}

static void save_go(struct oak_task *task)
{
    struct memory *m = OAK_CONTAINER_OF(task, struct memory, go);
    const struct oak_replica_options *o = &m->replica->options;
    struct oak_file *file = NULL;
    char path[PATH_BYTES_MAX];
    m->error = path_make(m->replica, path);
    if (m->error == 0) {
        m->error = o->disk->open(o->disk->user, path, OAK_FILE_WRITE, &file);
    }
    if (m->error == 0) {
        m->error = slot_write(m->replica, file);
        o->disk->close(o->disk->user, file);
    }
    o->loop->exec.post(o->loop->exec.user, &m->back);
}

static void save_back(struct oak_task *task)
{
    struct memory *m = OAK_CONTAINER_OF(task, struct memory, back);
    struct oak_replica *r = m->replica;
    m->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    if (m->error == OAK_ENOSPC) {
        /* Tried again with the next tick, in the same slot: the other one is whole. */
        m->past.seq--;
        m->due = true;
        return;
    }
    if (m->error != 0) {
        replica__fatal(r, m->error, "writing what is remembered of the members");
        return;
    }
    slot_saved(r);
    replica__hello_accepted(r);
    if (m->due) {
        replica__past_save(r);
    }
}

void replica__past_save(struct oak_replica *r)
{
    struct memory *m = &r->memory;
    m->due = true;
    if (m->busy) {
        return;
    }
    slot_make(r);
    m->replica = r;
    m->go.run = save_go;
    m->back.run = save_back;
    m->busy = true;
    r->options.worker.post(r->options.worker.user, &m->go);
}

/* Two empty slots, so that no later write makes the file longer. */
static int file_create(const struct oak_replica *r, const char *path, struct oak_file **file)
{
    static const uint8_t nothing[2 * PAST_SLOT_BYTES];
    const struct oak_disk *disk = r->options.disk;
    int error = disk->open(disk->user, path, OAK_FILE_CREATE, file);
    if (error == 0) {
        error = disk->write(disk->user, *file, 0, nothing, sizeof(nothing));
    }
    return error != 0 ? error : disk->sync_dir(disk->user, r->options.dir);
}

/* The newer of the slots that are whole, if one is. */
static int slots_read(struct oak_replica *r, struct oak_file *file)
{
    const struct oak_disk *disk = r->options.disk;
    struct past *best = &r->memory.past;
    for (uint64_t i = 0; i < 2; i++) {
        struct past found;
        size_t got = 0;
        int error = disk->read(disk->user, file, i * PAST_SLOT_BYTES, r->memory.slot,
                               PAST_SLOT_BYTES, &got);
        if (error != 0) {
            return error;
        }
        if (got == PAST_SLOT_BYTES && past_decode(r->memory.slot, &found) &&
            found.seq >= best->seq) {
            *best = found;
        }
    }
    return 0;
}

void replica__past_tick(struct oak_replica *r)
{
    if (r->memory.due) {
        replica__past_save(r);
    }
}

int replica__past_open(struct oak_replica *r, const struct past_run *end, bool empty,
                       struct oak_errbuf *e)
{
    const struct oak_disk *disk = r->options.disk;
    struct oak_file *file = NULL;
    char path[PATH_BYTES_MAX];
    r->memory.empty = empty;
    int error = path_make(r, path);
    if (error == 0) {
        error = disk->open(disk->user, path, OAK_FILE_WRITE, &file);
    }
    if (error == OAK_ENOENT) {
        error = file_create(r, path, &file);
    } else if (error == 0) {
        error = slots_read(r, file);
    }
    if (error == 0) {
        past_begin(&r->memory.past, r->boot, end);
        slot_make(r);
        error = slot_write(r, file);
        slot_saved(r);
    }
    if (file != NULL) {
        disk->close(disk->user, file);
    }
    if (error != 0) {
        return oak_fail(e, error, "what is remembered of the members, in %.900s/past: %s",
                        r->options.dir, oak_error_text(error));
    }
    if (r->memory.past.state == OAK_PEER_FORGOT) {
        oak_raft_doubt(r->raft);
    }
    return 0;
}
