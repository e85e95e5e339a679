# SPDX-License-Identifier: Apache-2.0
"""Disks that fill up: small file systems of memory, in a mount namespace of the test's own.

New writes are refused with etcd's status before the disk is full, the alarm is raised where people
and programs look for it, leadership goes where there is space, a follower that finds none lags, and
all of it ends by itself when space is back. Nothing acknowledged is lost on the way."""
import contextlib
import errno
import json
import os
import shutil
import subprocess

import pytest

import harness
from test_chaos import Acks, dump, load

FAST = ["--heartbeat-interval=20", "--election-timeout=200"]
MIB = 1024 * 1024
RESERVE = 64 * MIB
EXCEEDED = "etcdserver: mvcc: database space exceeded"


class SmallDisks:
    """A mount namespace in which members find file systems of `mib` on their data directories, or
    on what of these is named ("n1/store")."""

    def __init__(self, folder, names, mib):
        self.folder = str(folder)
        mounts = "".join(f"mkdir -m 700 -p {self.folder}/{name} && "
                         f"mount -t tmpfs -o size={mib}m,mode=700 oakum {self.folder}/{name} && "
                         for name in names)
        # pylint: disable=consider-using-with
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c",
             f"{mounts} echo ready && exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.ready = self.holder.stdout.readline().strip() == "ready"
        self.program = os.path.join(self.folder, "inside")
        with open(self.program, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec nsenter --mount=/proc/{self.holder.pid}/ns/mnt "
                       f"--wd={self.folder} {harness.oakum_path()} \"$@\"\n")
        os.chmod(self.program, 0o755)

    def path(self, node, *names):
        """Where the test sees a file of a member."""
        return f"/proc/{self.holder.pid}/root{os.path.join(node.data_dir, *names)}"

    def fill(self, node, leave, *names):
        """Take all but `leave` bytes. The member may take some between the look and the deed."""
        def filled():
            free = shutil.disk_usage(self.path(node, *names)).free
            with open(self.path(node, *names, "filler"), "ab") as file:
                try:
                    os.posix_fallocate(file.fileno(), file.tell(), max(free - leave, 1))
                except OSError as problem:
                    assert problem.errno == errno.ENOSPC, problem
                    return False
            return True

        harness.until(filled, "the disk is full")

    def free(self, node, *names):
        os.remove(self.path(node, *names, "filler"))

    def close(self):
        self.holder.stdin.close()
        self.holder.wait(timeout=30)


@pytest.fixture
def small_disks(tmp_path):
    """small_disks(names, mib) -> SmallDisks whose folder is the cluster's."""
    with contextlib.ExitStack() as stack:
        def make(names, mib):
            disks = SmallDisks(tmp_path / "cluster1", names, mib)
            stack.callback(disks.close)
            if not disks.ready:
                pytest.skip("file systems can't be mounted here: it takes root")
            return disks
        os.makedirs(tmp_path / "cluster1")
        yield make


def put(cluster, node, key, value="v"):
    return cluster.etcdctl("put", key, value, endpoints=[node.endpoint], check=False)


def alarmed(node):
    return node.metrics().get("oakum_nospace") == 1


def health(node, query=""):
    status, _, body = node.http("GET", "/health" + query)
    return status, json.loads(body)


def test_writes_are_refused_before_the_disk_is_full_and_taken_again_after(
        start_cluster, small_disks, tmp_path):
    disks = small_disks(["n1"], 200)
    cluster = start_cluster(size=1, program=disks.program, flags=FAST)
    node = cluster.nodes[0]
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 300, clients=4) as loader:
        loader.result()
    acks.read()
    disks.fill(node, RESERVE // 2)
    harness.until(lambda: alarmed(node), "the alarm")
    done = put(cluster, node, "more")
    assert done.returncode != 0 and EXCEEDED in done.stderr, done.stderr
    assert "ResourceExhausted" in done.stderr
    # Where it is seen: status, the list of alarms, health, the log.
    status = cluster.etcdctl_json("endpoint", "status", endpoints=[node.endpoint])
    assert any("alarm:NOSPACE" in text for text in status[0]["Status"]["errors"])
    listed = cluster.etcdctl("alarm", "list", endpoints=[node.endpoint])
    assert "NOSPACE" in str(getattr(listed, "stdout", listed))
    assert health(node) == (503, {"health": "false", "reason": "ALARM NOSPACE"})
    assert health(node, "?exclude=NOSPACE")[0] == 200
    assert "alarm NOSPACE" in node.log_text()
    # What gives space back is taken, and reads are.
    assert put(cluster, node, "x").returncode != 0
    cluster.etcdctl("del", "nothing", endpoints=[node.endpoint])
    dump(node)
    # A restart in that state comes up in that state.
    assert node.stop() == 0
    node.start()
    harness.until(lambda: alarmed(node), "the alarm after a restart")
    disks.free(node)
    harness.until(lambda: not alarmed(node), "the end of the alarm")
    assert put(cluster, node, "after").returncode == 0
    assert health(node)[0] == 200
    revision, keys = dump(node)
    for key, _, _, _, acknowledged in acks.rows:
        assert key in keys and keys[key][1] == acknowledged <= revision


def test_a_leader_short_of_space_lets_another_lead(start_cluster, small_disks):
    disks = small_disks(["n1", "n2", "n3"], 160)
    cluster = start_cluster(program=disks.program, flags=FAST)
    leader = cluster.leader()
    disks.fill(leader, RESERVE // 2)
    harness.until(lambda: alarmed(leader), "the alarm")
    harness.until(lambda: cluster.leader() is not leader, "another leader")
    assert put(cluster, leader, "through the old one").returncode == 0, "it forwards to the new one"
    # All of them: nobody can take a write.
    for node in cluster.nodes:
        if node is not leader:
            disks.fill(node, RESERVE // 2)
    harness.until(lambda: all(alarmed(node) for node in cluster.nodes), "alarms everywhere")
    for node in cluster.nodes:
        done = put(cluster, node, "refused")
        assert done.returncode != 0 and EXCEEDED in done.stderr, done.stderr
    for node in cluster.nodes:
        disks.free(node)
    harness.until(lambda: not any(alarmed(node) for node in cluster.nodes), "no alarm")
    harness.until(lambda: put(cluster, leader, "again").returncode == 0, "a write")


def count(cluster, node):
    found = cluster.etcdctl_json("get", "", "--prefix", "--limit=1", "--keys-only",
                                 "--consistency=s", endpoints=[node.endpoint])
    return found["count"], found["header"]["revision"]


def test_a_follower_whose_log_finds_no_space_lags_and_catches_up(
        start_cluster, small_disks, tmp_path):
    disks = small_disks(["n1", "n2", "n3"], 400)
    # The store in memory writes at flushes only: it is the log that finds the disk full.
    memory = [] if os.environ.get("OAKUM_STORE") == "memory" else ["--experimental-store=memory"]
    cluster = start_cluster(program=disks.program, flags=[*FAST, *memory])
    victim = cluster.followers()[0]
    disks.fill(victim, 64 * 1024)
    harness.until(lambda: alarmed(victim), "the alarm")
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 2200, clients=8, value_bytes=20000) as loader:
        loader.result()
    assert len(acks.read()) == 2200, "the others go on"
    harness.until(lambda: "what is to be written waits" in victim.log_text(), "a full disk")
    assert victim.running, victim.log_tail()
    # A kill in that state: it starts again, in that state.
    victim.kill()
    victim.start()
    harness.until(lambda: alarmed(victim), "the alarm after a kill")
    assert victim.running
    disks.free(victim)
    cluster.wait_healthy()
    harness.until(lambda: count(cluster, victim) == count(cluster, cluster.leader()),
                  "equal states")
    assert count(cluster, victim)[0] >= 2200


def store_full(node):
    return node.metrics().get("oakum_store_full") == 1


# More than a test writes into a store.
STORE_MIB = 64
# What waits in memory at most, and what one output of Raft and one batch may add.
WAITING_MAX = (16 + 4 + 4) * MIB


@pytest.mark.needs_rocks
def test_a_store_that_finds_no_space_refuses_writes_and_heals(start_cluster, small_disks, tmp_path):
    """The log has a device of its own, with space enough: it is RocksDB that finds none."""
    disks = small_disks(["n1/store"], STORE_MIB)
    cluster = start_cluster(size=1, program=disks.program, flags=FAST)
    node = cluster.nodes[0]
    acks = Acks(tmp_path / "acks")
    disks.fill(node, 64 * 1024, "store")
    with load(cluster, acks, 2000, clients=8, value_bytes=20000):
        harness.until(lambda: store_full(node), "a store that is full")
    assert node.running, node.log_tail()
    done = put(cluster, node, "more")
    assert done.returncode != 0 and EXCEEDED in done.stderr, done.stderr
    status = cluster.etcdctl_json("endpoint", "status", endpoints=[node.endpoint])
    assert any("alarm:NOSPACE" in text for text in status[0]["Status"]["errors"])
    assert health(node) == (503, {"health": "false", "reason": "ALARM NOSPACE"})
    assert "alarm NOSPACE: the store in" in node.log_text()
    check_acknowledged(node, acks)
    disks.free(node, "store")
    harness.until(lambda: not store_full(node), "the end of it")
    assert put(cluster, node, "after").returncode == 0
    assert health(node)[0] == 200
    check_acknowledged(node, acks)
    # Once more, with a kill in that state: the log has kept what the store could not take.
    disks.fill(node, 64 * 1024, "store")
    acks = Acks(tmp_path / "acks2")
    with load(cluster, acks, 2000, clients=8, value_bytes=20000, first=5000):
        harness.until(lambda: store_full(node), "a store that is full once more")
    node.kill()
    disks.free(node, "store")
    node.start()
    cluster.wait_healthy()
    check_acknowledged(node, acks)


def check_acknowledged(node, acks):
    acks.read()
    revision, keys = dump(node)
    for key, _, _, _, acknowledged in acks.rows:
        assert key in keys and acknowledged <= keys[key][1] <= revision


@pytest.mark.needs_rocks
def test_a_follower_whose_store_finds_no_space_lags_and_catches_up(
        start_cluster, small_disks, tmp_path):
    disks = small_disks(["n1/store", "n2/store", "n3/store"], 4 * STORE_MIB)
    cluster = start_cluster(program=disks.program, flags=FAST)
    victim = cluster.followers()[0]
    disks.fill(victim, 64 * 1024, "store")
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 2200, clients=8, value_bytes=20000) as loader:
        loader.result()
    assert len(acks.read()) == 2200, "the others go on"
    harness.until(lambda: store_full(victim), "a store that is full")
    assert victim.running, victim.log_tail()
    assert victim.metrics()["oakum_store_waiting_bytes"] < WAITING_MAX
    behind = count(cluster, victim)[0]
    assert behind < 2200, "more would not fit its memory"
    disks.free(victim, "store")
    harness.until(lambda: count(cluster, victim) == count(cluster, cluster.leader()),
                  "equal states")
    assert count(cluster, victim)[0] >= 2200
    assert not store_full(victim)


@pytest.mark.needs_rocks
def test_a_start_without_any_space_says_so_and_succeeds_when_there_is(start_cluster, small_disks):
    disks = small_disks(["n1/store"], STORE_MIB)
    cluster = start_cluster(size=1, program=disks.program, flags=FAST)
    node = cluster.nodes[0]
    assert put(cluster, node, "before").returncode == 0
    node.kill()
    disks.fill(node, 0, "store")
    node.start()
    assert node.wait() == 1
    said = node.log_text().splitlines()[-1]
    assert "No space left on device" in said and "start again once there is space" in said, said
    disks.free(node, "store")
    node.start()
    cluster.wait_healthy()
    assert count(cluster, node)[0] == 1
