# SPDX-License-Identifier: Apache-2.0
"""docs/internals/track-record.md names a test, or gives a reason, for every scenario; what it names
exists."""
import os
import re

import harness

PAGE = os.path.join(harness.TOP, "docs", "internals", "track-record.md")
SCENARIOS = {"E": 22, "L": 20, "P": 16, "M": 12, "R": 10, "C": 7, "W": 19}


def rows():
    """(id, story, where, tests) of each row."""
    with open(PAGE, encoding="utf-8") as f:
        for line in f:
            if re.match(r"\| [A-Z]\d", line):
                yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def read(*path):
    full = os.path.join(harness.TOP, *path)
    if not os.path.exists(full):
        return ""
    with open(full, encoding="utf-8") as f:
        return f.read()


def exists(name):
    """Does the test of this name exist? The page's head tells the forms of names."""
    parts = name.split("/")
    if parts[0] == "zoo":
        return f"X({parts[1]}," in read("src", "base", "zoo.def")
    if parts[0] == "tests":
        return f"\ndef {parts[2]}(" in read("tests", parts[1] + ".py")
    if len(parts) == 2 and parts[0] == "raft":
        return read("src", "raft", "testdata", parts[1] + ".txt") != ""
    text = read("src", parts[0], parts[1] + "_test.c") if len(parts) == 3 else ""
    body = re.search(rf"^static void {parts[-1]}\(void \*\*state\)$", text, re.M)
    return body and re.search(rf"\b(?:cmocka_unit_test\w*|TEST)\(\s*{parts[-1]}\b", text)


def test_every_scenario_has_a_row():
    found = [row[0] for row in rows()]
    wanted = [f"{letter}{n}" for letter, count in SCENARIOS.items() for n in range(1, count + 1)]
    assert found == wanted


def test_every_row_has_a_story_a_source_and_an_answer():
    for row in rows():
        assert len(row) == 4 and all(row), row
        assert row[1].endswith("."), row


def test_every_test_that_is_named_exists():
    named = {(row[0], name) for row in rows() for name in re.findall(r"`(\w+(?:/\w+)+)`", row[3])}
    assert len(named) > 150
    missing = sorted((scenario, name) for scenario, name in named if not exists(name))
    assert not missing


def test_every_row_names_a_test_or_says_why_not():
    for row in rows():
        assert re.search(
            r"`(raft|wal|snap|store|kv|sim|peer|journal|replica|watch|tests|zoo)/[\w/]+`",
            row[3]) or row[3].startswith("There "), row


def test_a_name_that_is_not_there_would_be_noticed():
    for name in ["raft/e99_nothing", "wal/crash/nothing", "zoo/unicorn", "tests/test_limits/nope"]:
        assert not exists(name)
