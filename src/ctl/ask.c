/* SPDX-License-Identifier: Apache-2.0 */
/* ask.c: one request, and the wait for its answer.
 *
 * Happy path   1 the request is encoded and sent 2 the loop turns until it is answered 3 the answer
 *              is decoded into the arena
 * Can fail     all of it: what came of it is in the reply.
 */
#include "ctl/internal.h"

/* What etcd's client sends unless it is told otherwise. */
#define REQUEST_BYTES_DEFAULT (2 * OAK_MIB)

static uint64_t now(const struct ctl *c)
{
    const struct oak_loop *loop = oak_os_loop_port(c->os);
    return loop->clock.mono_ns(loop->clock.user);
}

static void answered(void *user, const struct oak_client_answer *answer)
{
    struct ctl__pending *p = user;
    struct ctl__reply *reply = p->reply;
    reply->error = answer->error;
    reply->code = answer->code;
    reply->took_ns = now(p->c) - p->began_ns;
    snprintf(reply->text, sizeof(reply->text), "%s", answer->message);
    if (answer->error == 0) {
        reply->error =
            oak_proto_unpack(p->method->response, answer->response, &p->c->arena, &reply->response);
        if (reply->error != 0) {
            snprintf(reply->text, sizeof(reply->text), "the answer is no %s: %s",
                     p->method->response->name, oak_error_text(reply->error));
        }
    }
    p->done = true;
    oak_os_loop_stop(p->c->os);
}

void ctl__send(struct ctl *c, struct oak_client *client, const struct ctl__method *method,
               const ProtobufCMessage *request, struct ctl__pending *out, struct ctl__reply *reply)
{
    *out = (struct ctl__pending){.c = c, .method = method, .reply = reply, .began_ns = now(c)};
    *reply = (struct ctl__reply){0};
    struct oak_buf bytes = {0};
    size_t size = protobuf_c_message_get_packed_size(request);
    uint64_t most = c->options.request_bytes_max;
    most = most != 0 ? most : REQUEST_BYTES_DEFAULT;
    if (size > most) {
        reply->error = OAK_ELIMIT;
        reply->code = OAK_RPC_RESOURCE_EXHAUSTED;
        snprintf(reply->text, sizeof(reply->text),
                 "the request has %zu bytes, and --max-request-bytes is %" PRIu64, size, most);
        out->done = true;
        return;
    }
    int error = oak_buf_reserve(&bytes, size);
    if (error == 0) {
        bytes.size = protobuf_c_message_pack(request, bytes.data);
        error = oak_client_ask(client, method->service, method->name, method->read,
                               oak_buf_bytes(&bytes), c->options.command_ns, answered, out, NULL);
    }
    if (bytes.size > 0) { /* there may be a password in it */
        explicit_bzero(bytes.data, bytes.size);
    }
    oak_buf_fini(&bytes);
    if (error != 0) {
        reply->error = error;
        reply->code = OAK_RPC_UNKNOWN;
        snprintf(reply->text, sizeof(reply->text), "%s", oak_error_text(error));
        out->done = true;
    }
}

void ctl__wait(struct ctl__pending *pending)
{
    while (!pending->done) {
        oak_os_loop_run(pending->c->os);
    }
}

void ctl__try(struct ctl *c, struct oak_client *client, const struct ctl__method *method,
              const ProtobufCMessage *request, struct ctl__reply *reply)
{
    struct ctl__pending pending;
    ctl__send(c, client, method, request, &pending, reply);
    ctl__wait(&pending);
}

/* What to do about it, where that is known. */
static const char *advice(const struct ctl__reply *reply)
{
    static const struct {
        int error;
        const char *text;
    } known[] = {
        {OAK_EUNREACHABLE, "is a server there? --endpoints names it, or $ETCDCTL_ENDPOINTS; "
                           "`oakum up` starts one"},
        {OAK_ENOSPC, "make room: oakum compaction REVISION, oakum defrag, oakum alarm disarm"},
        {OAK_ECOMPACTED, "that revision is gone; leave --rev out to read what is now"},
        {OAK_EFUTUREREV, "that revision does not exist yet"},
        {OAK_EUSEREMPTY, "users are in use here: --user NAME[:PASSWORD]"},
        {OAK_EAUTHFAILED, "is the password right? --user NAME[:PASSWORD]"},
        {OAK_EROOTUSERNOTEXIST, "oakum user add root, and then again"},
        {OAK_EPERMISSIONDENIED, "oakum user get NAME, oakum role get ROLE show what is allowed"},
        {OAK_EDEADLINE, "give it longer: --command-timeout 30s; `oakum endpoint status --cluster` "
                        "shows who leads"},
    };
    for (size_t i = 0; i < OAK_COUNT_OF(known); i++) {
        if (known[i].error == reply->error) {
            return known[i].text;
        }
    }
    return NULL;
}

const char *ctl__reply_text(const struct ctl__reply *reply)
{
    return reply->text[0] != '\0' ? reply->text : oak_error_text(reply->error);
}

int ctl__reply_error(const struct ctl__reply *reply)
{
    const char *hint = advice(reply);
    const char *text = ctl__reply_text(reply);
    ctl__error(0, "%s", text);
    if (hint != NULL) {
        fprintf(stderr, "  %s\n", hint);
    }
    /* Who is not let in has no connection, by etcdctl's exit codes. */
    bool outside = reply->error == OAK_EAUTHFAILED || strncmp(text, "auth: ", 6) == 0;
    return outside ? CTL__NO_CONNECTION : CTL__FAILED;
}

const void *ctl__ask(struct ctl *c, const struct ctl__method *method,
                     const ProtobufCMessage *request, int *code)
{
    struct oak_client *client = ctl__client(c, code);
    if (client == NULL) {
        return NULL;
    }
    struct ctl__reply reply;
    ctl__try(c, client, method, request, &reply);
    if (reply.error != 0) {
        *code = ctl__reply_error(&reply);
        return NULL;
    }
    return reply.response;
}

int ctl__ask_and_show(struct ctl *c, const struct ctl__method *method,
                      const ProtobufCMessage *request, const struct ctl__view *view,
                      const void *about)
{
    int code = CTL__FAILED;
    const void *response = ctl__ask(c, method, request, &code);
    return response == NULL ? code : ctl__show(c, view, response, about);
}

static void said_simple(struct ctl *c, const void *message, const void *about)
{
    (void)c;
    (void)message;
    puts(about);
}

/* All answers have a header, and have it first. */
static void said_fields(struct ctl *c, const void *message, const void *about)
{
    const ProtobufCMessage *m = message;
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(m->descriptor, 1);
    (void)about;
    OAK_ASSERT(f != NULL && f->descriptor == &etcdserverpb__response_header__descriptor);
    const void *header;
    memcpy(&header, (const uint8_t *)m + f->offset, sizeof(header));
    ctl__fields_header(c, header);
}

int ctl__ask_and_say(struct ctl *c, const struct ctl__method *method,
                     const ProtobufCMessage *request, const char *said)
{
    static const struct ctl__view view = {.simple = said_simple, .fields = said_fields};
    return ctl__ask_and_show(c, method, request, &view, said);
}
