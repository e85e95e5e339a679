/* SPDX-License-Identifier: Apache-2.0 */
/* metadata.c: what a handler may ask of its call, and what it says beside its messages.
 *
 * Happy path   what the peer sent lies in `meta`, decoded, in the order of its coming: headers
 *              first, and a client's trailers behind them, from trailers_at on.
 * Can fail     adding: forbidden by HTTP, too much, too late, no memory.
 * Invariants   what begins with ':' is in `meta` for ourselves, and given out by functions of its
 *              own only.
 * Thread       the connection's.
 */
#include "rpc/internal.h"

static bool is_server(const struct oak_rpc_call *call)
{
    return call->conn->server != NULL;
}

/* -- said -------------------------------------------------------------------------------------- */

static int pair_add(struct oak_buf *pairs, struct oak_rpc_pair pair)
{
    if (pairs->size + pair.name.size + pair.value.size > RPC_PAIRS_BYTES_MAX) {
        return OAK_ELIMIT;
    }
    return rpc__pairs_add_user(pairs, pair);
}

int oak_rpc_call_add_header(struct oak_rpc_call *call, struct oak_rpc_pair pair)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->add_header != NULL ? carrier->add_header(call, pair) : OAK_EUNIMPLEMENTED;
    }
    return call->ended || call->headers_due ? OAK_ECLOSED : pair_add(&call->head, pair);
}

int oak_rpc_call_add_trailer(struct oak_rpc_call *call, struct oak_rpc_pair pair)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->add_trailer != NULL ? carrier->add_trailer(call, pair) : OAK_EUNIMPLEMENTED;
    }
    OAK_ASSERT(is_server(call));
    return call->ended || call->finished ? OAK_ECLOSED : pair_add(&call->tail, pair);
}

int oak_rpc_call_finish_details(struct oak_rpc_call *call, enum oak_rpc_code code,
                                const char *message, struct oak_bytes details)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL && carrier->finish_details != NULL) {
        return carrier->finish_details(call, code, message, details);
    }
    if (carrier != NULL) {
        return OAK_EUNIMPLEMENTED;
    }
    struct oak_rpc_pair pair = {oak_bytes_str("grpc-status-details-bin"), details};
    int error = details.size > 0 ? oak_rpc_call_add_trailer(call, pair) : 0;
    if (error != 0) {
        return error;
    }
    oak_rpc_call_finish(call, code, message);
    return 0;
}

/* -- asked ------------------------------------------------------------------------------------- */

struct oak_bytes oak_rpc_call_metadata(const struct oak_rpc_call *call, const char *name)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->metadata(call, name);
    }
    return rpc__pairs_find(&call->meta, oak_bytes_str(name));
}

bool oak_rpc_call_metadata_next(const struct oak_rpc_call *call, enum oak_rpc_part part, size_t *at,
                                struct oak_rpc_pair *out)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->metadata_next != NULL && carrier->metadata_next(call, part, at, out);
    }
    size_t end = call->trailers_begun ? call->trailers_at : call->meta.size;
    if (part == OAK_RPC_TRAILERS) {
        *at = OAK_MAX(*at, end);
        end = call->meta.size;
    }
    while (*at < end && rpc__pairs_next(&call->meta, at, out)) {
        if (out->name.size == 0 || out->name.data[0] != ':') {
            return true;
        }
    }
    return false;
}

struct oak_bytes oak_rpc_call_authority(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->authority != NULL ? carrier->authority(call) : oak_bytes(NULL, 0);
    }
    if (!is_server(call)) {
        return oak_bytes_str(call->conn->authority);
    }
    struct oak_bytes found = rpc__pairs_find(&call->meta, oak_bytes_str(":authority"));
    return found.data != NULL ? found : rpc__pairs_find(&call->meta, oak_bytes_str("host"));
}

uint64_t oak_rpc_call_deadline_ns(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->deadline_ns(call);
    }
    return call->deadline_ns;
}

struct oak_bytes oak_rpc_call_path(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->path(call);
    }
    if (call->method != NULL) {
        return oak_bytes(call->method->path, call->method->path_size);
    }
    return rpc__pairs_find(is_server(call) ? &call->meta : &call->head, oak_bytes_str(":path"));
}

const char *oak_rpc_call_peer(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->peer(call);
    }
    return call->conn->peer;
}

const struct oak_identity *oak_rpc_call_identity(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    return carrier != NULL ? carrier->identity(call) : call->conn->identity;
}

const struct oak_process *oak_rpc_call_process(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->process != NULL ? carrier->process(call) : NULL;
    }
    return call->conn->process;
}

bool oak_rpc_call_owed(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->owed(call);
    }
    bool incoming = !call->paused && (call->prefix_used > 0 || call->in.size > 0);
    return !call->ended && (incoming || rpc__call_queued(call) > 0);
}

uint64_t oak_rpc_call_moved_ns(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    return carrier != NULL ? carrier->moved_ns(call) : call->moved_ns;
}
