/* SPDX-License-Identifier: Apache-2.0 */
/* status.c: `oakum status`: who leads, and how far each member is.
 *
 * Happy path   ask every endpoint at once for Maintenance.Status and its own view of the members;
 *              print a row for each.
 * Can fail     endpoints: their row says why, the others are printed, the exit code is 1.
 */
#include "cli/internal.h"

#include <inttypes.h>
#include <jansson.h>

#define COLUMNS 10

struct row {
    const char *endpoint;
    const Etcdserverpb__StatusResponse *status;      /* NULL: failed */
    const Etcdserverpb__MemberListResponse *members; /* NULL: failed */
    const char *failure;
    char cells[COLUMNS][320];
};

static const char *name_of(const struct row *row)
{
    if (row->members == NULL || row->status->header == NULL) {
        return "";
    }
    for (size_t i = 0; i < row->members->n_members; i++) {
        if (row->members->members[i]->id == row->status->header->member_id) {
            return row->members->members[i]->name;
        }
    }
    return "";
}

static uint64_t id_of(const struct row *row)
{
    return row->status->header == NULL ? 0 : row->status->header->member_id;
}

static const char *role_of(const struct row *row)
{
    if (row->status->islearner != 0) {
        return "learner";
    }
    if (row->status->leader == 0) {
        return "no leader";
    }
    return row->status->leader == id_of(row) ? "leader" : "follower";
}

static void errors_text(const Etcdserverpb__StatusResponse *status, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < status->n_errors && used + 2 < size; i++) {
        int wrote =
            snprintf(out + used, size - used, "%s%s", i == 0 ? "" : "; ", status->errors[i]);
        used += wrote < 0 ? 0 : (size_t)wrote;
    }
}

static void row_fill(struct row *row)
{
    snprintf(row->cells[0], sizeof(row->cells[0]), "%s", row->endpoint);
    if (row->status == NULL) {
        snprintf(row->cells[3], sizeof(row->cells[3]), "unreachable");
        snprintf(row->cells[9], sizeof(row->cells[9]), "%.300s", row->failure);
        return;
    }
    const Etcdserverpb__StatusResponse *s = row->status;
    snprintf(row->cells[1], sizeof(row->cells[1]), "%.300s", name_of(row));
    snprintf(row->cells[2], sizeof(row->cells[2]), "%" PRIx64, id_of(row));
    snprintf(row->cells[3], sizeof(row->cells[3]), "%s", role_of(row));
    snprintf(row->cells[4], sizeof(row->cells[4]), "%" PRIu64, s->raftterm);
    snprintf(row->cells[5], sizeof(row->cells[5]), "%" PRIu64, s->raftindex);
    snprintf(row->cells[6], sizeof(row->cells[6]), "%" PRIu64, s->raftappliedindex);
    cli__size_text((uint64_t)s->dbsize, row->cells[7]);
    snprintf(row->cells[8], sizeof(row->cells[8]), "%.300s", s->version);
    errors_text(s, row->cells[9], sizeof(row->cells[9]));
}

static void table_print(struct row *rows, size_t count)
{
    static const char *const titles[COLUMNS] = {"ENDPOINT", "NAME",   "ID",      "ROLE",
                                                "TERM",     "COMMIT", "APPLIED", "DB SIZE",
                                                "VERSION",  "ERRORS"};
    const char *cells[(CLI__ENDPOINTS_MAX + 1) * COLUMNS];
    memcpy(cells, titles, sizeof(titles));
    for (size_t i = 0; i < count; i++) {
        row_fill(&rows[i]);
        for (size_t k = 0; k < COLUMNS; k++) {
            cells[(i + 1) * COLUMNS + k] = rows[i].cells[k];
        }
    }
    cli__table_print(stdout, cells, count + 1, COLUMNS);
}

static json_t *row_json(const struct row *row)
{
    if (row->status == NULL) {
        return json_pack("{s:s, s:s}", "endpoint", row->endpoint, "failure", row->failure);
    }
    const Etcdserverpb__StatusResponse *s = row->status;
    char id[24];
    char errors[320];
    snprintf(id, sizeof(id), "%" PRIx64, id_of(row));
    errors_text(s, errors, sizeof(errors));
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s}", "endpoint",
                     row->endpoint, "name", name_of(row), "id", id, "role", role_of(row), "term",
                     (json_int_t)s->raftterm, "commit", (json_int_t)s->raftindex, "applied",
                     (json_int_t)s->raftappliedindex, "db_size", (json_int_t)s->dbsize, "version",
                     s->version, "errors", errors);
}

static void json_print(const struct row *rows, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, row_json(&rows[i]));
    }
    json_dumpf(list, stdout, JSON_INDENT(2));
    fputc('\n', stdout);
    json_decref(list);
}

static int ask_and_print(struct oak_os_loop *loop, const struct cli__endpoints *endpoints,
                         uint64_t timeout_ns, bool as_json)
{
    struct cli__call calls[2 * CLI__ENDPOINTS_MAX] = {0};
    struct row rows[CLI__ENDPOINTS_MAX] = {0};
    Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    /* The member's own view: it is told even when there is no quorum to ask. */
    Etcdserverpb__MemberListRequest members = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    for (size_t i = 0; i < endpoints->count; i++) {
        calls[2 * i] =
            (struct cli__call){.endpoint = endpoints->items[i],
                               .service = "etcdserverpb.Maintenance",
                               .method = "Status",
                               .request = &status.base,
                               .response_type = &etcdserverpb__status_response__descriptor};
        calls[2 * i + 1] =
            (struct cli__call){.endpoint = endpoints->items[i],
                               .service = "etcdserverpb.Cluster",
                               .method = "MemberList",
                               .request = &members.base,
                               .response_type = &etcdserverpb__member_list_response__descriptor};
    }
    cli__calls(loop, calls, 2 * endpoints->count, timeout_ns);
    bool whole = true;
    for (size_t i = 0; i < endpoints->count; i++) {
        const struct cli__call *asked = &calls[2 * i];
        bool answered = asked->error == 0 && asked->status == OAK_RPC_OK;
        rows[i].endpoint = endpoints->items[i];
        rows[i].failure = asked->text.text;
        rows[i].status = answered ? (const Etcdserverpb__StatusResponse *)asked->response : NULL;
        const struct cli__call *listed = &calls[2 * i + 1];
        if (listed->error == 0 && listed->status == OAK_RPC_OK) {
            rows[i].members = (const Etcdserverpb__MemberListResponse *)listed->response;
        }
        whole = whole && answered;
    }
    if (as_json) {
        json_print(rows, endpoints->count);
    } else {
        table_print(rows, endpoints->count);
    }
    cli__calls_fini(calls, 2 * endpoints->count);
    return whole ? CLI__EXIT_OK : CLI__EXIT_FAILED;
}

int cli__status(int argc, char *const *argv)
{
    const char *endpoints_text = NULL;
    const char *output = "table";
    uint64_t timeout_s = 5;
    const struct oak_args_flag flags[] = {
        {"endpoints", 'e', OAK_ARGS_TEXT, &endpoints_text, 0, 0, "A,B,C",
         "servers to ask (default $ETCDCTL_ENDPOINTS, or 127.0.0.1:2379)"},
        {"output", 'o', OAK_ARGS_TEXT, &output, 0, 0, "FORM", "table or json (default table)"},
        {"timeout", 't', OAK_ARGS_NUMBER, &timeout_s, 1, 3600, "SECONDS",
         "how long to wait for an answer (default 5)"},
    };
    const struct oak_args_command command = {
        .name = "status",
        .summary = "Show who leads, and how far each server is.",
        .operands = "",
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more =
            "Exit code 1 when a server does not answer; the others are shown all the same.\n"
            "json: a list of {endpoint, name, id, role, term, commit, applied, db_size, version,\n"
            "errors}, or {endpoint, failure}.\n\n"
            "Example:\n  oakum status --endpoints 127.0.0.1:2379,127.0.0.1:22379\n",
    };
    size_t count;
    char *const *rest;
    int code;
    if (!oak_args_parse(&command, argc, argv, NULL, &count, &rest, &code)) {
        return code;
    }
    bool as_json = strcmp(output, "json") == 0;
    if (!as_json && strcmp(output, "table") != 0) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "--output is table or json");
    }
    struct cli__endpoints endpoints;
    struct oak_errbuf e;
    if (cli__endpoints_read(endpoints_text, &endpoints, &e) != 0) {
        return oak_args_complain(&command, CLI__EXIT_MISUSED, "--endpoints: %s", e.text);
    }
    struct oak_os_loop *loop;
    int error = oak_os_loop_new(&loop);
    if (error != 0) {
        return oak_args_complain(&command, CLI__EXIT_FAILED, "%s", oak_error_text(error));
    }
    code = ask_and_print(loop, &endpoints, timeout_s * CLI__SECOND_NS, as_json);
    oak_os_loop_free(loop);
    return code;
}
