/* SPDX-License-Identifier: Apache-2.0 */
/* simple.c: the tokens that a member knows, found by digest, in order of their end.
 *
 * All live as long from their last use, so one list is the order of their ends: who is used goes to
 * its back, and those whose time is over are at its front.
 *
 * Can fail     OAK_ENOMEM: nothing changed.
 * Invariants   the table of buckets is at most full; a token is in its bucket and in the list.
 *              Digests are of secrets that nobody but their owner can choose, so that buckets stay
 *              short; comparing them takes the same time wherever they differ.
 * Thread       the owner's.
 */
#include "token/internal.h"

#include <openssl/crypto.h>

#define BUCKETS_FIRST 64

struct entry {
    struct oak_token token;
    struct oak_list link; /* in order of ends */
    struct entry *next;   /* of its bucket */
    uint64_t end_ns;
    uint8_t digest[OAK_TOKEN_DIGEST_BYTES];
    uint8_t name[];
};

struct oak_token_table {
    struct entry **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    size_t most;
    uint64_t ttl_ns;
    struct oak_list ends;
};

void oak_token_letters(const uint8_t random[OAK_TOKEN_RANDOM_BYTES],
                       char out[OAK_TOKEN_LETTERS + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t made = 0;
    /* Bytes past the largest multiple of 52 would make some letters likelier; should all that is
     * left be such, what is here is unpredictable enough. */
    for (size_t i = 0; i < OAK_TOKEN_RANDOM_BYTES && made < OAK_TOKEN_LETTERS; i++) {
        size_t left = OAK_TOKEN_RANDOM_BYTES - i;
        if (random[i] < 208 || left <= OAK_TOKEN_LETTERS - made) {
            out[made++] = letters[random[i] % 52];
        }
    }
    OAK_ASSERT_EQ(made, OAK_TOKEN_LETTERS);
    out[made] = '\0';
}

bool oak_token_parse(struct oak_bytes token, struct oak_bytes *letters, uint64_t *index)
{
    if (token.size < OAK_TOKEN_LETTERS + 2 || token.data[OAK_TOKEN_LETTERS] != '.' ||
        token.size > OAK_TOKEN_LETTERS + 21) {
        return false;
    }
    for (size_t i = 0; i < OAK_TOKEN_LETTERS; i++) {
        uint8_t c = token.data[i];
        if ((c < 'a' || c > 'z') && (c < 'A' || c > 'Z')) {
            return false;
        }
    }
    *index = 0;
    for (size_t i = OAK_TOKEN_LETTERS + 1; i < token.size; i++) {
        uint64_t digit = (uint64_t)token.data[i] - '0';
        if (digit > 9 || *index > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *index = *index * 10 + digit;
    }
    *letters = oak_bytes(token.data, OAK_TOKEN_LETTERS);
    return true;
}

/* -- the table --------------------------------------------------------------------------------- */

static struct entry **bucket_of(const struct oak_token_table *t, const uint8_t *digest)
{
    return &t->buckets[oak_get_u64(digest) & (t->bucket_count - 1)];
}

int oak_token_table_new(uint64_t ttl_ns, size_t most, struct oak_token_table **out)
{
    struct oak_token_table *t = calloc(1, sizeof(*t));
    struct entry **buckets = calloc(BUCKETS_FIRST, sizeof(struct entry *));
    if (t == NULL || buckets == NULL) {
        free(t);
        free(buckets);
        return OAK_ENOMEM;
    }
    t->buckets = buckets;
    t->bucket_count = BUCKETS_FIRST;
    t->most = most != 0 ? most : OAK_AUTH_TOKENS_MAX;
    t->ttl_ns = ttl_ns;
    oak_list_init(&t->ends);
    *out = t;
    return 0;
}

static void entry_remove(struct oak_token_table *t, struct entry *entry)
{
    struct entry **at = bucket_of(t, entry->digest);
    while (*at != entry) {
        OAK_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = entry->next;
    oak_list_remove(&entry->link);
    OAK_ASSERT_GT(t->count, 0);
    t->count--;
    free(entry);
}

void oak_token_table_free(struct oak_token_table *t)
{
    while (!oak_list_empty(&t->ends)) {
        entry_remove(t, OAK_LIST_ENTRY(t->ends.next, struct entry, link));
    }
    free(t->buckets);
    free(t);
}

/* Twice the buckets, when there are as many tokens. Without memory it goes on with those it has. */
static void grow(struct oak_token_table *t)
{
    struct entry **old = t->buckets;
    size_t old_count = t->bucket_count;
    struct entry **buckets = calloc(old_count * 2, sizeof(struct entry *));
    if (buckets == NULL) {
        return;
    }
    t->buckets = buckets;
    t->bucket_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct entry *entry = old[i];
            old[i] = entry->next;
            struct entry **at = bucket_of(t, entry->digest);
            entry->next = *at;
            *at = entry;
        }
    }
    free(old);
}

static struct entry *find(const struct oak_token_table *t, struct oak_bytes digest)
{
    OAK_ASSERT_EQ(digest.size, OAK_TOKEN_DIGEST_BYTES);
    struct entry *entry = *bucket_of(t, digest.data);
    while (entry != NULL &&
           CRYPTO_memcmp(entry->digest, digest.data, OAK_TOKEN_DIGEST_BYTES) != 0) {
        entry = entry->next;
    }
    return entry;
}

int oak_token_add(struct oak_token_table *t, struct oak_bytes digest,
                  const struct oak_authz_who *who, uint64_t now_ns)
{
    if (digest.size != OAK_TOKEN_DIGEST_BYTES) {
        return OAK_EINVAL;
    }
    oak_token_expire(t, now_ns);
    if (find(t, digest) != NULL) {
        return 0;
    }
    struct entry *entry = malloc(sizeof(*entry) + who->user.size);
    if (entry == NULL) {
        return OAK_ENOMEM;
    }
    if (t->count >= t->most) {
        entry_remove(t, OAK_LIST_ENTRY(t->ends.next, struct entry, link));
    }
    if (t->count >= t->bucket_count) {
        grow(t);
    }
    *entry = (struct entry){.end_ns = now_ns + t->ttl_ns};
    memcpy(entry->name, who->user.data, who->user.size);
    memcpy(entry->digest, digest.data, sizeof(entry->digest));
    entry->token.who.user = oak_bytes(entry->name, who->user.size);
    entry->token.who.revision = who->revision;
    entry->token.session = OAK_AUTHZ_AUTHENTICATED;
    struct entry **at = bucket_of(t, entry->digest);
    entry->next = *at;
    *at = entry;
    oak_list_push(&t->ends, &entry->link);
    t->count++;
    return 0;
}

struct oak_token *oak_token_find(struct oak_token_table *t, struct oak_bytes digest,
                                 uint64_t now_ns)
{
    oak_token_expire(t, now_ns);
    struct entry *entry = find(t, digest);
    if (entry == NULL) {
        return NULL;
    }
    entry->end_ns = now_ns + t->ttl_ns;
    oak_list_remove(&entry->link);
    oak_list_push(&t->ends, &entry->link);
    return &entry->token;
}

void oak_token_remove(struct oak_token_table *t, struct oak_token *token)
{
    entry_remove(t, OAK_CONTAINER_OF(token, struct entry, token));
}

void oak_token_expire(struct oak_token_table *t, uint64_t now_ns)
{
    while (!oak_list_empty(&t->ends)) {
        struct entry *first = OAK_LIST_ENTRY(t->ends.next, struct entry, link);
        if (first->end_ns > now_ns) {
            return;
        }
        entry_remove(t, first);
    }
}

size_t oak_token_count(const struct oak_token_table *t)
{
    return t->count;
}
