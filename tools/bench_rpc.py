#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_rpc.py BUILD: what an echo costs on our gRPC library, beside gRPC's C++ library.

The same load by h2load (nghttp2) on three servers by turns: ours on one thread; gRPC C++ with its
callback API; gRPC C++ with a completion queue. All give bytes back undecoded. Prints medians of
requests a second, the server's CPU time for a request, and the latency of a single call at a time,
with ratios to the better of the two; then a stream and large messages. Without the C++ servers ours
is measured alone, and that is said."""
import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

TICK = os.sysconf("SC_CLK_TCK")
OURS = "oakum"
SERVERS = {OURS: "echo_oakum", "C++ callback": "echo_grpc_callback",
           "C++ queue": "echo_grpc_queue"}


class Load:
    """One shape of load: calls of `messages` messages of `size` bytes each."""

    def __init__(self, title, method, clients, streams, calls, size, messages=1):
        self.title = title
        self.method = method
        self.clients = clients
        self.streams = streams
        self.calls = calls
        self.size = size
        self.messages = messages

    def body(self):
        """The messages of one call, framed. Each is a valid bench.Bytes."""
        length = self.size
        payload = length - 1
        while True:  # the field's head takes from the payload what its length needs
            digits, rest = b"", payload
            while rest > 0x7f:
                digits += bytes([rest & 0x7f | 0x80])
                rest >>= 7
            digits += bytes([rest])
            if 1 + len(digits) + payload <= length:
                break
            payload -= 1
        message = b"\x0a" + digits + b"x" * payload
        return (b"\0" + len(message).to_bytes(4, "big") + message) * self.messages


class Server:
    def __init__(self, name, program):
        self.name = name
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"bench-rpc: {program} does not serve: {line}")
        self.port = int(line.split()[2])

    def cpu(self):
        """Seconds of all its threads, user and system."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def stop(self):
        self.process.kill()
        self.process.wait()


def seconds(text):
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[unit]


def drive(server, load, data, calls):
    """One run: (requests a second, CPU seconds a request, mean seconds a request)."""
    before = server.cpu()
    done = subprocess.run(
        ["h2load", "-n", str(calls), "-c", str(load.clients), "-m", str(load.streams), "-t", "1",
         "-w", "20", "-W", "22", "-d", data, "-H", "content-type: application/grpc",
         "-H", "te: trailers", f"http://127.0.0.1:{server.port}/bench.Echo/{load.method}"],
        capture_output=True, text=True, check=False, timeout=600)
    spent = server.cpu() - before
    rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", done.stdout)
    good = re.search(r"(\d+) succeeded", done.stdout)
    came = re.search(r"\((\d+)\) data", done.stdout)
    mean = re.search(r"time for request: +\S+ +\S+ +(\S+)", done.stdout)
    if not (rate and good and came and mean) or int(good.group(1)) != calls:
        sys.exit(f"bench-rpc: {server.name} failed:\n{done.stdout}{done.stderr}")
    wanted = calls * len(load.body())
    if int(came.group(1)) != wanted:  # an error has a status of 200, and no message
        sys.exit(f"bench-rpc: {server.name} gave {came.group(1)} bytes back, not {wanted}")
    return float(rate.group(1)), spent / calls, seconds(mean.group(1))


def measure(servers, load, rounds, scale):
    """{server: medians}, of runs by turns, after one that warms up."""
    runs = {server.name: [] for server in servers}
    calls = max(load.clients * load.streams, int(load.calls * scale))
    with tempfile.NamedTemporaryFile() as data:
        data.write(load.body())
        data.flush()
        for server in servers:
            drive(server, load, data.name, max(load.clients * load.streams, calls // 10))
        for _ in range(rounds):
            for server in servers:
                runs[server.name].append(drive(server, load, data.name, calls))
    return {name: tuple(statistics.median(run[i] for run in each) for i in range(3))
            for name, each in runs.items()}


def show(load, found):
    print(f"\n{load.title}")
    print(f"  {'':14} {'requests/s':>11} {'CPU a request':>14} {'mean latency':>13}")
    for name, (rate, cpu, mean) in found.items():
        print(f"  {name:14} {rate:>11,.0f} {cpu * 1e6:>11.2f} µs {mean * 1e6:>10.0f} µs")
    others = [each for name, each in found.items() if name != OURS]
    if not others:
        return None
    rate, cpu, mean = found[OURS]
    # The better of them in each column.
    ratios = (rate / max(o[0] for o in others), cpu / min(o[1] for o in others),
              mean / min(o[2] for o in others))
    print(f"  {'ours/better':14} {ratios[0]:>10.2f}x {ratios[1]:>13.0%} {ratios[2]:>12.0%}")
    return ratios


LOADS = [
    Load("unary, 100 bytes, 10 connections of 10 streams", "Unary", 10, 10, 200000, 100),
    Load("unary, 100 bytes, one call at a time", "Unary", 1, 1, 20000, 100),
    Load("bidi stream of 1,000 messages of 100 bytes, 10 connections", "Stream", 10, 1, 500, 100,
         messages=1000),
    Load("unary, 1 MiB, 4 connections", "Unary", 4, 1, 600, 1 << 20),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="more or fewer calls a run")
    args = parser.parse_args()
    if shutil.which("h2load") is None:
        sys.exit("bench-rpc: h2load is missing (Debian's nghttp2-client): make deps-test")
    servers = []
    for name, program in SERVERS.items():
        path = os.path.join(args.build, "bench", "rpc", program)
        if os.access(path, os.X_OK):
            servers.append(Server(name, path))
        elif name == OURS:
            sys.exit(f"bench-rpc: {path} is missing")
        else:
            print(f"bench-rpc: {program} IS NOT HERE (Debian's libgrpc++-dev, "
                  f"protobuf-compiler-grpc, g++): nothing to compare with")
    try:
        print(f"medians of {args.rounds} runs by turns; servers and h2load share this machine's "
              f"{os.cpu_count()} cores")
        results = [show(load, measure(servers, load, args.rounds, args.scale)) for load in LOADS]
    finally:
        for server in servers:
            server.stop()
    if results[0] is None:
        return 0
    good = results[0][0] >= 2.5 and results[0][1] <= 0.4 and results[1][2] < 1
    print(f"\nthe goal is 2.5 times the requests for 40 % of the CPU, and a lower latency: "
          f"{'met' if good else 'MISSED'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
