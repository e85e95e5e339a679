/* SPDX-License-Identifier: Apache-2.0 */
/* health.c: grpc.health.v1.Health.
 *
 * Happy path   statuses are a table of names; who watches is in a list, and is told of a change of
 *              the name it asked for.
 * Can fail     want of memory. A watcher that does not take what it is told is cut off.
 * Invariants   a watcher is told a status only when it, or its term, differs from what it was told
 *              last.
 * Source       gRPC "GRPC Health Checking Protocol"; what grpc-go's health server says.
 * Thread       the loop's.
 */
#include <stdlib.h>

#include <grpc/health/v1/health.oak.h>

#include "oakum/services.h"
#include "oakum/stub.h"
#include "pb/pb.h"

typedef Grpc__Health__V1__HealthCheckRequest check_request;
typedef Grpc__Health__V1__HealthCheckResponse check_response;
typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving_status;
typedef Grpc__Health__V1__HealthListRequest list_request;
typedef Grpc__Health__V1__HealthListResponse list_response;
typedef Grpc__Health__V1__HealthListResponse__StatusesEntry list_entry;

/* Behind what the protocol has, for channels with the policy oakum_leader (channel.h). */
#define FIELD_TERM 1001

#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

/* List refuses to tell of more (grpc-go's number). */
#define LIST_MAX 100u

struct service {
    char *name;
    enum oak_health_status status;
    uint64_t term; /* 0: none is told */
};

struct watch {
    struct oak_list link;
    struct oak_stub_call *call;
    const char *name; /* in the request, which lives as long as the call */
    serving_status told;
    uint64_t told_term;
};

struct oak_health {
    struct service *services;
    size_t count;
    struct oak_list watches;
    bool shut_down;
};

static struct service *find(const struct oak_health *h, const char *name)
{
    for (size_t i = 0; i < h->count; i++) {
        if (strcmp(h->services[i].name, name) == 0) {
            return &h->services[i];
        }
    }
    return NULL;
}

static serving_status status_of(const struct oak_health *h, const char *name, uint64_t *term)
{
    const struct service *s = find(h, name);
    *term = s != NULL ? s->term : 0;
    return s != NULL ? (serving_status)s->status : SERVICE_UNKNOWN;
}

/* -- methods ----------------------------------------------------------------------------------- */

static void check(void *user, struct oak_stub_call *call, const check_request *request)
{
    const struct service *s = find(user, request->service);
    if (s == NULL) {
        oak_stub_finish(call, OAK_RPC_NOT_FOUND, "unknown service");
        return;
    }
    check_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    response.status = (serving_status)s->status;
    (void)grpc__health__v1__health__check__reply(call, &response);
}

static void list(void *user, struct oak_stub_call *call, const list_request *request)
{
    (void)request;
    const struct oak_health *h = user;
    if (h->count > LIST_MAX) {
        oak_stub_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "too many services to list");
        return;
    }
    list_entry entries[LIST_MAX];
    list_entry *pointers[LIST_MAX];
    check_response values[LIST_MAX];
    for (size_t i = 0; i < h->count; i++) {
        grpc__health__v1__health_list_response__statuses_entry__init(&entries[i]);
        grpc__health__v1__health_check_response__init(&values[i]);
        values[i].status = (serving_status)h->services[i].status;
        entries[i].key = h->services[i].name;
        entries[i].value = &values[i];
        pointers[i] = &entries[i];
    }
    list_response response = GRPC__HEALTH__V1__HEALTH_LIST_RESPONSE__INIT;
    response.n_statuses = h->count;
    response.statuses = pointers;
    (void)grpc__health__v1__health__list__reply(call, &response);
}

static size_t varint_write(uint64_t value, uint8_t out[10])
{
    size_t size = 0;
    for (; value >= 0x80; value >>= 7) {
        out[size++] = (uint8_t)(value | 0x80);
    }
    out[size++] = (uint8_t)value;
    return size;
}

static void tell(struct watch *watch, serving_status status, uint64_t term)
{
    check_response response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t bytes[10];
    ProtobufCMessageUnknownField more = {.tag = FIELD_TERM,
                                         .wire_type = PROTOBUF_C_WIRE_TYPE_VARINT,
                                         .len = varint_write(term, bytes),
                                         .data = bytes};
    response.status = status;
    response.base.n_unknown_fields = term != 0;
    response.base.unknown_fields = &more;
    watch->told = status;
    watch->told_term = term;
    if (grpc__health__v1__health__watch__reply(watch->call, &response) != 0) {
        oak_stub_cancel(watch->call);
    }
}

static void watch_request(void *user, struct oak_stub_call *call, const check_request *request)
{
    struct oak_health *h = user;
    struct watch *watch = oak_stub_alloc(call, sizeof(*watch));
    if (watch == NULL) {
        oak_stub_finish(call, OAK_RPC_RESOURCE_EXHAUSTED, "the server is out of memory");
        return;
    }
    watch->call = call;
    watch->name = request->service;
    oak_stub_set_data(call, watch);
    oak_list_push(&h->watches, &watch->link);
    uint64_t term;
    serving_status status = status_of(h, watch->name, &term);
    tell(watch, status, term);
}

static void watch_closed(void *user, struct oak_stub_call *call,
                         const struct oak_rpc_status *status)
{
    (void)user;
    (void)status;
    struct watch *watch = oak_stub_data(call);
    if (watch != NULL) {
        oak_list_remove(&watch->link);
    }
}

static const struct grpc__health__v1__health_handlers handlers = {
    .check = check,
    .list = list,
    .watch = {.request = watch_request, .closed = watch_closed},
};

/* -- the program's side ------------------------------------------------------------------------ */

static void tell_all(struct oak_health *h)
{
    for (struct oak_list *at = h->watches.next; at != &h->watches; at = at->next) {
        struct watch *watch = OAK_LIST_ENTRY(at, struct watch, link);
        uint64_t term;
        serving_status status = status_of(h, watch->name, &term);
        if (status != watch->told || term != watch->told_term) {
            tell(watch, status, term);
        }
    }
}

static int add_name(struct oak_health *h, const char *name, struct service **out)
{
    size_t size = strlen(name) + 1;
    struct service *services = realloc(h->services, (h->count + 1) * sizeof(services[0]));
    if (services == NULL) {
        return OAK_ENOMEM;
    }
    h->services = services;
    char *copy = malloc(size);
    if (copy == NULL) {
        return OAK_ENOMEM;
    }
    memcpy(copy, name, size);
    *out = &services[h->count++];
    **out = (struct service){.name = copy};
    return 0;
}

static int set(struct oak_health *h, const char *service, enum oak_health_status status,
               uint64_t term)
{
    struct service *s = find(h, service);
    int error = s == NULL ? add_name(h, service, &s) : 0;
    if (error == 0) {
        s->status = h->shut_down ? OAK_HEALTH_NOT_SERVING : status;
        s->term = term;
        tell_all(h);
    }
    return error;
}

int oak_health_set(struct oak_health *h, const char *service, enum oak_health_status status)
{
    OAK_ASSERT_LE(status, OAK_HEALTH_NOT_SERVING);
    return set(h, service, status, 0);
}

int oak_health_set_leader(struct oak_health *h, const char *service, bool leads, uint64_t term)
{
    return set(h, service, leads ? OAK_HEALTH_SERVING : OAK_HEALTH_NOT_SERVING, term);
}

void oak_health_shut_down(struct oak_health *h)
{
    h->shut_down = true;
    for (size_t i = 0; i < h->count; i++) {
        h->services[i].status = OAK_HEALTH_NOT_SERVING;
    }
    tell_all(h);
}

int oak_health_add(struct oak_rpc_server *server, struct oak_health **out)
{
    struct oak_health *h = calloc(1, sizeof(*h));
    *out = h;
    if (h == NULL) {
        return OAK_ENOMEM;
    }
    oak_list_init(&h->watches);
    int error = oak_health_set(h, "", OAK_HEALTH_SERVING);
    return error != 0 ? error : grpc__health__v1__health_add(server, &handlers, h);
}

void oak_health_free(struct oak_health *h)
{
    if (h == NULL) {
        return;
    }
    OAK_ASSERT(oak_list_empty(&h->watches));
    for (size_t i = 0; i < h->count; i++) {
        free(h->services[i].name);
    }
    free(h->services);
    free(h);
}
