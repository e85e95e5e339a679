/* SPDX-License-Identifier: Apache-2.0 */
/* complete.c: what a word could become, for shells: second words of verbs, flags, values of flags,
 * contexts, keys of the cluster that is meant.
 *
 * Can fail     a cluster that does not answer within a second: there are no keys then. Nothing is
 *              told on stderr.
 */
#include "ctl/internal.h"

#include <stdlib.h>

#define KEYS_MAX   200
#define TIMEOUT_NS UINT64_C(1000000000)

static const struct ctl__method range_method = {"etcdserverpb.KV", "Range",
                                                &etcdserverpb__range_response__descriptor, true};

static void word_print(void *user, const char *word, const char *summary)
{
    (void)user;
    printf("%s\t%s\n", word, summary);
}

static void name_print(void *user, const char *name)
{
    (void)user;
    word_print(NULL, name, "a context");
}

/* Flags whose values are a few words. True: that was one. */
static bool values_print(const char *flag)
{
    static const struct {
        const char *flag;
        const char *values[6];
    } known[] = {
        {"--write-out", {"simple", "json", "fields", "table", "protobuf"}},
        {"--output", {"simple", "json", "fields", "table", "protobuf"}},
        {"-w", {"simple", "json", "fields", "table", "protobuf"}},
        {"-o", {"simple", "json", "fields", "table", "protobuf"}},
        {"--order", {"ASCEND", "DESCEND"}},
        {"--sort-by", {"CREATE", "KEY", "MODIFY", "VALUE", "VERSION"}},
        {"--consistency", {"l", "s"}},
    };
    if (strcmp(flag, "--context") == 0) {
        ctl__contexts_each(name_print, NULL);
        return true;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        if (strcmp(flag, known[i].flag) != 0) {
            continue;
        }
        for (size_t k = 0; known[i].values[k] != NULL; k++) {
            word_print(NULL, known[i].values[k], "");
        }
        return true;
    }
    return false;
}

/* -- keys -------------------------------------------------------------------------------------- */

static bool is_plain(ProtobufCBinaryData key)
{
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] <= ' ' || key.data[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* Flags that all verbs have, as far as they are understood. */
static void options_take(struct ctl *c, int argc, char *const *argv)
{
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags(&c->options, flags);
    for (int i = 0; i + 1 < argc; i++) {
        const struct oak_args_flag *f =
            argv[i][0] == '-' ? oak_args_find(flags, CTL__OPTIONS_COUNT, argv[i]) : NULL;
        const char *equals = strchr(argv[i], '=');
        struct oak_errbuf e;
        if (f != NULL && equals != NULL) {
            (void)!oak_args_set(f, equals + 1, &e);
        } else if (f != NULL) {
            (void)!oak_args_set(f, f->kind == OAK_ARGS_BOOL ? NULL : argv[++i], &e);
        }
    }
    c->options.command_ns = TIMEOUT_NS;
    c->options.dial_ns = TIMEOUT_NS;
}

/* Would the next request make us ask a person for a password? */
static bool wants_password(const struct ctl *c)
{
    return c->link == NULL && c->options.user != NULL && c->options.password == NULL &&
           strchr(c->options.user, ':') == NULL;
}

size_t ctl__keys_find(struct ctl *c, const char *prefix, Mvccpb__KeyValue ***out)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct ctl__words words = {.at = {prefix}, .count = 1};
    struct ctl__reply reply;
    int code;
    struct oak_client *client = wants_password(c) ? NULL : ctl__client(c, &code);
    if (client == NULL ||
        !ctl__keys_read(c, &words, true, false, &request.key, &request.range_end, &code)) {
        return 0;
    }
    request.keys_only = true;
    request.serializable = true;
    request.limit = KEYS_MAX;
    ctl__try(c, client, &range_method, &request.base, &reply);
    if (reply.error != 0) {
        return 0;
    }
    const Etcdserverpb__RangeResponse *r = (const Etcdserverpb__RangeResponse *)reply.response;
    *out = r->kvs;
    return r->n_kvs;
}

static void keys_print(int argc, char *const *argv)
{
    struct ctl c = {0};
    int code;
    Mvccpb__KeyValue **kvs = NULL;
    ctl__init(&c);
    if (ctl__options_begin(&c, NULL, &code)) {
        options_take(&c, argc, argv);
        size_t count = ctl__keys_find(&c, argv[argc - 1], &kvs);
        for (size_t i = 0; i < count; i++) {
            if (is_plain(kvs[i]->key)) {
                fwrite(kvs[i]->key.data, 1, kvs[i]->key.len, stdout);
                puts("\ta key");
            }
        }
    }
    ctl__fini(&c);
}

/* -- one word ---------------------------------------------------------------------------------- */

static bool has_keys(const char *verb)
{
    static const char *const verbs[] = {"get", "put", "del", "watch", "delete", "range"};
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        if (strcmp(verb, verbs[i]) == 0) {
            return true;
        }
    }
    return false;
}

void oak_ctl_complete(int argc, char *const *argv)
{
    const char *current = argv[argc - 1];
    int at = 0;
    while (at + 1 < argc && !oak_ctl_is_verb(argv[at])) {
        at++;
    }
    bool is_pair = ctl__is_group(argv[at]);
    if (argc >= 2 && values_print(argv[argc - 2])) {
        return;
    }
    if (is_pair && at + 2 >= argc) {
        oak_ctl_words_each(argv[at], word_print, NULL);
        return;
    }
    if (current[0] == '-') {
        static char flag[] = OAK_ARGS_DESCRIBE;
        char *words[] = {argv[at], is_pair ? argv[at + 1] : flag, is_pair ? flag : NULL, NULL};
        oak_ctl_main(is_pair ? 3 : 2, words, false);
        return;
    }
    if (strcmp(argv[at], "context") == 0) {
        ctl__contexts_each(name_print, NULL);
    } else if (has_keys(argv[at])) {
        keys_print(argc, argv);
    }
}
