# SPDX-License-Identifier: Apache-2.0
"""The C client (client.h), through tools/client_probe.c, against Oakum and against a real etcd."""
import os
import queue
import re
import subprocess
import threading

import pytest

import harness

TOOLS = os.path.dirname(harness.oakum_path())
ANSWER = re.compile(r"^(ANSWER|REFUSED) (\d+) (.*)$")


class Probe:
    """A client in a process of its own."""
    program = "client_probe"
    good = "OK OK "

    def __init__(self, endpoints, *who):
        self.process = harness.child([*harness.UNDER, os.path.join(TOOLS, self.program),
                                      ",".join(endpoints), *who], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.lines = 0
        self.answers = {}
        self.told = queue.Queue()
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            found = ANSWER.match(line)
            if found:
                with self.changed:
                    self.answers[int(found[2])] = found[3]
                    self.changed.notify_all()
            else:
                self.told.put(line.rstrip("\n"))

    def tell(self, line):
        """A command that is not answered. Its number."""
        self.lines += 1
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.lines

    def wait(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: number in self.answers, harness.PATIENCE_S), (
                f"line {number} was not answered")
            return self.answers[number]

    def ask(self, line):
        return self.wait(self.tell(line))

    def ok(self, line):
        answer = self.ask(line)
        assert answer.startswith(self.good), f"{line}: {answer}"
        return answer

    def hear(self, name):
        """The next line that is about this name; others before it are a failure."""
        line = self.told.get(timeout=harness.PATIENCE_S)
        assert line.split()[1] == name, f"{line!r}, and nothing of {name}"
        return line

    def hear_until(self, *beginnings):
        """The lines up to one that begins so."""
        lines = []
        while not lines or not lines[-1].startswith(beginnings):
            lines.append(self.told.get(timeout=harness.PATIENCE_S))
        return lines

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(harness.PATIENCE_S)
        self.reader.join()
        assert code == 0


def field(answer, name):
    return re.search(rf"\b{name}=(\S+)", answer)[1]


@pytest.fixture(params=["oakum", "etcd"])
def server(request):
    return request.getfixturevalue(f"{request.param}_bin")


@pytest.fixture
def cluster(start_cluster, server):
    return start_cluster(size=3, program=server)


@pytest.fixture
def probe(cluster):
    """Of three members."""
    probe = Probe(cluster.endpoints)
    yield probe
    probe.close()


@pytest.fixture
def alone(start_cluster, server):
    """Of one: where how many there are makes no difference."""
    probe = Probe(start_cluster(size=1, program=server).endpoints)
    yield probe
    probe.close()


def test_c_client_keys_are_put_got_swapped_and_deleted(alone):
    assert " [ ]" in alone.ok("put a/1 one")
    assert " [ a/1=one ]" in alone.ok("put a/1 two")
    alone.ok("put a/2 three")
    assert " count=1 more=0 succeeded=0 [ a/1=two ]" in alone.ok("get a/1")
    assert " count=2 more=0 succeeded=0 [ a/1=two a/2=three ]" in alone.ok("get a/ prefix")
    assert " [ a/2=three ]" in alone.ok("get a/2 from")
    revision = int(field(alone.ok("put a/1 four"), "revision"))
    assert " [ a/1=two ]" in alone.ok(f"get a/1 {revision - 1}")
    swapped = alone.ok("swap a/1 3 five")
    assert " succeeded=1 [ ]" in swapped
    kept = alone.ok("swap a/1 3 six")  # its version is 4 now: the other branch, which nests
    assert re.search(r"succeeded=0 \[ \] count=0 .*succeeded=1 \[ \] count=1 .*\[ a/1=five \]",
                     kept)
    assert " count=2 more=0 succeeded=0 [ a/1=five a/2=three ]" in alone.ok("del a/ prefix")
    assert " count=0 " in alone.ok("get a/ prefix")


def test_c_client_errors_have_their_code_and_the_servers_text(alone):
    alone.ok("put k v")
    revision = int(field(alone.ok("put k w"), "revision"))
    assert alone.ask(f"get k {revision + 7}").startswith("EFUTUREREV OutOfRange ")
    alone.ok(f"compact {revision}")
    refused = alone.ask(f"get k {revision - 1}")
    assert refused.startswith("ECOMPACTED OutOfRange ")
    assert refused.endswith('"etcdserver: mvcc: required revision has been compacted"')
    assert alone.ask("put k v 123456").startswith("ELEASENOTFOUND NotFound ")
    assert alone.ask("ask etcdserverpb.Nothing Here").startswith("EUNIMPLEMENTED Unimplemented ")
    # Its two addresses are in it; the numbers' sizes are chance.
    listed = int(field(alone.ok("ask etcdserverpb.Cluster MemberList"), "bytes"))
    assert listed > 2 * len("http://127.0.0.1:1")


def test_c_client_nobody_there_is_told_in_time(oakum_bin):
    probe = Probe([f"127.0.0.1:{port}" for port in harness.free_ports(2)])
    assert probe.ask("get k").startswith("EUNREACHABLE Unavailable ")
    probe.close()


def test_c_client_a_watch_tells_all_in_order_over_the_end_of_its_member(cluster, probe):
    probe.tell("watch w a/ 0 prefix previous")
    began = int(probe.hear("w").split()[2])
    last = began
    value = None
    for turn in range(6):
        for i in range(20):
            new = f"{turn}-{i}"
            revision = int(field(probe.ok(f"put a/k {new}"), "revision"))
            assert revision > last
            last = revision
            while True:
                line = probe.hear("w")
                if not line.startswith("progress"):
                    break
            expected = f"put w {revision} a/k {new}" + (f" before {value}" if value else "")
            assert line == expected
            value = new
        node = cluster.nodes[turn % 3]
        node.kill()
        node.start()
        node.wait_healthy()
    probe.ok("del a/k")
    assert probe.hear("w").startswith("deleted w ")


def test_c_client_watches_filter_begin_in_the_past_and_end_at_compaction(alone):
    first = int(field(alone.ok("put k 1"), "revision"))
    alone.ok("put k 2")
    alone.ok("del k")
    alone.tell(f"watch all k {first}")
    assert alone.hear_until("deleted") == [
        f"began all {first - 1}", f"put all {first} k 1", f"put all {first + 1} k 2",
        f"deleted all {first + 2} k "]
    alone.tell(f"watch puts k {first} nodelete")
    assert len(alone.hear_until(f"put puts {first + 1}")) == 3
    alone.tell(f"watch gone k {first} noput")
    assert len(alone.hear_until("deleted gone")) == 2
    alone.tell("progress")
    assert {alone.hear(name).split()[2] for name in ("all", "puts", "gone")} == {str(first + 2)}
    for name in ("all", "puts", "gone"):
        alone.tell(f"unwatch {name}")
    latest = int(field(alone.ok("put k 3"), "revision"))
    alone.ok(f"compact {latest}")
    alone.tell(f"watch late k {first}")
    assert alone.hear_until("ended")[-1].startswith(f"ended late ECOMPACTED {latest} ")


def test_c_client_leases_are_kept_and_lost(alone):
    kept = alone.ok("grant 5")
    lease = field(kept, "lease")
    alone.ok(f"put k v {lease}")
    assert field(alone.ok(f"left {lease}"), "keys") == "1"
    alone.tell(f"keep {lease} 5")
    assert alone.hear(lease) == f"kept {lease} 5"
    assert alone.hear(lease) == f"kept {lease} 5"
    alone.ok(f"revoke {lease}")
    assert alone.hear_until("lost")[-1] == f"lost {lease} ELEASENOTFOUND"
    assert " count=0 " in alone.ok("get k")
    assert field(alone.ok(f"left {lease}"), "ttl") == "-1"
    assert alone.ask(f"revoke {lease}").startswith("ELEASENOTFOUND NotFound ")


def test_c_client_a_lease_is_kept_over_the_end_of_the_leader(cluster, probe):
    lease = field(probe.ok("grant 5"), "lease")
    probe.ok(f"put k v {lease}")
    probe.tell(f"keep {lease} 5")
    for _ in range(2):
        leader = cluster.leader()
        leader.kill()
        heard = [probe.hear(lease) for _ in range(3)]
        assert set(heard) == {f"kept {lease} 5"}
        leader.start()
        leader.wait_healthy()
    assert " count=1 " in probe.ok("get k")


def test_c_client_a_lease_that_nobody_answers_for_is_lost(start_cluster, server):
    cluster = start_cluster(size=1, program=server)
    probe = Probe(cluster.endpoints)
    lease = field(probe.ok("grant 2"), "lease")
    probe.tell(f"keep {lease} 2")
    assert probe.hear(lease) == f"kept {lease} 2"
    cluster.nodes[0].kill()
    assert probe.hear_until("lost")[-1] == f"lost {lease} EDEADLINE"
    probe.close()


def test_c_client_turns_come_one_after_the_other(alone):
    for name in ("s1", "s2", "s3"):
        alone.tell(f"session {name} 60")
        assert alone.hear(name).startswith("ready ")
    alone.tell("turn t1 s1 door first")
    held = alone.hear("t1").split()
    assert held[0] == "held" and held[3].startswith("door/")
    tokens = [int(held[2])]
    assert f"[ {held[3]}=first ]" in alone.ok("get door/ prefix")
    for other in ("t2 s2", "t3 s3"):
        alone.tell(f"turn {other} door")
        harness.until(lambda: f" count={other[1]} " in alone.ok("get door/ prefix"), other)
    alone.tell("end t1")
    tokens.append(int(alone.hear("t2").split()[2]))
    alone.tell("free s2")  # its lease goes, and the next one has its turn
    tokens.append(int(alone.hear("t3").split()[2]))
    assert tokens == sorted(set(tokens))
    alone.tell("turn t4 s1 door")
    harness.until(lambda: " count=2 " in alone.ok("get door/ prefix"), "t4 in line")
    alone.tell("end t4")
    harness.until(lambda: " count=1 " in alone.ok("get door/ prefix"), "t4 gone")
    alone.ok("del door/ prefix")  # by force; who holds it is not told, but the next one can come
    alone.tell("turn t5 s1 door")
    assert alone.hear("t5").startswith("held t5 ")


def test_c_client_who_loses_the_lease_is_told_and_who_waits_goes_on(start_cluster, server):
    cluster = start_cluster(size=3, program=server)
    one, two = Probe(cluster.endpoints), Probe(cluster.endpoints)
    one.tell("session s 2")
    one.hear("s")
    one.tell("turn t s door")
    one.hear("t")
    two.tell("session s 60")
    two.hear("s")
    two.tell("turn t s door")
    harness.until(lambda: " count=2 " in two.ok("get door/ prefix"), "both in line")
    os.kill(one.process.pid, 19)  # it stands still for longer than its lease
    assert two.hear("t").startswith("held t ")
    os.kill(one.process.pid, 18)
    assert {line.split()[1] for line in one.hear_until("lost s")} == {"t", "s"}
    one.close()
    two.close()


def test_c_client_elections_are_observed_and_leaders_speak(cluster, probe):
    probe.tell("observe o race")
    assert probe.hear("o") == "leads o nobody"
    assert probe.ask("leader race").startswith("ENOLEADERELECTED Unknown ")
    for name in ("s1", "s2"):
        probe.tell(f"session {name} 60")
        assert probe.hear(name).startswith("ready ")
    probe.tell("turn t1 s1 race one")
    assert {line.split()[0] for line in (probe.told.get(), probe.told.get())} == {"held", "leads"}
    assert "=one ]" in probe.ok("leader race")
    probe.tell("turn t2 s2 race two")
    harness.until(lambda: " count=2 " in probe.ok("get race/ prefix"), "both in line")
    assert probe.ask("proclaim t2 early") == "ENOTELECTED"
    probe.ok("proclaim t1 uno")
    assert probe.hear("o") == "leads o uno"
    leader = cluster.leader()
    leader.kill()  # of the members: the candidates stay
    harness.until(lambda: probe.ask("proclaim t1 still").startswith("OK "), "another leader")
    leader.start()
    leader.wait_healthy()
    assert "leads o still" in probe.hear_until("leads o still")
    assert " count=0 " in probe.ok("get race") and "=still ]" in probe.ok("leader race")
    probe.ok("close s1")  # answered when the lease has gone, and the key with it
    assert "=two ]" in probe.ok("leader race")
    heard = {probe.told.get(timeout=harness.PATIENCE_S) for _ in range(2)}
    assert "leads o two" in heard and any(line.startswith("held t2 ") for line in heard)
    probe.ok("del race/ prefix")  # by force: it is told as soon as it says something
    assert probe.hear("o") == "leads o nobody"
    assert probe.ask("proclaim t2 late").startswith("ENOTELECTED Unknown ")
    probe.tell("unobserve o")


def test_c_client_etcdctl_and_a_turn_exclude_each_other(cluster, probe, etcdctl_bin, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ctl = harness.child(
        [etcdctl_bin, "--endpoints", cluster.endpoints[0], "lock", "door", "--", "sh", "-c",
         f"echo held; cat {gate}"], env={**os.environ, "ETCDCTL_API": "3"}, text=True,
        stdout=subprocess.PIPE)
    assert ctl.stdout.readline() == "held\n"
    probe.tell("session s 60")
    probe.hear("s")
    probe.tell("turn t s door")
    harness.until(lambda: " count=2 " in probe.ok("get door/ prefix"), "both in line")
    assert probe.told.empty()
    with open(gate, "w", encoding="utf-8"):
        pass
    assert probe.hear("t").startswith("held t ")
    assert ctl.wait(harness.PATIENCE_S) == 0


def test_c_client_logs_in_and_again_when_its_token_has_ended(start_cluster, server):
    flags = ["--bcrypt-cost", "4", "--auth-token-ttl", "2"]
    cluster = start_cluster(size=1, program=server, flags=flags)
    for command in (("user", "add", "root:pw"), ("user", "grant-role", "root", "root"),
                    ("user", "add", "u:pw"), ("role", "add", "r"),
                    ("role", "grant-permission", "--prefix=true", "r", "readwrite", "a/"),
                    ("user", "grant-role", "u", "r"), ("auth", "enable")):
        cluster.etcdctl(*command)
    root, user = Probe(cluster.endpoints, "root", "pw"), Probe(cluster.endpoints, "u", "pw")
    wrong, nobody = Probe(cluster.endpoints, "u", "no"), Probe(cluster.endpoints)
    first = [user.tell(f"put a/{i} v") for i in range(20)]  # all wait for one token
    assert all(user.wait(number).startswith("OK OK") for number in first)
    assert user.ask("put b v").startswith("EPERMISSIONDENIED PermissionDenied ")
    assert wrong.ask("get a/1").startswith("EAUTHFAILED InvalidArgument ")
    assert nobody.ask("get a/1").startswith("EUSEREMPTY InvalidArgument ")
    user.tell("watch w a/ 0 prefix")
    assert user.hear("w").startswith("began ")
    user.tell("watch x b/ 0 prefix")
    assert user.hear("x").startswith("ended x EPERMISSIONDENIED ")
    cluster.nodes[0].restart()  # simple tokens of its own are gone
    assert user.ok("put a/1 new")
    assert user.hear_until("put w ")[-1].endswith(" a/1 new")
    cluster.etcdctl("--user", "root:pw", "role", "add", "more")  # another revision of auth
    assert user.ok("put a/1 newer")
    root.ok("put b v")
    cluster.etcdctl("--user", "root:pw", "auth", "disable")
    for probe in (root, user, wrong, nobody):
        assert probe.ok("get a/1")
        probe.close()
