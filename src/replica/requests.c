/* SPDX-License-Identifier: Apache-2.0 */
/* requests.c: commands and reads from the call of a client to its answer.
 *
 * A command gets a number whose low part is a slot in a table, is copied into `gathered`, and goes
 * into our log (when we lead), to the leader (when another does), or waits until somebody does. A
 * read waits for a read index; one confirmation round is under way at a time and answers all that
 * gathered before.
 *
 * A request ends exactly once: by its answer, its deadline, the loss of what carried it, or the
 * stop. After the loss of a leader a forwarded command may or may not have happened: its client is
 * told so (Unavailable with etcd's text), and nothing is sent twice.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

#include "base/zoo.h"

#define SLOT(id)          ((id) % OAK_PENDING_REQUESTS_MAX)
#define GATHERED_HEAD     12
#define FORWARD_BYTES_MAX OAK_APPEND_BYTES_MAX
/* Committed but not applied entries beyond which new commands are refused (etcd's number). */
#define APPLY_LAG_MAX    5000
#define PUBLISH_AGAIN_NS 1000000000ull

uint64_t replica__default_deadline(const struct oak_replica *r)
{
    return replica__now(r) + 5000000000ull + 2000000ull * r->options.election_ms;
}

const struct oak_replica_request *replica__request_find(const struct oak_replica *r, uint64_t id)
{
    const struct oak_replica_request *request = r->slots[SLOT(id)];
    return request != NULL && request->id == id ? request : NULL;
}

struct oak_replica_request *replica__request_take(struct oak_replica *r, uint64_t id)
{
    struct oak_replica_request *request = r->slots[SLOT(id)];
    if (request == NULL || request->id != id) {
        return NULL;
    }
    r->slots[SLOT(id)] = NULL;
    OAK_ASSERT_GT(r->pending, 0);
    r->pending--;
    return request;
}

void replica__request_end(struct oak_replica *r, struct oak_replica_request *request, int error,
                          const struct oak_kv_result *result)
{
    OAK_ASSERT_NE(request->state, REQUEST_IDLE);
    bool read = request->state >= REQUEST_READ_NEW;
    request->state = REQUEST_IDLE;
    if (read) {
        OAK_ASSERT_GT(r->reads_pending, 0);
        r->reads_pending--;
        r->counters.reads_failed += error != 0 ? 1 : 0;
    } else if (result == NULL) {
        r->counters.proposals_failed++;
    }
    request->done(request, error, result);
}

static void command_end(struct oak_replica *r, uint64_t id, int error)
{
    struct oak_replica_request *request = replica__request_take(r, id);
    if (request != NULL) {
        replica__request_end(r, request, error, NULL);
    }
}

static int gather(struct oak_replica *r, uint64_t id, enum oak_kv_kind kind, struct oak_bytes bytes,
                  const struct oak_authz_who *who)
{
    const struct oak_kv_command command = {
        .kind = kind, .origin = r->options.id, .id = id, .who = *who};
    size_t head = oak_kv_header_bytes(&command);
    size_t size = head + bytes.size;
    size_t most = OAK_MIN(r->options.uncommitted_bytes, pace_backlog(&r->pace));
    if (r->gathered.size > 0 && r->gathered.size + GATHERED_HEAD + size > most &&
        !OAK_BUG(proposals_without_end)) {
        return OAK_ETOOMANYREQUESTS;
    }
    int error = oak_buf_reserve(&r->gathered, GATHERED_HEAD + size);
    if (error != 0) {
        return error;
    }
    uint8_t *p = r->gathered.data + r->gathered.size;
    oak_put_u64(p, id);
    oak_put_u32(p + 8, (uint32_t)size);
    oak_kv_command_encode(&command, p + GATHERED_HEAD);
    if (bytes.size > 0) {
        memcpy(p + GATHERED_HEAD + head, bytes.data, bytes.size);
    }
    r->gathered.size += GATHERED_HEAD + size;
    return 0;
}

int oak_replica_propose(struct oak_replica *r, enum oak_kv_kind kind, struct oak_bytes bytes,
                        struct oak_replica_request *request)
{
    OAK_ASSERT_EQ(request->state, REQUEST_IDLE);
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (bytes.size > r->options.request_bytes_max) {
        return OAK_EREQUESTTOOLARGE;
    }
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    uint64_t id = r->counter + 1;
    if (r->slots[SLOT(id)] != NULL || status.commit - status.applied > APPLY_LAG_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    int error = gather(r, id, kind, bytes, &request->who);
    if (error != 0) {
        return error;
    }
    r->counter = id;
    r->slots[SLOT(id)] = request;
    r->pending++;
    request->id = id;
    request->forward_seq = 0;
    request->state = REQUEST_GATHERED;
    if (request->deadline_ns == 0) {
        request->deadline_ns = replica__default_deadline(r);
    }
    return 0;
}

void oak_replica_forget(struct oak_replica *r, struct oak_replica_request *request)
{
    if (request->state == REQUEST_IDLE) {
        return;
    }
    if (request->state == REQUEST_CHANGING) {
        replica__change_forget(r, request);
    } else if (request->state >= REQUEST_READ_NEW) {
        oak_list_remove(&request->link);
        r->reads_pending--;
    } else {
        struct oak_replica_request *taken = replica__request_take(r, request->id);
        OAK_ASSERT(taken == request);
    }
    request->state = REQUEST_IDLE;
}

/* -- commands on their way --------------------------------------------------------------------- */

/* False: it is not its turn yet. */
static bool propose_one(struct oak_replica *r, uint64_t id, struct oak_bytes command)
{
    struct oak_replica_request *request = r->slots[SLOT(id)];
    if (request == NULL || request->id != id) {
        return true; /* its client is gone, and it went nowhere yet */
    }
    if (replica__space_refuses(r, command)) {
        command_end(r, id, OAK_ENOSPACE);
        return true;
    }
    if (!pace_admit(&r->pace, replica__now(r), command.size)) {
        return false;
    }
    uint64_t term = 0;
    int error = oak_raft_propose(r->raft, command.data, command.size, NULL, &term);
    if (error != 0) {
        command_end(r, id, error == OAK_RAFT_EBUSY ? OAK_ETOOMANYREQUESTS : OAK_ENOMEM);
        return true;
    }
    request->state = REQUEST_PROPOSED;
    request->forward_seq = term;
    return true;
}

static void forward_flush(struct oak_replica *r, uint64_t leader, struct oak_buf *commands)
{
    if (commands->size == 0) {
        return;
    }
    struct oak_peer_frame frame = {
        .kind = OAK_PEER_FORWARD,
        .u.forward = {.seq = r->forward_seq, .commands = oak_buf_bytes(commands)},
    };
    replica__send(r, leader, false, &frame);
    oak_buf_clear(commands);
    r->forward_seq++;
}

static void forward_one(struct oak_replica *r, uint64_t leader, uint64_t id,
                        struct oak_bytes command, struct oak_buf *commands)
{
    struct oak_replica_request *request = r->slots[SLOT(id)];
    if (request == NULL || request->id != id) {
        return;
    }
    if (commands->size + command.size > FORWARD_BYTES_MAX) {
        forward_flush(r, leader, commands);
    }
    uint8_t size[4];
    oak_put_u32(size, (uint32_t)command.size);
    if (oak_buf_append(commands, size, 4) != 0 ||
        oak_buf_append(commands, command.data, command.size) != 0) {
        replica__fatal(r, OAK_ENOMEM, "forwarding commands");
        return;
    }
    request->state = REQUEST_FORWARDED;
    request->forward_seq = r->forward_seq;
}

/* What is left of `work` behind `at` comes before what has gathered meanwhile. */
static void gathered_keep(struct oak_replica *r, struct oak_buf *work, size_t at)
{
    work->size -= at;
    memmove(work->data, work->data + at, work->size);
    if (r->gathered.size == 0) {
        oak_buf_fini(&r->gathered);
        r->gathered = *work; /* with its memory */
        return;
    }
    if (work->size > 0) {
        if (oak_buf_append(work, r->gathered.data, r->gathered.size) != 0) {
            replica__fatal(r, OAK_ENOMEM, "keeping commands");
        }
        struct oak_buf newer = r->gathered;
        r->gathered = *work;
        *work = newer;
    }
    oak_buf_fini(work);
}

void replica__dispatch(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    replica__held_release(r);
    if (r->gathered.size == 0 || status.leader == 0 || status.transfer != 0) {
        return;
    }
    bool lead = status.role == OAK_RAFT_LEADER;
    const struct remote *leader = lead ? NULL : replica__remote(r, status.leader);
    if (!lead && (leader == NULL || !leader->reachable)) {
        return; /* a leader that is not there: wait for it, or for the next one */
    }
    struct oak_buf work = r->gathered; /* ends of requests may gather new ones */
    r->gathered = (struct oak_buf){0};
    struct oak_buf commands = {0};
    size_t at = 0;
    while (at < work.size && !r->failed) {
        uint64_t id = oak_get_u64(work.data + at);
        size_t size = oak_get_u32(work.data + at + 8);
        struct oak_bytes command = oak_bytes(work.data + at + GATHERED_HEAD, size);
        if (!lead) {
            forward_one(r, status.leader, id, command, &commands);
        } else if (!propose_one(r, id, command)) {
            break;
        }
        at += GATHERED_HEAD + size;
    }
    if (!r->failed && !lead) {
        forward_flush(r, status.leader, &commands);
    }
    oak_buf_fini(&commands);
    gathered_keep(r, &work, at);
}

static void each_pending(struct oak_replica *r,
                         bool (*ends)(const struct oak_replica_request *q, uint64_t arg),
                         uint64_t arg, int error)
{
    uint64_t newest = r->counter;
    while (r->oldest <= newest && r->slots[SLOT(r->oldest)] == NULL) {
        r->oldest++;
    }
    for (uint64_t id = r->oldest; id <= newest; id++) {
        const struct oak_replica_request *request = replica__request_find(r, id);
        if (request != NULL && ends(request, arg)) {
            command_end(r, id, error);
        }
    }
}

static bool is_overtaken(const struct oak_replica_request *q, uint64_t term)
{
    return q->state == REQUEST_PROPOSED && q->forward_seq < term;
}

void replica__requests_overtaken(struct oak_replica *r, uint64_t term)
{
    /* The log's terms never fall: with an entry of `term` applied, what we proposed under a lower
     * one and has not been applied is gone for good. (forward_seq holds the term of our own
     * proposals.) */
    each_pending(r, is_overtaken, term, OAK_ELEADERCHANGED);
}

static bool is_forwarded(const struct oak_replica_request *q, uint64_t seq)
{
    return q->state == REQUEST_FORWARDED && (seq == 0 || q->forward_seq == seq);
}

void replica__forwards_fail(struct oak_replica *r, uint64_t seq, int error)
{
    each_pending(r, is_forwarded, seq, error);
}

void replica__forward_refuse(struct oak_replica *r, uint64_t from, uint64_t seq, int error)
{
    struct oak_peer_frame answer = {
        .kind = OAK_PEER_REFUSED,
        .u.refused = {.seq = seq, .error = error},
    };
    replica__send(r, from, false, &answer);
}

void replica__forward_propose(struct oak_replica *r, uint64_t from, uint64_t seq,
                              struct oak_bytes commands)
{
    struct oak_reader reader = oak_reader(commands);
    int refused = replica__space_refuses_any(r, commands) ? OAK_ENOSPACE : 0;
    size_t proposed = 0;
    while (refused == 0 && oak_reader_left(&reader) > 0) {
        uint32_t size = oak_read_u32(&reader);
        struct oak_bytes command = oak_read_bytes(&reader, size);
        struct oak_kv_command decoded;
        if (reader.failed || oak_kv_command_decode(command, &decoded) != 0) {
            oak_log(r->options.log, OAK_LOG_WARN, "a forwarded command is malformed: dropped");
            return;
        }
        int error = oak_raft_propose(r->raft, command.data, command.size, NULL, NULL);
        if (error != 0) {
            refused = error == OAK_RAFT_EBUSY ? OAK_ETOOMANYREQUESTS : OAK_ENOTLEADER;
        }
        proposed += error == 0 ? 1 : 0;
    }
    /* "Refused" promises that nothing of the forward will happen. When a part of it may, the rest
     * is left to its deadlines: those clients are told that they can't know. */
    if (refused != 0 && proposed == 0) {
        replica__forward_refuse(r, from, seq, refused);
    }
}

void replica__forward_take(struct oak_replica *r, struct remote *from,
                           const struct oak_peer_frame *frame)
{
    const struct oak_peer_forward *forward = &frame->u.forward;
    bool again = forward->seq <= from->forward_seq && !OAK_BUG(forward_taken_twice);
    if (frame->address.to_boot != r->boot || again) {
        return; /* meant for an earlier run of ours, or repeated, or overtaken: never twice */
    }
    from->forward_seq = forward->seq;
    if (r->pace.laggard != 0 || r->held.size > 0) {
        replica__forward_hold(r, from, forward->seq, forward->commands);
    } else {
        (void)pace_admit(&r->pace, replica__now(r), forward->commands.size);
        replica__forward_propose(r, from->id, forward->seq, forward->commands);
    }
}

/* -- reads ------------------------------------------------------------------------------------- */

int oak_replica_read(struct oak_replica *r, struct oak_replica_request *request)
{
    OAK_ASSERT_EQ(request->state, REQUEST_IDLE);
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (r->reads_pending >= OAK_PENDING_REQUESTS_MAX) {
        return OAK_ETOOMANYREQUESTS;
    }
    r->reads_pending++;
    request->state = REQUEST_READ_NEW;
    if (request->deadline_ns == 0) {
        request->deadline_ns = replica__default_deadline(r);
    }
    request->link = (struct oak_list){0};
    oak_list_push(&r->reads_new, &request->link);
    return 0;
}

void replica__reads_ask(struct oak_replica *r)
{
    if (oak_list_empty(&r->reads_new) || !oak_list_empty(&r->reads_sent)) {
        return;
    }
    uint64_t seq = 0;
    if (oak_raft_read(r->raft, &seq) != 0) {
        return; /* no leader: they wait for one, up to their deadlines */
    }
    r->counters.reads_asked++;
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    bool own = OAK_BUG(read_own_commit) && status.role == OAK_RAFT_FOLLOWER;
    bool fallen = replica__leases_on(r) && status.role == OAK_RAFT_LEADER;
    while (!oak_list_empty(&r->reads_new)) {
        struct oak_list *node = oak_list_pop(&r->reads_new);
        struct oak_replica_request *request =
            OAK_LIST_ENTRY(node, struct oak_replica_request, link);
        r->counters.reads_indexed++;
        r->counters.reads_fallen_back += fallen ? 1 : 0;
        request->state = own ? REQUEST_READ_WAIT : REQUEST_READ_SENT;
        request->id = own ? status.commit : seq;
        oak_list_push(own ? &r->reads_wait : &r->reads_sent, node);
    }
}

void replica__reads_done(struct oak_replica *r, const struct oak_raft_read_done *done)
{
    while (!oak_list_empty(&r->reads_sent)) {
        struct oak_replica_request *request =
            OAK_LIST_ENTRY(r->reads_sent.next, struct oak_replica_request, link);
        if (request->id > done->seq) {
            return;
        }
        oak_list_remove(&request->link);
        request->state = done->lost ? REQUEST_READ_NEW : REQUEST_READ_WAIT;
        request->id = done->lost ? 0 : done->index;
        oak_list_push(done->lost ? &r->reads_new : &r->reads_wait, &request->link);
    }
}

/* -- ends that come by themselves -------------------------------------------------------------- */

static bool is_due(const struct oak_replica_request *q, uint64_t now)
{
    return q->deadline_ns <= now;
}

static void reads_end(struct oak_replica *r, struct oak_list *list, uint64_t now, int error)
{
    struct oak_list due;
    oak_list_init(&due);
    for (struct oak_list *node = list->next; node != list;) {
        struct oak_replica_request *request =
            OAK_LIST_ENTRY(node, struct oak_replica_request, link);
        node = node->next;
        if (is_due(request, now)) {
            oak_list_remove(&request->link);
            oak_list_push(&due, &request->link);
        }
    }
    while (!oak_list_empty(&due)) {
        struct oak_list *node = oak_list_pop(&due);
        replica__request_end(r, OAK_LIST_ENTRY(node, struct oak_replica_request, link), error,
                             NULL);
    }
}

static void requests_end(struct oak_replica *r, uint64_t now, int error)
{
    each_pending(r, is_due, now, error);
    replica__change_expire(r, now, error);
    reads_end(r, &r->reads_new, now, error);
    reads_end(r, &r->reads_sent, now, error);
    reads_end(r, &r->reads_wait, now, error);
}

void replica__requests_expire(struct oak_replica *r)
{
    bool leader = r->leader_seen != 0;
    if (OAK_BUG(expiry_forgotten)) {
        return;
    }
    int error = leader ? OAK_ETIMEOUT : OAK_ETIMEOUTLEADERFAIL;
    requests_end(r, replica__now(r), error);
    replica__asks_end(r, replica__now(r), error);
}

void replica__requests_stop(struct oak_replica *r)
{
    requests_end(r, UINT64_MAX, OAK_ESTOPPED);
    replica__asks_end(r, UINT64_MAX, OAK_ESTOPPED);
}

/* -- what this member tells of itself ---------------------------------------------------------- */

static void publish_done(struct oak_replica_request *request, int error,
                         const struct oak_kv_result *result)
{
    struct oak_replica *r = OAK_CONTAINER_OF(request, struct oak_replica, publish);
    (void)error;
    (void)result;
    r->publishing = false;
}

static bool published(const struct oak_replica *r)
{
    const struct oak_kv_member *it = oak_kv_member(r->kv, r->options.id);
    bool same = it != NULL && it->published && strcmp(it->name, r->options.name) == 0 &&
                it->client_url_count == r->options.client_url_count &&
                (it->peer_url_count > 0 || r->options.peer_url_count == 0);
    for (size_t i = 0; same && i < it->client_url_count; i++) {
        same = strcmp(it->client_urls[i], r->options.client_urls[i]) == 0;
    }
    return same;
}

void replica__publish(struct oak_replica *r)
{
    uint64_t now = replica__now(r);
    if (r->newborn.open || r->publishing || now < r->publish_again_ns || r->leader_seen == 0 ||
        published(r)) {
        return;
    }
    Etcdserverpb__Member member = ETCDSERVERPB__MEMBER__INIT;
    member.id = r->options.id;
    member.name = (char *)(uintptr_t)r->options.name;
    member.n_clienturls = r->options.client_url_count;
    member.clienturls = (char **)(uintptr_t)r->options.client_urls;
    member.n_peerurls = r->options.peer_url_count;
    member.peerurls = (char **)(uintptr_t)r->options.peer_urls;
    uint8_t packed[8192];
    if (etcdserverpb__member__get_packed_size(&member) > sizeof(packed)) {
        oak_log(r->options.log, OAK_LOG_ERROR,
                "name and URLs are too long to be published: shorten them");
        r->publish_again_ns = UINT64_MAX;
        return;
    }
    size_t size = etcdserverpb__member__pack(&member, packed);
    r->publish.done = publish_done;
    r->publish.deadline_ns = 0;
    r->publish_again_ns = now + PUBLISH_AGAIN_NS;
    r->publishing =
        oak_replica_propose(r, OAK_KV_PUBLISH, oak_bytes(packed, size), &r->publish) == 0;
}
