/* SPDX-License-Identifier: Apache-2.0 */
/* door.c: paths and what is behind them; the round in which answers leave; from new to free.
 *
 * Happy path   a path is looked up, its method in the registry, and a call begins. A call that has
 *              something to do is dirty; when the round ends each of them is flushed, once.
 * Can fail     another method than POST: 405. No such path: 404. A method that is not registered:
 *              501, with the text that a client of gRPC is told.
 * Invariants   the after-hook is added while `dirty` is not empty, but for the time in which it
 *              runs: what is dirty again by then has its turn in the next round.
 * Thread       the loop's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "transcode/internal.h"

#define ALL_METHODS                                                                  \
    (OAK_HTTP_GET | OAK_HTTP_POST | OAK_HTTP_PUT | OAK_HTTP_DELETE | OAK_HTTP_HEAD | \
     OAK_HTTP_OPTIONS)

/* -- dirty calls ------------------------------------------------------------------------------- */

static void hook_add(struct oak_transcode *door)
{
    const struct oak_loop *loop = door->options.loop;
    if (!oak_list_linked(&door->after.link)) {
        loop->after_add(loop->user, &door->after);
    }
}

static void hook_remove(struct oak_transcode *door)
{
    const struct oak_loop *loop = door->options.loop;
    if (oak_list_linked(&door->after.link)) {
        loop->after_remove(loop->user, &door->after);
    }
}

void transcode__call_mark(struct transcode_call *call)
{
    struct oak_transcode *door = call->door;
    const struct oak_timers *timers = &door->options.loop->timers;
    if (!oak_list_linked(&call->dirty_link)) {
        oak_list_push(&door->dirty, &call->dirty_link);
    }
    if (!door->flushing) {
        hook_add(door);
    }
    if (!door->soon.running) { /* the hooks of this round may be over */
        timers->set(timers->user, &door->soon, transcode__now_ns(door));
    }
}

void transcode__call_clean(struct transcode_call *call)
{
    if (oak_list_linked(&call->dirty_link)) {
        oak_list_remove(&call->dirty_link);
    }
}

static void door_after(struct oak_after *after)
{
    struct oak_transcode *door = OAK_CONTAINER_OF(after, struct oak_transcode, after);
    const struct oak_timers *timers = &door->options.loop->timers;
    struct oak_list turn;
    hook_remove(door);
    timers->stop(timers->user, &door->soon);
    oak_list_init(&turn);
    while (!oak_list_empty(&door->dirty)) {
        oak_list_push(&turn, oak_list_pop(&door->dirty));
    }
    door->flushing = true;
    while (!oak_list_empty(&turn)) {
        struct oak_list *node = oak_list_pop(&turn);
        transcode__reply_flush(OAK_LIST_ENTRY(node, struct transcode_call, dirty_link));
    }
    door->flushing = false;
}

static void soon_fire(struct oak_timer *timer)
{
    struct oak_transcode *door = OAK_CONTAINER_OF(timer, struct oak_transcode, soon);
    if (!oak_list_empty(&door->dirty)) {
        hook_add(door);
    }
}

/* -- paths ------------------------------------------------------------------------------------- */

static bool is(const char *text, struct oak_bytes bytes)
{
    return oak_bytes_eq(oak_bytes_str(text), bytes);
}

static struct transcode_route *route_find(struct oak_transcode *door, struct oak_bytes path)
{
    for (size_t i = 0; i < door->options.route_count; i++) {
        if (is(door->routes[i].route.path, path)) {
            return &door->routes[i];
        }
    }
    return NULL;
}

/* NULL: it is not registered, or its messages are unknown: `room` says so as gRPC does. */
static const struct oak_rpc_method *method_find(struct oak_transcode *door,
                                                struct transcode_route *route,
                                                struct oak_json_problem *room)
{
    const struct oak_rpc_method_stats *all;
    size_t count = oak_rpc_server_stats(door->options.methods, &all);
    const char *service = route->route.service;
    bool known = false;
    for (size_t i = 0; i < count && route->method == NULL; i++) {
        const struct oak_rpc_method *m = all[i].method;
        bool here = strcmp(m->service, service) == 0;
        known = known || here;
        if (here && strcmp(m->name, route->route.method) == 0 && m->stub != NULL) {
            route->method = m;
        }
    }
    if (route->method == NULL && known) {
        snprintf(room->text, sizeof(room->text), "unknown method %s for service %s",
                 route->route.method, service);
    } else if (route->method == NULL) {
        snprintf(room->text, sizeof(room->text), "unknown service %s", service);
    }
    return route->method;
}

static void refuse(struct oak_transcode *door, struct oak_http_request *http,
                   enum oak_rpc_code code, const char *text)
{
    const struct transcode_failure f = {code, oak_bytes_str(text)};
    door->traffic.refused++;
    transcode__reply_failure(http, NULL, &f);
}

static void handle(void *user, struct oak_http_request *http)
{
    struct oak_transcode *door = user;
    struct oak_json_problem room = {.text = ""};
    struct transcode_failure failure;
    struct transcode_route *route = route_find(door, oak_http_rest(http));
    if (route == NULL) {
        refuse(door, http, OAK_RPC_NOT_FOUND, "Not Found");
        return;
    }
    if (oak_http_method(http) != OAK_HTTP_POST) {
        failure =
            (struct transcode_failure){OAK_RPC_UNIMPLEMENTED, oak_bytes_str("Method Not Allowed")};
        door->traffic.refused++;
        transcode__reply_as(http, 405, "Allow: POST\r\n", &failure);
        return;
    }
    const struct oak_rpc_method *method = method_find(door, route, &room);
    if (method == NULL) {
        refuse(door, http, OAK_RPC_UNIMPLEMENTED, room.text);
        return;
    }
    if (door->traffic.calls >= door->options.calls_max) {
        refuse(door, http, OAK_RPC_UNAVAILABLE, "the server is working on too many calls");
        return;
    }
    if (transcode__call_start(door, http, method, &room, &failure) != 0) {
        door->traffic.refused++;
        transcode__reply_failure(http, NULL, &failure);
    }
}

/* -- the life of a door ------------------------------------------------------------------------ */

#define DEFAULT(field, value) (options.field = options.field != 0 ? options.field : (value))

static int prefixes_add(struct oak_transcode *door)
{
    int error = 0;
    for (size_t i = 0; error == 0 && i < door->options.prefix_count; i++) {
        struct oak_buf path = {0};
        error = oak_buf_printf(&path, "%s*", door->options.prefixes[i]);
        if (error == 0) {
            const struct oak_http_route route = {ALL_METHODS, (const char *)path.data, handle,
                                                 door};
            error = oak_http_server_add(door->options.http, &route);
        }
        oak_buf_fini(&path);
    }
    return error;
}

int oak_transcode_new(const struct oak_transcode_options *given, struct oak_transcode **out)
{
    struct oak_transcode_options options = *given;
    DEFAULT(request_bytes_max, OAK_REQUEST_BYTES_MAX + OAK_REQUEST_OVERHEAD_BYTES);
    DEFAULT(reply_bytes_max, OAK_TRANSCODE_REPLY_BYTES_MAX);
    DEFAULT(held_bytes_max, OAK_TRANSCODE_HELD_BYTES_MAX);
    DEFAULT(calls_max, OAK_HANDLERS_MAX);
    OAK_ASSERT_GT(options.route_count, 0u);
    struct oak_transcode *door = calloc(1, sizeof(*door));
    if (door == NULL) {
        return OAK_ENOMEM;
    }
    door->options = options;
    door->after.run = door_after;
    door->soon.fire = soon_fire;
    oak_list_init(&door->calls);
    oak_list_init(&door->dirty);
    oak_arena_init(&door->arena, 16 * OAK_KIB, OAK_RESPONSE_BYTES_MAX);
    door->routes = calloc(options.route_count, sizeof(*door->routes));
    int error = door->routes != NULL ? 0 : OAK_ENOMEM;
    for (size_t i = 0; error == 0 && i < options.route_count; i++) {
        door->routes[i].route = options.routes[i];
    }
    error = error != 0 ? error : prefixes_add(door);
    if (error != 0) {
        oak_transcode_free(door);
        return error;
    }
    *out = door;
    return 0;
}

void oak_transcode_free(struct oak_transcode *door)
{
    if (door == NULL) {
        return;
    }
    OAK_ASSERT(oak_list_empty(&door->calls));
    OAK_ASSERT_EQ(door->held, 0u);
    const struct oak_timers *timers = &door->options.loop->timers;
    timers->stop(timers->user, &door->soon);
    hook_remove(door);
    oak_arena_fini(&door->arena);
    free(door->routes);
    free(door);
}

void oak_transcode_traffic(const struct oak_transcode *door, struct oak_transcode_traffic *out)
{
    *out = door->traffic;
}
