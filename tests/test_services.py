# SPDX-License-Identifier: Apache-2.0
"""What a server tells of itself by gRPC: its health, and, when it is asked to, its services."""
import signal

import test_bad_wire as wire

CHECK = b"/grpc.health.v1.Health/Check"
WATCH = b"/grpc.health.v1.Health/Watch"
REFLECTION = b"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


def message(sock):
    """The next message on stream 1, which a frame holds whole; None: the call ended without."""
    kind, _, payload = wire.frames_until(sock, lambda kind, flags, stream: stream == 1 and (
        kind == wire.DATA or kind == wire.HEADERS and flags & wire.END_STREAM))
    if kind != wire.DATA:
        return None
    assert payload[0] == 0 and int.from_bytes(payload[1:5], "big") == len(payload) - 5
    return payload[5:]


def ask(node, path, request):
    """A call of one message; its first answer."""
    with wire.connection(node, wire.START + wire.call(request, path) +
                         wire.frame(wire.DATA, wire.END_STREAM, 1)) as sock:
        return message(sock)


def test_services_health_is_told(node):
    assert ask(node, CHECK, b"") == SERVING
    assert ask(node, CHECK, wire.field(1, b"etcdserverpb.KV")) is None


def test_services_who_watches_hears_that_a_server_stops(node):
    with wire.connection(node, wire.START + wire.call(b"", WATCH) +
                         wire.frame(wire.DATA, wire.END_STREAM, 1)) as sock:
        assert message(sock) == SERVING
        node.signal(signal.SIGTERM)
        assert message(sock) == NOT_SERVING


def test_services_reflection_is_off_unless_asked_for(node):
    assert ask(node, REFLECTION, wire.field(7, b"")) is None


def test_services_reflection_tells_of_all_services(start_cluster):
    node = start_cluster(size=1, flags=["--experimental-grpc-reflection"]).nodes[0]
    answer = ask(node, REFLECTION, wire.field(7, b""))
    for name in (b"etcdserverpb.KV", b"etcdserverpb.Cluster", b"etcdserverpb.Maintenance",
                 b"grpc.health.v1.Health", b"grpc.reflection.v1.ServerReflection"):
        assert wire.field(1, name) in answer
    answer = ask(node, REFLECTION, wire.field(4, b"grpc.health.v1.Health.Check"))
    assert b"grpc/health/v1/health.proto" in answer and b"HealthListResponse" in answer
    answer = ask(node, REFLECTION, wire.field(4, b"etcdserverpb.KV.Put"))
    assert b"PutRequest" in answer and b"KeyValue" in answer
