/* SPDX-License-Identifier: Apache-2.0 */
/* judge.c: what must hold, whatever broke.
 *
 *   while it runs   one leader a term, by what every node says; no process ends by itself
 *   at the end      each node gives everything that was acknowledged (the last reads go into the
 *                   history), and all hold the same; the logs name the same leader of each term
 *   afterwards      the history: one order for each key, revisions that fit real time, and what
 *                   serializable reads saw was once written and never goes back
 *
 * Can fail     nothing: what can't be read within the bound is a violation.
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FINAL_TIMEOUT_NS (5 * CHAOS_SECOND_NS)
#define AGAIN_NS         (100 * CROWD_MS)
/* Of clients that read everything at the end: told from the others by their number. */
#define FINAL_CLIENT 1000

void chaos__violation(struct chaos *c, const char *format, ...)
{
    struct oak_chaos_report *r = c->report;
    if (r->violation_count < OAK_CHAOS_VIOLATIONS_MAX) {
        va_list args;
        va_start(args, format);
        vsnprintf(r->violations[r->violation_count], sizeof(r->violations[0]), format, args);
        va_end(args);
        r->violation_count++;
    }
}

/* -- leaders ----------------------------------------------------------------------------------- */

void chaos__leader_claim(struct chaos *c, uint64_t term, uint64_t id, const char *source)
{
    size_t at = c->term_count;
    while (at > 0 && c->terms[at - 1].term >= term) {
        at--;
    }
    if (at < c->term_count && c->terms[at].term == term) {
        if (c->terms[at].leader != id) {
            chaos__violation(c,
                             "one leader a term: term %" PRIu64 " was led by %016" PRIx64
                             ", and %s says by %016" PRIx64,
                             term, c->terms[at].leader, source, id);
        }
        return;
    }
    if (c->term_count == c->term_capacity) {
        c->term_capacity = OAK_MAX((size_t)64, 2 * c->term_capacity);
        c->terms = realloc(c->terms, c->term_capacity * sizeof(*c->terms));
        OAK_ASSERT(c->terms != NULL);
    }
    memmove(&c->terms[at + 1], &c->terms[at], (c->term_count - at) * sizeof(*c->terms));
    c->terms[at] = (struct chaos__term){.term = term, .leader = id};
    c->term_count++;
}

/* "member 0123456789abcdef leads in term 7", wherever it stands in the line. */
static void log_read(struct chaos *c, const struct chaos__node *n)
{
    char line[1024];
    FILE *file = fopen(n->log, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *at = strstr(line, "member ");
        uint64_t id = 0, term = 0;
        if (at != NULL &&
            sscanf(at, "member %16" SCNx64 " leads in term %20" SCNu64, &id, &term) == 2) {
            chaos__leader_claim(c, term, id, n->log);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* -- the last reads ---------------------------------------------------------------------------- */

static uint64_t hash(uint64_t h, const void *data, size_t size)
{
    const uint8_t *at = data; /* FNV-1a: equal states are compared, nobody forges one */
    for (size_t i = 0; i < size; i++) {
        h = (h ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

static uint64_t state_hash(const Etcdserverpb__RangeResponse *range)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < range->n_kvs; i++) {
        const Mvccpb__KeyValue *kv = range->kvs[i];
        const int64_t numbers[] = {(int64_t)kv->key.len, (int64_t)kv->value.len,
                                   kv->create_revision, kv->mod_revision, kv->version};
        h = hash(h, numbers, sizeof(numbers));
        h = hash(h, kv->key.data, kv->key.len);
        h = hash(h, kv->value.data, kv->value.len);
    }
    return h;
}

static void final_ask(struct crowd_call *call)
{
    static char from[] = "h"; /* clients.c */
    static char to[] = "q";   /* pairs.c: "p…" */
    struct chaos__node *n = OAK_CONTAINER_OF(call, struct chaos__node, final);
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = oak_proto_binary(oak_bytes_str(from));
    range.range_end = oak_proto_binary(oak_bytes_str(to));
    range.serializable = n->chaos->reading_own;
    crowd_send(call, (size_t)n->index, "Range", &range.base,
               &etcdserverpb__range_response__descriptor, FINAL_TIMEOUT_NS);
}

/* One read of each key that was ever used, into the history. */
static void final_note(struct chaos *c, const struct chaos__node *n, const struct crowd_call *call,
                       const Etcdserverpb__RangeResponse *range)
{
    size_t first = c->history.count;
    for (uint64_t key = 0; key < c->keys; key++) {
        const struct op op = {.kind = OP_GET,
                              .client = FINAL_CLIENT + n->index,
                              .node = n->index,
                              .key = key,
                              .revision = range->header->revision,
                              .call = call->call,
                              .ret = call->ret};
        history_add(&c->history, &op);
    }
    for (size_t i = 0; i < range->n_kvs; i++) {
        char name[24] = "";
        const Mvccpb__KeyValue *kv = range->kvs[i];
        memcpy(name, kv->key.data, OAK_MIN(kv->key.len, sizeof(name) - 1));
        if (name[0] == 'p') {
            continue;
        }
        uint64_t key = strtoull(name + 1, NULL, 10);
        if (key >= c->keys) {
            chaos__violation(c, "%s holds the key %.23s, which nobody wrote", n->name, name);
            continue;
        }
        c->history.ops[first + key].result = chaos__value_read(kv);
        c->history.ops[first + key].version = (uint64_t)kv->version;
    }
}

static bool all_whole(const struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        if (!c->nodes[i].whole) {
            return false;
        }
    }
    return true;
}

static void round_begin(struct chaos *c, uint64_t wait_ns)
{
    for (int i = 0; i < c->count; i++) {
        c->nodes[i].whole = false;
        crowd_rest(&c->nodes[i].final, wait_ns, final_ask);
    }
}

static bool all_equal(const struct chaos *c)
{
    for (int i = 1; i < c->count; i++) {
        if (c->nodes[i].digest != c->nodes[0].digest ||
            c->nodes[i].revision != c->nodes[0].revision) {
            return false;
        }
    }
    return true;
}

static void final_end(struct crowd_call *call)
{
    struct chaos__node *n = OAK_CONTAINER_OF(call, struct chaos__node, final);
    struct chaos *c = n->chaos;
    const Etcdserverpb__RangeResponse *range = (const Etcdserverpb__RangeResponse *)call->response;
    if (c->phase != CHAOS_READING) {
        return;
    }
    if (call->unsent || call->code != OAK_RPC_OK || range->header == NULL) {
        crowd_rest(call, AGAIN_NS, final_ask);
        return;
    }
    n->whole = true;
    n->digest = state_hash(range);
    n->revision = range->header->revision;
    if (!c->reading_own) {
        final_note(c, n, call, range);
    }
    if (!all_whole(c)) {
        return;
    }
    if (!c->reading_own) {
        c->reading_own = true;
        round_begin(c, 0);
    } else if (!all_equal(c)) {
        round_begin(c, AGAIN_NS); /* one may not have applied everything yet */
    } else {
        c->reading_done = true;
    }
}

void chaos__final_start(struct chaos *c)
{
    c->reading_own = false;
    for (int i = 0; i < c->count; i++) {
        struct crowd_call *call = &c->nodes[i].final;
        call->done = final_end;
        crowd_call_init(&c->crowd, call);
    }
    round_begin(c, 0);
}

/* Past the bound: who is missing, or how they differ. */
void chaos__final_missed(struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        const struct chaos__node *n = &c->nodes[i];
        if (!n->whole && !c->reading_own) {
            chaos__violation(c, "%s does not answer a last read of everything", n->name);
        } else if (c->reading_own && i > 0 &&
                   (n->digest != c->nodes[0].digest || n->revision != c->nodes[0].revision)) {
            chaos__violation(c,
                             "equal state: %s at revision %" PRId64 " holds %016" PRIx64
                             ", n1 at revision %" PRId64 " holds %016" PRIx64,
                             n->name, n->revision, n->digest, c->nodes[0].revision,
                             c->nodes[0].digest);
        }
    }
}

void chaos__final_fini(struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        if (c->nodes[i].final.crowd != NULL) {
            crowd_call_fini(&c->nodes[i].final);
        }
    }
}

/* -- afterwards -------------------------------------------------------------------------------- */

void chaos__judge(struct chaos *c)
{
    char what[900];
    size_t undecided = 0;
    for (int i = 0; i < c->count; i++) {
        log_read(c, &c->nodes[i]);
    }
    if (!history_check(&c->history, what, sizeof(what), &undecided)) {
        chaos__violation(c, "linearizability: %s", what);
    }
    if (!history_revisions(&c->history, what, sizeof(what))) {
        chaos__violation(c, "revisions: %s", what);
    }
    if (!history_peeks(&c->history, what, sizeof(what))) {
        chaos__violation(c, "serializable reads: %s", what);
    }
    for (size_t i = 0; i < c->history.count; i++) {
        const struct op *op = &c->history.ops[i];
        c->report->serializable_reads += op->kind == OP_PEEK && op->ret != UINT64_MAX ? 1 : 0;
    }
    c->report->undecided = undecided;
    c->report->keys = c->keys;
    c->report->terms = c->term_count;
}
