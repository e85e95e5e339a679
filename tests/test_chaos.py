# SPDX-License-Identifier: Apache-2.0
"""Real processes that are killed and paused: nothing acknowledged is lost, and whoever was away
catches up, by the log or by a snapshot. That no read is stale is `oakum chaos`'s to show
(test_chaos_command.py).

The clients are the programs in tests/tools, built with the tests. OAKUM_SLOWNESS (1) stretches the
bound on fail-over for builds that are slow on purpose.
"""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import threading
import time

import pytest

import harness

SLOWNESS = float(os.environ.get("OAKUM_SLOWNESS", "1"))
KEYS = int(os.environ.get("OAKUM_CHAOS_KEYS", "100000"))
KILLS = 6


def tool(name):
    """A program of tests/tools: it lies beside the program under test."""
    path = os.path.join(os.path.dirname(os.path.realpath(harness.oakum_path())), name)
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: build the target oak_tests")
    return path


def now_ns():
    """The clock of the tools."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Tool:
    """A tool at work beside the test; its stdout is one line of JSON."""

    def __init__(self, name, *arguments):
        # pylint: disable=consider-using-with
        self.process = harness.child([tool(name), *map(str, arguments)], text=True,
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.running:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def running(self):
        return self.process.poll() is None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)

    def result(self, patience_s=120):
        out, _ = self.process.communicate(timeout=patience_s)
        assert self.process.returncode == 0, f"{self.process.args[0]} failed: {out}"
        return json.loads(out)


class Acks:
    """The loader's file, as it grows: (key, endpoint, sent, done, revision) of each key."""

    def __init__(self, path):
        self.path = path
        self.rows = []
        self.offset = 0

    def read(self):
        with contextlib.suppress(FileNotFoundError), open(self.path, encoding="ascii") as file:
            file.seek(self.offset)
            text = file.read()
            whole = text[:text.rfind("\n") + 1]
            self.offset += len(whole)
            self.rows += [tuple(map(int, line.split())) for line in whole.splitlines()]
        return self.rows

    def wait_for(self, count, loader):
        """Until so many keys are acknowledged, or all are."""
        harness.until(lambda: len(self.read()) >= count or not loader.running,
                      f"{count} acknowledged keys")

    def first_sent_after(self, moment):
        """The earliest answer to a request that was sent after this moment."""
        return min((row[3] for row in self.read() if row[2] > moment), default=None)


def load(cluster, acks, keys, clients=32, rate=0, value_bytes=32, first=0):
    return Tool("loader", ",".join(cluster.endpoints), acks.path, keys, clients, rate, value_bytes,
                first)


def dump(node, how="linearizable"):
    """(revision, {key: (create_revision, mod_revision, version, lease)}) of one node. The tool
    compares the values with what was written."""
    done = subprocess.run([tool("dump"), node.endpoint, how], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, f"{node.name}: {done.stderr}"
    lines = done.stdout.splitlines()
    rows = (tuple(map(int, line.split())) for line in lines[1:])
    return int(lines[0].split()[1]), {row[0]: row[1:] for row in rows}


def assert_nothing_lost(cluster, acks):
    """Through each node: every acknowledged key, as linearizable reads see it; and the nodes hold
    the same, each by itself."""
    seen = [dump(node) for node in cluster.nodes]
    for node, (revision, keys) in zip(cluster.nodes, seen):
        for key, _, _, _, acknowledged in acks.rows:
            assert key in keys, f"{node.name} has lost key {key}, acknowledged at {acknowledged}"
            created, modified, version, _ = keys[key]
            assert created <= acknowledged <= modified <= revision
            assert version > 1 or modified == acknowledged
    assert seen[0] == seen[1] == seen[2], "linearizable reads differ from node to node"

    def equal():
        own = [dump(node, "serializable") for node in cluster.nodes]
        return own[0] == own[1] == own[2] == seen[0]
    harness.until(equal, "equal states of all nodes")


def leads(node):
    return node.running and node.metrics().get("etcd_server_is_leader") == 1


def leader_among(nodes):
    """The one that says that it leads; waits for one."""
    def one():
        found = [node for node in nodes if leads(node)]
        return found[0] if len(found) == 1 else None
    return harness.until(one, "one leader")


def quick_until(check, what, patience_s=harness.PATIENCE_S):
    """As harness.until, for what comes and goes within milliseconds."""
    pause = threading.Event()
    deadline = time.monotonic() + patience_s
    while not check():
        assert time.monotonic() < deadline, f"waited {patience_s} s in vain: {what}"
        pause.wait(0.0005)


def test_writes_survive_leaders_that_are_killed(cluster, tmp_path, capsys):
    acks = Acks(tmp_path / "acks")
    gaps = []
    with load(cluster, acks, KEYS, rate=max(1000, KEYS // 12)) as loader:
        for kill in range(KILLS):
            acks.wait_for((kill + 1) * KEYS // (KILLS + 1), loader)
            cluster.wait_healthy()
            victim = leader_among(cluster.nodes)
            before = now_ns()
            victim.kill()
            after = now_ns()
            if kill % 2 == 0:
                victim.start()  # back at once: it may become the leader again
            harness.until(lambda moment=after: acks.first_sent_after(moment),
                          "a write after the kill of a leader")
            gaps.append((acks.first_sent_after(after) - before) / 1e9)
            if not victim.running:
                victim.start()
        result = loader.result()
    cluster.wait_healthy()
    acks.read()
    assert result["acked"] == KEYS == len({row[0] for row in acks.rows})
    assert_nothing_lost(cluster, acks)
    with capsys.disabled():
        print(f"\n  kill of the leader to the first write: {', '.join(f'{g:.2f}' for g in gaps)} s"
              f"; {KEYS} keys, {result['tries']} puts in {result['seconds']:.1f} s")
    assert statistics.median(gaps) < 2 * SLOWNESS
    assert max(gaps) < 4 * SLOWNESS


def stopped(node):
    """All its threads stand still: the signal alone is on its way for a moment."""
    folder = f"/proc/{node.pid}/task"
    states = []
    for thread in os.listdir(folder):
        with open(f"{folder}/{thread}/stat", encoding="ascii") as file:
            states.append(file.read().rpartition(")")[2].split()[0])
    return all(state == "T" for state in states)


def test_nothing_is_acknowledged_without_a_majority(cluster, tmp_path):
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 12000, rate=4000) as loader:
        acks.wait_for(4000, loader)
        leader = leader_among(cluster.nodes)
        followers = [node for node in cluster.nodes if node is not leader]
        for node in followers:
            node.pause()
        quick_until(lambda: all(stopped(node) for node in followers), "followers that stand still")
        alone = now_ns()
        harness.until(lambda: leader.metrics()["etcd_server_proposals_pending"] > 0
                      or acks.first_sent_after(alone), "a request that waits, or is answered")
        early = acks.first_sent_after(alone)
        leader.kill()
        for node in followers:
            node.resume()
        leader.start()
        assert early is None, "acknowledged while the leader was alone"
        loader.result()
    cluster.wait_healthy()
    acks.read()
    assert_nothing_lost(cluster, acks)


def received(node):
    """Snapshots that it has received since its start."""
    return node.metrics()["oakum_snapshots_received_total"]


def caught_up(node, others):
    """It has applied what the others had when this was asked."""
    name = "etcd_server_proposals_applied_total"
    goal = max(other.metrics()[name] for other in others)
    harness.until(lambda: node.metrics()[name] >= goal, f"{node.name} catches up to {goal}")


def snapshot_files(node, ending):
    folder = os.path.join(node.data_dir, "snap")
    with contextlib.suppress(OSError):
        return [os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)
                if name.endswith(ending)]
    return []


def test_a_member_catches_up_by_a_snapshot_under_load_and_killed_within_it(start_cluster,
                                                                           tmp_path):
    cluster = start_cluster(flags=["--snapshot-catchup-entries=100",
                                   "--experimental-log-away-time=1ms"])
    first = Acks(tmp_path / "first")
    with load(cluster, first, 24000, clients=64, value_bytes=1024) as loader:
        loader.result()
    first.read()
    leader = leader_among(cluster.nodes)
    lagging = next(node for node in cluster.nodes if node is not leader)
    others = [node for node in cluster.nodes if node is not lagging]
    acks = Acks(tmp_path / "acks")
    with load(cluster, acks, 0, clients=4, rate=1000, value_bytes=64, first=1000000) as loader:
        # Stopped in order, and back: the tail is gone, a snapshot comes, under load.
        lagging.stop()
        acks.wait_for(len(acks.read()) + 1000, loader)
        lagging.start()
        lagging.wait_healthy()
        harness.until(lambda: received(lagging) >= 1, "a snapshot")
        caught_up(lagging, others)
        # Killed again and again: while chunks come, when most are there, when the file is whole.
        lagging.kill()
        acks.wait_for(len(acks.read()) + 1000, loader)
        stages = [lambda: any(s > 0 for s in snapshot_files(lagging, ".part")),
                  lambda: any(s > 12 << 20 for s in snapshot_files(lagging, ".part")),
                  lambda: snapshot_files(lagging, ".snap")]
        for number, stage in enumerate(stages):
            lagging.start()
            quick_until(stage, f"stage {number} of a snapshot")
            lagging.kill()
        lagging.start()
        lagging.wait_healthy()
        caught_up(lagging, others)
        loader.stop()
        loader.result()
    acks.read()
    first.rows += acks.rows
    assert_nothing_lost(cluster, first)
    assert received(lagging) >= 1


def test_a_snapshot_goes_on_after_each_kill_of_its_receiver(start_cluster, tmp_path, capsys):
    # Slow enough to be killed in: the state takes some six seconds. One leader throughout: the
    # memory engine copies its state to send it, and a sanitizer makes that seconds.
    cluster = start_cluster(flags=["--snapshot-catchup-entries=100", "--election-timeout=4000",
                                   "--experimental-log-away-time=5s",
                                   "--experimental-snapshot-send-rate=6000000"])
    first = Acks(tmp_path / "first")
    with load(cluster, first, 32000, clients=64, value_bytes=1024) as loader:
        loader.result()
    first.read()
    for node in cluster.nodes:
        caught_up(node, cluster.nodes)  # nobody else is sent a snapshot from here on
    leader = leader_among(cluster.nodes)
    lagging = next(node for node in cluster.nodes if node is not leader)
    others = [node for node in cluster.nodes if node is not lagging]
    acks = Acks(tmp_path / "acks")
    sent, sends = "oakum_snapshot_sent_bytes_total", "oakum_snapshot_sends_total"

    def total(name):
        # Whoever leads: a transfer outlives the leadership of its sender.
        return sum(node.metrics()[name] for node in others)

    sent_before, sends_before = total(sent), total(sends)
    with load(cluster, acks, 0, clients=4, rate=500, value_bytes=64, first=1000000) as loader:
        lagging.kill()
        acks.wait_for(len(acks.read()) + 1000, loader)
        harness.until(lambda: leader.metrics()["oakum_raft_log_bytes"] < 50000,
                      "a log that is not kept for the one that is away")
        for size in (6 << 20, 12 << 20, 18 << 20, 24 << 20):
            lagging.start()
            quick_until(lambda: any(s > size for s in snapshot_files(lagging, ".part")),
                        f"{size} bytes of a snapshot")
            acked = len(acks.read())
            lagging.kill()
            acks.wait_for(acked + 200, loader)
        lagging.start()
        lagging.wait_healthy()
        harness.until(lambda: received(lagging) >= 1, "the whole snapshot")
        caught_up(lagging, others)
        loader.stop()
        loader.result()
    state_bytes = 32000 * 1024
    sent_bytes = total(sent) - sent_before
    with capsys.disabled():
        print(f"\nsent {sent_bytes / state_bytes:.2f} times the state, "
              f"in {total(sends) - sends_before:.0f} sendings, 4 kills")
    assert lagging.metrics()["oakum_snapshots_resumed_total"] == 1
    assert state_bytes < sent_bytes < 2 * state_bytes
    acks.read()
    first.rows += acks.rows
    assert_nothing_lost(cluster, first)
