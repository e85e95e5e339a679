/* SPDX-License-Identifier: Apache-2.0 */
/* soak.c: our gRPC client and server, in two processes, at work until told to stop; then a verdict
 * on their memory.
 *
 *     grpc_soak [--seconds=60 | --rounds=N] [--jobs=2000] [--seed=1] [--leak=0]
 *
 * A round is so many calls of all kinds over channels that come and go (jobs.c). At its end all of
 * them are closed, and when the server has noticed, both processes are measured: what is left is
 * what they keep for good, and it may not grow. One connection stays for the whole run. The first
 * third of the rounds is for caches and pools to fill. Ends with code 0 when memory is flat.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/soak/soak.h"

#define SAMPLES_MAX    100000
#define SAMPLES_JUDGED 8 /* fewer say nothing */
/* What a server and each of its channels keep for the next calls is between nothing and this, as
 * the last ones had it: 1 MiB to gather bytes in, and four buffers of the largest message
 * (rpc/stream.c, rpc/internal.h). Beyond that, a byte a call would show in half an hour. */
#define USED_GROWTH_MAX (1 * OAK_MIB + 4 * SOAK_LARGEST)
/* Pages of a heap that is as full as before, cut otherwise. */
#define RSS_GROWTH_MAX   (12 * OAK_MIB)
#define ASKED_WHEN_QUIET 50
#define REPORT_NS        (10 * SOAK_SECOND)

enum figure { CLIENT_USED, CLIENT_RSS, SERVER_USED, SERVER_RSS, FIGURES };

struct record {
    uint64_t figures[FIGURES][SAMPLES_MAX];
    size_t count;
};

static uint64_t now(const struct soak *s)
{
    return s->loop->clock.mono_ns(s->loop->clock.user);
}

/* -- asking the server ------------------------------------------------------------------------- */

struct asked {
    struct oak_os_loop *os;
    struct soak_report report;
    bool closed;
    bool answered;
};

static void on_report(void *user, struct oak_rpc_call *call, struct oak_bytes bytes)
{
    struct asked *asked = user;
    struct oak_reader r = oak_reader(bytes);
    (void)call;
    asked->report.sample.used = oak_read_u64(&r);
    asked->report.sample.rss = oak_read_u64(&r);
    asked->report.connections = oak_read_u64(&r);
    asked->report.streams = oak_read_u64(&r);
    asked->answered = !r.failed;
}

static void on_closed(void *user, struct oak_rpc_call *call, const struct oak_rpc_status *status)
{
    struct asked *asked = user;
    (void)call;
    (void)status;
    asked->closed = true;
    oak_os_loop_stop(asked->os);
}

static struct soak_report ask(struct soak *s)
{
    static const struct oak_rpc_handler handler = {.message = on_report, .closed = on_closed};
    struct asked asked = {.os = s->os};
    struct oak_rpc_call *call;
    const struct oak_rpc_request request = {
        .service = SOAK_METER, .method = "Read", .handler = &handler, .user = &asked};
    if (oak_rpc_subchannel_call(s->control, &request, &call) != 0 ||
        oak_rpc_call_send(call, oak_bytes(NULL, 0)) != 0) {
        interop_fail("the server can't be asked");
    }
    oak_rpc_call_half_close(call);
    while (!asked.closed) {
        oak_os_loop_run(s->os);
    }
    if (!asked.answered) {
        interop_fail("the server does not answer");
    }
    return asked.report;
}

/* The server, once it has noticed that our channels are gone. What it holds then is the least of a
 * few answers: streams below the connections take a little longer to go. */
static struct soak_report ask_when_quiet(struct soak *s)
{
    uint64_t begun_ns = now(s);
    struct soak_report least = {.sample.used = UINT64_MAX};
    for (int quiet = 0; quiet < ASKED_WHEN_QUIET;) {
        struct soak_report report = ask(s);
        if (report.connections == 1 && report.streams == 0) {
            least = report.sample.used < least.sample.used ? report : least;
            quiet++;
        } else if (now(s) - begun_ns > 60 * SOAK_SECOND) {
            interop_fail("the server still has %" PRIu64 " connections and %" PRIu64 " streams",
                         report.connections, report.streams);
        }
    }
    return least;
}

/* -- rounds ------------------------------------------------------------------------------------ */

static void round_run(struct soak *s, struct record *record, uint64_t jobs)
{
    for (uint32_t i = 0; i < SOAK_CHANNELS; i++) {
        soak_channel_open(s, i);
    }
    soak_round(s, jobs);
    for (uint32_t i = 0; i < SOAK_CHANNELS; i++) {
        soak_channel_close(s, i);
    }
    struct soak_report report = ask_when_quiet(s);
    struct soak_sample own = soak_measure();
    size_t at = record->count++;
    record->figures[CLIENT_USED][at] = own.used;
    record->figures[CLIENT_RSS][at] = own.rss;
    record->figures[SERVER_USED][at] = report.sample.used;
    record->figures[SERVER_RSS][at] = report.sample.rss;
}

static void tell(const struct soak *s, const struct record *record, uint64_t since_ns)
{
    size_t last = record->count - 1;
    printf("%5" PRIu64 " s, round %zu: %" PRIu64 " calls; in use and resident, KiB: client %" PRIu64
           " %" PRIu64 ", server %" PRIu64 " %" PRIu64 "\n",
           since_ns / SOAK_SECOND, record->count, s->done,
           record->figures[CLIENT_USED][last] / 1024, record->figures[CLIENT_RSS][last] / 1024,
           record->figures[SERVER_USED][last] / 1024, record->figures[SERVER_RSS][last] / 1024);
    fflush(stdout);
}

static void run(struct soak *s, struct record *record, const struct interop_flag *flags)
{
    uint64_t seconds = (uint64_t)interop_number(flags, "seconds");
    uint64_t rounds = (uint64_t)interop_number(flags, "rounds");
    uint64_t jobs = (uint64_t)interop_number(flags, "jobs");
    uint64_t begun_ns = now(s);
    uint64_t told_ns = begun_ns;
    bool more = true;
    while (more && record->count < SAMPLES_MAX) {
        round_run(s, record, jobs);
        more = rounds > 0 ? record->count < rounds : now(s) - begun_ns < seconds * SOAK_SECOND;
        if (!more || now(s) - told_ns >= REPORT_NS) {
            told_ns = now(s);
            tell(s, record, told_ns - begun_ns);
        }
    }
}

static bool judge(const struct soak *s, const struct record *record)
{
    static const char *const names[FIGURES] = {"client in use", "client RSS", "server in use",
                                               "server RSS"};
    size_t warm = record->count / 3;
    size_t count = record->count - warm;
    bool flat = true;
    printf("%" PRIu64 " calls; %" PRIu64 " channels were closed under theirs:", s->done,
           s->churned);
    for (size_t i = 0; i < OAK_COUNT_OF(s->ends); i++) {
        if (s->ends[i] > 0) {
            printf(" %s %" PRIu64, oak_rpc_code_name((enum oak_rpc_code)i), s->ends[i]);
        }
    }
    printf("\n");
    if (count < SAMPLES_JUDGED) {
        printf("%zu rounds are too few for a verdict\n", record->count);
        return false;
    }
    for (size_t i = 0; i < FIGURES; i++) {
        bool used = i == CLIENT_USED || i == SERVER_USED;
        flat = soak_flat(names[i], record->figures[i] + warm, count,
                         used ? USED_GROWTH_MAX : RSS_GROWTH_MAX) &&
               flat;
    }
    return flat;
}

/* -- the two processes ------------------------------------------------------------------------- */

static pid_t home_start(const struct soak_certs *certs, struct soak_home *home)
{
    int ends[2];
    if (pipe(ends) != 0) {
        interop_fail("no pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        soak_serve(certs, ends[1]);
    }
    close(ends[1]);
    if (pid < 0 || read(ends[0], home, sizeof(*home)) != (ssize_t)sizeof(*home)) {
        interop_fail("the server did not start");
    }
    close(ends[0]);
    return pid;
}

static void soak_open(struct soak *s, const struct soak_certs *certs)
{
    const struct oak_tls_options tls = {.role = OAK_TLS_CLIENT,
                                        .material.ca.bytes = oak_buf_bytes(&certs->ca),
                                        .server_name = SOAK_HOST};
    if (oak_os_loop_new(&s->os) != 0) {
        interop_fail("no loop");
    }
    s->loop = oak_os_loop_port(s->os);
    interop_net_open(&s->tls, s->loop, &tls);
    if (oak_rpc_subchannel_new(s->loop, s->home.plain, NULL, &s->control) != 0) {
        interop_fail("no channel");
    }
}

int main(int argc, char **argv)
{
    static struct soak s;
    static struct record record;
    static struct soak_certs certs;
    struct interop_flag flags[] = {
        {"seconds", "60"}, {"rounds", "0"}, {"jobs", "2000"}, {"seed", "1"}, {"leak", "0"}};
    if (!interop_flags_read(flags, OAK_COUNT_OF(flags), argc, argv)) {
        return 2;
    }
    soak_certs_make(&certs);
    pid_t server = home_start(&certs, &s.home);
    soak_open(&s, &certs);
    oak_prng_init(&s.prng, (uint64_t)interop_number(flags, "seed"));
    s.leak = (uint64_t)interop_number(flags, "leak");
    run(&s, &record, flags);
    bool flat = judge(&s, &record);
    int status;
    bool ended = kill(server, SIGTERM) == 0 && waitpid(server, &status, 0) == server &&
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
    if (!ended) {
        printf("the server had ended by itself\n");
    }
    return flat && ended ? 0 : 1;
}
