/* SPDX-License-Identifier: Apache-2.0 */
/* config_env.c: the variables of the environment.
 *
 * Happy path   for each row: its variable sets it, unless it is empty; then look for ETCD_ names
 *              that no row has, and warn.
 * Can fail     a variable that is there (even empty) while its flag is given too: OAK_EINVAL,
 *              because one of the two would be obeyed and the other believed. A bad value:
 *              OAK_EINVAL.
 */
#include "server/config_internal.h"

#include <ctype.h>
#include <stdio.h>

/* ETCD_, a flag's name of at most 60 letters, and the end. */
#define ENV_NAME_BYTES 80

void config__env_name(const struct config__row *row, bool alias, char *out, size_t size)
{
    if (row->env != NULL && !alias) {
        snprintf(out, size, "%s", row->env);
        return;
    }
    snprintf(out, size, "ETCD_%s", alias ? row->alias : row->name);
    for (char *at = out; *at != '\0'; at++) {
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    }
}

const char *config__env_find(const char *const *env, const char *name)
{
    size_t size = strlen(name);
    for (; *env != NULL; env++) {
        if (strncmp(*env, name, size) == 0 && (*env)[size] == '=') {
            return *env + size + 1;
        }
    }
    return NULL;
}

static int variable_read(struct config__loader *l, const char *const *env,
                         const struct config__row *row, size_t place, bool alias)
{
    char name[ENV_NAME_BYTES];
    config__env_name(row, alias, name, sizeof(name));
    const char *value = name[0] == '\0' ? NULL : config__env_find(env, name);
    if (value == NULL) {
        return 0;
    }
    if (alias ? l->given[place].by_alias : l->given[place].by_name) {
        return oak_fail(
            l->e, OAK_EINVAL,
            "conflicting environment variable is shadowed by corresponding command-line "
            "flag (either unset environment variable or disable flag)): %s",
            name);
    }
    if (value[0] == '\0') {
        return 0;
    }
    if (row->fate != CONFIG__COMMAND) {
        int error = config__set(l, row, name, value, CONFIG__FORM_FLAG);
        if (error != 0) {
            return error;
        }
        l->given[place].by_name = l->given[place].by_name || !alias;
        l->given[place].by_alias = l->given[place].by_alias || alias;
    }
    return 0;
}

static bool is_known(const char *entry, size_t size)
{
    size_t count;
    const struct config__row *rows = config__rows(&count);
    for (size_t i = 0; i < count; i++) {
        char name[ENV_NAME_BYTES];
        config__env_name(&rows[i], false, name, sizeof(name));
        if (strlen(name) == size && strncmp(name, entry, size) == 0) {
            return true;
        }
        if (rows[i].alias != NULL) {
            config__env_name(&rows[i], true, name, sizeof(name));
            if (strlen(name) == size && strncmp(name, entry, size) == 0) {
                return true;
            }
        }
    }
    return false;
}

int config__env_read(struct config__loader *l, const char *const *env)
{
    size_t count;
    const struct config__row *rows = config__rows(&count);
    for (size_t i = 0; i < count; i++) {
        int error = variable_read(l, env, &rows[i], i, false);
        if (error == 0 && rows[i].alias != NULL) {
            error = variable_read(l, env, &rows[i], i, true);
        }
        if (error != 0) {
            return error;
        }
    }
    for (const char *const *at = env; *at != NULL; at++) {
        const char *end = strchr(*at, '=');
        if (end != NULL && strncmp(*at, "ETCD_", 5) == 0 && !is_known(*at, (size_t)(end - *at))) {
            config__warn(l->config, "unrecognized environment variable %.*s",
                         (int)OAK_MIN((size_t)(end - *at), 128), *at);
        }
    }
    return 0;
}
