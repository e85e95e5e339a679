# SPDX-License-Identifier: Apache-2.0
"""What a member says that can't reach a majority: it answers by itself, long before a client's own
deadline, so that the client can ask another one."""
import pytest

import harness
import rpc_client

PATIENT_S = 300  # a test that waits for it has failed


@pytest.mark.parametrize("request_of", ["Range key: 'a'", "Put key: 'a' value: 'b'",
                                        "Range key: 'a' serializable: true revision: 1000",
                                        "LeaseTimeToLive ID: 7", "MemberList linearizable: true"])
def test_no_majority_is_told_before_the_client_gives_up(start_cluster, request_of):
    cluster = start_cluster(size=3)
    cluster.etcdctl("put", "a", "1")
    leader, others = cluster.leader(), cluster.followers()
    method, text = request_of.split(" ", 1)
    client = rpc_client.Client(leader.endpoint)
    for node in others:
        node.pause()
    try:
        answer = client.call(method, text, timeout=PATIENT_S)
    finally:
        for node in others:
            node.resume()
        client.close()
    assert answer.code == "UNAVAILABLE"
    assert answer.message.startswith("etcdserver: ")
    harness.until(lambda: cluster.etcdctl("get", "a", "--print-value-only"), "it answers again")
