# SPDX-License-Identifier: Apache-2.0
"""`oakum chaos` from outside: short runs that pass, in namespaces where they are allowed and on the
loopback; its report; and that nothing is left of a run, however it ends.

The long run is `make chaos`, the one that must fail `make chaos-zoo`.
"""
import json
import os
import re
import signal
import subprocess
import xml.etree.ElementTree as xml

import pytest

import harness

# A short run, and whatever a busy machine makes of it: nodes may take a minute to come back.
PATIENCE_S = 240
FAULT = re.compile(r"^ *([\d.]+) +([\d.]+)  ([a-z-]+): (.+)$")


@pytest.fixture(autouse=True)
def program(oakum_bin):
    return oakum_bin


def chaos(folder, *arguments, env=None):
    return harness.run("chaos", "--report", folder / "report", "-o", "json", *arguments,
                       env={"TMPDIR": str(folder), **(env or {})}, timeout=PATIENCE_S)


def passed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["verdict"] == "passed" and result["violations"] == []
    assert result["data_dir"] == ""
    return result


def faults_of(folder):
    """(begin, length, kind, rest) of each fault in the report."""
    lines = (folder / "report" / "faults.txt").read_text().splitlines()
    rows = [FAULT.match(line) for line in lines if not line.startswith("#")]
    assert all(rows), lines
    return [row.groups() for row in rows]


def processes_below(folder):
    """Process ids whose command line names this folder."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if any(str(folder).encode() in word for word in words) and b"--name" in words:
            found.append(int(pid))
    return found


def left_in(folder):
    return [name for name in os.listdir(folder) if name.startswith("oakum-chaos-")]


def assert_picture(folder, result):
    """Well-formed, with a lane for each node and a bar for each fault, within its bounds."""
    assert result["timeline"] == str(folder / "report" / "timeline.svg")
    root = xml.parse(result["timeline"]).getroot()
    assert root.tag.endswith("www.w3.org/2000/svg}svg")
    space = {"s": root.tag[1:].partition("}")[0]}
    texts = ["".join(text.itertext()) for text in root.iterfind(".//s:text", space)]
    titles = ["".join(title.itertext()) for title in root.iterfind(".//s:rect/s:title", space)]
    assert result["verdict"] in texts
    for number in range(1, result["nodes"] + 1):
        assert f"n{number}" in texts
        assert any(title.startswith(f"n{number}: ") for title in titles)
    for kind, count in result["faults"].items():
        assert kind in texts
        assert sum(title.startswith(f"{kind}: ") for title in titles) == count
    wide = float(root.get("width"))
    for rect in root.iterfind(".//s:rect[@x]", space):
        assert 0 <= float(rect.get("x")) and 0 < float(rect.get("width"))
        assert float(rect.get("x")) + float(rect.get("width")) <= wide


def test_a_short_run_passes_and_leaves_its_report_only(tmp_path):
    result = passed(chaos(tmp_path, "--seconds", "10"))
    assert result["nodes"] == 5 and result["fault_count"] >= 1 and result["kind_count"] >= 1
    assert result["fault_count"] == sum(result["faults"].values()) == len(faults_of(tmp_path))
    assert result["operations"] > 100 and result["keys"] > 0 and result["undecided"] == 0
    assert result["serializable_reads"] > 0 and result["terms"] >= 1
    assert result["namespaces"] or "namespaces" in result["left_out"]
    assert result["operations"] + result["unknown"] <= len(
        (tmp_path / "report" / "history.txt").read_text().splitlines())
    assert_picture(tmp_path, result)
    assert left_in(tmp_path) == [] and processes_below(tmp_path) == []


def test_on_the_loopback_partitions_go_through_proxies_and_loss_is_left_out(tmp_path):
    result = passed(chaos(tmp_path, "--seconds", "6", "--loopback", "--nodes", "3", "--faults",
                          "partition,delay,loss"))
    assert not result["namespaces"] and "left out: loss" in result["left_out"]
    assert "loss" not in result["faults"] and result["fault_count"] >= 1
    assert_picture(tmp_path, result)


def test_who_may_not_make_namespaces_is_told_so_and_goes_on(tmp_path):
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-sys_admin,-net_admin", harness.oakum_path(), "chaos",
         "--seconds", "1", "--nodes", "3", "--faults", "partition", "-o", "json", "--report",
         str(tmp_path / "report")], env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    result = passed(done)
    assert not result["namespaces"] and "no network namespaces (" in result["left_out"]
    assert result["fault_count"] >= 1


def test_reads_are_never_stale_while_leaders_are_paused_and_killed(tmp_path):
    result = passed(chaos(tmp_path, "--seconds", "6", "--nodes", "3", "--faults", "pause,kill",
                          "--seed", "2", "--", "--experimental-lease-reads", "700"))
    assert set(result["faults"]) <= {"pause", "kill"} and result["undecided"] == 0


def test_a_sync_that_fails_ends_a_process_and_it_recovers(tmp_path):
    """The faults reach the log of real servers: a leader that writes all the time can't go on."""
    result = passed(chaos(tmp_path, "--seconds", "5", "--nodes", "3", "--faults", "disk-error",
                          "--seed", "1"))
    assert result["ended"] >= 1


def test_a_seed_repeats_the_faults(tmp_path):
    runs = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        passed(chaos(folder, "--seconds", "1", "--nodes", "3", "--seed", "11"))
        runs.append([row[2] for row in faults_of(folder)])
    # How many come in so many seconds depends on how soon the nodes are back.
    common = min(len(runs[0]), len(runs[1]))
    assert common >= 1
    assert runs[0][:common] == runs[1][:common]


class Running:
    """A run in the background, once its servers are up."""

    def __init__(self, folder):
        # pylint: disable=consider-using-with
        self.folder = folder
        self.process = subprocess.Popen(
            [harness.oakum_path(), "chaos", "--seconds", "3600", "--report", str(folder / "report"),
             "--faults", "pause,clock-jump", "-o", "json"],
            env={**os.environ, "TMPDIR": str(folder)}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        harness.until(lambda: len(processes_below(self.folder)) == 5, "five servers")
        harness.until(lambda: all(b"leads in term" in open(log, "rb").read()
                                  for log in self.logs()) and len(self.logs()) == 5, "a leader")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def logs(self):
        return [os.path.join(self.folder, name, log) for name in left_in(self.folder)
                for log in os.listdir(os.path.join(self.folder, name)) if log.endswith(".log")]


def test_a_run_that_is_killed_leaves_no_process_and_the_next_one_cleans_up(tmp_path):
    with Running(tmp_path) as run:
        run.process.kill()
        run.process.wait()
        harness.until(lambda: processes_below(tmp_path) == [], "the servers' end")
    (left,) = left_in(tmp_path)
    kept = tmp_path / "oakum-chaos-1-kept"  # of process 1, which lives
    kept.mkdir()
    (kept / "RUNNING").touch()
    other = tmp_path / left.replace("oakum-chaos-", "oakum-chaos-kept-")  # not by our pattern
    other.mkdir()
    passed(chaos(tmp_path, "--seconds", "1", "--nodes", "1", "--faults", "pause"))
    assert sorted(left_in(tmp_path)) == sorted([kept.name, other.name])


@pytest.mark.parametrize("times", [1, 2])
def test_a_run_that_is_interrupted_is_judged_up_to_there(tmp_path, times):
    with Running(tmp_path) as run:
        for _ in range(times):
            run.process.send_signal(signal.SIGINT)
        out, _ = run.process.communicate(timeout=PATIENCE_S)
    if run.process.returncode != 3:  # 3: before the first fault
        assert run.process.returncode == 0
        result = json.loads(out)
        assert result["interrupted"] and result["verdict"] == "passed"
    assert left_in(tmp_path) == [] and processes_below(tmp_path) == []


@pytest.mark.parametrize("words, why", [
    (["--faults", "kil"], '"kil" is no kind of fault'),
    (["--nodes", "8"], "from 1 to 7"),
    (["--seconds", "0"], "from 1 to 86400"),
    (["--bug", "no_such_bug"], "there is no bug named"),
    (["--output", "xml"], "text or json"),
    (["--", *33 * ["x"]], "too many flags behind --"),
])
def test_what_is_not_understood_is_refused_with_code_2(words, why):
    done = harness.run("chaos", *words)
    assert done.returncode == 2 and why in done.stderr and done.stdout == ""


def test_what_can_not_be_run_is_told_with_code_3(tmp_path):
    done = chaos(tmp_path, "--loopback", "--faults", "loss")
    assert done.returncode == 3 and "none of these faults can be had here" in done.stderr
    assert left_in(tmp_path) == []


def test_a_server_refuses_a_file_of_faults_that_is_not_its_parents(tmp_path):
    (tmp_path / "page").write_bytes(b"\0" * 4096)
    done = harness.run("--data-dir", tmp_path / "data", "--experimental-fault-control",
                       tmp_path / "page")
    assert done.returncode == 1 and "leave it out" in done.stderr
    assert not (tmp_path / "data").exists()
