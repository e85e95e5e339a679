# SPDX-License-Identifier: Apache-2.0
"""Reads by lease, in real processes: the flags make the setting the cluster's through the log, and
reads are then answered without asking anybody."""
import harness

# Long, so that a busy machine does not let it run out between two reads.
LONG = ["--experimental-lease-reads=20000"]
LEASED, INDEXED = "oakum_reads_by_lease_total", "oakum_reads_by_index_total"
LENGTH, LEFT = "oakum_lease_seconds", "oakum_lease_left_seconds"


def has_lease(node):
    """It leads, and its lease holds."""
    return node.metrics()[LEFT] > 0


def test_leases_are_off_without_the_flag(start_cluster):
    cluster = start_cluster(size=1)
    node = cluster.nodes[0]
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k", "--print-value-only") == "v"
    metrics = node.metrics()
    assert metrics[LENGTH] == metrics[LEFT] == metrics[LEASED] == 0
    assert metrics[INDEXED] > 0
    assert metrics["oakum_reads_fallen_back_total"] == 0


def test_leases_serve_reads_of_a_single_member(start_cluster):
    cluster = start_cluster(size=1, flags=LONG)
    node = cluster.nodes[0]
    cluster.etcdctl("put", "k", "v")
    harness.until(lambda: has_lease(node), "a lease")
    before = node.metrics()
    assert cluster.etcdctl("get", "k", "--print-value-only") == "v"
    after = node.metrics()
    assert after[LENGTH] == 20
    assert after["oakum_lease_drift_ratio"] == 0.12
    assert after[LEASED] > before[LEASED]
    assert after[INDEXED] == before[INDEXED]


def test_leases_serve_reads_of_three_members(start_cluster):
    cluster = start_cluster(size=3, flags=LONG)
    leader = cluster.leader()
    cluster.etcdctl("put", "k", "v")
    harness.until(lambda: has_lease(leader), "a lease")
    before = leader.metrics()
    for node in cluster.nodes:
        assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=[node.endpoint]) == "v"
    after = leader.metrics()
    assert after[LEASED] > before[LEASED]
    for node in cluster.followers():
        assert node.metrics()[LENGTH] == 20
        assert node.metrics()[LEASED] == 0
        assert node.metrics()[INDEXED] > 0


def test_leases_outlive_their_leader(start_cluster):
    """The next leader waits for the end of the lease, then commits, and has one of its own."""
    cluster = start_cluster(size=3, flags=["--experimental-lease-reads=2000"])
    cluster.etcdctl("put", "k", "1")
    old = cluster.leader()
    old.kill()
    new = cluster.leader()
    ends = [node.endpoint for node in cluster.running]
    harness.until(lambda: cluster.etcdctl("put", "k", "2", endpoints=ends, check=False)
                  .returncode == 0, "a write by the new leader")
    harness.until(lambda: has_lease(new), "a lease of the new leader")
    assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=ends) == "2"
    assert new.metrics()["oakum_commit_deferred"] == 0


def test_leases_are_switched_off_by_a_leader_that_is_told_so(start_cluster):
    cluster = start_cluster(size=1, flags=["--experimental-lease-reads=1000"])
    node = cluster.nodes[0]
    harness.until(lambda: node.metrics()[LENGTH] == 1, "a lease")
    # Without the flag the setting stays.
    cluster.flags = []
    node.restart()
    assert node.metrics()[LENGTH] == 1
    cluster.flags = ["--experimental-lease-reads=0"]
    node.restart()
    harness.until(lambda: node.metrics()[LENGTH] == 0, "no lease")
    assert "the lease for reads becomes 0 ms" in node.log_text()
    leased = node.metrics()[LEASED]
    cluster.etcdctl("put", "k", "v")
    assert cluster.etcdctl("get", "k", "--print-value-only") == "v"
    assert node.metrics()[LEASED] == leased


def test_leases_are_the_groups_where_members_were_told_differently(start_cluster):
    """Each leader settles it once: it does not go to and fro."""
    cluster = start_cluster(size=3, flags=["--experimental-lease-reads=1000"])
    cluster.leader()
    follower = cluster.followers()[0]
    cluster.flags = ["--experimental-lease-reads=3000"]
    follower.restart()
    harness.until(lambda: "this member was told 3000 ms" in follower.log_text(), "a warning")
    assert follower.metrics()[LENGTH] in (1, 3)
    leader = cluster.leader()
    harness.until(lambda: leader.metrics()[LENGTH] == (3 if leader is follower else 1),
                  "the leader's setting")
