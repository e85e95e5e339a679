# SPDX-License-Identifier: Apache-2.0
"""Every error text of etcd's API, with its code, from a member over gRPC.

Clients find out by the text what went wrong, so it counts byte by byte. A row is what makes a
member say it; rpc_steps.py reads the steps, of which one has to get it. What no request gets is in
UNSAID, with the reason. Both together are etcd's texts in include/oakum/errors.def, all of them.
docs/reference/errors.md is written from here: `python3 tests/test_rpc_errors.py --write`.
"""
import concurrent.futures
import os
import re
import sys
from collections import namedtuple

import grpc
import pytest

import harness
import rpc_client
from rpc_steps import Side

PAGE = os.path.join(harness.TOP, "docs", "reference", "errors.md")
TABLE = os.path.join(harness.TOP, "include", "oakum", "errors.def")
# steps: the last one gets it; then come those of `after`, which take back what was done for it.
Row = namedtuple("Row", "text code steps after", defaults=[()])
# Some that take more than steps; `how` is for the page.
Scene = namedtuple("Scene", "text code how")
Unsaid = namedtuple("Unsaid", "text why")


def alarm(kind, action):
    return f"Alarm action:{action} memberID:$n1 alarm:{kind}"


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
    Row("election: no leader", "UNKNOWN", ["Leader name:'@e'"]),
    Row("election: not leader", "UNKNOWN",
        ["Proclaim leader { key:'@e/1' rev:1 lease:1 } value:'v'"]),
    Row("\"leader\" field must be provided", "UNKNOWN", ["Resign"]),
    Row("etcdserver: mvcc: database space exceeded", "RESOURCE_EXHAUSTED",
        [alarm("NOSPACE", "ACTIVATE"), "Put key:'@a'"], [alarm("NOSPACE", "DEACTIVATE")]),
    Row("etcdserver: corrupt cluster", "DATA_LOSS",
        [alarm("CORRUPT", "ACTIVATE"), "Put key:'@a'"], [alarm("CORRUPT", "DEACTIVATE")]),
    Row("etcdserver: given member URLs are invalid", "INVALID_ARGUMENT",
        ["MemberUpdate ID:$n1 peerURLs:'nonsense'"]),
    Row("etcdserver: Peer URLs already exists", "FAILED_PRECONDITION",
        ["MemberAdd peerURLs:'$p1' isLearner:true"]),
    Row("etcdserver: member not found", "NOT_FOUND", ["MemberRemove ID:12345"]),
    Row("etcdserver: can only promote a learner member", "FAILED_PRECONDITION",
        ["MemberPromote ID:$n1"]),
    Row("etcdserver: can only promote a learner member which is in sync with leader",
        "FAILED_PRECONDITION", ["MemberAdd peerURLs:'$u1' isLearner:true", "MemberPromote ID:$a1"],
        ["MemberRemove ID:$a1"]),
    Row("etcdserver: too many learner members in cluster", "FAILED_PRECONDITION",
        ["MemberAdd peerURLs:'$u1' isLearner:true", "MemberAdd peerURLs:'$u2' isLearner:true"],
        ["MemberRemove ID:$a1"]),
    Row("etcdserver: re-configuration failed due to not enough started members",
        "FAILED_PRECONDITION", ["MemberRemove ID:$n1"]),
    Row("etcdserver: bad leader transferee", "FAILED_PRECONDITION", ["MoveLeader targetID:12345"]),
    Row("etcdserver: wrong downgrade target version format", "INVALID_ARGUMENT",
        ["Downgrade action:VALIDATE version:'nonsense'"]),
    Row("etcdserver: invalid downgrade target version", "INVALID_ARGUMENT",
        ["Downgrade action:VALIDATE version:'$above'"]),
    Row("etcdserver: cluster has a downgrade job in progress", "FAILED_PRECONDITION",
        ["Downgrade action:ENABLE version:'$below'", "Downgrade action:ENABLE version:'$below'"],
        ["Downgrade action:CANCEL"]),
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
    Row("bcrypt: password length exceeds 72 bytes", "INVALID_ARGUMENT",
        [f"UserAdd name:'long' password:'{'p' * 73}'"]),
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
# Of a member whose tokens are web tokens, which name the revision of users and roles.
WEB_TOKENS = [
    Row("etcdserver: revision of auth store is old", "INVALID_ARGUMENT",
        ["UserAdd name:'root' password:'pw'", "UserGrantRole user:'root' role:'root'",
         "AuthEnable", "login root pw", "UserAdd name:'new' password:'pw'", "UserList"]),
]
# Of members that are alone: two of three have ended.
WITHOUT_QUORUM = [
    Row("etcdserver: no leader", "UNAVAILABLE", ["meta hasleader=true", "Range key:'@a'"]),
]
SCENES = [
    Scene("etcdserver: member ID already exist", "FAILED_PRECONDITION",
          "the same MemberAdd twice within a second"),
    Scene("etcdserver: not leader", "FAILED_PRECONDITION", "MoveLeader, to a follower"),
    Scene("etcdserver: rpc not supported for learner", "FAILED_PRECONDITION", "Put, to a learner"),
    Scene("etcdserver: unhealthy cluster", "UNAVAILABLE",
          "MemberAdd while one of three members is away"),
    Scene("etcdserver: too many requests", "RESOURCE_EXHAUSTED",
          "changes of the members without a leader, more than may wait"),
    Scene("etcdserver: request timed out", "UNAVAILABLE", "MemberRemove without a leader"),
    Scene("etcdserver: request timed out, possibly due to previous leader failure", "UNAVAILABLE",
          "Range without a leader"),
    Scene("etcdserver: request timed out, possibly due to connection lost", "UNAVAILABLE",
          "Put on a follower whose leader ends meanwhile"),
    Scene("etcdserver: leader changed", "UNAVAILABLE",
          "Put on a leader that is cut off, and another one leads"),
    Scene("etcdserver: server stopped", "UNAVAILABLE", "Watch, when the member is told to stop"),
    Scene("mutex: session is expired", "UNKNOWN", "Lock, whose lease ends while it waits"),
]
UNSAID = [
    Unsaid("etcdserver: invalid client api version",
           "the version that a client says is not looked at"),
    Unsaid("etcdserver: watch canceled",
           "etcd gives it to a stream whose client has gone; nobody reads it"),
    Unsaid("etcdserver: cluster ID mismatch", "members alone are told, at the peer port"),
    Unsaid("etcdserver: not capable", "everything is served from the first start on"),
    Unsaid("etcdserver: request timed out, waiting for the applied index took too long",
           "nothing waits so: a read that has to wait is told that its request timed out"),
    Unsaid("etcdserver: cluster version not found during downgrade",
           "a member knows the version of its cluster from the first start on"),
    Unsaid("etcdserver: no inflight downgrade job",
           "cancelling what is not there is no error, as in etcd"),
    Unsaid("etcdserver: request canceled", "the client has gone that would read it"),
    Unsaid("etcdserver: context deadline exceeded",
           "a client's own deadline ends its call before: DEADLINE_EXCEEDED without this text"),
]


STEPPED = ROWS + PLAIN_AUTH + WITH_AUTH + WEB_TOKENS + WITHOUT_QUORUM


def page_text():
    lines = [
        "# Errors", "",
        "Clients of etcd find out by the text of an error what went wrong, some by its code. These",
        "are etcd's; each row is a test that gets it from a member (`make test T=rpc_errors`).", "",
        "| text | code of gRPC | for instance |", "| --- | --- | --- |"]
    for row in STEPPED:
        step = re.sub(r"('[^']{20})[^']*'", r"\1…'", row.steps[-1]).replace("@", "")
        step = step[:90] + ("…" if len(step) > 90 else "")
        lines.append(f"| `{row.text}` | {row.code} | `{step}` |")
    lines += [f"| `{scene.text}` | {scene.code} | {scene.how} |" for scene in SCENES]
    lines += ["", "These are etcd's as well, and no request gets them:", "",
              "| text | why |", "| --- | --- |"]
    lines += [f"| `{row.text}` | {row.why} |" for row in UNSAID]
    lines += ["", "Written by `python3 tests/test_rpc_errors.py --write` from its rows; do not",
              "edit it here.", ""]
    return "\n".join(lines)


def holds(side, name, row, begin=0, number=0):
    side.metadata = []
    lines = side.run(name, row.steps, 0, begin, number)
    assert any(line.endswith(f" -> {row.code}: {row.text}") for line in lines), "\n".join(lines)
    side.run(name, row.after, 0, begin, number)


def said(text, *answers):
    """One of them is this scene."""
    scene = next(each for each in SCENES if each.text == text)
    assert (scene.code, scene.text) in [(each.code, each.message) for each in answers], answers


@pytest.fixture(name="side", scope="module")
def one_member(lasting_cluster):
    side = Side(lasting_cluster(1))
    side.versions_learn()
    yield side
    side.close()


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row.text for row in ROWS])
def test_rpc_errors_are_etcds(side, number):
    side.metadata = []
    holds(side, f"error-{number}", ROWS[number], side.revision(0), number)


def test_rpc_errors_of_users_are_etcds(start_cluster):
    side = Side(start_cluster(1, flags=["--bcrypt-cost", "4"]))
    for row in PLAIN_AUTH + WITH_AUTH:
        holds(side, "error", row)
    side.close()


def test_rpc_errors_of_web_tokens_are_etcds(start_cluster, tmp_path):
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef")
    side = Side(start_cluster(1, flags=["--bcrypt-cost", "4", "--auth-token",
                                        f"jwt,sign-method=HS256,priv-key={key},ttl=10m"]))
    for row in WEB_TOKENS:
        holds(side, "error", row)
    side.close()


def test_rpc_errors_of_an_id_that_is_there(side):
    def twice():
        side.probes += 1
        text = f"isLearner: true peerURLs: 'http://127.0.0.3:{side.probes}'"
        first, again = (side.clients[0].call("MemberAdd", text) for _ in range(2))
        assert first.code == "OK"
        side.clients[0].call("MemberRemove", f"ID: {first.response.member.ID}")
        return again if "ID" in again.message else None
    # Not so when the second has turned in between.
    said("etcdserver: member ID already exist", harness.until(twice, "both within a second"))


def test_rpc_errors_of_a_learner(start_cluster):
    cluster = start_cluster(1)
    client = rpc_client.Client(cluster.nodes[0].endpoint)
    new = cluster.newcomer("n2")
    added = client.call("MemberAdd", f"isLearner: true peerURLs: '{new.peer_url}'")
    assert added.code == "OK"
    client.close()
    new.start()

    def refused():
        learner = rpc_client.Client(new.endpoint)
        answer = learner.call("Put", "key: 'a'")
        stream = learner.download("RangeStream", "key: 'a' serializable: true")
        plain = learner.call("Range", "key: 'a' serializable: true")
        learner.close()
        return (answer, stream, plain) if "learner" in answer.message else None
    answer, stream, plain = harness.until(refused, "it serves, and knows what it is")
    said("etcdserver: rpc not supported for learner", answer)
    assert stream[:2] == answer[:2] and plain.code == "OK"


def test_rpc_errors_of_three(start_cluster):
    side = Side(start_cluster(3))
    side.lead(0)
    said("etcdserver: not leader",
         side.clients[1].call("MoveLeader", f"targetID: {side.ids['n1']}"))
    side.cluster.nodes[2].kill()

    def refused():
        answer = side.clients[0].call("MemberAdd", "peerURLs: 'http://127.0.0.3:1' isLearner: true")
        return answer if "unhealthy" in answer.message else None
    said("etcdserver: unhealthy cluster", harness.until(refused, "one is missed"))
    stream = side.clients[1].stream("Watch")
    stream.send("create_request { key: 'a' }")
    assert stream.receive().created
    side.cluster.nodes[1].stop()
    while stream.receive() is not None:
        pass
    said("etcdserver: server stopped", stream.status)
    side.close()


def asked(pool, client, name, text, count=1):
    """Answers that come later."""
    return [pool.submit(client.call, name, text) for _ in range(count)]


def test_rpc_errors_of_a_lease_that_ends_in_line(side):
    client = side.clients[0]
    for lease in (771, 772):
        assert client.call("LeaseGrant", f"ID: {lease} TTL: 60").code == "OK"
    assert client.call("Lock", "name: 'door' lease: 771").code == "OK"
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waits, = asked(pool, client, "Lock", "name: 'door' lease: 772")
        harness.until(lambda: client.call(
            "Range", "key: 'door/' range_end: 'door0'").response.count == 2, "both in line")
        assert client.call("LeaseRevoke", "ID: 772").code == "OK"
        answer = waits.result()
    said("mutex: session is expired", answer)
    assert client.call("LeaseRevoke", "ID: 771").code == "OK"


def test_rpc_errors_without_a_quorum(start_cluster):
    side = Side(start_cluster(3))
    for node in side.cluster.nodes[1:]:
        node.kill()
    harness.until(lambda: "no leader" in side.clients[0].call(
        "Range", "key: 'a'", [("hasleader", "true")], timeout=2).message,
                  "that it knows of no leader")
    for row in WITHOUT_QUORUM:
        holds(side, "error", row)
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        # OAK_MEMBER_CHANGES_MAX is 64.
        changes = asked(pool, side.clients[0], "MemberRemove", f"ID: {side.ids['n2']}", 80)
        reads = asked(pool, side.clients[0], "Range", "key: 'a'")
        answers = [each.result() for each in changes]
        said("etcdserver: too many requests", *answers)
        said("etcdserver: request timed out", *answers)
        said("etcdserver: request timed out, possibly due to previous leader failure",
             *[each.result() for each in reads])
    side.close()


def test_rpc_errors_of_leaders_that_go(start_cluster):
    slow = ["--heartbeat-interval", "500", "--election-timeout", "5000"]
    side = Side(start_cluster(3, flags=slow))
    side.lead(0)
    leader, follower = side.cluster.nodes[0], side.cluster.nodes[1]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        # Long before another one is elected.
        leader.pause()
        puts = asked(pool, side.clients[1], "Put", "key: 'a'")
        harness.until(lambda: follower.metrics().get("etcd_server_proposals_pending"), "it waits")
        leader.kill()
        said("etcdserver: request timed out, possibly due to connection lost",
             *[each.result() for each in puts])
    side.close()


def test_rpc_errors_of_a_leader_that_was_cut_off(start_cluster):
    side = Side(start_cluster(3))
    old, others = side.cluster.nodes[0], side.cluster.nodes[1:]

    def cut_off():
        """What a put gets; on a slow machine it may be over before another one leads."""
        side.lead(0)
        for node in others:
            node.kill()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            puts = asked(pool, side.clients[0], "Put", "key: 'a'")
            harness.until(lambda: old.metrics().get("etcd_server_proposals_pending"), "it waits")
            old.pause()
            for node in others:
                node.start()
            harness.until(lambda: all(
                each.response is not None and each.response.leader not in (0, int(side.ids["n1"]))
                for each in [client.call("Status") for client in side.clients[1:]]),
                          "another leads")
            old.resume()
            answer = puts[0].result()
        return answer if "changed" in answer.message else None
    said("etcdserver: leader changed", harness.until(cut_off, "it is told so"))
    side.close()


def test_rpc_errors_are_all_there_are():
    with open(TABLE, encoding="utf-8") as table:
        texts = re.findall(r'X\(\w+, \w+, (\d+),\s+"((?:\\.|[^"\\])+)"\)', table.read())
    texts = [(number, text.replace('\\"', '"')) for number, text in texts]
    texts = [row for row in texts if re.match("etcdserver: |auth: |bcrypt: |election: |mutex: |\"",
                                              row[1])]
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    unsaid = {row.text for row in UNSAID}
    told = {row.text: row.code for row in STEPPED + SCENES}
    assert {text: codes[int(number)] for number, text in texts if text not in unsaid} == told
    assert unsaid <= {text for _, text in texts} and not unsaid & set(told)
    assert len(told) == len(STEPPED + SCENES)
    with open(__file__, encoding="utf-8") as source:  # each scene has been played
        assert sorted(re.findall(r'^ +said\(\s*"([^"]+)"', source.read(), re.MULTILINE)) == \
            sorted(scene.text for scene in SCENES)


def test_rpc_errors_page_is_current():
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(), "run python3 tests/test_rpc_errors.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_rpc_errors.py --write")
    with open(PAGE, "w", encoding="utf-8") as out_file:
        out_file.write(page_text())
