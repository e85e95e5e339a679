/* SPDX-License-Identifier: Apache-2.0 */
/* members.c: who is in the group, as the log says it.
 *
 * There are two answers at a time. The configuration in force is the core's: the newest in the log.
 * The one applied belongs to the state, as everything that was applied does: it lies in the store
 * under a name of its own, goes there in the batch of its entry, is in every snapshot, and is what
 * a start gives to the core, which adds what is in the log behind it. A store from before there was
 * such a name stands at the configuration it was born with.
 *
 * Rows of other members follow the one in force. A frame from a member that is in no configuration
 * here is heard all the same: who joins learns from its first leader that there is a group at all.
 *
 * Thread: the loop's.
 */
#include "replica/internal.h"

/* Beside the names of kv ("member/..."). */
#define CONFIG_KEY "raft/config"

struct config_find {
    struct oak_raft_config config;
    bool found;
    int error;
};

static void config_each(void *arg, struct oak_bytes key, struct oak_bytes data)
{
    struct config_find *find = arg;
    if (!oak_bytes_eq(key, oak_bytes_str(CONFIG_KEY))) {
        return;
    }
    find->found = true;
    if (oak_raft_config_decode(data.data, data.size, &find->config) != OAK_RAFT_OK) {
        find->error = OAK_ECORRUPT;
    }
}

static int config_put(struct oak_replica *r, const struct oak_raft_config *config)
{
    uint8_t bytes[OAK_RAFT_CONFIG_BYTES_MAX];
    size_t size = oak_raft_config_encode(config, bytes);
    return oak_store_meta_put(r->options.store, oak_bytes_str(CONFIG_KEY), oak_bytes(bytes, size));
}

int replica__config_load(struct oak_replica *r)
{
    struct config_find find = {.config = r->options.bootstrap};
    int error = oak_store_meta_each(r->options.store, config_each, &find);
    if (error != 0 || find.error != 0) {
        return error != 0 ? error : find.error;
    }
    r->config_applied = find.config;
    if (find.found) {
        return 0;
    }
    /* Now there is one, for the snapshots that others get of this store. */
    error = config_put(r, &find.config);
    return error != 0 ? error
                      : oak_store_commit(r->options.store, oak_store_state(r->options.store));
}

/* -- rows of other members --------------------------------------------------------------------- */

static bool ids_have(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool replica__config_votes(const struct oak_raft_config *c, uint64_t id)
{
    return ids_have(c->voters, c->voter_count, id) ||
           ids_have(c->voters_outgoing, c->voter_outgoing_count, id);
}

bool replica__config_names(const struct oak_raft_config *c, uint64_t id)
{
    return replica__config_votes(c, id) || ids_have(c->learners, c->learner_count, id);
}

struct remote *replica__remote_admit(struct oak_replica *r, uint64_t id)
{
    struct remote *remote = replica__remote(r, id);
    if (remote != NULL) {
        return remote;
    }
    if (r->remote_count < OAK_COUNT_OF(r->remotes)) {
        remote = &r->remotes[r->remote_count];
        r->remote_count++;
    }
    for (size_t i = 0; i < r->remote_count && remote == NULL; i++) {
        if (!replica__config_names(oak_raft_config(r->raft), r->remotes[i].id)) {
            remote = &r->remotes[i];
        }
    }
    if (remote != NULL) {
        *remote = (struct remote){.id = id};
    }
    return remote;
}

static void ids_admit(struct oak_replica *r, const uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] != r->options.id) {
            struct remote *remote = replica__remote_admit(r, ids[i]);
            OAK_ASSERT(remote != NULL); /* there are no more members than rows */
        }
    }
}

void replica__members_follow(struct oak_replica *r)
{
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    const struct oak_raft_config *config = oak_raft_config(r->raft);
    uint64_t version = oak_kv_members_version(r->kv);
    bool news = version != r->members_version;
    r->members_version = version;
    if (r->config_followed && status.config_index == r->config_index) {
        if (news && r->options.members_changed != NULL) {
            r->options.members_changed(r->options.user, config);
        }
        return;
    }
    r->config_followed = true;
    r->config_index = status.config_index;
    ids_admit(r, config->voters, config->voter_count);
    ids_admit(r, config->learners, config->learner_count);
    ids_admit(r, config->voters_outgoing, config->voter_outgoing_count);
    oak_log(
        r->options.log, OAK_LOG_INFO,
        "the group as of index %llu: %u voters, %u learners, %u voters on their way out, leases "
        "for reads of %u ms (0: none), clocks within %u ppm",
        (unsigned long long)status.config_index, config->voter_count, config->learner_count,
        config->voter_outgoing_count, config->lease_ms, config->drift_ppm);
    if (r->options.members_changed != NULL) {
        r->options.members_changed(r->options.user, config);
    }
}

/* -- a change ---------------------------------------------------------------------------------- */

static void change_end(struct oak_replica *r, int error)
{
    struct oak_replica_request *request = r->changing.request;
    r->changing.request = NULL;
    if (request != NULL) {
        request->state = REQUEST_IDLE;
        request->done(request, error, NULL);
    }
}

static int error_of(int raft_error)
{
    switch (raft_error) {
    case OAK_RAFT_OK:
        return 0;
    case OAK_RAFT_ENOTLEADER:
        return OAK_ENOTLEADER;
    case OAK_RAFT_EPENDING:
        return OAK_EAGAIN;
    case OAK_RAFT_ENOTREADY:
        return OAK_ELEARNERNOTREADY;
    case OAK_RAFT_ENOMEM:
        return OAK_ENOMEM;
    default:
        return OAK_EINVAL;
    }
}

bool replica__may_vote(const struct oak_replica *r, uint64_t id)
{
    bool may = id == r->options.id;
    for (size_t i = 0; i < r->remote_count; i++) {
        const struct acquaintance *it = &r->remotes[i].it;
        bool known = it->accepted && it->past != OAK_PEER_FORGOT;
        may = may || (r->remotes[i].id == id && known);
    }
    return may;
}

/* A new voter whose word would be missing: the change could not be finished, nor be taken back. */
static bool waits_for_a_voter(const struct oak_replica *r, const struct oak_raft_config *target)
{
    const struct oak_raft_config *now = oak_raft_config(r->raft);
    for (uint32_t i = 0; i < target->voter_count; i++) {
        uint64_t id = target->voters[i];
        if (!ids_have(now->voters, now->voter_count, id) && !replica__may_vote(r, id)) {
            return true;
        }
    }
    return false;
}

int oak_replica_reconfigure(struct oak_replica *r, const struct oak_raft_config *target,
                            struct oak_replica_request *request)
{
    OAK_ASSERT_EQ(request->state, REQUEST_IDLE);
    if (r->closing || r->failed) {
        return OAK_ESTOPPED;
    }
    if (r->changing.request != NULL) {
        return OAK_EAGAIN;
    }
    if (oak_raft_config_check(target) != OAK_RAFT_OK) {
        return OAK_EINVAL;
    }
    r->changing = (struct changing){.request = request, .target = *target};
    request->state = REQUEST_CHANGING;
    if (request->deadline_ns == 0) {
        request->deadline_ns = replica__default_deadline(r);
    }
    return 0;
}

void replica__change_dispatch(struct oak_replica *r)
{
    struct changing *c = &r->changing;
    if (c->request == NULL || c->index != 0) {
        return;
    }
    struct oak_raft_status status;
    oak_raft_status(r->raft, &status);
    int error = status.role == OAK_RAFT_LEADER && waits_for_a_voter(r, &c->target)
                    ? OAK_ELEARNERNOTREADY
                    : error_of(oak_raft_change(r->raft, &c->target, &c->index, &c->term));
    if (error != 0) {
        change_end(r, error);
    }
}

void replica__change_forget(struct oak_replica *r, struct oak_replica_request *request)
{
    OAK_ASSERT(r->changing.request == request);
    r->changing.request = NULL;
    request->state = REQUEST_IDLE;
}

void replica__change_expire(struct oak_replica *r, uint64_t now, int error)
{
    if (r->changing.request != NULL && r->changing.request->deadline_ns <= now) {
        change_end(r, error);
    }
}

int replica__config_apply(struct oak_replica *r, const struct oak_raft_entry *entry)
{
    struct oak_raft_config config;
    int e = oak_raft_config_decode(entry->data, entry->size, &config);
    OAK_ASSERT_EQ(e, OAK_RAFT_OK); /* the core has checked it */
    r->config_applied = config;
    return config_put(r, &config);
}

void replica__change_note(struct oak_replica *r, const struct oak_raft_entry *entry)
{
    /* Another leader's entry may stand in the place of ours. */
    struct changing *c = &r->changing;
    c->lost = c->lost || (c->index == entry->index && c->term != entry->term);
}

void replica__change_applied(struct oak_replica *r)
{
    const struct changing *c = &r->changing;
    if (c->request == NULL || c->index == 0 || oak_kv_state(r->kv)->applied < c->index) {
        return;
    }
    if (c->lost) {
        change_end(r, OAK_ELEADERCHANGED);
    } else if (r->config_applied.voter_outgoing_count == 0) {
        change_end(r, 0);
    }
}

int replica__config_installed(struct oak_replica *r, const struct oak_raft_snapshot *snapshot)
{
    int error = replica__config_load(r);
    bool same = memcmp(&r->config_applied, &snapshot->config, sizeof(snapshot->config)) == 0;
    if (error == 0 && !same) {
        /* Its sender's store had no name for it. */
        r->config_applied = snapshot->config;
        error = config_put(r, &snapshot->config);
        if (error == 0) {
            error = oak_store_commit(r->options.store, oak_store_state(r->options.store));
        }
    }
    return error;
}

const struct oak_raft_config *oak_replica_config(const struct oak_replica *r)
{
    return oak_raft_config(r->raft);
}

const struct oak_raft_config *oak_replica_config_applied(const struct oak_replica *r)
{
    return &r->config_applied;
}
