# SPDX-License-Identifier: Apache-2.0
"""Every error text of etcd's API that is served, with its code, from a member over gRPC.

Clients find out by the text what went wrong, so it counts byte by byte. A row is what makes a
member say it; rpc_steps.py reads the steps. docs/reference/errors.md is written from the rows:
`python3 tests/test_rpc_errors.py --write`.
"""
import os
import re
import sys
from collections import namedtuple

import pytest

import harness
from rpc_steps import Side

PAGE = os.path.join(harness.TOP, "docs", "reference", "errors.md")
Row = namedtuple("Row", "text code steps")

NEST = "success { request_put { key:'@a' } } " * 129
ROWS = [
    Row("etcdserver: key is not provided", "INVALID_ARGUMENT", ["Put"]),
    Row("etcdserver: key not found", "INVALID_ARGUMENT", ["Put key:'@none' ignore_value:true"]),
    Row("etcdserver: value is provided", "INVALID_ARGUMENT",
        ["Put key:'@a' value:'1' ignore_value:true"]),
    Row("etcdserver: lease is provided", "INVALID_ARGUMENT",
        ["Put key:'@a' lease:1 ignore_lease:true"]),
    Row("etcdserver: too many operations in txn request", "INVALID_ARGUMENT", ["Txn " + NEST]),
    Row("etcdserver: duplicate key given in txn request", "INVALID_ARGUMENT",
        ["Txn success { request_put { key:'@a' } } success { request_put { key:'@a' } }"]),
    Row("etcdserver: invalid sort option", "INVALID_ARGUMENT", ["Range key:'@a' sort_order:9"]),
    Row("etcdserver: mvcc: required revision is a future revision", "OUT_OF_RANGE",
        ["Range key:'@a' revision:999999999"]),
    Row("etcdserver: mvcc: required revision has been compacted", "OUT_OF_RANGE",
        ["Put key:'@a'", "Put key:'@a'", "Compact revision:^2", "Range key:'@a' revision:^1"]),
    Row("etcdserver: requested lease not found", "NOT_FOUND", ["Put key:'@a' lease:123456"]),
    Row("etcdserver: lease already exists", "FAILED_PRECONDITION",
        ["LeaseGrant ID:1 TTL:100", "LeaseGrant ID:1 TTL:100"]),
    Row("etcdserver: too large lease TTL", "OUT_OF_RANGE", ["LeaseGrant ID:2 TTL:9000000001"]),
    Row("etcdserver: request is too large", "INVALID_ARGUMENT",
        [f"Put key:'@a' value:'{'v' * 1600000}'"]),
]
# Of Auth; authentication stays on from where the rows enable it.
PLAIN_AUTH = [
    Row("etcdserver: authentication is not enabled", "FAILED_PRECONDITION",
        ["Authenticate name:'root' password:'pw'"]),
    Row("etcdserver: root user does not exist", "FAILED_PRECONDITION", ["AuthEnable"]),
    Row("etcdserver: root user does not have root role", "FAILED_PRECONDITION",
        ["UserAdd name:'root' password:'pw'", "AuthEnable"]),
    Row("etcdserver: user name is empty", "INVALID_ARGUMENT", ["UserAdd password:'pw'"]),
    Row("etcdserver: user name already exists", "FAILED_PRECONDITION",
        ["UserAdd name:'root' password:'pw'"]),
    Row("etcdserver: user name not found", "FAILED_PRECONDITION", ["UserGet name:'none'"]),
    Row("etcdserver: role name is empty", "INVALID_ARGUMENT", ["RoleAdd"]),
    Row("etcdserver: role name already exists", "FAILED_PRECONDITION",
        ["RoleAdd name:'r'", "RoleAdd name:'r'"]),
    Row("etcdserver: role name not found", "FAILED_PRECONDITION", ["RoleGet role:'none'"]),
    Row("etcdserver: role is not granted to the user", "FAILED_PRECONDITION",
        ["UserRevokeRole name:'root' role:'r'"]),
    Row("etcdserver: permission not given", "INVALID_ARGUMENT",
        ["RoleGrantPermission name:'r'"]),
    Row("etcdserver: permission is not granted to the role", "FAILED_PRECONDITION",
        ["RoleRevokePermission role:'r' key:'a'"]),
]
WITH_AUTH = [
    Row("etcdserver: authentication failed, invalid user ID or password", "INVALID_ARGUMENT",
        ["RoleAdd name:'root'", "UserGrantRole user:'root' role:'root'",
         "UserAdd name:'alice' password:'pw'",
         "UserAdd name:'bob' options { no_password:true }", "AuthEnable",
         "Authenticate name:'root' password:'wrong'"]),
    Row("auth: authentication failed, password was given for no password user", "UNKNOWN",
        ["Authenticate name:'bob' password:'pw'"]),
    Row("etcdserver: invalid auth token", "UNAUTHENTICATED", ["meta token=none", "Range key:'@a'"]),
    Row("etcdserver: permission denied", "PERMISSION_DENIED",
        ["login alice pw", "Range key:'@a'"]),
    Row("etcdserver: invalid auth management", "INVALID_ARGUMENT",
        ["login root pw", "UserDelete name:'root'"]),
]
# Of members that are alone: two of three have ended.
WITHOUT_QUORUM = [
    Row("etcdserver: no leader", "UNAVAILABLE", ["meta hasleader=true", "Range key:'@a'"]),
]


def page_text():
    lines = [
        "# Errors", "",
        "Clients of etcd find out by the text of an error what went wrong, some by its code. These",
        "are etcd's; each row is a test that gets it from a member (`make test T=rpc_errors`).", "",
        "| text | code of gRPC | for instance |", "| --- | --- | --- |"]
    for row in ROWS + PLAIN_AUTH + WITH_AUTH + WITHOUT_QUORUM:
        step = re.sub(r"('[^']{20})[^']*'", r"\1…'", row.steps[-1]).replace("@", "")
        step = step[:90] + ("…" if len(step) > 90 else "")
        lines.append(f"| `{row.text}` | {row.code} | `{step}` |")
    lines += ["", "Written by `python3 tests/test_rpc_errors.py --write` from its rows; do not",
              "edit it here.", ""]
    return "\n".join(lines)


def holds(side, name, row, begin=0):
    side.metadata = []
    lines = side.run(name, row.steps, 0, begin)
    assert any(line.endswith(f" -> {row.code}: {row.text}") for line in lines), "\n".join(lines)


@pytest.fixture(name="side", scope="module")
def one_member(lasting_cluster):
    side = Side(lasting_cluster(1))
    yield side
    side.close()


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.text for row in ROWS])
def test_rpc_errors_are_etcds(side, number):
    side.metadata = []
    holds(side, f"error-{number}", ROWS[number], side.revision(0))


def test_rpc_errors_of_users_are_etcds(start_cluster):
    side = Side(start_cluster(1, flags=["--bcrypt-cost", "4"]))
    for row in PLAIN_AUTH + WITH_AUTH:
        holds(side, "error", row)
    side.close()


def test_rpc_errors_without_a_quorum(start_cluster):
    cluster = start_cluster(3)
    side = Side(cluster)
    for node in cluster.nodes[1:]:
        node.kill()
    harness.until(lambda: "no leader" in side.clients[0].call(
        "Range", "key: 'a'", [("hasleader", "true")], timeout=2).message,
                  "that it knows of no leader")
    for row in WITHOUT_QUORUM:
        holds(side, "error", row)
    side.close()


def test_rpc_errors_page_is_current():
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(), "run python3 tests/test_rpc_errors.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_rpc_errors.py --write")
    with open(PAGE, "w", encoding="utf-8") as out_file:
        out_file.write(page_text())
