/* SPDX-License-Identifier: Apache-2.0 */
/* base.h: the door of the ground floor. libc only; every room may include it. */
#ifndef OAK_BASE_H
#define OAK_BASE_H

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/crc32c.h"
#include "base/errors.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/prng.h"

#endif
