/* SPDX-License-Identifier: Apache-2.0 */
/* encrypt.c: encrypted networks for clients, and certificates that are renewed in their files.
 *
 * Happy path   a watch: 1 its timer fires
 *              2 the worker reads the files, and loads them if they have changed
 *              3 back on the loop: `fn` is told if there is something to tell
 *              4 the timer is set again
 * Can fail     2: told, once for each content that fails.
 * Invariants   a watch is with the worker, or its timer is set. The worker ends before the loop:
 *              its last answer runs while the loop is freed, and sets no timer.
 * Thread       the loop's, but for watch_read.
 */
#include <stdlib.h>

#include "runtime/internal.h"

struct runtime_net {
    struct oak_list link;
    struct oak_tls_net *net;
};

struct watch {
    struct oak_list link;
    struct oak_runtime *rt;
    struct oak_tls *tls;
    uint64_t every_ns;
    void (*fn)(void *user, int error, const char *text);
    void *user;
    struct oak_timer timer;
    struct oak_task task; /* to the worker, and back */
    int error;
    bool changed;
    struct oak_errbuf text;
};

/* -- networks ---------------------------------------------------------------------------------- */

int oak_runtime_tls_net(struct oak_runtime *rt, struct oak_tls *tls, const char *server_name,
                        const struct oak_net **out)
{
    struct runtime_net *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return OAK_ENOMEM;
    }
    int error = oak_tls_net_new(tls, rt->loop, NULL, server_name, &n->net);
    if (error != 0) {
        free(n);
        return error;
    }
    oak_list_push(&rt->nets, &n->link);
    *out = oak_tls_net_port(n->net);
    return 0;
}

void runtime__nets_free(struct oak_runtime *rt)
{
    struct oak_list *node;
    while ((node = oak_list_pop(&rt->nets)) != NULL) {
        struct runtime_net *n = OAK_LIST_ENTRY(node, struct runtime_net, link);
        oak_tls_net_free(n->net);
        free(n);
    }
}

/* -- watches ----------------------------------------------------------------------------------- */

static void watch_tell(struct oak_task *task)
{
    struct watch *w = OAK_CONTAINER_OF(task, struct watch, task);
    if (w->rt->worker != NULL) {
        runtime__timer_set(w->rt, &w->timer, w->every_ns);
    }
    if ((w->changed || w->error != 0) && w->fn != NULL) {
        w->fn(w->user, w->error, w->error != 0 ? w->text.text : "");
    }
}

/* On the worker. */
static void watch_read(struct oak_task *task)
{
    struct watch *w = OAK_CONTAINER_OF(task, struct watch, task);
    w->text.text[0] = '\0';
    w->error = oak_tls_reload_if_changed(w->tls, &w->changed, &w->text);
    w->task.run = watch_tell;
    w->rt->loop->exec.post(w->rt->loop->exec.user, &w->task);
}

static void watch_fire(struct oak_timer *timer)
{
    struct watch *w = OAK_CONTAINER_OF(timer, struct watch, timer);
    struct oak_exec worker = oak_os_actor_exec(w->rt->worker);
    w->task.run = watch_read;
    worker.post(worker.user, &w->task);
}

int oak_runtime_tls_watch(struct oak_runtime *rt, struct oak_tls *tls, uint64_t every_ns,
                          void (*fn)(void *user, int error, const char *text), void *user)
{
    struct watch *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return OAK_ENOMEM;
    }
    int error = rt->worker != NULL ? 0 : oak_os_actor_new("tls files", &rt->worker);
    if (error != 0) {
        free(w);
        return error;
    }
    *w = (struct watch){.rt = rt,
                        .tls = oak_tls_ref(tls),
                        .every_ns = every_ns,
                        .fn = fn,
                        .user = user,
                        .timer.fire = watch_fire};
    oak_list_push(&rt->watches, &w->link);
    runtime__timer_set(rt, &w->timer, every_ns);
    return 0;
}

void runtime__watches_stop(struct oak_runtime *rt)
{
    for (struct oak_list *at = rt->watches.next; at != &rt->watches; at = at->next) {
        struct watch *w = OAK_LIST_ENTRY(at, struct watch, link);
        rt->loop->timers.stop(rt->loop->timers.user, &w->timer);
        w->fn = NULL;
    }
    oak_os_actor_close(rt->worker);
    rt->worker = NULL;
}

void runtime__watches_free(struct oak_runtime *rt)
{
    struct oak_list *node;
    while ((node = oak_list_pop(&rt->watches)) != NULL) {
        struct watch *w = OAK_LIST_ENTRY(node, struct watch, link);
        oak_tls_free(w->tls);
        free(w);
    }
}

/* -- both -------------------------------------------------------------------------------------- */

int oak_runtime_tls_files(struct oak_runtime *rt, const struct oak_tls_material *files,
                          const char *server_name, uint64_t every_ns, const struct oak_net **out,
                          struct oak_errbuf *e)
{
    const struct oak_tls_options options = {.role = OAK_TLS_CLIENT, .material = *files};
    struct oak_tls *tls;
    int error = oak_tls_new(&options, &tls, e);
    if (error != 0) {
        return error;
    }
    error = oak_runtime_tls_net(rt, tls, server_name, out);
    if (error == 0 && every_ns != 0) {
        error = oak_runtime_tls_watch(rt, tls, every_ns, NULL, NULL);
    }
    oak_tls_free(tls); /* the network and the watch have it */
    return error != 0 ? oak_fail(e, error, "TLS: %s", oak_error_text(error)) : 0;
}
