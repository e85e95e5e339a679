# SPDX-License-Identifier: Apache-2.0
"""docs/reference/limits.md lists every limit of src/base/limits.h, with its number."""
import os
import re

import harness

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def read(*path):
    with open(os.path.join(harness.TOP, *path), encoding="utf-8") as file:
        return file.read()


def limits():
    """{name: number} of every OAK_*_MAX of the header."""
    text = re.sub(r"/\*.*?\*/", " ", read("src", "base", "limits.h"), flags=re.S)
    known = {}
    for name, value in re.findall(r"^#define (OAK_\w+)[ \t]+(\S.*)$", text, re.M):
        words = re.sub(r"\(size_t\)", "", value)
        words = re.sub(r"OAK_\w+", lambda match: str(known[match.group(0)]), words)
        assert re.fullmatch(r"[\d\s*+()]+", words), f"{name} is not made of numbers: {value}"
        known[name] = eval(words)  # pylint: disable=eval-used
    return {name: value for name, value in known.items() if name.endswith("_MAX")}


def rows():
    """{name: number} of the tables of the page."""
    found = {}
    for name, value, unit in re.findall(r"^\| `(OAK_\w+)` \| (\d+)(?: (KiB|MiB))? \|",
                                        read("docs", "reference", "limits.md"), re.M):
        assert name not in found, f"{name} stands twice"
        found[name] = int(value) * UNITS[unit]
    return found


def test_every_limit_is_on_the_page_with_its_number():
    assert len(limits()) > 25
    assert rows() == limits()
