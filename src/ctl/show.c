/* SPDX-License-Identifier: Apache-2.0 */
/* show.c: an answer in the format that was asked for. */
#include "ctl/internal.h"

static void protobuf_print(const ProtobufCMessage *message)
{
    struct oak_buf bytes = {0};
    if (oak_buf_reserve(&bytes, protobuf_c_message_get_packed_size(message)) == 0) {
        bytes.size = protobuf_c_message_pack(message, bytes.data);
        fwrite(bytes.data, 1, bytes.size, stdout);
    }
    oak_buf_fini(&bytes);
}

int ctl__show(struct ctl *c, const struct ctl__view *view, const ProtobufCMessage *message,
              const void *about)
{
    ctl__shower *show = NULL;
    switch (c->format) {
    case CTL__SIMPLE:
        show = view->simple;
        break;
    case CTL__JSON:
        if (view->json == NULL) {
            struct oak_buf text = {0};
            int error = ctl__json_message(&text, message, c->hex_ids && c->options.hex);
            ctl__json_print(&text, error);
            oak_buf_fini(&text);
            return error == 0 ? CTL__OK : CTL__FAILED;
        }
        show = view->json;
        break;
    case CTL__FIELDS:
        show = view->fields;
        break;
    case CTL__TABLE:
        show = view->table;
        break;
    case CTL__PROTOBUF:
        if (message != NULL) {
            protobuf_print(message);
            return CTL__OK;
        }
        break;
    }
    if (show == NULL) {
        return ctl__error(CTL__BAD_FEATURE, "%s not supported as output format", c->options.format);
    }
    show(c, message, about);
    return CTL__OK;
}
