# SPDX-License-Identifier: Apache-2.0
"""Maintenance/Snapshot: what etcd's tools take as a snapshot of etcd, and what an etcd that starts
from it says: all that this member would have said, at each revision that it still has."""
import base64
import contextlib
import hashlib
import json
import os
import random
import subprocess
import threading

import grpc
import pytest

import harness
import rpc_client
from bolt_file import Database
from test_bad_wire import rss
from test_full_disk import RESERVE, alarmed
from test_full_disk import small_disks  # noqa: F401  # pylint: disable=unused-import

BLOB_BYTES = 32 << 10
DIGEST_BYTES = 32
BACKUPS_MAX = 4  # OAK_BACKUPS_MAX
# A current etcd's, where `make etcd-now` has put them.
NOW = [os.path.join(harness.TOP, "build", "peers", "etcd-now", name)
       for name in ("etcd", "etcdutl")]
PEERS = ["3.4", *(["now"] if all(os.access(each, os.X_OK) for each in NOW) else [])]


def ok(client, method_name, /, **fields):
    method = rpc_client.METHODS[method_name]
    answer = client.raw(method.path, method.request(**fields).SerializeToString())
    assert answer.code == "OK", answer
    return method.response.FromString(answer.response)


@contextlib.contextmanager
def client_of(node):
    client = rpc_client.Client(node.endpoint)
    try:
        yield client
    finally:
        client.close()


def scratch_files(node):
    folder = os.path.join(node.data_dir, "backup")
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def nothing_is_left(node):
    harness.until(lambda: scratch_files(node) == [], f"an empty {node.name}/backup")


# -- the stream ------------------------------------------------------------------------------------


def whole(messages):
    """The bytes of the database; everything else about the stream is checked."""
    *parts, last = messages
    data = b"".join(part.blob for part in parts)
    left = len(data)
    assert left > 0 and left % 512 == 0
    for part in parts:
        left -= len(part.blob)
        assert part.remaining_bytes == left
    assert all(len(part.blob) == BLOB_BYTES for part in parts[:-1])
    assert last.remaining_bytes == 0 and last.blob == hashlib.sha256(data).digest()
    assert not any(each.HasField("header") for each in messages)
    return data


def database_of(node):
    with client_of(node) as client:
        answer = client.download("Snapshot")
    assert answer.code == "OK", answer
    return Database(whole(answer.response))


def test_snapshot_is_a_stream_as_etcds(either):
    with client_of(either.nodes[0]) as client:
        for number in range(50):
            ok(client, "Put", key=b"k%d" % number, value=bytes(3000))
        answer = client.download("Snapshot")
    assert answer.code == "OK"
    whole(answer.response)
    versions = {each.version for each in answer.response}
    assert versions == ({"3.6.0"} if either.program == harness.oakum_path() else {""})


def test_snapshot_comes_as_lines_of_json(node):
    with client_of(node) as client:
        ok(client, "Put", key=b"k", value=bytes(BLOB_BYTES))
    status, _, body = node.http("POST", "/v3/maintenance/snapshot", b"{}")
    assert status == 200
    lines = [json.loads(line)["result"] for line in body.splitlines() if line]
    blobs = [base64.b64decode(line["blob"]) for line in lines]
    data = b"".join(blobs[:-1])
    assert hashlib.sha256(data).digest() == blobs[-1]
    assert int(lines[0]["remaining_bytes"]) == len(data) - BLOB_BYTES
    assert lines[0]["version"] == "3.6.0"
    assert [pair.key for *_, pair in Database(data).history()] == [b"k"]


def test_snapshot_of_a_new_member_has_all_buckets(node):
    with client_of(node) as client:
        harness.until(lambda: ok(client, "MemberList").members[0].clientURLs, "it says who it is")
    database = database_of(node)
    assert list(database.buckets) == ["alarm", "auth", "authRoles", "authUsers", "cluster", "key",
                                      "lease", "members", "members_removed", "meta"]
    (member, said), = database.buckets["members"]
    said = json.loads(said)
    assert int(member, 16) == said["id"]
    assert said["peerURLs"] == [node.peer_url] and said["clientURLs"] == [node.client_url]
    assert dict(database.buckets["meta"])[b"storageVersion"] == b"3.6.0"


# -- an etcd that starts from it -------------------------------------------------------------------


@pytest.fixture(name="peer", params=PEERS)
def an_etcd(request, etcdctl_bin):
    """(etcd, what restores)."""
    if request.param == "now":
        return NOW
    return request.getfixturevalue("etcd_bin"), etcdctl_bin


def tool(program, *arguments):
    environment = dict(os.environ, ETCDCTL_API="3")
    done = subprocess.run([program, "snapshot", *arguments], env=environment, check=False,
                          capture_output=True, text=True, timeout=harness.PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def restored(start_cluster, peer, path):
    """A running etcd."""
    etcd = start_cluster(size=1, program=peer[0], start=False)
    node = etcd.nodes[0]
    tool(peer[1], "restore", str(path), "--data-dir", node.data_dir, "--name", node.name,
         "--initial-cluster", f"{node.name}={node.peer_url}", "--initial-cluster-token", "test",
         "--initial-advertise-peer-urls", node.peer_url)
    etcd.start(wait=False)
    # Its health may be that of an alarm.
    harness.until(lambda: node.http("GET", "/version")[0] == 200, "an etcd that serves")
    return etcd


def fill(client, rounds, seed):
    """Versions, tombstones, transactions of many changes, leases with and without keys; compacted
    now and then, where a tombstone stands too."""
    dice = random.Random(seed)
    leases = [ok(client, "LeaseGrant", TTL=1000 + n, ID=7000 + n).ID for n in range(5)]
    for number in range(rounds):
        key = b"k%d" % dice.randrange(12)
        what = dice.randrange(10)
        if what < 5:
            ok(client, "Put", key=key, value=b"%d" % number * dice.randrange(40),
               lease=dice.choice([0, 0, *leases[:4]]))
        elif what < 6:
            ok(client, "DeleteRange", key=key)
        elif what < 7:
            ok(client, "DeleteRange", key=b"k1", range_end=b"k3")
        else:
            request = rpc_client.METHODS["Txn"].request()
            for n in dice.sample(range(12), 4):
                change = request.success.add()
                if dice.randrange(3) == 0:
                    change.request_delete_range.key = b"k%d" % n
                else:
                    change.request_put.key = b"k%d" % n
                    change.request_put.value = b"txn %d" % number
            ok(client, "Txn", success=request.success)
        if number == rounds * 2 // 3:
            ok(client, "Put", key=b"gone", value=b"soon")
            gone = ok(client, "DeleteRange", key=b"gone").header.revision
            ok(client, "Compact", revision=gone)
    ok(client, "LeaseRevoke", ID=leases[3])


def events_from(client, revision):
    stream = client.stream("Watch")
    stream.send(f"create_request {{ key: '\\000' range_end: '\\000' start_revision: {revision} }}")
    last = ok(client, "Range", key=b"a").header.revision
    events = []
    while not events or events[-1][1] < last:
        answer = stream.receive()
        assert not answer.canceled, answer
        events += [(each.type, each.kv.mod_revision, each.kv.SerializeToString())
                   for each in answer.events]
    stream.cancel()
    return events


def said_by(client):
    """What a member says of its state: all that can be compared."""
    now = ok(client, "HashKV")
    first, last = max(now.compact_revision, 1), now.header.revision
    said = {"floor": now.compact_revision, "last": last, "events": events_from(client, first)}
    for revision in range(first, last + 1):
        answer = ok(client, "Range", key=b"\0", range_end=b"\0", revision=revision)
        said[revision] = [pair.SerializeToString() for pair in answer.kvs]
        if revision > first:  # at the floor itself 3.4 gives none
            said["hash", revision] = ok(client, "HashKV", revision=revision).hash
    leases = sorted(lease.ID for lease in ok(client, "LeaseLeases").leases)
    for lease in leases:
        answer = ok(client, "LeaseTimeToLive", ID=lease, keys=True)
        said["lease", lease] = answer.grantedTTL, sorted(answer.keys)
        assert 0 < answer.TTL <= answer.grantedTTL
    said["alarms"] = [str(alarm) for alarm in ok(client, "Alarm").alarms]
    said["users"] = [(name, list(ok(client, "UserGet", name=name).roles))
                     for name in ok(client, "UserList").users]
    said["roles"] = [(name, [str(perm) for perm in ok(client, "RoleGet", role=name).perm])
                     for name in ok(client, "RoleList").roles
                     if name != "root"]  # which has what 3.4 does not say
    return said


def users(client):
    ok(client, "RoleAdd", name="reader")
    perm = rpc_client.METHODS["RoleGrantPermission"].request().perm.__class__
    ok(client, "RoleGrantPermission", name="reader", perm=perm(key=b"k1", range_end=b"k2"))
    for name in ("root", "zoe", "ann"):
        ok(client, "UserAdd", name=name, password=name + "'s")
    ok(client, "RoleAdd", name="root")
    ok(client, "UserGrantRole", user="root", role="root")
    ok(client, "UserGrantRole", user="ann", role="reader")


def test_snapshot_an_etcd_that_starts_from_one_says_the_same(start_cluster, node, peer, tmp_path):
    path = tmp_path / "saved.db"
    with client_of(node) as client:
        fill(client, 150, seed=3)
        users(client)
        member = ok(client, "Status").header.member_id
        ok(client, "Alarm", action=1, memberID=member, alarm=1)  # NOSPACE
        ours = said_by(client)
    node.cluster.etcdctl("snapshot", "save", str(path))
    nothing_is_left(node)
    status = json.loads(tool(peer[1], "status", str(path), "-w", "json"))
    pairs = sum(map(len, Database(path.read_bytes()[:-DIGEST_BYTES]).buckets.values()))
    assert status["revision"] == ours["last"]
    # 3.4 counts all pairs of the file, later ones the keys that are there.
    assert status["totalKey"] in (pairs, len(ours[ours["last"]]))
    assert status["totalSize"] == path.stat().st_size - DIGEST_BYTES
    assert status.get("version", "3.6.0") == "3.6.0"
    with client_of(restored(start_cluster, peer, path).nodes[0]) as client:
        theirs = said_by(client)
    assert ours["floor"] > 1 and ours["alarms"] and len(ours["users"]) == 3
    assert theirs == ours


def test_snapshot_of_nothing_but_tombstones(start_cluster, node, peer, tmp_path):
    path = tmp_path / "saved.db"
    with client_of(node) as client:
        for key in (b"a", b"b"):
            ok(client, "Put", key=key, value=b"v")
        last = ok(client, "DeleteRange", key=b"a", range_end=b"c").header.revision
        ok(client, "Compact", revision=last)
    node.cluster.etcdctl("snapshot", "save", str(path))
    with client_of(restored(start_cluster, peer, path).nodes[0]) as client:
        answer = ok(client, "Range", key=b"\0", range_end=b"\0")
        assert answer.header.revision == last and not answer.kvs
        assert ok(client, "Put", key=b"a", value=b"w").header.revision == last + 1


def test_snapshot_who_could_log_in_still_can(start_cluster, node, peer, tmp_path):
    path = tmp_path / "saved.db"
    with client_of(node) as client:
        ok(client, "Put", key=b"k1", value=b"v")
        users(client)
        ok(client, "AuthEnable")
    node.cluster.etcdctl("--user", "root:root's", "snapshot", "save", str(path))
    refused = node.cluster.etcdctl("--user", "ann:ann's", "snapshot", "save",
                                   str(tmp_path / "not.db"), check=False)
    assert refused.returncode != 0 and "permission denied" in refused.stderr
    etcd = restored(start_cluster, peer, path)
    assert etcd.etcdctl("--user", "ann:ann's", "get", "k1") == "k1\nv"
    for arguments, why in ((("ann:zoe's", "get", "k1"), "invalid user ID or password"),
                           (("ann:ann's", "put", "k1", "x"), "permission denied"),
                           (("zoe:zoe's", "get", "k1"), "permission denied")):
        done = etcd.etcdctl("--user", *arguments, check=False)
        assert done.returncode != 0 and why in done.stderr, done


# -- while others write, and clients that don't go on ----------------------------------------------


def test_snapshot_under_writes_is_of_one_revision(node):
    """Two keys change in one transaction, always: both are in the file, or none of the two."""
    stop = threading.Event()

    def writes(number):
        with client_of(node) as client:
            count = 0
            while not stop.is_set():
                request = rpc_client.METHODS["Txn"].request()
                for key in (b"x%d" % number, b"y%d" % number):
                    change = request.success.add().request_put
                    change.key, change.value = key, b"%d" % count + bytes(500)
                ok(client, "Txn", success=request.success)
                count += 1

    writers = [threading.Thread(target=writes, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        seen = [0]
        while len(seen) < 6:
            history = database_of(node).history()
            by_main = {}
            for main, sub, _, pair in history:
                by_main.setdefault(main, []).append((sub, pair.key[:1], pair.key[1:], pair.value))
            for changes in by_main.values():
                assert [each[:2] for each in changes] == [(0, b"x"), (1, b"y")]
                assert changes[0][2:] == changes[1][2:]
            last = max(by_main, default=1)
            assert sorted(by_main) == list(range(2, last + 1))
            if last > seen[-1]:
                seen.append(last)
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def noise(number):
    """A megabyte."""
    return random.Random(number).randbytes(10**6)


class Slow:
    """A client that has taken the first message, and no more."""

    def __init__(self, node):
        method = rpc_client.METHODS["Snapshot"]
        # A window of its own: what one leaves unread is no other one's business.
        self.channel = grpc.insecure_channel(node.endpoint, options=[
            ("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)])
        self.call = self.channel.unary_stream(
            method.path, request_serializer=method.request.SerializeToString,
            response_deserializer=method.response.FromString)(method.request())
        self.first = next(self.call)

    def rest(self):
        return [self.first, *self.call]

    def close(self):
        self.call.cancel()
        self.channel.close()


@pytest.fixture(name="large", scope="module")
def one_large(lasting_cluster):
    """A member with 48 MB."""
    node = lasting_cluster(1).nodes[0]
    with client_of(node) as client:
        for number in range(48):
            ok(client, "Put", key=b"large/%d" % number, value=noise(number))
    return node


@pytest.mark.needs_own_heap
def test_snapshot_readers_that_stand_still_hold_little(large):
    database_of(large)  # what the first one takes of memory stays with the process
    before = rss(large)
    slow = [Slow(large) for _ in range(BACKUPS_MAX)]
    grown = rss(large) - before
    for each in slow:
        each.close()
    nothing_is_left(large)
    assert grown < 48 << 20, f"{grown >> 20} MiB for {BACKUPS_MAX} clients that don't read"


def test_snapshot_readers_that_stand_still_hold_nobody(large):
    slow = [Slow(large) for _ in range(BACKUPS_MAX)]
    with client_of(large) as client:
        answer = client.download("Snapshot")
        assert (answer.code, answer.message) == ("RESOURCE_EXHAUSTED",
                                                 "etcdserver: too many requests")
        ok(client, "Put", key=b"small", value=b"v")
        for each in slow[1:]:
            each.close()
        harness.until(lambda: len(scratch_files(large)) == 1, "what the others had")
        # The one that goes on gets what was there when it began.
        history = Database(whole(slow[0].rest())).history()
        assert len(history) == 48 and {pair.key[:6] for *_, pair in history} == {b"large/"}
        slow[0].close()
        nothing_is_left(large)
        assert len(Database(whole(client.download("Snapshot").response)).history()) == 49
        ok(client, "DeleteRange", key=b"small")


def test_snapshot_a_stop_ends_it(large):
    slow = Slow(large)
    assert len(scratch_files(large)) == 1
    assert large.stop() == 0
    assert scratch_files(large) == []
    with pytest.raises(grpc.RpcError) as told:
        slow.rest()
    assert told.value.code() == grpc.StatusCode.UNAVAILABLE
    slow.close()
    large.start()
    large.wait_healthy()


def test_snapshot_what_a_crash_leaves_is_removed(large):
    slow = Slow(large)
    large.kill()
    slow.close()
    assert len(scratch_files(large)) == 1
    large.start()
    large.wait_healthy()
    assert scratch_files(large) == []
    database_of(large)


def test_snapshot_a_disk_without_space_is_told(start_cluster, request):
    disks = request.getfixturevalue("small_disks")(["n1/backup"], 16)
    node = start_cluster(1, program=disks.program).nodes[0]
    with client_of(node) as client:
        for number in range(8):
            ok(client, "Put", key=b"k%d" % number, value=noise(number))
        disks.fill(node, 5 << 20, "backup")
        answer = client.download("Snapshot")
        assert (answer.code, answer.message) == ("RESOURCE_EXHAUSTED", "no space left on device")
        assert answer.response == []
        harness.until(lambda: os.listdir(disks.path(node, "backup")) == ["filler"], "all is gone")
        ok(client, "Put", key=b"and", value=b"on")
        disks.free(node, "backup")
        answer = client.download("Snapshot")
        assert len(Database(whole(answer.response)).history()) == 9


def test_snapshot_does_not_take_what_the_log_needs(start_cluster, request):
    disks = request.getfixturevalue("small_disks")(["n1"], 200)
    node = start_cluster(1, program=disks.program).nodes[0]
    with client_of(node) as client:
        ok(client, "Put", key=b"k", value=b"v")
        disks.fill(node, RESERVE // 2)
        harness.until(lambda: alarmed(node), "the alarm")
        answer = client.download("Snapshot")
        assert (answer.code, answer.message) == ("RESOURCE_EXHAUSTED", "no space left on device")
        assert not os.path.exists(disks.path(node, "backup"))
        disks.free(node)
        harness.until(lambda: not alarmed(node), "its end")
        whole(client.download("Snapshot").response)
