/* SPDX-License-Identifier: Apache-2.0 */
/* squeeze.c: the store gives space back that it keeps for nothing, when it is asked to
 * (Defragment): what is in memory goes to disk, and files are merged behind that, while it serves.
 *
 * Can fail  nothing: what can't be done now is done by the store itself some day.
 * Thread    the loop's; the flush is the worker's while busy.
 */
#include "replica/internal.h"

static void squeeze_go(struct oak_task *task)
{
    struct squeezing *q = OAK_CONTAINER_OF(task, struct squeezing, go);
    const struct oak_exec *loop = &q->replica->options.loop->exec;
    oak_store_squeeze_run(q->job);
    loop->post(loop->user, &q->back);
}

static void squeeze_back(struct oak_task *task)
{
    struct squeezing *q = OAK_CONTAINER_OF(task, struct squeezing, back);
    oak_store_squeeze_end(q->job);
    q->job = NULL;
    q->busy = false;
    if (!replica__close_check(q->replica)) {
        replica__install_go(q->replica, 0);
    }
}

void oak_replica_squeeze(struct oak_replica *r)
{
    struct squeezing *q = &r->squeezing;
    if (q->busy || r->closing || r->failed || r->installing.active ||
        oak_store_squeeze_begin(r->options.store, &q->job) != 0) {
        return;
    }
    q->replica = r;
    q->go.run = squeeze_go;
    q->back.run = squeeze_back;
    q->busy = true;
    r->options.worker.post(r->options.worker.user, &q->go);
}
