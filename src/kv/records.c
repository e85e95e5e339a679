/* SPDX-License-Identifier: Apache-2.0 */
/* records.c: what the pairs of meta in a store say, one by one: for a backup and for a restore,
 * which have no kv.
 *
 * Which pairs there are is known to the files that write them; here they are asked in turn.
 *
 * Can fail  OAK_ECORRUPT: one of theirs, and not as they write it. OAK_ENOMEM.
 * Thread    any.
 */
#include "kv/internal.h"

int oak_kv_record_read(struct oak_bytes key, struct oak_bytes data, struct oak_arena *arena,
                       struct oak_kv_record *out)
{
    static kv__record_fn *const readers[] = {
        kv__lease_record,
        kv__auth_record,
        kv__alarm_record,
        kv__member_record,
    };
    int error = 0;
    *out = (struct oak_kv_record){.kind = OAK_KV_RECORD_OTHER};
    for (size_t i = 0; i < OAK_COUNT_OF(readers); i++) {
        if (readers[i](key, data, arena, out, &error)) {
            break;
        }
    }
    return error;
}

int oak_kv_record_write(const struct oak_kv_record *record, struct oak_buf *key,
                        struct oak_buf *data)
{
    oak_buf_clear(key);
    oak_buf_clear(data);
    switch (record->kind) {
    case OAK_KV_RECORD_LEASE:
    case OAK_KV_RECORD_LEASED:
        return kv__lease_record_write(record, key, data);
    case OAK_KV_RECORD_AUTH:
    case OAK_KV_RECORD_USER:
    case OAK_KV_RECORD_ROLE:
        return kv__auth_record_write(record, key, data);
    case OAK_KV_RECORD_ALARM:
        return kv__alarm_record_write(record, key, data);
    case OAK_KV_RECORD_OTHER:
    case OAK_KV_RECORD_DOWNGRADE:
    case OAK_KV_RECORD_MEMBER_GONE:
        break;
    }
    return OAK_EINVAL;
}
