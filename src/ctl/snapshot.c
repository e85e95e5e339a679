/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c: `oakum snapshot status`: what is in a file, as etcdutl shows it. */
#include "ctl/internal.h"

#include "restore/restore.h"

/* As go-humanize: "82 B", "2.1 MB", "20 kB". */
static void size_text(uint64_t bytes, char *out, size_t room)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < OAK_COUNT_OF(units)) {
        value /= 1000;
        unit++;
    }
    value = (double)(uint64_t)(value * 10 + 0.5) / 10;
    snprintf(out, room, unit > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static void status_simple(struct ctl *c, const void *message, const void *about)
{
    const struct oak_restore_status *s = about;
    char size[32];
    (void)c;
    (void)message;
    size_text(s->total_size, size, sizeof(size));
    printf("%x, %" PRId64 ", %" PRIu64 ", %s, %s\n", s->hash, s->revision, s->total_keys, size,
           s->version);
}

static void status_json(struct ctl *c, const void *message, const void *about)
{
    const struct oak_restore_status *s = about;
    struct oak_buf out = {0};
    (void)c;
    (void)message;
    int error = oak_buf_printf(&out,
                               "{\"hash\":%" PRIu32 ",\"revision\":%" PRId64
                               ",\"totalKey\":%" PRIu64 ",\"totalSize\":%" PRIu64 ",\"version\":",
                               s->hash, s->revision, s->total_keys, s->total_size);
    error = error != 0 ? error : ctl__json_text(&out, oak_bytes_str(s->version));
    error = error != 0 ? error : oak_buf_append(&out, "}", 1);
    ctl__json_print(&out, error);
    oak_buf_fini(&out);
}

static void status_fields(struct ctl *c, const void *message, const void *about)
{
    const struct oak_restore_status *s = about;
    (void)c;
    (void)message;
    printf("\"Hash\" : %" PRIu32 "\n\"Revision\" : %" PRId64 "\n\"Keys\" : %" PRIu64
           "\n\"Size\" : %" PRIu64 "\n\"Version\" : %s\n",
           s->hash, s->revision, s->total_keys, s->total_size, s->version);
}

static void status_table(struct ctl *c, const void *message, const void *about)
{
    static const char *const titles[] = {"hash", "revision", "total keys", "total size", "version"};
    const struct oak_restore_status *s = about;
    char texts[4][32];
    (void)c;
    (void)message;
    snprintf(texts[0], sizeof(texts[0]), "%x", s->hash);
    snprintf(texts[1], sizeof(texts[1]), "%" PRId64, s->revision);
    snprintf(texts[2], sizeof(texts[2]), "%" PRIu64, s->total_keys);
    size_text(s->total_size, texts[3], sizeof(texts[3]));
    const char *const cells[] = {texts[0], texts[1], texts[2], texts[3], s->version};
    ctl__table_print(titles, OAK_COUNT_OF(titles), cells, 1);
}

int ctl__snapshot_status(struct ctl *c, int argc, char *const *argv)
{
    static const struct ctl__view view = {status_simple, status_json, status_fields, status_table};
    const struct oak_args_command command = {
        .name = "snapshot status",
        .summary =
            "Show what is in a snapshot: hash, revision, keys, size, version of the storage.",
        .operands = "FILE",
        .operands_max = CTL__OPERANDS_MAX,
        .more = "All of the file is read, and what is wrong with it is told, with its place; the\n"
                "SHA-256 behind it is checked, if there is one.\n\n"
                "Example:\n  oakum snapshot status backup.db -w table\n",
    };
    struct ctl__words words;
    struct oak_restore_status status;
    struct oak_errbuf e = {{0}};
    int code;
    if (!ctl__begin(c, &command, argc, argv, &words, &code)) {
        return code;
    }
    if (words.count != 1) {
        return ctl__error(CTL__BAD_ARGS, "snapshot status requires exactly one argument");
    }
    const struct oak_disk *disk = oak_os_disk();
    int error = oak_restore_check(disk, words.at[0], OAK_RESTORE_DIGEST_IF_THERE, NULL, &e);
    error = error != 0 ? error : oak_restore_status(disk, words.at[0], NULL, &status, &e);
    if (error != 0) {
        return ctl__error(CTL__FAILED, "%s", e.text);
    }
    return ctl__show(c, &view, NULL, &status);
}
