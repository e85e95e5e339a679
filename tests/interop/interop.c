/* SPDX-License-Identifier: Apache-2.0 */
/* interop.c: flags, payloads, and the way to fail. */
#include "tests/interop/interop.h"

#include <stdarg.h>

_Noreturn void interop_fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "failed: ");
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    exit(1);
}

enum oak_rpc_kind interop_kind(const char *method)
{
    static const struct {
        const char *method;
        enum oak_rpc_kind kind;
    } streams[] = {
        {"StreamingInputCall", OAK_RPC_CLIENT_STREAM},
        {"StreamingOutputCall", OAK_RPC_SERVER_STREAM},
        {"FullDuplexCall", OAK_RPC_BIDI},
        {"HalfDuplexCall", OAK_RPC_BIDI},
    };
    enum oak_rpc_kind kind = OAK_RPC_UNARY;
    for (size_t i = 0; i < OAK_COUNT_OF(streams); i++) {
        kind = strcmp(streams[i].method, method) == 0 ? streams[i].kind : kind;
    }
    return kind;
}

static bool flag_take(struct interop_flag *flag, const char *word)
{
    size_t size = strlen(flag->name);
    if (strncmp(word, flag->name, size) != 0 || (word[size] != '=' && word[size] != '\0')) {
        return false;
    }
    flag->value = word[size] == '=' ? word + size + 1 : "true";
    return true;
}

bool interop_flags_read(struct interop_flag *flags, size_t count, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        bool known = false;
        for (size_t n = 0; n < count && strncmp(argv[i], "--", 2) == 0; n++) {
            known = known || flag_take(&flags[n], argv[i] + 2);
        }
        if (!known) {
            fprintf(stderr, "%s: no such flag\n", argv[i]);
            return false;
        }
    }
    return true;
}

const char *interop_text(const struct interop_flag *flags, const char *name)
{
    size_t at = 0;
    while (strcmp(flags[at].name, name) != 0) {
        at++; /* our own code asks only for what is there */
    }
    return flags[at].value;
}

bool interop_true(const struct interop_flag *flags, const char *name)
{
    return strcmp(interop_text(flags, name), "true") == 0;
}

long interop_number(const struct interop_flag *flags, const char *name)
{
    const char *text = interop_text(flags, name);
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || *end != '\0') {
        interop_fail("--%s=%s is no number", name, text);
    }
    return number;
}

void interop_report(void *user, const char *peer, int error, const char *text)
{
    (void)user;
    fprintf(stderr, "%s: %s: %s\n", peer, oak_error_text(error), text);
}

void interop_net_open(struct interop_net *net, const struct oak_loop *loop,
                      const struct oak_tls_options *options)
{
    struct oak_errbuf e = {{0}};
    *net = (struct interop_net){.loop = *loop};
    if (options == NULL) {
        return;
    }
    if (oak_tls_new(options, &net->tls, &e) != 0) {
        interop_fail("%s", e.text);
    }
    if (oak_tls_net_new(net->tls, loop, NULL, NULL, &net->net) != 0) {
        interop_fail("no network");
    }
    net->loop.net = *oak_tls_net_port(net->net);
}

void interop_net_close(struct interop_net *net)
{
    oak_tls_net_free(net->net);
    oak_tls_free(net->tls);
}

void interop_payload(Grpc__Testing__Payload *payload, size_t size)
{
    grpc__testing__payload__init(payload);
    payload->body.data = calloc(1, size + 1);
    payload->body.len = size;
    if (payload->body.data == NULL) {
        interop_fail("out of memory");
    }
}
