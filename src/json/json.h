/* SPDX-License-Identifier: Apache-2.0 */
/* json.h: JSON without a tree: texts are checked, walked in one pass, and written; and messages of
 * protobuf as JSON, by what protobuf-c knows of them.
 *
 *     struct oak_json_problem problem;
 *     if (oak_json_check(text, &problem) == 0) {           // grammar, UTF-8, depth
 *         struct oak_json_reader r = oak_json_reader(text);
 *         struct oak_json_text name;
 *         oak_json_enter(&r);                              // of what oak_json_type() said
 *         while (oak_json_member(&r, &name)) {
 *             struct oak_bytes value = oak_json_skip(&r);  // or walk it
 *         }
 *     }
 *
 * Sources: RFC 8259; the "ProtoJSON Format" page of protobuf's documentation.
 *
 * Threads: no state.
 */
#ifndef OAK_JSON_H
#define OAK_JSON_H

#include "pb/pb.h"

/* What is wrong with a text, in words for whoever wrote it. */
struct oak_json_problem {
    char text[256];
};

/* -- where a text ends ------------------------------------------------------------------------- */

/* Finds the end of an object or array in bytes that come in pieces, one behind the other. Zeroed is
 * one that has seen nothing. */
struct oak_json_frame {
    uint32_t depth;
    bool quoted;
    bool escaped;
};

/* Look at more bytes. *used: up to the end of the value, or all of them. 1: the value has ended. 0:
 * it goes on. OAK_EFORMAT: it begins with something else than an object or an array (or space
 * before it). OAK_ELIMIT: deeper than OAK_JSON_DEPTH_MAX. */
int oak_json_frame(struct oak_json_frame *frame, struct oak_bytes bytes, size_t *used);

/* -- reading ----------------------------------------------------------------------------------- */

/* One value and space around it: the grammar of RFC 8259, UTF-8 without surrogates, escapes that
 * mean a character, no deeper than OAK_JSON_DEPTH_MAX. OAK_EFORMAT, and `problem` says what is
 * wrong where. */
OAK_MUST_USE int oak_json_check(struct oak_bytes text, struct oak_json_problem *problem);

enum oak_json_type {
    OAK_JSON_NULL,
    OAK_JSON_BOOL,
    OAK_JSON_NUMBER,
    OAK_JSON_STRING,
    OAK_JSON_ARRAY,
    OAK_JSON_OBJECT,
};

/* A place in a text that was checked; nothing here can fail, but it asserts what it was told. */
struct oak_json_reader {
    const uint8_t *at;
    const uint8_t *end;
};

struct oak_json_reader oak_json_reader(struct oak_bytes checked);
/* Of the value that comes next. */
enum oak_json_type oak_json_type(struct oak_json_reader *r);
/* Into an array or object, of which then element or member is asked. */
void oak_json_enter(struct oak_json_reader *r);
/* Is there one more? Its value comes next; false: the end was passed. */
bool oak_json_element(struct oak_json_reader *r);
/* Within an object: the string as it stands, without its quotes. */
bool oak_json_member(struct oak_json_reader *r, struct oak_bytes *raw_name);
/* The text of the next value, whatever it is; or of a number, or between the quotes of a string. */
struct oak_bytes oak_json_skip(struct oak_json_reader *r);
struct oak_bytes oak_json_number(struct oak_json_reader *r);
struct oak_bytes oak_json_raw_string(struct oak_json_reader *r);
bool oak_json_bool(struct oak_json_reader *r);
/* What stands between quotes, without escapes: `raw` itself if there are none, otherwise in the
 * arena. OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int oak_json_unescape(struct oak_bytes raw, struct oak_arena *arena,
                                   struct oak_bytes *out);

/* -- writing ----------------------------------------------------------------------------------- */

/* Append a string with its quotes. What is no UTF-8 becomes U+FFFD. OAK_ENOMEM. */
OAK_MUST_USE int oak_json_put_string(struct oak_buf *out, struct oak_bytes text);
/* The same as base64 (RFC 4648, 4). */
OAK_MUST_USE int oak_json_put_base64(struct oak_buf *out, struct oak_bytes bytes);
/* Base64 of either alphabet, padded or not. OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM. */
OAK_MUST_USE int oak_json_base64(struct oak_bytes text, struct oak_arena *arena,
                                 struct oak_bytes *out);

/* -- messages of protobuf ---------------------------------------------------------------------- */

/* What a door may want otherwise than protobuf has it; NULL in its place is protobuf's own form. */
struct oak_json_form {
    bool proto_names;  /* written: names of fields as in the .proto file, not in lowerCamelCase */
    bool skip_unknown; /* read: a member that is no field is passed over, and no error */
};

/* The next value as a message; all of it is in the arena. Names of fields in lowerCamelCase or as
 * in the .proto file; null is absent; 64 bits as strings or numbers; enums by name or number; bytes
 * as base64; maps as objects; Timestamp, Duration, FieldMask and wrappers in their own form.
 * OAK_EFORMAT and `problem` says which field doesn't take what (unknown fields, fields given twice,
 * a second of a oneof, NUL in a string); OAK_ELIMIT (the arena's ceiling), OAK_ENOMEM.
 * OAK_EUNIMPLEMENTED: Any, Struct, Value, ListValue. */
OAK_MUST_USE int oak_json_to_pb(struct oak_json_reader *r,
                                const ProtobufCMessageDescriptor *descriptor,
                                const struct oak_json_form *form, struct oak_arena *arena,
                                ProtobufCMessage **out, struct oak_json_problem *problem);
/* Append a message: fields that have no value of their own are left out, names are lowerCamelCase.
 * OAK_ELIMIT: `out` would have more than `size_max` bytes. OAK_EUNIMPLEMENTED as above, OAK_EFORMAT
 * (a time that is none), OAK_ENOMEM; `out` is as long as before then. */
OAK_MUST_USE int oak_json_from_pb(struct oak_buf *out, const ProtobufCMessage *message,
                                  const struct oak_json_form *form, size_t size_max);

#endif
