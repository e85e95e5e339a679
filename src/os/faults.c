/* SPDX-License-Identifier: Apache-2.0 */
/* faults.c: a disk and a clock that fail on demand.
 *
 * Two processes share a page: who breaks things writes words into it, who is broken looks at them
 * at each call. Nothing is sent, so a fault holds from the first instruction of a process that
 * starts under it, and while one is stopped.
 *
 * Happy path   1 the breaker makes the file, with its process id in it
 *              2 the broken one maps it at its start, and asks the kernel to end with the breaker
 *              3 each sync, write and look at the clock reads its word
 * Can fail     making and joining. A file that is no such page is refused; words out of range
 *              count as their bound.
 * Invariants   the monotonic clock runs faster or slower, and never jumps or goes back: a change of
 *              its rate sets an anchor, a moment before the anchor counts as the anchor, and what
 *              one thread has seen is the least that any sees later.
 * Thread       any; the words are atomic.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "os/internal.h"

#define MAGIC         UINT64_C(0x6f616b2d6661756c) /* "oak-faul" */
#define DELAY_NS_MAX  ((int64_t)60 * 1000000000)
#define RATE_PPM_MAX  100000
#define TRIES_MAX     1000
#define OFFSET_NS_MAX ((int64_t)400 * 86400 * 1000000000)

struct page {
    _Atomic uint64_t magic;
    _Atomic uint64_t breaker; /* its process id */
    _Atomic int64_t words[OAK_OS_FAULT_COUNT];
    /* The monotonic clock. Of the two rates, that of the parity of `turn` holds; the other one is
     * the next, which may be half written for as long as its writer sleeps: nobody reads it. */
    _Atomic uint64_t turn;
    struct rate {
        _Atomic int64_t ppm;
        _Atomic uint64_t real_ns; /* since this moment, */
        _Atomic uint64_t own_ns;  /* which was this one here */
    } rates[2];
};

struct oak_os_faults {
    struct page *page;
    _Atomic uint64_t seen_ns; /* the latest that the monotonic clock has shown here */
    struct oak_disk disk;
    const struct oak_disk *real;
};

static int64_t word(const struct oak_os_faults *f, enum oak_os_fault which, int64_t low,
                    int64_t high)
{
    int64_t value = atomic_load_explicit(&f->page->words[which], memory_order_relaxed);
    return OAK_MAX(low, OAK_MIN(value, high));
}

/* -- the disk ---------------------------------------------------------------------------------- */

static bool full(const struct oak_os_faults *f)
{
    return word(f, OAK_OS_FAULT_DISK_FULL, 0, OAK_OS_FULL_FOR_ALL) != 0;
}

static int faulty_open(void *user, const char *path, enum oak_file_mode mode, struct oak_file **out)
{
    struct oak_os_faults *f = user;
    return mode == OAK_FILE_CREATE && full(f) ? OAK_ENOSPC
                                              : f->real->open(f->real->user, path, mode, out);
}

static void faulty_close(void *user, struct oak_file *file)
{
    struct oak_os_faults *f = user;
    f->real->close(f->real->user, file);
}

static int faulty_read(void *user, struct oak_file *file, uint64_t offset, void *out, size_t size,
                       size_t *got)
{
    struct oak_os_faults *f = user;
    return f->real->read(f->real->user, file, offset, out, size, got);
}

/* Whether a file that ends at `end` has to grow, on a disk without space. */
static int room_for(struct oak_os_faults *f, struct oak_file *file, uint64_t end)
{
    int64_t how = word(f, OAK_OS_FAULT_DISK_FULL, 0, OAK_OS_FULL_FOR_ALL);
    uint64_t size = 0;
    if (how == OAK_OS_FULL_FOR_ALL) {
        return OAK_ENOSPC;
    }
    int error = how == 0 ? 0 : f->real->size(f->real->user, file, &size);
    return error == 0 && how != 0 && end > size ? OAK_ENOSPC : error;
}

static int faulty_write(void *user, struct oak_file *file, uint64_t offset, const void *data,
                        size_t size)
{
    struct oak_os_faults *f = user;
    int error = room_for(f, file, offset + size);
    return error != 0 ? error : f->real->write(f->real->user, file, offset, data, size);
}

static int sync_fault(struct oak_os_faults *f)
{
    int64_t delay = word(f, OAK_OS_FAULT_SYNC_DELAY_NS, 0, DELAY_NS_MAX);
    struct timespec left = {.tv_sec = delay / 1000000000, .tv_nsec = delay % 1000000000};
    while (delay > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) {
    }
    return word(f, OAK_OS_FAULT_SYNC_ERROR, 0, 1) != 0 ? OAK_EIO : 0;
}

static int faulty_sync(void *user, struct oak_file *file)
{
    struct oak_os_faults *f = user;
    int error = sync_fault(f);
    return error != 0 ? error : f->real->sync(f->real->user, file);
}

static int faulty_size(void *user, struct oak_file *file, uint64_t *out)
{
    struct oak_os_faults *f = user;
    return f->real->size(f->real->user, file, out);
}

static int faulty_truncate(void *user, struct oak_file *file, uint64_t size)
{
    struct oak_os_faults *f = user;
    uint64_t before = 0;
    int error = f->real->size(f->real->user, file, &before);
    error = error == 0 && size > before && full(f) ? OAK_ENOSPC : error;
    return error != 0 ? error : f->real->truncate(f->real->user, file, size);
}

static int faulty_rename(void *user, const char *from, const char *to)
{
    struct oak_os_faults *f = user;
    return f->real->rename(f->real->user, from, to);
}

static int faulty_remove(void *user, const char *path)
{
    struct oak_os_faults *f = user;
    return f->real->remove(f->real->user, path);
}

static int faulty_make_dir(void *user, const char *path)
{
    struct oak_os_faults *f = user;
    struct stat about;
    bool there = stat(path, &about) == 0;
    return !there && full(f) ? OAK_ENOSPC : f->real->make_dir(f->real->user, path);
}

static int faulty_sync_dir(void *user, const char *path)
{
    struct oak_os_faults *f = user;
    int error = sync_fault(f);
    return error != 0 ? error : f->real->sync_dir(f->real->user, path);
}

static int faulty_space(void *user, const char *path, uint64_t *free_bytes)
{
    const struct oak_os_faults *f = user;
    if (word(f, OAK_OS_FAULT_DISK_FULL, 0, OAK_OS_FULL_FOR_ALL) != 0) {
        *free_bytes = 0;
        return 0;
    }
    return f->real->space(f->real->user, path, free_bytes);
}

static int faulty_list(void *user, const char *path, void (*each)(void *arg, const char *name),
                       void *arg)
{
    struct oak_os_faults *f = user;
    return f->real->list(f->real->user, path, each, arg);
}

const struct oak_disk *oak_os_faults_disk(const struct oak_os_faults *f)
{
    return &f->disk;
}

/* -- the clock --------------------------------------------------------------------------------- */

static uint64_t own_mono_ns(const struct rate *rate, uint64_t real_ns)
{
    uint64_t from = atomic_load(&rate->real_ns);
    uint64_t own = atomic_load(&rate->own_ns);
    int64_t ppm = atomic_load(&rate->ppm);
    uint64_t passed = real_ns > from ? real_ns - from : 0;
    ppm = OAK_MAX(-RATE_PPM_MAX, OAK_MIN(ppm, RATE_PPM_MAX));
    /* In two steps: a product of nanoseconds and parts in a million overflows after hours. */
    int64_t seconds = (int64_t)(passed / 1000000000) * 1000 * ppm;
    int64_t rest = (int64_t)(passed % 1000000000) * ppm / 1000000;
    return own + passed + (uint64_t)(seconds + rest);
}

static uint64_t faulty_mono(void *user)
{
    struct oak_os_faults *f = user;
    struct oak_clock real = oak_os_clock();
    /* Again only when the writer has moved on meanwhile: it is never waited for. */
    uint64_t turn, now;
    int tries = 0;
    do {
        turn = atomic_load(&f->page->turn);
        now = own_mono_ns(&f->page->rates[turn % 2], real.mono_ns(real.user));
    } while (turn != atomic_load(&f->page->turn) && tries++ < TRIES_MAX);
    /* Between the moment that a change is made for and the one in which it shows, somebody may have
     * looked: a slower clock then stands still until it is true again. */
    uint64_t seen = atomic_load(&f->seen_ns);
    while (seen < now && !atomic_compare_exchange_weak(&f->seen_ns, &seen, now)) {
    }
    return OAK_MAX(seen, now);
}

static uint64_t faulty_wall(void *user)
{
    const struct oak_os_faults *f = user;
    struct oak_clock real = oak_os_clock();
    int64_t offset = word(f, OAK_OS_FAULT_WALL_OFFSET_NS, -OFFSET_NS_MAX, OFFSET_NS_MAX);
    return real.wall_ns(real.user) + (uint64_t)offset;
}

struct oak_clock oak_os_faults_clock(struct oak_os_faults *f)
{
    return (struct oak_clock){.mono_ns = faulty_mono, .wall_ns = faulty_wall, .user = f};
}

/* -- the page ---------------------------------------------------------------------------------- */

static struct oak_os_faults *faults_new(void)
{
    struct oak_os_faults *f = calloc(1, sizeof(*f));
    if (f != NULL) {
        f->real = oak_os_disk();
        f->disk = (struct oak_disk){
            .open = faulty_open,
            .close = faulty_close,
            .read = faulty_read,
            .write = faulty_write,
            .sync = faulty_sync,
            .size = faulty_size,
            .truncate = faulty_truncate,
            .rename = faulty_rename,
            .remove = faulty_remove,
            .make_dir = faulty_make_dir,
            .sync_dir = faulty_sync_dir,
            .list = faulty_list,
            .space = faulty_space,
            .user = f,
        };
    }
    return f;
}

static int page_fail(struct oak_errbuf *e, const char *path, int number)
{
    char text[128];
    return oak_fail(e, oak_os_error(number), "%.256s: %s", path,
                    oak_os_errno_text(number, text, sizeof(text)));
}

static int page_map(const char *path, int flags, struct oak_os_faults **out, struct oak_errbuf *e)
{
    struct stat about;
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    if (fd < 0) {
        return page_fail(e, path, errno);
    }
    if ((flags & O_CREAT) != 0 && ftruncate(fd, sizeof(struct page)) != 0) {
        int number = errno;
        close(fd);
        return page_fail(e, path, number);
    }
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode) ||
        about.st_size != (off_t)sizeof(struct page)) {
        close(fd);
        return oak_fail(e, OAK_EFORMAT, "%.256s is no file of faults", path);
    }
    int protection = (flags & O_CREAT) != 0 ? PROT_READ | PROT_WRITE : PROT_READ;
    void *page = mmap(NULL, sizeof(struct page), protection, MAP_SHARED, fd, 0);
    int number = errno;
    close(fd);
    struct oak_os_faults *f = page == MAP_FAILED ? NULL : faults_new();
    if (f == NULL) {
        if (page != MAP_FAILED) {
            munmap(page, sizeof(struct page));
        }
        return page_fail(e, path, page == MAP_FAILED ? number : ENOMEM);
    }
    f->page = page;
    *out = f;
    return 0;
}

int oak_os_faults_make(const char *path, struct oak_os_faults **out, struct oak_errbuf *e)
{
    int error = page_map(path, O_RDWR | O_CREAT | O_EXCL, out, e);
    if (error == 0) {
        atomic_store(&(*out)->page->breaker, (uint64_t)getpid());
        atomic_store(&(*out)->page->magic, MAGIC);
    }
    return error;
}

int oak_os_faults_join(const char *path, struct oak_os_faults **out, struct oak_errbuf *e)
{
    struct oak_os_faults *f = NULL;
    int error = page_map(path, O_RDONLY, &f, e);
    if (error != 0) {
        return error;
    }
    if (atomic_load(&f->page->magic) != MAGIC) {
        error = oak_fail(e, OAK_EFORMAT, "%.256s is no file of faults", path);
    } else if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 ||
               atomic_load(&f->page->breaker) != (uint64_t)getppid()) {
        /* In this order: a parent that ends between the two is seen by the second. */
        error =
            oak_fail(e, OAK_EPERM, "%.256s belongs to a process that did not start this one", path);
    }
    if (error != 0) {
        oak_os_faults_close(f);
        return error;
    }
    *out = f;
    return 0;
}

void oak_os_faults_set(struct oak_os_faults *f, enum oak_os_fault which, int64_t value)
{
    struct page *page = f->page;
    OAK_ASSERT(which < OAK_OS_FAULT_COUNT);
    OAK_ASSERT(atomic_load(&page->breaker) == (uint64_t)getpid());
    if (which != OAK_OS_FAULT_MONO_RATE_PPM) {
        atomic_store(&page->words[which], value);
        return;
    }
    struct oak_clock real = oak_os_clock();
    uint64_t now = real.mono_ns(real.user);
    uint64_t turn = atomic_load(&page->turn);
    struct rate *next = &page->rates[(turn + 1) % 2];
    atomic_store(&next->real_ns, now);
    atomic_store(&next->own_ns, own_mono_ns(&page->rates[turn % 2], now));
    atomic_store(&next->ppm, value);
    atomic_store(&page->turn, turn + 1);
}

void oak_os_faults_close(struct oak_os_faults *f)
{
    if (f != NULL) {
        munmap(f->page, sizeof(*f->page));
        free(f);
    }
}
