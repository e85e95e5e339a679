/* SPDX-License-Identifier: Apache-2.0 */
/* maintain.c: alarm list and disarm, defrag, move-leader, downgrade. */
#include "ctl/internal.h"

#define METHOD(name, message, read)                                                          \
    {                                                                                        \
        "etcdserverpb.Maintenance", (name), &etcdserverpb__##message##_response__descriptor, \
            (read)                                                                           \
    }
static const struct ctl__method alarm_method = METHOD("Alarm", alarm, false);
static const struct ctl__method defragment_method = METHOD("Defragment", defragment, false);
static const struct ctl__method status_method = METHOD("Status", status, true);
static const struct ctl__method move_method = METHOD("MoveLeader", move_leader, false);
static const struct ctl__method downgrade_method = METHOD("Downgrade", downgrade, false);

/* -- alarms ------------------------------------------------------------------------------------ */

static const char *alarm_name(Etcdserverpb__AlarmType type)
{
    return type == ETCDSERVERPB__ALARM_TYPE__NOSPACE   ? "NOSPACE"
           : type == ETCDSERVERPB__ALARM_TYPE__CORRUPT ? "CORRUPT"
                                                       : "NONE";
}

static void alarm_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AlarmResponse *r = message;
    (void)c;
    (void)about;
    for (size_t i = 0; i < r->n_alarms; i++) {
        printf("memberID:%" PRIu64 " alarm:%s \n", r->alarms[i]->memberid,
               alarm_name(r->alarms[i]->alarm));
    }
}

static void alarm_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__AlarmResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_alarms; i++) {
        ctl__fields_id(c, "MemberID", r->alarms[i]->memberid);
        printf("\"AlarmType\" : %s\n\n", alarm_name(r->alarms[i]->alarm));
    }
}

static const struct ctl__view alarm_view = {.simple = alarm_simple, .fields = alarm_fields};

int ctl__alarm_list(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "alarm list",
        .summary = "List the alarms: NOSPACE, for a store that is full, and CORRUPT. While there "
                   "is one, nothing can be put.",
        .operands = "",
        .more = "Example:\n  oakum alarm list\n",
    };
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return ctl__ask_and_show(c, &alarm_method, &request.base, &alarm_view, NULL);
}

/* End each of them. What was ended goes to `out`. */
static bool disarm(struct ctl *c, const Etcdserverpb__AlarmResponse *all,
                   Etcdserverpb__AlarmResponse *out, int *code)
{
    out->alarms = oak_arena_alloc(&c->arena, (all->n_alarms + 1) * sizeof(*out->alarms));
    for (size_t i = 0; i < all->n_alarms && out->alarms != NULL; i++) {
        Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
        request.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
        request.memberid = all->alarms[i]->memberid;
        request.alarm = all->alarms[i]->alarm;
        const Etcdserverpb__AlarmResponse *r = ctl__ask(c, &alarm_method, &request.base, code);
        if (r == NULL) {
            return false;
        }
        if (r->n_alarms > 0) { /* else it has ended by itself */
            out->alarms[out->n_alarms++] = all->alarms[i];
        }
    }
    if (out->alarms == NULL) {
        *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
    }
    return out->alarms != NULL;
}

int ctl__alarm_disarm(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "alarm disarm",
        .summary = "End all alarms, and show them. Make room first: else NOSPACE comes again.",
        .operands = "",
        .more = "Example:\n  oakum compaction 1024 && oakum defrag && oakum alarm disarm\n",
    };
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    Etcdserverpb__AlarmResponse ended = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    const void *all = ctl__ask(c, &alarm_method, &request.base, &code);
    if (all == NULL || !disarm(c, all, &ended, &code)) {
        return code;
    }
    return ctl__show(c, &alarm_view, &ended.base, NULL);
}

/* -- defrag ------------------------------------------------------------------------------------ */

int ctl__defrag(struct ctl *c, int argc, char *const *argv)
{
    bool cluster = false;
    const struct oak_args_flag flags[] = {
        {"cluster", '\0', OAK_ARGS_BOOL, &cluster, 0, 0, NULL, "all members that --endpoints know"},
    };
    const struct oak_args_command command = {
        .name = "defrag",
        .summary = "Let servers give back room on their disks, one after another. Oakum does it in "
                   "the background, and etcd serves nothing meanwhile.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .more = "Examples:\n"
                "  oakum defrag\n"
                "  oakum defrag --cluster --command-timeout 1m\n",
    };
    Etcdserverpb__DefragmentRequest request = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    struct ctl__each *each = ctl__each_new(c, cluster, &code);
    if (each == NULL) {
        return code;
    }
    code = CTL__OK;
    for (size_t i = 0; i < each->at.count; i++) {
        struct ctl__reply reply;
        ctl__try(c, ctl__link_client(each->links[i]), &defragment_method, &request.base, &reply);
        const char *took = ctl__duration(c, reply.took_ns);
        if (reply.error == 0) {
            printf("Finished defragmenting etcd member[%s]. took %s\n", each->at.items[i], took);
        } else {
            fprintf(stderr, "Failed to defragment etcd member[%s]. took %s. (%s)\n",
                    each->at.items[i], took, ctl__reply_text(&reply));
            code = CTL__FAILED;
        }
    }
    ctl__each_free(each);
    return code;
}

/* -- move-leader ------------------------------------------------------------------------------- */

struct move {
    uint64_t from;
    uint64_t to;
};

static void move_simple(struct ctl *c, const void *message, const void *about)
{
    const struct move *move = about;
    (void)c;
    (void)message;
    printf("Leadership transferred from %" PRIx64 " to %" PRIx64 "\n", move->from, move->to);
}

/* Ask the one of them that leads. */
static int move(struct ctl *c, struct ctl__each *each, uint64_t to)
{
    static const struct ctl__view view = {.simple = move_simple};
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__MoveLeaderRequest ask = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    const struct ctl__reply *failed = NULL;
    ctl__each_ask(c, each, &status_method, &request.base);
    ask.targetid = to;
    for (size_t i = 0; i < each->at.count; i++) {
        const struct ctl__reply *reply = &each->replies[i];
        const Etcdserverpb__StatusResponse *r =
            reply->error == 0 ? (const Etcdserverpb__StatusResponse *)reply->response : NULL;
        failed = r == NULL ? reply : failed;
        if (r == NULL || r->header == NULL || r->leader != r->header->member_id) {
            continue;
        }
        const struct move moved = {.from = r->leader, .to = to};
        struct ctl__reply answer;
        ctl__try(c, ctl__link_client(each->links[i]), &move_method, &ask.base, &answer);
        return answer.error != 0 ? ctl__reply_error(&answer)
                                 : ctl__show(c, &view, answer.response, &moved);
    }
    if (failed != NULL) {
        return ctl__reply_error(failed);
    }
    ctl__error(0, "none of the endpoints leads");
    fputs("  oakum endpoint status --cluster shows who does\n", stderr);
    return CTL__BAD_ARGS;
}

int ctl__move_leader(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "move-leader",
        .summary = "Let another member lead. One of --endpoints has to be the one that leads now.",
        .operands = "ID",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n"
                "  oakum move-leader 8211f1d0f64f3269 \\\n"
                "      --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n",
    };
    struct ctl__words words;
    uint64_t to;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) ||
        !ctl__id_read(c, &words, "member", &to, &code)) {
        return code;
    }
    struct ctl__each *each = ctl__each_new(c, false, &code);
    if (each == NULL) {
        return code;
    }
    code = move(c, each, to);
    ctl__each_free(each);
    return code;
}

/* -- downgrade --------------------------------------------------------------------------------- */

static void downgrade_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    printf("Downgrade %s success, cluster version %s\n", (const char *)about,
           ((const Etcdserverpb__DowngradeResponse *)message)->version);
}

static int downgrade(struct ctl *c, Etcdserverpb__DowngradeRequest__DowngradeAction action,
                     const char *version, const char *verb)
{
    static const struct ctl__view view = {.simple = downgrade_simple};
    Etcdserverpb__DowngradeRequest request = ETCDSERVERPB__DOWNGRADE_REQUEST__INIT;
    request.action = action;
    request.version = (char *)(uintptr_t)version;
    return ctl__ask_and_show(c, &downgrade_method, &request.base, &view, verb);
}

/* The one operand. */
static bool version_read(struct ctl *c, const struct ctl__words *words, int *code)
{
    if (!ctl__words_are(c, words, 1, "the version to go to, such as 3.5", code)) {
        return false;
    }
    if (words->at[0][0] == '\0') {
        *code = ctl__error(CTL__BAD_ARGS, "target version not provided");
    }
    return words->at[0][0] != '\0';
}

int ctl__downgrade_validate(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "downgrade validate",
        .summary = "Ask whether the cluster could go down to a version of etcd's API.",
        .operands = "VERSION",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum downgrade validate 3.5\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) || !version_read(c, &words, &code)) {
        return code;
    }
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__VALIDATE, words.at[0],
                     "validate");
}

int ctl__downgrade_enable(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "downgrade enable",
        .summary = "Go down to a version of etcd's API: members of that version may join.",
        .operands = "VERSION",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum downgrade enable 3.5\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code) || !version_read(c, &words, &code)) {
        return code;
    }
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__ENABLE, words.at[0],
                     "enable");
}

int ctl__downgrade_cancel(struct ctl *c, int argc, char *const *argv)
{
    const struct oak_args_command command = {
        .name = "downgrade cancel",
        .summary = "End a downgrade that is under way.",
        .operands = "",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "Example:\n  oakum downgrade cancel\n",
    };
    struct ctl__words words;
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    return downgrade(c, ETCDSERVERPB__DOWNGRADE_REQUEST__DOWNGRADE_ACTION__CANCEL, "", "cancel");
}
