/* SPDX-License-Identifier: Apache-2.0 */
/* endpoint.c: endpoint health, status, hashkv: each server is asked alone, all at the same time.
 *
 * Can fail     an endpoint: it is told, the others too, and the exit code is 1.
 */
#include "ctl/internal.h"

static const struct ctl__method range_method = {"etcdserverpb.KV", "Range",
                                                &etcdserverpb__range_response__descriptor, true};
static const struct ctl__method alarm_method = {"etcdserverpb.Maintenance", "Alarm",
                                                &etcdserverpb__alarm_response__descriptor, true};
static const struct ctl__method status_method = {"etcdserverpb.Maintenance", "Status",
                                                 &etcdserverpb__status_response__descriptor, true};
static const struct ctl__method hash_method = {"etcdserverpb.Maintenance", "HashKV",
                                               &etcdserverpb__hash_kvresponse__descriptor, true};

#define CLUSTER_FLAG(target)                                                                      \
    {                                                                                             \
        "cluster", '\0', OAK_ARGS_BOOL, (target), 0, 0, NULL, "all members that --endpoints know" \
    }

/* What an endpoint said, as the showers get it. */
struct row {
    const char *endpoint;
    const char *took;
    const char *error; /* NULL: healthy */
    const void *response;
};

struct table {
    struct row rows[CTL__ENDPOINTS_MAX];
    size_t count;
};

#define COLUMNS_MAX 16

static const char *yes_no(bool is)
{
    return is ? "true" : "false";
}

/* -- health ------------------------------------------------------------------------------------ */

static void health_simple(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    (void)c;
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        const struct row *row = &t->rows[i];
        if (row->error == NULL) {
            printf("%s is healthy: successfully committed proposal: took = %s\n", row->endpoint,
                   row->took);
        } else {
            fprintf(stderr, "%s is unhealthy: failed to commit proposal: %s\n", row->endpoint,
                    row->error);
        }
    }
}

static int text_put(struct oak_buf *out, const char *name, const char *text)
{
    int error = ctl__json_name(out, name);
    return error != 0 ? error : ctl__json_text(out, oak_bytes_str(text));
}

static void health_json(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    struct oak_buf out = {0};
    (void)c;
    (void)message;
    int error = oak_buf_append(&out, "[", 1);
    for (size_t i = 0; i < t->count && error == 0; i++) {
        const struct row *row = &t->rows[i];
        error = oak_buf_printf(&out, "%s{", i > 0 ? "," : "");
        error = error != 0 ? error : text_put(&out, "endpoint", row->endpoint);
        error = error != 0 ? error : ctl__json_name(&out, "health");
        error = error != 0 ? error : oak_buf_printf(&out, "%s", yes_no(row->error == NULL));
        error = error != 0 ? error : text_put(&out, "took", row->took);
        error = error != 0 || row->error == NULL ? error : text_put(&out, "error", row->error);
        error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    }
    error = error != 0 ? error : oak_buf_append(&out, "]", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void health_fields(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    (void)c;
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        const struct row *row = &t->rows[i];
        ctl__fields_text("Endpoint", row->endpoint);
        printf("\"Health\" : %s\n\"Took\" : %s\n\"Error\" : %s\n\n", yes_no(row->error == NULL),
               row->took, row->error == NULL ? "" : row->error);
    }
}

static void health_table(struct ctl *c, const void *message, const void *about)
{
    static const char *const titles[] = {"endpoint", "health", "took", "error"};
    const struct table *t = about;
    const char *cells[CTL__ENDPOINTS_MAX * OAK_COUNT_OF(titles)];
    (void)c;
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        const char **cell = cells + i * OAK_COUNT_OF(titles);
        cell[0] = t->rows[i].endpoint;
        cell[1] = yes_no(t->rows[i].error == NULL);
        cell[2] = t->rows[i].took;
        cell[3] = t->rows[i].error == NULL ? "" : t->rows[i].error;
    }
    ctl__table_print(titles, OAK_COUNT_OF(titles), cells, t->count);
}

/* Why it can't write although it reads; NULL: it can. */
static const char *alarms_of(struct ctl *c, const struct ctl__reply *reply)
{
    if (reply->error != 0) {
        return "Unable to fetch the alarm list";
    }
    const Etcdserverpb__AlarmResponse *r = (const Etcdserverpb__AlarmResponse *)reply->response;
    const char *text = r->n_alarms > 0 ? "Active Alarm(s): " : NULL;
    for (size_t i = 0; i < r->n_alarms; i++) {
        Etcdserverpb__AlarmType type = r->alarms[i]->alarm;
        text = ctl__printf(c, "%s%s ", text,
                           type == ETCDSERVERPB__ALARM_TYPE__NOSPACE   ? "NOSPACE"
                           : type == ETCDSERVERPB__ALARM_TYPE__CORRUPT ? "CORRUPT"
                                                                       : "UNKNOWN");
    }
    return text;
}

/* A read of a key takes a majority; that somebody may not read it was found out by one too. */
static void health_ask(struct ctl *c, struct ctl__each *each, struct table *out)
{
    Etcdserverpb__RangeRequest read = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__AlarmRequest alarms = ETCDSERVERPB__ALARM_REQUEST__INIT;
    read.key = oak_proto_binary(oak_bytes_str("health"));
    ctl__each_ask(c, each, &range_method, &read.base);
    out->count = each->at.count;
    for (size_t i = 0; i < out->count; i++) {
        const struct ctl__reply *reply = &each->replies[i];
        bool answered = reply->error == 0 || reply->error == OAK_EPERMISSIONDENIED;
        out->rows[i] = (struct row){
            .endpoint = each->at.items[i],
            .took = ctl__duration(c, reply->took_ns),
            .error = answered ? NULL : ctl__printf(c, "%s", ctl__reply_text(reply)),
        };
        each->left_out[i] = !answered;
    }
    ctl__each_ask(c, each, &alarm_method, &alarms.base);
    for (size_t i = 0; i < out->count; i++) {
        if (out->rows[i].error == NULL) {
            out->rows[i].error = alarms_of(c, &each->replies[i]);
        }
    }
}

int ctl__endpoint_health(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {health_simple, health_json, health_fields, health_table};
    bool cluster = false;
    const struct oak_args_flag flags[] = {CLUSTER_FLAG(&cluster)};
    const struct oak_args_command command = {
        .name = "endpoint health",
        .summary = "Show which servers can read and write: each is asked for a key, and for "
                   "alarms. Ends with 1 if one of them cannot.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum endpoint health --endpoints 10.0.0.1:2379,10.0.0.2:2379\n"
                "  oakum endpoint health --cluster --write-out table\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    struct ctl__each *each = ctl__each_new(c, cluster, &code);
    if (each == NULL) {
        return code;
    }
    struct table table;
    bool healthy = true;
    health_ask(c, each, &table);
    for (size_t i = 0; i < table.count; i++) {
        healthy = healthy && table.rows[i].error == NULL;
    }
    code = ctl__show(c, &view, NULL, &table);
    ctl__each_free(each);
    return code == CTL__OK && !healthy ? ctl__error(CTL__FAILED, "unhealthy cluster") : code;
}

/* -- status ------------------------------------------------------------------------------------ */

static const char *const status_titles[] = {
    "endpoint",
    "ID",
    "version",
    "storage version",
    "db size",
    "in use",
    "percentage not in use",
    "quota",
    "is leader",
    "is learner",
    "raft term",
    "raft index",
    "raft applied index",
    "errors",
    "downgrade target version",
    "downgrade enabled",
};
#define STATUS_COLUMNS OAK_COUNT_OF(status_titles)

static const char *errors_of(struct ctl *c, const Etcdserverpb__StatusResponse *r,
                             const char *between)
{
    return ctl__joined(c, r->errors, r->n_errors, between);
}

static uint64_t member_of(const Etcdserverpb__StatusResponse *r)
{
    return r->header == NULL ? 0 : r->header->member_id;
}

static void status_row(struct ctl *c, const struct row *row, const char **cell)
{
    const Etcdserverpb__StatusResponse *r = row->response;
    const Etcdserverpb__DowngradeInfo *down = r->downgradeinfo;
    int64_t unused = r->dbsize > 0 ? 100 - r->dbsizeinuse * 100 / r->dbsize : 0;
    const char *const cells[STATUS_COLUMNS] = {
        row->endpoint,
        ctl__printf(c, "%" PRIx64, member_of(r)),
        r->version,
        r->storageversion,
        ctl__byte_size(c, r->dbsize),
        ctl__byte_size(c, r->dbsizeinuse),
        ctl__printf(c, "%" PRId64 "%%", unused),
        ctl__byte_size(c, r->dbsizequota),
        yes_no(r->leader == member_of(r)),
        yes_no(r->islearner),
        ctl__printf(c, "%" PRIu64, r->raftterm),
        ctl__printf(c, "%" PRIu64, r->raftindex),
        ctl__printf(c, "%" PRIu64, r->raftappliedindex),
        errors_of(c, r, ", "),
        down != NULL ? down->targetversion : "",
        yes_no(down != NULL && down->enabled),
    };
    memcpy(cell, cells, sizeof(cells));
}

static void status_simple(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    const char *cells[STATUS_COLUMNS];
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        status_row(c, &t->rows[i], cells);
        ctl__rows_print(STATUS_COLUMNS, cells, 1);
    }
}

static void status_table(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    const char *cells[CTL__ENDPOINTS_MAX * STATUS_COLUMNS];
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        status_row(c, &t->rows[i], cells + i * STATUS_COLUMNS);
    }
    ctl__table_print(status_titles, STATUS_COLUMNS, cells, t->count);
}

static void status_fields(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        const Etcdserverpb__StatusResponse *r = t->rows[i].response;
        const Etcdserverpb__DowngradeInfo *down = r->downgradeinfo;
        ctl__fields_header(c, r->header);
        ctl__fields_text("Version", r->version);
        ctl__fields_text("StorageVersion", r->storageversion);
        printf("\"DBSize\" : %" PRId64 "\n\"DBSizeInUse\" : %" PRId64 "\n", r->dbsize,
               r->dbsizeinuse);
        printf("\"DBSizeQuota\" : %" PRId64 "\n\"Leader\" : %" PRIu64 "\n", r->dbsizequota,
               r->leader);
        printf("\"IsLearner\" : %s\n\"RaftIndex\" : %" PRIu64 "\n", yes_no(r->islearner),
               r->raftindex);
        printf("\"RaftAppliedIndex\" : %" PRIu64 "\n", r->raftappliedindex);
        printf("\"Errors\" : [%s]\n", errors_of(c, r, " "));
        ctl__fields_text("Endpoint", t->rows[i].endpoint);
        ctl__fields_text("DowngradeTargetVersion", down != NULL ? down->targetversion : "");
        printf("\"DowngradeEnabled\" : %s\n\n", yes_no(down != NULL && down->enabled));
    }
}

/* [{"Endpoint":"a:1","Status":{...}}] */
static void answers_json(const struct table *t, const char *name)
{
    struct oak_buf out = {0};
    int error = oak_buf_append(&out, "[", 1);
    for (size_t i = 0; i < t->count && error == 0; i++) {
        error = oak_buf_printf(&out, "%s{", i > 0 ? "," : "");
        error = error != 0 ? error : text_put(&out, "Endpoint", t->rows[i].endpoint);
        error = error != 0 ? error : ctl__json_name(&out, name);
        error = error != 0 ? error : ctl__json_message(&out, t->rows[i].response, false);
        error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    }
    error = error != 0 ? error : oak_buf_append(&out, "]", 1);
    if (error == 0 && t->count == 0) { /* a slice that nothing was put in */
        oak_buf_clear(&out);
        error = oak_buf_printf(&out, "null");
    }
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void status_json(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    (void)message;
    answers_json(about, "Status");
}

/* Ask all, tell those that failed, show the others. `what` is what could not be had. */
static int each_show(struct ctl *c, bool cluster, const struct ctl__method *method,
                     const ProtobufCMessage *request, const struct ctl__view *view,
                     const char *what)
{
    int code;
    struct table table = {.count = 0};
    struct ctl__each *each = ctl__each_new(c, cluster, &code);
    if (each == NULL) {
        return code;
    }
    ctl__each_ask(c, each, method, request);
    for (size_t i = 0; i < each->at.count; i++) {
        const struct ctl__reply *reply = &each->replies[i];
        if (reply->error != 0) {
            fprintf(stderr, "Failed to get the %s of endpoint %s (%s)\n", what, each->at.items[i],
                    ctl__reply_text(reply));
            continue;
        }
        table.rows[table.count++] = (struct row){
            .endpoint = each->at.items[i],
            .response = reply->response,
        };
    }
    code = ctl__show(c, view, NULL, &table);
    code = code == CTL__OK && table.count < each->at.count ? CTL__FAILED : code;
    ctl__each_free(each);
    return code;
}

int ctl__endpoint_status(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {status_simple, status_json, status_fields, status_table};
    bool cluster = false;
    const struct oak_args_flag flags[] = {CLUSTER_FLAG(&cluster)};
    const struct oak_args_command command = {
        .name = "endpoint status",
        .summary = "Show what each server says of itself: who leads, how large it is, how far it "
                   "is.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "In the format simple, a line has: endpoint, id, version, version of the storage,\n"
                "size, of that in use, percent not in use, quota, leads?, learner?, term, log\n"
                "index, applied index, errors, downgrade to, downgrade under way?\n\n"
                "Examples:\n"
                "  oakum endpoint status --cluster --write-out table\n"
                "  oakum endpoint status --output json\n",
    };
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return each_show(c, cluster, &status_method, &request.base, &view, "status");
}

/* -- hashkv ------------------------------------------------------------------------------------ */

static const char *const hash_titles[] = {"endpoint", "hash", "hash_revision"};
#define HASH_COLUMNS OAK_COUNT_OF(hash_titles)

static void hash_cells(struct ctl *c, const struct table *t, const char **cells)
{
    for (size_t i = 0; i < t->count; i++) {
        const Etcdserverpb__HashKVResponse *r = t->rows[i].response;
        cells[i * HASH_COLUMNS] = t->rows[i].endpoint;
        cells[i * HASH_COLUMNS + 1] = ctl__printf(c, "%" PRIu32, r->hash);
        cells[i * HASH_COLUMNS + 2] = ctl__printf(c, "%" PRId64, r->hash_revision);
    }
}

static void hash_simple(struct ctl *c, const void *message, const void *about)
{
    const char *cells[CTL__ENDPOINTS_MAX * HASH_COLUMNS];
    const struct table *t = about;
    (void)message;
    hash_cells(c, t, cells);
    ctl__rows_print(HASH_COLUMNS, cells, t->count);
}

static void hash_table(struct ctl *c, const void *message, const void *about)
{
    const char *cells[CTL__ENDPOINTS_MAX * HASH_COLUMNS];
    const struct table *t = about;
    (void)message;
    hash_cells(c, t, cells);
    ctl__table_print(hash_titles, HASH_COLUMNS, cells, t->count);
}

static void hash_fields(struct ctl *c, const void *message, const void *about)
{
    const struct table *t = about;
    (void)message;
    for (size_t i = 0; i < t->count; i++) {
        const Etcdserverpb__HashKVResponse *r = t->rows[i].response;
        ctl__fields_header(c, r->header);
        ctl__fields_text("Endpoint", t->rows[i].endpoint);
        printf("\"Hash\" : %" PRIu32 "\n\"HashRevision\" : %" PRId64 "\n\n", r->hash,
               r->hash_revision);
    }
}

static void hash_json(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    (void)message;
    answers_json(about, "HashKV");
}

int ctl__endpoint_hashkv(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {hash_simple, hash_json, hash_fields, hash_table};
    bool cluster = false;
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    const struct oak_args_flag flags[] = {
        CLUSTER_FLAG(&cluster),
        {"rev", '\0', OAK_ARGS_SIGNED, &request.revision, 0, 0, "REVISION",
         "the history until then (0: until now)"},
    };
    const struct oak_args_command command = {
        .name = "endpoint hashkv",
        .summary = "Show a hash of the history of keys that each server holds. Of one revision, "
                   "and compacted to the same one, they are equal; else something is wrong.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n  oakum endpoint hashkv --cluster --rev 1024\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return each_show(c, cluster, &hash_method, &request.base, &view, "hash");
}
