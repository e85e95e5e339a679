/* SPDX-License-Identifier: Apache-2.0 */
/* model.h: the state machine once more, as simple as can be (model.c). */
#ifndef OAK_SIM_MODEL_H
#define OAK_SIM_MODEL_H

#include "kv/kv.h"

struct model_key {
    char key[32];
    size_t key_size;
    uint32_t value_crc;
    size_t value_size;
    int64_t create, mod;
    int64_t version; /* 0: no such key */
    int64_t lease;
};

/* model_auth.c: what of root, of one guest and its role there is. */
#define SIM_PERMISSIONS 3
struct sim_permission {
    const char *from, *to; /* "": one key */
    unsigned letters;      /* of the keys in it, as bits */
};
extern const struct sim_permission sim_permissions[SIM_PERMISSIONS];

struct model_auth {
    bool enabled;
    uint64_t revision, disabled_at, guest_since;
    bool root, root_rules;
    bool guest, role, guest_plays;
    bool permitted[SIM_PERMISSIONS];
};

struct model_lease {
    int64_t id;
    int64_t ttl_s;
    int64_t remaining_s;
};

/* What a key was made at a revision. */
struct model_change {
    struct model_key as;
    size_t key; /* its place */
};

struct model_kv {
    struct model_key *keys;
    size_t count;
    size_t capacity;
    struct model_change *changes; /* in their order */
    size_t change_count;
    size_t change_capacity;
    struct model_auth auth;
    struct model_lease *leases; /* in no order */
    size_t lease_count;
    size_t lease_capacity;
    uint64_t index;
    int64_t revision;
    int64_t compacted; /* -1: not yet */
};

/* model_lease.c */
const struct model_lease *sim__model_lease(const struct model_kv *m, int64_t id);
/* A command about leases; whether it took a revision. */
bool sim__model_lease_run(struct model_kv *m, enum oak_kv_kind kind,
                          const ProtobufCMessage *message);
/* The key is gone as of the revision that is being made. */
bool sim__model_gone(struct model_kv *m, struct model_key *k);

/* model_auth.c */
void sim__model_auth_run(struct model_auth *a, enum oak_kv_kind kind,
                         const ProtobufCMessage *message);
/* May it put the key of this letter, or (`to` above it) delete those from it to another? */
bool sim__model_guest_may(const struct model_auth *a, unsigned from, unsigned to);
bool sim__model_permits(const struct model_auth *a, const struct oak_kv_command *command,
                        const ProtobufCMessage *message);

/* model.c */
/* Indexes come in order, without a gap. Returns the revision behind it. */
int64_t sim__model_apply(struct model_kv *m, uint64_t index, struct oak_bytes entry);
/* NULL: no such key. */
const struct model_key *sim__model_find(const struct model_kv *m, struct oak_bytes key);
/* The model as it was at a revision; freed as any. */
void sim__model_as_of(const struct model_kv *m, int64_t rev, struct model_kv *out);
void sim__model_fini(struct model_kv *m);

#endif
