/* SPDX-License-Identifier: Apache-2.0 */
/* schema.h: what compiled .proto files say of themselves, found by name.
 *
 * A schema is made once of the files' FileDescriptorProto bytes and not changed. Names are full and
 * without a leading dot: "demo.v1.SayRequest", "demo.v1.Echo.Say".
 *
 * Threads: once made, any.
 */
#ifndef OAK_SCHEMA_H
#define OAK_SCHEMA_H

#include "pb/pb.h"

#include "schema/descriptor.pb-c.h"

/* Memory that a schema may take beside the bytes it is made of: all of googleapis needs a tenth. */
#define OAK_SCHEMA_BYTES_MAX (1024 * OAK_MIB)

enum oak_schema_kind {
    OAK_SCHEMA_MESSAGE,
    OAK_SCHEMA_FIELD,
    OAK_SCHEMA_ONEOF,
    OAK_SCHEMA_ENUM,
    OAK_SCHEMA_VALUE, /* of an enum: named beside it, not below it, as protobuf has it */
    OAK_SCHEMA_EXTENSION,
    OAK_SCHEMA_SERVICE,
    OAK_SCHEMA_METHOD,
};

struct oak_schema_symbol {
    struct oak_bytes name;
    enum oak_schema_kind kind;
    size_t file;
};

/* A field that `file` adds to the message `extendee`. */
struct oak_schema_extension {
    struct oak_bytes extendee;
    int32_t number;
    size_t file;
};

struct oak_schema;

/* The bytes are borrowed during the call. OAK_EFORMAT, OAK_ELIMIT, OAK_ENOMEM. Of two files or
 * symbols with one name, the first is found. */
OAK_MUST_USE int oak_schema_new(const struct oak_bytes *files, size_t count,
                                struct oak_schema **out);
void oak_schema_free(struct oak_schema *schema);

size_t oak_schema_file_count(const struct oak_schema *schema);
const Oakschema__File *oak_schema_file(const struct oak_schema *schema, size_t file);
/* False when there is none of that name. */
bool oak_schema_find_file(const struct oak_schema *schema, struct oak_bytes name, size_t *file);
/* NULL when there is none. */
const struct oak_schema_symbol *oak_schema_find(const struct oak_schema *schema,
                                                struct oak_bytes name);
/* The extensions of a message in order of their numbers; how many. */
size_t oak_schema_extensions(const struct oak_schema *schema, struct oak_bytes extendee,
                             const struct oak_schema_extension **first);

#endif
