/* SPDX-License-Identifier: Apache-2.0 */
/* tool.h: what the programs of the tests share: their clients (chaos/crowd.h), their arguments, and
 * keys and values that can be told from a number. */
#ifndef TESTS_TOOLS_TOOL_H
#define TESTS_TOOLS_TOOL_H

#include "chaos/crowd.h"

/* `endpoints`: "127.0.0.1:1,127.0.0.1:2". Errors are told on stderr. */
bool tool_crowd(struct crowd *c, const char *endpoints);
/* A decimal number, all of `text`. */
bool tool_number(const char *text, uint64_t *out);

/* Key and value number `i`. */
#define TOOL_KEY_BYTES 11
void tool_key(uint64_t i, char out[TOOL_KEY_BYTES + 1]);
void tool_value(uint64_t i, uint8_t *out, size_t size);

#endif
