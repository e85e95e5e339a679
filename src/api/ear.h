/* SPDX-License-Identifier: Apache-2.0 */
/* ear.h: whoever hears of changes within the api: a stream of its own in the room of watches, whose
 * responses go to a function instead of a client.
 *
 *     api__ear_open(api, &ear)
 *     api__ear_on(&ear, &wish)         // for each key or range
 *     ear.hear(&ear, response)         // what happens; no function of this is called within it
 *     api__ear_off(&ear)               // it hears nothing more, and may be put on again
 *     api__ear_close(&ear)
 *
 * Threads: the loop's.
 */
#ifndef OAK_API_EAR_H
#define OAK_API_EAR_H

#include "watch/watch.h"

struct oak_api;

/* A stream of the room, and who gets what comes of it. False: it takes no more, until it says that
 * it does again. */
struct api_listener {
    struct oak_watch_stream stream;
    bool (*heard)(struct api_listener *listener, const struct oak_watch_response *response);
};

struct api_ear {
    struct api_listener base;
    /* The owner's. False: it takes no more; call api__ear_ready when it does again. */
    bool (*hear)(struct api_ear *ear, const struct oak_watch_response *response);
    /* What it waits for can't be read any more: look at the state instead. */
    void (*lost)(struct api_ear *ear);
    /* This member stops. */
    void (*stop)(struct api_ear *ear);
    /* Ours. */
    struct oak_api *api;
    struct oak_list link; /* of those that are open */
    bool on;
};

struct api_wish {
    struct oak_bytes key;
    struct oak_bytes end; /* empty: this key alone */
    int64_t from;         /* revision */
    bool no_put;
    bool no_delete;
};

void api__ear_open(struct oak_api *api, struct api_ear *ear);
void api__ear_close(struct api_ear *ear);
/* OAK_ETOOMANYREQUESTS, OAK_ENOMEM, OAK_ECOMPACTED. */
OAK_MUST_USE int api__ear_on(struct api_ear *ear, const struct api_wish *wish);
void api__ear_off(struct api_ear *ear);
void api__ear_ready(struct api_ear *ear);
/* Of all that are open: those that wait for the history lose it; all are told of the stop. */
void api__ears_lose(struct oak_api *api);
void api__ears_stop(struct oak_api *api);

#endif
