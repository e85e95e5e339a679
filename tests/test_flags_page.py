# SPDX-License-Identifier: Apache-2.0
"""docs/reference/flags.md has each flag that works. Its tables are written from the help:

    python3 tests/test_flags_page.py --write
"""
import os
import re
import sys

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "flags.md")
MARK = "<!-- from the help: python3 tests/test_flags_page.py --write -->\n"


def help_groups():
    """The flags that work: {group: [(flag, what)]}."""
    groups = {}
    group = flag = None
    text = harness.run("--help").stdout.split("Refused, because")[0].split("as keys, durations")[1]
    for line in text.splitlines()[1:]:
        if re.fullmatch(r"[A-Z]\w+:", line):
            group = groups.setdefault(line[:-1], [])
        elif line.startswith("  --"):
            flag = line.strip()
        elif line.startswith("      "):
            group.append((flag, line.strip()))
    return groups


def tables():
    parts = []
    for group, rows in help_groups().items():
        parts.append(f"### {group}\n\n| flag | what |\n| --- | --- |\n")
        for flag, what in rows:
            cells = [cell.replace("|", "\\|") for cell in (flag, what.replace("<", "&lt;"))]
            parts.append(f"| `{cells[0]}` | {cells[1]} |\n")
        parts.append("\n")
    return "".join(parts).rstrip("\n") + "\n"


def test_each_flag_that_works_is_on_the_page(oakum_bin):
    with open(PAGE, encoding="utf-8") as page:
        rows = re.findall(r"^\| `--([a-z-]+)", page.read().split(MARK)[1], re.MULTILINE)
    flags = [flag.split()[0][2:] for rows in help_groups().values() for flag, _ in rows]
    assert len(flags) > 60
    assert [flag for flag in flags if flag not in rows] == []
    assert [row for row in rows if row not in flags] == []


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    with open(PAGE, encoding="utf-8") as old:
        head = old.read().split(MARK)[0]
    with open(PAGE, "w", encoding="utf-8") as new:
        new.write(head + MARK + "\n" + tables())
