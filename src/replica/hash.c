/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c: the hash of the history, a piece at a time, for who asks (HashKV).
 *
 * Happy path   1 one question at a time is begun, behind what is applied: a view of the store
 *              2 (worker) a piece is read, then other work has its turn, until all is
 *              3 the answer.
 * Can fail     reading the store: the answer says so. A snapshot that is installed needs the store
 *              to itself: the question ends with "try again".
 * Thread       the loop's; a piece is the worker's while busy.
 */
#include "replica/internal.h"

/* Between two turns of the worker's other work. */
#define PIECE_BYTES (2 * OAK_MIB)

static void end(struct hashing *g, int error)
{
    struct oak_replica_hash *asked = g->asked;
    g->asked = NULL;
    if (asked != NULL) {
        asked->waits = false;
        asked->done(asked, error);
    }
}

static void job_end(struct hashing *g, int error)
{
    uint32_t hash = 0;
    int ended = oak_store_hash_end(g->job, &hash);
    g->job = NULL;
    if (g->asked != NULL) {
        g->asked->hash = hash;
    }
    end(g, error != 0 ? error : ended);
}

static void piece_go(struct oak_task *task)
{
    struct hashing *g = OAK_CONTAINER_OF(task, struct hashing, go);
    const struct oak_exec *loop = &g->replica->options.loop->exec;
    g->whole = oak_store_hash_run(g->job, PIECE_BYTES);
    loop->post(loop->user, &g->back);
}

static void piece_post(struct hashing *g)
{
    const struct oak_exec *worker = &g->replica->options.worker;
    g->busy = true;
    worker->post(worker->user, &g->go);
}

static void piece_back(struct oak_task *task)
{
    struct hashing *g = OAK_CONTAINER_OF(task, struct hashing, back);
    struct oak_replica *r = g->replica;
    g->busy = false;
    if (r->closing || g->dropped || g->whole || g->asked == NULL) {
        bool stops = r->closing || (g->dropped && !g->whole);
        g->dropped = false;
        job_end(g, stops ? OAK_EAGAIN : 0);
        if (!replica__close_check(r)) {
            replica__install_go(r, 0);
            replica__damage_look(r);
        }
        return;
    }
    piece_post(g);
}

int oak_replica_hash(struct oak_replica *r, struct oak_replica_hash *hash)
{
    struct hashing *g = &r->hashing;
    const struct oak_store_state *state = oak_kv_state(r->kv);
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (hash->revision > state->revision) {
        return OAK_EFUTUREREV;
    }
    if (hash->revision != 0 && hash->revision < OAK_MAX(state->compacted, (int64_t)1)) {
        return OAK_ECOMPACTED;
    }
    if (g->waiting == OAK_HASHES_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    hash->waits = true;
    hash->link = (struct oak_list){0};
    oak_list_push(&g->questions, &hash->link);
    g->waiting++;
    return 0;
}

void oak_replica_hash_forget(struct oak_replica *r, struct oak_replica_hash *hash)
{
    struct hashing *g = &r->hashing;
    if (!hash->waits) {
        return;
    }
    hash->waits = false;
    if (g->asked == hash) {
        g->asked = NULL; /* the piece under way is the last one */
        return;
    }
    oak_list_remove(&hash->link);
    g->waiting--;
}

static struct oak_replica_hash *take(struct hashing *g)
{
    struct oak_list *node = oak_list_pop(&g->questions);
    if (node == NULL) {
        return NULL;
    }
    g->waiting--;
    return OAK_LIST_ENTRY(node, struct oak_replica_hash, link);
}

void replica__hash_go(struct oak_replica *r)
{
    struct hashing *g = &r->hashing;
    const struct oak_store_state *state = oak_kv_state(r->kv);
    while (g->job == NULL && !r->installing.active && (g->asked = take(g)) != NULL) {
        struct oak_replica_hash *asked = g->asked;
        asked->revision = asked->revision == 0 ? state->revision : asked->revision;
        asked->compacted = state->compacted;
        int error = asked->revision < state->compacted
                        ? OAK_ECOMPACTED
                        : oak_store_hash_begin(r->options.store, asked->revision,
                                               OAK_HASH_VERSIONS_MAX, &g->job);
        if (error != 0) {
            g->job = NULL;
            end(g, error);
            continue;
        }
        g->replica = r;
        g->whole = false;
        g->go.run = piece_go;
        g->back.run = piece_back;
        piece_post(g);
    }
}

bool replica__hash_drop(struct oak_replica *r)
{
    r->hashing.dropped = r->hashing.busy;
    return !r->hashing.busy;
}

void replica__hash_stop(struct oak_replica *r)
{
    struct hashing *g = &r->hashing;
    struct oak_replica_hash *asked;
    end(g, OAK_ESTOPPED);
    while ((asked = take(g)) != NULL) {
        asked->waits = false;
        asked->done(asked, OAK_ESTOPPED);
    }
}
