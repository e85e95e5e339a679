/* SPDX-License-Identifier: Apache-2.0 */
/* soak_test.c: rounds of the same conversation, and what is held behind them, in blocks and bytes.
 * `make soak` is the long form, over sockets. */
#include <malloc.h>

#include "rpc/test_memory.h"
#include "rpc/test_pair.h"

#define CALLS  120
#define WARM   20 /* rounds in which pools and the allocator's own caches fill */
#define ROUNDS 100
/* Which call of the pool has which buffers differs from round to round, and so what they are; one
 * block that is forgotten a round would make eighty. */
#define BLOCKS_MORE 10
#define BYTES_MORE  (256 * OAK_KIB)

/* A call of one of these kinds; what it is told goes nowhere. */
enum kind { UNARY, PACKED, STREAM, PAUSED, CANCELLED, LATE, REFUSED, UNKNOWN, KINDS };

struct tally {
    int begun;
    int closed;
};

static void tally_message(void *user, struct oak_rpc_call *call, struct oak_bytes b)
{
    (void)user;
    (void)call;
    (void)b;
}

static void tally_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct tally *t = user;
    (void)call;
    (void)status;
    t->closed++;
}

static const struct oak_rpc_handler tally_handler = {.message = tally_message,
                                                     .closed = tally_closed};

static void call_make(struct pair *p, struct oak_rpc_conn *conn, enum kind kind, struct tally *t,
                      struct oak_rpc_call **out)
{
    static uint8_t bytes[20000];
    const struct oak_rpc_pair metadata = {oak_bytes_str("x-test-initial"), oak_bytes_str("v")};
    struct oak_rpc_request request = {.service = "t.Echo",
                                      .method = kind == UNKNOWN                     ? "Nothing"
                                                : kind == UNARY || kind == PACKED   ? "Unary"
                                                : kind == CANCELLED || kind == LATE ? "Watch"
                                                                                    : "Bidi",
                                      .timeout_ns = kind == LATE ? SECOND / 2 : 3600 * SECOND,
                                      .metadata = &metadata,
                                      .metadata_count = 1,
                                      .encoding = kind == PACKED ? OAK_RPC_GZIP : OAK_RPC_IDENTITY,
                                      .handler = &tally_handler,
                                      .user = t};
    size_t messages = kind == STREAM || kind == PAUSED ? 5 : 1;
    assert_int_equal(oak_rpc_conn_call(conn, &request, p->now_ns, out), 0);
    t->begun++;
    for (size_t i = 0; i < messages; i++) {
        size_t size = oak_prng_below(&p->prng, sizeof(bytes));
        bytes[0] = kind == REFUSED ? ECHO_FINISH : 0;
        bytes[1] = OAK_RPC_ABORTED;
        assert_int_equal(oak_rpc_call_send(*out, oak_bytes(bytes, 2 + size % 19000)), 0);
    }
    oak_rpc_call_pause(*out, kind == PAUSED);
    if (kind != CANCELLED && kind != LATE) {
        oak_rpc_call_half_close(*out);
    }
}

/* The same calls each time, on the connections that stay and on others that go with them open. */
static void conversation(struct pair *p, struct tally *t)
{
    struct oak_rpc_conn *client = NULL;
    struct oak_rpc_conn *server = NULL;
    struct oak_rpc_call *calls[CALLS];
    oak_prng_init(&p->prng, 11);
    assert_int_equal(oak_rpc_conn_new(p->server, NULL, "c", p->now_ns, &server), 0);
    assert_int_equal(oak_rpc_conn_new(NULL, NULL, "s", p->now_ns, &client), 0);
    for (int i = 0; i < CALLS; i++) {
        call_make(p, i % 3 == 0 ? client : p->client_conn, (enum kind)(i % KINDS), t, &calls[i]);
        if (i % 5 == 0) {
            pair_run(p);
            pair_carry(p, client, server, &p->server_error);
            pair_carry(p, server, client, &p->client_error);
        }
    }
    oak_rpc_conn_free(client); /* with calls at every stage */
    oak_rpc_conn_free(server);
    pair_run(p);
    for (int i = 0; i < CALLS; i++) {
        if (i % 3 != 0 && i % KINDS == CANCELLED) {
            oak_rpc_call_cancel(calls[i]);
        } else if (i % 3 != 0 && i % KINDS == PAUSED) {
            oak_rpc_call_pause(calls[i], false);
        }
    }
    pair_run(p);
    pair_tick(p, SECOND);
    pair_run(p);
    assert_int_equal(p->client_error | p->server_error, 0);
    assert_int_equal(t->begun, t->closed);
    assert_int_equal(p->echo.started, p->echo.closed);
}

static void rounds_hold_nothing_more(void **state)
{
    (void)state;
    struct pair p;
    struct tally t = {0};
    size_t bytes = 0;
    size_t count = 0;
    if (!MEMORY_COUNTS) {
        return; /* the leak checker of a sanitizer is the test there */
    }
    memory_begin(-1);
    pair_open(&p, NULL, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        conversation(&p, &t);
        if (round <= WARM) {
            bytes = OAK_MAX(bytes, mallinfo2().uordblks);
            count = OAK_MAX(count, memory_live());
        }
    }
    assert_in_range(memory_live(), 0, count + BLOCKS_MORE);
    assert_in_range(mallinfo2().uordblks, 0, bytes + BYTES_MORE);
    assert_int_equal(t.begun, CALLS * ROUNDS);
    pair_close(&p);
    assert_false(memory_end());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_hold_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
