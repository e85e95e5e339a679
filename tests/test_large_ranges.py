# SPDX-License-Identifier: Apache-2.0
"""Ranges that are too large to be held: they go from the store to the socket as the client takes
them, are of one revision, and cost the server little, whoever reads slowly.

LARGE_RANGE_KEYS sets how many keys of 100 kB are listed: 600 without it; with 10,000 a list is a
gigabyte, and all five of them together five."""
import os
import socket
import struct
import threading

import pytest

import harness
import rpc_client
from test_bad_wire import (DATA, END_STREAM, PREFACE, SETTINGS, WINDOW_UPDATE, call, connection,
                           field, frame, rss)

KEYS = int(os.environ.get("LARGE_RANGE_KEYS", "600"))
VALUE_BYTES = 100_000
GROWTH_MAX = 64 << 20
HELD_BYTES_MAX = 4 << 20  # OAK_RANGE_HELD_BYTES_MAX
ALL = field(1, b"large/") + field(2, b"large0")
RANGE = b"/etcdserverpb.KV/Range"
# Windows that nothing fills: what a client does not take waits in the sockets and in the server.
START = PREFACE + frame(SETTINGS, payload=struct.pack(">HI", 4, 0x7fffffff)) + \
    frame(WINDOW_UPDATE, payload=struct.pack(">I", 0x7fff0000))


def value(number):
    return (b"%06d" % number) * (VALUE_BYTES // 6)


@pytest.fixture(name="server", scope="module")
def one_server(lasting_cluster):
    cluster = lasting_cluster(1)
    client = rpc_client.Client(cluster.nodes[0].endpoint)
    put = rpc_client.METHODS["Put"]
    for number in range(KEYS):
        request = put.request(key=b"large/%06d" % number, value=value(number))
        assert client.raw(put.path, request.SerializeToString()).code == "OK"
    client.close()
    return cluster.nodes[0]


def ask(sock, message):
    sock.sendall(call(message, RANGE) + frame(DATA, END_STREAM, 1))


def exactly(sock, size):
    data = bytearray()
    while len(data) < size:
        piece = sock.recv(min(size - len(data), 1 << 16))
        assert piece, "the connection has ended"
        data += piece
    return bytes(data)


def answer(sock):
    """Bytes of the message of stream 1, and what its prefix says."""
    taken, prefix = 0, b""
    while True:
        head = exactly(sock, 9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        size = int.from_bytes(head[:3], "big")
        if kind == DATA and stream == 1:
            taken += size
            while size > 0:
                piece = exactly(sock, min(size, 1 << 16))
                prefix += piece[:5 - len(prefix)] if len(prefix) < 5 else b""
                size -= len(piece)
            # Credit for the connection, which is not without end.
            continue
        exactly(sock, size)
        if flags & END_STREAM and stream == 1:
            return taken - 5, int.from_bytes(prefix[1:5], "big")


class Peak:
    """The most memory that the server had while this ran, beyond what it had before."""

    def __init__(self, server):
        self.server, self.before, self.most = server, rss(server), 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self.over.wait(0.005):
            self.most = max(self.most, rss(self.server) - self.before)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.needs_own_heap
@pytest.mark.needs_rocks
def test_large_ranges_of_five_clients_at_once_cost_little(server):
    found = []

    def list_all():
        with connection(server, START) as sock:
            ask(sock, ALL)
            found.append(answer(sock))

    for _ in range(3):  # what first ones cost, caches above all, is not what five cost at once
        list_all()
    found.clear()
    with Peak(server) as peak:
        clients = [threading.Thread(target=list_all) for _ in range(5)]
        for each in clients:
            each.start()
        for each in clients:
            each.join()
    assert len(found) == 5
    for size, said in found:
        assert size == said > KEYS * VALUE_BYTES * 0.99
    assert peak.most < GROWTH_MAX, f"{peak.most >> 20} MiB more"


def test_large_ranges_are_whole_and_of_one_revision(server):
    """While the keys that it is about are written over, and their old versions compacted."""
    client = rpc_client.Client(server.endpoint)
    before = client.call("Range", "key: 'large/' count_only: true").response.header.revision
    stop = threading.Event()

    def write():
        put = rpc_client.METHODS["Put"]
        while not stop.is_set():
            for number in range(0, KEYS, KEYS // 20):
                request = put.request(key=b"large/%06d" % number, value=value(number))
                done = put.response.FromString(
                    client.raw(put.path, request.SerializeToString()).response)
            client.call("Compact", f"revision: {done.header.revision}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for limit in ("", f"limit: {KEYS - 1}", "sort_order: DESCEND"):
            response = client.call("Range", f"key: 'large/' range_end: 'large0' {limit}").response
            assert response.count == KEYS
            assert response.more == limit.startswith("limit")
            numbers = list(range(KEYS))
            numbers = numbers[::-1] if "DESCEND" in limit else numbers[:len(response.kvs)]
            assert [kv.key for kv in response.kvs] == [b"large/%06d" % n for n in numbers]
            assert all(kv.value == value(n) for kv, n in zip(response.kvs, numbers))
            assert max(kv.mod_revision for kv in response.kvs) <= response.header.revision
            assert response.header.revision >= before
    finally:
        stop.set()
        writer.join()
    client.close()


@pytest.mark.needs_own_heap
def test_large_ranges_wait_for_a_slow_reader_who_holds_nobody_up(server):
    with Peak(server) as peak, connection(server) as sock:
        sock.sendall(START)
        ask(sock, ALL)
        for number in range(50):
            assert server.cluster.etcdctl("put", "beside", str(number)) == "OK"
        with connection(server, START) as other:
            ask(other, ALL)
            assert answer(other)[0] > KEYS * VALUE_BYTES * 0.99
        size, said = answer(sock)  # it had all the time
        assert size == said > KEYS * VALUE_BYTES * 0.99
    assert peak.most < GROWTH_MAX, f"{peak.most >> 20} MiB more"


def test_large_ranges_end_with_their_client(server):
    for _ in range(20):
        with connection(server, START) as sock:
            ask(sock, ALL)
            exactly(sock, 100_000)
    harness.until(lambda: server.metrics()["oakum_ranges_in_pieces"] == 0, "none under way")
    with connection(server, START) as sock:
        ask(sock, ALL)
        assert answer(sock)[0] > HELD_BYTES_MAX
