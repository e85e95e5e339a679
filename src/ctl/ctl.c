/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c: which verb is meant, and what all of them do at their beginning and their end. */
#include "ctl/internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_CHUNK_BYTES (64 * OAK_KIB)

struct entry {
    const char *group;
    const char *words; /* one or two */
    const char *summary;
    ctl__verb *run;
};

static const struct entry verbs[] = {
#define KEYS "Keys and values"
    {KEYS, "get", "show a key, or a range of keys", ctl__get},
    {KEYS, "put", "set a key", ctl__put},
    {KEYS, "del", "delete a key, or a range of keys", ctl__del},
    {KEYS, "txn", "change several keys at once, if conditions hold", ctl__txn},
    {KEYS, "watch", "show changes of a key, or of a range, as they come", ctl__watch},
    {KEYS, "compaction", "forget what was before a revision", ctl__compaction},
    {KEYS, "lease grant", "make a lease: keys that end with it", ctl__lease_grant},
    {KEYS, "lease revoke", "end a lease, and its keys", ctl__lease_revoke},
    {KEYS, "lease keep-alive", "keep a lease alive", ctl__lease_keep_alive},
    {KEYS, "lease timetolive", "show what is left of a lease", ctl__lease_timetolive},
    {KEYS, "lease list", "list the leases", ctl__lease_list},
#define CLUSTER "The cluster"
    {CLUSTER, "endpoint health", "show which servers can do a write", ctl__endpoint_health},
    {CLUSTER, "endpoint status", "show who leads, sizes and versions", ctl__endpoint_status},
    {CLUSTER, "endpoint hashkv", "compare what the servers hold, by a hash", ctl__endpoint_hashkv},
    {CLUSTER, "member list", "list the members", ctl__member_list},
    {CLUSTER, "member add", "add a member", ctl__member_add},
    {CLUSTER, "member remove", "take a member out", ctl__member_remove},
    {CLUSTER, "member update", "change where a member is", ctl__member_update},
    {CLUSTER, "member promote", "make a learner a member that votes", ctl__member_promote},
    {CLUSTER, "move-leader", "let another member lead", ctl__move_leader},
    {CLUSTER, "alarm list", "list what keeps the cluster from writing", ctl__alarm_list},
    {CLUSTER, "alarm disarm", "end all alarms", ctl__alarm_disarm},
    {CLUSTER, "defrag", "give back room on disks", ctl__defrag},
    {CLUSTER, "downgrade validate", "ask for a way to an older API", ctl__downgrade_validate},
    {CLUSTER, "downgrade enable", "go there", ctl__downgrade_enable},
    {CLUSTER, "downgrade cancel", "stay", ctl__downgrade_cancel},
    {CLUSTER, "check perf", "put a load on it, and judge", ctl__check_perf},
    {CLUSTER, "check datascale", "see what memory many keys take", ctl__check_datascale},
#define FILES "Snapshots"
    {FILES, "export", "write the state into a file that etcd takes, too", ctl__export},
    {FILES, "snapshot save", "the same", ctl__snapshot_save},
    {FILES, "snapshot status", "show what is in such a file", ctl__snapshot_status},
#define USERS "Users and roles"
    {USERS, "auth enable", "let in only users", ctl__auth_enable},
    {USERS, "auth disable", "let everybody in", ctl__auth_disable},
    {USERS, "auth status", "show whether users are needed", ctl__auth_status},
    {USERS, "user add", "add a user", ctl__user_add},
    {USERS, "user delete", "delete a user", ctl__user_delete},
    {USERS, "user get", "show the roles of a user", ctl__user_get},
    {USERS, "user list", "list the users", ctl__user_list},
    {USERS, "user passwd", "change a password", ctl__user_passwd},
    {USERS, "user grant-role", "give a role to a user", ctl__user_grant_role},
    {USERS, "user revoke-role", "take a role from a user", ctl__user_revoke_role},
    {USERS, "role add", "add a role", ctl__role_add},
    {USERS, "role delete", "delete a role", ctl__role_delete},
    {USERS, "role get", "show what a role permits", ctl__role_get},
    {USERS, "role list", "list the roles", ctl__role_list},
    {USERS, "role grant-permission", "let a role read or write keys", ctl__role_grant_permission},
    {USERS, "role revoke-permission", "take that back", ctl__role_revoke_permission},
#define TURNS "Locks and elections"
    {TURNS, "lock", "hold a lock while a command runs", ctl__lock},
    {TURNS, "elect", "lead an election, or see who does", ctl__elect},
#define MOVING "Moving from etcd, and back"
    {MOVING, "mirror", "keep the keys of one cluster at another, until you switch", ctl__mirror},
    {MOVING, "make-mirror", "put the keys of a cluster into another one", ctl__make_mirror},
#define SETTINGS "Settings"
    {SETTINGS, "context add", "give a cluster a name", ctl__context_add},
    {SETTINGS, "context use", "use it from now on", ctl__context_use},
    {SETTINGS, "context list", "list them", ctl__context_list},
    {SETTINGS, "context remove", "forget one", ctl__context_remove},
};

/* Words that etcdctl takes too. */
static const struct {
    const char *word;
    const char *verb;
} aliases[] = {{"delete", "del"}, {"range", "get"}, {"compact", "compaction"}};

/* -- which verb -------------------------------------------------------------------------------- */

/* The entry of one or two words; *used says how many. */
static const struct entry *find(const char *first, const char *second, int *used)
{
    for (size_t i = 0; i < OAK_COUNT_OF(aliases); i++) {
        first = strcmp(first, aliases[i].word) == 0 ? aliases[i].verb : first;
    }
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        size_t size = strcspn(verbs[i].words, " ");
        if (strlen(first) != size || strncmp(first, verbs[i].words, size) != 0) {
            continue;
        }
        bool pair = verbs[i].words[size] == ' ';
        if (!pair || (second != NULL && strcmp(second, verbs[i].words + size + 1) == 0)) {
            *used = pair ? 2 : 1;
            return &verbs[i];
        }
    }
    return NULL;
}

bool ctl__is_group(const char *word)
{
    size_t size = strlen(word);
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        if (strncmp(word, verbs[i].words, size) == 0 && verbs[i].words[size] == ' ') {
            return true;
        }
    }
    return false;
}

bool oak_ctl_is_verb(const char *word)
{
    int used;
    return ctl__is_group(word) || find(word, NULL, &used) != NULL;
}

int oak_ctl_options_skip(int argc, char *const *argv, int begin)
{
    struct ctl__options o;
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags(&o, flags);
    int at = begin;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        const struct oak_args_flag *f = oak_args_find(flags, CTL__OPTIONS_COUNT, argv[at]);
        if (f == NULL) {
            return at;
        }
        bool has_value = strchr(argv[at], '=') != NULL || f->kind == OAK_ARGS_BOOL ||
                         (argv[at][1] == f->letter && argv[at][2] != '\0');
        at += has_value ? 1 : 2;
    }
    return OAK_MIN(at, argc);
}

/* Where the verb is behind flags that all verbs have; -1: there is none. */
static int verb_at(int argc, char *const *argv, int begin)
{
    int at = oak_ctl_options_skip(argc, argv, begin);
    return at < argc && oak_ctl_is_verb(argv[at]) ? at : -1;
}

bool oak_ctl_is_meant(int argc, char *const *argv)
{
    return verb_at(argc, argv, 1) > 0;
}

void oak_ctl_words_each(const char *first,
                        void (*each)(void *user, const char *word, const char *summary), void *user)
{
    const char *before = "";
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        char word[64];
        size_t size = strcspn(verbs[i].words, " ");
        bool pair = verbs[i].words[size] == ' ';
        if (first != NULL) {
            if (pair && strlen(first) == size && strncmp(first, verbs[i].words, size) == 0) {
                each(user, verbs[i].words + size + 1, verbs[i].summary);
            }
            continue;
        }
        snprintf(word, sizeof(word), "%.*s", (int)size, verbs[i].words);
        if (strncmp(before, word, size) != 0 || before[size] != ' ') {
            each(user, word, pair ? verbs[i].group : verbs[i].summary);
        }
        before = verbs[i].words;
    }
}

static void group_print(FILE *out, const char *first)
{
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        size_t size = strlen(first);
        if (strncmp(verbs[i].words, first, size) == 0 && verbs[i].words[size] == ' ') {
            fprintf(out, "  oakum %-22s %s\n", verbs[i].words, verbs[i].summary);
        }
    }
}

void oak_ctl_verbs_help(void)
{
    const char *group = "";
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        if (strcmp(group, verbs[i].group) != 0) {
            group = verbs[i].group;
            printf("%s:\n", group);
        }
        printf("  %-22s %s\n", verbs[i].words, verbs[i].summary);
    }
}

void oak_ctl_help(void)
{
    const char *group = "";
    const char *before = "";
    for (size_t i = 0; i < OAK_COUNT_OF(verbs); i++) {
        const char *words = verbs[i].words;
        size_t size = strcspn(words, " ");
        bool more = words[size] == ' ' && strncmp(before, words, size + 1) == 0;
        if (strcmp(group, verbs[i].group) != 0) {
            printf("%s%s:\n", group[0] == '\0' ? "" : "\n", verbs[i].group);
            group = verbs[i].group;
        } else if (!more) {
            fputc('\n', stdout);
        }
        if (words[size] == '\0') {
            printf("  %-12s %s", words, verbs[i].summary);
        } else if (more) {
            printf(", %s", words + size + 1);
        } else {
            printf("  %-12.*s %s", (int)size, words, words + size + 1);
        }
        before = words;
    }
    fputc('\n', stdout);
}

/* -- one verb from beginning to end ------------------------------------------------------------ */

int ctl__error(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("Error: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

static bool format_read(struct ctl *c, int *code)
{
    static const char *const names[] = {"simple", "json", "fields", "table", "protobuf"};
    for (size_t i = 0; i < OAK_COUNT_OF(names); i++) {
        if (strcmp(c->options.format, names[i]) == 0) {
            c->format = (enum ctl__format)i;
            return true;
        }
    }
    *code = ctl__error(CTL__BAD_FEATURE,
                       "--write-out: there is no format \"%.32s\"; there are "
                       "simple, json, fields, table and protobuf",
                       c->options.format);
    return false;
}

bool ctl__begin(struct ctl *c, const struct oak_args_command *command, int argc, char *const *argv,
                struct ctl__words *words, int *code)
{
    struct oak_args_flag common[CTL__OPTIONS_COUNT];
    struct oak_args_command whole = *command;
    ctl__options_flags(&c->options, common);
    whole.misused = CTL__BAD_ARGS;
    if (!c->in_txn) {
        whole.common = common;
        whole.common_count = CTL__OPTIONS_COUNT;
        whole.common_help = "Flags of all verbs, such as --endpoints and --write-out: oakum help "
                            "options";
    }
    c->command = command;
    return oak_args_parse(&whole, argc, argv, words->at, &words->count, &words->rest, code) &&
           (c->in_txn || format_read(c, code));
}

bool ctl__words_are(const struct ctl *c, const struct ctl__words *words, size_t count,
                    const char *wants, int *code)
{
    if (words->count != count) {
        *code = ctl__error(CTL__BAD_ARGS, "%s wants %s; see oakum %s --help", c->command->name,
                           wants, c->command->name);
    }
    return words->count == count;
}

bool ctl__hex_read(const char *text, const char *what, uint64_t *out, int *code)
{
    char *end;
    size_t digits = strspn(text, "0123456789abcdefABCDEF");
    *out = strtoull(text, &end, 16);
    if (digits > 0 && digits <= 16 && text[digits] == '\0') {
        return true;
    }
    *code = ctl__error(CTL__BAD_ARGS,
                       "\"%.64s\" is not the id of a %s, which is written in "
                       "hexadecimal",
                       text, what);
    return false;
}

bool ctl__stdin_read(struct ctl *c, struct oak_bytes *out, int *code)
{
    struct oak_buf text = {0};
    int error = 0;
    for (size_t got = 1; got > 0 && error == 0;) {
        error = text.size > CTL__INPUT_BYTES_MAX ? OAK_ELIMIT : oak_buf_reserve(&text, 65536);
        if (error == 0) {
            got = fread(text.data + text.size, 1, 65536, stdin);
            text.size += got;
        }
    }
    *out = error == 0 ? oak_arena_dup(&c->arena, oak_buf_bytes(&text)) : oak_bytes(NULL, 0);
    bool good = error == 0 && !ferror(stdin) && (text.size == 0 || out->data != NULL);
    oak_buf_fini(&text);
    if (!good) {
        *code = ctl__error(CTL__IO, "cannot read stdin: %s",
                           error == OAK_ELIMIT ? "it has more than 64 MiB" : "it broke off");
    }
    return good;
}

/* "lease", and no word behind it that makes it a verb: tell those there are. */
static int second_word_missing(const char *first, const char *second)
{
    if (second != NULL && (strcmp(second, "--help") == 0 || strcmp(second, "-h") == 0)) {
        printf("Usage:\n  oakum %s COMMAND [flags]\n\nCommands:\n", first);
        group_print(stdout, first);
        return CTL__OK;
    }
    if (second == NULL || second[0] == '-') {
        fprintf(stderr, "oakum %s wants one more word:\n", first);
    } else {
        fprintf(stderr, "oakum %s: there is no \"%.64s\"; there are:\n", first, second);
    }
    group_print(stderr, first);
    return CTL__BAD_ARGS;
}

/* What stood before the verb goes behind it: flags are read in one go. */
static int run(struct ctl *c, int argc, char *const *argv, int at)
{
    const char *second = at + 1 < argc ? argv[at + 1] : NULL;
    int used = 0;
    const struct entry *entry = find(argv[at], second, &used);
    if (entry == NULL) {
        return second_word_missing(argv[at], second);
    }
    char **words = calloc((size_t)argc + 1, sizeof(*words));
    if (words == NULL) {
        return ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
    }
    int count = 0;
    words[count++] = argv[at];
    for (int i = 0; i < argc; i++) {
        if (i < at || i >= at + used) {
            words[count++] = argv[i];
        }
    }
    int code = entry->run(c, count, words);
    free(words);
    return code;
}

/* The context that a flag names, before the flags are read; NULL: none does. */
static const char *context_flag(int argc, char *const *argv)
{
    const char *found = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strncmp(argv[i], "--context=", 10) == 0) {
            found = argv[i] + 10;
        } else if (strcmp(argv[i], "--context") == 0 && i + 1 < argc) {
            found = argv[i + 1];
        }
    }
    return found;
}

bool oak_ctl_options_parse(const struct oak_args_command *command, int argc, char *const *argv,
                           int *code)
{
    struct ctl__options o = {0};
    struct oak_args_flag common[CTL__OPTIONS_COUNT];
    struct oak_args_command whole = *command;
    size_t count;
    char *const *rest;
    ctl__options_flags(&o, common);
    whole.common = common;
    whole.common_count = CTL__OPTIONS_COUNT;
    return oak_args_parse(&whole, argc, argv, NULL, &count, &rest, code);
}

void oak_ctl_options_help(void)
{
    struct ctl__options o;
    struct oak_args_flag flags[CTL__OPTIONS_COUNT];
    ctl__options_flags(&o, flags);
    puts("Flags of all verbs; ETCDCTL_ENDPOINTS and the like of the environment say the same:\n");
    oak_args_flags_print(flags, CTL__OPTIONS_COUNT);
}

void ctl__init(struct ctl *c)
{
    oak_arena_init(&c->arena, ARENA_CHUNK_BYTES, CTL__ANSWER_BYTES_MAX);
}

void ctl__fini(struct ctl *c)
{
    ctl__unlink(c->link);
    if (c->os != NULL) {
        oak_os_loop_free(c->os);
    }
    oak_arena_fini(&c->arena);
    explicit_bzero(c->password, sizeof(c->password));
}

int oak_ctl_main(int argc, char *const *argv, bool etcdctl)
{
    struct ctl c = {.as_etcdctl = etcdctl};
    int code = CTL__BAD_ARGS;
    int at = verb_at(argc, argv, 0);
    if (at < 0) {
        return ctl__error(CTL__FAILED, "there is no such verb; see oakum help");
    }
    ctl__init(&c);
    if (ctl__options_begin(&c, context_flag(argc, argv), &code)) {
        code = run(&c, argc, argv, at);
    }
    ctl__fini(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        code = ctl__error(CTL__IO, "cannot write to stdout");
    }
    return code;
}
