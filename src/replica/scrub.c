/* SPDX-License-Identifier: Apache-2.0 */
/* scrub.c: the store's files are read again, now and then; and what follows from damage in them,
 * whoever has found it.
 *
 * Happy path   1 with its rate's share, four times a second: (worker) a piece is read and checked
 *              2 at the end of a pass a rest, then from the start again.
 * Damage       found by a piece, by a client's read, by what is applied or by a snapshot that is
 *              sent: this store serves nobody any more. The member ends, and its next start sets
 *              the store aside and gets the state from the others (server/mend.c). One that is
 *              alone can't: it works on, as far as that goes, and says what to do.
 * Can fail     nothing else: without memory a piece waits for the next time.
 * Thread       the loop's; a piece is the worker's while busy.
 */
#include "replica/internal.h"

void replica__damage_look(struct oak_replica *r)
{
    struct scrubbing *c = &r->scrubbing;
    if (c->damaged || !oak_store_damaged(r->options.store)) {
        return;
    }
    c->damaged = true;
    if (r->options.repair && !replica__alone(r)) {
        replica__fatal(r, OAK_ECORRUPT, "damage in the store");
        return;
    }
    oak_log(r->options.log, OAK_LOG_ERROR,
            "damage in the store in %s, and no other member has its contents: what can be read is "
            "served, and this member may not start again. Save what can be read, look at the disk, "
            "and restore a backup",
            r->options.dir);
}

static void piece_go(struct oak_task *task)
{
    struct scrubbing *c = OAK_CONTAINER_OF(task, struct scrubbing, go);
    oak_store_scrub_run(c->piece, c->bytes);
    const struct oak_exec *loop = &c->replica->options.loop->exec;
    loop->post(loop->user, &c->back);
}

static void piece_back(struct oak_task *task)
{
    struct scrubbing *c = OAK_CONTAINER_OF(task, struct scrubbing, back);
    struct oak_replica *r = c->replica;
    bool whole = false;
    int error = oak_store_scrub_end(c->piece, &whole);
    c->piece = NULL;
    c->busy = false;
    if (replica__close_check(r) || r->failed) {
        return;
    }
    OAK_ASSERT(error != OAK_ECORRUPT || oak_store_damaged(r->options.store));
    if (whole) {
        r->counters.store_scrubs++;
        r->counters.store_scrub_ns = replica__now(r) - c->begun_ns;
        c->begun_ns = 0;
    }
    replica__damage_look(r);
}

void replica__scrub_tick(struct oak_replica *r)
{
    struct scrubbing *c = &r->scrubbing;
    uint64_t now = replica__now(r);
    bool rests = c->begun_ns == 0 && r->counters.store_scrubs > 0;
    uint64_t pause_ms = rests ? r->options.scrub_rest_ms : OAK_SCRUB_STEP_MS;
    if (r->options.scrub_rate == 0 || c->damaged || c->busy ||
        now - c->piece_ns < pause_ms * NS_A_MS) {
        return;
    }
    c->piece_ns = now;
    if (oak_store_scrub_begin(r->options.store, &c->piece) != 0) {
        return; /* no memory; the next time */
    }
    uint64_t rate = OAK_MIN(r->options.scrub_rate, (uint64_t)OAK_SCRUB_BYTES_A_SECOND_MAX);
    c->bytes = (size_t)OAK_MAX(rate * OAK_SCRUB_STEP_MS / 1000, (uint64_t)(4 * OAK_KIB));
    c->begun_ns = c->begun_ns != 0 ? c->begun_ns : now;
    c->replica = r;
    c->go.run = piece_go;
    c->back.run = piece_back;
    c->busy = true;
    r->options.worker.post(r->options.worker.user, &c->go);
}
