#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_watch.py: watchers on Oakum beside etcd: events a second, and what watchers cost in memory.

One member each, fsync on, data below build/bench; one server runs at a time, several rounds, and
the median counts. The load (bench/watch/load.c) has its watchers on ten connections, 256-byte
values, and a hundred puts under way. Memory is the resident set of the server once all watchers are
there, less what it was before; the rate counts from the first put to the last event. What part of a
core the load itself used meanwhile is told beside it: near 100 % it is the load that is measured.

A figure is valid for its machine and its moment; the ratios travel better.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "tests"))
import harness  # pylint: disable=wrong-import-position

# name, watchers, streams, keys, puts, clients
WORKLOADS = [
    ("1,000 watchers on one key", 1000, 100, 1, 10000, 100),
    ("1,000 watchers on one key, one put at a time", 1000, 100, 1, 2000, 1),
    ("100,000 watchers on keys of their own", 100000, 100, 100000, 200000, 100),
    ("100,000 on keys of their own, 1,000 puts at a time", 100000, 100, 100000, 200000, 1000),
]


def resident_mib(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def turn(load, program, folder, workload):
    """Of one server: (events a second, MiB of watchers, µs of CPU an event, MiB in all, the load's
    part of a core)."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with harness.Cluster(program, folder, size=1) as cluster:
        cluster.start()
        node = cluster.nodes[0]
        before = resident_mib(node.pid)
        with harness.child([load, node.endpoint, *map(str, workload[1:])],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            json.loads(process.stdout.readline())
            memory = resident_mib(node.pid)
            cpu = cpu_seconds(node.pid)
            load_cpu = cpu_seconds(process.pid)
            process.stdin.write("go\n")
            process.stdin.flush()
            told = json.loads(process.stdout.readline())
            cpu = cpu_seconds(node.pid) - cpu
            load_cpu = cpu_seconds(process.pid) - load_cpu
            after = resident_mib(node.pid)
    events = told["events"]
    return (events / told["seconds"], memory - before, cpu * 1e6 / events, after,
            load_cpu / told["seconds"])


def main():
    parser = argparse.ArgumentParser(description="measure watchers beside etcd")
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    build = os.path.join(harness.TOP, arguments.build)
    programs = {"etcd": harness.etcd_path(), "oakum": os.path.join(build, "bin", "oakum")}
    load = os.path.join(build, "bench", "watch", "bench_watch")
    print(f"{os.cpu_count()} cores, one member, 256-byte values, {arguments.rounds} rounds\n")
    print("| watchers | | events/s | CPU an event | watchers' memory | server's afterwards "
          "| load |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for workload in WORKLOADS:
        rows = {name: [] for name in programs}
        for _ in range(arguments.rounds):
            for name, program in programs.items():
                folder = os.path.join(build, "bench", "watch-" + name)
                rows[name].append(turn(load, program, folder, workload))
                shutil.rmtree(folder, ignore_errors=True)
        middle = {name: [statistics.median(column) for column in zip(*each)]
                  for name, each in rows.items()}
        for name, (rate, memory, cpu, after, busy) in middle.items():
            print(f"| {workload[0]} | {name} | {rate:,.0f} | {cpu:.2f} µs | {memory:.1f} MiB | "
                  f"{after:.0f} MiB | {busy:.0%} |")
        ratio = [ours / theirs for ours, theirs in zip(middle["oakum"], middle["etcd"])]
        print(f"| | ratio | {ratio[0]:.2f} | {ratio[2]:.2f} | {ratio[1]:.2f} | {ratio[3]:.2f} | |",
              flush=True)


if __name__ == "__main__":
    main()
