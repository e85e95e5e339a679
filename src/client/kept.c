/* SPDX-License-Identifier: Apache-2.0 */
/* kept.c: what a callback was given, kept beyond it.
 *
 * Happy path   an answer takes the arena in which it lies with it, and nothing is copied; changes
 *              are copied into one block, for others are told from the same memory.
 * Can fail     for want of memory: then nothing was taken.
 * Thread       any: what is kept has left the client.
 */
#include <stdlib.h>

#include "client/internal.h"

/* -- answers that are kept --------------------------------------------------------------------- */

struct kept_answer {
    struct oak_client_answer answer;
    struct oak_arena arena;
};

struct oak_client_answer *oak_client_answer_keep(const struct oak_client_answer *answer)
{
    const struct oak_client_call *at = OAK_CONTAINER_OF(answer, struct oak_client_call, answer);
    struct oak_client_call *call = (struct oak_client_call *)(uintptr_t)at; /* it is not const */
    struct kept_answer *kept = calloc(1, sizeof(*kept));
    if (kept == NULL) {
        return NULL;
    }
    kept->answer = *answer;
    kept->arena = call->arena;
    oak_arena_init(&call->arena, CLIENT_CHUNK_BYTES, CLIENT_DECODE_BYTES_MAX);
    /* The text may be of the call that asked for a token. */
    struct oak_bytes text = oak_bytes(answer->message, strlen(answer->message) + 1);
    text = oak_arena_dup(&kept->arena, text);
    kept->answer.message =
        text.data != NULL ? (const char *)text.data : oak_error_text(answer->error);
    return &kept->answer;
}

void oak_client_answer_free(struct oak_client_answer *answer)
{
    if (answer != NULL) {
        struct kept_answer *kept = OAK_CONTAINER_OF(answer, struct kept_answer, answer);
        oak_arena_fini(&kept->arena);
        free(kept);
    }
}

/* -- changes that are kept --------------------------------------------------------------------- */

/* In one block: this, the events, what was there before, and all bytes. */
struct kept_changes {
    struct oak_client_changes changes;
    struct oak_client_event events[];
};

static size_t kv_bytes(const struct oak_client_kv *kv)
{
    return kv != NULL ? kv->key.size + kv->value.size : 0;
}

static struct oak_bytes bytes_move(struct oak_bytes from, uint8_t **at)
{
    const struct oak_bytes to = oak_bytes(*at, from.size);
    if (from.size > 0) {
        memcpy(*at, from.data, from.size);
        *at += from.size;
    }
    return to;
}

static void kv_move(const struct oak_client_kv *from, struct oak_client_kv *to, uint8_t **at)
{
    *to = *from;
    to->key = bytes_move(from->key, at);
    to->value = bytes_move(from->value, at);
}

struct oak_client_changes *oak_client_changes_keep(const struct oak_client_changes *changes)
{
    size_t previous_count = 0;
    size_t bytes = 0;
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *event = &changes->events[i];
        previous_count += event->previous != NULL;
        bytes += kv_bytes(&event->kv) + kv_bytes(event->previous);
    }
    struct kept_changes *kept =
        calloc(1, sizeof(*kept) + changes->count * sizeof(struct oak_client_event) +
                      previous_count * sizeof(struct oak_client_kv) + bytes);
    if (kept == NULL) {
        return NULL;
    }
    struct oak_client_kv *previous = (struct oak_client_kv *)(kept->events + changes->count);
    uint8_t *at = (uint8_t *)(previous + previous_count);
    kept->changes = *changes;
    kept->changes.events = kept->events;
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *from = &changes->events[i];
        kept->events[i].deleted = from->deleted;
        kv_move(&from->kv, &kept->events[i].kv, &at);
        if (from->previous != NULL) {
            kv_move(from->previous, previous, &at);
            kept->events[i].previous = previous++;
        }
    }
    return &kept->changes;
}

void oak_client_changes_free(struct oak_client_changes *changes)
{
    if (changes != NULL) {
        free(OAK_CONTAINER_OF(changes, struct kept_changes, changes));
    }
}
