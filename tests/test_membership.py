# SPDX-License-Identifier: Apache-2.0
"""Members come, go, and move, on Oakum and on etcd alike, by etcd's own client."""

import contextlib
import re
import threading
import time

import pytest

import harness
import rpc_client

UNKNOWN = "00000000deadbeef"
# Who has just started is not known for long enough yet, or has not told its name.
SOON = ("etcdserver: unhealthy cluster",
        "etcdserver: re-configuration failed due to not enough started members")


def member_ids(cluster):
    """{node: id in hex} of the members that run."""
    return {node: f"{status['header']['member_id']:x}"
            for node, status in cluster.status().items()}


def members(cluster, **options):
    """The rows of `member list`, by peer URL."""
    rows = cluster.etcdctl_json("member", "list", **options)["members"]
    assert [row["ID"] for row in rows] == sorted(row["ID"] for row in rows)
    return {row["peerURLs"][0]: row for row in rows}


def row_of(cluster, url, **options):
    """The row of this peer URL, once every member asked has it: this etcdctl reads locally."""
    return harness.until(lambda: members(cluster, **options).get(url), f"{url} in the list")


def voters_made(cluster):
    """The ids of members that got their vote once they had caught up, as Oakum's leaders say."""
    return {found for node in cluster.nodes
            for found in re.findall(r"member (\w+) was added as a voter and has caught up",
                                    node.log_text())}


def refused(cluster, text, *command, **options):
    """The command fails, and its error is this one."""
    done = cluster.etcdctl(*command, check=False, **options)
    assert done.returncode != 0, done.stdout
    assert done.stderr.strip().splitlines()[-1] == f"Error: {text}"


def takes(cluster, *command, **options):
    """The command works once the members know each other for a few seconds, as etcd asks for."""
    def tried():
        done = cluster.etcdctl(*command, check=False, **options)
        if done.returncode != 0:
            assert any(text in done.stderr for text in SOON), done.stderr
        return done.returncode == 0
    harness.until(tried, " ".join(command))


@contextlib.contextmanager
def writers(cluster, count=3):
    """Clients that write meanwhile. Gives a function: what was acknowledged so far."""
    stop = threading.Event()
    acknowledged = [0] * count

    def write(who):
        number = 1
        while not stop.is_set():
            endpoints = [node.endpoint for node in cluster.running]
            done = cluster.etcdctl("put", f"writer{who}/{number:06}", str(number),
                                   endpoints=endpoints[who % len(endpoints):] + endpoints,
                                   check=False)
            if done.returncode == 0:
                acknowledged[who] = number
                number += 1

    threads = [threading.Thread(target=write, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(acknowledged)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for who, last in enumerate(acknowledged):
        found = cluster.etcdctl("get", "--prefix", f"writer{who}/", "--keys-only").split()
        wanted = [f"writer{who}/{number:06}" for number in range(1, last + 1)]
        assert found[:last] == wanted, "an acknowledged write is lost"


def test_a_dead_member_of_three_is_replaced_by_two_commands_under_load(either):
    cluster = either
    ids = member_ids(cluster)
    dead = cluster.followers()[0]
    with writers(cluster) as acknowledged:
        harness.until(lambda: acknowledged() > 20, "writes")
        dead.kill()
        takes(cluster, "member", "remove", ids[dead],
              endpoints=[node.endpoint for node in cluster.running])
        cluster.nodes.remove(dead)
        new = cluster.newcomer("n4")
        takes(cluster, "member", "add", new.name, "--peer-urls", new.peer_url,
              endpoints=[node.endpoint for node in cluster.running])
        row = row_of(cluster, new.peer_url)
        assert row.get("name", "") == "" and not row.get("isLearner")
        before = acknowledged()
        harness.until(lambda: acknowledged() > before + 10, "writes go on beside an empty place")
        new.start()
        new.wait_healthy()
        before = acknowledged()
        harness.until(lambda: acknowledged() > before + 20, "writes with the new member")
    assert row_of(cluster, new.peer_url)["name"] == "n4"
    assert len(members(cluster)) == 3
    if cluster.program == harness.oakum_path():
        harness.until(lambda: voters_made(cluster), "the new member votes")
    # It counts: with another one down there is still a majority.
    cluster.followers()[0].kill()
    harness.until(lambda: cluster.etcdctl("put", "k", "v", endpoints=[new.endpoint],
                                          check=False).returncode == 0, "a majority with it")
    assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=[new.endpoint]) == "v"


def test_a_cluster_grows_from_one_and_shrinks_to_one(start_cluster):
    cluster = start_cluster(size=1)
    first = cluster.nodes[0]
    for number in range(2, 4):
        new = cluster.newcomer(f"n{number}")
        takes(cluster, "member", "add", new.name, "--peer-urls", new.peer_url,
              endpoints=[first.endpoint])
        cluster.etcdctl("put", f"before{number}", "1", endpoints=[first.endpoint])
        new.start()
        new.wait_healthy()
    for node in cluster.nodes:
        assert cluster.etcdctl("get", "--prefix", "before", "--keys-only",
                               endpoints=[node.endpoint]).split() == ["before2", "before3"]
    harness.until(lambda: len(voters_made(cluster)) == 2, "both have their votes")
    while len(cluster.nodes) > 1:
        gone = cluster.leader()
        takes(cluster, "member", "remove", member_ids(cluster)[gone])
        assert gone.wait() == 0
        assert "permanently removed from the cluster" in gone.log_text()
        cluster.nodes.remove(gone)
        cluster.wait_healthy()
    last = cluster.nodes[0]
    refused(cluster, "etcdserver: re-configuration failed due to not enough started members",
            "member", "remove", member_ids(cluster)[last])
    cluster.etcdctl("put", "k", "v")


def test_a_member_that_starts_long_after_it_was_added_gets_its_vote_without_a_write(start_cluster):
    cluster = start_cluster(size=1)
    first = cluster.nodes[0]
    new = cluster.newcomer("n2")
    takes(cluster, "member", "add", new.name, "--peer-urls", new.peer_url,
          endpoints=[first.endpoint])
    # The time itself is the case, and nothing shows that it has passed: a round of catching up that
    # takes longer than an election time-out (1 s) does not count.
    time.sleep(2.5)
    new.start()
    new.wait_healthy()
    harness.until(lambda: voters_made(cluster), "its vote")


def test_a_removed_member_stops_and_does_not_come_back(cluster):
    gone = cluster.followers()[0]
    ids = member_ids(cluster)
    takes(cluster, "member", "remove", ids[gone])
    assert gone.wait() == 0
    assert "the member has been permanently removed from the cluster" in gone.log_text()
    refused(cluster, "etcdserver: member not found", "member", "remove", ids[gone],
            endpoints=[node.endpoint for node in cluster.running])
    gone.start()
    assert gone.wait() == 0
    assert gone.log_text().count("the member has been permanently removed") == 2
    assert len(members(cluster, endpoints=[cluster.running[0].endpoint])) == 2


def test_what_a_change_of_members_is_refused_for(either):
    cluster = either
    ids = member_ids(cluster)
    leader = cluster.leader()
    one = cluster.followers()[0]
    refused(cluster, "etcdserver: Peer URLs already exists",
            "member", "update", ids[one], "--peer-urls", leader.peer_url)
    free = cluster.newcomer("n4")
    cluster.nodes.remove(free)
    for command in (["remove"], ["promote"], ["update", "--peer-urls", free.peer_url]):
        refused(cluster, "etcdserver: member not found",
                "member", command[0], UNKNOWN, *command[1:])
    refused(cluster, "etcdserver: can only promote a learner member", "member", "promote",
            ids[one])
    takes(cluster, "member", "add", "n4", "--learner", "--peer-urls", free.peer_url)
    refused(cluster, "etcdserver: Peer URLs already exists",
            "member", "add", "n5", "--peer-urls", one.peer_url)
    refused(cluster, "etcdserver: too many learner members in cluster",
            "member", "add", "n5", "--learner", "--peer-urls", "http://127.0.0.1:1")
    row = row_of(cluster, free.peer_url)
    assert row["isLearner"] and row.get("name", "") == ""
    learner = f"{row['ID']:x}"
    refused(cluster, "etcdserver: can only promote a learner member which is in sync with leader",
            "member", "promote", learner)
    cluster.etcdctl("member", "remove", learner)
    harness.until(lambda: len(members(cluster)) == 3, "three are left")


def test_changes_that_could_cost_the_quorum_are_refused(either):
    cluster = either
    ids = member_ids(cluster)
    takes(cluster, "member", "add", "n4", "--learner", "--peer-urls", "http://127.0.0.1:1")
    learner = f"{row_of(cluster, 'http://127.0.0.1:1')['ID']:x}"
    cluster.etcdctl("member", "remove", learner)
    down = cluster.followers()[0]
    down.kill()
    alive = [node.endpoint for node in cluster.running]
    other = cluster.running[0]
    harness.until(lambda: "unhealthy" in cluster.etcdctl(
        "member", "add", "n5", "--peer-urls", "http://127.0.0.1:2", endpoints=alive,
        check=False).stderr, "the member that is down is missed")
    refused(cluster, "etcdserver: unhealthy cluster", "member", "remove", ids[other],
            endpoints=alive)
    down.start()
    down.wait_healthy()
    # With two voters more that never start, four of five would have to be there.
    takes(cluster, "member", "add", "n5", "--peer-urls", "http://127.0.0.1:2")
    refused(cluster, "etcdserver: unhealthy cluster",
            "member", "add", "n6", "--peer-urls", "http://127.0.0.1:3")
    harness.until(lambda: len(members(cluster)) == 4, "four are listed")


def test_a_learner_serves_little_and_is_promoted(either, tmp_path):
    cluster = either
    cluster.etcdctl("put", "k", "v")
    new = cluster.newcomer("n4")
    old = [node.endpoint for node in cluster.nodes if node is not new]
    takes(cluster, "member", "add", new.name, "--learner", "--peer-urls", new.peer_url,
          endpoints=old)
    new.start()
    harness.until(lambda: cluster.etcdctl("get", "k", "--consistency=s", "--print-value-only",
                                          endpoints=[new.endpoint], check=False).stdout == "v\n",
                  "the learner has the key")
    for command in (["get", "k"], ["put", "k", "w"], ["del", "k"], ["member", "list"],
                    ["compaction", "1"], ["alarm", "list"]):
        done = cluster.etcdctl(*command, endpoints=[new.endpoint], check=False)
        assert done.returncode != 0, command
        assert "etcdserver: rpc not supported for learner" in done.stderr, command
    if cluster.program == harness.oakum_path():  # as etcd from 3.5 on
        cluster.etcdctl("snapshot", "save", str(tmp_path / "saved.db"), endpoints=[new.endpoint])
    client = rpc_client.Client(new.endpoint)
    for name, request in (("Watch", "create_request { key: 'k' }"), ("LeaseKeepAlive", "ID: 7")):
        stream = client.stream(name)
        stream.send(request)
        assert stream.receive() is None, name
        assert stream.status.message == "etcdserver: rpc not supported for learner", name
    for method in ("Lock", "Unlock", "Campaign", "Proclaim", "Leader", "Resign", "Observe"):
        answer = client.download(method) if method == "Observe" else client.call(method)
        assert answer.message == "etcdserver: rpc not supported for learner", method
    answer = client.call("Range", "key: 'k' serializable: true revision: 1000")
    assert answer.message == "etcdserver: mvcc: required revision is a future revision"
    client.close()
    status = cluster.status([new])[new]
    assert status["isLearner"] is True
    learner = f"{status['header']['member_id']:x}"
    harness.until(lambda: cluster.etcdctl("member", "promote", learner, endpoints=old,
                                          check=False).returncode == 0, "it is promoted")
    harness.until(lambda: not members(cluster, endpoints=old)[new.peer_url].get("isLearner"),
                  "it is no learner any more")
    refused(cluster, "etcdserver: can only promote a learner member", "member", "promote",
            learner, endpoints=old)
    new.wait_healthy()
    cluster.etcdctl("put", "k", "w", endpoints=[new.endpoint])
    assert len({row["raftTerm"] for row in cluster.status().values()}) == 1


def test_a_member_moves_to_another_address(either):
    cluster = either
    moved = cluster.followers()[0]
    number = member_ids(cluster)[moved]
    place = cluster.newcomer("place")
    cluster.nodes.remove(place)
    moved.stop()
    old = [node.endpoint for node in cluster.running]
    assert place.peer_url not in members(cluster, endpoints=old)
    cluster.etcdctl("member", "update", number, "--peer-urls", place.peer_url, endpoints=old)
    assert f"{row_of(cluster, place.peer_url, endpoints=old)['ID']:x}" == number
    # As it was born, by its flags, but for where it listens.
    moved.flags = ["--listen-peer-urls", place.peer_url]
    moved.start()
    moved.wait_healthy()
    cluster.etcdctl("put", "k", "v", endpoints=[moved.endpoint])
    assert members(cluster)[place.peer_url]["name"] == moved.name
    # It can be reached there: it becomes the leader's majority.
    others = [node for node in cluster.nodes if node is not moved]
    others[0].kill()
    harness.until(lambda: cluster.etcdctl("put", "k", "w", check=False, endpoints=[
        others[1].endpoint, moved.endpoint]).returncode == 0, "a majority with it")


@pytest.mark.parametrize("flags, text", [
    (["--initial-cluster", "n4=http://127.0.0.1:1,n1={n1},n2={n2},n3={n3}",
      "--initial-advertise-peer-urls", "http://127.0.0.1:1"], "member count is unequal"),
    (["--initial-cluster", "n1={n1},n4=http://127.0.0.1:1,n3={n3}",
      "--initial-advertise-peer-urls", "http://127.0.0.1:1"],
     "no member of the cluster has the peer URLs of n4"),
    (["--initial-cluster", "n9=http://127.0.0.1:2,n4=http://127.0.0.1:1",
      "--initial-advertise-peer-urls", "http://127.0.0.1:1"],
     "could not retrieve cluster information from the given URLs"),
])
def test_who_was_not_announced_does_not_join(cluster, flags, text):
    urls = {node.name: node.peer_url for node in cluster.nodes}
    stranger = cluster.newcomer("n4")
    cluster.nodes.remove(stranger)
    stranger.flags = [flag.format(**urls) for flag in flags]
    stranger.start()
    assert stranger.wait() == 1
    assert text in stranger.log_text()
