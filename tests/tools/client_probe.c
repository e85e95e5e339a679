/* SPDX-License-Identifier: Apache-2.0 */
/* client_probe.c ENDPOINTS [USER PASSWORD]: client.h, driven by lines on stdin; what it is told
 * goes to stdout, a line each. test_c_client.py has the other end.
 *
 *     put KEY VALUE [LEASE]      get KEY [from|prefix|REVISION]     del KEY [prefix]
 *     swap KEY VERSION VALUE     compact REVISION                   ask SERVICE METHOD
 *     grant TTL                  revoke LEASE                       left LEASE
 *     keep LEASE TTL             leave LEASE
 *     watch NAME KEY REVISION [prefix|previous|noput|nodelete ...]  unwatch NAME      progress
 *     session NAME TTL           turn NAME SESSION LINE VALUE       end NAME          free NAME
 *     close NAME                 proclaim NAME VALUE                leader LINE
 *     observe NAME LINE          unobserve NAME
 *
 * The answer to a request is "ANSWER NUMBER ...", its number that of the line, from 1; what comes
 * by itself begins with its kind and the name it was given.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <oakum/client.h>
#include <oakum/runtime.h>

#define THINGS_MAX 4096
#define WORDS_MAX  8

/* What has a name. */
struct thing {
    char name[64];
    struct oak_client_watch *watch;
    struct oak_client_lease *lease;
    struct oak_client_session *session;
    struct oak_client_turn *turn;
    struct oak_client_observer *observer;
};

static struct oak_runtime *rt;
static struct oak_client *client;
static struct oak_client_watcher *watcher;
static struct thing things[THINGS_MAX];
static size_t thing_count;

static struct thing *thing_of(const char *name)
{
    for (size_t i = 0; i < thing_count; i++) {
        if (strcmp(things[i].name, name) == 0) {
            return &things[i];
        }
    }
    if (thing_count == THINGS_MAX) {
        fprintf(stderr, "too many names\n");
        exit(1);
    }
    snprintf(things[thing_count].name, sizeof(things[0].name), "%s", name);
    return &things[thing_count++];
}

/* -- answers ----------------------------------------------------------------------------------- */

static void say_bytes(struct oak_bytes bytes)
{
    printf(" %.*s", (int)bytes.size, bytes.size > 0 ? (const char *)bytes.data : "");
}

static void say_result(const struct oak_client_result *r)
{
    printf(" count=%" PRId64 " more=%d succeeded=%d [", r->count, r->more, r->succeeded);
    for (size_t i = 0; i < r->kv_count; i++) {
        const struct oak_client_kv *kv = &r->kvs[i];
        say_bytes(kv->key);
        printf("=%.*s", (int)kv->value.size,
               kv->value.size > 0 ? (const char *)kv->value.data : "");
    }
    printf(" ]");
    for (size_t i = 0; i < r->result_count; i++) {
        say_result(&r->results[i]);
    }
}

static void done(void *user, const struct oak_client_answer *a)
{
    size_t number = (size_t)(uintptr_t)user;
    printf("ANSWER %zu %s %s revision=%" PRId64 " lease=%" PRIx64 " ttl=%" PRId64 " keys=%zu",
           number, a->error == 0 ? "OK" : oak_error_name(a->error), oak_rpc_code_name(a->code),
           a->header.revision, (uint64_t)a->lease, a->ttl_s, a->key_count);
    say_result(&a->result);
    printf(" bytes=%zu \"%s\"\n", a->response.size, a->message);
}

/* -- what comes by itself ---------------------------------------------------------------------- */

static void watch_began(void *user, struct oak_client_watch *watch, int64_t revision)
{
    const struct thing *t = user;
    (void)watch;
    printf("began %s %" PRId64 "\n", t->name, revision);
}

static void watch_changes(void *user, struct oak_client_watch *watch,
                          const struct oak_client_changes *changes)
{
    const struct thing *t = user;
    (void)watch;
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *e = &changes->events[i];
        printf("%s %s %" PRId64, e->deleted ? "deleted" : "put", t->name, e->kv.mod_revision);
        say_bytes(e->kv.key);
        say_bytes(e->kv.value);
        if (e->previous != NULL) {
            printf(" before");
            say_bytes(e->previous->value);
        }
        printf("\n");
    }
    if (changes->count == 0) {
        printf("progress %s %" PRId64 "\n", t->name, changes->revision);
    }
}

static void watch_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    struct thing *t = user;
    (void)watch;
    t->watch = NULL;
    printf("ended %s %s %" PRId64 " \"%s\"\n", t->name, oak_error_name(error), compacted, message);
}

static const struct oak_client_watch_callbacks watch_callbacks = {
    .began = watch_began, .changes = watch_changes, .ended = watch_ended};

static void lease_kept(void *user, struct oak_client_lease *lease, int64_t ttl_s)
{
    const struct thing *t = user;
    (void)lease;
    printf("kept %s %" PRId64 "\n", t->name, ttl_s);
}

static void lease_lost(void *user, struct oak_client_lease *lease, int error)
{
    struct thing *t = user;
    (void)lease;
    t->lease = NULL;
    printf("lost %s %s\n", t->name, oak_error_name(error));
}

static const struct oak_client_lease_callbacks lease_callbacks = {.kept = lease_kept,
                                                                  .lost = lease_lost};

static void session_ready(void *user, struct oak_client_session *session, int64_t lease)
{
    const struct thing *t = user;
    (void)session;
    printf("ready %s %" PRIx64 "\n", t->name, (uint64_t)lease);
}

static void session_lost(void *user, struct oak_client_session *session, int error)
{
    const struct thing *t = user;
    (void)session;
    printf("lost %s %s\n", t->name, oak_error_name(error));
}

static const struct oak_client_session_callbacks session_callbacks = {.ready = session_ready,
                                                                      .lost = session_lost};

static void turn_held(void *user, struct oak_client_turn *turn, int64_t revision)
{
    const struct thing *t = user;
    printf("held %s %" PRId64, t->name, revision);
    say_bytes(oak_client_turn_key(turn));
    printf("\n");
}

static void turn_lost(void *user, struct oak_client_turn *turn, int error)
{
    struct thing *t = user;
    (void)turn;
    t->turn = NULL;
    printf("lost %s %s\n", t->name, oak_error_name(error));
}

static const struct oak_client_turn_callbacks turn_callbacks = {.held = turn_held,
                                                                .lost = turn_lost};

static void leads(void *user, struct oak_client_observer *observer,
                  const struct oak_client_kv *leader)
{
    const struct thing *t = user;
    (void)observer;
    printf("leads %s", t->name);
    say_bytes(leader != NULL ? leader->value : oak_bytes_str("nobody"));
    printf("\n");
}

static void leads_ended(void *user, struct oak_client_observer *observer, int error)
{
    struct thing *t = user;
    (void)observer;
    t->observer = NULL;
    printf("ended %s %s\n", t->name, oak_error_name(error));
}

static const struct oak_client_observer_callbacks observer_callbacks = {.leads = leads,
                                                                        .ended = leads_ended};

/* -- requests ---------------------------------------------------------------------------------- */

static struct oak_bytes word(char *const *words, size_t i)
{
    return oak_bytes_str(words[i] != NULL ? words[i] : "");
}

static int64_t number(char *const *words, size_t i, int base)
{
    return words[i] != NULL ? (int64_t)strtoull(words[i], NULL, base) : 0;
}

static bool has(char *const *words, const char *what)
{
    for (size_t i = 1; words[i] != NULL; i++) {
        if (strcmp(words[i], what) == 0) {
            return true;
        }
    }
    return false;
}

static int operate(char *const *words, void *line)
{
    struct oak_client_op op = oak_client_get(word(words, 1));
    if (strcmp(words[0], "put") == 0) {
        op = oak_client_put(word(words, 1), word(words, 2));
        op.lease = number(words, 3, 16);
        op.previous = true;
    } else if (strcmp(words[0], "del") == 0) {
        op = oak_client_delete(word(words, 1));
        op.previous = true;
    } else {
        op.revision = number(words, 2, 10);
    }
    op.span = has(words, "prefix") ? OAK_CLIENT_PREFIX
              : has(words, "from") ? OAK_CLIENT_FROM
                                   : OAK_CLIENT_ONE;
    return oak_client_do(client, &op, 0, done, line, NULL);
}

static int swap(char *const *words, void *line)
{
    struct oak_client_builder *b = oak_client_txn_new();
    struct oak_client_op op;
    oak_client_txn_if(b, (struct oak_client_compare){.key = word(words, 1),
                                                     .target = OAK_CLIENT_VERSION,
                                                     .number = number(words, 2, 10)});
    oak_client_txn_then(b, oak_client_put(word(words, 1), word(words, 3)));
    oak_client_txn_then(oak_client_txn_else_txn(b), oak_client_get(word(words, 1)));
    int error = oak_client_txn_op(b, &op);
    if (error == 0) {
        error = oak_client_do(client, &op, 0, done, line, NULL);
    }
    oak_client_txn_free(b);
    return error;
}

static int watch(char *const *words)
{
    struct thing *t = thing_of(words[1]);
    const struct oak_client_watch_options options = {
        .key = word(words, 2),
        .revision = number(words, 3, 10),
        .span = has(words, "prefix") ? OAK_CLIENT_PREFIX : OAK_CLIENT_ONE,
        .previous = has(words, "previous"),
        .no_puts = has(words, "noput"),
        .no_deletes = has(words, "nodelete"),
        .progress = true,
    };
    return oak_client_watch(watcher, &options, &watch_callbacks, t, &t->watch);
}

static int lend(char *const *words, void *line)
{
    const char *verb = words[0];
    struct thing *t = thing_of(words[1]);
    int64_t id = number(words, 1, 16);
    if (strcmp(verb, "grant") == 0) {
        return oak_client_grant(client, number(words, 1, 10), 0, 0, done, line, NULL);
    } else if (strcmp(verb, "revoke") == 0) {
        return oak_client_revoke(client, id, 0, done, line, NULL);
    } else if (strcmp(verb, "left") == 0) {
        return oak_client_time_to_live(client, id, true, 0, done, line, NULL);
    } else if (strcmp(verb, "keep") == 0) {
        return oak_client_keep(client, id, number(words, 2, 10), &lease_callbacks, t, &t->lease);
    }
    oak_client_lease_leave(t->lease);
    t->lease = NULL;
    return 0;
}

static int queue(char *const *words)
{
    const char *verb = words[0];
    struct thing *t = thing_of(words[1]);
    if (strcmp(verb, "session") == 0) {
        return oak_client_session_new(client, number(words, 2, 10), &session_callbacks, t,
                                      &t->session);
    } else if (strcmp(verb, "turn") == 0) {
        return oak_client_turn(thing_of(words[2])->session, word(words, 3), word(words, 4),
                               &turn_callbacks, t, &t->turn);
    } else if (strcmp(verb, "end") == 0) {
        oak_client_turn_end(t->turn);
        t->turn = NULL;
    } else {
        oak_client_session_free(t->session);
        t->session = NULL;
    }
    return 0;
}

static int elect(char *const *words, void *line)
{
    const char *verb = words[0];
    struct thing *t = thing_of(words[1]);
    if (strcmp(verb, "proclaim") == 0) {
        return oak_client_proclaim(t->turn, word(words, 2), 0, done, line, NULL);
    } else if (strcmp(verb, "leader") == 0) {
        return oak_client_leader(client, word(words, 1), 0, done, line, NULL);
    } else if (strcmp(verb, "observe") == 0) {
        return oak_client_observe(watcher, word(words, 2), &observer_callbacks, t, &t->observer);
    } else if (strcmp(verb, "close") == 0) {
        struct oak_client_session *session = t->session;
        t->session = NULL;
        return oak_client_session_end(session, 0, done, line, NULL);
    }
    oak_client_observer_end(t->observer);
    t->observer = NULL;
    return 0;
}

static int obey(char *const *words, void *line)
{
    const char *verb = words[0];
    if (strcmp(verb, "put") == 0 || strcmp(verb, "get") == 0 || strcmp(verb, "del") == 0) {
        return operate(words, line);
    } else if (strcmp(verb, "swap") == 0) {
        return swap(words, line);
    } else if (strcmp(verb, "compact") == 0) {
        return oak_client_compact(client, number(words, 1, 10), true, 0, done, line, NULL);
    } else if (strcmp(verb, "ask") == 0) {
        return oak_client_ask(client, words[1], words[2], true, oak_bytes(NULL, 0), 0, done, line,
                              NULL);
    } else if (strcmp(verb, "watch") == 0) {
        return watch(words);
    } else if (strcmp(verb, "unwatch") == 0) {
        struct thing *t = thing_of(words[1]);
        oak_client_watch_end(t->watch);
        t->watch = NULL;
        return 0;
    } else if (strcmp(verb, "progress") == 0) {
        return oak_client_watcher_progress(watcher);
    } else if (strcmp(verb, "session") == 0 || strcmp(verb, "turn") == 0 ||
               strcmp(verb, "end") == 0 || strcmp(verb, "free") == 0) {
        return queue(words);
    } else if (strcmp(verb, "proclaim") == 0 || strcmp(verb, "leader") == 0 ||
               strcmp(verb, "observe") == 0 || strcmp(verb, "unobserve") == 0 ||
               strcmp(verb, "close") == 0) {
        return elect(words, line);
    }
    return lend(words, line);
}

/* -- lines ------------------------------------------------------------------------------------- */

struct line {
    size_t number;
    char text[1024];
};

static void take(void *user)
{
    struct line *line = user;
    char *words[WORDS_MAX + 1] = {NULL};
    char *rest = NULL;
    size_t count = 0;
    for (char *at = strtok_r(line->text, " \n", &rest); at != NULL && count < WORDS_MAX;
         at = strtok_r(NULL, " \n", &rest)) {
        words[count++] = at;
    }
    int error = count > 0 ? obey(words, (void *)(uintptr_t)line->number) : 0;
    if (error != 0) {
        printf("REFUSED %zu %s\n", line->number, oak_error_name(error));
    }
    free(line);
}

static void quit(void *user)
{
    (void)user;
    oak_runtime_stop(rt);
}

static void *read_lines(void *user)
{
    char text[sizeof(((struct line *)0)->text)];
    (void)user;
    for (size_t number = 1; fgets(text, sizeof(text), stdin) != NULL; number++) {
        struct line *line = malloc(sizeof(*line));
        if (line == NULL) {
            break;
        }
        line->number = number;
        memcpy(line->text, text, sizeof(text));
        if (oak_runtime_post(rt, take, line) != 0) {
            free(line);
        }
    }
    if (oak_runtime_post(rt, quit, NULL) != 0) {
        exit(1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct oak_errbuf e = {"usage: probe ENDPOINTS [USER PASSWORD]"};
    const struct oak_client_options options = {.user = argc == 4 ? argv[2] : NULL,
                                               .password = argc == 4 ? argv[3] : NULL};
    pthread_t reader;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if ((argc != 2 && argc != 4) || oak_runtime_new(&rt) != 0 ||
        oak_client_new(oak_runtime_loop(rt), argv[1], &options, &client, &e) != 0 ||
        oak_client_watcher_new(client, &watcher) != 0 ||
        pthread_create(&reader, NULL, read_lines, NULL) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    oak_runtime_run(rt);
    pthread_join(reader, NULL);
    for (size_t i = 0; i < thing_count; i++) {
        oak_client_session_free(things[i].session);
        if (things[i].observer != NULL) {
            oak_client_observer_end(things[i].observer);
        }
    }
    oak_client_watcher_free(watcher);
    oak_client_free(client);
    oak_runtime_free(rt);
    return 0;
}
