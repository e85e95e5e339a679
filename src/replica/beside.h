/* SPDX-License-Identifier: Apache-2.0 */
/* beside.h: work on the store that is done beside everything else, when somebody asks for it: a
 * hash of the history, and giving space back. */
#ifndef OAK_REPLICA_BESIDE_H
#define OAK_REPLICA_BESIDE_H

#include "replica/replica.h"

/* hash.c */
struct hashing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_list questions;
    size_t waiting;
    struct oak_replica_hash *asked; /* the one at work; NULL: nobody waits for it any more */
    struct oak_store_hash *job;     /* the worker's while busy */
    bool whole;
    bool busy;
    bool dropped; /* to end once the worker is back */
};

/* squeeze.c */
struct squeezing {
    struct oak_task go;
    struct oak_task back;
    struct oak_replica *replica;
    struct oak_store_squeeze *job; /* the worker's while busy */
    bool busy;
};

/* The next question, if there is one and its turn has come. */
void replica__hash_go(struct oak_replica *r);
/* The store is about to be replaced. False: the worker still reads for one. */
bool replica__hash_drop(struct oak_replica *r);
void replica__hash_stop(struct oak_replica *r);

#endif
