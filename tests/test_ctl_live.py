# SPDX-License-Identifier: Apache-2.0
"""Verbs that last: watch, lock, elect, lease keep-alive. etcdctl and `oakum` ask the same cluster,
and what they print is compared.
"""
import re
import signal

import pytest

import harness
from lasting import verbs  # pylint: disable=unused-import
from test_ctl import version_of

FORMATS = ("simple", "json", "fields", "protobuf")


@pytest.fixture(name="cluster", scope="module")
def one_cluster(lasting_cluster):
    return lasting_cluster(1)


@pytest.fixture(name="both")
def both_programs(oakum_bin, etcdctl_bin):
    return [etcdctl_bin, oakum_bin]


@pytest.fixture(name="later", scope="module")
def as_later_ones(etcdctl_bin):
    """What older versions of etcdctl print otherwise, as 3.7 has it."""
    older = version_of(etcdctl_bin) < (3, 7)

    def translate(text):
        if not older:
            return text
        text = text.replace(b'"Events":[]', b'"Events":null').replace(b": Error reading",
                                                                      b": error reading")
        return re.sub(rb'("Created":\w+)}', rb'\1,"CancelReason":""}', text)
    return translate


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
def test_ctl_watch_shows_what_etcdctl_shows(cluster, both, verb, later, form):
    first = history(cluster, form)
    shown = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "--prefix", form, "--rev", first,
                   "--prev-kv", "-w", form)
        one.wait_for(b"end" if form != "json" else b"ZW5k")
        one.kill()
        shown.append(bytes(one.out))
    assert later(shown[0]) == shown[1]


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


@pytest.mark.parametrize("form", ("simple", "json"))
def test_ctl_watch_reads_lines(cluster, both, verb, later, form):
    first = history(cluster, "lines/")
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, "watch", "-i", "-w", form, text="nonsense")
        one.wait_for(b"only support watch", "err")
        one.say(f"watch lines/last --rev {first}")
        one.wait_for(b"end\n" if form == "simple" else b"ZW5k")
        one.say("progress")
        one.wait_for(b"progress notify: ")
        one.say(f"watch --prefix lines/ --prev-kv --rev {first} -- echo \"a\\x62c\" \"$HOME\"")
        one.wait_for(b"abc $HOME\n", count=5)
        one.say("")
        one.close_stdin()
        ends.append((one.wait(), bytes(one.out), bytes(one.err)))
    assert (3, later(ends[0][1]), later(ends[0][2])) == ends[1]


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


def test_ctl_watch_tells_what_is_compacted(cluster, both, verb, later):
    first = history(cluster, "gone/")
    oldest = revision(cluster)
    cluster.etcdctl("compaction", str(oldest))
    for form in ("simple", "json"):
        ends = []
        for program in both:
            one = verb(program, cluster.endpoints, "watch", "gone/a", "--rev", first, "-w", form)
            ends.append((one.wait(), bytes(one.out)))
        assert (ends[0][0], later(ends[0][1])) == ends[1]
        assert ends[0][0] == 5
    assert f"--rev {oldest} shows what there is".encode() in one.err


def test_ctl_watch_goes_on_when_its_member_is_gone(start_cluster, oakum_bin, verb):
    cluster = start_cluster(size=3)
    one = verb(oakum_bin, cluster.endpoints, "watch", "--prefix", "k", "--rev", "1")
    for number in range(3):
        node = cluster.nodes[number]
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
    assert keys == [*(f"k{number}".encode() for number in range(3)), b"k-end"]


def test_ctl_watch_says_that_nobody_is_there(oakum_bin, verb):
    one = verb(oakum_bin, [f"127.0.0.1:{harness.free_ports(1)[0]}"], "watch", "a",
               "--command-timeout", "300ms")
    assert one.wait() == 2
    assert b"is a server there?" in one.err


# -- lock ---------------------------------------------------------------------------------------

def same_but_ids(text):
    """Leases differ, and so do the keys that are named after them, and revisions."""
    text = re.sub(rb"/[0-9a-f]{8,16}", b"/ID", text)
    text = re.sub(rb'"key":"[^"]*"', b'"key":""', text)
    return re.sub(rb'((?:[Rr]evision|[Ll]ease)"? ?: ?)\d+', rb"\1N", text)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("words", [("lock", "m"), ("elect", "m", "value")], ids=("lock", "elect"))
def test_ctl_turn_shows_its_key_until_a_signal(cluster, both, verb, words, form):
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, *words, "-w", form)
        one.wait_for({"simple": b"\n\n" if words[0] == "lock" else b"value\n", "json": b"}\n",
                      "fields": b"Count", "protobuf": b"m/"}[form])
        one.signal(signal.SIGTERM)
        ends.append((one.wait(), bytes(one.err), b"" if form == "protobuf" else
                     same_but_ids(bytes(one.out))))
        assert cluster.etcdctl("get", "--prefix", "m/") == ""
    assert ends[0] == ends[1]
    assert ends[0][0] == 0


def test_ctl_lock_runs_a_command(cluster, both, verb):
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, "lock", "m", "sh", "--", "-c",
                   "env | grep ETCD_LOCK | sort; echo done")
        ends.append((one.wait(), bytes(one.err), re.sub(rb"(/|REV=)[0-9a-f]+", rb"\1",
                                                        bytes(one.out))))
    assert ends[0] == ends[1] == (0, b"", b"ETCD_LOCK_KEY=m/\nETCD_LOCK_REV=\ndone\n")
    assert cluster.etcdctl("get", "--prefix", "m/") == ""
    for command, code in (("exit 7", 7), ("kill -9 $$", 137)):
        assert verb(both[1], cluster.endpoints, "lock", "m", "--", "sh", "-c",
                    command).wait() == code
    assert verb(both[1], cluster.endpoints, "lock", "m", "/nonsense").wait() == 1


def test_ctl_lock_excludes_etcdctl(cluster, both, verb):
    first = verb(both[1], cluster.endpoints, "lock", "x")
    first.wait_for(b"x/")
    second = verb(both[0], cluster.endpoints, "lock", "x", "echo", "second")
    third = verb(both[1], cluster.endpoints, "lock", "x", "echo", "third")
    harness.until(lambda: len(cluster.etcdctl("get", "--prefix", "x/", "--keys-only").split()) == 3,
                  "all are in line")
    assert not second.out and not third.out
    waits = verb(both[1], cluster.endpoints, "lock", "x", "echo", "never")
    harness.until(lambda: len(cluster.etcdctl("get", "--prefix", "x/", "--keys-only").split()) == 4,
                  "one more")
    waits.signal(signal.SIGINT)
    assert waits.wait() == 1 and not waits.out
    first.signal(signal.SIGINT)
    assert [first.wait(), second.wait(), third.wait()] == [0, 0, 0]
    assert (bytes(second.out), bytes(third.out)) == (b"second\n", b"third\n")


def test_ctl_lock_that_is_lost_is_told(cluster, both, verb):
    one = verb(both[1], cluster.endpoints, "lock", "lost", "--", "sh", "-c",
               "trap 'echo asked to end; exit 0' TERM; echo begun; while :; do sleep 0.1; done")
    one.wait_for(b"begun")
    two = verb(both[1], cluster.endpoints, "lock", "lost2")
    two.wait_for(b"lost2/")
    for lease in (line.split("/")[1] for line in
                  cluster.etcdctl("get", "--prefix", "lost", "--keys-only").split()):
        cluster.etcdctl("lease", "revoke", lease)
    assert one.wait() == 1
    assert bytes(one.out) == b"begun\nasked to end\n"
    assert b"the lock is lost" in one.err
    assert two.wait() == 1
    assert bytes(two.err).startswith(b"Error: session expired\n")


def test_ctl_lock_passes_signals_to_its_command(cluster, both, verb):
    one = verb(both[1], cluster.endpoints, "lock", "signals", "--", "sh", "-c",
               "trap 'echo told; exit 3' TERM; echo begun; while :; do sleep 0.1; done")
    one.wait_for(b"begun")
    one.signal(signal.SIGTERM)
    assert one.wait() == 3
    assert bytes(one.out) == b"begun\ntold\n"
    assert cluster.etcdctl("get", "--prefix", "signals/") == ""


# -- elect --------------------------------------------------------------------------------------

@pytest.mark.parametrize("form", ("simple", "json", "fields"))
def test_ctl_elect_shows_who_leads(cluster, both, verb, form):
    first = verb(both[0], cluster.endpoints, "elect", form, "one")
    first.wait_for(b"one\n")
    seen = [verb(program, cluster.endpoints, "elect", "-l", form, "-w", form) for program in both]
    value = {"simple": b"two\n", "json": b'"value":"dHdv"', "fields": b'"two"'}[form]
    for each in seen:
        each.wait_for(value.replace(b"two", b"one").replace(b"dHdv", b"b25l"))
    second = verb(both[1], cluster.endpoints, "elect", form, "two")
    harness.until(lambda: len(cluster.etcdctl("get", "--prefix", f"{form}/", "--keys-only")
                              .split()) == 2, "both are in line")
    first.signal(signal.SIGINT)
    assert first.wait() == 0
    second.wait_for(b"two\n")
    for each in seen:
        each.wait_for(value)
        each.signal(signal.SIGINT)
    assert [each.wait() for each in seen] == [0, 0]
    assert same_but_ids(bytes(seen[0].out)) == same_but_ids(bytes(seen[1].out))


@pytest.mark.parametrize("words", [("lock",), ("elect",), ("elect", "e"), ("elect", "-l", "e", "v"),
                                   ("lease", "keep-alive"), ("lease", "keep-alive", "zz")])
def test_ctl_turn_refuses_what_etcdctl_refuses(cluster, both, verb, words):
    ends = [(one.wait(), bytes(one.out)) for one in
            [verb(program, cluster.endpoints, *words) for program in both]]
    assert ends[0] == ends[1] == (128, b"")


# -- lease keep-alive ---------------------------------------------------------------------------

@pytest.mark.parametrize("form", ("simple", "json", "fields", "table"))
def test_ctl_lease_is_kept_alive(cluster, both, verb, form):
    lease = cluster.etcdctl("lease", "grant", "60").split()[1]
    ends = []
    for program in both:
        one = verb(program, cluster.endpoints, "lease", "keep-alive", "--once", lease, "-w", form)
        ends.append((one.wait(), bytes(one.out), bytes(one.err)))
    assert ends[0] == ends[1]
    if form != "table":
        going = [verb(program, cluster.endpoints, "lease", "keep-alive", lease, "-w", form)
                 for program in both]
        for each in going:
            each.wait_for(b"60")
        cluster.etcdctl("lease", "revoke", lease)
        for each in going:
            each.kill()
        assert bytes(going[0].out) == bytes(going[1].out)


def test_ctl_lease_that_ends_is_told(cluster, both, verb):
    for words, code in ((("123456",), 0), (("--once", "123456"), 2)):
        ends = []
        for program in both:
            one = verb(program, cluster.endpoints, "lease", "keep-alive", *words)
            ends.append((one.wait(), bytes(one.out), bytes(one.err)))
        assert ends[0] == ends[1]
        assert ends[0][0] == code
    lease = cluster.etcdctl("lease", "grant", "2").split()[1]
    one = verb(both[1], cluster.endpoints, "lease", "keep-alive", lease)
    one.wait_for(b"TTL(2)", count=3)
    cluster.etcdctl("lease", "revoke", lease)
    assert one.wait() == 0
    assert bytes(one.out).endswith(f"lease {lease} expired or revoked.\n".encode())
