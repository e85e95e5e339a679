# SPDX-License-Identifier: Apache-2.0
"""Leases of clients in real processes, by etcd's own client: granted, kept alive, looked at,
revoked, expired; through the death of the leader, a restart of everybody, and a snapshot.

(The leases by which a leader answers reads are test_leases.py's.)

A time is never the verdict, but for one: a lease that is gone earlier than its time to live after
the last keepalive that was answered is a bug however busy the machine is."""
import re
import subprocess
import threading
import time

import harness

LONG = "3600"


def grant(cluster, seconds=LONG, **options):
    """The id as etcdctl writes it, in hexadecimal."""
    said = cluster.etcdctl("lease", "grant", str(seconds), **options)
    found = re.fullmatch(r"lease ([0-9a-f]{16}) granted with TTL\((\d+)s\)", said)
    assert found, said
    return found.group(1)


def time_to_live(cluster, lease, **options):
    return cluster.etcdctl_json("lease", "timetolive", lease, "--keys", **options)


def known(cluster, **options):
    return {row["id"] for row in
            cluster.etcdctl_json("lease", "list", **options).get("leases", [])}


def revision(cluster, **options):
    return cluster.etcdctl_json("get", "x", **options)["header"]["revision"]


def of_each_member(cluster):
    return [[node.endpoint] for node in cluster.running]


def test_each_member_grants_keeps_and_revokes(start_cluster):
    cluster = start_cluster(size=3)
    for number, one in enumerate(of_each_member(cluster)):
        lease = grant(cluster, endpoints=one)
        for key in (f"b{number}", f"a{number}"):
            cluster.etcdctl("put", key, "1", "--lease", lease, endpoints=one)
        assert cluster.etcdctl("lease", "keep-alive", "--once", lease, endpoints=one) == \
            f"lease {lease} keepalived with TTL({LONG})"
        for other in of_each_member(cluster):
            left = time_to_live(cluster, lease, endpoints=other)
            assert left["granted-ttl"] == int(LONG)
            assert 0 < left["ttl"] <= int(LONG)
            assert left["id"] == int(lease, 16)
            assert len(left["keys"]) == 2
        before = revision(cluster)
        assert cluster.etcdctl("lease", "revoke", lease, endpoints=one) == f"lease {lease} revoked"
        assert revision(cluster) == before + 1
        assert cluster.etcdctl("get", "", "--prefix") == ""
        for other in of_each_member(cluster):
            gone = cluster.etcdctl("lease", "revoke", lease, endpoints=other, check=False)
            assert "requested lease not found" in gone.stderr
            assert cluster.etcdctl("lease", "timetolive", lease, endpoints=other) == \
                f"lease {lease} already expired"
            over = cluster.etcdctl("lease", "keep-alive", lease, endpoints=other)
            assert over == f"lease {lease} expired or revoked."


def test_a_lease_expires_and_takes_its_keys_along(start_cluster):
    cluster = start_cluster(size=3)
    for one in of_each_member(cluster):
        begun = time.monotonic()
        lease = grant(cluster, 2, endpoints=one)
        cluster.etcdctl("put", "a", "1", "--lease", lease, endpoints=one)
        cluster.etcdctl("put", "b", "1", "--lease", lease, endpoints=one)
        cluster.etcdctl("put", "b", "stays", endpoints=one)
        before = revision(cluster)
        harness.until(lambda: not cluster.etcdctl("get", "a"), "the key is gone")
        assert time.monotonic() - begun >= 2
        assert revision(cluster) == before + 1
        assert cluster.etcdctl("get", "b", "--print-value-only") == "stays"
        assert int(lease, 16) not in known(cluster, endpoints=[cluster.leader().endpoint])
    metrics = cluster.leader().metrics()
    assert metrics["etcd_debugging_server_lease_expired_total"] == 3
    assert metrics["etcd_debugging_lease_granted_total"] == 3
    assert metrics["etcd_debugging_lease_revoked_total"] == 3


def test_a_short_life_is_raised_and_a_long_one_refused(start_cluster):
    cluster = start_cluster(size=1)
    for asked in ("1", "0", "-7"):
        said = cluster.etcdctl("lease", "grant", "--", asked)
        assert "granted with TTL(2s)" in said
    refused = cluster.etcdctl("lease", "grant", "9000000001", check=False)
    assert "etcdserver: too large lease TTL" in refused.stderr
    assert "granted with TTL(9000000000s)" in cluster.etcdctl("lease", "grant", "9000000000")


class KeepAlive:
    """etcdctl lease keep-alive: each answer, with the time when it was read."""

    def __init__(self, cluster, lease, endpoints=None):
        self.answers = []
        self.process = subprocess.Popen(
            [harness.etcdctl_path(), "--endpoints", ",".join(endpoints or cluster.endpoints),
             "lease", "keep-alive", lease],
            stdout=subprocess.PIPE, text=True, env={"ETCDCTL_API": "3"})
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.answers.append((time.monotonic(), line.strip()))

    def more(self, count=1):
        """Wait for so many more."""
        wanted = len(self.answers) + count
        harness.until(lambda: len(self.answers) >= wanted, "an answer to a keepalive")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.reader.join()


def test_keepalives_go_on_when_the_leader_dies(start_cluster):
    cluster = start_cluster(size=3)
    lease = grant(cluster, 5)
    cluster.etcdctl("put", "alive", "1", "--lease", lease)
    follower = cluster.followers()[0]
    keeper = KeepAlive(cluster, lease, [follower.endpoint])
    try:
        keeper.more()
        cluster.leader().kill()
        keeper.more(3)
        assert cluster.leader().running
        assert all("keepalived with TTL(5)" in text for _, text in keeper.answers)
        assert cluster.etcdctl("get", "alive", "--print-value-only",
                               endpoints=[follower.endpoint]) == "1"
    finally:
        keeper.close()
    last = keeper.answers[-1][0]
    harness.until(lambda: not cluster.etcdctl("get", "alive", endpoints=[follower.endpoint]),
                  "it expires when nobody keeps it")
    # The last answer was read later than it was promised, by what etcdctl and this thread took.
    assert time.monotonic() - last >= 4


def test_a_new_leader_lets_no_lease_end_early(start_cluster):
    cluster = start_cluster(size=3)
    leases = [grant(cluster, 8) for _ in range(3)]
    for number, lease in enumerate(leases):
        cluster.etcdctl("put", f"k{number}", "1", "--lease", lease)
    for lease in leases:
        cluster.etcdctl("lease", "keep-alive", "--once", lease)
    killed = cluster.leader()
    killed.kill()
    begun = time.monotonic()
    cluster.leader()
    leader = [cluster.leader().endpoint]
    for lease in leases:
        left = time_to_live(cluster, lease, endpoints=leader)
        # All of it again, and an election time-out: no less than what was left.
        assert left["ttl"] + (time.monotonic() - begun) >= 7
    killed.start()
    harness.until(lambda: not cluster.etcdctl("get", "k", "--prefix"), "all are gone")
    assert time.monotonic() - begun >= 8


def test_a_leader_that_was_deposed_ends_no_lease(start_cluster):
    cluster = start_cluster(size=3)
    lease = grant(cluster, 3)
    cluster.etcdctl("put", "alive", "1", "--lease", lease)
    deposed = cluster.leader()
    others = cluster.followers()
    keeper = KeepAlive(cluster, lease, [others[0].endpoint])
    try:
        keeper.more()
        deposed.pause()
        # Longer than the lease lives: the old leader wakes up, and believes that it has expired.
        begun = time.monotonic()
        harness.until(lambda: time.monotonic() - begun > 4 and len(keeper.answers) > 3,
                      "the lease would have ended")
        deposed.resume()
        cluster.leader()
        keeper.more(3)
        assert all("keepalived with TTL(3)" in text for _, text in keeper.answers)
        assert cluster.etcdctl("get", "alive", "--print-value-only") == "1"
    finally:
        keeper.close()
        deposed.resume()


def test_leases_survive_a_restart_of_everybody(start_cluster):
    cluster = start_cluster(size=3)
    kept = grant(cluster)
    revoked = grant(cluster)
    cluster.etcdctl("put", "a", "1", "--lease", kept)
    cluster.etcdctl("put", "b", "1", "--lease", kept)
    cluster.etcdctl("put", "b", "1")
    cluster.etcdctl("lease", "revoke", revoked)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_healthy()
    for one in of_each_member(cluster):
        assert known(cluster, endpoints=one) == {int(kept, 16)}
        left = time_to_live(cluster, kept, endpoints=one)
        assert left["granted-ttl"] == int(LONG) and left["ttl"] > 0
        assert left["keys"] == ["YQ=="]
    cluster.etcdctl("lease", "revoke", kept)
    assert cluster.etcdctl("get", "", "--prefix", "--keys-only") == "b"


def test_an_unknown_lease_ends_no_stream(start_cluster):
    cluster = start_cluster(size=1)
    over = cluster.etcdctl("lease", "keep-alive", "7b")
    assert over == "lease 000000000000007b expired or revoked."
    assert cluster.etcdctl_json("lease", "timetolive", "7b", "--keys")["ttl"] == -1
    assert cluster.etcdctl("lease", "list") == "found 0 leases"


def test_without_a_majority_nothing_expires_and_nobody_is_answered(start_cluster):
    cluster = start_cluster(size=3)
    lease = grant(cluster, 2)
    cluster.etcdctl("put", "a", "1", "--lease", lease)
    leader, others = cluster.leader(), cluster.followers()
    for node in others:
        node.pause()
    try:
        refused = cluster.etcdctl("lease", "keep-alive", "--once", lease,
                                  endpoints=[leader.endpoint], check=False, timeout=20)
        assert "keepalived" not in refused.stdout
        stale = cluster.etcdctl("get", "a", "--consistency", "s", "--print-value-only",
                                endpoints=[leader.endpoint])
        assert stale == "1"
    finally:
        for node in others:
            node.resume()
    harness.until(lambda: not cluster.etcdctl("get", "a"), "it expires with a majority")


def moved(cluster):
    """Leadership goes to another member, which is asked to take it."""
    ids = {node: f"{row['header']['member_id']:x}" for node, row in cluster.status().items()}
    old = cluster.leader()
    new = next(node for node in cluster.running if node is not old)
    cluster.etcdctl("move-leader", ids[new], endpoints=[node.endpoint for node in cluster.running])
    harness.until(lambda: cluster.leader() is not old, "another member leads")


def killed(cluster):
    cluster.leader().kill()
    cluster.leader(cluster.running)


def left_of(cluster, lease):
    """Seconds, by who leads."""
    return time_to_live(cluster, lease, endpoints=[cluster.leader(cluster.running).endpoint])["ttl"]


def noted(cluster):
    return sum(node.metrics()["oakum_lease_checkpoints_total"] for node in cluster.running)


def test_what_is_left_of_a_lease_is_kept_by_a_new_leader_if_it_is_written_down(start_cluster):
    flag = "--experimental-lease-checkpoint-interval="
    never, often = (start_cluster(size=3, flags=[flag + word]) for word in ("0", "1s"))
    whole, used = int(LONG), 5
    leases = {cluster: grant(cluster) for cluster in (never, often)}
    for cluster, lease in leases.items():
        harness.until(lambda: left_of(cluster, lease) <= whole - used, "it has used some time")
    before = noted(often)
    harness.until(lambda: noted(often) > before, "what is left is written down")
    often.etcdctl("put", "behind", "it")  # and that is in the log of a majority
    for change in (moved, killed):
        begun = time.monotonic()
        change(never)
        assert left_of(never, leases[never]) + (time.monotonic() - begun) >= whole - 1
        change(often)
        # An election time-out more than what was written down.
        assert left_of(often, leases[often]) <= whole - used + 1
    assert noted(never) == 0

    # A keepalive that was answered counts for more than what was written down before it.
    begun = time.monotonic()
    often.etcdctl("lease", "keep-alive", "--once", leases[often])
    moved(often)
    assert left_of(often, leases[often]) + (time.monotonic() - begun) >= whole - 1
