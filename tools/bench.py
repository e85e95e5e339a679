#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench.py: measure Oakum beside etcd on this machine, and print ratios.

Three nodes on loopback, fsync on, data below build/bench. The two take turns, several rounds of
each workload, one cluster running at a time; the median of the rounds counts. Load comes from
h2load (nghttp2), which speaks gRPC's HTTP/2: it costs little on the machine that it shares with the
servers, and is the same for both. All requests go to the leader and to one key, with a value of 256
bytes. Failures inside gRPC, which h2load does not see, show in the revision that puts leave behind
and in the bytes that gets bring.

A figure is valid for its machine and its moment; the ratios travel better.
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEY, VALUE = b"bench/0", b"v" * 256


def field(number, data):
    """A length-delimited protobuf field."""
    size, out = len(data), bytearray([number << 3 | 2])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes(out) + bytes([size]) + data


def grpc(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


PUT = grpc(field(1, KEY) + field(2, VALUE))
GET = grpc(field(1, KEY))
GET_SERIALIZABLE = grpc(field(1, KEY) + bytes([7 << 3, 1]))
# name, method, message, connections, streams on each
WORKLOADS = [
    ("put, 1 client", "Put", PUT, 1, 1),
    ("put, 100 clients on 10 connections", "Put", PUT, 10, 10),
    ("put, 1,000 clients on 100 connections", "Put", PUT, 100, 10),
    ("linearizable get, 100 clients", "Range", GET, 10, 10),
    ("serializable get, 100 clients", "Range", GET_SERIALIZABLE, 10, 10),
]


def free_ports(count):
    holders = [socket.socket() for _ in range(count)]
    for holder in holders:
        holder.bind(("127.0.0.1", 0))
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


class Cluster:
    """Three nodes of one program, which takes etcd's flags."""

    def __init__(self, program, folder, flags=()):
        self.program, self.folder, self.flags, self.nodes = program, folder, flags, []

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        ports = free_ports(6)
        self.clients = [f"127.0.0.1:{port}" for port in ports[:3]]
        peers = [f"http://127.0.0.1:{port}" for port in ports[3:]]
        every = ",".join(f"n{i}={peer}" for i, peer in enumerate(peers))
        for i, (client, peer) in enumerate(zip(self.clients, peers)):
            with open(os.path.join(self.folder, f"n{i}.log"), "wb") as log:
                self.nodes.append(subprocess.Popen(
                    [self.program, "--name", f"n{i}", "--data-dir", f"{self.folder}/n{i}",
                     "--listen-client-urls", f"http://{client}", "--log-level", "warn",
                     "--advertise-client-urls", f"http://{client}", "--listen-peer-urls", peer,
                     "--initial-advertise-peer-urls", peer, "--initial-cluster", every,
                     *self.flags],
                    stdout=log, stderr=log))
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            node.send_signal(signal.SIGKILL)
        for node in self.nodes:
            node.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def status(self):
        """(address of the leader, its revision), once every node knows a leader."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            done = subprocess.run(
                ["etcdctl", "--endpoints", ",".join(self.clients), "endpoint", "status", "-w",
                 "json"], capture_output=True, text=True, check=False,
                env={"PATH": os.environ["PATH"], "ETCDCTL_API": "3"})
            rows = json.loads(done.stdout) if done.returncode == 0 else []
            for row in rows:
                status = row["Status"]
                if len(rows) == 3 and status.get("leader") == status["header"]["member_id"]:
                    return row["Endpoint"], status["header"]["revision"]
            for node in self.nodes:
                if node.poll() is not None:
                    sys.exit(f"bench: a node of {self.program} ended: see {self.folder}")
        sys.exit(f"bench: {self.program} has no leader after 30 s: see {self.folder}")

    def cpu_seconds(self):
        """Processor time of all nodes so far."""
        total = 0
        for node in self.nodes:
            with open(f"/proc/{node.pid}/stat", encoding="ascii") as f:
                parts = f.read().rsplit(")", 1)[1].split()
            total += int(parts[11]) + int(parts[12])
        return total / os.sysconf("SC_CLK_TCK")

    def load(self, workload, seconds):
        """Run a workload: (requests a second, median ms, 99th percentile ms, CPU µs a request)."""
        _, method, message, connections, streams = workload
        leader, before = self.status()
        with tempfile.NamedTemporaryFile() as body, tempfile.NamedTemporaryFile() as log:
            body.write(message)
            body.flush()
            cpu = self.cpu_seconds()
            done = subprocess.run(
                ["h2load", "-D", str(seconds), "-c", str(connections), "-m", str(streams), "-d",
                 body.name, "--log-file", log.name, "-H", "content-type: application/grpc", "-H",
                 "te: trailers", f"http://{leader}/etcdserverpb.KV/{method}"],
                capture_output=True, text=True, check=False, timeout=seconds + 60)
            cpu = self.cpu_seconds() - cpu
            with open(log.name, encoding="ascii") as f:
                rows = [line.split("\t") for line in f]
        times = sorted(int(row[2]) for row in rows if row[1] == "200")
        if done.returncode != 0 or len(times) < len(rows) or not times:
            sys.exit(f"bench: h2load failed on {self.program}\n{done.stdout}{done.stderr}")
        data = re.search(r"\((\d+)\) data", done.stdout)
        if method == "Range" and (not data or int(data.group(1)) < len(times) * len(VALUE)):
            sys.exit(f"bench: gets of {self.program} came without their value\n{done.stdout}")
        if method == "Put" and self.status()[1] - before < len(times):
            sys.exit(f"bench: puts were answered that {self.program} did not make")
        return (len(times) / seconds, times[len(times) // 2] / 1000,
                times[len(times) * 99 // 100] / 1000, cpu * 1e6 / len(times))


def measure(programs, seconds, rounds):
    """Rounds take turns between the programs, so that drift of the machine hits both."""
    results = {}
    for turn in range(rounds):
        for name, program in programs.items():
            with Cluster(program, os.path.join(TOP, "build", "bench", name)) as cluster:
                cluster.load(WORKLOADS[1], min(seconds, 3))
                for workload in WORKLOADS:
                    figures = cluster.load(workload, seconds)
                    results.setdefault((workload[0], name), []).append(figures)
                    print(f"round {turn + 1}, {name}: {workload[0]}: {figures[0]:,.0f}/s",
                          file=sys.stderr)
    return {key: tuple(statistics.median(column) for column in zip(*rows))
            for key, rows in results.items()}


def main():
    parser = argparse.ArgumentParser(description="measure Oakum beside etcd")
    parser.add_argument("--seconds", type=int, default=10, help="for each workload and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--oakum", default=os.path.join(TOP, "build", "bin", "oakum"))
    parser.add_argument("--etcd", default=os.path.join(TOP, "build/peers/etcd/usr/bin/etcd"))
    arguments = parser.parse_args()
    programs = {"etcd": arguments.etcd, "oakum": arguments.oakum}
    for name, program in programs.items():
        if not os.access(program, os.X_OK):
            sys.exit(f"bench: no {name} at {program}: run make all deps-test")
    medians = measure(programs, arguments.seconds, arguments.rounds)
    print(f"\n{os.cpu_count()} cores, three nodes, 256-byte values, {arguments.seconds} s, median "
          f"of {arguments.rounds} rounds\n")
    print("| workload | etcd: ops/s, p50, p99, CPU | oakum: ops/s, p50, p99, CPU | ratio |")
    print("| --- | --- | --- | --- |")
    for workload in WORKLOADS:
        cells = [medians[(workload[0], name)] for name in programs]
        text = [f"{c[0]:,.0f}/s, {c[1]:.2f} ms, {c[2]:.2f} ms, {c[3]:.0f} µs" for c in cells]
        print(f"| {workload[0]} | {text[0]} | {text[1]} | {cells[1][0] / cells[0][0]:.1f} |")


if __name__ == "__main__":
    main()
