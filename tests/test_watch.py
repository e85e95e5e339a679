# SPDX-License-Identifier: Apache-2.0
"""Watches on real members: restarts, floods, slow readers, progress, leaders that are lost, stops.

What etcd answers to single requests is compared in rpc_cases_watch.py; every event against a model
in src/watch/*_test.c."""
import re
import subprocess

import pytest
from google.protobuf import text_format

import harness
import rpc_client


@pytest.fixture(name="clients")
def clients_of():
    """Make clients that end with the test."""
    made = []

    def make(node):
        made.append(rpc_client.Client(node.endpoint))
        return made[-1]

    yield make
    for client in made:
        client.close()


def put(client, key, value="v"):
    answer = client.call("Put", f"key: '{key}' value: '{value}'")
    assert answer.code == "OK", answer
    return answer.response.header.revision


def open_watch(client, request, metadata=()):
    """A stream with one watcher. Gives it and the answer to its creation."""
    stream = client.stream("Watch", metadata)
    stream.send(f"create_request {{ {request} }}")
    created = stream.receive()
    assert created is not None and created.created, created
    return stream, created


def events_up_to(stream, revision):
    """[(revision, type, key)] until the event of this revision; the order is checked."""
    events = []
    while not events or events[-1][0] < revision:
        response = stream.receive()
        assert response is not None, stream.status
        for event in response.events:
            events.append((event.kv.mod_revision, event.type, event.kv.key))
        assert not response.events or response.header.revision >= events[-1][0]
    assert events == sorted(events, key=lambda event: event[0])
    return events


def metric(node, name):
    body = node.http("GET", "/metrics")[2].decode()
    return float(re.search(rf"^{name} (\S+)$", body, re.M)[1])


def test_watch_goes_on_where_it_was_after_its_member_restarts(start_cluster, clients):
    cluster = start_cluster(3)
    node = cluster.nodes[0]
    writer = clients(cluster.nodes[1])
    first = put(writer, "a/0")
    stream, _ = open_watch(clients(node), f"key: 'a/' range_end: 'a0' start_revision: {first}")
    for i in range(1, 20):
        last = put(writer, f"a/{i}")
    seen = events_up_to(stream, last)
    node.kill()
    for i in range(20, 40):
        last = put(writer, f"a/{i}")
    node.start()
    cluster.wait_healthy()
    stream, _ = open_watch(clients(node),
                           f"key: 'a/' range_end: 'a0' start_revision: {seen[-1][0] + 1}")
    seen += events_up_to(stream, last)
    assert [key.decode() for _, _, key in seen] == [f"a/{i}" for i in range(40)]


def test_watch_by_etcdctl(start_cluster, etcdctl_bin):
    cluster = start_cluster(1)
    for i in range(3):
        cluster.etcdctl("put", f"k{i}", f"v{i}")
    cluster.etcdctl("put", "k1", "w1")
    cluster.etcdctl("del", "k0")
    watch = harness.child([etcdctl_bin, "--endpoints", cluster.nodes[0].endpoint, "watch",
                           "--prefix", "--prev-kv", "--rev", "2", "k"],
                          stdout=subprocess.PIPE, text=True)
    try:
        lines = [watch.stdout.readline().rstrip("\n") for _ in range(19)]
    finally:
        watch.kill()
        watch.communicate()
    assert lines == ["PUT", "k0", "v0", "PUT", "k1", "v1", "PUT", "k2", "v2",
                     "PUT", "k1", "v1", "k1", "w1", "DELETE", "k0", "v0", "k0", ""]


def test_watch_w05_no_event_up_to_a_notice_of_progress_comes_behind_it(start_cluster, clients):
    node = start_cluster(1).nodes[0]
    writer, reader = clients(node), clients(node)
    first = put(writer, "p/first")
    for i in range(300):
        put(writer, f"p/{i}")
    stream = reader.stream("Watch")
    stream.send(f"create_request {{ key: 'p/' range_end: 'p0' start_revision: {first} }}")
    stream.send("progress_request { }")
    last = 0
    notices = 0
    for turn in range(100):
        wanted = put(writer, f"p/again{turn}")
        stream.send("progress_request { }")
        while notices == 0 or last < wanted:
            response = stream.receive()
            if response.watch_id == -1:
                assert response.header.revision >= last
                notices = response.header.revision
            for event in response.events:
                assert event.kv.mod_revision > max(last, notices), "behind a notice, or twice"
                last = event.kv.mod_revision
    assert notices > 0


def test_watch_w08_a_stream_that_is_not_read_costs_little_and_gets_all(start_cluster, clients):
    """10,000 events of 4 kB, beside two streams that nobody reads. One is read then, and has all;
    the other is read when what it lacks is compacted, and is told so."""
    node = start_cluster(1).nodes[0]
    writer = clients(node)
    fast, _ = open_watch(writer, "key: 's/' range_end: 's0'")
    slow, late = (clients(node).stream("Watch", idle=True) for _ in range(2))
    for stream in (slow, late):
        stream.send("create_request { key: 's/' range_end: 's0' }")
    harness.until(lambda: metric(node, "etcd_debugging_mvcc_watcher_total") == 3, "watchers")
    method = rpc_client.METHODS["Txn"]
    value = "x" * 4000
    request = text_format.Parse(" ".join(
        f"success {{ request_put {{ key: 's/{i}' value: '{value}' }} }}" for i in range(100)),
        method.request()).SerializeToString()
    first = metric(node, "etcd_debugging_mvcc_current_revision") + 1
    most = 0
    for _ in range(100):
        assert writer.raw(method.path, request).code == "OK"
        most = max(most, metric(node, "oakum_network_memory_bytes") +
                   metric(node, "oakum_watch_memory_bytes"))
    wanted = [(first + i, f"s/{k}".encode()) for i in range(100) for k in range(100)]
    last = wanted[-1][0]

    def told(stream):
        return [(revision, key) for revision, _, key in events_up_to(stream, last)]
    assert told(fast) == wanted
    assert metric(node, "etcd_debugging_mvcc_slow_watcher_total") == 2
    # For each stream the mark up to which it is filled, and one response beyond it.
    assert most < 3 * 1024 * 1024
    slow.read()
    assert slow.receive().created
    assert told(slow) == wanted
    harness.until(lambda: metric(node, "etcd_debugging_mvcc_slow_watcher_total") == 1, "all read")

    assert writer.call("Compact", f"revision: {int(last)} physical: true").code == "OK"
    late.read()
    assert late.receive().created
    had = []
    response = late.receive()
    while not response.canceled:
        had += [(event.kv.mod_revision, event.kv.key) for event in response.events]
        response = late.receive()
    assert response.compact_revision == last
    assert had == wanted[:len(had)] and 0 < len(had) < len(wanted) and len(had) % 100 == 0


def test_watch_w10_w13_a_deletion_at_the_compacted_revision_is_told(start_cluster, clients):
    node = start_cluster(1).nodes[0]
    client = clients(node)
    put(client, "d/a")
    put(client, "d/b")
    floor = client.call("DeleteRange", "key: 'd/' range_end: 'd0'").response.header.revision
    put(client, "d/c")
    assert client.call("Compact", f"revision: {floor} physical: true").code == "OK"
    stream, _ = open_watch(client, f"key: 'd/' range_end: 'd0' start_revision: {floor}")
    events = events_up_to(stream, floor + 1)
    assert events == [(floor, 1, b"d/a"), (floor, 1, b"d/b"), (floor + 1, 0, b"d/c")]
    stream, created = open_watch(client, f"key: 'd/a' start_revision: {floor - 1}")
    assert not created.canceled
    gone = stream.receive()
    assert gone.canceled and gone.compact_revision == floor
    assert gone.header.revision == 0 and gone.cancel_reason == ""


def test_watch_w06_a_member_that_gets_a_snapshot_tells_all(start_cluster, clients):
    """It is cut off until what it lacks is in no log any more: a leader holds 64 MiB for it."""
    count = 150
    cluster = start_cluster(3, flags=["--snapshot-catchup-entries=10",
                                      "--heartbeat-interval=400", "--election-timeout=4000"])
    follower = next(node for node in cluster.nodes if node is not cluster.leader())
    writer = clients(cluster.leader())
    stream, _ = open_watch(clients(follower), "key: 'n/' range_end: 'n0'")
    put(writer, "n/first")
    follower.pause()
    try:
        for i in range(count):
            last = put(writer, f"n/{i}", "x" * 900_000)
    finally:
        follower.resume()
    keys = [key.decode() for _, _, key in events_up_to(stream, last)]
    assert keys == ["n/first"] + [f"n/{i}" for i in range(count)]
    assert metric(follower, "oakum_snapshots_received_total") > 0


def test_watch_many_watchers_each_hear_of_their_own(start_cluster, clients):
    node = start_cluster(1).nodes[0]
    client = clients(node)
    stream = client.stream("Watch")
    count = 3000
    for i in range(count):
        stream.send(f"create_request {{ key: 'm/{i}' }}")
    for i in range(count):
        assert stream.receive().watch_id == i
    memory = metric(node, "oakum_watch_memory_bytes")
    assert memory / count < 600, "bytes of a watcher"
    for i in (0, 7, count - 1):
        put(client, f"m/{i}")
        response = stream.receive()
        assert response.watch_id == i and response.events[0].kv.key == f"m/{i}".encode()
    stream.cancel()
    harness.until(lambda: metric(node, "etcd_debugging_mvcc_watcher_total") == 0, "they are gone")
    assert metric(node, "etcd_debugging_mvcc_watch_stream_total") == 0


def test_watch_tells_of_progress_by_itself(start_cluster, clients):
    node = start_cluster(1, flags=["--experimental-watch-progress-notify-interval=100ms"]).nodes[0]
    client = clients(node)
    stream, created = open_watch(client, "key: 'q' watch_id: 5 progress_notify: true")
    revision = put(client, "other")
    notices = [stream.receive() for _ in range(2)]
    while notices[-1].header.revision < revision:
        notices.append(stream.receive())
    assert {notice.watch_id for notice in notices} == {5}
    assert not any(notice.events for notice in notices)
    assert notices[0].header.revision >= created.header.revision


def test_watch_that_wants_a_leader_ends_without_one(start_cluster, clients):
    cluster = start_cluster(3)
    node = cluster.nodes[0]
    client = clients(node)
    wants, _ = open_watch(client, "key: 'a'", [("hasleader", "true")])
    patient, _ = open_watch(client, "key: 'a'")
    for other in cluster.nodes[1:]:
        other.kill()
    assert wants.receive() is None
    assert wants.status[:2] == ("UNAVAILABLE", "etcdserver: no leader")
    refused = client.stream("Watch", [("hasleader", "true")])
    assert refused.receive() is None
    assert refused.status[:2] == ("UNAVAILABLE", "etcdserver: no leader")
    for other in cluster.nodes[1:]:
        other.start()
    cluster.wait_healthy()
    revision = put(clients(cluster.nodes[1]), "a")
    assert events_up_to(patient, revision) == [(revision, 0, b"a")]


def test_watch_ends_when_its_member_is_told_to_stop(start_cluster, clients):
    node = start_cluster(1).nodes[0]
    stream, _ = open_watch(clients(node), "key: 'a'")
    node.stop()
    assert stream.receive() is None
    assert stream.status[:2] == ("UNAVAILABLE", "etcdserver: server stopped")


def test_watch_w18_permission_for_one_key_is_for_no_other(start_cluster, clients):
    node = start_cluster(1).nodes[0]
    client = clients(node)
    for name, request in (
            ("UserAdd", "name: 'root' password: 'r'"), ("RoleAdd", "name: 'root'"),
            ("UserGrantRole", "user: 'root' role: 'root'"),
            ("UserAdd", "name: 'u' password: 'p'"), ("RoleAdd", "name: 'one'"),
            ("RoleGrantPermission", "name: 'one' perm { permType: READ key: 'k' }"),
            ("UserGrantRole", "user: 'u' role: 'one'"), ("AuthEnable", "")):
        assert client.call(name, request).code == "OK", name
    token = client.call("Authenticate", "name: 'u' password: 'p'").response.token
    denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
    stream = client.stream("Watch", [("token", token)])
    for request in ("key: 'k' range_end: '\\0'", "key: 'k' range_end: 'k\\0\\0'", "key: 'k0'",
                    "range_end: '\\0'", ""):
        stream.send(f"create_request {{ {request} }}")
        answer = stream.receive()
        assert answer.created and answer.canceled and answer.watch_id == -1, request
        assert answer.cancel_reason == denied, request
    stream.send("create_request { key: 'k' }")
    answer = stream.receive()
    assert answer.created and not answer.canceled
    nobody = client.stream("Watch")
    nobody.send("create_request { key: 'k' }")
    assert "user name is empty" in nobody.receive().cancel_reason
    root = client.call("Authenticate", "name: 'root' password: 'r'").response.token
    for key in ("k0", "j", "k"):
        assert client.call("Put", f"key: '{key}'", [("token", root)]).code == "OK"
    assert [event.kv.key for event in stream.receive().events] == [b"k"]
