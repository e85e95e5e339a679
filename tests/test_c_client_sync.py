# SPDX-License-Identifier: Apache-2.0
"""The C client's calls that block (sync.h), through tools/sync_probe.c, against Oakum and against a
real etcd."""
import os
import re
import signal
import subprocess

import pytest

import certs
import harness
from test_c_client import Probe, field


class SyncProbe(Probe):
    """Each line runs in a thread of its own."""
    program = "sync_probe"
    good = "OK "


@pytest.fixture(params=["oakum", "etcd"])
def server(request):
    return request.getfixturevalue(f"{request.param}_bin")


@pytest.fixture
def cluster(start_cluster, server):
    return start_cluster(size=3, program=server)


@pytest.fixture
def probes(start_cluster, server):
    """Two programs on a cluster of one."""
    endpoints = start_cluster(size=1, program=server).endpoints
    both = [SyncProbe(endpoints) for _ in range(2)]
    yield both
    for probe in both:
        probe.close()


def test_c_client_sync_threads_of_two_programs_count_together(probes):
    threads = [(probe, probe.tell("count sum 25")) for probe in probes for _ in range(3)]
    for probe, line in threads:
        assert probe.wait(line).startswith("OK ")
    one, two = probes
    assert " sum=150 " in one.ok("get sum")
    assert " count=0 " in one.ok("get nothing")
    revision = int(field(two.ok("put k v"), "revision"))
    one.ok(f"compact {revision}")
    assert one.ask(f"compact {revision}").startswith("ECOMPACTED ")
    assert one.ask("put k v 1234").startswith("ELEASENOTFOUND ")
    assert " count=1 " in one.ok("del k")
    assert " count=0 " in two.ok("get k")


def put_at_last(probe, key, value):
    """A write that found no server in time may have been done all the same: again, until it is. The
    line that a watch w will say of it."""
    while True:
        answer = probe.ask(f"put {key} {value}")
        if answer.startswith("OK "):
            return f"put w {field(answer, 'revision')} {key} {value}"
        assert re.match("EUNREACHABLE|EDEADLINE|ETIMEOUT|ELEADERCHANGED|ENOLEADER", answer), answer


def test_c_client_sync_whoever_takes_late_misses_nothing_over_the_end_of_members(cluster):
    probe = SyncProbe(cluster.endpoints)
    probe.ok("watch w a/ 0")
    expected = []
    for turn in range(4):
        for i in range(50):  # more than its queue holds
            expected.append(put_at_last(probe, "a/k", f"{turn}-{i}-" + "x" * 200))
        if turn == 1:
            probe.ok("take w")
        leader = cluster.leader()
        leader.kill()
        leader.start()
        leader.wait_healthy()
    expected.append(put_at_last(probe, "a/k", "last"))
    heard = probe.hear_until(expected[-1])
    assert [line for line in heard if line in expected] == expected
    revisions = [int(line.split()[2]) for line in heard]
    assert revisions == sorted(set(revisions))
    # What else there is was written by an attempt that found no answer.
    assert {line.split()[4] for line in heard} == {line.split()[4] for line in expected}
    probe.ok("unwatch w")
    assert probe.hear("w") == "ended w ECLOSED 0"
    probe.close()


def test_c_client_sync_a_compaction_ends_a_watch_and_says_where_to_go_on(probes):
    probe = probes[0]
    first = int(field(probe.ok("put k 1"), "revision"))
    probe.ok("put k 2")
    latest = int(field(probe.ok("put k 3"), "revision"))
    probe.ok(f"watch whole k {first}")
    probe.ok("take whole")
    assert [probe.hear("whole").split()[-1] for _ in range(3)] == ["1", "2", "3"]
    probe.ok(f"compact {latest}")
    probe.ok(f"watch late k {first}")
    probe.ok("take late")
    assert probe.hear("late") == f"ended late ECOMPACTED {latest}"
    probe.ok(f"watch again k {latest + 1}")
    probe.ok("take again")
    probe.ok("put k 4")
    assert {probe.told.get(timeout=harness.PATIENCE_S) for _ in range(2)} == {
        f"put again {latest + 1} k 4", f"put whole {latest + 1} k 4"}


def test_c_client_sync_leases_are_kept_and_their_loss_is_told(probes):
    probe = probes[0]
    kept = field(probe.ok("grant 4"), "lease")
    probe.ok(f"keep mine {kept} 4")
    left = field(probe.ok("grant 4"), "lease")  # ends behind the first one, which is kept
    probe.ok(f"put k v {kept}")
    harness.until(lambda: field(probe.ok(f"left {left}"), "ttl") == "-1", "its time is over")
    assert " k=v " in probe.ok("get k")
    probes[1].ok(f"revoke {kept}")
    assert probe.hear("mine") == "lost mine ELEASENOTFOUND"
    assert " count=0 " in probe.ok("get k")


def in_line(cluster):
    """How many have or want the door."""
    return len(cluster.etcdctl("get", "door/", "--prefix", "--keys-only").split())


def test_c_client_sync_a_lock_has_one_holder_who_is_told_when_it_is_lost(cluster):
    one, two = SyncProbe(cluster.endpoints), SyncProbe(cluster.endpoints)
    first = one.tell("lock mine door 4")
    held = one.hear("mine").split()
    assert held[0] == "held" and one.wait(first).startswith("OK ")
    assert two.ask("lock short door 60 300").startswith("EDEADLINE ")
    assert one.ask("lock also door 60 300").startswith("EDEADLINE ")  # its own thread, too
    two.tell("lock theirs door 60")
    harness.until(lambda: in_line(cluster) == 2, "both in line")
    os.kill(one.process.pid, signal.SIGSTOP)  # it stands still for longer than its lease
    token = two.hear("theirs").split()
    assert token[0] == "held" and int(token[2]) > int(held[2])
    os.kill(one.process.pid, signal.SIGCONT)
    assert one.hear("mine").startswith("lost mine ")
    assert not one.ask("end mine").startswith("OK ")
    one.tell("lock next door 60")
    two.ok("end theirs")
    assert one.hear("next").startswith("held next ")
    assert two.hear("theirs") == "lost theirs ECLOSED"
    one.ok("end next")
    one.close()
    two.close()


def test_c_client_sync_etcdctl_and_a_lock_exclude_each_other(cluster, etcdctl_bin, tmp_path):
    probe = SyncProbe(cluster.endpoints)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    ctl = harness.child(
        [etcdctl_bin, "--endpoints", cluster.endpoints[0], "lock", "door", "--", "sh", "-c",
         f"echo held; cat {gate}"], env={**os.environ, "ETCDCTL_API": "3"}, text=True,
        stdout=subprocess.PIPE)
    assert ctl.stdout.readline() == "held\n"
    assert probe.ask("lock early door 60 300").startswith("EDEADLINE ")
    probe.tell("lock mine door 60")
    with open(gate, "w", encoding="utf-8"):
        pass
    assert probe.hear("mine").startswith("held mine ")
    assert ctl.wait(harness.PATIENCE_S) == 0
    probe.close()


def test_c_client_sync_candidates_are_elected_observed_and_heard(probes):
    one, two = probes
    two.ok("observe o race")
    assert two.hear("o") == "leads o nobody"
    assert two.ask("leader race").startswith("ENOLEADERELECTED ")
    one.ok("campaign me race first 60")
    assert one.hear("me").startswith("held me ")
    assert two.hear("o") == "leads o first"
    one.ok("proclaim me uno")
    assert two.hear("o") == "leads o uno"
    two.tell("campaign you race second 60")
    harness.until(lambda: " count=2 " in two.ok("get race/ 0 prefix"), "both in line")
    assert "=uno " in two.ok("leader race")
    one.ok("end me")
    assert one.hear("me") == "lost me ECLOSED"
    heard = {two.told.get(timeout=harness.PATIENCE_S) for _ in range(2)}
    assert "leads o second" in heard and any(line.startswith("held you ") for line in heard)
    two.ok("unobserve o")
    assert two.hear("o") == "ended o ECLOSED 0"


def test_c_client_sync_an_end_with_everything_open_is_an_end(probes):
    one, two = probes
    one.ok("watch w k 0")
    one.ok("take w")
    one.ok("lock held door 60")
    one.ok("observe o race")
    two.tell("lock waiting door 60")  # closed while it waits: see the fixture
    harness.until(lambda: two.ok("get k"), "it is under way")


def test_c_client_sync_speaks_tls_by_files(start_cluster, server, tmp_path):
    authority = certs.Authority(tmp_path)
    member, mine = authority.issue("server"), authority.issue("client")
    stranger = certs.Authority(tmp_path, "other").issue("client")
    flags = ["--cert-file", member.crt, "--key-file", member.key, "--trusted-ca-file",
             authority.crt, "--client-cert-auth"]
    trust = ["--cacert", authority.crt, "--cert", mine.crt, "--key", mine.key]
    cluster = start_cluster(size=1, program=server, flags=flags, schemes=("https", "http"),
                            wait=False, ctl_flags=trust)
    probe = SyncProbe([f"https://{cluster.endpoints[0]}"], authority.crt, mine.crt, mine.key)
    harness.until(lambda: probe.ask("put k v").startswith("OK "), "it serves")
    assert " k=v " in probe.ok("get k")
    probe.close()
    other = SyncProbe([f"https://{cluster.endpoints[0]}"], authority.crt, stranger.crt,
                      stranger.key)
    harness.until(lambda: other.ask("get k 500").startswith("EUNREACHABLE "), "it is not let in")
    other.close()


def test_c_client_sync_users_and_roles_are_made_by_it(start_cluster, server):
    cluster = start_cluster(size=1, program=server, flags=["--bcrypt-cost", "4"])
    probe = SyncProbe(cluster.endpoints)

    def admin(line):
        probe.ok(f"admin {line}")
        return probe.hear(line.split()[0]).split()[2:-1]

    assert probe.ask("admin user-add").startswith("EINVAL ")  # a name that is not there
    probe.hear("user-add")
    for line in ("user-add root pw", "role-add - - root", "user-grant root - root",
                 "user-add ada pw", "user-add grace", "role-add - - reader", "role-add - - more",
                 "role-grant - - reader 0 a/*", "role-grant - - reader 2 one",
                 "user-grant ada - reader", "user-grant ada - more"):
        assert admin(line) == []
    assert sorted(admin("user-list")) == ["ada", "grace", "root"]
    assert sorted(admin("role-list")) == ["more", "reader", "root"]
    assert sorted(admin("user-get ada")) == ["more", "reader"]
    assert sorted(admin("role-get - - reader")) == ["0:a/-a0", "2:one-"]
    admin("role-revoke - - reader 0 one")
    assert admin("role-get - - reader") == ["0:a/-a0"]
    admin("user-revoke ada - more")
    admin("role-delete - - more")
    admin("user-password ada better")
    assert admin("user-get ada") == ["reader"]
    probe.ok("put a/1 v")
    admin("enable")
    probe.close()
    ada = SyncProbe(cluster.endpoints, "ada", "better")
    assert " a/1=v " in ada.ok("get a/1")
    assert ada.ask("put a/1 w").startswith("EPERMISSIONDENIED ")
    ada.close()
    old = SyncProbe(cluster.endpoints, "ada", "pw")
    assert old.ask("get a/1").startswith("EAUTHFAILED ")
    old.close()
    probe = SyncProbe(cluster.endpoints, "root", "pw")
    assert probe.ask("admin user-delete nobody").startswith("EUSERNOTFOUND ")
    probe.hear("user-delete")
    admin("user-delete grace")
    assert sorted(admin("user-list")) == ["ada", "root"]
    admin("disable")
    probe.close()
