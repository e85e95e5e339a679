/* SPDX-License-Identifier: Apache-2.0 */
/* source.c: file.oak.c: the descriptors of files, and for each method the few lines that know its
 * types: between tables of typed functions and the messages of the stub room.
 *
 * Invariants   no function is ever called through a pointer of another type.
 * Thread       any.
 */
#include "plugin/internal.h"

#define FILE_SOURCE_INFO 9 /* FileDescriptorProto.source_code_info */

/* -- descriptors of files ---------------------------------------------------------------------- */

static bool varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        uint8_t byte = *(*at)++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            return true;
        }
    }
    return false;
}

/* Past the record at `at`; false: there is none. The bytes were decoded before, so they are sound.
 */
static bool record(const uint8_t **at, const uint8_t *end, uint64_t *number)
{
    uint64_t tag;
    uint64_t skip = 0;
    if (!varint(at, end, &tag)) {
        return false;
    }
    *number = tag >> 3;
    bool sound = true;
    switch (tag & 7) {
    case 0:
        sound = varint(at, end, &skip);
        skip = 0;
        break;
    case 1:
        skip = 8;
        break;
    case 2:
        sound = varint(at, end, &skip);
        break;
    default:
        skip = 4;
        break;
    }
    OAK_ASSERT(sound && skip <= (uint64_t)(end - *at));
    *at += skip;
    return true;
}

/* The file without its comments and line numbers, which take most of it. */
static int strip(struct oak_bytes file, struct oak_buf *out)
{
    const uint8_t *at = file.data;
    const uint8_t *end = file.data + file.size;
    const uint8_t *begin = at;
    uint64_t number;
    int error = 0;
    while (error == 0 && record(&at, end, &number)) {
        if (number != FILE_SOURCE_INFO) {
            error = oak_buf_append(out, begin, (size_t)(at - begin));
        }
        begin = at;
    }
    return error;
}

static void put_files(struct text *t, const struct input *in, const struct model *model)
{
    for (size_t i = 0; i < model->needed_count; i++) {
        size_t file = model->needed[i];
        struct oak_buf bytes = {0};
        int error = strip(in->files[file], &bytes);
        if (error != 0) {
            t->error = t->error != 0 ? t->error : error;
        } else {
            plugin__put(t, "/* %s */\nstatic const uint8_t file_%zu[] = {\n",
                        oak_schema_file(in->schema, file)->name, i);
            plugin__put_bytes(t, oak_buf_bytes(&bytes));
            plugin__put(t, "};\n\n");
        }
        oak_buf_fini(&bytes);
    }
    plugin__put(t, "static const struct oak_stub_file files[] = {\n");
    for (size_t i = 0; i < model->needed_count; i++) {
        plugin__put(t, "    {\"%s\", {file_%zu, sizeof(file_%zu)}},\n",
                    oak_schema_file(in->schema, model->needed[i])->name, i, i);
    }
    plugin__put(t, "};\n\n");
}

/* -- methods ----------------------------------------------------------------------------------- */

static bool many_requests(const struct method *m)
{
    return m->kind == KIND_CLIENT_STREAM || m->kind == KIND_BIDI;
}
static bool many_responses(const struct method *m)
{
    return m->kind == KIND_SERVER_STREAM || m->kind == KIND_BIDI;
}

static void put_serve(struct text *t, const struct service *s, const struct method *m)
{
    const char *member = m->member.text;
    plugin__put(t,
                "static bool %s__%s__serve(const void *handlers, struct oak_stub_events *events)\n"
                "{\n"
                "    const struct %s_handlers *h = handlers;\n",
                s->lower.text, member, s->lower.text);
    if (m->kind == KIND_UNARY) {
        plugin__put(t, "    (void)events;\n    return h->%s != NULL;\n}\n\n", member);
        return;
    }
    if (many_requests(m)) {
        plugin__put(t, "    events->start = h->%s.start;\n", member);
        plugin__put(t, "    events->half_closed = h->%s.half_closed;\n", member);
    }
    if (many_responses(m)) {
        plugin__put(t, "    events->writable = h->%s.writable;\n", member);
    }
    plugin__put(t, "    events->closed = h->%s.closed;\n    return h->%s.%s != NULL;\n}\n\n",
                member, member, many_requests(m) ? "message" : "request");
}

static void put_take(struct text *t, const struct service *s, const struct method *m)
{
    const char *function = m->kind == KIND_UNARY ? "" : many_requests(m) ? ".message" : ".request";
    plugin__put(t,
                "static void %s__%s__take(const void *handlers, void *user,\n"
                "    struct oak_stub_call *call, const ProtobufCMessage *request)\n"
                "{\n"
                "    ((const struct %s_handlers *)handlers)->%s%s(user, call,\n"
                "        (const %s *)request);\n"
                "}\n\n",
                s->lower.text, m->member.text, s->lower.text, m->member.text, function,
                m->request.text);
}

static void put_listen(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(
        t,
        "static void %s__%s__listen(const void *callbacks, struct oak_stub_events *events)\n"
        "{\n"
        "    const struct %s__%s__callbacks *c = callbacks;\n"
        "    events->headers = c->headers;\n",
        s->lower.text, m->member.text, s->lower.text, m->member.text);
    if (many_requests(m)) {
        plugin__put(t, "    events->writable = c->writable;\n");
    }
    if (many_responses(m)) {
        plugin__put(t, "    events->closed = c->closed;\n");
    }
    plugin__put(t, "}\n\n");
}

static void put_give(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(t,
                "static void %s__%s__give(const void *callbacks, void *user,\n"
                "    struct oak_stub_call *call, const ProtobufCMessage *response)\n"
                "{\n"
                "    const struct %s__%s__callbacks *c = callbacks;\n"
                "    if (c->message != NULL) {\n"
                "        c->message(user, call, (const %s *)response);\n"
                "    }\n"
                "}\n\n",
                s->lower.text, m->member.text, s->lower.text, m->member.text, m->response.text);
}

static void put_done(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(t,
                "static void %s__%s__done(const void *callbacks, void (*done)(void), void *user,\n"
                "    struct oak_stub_call *call, const struct oak_rpc_status *status,\n"
                "    const ProtobufCMessage *response)\n"
                "{\n",
                s->lower.text, m->member.text);
    if (m->kind == KIND_UNARY) {
        plugin__put(
            t,
            "    (void)callbacks;\n"
            "    ((void (*)(void *, struct oak_stub_call *, const struct oak_rpc_status *,\n"
            "        const %s *))done)(user, call, status,\n"
            "        (const %s *)response);\n"
            "}\n\n",
            m->response.text, m->response.text);
        return;
    }
    plugin__put(t,
                "    (void)done;\n"
                "    ((const struct %s__%s__callbacks *)callbacks)->done(user, call, status,\n"
                "        (const %s *)response);\n"
                "}\n\n",
                s->lower.text, m->member.text, m->response.text);
}

static void put_thunks(struct text *t, const struct service *s, const struct method *m)
{
    put_serve(t, s, m);
    put_take(t, s, m);
    if (m->kind != KIND_UNARY) {
        put_listen(t, s, m);
    }
    if (many_responses(m)) {
        put_give(t, s, m);
    } else {
        put_done(t, s, m);
    }
}

static void put_row(struct text *t, const struct service *s, const struct method *m)
{
    static const char *const kinds[] = {
        [KIND_UNARY] = "OAK_RPC_UNARY",
        [KIND_CLIENT_STREAM] = "OAK_RPC_CLIENT_STREAM",
        [KIND_SERVER_STREAM] = "OAK_RPC_SERVER_STREAM",
        [KIND_BIDI] = "OAK_RPC_BIDI",
    };
    const char *lower = s->lower.text;
    const char *member = m->member.text;
    plugin__put(t,
                "    {\n"
                "        .service = &%s_service,\n"
                "        .name = \"%s\",\n"
                "        .kind = %s,\n"
                "        .request = &%s__descriptor,\n"
                "        .response = &%s__descriptor,\n"
                "        .serve = %s__%s__serve,\n"
                "        .take = %s__%s__take,\n",
                lower, m->name, kinds[m->kind], m->request_lower.text, m->response_lower.text,
                lower, member, lower, member);
    if (m->kind != KIND_UNARY) {
        plugin__put(t, "        .listen = %s__%s__listen,\n", lower, member);
    }
    if (m->idempotent) {
        plugin__put(t, "        .idempotent = true,\n");
    }
    plugin__put(t, "        .%s = %s__%s__%s,\n    },\n", many_responses(m) ? "give" : "done",
                lower, member, many_responses(m) ? "give" : "done");
}

static void put_reply(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(t,
                "int %s__%s__reply(struct oak_stub_call *call, const %s *response)\n"
                "{\n"
                "    return oak_stub_reply(call, (const ProtobufCMessage *)response);\n"
                "}\n\n",
                s->lower.text, m->member.text, m->response.text);
}

static void put_call(struct text *t, const struct service *s, const struct method *m, size_t at)
{
    plugin__put(t, "int %s__%s__call(struct oak_stub_client client,\n", s->lower.text,
                m->member.text);
    if (!many_requests(m)) {
        plugin__put(t, "    const %s *request,\n", m->request.text);
    }
    plugin__put(t, "    const struct oak_rpc_request *how,\n");
    if (m->kind == KIND_UNARY) {
        plugin__put(t,
                    "    void (*done)(void *user, struct oak_stub_call *call,\n"
                    "        const struct oak_rpc_status *status, const %s *response),\n",
                    m->response.text);
    } else {
        plugin__put(t, "    const struct %s__%s__callbacks *callbacks,\n", s->lower.text,
                    m->member.text);
    }
    plugin__put(t,
                "    void *user, struct oak_stub_call **out)\n"
                "{\n"
                "    return oak_stub_start(client, &%s_methods[%zu], %s, how,\n"
                "        %s, user, out);\n"
                "}\n\n",
                s->lower.text, at, many_requests(m) ? "NULL" : "(const ProtobufCMessage *)request",
                m->kind == KIND_UNARY ? "NULL, (void (*)(void))done" : "callbacks, NULL");
    if (many_requests(m)) {
        plugin__put(t,
                    "int %s__%s__send(struct oak_stub_call *call, const %s *request)\n"
                    "{\n"
                    "    return oak_stub_send(call, (const ProtobufCMessage *)request);\n"
                    "}\n\n",
                    s->lower.text, m->member.text, m->request.text);
    }
}

static void put_service(struct text *t, const struct service *s)
{
    const char *lower = s->lower.text;
    plugin__put(t, "/* -- service %.*s -- */\n\n", (int)s->full.size, (const char *)s->full.data);
    for (size_t i = 0; i < s->method_count; i++) {
        put_thunks(t, s, &s->methods[i]);
    }
    if (s->method_count > 0) {
        plugin__put(t, "static const struct oak_stub_method %s_methods[] = {\n", lower);
        for (size_t i = 0; i < s->method_count; i++) {
            put_row(t, s, &s->methods[i]);
        }
        plugin__put(t, "};\n\n");
    }
    plugin__put(t,
                "const struct oak_stub_service %s_service = {\n"
                "    .name = \"%.*s\",\n"
                "    .methods = %s%s,\n"
                "    .method_count = %zu,\n"
                "    .files = files,\n"
                "    .file_count = sizeof(files) / sizeof(files[0]),\n"
                "};\n\n"
                "int %s_add(struct oak_rpc_server *server, const struct %s_handlers *handlers,\n"
                "    void *user)\n"
                "{\n"
                "    return oak_stub_add(server, &%s_service, handlers, sizeof(*handlers), user);\n"
                "}\n\n",
                lower, (int)s->full.size, (const char *)s->full.data,
                s->method_count > 0 ? lower : "NULL", s->method_count > 0 ? "_methods" : "",
                s->method_count, lower, lower, lower);
    for (size_t i = 0; i < s->method_count; i++) {
        put_reply(t, s, &s->methods[i]);
        put_call(t, s, &s->methods[i], i);
    }
}

void plugin__source(const struct input *input, const struct model *model, struct text *out)
{
    plugin__put(out,
                "/* Made by protoc-gen-oakum of %s: don't edit. */\n"
                "#include \"%.*s.oak.h\"\n\n",
                model->name, (int)model->stem.size, (const char *)model->stem.data);
    if (model->service_count > 0) {
        put_files(out, input, model);
    }
    for (size_t i = 0; i < model->service_count; i++) {
        put_service(out, &model->services[i]);
    }
}
