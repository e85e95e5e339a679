/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c ENDPOINTS KEY: prints what the key is, and each change of it from then on. */
#include <oakum/client.h>
#include <oakum/runtime.h>
#include <stdio.h>

static struct oak_runtime *rt;
static struct oak_client_watcher *watcher;
static const char *key;

static void print(const char *what, struct oak_bytes value)
{
    printf("%s %.*s\n", what, (int)value.size, (const char *)value.data);
    fflush(stdout);
}

static void changes(void *user, struct oak_client_watch *watch, const struct oak_client_changes *c)
{
    (void)user, (void)watch;
    for (size_t i = 0; i < c->count; i++) {
        print(c->events[i].deleted ? "deleted" : "now", c->events[i].kv.value);
    }
}

static void ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                  int64_t compacted)
{
    (void)user, (void)watch, (void)error, (void)compacted;
    fprintf(stderr, "%s\n", message);
    oak_runtime_stop(rt);
}

/* What it is, and the revision as of which that is known: the watch goes on behind it. */
static void got(void *user, const struct oak_client_answer *answer)
{
    static const struct oak_client_watch_callbacks callbacks = {.changes = changes, .ended = ended};
    const struct oak_client_watch_options options = {.key = oak_bytes_str(key),
                                                     .revision = answer->header.revision + 1};
    struct oak_client_watch *watch;
    (void)user;
    if (answer->error != 0 || oak_client_watch(watcher, &options, &callbacks, NULL, &watch) != 0) {
        fprintf(stderr, "%s\n", answer->message);
        oak_runtime_stop(rt);
    } else if (answer->result.kv_count == 0) {
        print("nothing", oak_bytes(NULL, 0));
    } else {
        print("is", answer->result.kvs[0].value);
    }
}

static void stop(void *user, int signal)
{
    (void)user, (void)signal;
    oak_runtime_stop(rt);
}

int main(int argc, char **argv)
{
    struct oak_client *client;
    struct oak_errbuf e = {"usage: kv-watch ENDPOINTS KEY"};
    if (argc != 3 || oak_runtime_new(&rt) != 0 || oak_runtime_on_signal(rt, stop, NULL) != 0 ||
        oak_client_new(oak_runtime_loop(rt), argv[1], NULL, &client, &e) != 0 ||
        oak_client_watcher_new(client, &watcher) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    key = argv[2];
    const struct oak_client_op get = oak_client_get(oak_bytes_str(key));
    int error = oak_client_do(client, &get, 0, got, NULL, NULL);
    if (error == 0) {
        oak_runtime_run(rt);
    }
    oak_client_watcher_free(watcher);
    oak_client_free(client);
    oak_runtime_free(rt);
    return error != 0;
}
