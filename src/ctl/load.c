/* SPDX-License-Identifier: Apache-2.0 */
/* load.c: puts by many clients.
 *
 * Happy path   1 a connection for every ten clients 2 each client puts a key, and when that is
 *              answered and a put is due the next one 3 the time is up, and all are answered
 * Invariants   with a rate, puts that are due while all clients wait are made up for as far as
 *              there are clients, and no further: a cluster that stands still is not flooded when
 *              it goes on.
 */
#include "ctl/load.h"

#include <stdlib.h>
#include <unistd.h>

#define SECOND_NS      UINT64_C(1000000000)
#define MS_NS          UINT64_C(1000000)
#define PER_CONNECTION 10
#define PUT_TIMEOUT_NS (60 * SECOND_NS)

struct client {
    struct run *run;
    struct oak_client *client;
    uint64_t began_ns;
    struct client *next; /* that has nothing to do */
};

struct run {
    struct ctl__load *load;
    struct ctl *c;
    const struct oak_loop *loop;
    struct ctl__link **links;
    size_t link_count;
    struct client *clients;
    struct client *idle;
    size_t idle_count;
    uint8_t *key;
    uint8_t *value;
    size_t prefix_bytes;
    uint64_t random;
    uint64_t began_ns;
    uint64_t begun;
    uint64_t left_out; /* were due while all clients waited */
    struct oak_timer timer;
    uint64_t shown_s;
    bool stopped;
    bool over;
};

static uint64_t now(const struct run *r)
{
    return r->loop->clock.mono_ns(r->loop->clock.user);
}

/* Bits that differ from put to put: splitmix64. */
static uint64_t draw(struct run *r)
{
    uint64_t z = r->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* -- what came of it --------------------------------------------------------------------------- */

static void failure_note(struct ctl__load *load, const char *text)
{
    size_t at = 0;
    load->failed++;
    while (at < load->failure_count && strcmp(load->failures[at].text, text) != 0) {
        at++;
    }
    if (at == CTL__FAILURES_MAX) { /* of another kind still: with the last */
        at--;
    } else if (at == load->failure_count) {
        snprintf(load->failures[at].text, sizeof(load->failures[at].text), "%.127s", text);
        load->failure_count++;
    }
    load->failures[at].count++;
}

/* Mean and squares as they come (Welford). */
static void time_note(struct ctl__load *load, double took_s)
{
    double count = (double)(load->ended - load->failed);
    double off = took_s - load->mean_s;
    load->mean_s += off / count;
    load->squares += off * (took_s - load->mean_s);
    load->slowest_s = took_s > load->slowest_s ? took_s : load->slowest_s;
}

/* -- puts -------------------------------------------------------------------------------------- */

static void pump(struct run *r);

static void put_done(void *user, const struct oak_client_answer *answer)
{
    struct client *client = user;
    struct run *r = client->run;
    r->load->ended++;
    if (answer->error == 0) {
        time_note(r->load, (double)(now(r) - client->began_ns) / 1e9);
    } else {
        failure_note(r->load,
                     answer->message[0] != '\0' ? answer->message : oak_error_text(answer->error));
    }
    client->next = r->idle;
    r->idle = client;
    r->idle_count++;
    pump(r);
}

static void put_begin(struct run *r)
{
    struct client *client = r->idle;
    uint64_t bits = draw(r);
    memcpy(r->key + r->prefix_bytes, &bits, sizeof(bits));
    const struct oak_client_op op =
        oak_client_put(oak_bytes(r->key, r->prefix_bytes + r->load->key_bytes),
                       oak_bytes(r->value, r->load->value_bytes));
    r->begun++;
    client->began_ns = now(r);
    int error = oak_client_do(client->client, &op, PUT_TIMEOUT_NS, put_done, client, NULL);
    if (error != 0) {
        r->load->ended++;
        failure_note(r->load, oak_error_text(error));
        return;
    }
    r->idle = client->next;
    r->idle_count--;
}

static bool is_over(const struct run *r)
{
    return r->stopped || (r->load->total > 0 ? r->begun >= r->load->total
                                             : now(r) - r->began_ns >= r->load->duration_ns);
}

/* Puts that may begin now. */
static uint64_t due(struct run *r)
{
    const struct ctl__load *load = r->load;
    if (is_over(r)) {
        return 0;
    }
    if (load->rate == 0) {
        return load->total - r->begun;
    }
    uint64_t elapsed_us = (now(r) - r->began_ns) / 1000;
    uint64_t all = elapsed_us * load->rate / 1000000 + 1 - r->left_out;
    uint64_t behind = all > r->begun ? all - r->begun : 0;
    if (behind > load->clients) {
        r->left_out += behind - load->clients;
        behind = load->clients;
    }
    return behind;
}

static void pump(struct run *r)
{
    for (uint64_t left = due(r); left > 0 && r->idle_count > 0; left--) {
        put_begin(r);
    }
    if (is_over(r) && r->idle_count == r->load->clients) {
        r->over = true;
        oak_os_loop_stop(r->c->os);
    }
}

/* -- time -------------------------------------------------------------------------------------- */

static void progress_show(struct run *r, bool end)
{
    uint64_t elapsed_s = (now(r) - r->began_ns) / SECOND_NS;
    if (isatty(STDERR_FILENO) != 1 || (elapsed_s == r->shown_s && !end)) {
        return;
    }
    r->shown_s = elapsed_s;
    fprintf(stderr, "\r%" PRIu64 " s: %" PRIu64 " puts%s", elapsed_s, r->load->ended,
            end ? "\n" : "");
    fflush(stderr);
}

static void tick(struct oak_timer *timer)
{
    struct run *r = OAK_CONTAINER_OF(timer, struct run, timer);
    pump(r);
    progress_show(r, false);
    if (!r->over) {
        r->loop->timers.set(r->loop->timers.user, timer, now(r) + MS_NS);
    }
}

static void interrupted(void *user, int signal)
{
    struct run *r = user;
    (void)signal;
    r->stopped = true;
    pump(r);
}

/* -- all of it --------------------------------------------------------------------------------- */

static bool prepare(struct run *r, int *code)
{
    struct ctl__load *load = r->load;
    r->prefix_bytes = strlen(load->prefix);
    r->link_count = (load->clients + PER_CONNECTION - 1) / PER_CONNECTION;
    r->links = calloc(r->link_count, sizeof(*r->links));
    r->clients = calloc(load->clients, sizeof(*r->clients));
    r->key = calloc(1, r->prefix_bytes + load->key_bytes);
    r->value = calloc(1, load->value_bytes);
    if (r->links == NULL || r->clients == NULL || r->key == NULL || r->value == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return false;
    }
    memcpy(r->key, load->prefix, r->prefix_bytes);
    for (size_t i = 0; i < r->link_count; i++) {
        r->links[i] = ctl__link_new(r->c, code);
        if (r->links[i] == NULL) {
            return false;
        }
    }
    for (size_t i = 0; i < load->clients; i++) {
        r->clients[i] = (struct client){
            .run = r,
            .client = ctl__link_client(r->links[i / PER_CONNECTION]),
            .next = r->idle,
        };
        r->idle = &r->clients[i];
    }
    r->idle_count = load->clients;
    r->loop = oak_os_loop_port(r->c->os);
    r->loop->entropy.fill(r->loop->entropy.user, &r->random, sizeof(r->random));
    return true;
}

bool ctl__load_run(struct ctl *c, struct ctl__load *load, int *code)
{
    struct run r = {.load = load, .c = c, .timer = {.fire = tick}};
    bool good = prepare(&r, code);
    if (good && oak_os_loop_on_signal(c->os, interrupted, &r) != 0) {
        *code = ctl__error(CTL__FAILED, "cannot wait for signals");
        good = false;
    }
    if (good) {
        r.began_ns = now(&r);
        tick(&r.timer);
        while (!r.over) {
            oak_os_loop_run(c->os);
        }
        r.loop->timers.stop(r.loop->timers.user, &r.timer);
        load->took_ns = now(&r) - r.began_ns;
        progress_show(&r, true);
        int error = oak_os_loop_on_signal(c->os, NULL, NULL);
        OAK_ASSERT_EQ(error, 0);
    }
    for (size_t i = 0; r.links != NULL && i < r.link_count; i++) {
        ctl__unlink(r.links[i]);
    }
    free(r.links);
    free(r.clients);
    free(r.key);
    free(r.value);
    return good;
}
