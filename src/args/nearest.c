/* SPDX-License-Identifier: Apache-2.0 */
/* nearest.c: which word was meant by one that is none: the one that takes the fewest changes of a
 * letter (Levenshtein's distance), if these are few for its length. */
#include "args/args.h"

#define WORD_BYTES_MAX 48

/* Letters to put in, take out or change; large for words that are too long. */
static size_t distance(const char *a, const char *b)
{
    size_t row[WORD_BYTES_MAX + 1];
    size_t size = strlen(b);
    if (size > WORD_BYTES_MAX || strlen(a) > WORD_BYTES_MAX) {
        return SIZE_MAX;
    }
    for (size_t k = 0; k <= size; k++) {
        row[k] = k;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t k = 1; k <= size; k++) {
            size_t changed = corner + (a[i - 1] != b[k - 1]);
            corner = row[k];
            row[k] = OAK_MIN(changed, OAK_MIN(row[k], row[k - 1]) + 1);
        }
    }
    return row[size];
}

void oak_args_nearest_begin(struct oak_args_nearest *n, const char *word)
{
    n->word = word;
    n->found = NULL;
    /* Of a word of three letters one may be wrong, of a long one three. */
    n->distance = OAK_MIN(strlen(word) / 3, (size_t)3) + 1;
}

void oak_args_nearest_try(struct oak_args_nearest *n, const char *candidate)
{
    size_t d = distance(n->word, candidate);
    if (d < n->distance) {
        n->distance = d;
        n->found = candidate;
    }
}
