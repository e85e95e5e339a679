/* SPDX-License-Identifier: Apache-2.0 */
/* test_verdict.h: a connection is made, and one end refuses the other, or none does. */
#ifndef OAK_TLS_TEST_VERDICT_H
#define OAK_TLS_TEST_VERDICT_H

#include "tls/test_world.h"

/* Connect, and see the client refused by itself. */
static inline void client_refuses(struct world *w, const char *address, const char *reason)
{
    world_open(w);
    world_connect(w, address);
    assert_int_equal(w->c.opened, 0);
    assert_int_equal(w->c.error, OAK_ETLS);
    assert_non_null(strstr(w->c.report, reason));
    assert_int_equal(w->s.opened, 0);
    assert_int_equal(w->s.reports, 1);
    assert_int_equal(w->s.report_error, OAK_ETLS);
    world_close(w);
}

/* Connect, and see the server refuse the client. In TLS 1.3 the client is told behind its own
 * handshake. */
static inline void server_refuses(struct world *w, const char *reason)
{
    world_open(w);
    world_connect(w, "localhost:443");
    assert_int_equal(w->s.opened, 0);
    assert_int_equal(w->s.reports, 1);
    assert_int_equal(w->s.report_error, OAK_ETLS);
    assert_non_null(strstr(w->s.report, reason));
    assert_int_equal(w->c.closed, w->c.opened);
    assert_int_equal(w->c.error, OAK_ETLS);
    assert_int_equal(w->c.reports, 1);
    struct oak_tls_counts counts;
    oak_tls_counts(w->server_tls, &counts);
    assert_int_equal(counts.failed, 1);
    assert_int_equal(counts.handshakes, 0);
    world_close(w);
}

static inline void accepts(struct world *w, const char *address)
{
    world_open(w);
    world_connect(w, address);
    world_converse(w);
    assert_int_equal(w->c.reports, 0);
    assert_int_equal(w->s.reports, 0);
    world_close(w);
}

#endif
