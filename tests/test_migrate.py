# SPDX-License-Identifier: Apache-2.0
"""Coming from etcd: what a cluster that starts from its snapshot says is what that etcd said, at
each revision that it still had; and what is no snapshot is refused, and leaves nothing behind."""
import json
import os

import harness
import rpc_client
from test_snapshot import an_etcd  # noqa: F401  # pylint: disable=unused-import
from test_snapshot import client_of, fill, ok, said_by, users


def oakum(*arguments, code=0):
    done = harness.run(*arguments)
    assert done.returncode == code, (done.stdout, done.stderr)
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
    other = start_cluster(size=1, start=False).nodes[0]
    oakum("import", path, "--data-dir", other.data_dir, *cluster_of(other))
    # As a kill leaves it: the mark, and no identity yet.
    os.remove(os.path.join(other.data_dir, "identity"))
    with open(os.path.join(other.data_dir, "restoring"), "wb"):
        pass
    other.start()
    other.wait()
    assert "interrupted" in other.log_text()
    done = harness.run("import", path, "--data-dir", other.data_dir, *cluster_of(other))
    assert done.returncode == 0 and "begins again" in done.stderr
    other.start()
    other.wait_healthy()
    assert other.cluster.etcdctl("get", "k") == "k\nv"
