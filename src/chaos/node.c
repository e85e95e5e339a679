/* SPDX-License-Identifier: Apache-2.0 */
/* node.c: the servers: started, killed, stopped in order, stood still.
 *
 * Happy path   place: paths and pages of faults → start → signals → its end is heard
 * Can fail     starting: the program is not there, no descriptors.
 * Invariants   a node that ends although nobody asked it to is a violation, unless a fault of its
 *              disk makes it; one that was asked by SIGTERM ends with code 0. A server dies with
 *              us, however we end (os.h, oak_os_faults_join).
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define ENV_MAX    4096
#define ARGS_MAX   26   /* ours, and the end */
#define TAIL_BYTES 4096 /* of a log: some twenty lines */

extern char **environ;

int chaos__nodes_place(struct chaos *c, struct oak_errbuf *e)
{
    int error = 0;
    for (int i = 0; i < c->count && error == 0; i++) {
        struct chaos__node *n = &c->nodes[i];
        n->chaos = c;
        n->index = i;
        snprintf(n->name, sizeof(n->name), "n%d", i + 1);
        bool fits = strlen(c->dir) + 16 < sizeof(n->dir);
        OAK_ASSERT(fits);
        snprintf(n->dir, sizeof(n->dir), "%.480s/%s", c->dir, n->name);
        snprintf(n->log, sizeof(n->log), "%.480s/%s.log", c->dir, n->name);
        snprintf(n->page, sizeof(n->page), "%.480s/%s.faults", c->dir, n->name);
        error = oak_os_faults_make(n->page, &n->faults, e);
    }
    return error;
}

/* The last line of its log that tells of an error; of one that an assertion ended, the last line of
 * all. */
static void last_words(const struct chaos__node *n, char *out, size_t size)
{
    char text[TAIL_BYTES + 1];
    out[0] = '\0';
    FILE *file = fopen(n->log, "re");
    if (file == NULL) {
        return;
    }
    if (fseek(file, -TAIL_BYTES, SEEK_END) != 0) {
        rewind(file);
    }
    text[fread(text, 1, TAIL_BYTES, file)] = '\0';
    fclose(file);
    const char *last = "";
    const char *told = NULL;
    for (const char *at = text, *end; *at != '\0'; at = end) {
        end = at + strcspn(at, "\n");
        end += *end == '\n' ? 1 : 0;
        last = at;
        told = memmem(at, (size_t)(end - at), " error ", 7) != NULL ? at : told;
    }
    const char *words = told == NULL ? last : told;
    snprintf(out, size, "%.*s", (int)OAK_MIN(strcspn(words, "\n"), size), words);
}

/* A fault of its disk is on, or was a moment ago, and that is what it says it ended for. */
static bool may_end(const struct chaos__node *n, int64_t code, int signal, const char *words)
{
    bool disk = strstr(words, oak_error_text(OAK_EIO)) != NULL ||
                strstr(words, oak_error_text(OAK_ENOSPC)) != NULL;
    return signal == 0 && code == 1 && disk && crowd_now(&n->chaos->crowd) <= n->may_end_until_ns;
}

/* Its end; `code` and `signal` as os.h has them. */
static void exited(void *user, int64_t code, int signal)
{
    struct chaos__node *n = user;
    struct chaos *c = n->chaos;
    char words[400];
    last_words(n, words, sizeof(words));
    n->child = NULL;
    n->paused = false;
    c->running--;
    if (n->ordered) {
        if (signal != SIGKILL && (signal != 0 || code != 0)) {
            chaos__violation(c, "%s was asked to stop and ended by signal %d, code %" PRId64 ": %s",
                             n->name, signal, code, words);
        }
    } else if (may_end(n, code, signal, words)) {
        c->report->ended++;
    } else {
        chaos__violation(c, "%s ended by itself, by signal %d, code %" PRId64 ": %s", n->name,
                         signal, code, words);
    }
}

/* Ours without what would meddle with the servers' flags. */
static void env_make(const char **out, char *bug)
{
    size_t count = 0;
    for (char **at = environ; *at != NULL && count + 2 < ENV_MAX; at++) {
        if (strncmp(*at, "ETCD_", 5) != 0 && strncmp(*at, "OAKUM_BUG=", 10) != 0) {
            out[count++] = *at;
        }
    }
    if (bug[0] != '\0') {
        out[count++] = bug;
    }
    out[count] = NULL;
}

static int members_text(const struct chaos *c, struct oak_buf *out)
{
    int error = 0;
    for (int i = 0; i < c->count && error == 0; i++) {
        error = oak_buf_printf(out, "%s%s=http://%s", i == 0 ? "" : ",", c->nodes[i].name,
                               c->nodes[i].advertised);
    }
    return error == 0 ? oak_buf_append(out, "", 1) : error;
}

static int spawn(struct chaos__node *n, struct oak_errbuf *e)
{
    struct chaos *c = n->chaos;
    struct oak_buf members = {0};
    char client[80], peer[80], advertised[80], bug[128] = "";
    const char *env[ENV_MAX];
    int error = members_text(c, &members);
    if (error != 0) {
        return oak_fail(e, error, "no memory");
    }
    snprintf(client, sizeof(client), "http://%s", n->client_address);
    snprintf(peer, sizeof(peer), "http://%s", n->peer_address);
    snprintf(advertised, sizeof(advertised), "http://%s", n->advertised);
    if (c->options->bug != NULL) {
        snprintf(bug, sizeof(bug), "OAKUM_BUG=%.100s", c->options->bug);
    }
    env_make(env, bug);
    const char *argv[ARGS_MAX + OAK_CHAOS_EXTRA_MAX] = {
        c->options->program, "--name", n->name, "--data-dir", n->dir, "--listen-client-urls",
        client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", advertised, "--initial-cluster",
        (const char *)members.data, "--initial-cluster-token", "oakum-chaos",
        /* Short, so that who was away needs a snapshot. */
        "--snapshot-catchup-entries", "200", "--experimental-log-away-time", "1ms", "--log-format",
        "console", "--experimental-fault-control", n->page};
    size_t count = ARGS_MAX - 1;
    for (char *const *at = c->options->extra; at != NULL && *at != NULL; at++) {
        OAK_ASSERT_LT(count + 1, OAK_COUNT_OF(argv));
        argv[count++] = *at;
    }
    const struct oak_os_child_options options = {
        .argv = argv, .env = env, .output = n->log, .exited = exited, .user = n};
    error = oak_os_child_spawn(c->crowd.os, &options, &n->child, e);
    oak_buf_fini(&members);
    return error;
}

int chaos__node_start(struct chaos__node *n, struct oak_errbuf *e)
{
    OAK_ASSERT(n->child == NULL);
    n->ordered = false;
    n->paused = false;
    n->role = CHAOS_ROLE_SILENT;
    int error = chaos__net_within(n, spawn, e);
    if (error == 0) {
        n->life++;
        n->chaos->running++;
    }
    return error;
}

void chaos__node_signal(struct chaos__node *n, int signal)
{
    if (n->child == NULL) {
        return;
    }
    if (signal == SIGKILL || signal == SIGTERM) {
        n->ordered = true;
    }
    n->paused = signal == SIGSTOP || (n->paused && signal != SIGCONT);
    OAK_MAYBE(oak_os_child_kill(n->child, signal) != 0); /* it may just have ended */
}

bool chaos__nodes_down(const struct chaos *c)
{
    return c->running == 0;
}

void chaos__nodes_fini(struct chaos *c)
{
    for (int i = 0; i < c->count; i++) {
        chaos__node_signal(&c->nodes[i], SIGKILL);
    }
    while (c->running > 0) {
        crowd_run(&c->crowd); /* the tick, or an end, lets it return */
    }
    for (int i = 0; i < c->count; i++) {
        oak_os_faults_close(c->nodes[i].faults);
        c->nodes[i].faults = NULL;
    }
}

int chaos__leader(const struct chaos *c)
{
    int found = -1;
    for (int i = 0; i < c->count; i++) {
        const struct chaos__node *n = &c->nodes[i];
        bool leads = n->child != NULL && n->role == CHAOS_ROLE_LEADER;
        if (leads && (found < 0 || n->term > c->nodes[found].term)) {
            found = i;
        }
    }
    return found;
}
