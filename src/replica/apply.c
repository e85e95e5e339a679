/* SPDX-License-Identifier: Apache-2.0 */
/* apply.c: committed entries into the state machine, then answers to the clients that wait here.
 *
 * A batch of entries is one batch of the store. Answers leave only once that batch is in the store.
 * A batch is cut when its answers have grown large, so that memory stays bounded.
 *
 * Entries wait while a snapshot is being installed, and while the store is full and has as much
 * waiting in memory as it may. What waits is in the log; the core takes no more of it than its
 * limit.
 *
 * Can fail: the store; then the process must end. Thread: the loop's.
 */
#include "replica/internal.h"

#include "base/zoo.h"

/* Results that wait for the end of their batch. */
#define RESULTS_MAX 256
#define ANSWERS_MAX (8 * OAK_MIB)

struct waiting {
    struct oak_replica_request *request;
    struct oak_kv_result result;
};

static int entry_apply(struct oak_replica *r, const struct oak_raft_entry *entry,
                       struct waiting *waiting, size_t *count)
{
    if (entry->term > r->applied_term_seen) {
        r->applied_term_seen = entry->term;
        replica__requests_overtaken(r, entry->term);
    }
    /* To the state machine an entry of the core's own is one with nothing in it. */
    bool data = entry->type == OAK_RAFT_ENTRY_DATA;
    bool config = entry->type == OAK_RAFT_ENTRY_CONFIG;
    struct oak_bytes bytes = data ? oak_bytes(entry->data, entry->size) : oak_bytes(NULL, 0);
    struct oak_kv_command command;
    bool ours = data && oak_kv_command_decode(bytes, &command) == 0 &&
                command.origin == r->options.id && replica__request_find(r, command.id) != NULL;
    struct oak_kv_result result;
    int error = 0;
    if (config && entry->index > oak_kv_state(r->kv)->applied) {
        error = replica__config_apply(r, entry);
    }
    replica__change_note(r, entry);
    error = error != 0 ? error
                       : oak_kv_apply(r->kv, entry->index, entry->term, bytes, ours,
                                      &r->apply_arena, &result);
    if (error == 0 && ours) {
        waiting[*count].request = replica__request_take(r, command.id);
        waiting[*count].result = result;
        *count += 1;
    }
    if (error == 0 && r->options.applied != NULL) {
        r->options.applied(r->options.user, entry->index, entry->term, bytes);
    }
    if (error == 0) {
        replica__chain_note(r);
    }
    r->flushing.bytes += entry->size + 64;
    return error;
}

static void apply_now(struct oak_replica *r, const struct oak_raft_entry *entries, size_t count)
{
    struct waiting waiting[RESULTS_MAX];
    size_t i = 0;
    int error = 0;
    while (error == 0 && i < count) {
        size_t results = 0;
        error = oak_kv_begin(r->kv);
        while (error == 0 && i < count && results < RESULTS_MAX &&
               r->apply_arena.total < ANSWERS_MAX) {
            error = entry_apply(r, &entries[i], waiting, &results);
            i++;
        }
        if (error == 0) {
            error = oak_kv_end(r->kv);
        }
        for (size_t k = 0; error == 0 && k < results; k++) {
            replica__request_end(r, waiting[k].request, waiting[k].result.error,
                                 &waiting[k].result);
        }
        if (!OAK_BUG(answers_kept)) {
            oak_arena_reset(&r->apply_arena);
        }
        if (error == 0) {
            replica__change_applied(r);
            replica__chain_due(r);
        }
    }
    replica__damage_look(r);
    if (error != 0) {
        replica__fatal(r, error, "applying to the store");
        return;
    }
    OAK_ASSERT_EQ(oak_kv_state(r->kv)->applied, entries[count - 1].index);
    oak_raft_applied(r->raft, entries[count - 1].index);
}

static bool must_wait(const struct oak_replica *r)
{
    size_t waiting = 0;
    bool full = oak_store_full(r->options.store, &waiting);
    return r->installing.active || (full && waiting >= r->options.store_waiting_max);
}

static int hold(struct applying *a, const struct oak_raft_entry *entries, size_t count)
{
    if (a->held_first == a->held_end) {
        a->held_first = a->held_end = 0;
    }
    if (a->held_end + count > a->held_capacity) {
        size_t capacity = OAK_MAX(a->held_end + count, a->held_capacity * 2);
        struct oak_alloc libc = oak_alloc_libc();
        void *grown = libc.resize(libc.user, a->held, capacity * sizeof(*a->held));
        if (grown == NULL) {
            return OAK_ENOMEM;
        }
        a->held = grown;
        a->held_capacity = capacity;
    }
    memcpy(a->held + a->held_end, entries, count * sizeof(*entries));
    a->held_end += count;
    return 0;
}

void replica__apply(struct oak_replica *r, const struct oak_raft_entry *entries, size_t count)
{
    struct applying *a = &r->applying;
    if (a->held_first == a->held_end && !must_wait(r)) {
        apply_now(r, entries, count);
    } else if (hold(a, entries, count) != 0) {
        replica__fatal(r, OAK_ENOMEM, "holding entries back that can't be applied yet");
    }
}

void replica__apply_release(struct oak_replica *r)
{
    struct applying *a = &r->applying;
    while (a->held_first < a->held_end && !r->failed && !must_wait(r)) {
        const struct oak_raft_entry *at = &a->held[a->held_first];
        size_t count = OAK_MIN(a->held_end - a->held_first, (size_t)RESULTS_MAX);
        uint64_t applied = oak_kv_state(r->kv)->applied;
        if (at->index <= applied) {
            a->held_first++; /* a snapshot has brought it */
            continue;
        }
        a->held_first += count;
        apply_now(r, at, count);
    }
}

void replica__apply_fini(struct oak_replica *r)
{
    struct oak_alloc libc = oak_alloc_libc();
    libc.resize(libc.user, r->applying.held, 0);
}

void replica__reads_serve(struct oak_replica *r)
{
    uint64_t applied = oak_kv_state(r->kv)->applied;
    if (r->installing.active) {
        if (!OAK_BUG(snap_old_state_served)) {
            return;
        }
        applied = r->installing.meta.index;
    }
    while (!oak_list_empty(&r->reads_wait)) {
        struct oak_replica_request *request =
            OAK_LIST_ENTRY(r->reads_wait.next, struct oak_replica_request, link);
        if (request->id > applied && !OAK_BUG(read_stale_revision)) {
            return;
        }
        oak_list_remove(&request->link);
        replica__request_end(r, request, 0, NULL);
    }
}
