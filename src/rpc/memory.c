/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c: what a connection costs, and what nghttp2's memory comes from.
 *
 * Happy path   nghttp2 asks for a dozen small blocks a call and gives them back: they go round in
 *              the pool, by sizes of 64 bytes. Every block, every call, and what a call holds of
 *              messages and headers is charged to its connection, and so to the server.
 * Can fail     no memory. Then nghttp2 (1.52) may have freed what it still points at: from there on
 *              what it frees is laid aside until the session is gone, and freed once.
 * Invariants   a server's memory is the sum of its connections', but of those that were shed. Past
 *              its limit the connections that have been idle longest go first; when none is left,
 *              what asked for more is refused.
 * Thread       the loop's.
 */
#include "rpc/internal.h"

/* A block's size without its head is a multiple of this; the pool keeps those of up to so many. */
#define STEP_BYTES   64u
#define POOLED_STEPS RPC_POOLED_STEPS

struct block {
    struct block *next; /* in the pool, or among those laid aside */
    uint32_t size;      /* behind the head */
    bool aside;
};
OAK_STATIC_ASSERT(sizeof(struct block) % 16 == 0,
                  "what is behind the head is aligned for any type");

/* A sanitizer wants to see each block come and go. */
#if defined(__SANITIZE_ADDRESS__)
#define POOL_BYTES_MAX ((size_t)0)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_BYTES_MAX ((size_t)0)
#endif
#endif
#if !defined(POOL_BYTES_MAX)
#define POOL_BYTES_MAX RPC_POOLED_BYTES_MAX
#endif

/* -- charging ---------------------------------------------------------------------------------- */

void rpc__charge(struct oak_rpc_conn *conn, size_t bytes)
{
    conn->memory_bytes += bytes;
    if (conn->server != NULL && !conn->shed) {
        conn->server->traffic.memory_bytes += bytes;
    }
}

void rpc__discharge(struct oak_rpc_conn *conn, size_t bytes)
{
    OAK_ASSERT_LE(bytes, conn->memory_bytes);
    conn->memory_bytes -= bytes;
    if (conn->server != NULL && !conn->shed) {
        OAK_ASSERT_LE(bytes, conn->server->traffic.memory_bytes);
        conn->server->traffic.memory_bytes -= bytes;
    }
}

/* The one that has been without a call for the longest time has to go. False: there is none. */
static bool shed_one(struct oak_rpc_server *server)
{
    struct oak_list *node = oak_list_pop(&server->idle);
    if (node == NULL) {
        return false;
    }
    struct oak_rpc_conn *conn = OAK_LIST_ENTRY(node, struct oak_rpc_conn, idle_link);
    OAK_ASSERT_EQ(conn->open_count, 0);
    server->traffic.memory_bytes -= conn->memory_bytes;
    server->traffic.shed++;
    conn->shed = true;
    conn->guard.reason = "out_of_memory";
    rpc__conn_break(conn, OAK_ECLOSED);
    return true;
}

bool rpc__memory_fits(struct oak_rpc_server *server)
{
    if (server == NULL) {
        return true;
    }
    size_t max = server->options.limits.memory_bytes_max;
    while (server->traffic.memory_bytes > max && shed_one(server)) {
    }
    return server->traffic.memory_bytes <= max;
}

void rpc__idle_begin(struct oak_rpc_conn *conn)
{
    OAK_ASSERT_EQ(conn->open_count, 0);
    conn->idle_ns = conn->now_ns;
    if (conn->server != NULL && !oak_list_linked(&conn->idle_link) && conn->broken == 0) {
        oak_list_push(&conn->server->idle, &conn->idle_link);
    }
}

void rpc__idle_end(struct oak_rpc_conn *conn)
{
    if (oak_list_linked(&conn->idle_link)) {
        oak_list_remove(&conn->idle_link);
    }
}

/* -- blocks ------------------------------------------------------------------------------------ */

static struct block *head_of(void *p)
{
    return (struct block *)p - 1;
}

static size_t step_of(size_t size)
{
    return size == 0 ? 1 : (size + STEP_BYTES - 1) / STEP_BYTES;
}

static void *block_new(size_t size, void *user)
{
    struct oak_rpc_conn *conn = user;
    struct rpc_pool *pool = conn->pool;
    if (size > UINT32_MAX / 2) {
        return NULL;
    }
    size_t step = step_of(size);
    struct block *b = step <= POOLED_STEPS ? pool->blocks[step - 1] : NULL;
    if (b != NULL) {
        pool->blocks[step - 1] = b->next;
        pool->block_bytes -= b->size;
    } else {
        b = rpc__resize(NULL, sizeof(*b) + step * STEP_BYTES);
        if (b == NULL) {
            conn->starved = true;
            return NULL;
        }
    }
    *b = (struct block){.size = (uint32_t)(step * STEP_BYTES)};
    rpc__charge(conn, sizeof(*b) + b->size);
    return b + 1;
}

static void block_free(void *p, void *user)
{
    struct oak_rpc_conn *conn = user;
    struct rpc_pool *pool = conn->pool;
    if (p == NULL) {
        return;
    }
    struct block *b = head_of(p);
    if (b->aside) {
        return; /* for the second time */
    }
    rpc__discharge(conn, sizeof(*b) + b->size);
    size_t step = b->size / STEP_BYTES;
    if (conn->starved) {
        b->aside = true;
        b->next = conn->aside;
        conn->aside = b;
    } else if (step <= POOLED_STEPS && pool->block_bytes + b->size <= POOL_BYTES_MAX) {
        b->next = pool->blocks[step - 1];
        pool->blocks[step - 1] = b;
        pool->block_bytes += b->size;
    } else {
        rpc__resize(b, 0);
    }
}

static void *block_zero(size_t count, size_t size, void *user)
{
    if (count > 0 && size > SIZE_MAX / count) {
        return NULL;
    }
    void *p = block_new(count * size, user);
    if (p != NULL) {
        memset(p, 0, count * size);
    }
    return p;
}

static void *block_resize(void *p, size_t size, void *user)
{
    if (p == NULL) {
        return block_new(size, user);
    }
    const struct block *b = head_of(p);
    if (size <= b->size && size > b->size / 2) {
        return p;
    }
    void *fresh = block_new(size, user);
    if (fresh != NULL) {
        memcpy(fresh, p, OAK_MIN(size, (size_t)b->size));
        block_free(p, user);
    }
    return fresh;
}

nghttp2_mem rpc__memory(struct oak_rpc_conn *conn)
{
    return (nghttp2_mem){.mem_user_data = conn,
                         .malloc = block_new,
                         .free = block_free,
                         .calloc = block_zero,
                         .realloc = block_resize};
}

static void chain_free(struct block *b)
{
    while (b != NULL) {
        struct block *next = b->next;
        rpc__resize(b, 0);
        b = next;
    }
}

void rpc__memory_end(struct oak_rpc_conn *conn)
{
    chain_free(conn->aside);
    conn->aside = NULL;
}

void rpc__blocks_fini(struct rpc_pool *pool)
{
    for (size_t i = 0; i < POOLED_STEPS; i++) {
        chain_free(pool->blocks[i]);
        pool->blocks[i] = NULL;
    }
    pool->block_bytes = 0;
}
