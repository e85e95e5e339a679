# SPDX-License-Identifier: Apache-2.0
"""What a person can get wrong: flags, files, ports, data directories. Each ends with a code and a
sentence that names the flag or file and says what to do; and nothing that was there is changed."""
import json
import os
import shutil
import socket

import pytest

import harness

# A member alone elects itself: no reason to wait.
FAST = ["--heartbeat-interval", "10", "--election-timeout", "50"]


@pytest.fixture(autouse=True)
def program(oakum_bin):
    return oakum_bin


def one_line(done):
    """What it said, with code 1, on stderr alone. Once the log is set up, that is its last line."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout == ""
    last = done.stderr.splitlines()[-1]
    return json.loads(last)["msg"] if last.startswith("{") else done.stderr


# -- flags, variables, files ----------------------------------------------------------------------

MISUSE = {  # code 2: told with the usage
    "unknown-flag": (["--nmae", "x"], "flag provided but not defined: -nmae"),
    "flag-without-its-value": (["--name"], "flag needs an argument: -name"),
    "url-without-scheme": (["--listen-client-urls", "foo"], "--listen-client-urls"),
    "url-of-another-scheme": (["--listen-peer-urls", "ftp://127.0.0.1:1"], "--listen-peer-urls"),
    "url-without-port": (["--listen-client-urls", "http://127.0.0.1"], "--listen-client-urls"),
    "url-with-a-bad-port": (["--listen-client-urls", "http://127.0.0.1:99999"],
                            "--listen-client-urls"),
    "url-with-a-path": (["--listen-client-urls", "http://127.0.0.1:1/x"], "--listen-client-urls"),
    "number-that-is-none": (["--election-timeout", "soon"], "--election-timeout"),
    "number-out-of-bounds": (["--max-request-bytes", "99999999999"], "--max-request-bytes"),
    "number-too-large": (["--heartbeat-interval", "99999999999999999999"], "--heartbeat-interval"),
    "choice-that-is-none": (["--initial-cluster-state", "old"], "--initial-cluster-state"),
}


@pytest.mark.parametrize("name", MISUSE)
def test_bad_flag_is_refused_with_the_usage(name):
    words, said = MISUSE[name]
    done = harness.run(*words)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert said.lstrip("-") in done.stderr.splitlines()[0]


REFUSED = {
    "positional-argument": (["--name", "n", "extra"], '"extra" is not a valid flag'),
    "heartbeat-above-election": (["--heartbeat-interval", "1000", "--election-timeout", "1000"],
                                 "--election-timeout[1000ms] should be at least as 5 times"),
    "listening-without-advertising": (["--listen-client-urls", "http://127.0.0.1:1"],
                                      "--advertise-client-urls is required"),
    "tls": (["--cert-file", "a.pem"], "KeyFile and CertFile must both be"),
    "missing-config-file": (["--config-file", "nowhere.yml"], "--config-file nowhere.yml: "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_combination_is_refused_by_name(name):
    words, said = REFUSED[name]
    assert said in one_line(harness.run(*words))


def test_bad_variable_beside_its_flag_is_a_conflict():
    said = one_line(harness.run("--name", "n", env={"ETCD_NAME": "m"}))
    assert "conflicting environment variable" in said and "ETCD_NAME" in said


def test_bad_variable_is_refused_by_its_name():
    said = one_line(harness.run(env={"ETCD_HEARTBEAT_INTERVAL": "x"}))
    assert 'ETCD_HEARTBEAT_INTERVAL: "x" is not a whole number' in said


YAML = {
    "open-list": ("name: [a\n", "line 2, column 1"),
    "wrong-value": ("election-timeout: soon\n", 'election-timeout: "soon" is not a whole number'),
    "control-character": ("name: a\x00b\n", "line 1"),
    "bad-utf8": ("name: \udcff\n", "line 1"),
    "list": ("- name\n", "line 1"),
    "nested": ("name: {a: b}\n", "line 1: a value or a list is expected"),
    "key-twice": ("name: a\nname: b\n", "line 2: a key that was already given"),
    "deep": ("name: " + "[" * 100000, "line 1"),
    "alias-bomb": ("a: &a [x]\nname: *a\n", "line 2: references"),
}


@pytest.mark.parametrize("name", YAML)
def test_bad_yaml_is_refused_with_its_place(tmp_path, name):
    text, said = YAML[name]
    path = tmp_path / "oakum.yml"
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    answer = one_line(harness.run("--config-file", path))
    assert str(path) in answer and said in answer


@pytest.mark.parametrize("cluster,said", [
    ("other=http://127.0.0.1:1", 'couldn\'t find local name "n1"'),
    ("n1=http://127.0.0.1:1,n2=http://127.0.0.1:1", "duplicate url"),
    ("n1", "--initial-cluster"),
    ("n1=nowhere", "--initial-cluster"),
])
def test_bad_initial_cluster_is_refused(start_cluster, cluster, said):
    node = start_cluster(size=1, start=False).nodes[0]
    answer = one_line(harness.run(*node.command()[1:], "--initial-cluster", cluster))
    assert said in answer


# -- the data directory ---------------------------------------------------------------------------

def start_again(node, *more, name=None):
    """Run its command to the end, which it must come to by itself. Gives what it said."""
    words = node.command()[1:]
    if name is not None:
        words[words.index("--name") + 1] = name
    return one_line(harness.run(*words, *more))


def test_bad_data_dir_that_is_a_file_is_refused(start_cluster, tmp_path):
    node = start_cluster(size=1, start=False).nodes[0]
    node.data_dir = str(tmp_path / "file")
    with open(node.data_dir, "w", encoding="utf-8") as file:
        file.write("precious")
    said = start_again(node)
    assert "--data-dir" in said and node.data_dir in said and "a file of that name" in said
    with open(node.data_dir, encoding="utf-8") as file:
        assert file.read() == "precious"


def test_bad_data_dir_below_a_file_is_refused(start_cluster, tmp_path):
    node = start_cluster(size=1, start=False).nodes[0]
    (tmp_path / "file").write_text("precious")
    node.data_dir = str(tmp_path / "file" / "data")
    said = start_again(node)
    assert "--data-dir" in said and node.data_dir in said and "no directory" in said


def test_bad_data_dir_where_nothing_can_be_written_is_refused(start_cluster):
    node = start_cluster(size=1, start=False).nodes[0]
    node.data_dir = "/proc/oakum"
    said = start_again(node)
    assert "--data-dir" in said and "/proc/oakum" in said and "may write" in said


def test_a_data_dir_is_made_with_all_above_it(start_cluster, tmp_path):
    cluster = start_cluster(size=1, flags=FAST, start=False)
    cluster.nodes[0].data_dir = str(tmp_path / "a" / "b" / "c" / "")
    cluster.start()
    assert os.path.exists(tmp_path / "a" / "b" / "c" / "identity")


def test_bad_data_dir_that_a_running_member_has_is_refused(start_cluster):
    cluster = start_cluster(size=1, flags=FAST)
    node = cluster.nodes[0]
    said = start_again(node)
    assert node.data_dir in said and "in use by process" in said
    assert cluster.etcdctl("put", "k", "v") == "OK"


def test_bad_port_that_is_taken_is_refused(start_cluster):
    node = start_cluster(size=1, start=False).nodes[0]
    for url, flag in ((node.client_url, "--listen-client-urls"),
                      (node.peer_url, "--listen-peer-urls")):
        host, port = url.split("//")[1].split(":")
        with socket.create_server((host, int(port))):
            said = start_again(node)
        assert f"{flag}: " in said and f"{host}:{port}: the address is in use" in said


@pytest.fixture(name="stopped")
def stopped_member(start_cluster):
    """A member with some writes behind it, that has ended."""
    cluster = start_cluster(size=1, flags=FAST)
    for i in range(20):
        cluster.etcdctl("put", f"k{i}", f"needle-{i:02}-" + "x" * 100)
    node = cluster.nodes[0]
    assert node.stop() == 0
    return node


def comes_back(node):
    """Started as it should be, it has everything."""
    node.start()
    node.wait_healthy()
    assert node.cluster.etcdctl_json("get", "k", "--prefix", "--keys-only")["count"] == 20
    assert node.cluster.etcdctl("put", "after", "x") == "OK"


def test_bad_data_dir_of_another_cluster_is_refused(stopped):
    said = start_again(stopped, "--initial-cluster-token", "other")
    assert stopped.data_dir in said and "belongs to member" in said
    assert "--initial-cluster-token" in said and "--data-dir" in said
    comes_back(stopped)


def test_bad_data_dir_of_another_member_is_refused(stopped):
    said = start_again(stopped, "--initial-cluster", f"m={stopped.peer_url}", name="m")
    assert 'belongs to the member named "n1", not to "m"' in said and "--data-dir" in said
    comes_back(stopped)


IDENTITIES = {
    "head": lambda text: text.replace(b"oakum", b"oakun"),
    "later-version": lambda text: text.replace(b"identity 1", b"identity 2"),
    "empty": lambda text: b"",
    "cut": lambda text: text[:-5],
    "zeros": lambda text: bytes(len(text)),
    "no-hex": lambda text: text.replace(b"cluster ", b"cluster zz"),
    "no-name": lambda text: text.replace(b"name n1\n", b""),
    "no-peer": lambda text: b"".join(line for line in text.splitlines(True)
                                     if not line.startswith(b"peer")),
    "unknown-line": lambda text: text + b"color blue\n",
    "bytes": lambda text: text.replace(b"name", b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", IDENTITIES)
def test_bad_identity_file_is_refused_by_name(stopped, kind):
    path = os.path.join(stopped.data_dir, "identity")
    with open(path, "rb") as file:
        good = file.read()
    with open(path, "wb") as file:
        file.write(IDENTITIES[kind](good))
    said = start_again(stopped)
    assert path in said
    with open(path, "rb") as file:
        assert file.read() == IDENTITIES[kind](good)


def test_good_identity_file_put_back_lets_the_member_start(stopped):
    path = os.path.join(stopped.data_dir, "identity")
    shutil.copy(path, path + ".kept")
    with open(path, "wb") as file:
        file.write(b"damaged")
    start_again(stopped)
    os.replace(path + ".kept", path)
    comes_back(stopped)


def log_files(node):
    folder = os.path.join(node.data_dir, "wal")
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def test_bad_byte_amid_the_log_is_refused_with_file_and_offset(stopped):
    path, at, good = None, -1, b""
    for path in log_files(stopped):
        with open(path, "rb") as file:
            good = file.read()
        at = good.find(b"needle-10")
        if at >= 0:
            break
    assert at > 0
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(b"N")
    said = start_again(stopped)
    assert path in said and "offset" in said
    offset = int(said[said.index("offset ") + 7:].split()[0].rstrip(",.:;"))
    assert offset <= at < offset + 4096
    with open(path, "rb") as file:
        assert file.read() == good[:at] + b"N" + good[at + 1:], "the damaged log was changed"
    with open(path, "wb") as file:
        file.write(good)
    comes_back(stopped)


@pytest.mark.needs_rocks
def test_bad_directory_whose_log_is_gone_is_refused(stopped):
    wal = os.path.join(stopped.data_dir, "wal")
    os.rename(wal, wal + ".kept")
    said = start_again(stopped)
    assert wal in said and "missing" in said and "put the log back" in said
    shutil.rmtree(wal, ignore_errors=True)
    os.rename(wal + ".kept", wal)
    comes_back(stopped)


@pytest.mark.needs_rocks
def test_bad_log_that_was_cut_is_refused(stopped):
    """What is gone was acknowledged, and the store has it: a torn end can't explain that."""
    path = next(path for path in log_files(stopped)
                if b"needle-10" in open(path, "rb").read())  # pylint: disable=consider-using-with
    with open(path, "rb") as file:
        good = file.read()
    at = good.find(b"needle-10") // 512 * 512
    with open(path, "wb") as file:
        file.write(good[:at] + bytes(len(good) - at))
    said = start_again(stopped)
    assert os.path.join(stopped.data_dir, "wal") in said
    with open(path, "wb") as file:
        file.write(good)
    comes_back(stopped)


def test_bad_wal_of_another_member_is_refused(stopped, start_cluster):
    other = start_cluster(size=1, flags=FAST).nodes[0]
    assert other.stop() == 0
    for node in (stopped, other):
        os.rename(os.path.join(node.data_dir, "wal"), os.path.join(node.data_dir, "own"))
    shutil.copytree(os.path.join(other.data_dir, "own"), os.path.join(stopped.data_dir, "wal"))
    said = start_again(stopped)
    assert os.path.join(stopped.data_dir, "wal") in said
    shutil.rmtree(os.path.join(stopped.data_dir, "wal"))
    os.rename(os.path.join(stopped.data_dir, "own"), os.path.join(stopped.data_dir, "wal"))
    comes_back(stopped)
