/* SPDX-License-Identifier: Apache-2.0 */
/* ear.c: streams of the room of watches whose listener is this api itself.
 *
 * Happy path   what the room sends goes to the listener of its stream: a client's (watch_send.c)
 *              or an ear.
 * Can fail     to be put on: the room has its limits.
 * Invariants   an ear that is open is in the list; one that is on is in the room, too.
 * Thread       the loop's.
 */
#include "api/internal.h"

static bool heard(struct api_listener *listener, const struct oak_watch_response *response)
{
    struct api_ear *ear = OAK_CONTAINER_OF(listener, struct api_ear, base);
    return ear->hear(ear, response);
}

void api__ear_open(struct oak_api *api, struct api_ear *ear)
{
    OAK_ASSERT(ear->hear != NULL);
    OAK_ASSERT(ear->lost != NULL && ear->stop != NULL);
    ear->api = api;
    ear->base.heard = heard;
    oak_list_push(&api->watch.ears, &ear->link);
}

void api__ear_close(struct api_ear *ear)
{
    if (oak_list_linked(&ear->link)) {
        api__ear_off(ear);
        oak_list_remove(&ear->link);
    }
}

static int error_of(enum oak_watch_verdict verdict)
{
    switch (verdict) {
    case OAK_WATCH_CREATED:
        return 0;
    case OAK_WATCH_COMPACTED:
        return OAK_ECOMPACTED;
    case OAK_WATCH_TOO_MANY_ON_STREAM:
    case OAK_WATCH_TOO_MANY:
        return OAK_ETOOMANYREQUESTS;
    case OAK_WATCH_EMPTY_RANGE:
    case OAK_WATCH_DUPLICATE_ID:
        return OAK_EINVAL;
    case OAK_WATCH_NO_MEMORY:
        return OAK_ENOMEM;
    }
    OAK_UNREACHABLE("a verdict without an error");
}

int api__ear_on(struct api_ear *ear, const struct api_wish *wish)
{
    struct oak_watch *room = ear->api->watch.room;
    const struct oak_watch_request request = {
        .key = wish->key,
        .range_end = wish->end,
        .start_revision = wish->from,
        .no_put = wish->no_put,
        .no_delete = wish->no_delete,
    };
    int64_t id;
    OAK_ASSERT(oak_list_linked(&ear->link));
    if (!ear->on) {
        ear->on = true;
        oak_watch_stream_begin(room, &ear->base.stream);
    }
    int error = error_of(oak_watch_create(room, &ear->base.stream, &request, &id));
    api__watch_kick(ear->api);
    return error;
}

void api__ear_off(struct api_ear *ear)
{
    if (ear->on) {
        ear->on = false;
        oak_watch_stream_end(ear->api->watch.room, &ear->base.stream);
    }
}

void api__ear_ready(struct api_ear *ear)
{
    if (ear->on) {
        oak_watch_drained(ear->api->watch.room, &ear->base.stream);
        api__watch_kick(ear->api);
    }
}

void api__ears_lose(struct oak_api *api)
{
    struct oak_list *ears = &api->watch.ears;
    for (struct oak_list *at = ears->next, *next; at != ears; at = next) {
        next = at->next;
        struct api_ear *ear = OAK_LIST_ENTRY(at, struct api_ear, link);
        if (ear->on && ear->base.stream.behind > 0) {
            ear->lost(ear);
        }
    }
}

void api__ears_stop(struct oak_api *api)
{
    struct oak_list *ears = &api->watch.ears;
    for (struct oak_list *at = ears->next, *next; at != ears; at = next) {
        next = at->next;
        struct api_ear *ear = OAK_LIST_ENTRY(at, struct api_ear, link);
        ear->stop(ear);
    }
}
