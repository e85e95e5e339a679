# SPDX-License-Identifier: Apache-2.0
"""The program from outside: its words, its exit codes, and the commands on real clusters."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess

import pytest

import harness


@pytest.fixture(autouse=True)
def program(oakum_bin):
    return oakum_bin


def test_version_has_the_line_that_scripts_look_for():
    done = harness.run("--version")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert len(lines) == 4 and re.fullmatch(r"etcd Version: 3\.\d+\.\d+", lines[0])
    assert re.fullmatch(r"oakum \d+\.\d+\.\d+\n", harness.run("version").stdout)


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["help"], ["up", "--help"],
                                   ["help", "status"], ["bench", "-h"], ["sim", "--help"]])
def test_help_goes_to_stdout(words):
    done = harness.run(*words)
    assert done.returncode == 0
    assert "Usage:" in done.stdout and done.stderr == ""


def test_help_of_each_command_names_it_and_its_flags():
    listed = harness.run("help").stdout.split("Servers:")[1].split("Keys and values:")[0]
    commands = re.findall(r"^  (\w+) ", listed, re.MULTILINE)
    assert {"up", "status", "import", "snapshot", "bench", "chaos", "sim", "version",
            "help"} <= set(commands)
    for command in set(commands) - {"version", "help", "zoo"}:
        done = harness.run(command, "--help")
        assert done.returncode == 0 and done.stderr == "", command
        assert f"oakum {command}" in done.stdout and "--" in done.stdout, command


def test_bench_tells_the_same_fields_for_each_load(node):
    shapes = []
    for load in ("put", "range"):
        done = harness.run("bench", load, "--endpoints", node.endpoint, "--total", "50", "--keys",
                           "10", "--clients", "2", "-o", "json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        shapes.append(set(result))
        assert result["requests"] == 50 and result["failed"] == 0
    assert shapes[0] == shapes[1]


def test_a_word_that_is_no_command_is_refused():
    done = harness.run("stauts")
    assert done.returncode == 2 and 'no command "stauts"' in done.stderr


def test_the_server_refuses_flags_as_etcd_does():
    done = harness.run("--nmae", "x")
    assert done.returncode == 2
    assert "flag provided but not defined: -nmae" in done.stderr and "Usage:" in done.stderr
    done = harness.run("--unsafe-no-fsync", "true")
    assert done.returncode == 1 and '"true" is not a valid flag' in done.stderr
    done = harness.run("--listen-client-urls", "http://127.0.0.1:1")
    assert done.returncode == 1 and "--advertise-client-urls is required" in done.stderr
    done = harness.run("--name", "x", env={"ETCD_NAME": ""})
    assert done.returncode == 1 and "conflicting environment variable" in done.stderr
    done = harness.run("--discovery-srv", "example.com")
    assert done.returncode == 1 and "--discovery-srv: discovery is not supported" in done.stderr


def test_under_the_name_etcd_it_is_only_a_server(tmp_path, oakum_bin):
    link = tmp_path / "etcd"
    link.symlink_to(oakum_bin)
    done = harness.run("status", program=str(link))
    assert done.returncode == 1 and '"status" is not a valid flag' in done.stderr


@pytest.mark.parametrize("words", [["up", "-n", "0"], ["up", "-n", "8"], ["up", "more"],
                                   ["status", "--endpoints", "nowhere"], ["status", "-o", "xml"],
                                   ["bench"], ["bench", "del"], ["bench", "put", "--keys", "x"],
                                   ["bench", "put", "--total", "1", "--duration", "1"],
                                   ["bench", "put", "--keys", "100", "--key-size", "1"],
                                   ["status", "--endpoints", "https://127.0.0.1:1"],
                                   ["sim", "--seeds", "0"], ["sim", "--bug", "no_such"]])
def test_bad_usage_gives_code_2_and_says_why(words):
    done = harness.run(*words)
    assert done.returncode == 2
    assert done.stdout == "" and done.stderr.startswith(f"oakum {words[0]}")


def test_status_shows_each_member_and_one_leader(either):
    def all_named():
        """A member tells its name through the log, just after it can serve."""
        done = harness.run("status", "--endpoints", ",".join(either.endpoints), "-o", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        return found if all(row["name"] for row in found) else None
    rows = harness.until(all_named, "names of all members")
    assert [row["name"] for row in rows] == ["n1", "n2", "n3"]
    assert sorted(row["role"] for row in rows) == ["follower", "follower", "leader"]
    assert len({row["term"] for row in rows}) == 1 and rows[0]["term"] > 0
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", row["version"]) for row in rows)
    table = harness.run("status", "--endpoints", ",".join(either.endpoints)).stdout.splitlines()
    assert len(table) == 4 and "ROLE" in table[0]


def test_status_fails_when_a_member_is_down_and_shows_the_others(start_cluster):
    cluster = start_cluster(size=1)
    dead = harness.free_ports(1)[0]
    done = harness.run("status", "--endpoints", f"{cluster.endpoints[0]},127.0.0.1:{dead}", "-o",
                       "json")
    assert done.returncode == 1
    rows = json.loads(done.stdout)
    assert rows[0]["role"] == "leader" and "connection refused" in rows[1]["failure"]


def test_bench_writes_and_reads_without_failures(either):
    endpoints = ",".join(either.endpoints)
    done = harness.run("bench", "put", "--endpoints", endpoints, "--clients", "20", "--conns", "4",
                       "--total", "2000", "--keys", "500", "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["requests"] == 2000 and result["failed"] == 0 and result["failures"] == {}
    latency = result["latency_us"]
    assert 0 < latency["min"] <= latency["p50"] <= latency["p99"] <= latency["p99.9"] \
        <= latency["max"]
    assert result["client_cpu_us"] > 0
    done = harness.run("bench", "range", "--endpoints", endpoints, "--fill", "--keys", "300",
                       "--span", "100", "--clients", "5", "--conns", "3", "--total", "200", "-o",
                       "json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["requests"] == 200
    got = either.etcdctl_json("get", "00000000", "00000300")
    assert got["count"] == 300


def test_bench_without_a_server_says_so():
    dead = harness.free_ports(1)[0]
    done = harness.run("bench", "put", "--endpoints", f"127.0.0.1:{dead}", "--total", "1")
    assert done.returncode == 1 and "does not answer: is a server there?" in done.stderr


def test_up_shows_a_cluster_at_work_and_leaves_nothing_behind(tmp_path):
    done = harness.run("up", "-n", "3", "--demo", env={"TMPDIR": str(tmp_path)}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 servers are up" in done.stdout
    assert re.search(r"put greeting on n1 \.\.\. done: revision \d+", done.stdout)
    assert 'get greeting on n3 ... "hello from a replicated log"' in done.stdout
    assert os.listdir(tmp_path) == []


def test_up_leaves_no_process_behind(tmp_path):
    done = harness.run("up", "-n", "3", "--demo", env={"TMPDIR": str(tmp_path)}, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    left = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as words:
            if str(tmp_path).encode() in words.read():
                left.append(pid)
    assert left == []


def test_up_stops_its_servers_at_a_signal_and_goes_on_from_its_directory(tmp_path, oakum_bin):
    folder = tmp_path / "cluster"

    def start():
        # pylint: disable=consider-using-with
        process = subprocess.Popen([oakum_bin, "up", "-n", "1", "--data-dir", str(folder)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        text = ""
        for line in process.stdout:
            text += line
            if "Ctrl-C" in line:
                break
        return process, re.search(r"n1\s+(\d+)\s+(\S+)", text)

    process, row = start()
    try:
        server, endpoint = int(row[1]), row[2]
        cluster = harness.Cluster(oakum_bin, tmp_path / "unused", 1)
        assert cluster.etcdctl("put", "k", "kept", endpoints=[endpoint]) == "OK"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        with pytest.raises(ProcessLookupError):
            os.kill(server, 0)
        process, row = start()
        assert row[2] == endpoint
        assert cluster.etcdctl("get", "k", "--print-value-only", endpoints=[endpoint]) == "kept"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def test_up_tells_why_a_server_did_not_start(tmp_path):
    done = harness.run("up", "-n", "1", "--", "--cert-file=a.pem", env={"TMPDIR": str(tmp_path)})
    assert done.returncode == 1
    assert "KeyFile and CertFile must both be present" in done.stderr
    assert "a server did not start" in done.stderr
    assert os.listdir(tmp_path) == []


def test_up_refuses_a_base_port_that_is_taken(tmp_path, start_cluster):
    taken = start_cluster(size=1).endpoints[0].split(":")[1]
    folder = tmp_path / "up"
    folder.mkdir()
    done = harness.run("up", "-n", "1", "--base-port", taken, env={"TMPDIR": str(folder)})
    assert done.returncode == 1 and f"port {taken} (by --base-port) is taken" in done.stderr
    assert os.listdir(folder) == []


DOCUMENTED = ("up", "status", "import", "snapshot restore", "bench", "chaos", "sim")


def manual():
    with open(os.path.join(harness.TOP, "man", "oakum.1"), encoding="utf-8") as page:
        return page.read().replace("\\-", "-")


def test_the_manual_has_every_flag_that_works():
    page = manual()
    listed = harness.run("--help").stdout.split("Refused, because")[0]
    for command in DOCUMENTED:
        listed += harness.run(*command.split(), "--help").stdout
    flags = set(re.findall(r"^ +(?:-\w, )?--([a-z-]+)", listed, re.MULTILINE))
    assert len(flags) > 40
    assert [flag for flag in sorted(flags) if f"--{flag}" not in page] == []


def test_the_manual_names_no_flag_that_does_not_exist():
    known = harness.run("--help").stdout
    for command in DOCUMENTED:
        known += harness.run(*command.split(), "--help").stdout
    flags = set(re.findall(r"--([a-z][a-z-]+)", manual()))
    assert [flag for flag in sorted(flags - {"name"}) if f"--{flag}" not in known] == []


def test_a_member_with_open_connections_ends_in_order(start_cluster):
    """Nothing is freed twice or too early: sanitizers look at the whole way down."""
    cluster = start_cluster(size=1)
    node = cluster.nodes[0]
    address = tuple(node.endpoint.rsplit(":", 1))
    silent = socket.create_connection(address)
    kept = socket.create_connection(address)
    with silent, kept:
        kept.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert kept.recv(4096).startswith(b"HTTP/1.1 200")
        assert node.stop() == 0
