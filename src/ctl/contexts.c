/* SPDX-License-Identifier: Apache-2.0 */
/* contexts.c: clusters that have a name: where they are and who asks, kept in a file, so that
 * commands need no flags. A flag, and the environment, go before what a context says.
 *
 * The file is JSON: {"current": "prod", "contexts": {"prod": {"endpoints": "a:1,b:2"}}}, with flags
 * by their names. No password is kept in it.
 *
 * Happy path   1 the file is found: $OAKUM_CONTEXTS, or contexts.json in the folder oakum of
 *              $XDG_CONFIG_HOME, or of ~/.config 2 it is read 3 a change is written beside it, and
 *              takes its place
 * Can fail     a file that is none, a name that is not there: told.
 */
#include "ctl/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES_MAX 4096
#define NAME_BYTES_MAX 128

/* What a context may say: flags of all verbs. */
static const char *const kept[] = {
    "endpoints",
    "user",
    "cacert",
    "cert",
    "key",
    "insecure-skip-tls-verify",
    "insecure-transport",
    "discovery-srv",
    "discovery-srv-name",
    "dial-timeout",
    "command-timeout",
    "write-out",
};

static bool is_kept(const char *name)
{
    for (size_t i = 0; i < OAK_COUNT_OF(kept); i++) {
        if (strcmp(kept[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* -- the file ---------------------------------------------------------------------------------- */

static bool path_find(char *out)
{
    const char *named = getenv("OAKUM_CONTEXTS");
    const char *config = getenv("XDG_CONFIG_HOME");
    const char *home = getenv("HOME");
    int size;
    if (named != NULL && named[0] != '\0') {
        size = snprintf(out, PATH_BYTES_MAX, "%s", named);
    } else if (config != NULL && config[0] == '/') {
        size = snprintf(out, PATH_BYTES_MAX, "%s/oakum/contexts.json", config);
    } else {
        size = snprintf(out, PATH_BYTES_MAX, "%s/.config/oakum/contexts.json",
                        home != NULL ? home : "");
    }
    return size > 0 && size < PATH_BYTES_MAX && out[0] == '/';
}

/* The whole of it; {} without a file. NULL: told. */
static json_t *file_read(const char *path, int *code)
{
    json_error_t where;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (root == NULL && access(path, F_OK) != 0) {
        return json_pack("{s:{}}", "contexts");
    }
    if (json_is_object(json_object_get(root, "contexts"))) {
        return root;
    }
    json_decref(root);
    *code = root == NULL ? ctl__error(CTL__IO, "%s:%d: %s", path, where.line, where.text)
                         : ctl__error(CTL__IO, "%s has no object \"contexts\"", path);
    return NULL;
}

static bool folder_make(const char *path)
{
    char folder[PATH_BYTES_MAX];
    snprintf(folder, sizeof(folder), "%s", path);
    for (char *at = folder + 1; (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
            return false;
        }
        *at = '/';
    }
    return true;
}

/* Whole, or not at all. */
static int file_write(const char *path, const json_t *root)
{
    char beside[PATH_BYTES_MAX + 8];
    snprintf(beside, sizeof(beside), "%s.part", path);
    int fd = folder_make(path) ? open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    bool good = fd >= 0 && json_dumpfd(root, fd, JSON_INDENT(2) | JSON_SORT_KEYS) == 0 &&
                write(fd, "\n", 1) == 1 && fsync(fd) == 0;
    if (fd >= 0) {
        good = close(fd) == 0 && good;
    }
    if (!good || rename(beside, path) != 0) {
        int code = ctl__error(CTL__IO, "cannot write %s: %s", path, strerror(errno));
        if (fd >= 0) {
            unlink(beside);
        }
        return code;
    }
    return CTL__OK;
}

/* -- what a verb asks -------------------------------------------------------------------------- */

/* The name that is meant: by its flag, the environment, or the file. NULL: none. */
static const char *name_meant(const char *flag, const json_t *root)
{
    const char *named = getenv("OAKUM_CONTEXT");
    if (flag != NULL) {
        return flag;
    }
    if (named != NULL && named[0] != '\0') {
        return named;
    }
    return json_string_value(json_object_get(root, "current"));
}

static bool context_apply(struct ctl *c, const char *path, const char *name, const json_t *context,
                          int *code)
{
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    struct ctl__options *o = &c->options;
    ctl__options_flags(o, flags);
    for (size_t i = 0; i < CTL__OPTIONS_COUNT; i++) {
        const char *text = json_string_value(json_object_get(context, flags[i].name));
        struct oak_bytes copy = text == NULL
                                    ? oak_bytes(NULL, 0)
                                    : oak_arena_dup(&c->arena, oak_bytes(text, strlen(text) + 1));
        struct oak_errbuf e;
        if (copy.data == NULL || !is_kept(flags[i].name)) {
            continue;
        }
        if (flags[i].target == &o->endpoints) { /* not added to those of flags */
            o->context_endpoints = (const char *)copy.data;
        } else if (oak_args_set(&flags[i], (const char *)copy.data, &e) != 0) {
            *code = ctl__error(CTL__BAD_ARGS, "the context %s, in %s: %s", name, path, e.text);
            return false;
        }
    }
    return true;
}

bool ctl__contexts_apply(struct ctl *c, const char *flag, int *code)
{
    char path[PATH_BYTES_MAX];
    if (c->as_etcdctl && flag == NULL) {
        return true;
    }
    if (!path_find(path)) {
        if (flag != NULL) {
            *code = ctl__error(CTL__BAD_ARGS, "--context: there is no file of contexts, $HOME is "
                                              "not set");
        }
        return flag == NULL;
    }
    json_t *root = file_read(path, code);
    if (root == NULL) {
        return false;
    }
    const char *name = name_meant(flag, root);
    const json_t *context = json_object_get(json_object_get(root, "contexts"), name);
    bool good = name == NULL || name[0] == '\0' || context != NULL;
    if (!good) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "there is no context \"%.128s\" in %s; `oakum context "
                           "list` shows those there are",
                           name, path);
    }
    good = good && (context == NULL || context_apply(c, path, name, context, code));
    json_decref(root);
    return good;
}

void ctl__contexts_each(void (*each)(void *user, const char *name), void *user)
{
    char path[PATH_BYTES_MAX];
    json_t *root = path_find(path) ? json_load_file(path, 0, NULL) : NULL;
    const char *name;
    json_t *context;
    json_object_foreach(json_object_get(root, "contexts"), name, context)
    {
        each(user, name);
    }
    json_decref(root);
}

/* -- the verbs --------------------------------------------------------------------------------- */

/* The file's contexts, for a verb about one of them. NULL: told. */
static json_t *file_open(char *path, int *code)
{
    if (path_find(path)) {
        return file_read(path, code);
    }
    *code = ctl__error(CTL__IO, "there is no place for contexts: neither $OAKUM_CONTEXTS nor $HOME "
                                "is set");
    return NULL;
}

static int complain_name(const char *name, const char *path)
{
    return ctl__error(CTL__BAD_ARGS,
                      "there is no context \"%.128s\" in %s; `oakum context list` "
                      "shows those there are",
                      name, path);
}

/* The flags of all verbs that the words give, as a context. NULL: told. */
static json_t *flags_take(int argc, char *const *argv, int *code)
{
    struct ctl__options o;
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags(&o, flags);
    json_t *context = json_object();
    for (int i = 1; i < argc; i++) {
        const struct oak_args_flag *f =
            argv[i][0] == '-' ? oak_args_find(flags, CTL__OPTIONS_COUNT, argv[i]) : NULL;
        if (f == NULL) {
            continue;
        }
        const char *equals = strchr(argv[i], '=');
        bool next = equals == NULL && f->kind != OAK_ARGS_BOOL && i + 1 < argc;
        const char *value = equals != NULL ? equals + 1 : next ? argv[++i] : "true";
        const char *before = json_string_value(json_object_get(context, f->name));
        bool secret = strcmp(f->name, "user") == 0 && strchr(value, ':') != NULL;
        const char *name = strcmp(f->name, "output") == 0 ? "write-out" : f->name;
        if (!is_kept(name) || secret) {
            *code = ctl__error(CTL__BAD_ARGS, "a context does not keep %s: %s",
                               secret ? "a password" : f->name,
                               secret ? "give --user NAME; it is asked for when it is needed"
                                      : "give it with each command");
            json_decref(context);
            return NULL;
        }
        json_object_set_new(context, name,
                            before != NULL ? json_sprintf("%s,%s", before, value)
                                           : json_string(value));
    }
    return context;
}

int ctl__context_add(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "context add",
        .summary = "Give a cluster a name: the flags that are given here hold for each command in "
                   "the\ncontext. The first one is used from now on.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "A password is not kept: with --user NAME it is asked for.\n\n"
                "Examples:\n"
                "  oakum context add prod --endpoints https://a:2379,https://b:2379 --cacert "
                "ca.crt\n"
                "  oakum context use prod\n"
                "  oakum --context prod get greeting\n",
    };
    struct ctl__words words;
    char path[PATH_BYTES_MAX];
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    size_t size = words.count == 1 ? strlen(words.at[0]) : 0;
    if (size == 0 || size > NAME_BYTES_MAX) {
        return ctl__error(CTL__BAD_ARGS, "context add wants a name of up to %d bytes",
                          NAME_BYTES_MAX);
    }
    json_t *context = flags_take(argc, argv, &code);
    json_t *root = context != NULL ? file_open(path, &code) : NULL;
    if (root == NULL) {
        json_decref(context);
        return code;
    }
    json_t *all = json_object_get(root, "contexts");
    bool first = json_object_size(all) == 0;
    json_object_set_new(all, words.at[0], context);
    if (first) {
        json_object_set_new(root, "current", json_string(words.at[0]));
    }
    code = file_write(path, root);
    if (code == CTL__OK) {
        printf("context %s is kept in %s%s\n", words.at[0], path,
               first ? ", and used from now on" : "");
    }
    json_decref(root);
    return code;
}

/* use NAME, remove NAME. */
static int context_change(struct ctl *c, const struct oak_args_command *command, int argc,
                          char *const *argv, bool removes)
{
    struct ctl__words words;
    char path[PATH_BYTES_MAX];
    int code;
    if (!ctl__begin(c, command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count != 1) {
        return ctl__error(CTL__BAD_ARGS, "%s wants the name of a context", command->name);
    }
    json_t *root = file_open(path, &code);
    if (root == NULL) {
        return code;
    }
    json_t *all = json_object_get(root, "contexts");
    const char *current = json_string_value(json_object_get(root, "current"));
    if (json_object_get(all, words.at[0]) == NULL) {
        code = complain_name(words.at[0], path);
    } else {
        bool ends = removes && current != NULL && strcmp(current, words.at[0]) == 0;
        if (removes) {
            json_object_del(all, words.at[0]);
        } else {
            json_object_set_new(root, "current", json_string(words.at[0]));
        }
        if (ends) {
            json_object_del(root, "current");
        }
        code = file_write(path, root);
    }
    if (code == CTL__OK) {
        printf(removes ? "context %s is removed\n" : "context %s is used from now on\n",
               words.at[0]);
    }
    json_decref(root);
    return code;
}

int ctl__context_use(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "context use",
        .summary = "Use a context from now on, where no --context and no $OAKUM_CONTEXT says "
                   "otherwise.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum context use prod\n",
    };
    return context_change(c, &command, argc, argv, false);
}

int ctl__context_remove(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "context remove",
        .summary = "Forget a context.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum context remove staging\n",
    };
    return context_change(c, &command, argc, argv, true);
}

int ctl__context_list(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "context list",
        .summary = "List the contexts: the one in use has a star.",
        .operands = "",
        .more = "With --output json: the file, as it is.\n\nExample:\n  oakum context list\n",
    };
    struct ctl__words words;
    char path[PATH_BYTES_MAX];
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    json_t *root = file_open(path, &code);
    if (root == NULL) {
        return code;
    }
    if (c->format == CTL__JSON) {
        json_dumpf(root, stdout, JSON_COMPACT | JSON_SORT_KEYS);
        fputc('\n', stdout);
    } else {
        const char *meant = name_meant(NULL, root);
        const char *name;
        json_t *context;
        json_object_foreach(json_object_get(root, "contexts"), name, context)
        {
            const char *endpoints = json_string_value(json_object_get(context, "endpoints"));
            printf("%s %-20s %s\n", meant != NULL && strcmp(meant, name) == 0 ? "*" : " ", name,
                   endpoints != NULL ? endpoints : "");
        }
    }
    json_decref(root);
    return CTL__OK;
}
