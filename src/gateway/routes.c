/* SPDX-License-Identifier: Apache-2.0 */
/* routes.c: the paths of etcd's JSON gateway, and which method each of them is. */
#include "gateway/internal.h"

static const char *const prefixes[] = {"/v3/", "/v3beta/"};

static const char kv[] = "etcdserverpb.KV";
static const char watch[] = "etcdserverpb.Watch";
static const char lease[] = "etcdserverpb.Lease";
static const char cluster[] = "etcdserverpb.Cluster";
static const char maintenance[] = "etcdserverpb.Maintenance";
static const char auth[] = "etcdserverpb.Auth";
static const char lock[] = "v3lockpb.Lock";
static const char election[] = "v3electionpb.Election";

static const struct oak_transcode_route routes[] = {
    {"kv/range", kv, "Range"},
    {"kv/put", kv, "Put"},
    {"kv/deleterange", kv, "DeleteRange"},
    {"kv/txn", kv, "Txn"},
    {"kv/compaction", kv, "Compact"},
    {"watch", watch, "Watch"},
    {"lease/grant", lease, "LeaseGrant"},
    {"lease/revoke", lease, "LeaseRevoke"},
    {"lease/keepalive", lease, "LeaseKeepAlive"},
    {"lease/timetolive", lease, "LeaseTimeToLive"},
    {"lease/leases", lease, "LeaseLeases"},
    {"kv/lease/revoke", lease, "LeaseRevoke"},
    {"kv/lease/timetolive", lease, "LeaseTimeToLive"},
    {"kv/lease/leases", lease, "LeaseLeases"},
    {"cluster/member/add", cluster, "MemberAdd"},
    {"cluster/member/remove", cluster, "MemberRemove"},
    {"cluster/member/update", cluster, "MemberUpdate"},
    {"cluster/member/list", cluster, "MemberList"},
    {"cluster/member/promote", cluster, "MemberPromote"},
    {"maintenance/alarm", maintenance, "Alarm"},
    {"maintenance/status", maintenance, "Status"},
    {"maintenance/defragment", maintenance, "Defragment"},
    {"maintenance/hash", maintenance, "Hash"},
    {"maintenance/hashkv", maintenance, "HashKV"},
    {"maintenance/snapshot", maintenance, "Snapshot"},
    {"maintenance/transfer-leadership", maintenance, "MoveLeader"},
    {"maintenance/downgrade", maintenance, "Downgrade"},
    {"auth/enable", auth, "AuthEnable"},
    {"auth/disable", auth, "AuthDisable"},
    {"auth/status", auth, "AuthStatus"},
    {"auth/authenticate", auth, "Authenticate"},
    {"auth/user/add", auth, "UserAdd"},
    {"auth/user/get", auth, "UserGet"},
    {"auth/user/list", auth, "UserList"},
    {"auth/user/delete", auth, "UserDelete"},
    {"auth/user/changepw", auth, "UserChangePassword"},
    {"auth/user/grant", auth, "UserGrantRole"},
    {"auth/user/revoke", auth, "UserRevokeRole"},
    {"auth/role/add", auth, "RoleAdd"},
    {"auth/role/get", auth, "RoleGet"},
    {"auth/role/list", auth, "RoleList"},
    {"auth/role/delete", auth, "RoleDelete"},
    {"auth/role/grant", auth, "RoleGrantPermission"},
    {"auth/role/revoke", auth, "RoleRevokePermission"},
    {"lock/lock", lock, "Lock"},
    {"lock/unlock", lock, "Unlock"},
    {"election/campaign", election, "Campaign"},
    {"election/proclaim", election, "Proclaim"},
    {"election/leader", election, "Leader"},
    {"election/observe", election, "Observe"},
    {"election/resign", election, "Resign"},
};

int oak_gateway_etcd_new(const struct oak_loop *loop, struct oak_http_server *server,
                         const struct oak_rpc_server *methods, size_t request_bytes_max,
                         struct oak_transcode **out)
{
    const struct oak_transcode_options options = {
        .loop = loop,
        .http = server,
        .methods = methods,
        .prefixes = prefixes,
        .prefix_count = OAK_COUNT_OF(prefixes),
        .routes = routes,
        .route_count = OAK_COUNT_OF(routes),
        .request_bytes_max = request_bytes_max,
    };
    return oak_transcode_new(&options, out);
}
