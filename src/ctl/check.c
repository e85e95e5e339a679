/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: check perf, check datascale: a load that clusters of a size should bear, and a verdict,
 * with etcdctl's loads and by its measures.
 *
 * Happy path   1 there is nothing with the prefix 2 puts, in time or as fast as they go 3 what was
 *              put is deleted 4 the verdict
 * Can fail     a put: it is counted, and the verdict is FAIL. SIGINT ends the load; what it has put
 *              is deleted all the same.
 */
#include "ctl/internal.h"
#include "ctl/load.h"

#include <math.h>

#define SECOND_NS      UINT64_C(1000000000)
#define CLEANUP_NS     (30 * SECOND_NS)
#define RATE_LEAST     0.9 /* of what was asked for */
#define SLOWEST_S_MOST 0.5
#define STDDEV_S_MOST  0.1

static const struct ctl__method range_method = {"etcdserverpb.KV", "Range",
                                                &etcdserverpb__range_response__descriptor, true};
static const struct ctl__method delete_method = {
    "etcdserverpb.KV", "DeleteRange", &etcdserverpb__delete_range_response__descriptor, false};
static const struct ctl__method compact_method = {
    "etcdserverpb.KV", "Compact", &etcdserverpb__compaction_response__descriptor, false};
static const struct ctl__method defragment_method = {"etcdserverpb.Maintenance", "Defragment",
                                                     &etcdserverpb__defragment_response__descriptor,
                                                     false};

/* A size of cluster. */
struct size {
    const char *letter;
    const char *word;
    uint64_t rate;  /* check perf: puts a second */
    uint64_t total; /* check datascale: keys */
    size_t clients;
};

static const struct size sizes[] = {
    {"s", "small", 150, 10000, 50},
    {"m", "medium", 1000, 100000, 200},
    {"l", "large", 8000, 1000000, 500},
    {"xl", "xLarge", 15000, 3000000, 1000},
};

struct flags {
    const char *load;
    const char *prefix;
    bool compact;
    bool defrag;
};

/* The flags of both. */
#define CHECK_FLAGS 4
static void flags_fill(struct flags *f, struct oak_args_flag *out)
{
    const struct oak_args_flag flags[CHECK_FLAGS] = {
        {"load", '\0', OAK_ARGS_TEXT, &f->load, 0, 0, "SIZE", "s, m, l or xl (default s)"},
        {"prefix", '\0', OAK_ARGS_TEXT, &f->prefix, 0, 0, "KEY", "of the keys that are put"},
        {"auto-compact", '\0', OAK_ARGS_BOOL, &f->compact, 0, 0, NULL, "compact when it is over"},
        {"auto-defrag", '\0', OAK_ARGS_BOOL, &f->defrag, 0, 0, NULL, "defragment when it is over"},
    };
    memcpy(out, flags, sizeof(flags));
}

static const struct size *size_find(const char *load, int *code)
{
    for (size_t i = 0; i < OAK_COUNT_OF(sizes); i++) {
        if (strcmp(load, sizes[i].letter) == 0 || strcmp(load, sizes[i].word) == 0) {
            return &sizes[i];
        }
    }
    *code = ctl__error(CTL__BAD_FEATURE, "unknown load option %.32s: s, m, l or xl", load);
    return NULL;
}

/* Nothing of anybody's is below the prefix? */
static bool is_free(struct ctl *c, const struct flags *f, int *code)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str(f->prefix));
    request.range_end = ctl__prefix_end(c, oak_bytes_str(f->prefix));
    request.limit = 1;
    const Etcdserverpb__RangeResponse *r = ctl__ask(c, &range_method, &request.base, code);
    if (r != NULL && r->n_kvs > 0) {
        *code = ctl__error(CTL__BAD_INPUT, "there are keys below \"%s\": oakum del --prefix %s",
                           f->prefix, f->prefix);
    }
    return r != NULL && r->n_kvs == 0;
}

/* -- afterwards -------------------------------------------------------------------------------- */

static bool compact(struct ctl *c, int64_t revision, int *code)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    request.revision = revision;
    request.physical = true;
    printf("Compacting with revision %" PRId64 "\n", revision);
    bool good = ctl__ask(c, &compact_method, &request.base, code) != NULL;
    if (good) {
        printf("Compacted with revision %" PRId64 "\n", revision);
    }
    return good;
}

static bool defragment(struct ctl *c, int *code)
{
    Etcdserverpb__DefragmentRequest request = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    struct ctl__each *each = ctl__each_new(c, false, code);
    bool good = each != NULL;
    for (size_t i = 0; good && i < each->at.count; i++) {
        struct ctl__reply reply;
        printf("Defragmenting \"%s\"\n", each->at.items[i]);
        ctl__try(c, ctl__link_client(each->links[i]), &defragment_method, &request.base, &reply);
        good = reply.error == 0;
        if (good) {
            printf("Defragmented \"%s\"\n", each->at.items[i]);
        } else {
            *code = ctl__reply_error(&reply);
        }
    }
    if (each != NULL) {
        ctl__each_free(each);
    }
    return good;
}

/* What was put goes. False: told. */
static bool clean(struct ctl *c, const struct flags *f, int *code)
{
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    request.key = oak_proto_binary(oak_bytes_str(f->prefix));
    request.range_end = ctl__prefix_end(c, oak_bytes_str(f->prefix));
    const Etcdserverpb__DeleteRangeResponse *r = ctl__ask(c, &delete_method, &request.base, code);
    if (r == NULL) {
        printf("FAIL: the keys below \"%s\" could not be deleted\n", f->prefix);
        return false;
    }
    return (!f->compact || r->header == NULL || compact(c, r->header->revision, code)) &&
           (!f->defrag || defragment(c, code));
}

/* -- the verdict ------------------------------------------------------------------------------- */

static bool errors_judge(const struct ctl__load *load)
{
    if (load->failed == 0) {
        return true;
    }
    puts("FAIL: too many errors");
    for (size_t i = 0; i < load->failure_count; i++) {
        printf("FAIL: ERROR(%s) -> %" PRIu64 "\n", load->failures[i].text, load->failures[i].count);
    }
    return false;
}

static int perf_judge(const struct ctl__load *load)
{
    double count = (double)(load->ended - load->failed);
    double rate = load->took_ns == 0 ? 0 : count * 1e9 / (double)load->took_ns;
    double stddev = count == 0 ? 0 : sqrt(load->squares / count);
    bool good = errors_judge(load);
    bool fast = rate / (double)load->rate > RATE_LEAST;
    printf(fast ? "PASS: Throughput is %d writes/s\n" : "FAIL: Throughput too low: %d writes/s\n",
           (int)rate + 1);
    bool quick = load->slowest_s <= SLOWEST_S_MOST;
    printf(quick ? "PASS: Slowest request took %fs\n" : "Slowest request took too long: %fs\n",
           load->slowest_s);
    bool steady = stddev <= STDDEV_S_MOST;
    printf(steady ? "PASS: Stddev is %fs\n" : "Stddev too high: %fs\n", stddev);
    good = good && fast && quick && steady;
    puts(good ? "PASS" : "FAIL");
    return good ? CTL__OK : CTL__FAILED;
}

/* -- the verbs --------------------------------------------------------------------------------- */

int ctl__check_perf(struct ctl *c, int argc, char *const *argv)
{
    struct flags f = {.load = "s", .prefix = "/etcdctl-check-perf/"};
    uint64_t duration_ns = 60 * SECOND_NS;
    struct oak_args_flag flags[CHECK_FLAGS + 1] = {
        [CHECK_FLAGS] = {"duration", '\0', OAK_ARGS_DURATION, &duration_ns, 0, 0, "TIME",
                         "how long (default 1m, as etcdctl has it)"},
    };
    flags_fill(&f, flags);
    const struct oak_args_command command = {
        .name = "check perf",
        .summary = "Put for a minute, at the rate of a small, medium, large or very large "
                   "cluster, and judge how it went. The keys are deleted afterwards.",
        .operands = "",
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "    s    150 puts a second by 50 clients\n"
                "    m   1000 by 200\n"
                "    l   8000 by 500\n"
                "    xl 15000 by 1000\n"
                "It passes with 9/10 of that, none of which took more than 0.5 s, the times with\n"
                "a standard deviation of at most 0.1 s. oakum bench measures more.\n\n"
                "Example:\n  oakum check perf --load m --auto-compact\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    const struct size *size = size_find(f.load, &code);
    c->options.command_ns = OAK_MAX(c->options.command_ns, CLEANUP_NS);
    if (size == NULL || !is_free(c, &f, &code)) {
        return code;
    }
    struct ctl__load load = {
        .prefix = f.prefix,
        .key_bytes = 256,
        .value_bytes = 1024,
        .clients = size->clients,
        .rate = size->rate,
        .duration_ns = duration_ns,
    };
    bool ran = ctl__load_run(c, &load, &code);
    bool cleaned = clean(c, &f, &code);
    return ran && cleaned ? perf_judge(&load) : code;
}

int ctl__check_datascale(struct ctl *c, int argc, char *const *argv)
{
    struct flags f = {.load = "s", .prefix = "/etcdctl-check-datascale/"};
    struct oak_args_flag flags[CHECK_FLAGS];
    flags_fill(&f, flags);
    const struct oak_args_command command = {
        .name = "check datascale",
        .summary = "Put many keys of a KiB, and show what memory they take of the first of "
                   "--endpoints. The keys are deleted afterwards.",
        .operands = "",
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "    s    10000 keys by 50 clients\n"
                "    m   100000 by 200\n"
                "    l  1000000 by 500\n"
                "    xl 3000000 by 1000\n\n"
                "Example:\n  oakum check datascale --load m --auto-compact --auto-defrag\n",
    };
    struct ctl__words words;
    struct ctl__endpoints at;
    double before;
    double after;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__endpoints_read(c, &at, &code)) {
        return code;
    }
    const struct size *size = size_find(f.load, &code);
    c->options.command_ns = OAK_MAX(c->options.command_ns, CLEANUP_NS);
    if (size == NULL || !is_free(c, &f, &code) || !ctl__memory_of(c, &at, &before, &code)) {
        return code;
    }
    struct ctl__load load = {
        .prefix = f.prefix,
        .key_bytes = 512,
        .value_bytes = 512,
        .clients = size->clients,
        .total = size->total,
    };
    printf("Start data scale check for work load [%" PRIu64 " key-value pairs, 1024 bytes per "
           "key-value, %zu concurrent clients].\n",
           size->total, size->clients);
    bool ran = ctl__load_run(c, &load, &code) && ctl__memory_of(c, &at, &after, &code);
    bool cleaned = clean(c, &f, &code);
    if (!ran || !cleaned) {
        return code;
    }
    if (!errors_judge(&load)) {
        return CTL__FAILED;
    }
    printf("PASS: Approximate system memory used : %.2f MB.\n", (after - before) / 1048576.0);
    return CTL__OK;
}
