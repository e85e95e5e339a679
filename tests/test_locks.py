# SPDX-License-Identifier: Apache-2.0
"""The Lock and Election services over real members: who holds, who waits, who leaves what behind.

What etcd answers to the same is compared by rpc_cases_lock.py.
"""
import concurrent.futures
import threading

import pytest
from google.protobuf import text_format

import harness
import rpc_client
from test_auth import DENIED, EMPTY, INVALID, PLAIN, fill, login, meta, ok, why

EXPIRED = ("UNKNOWN", "mutex: session is expired")
STOPPED = ("UNAVAILABLE", "etcdserver: server stopped")


# -- who holds, and who waits -------------------------------------------------------------------

class Members:
    """Three members, a client of each, and leases that live as long as a test."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.clients = [rpc_client.Client(each) for each in cluster.endpoints]
        self.pool = concurrent.futures.ThreadPoolExecutor(max_workers=64)
        self.lease = 0x1000

    def client(self, number):
        return self.clients[number % len(self.clients)]

    def grant(self, ttl=3600, client=None):
        self.lease += 1
        ok(client or self.clients[0], "LeaseGrant", f"ID: {self.lease} TTL: {ttl}")
        return self.lease

    def keys(self, name, client=None):
        """Those of a contest, the first first."""
        found = ok(client or self.clients[0], "Range", f"key: '{name}/' range_end: '{name}0' "
                   "sort_target: CREATE sort_order: ASCEND")
        return [each.key.decode() for each in found.kvs]

    def wait_for(self, name, count, client=None):
        """Until so many take part. Gives their keys."""
        return harness.until(lambda: (keys := self.keys(name, client)) and len(keys) == count and
                             keys, f"{count} keys of {name}")

    def begin(self, client, method, text, metadata=()):
        """A call that waits: a future of its answer."""
        return self.pool.submit(client.call, method, text, metadata)

    def lock(self, client, name, lease):
        return self.begin(client, "Lock", f"name: '{name}' lease: {lease}")

    def close(self):
        for client in self.clients:
            client.close()
        self.pool.shutdown(wait=False, cancel_futures=True)


@pytest.fixture(name="members")
def three_members(start_cluster):
    members = Members(start_cluster(size=3))
    yield members
    members.close()


def future_of(client, name, text):
    """A call that its client may give up."""
    method = rpc_client.METHODS[name]
    call = client.channel.unary_unary(method.path, method.request.SerializeToString,
                                      method.response.FromString)
    return call.future(text_format.Parse(text, method.request()))


def test_one_holds_a_lock_and_they_come_in_the_order_of_their_keys(members):
    """Contenders on all members, who each hold it in their turn."""
    holder = members.grant()
    ok(members.clients[0], "Lock", f"name: 'l' lease: {holder}")
    inside, order, lock = [], [], threading.Lock()

    def contend(number, lease):
        client = members.client(number)
        key = ok(client, "Lock", f"name: 'l' lease: {lease}").key.decode()
        with lock:
            inside.append(key)
            order.append(key)
            assert inside == [key]
        ok(client, "Put", f"key: 'inside' value: '{key}'")
        assert ok(client, "Range", "key: 'inside'").kvs[0].value.decode() == key
        with lock:
            inside.remove(key)
        ok(client, "Unlock", f"key: '{key}'")
    leases = [members.grant() for _ in range(24)]
    waiting = [members.pool.submit(contend, number, lease) for number, lease in enumerate(leases)]
    keys = members.wait_for("l", 25)
    assert keys[0] == f"l/{holder:x}" and not order
    ok(members.clients[1], "Unlock", f"key: '{keys[0]}'")
    for each in waiting:
        each.result()
    assert order == keys[1:]
    assert members.keys("l") == []


def test_those_behind_a_waiter_that_goes_wait_on(members):
    """Each that goes wakes the one behind it, which finds that it is not its turn yet."""
    leases = [members.grant() for _ in range(6)]
    ok(members.clients[0], "Lock", f"name: 'l' lease: {leases[0]}")
    calls = []
    for number, lease in enumerate(leases[1:], 1):
        calls.append(members.lock(members.client(number), "l", lease))
        keys = members.wait_for("l", number + 1)
    for lease in leases[1:5]:
        ok(members.clients[0], "LeaseRevoke", f"ID: {lease}")
    for each in calls[:4]:
        assert why(each.result()) == EXPIRED
    assert members.keys("l") == [keys[0], keys[5]]
    assert not calls[4].done()
    ok(members.clients[0], "LeaseRevoke", f"ID: {leases[0]}")
    assert calls[4].result().response.key.decode() == keys[5]


def test_a_holder_that_dies_holds_as_long_as_its_lease(members):
    dying, next_one = members.grant(ttl=2), members.grant()
    ok(members.clients[0], "Lock", f"name: 'l' lease: {dying}")
    campaign = f"name: 'e' lease: {dying} value: 'old'"
    ok(members.clients[0], "Campaign", campaign)
    lock = members.lock(members.clients[1], "l", next_one)
    lead = members.begin(members.clients[2], "Campaign",
                         f"name: 'e' lease: {next_one} value: 'new'")
    assert lock.result().response.key.decode() == f"l/{next_one:x}"
    leader = lead.result().response.leader
    assert (leader.name, leader.key.decode(), leader.lease) == (b"e", f"e/{next_one:x}", next_one)
    now = ok(members.clients[0], "Leader", "name: 'e'").kv
    assert (now.value, now.create_revision) == (b"new", leader.rev)


def test_waiters_outlive_the_leaders_of_the_cluster(members):
    """The leader dies, and so does the majority, while calls wait on a member that stays."""
    cluster = members.cluster
    leader = cluster.leader()
    at = next(i for i, node in enumerate(cluster.nodes) if node is not leader)
    client, stays = members.clients[at], cluster.nodes[at]
    holder, first, second = (members.grant(client=client) for _ in range(3))
    ok(client, "Lock", f"name: 'l' lease: {holder}")
    waits = members.lock(client, "l", first)
    members.wait_for("l", 2, client)
    leads = ok(client, "Campaign", f"name: 'e' lease: {holder} value: 'v'").leader
    stream = client.stream("Observe")
    stream.send("name: 'e'")
    stream.half_close()
    assert stream.receive().kv.value == b"v"
    leader.kill()
    other = next(node for node in cluster.running if node is not stays)
    cluster.leader([stays, other])
    waits_too = members.lock(client, "l", second)
    members.wait_for("l", 3, client)
    other.kill()
    harness.until(lambda: client.call("Range", "key: 'a'", [("hasleader", "true")], timeout=2)
                  .message == "etcdserver: no leader", "that it knows of no leader")
    for method, text in (("Lock", f"name: 'l' lease: {holder}"), ("Leader", "name: 'e'"),
                         ("Campaign", f"name: 'e' lease: {holder}")):
        assert client.call(method, text, [("hasleader", "true")]).message == \
            "etcdserver: no leader"
    assert client.download("Observe", "name: 'e'", [("hasleader", "true")]).message == \
        "etcdserver: no leader"
    for node in (leader, other):
        node.start()
    cluster.wait_healthy()
    assert not waits.done() and not waits_too.done()
    ok(client, "Proclaim", f"leader {{ key: '{leads.key.decode()}' rev: {leads.rev} "
                           f"lease: {holder} }} value: 'w'")
    assert stream.receive().kv.value == b"w"
    ok(client, "Unlock", f"key: 'l/{holder:x}'")
    assert waits.result().response.key.decode() == f"l/{first:x}"
    ok(client, "LeaseRevoke", f"ID: {first}")
    assert waits_too.result().response.key.decode() == f"l/{second:x}"
    stream.cancel()


# -- who leaves what behind ---------------------------------------------------------------------

def test_clients_that_go_while_they_wait_leave_no_key(members):
    """With leases of their own, which live on, and with those that the member granted."""
    holder = members.grant()
    ok(members.clients[0], "Lock", f"name: 'l' lease: {holder}")
    ok(members.clients[0], "Campaign", f"name: 'l/e' lease: {holder} value: 'v'")
    leases = [members.grant() for _ in range(6)]
    known = {each.ID for each in ok(members.clients[0], "LeaseLeases").leases}
    calls = []
    for number, lease in enumerate(leases):
        client = members.client(number)
        calls += [future_of(client, "Lock", f"name: 'l' lease: {lease}"),
                  future_of(client, "Campaign", f"name: 'l/e' lease: {lease} value: 'w'"),
                  future_of(client, "Lock", "name: 'l'"), future_of(client, "Campaign",
                                                                    "name: 'l/e' value: 'w'")]
    held = members.wait_for("l", 26)
    for each in calls:
        each.cancel()
    assert members.wait_for("l", 2) == [held[0], f"l/e/{holder:x}"]
    harness.until(lambda: {each.ID for each in ok(members.clients[0], "LeaseLeases").leases} ==
                  known, "the leases that members granted are gone")


def test_what_a_lease_holds_stays_when_another_call_with_it_goes(members):
    """A second Lock by the holder is answered, given up or not: the key is not taken from it."""
    holder, other = members.grant(), members.grant()
    client = members.clients[0]
    ok(client, "Lock", f"name: 'l' lease: {holder}")
    for _ in range(20):
        future_of(client, "Lock", f"name: 'l' lease: {holder}").cancel()
        future_of(client, "Campaign", f"name: 'l' lease: {holder} value: 'v'").cancel()
    # Two that wait by one lease: what one leaves behind, the other is told.
    one, two = (future_of(client, "Lock", f"name: 'l' lease: {other}") for _ in range(2))
    members.wait_for("l", 2)
    assert members.keys("l")[0] == f"l/{holder:x}"
    one.cancel()
    assert two.exception().details() == EXPIRED[1]
    assert members.keys("l") == [f"l/{holder:x}"]


def test_a_member_that_stops_lets_go_of_those_that_wait(members):
    holder, waiting = members.grant(), members.grant()
    stays, stops = members.clients[0], members.clients[1]
    ok(stays, "Lock", f"name: 'l' lease: {holder}")
    call = members.lock(stops, "l", waiting)
    members.wait_for("l", 2)
    observed = members.pool.submit(stops.download, "Observe", "name: 'l'")
    harness.until(lambda: members.cluster.nodes[1].metrics()["etcd_debugging_mvcc_watcher_total"]
                  >= 3, "two watchers of one that waits, one of one that observes")
    assert members.cluster.nodes[1].stop() == 0
    assert why(call.result()) == STOPPED
    assert why(observed.result()) == STOPPED
    assert members.keys("l") == [f"l/{holder:x}"]


def test_without_a_lease_one_of_a_minute_is_granted(members):
    client = members.clients[1]
    key = ok(client, "Lock", "name: 'l'").key.decode()
    leader = ok(client, "Campaign", "name: 'e' value: 'v'").leader
    assert leader.key.decode() == f"e/{leader.lease:x}"
    for lease in (int(key.split("/")[1], 16), leader.lease):
        assert ok(client, "LeaseTimeToLive", f"ID: {lease}").grantedTTL == 60
    # A leader that proclaims without naming its lease has its key under a new one.
    ok(client, "Proclaim", f"leader {{ key: 'e/{leader.lease:x}' rev: {leader.rev} }} value: 'w'")
    kv = ok(client, "Leader", "name: 'e'").kv
    assert kv.value == b"w" and kv.lease not in (0, leader.lease)
    assert ok(client, "LeaseTimeToLive", f"ID: {kv.lease}").grantedTTL == 60
    # What is refused by looking at it takes no lease.
    leases = len(ok(client, "LeaseLeases").leases)
    assert client.call("Campaign", f"name: 'e' value: '{'v' * 1600000}'").message == \
        "etcdserver: request is too large"
    assert len(ok(client, "LeaseLeases").leases) == leases


# -- limits -------------------------------------------------------------------------------------

def test_calls_that_wait_are_bounded_by_what_they_hold(node):
    client = rpc_client.Client(node.endpoint)
    value = "v" * 1500000  # 32 MiB have room for 22 of them
    ok(client, "Campaign", "name: 'e' value: 'v'")
    waiting = [future_of(client, "Campaign", f"name: 'e' value: '{value}'") for _ in range(22)]
    count = "key: 'e/' range_end: 'e0' count_only: true"
    harness.until(lambda: ok(client, "Range", count).count == 23, "22 wait")
    assert why(client.call("Campaign", f"name: 'e' value: '{value}'")) == \
        ("RESOURCE_EXHAUSTED", "etcdserver: too many requests")
    waiting[0].cancel()
    harness.until(lambda: ok(client, "Range", count).count == 22, "one has left")
    late = future_of(client, "Campaign", f"name: 'e' value: '{value}'")
    harness.until(lambda: ok(client, "Range", count).count == 23, "another one waits")
    for each in waiting + [late]:
        each.cancel()
    client.close()


def test_who_observes_slowly_is_told_the_newest_in_the_end(node):
    """What it has not read when the history is compacted is passed over."""
    client = rpc_client.Client(node.endpoint)
    leader = ok(client, "Campaign", "name: 'e' value: '0'").leader
    method = rpc_client.METHODS["Observe"]
    call = client.channel.unary_stream(method.path, method.request.SerializeToString,
                                       method.response.FromString)
    responses = call(method.request(name=b"e"))
    assert next(responses).kv.value == b"0"
    proof = f"leader {{ key: '{leader.key.decode()}' rev: {leader.rev} lease: {leader.lease} }}"
    padding = "x" * 1000000
    for number in range(1, 41):
        last = ok(client, "Proclaim", f"{proof} value: '{number} {padding}'").header.revision
    ok(client, "Compact", f"revision: {last}")
    seen = []
    while not seen or seen[-1] != 40:
        seen.append(int(next(responses).kv.value.split()[0]))
    assert seen == sorted(set(seen)) and len(seen) < 40
    ok(client, "Resign", proof)
    ok(client, "Campaign", "name: 'e' value: 'next'")
    assert next(responses).kv.value == b"next"
    responses.cancel()
    client.close()


# -- who may ------------------------------------------------------------------------------------

@pytest.fixture(name="secured")
def member_with_users(start_cluster):
    """A client of one member with auth on: u may do all with keys of a/."""
    cluster = start_cluster(size=1, flags=PLAIN)
    client = rpc_client.Client(cluster.endpoints[0])
    fill(client)
    yield client
    client.close()


def test_an_election_is_observed_by_whom_it_may_be(secured):
    client = secured
    root, u = login(client, "root"), login(client, "u")
    ok(client, "LeaseGrant", "ID: 5 TTL: 1000", root)
    for name in "ab":
        ok(client, "Campaign", f"name: '{name}' lease: 5 value: 'v'", root)
    for name, token, end in (("a", None, EMPTY), ("a", "abcdefghijklmnop.1", INVALID),
                             ("b", u, DENIED), ("a", u, None), ("b", root, None)):
        stream = client.stream("Observe", meta(token))
        stream.send(f"name: '{name}'")
        stream.half_close()
        first = stream.receive()
        if end is None:
            assert first.kv.value == b"v"
        else:
            assert first is None and why(stream.status) == end, f"{name} by {token}"
        stream.cancel()


def test_who_loses_a_permission_waits_for_no_lock(secured):
    """Neither the key that waits nor the answer is for whom it is not allowed any more."""
    client = secured
    root, u = login(client, "root"), login(client, "u")
    for lease in (5, 6):
        ok(client, "LeaseGrant", f"ID: {lease} TTL: 1000", root)
    ok(client, "Lock", "name: 'a' lease: 5", root)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(client.call, "Lock", "name: 'a' lease: 6", meta(u))
        harness.until(lambda: ok(client, "Range", "key: 'a/6'", root).count == 1, "u waits")
        ok(client, "UserRevokeRole", "name: 'u' role: 'r'", root)
        ok(client, "Unlock", "key: 'a/5'", root)
        assert why(waiting.result()) == DENIED
