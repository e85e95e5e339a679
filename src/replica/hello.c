/* SPDX-License-Identifier: Apache-2.0 */
/* hello.c: members that meet tell each other what they remember of each other, before they promise
 * anything.
 *
 * A member whose disk was put back to an older state, or replaced by a copy, has votes and
 * acknowledgements to its name that it does not know. It can't see that; those who hold them can.
 *
 *     X, in a new run                              P, which remembers an earlier one
 *     hello: I am run 8            ──────────▶
 *                                  ◀──────────     hello: of you I remember run 7, term 5, index 90
 *     that is in my past: run 7 ended
 *     in term 5 at index 93
 *     hello: you told me that      ──────────▶     remembers run 8 instead, durably
 *                                  ◀──────────     hello: of you I remember run 8
 *     hears what P's Raft core says
 *
 * Happy path   1 as above, in both directions, with each run of each member, once
 *              2 messages of the Raft core between two runs are heard from then on, and not before;
 *                and none at all before a majority, with this member, has told what it remembers:
 *                of the group that its log knows, or of the later one that it is told of
 *              3 every note_ms each tells all others how far it has got: they remember that, at
 *                once in memory, and with the next note's time on disk.
 * Forgotten    1 what P remembers is not in X's past. X says so in its log, and to all; it is mute:
 *                it hears and says nothing of the core's, so it promises nothing
 *              2 its leader takes its vote from it, and tells it (amends.c)
 *              3 it is in doubt (raft/doubt.c), follows, and catches up
 *              4 it gets its vote again.
 *              docs/internals/repair.md says why that is enough, and what it can't be enough for.
 * A copy       P remembers a newer run of X while X still speaks: another process runs from a copy
 *              of X's directory. X ends.
 * Can fail     nothing; its file may (past_file.c).
 * Invariants   what P has told X that it remembers is on P's disk, when it is of X's present run.
 * Thread       the loop's.
 */
#include "replica/internal.h"

/* -- what is said ------------------------------------------------------------------------------ */

static struct oak_peer_memory me(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    return (struct oak_peer_memory){
        .number = past_present(&r->memory.past)->number,
        .run = r->boot,
        .term = status.kept_term,
        .vote = status.kept_vote,
        .index = status.kept_index,
    };
}

struct oak_peer_memory oak_replica_past(struct oak_replica *r)
{
    return me(r);
}

bool oak_replica_remembers(struct oak_replica *r, uint64_t id, struct oak_peer_memory *out)
{
    const struct past_memory *of = past_find(&r->memory.past, id);
    bool known = of != NULL && of->saved.number != 0;
    if (known) {
        *out = of->saved;
    }
    return known;
}

size_t oak_replica_remembered(const struct oak_replica *r)
{
    const struct past *past = &r->memory.past;
    size_t count = 0;
    for (size_t i = 0; i < OAK_COUNT_OF(past->memories); i++) {
        const struct past_memory *of = &past->memories[i];
        count += of->saved.number != 0 && replica__config_names(oak_raft_config(r->raft), of->id);
    }
    return count;
}

/* That it forgot it says at once; that it is whole, once a start would find it so: it gets its vote
 * by that, and whoever needs a vote of it needs one who knows. */
static enum oak_peer_past past_said(const struct past *p)
{
    return p->state == OAK_PEER_FORGOT ? OAK_PEER_FORGOT : p->state_saved;
}

static void hello_to(struct oak_replica *r, const struct remote *to, uint64_t boot)
{
    const struct past_memory *of = past_find(&r->memory.past, to->id);
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_HELLO,
        .u.hello = {.seq = ++r->memory.seq, .me = me(r), .past = past_said(&r->memory.past)},
    };
    struct oak_peer_hello *h = &frame.u.hello;
    h->group = r->config_applied;
    h->group_index = h->group.voter_count > 0 ? oak_kv_state(r->kv)->applied : 0;
    h->voter = to->demoted || replica__config_votes(oak_raft_config(r->raft), to->id);
    if (of != NULL) {
        h->of_you = of->at;
    }
    if (boot == to->it.boot) {
        h->told = to->it.told;
        h->met = to->it.accepted && to->it.known && !replica__hello_mute(r);
        h->heard = to->it.seq;
        h->tale = to->it.tale;
        h->excused = to->it.excused;
    }
    replica__send_to(r, to->id, boot, false, &frame);
}

void replica__hello_send(struct oak_replica *r, struct remote *to)
{
    const struct past_memory *of = past_find(&r->memory.past, to->id);
    if (of != NULL && of->at.run != of->saved.run) {
        return; /* it must not hear of what a crash may take: it does when that is durable */
    }
    to->hello_ns = replica__now(r);
    hello_to(r, to, to->it.boot);
}

void replica__hello_accepted(struct oak_replica *r)
{
    for (size_t i = 0; i < r->remote_count; i++) {
        struct remote *remote = &r->remotes[i];
        const struct past_memory *of = past_find(&r->memory.past, remote->id);
        if (!remote->it.accepted && of != NULL && remote->it.boot == of->saved.run) {
            remote->it.accepted = true;
            replica__hello_send(r, remote);
        }
    }
}

bool replica__hello_mute(const struct oak_replica *r)
{
    return r->memory.past.state == OAK_PEER_FORGOT && !r->memory.excused;
}

/* -- forgotten --------------------------------------------------------------------------------- */

static void forgotten(struct oak_replica *r, const struct remote *from,
                      const struct oak_peer_memory *told)
{
    struct memory *m = &r->memory;
    if (replica__newborn_caught(r, m->empty)) {
        return;
    }
    oak_log(r->options.log, OAK_LOG_ERROR,
            "this member has forgotten promises: member %016llx remembers its run %llu, in term "
            "%llu up to index %llu, and that is not in its data directory, which is an older state "
            "of itself or a copy. It neither votes nor acknowledges until its leader has taken its "
            "vote from it and given it back once it has caught up; that needs a majority without "
            "it. Should that not come: remove it from the cluster, and add it again as a new "
            "member with an empty data directory",
            (unsigned long long)from->id, (unsigned long long)told->number,
            (unsigned long long)told->term, (unsigned long long)told->index);
    m->past.state = OAK_PEER_FORGOT;
    m->past.voteless = !replica__config_votes(oak_raft_config(r->raft), r->options.id);
    m->excused = false;
    oak_raft_doubt(r->raft);
    /* Whatever was said of this run so far is not said of it from now on; and all runs that it has
     * forgotten, also those that others will yet tell of, are before it. */
    past_present(&m->past)->number += PAST_FORGOTTEN_MAX;
    replica__past_save(r);
}

/* Told of a run that this one does not follow. */
static void number_raise(struct oak_replica *r, const struct oak_peer_memory *told)
{
    struct past_run *present = past_present(&r->memory.past);
    if (told->number >= present->number) {
        present->number = told->number + 1;
        replica__past_save(r);
    }
}

/* What it remembers of us. False: that ends this process. */
static bool tale_take(struct oak_replica *r, struct remote *from,
                      const struct oak_peer_memory *told)
{
    struct acquaintance *it = &from->it;
    if (told->run == r->boot) {
        it->told = it->known = from->knew = true;
        return true;
    }
    if (from->knew && told->number >= past_present(&r->memory.past)->number) {
        replica__fatal(r, OAK_EINUSE,
                       "another process runs as this member, from a copy of its data directory");
        return false;
    }
    if (r->memory.past.state != OAK_PEER_FORGOT && !past_covers(&r->memory.past, told)) {
        forgotten(r, from, told);
    }
    if (r->failed) {
        return false;
    }
    number_raise(r, told);
    it->told = true;
    it->tale = *told;
    return true;
}

/* This run has no vote in the group, because it forgot. */
static void excused(struct oak_replica *r)
{
    struct memory *m = &r->memory;
    if (replica__hello_mute(r)) {
        m->excused = true;
        oak_log(r->options.log, OAK_LOG_WARN,
                "this member has no vote now: it follows its leader, and gets what it lacks");
    } else if (m->past.state == OAK_PEER_SOUND && !m->past.voteless &&
               !replica__config_votes(oak_raft_config(r->raft), r->options.id)) {
        /* Its leader did not know that it had its vote again. */
        m->past.state = OAK_PEER_WHOLE;
        replica__past_save(r);
    }
}

/* -- accepted ---------------------------------------------------------------------------------- */

/* A row for what is remembered of it: of those of members, there are always enough. */
static struct past_memory *row_of(struct oak_replica *r, uint64_t id)
{
    struct past *p = &r->memory.past;
    struct past_memory *row = past_find(p, id);
    row = row != NULL ? row : past_find(p, 0);
    for (size_t i = 0; row == NULL && i < OAK_COUNT_OF(p->memories); i++) {
        if (!replica__config_names(oak_raft_config(r->raft), p->memories[i].id)) {
            row = &p->memories[i];
        }
    }
    OAK_ASSERT(row != NULL);
    if (row->id != id) {
        *row = (struct past_memory){.id = id};
    }
    return row;
}

static bool same(const struct oak_peer_memory *a, const struct oak_peer_memory *b)
{
    return a->number == b->number && a->run == b->run && a->term == b->term && a->vote == b->vote &&
           a->index == b->index;
}

/* It has a new run, and its past has all that we remember of the one before: remember this one. */
static void accept(struct oak_replica *r, const struct remote *from, const struct oak_peer_hello *h)
{
    struct past_memory *row = row_of(r, from->id);
    if (row->at.run == from->it.boot) {
        bool renumbered = h->me.number > row->at.number;
        row->at.number = OAK_MAX(row->at.number, h->me.number);
        if (past_note(&row->at, h->me.term, h->me.vote, h->me.index)) {
            r->memory.changed = true;
        }
        if (renumbered) {
            replica__past_save(r);
        }
        return;
    }
    if (h->told && same(&h->tale, &row->at)) {
        OAK_ASSERT_GT(h->me.number, row->at.number);
        row->at = h->me;
        row->at.run = from->it.boot;
        replica__past_save(r);
    }
}

/* -- heard ------------------------------------------------------------------------------------- */

/* It may have been away while the group changed. */
static void group_note(struct oak_replica *r, const struct oak_peer_hello *h)
{
    struct memory *m = &r->memory;
    if (h->group_index > m->group_index && h->group.voter_outgoing_count == 0 &&
        replica__config_votes(&h->group, r->options.id)) {
        m->group_index = h->group_index;
        m->group = h->group;
    }
}

/* Does this hello come from the run that we speak with, or a newer one? Then it is that from now
 * on. */
static bool run_follow(struct oak_replica *r, struct remote *from, uint64_t boot,
                       const struct oak_peer_hello *h)
{
    struct acquaintance *it = &from->it;
    if (it->boot == boot) {
        return true;
    }
    const struct past_memory *row = past_find(&r->memory.past, from->id);
    bool remembered = row != NULL && row->at.run == boot;
    if (row != NULL && !remembered && h->me.number <= row->at.number) {
        return false;
    }
    *it = (struct acquaintance){.boot = boot, .accepted = remembered && row->saved.run == boot};
    return true;
}

/* Once a heartbeat is enough. */
static bool is_due(const struct oak_replica *r, uint64_t last_ns)
{
    uint64_t now = replica__now(r);
    return last_ns == 0 || now - last_ns >= NS_A_MS * r->options.heartbeat_ms;
}

static bool may_ask(const struct oak_replica *r, const struct remote *remote)
{
    return is_due(r, remote->hello_ns);
}

void replica__hello_take(struct oak_replica *r, struct remote *from,
                         const struct oak_peer_frame *frame)
{
    const struct oak_peer_hello *h = &frame->u.hello;
    struct memory *m = &r->memory;
    uint64_t boot = frame->address.boot;
    if (!run_follow(r, from, boot, h)) {
        /* A late one of an earlier run; or its run is the one that has forgotten: tell it. It has a
         * time of its own: whoever was started anew, too, asks into the void all the while. */
        if (is_due(r, from->news_ns)) {
            from->news_ns = replica__now(r);
            hello_to(r, from, boot);
        }
        return;
    }
    struct acquaintance *it = &from->it;
    bool for_us = frame->address.to_boot == r->boot;
    bool first = it->seq == 0;
    if (h->seq <= it->seq) {
        return;
    }
    it->seq = h->seq;
    it->heard = for_us ? h->heard : 0;
    it->number = h->me.number;
    it->past = h->past;
    bool before = it->told && it->known;
    if (for_us && !tale_take(r, from, &h->of_you)) {
        return;
    }
    if (for_us && h->voter && m->past.state == OAK_PEER_FORGOT && m->past.voteless) {
        m->past.voteless = false; /* it got its vote after what it knows */
        replica__past_save(r);
    }
    if (for_us && h->excused == past_present(&r->memory.past)->number) {
        excused(r);
    }
    group_note(r, h);
    accept(r, from, h);
    if (first || before != (it->told && it->known) || (!h->met && may_ask(r, from))) {
        replica__hello_send(r, from);
    }
}

/* -- what of the core is heard ----------------------------------------------------------------- */

static bool majority_told(const struct oak_replica *r, const uint64_t *ids, uint32_t count)
{
    uint32_t told = 1; /* this member, or the one whose place it has no vote for */
    for (uint32_t i = 0; i < count; i++) {
        for (size_t k = 0; k < r->remote_count; k++) {
            told += r->remotes[k].id == ids[i] && r->remotes[k].it.told ? 1 : 0;
        }
    }
    return told >= count / 2 + 1;
}

/* By the group as it is, which is not in the log yet: a majority of it has told, and this one votes
 * in it. Who is in the older one alone is not heard: of that nobody has to have told. */
static bool group_told(const struct oak_replica *r, uint64_t from)
{
    const struct memory *m = &r->memory;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    return m->group_index > 0 && m->group_index >= status.config_index &&
           replica__config_votes(&m->group, from) &&
           majority_told(r, m->group.voters, m->group.voter_count);
}

bool replica__hello_admits(struct oak_replica *r, struct remote *from, uint64_t boot)
{
    struct memory *m = &r->memory;
    const struct oak_raft_config *c = oak_raft_config(r->raft);
    m->heard = m->heard || (majority_told(r, c->voters, c->voter_count) &&
                            majority_told(r, c->voters_outgoing, c->voter_outgoing_count));
    const struct acquaintance *it = &from->it;
    bool met = it->boot == boot && it->accepted && it->known;
    if (!met && may_ask(r, from)) {
        replica__hello_send(r, from);
    }
    return met && (m->heard || m->excused || group_told(r, from->id)) && !replica__hello_mute(r);
}

void replica__hello_note(struct oak_replica *r, const struct remote *from,
                         const struct oak_raft_msg *m)
{
    uint64_t vote = 0, index = 0;
    switch (m->type) {
    case OAK_RAFT_MSG_APPEND_REPLY:
        index = m->doubtful ? 0 : m->index;
        break;
    case OAK_RAFT_MSG_VOTE_REPLY:
        vote = r->options.id;
        break;
    case OAK_RAFT_MSG_VOTE:
    case OAK_RAFT_MSG_APPEND:
    case OAK_RAFT_MSG_HEARTBEAT:
        vote = from->id;
        break;
    default:
        return;
    }
    struct past_memory *row = past_find(&r->memory.past, from->id);
    if (!m->reject && row != NULL && past_note(&row->at, m->term, vote, index)) {
        r->memory.changed = true;
    }
}

/* -- time -------------------------------------------------------------------------------------- */

/* It forgot, and has no vote any more: what it promised then binds nobody, so it begins anew. */
static void whole_again(struct oak_replica *r)
{
    struct past *p = &r->memory.past;
    oak_log(r->options.log, OAK_LOG_INFO, "this member has caught up%s",
            p->voteless ? "" : ": it asks for the vote that it lost");
    p->state = p->voteless ? OAK_PEER_SOUND : OAK_PEER_WHOLE;
    p->runs[0] = *past_present(p);
    p->run_count = 1;
    replica__past_save(r);
}

static void state_follow(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    struct past *p = &r->memory.past;
    const struct oak_raft_config *config = oak_raft_config(r->raft);
    bool votes = replica__config_votes(config, r->options.id);
    bool settled = status.config_index <= status.commit && config->voter_outgoing_count == 0;
    if (p->state == OAK_PEER_FORGOT && r->memory.excused && !status.in_doubt && !votes) {
        whole_again(r);
    } else if (p->state == OAK_PEER_WHOLE && votes && settled) {
        oak_log(r->options.log, OAK_LOG_INFO, "this member votes again");
        p->state = OAK_PEER_SOUND;
        replica__past_save(r);
    } else if (p->state == OAK_PEER_SOUND && votes && settled && p->voteless) {
        p->voteless = false; /* a vote that it may lose and ask for */
        replica__past_save(r);
    }
}

static void notes_send(struct oak_replica *r)
{
    struct memory *m = &r->memory;
    uint64_t now = replica__now(r);
    if (now < m->note_ns) {
        return;
    }
    m->note_ns = now + NS_A_MS * r->options.note_ms;
    const struct oak_peer_memory at = me(r);
    for (size_t i = 0; !same(&at, &m->noted) && i < r->remote_count; i++) {
        struct remote *remote = &r->remotes[i];
        if (remote->it.known && replica__config_names(oak_raft_config(r->raft), remote->id)) {
            replica__hello_send(r, remote);
        }
    }
    m->noted = at;
    if (m->changed) {
        replica__past_save(r);
    }
}

void replica__hello_tick(struct oak_replica *r)
{
    replica__past_tick(r);
    state_follow(r);
    notes_send(r);
    for (size_t i = 0; i < r->remote_count; i++) {
        struct remote *remote = &r->remotes[i];
        bool met = remote->it.accepted && remote->it.known && !replica__hello_mute(r);
        bool there =
            remote->reachable || replica__config_names(oak_raft_config(r->raft), remote->id);
        if (!met && there && may_ask(r, remote)) {
            replica__hello_send(r, remote);
        }
    }
}
