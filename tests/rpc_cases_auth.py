# SPDX-License-Identifier: Apache-2.0
"""rpc_cases_auth.py: the Auth service and what it lets pass, for test_rpc_differential.py. They run
on a pair of clusters of their own. Each case takes back what it made."""

ROOT = ["UserAdd name:'root' password:'rootpw'", "RoleAdd name:'root'",
        "UserGrantRole user:'root' role:'root'"]
NO_ROOT = ["UserDelete name:'root'", "RoleDelete role:'root'"]
ALICE = ["UserAdd name:'alice' password:'alicepw'", "RoleAdd name:'r'",
         "UserGrantRole user:'alice' role:'r'"]
NO_ALICE = ["UserDelete name:'alice'", "RoleDelete role:'r'"]
AS_ROOT, AS_ALICE, AS_NOBODY = "login root rootpw", "login alice alicepw", "meta"


def grant(kind, key, end="", role="r"):
    return (f"RoleGrantPermission name:'{role}' perm {{ permType:{kind} key:'{key}' "
            f"range_end:'{end}' }}")


def alone(name, steps):
    """Without authentication."""
    return (f"auth-{name}", steps)


def guarded(name, grants, steps, before=()):
    """With it: alice has these grants."""
    return (f"auth-{name}", ROOT + ALICE + list(grants) + list(before) + ["AuthEnable"] + steps +
            [AS_ROOT, "AuthDisable", AS_NOBODY] + NO_ALICE + NO_ROOT)


def as_alice(name, grants, steps, before=()):
    return guarded(name, grants, [AS_ALICE] + steps, before)


DATA = [f"Put key:'@{key}' value:'{key}'" for key in "abcd"]
HALF = [grant("READ", "@a", "@c")]
BOTH = [grant("READWRITE", "@a", "@c")]
WRITE = [grant("WRITE", "@a", "@c")]


def txn(text):
    return f"Txn {text}"


PUT_A, PUT_D = "request_put { key:'@a' }", "request_put { key:'@d' }"
GET_A, GET_D = "request_range { key:'@a' }", "request_range { key:'@d' }"
DEL_A, DEL_D = "request_delete_range { key:'@a' }", "request_delete_range { key:'@d' }"

CASES = [
    alone("enable-without-root", ["AuthEnable", "UserAdd name:'root' password:'x'", "AuthEnable",
                                  "RoleAdd name:'root'", "AuthEnable", "RoleDelete role:'root'",
                                  "UserDelete name:'root'"]),
    alone("disable-when-off", ["AuthDisable", "AuthDisable"]),
    alone("authenticate-when-off", ["Authenticate name:'root' password:'x'"]),
    alone("users", ["UserList", "UserAdd name:'u' password:'p'", "UserAdd name:'v' password:'p'",
                    "UserList", "UserGet name:'u'", "UserDelete name:'u'", "UserList",
                    "UserDelete name:'v'"]),
    alone("user-errors", ["UserAdd password:'x'", "UserAdd name:'u' password:'x'",
                          "UserAdd name:'u' password:'y'", "UserGet name:'none'", "UserGet",
                          "UserDelete name:'none'", "UserChangePassword name:'none' password:'z'",
                          "UserGrantRole user:'none' role:'r'", "UserGrantRole user:'u' role:'r'",
                          "UserRevokeRole name:'none' role:'r'", "UserRevokeRole name:'u' role:'r'",
                          "UserDelete name:'u'"]),
    alone("user-without-password", ["UserAdd name:'u' options { no_password:true }",
                                    "UserAdd name:'v'", "UserGet name:'u'",
                                    "UserChangePassword name:'u' password:'p'",
                                    "UserDelete name:'u'", "UserDelete name:'v'"]),
    alone("roles", ["RoleList", "RoleAdd name:'r'", "RoleAdd name:'q'", "RoleList",
                    "RoleGet role:'r'", "RoleDelete role:'r'", "RoleList", "RoleDelete role:'q'"]),
    alone("role-errors", ["RoleAdd", "RoleAdd name:'r'", "RoleAdd name:'r'", "RoleGet role:'none'",
                          "RoleDelete role:'none'", grant("READ", "a", "", "none"),
                          "RoleRevokePermission role:'none' key:'a'",
                          "RoleRevokePermission role:'r' key:'a'", "RoleGet", "RoleDelete",
                          "RoleDelete role:'r'"]),
    alone("root-role-unmade", ["RoleGet role:'root'", "UserAdd name:'u' password:'p'",
                               "UserGrantRole user:'u' role:'root'", "UserGet name:'u'",
                               "UserDelete name:'u'"]),
    alone("grants", ["RoleAdd name:'r'", grant("READ", "k"), grant("WRITE", "b", "d"),
                     grant("READWRITE", "a", "c"), "RoleGet role:'r'", grant("WRITE", "k"),
                     "RoleGet role:'r'", "RoleRevokePermission role:'r' key:'b' range_end:'d'",
                     "RoleRevokePermission role:'r' key:'b' range_end:'e'", "RoleGet role:'r'",
                     "RoleDelete role:'r'"]),
    alone("user-of-roles", ["UserAdd name:'u' password:'p'", "RoleAdd name:'r'", "RoleAdd name:'q'",
                            "UserGrantRole user:'u' role:'r'", "UserGrantRole user:'u' role:'q'",
                            "UserGrantRole user:'u' role:'r'", "UserGet name:'u'",
                            "UserRevokeRole name:'u' role:'r'", "UserGet name:'u'",
                            "RoleDelete role:'q'", "UserGet name:'u'", "UserDelete name:'u'",
                            "RoleDelete role:'r'"]),
    alone("no-revision-of-the-store", ["Range key:'@a'", "UserAdd name:'u' password:'p'",
                                       "RoleAdd name:'r'", "Range key:'@a'", "UserDelete name:'u'",
                                       "RoleDelete role:'r'", "Range key:'@a'"]),

    guarded("nobody-watches", HALF, ["w= Watch", "w< create_request { key:'@a' }", "w> 1", "w!",
                                     "w>"]),
    guarded("bad-token", HALF, ["meta token=nonsense", "Range key:'@a'", "Put key:'@a'", "UserList",
                                "meta authorization=nonsense", "Range key:'@a'"]),
    guarded("bad-password", HALF, ["login alice wrong", "login nobody alicepw", "Authenticate",
                                   "Authenticate name:'alice'"]),
    guarded("user-without-password-logs-in", HALF, ["Authenticate name:'np' password:'x'",
                                                    "Authenticate name:'np'"],
            ["UserAdd name:'np' options { no_password:true }"]),
    guarded("root-may", HALF, [AS_ROOT, "Put key:'@z'", "Range key:'@z'", "UserList", "RoleList",
                               "UserGet name:'alice'", "RoleGet role:'r'", "DeleteRange key:'@z'",
                               "AuthEnable"]),
    guarded("root-is-needed", HALF, [AS_ROOT, "UserDelete name:'root'", "RoleDelete role:'root'",
                                     "UserRevokeRole name:'root' role:'root'"]),
    guarded("token-of-a-deleted-user", HALF, [AS_ALICE, "Range key:'@a'", AS_ROOT,
                                              "UserAdd name:'bob' password:'b'",
                                              "login bob b", "UserGet name:'bob'"], ),
    as_alice("reads", HALF, ["Range key:'@a'", "Range key:'@b'", "Range key:'@c'",
                             "Range key:'@a' range_end:'@c'", "Range key:'@a' range_end:'@d'",
                             "Range key:'@a' range_end:'\\0'", "Range key:'@' range_end:'@b'",
                             "Range key:'@b' range_end:'@bb'", "Range key:'@c' range_end:'@a'",
                             "Range key:'@a' count_only:true", "Range key:'@d' count_only:true",
                             "Range key:'@a' serializable:true", "Range key:'@d' serializable:true",
                             "Put key:'@a'", "DeleteRange key:'@a'"], DATA),
    as_alice("malformed", HALF, ["Range", "Put key:'@d' value:'1' ignore_value:true"]),
    as_alice("writes", WRITE, ["Put key:'@a'", "Put key:'@c'", "Put key:'@a' prev_kv:true",
                               "Range key:'@a'", "DeleteRange key:'@a'",
                               "DeleteRange key:'@b' prev_kv:true",
                               "DeleteRange key:'@a' range_end:'@c'",
                               "DeleteRange key:'@a' range_end:'@cc'",
                               "DeleteRange key:'@a' range_end:'\\0'"], DATA),
    as_alice("both", BOTH, ["Put key:'@a' prev_kv:true", "Range key:'@a'",
                            "DeleteRange key:'@a' prev_kv:true", "Put key:'@d'"], DATA),
    as_alice("one-key", [grant("READWRITE", "@a")],
             ["Range key:'@a'", "Range key:'@a' range_end:'@a\\0'", "Range key:'@a' range_end:'@b'",
              "Put key:'@a'", "Put key:'@a\\0'"], DATA),
    as_alice("open-end", [grant("READWRITE", "@b", "\\0")],
             ["Range key:'@b'", "Range key:'@zzz'",
              "Range key:'@b' range_end:'\\0' count_only:true",
              "Range key:'@a' range_end:'\\0' count_only:true", "Range key:'@b' range_end:'@c'"],
              DATA),
    as_alice("everything", [grant("READWRITE", "\\0", "\\0")],
             ["Range key:'@b'", "Put key:'@b'", "Range key:'\\0' range_end:'\\0' count_only:true",
              "UserList"], DATA),
    as_alice("adjacent-grants-are-one", [grant("READ", "@a", "@b"), grant("READ", "@b", "@d")],
             ["Range key:'@a' range_end:'@d'", "Range key:'@a' range_end:'@e'"], DATA),
    as_alice("overlapping-grants-are-one", [grant("READ", "@a", "@c"), grant("READWRITE", "@b",
                                                                             "@e")],
             ["Range key:'@a' range_end:'@e'", "DeleteRange key:'@a' range_end:'@c'",
              "DeleteRange key:'@b' range_end:'@e'"], DATA),
    as_alice("grants-with-a-gap", [grant("READ", "@a", "@b"), grant("READ", "@b\\0", "@d")],
             ["Range key:'@a' range_end:'@d'", "Range key:'@b'", "Range key:'@b\\0'"], DATA),
    as_alice("two-roles", [grant("READ", "@a", "@b"), "RoleAdd name:'s'",
                           grant("READ", "@b", "@d", "s"), "UserGrantRole user:'alice' role:'s'"],
             ["Range key:'@a' range_end:'@d'"], DATA + ["UserGet name:'alice'"]),
    as_alice("txn", BOTH, [
        txn(f"success {{ {GET_A} }}"), txn(f"success {{ {GET_D} }}"), txn(f"failure {{ {GET_D} }}"),
        txn(f"success {{ {PUT_A} }}"), txn(f"success {{ {PUT_D} }}"), txn(f"failure {{ {PUT_D} }}"),
        txn(f"success {{ {DEL_A} }}"), txn(f"success {{ {DEL_D} }}"),
        txn("compare { key:'@a' }"), txn("compare { key:'@d' }"),
        txn("compare { key:'@a' range_end:'@d' }"), txn("")], DATA),
    as_alice("lease", BOTH, ["LeaseGrant ID:501 TTL:100", "Put key:'@a' lease:501",
                             "LeaseTimeToLive ID:501", "LeaseTimeToLive ID:501 keys:true",
                             "LeaseRevoke ID:501"], DATA),
    as_alice("permission-taken", BOTH, [
        "Put key:'@a'", AS_ROOT, "RoleRevokePermission role:'r' key:'@a' range_end:'@c'", AS_ALICE,
        "Put key:'@a'", "Range key:'@a'"], DATA),
    as_alice("permission-given", HALF, [
        "Put key:'@a'", AS_ROOT, grant("READWRITE", "@a", "@c"), AS_ALICE, "Put key:'@a'"], DATA),
    as_alice("role-deleted", BOTH, ["Range key:'@a'", AS_ROOT, "RoleDelete role:'r'", AS_ALICE,
                                    "Range key:'@a'", AS_ROOT, "RoleAdd name:'r'"], DATA),
    as_alice("password-changed", BOTH, [
        AS_ROOT, "UserChangePassword name:'alice' password:'new'", "login alice alicepw",
        "login alice new", "Range key:'@a'"], DATA),
    guarded("http-health", HALF, ["GET /health"]),
]
for _name, _steps in CASES:
    if _name == "auth-two-roles":
        _steps.append("RoleDelete role:'s'")
    if _name == "auth-token-of-a-deleted-user":
        _steps.append("UserDelete name:'bob'")
    if _name == "auth-user-without-password-logs-in":
        _steps.append("UserDelete name:'np'")

CASES_OF_36 = [
    # Every start of 3.4 ends by this one in its log.
    alone("grant-of-nothing", ["RoleAdd name:'r'", "RoleGrantPermission name:'r'",
                               "RoleDelete role:'r'"]),
    alone("status-when-off", ["AuthStatus"]),
    guarded("status", HALF, [AS_ROOT, "AuthStatus", AS_ALICE, "Range key:'@a'"]),
    alone("root-role", ["RoleAdd name:'root'", "RoleGet role:'root'",
                        grant("READ", "a", "", "root"), "RoleGet role:'root'",
                        "RoleDelete role:'root'"]),
    alone("grant-ranges", ["RoleAdd name:'r'", grant("READ", "c", "a"), grant("READ", "c", "c"),
                           grant("READ", "c", "\\0"), grant("READ", "\\0", "\\0"),
                           grant("READ", ""), grant("READ", "", "\\0"), grant("READ", "", "b"),
                           "RoleGet role:'r'", "RoleDelete role:'r'"]),
    guarded("nobody", HALF, [
        "Range key:'@a'", "Put key:'@a'", "DeleteRange key:'@a'", txn(f"success {{ {GET_A} }}"),
        "Compact revision:1", "UserList", "UserGet name:'alice'", "RoleList", "RoleGet role:'r'",
        "UserAdd name:'x' password:'x'", "AuthEnable", "AuthDisable"]),
    as_alice("txn-nested", BOTH, [
        txn(f"success {{ request_txn {{ success {{ {GET_A} }} }} }}"),
        txn(f"success {{ request_txn {{ success {{ {GET_D} }} }} }}"),
        txn(f"success {{ request_txn {{ failure {{ {PUT_D} }} }} }}"),
        txn("success { request_txn { compare { key:'@d' } } }")], DATA),
    as_alice("txn-prev", WRITE, [
        txn("success { request_put { key:'@a' prev_kv:true } }"),
        txn("success { request_delete_range { key:'@a' prev_kv:true } }"),
        txn(f"success {{ {PUT_A} }}")], DATA),
    as_alice("watch", HALF, [
        "w= Watch", "w< create_request { key:'@a' }", "w> 1", "w< create_request { key:'@d' }",
        "w> 1",
        "w< create_request { key:'@a' range_end:'@c' }", "w> 1",
        "w< create_request { key:'@a' range_end:'\\0' }", "w> 1",
        "w< create_request { key:'\\0' range_end:'\\0' }", "w> 1",
        "w< create_request { }", "w> 1", "w!", "w>"], DATA),
    guarded("nobody-commits-nothing", HALF, ["Txn", "Txn compare { key:'@a' }"]),
    as_alice("lease-of-others-keys", BOTH, [
        "LeaseRevoke ID:502", "LeaseTimeToLive ID:502 keys:true", "Put key:'@a' lease:502", AS_ROOT,
        "LeaseRevoke ID:502"], DATA + ["LeaseGrant ID:502 TTL:100", "Put key:'@d' lease:502"]),
    guarded("nobody-asks", HALF, ["Status", "Alarm", "MemberList", "LeaseGrant ID:77 TTL:100",
                                  "LeaseTimeToLive ID:77", "LeaseLeases"]),
    as_alice("asks", HALF, ["Alarm", "MemberList", "LeaseLeases", "MemberList linearizable:true"]),
    as_alice("lease-list-of-others", BOTH, ["LeaseLeases", AS_ROOT, "LeaseLeases",
                                            "LeaseRevoke ID:503"],
             DATA + ["LeaseGrant ID:503 TTL:100", "Put key:'@d' lease:503"]),
]
