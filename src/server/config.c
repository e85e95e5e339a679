/* SPDX-License-Identifier: Apache-2.0 */
/* config.c: load a configuration: flags first, then the file or the variables, then the check.
 *
 * Happy path   1 defaults
 *              2 flags, as Go's flag package reads them
 *              3 a file, if one is named, from fresh defaults; else the variables
 *              4 the rules that span several flags Can fail anything a person can type. The error
 *                names the flag, variable or key; `misused` tells an error of syntax (exit code 2,
 *                with the usage) from one of meaning (exit code 1).
 * Invariants   a failed load leaves nothing but the arena behind.
 */
#include "server/config_internal.h"

#include <stdio.h>
#include <unistd.h>

/* A flag's name in an error. */
#define NAME_BYTES 80
/* All texts of a configuration: a file of 1 MiB at most, each value copied a few times. */
#define ARENA_BYTES_MAX (8 * OAK_MIB)

bool config__given(const struct config__loader *l, const char *name)
{
    size_t count;
    bool by_alias;
    const struct config__row *rows = config__rows(&count);
    const struct config__row *row = config__row_find(oak_bytes_str(name), &by_alias);
    OAK_ASSERT(row != NULL);
    size_t place = (size_t)(row - rows);
    return l->given[place].by_name || l->given[place].by_alias;
}

static int defaults_set(struct config__loader *l)
{
    size_t count;
    const struct config__row *rows = config__rows(&count);
    for (size_t i = 0; i < count; i++) {
        l->given[i].by_name = false;
        l->given[i].by_alias = false;
        if (rows[i].fate == CONFIG__LIVE) {
            int error = config__set(l, &rows[i], rows[i].name, rows[i].value, CONFIG__FORM_FLAG);
            if (error != 0) {
                return error;
            }
        }
    }
    return 0;
}

static int misuse(struct config__loader *l)
{
    l->config->misused = true;
    return OAK_EINVAL;
}

/* One flag at `argv[*at]`; *at moves past it and its value. */
static int flag_read(struct config__loader *l, const struct oak_config_input *input, int *at)
{
    const char *word = input->argv[*at];
    const char *name = word + (word[1] == '-' ? 2 : 1);
    *at += 1;
    size_t size = strcspn(name, "=");
    if (size == 0 || name[0] == '-') {
        oak_fail(l->e, OAK_EINVAL, "bad flag syntax: %.128s", word);
        return misuse(l);
    }
    bool by_alias = false;
    const struct config__row *row = config__row_find(oak_bytes(name, size), &by_alias);
    if (row == NULL) {
        oak_fail(l->e, OAK_EINVAL, "flag provided but not defined: -%.*s", (int)OAK_MIN(size, 128),
                 name);
        return misuse(l);
    }
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    if (value == NULL && row->kind == CONFIG__BOOL) {
        value = "true";
    }
    if (value == NULL && *at < input->argc) {
        value = input->argv[*at];
        *at += 1;
    }
    if (value == NULL) {
        oak_fail(l->e, OAK_EINVAL, "flag needs an argument: -%s",
                 by_alias ? row->alias : row->name);
        return misuse(l);
    }
    size_t count;
    size_t place = (size_t)(row - config__rows(&count));
    l->given[place].by_name = l->given[place].by_name || !by_alias;
    l->given[place].by_alias = l->given[place].by_alias || by_alias;
    if (row->fate == CONFIG__COMMAND && row->kind == CONFIG__BOOL) {
        struct config__value truth;
        int error =
            config__value_read(&l->config->arena, row, value, CONFIG__FORM_FLAG, &truth, l->e);
        if (error == 0 && truth.truth && l->config->action != OAK_CONFIG_HELP) {
            l->config->action =
                strcmp(row->name, "version") == 0 ? OAK_CONFIG_VERSION : OAK_CONFIG_HELP;
        }
        return error == 0 ? 0 : misuse(l);
    }
    if (row->fate == CONFIG__COMMAND) {
        l->config->config_file = config__keep(&l->config->arena, value, strlen(value));
        return l->config->config_file != NULL ? 0 : oak_fail(l->e, OAK_ENOMEM, "out of memory");
    }
    char where[NAME_BYTES];
    snprintf(where, sizeof(where), "--%s", by_alias ? row->alias : row->name);
    int error = config__set(l, row, where, value, CONFIG__FORM_FLAG);
    if (error == OAK_EUNIMPLEMENTED && l->later == 0) {
        l->later = error; /* a file may yet replace it */
        l->later_text = *l->e;
    }
    return error == OAK_EINVAL || error == OAK_ELIMIT ? misuse(l) : error == OAK_ENOMEM ? error : 0;
}

static int flags_read(struct config__loader *l, const struct oak_config_input *input)
{
    int at = 1;
    while (at < input->argc && l->config->action != OAK_CONFIG_HELP) {
        const char *word = input->argv[at];
        if (strcmp(word, "--") == 0) {
            at++;
            break;
        }
        if (word[0] != '-' || word[1] == '\0') {
            break;
        }
        int error = flag_read(l, input, &at);
        if (error != 0) {
            return error;
        }
    }
    if (at < input->argc && l->config->action != OAK_CONFIG_HELP) {
        return oak_fail(l->e, OAK_EINVAL, "\"%.128s\" is not a valid flag", input->argv[at]);
    }
    return 0;
}

/* A file replaces what flags and variables said. Its flags were read all the same, so that a typing
 * error among them is not silent. */
static int sources_read(struct config__loader *l, const struct oak_config_input *input)
{
    struct oak_config *config = l->config;
    const char *named = config__env_find(input->env, "ETCD_CONFIG_FILE");
    if (config->config_file == NULL && named != NULL && named[0] != '\0') {
        config->config_file = config__keep(&config->arena, named, strlen(named));
        if (config->config_file == NULL) {
            return oak_fail(l->e, OAK_ENOMEM, "out of memory");
        }
    }
    if (config->config_file == NULL || config->config_file[0] == '\0') {
        config->config_file = NULL;
        if (l->later != 0) {
            *l->e = l->later_text;
            return l->later;
        }
        return config__env_read(l, input->env);
    }
    config->warning_count = 0;
    int error = defaults_set(l);
    if (error == 0) {
        error = config__file_read(l, config->config_file);
    }
    return error;
}

int oak_config_load(const struct oak_config_input *input, struct oak_config *out,
                    struct oak_errbuf *e)
{
    OAK_ASSERT(input->argc >= 1);
    struct oak_errbuf unread;
    *out = (struct oak_config){0};
    oak_arena_init(&out->arena, 16 * OAK_KIB, ARENA_BYTES_MAX);
    struct config__loader l = {.config = out, .e = e != NULL ? e : &unread};
    int error = defaults_set(&l);
    if (error == 0) {
        error = flags_read(&l, input);
    }
    if (error != 0 || out->action != OAK_CONFIG_SERVE) {
        return error;
    }
    error = sources_read(&l, input);
    return error == 0 ? config__check(&l) : error;
}

void oak_config_fini(struct oak_config *config)
{
    oak_arena_fini(&config->arena);
    *config = (struct oak_config){0};
}

bool oak_config_start(int argc, char *const *argv, char *const *env, struct oak_config *out,
                      int *exit_code)
{
    struct oak_errbuf e = {0};
    /* C does not add the const by itself below the first level. */
    struct oak_config_input input = {
        .argc = argc, .argv = (const char *const *)argv, .env = (const char *const *)env};
    int error = oak_config_load(&input, out, &e);
    if (error == 0 && out->action == OAK_CONFIG_SERVE) {
        return true;
    }
    *exit_code = 0;
    if (error != 0) {
        fprintf(stderr, "%s\n", e.text);
        if (out->misused) {
            fprintf(stderr, "%s", oak_config_usage());
        }
        *exit_code = out->misused ? 2 : 1;
    } else if (out->action == OAK_CONFIG_VERSION) {
        fputs(oak_config_version(), stdout);
    } else {
        struct oak_buf text = {0};
        if (oak_config_help(&text) == 0) {
            fwrite(text.data, 1, text.size, stdout);
        }
        oak_buf_fini(&text);
    }
    oak_config_fini(out);
    return false;
}
