/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the pb room share. */
#ifndef OAK_PB_INTERNAL_H
#define OAK_PB_INTERNAL_H

#include "pb/pb.h"

/* Walk `bytes` as the message of `descriptor` and refuse what protobuf-c must not see: records that
 * are cut short, groups, and messages nested deeper than OAK_PROTO_DEPTH_MAX (the outermost is
 * level 1). OAK_EFORMAT. Needs no memory. */
OAK_MUST_USE int pb__walk(const ProtobufCMessageDescriptor *descriptor, struct oak_bytes bytes);

#endif
