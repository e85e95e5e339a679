/* SPDX-License-Identifier: Apache-2.0 */
/* config_file.c: a configuration file in YAML (or JSON, which is YAML), by libyaml's event parser.
 *
 * Happy path   one mapping: key, value, key, value. A value is a scalar, a list of scalars
 *              (joined by commas), or one of a few known sections, whose keys stand for flags.
 * Can fail     OAK_ENOENT, OAK_EPERM, OAK_EIO (the file), OAK_ELIMIT (too long), OAK_EFORMAT (not
 *              YAML, not a mapping; with line and column), OAK_EINVAL (a bad value). OAK_ENOMEM.
 * Invariants   no recursion: unknown values are skipped by counting their depth. Anchors are
 *              refused, so that a file cannot be small and mean something huge.
 */
#include "server/config_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

/* A section and a key. */
#define KEY_BYTES_MAX 160
/* A list joined. */
#define VALUE_BYTES_MAX (64 * OAK_KIB)
/* Nesting of what is skipped. */
#define DEPTH_MAX 64

struct reader {
    struct config__loader *l;
    yaml_parser_t parser;
    yaml_event_t event;
    bool has_event;
};

static int next(struct reader *r)
{
    if (r->has_event) {
        yaml_event_delete(&r->event);
        r->has_event = false;
    }
    if (yaml_parser_parse(&r->parser, &r->event) == 0) {
        if (r->parser.error == YAML_MEMORY_ERROR) {
            return oak_fail(r->l->e, OAK_ENOMEM, "out of memory");
        }
        return oak_fail(r->l->e, OAK_EFORMAT, "line %zu, column %zu: %s",
                        r->parser.problem_mark.line + 1, r->parser.problem_mark.column + 1,
                        r->parser.problem != NULL ? r->parser.problem : "not YAML");
    }
    r->has_event = true;
    if (r->event.type == YAML_ALIAS_EVENT) {
        return oak_fail(r->l->e, OAK_EFORMAT, "line %zu: references (*name) are not supported here",
                        r->event.start_mark.line + 1);
    }
    return 0;
}

static int wrong_shape(struct reader *r, const char *what)
{
    return oak_fail(r->l->e, OAK_EFORMAT, "line %zu: %s", r->event.start_mark.line + 1, what);
}

/* A scalar without NUL bytes, as text valid until the next event. */
static int scalar(struct reader *r, const char **out)
{
    const char *text = (const char *)r->event.data.scalar.value;
    if (strlen(text) != r->event.data.scalar.length) {
        return wrong_shape(r, "a value with a zero byte");
    }
    *out = text;
    return 0;
}

static bool is_null(const struct reader *r)
{
    const char *text = (const char *)r->event.data.scalar.value;
    bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return plain && (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* Pass over the value whose first event is at hand. */
static int skip(struct reader *r)
{
    int depth = 0;
    for (;;) {
        switch (r->event.type) {
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
            depth++;
            break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
            depth--;
            break;
        default:
            break;
        }
        if (depth == 0) {
            return 0;
        }
        if (depth > DEPTH_MAX) {
            return wrong_shape(r, "nested too deep");
        }
        int error = next(r);
        if (error != 0) {
            return error;
        }
    }
}

/* The value at hand as one text in `out`: a scalar, or a list's scalars with commas between.
 * *absent: null. */
static int value_text(struct reader *r, struct oak_buf *out, bool *absent)
{
    const char *text = "";
    *absent = false;
    if (r->event.type == YAML_SCALAR_EVENT) {
        *absent = is_null(r);
        int error = scalar(r, &text);
        return error != 0 ? error : oak_buf_append(out, text, strlen(text) + 1);
    }
    if (r->event.type != YAML_SEQUENCE_START_EVENT) {
        return wrong_shape(r, "a value or a list is expected here");
    }
    for (bool first = true;; first = false) {
        int error = next(r);
        if (error == 0 && r->event.type == YAML_SEQUENCE_END_EVENT) {
            return oak_buf_append(out, "", 1);
        }
        if (error == 0 && r->event.type != YAML_SCALAR_EVENT) {
            error = wrong_shape(r, "a list here holds plain values");
        }
        if (error == 0) {
            error = scalar(r, &text);
        }
        if (error == 0) {
            error = oak_buf_printf(out, "%s%s", first ? "" : ",", text);
        }
        if (error == 0 && out->size > VALUE_BYTES_MAX) {
            error = wrong_shape(r, "the list is too long");
        }
        if (error != 0) {
            return error;
        }
    }
}

/* The flag of a section's key; NULL when it has none. */
static const struct config__row *section_row(const char *section, const char *key)
{
    static const struct {
        const char *section;
        const char *key;
        const char *flag;
    } other[] = {
        {"client-transport-security", "allowed-hostname", "client-cert-allowed-hostname"},
        {"peer-transport-security", "allowed-hostname", "peer-cert-allowed-hostname"},
        {"peer-transport-security", "allowed-cn", "peer-cert-allowed-cn"},
        {"peer-transport-security", "skip-client-san-verification",
         "peer-skip-client-san-verification"},
        {"socket-options", "reuse-port", "socket-reuse-port"},
        {"socket-options", "reuse-address", "socket-reuse-address"},
    };
    static const char *const same[] = {"cert-file",       "key-file",         "client-cert-file",
                                       "client-key-file", "client-cert-auth", "trusted-ca-file",
                                       "auto-tls"};
    const char *prefix = strcmp(section, "peer-transport-security") == 0 ? "peer-" : "";
    bool by_alias;
    for (size_t i = 0; i < OAK_COUNT_OF(other); i++) {
        if (strcmp(section, other[i].section) == 0 && strcmp(key, other[i].key) == 0) {
            return config__row_find(oak_bytes_str(other[i].flag), &by_alias);
        }
    }
    for (size_t i = 0; i < OAK_COUNT_OF(same) && strstr(section, "-security") != NULL; i++) {
        if (strcmp(key, same[i]) == 0) {
            char flag[KEY_BYTES_MAX];
            snprintf(flag, sizeof(flag), "%s%s", prefix, same[i]);
            return config__row_find(oak_bytes_str(flag), &by_alias);
        }
    }
    return NULL;
}

/* A key of a section. One of discovery is refused unless it is empty, false or zero; elsewhere what
 * has no flag is passed over, as etcd does. */
static int section_value(struct reader *r, const char *section, const char *key, const char *text)
{
    static const char *const nothing[] = {"", "false", "0", "null", "~"};
    char where[2 * KEY_BYTES_MAX];
    snprintf(where, sizeof(where), "%s.%.80s", section, key);
    const struct config__row *row = section_row(section, key);
    if (row != NULL) {
        return config__set(r->l, row, where, text, CONFIG__FORM_FILE);
    }
    struct oak_config *c = r->l->config;
    if (strcmp(section, "client-transport-security") == 0 && strcmp(key, "allowed-cn") == 0) {
        c->client_tls.allowed_names = config__keep(&c->arena, text, strlen(text));
        return c->client_tls.allowed_names != NULL ? 0
                                                   : oak_fail(r->l->e, OAK_ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < OAK_COUNT_OF(nothing); i++) {
        if (strcmp(text, nothing[i]) == 0) {
            return 0;
        }
    }
    if (strcmp(section, "discovery-config") != 0) {
        config__warn(c, "the key %s is not known, and ignored", where);
        return 0;
    }
    return oak_fail(r->l->e, OAK_EUNIMPLEMENTED,
                    "%s: not supported yet in this version; leave it out", where);
}

static int section_read(struct reader *r, const char *section)
{
    if (r->event.type != YAML_MAPPING_START_EVENT) {
        return r->event.type == YAML_SCALAR_EVENT && is_null(r)
                   ? 0
                   : wrong_shape(r, "a section is expected here");
    }
    struct oak_buf text = {0};
    int error = 0;
    while (error == 0) {
        char name[KEY_BYTES_MAX];
        const char *key = NULL;
        bool absent = false;
        error = next(r);
        if (error == 0 && r->event.type == YAML_MAPPING_END_EVENT) {
            break;
        }
        if (error == 0 && r->event.type != YAML_SCALAR_EVENT) {
            error = wrong_shape(r, "a key is expected here");
        }
        if (error == 0) {
            error = scalar(r, &key);
        }
        if (error == 0) {
            snprintf(name, sizeof(name), "%s", key);
            error = next(r);
        }
        if (error == 0 && r->event.type == YAML_MAPPING_START_EVENT) {
            error = skip(r);
            continue;
        }
        oak_buf_clear(&text);
        if (error == 0) {
            error = value_text(r, &text, &absent);
        }
        if (error == 0 && !absent) {
            error = section_value(r, section, name, (const char *)text.data);
        }
    }
    oak_buf_fini(&text);
    return error;
}

/* The flag of a key; NULL when etcd has no such key. */
static const struct config__row *row_of(const char *key)
{
    static const char *const not_keys[] = {
        /* flags whose place in a file is in a section ... */
        "cert-file", "key-file", "client-cert-auth", "client-cert-file", "client-key-file",
        "trusted-ca-file", "client-cert-allowed-hostname", "auto-tls", "peer-cert-file",
        "peer-key-file", "peer-client-cert-auth", "peer-client-cert-file", "peer-client-key-file",
        "peer-trusted-ca-file", "peer-cert-allowed-cn", "peer-cert-allowed-hostname",
        "peer-auto-tls", "peer-skip-client-san-verification", "socket-reuse-port",
        "socket-reuse-address",
        /* ... or that have none */
        "client-crl-file", "peer-crl-file", "raft-read-timeout", "raft-write-timeout"};
    for (size_t i = 0; i < OAK_COUNT_OF(not_keys); i++) {
        if (strcmp(key, not_keys[i]) == 0) {
            return NULL;
        }
    }
    if (strcmp(key, "experimental-snapshot-catch-up-entries") == 0) {
        key = "snapshot-catchup-entries";
    }
    bool by_alias;
    const struct config__row *row = config__row_find(oak_bytes_str(key), &by_alias);
    bool is_key = row != NULL && row->fate != CONFIG__COMMAND && row->fate != CONFIG__LEGACY;
    return is_key ? row : NULL;
}

/* The value at hand belongs to `key`. */
static int entry_read(struct reader *r, const char *key)
{
    static const char *const sections[] = {"client-transport-security", "peer-transport-security",
                                           "socket-options", "discovery-config"};
    for (size_t i = 0; i < OAK_COUNT_OF(sections); i++) {
        if (strcmp(key, sections[i]) == 0) {
            return section_read(r, key);
        }
    }
    const struct config__row *row = row_of(key);
    if (row == NULL) {
        config__warn(r->l->config, "%s: the key %.80s is not known, and ignored",
                     r->l->config->config_file != NULL ? r->l->config->config_file : "file", key);
        return skip(r);
    }
    size_t count;
    size_t place = (size_t)(row - config__rows(&count));
    if (r->l->given[place].by_name) {
        return wrong_shape(r, "a key that was already given");
    }
    struct oak_buf text = {0};
    bool absent = false;
    int error = value_text(r, &text, &absent);
    if (error == 0 && !absent) {
        r->l->given[place].by_name = true;
        error = config__set(r->l, row, key, (const char *)text.data, CONFIG__FORM_FILE);
    }
    oak_buf_fini(&text);
    return error;
}

static int mapping_read(struct reader *r)
{
    for (;;) {
        char key[KEY_BYTES_MAX];
        const char *text = NULL;
        int error = next(r);
        if (error == 0 && r->event.type == YAML_MAPPING_END_EVENT) {
            return 0;
        }
        if (error == 0 && r->event.type != YAML_SCALAR_EVENT) {
            error = wrong_shape(r, "a key is expected here");
        }
        if (error == 0) {
            error = scalar(r, &text);
        }
        if (error == 0) {
            snprintf(key, sizeof(key), "%s", text);
            error = next(r);
        }
        if (error == 0) {
            error = entry_read(r, key);
        }
        if (error != 0) {
            return error;
        }
    }
}

int config__yaml_read(struct config__loader *l, struct oak_bytes text)
{
    struct reader r = {.l = l};
    if (yaml_parser_initialize(&r.parser) == 0) {
        return oak_fail(l->e, OAK_ENOMEM, "out of memory");
    }
    yaml_parser_set_input_string(&r.parser, text.data, text.size);
    int error = 0;
    /* Up to the first content: the stream's and the document's own events come before it. */
    do {
        error = next(&r);
    } while (error == 0 && (r.event.type == YAML_STREAM_START_EVENT ||
                            r.event.type == YAML_DOCUMENT_START_EVENT));
    if (error == 0 && r.event.type == YAML_MAPPING_START_EVENT) {
        error = mapping_read(&r);
    } else if (error == 0 && r.event.type != YAML_STREAM_END_EVENT &&
               !(r.event.type == YAML_SCALAR_EVENT && is_null(&r))) {
        error = wrong_shape(&r, "a configuration is a mapping of keys to values");
    }
    if (r.has_event) {
        yaml_event_delete(&r.event);
    }
    yaml_parser_delete(&r.parser);
    return error;
}

static int bytes_read(FILE *file, struct oak_buf *out)
{
    for (;;) {
        int error = oak_buf_reserve(out, 16 * OAK_KIB);
        if (error != 0) {
            return error;
        }
        size_t got = fread(out->data + out->size, 1, 16 * OAK_KIB, file);
        out->size += got;
        if (out->size > OAK_CONFIG_FILE_BYTES_MAX) {
            return OAK_ELIMIT;
        }
        if (got == 0) {
            return ferror(file) != 0 ? OAK_EIO : 0;
        }
    }
}

int config__file_read(struct config__loader *l, const char *path)
{
    FILE *file = fopen(path, "rbe");
    if (file == NULL) {
        int error = errno == ENOENT ? OAK_ENOENT : errno == EACCES ? OAK_EPERM : OAK_EIO;
        return oak_fail(l->e, error, "--config-file %s: %s", path, strerror(errno));
    }
    struct oak_buf text = {0};
    int error = bytes_read(file, &text);
    fclose(file);
    if (error == OAK_ELIMIT) {
        oak_fail(l->e, error, "longer than %zu bytes: is it the right file?",
                 OAK_CONFIG_FILE_BYTES_MAX);
    } else if (error != 0) {
        oak_fail(l->e, error, "%s", oak_error_text(error));
    } else {
        error = config__yaml_read(l, oak_buf_bytes(&text));
    }
    oak_buf_fini(&text);
    return error == 0 ? 0 : oak_fail_in(l->e, error, path);
}
