/* SPDX-License-Identifier: Apache-2.0 */
/* config_cluster.c: who is in the cluster that is about to be born, and the ids.
 *
 * Happy path   1 cut "a=http://…,b=http://…" (a name may come several times, with one URL each)
 *              2 find ourselves in it
 *              3 derive the ids as etcd does
 *              4 sort by id
 * Can fail     OAK_EINVAL: rows, URLs or the own row that do not fit; OAK_ELIMIT: too many;
 *              OAK_ENOMEM.
 * Invariants   no URL belongs to two members; ids differ.
 */
#include "server/config_internal.h"

#include "server/sha1.h"

static uint64_t first_eight(struct server__sha1 *h)
{
    uint8_t digest[SERVER__SHA1_BYTES];
    server__sha1_end(h, digest);
    return oak_get_be64(digest);
}

uint64_t oak_config_member_id(const struct oak_config_urls *sorted_urls, const char *tail)
{
    struct server__sha1 h;
    server__sha1_init(&h);
    for (size_t i = 0; i < sorted_urls->count; i++) {
        server__sha1_add(&h, sorted_urls->items[i], strlen(sorted_urls->items[i]));
    }
    server__sha1_add(&h, tail, strlen(tail));
    return first_eight(&h);
}

uint64_t oak_config_cluster_id(const uint64_t *ids, size_t count)
{
    struct server__sha1 h;
    server__sha1_init(&h);
    for (size_t i = 0; i < count; i++) {
        OAK_ASSERT(i == 0 || ids[i - 1] < ids[i]);
        uint8_t bytes[8];
        oak_put_be64(bytes, ids[i]);
        server__sha1_add(&h, bytes, sizeof(bytes));
    }
    return first_eight(&h);
}

static struct oak_config_member *member_named(struct oak_config_cluster *cluster,
                                              struct oak_bytes name)
{
    for (size_t i = 0; i < cluster->member_count; i++) {
        if (oak_bytes_eq(oak_bytes_str(cluster->members[i].name), name)) {
            return &cluster->members[i];
        }
    }
    return NULL;
}

static int member_add(struct oak_config *c, struct oak_config_cluster *out, struct oak_bytes name,
                      struct oak_config_member **added, struct oak_errbuf *e)
{
    if (out->member_count == OAK_CONFIG_MEMBERS_MAX) {
        return oak_fail(e, OAK_ELIMIT, "--initial-cluster: more than %d members",
                        OAK_CONFIG_MEMBERS_MAX);
    }
    struct oak_config_member *m = &out->members[out->member_count];
    *m = (struct oak_config_member){0};
    m->name = config__keep(&c->arena, (const char *)name.data, name.size);
    m->peer_urls.items = oak_arena_alloc(&c->arena, OAK_CONFIG_URLS_MAX * sizeof(char *));
    if (m->name == NULL || m->peer_urls.items == NULL) {
        return oak_fail(e, OAK_ENOMEM, "out of memory");
    }
    out->member_count++;
    *added = m;
    return 0;
}

/* One "name=url". */
static int row_read(struct oak_config *c, struct oak_config_cluster *out, const char *row,
                    size_t size, struct oak_errbuf *e)
{
    size_t name_size = OAK_MIN(strcspn(row, "="), size);
    if (name_size == 0 || name_size == size) {
        return oak_fail(
            e, OAK_EINVAL,
            "--initial-cluster: \"%.*s\" is not a row such as name=http://10.0.0.1:2380",
            (int)OAK_MIN(size, 128), row);
    }
    const char *url = NULL;
    int error =
        config__url_read(&c->arena, oak_bytes(row + name_size + 1, size - name_size - 1), &url, e);
    if (error != 0) {
        return oak_fail_in(e, error, "--initial-cluster");
    }
    for (size_t i = 0; i < out->member_count; i++) {
        for (size_t k = 0; k < out->members[i].peer_urls.count; k++) {
            if (strcmp(out->members[i].peer_urls.items[k], url) == 0) {
                return oak_fail(e, OAK_EINVAL, "--initial-cluster has duplicate url %s", url);
            }
        }
    }
    struct oak_config_member *m = member_named(out, oak_bytes(row, name_size));
    if (m == NULL) {
        error = member_add(c, out, oak_bytes(row, name_size), &m, e);
        if (error != 0) {
            return error;
        }
    }
    if (m->peer_urls.count == OAK_CONFIG_URLS_MAX) {
        return oak_fail(e, OAK_ELIMIT, "--initial-cluster: more than %d URLs of %.64s",
                        OAK_CONFIG_URLS_MAX, m->name);
    }
    m->peer_urls.items[m->peer_urls.count] = url;
    m->peer_urls.count++;
    return 0;
}

static bool has(const struct oak_config_urls *urls, const char *url)
{
    for (size_t i = 0; i < urls->count; i++) {
        if (strcmp(urls->items[i], url) == 0) {
            return true;
        }
    }
    return false;
}

static int self_check(const struct oak_config *c, struct oak_config_cluster *cluster,
                      struct oak_errbuf *e)
{
    const struct oak_config_urls *told = &c->initial_advertise_peer_urls;
    const struct oak_config_member *self = member_named(cluster, oak_bytes_str(c->name));
    if (self == NULL) {
        return oak_fail(
            e, OAK_EINVAL,
            "couldn't find local name \"%.64s\" in the initial cluster configuration: make "
            "--name one of the names in --initial-cluster",
            c->name);
    }
    for (size_t i = 0; i < self->peer_urls.count; i++) {
        if (!has(told, self->peer_urls.items[i])) {
            return oak_fail(e, OAK_EINVAL,
                            "--initial-cluster has %.64s=%s but missing from "
                            "--initial-advertise-peer-urls: make the two agree",
                            c->name, self->peer_urls.items[i]);
        }
    }
    for (size_t i = 0; i < told->count; i++) {
        if (!has(&self->peer_urls, told->items[i])) {
            return oak_fail(e, OAK_EINVAL,
                            "--initial-advertise-peer-urls has %s but missing from "
                            "--initial-cluster's row %.64s: make the two agree",
                            told->items[i], c->name);
        }
    }
    return 0;
}

static void sort_by_id(struct oak_config_cluster *cluster)
{
    for (size_t i = 1; i < cluster->member_count; i++) {
        for (size_t k = i; k > 0 && cluster->members[k - 1].id > cluster->members[k].id; k--) {
            struct oak_config_member held = cluster->members[k];
            cluster->members[k] = cluster->members[k - 1];
            cluster->members[k - 1] = held;
        }
    }
}

int oak_config_bootstrap(struct oak_config *config, struct oak_config_cluster *out,
                         struct oak_errbuf *e)
{
    *out = (struct oak_config_cluster){0};
    const char *at = config->initial_cluster;
    while (*at != '\0') {
        size_t size = strcspn(at, ",");
        if (size > 0) {
            int error = row_read(config, out, at, size, e);
            if (error != 0) {
                return error;
            }
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    int error = self_check(config, out, e);
    if (error != 0) {
        return error;
    }
    for (size_t i = 0; i < out->member_count; i++) {
        struct oak_config_member *m = &out->members[i];
        config__urls_sort(&m->peer_urls);
        m->id = oak_config_member_id(&m->peer_urls, config->initial_cluster_token);
        if (strcmp(m->name, config->name) == 0) {
            out->self_id = m->id;
        }
    }
    sort_by_id(out);
    uint64_t ids[OAK_CONFIG_MEMBERS_MAX];
    for (size_t i = 0; i < out->member_count; i++) {
        ids[i] = out->members[i].id;
        if (ids[i] == 0 || (i > 0 && ids[i - 1] == ids[i])) {
            return oak_fail(e, OAK_EINVAL,
                            "--initial-cluster: the ids of two members collide; change "
                            "--initial-cluster-token");
        }
    }
    out->id = oak_config_cluster_id(ids, out->member_count);
    return 0;
}
