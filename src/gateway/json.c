/* SPDX-License-Identifier: Apache-2.0 */
/* json.c: between bytes and JSON. Keys and values are bytes; JSON is text. What is UTF-8 travels as
 * it is, anything else as base64 (RFC 4648, section 4) in a member of its own.
 */
#include "gateway/internal.h"

#include <stdio.h>
#include <stdlib.h>

/* How deep the brackets outside of strings go. Counts at most one beyond the limit. */
static size_t depth_of(struct oak_bytes text)
{
    size_t depth = 0;
    size_t deepest = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.size && deepest <= OAK_JSON_DEPTH_MAX; i++) {
        uint8_t c = text.data[i];
        if (quoted) {
            i += c == '\\' ? 1 : 0;
            quoted = c != '"';
        } else if (c == '[' || c == '{') {
            depth++;
            deepest = OAK_MAX(deepest, depth);
        } else if (c == ']' || c == '}') {
            depth -= depth > 0 ? 1 : 0;
        } else {
            quoted = c == '"';
        }
    }
    return deepest;
}

json_t *gateway__json_parse(struct oak_bytes text, json_error_t *problem)
{
    if (depth_of(text) > OAK_JSON_DEPTH_MAX) {
        snprintf(problem->text, sizeof(problem->text), "nested deeper than %d", OAK_JSON_DEPTH_MAX);
        return NULL;
    }
    return json_loadb((const char *)text.data, text.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                      problem);
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *base64_encode(struct oak_bytes in, struct oak_arena *arena)
{
    char *out = oak_arena_alloc(arena, (in.size + 2) / 3 * 4 + 1);
    if (out == NULL) {
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 0; i < in.size; i += 3) {
        uint32_t group = (uint32_t)in.data[i] << 16;
        group |= i + 1 < in.size ? (uint32_t)in.data[i + 1] << 8 : 0;
        group |= i + 2 < in.size ? in.data[i + 2] : 0;
        out[n++] = alphabet[group >> 18];
        out[n++] = alphabet[group >> 12 & 63];
        out[n++] = i + 1 < in.size ? alphabet[group >> 6 & 63] : '=';
        out[n++] = i + 2 < in.size ? alphabet[group & 63] : '=';
    }
    out[n] = '\0';
    return out;
}

static int base64_decode(const char *in, size_t size, struct oak_arena *arena,
                         struct oak_bytes *out)
{
    while (size > 0 && in[size - 1] == '=') {
        size--;
    }
    uint8_t *bytes = oak_arena_alloc(arena, size * 3 / 4 + 1);
    if (bytes == NULL) {
        return OAK_ELIMIT;
    }
    uint32_t group = 0;
    unsigned bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        const char *place = in[i] == '\0' ? NULL : strchr(alphabet, in[i]);
        if (place == NULL) {
            return OAK_EFORMAT;
        }
        group = group << 6 | (uint32_t)(place - alphabet);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[n++] = (uint8_t)(group >> bits);
            group &= (1u << bits) - 1;
        }
    }
    if (bits >= 6 || group != 0) {
        return OAK_EFORMAT;
    }
    *out = oak_bytes(bytes, n);
    return 0;
}

int gateway__json_bytes(json_t *object, const char *name, struct oak_bytes bytes,
                        struct oak_arena *arena)
{
    json_t *text = json_stringn((const char *)bytes.data, bytes.size); /* NULL: no UTF-8 */
    if (bytes.size == 0) {
        text = json_string("");
    }
    if (text != NULL) {
        return json_object_set_new(object, name, text) == 0 ? 0 : OAK_ENOMEM;
    }
    char member[64];
    snprintf(member, sizeof(member), "%s_base64", name);
    const char *encoded = base64_encode(bytes, arena);
    if (encoded == NULL || json_object_set_new(object, member, json_string(encoded)) != 0) {
        return OAK_ENOMEM;
    }
    return 0;
}

int gateway__bytes_of(const json_t *object, const char *name, struct oak_arena *arena,
                      struct oak_bytes *out, const char **why)
{
    char member[64];
    snprintf(member, sizeof(member), "%s_base64", name);
    const json_t *plain = json_object_get(object, name);
    const json_t *encoded = json_object_get(object, member);
    if (plain != NULL && encoded != NULL) {
        *why = "give a member or its _base64 form, not both";
        return OAK_EFORMAT;
    }
    const json_t *given = plain != NULL ? plain : encoded;
    if (given == NULL) {
        return OAK_ENOENT;
    }
    if (!json_is_string(given)) {
        *why = "keys and values are JSON strings";
        return OAK_EFORMAT;
    }
    const char *text = json_string_value(given);
    size_t size = json_string_length(given);
    if (plain != NULL) {
        *out = oak_bytes(text, size);
        return 0;
    }
    *why = "not valid base64";
    return base64_decode(text, size, arena, out);
}

void gateway__reply_json(struct oak_http_request *http, int status, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    struct oak_buf body = {0};
    if (text == NULL || oak_buf_append(&body, text, strlen(text)) != 0 ||
        oak_buf_append(&body, "\n", 1) != 0) {
        const struct oak_http_answer none = {.status = 503};
        oak_http_reply(http, &none);
    } else {
        const struct oak_http_answer answer = {
            .status = status,
            .content_type = "application/json",
            .body = oak_buf_bytes(&body),
        };
        oak_http_reply(http, &answer);
    }
    oak_buf_fini(&body);
    free(text);
}

void gateway__reply_error(struct oak_http_request *http, int status, const char *name,
                          const char *message)
{
    gateway__reply_json(http, status, json_pack("{s:s, s:s}", "error", name, "message", message));
}

/* Who it is has to be shown, anew or at all. */
static bool is_identity(int error)
{
    return error == OAK_EUSEREMPTY || error == OAK_EINVALIDAUTHTOKEN ||
           error == OAK_EAUTHOLDREVISION;
}

void gateway__reply_failure(struct oak_http_request *http, int error)
{
    int status = 500;
    switch (oak_error_class_of(error)) {
    case OAK_CLASS_CALLER:
        status = error == OAK_EREQUESTTOOLARGE ? 413 : is_identity(error) ? 401 : 400;
        status = error == OAK_EPERMISSIONDENIED ? 403 : status;
        break;
    case OAK_CLASS_LIMIT:
        status = 429;
        break;
    case OAK_CLASS_RETRY:
        status = 503;
        break;
    case OAK_CLASS_CORRUPT:
    case OAK_CLASS_FATAL:
        break;
    }
    gateway__reply_error(http, status, oak_error_name(error), oak_error_text(error));
}
