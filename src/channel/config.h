/* SPDX-License-Identifier: Apache-2.0 */
/* config.h: what a service config says, read once and looked up for each call. */
#ifndef OAK_CHANNEL_CONFIG_H
#define OAK_CHANNEL_CONFIG_H

#include "oakum/channel.h"
#include "port/port.h"

/* Attempts of one call (gRFC A6: more are taken for five). */
#define CHANNEL_ATTEMPTS_MAX 5u
/* The text of a service config, and what is kept of it. */
#define CHANNEL_CONFIG_BYTES_MAX (256 * OAK_KIB)
/* maxTokens of a retry budget (gRFC A6). */
#define CHANNEL_TOKENS_MAX 1000
/* serviceName of a health check, or of who leads: as long as a host's name. */
#define CHANNEL_HEALTH_NAME_MAX 255u

enum channel_policy {
    CHANNEL_PICK_FIRST,
    CHANNEL_ROUND_ROBIN,
    CHANNEL_LEADER,
};

struct channel_retry {
    uint32_t attempts_max; /* 0: no policy was given */
    uint32_t codes;        /* a bit for each: those after which a call is made again */
    uint64_t backoff_first_ns;
    uint64_t backoff_max_ns;
    double multiplier;
};

struct channel_hedge {
    uint32_t attempts_max; /* 0: no policy was given */
    uint32_t codes;        /* a bit for each: those that leave the other attempts going */
    uint64_t delay_ns;
};

/* One methodConfig. */
struct channel_rule {
    bool timeout_set;
    bool wait_set;
    bool wait;
    bool request_set;
    bool response_set;
    uint32_t request_bytes_max;
    uint32_t response_bytes_max;
    uint64_t timeout_ns;
    struct channel_retry retry;
    struct channel_hedge hedge;
};

/* What a rule is for: "/service/method", "/service/", or "" for all others. */
struct channel_name {
    const char *path;
    const struct channel_rule *rule;
};

struct channel_config {
    struct oak_arena arena;
    struct channel_name *names; /* in the order of their paths */
    size_t name_count;
    enum channel_policy policy;
    bool policy_set;
    bool shuffle;            /* pick_first: in an order of its own */
    const char *health_name; /* round_robin: whose health is asked for; NULL: nobody's */
    const char *leader_name; /* oakum_leader: whose health is that of who leads; NULL: the usual */
    uint32_t tokens_max;     /* thousandths; 0: no budget was given */
    uint32_t token_ratio;    /* thousandths */
};

/* `text` NULL: an empty one. OAK_EINVAL names the place in `e`; OAK_ENOMEM. */
OAK_MUST_USE int channel__config_read(const char *text, struct channel_config *out,
                                      struct oak_errbuf *e);
void channel__config_fini(struct channel_config *config);
/* The rule for a method: its own, else its service's, else the one for all; or NULL. */
const struct channel_rule *channel__config_find(const struct channel_config *config,
                                                const char *service, const char *method);
#define CHANNEL_POLICIES "pick_first, round_robin and oakum_leader are known"
/* One of those. False: something else. */
bool channel__policy_parse(const char *text, enum channel_policy *out);

#endif
