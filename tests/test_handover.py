# SPDX-License-Identifier: Apache-2.0
"""A leader that is told to stop hands its leadership over first."""

import re


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
