# SPDX-License-Identifier: Apache-2.0
"""main.py: drives a cluster by PyPI's etcd3, as tests/test_clients.py says:

    main.py ENDPOINT,ENDPOINT FEATURE ...

Each check of these features prints "ok FEATURE: NAME", or "FAIL FEATURE: NAME: REASON". A check
that needs the first member to be started anew prints "restart", and goes on when a line comes.
"""
import io
import queue
import sys
import traceback
from collections import namedtuple

import etcd3
import grpc
from etcd3 import etcdrpc

ENDPOINTS = sys.argv[1].split(",")
CHECKS = []


def check(feature, name):
    def keep(function):
        CHECKS.append((feature, name, function))
    return keep


def dial(number=0, **options):
    host, port = ENDPOINTS[number].split(":")
    # A connection of its own: one that is shared remembers that its member was down.
    return etcd3.client(host=host, port=int(port), timeout=60, **options,
                        grpc_options={"grpc.use_local_subchannel_pool": 1}.items())


DETAILS = "method timeout metadata credentials wait_for_ready compression"


class Details(namedtuple("Details", DETAILS), grpc.ClientCallDetails):
    """Of a call."""


class Token(grpc.UnaryUnaryClientInterceptor):
    """Sends a token with each call. What etcd3 does itself, gRPC only lets it do over TLS."""

    def __init__(self, channel, name, password):
        self.token = etcdrpc.AuthStub(channel).Authenticate(
            etcdrpc.AuthenticateRequest(name=name, password=password)).token

    def intercept_unary_unary(self, continuation, client_call_details, request):
        details = client_call_details
        return continuation(Details(details.method, details.timeout, [("token", self.token)],
                                    details.credentials, details.wait_for_ready,
                                    details.compression), request)


def refused(call, code):
    """The call fails with this code of gRPC."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code().name == code, error
        return error.details()
    raise AssertionError(f"it was not refused with {code}")


def shown(event):
    kind = "PUT" if isinstance(event, etcd3.events.PutEvent) else "DELETE"
    return f"{kind} {event.key.rpartition(b'/')[2].decode()}" + (
        f"={event.value.decode()}" if kind == "PUT" else "")


@check("kv", "put, get, delete")
def _(client, prefix):
    client.put(prefix + "a", "1")
    value, meta = client.get(prefix + "a")
    assert value == b"1" and meta.version == 1
    assert client.get(prefix + "none") == (None, None)
    assert client.delete(prefix + "a") is True
    assert client.delete(prefix + "a") is False


@check("kv", "ranges and orders")
def _(client, prefix):
    for key in "badc":
        client.put(prefix + key, key)
    assert [value for value, _ in client.get_prefix(prefix)] == [b"a", b"b", b"c", b"d"]
    assert [value for value, _ in client.get_prefix(
        prefix, sort_order="descend", sort_target="mod")] == [b"c", b"d", b"a", b"b"]
    assert [value for value, _ in client.get_range(prefix + "b", prefix + "d")] == [b"b", b"c"]
    assert client.delete_prefix(prefix).deleted == 4


@check("kv", "compaction")
def _(client, prefix):
    client.put(prefix + "a", "1")
    revision = client.put(prefix + "a", "2").header.revision
    client.compact(revision, physical=True)
    assert "compacted" in refused(lambda: client.compact(revision), "OUT_OF_RANGE")


@check("kv", "put if it is not there, and replace")
def _(client, prefix):
    assert client.put_if_not_exists(prefix + "a", "1")
    assert not client.put_if_not_exists(prefix + "a", "2")
    assert client.replace(prefix + "a", "1", "3")
    assert not client.replace(prefix + "a", "1", "4")
    assert client.get(prefix + "a")[0] == b"3"


@check("txn", "then and else, and nesting")
def _(client, prefix):
    ops = client.transactions
    client.put(prefix + "a", "1")
    done, answers = client.transaction(
        compare=[ops.value(prefix + "a") == "1", ops.version(prefix + "a") > 0],
        success=[ops.put(prefix + "b", "then"), ops.get(prefix + "a"),
                 ops.txn(compare=[ops.create(prefix + "none") == 0],
                         success=[ops.put(prefix + "c", "inner")], failure=[])],
        failure=[ops.delete(prefix + "a")])
    assert done and answers[1][0][0] == b"1"
    assert [value for value, _ in client.get_prefix(prefix)] == [b"1", b"then", b"inner"]


@check("watch", "events in order")
def _(client, prefix):
    events, cancel = client.watch_prefix(prefix)
    client.put(prefix + "a", "1")
    client.put(prefix + "a", "2")
    client.delete(prefix + "a")
    assert [shown(next(events)) for _ in range(3)] == ["PUT a=1", "PUT a=2", "DELETE a"]
    cancel()


@check("watch", "from a revision of the past")
def _(client, prefix):
    revision = client.put(prefix + "a", "1").header.revision
    client.put(prefix + "a", "2")
    events, cancel = client.watch(prefix + "a", start_revision=revision)
    assert [shown(next(events)) for _ in range(2)] == ["PUT a=1", "PUT a=2"]
    cancel()


@check("watch", "below the compacted revision")
def _(client, prefix):
    revision = client.put(prefix + "a", "1").header.revision
    client.compact(client.put(prefix + "a", "2").header.revision)
    told = queue.Queue()
    client.add_watch_callback(prefix + "a", told.put, start_revision=revision)
    error = told.get(timeout=60)
    assert isinstance(error, etcd3.exceptions.RevisionCompactedError), error
    assert error.compacted_revision == revision + 1


@check("watch-resume", "from where its member was restarted")
def _(client, prefix):
    events, _ = client.watch_prefix_response(prefix)
    other = dial(1)
    other.put(prefix + "a", "1")
    last = next(events)
    print("restart", flush=True)
    sys.stdin.readline()
    other.put(prefix + "b", "2")
    other.put(prefix + "c", "3")
    # This client leaves it to its user to go on: with the revision after the last one it saw.
    with dial() as again:
        rest, cancel = again.watch_prefix(prefix,
                                          start_revision=last.events[-1].mod_revision + 1)
        assert [shown(next(rest)) for _ in range(2)] == ["PUT b=2", "PUT c=3"]
        cancel()


@check("lease", "grant, attach, refresh, revoke")
def _(client, prefix):
    lease = client.lease(600)
    client.put(prefix + "a", "1", lease=lease)
    assert lease.granted_ttl == 600 and 590 < lease.remaining_ttl <= 600
    assert lease.keys == [(prefix + "a").encode()]
    assert lease.refresh()[0].TTL == 600
    lease.revoke()
    assert client.get(prefix + "a") == (None, None)
    assert "lease not found" in refused(lease.revoke, "NOT_FOUND")


@check("lease-expiry", "takes its keys away")
def _(client, prefix):
    events, cancel = client.watch(prefix + "a")
    client.put(prefix + "a", "1", lease=client.lease(1))
    assert [shown(next(events)) for _ in range(2)] == ["PUT a=1", "DELETE a"]
    cancel()


@check("lock", "one holds it at a time")
def _(client, prefix):
    first = client.lock(prefix + "lock", ttl=20)
    second = client.lock(prefix + "lock", ttl=20)
    assert first.acquire() and first.is_acquired()
    assert not second.acquire(timeout=0)
    first.release()
    assert second.acquire()
    second.release()


@check("cluster", "members and status")
def _(client, _prefix):
    assert len(list(client.members)) == len(ENDPOINTS)
    status = client.status()
    assert status.version and status.leader is not None


@check("maintenance", "alarms and defragment")
def _(client, _prefix):
    assert not list(client.list_alarms())
    client.defragment()


@check("snapshot", "a file comes whole")
def _(client, prefix):
    client.put(prefix + "a", "1")
    file = io.BytesIO()
    client.snapshot(file)
    assert len(file.getvalue()) % 512 == 32


@check("auth", "a user with a password, and what it may")
def _(client, prefix):
    # It knows no calls that manage users: they are made by its stubs.
    auth = etcdrpc.AuthStub(client.channel)
    key, end = (prefix + "a").encode(), (prefix + "b").encode()
    client.put(prefix + "a", "1")
    auth.UserAdd(etcdrpc.AuthUserAddRequest(name="root", password="secret"))
    auth.RoleAdd(etcdrpc.AuthRoleAddRequest(name="root"))
    auth.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user="root", role="root"))
    auth.UserAdd(etcdrpc.AuthUserAddRequest(name="alice", password="wonder"))
    auth.RoleAdd(etcdrpc.AuthRoleAddRequest(name="reader"))
    grant = etcdrpc.AuthRoleGrantPermissionRequest(name="reader")
    grant.perm.key, grant.perm.range_end = key, end
    auth.RoleGrantPermission(grant)
    auth.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user="alice", role="reader"))
    auth.AuthEnable(etcdrpc.AuthEnableRequest())
    try:
        assert "user name is empty" in refused(lambda: client.get(prefix + "a"),
                                               "INVALID_ARGUMENT")
        with dial() as alice:
            token = Token(alice.channel, "alice", "wonder")
            alice.kvstub = etcdrpc.KVStub(grpc.intercept_channel(alice.channel, token))
            assert alice.get(prefix + "a")[0] == b"1"
            refused(lambda: alice.get(prefix + "b"), "PERMISSION_DENIED")
            refused(lambda: alice.put(prefix + "a", "2"), "PERMISSION_DENIED")
        refused(lambda: dial(user="alice", password="wrong"), "INVALID_ARGUMENT")
    finally:
        root = Token(client.channel, "root", "secret")
        auth.AuthDisable(etcdrpc.AuthDisableRequest(), metadata=[("token", root.token)])
        for name in ("alice", "root"):
            auth.UserDelete(etcdrpc.AuthUserDeleteRequest(name=name))
        for name in ("reader", "root"):
            auth.RoleDelete(etcdrpc.AuthRoleDeleteRequest(role=name))


def main():
    code = 0
    for number, (feature, name, function) in enumerate(CHECKS):
        if feature in sys.argv[2:]:
            try:
                with dial() as client:
                    function(client, f"python/{feature}/{number}/")
                print(f"ok {feature}: {name}", flush=True)
            except Exception:  # pylint: disable=broad-except
                code = 1
                print(f"FAIL {feature}: {name}:", traceback.format_exc().replace("\n", " "),
                      flush=True)
    sys.exit(code)


main()
