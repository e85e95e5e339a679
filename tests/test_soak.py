# SPDX-License-Identifier: Apache-2.0
"""A short soak of the gRPC library (tests/soak): flat, and found when it is not."""
import os
import re
import subprocess

import pytest

import harness

ROUNDS = ["--rounds=24", "--jobs=250"]


@pytest.fixture(name="soak", scope="module")
def soak_path():
    path = os.path.join(os.path.dirname(harness.oakum_path()), "grpc_soak")
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} is not there: make test")
    return path


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.needs_own_heap
def test_soak_memory_is_flat_over_calls_of_all_kinds(soak):
    done = run(soak, *ROUNDS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(": flat$", done.stdout, re.M)) == 4
    for status in ("OK", "Canceled", "DeadlineExceeded", "Aborted", "Unimplemented"):
        assert re.search(rf"\b{status} \d{{2,}}", done.stdout), done.stdout


@pytest.mark.needs_own_heap
def test_soak_a_leak_is_found(soak):
    done = run(soak, *ROUNDS, "--leak=2000")
    assert done.returncode == 1 and done.stderr == ""
    assert re.search("^client in use .*: IT GROWS$", done.stdout, re.M), done.stdout
    assert re.search("^server in use .*: flat$", done.stdout, re.M), done.stdout


def test_soak_too_few_rounds_are_no_verdict(soak):
    done = run(soak, "--rounds=3", "--jobs=50")
    assert done.returncode == 1
    assert "too few for a verdict" in done.stdout
