/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the channel room share. See README.md for the order to read them
 * in.
 *
 * Downwards: a channel has backends, one an address; a backend has lines, one a connection (a
 * subchannel of rpc). Upwards: a call has attempts, each a call of rpc on some line. What a user
 * does only notes what is wanted; what follows is done by the channel's turn, from the loop, so
 * that no callback ever runs from inside a function of the door. */
#ifndef OAK_CHANNEL_INTERNAL_H
#define OAK_CHANNEL_INTERNAL_H

#include "channel/config.h"
#include "oakum/carrier.h"
#include "oakum/channel.h"
#include "port/port.h"

/* -- limits of this room: number, unit, reason ------------------------------------------------- */

#define CHANNEL_SECOND_NS ((uint64_t)1000000000)
/* Addresses of a target: a name with more is cut to as many. A round-robin over them is as many
 * connections. */
#define CHANNEL_ADDRESSES_MAX 256u
/* Of a unix socket's path: what the kernel takes. */
#define CHANNEL_UNIX_BYTES_MAX 107
/* Of an address, with its port: what a subchannel takes. A name of DNS is shorter. */
#define CHANNEL_ADDRESS_BYTES_MAX 255
/* A name of DNS. */
#define CHANNEL_SRV_BYTES_MAX 253
/* Connections to one address: OAK_STREAMS_MAX calls on each. */
#define CHANNEL_CONNECTIONS_MAX 16u
/* A call's path and metadata. */
#define CHANNEL_TEXT_BYTES_MAX (64 * OAK_KIB)
/* Kept of what all calls of a channel have sent, to be sent again: past it, a call that sends more
 * gets no further attempt. 16 calls of the default each. */
#define CHANNEL_REPLAY_BYTES_MAX (16 * OAK_MIB)
/* Sent by calls that have no connection yet, unless the channel is told otherwise: past it, they
 * can't send. */
#define CHANNEL_WAITING_BYTES_MAX (64 * OAK_MIB)
/* Calls kept for their next use, each about 1 KiB. */
#define CHANNEL_SPARE_CALLS_MAX 256u
/* A buffer larger than this goes back to the heap with its call. */
#define CHANNEL_SPARE_BUFFER_BYTES_MAX (4 * OAK_KIB)
/* pick_first tries the next address beside one that has not answered for so long (RFC 8305's 250
 * ms). */
#define CHANNEL_STAGGER_NS (CHANNEL_SECOND_NS / 4)
/* A HealthCheckRequest: its one field's tag and size, and the name. */
#define CHANNEL_HEALTH_REQUEST_MAX (3 + CHANNEL_HEALTH_NAME_MAX)
/* A look-up that has not ended by then has failed. */
#define CHANNEL_LOOKUP_NS (5 * CHANNEL_SECOND_NS)
/* A hedge for which there is no stream is tried again so much later. */
#define CHANNEL_HEDGE_STEP_NS (CHANNEL_SECOND_NS / 100)
/* The budget where no service config names one: after so many failures without a success in
 * between, half are left, and nothing is made again until ten calls for each have succeeded. */
#define CHANNEL_TOKENS_DEFAULT      10000
#define CHANNEL_TOKEN_RATIO_DEFAULT 100

/* -- target.c: what a target's text means ------------------------------------------------------ */

struct channel_target {
    struct oak_buf addresses; /* `count` texts, each with a NUL, as port.h's connect takes them */
    size_t count;
    bool lookup;         /* the one address is a name to be looked up */
    char authority[256]; /* what the server is called; "": each address for itself */
};

/* OAK_EINVAL (the reason is in `e`, which may be NULL), OAK_ENOMEM. */
OAK_MUST_USE int channel__target_parse(const char *text, unsigned default_port,
                                       struct channel_target *out, struct oak_errbuf *e);
void channel__target_fini(struct channel_target *t);

/* -- backends and lines ------------------------------------------------------------------------ */

enum channel_health {
    CHANNEL_HEALTH_UNKNOWN, /* not a word yet */
    CHANNEL_HEALTH_GOOD,
    CHANNEL_HEALTH_BAD,
};

/* What a connection's server says of its health, or of whether it leads: then GOOD is a claim. */
struct channel_watch {
    struct oak_rpc_call *rpc; /* NULL: none */
    struct oak_timer retry;
    uint64_t begun_ns;
    uint64_t backoff_ns; /* of the next pause; 0: the first */
    uint64_t term;       /* the last that it named */
    uint64_t claim;      /* counts up with each claim of any server that is news */
    enum channel_health health;
    bool answered;
    bool dropped; /* `rpc` is for nobody */
};

/* A connection. */
struct channel_line {
    struct oak_list link; /* backend->lines, or channel->retired */
    struct oak_channel *channel;
    struct channel_backend *backend; /* NULL: retired, to be freed once its calls are done */
    struct oak_rpc_subchannel *sub;
    enum oak_rpc_subchannel_state state; /* of the connection alone: see channel__line_state */
    struct channel_watch watch;
    uint32_t calls; /* attempts on it */
};

/* An address. */
struct channel_backend {
    struct oak_list link; /* channel->backends, in the order to be tried */
    struct oak_list lines;
    uint32_t line_count;
    uint64_t doubted_ns;       /* until then it is not believed that it leads */
    uint64_t doubt_backoff_ns; /* of the next doubt; 0: the first */
    bool tried;                /* in this pass of pick_first */
    bool stale;                /* while the list is replaced */
    char address[];
};

/* -- calls ------------------------------------------------------------------------------------- */

struct channel_call;

/* One of a call's attempts. */
struct channel_attempt {
    struct channel_call *call;
    struct channel_line *line;
    struct oak_rpc_call *rpc; /* NULL: the place is free */
    size_t given;             /* of call->kept */
    uint64_t owed_ns;         /* since when the other end owes something */
    uint64_t claim;           /* oakum_leader: for which it is on this line; 0: for none */
    bool half_closed;
    bool compress; /* as it was told last */
    bool stalled;  /* cancelled by us, since nothing moved */
    bool starved;  /* the same for want of memory */
    bool dropped;  /* the same, since the call has its answer elsewhere, or has ended */
};

struct channel_call {
    struct oak_rpc_call_base base; /* first: this is a struct oak_rpc_call to its user */
    struct oak_list link;          /* channel->calls, or channel->spare */
    struct oak_list wait_link;     /* channel->waiting */
    struct oak_list lazy_link;     /* channel->lazy */
    struct oak_channel *channel;
    const struct oak_rpc_handler *handler;
    void *user;
    struct oak_rpc_request request;  /* its texts and pairs are the call's */
    const struct channel_rule *rule; /* NULL: none */
    const struct channel_retry *retry;
    const struct channel_hedge *hedge; /* NULL: one attempt at a time */
    struct oak_buf texts;
    struct oak_buf pairs; /* struct oak_rpc_pair */
    /* What was sent, for attempts to come: a length, a byte (compress), and the message; again and
     * again. */
    struct oak_buf kept;
    struct oak_rpc_follower following; /* of the request's parent */
    struct oak_rpc_follower *followers;
    struct oak_timer timer;
    uint64_t deadline_ns; /* 0: none */
    uint64_t again_ns;    /* the next attempt, alone or beside the others; 0: none is planned */
    uint64_t progress_ns; /* without any for so long, an attempt has failed; NEVER: it may take */
    uint64_t backoff_ns;  /* of the next pause */
    struct channel_attempt attempts[CHANNEL_ATTEMPTS_MAX];
    struct channel_attempt *winner;    /* it has answered */
    const struct oak_rpc_call *answer; /* whom metadata is of; NULL: nobody has answered */
    uint32_t live;                     /* attempts whose `rpc` is there */
    uint32_t made;                     /* attempts that count for the policy */
    bool wait_for_ready;
    bool compress; /* messages sent from here on */
    bool half_closed;
    bool paused;
    bool cancelled;    /* by its user; `closed` follows */
    bool committed;    /* there will be no further attempt beside the one that is, or comes next */
    bool begun;        /* an attempt was given to a connection */
    bool hedge_over;   /* no further attempt beside the others */
    bool responded;    /* its user was given a message */
    bool refused_once; /* made again unseen because the server refused to look at it */
    bool ended;        /* `closed` was told */
};

/* call.c: what a user may do with a call. */
extern const struct oak_rpc_call_ops channel__call_ops;
/* What its user has filled by now may be given to the attempts. */
void channel__call_settle(struct channel_call *call);
/* What was kept is not needed any more, if that is so. */
void channel__call_trim(struct channel_call *call);

/* life.c: how a call begins, waits and ends. */

/* Not in any list of waiting ones yet. OAK_ENOMEM, OAK_ELIMIT. */
OAK_MUST_USE int channel__call_new(struct oak_channel *channel,
                                   const struct oak_rpc_request *request,
                                   struct channel_call **out);
/* One more pair of metadata: room for it (OAK_ELIMIT, OAK_ENOMEM), and then the pair. */
OAK_MUST_USE int channel__call_pair_room(struct channel_call *call, struct oak_rpc_pair pair);
void channel__call_pair_add(struct channel_call *call, struct oak_rpc_pair pair);
/* Nobody was promised a `closed`. */
void channel__call_drop(struct channel_call *call);
/* Tell `closed`, with an answer's metadata (NULL: none). The memory goes with the last attempt. */
void channel__call_end(struct channel_call *call, const struct oak_rpc_status *status,
                       const struct oak_rpc_call *answer);
void channel__call_fail(struct channel_call *call, enum oak_rpc_code code, const char *text);
/* Back to the spare ones, if it has ended and its attempts too. */
void channel__call_release(struct channel_call *call);
/* Set the timer for what comes first. */
void channel__call_arm(struct channel_call *call, uint64_t now_ns);
/* The one attempt that runs; NULL: none, or several. */
struct channel_attempt *channel__call_sole(struct channel_call *call);
/* No further attempt: `winner` NULL keeps any one of those that there are. */
void channel__call_commit(struct channel_call *call, struct channel_attempt *winner);
void channel__kept_drop(struct channel_call *call);
void channel__calls_fini(struct oak_channel *channel);

/* attempt.c: an attempt's life. */

/* On this line. OAK_ECLOSED: it has no room; OAK_ENOMEM, OAK_ELIMIT, OAK_EINVAL (metadata). */
OAK_MUST_USE int channel__attempt_start(struct channel_call *call, struct channel_line *line);
/* Give it what it has not got. */
void channel__attempt_feed(struct channel_attempt *a);
/* It is for nobody. */
void channel__attempt_drop(struct channel_attempt *a);
/* When it has to have moved, or 0: it owes nothing. */
uint64_t channel__attempt_due(const struct channel_attempt *a);
/* When to ask that next; 0: never. */
uint64_t channel__attempt_look(const struct channel_attempt *a, uint64_t now_ns);
void channel__attempt_stall(struct channel_attempt *a);

/* again.c: whether a call that failed is made again. */

/* An attempt, whose place is free by now, has ended without an answer. */
void channel__again(struct channel_call *call, const struct oak_rpc_status *status,
                    const struct oak_rpc_call *rpc);
/* Start it now if there is a stream for it, or let it wait for one. */
void channel__call_place(struct channel_call *call);
/* An attempt has begun: plan one beside it, if that is the policy. */
void channel__hedge_plan(struct channel_call *call, uint64_t now_ns);
/* It is time for another attempt beside the others. */
void channel__hedge(struct channel_call *call, uint64_t now_ns);
/* The one that answered has ended. */
void channel__answered(struct channel_call *call, const struct oak_rpc_status *status);
void channel__budget_init(struct oak_channel *channel);

/* -- the channel ------------------------------------------------------------------------------- */

struct oak_channel {
    struct oak_loop loop;               /* the user's, with the options' net */
    struct oak_channel_options options; /* no zeros */
    struct oak_buf texts[2];            /* of the options: authority, user agent */
    struct channel_target target;
    struct channel_config config;
    struct channel_retry retry; /* without a policy of the config */
    enum channel_policy policy;
    struct oak_prng prng;

    enum oak_channel_state state;
    char error[256];
    bool idle;    /* nothing is wanted */
    bool wanted;  /* a connection, though there may be no call */
    bool failing; /* TRANSIENT_FAILURE until something is READY */
    bool closing;

    struct oak_list backends;
    size_t backend_count;
    struct channel_backend *selected; /* pick_first: the one; NULL: none yet */
    struct channel_backend *last;     /* round_robin: whose turn it was */
    struct channel_backend *leader;   /* oakum_leader: who is believed to lead; NULL: nobody */
    uint64_t leader_claim;            /* its claim; 0: nobody's */
    uint64_t claims;                  /* that were news */
    struct oak_list retired;          /* lines */
    uint32_t line_count;              /* all whose memory is there */

    bool looking_up;
    bool resolved;              /* the backends are what the name has */
    uint64_t lookup_ns;         /* when the last look-up began; 0: never */
    uint64_t lookup_backoff_ns; /* 0: the last one succeeded */
    struct oak_timer lookup;

    struct oak_list calls;
    struct oak_list waiting; /* for a stream */
    struct oak_list lazy;    /* messages that their users fill, to be given to their attempts */
    struct oak_list spare;
    uint32_t call_count;
    uint32_t spare_count;
    size_t kept_bytes;
    uint64_t used_ns; /* when there last was a call */

    uint32_t tokens; /* thousandths; of tokens_max */
    uint32_t tokens_max;
    uint32_t token_ratio;

    struct oak_timer turn;    /* due: something is to be looked at */
    struct oak_timer stagger; /* pick_first: running: the next address has to wait */
    struct oak_timer rest;    /* for the time without calls */
    struct oak_timer doubt;   /* oakum_leader: until a claim may be believed again */
    struct oak_channel_stats stats;
};

uint64_t channel__now(const struct oak_channel *channel);
void channel__timer_set(struct oak_channel *channel, struct oak_timer *timer, uint64_t due_ns);
void channel__timer_stop(struct oak_channel *channel, struct oak_timer *timer);
/* As realloc, through base. */
void *channel__resize(void *p, size_t size);
/* Look at everything in the loop's next round. */
void channel__turn_soon(struct oak_channel *channel);
/* Note why connecting fails. */
void channel__error_set(struct oak_channel *channel, const char *what, int error);
void channel__error_say(struct oak_channel *channel, const char *what, const char *why);
/* Its last piece is gone: so is the channel. */
void channel__free_if_over(struct oak_channel *channel);

/* resolve.c: from the target to addresses. */

/* Look the target up, now or as soon as may be. */
void channel__resolve(struct oak_channel *channel);
void channel__resolve_init(struct oak_channel *channel);

/* order.c: in which order addresses are tried. */

/* Fill `order` with the indexes of `addresses`, at most CHANNEL_ADDRESSES_MAX. */
void channel__order(struct oak_channel *channel, const char *const *addresses, uint16_t *order,
                    size_t count);

/* backend.c: addresses and connections to them. */

/* These are the addresses from now on: those that stay keep their connections. OAK_ENOMEM: some
 * are not there. */
OAK_MUST_USE int channel__backends_set(struct oak_channel *channel, const char *const *addresses,
                                       size_t count);
/* Let all of them go once their calls are done. */
void channel__backends_drop(struct oak_channel *channel);
/* READY if one of its lines is; else CONNECTING; else IDLE (it can be told to connect); else FAILED
 * (it waits for its back-off). */
enum oak_rpc_subchannel_state channel__backend_state(const struct channel_backend *b);
/* From IDLE to CONNECTING; a further connection when it is READY. False: no memory. */
bool channel__backend_connect(struct oak_channel *channel, struct channel_backend *b);
/* Don't wait for the back-off. */
void channel__backend_hurry(struct channel_backend *b);
/* Its lines go once their calls are done. */
void channel__backend_retire(struct oak_channel *channel, struct channel_backend *b);
/* How many of its lines are READY. */
uint32_t channel__backend_ready(const struct channel_backend *b);
/* A line of it with room for a call; NULL: none. */
struct channel_line *channel__backend_room(const struct channel_backend *b);
/* An attempt on it has ended. */
void channel__line_release(struct channel_line *line);
/* Free retired lines without calls; `all`: those with calls too. */
void channel__lines_sweep(struct oak_channel *channel, bool all);

/* health.c: whether a connection's server can serve. */

/* The connection is READY. Nothing happens where health is not asked for. */
void channel__health_start(struct channel_line *line);
/* It is not any more, or is for nobody. Again, and nothing happens. */
void channel__health_stop(struct channel_line *line);
/* The state as the policy sees it: READY with a healthy server alone, CONNECTING until that is
 * known, else FAILED. */
enum oak_rpc_subchannel_state channel__line_state(const struct channel_line *line);
/* HealthCheckRequest: how long it is. */
size_t channel__health_request(const char *service, uint8_t out[CHANNEL_HEALTH_REQUEST_MAX]);
/* HealthCheckResponse, and the term that may be in it. False: it is none. */
bool channel__health_response(struct oak_bytes b, bool *serving, uint64_t *term);

/* balance.c: which address a call goes to. */

/* Something has changed: connect, choose, tell the state, start and fail calls that wait. From the
 * loop alone. */
void channel__balance(struct oak_channel *channel);
/* A line for a call; NULL: none has room. */
struct channel_line *channel__pick(struct oak_channel *channel);
/* The same for an attempt beside others of its call. */
struct channel_line *channel__pick_beside(const struct channel_call *call);
/* The same from all in turn; `trusted`: not from those that are doubted. */
struct channel_line *channel__pick_in_turn(struct oak_channel *channel, bool trusted);

/* leader.c: the policy oakum_leader. */

void channel__leader_init(struct oak_channel *channel);
/* Whom to believe, of those who say by now that they lead. */
void channel__leader_choose(struct oak_channel *channel);
/* A line for a call; NULL: none has room. */
struct channel_line *channel__leader_pick(struct oak_channel *channel);
/* The same for an attempt beside others: of a server that has none of them, as far as one is free.
 */
struct channel_line *channel__leader_pick_beside(const struct channel_call *call);
/* The claim for which a call goes to this line; 0: none. */
uint64_t channel__leader_claim(const struct channel_line *line);
/* An attempt on this line, for this claim, has ended. */
void channel__leader_answered(struct channel_line *line, uint64_t claim,
                              const struct oak_rpc_status *status);

#endif
