/* SPDX-License-Identifier: Apache-2.0 */
/* message_fuzz.c: any bytes as JSON, and what is JSON as a message: what was taken is written as
 * JSON that is taken again, and then is the same.
 */
#include <stdlib.h>

#include <demo/json.pb-c.h>

#include "json/json.h"

#define CEILING (4 * OAK_MIB)

static int decode(struct oak_bytes text, struct oak_arena *arena, ProtobufCMessage **out)
{
    struct oak_json_problem problem;
    struct oak_json_reader r = oak_json_reader(text);
    oak_arena_init(arena, 4096, CEILING);
    return oak_json_to_pb(&r, &demo__json__all__descriptor, NULL, arena, out, &problem);
}

static void round_trip(const ProtobufCMessage *message)
{
    struct oak_buf first = {0};
    struct oak_buf second = {0};
    struct oak_json_problem problem;
    struct oak_arena arena;
    ProtobufCMessage *again = NULL;
    if (oak_json_from_pb(&first, message, NULL, CEILING) == 0) {
        OAK_ASSERT_EQ(oak_json_check(oak_buf_bytes(&first), &problem), 0);
        int error = decode(oak_buf_bytes(&first), &arena, &again);
        OAK_ASSERT(error == 0 || error == OAK_ELIMIT);
        if (error == 0) {
            OAK_ASSERT_EQ(oak_json_from_pb(&second, again, NULL, CEILING), 0);
            OAK_ASSERT(oak_bytes_eq(oak_buf_bytes(&first), oak_buf_bytes(&second)));
        }
        oak_arena_fini(&arena);
    }
    oak_buf_fini(&first);
    oak_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_bytes text = oak_bytes(data, size);
    struct oak_json_problem problem;
    struct oak_json_frame frame = {0};
    struct oak_arena arena;
    ProtobufCMessage *message = NULL;
    size_t used;
    int framed = size > 0 ? oak_json_frame(&frame, text, &used) : 0;
    if (oak_json_check(text, &problem) != 0) {
        return 0;
    }
    struct oak_json_reader r = oak_json_reader(text);
    enum oak_json_type type = oak_json_type(&r);
    bool framable = type == OAK_JSON_OBJECT || type == OAK_JSON_ARRAY;
    OAK_ASSERT_EQ(framed, framable ? 1 : OAK_EFORMAT); /* the two agree where a value ends */
    if (decode(text, &arena, &message) == 0) {
        round_trip(message);
    }
    oak_arena_fini(&arena);
    return 0;
}
