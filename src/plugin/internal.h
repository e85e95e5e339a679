/* SPDX-License-Identifier: Apache-2.0 */
/* internal.h: what the files of the plugin room share. */
#ifndef OAK_PLUGIN_INTERNAL_H
#define OAK_PLUGIN_INTERNAL_H

#include "plugin/plugin.h"
#include "schema/schema.h"

/* -- text.c: what is written, and what is wrong ------------------------------------------------ */

/* Text that grows. The first failure is kept, and nothing is added after it. */
struct text {
    struct oak_buf buf;
    int error;
};

void plugin__put(struct text *t, const char *format, ...) OAK_PRINTF(2, 3);
/* A comment of the .proto as a comment of C, each line behind `indent` spaces. */
void plugin__put_comment(struct text *t, unsigned indent, const char *comment);
/* Bytes as rows of numbers. */
void plugin__put_bytes(struct text *t, struct oak_bytes bytes);

/* -- names.c: protobuf-c's names --------------------------------------------------------------- */

/* A name of C, or too long for one. */
#define PLUGIN_NAME_BYTES 512
struct name {
    char text[PLUGIN_NAME_BYTES];
};

/* "demo.v1.SayRequest" to "Demo__V1__SayRequest" and "demo__v1__say_request"; with the C package
 * that the file chose, if it did. False: not made of identifiers, or too long. */
bool plugin__name_c(const Oakschema__File *file, struct oak_bytes full, struct name *out);
bool plugin__name_lower(const Oakschema__File *file, struct oak_bytes full, struct name *out);
/* "GetThis" to "get_this". */
bool plugin__name_member(const char *name, struct name *out);
/* "demo/echo.proto" to "demo_2fecho_2eproto". */
bool plugin__name_file(const char *name, struct name *out);
bool plugin__is_keyword(const char *name);
/* Nothing in it that means something in a string, a comment or an include of C. */
bool plugin__is_path(const char *name);

/* -- model.c: what is to be written, checked --------------------------------------------------- */

struct method {
    const char *name;    /* "Say" */
    const char *comment; /* or NULL */
    struct name member;  /* "say" */
    struct name request; /* "Demo__V1__SayRequest" */
    struct name response;
    struct name request_lower; /* "demo__v1__say_request" */
    struct name response_lower;
    enum kind {
        KIND_UNARY,
        KIND_CLIENT_STREAM,
        KIND_SERVER_STREAM,
        KIND_BIDI,
    } kind;
    bool idempotent; /* made twice it does what it does once */
};

struct service {
    struct oak_bytes full; /* "demo.v1.Echo" */
    const char *comment;
    struct name lower; /* "demo__v1__echo" */
    struct method *methods;
    size_t method_count;
};

/* One file to be written. */
struct model {
    const char *name;      /* "demo/echo.proto" */
    struct oak_bytes stem; /* "demo/echo" */
    struct name guard;
    struct service *services;
    size_t service_count;
    const size_t *needed; /* files that it needs, itself last; indices of the schema */
    size_t needed_count;
};

/* What is read from: the request, decoded. */
struct input {
    const struct oak_schema *schema;
    const struct oak_bytes *files; /* as they came, beside those of the schema */
    struct oak_arena *arena;
};

/* OAK_EINVAL: errors->text says what can't be made; or OAK_ENOMEM, OAK_ELIMIT. */
OAK_MUST_USE int plugin__model(const struct input *input, size_t file, struct model *out,
                               struct oak_errbuf *why);

/* -- header.c, source.c ------------------------------------------------------------------------ */

void plugin__header(const struct model *model, struct text *out);
void plugin__source(const struct input *input, const struct model *model, struct text *out);

#endif
