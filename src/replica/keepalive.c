/* SPDX-License-Identifier: Apache-2.0 */
/* keepalive.c: what clients ask about leases, from the call to the answer: keepalives, and how long
 * a lease has left. The leader answers, and nobody else.
 *
 *     fresh ──► the leader is here:  read index of this term ──► decide ──┬─► answered
 *       ▲  │                                                              ├─► waiting (index)
 *       │  └──► it is another:  sent ──► its answer ─────────────────────►┘       │
 *       └──────────────── later (next tick), another leader, index applied ◄──────┘
 *
 * A leader answers only once its leadership has been confirmed behind the question, in the term in
 * which it decides: one that was deposed would else put off an end in its own memory, while the
 * new leader's clock runs. Many questions share one confirmation.
 *
 * A follower asks by frames. What is lost on the way is asked again: a keepalive twice does no
 * harm. An answer that comes late, to a number that is not waited for any more, is dropped.
 *
 * A keepalive of a lease that has expired waits until its revocation is applied, and finds nothing
 * then. A question about what is left waits until this member has applied what the leader had: the
 * keys of the lease are read here.
 *
 * Can fail     its deadline, the stop.
 * Thread       the loop's.
 */
#include "replica/internal.h"

enum ask_state {
    ASK_IDLE,
    ASK_LISTED, /* in one of the lists of struct keeping */
    ASK_READ,   /* for a read index */
};

void replica__asks_init(struct oak_replica *r)
{
    struct keeping *k = &r->keeping;
    oak_list_init(&k->fresh);
    oak_list_init(&k->later);
    oak_list_init(&k->sent);
    oak_list_init(&k->waiting);
}

static struct oak_replica_lease *ask_of(struct oak_list *node)
{
    return OAK_LIST_ENTRY(node, struct oak_replica_lease, link);
}

static void ask_list(struct oak_replica_lease *ask, struct oak_list *list)
{
    ask->state = ASK_LISTED;
    ask->link = (struct oak_list){0};
    oak_list_push(list, &ask->link);
}

static void ask_end(struct oak_replica *r, struct oak_replica_lease *ask, int error)
{
    OAK_ASSERT_NE(ask->state, ASK_IDLE);
    OAK_ASSERT_GT(r->keeping.count, 0);
    ask->state = ASK_IDLE;
    r->keeping.count--;
    ask->done(ask, error);
}

int oak_replica_lease_ask(struct oak_replica *r, struct oak_replica_lease *ask)
{
    OAK_ASSERT_EQ(ask->state, ASK_IDLE);
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (r->keeping.count >= OAK_PENDING_REQUESTS_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    ask->replica = r;
    if (ask->deadline_ns == 0) {
        ask->deadline_ns = replica__default_deadline(r);
    }
    ask->ttl_s = ask->left_ns = 0;
    r->keeping.count++;
    ask_list(ask, &r->keeping.fresh);
    return 0;
}

void oak_replica_lease_forget(struct oak_replica *r, struct oak_replica_lease *ask)
{
    if (ask->state == ASK_IDLE) {
        return;
    }
    if (ask->state == ASK_READ) {
        oak_replica_forget(r, &ask->read);
    } else {
        oak_list_remove(&ask->link);
    }
    ask->state = ASK_IDLE;
    r->keeping.count--;
}

/* -- answers ----------------------------------------------------------------------------------- */

static void ask_settle(struct oak_replica *r, struct oak_replica_lease *ask,
                       const struct oak_peer_lease_told *told)
{
    bool applied = told->index <= oak_kv_state(r->kv)->applied;
    ask->answered = !told->again;
    ask->index = told->index;
    if (!told->again) {
        ask->ttl_s = told->ttl_s;
        ask->left_ns = told->left_ns;
    }
    if (!applied && (told->again || !ask->renew)) {
        r->keeping.woken = 0;
        ask_list(ask, &r->keeping.waiting);
    } else if (told->again) {
        ask_list(ask, told->index != 0 ? &r->keeping.fresh : &r->keeping.later);
    } else {
        ask_end(r, ask, 0);
    }
}

/* Those that waited for what is applied now. */
static void asks_wake(struct oak_replica *r)
{
    struct keeping *k = &r->keeping;
    uint64_t applied = oak_kv_state(r->kv)->applied;
    if (k->woken >= applied) {
        return;
    }
    k->woken = applied;
    struct oak_list answered;
    oak_list_init(&answered);
    for (struct oak_list *node = k->waiting.next; node != &k->waiting;) {
        struct oak_replica_lease *ask = ask_of(node);
        node = node->next;
        if (ask->index <= applied) {
            oak_list_remove(&ask->link);
            ask_list(ask, ask->answered ? &answered : &k->fresh);
        }
    }
    while (!oak_list_empty(&answered)) {
        ask_end(r, ask_of(oak_list_pop(&answered)), 0);
    }
}

/* -- on the leader ----------------------------------------------------------------------------- */

static void ask_confirmed(struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result)
{
    struct oak_replica_lease *ask = OAK_CONTAINER_OF(request, struct oak_replica_lease, read);
    struct oak_replica *r = ask->replica;
    (void)result;
    if (error != 0) {
        ask_end(r, ask, error);
        return;
    }
    if (ask->term != r->expiring.term || !replica__decides(r)) {
        ask_list(ask, &r->keeping.fresh);
        return;
    }
    const struct oak_peer_lease_ask question = {.id = ask->id, .renew = ask->renew};
    struct oak_peer_lease_told told;
    replica__lease_decide(r, &question, &told);
    ask_settle(r, ask, &told);
}

static void ask_here(struct oak_replica *r, struct oak_replica_lease *ask)
{
    ask->term = r->expiring.term;
    ask->state = ASK_READ;
    ask->read.done = ask_confirmed;
    ask->read.deadline_ns = ask->deadline_ns;
    int error = oak_replica_read(r, &ask->read);
    if (error != 0) {
        ask_end(r, ask, error);
    }
}

/* A frame of questions from another member, until leadership is confirmed. */
struct batch {
    struct oak_replica_request read;
    struct oak_replica *replica;
    uint64_t from;
    uint64_t boot;
    uint64_t term;
    struct oak_buf items;
};

static void batch_answer(struct oak_replica *r, const struct batch *b, bool decides)
{
    struct oak_reader in = oak_reader(oak_buf_bytes(&b->items));
    struct oak_buf out = {0};
    struct oak_peer_lease_ask ask;
    int error = 0;
    while (error == 0 && oak_peer_lease_ask_next(&in, &ask)) {
        struct oak_peer_lease_told told = {.number = ask.number, .again = true};
        if (decides) {
            replica__lease_decide(r, &ask, &told);
        }
        error = oak_peer_lease_told_add(&out, &told);
    }
    struct oak_peer_frame frame = {.kind = OAK_PEER_LEASE_TOLD,
                                   .u.leases.bytes = oak_buf_bytes(&out)};
    if (error == 0) {
        replica__send_to(r, b->from, b->boot, false, &frame);
    }
    oak_buf_fini(&out);
}

static void batch_free(struct batch *b)
{
    struct oak_alloc libc = oak_alloc_libc();
    oak_buf_fini(&b->items);
    libc.resize(libc.user, b, 0);
}

static void batch_confirmed(struct oak_replica_request *request, int error,
                            const struct oak_kv_result *result)
{
    struct batch *b = OAK_CONTAINER_OF(request, struct batch, read);
    struct oak_replica *r = b->replica;
    (void)result;
    if (error == 0) {
        batch_answer(r, b, b->term == r->expiring.term && replica__decides(r));
    }
    batch_free(b);
}

/* Without memory, or with too much to do, it is as if lost: the asker asks again. */
void replica__lease_ask_take(struct oak_replica *r, const struct remote *from,
                             const struct oak_peer_frame *frame)
{
    struct oak_alloc libc = oak_alloc_libc();
    struct batch *b = libc.resize(libc.user, NULL, sizeof(*b));
    if (b == NULL) {
        return;
    }
    *b = (struct batch){.replica = r,
                        .from = from->id,
                        .boot = frame->address.boot,
                        .term = r->expiring.term,
                        .read.done = batch_confirmed};
    struct oak_bytes items = frame->u.leases.bytes;
    if (oak_buf_append(&b->items, items.data, items.size) != 0) {
        batch_free(b);
    } else if (!replica__decides(r)) {
        batch_answer(r, b, false);
        batch_free(b);
    } else if (oak_replica_read(r, &b->read) != 0) {
        batch_free(b);
    }
}

/* -- on a follower ----------------------------------------------------------------------------- */

static void asks_send(struct oak_replica *r, uint64_t leader)
{
    struct keeping *k = &r->keeping;
    while (!oak_list_empty(&k->fresh)) {
        struct oak_buf items = {0};
        for (size_t i = 0; i < OAK_LEASE_ASKS_MAX && !oak_list_empty(&k->fresh); i++) {
            struct oak_replica_lease *ask = ask_of(oak_list_pop(&k->fresh));
            ask->number = ++k->number;
            ask->sent_ns = replica__now(r);
            ask_list(ask, &k->sent);
            const struct oak_peer_lease_ask item = {
                .number = ask->number, .id = ask->id, .renew = ask->renew};
            if (oak_peer_lease_ask_add(&items, &item) != 0) {
                oak_buf_fini(&items);
                return; /* as if lost */
            }
        }
        struct oak_peer_frame frame = {.kind = OAK_PEER_LEASE_ASK,
                                       .u.leases.bytes = oak_buf_bytes(&items)};
        replica__send(r, leader, false, &frame);
        oak_buf_fini(&items);
    }
}

static struct oak_replica_lease *sent_take(struct keeping *k, uint64_t number)
{
    for (struct oak_list *node = k->sent.next; node != &k->sent; node = node->next) {
        struct oak_replica_lease *ask = ask_of(node);
        if (ask->number >= number) {
            return ask->number == number ? (oak_list_remove(node), ask) : NULL;
        }
    }
    return NULL;
}

void replica__lease_told_take(struct oak_replica *r, const struct oak_peer_frame *frame)
{
    struct oak_reader in = oak_reader(frame->u.leases.bytes);
    struct oak_peer_lease_told told;
    if (frame->address.to_boot != r->boot) {
        return;
    }
    while (oak_peer_lease_told_next(&in, &told)) {
        struct oak_replica_lease *ask = sent_take(&r->keeping, told.number);
        if (ask != NULL) {
            ask_settle(r, ask, &told);
        }
    }
}

/* -- moving on --------------------------------------------------------------------------------- */

void replica__asks_go(struct oak_replica *r)
{
    struct keeping *k = &r->keeping;
    if (k->count == 0) {
        return;
    }
    asks_wake(r);
    if (oak_list_empty(&k->fresh)) {
        return;
    }
    if (replica__decides(r)) {
        while (!oak_list_empty(&k->fresh)) {
            ask_here(r, ask_of(oak_list_pop(&k->fresh)));
        }
        return;
    }
    const struct remote *leader = replica__remote(r, r->leader_seen);
    if (leader != NULL && leader->reachable) {
        asks_send(r, leader->id);
    }
}

static void ask_all_again(struct oak_list *from, struct oak_list *fresh)
{
    while (!oak_list_empty(from)) {
        ask_list(ask_of(oak_list_pop(from)), fresh);
    }
}

void replica__asks_lost(struct oak_replica *r)
{
    ask_all_again(&r->keeping.sent, &r->keeping.fresh);
}

void replica__asks_tick(struct oak_replica *r)
{
    struct keeping *k = &r->keeping;
    uint64_t patience = r->options.election_ms * NS_A_MS / 2;
    ask_all_again(&k->later, &k->fresh);
    /* The oldest first: those behind it were sent later. */
    while (!oak_list_empty(&k->sent) &&
           ask_of(k->sent.next)->sent_ns + patience <= replica__now(r)) {
        ask_list(ask_of(oak_list_pop(&k->sent)), &k->fresh);
    }
}

void replica__asks_end(struct oak_replica *r, uint64_t now, int error)
{
    struct keeping *k = &r->keeping;
    struct oak_list *const lists[] = {&k->fresh, &k->later, &k->sent, &k->waiting};
    struct oak_list due;
    oak_list_init(&due);
    for (size_t i = 0; i < OAK_COUNT_OF(lists); i++) {
        for (struct oak_list *node = lists[i]->next; node != lists[i];) {
            struct oak_replica_lease *ask = ask_of(node);
            node = node->next;
            if (ask->deadline_ns <= now) {
                oak_list_remove(&ask->link);
                ask_list(ask, &due);
            }
        }
    }
    while (!oak_list_empty(&due)) {
        ask_end(r, ask_of(oak_list_pop(&due)), error);
    }
}
