# SPDX-License-Identifier: Apache-2.0
"""What docs/reference/grpc-proof.md says of the gRPC library names tests that are there."""
import os
import re

import harness

PAGE = os.path.join(harness.TOP, "docs", "reference", "grpc-proof.md")


def text_of(*path):
    with open(os.path.join(harness.TOP, *path), encoding="utf-8") as f:
        return f.read()


def is_there(where, test):
    """Is it a test that runs: a function that is also in the list of its file?"""
    if where.startswith("tests/"):
        return re.search(rf"^(def {test}\(|    {test} = )", text_of(*where.split("/")), re.M)
    room, name = where.split("/")
    text = text_of("src", room, f"{name}_test.c")
    return re.search(rf"^static void {test}\(void \*\*", text, re.M) and \
        re.search(rf"\b[A-Za-z_]+\({test}\b[^{{]*?[),]", text.split("main(void)")[-1])


def proofs(text):
    return re.findall(r"`((?:tests/)?[a-z_0-9]+(?:/[a-z_0-9]+|\.py)): (\w+)`", text)


def test_what_is_said_of_the_library_names_tests_that_are_there():
    named = proofs(text_of("docs", "reference", "grpc-proof.md"))
    assert len(named) > 150
    missing = [f"{where}: {test}" for where, test in named if not is_there(where, test)]
    assert not missing


def test_each_row_names_one():
    with open(PAGE, encoding="utf-8") as f:
        heads = ("| It does", "| Attack", "| ---")
        rows = [line for line in f if line.startswith("| ") and not line.startswith(heads)]
    bare = [row for row in rows if not proofs(row) and "fuzzers of" not in row]
    assert len(rows) > 70
    assert not bare


def test_a_name_that_is_nowhere_is_missed():
    """So that the tests above can fail."""
    assert not is_there("rpc/flow", "nobody_is_called_so")
    assert is_there("rpc/flow", "a_take_has_an_end")
