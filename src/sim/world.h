/* SPDX-License-Identifier: Apache-2.0 */
/* world.h: virtual time, chance, and the answers to port.h.
 *
 * The world is a heap of events in the order of their time; equal times keep the order of their
 * making. An event belongs to a node's run (`life`): when the node crashes, its events die with it.
 */
#ifndef OAK_SIM_WORLD_H
#define OAK_SIM_WORLD_H

#include "port/port.h"
#include "sim/disk.h"

#define SIM_NODES_MAX 7
#define SIM_MS        1000000ull
/* Frames kept for later. */
#define SIM_OLD_FRAMES 64

struct world;

struct event {
    uint64_t at_ns;
    uint64_t tie;   /* orders events of one moment: that of their making, or chance after a pause */
    uint64_t order; /* the number of this event */
    int node;       /* -1: the world's own */
    uint64_t life;  /* of the node, when it was made */
    void (*run)(struct world *w, struct event *e);
    void *arg;
    struct oak_bytes bytes; /* owned: freed with the event */
    int from;
    int group;   /* of a frame; -1: no frame */
    bool queued; /* it has waited for its turn on a slow machine */
};

/* The moment of a task at which the machine loses its power. */
enum doom {
    DOOM_NONE,
    DOOM_LOG_BEFORE, /* the log writer has come to its task, and has not begun it */
    DOOM_LOG_AFTER,  /* all is on disk, and nobody has heard */
    DOOM_WORKER_BEFORE,
    DOOM_WORKER_AFTER,
    DOOM_LOOP_BEFORE, /* what an actor brings back is not taken any more */
    DOOM_LOOP_AFTER,  /* it was taken, and what follows from it may be under way */
    DOOM_COUNT,
};

/* clocks.c: what a machine's clocks show. Zeros: the world's time. */
struct sim_clock {
    uint64_t ahead_ppm, behind_ppm; /* its rate, */
    uint64_t since_ns, shown_ns;    /* since this moment, when it showed that */
    uint64_t wall_off_ns;
    uint64_t wall_seed; /* not 0: its wall clock shows anything, and jumps */
    /* Until a moment its wall clock is off by one of two, in turn; or it shows one time. */
    uint64_t strobe_until_ns, strobe_turn_ns, strobe_off_ns[2];
    uint64_t frozen_until_ns, frozen_wall_ns;
};

/* One node's share of the world: what it sees as its machine. */
struct machine {
    struct sim_clock clock;
    struct world *world;
    int node;
    uint64_t life; /* rises with every crash: what was on its way to an older one is lost */
    bool up;
    uint64_t paused_until_ns;
    uint64_t busy_until_ns; /* a slow machine is still at its last event */
    uint64_t event_ns;      /* what each event takes on it */
    enum doom doom;
    struct oak_loop loop;
    struct oak_exec log_writer;
    struct oak_exec worker;
    struct oak_list loop_tasks; /* posted to each actor and not run yet, in order */
    struct oak_list log_tasks;
    struct oak_list worker_tasks;
    struct oak_list after;
    struct oak_list *after_next; /* the hook to run next; NULL outside of a round */
    struct sim_disk *disk;
    uint64_t log_ns;    /* mean time of a task of the log writer */
    uint64_t worker_ns; /* and of one of the worker */
};

/* A frame as it once was sent. */
struct old_frame {
    int from, to, group;
    struct oak_buf bytes; /* empty: the place is free */
};

struct world {
    struct oak_prng prng;
    uint64_t now_ns;
    uint64_t order;
    struct event **heap;
    size_t heap_count;
    size_t heap_capacity;
    struct machine machines[SIM_NODES_MAX];
    int node_count;
    uint64_t steps;
    uint64_t digest;   /* of all that has happened: equal runs, equal digests */
    int touched;       /* by the last step: this node alone; -1: any */
    int touched_group; /* and of it this group alone; -1: any */
    /* The network: rates in parts per thousand, delays in ns; cut[a][b]: nothing goes from a to b.
     */
    unsigned loss, repeat;
    uint64_t delay_min_ns, delay_spread_ns;
    bool cut[SIM_NODES_MAX][SIM_NODES_MAX];
    /* What goes from a to b before this moment is kept and arrives then, in its order. */
    uint64_t clogged_until_ns[SIM_NODES_MAX][SIM_NODES_MAX];
    void (*deliver)(struct world *w, int to, int from, int group, struct oak_bytes frame);
    void *user;
    uint64_t frames_lost, frames_repeated;
    bool recording; /* frames are kept by chance, to be sent again much later */
    struct old_frame old[SIM_OLD_FRAMES];
};

void world_init(struct world *w, uint64_t seed, int nodes);
void world_fini(struct world *w);
/* Run `run` at `at_ns`. `node` -1 for the world's own events. `bytes` are copied. */
void world_at(struct world *w, uint64_t at_ns, int node,
              void (*run)(struct world *, struct event *), void *arg, struct oak_bytes bytes,
              int from);
/* Do the next event; false when there is none. */
bool world_step(struct world *w);
/* Send a group's frame from one node to another, through whatever the network does to it. */
void world_send(struct world *w, int from, int to, int group, struct oak_bytes frame);
/* Send again, now, what stands at this place of the old frames; false: nothing does. */
bool world_send_old(struct world *w, size_t place);
/* Frames that are on their way from one node to another are lost. */
void world_lose(struct world *w, int from, int to);
/* The node's machine stops: all its events are lost. */
void world_kill(struct world *w, int node);
/* A new life: ports as new. */
void world_boot(struct world *w, int node);

/* clocks.c */
uint64_t sim_clock_mono(const struct sim_clock *c, uint64_t now_ns);
/* When does the monotonic clock show that? */
uint64_t sim_clock_when(const struct sim_clock *c, uint64_t mono_ns);
uint64_t sim_clock_wall(const struct sim_clock *c, uint64_t now_ns);
/* From now on it runs at another rate. */
void sim_clock_rate(struct sim_clock *c, uint64_t now_ns, uint64_t ahead_ppm, uint64_t behind_ppm);

#endif
