# SPDX-License-Identifier: Apache-2.0
"""Serializable reads at a revision: one that another member has told of is found, though this one
may not have come to it yet. etcd's clients read so in their software transactions, each read by
the next member."""
import pytest

import rpc_client

WRITES = 300

READS = {
    "Range": "key: 'told' serializable: true revision: {revision}",
    "RangeStream": "key: 'told' range_end: 'tolf' serializable: true revision: {revision}",
    "Txn": "success {{ request_range {{ key: 'told' serializable: true revision: {revision} }} }}",
}


@pytest.fixture(name="three", scope="module")
def three_members(lasting_cluster):
    return lasting_cluster(3)


def read(client, method, revision):
    """The status, its message, and the response as text."""
    ask = client.download if method == "RangeStream" else client.call
    answer = ask(method, READS[method].format(revision=revision))
    return answer.code, answer.message, str(answer.response)


@pytest.mark.parametrize("method", READS)
def test_a_revision_that_another_member_told_of_is_found(three, method):
    writer = rpc_client.Client(three.leader().endpoint)
    readers = [rpc_client.Client(node.endpoint) for node in three.followers()]
    try:
        for number in range(WRITES):
            put = writer.call("Put", f"key: 'told' value: '{number}'")
            revision = put.response.header.revision
            for reader in readers:
                code, message, response = read(reader, method, revision)
                assert code == "OK", f"write {number}: {message}"
                assert f'value: "{number}"' in response
        for client in [writer, *readers]:
            assert read(client, method, revision + 1)[:2] == \
                ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")
    finally:
        for client in [writer, *readers]:
            client.close()
