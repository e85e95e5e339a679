/* SPDX-License-Identifier: Apache-2.0 */
/* decode.c: a value of JSON as a message of protobuf, in one pass over a text that was checked.
 *
 * Happy path   a level for each bracket that is open: a message, a list or a map. A member becomes
 *              a field, an element one more of its array, which doubles when it is full.
 * Can fail     what the descriptor doesn't have or take: OAK_EFORMAT, and `problem` names the
 *              field. The arena's ceiling bounds what all of it may take.
 * Invariants   levels are as deep as the text, which is at most OAK_JSON_DEPTH_MAX.
 */
#include <stdio.h>

#include "json/internal.h"

enum kind { IN_MESSAGE, IN_LIST, IN_MAP };

struct level {
    enum kind kind;
    ProtobufCMessage *message;             /* that is filled, or that has the list or map */
    uint8_t *seen;                         /* of a message: a bit for each field that was given */
    const ProtobufCFieldDescriptor *field; /* of a list or map */
    uint8_t *items;
    size_t count;
    size_t capacity;
};

struct decoder {
    struct oak_json_reader *r;
    struct oak_arena *arena;
    struct oak_json_problem *problem;
    bool skip_unknown;
    size_t depth;
    struct level levels[JSON_DEPTH_MAX + 1];
};

/* -- names ------------------------------------------------------------------------------------- */

/* Is `json` the lowerCamelCase of `proto`? An underscore goes, and what is behind it grows. */
static bool name_fits(const char *proto, struct oak_bytes json)
{
    size_t at = 0;
    for (; *proto != '\0'; proto++) {
        char c = *proto;
        if (c == '_') {
            while (*proto == '_') {
                proto++;
            }
            c = *proto;
            if (c == '\0') {
                break;
            }
            c = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        }
        if (at == json.size || json.data[at++] != (uint8_t)c) {
            return false;
        }
    }
    return at == json.size;
}

static const ProtobufCFieldDescriptor *field_find(const ProtobufCMessageDescriptor *type,
                                                  struct oak_bytes name)
{
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (oak_bytes_eq(name, oak_bytes_str(field->name)) || name_fits(field->name, name)) {
            return field;
        }
    }
    return NULL;
}

bool json__is_map(const ProtobufCMessageDescriptor *parent, const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    /* What protoc calls the entries of a map: nobody else may use that name there. */
    const ProtobufCMessageDescriptor *entry = field->descriptor;
    size_t size = strlen(parent->name);
    const char *name = entry->name;
    size_t length = strlen(name);
    static const char suffix[] = "Entry";
    const size_t end = sizeof(suffix) - 1;
    if (entry->n_fields != 2 || entry->fields[0].id != 1 || entry->fields[1].id != 2 ||
        strcmp(entry->fields[0].name, "key") != 0 || strcmp(entry->fields[1].name, "value") != 0 ||
        length < size + 2 + end || strncmp(name, parent->name, size) != 0 || name[size] != '.' ||
        strcmp(name + length - end, suffix) != 0) {
        return false;
    }
    /* CamelCase is lowerCamelCase but for its first letter. */
    char room[256];
    size_t stem = length - size - 1 - end;
    if (stem >= sizeof(room)) {
        return false;
    }
    memcpy(room, name + size + 1, stem);
    bool lower = field->name[0] >= 'a' && field->name[0] <= 'z';
    room[0] = lower && room[0] >= 'A' && room[0] <= 'Z' ? (char)(room[0] - 'A' + 'a') : room[0];
    return name_fits(field->name, oak_bytes(room, stem));
}

/* -- going wrong ------------------------------------------------------------------------------- */

static int wrong(struct decoder *d, const ProtobufCMessageDescriptor *type, const char *field,
                 const char *what)
{
    snprintf(d->problem->text, sizeof(d->problem->text), "%.80s%s%.60s: %s", type->name,
             field != NULL ? "." : "", field != NULL ? field : "", what);
    return OAK_EFORMAT;
}

static int no_room(struct decoder *d)
{
    snprintf(d->problem->text, sizeof(d->problem->text), "the message would be too large");
    return OAK_ELIMIT;
}

static int mismatch(struct decoder *d, const ProtobufCMessageDescriptor *type,
                    const ProtobufCFieldDescriptor *field, int error)
{
    return error == OAK_EFORMAT  ? wrong(d, type, field->name, "it does not take this value")
           : error == OAK_ELIMIT ? no_room(d)
                                 : error;
}

/* -- messages ---------------------------------------------------------------------------------- */

static struct level *push(struct decoder *d, enum kind kind, ProtobufCMessage *message,
                          const ProtobufCFieldDescriptor *field)
{
    OAK_ASSERT_LT(d->depth, OAK_COUNT_OF(d->levels));
    struct level *l = &d->levels[d->depth++];
    *l = (struct level){.kind = kind, .message = message, .field = field};
    oak_json_enter(d->r);
    return l;
}

static int wrapper_read(struct decoder *d, ProtobufCMessage *message)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field(message->descriptor, 1);
    if (field == NULL || field->type == PROTOBUF_C_TYPE_MESSAGE ||
        field->label == PROTOBUF_C_LABEL_REPEATED) {
        return wrong(d, message->descriptor, NULL, "no wrapper as protobuf has it");
    }
    int error = json__scalar_read(d->r, field, d->arena, json__at(message, field->offset));
    return mismatch(d, message->descriptor, field, error);
}

static int known_read(struct decoder *d, enum json_known known, ProtobufCMessage *message)
{
    struct oak_bytes text;
    if (known == JSON_KNOWN_WRAPPER) {
        return wrapper_read(d, message);
    }
    if (oak_json_type(d->r) != OAK_JSON_STRING) {
        return wrong(d, message->descriptor, NULL, "it is a string");
    }
    int error = oak_json_unescape(oak_json_raw_string(d->r), d->arena, &text);
    error = error != 0 ? error : json__known_read(known, text, message, d->arena);
    return error == OAK_EFORMAT  ? wrong(d, message->descriptor, NULL, "it is not written so")
           : error == OAK_ELIMIT ? no_room(d)
                                 : error;
}

/* A message in the place of the next value; its pointer goes to `slot`. */
static int message_read(struct decoder *d, const ProtobufCMessageDescriptor *type, void *slot)
{
    enum json_known known = json__known(type);
    if (known == JSON_KNOWN_REFUSED) {
        wrong(d, type, NULL, "not understood here");
        return OAK_EUNIMPLEMENTED;
    }
    ProtobufCMessage *message = oak_arena_alloc(d->arena, type->sizeof_message);
    uint8_t *seen = oak_arena_zalloc(d->arena, type->n_fields / 8 + 1);
    if (message == NULL || seen == NULL) {
        return no_room(d);
    }
    protobuf_c_message_init(type, message);
    memcpy(slot, &message, sizeof(message));
    if (known != JSON_KNOWN_NONE) {
        return known_read(d, known, message);
    }
    if (oak_json_type(d->r) != OAK_JSON_OBJECT) {
        return wrong(d, type, NULL, "it is an object");
    }
    push(d, IN_MESSAGE, message, NULL)->seen = seen;
    return 0;
}

/* -- fields ------------------------------------------------------------------------------------ */

/* Was it, or another of its oneof, given before? */
static int seen_check(struct decoder *d, struct level *l, const ProtobufCFieldDescriptor *field)
{
    const ProtobufCMessageDescriptor *type = l->message->descriptor;
    size_t place = (size_t)(field - type->fields);
    uint8_t bit = (uint8_t)(1u << (place % 8));
    if ((l->seen[place / 8] & bit) != 0) {
        return wrong(d, type, field->name, "it is given twice");
    }
    l->seen[place / 8] |= bit;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
        *(const uint32_t *)json__at(l->message, field->quantifier_offset) != 0) {
        return wrong(d, type, field->name, "another one of its oneof is given");
    }
    return 0;
}

static void present_set(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    void *quantifier = json__at(message, field->quantifier_offset);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        *(uint32_t *)quantifier = field->id;
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE) {
        *(protobuf_c_boolean *)quantifier = 1;
    }
}

/* One value of a field's type, into `to`. */
static int value_read(struct decoder *d, const ProtobufCMessageDescriptor *type,
                      const ProtobufCFieldDescriptor *field, void *to)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return message_read(d, field->descriptor, to);
    }
    return mismatch(d, type, field, json__scalar_read(d->r, field, d->arena, to));
}

static int member_read(struct decoder *d, struct level *l, struct oak_bytes raw_name)
{
    const ProtobufCMessageDescriptor *type = l->message->descriptor;
    struct oak_bytes name;
    if (oak_json_unescape(raw_name, d->arena, &name) != 0) {
        return no_room(d);
    }
    const ProtobufCFieldDescriptor *field = field_find(type, name);
    if (field == NULL && d->skip_unknown) {
        (void)oak_json_skip(d->r);
        return 0;
    }
    if (field == NULL) {
        char room[64];
        snprintf(room, sizeof(room), "%.*s", (int)OAK_MIN(name.size, sizeof(room) - 1),
                 (const char *)name.data);
        return wrong(d, type, room, "there is no such field");
    }
    if (oak_json_type(d->r) == OAK_JSON_NULL) {
        (void)oak_json_skip(d->r);
        return 0;
    }
    int error = seen_check(d, l, field);
    if (error != 0) {
        return error;
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        bool map = json__is_map(type, field);
        if (oak_json_type(d->r) != (map ? OAK_JSON_OBJECT : OAK_JSON_ARRAY)) {
            return wrong(d, type, field->name, map ? "it is an object" : "it is an array");
        }
        push(d, map ? IN_MAP : IN_LIST, l->message, field);
        return 0;
    }
    present_set(l->message, field);
    return value_read(d, type, field, json__at(l->message, field->offset));
}

/* -- lists and maps ---------------------------------------------------------------------------- */

/* Room for one more; NULL past the arena's ceiling. */
static void *item_add(struct decoder *d, struct level *l)
{
    size_t size = json__value_size(l->field->type);
    if (l->count == l->capacity) {
        size_t capacity = l->capacity > 0 ? 2 * l->capacity : 4;
        uint8_t *items = oak_arena_zalloc(d->arena, capacity * size);
        if (items == NULL) {
            return NULL;
        }
        if (l->count > 0) {
            memcpy(items, l->items, l->count * size);
        }
        l->items = items;
        l->capacity = capacity;
    }
    return l->items + l->count++ * size;
}

static void items_store(const struct level *l)
{
    *(size_t *)json__at(l->message, l->field->quantifier_offset) = l->count;
    memcpy(json__at(l->message, l->field->offset), &l->items, sizeof(l->items));
}

static int element_read(struct decoder *d, struct level *l)
{
    const ProtobufCMessageDescriptor *type = l->message->descriptor;
    void *to = item_add(d, l);
    if (to == NULL) {
        return no_room(d);
    }
    if (oak_json_type(d->r) == OAK_JSON_NULL) {
        return wrong(d, type, l->field->name, "null in a list");
    }
    return value_read(d, type, l->field, to);
}

static int entry_read(struct decoder *d, struct level *l, struct oak_bytes raw_key)
{
    const ProtobufCMessageDescriptor *type = l->field->descriptor;
    const ProtobufCFieldDescriptor *key = &type->fields[0];
    const ProtobufCFieldDescriptor *value = &type->fields[1];
    void *to = item_add(d, l);
    ProtobufCMessage *entry = oak_arena_alloc(d->arena, type->sizeof_message);
    if (to == NULL || entry == NULL) {
        return no_room(d);
    }
    protobuf_c_message_init(type, entry);
    memcpy(to, &entry, sizeof(entry));
    int error = json__key_read(raw_key, key, d->arena, json__at(entry, key->offset));
    if (error != 0) {
        return mismatch(d, type, key, error);
    }
    if (oak_json_type(d->r) == OAK_JSON_NULL) {
        return wrong(d, type, value->name, "null in a map");
    }
    present_set(entry, key);
    present_set(entry, value);
    return value_read(d, type, value, json__at(entry, value->offset));
}

/* -- all of it --------------------------------------------------------------------------------- */

static int step(struct decoder *d)
{
    struct level *l = &d->levels[d->depth - 1];
    struct oak_bytes name;
    if (l->kind == IN_LIST) {
        if (oak_json_element(d->r)) {
            return element_read(d, l);
        }
        items_store(l);
    } else if (oak_json_member(d->r, &name)) {
        return l->kind == IN_MAP ? entry_read(d, l, name) : member_read(d, l, name);
    } else if (l->kind == IN_MAP) {
        items_store(l);
    }
    d->depth--;
    return 0;
}

int oak_json_to_pb(struct oak_json_reader *r, const ProtobufCMessageDescriptor *descriptor,
                   const struct oak_json_form *form, struct oak_arena *arena,
                   ProtobufCMessage **out, struct oak_json_problem *problem)
{
    struct decoder d = {.r = r, .arena = arena, .problem = problem};
    d.skip_unknown = form != NULL && form->skip_unknown;
    ProtobufCMessage *message = NULL;
    problem->text[0] = '\0';
    int error = message_read(&d, descriptor, &message);
    while (error == 0 && d.depth > 0) {
        error = step(&d);
    }
    if (error == 0) {
        *out = message;
    }
    return error;
}
