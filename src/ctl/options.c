/* SPDX-License-Identifier: Apache-2.0 */
/* options.c: the flags that all verbs have: where the servers are, who asks, how answers look.
 *
 * Happy path   1 what holds without any 2 what the context says 3 ETCDCTL_... of the environment
 *              4 flags, which win
 * Can fail     a value that a flag does not take: told.
 */
#include "ctl/internal.h"

#include <ctype.h>
#include <stdlib.h>

#define SECOND_NS UINT64_C(1000000000)

void ctl__options_flags(struct ctl__options *o, struct oak_args_flag *out)
{
    const struct oak_args_flag flags[CTL__OPTIONS_COUNT] = {
        {"endpoints", '\0', OAK_ARGS_LIST, &o->endpoints, 0, 0, "A,B,C",
         "servers to ask (default 127.0.0.1:2379)"},
        {"write-out", 'w', OAK_ARGS_TEXT, &o->format, 0, 0, "FORMAT",
         "simple, json, fields, table or protobuf (default simple)"},
        {"output", 'o', OAK_ARGS_TEXT, &o->format, 0, 0, "FORMAT", "the same"},
        {"hex", '\0', OAK_ARGS_BOOL, &o->hex, 0, 0, NULL, "byte strings as \\x6b, ids in hex"},
        {"user", '\0', OAK_ARGS_TEXT, &o->user, 0, 0, "NAME[:PASSWORD]",
         "who asks; without a password it is asked for"},
        {"password", '\0', OAK_ARGS_TEXT, &o->password, 0, 0, "PASSWORD", "of --user"},
        {"auth-jwt-token", '\0', OAK_ARGS_TEXT, &o->token, 0, 0, "TOKEN",
         "a token that was had otherwise, in the place of --user"},
        {"cacert", '\0', OAK_ARGS_TEXT, &o->cacert, 0, 0, "FILE",
         "TLS: certificates of those whom to trust"},
        {"cert", '\0', OAK_ARGS_TEXT, &o->cert, 0, 0, "FILE", "TLS: our certificate"},
        {"key", '\0', OAK_ARGS_TEXT, &o->key, 0, 0, "FILE", "TLS: its key"},
        {"insecure-skip-tls-verify", '\0', OAK_ARGS_BOOL, &o->insecure_skip_verify, 0, 0, NULL,
         "TLS: take any certificate; for tests alone"},
        {"insecure-transport", '\0', OAK_ARGS_BOOL, &o->insecure_transport, 0, 0, NULL,
         "without TLS where no other flag wants it (default true)"},
        {"dial-timeout", '\0', OAK_ARGS_DURATION, &o->dial_ns, 0, 0, "TIME",
         "for a connection (default 2s)"},
        {"command-timeout", '\0', OAK_ARGS_DURATION, &o->command_ns, 0, 0, "TIME",
         "for an answer (default 5s)"},
        {"keepalive-time", '\0', OAK_ARGS_DURATION, &o->keepalive_ns, 0, 0, "TIME",
         "PING after a silence of this (default 2s)"},
        {"keepalive-timeout", '\0', OAK_ARGS_DURATION, &o->keepalive_timeout_ns, 0, 0, "TIME",
         "for the answer to a PING (default 6s)"},
        {"max-request-bytes", '\0', OAK_ARGS_NUMBER, &o->request_bytes_max, 0, INT32_MAX, "N",
         "the largest request (0: 2 MiB)"},
        {"max-recv-bytes", '\0', OAK_ARGS_NUMBER, &o->response_bytes_max, 0, INT32_MAX, "N",
         "the largest answer (0: 2 GiB - 1)"},
        {"discovery-srv", 'd', OAK_ARGS_TEXT, &o->discovery_srv, 0, 0, "DOMAIN",
         "servers by the SRV records of a domain"},
        {"discovery-srv-name", '\0', OAK_ARGS_TEXT, &o->discovery_srv_name, 0, 0, "NAME",
         "behind the service's name in those records"},
        {"insecure-discovery", '\0', OAK_ARGS_BOOL, &o->insecure_discovery, 0, 0, NULL,
         "take SRV records of servers without TLS (default true)"},
        {"context", '\0', OAK_ARGS_TEXT, &o->context, 0, 0, "NAME",
         "a cluster by its name; see oakum context"},
        {"debug", '\0', OAK_ARGS_BOOL, &o->debug, 0, 0, NULL,
         "tell on stderr what the flags came to"},
    };
    memcpy(out, flags, sizeof(flags));
}

/* "max-recv-bytes" in the environment: ETCDCTL_MAX_RECV_BYTES. */
static const char *environment(const char *flag)
{
    char name[64] = "ETCDCTL_";
    size_t size = strlen(name);
    for (; *flag != '\0' && size + 1 < sizeof(name); flag++) {
        name[size++] = *flag == '-' ? '_' : (char)toupper((unsigned char)*flag);
    }
    name[size] = '\0';
    return getenv(name);
}

bool ctl__options_begin(struct ctl *c, const char *context, int *code)
{
    struct ctl__options *o = &c->options;
    *o = (struct ctl__options){
        .format = "simple",
        .dial_ns = 2 * SECOND_NS,
        .command_ns = 5 * SECOND_NS,
        .keepalive_ns = 2 * SECOND_NS,
        .keepalive_timeout_ns = 6 * SECOND_NS,
        .insecure_transport = true,
        .insecure_discovery = true,
    };
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags(o, flags);
    if (!ctl__contexts_apply(c, context, code)) {
        return false;
    }
    for (size_t i = 0; i < CTL__OPTIONS_COUNT; i++) {
        const char *text = environment(flags[i].name);
        struct oak_errbuf e;
        /* Endpoints of flags go before these, and are not added to them. */
        if (text == NULL || text[0] == '\0' || flags[i].kind == OAK_ARGS_LIST) {
            continue;
        }
        if (oak_args_set(&flags[i], text, &e) != 0) {
            *code = ctl__error(CTL__BAD_ARGS, "of the environment: %s", e.text);
            return false;
        }
    }
    return true;
}
