#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_leases.py: what a linearizable read costs one client: by lease, and by read index, beside
one that is serializable.

Two clusters of three nodes on loopback run at once, one with leases for reads and one without. One
client on one connection asks the leader for one key of 256 bytes, one request at a time. The kinds
of read take turns, a second each, so that whatever else the machine does hits all alike; the median
of all turns counts, and the median of the ratios of neighbouring turns.

That the reads were what they were meant to be is taken from the nodes' own metrics.
"""
import argparse
import os
import statistics
import sys
import urllib.request

import bench

LEASE_FLAGS = ("--experimental-lease-reads=1000",)
LINEARIZABLE = ("linearizable get, 1 client", "Range", bench.GET, 1, 1)
SERIALIZABLE = ("serializable get, 1 client", "Range", bench.GET_SERIALIZABLE, 1, 1)
PUT = ("put", "Put", bench.PUT, 1, 1)


def counter(cluster, name):
    """One of the metrics of the leader."""
    leader, _ = cluster.status()
    with urllib.request.urlopen(f"http://{leader}/metrics", timeout=10) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
    return sys.exit(f"bench: {leader} has no metric {name}")


def turn(cluster, workload, name, seconds):
    """(median ms, 99th percentile ms, µs of CPU) of one turn; `name` is the metric that must count
    its reads."""
    before = counter(cluster, name) if name else 0
    rate, median, high, cpu = cluster.load(workload, seconds)
    if name and counter(cluster, name) - before < rate * seconds * 0.99:
        sys.exit(f"bench: {name} did not count the reads of a turn")
    return median, high, cpu


def main():
    parser = argparse.ArgumentParser(description="measure reads by lease")
    parser.add_argument("--seconds", type=int, default=10, help="for each kind of read")
    parser.add_argument("--oakum", default=os.path.join(bench.TOP, "build", "bin", "oakum"))
    arguments = parser.parse_args()
    kinds = [
        ("serializable", 0, SERIALIZABLE, None),
        ("by lease", 0, LINEARIZABLE, "oakum_reads_by_lease_total"),
        ("by read index", 1, LINEARIZABLE, "oakum_reads_by_index_total"),
    ]
    figures = {kind[0]: [] for kind in kinds}
    folder = os.path.join(bench.TOP, "build", "bench")
    with bench.Cluster(arguments.oakum, os.path.join(folder, "leased"), LEASE_FLAGS) as leased, \
            bench.Cluster(arguments.oakum, os.path.join(folder, "indexed")) as indexed:
        clusters = [leased, indexed]
        for cluster in clusters:
            cluster.load(PUT, 1)
        while counter(leased, "oakum_lease_seconds") == 0:
            leased.load(PUT, 1)
        for _ in range(arguments.seconds):
            for name, which, workload, metric in kinds:
                figures[name].append(turn(clusters[which], workload, metric, 1))
    print(f"{os.cpu_count()} cores, three nodes, 256-byte value, 1 client, {arguments.seconds} "
          "turns of 1 s each\n")
    print("| read | p50 | p99 | CPU | p50 beside serializable |")
    print("| --- | --- | --- | --- | --- |")
    base = [row[0] for row in figures["serializable"]]
    for name, rows in figures.items():
        middle = [statistics.median(column) for column in zip(*rows)]
        ratio = statistics.median(row[0] / other for row, other in zip(rows, base))
        print(f"| {name} | {middle[0]:.3f} ms | {middle[1]:.3f} ms | {middle[2]:.0f} µs | "
              f"{ratio:.2f} |")


if __name__ == "__main__":
    main()
