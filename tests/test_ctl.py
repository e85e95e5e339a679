# SPDX-License-Identifier: Apache-2.0
"""The same command lines of etcdctl and of `oakum`, each on a cluster of its own, and their output
compared in every format.

What must agree is stdout and the exit code, byte by byte, apart from what cannot agree, and of
stderr the server's words. What is meant to differ is in DIFFERENCES, each with its reason; a line
that is there must differ. docs/reference/etcdctl.md is written from it: `python3 tests/test_ctl.py
--write` after a change.

Which etcdctl: OAKUM_ETCDCTL, or the one in PATH: `make test` takes Debian's 3.4, `make etcd-now` a
current one.
"""
import difflib
import os
import re
import subprocess
import sys

import pytest

import ctl_cases
import harness
from etcdctl_cases import CASES, USAGE
from test_etcd_differential import FORMATS, RUNS, Comparison, level

PAGE = os.path.join(harness.TOP, "docs", "reference", "etcdctl.md")



def page_text():
    """docs/reference/etcdctl.md, as it should be."""
    lines = [
        "# `oakum` in the place of `etcdctl`", "",
        "Every verb of etcdctl is one of `oakum` too, with its flags, its environment",
        "(`ETCDCTL_ENDPOINTS` and the like), its five formats and its exit codes; a link named",
        "`etcdctl` to the program takes its place in scripts. Both are run beside each other in",
        "every format (`make test T=ctl` with Debian's etcdctl 3.4, `make etcd-now` with a current",
        f"one): {len({case[0] for case, _, _ in ALL}) + len(USES)} sequences of commands.", "",
        "Words of errors are the server's where it is one of the server; behind them is a line of",
        "what to do. Errors in the use of the command line have words of our own, and the exit",
        "code of etcdctl. That one tells of retries and of its environment on stderr; `oakum`",
        "does not.", "",
        "These differences are known, and meant. The tests fail when one of them is gone, too.", "",
        "| what | etcdctl | oakum |", "| --- | --- | --- |"]
    lines += [f"| {each.what} | {each.etcdctl} | {each.oakum} |" for each in ctl_cases.DIFFERENCES]
    lines += ["", "Written from the table in `tests/ctl_cases.py` by `python3 tests/test_ctl.py",
              "--write`; do not edit it here.", ""]
    return "\n".join(lines)


def version_of(program):
    """(3, 4) of an etcdctl."""
    done = subprocess.run([program, "version"], capture_output=True, text=True, check=True,
                          env={**os.environ, "ETCDCTL_API": "3"}, timeout=60)
    return tuple(int(each) for each in re.search(r"(\d+)\.(\d+)", done.stdout).groups())


@pytest.fixture(name="comparison", scope="module")
def both_programs(lasting_cluster, oakum_bin, etcdctl_bin):
    both = Comparison(lasting_cluster(3), lasting_cluster(3), oakum_bin)
    both.version = version_of(etcdctl_bin)
    return both


def plain(results, version):
    """What has to agree: exit code, stdout, and the server's words on stderr."""
    texts = []
    for code, out, err in results:
        for pattern, instead, until in ctl_cases.OLDER:
            if version < until:
                out = re.sub(pattern, instead, out)
        words = re.findall(r"etcdserver: [^\")\n]*", err.splitlines()[-1] if err else "")
        words = words or re.findall(r"^Error: (etcdserver: .*)", err, re.MULTILINE)
        texts.append(f"exit code {code}\n{out}\n-- stderr\n{words}")
    return texts


def differs(name, line, version):
    """Is it one of those that are meant to?"""
    return any((name, line) in each.lines and (each.until is None or version < each.until)
               for each in ctl_cases.DIFFERENCES)


def compare(comparison, name, steps, form, node):
    report = []
    prefix = f"{name}.{form}/"
    begin = level(comparison.sides, node)
    for side in comparison.sides:
        side.leases = []
    for step in steps:
        line = step[0] if isinstance(step, tuple) else step
        texts = plain(comparison.step(step, prefix, begin, form, node), comparison.version)
        if (texts[0] != texts[1]) != differs(name, line, comparison.version):
            report += [f"$ {line}" + ("" if texts[0] != texts[1] else ": no difference any more")]
            report += difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(),
                                           "etcdctl", "oakum", lineterm="")
    assert not report, "\n" + "\n".join(text[:400] for text in report)


ALL = [(CASES[number], number, form) for number, form in RUNS]
ALL += [(case, number, form) for number, case in enumerate(ctl_cases.CASES) for form in FORMATS]
USES = list(USAGE)


@pytest.mark.parametrize("case,number,form", ALL,
                         ids=[f"{case[0]}-{form}" for case, _, form in ALL])
def test_ctl_prints_what_etcdctl_prints(comparison, case, number, form):
    compare(comparison, *case, form, number % 3)


@pytest.mark.parametrize("number", range(len(USES)), ids=[name for name, _ in USES])
def test_ctl_ends_as_etcdctl_ends(comparison, number):
    name, steps = USES[number]
    compare(comparison, name, steps, None, number % 3)


def test_ctl_page_is_current():
    with open(PAGE, encoding="utf-8") as page:
        assert page.read() == page_text(), "run python3 tests/test_ctl.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: test_ctl.py --write")
    with open(PAGE, "w", encoding="utf-8") as out_file:
        out_file.write(page_text())
