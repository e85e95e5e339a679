# SPDX-License-Identifier: Apache-2.0
"""The closing line of `make test` counts every report and never turns a failure into a pass."""
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PASS = '<testcase classname="a" name="ok"/>'
FAIL = '<testcase classname="a" name="bad"><failure/></testcase>'
SKIP = '<testcase classname="a" name="later"><skipped/></testcase>'


def totals(folder, reports, codes=(0, 0), strict="0"):
    paths = []
    for i, cases in enumerate(reports):
        paths.append(str(folder / f"{i}.xml"))
        (folder / f"{i}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    done = subprocess.run([sys.executable, os.path.join(TOP, "tools", "totals.py"),
                           *map(str, codes), *paths, str(folder / "absent.xml")],
                          capture_output=True, text=True, check=False, timeout=60,
                          env={**os.environ, "STRICT": strict})
    return done.returncode, done.stdout.strip().split("\n")


def test_reports_are_added_up(tmp_path):
    assert totals(tmp_path, [PASS * 3, PASS * 4]) == (0, ["7 passed, 0 failed"])


def test_a_failure_in_any_report_fails_the_run(tmp_path):
    assert totals(tmp_path, [PASS * 3, PASS + FAIL], (0, 1)) == \
        (1, ["failed: a::bad", "4 passed, 1 failed"])


def test_a_runner_that_fails_without_a_report_fails_the_run(tmp_path):
    code, lines = totals(tmp_path, [PASS], (0, 3))
    assert (code, lines[-1]) == (1, "1 passed, 1 failed")


def test_nothing_run_is_a_failure(tmp_path):
    code, lines = totals(tmp_path, [])
    assert (code, lines[-1]) == (1, "0 passed, 1 failed")


def test_a_skipped_test_is_named_and_fails_a_strict_run(tmp_path):
    assert totals(tmp_path, [PASS + SKIP]) == (0, ["skipped: a::later", "1 passed, 0 failed"])
    assert totals(tmp_path, [PASS + SKIP], strict="1") == \
        (1, ["skipped: a::later", "1 passed, 1 failed"])
