/* SPDX-License-Identifier: Apache-2.0 */
/* pack.c: compression of a call's messages: the names that headers carry, packing what is sent,
 * unpacking what came.
 *
 * Happy path   a message to be packed is queued as it is, and packed by the next call on it that
 *              looks at the queue: so a message that is filled in place is packed as well. Each
 *              stands alone; the flag before it says whether it is packed.
 * Can fail     what came is damaged (INTERNAL) or too large once unpacked (RESOURCE_EXHAUSTED).
 *              What we send never fails for it: what doesn't become smaller, or finds no memory,
 *              leaves as it is.
 * Invariants   only the last message of `out` is ever due, and nothing of it has been taken.
 * Thread       the connection's.
 */
#include <stdio.h>

#include "rpc/internal.h"

static const char *const names[] = {
    [OAK_RPC_IDENTITY] = "identity", [OAK_RPC_GZIP] = "gzip", [OAK_RPC_DEFLATE] = "deflate"};

const char *rpc__encoding_name(enum oak_rpc_encoding encoding)
{
    OAK_ASSERT_LT(encoding, OAK_COUNT_OF(names));
    return names[encoding];
}

bool rpc__encoding_parse(struct oak_bytes text, enum oak_rpc_encoding *out)
{
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (oak_bytes_eq(text, oak_bytes_str(names[i]))) {
            *out = (enum oak_rpc_encoding)i;
            return true;
        }
    }
    return false;
}

static struct oak_bytes trim(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t')) {
        at++;
    }
    while (at < end && (end[-1] == ' ' || end[-1] == '\t')) {
        end--;
    }
    return oak_bytes(at, (size_t)(end - at));
}

uint8_t rpc__encodings_parse(struct oak_bytes list)
{
    uint8_t set = 0;
    const uint8_t *at = list.data;
    const uint8_t *end = list.size > 0 ? list.data + list.size : list.data;
    while (at < end) {
        const uint8_t *comma = memchr(at, ',', (size_t)(end - at));
        const uint8_t *stop = comma != NULL ? comma : end;
        enum oak_rpc_encoding encoding;
        if (rpc__encoding_parse(trim(at, stop), &encoding)) {
            set = (uint8_t)(set | 1u << encoding);
        }
        at = stop < end ? stop + 1 : end;
    }
    return set;
}

static enum oak_zip_form form_of(enum oak_rpc_encoding encoding)
{
    OAK_ASSERT_NE(encoding, OAK_RPC_IDENTITY);
    return encoding == OAK_RPC_GZIP ? OAK_ZIP_GZIP : OAK_ZIP_ZLIB;
}

/* A scratch buffer goes back for the next message, unless it has become large. */
static void scratch_keep(struct oak_buf *place, struct oak_buf used)
{
    oak_buf_clear(&used);
    if (used.capacity > RPC_SCRATCH_BYTES_MAX || place->capacity > 0) {
        oak_buf_fini(&used);
        return;
    }
    *place = used;
}

/* -- what is sent ------------------------------------------------------------------------------ */

int oak_rpc_call_compress(struct oak_rpc_call *call, enum oak_rpc_encoding encoding)
{
    OAK_ASSERT_LT(encoding, OAK_COUNT_OF(names));
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->compress != NULL ? carrier->compress(call, encoding) : OAK_EUNIMPLEMENTED;
    }
    if (call->ended || call->headers_due || rpc__call_queued(call) > 0) {
        return OAK_ECLOSED; /* what a client has queued may be packed already */
    }
    if (encoding != OAK_RPC_IDENTITY && call->conn->server != NULL &&
        (call->accepts & 1u << encoding) == 0) {
        return OAK_EUNIMPLEMENTED;
    }
    call->encoding_out = encoding;
    call->compress = encoding != OAK_RPC_IDENTITY;
    return 0;
}

void oak_rpc_call_compress_messages(struct oak_rpc_call *call, bool on)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier == NULL) {
        call->compress = on && call->encoding_out != OAK_RPC_IDENTITY;
    } else if (carrier->compress_messages != NULL) {
        carrier->compress_messages(call, on);
    }
}

void rpc__pack_begin(struct oak_rpc_call *call, size_t at)
{
    OAK_ASSERT(!call->pack_due);
    call->pack_due = true;
    call->pack_at = at;
}

void rpc__pack(struct oak_rpc_call *call)
{
    if (!call->pack_due) {
        return;
    }
    call->pack_due = false;
    struct rpc_pool *pool = call->conn->pool;
    struct oak_buf *out = &call->out;
    size_t body = call->pack_at + RPC_FRAME_HEAD_BYTES;
    OAK_ASSERT(call->out_at <= call->pack_at && body <= out->size);
    struct oak_buf packed = pool->packed;
    pool->packed = (struct oak_buf){0};
    int error = oak_zip_pack(&pool->zip, form_of(call->encoding_out),
                             oak_bytes(out->data + body, out->size - body), &packed);
    if (error == 0) {
        OAK_ASSERT_LT(packed.size, out->size - body);
        out->data[call->pack_at] = 1;
        oak_put_be32(out->data + call->pack_at + 1, (uint32_t)packed.size);
        memcpy(out->data + body, packed.data, packed.size);
        rpc__call_discharge(call, out->size - body - packed.size);
        out->size = body + packed.size;
    }
    scratch_keep(&pool->packed, packed);
}

/* -- what came --------------------------------------------------------------------------------- */

bool oak_rpc_call_compressed(const struct oak_rpc_call *call)
{
    const struct oak_rpc_call_ops *carrier = rpc__carrier(call);
    if (carrier != NULL) {
        return carrier->compressed != NULL && carrier->compressed(call);
    }
    return call->was_packed;
}

bool rpc__unpack(struct oak_rpc_call *call, struct oak_bytes packed, struct oak_buf *out)
{
    struct rpc_pool *pool = call->conn->pool;
    size_t limit = call->conn->options.receive_bytes_max;
    /* Out of reach of what the handler may do meanwhile on other connections of the pool. */
    *out = pool->unpacked;
    pool->unpacked = (struct oak_buf){0};
    int error = oak_zip_unpack(&pool->zip, form_of(call->encoding_in), packed, limit, out);
    if (error == OAK_ELIMIT) {
        char text[96];
        snprintf(text, sizeof(text),
                 "grpc: received message after decompression larger than max (%zu)", limit);
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, text);
    } else if (error == OAK_ENOMEM) {
        rpc__call_refuse(call, OAK_RPC_RESOURCE_EXHAUSTED, "grpc: out of memory");
    } else if (error != 0) {
        rpc__call_refuse(call, OAK_RPC_INTERNAL, "grpc: failed to decompress the received message");
    }
    return error == 0;
}

void rpc__unpack_end(struct oak_rpc_call *call, struct oak_buf used)
{
    scratch_keep(&call->conn->pool->unpacked, used);
}
