/* SPDX-License-Identifier: Apache-2.0 */
/* metrics_lease.c: of the page of /metrics, what is told of the leases of clients. (The lease by
 * which reads are answered is among the reads.) */
#include <inttypes.h>

#include "observe/internal.h"

#define G OBSERVE_GAUGE
#define C OBSERVE_COUNTER

int observe__lease_rows(struct oak_observe *o, struct oak_buf *out)
{
    static const char ttl[] = "etcd_debugging_lease_ttl_total";
    const struct oak_kv *kv = oak_replica_kv(o->options.replica);
    struct oak_replica_status s;
    struct oak_kv_counters c;
    oak_replica_status(o->options.replica, &s);
    oak_kv_counters(kv, &c);
    const struct observe_row list[] = {
        {"oakum_leases", G, "Leases of clients that are alive.", (double)oak_kv_lease_count(kv)},
        {"etcd_debugging_lease_granted_total", C, "Leases granted.", (double)c.leases_granted},
        {"etcd_debugging_lease_revoked_total", C, "Leases revoked, expired ones too.",
         (double)c.leases_revoked},
        {"etcd_debugging_lease_renewed_total", C, "Keepalives that this member, leading, granted.",
         (double)s.leases_renewed},
        {"etcd_debugging_server_lease_expired_total", C,
         "Leases that this member, leading, found expired.", (double)s.leases_expired},
        {"oakum_lease_checkpoints_total", C,
         "Times that this member, leading, wrote down what is left of a lease.",
         (double)s.lease_checkpoints},
    };
    int error = observe__rows(out, list, OAK_COUNT_OF(list));
    error = error != 0 ? error
                       : oak_buf_printf(out,
                                        "# HELP %s Lives of leases as granted, in seconds.\n"
                                        "# TYPE %s histogram\n",
                                        ttl, ttl);
    uint64_t total = 0;
    for (size_t i = 0; error == 0 && i + 1 < OAK_KV_TTL_BUCKETS; i++) {
        total += c.lease_ttls[i];
        error = oak_buf_printf(out, "%s_bucket{le=\"%" PRIu64 "\"} %" PRIu64 "\n", ttl,
                               UINT64_C(1) << i, total);
    }
    total += c.lease_ttls[OAK_KV_TTL_BUCKETS - 1];
    return error != 0 ? error
                      : oak_buf_printf(out,
                                       "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64
                                       "\n%s_count %" PRIu64 "\n",
                                       ttl, total, ttl, c.lease_ttl_sum, ttl, total);
}
