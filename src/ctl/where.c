/* SPDX-License-Identifier: Apache-2.0 */
/* where.c: which servers are meant. All verbs have it from here.
 *
 * Happy path   1 with --discovery-srv, those that the SRV records of a domain name; by TLS they
 *              prove to be the domain's 2 else those of flags, of the environment, of the context
 * Can fail     a domain that names none, or more than there is room for: told.
 */
#include "ctl/internal.h"

#include <stdlib.h>

static bool endpoints_add(struct ctl__endpoints *out, const char *text, int *code)
{
    while (*text != '\0') {
        size_t size = strcspn(text, ",");
        if (out->count == CTL__ENDPOINTS_MAX || size >= CTL__ENDPOINT_BYTES_MAX) {
            *code = ctl__error(CTL__BAD_ARGS,
                               "--endpoints: more than %d, or one of more than %zu "
                               "bytes",
                               CTL__ENDPOINTS_MAX, CTL__ENDPOINT_BYTES_MAX - 1);
            return false;
        }
        if (size > 0) {
            memcpy(out->items[out->count], text, size);
            out->items[out->count++][size] = '\0';
        }
        text += size + (text[size] == ',');
    }
    return true;
}

static bool given(const struct ctl__options *o, struct ctl__endpoints *out, int *code)
{
    for (size_t i = 0; i < o->endpoints.count; i++) {
        if (!endpoints_add(out, o->endpoints.items[i], code)) {
            return false;
        }
    }
    const char *environs = getenv("ETCDCTL_ENDPOINTS");
    if (out->count == 0 && environs != NULL && !endpoints_add(out, environs, code)) {
        return false;
    }
    const char *last = o->context_endpoints != NULL ? o->context_endpoints : "127.0.0.1:2379";
    return out->count > 0 || endpoints_add(out, last, code);
}

/* -- by SRV records ---------------------------------------------------------------------------- */

/* etcd's names of the service in DNS. */
bool ctl__srv_name(const struct ctl__options *o, char *out, size_t size, int *code)
{
    bool encrypted = ctl__wants_tls(o, (const char *const[]){""}, 1);
    if (!encrypted && !o->insecure_discovery) {
        *code = ctl__error(CTL__BAD_ARGS, "--insecure-discovery=false takes servers of a domain by "
                                          "TLS alone: say so by --cacert, --cert and --key, or "
                                          "--insecure-transport=false");
        return false;
    }
    const char *dash = o->discovery_srv_name != NULL ? "-" : "";
    const char *name = o->discovery_srv_name != NULL ? o->discovery_srv_name : "";
    int length = snprintf(out, size, "srv:_etcd-client%s%s%s._tcp.%s", encrypted ? "-ssl" : "",
                          dash, name, o->discovery_srv);
    if (length < 0 || (size_t)length >= size) {
        *code = ctl__error(CTL__BAD_ARGS, "--discovery-srv: the name is too long");
        return false;
    }
    return true;
}

struct looking {
    struct ctl *c;
    struct ctl__endpoints *out;
    int error;
    bool done;
};

static void looked_up(void *user, int error, const char *const *addresses, size_t count)
{
    struct looking *l = user;
    l->error = error == 0 && count > CTL__ENDPOINTS_MAX ? OAK_ELIMIT : error;
    for (size_t i = 0; l->error == 0 && i < count; i++) {
        snprintf(l->out->items[l->out->count++], CTL__ENDPOINT_BYTES_MAX, "%s", addresses[i]);
    }
    l->done = true;
    oak_os_loop_stop(l->c->os);
}

static bool discovered(struct ctl *c, struct ctl__endpoints *out, int *code)
{
    struct looking l = {.c = c, .out = out};
    char name[CTL__SRV_BYTES_MAX];
    if (!ctl__srv_name(&c->options, name, sizeof(name), code)) {
        return false;
    }
    int error = c->os == NULL ? oak_os_loop_new(&c->os) : 0;
    if (error == 0) {
        const struct oak_net *net = &oak_os_loop_port(c->os)->net;
        error = net->resolve(net->user, name, c->options.command_ns, looked_up, &l);
    }
    while (error == 0 && !l.done) {
        oak_os_loop_run(c->os);
    }
    error = error != 0 ? error : l.error;
    out->server_name = c->options.discovery_srv;
    if (error != 0) {
        *code = ctl__error(CTL__FAILED, "--discovery-srv: %s: %s", name, oak_error_text(error));
    }
    return error == 0;
}

bool ctl__endpoints_read(struct ctl *c, struct ctl__endpoints *out, int *code)
{
    out->count = 0;
    out->server_name = NULL;
    return c->options.discovery_srv != NULL ? discovered(c, out, code)
                                            : given(&c->options, out, code);
}
