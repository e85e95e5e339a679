# SPDX-License-Identifier: Apache-2.0
"""Coming from etcd: what a cluster that starts from its snapshot says is what that etcd said, at
each revision that it still had; and what is no snapshot is refused, and leaves nothing behind."""
import concurrent.futures
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import threading
import time

import grpc
import pytest

import harness
import rpc_client
import test_snapshot
from test_snapshot import an_etcd  # noqa: F401  # pylint: disable=unused-import
from test_snapshot import client_of, fill, ok, restored, tool, users


def said_by(client):
    """But for what was deleted at the floor: etcd tells of that until it has got rid of it."""
    said = test_snapshot.said_by(client)
    said["events"] = [each for each in said["events"] if each[1] > said["floor"]]
    assert said["events"]
    return said


def oakum(*arguments, code=0):
    done = harness.run(*arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
    assert done.stderr == "" or code != 0
    return done.stdout if code == 0 else done.stderr


def cluster_of(node):
    """The flags that say of which cluster a member is to be one."""
    members = ",".join(f"{each.name}={each.peer_url}" for each in node.cluster.nodes)
    return ["--name", node.name, "--initial-cluster", members, "--initial-cluster-token", "test",
            "--initial-advertise-peer-urls", node.peer_url]


def imported(start_cluster, source, size=3, more=()):
    """A running cluster whose members were each made from `source`."""
    cluster = start_cluster(size=size, start=False)
    for node in cluster.nodes:
        told = json.loads(oakum("import", source, "--data-dir", node.data_dir, *cluster_of(node),
                                *more, "--output", "json"))
        assert told["members"] == size and told["name"] == node.name
    cluster.start(wait=False)
    harness.until(lambda: all(node.http("GET", "/version")[0] == 200 for node in cluster.nodes),
                  "members that serve")
    return cluster


def etcd_of(start_cluster, peer):
    return start_cluster(size=1, program=peer[0])


def test_import_says_what_etcd_said(start_cluster, peer, tmp_path):
    path = tmp_path / "saved.db"
    etcd = etcd_of(start_cluster, peer)
    with client_of(etcd.nodes[0]) as client:
        fill(client, 150, seed=4)
        users(client)
        member = ok(client, "Status").header.member_id
        ok(client, "Alarm", action=1, memberID=member, alarm=1)  # NOSPACE
        theirs = said_by(client)
    etcd.etcdctl("snapshot", "save", str(path))
    cluster = imported(start_cluster, path)
    for node in cluster.nodes:
        with client_of(node) as client:
            assert said_by(client) == theirs
    # And back.
    back = tmp_path / "back.db"
    told = oakum("export", back, "--endpoints", cluster.nodes[1].endpoint)
    assert told.startswith(f"Snapshot saved at {back}\n")
    with client_of(restored(start_cluster, peer, back).nodes[0]) as client:
        assert said_by(client) == theirs
    assert theirs["floor"] > 1 and theirs["alarms"] and len(theirs["users"]) == 3
    with client_of(cluster.nodes[0]) as client:
        members = ok(client, "MemberList").members
        ids = {each.name: each.ID for each in members}
        assert sorted(ids) == sorted(node.name for node in cluster.nodes)
        # It goes on from there: with the next revision, and once the alarm is disarmed.
        ok(client, "Alarm", action=2, memberID=member, alarm=1)
        assert ok(client, "Put", key=b"new", value=b"v").header.revision == theirs["last"] + 1
        # A lease of the old cluster takes its keys along.
        lease, = [lease for lease in ok(client, "LeaseLeases").leases if lease.ID == 7000]
        keys = list(ok(client, "LeaseTimeToLive", ID=lease.ID, keys=True).keys)
        assert keys
        ok(client, "LeaseRevoke", ID=lease.ID)
        assert not any(ok(client, "Range", key=key).kvs for key in keys)


def test_import_of_a_stopped_etcds_directory(start_cluster, peer):
    etcd = etcd_of(start_cluster, peer)
    with client_of(etcd.nodes[0]) as client:
        fill(client, 60, seed=5)
        theirs = said_by(client)
    other = start_cluster(size=1, start=False).nodes[0]
    why = oakum("import", etcd.nodes[0].data_dir, "--data-dir", other.data_dir, code=1)
    assert "running" in why and not os.path.exists(other.data_dir)
    etcd.nodes[0].stop()
    cluster = imported(start_cluster, etcd.nodes[0].data_dir, size=1)
    with client_of(cluster.nodes[0]) as client:
        assert said_by(client) == theirs


def test_import_who_could_log_in_still_can_and_leases_end(start_cluster, peer, tmp_path):
    path = tmp_path / "saved.db"
    etcd = etcd_of(start_cluster, peer)
    with client_of(etcd.nodes[0]) as client:
        users(client)
        lease = ok(client, "LeaseGrant", TTL=2).ID
        at = ok(client, "Put", key=b"k1", value=b"v", lease=lease).header.revision
        ok(client, "AuthEnable")
    etcd.etcdctl("--user", "root:root's", "snapshot", "save", str(path))
    cluster = imported(start_cluster, path)
    assert cluster.etcdctl("--user", "ann:ann's", "get", "k1", f"--rev={at}") == "k1\nv"
    for arguments, why in ((("ann:zoe's", "get", "k1"), "invalid user ID or password"),
                           (("ann:ann's", "put", "k1", "x"), "permission denied"),
                           (("zoe:zoe's", "get", "k1"), "permission denied")):
        done = cluster.etcdctl("--user", *arguments, check=False)
        assert done.returncode != 0 and why in done.stderr, done
    harness.until(lambda: cluster.etcdctl("--user", "ann:ann's", "get", "k1") == "",
                  "the end of the lease")


def test_import_raises_the_revision(start_cluster, etcd_cluster, tmp_path):
    path = tmp_path / "saved.db"
    with client_of(etcd_cluster.nodes[0]) as client:
        ok(client, "Put", key=b"k", value=b"1")
        last = ok(client, "Put", key=b"k", value=b"2").header.revision
    etcd_cluster.etcdctl("snapshot", "save", str(path), endpoints=[etcd_cluster.nodes[0].endpoint])
    raised = ["--bump-revision", "1000", "--mark-compacted"]
    assert "go together" in oakum("import", path, "--data-dir", tmp_path / "x", *raised[:2], code=2)
    cluster = imported(start_cluster, path, more=raised)
    with client_of(cluster.nodes[1]) as client:
        answer = ok(client, "Range", key=b"k")
        assert answer.header.revision == last + 1000
        assert (answer.kvs[0].value, answer.kvs[0].mod_revision) == (b"2", last)
        stream = client.stream("Watch")
        stream.send(f"create_request {{ key: 'k' start_revision: {last} }}")
        told = stream.receive()
        told = told if told.canceled else stream.receive()
        assert told.canceled and told.compact_revision == last + 1000


def test_import_a_second_time_into_its_group_is_noticed(start_cluster, etcd_cluster, tmp_path):
    """Its votes and what it acknowledged are forgotten: it must not count as the old one."""
    path = tmp_path / "saved.db"
    etcd_cluster.etcdctl("put", "k", "v")
    etcd_cluster.etcdctl("snapshot", "save", str(path), endpoints=[etcd_cluster.nodes[0].endpoint])
    cluster = imported(start_cluster, path)
    with client_of(cluster.nodes[0]) as client:
        harness.until(lambda: all(each.clientURLs for each in ok(client, "MemberList").members),
                      "all say who they are")
    lost = cluster.nodes[2]
    lost.kill()
    os.rename(lost.data_dir, tmp_path / "aside")
    oakum("import", path, "--data-dir", lost.data_dir, *cluster_of(lost))
    lost.start()
    lost.wait()
    assert "knows this member from before" in lost.log_text()
    assert cluster.etcdctl("get", "k", endpoints=[cluster.nodes[0].endpoint]) == "k\nv"


def test_import_takes_nobodys_directory(node, tmp_path):
    path = tmp_path / "saved.db"
    node.cluster.etcdctl("put", "k", "v")
    node.cluster.etcdctl("snapshot", "save", str(path))
    node.stop()
    before = sorted(os.listdir(node.data_dir))
    assert "not empty" in oakum("import", path, "--data-dir", node.data_dir, code=1)
    assert sorted(os.listdir(node.data_dir)) == before
    node.start()
    node.wait_healthy()
    assert node.cluster.etcdctl("get", "k") == "k\nv"


def test_import_that_was_killed_begins_anew(start_cluster, node, tmp_path):
    path = tmp_path / "saved.db"
    node.cluster.etcdctl("put", "k", "v")
    node.cluster.etcdctl("snapshot", "save", str(path))
    other = start_cluster(size=1, start=False, flags=["--wal-dir", str(tmp_path / "log")]).nodes[0]
    flags = ["--data-dir", other.data_dir, *cluster_of(other), "--wal-dir"]
    oakum("import", path, *flags, tmp_path / "log")
    # As a kill leaves it: the mark, and no identity yet.
    os.remove(os.path.join(other.data_dir, "identity"))
    with open(os.path.join(other.data_dir, "restoring"), "wb"):
        pass
    # Nobody's files are taken for what that has left.
    assert "not empty" in oakum("import", path, *flags, node.data_dir, code=1)
    assert os.path.exists(os.path.join(node.data_dir, "identity"))
    other.start()
    other.wait()
    assert "interrupted" in other.log_text()
    done = harness.run("import", path, *flags, tmp_path / "log")
    assert done.returncode == 0 and "begins anew" in done.stderr
    other.start()
    other.wait_healthy()
    assert other.cluster.etcdctl("get", "k") == "k\nv"


def written(path):
    return os.stat(path).st_mtime_ns if os.path.exists(path) else 0


def killed_once_it_writes(process, path, before=0):
    """Let it work a little at a time until it has written that file, and kill it then."""
    while written(path) == before:
        assert process.poll() is None, "it has ended before"
        os.kill(process.pid, signal.SIGCONT)
        time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_import_that_was_killed_goes_on(start_cluster, node, tmp_path):
    """Killed twice, it has read on from there in the end, and says what one says that was not."""
    path = tmp_path / "saved.db"
    with client_of(node) as client:
        for number in range(120):
            ok(client, "Put", key=b"k%d" % (number * 7 % 120), value=os.urandom(1000000))
        hash_of = ok(client, "HashKV").hash
    node.cluster.etcdctl("snapshot", "save", str(path))
    other = start_cluster(size=1, start=False).nodes[0]
    command = ["import", path, "--data-dir", other.data_dir, *cluster_of(other), "-w", "json"]
    place = os.path.join(other.data_dir, "restore", "place")
    for again in (False, True):
        before = written(place)
        with harness.child([harness.oakum_path(), *command], stderr=subprocess.PIPE) as process:
            killed_once_it_writes(process, place, before)
            assert (b"goes on from there" in process.stderr.read()) == again
    other.start()
    other.wait()
    assert "goes on with it" in other.log_text()
    done = harness.run(*command)
    assert done.returncode == 0 and "goes on from there" in done.stderr
    assert json.loads(done.stdout)["resumed"] and not os.path.exists(os.path.dirname(place))
    other.start()
    other.wait_healthy()
    with client_of(other) as client:
        assert ok(client, "HashKV").hash == hash_of
    # Whoever wants that begins anew, and an import that was not interrupted says nothing of it.
    third = start_cluster(size=1, start=False).nodes[0]
    with harness.child([harness.oakum_path(), *command[:3], third.data_dir]) as process:
        killed_once_it_writes(process, os.path.join(third.data_dir, "restore", "place"))
    told = oakum("import", path, "--data-dir", third.data_dir, "--no-resume", "-w", "json")
    assert not json.loads(told)["resumed"]


# -- files -----------------------------------------------------------------------------------------


def test_status_is_etcdutls(start_cluster, peer, tmp_path):
    etcd = etcd_of(start_cluster, peer)
    path = tmp_path / "saved.db"
    dice = random.Random(8)
    with client_of(etcd.nodes[0]) as client:
        users(client)
        for _ in range(3):
            for number in range(80):
                key = b"k%d" % dice.randrange(9)
                if dice.randrange(3):
                    ok(client, "Put", key=key, value=b"%d" % number)
                else:
                    ok(client, "DeleteRange", key=key)
            answer = ok(client, "Range", key=b"\0", range_end=b"\0", count_only=True)
            etcd.etcdctl("snapshot", "save", str(path))
            ours = json.loads(oakum("snapshot", "status", path, "-w", "json"))
            theirs = json.loads(tool(peer[1], "status", str(path), "-w", "json"))
            # 3.4 counts all pairs of the file, later ones the keys that are there.
            assert ours.pop("totalKey") == answer.count
            assert theirs.pop("totalKey") == answer.count or peer[1].endswith("etcdctl")
            assert ours.pop("version") == theirs.pop("version", "")
            assert ours == theirs
            simple = oakum("snapshot", "status", path).split(", ")
            assert int(simple[0], 16) == ours["hash"] and simple[1] == str(ours["revision"])
            assert simple[2] == str(answer.count)
            ok(client, "Compact", revision=answer.header.revision - dice.randrange(20),
               physical=True)
    for form, text in (("fields", '"Keys" : '), ("table", "| TOTAL KEYS |")):
        assert text in oakum("snapshot", "status", path, "-w", form)


@contextlib.contextmanager
def answering(messages, code=grpc.StatusCode.OK):
    """A server that has these bytes for whoever wants a snapshot, and ends so."""
    def snapshot(_, context):
        yield from messages
        if code != grpc.StatusCode.OK:
            context.abort(code, "it has enough")

    method = grpc.method_handlers_generic_handler(
        "etcdserverpb.Maintenance",
        {"Snapshot": grpc.unary_stream_rpc_method_handler(snapshot)})
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=1))
    server.add_generic_rpc_handlers((method,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def folder_in(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def test_export_gives_the_name_to_what_is_whole_alone(node, tmp_path):
    folder = folder_in(tmp_path)
    path = folder / "state.db"
    path.write_bytes(b"an older one")
    with client_of(node) as client:
        ok(client, "Put", key=b"k", value=bytes(100000))
        good = [each.SerializeToString() for each in client.download("Snapshot").response]
    bad = {
        "left to send": good[:-2],
        "SHA-256": [*good[:-1], good[-2], good[-1]],
        "no SHA-256": good[:-1],
        "no SHA-256 behind 0": [],
    }
    for why, messages in bad.items():
        with answering(messages) as endpoint:
            told = harness.run("export", path, "--endpoints", endpoint)
            assert told.returncode == 1 and why in told.stderr, (why, told)
            assert os.listdir(folder) == ["state.db"]
            assert path.read_bytes() == b"an older one"
    with answering(good[:3], grpc.StatusCode.INTERNAL) as endpoint:
        told = harness.run("export", path, "--endpoints", endpoint)
        assert told.returncode == 1 and "it has enough" in told.stderr
        assert path.read_bytes() == b"an older one"
    with answering(good) as endpoint:
        oakum("snapshot", "save", path, "--endpoints", endpoint)
    assert os.listdir(folder) == ["state.db"]
    oakum("snapshot", "status", path)
    told = harness.run("export", tmp_path / "no" / "x.db", "--endpoints", node.endpoint)
    assert told.returncode != 0 and "No such file" in told.stderr
    told = harness.run("export", path, "--endpoints", f"{node.endpoint},{node.endpoint}0")
    assert told.returncode != 0 and "one selected node" in told.stderr


def test_export_is_for_who_may(node, tmp_path):
    folder = folder_in(tmp_path)
    path = folder / "state.db"
    with client_of(node) as client:
        users(client)
        ok(client, "AuthEnable")
    for who, why in (((), "user name is empty"), (("--user", "ann:ann's"), "permission denied"),
                     (("--user", "root:wrong"), "invalid user ID or password")):
        told = harness.run("export", path, "--endpoints", node.endpoint, *who)
        assert told.returncode != 0 and why in told.stderr, told
        assert os.listdir(folder) == []
    oakum("export", path, "--endpoints", node.endpoint, "--user", "root:root's")


def refused(path, folder, *more):
    target = folder / "made"
    done = harness.run("import", path, "--data-dir", target, *more)
    assert done.returncode in (0, 1), done
    if done.returncode == 0:
        shutil.rmtree(target)
        return None
    assert not target.exists() and str(path) in done.stderr
    return done.stderr


def test_import_refuses_what_is_damaged_and_says_where(start_cluster, etcd_bin, tmp_path):
    path, broken = tmp_path / "saved.db", tmp_path / "broken.db"
    etcd = start_cluster(size=1, program=etcd_bin)
    with client_of(etcd.nodes[0]) as client:
        fill(client, 60, seed=6)
        users(client)
        ok(client, "Put", key=b"large", value=bytes(20000))
    etcd.etcdctl("snapshot", "save", str(path))
    whole = path.read_bytes()
    pages = len(whole) // 4096
    places = 0
    for page in range(pages):
        at = page * 4096 + 9
        broken.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1:])
        told = refused(broken, tmp_path)
        assert "SHA-256" in told
        places += f"page {page} (byte {page * 4096})" in told
        told = refused(broken, tmp_path, "--skip-hash-check")
        assert told is None or "page" in told
    assert places >= 2  # the rest is in what is not in use, or in a value
    for size in (0, 1, 4095, 4096, len(whole) // 2, len(whole) // 2 // 512 * 512 + 32,
                 len(whole) - 33, len(whole) - 32, len(whole) - 1):
        broken.write_bytes(whole[:size])
        assert refused(broken, tmp_path) is not None
    assert "cut short" in refused(broken, tmp_path)


def test_snapshot_has_help_for_each_of_its_words():
    whole = oakum("help", "snapshot")
    for word in ("save", "status", "restore"):
        assert f"  {word} " in whole
        for words in (("help", "snapshot", word), ("snapshot", word, "--help")):
            assert f"oakum snapshot {word} FILE" in oakum(*words)


def test_import_tells_what_is_none(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.write_bytes(os.urandom(20512))
    assert "not such a database" in refused(foreign, tmp_path)
    assert "not such a database" in refused(foreign, tmp_path, "--skip-hash-check")
    foreign.unlink()
    with contextlib.closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE t (a)")
        database.commit()
    assert "not such a database" in refused(foreign, tmp_path)
    assert "not such a database" in refused(foreign, tmp_path, "--skip-hash-check")
    assert "not found" in refused(tmp_path / "nothing", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no data directory of etcd" in refused(tmp_path / "empty", tmp_path)


def peak_mib(pid):
    """Of a process's memory up to now; 0 when it has ended. (What wait4() tells is at least what
    the process had that made it.)"""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0


def on_a_terminal(*arguments):
    """What it shows there, and the peak of its memory in MiB."""
    master, slave = os.openpty()
    shown = bytearray()

    def drain():
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(master, 4096):
                shown.extend(part)

    command = [harness.oakum_path(), *map(str, arguments)]
    pid = os.posix_spawn(command[0], command, {**os.environ, "TERM": "xterm"},
                         file_actions=[(os.POSIX_SPAWN_DUP2, slave, 2)])
    os.close(slave)
    reader = threading.Thread(target=drain)
    reader.start()
    peak, pause = 0, threading.Event()
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    while ended is None:
        peak = max(peak, peak_mib(pid))
        pause.wait(0.005)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    _, status = os.waitpid(pid, 0)
    reader.join()
    os.close(master)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    return shown.decode(), peak


@pytest.mark.needs_own_heap
@pytest.mark.needs_rocks
def test_import_takes_no_more_memory_for_more(node, tmp_path):
    peaks = []
    with client_of(node) as client:
        for count in (40, 80):
            for number in range(count):
                request = rpc_client.METHODS["Txn"].request()
                for n in range(100):
                    change = request.success.add().request_put
                    change.key, change.value = b"%d/%d" % (number, n), os.urandom(10000)
                ok(client, "Txn", success=request.success)
            path = tmp_path / f"{count}.db"
            oakum("export", path, "--endpoints", node.endpoint)
            shown, peak = on_a_terminal("import", path, "--data-dir", tmp_path / f"made{count}")
            assert all(f"\r{what} " in shown for what in ("checking", "reading", "writing"))
            peaks.append(peak)
            path.unlink()
    assert 8 < min(peaks) and max(peaks) < 256 and peaks[1] < peaks[0] + 32, peaks
