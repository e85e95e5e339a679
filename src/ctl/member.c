/* SPDX-License-Identifier: Apache-2.0 */
/* member.c: member list, add, remove, update, promote. With --hex, ids in JSON are hexadecimal
 * texts. */
#include "ctl/internal.h"

#include <stdlib.h>

#define METHOD(name, message, read)                                                             \
    {                                                                                           \
        "etcdserverpb.Cluster", (name), &etcdserverpb__member_##message##_response__descriptor, \
            (read)                                                                              \
    }
static const struct ctl__method list_method = METHOD("MemberList", list, true);
static const struct ctl__method add_method = METHOD("MemberAdd", add, false);
static const struct ctl__method remove_method = METHOD("MemberRemove", remove, false);
static const struct ctl__method update_method = METHOD("MemberUpdate", update, false);
static const struct ctl__method promote_method = METHOD("MemberPromote", promote, false);

static uint64_t cluster_of(const Etcdserverpb__ResponseHeader *header)
{
    return header == NULL ? 0 : header->cluster_id;
}

/* -- list -------------------------------------------------------------------------------------- */

static const char *const titles[] = {"ID",         "Status",       "Name",
                                     "Peer Addrs", "Client Addrs", "Is Learner"};
#define COLUMNS OAK_COUNT_OF(titles)

static void row_fill(struct ctl *c, const Etcdserverpb__Member *m, const char **cell)
{
    cell[0] = ctl__printf(c, "%" PRIx64, m->id);
    cell[1] = m->name[0] != '\0' ? "started" : "unstarted";
    cell[2] = m->name;
    cell[3] = ctl__joined(c, m->peerurls, m->n_peerurls, ",");
    cell[4] = ctl__joined(c, m->clienturls, m->n_clienturls, ",");
    cell[5] = m->islearner ? "true" : "false";
}

static void list_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__MemberListResponse *r = message;
    const char *cells[COLUMNS];
    (void)about;
    for (size_t i = 0; i < r->n_members; i++) {
        row_fill(c, r->members[i], cells);
        ctl__rows_print(COLUMNS, cells, 1);
    }
}

static void list_table(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__MemberListResponse *r = message;
    const char **cells = oak_arena_alloc(&c->arena, (r->n_members * COLUMNS + 1) * sizeof(*cells));
    (void)about;
    for (size_t i = 0; cells != NULL && i < r->n_members; i++) {
        row_fill(c, r->members[i], cells + i * COLUMNS);
    }
    ctl__table_print(titles, COLUMNS, cells, cells != NULL ? r->n_members : 0);
}

static void list_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__MemberListResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        ctl__fields_id(c, "ID", m->id);
        ctl__fields_text("Name", m->name);
        for (size_t k = 0; k < m->n_peerurls; k++) {
            ctl__fields_text("PeerURL", m->peerurls[k]);
        }
        for (size_t k = 0; k < m->n_clienturls; k++) {
            ctl__fields_text("ClientURL", m->clienturls[k]);
        }
        printf("\"IsLearner\" : %s\n\n", m->islearner ? "true" : "false");
    }
}

int ctl__member_list(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {list_simple, NULL, list_fields, list_table};
    const char *consistency = "l";
    const struct oak_args_flag flags[] = {
        {"consistency", '\0', OAK_ARGS_TEXT, &consistency, 0, 0, "l|s",
         "l: what is true now; s: what the server that is asked knows"},
    };
    const struct oak_args_command command = {
        .name = "member list",
        .summary = "List the members: who votes, who learns, and where they are.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "In the format simple, a line has: id, started or unstarted, name, addresses for\n"
                "members, addresses for clients, learner?\n\n"
                "Examples:\n"
                "  oakum member list --write-out table\n"
                "  oakum member list --consistency s --endpoints 10.0.0.2:2379\n",
    };
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    struct ctl__words words;
    int code;
    c->hex_ids = true;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (strcmp(consistency, "l") != 0 && strcmp(consistency, "s") != 0) {
        return ctl__error(CTL__BAD_FEATURE, "unknown consistency flag \"%s\": l or s", consistency);
    }
    request.linearizable = strcmp(consistency, "l") == 0;
    return ctl__ask_and_show(c, &list_method, &request.base, &view, NULL);
}

/* -- add --------------------------------------------------------------------------------------- */

struct addition {
    const char *name;
    const char *urls; /* with commas */
};

/* What the new member's environment, or its flags, must say. */
static void environment_print(struct ctl *c, const Etcdserverpb__MemberAddResponse *r,
                              const struct addition *added)
{
    const char *cluster = "";
    for (size_t i = 0; i < r->n_members; i++) {
        const Etcdserverpb__Member *m = r->members[i];
        const char *name = m->id == r->member->id ? added->name : m->name;
        for (size_t k = 0; k < m->n_peerurls; k++) {
            cluster = ctl__printf(c, "%s%s%s=%s", cluster, cluster[0] != '\0' ? "," : "", name,
                                  m->peerurls[k]);
        }
    }
    fputs("\nETCD_NAME=", stdout);
    ctl__quoted_print(oak_bytes_str(added->name));
    fputs("\nETCD_INITIAL_CLUSTER=", stdout);
    ctl__quoted_print(oak_bytes_str(cluster));
    fputs("\nETCD_INITIAL_ADVERTISE_PEER_URLS=", stdout);
    ctl__quoted_print(oak_bytes_str(added->urls));
    fputs("\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n", stdout);
}

static void add_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__MemberAddResponse *r = message;
    if (r->member == NULL) {
        return;
    }
    printf("Member %16" PRIx64 " added%sto cluster %16" PRIx64 "\n", r->member->id,
           r->member->islearner ? " as learner " : " ", cluster_of(r->header));
    environment_print(c, r, about);
}

/* "http://a:1,http://b:1" as a list in the arena. */
static bool urls_read(struct ctl *c, const char *text, char ***out, size_t *count, int *code)
{
    if (text == NULL || text[0] == '\0') {
        *code = ctl__error(CTL__BAD_ARGS, "member peer urls not provided: --peer-urls "
                                          "http://10.0.0.4:2380");
        return false;
    }
    size_t most = 1;
    for (const char *at = text; *at != '\0'; at++) {
        most += *at == ',';
    }
    char **urls = oak_arena_alloc(&c->arena, most * sizeof(*urls));
    struct oak_bytes copy = oak_arena_dup(&c->arena, oak_bytes(text, strlen(text) + 1));
    if (urls == NULL || copy.data == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
        return false;
    }
    char *at = (char *)(uintptr_t)copy.data;
    for (*count = 0; *count < most; *count += 1) {
        urls[*count] = at;
        at += strcspn(at, ",");
        *at++ = '\0';
    }
    *out = urls;
    return true;
}

int ctl__member_add(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {add_simple, NULL, NULL, NULL};
    struct addition added = {0};
    bool learner = false;
    const struct oak_args_flag flags[] = {
        {"peer-urls", '\0', OAK_ARGS_TEXT, &added.urls, 0, 0, "A,B",
         "where the other members find it"},
        {"learner", '\0', OAK_ARGS_BOOL, &learner, 0, 0, NULL,
         "it gets everything, and has no vote until it is promoted"},
    };
    const struct oak_args_command command = {
        .name = "member add",
        .summary = "Add a member. What it has to be started with is told.",
        .operands = "NAME",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Add it first, then start it: with what is told as its environment, or as flags.\n"
                "A learner that has caught up gets its vote by: oakum member promote ID\n\n"
                "Examples:\n"
                "  oakum member add n4 --peer-urls http://10.0.0.4:2380 --learner\n",
    };
    Etcdserverpb__MemberAddRequest request = ETCDSERVERPB__MEMBER_ADD_REQUEST__INIT;
    struct ctl__words words;
    int code;
    c->hex_ids = true;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    for (size_t i = 1; i < words.count; i++) {
        if (strncmp(words.at[i], "http", 4) == 0) {
            return ctl__error(CTL__BAD_ARGS, "too many arguments, did you mean --peer-urls=%s",
                              words.at[i]);
        }
    }
    if (!ctl__words_are(c, &words, 1, "the name of the new member", &code) ||
        !urls_read(c, added.urls, &request.peerurls, &request.n_peerurls, &code)) {
        return code;
    }
    added.name = words.at[0];
    request.islearner = learner;
    return ctl__ask_and_show(c, &add_method, &request.base, &view, &added);
}

/* -- remove, update, promote ------------------------------------------------------------------- */

static void remove_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    printf("Member %16" PRIx64 " removed from cluster %16" PRIx64 "\n", *(const uint64_t *)about,
           cluster_of(((const Etcdserverpb__MemberRemoveResponse *)message)->header));
}

int ctl__member_remove(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {remove_simple, NULL, NULL, NULL};
    const struct oak_args_command command = {
        .name = "member remove",
        .summary = "Take a member out. It stops by itself, and can't come back with its data.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum member remove 8211f1d0f64f3269\n",
    };
    Etcdserverpb__MemberRemoveRequest request = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    c->hex_ids = true;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "member", &request.id, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &remove_method, &request.base, &view, &request.id);
}

static void update_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    printf("Member %16" PRIx64 " updated in cluster %16" PRIx64 "\n", *(const uint64_t *)about,
           cluster_of(((const Etcdserverpb__MemberUpdateResponse *)message)->header));
}

int ctl__member_update(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {update_simple, NULL, NULL, NULL};
    const char *urls = NULL;
    const struct oak_args_flag flags[] = {
        {"peer-urls", '\0', OAK_ARGS_TEXT, &urls, 0, 0, "A,B", "where the other members find it"},
    };
    const struct oak_args_command command = {
        .name = "member update",
        .summary = "Change where a member is for the others.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Example:\n"
                "  oakum member update 8211f1d0f64f3269 --peer-urls http://10.0.0.9:2380\n",
    };
    Etcdserverpb__MemberUpdateRequest request = ETCDSERVERPB__MEMBER_UPDATE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    c->hex_ids = true;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "member", &request.id, &code) ||
        !urls_read(c, urls, &request.peerurls, &request.n_peerurls, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &update_method, &request.base, &view, &request.id);
}

static void promote_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    printf("Member %16" PRIx64 " promoted in cluster %16" PRIx64 "\n", *(const uint64_t *)about,
           cluster_of(((const Etcdserverpb__MemberPromoteResponse *)message)->header));
}

int ctl__member_promote(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {promote_simple, NULL, NULL, NULL};
    const struct oak_args_command command = {
        .name = "member promote",
        .summary = "Give a learner its vote, once it has caught up.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum member promote 9bf1b35fc7761a23\n",
    };
    Etcdserverpb__MemberPromoteRequest request = ETCDSERVERPB__MEMBER_PROMOTE_REQUEST__INIT;
    struct ctl__words words;
    int code;
    c->hex_ids = true;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "member", &request.id, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &promote_method, &request.base, &view, &request.id);
}
