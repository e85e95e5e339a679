# SPDX-License-Identifier: Apache-2.0
"""The API by JSON-RPC, 1.0 and 2.0, over plain sockets; and by Go's own client, net/rpc/jsonrpc, in
the program that OAK_JSONRPC_GO names: `make jsonrpc-go` has it made of tests/go, and sets it."""
import base64
import json
import os
import re
import signal
import socket

import pytest

import harness

FLAG = "--experimental-jsonrpc-listen"


def b64(text):
    return base64.b64encode(text.encode()).decode()


class Client:
    """A connection; what comes back is read line by line."""

    def __init__(self, node):
        found = re.findall(r"listening for JSON-RPC on 127\.0\.0\.1:(\d+)", node.log_text())
        self.sock = socket.create_connection(("127.0.0.1", int(found[-1])), harness.PATIENCE_S)
        self.lines = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.sock.close()

    def send(self, *texts):
        self.sock.sendall(b"".join(t if isinstance(t, bytes) else json.dumps(t).encode()
                                   for t in texts))

    def receive(self):
        """The next answer; None: the connection has ended."""
        line = self.lines.readline()
        return json.loads(line) if line else None

    def old(self, method, *params, number=1):
        self.send({"method": method, "params": params, "id": number})
        answer = self.receive()
        assert set(answer) == {"id", "result", "error"} and answer["id"] == number
        return answer["result"], answer["error"]

    def new(self, method, params=None, number=1):
        self.send({"jsonrpc": "2.0", "method": method, "id": number} |
                  ({} if params is None else {"params": params}))
        answer = self.receive()
        assert answer.pop("jsonrpc") == "2.0" and answer.pop("id") == number and len(answer) == 1
        return answer


@pytest.fixture(scope="module")
def door(lasting_cluster):
    return lasting_cluster(size=1, flags=[FLAG + "=127.0.0.1:0"]).nodes[0]


def test_jsonrpc_puts_and_ranges_in_both_versions(door):
    with Client(door) as client:
        result, error = client.old("KV.Put", {"key": b64("jr/a"), "value": b64("1")})
        assert error is None
        revision = int(result["header"]["revision"])
        answer = client.new("etcdserverpb.KV/Put", {"key": b64("jr/b"), "value": b64("2")})
        assert int(answer["result"]["header"]["revision"]) == revision + 1
        answer = client.new("etcdserverpb.KV.Range",
                            [{"key": b64("jr/"), "rangeEnd": b64("jr0"), "limit": 10}], "text")
        kvs = answer["result"]["kvs"]
        assert [(kv["key"], kv["value"]) for kv in kvs] == [(b64("jr/a"), b64("1")),
                                                            (b64("jr/b"), b64("2"))]
        assert kvs[0]["modRevision"] == str(revision) and answer["result"]["count"] == "2"
        result, error = client.old("KV.DeleteRange", {"key": b64("jr/"), "range_end": b64("jr0")})
        assert error is None and result["deleted"] == "2"
        result, error = client.old("KV.Txn", {
            "compare": [{"key": b64("jr/t"), "target": "VERSION", "version": 0}],
            "success": [{"requestPut": {"key": b64("jr/t"), "value": b64("x")}}]})
        assert error is None and result["succeeded"] and "responsePut" in result["responses"][0]
        assert client.new("grpc.health.v1.Health.Check")["result"] == {"status": "SERVING"}
        assert client.old("Cluster.MemberList")[0]["members"]


def test_jsonrpc_errors_are_those_of_etcd(door):
    with Client(door) as client:
        result, error = client.old("KV.Put", {"value": b64("1")})
        assert result is None
        assert error == "rpc error: code = InvalidArgument desc = etcdserver: key is not provided"
        answer = client.new("KV.Range", {"key": b64("a"), "revision": "99999999"})["error"]
        assert answer == {"code": -32011,
                          "message": "etcdserver: mvcc: required revision is a future revision",
                          "data": {"code": 11, "status": "OutOfRange"}}
        assert client.new("KV.Nothing")["error"]["code"] == -32601
        answer = client.new("grpc.health.v1.Health/Watch", {})["error"]
        assert answer["code"] == -32601 and "streams" in answer["message"]
        answer = client.new("KV.Put", {"key": "no base64 !"})["error"]
        assert answer["code"] == -32602 and "key" in answer["message"]
        large = {"key": b64("a"), "value": b64("v" * 2000000)}
        answer = client.new("KV.Put", large)["error"]
        assert answer["message"] == "etcdserver: request is too large"
        assert answer["code"] == -32003


def test_jsonrpc_batches(door):
    with Client(door) as client:
        client.send([{"jsonrpc": "2.0", "method": "KV.Put", "id": i,
                      "params": {"key": b64(f"batch/{i}"), "value": b64("v")}} for i in range(50)] +
                    [{"jsonrpc": "2.0", "method": "KV.Put",
                      "params": {"key": b64("batch/x"), "value": b64("unseen")}}, 1])
        answers = client.receive()
        assert sorted(a["id"] for a in answers if a["id"] is not None) == list(range(50))
        assert [a["error"]["code"] for a in answers if a["id"] is None] == [-32600]
        answer = client.new("KV.Range", {"key": b64("batch/"), "rangeEnd": b64("batch0"),
                                         "countOnly": True})
        assert answer["result"]["count"] == "51"


def test_jsonrpc_many_calls_are_in_flight(start_cluster):
    cluster = start_cluster(size=3, flags=[FLAG + "=127.0.0.1:0"])
    count = 3000
    for node in cluster.nodes:
        with Client(node) as client:
            before = client.new("KV.Put", {"key": b64("first"), "value": b64("v")})
            first = int(before["result"]["header"]["revision"]) + 1
            client.send(*({"method": "KV.Put", "id": i,
                           "params": [{"key": b64(f"k{i}"), "value": b64(str(i))}]}
                          for i in range(count)))
            answers = [client.receive() for _ in range(count)]
            assert all(a["error"] is None for a in answers)
            assert sorted(a["id"] for a in answers) == list(range(count))
            revisions = sorted(int(a["result"]["header"]["revision"]) for a in answers)
            assert revisions == list(range(first, first + count))
            client.send(*({"method": "KV.Range", "id": i, "params": [{"key": b64(f"k{i}")}]}
                          for i in range(count)))
            for _ in range(count):
                a = client.receive()
                assert a["result"]["kvs"][0]["value"] == b64(str(a["id"]))


def test_jsonrpc_wrong_input_ends_only_its_connection(door):
    with Client(door) as lasting:
        for text in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"{]",
                     b"\x16\x03\x01", b"[" * 200, b'{"a":"\xff"}', b"{} }"):
            with Client(door) as client:
                client.send(text)
                last = None
                answer = client.receive()
                while answer is not None:
                    last, answer = answer, client.receive()
                assert last["id"] is None and last["error"]
        with Client(door) as client:
            client.send(b'{"jsonrpc":"2.0","id":"' + b"x" * (5 << 20))
            assert client.receive()["error"]["code"] == -32600
        assert "result" in lasting.new("KV.Range", {"key": b64("a")})


def test_jsonrpc_is_counted(door):
    def metrics():
        return {name[len("oakum_jsonrpc_"):]: value for name, value in door.metrics().items()
                if name.startswith("oakum_jsonrpc_")}

    harness.until(lambda: metrics()["connections"] == 0, "the connections of other tests end")
    before = metrics()
    with Client(door) as client:
        client.new("KV.Range", {"key": b64("a")})
        client.new("KV.Put", {})
        client.new("KV.Nothing")
        after = metrics()
    assert after["connections"] == 1
    grown = {name: after[name] - before[name] for name in after}
    assert grown["started_total"] == 2 and grown["refused_total"] == 1
    assert grown['handled_total{grpc_code="OK"}'] == 1
    assert grown['handled_total{grpc_code="InvalidArgument"}'] == 1
    assert grown["received_bytes_total"] > 100 and grown["sent_bytes_total"] > 100


def test_jsonrpc_goes_with_its_server(start_cluster):
    node = start_cluster(size=1, flags=[FLAG + "=127.0.0.1:0"]).nodes[0]
    with Client(node) as client:
        assert "result" in client.new("KV.Range", {"key": b64("a")})
        node.signal(signal.SIGTERM)
        assert client.receive() is None
    assert node.wait() == 0


def test_jsonrpc_is_off_unless_asked_for(start_cluster):
    node = start_cluster(size=1).nodes[0]
    assert "JSON-RPC" not in node.log_text()
    assert node.metrics()["oakum_jsonrpc_connections"] == 0


def test_jsonrpc_an_address_that_is_none_is_named(oakum_bin, tmp_path):
    ports = harness.free_ports(2)
    ended = harness.run("--data-dir", str(tmp_path / "d"),
                        "--listen-client-urls", f"http://127.0.0.1:{ports[0]}",
                        "--advertise-client-urls", f"http://127.0.0.1:{ports[0]}",
                        "--listen-peer-urls", f"http://127.0.0.1:{ports[1]}",
                        FLAG, "nonsense", program=oakum_bin)
    assert ended.returncode == 1 and FLAG in ended.stderr + ended.stdout


def run_go_client(start_cluster):
    cluster = start_cluster(size=3, flags=[FLAG + "=127.0.0.1:0"])
    for node in cluster.nodes:
        address = re.findall(r"listening for JSON-RPC on (\S+:\d+)", node.log_text())[-1]
        ended = harness.run(address, program=os.environ["OAK_JSONRPC_GO"], timeout=60)
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout == "ok: 4568 calls\n"
        assert node.metrics()['oakum_jsonrpc_handled_total{grpc_code="OK"}'] == 4564


# Elsewhere there is no such test, rather than one that skips itself.
if os.environ.get("OAK_JSONRPC_GO"):
    test_jsonrpc_go_client = run_go_client
