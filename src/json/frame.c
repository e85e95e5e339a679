/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c: where one value ends and the next may begin, in a stream of bytes.
 *
 * Only brackets and quotes are looked at: what is between them is checked once all of it is there.
 */
#include "json/json.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

int oak_json_frame(struct oak_json_frame *frame, struct oak_bytes bytes, size_t *used)
{
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (frame->quoted) {
            frame->quoted = frame->escaped || c != '"';
            frame->escaped = !frame->escaped && c == '\\';
        } else if (c == '{' || c == '[') {
            frame->depth++;
            if (frame->depth > OAK_JSON_DEPTH_MAX) {
                *used = i;
                return OAK_ELIMIT;
            }
        } else if (frame->depth == 0) {
            if (!is_space(c)) {
                *used = i;
                return OAK_EFORMAT;
            }
        } else if (c == '"') {
            frame->quoted = true;
        } else if (c == '}' || c == ']') {
            frame->depth--;
            if (frame->depth == 0) {
                *used = i + 1;
                return 1;
            }
        }
    }
    *used = bytes.size;
    return 0;
}
