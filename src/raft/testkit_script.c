/* SPDX-License-Identifier: Apache-2.0 */
/* testkit_script.c: the commands of scripts.
 *
 * A script's nodes are 1, 2, ...; "all" is every node that is up; "*" is any node.
 *
 *   cluster n=3 [voters=2] [heartbeat=100] [election=1000] [append_bytes=..] [append_entries=..]
 *           [inflight_bytes=..] [inflight_entries=..] [inflight_messages=..]
 *           [uncommitted_bytes=..] [log_bytes=..] [apply_bytes=..]
 *           [entry_bytes=..] [lease=MS] [drift=PPM] [calm=MS] [priority=P1,P2,..]
 *                                     make nodes 1..n, of which the first `voters` have a vote
 *
 *   add ID                            a node that is in nobody's configuration
 *   join ID                           likewise, and it knows of no group either
 *
 *   change ID voters=1,2,3 [learners=4,5] [lease=MS] [drift=PPM]
 *   transfer ID [TO]                  hand leadership over
 *   campaign ID | tick ID|all MS | propose ID TEXT [COUNT] | read ID [COUNT]
 *
 *   persist ID|all [COUNT]            finish writes
 *   deliver [A->B] [TYPE]             hand over what is on the wire now and fits
 *   dup ... | drop ... | first ... | last ...
 *                                     likewise: deliver and keep, lose, deliver only one
 *
 *   stabilize [ID ...]                deliver and finish writes until all is quiet (among these)
 *   elect ID                          campaign and stabilize, in silence
 *   crash ID [WRITES [STEPS]]         lose memory, with so many writes (and steps of one) on disk
 *   start ID
 *   damage ID KEEP                    of a crashed node: its log behind KEEP is lost
 *   doubt ID                          a node learns that it has forgotten promises
 *
 *   compact ID INDEX | snapshot FROM TO | sent FROM TO INDEX ok|failed | unreachable FROM TO
 *   step FROM->TO TYPE [term= index= logterm= commit= read= hint= hintterm= reject=1 doubtful=1
 *           at= atindex=
 *           noop=TERM config=TERM]    a message as given; config= with lists as in change
 *
 *   clock ID|all MS                   time passes, and nobody ticks: the process is paused
 *   wall ID|all EARLIEST LATEST       what a shared clock says now
 *   lease ID | grant ID               read by lease; answer what waits by lease
 *
 *   status ID|all | config ID|all | evidence ID | peers ID | log ID | wire
 */
#include "raft/testkit_script.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void script_out(void *user, const char *line)
{
    struct script *s = user;
    if (s->quiet) {
        return;
    }
    size_t size = strlen(line);
    s->out = realloc(s->out, s->out_size + size + 2);
    memcpy(s->out + s->out_size, line, size);
    s->out_size += size;
    s->out[s->out_size++] = '\n';
    s->out[s->out_size] = 0;
}

__attribute__((format(printf, 2, 3))) static void outf(struct script *s, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    script_out(s, line);
}

/* -- words ------------------------------------------------------------------------------------- */

struct words {
    char text[512];
    char *w[64];
    size_t count;
};

static void split(struct words *words, const char *line)
{
    (void)snprintf(words->text, sizeof(words->text), "%s", line);
    words->count = 0;
    char *save = NULL;
    for (char *w = strtok_r(words->text, " \t", &save); w != NULL && words->count < 64;
         w = strtok_r(NULL, " \t", &save)) {
        words->w[words->count++] = w;
    }
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

static uint64_t word_number(const struct words *words, size_t at, uint64_t fallback)
{
    return at < words->count ? number(words->w[at]) : fallback;
}

static uint64_t option(const struct words *words, const char *name, uint64_t fallback)
{
    size_t size = strlen(name);
    for (size_t i = 1; i < words->count; i++) {
        if (strncmp(words->w[i], name, size) == 0 && words->w[i][size] == '=') {
            return number(words->w[i] + size + 1);
        }
    }
    return fallback;
}

static enum oak_raft_msg_type type_of(const char *name)
{
    static const char *const names[] = {"?",
                                        "pre-vote",
                                        "pre-vote-reply",
                                        "vote",
                                        "vote-reply",
                                        "append",
                                        "append-reply",
                                        "heartbeat",
                                        "heartbeat-reply",
                                        "snapshot",
                                        "read",
                                        "read-reply",
                                        "timeout-now"};
    for (int i = 1; i < OAK_RAFT_MSG_END_; i++) {
        if (strcmp(name, names[i]) == 0) {
            return (enum oak_raft_msg_type)i;
        }
    }
    return OAK_RAFT_MSG_END_;
}

/* "1,2,3" behind `name=`. */
static uint32_t id_list(const struct words *words, const char *name, uint64_t *ids)
{
    size_t size = strlen(name);
    uint32_t count = 0;
    for (size_t i = 1; i < words->count; i++) {
        if (strncmp(words->w[i], name, size) != 0 || words->w[i][size] != '=') {
            continue;
        }
        for (const char *at = words->w[i] + size + 1; *at != 0 && count < OAK_RAFT_MEMBERS_MAX;
             at += strspn(at, ",")) {
            ids[count++] = number(at);
            at += strcspn(at, ",");
        }
    }
    return count;
}

static struct oak_raft_config config_of(const struct words *w)
{
    struct oak_raft_config c = {0};
    c.voter_count = id_list(w, "voters", c.voters);
    c.learner_count = id_list(w, "learners", c.learners);
    c.voter_outgoing_count = id_list(w, "outgoing", c.voters_outgoing);
    c.learner_next_count = id_list(w, "next", c.learners_next);
    c.lease_ms = (uint32_t)option(w, "lease", 0);
    c.drift_ppm = (uint32_t)option(w, "drift", 0);
    return c;
}

static bool route(const char *word, uint64_t *from, uint64_t *to)
{
    const char *arrow = strstr(word, "->");
    if (arrow == NULL) {
        return false;
    }
    *from = word[0] == '*' ? 0 : number(word);
    *to = arrow[2] == '*' ? 0 : number(arrow + 2);
    return true;
}

/* -- commands ---------------------------------------------------------------------------------- */

static void run_cluster(struct script *s, const struct words *w)
{
    uint64_t n = option(w, "n", 3);
    uint64_t voters = option(w, "voters", n);
    struct oak_raft_options *o = &s->limits;
    o->group = 1;
    o->heartbeat_ms = (uint32_t)option(w, "heartbeat", 100);
    o->election_ms = (uint32_t)option(w, "election", 1000);
    o->append_bytes_max = option(w, "append_bytes", 0);
    o->append_entries_max = option(w, "append_entries", 0);
    o->inflight_bytes_max = option(w, "inflight_bytes", 0);
    o->inflight_entries_max = option(w, "inflight_entries", 0);
    o->inflight_messages_max = option(w, "inflight_messages", 0);
    o->log_bytes_max = option(w, "log_bytes", 0);
    o->uncommitted_bytes_max = option(w, "uncommitted_bytes", 0);
    o->apply_bytes_max = option(w, "apply_bytes", 0);
    o->entry_bytes_max = option(w, "entry_bytes", 0);
    s->kit.config.lease_ms = (uint32_t)option(w, "lease", 0);
    s->kit.config.drift_ppm = (uint32_t)option(w, "drift", 0);
    for (uint64_t id = 1; id <= n; id++) {
        if (id <= voters) {
            s->kit.config.voters[s->kit.config.voter_count++] = id;
        } else {
            s->kit.config.learners[s->kit.config.learner_count++] = id;
        }
    }
    uint64_t priorities[OAK_RAFT_MEMBERS_MAX] = {0};
    (void)id_list(w, "priority", priorities);
    o->priority_calm_ms = (uint32_t)option(w, "calm", 0);
    for (uint64_t id = 1; id <= n; id++) {
        o->seed = id * 1000;
        o->priority = (uint8_t)priorities[id - 1];
        (void)kit_add(&s->kit, id, o);
    }
}

enum wire_verb { WIRE_DELIVER, WIRE_DUP, WIRE_DROP, WIRE_FIRST, WIRE_LAST };

static void run_wire(struct script *s, const struct words *w, enum wire_verb verb)
{
    uint64_t from = 0;
    uint64_t to = 0;
    enum oak_raft_msg_type type = OAK_RAFT_MSG_END_;
    for (size_t i = 1; i < w->count; i++) {
        if (!route(w->w[i], &from, &to)) {
            type = type_of(w->w[i]);
        }
    }
    size_t left = s->kit.wire_count; /* only what is there now */
    size_t at = 0;
    size_t last = SIZE_MAX;
    for (; left > 0; left--) {
        const struct oak_raft_msg *m = &s->kit.wire[at].m;
        bool fits = (from == 0 || m->from == from) && (to == 0 || m->to == to) &&
                    (type == OAK_RAFT_MSG_END_ || m->type == type);
        if (!fits) {
            at++;
        } else if (verb == WIRE_LAST) {
            last = at;
            at++;
        } else if (verb == WIRE_DROP) {
            char text[512];
            kit_describe(m, text, sizeof(text));
            outf(s, "lost %s", text);
            kit_drop(&s->kit, at);
        } else {
            char text[512];
            kit_describe(m, text, sizeof(text));
            outf(s, "%s", text);
            (void)kit_deliver(&s->kit, at, verb == WIRE_DUP);
            at += verb == WIRE_DUP;
            if (verb == WIRE_FIRST) {
                return;
            }
        }
    }
    if (last != SIZE_MAX) {
        char text[512];
        kit_describe(&s->kit.wire[last].m, text, sizeof(text));
        outf(s, "%s", text);
        (void)kit_deliver(&s->kit, last, false);
    }
}

static bool among(const struct words *w, uint64_t id)
{
    if (w->count < 2) {
        return true;
    }
    for (size_t i = 1; i < w->count; i++) {
        if (number(w->w[i]) == id) {
            return true;
        }
    }
    return false;
}

static void run_stabilize(struct script *s, const struct words *w)
{
    bool moved = true;
    for (int turns = 0; moved && turns < 1000; turns++) {
        moved = false;
        for (size_t i = 0; i < s->kit.node_count; i++) {
            struct kit_node *n = &s->kit.nodes[i];
            if (n->r != NULL && among(w, n->id) && n->batch_count > 0) {
                outf(s, "%d wrote #%d", (int)n->id, (int)n->batches[0].token);
                (void)kit_persist(&s->kit, n, 1);
                moved = true;
            }
        }
        size_t at = 0;
        for (size_t left = s->kit.wire_count; left > 0; left--) {
            const struct oak_raft_msg *m = &s->kit.wire[at].m;
            if (!among(w, m->from) || !among(w, m->to)) {
                at++;
                continue;
            }
            char text[512];
            kit_describe(m, text, sizeof(text));
            outf(s, "%s", text);
            (void)kit_deliver(&s->kit, at, false);
            moved = true;
        }
    }
    if (moved) {
        script_out(s, "never quiet");
    }
}

static void run_step(struct script *s, const struct words *w)
{
    struct oak_raft_msg m = {.type = type_of(w->count > 2 ? w->w[2] : "?")};
    (void)route(w->w[1], &m.from, &m.to);
    m.term = option(w, "term", 1);
    m.index = option(w, "index", 0);
    m.log_term = option(w, "logterm", 0);
    m.commit = option(w, "commit", 0);
    m.read_seq = option(w, "read", 0);
    m.hint_index = option(w, "hint", 0);
    m.hint_term = option(w, "hintterm", 0);
    m.reject = option(w, "reject", 0) != 0;
    m.transfer = option(w, "transfer", 0) != 0;
    m.doubtful = option(w, "doubtful", 0) != 0;
    m.snapshot.term = option(w, "at", 0);
    m.snapshot.index = option(w, "atindex", 0);
    m.snapshot.config = s->kit.config;
    struct oak_raft_entry e = {.index = m.index + 1, .type = OAK_RAFT_ENTRY_NOOP};
    e.term = option(w, "noop", 0);
    uint8_t bytes[OAK_RAFT_CONFIG_BYTES_MAX];
    if (option(w, "config", 0) != 0) { /* with voters=, learners=, outgoing=, next= */
        struct oak_raft_config c = config_of(w);
        e.term = option(w, "config", 0);
        e.type = OAK_RAFT_ENTRY_CONFIG;
        e.size = (uint32_t)oak_raft_config_encode(&c, bytes);
        e.data = bytes;
    }
    if (e.term != 0) {
        m.entries = &e;
        m.entry_count = 1;
    }
    struct kit_node *n = kit_find(&s->kit, m.to);
    int error = oak_raft_step(n->r, &m);
    if (error != 0) {
        outf(s, "%d: %s", (int)n->id, oak_raft_error_text(error));
    }
    kit_take(&s->kit, n);
}

static void show_status(struct script *s, const struct kit_node *n)
{
    struct oak_raft_status t;
    oak_raft_status(n->r, &t);
    outf(s, "%d %s term=%d vote=%d leader=%d commit=%d applied=%d log=%d..%d:%d durable=%d%s",
         (int)t.id, oak_raft_role_name(t.role), (int)t.term, (int)t.vote, (int)t.leader,
         (int)t.commit, (int)t.applied, (int)t.first, (int)t.last_term, (int)t.last, (int)t.durable,
         t.in_doubt ? " in-doubt" : "");
    if (t.role == OAK_RAFT_LEADER && s->kit.config.lease_ms > 0) {
        outf(s, "  lease=%d%s", (int)t.lease_left_ms, t.commit_deferred ? " defers" : "");
    }
}

static void show_peers(struct script *s, const struct kit_node *n)
{
    static const char *const states[] = {"probe", "replicate", "snapshot"};
    struct oak_raft_peer_status rows[OAK_RAFT_MEMBERS_MAX];
    size_t count = oak_raft_peers(n->r, rows, OAK_RAFT_MEMBERS_MAX);
    for (size_t i = 0; i < count; i++) {
        outf(s, "%d%s%s %s match=%d next=%d inflight=%d%s%s%s", (int)rows[i].id,
             rows[i].learner ? " learner" : "", rows[i].leaving ? " leaving" : "",
             states[rows[i].state], (int)rows[i].match, (int)rows[i].next,
             (int)rows[i].inflight_bytes, rows[i].active ? "" : " silent",
             rows[i].ready ? " ready" : "", rows[i].doubtful ? " doubtful" : "");
    }
}

static void show_log(struct script *s, const struct kit_node *n)
{
    struct oak_raft_status t;
    oak_raft_status(n->r, &t);
    char line[512];
    uint64_t term = 0;
    (void)oak_raft_term_at(n->r, t.first - 1, &term);
    size_t at =
        (size_t)snprintf(line, sizeof(line), "%d (%d:%d)", (int)t.id, (int)term, (int)t.first - 1);
    for (uint64_t i = t.first; i <= t.last && at + 20 < sizeof(line); i++) {
        (void)oak_raft_term_at(n->r, i, &term);
        at += (size_t)snprintf(line + at, sizeof(line) - at, " %d:%d", (int)term, (int)i);
    }
    script_out(s, line);
}

static void run_propose(struct script *s, struct kit_node *n, const struct words *w)
{
    uint64_t count = word_number(w, 3, 1);
    int e = 0;
    for (uint64_t i = 0; i < count && e == 0; i++) {
        char text[300];
        if (count == 1) {
            (void)snprintf(text, sizeof(text), "%s", w->w[2]);
        } else {
            (void)snprintf(text, sizeof(text), "%s%d", w->w[2], (int)i);
        }
        e = kit_propose(&s->kit, n, text);
    }
    if (e != 0) {
        script_out(s, oak_raft_error_text(e));
    }
    kit_take(&s->kit, n);
}

static void run_read(struct script *s, struct kit_node *n, const struct words *w)
{
    for (uint64_t i = word_number(w, 2, 1); i > 0; i--) {
        uint64_t seq = 0;
        int e = kit_read(&s->kit, n, &seq);
        if (e != 0) {
            script_out(s, oak_raft_error_text(e));
        } else {
            outf(s, "%d asks for read %d", (int)n->id, (int)seq);
        }
    }
    kit_take(&s->kit, n);
}

static void show_evidence(struct script *s, const struct kit_node *n)
{
    struct oak_raft_evidence e;
    if (oak_raft_evidence(n->r, &e)) {
        outf(s, "%d: %s: from=%d term=%d index=%d:%d here: leader=%d term=%d entry=%d", (int)n->id,
             oak_raft_contradiction_text(e.what), (int)e.from, (int)e.term_from,
             (int)e.entry_term_there, (int)e.index, (int)e.leader, (int)e.term,
             (int)e.entry_term_here);
    } else {
        outf(s, "%d: no evidence", (int)n->id);
    }
}

static void show_config(struct script *s, const struct kit_node *n)
{
    char text[256];
    kit_config_describe(oak_raft_config(n->r), text, sizeof(text));
    outf(s, "%d:%s", (int)n->id, text);
}

/* Commands about one node that is up. False: not one of them. */
static bool run_node(struct script *s, struct kit_node *n, const struct words *w)
{
    const char *verb = w->w[0];
    int e = 0;
    if (strcmp(verb, "campaign") == 0) {
        e = oak_raft_campaign(n->r);
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "tick") == 0) {
        e = kit_tick(&s->kit, n, word_number(w, 2, 100));
    } else if (strcmp(verb, "propose") == 0) {
        run_propose(s, n, w);
    } else if (strcmp(verb, "read") == 0) {
        run_read(s, n, w);
    } else if (strcmp(verb, "persist") == 0) {
        (void)kit_persist(&s->kit, n, word_number(w, 2, SIZE_MAX));
    } else if (strcmp(verb, "crash") == 0) {
        kit_crash(&s->kit, n, word_number(w, 2, 0), word_number(w, 3, 0));
    } else if (strcmp(verb, "compact") == 0) {
        e = kit_compact(&s->kit, n, word_number(w, 2, 0));
    } else if (strcmp(verb, "snapshot") == 0) {
        kit_snapshot(&s->kit, n, word_number(w, 2, 0));
    } else if (strcmp(verb, "sent") == 0) {
        oak_raft_snapshot_sent(n->r, word_number(w, 2, 0), word_number(w, 3, 0),
                               strcmp(w->w[4], "ok") == 0);
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "doubt") == 0) {
        oak_raft_doubt(n->r);
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "unreachable") == 0) {
        oak_raft_unreachable(n->r, word_number(w, 2, 0));
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "change") == 0) {
        struct oak_raft_config c = config_of(w);
        e = oak_raft_change(n->r, &c, NULL, NULL);
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "evidence") == 0) {
        show_evidence(s, n);
    } else if (strcmp(verb, "transfer") == 0) {
        e = oak_raft_transfer(n->r, word_number(w, 2, 0));
        kit_take(&s->kit, n);
    } else if (strcmp(verb, "config") == 0) {
        show_config(s, n);
    } else if (strcmp(verb, "status") == 0) {
        show_status(s, n);
    } else if (strcmp(verb, "peers") == 0) {
        show_peers(s, n);
    } else if (strcmp(verb, "log") == 0) {
        show_log(s, n);
    } else {
        return kit_clock_command(&s->kit, n, verb, word_number(w, 2, 0), word_number(w, 3, 0));
    }
    if (e != 0) {
        script_out(s, oak_raft_error_text(e));
    }
    return true;
}

static void run_elect(struct script *s, const struct words *w)
{
    s->quiet = true;
    struct kit_node *n = kit_find(&s->kit, word_number(w, 1, 1));
    (void)oak_raft_campaign(n->r);
    kit_take(&s->kit, n);
    struct words all = {.count = 1};
    run_stabilize(s, &all);
    s->quiet = false;
}

void script_line(struct script *s, const char *line)
{
    struct words w;
    split(&w, line);
    const char *verb = w.w[0];
    static const char *const wire_verbs[] = {"deliver", "dup", "drop", "first", "last"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(verb, wire_verbs[i]) == 0) {
            run_wire(s, &w, (enum wire_verb)i);
            return;
        }
    }
    if (strcmp(verb, "cluster") == 0) {
        run_cluster(s, &w);
    } else if (strcmp(verb, "add") == 0) {
        s->limits.seed = word_number(&w, 1, 0) * 1000;
        (void)kit_add(&s->kit, word_number(&w, 1, 0), &s->limits);
    } else if (strcmp(verb, "join") == 0) {
        s->limits.seed = word_number(&w, 1, 0) * 1000;
        (void)kit_join(&s->kit, word_number(&w, 1, 0), &s->limits);
    } else if (strcmp(verb, "stabilize") == 0) {
        run_stabilize(s, &w);
    } else if (strcmp(verb, "elect") == 0) {
        run_elect(s, &w);
    } else if (strcmp(verb, "step") == 0) {
        run_step(s, &w);
    } else if (strcmp(verb, "start") == 0) {
        (void)kit_start(&s->kit, kit_find(&s->kit, word_number(&w, 1, 0)), word_number(&w, 2, 0));
    } else if (strcmp(verb, "damage") == 0) {
        kit_damage(&s->kit, kit_find(&s->kit, word_number(&w, 1, 0)), word_number(&w, 2, 0));
    } else if (strcmp(verb, "wire") == 0) {
        for (size_t i = 0; i < s->kit.wire_count; i++) {
            char text[512];
            kit_describe(&s->kit.wire[i].m, text, sizeof(text));
            script_out(s, text);
        }
    } else {
        bool all = w.count > 1 && strcmp(w.w[1], "all") == 0;
        for (size_t i = 0; i < s->kit.node_count; i++) {
            struct kit_node *n = &s->kit.nodes[i];
            if (n->r != NULL && (all || (w.count > 1 && n->id == number(w.w[1]))) &&
                !run_node(s, n, &w)) {
                outf(s, "what is '%s'?", verb);
            }
        }
    }
}
