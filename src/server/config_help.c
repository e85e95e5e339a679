/* SPDX-License-Identifier: Apache-2.0 */
/* config_help.c: the flags as text for people: help, usage, version. */
#include "server/config_internal.h"
#include "server/server.h"

#ifndef OAK_VERSION
#error "OAK_VERSION comes from the build"
#endif

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#else
#define ARCH "unknown"
#endif

const char *oak_config_usage(void)
{
    return "Usage:\n"
           "  oakum [flags]\n"
           "    Start a server. --help lists the flags.\n"
           "  oakum --config-file FILE\n"
           "    Start a server from a file in place of flags and variables.\n"
           "  oakum help\n"
           "    List the other commands.\n";
}

/* Scripts look for the first line; the others keep their labels, so that the four can be told
 * apart. */
const char *oak_config_version(void)
{
    return "etcd Version: " OAK_CONFIG_ETCD_VERSION "\n"
           "Git SHA: oakum-" OAK_VERSION "\n"
           "Go Version: none (C17)\n"
           "Go OS/Arch: linux/" ARCH "\n";
}

const char *oak_server_etcd_version(void)
{
    return OAK_CONFIG_ETCD_VERSION;
}

static int row_print(const struct config__row *row, struct oak_buf *out)
{
    static const char *const kinds[] = {
        [CONFIG__BOOL] = "",
        [CONFIG__INT] = " <number>",
        [CONFIG__DURATION] = " <duration>",
        [CONFIG__TEXT] = " <text>",
        [CONFIG__CHOICE] = "",
        [CONFIG__URLS] = " <urls>",
        [CONFIG__LISTEN] = " <urls>",
    };
    /* An empty choice is the same as none. */
    int error = row->kind == CONFIG__CHOICE
                    ? oak_buf_printf(out, "  --%s <%s>\n", row->name,
                                     row->choices + (row->choices[0] == '|' ? 1 : 0))
                    : oak_buf_printf(out, "  --%s%s\n", row->name, kinds[row->kind]);
    if (error == 0) {
        error = row->value[0] == '\0'
                    ? oak_buf_printf(out, "      %s\n", row->help)
                    : oak_buf_printf(out, "      %s (default %s)\n", row->help, row->value);
    }
    return error;
}

static int group_print(enum config__fate fate, struct oak_buf *out)
{
    size_t count;
    const struct config__row *rows = config__rows(&count);
    const char *group = "";
    int error = 0;
    for (size_t i = 0; i < count && error == 0; i++) {
        if (rows[i].fate != fate || strcmp(rows[i].name, "h") == 0) {
            continue;
        }
        if (strcmp(group, rows[i].group) != 0) {
            group = rows[i].group;
            error = oak_buf_printf(out, "\n%s:\n", group);
        }
        if (error == 0) {
            error = row_print(&rows[i], out);
        }
    }
    return error;
}

/* Names only, wrapped. */
static int names_print(enum config__fate fate, const char *title, struct oak_buf *out)
{
    size_t count;
    size_t column = 0;
    const struct config__row *rows = config__rows(&count);
    int error = oak_buf_printf(out, "\n%s\n ", title);
    for (size_t i = 0; i < count && error == 0; i++) {
        if (rows[i].fate != fate) {
            continue;
        }
        size_t size = strlen(rows[i].name) + 1;
        bool wrap = column + size > 90;
        error = oak_buf_printf(out, "%s %s", wrap ? "\n " : "", rows[i].name);
        column = wrap ? size : column + size;
    }
    return error == 0 ? oak_buf_printf(out, "\n") : error;
}

int oak_config_help(struct oak_buf *out)
{
    int error = oak_buf_printf(out, "%s", oak_config_usage());
    if (error == 0) {
        error = oak_buf_printf(
            out, "\n"
                 "Each flag has a variable: ETCD_ and its name in capitals, with _ for -\n"
                 "(--experimental-store: OAKUM_STORE). A variable beside its flag is an error.\n"
                 "A file has the flags' names as keys, durations in nanoseconds.\n");
    }
    if (error == 0) {
        error = group_print(CONFIG__LIVE, out);
    }
    if (error == 0) {
        error = group_print(CONFIG__COMMAND, out);
    }
    if (error == 0) {
        error = names_print(CONFIG__LATER, "Refused, because this version cannot do it yet:", out);
    }
    if (error == 0) {
        error =
            names_print(CONFIG__INERT, "Accepted for etcd's sake; they change nothing here:", out);
    }
    return error == 0 ? names_print(CONFIG__LEGACY, "Ignored, as etcd ignores them:", out) : error;
}
