# SPDX-License-Identifier: Apache-2.0
"""The tour of the README, as a new user takes it: each block of commands, in order, in a shell."""
import os
import re
import subprocess
import sys

import pytest

import harness

sys.path.insert(0, os.path.join(harness.TOP, "tools"))


def blocks():
    """The indented blocks of the section "Use it", up to the cluster by hand."""
    with open(os.path.join(harness.TOP, "README.md"), encoding="utf-8") as page:
        text = page.read().split("## Use it", 1)[1].split("A cluster by hand", 1)[0]
    found, current = [], []
    for line in text.splitlines() + ["end"]:
        if line.startswith("    "):
            current.append(line[4:])
        elif line == "" and current:
            current.append("")
        elif current:
            found.append("\n".join(current).strip("\n"))
            current = []
    return found


# What a block has to print, by a word that it holds.
EXPECTED = {
    "put greeting": ["OK", "hello", '"count":1', "IS LEADER", "started"],
    "oakum txn": ["SUCCESS"],
    "oakum watch": ["OK", '"PUT" "orders/1"'],
    "lease grant": ["remaining(", "[worker/7]", "I have the lock"],
    "oakum export": ["backup.db", "REVISION"],
    "context add": ["here", "greeting"],
    "curl": ['"123"', "true", "oakum_raft_term"],
}


@pytest.fixture(name="shell")
def new_user(cluster, tmp_path):
    """A shell in an empty folder, with the program in bin; what it printed and its exit code."""
    os.symlink(os.path.dirname(harness.oakum_path()), tmp_path / "bin")
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("ETCD", "OAKUM_CONTEXT", "XDG_"))}
    environment["HOME"] = str(tmp_path)

    def run(script):
        script = script.replace("127.0.0.1:2379", cluster.endpoints[0])
        return subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, check=False)
    return run


def with_patience(block):
    """A person sees the watch begin, and what it tells, before going on: a script waits for it."""
    if "oakum watch" not in block:
        return block
    block = block.replace(" &\n", " > told &\n")
    put = "oakum put orders/1 paid"
    # The watch tells the key by itself, too; the command has it between quotes.
    return block.replace(put, f"until grep -q '\"orders/1\"' told; do {put}; done; cat told")


def test_tour_of_the_readme_works_as_it_stands(shell):
    parts = blocks()
    assert len(parts) == len(EXPECTED)
    script, marks = ["set -eu -o pipefail"], []
    for number, block in enumerate(parts):
        script += [f"echo '== {number}'", with_patience(block)]
        marks.append(next(words for word, words in EXPECTED.items() if word in block))
    done = shell("\n".join(script))
    assert done.returncode == 0, done.stdout
    said = re.split(r"^== \d+$", done.stdout, flags=re.MULTILINE)[1:]
    for part, words in zip(said, marks):
        for word in words:
            assert word in part, part


def test_tour_manual_page_has_every_verb():
    import verbs  # pylint: disable=import-outside-toplevel,import-error
    page = verbs.page(harness.oakum_path())
    names = [verb for _, each in verbs.groups(harness.oakum_path()) for verb in each]
    assert len(names) > 30
    for verb in names:
        assert f".SS {verbs.roff(verb)}\n" in page, verb
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-"], input=page, text=True,
                          capture_output=True, check=False, timeout=60,
                          env={**os.environ, "MANWIDTH": "100"})
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "EXIT STATUS" in done.stdout
