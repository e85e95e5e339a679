/* SPDX-License-Identifier: Apache-2.0 */
/* proxy.c: the network where namespaces are not allowed: members reach each other through us.
 *
 *   n1 ──► 127.a.b.102:2380 (ours) ──► 127.a.b.2:2380 (n2 listens)
 *
 * Each member has addresses of its own in 127/8, which belong to every Linux machine; a and b are
 * made of our process id. A member advertises the address of the proxy before it. Whose connection
 * comes there is asked of the kernel: the socket's inode, and the process that has it open.
 *
 * Happy path   accepted → whose it is → connected to the member → bytes are copied both ways, each
 *              way by the link that it takes
 * Can fail     a connection of nobody that we know, or to a member that is down: it is closed.
 * Invariants   bytes keep their order. What a cut link holds back is bounded by HELD_BYTES_MAX:
 *              then we stop reading, as a full socket would. It is delivered when the link is back,
 *              as TCP would send it again. Loss is not possible here: a stream has no packets.
 * Thread       the loop's.
 */
#include "chaos/internal.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONNECT_NS     (1000 * CROWD_MS)
#define HELD_BYTES_MAX (1 * OAK_MIB)
#define PROXY_PART     100 /* 127.a.b.101 is before 127.a.b.1 */

struct passage;

/* One way through a connection. */
struct way {
    struct passage *pipe;
    struct oak_stream *from; /* NULL: gone */
    struct way *other;
    struct oak_buf held;
    struct oak_timer timer; /* the link is slow: until then nothing leaves */
    bool waiting;
    int from_node, to_node;
};

struct passage {
    struct chaos *chaos;
    struct oak_list link;
    struct way ways[2]; /* from who connected; from the member */
    bool connecting;
};

struct door {
    struct chaos *chaos;
    int index; /* of the member behind it */
    struct oak_listener *listener;
};

struct chaos__proxy {
    struct door doors[OAK_CHAOS_NODES_MAX];
    struct oak_list pipes;
};

/* -- whose connection -------------------------------------------------------------------------- */

/* The inode of the socket whose own end has this port of 127.0.0.1 and whose other end is `to`
 * (proc(5), /proc/net/tcp). 0: not found. */
static uint64_t inode_of(unsigned port, const unsigned char to[4])
{
    char line[256];
    uint64_t found = 0;
    FILE *file = fopen("/proc/net/tcp", "re");
    while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
        unsigned own = 0, own_port = 0, far = 0;
        uint64_t inode = 0;
        unsigned char far_bytes[4];
        int fields =
            sscanf(line, " %*d: %8X:%4X %8X:%*4X %*2X %*8X:%*8X %*2X:%*8X %*8X %*d %*d %20" SCNu64,
                   &own, &own_port, &far, &inode);
        memcpy(far_bytes, &far, sizeof(far_bytes));
        if (fields == 4 && own_port == port && memcmp(far_bytes, to, 4) == 0) {
            found = inode;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

static bool has_open(int pid, uint64_t inode)
{
    char path[64], wanted[64], target[64];
    snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    snprintf(wanted, sizeof(wanted), "socket:[%" PRIu64 "]", inode);
    DIR *dir = opendir(path);
    bool found = false;
    for (const struct dirent *at = dir == NULL ? NULL : readdir(dir); at != NULL && !found;
         at = readdir(dir)) {
        ssize_t size = readlinkat(dirfd(dir), at->d_name, target, sizeof(target) - 1);
        target[size > 0 ? size : 0] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return found;
}

/* The member that made this connection to the door; -1: nobody we know. */
static int whose(struct door *door, struct oak_stream *stream)
{
    struct chaos *c = door->chaos;
    const char *name = stream->ops->peer_name(stream);
    const char *colon = strrchr(name, ':');
    unsigned parts[4];
    if (colon == NULL || sscanf(c->nodes[door->index].advertised, "%3u.%3u.%3u.%3u", &parts[0],
                                &parts[1], &parts[2], &parts[3]) != 4) {
        return -1;
    }
    const unsigned char to[4] = {(unsigned char)parts[0], (unsigned char)parts[1],
                                 (unsigned char)parts[2], (unsigned char)parts[3]};
    uint64_t inode = inode_of((unsigned)strtoul(colon + 1, NULL, 10), to);
    for (int i = 0; i < c->count && inode != 0; i++) {
        if (c->nodes[i].child != NULL && has_open(oak_os_child_pid(c->nodes[i].child), inode)) {
            return i;
        }
    }
    return -1;
}

/* -- bytes ------------------------------------------------------------------------------------- */

static void pipe_settle(struct passage *pipe)
{
    if (pipe->ways[0].from != NULL || pipe->ways[1].from != NULL || pipe->connecting) {
        return;
    }
    const struct oak_timers *timers = &pipe->chaos->crowd.loop->timers;
    for (size_t i = 0; i < OAK_COUNT_OF(pipe->ways); i++) {
        timers->stop(timers->user, &pipe->ways[i].timer);
        oak_buf_fini(&pipe->ways[i].held);
    }
    oak_list_remove(&pipe->link);
    free(pipe);
}

static void end_close(struct oak_stream *stream)
{
    if (stream != NULL) {
        stream->ops->close(stream, true);
    }
}

static const struct chaos__link *link_of(const struct way *way)
{
    return &way->pipe->chaos->links[way->from_node][way->to_node];
}

/* Hand on what may go now; stop reading while too much is held. */
static void way_move(struct way *way)
{
    struct oak_stream *to = way->other->from;
    if (to != NULL && !way->waiting && !link_of(way)->cut && way->held.size > 0 &&
        to->ops->queued(to) < HELD_BYTES_MAX) {
        if (to->ops->write(to, oak_buf_bytes(&way->held)) != 0) {
            end_close(way->from);
            return;
        }
        oak_buf_clear(&way->held);
    }
    if (way->from != NULL) {
        way->from->ops->pause(way->from, way->held.size >= HELD_BYTES_MAX);
    }
}

static void timer_fire(struct oak_timer *timer)
{
    struct way *way = OAK_CONTAINER_OF(timer, struct way, timer);
    way->waiting = false;
    way_move(way);
}

static void end_data(void *user, struct oak_bytes bytes)
{
    struct way *way = user;
    struct chaos *c = way->pipe->chaos;
    uint64_t delay = link_of(way)->delay_ns;
    if (oak_buf_append(&way->held, bytes.data, bytes.size) != 0) {
        end_close(way->from);
        return;
    }
    if (delay > 0 && !way->waiting) {
        const struct oak_timers *timers = &c->crowd.loop->timers;
        way->waiting = true;
        timers->set(timers->user, &way->timer,
                    crowd_now(&c->crowd) + delay + oak_prng_below(&c->prng, delay));
    }
    way_move(way);
}

static void end_drained(void *user)
{
    struct way *way = user;
    way_move(way->other);
}

static void end_closed(void *user, int error)
{
    struct way *way = user;
    (void)error;
    way->from = NULL;
    end_close(way->other->from);
    pipe_settle(way->pipe);
}

static void end_take(struct way *way, struct oak_stream *stream)
{
    const struct oak_stream_handler handler = {
        .data = end_data, .drained = end_drained, .closed = end_closed, .user = way};
    way->from = stream;
    stream->ops->handle(stream, &handler);
}

static void connected(void *arg, int error, struct oak_stream *stream)
{
    struct passage *pipe = arg;
    pipe->connecting = false;
    if (error == 0) {
        end_take(&pipe->ways[1], stream);
        if (pipe->ways[0].from == NULL) {
            end_close(stream);
        } else {
            way_move(&pipe->ways[0]);
        }
        return;
    }
    end_close(pipe->ways[0].from);
    pipe_settle(pipe);
}

static void accepted(void *arg, struct oak_stream *stream)
{
    struct door *door = arg;
    struct chaos *c = door->chaos;
    int from = whose(door, stream);
    struct passage *pipe = from < 0 ? NULL : calloc(1, sizeof(*pipe));
    if (pipe == NULL) {
        stream->ops->close(stream, true);
        return;
    }
    pipe->chaos = c;
    for (size_t i = 0; i < OAK_COUNT_OF(pipe->ways); i++) {
        pipe->ways[i] = (struct way){.pipe = pipe,
                                     .other = &pipe->ways[1 - i],
                                     .from_node = i == 0 ? from : door->index,
                                     .to_node = i == 0 ? door->index : from,
                                     .timer = {.fire = timer_fire}};
    }
    oak_list_push(&c->proxy->pipes, &pipe->link);
    end_take(&pipe->ways[0], stream);
    const struct oak_net *net = &c->crowd.loop->net;
    pipe->connecting = net->connect(net->user, c->nodes[door->index].peer_address, CONNECT_NS,
                                    connected, pipe) == 0;
    if (!pipe->connecting) {
        end_close(stream);
    }
}

void chaos__proxy_changed(struct chaos *c)
{
    if (c->proxy == NULL) {
        return;
    }
    for (struct oak_list *at = c->proxy->pipes.next; at != &c->proxy->pipes; at = at->next) {
        struct passage *pipe = OAK_LIST_ENTRY(at, struct passage, link);
        way_move(&pipe->ways[0]);
        way_move(&pipe->ways[1]);
    }
}

/* -- doors ------------------------------------------------------------------------------------- */

int chaos__proxy_open(struct chaos *c, struct oak_errbuf *e)
{
    const struct oak_net *net = &c->crowd.loop->net;
    unsigned pid = (unsigned)getpid();
    int error = 0;
    c->proxy = calloc(1, sizeof(*c->proxy));
    if (c->proxy == NULL) {
        return oak_fail(e, OAK_ENOMEM, "no memory");
    }
    oak_list_init(&c->proxy->pipes);
    for (int i = 0; i < c->count && error == 0; i++) {
        struct chaos__node *n = &c->nodes[i];
        struct door *door = &c->proxy->doors[i];
        unsigned a = 64 + (pid >> 8) % 128;
        unsigned b = pid % 256;
        snprintf(n->client_address, sizeof(n->client_address), "127.%u.%u.%d:2379", a, b, i + 1);
        snprintf(n->peer_address, sizeof(n->peer_address), "127.%u.%u.%d:2380", a, b, i + 1);
        snprintf(n->advertised, sizeof(n->advertised), "127.%u.%u.%d:2380", a, b,
                 PROXY_PART + i + 1);
        door->chaos = c;
        door->index = i;
        error = net->listen(net->user, n->advertised, accepted, door, &door->listener, e);
    }
    return error;
}

void chaos__proxy_close(struct chaos *c)
{
    struct chaos__proxy *proxy = c->proxy;
    if (proxy == NULL) {
        return;
    }
    const struct oak_net *net = &c->crowd.loop->net;
    for (size_t i = 0; i < OAK_COUNT_OF(proxy->doors); i++) {
        if (proxy->doors[i].listener != NULL) {
            net->listener_close(net->user, proxy->doors[i].listener);
        }
    }
    for (struct oak_list *at = proxy->pipes.next; at != &proxy->pipes; at = at->next) {
        struct passage *pipe = OAK_LIST_ENTRY(at, struct passage, link);
        end_close(pipe->ways[0].from);
        end_close(pipe->ways[1].from);
    }
}

/* Once the loop is gone, and every stream with it. */
void chaos__proxy_free(struct chaos *c)
{
    OAK_ASSERT(c->proxy == NULL || oak_list_empty(&c->proxy->pipes));
    free(c->proxy);
    c->proxy = NULL;
}
