/* SPDX-License-Identifier: Apache-2.0 */
/* mirror.c: mirror, and etcdctl's make-mirror: a mirror from its beginning to its end.
 *
 * Happy path   1 clients of both sides 2 the state, and what it says is left to do: copy, follow
 *              3 a signal, or all is there: told how far it is
 * Can fail     what passes by (no server, no leader, a lost answer): told once, and all begins
 *              again from the state, behind a pause. What does not: told, and the end.
 */
#include "ctl/mirror.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_CHUNK_BYTES (64 * OAK_KIB)
#define PAUSE_FIRST_NS    UINT64_C(100000000)
#define PAUSE_MOST_NS     UINT64_C(3000000000)
#define TOTAL_NS          UINT64_C(30000000000)
/* For an answer, at the least: a page over a slow line. */
#define ANSWER_NS_MIN UINT64_C(30000000000)
/* Behind a signal, for the answer that is under way. */
#define HURRY_NS UINT64_C(2000000000)
/* Passes over both sides until one finds nothing to do. */
#define PASSES_MAX 5

struct mirror_flags {
    struct ctl__options to; /* credentials at the destination */
    const char *from_endpoints;
    const char *to_endpoints;
    const char *prefix;
    const char *dest_prefix;
    bool no_dest_prefix;
    int64_t revision;
    uint64_t ops_max;
    bool apart;
    bool overwrite;
    bool once;
    bool verify;
    bool finish;
    bool leases;
};

/* -- asking ------------------------------------------------------------------------------------ */

int mirror__fail(struct mirror *m, int error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(m->why, sizeof(m->why), format, args);
    va_end(args);
    return error;
}

uint64_t mirror__now(const struct mirror *m)
{
    const struct oak_loop *loop = oak_os_loop_port(m->c->os);
    return loop->clock.mono_ns(loop->clock.user);
}

struct asked {
    struct mirror *m;
    struct oak_client_answer *answer;
    bool done;
};

static void answered(void *user, const struct oak_client_answer *answer)
{
    struct asked *a = user;
    a->answer = oak_client_answer_keep(answer);
    a->done = true;
    a->m->call = NULL;
    oak_os_loop_stop(a->m->c->os);
}

int mirror__do(struct mirror *m, struct oak_client *client, const struct oak_client_op *op,
               struct oak_client_answer **out)
{
    struct asked a = {.m = m};
    const char *side = client == m->from ? "the source" : "the destination";
    uint64_t timeout_ns = OAK_MAX(m->c->options.command_ns, ANSWER_NS_MIN);
    int error = oak_client_do(client, op, timeout_ns, answered, &a, &m->call);
    while (error == 0 && !a.done) {
        oak_os_loop_run(m->c->os);
    }
    if (error == 0) {
        error = a.answer == NULL ? OAK_ENOMEM : a.answer->error;
    }
    if (error != 0) {
        const char *text = a.answer != NULL && a.answer->message[0] != '\0' ? a.answer->message
                                                                            : oak_error_text(error);
        mirror__fail(m, error, "%s: %s", side, text);
        oak_client_answer_free(a.answer);
        a.answer = NULL;
    }
    *out = a.answer;
    return error;
}

static void timer_fire(struct oak_timer *timer)
{
    struct mirror *m = OAK_CONTAINER_OF(timer, struct mirror, timer);
    oak_os_loop_stop(m->c->os);
}

void mirror__wait(struct mirror *m, uint64_t ns)
{
    const struct oak_loop *loop = oak_os_loop_port(m->c->os);
    loop->timers.set(loop->timers.user, &m->timer, mirror__now(m) + ns);
    oak_os_loop_run(m->c->os);
    loop->timers.stop(loop->timers.user, &m->timer);
}

static void hurry_fire(struct oak_timer *timer)
{
    struct mirror *m = OAK_CONTAINER_OF(timer, struct mirror, hurry);
    if (m->call != NULL && m->stop) {
        m->hurried = true;
        oak_client_cancel(m->call);
    }
}

static void signalled(void *user, int number)
{
    struct mirror *m = user;
    const struct oak_loop *loop = oak_os_loop_port(m->c->os);
    (void)number;
    m->stop = true;
    loop->timers.set(loop->timers.user, &m->hurry, mirror__now(m) + HURRY_NS);
    oak_os_loop_stop(m->c->os);
}

/* -- going on ---------------------------------------------------------------------------------- */

/* Does it not pass by? */
static bool is_final(int error)
{
    static const int finals[] = {
        OAK_EINVAL,         OAK_EINUSE,     OAK_ENOMEM,          OAK_EPERMISSIONDENIED,
        OAK_EAUTHFAILED,    OAK_EUSEREMPTY, OAK_EAUTHNOTENABLED, OAK_EINVALIDAUTHTOKEN,
        OAK_EUNIMPLEMENTED,
    };
    bool final = false;
    for (size_t i = 0; i < OAK_COUNT_OF(finals); i++) {
        final = final || finals[i] == error;
    }
    return final;
}

static int copy(struct mirror *m)
{
    struct mirror_found found = {0};
    bool fresh = m->state.revision == 0;
    int error = mirror__copy(m, &found);
    if (error == 0 && !m->stop) {
        mirror__say(
            m, "copied",
            "the destination is as the source was at revision %" PRId64 ": %" PRIu64 " keys%s",
            m->state.revision, found.from.keys, fresh ? "" : " behind those that were there");
    }
    return error;
}

/* What is next is gone: both sides are compared as of what is now. */
static void start_over(struct mirror *m)
{
    mirror__say(m, "compacted", "%s, and the mirror is at %" PRId64 ": both sides are compared",
                m->why, m->state.revision);
    m->state.phase = MIRROR_COPIES;
    m->state.revision = 0;
    m->state.part = 0;
    m->state.at.size = 0;
}

/* From the state on, until a signal or a failure. */
static int cycle(struct mirror *m, bool once)
{
    int error = mirror__claim(m);
    if (error == 0 && once) {
        m->state.phase = MIRROR_COPIES;
        m->state.revision = 0;
        m->state.at.size = 0;
    }
    while (error == 0 && !m->stop) {
        if (m->state.phase == MIRROR_COPIES) {
            error = copy(m);
        }
        if (once || error != 0 || m->stop) {
            break;
        }
        mirror__say(m, "follow", "following from revision %" PRId64, m->state.revision + 1);
        error = mirror__follow(m);
        if (error == OAK_ECOMPACTED && m->key != NULL) {
            start_over(m);
            error = 0;
        }
    }
    return error;
}

/* Cycles, until one ends well or for good. */
static int go(struct mirror *m, bool once)
{
    uint64_t pause = PAUSE_FIRST_NS;
    char told[sizeof(m->why)] = "";
    for (;;) {
        uint64_t before = m->changes;
        int error = cycle(m, once);
        if (error == 0 || is_final(error) || (error == OAK_ECOMPACTED && m->key == NULL)) {
            return error;
        }
        if (m->stop) {
            return 0;
        }
        pause = m->changes > before ? PAUSE_FIRST_NS : OAK_MIN(pause * 2, PAUSE_MOST_NS);
        if (m->changes > before || strcmp(told, m->why) != 0) {
            mirror__say(m, "waiting", "%s; going on when it passes", m->why);
            memcpy(told, m->why, sizeof(told));
        }
        mirror__wait(m, pause);
        if (m->stop) {
            return 0;
        }
    }
}

/* -- its end ----------------------------------------------------------------------------------- */

static bool is_equal(const struct mirror_found *f)
{
    return f->missing == 0 && f->different == 0 && f->extra == 0;
}

static int verify(struct mirror *m, bool *equal)
{
    struct mirror_found found = {0};
    bool stop = m->stop;
    m->stop = false; /* a signal has ended the mirror, not this */
    int error = m->hurried ? mirror__claim(m) : 0;
    error = error != 0 ? error : mirror__compare(m, &found);
    if (error == 0 && !m->stop) {
        mirror__found_say(m, "verified", &found);
        *equal = is_equal(&found);
    }
    m->stop = m->stop || stop;
    return error;
}

/* Passes until both sides are equal, and the source has not changed meanwhile. */
static int settle(struct mirror *m, bool *equal)
{
    for (int pass = 0; pass < PASSES_MAX && !m->stop; pass++) {
        int64_t revision = 0;
        uint64_t cluster;
        uint64_t before = m->changes;
        int error = go(m, true);
        /* Changes of other keys than ours move the revision too: none of ours has come from before
         * the last look at both sides until now. */
        if (error == 0 && !m->stop && *equal && m->changes == before) {
            return 0;
        }
        error = error != 0 || m->stop ? error : verify(m, equal);
        error = error != 0 || m->stop ? error : mirror__look(m, &revision, &cluster);
        if (error != 0 || m->stop) {
            *equal = false;
            return error;
        }
        if (*equal && revision == m->state.revision) {
            return 0;
        }
    }
    *equal = false;
    return m->stop ? 0
                   : mirror__fail(m, OAK_EAGAIN,
                                  "the source still changes: stop those who "
                                  "write to it, then finish again");
}

/* The switch: both sides are equal, the leases come over, and the state goes. */
static int finish(struct mirror *m, const struct mirror_flags *flags, bool *equal)
{
    int error = settle(m, equal);
    if (error != 0 || !*equal) {
        return error;
    }
    if (flags->leases) {
        uint64_t count = 0;
        error = mirror__leases(m, &count);
        if (error == 0) {
            mirror__say(m, "leases", "%" PRIu64 " leases are at the destination, and begin anew",
                        count);
        }
    }
    error = error != 0 ? error : mirror__state_remove(m);
    if (error == 0) {
        mirror__say(m, "finished", "finished: the destination stands by itself from here on");
    }
    return error;
}

static int run(struct mirror *m, const struct mirror_flags *flags)
{
    bool equal = false;
    int error = flags->finish ? finish(m, flags, &equal) : go(m, flags->once);
    if (error == 0 && flags->verify && !flags->finish && m->state.phase == MIRROR_FOLLOWS) {
        error = verify(m, &equal);
    }
    if (m->terminal) {
        fputc('\n', stderr);
    }
    if (error != 0) {
        return ctl__error(CTL__FAILED, "%s", m->why);
    }
    if (!flags->finish || m->stop) {
        mirror__say(m, "stopped",
                    "%s revision %" PRId64 " of the source%s; the same command goes "
                    "on from there",
                    m->state.phase == MIRROR_FOLLOWS ? "all up to" : "in the middle of a copy of",
                    m->state.revision,
                    m->state.phase == MIRROR_FOLLOWS ? " is at the destination" : "");
    }
    return (flags->verify || flags->finish) && !equal ? CTL__FAILED : CTL__OK;
}

/* -- its beginning ----------------------------------------------------------------------------- */

/* Flags of the destination, and of which keys are meant: both verbs have them. */
#define SHARED_FLAGS(f)                                                                            \
    {"prefix", '\0', OAK_ARGS_TEXT, &(f).prefix, 0, 0, "PREFIX", "of the keys (default: all)"},    \
        {"dest-prefix",                                                                            \
         '\0',                                                                                     \
         OAK_ARGS_TEXT,                                                                            \
         &(f).dest_prefix,                                                                         \
         0,                                                                                        \
         0,                                                                                        \
         "PREFIX",                                                                                 \
         "instead of it, at the destination"},                                                     \
        {"no-dest-prefix",                                                                         \
         '\0',                                                                                     \
         OAK_ARGS_BOOL,                                                                            \
         &(f).no_dest_prefix,                                                                      \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "without it, at the destination"},                                                        \
        {"max-txn-ops",                                                                            \
         '\0',                                                                                     \
         OAK_ARGS_NUMBER,                                                                          \
         &(f).ops_max,                                                                             \
         2,                                                                                        \
         MIRROR_OPS_MAX,                                                                           \
         "N",                                                                                      \
         "operations of a transaction at the destination (default 128)"},                          \
        {"dest-cert", '\0', OAK_ARGS_TEXT, &(f).to.cert,                                           \
         0,           0,    "FILE",        "TLS to the destination: our certificate"},             \
        {"dest-key", '\0', OAK_ARGS_TEXT, &(f).to.key, 0, 0, "FILE", "its key"},                   \
        {"dest-cacert",                                                                            \
         '\0',                                                                                     \
         OAK_ARGS_TEXT,                                                                            \
         &(f).to.cacert,                                                                           \
         0,                                                                                        \
         0,                                                                                        \
         "FILE",                                                                                   \
         "who signs the destination's"},                                                           \
        {"dest-insecure-transport",                                                                \
         '\0',                                                                                     \
         OAK_ARGS_BOOL,                                                                            \
         &(f).to.insecure_transport,                                                               \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "without TLS where no other flag wants it (default true)"},                               \
        {"dest-insecure-skip-tls-verify",                                                          \
         '\0',                                                                                     \
         OAK_ARGS_BOOL,                                                                            \
         &(f).to.insecure_skip_verify,                                                             \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "TLS to the destination: take any certificate; for tests alone"},                         \
        {"dest-user", '\0', OAK_ARGS_TEXT,     &(f).to.user,                                       \
         0,           0,    "NAME[:PASSWORD]", "who asks at the destination"},                     \
    {                                                                                              \
        "dest-password", '\0', OAK_ARGS_TEXT, &(f).to.password, 0, 0, "PASSWORD", "of --dest-user" \
    }

static void flags_begin(struct mirror_flags *f)
{
    *f = (struct mirror_flags){.prefix = "", .ops_max = MIRROR_OPS_MAX};
    f->to.insecure_transport = true;
}

/* A client of the destination: its own credentials, and how long things take as for the source. */
static bool connect_to(struct mirror *m, const struct mirror_flags *f, int *code)
{
    struct ctl__options ours = m->c->options;
    m->c->options.user = f->to.user;
    m->c->options.password = f->to.password;
    m->c->options.token = NULL;
    m->c->options.cert = f->to.cert;
    m->c->options.key = f->to.key;
    m->c->options.cacert = f->to.cacert;
    m->c->options.insecure_transport = f->to.insecure_transport;
    m->c->options.insecure_skip_verify = f->to.insecure_skip_verify;
    m->to_link = ctl__link_to(m->c, f->to_endpoints, NULL, code);
    m->c->options = ours;
    m->to = m->to_link != NULL ? ctl__link_client(m->to_link) : NULL;
    return m->to != NULL;
}

static bool prefixes_read(struct mirror *m, const struct mirror_flags *f, int *code)
{
    if (f->no_dest_prefix && f->dest_prefix != NULL && f->dest_prefix[0] != '\0') {
        *code = ctl__error(CTL__BAD_ARGS, "`--dest-prefix` and `--no-dest-prefix` cannot be set at "
                                          "the same time, choose one");
        return false;
    }
    bool same = f->dest_prefix == NULL || f->dest_prefix[0] == '\0';
    m->prefix = oak_bytes_str(f->prefix);
    m->to_prefix = oak_bytes_str(f->no_dest_prefix ? "" : same ? f->prefix : f->dest_prefix);
    m->prefix_end = oak_proto_bytes(ctl__prefix_end(m->c, m->prefix));
    m->to_prefix_end = oak_proto_bytes(ctl__prefix_end(m->c, m->to_prefix));
    return true;
}

static void mirror_fini(struct mirror *m)
{
    ctl__unlink(m->to_link);
    oak_buf_fini(&m->state.at);
    oak_arena_fini(&m->batch.arena);
    free(m->key);
}

/* Clients of both sides, then `run`. */
static int mirror_run(struct mirror *m, const struct mirror_flags *f)
{
    int code = CTL__FAILED;
    m->timer.fire = timer_fire;
    m->hurry.fire = hurry_fire;
    m->ops_max = f->ops_max;
    m->bytes_max = MIRROR_BYTES_MAX;
    m->overwrite = f->overwrite;
    m->joins = !f->apart;
    m->terminal = isatty(STDERR_FILENO) == 1 && !m->lines && m->key != NULL;
    oak_arena_init(&m->batch.arena, ARENA_CHUNK_BYTES, CTL__ANSWER_BYTES_MAX);
    m->from = ctl__client(m->c, &code);
    if (m->from != NULL && connect_to(m, f, &code)) {
        const struct oak_loop *loop = oak_os_loop_port(m->c->os);
        loop->entropy.fill(loop->entropy.user, &m->run, sizeof(m->run));
        int error = oak_os_loop_on_signal(m->c->os, signalled, m);
        code = error != 0 ? ctl__error(CTL__FAILED, "%s", oak_error_text(error)) : run(m, f);
        loop->timers.stop(loop->timers.user, &m->hurry);
    }
    mirror_fini(m);
    return code;
}

/* -- the verbs --------------------------------------------------------------------------------- */

static bool mirror_flags_check(struct ctl *c, const struct mirror_flags *f,
                               const struct ctl__words *words, int *code)
{
    if (words->count > 0 || f->to_endpoints == NULL) {
        *code = ctl__error(CTL__BAD_ARGS, "mirror wants --from A,B,C and --to D,E,F");
        return false;
    }
    if (c->format != CTL__SIMPLE && c->format != CTL__JSON) {
        *code = ctl__error(CTL__BAD_FEATURE, "mirror speaks simple and json");
        return false;
    }
    if (f->leases && !f->finish) {
        *code = ctl__error(CTL__BAD_ARGS, "--leases is of --finish: a lease at the destination "
                                          "would end while the source's is kept alive");
        return false;
    }
    return true;
}

int ctl__mirror(struct ctl *c, int argc, char *const *argv)
{
    struct mirror_flags f;
    flags_begin(&f);
    const struct oak_args_flag flags[] = {
        {"from", '\0', OAK_ARGS_TEXT, &f.from_endpoints, 0, 0, "A,B,C",
         "the source's servers (or --endpoints)"},
        {"to", '\0', OAK_ARGS_TEXT, &f.to_endpoints, 0, 0, "D,E,F", "the destination's servers"},
        {"overwrite", '\0', OAK_ARGS_BOOL, &f.overwrite, 0, 0, NULL,
         "the destination may have keys: those that the source does not have go"},
        {"once", '\0', OAK_ARGS_BOOL, &f.once, 0, 0, NULL, "make it as the source is now, and end"},
        {"verify", '\0', OAK_ARGS_BOOL, &f.verify, 0, 0, NULL,
         "at the end compare both sides; exit code 1 if they differ"},
        {"finish", '\0', OAK_ARGS_BOOL, &f.finish, 0, 0, NULL,
         "the switch: --once --verify, and the mirror's state goes"},
        {"leases", '\0', OAK_ARGS_BOOL, &f.leases, 0, 0, NULL,
         "with --finish: keys get leases of the same ids, which begin anew"},
        {"each-revision", '\0', OAK_ARGS_BOOL, &f.apart, 0, 0, NULL,
         "no two revisions of the source in one of the destination, however many there are"},
        SHARED_FLAGS(f),
    };
    const struct oak_args_command command = {
        .name = "mirror",
        .summary = "Keep the keys of one cluster, etcd or Oakum, at another, until you switch.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Copies what the source has, then follows it. How far it is, is a key at the\n"
                "destination (below oakum/mirror/), written with each change: stop and start it,\n"
                "or either side, as you like; nothing is left out, or done twice. With --output\n"
                "json it tells lines of JSON. docs/guide/migrate-live.md is about a whole "
                "migration.\n\n"
                "Examples:\n"
                "  oakum mirror --from 10.0.0.1:2379,10.0.0.2:2379 --to 10.0.1.1:2379\n"
                "  oakum mirror --from 10.0.0.1:2379 --to 10.0.1.1:2379 --prefix /registry/\n"
                "  oakum mirror --from 10.0.0.1:2379 --to 10.0.1.1:2379 --finish --leases\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !mirror_flags_check(c, &f, &words, &code)) {
        return code;
    }
    struct mirror m = {.c = c, .deletes = true, .lines = c->format == CTL__JSON};
    if (!prefixes_read(&m, &f, &code)) {
        return code;
    }
    if (f.from_endpoints != NULL) {
        c->options.endpoints = (struct oak_args_list){.items = {f.from_endpoints}, .count = 1};
        c->options.discovery_srv = NULL;
    }
    if (asprintf(&m.key, MIRROR_ROOT "%.*s", (int)m.to_prefix.size,
                 (const char *)m.to_prefix.data) < 0) {
        return ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
    }
    return mirror_run(&m, &f);
}

/* make-mirror tells how many keys it has put, twice a minute. */
struct totals {
    struct oak_timer timer;
    struct mirror *m;
};

static void total_fire(struct oak_timer *timer)
{
    struct totals *t = OAK_CONTAINER_OF(timer, struct totals, timer);
    const struct oak_loop *loop = oak_os_loop_port(t->m->c->os);
    printf("%" PRIu64 "\n", t->m->changes);
    fflush(stdout);
    loop->timers.set(loop->timers.user, &t->timer, mirror__now(t->m) + TOTAL_NS);
}

int ctl__make_mirror(struct ctl *c, int argc, char *const *argv)
{
    struct mirror_flags f;
    flags_begin(&f);
    const struct oak_args_flag flags[] = {
        {"rev", '\0', OAK_ARGS_SIGNED, &f.revision, 0, 0, "REVISION",
         "follow from there, without what was before (0: all that is)"},
        SHARED_FLAGS(f),
    };
    const struct oak_args_command command = {
        .name = "make-mirror",
        .summary = "Put the keys of a cluster into another one, and go on with its changes.",
        .operands = "DESTINATION",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "It keeps no state, and deletes nothing that was at the destination before: for a\n"
                "migration take oakum mirror.\n\n"
                "Example:\n"
                "  oakum make-mirror --prefix users/ 10.0.1.1:2379\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count != 1) {
        return ctl__error(CTL__BAD_ARGS, "make-mirror takes one destination argument");
    }
    struct mirror m = {.c = c, .quiet = true};
    struct totals totals = {.timer.fire = total_fire, .m = &m};
    if (!prefixes_read(&m, &f, &code)) {
        return code;
    }
    f.to_endpoints = words.at[0];
    if (f.revision > 1) {
        m.state.phase = MIRROR_FOLLOWS;
        m.state.revision = f.revision - 1;
    }
    if (ctl__client(c, &code) == NULL) {
        return code;
    }
    const struct oak_loop *loop = oak_os_loop_port(c->os);
    loop->timers.set(loop->timers.user, &totals.timer,
                     loop->clock.mono_ns(loop->clock.user) + TOTAL_NS);
    code = mirror_run(&m, &f);
    loop->timers.stop(loop->timers.user, &totals.timer);
    return code;
}
