/* SPDX-License-Identifier: Apache-2.0 */
/* sync_probe.c ENDPOINTS [CA CERT KEY | USER PASSWORD]: sync.h, driven by lines on stdin, each in a
 * thread of its own; what comes of it goes to stdout, a line each. test_c_client_sync.py has the
 * other end.
 *
 *     put KEY VALUE [LEASE]    get KEY [MS [prefix]]    del KEY    count KEY TIMES
 *     compact REVISION
 *     grant TTL                revoke LEASE          left LEASE          leader LINE
 *     admin VERB USER PASSWORD ROLE RIGHT KEY    ("-": none; a KEY ending in "*" is a prefix)
 *     keep NAME LEASE TTL      leave NAME
 *     watch NAME KEY REVISION  take NAME             unwatch NAME
 *     lock NAME LINE TTL [MS]  campaign NAME LINE VALUE TTL   proclaim NAME VALUE   end NAME
 *     observe NAME LINE        unobserve NAME
 *
 * A request is answered by "ANSWER NUMBER ...", its number that of the line, from 1. A watch that
 * was asked to `take` says all that it is told from then on; leases, turns and observers that
 * stand have a thread each that waits for what becomes of them.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <oakum/sync.h>

#define THINGS_MAX 256
#define LINES_MAX  65536
#define WORDS_MAX  8

/* What has a name: one of these. */
struct thing {
    char name[64];
    struct oak_sync_watch *watch;
    struct oak_sync_lease *lease;
    struct oak_sync_turn *turn;
    struct oak_sync_observer *observer;
    pthread_t waiter;
    bool waited;
};

struct line {
    pthread_t thread;
    size_t number;
    char text[1024];
    char *words[WORDS_MAX + 1];
};

static struct oak_sync *cluster;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the things' table */
static struct thing things[THINGS_MAX];
static size_t thing_count;

static struct thing *thing_of(const char *name)
{
    struct thing *found = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < thing_count; i++) {
        found = strcmp(things[i].name, name) == 0 ? &things[i] : found;
    }
    if (found == NULL && thing_count < THINGS_MAX) {
        found = &things[thing_count++];
        snprintf(found->name, sizeof(found->name), "%s", name);
    }
    pthread_mutex_unlock(&lock);
    if (found == NULL) {
        fprintf(stderr, "too many names\n");
        exit(1);
    }
    return found;
}

/* What this thread has done to things is seen by those whose lines come later. */
static void things_share(void)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
}

/* -- words ------------------------------------------------------------------------------------- */

static const char *text(const struct line *line, size_t i)
{
    return line->words[i] != NULL ? line->words[i] : "";
}

static struct oak_bytes word(const struct line *line, size_t i)
{
    return oak_bytes_str(text(line, i));
}

static int64_t number(const struct line *line, size_t i, int base)
{
    return (int64_t)strtoull(text(line, i), NULL, base);
}

static bool is(const struct line *line, const char *verb)
{
    return strcmp(text(line, 0), verb) == 0;
}

static const char *name_of(int error)
{
    return error == 0 ? "OK" : oak_error_name(error);
}

static void answer(const struct line *line, int error, struct oak_client_answer *a)
{
    char kv[600] = "";
    if (a != NULL && a->result.kv_count > 0) {
        const struct oak_client_kv *k = &a->result.kvs[0];
        snprintf(kv, sizeof(kv), " %.*s=%.*s", (int)k->key.size, (const char *)k->key.data,
                 (int)k->value.size, k->value.size > 0 ? (const char *)k->value.data : "");
    }
    printf("ANSWER %zu %s revision=%" PRId64 " lease=%" PRIx64 " ttl=%" PRId64 " count=%" PRId64
           "%s \"%s\"\n",
           line->number, name_of(error), a != NULL ? a->header.revision : 0,
           a != NULL ? (uint64_t)a->lease : 0, a != NULL ? a->ttl_s : 0,
           a != NULL ? a->result.count : 0, kv, a != NULL ? a->message : "");
    oak_client_answer_free(a);
}

/* -- what becomes of things -------------------------------------------------------------------- */

static void say_changes(const struct thing *t, const struct oak_client_changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        const struct oak_client_event *e = &changes->events[i];
        printf("%s %s %" PRId64 " %.*s %.*s\n", e->deleted ? "deleted" : "put", t->name,
               e->kv.mod_revision, (int)e->kv.key.size, (const char *)e->kv.key.data,
               (int)e->kv.value.size, e->kv.value.size > 0 ? (const char *)e->kv.value.data : "");
    }
}

static void *take(void *arg)
{
    struct thing *t = arg;
    struct oak_client_changes *changes;
    int error;
    while ((error = oak_sync_watch_next(t->watch, OAK_SYNC_FOREVER, &changes)) == 0) {
        say_changes(t, changes);
        oak_client_changes_free(changes);
    }
    /* Of one that was closed there may be nothing left to ask. */
    printf("ended %s %s %" PRId64 "\n", t->name, name_of(error),
           error == OAK_ECOMPACTED ? oak_sync_watch_compacted(t->watch) : 0);
    return NULL;
}

static void *see(void *arg)
{
    struct thing *t = arg;
    struct oak_client_changes *changes;
    int error;
    while ((error = oak_sync_observer_next(t->observer, OAK_SYNC_FOREVER, &changes)) == 0) {
        const struct oak_client_event *e = &changes->events[0];
        printf("leads %s %.*s\n", t->name, e->deleted ? 6 : (int)e->kv.value.size,
               e->deleted ? "nobody" : (const char *)e->kv.value.data);
        oak_client_changes_free(changes);
    }
    printf("ended %s %s 0\n", t->name, name_of(error));
    return NULL;
}

static void *mourn(void *arg)
{
    struct thing *t = arg;
    int error = t->turn != NULL ? oak_sync_turn_lost(t->turn, OAK_SYNC_FOREVER)
                                : oak_sync_lease_lost(t->lease, OAK_SYNC_FOREVER);
    printf("lost %s %s\n", t->name, name_of(error));
    return NULL;
}

static void wait_for(struct thing *t, void *(*fate)(void *arg))
{
    t->waited = pthread_create(&t->waiter, NULL, fate, t) == 0;
}

static void wait_no_more(struct thing *t)
{
    if (t->waited) {
        pthread_join(t->waiter, NULL);
        t->waited = false;
    }
}

/* -- lines ------------------------------------------------------------------------------------- */

/* Adds one, TIMES times, each by a transaction that compares: what others add is not lost. */
static int add_up(const struct line *line)
{
    int error = 0;
    for (int64_t times = number(line, 2, 10); error == 0 && times > 0;) {
        struct oak_client_answer *a;
        error = oak_sync_get(cluster, word(line, 1), 0, &a);
        if (error == 0) {
            const bool there = a->result.kv_count > 0;
            char sum[32] = "0";
            if (there) {
                snprintf(sum, sizeof(sum), "%.*s", (int)a->result.kvs[0].value.size,
                         (const char *)a->result.kvs[0].value.data);
            }
            snprintf(sum, sizeof(sum), "%d", (int)strtol(sum, NULL, 10) + 1);
            struct oak_client_builder *b = oak_client_txn_new();
            oak_client_txn_if(b, (struct oak_client_compare){
                                     .key = word(line, 1),
                                     .target = OAK_CLIENT_MOD,
                                     .number = there ? a->result.kvs[0].mod_revision : 0});
            oak_client_txn_then(b, oak_client_put(word(line, 1), oak_bytes_str(sum)));
            oak_client_answer_free(a);
            error = oak_sync_txn(cluster, b, 0, &a);
            times -= error == 0 && a->result.succeeded;
            oak_client_txn_free(b);
        }
        oak_client_answer_free(a);
    }
    return error;
}

static const char *given(const struct line *line, size_t i)
{
    return line->words[i] == NULL || strcmp(line->words[i], "-") == 0 ? NULL : line->words[i];
}

static int administer(const struct line *line, struct oak_client_answer **a)
{
    static const char *const verbs[] = {
        [OAK_CLIENT_AUTH_ENABLE] = "enable",      [OAK_CLIENT_AUTH_DISABLE] = "disable",
        [OAK_CLIENT_AUTH_STATUS] = "status",      [OAK_CLIENT_USER_ADD] = "user-add",
        [OAK_CLIENT_USER_DELETE] = "user-delete", [OAK_CLIENT_USER_PASSWORD] = "user-password",
        [OAK_CLIENT_USER_GRANT] = "user-grant",   [OAK_CLIENT_USER_REVOKE] = "user-revoke",
        [OAK_CLIENT_USER_GET] = "user-get",       [OAK_CLIENT_USER_LIST] = "user-list",
        [OAK_CLIENT_ROLE_ADD] = "role-add",       [OAK_CLIENT_ROLE_DELETE] = "role-delete",
        [OAK_CLIENT_ROLE_GRANT] = "role-grant",   [OAK_CLIENT_ROLE_REVOKE] = "role-revoke",
        [OAK_CLIENT_ROLE_GET] = "role-get",       [OAK_CLIENT_ROLE_LIST] = "role-list",
    };
    struct oak_client_admin admin = {.user = given(line, 2),
                                     .password = given(line, 3),
                                     .role = given(line, 4),
                                     .right = (enum oak_client_right)number(line, 5, 10),
                                     .key = word(line, 6)};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        admin.verb = strcmp(verbs[i], text(line, 1)) == 0 ? (enum oak_client_verb)i : admin.verb;
    }
    if (admin.key.size > 0 && admin.key.data[admin.key.size - 1] == '*') {
        admin.key.size--;
        admin.span = OAK_CLIENT_PREFIX;
    }
    int error = oak_sync_administer(cluster, &admin, 0, a);
    printf("admin %s", text(line, 1));
    for (size_t i = 0; *a != NULL && i < (*a)->name_count; i++) {
        printf(" %.*s", (int)(*a)->names[i].size, (const char *)(*a)->names[i].data);
    }
    for (size_t i = 0; *a != NULL && i < (*a)->permission_count; i++) {
        const struct oak_client_permission *p = &(*a)->permissions[i];
        printf(" %d:%.*s-%.*s", (int)p->right, (int)p->key.size, (const char *)p->key.data,
               (int)p->end.size, p->end.size > 0 ? (const char *)p->end.data : "");
    }
    printf(" %d\n", *a != NULL && (*a)->enabled);
    return error;
}

static bool call(const struct line *line)
{
    struct oak_client_answer *a = NULL;
    int error;
    if (is(line, "put")) {
        struct oak_client_op op = oak_client_put(word(line, 1), word(line, 2));
        op.lease = number(line, 3, 16);
        error = oak_sync_do(cluster, &op, 0, &a);
    } else if (is(line, "get")) {
        struct oak_client_op op = oak_client_get(word(line, 1));
        op.span = line->words[3] != NULL ? OAK_CLIENT_PREFIX : OAK_CLIENT_ONE;
        error = oak_sync_do(cluster, &op, (uint64_t)number(line, 2, 10) * 1000000, &a);
    } else if (is(line, "del")) {
        struct oak_client_op op = oak_client_delete(word(line, 1));
        op.span = OAK_CLIENT_PREFIX;
        error = oak_sync_do(cluster, &op, 0, &a);
    } else if (is(line, "compact")) {
        error = oak_sync_compact(cluster, number(line, 1, 10), true, 0, &a);
    } else if (is(line, "count")) {
        error = add_up(line);
    } else if (is(line, "grant")) {
        error = oak_sync_grant(cluster, number(line, 1, 10), 0, 0, &a);
    } else if (is(line, "revoke")) {
        error = oak_sync_revoke(cluster, number(line, 1, 16), 0, &a);
    } else if (is(line, "left")) {
        error = oak_sync_time_to_live(cluster, number(line, 1, 16), true, 0, &a);
    } else if (is(line, "admin")) {
        error = administer(line, &a);
    } else if (is(line, "leader")) {
        error = oak_sync_leader(cluster, word(line, 1), 0, &a);
    } else if (is(line, "proclaim")) {
        error = oak_sync_proclaim(thing_of(text(line, 1))->turn, word(line, 2), 0, &a);
    } else {
        return false;
    }
    answer(line, error, a);
    return true;
}

static int begin(const struct line *line)
{
    struct thing *t = thing_of(text(line, 1));
    int error;
    if (is(line, "watch")) {
        const struct oak_client_watch_options options = {
            .key = word(line, 2), .span = OAK_CLIENT_PREFIX, .revision = number(line, 3, 10)};
        return oak_sync_watch(cluster, &options, 0, &t->watch);
    } else if (is(line, "take")) {
        wait_for(t, take);
        return 0;
    } else if (is(line, "observe")) {
        error = oak_sync_observe(cluster, word(line, 2), &t->observer);
        if (error == 0) {
            wait_for(t, see);
        }
        return error;
    } else if (is(line, "keep")) {
        error = oak_sync_keep(cluster, number(line, 2, 16), number(line, 3, 10), &t->lease);
    } else if (is(line, "lock")) {
        uint64_t timeout_ns = (uint64_t)number(line, 4, 10) * 1000000;
        error = oak_sync_lock(cluster, word(line, 2), number(line, 3, 10),
                              timeout_ns != 0 ? timeout_ns : OAK_SYNC_FOREVER, &t->turn);
    } else {
        error = oak_sync_campaign(cluster, word(line, 2), word(line, 3), number(line, 4, 10),
                                  OAK_SYNC_FOREVER, &t->turn);
    }
    if (error == 0) {
        wait_for(t, mourn);
        things_share();
    }
    if (error == 0 && t->turn != NULL) {
        const struct oak_bytes key = oak_sync_turn_key(t->turn);
        printf("held %s %" PRId64 " %.*s\n", t->name, oak_sync_turn_revision(t->turn),
               (int)key.size, (const char *)key.data);
    }
    return error;
}

/* So that the thread that waits for it ends. */
static void close_all(struct thing *t)
{
    if (t->turn != NULL) {
        oak_sync_turn_close(t->turn);
    }
    if (t->watch != NULL) {
        oak_sync_watch_close(t->watch);
    }
    if (t->lease != NULL) {
        oak_sync_lease_close(t->lease);
    }
    if (t->observer != NULL) {
        oak_sync_observer_close(t->observer);
    }
}

static int end(const struct line *line)
{
    struct thing *t = thing_of(text(line, 1));
    close_all(t);
    wait_no_more(t);
    int error = oak_sync_turn_end(t->turn, 0);
    oak_sync_watch_free(t->watch);
    oak_sync_lease_free(t->lease);
    oak_sync_observer_free(t->observer);
    t->turn = NULL;
    t->watch = NULL;
    t->lease = NULL;
    t->observer = NULL;
    return error;
}

static void *obey(void *arg)
{
    const struct line *line = arg;
    things_share();
    if (call(line)) {
        return NULL;
    }
    bool over =
        is(line, "end") || is(line, "unwatch") || is(line, "leave") || is(line, "unobserve");
    int error = over ? end(line) : begin(line);
    things_share();
    answer(line, error, NULL);
    return NULL;
}

static void cut(struct line *line)
{
    char *rest = NULL;
    size_t count = 0;
    for (char *at = strtok_r(line->text, " \n", &rest); at != NULL && count < WORDS_MAX;
         at = strtok_r(NULL, " \n", &rest)) {
        line->words[count++] = at;
    }
}

int main(int argc, char **argv)
{
    static struct line *lines[LINES_MAX];
    struct oak_errbuf e = {"usage: probe ENDPOINTS [CA CERT KEY | USER PASSWORD]"};
    struct oak_sync_options options = {.watch_bytes = 4096};
    size_t count = 0;
    if (argc == 5) {
        options.ca_file = argv[2];
        options.cert_file = argv[3];
        options.key_file = argv[4];
    } else if (argc == 4) {
        options.client.user = argv[2];
        options.client.password = argv[3];
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 2 || argc == 3 || argc > 5 || oak_sync_open(argv[1], &options, &cluster, &e) != 0) {
        return fprintf(stderr, "%s\n", e.text), 1;
    }
    while (count < LINES_MAX && (lines[count] = calloc(1, sizeof(struct line))) != NULL &&
           fgets(lines[count]->text, sizeof(lines[count]->text), stdin) != NULL) {
        struct line *line = lines[count];
        line->number = ++count;
        cut(line);
        if (pthread_create(&line->thread, NULL, obey, line) != 0) {
            return 1;
        }
    }
    oak_sync_close(cluster); /* whoever is still inside comes back */
    for (size_t i = 0; i < count; i++) {
        pthread_join(lines[i]->thread, NULL);
    }
    oak_sync_free(cluster); /* and things may go behind it */
    for (size_t i = 0; i < thing_count; i++) {
        const struct line line = {.words = {NULL, things[i].name}};
        (void)end(&line);
    }
    for (size_t i = 0; i <= count && i < LINES_MAX; i++) {
        free(lines[i]);
    }
    return 0;
}
