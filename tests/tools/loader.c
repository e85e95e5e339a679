/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c: writes key after key to a cluster, each until it is acknowledged, and notes when.
 *
 *     loader ENDPOINTS ACKS KEYS CLIENTS RATE VALUE_BYTES [FIRST]
 *
 * KEYS 0: until SIGTERM. RATE: keys begun a second, 0 for no limit. A put that failed is sent again
 * to the next endpoint: same key, same value, so that twice does no harm. One line in the file ACKS
 * for each key: "number endpoint sent_ns done_ns revision", times of the clock that goes on while
 * the machine sleeps. At the end one line of JSON on stdout.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/tools/tool.h"

#define TIMEOUT_NS  (2000 * CROWD_MS)
#define REST_NS     (10 * CROWD_MS)
#define CLIENTS_MAX 1024
#define VALUE_MAX   65536

struct loader {
    struct crowd crowd;
    FILE *acks;
    uint64_t first, keys, clients, rate, value_bytes;
    uint64_t next; /* key that nobody has begun */
    uint64_t acked;
    uint64_t tries;
    uint64_t start_ns;
    size_t idle; /* clients that have ended */
    struct client *crew;
};

struct client {
    struct crowd_call call;
    struct loader *loader;
    uint64_t key;
    size_t endpoint;
    uint8_t *value;
};

static void key_next(struct crowd_call *call);

static void put_send(struct crowd_call *call)
{
    struct client *client = OAK_CONTAINER_OF(call, struct client, call);
    struct loader *l = client->loader;
    char key[TOOL_KEY_BYTES + 1];
    tool_key(client->key, key);
    tool_value(client->key, client->value, l->value_bytes);
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = oak_proto_binary(oak_bytes_str(key));
    put.value = (ProtobufCBinaryData){.len = l->value_bytes, .data = client->value};
    l->tries++;
    crowd_send(call, client->endpoint, "Put", &put.base, &etcdserverpb__put_response__descriptor,
               TIMEOUT_NS);
}

static void put_done(struct crowd_call *call)
{
    struct client *client = OAK_CONTAINER_OF(call, struct client, call);
    struct loader *l = client->loader;
    if (call->code != OAK_RPC_OK) {
        client->endpoint++;
        if (l->crowd.stopping) {
            key_next(call);
        } else {
            crowd_rest(call, REST_NS, put_send);
        }
        return;
    }
    const Etcdserverpb__PutResponse *response = (const Etcdserverpb__PutResponse *)call->response;
    fprintf(l->acks, "%" PRIu64 " %zu %" PRIu64 " %" PRIu64 " %" PRId64 "\n", client->key,
            call->endpoint, call->sent_ns, call->done_ns, response->header->revision);
    l->acked++;
    key_next(call);
}

/* The next key, when it is due. */
static void key_next(struct crowd_call *call)
{
    struct client *client = OAK_CONTAINER_OF(call, struct client, call);
    struct loader *l = client->loader;
    if (l->crowd.stopping || (l->keys != 0 && l->next == l->first + l->keys)) {
        l->idle++;
        if (l->idle == l->clients) {
            crowd_stop(&l->crowd);
        }
        return;
    }
    if (l->rate != 0) {
        uint64_t due = l->start_ns + (l->next - l->first) * (1000 * CROWD_MS) / l->rate;
        uint64_t now = crowd_now(&l->crowd);
        if (due > now) {
            crowd_rest(call, OAK_MIN(due - now, 50 * CROWD_MS), key_next);
            return;
        }
    }
    client->key = l->next++;
    put_send(call);
}

static bool clients_make(struct loader *l)
{
    l->crew = calloc(l->clients, sizeof(*l->crew));
    for (size_t i = 0; l->crew != NULL && i < l->clients; i++) {
        struct client *client = &l->crew[i];
        client->loader = l;
        client->endpoint = i;
        client->value = malloc(l->value_bytes + 1);
        client->call.done = put_done;
        crowd_call_init(&l->crowd, &client->call);
        if (client->value == NULL) {
            return false;
        }
        crowd_rest(&client->call, 0, key_next);
    }
    return l->crew != NULL;
}

static int load(struct loader *l)
{
    l->next = l->first;
    l->start_ns = crowd_now(&l->crowd);
    if (!clients_make(l)) {
        fprintf(stderr, "loader: no memory\n");
        return 1;
    }
    crowd_run(&l->crowd);
    uint64_t took = crowd_now(&l->crowd) - l->start_ns;
    printf("{\"acked\":%" PRIu64 ",\"begun\":%" PRIu64 ",\"tries\":%" PRIu64 ",\"seconds\":%.3f}\n",
           l->acked, l->next - l->first, l->tries, (double)took / 1e9);
    for (size_t i = 0; i < l->clients; i++) {
        crowd_call_fini(&l->crew[i].call);
        free(l->crew[i].value);
    }
    free(l->crew);
    return 0;
}

int main(int argc, char **argv)
{
    struct loader l = {.first = 0};
    bool good = argc == 7 || (argc == 8 && tool_number(argv[7], &l.first));
    good = good && tool_number(argv[3], &l.keys) && tool_number(argv[4], &l.clients) &&
           tool_number(argv[5], &l.rate) && tool_number(argv[6], &l.value_bytes) && l.clients > 0 &&
           l.clients <= CLIENTS_MAX && l.value_bytes <= VALUE_MAX;
    if (!good) {
        fprintf(stderr, "loader ENDPOINTS ACKS KEYS CLIENTS RATE VALUE_BYTES [FIRST]\n");
        return 2;
    }
    l.acks = fopen(argv[2], "w");
    if (l.acks == NULL || !tool_crowd(&l.crowd, argv[1])) {
        fprintf(stderr, "loader: can't begin\n");
        return 1;
    }
    /* A line at a time: whoever kills servers reads along. */
    (void)setvbuf(l.acks, NULL, _IOLBF, BUFSIZ);
    int code = load(&l);
    crowd_fini(&l.crowd);
    return fclose(l.acks) == 0 ? code : 1;
}
