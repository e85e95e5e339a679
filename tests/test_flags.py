# SPDX-License-Identifier: Apache-2.0
"""Flags whose work is seen from outside: ports, directories, limits."""
import contextlib
import json
import os
import re
import socket
import subprocess

import pytest

import harness


def lone(start_cluster, flags, **options):
    """One member that is not started, and its cluster."""
    cluster = start_cluster(size=1, flags=flags, start=False, **options)
    return cluster, cluster.nodes[0]


def ended(node):
    """Start a member that can't; its last words."""
    node.start()
    assert node.wait() == 1
    return node.log_text().splitlines()[-1]


def speaks_http2(port):
    """Does this port answer HTTP/2 with its settings?"""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        with contextlib.suppress(ConnectionError):
            return wire.recv(9)[3:4] == b"\4"
    return False


def test_http_moves_to_ports_of_its_own(start_cluster, etcdctl_bin):
    port = harness.free_ports(1)[0]
    cluster, node = lone(start_cluster, ["--listen-client-http-urls", f"http://127.0.0.1:{port}"])
    node.start()
    http = f"127.0.0.1:{port}"
    harness.until(lambda: harness.http_request(http, "GET", "/health")[0] == 200, "its health")
    cluster.etcdctl("put", "k", "v")
    with pytest.raises((ConnectionError, harness.http.client.HTTPException)):
        node.http("GET", "/health")
    assert not speaks_http2(port)
    assert speaks_http2(int(node.endpoint.split(":")[1]))


def test_a_host_that_is_not_on_the_list_gets_421(start_cluster):
    cluster, node = lone(start_cluster, ["--host-whitelist", "localhost,127.0.0.1"])
    cluster.start()
    assert node.http("GET", "/version")[0] == 200
    assert node.http("GET", "/version", headers={"Host": "localhost:1"})[0] == 200
    for path in ("/version", "/api/v1/data/k", "/metrics"):
        status, _, body = node.http("GET", path, headers={"Host": "evil.example"})
        assert status == 421 and b"--host-whitelist" in body


def test_pages_of_other_origins_are_told_what_they_may(start_cluster):
    one, two, other = "http://127.0.0.1:1", "http://127.0.0.1:28", "http://127.0.0.1:2"
    cluster, node = lone(start_cluster, ["--cors", f"{one},{two}"])
    cluster.start()

    def allowed(method, path, origin, body=None):
        status, headers, answer = node.http(method, path, body, headers={"Origin": origin})
        return status, headers.get("Access-Control-Allow-Origin"), answer
    put = b'{"key":"YQ=="}'
    assert allowed("OPTIONS", "/v3/kv/range", two) == (200, two, b"")
    assert allowed("OPTIONS", "/v3/kv/range", other) == (200, None, b"")
    assert allowed("POST", "/v3/kv/put", one, put)[:2] == (200, one)
    assert allowed("POST", "/v3/kv/put", other, put)[:2] == (200, None)
    assert allowed("GET", "/version", one)[:2] == (200, one)
    cluster.flags = []
    node.restart()
    assert allowed("GET", "/version", other)[:2] == (200, "*")


def test_two_processes_share_a_port_when_both_are_told_to(start_cluster):
    (first, one), (second, two) = (lone(start_cluster, ["--socket-reuse-port"]) for _ in range(2))
    two.endpoint, two.client_url = one.endpoint, one.client_url
    first.start()
    second.start()
    assert one.running and two.running
    third, three = lone(start_cluster, [])
    three.endpoint, three.client_url = one.endpoint, one.client_url
    assert "--listen-client-urls" in ended(three) and third.running == []


def test_the_log_may_be_elsewhere_and_stays_there(start_cluster, tmp_path, etcdctl_bin):
    wal = tmp_path / "elsewhere" / "log"
    cluster, node = lone(start_cluster, ["--wal-dir", str(wal)])
    cluster.start()
    cluster.etcdctl("put", "k", "v")
    assert os.listdir(wal) and not os.path.exists(os.path.join(node.data_dir, "wal"))
    node.kill()
    cluster.start()
    assert cluster.etcdctl("get", "k") == "k\nv"
    node.stop()
    cluster.flags = []
    assert f"the log of this member is in {wal}: give --wal-dir={wal}" in ended(node)
    cluster.flags = ["--wal-dir", str(tmp_path / "other")]
    assert f"give --wal-dir={wal}" in ended(node)
    cluster, node = lone(start_cluster, [])
    cluster.start()
    node.stop()
    cluster.flags = ["--wal-dir", str(wal)]
    assert "leave --wal-dir out" in ended(node)


def test_memory_is_locked_or_it_is_said_why_not(tmp_path, oakum_bin):
    done = subprocess.run(
        ["prlimit", f"--memlock={1 << 16}", oakum_bin, "--data-dir", str(tmp_path / "data"),
         "--memory-mlock"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "--memory-mlock:" in done.stderr
    assert "LimitMEMLOCK=infinity" in json.loads(done.stderr)["msg"]


def test_a_silent_client_is_asked_and_let_go(start_cluster):
    flags = ["--grpc-keepalive-interval", "100ms", "--grpc-keepalive-timeout", "100ms"]
    cluster, node = lone(start_cluster, flags)
    cluster.start()
    host, port = node.endpoint.split(":")
    kinds = []
    with socket.create_connection((host, int(port)), timeout=30) as wire:
        wire.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        with wire.makefile("rb") as frames, contextlib.suppress(ConnectionError):
            while head := frames.read(9):
                frames.read(int.from_bytes(head[:3], "big"))
                kinds.append(head[3])
    assert 6 in kinds  # PING; and then the end


def test_the_service_manager_is_told_when_clients_are_served(start_cluster, tmp_path):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(harness.PATIENCE_S)
        cluster, node = lone(start_cluster, [], env={"NOTIFY_SOCKET": path})
        cluster.start(wait=False)
        assert manager.recv(100) == b"READY=1"
        assert node.http("GET", "/version")[0] == 200  # it listens
        node.stop()
        assert manager.recv(100) == b"STOPPING=1"


def test_log_lines_go_to_a_file_that_is_rotated(start_cluster, tmp_path):
    path = tmp_path / "member.log"
    cluster, node = lone(start_cluster, [
        "--logger", "zap", "--log-level", "info", "--log-outputs", str(path),
        "--enable-log-rotation", "--log-rotation-config-json", '{"maxsize": 1, "maxbackups": 2}'])
    path.write_text("x" * (1 << 20))
    cluster.start()
    assert node.log_text() == ""
    lines = path.read_text().splitlines()
    assert any("leads in term" in json.loads(line)["msg"] for line in lines)
    kept = [name for name in os.listdir(tmp_path) if name.startswith("member-")]
    assert len(kept) == 1 and kept[0].endswith(".log")
    node.stop()
    cluster.flags = ["--log-outputs", str(tmp_path / "nowhere" / "x.log")]
    assert "--log-outputs: can't open" in ended(node)


def test_a_slow_request_is_logged_and_a_watch_is_not_one(start_cluster, etcdctl_bin):
    flags = ["--warning-unary-request-duration", "1ns"]
    cluster, node = lone(start_cluster, flags)
    cluster.start()
    cluster.etcdctl("put", "k", "v")
    harness.until(lambda: "slow request: /etcdserverpb.KV/Put from 127.0.0.1:" in node.log_text(),
                  "a line on the put")
    for _ in range(15):
        cluster.etcdctl("get", "k")
    text = node.log_text()
    assert text.count("slow request: ") <= 10 * (1 + text.count("more before"))
    quiet, calm = lone(start_cluster, ["--experimental-warning-unary-request-duration", "0s"])
    quiet.start()
    quiet.etcdctl("put", "k", "v")
    assert "slow request" not in calm.log_text()


def test_each_flag_of_a_real_etcd_is_known(etcd_bin):
    """Those of its help: each works, is refused with a reason, or is accepted."""
    done = subprocess.run([etcd_bin, "--help"], capture_output=True, text=True, check=False)
    flags = sorted(set(re.findall(r"^  --([a-z0-9-]+)", done.stdout + done.stderr, re.MULTILINE)))
    assert len(flags) > 60
    unknown = [flag for flag in flags
               if "flag provided but not defined" in
               harness.run(f"--{flag}=\x01", "--help=\x01").stderr]
    assert unknown == []
