# SPDX-License-Identifier: Apache-2.0
"""cover.py BUILD: which lines of raft, wal and snap do tests and simulation not reach?

Reads what a build with OAK_COVER left behind (gcov), prints the share of lines that ran, by file,
and holds what did not run against docs/internals/coverage.md: each line there is named by its
function and its text, with a reason, so that it may move. A line that did not run and is not named
fails the run, and so does a name that fits no line any more."""
import argparse
import collections
import glob
import json
import os
import re
import subprocess
import sys

ROOMS = ("raft", "wal", "snap")
GOAL = 95.0
LIST = "docs/internals/coverage.md"
TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Line = collections.namedtuple("Line", "path function number text")


def measured(build):
    """{(path, number): [function, count]} of the sources of the rooms."""
    lines = {}
    for room in ROOMS:
        notes = glob.glob(f"{build}/src/{room}/CMakeFiles/oak_{room}.dir/*.gcno")
        if not notes:
            sys.exit(f"cover: no measurements of {room} in {build}: make cover builds it")
        done = subprocess.run(["gcov", "--json-format", "--stdout", *notes], cwd=TOP, check=True,
                              capture_output=True, text=True)
        for report in filter(None, done.stdout.split("\n")):
            for source in json.loads(report)["files"]:
                # Absolute, or relative to where it was compiled: a compiler cache decides.
                named = re.search(rf"(?:^|/)(src/{room}/[^/]+)$", source["file"])
                if not named:
                    continue
                path = named.group(1)
                for line in source["lines"]:
                    row = lines.setdefault((path, line["line_number"]),
                                           [line.get("function_name", ""), 0])
                    row[1] += line["count"]
        if not any(path.startswith(f"src/{room}/") for path, _ in lines):
            sys.exit(f"cover: the measurements of {room} in {build} name none of its sources")
    return lines


def missed(lines):
    texts = {}
    for (path, number), (function, count) in sorted(lines.items()):
        if count == 0:
            if path not in texts:
                with open(os.path.join(TOP, path), encoding="utf-8") as f:
                    texts[path] = f.read().split("\n")
            yield Line(path, function, number, " ".join(texts[path][number - 1].split()))


def excused():
    """{(path, function, text): line of the list}: rows - `function`: `text`, `text`: reason."""
    found, path = {}, None
    with open(os.path.join(TOP, LIST), encoding="utf-8") as f:
        for number, row in enumerate(f.read().replace("\n  ", " ").split("\n"), 1):
            heading = re.match(r"### (src/\S+)$", row)
            path = heading.group(1) if heading else path
            if not row.startswith("- `"):
                continue
            match = re.match(r"- `(\w+)`: ((?:`[^`]+`(?:, )?)+): (.+)$", row)
            if not match or not path:
                sys.exit(f"{LIST}:{number}: write - `function`: `line`, `line`: reason")
            for text in re.findall(r"`([^`]+)`", match.group(2)):
                found[path, match.group(1), text] = number
    return found


def has_line(path, function, text):
    """Is there such a line, or (for all of a function) such a function?"""
    full = os.path.join(TOP, path)
    if not os.path.exists(full):
        return False
    with open(full, encoding="utf-8") as f:
        return any(function + "(" in line if text == "*" else " ".join(line.split()) == text
                   for line in f)


def table(lines):
    """Print the shares; the rooms that are below the goal."""
    sums = collections.defaultdict(lambda: [0, 0])
    for (path, _), (_, count) in lines.items():
        for key in (path, path.split("/")[1]):
            sums[key][0] += count > 0
            sums[key][1] += 1
    for key in sorted(sums, key=lambda k: (k.split("/")[1] if "/" in k else k, "/" not in k, k)):
        ran, of = sums[key]
        print(f"{key:<32} {ran:>6} of {of:>5} lines {100 * ran / of:>7.2f} %")
    return [room for room in ROOMS if 100 * sums[room][0] < GOAL * sums[room][1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("build")
    lines = measured(os.path.abspath(parser.parse_args().build))
    low = table(lines)
    excuses = excused()
    used, bad = set(), 0
    for line in missed(lines):
        keys = {(line.path, line.function, text) for text in (line.text, "*")}
        used |= keys
        if not keys & set(excuses):
            bad += 1
            print(f"{line.path}:{line.number}: {line.function}: did not run: {line.text}")
    for key, number in excuses.items():
        if not has_line(*key):
            bad += 1
            print(f"{LIST}:{number}: {key[1]} has no line like `{key[2]}` any more")
        elif key not in used:
            print(f"{LIST}:{number}: ran this time: {key[1]}: {key[2]}")
    for room in low:
        print(f"cover: {room} is under {GOAL:.0f} %")
    if bad:
        print(f"cover: {bad} lines to test, or to name in {LIST} with a reason")
    return 1 if low or bad else 0


if __name__ == "__main__":
    sys.exit(main())
