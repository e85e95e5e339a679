/* SPDX-License-Identifier: Apache-2.0 */
/* config_gates.c: --feature-gates, and the older flags that some gates had.
 *
 * Happy path   1 groups (AllAlpha, AllBeta), then gates by their names, then older flags
 *              2 what is on is held against what this server does
 * Can fail     OAK_EINVAL: no such gate, a bad value, a gate and its older flag that differ;
 *              OAK_EUNIMPLEMENTED: a gate that is on and can't be.
 * Invariants   a gate that is on, and does not say so in the log, is kept.
 */
#include "server/config_internal.h"

enum work {
    ALWAYS,  /* it is done here whether the gate is on or not */
    NOTHING, /* etcd's own machinery: there is nothing to be done here */
    LATER,   /* it can't be done yet */
};

struct gate {
    const char *name;
    const char *flag; /* its older name; NULL: it has none */
    const char *why;
    enum work work;
    bool beta; /* else alpha; those of beta are on unless they are put off */
};

#define LEASES "what is left of a lease that lives long is written down, and kept"

static const struct gate gates[OAK_CONFIG_GATES] = {
    [OAK_CONFIG_GATE_INITIAL_CORRUPT_CHECK] = {"InitialCorruptCheck",
                                               "experimental-initial-corrupt-check",
                                               "members compare their data all the time", ALWAYS,
                                               false},
    [OAK_CONFIG_GATE_COMPACT_HASH_CHECK] = {"CompactHashCheck",
                                            "experimental-compact-hash-check-enabled",
                                            "members compare their data all the time", ALWAYS,
                                            false},
    [OAK_CONFIG_GATE_LEASE_CHECKPOINT] = {"LeaseCheckpoint", "experimental-enable-lease-checkpoint",
                                          LEASES, ALWAYS, false},
    [OAK_CONFIG_GATE_LEASE_CHECKPOINT_PERSIST] = {"LeaseCheckpointPersist",
                                                  "experimental-enable-lease-checkpoint-persist",
                                                  LEASES, ALWAYS, false},
    [OAK_CONFIG_GATE_STOP_ON_DEFRAG] = {"StopGRPCServiceOnDefrag",
                                        "experimental-stop-grpc-service-on-defrag",
                                        "nothing stops while the store is made smaller", NOTHING,
                                        false},
    [OAK_CONFIG_GATE_SHARED_BUFFER] = {"TxnModeWriteWithSharedBuffer",
                                       "experimental-txn-mode-write-with-shared-buffer",
                                       "it is about buffers of etcd's own", NOTHING, true},
    [OAK_CONFIG_GATE_LOCAL_ADDRESS] = {"SetMemberLocalAddr", NULL, NULL, LATER, false},
    [OAK_CONFIG_GATE_FAST_KEEPALIVE] = {"FastLeaseKeepAlive", NULL,
                                        "it is about how etcd's leader knows that it leads",
                                        NOTHING, true},
    [OAK_CONFIG_GATE_PRIORITY] = {"PriorityRequest", NULL, NULL, LATER, false},
};

/* What the text says of one name: 1 on, 0 off, -1 nothing; the last word counts. */
static int said(const char *text, const char *name)
{
    int value = -1;
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        size_t name_size = OAK_MIN(strcspn(at, "="), size);
        if (oak_bytes_eq(oak_bytes(at, name_size), oak_bytes_str(name))) {
            value =
                oak_bytes_eq(oak_bytes(at + name_size, size - name_size), oak_bytes_str("=true"));
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return value;
}

static bool is_gate(struct oak_bytes name)
{
    bool known = oak_bytes_eq(name, oak_bytes_str("AllAlpha")) ||
                 oak_bytes_eq(name, oak_bytes_str("AllBeta"));
    for (size_t i = 0; i < OAK_CONFIG_GATES; i++) {
        known = known || oak_bytes_eq(name, oak_bytes_str(gates[i].name));
    }
    return known;
}

static int text_check(const char *text, struct oak_errbuf *e)
{
    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ",");
        size_t name_size = OAK_MIN(strcspn(at, "="), size);
        int shown = (int)OAK_MIN(name_size, 128);
        struct oak_bytes value = oak_bytes(at + name_size, size - name_size);
        if (!is_gate(oak_bytes(at, name_size))) {
            return oak_fail(e, OAK_EINVAL, "--feature-gates: unrecognized feature gate: %.*s",
                            shown, at);
        }
        if (!oak_bytes_eq(value, oak_bytes_str("=true")) &&
            !oak_bytes_eq(value, oak_bytes_str("=false"))) {
            return oak_fail(e, OAK_EINVAL, "--feature-gates: give %.*s=true or %.*s=false", shown,
                            at, shown, at);
        }
        at += size + (at[size] == ',' ? 1 : 0);
    }
    return 0;
}

/* Is this gate on, by all that was said? */
static int decide(struct config__loader *l, size_t i, bool *on)
{
    const struct oak_config *c = l->config;
    const struct gate *g = &gates[i];
    int group = said(c->feature_gates, g->beta ? "AllBeta" : "AllAlpha");
    int own = said(c->feature_gates, g->name);
    int older = g->flag != NULL && config__given(l, g->flag) ? c->gates[i] : -1;
    if (own >= 0 && older >= 0 && own != older) {
        return oak_fail(l->e, OAK_EINVAL,
                        "cannot specify both flags: --%s=%s and --feature-gates=%s=%s at the same "
                        "time, please just use --feature-gates=%s=%s",
                        g->flag, older ? "true" : "false", g->name, own ? "true" : "false", g->name,
                        own ? "true" : "false");
    }
    *on = own >= 0 ? own : older >= 0 ? older : group >= 0 ? group : g->beta;
    return 0;
}

int config__gates_check(struct config__loader *l)
{
    struct oak_config *c = l->config;
    int error = text_check(c->feature_gates, l->e);
    for (size_t i = 0; i < OAK_CONFIG_GATES && error == 0; i++) {
        const struct gate *g = &gates[i];
        bool on = false;
        error = decide(l, i, &on);
        if (error == 0 && on && g->work == LATER) {
            error = oak_fail(l->e, OAK_EUNIMPLEMENTED,
                             "--feature-gates: %s is not supported yet in this version; leave it "
                             "out, and name gates one by one in the place of AllAlpha",
                             g->name);
        }
        if (error == 0 && on != g->beta && g->work == NOTHING) {
            config__warn(c, "--feature-gates: %s=%s changes nothing in this server: %s", g->name,
                         on ? "true" : "false", g->why);
        }
        c->gates[i] = on || g->work == ALWAYS;
    }
    return error;
}
