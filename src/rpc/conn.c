/* SPDX-License-Identifier: Apache-2.0 */
/* conn.c: the life of a connection: bytes in, bytes out.
 *
 * Happy path   feed gives nghttp2 what came, which calls back (inbound.c); take starts waiting
 *              calls and gathers frames until nghttp2 has none or enough is gathered. What time
 *              does to it is in tick.c.
 * Can fail     feed, when the peer broke the protocol beyond repair or abused us: what take gives
 *              then is the goodbye. Want of memory breaks the connection in the same way.
 * Invariants   `broken` is set once; then nghttp2 is never asked again. held_bytes is the sum
 *              over the calls of in.size and held.size.
 * Thread       the loop's.
 */
#include <stdio.h>

#include "rpc/internal.h"

/* -- new and free ------------------------------------------------------------------------------ */

static void limits_fill(struct oak_rpc_limits *l)
{
    l->handlers_max = l->handlers_max != 0 ? l->handlers_max : OAK_HANDLERS_MAX;
    l->connection_handlers_max =
        l->connection_handlers_max != 0 ? l->connection_handlers_max : OAK_STREAMS_MAX;
    l->memory_bytes_max =
        l->memory_bytes_max != 0 ? l->memory_bytes_max : OAK_CONNECTIONS_BYTES_MAX;
    l->rate_burst = l->rate_burst != 0 ? l->rate_burst : l->rate_per_second;
    l->age_max_ns = OAK_MIN(l->age_max_ns, RPC_AGE_MAX_NS);
    l->age_grace_ns = OAK_MIN(l->age_grace_ns, RPC_AGE_MAX_NS);
    l->idle_max_ns = OAK_MIN(l->idle_max_ns, RPC_AGE_MAX_NS);
    l->keepalive_ns = l->keepalive_ns != 0 ? l->keepalive_ns : RPC_SERVER_KEEPALIVE_NS;
    l->keepalive_timeout_ns =
        l->keepalive_timeout_ns != 0 ? l->keepalive_timeout_ns : RPC_KEEPALIVE_TIMEOUT_NS;
    l->stall_ns = l->stall_ns != 0 ? l->stall_ns : RPC_CALL_STALL_NS;
    l->ping_min_ns = l->ping_min_ns != 0 ? l->ping_min_ns : RPC_PING_MIN_NS;
}

static void windows_fill(struct oak_rpc_options *o)
{
    const uint32_t most = INT32_MAX; /* of HTTP/2 */
    if (o->window_bytes_max == 0) {
        o->window_bytes_max = o->window_bytes != 0 ? o->window_bytes : RPC_WINDOW_BYTES_MAX;
    }
    o->window_bytes = o->window_bytes != 0 ? o->window_bytes : RPC_WINDOW_BYTES;
    o->window_bytes = OAK_MIN(o->window_bytes, most);
    o->window_bytes_max = OAK_MIN(OAK_MAX(o->window_bytes_max, o->window_bytes), most);
    o->connection_window_bytes =
        o->connection_window_bytes != 0 ? o->connection_window_bytes : RPC_WINDOW_CONNECTION_BYTES;
    o->connection_window_bytes = OAK_MIN(o->connection_window_bytes, most);
}

struct oak_rpc_options rpc__options(const struct oak_rpc_options *given, bool server)
{
    struct oak_rpc_options o = {0};
    if (given != NULL) {
        o = *given;
    }
    const size_t two_gib = 0x7fffffff;
    o.receive_bytes_max = o.receive_bytes_max != 0
                              ? o.receive_bytes_max
                              : OAK_REQUEST_BYTES_MAX + OAK_REQUEST_OVERHEAD_BYTES;
    o.receive_bytes_max = OAK_MIN(o.receive_bytes_max, two_gib);
    o.send_bytes_max = o.send_bytes_max != 0 ? OAK_MIN(o.send_bytes_max, two_gib) : two_gib;
    o.streams_max = o.streams_max != 0 ? o.streams_max : OAK_STREAMS_MAX;
    windows_fill(&o);
    o.header_bytes_max = o.header_bytes_max != 0 ? o.header_bytes_max : OAK_HEADER_BYTES_MAX;
    o.header_bytes_max = OAK_MIN(o.header_bytes_max, two_gib);
    OAK_ASSERT_LE(o.interceptor_count, OAK_RPC_INTERCEPTORS_MAX);
    limits_fill(&o.limits);
    o.connections_max = o.connections_max != 0 ? o.connections_max : OAK_CONNECTIONS_MAX;
    if (o.unfinished_bytes_max == 0) {
        o.unfinished_bytes_max = server ? RPC_UNFINISHED_BYTES_MAX : SIZE_MAX;
    }
    return o;
}

static int session_new(struct oak_rpc_conn *conn)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    if (rc == 0) {
        rc = nghttp2_option_new(&option);
    }
    if (rc == 0) {
        rpc__inbound_register(callbacks);
        nghttp2_option_set_no_auto_window_update(option, 1);
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_max_send_header_block_length(option, RPC_SEND_HEADER_BYTES_MAX);
        nghttp2_option_set_max_outbound_ack(option, RPC_OUTBOUND_ACKS_MAX);
        nghttp2_option_set_max_continuations(option, RPC_CONTINUATIONS_MAX);
        /* Ours is in abuse.c: it knows resets of finished calls, and the clock it is given. */
        nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
        if (conn->server != NULL) { /* messaging.c looks at what clients send */
            nghttp2_option_set_no_http_messaging(option, 1);
        }
        nghttp2_mem memory = rpc__memory(conn);
        rc = conn->server != NULL
                 ? nghttp2_session_server_new3(&conn->session, callbacks, conn, option, &memory)
                 : nghttp2_session_client_new3(&conn->session, callbacks, conn, option, &memory);
    }
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return rc == 0 ? 0 : OAK_ENOMEM;
}

static int settings_submit(struct oak_rpc_conn *conn)
{
    const struct oak_rpc_options *o = &conn->options;
    nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, o->window_bytes},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)o->header_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    size_t count = OAK_COUNT_OF(entries);
    if (conn->server !=
        NULL) { /* which never has streams of its own making, and can't be pushed to */
        entries[count - 1] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, o->streams_max};
    }
    int rc = nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, entries, count);
    if (rc == 0) {
        rc = nghttp2_session_set_local_window_size(conn->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)o->connection_window_bytes);
    }
    return rc == 0 ? 0 : OAK_ENOMEM;
}

static void text_copy(char *to, size_t size, const char *from)
{
    size_t count = OAK_MIN(strlen(from), size - 1);
    memcpy(to, from, count);
    to[count] = '\0';
}

/* A client's names for whom it speaks to, and for itself. */
static void names_set(struct oak_rpc_conn *conn, const char *peer_name)
{
    const char *agent = conn->options.user_agent;
    size_t size = agent != NULL ? OAK_MIN(strlen(agent), (size_t)RPC_USER_AGENT_BYTES_MAX) : 0;
    for (size_t i = 0; i < size; i++) {
        conn->user_agent[i] = agent[i] >= ' ' && agent[i] <= '~' ? agent[i] : '?';
    }
    snprintf(conn->user_agent + size, sizeof(conn->user_agent) - size, "%soakum-grpc/" OAK_VERSION,
             size > 0 ? " " : "");
    bool named = peer_name != NULL && peer_name[0] != '\0' && strncmp(peer_name, "unix:", 5) != 0;
    const char *authority = conn->options.authority;
    if (authority == NULL) {
        authority = named ? peer_name : "localhost";
    }
    text_copy(conn->authority, sizeof(conn->authority), authority);
}

int rpc__conn_new(struct oak_rpc_server *server, struct rpc_pool *pool,
                  const struct oak_rpc_options *options, const char *peer_name, uint64_t now_ns,
                  struct oak_rpc_conn **out)
{
    struct oak_rpc_conn *conn = rpc__resize(NULL, sizeof(*conn));
    if (conn == NULL) {
        return OAK_ENOMEM;
    }
    *conn =
        (struct oak_rpc_conn){.server = server, .options = rpc__options(options, server != NULL)};
    rpc__pool_init(&conn->own_pool);
    conn->pool = pool != NULL ? pool : &conn->own_pool;
    oak_list_init(&conn->open);
    oak_list_init(&conn->waiting);
    oak_list_init(&conn->ready);
    oak_list_init(&conn->idle_link);
    rpc__charge(conn, sizeof(*conn));
    conn->now_ns = now_ns;
    conn->heard_ns = now_ns;
    conn->strict.last_id = -1;
    conn->keepalive_timeout_ns = RPC_KEEPALIVE_TIMEOUT_NS;
    if (server != NULL) { /* a client's transport may come later */
        const struct oak_rpc_limits *l = &conn->options.limits;
        conn->begun_ns = OAK_MAX(now_ns, (uint64_t)1);
        rpc__idle_begin(conn);
        conn->keepalive_ns = l->keepalive_ns == OAK_RPC_NEVER_NS ? 0 : l->keepalive_ns;
        conn->keepalive_timeout_ns = l->keepalive_timeout_ns;
        if (l->age_max_ns != 0) { /* not all that began together end together */
            uint64_t tenth_ns = l->age_max_ns / 10;
            conn->age_due_ns = now_ns + oak_prng_between(&server->prng, l->age_max_ns - tenth_ns,
                                                         l->age_max_ns + tenth_ns);
        }
    }
    text_copy(conn->peer, sizeof(conn->peer), peer_name != NULL ? peer_name : "");
    names_set(conn, peer_name);
    int error = session_new(conn);
    if (error == 0) {
        error = settings_submit(conn);
    }
    if (error != 0) {
        oak_rpc_conn_free(conn);
        return error;
    }
    *out = conn;
    return 0;
}

int oak_rpc_conn_new(struct oak_rpc_server *server, const struct oak_rpc_options *options,
                     const char *peer_name, uint64_t now_ns, struct oak_rpc_conn **out)
{
    const struct oak_rpc_options *o =
        options == NULL && server != NULL ? &server->options : options;
    return rpc__conn_new(server, server != NULL ? &server->pool : NULL, o, peer_name, now_ns, out);
}

/* What has been decided of it, or else what the connection says. */
static void end_one(struct oak_rpc_call *call, enum oak_rpc_code code, const char *text)
{
    if (call->verdict_due) {
        rpc__call_end(call, call->code, oak_buf_bytes(&call->status_text));
    } else if (call->cancelled) {
        rpc__call_end(call, OAK_RPC_CANCELLED, oak_bytes_str("call canceled"));
    } else {
        rpc__call_end(call, code, oak_bytes_str(text));
    }
}

static void end_list(struct oak_list *list, enum oak_rpc_code code, const char *text)
{
    while (!oak_list_empty(list)) {
        struct oak_rpc_call *call = OAK_LIST_ENTRY(list->next, struct oak_rpc_call, link);
        if (call->stream_id != 0) {
            nghttp2_session_set_stream_user_data(call->conn->session, call->stream_id, NULL);
            call->stream_id = 0;
        }
        if (!call->ended) {
            end_one(call, code, text);
        }
        rpc__call_release(call);
    }
}

void rpc__conn_end_open(struct oak_rpc_conn *conn, enum oak_rpc_code code, const char *text)
{
    end_list(&conn->open, code, text);
}

void rpc__conn_end_waiting(struct oak_rpc_conn *conn, enum oak_rpc_code code, const char *text)
{
    end_list(&conn->waiting, code, text);
}

void oak_rpc_conn_free(struct oak_rpc_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    OAK_ASSERT_EQ(conn->depth, 0);
    conn->wake = NULL;
    conn->broken = conn->broken != 0 ? conn->broken : OAK_ECLOSED;
    rpc__conn_end_open(conn, OAK_RPC_UNAVAILABLE, "connection closed");
    rpc__conn_end_waiting(conn, OAK_RPC_UNAVAILABLE, "connection closed");
    rpc__admit_forget(conn);
    OAK_ASSERT_EQ(conn->held_bytes, 0);
    OAK_ASSERT_EQ(conn->partial_bytes, 0);
    rpc__idle_end(conn);
    nghttp2_session_del(conn->session);
    rpc__memory_end(conn);
    rpc__discharge(conn, sizeof(*conn));
    OAK_ASSERT(conn->memory_bytes == 0 || conn->starved); /* nghttp2 has forgotten nothing */
    rpc__discharge(conn, conn->memory_bytes);
    rpc__deadlines_fini(&conn->deadlines);
    rpc__pool_fini(&conn->own_pool);
    oak_buf_fini(&conn->out);
    rpc__resize(conn, 0);
}

void rpc__conn_begin(struct oak_rpc_conn *conn, uint64_t now_ns,
                     const struct oak_rpc_subchannel_options *options)
{
    OAK_ASSERT(conn->server == NULL);
    conn->now_ns = OAK_MAX(conn->now_ns, now_ns);
    conn->heard_ns = conn->now_ns;
    conn->begun_ns = OAK_MAX(conn->now_ns, (uint64_t)1);
    conn->keepalive_ns = options->keepalive_ns;
    conn->keepalive_timeout_ns = options->keepalive_timeout_ns;
    conn->keepalive_calls_only = options->keepalive_calls_only;
}

/* -- going wrong ------------------------------------------------------------------------------- */

void rpc__conn_wake(struct oak_rpc_conn *conn)
{
    if (conn->wake != NULL) {
        conn->wake(conn->wake_user);
    }
}

void rpc__conn_break(struct oak_rpc_conn *conn, int error)
{
    if (conn->broken != 0) {
        return;
    }
    conn->broken = error;
    rpc__idle_end(conn);
    if (error == OAK_ELIMIT && conn->server != NULL) {
        rpc__guard_count(&conn->server->traffic, conn->guard.kind);
    }
    rpc__conn_wake(conn);
}

void rpc__conn_check(struct oak_rpc_conn *conn, int rc)
{
    if (rc == NGHTTP2_ERR_NOMEM) {
        rpc__conn_break(conn, OAK_ENOMEM);
    }
}

/* What nghttp2 could not swallow. */
static void break_by(struct oak_rpc_conn *conn, ssize_t rc)
{
    rpc__conn_check(conn, (int)rc);
    if (conn->guard.reason != NULL) {
        rpc__conn_break(conn, OAK_ELIMIT);
    } else if (rc == NGHTTP2_ERR_FLOODED || rc == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        bool flood = rc == NGHTTP2_ERR_FLOODED;
        rpc__guard_refuse(conn, flood ? OAK_RPC_ABUSE_UNREAD : OAK_RPC_ABUSE_CONTINUATIONS,
                          flood ? "too_many_unread_answers" : "too_many_continuations");
        rpc__conn_break(conn, OAK_ELIMIT);
    } else {
        rpc__conn_break(conn, rc == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? OAK_EFORMAT : OAK_ENOMEM);
    }
}

/* The last GOAWAY, by hand: nghttp2 has given up, or would first send what it has queued. */
static void goodbye_append(struct oak_rpc_conn *conn, struct oak_buf *out)
{
    conn->goodbye_queued = true;
    if (conn->broken == OAK_EFORMAT) {
        return; /* the peer speaks something else */
    }
    const char *reason = conn->guard.reason != NULL ? conn->guard.reason : "";
    uint32_t code = conn->broken == OAK_ELIMIT    ? NGHTTP2_ENHANCE_YOUR_CALM
                    : conn->broken == OAK_ECLOSED ? NGHTTP2_NO_ERROR
                                                  : NGHTTP2_INTERNAL_ERROR;
    size_t size = strlen(reason);
    uint8_t frame[RPC_HTTP2_FRAME_HEAD_BYTES + 8] = {0};
    frame[2] = (uint8_t)(8 + size); /* reasons are short texts of ours */
    frame[3] = NGHTTP2_GOAWAY;
    oak_put_be32(frame + RPC_HTTP2_FRAME_HEAD_BYTES,
                 (uint32_t)nghttp2_session_get_last_proc_stream_id(conn->session));
    oak_put_be32(frame + RPC_HTTP2_FRAME_HEAD_BYTES + 4, code);
    if (oak_buf_reserve(out, sizeof(frame) + size) == 0) {
        int error = oak_buf_append(out, frame, sizeof(frame));
        OAK_ASSERT_EQ(error, 0);
        error = oak_buf_append(out, reason, size);
        OAK_ASSERT_EQ(error, 0);
    }
}

/* -- flow control ------------------------------------------------------------------------------ */

static void window_credit(struct oak_rpc_conn *conn, size_t size)
{
    rpc__conn_check(conn, nghttp2_session_consume_connection(conn->session, size));
}

/* The window of the connection is credited at once, so that one paused call doesn't stop the
 * others; that of its stream is not, and so bounds what a paused call holds. Only when all together
 * hold too much does the connection stop. */
void rpc__conn_received(struct oak_rpc_conn *conn, size_t size)
{
    if (conn->held_bytes > RPC_HELD_BYTES_MAX) {
        conn->owed_bytes += size;
    } else {
        window_credit(conn, size);
    }
}

void rpc__conn_unhold(struct oak_rpc_conn *conn, size_t size)
{
    OAK_ASSERT_LE(size, conn->held_bytes);
    conn->held_bytes -= size;
    if (conn->owed_bytes > 0 && conn->held_bytes <= RPC_HELD_BYTES_MAX && conn->broken == 0) {
        size_t owed = conn->owed_bytes;
        conn->owed_bytes = 0;
        window_credit(conn, owed);
        rpc__conn_wake(conn);
    }
}

/* -- bytes ------------------------------------------------------------------------------------- */

void rpc__conn_looks(struct oak_rpc_conn *conn)
{
    struct oak_list *node;
    while (conn->broken == 0 && (node = oak_list_pop(&conn->ready)) != NULL) {
        rpc__call_look(OAK_LIST_ENTRY(node, struct oak_rpc_call, ready_link));
    }
}

int oak_rpc_conn_feed(struct oak_rpc_conn *conn, struct oak_bytes bytes, uint64_t now_ns)
{
    OAK_ASSERT_EQ(conn->depth, 0);
    if (conn->broken != 0) {
        return conn->broken;
    }
    conn->now_ns = OAK_MAX(conn->now_ns, now_ns);
    conn->heard_ns = conn->now_ns;
    conn->depth++;
    ssize_t rc = nghttp2_session_mem_recv(conn->session, bytes.data, bytes.size);
    if (rc < 0) {
        break_by(conn, rc);
    }
    rpc__conn_looks(conn);
    conn->depth--;
    return conn->broken;
}

size_t rpc__conn_gathered(const struct oak_rpc_conn *conn)
{
    return conn->gather->size + (conn->lent != NULL ? conn->lent->bytes : 0);
}

/* Frames of nghttp2 into `out`. False: it had none. */
static bool frames_append(struct oak_rpc_conn *conn, struct oak_buf *out)
{
    size_t before = rpc__conn_gathered(conn);
    while (conn->broken == 0 && rpc__conn_gathered(conn) < conn->gather_end) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(conn->session, &data);
        if (size < 0) {
            break_by(conn, size);
        } else if (size == 0) {
            break;
        } else if (oak_buf_append(out, data, (size_t)size) != 0) {
            rpc__conn_break(conn, OAK_ENOMEM);
        }
    }
    return rpc__conn_gathered(conn) > before;
}

void rpc__conn_gather(struct oak_rpc_conn *conn, struct oak_buf *out, struct rpc_lent *lent)
{
    OAK_ASSERT_EQ(conn->depth, 0);
    OAK_ASSERT(lent == NULL || lent->count == 0);
    conn->depth++;
    conn->gather = out;
    conn->lent = lent;
    conn->gather_end = out->size + RPC_TAKE_BYTES;
    bool more = true;
    while (conn->broken == 0 && more) {
        rpc__conn_looks(conn);
        if (conn->server == NULL) {
            rpc__client_start(conn);
        }
        /* What left may have closed streams: room for waiting calls, and handlers that went on. */
        more = frames_append(conn, out) && rpc__conn_gathered(conn) < conn->gather_end;
        more = more || !oak_list_empty(&conn->ready);
    }
    if (conn->broken != 0 && !conn->goodbye_queued) {
        goodbye_append(conn, out);
    }
    conn->gather = NULL;
    conn->lent = NULL;
    conn->depth--;
}

struct oak_bytes oak_rpc_conn_take(struct oak_rpc_conn *conn)
{
    oak_buf_clear(&conn->out);
    rpc__conn_gather(conn, &conn->out, NULL);
    return oak_buf_bytes(&conn->out);
}

bool oak_rpc_conn_done(const struct oak_rpc_conn *conn)
{
    if (conn->broken != 0) {
        return conn->goodbye_queued;
    }
    if (conn->server == NULL && conn->going && conn->open_count == 0) {
        return nghttp2_session_want_write(conn->session) == 0;
    }
    return nghttp2_session_want_read(conn->session) == 0 &&
           nghttp2_session_want_write(conn->session) == 0;
}
