/* SPDX-License-Identifier: Apache-2.0 */
/* fill.c: contents from versions that come one by one, in order.
 *
 * Happy path   versions become the stream of a snapshot, which is restored as any.
 * Can fail     what a restore fails by; OAK_EINVAL: what no store could hold.
 * Invariants   what the floor hides is not passed on, so that two that are filled with the same
 *              are the same.
 * Thread       the store's owner.
 */
#include "store/internal.h"

#include <stdlib.h>

/* Of the stream, before it is passed on. */
#define PIECE_BYTES (256 * OAK_KIB)

struct oak_store_fill {
    struct oak_store_restore *restore;
    struct store_stream_out out;
    struct oak_buf piece;
    struct oak_buf last; /* key */
    struct oak_store_rev last_rev;
    struct store_sieve sieve;
    struct oak_store_state state;
};

static void fill_free(struct oak_store_fill *f)
{
    oak_buf_fini(&f->piece);
    oak_buf_fini(&f->last);
    free(f);
}

int oak_store_fill_begin(struct oak_store *s, const struct oak_store_state *state,
                         struct oak_store_fill **out)
{
    *out = NULL;
    struct oak_store_fill *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return OAK_ENOMEM;
    }
    f->state = *state;
    int error = store__stream_state(&f->out, state, &f->piece);
    error = error != 0 ? error : oak_store_restore_begin(s, &f->restore);
    if (error != 0) {
        fill_free(f);
        return error;
    }
    *out = f;
    return 0;
}

static int pass_on(struct oak_store_fill *f)
{
    int error = oak_store_restore_write(f->restore, oak_buf_bytes(&f->piece));
    oak_buf_clear(&f->piece);
    return error;
}

/* Could a store hold it, and is it the next? */
static bool fits(const struct oak_store_fill *f, struct oak_store_rev rev, bool deleted,
                 const struct oak_store_kv *kv, int order)
{
    bool sized = kv->key.size > 0 && kv->key.size <= STORE_PAIR_BYTES_MAX &&
                 kv->value.size <= STORE_PAIR_BYTES_MAX - kv->key.size;
    bool numbered = rev.main >= 1 && rev.sub >= 0 && rev.main <= f->state.revision &&
                    (deleted || (kv->create_rev >= 1 && kv->create_rev <= rev.main &&
                                 kv->mod_rev == rev.main && kv->version >= 1));
    return sized && numbered && (order < 0 || (order == 0 && store__rev_cmp(f->last_rev, rev) > 0));
}

int oak_store_fill_put(struct oak_store_fill *f, struct oak_store_rev rev, bool deleted,
                       const struct oak_store_kv *kv)
{
    int order = f->last.size == 0 ? -1 : oak_bytes_cmp(oak_buf_bytes(&f->last), kv->key);
    if (!fits(f, rev, deleted, kv, order)) {
        return OAK_EINVAL;
    }
    if (order < 0) {
        oak_buf_clear(&f->last);
        int error = oak_buf_append(&f->last, kv->key.data, kv->key.size);
        if (error != 0) {
            return error;
        }
        f->sieve = (struct store_sieve){0};
    }
    f->last_rev = rev;
    if (!store__sieve_keeps(&f->sieve, f->state.compacted, rev.main, deleted)) {
        return 0;
    }
    struct store_item item = {.rev = rev, .deleted = deleted, .kv = *kv};
    item.kv.mod_rev = rev.main;
    int error = store__stream_version(&f->out, &item, &f->piece);
    return error != 0 || f->piece.size < PIECE_BYTES ? error : pass_on(f);
}

int oak_store_fill_end(struct oak_store_fill *f)
{
    int error = store__stream_end(&f->out, &f->piece);
    error = error != 0 ? error : pass_on(f);
    if (error != 0) {
        oak_store_fill_abort(f);
        return error;
    }
    error = oak_store_restore_finish(f->restore);
    fill_free(f);
    return error;
}

void oak_store_fill_abort(struct oak_store_fill *f)
{
    if (f == NULL) {
        return;
    }
    oak_store_restore_drop(f->restore);
    oak_store_restore_end(f->restore);
    fill_free(f);
}
