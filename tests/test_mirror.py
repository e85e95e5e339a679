# SPDX-License-Identifier: Apache-2.0
"""oakum mirror: a live etcd is followed while clients write to it, and while the source, the mirror
and the destination are killed again and again; in the end both sides are equal.

A short run is part of `make test`; MIRROR_SECONDS=600 (`make mirror TIME=600`) goes on for longer.
What must hold all the time at the destination: two keys that are always changed together are equal,
and what only grows does not shrink.
"""
import json
import os
import random
import re
import shutil
import signal
import ssl
import threading
import time

import pytest

import certs
import harness
import rpc_client
from lasting import verbs  # pylint: disable=unused-import

SECONDS = float(os.environ.get("MIRROR_SECONDS", "0"))
STATE = "oakum/mirror/"


def everything(endpoint, prefix="", skip=STATE):
    """All keys and their values."""
    client = rpc_client.Client(endpoint)
    try:
        text = f"key: '{prefix}' range_end: '{prefix[:-1]}{chr(ord(prefix[-1]) + 1)}'" if prefix \
            else r"key: '\0' range_end: '\0'"
        answer = harness.until(lambda: (got := client.call("Range", text)).code == "OK" and got,
                               f"all keys of {endpoint}")
        return {each.key: each.value for each in answer.response.kvs
                if not each.key.startswith(skip.encode())}
    finally:
        client.close()


class Mirror:
    """One that runs, and is started again."""

    def __init__(self, verb, program, source, destination, *flags):
        self.verb, self.program, self.flags = verb, program, list(flags)
        self.words = ["mirror", "--from", ",".join(source.endpoints),
                      "--to", ",".join(destination.endpoints)]
        self.process = None

    def start(self, *flags):
        self.process = self.verb(self.program, [], *self.words, *self.flags, *flags,
                                 "--output", "json")
        return self.process

    def end(self, number=signal.SIGKILL):
        self.process.signal(number)
        return self.process.wait()

    def events(self):
        return [json.loads(line) for line in bytes(self.process.out).splitlines()]

    def run(self, *flags):
        """To its end. Gives the exit code, and what it said."""
        self.start(*flags)
        return self.process.wait(), self.events()


def state_revision(text):
    found = re.search(r"oakum mirror 1 follow .* revision=(\d+) part=0 ", text)
    return int(found[1]) if found else 0


class Load:
    """Clients of the source that write, whatever becomes of it."""

    def __init__(self, endpoints, threads=2):
        self.endpoints = endpoints
        self.stopped = threading.Event()
        self.writes = 0
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True)
                        for number in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        chance = random.Random(number)
        clients = [rpc_client.Client(each) for each in self.endpoints]
        count = 0
        while not self.stopped.is_set():
            count += 1
            key = f"keys/{number}/{chance.randrange(300):03}"
            kind = chance.randrange(20)
            puts = [(f"pair/{number}/a", count), (f"grows/{number}", f"{count:012}"),
                    (f"pair/{number}/b", count)]
            if kind < 12:
                puts.append((key, "x" * chance.randrange(2000)))
            elif kind == 12:  # a transaction that does not fit into one of the mirror's
                puts = [(f"wide/{number}/{each:03}", count) for each in range(128)]
            elif kind == 13:
                puts = [(f"large/{number}", "y" * chance.randrange(1000000))]
            text = "".join(f"success {{ request_put {{ key: '{name}' value: '{value}' }} }} "
                           for name, value in puts)
            if kind > 16:
                text += (f"success {{ request_delete_range {{ key: '{key}' "
                         f"range_end: '{key[:-1]}~' }} }}")
            answer = chance.choice(clients).call("Txn", text, timeout=5)
            self.writes += answer.code == "OK"
            if answer.code != "OK":
                self.stopped.wait(0.05)
        for client in clients:
            client.close()

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()


class Reader:
    """Looks at the destination all the time: what must always hold there."""

    def __init__(self, endpoints):
        self.endpoints = endpoints
        self.stopped = threading.Event()
        self.wrong = []
        self.reads = 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        clients = [rpc_client.Client(each) for each in self.endpoints]
        ranges = ((STATE, STATE + "\\377"), ("pair/", "pair0"), ("grows/", "grows0"))
        text = " ".join(f"success {{ request_range {{ key: '{key}' range_end: '{end}' }} }}"
                        for key, end in ranges)
        largest = {}
        while not self.stopped.wait(0.005):
            answer = clients[self.reads % len(clients)].call("Txn", text, timeout=5)
            self.reads += 1
            if answer.code != "OK":
                continue
            state, pairs, grows = [{each.key.decode(): each.value.decode()
                                    for each in one.response_range.kvs}
                                   for one in answer.response.responses]
            if " follow " in state.get(STATE, ""):
                self.wrong += [(key, value, pairs.get(key[:-1] + "b"))
                               for key, value in pairs.items()
                               if value != pairs.get(key[:-1] + "b") and key.endswith("a")]
            self.wrong += [(key, largest[key], value) for key, value in grows.items()
                           if value < largest.get(key, "")]
            largest.update(grows)
        for client in clients:
            client.close()

    def stop(self):
        self.stopped.set()
        self.thread.join()


class World:
    """A source under load, its mirror, and who looks at the destination."""

    def __init__(self, source, destination, mirror):
        self.source, self.destination, self.mirror = source, destination, mirror
        self.load = Load(source.endpoints)
        self.reader = Reader(destination.endpoints)

    def catch_up(self):
        """Until what the source has now is at the destination."""
        clients = [rpc_client.Client(side.endpoints[0])
                   for side in (self.source, self.destination)]
        try:
            now = harness.until(lambda: (got := clients[0].call("Range", "key: 'a'")).code == "OK"
                                and got.response.header.revision, "the source's revision")

            def there():
                got = clients[1].call("Range", f"key: '{STATE}'")
                return got.code == "OK" and got.response.kvs and \
                    state_revision(got.response.kvs[0].value.decode()) >= now
            harness.until(there, f"revision {now} at the destination; the mirror says "
                          f"{bytes(self.mirror.process.out)[-2000:]} "
                          f"{bytes(self.mirror.process.err)[-500:]}")
        finally:
            for client in clients:
                client.close()

    def restart_mirror(self, chance):
        self.mirror.end(chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM]))
        self.mirror.start()

    def restart_side(self, side, chance):
        """One member, or all."""
        nodes = side.nodes if chance.randrange(2) else [chance.choice(side.nodes)]
        for node in nodes:
            node.kill()
        for node in nodes:
            node.start()
        side.wait_healthy()

    def compact(self):
        """What the mirror has not seen is compacted while it is away."""
        self.mirror.end()
        before = self.load.writes
        harness.until(lambda: self.load.writes > before + 20, "more writes")
        status = self.source.etcdctl_json("get", "none")
        self.source.etcdctl("compaction", str(status["header"]["revision"]))
        self.mirror.start()
        self.mirror.process.wait_for(b'"event":"compacted"')

    def step(self, number, chance):
        kind = number % 4
        if kind == 0:
            self.restart_mirror(chance)
        elif kind == 1:
            self.restart_side(self.source, chance)
        elif kind == 2:
            self.restart_side(self.destination, chance)
        else:
            self.compact()
        self.catch_up()

    def stop(self):
        self.load.stop()
        self.reader.stop()


@pytest.mark.parametrize("size", [3 if SECONDS > 0 else 1])
def test_mirror_follows_a_live_etcd_whatever_ends(start_cluster, etcd_bin, oakum_bin, verb, size):
    source = start_cluster(size=size, program=etcd_bin)
    destination = start_cluster(size=size)
    mirror = Mirror(verb, oakum_bin, source, destination)
    for number in range(4):
        source.etcdctl("put", f"keys/old/{number}", "old")
    mirror.start()
    world = World(source, destination, mirror)
    chance = random.Random(1)
    try:
        until = time.monotonic() + SECONDS
        world.catch_up()
        number = 0
        while number < 4 or time.monotonic() < until:
            world.step(number, chance)
            assert not world.reader.wrong, world.reader.wrong[:10]
            number += 1
    finally:
        world.stop()
    assert not world.reader.wrong, world.reader.wrong[:10]
    world.catch_up()
    assert mirror.end(signal.SIGINT) == 0
    assert mirror.events()[-1]["event"] == "stopped"
    assert everything(source.endpoints[0]) == everything(destination.endpoints[0])
    code, events = mirror.run("--verify", "--once")
    assert code == 0, events
    code, events = mirror.run("--finish")
    assert code == 0, events
    assert [each["event"] for each in events if each["event"] != "at"] == \
        ["copied", "verified", "finished"]
    ours = everything(destination.endpoints[0], skip="\0")
    assert everything(source.endpoints[0]) == ours
    assert len(ours) > 100
    print(f"{number} steps, {world.load.writes} writes, {world.reader.reads} reads, "
          f"{len(ours)} keys")


# -- what a person may do with it ---------------------------------------------------------------

@pytest.fixture(name="sides", scope="module")
def two_clusters(lasting_cluster):
    return lasting_cluster(1), lasting_cluster(1)


@pytest.fixture(name="pair")
def mirror_of_a_prefix(sides, oakum_bin, verb, request):
    """A mirror of the keys of this test alone."""
    source, destination = sides
    mirror = Mirror(verb, oakum_bin, source, destination)
    mirror.prefix = request.node.name + "/"
    mirror.flags = ["--prefix", mirror.prefix]
    return source, destination, mirror


def under(cluster, mirror):
    return everything(cluster.endpoints[0], mirror.prefix)


def test_mirror_once_makes_both_equal(pair):
    source, destination, mirror = pair
    for key in ("a", "b", "c"):
        source.etcdctl("put", mirror.prefix + key, key)
    source.etcdctl("put", "elsewhere", "1")
    assert mirror.run("--once")[0] == 0
    assert under(source, mirror) == under(destination, mirror)
    assert len(under(destination, mirror)) == 3
    assert destination.etcdctl("get", "elsewhere") == ""
    source.etcdctl("del", mirror.prefix + "a")
    source.etcdctl("put", mirror.prefix + "b", "2")
    assert mirror.run("--once", "--verify")[0] == 0
    assert under(source, mirror) == under(destination, mirror)


def test_mirror_leaves_what_is_there(pair):
    source, destination, mirror = pair
    source.etcdctl("put", mirror.prefix + "a", "1")
    destination.etcdctl("put", mirror.prefix + "theirs", "1")
    code, _ = mirror.run("--once")
    assert code == 1
    assert b"--overwrite" in mirror.process.err
    assert list(under(destination, mirror)) == [(mirror.prefix + "theirs").encode()]
    assert mirror.run("--once", "--overwrite")[0] == 0
    assert under(source, mirror) == under(destination, mirror)


def test_mirror_tells_what_differs(pair):
    source, destination, mirror = pair
    for key in ("a", "b", "c"):
        source.etcdctl("put", mirror.prefix + key, key)
    mirror.start("--verify")
    mirror.process.wait_for(b'"event":"follow"')
    destination.etcdctl("del", mirror.prefix + "a")
    destination.etcdctl("put", mirror.prefix + "b", "other")
    destination.etcdctl("put", mirror.prefix + "d", "more")
    assert mirror.end(signal.SIGINT) == 1
    verified = [each for each in mirror.events() if each["event"] == "verified"]
    assert "not equal: 1 missing, 1 different, 1 too many" in verified[0]["text"]
    assert mirror.run("--finish")[0] == 0
    assert under(source, mirror) == under(destination, mirror)
    assert destination.etcdctl("get", "--prefix", STATE + mirror.prefix) == ""


def test_mirror_makes_way_for_another(pair):
    source, destination, mirror = pair
    source.etcdctl("put", mirror.prefix + "a", "1")
    first = mirror.start()
    first.wait_for(b'"event":"follow"')
    mirror.start().wait_for(b'"event":"follow"')
    source.etcdctl("put", mirror.prefix + "b", "2")
    assert first.wait() == 1
    assert b"another mirror writes to this destination" in first.err
    harness.until(lambda: under(source, mirror) == under(destination, mirror), "both are equal")
    assert mirror.end(signal.SIGTERM) == 0


def test_mirror_puts_a_prefix_in_the_place_of_another(pair):
    source, destination, mirror = pair
    source.etcdctl("put", mirror.prefix + "a", "1")
    mirror.start("--dest-prefix", "new/")
    mirror.process.wait_for(b'"event":"follow"')
    source.etcdctl("put", mirror.prefix + "b", "2")
    source.etcdctl("del", mirror.prefix + "a")
    harness.until(lambda: destination.etcdctl("get", "--prefix", "new/") == "new/b\n2", "new/b")
    assert mirror.end(signal.SIGINT) == 0
    code, _ = mirror.run("--once", "--dest-prefix", "new/", "--prefix", "other/")
    assert code == 1
    assert b"of another --prefix" in mirror.process.err


def test_mirror_finish_brings_leases(pair):
    source, destination, mirror = pair
    lease = source.etcdctl("lease", "grant", "3600").split()[1]
    client = rpc_client.Client(source.endpoints[0])
    for number in range(150):
        client.call("Put", f"key: '{mirror.prefix}{number:03}' value: '1' "
                           f"lease: {int(lease, 16) if number > 10 else 0}")
    client.close()
    mirror.start()
    mirror.process.wait_for(b'"event":"follow"')
    assert mirror.end(signal.SIGINT) == 0
    assert mirror.run("--finish", "--leases")[0] == 0
    keys = [side.etcdctl_json("lease", "timetolive", lease, "--keys") for side in
            (source, destination)]
    assert keys[0]["keys"] == keys[1]["keys"]
    assert len(keys[0]["keys"]) == 139 and keys[1]["granted-ttl"] == 3600
    assert under(source, mirror) == under(destination, mirror)


def test_mirror_does_not_finish_while_the_source_changes(pair):
    source, _, mirror = pair
    # So much to compare that the one who writes has a turn meanwhile.
    client = rpc_client.Client(source.endpoints[0])
    for part in range(30):
        client.call("Txn", "".join(f"success {{ request_put {{ key: '{mirror.prefix}{part}/{number}"
                                   f"' value: '{'v' * 1000}' }} }}" for number in range(100)))
    client.close()
    mirror.start()
    mirror.process.wait_for(b'"event":"follow"')
    assert mirror.end(signal.SIGINT) == 0
    stopped = threading.Event()
    ready = threading.Event()

    def write():
        client = rpc_client.Client(source.endpoints[0])
        number = 0
        while not stopped.is_set():
            number += 1
            client.call("Put", f"key: '{mirror.prefix}a' value: '{number}'")
            ready.set()
        client.close()
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    ready.wait()
    try:
        code, _ = mirror.run("--finish")
        assert code == 1
        assert b"the source still changes" in mirror.process.err
    finally:
        stopped.set()
        writer.join()
    assert mirror.run("--finish")[0] == 0


def test_mirror_knows_its_source(pair):
    source, destination, mirror = pair
    source.etcdctl("put", mirror.prefix + "a", "1")
    assert mirror.run("--once")[0] == 0
    # as if the source had been another one, and then one that went back
    key = STATE + mirror.prefix
    state = destination.etcdctl("get", "--print-value-only", key)
    destination.etcdctl("put", key, re.sub("from=[0-9a-f]+", "from=0000000000000001", state))
    code, _ = mirror.run("--once")
    assert code == 1
    assert b"is a mirror of cluster 0000000000000001" in mirror.process.err
    destination.etcdctl("put", key, re.sub(r"revision=\d+", "revision=99999999", state))
    code, events = mirror.run("--once")
    assert code == 0
    assert "back" in [each["event"] for each in events]


def test_mirror_sees_that_its_source_goes_back(start_cluster, oakum_bin, verb, tmp_path):
    source, destination = start_cluster(size=1), start_cluster(size=1)
    node = source.nodes[0]
    source.etcdctl("put", "a", "1")
    node.stop()
    shutil.copytree(node.data_dir, tmp_path / "backup")
    node.start()
    node.wait_healthy()
    for number in range(5):
        source.etcdctl("put", f"lost{number}", "1")
    mirror = Mirror(verb, oakum_bin, source, destination)
    mirror.start()
    mirror.process.wait_for(b'"event":"follow"')
    node.stop()
    shutil.rmtree(node.data_dir)
    shutil.copytree(tmp_path / "backup", node.data_dir)
    node.start()
    node.wait_healthy()
    source.etcdctl("put", "b", "2")
    mirror.process.wait_for(b'"event":"back"')
    harness.until(lambda: everything(destination.endpoints[0]) == {b"a": b"1", b"b": b"2"},
                  "the destination went back too")
    assert mirror.end(signal.SIGINT) == 0


def test_mirror_asks_each_side_as_its_user(sides, start_cluster, oakum_bin, verb):
    source, destination = sides[0], start_cluster(size=1)
    for line in ("user add root:secret", "user grant-role root root", "role add some",
                 "role grant-permission some readwrite --prefix=true users/", "user add some:other",
                 "user grant-role some some", "auth enable"):
        destination.etcdctl(*line.split())
    source.etcdctl("put", "users/a", "1")
    mirror = Mirror(verb, oakum_bin, source, destination, "--prefix", "users/")
    assert mirror.run("--once")[0] == 1
    assert b"user name is empty" in mirror.process.err
    assert mirror.run("--once", "--dest-user", "some:other")[0] == 1
    assert b"the destination: etcdserver: permission denied" in mirror.process.err
    destination.etcdctl("--user", "root:secret", "role", "grant-permission", "some", "readwrite",
                        "--prefix=true", STATE)
    assert mirror.run("--finish", "--dest-user", "some", "--dest-password", "other")[0] == 0
    assert destination.etcdctl("--user", "root:secret", "get", "users/a") == "users/a\n1"
    # and back: the keys and their leases are read by who may read nothing behind the prefix
    user = ("--user", "some:other")
    lease = destination.etcdctl(*user, "lease", "grant", "3600").split()[1]
    destination.etcdctl(*user, "put", "users/b", "2", "--lease", lease)
    back = Mirror(verb, oakum_bin, destination, source, "--prefix", "users/", *user,
                  "--dest-prefix", "back/")
    assert back.run("--finish", "--leases")[0] == 0, back.process.err
    assert source.etcdctl_json("lease", "timetolive", lease, "--keys")["granted-ttl"] == 3600
    assert source.etcdctl("get", "back/", "--prefix") == "back/a\n1\nback/b\n2"


def test_mirror_speaks_tls_with_the_destination(sides, start_cluster, oakum_bin, verb, tmp_path):
    authority = certs.Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    tls = ssl.create_default_context(cafile=authority.crt)
    tls.load_cert_chain(client.crt, client.key)
    source = sides[0]
    destination = start_cluster(
        size=1, schemes=("https", "http"), http_tls=tls,
        flags=["--cert-file", server.crt, "--key-file", server.key,
               "--trusted-ca-file", authority.crt, "--client-cert-auth"],
        ctl_flags=["--cacert", authority.crt, "--cert", client.crt, "--key", client.key])
    source.etcdctl("put", "tls/a", "1")
    mirror = Mirror(verb, oakum_bin, source, destination, "--prefix", "tls/")
    mirror.words[-1] = destination.ctl_endpoint(mirror.words[-1])
    mine = ["--dest-cert", client.crt, "--dest-key", client.key, "--dest-cacert", authority.crt]
    assert mirror.run("--finish", *mine)[0] == 0
    assert destination.etcdctl("get", "tls/a") == "tls/a\n1"


def test_mirror_stops_when_a_side_hangs(start_cluster, oakum_bin, verb):
    source, destination = start_cluster(size=1), start_cluster(size=1)
    mirror = Mirror(verb, oakum_bin, source, destination)
    source.etcdctl("put", "a", "1")
    mirror.start()
    mirror.process.wait_for(b'"event":"follow"')
    destination.nodes[0].pause()
    source.etcdctl("put", "b", "1")
    mirror.end(signal.SIGINT)
    destination.nodes[0].resume()
    assert mirror.events()[-1]["event"] == "stopped"
    assert mirror.run("--finish")[0] == 0
    assert everything(source.endpoints[0]) == everything(destination.endpoints[0])


def test_mirror_does_not_mirror_itself(sides, oakum_bin, verb):
    source, _ = sides
    for flags in ([], ["--dest-prefix", "within/"], ["--prefix", "within/", "--no-dest-prefix"]):
        mirror = Mirror(verb, oakum_bin, source, source, *flags)
        assert mirror.run("--overwrite")[0] == 1
        assert b"are one cluster" in mirror.process.err
    mirror = Mirror(verb, oakum_bin, source, source, "--prefix", "one/", "--dest-prefix", "two/")
    source.etcdctl("put", "one/a", "1")
    assert mirror.run("--once")[0] == 0
    assert source.etcdctl("get", "two/a") == "two/a\n1"


@pytest.mark.parametrize("flags,most", [(["--each-revision"], 40), ([], 10)])
def test_mirror_makes_a_transaction_of_a_revision(pair, flags, most):
    source, destination, mirror = pair
    mirror.prefix = mirror.flags[1] = f"revisions{most}/"
    source.etcdctl("put", mirror.prefix + "first", "1")
    assert mirror.run("--once")[0] == 0
    client = rpc_client.Client(source.endpoints[0])
    for number in range(40):
        client.call("Put", f"key: '{mirror.prefix}{number}' value: 'x'")
    client.close()
    mirror.start(*flags)
    harness.until(lambda: under(source, mirror) == under(destination, mirror), "both are equal")
    assert mirror.end(signal.SIGINT) == 0
    transactions = mirror.events()[-1]["transactions"]
    assert transactions == 40 if flags else transactions <= most


def test_mirror_cuts_what_does_not_fit(pair):
    source, destination, mirror = pair
    client = rpc_client.Client(source.endpoints[0])
    source.etcdctl("put", mirror.prefix + "first", "1")
    mirror.start("--max-txn-ops", "2")
    mirror.process.wait_for(b'"event":"follow"')
    client.call("Txn", "".join(f"success {{ request_put {{ key: '{mirror.prefix}{number}' "
                               f"value: 'x' }} }}" for number in range(100)))
    client.call("DeleteRange", f"key: '{mirror.prefix}1' range_end: '{mirror.prefix}2'")
    # as large as a request may be: the state does not fit in beside it
    answer = client.call("Put", f"key: '{mirror.prefix}large' value: '{'y' * (1536 * 1024 - 80)}'")
    assert answer.code == "OK", answer
    client.close()
    harness.until(lambda: under(source, mirror) == under(destination, mirror), "both are equal")
    assert mirror.end(signal.SIGINT) == 0
    assert mirror.run("--finish")[0] == 0
    # and by a copy
    assert mirror.run("--once", "--overwrite", "--dest-prefix", "copy/")[0] == 0
    assert len(everything(destination.endpoints[0], "copy/")) == len(under(source, mirror))


def test_make_mirror_puts_what_etcdctl_puts(pair, etcdctl_bin, oakum_bin, verb):
    source, destination, mirror = pair
    source.etcdctl("put", mirror.prefix + "a", "1")
    for program in (etcdctl_bin, oakum_bin):
        name = os.path.basename(program) + "/"
        one = verb(program, source.endpoints, "make-mirror", destination.endpoints[0],
                   "--prefix", mirror.prefix, "--dest-prefix", name)
        for number in range(3):
            source.etcdctl("put", f"{mirror.prefix}{number}", str(number))
            harness.until(lambda name=name, number=number: destination.etcdctl(
                "get", f"{name}{number}", "--print-value-only") == str(number), "it is there")
        source.etcdctl("del", mirror.prefix + "0")
        harness.until(lambda name=name: destination.etcdctl("get", f"{name}0") == "", "it is gone")
        assert destination.etcdctl("get", name + "a") == name + "a\n1"
        one.kill()
    for program in (etcdctl_bin, oakum_bin):
        one = verb(program, source.endpoints, "make-mirror")
        assert one.wait() == 128
