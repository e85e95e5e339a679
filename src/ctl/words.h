/* SPDX-License-Identifier: Apache-2.0 */
/* words.h: a line that a person types, as words. A NUL byte can't be in a word. */
#ifndef OAK_CTL_WORDS_H
#define OAK_CTL_WORDS_H

#include "base/base.h"

/* Cut a line into words, which live in the arena. OAK_EFORMAT (a quote without its end, an escape
 * that is none), OAK_ELIMIT (more than `max`), OAK_ENOMEM. */
OAK_MUST_USE int oak_words_split(const char *line, struct oak_arena *arena, char **words,
                                 size_t max, size_t *count);
/* Read "a\x00b" at *at, its quotes included, to *out, which has room for as much; both stand behind
 * it then, *out behind a NUL. OAK_EFORMAT. */
OAK_MUST_USE int oak_words_quoted(const char **at, char **out);

#endif
