/* SPDX-License-Identifier: Apache-2.0 */
/* config_log.c: where log lines go, and how their file is rotated.
 *
 * --log-outputs     default and stderr, stdout, systemd/journal, or the path of a file, with commas
 * --log-rotation-config-json     {"maxsize": MB, "maxage": days, "maxbackups": files,
 *                                 "localtime": bool, "compress": bool}; JSON is YAML
 *
 * Can fail     OAK_EINVAL, OAK_EUNIMPLEMENTED, with the flag's name; OAK_ENOMEM.
 */
#include "server/config_internal.h"

#include <stdlib.h>
#include <yaml.h>

#define ROTATION_BYTES_MAX 4096
#define SIZE_MB_MAX        (1024 * 1024)
#define COUNT_MAX          100000

static int output_take(struct config__loader *l, struct oak_bytes name)
{
    struct oak_config *c = l->config;
    if (oak_bytes_eq(name, oak_bytes_str("stdout"))) {
        c->log_to_stdout = true;
    } else if (oak_bytes_eq(name, oak_bytes_str("stderr")) ||
               oak_bytes_eq(name, oak_bytes_str("default"))) {
        c->log_to_stderr = true;
    } else if (oak_bytes_eq(name, oak_bytes_str("systemd/journal"))) {
        c->log_to_journal = true;
    } else if (name.size == 0) {
        return oak_fail(l->e, OAK_EINVAL, "--log-outputs: a name between two commas is missing");
    } else if (c->log_file_count == OAK_CONFIG_LOG_FILES_MAX) {
        return oak_fail(l->e, OAK_ELIMIT, "--log-outputs: more than %d files",
                        OAK_CONFIG_LOG_FILES_MAX);
    } else {
        const char *path = config__keep(&c->arena, (const char *)name.data, name.size);
        if (path == NULL) {
            return oak_fail(l->e, OAK_ENOMEM, "out of memory");
        }
        c->log_files[c->log_file_count] = path;
        c->log_file_count++;
    }
    return 0;
}

static bool number_take(const char *text, int64_t max, uint32_t *out)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || number < 0 || number > max) {
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool truth_take(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0;
}

static bool entry_take(struct oak_config_rotation *r, const char *key, const char *value)
{
    return strcmp(key, "maxsize") == 0      ? number_take(value, SIZE_MB_MAX, &r->max_mb)
           : strcmp(key, "maxage") == 0     ? number_take(value, COUNT_MAX, &r->max_days)
           : strcmp(key, "maxbackups") == 0 ? number_take(value, COUNT_MAX, &r->max_files)
           : strcmp(key, "localtime") == 0  ? truth_take(value, &r->local_time)
           : strcmp(key, "compress") == 0   ? truth_take(value, &r->compress)
                                            : true; /* unknown keys are passed over, as in etcd */
}

/* A flat mapping; false when it is none. */
static bool mapping_take(yaml_document_t *document, struct oak_config_rotation *out)
{
    const yaml_node_t *root = yaml_document_get_root_node(document);
    if (root == NULL || root->type != YAML_MAPPING_NODE) {
        return false;
    }
    const yaml_node_pair_t *end = root->data.mapping.pairs.top;
    for (const yaml_node_pair_t *at = root->data.mapping.pairs.start; at < end; at++) {
        const yaml_node_t *key = yaml_document_get_node(document, at->key);
        const yaml_node_t *value = yaml_document_get_node(document, at->value);
        if (key->type != YAML_SCALAR_NODE || value->type != YAML_SCALAR_NODE ||
            !entry_take(out, (const char *)key->data.scalar.value,
                        (const char *)value->data.scalar.value)) {
            return false;
        }
    }
    return true;
}

static int rotation_read(const char *text, struct oak_config_rotation *out, struct oak_errbuf *e)
{
    yaml_parser_t parser;
    yaml_document_t document;
    *out = (struct oak_config_rotation){0};
    if (strlen(text) > ROTATION_BYTES_MAX || yaml_parser_initialize(&parser) == 0) {
        return oak_fail(e, OAK_EINVAL, "--log-rotation-config-json: too long");
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, strlen(text));
    bool good = text[0] == '{' && yaml_parser_load(&parser, &document) == 1;
    if (good) {
        good = mapping_take(&document, out);
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    if (!good) {
        return oak_fail(e, OAK_EINVAL,
                        "--log-rotation-config-json: invalid log rotation config: write "
                        "{\"maxsize\": 100, \"maxage\": 0, \"maxbackups\": 0, \"localtime\": "
                        "false, \"compress\": false}");
    }
    out->max_mb = out->max_mb != 0 ? out->max_mb : 100;
    return 0;
}

int config__log_check(struct config__loader *l)
{
    struct oak_config *c = l->config;
    int error = 0;
    for (const char *at = c->log_outputs; error == 0;) {
        size_t size = strcspn(at, ",");
        error = output_take(l, oak_bytes(at, size));
        if (at[size] == '\0') {
            break;
        }
        at += size + 1;
    }
    if (error != 0 || !c->log_rotate) {
        return error;
    }
    error = rotation_read(c->log_rotation_text, &c->log_rotation, l->e);
    if (error != 0) {
        return error;
    }
    if (c->log_file_count != 1 || c->log_to_stdout || c->log_to_stderr || c->log_to_journal) {
        return oak_fail(l->e, OAK_EINVAL,
                        "--enable-log-rotation: --log-outputs requires a single file path when "
                        "logs are rotated");
    }
    return c->log_rotation.compress
               ? oak_fail(l->e, OAK_EUNIMPLEMENTED,
                          "--log-rotation-config-json: compress is not supported yet in this "
                          "version; leave it out")
               : 0;
}
