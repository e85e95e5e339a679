/* SPDX-License-Identifier: Apache-2.0 */
/* search.h: many seeds, and one that fails made smaller. */
#ifndef OAK_SIM_SEARCH_H
#define OAK_SIM_SEARCH_H

#include "sim/internal.h"

#define SEARCH_JOBS_MAX 64

/* What `oakum sim` was told. */
struct search {
    uint64_t seed;
    bool seed_given;
    uint64_t seeds;   /* how many at most */
    uint64_t seconds; /* of real time; 0: no bound */
    uint64_t jobs;    /* 0: as many as there are processors */
    uint64_t simulated_ms;
    enum oak_bug bug;
    uint64_t nodes, clients, groups; /* 0: as drawn */
    uint32_t *only;                  /* faults that may happen */
    size_t only_count;
    bool only_given;
    bool shrink;
    bool trace;
    bool json;
    bool quiet;
};

/* Run seeds until one fails, the time is over, or all have run. The exit code. */
int search_run(const struct search *a);
/* As the options of one run. */
struct oak_sim_options search_options(const struct search *a, uint64_t seed);
/* " --seed 7 --only-faults 3,churn.2 --until 12000 ...": what repeats this run. */
void search_flags(const struct search *a, const struct oak_sim_options *o, struct oak_buf *out);
/* A fresh seed, from the clock. */
uint64_t search_seed(void);
double search_now(void); /* seconds */
/* One run in a process of its own: an assertion is a verdict too. */
void search_try(const struct oak_sim_options *o, struct oak_sim_report *report);

/* shrink.c */
/* One run, and what came of it. */
typedef void shrink_try(const struct oak_sim_options *o, struct oak_sim_report *report);

/* The smallest run that fails. */
struct shrunken {
    struct oak_sim_options options;
    uint32_t only[OAK_SIM_FIRED_MAX]; /* of the options */
    unsigned tries;
};

/* Make a failing run smaller. False: it does not fail. */
bool shrink_find(const struct oak_sim_options *failing, shrink_try *once, struct shrunken *out);
/* The same, and say how to repeat what is left. */
void shrink_run(const struct search *a, const struct oak_sim_options *failing);

#endif
