/* SPDX-License-Identifier: Apache-2.0 */
/* credentials.c: the life of a pair of credentials: new, loaded again, free; what connections are
 * made of.
 *
 * Happy path   1 options are checked and copied
 *              2 the material is read and loaded
 *              3 each handshake takes a reference of what is loaded
 *              4 a reload reads and loads beside it, then swaps
 * Can fail     2 and 4: then what was loaded stays. OAK_ENOMEM anywhere.
 * Invariants   what is loaded is immutable and counted by OpenSSL: a connection keeps that by which
 *              it was made. `load_lock` is taken before `lock`, and never a loop waits for it
 *              unless it loads.
 * Threads      any.
 */
#include <stdlib.h>

#include <openssl/crypto.h>
#include <openssl/err.h>

#include "tls/internal.h"

#define MEMORY_STEP_BYTES ((size_t)1024)
#define MEMORY_BYTES_MAX  OAK_MIB /* of names in the options */

static int no_memory(struct oak_errbuf *e)
{
    ERR_clear_error();
    return oak_fail(e, OAK_ENOMEM, "TLS: out of memory");
}

struct oak_tls *oak_tls_ref(struct oak_tls *tls)
{
    int before = atomic_fetch_add(&tls->refs, 1);
    OAK_ASSERT_GT(before, 0);
    return tls;
}

void oak_tls_free(struct oak_tls *tls)
{
    if (tls == NULL || atomic_fetch_sub(&tls->refs, 1) > 1) {
        return;
    }
    SSL_CTX_free(tls->loaded.ctx);
    tls__material_fini(&tls->material);
    oak_arena_fini(&tls->memory);
    BIO_meth_free(tls->bio);
    CRYPTO_THREAD_lock_free(tls->lock);
    CRYPTO_THREAD_lock_free(tls->load_lock);
    free(tls);
}

static void lock(CRYPTO_RWLOCK *l)
{
    int rc = CRYPTO_THREAD_write_lock(l);
    OAK_ASSERT(rc == 1);
}

static void unlock(CRYPTO_RWLOCK *l)
{
    int rc = CRYPTO_THREAD_unlock(l);
    OAK_ASSERT(rc == 1);
}

static void loaded_swap(struct oak_tls *tls, const struct tls_loaded *fresh)
{
    lock(tls->lock);
    struct tls_loaded old = tls->loaded;
    tls->loaded = *fresh;
    unlock(tls->lock);
    SSL_CTX_free(old.ctx);
}

SSL *tls__ssl_new(struct oak_tls *tls)
{
    lock(tls->lock);
    SSL_CTX *ctx = tls->loaded.ctx;
    int rc = SSL_CTX_up_ref(ctx);
    unlock(tls->lock);
    if (rc != 1) {
        return NULL;
    }
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    return ssl;
}

/* Read and load `material` and go by it. `changed` (may be NULL): only if it has. */
static int load_locked(struct oak_tls *tls, const struct oak_tls_material *material, bool *changed,
                       struct oak_errbuf *e)
{
    struct tls_read read;
    int error = tls__read(material, &read, e);
    if (error != 0) {
        return error;
    }
    bool same = memcmp(read.hash, tls->tried, TLS_HASH_SIZE) == 0;
    if (changed == NULL || !same) {
        struct tls_loaded fresh;
        memcpy(tls->tried, read.hash, TLS_HASH_SIZE);
        error = tls__load(tls, material, &read, &fresh, e);
        if (error == 0) {
            loaded_swap(tls, &fresh);
        }
        if (changed != NULL) {
            *changed = error == 0;
        }
    }
    tls__read_fini(&read);
    return error;
}

static int reload(struct oak_tls *tls, bool *changed, struct oak_errbuf *e)
{
    lock(tls->load_lock);
    int error = load_locked(tls, &tls->material, changed, e);
    unlock(tls->load_lock);
    if (error != 0) {
        atomic_fetch_add(&tls->reloads_failed, 1);
    } else if (changed == NULL || *changed) {
        atomic_fetch_add(&tls->reloads, 1);
    }
    return error == OAK_ENOMEM ? no_memory(e) : error;
}

int oak_tls_reload(struct oak_tls *tls, struct oak_errbuf *e)
{
    return reload(tls, NULL, e);
}

int oak_tls_reload_if_changed(struct oak_tls *tls, bool *changed, struct oak_errbuf *e)
{
    *changed = false;
    return reload(tls, changed, e);
}

int oak_tls_replace(struct oak_tls *tls, const struct oak_tls_material *material,
                    struct oak_errbuf *e)
{
    struct oak_tls_material copy;
    int error = tls__material_check(&tls->options, material, e);
    if (error != 0) {
        return error;
    }
    if (tls__material_copy(&copy, material) != 0) {
        return no_memory(e);
    }
    lock(tls->load_lock);
    error = load_locked(tls, &copy, NULL, e);
    if (error == 0) {
        struct oak_tls_material old = tls->material;
        tls->material = copy;
        copy = old;
    }
    unlock(tls->load_lock);
    tls__material_fini(&copy);
    atomic_fetch_add(error == 0 ? &tls->reloads : &tls->reloads_failed, 1);
    return error == OAK_ENOMEM ? no_memory(e) : error;
}

static int fill(struct oak_tls *tls, const struct oak_tls_options *options, struct oak_errbuf *e)
{
    tls->lock = CRYPTO_THREAD_lock_new();
    tls->load_lock = CRYPTO_THREAD_lock_new();
    tls->bio = tls__bio_method();
    if (tls->lock == NULL || tls->load_lock == NULL || tls->bio == NULL) {
        return OAK_ENOMEM;
    }
    int error = tls__options_take(tls, options, e);
    error = error != 0 ? error : tls__material_copy(&tls->material, &options->material);
    return error != 0 ? error : load_locked(tls, &tls->material, NULL, e);
}

int oak_tls_new(const struct oak_tls_options *options, struct oak_tls **out, struct oak_errbuf *e)
{
    struct oak_tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL) {
        return no_memory(e);
    }
    atomic_init(&tls->refs, 1);
    oak_arena_init(&tls->memory, MEMORY_STEP_BYTES, MEMORY_BYTES_MAX);
    int error = fill(tls, options, e);
    if (error != 0) {
        oak_tls_free(tls);
        return error == OAK_ENOMEM ? no_memory(e) : error;
    }
    *out = tls;
    return 0;
}

void oak_tls_expiry(struct oak_tls *tls, struct oak_tls_expiry *out)
{
    lock(tls->lock);
    *out = tls->loaded.expiry;
    unlock(tls->lock);
}

void oak_tls_counts(struct oak_tls *tls, struct oak_tls_counts *out)
{
    *out = (struct oak_tls_counts){
        .handshakes = atomic_load(&tls->handshakes),
        .failed = atomic_load(&tls->failed),
        .reloads = atomic_load(&tls->reloads),
        .reloads_failed = atomic_load(&tls->reloads_failed),
    };
}
