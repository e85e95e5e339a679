/* SPDX-License-Identifier: Apache-2.0 */
/* counter.c: a counter that three processes keep together: a first program over oakum/raft.h.
 *
 *     raft-counter ID DIRECTORY PORT PORT PORT    # UDP ports of members 1, 2 and 3; ID is ours
 *
 * Each `+` on its input increments the counter, each `?` only asks; both print it. An entry says
 * "member m has asked for n increments in all" and counts once however often it is proposed: so a
 * member repeats its request until it sees it counted, and lost datagrams do no harm. README.md. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <oakum/raft.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { MEMBERS = 3 };
/* Written and sent as they are: neither leaves this machine. */
struct item { /* an entry; the value is n * MEMBERS + m, or 0 in one without data */
    uint64_t index, term, value;
};
struct record { /* of DIRECTORY/log; an item of index 0 is none */
    struct oak_raft_hard_state hard_state;
    struct item item;
    uint64_t sum;
};
struct datagram { /* a message of the core, or with type 0 a request to propose the value `index` */
    struct oak_raft_msg message;
    struct item item;
};
struct host {
    struct oak_raft *raft;
    uint64_t self, counted[MEMBERS], applied; /* the state machine: increments of each member */
    int log, socket;
    struct sockaddr_in address[MEMBERS];
    uint64_t wanted, again_ms;     /* a command: ask again until so many of ours are counted, */
    uint64_t read_seq, read_index; /* then read, and print once this index is applied */
};

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static struct item item_of(const struct oak_raft_entry *e, size_t i, size_t count)
{
    uint64_t value = i < count && e[i].size > 0 ? *(const uint64_t *)e[i].data : 0;
    return i < count ? (struct item){e[i].index, e[i].term, value} : (struct item){0, 0, 0};
}

static struct oak_raft_entry entry_of(const struct item *i)
{
    enum oak_raft_entry_type type = i->value > 0 ? OAK_RAFT_ENTRY_DATA : OAK_RAFT_ENTRY_NOOP;
    return (struct oak_raft_entry){i->index, i->term, type, i->value > 0 ? 8 : 0, &i->value};
}

static uint64_t checksum(const struct record *r)
{
    uint64_t sum = 1;
    for (const uint64_t *w = (const uint64_t *)r; w < &r->sum; w++) {
        sum = (sum ^ *w ^ sum >> 29) * 0x9e3779b97f4a7c15u;
    }
    return sum;
}

static void persist(struct host *h, const struct oak_raft_persist *p)
{
    for (size_t i = 0; p->token > 0 && (i == 0 || i < p->entry_count); i++) {
        struct record r = {p->hard_state, item_of(p->entries, i, p->entry_count), 0};
        r.sum = checksum(&r);
        must(write(h->log, &r, sizeof(r)) == sizeof(r), "log");
    }
    /* After a failure nobody knows what is on disk: so end, and read it at the next start. */
    must(!p->must_sync || fdatasync(h->log) == 0, "log");
}

static void start(struct host *h, struct oak_raft_options *o)
{
    h->log = open("log", O_RDWR | O_CREAT | O_APPEND, 0666);
    size_t size = (size_t)lseek(h->log, 0, SEEK_END), good = 0;
    const struct record *r = mmap(NULL, size + 1, PROT_READ, MAP_PRIVATE, h->log, 0);
    struct oak_raft_entry *entries = calloc(size / sizeof(*r) + 1, sizeof(*entries));
    must(r != MAP_FAILED && entries != NULL, "log");
    for (; good < size / sizeof(*r) && r[good].sum == checksum(&r[good]); good++) {
        o->hard_state = r[good].hard_state;
        if (r[good].item.index > 0) { /* it replaces what had its index, and all behind that */
            o->entry_count = r[good].item.index;
            entries[o->entry_count - 1] = entry_of(&r[good].item);
        }
    }
    /* A crash may have torn the end. What the core is given counts as durable: make it so. */
    must(ftruncate(h->log, (off_t)(good * sizeof(*r))) == 0 && fsync(h->log) == 0, "log");
    must(fsync(open(".", O_RDONLY)) == 0, "directory");
    o->entries = entries;
    must(oak_raft_new(o, &h->raft) == OAK_RAFT_OK, "a log that contradicts itself");
}

static void send_message(struct host *h, const struct oak_raft_msg *m)
{
    struct datagram d = {*m, item_of(m->entries, 0, m->entry_count)};
    (void)sendto(h->socket, &d, sizeof(d), 0, (void *)&h->address[m->to - 1], sizeof(*h->address));
}

/* Go on with the command: true while it isn't done. */
static bool command(struct host *h, uint64_t now_ms)
{
    struct oak_raft_msg request = {.index = h->wanted * MEMBERS + h->self};
    if (h->counted[h->self] < h->wanted && now_ms >= h->again_ms) {
        h->again_ms = now_ms + 100;
        for (request.to = 1; request.to <= MEMBERS; request.to++) {
            send_message(h, &request); /* one of them may lead */
        }
    } else if (h->counted[h->self] >= h->wanted && h->read_seq == 0) {
        (void)oak_raft_read(h->raft, &h->read_seq); /* if it can't: with the next turn */
    } else if (h->read_index > 0 && h->applied >= h->read_index) {
        (void)dprintf(1, "%ju\n", (uintmax_t)(h->counted[0] + h->counted[1] + h->counted[2]));
        return false;
    }
    return true;
}

static void output(struct host *h, const struct oak_raft_output *out)
{
    for (size_t i = 0; i < out->send_count; i++) {
        send_message(h, &out->send[i]);
    }
    if (out->read_count > 0) {
        h->read_index = out->reads[0].index;
        h->read_seq = out->reads[0].lost ? 0 : h->read_seq;
    }
    persist(h, &out->persist);
    for (size_t i = 0; i < out->apply_count; i++) {
        struct item item = item_of(out->apply, i, out->apply_count);
        uint64_t *counted = &h->counted[item.value % MEMBERS];
        *counted = item.value / MEMBERS > *counted ? item.value / MEMBERS : *counted;
        h->applied = item.index;
    }
    oak_raft_persisted(h->raft, out->persist.token);
    oak_raft_applied(h->raft, h->applied);
}

static void *resize(void *user, void *p, size_t size)
{
    (void)user;
    return size > 0 ? realloc(p, size) : (free(p), NULL);
}

int main(int argc, char **argv)
{
    struct host h = {.self = argc == 3 + MEMBERS ? strtoull(argv[1], NULL, 10) - 1 : MEMBERS};
    must(h.self < MEMBERS && chdir(argv[2]) == 0, "raft-counter ID DIRECTORY PORT PORT PORT");
    for (int m = 0; m < MEMBERS; m++) {
        h.address[m].sin_family = AF_INET;
        h.address[m].sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        h.address[m].sin_port = htons((uint16_t)strtoul(argv[3 + m], NULL, 10));
    }
    h.socket = socket(AF_INET, SOCK_DGRAM, 0);
    must(bind(h.socket, (void *)&h.address[h.self], sizeof(*h.address)) == 0, "port");
    struct oak_raft_options o = {.id = h.self + 1, .alloc = {resize}, .append_entries_max = 1};
    o.seed = (uint64_t)time(NULL) << 32 | (uint64_t)getpid();
    o.snapshot.config = (struct oak_raft_config){.voter_count = MEMBERS, .voters = {1, 2, 3}};
    start(&h, &o);
    /* The first command is a `?`: before it is answered we don't know what of ours is counted. */
    for (bool busy = true;;) {
        struct pollfd in[] = {{h.socket, POLLIN, 0}, {busy ? -1 : 0, POLLIN, 0}};
        struct timespec t;
        struct datagram d;
        (void)poll(in, 2, oak_raft_has_output(h.raft) ? 0 : 20);
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        uint64_t now_ms = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
        (void)oak_raft_tick(h.raft, now_ms);
        while (recv(h.socket, &d, sizeof(d), MSG_DONTWAIT) == sizeof(d)) {
            struct oak_raft_entry entry = entry_of(&d.item);
            d.message.entries = &entry;
            d.message.entry_count = entry.index > 0 ? 1 : 0;
            if (d.message.type > 0) { /* refused is as good as lost, here and below */
                (void)oak_raft_step(h.raft, &d.message);
            } else { /* whoever leads takes it */
                (void)oak_raft_propose(h.raft, &d.message.index, 8, NULL, NULL);
            }
        }
        if (in[1].revents != 0) {
            char c = 0;
            must(read(0, &c, 1) == 1, "end of input");
            busy = c == '+' || c == '?';
            h.wanted = h.counted[h.self] + (c == '+');
            h.again_ms = h.read_seq = h.read_index = 0;
        }
        while (oak_raft_has_output(h.raft)) {
            output(&h, oak_raft_take(h.raft));
        }
        busy = busy && command(&h, now_ms);
    }
}
