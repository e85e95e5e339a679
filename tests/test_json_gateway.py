# SPDX-License-Identifier: Apache-2.0
"""etcd's JSON gateway under /v3: the same requests to etcd and to Oakum, and what of it only Oakum
promises. docs/reference/json-gateway.md is held to what is served."""
import base64
import http.client
import json
import os
import re
import socket

import pytest

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "json-gateway.md")


def b64(text):
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def ask(node, path, body, headers=None, method="POST"):
    """Gives the status and the answer: JSON, or a list of it for lines, or a text."""
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    status, _, answer = node.http(method, path, body, headers=headers, timeout=30)
    try:
        return status, json.loads(answer)
    except ValueError:
        return status, answer.decode()


def plain(answer):
    """Without what two clusters never have in common."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items()
                if key not in ("cluster_id", "member_id", "raft_term")}
    if isinstance(answer, list):
        return [plain(each) for each in answer]
    return answer


# -- the same to both -----------------------------------------------------------------------------

K, V = b64("gw/k"), b64("v")
KV = [
    ("put", "kv/put", {"key": K, "value": V}),
    ("put again with the one before", "kv/put", {"key": K, "value": b64("w"), "prev_kv": True}),
    ("put in camel case", "kv/put", {"key": K, "value": V, "prevKv": True}),
    ("put without a key", "kv/put", {"value": V}),
    ("put of nothing", "kv/put", ""),
    ("put by numbers as strings", "kv/put", {"key": K, "lease": "0"}),
    ("put with a lease that is none", "kv/put", {"key": K, "lease": "77"}),
    ("put ignoring a value that is given", "kv/put", {"key": K, "value": V, "ignore_value": True}),
    ("put of bytes", "kv/put", {"key": b64("gw/raw"), "value": b64(bytes(range(256)))}),
    ("range", "kv/range", {"key": K}),
    ("range with what nobody knows", "kv/range", {"key": K, "bogus": [{"a": None}], "x": 1}),
    ("range with space and more behind it", "kv/range", '\n {"key":"' + K + '"} {"key": 7'),
    ("range of a prefix, sorted", "kv/range", {"key": b64("gw/"), "range_end": b64("gw0"),
                                               "sort_order": "DESCEND", "sort_target": "KEY"}),
    ("range sorted by numbers", "kv/range", {"key": b64("gw/"), "rangeEnd": b64("gw0"),
                                             "sortOrder": 2, "sortTarget": 3, "limit": "1"}),
    ("range by a number for 64 bits", "kv/range", {"key": K, "limit": 1, "revision": 2}),
    ("range of nothing", "kv/range", {"key": b64("gw/none")}),
    ("range with keys only", "kv/range", {"key": K, "keys_only": True}),
    ("range with the count only", "kv/range", {"key": K, "count_only": True}),
    ("range that is serializable", "kv/range", {"key": K, "serializable": True}),
    ("range with null for a field", "kv/range", {"key": K, "limit": None}),
    ("range of the future", "kv/range", {"key": K, "revision": 1000000}),
    ("txn", "kv/txn", {"compare": [{"target": "VALUE", "key": K, "value": b64("x")}],
                       "success": [], "failure": [{"request_range": {"key": K}}]}),
    ("txn that succeeds", "kv/txn", {
        "compare": [{"result": "GREATER", "target": "CREATE", "key": K, "create_revision": "0"}],
        "success": [{"requestPut": {"key": b64("gw/t"), "value": V}},
                    {"request_delete_range": {"key": b64("gw/raw"), "prev_kv": True}},
                    {"request_range": {"key": K}}]}),
    ("txn of nothing", "kv/txn", {}),
    ("txn with a key twice", "kv/txn", {"success": [{"request_put": {"key": K}},
                                                    {"request_put": {"key": K}}]}),
    ("txn within a txn", "kv/txn", {"success": [{"request_txn": {"success": [
        {"request_put": {"key": K, "value": V}}]}}]}),
    ("delete", "kv/deleterange", {"key": b64("gw/t"), "prev_kv": True}),
    ("delete of nothing", "kv/deleterange", {"key": b64("gw/t")}),
    ("delete from a key on", "kv/deleterange", {"key": b64("gw/r"), "range_end": "AA=="}),
    ("compaction", "kv/compaction", {"revision": "3", "physical": True}),
    ("compaction again", "kv/compaction", {"revision": "3"}),
    ("compaction of the future", "kv/compaction", {"revision": "1000000"}),
    ("range of what was compacted", "kv/range", {"key": K, "revision": "2"}),
    ("a deadline that is none", "kv/range", {"key": K}, {"Grpc-Timeout": "bad"}),
    ("a deadline of nothing", "kv/range", {"key": K}, {"Grpc-Timeout": "0n"}),
    ("a deadline", "kv/range", {"key": K}, {"Grpc-Timeout": "20S"}),
    ("metadata", "kv/range", {"key": K}, {"Grpc-Metadata-hasleader": "true"}),
]
LEASE = [
    ("revoke of no lease", "lease/revoke", {"ID": "77"}),
    ("revoke by the other path", "kv/lease/revoke", {"ID": 77}),
    ("grant", "lease/grant", {"ID": "1234", "TTL": 100000}),
    ("grant again", "lease/grant", {"ID": 1234, "TTL": "100000"}),
    ("put with it", "kv/put", {"key": b64("gw/l"), "value": V, "lease": "1234"}),
    ("leases", "lease/leases", {}),
    ("leases by the other path", "kv/lease/leases", {}),
    ("revoke", "lease/revoke", {"ID": "1234"}),
]
AUTH = [
    ("a user", "auth/user/add", {"name": "gw", "password": "p"}),
    ("it again", "auth/user/add", {"name": "gw", "password": "p"}),
    ("users", "auth/user/list", {}),
    ("a role", "auth/role/add", {"name": "gw"}),
    ("a permission", "auth/role/grant", {"name": "gw", "perm": {"permType": "READ", "key": K}}),
    ("the role", "auth/role/get", {"role": "gw"}),
    ("no such user", "auth/user/get", {"name": "nobody"}),
]
# The lease is 0x4d2, so these keys end in it.
LOCK = [
    ("a lease", "lease/grant", {"ID": "1234", "TTL": "1000"}),
    ("lock", "lock/lock", {"name": b64("gw/lock"), "lease": "1234"}),
    ("lock by its holder", "lock/lock", {"name": b64("gw/lock"), "lease": 1234}),
    ("its key", "kv/range", {"key": b64("gw/lock/4d2")}),
    ("unlock", "lock/unlock", {"key": b64("gw/lock/4d2")}),
    ("unlock of nothing", "lock/unlock", {"key": b64("gw/lock/4d2")}),
    ("nobody leads", "election/leader", {"name": b64("gw/e")}),
    ("campaign", "election/campaign", {"name": b64("gw/e"), "lease": "1234", "value": V}),
    ("who leads", "election/leader", {"name": b64("gw/e")}),
    ("proclaim by one that never led", "election/proclaim", {
        "leader": {"name": b64("gw/e"), "key": b64("gw/e/4d2"), "rev": "1", "lease": "1234"},
        "value": V}),
    ("proclaim without the leader", "election/proclaim", {"value": V}),
    ("resign without the leader", "election/resign", ""),
    ("resign by one that never led", "election/resign", {
        "leader": {"name": b64("gw/e"), "key": b64("gw/e/4d2"), "rev": "1", "lease": "1234"}}),
    ("who leads still", "election/leader", {"name": b64("gw/e")}),
    ("revoke", "lease/revoke", {"ID": "1234"}),
    ("nobody leads any more", "election/leader", {"name": b64("gw/e")}),
]

# name, path, body, the page's row: etcd, Oakum; method.
DIFFERENCES = [
    ("a body that is no JSON", "kv/range", '{"key":', "says so in the words of Go's library",
     "says so in its own; status and code are the same"),
    ("null for a message", "kv/put", "null", "takes it for one without fields",
     "refuses it: 400"),
    ("a field given twice", "kv/range", '{"key":"' + K + '","key":"' + V + '"}', "takes the last",
     "refuses it: 400, as etcd 3.6"),
    ("base64 as in URLs, or not padded", "kv/range", '{"key":"__79"}', "refuses it",
     "takes it, as etcd 3.6"),
    ("a stream whose first message is no JSON", "lease/keepalive", '{"ID":', "500, code 2",
     "400, code 3"),
    ("a stream with a message that is no JSON behind others", "lease/keepalive",
     '{"ID":"1"} {"ID":', "takes it for the end of the body",
     "ends the call: a line with code 3"),
    ("FailedPrecondition", "auth/enable", "{}", "412", "400, as etcd 3.6"),
    ("a path that is none", "kv/none", "{}", "a text",
     "JSON, as etcd 3.6; the status is the same"),
    ("a lease that is none, for a lock", "lock/lock", {"name": K, "lease": "77"}, "500, code 2",
     "404, code 5, as for a put"),
    ("another method than POST", "kv/range", "", "a text", "JSON; the status is the same"),
]


@pytest.fixture(name="both", scope="module")
def both_members(lasting_cluster, etcd_bin):
    return [lasting_cluster(1, etcd_bin).nodes[0], lasting_cluster(1).nodes[0]]


def is_missing(answer):
    """Is it that of a method which is not served?"""
    status, body = answer
    return status == 501 and re.fullmatch(r"unknown (method \w+ for )?service [\w.]+",
                                          body["message"])


@pytest.mark.parametrize("cases", [KV, LEASE, AUTH, LOCK], ids=["kv", "lease", "auth", "lock"])
def test_gateway_answers_as_etcd(both, cases):
    """One after the other: what one writes the next one reads."""
    for name, path, body, *headers in cases:
        etcd, ours = (ask(node, "/v3/" + path, body, *headers) for node in both)
        status = 400 if etcd[0] == 412 else etcd[0]  # see DIFFERENCES
        assert (status, plain(etcd[1])) == (ours[0], plain(ours[1])), name


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case[0])
def test_gateway_differs_from_etcd_where_it_says(both, case):
    name, path, body, *row = case
    method = "GET" if name.startswith("another method") else "POST"
    etcd, ours = (ask(node, "/v3/" + path, body, method=method) for node in both)
    if not is_missing(ours):
        assert (etcd[0], plain(etcd[1])) != (ours[0], plain(ours[1]))
        assert ours[0] in (200, 400, 404, 405)
    if "status is the same" in row[1] or "status and code are the same" in row[1]:
        assert etcd[0] == ours[0]
    with open(PAGE, encoding="utf-8") as page:
        assert f"| {name} | {row[0]} | {row[1]} |\n" in page.read()


def test_gateway_page_tells_of_all_differences():
    with open(PAGE, encoding="utf-8") as page:
        table = page.read().split("| what | etcd 3.4 | Oakum |\n")[1]
    assert len(re.findall(r"^\| (?!---)", table, re.M)) == len(DIFFERENCES)


# -- streams --------------------------------------------------------------------------------------

class Stream:
    """An answer of lines, as it comes."""

    def __init__(self, node, path, body):
        self.connection = http.client.HTTPConnection(node.endpoint, timeout=30)
        self.connection.request("POST", path, body.encode())
        self.answer = self.connection.getresponse()

    def line(self):
        """The next one; None at the end."""
        text = self.answer.readline()
        return plain(json.loads(text)) if text else None

    def events(self, count):
        """So many changes, whatever lines they come in, as (type, key, value)."""
        found = []
        while len(found) < count:
            found += [(each.get("type", "PUT"), each["kv"], each.get("prev_kv"))
                      for each in self.line()["result"].get("events", [])]
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()


def test_gateway_watches_as_etcd(both):
    said = []
    for node in both:
        put = {"key": b64("watched"), "value": b64("1")}
        first = int(ask(node, "/v3/kv/put", put)[1]["header"]["revision"])
        create = {"key": b64("watched"), "start_revision": first, "prev_kv": True}
        with Stream(node, "/v3/watch", json.dumps({"create_request": create})) as watch:
            lines = [watch.answer.status, watch.line()["result"].get("created")]
            lines += watch.events(1)
            assert ask(node, "/v3/kv/put", {**put, "value": b64("2")})[0] == 200
            assert ask(node, "/v3/kv/put", {"key": b64("not watched")})[0] == 200
            assert ask(node, "/v3/kv/deleterange", {"key": b64("watched")})[0] == 200
            lines += watch.events(2)
        both_requests = (json.dumps({"create_request": create}) +
                         json.dumps({"cancel_request": {"watch_id": "0"}}))
        with Stream(node, "/v3/watch", both_requests) as watch:
            result = watch.line()["result"]
            lines.append(result.get("created"))
            while "canceled" not in result:
                result = watch.line()["result"]
            lines.append(result.get("canceled"))
        for each in lines:
            if isinstance(each, tuple):
                for kv in filter(None, each[1:]):
                    for name in ("create_revision", "mod_revision"):
                        if name in kv:
                            kv[name] = int(kv[name]) - first
        said.append(lines)
    assert said[0] == said[1]
    assert len(said[1]) == 7


def test_gateway_keeps_leases_alive_as_etcd(both):
    said = []
    for node in both:
        assert ask(node, "/v3/lease/grant", {"ID": "4321", "TTL": "100000"})[0] == 200
        with Stream(node, "/v3/lease/keepalive", '{"ID":"4321"} {"ID":5}\n{"ID":4321}') as stream:
            lines = []
            while (line := stream.line()) is not None:
                line["result"].pop("header")
                lines.append(line)
        assert ask(node, "/v3/lease/revoke", {"ID": "4321"})[0] == 200
        said.append(lines)
    assert said[0] == said[1]
    assert [each["result"]["ID"] for each in said[1]] == ["4321", "5", "4321"]


def test_gateway_observes_as_etcd(both):
    said = []
    for node in both:
        assert ask(node, "/v3/lease/grant", {"ID": "4322", "TTL": "100000"})[0] == 200
        wish = {"name": b64("observed"), "lease": "4322", "value": b64("1")}
        leader = ask(node, "/v3/election/campaign", wish)[1]["leader"]
        first = int(leader["rev"])
        with Stream(node, "/v3/election/observe", json.dumps({"name": wish["name"]})) as stream:
            lines = [stream.line()["result"]]
            for value in "23":
                text = {"leader": leader, "value": b64(value)}
                assert ask(node, "/v3/election/proclaim", text)[0] == 200
                lines.append(stream.line()["result"])
            assert ask(node, "/v3/lease/revoke", {"ID": "4322"})[0] == 200
        for line in lines:
            for part, name in (("header", "revision"), ("kv", "create_revision"),
                               ("kv", "mod_revision")):
                line[part][name] = int(line[part][name]) - first
        said.append(lines)
    assert said[0] == said[1]
    assert [each["kv"]["value"] for each in said[1]] == [b64(value) for value in "123"]


def test_gateway_takes_the_key_of_a_client_that_waits_no_more(start_cluster):
    node = start_cluster(1).nodes[0]
    assert ask(node, "/v3/lease/grant", {"ID": "1", "TTL": "1000"})[0] == 200
    assert ask(node, "/v3/lease/grant", {"ID": "2", "TTL": "1000"})[0] == 200
    assert ask(node, "/v3/lock/lock", {"name": b64("l"), "lease": "1"})[0] == 200

    def keys():
        kvs = ask(node, "/v3/kv/range", {"key": b64("l/"), "range_end": b64("l0")})[1]["kvs"]
        return [each["key"] for each in kvs]
    connection = http.client.HTTPConnection(node.endpoint, timeout=30)
    connection.request("POST", "/v3/lock/lock", json.dumps({"name": b64("l"), "lease": "2"}))
    harness.until(lambda: keys() == [b64("l/1"), b64("l/2")], "the second waits")
    connection.close()
    harness.until(lambda: keys() == [b64("l/1")], "its key goes with its client")


def test_gateway_ends_the_watch_of_a_client_that_goes(start_cluster):
    node = start_cluster(1).nodes[0]
    with Stream(node, "/v3/watch", '{"create_request":{"key":"YQ=="}}') as watch:
        assert watch.line()["result"]["created"] is True
        assert node.metrics()["oakum_gateway_calls"] == 1
    harness.until(lambda: node.metrics()["oakum_gateway_calls"] == 0, "the watch's end")
    assert node.metrics()["oakum_gateway_abandoned_total"] == 1
    assert node.metrics()['oakum_gateway_handled_total{grpc_code="Canceled"}'] == 1
    # One that is open when the member is told to stop keeps it from nothing.
    with Stream(node, "/v3/watch", '{"create_request":{"key":"YQ=="}}') as watch:
        assert watch.line()["result"]["created"] is True
        assert node.stop() == 0


def test_gateway_streams_many_changes_to_a_slow_reader(start_cluster):
    """Back-pressure, and all of it in order."""
    node = start_cluster(1).nodes[0]
    value = b64(b"z" * 100000)
    first = int(ask(node, "/v3/kv/put", {"key": b64("slow")})[1]["header"]["revision"])
    with Stream(node, "/v3/watch", '{"create_request":{"key":"' + b64("slow") + '"}}') as watch:
        assert watch.line()["result"]["created"] is True
        for _ in range(200):
            assert ask(node, "/v3/kv/put", {"key": b64("slow"), "value": value})[0] == 200
        revisions = [int(event[1]["mod_revision"]) for event in watch.events(200)]
    assert revisions == list(range(first + 1, first + 201))


# -- Oakum alone ----------------------------------------------------------------------------------

@pytest.fixture(name="three", scope="module")
def three_members(lasting_cluster):
    return lasting_cluster(3)


def test_gateway_writes_on_one_member_and_reads_on_all(three):
    status, answer = ask(three.nodes[0], "/v3/kv/put", {"key": b64("a"), "value": b64("1")})
    assert status == 200
    revision = answer["header"]["revision"]
    for node in three.nodes:
        status, answer = ask(node, "/v3beta/kv/range", {"key": b64("a")})
        assert status == 200
        assert answer["kvs"] == [{"key": b64("a"), "create_revision": revision,
                                  "mod_revision": revision, "version": "1", "value": b64("1")}]


def test_gateway_lists_members_and_tells_of_one(three):
    def all_named():
        status, answer = ask(three.nodes[1], "/v3/cluster/member/list", "")
        assert status == 200 and len(answer["members"]) == 3
        return {each.get("name") for each in answer["members"]} == {n.name for n in three.nodes}
    harness.until(all_named, "the names of all members")
    status, answer = ask(three.nodes[1], "/v3/maintenance/status", "{}")
    assert status == 200 and answer["version"].startswith("3.6")


def test_gateway_refuses_messages_and_bodies_that_are_too_large(three):
    node = three.nodes[0]
    status, answer = ask(node, "/v3/kv/put", {"key": b64("a"), "value": b64(b"x" * 1600000)})
    assert (status, answer["message"]) == (400, "etcdserver: request is too large")
    status, answer = ask(node, "/v3/kv/put", {"key": b64("a"), "value": b64(b"x" * 2200000)})
    assert status == 429 and answer["code"] == 8
    assert re.fullmatch(r"grpc: received message larger than max \(\d+ vs\. \d+\)",
                        answer["message"])


def test_gateway_answers_a_large_range_whole(three):
    node = three.nodes[0]
    value = b64(b"y" * 1000000)
    for i in range(4):
        assert ask(node, "/v3/kv/put", {"key": b64(f"large/{i}"), "value": value})[0] == 200
    status, answer = ask(node, "/v3/kv/range", {"key": b64("large/"), "range_end": b64("large0")})
    assert status == 200 and [kv["value"] for kv in answer["kvs"]] == [value] * 4


def users(node, said):
    """Users of two kinds, and what they may; each answer goes to `said`."""
    def say(path, body, headers=None):
        status, answer = ask(node, "/v3/" + path, body, headers)
        kept = plain(answer)
        kept.pop("token", None)
        said.append((400 if status == 412 else status, kept))  # see DIFFERENCES
        return answer

    say("auth/user/add", {"name": "root", "password": "r"})
    say("auth/user/grant", {"user": "root", "role": "root"})
    say("auth/user/add", {"name": "some", "password": "s"})
    say("auth/role/add", {"name": "some"})
    say("auth/role/grant", {"name": "some",
                            "perm": {"permType": "READWRITE", "key": b64("mine")}})
    say("auth/user/grant", {"user": "some", "role": "some"})
    say("auth/enable", {})
    root = say("auth/authenticate", {"name": "root", "password": "r"})["token"]
    token = say("auth/authenticate", {"name": "some", "password": "s"})["token"]
    say("auth/authenticate", {"name": "some", "password": "x"})
    for headers in ({}, {"Authorization": token}, {"Grpc-Metadata-Token": token},
                    {"Authorization": "none such"}):
        for key in ("mine", "not mine"):
            say("kv/put", {"key": b64(key)}, headers)
    bearer = ask(node, "/v3/kv/range", {"key": b64("mine")}, {"Authorization": "Bearer " + token})
    say("auth/disable", {}, {"Authorization": root})
    return bearer[0]


def test_gateway_knows_its_users_by_their_tokens(both):
    said = [[], []]
    assert [users(*each) for each in zip(both, said)][1] == 200
    assert said[0] == said[1]
    assert [status for status, _ in said[1]][-10:] == [400, 400, 400, 200, 403, 200, 403, 401,
                                                       401, 200]


def test_gateway_can_be_left_out(start_cluster):
    node = start_cluster(1, flags=["--enable-grpc-gateway=false"]).nodes[0]
    assert node.http("POST", "/v3/kv/range", b"{}")[0] == 404
    assert node.metrics()["oakum_gateway_started_total"] == 0


def test_gateway_has_the_kernel_look_for_clients_that_are_gone(three):
    """A watch without events sends nothing, for days: the timer of its socket says keepalive."""
    port = int(three.nodes[0].endpoint.split(":")[1])
    with socket.create_connection(("127.0.0.1", port)) as wire:
        ours = wire.getsockname()[1]

        def timer():
            with open("/proc/net/tcp", encoding="ascii") as table:
                for line in table:
                    words = line.split()
                    if words[1].endswith(f":{port:04X}") and words[2].endswith(f":{ours:04X}"):
                        return words[5].split(":")[0]
            return None
        wire.sendall(b"GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")
        harness.until(lambda: timer() == "02", "its timer")


def test_gateway_counts_what_happens(start_cluster):
    node = start_cluster(1).nodes[0]
    ask(node, "/v3/kv/put", {"key": K, "value": V})
    ask(node, "/v3/kv/range", {"key": K, "revision": 100})
    ask(node, "/v3/kv/range", "{")
    ask(node, "/v3/none", "{}")
    metrics = node.metrics()
    assert metrics["oakum_gateway_started_total"] == 2
    assert metrics["oakum_gateway_refused_total"] == 2
    assert metrics["oakum_gateway_calls"] == 0
    assert metrics['oakum_gateway_handled_total{grpc_code="OK"}'] == 1
    assert metrics['oakum_gateway_handled_total{grpc_code="OutOfRange"}'] == 1
    assert metrics["oakum_gateway_msg_received_total"] == 2
    assert metrics["oakum_gateway_msg_sent_total"] == 1


def test_gateway_page_shows_what_is_served(start_cluster):
    """Its examples, and each of its paths."""
    node = start_cluster(1).nodes[0]
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    examples = re.findall(r"^    POST (\S+) (\{.*\})\n    (\d+) (.*)$", text, re.M)
    assert len(examples) == 3
    for path, body, status, wanted in examples:
        got, _, answer = node.http("POST", path, body.encode())
        assert got == int(status), answer
        pattern = re.escape(wanted).replace(r"\.\.\.", ".*")
        assert re.fullmatch(pattern, answer.decode()), answer
    paths = set()
    for line in re.findall(r"^\| (.*) \| [A-Z]\w+ \|$", text.split("| service |\n")[1]
                           .split("\n\n")[0], re.M):
        for part in line.split("; "):
            names = re.findall(r"`([^`]+)`", part)
            base = names.pop(0) if " with " in part else ""
            paths |= {base + name for name in names}
    assert len(paths) == 51
    for path in sorted(paths):
        status = node.http("GET", "/v3/" + path)[0]
        assert status == 405, path
