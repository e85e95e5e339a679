/* SPDX-License-Identifier: Apache-2.0 */
/* raft_fuzz.c: bytes become messages and calls to one core. Nothing may crash it. What it refuses
 * must change nothing; when it halts there must be evidence, and no work. */
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "oakum/raft.h"

static void *resize_libc(void *user, void *p, size_t size)
{
    (void)user;
    if (size == 0) {
        free(p);
        return NULL;
    }
    return realloc(p, size);
}

/* Small numbers most of the time, or nothing would ever fit together. */
static uint64_t read_number(struct oak_reader *in)
{
    uint8_t small = oak_read_u8(in);
    return small < 250 ? small % 16u : oak_read_u64(in);
}

/* Most ids in one list, some in another. */
static struct oak_raft_config config_read(struct oak_reader *in)
{
    struct oak_raft_config c = {0};
    for (uint64_t id = 1; id <= 4; id++) {
        uint8_t parts = oak_read_u8(in);
        if ((parts & 1) != 0) {
            c.voters[c.voter_count++] = id;
        }
        if ((parts & 2) != 0) {
            c.voters_outgoing[c.voter_outgoing_count++] = id;
        }
        if ((parts & 7) == 4) {
            c.learners[c.learner_count++] = id;
        }
        if ((parts & 7) == 6) {
            c.learners_next[c.learner_next_count++] = id;
        }
    }
    return c;
}

static void step_one(struct oak_raft *r, struct oak_reader *in)
{
    struct oak_raft_entry entries[8];
    uint8_t configs[8][OAK_RAFT_CONFIG_BYTES_MAX] = {0};
    struct oak_raft_msg m = {.type = (enum oak_raft_msg_type)(oak_read_u8(in) % 14u)};
    uint8_t flags = oak_read_u8(in);
    m.from = (flags & 1) != 0 ? 2 : read_number(in);
    m.to = (flags & 2) != 0 ? read_number(in) : 1;
    m.term = read_number(in);
    m.index = read_number(in);
    m.log_term = read_number(in);
    m.commit = read_number(in);
    m.read_seq = (flags & 4) != 0 ? read_number(in) : 0;
    m.hint_index = (flags & 8) != 0 ? read_number(in) : 0;
    m.hint_term = (flags & 8) != 0 ? read_number(in) : 0;
    m.reject = (flags & 16) != 0;
    m.transfer = (flags & 32) != 0;
    m.priority = (uint8_t)m.commit;
    m.snapshot.index = (flags & 32) != 0 ? read_number(in) : 0;
    m.snapshot.term = (flags & 32) != 0 ? read_number(in) : 0;
    m.snapshot.config = (struct oak_raft_config){.voter_count = 3, .voters = {1, 2, 3}};
    if ((flags & 64) != 0) {
        m.snapshot.config.voter_count = oak_read_u8(in);
        m.snapshot.config.learner_count = oak_read_u8(in);
        m.snapshot.config.learners[0] = read_number(in);
    }
    m.entries = entries;
    m.entry_count = (flags & 128) != 0 ? oak_read_u8(in) % 9u : 0;
    for (size_t i = 0; i < m.entry_count; i++) {
        uint8_t odd = oak_read_u8(in);
        entries[i] = (struct oak_raft_entry){
            .index = (odd & 1) != 0 ? read_number(in) : m.index + 1 + i,
            .term = read_number(in),
            .type = (enum oak_raft_entry_type)((odd >> 1) % 4u),
            .size = (odd & 64) != 0 ? 6 : 0,
            .data = (odd & 128) != 0 ? NULL : "bytes",
        };
        if (entries[i].type == OAK_RAFT_ENTRY_CONFIG && (odd & 64) != 0) {
            struct oak_raft_config config = config_read(in);
            bool sound = oak_raft_config_check(&config) == OAK_RAFT_OK;
            entries[i].data = configs[i];
            entries[i].size = sound ? (uint32_t)oak_raft_config_encode(&config, configs[i]) : 16;
        }
    }
    struct oak_raft_status before;
    struct oak_raft_status after;
    memset(&before, 0, sizeof(before));
    memset(&after, 0, sizeof(after));
    oak_raft_status(r, &before);
    int e = oak_raft_step(r, &m);
    oak_raft_status(r, &after);
    OAK_ASSERT(e == OAK_RAFT_OK || memcmp(&before, &after, sizeof(before)) == 0);
    OAK_ASSERT_GE(after.term, before.term);
    OAK_ASSERT_GE(after.commit, before.commit);
}

struct host {
    uint64_t now_ms;
    uint64_t token; /* of the newest batch */
    uint64_t applied;
};

static void take_one(struct oak_raft *r, struct host *h)
{
    bool promised = oak_raft_has_output(r);
    const struct oak_raft_output *out = oak_raft_take(r);
    OAK_ASSERT_EQ(promised, out->persist.token != 0 || out->send_count + out->apply_count > 0 ||
                                out->read_count + out->snapshot_count > 0);
    if (out->persist.token != 0) {
        h->token = out->persist.token;
    }
    if (out->persist.restore != NULL) {
        h->applied = OAK_MAX(h->applied, out->persist.restore->index);
    }
    for (size_t i = 0; i < out->apply_count; i++) {
        struct oak_raft_config config;
        const struct oak_raft_entry *e = &out->apply[i];
        if (e->type == OAK_RAFT_ENTRY_CONFIG) {
            OAK_ASSERT(oak_raft_config_decode(e->data, e->size, &config) == OAK_RAFT_OK);
        } else if (e->type == OAK_RAFT_ENTRY_DATA) {
            OAK_ASSERT(e->size == 0 || memcmp(e->data, "bytes", 6) == 0);
        }
        h->applied = OAK_MAX(h->applied, out->apply[i].index);
    }
}

static void change_one(struct oak_raft *r, struct oak_reader *in)
{
    struct oak_raft_config config = config_read(in);
    config.voter_outgoing_count = 0;
    config.learner_next_count = 0;
    (void)oak_raft_change(r, &config, NULL, NULL);
}

static void call_one(struct oak_raft *r, struct host *h, struct oak_reader *in)
{
    uint64_t seq = 0;
    switch (oak_read_u8(in) % 16u) {
    case 0:
        h->now_ms += (uint64_t)oak_read_u8(in) * 10;
        (void)oak_raft_tick(r, h->now_ms);
        break;
    case 1:
        (void)oak_raft_campaign(r);
        break;
    case 2:
        (void)oak_raft_propose(r, "bytes", 6, NULL, NULL);
        break;
    case 3:
        (void)oak_raft_read(r, &seq);
        break;
    case 4: {
        uint64_t back = oak_read_u8(in) % 4u;
        oak_raft_persisted(r, h->token - OAK_MIN(h->token, back));
        break;
    }
    case 5:
        oak_raft_applied(r, h->applied);
        break;
    case 6:
        (void)oak_raft_compact(r, read_number(in));
        break;
    case 7:
        oak_raft_snapshot_sent(r, read_number(in), read_number(in), oak_read_u8(in) % 2 == 0);
        break;
    case 8:
        oak_raft_unreachable(r, read_number(in));
        break;
    case 9:
        take_one(r, h);
        break;
    case 10:
        change_one(r, in);
        break;
    case 11:
        (void)oak_raft_transfer(r, read_number(in));
        break;
    default:
        step_one(r, in);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oak_reader in = oak_reader(oak_bytes(data, size));
    struct oak_raft_options o = {.id = 1, .seed = oak_read_u8(&in)};
    o.alloc.resize = resize_libc;
    o.snapshot.config = (struct oak_raft_config){.voter_count = 3, .voters = {1, 2, 3}};
    if (oak_read_u8(&in) % 4 == 0) {
        o.snapshot.config.voter_count = 1;
    }
    struct oak_raft *r = NULL;
    if (oak_raft_new(&o, &r) != OAK_RAFT_OK) {
        return 0;
    }
    struct host h = {0};
    struct oak_raft_evidence evidence;
    while (oak_reader_left(&in) > 0) {
        call_one(r, &h, &in);
        if (oak_raft_evidence(r, &evidence)) {
            OAK_ASSERT(!oak_raft_has_output(r));
            OAK_ASSERT(oak_raft_tick(r, h.now_ms + 1) == OAK_RAFT_EHALTED);
            oak_raft_free(r);
            h = (struct host){0};
            if (oak_raft_new(&o, &r) != OAK_RAFT_OK) {
                return 0;
            }
        }
    }
    for (int i = 0; i < 1000 && oak_raft_has_output(r); i++) {
        take_one(r, &h);
        oak_raft_persisted(r, h.token);
        oak_raft_applied(r, h.applied);
    }
    OAK_ASSERT(!oak_raft_has_output(r));
    oak_raft_free(r);
    return 0;
}
