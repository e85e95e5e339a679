/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: watch: one on the command line, or any number by lines on stdin.
 *
 * Happy path   1 what is to be watched: words, the environment 2 changes come, are shown, and leave
 *              our buffer 3 the command runs for each of them, one after the other; meanwhile the
 *              server holds back what comes
 * Can fail     what is asked for is gone: told with the oldest revision there is. No server is
 *              found at first: told. A stream that breaks later is opened again, and goes on behind
 *              what was shown.
 * Invariants   each change is shown once, in order; the command runs once for each.
 */
#include "ctl/internal.h"

#include <stdlib.h>

#define SCRATCH_CHUNK_BYTES (16 * OAK_KIB)

struct watching {
    struct ctl *c;
    struct oak_client_watcher *watcher;
    struct oak_arena scratch; /* what is being shown */
    struct oak_list ears;
    struct oak_list jobs; /* commands to be run; the first of them runs */
    struct ctl__lines *lines;
    struct oak_timer patience; /* for the first answer of a server */
    const char *line;          /* that is being read */
    bool began;
    bool progress; /* was asked for before the watcher was open */
    int code;
    bool done;
};

/* One watch. */
struct ear {
    struct oak_list link;
    struct watching *w;
    const char *const *argv; /* NULL: no command */
};

enum { JOB_WORDS = 4 };
struct job {
    struct oak_list link;
    struct watching *w;
    const char *const *argv;
    char *words[JOB_WORDS]; /* "ETCD_WATCH_KEY=..." */
};

static void finish(struct watching *w, int code)
{
    w->code = w->done ? w->code : code;
    w->done = true;
    oak_os_loop_stop(w->c->os);
}

/* -- how it looks ------------------------------------------------------------------------------ */

static void watch_simple(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__WatchResponse *r = message;
    (void)about;
    for (size_t i = 0; i < r->n_events; i++) {
        puts(r->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT");
        if (r->events[i]->prev_kv != NULL) {
            ctl__kv_print(c, r->events[i]->prev_kv);
        }
        ctl__kv_print(c, r->events[i]->kv);
    }
}

/* The members of Go's WatchResponse, which has no tags. */
static void watch_json(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__WatchResponse *r = message;
    struct oak_buf out = {0};
    (void)about;
    int error = oak_buf_printf(&out, "{\"Header\":");
    error = error != 0 ? error : ctl__json_message(&out, &r->header->base, c->options.hex);
    error = error != 0 ? error : ctl__json_name(&out, "Events");
    error = error != 0 ? error : oak_buf_printf(&out, r->n_events > 0 ? "[" : "null");
    for (size_t i = 0; i < r->n_events && error == 0; i++) {
        error = i > 0 ? oak_buf_append(&out, ",", 1) : 0;
        error = error != 0 ? error : ctl__json_message(&out, &r->events[i]->base, c->options.hex);
    }
    error = error != 0 ? error
                       : oak_buf_printf(&out,
                                        "%s,\"CompactRevision\":%" PRId64
                                        ",\"Canceled\":%s,\"Created\":false,\"CancelReason\":",
                                        r->n_events > 0 ? "]" : "", r->compact_revision,
                                        r->canceled ? "true" : "false");
    error = error != 0 ? error : ctl__json_text(&out, oak_bytes_str(r->cancel_reason));
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void watch_fields(struct ctl *c, const void *message, const void *about)
{
    const Etcdserverpb__WatchResponse *r = message;
    (void)about;
    ctl__fields_header(c, r->header);
    for (size_t i = 0; i < r->n_events; i++) {
        bool deleted = r->events[i]->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
        printf("\"Type\" : %s\n", deleted ? "DELETE" : "PUT");
        if (r->events[i]->prev_kv != NULL) {
            ctl__fields_kv(c, "Prev", r->events[i]->prev_kv);
        }
        ctl__fields_kv(c, "", r->events[i]->kv);
    }
}

/* As a message again, in the scratch. */
static Mvccpb__KeyValue *kv_make(struct oak_arena *arena, const struct oak_client_kv *kv)
{
    Mvccpb__KeyValue *out = oak_arena_alloc(arena, sizeof(*out));
    if (out != NULL) {
        mvccpb__key_value__init(out);
        out->key = oak_proto_binary(kv->key);
        out->value = oak_proto_binary(kv->value);
        out->create_revision = kv->create_revision;
        out->mod_revision = kv->mod_revision;
        out->version = kv->version;
        out->lease = kv->lease;
    }
    return out;
}

static Mvccpb__Event *event_make(struct oak_arena *arena, const struct oak_client_event *event)
{
    Mvccpb__Event *out = oak_arena_alloc(arena, sizeof(*out));
    if (out == NULL) {
        return NULL;
    }
    mvccpb__event__init(out);
    out->type = event->deleted ? MVCCPB__EVENT__EVENT_TYPE__DELETE : MVCCPB__EVENT__EVENT_TYPE__PUT;
    out->kv = kv_make(arena, &event->kv);
    out->prev_kv = event->previous != NULL ? kv_make(arena, event->previous) : NULL;
    return out->kv == NULL || (event->previous != NULL && out->prev_kv == NULL) ? NULL : out;
}

static bool changes_show(struct watching *w, Etcdserverpb__WatchResponse *r,
                         const struct oak_client_event *events, size_t count)
{
    static const struct ctl__view view = {watch_simple, watch_json, watch_fields, NULL};
    struct oak_client_header h = oak_client_watcher_header(w->watcher);
    Etcdserverpb__ResponseHeader header = ETCDSERVERPB__RESPONSE_HEADER__INIT;
    header.cluster_id = h.cluster_id;
    header.member_id = h.member_id;
    header.revision = h.revision;
    header.raft_term = h.raft_term;
    oak_arena_reset(&w->scratch);
    r->header = &header;
    r->events = oak_arena_alloc(&w->scratch, (count + 1) * sizeof(*r->events));
    bool good = r->events != NULL;
    for (; good && r->n_events < count; r->n_events++) {
        r->events[r->n_events] = event_make(&w->scratch, &events[r->n_events]);
        good = r->events[r->n_events] != NULL;
    }
    int code = good ? ctl__show(w->c, &view, &r->base, NULL)
                    : ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
    if (fflush(stdout) != 0 && code == CTL__OK) {
        code = ctl__error(CTL__IO, "cannot write to stdout");
    }
    if (code != CTL__OK) {
        finish(w, code);
    }
    return code == CTL__OK;
}

/* -- commands ---------------------------------------------------------------------------------- */

static void job_free(struct job *job)
{
    oak_list_remove(&job->link);
    for (size_t i = 0; i < JOB_WORDS; i++) {
        free(job->words[i]);
    }
    free(job);
}

static void job_begin(struct watching *w);

static void job_ended(void *user, int64_t code, int signal)
{
    struct job *job = user;
    struct watching *w = job->w;
    bool well = ctl__run_well(job->argv, code, signal);
    job_free(job);
    if (well) {
        job_begin(w);
    } else {
        finish(w, CTL__FAILED);
    }
}

/* Run the next; what comes is held back until all have been run. */
static void job_begin(struct watching *w)
{
    struct oak_os_child *child;
    oak_client_watcher_pause(w->watcher, !oak_list_empty(&w->jobs));
    if (oak_list_empty(&w->jobs) || w->done) {
        return;
    }
    struct job *job = OAK_LIST_ENTRY(w->jobs.next, struct job, link);
    if (!ctl__run(w->c, job->argv, (const char *const *)job->words, JOB_WORDS, false, job_ended,
                  job, &child)) {
        finish(w, CTL__FAILED);
    }
}

/* "NAME=" and the text in quotes. */
static char *word_make(const char *name, struct oak_bytes text)
{
    char *out = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&out, &size);
    if (file == NULL) {
        return NULL;
    }
    fprintf(file, "%s=", name);
    ctl__quoted_write(file, text);
    return fclose(file) == 0 ? out : NULL;
}

static bool job_add(struct watching *w, const char *const *argv,
                    const struct oak_client_event *event, int64_t revision)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return false;
    }
    job->w = w;
    job->argv = argv;
    oak_list_push(&w->jobs, &job->link);
    const char *type = event->deleted ? "DELETE" : "PUT";
    bool good = asprintf(&job->words[0], "ETCD_WATCH_REVISION=%" PRId64, revision) >= 0;
    job->words[1] = word_make("ETCD_WATCH_EVENT_TYPE", oak_bytes_str(type));
    job->words[2] = word_make("ETCD_WATCH_KEY", event->kv.key);
    job->words[3] = word_make("ETCD_WATCH_VALUE", event->kv.value);
    return good && job->words[1] != NULL && job->words[2] != NULL && job->words[3] != NULL;
}

/* -- what comes -------------------------------------------------------------------------------- */

static void watch_began(void *user, struct oak_client_watch *watch, int64_t revision)
{
    struct watching *w = ((struct ear *)user)->w;
    (void)watch;
    (void)revision;
    w->began = true;
    if (w->progress && oak_client_watcher_progress(w->watcher) == 0) {
        w->progress = false;
    }
}

static void watch_changes(void *user, struct oak_client_watch *watch,
                          const struct oak_client_changes *changes)
{
    const struct ear *ear = user;
    struct watching *w = ear->w;
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    int64_t revision = oak_client_watcher_header(w->watcher).revision;
    (void)watch;
    if (w->done) {
        return;
    }
    if (changes->count == 0) {
        printf("progress notify: %" PRId64 "\n", revision);
    }
    bool idle = oak_list_empty(&w->jobs);
    bool good = changes_show(w, &response, changes->events, changes->count);
    for (size_t i = 0; i < changes->count && good && ear->argv != NULL; i++) {
        good = job_add(w, ear->argv, &changes->events[i], revision);
        if (!good) {
            finish(w, ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM)));
        }
    }
    if (good && idle && !oak_list_empty(&w->jobs)) {
        job_begin(w);
    }
}

static void watch_ended(void *user, struct oak_client_watch *watch, int error, const char *message,
                        int64_t compacted)
{
    struct watching *w = ((struct ear *)user)->w;
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    (void)watch;
    w->began = true;
    if (w->done) {
        return;
    }
    const char *why = message[0] != '\0' ? message : oak_error_text(error);
    fprintf(stderr, "watch was canceled (%s)\n", why);
    response.canceled = true;
    response.compact_revision = compacted;
    if (compacted == 0) {
        response.cancel_reason = (char *)(uintptr_t)message; /* it is read alone */
    }
    if (changes_show(w, &response, NULL, 0) && w->lines == NULL) {
        finish(w, ctl__error(CTL__INTERRUPTED, "watch is canceled by the server"));
    }
    if (compacted > 0) {
        fprintf(stderr,
                "  what came before revision %" PRId64 " is gone; --rev %" PRId64
                " shows what there is\n",
                compacted, compacted);
    }
}

static const struct oak_client_watch_callbacks callbacks = {
    .began = watch_began, .changes = watch_changes, .ended = watch_ended};

static void patience_fire(struct oak_timer *timer)
{
    struct watching *w = OAK_CONTAINER_OF(timer, struct watching, patience);
    if (!w->began) {
        struct ctl__reply reply = {.error = OAK_EUNREACHABLE};
        ctl__reply_error(&reply);
        finish(w, CTL__NO_CONNECTION);
    }
}

/* -- what is to be watched --------------------------------------------------------------------- */

struct wish {
    struct oak_client_watch_options options;
    const char *const *argv;
    bool interactive;
};

/* KEY [RANGE_END], or what the environment has. */
static bool keys_read(const struct ctl__words *words, bool prefix, struct wish *out, int *code)
{
    const char *key = getenv("ETCDCTL_WATCH_KEY");
    const char *end = getenv("ETCDCTL_WATCH_RANGE_END");
    bool environs = key != NULL && key[0] != '\0';
    if (environs && words->count > 0) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "bad number of arguments (found conflicting environment "
                           "key): ETCDCTL_WATCH_KEY is %s",
                           key);
        return false;
    }
    if (!environs && (words->count == 0 || words->count > 2)) {
        *code = ctl__error(CTL__BAD_ARGS,
                           "bad number of arguments: watch wants a key, and may "
                           "have the end of a range behind it; a command stands behind --");
        return false;
    }
    if (!environs) {
        key = words->at[0];
        end = words->count > 1 ? words->at[1] : NULL;
    }
    bool until = end != NULL && end[0] != '\0';
    if (prefix && until) {
        *code = ctl__error(CTL__BAD_ARGS, "`range_end` and `--prefix` are mutually exclusive");
        return false;
    }
    out->options.key = oak_bytes_str(key);
    out->options.end = oak_bytes_str(until ? end : "");
    out->options.span = prefix ? OAK_CLIENT_PREFIX : until ? OAK_CLIENT_UNTIL : OAK_CLIENT_ONE;
    return true;
}

static bool command_read(struct ctl *c, const struct ctl__words *words, const char *shell,
                         struct wish *out, int *code)
{
    out->argv = (const char *const *)words->rest;
    if (words->rest != NULL && (words->rest[0] == NULL || shell != NULL)) {
        *code = shell != NULL
                    ? ctl__error(CTL__BAD_ARGS, "--exec and a command behind -- are one too many")
                    : ctl__error(CTL__BAD_ARGS, "bad number of arguments (found separator --, but "
                                                "no commands)");
        return false;
    }
    if (shell != NULL) {
        const char **argv = oak_arena_alloc(&c->arena, 4 * sizeof(*argv));
        if (argv == NULL) {
            *code = ctl__error(CTL__FAILED, "%s", oak_error_text(OAK_ENOMEM));
            return false;
        }
        memcpy(argv, ((const char *[]){"sh", "-c", shell, NULL}), 4 * sizeof(*argv));
        out->argv = argv;
    }
    return true;
}

static bool wish_read(struct ctl *c, int argc, char *const *argv, struct wish *out, int *code)
{
    bool prefix = false;
    const char *shell = NULL;
    *out = (struct wish){0};
    const struct oak_args_flag flags[] = {
        {"interactive", 'i', OAK_ARGS_BOOL, &out->interactive, 0, 0, NULL,
         "read lines: watch [flags] KEY [RANGE_END], and progress"},
        {"prefix", '\0', OAK_ARGS_BOOL, &prefix, 0, 0, NULL, "all keys that begin with KEY"},
        {"rev", '\0', OAK_ARGS_SIGNED, &out->options.revision, 0, 0, "REVISION",
         "the first to be shown (0: the next change)"},
        {"prev-kv", '\0', OAK_ARGS_BOOL, &out->options.previous, 0, 0, NULL,
         "show what was there before"},
        {"progress-notify", '\0', OAK_ARGS_BOOL, &out->options.progress, 0, 0, NULL,
         "be told now and then also when nothing has changed"},
        {"exec", '\0', OAK_ARGS_TEXT, &shell, 0, 0, "LINE", "run this line of shell for each"},
    };
    const struct oak_args_command command = {
        .name = "watch",
        .summary = "Show changes of a key, or of KEY and all before RANGE_END, as they come.",
        .operands = "[KEY [RANGE_END]] [-- COMMAND ARGS]",
        .operands_max = CTL__OPERANDS_MAX,
        .flags = flags,
        .flag_count = OAK_COUNT_OF(flags),
        .rest = true,
        .more = "COMMAND runs once for each change, in order, with ETCD_WATCH_EVENT_TYPE,\n"
                "ETCD_WATCH_KEY, ETCD_WATCH_VALUE (in quotes, with escapes) and\n"
                "ETCD_WATCH_REVISION in its environment. Without KEY, that of ETCDCTL_WATCH_KEY\n"
                "and ETCDCTL_WATCH_RANGE_END is meant.\n\n"
                "Examples:\n"
                "  oakum watch greeting\n"
                "  oakum watch --prefix users/ --rev 17 --output json\n"
                "  oakum watch --prefix users/ --exec 'echo $ETCD_WATCH_KEY changed'\n"
                "  oakum watch config -- systemctl reload app\n",
    };
    struct ctl__words words;
    if (!ctl__begin(c, &command, argc, argv, &words, code)) {
        return false;
    }
    const char *key = getenv("ETCDCTL_WATCH_KEY");
    const char *end = getenv("ETCDCTL_WATCH_RANGE_END");
    if ((key == NULL || key[0] == '\0') && end != NULL && end[0] != '\0') {
        *code = ctl__error(CTL__BAD_ARGS,
                           "ETCDCTL_WATCH_KEY is empty but got "
                           "ETCDCTL_WATCH_RANGE_END=\"%s\"",
                           end);
        return false;
    }
    return (out->interactive && !c->in_txn) ||
           (command_read(c, &words, shell, out, code) && keys_read(&words, prefix, out, code));
}

static int watch_add(struct watching *w, const struct wish *wish)
{
    struct oak_client_watch *watch;
    struct ear *ear = calloc(1, sizeof(*ear));
    if (ear == NULL) {
        return OAK_ENOMEM;
    }
    ear->w = w;
    ear->argv = wish->argv;
    oak_list_push(&w->ears, &ear->link);
    return oak_client_watch(w->watcher, &wish->options, &callbacks, ear, &watch);
}

/* -- lines ------------------------------------------------------------------------------------- */

static void line_watch(struct watching *w, int argc, char *const *argv)
{
    struct wish wish;
    int code;
    w->c->in_txn = true; /* no options of all verbs */
    bool good = wish_read(w->c, argc, argv, &wish, &code);
    w->c->in_txn = false;
    if (!good) {
        finish(w, code);
        return;
    }
    int error = watch_add(w, &wish);
    if (error != 0) {
        fprintf(stderr, "Invalid command %s (%s)\n", w->line, oak_error_text(error));
    }
}

static void line_read(void *user, const char *text)
{
    struct watching *w = user;
    char **words;
    size_t count = 0;
    if (w->done) {
        return;
    }
    if (text == NULL) {
        finish(w, ctl__error(CTL__BAD_INPUT, "error reading watch request line: EOF"));
        return;
    }
    w->line = text;
    words = oak_arena_zalloc(&w->c->arena, (CTL__OPERANDS_MAX + 1) * sizeof(*words));
    int error = words == NULL
                    ? OAK_ENOMEM
                    : oak_args_split(text, &w->c->arena, words, CTL__OPERANDS_MAX, &count);
    if (error != 0 || count == 0) {
        fprintf(stderr, "Invalid command: %s (watch and progress supported)\n", text);
    } else if (strcmp(words[0], "progress") == 0) {
        w->progress = oak_client_watcher_progress(w->watcher) != 0;
    } else if (strcmp(words[0], "watch") != 0) {
        fprintf(stderr, "Invalid command %s (only support watch)\n", text);
    } else if (count == 1 && getenv("ETCDCTL_WATCH_KEY") == NULL) {
        fprintf(stderr, "Invalid command %s (command type or key is not provided)\n", text);
    } else {
        line_watch(w, (int)count, words);
    }
}

/* -- the verb ---------------------------------------------------------------------------------- */

static void watching_fini(struct watching *w)
{
    const struct oak_loop *loop = oak_os_loop_port(w->c->os);
    loop->timers.stop(loop->timers.user, &w->patience);
    ctl__lines_free(w->lines);
    oak_client_watcher_free(w->watcher);
    while (!oak_list_empty(&w->ears)) {
        free(OAK_LIST_ENTRY(oak_list_pop(&w->ears), struct ear, link));
    }
    while (!oak_list_empty(&w->jobs)) {
        job_free(OAK_LIST_ENTRY(w->jobs.next, struct job, link));
    }
    oak_arena_fini(&w->scratch);
}

static int watch_run(struct ctl *c, const struct wish *wish)
{
    struct watching w = {.c = c, .patience.fire = patience_fire};
    struct oak_client *client = ctl__client(c, &w.code);
    int error = client == NULL ? 0 : oak_client_watcher_new(client, &w.watcher);
    if (client == NULL || error != 0) {
        return client == NULL ? w.code : ctl__error(CTL__FAILED, "%s", oak_error_text(error));
    }
    const struct oak_loop *loop = oak_os_loop_port(c->os);
    oak_list_init(&w.ears);
    oak_list_init(&w.jobs);
    oak_arena_init(&w.scratch, SCRATCH_CHUNK_BYTES, CTL__ANSWER_BYTES_MAX);
    if (wish->interactive) {
        w.done = !ctl__lines_new(c, line_read, &w, &w.lines, &w.code);
    } else {
        error = watch_add(&w, wish);
        loop->timers.set(loop->timers.user, &w.patience,
                         loop->clock.mono_ns(loop->clock.user) + c->options.command_ns);
    }
    if (error != 0) {
        finish(&w, ctl__error(CTL__BAD_ARGS, "%s", oak_error_text(error)));
    }
    while (!w.done) {
        oak_os_loop_run(c->os);
    }
    watching_fini(&w);
    return w.code;
}

int ctl__watch(struct ctl *c, int argc, char *const *argv)
{
    struct wish wish;
    int code;
    if (!wish_read(c, argc, argv, &wish, &code)) {
        return code;
    }
    if (c->format == CTL__TABLE) {
        return ctl__error(CTL__BAD_FEATURE, "table not supported as output format");
    }
    return watch_run(c, &wish);
}
