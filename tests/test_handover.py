# SPDX-License-Identifier: Apache-2.0
"""A leader that is told to stop hands its leadership over first."""

import re

import harness


def test_a_leader_that_stops_hands_over(cluster):
    old = cluster.leader()
    others = cluster.followers()
    term = cluster.status([old])[old]["raftTerm"]
    assert old.stop() == 0
    told = re.search(r"handing leadership over to member ([0-9a-f]{16})", old.log_text())
    assert told, old.log_tail()
    new = cluster.leader(others)
    # The next term is the new leader's: nobody had to wait for a time-out and stand by itself.
    status = cluster.status([new])[new]
    assert status["raftTerm"] == term + 1
    assert f"{status['header']['member_id']:016x}" == told.group(1)
    cluster.etcdctl("put", "k", "v", endpoints=[node.endpoint for node in others])


def test_a_lone_member_stops_without_anybody_to_hand_over_to(node):
    assert node.stop() == 0


def test_who_has_the_highest_priority_comes_to_lead(start_cluster):
    cluster = start_cluster(start=False, flags=["--heartbeat-interval=20",
                                                "--election-timeout=100"])
    for node, priority in zip(cluster.nodes, (2, 9, 2)):
        node.flags = [f"--experimental-leader-priority={priority}"]
    wanted = cluster.nodes[1]
    cluster.start()
    harness.until(lambda: cluster.leader() is wanted, "the preferred member leads")
    wanted.kill()
    cluster.leader([node for node in cluster.nodes if node is not wanted])
    wanted.start()
    harness.until(lambda: cluster.leader() is wanted, "it leads again once it is back")
