/* SPDX-License-Identifier: Apache-2.0 */
/* config_check.c: the rules that span several flags, and the defaults that follow from others.
 *
 * Messages follow etcd's where scripts and people know them.
 * Can fail     OAK_EINVAL, naming the flags and what to do.
 */
#include "server/config_internal.h"

#include <stdlib.h>

#define DATA_DIR_BYTES_MAX 256
/* A year and more: what the notes for it have room for. */
#define COMPACTION_HOURS_MAX 10000

/* "127.0.0.1:2379" for "localhost:2379": the same door by two names. */
static bool same_address(const char *a, const char *b)
{
    static const char local[] = "localhost:";
    static const char loop[] = "127.0.0.1:";
    size_t skip_a = 0;
    size_t skip_b = 0;
    if (strncmp(a, local, sizeof(local) - 1) == 0 && strncmp(b, loop, sizeof(loop) - 1) == 0) {
        skip_a = skip_b = sizeof(loop) - 1;
    } else if (strncmp(b, local, sizeof(local) - 1) == 0 &&
               strncmp(a, loop, sizeof(loop) - 1) == 0) {
        skip_a = skip_b = sizeof(loop) - 1;
    }
    return strcmp(a + skip_a, b + skip_b) == 0;
}

static bool is_any_port(const char *address)
{
    size_t size = strlen(address);
    return size >= 2 && strcmp(address + size - 2, ":0") == 0;
}

static int apart(struct oak_errbuf *e, const struct oak_config_urls *a, const char *a_flag,
                 const struct oak_config_urls *b, const char *b_flag)
{
    for (size_t i = 0; i < a->count; i++) {
        for (size_t k = 0; k < b->count; k++) {
            const char *address = oak_config_url_address(a->items[i]);
            if (!is_any_port(address) &&
                same_address(address, oak_config_url_address(b->items[k]))) {
                return oak_fail(e, OAK_EINVAL,
                                "--%s and --%s both name %s: give each a port of its own", a_flag,
                                b_flag, a->items[i]);
            }
        }
    }
    return 0;
}

static int times_check(const struct oak_config *c, struct oak_errbuf *e)
{
    if (5 * c->heartbeat_interval_ms > c->election_timeout_ms) {
        return oak_fail(e, OAK_EINVAL,
                        "--election-timeout[%llums] should be at least as 5 times as "
                        "--heartbeat-interval[%llums]",
                        (unsigned long long)c->election_timeout_ms,
                        (unsigned long long)c->heartbeat_interval_ms);
    }
    return 0;
}

/* The bound on drift goes into the log with the lease, so one without the other says nothing. */
static int lease_check(struct config__loader *l)
{
    l->config->lease_reads_given = config__given(l, "experimental-lease-reads");
    if (config__given(l, "experimental-clock-drift-ppm") && !l->config->lease_reads_given) {
        return oak_fail(l->e, OAK_EINVAL,
                        "--experimental-clock-drift-ppm: give --experimental-lease-reads too: a "
                        "leader makes both the cluster's at once");
    }
    return 0;
}

/* Hours, or a duration; or revisions. */
static int compaction_check(struct oak_config *c, struct oak_errbuf *e)
{
    const char *text = c->auto_compaction_retention;
    size_t digits = strspn(text, "0123456789");
    bool number = digits > 0 && digits <= 18 && text[digits] == '\0';
    bool periodic = c->auto_compaction_mode == OAK_CONFIG_COMPACTION_PERIODIC;
    uint64_t count = number ? strtoull(text, NULL, 10) : 0;
    int64_t ns = 0;
    if (!number && (!periodic || !config__duration_read(text, &ns))) {
        return oak_fail(e, OAK_EINVAL, "--auto-compaction-retention: \"%.64s\" is no %s", text,
                        periodic ? "number of hours, nor a duration such as 30m"
                                 : "number of revisions");
    }
    if (periodic && (count > COMPACTION_HOURS_MAX ||
                     (uint64_t)ns > COMPACTION_HOURS_MAX * 3600 * UINT64_C(1000000000))) {
        return oak_fail(e, OAK_EINVAL, "--auto-compaction-retention: at most %d hours",
                        COMPACTION_HOURS_MAX);
    }
    c->auto_compaction = !periodic ? count
                         : number  ? count * 3600 * UINT64_C(1000000000)
                                   : (uint64_t)ns;
    return 0;
}

/* Defaults that follow from other flags. */
static int settle(struct config__loader *l)
{
    struct oak_config *c = l->config;
    c->grpc_keepalive_min_given = config__given(l, "grpc-keepalive-min-time");
    c->max_concurrent_streams = OAK_MIN(c->max_concurrent_streams, (uint64_t)OAK_STREAMS_MAX);
    if (c->snapshot_catchup_entries == 0) {
        c->snapshot_catchup_entries = 5000;
    }
    /* panic and fatal are above anything that is logged here. */
    c->log_level = OAK_MIN(c->log_level, OAK_LOG_ERROR);
    c->quota_bytes = c->quota_backend_bytes > 0   ? (uint64_t)c->quota_backend_bytes
                     : c->quota_backend_bytes < 0 ? 0
                                                  : OAK_QUOTA_BYTES_MAX;
    c->initial_cluster_given = c->initial_cluster[0] != '\0';
    if (c->data_dir[0] != '\0' && c->initial_cluster_given) {
        return 0;
    }
    struct oak_buf text = {0};
    int error = 0;
    if (c->data_dir[0] == '\0') {
        error = oak_buf_printf(&text, "%s.etcd", c->name);
        if (error == 0) {
            c->data_dir = config__keep(&c->arena, (const char *)text.data, text.size);
        }
    }
    oak_buf_clear(&text);
    if (c->initial_cluster[0] == '\0') {
        for (size_t i = 0; i < c->initial_advertise_peer_urls.count && error == 0; i++) {
            error = oak_buf_printf(&text, "%s%s=%s", i == 0 ? "" : ",", c->name,
                                   c->initial_advertise_peer_urls.items[i]);
        }
        if (error == 0) {
            c->initial_cluster = config__keep(&c->arena, (const char *)text.data, text.size);
        }
    }
    oak_buf_fini(&text);
    bool kept = error == 0 && c->data_dir != NULL && c->initial_cluster != NULL;
    return kept ? 0 : oak_fail(l->e, OAK_ENOMEM, "out of memory");
}

int config__check(struct config__loader *l)
{
    struct oak_config *c = l->config;
    size_t name_size = strlen(c->name);
    if (name_size == 0 || name_size > DATA_DIR_BYTES_MAX || strpbrk(c->name, ",=") != NULL) {
        return oak_fail(l->e, OAK_EINVAL,
                        "--name: give a name of 1 to %d bytes without \"=\" and \",\"",
                        DATA_DIR_BYTES_MAX);
    }
    if (strlen(c->host_whitelist) >= 4096) {
        return oak_fail(l->e, OAK_ELIMIT, "--host-whitelist: more than 4095 bytes");
    }
    if (config__given(l, "listen-client-urls") && !config__given(l, "advertise-client-urls")) {
        return oak_fail(l->e, OAK_EINVAL,
                        "--advertise-client-urls is required when --listen-client-urls is set "
                        "explicitly");
    }
    int error = times_check(c, l->e);
    if (error == 0) {
        error = lease_check(l);
    }
    if (error == 0) {
        error = config__log_check(l);
    }
    if (error == 0) {
        error = config__gates_check(l);
    }
    if (error == 0) {
        error = compaction_check(c, l->e);
    }
    error = error != 0 ? error : config__tls_check(l);
    if (error == 0) {
        error = apart(l->e, &c->listen_client_urls, "listen-client-urls", &c->listen_peer_urls,
                      "listen-peer-urls");
    }
    const struct oak_config_urls *http = &c->listen_client_http_urls;
    if (error == 0) {
        error =
            apart(l->e, http, "listen-client-http-urls", &c->listen_peer_urls, "listen-peer-urls");
    }
    if (error == 0) {
        error = apart(l->e, http, "listen-client-http-urls", &c->listen_client_urls,
                      "listen-client-urls");
    }
    if (error == 0) {
        error = apart(l->e, &c->listen_metrics_urls, "listen-metrics-urls", http,
                      "listen-client-http-urls");
    }
    if (error == 0) {
        error = apart(l->e, &c->listen_metrics_urls, "listen-metrics-urls", &c->listen_peer_urls,
                      "listen-peer-urls");
    }
    if (error == 0) {
        error = apart(l->e, &c->listen_metrics_urls, "listen-metrics-urls", &c->listen_client_urls,
                      "listen-client-urls");
    }
    return error == 0 ? settle(l) : error;
}
