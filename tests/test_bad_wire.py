# SPDX-License-Identifier: Apache-2.0
"""What a hostile peer can send, byte by byte, on the client port and the peer port. After each, the
server still answers a put, has not grown, and has done nothing that was smuggled in."""
import contextlib
import json
import os
import socket
import struct

import pytest

import harness

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = \
    0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
GROWTH_MAX = 200 << 20


@pytest.fixture(name="server", scope="module")
def one_server(lasting_cluster):
    return lasting_cluster(1).nodes[0]


def rss(node):
    with open(f"/proc/{node.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(autouse=True)
def still_serves(server):
    before = rss(server)
    yield
    assert server.running, server.log_tail()
    body = b'{"key":"alive","value":"yes"}'
    assert server.http("POST", "/api/v1/data", body, timeout=30)[0] == 200
    assert server.cluster.etcdctl("put", "alive", "yes") == "OK"
    assert rss(server) - before < GROWTH_MAX
    assert server.http("GET", "/api/v1/data/smuggled")[0] == 404


@contextlib.contextmanager
def connection(server, first=b"", peer=False):
    url = server.peer_url if peer else server.client_url
    host, port = url.split("//")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        send(sock, first)
        yield sock


def send(sock, data):
    """The server may have had enough before all of it is sent."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(data)


def rest(sock, bytes_max=1 << 20):
    """All that still comes, up to the end of the connection."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while len(data) < bytes_max:
            piece = sock.recv(65536)
            if not piece:
                break
            data += piece
    return data


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header that goes into no table, without Huffman coding (RFC 7541, section 6.2.2)."""
    def text(data):
        size = len(data)
        if size < 127:
            return bytes([size]) + data
        size -= 127
        out = b"\x7f"
        while size >= 128:
            out += bytes([size % 128 + 128])
            size //= 128
        return out + bytes([size]) + data
    return b"\x00" + text(name) + text(value)


def grpc_headers(path=b"/etcdserverpb.KV/Put", more=()):
    return b"".join(literal(name, value) for name, value in (
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x"),
        (b"content-type", b"application/grpc"), (b"te", b"trailers"), *more))


def call(message, path=b"/etcdserverpb.KV/Put", stream=1, length=None):
    """A gRPC call as frames; `length` is what its prefix says instead of the truth."""
    body = struct.pack(">BI", 0, len(message) if length is None else length) + message
    frames = frame(HEADERS, END_HEADERS, stream, grpc_headers(path))
    for at in range(0, len(body), 16384):
        frames += frame(DATA, 0, stream, body[at:at + 16384])
    return frames


def frames_until(sock, wanted):
    """Read frames up to one that `wanted` likes, and give it; None at the end of the connection."""
    data = b""
    while True:
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
            size = int.from_bytes(data[:3], "big")
            kind, flags, stream = struct.unpack(">BBI", data[3:9])
            if wanted(kind, flags, stream & 0x7fffffff):
                return kind, flags, data[9:9 + size]
            data = data[9 + size:]
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            return None
        if not piece:
            return None
        data += piece


def answered(sock, stream=1):
    """Wait for the end of a call: its trailers, a reset, or the end of the connection."""
    return frames_until(sock, lambda kind, flags, at: kind == GOAWAY or at == stream and (
        kind == RST_STREAM or kind in (HEADERS, DATA) and flags & END_STREAM))


def field(number, payload):
    """A field of a protobuf message that holds bytes."""
    size, out = len(payload), b""
    while size >= 128:
        out += bytes([size % 128 + 128])
        size //= 128
    return bytes([number << 3 | 2]) + out + bytes([size]) + payload


PUT = field(1, b"wire") + field(2, b"v")
START = PREFACE + frame(SETTINGS)


# -- HTTP/2 and gRPC ------------------------------------------------------------------------------

def test_wire_a_put_by_hand_is_answered(server):
    """The tools of this file work: what follows is refused for its content."""
    with connection(server, START + call(PUT) + frame(DATA, END_STREAM, 1)) as sock:
        kind, flags, _ = answered(sock)
        assert kind == HEADERS and flags & END_STREAM
    assert server.cluster.etcdctl("get", "wire", "--print-value-only") == "v"


HOSTILE = {
    "frame-cut-off": START + frame(HEADERS, END_HEADERS, 1, grpc_headers())[:40],
    "preface-cut-off": PREFACE[:10],
    "frame-header-cut-off": START + b"\x00\x00",
    "data-cut-off": START + call(PUT)[:-3],
    "frame-too-large": START + frame(DATA, 0, 1, b"x" * 20000),
    "frame-of-16-mib": START + frame(HEADERS, END_HEADERS, 1, b"", length=0xffffff),
    "settings-of-odd-size": PREFACE + frame(SETTINGS, 0, 0, b"12345"),
    "no-settings": PREFACE + call(PUT),
    "data-on-an-idle-stream": START + frame(DATA, 0, 5, b"x"),
    "headers-on-stream-0": START + frame(HEADERS, END_HEADERS, 0, grpc_headers()),
    "headers-on-an-even-stream": START + frame(HEADERS, END_HEADERS, 2, grpc_headers()),
    "bad-hpack": START + frame(HEADERS, END_HEADERS, 1, b"\xff" * 50),
    "padding-past-the-end": START + frame(DATA, PADDED, 1, b"\xff"),
    "continuation-alone": START + frame(CONTINUATION, END_HEADERS, 1, grpc_headers()),
    "window-update-of-0": START + frame(WINDOW_UPDATE, 0, 0, bytes(4)),
    "window-overflow": START + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "unknown-frames": START + frame(0x42, 0xff, 1, b"x" * 100) * 100,
    "push-promise": START + frame(5, END_HEADERS, 1, b"\x00\x00\x00\x02" + grpc_headers()),
    "upper-case-header": START + frame(HEADERS, END_HEADERS, 1,
                                       grpc_headers(more=[(b"Upper", b"x")])),
    "header-with-a-newline": START + frame(HEADERS, END_HEADERS, 1,
                                           grpc_headers(more=[(b"a", b"b\r\nc: d")])),
    "two-paths": START + frame(HEADERS, END_HEADERS, 1, grpc_headers(more=[(b":path", b"/x")])),
    "half-a-message": START + call(PUT, length=len(PUT) + 10) + frame(DATA, END_STREAM, 1),
    "unknown-compression": START + call(PUT).replace(struct.pack(">BI", 0, len(PUT)),
                                                     struct.pack(">BI", 1, len(PUT))),
    "unknown-method": START + call(PUT, b"/etcdserverpb.KV/Steal"),
    "unknown-service": START + call(PUT, b"/x/y"),
    "path-that-is-none": START + call(PUT, b"\xff\x00"),
    "malformed-protobuf": START + call(b"\x0a\xff\xff\xff\xff\x0f") + frame(DATA, END_STREAM, 1),
    "random": bytes(range(256)) * 40,
    "random-behind-the-preface": START + bytes(range(256)) * 40,
    "tls-hello": bytes.fromhex("16030100c8010000c40303") + bytes(180),
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "zeros": bytes(10000),
    "preface-of-another": b"PRI * HTTP/3.0\r\n\r\nXX\r\n\r\n",
}


@pytest.mark.parametrize("peer", [False, True], ids=["clients", "peers"])
@pytest.mark.parametrize("name", HOSTILE)
def test_wire_hostile_bytes_end_in_a_closed_connection(server, name, peer):
    with connection(server, HOSTILE[name], peer) as sock:
        sock.shutdown(socket.SHUT_WR)
        rest(sock)


def test_wire_a_message_that_says_2_gib_is_refused_at_once(server):
    with connection(server, START + call(b"x" * 100, length=0x7fffffff)) as sock:
        assert answered(sock) is not None
    with connection(server, START + call(b"x" * 100, length=0xffffffff)) as sock:
        assert answered(sock) is not None


def test_wire_a_message_past_the_limit_is_refused_before_it_is_there(server):
    with connection(server, START + call(b"x" * 100, length=8 << 20)) as sock:
        assert answered(sock) is not None


@pytest.mark.parametrize("levels", [10, 60, 101, 10000])
def test_wire_a_transaction_nested_too_deep_is_refused(server, levels):
    """success=2 of a TxnRequest, request_txn=4 of a RequestOp: two levels of messages each."""
    message = field(2, field(2, field(1, b"deep") + field(2, b"v")))
    for _ in range(levels):
        message = field(2, field(4, message))
    with connection(server, START) as sock:
        send(sock, call(message, b"/etcdserverpb.KV/Txn") + frame(DATA, END_STREAM, 1))
        kind, flags, _ = answered(sock)
        assert kind == HEADERS and flags & END_STREAM
    assert (server.http("GET", "/api/v1/data/deep")[0] == 200) == (levels == 10)
    server.cluster.etcdctl("del", "deep")


def test_wire_streams_opened_and_reset_at_speed_end_the_connection_or_nothing(server):
    block = grpc_headers()
    flood = b"".join(frame(HEADERS, END_HEADERS, n, block) + frame(RST_STREAM, 0, n, bytes(4))
                     for n in range(1, 20001, 2))
    with connection(server, START) as sock:
        send(sock, flood)
        sock.shutdown(socket.SHUT_WR)
        rest(sock)


@pytest.mark.parametrize("piece", [
    frame(PING, 0, 0, bytes(8)), frame(SETTINGS), frame(DATA, 0, 1),
    frame(CONTINUATION, 0, 1), frame(WINDOW_UPDATE, 0, 0, b"\x00\x00\x00\x01")],
    ids=["ping", "settings", "empty-data", "continuation", "window-update"])
def test_wire_floods_are_bounded(server, piece):
    opened = frame(HEADERS, 0 if piece[3] == CONTINUATION else END_HEADERS, 1, grpc_headers())
    with connection(server, START + opened) as sock:
        send(sock, piece * 50000)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        rest(sock, 4 << 20)


def test_wire_a_header_list_without_end_is_refused(server):
    with connection(server, START + frame(HEADERS, 0, 1, grpc_headers())) as sock:
        for i in range(200):
            send(sock, frame(CONTINUATION, 0, 1, literal(b"h%d" % i, b"v" * 4000)))
        rest(sock)


# -- half-open connections ------------------------------------------------------------------------

@pytest.mark.parametrize("first", [b"", PREFACE[:2], PREFACE, START,
                                   b"POST /api/v1/data HTTP/1.1\r\n", START + call(PUT)[:60]],
                         ids=["silent", "two-bytes", "preface", "settings", "request-line", "call"])
def test_wire_half_open_connections_keep_nobody_out(server, first):
    with contextlib.ExitStack() as held:
        for _ in range(100):
            held.enter_context(connection(server, first))
        assert server.cluster.etcdctl("put", "beside", "yes") == "OK"
        assert server.http("GET", "/health")[0] == 200


def test_wire_a_peer_that_never_reads_keeps_nobody_out(server):
    server.cluster.etcdctl("put", "large", "v" * 100000)
    request = field(1, b"large")
    with connection(server, START) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for n in range(1, 400, 2):
            send(sock, call(request, b"/etcdserverpb.KV/Range", n) + frame(DATA, END_STREAM, n))
        assert server.cluster.etcdctl("put", "beside", "yes") == "OK"


# -- HTTP/1.1 -------------------------------------------------------------------------------------

INSIDE = b'{"key":"smuggled","value":"x"}'
SMUGGLED = (b"POST /api/v1/data HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
            % (len(INSIDE), INSIDE))


def post(headers, body):
    return b"POST /api/v1/data HTTP/1.1\r\nHost: x\r\n" + headers + b"\r\n" + body


LENGTH = b"Content-Length: %d\r\n" % len(b"0\r\n\r\n" + SMUGGLED)
SMUGGLING = {
    "length-and-chunked": post(LENGTH + b"Transfer-Encoding: chunked\r\n",
                               b"0\r\n\r\n" + SMUGGLED),
    "chunked-and-length": post(b"Transfer-Encoding: chunked\r\n" + LENGTH,
                               b"0\r\n\r\n" + SMUGGLED),
    "two-lengths": post(b"Content-Length: 0\r\n" + LENGTH, SMUGGLED),
    "list-of-lengths": post(b"Content-Length: 0, 9\r\n", SMUGGLED),
    "signed-length": post(b"Content-Length: +0\r\n", SMUGGLED),
    "negative-length": post(b"Content-Length: -1\r\n", SMUGGLED),
    "length-in-hex": post(b"Content-Length: 0x0\r\n", SMUGGLED),
    "length-past-all": post(b"Content-Length: 18446744073709551616\r\n", SMUGGLED),
    "space-before-the-colon": post(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n" + SMUGGLED),
    "folded-header": post(b"Content-Length: 0\r\n X: y\r\nTransfer-Encoding:\r\n chunked\r\n",
                          b"0\r\n\r\n" + SMUGGLED),
    "unknown-coding": post(b"Transfer-Encoding: gzip\r\n", SMUGGLED),
    "coding-in-doubt": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n" + SMUGGLED),
    "coding-twice": post(b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n",
                         b"0\r\n\r\n" + SMUGGLED),
    "chunk-size-past-all": post(b"Transfer-Encoding: chunked\r\n",
                                b"10000000000000000\r\n" + SMUGGLED),
    "chunk-size-signed": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + SMUGGLED),
    "zero-byte-in-a-header": post(b"X: a\x00b\r\n", SMUGGLED),
    "bare-return-in-a-header": post(b"X: a\rContent-Length: 0\r\n", SMUGGLED),
    "no-host": b"POST /api/v1/data HTTP/1.1\r\nContent-Length: x\r\n\r\n" + SMUGGLED,
    "version-past-all": b"POST /api/v1/data HTTP/99.9\r\n\r\n" + SMUGGLED,
    "header-without-end": b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 200000,
    "headers-without-end": b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50000,
    "line-without-end": b"GET /" + b"x" * 200000,
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_wire_a_request_of_doubtful_length_ends_the_connection(server, name):
    """Nothing behind it is taken for a request: `still_serves` looks for the key."""
    with connection(server, SMUGGLING[name]) as sock:
        answer = rest(sock)
    if answer:
        status = int(answer.split(b" ", 2)[1])
        assert 400 <= status <= 505, answer
        assert answer.count(b"HTTP/1.1 ") == 1, "a second request was answered"


def test_wire_requests_sent_ahead_are_answered_in_order(server):
    """Not every second request is smuggled."""
    first = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connection(server, first * 2 + last) as sock:
        answer = rest(sock)
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert json.loads(answer.rsplit(b"\r\n\r\n", 1)[1])["health"] == "true"


def test_wire_http_on_the_peer_port_is_refused(server):
    with connection(server, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", peer=True) as sock:
        assert b" 200 " not in rest(sock)


def test_wire_what_was_closed_for_abuse_is_counted(server):
    assert server.metrics()["oakum_network_abuse_closed_total"] > 0
