# SPDX-License-Identifier: Apache-2.0
"""Alarms, quota, hashes of the history, compaction by itself, handing leadership over: Oakum and
etcd alike, by etcd's own client."""

import base64
import json
import subprocess

import pytest

import harness
import rpc_client


@pytest.fixture(scope="module")
def pair(lasting_cluster, etcd_bin):
    """Three members of Oakum, and three of etcd."""
    return lasting_cluster(), lasting_cluster(program=etcd_bin)


def said(cluster, *command, **options):
    """The last line of what etcdctl said, on stdout or stderr; ids are left out."""
    done = cluster.etcdctl(*command, check=False, **options)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[-1] if lines else ""


def hashes(cluster, revision):
    """What each member answers: the set of (hash, compacted), or the error."""
    found = set()
    for node in cluster.nodes:
        cluster.etcdctl("get", "none", endpoints=[node.endpoint])  # it is up to date
        done = cluster.etcdctl("endpoint", "hashkv", "--rev", str(revision), "-w", "json",
                               endpoints=[node.endpoint], check=False)
        if done.returncode == 0:
            row = json.loads(done.stdout)[0]["HashKV"]
            found.add((row["hash"], row["compact_revision"]))
        else:
            found.add(done.stderr.strip().splitlines()[-1])
    return found


def test_hashes_of_one_history_agree(pair):
    def same(revision):
        one, other = (hashes(cluster, revision) for cluster in pair)
        assert len(one) == 1 and one == other, revision
        return one.pop()

    revisions = []
    for cluster in pair:
        for i in range(24):
            cluster.etcdctl("put", f"hash/{i % 5}", f"value {i}" * (i % 4))
            if i % 6 == 5:
                cluster.etcdctl("del", f"hash/{i % 5}")
            if i % 8 == 7:
                cluster.etcdctl("txn", text=f'mod("hash/1") > "0"\n\nput hash/1 yes\n'
                                            f'put hash/9 {i}\ndel hash/2\n\nput hash/3 no\n\n')
        revisions.append(cluster.etcdctl_json("get", "none")["header"]["revision"])
    newest = revisions[0]
    assert revisions == [newest, newest]
    first = same(0)
    assert same(newest) == first
    for revision in (1, 2, newest // 2, newest - 1, newest + 1):
        same(revision)
    for floor in (newest // 3, newest // 2, newest - 1):
        for cluster in pair:
            cluster.etcdctl("compaction", str(floor), "--physical")
        for revision in (0, newest, floor + 1, floor - 1):
            same(revision)
    assert same(0) != first
    for cluster in pair:
        cluster.etcdctl("del", "--prefix", "hash/")
    same(0)
    for cluster in pair:
        cluster.etcdctl("compaction", str(newest + 1), "--physical")
    same(0)


def test_leadership_is_handed_to_who_is_named(pair):
    for cluster in pair:
        ids = {node: f"{row['header']['member_id']:x}" for node, row in cluster.status().items()}
        old = cluster.leader()
        new = next(node for node in cluster.nodes if node is not old)
        assert said(cluster, "move-leader", ids[new]) == \
            f"Leadership transferred from {ids[old]} to {ids[new]}"
        assert cluster.leader() is new
        assert said(cluster, "move-leader", "deadbeef") == \
            "Error: etcdserver: bad leader transferee"
        cluster.etcdctl("put", "moved", "yes")


def test_defragmentation_answers_and_nothing_is_lost(pair):
    for cluster in pair:
        cluster.etcdctl("put", "defrag", "kept")
        for node in cluster.nodes:
            assert said(cluster, "defrag", endpoints=[node.endpoint]) == \
                f"Finished defragmenting etcd member[{node.endpoint}]"
        assert cluster.etcdctl("get", "defrag", "--print-value-only") == "kept"


def test_endpoints_may_be_written_as_urls(cluster):
    """etcdctl 3.4 names such an endpoint in :authority as it is, when it asks it by itself."""
    urls = [node.client_url for node in cluster.nodes]
    assert all("://" in url for url in urls)
    for words in (["endpoint", "status"], ["endpoint", "hashkv"], ["endpoint", "health"],
                  ["endpoint", "status", "--cluster"], ["defrag"], ["alarm", "list"]):
        cluster.etcdctl(*words, endpoints=urls)  # fails unless all answer
    leader = cluster.leader()
    target = next(node for node in cluster.nodes if node is not leader)
    number = cluster.status()[target]["header"]["member_id"]
    cluster.etcdctl("move-leader", f"{number:x}", endpoints=urls)


@pytest.mark.needs_rocks
def test_a_quota_refuses_what_takes_space_until_the_alarm_is_cleared(start_cluster, request):
    for program in ("oakum", "etcd"):
        cluster = start_cluster(size=1, flags=["--quota-backend-bytes", str(4 << 20)],
                                program=request.getfixturevalue(f"{program}_bin"))
        node = cluster.nodes[0]
        number = cluster.status()[node]["header"]["member_id"]
        value = "v" * (100 << 10)
        refusal = "Error: etcdserver: mvcc: database space exceeded"
        taken = 0
        while said(cluster, "put", f"quota/{taken}", value) != refusal:
            taken += 1
            assert taken < 200, program
        assert taken > 5, program
        assert cluster.etcdctl("alarm", "list") == f"memberID:{number} alarm:NOSPACE"
        assert f"memberID:{number} alarm:NOSPACE " in cluster.status()[node]["errors"]
        assert json.loads(node.http("GET", "/health")[2])["health"] == "false"
        assert said(cluster, "put", "small", "1") == refusal
        assert said(cluster, "txn", text="\n\nput small 1\n\n\n") == refusal
        # What gives space back is taken.
        assert 0 < int(cluster.etcdctl("del", "--prefix", "quota/")) <= taken
        newest = cluster.etcdctl_json("get", "none")["header"]["revision"]
        cluster.etcdctl("compaction", str(newest), "--physical")
        assert said(cluster, "put", "small", "1") == refusal

        def cleared():
            cluster.etcdctl("defrag")
            cluster.etcdctl("alarm", "disarm")
            return cluster.etcdctl("put", "small", "1", check=False).returncode == 0
        harness.until(cleared, f"{program} takes puts again")
        assert cluster.etcdctl("alarm", "list") == ""
        node.restart()
        assert cluster.etcdctl("get", "small", "--print-value-only") == "1"


def test_what_a_quota_refuses_is_told_once_the_alarm_is_on(start_cluster):
    cluster = start_cluster(size=1, flags=["--quota-backend-bytes", "1"])
    client = rpc_client.Client(cluster.nodes[0].endpoint)
    for _ in range(20):
        refused = client.call("Put", "key: 'a' value: 'v'")
        assert (refused.code, refused.message) == \
            ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
        alarms = client.call("Alarm", "action: GET").response.alarms
        assert [alarm.alarm for alarm in alarms] == [1]
        assert client.call("Alarm", f"action: DEACTIVATE memberID: {alarms[0].memberID} "
                                    "alarm: NOSPACE").code == "OK"
    client.close()


def test_w04_a_member_killed_while_it_defragments_has_lost_nothing(start_cluster):
    cluster = start_cluster(size=3)
    node = cluster.followers()[0]
    wanted = {}
    for turn in range(3):
        for _ in range(2):
            wanted.update({f"defrag/{i}": f"{turn}-{i}" for i in range(turn, turn + 50)})
            puts = "".join(f"put {key} {value}\n" for key, value in wanted.items())
            assert cluster.etcdctl("txn", text=f"\n{puts}\n\n").startswith("SUCCESS")
        newest = cluster.etcdctl_json("get", "none")["header"]["revision"]
        cluster.etcdctl("compaction", str(newest - 1))
        with subprocess.Popen([harness.etcdctl_path(), "--endpoints", node.endpoint, "defrag"],
                              env={"ETCDCTL_API": "3"}, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as defragmenting:
            if turn % 2 == 0:
                defragmenting.wait()  # answered, and what it asked for is under way
            node.kill()
        node.start()
        node.wait_healthy()
        assert len(hashes(cluster, newest)) == 1
    here = cluster.etcdctl_json("get", "defrag/", "--prefix", endpoints=[node.endpoint])["kvs"]
    assert {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv["value"]).decode()
            for kv in here} == wanted


def test_an_alarm_is_the_clusters_and_outlives_a_restart(start_cluster):
    cluster = start_cluster(flags=["--quota-backend-bytes", "1"])
    full = cluster.followers()[0]
    number = cluster.status()[full]["header"]["member_id"]
    assert "database space exceeded" in said(cluster, "put", "a", "1", endpoints=[full.endpoint])
    for node in cluster.nodes:
        harness.until(lambda node=node: cluster.etcdctl(
            "alarm", "list", endpoints=[node.endpoint]) == f"memberID:{number} alarm:NOSPACE",
            "the alarm everywhere")
    full.stop()
    full.start()
    harness.until(lambda: cluster.etcdctl(
        "alarm", "list", endpoints=[full.endpoint], check=False).stdout.strip()
        == f"memberID:{number} alarm:NOSPACE", "the alarm behind a restart")
    assert cluster.etcdctl("alarm", "disarm") == f"memberID:{number} alarm:NOSPACE"
    assert cluster.etcdctl("alarm", "list") == ""


def test_history_is_compacted_by_itself(start_cluster, request):
    for program in ("oakum", "etcd"):
        cluster = start_cluster(flags=["--auto-compaction-retention", "1s"],
                                program=request.getfixturevalue(f"{program}_bin"))
        for i in range(5):
            cluster.etcdctl("put", "k", str(i))
        text = "Error: etcdserver: mvcc: required revision has been compacted"
        harness.until(lambda: [said(cluster, "get", "k", "--rev", "3", endpoints=[node.endpoint])
                               for node in cluster.nodes] == [text] * 3, "compacted everywhere")
        assert cluster.etcdctl("get", "k", "--print-value-only") == "4"

