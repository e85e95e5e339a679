/* SPDX-License-Identifier: Apache-2.0 */
/* encode.c: a message of protobuf as JSON.
 *
 * Happy path   a level for each message, list and map that is open; fields in the order of the
 *              descriptor, those that have no value of their own left out.
 * Can fail     past the size that was allowed, or deeper than OAK_JSON_DEPTH_MAX: OAK_ELIMIT.
 *              Nothing is appended then.
 */
#include "json/internal.h"

enum kind { IN_MESSAGE, IN_LIST, IN_MAP };

struct level {
    enum kind kind;
    const ProtobufCMessage *message;       /* that is written, or that has the list or map */
    const ProtobufCFieldDescriptor *field; /* of a list or map */
    size_t next;                           /* field of a message, item of a list or map */
    size_t count;
    bool any; /* something was written: a comma goes before the rest */
};

struct encoder {
    struct oak_buf *out;
    bool proto_names;
    size_t depth;
    struct level levels[JSON_DEPTH_MAX + 1];
};

/* -- what is there ----------------------------------------------------------------------------- */

/* A field without presence of its own is there when it is not zero. */
static bool is_zero(const ProtobufCFieldDescriptor *field, const void *member)
{
    const uint64_t none = 0;
    const char *text;
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        memcpy(&text, member, sizeof(text));
        return text == NULL || text[0] == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)member)->len == 0;
    default:
        return memcmp(member, &none, json__value_size(field->type)) == 0;
    }
}

static bool is_there(const ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    const void *member = json__at(message, field->offset);
    const void *quantifier = json__at(message, field->quantifier_offset);
    bool pointer = field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_MESSAGE;
    const void *target = NULL;
    if (pointer && field->label != PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&target, member, sizeof(target));
    }
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        return *(const uint32_t *)quantifier == field->id && (!pointer || target != NULL);
    }
    switch (field->label) {
    case PROTOBUF_C_LABEL_REQUIRED:
        return !pointer || target != NULL;
    case PROTOBUF_C_LABEL_REPEATED:
        return *(const size_t *)quantifier > 0;
    case PROTOBUF_C_LABEL_OPTIONAL:
        return pointer ? target != NULL && target != field->default_value
                       : *(const protobuf_c_boolean *)quantifier != 0;
    default:
        return !is_zero(field, member);
    }
}

/* -- writing ----------------------------------------------------------------------------------- */

/* lowerCamelCase: an underscore goes, and what is behind it grows. */
static int name_write(struct oak_buf *out, const char *name)
{
    char room[256];
    size_t size = 0;
    bool grows = false;
    for (; *name != '\0' && size < sizeof(room); name++) {
        if (*name == '_') {
            grows = true;
            continue;
        }
        room[size++] = grows && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        grows = false;
    }
    return oak_json_put_string(out, oak_bytes(room, size));
}

static int push(struct encoder *e, enum kind kind, const ProtobufCMessage *message,
                const ProtobufCFieldDescriptor *field)
{
    if (e->depth == OAK_COUNT_OF(e->levels)) {
        return OAK_ELIMIT;
    }
    struct level *l = &e->levels[e->depth++];
    *l = (struct level){.kind = kind, .message = message, .field = field};
    l->count = field != NULL ? *(const size_t *)json__at(message, field->quantifier_offset)
                             : message->descriptor->n_fields;
    return json__put(e->out, kind == IN_LIST ? "[" : "{");
}

static int message_write(struct encoder *e, const ProtobufCMessage *message)
{
    enum json_known known = json__known(message->descriptor);
    if (known == JSON_KNOWN_REFUSED) {
        return OAK_EUNIMPLEMENTED;
    }
    if (known == JSON_KNOWN_WRAPPER) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(message->descriptor, 1);
        return field == NULL || field->type == PROTOBUF_C_TYPE_MESSAGE
                   ? OAK_EFORMAT
                   : json__scalar_write(e->out, field, json__at(message, field->offset), false);
    }
    return known != JSON_KNOWN_NONE ? json__known_write(known, message, e->out)
                                    : push(e, IN_MESSAGE, message, NULL);
}

static int value_write(struct encoder *e, const ProtobufCFieldDescriptor *field, const void *from)
{
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return json__scalar_write(e->out, field, from, false);
    }
    const ProtobufCMessage *message;
    memcpy(&message, from, sizeof(message));
    return message_write(e, message);
}

static int comma(struct encoder *e, struct level *l)
{
    bool any = l->any;
    l->any = true;
    return any ? json__put(e->out, ",") : 0;
}

static int member_write(struct encoder *e, struct level *l)
{
    const ProtobufCFieldDescriptor *field = &l->message->descriptor->fields[l->next++];
    if (!is_there(l->message, field)) {
        return 0;
    }
    int error = comma(e, l);
    if (error == 0) {
        error = e->proto_names ? oak_json_put_string(e->out, oak_bytes_str(field->name))
                               : name_write(e->out, field->name);
    }
    error = error != 0 ? error : json__put(e->out, ":");
    if (error != 0) {
        return error;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        bool map = json__is_map(l->message->descriptor, field);
        return push(e, map ? IN_MAP : IN_LIST, l->message, field);
    }
    return value_write(e, field, json__at(l->message, field->offset));
}

static int item_write(struct encoder *e, struct level *l)
{
    const uint8_t *items;
    memcpy(&items, json__at(l->message, l->field->offset), sizeof(items));
    const uint8_t *item = items + l->next++ * json__value_size(l->field->type);
    int error = comma(e, l);
    if (error != 0 || l->kind == IN_LIST) {
        return error != 0 ? error : value_write(e, l->field, item);
    }
    const ProtobufCMessage *entry;
    memcpy(&entry, item, sizeof(entry));
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
    const void *from = json__at(entry, value->offset);
    error = json__scalar_write(e->out, key, json__at(entry, key->offset), true);
    error = error != 0 ? error : json__put(e->out, ":");
    if (error == 0 && value->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *message;
        memcpy(&message, from, sizeof(message));
        return message != NULL ? message_write(e, message) : json__put(e->out, "{}");
    }
    return error != 0 ? error : value_write(e, value, from);
}

static int step(struct encoder *e)
{
    struct level *l = &e->levels[e->depth - 1];
    if (l->next < l->count) {
        return l->kind == IN_MESSAGE ? member_write(e, l) : item_write(e, l);
    }
    e->depth--;
    return json__put(e->out, l->kind == IN_LIST ? "]" : "}");
}

int oak_json_from_pb(struct oak_buf *out, const ProtobufCMessage *message,
                     const struct oak_json_form *form, size_t size_max)
{
    struct encoder e = {.out = out, .proto_names = form != NULL && form->proto_names};
    size_t before = out->size;
    int error = message_write(&e, message);
    while (error == 0 && e.depth > 0) {
        error = out->size > size_max ? OAK_ELIMIT : step(&e);
    }
    if (error == 0 && out->size > size_max) {
        error = OAK_ELIMIT;
    }
    if (error != 0) {
        out->size = before;
    }
    return error;
}
