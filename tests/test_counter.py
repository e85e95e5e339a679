# SPDX-License-Identifier: Apache-2.0
"""The example of the library: three processes count together, over a network that loses datagrams,
while one of them is killed and comes back."""
import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import threading

import pytest

import harness
from test_library import prefix, run  # noqa: F401 (a fixture)

FOLDER = os.path.join(harness.TOP, "examples", "raft-counter")


@pytest.fixture(scope="module")
def program(prefix, tmp_path_factory):  # noqa: F811
    """The example, built outside the source tree against the installed library alone."""
    build = tmp_path_factory.mktemp("counter")
    run("cmake", "-G", "Ninja", "-B", str(build), "-S", FOLDER, f"-DCMAKE_PREFIX_PATH={prefix}",
        "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror")
    run("cmake", "--build", str(build))
    return str(build / "raft-counter")


class Network:
    """Datagrams between members, of which some are lost, doubled or late. Each member knows the
    others by ports of this network: view[from][to]."""

    def __init__(self, ports, seed):
        self.ports = ports
        self.random = random.Random(seed)
        self.inner = {}
        self.view = {}
        for a in range(len(ports)):
            for b in range(len(ports)):
                if a != b:
                    inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    inner.bind(("127.0.0.1", 0))
                    self.inner[inner] = b
                    self.view[a, b] = inner.getsockname()[1]
                else:
                    self.view[a, b] = ports[a]
        self.late = []
        self.lost = 0
        self.open = True
        self.thread = threading.Thread(target=self.carry, daemon=True)
        self.thread.start()

    def carry(self):
        while self.open:
            for inner in select.select(list(self.inner), [], [], 0.1)[0]:
                datagram, fate = inner.recv(65536), self.random.random()
                goes = [] if fate < 0.1 else [(inner, datagram)] * (2 if fate < 0.2 else 1)
                self.lost += not goes
                if fate > 0.9:
                    self.late, goes = goes, self.late
                for way, what in goes:
                    with contextlib.suppress(OSError):  # nobody listens there now
                        way.sendto(what, ("127.0.0.1", self.ports[self.inner[way]]))

    def close(self):
        self.open = False
        self.thread.join()
        for inner in self.inner:
            inner.close()


class Members:
    """The three processes; what they print is read line by line."""

    def __init__(self, program, folder, seed):  # noqa: F811
        self.program = program
        self.folder = folder
        free = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
        for each in free:
            each.bind(("127.0.0.1", 0))
        self.ports = [each.getsockname()[1] for each in free]
        self.network = Network(self.ports, seed)
        for each in free:
            each.close()
        self.running = {}
        for m in range(3):
            (folder / str(m)).mkdir()
            self.start(m)

    def start(self, m):
        views = [str(self.network.view[m, to]) for to in range(3)]
        self.running[m] = harness.child(
            [self.program, str(m + 1), str(self.folder / str(m)), *views], bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self, m):
        out = self.running[m].stdout
        assert select.select([out], [], [], harness.PATIENCE_S)[0], f"member {m + 1} says nothing"
        return int(out.readline())

    def ask(self, m, commands):
        """Give commands to one member; its answers."""
        self.running[m].stdin.write(commands.encode())
        return [self.line(m) for _ in commands]

    def kill(self, m):
        self.running[m].send_signal(signal.SIGKILL)
        self.running.pop(m).wait()

    def close(self):
        for m in list(self.running):
            self.kill(m)
        self.network.close()


@pytest.fixture
def members(program, tmp_path):  # noqa: F811
    made = Members(program, tmp_path, seed=3)
    yield made
    made.close()


def test_it_is_under_200_lines():
    with open(os.path.join(FOLDER, "counter.c"), encoding="utf-8") as f:
        assert len(f.readlines()) < 200


def test_three_processes_count_together_whatever_gets_lost(members):
    assert [members.line(m) for m in range(3)] == [0, 0, 0]
    for turn in range(1, 13):
        assert members.ask(turn % 3, "+") == [turn]
    assert [members.ask(m, "?") for m in range(3)] == [[12]] * 3
    assert members.network.lost > 0

    members.kill(1)
    assert members.ask(0, "+++") == [13, 14, 15]
    assert members.ask(2, "+?") == [16, 16]
    members.start(1)
    assert members.line(1) == 16, "it has caught up before it takes a command"
    assert members.ask(1, "+") == [17]

    for m in range(3):
        members.kill(m)
    for m in range(3):
        members.start(m)
    assert [members.line(m) for m in range(3)] == [17, 17, 17]


def test_increments_at_the_same_time_all_count(members):
    assert [members.line(m) for m in range(3)] == [0, 0, 0]
    for m in range(3):
        members.running[m].stdin.write(b"+" * 10)
    said = [[members.line(m) for _ in range(10)] for m in range(3)]
    assert all(before < after for each in said for before, after in zip(each, each[1:]))
    assert [members.ask(m, "?") for m in range(3)] == [[30]] * 3


def test_a_torn_end_of_the_log_is_cut_off(members):
    assert [members.line(m) for m in range(3)] == [0, 0, 0]
    assert members.ask(0, "+++") == [1, 2, 3]
    members.kill(2)
    with open(members.folder / "2" / "log", "ab") as log:
        log.write(b"\xff" * 70)
    members.start(2)
    assert members.line(2) == 3
    assert (members.folder / "2" / "log").stat().st_size % 56 == 0
