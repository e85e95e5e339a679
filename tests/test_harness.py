# SPDX-License-Identifier: Apache-2.0
"""The harness itself, on real etcd: a test that fails here says nothing about Oakum."""
import signal

import pytest

import harness


def test_ports_are_handed_out_once():
    ports = harness.free_ports(50) + harness.free_ports(50)
    assert len(set(ports)) == 100


def test_waiting_in_vain_says_for_what():
    with pytest.raises(AssertionError, match="in vain: a miracle; last, it gave 0"):
        harness.until(lambda: 0, "a miracle", patience_s=0.1)

    def refused():
        raise ConnectionRefusedError("nobody there")
    with pytest.raises(AssertionError, match="ConnectionRefusedError: nobody there"):
        harness.until(refused, "a miracle", patience_s=0.1)


def test_a_member_that_ends_is_told_with_its_log(start_cluster, etcd_bin):
    cluster = start_cluster(1, etcd_bin, flags=["--no-such-flag"], wait=False)
    with pytest.raises(AssertionError, match="no-such-flag"):
        harness.until(lambda: not cluster.nodes[0].running, "its end")
        cluster.wait_healthy(cluster.nodes)


def test_members_are_killed_paused_and_started_again(etcd_cluster, etcdctl_bin):
    assert etcdctl_bin
    cluster = etcd_cluster
    assert cluster.etcdctl("put", "k", "1") == "OK"
    leader = cluster.leader()
    assert leader in cluster.nodes
    assert leader.kill() == -signal.SIGKILL
    others = [node for node in cluster.nodes if node is not leader]
    assert cluster.running == others
    assert cluster.leader() is not leader
    assert cluster.etcdctl("put", "k", "2", endpoints=[n.endpoint for n in others]) == "OK"
    leader.start()
    leader.wait_healthy()
    assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=[leader.endpoint]) == "2"
    paused = cluster.followers()[0]
    rest = [node.endpoint for node in cluster.nodes if node is not paused]
    paused.pause()
    assert cluster.etcdctl("put", "k", "3", endpoints=rest) == "OK"
    paused.resume()
    cluster.wait_healthy()
    assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=[paused.endpoint]) == "3"


def test_etcdctl_failures_are_raised_with_their_text(start_cluster, etcd_bin, etcdctl_bin):
    assert etcdctl_bin
    cluster = start_cluster(1, etcd_bin)
    with pytest.raises(AssertionError, match="key is not provided"):
        cluster.etcdctl("put", "", "x")
    done = cluster.etcdctl("put", "", "x", check=False)
    assert done.returncode != 0 and "key is not provided" in done.stderr
    assert cluster.nodes[0].metrics()["process_cpu_seconds_total"] > 0
