#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_raft.py BUILD: what an entry costs in the Raft core, beside Debian's libraft.

Runs bench_raft and bench_libraft by turns and prints the medians of the CPU time for one entry,
from proposal to applied on three members in one process, with ratios. Without libraft the core is
measured alone, and that is said."""
import argparse
import os
import re
import statistics
import subprocess
import sys

ROW = re.compile(r"^ *(\d+) entries of (\d+) bytes a batch: +(\d+) ns an entry, .*"
                 r" ([\d.]+) messages")


def measure(program, size, batches):
    """One run: {batch: (nanoseconds an entry, messages a batch)}."""
    done = subprocess.run([program, str(size), str(batches)], capture_output=True, text=True,
                          check=False, timeout=600)
    rows = [ROW.match(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or not rows or None in rows:
        sys.exit(f"bench-raft: {program} failed:\n{done.stdout}{done.stderr}")
    return {int(r.group(1)): (int(r.group(3)), float(r.group(4))) for r in rows}


def medians(runs):
    return {batch: (statistics.median(run[batch][0] for run in runs), runs[0][batch][1])
            for batch in runs[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=10000)
    parser.add_argument("--bytes", type=int, default=256)
    args = parser.parse_args()
    programs = {"oakum": os.path.join(args.build, "src", "raft", "bench_raft"),
                "libraft": os.path.join(args.build, "src", "raft", "bench_libraft")}
    if not os.access(programs["libraft"], os.X_OK):
        print("bench-raft: LIBRAFT IS NOT HERE (Debian's libraft-dev): nothing to compare with")
        del programs["libraft"]
    runs = {name: [] for name in programs}
    for _ in range(args.rounds):
        for name, program in programs.items():
            runs[name].append(measure(program, args.bytes, args.batches))
    found = {name: medians(each) for name, each in runs.items()}
    print(f"CPU for one entry of {args.bytes} bytes, proposed and applied on three members in one "
          f"process;\nmedians of {args.rounds} runs by turns, messages for a batch in brackets\n")
    print(f"{'batch':>6} {'oakum':>16} {'libraft':>16} {'ratio':>6}")
    for batch, (ns, messages) in found["oakum"].items():
        theirs, ratio = "-", "-"
        if "libraft" in found:
            other, their_messages = found["libraft"][batch]
            theirs, ratio = f"{other:.0f} ns ({their_messages:.0f})", f"{other / ns:.1f}"
        print(f"{batch:>6} {f'{ns:.0f} ns ({messages:.0f})':>16} {theirs:>16} {ratio:>6}")
    goal = found["oakum"][64][0]
    print(f"\n{goal / 1000:.2f} µs an entry at batches of 64; the goal is under 0.5 µs")
    return 0 if goal < 500 else 1


if __name__ == "__main__":
    sys.exit(main())
