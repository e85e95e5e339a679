/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c: the identity file, read and written. A line that is not understood is damage: the
 * file is ours alone, and a wrong identity would be worse than none.
 *
 * Thread: start-up's; blocks on the disk.
 */
#include "server/identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (256 * OAK_KIB)
#define PATH_BYTES_MAX 4096
#define HEAD           "oakum-identity 1"

static int path_make(const char *dir, const char *name, char *out, struct oak_errbuf *e)
{
    int size = snprintf(out, PATH_BYTES_MAX, "%s/%s", dir, name);
    return size < PATH_BYTES_MAX ? 0 : oak_fail(e, OAK_EINVAL, "the path %s is too long", dir);
}

static int text_read(const struct oak_disk *disk, const char *path, struct oak_arena *arena,
                     char **out, struct oak_errbuf *e)
{
    struct oak_file *file;
    int error = disk->open(disk->user, path, OAK_FILE_READ, &file);
    if (error != 0) {
        return oak_fail(e, error, "can't open %s: %s", path, oak_error_text(error));
    }
    char *text = oak_arena_zalloc(arena, FILE_BYTES_MAX + 1);
    size_t got = 0;
    if (text == NULL) {
        error = oak_fail(e, OAK_ENOMEM, "no memory to read %s", path);
    } else {
        error = disk->read(disk->user, file, 0, text, FILE_BYTES_MAX, &got);
        if (error != 0) {
            oak_fail(e, error, "can't read %s: %s", path, oak_error_text(error));
        }
    }
    disk->close(disk->user, file);
    if (error == 0 && memchr(text, '\0', got) != NULL) {
        error = oak_fail(e, OAK_ECORRUPT, "%s holds a zero byte: it is damaged", path);
    }
    *out = text;
    return error;
}

static bool hex_read(const char *text, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 16);
    return end != text && *end == '\0' && *out != 0;
}

/* Split at the first space; returns what is behind it ("" without one). */
static char *word_end(char *text)
{
    char *space = strchr(text, ' ');
    if (space == NULL) {
        return text + strlen(text);
    }
    *space = '\0';
    return space + 1;
}

/* "<id> <name> <url>": URLs of one member follow each other. */
static bool peer_read(struct identity *id, char *text)
{
    char *name = word_end(text);
    char *url = word_end(name);
    uint64_t member;
    if (!hex_read(text, &member) || *name == '\0' || *url == '\0') {
        return false;
    }
    struct oak_config_member *last =
        id->member_count > 0 ? &id->members[id->member_count - 1] : NULL;
    if (last == NULL || last->id != member) {
        if (id->member_count == OAK_CONFIG_MEMBERS_MAX || (last != NULL && last->id > member)) {
            return false;
        }
        last = &id->members[id->member_count++];
        *last = (struct oak_config_member){.id = member, .name = name};
        last->peer_urls.items =
            oak_arena_zalloc(&id->arena, OAK_CONFIG_URLS_MAX * sizeof(*last->peer_urls.items));
    }
    if (last->peer_urls.items == NULL || last->peer_urls.count == OAK_CONFIG_URLS_MAX) {
        return false;
    }
    last->peer_urls.items[last->peer_urls.count++] = url;
    return true;
}

static bool line_read(struct identity *id, char *line)
{
    char *rest = word_end(line);
    if (strcmp(line, "cluster") == 0) {
        return hex_read(rest, &id->cluster);
    }
    if (strcmp(line, "member") == 0) {
        return hex_read(rest, &id->self);
    }
    if (strcmp(line, "name") == 0) {
        id->name = rest;
        return *rest != '\0';
    }
    if (strcmp(line, "joined") == 0) {
        id->joined = true;
        return *rest == '\0';
    }
    return strcmp(line, "peer") == 0 && peer_read(id, rest);
}

static bool whole(const struct identity *id)
{
    bool self = false;
    for (size_t i = 0; i < id->member_count; i++) {
        self = self || id->members[i].id == id->self;
    }
    return id->cluster != 0 && id->self != 0 && id->name != NULL && self;
}

int identity_load(const struct oak_disk *disk, const char *dir, struct identity *out,
                  struct oak_errbuf *e)
{
    *out = (struct identity){0};
    oak_arena_init(&out->arena, 4 * OAK_KIB, 4 * FILE_BYTES_MAX);
    char path[PATH_BYTES_MAX];
    char *text = NULL;
    int error = path_make(dir, "identity", path, e);
    if (error == 0) {
        error = text_read(disk, path, &out->arena, &text, e);
    }
    if (error != 0) {
        return error;
    }
    unsigned number = 0;
    for (char *line = text; *line != '\0';) {
        char *end = strchr(line, '\n');
        number++;
        if (end != NULL) {
            *end = '\0';
        }
        char *next = end != NULL ? end + 1 : line + strlen(line);
        bool good = number == 1 ? strcmp(line, HEAD) == 0 : line_read(out, line);
        if (!good || end == NULL) {
            return oak_fail(e, OAK_ECORRUPT,
                            "%s, line %u: not understood; the file is damaged or of "
                            "a later version",
                            path, number);
        }
        line = next;
    }
    return whole(out) ? 0
                      : oak_fail(e, OAK_ECORRUPT,
                                 "%s is incomplete: restore it, or remove the data "
                                 "directory and let the member be born anew",
                                 path);
}

static int text_make(const char *name, const struct oak_config_cluster *cluster, bool joined,
                     struct oak_buf *b)
{
    int error =
        oak_buf_printf(b, HEAD "\ncluster %016" PRIx64 "\nmember %016" PRIx64 "\nname %s\n%s",
                       cluster->id, cluster->self_id, name, joined ? "joined\n" : "");
    for (size_t i = 0; error == 0 && i < cluster->member_count; i++) {
        const struct oak_config_member *m = &cluster->members[i];
        for (size_t k = 0; error == 0 && k < m->peer_urls.count; k++) {
            error = oak_buf_printf(b, "peer %016" PRIx64 " %s %s\n", m->id, m->name,
                                   m->peer_urls.items[k]);
        }
    }
    return error;
}

int identity_create(const struct oak_disk *disk, const char *dir, const char *name,
                    const struct oak_config_cluster *cluster, bool joined, struct oak_errbuf *e)
{
    char path[PATH_BYTES_MAX], draft[PATH_BYTES_MAX];
    struct oak_buf text = {0};
    struct oak_file *file = NULL;
    int error = path_make(dir, "identity", path, e);
    if (error == 0) {
        error = path_make(dir, "identity.part", draft, e);
    }
    if (error == 0) {
        error = text_make(name, cluster, joined, &text);
    }
    if (error == 0) {
        error = disk->open(disk->user, draft, OAK_FILE_CREATE, &file);
        if (error == OAK_EEXIST) { /* a birth that was cut short */
            error = disk->remove(disk->user, draft);
            error = error != 0 ? error : disk->open(disk->user, draft, OAK_FILE_CREATE, &file);
        }
    }
    if (error == 0) {
        error = disk->write(disk->user, file, 0, text.data, text.size);
        error = error != 0 ? error : disk->sync(disk->user, file);
        disk->close(disk->user, file);
    }
    if (error == 0) {
        error = disk->rename(disk->user, draft, path);
        error = error != 0 ? error : disk->sync_dir(disk->user, dir);
    }
    oak_buf_fini(&text);
    return error == 0 ? 0 : oak_fail(e, error, "can't write %s: %s", path, oak_error_text(error));
}

void identity_fini(struct identity *identity)
{
    oak_arena_fini(&identity->arena);
}
