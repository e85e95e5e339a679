/* SPDX-License-Identifier: Apache-2.0 */
/* header.c: file.oak.h: for each service its handlers, its stubs, and what they say.
 *
 * Thread       any.
 */
#include "plugin/internal.h"

static const char *const kind_words[] = {
    [KIND_UNARY] = "unary",
    [KIND_CLIENT_STREAM] = "client streaming",
    [KIND_SERVER_STREAM] = "server streaming",
    [KIND_BIDI] = "streaming both ways",
};

static bool many_requests(const struct method *m)
{
    return m->kind == KIND_CLIENT_STREAM || m->kind == KIND_BIDI;
}
static bool many_responses(const struct method *m)
{
    return m->kind == KIND_SERVER_STREAM || m->kind == KIND_BIDI;
}

/* -- server ------------------------------------------------------------------------------------ */

static const char plain_event[] = "    void (*%s)(void *user, struct oak_stub_call *call);\n";
static const char closed_event[] = "    void (*closed)(\n"
                                   "        void *user,\n"
                                   "        struct oak_stub_call *call,\n"
                                   "        const struct oak_rpc_status *status);\n";
static const char message_event[] = "    void (*%s)(\n"
                                    "        void *user,\n"
                                    "        struct oak_stub_call *call,\n"
                                    "        const %s *%s);\n";

static void put_handler(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(t,
                "/* Serves %s, which is %s. Functions may be NULL, but not %s: it is\n"
                " * answered UNIMPLEMENTED then. */\n",
                m->name, kind_words[m->kind], many_requests(m) ? "`message`" : "`request`");
    plugin__put(t, "struct %s__%s__handler {\n", s->lower.text, m->member.text);
    if (many_requests(m)) {
        plugin__put(t, plain_event, "start");
        plugin__put(t, message_event, "message", m->request.text, "request");
        plugin__put(t, plain_event, "half_closed");
    } else {
        plugin__put(t, message_event, "request", m->request.text, "request");
    }
    if (many_responses(m)) {
        plugin__put(t, plain_event, "writable");
    }
    plugin__put(t, closed_event);
    plugin__put(t, "};\n\n");
}

static void put_server(struct text *t, const struct service *s)
{
    const char *lower = s->lower.text;
    for (size_t i = 0; i < s->method_count; i++) {
        if (s->methods[i].kind != KIND_UNARY) {
            put_handler(t, s, &s->methods[i]);
        }
    }
    plugin__put(t, "/* What serves it; NULL: UNIMPLEMENTED. */\nstruct %s_handlers {\n", lower);
    for (size_t i = 0; i < s->method_count; i++) {
        const struct method *m = &s->methods[i];
        plugin__put_comment(t, 4, m->comment);
        if (m->kind == KIND_UNARY) {
            plugin__put(t, message_event, m->member.text, m->request.text, "request");
        } else {
            plugin__put(t, "    struct %s__%s__handler %s;\n", lower, m->member.text,
                        m->member.text);
        }
    }
    if (s->method_count == 0) {
        plugin__put(t, "    char nothing;\n");
    }
    plugin__put(t,
                "};\n\n"
                "/* Add it to a server; the table is copied. OAK_EEXIST, OAK_ENOMEM. */\n"
                "OAK_MUST_USE int %s_add(\n"
                "    struct oak_rpc_server *server,\n"
                "    const struct %s_handlers *handlers,\n"
                "    void *user);\n\n",
                lower, lower);
}

/* -- client ------------------------------------------------------------------------------------ */

static void put_done(struct text *t, const struct method *m, const char *indent, const char *end)
{
    plugin__put(t,
                "%svoid (*done)(\n"
                "%s    void *user,\n"
                "%s    struct oak_stub_call *call,\n"
                "%s    const struct oak_rpc_status *status,\n"
                "%s    const %s *response)%s\n",
                indent, indent, indent, indent, indent, m->response.text, end);
}

static void put_callbacks(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(
        t, "/* What is told of a call of %s; it must outlive the call. Functions may be NULL%s",
        m->name, many_responses(m) ? ". */\n" : ",\n * but not `done`. */\n");
    plugin__put(t, "struct %s__%s__callbacks {\n", s->lower.text, m->member.text);
    plugin__put(t, plain_event, "headers");
    if (many_responses(m)) {
        plugin__put(t, message_event, "message", m->response.text, "response");
    }
    if (many_requests(m)) {
        plugin__put(t, plain_event, "writable");
    }
    if (many_responses(m)) {
        plugin__put(t, closed_event);
    } else {
        put_done(t, m, "    ", ";");
    }
    plugin__put(t, "};\n\n");
}

static void put_call(struct text *t, const struct service *s, const struct method *m)
{
    plugin__put(t, "OAK_MUST_USE int %s__%s__call(\n    struct oak_stub_client client,\n",
                s->lower.text, m->member.text);
    if (!many_requests(m)) {
        plugin__put(t, "    const %s *request,\n", m->request.text);
    }
    plugin__put(t, "    const struct oak_rpc_request *how,\n");
    if (m->kind == KIND_UNARY) {
        put_done(t, m, "    ", ",");
    } else {
        plugin__put(t, "    const struct %s__%s__callbacks *callbacks,\n", s->lower.text,
                    m->member.text);
    }
    plugin__put(t, "    void *user,\n    struct oak_stub_call **out);\n");
    if (many_requests(m)) {
        plugin__put(t,
                    "OAK_MUST_USE int %s__%s__send(\n"
                    "    struct oak_stub_call *call,\n"
                    "    const %s *request);\n",
                    s->lower.text, m->member.text, m->request.text);
    }
}

static void put_method(struct text *t, const struct service *s, const struct method *m)
{
    if (m->kind != KIND_UNARY) {
        put_callbacks(t, s, m);
    }
    plugin__put(t,
                "/* %s, %s: the server's answer%s, then the client's call: see\n"
                " * oak_stub_reply() and oak_stub_start(). */\n",
                m->name, kind_words[m->kind], many_responses(m) ? "s" : "");
    plugin__put(t,
                "int %s__%s__reply(\n"
                "    struct oak_stub_call *call,\n"
                "    const %s *response);\n",
                s->lower.text, m->member.text, m->response.text);
    put_call(t, s, m);
    plugin__put(t, "\n");
}

/* -- the file ---------------------------------------------------------------------------------- */

void plugin__header(const struct model *model, struct text *out)
{
    plugin__put(out,
                "/* Made by protoc-gen-oakum of %s: don't edit. */\n"
                "#ifndef OAKUM_%s__INCLUDED\n"
                "#define OAKUM_%s__INCLUDED\n\n"
                "#include <oakum/stub.h>\n\n"
                "#include \"%.*s.pb-c.h\"\n\n"
                "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
                model->name, model->guard.text, model->guard.text, (int)model->stem.size,
                (const char *)model->stem.data);
    for (size_t i = 0; i < model->service_count; i++) {
        const struct service *s = &model->services[i];
        plugin__put(out, "/* -- service %.*s -- */\n\n", (int)s->full.size,
                    (const char *)s->full.data);
        plugin__put_comment(out, 0, s->comment);
        plugin__put(out, "extern const struct oak_stub_service %s_service;\n\n", s->lower.text);
        put_server(out, s);
        for (size_t j = 0; j < s->method_count; j++) {
            put_method(out, s, &s->methods[j]);
        }
    }
    plugin__put(out, "#ifdef __cplusplus\n}\n#endif\n\n#endif\n");
}
