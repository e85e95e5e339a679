/* SPDX-License-Identifier: Apache-2.0 */
/* walk.c: what a snapshot has in it, record by record, for who makes another thing of it than a
 * store.
 *
 * Happy path   a snapshot's stream is read and taken apart by the same code that restores one.
 * Can fail     OAK_ENOMEM, what reading a snapshot fails by, and what the visitor says.
 * Thread       begin and end: the owner's. run: any one.
 */
#include "store/internal.h"

#include <stdlib.h>

/* Bytes of the stream that are read at once. */
#define PIECE_BYTES (64 * OAK_KIB)

struct oak_store_walk {
    struct oak_store_snapshot *snap;
    struct store_stream_in in;
    struct oak_store_visitor visitor;
    uint8_t *piece;
    bool whole;
    int error;
};

static int sink_state(void *arg, const struct oak_store_state *state)
{
    const struct oak_store_walk *w = arg;
    OAK_ASSERT_EQ(state->applied, w->snap->state.applied);
    return 0;
}

static int sink_meta(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    const struct oak_store_walk *w = arg;
    return w->visitor.meta(w->visitor.arg, key, data);
}

static int sink_version(void *arg, const struct store_item *item)
{
    const struct oak_store_walk *w = arg;
    return w->visitor.version(w->visitor.arg, item->rev, item->deleted, &item->kv);
}

int oak_store_walk_begin(struct oak_store *s, const struct oak_store_visitor *visitor,
                         struct oak_store_walk **out)
{
    *out = NULL;
    struct oak_store_walk *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    const struct store_stream_sink sink = {
        .state = sink_state, .meta = sink_meta, .version = sink_version, .arg = w};
    w->visitor = *visitor;
    store__stream_in_init(&w->in, &sink);
    w->piece = malloc(PIECE_BYTES);
    int error = w->piece == NULL ? OAK_ENOMEM : oak_store_snapshot_open(s, &w->snap);
    if (error != 0) {
        oak_store_walk_end(w);
        return error;
    }
    *out = w;
    return 0;
}

const struct oak_store_state *oak_store_walk_state(const struct oak_store_walk *w)
{
    return oak_store_snapshot_state(w->snap);
}

bool oak_store_walk_run(struct oak_store_walk *w, size_t bytes)
{
    size_t done = 0;
    while (w->error == 0 && !w->whole && done < bytes) {
        size_t got = 0;
        w->error = oak_store_snapshot_read(w->snap, w->piece, PIECE_BYTES, &got);
        if (w->error == 0 && got > 0) {
            w->error = store__stream_feed(&w->in, oak_bytes(w->piece, got));
        } else if (w->error == 0) {
            w->error = store__stream_finish(&w->in);
            w->whole = true;
        }
        done += got;
    }
    return w->error != 0 || w->whole;
}

int oak_store_walk_error(const struct oak_store_walk *w)
{
    return w->error != 0 ? w->error : w->whole ? 0 : OAK_EAGAIN;
}

void oak_store_walk_end(struct oak_store_walk *w)
{
    if (w->snap != NULL) {
        oak_store_snapshot_close(w->snap);
    }
    store__stream_in_fini(&w->in);
    free(w->piece);
    free(w);
}
