/* SPDX-License-Identifier: Apache-2.0 */
/* compactor.c: see compactor.h; and the timer that asks it.
 *
 * Thread  the loop's.
 */
#include "api/compactor.h"

#include <stdlib.h>

#include "api/internal.h"

#define HOUR_NS           (3600 * 1000000000ull)
#define REVISIONS_STEP_NS (300 * 1000000000ull)

static void note(struct api_compactor *c, int64_t revision)
{
    if (c->count == c->room) {
        c->first = (c->first + 1) % c->room;
        c->count--;
    }
    c->notes[(c->first + c->count) % c->room] = revision;
    c->count++;
}

int api__compactor_init(struct api_compactor *c, enum oak_api_compaction mode, uint64_t retention,
                        uint64_t now_ns, int64_t revision)
{
    *c = (struct api_compactor){.mode = mode, .retention = retention, .success_ns = now_ns};
    c->step_ns = REVISIONS_STEP_NS;
    if (mode == OAK_API_COMPACTION_REVISION || retention == 0) {
        return 0;
    }
    c->pause_ns = retention; /* the first time, then as below */
    c->step_ns = OAK_MAX(OAK_MIN(retention, HOUR_NS) / 10, (uint64_t)1);
    c->room = (size_t)(retention / c->step_ns) + 1;
    OAK_ASSERT_LE(c->room, OAK_COMPACTION_NOTES_MAX);
    c->notes = calloc(c->room, sizeof(*c->notes));
    if (c->notes == NULL) {
        return OAK_ENOMEM;
    }
    note(c, revision);
    return 0;
}

void api__compactor_fini(struct api_compactor *c)
{
    free(c->notes);
    c->notes = NULL;
}

int64_t api__compactor_step(struct api_compactor *c, uint64_t now_ns, int64_t revision, bool leads)
{
    int64_t at = 0;
    if (c->mode == OAK_API_COMPACTION_REVISION) {
        at = (uint64_t)revision > c->retention ? revision - (int64_t)c->retention : 0;
    } else {
        /* What was noted a retention ago, before this step's own note. */
        at = c->count > 0 && now_ns - c->success_ns >= c->pause_ns ? c->notes[c->first] : 0;
        note(c, revision);
    }
    return leads && at != c->last ? at : 0;
}

void api__compactor_done(struct api_compactor *c, uint64_t now_ns, int64_t revision)
{
    c->last = revision;
    c->success_ns = now_ns;
    c->pause_ns = OAK_MIN(c->retention, HOUR_NS);
}

/* -- in a server ------------------------------------------------------------------------------- */

static uint64_t now_of(const struct oak_api *api)
{
    const struct oak_clock *clock = &api->options.loop->clock;
    return clock->mono_ns(clock->user);
}

static void compacted(struct oak_replica_request *request, int error,
                      const struct oak_kv_result *result)
{
    struct api_compaction *a = OAK_CONTAINER_OF(request, struct api_compaction, request);
    struct oak_api *api = OAK_CONTAINER_OF(a, struct oak_api, compaction);
    (void)result;
    a->asked = false;
    if (error == 0 || error == OAK_ECOMPACTED) {
        api__compactor_done(&a->compactor, now_of(api), a->revision);
        oak_log(api->options.log, OAK_LOG_INFO, "history is compacted at revision %lld by itself",
                (long long)a->revision);
    } else {
        oak_log(api->options.log, OAK_LOG_WARN,
                "history can't be compacted at revision %lld: %s; it will be tried again",
                (long long)a->revision, oak_error_text(error));
    }
}

static void propose(struct oak_api *api, int64_t revision)
{
    struct api_compaction *a = &api->compaction;
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    uint8_t packed[32];
    request.revision = a->revision = revision;
    size_t size = etcdserverpb__compaction_request__get_packed_size(&request);
    OAK_ASSERT_LE(size, sizeof(packed));
    etcdserverpb__compaction_request__pack(&request, packed);
    a->request = (struct oak_replica_request){.done = compacted};
    a->asked = oak_replica_propose(api->options.replica, OAK_KV_COMPACT_OWN,
                                   oak_bytes(packed, size), &a->request) == 0;
}

static void step_fire(struct oak_timer *timer)
{
    struct api_compaction *a = OAK_CONTAINER_OF(timer, struct api_compaction, timer);
    struct oak_api *api = OAK_CONTAINER_OF(a, struct oak_api, compaction);
    const struct oak_timers *timers = &api->options.loop->timers;
    struct oak_replica_status status;
    oak_replica_status(api->options.replica, &status);
    uint64_t now = now_of(api);
    bool leads = status.raft.role == OAK_RAFT_LEADER && !a->asked;
    int64_t at = api__compactor_step(
        &a->compactor, now, oak_kv_state(oak_replica_kv(api->options.replica))->revision, leads);
    if (at > 0) {
        propose(api, at);
    }
    timers->set(timers->user, &a->timer, now + a->compactor.step_ns);
}

int api__compaction_start(struct oak_api *api)
{
    struct api_compaction *a = &api->compaction;
    const struct oak_timers *timers = &api->options.loop->timers;
    int error = api__compactor_init(&a->compactor, api->options.compaction_mode,
                                    api->options.compaction_retention, now_of(api),
                                    oak_kv_state(oak_replica_kv(api->options.replica))->revision);
    if (error == 0 && a->compactor.retention > 0) {
        a->timer.fire = step_fire;
        timers->set(timers->user, &a->timer, now_of(api) + a->compactor.step_ns);
    }
    return error;
}

void api__compaction_stop(struct oak_api *api)
{
    struct api_compaction *a = &api->compaction;
    const struct oak_timers *timers = &api->options.loop->timers;
    timers->stop(timers->user, &a->timer);
    oak_replica_forget(api->options.replica, &a->request);
    a->asked = false;
}
