# SPDX-License-Identifier: Apache-2.0
"""harness.py: clusters of real processes for tests: Oakum, and etcd to compare with.

    cluster = Cluster(program, folder, size=3)
    cluster.start()                     # returns when every member is healthy
    cluster.etcdctl("put", "k", "v")    # etcd's own client
    cluster.nodes[0].kill()             # or stop(), pause(), resume(), start(), restart()
    cluster.leader().kill()
    cluster.close()                     # whatever still runs ends

Nothing waits for a time to pass: `until` asks again until a deadline. Members listen on ports of
127.0.0.1 that were free, write their output to <folder>/<name>.log, and die with the test run,
however it ends.
"""
import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Long enough for a sanitized build on a busy machine; nothing that works comes near it.
PATIENCE_S = 60


# What programs of the C client run under: `make valgrind`.
UNDER = os.environ.get("OAK_UNDER", "").split()


def oakum_path():
    """The program under test: $OAKUM_BIN, or bin/oakum."""
    return os.path.abspath(os.environ.get("OAKUM_BIN") or os.path.join(TOP, "bin", "oakum"))


def etcd_path():
    """A real etcd: $OAKUM_ETCD, or where tools/peers.sh puts it."""
    unpacked = os.path.join(TOP, "build", "peers", "etcd", "usr", "bin", "etcd")
    return os.path.abspath(os.environ.get("OAKUM_ETCD") or unpacked)


def etcdctl_path():
    """etcd's client: $OAKUM_ETCDCTL, or the one in PATH; None without one."""
    return os.environ.get("OAKUM_ETCDCTL") or shutil.which("etcdctl")


def until(check, what, patience_s=PATIENCE_S):
    """Call `check` until it gives something true, and return that. AssertionError at the deadline.

    A failed connection or command counts as "not yet"."""
    deadline = time.monotonic() + patience_s
    last = None
    pause = threading.Event()
    while True:
        try:
            result = check()
            if result:
                return result
            last = f"it gave {result!r}"
        except (OSError, http.client.HTTPException, subprocess.SubprocessError) as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited {patience_s} s in vain: {what}; last, {last}")
        pause.wait(0.02)


class Ports:
    """Ports of 127.0.0.1 for members: each test run has a part of its own of those below the ones
    that the kernel gives to connections, so that two runs beside each other, and a connection while
    a member is down, take none of them."""
    FIRST, PART, PARTS = 10000, 2500, 9

    def __init__(self):
        self.lock, self.number, self.next = None, None, 0

    def _part(self):
        for number in range(self.PARTS):
            path = os.path.join(tempfile.gettempdir(), f"oakum-test-ports-{number}")
            lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends
            except BlockingIOError:
                os.close(lock)
                continue
            self.lock, self.number = lock, number
            return
        raise RuntimeError(f"{self.PARTS} test runs are under way, and have all ports")

    def take(self):
        """The next one on which nobody listens."""
        if self.lock is None:
            self._part()
        for _ in range(self.PART):
            port = self.FIRST + self.number * self.PART + self.next % self.PART
            self.next += 1
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return port
        raise RuntimeError("no port is free")


PORTS = Ports()


def free_ports(count):
    """Ports of 127.0.0.1 that nobody uses, each another one."""
    return [PORTS.take() for _ in range(count)]


# Before a command: SIGKILL for it when the test run is gone; and a terminal of its own on stdin.
# By programs that exec, not by preexec_fn: that runs Python in a fork of a process with threads,
# and gRPC's handlers of fork(2) wait for its threads, now and then for ever.
MORTAL = ("setpriv", "--pdeathsig", "KILL")
TERMINAL = (*MORTAL, "setsid", "--ctty")


def child(command, **options):
    """Start a program that ends with the test run; the options are those of subprocess.Popen."""
    return subprocess.Popen([*MORTAL, *map(str, command)], **options)


def http_request(endpoint, method, path, body=None, headers=None, timeout=10, tls=None):
    """One HTTP request, by TLS with an ssl.SSLContext. Gives (status, headers, body bytes)."""
    connection = http.client.HTTPConnection(endpoint, timeout=timeout) if tls is None else \
        http.client.HTTPSConnection(endpoint, timeout=timeout, context=tls)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class Node:
    """One member: a process, or the place of one."""

    def __init__(self, cluster, name, client_port, peer_port):
        self.cluster = cluster
        self.name = name
        self.endpoint = f"127.0.0.1:{client_port}"
        self.client_url = f"{cluster.client_scheme}://127.0.0.1:{client_port}"
        self.peer_url = f"{cluster.peer_scheme}://127.0.0.1:{peer_port}"
        self.data_dir = os.path.join(cluster.folder, name)
        self.log_path = os.path.join(cluster.folder, name + ".log")
        self.flags = []  # beside the cluster's
        self.state = "new"  # or "existing": it joins
        self.process = None

    def __repr__(self):
        return f"<{self.name} {self.endpoint} {'running' if self.running else 'down'}>"

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        """The command line that starts this member."""
        members = ",".join(f"{node.name}={node.peer_url}" for node in self.cluster.nodes)
        return [self.cluster.program, "--name", self.name, "--data-dir", self.data_dir,
                "--listen-client-urls", self.client_url,
                "--advertise-client-urls", self.client_url,
                "--listen-peer-urls", self.peer_url,
                "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", members, "--initial-cluster-token", "test",
                "--initial-cluster-state", self.state, *self.cluster.flags, *self.flags]

    def start(self):
        """Start it; does not wait for its health."""
        assert not self.running, f"{self.name} runs already"
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith(("ETCD_", "ETCDCTL_"))}
        environment.update(self.cluster.env)
        with open(self.log_path, "ab") as log:
            # pylint: disable=consider-using-with
            self.process = child(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env=environment, start_new_session=True)

    def signal(self, number):
        """Send a signal to the process and all that it started."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def wait(self, patience_s=PATIENCE_S):
        """Wait for its end. Gives the exit code, negative for a signal."""
        return self.process.wait(timeout=patience_s)

    def stop(self):
        """SIGTERM, and wait. Gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        """SIGKILL, as a crash of the process; and wait."""
        self.signal(signal.SIGKILL)
        return self.wait()

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def restart(self):
        """Stop, start, wait until healthy."""
        if self.running:
            self.stop()
        self.start()
        self.wait_healthy()

    def http(self, method, path, body=None, headers=None, timeout=10):
        return http_request(self.endpoint, method, path, body, headers, timeout,
                            self.cluster.http_tls)

    def is_healthy(self):
        """Does /health say so: it has a leader, and a quorum answers?"""
        if not self.running:
            raise AssertionError(f"{self.name} has ended with code {self.process.poll()}:\n"
                                 f"{self.log_tail()}")
        status, _, body = self.http("GET", "/health", timeout=5)
        return status == 200 and str(json.loads(body).get("health")).lower() == "true"

    def wait_healthy(self, patience_s=PATIENCE_S):
        until(self.is_healthy, f"health of {self.name}", patience_s)

    def log_text(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as log:
                return log.read()
        except FileNotFoundError:
            return ""

    def log_tail(self, lines=60):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def metrics(self):
        """What /metrics gives: {"name{labels}": value}."""
        _, _, body = self.http("GET", "/metrics")
        values = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                values[name] = float(value)
        return values


class Cluster:
    """Members that know each other. `flags` go to every one of them.

    With `schemes` of https for clients or peers, the flags name certificates; `http_tls` is the
    ssl.SSLContext of who looks at /health, `ctl_flags` are those of etcdctl."""

    def __init__(self, program, folder, size=3, flags=(), env=None, schemes=("http", "http"),
                 http_tls=None, ctl_flags=()):
        self.client_scheme, self.peer_scheme = schemes
        self.http_tls = http_tls
        self.ctl_flags = list(ctl_flags)
        self.program = str(program)
        self.folder = str(folder)
        self.flags = list(flags)
        self.env = dict(env or {})
        os.makedirs(self.folder, exist_ok=True)
        ports = free_ports(2 * size)
        self.nodes = [Node(self, f"n{i + 1}", ports[2 * i], ports[2 * i + 1])
                      for i in range(size)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def newcomer(self, name):
        """The place of a member that is to join; not started. It counts among the nodes."""
        client_port, peer_port = free_ports(2)
        node = Node(self, name, client_port, peer_port)
        node.state = "existing"
        self.nodes.append(node)
        return node

    @property
    def endpoints(self):
        return [node.endpoint for node in self.nodes]

    def ctl_endpoint(self, endpoint):
        return endpoint if self.client_scheme == "http" else f"https://{endpoint}"

    @property
    def running(self):
        return [node for node in self.nodes if node.running]

    def start(self, wait=True):
        for node in self.nodes:
            node.start()
        if wait:
            self.wait_healthy()
        return self

    def wait_healthy(self, nodes=None, patience_s=PATIENCE_S):
        for node in nodes or self.running:
            node.wait_healthy(patience_s)

    def close(self):
        """End all members, at once."""
        for node in self.nodes:
            node.signal(signal.SIGCONT)
            node.signal(signal.SIGKILL)
        for node in self.nodes:
            if node.process is not None:
                node.process.wait()

    def etcdctl(self, *arguments, endpoints=None, check=True, text=None, timeout=30):
        """Run etcdctl (API version 3) on these endpoints, or on all. Gives its stdout, stripped;
        with check=False the whole CompletedProcess. `text` goes to its stdin."""
        path = etcdctl_path()
        assert path, "there is no etcdctl"
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith("ETCDCTL_")}
        environment["ETCDCTL_API"] = "3"
        where = ",".join(self.ctl_endpoint(each) for each in endpoints or self.endpoints)
        done = subprocess.run([path, "--endpoints", where, "--command-timeout", f"{timeout // 2}s",
                               *self.ctl_flags, *arguments],
                              input=text, stdin=None if text is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, env=environment, check=False,
                              timeout=timeout)
        if not check:
            return done
        if done.returncode != 0:
            raise AssertionError(f"etcdctl {' '.join(arguments)} ended with {done.returncode}: "
                                 f"{done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def etcdctl_json(self, *arguments, **options):
        """etcdctl with -w json, decoded."""
        return json.loads(self.etcdctl(*arguments, "-w", "json", **options))

    def status(self, nodes=None):
        """Maintenance.Status of each running member: {node: the "Status" of etcdctl}."""
        nodes = list(nodes or self.running)
        rows = self.etcdctl_json("endpoint", "status", endpoints=[n.endpoint for n in nodes])
        by_endpoint = {row["Endpoint"]: row["Status"] for row in rows}
        return {node: by_endpoint[self.ctl_endpoint(node.endpoint)] for node in nodes}

    def leader(self, nodes=None):
        """The member that leads, by its own word and that of all others asked; waits for one."""
        def agreed():
            rows = self.status(nodes)
            leaders = {row.get("leader", 0) for row in rows.values()}
            if len(leaders) != 1 or 0 in leaders:
                return None
            wanted = leaders.pop()
            for node, row in rows.items():
                if row["header"]["member_id"] == wanted:
                    return node
            return None
        return until(agreed, "one leader")

    def followers(self):
        leader = self.leader()
        return [node for node in self.running if node is not leader]

    def logs(self, lines=60):
        """The end of every member's log, for a failure's report."""
        parts = []
        for node in self.nodes:
            code = None if node.process is None else node.process.poll()
            state = "never started" if node.process is None else \
                "running" if code is None else f"ended with {code}"
            parts.append(f"-- {node.name} ({state}): {node.log_path}\n{node.log_tail(lines)}")
        return "\n".join(parts)

    def remove(self):
        """Remove its data. The members have ended."""
        assert not self.running
        shutil.rmtree(self.folder, ignore_errors=True)


def run(*arguments, program=None, env=None, timeout=PATIENCE_S, text=None):
    """Run the program to its end. Gives the CompletedProcess, with text."""
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("ETCD_", "ETCDCTL_"))}
    environment.update(env or {})
    return subprocess.run([program or oakum_path(), *map(str, arguments)], capture_output=True,
                          text=True, check=False, timeout=timeout, env=environment, input=text,
                          stdin=None if text is not None else subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit("this is a module for the tests beside it")
