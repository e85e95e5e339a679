# SPDX-License-Identifier: Apache-2.0
"""random_requests.py: random requests, as many as you like, the same to a real etcd and to Oakum.

    python3 tests/random_requests.py --requests 1000000 [--seed N] [--streams 2]

`differ` (tests/tools) makes the requests of KV, Txn, Lease and Watch from a seed, asks both, and
compares each answer, all that watches hear, and at the end what is left: pairs, leases and the hash
of the history. Each stream has a pair of servers of its own, and the seed after that of the stream
before it. The servers' data is in memory where there is room, since what is synced makes no
difference here. How far each is comes to stdout, then the sum; `--requests N --seed S --streams 1`
repeats a stream. A test with fewer requests is test_random_differential.py.
"""
import argparse
import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

import harness

MEMORY = "/dev/shm"
MEMORY_BYTES = 4 << 30  # of each pair: etcd allocates its log ahead, five files of 64 MB
KIND = re.compile(r"(\w+) (\d+) \(and (\d+) refused\)")
WATCH = re.compile(r"watch created (\d+) cancelled (\d+) progress (\d+), "
                   r"events heard by each (\d+)")


def folder_make(pairs):
    """For the servers' data."""
    try:
        room = os.statvfs(MEMORY)
        enough = room.f_bavail * room.f_frsize >= pairs * MEMORY_BYTES
    except OSError:
        enough = False
    return tempfile.mkdtemp(prefix="oakum-random-", dir=MEMORY if enough else None)


def differ_path():
    return os.path.join(os.path.dirname(harness.oakum_path()), "differ")


def command(first, second, seed, requests):
    return [differ_path(), first.endpoint, second.endpoint, "--seed", str(seed),
            "--requests", str(requests)]


def stream(folder, seed, requests):
    """One stream to a pair of its own. Gives (exit code, the last line it told)."""
    with harness.Cluster(harness.etcd_path(), f"{folder}/{seed}-etcd", 1) as etcd, \
            harness.Cluster(harness.oakum_path(), f"{folder}/{seed}-oakum", 1) as oakum:
        etcd.start()
        oakum.start()
        line = ""
        with subprocess.Popen(command(etcd.nodes[0], oakum.nodes[0], seed, requests), text=True,
                              errors="replace", stdout=subprocess.PIPE) as process:
            for line in process.stdout:
                print(line, end="", flush=True)
        if process.returncode != 0:
            print(f"the first is etcd, the second Oakum; --streams 1 --seed {seed} "
                  f"--requests {requests} repeats it", flush=True)
        return process.returncode, line


def sum_up(lines):
    """One line of what all streams have told."""
    answered, refused, watches = {}, {}, [0] * 4
    for line in lines:
        for kind, fine, not_fine in KIND.findall(line):
            answered[kind] = answered.get(kind, 0) + int(fine)
            refused[kind] = refused.get(kind, 0) + int(not_fine)
        watches = [one + int(more) for one, more in zip(watches, WATCH.search(line).groups())]
    total = sum(answered.values()) + sum(refused.values()) + sum(watches[:3])
    kinds = ", ".join(f"{kind} {answered[kind] + refused[kind]}" for kind in answered)
    return (f"{total} requests without a difference: {kinds}, Watch {sum(watches[:3])} "
            f"({watches[3]} events heard by each); {sum(refused.values())} were refused")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=1000000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**32))
    parser.add_argument("--streams", type=int, default=2)
    options = parser.parse_args()
    each = -(-options.requests // options.streams)
    print(f"seed {options.seed}: {options.streams} streams of {each} requests", flush=True)
    folder = folder_make(options.streams)
    try:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            ends = list(pool.map(lambda i: stream(folder, options.seed + i, each),
                                 range(options.streams)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    code = max(code for code, _ in ends)
    if code == 0:
        print(sum_up([line for _, line in ends]))
    return code


if __name__ == "__main__":
    sys.exit(main())
