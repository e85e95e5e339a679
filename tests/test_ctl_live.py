# SPDX-License-Identifier: Apache-2.0
"""Verbs that last: watch, lock, elect, lease keep-alive. etcdctl and `oakum` ask the same cluster,
and what they print is compared.
"""
import signal

import pytest

import harness
from lasting import verbs  # pylint: disable=unused-import

FORMATS = ("simple", "json", "fields", "protobuf")


@pytest.fixture(name="cluster", scope="module")
def one_cluster(lasting_cluster):
    return lasting_cluster(1)


@pytest.fixture(name="both")
def both_programs(oakum_bin, etcdctl_bin):
    return [etcdctl_bin, oakum_bin]


def revision(cluster):
    return cluster.etcdctl_json("get", "none")["header"]["revision"]


# -- watch --------------------------------------------------------------------------------------

def history(cluster, prefix):
    """Changes to watch; gives the revision of the first."""
    first = revision(cluster) + 1
    for line in (["put", prefix + "a", "1"], ["put", prefix + "a", "x\ny"], ["del", prefix + "a"],
                 ["put", prefix + "\xe9 \"b\"", "2"], ["put", prefix + "last", "end"]):
        cluster.etcdctl(*line)
    return str(first)


@pytest.mark.parametrize("form", FORMATS)
def test_ctl_watch_shows_what_etcdctl_shows(cluster, both, verb, form):
    first = history(cluster, form)
    shown = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "--prefix", form, "--rev", first,
                   "--prev-kv", "-w", form)
        one.wait_for(b"end" if form != "json" else b"ZW5k")
        one.kill()
        shown.append(bytes(one.out))
    assert shown[0] == shown[1]


def test_ctl_watch_runs_a_command_for_each_change(cluster, both, verb):
    first = history(cluster, "run/")
    shown = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "--prefix", "run/", "--rev", first,
                   "--", "sh", "-c", "env | grep ETCD_WATCH | sort; echo",
                   env={"ETCD_WATCH_KEY": "not this"})
        one.wait_for(b'VALUE="end"\n\n')
        one.kill()
        shown.append(bytes(one.out))
    assert shown[0] == shown[1]
    one = verb(both[1], cluster.endpoints, "watch", "--prefix", "run/", "--rev", first,
               "--exec", 'echo "$ETCD_WATCH_EVENT_TYPE of $ETCD_WATCH_KEY"')
    one.wait_for(b'"PUT" of "run/last"\n')
    assert bytes(one.out).count(b'"DELETE" of "run/a"\n') == 1


@pytest.mark.parametrize("command", ["exit 3", "kill -9 $$"])
def test_ctl_watch_ends_when_its_command_fails(cluster, both, verb, command):
    first = history(cluster, "fail/")
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "fail/a", "--rev", first, "--", "sh", "-c",
                   command)
        ends.append((one.wait(), bytes(one.out), bytes(one.err)))
    assert ends[0] == ends[1]
    assert ends[0][0] == 1


def test_ctl_watch_reads_lines(cluster, both, verb):
    first = history(cluster, "lines/")
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "-i", text="nonsense")
        one.wait_for(b"only support watch", "err")
        one.say(f"watch lines/last --rev {first}")
        one.wait_for(b"end\n")
        one.say("progress")
        one.wait_for(b"progress notify: ")
        one.say(f"watch --prefix lines/ --prev-kv --rev {first} -- echo \"a\\x62c\" \"$HOME\"")
        one.wait_for(b"abc $HOME\n", count=5)
        one.say("")
        one.close_stdin()
        ends.append((one.wait(), bytes(one.out), bytes(one.err)))
    assert ends[0] == ends[1]
    assert ends[0][0] == 3


@pytest.mark.parametrize("words,env", [
    ([], {}), (["a", "--"], {}), (["a", "b", "--prefix"], {}),
    (["a"], {"ETCDCTL_WATCH_KEY": "a"}),
    ([], {"ETCDCTL_WATCH_RANGE_END": "a"})])
def test_ctl_watch_refuses_what_etcdctl_refuses(cluster, both, verb, words, env):
    ends = [(one.wait(), bytes(one.out)) for one in
            [verb(program, cluster.endpoints, "watch", *words, env=env) for program in both]]
    assert ends[0] == ends[1]
    assert ends[0][0] == 128


def test_ctl_watch_has_no_tables(cluster, both, verb):
    first = history(cluster, "table/")
    ends = [(one.wait(), bytes(one.out), bytes(one.err)) for one in
            [verb(program, cluster.endpoints, "watch", "table/a", "--rev", first, "-w", "table")
             for program in both]]
    assert ends[0] == ends[1]
    assert ends[0][0] == 4


def test_ctl_watch_takes_the_environment(cluster, both, verb):
    first = history(cluster, "env/")
    env = {"ETCDCTL_WATCH_KEY": "env/", "ETCDCTL_WATCH_RANGE_END": "env0"}
    shown = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "--rev", first, env=env)
        one.wait_for(b"end\n")
        one.kill()
        shown.append(bytes(one.out))
    assert shown[0] == shown[1]


def test_ctl_watch_tells_what_is_compacted(cluster, both, verb):
    first = history(cluster, "gone/")
    oldest = revision(cluster)
    cluster.etcdctl("compaction", str(oldest))
    for form in ("simple", "json"):
        ends = []
        for program in both:
            one = verb(program, cluster.endpoints, "watch", "gone/a", "--rev", first, "-w", form)
            ends.append((one.wait(), bytes(one.out)))
        assert ends[0] == ends[1]
        assert ends[0][0] == 5
    assert f"--rev {oldest} shows what there is".encode() in one.err


def test_ctl_watch_goes_on_when_its_member_is_gone(start_cluster, oakum_bin, verb):
    cluster = start_cluster(size=3)
    one = verb(oakum_bin, cluster.endpoints, "watch", "--prefix", "k", "--rev", "1")
    for number in range(6):
        node = cluster.nodes[number % 3]
        cluster.etcdctl("put", f"k{number}", "v")
        one.wait_for(f"k{number}\n".encode())
        node.kill()
        node.start()
        cluster.wait_healthy()
    cluster.etcdctl("put", "k-end", "v")
    one.wait_for(b"k-end\n")
    one.signal(signal.SIGKILL)
    one.wait()
    keys = [line for line in bytes(one.out).split(b"\n") if line.startswith(b"k")]
    assert keys == [*(f"k{number}".encode() for number in range(6)), b"k-end"]


def test_ctl_watch_says_that_nobody_is_there(oakum_bin, verb):
    one = verb(oakum_bin, [f"127.0.0.1:{harness.free_ports(1)[0]}"], "watch", "a",
               "--command-timeout", "300ms")
    assert one.wait() == 2
    assert b"is a server there?" in one.err
