/* SPDX-License-Identifier: Apache-2.0 */
/* json.c: messages as Go's encoding/json writes those of etcd's client: names as in the .proto
 * files, numbers for 64 bits and enums, base64 for bytes, nothing for zeros, and a oneof as an
 * object in an object. It is what scripts over etcdctl read; protobuf's own form is in `json`. */
#include "ctl/internal.h"

#define DEPTH_MAX 64

/* Go escapes what a page of HTML would take for markup, and two line ends of Unicode. */
int ctl__json_text(struct oak_buf *out, struct oak_bytes text)
{
    struct oak_buf plain = {0};
    int error = oak_json_put_string(&plain, text);
    for (size_t i = 0; i < plain.size && error == 0; i++) {
        uint8_t c = plain.data[i];
        bool line = c == 0xe2 && i + 2 < plain.size && plain.data[i + 1] == 0x80 &&
                    (plain.data[i + 2] == 0xa8 || plain.data[i + 2] == 0xa9);
        if (c == '<' || c == '>' || c == '&') {
            error = oak_buf_printf(out, "\\u%04x", c);
        } else if (line) {
            error = oak_buf_printf(out, "\\u20%02x", plain.data[i + 2] - 0x80);
            i += 2;
        } else {
            error = oak_buf_append(out, &c, 1);
        }
    }
    oak_buf_fini(&plain);
    return error;
}

int ctl__json_name(struct oak_buf *out, const char *name)
{
    bool first = out->size == 0 || out->data[out->size - 1] == '{';
    return oak_buf_printf(out, "%s\"%s\":", first ? "" : ",", name);
}

/* -- values ------------------------------------------------------------------------------------ */

/* Ids that people know in hexadecimal. */
static bool is_id(const ProtobufCFieldDescriptor *f)
{
    static const char *const names[] = {"cluster_id", "member_id", "ID", "memberID", "leader"};
    bool found = false;
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        found = found || strcmp(f->name, names[i]) == 0;
    }
    return found && f->type == PROTOBUF_C_TYPE_UINT64;
}

/* Anything but a message. */
static int scalar_put(struct oak_buf *out, const ProtobufCFieldDescriptor *f, const void *at,
                      bool hex)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return oak_buf_printf(out, "%" PRId64, *(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return hex && is_id(f) ? oak_buf_printf(out, "\"%" PRIx64 "\"", *(const uint64_t *)at)
                               : oak_buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return oak_buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_ENUM:
        return oak_buf_printf(out, "%" PRId32, *(const int32_t *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return oak_buf_printf(out, "%s", *(const protobuf_c_boolean *)at ? "true" : "false");
    case PROTOBUF_C_TYPE_STRING:
        return ctl__json_text(out, oak_bytes_str(*(const char *const *)at));
    case PROTOBUF_C_TYPE_BYTES:
        return oak_json_put_base64(out, oak_proto_bytes(*(const ProtobufCBinaryData *)at));
    case PROTOBUF_C_TYPE_MESSAGE:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        break; /* etcd's messages have none */
    }
    return OAK_EUNIMPLEMENTED;
}

static size_t value_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    default:
        return 4;
    }
}

/* A zero is left out. */
static bool is_zero(const ProtobufCFieldDescriptor *f, const void *at)
{
    static const uint8_t zeros[8];
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
        return *(const char *const *)at == NULL || **(const char *const *)at == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(const void *const *)at == NULL;
    default:
        return memcmp(at, zeros, value_size(f)) == 0;
    }
}

/* -- messages ---------------------------------------------------------------------------------- */

/* Where we are in a message. */
struct place {
    const ProtobufCMessage *message;
    unsigned field; /* the one that is written, or comes next */
    bool open;      /* it has begun: */
    size_t item;    /* the next of it, */
    size_t count;   /* of so many */
};

struct writer {
    struct oak_buf *out;
    bool hex;
    struct place stack[DEPTH_MAX];
    size_t depth;
};

static int enter(struct writer *w, const ProtobufCMessage *message)
{
    if (w->depth == DEPTH_MAX) {
        return OAK_ELIMIT;
    }
    w->stack[w->depth++] = (struct place){.message = message};
    return oak_buf_append(w->out, "{", 1);
}

static bool is_repeated(const ProtobufCFieldDescriptor *f)
{
    return f->label == PROTOBUF_C_LABEL_REPEATED;
}

static bool is_oneof(const ProtobufCFieldDescriptor *f)
{
    return (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
}

/* Values that a field has. */
static size_t count_of(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
    const uint8_t *base = (const uint8_t *)message;
    if (is_repeated(f)) {
        return *(const size_t *)(base + f->quantifier_offset);
    }
    if (is_oneof(f)) {
        return *(const uint32_t *)(base + f->quantifier_offset) == f->id;
    }
    return !is_zero(f, base + f->offset);
}

/* The name, and what opens the value: of a list, or of a oneof: all of etcd's have one name. */
static int field_begin(struct writer *w, struct place *p, const ProtobufCFieldDescriptor *f)
{
    p->open = true;
    p->item = 0;
    int error = is_oneof(f) ? ctl__json_name(w->out, "Response") : 0;
    error = error == 0 && is_oneof(f) ? oak_buf_append(w->out, "{", 1) : error;
    error = error == 0 ? ctl__json_name(w->out, f->name) : error;
    return error == 0 && is_repeated(f) ? oak_buf_append(w->out, "[", 1) : error;
}

static int field_end(struct writer *w, struct place *p, const ProtobufCFieldDescriptor *f)
{
    p->open = false;
    p->field++;
    return is_repeated(f) ? oak_buf_append(w->out, "]", 1)
           : is_oneof(f)  ? oak_buf_append(w->out, "}", 1)
                          : 0;
}

/* One value, or one bracket. */
static int step(struct writer *w)
{
    struct place *p = &w->stack[w->depth - 1];
    if (p->field == p->message->descriptor->n_fields) {
        w->depth--;
        return oak_buf_append(w->out, "}", 1);
    }
    const ProtobufCFieldDescriptor *f = &p->message->descriptor->fields[p->field];
    if (!p->open) {
        p->count = count_of(p->message, f);
        p->field += p->count == 0;
        return p->count == 0 ? 0 : field_begin(w, p, f);
    }
    if (p->item == p->count) {
        return field_end(w, p, f);
    }
    const uint8_t *at = (const uint8_t *)p->message + f->offset;
    at = is_repeated(f) ? *(const uint8_t *const *)at + p->item * value_size(f) : at;
    int error = p->item > 0 ? oak_buf_append(w->out, ",", 1) : 0;
    p->item++;
    if (error != 0) {
        return error;
    }
    return f->type == PROTOBUF_C_TYPE_MESSAGE ? enter(w, *(const ProtobufCMessage *const *)at)
                                              : scalar_put(w->out, f, at, w->hex);
}

int ctl__json_message(struct oak_buf *out, const ProtobufCMessage *message, bool hex)
{
    struct writer w = {.out = out, .hex = hex};
    int error = enter(&w, message);
    while (w.depth > 0 && error == 0) {
        error = step(&w);
    }
    return error;
}

void ctl__json_print(const struct oak_buf *text, int error)
{
    if (error != 0) {
        ctl__error(0, "%s", oak_error_text(error));
        return;
    }
    fwrite(text->data, 1, text->size, stdout);
    fputc('\n', stdout);
}
