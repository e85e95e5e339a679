/* SPDX-License-Identifier: Apache-2.0 */
/* transfer_fixture.h: a stage for tests of snapshots: three real nodes, of which one is away until
 * the others' log has left it behind. The checkers of the simulator look on after every event. The
 * disk of that node may be full, or flip a bit of what it reads, below its snapshots. */
#ifndef OAK_SIM_TRANSFER_FIXTURE_H
#define OAK_SIM_TRANSFER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sim/internal.h"

#define SCENE_NODES   3
#define SCENE_ENTRIES 100
#define SCENE_FRAMES  512
#define SCENE_TORN    24 /* bytes of a write that finds no space */

/* A disk between a node and its own. */
struct scene_disk {
    struct oak_disk real;
    struct oak_file *snap; /* the file below snap/ or store.next that was opened last */
    bool full;
    bool store_full;       /* no flush of its store finds space; a restore does */
    struct oak_file *past; /* the file of that name, while it is open */
    bool past_full;        /* it can't be written over */
    int flips;             /* reads of a snapshot's data that come back with a bit flipped */
};

struct scene {
    struct sim *s;
    struct oak_sim_options options;
    struct oak_sim_report report;
    struct scene_disk disk; /* of the one that is left behind */
    int leader;             /* when the scene begins */
    int victim;             /* the one that is left behind */
    int other;
    struct oak_replica_request put;
    bool put_done;
    unsigned puts;
    /* Frames of snapshots that passed by, while `record`. */
    struct oak_buf frames[SCENE_FRAMES];
    int frame_to[SCENE_FRAMES];
    size_t frame_count;
    bool record;
    bool hellos_lost;            /* frames in which members tell what they remember of each other */
    bool offers_lost;            /* frames of snapshots from `other` */
    uint64_t boots[SCENE_NODES]; /* of the last frame that each has sent */
};

static struct scene *scene_of(struct world *w)
{
    /* The simulation's options are the scene's. */
    struct sim *s = w->user;
    return OAK_CONTAINER_OF(s->options, struct scene, options);
}

static void scene_deliver(struct world *w, int to, int from, int group, struct oak_bytes frame)
{
    struct scene *sc = scene_of(w);
    struct node *n = &sc->s->nodes[to];
    (void)group;
    sc->boots[from] = oak_get_u64(frame.data + 40);
    if (sc->hellos_lost && frame.data[3] == OAK_PEER_HELLO) {
        return;
    }
    bool snap = frame.data[3] == OAK_PEER_CHUNK || frame.data[3] == OAK_PEER_CHUNK_ACK;
    if (sc->offers_lost && snap && from == sc->other) {
        return;
    }
    if (sc->record && snap && sc->frame_count < SCENE_FRAMES) {
        sc->frame_to[sc->frame_count] = to;
        assert_int_equal(oak_buf_append(&sc->frames[sc->frame_count], frame.data, frame.size), 0);
        sc->frame_count++;
    }
    if (n->up && !n->fatal) {
        oak_replica_receive(n->members[0].replica, frame);
    }
}

static bool scene_step(struct scene *sc)
{
    struct sim *s = sc->s;
    assert_true(world_step(&s->world));
    for (int i = 0; i < SCENE_NODES && !s->failed; i++) {
        if (s->world.touched < 0 || s->world.touched == i) {
            sim__node_look(&s->nodes[i], -1);
        }
    }
    return !s->failed;
}

static void scene_check(struct scene *sc)
{
    if (sc->s->failed) {
        fail_msg("%s", sc->report.what);
    }
}

static struct oak_replica_status scene_status(struct scene *sc, int node)
{
    struct oak_replica_status status = {0};
    if (sc->s->nodes[node].up) {
        oak_replica_status(sim__first(sc->s, node)->replica, &status);
    }
    return status;
}

/* Until it holds, within `ms` of virtual time. */
#define SCENE_UNTIL(sc, ms, holds)                                                 \
    do {                                                                           \
        uint64_t until_ = (sc)->s->world.now_ns + (uint64_t)(ms)*SIM_MS;           \
        while (!(holds)) {                                                         \
            if (!scene_step(sc)) {                                                 \
                scene_check(sc);                                                   \
            }                                                                      \
            if ((sc)->s->world.now_ns > until_) {                                  \
                fail_msg("%d: not within %d ms: %s", __LINE__, (int)(ms), #holds); \
            }                                                                      \
        }                                                                          \
    } while (0)

static void scene_run(struct scene *sc, uint64_t ms)
{
    uint64_t until = sc->s->world.now_ns + ms * SIM_MS;
    SCENE_UNTIL(sc, ms + 10000, sc->s->world.now_ns >= until);
}

static int scene_leader(struct scene *sc)
{
    int leader = -1;
    uint64_t term = 0;
    for (int i = 0; i < SCENE_NODES; i++) {
        struct oak_replica_status status = scene_status(sc, i);
        if (status.raft.role == OAK_RAFT_LEADER && status.raft.term > term) {
            leader = i;
            term = status.raft.term;
        }
    }
    return leader;
}

/* -- a change of the group --------------------------------------------------------------------- */

struct scene_asked {
    struct oak_replica_request request;
    int error;
    bool done;
};

static inline void scene_answered(struct oak_replica_request *request, int error,
                                  const struct oak_kv_result *result)
{
    struct scene_asked *a = OAK_CONTAINER_OF(request, struct scene_asked, request);
    (void)result;
    a->error = error;
    a->done = true;
}

/* The leader is asked for these nodes (a bit each) as voters, and for the others as learners. */
static inline void scene_regroup(struct scene *sc, unsigned voters, struct scene_asked *a)
{
    struct oak_replica *leader = sim__first(sc->s, scene_leader(sc))->replica;
    struct oak_raft_config target = *oak_replica_config(leader);
    *a = (struct scene_asked){.request.done = scene_answered};
    target.voter_count = target.learner_count = 0;
    for (int i = 0; i < SCENE_NODES; i++) {
        if ((voters >> i & 1) != 0) {
            target.voters[target.voter_count++] = sc->s->nodes[i].id;
        } else {
            target.learners[target.learner_count++] = sc->s->nodes[i].id;
        }
    }
    assert_int_equal(oak_replica_reconfigure(leader, &target, &a->request), 0);
}

/* ... for all as voters, but for `less` (-1: none). */
static inline void scene_lessen(struct scene *sc, int less, struct scene_asked *a)
{
    unsigned all = (1u << SCENE_NODES) - 1;
    scene_regroup(sc, less < 0 ? all : all & ~(1u << less), a);
}

static void scene_put_done(struct oak_replica_request *request, int error,
                           const struct oak_kv_result *result)
{
    struct scene *sc = OAK_CONTAINER_OF(request, struct scene, put);
    (void)error;
    (void)result;
    sc->put_done = true;
}

/* One put through `node`, waited for: `count` times. */
static void scene_puts(struct scene *sc, int node, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[24];
        const char *value = "as large as it may be"; /* the model holds no larger ones */
        snprintf(key, sizeof(key), "key/%u", ++sc->puts);
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        put.key = oak_proto_binary(oak_bytes_str(key));
        put.value = oak_proto_binary(oak_bytes_str(value));
        uint8_t packed[128];
        size_t size = etcdserverpb__put_request__pack(&put, packed);
        sc->put = (struct oak_replica_request){.done = scene_put_done};
        sc->put_done = false;
        assert_int_equal(oak_replica_propose(sim__first(sc->s, node)->replica, OAK_KV_PUT,
                                             oak_bytes(packed, size), &sc->put),
                         0);
        SCENE_UNTIL(sc, 20000, sc->put_done);
    }
}

static inline void scene_hand_over(struct scene *sc, int to)
{
    struct oak_replica *leader = sim__first(sc->s, scene_leader(sc))->replica;
    assert_int_equal(oak_replica_transfer(leader, sc->s->nodes[to].id), 0);
    SCENE_UNTIL(sc, 5000, scene_leader(sc) == to);
}

static void scene_cut(struct scene *sc, int node, bool cut)
{
    for (int i = 0; i < SCENE_NODES; i++) {
        if (i != node) {
            sc->s->world.cut[i][node] = cut;
            sc->s->world.cut[node][i] = cut;
        }
    }
}

/* -- the disk between -------------------------------------------------------------------------- */

static struct scene *scene_current; /* a disk's functions get the real disk's user */

static int scene_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    struct scene_disk *d = &scene_current->disk;
    bool snap = strstr(path, "/snap/") != NULL || strstr(path, "store.next") != NULL;
    bool flush = strstr(path, "/store/") != NULL && !snap;
    if (mode == OAK_FILE_CREATE && ((snap && d->full) || (flush && d->store_full))) {
        return OAK_ENOSPC;
    }
    int error = d->real.open(user, path, mode, out);
    if (error == 0 && snap) {
        d->snap = *out;
    }
    if (error == 0 && strstr(path, "/past") != NULL) {
        d->past = *out;
    }
    return error;
}

static int scene_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                       size_t size)
{
    struct scene_disk *d = &scene_current->disk;
    if (d->past_full && file == d->past) {
        /* Its head is on the disk, and the rest is not. */
        int error = d->real.write(user, file, offset, data, OAK_MIN(size, (size_t)SCENE_TORN));
        error = error != 0 ? error : d->real.sync(user, file);
        return error != 0 ? error : OAK_ENOSPC;
    }
    return d->full && file == d->snap ? OAK_ENOSPC : d->real.write(user, file, offset, data, size);
}

static int scene_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                      size_t *got)
{
    struct scene_disk *d = &scene_current->disk;
    int error = d->real.read(user, file, offset, out, size, got);
    if (error == 0 && file == d->snap && d->flips > 0 && *got > 100) {
        ((uint8_t *)out)[50] ^= 4;
        d->flips--;
    }
    return error;
}

static void scene_close(void *user, struct oak_file *file)
{
    struct scene_disk *d = &scene_current->disk;
    d->snap = d->snap == file ? NULL : d->snap;
    d->past = d->past == file ? NULL : d->past;
    d->real.close(user, file);
}

static void scene_disk_put(struct scene *sc)
{
    struct oak_disk *port =
        (struct oak_disk *)(uintptr_t)sim_disk_port(sc->s->world.machines[sc->victim].disk);
    scene_current = sc;
    sc->disk.real = *port;
    port->open = scene_open;
    port->write = scene_write;
    port->read = scene_read;
    port->close = scene_close;
}

/* -- from the beginning to the end ------------------------------------------------------------- */

/* The victim is cut off, and the log of the others begins behind where it stands. */
static void scene_leave_behind(struct scene *sc)
{
    scene_cut(sc, sc->victim, true);
    uint64_t had = scene_status(sc, sc->victim).raft.last;
    scene_puts(sc, sc->leader, SCENE_ENTRIES);
    SCENE_UNTIL(sc, 5000, scene_status(sc, sc->leader).raft.first > had + 1);
}

static void scene_join(struct scene *sc)
{
    scene_cut(sc, sc->victim, false);
}

static struct scene *scene_new(uint64_t seed, uint64_t rate)
{
    struct scene *sc = calloc(1, sizeof(*sc));
    struct sim *s = calloc(1, sizeof(*s));
    assert_true(sc != NULL && s != NULL);
    sc->s = s;
    struct plan_limits limits = sim__limits_usual();
    limits.away_ms = 1; /* who is away needs a snapshot */
    sc->options = (struct oak_sim_options){.seed = seed, .alloc = oak_alloc_libc()};
    *s = (struct sim){.options = &sc->options, .report = &sc->report, .settling = true};
    s->plan = (struct plan){
        .nodes = SCENE_NODES,
        .groups = 1,
        .flush_bytes = 4 * OAK_KIB,
        .tail_entries = 6,
        .segment_bytes = 64 * OAK_KIB,
        .limits = limits,
        .transfer = {.chunk_bytes = 256, .window_chunks = 4, .sync_chunks = 2, .rate = rate},
    };
    s->members.born = SCENE_NODES;
    oak_arena_init(&s->frame_arena, 4096, OAK_MIB);
    oak_prng_init(&s->transfer_prng, seed);
    world_init(&s->world, seed, SCENE_NODES);
    s->world.deliver = scene_deliver;
    s->world.user = s;
    s->world.delay_min_ns = SIM_MS / 5;
    s->world.delay_spread_ns = SIM_MS;
    sim__groups_make(s);
    for (int i = 0; i < SCENE_NODES; i++) {
        sim__node_init(s, i);
        sim__node_start(&s->nodes[i]);
    }
    SCENE_UNTIL(sc, 20000, scene_leader(sc) >= 0);
    sc->leader = scene_leader(sc);
    sc->victim = (sc->leader + 1) % SCENE_NODES;
    sc->other = (sc->leader + 2) % SCENE_NODES;
    scene_disk_put(sc);
    scene_puts(sc, sc->leader, 5);
    scene_leave_behind(sc);
    return sc;
}

static bool scene_equal(struct scene *sc)
{
    uint64_t last = 0;
    for (int i = 0; i < SCENE_NODES; i++) {
        last = OAK_MAX(last, scene_status(sc, i).raft.last);
    }
    return scene_leader(sc) >= 0 && scene_status(sc, scene_leader(sc)).raft.last == last &&
           sim__settled(sc->s);
}

static void scene_down(struct scene *sc)
{
    struct sim *s = sc->s;
    for (int i = 0; i < SCENE_NODES; i++) {
        sim__node_crash(&s->nodes[i]);
        sim__node_fini(&s->nodes[i]);
    }
    world_fini(&s->world);
    sim__groups_free(s);
    oak_arena_fini(&s->frame_arena);
    free(s);
    for (size_t i = 0; i < SCENE_FRAMES; i++) {
        oak_buf_fini(&sc->frames[i]);
    }
    free(sc);
}

/* All nodes come to hold the same, and what the log says; then the scene is taken down. */
static void scene_end(struct scene *sc)
{
    SCENE_UNTIL(sc, 120000, scene_equal(sc));
    sim__check_equal(&sc->s->groups[0]);
    scene_check(sc);
    scene_down(sc);
}

#endif
