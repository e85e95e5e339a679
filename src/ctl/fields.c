/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c: the format "fields": a line for each, its name in quotes. */
#include "ctl/internal.h"

void ctl__fields_id(const struct ctl *c, const char *name, uint64_t id)
{
    printf(c->options.hex ? "\"%s\" : %" PRIx64 "\n" : "\"%s\" : %" PRIu64 "\n", name, id);
}

void ctl__fields_text(const char *name, const char *text)
{
    printf("\"%s\" : ", name);
    ctl__quoted_print(oak_bytes_str(text));
    fputc('\n', stdout);
}

void ctl__fields_header(const struct ctl *c, const Etcdserverpb__ResponseHeader *header)
{
    static const Etcdserverpb__ResponseHeader none = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    const Etcdserverpb__ResponseHeader *h = header != NULL ? header : &none;
    ctl__fields_id(c, "ClusterID", h->cluster_id);
    ctl__fields_id(c, "MemberID", h->member_id);
    if (h->revision > 0) { /* an answer about something else than keys has none */
        printf("\"Revision\" : %" PRId64 "\n", h->revision);
    }
    printf("\"RaftTerm\" : %" PRIu64 "\n", h->raft_term);
}

void ctl__fields_lease(const struct ctl *c, const char *name, int64_t id)
{
    printf(c->options.hex ? "\"%s\" : %016" PRIx64 "\n" : "\"%s\" : %" PRId64 "\n", name, id);
}

void ctl__fields_kv(const struct ctl *c, const char *before, const Mvccpb__KeyValue *kv)
{
    char lease[32];
    printf("\"%sKey\" : ", before);
    ctl__quoted_print(oak_proto_bytes(kv->key));
    printf("\n\"%sCreateRevision\" : %" PRId64 "\n", before, kv->create_revision);
    printf("\"%sModRevision\" : %" PRId64 "\n", before, kv->mod_revision);
    printf("\"%sVersion\" : %" PRId64 "\n\"%sValue\" : ", before, kv->version, before);
    ctl__quoted_print(oak_proto_bytes(kv->value));
    fputc('\n', stdout);
    snprintf(lease, sizeof(lease), "%sLease", before);
    ctl__fields_lease(c, lease, kv->lease);
}
