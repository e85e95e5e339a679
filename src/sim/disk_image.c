/* SPDX-License-Identifier: Apache-2.0 */
/* disk_image.c: a disk as it once was, kept, and put back. */
#include "sim/disk_internal.h"

#include <stdlib.h>

struct image_file {
    char path[256];
    struct oak_buf bytes;
};

struct sim_disk_image {
    struct image_file *files;
    size_t count;
};

struct sim_disk_image *sim_disk_image_take(const struct sim_disk *d)
{
    struct sim_disk_image *image = calloc(1, sizeof(*image));
    OAK_ASSERT(image != NULL);
    image->files = calloc(d->sure.count + 1, sizeof(*image->files));
    OAK_ASSERT(image->files != NULL);
    for (size_t i = 0; i < d->sure.count; i++) {
        struct image_file *f = &image->files[image->count++];
        const struct oak_buf *sure = &d->sure.names[i].inode->sure;
        memcpy(f->path, d->sure.names[i].path, sizeof(f->path));
        int error = oak_buf_append(&f->bytes, sure->data, sure->size);
        OAK_ASSERT_EQ(error, 0);
    }
    return image;
}

void sim_disk_image_put(struct sim_disk *d, const struct sim_disk_image *image)
{
    disk__clear(d);
    for (size_t i = 0; i < image->count; i++) {
        disk__file_add(d, image->files[i].path, oak_buf_bytes(&image->files[i].bytes));
    }
}

void sim_disk_wipe(struct sim_disk *d)
{
    disk__clear(d);
}

void sim_disk_image_free(struct sim_disk_image *image)
{
    for (size_t i = 0; image != NULL && i < image->count; i++) {
        oak_buf_fini(&image->files[i].bytes);
    }
    if (image != NULL) {
        free(image->files);
    }
    free(image);
}

bool sim_disk_image_has(const struct sim_disk_image *image, const char *end)
{
    size_t size = strlen(end);
    for (size_t i = 0; i < image->count; i++) {
        size_t all = strlen(image->files[i].path);
        if (all >= size && strcmp(image->files[i].path + all - size, end) == 0) {
            return true;
        }
    }
    return false;
}
