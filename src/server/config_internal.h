/* SPDX-License-Identifier: Apache-2.0 */
/* config_internal.h: the table of flags, and what the files of the configuration share. */
#ifndef OAK_SERVER_CONFIG_INTERNAL_H
#define OAK_SERVER_CONFIG_INTERNAL_H

#include "server/config.h"

enum config__kind {
    CONFIG__BOOL,
    CONFIG__INT,
    CONFIG__DURATION, /* "1h30m" as a flag, nanoseconds in a file */
    CONFIG__TEXT,
    CONFIG__CHOICE, /* one of row.choices; the field gets its place among them */
    CONFIG__URLS,   /* where others come to us, or where we say that we are */
    CONFIG__LISTEN, /* where we listen: addresses of this machine only */
};

enum config__fate {
    CONFIG__LIVE,    /* sets a field */
    CONFIG__INERT,   /* checked, and told that it changes nothing here */
    CONFIG__LATER,   /* refused unless its value changes nothing; row.why says why */
    CONFIG__LEGACY,  /* etcd itself takes and ignores it, whatever its value */
    CONFIG__COMMAND, /* help, version, config-file: the parser's own */
};

struct config__row {
    const char *name;
    const char *alias; /* an older name with the same meaning; NULL for none */
    const char *env;   /* NULL: ETCD_ and the name */
    enum config__kind kind;
    enum config__fate fate;
    size_t offset;     /* LIVE: of the field in struct oak_config */
    const char *value; /* the default, and for LATER the value that changes nothing */
    int64_t min;       /* INT, DURATION; a least count for URL lists */
    int64_t max;
    const char *choices; /* "a|b" */
    const char *group;
    const char *help;
    const char *why;
};

/* The rows, and how many. */
const struct config__row *config__rows(size_t *count);
#define CONFIG__ROWS_MAX 192

/* Where a value came from: its syntax differs. */
enum config__form {
    CONFIG__FORM_FLAG, /* and variables */
    CONFIG__FORM_FILE,
};

/* One load in progress. */
struct config__loader {
    struct oak_config *config;
    struct oak_errbuf *e;
    int later; /* the first flag that is refused, unless a file replaces the flags; and why */
    struct oak_errbuf later_text;
    /* How a row was given, so that variables can be held against flags. */
    struct {
        bool by_name;
        bool by_alias;
    } given[CONFIG__ROWS_MAX];
};

/* A value, read. */
struct config__value {
    bool truth;
    int64_t number; /* also nanoseconds, and the place of a choice */
    const char *text;
    struct oak_config_urls urls;
};

/* The row called so, by its name or (told) its alias; NULL. */
const struct config__row *config__row_find(struct oak_bytes name, bool *by_alias);

/* Read a value. On OAK_EINVAL `e` holds what is wrong with it, without the flag's name. */
int config__value_read(struct oak_arena *arena, const struct config__row *row, const char *text,
                       enum config__form form, struct config__value *out, struct oak_errbuf *e);
/* Read it and let it take effect. `where` names the flag, variable or key in errors. */
int config__set(struct config__loader *l, const struct config__row *row, const char *where,
                const char *text, enum config__form form);
bool config__duration_read(const char *text, int64_t *out_ns);
/* A copy in the config's arena; NULL without memory. */
const char *config__keep(struct oak_arena *arena, const char *text, size_t size);
/* Formatted, kept and bounded; past the bound or without memory it is dropped. */
void config__warn(struct oak_config *config, const char *format, ...) OAK_PRINTF(2, 3);

/* Read one URL and write it in its one form. */
int config__url_read(struct oak_arena *arena, struct oak_bytes text, const char **out,
                     struct oak_errbuf *e);
/* Comma-separated ones, sorted. `listen`: must be an IP address or localhost. */
int config__urls_read(struct oak_arena *arena, const char *text, bool listen,
                      struct oak_config_urls *out, struct oak_errbuf *e);
void config__urls_sort(struct oak_config_urls *urls);

/* The variables of ETCD_… and our own. */
int config__env_read(struct config__loader *l, const char *const *env);
/* The value of a variable, NULL when it is not there. */
const char *config__env_find(const char *const *env, const char *name);
void config__env_name(const struct config__row *row, bool alias, char *out, size_t size);

/* A configuration file, from its path or its bytes. */
int config__file_read(struct config__loader *l, const char *path);
int config__yaml_read(struct config__loader *l, struct oak_bytes text);

/* Rules that span several flags; settles derived defaults first. */
int config__check(struct config__loader *l);
/* Those of log outputs, of TLS, and of feature gates. */
int config__log_check(struct config__loader *l);
int config__tls_check(struct config__loader *l);
int config__gates_check(struct config__loader *l);
/* Was the row of this field given by anyone? */
bool config__given(const struct config__loader *l, const char *name);

#endif
